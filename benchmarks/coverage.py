"""How often the intervals of ``bench.stats`` hold the truth, measured on simulated scores.

Prints the tables of ``benchmarks/coverage.md``; ``--write`` puts them there. Everything is seeded: the
same numpy gives the same tables. The full size takes about twelve minutes of processor time, shared
by two processes; ``--quick`` takes a tenth of the simulations, so its last digits mean nothing.

    python benchmarks/coverage.py [--quick] [--write] [--only TABLE …]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.stats import (
    Design,
    cluster_mean,
    discordant_variance,
    documents_needed,
    paired_difference,
)
from bench.stats.clusters import ClusterTotals, cluster_totals
from bench.stats.distributions import NORMAL, student_t_quantile
from bench.stats.means import robust_se
from workshop.conformance.reference_statistics import paired_ttest

Array = NDArray[np.float64]
Rng = np.random.Generator

SEED = 20_241_101
SIMULATIONS = {30: 4000, 100: 4000, 1000: 2000}
"""Simulated runs by number of documents: a coverage of 95 % is known to ± 0.7 (1,000 documents:
± 1.0) percentage points, two standard errors."""
REPLICATES = 999
DOCUMENT = Path(__file__).resolve().parent / "coverage.md"
Z = NORMAL.inv_cdf(0.975)

SIZES: dict[str, Callable[[Array, Rng], NDArray[Any]]] = {
    "5": lambda u, rng: np.full(u.shape, 5.0),
    "1": lambda u, rng: np.ones(u.shape),
    "1–10": lambda u, rng: rng.integers(1, 11, u.shape).astype(float),
    "1–10, mostly few": lambda u, rng: np.minimum(10.0, rng.geometric(0.35, u.shape)),
    "1–10, more where hard": lambda u, rng: 1.0 + rng.binomial(9, logistic(-1.2 * u)),
    "1 (85 %) or 10": lambda u, rng: np.where(rng.random(u.shape) < 0.85, 1.0, 10.0),
}
"""Questions per document, given each document's ease ``u`` (standard normal)."""


def logistic(x: Array) -> Array:
    """Probability from log-odds."""
    return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float64)


@dataclass(frozen=True)
class Scenario:
    """A population of documents; a question is right (1), nearly right (0.5 to 1) or wrong (0)."""

    sizes: str
    ease: float
    """Log-odds of a right answer on a middling document."""
    spread: float = 1.5
    """Standard deviation of the log-odds between documents."""
    near: float = 0.3
    """Share of the answers that are not right which score between 0.5 and 1."""
    lost: float = 0.0
    """Share of documents that the model cannot read at all: 0 for every question."""
    note: str = ""

    @property
    def name(self) -> str:
        """The population in words."""
        parts = [f"{self.sizes} questions", f"mean {truth(self):.3f}"]
        parts += [f"spread {self.spread:g}"] if self.spread != 1.5 else []
        parts += [self.note] if self.note else []
        return "; ".join(parts)

    def draw(self, documents: int, rng: Rng) -> tuple[Array, Array, NDArray[np.intp]]:
        """Scores, weights and documents of one simulated run, all of shape (questions,)."""
        ease = rng.standard_normal(documents)
        sizes = SIZES[self.sizes](ease, rng).astype(int)
        clusters = np.repeat(np.arange(documents), sizes)
        right = np.where(
            rng.random(documents) < self.lost, -1.0, logistic(self.ease + self.spread * ease)
        )
        luck = rng.random(clusters.size)
        near = (rng.random(clusters.size) < self.near) & (right >= 0)[clusters]
        partial = np.where(near, rng.uniform(0.5, 1, clusters.size), 0.0)
        values = np.where(luck < right[clusters], 1.0, partial)
        return values, np.ones_like(values), clusters

    def mean(self) -> float:
        """The mean score over all questions of all documents, from four million documents."""
        rng = np.random.default_rng([SEED, 1])
        total = questions = 0.0
        for _ in range(10):
            half = rng.standard_normal(200_000)
            ease = np.concatenate([half, -half])
            sizes = SIZES[self.sizes](ease, rng)
            right = logistic(self.ease + self.spread * ease)
            total += float(sizes @ (right + (1 - right) * self.near * 0.75))
            questions += float(sizes.sum())
        return (1 - self.lost) * total / questions


