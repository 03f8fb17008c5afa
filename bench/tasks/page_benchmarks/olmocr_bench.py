"""Reads the folders of olmOCR-bench: tests in ``*.jsonl``, and the one-page PDFs that they are about.

A line is one test (github.com/allenai/olmocr, ``olmocr/bench``)::

    {"pdf": "tables/a_pg1.pdf", "page": 1, "id": "a_01", "type": "table", "cell": "4.5%", "up": "2.4%",
     "max_diffs": 0, "checked": "verified", "url": "…"}
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.formatting import plural
from bench.metrics.page_tests import SIDES, is_computed, problem_of_test
from bench.schema import TRANSCRIBE
from bench.tasks.page_benchmarks.pages import BenchmarkPages
from bench.tasks.samples import SampleRow, SampleTable, json_lines
from bench.text import one_line

_DATA: Final = "bench_data"
_PDFS: Final = "pdfs"

_KEPT = (
    *("type", "text", "before", "after", "cell", "math", "max_diffs", "first_n", "last_n"),
    *("case_sensitive", "ignore_markdown_tables", "max_length", "max_length_skips_image_alt_tags"),
    *("max_repeats", "check_disallowed_characters", *SIDES),
)
"""Keys of a test that say what is tested; the others say where it comes from."""


class _Line(NamedTuple):
    """One line of a file of tests."""

    file: str
    pdf: str
    test: dict[str, Any]


def home(path: Path) -> Path | None:
    """Return the folder with the tests if ``path`` is that folder or the one above it."""
    for folder in (path, path / _DATA):
        if (folder / _PDFS).is_dir() and any(map(_holds_tests, folder.glob("*.jsonl"))):
            return folder
    return None


def _holds_tests(path: Path) -> bool:
    """Say whether the first line of a file is a test: people keep other files beside a folder of PDFs."""
    first = next(json_lines(path, SampleTable(path.name)), None)
    return first is not None and {"pdf", "type"} <= first[1].keys()


def page_samples(folder: Path) -> BenchmarkPages:
    """Read one sample a PDF; its reference are all tests of its page."""
    table = SampleTable(_DATA)
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in _lines(file, table)]
    # Every file counts the same in the mean, and in a file every test that is computed.
    counts = Counter(line.file for line in lines if is_computed(line.test))
    pages: dict[str, list[_Line]] = defaultdict(list)
    for line in lines:
        pages[line.pdf].append(line)
    for pdf, of_page in pages.items():
        table.add_row(_row(pdf, of_page, counts))
    if not table.rows and not table.problems:
        table.add_problem("the files contain no tests")
    not_computed = Counter(line.test["type"] for line in lines if not is_computed(line.test))
    facts = [
        f"{plural(count, 'test')} of type {one_line(kind, 40)} not computed"
        for kind, count in not_computed.items()
    ]
    return BenchmarkPages(table, tuple(facts))


def _row(pdf: str, lines: list[_Line], counts: Counter[str]) -> SampleRow:
    tests: list[dict[str, Any]] = []
    for line in lines:
        share = {"share": 1 / counts[line.file]} if is_computed(line.test) else {}
        tests.append({**line.test, **share})
    if not any(test["type"] == "baseline" for test in tests):
        tests.append({"type": "baseline"})
    metadata = {"doc_type": Path(lines[0].file).stem, "language": "en"}
    return SampleRow(
        line=0,
        id=pdf.removesuffix(".pdf"),
        files=(f"{_PDFS}/{pdf}",),
        question=TRANSCRIBE["en"],
        references=({"tests": tests},),
        answer_type="markdown",
        metadata=metadata,
    )


def _lines(path: Path, table: SampleTable) -> Iterator[_Line]:
    """Yield the tests of one file; what is wrong in a line is a problem of the table."""
    own = SampleTable(path.name)
    ids: set[str] = set()
    for number, record in json_lines(path, own):
        problem = _problem(record, ids)
        if problem is not None:
            own.add_problem(problem, line=number)
            continue
        ids.add(record["id"])
        kept = {key: record[key] for key in _KEPT if record.get(key) is not None}
        yield _Line(path.name, record["pdf"].replace("\\", "/"), kept)
    table.problems += own.problems


def _problem(record: dict[str, Any], ids: set[str]) -> str | None:
    """Say what is wrong with a line; None if nothing is. ``ids`` are those of the lines before."""
    for key in ("pdf", "id"):
        if not isinstance(record.get(key), str) or not record[key]:
            return f"{key} must be a text"
    if record["id"] in ids:
        return f"the id {one_line(record['id'], 60)!r} appears for the second time"
    if record.get("page", 1) != 1:
        return (
            f"page {one_line(record['page'], 20)} is asked for, but only PDFs of one page are read"
        )
    return problem_of_test({key: value for key, value in record.items() if key != "share"})
