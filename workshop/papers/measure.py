"""Measures the OCR baseline on generated papers: ``python -m workshop.papers.measure FOLDER``."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import ModuleType
from typing import NamedTuple

from bench.metrics import get_metric
from bench.models.ocr import Ocr
from bench.models.ocr.answer import answer
from bench.models.ocr.document import OcrDocument
from bench.models.ocr.layout import lay_out
from bench.models.ocr.reading import Fragment, Reading
from bench.schema import ModelSpec
from bench.tasks.pages import read_pages
from workshop.papers import forms, invoices, orders, receipts, unseen
from workshop.papers.paper import Paper

KINDS: dict[str, ModuleType] = {
    "receipts": receipts,
    "invoices": invoices,
    "orders": orders,
    "forms": forms,
}
UNSEEN: dict[str, Callable[[Random, int], Paper]] = {
    "receipts": unseen.receipt,
    "invoices": unseen.invoice,
    "forms": unseen.form,
}
"""Kind → what draws its unseen layouts. Payment orders have none: their form is fixed by law."""
FIRST_SEED = {
    "fitting": 0,
    "judging": 100_000,
    "unseen": 200_000,
    "unseen-again": 300_000,
    "judging-last": 400_000,
    "unseen-last": 500_000,
}
"""Split → its first seed. Mistakes on the two last ones were never looked at."""


class Case(NamedTuple):
    """A question about a page that was read."""

    kind: str
    file: str
    field: str
    question: str
    expected: str
    reading: Reading


def cases(folder: Path, split: str, count: int, kinds: list[str]) -> Iterator[Case]:
    """Draw and read ``count`` papers of each kind; what was read before is taken from ``folder``."""
    model: Ocr | None = None
    if split.startswith("unseen"):
        kinds = [kind for kind in kinds if kind in UNSEEN]
    for kind in kinds:
        for number in range(count):
            rng = Random(f"{kind}/{FIRST_SEED[split] + number}")
            paper = _paper(kind, split, number, rng)
            ending, content = paper.content(rng)
            path = folder / split / f"{kind}-{number:03}.{ending}"
            kept = path.with_suffix(".json")
            if not kept.exists() or not path.exists() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                if model is None:
                    model = Ocr(ModelSpec("ocr", "ocr"))
                    model.load()
                reading = model._read(read_pages(path)[0], cyrillic=kind == "orders")
                kept.write_text(json.dumps([reading.fragments, reading.slope, reading.words]))
            fragments, slope, words = json.loads(kept.read_text())
            reading = Reading(tuple(Fragment(*one) for one in fragments), slope, words=words)
            for field, question, expected in paper.questions:
                yield Case(kind, path.name, field, question, expected, reading)


def _paper(kind: str, split: str, number: int, rng: Random) -> Paper:
    """Paper ``number`` of a split; its layouts take turns."""
    if split.startswith("unseen"):
        return UNSEEN[kind](rng, number)
    module = KINDS[kind]
    layouts = module.FITTING if split == "fitting" else module.JUDGING
    paper: Paper = module.make(rng, layouts[number % len(layouts)])
    return paper


def scores(all_cases: list[Case], *, show: bool = False) -> dict[str, dict[str, list[float]]]:
    """Kind → field → the score of each of its questions."""
    match = get_metric("field_match")
    by_kind: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    documents: dict[str, OcrDocument] = {}
    for case in all_cases:
        if case.file not in documents:
            documents[case.file] = OcrDocument([lay_out(case.reading)])
        given = answer(documents[case.file], case.question).text
        score = match.score(given, [case.expected]).value or 0.0
        by_kind[case.kind][case.field].append(score)
        if show and score < 1:
            print(f"{case.file}  {case.question}  expected {case.expected!r}, got {given!r}")
    return by_kind


def main() -> None:
    """Print the share of right answers by kind of document and field."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=sorted(FIRST_SEED), default="fitting")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--show", action="store_true", help="print every wrong answer")
    arguments = parser.parse_args()
    found = list(
        cases(arguments.folder, arguments.split, arguments.count, arguments.kinds.split(","))
    )
    for kind, fields in scores(found, show=arguments.show).items():
        every = [score for of_field in fields.values() for score in of_field]
        print(f"{kind}: {sum(every) / len(every):.3f} of {len(every)} questions")
        if len(fields) > 1:
            print(
                "  "
                + ", ".join(f"{name} {sum(one) / len(one):.2f}" for name, one in fields.items())
            )


if __name__ == "__main__":
    main()
