"""Whether this processor computes in bf16 itself, or only emulates it.

Processors with AVX-512 BF16, AMX or Arm's BF16 multiply matrices in bf16 up to four times as fast as in
fp32. Others emulate: with AVX2 alone a product takes about a hundred times as long. Flags of the processor
do not tell which of its units the matrix library uses, so a small product is timed.
"""

from __future__ import annotations

import functools
import time
from typing import Any

_SIZE = 256
"""Rows and columns of the product: fp32 takes about 0.3 ms, an emulated bf16 about 35 ms."""
_TIMES = 3
"""The product is timed this often and the shortest time counts: other processes may slow one down."""


@functools.cache
def bf16_slowdown() -> float:
    """How many times as long a matrix product takes in bf16 as in fp32 on this processor.

    It is measured once in a process, which takes up to a fifth of a second.
    """
    import torch

    return _seconds(torch.bfloat16) / _seconds(torch.float32)


def bf16_pays() -> bool:
    """Whether products in bf16 are faster than in fp32 on this processor."""
    return bf16_slowdown() < 1


def bf16_warning() -> str | None:
    """A sentence for a person who asked for bf16 on this processor; None where bf16 pays."""
    if bf16_pays():
        return None
    return (
        f"a matrix product in bf16 takes {bf16_slowdown():,.3g} times as long as in fp32 on this processor, "
        "which has no units for bf16; --dtype fp32 is faster"
    )


def _seconds(dtype: Any) -> float:
    import torch

    first, second = (torch.ones(_SIZE, _SIZE, dtype=dtype) for _ in range(2))
    best = float("inf")
    # The first product, which takes its workspace, is among them and is never the fastest.
    for _ in range(_TIMES + 1):
        started = time.perf_counter()
        first @ second
        best = min(best, time.perf_counter() - started)
    return best
