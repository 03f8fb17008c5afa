"""How a model's process uses the processor: how many threads, and what they do while they wait.

OpenMP's threads by default spin while they wait for each other. On a quiet machine that saves microseconds;
where other work wants the processor, threads spin while those that they wait for cannot run, and a model
takes several times as long. So the threads of a model's process sleep, and there are as many as there are
cores for this process: its affinity and the limit of its control group count, which OpenMP does not read.
What a person has set stays as it is.

Measured on two cores (``benchmarks/threads.py``, 79 questions to the bundled nano, two threads): spinning
took 129 s where sleeping took 2.6 s at a load average of 11, and 4.5 s where it took 1.3 s at one of 3. In
quiet moments a product of 0.2 ms takes 1.4 to 1.9 times as long as with spinning threads, which is no longer
than with one thread, and a product of 10 ms takes as long.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from bench.measure.cores import usable_cores

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables that say what a waiting thread does."""


def thread_environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a process that computes on this processor should find in its environment, beside ``given``."""
    environment = {}
    if not any(name in given for name in WAITING):
        environment["OMP_WAIT_POLICY"] = "passive"
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
    return {name: given[name] for name in ("OMP_NUM_THREADS", *WAITING) if name in given}
