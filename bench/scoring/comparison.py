"""Two models on the same questions: paired differences by task or slice, and the answers that flipped.

Pairs are formed by sample, clusters are documents (Miller 2024, arXiv 2411.00640, section 4), and
p-values are adjusted for everything that is compared at once (Holm 1979). An answer is *accepted* from
the headline score ``ACCEPTED`` on. A question is gained where the second side alone has an accepted
answer, and lost where the first side alone has one. These two counts are compared by the
same test as the differences: by document, and exact where few documents flip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Literal

import numpy as np

from bench.errors import InvalidInput, did_you_mean
from bench.formatting import listed
from bench.schema import Sample
from bench.scoring.answers import Answer
from bench.scoring.conclusions import ALPHA, conclusion
from bench.scoring.evaluation import Cell, Evaluation, document_keys
from bench.scoring.levels import ACCEPTED, common_direction, higher_is_better
from bench.stats import PairedDifference, PairedWeights, holm, paired_difference
from bench.text import one_line

Trained = Literal["train", "validation", "test", "none"]
"""What a tuned model saw of a task. ``train``: it was trained on documents of the task. ``validation``:
its checkpoint was chosen by the task. ``test``: the task is the test part of what it was trained on.
``none``: it saw nothing of the task, so that a loss there is forgetting."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: a model of a run."""

    evaluation: Evaluation
    model: str

    @property
    def label(self) -> str:
        """Run and model, as a person names them."""
        return f"{self.evaluation.run.id}:{self.model}"

    @property
    def has_no_answers(self) -> bool:
        """Whether the model answered no question of its run, for example because it could not be loaded."""
        cells = [self.evaluation.cells[self.model, task] for task in self.evaluation.tasks]
        return all(answer.output is None for cell in cells for answer in cell.answers)

    @property
    def why_no_answers(self) -> str:
        """Why the model has no answers, in words: what it failed with, or that it was not asked."""
        record = self.evaluation.run.failure(self.model)
        message = record.get("message") or record.get("error") if record is not None else None
        return f"it failed: {one_line(str(message), 300)}" if message else "it was never asked"

    @property
    def tuned(self) -> bool:
        """Whether the model says that ``bench tune`` trained it."""
        return bool(self._trained_on())

    def trained(self, task: str) -> Trained | None:
        """What the model saw of ``task`` in training; None if it is not tuned.

        Documents are recognised by the files of their pages, so that another name does not hide them. The
        task's name and digest are looked at as well, because files may have been saved again.
        """
        trained_on = self._trained_on()
        if not trained_on:
            return None
        train, validation = trained_on.get("train"), trained_on.get("validation")
        tests = trained_on.get("tests")
        if self._shares_pages(train, task):
            return "train"
        if isinstance(tests, list) and any(self._is_task(part, task) for part in tests):
            return "test"
        # The task before it was cut holds the training part.
        if self._is_task(train, task) or trained_on.get("name") == task:
            return "train"
        if self._is_task(validation, task) or self._shares_pages(validation, task):
            return "validation"
        return "none"

    def _trained_on(self) -> Mapping[str, Any]:
        record = self.evaluation.run.model_record(self.model) or {}
        trained_on = (record.get("details") or {}).get("trained_on")
        return trained_on if isinstance(trained_on, dict) else {}

    def _is_task(self, part: Any, task: str) -> bool:
        """Whether ``part`` of the training data, as the model recorded it, is ``task`` of this run."""
        if not isinstance(part, dict):
            return False
        digest = self.evaluation.run.task_record(task).get("digest")
        return part.get("name") == task or part.get("digest") == digest

    def _shares_pages(self, part: Any, task: str) -> bool:
        """Whether ``part`` of the training data holds a page of ``task``."""
        seen = part.get("pages") if isinstance(part, dict) else None
        if not isinstance(seen, list):
            return False
        documents = self.evaluation.tasks[task].documents.values()
        pages = {page.source_key for document in documents for page in document.pages}
        return not pages.isdisjoint(map(str, seen))


