"""What a run measures about the machine it runs on: environment, memory, time.

Terms are exact. ``allocated`` and ``reserved`` are torch's caching allocator on CUDA; ``process`` is what
the driver (NVML) accounts to this process, sampled, context and libraries included; ``rss`` is the
process's resident set in main memory. Bytes and seconds throughout.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import bench

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


class Memory(NamedTuple):
    """Bytes; None where the device or the driver has no such number."""

    peak_allocated: int | None
    peak_reserved: int | None
    peak_process: int | None
    peak_rss: int


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
    with _nvml() as nvml:
        if nvml is None:
            return []
        driver = nvml.nvmlSystemGetDriverVersion()
        found = []
        for handle in _handles(nvml):
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            found.append(
                {
                    "name": nvml.nvmlDeviceGetName(handle),
                    "memory_bytes": int(memory.total),
                    "free_bytes": int(memory.free),
                    "driver": driver,
                }
            )
        return found


class MemoryMeter:
    """Peak memory of this process; the driver's number is sampled, the others are exact.

    A context manager. ``reading()`` gives the peaks since the start, or since ``restart()``.
    """

    def __init__(self, *, interval: float = 0.05) -> None:
        """``interval`` is the seconds between two samples of the driver's number."""
        self._interval = interval
        self._stop = threading.Event()
        self._peak_process: int | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> MemoryMeter:
        if gpus():
            self._thread = threading.Thread(target=self._sample, name="memory-meter", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def restart(self) -> None:
        """Forget the peaks so far. The resident set's peak is the kernel's and cannot be forgotten."""
        self._peak_process = None
        if (torch := _torch_with_cuda()) is not None:
            torch.cuda.reset_peak_memory_stats()

    def reading(self) -> Memory:
        """The peaks so far, bytes."""
        torch = _torch_with_cuda()
        return Memory(
            peak_allocated=int(torch.cuda.max_memory_allocated()) if torch else None,
            peak_reserved=int(torch.cuda.max_memory_reserved()) if torch else None,
            peak_process=self._peak_process,
            peak_rss=peak_rss(),
        )

    def _sample(self) -> None:
        with _nvml() as nvml:
            if nvml is None:
                return
            handles = _handles(nvml)
            while not self._stop.wait(self._interval):
                used = sum(_process_bytes(nvml, handle) for handle in handles)
                if used:
                    self._peak_process = max(self._peak_process or 0, used)


def memory_now() -> dict[str, int | None]:
    """Bytes held at this moment: ``allocated``, ``reserved``, ``process``, ``rss``."""
    import psutil

    torch = _torch_with_cuda()
    process: int | None = None
    with _nvml() as nvml:
        if nvml is not None:
            process = sum(_process_bytes(nvml, handle) for handle in _handles(nvml)) or None
    return {
        "allocated": int(torch.cuda.memory_allocated()) if torch else None,
        "reserved": int(torch.cuda.memory_reserved()) if torch else None,
        "process": process,
        "rss": int(psutil.Process().memory_info().rss),
    }


def peak_rss() -> int:
    """The largest resident set that this process ever had, bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        # getrusage would count the parent's pages too: a forked child inherits its peak.
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # getrusage counts kibibytes on Linux and bytes on macOS.
    return peak if sys.platform == "darwin" else peak * 1024


def _handles(nvml: Any) -> list[Any]:
    return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]


def _process_bytes(nvml: Any, handle: Any) -> int:
    """What the driver accounts to this process on one GPU; 0 where it does not say."""
    try:
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        return 0
    # Inside a container the driver may report another PID namespace, and no memory at all.
    return sum(int(p.usedGpuMemory or 0) for p in processes if p.pid == os.getpid())


@contextlib.contextmanager
def _nvml() -> Any:
    """The initialised NVML module, or None where there is no NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _torch_with_cuda() -> Any:
    """The torch module where this process has loaded it and it sees a GPU; never imported for a number."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return torch


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _cuda_version() -> str | None:
    """The driver's CUDA version, as 12.4."""
    with _nvml() as nvml:
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


def release_memory() -> None:
    """Give cached device memory back after an allocation failed, so that a smaller batch may fit."""
    gc.collect()
    if (torch := _torch_with_cuda()) is not None:
        torch.cuda.empty_cache()
