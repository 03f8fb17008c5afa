"""What a run measures about the machine that it runs on. Bytes and seconds throughout.

``environment``: what the numbers were made with. ``memory``: peaks of this process. ``monitor``: what the
devices did meanwhile, once a second. ``energy``: what the GPUs took. ``nvml``: the driver that is asked.
"""

from bench.measure.energy import EnergyMeter
from bench.measure.environment import environment, gpus
from bench.measure.memory import Memory, MemoryMeter, memory_now, peak_rss, release_memory
from bench.measure.monitor import Monitor, watch

__all__ = [
    "EnergyMeter",
    "Memory",
    "MemoryMeter",
    "Monitor",
    "environment",
    "gpus",
    "memory_now",
    "peak_rss",
    "release_memory",
    "watch",
]
