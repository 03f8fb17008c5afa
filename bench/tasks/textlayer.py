"""Reads the words of a PDF's text layer where they stand on the rendered page, if it is to be believed.

A scan often carries some text that is not its content: a stamp, a page number, the line of an electronic
signature. And a font without a right ToUnicode table gives codes in place of letters. Neither is the page's
text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.schema import Document, Page
from bench.tasks.annotations import TickBox
from bench.tasks.pdf import POINTS_PER_INCH, opened, opened_page, rendered
from bench.tasks.plausibility import is_meaningless

if TYPE_CHECKING:
    import numpy as np
    import pypdfium2
    from numpy.typing import NDArray

_INK_DPI = 60
"""Resolution at which ink is compared with words: lines of small print stay apart."""
_INK_DIFFERENCE = 70
"""Grey levels between paper and ink."""
_LARGEST_TEXT = 0.25
"""Share of the page's longer side: longer parts are rules, frames, pictures and the dark edges of scans."""
_IMAGE_SHARE = 0.3
"""Pages with at least this share of images may be scans."""
_FEW_WORDS = 40
"""Pages with fewer words may hold their text as drawn outlines."""
_EXPLAINED = 0.5
"""Share of the text-like ink that the words of a layer must lie on."""
_THINNEST_BLOCK = 8
"""Pixels at ``_INK_DPI``: the height of a line of 10 points."""
_SOLID = 0.75
"""Share of its box that a block of colour fills, even with light letters on it; a word fills about half."""
_LEAST_INK = 60
"""Pixels at ``_INK_DPI``: about one word. With less ink than this beside the words, nothing is missing."""
_DEEPEST_FORM = 8
"""Forms inside forms that are searched for images."""


class PixelBox(NamedTuple):
    """A box in pixels of the rendered page, from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    def turned(self, degrees: int) -> PixelBox:
        """Return the box after a clockwise turn by 0, 90, 180 or 270 degrees around the origin."""
        left, top, right, bottom = self
        if degrees == 90:
            return PixelBox(-bottom, left, -top, right)
        if degrees == 180:
            return PixelBox(-right, -bottom, -left, -top)
        if degrees == 270:
            return PixelBox(top, -right, bottom, -left)
        return self


class TextWord(NamedTuple):
    """One word of a PDF's text layer, with its box in pixels of the rendered page."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    turn: int = 0
    """Degrees (0, 90, 180, 270) by which the page must be turned clockwise until the word stands upright."""


def text_layer(page: Page) -> list[TextWord] | None:
    """Return the words of a PDF page; None for an image, a scan, and a layer that is not the page's text."""
    if page.dpi is None:
        return None
    with opened(page.path) as document:
        return _layer(document, page)


def document_text(document: Document) -> str | None:
    """Return all words of a document; None unless every one of its pages has a text layer to believe."""
    texts = []
    for file_pages in _by_file(document.pages):
        if file_pages[0].dpi is None:
            return None
        # The file is opened once: opening a long one takes longer than reading a page.
        with opened(file_pages[0].path) as pdf:
            for page in file_pages:
                words = _layer(pdf, page)
                if words is None:
                    return None
                texts.append(" ".join(word.text for word in words))
    return "\n".join(texts) if texts else None


def upright_turn(words: Sequence[TextWord]) -> int:
    """Return the clockwise turn in degrees after which most letters of the page stand upright."""
    letters = dict.fromkeys((0, 90, 180, 270), 0)
    for word in words:
        letters[word.turn] += len(word.text)
    return max(letters, key=lambda turn: letters[turn])


def _by_file(pages: Sequence[Page]) -> list[list[Page]]:
    """Split ``pages`` where the file changes."""
    runs: list[list[Page]] = []
    for page in pages:
        if runs and runs[-1][0].path == page.path:
            runs[-1].append(page)
        else:
            runs.append([page])
    return runs


def _layer(document: pypdfium2.PdfDocument, page: Page) -> list[TextWord] | None:
    with opened_page(document, page.index) as opened:
        placed = _Placed(opened.sheet, page)
        words = list(_words(placed))
        turn = upright_turn(words)
        if turn != 0:
            words = list(_words(placed, turn))
        for box in opened.tick_boxes:
            words = _with_tick_box(words, box, placed)
        if not words or is_meaningless([word.text for word in words]):
            return None
        if not _explains_the_page(words, placed):
            return None
        return [_turned(word, page) for word in words]


