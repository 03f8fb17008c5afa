"""How a model's process uses the processor: how many threads, and what they do while they wait.

OpenMP's threads by default spin while they wait for each other. On a quiet machine that saves microseconds;
where other work wants the processor, threads spin while those that they wait for cannot run, and a model
takes several times as long. So the threads of a model's process sleep, and there are as many as there are
cores for this process: its affinity and the limit of its control group count, which OpenMP does not read.
What a person has set stays as it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables that say what a waiting thread does."""

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


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


def usable_cores() -> int:
    """Cores that this process may keep busy; at least one.

    A limit of one and a half cores is one: two threads would be stopped for a third of the time, and each
    would wait for the other.
    """
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    limit = cgroup_cores()
    return allowed if limit is None else max(1, min(allowed, int(limit)))


def cgroup_cores(root: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> float | None:
    """Cores that the control groups of this process allow it; None if they do not limit it.

    Both versions of control groups are read, and every group above the process's own: the least counts.
    """
    limits = []
    for line in _read(own).splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            folders = [root]
        elif "cpu" in controllers.split(","):
            folders = [root / controllers, root / "cpu"]
        else:
            continue
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        for folder in folders:
            groups = [folder.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
            limits += [_limit(group) for group in groups]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def _limit(folder: Path) -> float | None:
    """Cores that one control group allows."""
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    if not quota:
        quota = _read(folder / "cpu.cfs_quota_us").strip()
        period = _read(folder / "cpu.cfs_period_us").strip()
    if not (quota.isdigit() and period.isdigit() and int(period) > 0):
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
