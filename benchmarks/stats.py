"""How long the statistics of a large run take.

python benchmarks/stats.py
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from bench.stats import CONFIDENCE, cluster_mean, paired_difference
from workshop.conformance.reference_statistics import cluster_bootstrap_interval

SCORES = 50_000


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The shortest of ``repeats`` runs: the others were disturbed."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def import_seconds(module: str) -> float:
    """A fresh interpreter that imports ``module``."""
    return seconds(lambda: subprocess.run([sys.executable, "-c", f"import {module}"], check=True))


def main() -> None:
    """Time and print."""
    rng = np.random.default_rng(0)
    first, second = rng.random(SCORES), rng.random(SCORES)
    print(f"{SCORES:,} scores, {CONFIDENCE:.0%} intervals")
    for documents in (1_000, 12_000, SCORES):
        clusters = [f"document-{i % documents:05d}" for i in range(SCORES)]
        taken = {
            "cluster bootstrap, 10,000 replicates": seconds(
                lambda c=clusters: cluster_bootstrap_interval(first, c, seed=1)  # type: ignore[misc]
            ),
            "cluster_mean": seconds(lambda c=clusters: cluster_mean(first, None, c)),  # type: ignore[misc]
            "paired_difference": seconds(
                lambda c=clusters: paired_difference(first, second, c)  # type: ignore[misc]
            ),
        }
        for name, value in taken.items():
            print(f"{documents:>7,} documents  {name:<38} {value:7.3f} s")
    for module in ("numpy", "bench.stats"):
        print(f"import {module:<40} {import_seconds(module):7.3f} s")


if __name__ == "__main__":
    main()