def _with_tick_box(words: Sequence[TextWord], box: TickBox, placed: _Placed) -> list[TextWord]:
    """Return ``words`` and ``[x]`` or ``[ ]``, beside the word that stands nearest to the box on its line.

    The mark takes the place of the letter that draws the tick.
    """
    place = placed.box(box.left, box.bottom, box.right, box.top)
    if not placed.shows(place):
        return list(words)
    kept = [word for word in words if len(word.text) > 1 or not _lies_in(word, place)]
    turn = upright_turn(kept)
    mark = TextWord("[x]" if box.is_ticked else "[ ]", *place, turn)
    upright = place.turned(turn)
    # Without a word on its line, the mark comes last.
    nearest, position = math.inf, len(kept)
    for number, word in enumerate(kept):
        label = PixelBox(*word[1:5]).turned(turn)
        middle = (label.top + label.bottom) / 2
        if not upright.top - 2 < middle < upright.bottom + 2:
            continue
        is_right = label.left > upright.left
        gap = label.left - upright.right if is_right else upright.left - label.right
        if gap < nearest:
            nearest, position = gap, number if is_right else number + 1
    return [*kept[:position], mark, *kept[position:]]


def _lies_in(word: TextWord, place: PixelBox) -> bool:
    x, y = (word.left + word.right) / 2, (word.top + word.bottom) / 2
    return place.left <= x <= place.right and place.top <= y <= place.bottom


def _turned(word: TextWord, page: Page) -> TextWord:
    """Return a word of the page as the file shows it where it stands on the turned page."""
    box = PixelBox(word.left, word.top, word.right, word.bottom).turned(page.turn)
    # The turn goes around the origin; what left the page by it is moved back.
    right = page.width if page.turn in {90, 180} else 0
    down = page.height if page.turn in {180, 270} else 0
    return TextWord(
        word.text,
        box.left + right,
        box.top + down,
        box.right + right,
        box.bottom + down,
        (word.turn - page.turn) % 360,
    )


class _Placed:
    """An open page and the way from its coordinates to pixels of the rendered page."""

    def __init__(self, sheet: pypdfium2.PdfPage, page: Page) -> None:
        self.sheet = sheet
        self.width, self.height = page.width, page.height
        if page.turn in {90, 270}:
            self.width, self.height = self.height, self.width
        self.rotation = sheet.get_rotation()
        self.left, self.bottom, self.right, self.top = sheet.get_bbox()
        width, height = self.right - self.left, self.top - self.bottom
        if self.rotation in {90, 270}:
            width, height = height, width
        self.scale_x = self.width / width if width else 1.0
        self.scale_y = self.height / height if height else 1.0

    def box(self, left: float, bottom: float, right: float, top: float) -> PixelBox:
        """Return a box of the page's own coordinates (in points, upwards) in pixels of the rendered page."""
        upright = PixelBox(left - self.left, self.top - top, right - self.left, self.top - bottom)
        turned = upright.turned(self.rotation)
        width, height = self.right - self.left, self.top - self.bottom
        shift_x = {90: height, 180: width}.get(self.rotation, 0.0)
        shift_y = {180: height, 270: width}.get(self.rotation, 0.0)
        return PixelBox(
            (turned.left + shift_x) * self.scale_x,
            (turned.top + shift_y) * self.scale_y,
            (turned.right + shift_x) * self.scale_x,
            (turned.bottom + shift_y) * self.scale_y,
        )

    def shows(self, box: PixelBox) -> bool:
        """Say whether the middle of ``box`` lies on the page, not outside its CropBox."""
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        return 0 <= x <= self.width and 0 <= y <= self.height


def _words(placed: _Placed, turned_by: int = 0) -> Iterator[TextWord]:
    """Yield the words of a page, split at white space, at jumps, and where the direction of text changes.

    pdfium sorts the pieces of a line as they would lie on a page that is ``turned_by`` degrees more.
    """
    import pypdfium2.raw as pdfium

    placed.sheet.set_rotation((placed.rotation + turned_by) % 360)
    text = placed.sheet.get_textpage()
    placed.sheet.set_rotation(placed.rotation)
    word, box, direction = "", PixelBox(0.0, 0.0, 0.0, 0.0), 0
    for index in range(text.count_chars()):
        character = text.get_text_range(index, 1)
        is_space = not character.strip()
        glyph = box if is_space else placed.box(*text.get_charbox(index, loose=True))
        if is_space or not placed.shows(glyph):
            if word:
                yield TextWord(word, *box.turned(-direction % 360), direction)
            word = ""
            continue
        turn = _turn(pdfium.FPDFText_GetCharAngle(text, index), placed.rotation)
        # Words are made in the space where their letters stand upright, whatever way the page is turned.
        glyph = glyph.turned(turn)
        height = glyph.bottom - glyph.top
        jumps = abs(glyph.bottom - box.bottom) > height or glyph.left - box.right > height
        if word and (turn != direction or jumps):
            yield TextWord(word, *box.turned(-direction % 360), direction)
            word = ""
        box = _joined(box, glyph) if word else glyph
        direction = turn
        word += character
    if word:
        yield TextWord(word, *box.turned(-direction % 360), direction)


