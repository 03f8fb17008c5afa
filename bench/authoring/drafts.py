"""Reads and writes the lines of ``samples.jsonl`` as they stand, and accepts drafts.

A draft (``"draft": true``) is a question whose answers no person has confirmed. The loader leaves drafts
out; accepting one removes the mark. ``metadata.drafted_by`` stays, because references that a model wrote
itself are no fair measure of that model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput, did_you_mean
from bench.files import write_atomically
from bench.parsing import MAX_TABLE_BYTES, Unreadable, kind_of, parse_json, read_text
from bench.tasks.samples import SAMPLES
from bench.text import one_line, shell_word


class Accepted(NamedTuple):
    """What ``accept_drafts`` did."""

    accepted: int
    without_answers: int
    """Drafts that stay drafts, because they have no answers."""
    absent: int = 0
    """Drafts that say that the document does not have the answer: among the accepted ones if that was
    confirmed, and otherwise drafts still."""
    left: tuple[str, ...] = ()
    """Ids of the drafts that stay drafts, each with the reason in brackets."""


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Read every line of the folder's ``samples.jsonl``, in order.

    Raises:
        InvalidInput: the file does not exist, or a line is not a JSON object with an object of metadata.
    """
    path = folder / SAMPLES
    if not os.path.lexists(path):
        raise InvalidInput(
            f"{one_line(folder)} has no {SAMPLES}", hint=f"bench data init {shell_word(folder)}"
        )
    lines = read_text(path, MAX_TABLE_BYTES).split("\n")
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = parse_json(line, path)
        except Unreadable:
            record = None
        if not isinstance(record, dict):
            raise InvalidInput(
                f"{path}:{number}: expected a JSON object {{…}} on this line",
                hint=f"bench data validate {shell_word(folder)}",
            )
        metadata = record.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise InvalidInput(
                f"{path}:{number}: metadata should be an object, not {kind_of(metadata)}",
                hint=f"bench data validate {shell_word(folder)}",
            )
        records.append(record)
    return records


def write_records(folder: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write ``samples.jsonl``, all of it or nothing."""
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    write_atomically(folder / SAMPLES, "".join(lines))


def record_files(record: dict[str, Any]) -> tuple[str, ...]:
    """Return the page files that a line names; none if it does not name them properly."""
    value = next((record[k] for k in ("images", "image", "document") if record.get(k)), None)
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(names)


def is_draft(record: dict[str, Any]) -> bool:
    """Say whether no person has confirmed the line yet."""
    return record.get("draft") is True


def has_answers(record: dict[str, Any]) -> bool:
    """Say whether the line has answers; the empty string (not on the page) is one."""
    answers = record.get("answers", record.get("answer"))
    return answers is not None and answers != []


def says_absent(record: dict[str, Any]) -> bool:
    """Say whether the line says that the document does not have the answer: all its answers are empty."""
    answers = record.get("answers", record.get("answer"))
    values = answers if isinstance(answers, list) else [answers]
    return has_answers(record) and all(_is_empty(value) for value in values)


def _is_empty(value: Any) -> bool:
    return value in ({}, []) or (isinstance(value, str) and not value.strip())


def is_open(record: dict[str, Any]) -> bool:
    """Say whether a draft has no answer yet; an empty one that a model gave is none."""
    drafted = (record.get("metadata") or {}).get("drafted_by")
    return is_draft(record) and (
        not has_answers(record) or (drafted is not None and says_absent(record))
    )


def accept_drafts(
    folder: Path, ids: Sequence[str] | None = None, *, absent: bool = False
) -> Accepted:
    """Accept the drafts of the folder that have answers: all, or those with one of ``ids``.

    Drafts with an empty answer stay drafts unless ``absent`` confirms that the documents do not have it: most
    empty answers are those that nobody found.

    Raises:
        InvalidInput: there are no samples, or no draft has one of the ids.
    """
    records = read_records(folder)
    # Two drafts may have one id, which is for the person to see and not to lose.
    drafts = [(str(record.get("id")), record) for record in records if is_draft(record)]
    known = {sample_id for sample_id, _ in drafts}
    for sample_id in ids or ():
        if sample_id not in known:
            raise InvalidInput(
                f"no draft has the id {one_line(sample_id, 80)!r}",
                hint=did_you_mean(sample_id, known),
            )
    chosen = [record for sample_id, record in drafts if ids is None or sample_id in ids]
    answered = [record for record in chosen if has_answers(record)]
    empty = [record for record in answered if says_absent(record)]
    confirmed = answered if absent else [record for record in answered if not says_absent(record)]
    for record in confirmed:
        del record["draft"]
    if confirmed:
        write_records(folder, records)
    left = [f"{record.get('id')} (no answer yet)" for record in chosen if not has_answers(record)]
    left += [f"{record.get('id')} (an empty answer)" for record in empty if is_draft(record)]
    return Accepted(len(confirmed), len(chosen) - len(answered), len(empty), tuple(left))
