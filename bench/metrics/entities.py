"""Entity F1 over token tags (FUNSD, CORD, SROIE), with the values of seqeval 1.2.2, micro average.

By default tags are read as conlleval reads them: an I without a B before it still opens an entity. In strict
IOB2 it opens none, which can change a score from 1 to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.metrics.kie import FieldAgreement, weighted_f1
from bench.metrics.metric import MetricValue, as_json, best
from bench.schema import Json


class Entity(NamedTuple):
    """A span of tokens with a type; ``last`` is inside."""

    sentence: int
    kind: str
    first: int
    last: int


def entities(sentences: Sequence[Sequence[str]], *, strict: bool = False) -> set[Entity]:
    """The entities that the tags of ``sentences`` mark.

    Args:
        sentences: Tags such as ``B-TOTAL``, ``I-TOTAL``, ``O``.
        strict: Read IOB2 strictly: only a B opens an entity, only an I of its type continues it.
    """
    read = _read_strictly if strict else _read
    return {
        Entity(number, kind, first, last)
        for number, tags in enumerate(sentences)
        for kind, first, last in read(tags)
    }


def entity_agreement(
    predictions: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    *,
    strict: bool = False,
) -> FieldAgreement:
    """Entities with equal type and equal span."""
    predicted = entities(predictions, strict=strict)
    expected = entities(references, strict=strict)
    return FieldAgreement(len(predicted & expected), len(predicted), len(expected))


def entity_f1(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """F1 of one document's entities, weighted so that the weighted mean is the corpus's micro F1.

    Both sides are JSON: a list of tags, or a list of sentences of tags.
    """
    predicted = _tagged_sentences(prediction)
    values = []
    for reference in references:
        agreement = entity_agreement(predicted, _tagged_sentences(reference))
        values.append(weighted_f1(agreement))
    return best(values, higher=True)


def _tagged_sentences(value: Json) -> list[list[str]]:
    """The tags of every sentence; none if ``value`` is unreadable."""
    try:
        return _sentences(as_json(value))
    except ValueError:
        return []


def _sentences(value: Json) -> list[list[str]]:
    if not isinstance(value, list):
        return []
    rows = value if any(isinstance(row, list) for row in value) else [value]
    return [[str(tag) for tag in row] for row in rows if isinstance(row, list)]


def _read(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Spans in conlleval's reading: a change of type, or a B, E or S, cuts."""
    spans: list[tuple[str, int, int]] = []
    mark, kind, first = "O", "", 0
    for index, tag in enumerate([*tags, "O"]):
        # "B" alone has the type "_", and so has "O": it is never used there.
        now, now_kind = tag[:1] or "O", tag[1:].split("-", maxsplit=1)[-1] or "_"
        outside = mark in "O."
        if mark in "ES" or (mark in "BI" and now in "BSO") or (not outside and kind != now_kind):
            spans.append((kind, first, index - 1))
        opens = now in "BS" or (mark in "ESO" and now in "EI")
        if opens or (now not in "O." and kind != now_kind):
            first = index
        mark, kind = now, now_kind
    return spans


def _read_strictly(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    spans: list[tuple[str, int, int]] = []
    index = 0
    while index < len(tags):
        kind = _strict_kind(tags[index])
        first, index = index, index + 1
        if not tags[first].startswith("B"):
            continue
        while (
            index < len(tags) and tags[index].startswith("I") and _strict_kind(tags[index]) == kind
        ):
            index += 1
        spans.append((kind, first, index - 1))
    return spans


def _strict_kind(tag: str) -> str:
    return tag[1:].strip("-") or "_"
