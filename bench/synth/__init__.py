"""Draws synthetic documents whose references are exact.

``values`` draws what a document says (valid check digits, totals that add up) with the words in ``data``,
``layouts`` puts it on sheets, ``raster`` and ``pdf`` render the sheets, ``scanning`` makes scans of them,
``questions`` asks about what was drawn. Everything follows from a seed: the same seed gives the same bytes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.synth.generate import synthesise
    from bench.synth.kinds import KINDS, make

__all__ = ["KINDS", "make", "synthesise"]


def __getattr__(name: str) -> Any:
    # Loaded on demand: the process that opens pages needs the fonts of this room and nothing else.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "generate" if name == "synthesise" else "kinds"
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
