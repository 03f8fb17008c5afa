"""What a generated document says, as the blocks that a transcription is compared with.

The text is exact, because it is what was drawn. The order is that of a reader who goes from line to line: of
texts that stand side by side, the left one comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import chain

from bench.synth.sheet import Box, Sheet, Written, WrittenTable, WrittenText

_SAME_LINE = 2.0
"""Points between the lower edges of two texts of one line."""
_BLANK = 6.0
"""Points: texts of one line that stand closer are one text."""


def transcript(sheets: Sequence[Sheet]) -> dict[str, list[dict[str, str]]]:
    """Return the reference of the document, a page after the other."""
    return {"blocks": list(chain.from_iterable(map(_page, sheets)))}


def _page(sheet: Sheet) -> Iterable[dict[str, str]]:
    tables = _joined_tables(one for one in sheet.written if isinstance(one, WrittenTable))
    texts = [one for one in sheet.written if isinstance(one, WrittenText) and one.text.strip()]
    outside = [text for text in texts if not any(_holds(table.box, text.box) for table in tables)]
    blocks: list[Written] = [*_joined_texts(outside), *tables]
    for block in sorted(blocks, key=_place):
        if isinstance(block, WrittenText):
            yield {"category": "text_block", "text": block.text.strip()}
        else:
            yield {"category": "table", "html": _html(block)}


def _place(block: Written) -> tuple[float, float]:
    return round(block.box.y / _SAME_LINE), block.box.x


def _holds(outer: Box, inner: Box) -> bool:
    """Whether the middle of ``inner`` lies in ``outer``."""
    x, y = inner.x + inner.width / 2, inner.y + inner.height / 2
    return outer.x <= x <= outer.x + outer.width and outer.y <= y <= outer.y + outer.height


def _joined_tables(tables: Iterable[WrittenTable]) -> list[WrittenTable]:
    """Join a head with the body that is drawn right below it."""
    joined: list[WrittenTable] = []
    for table in tables:
        above = joined[-1] if joined else None
        if above is not None and abs(above.box.y + above.box.height - table.box.y) < 1:
            box = above.box._replace(height=above.box.height + table.box.height)
            joined[-1] = WrittenTable(box, above.rows + table.rows)
        else:
            joined.append(table)
    return joined


def _joined_texts(texts: Iterable[WrittenText]) -> list[WrittenText]:
    """Join what was drawn one behind the other: a label and its value."""
    joined: list[WrittenText] = []
    for text in sorted(texts, key=lambda one: (round(_foot(one) / _SAME_LINE), one.box.x)):
        before = joined[-1] if joined else None
        if before is not None and _continues(before, text):
            width = text.box.x + text.box.width - before.box.x
            whole = f"{before.text.rstrip()} {text.text.lstrip()}"
            joined[-1] = WrittenText(before.box._replace(width=width), whole)
        else:
            joined.append(text)
    return joined


def _foot(text: WrittenText) -> float:
    return text.box.y + text.box.height


def _continues(before: WrittenText, text: WrittenText) -> bool:
    gap = text.box.x - (before.box.x + before.box.width)
    return abs(_foot(before) - _foot(text)) < _SAME_LINE and -1 < gap < _BLANK


def _html(table: WrittenTable) -> str:
    rows = ("".join(f"<td>{escape(cell, quote=False)}</td>" for cell in row) for row in table.rows)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
