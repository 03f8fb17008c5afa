"""What a run tells while it goes on: the events of a model's processes, as if one process had sent them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any, Protocol, Self

from bench.formatting import plural
from bench.rundir.store import RunStore
from bench.text import one_line

_LOG = logging.getLogger(__name__)


class Progress(Protocol):
    """A listener: it is told about a run while the run goes on; ``bench.cli`` draws it.

    A listener that raises an exception does not disturb the run: see ``Shielded``. To stop the run, raise
    ``SystemExit`` or ``KeyboardInterrupt``; all answers that are on the disk stay there.
    """

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


class Shielded:
    """Tells a listener all that a run tells, and keeps the exceptions that it raises away from the run.

    The traceback of the first one goes into ``log.txt`` of the run at once. When the block ends, a warning of
    this module's logger names that exception and counts the others.
    """

    def __init__(self, listener: Progress, run: RunStore) -> None:
        self._listener = listener
        self._log = run.path / "log.txt"
        self._first = ""
        """The first exception, in one line; empty if the listener raised none."""
        self._raised = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._first:
            others = self._raised - 1
            again = f" (and {plural(others, 'more exception')})" if others else ""
            _LOG.warning(
                "warning: the progress listener's %s%s. The run went on; the traceback is in %s",
                self._first,
                again,
                self._log,
            )

    def started(self, run: RunStore, *, resumed: bool) -> None:
        """Tell the listener."""
        self._tell("started", run, resumed=resumed)

    def event(self, model: str, event: Mapping[str, Any]) -> None:
        """Tell the listener."""
        self._tell("event", model, event)

    def stopping(self) -> None:
        """Tell the listener."""
        self._tell("stopping")

    def _tell(self, method: str, *arguments: Any, **options: Any) -> None:
        try:
            getattr(self._listener, method)(*arguments, **options)
        except Exception as error:
            self._raised += 1
            if not self._first:
                self._first = one_line(f"{method}() raised {type(error).__name__}: {error}", 200)
                with self._log.open("a", encoding="utf-8") as log:
                    log.write(
                        f"--- the progress listener's {self._first}\n{traceback.format_exc()}"
                    )


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
