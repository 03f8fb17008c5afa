"""Two models on the same questions: paired differences by task or slice, and the answers that flipped.

Pairs are formed by sample, clusters are documents (Miller 2024, arXiv 2411.00640, section 4), and p-values
are adjusted over everything that is compared at once (Holm 1979). A question counts as *right* where the
task's headline score reaches ``RIGHT``, the threshold of ANLS; McNemar's test is on that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from bench.errors import InvalidInput, did_you_mean
from bench.metrics import METRICS
from bench.schema import Sample
from bench.scoring.evaluation import Answer, Cell, Evaluation, document_keys
from bench.stats import PairedDifference, holm, mcnemar_exact, paired_difference
from bench.text import one_line

RIGHT = 0.5
"""Headline score from which an answer counts as right in flips and McNemar's table."""


Trained = Literal["train", "validation", "test", "none"]
"""Of a tuned model and a task: it was trained on documents of it; it was chosen by it; the task is the
test part of what it was trained on; it was not trained on, so that a loss there is forgetting."""


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
    def tuned(self) -> bool:
        """Whether the model says that ``bench tune`` trained it."""
        return bool(self._trained_on())

    def trained(self, task: str) -> Trained | None:
        """What the model was trained on of ``task``; None where it is not tuned.

        Told by the pages' files, so that documents under another name are found, and by the task's name and
        digest, so that files that were saved again are.
        """
        parts = self._trained_on()
        if not parts:
            return None
        digest = self.evaluation.run.task_record(task).get("digest")
        documents = self.evaluation.tasks[task].documents.values()
        pages = {page.key for document in documents for page in document.pages}

        def same(part: Any) -> bool:
            return isinstance(part, dict) and (
                part.get("name") == task or part.get("digest") == digest
            )

        def shares(part: Any) -> bool:
            seen = part.get("pages") if isinstance(part, dict) else None
            return isinstance(seen, list) and not pages.isdisjoint(map(str, seen))

        train, validation, tests = (parts.get(key) for key in ("train", "validation", "tests"))
        if shares(train):
            return "train"
        if any(same(part) for part in (tests if isinstance(tests, list) else [])):
            return "test"
        # The task before it was cut holds the training part.
        if same(train) or parts.get("name") == task:
            return "train"
        return "validation" if same(validation) or shares(validation) else "none"

    def _trained_on(self) -> Mapping[str, Any]:
        record = self.evaluation.run.model_record(self.model) or {}
        parts = (record.get("details") or {}).get("trained_on")
        return parts if isinstance(parts, dict) else {}


