"""What a gate writes: sections for terminal and Markdown, JUnit XML for CI systems, and plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from bench import formatting
from bench.formatting import plural
from bench.gate.baseline import COSTS
from bench.gate.verdict import CostRow, GateOutcome, GateResult, MustPass, ScoreRow
from bench.report.markdown import markdown
from bench.report.section import Block, Column, DataCell, Mark, Row, Section, Table, Text
from bench.text import one_line

MARKER = "<!-- docvlm-bench gate -->"
"""First line of the Markdown, by which a workflow finds the comment that it wrote before."""

JUNIT_SUITE = "docvlm-bench gate"

SHOWN = 8
"""Rows that one sentence names; the tables have all of them."""

BOUNDS = "Bounds (95 % each)"
"""Title of the column with the bounds of a loss or a ratio: together they make an interval of 90 %."""

WORDS: dict[GateOutcome, str] = {
    "passed": "passed",
    "regressed": "regressed",
    "undecided": "cannot tell",
    "not comparable": "not comparable",
}
"""What an outcome is called."""

_MARKS: dict[GateOutcome, Mark] = {"passed": "", "regressed": "bad", "undecided": "muted"}


def sections(result: GateResult) -> tuple[Section, ...]:
    """The result as the one section of a small report."""
    blocks: list[Block] = [Text((headline(result),), "headline", label="Gate")]
    blocks.append(Text((f"Baseline {result.baseline}, run {result.run}.",), label="Compared"))
    if result.obstacles:
        blocks.append(Text(result.obstacles, "error", label="Differs"))
    if result.scores:
        blocks.append(_score_table(result))
    if result.costs:
        blocks.append(_cost_table(result))
    if result.must_pass:
        blocks.append(_must_pass_table(result))
    if result.scores:
        blocks.append(
            Text(
                (
                    "A loss is paired by question and clustered by document. Each of its bounds holds "
                    "with 95 %. A row passes if the loss is certainly at most the margin. It has "
                    "regressed if it is worse beyond the noise (p adjusted by Holm) and by more than "
                    "the margin.",
                ),
                label="Read",
            )
        )
    if result.notes:
        blocks.append(Text(result.notes, "note", label="Note"))
    return (Section("gate", f"Gate: {WORDS[result.outcome]}", tuple(blocks), "Gate"),)


def headline(result: GateResult) -> str:
    """The outcome in one sentence."""
    if result.outcome == "not comparable":
        reasons = plural(len(result.obstacles), "reason")
        return f"The run cannot be compared with the baseline, for {reasons}."
    rows: list[ScoreRow | CostRow | MustPass] = [*result.scores, *result.costs, *result.must_pass]
    if result.outcome == "passed":
        return _passed(result, len(rows))
    if result.outcome == "regressed":
        return _regressed(result)
    return f"It cannot be told whether the run is worse by more than is accepted. {_needed(result)}"


def _passed(result: GateResult, count: int) -> str:
    """That nothing is worse by more than is accepted, and what is worse all the same."""
    few = {1: "The row that was gated stays", 2: "Both gated rows stay"}
    said = f"{few.get(count, f'All {count:,} gated rows stay')} within what is accepted."
    worse = [row for row in result.scores if row.is_worse]
    if worse:
        said += (
            f" The run is worse than the baseline, but by less than the margin, in {_names(worse)}."
        )
    return said


def _regressed(result: GateResult) -> str:
    """What is worse, and which questions are wrong; they may have been wrong in the baseline, too."""
    judged: list[ScoreRow | CostRow] = [*result.scores, *result.costs]
    worse = [row for row in judged if row.outcome == "regressed"]
    wrong = [row for row in result.must_pass if not row.passed]
    said = []
    if worse:
        said.append(f"The run is worse than the baseline in {_names(worse)}.")
    if wrong:
        said.append(f"The run does not answer right what must pass: {_names(wrong)}.")
    known = [row for row in wrong if row.passed_before is False]
    if known:
        whose = "It was" if len(wrong) == 1 else "All of them were"
        if len(known) < len(wrong):
            whose = f"{_names(known)} {'was' if len(known) == 1 else 'were'}"
        said.append(f"{whose} wrong in the baseline, too.")
    return " ".join(said)


def _names(rows: Iterable[ScoreRow | CostRow | MustPass]) -> str:
    return formatting.listed((one_line(_name(row), 80) for row in rows), SHOWN)


def _needed(result: GateResult) -> str:
    undecided = [row for row in result.scores if row.outcome == "undecided"]
    said = []
    if any(row.loss.clusters < 2 for row in undecided):
        said.append("A test needs the scores of two documents or more.")
    elif undecided and result.needed is not None:
        neediest = max(undecided, key=lambda row: row.loss.needed or 0)
        documents = neediest.loss.clusters
        of_row = f" for {_names([neediest])}" if len(undecided) > 1 else ""
        said.append(
            f"About {plural(result.needed, 'document')} would be needed{of_row}, and there are "
            f"{documents:,}."
        )
    elif undecided:
        said.append("No number of documents that can be named would tell.")
    said += [
        f"The {row.words} would need {row.change.needed}."
        for row in result.costs
        if row.outcome == "undecided"
    ]
    return " ".join(said)


def _outcome(row: ScoreRow | CostRow | MustPass) -> GateOutcome:
    if isinstance(row, MustPass):
        return "passed" if row.passed else "regressed"
    return row.outcome


def _name(row: ScoreRow | CostRow | MustPass) -> str:
    if isinstance(row, ScoreRow):
        part = "" if row.field is None else f" · {row.field}"
        return f"{row.model} · {row.task}{part}"
    if isinstance(row, CostRow):
        return f"{row.model} · {row.words}"
    return f"{row.model} · {row.task}/{row.id}"


def _verdict_cell(outcome: GateOutcome, note: str = "") -> DataCell:
    return DataCell(WORDS[outcome], mark=_MARKS[outcome], note=note)


def _score_table(result: GateResult) -> Table:
    columns = (
        Column("name", "Scores", header=True),
        Column("metric", "Metric", priority=3),
        Column("documents", "Documents", format="count", priority=2),
        Column("before", "Baseline", format="score"),
        Column("after", "Run", format="score"),
        Column("loss", "Loss", format="signed"),
        Column("bounds", BOUNDS, priority=1),
        Column("margin", "Margin", format="score"),
        Column("p", "p (Holm)", format="p_value", priority=4),
        Column("verdict", "Verdict"),
    )
    rows = []
    for row in result.scores:
        loss = row.loss
        needed = ""
        if row.outcome == "undecided" and loss.needed is not None:
            needed = f"needs about {plural(loss.needed, 'document')}"
        cells = {
            "name": DataCell(_name(row)),
            "metric": DataCell(row.metric),
            "documents": DataCell(loss.clusters),
            "before": DataCell(row.before, reason="Nothing could be scored."),
            "after": DataCell(row.after, reason="Nothing could be scored."),
            "loss": DataCell(loss.value, reason="Nothing could be scored."),
            "bounds": DataCell(_bounds(loss.low, loss.high, formatting.signed)),
            "margin": DataCell(row.margin),
            "p": DataCell(row.p_holm, reason="A test needs two documents."),
            "verdict": _verdict_cell(row.outcome, needed),
        }
        rows.append(Row(cells))
    return Table("scores", columns, tuple(rows), "Scores", quiet_caption=True)


def _bounds(low: float | None, high: float | None, written: Callable[[float | None], str]) -> str:
    """The two one-sided bounds in brackets."""
    if low is None or high is None:
        return formatting.DASH
    return formatting.difference_interval(low, high, written)


def _cost_table(result: GateResult) -> Table:
    columns = (
        Column("name", "Costs", header=True),
        Column("before", "Baseline", format="significant"),
        Column("after", "Run", format="significant"),
        Column("ratio", "Ratio", format="significant"),
        Column("bounds", BOUNDS, priority=1),
        Column("accepted", "Accepted", format="significant"),
        Column("p", "p (Holm)", format="p_value", priority=4),
        Column("verdict", "Verdict"),
    )
    rows = []
    for row in result.costs:
        change = row.change
        missing = "It was not measured."
        cells = {
            "name": DataCell(_name(row)),
            "before": DataCell(change.before, text=_cost(row, change.before), reason=missing),
            "after": DataCell(change.after, text=_cost(row, change.after), reason=missing),
            "ratio": DataCell(change.ratio, reason="The baseline has none."),
            "bounds": DataCell(_bounds(change.low, change.high, formatting.significant)),
            "accepted": DataCell(row.accepted),
            "p": DataCell(row.p_holm, reason="It was measured too few times."),
            "verdict": _verdict_cell(
                row.outcome, f"needs {change.needed}" if row.outcome == "undecided" else ""
            ),
        }
        rows.append(Row(cells))
    return Table("costs", columns, tuple(rows), "Costs", quiet_caption=True)


def _cost(row: CostRow, value: float | None) -> str:
    """A cost with its unit; empty if it is not known."""
    if value is None:
        return ""
    if row.name not in COSTS:
        return formatting.count(value)
    return formatting.byte_size(value) if row.name == "memory" else formatting.seconds(value)


def _must_pass_table(result: GateResult) -> Table:
    columns = (
        Column("name", "Must pass", header=True),
        Column("before", "Baseline", format="score"),
        Column("after", "Run", format="score"),
        Column("verdict", "Verdict"),
    )
    rows = [
        Row(
            {
                "name": DataCell(_name(row)),
                "before": DataCell(row.before, reason="The metric does not apply."),
                "after": DataCell(row.after, reason="The metric does not apply."),
                "verdict": _must_pass_verdict(row),
            }
        )
        for row in result.must_pass
    ]
    return Table("must-pass", columns, tuple(rows), "Must pass", quiet_caption=True)


def _must_pass_verdict(row: MustPass) -> DataCell:
    if row.passed:
        return _verdict_cell("passed")
    note = "as in the baseline" if row.passed_before is False else ""
    return DataCell("wrong", mark=_MARKS["regressed"], note=note)


def gate_markdown(result: GateResult) -> str:
    """Markdown for ``$GITHUB_STEP_SUMMARY`` and for a comment that is found again by ``MARKER``."""
    return f"{MARKER}\n{markdown(sections(result))}"


# JUnit


def junit(result: GateResult) -> str:
    """JUnit XML: a test case for every row; what cannot be told is a failure unless the rules pass it."""
    suite = ElementTree.Element("testsuite", name=JUNIT_SUITE)
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for kind, name, outcome, text in _cases(result):
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"gate.{kind}", name=_xml(name), time="0"
        )
        tag = _tag(outcome, result)
        if tag is not None:
            counts[tag] += 1
            child = ElementTree.SubElement(case, tag, message=_xml(text))
            if tag != "skipped":
                child.set("type", WORDS[outcome])
    suite.set("tests", str(len(suite)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(counts[tag]))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _xml(text: str) -> str:
    """``text`` without the characters that XML cannot hold, in one line."""
    return one_line(text, 500)


def _tag(outcome: GateOutcome, result: GateResult) -> str | None:
    if outcome == "not comparable":
        return "error"
    if outcome == "undecided":
        return "skipped" if result.rules.undecided == "pass" else "failure"
    return "failure" if outcome == "regressed" else None


def _cases(result: GateResult) -> Iterator[tuple[str, str, GateOutcome, str]]:
    """Kind, name, outcome and explanation of every test case."""
    for reason in result.obstacles:
        yield "comparable", reason, "not comparable", reason
    for score in result.scores:
        yield "scores", _name(score), score.outcome, _score_text(score)
    for cost in result.costs:
        change = cost.change
        text = (
            f"{cost.words}: ratio {formatting.significant(change.ratio)}, accepted "
            f"{formatting.significant(cost.accepted)}"
        )
        if cost.outcome == "undecided":
            text += f"; needs {change.needed}"
        yield "costs", _name(cost), cost.outcome, text
    for row in result.must_pass:
        text = f"score {formatting.score(row.after)}, and {formatting.score(row.before)} in the baseline"
        if not row.passed and row.passed_before is False:
            text += ", where it was wrong, too"
        yield "must_pass", _name(row), _outcome(row), text


def _score_text(row: ScoreRow) -> str:
    loss = row.loss
    text = (
        f"{row.metric} {formatting.score(row.before)} → {formatting.score(row.after)}, loss "
        f"{formatting.signed(loss.value)}"
    )
    text += f" {_bounds(loss.low, loss.high, formatting.signed)}"
    text += f", margin {formatting.score(row.margin)}, {plural(loss.clusters, 'document')}"
    if row.outcome == "undecided" and loss.needed is not None:
        text += f"; about {plural(loss.needed, 'document')} would be needed"
    return text


# Plain data


def as_json(result: GateResult) -> dict[str, Any]:
    """The result as plain data."""
    return {
        "outcome": result.outcome,
        "exit_code": result.exit_code,
        "sentence": headline(result),
        "baseline": result.baseline,
        "run": result.run,
        "scores": [asdict(row) for row in result.scores],
        "costs": [asdict(row) for row in result.costs],
        "must_pass": [asdict(row) for row in result.must_pass],
        "obstacles": list(result.obstacles),
        "notes": list(result.notes),
        "needed_documents": result.needed,
        "rules": asdict(result.rules),
    }
