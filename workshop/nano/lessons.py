"""Draw lessons: small pictures of text with questions and answers, from single words to whole slips.

A random generator decides everything. The pictures come from ``bench.synth``. Lessons ask more than its
documents do: beside the questions of the bundled tasks they ask for a label in several wordings, and they ask
to read lines aloud.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from bench.schema import SHORT_ANSWER
from bench.synth.fonts import advances
from bench.synth.layouts import slip as layouts
from bench.synth.questions import question_texts
from bench.synth.raster import rasterise
from bench.synth.sheet import Font, Sheet
from bench.synth.values import parties
from bench.synth.values.goods import till_goods
from bench.synth.values.slip import Slip, slip, slip_company, slip_words

if TYPE_CHECKING:
    from PIL import Image

CELL = 28
"""Side, in pixels, of the square that one visual token covers."""
HELD_OUT = ("card",)
"""Layouts that no lesson shows."""
TAUGHT_LAYOUTS = tuple(name for name in layouts.LAYOUTS if name not in HELD_OUT)

DIGITS = "0123456789"
LETTERS = {
    "en": "abcdefghijklmnopqrstuvwxyz",
    "ru": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
}

READ = {"en": "What is written here?", "ru": "Что здесь написано?"}
READ_LINE = {"en": "Read line {n}.", "ru": "Прочитайте строку {n}."}
_ASK_LABEL = {
    "en": ("{label}?", "What is the {label}?", "What is written after {label}?", "Find: {label}"),
    "ru": ("{label}?", "Что указано в поле {label}?", "Что написано после {label}?", "Найдите: {label}"),
}  # fmt: skip
_ASK_PRICE = {"en": "How much is {label}?", "ru": "Сколько стоит {label}?"}


class Glyph(NamedTuple):
    """A character and where its middle lies, in pixels."""

    character: str
    x: float
    y: float


class Lesson(NamedTuple):
    """One picture with what is asked about it."""

    image: Image.Image
    """RGB; both sides are multiples of ``CELL``."""
    turns: tuple[tuple[str, str], ...]
    """Question and answer."""
    glyphs: tuple[Glyph, ...]


def text(rng: Random, cells: tuple[int, int]) -> Lesson:
    """Draw a page of ``cells`` (columns, rows) full of unconnected lines, which nothing is asked about."""
    width, height = cells[0] * CELL, cells[1] * CELL
    style = layouts.draw_style(rng, (width, height))
    sheet = Sheet(width, height, paper=style.paper)
    y = rng.uniform(0, 8)
    while True:
        if rng.random() < 0.3:
            other = layouts.draw_style(rng, (width, height))
            style = style._replace(face=other.face, size=other.size, pitch=other.pitch)
        font = Font(style.face, style.size, style.ink)
        y += max(font.size * 1.15, style.pitch * 0.9)
        if y > height - font.size * 0.28:
            break
        line = _words(rng, rng.choice(("en", "ru")), rng.randint(4, 1 + int(width / font.size * 2)))
        length = sum(advances(font.face, line, font.size))
        if length > width - 6:
            font = font.at(font.size * (width - 6) / length)
            length = width - 6
        sheet.text(rng.uniform(2, max(2.0, width - length - 3)), y, line, font)
    return Lesson(_picture(sheet, rng), (), _glyphs(sheet))


def page(rng: Random, cells: tuple[int, int], entries: int | None, turns: int) -> Lesson:
    """Draw a slip on a page of ``cells`` (columns, rows), and at most ``turns`` questions about it.

    With a number of ``entries`` the page is an excerpt: it holds only so many lines and no heading, and the
    first question asks to read everything aloud.
    """
    language = rng.choice(("en", "ru"))
    values = slip(rng, language, entries=entries)
    style = layouts.draw_style(rng, (cells[0] * CELL, cells[1] * CELL))
    if entries is not None:
        values = Slip(values.doc_type, "", "", values.entries)
        style = style._replace(margin=rng.uniform(3, 10), pitch=style.size * rng.uniform(1.25, 1.6))
    sheet = layouts.LAYOUTS[rng.choice(TAUGHT_LAYOUTS)](values, rng, style)
    asked = _ask(rng, language, values, sheet, style.colon)
    rng.shuffle(asked)
    if entries is not None:
        whole = "\n".join(" ".join(row) for row in _rows(sheet))
        asked = [(READ[language], whole), *asked]
    return Lesson(_picture(sheet, rng), tuple(asked[:turns]), _glyphs(sheet))


def _ask(
    rng: Random, language: str, values: Slip, sheet: Sheet, colon: str
) -> list[tuple[str, str]]:
    """Return everything that can be asked about what was drawn, with the answers."""
    canonical = question_texts("slip", language)
    asked: list[tuple[str, str]] = []
    for field, value in sheet.fields.items():
        question = canonical[field]
        if field != "company" and rng.random() < 0.4:
            label = next(entry.label for entry in values.entries if entry.field == field)
            question = rng.choice(_ASK_LABEL[language]).format(label=label)
        asked.append((question, value))
    drawn = {text.text for text in sheet.texts()}
    for name, amount in values.goods:
        # Most layouts leave goods out, and the sum of a single one would still be on the page.
        if {name + colon, amount} <= drawn and rng.random() < 0.5:
            asked.append((_ASK_PRICE[language].format(label=name), amount))
    rows = _rows(sheet)
    if rows and rng.random() < 0.5:
        number = rng.randrange(len(rows))
        asked.append((READ_LINE[language].format(n=number + 1), " ".join(rows[number])))
    return [(_instructed(rng, language, question), answer) for question, answer in asked]


def _rows(sheet: Sheet) -> list[list[str]]:
    """Return the texts of each line, from top to bottom."""
    rows: dict[int, list[str]] = {}
    for drawn in sheet.texts():
        rows.setdefault(round(drawn.y), []).append(drawn.text.strip())
    return list(rows.values())


def _instructed(rng: Random, language: str, question: str) -> str:
    return f"{question}\n{SHORT_ANSWER[language]}" if rng.random() < 0.15 else question


def _glyphs(sheet: Sheet) -> tuple[Glyph, ...]:
    glyphs = []
    for text in sheet.texts():
        x = text.x
        steps = advances(text.font.face, text.text, text.font.size)
        for character, step in zip(text.text, steps, strict=True):
            if not character.isspace():
                glyphs.append(Glyph(character, x + step / 2, text.y - text.font.size * 0.33))
            x += step
    return tuple(glyphs)


def _picture(sheet: Sheet, rng: Random) -> Image.Image:
    """Render ``sheet``, and sometimes blur it a little, as resizing a page does."""
    from PIL import Image, ImageFilter

    image = rasterise(sheet, layouts.DPI)
    chance = rng.random()
    if chance < 0.15:
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.7)))
    if chance < 0.3:
        small = rng.uniform(0.8, 0.97)
        size = (round(image.width * small), round(image.height * small))
        cubic = Image.Resampling.BICUBIC
        return image.resize(size, cubic).resize(image.size, cubic)
    return image


@lru_cache(maxsize=1)
def _lexicon() -> dict[str, tuple[str, ...]]:
    """Return the words of each language that documents hold, sorted."""
    rng = Random("lexicon")
    words: dict[str, set[str]] = {"en": set(), "ru": set()}
    for language, known in words.items():
        for _ in range(1500):
            person = parties.person(rng, language)
            known |= {person.surname, person.given, person.short}
        for labels in slip_words(language)["labels"].values():
            known |= set(labels)
        for good in till_goods(language, "shop") + till_goods(language, "diner"):
            known |= set(good.name.split())
        for question in question_texts("slip", language).values():
            known |= set(question.split())
    return {language: tuple(sorted(known)) for language, known in words.items()}


_PUNCTUATION = ".,-/:№"
"""Inside numbers."""
_MARKS = DIGITS + _PUNCTUATION + "#()%+*$£&"


def _invented(rng: Random, language: str) -> str:
    """Make up a word that does not exist, so that it must be read letter by letter."""
    letters = "".join(rng.choice(LETTERS[language]) for _ in range(rng.randint(2, 9)))
    return rng.choice((str.lower, str.upper, str.capitalize))(letters)


def _digits(rng: Random) -> str:
    count = rng.randint(2, 10)
    return "".join(
        rng.choice(DIGITS + _PUNCTUATION if rng.random() < 0.3 else DIGITS) for _ in range(count)
    )


def _words(rng: Random, language: str, max_length: int) -> str:
    """Return words, numbers and values, up to ``max_length`` characters."""
    makers: Sequence[Callable[[], str]] = (
        lambda: rng.choice(_lexicon()[language]),
        lambda: _invented(rng, language),
        lambda: _digits(rng),
        lambda: rng.choice(slip(rng, language).entries).value,
        lambda: slip_company(rng, language),
        lambda: "".join(rng.choice(_MARKS) for _ in range(rng.randint(1, 4))),
    )
    weights = (4, 3, 4, 4, 1, 1)
    text = rng.choices(makers, weights)[0]()
    while len(text) < max_length * 0.6 and rng.random() < 0.6:
        text += " " + rng.choices(makers, weights)[0]()
    if len(text) > max_length:
        text = text[:max_length]
    return text.strip() or "0"
