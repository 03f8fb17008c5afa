"""Looks for questions and references of a task that are probably wrong, so that a person can decide.

Nothing here is certain: a finding is a reason to look at a page. ``bench.authoring.mending`` carries out what
the person decided.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.errors import InvalidInput
from bench.formatting import listed, plural
from bench.metrics.fields import field_equivalent, value_kind
from bench.metrics.grounding import PageText, squeezed
from bench.metrics.leaves import flat
from bench.schema import Page, Sample, Task
from bench.scoring.answers import Answer
from bench.scoring.evaluation import Evaluation, document_key
from bench.scoring.levels import level
from bench.tasks.contents import page_contents
from bench.tasks.guard import document_text
from bench.tasks.pages import open_page
from bench.tasks.yesno import yes_or_no
from bench.text import one_line

Kind = Literal[
    "contradiction", "twice", "not-on-page", "odd-type", "copy", "look-alike", "all-wrong"
]

KINDS: Mapping[Kind, str] = {
    "contradiction": "the same question about the same page has different answers",
    "twice": "the same question about the same page is asked more than once",
    "not-on-page": "the text of the document does not contain the answer",
    "odd-type": "the answer is of another type than the other answers to this field",
    "copy": "the same page is in another task, or in another document of this one",
    "look-alike": "two pages look nearly the same",
    "all-wrong": "every model gets the question wrong",
}
"""Kind of a finding → what it means."""

VALUES_SHOWN = 3
"""Values of one object that a finding names."""
LEAST_IN_FIELD = 5
"""Answers that a field must have before one of them can be odd."""
COMMON_SHARE = 0.8
"""Share of a field's answers that must have one type before another one is odd."""
THUMBNAIL = 64
"""Side in pixels of the pictures by which pages are compared."""
ALIKE = 0.95
"""Correlation of two such pictures from which on pages look alike. Pages of the bundled tasks reach 0.84
with each other, and 0.98 with copies that were saved as JPEG or made smaller."""
MOST_COMPARED = 5_000
"""Pages that are compared with each other; comparing more would take minutes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should look at."""

    kind: Kind
    ids: tuple[str, ...]
    """The questions concerned."""
    pages: tuple[str, ...]
    """Files to look at."""
    message: str
    suggestion: tuple[str, ...] = ()
    """Answers that may be right instead."""

    @property
    def key(self) -> str:
        """Identity of the finding: it changes with the references that it is about."""
        content = json.dumps([self.kind, self.ids, self.message], ensure_ascii=False)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def audit(
    task: Task, others: Sequence[Task] = (), evaluations: Sequence[Evaluation] = ()
) -> list[Finding]:
    """Look at every question and page of ``task``.

    Args:
        task: the task.
        others: tasks that should not hold the same documents, such as the other part of a split.
        evaluations: scored runs of the task; what all of their models get wrong is a finding.
    """
    return [
        *_same_questions(task),
        *_not_on_page(task),
        *_odd_types(task),
        *_copies(task, others),
        *_look_alikes(task, others),
        *_all_wrong(task, evaluations),
    ]


def _files(task: Task, samples: Iterable[Sample]) -> tuple[str, ...]:
    """The page files of the questions' documents, each once."""
    pages = [page for sample in samples for page in task.documents[sample.document_id].pages]
    return tuple(dict.fromkeys(str(page.path) for page in pages))


def _texts(sample: Sample) -> list[str]:
    return [reference for reference in sample.references if isinstance(reference, str)]


# References


def _same_questions(task: Task) -> list[Finding]:
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in task.samples:
        groups[document_key(task, sample.document_id), squeezed(sample.question)].append(sample)
    findings = []
    for samples in groups.values():
        if len(samples) < 2:
            continue
        ids = tuple(sample.id for sample in samples)
        question = one_line(samples[0].question, 80)
        if all(_agree(samples[0], other) for other in samples[1:]):
            kind: Kind = "twice"
            message = f"{question!r} is asked {len(samples)} times"
        else:
            kind = "contradiction"
            answers = [repr(one_line(_shown(sample), 60)) for sample in samples]
            message = f"{question!r} has the answers {listed(answers)}"
        findings.append(Finding(kind, ids, _files(task, samples), message))
    return findings


