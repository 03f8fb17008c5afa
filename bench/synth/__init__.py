"""Draws synthetic documents whose references are exact.

``values`` draws what a document says (valid check digits, totals that add up) with the words in ``data``,
``layouts`` puts it on sheets, ``raster`` and ``pdf`` render the sheets, ``scanning`` makes scans of them,
``questions`` asks about what was drawn. Everything follows from a seed: the same seed gives the same bytes.
"""

from __future__ import annotations

from bench.synth.generate import synthesise
from bench.synth.kinds import KINDS, make

__all__ = ["KINDS", "make", "synthesise"]
