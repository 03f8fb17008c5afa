"""What is measured on this machine beside the time: memory, energy, and what the devices did."""

from __future__ import annotations

import contextlib
from typing import Any

from bench.measure import EnergyMeter, MemoryMeter, Monitor, memory_now, watch
from bench.measure.monitor import Write
from bench.models.backends import traits_of
from bench.runner.threads import thread_record
from bench.schema import ModelSpec


def measures_locally(spec: ModelSpec) -> bool:
    """Whether the model computes on this machine, so that its memory and its devices say something of it."""
    return traits_of(spec).runs_in == "process"


class Instruments:
    """The instruments of one model's process, as a context manager.

    Where the model computes on another machine they record nothing: the memory and the processor here are
    not the model's.
    """

    def __init__(self, write: Write, *, local: bool, alone: bool) -> None:
        """Prepare to measure.

        Args:
            write: is given samples of what the devices do, a few at a time.
            local: whether the model computes on this machine.
            alone: False where other processes of the run compute beside this one.
        """
        self._write, self._local, self._alone = write, local, alone
        self._meter = MemoryMeter()
        self._monitor: Monitor | None = None
        self._energy: EnergyMeter | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Instruments:
        if self._local:
            self._stack.enter_context(self._meter)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def after_load(self) -> dict[str, Any]:
        """The memory that the loaded model holds, and the threads it may use, for ``model.json``."""
        if not self._local:
            return {}
        return {"memory_after_load": memory_now(), "threads": thread_record()}

    def begin(self) -> None:
        """Forget what loading and warm-up needed, and watch the GPUs that the model is on from now on."""
        if self._local:
            self._meter.restart()
            self._monitor = self._stack.enter_context(watch(self._write, alone=self._alone))
            self._energy = EnergyMeter(self._monitor.joules)

    def scenario(self, name: str | None) -> None:
        """Say what is being measured from now on; with None nothing is."""
        if self._monitor is not None:
            self._monitor.scenario = name

    def begin_task(self) -> None:
        """Begin a new window of energy."""
        if self._energy is not None:
            self._energy.restart()

    def batch(self, questions: int) -> dict[str, Any]:
        """The peaks of memory after a batch of ``questions``, and the energy where a window ended."""
        if not self._local:
            return {}
        window = None if self._energy is None else self._energy.count(questions)
        energy = {} if window is None else {"energy": window}
        return {"memory": self._meter.reading()._asdict(), **energy}
