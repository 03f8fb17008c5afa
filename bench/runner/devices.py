"""The devices that a model is spread over: one process each, which sees its own device and no other.

Numbers are those of the driver (``nvidia-smi``, ``bench doctor``). Where ``CUDA_VISIBLE_DEVICES`` is set,
by a batch system for instance, they count what it leaves, as torch does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from bench.errors import EnvironmentProblem, InvalidInput
from bench.measure import gpus
from bench.runner.threads import usable_cores
from bench.text import one_line

_GPU = re.compile(r"(?:cuda:)?(\d+)")


class Device(NamedTuple):
    """Where one process runs."""

    name: str
    """``cpu``, or the number of a GPU."""
    environment: Mapping[str, str]
    """What that process finds in its environment, so that torch sees this device alone."""


def parse_devices(text: str) -> tuple[Device, ...]:
    """The devices of ``--devices``: GPU numbers, or ``cpu`` as often as there shall be processes.

    Raises:
        InvalidInput: a name is neither, both kinds are named, or a GPU is named twice.
        EnvironmentProblem: a GPU does not exist.
    """
    names = [part.strip().lower() for part in text.split(",")]
    if all(name == "cpu" for name in names):
        return tuple(Device("cpu", _cpu_environment(len(names))) for _ in names)
    numbers: list[int] = []
    for name in names:
        found = _GPU.fullmatch(name)
        if found is None and name != "cpu":
            raise InvalidInput(
                f"--devices {one_line(text, 60)}: {one_line(name, 20)!r} is no device",
                hint="GPU numbers (--devices 0,1), or cpu once for each process (--devices cpu,cpu)",
            )
        if found is None:
            raise InvalidInput(
                f"--devices {one_line(text, 60)}: GPUs and cpu do not share a model's questions",
                hint="the CPU's half would take many times as long; name the GPUs alone",
            )
        if int(found[1]) in numbers:
            raise InvalidInput(
                f"--devices {one_line(text, 60)}: GPU {found[1]} is named twice",
                hint="two processes on one GPU would measure each other",
            )
        numbers.append(int(found[1]))
    visible = _visible()
    for number in numbers:
        if number >= len(visible):
            shown = ", ".join(f"{index} ({name})" for index, (_, name) in enumerate(visible))
            raise EnvironmentProblem(
                f"GPU {number} does not exist; "
                + (f"those that do: {shown}" if visible else "no GPU is seen"),
                hint="bench doctor says what is seen; --devices cpu,cpu needs none",
            )
    return tuple(Device(str(number), _gpu_environment(visible[number][0])) for number in numbers)


def _visible() -> list[tuple[str, str]]:
    """What ``CUDA_VISIBLE_DEVICES`` would call each GPU, and its name, in the order of their numbers."""
    found = gpus()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or not found:
        return [(str(index), str(gpu["name"])) for index, gpu in enumerate(found)]
    # CUDA itself stops at the first entry that it does not know.
    entries = [entry.strip() for entry in chosen.split(",")]
    count = next((i for i, entry in enumerate(entries) if entry in {"", "-1"}), len(entries))
    return [(entry, f"{entry} of CUDA_VISIBLE_DEVICES") for entry in entries[:count]]


def _gpu_environment(visible: str) -> dict[str, str]:
    environment = {"CUDA_VISIBLE_DEVICES": visible}
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        # The driver's order; CUDA's own puts the fastest first.
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return environment


def _cpu_environment(processes: int) -> dict[str, str]:
    environment = {"CUDA_VISIBLE_DEVICES": "-1"}
    if "OMP_NUM_THREADS" not in os.environ:
        # Else every process would start as many threads as there are cores.
        environment["OMP_NUM_THREADS"] = str(max(1, usable_cores() // processes))
    return environment
