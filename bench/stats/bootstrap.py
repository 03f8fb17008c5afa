"""The cluster bootstrap: whole documents, with all their questions, are drawn with replacement.

Every resample is a function of ``seed`` alone: the work is cut into blocks of a fixed size, each
with its own child of the seed, so neither the number of threads nor the machine's memory matters.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from bench.errors import InvalidInput
from bench.stats.clusters import Array, ClusterTotals, Ids, Numbers, cluster_totals

RANDOM_GENERATOR = "numpy.random.PCG64"
"""What every function of this package that takes a ``seed`` draws from."""

REPLICATES = 10_000
"""Resamples: the ends of a 95 % interval then move by about 1 % of its width from seed to seed."""

_BLOCK = 1 << 20
"""Documents drawn in one block: its indices and sums stay near the processor (24 MiB)."""

_THREADS = 2


class BootstrapInterval(NamedTuple):
    """Percentile interval and standard error from resampled documents."""

    low: float
    high: float
    standard_error: float


def cluster_bootstrap_interval(
    values: Numbers,
    clusters: Ids,
    weights: Numbers | None = None,
    *,
    seed: int,
    replicates: int = REPLICATES,
    confidence: float = 0.95,
) -> BootstrapInterval:
    """Percentile interval of the (weighted) mean over resampled documents.

    Too narrow for few documents or means near 0 or 1; ``cluster_mean`` does better.

    Raises:
        InvalidInput: no row has a value, columns differ in length, or ``replicates`` is below 2.
    """
    totals = cluster_totals(values, weights, clusters)
    if totals.count == 0:
        raise InvalidInput("the bootstrap needs at least one scored row, got none")
    means = resample(totals, replicates, seed)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return BootstrapInterval(float(low), float(high), float(means.std(ddof=1)))


def resample(totals: ClusterTotals, replicates: int, seed: int) -> Array:
    """Means of ``replicates`` resamples of the documents, shape (replicates,).

    Raises:
        InvalidInput: ``replicates`` is below 2 or ``seed`` below 0.
    """
    if replicates < 2 or seed < 0:
        raise InvalidInput(
            f"the bootstrap needs 2 or more replicates and a seed from 0, "
            f"got {replicates} replicates and seed {seed}"
        )
    rows = max(1, _BLOCK // totals.count)
    sizes = [min(rows, replicates - start) for start in range(0, replicates, rows)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    # Sum and weight travel as one complex number: each document drawn is then one look-up.
    pairs = totals.sums + 1j * totals.weights

    def block(child: np.random.SeedSequence, size: int) -> Array:
        generator = np.random.Generator(np.random.PCG64(child))
        drawn = generator.integers(0, totals.count, size=(size, totals.count))
        sums = pairs.take(drawn).sum(axis=1)
        means: Array = sums.real / sums.imag
        return means

    with ThreadPoolExecutor(_THREADS) as pool:
        return np.concatenate(list(pool.map(block, seeds, sizes)))
