"""How often ``bench gate`` is wrong, and how often it decides, measured on simulated pairs of runs.

Every scenario simulates 10,000 pairs of runs on the same documents. Scores are 0 or 1. A share of the answers
is lost and a share is gained, and on some documents the same happens to all questions. Everything is seeded:
the same numpy gives the same table. The full size takes about ten minutes of processor time.

    python benchmarks/gate.py [--pairs 10000]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.stats import holm, paired_loss
from bench.stats.noninferiority import LEVEL

SEED = 20_261_128
MARGIN = 0.02
TASKS = 3
"""Rows that are gated together, of which Holm's adjustment is made."""
SHARED = 0.3
"""Share of the documents on which all questions share their luck."""


@dataclass(frozen=True)
class Scenario:
    """One line of the table."""

    documents: int
    questions: int
    """Questions about each document."""
    lost: float
    """Share of the answers that are right in the baseline alone."""
    gained: float
    """Share of the answers that are right in the run alone."""

    @property
    def loss(self) -> float:
        """The true loss."""
        return self.lost - self.gained


@dataclass(frozen=True)
class Rates:
    """Shares of the simulated pairs of runs."""

    passed: float
    regressed: float
    regressed_holm: float
    """Of three equal tasks gated together: share in which any has regressed."""
    needed: float
    """Median number of documents that a gate that cannot tell asks for; not a number if it always can."""


def scenarios() -> Iterator[Scenario]:
    """Equal runs, runs that lose just what is accepted, and runs that lose three times that."""
    for loss in (0.0, MARGIN, 3 * MARGIN):
        for documents in (30, 100, 300, 1000):
            for questions, gained in ((1, 0.02), (5, 0.005)):
                yield Scenario(documents, questions, gained + loss, gained)


def simulate(scenario: Scenario, pairs: int) -> Rates:
    """The rates of one scenario."""
    rng = np.random.default_rng([SEED, hash_of(scenario)])
    passed = regressed = 0
    p_values: list[float] = []
    losses: list[float] = []
    needed: list[int] = []
    documents = np.repeat(np.arange(scenario.documents), scenario.questions)
    for _ in range(pairs):
        before, after = scores(scenario, rng)
        loss = paired_loss(before, after, documents, margin=MARGIN)
        assert loss.value is not None and loss.high is not None and loss.p_worse is not None
        p_values.append(loss.p_worse)
        losses.append(loss.value)
        if loss.high <= MARGIN:
            passed += 1
        elif loss.p_worse < LEVEL and loss.value > MARGIN:
            regressed += 1
        elif loss.needed is not None:
            needed.append(loss.needed)
    families = [slice(start, start + TASKS) for start in range(0, pairs - TASKS + 1, TASKS)]
    alarms = sum(alarm(p_values[family], losses[family]) for family in families)
    median = float(np.median(needed)) if needed else float("nan")
    return Rates(passed / pairs, regressed / pairs, alarms / len(families), median)


def alarm(p_values: list[float], losses: list[float]) -> bool:
    """Whether any row of one gate has regressed."""
    adjusted = holm(p_values)
    return any(p < LEVEL and loss > MARGIN for p, loss in zip(adjusted, losses, strict=True))


