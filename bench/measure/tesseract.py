"""What the program ``tesseract`` says of itself."""

from __future__ import annotations


def tesseract_languages(listing: str) -> list[str]:
    """The language packs in the output of ``tesseract --list-langs``, whose first line is a heading."""
    return [line.strip() for line in listing.splitlines()[1:] if line.strip()]
