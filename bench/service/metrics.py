"""What the service counts, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from bench.service.jobs import ServiceJob
from bench.service.model_process import CallResult

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class ServiceMetrics:
    """The counters of one service. Names and units follow the conventions of Prometheus."""

    def __init__(self) -> None:
        # When each counter began says nothing that the process's own start does not say.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._waiting = Gauge(
            "bench_jobs_waiting", "Jobs that wait for the model", registry=registry
        )
        self._asked = Gauge(
            "bench_jobs_in_progress", "Jobs that are being answered", registry=registry
        )
        self._jobs = Counter("bench_jobs", "Jobs that have ended", ["status"], registry=registry)
        self._latency = Histogram(
            "bench_job_seconds",
            "From accepting a job to its end",
            registry=registry,
            buckets=_SECONDS,
        )
        self._calls = Histogram(
            "bench_call_seconds", "Calls of the model", registry=registry, buckets=_SECONDS
        )
        self._questions = Counter(
            "bench_questions", "Questions in calls of the model", registry=registry
        )
        self._tokens = Counter(
            "bench_tokens", "Tokens read and written", ["kind"], registry=registry
        )
        self._deaths = Counter(
            "bench_model_deaths", "Ends of the model's process", registry=registry
        )
        self._memory = Gauge(
            "bench_model_memory_bytes",
            "Peak memory of the model's process",
            ["kind"],
            registry=registry,
        )
        self._requests = Counter(
            "bench_requests", "HTTP requests", ["method", "path", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "bench_request_seconds",
            "HTTP requests, from their headers to the end of the reply",
            ["path"],
            registry=registry,
            buckets=_SECONDS,
        )

    def page(self) -> bytes:
        """All counters in the text format."""
        return generate_latest(self.registry)

    def watch_queue(self, waiting: Callable[[], int], asked: Callable[[], int]) -> None:
        """Ask how many jobs wait, and how many are being answered, when somebody wants to know."""
        self._waiting.set_function(waiting)
        self._asked.set_function(asked)

    def ended(self, jobs: Sequence[ServiceJob], answered: CallResult | None) -> None:
        """Count jobs that have ended, and the call that answered them."""
        now = time.time()
        for job in jobs:
            self._jobs.labels(job.status).inc()
            self._latency.observe(max(0.0, now - job.created))
            output = job.output
            if output is not None:
                self._tokens.labels("prompt").inc(output.prompt_tokens or 0)
                self._tokens.labels("visual").inc(output.visual_tokens or 0)
                self._tokens.labels("generated").inc(output.generated_tokens or 0)
        if answered is not None:
            self._calls.observe(answered.seconds)
            self._questions.inc(len(jobs))
            for kind, size in answered.memory.items():
                if size is not None:
                    self._memory.labels(kind.removeprefix("peak_")).set(size)

    def died(self) -> None:
        """Count an end of the model's process."""
        self._deaths.inc()

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count an HTTP request; ``path`` is that of the route, so that there are few of them."""
        self._requests.labels(method, path, status).inc()
        self._request_seconds.labels(path).observe(seconds)
