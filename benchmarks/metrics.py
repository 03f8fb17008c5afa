"""How long the metrics take: many short answers, pathological inputs, long line-item lists, large tables.

``python benchmarks/metrics.py`` prints one line a measurement: wall time, processor time, what was done.
Nothing here is a test: it shows that the bounds of ``docs/metrics.md`` hold on the machine it runs on.
"""

from __future__ import annotations

import random
import string
import sys
import time
from collections.abc import Callable

from bench.metrics import METRICS
from bench.metrics.fields import field_equivalent
from bench.metrics.mistakes import Answered, classify
from bench.metrics.structured import anls_star
from bench.metrics.tables import ted_accuracy, teds

SCORES = 50_000
"""Answers scored by each text metric."""

LONG = 100_000
"""Characters of a pathological answer."""


def main() -> None:
    """Print every measurement."""
    generator = random.Random(20240312)
    show("50,000 scores, one or two references each")
    short_answers(generator)
    show("\nanswer and reference of 100,000 characters")
    long_answers(generator)
    show("\nANLS* over line items of three fields, beside the package")
    line_items(generator)
    show("\ntables and JSON trees")
    trees(generator)
    show("\nJSON that is hard to read")
    hostile_json()


def show(line: str) -> None:
    """Write a line at once, so that a long measurement is seen to run."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def timed(label: str, work: Callable[[], object]) -> None:
    """Run ``work`` once and print its wall and processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    show(f"{time.perf_counter() - wall:9.3f} s {time.process_time() - processor:9.3f} s  {label}")


def short_answers(generator: random.Random) -> None:
    """Every text metric on answers of 5 to 40 characters with small errors."""
    alphabet = string.ascii_letters + string.digits + "     абвгд"
    pairs = []
    for _ in range(SCORES):
        reference = "".join(generator.choices(alphabet, k=generator.randint(5, 40)))
        answer = list(reference)
        for _ in range(generator.randint(0, 3)):
            answer[generator.randrange(len(answer))] = generator.choice(alphabet)
        pairs.append(("".join(answer), [reference, *([reference[::-1]] * generator.randint(0, 1))]))
    for name, metric in METRICS.items():
        if "text" in metric.answer_types and "teds" not in name:
            score = metric.score
            score("warm", ["up"])
            timed(name, lambda score=score: [score(answer, refs) for answer, refs in pairs])


def long_answers(generator: random.Random) -> None:
    """Every text metric, and what else reads answers, on two long random texts."""
    alphabet = string.ascii_lowercase + "    .,\n"
    answer = "".join(generator.choices(alphabet, k=LONG))
    reference = "".join(generator.choices(alphabet, k=LONG))
    for name, metric in METRICS.items():
        if "text" in metric.answer_types:
            timed(name, lambda metric=metric: metric.score(answer, [reference]))
    timed("field_equivalent", lambda: field_equivalent(answer, [reference]))
    timed("classify", lambda: classify(Answered(answer, [reference], document_text=reference)))


def items(generator: random.Random, count: int) -> list[dict[str, str]]:
    """Line items with a name, a quantity and a price."""
    return [
        {
            "name": "".join(generator.choices(string.ascii_lowercase + " ", k=20)),
            "quantity": str(generator.randint(1, 20)),
            "price": f"{generator.randint(100, 99_999) / 100:.2f}",
        }
        for _ in range(count)
    ]


def line_items(generator: random.Random) -> None:
    """ANLS* of shuffled lists with errors; the package up to 40 items, because it takes minutes later."""
    from anls_star import anls_score

    for count in (10, 20, 40, 80, 500):
        reference = {"items": items(generator, count)}
        answer = [dict(item) for item in reference["items"]]
        generator.shuffle(answer)
        for item in answer[::5]:
            item["price"] = "0.00"
        prediction = {"items": answer}
        timed(f"{count} items", lambda p=prediction, r=reference: anls_star(p, r))
        if count <= 40:
            timed(
                f"{count} items, anls_star package",
                lambda p=prediction, r=reference: anls_score(r, p),
            )
    ragged = [
        {k: v for k, v in item.items() if generator.random() < 0.8}
        for item in items(generator, 100)
    ]
    timed("100 ragged items", lambda: anls_star({"i": ragged[::-1]}, {"i": ragged}))
    surplus = {"i": [str(i) for i in range(20_000)]}
    timed("20,000 items against 3", lambda: anls_star(surplus, {"i": ["1", "2", "3"]}))


def table(generator: random.Random, rows: int, columns: int) -> str:
    """An HTML document with one table."""
    body = "".join(
        "<tr>"
        + "".join(f"<td>{generator.randint(0, 99_999)}</td>" for _ in range(columns))
        + "</tr>"
        for _ in range(rows)
    )
    return f"<html><body><table>{body}</table></body></html>"


def trees(generator: random.Random) -> None:
    """TEDS and TED accuracy up to 500 rows, and beyond the cap."""
    for rows, columns in ((10, 6), (60, 6), (200, 6), (500, 6), (500, 20), (5000, 4)):
        pair = table(generator, rows, columns), table(generator, rows, columns)
        timed(f"teds, {rows} × {columns} cells", lambda pair=pair: teds(*pair))
    for count in (10, 80, 500):
        values = {"i": items(generator, count)}, {"i": items(generator, count)}
        timed(f"ted_accuracy, {count} items", lambda values=values: ted_accuracy(*values))
    combs = "<div>" * 120 + "</div><b>x</b>" * 120
    comb = f"<html><body><table>{combs * 30}</table></body></html>"
    timed("teds, deeply nested", lambda: teds(comb, comb))


def hostile_json() -> None:
    """Every JSON metric on answers that are deep, wide or no JSON at all."""
    reference = {"total": "1", "items": [{"name": "a", "price": "2"}] * 20}
    answers = {
        "100,000 brackets": "[" * LONG,
        "objects in objects": '{"a":' * 20_000 + "1" + "}" * 20_000,
        "a list of 30,000": "[" + ",".join(["1"] * 30_000) + "]",
        "5,000 keys": "{" + ",".join(f'"{i}":"{i}"' for i in range(5_000)) + "}",
        "5,000 equal items": '{"items":[' + ",".join(['{"name":"b","price":"3"}'] * 5_000) + "]}",
    }
    for label, answer in answers.items():
        for name, metric in METRICS.items():
            if "json" in metric.answer_types:
                timed(f"{name}, {label}", lambda m=metric, a=answer: m.score(a, [reference]))


if __name__ == "__main__":
    main()
