"""What the numbers were made with: software, processor, memory, GPUs, state of the checkout."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import bench
from bench.measure.nvml import devices, driver

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
    "safetensors",
    "datasets",
    "pillow",
    "pypdfium2",
    "rapidocr",
    "onnxruntime",
    "rapidfuzz",
    "jiwer",
    "anls_star",
    "numpy",
    "scipy",
    "pandas",
)
"""Packages whose version can change an answer, a score or a speed."""


VARIABLES = (
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "OMP_NUM_THREADS",
    "HF_HUB_OFFLINE",
)
"""Environment variables that change a speed or a memory figure."""


def environment() -> dict[str, Any]:
    """What the numbers were made with: software, processor, memory, GPUs, state of the checkout."""
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
    """Name, memory and driver of every GPU that the driver shows; empty without a driver."""
    with driver() as nvml:
        if nvml is None:
            return []
        version = nvml.nvmlSystemGetDriverVersion()
        found = []
        for handle in devices(nvml):
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            found.append(
                {
                    "name": nvml.nvmlDeviceGetName(handle),
                    "memory_bytes": int(memory.total),
                    "free_bytes": int(memory.free),
                    "driver": version,
                }
            )
        return found


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _cuda_version() -> str | None:
    """The driver's CUDA version, as 12.4."""
    with driver() as nvml:
        if nvml is None:
            return None
        number = nvml.nvmlSystemGetCudaDriverVersion()
        return f"{number // 1000}.{number % 1000 // 10}"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git_state() -> dict[str, Any] | None:
    """Commit of the checkout this package runs from, and whether it was changed; None elsewhere.

    An image has no checkout; its build may leave the commit in ``BENCH_REVISION``.
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
