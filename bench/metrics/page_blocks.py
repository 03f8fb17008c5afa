"""The blocks of a page: what a transcription in Markdown, or a structured reference, consists of.

The split follows OmniDocBench (``md_tex_filter``, @59b103c): tables of HTML, displayed formulas and tables
between pipes are taken out, and the rest is divided at blank lines. A reference is Markdown, too, or an
object with a list of ``blocks`` in reading order, each with one of OmniDocBench's categories::

    {"blocks": [{"category": "title", "text": "Invoice"},
                {"category": "table", "html": "<table>…</table>"},
                {"category": "equation_isolated", "latex": "E = mc^2"}]}
"""

from __future__ import annotations

import functools
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from bench.metrics.markup_tables import (
    MarkupRows,
    html_rows,
    html_table_spans,
    is_pipe_table,
    pipe_rows,
    pipe_runs,
)
from bench.metrics.metric import MAX_CHARACTERS
from bench.schema import Json

BlockKind = Literal["text", "formula", "table", "margin"]
"""``margin``: captions, headers, footers, page numbers, whose text may be in the answer or not."""

MAX_FRAGMENT: Final = MAX_CHARACTERS
"""Characters of one block of a reference."""

_TEXT_CATEGORIES = ("text_block", "title", "code_txt", "code_txt_caption", "reference")
_MARGIN_CATEGORIES = (
    "figure_caption",
    "figure_footnote",
    "table_caption",
    "table_footnote",
    "code_algorithm",
    "code_algorithm_caption",
    "header",
    "footer",
    "page_footnote",
    "page_number",
    "equation_caption",
)
CATEGORIES: Final[Mapping[str, tuple[BlockKind, str]]] = {
    **dict.fromkeys(_TEXT_CATEGORIES, ("text", "text")),
    **dict.fromkeys(_MARGIN_CATEGORIES, ("margin", "text")),
    "equation_isolated": ("formula", "latex"),
    "table": ("table", "html"),
}
"""Category of a block → its kind, and the key that holds its content. Other categories are not compared."""


class PageBlock(NamedTuple):
    """One block of a page, in its place of the reading order."""

    kind: BlockKind
    text: str
    """What is compared: letters and digits of a text, normalised LaTeX, or the cells of a table."""
    rows: MarkupRows = ()
    """Of a table."""


# References


def blocks_problem(reference: Json) -> str | None:
    """Say what is wrong with an object that stands for a page; None if nothing is."""
    if not isinstance(reference, dict) or not isinstance(reference.get("blocks"), list):
        return 'a page is Markdown, or an object with a list of "blocks" or of "tests"'
    for number, block in enumerate(reference["blocks"], 1):
        category = block.get("category") if isinstance(block, dict) else None
        if not isinstance(category, str) or category not in CATEGORIES:
            return f"block {number} needs a category: one of {', '.join(CATEGORIES)}"
        key = CATEGORIES[category][1]
        if not isinstance(block.get(key), str):
            return f"block {number} is a {category}, which needs a text under the key {key!r}"
    return None


def blocks_of(page: Json) -> tuple[PageBlock, ...] | None:
    """Return the blocks of a page with something in them; None if ``page`` is no page.

    Raises:
        TooLarge: a table is too large to be read.
    """
    if isinstance(page, str):
        return _blocks_of_markdown(page[:MAX_CHARACTERS])
    if blocks_problem(page) is not None:
        return None
    blocks = []
    for listed in page["blocks"]:
        kind, key = CATEGORIES[listed["category"]]
        content = listed[key][:MAX_FRAGMENT]
        blocks.append(_table(html_rows(content)) if kind == "table" else _block(kind, content))
    return tuple(block for block in blocks if block.text or block.kind == "table")


def markdown_of(page: Json) -> str:
    """Return the page as a person reads it: Markdown, with tables as the HTML that the reference has."""
    if isinstance(page, str) or blocks_problem(page) is not None:
        return page if isinstance(page, str) else ""
    parts = []
    for block in page["blocks"]:
        content = block[CATEGORIES[block["category"]][1]]
        if block["category"] == "equation_isolated" and not content.lstrip().startswith(
            ("$", "\\[")
        ):
            content = f"$${content}$$"
        parts.append(f"# {content}" if block["category"] == "title" else content)
    return "\n\n".join(parts)


def _block(kind: BlockKind, content: str) -> PageBlock:
    return PageBlock(kind, plain_formula(content) if kind == "formula" else plain_words(content))


def _table(rows: MarkupRows) -> PageBlock:
    return PageBlock("table", "\n".join(cell.text for row in rows for cell in row), rows)


# Markdown

_IMAGE = re.compile(r"!\[[^\[\]\n]{0,500}\]\([^()\n]{0,2000}\)")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)
_HEADING = re.compile(r"^(#{1,6}[ \t][^\n]*)$", re.MULTILINE)
_PARAGRAPH_END = re.compile(r"\n[ \t]*\n")
_LINE_END = re.compile(r"\n")
_WHOLE_FORMULA = (("$", "$"), ("\\(", "\\)"))


def without_images(text: str) -> str:
    """Return Markdown without its images and what is written in their place."""
    return _IMAGE.sub("", text)


def _blocks_of_markdown(text: str) -> tuple[PageBlock, ...]:
    text = _FENCE.sub("", without_images(text.replace("\r\n", "\n"))).strip()
    # Some models end every line where others end a paragraph.
    divider = _PARAGRAPH_END if _PARAGRAPH_END.search(text) else _LINE_END
    blocks: list[PageBlock] = []
    end = 0
    for start, stop in html_table_spans(text):
        blocks += _formulas_and_texts(text[end:start], divider)
        blocks.append(_table(html_rows(text[start:stop])))
        end = stop
    blocks += _formulas_and_texts(text[end:], divider)
    return tuple(block for block in blocks if block.text or block.kind == "table")


