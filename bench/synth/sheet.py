"""A page as a list of drawing operations, in points (1/72 inch), with the origin at the top left.

Layouts write to a :class:`Sheet`; ``raster.py`` and ``pdf.py`` read from it. The sheet also remembers
which text is the value of which field, so references are what is on the page and not what was meant to be
there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from bench.synth.fonts import text_width

Color = tuple[int, int, int]

BLACK: Color = (0, 0, 0)
INK: Color = (24, 24, 28)
BLUE_INK: Color = (30, 50, 150)
GREY: Color = (110, 110, 115)

LEADING = 1.2
"""Distance between baselines, in ems."""
ASCENT = 0.74
"""Height of a capital with a little air, in ems: where the first baseline lies in a box."""
_CELL_LEADING = 1.15
"""The lines of a table's cell stand closer."""


class Box(NamedTuple):
    """A rectangle in points."""

    x: float
    y: float
    width: float
    height: float


class Font(NamedTuple):
    """How a text is set."""

    face: str
    size: float
    """Points."""
    color: Color = INK

    def at(self, size: float) -> Font:
        """The same face and colour at another size."""
        return self._replace(size=size)


@dataclass(frozen=True, slots=True)
class TextRun:
    """One line of text."""

    x: float
    y: float
    """Baseline."""
    text: str
    font: Font
    angle: float = 0.0
    """Degrees counter-clockwise around (x, y)."""

    @property
    def width(self) -> float:
        """Points."""
        return text_width(self.font.face, self.text, self.font.size)


@dataclass(frozen=True, slots=True)
class Shape:
    """A polyline or polygon."""

    points: tuple[tuple[float, float], ...]
    color: Color | None = INK
    """Of the line; None draws none."""
    width: float = 0.5
    fill: Color | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Ink:
    """A stamp or pen strokes over the page: what lies beneath shows through."""

    operations: tuple[TextRun | Shape, ...]
    opacity: float = 0.8
    wear: int | None = None
    """Seed of the uneven ink of a worn stamp; None draws evenly."""


Operation = TextRun | Shape | Ink


class WrittenText(NamedTuple):
    """A line or a paragraph as it is meant to be read."""

    box: Box
    """Where it stands; of a paragraph, as far as its width says."""
    text: str


class WrittenTable(NamedTuple):
    """The rows of a table, from its head down."""

    box: Box
    rows: tuple[tuple[str, ...], ...]


Written = WrittenText | WrittenTable


@dataclass(slots=True)
class Sheet:
    """One page while it is drawn."""

    width: float
    height: float
    operations: list[Operation] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    """Field name → the value as it was drawn, its lines joined."""
    paper: Color = (255, 255, 255)
    written: list[Written] = field(default_factory=list)
    """What a reader finds on the page without its stamps. The cells of a table are texts as well."""

    def text(
        self,
        x: float,
        y: float,
        text: str,
        font: Font,
        *,
        align: str = "left",
        field: str | None = None,
    ) -> float:
        """Draw one line with its baseline at ``y``; return its width in points.

        ``align`` is ``left`` (the text begins at ``x``), ``center`` or ``right``; ``field`` is the field
        whose value this is.
        """
        width = text_width(font.face, text, font.size)
        if align != "left":
            x -= width if align == "right" else width / 2
        self.operations.append(TextRun(x, y, text, font))
        if field is not None:
            self.fields.setdefault(field, text)
        self.written.append(WrittenText(Box(x, y - font.size, width, font.size), text))
        return width

    def line(
        self, x0: float, y0: float, x1: float, y1: float, width: float = 0.5, color: Color = INK
    ) -> None:
        """Draw a straight line."""
        self.operations.append(Shape(((x0, y0), (x1, y1)), color, width))

    def rectangle(
        self, box: Box, *, width: float = 0.5, color: Color | None = INK, fill: Color | None = None
    ) -> None:
        """Draw a rectangle: its line, its area, or both."""
        x, y, w, h = box
        corners = ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
        self.operations.append(Shape(corners, color, width, fill, closed=True))

    def dashes(
        self, x0: float, x1: float, y: float, *, on: float = 2, off: float = 2, width: float = 0.5
    ) -> None:
        """Draw a dashed horizontal line."""
        x = x0
        while x < x1:
            self.line(x, y, min(x + on, x1), y, width)
            x += on + off

    def paragraph(
        self,
        box: Box,
        text: str,
        font: Font,
        *,
        align: str = "left",
        field: str | None = None,
        leading: float = LEADING,
    ) -> float:
        """Set ``text`` wrapped to the box's width from its top; return the height used.

        ``align`` may also be ``justify``. The box's height is not a limit.
        """
        lines = wrap(text, font, box.width)
        step = font.size * leading
        y = box.y + font.size * (ASCENT + (leading - 1) / 2)
        before = len(self.written)
        for number, line in enumerate(lines):
            last = number == len(lines) - 1
            if align == "justify" and not last and " " in line:
                self._justified(box.x, y, box.width, line, font)
            elif align == "center":
                self.text(box.x + box.width / 2, y, line, font, align=align)
            elif align == "right":
                self.text(box.x + box.width, y, line, font, align=align)
            else:
                self.text(box.x, y, line, font)
            y += step
        if field is not None:
            self.fields[field] = text
        # The lines are one text.
        area = Box(box.x, box.y, box.width, step * len(lines))
        self.written[before:] = [WrittenText(area, text.replace(SOFT_HYPHEN, ""))]
        return step * len(lines)

    def _justified(self, x: float, y: float, width: float, line: str, font: Font) -> None:
        words = line.split(" ")
        widths = [text_width(font.face, word, font.size) for word in words]
        gap = (width - sum(widths)) / max(1, len(words) - 1)
        for word, advance in zip(words, widths, strict=True):
            self.text(x, y, word, font)
            x += advance + gap

    def cell(
        self,
        box: Box,
        text: str,
        font: Font,
        *,
        align: str = "left",
        padding: float = 2.0,
        field: str | None = None,
    ) -> None:
        """Set ``text`` in the middle of ``box``, wrapped, and smaller where it would not fit otherwise."""
        inner = Box(box.x + padding, box.y, box.width - 2 * padding, box.height)
        size = font.size
        while size > 4:
            lines = wrap(text, font.at(size), inner.width)
            widest = max(text_width(font.face, line, size) for line in lines)
            low_enough = len(lines) * size * _CELL_LEADING <= box.height
            if low_enough and widest <= inner.width + 0.01 and not _torn(text, lines):
                break
            size -= 0.25
        height = len(lines) * size * _CELL_LEADING
        area = Box(inner.x, box.y + (box.height - height) / 2, inner.width, height)
        self.paragraph(area, text, font.at(size), align=align, field=field, leading=_CELL_LEADING)

    def stamp(self, ink: Ink) -> None:
        """Put a stamp or a signature over what is drawn so far."""
        self.operations.append(ink)

    def flow(self, x: float, y: float, parts: tuple[tuple[str, Font, str | None], ...]) -> float:
        """Draw each (text, font, field) behind the one before on a baseline; return the x behind the last."""
        for text, font, name in parts:
            x += self.text(x, y, text, font, field=name)
        return x

    def texts(self) -> list[TextRun]:
        """Return every text on the page in drawing order, stamps included."""
        texts: list[TextRun] = []
        for operation in self.operations:
            parts = operation.operations if isinstance(operation, Ink) else (operation,)
            texts += [part for part in parts if isinstance(part, TextRun)]
        return texts


