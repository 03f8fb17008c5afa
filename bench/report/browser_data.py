"""What the browser of samples in the HTML file knows: texts of every sample, and columns to filter them by.

``embed`` writes both into the file, as far as there is room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.formatting import safe
from bench.metrics.metric import TooLarge, as_text
from bench.metrics.page_test_rules import run_tests
from bench.metrics.page_tests import PageTest, described, page_tests_of
from bench.report.field_marks import FieldJudge
from bench.report.mistakes import RULE_TEXTS, label
from bench.report.options import MAX_TEXT
from bench.report.samples import reference_texts
from bench.report.views import ReportView, SampleView, TaskView
from bench.schema import Page
from bench.scoring.answers import Answer
from bench.scoring.levels import LEVELS
from bench.tasks.previews import preview_path

MAX_REFERENCES = 50
"""References of one question that are embedded."""

LEVEL_CODES = {name: name[0] for name in LEVELS}
"""``right`` → ``r``: one letter a sample and model in the index."""

KIND_CODES = {name: chr(ord("a") + i) for i, name in enumerate(RULE_TEXTS)}
"""Class of a wrong answer → one letter a sample and model in the index; ``.`` where it has none."""


class _Clipper:
    """Cuts texts that are too long, and counts how many it has cut."""

    def __init__(self) -> None:
        self.cut = 0

    def __call__(self, text: str) -> str:
        self.cut += len(text) > MAX_TEXT
        return text[:MAX_TEXT]


def sample_texts(view: ReportView) -> tuple[list[Any], int]:
    """What ``_texts_of`` gives for each sample, and how many texts were cut."""
    clip, judge = _Clipper(), FieldJudge()
    rows = [
        _texts_of(sample, view.all_tasks[sample.task], clip, judge) for sample in view.all_samples
    ]
    return rows, clip.cut


def _texts_of(sample: SampleView, task: TaskView, clip: _Clipper, judge: FieldJudge) -> list[Any]:
    """Question, references, what models said, places, and marks of fields or tests of a page."""
    references = [clip(text) for text in reference_texts(sample.sample)[:MAX_REFERENCES]]
    answers = [
        _answer(answer, task.metrics, seconds, clip)
        for answer, seconds in zip(sample.answers, sample.latency, strict=True)
    ]
    places = [[place.page, *(round(edge, 4) for edge in place[1:])] for place in sample.places]
    row: list[Any] = [clip(sample.sample.question), references, answers, places]
    if sample.sample.answer_type == "json":
        row.append(_field_marks(sample, task.headline, judge))
    elif tests := _page_tests(sample):
        row.extend([None, tests])
    return row


def _page_tests(sample: SampleView) -> list[Any]:
    """Per test of a page what it says, and per model whether it is passed (0 or 1); None if not known."""
    tests = page_tests_of(next(iter(sample.sample.references), None))
    if tests is None:
        return []
    columns = [_passed(answer, tests) for answer in sample.answers]
    return [
        [safe(described(test)), [column[number] for column in columns]]
        for number, test in enumerate(tests)
    ]


def _passed(answer: Answer | None, tests: Sequence[PageTest]) -> list[int | None]:
    if answer is None or answer.output is None or answer.failed:
        return [None] * len(tests)
    try:
        results = run_tests(as_text(answer.extracted), tests)
    except TooLarge:
        return [None] * len(tests)
    return [None if result.passed is None else int(result.passed) for result in results]


def _answer(
    answer: Answer | None, metrics: Sequence[str], seconds: float | None, clip: _Clipper
) -> Any:
    """What was said of a sample, or 0 if nothing was.

    ``[text, extracted or 0 where equal, scores, tokens, seconds, stop, error, length if cut, mean and
    smallest probability of a token, max_pixels that memory forced, why a server did not see the pages]``
    """
    if answer is None or answer.output is None:
        return 0
    output = answer.output
    extracted: Any = 0
    if answer.extracted != output.text and not answer.failed:
        extracted = clip(answer.extracted)
    scores = [answer.scores[name].value for name in metrics]
    return [
        clip(output.text),
        extracted,
        [None if s is None else round(s, 4) for s in scores],
        output.generated_tokens,
        None if seconds is None else round(seconds, 4),
        output.stop_reason,
        0 if output.error is None else output.error[:MAX_TEXT],
        len(output.text) if len(output.text) > MAX_TEXT else 0,
        None if output.confidence is None else round(output.confidence, 4),
        None if output.min_confidence is None else round(output.min_confidence, 4),
        output.degraded,
        None if answer.doubt is None else safe(answer.doubt[:MAX_TEXT]),
    ]


def _field_marks(sample: SampleView, headline: str, judge: FieldJudge) -> list[Any]:
    """Per model the unequal fields that the headline metric accepts, or None."""
    language = sample.sample.metadata.get("language")
    marks: list[Any] = []
    for answer in sample.answers:
        given = None
        if answer is not None and answer.output is not None and not answer.failed:
            given = judge.marks(
                headline,
                answer.extracted,
                sample.sample.references,
                language,
                sample.sample.json_schema,
            )
        marks.append(given)
    return marks


def sample_columns(view: ReportView, images: Mapping[str, int]) -> dict[str, Any]:
    """What filters, sorting and the list need of every sample, in columns.

    Args:
        view: the report.
        images: key of a page → number of its embedded image.
    """
    rows = range(len(view.rows))
    samples = view.all_samples
    numbers_of_documents, documents = _documents(samples, images)
    return {
        "tasks": [_task(task) for task in view.all_tasks],
        "models": [safe(row.key) for row in view.rows],
        "ids": [safe(sample.sample.id) for sample in samples],
        "task": [sample.task for sample in samples],
        "doc": numbers_of_documents,
        "documents": documents,
        "language": _metadata(samples, "language"),
        "doc_type": _metadata(samples, "doc_type"),
        "field": _metadata(samples, "field"),
        "levels": ["".join(LEVEL_CODES[sample.levels[i]] for sample in samples) for i in rows],
        "kinds": ["".join(_kind_code(sample.answers[i]) for sample in samples) for i in rows],
        "kind_names": {
            KIND_CODES[name]: [name, label(name), rule] for name, rule in RULE_TEXTS.items()
        },
        "heads": [_headline_column(view, i) for i in rows],
    }


def _task(task: TaskView) -> dict[str, Any]:
    return {
        "key": safe(task.key),
        "title": safe(task.title),
        "metrics": list(task.metrics),
        "higher": task.higher_is_better,
        "prompt": safe(task.prompt, newlines=True),
        "system": None if task.system is None else safe(task.system, newlines=True),
        **({"perturbed": True} if task.perturbation is not None else {}),
    }


def _documents(
    samples: Sequence[SampleView], images: Mapping[str, int]
) -> tuple[list[int], list[Any]]:
    """Per sample the number of its document; and per document its id and its pages."""
    numbers: dict[tuple[int, str], int] = {}
    documents: list[Any] = []
    for sample in samples:
        document_id = sample.sample.document_id
        if (sample.task, document_id) not in numbers:
            numbers[sample.task, document_id] = len(documents)
            documents.append([safe(document_id), _page_rows(sample, images)])
    return [numbers[sample.task, sample.sample.document_id] for sample in samples], documents


def _metadata(samples: Sequence[SampleView], key: str) -> list[Any]:
    """A column of few different values: the values once, and the number of one for each sample."""
    values = [safe(str(sample.sample.metadata.get(key) or "")) for sample in samples]
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return [list(numbers), [numbers[value] for value in values]]


def _kind_code(answer: Answer | None) -> str:
    if answer is None or answer.output is None or answer.mistake is None:
        return "."
    return KIND_CODES.get(answer.mistake, ".")


def _headline_column(view: ReportView, row: int) -> list[float | None]:
    values: list[float | None] = []
    for sample in view.all_samples:
        answer = sample.answers[row]
        value = None
        if answer is not None and answer.output is not None:
            value = answer.scores[view.all_tasks[sample.task].headline].value
        values.append(None if value is None else round(value, 4))
    return values


def _page_name(page: Page) -> str:
    """The file, its page where it has several, and what was done to it."""
    number = f" · {page.index + 1}" if page.index else ""
    done = page.perturbation
    words = "" if done is None else f" · digitally perturbed: {done.kind}, severity {done.severity}"
    return safe(page.path.name) + number + safe(words)


def _page_rows(sample: SampleView, images: Mapping[str, int]) -> list[Any]:
    """``[number of the image or −1, file name, preview beside the report]`` of every page."""
    return [
        [
            images.get(page.key, -1),
            _page_name(page),
            f"pages/{preview_path(Path(), page).name}",
        ]
        for page in sample.pages
    ]