@dataclass(frozen=True, slots=True)
class Flip:
    """A question that one side answers rightly and the other does not."""

    task: str
    sample: Sample
    first: Answer
    second: Answer
    first_score: float
    second_score: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the paired table: a task, or a slice of one."""

    name: str
    metric: str
    first: float
    """Mean headline score of the first side on the shared questions."""
    second: float
    difference: PairedDifference
    """Second minus first, in the metric's own unit: positive where the second scores higher."""
    p_holm: float | None
    gained: int
    """Questions that only the second answers rightly."""
    lost: int
    """Questions that only the first answers rightly."""
    p_mcnemar: float | None
    """Exact, on gained against lost; None for error rates, which have no right and wrong."""
    trained: Trained | None = None
    """What the second side was trained on of this task; None where it is not from ``bench tune``."""
    is_slice: bool = False
    """Whether this is a part of a task."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything ``bench compare`` prints."""

    first: Side
    second: Side
    rows: tuple[Row, ...]
    flips: tuple[Flip, ...]
    """Largest change first; the gained and the lost."""
    unpaired: Mapping[str, int]
    """Task → questions that only one side was asked, or that differ between the two runs."""
    pairings: tuple[Pairing, ...]
    """The shared questions by task."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """The questions of one task that both sides were asked."""

    task: str
    metric: str
    clusters: Sequence[str]
    first: Sequence[Answer]
    second: Sequence[Answer]

    def values(self, side: Sequence[Answer]) -> list[float | None]:
        """The scores of one side."""
        return [answer.scores[self.metric].value for answer in side]

    def weights(self) -> list[float]:
        """The weights of the questions, the same on both sides."""
        return [answer.scores[self.metric].weight for answer in self.first]

    def only(self, key: str, value: str) -> Pairing:
        """The questions whose metadata say so."""
        keep = [i for i, a in enumerate(self.first) if a.sample.metadata.get(key) == value]
        return Pairing(
            self.task,
            self.metric,
            [self.clusters[i] for i in keep],
            [self.first[i] for i in keep],
            [self.second[i] for i in keep],
        )


def compare(first: Side, second: Side, *, by: Sequence[str] = (), seed: int = 0) -> Comparison:
    """Compare two sides on the questions that they share.

    Args:
        first: the baseline.
        second: what is held against it.
        by: metadata keys that each task is also broken down by; see ``usual_keys``.
        seed: of the intervals.

    Raises:
        InvalidInput: the two share no question, or none has a key of ``by``.
    """
    pairings, unpaired = _pairings(first, second)
    if not pairings:
        raise InvalidInput(
            f"{first.label} and {second.label} share no question",
            hint="bench list runs shows the tasks of each run",
        )
    named = [(pairing.task, pairing) for pairing in pairings]
    for key in by:
        _check_key(key, pairings)
        for pairing in pairings:
            values = sorted(
                {a.sample.metadata[key] for a in pairing.first if key in a.sample.metadata}
            )
            named += [
                (f"{pairing.task} · {key}={value}", pairing.only(key, value)) for value in values
            ]
    rows = [
        replace(
            _row(name, pairing, seed),
            trained=second.trained(pairing.task),
            is_slice=name != pairing.task,
        )
        for name, pairing in named
    ]
    tested = [i for i, row in enumerate(rows) if row.difference.p is not None]
    adjusted = dict(zip(tested, holm([rows[i].difference.p or 0.0 for i in tested]), strict=True))
    flips = sorted(
        (flip for pairing in pairings for flip in _flips(pairing)),
        key=lambda flip: (-abs(flip.second_score - flip.first_score), flip.task, flip.sample.id),
    )
    return Comparison(
        first,
        second,
        tuple(replace(row, p_holm=adjusted.get(i)) for i, row in enumerate(rows)),
        tuple(flips),
        unpaired,
        tuple(pairings),
    )


def usual_keys(first: Side, second: Side) -> tuple[str, ...]:
    """What a comparison is broken down by unless a person says: fields, where a tuned model has some."""
    asked = (
        answer.sample.metadata
        for (model, task), cell in second.evaluation.cells.items()
        if model == second.model and task in first.evaluation.tasks
        for answer in cell.answers
    )
    return ("field",) if second.tuned and any("field" in keys for keys in asked) else ()


def _check_key(key: str, pairings: Sequence[Pairing]) -> None:
    known = {name for pairing in pairings for a in pairing.first for name in a.sample.metadata}
    if key not in known:
        raise InvalidInput(
            f"no shared question has the metadata key {one_line(key, 60)!r}",
            hint=did_you_mean(key, known),
        )


def _pairings(first: Side, second: Side) -> tuple[list[Pairing], dict[str, int]]:
    pairings: list[Pairing] = []
    unpaired: dict[str, int] = {}
    for name in first.evaluation.tasks:
        if name not in second.evaluation.tasks:
            continue
        left = first.evaluation.cells[first.model, name]
        right = second.evaluation.cells[second.model, name]
        others = {answer.sample.id: answer for answer in right.answers}
        shared = [
            (key, answer, others[answer.sample.id])
            for key, answer in zip(document_keys(left), left.answers, strict=True)
            if answer.sample.id in others and _same_question(answer, others[answer.sample.id])
        ]
        asked = {answer.sample.id for answer in left.answers} | others.keys()
        if missing := len(asked) - len(shared):
            unpaired[name] = missing
        if shared:
            keys, lefts, rights = zip(*shared, strict=True)
            pairings.append(Pairing(name, _metric(left, right), keys, lefts, rights))
    return pairings, unpaired


def _same_question(first: Answer, second: Answer) -> bool:
    one, other = first.sample, second.sample
    asked = first.output is not None and second.output is not None
    return asked and (one.question, one.references) == (other.question, other.references)


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


def _row(name: str, pairing: Pairing, seed: int) -> Row:
    first, second = pairing.values(pairing.first), pairing.values(pairing.second)
    weights = pairing.weights()
    difference = paired_difference(second, first, pairing.clusters, weights=weights, seed=seed)
    flips = _flips(pairing)
    gained = sum(flip.second_score > flip.first_score for flip in flips)
    lost = len(flips) - gained
    has_right = METRICS[pairing.metric].direction == "higher"
    return Row(
        name=name,
        metric=pairing.metric,
        first=_mean(first, second, weights),
        second=_mean(second, first, weights),
        difference=difference,
        p_holm=None,
        gained=gained,
        lost=lost,
        p_mcnemar=mcnemar_exact(gained, lost) if has_right else None,
    )


def _mean(
    values: Sequence[float | None], others: Sequence[float | None], weights: Sequence[float]
) -> float:
    kept = [
        (value, weight)
        for value, other, weight in zip(values, others, weights, strict=True)
        if value is not None and other is not None
    ]
    total = sum(weight for _, weight in kept)
    return sum(value * weight for value, weight in kept) / total if total else float("nan")


def _flips(pairing: Pairing) -> list[Flip]:
    if METRICS[pairing.metric].direction != "higher":
        return []
    found = []
    for first, second in zip(pairing.first, pairing.second, strict=True):
        before = first.scores[pairing.metric].value
        after = second.scores[pairing.metric].value
        if before is not None and after is not None and (before >= RIGHT) != (after >= RIGHT):
            found.append(Flip(pairing.task, first.sample, first, second, before, after))
    return found


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain data."""
    return {
        "first": comparison.first.label,
        "second": comparison.second.label,
        "rows": [asdict(row) for row in comparison.rows],
        "flips": [
            {
                "task": flip.task,
                "sample_id": flip.sample.id,
                "question": flip.sample.question,
                "references": list(flip.sample.references),
                "first": {"answer": flip.first.extracted, "score": flip.first_score},
                "second": {"answer": flip.second.extracted, "score": flip.second_score},
            }
            for flip in comparison.flips
        ],
        "unpaired": dict(comparison.unpaired),
    }
