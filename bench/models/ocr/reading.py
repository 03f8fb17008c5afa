"""What is read on a page: pieces of text with boxes, whichever engine or text layer they come from."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_SIDE = 3600
"""Pixels of an A4 page at 300 dpi: no reader needs more."""


class Fragment(NamedTuple):
    """A word (Tesseract, text layer) or a run of words (RapidOCR) as it stands on the page."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float = 1.0
    """0 to 1."""

    @property
    def width(self) -> float:
        """Pixels."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """Vertical centre, pixels."""
        return (self.top + self.bottom) / 2


class Reading(NamedTuple):
    """What a reader saw on one page; coordinates in the page's own pixels."""

    fragments: tuple[Fragment, ...]
    slope: float = 0.0
    """Tangent of the angle by which lines fall to the right (positive: downwards)."""
    words: bool = True
    """Whether fragments are single words, which have yet to be joined."""

    @property
    def confidence(self) -> float:
        """Mean confidence over characters; 0 if nothing was read."""
        characters = sum(len(fragment.text) for fragment in self.fragments)
        if characters == 0:
            return 0.0
        total = sum(fragment.confidence * len(fragment.text) for fragment in self.fragments)
        return total / characters

    @property
    def text(self) -> str:
        """All that was read, without blanks between the fragments."""
        return "".join(fragment.text for fragment in self.fragments)

    @property
    def density(self) -> float:
        """Characters per line height of text: about 1 for Chinese, 1.5 to 2 for letters.

        Less means that the engine saw text and knew no letters for it: RapidOCR drops the Cyrillic
        letters, keeps digits and punctuation, and is confident of what is left.
        """
        wide = [fragment for fragment in self.fragments if fragment.width > 2 * fragment.height]
        length = sum(fragment.width / max(1.0, fragment.height) for fragment in wide)
        characters = sum(len(fragment.text.replace(" ", "")) for fragment in wide)
        return characters / length if length else 0.0


class Reader(Protocol):
    """An engine that reads page images."""

    name: str
    poor_confidence: float
    """Below this, what it read is probably not a script that it knows."""

    def read(self, image: Image) -> Reading:
        """Read one RGB page."""
        ...

    def details(self) -> Mapping[str, Any]:
        """Engine, version and languages, for the record."""
        ...


def page_slope(slopes: Sequence[tuple[float, float]]) -> float:
    """The median of the lines' slopes, given with their widths as weights; 0 if the lines do not tell it."""
    if len(slopes) < 3:
        return 0.0
    repeated = [slope for slope, weight in slopes for _ in range(1 + int(weight // 100))]
    slope = statistics.median(repeated)
    return slope if 0.004 < abs(slope) < math.tan(math.radians(20)) else 0.0
