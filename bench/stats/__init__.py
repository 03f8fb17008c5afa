"""Computes the intervals, tests and sample sizes that a reviewer can trust.

All of them count documents, not questions, as evidence. ``docs/statistics.md`` says what every interval
means, and ``benchmarks/coverage.md`` how often it contains the true mean. This package imports numpy alone.
"""

from bench.stats.clusters import PairedWeights, balanced
from bench.stats.means import CONFIDENCE, cluster_mean
from bench.stats.noninferiority import Loss, paired_loss
from bench.stats.paired import (
    PairedDifference,
    holm,
    mcnemar_exact,
    paired_difference,
    sign_flip_test,
)
from bench.stats.planning import (
    Design,
    ScoreBounds,
    discordant_variance,
    documents_needed,
    minimum_detectable_difference,
    pilot_design,
    score_bounds,
)

__all__ = [
    "CONFIDENCE",
    "Design",
    "Loss",
    "PairedDifference",
    "PairedWeights",
    "ScoreBounds",
    "balanced",
    "cluster_mean",
    "discordant_variance",
    "documents_needed",
    "holm",
    "mcnemar_exact",
    "minimum_detectable_difference",
    "paired_difference",
    "paired_loss",
    "pilot_design",
    "score_bounds",
    "sign_flip_test",
]
