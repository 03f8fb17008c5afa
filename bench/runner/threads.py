"""How a model's process uses the processor: how many threads, and what they do while they wait.

OpenMP's threads by default spin while they wait for each other, for milliseconds. On a quiet machine that
saves microseconds; where other work wants the processor, threads spin while those that they wait for cannot
run, and a model takes several times as long. So the threads of a model's process spin only briefly before
they sleep, and there are as many as there are cores for this process: its affinity and the limit of its
control group count, which OpenMP does not read. What a person has set stays as it is.

Measured on two cores: seconds for 79 questions to the bundled nano with two threads. The quiet rows are from
``benchmarks/threads.py``, twice; the busy ones are single runs of the same work.

=====================  ==============  ================  ============
machine                as OpenMP does  sleeping at once  a short spin
=====================  ==============  ================  ============
quiet                  0.67, 0.80      1.32, 1.35        0.67, 0.88
four busy processes    not tried       3.9               3.4
load average of 11     129             2.6               not tried
=====================  ==============  ================  ============
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from bench.measure.cores import usable_cores

COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that say how many threads there are; in torch the second one wins."""

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables that say what a waiting thread does."""

SHORT_SPIN = "1000"
"""Turns that a thread of GNU OpenMP, which torch brings on Linux, spins before it sleeps: some microseconds,
as long as the others take from one product to the next. By default it is 300,000."""


def thread_environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a process that computes on this processor should find in its environment, beside ``given``."""
    environment = {}
    if not any(name in given for name in WAITING):
        environment["GOMP_SPINCOUNT"] = SHORT_SPIN
    if "OMP_NUM_THREADS" not in given:
        environment["OMP_NUM_THREADS"] = str(usable_cores())
    return environment


def set_threads() -> None:
    """Give this process, which is going to compute itself, its ``thread_environment``.

    OpenMP reads it once, when torch is first imported; afterwards this does nothing.
    """
    if "torch" not in sys.modules:
        os.environ.update(thread_environment())


def thread_record(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What of this is in force in a process whose environment is ``given``, for the record of a run."""
    return {name: given[name] for name in (*COUNTS, *WAITING) if name in given}
