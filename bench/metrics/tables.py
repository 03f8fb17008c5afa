"""Tree edit distance metrics: TEDS over HTML tables, TED accuracy over JSON.

TEDS follows PubTabNet (Zhong et al., ECCV 2020; ``src/metric.py`` @8ffde90) with all its edges: only a
table directly in ``<html><body>`` is seen, the text of ``<th>`` is ignored, and a ``<th>`` is not a
``<td>``. TED accuracy follows Donut (``JSONParseEvaluator.cal_acc``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bench.errors import missing_package
from bench.metrics.kie import normalize_fields, parsed_fields
from bench.metrics.metric import MetricValue, best
from bench.metrics.trees import Costs, Node, tree_distance
from bench.schema import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.metrics.trees import Floats

MAX_HTML = 1_000_000
"""Characters of HTML that are read; the rest is cut off."""

_LEAF: Final = "<leaf>"
_PRIVATE_USE: Final = 0x100000


class _Cell(NamedTuple):
    """A node of a table; ``content`` holds a ``<td>``'s characters and inner tags."""

    kind: tuple[str, int | None, int | None]
    """Tag, columns and rows spanned (of a ``<td>``)."""
    content: tuple[str, ...] = ()


class _Table(NamedTuple):
    tree: Node[_Cell]
    elements: int
    """Elements below ``<table>``, those inside cells included."""


def teds(prediction: str, reference: str, *, structure_only: bool = False) -> float:
    """1 − tree edit distance / elements of the larger table; 0 where a table cannot be found.

    Args:
        prediction: HTML of a whole document.
        reference: HTML of a whole document.
        structure_only: Leave out what the cells hold.

    Raises:
        EnvironmentProblem: lxml is not installed.
    """
    found, wanted = _read_table(prediction, structure_only), _read_table(reference, structure_only)
    if found is None or wanted is None:
        return 0.0
    elements = max(found.elements, wanted.elements)
    if elements == 0:
        return 1.0
    # Trees of very different shape can be further apart than either is large.
    return max(0.0, 1.0 - tree_distance(found.tree, wanted.tree, _table_costs) / elements)


