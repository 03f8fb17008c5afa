"""How much memory the GPU has free that torch would compute on."""

from __future__ import annotations

import importlib.util


def free_gpu_memory(device: str = "auto") -> int | None:
    """Bytes that are free on the GPU that torch calls ``device``; None if torch would use no GPU.

    The driver's list will not do: torch may be too new for the driver and see no GPU at all, and it counts
    what ``CUDA_VISIBLE_DEVICES`` leaves, in an order of its own.

    Args:
        device: ``auto`` or ``cuda`` for the first GPU that torch sees, ``cuda:1`` for the second, ``cpu``.
    """
    if device == "cpu" or importlib.util.find_spec("torch") is None:
        return None
    import torch

    number = torch.device("cuda" if device == "auto" else device).index or 0
    if not torch.cuda.is_available() or number >= torch.cuda.device_count():
        return None
    try:
        free, _ = torch.cuda.mem_get_info(number)
    except RuntimeError:
        # A GPU that is lost, or that another process has for itself, will be reported when it is used.
        return None
    return int(free)
