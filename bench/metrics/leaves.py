"""Compares an answer with its reference value by value: which are right, wrong, missing and invented.

A *leaf* is a single value of an object, under a path such as ``line_items[].amount``. Values are compared by
their type: what the schema says, else what the two values themselves and the name of the field say. The items
of lists are matched so that as many values as possible are right.
"""

from __future__ import annotations

import functools
import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from bench.json_schemas.nodes import (
    Node,
    field_of,
    fields_of,
    item_of,
    kind_of_node,
)
from bench.metrics.fields import field_equivalent
from bench.metrics.lookup import marks
from bench.metrics.metric import TooLarge, as_json, as_text, check_pairs
from bench.schema import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_LEAVES: Final = 20_000
"""Leaves of an answer, and of a reference."""

MAX_ITEM_PAIRS: Final = 250_000
"""Pairs of items of two lists that are matched, when equal ones have been taken out: 500 against 500."""

MAX_COMPARISONS: Final = 10_000
"""Pairs of unlike values that are compared by type in one answer: about a second."""

MAX_VALUE_PAIRS: Final = 4_000_000
"""Pairs of unlike values under one path of the items of two lists: a table of 32 MiB."""

MAX_REMEMBERED: Final = 4_000
"""Characters of an answer whose leaves are kept for later; of a longer one they are found again."""

OTHER_KEY: Final = "*"
"""Stands in a path for a key that neither the schema nor the reference has."""

Outcome = Literal["right", "wrong", "missing", "invented", "empty"]
"""``empty``: the reference has no value, and the answer gives none."""


class Leaf(NamedTuple):
    """One value of a reference, of an answer, or of both."""

    path: str
    """Keys from the outermost object, with ``[]`` behind a list: ``line_items[].amount``."""
    expected: Json
    """None if the document does not have the value."""
    given: Json
    """None if the answer does not give it."""
    outcome: Outcome
    paired: bool
    """Whether the schema or the reference has this field here. It is false for what a surplus item of a list
    holds, and for what stands under an unknown key."""


def leaves(
    prediction: Json, reference: Json, *, schema: Json = None, language: str | None = None
) -> tuple[Leaf, ...] | None:
    """Every leaf of an answer and of its reference, and what became of it.

    Args:
        prediction: the answer, as a text or parsed.
        reference: what is right.
        schema: of the answer, as ``bench.json_schemas`` reads it; None if there is none.
        language: ISO 639-1 code of the document.

    Returns:
        None if the answer is no JSON object or list.

    Raises:
        TooLarge: comparing them would be too much work.
    """
    texts = (json.dumps(value, ensure_ascii=False) for value in (reference, schema))
    answer = prediction if isinstance(prediction, str) else json.dumps(prediction)
    # All metrics of a task look at the same leaves, and so does the report, much later.
    remembered = _remembered if len(answer) <= MAX_REMEMBERED else _remembered_shortly
    compared = remembered(answer, *texts, language)
    if compared == "too large":
        raise TooLarge
    return compared


def _compared(
    answer: str, reference: str, schema: str, language: str | None
) -> tuple[Leaf, ...] | Literal["too large"] | None:
    """What ``leaves`` returns or raises, of texts."""
    try:
        given, expected = as_json(answer), as_json(reference)
    except ValueError:
        return None
    if not isinstance(given, dict | list):
        return None
    try:
        for value in (given, expected):
            if count_leaves(value) > MAX_LEAVES:
                raise TooLarge
        return tuple(_Comparison(language).walk(json.loads(schema), expected, given, ""))
    except TooLarge:
        return "too large"


_remembered = functools.lru_cache(maxsize=2048)(_compared)
_remembered_shortly = functools.lru_cache(maxsize=4)(_compared)


def is_blank(value: Json) -> bool:
    """Whether ``value`` says that there is none: null, no text, an empty object or list."""
    return value is None or (isinstance(value, str) and not value.strip()) or value in ({}, [])


def count_leaves(value: Json) -> int:
    """How many values that are not blank stand in ``value``."""
    return sum(1 for _ in flat(value))