@dataclass(frozen=True, slots=True)
class Flip:
    """A question to which one side has an accepted answer and the other has not."""

    task: str
    sample: Sample
    first: Answer
    second: Answer
    first_score: float
    second_score: float

    @property
    def gained(self) -> bool:
        """Whether the second side has the accepted answer."""
        return self.second_score > self.first_score


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One line of the paired table: a task, or a slice of one."""

    name: str
    metric: str
    first: float | None
    """Mean headline score of the first side on the questions that both have a score for; None without any."""
    second: float | None
    """Mean headline score of the second side on the same questions."""
    difference: PairedDifference
    """Second minus first, in the metric's own unit: positive where the second scores higher."""
    p_holm: float | None
    gained: int
    """Questions to which only the second side has an accepted answer."""
    lost: int
    """Questions to which only the first side has an accepted answer."""
    p_mcnemar: float | None
    """Of gained against lost, by document, and exact where few documents flip: McNemar's test where every
    document has one question. None for error rates, by which no answer is accepted or refused, and where
    all questions are of one document."""
    trained: Trained | None = None
    """What the second side saw of this task in training; None if it is not from ``bench tune``."""
    is_slice: bool = False
    """Whether this is a part of a task."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """The questions of one task, or of a slice of it, that both sides were asked."""

    task: str
    metric: str
    clusters: Sequence[str]
    first: Sequence[Answer]
    second: Sequence[Answer]

    def values(self, side: Sequence[Answer]) -> list[float | None]:
        """The scores of one side."""
        return [answer.scores[self.metric].value for answer in side]

    def weights(self, side: Sequence[Answer]) -> list[float]:
        """How much each score of one side counts."""
        return [answer.scores[self.metric].weight for answer in side]

    def paired_weights(self) -> PairedWeights:
        """The weights of second − first."""
        one_task = np.zeros(len(self.first), dtype=np.intp)
        return PairedWeights(self.weights(self.second), self.weights(self.first), one_task)

    def only(self, key: str, value: str) -> Pairing:
        """The questions whose metadata have ``value`` under ``key``."""
        kept = [
            index
            for index, answer in enumerate(self.first)
            if answer.sample.metadata.get(key) == value
        ]
        return Pairing(
            self.task,
            self.metric,
            [self.clusters[index] for index in kept],
            [self.first[index] for index in kept],
            [self.second[index] for index in kept],
        )


@dataclass(frozen=True, slots=True)
class PairedAnswers:
    """Two models on the questions that both were asked."""

    overall: ComparisonRow | None
    """Over all shared tasks, which count the same; None if their metrics have no common score."""
    rows: tuple[ComparisonRow, ...]
    """The tasks, and behind them the parts of tasks."""
    flips: tuple[Flip, ...]
    """The gained and the lost questions, the largest change first."""
    pairings: tuple[Pairing, ...]
    """The shared questions by task."""

    def conclusion(self, first: str = "A", second: str = "B") -> str:
        """The answer in one sentence."""
        row = self.overall
        if row is None:
            return f"The tasks have no common score. {self._by_task(first, second)}"
        tasks = len(self.pairings)
        return conclusion(
            row.difference,
            first,
            second,
            higher_is_better=higher_is_better(row.metric),
            scope=f"of {tasks} tasks" if tasks > 1 else "",
        )

    def _by_task(self, first: str, second: str) -> str:
        """On which tasks who is better beyond the noise, after correction for how many tasks there are."""
        groups: dict[str, list[str]] = {
            f"{second} is better on": [],
            f"{first} is better on": [],
            "No difference can be told on": [],
        }
        ahead, behind, open_ = groups
        for row in self.rows:
            gap = row.difference.difference
            if row.is_slice:
                continue
            if gap is None or row.p_holm is None or row.p_holm >= ALPHA:
                groups[open_].append(row.name)
            else:
                groups[ahead if (gap > 0) == higher_is_better(row.metric) else behind].append(
                    row.name
                )
        said = [f"{words} {listed(names, 6)}." for words, names in groups.items() if names]
        return " ".join(said)


@dataclass(frozen=True, slots=True)
class Comparison(PairedAnswers):
    """Everything that ``bench compare`` prints."""

    first: Side
    second: Side
    unpaired: Mapping[str, int]
    """Task → questions that only one side was asked, or that differ between the two runs."""


def compare(first: Side, second: Side, *, by: Sequence[str] = ()) -> Comparison:
    """Compare two sides on the questions that they share.

    Args:
        first: the baseline.
        second: what is compared with it.
        by: metadata keys that each task is also broken down by; see ``usual_keys``.

    Raises:
        InvalidInput: the two share no question, or no question has a key of ``by``.
    """
    pairings, unpaired = _pairings(first, second)
    if not pairings:
        raise _nothing_shared(first, second)
    clean = first.evaluation.clean.tasks
    # The answer of a comparison is that of clean pages; what perturbed pages show stands below it.
    on_clean = [pairing for pairing in pairings if pairing.task in clean] or pairings
    on_perturbed = [pairing for pairing in pairings if pairing not in on_clean]
    tasks = [
        replace(_row(pairing.task, pairing), trained=second.trained(pairing.task))
        for pairing in on_clean
    ]
    parts = [
        replace(_row(each.task, each), trained=second.trained(each.task), is_slice=True)
        for each in on_perturbed
    ]
    for key in by:
        _check_key(key, on_clean)
        for pairing in on_clean:
            for value in _values_of(key, pairing):
                row = _row(f"{pairing.task} · {key}={value}", pairing.only(key, value))
                parts.append(replace(row, trained=second.trained(pairing.task), is_slice=True))
    paired = pair_answers(on_clean, tasks, parts)
    return Comparison(
        paired.overall, paired.rows, paired.flips, paired.pairings, first, second, unpaired
    )


def pair_answers(
    pairings: Sequence[Pairing],
    tasks: Sequence[ComparisonRow] | None = None,
    parts: Sequence[ComparisonRow] = (),
) -> PairedAnswers:
    """Compare the two sides of ``pairings``, of which each is a task.

    Args:
        pairings: the shared questions.
        tasks: the row of each task, where it is known already.
        parts: rows of parts of the tasks; their p-values are adjusted together with those of the tasks.
    """
    rows = [_row(each.task, each) for each in pairings] if tasks is None else list(tasks)
    flips = [flip for pairing in pairings for flip in _flips(pairing)]
    flips.sort(
        key=lambda flip: (-abs(flip.second_score - flip.first_score), flip.task, flip.sample.id)
    )
    return PairedAnswers(
        _overall(pairings, rows),
        tuple(_adjusted([*rows, *parts])),
        tuple(flips),
        tuple(pairings),
    )


def _nothing_shared(first: Side, second: Side) -> InvalidInput:
    """The error that says why two sides share no question."""
    for side in (first, second):
        if side.has_no_answers:
            return InvalidInput(
                f"{side.label} has no answers, so there is nothing to compare: {side.why_no_answers}",
                hint="run the command of that run again; it asks what is missing",
            )
    nothing = f"{first.label} and {second.label} share no question"
    shared = [name for name in first.evaluation.tasks if name in second.evaluation.tasks]
    if not shared:
        own, other = (", ".join(side.evaluation.tasks) for side in (first, second))
        return InvalidInput(
            f"{nothing}: the first was asked {one_line(own, 120)}, and the second {one_line(other, 120)}",
            hint="run one of them on the other's tasks; bench list runs shows the tasks of each run",
        )
    names = one_line(", ".join(shared), 120)
    asked = [_asked_ids(side, shared) for side in (first, second)]
    if asked[0].isdisjoint(asked[1]):
        return InvalidInput(
            f"{nothing}: of {names} they were asked different questions",
            hint="run both with the same --limit or --sample-ids",
        )
    return InvalidInput(
        f"{nothing}: the questions or references of {names} changed between the two runs",
        hint="run one of them again, so that both have the same version of the task",
    )


def _asked_ids(side: Side, tasks: Sequence[str]) -> set[tuple[str, str]]:
    return {
        (task, answer.sample.id)
        for task in tasks
        for answer in side.evaluation.cells[side.model, task].answers
        if answer.output is not None
    }


def usual_keys(first: Side, second: Side) -> tuple[str, ...]:
    """What a comparison is broken down by unless a person says: by field, where B is tuned and has fields."""
    if not second.tuned:
        return ()
    for task in first.evaluation.tasks:
        cell = second.evaluation.cells.get((second.model, task))
        if cell is not None and any("field" in answer.sample.metadata for answer in cell.answers):
            return ("field",)
    return ()


def _check_key(key: str, pairings: Sequence[Pairing]) -> None:
    known: set[str] = set()
    for pairing in pairings:
        known.update(*(answer.sample.metadata for answer in pairing.first))
    if key not in known:
        raise InvalidInput(
            f"no shared question has the metadata key {one_line(key, 60)!r}",
            hint=did_you_mean(key, known),
        )


def _values_of(key: str, pairing: Pairing) -> list[str]:
    metadata = [answer.sample.metadata for answer in pairing.first]
    return sorted({values[key] for values in metadata if key in values})


def _pairings(first: Side, second: Side) -> tuple[list[Pairing], dict[str, int]]:
    """The shared questions of every task that both sides have, and by task how many are not shared."""
    pairings: list[Pairing] = []
    unpaired: dict[str, int] = {}
    for name in first.evaluation.tasks:
        if name not in second.evaluation.tasks:
            continue
        left = first.evaluation.cells[first.model, name]
        right = second.evaluation.cells[second.model, name]
        others = {answer.sample.id: answer for answer in right.answers}
        documents: list[str] = []
        shared: list[tuple[Answer, Answer]] = []
        for document, answer in zip(document_keys(left), left.answers, strict=True):
            other = others.get(answer.sample.id)
            if other is not None and _same_question(answer, other):
                documents.append(document)
                shared.append((answer, other))
        sample_ids = {answer.sample.id for answer in left.answers} | others.keys()
        if missing := len(sample_ids) - len(shared):
            unpaired[name] = missing
        if shared:
            firsts, seconds = zip(*shared, strict=True)
            pairings.append(Pairing(name, _metric(left, right), documents, firsts, seconds))
    return pairings, unpaired


def _same_question(first: Answer, second: Answer) -> bool:
    if first.output is None or second.output is None:
        return False
    one, other = first.sample, second.sample
    return (one.question, one.references) == (other.question, other.references)


def _metric(first: Cell, second: Cell) -> str:
    if first.headline in second.task.metrics:
        return first.headline
    shared = [name for name in first.task.metrics if name in second.task.metrics]
    if not shared:
        raise InvalidInput(
            f"task {first.task.name} has no metric in common in the two runs",
            hint=f"--metrics {first.headline}",
        )
    return shared[0]


def _overall(pairings: Sequence[Pairing], rows: Sequence[ComparisonRow]) -> ComparisonRow | None:
    """All tasks together; None if their metrics have no common mean."""
    if len(rows) == 1:
        return rows[0]
    direction = common_direction(pairing.metric for pairing in pairings)
    if direction is None:
        return None
    first: list[float | None] = []
    second: list[float | None] = []
    first_weights: list[float] = []
    second_weights: list[float] = []
    tasks: list[int] = []
    clusters: list[str] = []
    balance: list[int] = []
    for number, pairing in enumerate(pairings):
        first += pairing.values(pairing.first)
        second += pairing.values(pairing.second)
        first_weights += pairing.weights(pairing.first)
        second_weights += pairing.weights(pairing.second)
        tasks += [number] * len(pairing.first)
        clusters += pairing.clusters
        balance += _balance(pairing)
    weights = PairedWeights(second_weights, first_weights, np.array(tasks))
    firsts = [row.first for row in rows if row.first is not None]
    seconds = [row.second for row in rows if row.second is not None]
    return ComparisonRow(
        name="all tasks",
        # Error rates are all of one kind, and its name says which way is better.
        metric="mean of tasks" if direction == "higher" else pairings[0].metric,
        first=fmean(firsts) if firsts else None,
        second=fmean(seconds) if seconds else None,
        difference=paired_difference(second, first, clusters, weights=weights),
        p_holm=None,
        gained=sum(row.gained for row in rows),
        lost=sum(row.lost for row in rows),
        p_mcnemar=_balance_test(balance, clusters) if direction == "higher" else None,
    )


def _row(name: str, pairing: Pairing) -> ComparisonRow:
    first, second = pairing.values(pairing.first), pairing.values(pairing.second)
    first_weights, second_weights = pairing.weights(pairing.first), pairing.weights(pairing.second)
    balance = _balance(pairing)
    can_accept = higher_is_better(pairing.metric)
    return ComparisonRow(
        name=name,
        metric=pairing.metric,
        first=_mean(first, second, first_weights),
        second=_mean(second, first, second_weights),
        difference=paired_difference(
            second, first, pairing.clusters, weights=pairing.paired_weights()
        ),
        p_holm=None,
        gained=balance.count(1),
        lost=balance.count(-1),
        p_mcnemar=_balance_test(balance, pairing.clusters) if can_accept else None,
    )


def _balance_test(balance: Sequence[int], clusters: Sequence[str]) -> float | None:
    """Compare gained with lost, with the answers about one document taken together."""
    return paired_difference(balance, [0] * len(balance), clusters).p


def _mean(
    values: Sequence[float | None], others: Sequence[float | None], weights: Sequence[float]
) -> float | None:
    """The weighted mean of ``values`` on the questions that both sides have a score for; None without any."""
    total = total_weight = 0.0
    for value, other, weight in zip(values, others, weights, strict=True):
        if value is not None and other is not None:
            total += value * weight
            total_weight += weight
    return total / total_weight if total_weight else None


def _balance(pairing: Pairing) -> list[int]:
    """Of every question: 1 if the answer is gained, −1 if it is lost, otherwise 0."""
    if not higher_is_better(pairing.metric):
        return [0] * len(pairing.first)
    scores = zip(pairing.values(pairing.first), pairing.values(pairing.second), strict=True)
    return [
        0 if before is None or after is None else int(after >= ACCEPTED) - int(before >= ACCEPTED)
        for before, after in scores
    ]


def _flips(pairing: Pairing) -> list[Flip]:
    flips = []
    rows = zip(_balance(pairing), pairing.first, pairing.second, strict=True)
    for step, first, second in rows:
        before = first.scores[pairing.metric].value
        after = second.scores[pairing.metric].value
        if step != 0 and before is not None and after is not None:
            flips.append(Flip(pairing.task, first.sample, first, second, before, after))
    return flips


def _adjusted(rows: Sequence[ComparisonRow]) -> list[ComparisonRow]:
    """The rows with p-values that Holm adjusted over all of them; a row without a test keeps none."""
    p_values = [row.difference.p for row in rows if row.difference.p is not None]
    adjusted = iter(holm(p_values))
    return [
        row if row.difference.p is None else replace(row, p_holm=next(adjusted)) for row in rows
    ]


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain data."""
    flips = [
        {
            "task": flip.task,
            "sample_id": flip.sample.id,
            "question": flip.sample.question,
            "references": list(flip.sample.references),
            "first": {"answer": flip.first.extracted, "score": flip.first_score},
            "second": {"answer": flip.second.extracted, "score": flip.second_score},
        }
        for flip in comparison.flips
    ]
    return {
        "first": comparison.first.label,
        "second": comparison.second.label,
        "conclusion": comparison.conclusion(),
        "overall": None if comparison.overall is None else asdict(comparison.overall),
        "rows": [asdict(row) for row in comparison.rows],
        "flips": flips,
        "unpaired": dict(comparison.unpaired),
    }
