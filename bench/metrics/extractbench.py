"""Value F1 by the rules of ExtractBench (arXiv 2607.29677), so that scores stand beside published ones.

The definition is that of ``value_f1`` in run-llama/ExtractBench, ``unified_evidence_metric.py`` @3159e7e,
with its default settings and without the alternative values and rules that its data set has for single
fields. A *cell* is a single value, or a list of single values. Texts are equal but for blanks, other values
as Python compares them, and dates of some forms are brought to one form. null is a value; a key that is left
out is none.
"""

from __future__ import annotations

import functools
import json
import re
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bench.json_schemas.nodes import Node, fields_of, item_of, kind_of_node
from bench.metrics.kie import parsed_fields
from bench.metrics.metric import MetricValue, QuestionFacts, TooLarge, best, check_pairs
from bench.schema import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_CELLS: Final = 20_000
"""Cells of an answer, and of a reference."""

MAX_ROW_PAIRS: Final = 1_000_000
"""Pairs of rows of two lists."""

MAX_CELL_PAIRS: Final = 200_000
"""Pairs of cells that are compared one by one: fuzzy ones, and those of lists inside rows."""

FUZZY: Final[Mapping[str, float]] = {"description": 0.95, "court": 0.85}
"""Key → similarity from which on two texts under it are equal."""

_RESERVED: Final = "_provenance"
_ABSENT: Final = ("absent",)
_DATES: Final = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{4}|\d{1,2}/\d{1,2}/\d{2}\b|\d{1,2}-\d{1,2}-\d{4}"
    r"|\d{1,2}-\d{1,2}-\d{2}\b|[A-Za-z]+ \d{1,2},? \d{4}|[A-Za-z]+\.? [A-Za-z]+\.? \d{1,2},? \d{4}"
    r"|\d{1,2} [A-Za-z]+ \d{4}"
)
_LONG_NUMBER: Final = re.compile(r"\d{10,}")


def extractbench_f1(
    prediction: Json, references: Sequence[Json], facts: QuestionFacts
) -> MetricValue:
    """F1 over the cells of one document; an answer that is no object has none."""
    answer = _with_iso_dates(parsed_fields(prediction))
    values = []
    for reference in references:
        expected = _with_iso_dates(parsed_fields(reference))
        if not isinstance(expected, dict):
            continue
        counts = _Counts()
        given = answer if isinstance(answer, dict) else {}
        counts.root(facts.schema or _shape(expected), expected, given)
        total = counts.expected + counts.predicted
        values.append(MetricValue(2 * counts.correct / total if total else None))
    return best(values, higher=True)


def _shape(value: Json) -> Node:
    """The schema of ``value``, where a task has none: what is an object, and what a list of objects."""
    if isinstance(value, dict):
        return {"type": "object", "properties": {key: _shape(item) for key, item in value.items()}}
    if isinstance(value, list):
        nothing: Node = {}
        return {"type": "array", "items": functools.reduce(_joined, map(_shape, value), nothing)}
    return {}


def _joined(one: Node, other: Node) -> Node:
    """The schema of an item that is like ``one`` or like ``other``."""
    if kind_of_node(one) != kind_of_node(other):
        return one or other
    if "items" in one:
        return {**one, "items": _joined(one["items"], other["items"])}
    fields = dict(fields_of(one))
    for key, node in fields_of(other).items():
        fields[key] = _joined(fields.get(key, {}), node)
    return {**one, "properties": fields} if fields else one


def _with_iso_dates(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _with_iso_dates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_iso_dates(item) for item in value]
    return _iso_date(value) if isinstance(value, str) and 4 <= len(value) <= 50 else value


@functools.lru_cache(maxsize=8192)
def _iso_date(text: str) -> str:
    """A date of the years 1900 to 2100 as YYYY-MM-DD, the month first; any other text as it is."""
    spaced = re.sub(r"\s*,\s*", ", ", text)
    if text.isdigit() or _LONG_NUMBER.search(text) or not _DATES.search(spaced):
        return text
    from dateutil import parser

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            day = parser.parse(spaced)
    except (ValueError, TypeError, OverflowError):
        return text
    return day.strftime("%Y-%m-%d") if 1900 <= day.year <= 2100 else text


def _is_rows(node: Node) -> bool:
    """Whether a part of the schema is a list of objects."""
    return kind_of_node(node) == "list" and kind_of_node(item_of(node)) == "object"


def _is_fields(node: Node) -> bool:
    """Whether a part of the schema is an object with named fields."""
    return kind_of_node(node) == "object" and bool(fields_of(node))


def _rows(value: Json) -> list[dict[str, Json]]:
    listed = value if isinstance(value, list) else []
    return [row if isinstance(row, dict) else {} for row in listed]


def _same_cell(expected: Json, given: Json, key: str) -> bool:
    if not isinstance(expected, str) or not isinstance(given, str):
        return bool(expected == given)
    threshold = FUZZY.get(key)
    if threshold is None:
        return expected.split() == given.split()
    from rapidfuzz import fuzz

    first, second = (
        " ".join(re.sub(r"[^\w\s]", " ", text).split()).lower() for text in (expected, given)
    )
    if first == second:
        return True
    return bool(first and second) and fuzz.ratio(first, second) >= threshold * 100


