"""Remembers that a run has still to be pushed to object storage, so that its command goes on with it."""

from __future__ import annotations

from pathlib import Path

from bench.files import storage_errors

PUSH_FILE = ".push"
"""Is in a run directory until the run has been pushed. Hidden files are not pushed themselves."""


def mark_push(run: Path, *, awaited: bool) -> None:
    """Remember whether the run in the folder ``run`` has still to be pushed."""
    marker = run / PUSH_FILE
    with storage_errors(marker):
        if awaited:
            marker.touch()
        elif marker.exists():
            # Only then: a run that somebody only reads lies perhaps where nothing can be written.
            marker.unlink()


def is_push_awaited(run: Path) -> bool:
    """Whether the command of the run ended, or was ended, before it had pushed the run."""
    return (run / PUSH_FILE).exists()
