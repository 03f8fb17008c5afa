"""Speed and memory: throughput, latency, where the time goes, and the state of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench import formatting
from bench.drawing.plots import OTHER_COLOUR, Share, ShareBar, ShareBars, Strip, Strips
from bench.report.conditions import described
from bench.report.measurements import LEAST_QUESTIONS, MEMORY_KINDS
from bench.report.reasons import measured, percentile, reason
from bench.report.records import at
from bench.report.section import (
    DATA,
    DOCUMENTS,
    EVERYWHERE,
    PAGE,
    Block,
    Column,
    DataCell,
    Format,
    Group,
    Plot,
    Row,
    Section,
    Table,
    Term,
    Terms,
    Text,
    empty_section,
    model_cell,
)
from bench.report.sections.leaderboard import MEMORY_WORDS
from bench.report.views import ModelRow, ReportView

OTHER = "other"
"""The time that no stage claims, or that a backend itself calls the rest."""

STAGE_COLOURS = {
    "preprocess": 0,
    "transfer": 1,
    "vision": 2,
    "prefix": 3,
    "suffix": 4,
    "decode": 5,
    "prefill": 3,
    "read": 6,
    "match": 7,
}
"""Stages of the backends that there are; no backend tells both a prefix and a prefill."""

WORDS = (
    Term(
        "Questions/s, pages/s, tokens/s",
        "The sum over all batches (offline scenario), divided by the wall time inside the model. A page "
        "counts as often as it was given to the model. Tokens are generated tokens without padding.",
    ),
    Term(
        "Questions per page",
        "The measured questions divided by the distinct pages that they are about. A model that encodes a "
        "page once for all its questions answers more questions per second if this number is higher.",
    ),
    Term(
        "Energy per question",
        "The energy of the GPUs by the driver's counter, idle power included, over windows of at least 10 "
        "s of the offline scenario, divided by the questions answered in them.",
    ),
    Term(
        "Cold, warm",
        "Cold means that the model meets the page for the first time. Warm means that it gets the same "
        "question again immediately afterwards, with whatever it keeps of a page.",
    ),
    Term(
        "First token, tokens/s after the first",
        "The first figure is the time from the call to the first token of the answer. The second is all "
        "later tokens of the cold answers, divided by the seconds that they took together.",
    ),
    Term(
        "p50, p90, p95, p99",
        "Percentiles of the latency of n single questions. With fewer than 20 questions p95 is close to the "
        "slowest question; p99 needs 100 questions.",
    ),
    Term(
        "Process, reserved, allocated",
        "Three figures of peak GPU memory: what the driver (NVML) reports for the whole process, what torch "
        "reserved, and what its tensors used. The leaderboard shows the first of them that is known.",
    ),
    Term(
        "RSS",
        "The peak resident memory of the process. A model on the CPU uses no other memory.",
    ),
    Term(
        "Load, first call",
        "The seconds until the weights are ready, and the seconds of the first question after that. Neither "
        "is part of throughput or latency.",
    ),
)


def section(view: ReportView) -> Section:
    """Everything that was measured, or that nothing was."""
    rows = [row for row in view.rows if _is_measured(row)]
    title = "Speed and memory"
    if not rows:
        return empty_section("speed", title, "Speed", "Nothing has been measured.")
    return Section(
        "speed",
        title,
        (
            _plots(view),
            _throughput(view, rows),
            *_page_reuse(rows),
            *_latencies(rows),
            *_stages(rows),
            *_machine(rows),
            Group((Terms(WORDS),), "What the words mean", "folded", PAGE),
        ),
        "Speed",
    )


def _is_measured(row: ModelRow) -> bool:
    facts = row.facts
    return any(part is not None for part in (facts.throughput, facts.latency, facts.memory))


# Throughput and memory


def _throughput(view: ReportView, rows: Sequence[ModelRow]) -> Table:
    peaks = [row.facts.memory.peaks for row in rows if row.facts.memory is not None]
    kinds = [kind for kind in MEMORY_KINDS if any(kind in measured for measured in peaks)]
    lines = tuple(_throughput_row(view, row, kinds) for row in rows)
    columns = [Column("model", "Model", header=True)]
    columns += [
        Column(key, title, format)
        for key, (title, format, *_) in _FIGURES.items()
        if any(_has(line, key) for line in lines)
    ]
    columns += [
        Column(kind, f"{MEMORY_WORDS[kind]} GiB", "gib", note=MEMORY_KINDS[kind]) for kind in kinds
    ]
    caption = (
        "The table shows throughput and peak memory of the offline scenario, which asks all questions in "
        "batches. Load and first call are part of no other figure."
    )
    return Table("throughput", tuple(columns), lines, caption, outputs=DOCUMENTS)


_RATE, _LOAD = "Questions/s", "Questions per page"
_FIGURES: Mapping[str, tuple[str, Format, str, str]] = {
    "questions_per_second": (_RATE, "significant", "throughput.questions_per_second", "throughput"),
    "pages_per_second": ("Pages/s", "significant", "throughput.pages_per_second", "pages"),
    "tokens_per_second": ("Tokens/s", "significant", "throughput.tokens_per_second", "tokens"),
    "questions_per_page": (_LOAD, "significant", "throughput.questions_per_page", "pages"),
    "batch": ("Largest batch", "count", "throughput.largest_batch", "throughput"),
    "energy": ("Energy per question, J", "significant", "energy.joules_per_question", "energy"),
    "load": ("Load", "seconds", "load_seconds", "load"),
    "first_call": ("First call", "seconds", "first_call_seconds", "first_call"),
}
"""Column → title, format, where its value stands in the facts, and the figure that a reason is asked for."""


def _throughput_row(view: ReportView, row: ModelRow, kinds: Sequence[str]) -> Row:
    details = (row.hardware,) if view.mixed_hardware and row.hardware else ()
    cells = {"model": model_cell(row.key, details=details)}
    cells |= {key: measured(row, path, why) for key, (*_, path, why) in _FIGURES.items()}
    known = row.facts.memory is not None
    for kind in kinds:
        why = "This kind of memory was not measured." if known else reason(row, "memory")
        cells[kind] = DataCell(at(row.facts, f"memory.peaks.{kind}"), reason=why)
    return Row(cells, model=row.key)


def _page_reuse(rows: Sequence[ModelRow]) -> list[Text]:
    """How many questions a page has, and what each model does once for all of them."""
    rates = [row.facts.throughput for row in rows if row.facts.throughput is not None]
    loads = {(rate.questions, rate.distinct_pages) for rate in rates if rate.distinct_pages}
    if not loads:
        return []
    sentence = "The throughput was measured in batches."
    if len(loads) == 1:
        questions, pages = next(iter(loads))
        ratio = formatting.significant(rates[0].questions_per_page)
        sentence = (
            f"The throughput was measured in batches, with {ratio} questions per page "
            f"({formatting.plural(questions, 'question')} about {formatting.plural(pages or 0, 'page')})."
        )
    said: dict[str, list[str]] = {}
    for row in rows:
        if row.page_reuse:
            said.setdefault(row.page_reuse.rstrip("."), []).append(row.key)
    reuse = [f"{formatting.listed(keys, 6)}: {words}." for words, keys in said.items()]
    return [Text((sentence, *reuse, *_of_servers(rows)), "note", "q/s")]


def _of_servers(rows: Sequence[ModelRow]) -> list[str]:
    """Whose the speeds of models behind servers are, and how many requests were in flight."""
    said = []
    for row in rows:
        rate = row.facts.throughput
        if rate is not None and rate.in_flight is not None:
            requests = formatting.plural(rate.in_flight, "request")
            said.append(
                f"{row.key}: throughput and latency are the server's, with at most {requests} in flight."
            )
    return said


# Latency


_MOMENTS = {
    "answer, cold": "latency",
    "answer, warm": "single_stream.warm",
    "first token, cold": "single_stream.first_token",
    "first token, warm": "single_stream.warm_first_token",
}
"""What was timed of single questions → where its latency stands in the facts."""


def _latencies(rows: Sequence[ModelRow]) -> list[Table]:
    lines = [line for row in rows if row.facts.latency is not None for line in _moment_rows(row)]
    if not lines:
        return []
    # A percentile for which no model was asked enough questions has no column.
    known = [name for name in LEAST_QUESTIONS if any(_has(line, name) for line in lines)]
    rate = (Column("rate", "Tokens/s after the first", format="significant"),)
    columns = (
        Column("model", "Model", header=True, merged=True),
        Column("moment", "Seconds until"),
        *(Column(name, name, format="significant") for name in known),
        Column("n", "n", format="count"),
        *(rate if any("rate" in line.cells for line in lines) else ()),
    )
    caption = (
        "The table shows the latency of single questions (single-stream scenario), each about another "
        "document. Cold means that the model meets the page for the first time, and warm that it gets the "
        "same question again immediately afterwards."
    )
    return [Table("latency", columns, tuple(lines), caption, outputs=DOCUMENTS)]


def _has(line: Row, column: str) -> bool:
    return line.cells[column].value is not None


def _moment_rows(row: ModelRow) -> list[Row]:
    rows = []
    for moment, path in _MOMENTS.items():
        latency = at(row.facts, path)
        if latency is None:
            continue
        cells = {key: percentile(latency, key) for key in LEAST_QUESTIONS}
        cells |= {"model": model_cell(row.key), "moment": DataCell(moment, mark="muted")}
        cells["n"] = DataCell(latency.n, mark="muted")
        if moment == "first token, cold":
            rate = at(row.facts, "single_stream.tokens_per_second")
            cells["rate"] = DataCell(rate, reason="No answer has two tokens.")
        rows.append(Row(cells, model=row.key))
    return rows


def _plots(view: ReportView) -> Group:
    both = (
        Group((_latency_plot(view.rows),), "Latency of one question"),
        Group((_time_plot(view.rows),), "Where the time goes"),
    )
    return Group(both, layout="side", outputs=PAGE)


def _latency_plot(rows: Sequence[ModelRow]) -> Block:
    strips = []
    for index, row in enumerate(rows):
        latency = row.facts.latency
        if latency is not None:
            strips.append(Strip(index, row.key, latency.seconds, latency.shown()))
    if not strips:
        return Text(("The latency of single questions has not been measured.",), "empty")
    data = Strips(tuple(strips), "Latency of every single question that was measured", "s")
    caption = (
        "One question at a time, each about another document. Every dot is a measured question; the strong "
        "line is the median, the thin lines are higher percentiles, as far as the questions suffice."
    )
    return Plot("latency-plot", data, caption)


def _time_plot(rows: Sequence[ModelRow]) -> Block:
    data = _share_bars(rows)
    if not data.bars:
        return Text(("The run recorded no stages.",), "empty")
    caption = "Shares of the time inside the model, all questions in batches (offline scenario)."
    if any(bar.note for bar in data.bars):
        caption += " To the first token: means of cold questions, one at a time."
    return Plot("time-plot", data, caption)


# Where the time goes


def offline_shares(row: ModelRow) -> dict[str, float]:
    """Stage → share of the offline scenario's time, in the stages' order, the rest last; 0 to 1."""
    rate = row.facts.throughput
    if rate is None or not rate.stages:
        return {}
    shares = {
        name: min(1.0, seconds / rate.device_seconds)
        for name, seconds in rate.stages.items()
        if name != OTHER
    }
    rest = 1 - sum(shares.values())
    # Less is rounding, and would be a bar that nobody sees.
    return shares | {OTHER: rest} if rest > 0.005 else shares


def _share_words(row: ModelRow) -> str:
    shares = offline_shares(row)
    return ", ".join(f"{name} {formatting.percent(share)}" for name, share in shares.items())


def _first_token_words(row: ModelRow) -> str:
    """``vision 0.20 s, prefix 0.10 s``: means on the way to the first token; empty if unknown."""
    parts = at(row.facts, "single_stream.first_token_parts") or {}
    return ", ".join(f"{name} {formatting.seconds(value)}" for name, value in parts.items())


def _stages(rows: Sequence[ModelRow]) -> list[Block]:
    """The time of every model: words for people, and a column for each stage for programs."""
    timed = [row for row in rows if offline_shares(row)]
    if not timed:
        return []
    tokens = any(at(row.facts, _FIRST_TOKEN["first_token"]) is not None for row in timed)
    stages = list(dict.fromkeys(name for row in timed for name in offline_shares(row)))
    after = (
        Column("first_token", "First token s", format="significant", priority=2),
        Column("warm", "Warm s", format="significant", priority=3),
        Column("rate", "Tokens/s after the first", "significant", short="Tokens/s", priority=4),
        Column("to_first_token", "Time to first token", outputs=frozenset(("markdown",))),
    )
    columns = (
        Column("model", "Model", header=True),
        *(after if tokens else ()),
        Column("time", "Time in batches", outputs=EVERYWHERE - DATA),
        *(Column(f"share:{name}", name, "percent", outputs=DATA) for name in stages),
    )
    lines = tuple(_stage_row(row) for row in timed)
    caption = (
        "The table shows where the time goes: the shares of the time inside the model, in batches, and the "
        "mean seconds of a cold question on the way to its first token."
    )
    return [Table("stages", columns, lines, caption, outputs=EVERYWHERE - {"html"})]


_FIRST_TOKEN = {
    "first_token": "single_stream.first_token.p50",
    "warm": "single_stream.warm_first_token.p50",
    "rate": "single_stream.tokens_per_second",
}
"""Column → where its value stands in the facts."""


def _stage_row(row: ModelRow) -> Row:
    cells = {key: measured(row, path, "first_token") for key, path in _FIRST_TOKEN.items()}
    cells |= {"model": model_cell(row.key), "time": DataCell(_share_words(row))}
    words = _first_token_words(row) or None
    cells["to_first_token"] = DataCell(words, reason=reason(row, "first_token"))
    cells |= {f"share:{name}": DataCell(share) for name, share in offline_shares(row).items()}
    return Row(cells, model=row.key)


def _share_bars(rows: Sequence[ModelRow]) -> ShareBars:
    """The bars; a stage has one colour, whichever model it belongs to."""
    colours = dict(STAGE_COLOURS)
    bars = []
    for index, row in enumerate(rows):
        shares = []
        for name, value in offline_shares(row).items():
            colour = OTHER_COLOUR
            if name != OTHER:
                colour = colours.setdefault(name, len(colours) % OTHER_COLOUR)
            shares.append(Share(name, value, colour))
        if shares:
            first = _first_token_words(row)
            note = f"To the first token, one question at a time: {first}" if first else ""
            bars.append(ShareBar(index, row.key, tuple(shares), note))
    return ShareBars(tuple(bars))


# The state of the machine


def _machine(rows: Sequence[ModelRow]) -> list[Group]:
    """Clocks, temperature, power and the load by other processes, for every model that was watched."""
    blocks: list[Block] = []
    for row in rows:
        state = row.facts.conditions
        readings = described(state) if state is not None else []
        if state is not None and readings:
            items = tuple(Term(what, how_much) for what, how_much in readings)
            count = formatting.plural(state.seconds, "reading")
            blocks.append(Group((Terms(items),), f"{row.key}, {count}"))
    if not blocks:
        return []
    note = (
        "Every process of the model reads the devices once a second. The figures are the median, and in "
        "brackets the lowest and the highest reading. Throttled means that a power cap or heat kept the "
        "clocks low."
    )
    blocks.append(Text((note,), "note"))
    title = "State of the machine during the measurement"
    return [Group(tuple(blocks), title, "folded", DOCUMENTS)]
