"""Perturbs pages for ``bench run --perturb``: kinds, each of one cause, and mixtures as devices make them.

Every kind is a pure function of a picture, a severity and the seed of the page. To add a kind or a mixture,
write its function and one row of ``KINDS`` or ``MIXTURES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bench.schema import Perturbation
from bench.tasks.perturbing import kinds, mixtures
from bench.tasks.perturbing.pixels import Draws

if TYPE_CHECKING:
    from PIL.Image import Image

    Change = Callable[[Image, int, Draws], Image]
    """From an RGB page, a severity and random numbers to an RGB page of the same size."""

VERSION = 1
"""Raised when a perturbation gives other pixels: tasks of two versions have different digests."""

SEVERITIES = (1, 2, 3)
"""1 is just visible; at 3 a person still reads the page with effort."""

KINDS: Mapping[str, Change] = {
    "blur": kinds.blur,
    "rotate": kinds.rotate,
    "jpeg": kinds.jpeg,
    "dpi": kinds.dpi,
    "noise": kinds.noise,
    "contrast": kinds.contrast,
    "shadow": kinds.shadow,
    "crop": kinds.crop,
}
"""Name → what is done, by one cause."""

MIXTURES: Mapping[str, Change] = {
    "scan": mixtures.scan,
    "photo": mixtures.photo,
    "fax": mixtures.fax,
}
"""Name → what is done; the result looks like what a device makes of a page."""

PERTURBATIONS: Mapping[str, Change] = {**KINDS, **MIXTURES}
"""All that ``--perturb`` takes."""


def perturbed(image: Image, perturbation: Perturbation) -> Image:
    """``image``, an RGB page, after ``perturbation``; its size stays the same."""
    draws = Draws(perturbation.seed, perturbation.kind)
    # The largest page is a third of what its process may hold, so nothing keeps it while a copy is changed.
    only = [image]
    del image
    return PERTURBATIONS[perturbation.kind](only.pop(), perturbation.severity, draws)
