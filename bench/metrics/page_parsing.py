"""Metrics of a page that was transcribed as Markdown: text, tables, formulas and the order of reading.

The parts are those of OmniDocBench 1.5. Its formula metric CDM compares rendered formulas and is not computed
here, so its *Overall* cannot be; ``parsing_score`` is a mean of our own and has another name.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, Literal

from bench.metrics.edit import levenshtein
from bench.metrics.markup_tables import canonical_html
from bench.metrics.metric import MetricValue, as_text, best, check_pairs
from bench.metrics.page_blocks import PageBlock, blocks_of
from bench.metrics.page_matching import BlockMatch, match_tables, match_texts, tables_as_texts
from bench.metrics.tables import teds
from bench.schema import Json


@dataclass(frozen=True, slots=True)
class PageComparison:
    """A transcription beside one reference, block by block."""

    texts: tuple[BlockMatch, ...]
    """Matches of texts, in the reference's order."""
    formulas: tuple[BlockMatch, ...]
    tables: tuple[tuple[str, str | None], ...]
    """Each table of the reference with that of the answer, as HTML; None where the answer has none for it."""


def compare_pages(answer: str, reference: Json) -> PageComparison | None:
    """Match ``answer`` with ``reference``; None if the reference is no page.

    Raises:
        TooLarge: one of them has too many blocks or too much text.
    """
    expected = blocks_of(reference)
    if expected is None:
        return None
    given = blocks_of(answer) or ()
    tables = match_tables(expected, given)
    # A page whose reference has no table may still hold a form that was written as one.
    parts = tables_as_texts(given, (own for own in tables.values() if own is not None))
    matches = match_texts(expected, parts)
    return PageComparison(
        texts=tuple(match for match in matches if _is_text(match, expected)),
        formulas=tuple(match for match in matches if not _is_text(match, expected)),
        tables=tuple(
            (
                canonical_html(expected[wanted].rows),
                None if own is None else canonical_html(given[own].rows),
            )
            for wanted, own in tables.items()
        ),
    )


def _is_text(match: BlockMatch, expected: Sequence[PageBlock]) -> bool:
    return any(expected[number].kind == "text" for number in match.expected)


def text_edit(pairs: PageComparison) -> float | None:
    """Edits of all texts of a page over their length; None if the reference has no text.

    OmniDocBench's ``ALL_page_avg`` is the mean of this over pages.
    """
    return _edit_share(pairs.texts)


def block_edit(pairs: PageComparison) -> float | None:
    """Mean over the matches of texts of edits over length; None if the reference has no text."""
    shares = [match.edits / match.length for match in pairs.texts]
    return fmean(shares) if shares else None


def formula_edit(pairs: PageComparison) -> float | None:
    """Edits of all formulas of a page, as normalised LaTeX, over their length; None without a formula."""
    return _edit_share(pairs.formulas)


def _edit_share(matches: Sequence[BlockMatch]) -> float | None:
    length = sum(match.length for match in matches)
    return sum(match.edits for match in matches) / length if length else None


def order_edit(pairs: PageComparison) -> float | None:
    """Edit distance between two orders of the reference's texts, over their number; None without a text.

    The orders are the reference's and that in which the answer has what it has of them.
    """
    expected = [number for match in pairs.texts for number in match.expected]
    placed = sorted((match for match in pairs.texts if match.found), key=lambda m: m.found)
    answered = [number for match in placed for number in match.expected]
    return levenshtein(sorted(expected), answered) / len(expected) if expected else None


MAX_TABLE_PAIRS: Final = 2_500_000
"""Pairs of a cell of the reference and one of the answer, over all tables of a page."""


def tables_teds(pairs: PageComparison, *, structure_only: bool = False) -> float | None:
    """Mean TEDS of the reference's tables; one that the answer lacks counts as 0; None without a table."""
    cells = ((wanted.count("<td"), (own or "").count("<td")) for wanted, own in pairs.tables)
    check_pairs(1, sum(first * second for first, second in cells), MAX_TABLE_PAIRS)
    scores = [
        0.0 if own is None else teds(own, wanted, structure_only=structure_only)
        for wanted, own in pairs.tables
    ]
    return fmean(scores) if scores else None


def page_score(pairs: PageComparison) -> float | None:
    """Mean of what the page has of: 1 − ``text_edit``, ``tables_teds``, 1 − ``formula_edit``."""
    text, formula = text_edit(pairs), formula_edit(pairs)
    parts = [
        None if text is None else 1 - text,
        tables_teds(pairs),
        None if formula is None else 1 - formula,
    ]
    known = [part for part in parts if part is not None]
    return fmean(known) if known else None


# Rows of the table of metrics

ScoredPart = Literal["score", "text", "blocks", "tables", "structure", "formulas", "order"]

_PARTS: dict[ScoredPart, tuple[Callable[[PageComparison], float | None], bool]] = {
    "score": (page_score, True),
    "text": (text_edit, False),
    "blocks": (block_edit, False),
    "tables": (tables_teds, True),
    "structure": (functools.partial(tables_teds, structure_only=True), True),
    "formulas": (formula_edit, False),
    "order": (order_edit, False),
}
"""Part → the function of a comparison, and whether more of it is better."""


def page_metric(part: ScoredPart) -> Callable[[Json, Sequence[Json]], MetricValue]:
    """Return the score function of a part: of several references the best one counts."""
    measure, higher = _PARTS[part]

    def score(prediction: Json, references: Sequence[Json]) -> MetricValue:
        values = []
        for reference in references:
            pairs = _compared(as_text(prediction), json.dumps(reference, ensure_ascii=False))
            value = None if pairs is None else measure(pairs)
            # The mean over blocks counts every block; all other parts count every page once.
            blocks = len(pairs.texts) if pairs is not None and part == "blocks" else 1
            values.append(MetricValue(value, float(blocks)))
        return best(values, higher=higher)

    return score


@functools.lru_cache(maxsize=8)
def _compared(answer: str, reference: str) -> PageComparison | None:
    """``compare_pages`` once for all metrics of an answer; the reference as JSON."""
    return compare_pages(answer, json.loads(reference))
