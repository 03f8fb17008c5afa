"""What every metric consists of: the row of the table, the value it gives, and the limits on input.

A metric is a pure function of an answer and its accepted references. Its row names the variant of the
definition and its source, because implementations disagree in ways that change rankings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bench.parsing import MAX_DIGITS, MAX_VALUE_DEPTH, is_within_depth
from bench.schema import AnswerType, Json

MAX_CHARACTERS = 100_000
"""Text beyond this many characters is ignored, in an answer as in a reference: no answer about a page is
so long, and a model that repeats itself must not cost minutes."""


class MetricValue(NamedTuple):
    """One metric's value for one answer."""

    value: float | None
    """None if the metric is not defined (an empty reference): such a sample is counted and not
    averaged."""
    weight: float = 1.0
    """Σ value·weight / Σ weight over samples is the corpus value: a mean, or the rate of the corpus."""

    @property
    def too_large(self) -> bool:
        """Whether the value is missing because computing it would take more work than its bound allows."""
        return self.value is None and self.weight == 0


TOO_LARGE = MetricValue(None, 0.0)
"""Unscored, because computing the metric would take more work than its bound allows. A sample for which a
metric is not defined has a weight."""


class TooLarge(Exception):
    """Raised inside a metric whose work is beyond its bound; its row of the table gives ``TOO_LARGE``."""


MAX_REFERENCE_TEXT = 1_000_000
"""Characters of all references of a question together; ten references of ``MAX_CHARACTERS``."""

MAX_READ = 20_000_000
"""Characters of the answer, counted once for each reference that it is compared with."""

MAX_CHARACTER_PAIRS = MAX_CHARACTERS**2
"""Pairs of characters, of the answer and of its references, that are compared: half a second."""


def check_pairs(first: int, second: int, limit: int = MAX_CHARACTER_PAIRS) -> None:
    """Refuse to compare ``first`` things with ``second`` things if that makes more than ``limit`` pairs.

    Raises:
        TooLarge: it makes more.
    """
    if first * second > limit:
        raise TooLarge


def check_texts(answer: str, references: Sequence[str]) -> None:
    """Refuse to compare ``answer`` with ``references`` if that is too much work.

    Raises:
        TooLarge: it is.
    """
    check_pairs(len(answer), len(references), MAX_READ)
    # Equal texts are found to be equal at once.
    compared = sum(len(reference) for reference in references if reference != answer)
    check_pairs(len(answer), compared)


def search_steps(short: str, long: str) -> int:
    """How many steps rapidfuzz takes to find the part of ``long`` that is most like ``short``.

    At every place, and at both ends with a part of it, ``short`` is compared in words of 64 characters; texts
    of one length are compared both ways.
    """
    places = len(short) + len(long)
    ways = 2 if len(short) == len(long) else 1
    return ways * places * len(short) * (1 + len(short) // 64)


ScoreFunction = Callable[[Json, Sequence[Json]], MetricValue]
"""From an answer (a string, or parsed JSON) and its accepted references to a value."""


class QuestionFacts(NamedTuple):
    """What is known of a question beside its references."""

    field: str | None = None
    """Name of the field that is asked for."""
    language: str | None = None
    """ISO 639-1 code of the document."""
    schema: Json = None
    """JSON Schema of the answer, as ``bench.json_schemas`` reads it; None if there is none."""


FieldScoreFunction = Callable[[Json, Sequence[Json], QuestionFacts], MetricValue]
"""From an answer, its references and what is known of the question to a value."""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """What a table of metrics says of a number: what it means, and where its definition comes from."""

    name: str
    title: str
    direction: Literal["higher", "lower"]
    """Which way is better."""
    range: tuple[float, float]
    """Smallest and largest value; the largest may be infinite."""
    definition: str
    """One line."""
    source: str
    """Paper, or reference implementation with its version."""
    variant: str
    """Which of the definitions in use this one is, and how it differs from its neighbours."""


@dataclass(frozen=True, slots=True)
class Metric(MetricRow):
    """A metric of single answers."""

    answer_types: frozenset[AnswerType]
    score: ScoreFunction
    score_field: FieldScoreFunction | None = None
    """The same with what is known of the question, where that changes what an answer means."""

    def score_of(
        self,
        prediction: Json,
        references: Sequence[Json],
        *,
        field: str | None = None,
        language: str | None = None,
        schema: Json = None,
    ) -> MetricValue:
        """The score of an answer to a question about ``field`` of a document in ``language``."""
        if self.score_field is None:
            return self.score(prediction, references)
        return self.score_field(prediction, references, QuestionFacts(field, language, schema))


def as_text(value: Json) -> str:
    """``value`` as the string a text metric compares, at most ``MAX_CHARACTERS`` long.

    A string stays as it is, null is the empty string, and any other JSON value is its JSON text.
    """
    if isinstance(value, str):
        return value[:MAX_CHARACTERS]
    if value is None:
        return ""
    if not is_within_depth(value):
        return ""
    return json.dumps(value, ensure_ascii=False, default=str)[:MAX_CHARACTERS]


def as_texts(references: Sequence[Json]) -> list[str]:
    """Every reference as text; a lone string counts as one reference."""
    if isinstance(references, str):
        references = [references]
    return [as_text(reference) for reference in references]


def bounded_texts(references: Sequence[Json]) -> list[str]:
    """Every reference as text.

    Raises:
        TooLarge: together they are longer than ``MAX_REFERENCE_TEXT``.
    """
    texts = as_texts(references)
    # A short reference costs a little, too: half a million of them are many.
    if sum(len(text) + 10 for text in texts) > MAX_REFERENCE_TEXT:
        raise TooLarge
    return texts


def collapsed(text: str) -> str:
    """``text`` in lower case, with single blanks for white space and none at its ends."""
    return " ".join(text.lower().split())


def as_json(value: Json) -> Json:
    """``value`` parsed if it is a string, itself otherwise.

    Raises:
        ValueError: the text is not JSON, it is nested deeper than ``MAX_VALUE_DEPTH``, or it holds a number
            of more than ``MAX_DIGITS`` digits.
    """
    if isinstance(value, str):
        if len(value) > MAX_CHARACTERS * 10:
            raise ValueError("the text is too long to be an answer")
        try:
            # Of a key that comes twice, the last value counts, as in the packages that define the metrics.
            value = json.loads(value, parse_int=_whole_number)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
    if not is_within_depth(value):
        raise ValueError(f"nested deeper than {MAX_VALUE_DEPTH} levels")
    return value


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    return int(digits)


def text_metric(function: Callable[[str, Sequence[str]], float | None]) -> ScoreFunction:
    """Make a function on strings the score of a metric; without references it gives no value."""

    def score(prediction: Json, references: Sequence[Json]) -> MetricValue:
        texts = bounded_texts(references)
        answer = as_text(prediction)
        check_texts(answer, texts)
        return MetricValue(function(answer, texts) if texts else None)

    return score


def best(values: Iterable[MetricValue], *, higher: bool) -> MetricValue:
    """The best of several references' values; among equal ones the heaviest, so that no order matters."""
    sign = 1.0 if higher else -1.0
    chosen: MetricValue | None = None
    for candidate in values:
        if candidate.value is None:
            continue
        if chosen is None or chosen.value is None:
            chosen = candidate
            continue
        if (sign * candidate.value, candidate.weight) > (sign * chosen.value, chosen.weight):
            chosen = candidate
    return MetricValue(None) if chosen is None else chosen
