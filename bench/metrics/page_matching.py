"""Finds each block of a reference in a transcription, whatever the order, and counts the edits between them.

The matching is OmniDocBench's ``quick_match`` (@59b103c) in its main steps and with its thresholds:

1. Captions, headers and footers (``margin``) take the blocks of the answer that they nearly equal, and
   neither counts. A page may be transcribed with them or without.
2. Blocks of the answer that follow each other are joined where a block of the reference contains both.
3. Blocks are assigned one to one so that the sum of normalised edit distances is smallest; pairs that are
   further apart than 0.7 do not match.
4. A block of the reference without a match may stand inside a block of the answer, which then has both. Of
   several such blocks, it is the one whose other blocks are nearest in reading order.
5. What is left on both sides is assigned in the same way, however far apart. What is still left of the
   reference is missing; what is left of the answer costs nothing.

Tables are matched with tables only, and tables that are left over are text.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.metrics.edit import levenshtein
from bench.metrics.markup_tables import runs_of
from bench.metrics.metric import check_pairs, search_steps
from bench.metrics.page_blocks import PageBlock, plain_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Distances = NDArray[np.float64]

CLOSE: Final = 0.25
"""Normalised edit distance below which two blocks are the same, so that neither is joined with another."""
FAR: Final = 0.7
"""Normalised edit distance above which two blocks do not match."""
INSIDE: Final = 60.0
"""Similarity in per cent from which a text stands inside a longer one: 0.4 edits a character."""

MAX_BLOCK_PAIRS: Final = 100_000
"""Pairs of a block of the reference and one of the answer."""
MAX_PAGE_PAIRS: Final = 2_500_000_000
"""Pairs of characters of all blocks of the reference and of the answer: 50,000 of each."""
MAX_SEARCH: Final = 1_000_000_000
"""Steps in which texts are looked for inside longer ones: 0.4 s. Then the search ends."""


class BlockMatch(NamedTuple):
    """Blocks of the reference with what stands for them in the answer."""

    expected: tuple[int, ...]
    """Numbers of the reference's blocks, in their order."""
    found: tuple[int, ...]
    """Numbers of the answer's blocks, in their order; empty where the blocks are missing."""
    edits: int
    """Edit distance between the two texts."""
    length: int
    """Characters of the longer one."""


def match_texts(expected: Sequence[PageBlock], answer: Sequence[PageBlock]) -> list[BlockMatch]:
    """Match the texts and formulas of a page; the numbers are places in the given lists.

    Raises:
        TooLarge: there are too many blocks, or too much text.
    """
    wanted = [n for n, block in enumerate(expected) if block.kind in {"text", "formula"}]
    margins = [block.text for block in expected if block.kind == "margin"]
    given = [n for n, block in enumerate(answer) if block.kind != "table"]
    check_pairs(len(wanted) + len(margins), len(given), MAX_BLOCK_PAIRS)
    check_pairs(_size(expected), _size(answer), MAX_PAGE_PAIRS)
    in_margins = _close_to(margins, [answer[n].text for n in given])
    given = [n for k, n in enumerate(given) if k not in in_margins]
    matcher = _Matcher([expected[n].text for n in wanted], [answer[n].text for n in given])
    return [
        BlockMatch(
            tuple(wanted[i] for i in match.expected),
            tuple(given[j] for j in match.found),
            match.edits,
            match.length,
        )
        for match in matcher.matches()
    ]


def match_tables(
    expected: Sequence[PageBlock], answer: Sequence[PageBlock]
) -> dict[int, int | None]:
    """Match the tables of a page by their text: table of the reference → table of the answer, or None.

    The numbers are places in the given lists.
    """
    wanted = [n for n, block in enumerate(expected) if block.kind == "table"]
    given = [n for n, block in enumerate(answer) if block.kind == "table"]
    check_pairs(len(wanted), len(given), MAX_BLOCK_PAIRS)
    check_pairs(_size(expected), _size(answer), MAX_PAGE_PAIRS)
    distances = _distances([expected[n].text for n in wanted], [answer[n].text for n in given])
    matches: dict[int, int | None] = dict.fromkeys(wanted)
    matches.update((wanted[i], given[j]) for i, j in _assigned(distances))
    return matches


def tables_as_texts(blocks: Iterable[PageBlock], matched: Iterable[int]) -> list[PageBlock]:
    """Return ``blocks`` with a text for every row of the tables that are not in ``matched``.

    A matched table keeps its place among them.
    """
    kept = set(matched)
    return [
        part
        for number, block in enumerate(blocks)
        for part in ([block] if block.kind != "table" or number in kept else _row_texts(block))
    ]


def _size(blocks: Sequence[PageBlock]) -> int:
    return sum(len(block.text) for block in blocks)


def _row_texts(table: PageBlock) -> list[PageBlock]:
    texts = (plain_words(" ".join(cell.text for cell in row)) for row in table.rows)
    return [PageBlock("text", text) for text in texts if text]


