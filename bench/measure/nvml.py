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


def handles_in_use(nvml: Any, torch: Any) -> list[Any]:
    """The driver's handles of the GPUs on which torch holds memory; none if either module is None.

    They are looked up by their unique names, because torch and the driver may number them differently.
    """
    if nvml is None or torch is None or not torch.cuda.is_initialized():
        return []
    in_use = []
    for index in range(torch.cuda.device_count()):
        if torch.cuda.memory_reserved(index) == 0:
            continue
        name = torch.cuda.get_device_properties(index).uuid
        # A part of a divided GPU has a name of another kind.
        for kind in ("GPU", "MIG"):
            handle = ask(nvml, "nvmlDeviceGetHandleByUUID", f"{kind}-{name}")
            if handle is not None:
                in_use.append(handle)
                break
    return in_use


def torch_with_cuda() -> Any:
    """The torch module, where this process has loaded it and it sees a GPU; else None.

    torch is never imported for a figure alone: that takes seconds, and memory that would be measured.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return torch
