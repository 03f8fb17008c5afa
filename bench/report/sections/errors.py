"""What went wrong, and questions whose reference may be wrong."""

from __future__ import annotations

from collections.abc import Sequence

from bench import formatting
from bench.report.mistakes import label
from bench.report.samples import extracted_text, never_right, reference_texts, worst
from bench.report.section import (
    DOCUMENTS,
    Block,
    Column,
    DataCell,
    Excerpt,
    Excerpts,
    Group,
    Quote,
    Row,
    Section,
    Table,
    Text,
    model_cells,
    model_columns,
)
from bench.report.views import ModelRow, ReportView, SampleView
from bench.scoring.levels import LEVELS
from bench.text import clip

MAX_EXCERPTS = 12
"""Questions that are printed; the sample browser has all of them."""

_THOUGHTS = {
    "thought": "thought before it answered (only what follows is scored)",
    "open_thought": "never stopped thinking (truncated)",
}


def section(view: ReportView) -> Section:
    """Failures by class, then the questions worth looking at."""
    blocks: list[Block] = [_death(row) for row in view.rows if row.failure is not None]
    lines = _mishaps(view)
    if lines:
        columns = (
            Column("what", "What happened", header=True),
            *model_columns([row.key for row in view.rows], "count"),
        )
        blocks.append(Table("mishaps", columns, lines, "Questions by what went wrong"))
    else:
        words = "No question ended in an error." if view.samples else "Nothing was asked."
        blocks.append(Text((words,), "empty"))
    suspects, spoilt = never_right(view), worst(view)
    if suspects:
        blocks.append(_suspects(view, suspects))
    elif spoilt:
        blocks.append(_spoilt(view, spoilt))
    title = "Errors and doubtful references"
    return Section("errors", title, tuple(blocks), "Errors", DOCUMENTS)


def _death(row: ModelRow) -> Text:
    """Why a model has no result."""
    failure = row.failure
    assert failure is not None
    left = formatting.plural(row.samples - row.asked, "question")
    verb = "was" if row.samples - row.asked == 1 else "were"
    when = f" ({formatting.moment(failure.when)})" if failure.when else ""
    sentences = [
        formatting.ended(
            f"{row.key} stopped with {failure.error or 'an error'}: {failure.message}"
        ),
        formatting.ended(f"Hint: {failure.hint}") if failure.hint else "",
        f"{left} {verb} not asked{when}.",
    ]
    return Text(tuple(filter(None, sentences)), "error")


def _mishaps(view: ReportView) -> tuple[Row, ...]:
    """What went wrong, by class, with how often it happened to every model."""
    rows = view.rows
    lines = []
    for name in dict.fromkeys(name for row in rows for name in row.facts.errors):
        counts = {row.key: row.facts.errors.get(name, 0) for row in rows}
        lines.append(_mishap(name, counts, "failed"))
    cut = {row.key: row.facts.stop_reasons.get("length", 0) for row in rows}
    if any(cut.values()):
        lines.append(_mishap("cut at the limit of new tokens", cut, ""))
    for step, words in _THOUGHTS.items():
        counts = {row.key: row.facts.thoughts.get(step, 0) for row in rows}
        if any(counts.values()):
            lines.append(_mishap(words, counts, ""))
    too_large = {row.key: _too_large(view, row) for row in rows}
    if any(too_large.values()):
        lines.append(_mishap("unscored: too large for the metric", too_large, ""))
    return tuple(lines)


def _too_large(view: ReportView, row: ModelRow) -> int:
    """Questions whose headline score would have taken more work than its bound allows."""
    position = view.rows.index(row)
    count = 0
    for sample in view.samples:
        answer = sample.answers[position]
        if answer is not None and answer.scores:
            headline = next(iter(answer.scores.values()))
            count += headline.too_large
    return count


def _mishap(name: str, counts: dict[str, int], show: str) -> Row:
    cells = {
        key: DataCell(count, filter={"show": show, "model": key} if show and count else {})
        for key, count in counts.items()
    }
    return Row({"what": DataCell(name)} | model_cells(cells))


def _suspects(view: ReportView, suspects: Sequence[SampleView]) -> Group:
    count = formatting.plural(len(suspects), "question")
    sentence = f"{count} have no right answer from any model. They are hard, or their references are wrong."
    if len(suspects) == 1:
        sentence = (
            f"{count} has no right answer from any model. It is hard, or its reference is wrong."
        )
    text = Text((sentence,), "note", link="Show all of them", filter={"show": "nobody"})
    return Group((text, _excerpts(view, suspects)), "Questions that no model answered right")


def _spoilt(view: ReportView, spoilt: Sequence[SampleView]) -> Group:
    count = formatting.plural(len(spoilt), "question")
    shown = min(MAX_EXCERPTS, len(spoilt))
    have = "has" if len(spoilt) == 1 else "have"
    sentence = f"{count} {have} a wrong answer from at least one model"
    sentence += "." if shown == len(spoilt) else f"; here are {shown}."
    text = Text((sentence,), "note", link="Show all of them", filter={"show": "wrong"})
    return Group((text, _excerpts(view, spoilt)), "Wrong answers")


def _excerpts(view: ReportView, samples: Sequence[SampleView]) -> Excerpts:
    return Excerpts(tuple(_excerpt(view, sample) for sample in samples[:MAX_EXCERPTS]))


def _excerpt(view: ReportView, sample: SampleView) -> Excerpt:
    quotes = []
    for row, answer, level in zip(view.rows, sample.answers, sample.levels, strict=True):
        if answer is None or answer.output is None:
            continue
        glyph, words, _ = LEVELS[level]
        if answer.mistake not in {None, level}:
            words += f": {label(answer.mistake or '')}"
        said = (answer.output.error or "") if answer.failed else extracted_text(answer)
        quotes.append(Quote(row.key, glyph, level, words, clip(said, 160)))
    return Excerpt(
        view.tasks[sample.task].key,
        sample.sample.id,
        clip(sample.sample.question, 240),
        formatting.language_tag(sample.sample.metadata.get("language")) or "",
        tuple(clip(text, 160) for text in reference_texts(sample.sample)[:3]),
        tuple(quotes),
    )
