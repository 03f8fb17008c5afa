"""Keeps what a person decided about the findings of an audit.

Accepted findings are not shown again. Mended ones change the references, and with them the task's version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import tomlkit

from bench.authoring.audit import Finding
from bench.authoring.drafts import read_records, write_records
from bench.errors import InvalidInput
from bench.files import write_atomically, write_json, write_lines
from bench.parsing import MAX_TABLE_BYTES, kind_of, parse_json, read_json_object, read_text
from bench.schema import MENDED, Task
from bench.tasks.samples import SAMPLES
from bench.tasks.taskfile import TASK_FILE, has_task_file, read_task_document
from bench.text import one_line, shell_word

ACCEPTED_FILE = "audit.json"
"""In the folder of a task: the findings that a person has looked at and accepted."""

DECISIONS = ("", "accept", "mend")

_MENDED = re.compile(rf"(?P<version>.*){re.escape(MENDED)}(?P<number>[0-9]{{1,9}})")


class Decided(NamedTuple):
    """What ``apply_decisions`` did."""

    accepted: int
    mended: int
    """Questions whose references changed."""
    removed: int
    """Questions that were removed."""
    version: str | None
    """The task's new version; None if no question changed."""


def accepted_keys(folder: Path) -> frozenset[str]:
    """Keys of the findings that were accepted.

    Raises:
        InvalidInput: the file is damaged.
    """
    path = folder / ACCEPTED_FILE
    if not path.is_file():
        return frozenset()
    keys = read_json_object(path).get("accepted")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise InvalidInput(f'{path}: expected an object like {{"accepted": ["…"]}}')
    return frozenset(keys)


def write_findings(
    path: Path, findings: Iterable[Finding], task: Task, accepted: frozenset[str] = frozenset()
) -> int:
    """Write one finding a line, with its references, for a person to decide on.

    What a person has decided in ``path`` stays, until it is carried out.

    Args:
        path: a new file, or one of findings.
        findings: what the audit has found.
        task: the task that was audited.
        accepted: keys of the findings that were accepted.

    Returns:
        How many decisions of ``path`` were kept.

    Raises:
        InvalidInput: ``path`` is a file of something else.
    """
    references = {sample.id: list(sample.references) for sample in task.samples}
    earlier = _findings_in(path) if path.exists() else []
    still_open = {row["key"]: row for row in earlier if _is_open(row, references, accepted)}
    rows: list[Mapping[str, Any]] = []
    for finding in findings:
        own = {id_: references[id_] for id_ in finding.ids}
        new = {
            "key": finding.key,
            "decision": "",
            **asdict(finding),
            "references": own,
            "answers": own,
        }
        rows.append(still_open.pop(finding.key, new))
    # An audit without the same --run or --against finds less.
    rows += still_open.values()
    write_lines(path, rows)
    return sum(1 for row in rows if row["decision"])


