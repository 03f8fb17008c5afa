"""Statistics that a reviewer can trust: no number is printed without a sound interval.

Documents, not questions, are counted as evidence throughout. ``docs/statistics.md`` says what every interval
means and how often it was measured to hold the truth. This package imports numpy alone.
"""

from bench.stats.means import CONFIDENCE, cluster_mean
from bench.stats.paired import PairedDifference, holm, mcnemar_exact, paired_difference
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
    "PairedDifference",
    "ScoreBounds",
    "cluster_mean",
    "discordant_variance",
    "documents_needed",
    "holm",
    "mcnemar_exact",
    "minimum_detectable_difference",
    "paired_difference",
    "pilot_design",
    "score_bounds",
]
