"""Makes the things that the package ships: the bundled model, the example documents, the fonts.

The workshop is not part of the wheel, and nothing in ``bench`` imports it. See README.md.
"""
