"""The driver's own account of the GPUs (NVML, https://docs.nvidia.com/deploy/nvml-api/), and torch's."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def driver() -> Iterator[Any]:
    """The initialised NVML module, or None where there is no NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def devices(nvml: Any) -> list[Any]:
    """Handles of all GPUs that the driver shows."""
    return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]


def torch_with_cuda() -> Any:
    """The torch module where this process has loaded it and it sees a GPU; never imported for a number."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return torch
