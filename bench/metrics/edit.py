"""Edit distance and the rates made of it: CER, WER, normalised edit distance, fuzzy ratio.

CER and WER follow jiwer 4.0.0 with its default transforms; the corpus rate is the sum of errors over the
sum of reference lengths, never the mean of rates. Normalised edit distance follows OmniDocBench.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.metrics.metric import MetricValue, as_text, as_texts, best
from bench.schema import Json

if TYPE_CHECKING:
    from types import ModuleType

_BLANKS = re.compile(r"\s\s+")


class Errors(NamedTuple):
    """How far an answer is from a reference, in characters or words."""

    edits: int
    """Substitutions, insertions and deletions of a shortest edit script."""
    length: int
    """Of the reference."""


class EditRates(NamedTuple):
    """The three aggregates OmniDocBench prints under one name; they are different numbers."""

    page_average: float | None
    """Mean over pages of Σ edits / Σ longer lengths (``ALL_page_avg``)."""
    whole: float | None
    """Σ edits / Σ longer lengths over everything (``edit_whole``)."""
    sample_average: float | None
    """Mean over samples of edits / longer length (``edit_sample_avg``)."""


@functools.cache
def _rapidfuzz() -> ModuleType:
    # Imported when first needed: listing metrics must not pay for it.
    from rapidfuzz.distance import Levenshtein

    return Levenshtein


def levenshtein(a: Sequence[Hashable], b: Sequence[Hashable], limit: int | None = None) -> int:
    """Fewest insertions, deletions and substitutions from ``a`` to ``b``; ``limit + 1`` if it is above."""
    distance: int = _rapidfuzz().distance(a, b, score_cutoff=limit)
    return distance


def character_errors(prediction: str, reference: str) -> Errors:
    """Character errors after stripping both ends; inner blanks and case count."""
    reference = reference.strip()
    return Errors(levenshtein(reference, prediction.strip()), len(reference))


def word_errors(prediction: str, reference: str) -> Errors:
    """Word errors; words end at blanks only, runs of two or more white spaces are one blank."""
    words = _words(reference)
    return Errors(levenshtein(words, _words(prediction)), len(words))


def _words(text: str) -> list[str]:
    return [word for word in _BLANKS.sub(" ", text).strip().split(" ") if word]


def error_rate(errors: Sequence[Errors]) -> float | None:
    """Corpus rate: Σ errors / Σ reference lengths.

    References that are all empty leave no length to divide by; jiwer 4 then gives the number of
    insertions, and so does this function. None without any pair.
    """
    if not errors:
        return None
    edits, length = sum(e.edits for e in errors), sum(e.length for e in errors)
    return edits / length if length > 0 else float(edits)


def cer(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """Character error rate against the nearest reference, weighted by that reference's length."""
    answer = as_text(prediction)
    return best((_rate(character_errors(answer, r)) for r in as_texts(references)), higher=False)


def wer(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """Word error rate against the nearest reference, weighted by that reference's length in words."""
    answer = as_text(prediction)
    return best((_rate(word_errors(answer, r)) for r in as_texts(references)), higher=False)


def _rate(errors: Errors) -> MetricValue:
    # An empty reference has no rate; it is left out and counted instead of dividing by zero.
    if errors.length == 0:
        return MetricValue(None)
    return MetricValue(errors.edits / errors.length, float(errors.length))


def edit_ratio(prediction: str, reference: str) -> float:
    """Levenshtein distance over the longer length, nothing normalised; 0 for two empty strings."""
    longer = max(len(prediction), len(reference))
    return levenshtein(prediction, reference) / longer if longer > 0 else 0.0


def normalized_edit_distance(prediction: str, references: Sequence[str]) -> float:
    """The smallest ``edit_ratio`` over the references (OmniDocBench, before its matching)."""
    return min(edit_ratio(prediction, r) for r in references)


def edit_rates(pages: Sequence[Sequence[tuple[str, str]]]) -> EditRates:
    """OmniDocBench's aggregates over pages of (prediction, reference) blocks; empty pairs are left out."""
    counts = [
        [(levenshtein(p, r), max(len(p), len(r))) for p, r in page if p or r] for page in pages
    ]
    flat = [pair for page in counts for pair in page]
    if not flat:
        return EditRates(None, None, None)
    by_page = [sum(e for e, _ in page) / sum(n for _, n in page) for page in counts if page]
    return EditRates(
        page_average=sum(by_page) / len(by_page),
        whole=sum(e for e, _ in flat) / sum(n for _, n in flat),
        sample_average=sum(e / n for e, n in flat) / len(flat),
    )


def fuzzy_ratio(prediction: str, references: Sequence[str]) -> float:
    """Normalised indel similarity of lower-cased text with collapsed white space, the best reference's."""
    from rapidfuzz import fuzz

    answer = _folded(prediction)
    return max(fuzz.ratio(answer, _folded(r)) for r in references) / 100.0


def _folded(text: str) -> str:
    return " ".join(text.lower().split())
