"""How many cores this process may keep busy: its affinity and the limits of its control groups count."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


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
    """Cores that the control groups of this process allow it; None where they do not limit it.

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
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
