"""Finds out which vision-language model reads your documents best on the GPU you have."""

__version__ = "0.1.0"
