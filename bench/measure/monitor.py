"""What the devices did while a model was measured: clocks, heat, power, load, other processes.

A thread samples once a second. Whatever a driver or a system does not say is None: a virtual GPU has no
temperature, a container no foreign processes.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bench.errors import EnvironmentProblem
from bench.measure.nvml import driver, torch_with_cuda

INTERVAL = 1.0
"""Seconds between two samples."""
FLUSH = 10
"""Samples that are written together; a kill loses at most as many."""

THROTTLES: Mapping[int, str] = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "heat, by the driver",
    0x40: "heat, by the hardware",
    0x80: "power brake",
}
"""Bits of NVML's clocks event reasons that mean slower than the GPU could be; being idle, and clocks that
somebody has set, are none of them."""

Write = Callable[[Sequence[Mapping[str, Any]]], None]


class Gpu:
    """One GPU."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        """``nvml`` is the initialised module, ``handle`` its name for the GPU."""
        self._nvml, self._handle = nvml, handle

    def sample(self) -> dict[str, Any]:
        """Clocks (MHz), ``celsius``, ``watts``, ``utilization`` (0 to 1), ``throttled``, other processes."""
        nvml = self._nvml
        milliwatts = self._ask("nvmlDeviceGetPowerUsage")
        rates = self._ask("nvmlDeviceGetUtilizationRates")
        return {
            "sm_mhz": self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
            "memory_mhz": self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
            "celsius": self._ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
            "watts": None if milliwatts is None else milliwatts / 1000,
            "utilization": None if rates is None else rates.gpu / 100,
            "throttled": self._throttled(),
            **self._others(),
        }

    def joules(self) -> float | None:
        """What the GPU has taken since the driver was loaded; None before the Volta generation."""
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules / 1000

    def _throttled(self) -> list[str] | None:
        bits = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is None:
            # The name that drivers before 535 know.
            bits = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        return None if bits is None else [name for bit, name in THROTTLES.items() if bits & bit]

    def _others(self) -> dict[str, int | None]:
        """Other processes that compute on this GPU, and the bytes they hold."""
        running = self._ask("nvmlDeviceGetComputeRunningProcesses")
        if not running:
            # This process at least holds memory on it, so an empty list says nothing.
            return {"others": None, "other_bytes": None}
        others = [process for process in running if process.pid != os.getpid()]
        if len(others) == len(running):
            # Numbered by another PID namespace (a container): one of them is this process, none says which.
            return {"others": max(0, len(others) - 1), "other_bytes": None}
        held = [process.usedGpuMemory for process in others]
        return {
            "others": len(others),
            "other_bytes": None if None in held else sum(int(size) for size in held),
        }

    def _ask(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._nvml, name)(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None


class Cpu:
    """The processor: its clock, and what others compute on it."""

    def __init__(self) -> None:
        import psutil

        self._system, self._process = psutil, psutil.Process()
        self._last = self._read()

    def sample(self) -> dict[str, Any]:
        """``mhz``, ``cores``, and ``other_cores``: busy with other processes since the last sample."""
        (total, busy, own), last = self._read(), self._last
        self._last = (total, busy, own)
        cores = self._system.cpu_count() or 1
        # The system's processor seconds of all cores, so that no clock has to be read at the same moment.
        passed = (total - last[0]) / cores
        others = (busy - last[1]) - (own - last[2])
        return {
            "mhz": self._mhz(),
            "cores": cores,
            "other_cores": max(0.0, others / passed) if passed > 0 else None,
        }

    def _mhz(self) -> float | None:
        try:
            frequency = self._system.cpu_freq()
        except (NotImplementedError, OSError):
            # As psutil does on virtual machines that have the folder and not the file.
            return None
        return None if frequency is None else frequency.current or None

    def _read(self) -> tuple[float, float, float]:
        """Processor seconds since the system began: all, not idle, and this process's."""
        times = self._system.cpu_times()._asdict()
        # Time of guests is counted as their host's user time already.
        parts = {name: value for name, value in times.items() if not name.startswith("guest")}
        idle = parts["idle"] + parts.get("iowait", 0.0)
        own = self._process.cpu_times()
        return sum(parts.values()), sum(parts.values()) - idle, own.user + own.system


class Monitor:
    """Samples from a thread while a scenario is named. A context manager."""

    def __init__(
        self,
        write: Write,
        gpus: Sequence[Gpu] = (),
        *,
        alone: bool = True,
        interval: float = INTERVAL,
    ) -> None:
        """Prepare to sample.

        Args:
            write: takes samples, a few at a time, from the thread.
            gpus: those that the model is on.
            alone: False where other processes of the same run compute beside this one, so that what is
                busy says nothing about others.
            interval: seconds between two samples.
        """
        self.scenario: str | None = None
        """What is being measured, which each sample says; None: nothing, and nothing is sampled."""
        self._write, self._gpus, self._alone, self._interval = write, gpus, alone, interval
        self._cpu = Cpu()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)

    def __enter__(self) -> Monitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def joules(self) -> float | None:
        """What the model's GPUs have taken, together; None where there is none, or one does not say."""
        found = [gpu.joules() for gpu in self._gpus]
        return sum(j for j in found if j is not None) if found and None not in found else None

    def sample(self) -> dict[str, Any]:
        """The devices at this moment."""
        cpu = self._cpu.sample()
        if not self._alone:
            cpu["other_cores"] = None
        return {
            "scenario": self.scenario,
            "cpu": cpu,
            "gpus": [gpu.sample() for gpu in self._gpus],
        }

    def _watch(self) -> None:
        samples: list[dict[str, Any]] = []
        # A full disk stops the run where it writes its answers, with the same words.
        with contextlib.suppress(EnvironmentProblem):
            while not self._stop.wait(self._interval):
                found = self.sample()
                if found["scenario"] is not None:
                    samples.append(found)
                if len(samples) >= FLUSH:
                    self._write(samples)
                    samples = []
            if samples:
                self._write(samples)


@contextlib.contextmanager
def watch(write: Write, *, alone: bool) -> Iterator[Monitor]:
    """A monitor of the processor and of the GPUs that this process holds memory on; see ``Monitor``."""
    with (
        driver() as nvml,
        Monitor(write, gpus_in_use(nvml, torch_with_cuda()), alone=alone) as monitor,
    ):
        yield monitor


def gpus_in_use(nvml: Any, torch: Any) -> list[Gpu]:
    """The GPUs on which torch holds memory; none where either module is missing.

    By their unique names: torch and the driver may number them differently.
    """
    if nvml is None or torch is None:
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        if torch.cuda.memory_reserved(index) == 0:
            continue
        name = torch.cuda.get_device_properties(index).uuid
        for kind in ("GPU", "MIG"):
            with contextlib.suppress(nvml.NVMLError):
                found.append(Gpu(nvml, nvml.nvmlDeviceGetHandleByUUID(f"{kind}-{name}")))
                break
    return found
