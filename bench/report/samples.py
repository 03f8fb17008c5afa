"""The samples worth looking at, and the texts of an answer."""

from __future__ import annotations

import json
from typing import Any

from bench.formatting import listed
from bench.json_schemas.nodes import fields_of, item_of
from bench.metrics.page_references import page_text
from bench.report.views import ReportView, SampleView
from bench.schema import Sample
from bench.scoring.answers import Answer
from bench.text import one_line

SHORT_QUESTION = 100
"""Characters of a question that is shown whole although it asks for an object."""
SHOWN_FIELDS = 5
"""Fields that stand for such a question."""

_BAD = frozenset({"wrong", "failed"})


def raw_text(reference: Any) -> str:
    """A reference as text: itself, or its JSON."""
    return reference if isinstance(reference, str) else json.dumps(reference, ensure_ascii=False)


def reference_texts(sample: Sample) -> list[str]:
    """The references of a question as a person reads them: those of a page as Markdown, or its tests."""
    as_text = page_text if sample.answer_type == "markdown" else raw_text
    return [as_text(reference) for reference in sample.references]


def question_in_short(sample: Sample) -> str:
    """The question in one line; a long one that asks for an object becomes the names of its fields.

    A task with a JSON Schema asks the same of every document, in as many lines as the object has.
    """
    schema = sample.json_schema
    fields = fields_of(schema) or fields_of(item_of(schema))
    if not fields or len(sample.question) <= SHORT_QUESTION:
        return one_line(sample.question)
    return one_line(f"JSON with {listed(fields, SHOWN_FIELDS)}")


def extracted_text(answer: Answer) -> str:
    """What was compared: the extracted answer, or the raw text where nothing was extracted."""
    if answer.extracted:
        return answer.extracted
    return answer.output.text if answer.output is not None else ""


def never_right(view: ReportView) -> list[SampleView]:
    """Samples that every one of at least two models gets wrong though it answered: suspicious references."""
    suspects = []
    for sample in view.samples:
        levels = [level for level in sample.levels if level != "open"]
        if len(levels) >= 2 and set(levels) <= _BAD and "wrong" in levels:
            suspects.append(sample)
    return suspects


def worst(view: ReportView) -> list[SampleView]:
    """Samples with a wrong or failed answer, the most of them first."""
    spoilt = [sample for sample in view.samples if any(level in _BAD for level in sample.levels)]
    return sorted(spoilt, key=lambda sample: -sum(level in _BAD for level in sample.levels))