def _shown(sample: Sample) -> str:
    return " or ".join(str(reference) for reference in sample.references) or "none"


def _agree(first: Sample, second: Sample) -> bool:
    """Whether the two have an answer in common."""
    if first.references == second.references:
        return True
    field, language = first.metadata.get("field"), first.metadata.get("language")
    return any(
        field_equivalent(text, _texts(second), field=field, language=language).equivalent
        for text in _texts(first)
        if _texts(second)
    )


def _not_on_page(task: Task) -> list[Finding]:
    by_document: dict[str, list[Sample]] = defaultdict(list)
    for sample in task.samples:
        if sample.answer_type != "description":
            by_document[sample.document_id].append(sample)
    findings = []
    for document_id, samples in by_document.items():
        try:
            text = document_text(task.documents[document_id])
        except InvalidInput:
            # Whether a page can be opened is for `bench data validate` to say.
            text = None
        if text is None:
            continue
        page = PageText(text)
        findings += [
            Finding(
                "not-on-page",
                (sample.id,),
                _files(task, [sample]),
                f"{one_line(sample.question, 80)!r} has the answer {one_line(_shown(sample), 80)!r}",
            )
            for sample in samples
            if _texts(sample)
            and not any(
                yes_or_no(each) is not None or page.may_hold(each) for each in _texts(sample)
            )
        ]
        findings += [
            finding for sample in samples if (finding := _lacking_values(task, sample, page))
        ]
    return findings


def _lacking_values(task: Task, sample: Sample, page: PageText) -> Finding | None:
    """The values of an object that the page does not have, if it has an object that lacks none otherwise."""
    language = sample.metadata.get("language")
    lacking = [
        [
            f"{path} {one_line(repr(leaf), 60)}"
            for path, leaf in flat(reference)
            if not isinstance(leaf, bool) and not page.may_hold(leaf, language)
        ]
        for reference in sample.references
        if isinstance(reference, dict | list)
    ]
    fewest = min(lacking, key=len, default=[])
    if not fewest:
        return None
    shown = fewest[:VALUES_SHOWN] + (["…"] if len(fewest) > VALUES_SHOWN else [])
    message = f"{plural(len(fewest), 'value')} of the answer: {one_line(', '.join(shown), 200)}"
    return Finding("not-on-page", (sample.id,), _files(task, [sample]), message)


def _odd_types(task: Task) -> list[Finding]:
    by_field: dict[str, list[tuple[Sample, str]]] = defaultdict(list)
    for sample in task.samples:
        field, texts = sample.metadata.get("field"), _texts(sample)
        if field and texts and any(text.strip() for text in texts):
            language = sample.metadata.get("language")
            kind = _broad_kind(texts[0], field, language)
            by_field[field].append((sample, kind))
    findings = []
    for field, members in by_field.items():
        common, count = Counter(kind for _, kind in members).most_common(1)[0]
        if len(members) < LEAST_IN_FIELD or count < COMMON_SHARE * len(members):
            continue
        findings += [
            Finding(
                "odd-type",
                (sample.id,),
                _files(task, [sample]),
                f"{one_line(_shown(sample), 80)!r} is a {kind}, but {count} of {len(members)} answers "
                f"to {one_line(field, 60)!r} are {common}s",
            )
            for sample, kind in members
            if kind != common
        ]
    return findings


def _broad_kind(text: str, field: str, language: str | None) -> str:
    """Date, number or text: finer types of numbers often look alike."""
    kind = value_kind(text, field=field, language=language)
    if kind is None:
        return "text"
    return "date" if kind == "date" else "number"


# Pages


class _Place(NamedTuple):
    """Where a page is."""

    task: Task
    document_id: str
    page: Page


def _all_pages(tasks: Iterable[Task]) -> list[_Place]:
    return [
        _Place(task, document.id, page)
        for task in tasks
        for document in task.documents.values()
        for page in document.pages
    ]


def _ids_of(task: Task, document_id: str) -> tuple[str, ...]:
    return tuple(sample.id for sample in task.samples if sample.document_id == document_id)


