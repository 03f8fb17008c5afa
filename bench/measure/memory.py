"""Peak memory of this process, and what a GPU has free, in bytes.

``allocated`` and ``reserved`` are what torch's caching allocator says on CUDA. ``process`` is what the
driver (NVML) accounts to this process, with its context and libraries; it is sampled. ``rss`` is the
process's resident set in main memory.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import resource
import sys
import threading
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.measure.environment import gpus
from bench.measure.nvml import ask, devices, driver, handles_in_use, torch_with_cuda


class Memory(NamedTuple):
    """Bytes; None if the device or the driver has no such number."""

    peak_allocated: int | None
    peak_reserved: int | None
    peak_process: int | None
    peak_rss: int


class MemoryMeter:
    """Measures the peak memory of this process; the driver's figure is sampled, the others are exact.

    A context manager. ``reading()`` gives the peaks since the start, or since ``restart()``.
    """

    def __init__(self, *, interval: float = 0.2) -> None:
        """``interval`` is the time in seconds between two samples of the driver's figure.

        torch keeps what it has allocated, so that a peak of the driver's figure does not pass in between.
        """
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
        """Forget the peaks so far, except that of the resident set, which only the kernel could reset."""
        self._peak_process = None
        if (torch := torch_with_cuda()) is not None:
            for index in range(torch.cuda.device_count()):
                torch.cuda.reset_peak_memory_stats(index)

    def reading(self) -> Memory:
        """The peaks so far, bytes."""
        torch = torch_with_cuda()
        return Memory(
            peak_allocated=_on_all_gpus(torch, "max_memory_allocated") if torch else None,
            peak_reserved=_on_all_gpus(torch, "max_memory_reserved") if torch else None,
            peak_process=self._peak_process,
            peak_rss=peak_rss(),
        )

    def _sample(self) -> None:
        with driver() as nvml:
            if nvml is None:
                return
            while not self._stop.wait(self._interval):
                used = _process_bytes(nvml)
                if used is not None:
                    self._peak_process = max(self._peak_process or 0, used)


def memory_now() -> dict[str, int | None]:
    """The bytes that this process holds at this moment: ``allocated``, ``reserved``, ``process``, ``rss``."""
    import psutil

    torch = torch_with_cuda()
    with driver() as nvml:
        process = None if nvml is None else _process_bytes(nvml)
    return {
        "allocated": _on_all_gpus(torch, "memory_allocated") if torch else None,
        "reserved": _on_all_gpus(torch, "memory_reserved") if torch else None,
        "process": process,
        "rss": int(psutil.Process().memory_info().rss),
    }


def processes_memory(processes: Collection[int]) -> dict[str, int]:
    """What other processes hold at this moment, by the names of ``Memory``; empty if nothing is known.

    Resident sets are added up, so pages that several of the processes share are counted more than once.
    """
    import psutil

    resident = 0
    for number in processes:
        with contextlib.suppress(psutil.Error):
            resident += int(psutil.Process(number).memory_info().rss)
    with driver() as nvml:
        on_gpus = 0 if nvml is None else _driver_bytes(nvml, filter(None, devices(nvml)), processes)
    known = {"peak_process": on_gpus, "peak_rss": resident}
    return {kind: size for kind, size in known.items() if size > 0}


def _on_all_gpus(torch: Any, figure: str) -> int:
    """A figure of torch's allocator, added up over the GPUs that this process sees.

    A model may be on another GPU than the first, or on several. Their peaks need not fall on one moment.
    """
    read = getattr(torch.cuda, figure)
    return sum(int(read(index)) for index in range(torch.cuda.device_count()))


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


def free_gpu_memory(device: str = "auto") -> int | None:
    """Bytes that are free on the GPU that torch calls ``device``; None where torch would use no GPU.

    The driver's list will not do: torch may be too new for the driver and see no GPU at all, and it counts
    what ``CUDA_VISIBLE_DEVICES`` leaves, in an order of its own.

    Args:
        device: ``auto`` or ``cuda`` for the first GPU that torch sees, ``cuda:1`` for the second, ``cpu``.
    """
    if device == "cpu" or importlib.util.find_spec("torch") is None:
        return None
    import torch

    try:
        number = torch.device("cuda" if device == "auto" else device).index or 0
        if not torch.cuda.is_available() or number >= torch.cuda.device_count():
            return None
        free, _ = torch.cuda.mem_get_info(number)
    except RuntimeError:
        # No name of a device, or a GPU that is lost or that another process has for itself: an error will
        # say so when the device is used.
        return None
    return int(free)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause Python's search for cycles of objects while millions of records are made, which form none.

    The search looks at all of them again and again: a tenth of the time of scoring. It also decorates.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def release_memory() -> None:
    """Give cached device memory back after an allocation failed, so that a smaller batch may fit."""
    gc.collect()
    if (torch := torch_with_cuda()) is not None:
        torch.cuda.empty_cache()


def _process_bytes(nvml: Any) -> int | None:
    """What the driver accounts to this process on the GPUs that it uses; None where it does not say."""
    return _driver_bytes(nvml, handles_in_use(nvml, torch_with_cuda()), {os.getpid()}) or None


def _driver_bytes(nvml: Any, handles: Iterable[Any], processes: Collection[int]) -> int:
    """What the driver accounts to ``processes`` on the GPUs of ``handles``."""
    used = 0
    for handle in handles:
        running = ask(nvml, "nvmlDeviceGetComputeRunningProcesses", handle) or []
        # Inside a container the driver may report another PID namespace, and no memory at all.
        used += sum(int(p.usedGpuMemory or 0) for p in running if p.pid in processes)
    return used
