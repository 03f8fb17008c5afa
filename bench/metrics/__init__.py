"""Metrics: pure functions from an answer and its references to a number, and the table that names them.

``METRICS`` and ``get_metric`` are the way in; ``extract`` prepares the answer. Importing this package is
cheap: libraries are loaded when a metric is first used.
"""

from bench.metrics.extract import Extraction, extract
from bench.metrics.metric import Metric, MetricValue
from bench.metrics.table import METRICS, get_metric, score_failed

__all__ = [
    "METRICS",
    "Extraction",
    "Metric",
    "MetricValue",
    "extract",
    "get_metric",
    "score_failed",
]
