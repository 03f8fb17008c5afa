"""Documents as real ones are laid out, to fit the OCR baseline on and to judge it with.

Each kind has several layouts. Those for fitting and those for judging differ, and so do the seeds. The
layouts in ``unseen`` were written last, to judge what the rules had learnt from the others.
"""