def _turn(radians: float, rotation: int) -> int:
    """Return the clockwise turn that makes a letter upright; ``radians`` is pdfium's angle of it."""
    degrees = math.degrees(radians) if radians >= 0 else 0.0
    steps = round((-degrees - rotation) / 90)
    return steps * 90 % 360


def _joined(box: PixelBox, glyph: PixelBox) -> PixelBox:
    """Extend the box of a word by its next character."""
    return PixelBox(
        box.left,
        min(box.top, glyph.top),
        max(box.right, glyph.right),
        max(box.bottom, glyph.bottom),
    )


def _explains_the_page(words: Sequence[TextWord], placed: _Placed) -> bool:
    """Say whether the words lie on the ink that looks like text, or stand beside a picture of it."""
    if len(words) >= _FEW_WORDS and _image_share(placed) < _IMAGE_SHARE:
        return True
    from scipy import ndimage

    ink = _ink(placed)
    covered = _covered(words, placed, ink.shape)
    parts, _ = ndimage.label(ink, structure=[[1, 1, 1]] * 3)
    largest = _LARGEST_TEXT * max(ink.shape)
    total = explained = 0
    for number, place in enumerate(ndimage.find_objects(parts), start=1):
        height, width = (side.stop - side.start for side in place)
        part = parts[place] == number
        is_solid = min(height, width) > _THINNEST_BLOCK and part.mean() > _SOLID
        if max(height, width) > largest or is_solid:
            continue
        total += int(part.sum())
        explained += int((part & covered[place]).sum())
    return total - explained < _LEAST_INK or explained >= _EXPLAINED * total


def _ink(placed: _Placed) -> NDArray[np.bool_]:
    """Return where the page is darker or lighter than its paper, at a low resolution."""
    import numpy as np

    width, height = placed.sheet.get_size()
    scale = _INK_DPI / POINTS_PER_INCH
    # A page of a metre has larger letters: as many pixels show them.
    scale = min(scale, 1200 / max(width, height, 1.0))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    grey = np.asarray(rendered(placed.sheet, size).convert("L"), dtype=np.int16)
    paper = int(np.median(grey))
    ink: NDArray[np.bool_] = abs(grey - paper) > _INK_DIFFERENCE
    return ink


def _covered(
    words: Sequence[TextWord], placed: _Placed, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return a mask of ``shape`` that is true on the words and a pixel around them."""
    import numpy as np

    covered = np.zeros(shape, dtype=bool)
    down, across = shape[0] / placed.height, shape[1] / placed.width
    for word in words:
        top, bottom = int(word.top * down) - 1, math.ceil(word.bottom * down) + 1
        left, right = int(word.left * across) - 1, math.ceil(word.right * across) + 1
        covered[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
    return covered


def _image_share(placed: _Placed) -> float:
    """Return the share of the page under images, on a grid of a hundredth of each side."""
    import numpy as np
    import pypdfium2.raw as pdfium

    grid = np.zeros((100, 100), dtype=bool)
    for part in placed.sheet.get_objects(max_depth=_DEEPEST_FORM):
        if part.type == pdfium.FPDF_PAGEOBJ_FORM and part.level == 0:
            # What lies inside a form is placed by it; a form with an image is taken as a whole.
            continue
        if part.type != pdfium.FPDF_PAGEOBJ_IMAGE:
            continue
        outer = part if part.container is None else _outermost(part)
        box = placed.box(*outer.get_bounds())
        rows = slice(max(0, int(100 * box.top / placed.height)), _upper(box.bottom, placed.height))
        columns = slice(max(0, int(100 * box.left / placed.width)), _upper(box.right, placed.width))
        grid[rows, columns] = True
    return float(grid.mean())


def _upper(length: float, whole: int) -> int:
    return max(0, math.ceil(100 * length / whole))


def _outermost(part: pypdfium2.PdfObject) -> pypdfium2.PdfObject:
    while part.container is not None:
        part = part.container
    return part
