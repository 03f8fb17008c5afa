"""Draw the curves of a pretraining from its log: ``python -m workshop.nano.curves FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.files import read_lines, write_atomically
from bench.tuning.curves import draw_curves
from workshop.nano.batches import KINDS

LOG = "training.jsonl"
CURVES = "training.svg"

PANELS = {
    "share of characters recognised": "seen",
    "share of answers' tokens that are right": "right",
    "loss of answers, nats a token": "answers",
}


def write_curves(folder: Path) -> None:
    """Draw the log in ``folder`` beside it, if there is one yet."""
    log = list(read_lines(folder / LOG))
    panels = {
        title: {str(kind): _series(log, f"{kind}.{measure}") for kind in KINDS}
        for title, measure in PANELS.items()
    }
    if drawn := draw_curves(panels, title="Pretraining, on lessons never seen before"):
        write_atomically(folder / CURVES, drawn)


def _series(log: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    return [(int(line["step"]), float(line[key])) for line in log if key in line]


if __name__ == "__main__":
    write_curves(Path(sys.argv[1]))
