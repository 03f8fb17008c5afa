"""A task cut in two by document, for tuning on one part and measuring on the other.

Documents are cut, not questions: a model tuned on one question of a page has seen the page. Files of equal
content count as one document, whatever they are called, and so do all documents that share a page.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.files import storage_errors, write_atomically
from bench.tasks.loading import check_task, documents_root, read_samples
from bench.tasks.samples import SampleRow
from bench.tasks.taskfile import TaskFile, check_task_file
from bench.text import one_line

PARTS = ("train", "test")


class Split(NamedTuple):
    """The two parts, as task folders."""

    train: Path
    test: Path
    train_documents: int
    test_documents: int


def split_task(folder: Path, share: float, seed: int, parent: Path | None = None) -> Split:
    """Write ``NAME-train`` and ``NAME-test`` into ``parent`` (by default beside ``folder``).

    Both are complete tasks with page files of their own (hard links where the disk allows), and say in
    the samples' metadata which part they are. The choice depends on the pages' contents, ``share`` and
    ``seed`` alone, not on names or order.

    Args:
        folder: a task that can be loaded. Its drafts are left out.
        share: of the documents that go to ``train``, above 0 and below 1.
        seed: any integer.
        parent: an existing folder, or one to be made.

    Raises:
        InvalidInput: the task has problems or fewer than two documents, or a part exists already.
    """
    if not 0 < share < 1:
        raise InvalidInput(f"expected a share above 0 and below 1, got {share}")
    _, problems = check_task(folder)
    if problems:
        raise InvalidInput(
            f"{problems[0]} (and {len(problems) - 1} more)" if problems[1:] else str(problems[0]),
            hint=f"bench data validate {one_line(str(folder))}",
        )
    spec = TaskFile()
    if (folder / "task.toml").is_file():
        spec = check_task_file(folder / "task.toml").spec
    name = folder.resolve().name
    outs = [(parent or folder.resolve().parent) / f"{name}-{part}" for part in PARTS]
    for out in outs:
        if out.exists():
            raise InvalidInput(
                f"{one_line(str(out))} exists already", hint="remove it, or name another --out"
            )
    root = documents_root(folder, spec)
    rows = read_samples(folder, spec)
    clusters = _clusters(rows, root)
    if len(clusters) < 2:
        raise InvalidInput(
            f"{one_line(str(folder))} has one document only, which cannot be split",
            hint="bench data split needs at least two different documents",
        )
    Random(f"split/{seed}").shuffle(clusters)
    cut = min(max(1, round(share * len(clusters))), len(clusters) - 1)
    with storage_errors(outs[0].parent):
        for part, out, chosen in zip(PARTS, outs, (clusters[:cut], clusters[cut:]), strict=True):
            numbers = sorted(number for cluster in chosen for number in cluster)
            _write_part(folder, spec, out, part, root, [rows[n] for n in numbers])
    return Split(outs[0], outs[1], cut, len(clusters) - cut)


def _clusters(rows: Sequence[SampleRow], root: Path) -> list[list[int]]:
    """Row numbers by document, in the order of the pages' contents."""
    digests: dict[str, str] = {}
    for name in {name for row in rows for name in row.files}:
        with (root / name).open("rb") as stream:
            digests[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    parent: dict[str, str] = {digest: digest for digest in digests.values()}

    def top(digest: str) -> str:
        while parent[digest] != digest:
            digest = parent[digest]
        return digest

    for row in rows:
        tops = sorted({top(digests[name]) for name in row.files})
        for other in tops[1:]:
            parent[other] = tops[0]
    found: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        found.setdefault(top(digests[row.files[0]]), []).append(number)
    return [found[key] for key in sorted(found)]


def _write_part(
    folder: Path, spec: TaskFile, out: Path, part: str, root: Path, rows: Sequence[SampleRow]
) -> None:
    pages = out / spec.documents if spec.documents is not None else out
    for name in dict.fromkeys(name for row in rows for name in row.files):
        target = pages / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy((root / name).resolve(), target)
    if (folder / "task.toml").is_file():
        write_atomically(out / "task.toml", _renamed(folder / "task.toml", spec, part))
    lines = [json.dumps(_record(row, spec, part), ensure_ascii=False) + "\n" for row in rows]
    write_atomically(out / "samples.jsonl", "".join(lines))


def _record(row: SampleRow, spec: TaskFile, part: str) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": row.id,
        "images": list(row.files),
        "question": row.question,
        "answers": list(row.references),
        "metadata": {**row.metadata, "split": part},
    }
    if row.answer_type != spec.answer_type:
        record["answer_type"] = row.answer_type
    return record


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _renamed(path: Path, spec: TaskFile, part: str) -> str:
    """The task file's text with the part in its name: two tasks of a run need two names."""
    text = path.read_text(encoding="utf-8-sig")
    if spec.name is None:
        return text
    wanted = json.dumps(f"{spec.name}-{part}", ensure_ascii=False)
    head, bracket, rest = text.partition("\n[")
    renamed, count = re.subn(r"(?m)^(\s*name\s*=).*$", lambda m: f"{m[1]} {wanted}", head, count=1)
    if count != 1:
        raise InvalidInput(
            f"{path}: its name could not be changed for the parts",
            hint='write name = "…" on a line',
        )
    return renamed + bracket + rest