def _torn(text: str, lines: list[str]) -> bool:
    """Whether wrapping had to cut inside a word of Latin or Cyrillic letters or digits."""
    if SOFT_HYPHEN in text or any(map(is_wide, text)):
        return False
    return len(text.split()) < sum(len(line.split()) for line in lines)


def is_wide(character: str) -> bool:
    """Whether a line may break on either side of ``character`` (Chinese characters and marks)."""
    return "\u2e80" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef"


SOFT_HYPHEN = "\u00ad"
"""Where a word may be divided; drawn as a hyphen at the end of a line and nowhere else."""

_KEPT_WITH_NEXT = frozenset({"№", "г.", "ул.", "д.", "оф.", "пом.", "корп.", "пр-кт", "п.", "ст."})
"""Russian abbreviations that may not end a line."""

_NO_LINE_START = frozenset("，。、；：？！）》】」』%％,.;:)")


def _pieces(text: str) -> list[str]:
    """Split ``text`` into pieces that no line may break; blanks belong to the piece before them."""
    pieces: list[str] = []
    current = ""
    for character in text:
        if is_wide(character):
            if current:
                pieces.append(current)
                current = ""
            if character in _NO_LINE_START and pieces:
                pieces[-1] += character
            else:
                pieces.append(character)
        elif character == SOFT_HYPHEN:
            pieces.append(current + SOFT_HYPHEN)
            current = ""
        elif current.endswith(" ") and character != " ":
            pieces.append(current)
            current = character
        else:
            current += character
    if current:
        pieces.append(current)
    return _with_abbreviations_kept(pieces)


def _with_abbreviations_kept(pieces: list[str]) -> list[str]:
    """Join an abbreviation with the piece after it."""
    joined: list[str] = []
    for piece in pieces:
        words = joined[-1].split(" ") if joined else []
        if len(words) > 1 and words[-2] in _KEPT_WITH_NEXT:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def wrap(text: str, font: Font, width: float) -> list[str]:
    """Break ``text`` into lines no wider than ``width`` points; newlines are kept, long words are cut."""

    def measure(part: str) -> float:
        return text_width(font.face, _shown(part), font.size)

    lines: list[str] = []
    for part in text.split("\n"):
        line = ""
        for piece in _pieces(part):
            if measure(line + piece) <= width:
                line += piece
                continue
            if line:
                lines.append(_shown(line))
            line = piece
            while measure(line) > width and len(line) > 1:
                cut = len(line) - 1
                while cut > 1 and measure(line[:cut]) > width:
                    cut -= 1
                lines.append(line[:cut])
                line = line[cut:]
        lines.append(_shown(line).removesuffix("-") if line.endswith(SOFT_HYPHEN) else _shown(line))
    return lines


def _shown(line: str) -> str:
    """Return ``line`` as it is drawn: without blanks at its end, and with a soft hyphen at its end only."""
    line = line.rstrip()
    return line.replace(SOFT_HYPHEN, "") + ("-" if line.endswith(SOFT_HYPHEN) else "")
