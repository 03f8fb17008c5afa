"""Statistics that a reviewer can trust: no number is printed without a sound interval.

The document is the cluster throughout; ``docs/statistics.md`` says what every interval means and
how well it was measured to cover. Numpy is all that is imported.
"""

from bench.stats.bootstrap import (
    RANDOM_GENERATOR,
    BootstrapInterval,
    cluster_bootstrap_interval,
)
from bench.stats.means import (
    FEW_CLUSTERS,
    cluster_mean,
    cluster_robust_se,
    clustered_se_miller,
    naive_se,
)
from bench.stats.paired import (
    ChiSquare,
    PairedDifference,
    PairedTTest,
    holm,
    mcnemar_chi_square,
    mcnemar_exact,
    paired_difference,
    paired_ttest,
)
from bench.stats.planning import (
    Design,
    ScoreBounds,
    discordant_variance,
    documents_needed,
    minimum_detectable_difference,
    paired_variance,
    pilot_design,
    score_bounds,
)
from bench.stats.proportions import CONFIDENCE, Interval, clopper_pearson, wald, wilson

__all__ = [
    "CONFIDENCE",
    "FEW_CLUSTERS",
    "RANDOM_GENERATOR",
    "BootstrapInterval",
    "ChiSquare",
    "Design",
    "Interval",
    "PairedDifference",
    "PairedTTest",
    "ScoreBounds",
    "clopper_pearson",
    "cluster_bootstrap_interval",
    "cluster_mean",
    "cluster_robust_se",
    "clustered_se_miller",
    "discordant_variance",
    "documents_needed",
    "holm",
    "mcnemar_chi_square",
    "mcnemar_exact",
    "minimum_detectable_difference",
    "naive_se",
    "paired_difference",
    "paired_ttest",
    "paired_variance",
    "pilot_design",
    "score_bounds",
    "wald",
    "wilson",
]