def _copies(task: Task, others: Sequence[Task]) -> list[Finding]:
    """Pages that are there twice: in another task, or in another document of this one."""
    pages = _all_pages([task, *others])
    contents = page_contents(page for _, _, page in pages)
    places: dict[str, dict[tuple[str, str], _Place]] = defaultdict(dict)
    for place in pages:
        key = (place.task.name if place.task is not task else "", place.document_id)
        places[contents[place.page]].setdefault(key, place)
    findings = []
    for group in places.values():
        first, *rest = group.values()
        # Pages of this task come first. A blank page is the copy of every other one.
        if first.task is not task or not rest or not _picture(first.page).any():
            continue
        own = [first, *(place for place in rest if place.task is task)]
        named = listed(_named(place, task) for place in rest)
        ids = tuple(id_ for place in own for id_ in _ids_of(task, place.document_id))
        files = tuple(dict.fromkeys(str(place.page.path) for place in group.values()))
        message = f"{_named(first, task)} is the same page as {named}"
        findings.append(Finding("copy", ids, files, message))
    return findings


def _look_alikes(task: Task, others: Sequence[Task]) -> list[Finding]:
    """Pairs of pages that look alike, at least one of them of ``task``; copies are no pairs of this kind."""
    pages = _all_pages([task, *others])[:MOST_COMPARED]
    contents = page_contents(page for _, _, page in pages)
    # Of pages with one content the first stays.
    candidates = list({contents[place.page]: place for place in reversed(pages)}.values())[::-1]
    pictures = np.array([_picture(place.page) for place in candidates])
    alike = np.triu(pictures @ pictures.T >= ALIKE, k=1)
    findings = []
    for first, second in np.argwhere(alike).tolist():
        one, other = candidates[first], candidates[second]
        if one.task is not task or (other.task is task and one.document_id == other.document_id):
            continue
        findings.append(
            Finding(
                "look-alike",
                _ids_of(task, one.document_id),
                (str(one.page.path), str(other.page.path)),
                f"{_named(one, task)} and {_named(other, task)}",
            )
        )
    return findings


def _named(place: _Place, own: Task) -> str:
    """The page by its file, and by its number and its task where they are needed."""
    page = place.page
    name = page.path.name if page.index == 0 else f"{page.path.name} page {page.index + 1}"
    return name if place.task is own else f"{name} of the task {one_line(place.task.name, 60)}"


def _picture(page: Page) -> NDArray[np.float32]:
    """A small grey picture of the page with mean 0 and length 1; zeros for a page that cannot be opened."""
    size = (THUMBNAIL, THUMBNAIL)
    try:
        image = open_page(page).convert("L").resize(size)
    except InvalidInput:
        return np.zeros(THUMBNAIL * THUMBNAIL, dtype=np.float32)
    grey = np.asarray(image, dtype=np.float32).ravel()
    grey = grey - grey.mean()
    length = float(np.linalg.norm(grey))
    return np.asarray(grey / length if length > 0 else grey, dtype=np.float32)


# Answers of models


def _all_wrong(task: Task, evaluations: Sequence[Evaluation]) -> list[Finding]:
    answers: dict[str, list[tuple[str, Answer, str]]] = defaultdict(list)
    for evaluation in evaluations:
        for (model, name), cell in evaluation.cells.items():
            if name == task.name:
                for answer in cell.answers:
                    answers[answer.sample.id].append((model, answer, cell.headline))
    findings = []
    for sample in task.samples:
        given = [
            (model, answer, metric)
            for model, answer, metric in answers[sample.id]
            if (answer.sample.question, answer.sample.references)
            == (sample.question, sample.references)
        ]
        models = {model for model, _, _ in given}
        if len(models) < 2 or any(level(answer, metric) != "wrong" for _, answer, metric in given):
            continue
        counts = Counter(answer.extracted.strip() for _, answer, _ in given)
        common = tuple(text for text, count in counts.most_common(3) if text and count > 1)
        agreed = f"; {counts[common[0]]} say {one_line(common[0], 60)!r}" if common else ""
        findings.append(
            Finding(
                "all-wrong",
                (sample.id,),
                _files(task, [sample]),
                f"{one_line(sample.question, 80)!r} has the answer {one_line(_shown(sample), 60)!r}, and "
                f"{plural(len(models), 'model')} are wrong{agreed}",
                suggestion=common,
            )
        )
    return findings
