"""Pages of running text: headings, clauses, page numbers."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any

from bench.synth.sheet import Box, Font, Sheet, wrap

_A4 = (595.2, 841.92)
LEFT, RIGHT, TOP, BOTTOM = 72.0, 553.0, 62.0, 778.0
WIDTH = RIGHT - LEFT


class Pages:
    """Fills pages from the top; a clause never breaks over two pages."""

    def __init__(self, face: str, size: float) -> None:
        self.font = Font(face, size)
        self.strong = Font(f"{face}-bold", size)
        self.sheets = [Sheet(*_A4)]
        self.y = TOP

    @property
    def sheet(self) -> Sheet:
        """The page being filled."""
        return self.sheets[-1]

    def room(self, height: float) -> None:
        """Start a page unless ``height`` points are left on this one."""
        if self.y + height > BOTTOM:
            self.new_page()

    def new_page(self) -> None:
        """Start a page."""
        self.sheets.append(Sheet(*_A4))
        self.y = TOP

    def heading(self, text: str) -> None:
        """Set a centred heading, with room for a clause below it."""
        self.room(70)
        self.y += 10
        self.sheet.paragraph(Box(LEFT, self.y, WIDTH, 20), text, self.strong, align="center")
        self.y += self.font.size * 1.3 + 5

    def clause(self, text: str, fields: dict[str, str] | None = None) -> None:
        """Set a justified paragraph; ``fields`` are the values that stand in it."""
        lines = wrap(text, self.font, WIDTH)
        self.room(len(lines) * self.font.size * 1.32)
        self.y += self.sheet.paragraph(
            Box(LEFT, self.y, WIDTH, 0), text, self.font, align="justify", leading=1.32
        )
        self.y += 3.5
        for name, value in (fields or {}).items():
            self.sheet.fields.setdefault(name, value)

    def sections(self, sections: list[dict[str, Any]], values: Mapping[str, str]) -> None:
        """Set sections of ``heading`` and ``clauses``; names in braces are fields, filled from ``values``."""
        for section in sections:
            if section["heading"]:
                self.heading(section["heading"])
            for template in section["clauses"]:
                names = [name for _, name, _, _ in Formatter().parse(template) if name]
                self.clause(template.format_map(values), {name: values[name] for name in names})

    def finish(self, header: str, page: str) -> tuple[Sheet, ...]:
        """Put ``header`` on top and ``page`` (with {number}, {count}) at the foot of every page."""
        small = Font(self.font.face, 8.5, (90, 90, 95))
        for number, sheet in enumerate(self.sheets, start=1):
            sheet.text(LEFT, 40, header, small)
            foot = page.format(number=number, count=len(self.sheets))
            sheet.text(RIGHT, 812, foot, small, align="right")
        return tuple(self.sheets)