@dataclass(frozen=True)
class ErrorRates:
    """Character error rates of 1 to 10 fields a document, weighted by their reference's length."""

    loops: float
    """Share of the answers that run on to three times the reference's length."""

    @property
    def name(self) -> str:
        """The population in words."""
        looping = f"; {100 * self.loops:g} % of answers run on" if self.loops > 0 else ""
        return f"character error rate; mean {truth(self):.3f}{looping}"

    def draw(self, documents: int, rng: Rng) -> tuple[Array, Array, NDArray[np.intp]]:
        """Rates, reference lengths and documents of one simulated run."""
        clusters = np.repeat(np.arange(documents), rng.integers(1, 11, documents))
        rate = np.minimum(1.0, np.exp(-2.8 + rng.standard_normal(documents)))[clusters]
        lengths = np.maximum(1.0, np.rint(rng.lognormal(2.5, 0.8, clusters.size)))
        rates = rng.poisson(rate * lengths) / lengths
        return np.where(rng.random(rates.size) < self.loops, 3.0, rates), lengths, clusters

    def mean(self) -> float:
        """The rate over all references, by Gauss–Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(200)
        rate = float(weights @ np.minimum(1.0, np.exp(-2.8 + nodes))) / math.sqrt(2 * math.pi)
        return (1 - self.loops) * rate + 3 * self.loops


Population = Scenario | ErrorRates


@cache
def truth(population: Population) -> float:
    """The population's mean, computed once."""
    return population.mean()


SCENARIOS = (
    Scenario("5", 0.4),
    Scenario("1–10", 2.2),
    Scenario("1–10", 3.6),
    Scenario("1–10", 3.6, spread=2.5),
    Scenario("1–10", 3.0, near=0.9, note="mostly partial scores"),
    Scenario("1–10, mostly few", 2.2),
    Scenario("1–10, mostly few", 3.6),
    Scenario("1–10, more where hard", 2.2),
    Scenario("1–10", 5.0),
)
HARD = (
    Scenario("1 (85 %) or 10", 3.6, spread=2.5, note="a few documents hold most questions"),
    Scenario("5", 4.0, spread=1.0, near=0.5, lost=0.03, note="3 % of documents score 0"),
    Scenario("1–10", 3.0, spread=1.0, near=0.9, lost=0.02, note="2 % of documents score 0"),
    ErrorRates(loops=0.0),
    ErrorRates(loops=0.01),
)


def bootstrap_intervals(totals: ClusterTotals, rng: Rng) -> list[tuple[float, float]]:
    """Percentile, BCa and studentised interval from the same resampled documents."""
    sums, weights, count = totals.sums, totals.weights, totals.count
    mean, error = totals.mean, robust_se(totals)
    if error == 0:
        return [(mean, mean)] * 3
    drawn = rng.integers(0, count, (REPLICATES, count)) + count * np.arange(REPLICATES)[:, None]
    times = np.bincount(drawn.ravel(), minlength=REPLICATES * count).reshape(REPLICATES, count)
    moments = np.stack([sums, weights, sums**2, sums * weights, weights**2], axis=1)
    s, w, ss, sw, ww = (times @ moments).T
    means = s / w
    errors = np.sqrt(np.maximum(ss - 2 * means * sw + means**2 * ww, 0) * count / (count - 1)) / w
    percentile = np.quantile(means, (0.025, 0.975))
    # BCa (Efron 1987): bias from the share below the estimate, acceleration from the jackknife.
    below = (np.sum(means < mean) + np.sum(means == mean) / 2) / REPLICATES
    bias = NORMAL.inv_cdf(min(max(below, 1e-4), 1 - 1e-4))
    left_out = (sums.sum() - sums) / (weights.sum() - weights)
    skew = left_out.mean() - left_out
    acceleration = float((skew**3).sum() / (6 * (skew**2).sum() ** 1.5))
    levels = [NORMAL.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in (-Z, Z)]
    bca = np.quantile(means, levels)
    t = (means - mean) / np.where(errors > 0, errors, np.inf)
    low, high = np.quantile(t, (0.025, 0.975))
    studentised = (mean - high * error, mean - low * error)
    return [(float(a), float(b)) for a, b in (percentile, bca, studentised)]


