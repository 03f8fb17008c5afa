"""What the pretend GPU is and remembers; the other modules ask it what is allowed."""

from __future__ import annotations

import threading
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakSet

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(eq=False)
class Stream:
    """A queue of work. What it has waited for may be used on it."""

    number: int = 0
    clock: int = 0
    """Operations so far."""
    waited: dict[int, int] = field(default_factory=dict)
    """Number of another stream → its clock when this one last waited for it."""


@dataclass(eq=False)
class Gpu:
    """One GPU under one version of torch."""

    torch_version: tuple[int, int]
    capability: tuple[int, int]
    memory_bytes: int = 24 * 2**30
    free_bytes: int = 20 * 2**30
    waits: Counter[str] = field(default_factory=Counter)
    """What the host waited for, with the line that asked for it → how often."""
    attention_calls: Counter[str] = field(default_factory=Counter)
    """Name of the operator → calls of the attention kernel."""
    score_matrices: Counter[str] = field(default_factory=Counter)
    """Line that asked for attention which no fused kernel serves, so that scores are written down → calls."""
    captures: int = 0
    replays: int = 0
    warm_up_streams: set[int] = field(default_factory=set)
    """Streams other than the main one on which something ran outside a capture."""
    capture_streams: set[int] = field(default_factory=set)
    recording: list[Callable[[], None]] | None = None
    """Operations of the graph that is being captured; None where none is."""
    recording_thread: int = 0
    pools: dict[Any, WeakSet[Any]] = field(default_factory=dict)
    """Handle of a memory pool → the graphs in it."""
    used_pools: set[Any] = field(default_factory=set)
    """Those that had a graph at some time."""
    broken_pools: set[Any] = field(default_factory=set)
    """Pools that the allocator believes to be in a capture although the capture has failed."""
    streams: list[Any] = field(default_factory=list)
    capture_stream: Any = None
    thread: int = field(default_factory=threading.get_ident)
    """The one whose operations are intercepted."""
    _current: threading.local = field(default_factory=threading.local)

    @property
    def padded_logsumexp(self) -> bool:
        """Whether the attention operator pads its log-sum-exps to the longest query (torch before 2.7)."""
        return self.torch_version < (2, 7)

    @property
    def pools_end_with_their_graphs(self) -> bool:
        """Whether a pool's handle is worthless once its last graph has gone (torch 2.10 and 2.11)."""
        return (2, 10) <= self.torch_version < (2, 12)

    @property
    def breaks_at_failed_captures(self) -> bool:
        """Whether a failed capture leaves the allocator in the middle of it (torch before 2.12)."""
        return self.torch_version < (2, 12)

    @property
    def current(self) -> Any:
        """The current stream of this thread."""
        return getattr(self._current, "stream", self.streams[0])

    @current.setter
    def current(self, stream: Any) -> None:
        self._current.stream = stream

    @property
    def capturing(self) -> bool:
        """Whether this thread is capturing a graph."""
        return self.recording is not None and self.recording_thread == threading.get_ident()

    def wait(self, what: str) -> None:
        """The host waits for the device, which a capture does not allow.

        Raises:
            RuntimeError: a graph is being captured.
        """
        self.waits[f"{what} at {asked_at()}"] += 1
        self.forbid_in_capture(what)

    def forbid_in_capture(self, what: str) -> None:
        """Refuse ``what`` while a graph is being captured.

        Raises:
            RuntimeError: a graph is being captured.
        """
        if self.capturing:
            raise RuntimeError(
                "CUDA error: operation not permitted when stream is capturing "
                f"({what} at {asked_at()})"
            )


_active: list[Gpu] = []


def gpu() -> Gpu:
    """The pretend GPU that is there now.

    Raises:
        RuntimeError: there is none.
    """
    if not _active:
        raise RuntimeError("a tensor of a pretend GPU is used outside pretend_gpu()")
    return _active[-1]


def asked_at() -> str:
    """The innermost line of this project or of transformers that led here, as ``file:line``."""
    here = str(Path(__file__).parent)
    for frame in reversed(traceback.extract_stack()):
        ours = frame.filename.startswith(str(ROOT)) and not frame.filename.startswith(here)
        if (ours and "site-packages" not in frame.filename) or "/transformers/" in frame.filename:
            short = frame.filename.split("site-packages/")[-1].removeprefix(f"{ROOT}/")
            return f"{short}:{frame.lineno}"
    return "?"
