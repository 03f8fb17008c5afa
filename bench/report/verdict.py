"""The report in words: which model to take, by how much, at what price, and where another one is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench import formatting
from bench.report.boards import Ranking
from bench.report.cost import currency_of
from bench.report.facts import GIB
from bench.report.findings import Board, Clause, Highlight, Reversal, Verdict
from bench.report.measurements import MEMORY_KINDS
from bench.report.ranking import more_documents
from bench.report.records import at
from bench.report.views import ModelRow, Pair

CLEARLY = 1.5
"""How many times faster, smaller or cheaper a model must be for the verdict to name it."""

USUAL_GPU = 24
"""GiB of the GPU that a person is supposed to have until the person says otherwise."""

WORTH_KNOWING = 0.005
"""Lead from which more documents are advice: nobody chooses a model for less."""

NOT_WORTH = 20
"""Times the documents of the run from which more documents are no advice any more."""


def judge(rows: Sequence[ModelRow], ranking: Ranking) -> Verdict:
    """The verdict over ``rows``, which stand in the order of ``ranking``."""
    if not ranking.boards:
        nothing = Clause(_nothing(rows), "leaderboard", leads=True)
        return _verdict([[nothing]], next_step=_way_out(rows))
    by_key = {row.key: row for row in rows}
    boards: list[list[Clause]] = []
    for number, board in enumerate(ranking.boards):
        ranked = [by_key[key] for key in board.keys]
        among = f"Of {formatting.listed(board.keys, 3)}, take" if len(ranking.boards) > 1 else ""
        reversals = ranking.reversals[number]
        boards.append(_recommendation(ranked, ranking.pairs, reversals, board, among))
    firsts = [board.keys[0] for board in ranking.boards]
    leaders = tuple(key for key in firsts if _answered(by_key[key]))
    points = _highlights([row for row in rows if row.ranked and _answered(row)])
    return _verdict(boards, leaders, points)


def _verdict(
    boards: Sequence[Sequence[Clause]],
    leaders: tuple[str, ...] = (),
    points: Sequence[Highlight] = (),
    next_step: str = "",
) -> Verdict:
    leading = [clause for clauses in boards for clause in clauses if clause.leads]
    others = [clause for clauses in boards for clause in clauses if not clause.leads]
    return Verdict(
        best=leaders[0] if leaders else None,
        headline=" ".join(clause.text for clause in leading),
        detail=" ".join(clause.text for clause in others),
        boards=tuple(tuple(sorted(clauses, key=lambda each: not each.leads)) for clauses in boards),
        points=tuple(points),
        leaders=leaders,
        next_step=next_step,
    )


def _nothing(rows: Sequence[ModelRow]) -> str:
    complete = [row for row in rows if row.state == "complete"]
    if any(row.score is not None for row in complete):
        return "No answer could be scored, because the metric does not apply to any question."
    if complete:
        return "The tasks have no common score; compare the models task by task."
    if any(row.asked for row in rows):
        return "No model has finished yet; the scores below count only the questions asked so far."
    if rows and all(row.state == "failed" for row in rows):
        return "No model could be measured: each of them failed to load or stopped with an error."
    return "Nothing has been measured yet."


def _way_out(rows: Sequence[ModelRow]) -> str:
    """What to do if nothing is ranked."""
    hints = dict.fromkeys(row.failure.hint for row in rows if row.failure and row.failure.hint)
    if hints:
        first = formatting.listed(hints, 2)
        again = "type the same command again"
        return f"{first} Then {again}" if first.endswith("?") else f"{first}; then {again}"
    is_open = any(row.asked < row.samples for row in rows)
    return "type the same command again: it asks what is missing" if is_open else ""


def _recommendation(
    ranked: Sequence[ModelRow],
    pairs: Sequence[Pair],
    reversals: Sequence[Reversal],
    board: Board,
    among: str,
) -> list[Clause]:
    """What to say of one board, whose rows are ``ranked``."""
    best, others = ranked[0], ranked[1:]
    if not _answered(best):
        names = formatting.listed([row.key for row in ranked if not _answered(row)], 3)
        words = f"No recommendation: every question to {names} ended in an error."
        return [Clause(words, "errors", leads=True)]
    against = {
        pair.second if pair.first == best.key else pair.first: pair
        for pair in pairs
        if best.key in (pair.first, pair.second)
    }
    scored = _scored(best, board)
    # Beside the sentences of another board, "it" could be the leader of that one.
    subject = best.key if among else "It"
    if not others:
        who = f"{best.key}, alone on its board," if among else best.key
        lone = f"{who} scores {scored}."
        return [Clause(lone, "leaderboard", leads=not among), *_own_price(best, subject)]
    answering = [row for row in others if _answered(row)]
    clauses = [
        Clause(f"{among or 'Take'} {best.key}.", "leaderboard", leads=True),
        *_on_usual_gpu(best, answering),
        Clause(f"{subject} {_lead(best, others, against, scored)}", "compare"),
    ]
    clauses += _trades(best, answering, against) or _own_price(best, subject)
    clauses += _exceptions(reversals)
    return clauses


def _scored(best: ModelRow, board: Board) -> str:
    """``0.854 [0.774, 0.909], the mean score over 9 tasks``."""
    value = formatting.score(best.score.value if best.score else None)
    interval = formatting.interval(best.score)
    said = value if interval == formatting.DASH else f"{value} {interval}"
    name = f"the {board.score_name}" if board.score_name.startswith("mean") else board.score_name
    on = f" on {formatting.plural(board.questions, 'common question')}" if board.is_part else ""
    direction = "" if board.higher_is_better else "; lower is better"
    return f"{said} ({name}{on}{direction})"


def _lead(best: ModelRow, others: Sequence[ModelRow], against: dict[str, Pair], scored: str) -> str:
    """How far the best model is ahead, or from which models it cannot be told."""
    same = [row.key for row in others if _value(row) == _value(best)]
    tied = [row.key for row in others if row.key in against and not against[row.key].separated]
    if len(same) == len(others):
        return f"scores {scored}, exactly as {formatting.listed(same)}."
    if all(pair.p_holm is None for pair in against.values()):
        return f"scores {scored}, but there are too few documents to test the differences between models."
    if not tied:
        gap = _gap(against[others[0].key])
        return f"scores {scored}, and leads {others[0].key}, the next best, by {gap}."
    advice = _advice(tied[0], against[tied[0]], alone=len(tied) == 1)
    return f"scores {scored}, but cannot be told from {formatting.listed(tied)}{advice}"


def _advice(name: str, pair: Pair, *, alone: bool) -> str:
    """How many documents would show whether the lead over a model is real."""
    gap = pair.difference
    lead = gap.difference or 0.0
    needed = more_documents(pair)
    if needed is not None and lead >= WORTH_KNOWING and needed <= NOT_WORTH * gap.clusters:
        count = formatting.plural(needed, "more document")
        over = "" if alone else f" over {name}"
        return f": {count} would show whether its lead of {formatting.score(lead)}{over} is real."
    if gap.low is None or gap.high is None:
        return "."
    most = formatting.score(max(abs(gap.low), abs(gap.high)))
    whom = "the two" if alone else f"it and {name}"
    return f": {whom} differ by at most {most} (95 % confidence)."


def _gap(pair: Pair) -> str:
    gap = pair.difference
    interval = formatting.difference_interval(gap.low, gap.high, formatting.score)
    return f"{formatting.score(gap.difference)} {interval}"


# What it costs, and who costs less


def _own_price(row: ModelRow, subject: str) -> list[Clause]:
    parts = []
    if (latency := at(row.facts, "latency.p50")) is not None:
        parts.append(f"takes {formatting.seconds(latency)} per question (p50)")
    if row.facts.memory is not None:
        parts.append(f"needs {_memory(row)}")
    if row.cost_per_1000_pages is not None:
        parts.append(f"costs {_money(row)} per 1,000 pages")
    return [Clause(f"{subject} {formatting.listed(parts)}.", "speed")] if parts else []


def _trades(best: ModelRow, others: Sequence[ModelRow], against: dict[str, Pair]) -> list[Clause]:
    """For every cost, the best of the models that are clearly cheaper; one sentence for each model."""
    said: dict[str, list[str]] = {}
    for advantage in (_faster, _smaller, _cheaper):
        for row in others:
            if words := advantage(row, best):
                said.setdefault(row.key, []).append(words)
                break
    by_key = {row.key: row for row in others}
    clauses = []
    for key, advantages in said.items():
        behind = _behind(by_key[key], best, against.get(key))
        text = f"{key} {formatting.listed([*advantages, behind])}."
        clauses.append(Clause(text, "tradeoff"))
    return clauses


def _faster(row: ModelRow, best: ModelRow) -> str:
    own, other = at(row.facts, "latency.p50"), at(best.facts, "latency.p50")
    if own is None or other is None or own <= 0 or not _is_less(own, other, formatting.seconds):
        return ""
    where = " on other hardware" if row.hardware != best.hardware else ""
    return (
        f"is {_times(other / own)} times faster{where} "
        f"({formatting.seconds(own)} instead of {formatting.seconds(other)})"
    )


def _smaller(row: ModelRow, best: ModelRow) -> str:
    own, other = row.facts.memory, best.facts.memory
    if own is None or other is None or own.kind != other.kind:
        return ""
    if not _is_less(own.bytes, other.bytes, formatting.gib):
        return ""
    return f"needs {_memory(row)} instead of {formatting.gib(other.bytes)}"


def _cheaper(row: ModelRow, best: ModelRow) -> str:
    own, other = row.cost_per_1000_pages, best.cost_per_1000_pages
    if own is None or other is None or not _is_less(own, other, formatting.significant):
        return ""
    return f"costs {_money(row)} per 1,000 pages instead of {formatting.significant(other)}"


def _is_less(own: float, other: float, written: Callable[[float], str]) -> bool:
    """Whether a cost is clearly less than another, also to a reader who sees both as they are written."""
    return other >= CLEARLY * own and written(own) != written(other)


def _behind(row: ModelRow, best: ModelRow, pair: Pair | None) -> str:
    own, other = _value(row), _value(best)
    distance = abs((own or 0.0) - (other or 0.0))
    if distance == 0:
        return "scores the same"
    far = formatting.score(distance)
    behind = "is less than 0.001 behind" if far == formatting.score(0.0) else f"is {far} behind"
    is_noise = pair is not None and pair.p_holm is not None and not pair.separated
    return f"{behind}, within the noise" if is_noise else behind


def _on_usual_gpu(best: ModelRow, others: Sequence[ModelRow]) -> list[Clause]:
    """Which model to take on a usual GPU, if the best one does not fit it."""
    if not others or fits(best, USUAL_GPU * GIB) is not False:
        return []
    row = next((row for row in others if fits(row, USUAL_GPU * GIB)), None)
    advice = "none of these models fits" if row is None else f"take {row.key}"
    return [Clause(f"On a GPU of {USUAL_GPU} GB {advice}.", "leaderboard", leads=True)]


def fits(row: ModelRow, room: float) -> bool | None:
    """Whether the model fits ``room`` bytes of GPU memory; None if it is not known."""
    memory = row.facts.memory
    if memory is None:
        return True if row.traits.runs_in == "server" or row.traits.local_memory is False else None
    # A model on the processor needs no GPU.
    return memory.kind == "peak_rss" or memory.bytes <= room


def _memory(row: ModelRow) -> str:
    memory = row.facts.memory
    return "" if memory is None else f"{formatting.gib(memory.bytes)} GiB"


def _money(row: ModelRow) -> str:
    """``0.264 USD``, what 1,000 pages cost."""
    return f"{formatting.significant(row.cost_per_1000_pages)} {currency_of([row])}"


def _times(ratio: float) -> str:
    return formatting.significant(ratio, 2)


def _exceptions(reversals: Sequence[Reversal]) -> list[Clause]:
    """Where another model is better: one sentence for each model, with the parts on which it is."""
    parts: dict[tuple[str, str], list[str]] = {}
    for reversal in sorted(reversals, key=lambda r: -(r.difference.difference or 0)):
        gain = formatting.score(reversal.difference.difference)
        parts.setdefault((reversal.model, reversal.evidence), []).append(
            f"{reversal.part} ({gain} better)"
        )
    # A part has one best model: the others that beat the leading one there are no advice.
    told: set[str] = set()
    clauses = []
    for (model, evidence), names in parts.items():
        new = [name for name in names if name.split(" (")[0] not in told]
        told.update(name.split(" (")[0] for name in new)
        if new:
            clauses.append(Clause(f"On {formatting.listed(new, 3)} take {model}.", evidence))
    return clauses


def _answered(row: ModelRow) -> bool:
    """Whether any question to the model ended otherwise than in an error."""
    return row.failed < row.asked


def _value(row: ModelRow) -> float | None:
    return None if row.score is None else row.score.value


# The fastest and the smallest


def _highlights(ranked: Sequence[ModelRow]) -> list[Highlight]:
    highlights = []
    if fastest := _extreme(ranked, "latency.p50", min):
        text = f"{formatting.seconds(at(fastest.facts, 'latency.p50'))} per question (p50)"
        highlights.append(Highlight("Fastest answer", fastest.key, text))
    rate = "throughput.questions_per_second"
    if quickest := _extreme(ranked, rate, max):
        text = f"{formatting.significant(at(quickest.facts, rate))} questions/s, in batches"
        highlights.append(Highlight("Highest throughput", quickest.key, text))
    smallest = _extreme(ranked, "memory.bytes", min)
    if smallest and (memory := smallest.facts.memory):
        text = f"{formatting.gib(memory.bytes)} GiB, {MEMORY_KINDS[memory.kind]}"
        highlights.append(Highlight("Least memory", smallest.key, text))
    return highlights


def _extreme(
    rows: Sequence[ModelRow], path: str, choose: Callable[..., ModelRow]
) -> ModelRow | None:
    """The row with the least or the most at ``path`` of its facts; None where no row has it."""
    known = [row for row in rows if at(row.facts, path) is not None]
    return choose(known, key=lambda row: at(row.facts, path)) if known else None