def scores(
    scenario: Scenario, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of both runs, by question."""
    shape = (scenario.documents, scenario.questions)
    luck = rng.random(shape)
    shares_luck = rng.random(scenario.documents) < SHARED
    luck[shares_luck] = luck[shares_luck, :1]
    before = np.full(shape, 0.5)
    after = before.copy()
    is_lost, is_gained = luck < scenario.lost, luck > 1 - scenario.gained
    before[is_lost], after[is_lost] = 1.0, 0.0
    before[is_gained], after[is_gained] = 0.0, 1.0
    return before.ravel(), after.ravel()


def hash_of(scenario: Scenario) -> int:
    """A number of the scenario that is the same in every process."""
    parts = (scenario.documents, scenario.questions, scenario.lost, scenario.gained)
    return sum(round(part * 10_000) * 7**place for place, part in enumerate(parts))


def row(arguments: tuple[Scenario, int]) -> str:
    """One line of the table."""
    scenario, pairs = arguments
    rates = simulate(scenario, pairs)
    needed = "–" if np.isnan(rates.needed) else f"{rates.needed:,.0f}"
    return (
        f"| {scenario.loss:.2f} | {scenario.documents:,} | {scenario.questions} | {scenario.gained:.3f} "
        f"| {rates.passed:.1%} | {rates.regressed:.1%} | {rates.regressed_holm:.1%} | {needed} |"
    )


# Power


def promised(questions: int, changed: float) -> int:
    """Documents that the gate asks for after a run that is as good as the baseline."""
    pilot = Scenario(5000, questions, changed, changed)
    before, after = scores(pilot, np.random.default_rng(SEED))
    # Both ways round, so that the pilot's loss is 0 exactly.
    first, second = np.concatenate([before, after]), np.concatenate([after, before])
    loss = paired_loss(first, second, np.arange(first.size) // questions, margin=MARGIN)
    assert loss.needed is not None
    return loss.needed


def power_row(arguments: tuple[int, float, int]) -> str:
    """One line of the table of power."""
    questions, changed, pairs = arguments
    documents = promised(questions, changed)
    rates = simulate(Scenario(documents, questions, changed, changed), pairs)
    return (
        f"| {questions} | {2 * changed:.3f} | {documents:,} | {rates.passed:.1%} "
        f"| {rates.regressed:.1%} |"
    )


# Uneven documents and scores


def uneven_row(arguments: tuple[int, float, int]) -> str:
    """One line: 85 % of the documents have one question and the rest ten; losses are rare and large.

    A tenth of the changes lowers a score by 0.9, the others raise it by 0.1, so that they cancel out.
    """
    documents, loss, pairs = arguments
    rng = np.random.default_rng([SEED, documents, round(loss * 1000)])
    passed = regressed = 0
    for _ in range(pairs):
        sizes = np.where(rng.random(documents) < 0.85, 1, 10)
        ids = np.repeat(np.arange(documents), sizes)
        luck = rng.random(ids.size)
        shares_luck = np.repeat(rng.random(documents) < SHARED, sizes)
        luck[shares_luck] = np.repeat(rng.random(documents), sizes)[shares_luck]
        change = np.where(luck < 0.01, 0.9, np.where(luck > 0.91, -0.1, 0.0))
        change[rng.random(ids.size) < loss] = 1.0
        result = paired_loss(0.5 + change / 2, 0.5 - change / 2, ids, margin=MARGIN)
        assert result.value is not None and result.high is not None and result.p_worse is not None
        if result.high <= MARGIN:
            passed += 1
        elif result.p_worse < LEVEL and result.value > MARGIN:
            regressed += 1
    return f"| {loss:.2f} | {documents:,} | {passed / pairs:.1%} | {regressed / pairs:.1%} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=10_000)
    pairs = parser.parse_args().pairs
    print(
        "| true loss | documents | questions each | gained answers | passed | regressed "
        "| any of 3 regressed | documents asked for |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    with ProcessPoolExecutor(2) as pool:
        for line in pool.map(row, [(scenario, pairs) for scenario in scenarios()]):
            print(line, flush=True)
        print("\n| questions each | changed answers | documents promised | passed | regressed |")
        print("|---:|---:|---:|---:|---:|")
        cases = [(1, 0.01), (1, 0.05), (5, 0.01), (5, 0.05)]
        for line in pool.map(power_row, [(*case, pairs) for case in cases]):
            print(line, flush=True)
        print("\nuneven documents and scores\n\n| true loss | documents | passed | regressed |")
        print("|---:|---:|---:|---:|")
        sizes = [(count, loss, pairs) for loss in (0.0, MARGIN) for count in (30, 100, 300)]
        for line in pool.map(uneven_row, sizes):
            print(line, flush=True)


if __name__ == "__main__":
    main()
