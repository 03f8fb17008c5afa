"""What an adapter makes of its copy of a benchmark of pages."""

from __future__ import annotations

from typing import NamedTuple

from bench.tasks.samples import SampleTable


class BenchmarkPages(NamedTuple):
    """The pages of a copy, and what a report should say about it."""

    samples: SampleTable
    facts: tuple[str, ...]
    """Which version it is, and what of it is left out."""
