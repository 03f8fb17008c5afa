"""The files of an adapter's folder, and what they say of its training.

In the folder lie::

    adapter_model.safetensors, adapter_config.json    the best adapter so far, as PEFT writes it
    tune.json        what was trained, on what, with which settings, by which command, and for how long
    history.jsonl    losses and scores by step
    curves.svg       the same as a picture
    checkpoints/     states from which an interrupted training goes on; removed at the end
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.files import write_atomically, write_json
from bench.litter import remove_litter
from bench.measure import environment
from bench.models.checkpoints import TUNING_FILE, tuning_record
from bench.schema import Task
from bench.text import one_line, utc_now
from bench.tuning.parts import Parts

SCHEMA = 1
HISTORY = "history.jsonl"
CURVES = "curves.svg"
CHECKPOINTS = "checkpoints"
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")


def task_record(parts: Parts) -> dict[str, Any]:
    """The parts of a task by their role, where reports look for them."""
    return {
        "name": parts.name,
        "train": _part(parts.train) | {"pages": _pages(parts.train)},
        "validation": _part(parts.validation)
        | {"held_out": parts.held_out, "pages": _pages(parts.validation)},
        "tests": [_part(task) for task in parts.tests],
    }


def _part(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "digest": task.digest,
        "documents": len(task.documents),
        "questions": len(task.samples),
    }


def _pages(task: Task) -> list[str]:
    """What the pages show, by which a comparison finds the same documents under another name."""
    return sorted({page.key for document in task.documents.values() for page in document.pages})


def former(out: Path, identity: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The record of the training in ``out`` that can go on; None if there is none yet.

    Args:
        out: the adapter's folder.
        identity: what must be equal for a training to go on: base, task and settings.

    Raises:
        InvalidInput: ``out`` holds another training, a finished one, or something else.
    """
    remove_litter(out)
    before = tuning_record(out)
    if before is not None:
        _check_same(out, before, identity)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(
            f"{out} exists and is not an adapter of bench tune",
            hint="name another folder with --out",
        )
    return before


def clear(out: Path) -> None:
    """Remove what a training wrote into ``out``, and nothing else."""
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    # The record is the last: without it, nobody would know whose the other files are.
    for name in (HISTORY, CURVES, *ADAPTER_FILES, TUNING_FILE):
        (out / name).unlink(missing_ok=True)


def begin(out: Path, identity: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Write the record of a training that begins or goes on, and return it.

    Args:
        out: the adapter's folder.
        identity: what must be equal for a training to go on.
        facts: what else is known before the training.

    Raises:
        InvalidInput: ``out`` holds another training, a finished one, or something else.
    """
    before = former(out, identity)
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


def _check_same(out: Path, before: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    differing = [
        f"{group}.{key}" if isinstance(value, dict) else group
        for group, value in identity.items()
        for key in (value if isinstance(value, dict) else [None])
        if _at(before.get(group), key) != _at(value, key)
    ]
    if differing:
        raise InvalidInput(
            f"{out} contains another training, which differs in {one_line(', '.join(differing), 200)}",
            hint="name another folder with --out, or begin anew with --fresh",
        )
    if before.get("status") not in {"running", "interrupted"}:
        # The process may have been killed before it removed them.
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
        raise InvalidInput(
            f"{out} contains an adapter, and its training has ended ({before.get('status')})",
            hint="name another folder with --out, or begin anew with --fresh",
        )


def _at(value: Any, key: str | None) -> Any:
    entry = value.get(key) if key is not None and isinstance(value, dict) else value
    # JSON gives tuples back as lists.
    return list(entry) if isinstance(entry, tuple) else entry


def conclude(out: Path, record: dict[str, Any], status: str, seconds: float, **facts: Any) -> None:
    """Write how a training ended; ``seconds`` is the time since it began or went on."""
    record |= {
        "status": status,
        "seconds": record["seconds"] + seconds,
        "ended": utc_now(),
        **facts,
    }
    write_json(out / TUNING_FILE, record)


def write_history(out: Path, history: Sequence[dict[str, Any]]) -> None:
    """Write what the Trainer logged, one object a line; a number that is not finite becomes null."""
    lines = [
        json.dumps({key: _finite(value) for key, value in entry.items()}) + "\n"
        for entry in history
        # The Trainer's closing summary says "samples" and counts rows.
        if "train_runtime" not in entry
    ]
    write_atomically(out / HISTORY, "".join(lines))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
