"""``report.md``: the sections as Markdown that fits a pull-request comment (under 65,536 characters)."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from bench import formatting
from bench.report.cells import text_grid, written
from bench.report.section import (
    Block,
    Code,
    Excerpt,
    Excerpts,
    Group,
    Section,
    Table,
    Terms,
    Text,
    seen,
)
from bench.text import one_line

MAX_CHARACTERS = 65_000
"""A GitHub comment holds 65,536 characters."""

MAX_ROWS = 60
"""Rows of one table; the HTML report and the CSV tables have all of them."""

TOP = frozenset(("summary", "leaderboard", "sweep"))
"""Ids of the sections that a reader of a pull request sees; the rest is folded."""


def markdown(sections: Sequence[Section]) -> str:
    """Draw the report: the result, and the rest folded below it.

    Sections at the end are left out, and that is said, if they would not fit.
    """
    first, *others = sections
    top = [_section(first, first=True)]
    top += [_section(section, first=False) for section in others if section.id in TOP]
    shown = [text for text in top if text]
    size = sum(map(len, shown))
    titles: list[str] = []
    folded: list[str] = []
    for section in others:
        text = "" if section.id in TOP else _section(section, first=False)
        if not text:
            continue
        if size + len(text) + 1000 > MAX_CHARACTERS:
            folded.append("_The rest did not fit here; it is in the HTML report._\n")
            break
        titles.append(section.short or section.title)
        folded.append(text)
        size += len(text) + 1
    if folded:
        shown.append(_folded(", ".join(titles) or "More", "\n".join(folded)))
    return "\n".join(shown)


def _folded(title: str, content: str) -> str:
    """Content that is hidden until it is opened. The blank lines make GitHub read it as Markdown."""
    summary = html.escape(one_line(title, 300)).replace("@", "&#64;&#8203;")
    return f"<details>\n<summary>{summary}</summary>\n\n{content.strip()}\n\n</details>\n"


def _section(section: Section, *, first: bool) -> str:
    if "markdown" not in section.outputs:
        return ""
    parts = _blocks(section.blocks, 3)
    if not parts and not first:
        return ""
    return "\n\n".join([f"{'#' if first else '##'} {escape(section.title)}", *parts]) + "\n"


def _blocks(blocks: Sequence[Block], level: int) -> list[str]:
    """Every block that has something to say; ``level`` is that of a group's heading."""
    drawn = [_block(block, level) for block in seen(blocks, "markdown")]
    return [text for text in drawn if text]


def _block(block: Block, level: int) -> str:
    match block:
        case Text():
            return _text(block)
        case Table():
            return _table(block)
        case Terms():
            return _terms(block)
        case Code():
            label = f"{escape(block.label)}: " if block.label else ""
            return f"{label}`{code(block.text)}`"
        case Excerpts():
            return "\n".join(_excerpt(item) for item in block.items)
        case Group():
            parts = _blocks(block.blocks, level + 1 if block.title else level)
            if block.layout == "folded" and block.title and parts:
                return _folded(block.title, "\n\n".join(parts)).rstrip()
            heading = [f"{'#' * level} {escape(block.title)}"] if block.title and parts else []
            return "\n\n".join([*heading, *parts])
        case _:
            # Plots, forms and the sample browser need a screen; their numbers stand in tables.
            return ""


def _text(text: Text) -> str:
    if text.kind == "headline" and text.sentences:
        first, *rest = (escape(sentence, 600) for sentence in text.sentences)
        return " ".join([f"**{first}**", *rest])
    if text.kind in ("warning", "error"):
        return "\n\n".join(f"> **Note:** {escape(sentence, 500)}" for sentence in text.sentences)
    words = " ".join(escape(sentence, 900) for sentence in text.sentences)
    return f"_{words}_" if text.kind == "empty" and words else words


def _terms(terms: Terms) -> str:
    lines = []
    for term in terms.items:
        text = escape(term.text, 800)
        if term.model:
            text = f"**{escape(term.model)}**, {text}"
        note = f" ({escape(term.note, 800)})" if term.note else ""
        lines.append(f"- {escape(term.name)}: {text}{note}")
    return "\n".join(lines)


def _table(data: Table) -> str:
    text = text_grid(data, "markdown")
    if not data.rows:
        return ""
    lines = []
    group = ""
    for row, cells in list(zip(data.rows, text.rows, strict=True))[:MAX_ROWS]:
        if row.group and row.group != group:
            group = row.group
            lines.append([f"**{escape(group)}**"] + [""] * (len(cells) - 1))
        line = [escape(cell) for cell in cells]
        if row.state:
            line = [
                f"**{cell}**" if part.column.header and cell else cell
                for part, cell in zip(text.columns, line, strict=True)
            ]
        lines.append(line)
    notes = []
    if data.caption and not data.quiet_caption:
        notes.append(escape(data.caption, 900))
    notes += [escape(footnote, 300) for footnote in text.footnotes]
    hidden = len(data.rows) - MAX_ROWS
    if hidden > 0:
        notes.append(f"_{formatting.plural(hidden, 'more row')} in the HTML report._")
    notes += _row_notes(data)
    titles = [escape(part.title("markdown")) for part in text.columns]
    sides = ["---:" if part.is_numeric else "---" for part in text.columns]
    grid = [f"| {' | '.join(titles)} |", f"|{'|'.join(sides)}|"]
    grid += [f"| {' | '.join(line)} |" for line in lines]
    return "\n\n".join(["\n".join(grid), *notes])


def _row_notes(data: Table) -> list[str]:
    """The sentences under rows, as a list below the table."""
    lines = []
    for row in data.rows:
        if row.note:
            heads = [part for part in data.columns if part.header and part.key in row.cells]
            name = ", ".join(written(row.cells[part.key], part) for part in heads)
            lines.append(f"- {escape(name)}: {escape(row.note, 1500)}")
    return ["\n".join(lines)] if lines else []


def _excerpt(item: Excerpt) -> str:
    references = " · ".join(escape(reference, 80) for reference in item.references)
    lines = [
        f"- {escape(item.task)}/{escape(item.sample, 80)}: {escape(item.question, 160)}",
        f"  - expected: {references or formatting.DASH}",
    ]
    lines += [
        f"  - {quote.glyph} {escape(quote.model)} ({escape(quote.words)}): {escape(quote.text, 120)}"
        for quote in item.quotes
    ]
    return "\n".join(lines)


# Untrusted text


_WWW = re.compile(r"(www)\.", re.IGNORECASE)
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&@$])")


def escape(text: str, limit: int = 200) -> str:
    """Untrusted text as one line of Markdown: no markup, no HTML, no mention, no table cell of its own."""
    # GitHub makes links of www.… and a@b.c after it has read every entity, so a space of no width divides
    # them; a backslash stands before every other mark.
    line = _SPECIAL.sub(r"\\\1", one_line(text, limit))
    line = line.replace("://", ":&#47;&#47;").replace("\\@", "&#64;&#8203;").replace("\\<", "&lt;")
    return _WWW.sub(r"\1&#8203;.", line)


def code(text: str, limit: int = 600) -> str:
    """Untrusted text as the inside of `code` on one line."""
    return one_line(text, limit).replace("`", "'").replace("|", "¦")