def _findings_in(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of findings.

    Raises:
        InvalidInput: a line is not a finding.
    """
    rows = []
    # Not ``read_lines``: an editor may leave the last line without its end, and it counts.
    for number, line in enumerate(read_text(path, MAX_TABLE_BYTES).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        row = parse_json(line, where)
        if not isinstance(row, dict):
            raise InvalidInput(f"{where}: expected a JSON object {{…}} on this line")
        if not isinstance(row.get("key"), str) or "decision" not in row:
            raise InvalidInput(
                f"{where}: this line is no finding of an audit: the key or the decision is missing",
                hint="name a file of findings, or one that does not exist",
            )
        rows.append(row)
    return rows


def _is_open(
    row: Mapping[str, Any], references: Mapping[str, list[str]], accepted: frozenset[str]
) -> bool:
    """Whether a person has decided or corrected ``row``, and that has not been carried out."""
    answers = row.get("answers")
    if row["decision"] == "accept":
        return row["key"] not in accepted
    if row["decision"] == "mend" and isinstance(answers, dict):
        return any(references.get(id_) != answer for id_, answer in answers.items())
    return bool(row["decision"]) or answers != row.get("references", answers)


def apply_decisions(folder: Path, path: Path) -> Decided:
    """Carry out the decisions in ``path``, a file of ``write_findings`` that a person edited.

    Raises:
        InvalidInput: a line is not valid, or the task is not one that can be changed here.
    """
    rows = _findings_in(path) if path.exists() else []
    if not rows:
        fault = "contains no finding" if path.exists() else "does not exist"
        raise InvalidInput(
            f"{path} {fault}",
            hint=f"bench data audit {shell_word(folder)} --out {shell_word(path)}",
        )
    for number, row in enumerate(rows, 1):
        _check(row, f"{path}:{number}")
    accepted = [row["key"] for row in rows if row["decision"] == "accept"]
    wanted: dict[str, Sequence[Any] | None] = {}
    for row in rows:
        if row["decision"] == "mend":
            _collect(wanted, row["answers"], path)
    if wanted and not (folder / SAMPLES).is_file():
        raise InvalidInput(
            f"{folder} has no {SAMPLES}, and references in other files are not changed",
            hint="correct them by hand, and raise the version in task.toml",
        )
    records = read_records(folder) if wanted else []
    known = {str(record.get("id")) for record in records}
    for id_ in wanted:
        if id_ not in known:
            raise InvalidInput(f"{path}: {folder} has no question {one_line(id_, 80)!r}")
    kept, mended, removed = _mended(records, wanted)
    version = None
    if wanted and not kept:
        raise InvalidInput(f"{path}: no question would be left in {folder}")
    if mended or removed:
        # The version first: references of a new version under an old one would be mistaken for the old ones.
        version = _raise_version(folder)
        write_records(folder, kept)
    if accepted:
        keys = sorted(accepted_keys(folder) | set(accepted))
        write_json(folder / ACCEPTED_FILE, {"accepted": keys})
    return Decided(len(accepted), mended, removed, version)


def _check(row: Mapping[str, Any], where: str) -> None:
    decision = row.get("decision")
    if decision not in DECISIONS:
        raise InvalidInput(
            f'{where}: decision should be "accept", "mend" or "", not {kind_of(decision)}'
        )
    if decision != "mend":
        return
    answers = row.get("answers")
    if not isinstance(answers, dict) or not answers:
        raise InvalidInput(
            f"{where}: answers should be an object of question ids, not {kind_of(answers)}"
        )
    for id_, value in answers.items():
        if value is not None and not (isinstance(value, list) and value):
            raise InvalidInput(
                f"{where}: the answers of {one_line(id_, 60)!r} should be a list, or null to remove the "
                f"question, not {kind_of(value)}"
            )


def _collect(
    wanted: dict[str, Sequence[Any] | None], answers: Mapping[str, Any], path: Path
) -> None:
    for id_, value in answers.items():
        if id_ in wanted and wanted[id_] != value:
            raise InvalidInput(
                f"{path}: two findings give {one_line(id_, 60)!r} different answers",
                hint="decide one of them, and run the audit again",
            )
        wanted[id_] = value


def _mended(
    records: Iterable[dict[str, Any]], wanted: Mapping[str, Sequence[Any] | None]
) -> tuple[list[dict[str, Any]], int, int]:
    """The records as they should be, and how many were changed and removed."""
    kept: list[dict[str, Any]] = []
    mended = removed = 0
    for record in records:
        id_ = str(record.get("id"))
        if id_ in wanted and wanted[id_] is None:
            removed += 1
            continue
        old, new = _answers(record), wanted.get(id_)
        if new is not None and old != new:
            if _are_texts(old) and not _are_texts(new):
                raise InvalidInput(
                    f"the answers of {one_line(id_, 60)!r} should be texts, not {one_line(new, 80)}",
                    hint="write them in quotation marks",
                )
            record = {key: value for key, value in record.items() if key != "answer"}
            record["answers"] = new
            mended += 1
        kept.append(record)
    return kept, mended, removed


def _answers(record: Mapping[str, Any]) -> Any:
    answers = record.get("answers", record.get("answer"))
    return answers if isinstance(answers, list) else [answers]


def _are_texts(answers: Sequence[Any]) -> bool:
    return all(isinstance(answer, str) for answer in answers)


def _raise_version(folder: Path) -> str:
    """Give the task its next version: 1 becomes 1+mended.1, which becomes 1+mended.2."""
    document = read_task_document(folder) if has_task_file(folder) else tomlkit.document()
    old = str(document.get("version", "1"))
    mended = _MENDED.fullmatch(old)
    base, number = (mended["version"], int(mended["number"])) if mended else (old, 0)
    version = f"{base}{MENDED}{number + 1}"
    if "version" in document:
        document["version"] = version
    else:
        # Before the tables: a key behind one would belong to it.
        line = f"version = {json.dumps(version)}\n"
        document = tomlkit.parse(line + tomlkit.dumps(document))
    write_atomically(folder / TASK_FILE, tomlkit.dumps(document))
    return version