METHODS = ("naive", "t", "percentile", "BCa", "bootstrap-t", "**log-odds**")


def coverage_cell(job: tuple[Population, int, int, int]) -> tuple[list[float], float]:
    """Coverage in percent by method, and the harness's median width, for one table row."""
    population, documents, simulations, index = job
    rng = np.random.default_rng([SEED, 2, index, documents, *population.name.encode()])
    hits = np.zeros(len(METHODS))
    widths = []
    quantile = student_t_quantile(0.975, documents - 1)
    for _ in range(simulations):
        values, weights, clusters = population.draw(documents, rng)
        estimate = cluster_mean(values, weights, clusters)
        assert estimate.low is not None and estimate.high is not None
        totals = cluster_totals(values, weights, clusters)
        residuals = weights * (values - totals.mean)
        alone = math.sqrt(residuals @ residuals * values.size / (values.size - 1)) / weights.sum()
        naive, robust = Z * alone, quantile * robust_se(totals)
        intervals = [
            (totals.mean - naive, totals.mean + naive),
            (totals.mean - robust, totals.mean + robust),
            *bootstrap_intervals(totals, rng),
            (estimate.low, estimate.high),
        ]
        hits += [low <= truth(population) <= high for low, high in intervals]
        widths.append(estimate.high - estimate.low)
    return (100 * hits / simulations).tolist(), float(np.median(widths))


@dataclass(frozen=True)
class Pair:
    """Two models of the same mean score on the same questions."""

    name: str
    ease: float
    tastes: float
    """Standard deviation, between documents, of the difference of the models' log-odds."""
    shared: float
    """Share of the questions on which the two models have the same luck."""
    sizes: str = "1–10"
    lead: float = 0.0
    """How far the first model's log-odds lie above the second's, on every document."""

    def true_difference(self) -> float:
        """The first model's mean score minus the second's, from two million documents."""
        rng = np.random.default_rng([SEED, 5])
        total = questions = 0.0
        for _ in range(10):
            ease = rng.standard_normal(200_000)
            sizes = SIZES[self.sizes](ease, rng)
            taste = self.tastes / 2 * rng.standard_normal(ease.size)
            for sign in (1, -1):
                right = logistic(self.ease + 1.5 * ease + sign * (taste + self.lead / 2))
                total += sign * float(sizes @ (right + (1 - right) * 0.3 * 0.75))
            questions += float(sizes.sum())
        return total / questions

    def draw(self, documents: int, rng: Rng) -> tuple[Array, Array, NDArray[np.intp]]:
        """Scores of both models and the documents of one simulated run."""
        ease = rng.standard_normal(documents)
        clusters = np.repeat(np.arange(documents), SIZES[self.sizes](ease, rng).astype(int))
        taste = self.tastes / 2 * rng.standard_normal(documents)
        same = rng.random(clusters.size) < self.shared
        scores = []
        first: tuple[Array, Array] | None = None
        for sign in (1, -1):
            luck = rng.random(clusters.size)
            partial = np.where(rng.random(luck.size) < 0.3, rng.uniform(0.5, 1, luck.size), 0.0)
            if first is not None:
                luck, partial = (
                    np.where(same, f, x) for f, x in zip(first, (luck, partial), strict=True)
                )
            first = (luck, partial)
            right = logistic(self.ease + 1.5 * ease + sign * (taste + self.lead / 2))
            scores.append(np.where(luck < right[clusters], 1.0, partial))
        return scores[0], scores[1], clusters


PAIRS = (
    Pair("unrelated luck", 2.2, 0.0, 0.0),
    Pair("different tastes", 2.2, 1.0, 0.5),
    Pair("different tastes", 2.2, 1.0, 0.5, sizes="1–10, mostly few"),
    Pair("different tastes", 2.2, 1.0, 0.5, sizes="1–10, more where hard"),
    Pair("different tastes, mean 0.95", 3.6, 1.0, 0.3),
    Pair("near twins (5 % of answers differ)", 2.2, 0.0, 0.8),
)
TWINS = (
    Pair("near twins, mean 0.95 (2 % differ)", 3.6, 0.0, 0.8),
    Pair("near twins, mean 0.95 (2 % differ)", 3.6, 0.0, 0.8, sizes="1–10, mostly few"),
)
"""So alike that few documents show a difference."""


