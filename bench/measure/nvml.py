"""The driver's own account of the GPUs (NVML, https://docs.nvidia.com/deploy/nvml-api/), and torch's.

Any question to the driver may fail: a virtual GPU does not support it, a container may not ask it, or the
GPU was lost. Such a figure is left out, and nothing ends because of it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def driver() -> Iterator[Any]:
    """The initialised NVML module, or None if there is no NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def ask(nvml: Any, question: str, *arguments: Any) -> Any:
    """What the driver answers to ``question``, the name of an NVML function; None if it does not say."""
    try:
        return getattr(nvml, question)(*arguments)
    except nvml.NVMLError:
        return None


def devices(nvml: Any) -> list[Any]:
    """A handle for each GPU that the driver counts; None for a GPU that it counts and does not give."""
    count = ask(nvml, "nvmlDeviceGetCount") or 0
    return [ask(nvml, "nvmlDeviceGetHandleByIndex", index) for index in range(count)]


def torch_with_cuda() -> Any:
    """The torch module, where this process has loaded it and it sees a GPU; else None.

    torch is never imported for a figure alone: that takes seconds, and memory that would be measured.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return torch
