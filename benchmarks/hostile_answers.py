"""How long every metric takes for answers that are made to cost it most: the table in ``docs/hard_use.md``.

    python benchmarks/hostile_answers.py

Each pair of an answer and a reference is scored by every metric that takes it, and whatever else reads an
answer is run on it. For each metric the slowest pair is printed, with its processor time and the memory that
it added. The command fails if a score takes more than ``--seconds`` or ``--mib``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.metrics import METRICS
from bench.metrics.extract import extract, without_thoughts
from bench.metrics.metric import TOO_LARGE
from bench.metrics.mistakes import Answered, classify


def nested(depth: int, value: Any, *, key: str | None = None) -> Any:
    """``value`` inside ``depth`` lists, or objects with one key."""
    for _ in range(depth):
        value = [value] if key is None else {key: value}
    return value


def table(rows: int, columns: int, cell: str) -> str:
    """An HTML table of equal cells."""
    row = "<tr>" + f"<td>{cell}</td>" * columns + "</tr>"
    return f"<table>{row * rows}</table>"


def words(start: str, count: int) -> list[str]:
    """So many different words."""
    return [f"{start}{number}" for number in range(count)]


VALUES: dict[str, tuple[Any, Any]] = {
    "empty lists": ([[]] * 5_000, [[]] * 5_000),
    "empty objects": ([{}] * 5_000, [{}] * 5_000),
    "lists of empty lists": ([[[]] * 50] * 50, [[[]] * 50] * 50),
    "lists of lists": ([words("a", 70)] * 70, [words("b", 7)] * 7),
    "ragged lists": (
        [words("a", n % 40) for n in range(200)],
        [words("a", n % 37) for n in range(60)],
    ),
    "deep lists": ([nested(60, "x")] * 100, [nested(60, "y")] * 100),
    "deep objects": ([nested(60, "x", key="a")] * 100, [nested(60, "y", key="a")] * 100),
    "wide objects": (
        dict.fromkeys(words("f", 20000), "v" * 20),
        dict.fromkeys(words("f", 20000), "w" * 20),
    ),
    "long values": (
        dict.fromkeys(words("f", 50), "v" * 10000),
        dict.fromkeys(words("f", 50), "w" * 10000),
    ),
    "long keys": ({w * 100: 1 for w in words("key", 600)}, {w * 100: 2 for w in words("key", 600)}),
    "many dates": (
        {"d": [f"{n % 28 + 1}.03.{1900 + n % 100}" for n in range(54)]},
        {"d": [f"{n % 28 + 1} March {1900 + n % 100}" for n in range(54)]},
    ),
    "long numbers": ([10**290 + n for n in range(240)], [10**290 - n for n in range(240)]),
    "fractions": ([n / 7 for n in range(440)], [n / 3 for n in range(440)]),
    "one against many": (list(range(7_600)), list(range(1, 27))),
}
TEXTS: dict[str, tuple[str, str]] = {
    "wide table": (table(1, 20_000, "1"), table(1, 20_000, "2")),
    "tall table": (table(20_000, 1, "1"), table(20_000, 1, "2")),
    "square table": (table(38, 38, "1"), table(38, 38, "22")),
    "long cells": (table(10, 10, "x" * 900), table(10, 10, "y" * 900)),
    "empty rows": ("<table>" + "<tr></tr>" * 11_000, "<table>" + "<tr></tr>" * 11_000),
    "tables in tables": ("<table><tr><td>" * 6_000, "<table><tr><td>" * 500),
    "lists in cells": (table(50, 50, "<ul><li>a<li>b</ul>"), table(10, 10, "<ul><li>a<li>b</ul>")),
    "spans": ("<table><tr>" + "<td colspan=1000 rowspan=1000>a" * 300, table(20, 20, "a")),
    "pipes": ("|" * 100_000, "|a\n" * 30_000),
    "items": ("; ".join(words("v", 15_000)), "; ".join(words("w", 15_000))),
    "dots and a letter": ("." * 99_999 + "a", "." * 99_998 + "b"),
    "dates": ("12.03.2024 " * 9_000, "12.03.2025 " * 9_000),
    "amounts": ("$1,284.50 " * 10_000, "1 284,50 EUR " * 8_000),
    "digits": ("0" * 100_000, "0" * 99_999 + "1"),
    "quotes": ('"' * 100_000, '\\"' * 50_000),
    "marks": ("\u0301" * 100_000, "a"),
    "one for eighteen": ("\ufdfa" * 100_000, "\ufdfa" * 90_000),
    "capital dotted i": ("\u0130" * 100_000, "\u00df" * 100_000),
    "number words": ("one hundred million " * 5_000, "million " * 12_000),
    "telephones": ("+7 (912) 345-67-89 " * 5_000, "8" * 100_000),
    "entities": ("&amp;" * 20_000, "&#" + "9" * 99_000 + ";"),
    "open thoughts": ("<think>" * 14_000, "x"),
    "open boxes": ("\\boxed{" * 14_000, "x"),
    "fences": ("```json\n{" * 10_000, "```" * 33_000),
    "lines": ("a\n" * 50_000, "b\n" * 50_000),
    "comments": ("<!--" * 25_000, "<![CDATA[" * 11_000),
    "open objects": ('{"a":' * 20_000, "[1," * 30_000),
    "blanks": (" " * 99_999 + "a", " " * 99_999 + "b"),
}
PAGES: dict[str, tuple[str, str]] = {
    "many tables": (table(3, 3, "1") * 2_000, table(3, 3, "2") * 2_000),
    "letters": ("\n\n".join("abcde" * 6_000), "\n\n".join("klmno" * 60)),
    "texts inside texts": (
        "\n\n".join("ab" * 25 + word for word in words("", 300)),
        "\n\n".join("ba" * 170 + word for word in words("", 300)),
    ),
    "two long lines": (
        "ab" * 25_000 + "\n\n" + "ba" * 24_000,
        "ba" * 25_000 + "\n\n" + "cb" * 24_000,
    ),
    "dollars": ("$a" * 50_000, "$$a$$" * 20_000),
    "open formulas": ("\\[" * 50_000, "$$ " * 33_000),
    "formulas": ("\n\n".join(f"$$x_{n}$$" for n in range(3_000)), "$$y$$\n\n" * 300),
    "open brackets": ("\\(" * 50_000, "\\tag{" * 20_000),
    "images": ("![" * 50_000, "![a]("),
    "headings": ("# a\n" * 25_000, "# b\n" * 200),
    "emphasis": ("*_" * 50_000, "**a" * 30_000),
    "open tags": ("<b" * 50_000, "<a " * 30_000),
    "open tables": ("<table>" * 14_000, "<table><tr><td>" * 3_000),
    "closed tables": ("</table>" * 12_000, "<table></table>" * 6_000),
    "pipe rows": ("|a|b|\n" * 10_000, "|a|b|\n|-|-|\n" + "|1|2|\n" * 500),
    "pipe columns": ("|" + "a|" * 49_000 + "\n|-|", "|a|b|\n|-|-|"),
    "pipes and dashes": ("|-" * 50_000, "|-|\n" * 20_000),
}
"""Answers and references of whole pages, beside ``TEXTS``."""


def tests_about(kind: str, text: str) -> Any:
    """A reference of 40 tests of one kind, about parts of ``text``."""
    tests = []
    for start in range(0, 2_000, 50):
        part = text[start : start + 200].strip("*_ \n") or "abc"
        tests.append(
            {
                "type": kind,
                "text": part,
                "before": f"{part}ab",
                "after": f"{part}cdef",
                "cell": part[:40],
                "up": "1",
                "left_heading": "a",
                "max_diffs": 1,
            }
        )
    return {"tests": tests}


def reference_of(name: str, value: Any) -> Any:
    """``value`` as the metric ``name`` takes a reference."""
    if name.startswith("olmocr_"):
        return tests_about(name.removeprefix("olmocr_").replace("bench", "order"), str(value))
    takes_json = name in METRICS and "json" in METRICS[name].answer_types
    return value if takes_json or isinstance(value, str) else json.dumps(value)


def largest() -> int:
    """The largest size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measured(work: Callable[[], Any]) -> tuple[float, int, Any]:
    """Processor time of ``work``, the MiB that it added, and its result."""
    before, start = largest(), time.process_time()
    result = work()
    return time.process_time() - start, largest() - before, result


