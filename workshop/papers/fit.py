"""Fits the baseline's thresholds on generated papers: ``python -m workshop.papers.fit FOLDER``.

One constant after the other is moved up and down; a value stays only if the mean score over kinds rises by
more than one question in a thousand. Judging papers have other seeds and other layouts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

from bench.models.ocr import document, finding, matching, payment_order, questions, repeated
from workshop.papers.measure import KINDS, Case, cases, scores

CONSTANTS: tuple[tuple[ModuleType, str], ...] = (
    (finding, "_MINIMUM"),
    (finding, "_DOUBTFUL"),
    (finding, "_DOUBTFUL_PARTY"),
    (finding, "_DOUBTFUL_ADDRESS"),
    (finding, "_SIMILAR"),
    (questions, "_ASKING_WEIGHT"),
    (document, "_LABEL_CELL"),
    (document, "_REACH_OF_HEADING"),
    (matching, "_BESIDE"),
    (document, "_PAIRED_SHARE"),
    (finding, "_REPEATED"),
    (repeated, "_WHOLE_SHARE"),
    (repeated, "_CELL_SHARE"),
    (payment_order, "_ALIKE"),
)
"""Module and name of each threshold."""
FACTORS = (0.8, 0.9, 1.1, 1.25)
"""Tried on each constant."""
LEAST_GAIN = 0.001
"""A smaller gain is chance."""


def mean_score(every_case: list[Case]) -> float:
    """The mean over kinds of the share of right answers."""
    means = []
    for fields in scores(every_case).values():
        values = [score for of_field in fields.values() for score in of_field]
        means.append(sum(values) / len(values))
    return sum(means) / len(means)


def fit(every_case: list[Case]) -> None:
    """Move each constant to where the papers are answered best, and print it."""
    best = mean_score(every_case)
    print(f"before: {best:.4f}")
    for module, name in CONSTANTS:
        start = chosen = getattr(module, name)
        for factor in FACTORS:
            setattr(module, name, start * factor)
            score = mean_score(every_case)
            if score > best + LEAST_GAIN:
                best, chosen = score, start * factor
        setattr(module, name, chosen)
        verdict = "stays" if chosen == start else f"becomes {chosen:.3g}"
        print(
            f"{module.__name__.rpartition('.')[2]}.{name} = {start:g} {verdict} ({best:.4f})",
            flush=True,
        )


def main() -> None:
    """Fit on the papers for fitting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=24)
    arguments = parser.parse_args()
    fit(list(cases(arguments.folder, "fitting", arguments.count, list(KINDS))))


if __name__ == "__main__":
    main()