LEADS = (
    Pair("equal", 2.2, 1.0, 0.5),
    Pair("a little apart", 2.9, 1.0, 0.5, lead=1.4),
    Pair("a little apart", 2.9, 1.0, 0.5, sizes="1", lead=1.4),
    Pair("apart", 1.8, 1.0, 0.5, lead=3.6),
    Pair("apart", 1.8, 1.0, 0.5, sizes="1", lead=3.6),
    Pair("far apart", 0.3, 1.0, 0.0, lead=6.6),
    Pair("far apart", 0.3, 1.0, 0.0, sizes="1", lead=6.6),
    Pair("a few documents hold most questions, apart", 1.8, 1.0, 0.5, "1 (85 %) or 10", lead=3.6),
)
"""Pairs whose true difference lies from 0 to near the end of what is possible."""

LEAD_DOCUMENTS = (5, 10, 30, 100)


def lead_cell(job: tuple[Pair, int, int, int]) -> tuple[float, list[float]]:
    """The true difference; percent of plain t intervals that leave [−1, 1], coverage of both, and power."""
    pair, documents, simulations, index = job
    difference = pair.true_difference()
    rng = np.random.default_rng([SEED, 6, index, documents])
    counts = np.zeros(4)
    for _ in range(simulations):
        a, b, clusters = pair.draw(documents, rng)
        result = paired_difference(a, b, clusters)
        assert result.low is not None and result.high is not None and result.p is not None
        totals = cluster_totals(a - b, None, clusters)
        half = student_t_quantile(0.975, max(1.0, totals.effective - 1)) * robust_se(totals)
        low, high = totals.mean - half, totals.mean + half
        counts += [
            low < -1 or high > 1,
            low <= difference <= high,
            result.low <= difference <= result.high,
            result.p < 0.05,
        ]
    return difference, (100 * counts / simulations).tolist()


