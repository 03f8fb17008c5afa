"""Edit distance and the rates made of it: CER, WER, normalised edit distance, fuzzy ratio.

CER and WER are jiwer's, with its default transforms. Its alignment also says of what kind the errors are. The
corpus rate is the sum of errors over the sum of reference lengths, never the mean of rates. Normalised edit
distance follows OmniDocBench. All other distances come from rapidfuzz, which is faster and aligns nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from bench.metrics.metric import MetricValue, as_text, bounded_texts, check_texts, collapsed
from bench.schema import Json

if TYPE_CHECKING:
    from types import ModuleType

    from jiwer import CharacterOutput, WordOutput


@dataclass(frozen=True, slots=True)
class EditCounts:
    """What a shortest edit script from a reference to an answer does, in characters or in words."""

    hits: int = 0
    """Characters or words of the reference that the answer has in their place."""
    substitutions: int = 0
    """Those that the answer has another one for."""
    deletions: int = 0
    """Those that the answer lacks."""
    insertions: int = 0
    """Those that the answer has and the reference has not."""

    @property
    def edits(self) -> int:
        """Substitutions, deletions and insertions: the edit distance."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def length(self) -> int:
        """Characters or words of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """Edits over the reference's length; for an empty reference the insertions, as in jiwer 4."""
        return self.edits / self.length if self.length > 0 else float(self.edits)


def character_edits(prediction: str, reference: str) -> EditCounts:
    """Count character errors after both ends are stripped; case and blanks inside count."""
    import jiwer

    return _counts(jiwer.process_characters(reference, prediction))


def word_edits(prediction: str, reference: str) -> EditCounts:
    """Count word errors; words end at blanks only, and two or more white spaces are one blank."""
    import jiwer

    return _counts(jiwer.process_words(reference, prediction))


def _counts(output: CharacterOutput | WordOutput) -> EditCounts:
    return EditCounts(output.hits, output.substitutions, output.deletions, output.insertions)


EDIT_METRICS: Final[Mapping[str, Callable[[str, str], EditCounts]]] = MappingProxyType(
    {"cer": character_edits, "wer": word_edits}
)
"""Metric → function that counts its edits from a prediction and one reference."""


def edit_counts(metric: str, prediction: Json, references: Sequence[Json]) -> EditCounts | None:
    """Count the edits that ``cer`` or ``wer`` charges an answer for: those against the nearest reference.

    An empty reference has no rate and is left out; None if no other is there. Among equally near
    references the longest counts.
    """
    answer = as_text(prediction)
    count = EDIT_METRICS[metric]
    texts = bounded_texts(references)
    check_texts(answer, texts)
    candidates = [count(answer, reference) for reference in texts]
    with_a_rate = [counts for counts in candidates if counts.length > 0]
    return min(with_a_rate, key=lambda counts: (counts.rate, -counts.length), default=None)


def sum_edits(counts: Iterable[EditCounts]) -> EditCounts:
    """The counts of a corpus, whose ``rate`` is the corpus rate."""
    total = EditCounts()
    for one in counts:
        total = EditCounts(
            total.hits + one.hits,
            total.substitutions + one.substitutions,
            total.deletions + one.deletions,
            total.insertions + one.insertions,
        )
    return total


def cer(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """Character error rate against the nearest reference, weighted by that reference's length."""
    return _rate(edit_counts("cer", prediction, references))


def wer(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """Word error rate against the nearest reference, weighted by that reference's length in words."""
    return _rate(edit_counts("wer", prediction, references))


def _rate(counts: EditCounts | None) -> MetricValue:
    return MetricValue(None) if counts is None else MetricValue(counts.rate, float(counts.length))


@functools.cache
def _rapidfuzz() -> ModuleType:
    # Imported when first needed: listing metrics must not pay for it.
    from rapidfuzz.distance import Levenshtein

    return Levenshtein


def levenshtein(a: Sequence[Hashable], b: Sequence[Hashable], limit: int | None = None) -> int:
    """Fewest insertions, deletions and substitutions from ``a`` to ``b``; ``limit + 1`` if it is above."""
    distance: int = _rapidfuzz().distance(a, b, score_cutoff=limit)
    return distance


def edit_ratio(prediction: str, reference: str) -> float:
    """Levenshtein distance over the longer length, nothing normalised; 0 for two empty strings."""
    longer = max(len(prediction), len(reference))
    return levenshtein(prediction, reference) / longer if longer > 0 else 0.0


def normalized_edit_distance(prediction: str, references: Sequence[str]) -> float:
    """The smallest ``edit_ratio`` over the references (OmniDocBench, before its matching)."""
    return min(edit_ratio(prediction, reference) for reference in references)


def fuzzy_ratio(prediction: str, references: Sequence[str]) -> float:
    """Normalised indel similarity of lower-cased text with collapsed white space, the best reference's."""
    from rapidfuzz import fuzz

    answer = collapsed(prediction)
    return max(fuzz.ratio(answer, collapsed(reference)) for reference in references) / 100.0
