"""Judges a run against a baseline: every row, every question that must pass, and the whole.

A run *passes* if every row's loss is certainly below its margin. Every row is tested at 5 %, and because all
of them have to pass, the whole is tested at 5 % as well. A run has *regressed* if a row is worse beyond the
noise (p below 5 % after Holm's adjustment over all rows) and by more than its margin. Otherwise the documents
do not tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bench.errors import NOT_COMPARABLE, REGRESSED, UNDECIDED
from bench.gate.baseline import COSTS, Baseline, BaselineModel, BaselineQuestion
from bench.gate.comparable import obstacles
from bench.gate.costs import COST_WORDS, CostChange, cost_change, cost_obstacles, failure_change
from bench.gate.rules import FAILURES, Rules, is_must_pass
from bench.scoring.levels import goodness, higher_is_better
from bench.stats import Loss, PairedWeights, holm, paired_loss
from bench.stats.noninferiority import LEVEL
from bench.text import one_line

GateOutcome = Literal["passed", "regressed", "undecided", "not comparable"]

EXIT_CODES: Mapping[GateOutcome, int] = {
    "passed": 0,
    "regressed": REGRESSED,
    "undecided": UNDECIDED,
    "not comparable": NOT_COMPARABLE,
}


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The score of one model on one task, or on one field of it."""

    model: str
    task: str
    field: str | None
    metric: str
    margin: float
    before: float | None
    """Mean score of the baseline."""
    after: float | None
    loss: Loss
    p_holm: float | None
    changed: int
    """Answers that are another text than the baseline's."""
    outcome: GateOutcome

    @property
    def is_worse(self) -> bool:
        """Whether the run is worse beyond the noise, be it by more or by less than the margin."""
        is_lower = self.loss.value is not None and self.loss.value > 0
        return is_lower and self.p_holm is not None and self.p_holm < LEVEL


@dataclass(frozen=True, slots=True)
class CostRow:
    """A cost of one model."""

    model: str
    name: str
    """A name of ``bench.gate.rules.RATIOS``."""
    accepted: float
    """How many times the baseline's cost is accepted."""
    change: CostChange
    p_holm: float | None
    outcome: GateOutcome

    @property
    def words(self) -> str:
        """What the cost is."""
        return COST_WORDS[self.name]


@dataclass(frozen=True, slots=True)
class MustPass:
    """A question that must be answered right."""

    model: str
    task: str
    id: str
    before: float | None
    after: float | None
    passed: bool
    passed_before: bool | None
    """Whether the baseline's answer was right; None if an old baseline does not say."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """Everything that ``bench gate`` prints."""

    baseline: str
    """Name of the baseline's run."""
    run: str
    outcome: GateOutcome
    scores: tuple[ScoreRow, ...]
    costs: tuple[CostRow, ...]
    must_pass: tuple[MustPass, ...]
    obstacles: tuple[str, ...]
    """Why the two cannot be compared."""
    notes: tuple[str, ...]
    rules: Rules

    @property
    def needed(self) -> int | None:
        """Documents that would probably decide all undecided scores; None if that is not known."""
        counts = [row.loss.needed for row in self.scores if row.outcome == "undecided"]
        known = [count for count in counts if count is not None]
        return max(known) if known and len(known) == len(counts) else None

    @property
    def exit_code(self) -> int:
        """The status with which the command ends."""
        if self.outcome == "undecided" and self.rules.undecided != "tell":
            return 0 if self.rules.undecided == "pass" else REGRESSED
        return EXIT_CODES[self.outcome]


@dataclass(frozen=True, slots=True)
class GatedModel:
    """A model of the baseline, and the one of the run that takes its place."""

    before: BaselineModel
    after: BaselineModel