def lead_table(pool: ProcessPoolExecutor, scale: int) -> str:
    """Coverage of the intervals of differences."""
    jobs = [
        (pair, documents, 4000 // scale, index)
        for index, pair in enumerate(LEADS)
        for documents in LEAD_DOCUMENTS
    ]
    rows = [
        [
            f"{pair.name}; {pair.sizes}",
            f"{difference:.3f}",
            f"{documents:,}",
            *(f"{share:.1f}" for share in shares),
        ]
        for (pair, documents, _, _), (difference, shares) in zip(
            jobs, pool.map(lead_cell, jobs), strict=True
        )
    ]
    head = [
        "models; questions",
        "true difference",
        "documents",
        "t beyond ±1",
        "plain t",
        "**ours**",
    ]
    return table([*head, "p < 0.05"], rows)


def pair_cell(job: tuple[Pair, int, int, int]) -> tuple[float, float, float]:
    """Percent of false alarms of the unclustered test and of ours; documents that differ."""
    pair, documents, simulations, index = job
    rng = np.random.default_rng([SEED, 3, index, documents])
    naive = ours = differing = 0
    for _ in range(simulations):
        a, b, clusters = pair.draw(documents, rng)
        result = paired_difference(a, b, clusters)
        assert result.p is not None
        naive += paired_ttest(a, b).p < 0.05
        ours += result.p < 0.05
        differing += result.differing
    return 100 * naive / simulations, 100 * ours / simulations, differing / simulations


PLANS = ((0.05, 0.10, 1, 0.0), (0.05, 0.10, 4, 0.2), (0.02, 0.06, 4, 0.2), (0.10, 0.20, 8, 0.5))
"""Difference, discordance, questions per document, intra-cluster correlation."""


def plan_cell(job: tuple[int, int]) -> tuple[int, float]:
    """Documents that the plan asks for and the share of runs of that size that show it."""
    index, simulations = job
    difference, discordance, questions, correlation = PLANS[index]
    variance = discordant_variance(discordance, difference)
    documents = documents_needed(difference, Design(variance, questions, correlation))
    rng = np.random.default_rng([SEED, 4, index])
    better, worse = (discordance + difference) / 2, (discordance - difference) / 2
    shown = 0
    for _ in range(simulations):
        luck = rng.random((documents, questions))
        # A question that repeats its document's luck with probability √ρ is correlated by ρ.
        repeats = rng.random(luck.shape) < math.sqrt(correlation)
        luck = np.where(repeats, rng.random((documents, 1)), luck).ravel()
        a, b = luck < better, luck > 1 - worse
        result = paired_difference(
            a.astype(float), b.astype(float), np.repeat(np.arange(documents), questions)
        )
        shown += result.p is not None and result.p < 0.05
    return documents, 100 * shown / simulations


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def coverage_table(
    pool: ProcessPoolExecutor, populations: tuple[Population, ...], scale: int
) -> str:
    """Coverage of every method, one row for each population and number of documents."""
    jobs = [
        (population, documents, simulations // scale, index)
        for index, population in enumerate(populations)
        for documents, simulations in SIMULATIONS.items()
    ]
    rows = [
        [population.name, f"{documents:,}", *(f"{hit:.1f}" for hit in hits), f"{width:.3f}"]
        for (population, documents, _, _), (hits, width) in zip(
            jobs, pool.map(coverage_cell, jobs), strict=True
        )
    ]
    return table(["population", "documents", *METHODS, "width"], rows)


def pair_table(pool: ProcessPoolExecutor, pairs: tuple[Pair, ...], scale: int) -> str:
    """False alarms of the paired test."""
    jobs = [
        (pair, documents, simulations // scale, index)
        for index, pair in enumerate(pairs)
        for documents, simulations in SIMULATIONS.items()
    ]
    rows = [
        [
            f"{pair.name}; {pair.sizes}",
            f"{documents:,}",
            f"{differing:.0f}",
            f"{naive:.1f}",
            f"{ours:.1f}",
        ]
        for (pair, documents, _, _), (naive, ours, differing) in zip(
            jobs, pool.map(pair_cell, jobs), strict=True
        )
    ]
    head = ["models; questions", "documents", "of them differing", "unclustered t", "**ours**"]
    return table(head, rows)


def plan_table(pool: ProcessPoolExecutor, scale: int) -> str:
    """Power reached at the planned size."""
    jobs = [(index, 2000 // scale) for index in range(len(PLANS))]
    rows = [
        [f"{d:g}", f"{q:g}", f"{m}", f"{r:g}", f"{documents:,}", f"{power:.1f}"]
        for (d, q, m, r), (documents, power) in zip(PLANS, pool.map(plan_cell, jobs), strict=True)
    ]
    head = ["difference", "discordance", "questions", "correlation", "documents", "power"]
    return table(head, rows)


def main() -> None:
    """Simulate, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the simulations")
    parser.add_argument("--write", action="store_true", help=f"update {DOCUMENT.name}")
    makers: dict[str, Callable[[ProcessPoolExecutor, int], str]] = {
        "coverage": lambda pool, scale: coverage_table(pool, SCENARIOS, scale),
        "hard": lambda pool, scale: coverage_table(pool, HARD, scale),
        "differences": lead_table,
        "paired": lambda pool, scale: pair_table(pool, PAIRS, scale),
        "twins": lambda pool, scale: pair_table(pool, TWINS, scale),
        "power": plan_table,
    }
    parser.add_argument("--only", nargs="+", choices=makers, default=list(makers))
    arguments = parser.parse_args()
    scale = 10 if arguments.quick else 1
    with ProcessPoolExecutor(2) as pool:
        tables = {name: makers[name](pool, scale) for name in arguments.only}
    for name, text in tables.items():
        print(f"<!-- {name} -->\n{text}\n<!-- end {name} -->\n")
    if arguments.write:
        page = DOCUMENT.read_text(encoding="utf-8")
        for name, text in tables.items():
            before, rest = page.split(f"<!-- {name} -->\n")
            after = rest.split(f"\n<!-- end {name} -->")[1]
            page = f"{before}<!-- {name} -->\n{text}\n<!-- end {name} -->{after}"
        DOCUMENT.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
