"""Runs the tests of a page on a transcription, by the rules of olmOCR-bench.

The rules are those of ``olmocr/bench/tests.py`` and ``table_parsing.py`` (@dc802aa).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from bench.metrics.markup_tables import (
    MAX_PLACES,
    CellGrid,
    Place,
    cell_grid,
    html_rows,
    html_table_spans,
    pipe_rows,
    pipe_runs,
)
from bench.metrics.metric import (
    MetricValue,
    TooLarge,
    as_text,
    best,
    check_pairs,
    search_steps,
)
from bench.metrics.page_blocks import without_images
from bench.metrics.page_tests import (
    HEADINGS,
    SIDES,
    PageTest,
    is_computed,
    page_tests_of,
    plain_markdown,
)
from bench.schema import Json

MAX_STEPS: Final = 600_000_000
"""Steps of comparing texts and of walking over tables for all tests of one page: about half a second."""
MAX_SCANNED: Final = 400_000
"""Characters in which places with edits are looked for, over all tests of one page: half a second."""
MAX_REPEATED: Final = 5
"""Longest piece whose repetition at the end of a text is counted, in characters."""


class PageTestResult(NamedTuple):
    """What became of one test."""

    test: PageTest
    passed: bool | None
    """None if tests of this type are not computed."""


def run_tests(answer: str, tests: Sequence[PageTest]) -> tuple[PageTestResult, ...]:
    """Run every test on a transcription.

    Raises:
        TooLarge: that takes too much work.
    """
    page = _TestedPage(answer)
    return tuple(
        PageTestResult(test, _RULES[test["type"]](page, test) if is_computed(test) else None)
        for test in tests
    )


class _TestedTable(NamedTuple):
    """A table of a transcription."""

    grid: CellGrid
    texts: Mapping[Place, str]
    """The texts of its cells, as they are searched."""
    is_markdown: bool
    """Whether it is written between pipes."""


class _TestedPage:
    """A transcription, read once for all of its tests."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.text = plain_markdown(answer)
        self.steps = self.scanned = 0

    @functools.cached_property
    def tables(self) -> tuple[_TestedTable, ...]:
        """The tables between pipes, then those of HTML."""
        answer = self.answer
        lines = answer.strip().split("\n")
        pipes = [pipe_rows(lines[start:stop]) for start, stop in pipe_runs(lines)]
        html = [html_rows(answer[start:stop]) for start, stop in html_table_spans(answer)]
        tables = []
        places = 0
        for number, rows in enumerate([*pipes, *html]):
            grid = cell_grid(rows)
            places += len(grid.cells)
            if places > MAX_PLACES:
                raise TooLarge
            texts = {place: plain_markdown(cell.text) for place, cell in grid.cells.items()}
            tables.append(_TestedTable(grid, texts, is_markdown=number < len(pipes)))
        return tuple(tables)

    def spend(self, steps: int) -> None:
        """Note that the page takes so many steps more.

        Raises:
            TooLarge: they are too many.
        """
        self.steps += steps
        check_pairs(1, self.steps, MAX_STEPS)

    def has_part(self, text: str, whole: str, least: float) -> bool:
        """Whether a part of ``whole`` is like ``text`` by at least ``least``, 0 to 1."""
        from rapidfuzz import fuzz

        self.spend(search_steps(text, whole))
        # The cutoff only ends hopeless comparisons early.
        ratio = fuzz.partial_ratio(text, whole, score_cutoff=max(0.0, 100 * least - 0.001))
        return ratio / 100.0 >= least

    def ratios(self, text: str, others: Sequence[str]) -> list[float]:
        """Similarity, 0 to 1, of ``text`` and each of the others."""
        from rapidfuzz import fuzz

        self.spend(10_000 + (1 + len(text) // 64) * sum(400 + len(other) for other in others))
        return [fuzz.ratio(text, other) / 100.0 for other in others]

    def beside(self, grid: CellGrid, place: Place, side: str) -> set[Place]:
        """The cells on one of ``SIDES`` of the cell at ``place``."""
        if side not in HEADINGS:
            neighbours: Mapping[Place, set[Place]] = getattr(grid, side)
            return neighbours[place]
        walk = grid.walk(place, getattr(grid, HEADINGS[side]))
        self.spend(800 * len(walk.passed))
        return walk.headings(grid)

    def starts(self, text: str, max_diffs: int) -> list[int]:
        """Where ``text`` begins in the page, with at most so many edits; the best of each run of places."""
        if max_diffs == 0:
            first = self.text.find(text)
            return [] if first < 0 else [first, self.text.rfind(text)]
        if not self.has_part(text, self.text, 1 - 2 * max_diffs / len(text)):
            return []
        self.scanned += len(self.text) * (1 + len(text) // 512)
        check_pairs(1, self.scanned, MAX_SCANNED)
        return _starts_with_edits(text, self.text, max_diffs)


def _starts_with_edits(pattern: str, text: str, most: int) -> list[int]:
    """Where a part of ``text`` begins that is at most ``most`` edits from ``pattern``.

    Myers' bit-parallel search (1999), from the end to the beginning, so that it finds where parts begin. Of
    neighbouring places the one with the fewest edits counts.
    """
    width = len(pattern)
    full = (1 << width) - 1
    top = 1 << (width - 1)
    masks: dict[str, int] = {}
    for place, character in enumerate(reversed(pattern)):
        masks[character] = masks.get(character, 0) | 1 << place
    plus, minus, distance = full, 0, width
    starts: list[int] = []
    fewest = most + 1
    for place in range(len(text) - 1, -1, -1):
        equal = masks.get(text[place], 0)
        vertical = equal | minus
        horizontal = (((equal & plus) + plus) ^ plus) | equal
        gained = minus | (~(horizontal | plus) & full)
        lost = plus & horizontal
        distance += bool(gained & top) - bool(lost & top)
        gained = (gained << 1) & full
        lost = (lost << 1) & full
        plus = lost | (~(vertical | gained) & full)
        minus = gained & vertical
        if distance > most:
            fewest = most + 1
        elif distance < fewest:
            # A better place of the same run replaces the one before.
            if fewest <= most:
                starts.pop()
            starts.append(place)
            fewest = distance
    return starts


# Rules


def _threshold(text: str, max_diffs: int) -> float:
    return 1.0 - max_diffs / max(1, len(text))


def _is_present(page: _TestedPage, test: PageTest) -> bool:
    wanted, text = plain_markdown(test["text"]), page.text
    if not test.get("case_sensitive", True):
        wanted, text = wanted.lower(), text.lower()
    first, last = test.get("first_n"), test.get("last_n")
    if first and last:
        text = text[:first] + text[-last:]
    elif first:
        text = text[:first]
    elif last:
        text = text[-last:]
    max_diffs = test.get("max_diffs", 0)
    if len(text) < len(wanted) - max_diffs:
        return False
    if wanted in text:
        return True
    return max_diffs > 0 and page.has_part(wanted, text, _threshold(wanted, max_diffs))


def _is_absent(page: _TestedPage, test: PageTest) -> bool:
    return not _is_present(page, test)


def _is_in_order(page: _TestedPage, test: PageTest) -> bool:
    max_diffs = test.get("max_diffs", 0)
    before, after = plain_markdown(test["before"]), plain_markdown(test["after"])
    # What is written without an edit is found at once.
    if -1 < page.text.find(before) < page.text.rfind(after):
        return True
    befores = page.starts(before, max_diffs)
    afters = page.starts(after, max_diffs) if befores else []
    return bool(afters) and min(befores) < max(afters)


def _is_in_table(page: _TestedPage, test: PageTest) -> bool:
    max_diffs = test.get("max_diffs", 0)
    wanted = plain_markdown(test["cell"])
    beside = {side: plain_markdown(test[side]) for side in SIDES if test.get(side)}
    least = max(0.5, _threshold(wanted, max_diffs))
    for table in page.tables:
        if table.is_markdown and test.get("ignore_markdown_tables"):
            continue
        alike = page.ratios(wanted, list(table.texts.values()))
        for place, ratio in zip(table.texts, alike, strict=True):
            if ratio >= least and all(
                _lies_beside(page, table, place, side, text, max_diffs)
                for side, text in beside.items()
            ):
                return True
    return False


def _lies_beside(
    page: _TestedPage, table: _TestedTable, place: Place, side: str, wanted: str, max_diffs: int
) -> bool:
    texts = [table.texts[each] for each in page.beside(table.grid, place, side)]
    least = max(0.5, _threshold(wanted, max_diffs))
    return any(ratio >= least for ratio in page.ratios(wanted, texts))


_BLANKS = re.compile(r"\s+")
_NOT_EXPECTED = re.compile(
    "[\u4e00-\u9fff\u3040-\u309f\u30a0-\u30ff\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\U0001f1e0-\U0001f1ff]"
)


def _is_sound(page: _TestedPage, test: PageTest) -> bool:
    text = page.answer
    if test.get("max_length") is not None:
        # A page that is expected to be blank.
        bare = without_images(text) if test.get("max_length_skips_image_alt_tags") else text
        most_letters: int = test["max_length"]
        return sum(map(str.isalnum, bare)) <= most_letters
    if not any(map(str.isalnum, text)):
        return False
    most = 30 if test.get("max_repeats") is None else test["max_repeats"]
    squeezed = _BLANKS.sub(" ", text)
    if any(_repeats(squeezed, size) > most for size in range(1, MAX_REPEATED + 1)):
        return False
    return not test.get("check_disallowed_characters", True) or not _NOT_EXPECTED.search(text)


def _repeats(text: str, size: int) -> int:
    """How often the last ``size`` characters stand at the end, one after the other."""
    last = text[-size:]
    end = len(text)
    while end >= size and text.startswith(last, end - size):
        end -= size
    return (len(text) - end) // size


_RULES: Final[Mapping[str, Callable[[_TestedPage, PageTest], bool]]] = {
    "present": _is_present,
    "absent": _is_absent,
    "order": _is_in_order,
    "table": _is_in_table,
    "baseline": _is_sound,
}


# Rows of the table of metrics


def page_tests_metric(types: Sequence[str], *, shares: bool = False) -> Callable[..., MetricValue]:
    """Return the score function for the share of tests of some types that are passed.

    Its weight is the number of these tests, or the sum of their shares. A page without such a test has no
    score.
    """
    chosen = frozenset(types)

    def score(prediction: Json, references: Sequence[Json]) -> MetricValue:
        values = []
        for reference in references:
            results = _tested(as_text(prediction), json.dumps(reference, ensure_ascii=False))
            counted = [result for result in results or () if result.test["type"] in chosen]
            weights = [float(result.test.get("share", 1)) if shares else 1.0 for result in counted]
            if not counted:
                values.append(MetricValue(None))
                continue
            passed = sum(
                weight for result, weight in zip(counted, weights, strict=True) if result.passed
            )
            values.append(MetricValue(min(1.0, passed / sum(weights)), sum(weights)))
        return best(values, higher=True)

    return score


@functools.lru_cache(maxsize=8)
def _tested(answer: str, reference: str) -> tuple[PageTestResult, ...] | None:
    """``run_tests`` once for all metrics of an answer; the reference as JSON."""
    tests = page_tests_of(json.loads(reference))
    return None if tests is None else run_tests(answer, tests)
