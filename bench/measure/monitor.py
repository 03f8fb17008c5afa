"""What the devices did while a model was measured: clocks, heat, power, load, and other processes.

A thread samples once a second. What the driver or the system does not say is None: a virtual GPU has no
temperature, and a container may not show other processes.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bench.errors import EnvironmentProblem
from bench.measure.nvml import ask, driver, handles_in_use, torch_with_cuda

INTERVAL = 1.0
"""The time between two samples, in seconds."""
FLUSH = 10
"""Samples that are written together; a process that is killed loses at most so many."""

THROTTLES: Mapping[int, str] = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "heat, by the driver",
    0x40: "heat, by the hardware",
    0x80: "power brake",
}
"""The bits of NVML's clocks event reasons by which a GPU is slower than it could be. An idle GPU, and one
whose clocks somebody has set, have other bits."""

Write = Callable[[Sequence[Mapping[str, Any]]], None]


class Gpu:
    """One GPU."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        """Keep ``nvml``, the initialised module, and ``handle``, by which it knows the GPU."""
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
        """The energy that the GPU has used since the driver was loaded; None before the Volta generation."""
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules / 1000

    def _throttled(self) -> list[str] | None:
        bits = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is None:
            # The name that drivers before 535 know.
            bits = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        return None if bits is None else [name for bit, name in THROTTLES.items() if bits & bit]

    def _others(self) -> dict[str, int | None]:
        """How many other processes compute on this GPU, and how many bytes they hold."""
        running = self._ask("nvmlDeviceGetComputeRunningProcesses")
        if not running:
            # This process itself holds memory on the GPU, so an empty list is not to be believed.
            return {"others": None, "other_bytes": None}
        others = [process for process in running if process.pid != os.getpid()]
        if len(others) == len(running):
            # In a container the driver may number processes by another PID namespace. One of them is this
            # process, and nothing says which.
            return {"others": max(0, len(others) - 1), "other_bytes": None}
        held = [process.usedGpuMemory for process in others]
        return {
            "others": len(others),
            "other_bytes": None if None in held else sum(int(size) for size in held),
        }

    def _ask(self, question: str, *arguments: Any) -> Any:
        return ask(self._nvml, question, self._handle, *arguments)


class Cpu:
    """The processor: its clock, and the load of other processes."""

    def __init__(self) -> None:
        import psutil

        self._system, self._process = psutil, psutil.Process()
        self._last = self._read()

    def sample(self) -> dict[str, Any]:
        """``mhz``, ``cores``, and ``other_cores``: the cores that others kept busy since the last sample."""
        (total, busy, own), (last_total, last_busy, last_own) = self._read(), self._last
        self._last = (total, busy, own)
        cores = self._system.cpu_count() or 1
        # The time that passed, from the processor seconds of all cores: then no other clock has to be read at
        # the same moment.
        passed = (total - last_total) / cores
        others = (busy - last_busy) - (own - last_own)
        return {
            "mhz": self._mhz(),
            "cores": cores,
            "other_cores": max(0.0, others / passed) if passed > 0 else None,
        }

    def _mhz(self) -> float | None:
        try:
            frequency = self._system.cpu_freq()
        except (NotImplementedError, OSError):
            # psutil raises these on virtual machines where the kernel has the folder but not the file.
            return None
        return None if frequency is None else frequency.current or None

    def _read(self) -> tuple[float, float, float]:
        """Processor seconds since the system began: of all cores, of busy ones, and of this process."""
        times = self._system.cpu_times()._asdict()
        # The system counts the time of guests as user time already.
        parts = {name: value for name, value in times.items() if not name.startswith("guest")}
        total = sum(parts.values())
        idle = parts["idle"] + parts.get("iowait", 0.0)
        own = self._process.cpu_times()
        return total, total - idle, own.user + own.system


class Monitor:
    """Samples the devices from a thread while a scenario is named. A context manager."""

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
            write: is given a few samples at a time, from the thread.
            gpus: the GPUs that the model is on.
            alone: False where other processes of the same run compute beside this one; the load of others
                cannot be told from theirs.
            interval: the time in seconds between two samples.
        """
        self.scenario: str | None = None
        """What is being measured, which each sample repeats; with None nothing is sampled."""
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
        """The energy of the model's GPUs together; None without a GPU, or where one does not say."""
        total = 0.0
        for gpu in self._gpus:
            joules = gpu.joules()
            if joules is None:
                return None
            total += joules
        return total if self._gpus else None

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
        # A full disk ends the run with the same message where it writes its answers.
        with contextlib.suppress(EnvironmentProblem):
            while not self._stop.wait(self._interval):
                sample = self.sample()
                if sample["scenario"] is not None:
                    samples.append(sample)
                if len(samples) >= FLUSH:
                    self._write(samples)
                    samples = []
            if samples:
                self._write(samples)


@contextlib.contextmanager
def watch(write: Write, *, alone: bool) -> Iterator[Monitor]:
    """Watch the processor and the GPUs on which this process holds memory; see ``Monitor``."""
    with (
        driver() as nvml,
        Monitor(write, _gpus_in_use(nvml), alone=alone) as monitor,
    ):
        yield monitor


def _gpus_in_use(nvml: Any) -> list[Gpu]:
    return [Gpu(nvml, handle) for handle in handles_in_use(nvml, torch_with_cuda())]
