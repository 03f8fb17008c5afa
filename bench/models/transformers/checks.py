"""Whether padded batches of a type give the answers of single questions, on this machine.

Padding must not change an answer, but in some types it does: positions or masks do not leave it out. So rows
are padded only where a check of the same type, device, number format and versions has passed. ``bench check``
makes it; the record is a file in the cache of this machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.files import write_json
from bench.models.checkpoints import read_json
from bench.schema import Batch, Output
from bench.text import utc_now


class Circumstances(NamedTuple):
    """What the answers of a batch depend on beside its questions."""

    model_type: str
    device: str
    """``cpu``, or the name of a GPU."""
    dtype: str
    attention: str
    torch: str
    transformers: str

    @property
    def key(self) -> str:
        """All of them, as one word of the record."""
        return " ".join(self)


class BatchCheck(NamedTuple):
    """The same questions, asked one by one and in padded rows."""

    circumstances: Circumstances
    rows: int
    """Questions in a padded batch."""
    single: Batch
    padded: Batch

    @property
    def differing(self) -> tuple[tuple[Output, Output], ...]:
        """The pairs of outputs, alone and in a batch, that are not the same answer."""
        pairs = zip(self.single.outputs, self.padded.outputs, strict=True)
        return tuple(
            (alone, together)
            for alone, together in pairs
            if (alone.text, alone.stop_reason) != (together.text, together.stop_reason)
        )

    @property
    def passed(self) -> bool:
        """Whether questions were answered, and every answer is the same."""
        answered = any(output.error is None for output in self.single.outputs)
        return answered and not self.differing


def record_check(
    circumstances: Circumstances, *, rows: int, questions: int, differing: int, passed: bool
) -> Path:
    """Keep the result of a check, so that later runs on this machine know it; the last check counts.

    Args:
        circumstances: what it holds for.
        rows: the most questions that were padded together.
        questions: how many were asked in both ways.
        differing: how many answers differ.
        passed: whether padding may be trusted.

    Returns:
        The file.
    """
    path = _path()
    record = dict(_record(path))
    record[circumstances.key] = {
        "rows": rows if passed else 1,
        "questions": questions,
        "differing": differing,
        "when": utc_now(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record)
    return path


def checked_rows(circumstances: Circumstances) -> int:
    """How many rows a padded batch may have: as many as a check has passed with; 1 without one."""
    entry = _record(_path()).get(circumstances.key)
    rows = entry.get("rows") if isinstance(entry, dict) else None
    return rows if type(rows) is int and rows > 0 else 1


def _path() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "docvlm-bench" / "batch_checks.json"


def _record(path: Path) -> Mapping[str, Any]:
    """What the file holds; nothing if there is none, or if it is damaged: then a check is made again."""
    try:
        return read_json(path) if path.is_file() else {}
    except (InvalidInput, OSError):
        return {}