def in_a_child(work: Callable[[], Any]) -> tuple[float, int, bool]:
    """The same in a process of its own: what one score has taken must not hide what another takes."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        seconds, mib, result = measured(work)
        os.write(writer, json.dumps([seconds, mib, result == TOO_LARGE]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        seconds, mib, is_too_large = json.loads(said.read())
    os.waitpid(child, 0)
    return seconds, mib, is_too_large


def reading(answer: str, reference: str) -> None:
    """What is done with an answer beside scoring."""
    without_thoughts(answer)
    extract(answer, "text", [reference])
    extract(answer, "json", [reference])
    classify(Answered(answer, [reference], document_text=answer))


def main() -> int:
    """Print the slowest pair of every metric."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="processor time a score may take"
    )
    parser.add_argument("--mib", type=int, default=200, help="memory a score may add")
    options = parser.parse_args()
    pairs = {name: (json.dumps(answer), reference) for name, (answer, reference) in VALUES.items()}
    pairs |= TEXTS
    works: dict[str, Callable[[str, Any], Any]] = {
        name: lambda answer, reference, metric=metric: metric.score(answer, [reference])
        for name, metric in METRICS.items()
    }
    works["extract, classify"] = reading
    failures = 0
    for name, work in works.items():
        work("warm", "up")
        slowest, most, refused = (0.0, ""), 0, 0
        is_of_pages = name in METRICS and "markdown" in METRICS[name].answer_types
        for label, (answer, value) in (pairs | PAGES if is_of_pages else pairs).items():
            reference = reference_of(name, value)
            seconds, mib, is_too_large = in_a_child(
                lambda work=work, answer=answer, reference=reference: work(answer, reference)
            )
            slowest, most = max(slowest, (seconds, label)), max(most, mib)
            refused += is_too_large
        too_much = slowest[0] > options.seconds or most > options.mib
        mark = "TOO MUCH  " if too_much else ""
        print(
            f"{mark}{name:18} {slowest[0]:5.2f} s ({slowest[1]}), {most} MiB, {refused} too large",
            flush=True,
        )
        failures += too_much
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
