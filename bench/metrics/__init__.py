"""Scores an answer against its references: pure functions, and the table that names them.

Start with ``METRICS`` and ``get_metric``; ``extract`` prepares the answer. The import of this package is
cheap, because a metric loads its libraries when it is first used.
"""

from bench.metrics.metric import Metric
from bench.metrics.table import METRICS, get_metric, score_failed

__all__ = [
    "METRICS",
    "Metric",
    "get_metric",
    "score_failed",
]
