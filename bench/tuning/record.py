"""``tune.json``: what an adapter was trained on, with which settings, by which command, how long."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.files import write_json
from bench.measure import environment
from bench.models.checkpoints import TUNING_FILE, tuning_record
from bench.schema import Task
from bench.store import utc_now
from bench.text import one_line
from bench.tuning.parts import Parts

SCHEMA = 1


def task_record(parts: Parts) -> dict[str, Any]:
    """The parts by role, as reports look for them."""
    return {
        "name": parts.name,
        "train": _part(parts.train),
        "validation": {**_part(parts.validation), "held_out": parts.held_out},
        "tests": [_part(task) for task in parts.tests],
    }


def _part(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "digest": task.digest,
        "documents": len(task.documents),
        "questions": len(task.samples),
    }


def begin(out: Path, identity: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Write the record of a training that begins or goes on, and return it.

    Args:
        out: the adapter's folder.
        identity: what must be equal for a training to go on: base, task, settings.
        facts: what else is known beforehand.

    Raises:
        InvalidInput: ``out`` holds another training, a finished one, or something else.
    """
    before = tuning_record(out)
    if before is None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InvalidInput(
                f"{out} exists and is not an adapter of bench tune", hint="name another --out"
            )
    else:
        _check_same(out, before, identity)
    record = {
        "schema": SCHEMA,
        "status": "running",
        **identity,
        **facts,
        "command": ["bench", *sys.argv[1:]],
        "started": utc_now() if before is None else before["started"],
        "seconds": 0.0 if before is None else before["seconds"],
        "resumptions": 0 if before is None else before["resumptions"] + 1,
        "environment": environment(),
    }
    write_json(out / TUNING_FILE, record)
    return record


def _check_same(out: Path, before: Any, identity: dict[str, Any]) -> None:
    differing = [
        f"{group}.{key}" if isinstance(value, dict) else group
        for group, value in identity.items()
        for key in (value if isinstance(value, dict) else [None])
        if _at(before.get(group), key) != _at(value, key)
    ]
    if differing:
        raise InvalidInput(
            f"{out} holds another training: it differs in {one_line(', '.join(differing), 200)}",
            hint="name another --out, or train it anew: --fresh",
        )
    if before.get("status") not in {"running", "interrupted"}:
        raise InvalidInput(
            f"{out} holds an adapter whose training has ended ({before.get('status')})",
            hint="name another --out, or train it anew: --fresh",
        )


def _at(value: Any, key: str | None) -> Any:
    found = value.get(key) if key is not None and isinstance(value, dict) else value
    # As it comes back from JSON.
    return list(found) if isinstance(found, tuple) else found


def conclude(out: Path, record: dict[str, Any], status: str, seconds: float, **facts: Any) -> None:
    """Write how a training ended; ``seconds`` are those of this part of it."""
    record |= {
        "status": status,
        "seconds": record["seconds"] + seconds,
        "ended": utc_now(),
        **facts,
    }
    write_json(out / TUNING_FILE, record)
