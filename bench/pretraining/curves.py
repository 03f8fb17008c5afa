"""The picture of a pretraining, from its log."""

from __future__ import annotations

from pathlib import Path

from bench.files import read_lines, write_atomically
from bench.tuning.curves import draw_curves

LOG = "training.jsonl"
CURVES = "training.svg"

PANELS = {
    "share of characters recognised": "seen",
    "share of answers' tokens that are right": "right",
    "loss of answers, nats a token": "answers",
}
KINDS = ("text", "parts", "pages")


def write_curves(folder: Path) -> None:
    """Draw the log in ``folder`` beside it, if there is one yet."""
    log = list(read_lines(folder / LOG))
    panels = {
        title: {
            kind: [(int(line["step"]), float(line[key])) for line in log if key in line]
            for kind in KINDS
            for key in (f"{kind}.{measure}",)
        }
        for title, measure in PANELS.items()
    }
    if drawn := draw_curves(panels, title="Pretraining, on lessons never seen before"):
        write_atomically(folder / CURVES, drawn)