def judge(
    before: Baseline,
    after: Baseline,
    pairs: Sequence[tuple[str, str]],
    rules: Rules,
    *,
    missing: Sequence[str] = (),
) -> GateResult:
    """Judge ``after`` against ``before``.

    Args:
        before: the baseline.
        after: the run.
        pairs: names of models, the baseline's first.
        rules: what is accepted.
        missing: models of the baseline that the run should have and has not.
    """
    models = [GatedModel(before.model(old), after.model(new)) for old, new in pairs]
    reasons = [f"model {one_line(name, 60)} is missing in the run" for name in missing]
    reasons += [
        reason
        for old, new in pairs
        for reason in obstacles(before, old, after, new, other_prompts=rules.other_prompts)
    ]
    for pair in models:
        for name in rules.ratios:
            if name in COSTS:
                reasons += cost_obstacles(name, pair.before, pair.after)
    if reasons:
        distinct = tuple(dict.fromkeys(reasons))
        return GateResult(before.run, after.run, "not comparable", (), (), (), distinct, (), rules)
    scores = [row for pair in models for row in _score_rows(before, after, pair, rules)]
    costs = [row for pair in models for row in _cost_rows(before, after, pair, rules)]
    adjusted = _holm(scores, costs)
    scores = [_judged(row, adjusted.get(id(row))) for row in scores]
    costs = [_judged_cost(row, adjusted.get(id(row))) for row in costs]
    must_pass = [row for pair in models for row in _must_pass(before, after, pair, rules)]
    return GateResult(
        baseline=before.run,
        run=after.run,
        outcome=_whole([*scores, *costs], must_pass),
        scores=tuple(scores),
        costs=tuple(costs),
        must_pass=tuple(must_pass),
        obstacles=(),
        notes=tuple(_notes(before, after, pairs, scores)),
        rules=rules,
    )


def _whole(rows: Sequence[ScoreRow | CostRow], must_pass: Sequence[MustPass]) -> GateOutcome:
    outcomes = {row.outcome for row in rows}
    if "regressed" in outcomes or not all(row.passed for row in must_pass):
        return "regressed"
    return "undecided" if "undecided" in outcomes else "passed"


def _notes(
    before: Baseline,
    after: Baseline,
    pairs: Sequence[tuple[str, str]],
    scores: Sequence[ScoreRow],
) -> list[str]:
    notes = []
    if before.bench != after.bench:
        notes.append(
            f"The baseline was scored by version {before.bench} of the program and the run by {after.bench}. "
            "Write the baseline again from its run to compare them under the same rules."
        )
    gated = {task.name for task in before.tasks}
    extra = [task.name for task in after.tasks if task.name not in gated]
    if extra:
        names = ", ".join(dict.fromkeys(extra))
        notes.append(f"The baseline has no scores of {names}, so this is not gated.")
    left_out = [each.name for each in after.models if each.name not in {new for _, new in pairs}]
    left_out += [each.name for each in before.models if each.name not in {old for old, _ in pairs}]
    if left_out:
        names = ", ".join(dict.fromkeys(left_out))
        notes.append(f"Only one of the two sides has {names}, so this is not gated.")
    worst = [row for row in scores if row.before is not None and _is_worst(row.before, row.metric)]
    if worst:
        names = ", ".join(
            dict.fromkeys(
                " · ".join(filter(None, (row.model, row.task, row.field))) for row in worst
            )
        )
        notes.append(f"The baseline has the worst possible score in {names}, so no loss can show.")
    if any(row.changed == 0 and _too_few(row) for row in scores):
        notes.append(
            "A row without a changed answer passes, but its documents are too few to show what would happen "
            "on others."
        )
    if before.run == after.run and all(old == new for old, new in pairs):
        notes.append(
            f"The baseline is of the same run, {one_line(after.run, 80)}, so the run was compared with "
            "itself. If this is not meant, name another run."
        )
    return notes


def _is_worst(score: float, metric: str) -> bool:
    """Whether no score can be lower; an error rate has no largest value, so 1 counts as its end."""
    return score <= 0 if higher_is_better(metric) else score >= 1


def _too_few(row: ScoreRow) -> bool:
    return row.loss.high is None or row.loss.high > row.margin


# Scores


def _score_rows(
    before: Baseline, after: Baseline, pair: GatedModel, rules: Rules
) -> list[ScoreRow]:
    rows = []
    for name, task in before.tasks_of(pair.before.name).items():
        first, second = before.of(pair.before.name, name), after.of(pair.after.name, name)
        parts: list[tuple[str | None, float]] = [(None, rules.margin_of(name))]
        known = {question.field for question in first.values()}
        parts += [(each, margin) for each, margin in rules.fields.items() if each in known]
        for field, margin in parts:
            ids = [id_ for id_, each in first.items() if field is None or each.field == field]
            pairs = [(first[id_], _scored(first[id_], second[id_], task.metric)) for id_ in ids]
            rows.append(_score_row(pair.after.name, name, field, task.metric, margin, pairs))
    return rows