@dataclass
class _Counts:
    """Cells of a reference and an answer, and how many of them agree."""

    correct: int = 0
    expected: int = 0
    predicted: int = 0
    compared: int = 0
    """Pairs of cells that were compared one by one."""

    def root(self, node: Node, expected: Mapping[str, Json], given: Mapping[str, Json]) -> None:
        fields = fields_of(node)
        for key in sorted({*fields, *expected, *given} - {_RESERVED}):
            self.pair(fields.get(key, {}), key, expected, given)
        if max(self.expected, self.predicted) > MAX_CELLS:
            raise TooLarge

    def pair(
        self, node: Node, key: str, expected: Mapping[str, Json], given: Mapping[str, Json]
    ) -> None:
        """Count what stands under ``key`` on both sides, or on one."""
        if key in expected and key in given:
            self.both(node, key, expected[key], given[key])
        elif key in expected:
            self.expected += _cells(node, expected[key])
        elif key in given:
            self.predicted += _cells(node, given[key])

    def both(self, node: Node, key: str, expected: Json, given: Json) -> None:
        if _is_rows(node):
            self.rows(item_of(node) or {}, _rows(expected), _rows(given))
        elif _is_fields(node):
            sides = [side if isinstance(side, dict) else {} for side in (expected, given)]
            for name, field in fields_of(node).items():
                self.pair(field, name, *sides)
        else:
            self.expected += 1
            self.predicted += 1
            self.correct += _same_cell(expected, given, key)

    def rows(self, item: Node, expected: Sequence[Any], given: Sequence[Any]) -> None:
        partner = {column: row for row, column in _pairs(self.costs(item, expected, given))}
        for column, wanted in enumerate(expected):
            answered = given[partner[column]] if column in partner else {}
            for name, field in fields_of(item).items():
                self.pair(field, name, wanted, answered)
        paired = set(partner.values())
        for row, answered in enumerate(given):
            for name, field in fields_of(item).items() if row not in paired else ():
                self.pair(field, name, {}, answered)

    def costs(self, item: Node, expected: Sequence[Any], given: Sequence[Any]) -> NDArray[np.int64]:
        """Unequal cells of every row of the answer and every row of the reference."""
        import numpy as np

        check_pairs(len(given), len(expected), MAX_ROW_PAIRS)
        costs = np.zeros((len(given), len(expected)), dtype=np.int64)
        answered, wanted = ([_flat(item, row) for row in side] for side in (given, expected))
        if not answered or not wanted:
            return costs
        for column, key in enumerate(wanted[0].keys):
            cells = [[row.cells[column] for row in side] for side in (answered, wanted)]
            costs += self.unequal(cells[0], cells[1], key)
        for column, inner in enumerate(wanted[0].items):
            for row, other in enumerate(answered):
                for place, one in enumerate(wanted):
                    costs[row, place] += self.cost(inner, one.lists[column], other.lists[column])
        return costs

    def unequal(self, answered: list[Any], wanted: list[Any], key: str) -> NDArray[np.bool_]:
        """Which cells of one column differ."""
        import numpy as np

        if key in FUZZY:
            self.spend(len(answered) * len(wanted))
            return np.array(
                [[not _same_cell(one, other, key) for one in wanted] for other in answered]
            )
        numbers: dict[Hashable, int] = {}
        first, second = (
            np.array([numbers.setdefault(_mark(cell), len(numbers)) for cell in side])
            for side in (answered, wanted)
        )
        return np.asarray(first[:, None] != second[None, :])

    def cost(self, item: Node, expected: Sequence[Any], given: Sequence[Any]) -> int:
        """Unequal cells of two lists inside two rows, when their own rows are paired."""
        self.spend(max(1, len(expected) * len(given)))
        costs = self.costs(item, expected, given)
        pairs = _pairs(costs)
        rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
        left = [row for place, row in enumerate(given) if place not in rows]
        left += [row for place, row in enumerate(expected) if place not in columns]
        unequal = sum(int(costs[pair]) for pair in pairs)
        return unequal + _cells({"type": "array", "items": item}, left)

    def spend(self, pairs: int) -> None:
        self.compared += pairs
        if self.compared > MAX_CELL_PAIRS:
            raise TooLarge


def _mark(cell: Any) -> Hashable:
    """What two cells have in common if they are equal."""
    if isinstance(cell, str):
        return "text", " ".join(cell.split())
    if isinstance(cell, dict | list):
        return "json", json.dumps(cell, sort_keys=True)
    return "value", cell


def _pairs(costs: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Places of rows of the answer and of the reference with the least number of unequal cells in all."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(costs)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]


@dataclass(frozen=True)
class _Row:
    """A row of a list, with the cells of the objects inside it."""

    keys: list[str]
    cells: list[Any]
    items: list[Node]
    """Of each list of objects in it, what its rows are."""
    lists: list[list[Any]]


def _flat(item: Node, row: Any) -> _Row:
    flat = _Row([], [], [], [])

    def add(node: Node, key: str, holder: Any) -> None:
        value = holder.get(key, _ABSENT) if isinstance(holder, dict) else _ABSENT
        if _is_rows(node):
            flat.items.append(item_of(node) or {})
            flat.lists.append(_rows(value))
        elif _is_fields(node):
            for name, field in fields_of(node).items():
                add(field, name, value)
        else:
            flat.keys.append(key)
            flat.cells.append(value)

    for name, field in fields_of(item).items():
        add(field, name, row)
    return flat


def _cells(node: Node, value: Json) -> int:
    """How many cells ``value`` has, where the other side has nothing."""
    if _is_rows(node):
        fields = fields_of(item_of(node))
        return sum(
            _cells(field, row[name])
            for row in _rows(value)
            for name, field in fields.items()
            if name in row
        )
    if _is_fields(node):
        held = value if isinstance(value, dict) else {}
        return sum(
            _cells(field, held[name]) for name, field in fields_of(node).items() if name in held
        )
    return 1
