"""``torch.cuda`` of the pretend GPU: streams, graphs and their memory pools, the allocator."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any
from unittest import mock
from weakref import WeakSet

import torch

from tests.pretend_cuda import device as pretend
from tests.pretend_cuda.device import Gpu, gpu
from tests.pretend_cuda.tensors import GpuTensor, intercepted

_pools = count(1)


class Stream(pretend.Stream):
    """As ``torch.cuda.Stream``."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(number=len(gpu().streams))
        gpu().streams.append(self)

    def wait_stream(self, other: pretend.Stream) -> None:
        """What ``other`` has done until now may be used on this stream."""
        self.waited[other.number] = other.clock

    def synchronize(self) -> None:
        """The host waits."""
        gpu().wait("a stream")


class MainStream(Stream):
    """The stream that work goes to where nobody chose one."""

    def __init__(self) -> None:
        pretend.Stream.__init__(self)


class Event:
    """As ``torch.cuda.Event``; reached at once."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._recorded = False

    def record(self, *_: Any) -> None:
        """Stands behind what was asked for until now."""
        self._recorded = True

    def synchronize(self) -> None:
        """The host waits, which it may: what came later goes on."""
        if not self._recorded:
            raise RuntimeError("an event is waited for that nobody has recorded")
        gpu().forbid_in_capture("waiting for an event")


class Graph:
    """As ``torch.cuda.CUDAGraph``: operations that were recorded."""

    def __init__(self) -> None:
        self.operations: list[Any] = []

    def replay(self) -> None:
        """Do them again, on the same memory."""
        gpu().forbid_in_capture("the replay of a graph")
        gpu().replays += 1
        with torch.inference_mode():
            for operation in self.operations:
                operation()


class capture:
    """As ``torch.cuda.graph``."""

    def __init__(
        self, cuda_graph: Graph, pool: Any = None, capture_error_mode: str = "global"
    ) -> None:
        # One for all captures, as in torch.
        gpu().capture_stream = gpu().capture_stream or Stream()
        self.graph, self.mode = cuda_graph, capture_error_mode
        self.pool = graph_pool_handle() if pool is None else pool
        self.before = gpu().current

    def __enter__(self) -> None:
        here = gpu()
        empty_cache()
        graphs = here.pools.setdefault(self.pool, WeakSet())
        ended = not len(graphs) and self.pool in here.used_pools
        if ended and here.pools_end_with_their_graphs:
            raise RuntimeError("use_count > 0 INTERNAL ASSERT FAILED: the pool has gone")
        here.current = here.capture_stream
        here.current.waited |= {stream.number: stream.clock for stream in here.streams}
        here.capture_streams.add(here.current.number)
        here.recording, here.recording_thread = self.graph.operations, threading.get_ident()

    def __exit__(self, kind: Any, *_: Any) -> None:
        here = gpu()
        here.recording = None
        if kind is not None:
            # As in torch: what ends a capture raises, and the capture's stream stays the current one.
            if here.breaks_at_failed_captures:
                here.broken_pools.add(self.pool)
            return
        here.current = self.before
        here.current.wait_stream(here.capture_stream)
        here.pools[self.pool].add(self.graph)
        here.used_pools.add(self.pool)
        here.captures += 1


def graph_pool_handle() -> tuple[int, int]:
    """A handle that nobody has had before."""
    return (0, next(_pools))


def empty_cache() -> None:
    """Give back what is cached, which the allocator refuses in the middle of a capture.

    Raises:
        RuntimeError: it believes to be in one.
    """
    if gpu().broken_pools:
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")
    gpu().forbid_in_capture("giving cached memory back")


def end_allocation(device: int, pool: Any) -> None:
    """As ``torch._C._cuda_endAllocateToPool``: the capture into ``pool`` is over.

    Raises:
        RuntimeError: there was none.
    """
    if pool not in gpu().broken_pools:
        raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
    gpu().broken_pools.remove(pool)


@contextlib.contextmanager
def _on_stream(stream: Stream) -> Iterator[None]:
    before = gpu().current
    gpu().current = stream
    try:
        yield
    finally:
        gpu().current = before


def _synchronize(*_: Any) -> None:
    gpu().wait("the device")
    for stream in gpu().streams:
        stream.waited |= {other.number: other.clock for other in gpu().streams}


def _to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """``Tensor.to``, also in threads whose operations are not intercepted: those that read pages."""
    device = kwargs.get("device", args[0] if args else None)
    named = isinstance(device, (str, torch.device))
    intercepted_here = threading.get_ident() == gpu().thread
    if intercepted_here or not named or torch.device(device).type != "cuda":
        return _real_to(tensor, *args, **kwargs)
    gpu().current.clock += 1
    # torch's indexing takes a wrapper made outside of this mode for a view that it must count.
    with torch.inference_mode():
        return GpuTensor(tensor.clone())


_real_to = torch.Tensor.to


def _refuses(*_: Any, **__: Any) -> Any:
    raise TypeError("varlen_attn() got an unexpected keyword argument 'return_aux'")


_major, _minor = torch.__version__.split(".")[:2]
INSTALLED = (int(_major), int(_minor))
"""The version of torch that is installed."""


def _has_varlen() -> bool:
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return False
    from torch.nn.attention.varlen import varlen_attn

    # torch 2.10 has the function, but not all arguments that the engine passes.
    return {"enable_gqa", "seqused_k"} <= inspect.signature(varlen_attn).parameters.keys()


HAS_VARLEN = _has_varlen()
"""Whether the torch that is installed has the public attention function as ``cuda.flash`` calls it."""


@contextlib.contextmanager
def pretend_gpu(
    torch_version: tuple[int, int] = INSTALLED, capability: tuple[int, int] = (9, 0)
) -> Iterator[Gpu]:
    """One GPU inside, as ``torch_version`` would show it; see the package's docstring.

    Args:
        torch_version: which faults and interfaces torch has; the arithmetic is that of the one installed, and
            an interface that the one installed lacks cannot be pretended.
        capability: the GPU's compute capability: (7, 5) is a T4, (8, 0) an A100, (9, 0) an H100.
    """
    here = Gpu(torch_version, capability)
    here.streams.append(MainStream())
    answers: dict[str, Any] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "is_bf16_supported": lambda *_, **__: capability >= (8, 0),
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "synchronize": _synchronize,
        "current_stream": lambda *_: here.current,
        "set_stream": lambda stream: setattr(here, "current", stream),
        "stream": _on_stream,
        "Stream": Stream,
        "Event": Event,
        "CUDAGraph": Graph,
        "graph": capture,
        "graph_pool_handle": graph_pool_handle,
        "empty_cache": empty_cache,
        "mem_get_info": lambda *_: (here.free_bytes, here.memory_bytes),
        "memory_reserved": lambda *_: 0,
        "memory_allocated": lambda *_: 0,
        "max_memory_allocated": lambda *_: 0,
        "max_memory_reserved": lambda *_: 0,
        "reset_peak_memory_stats": lambda *_: None,
        "get_device_capability": lambda *_: capability,
        "get_device_name": lambda *_: "a pretend GPU",
    }
    with contextlib.ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        stack.enter_context(mock.patch.object(torch.Tensor, "to", _to))
        stack.enter_context(mock.patch.object(torch.Tensor, "pin_memory", lambda self, *_: self))
        stack.enter_context(
            mock.patch.object(torch._C, "_cuda_endAllocateToPool", end_allocation, create=True)
        )
        if torch_version < (2, 12) and HAS_VARLEN:
            varlen = "torch.nn.attention.varlen.varlen_attn"
            stack.enter_context(mock.patch(varlen, _refuses, create=True))
        pretend._active.append(here)
        stack.callback(pretend._active.pop)
        stack.enter_context(intercepted())
        yield here
