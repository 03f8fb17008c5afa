"""Chooses the engine that reads a page image.

- RapidOCR with its own models reads Chinese and Latin script (``rapid_ocr``).
- RapidOCR with a recogniser of Cyrillic reads Russian (``recognizers``).
- Tesseract reads where the option ``reader`` names it (``tesseract``). It read the bundled documents worse:
  docs/recogniser.md has the figures.

The script of the question decides between the first two, and then what they make of the page.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from bench.models.ocr.characters import cyrillic_share
from bench.models.ocr.rapid_ocr import RapidOcrReader
from bench.models.ocr.reading import Reader, Reading
from bench.models.ocr.recognizers import cyrillic_recognizer

if TYPE_CHECKING:
    from PIL.Image import Image

POOR_DENSITY = 1.2
"""Below this, RapidOCR met a script that it does not know (Cyrillic gives 0.9, its own 1.6 and more)."""
LEAST_CYRILLIC = 0.1
"""Share of a page's letters: with fewer, the page is in another script."""


def cyrillic_reader() -> RapidOcrReader:
    """RapidOCR with its own recogniser of Cyrillic where that was fetched, else with the one in the box.

    Raises:
        EnvironmentProblem: a package of RapidOCR is missing.
    """
    return RapidOcrReader(cyrillic_recognizer(), ("ru", "uk", "be", "en"))


@cache
def glancing_engines() -> tuple[Any, ...]:
    """RapidOCR with each recogniser that is here, for ``orientation.glance``: Chinese and Latin first.

    Raises:
        EnvironmentProblem: a package of RapidOCR is missing.
    """
    return RapidOcrReader().engine, cyrillic_reader().engine


def read_by_script(image: Image, is_cyrillic: bool, general: Reader, cyrillic: Reader) -> Reading:
    """Read one RGB page with the reader of its script.

    ``is_cyrillic`` is a guess, from the question; where the reader for it is visibly of no use, the other
    one reads too.
    """
    if is_cyrillic:
        reading = cyrillic.read(image)
        is_sure = reading.confidence >= cyrillic.poor_confidence
        if is_sure and cyrillic_share(reading.text) >= LEAST_CYRILLIC:
            return reading
        other = general.read(image)
        is_better = not is_sure and other.confidence > reading.confidence
        if other.density > POOR_DENSITY and (
            is_better or cyrillic_share(reading.text) < LEAST_CYRILLIC
        ):
            return other
        return reading
    reading = general.read(image)
    if reading.fragments and reading.density < POOR_DENSITY:
        other = cyrillic.read(image)
        if other.confidence > cyrillic.poor_confidence and other.density > reading.density:
            return other
    return reading
