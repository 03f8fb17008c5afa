"""Statistics that a reviewer can trust: nothing is printed without an interval.

Numpy alone is imported here; scipy's special functions are imported where they are used.
"""

from bench.stats.comparisons import PairedDifference, holm, paired_difference
from bench.stats.means import Interval, cluster_mean, cluster_robust_se

RANDOM_GENERATOR = "numpy.random.PCG64"
"""What every function that takes a ``seed`` draws from; the run record stores it."""

__all__ = [
    "RANDOM_GENERATOR",
    "Interval",
    "PairedDifference",
    "cluster_mean",
    "cluster_robust_se",
    "holm",
    "paired_difference",
]
