"""The devices that share a model's questions: each has a process of its own, which sees no other device.

Numbers are those of the driver (``nvidia-smi``, ``bench doctor``). Where ``CUDA_VISIBLE_DEVICES`` is set, as
batch systems do, the numbers count the GPUs that it leaves, as torch counts them. A process is told its GPU
by the GPU's unique name where the driver gives one, since CUDA may number GPUs in another order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from bench.errors import EnvironmentProblem, InvalidInput
from bench.measure import gpus, visible_gpus
from bench.measure.cores import usable_cores
from bench.text import one_line

_GPU = re.compile(r"(?:cuda:)?(\d+)")


class Device(NamedTuple):
    """Where one process runs."""

    name: str
    """``cpu``, or the number of a GPU."""
    environment: Mapping[str, str]
    """Variables that are set for that process, so that torch sees this device alone."""


def parse_devices(text: str) -> tuple[Device, ...]:
    """The devices that ``--devices`` names: GPU numbers, or ``cpu`` once for each process.

    Raises:
        InvalidInput: a name is neither, both kinds are named, or a GPU is named twice.
        EnvironmentProblem: a GPU does not exist.
    """
    names = [part.strip().lower() for part in text.split(",")]
    if all(name == "cpu" for name in names):
        return tuple(Device("cpu", _cpu_environment(len(names))) for _ in names)
    numbers: list[int] = []
    for name in names:
        gpu = _GPU.fullmatch(name)
        if gpu is None and name != "cpu":
            raise InvalidInput(
                f"--devices {one_line(text, 60)}: {one_line(name, 20)!r} is no device",
                hint="name GPU numbers (--devices 0,1), or cpu once for each process (--devices cpu,cpu)",
            )
        if gpu is None:
            raise InvalidInput(
                f"--devices {one_line(text, 60)}: GPUs and cpu cannot share a model's questions, "
                "because the CPU's half would take many times as long",
                hint="name only the GPUs",
            )
        number = int(gpu[1])
        if number in numbers:
            raise InvalidInput(
                f"--devices {one_line(text, 60)}: GPU {number} is named twice, and its two processes would "
                "slow each other down",
                hint="name every GPU once",
            )
        numbers.append(number)
    visible = _visible()
    for number in numbers:
        if number >= len(visible):
            known = ", ".join(f"{index} ({name})" for index, (_, name) in enumerate(visible))
            hidden = visible_gpus() == []
            none = "CUDA_VISIBLE_DEVICES leaves none" if hidden else "no GPU is visible"
            exist = f"these do: {known}" if visible else none
            raise EnvironmentProblem(
                f"GPU {number} does not exist; {exist}",
                hint="bench doctor shows the GPUs; --devices cpu,cpu needs none",
            )
    return tuple(Device(str(number), _gpu_environment(visible[number][0])) for number in numbers)


def _visible() -> list[tuple[str, str]]:
    """What ``CUDA_VISIBLE_DEVICES`` would call each GPU, and its name, in the order of their numbers."""
    seen, chosen = gpus(), visible_gpus()
    if chosen is None or not seen:
        return [(str(gpu.get("uuid", index)), str(gpu["name"])) for index, gpu in enumerate(seen)]
    return [(word, f"{one_line(word, 60)} of CUDA_VISIBLE_DEVICES") for word in chosen]


def _gpu_environment(visible: str) -> dict[str, str]:
    environment = {"CUDA_VISIBLE_DEVICES": visible}
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        # CUDA's own order puts the fastest GPU first, but the numbers here are the driver's.
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return environment


def _cpu_environment(processes: int) -> dict[str, str]:
    environment = {"CUDA_VISIBLE_DEVICES": "-1"}
    if "OMP_NUM_THREADS" not in os.environ:
        # Otherwise every process would start as many threads as the machine has cores.
        environment["OMP_NUM_THREADS"] = str(max(1, usable_cores() // processes))
    return environment
