"""``bench score``, ``report`` and ``show``: what can be made of a run without its models."""

from __future__ import annotations
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bench.scoring import Evaluation


def reported(evaluations, out, formats):
    return []


def print_summary(evaluations, written, *, as_json):
    for e in evaluations:
        for m, est in e.overall.items():
            click.echo(f"{m} {est}")
        for k, c in e.cells.items():
            click.echo(f"{k} {c.headline} {c.estimates[c.headline]}")