def _distances(first: Sequence[str], second: Sequence[str]) -> Distances:
    """Normalised edit distances (len(first), len(second))."""
    import numpy as np
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    if not first or not second:
        return np.zeros((len(first), len(second)))
    distances: Distances = cdist(
        first, second, scorer=Levenshtein.normalized_distance, dtype=np.float64
    )
    return distances


def _assigned(distances: Distances) -> list[tuple[int, int]]:
    """The pairs of rows and columns whose distances have the smallest sum."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(distances)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _close_to(margins: Sequence[str], texts: Sequence[str]) -> set[int]:
    """Numbers of the texts that are one of the margins."""
    import numpy as np

    return set(np.flatnonzero((_distances(margins, texts) < CLOSE).any(axis=0)).tolist())


class _Matcher:
    """Matches texts of a reference with texts of an answer."""

    def __init__(self, expected: Sequence[str], answer: Sequence[str]) -> None:
        self.expected = expected
        self.groups: list[tuple[int, ...]] = [(n,) for n in range(len(answer))]
        """Numbers of the answer's texts that are taken together."""
        self.texts = list(answer)
        """The text of each group."""
        self.distances = _distances(expected, answer)
        self.searched = 0

    def matches(self) -> list[BlockMatch]:
        """Every text of the reference is in one match."""
        if self.expected and self.texts:
            self._join()
        pairs = [pair for pair in _assigned(self.distances) if self.distances[pair] <= FAR]
        owners: dict[int, list[int]] = {j: [i] for i, j in pairs}
        alone = set(range(len(self.expected))) - {i for i, _ in pairs}
        missing = [i for i in sorted(alone) if not self._is_inside(i, owners)]
        unused = [j for j in range(len(self.texts)) if j not in owners]
        for row, column in _assigned(self.distances[missing][:, unused]):
            owners[unused[column]] = [missing[row]]
        placed = set(itertools.chain.from_iterable(owners.values()))
        matched = [self._match(numbers, j) for j, numbers in owners.items()]
        lost = [self._match([i], None) for i in missing if i not in placed]
        return sorted(matched + lost)

    def _match(self, numbers: Sequence[int], group: int | None) -> BlockMatch:
        text = "".join(self.expected[i] for i in numbers)
        own = "" if group is None else self.texts[group]
        parts = () if group is None else self.groups[group]
        longer = max(len(text), len(own))
        return BlockMatch(tuple(numbers), parts, levenshtein(text, own), longer)

    def _join(self) -> None:
        """Take texts of the answer together that follow each other and stand in one text of the reference."""
        runs: list[tuple[float, int, int]] = []
        is_free = (self.distances.min(axis=0) >= CLOSE).tolist()
        is_lacking = (self.distances.min(axis=1) >= CLOSE).tolist()
        for i, text in enumerate(self.expected):
            if is_lacking[i]:
                inside = [
                    is_free[j] and self._stands_in(own, text) for j, own in enumerate(self.texts)
                ]
                runs += [(self._joined_distance(i, *run), *run) for run in runs_of(inside)]
        joined: dict[int, int] = {}
        taken: set[int] = set()
        for _, start, stop in sorted(run for run in runs if run[0] <= FAR):
            if taken.isdisjoint(range(start, stop)):
                taken.update(range(start, stop))
                joined[start] = stop
        if joined:
            self._take_together(joined)

    def _joined_distance(self, i: int, start: int, stop: int) -> float:
        text, own = self.expected[i], "".join(self.texts[start:stop])
        joined = levenshtein(text, own) / max(len(text), len(own))
        # Together they must be nearer than the nearest of them alone.
        return joined if joined < self.distances[i, start:stop].min() else 1.0

    def _take_together(self, joined: dict[int, int]) -> None:
        bounds = []
        start = 0
        while start < len(self.texts):
            stop = joined.get(start, start + 1)
            bounds.append((start, stop))
            start = stop
        self.groups = [tuple(range(*bound)) for bound in bounds]
        self.texts = ["".join(self.texts[start:stop]) for start, stop in bounds]
        self.distances = _distances(self.expected, self.texts)

    def _is_inside(self, i: int, owners: dict[int, list[int]]) -> bool:
        """Whether a text of the reference stands inside a text of the answer, which then has it, too."""
        places = [j for j, own in enumerate(self.texts) if self._stands_in(self.expected[i], own)]
        if not places:
            return False

        def distance(j: int) -> int:
            """How far the other texts in it are, in reading order: "1" stands in many texts."""
            others = owners.get(j, [])
            place = bisect_left(others, i)
            nearest = others[max(0, place - 1) : place + 1]
            return min((abs(i - k) for k in nearest), default=len(self.expected))

        insort(owners.setdefault(min(places, key=distance), []), i)
        return True

    def _stands_in(self, short: str, long: str) -> bool:
        """Whether ``short`` stands in ``long``, up to 0.4 edits a character."""
        from rapidfuzz import fuzz

        if len(short) > len(long):
            return False
        if short in long:
            return True
        self.searched += search_steps(short, long)
        if self.searched > MAX_SEARCH:
            return False
        return fuzz.partial_ratio(short, long, score_cutoff=INSIDE) >= INSIDE
