"""What can change a score or a speed: software, processor, memory, GPUs, and the state of the checkout."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import bench
from bench.measure.nvml import ask, devices, driver

PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "bitsandbytes",
    "gptqmodel",
    "optimum",
    "flash-attn",
    "tokenizers",
    "pillow",
    "pypdfium2",
    "rapidocr",
    "onnxruntime",
    "rapidfuzz",
    "jiwer",
    "numpy",
    "scipy",
)
"""Packages that make an answer, a score or a speed: the model's, those that draw pages, and the metrics'."""

VARIABLES = (
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "OMP_NUM_THREADS",
)
"""Environment variables that change a speed, a memory figure, or which GPU is used."""


def environment() -> dict[str, Any]:
    """What ``run.json`` and ``tune.json`` say of the machine and of the software."""
    import psutil

    return {
        "bench": bench.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": gpus(),
        "cuda": _cuda_version(),
        "packages": _versions(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "git": _git_state(),
    }


def gpus() -> list[dict[str, Any]]:
    """Every GPU that the driver counts, in the order of their numbers; empty without a driver.

    Each has a ``name``, and as far as the driver says ``uuid``, ``memory_bytes``, ``free_bytes``, ``driver``.
    """
    with driver() as nvml:
        if nvml is None:
            return []
        version = ask(nvml, "nvmlSystemGetDriverVersion")
        return [_gpu(nvml, handle, version) for handle in devices(nvml)]


def visible_gpus() -> list[str] | None:
    """The GPUs that ``CUDA_VISIBLE_DEVICES`` leaves, in its own words; None where it is not set.

    As CUDA does, this stops at the first word that names no GPU, and finds none where one is named twice.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return None
    words: list[str] = []
    for word in map(str.strip, chosen.split(",")):
        if word in words:
            return []
        if not _CUDA_WORD.fullmatch(word):
            break
        words.append(word)
    return words


_CUDA_WORD = re.compile(r"[0-9]+|GPU-.+|MIG-.+")
"""A number, or a unique name or the beginning of one."""


def _gpu(nvml: Any, handle: Any, version: str | None) -> dict[str, Any]:
    name = uuid = memory = None
    if handle is not None:
        name = ask(nvml, "nvmlDeviceGetName", handle)
        uuid = ask(nvml, "nvmlDeviceGetUUID", handle)
        # A GPU that shares the main memory has no figure of its own.
        memory = ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    facts: dict[str, Any] = {"name": name or "GPU without a name"}
    if uuid is not None:
        facts["uuid"] = uuid
    if memory is not None:
        facts |= {"memory_bytes": int(memory.total), "free_bytes": int(memory.free)}
    if version is not None:
        facts["driver"] = version
    return facts


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _cuda_version() -> str | None:
    """The newest CUDA version that the driver runs, such as 12.4."""
    with driver() as nvml:
        number = None if nvml is None else ask(nvml, "nvmlSystemGetCudaDriverVersion")
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git_state() -> dict[str, Any] | None:
    """The commit of the checkout that this package runs from, and whether it was changed; None elsewhere.

    A container image has no checkout; its build may leave the commit in ``BENCH_REVISION``.
    """
    revision = os.environ.get("BENCH_REVISION", "unknown")
    if revision != "unknown":
        return {"commit": revision, "dirty": False}
    root = Path(bench.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
