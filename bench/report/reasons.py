"""Why a figure is missing, in words: the reason that stands behind every "–"."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench import formatting
from bench.measure.energy import WINDOW_SECONDS
from bench.report.measurements import LEAST_QUESTIONS, Latency
from bench.report.records import at
from bench.report.section import DataCell
from bench.report.views import ModelRow

NOT_ASKED = "No question has been asked yet."
NO_SCORE = (
    "The tasks have no common score: an error rate has no mean with an accuracy, or with another kind of "
    "error rate."
)
UNSCORED = "The metric does not apply to any of these questions."
ON_SERVER = "The model runs on a server: what this machine measures of itself is not the model's."
NO_BATCH = "The run recorded no measured batch."
NO_TOKENS = "The backend does not count tokens."
NO_FIRST_TOKEN = "The backend does not say when the first token of an answer is there."
NO_LATENCY = "The run did not measure single questions; bench run --latency-samples 20 does."
NO_FIRST_CALL = "The run did not measure it, as with --no-warmup."


def _rank(row: ModelRow) -> str:
    states = {
        "failed": "The model has no result.",
        "running": "The model has not finished.",
        "unfinished": "The model has not finished.",
    }
    return states.get(row.state, _score(row))


def _score(row: ModelRow) -> str:
    if row.asked == 0:
        return NOT_ASKED
    return NO_SCORE if row.score is None else UNSCORED


def _throughput(row: ModelRow) -> str:
    return NOT_ASKED if row.asked == 0 else NO_BATCH


def _pages(row: ModelRow) -> str:
    if row.facts.throughput is None:
        return _throughput(row)
    return "The documents have no pages, or a batch does not say how many it read."


def _tokens(row: ModelRow) -> str:
    return _throughput(row) if row.facts.throughput is None else NO_TOKENS


def _memory(row: ModelRow) -> str:
    if row.traits.local_memory is False or row.traits.runs_in == "server":
        return ON_SERVER
    return NOT_ASKED if row.asked == 0 else "The run recorded no memory."


def _energy(row: ModelRow) -> str:
    rate = row.facts.throughput
    if "server" in row.traits.runs_in:
        return ON_SERVER
    if rate is not None and row.device.startswith("cuda") and rate.seconds < WINDOW_SECONDS:
        return f"The batches took under {WINDOW_SECONDS:.0f} s, too short to measure energy."
    return "No GPU counted the energy."


def _latency(row: ModelRow) -> str:
    if row.facts.single_stream is not None:
        return "Every question that was asked alone failed."
    return NOT_ASKED if row.asked == 0 else NO_LATENCY


def _first_token(row: ModelRow) -> str:
    if row.facts.latency is None:
        return _latency(row)
    rate = row.facts.throughput
    if row.traits.token_counts is False or (rate is not None and rate.generated_tokens is None):
        return NO_TOKENS
    if row.traits.first_token_times is False:
        return NO_FIRST_TOKEN
    return "The run did not measure first tokens."


REASONS: Mapping[str, Callable[[ModelRow], str]] = {
    "rank": _rank,
    "score": _score,
    "throughput": _throughput,
    "pages": _pages,
    "tokens": _tokens,
    "memory": _memory,
    "energy": _energy,
    "latency": _latency,
    "first_token": _first_token,
    "load": lambda row: "The run did not record it.",
    "first_call": lambda row: NO_FIRST_CALL,
}
"""Figure → why a row may have none."""


def reason(row: ModelRow, figure: str) -> str:
    """Why ``row`` has no such figure."""
    return REASONS[figure](row)


def percentile(latency: Latency | None, name: str, why: str = "") -> DataCell:
    """A cell with a percentile of single questions; ``why`` there is none if nothing was measured."""
    if latency is None:
        return DataCell(reason=why)
    least = LEAST_QUESTIONS[name]
    count = formatting.plural(latency.n, "question was", "questions were")
    few = f"{name} needs {least} questions or more; {count} measured."
    return DataCell(latency.shown().get(name), reason=few)


def measured(row: ModelRow, path: str, figure: str) -> DataCell:
    """A cell with what stands at ``path`` of the row's facts, or with the reason for having none."""
    return DataCell(at(row.facts, path), reason=reason(row, figure))