def _score_row(
    model: str,
    task: str,
    field: str | None,
    metric: str,
    margin: float,
    pairs: Sequence[tuple[BaselineQuestion, BaselineQuestion]],
) -> ScoreRow:
    firsts, seconds = [
        [_goodness(each, metric) for each in side] for side in zip(*pairs, strict=True)
    ]
    loss = paired_loss(
        firsts,
        seconds,
        [before.document for before, _ in pairs],
        margin=margin,
        weights=_weights(pairs),
    )
    return ScoreRow(
        model=model,
        task=task,
        field=field,
        metric=metric,
        margin=margin,
        before=_mean(pairs, 0),
        after=_mean(pairs, 1),
        loss=loss,
        p_holm=None,
        changed=sum(before.answer != after.answer for before, after in pairs),
        outcome="undecided",
    )


def _scored(before: BaselineQuestion, after: BaselineQuestion, metric: str) -> BaselineQuestion:
    """``after`` with the worst score if the baseline's answer has a score and this one has none.

    An answer that is too large for its metric would otherwise be left out, and its loss with it.
    """
    if before.score is None or after.score is not None:
        return after
    worst = 0.0 if higher_is_better(metric) else 1.0
    return after.model_copy(update={"score": worst, "weight": before.weight})


def _goodness(question: BaselineQuestion, metric: str) -> float | None:
    return None if question.score is None else goodness(question.score, metric)


def _weights(pairs: Sequence[tuple[BaselineQuestion, BaselineQuestion]]) -> PairedWeights:
    firsts = [before.weight for before, _ in pairs]
    seconds = [after.weight for _, after in pairs]
    one_task = np.zeros(len(pairs), dtype=np.intp)
    return PairedWeights(firsts, seconds, one_task)


def _mean(pairs: Sequence[tuple[BaselineQuestion, BaselineQuestion]], side: int) -> float | None:
    """The weighted mean score of one side, over the questions that have a score on both."""
    total = total_weight = 0.0
    for pair in pairs:
        score = pair[side].score
        if score is not None and pair[1 - side].score is not None:
            total += score * pair[side].weight
            total_weight += pair[side].weight
    return total / total_weight if total_weight else None


def _holm(scores: Sequence[ScoreRow], costs: Sequence[CostRow]) -> dict[int, float]:
    """By row, its p-value adjusted for everything that is gated; rows without a test are left out."""
    p_values = {id(row): row.loss.p_worse for row in scores}
    p_values.update({id(row): row.change.p_worse for row in costs})
    tested = {key: p for key, p in p_values.items() if p is not None}
    return dict(zip(tested, holm(list(tested.values())), strict=True))


def _judged(row: ScoreRow, p_holm: float | None) -> ScoreRow:
    loss = row.loss
    outcome: GateOutcome = "undecided"
    # The same answers have the same scores: there is no noise that could hide a loss on these questions.
    is_unchanged = row.changed == 0 and not loss.value
    if is_unchanged or (loss.high is not None and loss.high <= row.margin):
        outcome = "passed"
    elif p_holm is not None and loss.value is not None:
        is_worse = p_holm < LEVEL and loss.value > row.margin
        outcome = "regressed" if is_worse else "undecided"
    return replace(row, p_holm=p_holm, outcome=outcome)


# Costs


def _cost_rows(before: Baseline, after: Baseline, pair: GatedModel, rules: Rules) -> list[CostRow]:
    rows = []
    for name, accepted in rules.ratios.items():
        if name == FAILURES:
            first, second = (
                {
                    f"{each.task}/{each.id}": each
                    for each in side.questions
                    if each.model == model and each.task in before.tasks_of(pair.before.name)
                }
                for side, model in ((before, pair.before.name), (after, pair.after.name))
            )
            change = failure_change(first, second, accepted)
        else:
            change = cost_change(name, pair.before, pair.after, accepted)
        rows.append(CostRow(pair.after.name, name, accepted, change, None, "undecided"))
    return rows


def _judged_cost(row: CostRow, p_holm: float | None) -> CostRow:
    outcome: GateOutcome = "undecided"
    if row.change.is_accepted:
        outcome = "passed"
    elif p_holm is not None and p_holm < LEVEL and row.change.is_worse_than_accepted:
        outcome = "regressed"
    return replace(row, p_holm=p_holm, outcome=outcome)


# Questions that must pass


def _must_pass(
    before: Baseline,
    after: Baseline,
    pair: GatedModel,
    rules: Rules,
) -> list[MustPass]:
    rows = []
    for name in before.tasks_of(pair.before.name):
        first, second = before.of(pair.before.name, name), after.of(pair.after.name, name)
        rows += [
            MustPass(
                model=pair.after.name,
                task=name,
                id=id_,
                before=first[id_].score,
                after=second[id_].score,
                passed=second[id_].right is True,
                passed_before=first[id_].right,
            )
            for id_ in first
            if is_must_pass(rules, name, id_)
        ]
    return rows
