"""What a run tells while it goes on: the events of a model's processes, as if one process had sent them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bench.rundir.store import RunStore


class Progress(Protocol):
    """Is told about a run while it goes on; ``bench.cli`` draws it."""

    def started(self, run: RunStore, *, resumed: bool) -> None:
        """The run directory exists; ``resumed`` where it existed before."""

    def event(self, model: str, event: Mapping[str, Any]) -> None:
        """A model's process sent an event; see ``bench.runner.worker``."""

    def stopping(self) -> None:
        """The first request to stop came; a batch that has begun is being finished."""


class Silent:
    """Shows nothing."""

    def started(self, run: RunStore, *, resumed: bool) -> None:
        """Show nothing."""

    def event(self, model: str, event: Mapping[str, Any]) -> None:
        """Show nothing."""

    def stopping(self) -> None:
        """Show nothing."""


class ModelProgress:
    """Passes the events of all processes of a model on, as if one process had sent them."""

    def __init__(self, name: str, processes: int, progress: Progress) -> None:
        self._name, self._processes, self._progress = name, processes, progress
        self._loaded: dict[int, float] = {}
        """Shard → seconds that it took to load."""
        self._tasks: dict[str, dict[int, Mapping[str, Any]]] = {}
        """Task → shard → its last ``task`` event."""

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Pass an event on, with the counts of all processes in it."""
        shard, kind = int(event["shard"]), event["event"]
        if kind == "loading" and shard > 0:
            return
        if kind == "loaded":
            self._loaded[shard] = event["seconds"]
            if len(self._loaded) < self._processes:
                return
            event = {**event, "seconds": max(self._loaded.values())}
        if kind == "task":
            last_events = self._tasks.setdefault(event["task"], {})
            last_events[shard] = event
            for count in ("done", "failed"):
                event = {**event, count: sum(last[count] for last in last_events.values())}
        self._progress.event(self._name, event)
