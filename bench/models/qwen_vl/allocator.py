"""Freed memory stays with the process, instead of being cleared by the system before each use.

Activations come and go with every layer. glibc gives large ones back to the system, which has to clear their
pages when they are wanted again: a page of 4 KiB costs about 2 µs on a virtual machine.
"""

from __future__ import annotations

import ctypes
import functools
import sys

OWN_ARENA_BYTES = 32 * 2**20
"""Allocations up to this size are taken from what was freed; glibc accepts no larger number."""
KEPT_BYTES = 256 * 2**20
"""The most free memory at the end of the process that is not given back."""

# From malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


@functools.cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed, once in a process; says whether there is a glibc that took it."""
    if sys.platform != "linux":
        return False
    # Not in musl, and without effect where another allocator was loaded first.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    taken = mallopt(_MMAP_THRESHOLD, OWN_ARENA_BYTES), mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
    return taken == (1, 1)
