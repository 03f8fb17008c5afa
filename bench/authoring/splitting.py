"""A task cut in parts by document, for tuning on one part and measuring on another.

Documents are cut, not questions: a model tuned on one question of a page has seen the page. Files of equal
content, and files whose pages show the same pixels, count as one document, whatever they are called, and
so do all documents that share a page.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.files import storage_errors, write_atomically
from bench.tasks.contents import clusters, page_contents
from bench.tasks.loading import check_task, documents_root, read_samples
from bench.tasks.pages import read_pages
from bench.tasks.samples import SampleRow
from bench.tasks.taskfile import TaskFile, check_task_file
from bench.text import one_line

PARTS = ("train", "validation", "test")


class Split(NamedTuple):
    """The parts, as task folders."""

    train: Path
    test: Path
    train_documents: int
    test_documents: int
    validation: Path | None = None
    """None where none was asked for."""
    validation_documents: int = 0


def split_task(
    folder: Path, share: float, seed: int, parent: Path | None = None, *, validation: float = 0.0
) -> Split:
    """Write ``NAME-train``, ``NAME-test`` and, if asked, ``NAME-validation`` into ``parent``.

    ``parent`` is by default the folder that holds ``folder``. The parts are complete tasks with page files
    of their own (hard links where the disk allows), and say in the samples' metadata which part they are.
    The choice depends on the pages' contents, the shares and ``seed`` alone, not on names or order.

    Args:
        folder: a task that can be loaded. Its drafts are left out.
        share: of the documents that go to ``train``, above 0 and below 1.
        seed: any integer.
        parent: an existing folder, or one to be made.
        validation: share of the documents that choose the best moment of a training; 0 for no such part.

    Raises:
        InvalidInput: the task has problems or fewer documents than parts, or a part exists already.
    """
    if not 0 < share < 1:
        raise InvalidInput(f"expected a share above 0 and below 1, got {share}")
    if not 0 <= validation < 1 - share:
        raise InvalidInput(
            f"{share:g} of the documents for training and {validation:g} for validation leave none to test",
            hint="--train 0.7 --validation 0.1",
        )
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
    parts = [part for part in PARTS if part != "validation" or validation]
    outs = {part: (parent or folder.resolve().parent) / f"{name}-{part}" for part in parts}
    for out in outs.values():
        if out.exists():
            raise InvalidInput(
                f"{one_line(str(out))} exists already", hint="remove it, or name another --out"
            )
    root = documents_root(folder, spec)
    rows = read_samples(folder, spec)
    found = _clusters(rows, root, spec.pdf_dpi)
    if len(found) < len(parts):
        count = "one document" if len(found) == 1 else f"{len(found)} different documents"
        raise InvalidInput(
            f"{one_line(str(folder))} has {count} only, which cannot be split",
            hint=f"{len(parts)} parts need at least {len(parts)} different documents",
        )
    Random(f"split/{seed}").shuffle(found)
    middle = min(max(1, round(validation * len(found))), len(found) - 2) if validation else 0
    cut = min(max(1, round(share * len(found))), len(found) - 1 - middle)
    chosen = {
        "train": found[:cut],
        "validation": found[cut : cut + middle],
        "test": found[cut + middle :],
    }
    with storage_errors(outs["train"].parent):
        for part, out in outs.items():
            numbers = sorted(number for cluster in chosen[part] for number in cluster)
            _write_part(folder, spec, out, part, root, [rows[n] for n in numbers])
    return Split(
        outs["train"],
        outs["test"],
        cut,
        len(chosen["test"]),
        outs.get("validation"),
        middle,
    )


def _clusters(rows: Sequence[SampleRow], root: Path, dpi: int) -> list[list[int]]:
    """Row numbers by document, in the order of the files' contents."""
    pages = {
        name: read_pages((root / name).resolve(), dpi)
        for name in {name for row in rows for name in row.files}
    }
    shown = page_contents(page for found in pages.values() for page in found)
    # What a page shows sorts behind every digest of a file, whose order the choice has always followed.
    keys = {
        name: [found[0].sha256, *(f"pixels {shown[page]}" for page in found)]
        for name, found in pages.items()
    }
    return clusters([[key for name in row.files for key in keys[name]] for row in rows])


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
