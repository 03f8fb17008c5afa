"""The answers of one row of a report as columns of numbers, for the figures that help to choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.views import ModelRow, ReportView, SampleView
from bench.schema import Estimate
from bench.scoring.held_out import Array
from bench.scoring.levels import Level
from bench.scoring.review import Sureness, share_right

RIGHT: frozenset[Level] = frozenset(("right", "equivalent"))
"""Levels of an answer that a person would leave as it is: right, or right in another format."""

UNJUDGED: frozenset[Level] = frozenset(("open", "unscored"))
"""Levels of which it is not known whether the answer is right."""

NO_CONFIDENCE = -1.0
"""Confidence of an answer of which the model did not say how sure it was."""

RIGHT_WORDS = "Right means that the headline score is perfect, or that only the format differs."
"""What the shares of right answers count."""


@dataclass(frozen=True, slots=True)
class JudgedAnswers:
    """The judged answers of one row."""

    row: ModelRow
    index: int
    """Of the row in the report."""
    samples: tuple[SampleView, ...]
    sureness: Sureness
    questions_per_page: float | None
    """The questions asked, judged or not, over the distinct pages that they are about."""

    @property
    def gives_confidence(self) -> bool:
        """Whether the model said of any answer how sure it was."""
        return bool((self.sureness.confidence >= 0).any())

    @property
    def right(self) -> Estimate:
        """The share of right answers."""
        return share_right(self.sureness)


def answered(view: ReportView, index: int) -> JudgedAnswers:
    """The judged answers of row ``index``."""
    asked = [sample for sample in view.samples if sample.levels[index] != "open"]
    pages = {page.key for sample in asked for page in sample.pages}
    samples = tuple(sample for sample in asked if sample.levels[index] not in UNJUDGED)
    sureness = Sureness(
        confidences(samples, index),
        np.array([sample.levels[index] in RIGHT for sample in samples], dtype=np.bool_),
        [document(sample) for sample in samples],
    )
    per_page = len(asked) / len(pages) if pages else None
    return JudgedAnswers(view.rows[index], index, samples, sureness, per_page)


def confidences(samples: Sequence[SampleView], index: int) -> Array:
    """How sure row ``index`` was of each answer, ``NO_CONFIDENCE`` where it did not say."""
    return np.array([_confidence(sample, index) for sample in samples], dtype=np.float64)


def _confidence(sample: SampleView, index: int) -> float:
    answer = sample.answers[index]
    if answer is None or answer.output is None or answer.failed:
        return NO_CONFIDENCE
    confidence = answer.output.confidence
    if confidence is None or not 0 <= confidence <= 1:
        return NO_CONFIDENCE
    return confidence


def document(sample: SampleView) -> str:
    """The document of a question: the contents of its pages."""
    return "+".join(page.source_key for page in sample.pages) or sample.sample.document_id
