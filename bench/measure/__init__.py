"""Measures the machine that a run runs on, in bytes and seconds.

``environment``: the software and hardware that a result depends on. ``memory``: the peaks of this process,
and what a GPU has free. ``cores``: those that this process may use. ``bf16``: whether the processor has it.
``monitor``: what the devices did during the run, sampled once a second. ``energy``: the energy that the GPUs
used. ``device_errors``: out of memory, and a lost GPU. ``nvml``: the questions to the driver. ``doctor``:
what this machine lacks, and how to install it.
"""

from bench.measure.device_errors import gpu_failure, is_device_lost, is_out_of_memory
from bench.measure.energy import EnergyMeter
from bench.measure.environment import environment, gpus, visible_gpus
from bench.measure.memory import (
    Memory,
    MemoryMeter,
    collector_paused,
    free_gpu_memory,
    memory_now,
    processes_memory,
    release_memory,
)
from bench.measure.monitor import Monitor, watch

__all__ = [
    "EnergyMeter",
    "Memory",
    "MemoryMeter",
    "Monitor",
    "collector_paused",
    "environment",
    "free_gpu_memory",
    "gpu_failure",
    "gpus",
    "is_device_lost",
    "is_out_of_memory",
    "memory_now",
    "processes_memory",
    "release_memory",
    "visible_gpus",
    "watch",
]
