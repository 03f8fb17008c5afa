"""Which rows of a report are variants of another row, and how two rows differ question by question."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.report.answered import document
from bench.report.views import ModelRow, ReportView
from bench.scoring.answers import Answer
from bench.scoring.comparison import PairedAnswers, Pairing, pair_answers

_PACKED = re.compile(
    r"([-_](gptq|awq|bnb|gguf|fp8|nf4|int[48]|[48]bit|w[48]a(8|16)))+$", re.IGNORECASE
)
"""End of a checkpoint's name that says how its weights are packed."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A quantised or tuned model with the model that it was made from."""

    base: int
    """Row of the report."""
    variant: int
    kind: str
    """``quantised``, ``tuned``, or ``quantised and tuned``."""


def variants(view: ReportView) -> list[Variant]:
    """The finished rows whose base is a finished row too, in the order of the leaderboard."""
    pairs = []
    for number, row in enumerate(view.rows):
        kinds = [
            *(["quantised"] if row.setup.get("quantization") else []),
            *(["tuned"] if row.setup.get("adapter") or row.trained else []),
        ]
        if row.ranked and kinds:
            base = next((i for i, other in enumerate(view.rows) if _is_base(other, row)), None)
            if base is not None:
                pairs.append(Variant(base, number, " and ".join(kinds)))
    return pairs


def _is_base(base: ModelRow, row: ModelRow) -> bool:
    """Whether ``row`` has the checkpoint of ``base`` and its bound on a page, packed or tuned."""
    if not base.ranked or base.setup.get("quantization") or base.setup.get("adapter"):
        return False
    checkpoint = base.setup.get("checkpoint")
    same_pages = base.setup.get("max_pixels") == row.setup.get("max_pixels")
    return (
        checkpoint is not None
        and same_pages
        and base.key != row.key
        and not base.trained
        and unpacked(row.setup.get("checkpoint", "")) == unpacked(checkpoint)
    )


def unpacked(checkpoint: str) -> str:
    """The name of a checkpoint without what it says of how its weights are packed, in small letters."""
    return _PACKED.sub("", checkpoint).lower()


def paired(view: ReportView, first: int, second: int) -> PairedAnswers | None:
    """Row ``second`` against row ``first`` on the questions that both were asked; None without any."""
    pairings = []
    for number, task in enumerate(view.tasks):
        documents: list[str] = []
        answers: list[tuple[Answer, Answer]] = []
        for sample in view.samples:
            before, after = sample.answers[first], sample.answers[second]
            if sample.task != number or before is None or after is None:
                continue
            if before.output is not None and after.output is not None:
                documents.append(document(sample))
                answers.append((before, after))
        if answers:
            firsts, seconds = zip(*answers, strict=True)
            pairings.append(Pairing(task.key, task.headline, documents, firsts, seconds))
    return pair_answers(pairings) if pairings else None
