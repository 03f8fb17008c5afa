"""How many of the values that answers give are on the pages, where their text is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.metrics.grounding import Grounding, PageText
from bench.report.views import SampleView
from bench.schema import PlacedText
from bench.scoring.answers import Answer
from bench.scoring.leaves import answer_leaves


def groundings(
    sample: SampleView, words: Mapping[str, Sequence[Sequence[PlacedText]]]
) -> tuple[Grounding | None, ...]:
    """By row, of an answer that is looked at value by value.

    A value is on the pages if any reading of them has it: a text layer, or what an OCR model of a run read.
    So a value that is not there was perhaps only misread by OCR.

    Args:
        sample: the question with all answers.
        words: key of a page → every reading of it.
    """
    if sample.sample.json_schema is None or not all(words.get(page.key) for page in sample.pages):
        return ()
    texts = [word.text for page in sample.pages for reading in words[page.key] for word in reading]
    page = PageText(" ".join(texts))
    language = sample.sample.metadata.get("language")
    return tuple(_grounding(answer, page, language) for answer in sample.answers)


def _grounding(answer: Answer | None, page: PageText, language: str | None) -> Grounding | None:
    if answer is None:
        return None
    given = [leaf.given for leaf in answer_leaves(answer) if leaf.given is not None]
    # Whether something is true is nowhere written on a page.
    written = [value for value in given if not isinstance(value, bool)]
    return Grounding(sum(page.may_hold(value, language) for value in written), len(written))