def flat(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """(Path, leaf) of every value that is not blank."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from flat(child, _under(path, key))
    elif isinstance(value, list):
        for item in value:
            yield from flat(item, f"{path}[]")
    elif not is_blank(value):
        yield path, value


def is_unknown(path: str) -> bool:
    """Whether what stands under ``path`` is inside a key that neither the schema nor the reference has."""
    return OTHER_KEY in path.replace("[]", "").split(".")


def _under(path: str, key: str) -> str:
    # What is inside an unknown key stands under the same sign.
    if key == OTHER_KEY and is_unknown(path):
        return path
    return f"{path}.{key}" if path else key


class _Comparison:
    """One comparison of an answer with a reference."""

    def __init__(self, language: str | None) -> None:
        self.language = language
        self._comparisons = 0
        self._same: dict[tuple[str, Hashable, Hashable], bool] = {}

    def walk(
        self, node: Node | None, expected: Json, given: Json, path: str, *, paired: bool = True
    ) -> Iterator[Leaf]:
        kind = kind_of_node(node)
        values = (expected, given)
        if kind == "object" or (kind == "any" and _first_of(dict, values)):
            yield from self._object(node, expected, given, path, paired)
        elif kind == "list" or (kind == "any" and _first_of(list, values)):
            yield from self._list(node, expected, given, path, paired)
        else:
            yield from self._leaf(node, expected, given, path, paired)

    def _leaf(
        self, node: Node | None, expected: Json, given: Json, path: str, paired: bool
    ) -> Iterator[Leaf]:
        outcome: Outcome
        if is_blank(expected):
            outcome = "empty" if is_blank(given) else "invented"
        elif is_blank(given):
            outcome = "missing"
        else:
            outcome = "right" if self.same(node, expected, given, path) else "wrong"
        if outcome != "empty" or paired:
            yield Leaf(
                path,
                None if is_blank(expected) else expected,
                None if is_blank(given) else given,
                outcome,
                paired,
            )

    def _object(
        self, node: Node | None, expected: Json, given: Json, path: str, paired: bool
    ) -> Iterator[Leaf]:
        wanted = expected if isinstance(expected, dict) else {}
        answered = given if isinstance(given, dict) else {}
        # A text or a list where an object should be is one value that has no place.
        misplaced = [None if isinstance(side, dict) else side for side in (expected, given)]
        if not all(map(is_blank, misplaced)):
            yield from self._leaf(None, misplaced[0], misplaced[1], path or OTHER_KEY, False)
        known = dict.fromkeys([*fields_of(node), *wanted])
        for key in known:
            yield from self.walk(
                field_of(node, key),
                wanted.get(key),
                answered.get(key),
                _under(path, key),
                paired=paired,
            )
        for key, value in answered.items():
            if key not in known:
                # Its name may be anything, so it is no part of the path.
                yield from self.walk(
                    field_of(node, key), None, value, _under(path, OTHER_KEY), paired=False
                )

    def _list(
        self, node: Node | None, expected: Json, given: Json, path: str, paired: bool
    ) -> Iterator[Leaf]:
        item, inner = item_of(node), f"{path}[]"
        wanted, answered = _items(expected), _items(given)
        if not wanted and not answered:
            yield from self._leaf(item, None, None, inner, paired)
        partner = dict(self._matched(item, wanted, answered, inner))
        for number, value in enumerate(wanted):
            if number in partner:
                yield from self.walk(item, value, answered[partner[number]], inner, paired=paired)
            else:
                yield from self.walk(item, value, None, inner, paired=False)
        for number in sorted(set(range(len(answered))) - set(partner.values())):
            yield from self.walk(item, None, answered[number], inner, paired=False)

    def same(self, node: Node | None, expected: Json, given: Json, path: str) -> bool:
        """Whether two leaves are the same value."""
        key = path, _frozen(expected), _frozen(given)
        if key not in self._same:
            self._same[key] = self._compare(node, expected, given, path)
        return self._same[key]

    def _compare(self, node: Node | None, expected: Json, given: Json, path: str) -> bool:
        if type(expected) is type(given) and expected == given:
            return True
        if isinstance(given, dict | list) or isinstance(expected, dict | list):
            return False
        if bool in (type(expected), type(given)):
            return str(expected).lower() == str(given).strip().lower()
        if isinstance(expected, int | float) and isinstance(given, int | float):
            return expected == given
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise TooLarge
        field = _hinted(node, path)
        match = field_equivalent(
            as_text(given), [as_text(expected)], field=field, language=self.language
        )
        return match.equivalent

    def _matched(
        self, item: Node | None, wanted: Sequence[Json], answered: Sequence[Json], path: str
    ) -> Iterator[tuple[int, int]]:
        """Pairs of places of items that belong together, so that as many leaves as possible are right."""
        left: dict[str, list[int]] = defaultdict(list)
        for number, value in enumerate(answered):
            left[_canonical(value)].append(number)
        rows: list[int] = []
        for number, value in enumerate(wanted):
            equal = left.get(_canonical(value))
            # No other pairing of two equal items gains more leaves.
            if equal:
                yield number, equal.pop(0)
            else:
                rows.append(number)
        columns = sorted(number for numbers in left.values() for number in numbers)
        if not rows or not columns:
            return
        check_pairs(len(rows), len(columns), MAX_ITEM_PAIRS)
        from scipy.optimize import linear_sum_assignment

        gains = self._gains(item, [wanted[i] for i in rows], [answered[j] for j in columns], path)
        for row, column in zip(*linear_sum_assignment(gains, maximize=True), strict=True):
            yield rows[row], columns[column]

    def _gains(
        self, item: Node | None, wanted: Sequence[Json], answered: Sequence[Json], path: str
    ) -> NDArray[np.float64]:
        """How many leaves would be right if two items were paired; of equal gains, the nearer places win."""
        import numpy as np

        heights, widths = np.arange(len(wanted)), np.arange(len(answered))
        apart = np.abs(heights[:, None] / len(wanted) - widths[None, :] / len(answered))
        gains = -1e-4 * apart / max(len(wanted), len(answered))
        expected = [_by_path(value, path) for value in wanted]
        given = [_by_path(value, path) for value in answered]
        for inner in dict.fromkeys(key for fields in expected for key in fields):
            first, second = (
                [fields.get(inner, {}) for fields in side] for side in (expected, given)
            )
            one, other = _columns(first), _columns(second)
            if not one.values or not other.values:
                continue
            same = self._table(_node_at(item, path, inner), one.values, other.values, inner)
            most = np.minimum(one.counts.sum(axis=1)[:, None], other.counts.sum(axis=1)[None, :])
            gains += np.minimum(one.counts @ same @ other.counts.T, most)
        return gains

    def _table(
        self, node: Node | None, wanted: Sequence[Json], answered: Sequence[Json], path: str
    ) -> NDArray[np.float64]:
        """1 where an expected value and a given one are the same, 0 elsewhere."""
        import numpy as np

        check_pairs(len(wanted), len(answered), MAX_VALUE_PAIRS)
        field = _hinted(node, path)
        table = np.zeros((len(wanted), len(answered)))
        filed: dict[object, list[int]] = defaultdict(list)
        for column, value in enumerate(answered):
            for mark in marks(as_text(value), self.language, field):
                filed[mark].append(column)
        for row, value in enumerate(wanted):
            near = {
                c
                for mark in marks(as_text(value), self.language, field)
                for c in filed.get(mark, ())
            }
            for column in near:
                table[row, column] = self.same(node, value, answered[column], path)
        return table


class _Columns(NamedTuple):
    """The values that some items have under one path."""

    values: list[Json]
    """Each once."""
    counts: NDArray[np.float64]
    """Items by values: how often an item has a value."""


def _columns(items: Sequence[dict[Hashable, tuple[Json, int]]]) -> _Columns:
    import numpy as np

    place: dict[Hashable, int] = {}
    values: list[Json] = []
    for fields in items:
        for key, (value, _) in fields.items():
            if key not in place:
                place[key] = len(values)
                values.append(value)
    counts = np.zeros((len(items), len(values)))
    for number, fields in enumerate(items):
        for key, (_, count) in fields.items():
            counts[number, place[key]] = count
    return _Columns(values, counts)


def _by_path(value: Json, path: str) -> dict[str, dict[Hashable, tuple[Json, int]]]:
    """Path → the leaves of an item under it, each once with how often it stands there."""
    counts = Counter((inner, _frozen(leaf)) for inner, leaf in flat(value, path))
    by_path: dict[str, dict[Hashable, tuple[Json, int]]] = {}
    for inner, leaf in flat(value, path):
        key = _frozen(leaf)
        by_path.setdefault(inner, {})[key] = leaf, counts[inner, key]
    return by_path


def _node_at(item: Node | None, path: str, inner: str) -> Node | None:
    """The part of the schema for a path inside an item; a key with a point in it is not by_path again."""
    node = item
    for step in inner.removeprefix(path).replace("[]", ".[]").split("."):
        if step:
            node = item_of(node) if step == "[]" else field_of(node, step)
    return node


def _hinted(node: Node | None, path: str) -> str:
    """The name of a field with what its schema says of its type, which tells how texts are read."""
    number = "amount" if kind_of_node(node) in {"number", "integer"} else ""
    words = (path.replace("[]", ""), str((node or {}).get("format", "")), number)
    return " ".join(filter(None, words))


def _items(value: Json) -> list[Json]:
    """The items of a list; what stands in the place of a list is its only item."""
    listed = value if isinstance(value, list) else [value]
    return [item for item in listed if not is_blank(item)]


def _first_of(kind: type, values: Sequence[Any]) -> bool:
    """Whether the first value that is not blank is of ``kind``."""
    return isinstance(next((value for value in values if not is_blank(value)), None), kind)


def _frozen(value: Json) -> Hashable:
    """``value`` as a key that tells 1 from 1.0, true and "1"."""
    if isinstance(value, dict | list):
        return _canonical(value)
    return type(value).__name__, value


def _canonical(value: Json) -> str:
    return json.dumps(value, sort_keys=True)