def _formulas_and_texts(text: str, divider: re.Pattern[str]) -> Iterator[PageBlock]:
    end = 0
    for start, inner, stop in _displayed_formulas(text):
        yield from _tables_and_texts(text[end:start], divider)
        yield _block("formula", inner)
        end = stop
    yield from _tables_and_texts(text[end:], divider)


def _displayed_formulas(text: str) -> Iterator[tuple[int, str, int]]:
    """Yield start, content and end of every formula that stands on its own, in order."""
    places = {
        mark: [match.start() for match in re.finditer(re.escape(mark), text)]
        for mark in ("$$", "\\[", "\\]")
    }
    position = 0
    while True:
        opening = min(("$$", "\\["), key=lambda mark: _next(places[mark], position, len(text)))
        start = _next(places[opening], position, len(text))
        if start == len(text):
            return
        closing = "$$" if opening == "$$" else "\\]"
        stop = _next(places[closing], start + 2, len(text))
        if stop == len(text):
            # Nothing behind here closes a formula of this kind.
            places[opening] = []
            continue
        yield start, text[start + 2 : stop], stop + 2
        position = stop + 2


def _next(places: Sequence[int], position: int, otherwise: int) -> int:
    """Return the first of ``places`` from ``position`` on."""
    index = bisect_left(places, position)
    return places[index] if index < len(places) else otherwise


def _tables_and_texts(text: str, divider: re.Pattern[str]) -> Iterator[PageBlock]:
    lines = text.split("\n")
    end = 0
    for start, stop in pipe_runs(lines):
        if is_pipe_table(lines[start:stop]):
            yield from _texts("\n".join(lines[end:start]), divider)
            yield _table(pipe_rows(lines[start:stop]))
            end = stop
    yield from _texts("\n".join(lines[end:]), divider)


def _texts(text: str, divider: re.Pattern[str]) -> Iterator[PageBlock]:
    for paragraph in divider.split(text):
        for part in _HEADING.split(paragraph):
            is_formula = any(_is_wrapped(part.strip(), *marks) for marks in _WHOLE_FORMULA)
            yield _block("formula" if is_formula else "text", part)


def _is_wrapped(text: str, opening: str, closing: str) -> bool:
    long_enough = len(text) > len(opening) + len(closing)
    return (
        long_enough
        and text.startswith(opening)
        and text.endswith(closing)
        and opening not in text[len(opening) : -len(closing)]
    )


# What is compared

_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_NO_WORD = re.compile(r"[\W_]+")
_INLINE_FORMULA = re.compile(r"\$([^$\n]{1,1000})\$|\\\(([^\n]{0,300}?)\\\)")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_FUNCTIONS = frozenset("sin cos tan cot log ln lg exp max min sup inf lim det arg gcd".split())  # noqa: SIM905


def plain_words(text: str) -> str:
    """Return the letters and digits of ``text``, without tags and without marks of Markdown and LaTeX.

    OmniDocBench keeps word characters, too (``clean_string``), after it has turned inline formulas into
    Unicode by pylatexenc; here Greek letters and names of functions are kept, and other commands go.
    """
    without_tags = _TAG.sub("", text) if "<" in text else text
    if "$" in without_tags or "\\" in without_tags:
        without_tags = _INLINE_FORMULA.sub(_formula_in_words, without_tags)
    return _NO_WORD.sub("", without_tags)


def _formula_in_words(match: re.Match[str]) -> str:
    return _COMMAND.sub(_command_in_words, match[1] or match[2] or "")


def _command_in_words(match: re.Match[str]) -> str:
    name = match[1]
    return name if name in _FUNCTIONS else _greek(name)


@functools.cache
def _greek(name: str) -> str:
    """Return the Greek letter of a LaTeX command; nothing for any other command."""
    if len(name) > 12:
        return ""
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    name = name.lower().removeprefix("var")
    name = "lamda" if name == "lambda" else name
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {name.upper()}")
    except KeyError:
        return ""


_DROPPED_GROUP = re.compile(
    r"\\(?:tag|hspace|begin|end)\*?\{[^{}]{0,200}\}|\\arraycolsep[^{}]{0,200}\}"
)
_DROPPED_COMMAND = re.compile(
    r"\\(?:mathbf|mathrm|mathnormal|mathit|mathbb|mathcal|mathscr|mathfrak|mathsf|mathtt|textbf|text|"
    r"boldmath|boldsymbol|operatorname|bm|symbfit|mathbfcal|symbf|scriptscriptstyle|notag|setlength|"
    r"coloneqq|space|thickspace|thinspace|medspace|nobreakspace|negmedspace|quad|qquad|enspace|substackw|"
    r"left|right|displaystyle)(?![A-Za-z])"
)
_BLANK = re.compile(r"\s+")


def plain_formula(latex: str) -> str:
    """Return LaTeX without what does not change a formula: delimiters, blanks, fonts, sizes, line numbers.

    Source: OmniDocBench, ``normalized_formula`` (@59b103c). There a command is also removed as the beginning
    of a longer one; here only as a whole.
    """
    text = latex.strip().strip("$").strip()
    for opening, closing in (("\\[", "\\]"), ("\\(", "\\)")):
        if text.startswith(opening) and text.endswith(closing):
            text = text[2:-2]
    text = _DROPPED_COMMAND.sub("", _DROPPED_GROUP.sub("", text))
    return _BLANK.sub("", text.replace("$$", "")).strip(".").lower()
