"""Lines of ``samples.jsonl`` as they stand, for adding, answering and accepting drafts.

A draft (``"draft": true``) is a question whose answers no person has confirmed. The loader leaves drafts
out; accepting one removes the mark. ``metadata.drafted_by`` stays, because a model is not judged fairly
by references that it wrote itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput, did_you_mean
from bench.files import write_atomically
from bench.text import one_line

SAMPLES = "samples.jsonl"


class Accepted(NamedTuple):
    """What ``accept_drafts`` did."""

    accepted: int
    without_answers: int
    """Drafts that stay drafts, because nothing stands in their answers."""


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Every line of the folder's ``samples.jsonl``, in order.

    Raises:
        InvalidInput: there is no such file, or a line is no JSON object.
    """
    path = folder / SAMPLES
    if not path.is_file():
        raise InvalidInput(
            f"{one_line(str(folder))} has no {SAMPLES}",
            hint=f"bench data init {one_line(str(folder))}",
        )
    records = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8 at byte {error.start}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise InvalidInput(
                f"{path}:{number}: expected a JSON object {{…}}",
                hint=f"bench data validate {one_line(str(folder))}",
            )
        records.append(record)
    return records


def write_records(folder: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write ``samples.jsonl``, in whole or not at all."""
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    write_atomically(folder / SAMPLES, "".join(lines))


def record_files(record: dict[str, Any]) -> tuple[str, ...]:
    """The page files that a line names; empty where it names none properly."""
    value = next((record[k] for k in ("images", "image", "document") if record.get(k)), None)
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(names)


def is_draft(record: dict[str, Any]) -> bool:
    """Whether the line waits for a person."""
    return record.get("draft") is True


def has_answers(record: dict[str, Any]) -> bool:
    """Whether something stands in the line's answers, the empty string (not on the page) included."""
    answers = record.get("answers", record.get("answer"))
    return answers is not None and answers != []


def accept_drafts(folder: Path, ids: Sequence[str] | None = None) -> Accepted:
    """Take the mark off the folder's drafts that have answers: off all, or off those of ``ids``.

    Raises:
        InvalidInput: no samples, or no draft has one of the ids.
    """
    records = read_records(folder)
    drafts = {str(record.get("id")): record for record in records if is_draft(record)}
    for name in ids or ():
        if name not in drafts:
            raise InvalidInput(
                f"no draft is called {one_line(name, 80)!r}", hint=did_you_mean(name, drafts)
            )
    chosen = [record for name, record in drafts.items() if ids is None or name in ids]
    ready = [record for record in chosen if has_answers(record)]
    for record in ready:
        del record["draft"]
    if ready:
        write_records(folder, records)
    return Accepted(len(ready), len(chosen) - len(ready))