def teds_score(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """The table's TEDS: the best of several references."""
    return _best_teds(prediction, references, structure_only=False)


def teds_structure_score(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """TEDS of the tables' structure alone: cells are compared by their spans."""
    return _best_teds(prediction, references, structure_only=True)


def _best_teds(
    prediction: Json, references: Sequence[Json], *, structure_only: bool
) -> MetricValue:
    answer = prediction if isinstance(prediction, str) else ""
    texts = [r if isinstance(r, str) else "" for r in references]
    values = (MetricValue(teds(answer, t, structure_only=structure_only)) for t in texts)
    return best(values, higher=True)


def _read_table(text: str, structure_only: bool) -> _Table | None:
    try:
        from lxml import etree, html
    except ModuleNotFoundError as error:
        raise missing_package("the metric teds", "lxml", "tables") from error
    if not text:
        return None
    parser = html.HTMLParser(remove_comments=True, encoding="utf-8")
    try:
        document = html.fromstring(text[:MAX_HTML], parser=parser)
    except (etree.LxmlError, ValueError):
        return None
    tables = document.xpath("body/table")
    if not tables:
        return None
    return _Table(_table_tree(tables[0], structure_only), len(tables[0].xpath(".//*")))


def _table_tree(element: Any, structure_only: bool) -> Node[_Cell]:
    if element.tag == "td":
        content = () if structure_only else tuple(_tokens(element))
        return Node(_Cell(("td", _span(element, "colspan"), _span(element, "rowspan")), content))
    children = tuple(_table_tree(child, structure_only) for child in element)
    return Node(_Cell((_tag(element), None, None)), children)


def _tag(element: Any) -> str:
    # Processing instructions have a function for a tag; they are all alike.
    return element.tag if isinstance(element.tag, str) else "?"


def _span(element: Any, name: str) -> int:
    try:
        return int(element.attrib.get(name, "1"))
    except ValueError:
        return 1


def _tokens(element: Any) -> Iterable[str]:
    """Characters and tags inside ``element``, as the reference tokenises a cell."""
    yield from element.text or ""
    for child in element:
        yield f"<{_tag(child)}>"
        yield from _tokens(child)
        if child.tag != "unk":
            yield f"</{_tag(child)}>"
        if child.tag != "td":
            yield from child.tail or ""


def _table_costs(first: list[_Cell], second: list[_Cell]) -> Costs:
    import numpy as np

    kinds: dict[tuple[str, int | None, int | None], int] = {}
    numbers = [
        np.array([kinds.setdefault(c.kind, len(kinds)) for c in side]) for side in (first, second)
    ]
    rename = (numbers[0][:, None] != numbers[1][None, :]).astype(np.float64)
    # Text is compared between cells of one kind only, and every distinct text once.
    contents = _content_distances([c.content for c in first], [c.content for c in second])
    rename += (rename == 0) * contents
    return Costs(np.ones(len(first)), np.ones(len(second)), rename)


def _content_distances(
    first: Sequence[tuple[str, ...]], second: Sequence[tuple[str, ...]]
) -> Floats:
    """Levenshtein distance over the longer length, for every pair; 0 for two empty cells."""
    import numpy as np

    codes: dict[str, str] = {}

    def encoded(tokens: tuple[str, ...]) -> str:
        # A tag is one token: it becomes one character that no text uses.
        return "".join(
            t if len(t) == 1 else codes.setdefault(t, chr(_PRIVATE_USE + len(codes) % 0xFFFD))
            for t in tokens
        )

    rows, columns = [encoded(t) for t in first], [encoded(t) for t in second]
    lengths = np.array([len(t) for t in rows]), np.array([len(t) for t in columns])
    longer = np.maximum(1, np.maximum(lengths[0][:, None], lengths[1][None, :]))
    result: Floats = _pairwise(rows, columns) / longer
    return result


def _pairwise(first: Sequence[str], second: Sequence[str]) -> Floats:
    """Levenshtein distances (n, m), each distinct pair computed once."""
    import numpy as np
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    rows, columns = _numbered(first), _numbered(second)
    distances = cdist(rows.texts, columns.texts, scorer=Levenshtein.distance, dtype=np.int32)
    picked = distances[rows.position[:, None], columns.position[None, :]]
    return picked.astype(np.float64)


class _Numbered(NamedTuple):
    texts: list[str]
    """Distinct, in order of appearance."""
    position: NDArray[np.int64]
    """Where each given text is among them."""


def _numbered(texts: Sequence[str]) -> _Numbered:
    import numpy as np

    numbers: dict[str, int] = {}
    index = [numbers.setdefault(text, len(numbers)) for text in texts]
    return _Numbered(list(numbers), np.array(index, dtype=np.int64))


def ted_accuracy(prediction: Json, reference: Json) -> float | None:
    """1 − TED(prediction, reference) / TED(nothing, reference), at least 0; None for an empty reference.

    Children are ordered: line items in another order cost, although field F1 does not see it. Keys are
    sorted first; a leaf costs its characters, an inner node 1.
    """
    found, wanted = (_field_tree(normalize_fields(v), "<root>") for v in (prediction, reference))
    whole = tree_distance(Node("<root>"), wanted, _field_costs)
    if whole == 0:
        return None
    return max(0.0, 1.0 - tree_distance(found, wanted, _field_costs) / whole)


def ted_accuracy_score(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """The table's TED accuracy: the best of several references; unparseable text is an empty answer."""
    parsed = parsed_fields(prediction)
    values = (MetricValue(ted_accuracy(parsed, parsed_fields(r))) for r in references)
    return best(values, higher=True)


def _field_tree(value: Json, label: str) -> Node[str]:
    if isinstance(value, dict):
        return Node(label, tuple(_field_tree(v, k) for k, v in value.items()))
    if all(isinstance(item, dict) for item in value):
        return Node(label, tuple(_field_tree(item, "<subtree>") for item in value))
    return Node(label, tuple(Node(f"{_LEAF}{item}") for item in value))


def _field_costs(first: list[str], second: list[str]) -> Costs:
    """Donut's costs: a leaf is its characters, an inner node 1, a leaf against an inner node both."""
    import numpy as np

    found, wanted = _field_side(first), _field_side(second)
    names = _numbered([*first, *second]).position
    rename = (names[: len(first), None] != names[None, len(first) :]).astype(np.float64)
    mixed = found.is_leaf[:, None] != wanted.is_leaf[None, :]
    rename[mixed] = (1 + found.characters[:, None] + wanted.characters[None, :])[mixed]
    rename[np.ix_(found.is_leaf, wanted.is_leaf)] = _pairwise(found.texts, wanted.texts)
    delete = np.where(found.is_leaf, found.characters, 1.0)
    return Costs(delete, np.where(wanted.is_leaf, wanted.characters, 1.0), rename)


class _FieldSide(NamedTuple):
    is_leaf: NDArray[np.bool_]
    texts: list[str]
    """Of the leaves."""
    characters: Floats
    """Of every node: a leaf's text, 0 for an inner node."""


def _field_side(labels: Sequence[str]) -> _FieldSide:
    import numpy as np

    # The mark is looked for anywhere in the label, as the reference does.
    is_leaf = np.array([_LEAF in label for label in labels])
    texts = [label.replace(_LEAF, "") for label in labels if _LEAF in label]
    characters = np.zeros(len(labels))
    characters[is_leaf] = [len(text) for text in texts]
    return _FieldSide(is_leaf, texts, characters)
