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
from bench.metrics.metric import MetricValue, TooLarge, best, check_pairs
from bench.metrics.trees import Costs, Node, tree_distance
from bench.schema import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.metrics.trees import Floats

MAX_ELEMENTS = 50_000
"""Elements of one table; ``MAX_NODE_PAIRS`` bounds both tables together."""

MAX_HTML = 1_000_000
"""Characters of HTML that are read; the rest is cut off, so that no answer takes unbounded time."""

MAX_LEAF_TEXT_PAIRS = 2_000_000_000
"""Pairs of characters of all cells or fields of one side and of the other."""

_LEAF: Final = "<leaf>"
_PRIVATE_USE: Final = 0x100000
_PRIVATE_USE_SIZE: Final = 0xFFFD
"""First character and size of the last private-use plane of Unicode, whose characters no document holds."""


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
    """1 − tree edit distance / elements of the larger table; 0 if a table cannot be found.

    Args:
        prediction: HTML of a whole document.
        reference: HTML of a whole document.
        structure_only: Leave out what the cells hold.

    Raises:
        EnvironmentProblem: lxml is not installed.
    """
    answer = _read_table(prediction, structure_only)
    expected = _read_table(reference, structure_only)
    if answer is None or expected is None:
        return 0.0
    elements = max(answer.elements, expected.elements)
    if elements == 0:
        return 1.0
    # Trees of very different shape can be further apart than either is large.
    return max(0.0, 1.0 - tree_distance(answer.tree, expected.tree, _table_costs) / elements)


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
    # The answer is read anew for each reference.
    check_pairs(min(len(answer), MAX_HTML) + 1_000, len(references), MAX_HTML * 5)
    values = []
    for reference in references:
        text = reference if isinstance(reference, str) else ""
        values.append(MetricValue(teds(answer, text, structure_only=structure_only)))
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
    if tables[0].xpath("count(.//*)") > MAX_ELEMENTS:
        raise TooLarge
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

    numbers: dict[tuple[str, int | None, int | None], int] = {}
    rows = np.array([numbers.setdefault(cell.kind, len(numbers)) for cell in first])
    columns = np.array([numbers.setdefault(cell.kind, len(numbers)) for cell in second])
    rename = (rows[:, None] != columns[None, :]).astype(np.float64)
    # Text is compared between cells of one kind only, and every distinct text once.
    contents = _content_distances(
        [cell.content for cell in first], [cell.content for cell in second]
    )
    rename += (rename == 0) * contents
    return Costs(np.ones(len(first)), np.ones(len(second)), rename)


def _content_distances(
    first: Sequence[tuple[str, ...]], second: Sequence[tuple[str, ...]]
) -> Floats:
    """Levenshtein distance over the longer length, for every pair; 0 for two empty cells."""
    import numpy as np

    codes: dict[str, str] = {}
    rows = [_encoded(tokens, codes) for tokens in first]
    columns = [_encoded(tokens, codes) for tokens in second]
    row_lengths = np.array([len(text) for text in rows])
    column_lengths = np.array([len(text) for text in columns])
    longer = np.maximum(1, np.maximum(row_lengths[:, None], column_lengths[None, :]))
    result: Floats = _pairwise(rows, columns) / longer
    return result


def _encoded(tokens: tuple[str, ...], codes: dict[str, str]) -> str:
    """The tokens as one string, in which a tag is one character that no text uses; ``codes`` grows."""
    characters = []
    for token in tokens:
        if len(token) > 1:
            token = codes.setdefault(token, chr(_PRIVATE_USE + len(codes) % _PRIVATE_USE_SIZE))
        characters.append(token)
    return "".join(characters)


def _pairwise(first: Sequence[str], second: Sequence[str]) -> Floats:
    """Levenshtein distances (n, m), each distinct pair computed once."""
    import numpy as np
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    rows, columns = _numbered(first), _numbered(second)
    check_pairs(sum(map(len, rows.texts)), sum(map(len, columns.texts)), MAX_LEAF_TEXT_PAIRS)
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
    answer = _field_tree(normalize_fields(prediction), "<root>")
    expected = _field_tree(normalize_fields(reference), "<root>")
    from_nothing = tree_distance(Node("<root>"), expected, _field_costs)
    if from_nothing == 0:
        return None
    return max(0.0, 1.0 - tree_distance(answer, expected, _field_costs) / from_nothing)


def ted_accuracy_score(prediction: Json, references: Sequence[Json]) -> MetricValue:
    """The table's TED accuracy: the best of several references; unparseable text is an empty answer."""
    parsed = parsed_fields(prediction)
    accuracies = [ted_accuracy(parsed, parsed_fields(reference)) for reference in references]
    return best(map(MetricValue, accuracies), higher=True)


def _field_tree(value: Json, label: str) -> Node[str]:
    if isinstance(value, dict):
        return Node(label, tuple(_field_tree(child, key) for key, child in value.items()))
    if all(isinstance(item, dict) for item in value):
        return Node(label, tuple(_field_tree(item, "<subtree>") for item in value))
    return Node(label, tuple(Node(f"{_LEAF}{item}") for item in value))


def _field_costs(first: list[str], second: list[str]) -> Costs:
    """Donut's costs: a leaf is its characters, an inner node 1, a leaf against an inner node both."""
    import numpy as np

    answer, expected = _field_side(first), _field_side(second)
    names = _numbered([*first, *second]).position
    rename = (names[: len(first), None] != names[None, len(first) :]).astype(np.float64)
    mixed = answer.is_leaf[:, None] != expected.is_leaf[None, :]
    rename[mixed] = (1 + answer.characters[:, None] + expected.characters[None, :])[mixed]
    rename[np.ix_(answer.is_leaf, expected.is_leaf)] = _pairwise(answer.texts, expected.texts)
    delete = np.where(answer.is_leaf, answer.characters, 1.0)
    return Costs(delete, np.where(expected.is_leaf, expected.characters, 1.0), rename)


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
