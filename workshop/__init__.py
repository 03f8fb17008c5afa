"""What makes the things that the package ships: the bundled model, the example documents, the fonts.

Nothing here is part of the wheel, and nothing in ``bench`` imports it.
"""
