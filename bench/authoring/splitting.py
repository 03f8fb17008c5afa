"""Splits a task by document, for tuning on one part and measuring on another.

Documents are split, not questions: a model that was tuned on one question of a page has seen the page. Files
of equal content, and files whose pages show the same pixels, count as one document, whatever their names.
So do all documents that share a page.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import tomlkit

from bench.authoring.drafts import write_records
from bench.errors import InvalidInput
from bench.files import write_atomically
from bench.formatting import plural
from bench.litter import is_free, new_folder
from bench.schema import Json
from bench.tasks.contents import clusters, page_contents
from bench.tasks.loading import CheckedTask, check_task
from bench.tasks.samples import NO_SAMPLES, SampleRow, samples_file
from bench.tasks.schemas import TaskSchemas
from bench.tasks.taskfile import TASK_FILE, TaskFile, has_task_file, read_task_document
from bench.text import one_line

TRAIN, VALIDATION, TEST = PARTS = ("train", "validation", "test")


class Split(NamedTuple):
    """The parts, as task folders."""

    train: Path
    test: Path
    train_documents: int
    test_documents: int
    validation: Path | None = None
    """None if no validation part was asked for."""
    validation_documents: int = 0


def split_task(
    folder: Path, share: float, seed: int, parent: Path | None = None, *, validation: float = 0.0
) -> Split:
    """Write ``NAME-train``, ``NAME-test`` and, if asked, ``NAME-validation`` into ``parent``.

    The parts are complete tasks with page files of their own (hard links where the disk allows), and the
    metadata of their samples name the part. Which document goes where depends on the contents of the pages,
    the shares and ``seed`` alone, not on names or order.

    Args:
        folder: a task that can be loaded. Its drafts are left out.
        share: of the documents that go to ``train``, above 0 and below 1.
        seed: any integer.
        parent: an existing folder, or one to be made; by default the folder that holds ``folder``.
        validation: share of the documents that decide when a training was best; 0 for no such part.

    Raises:
        InvalidInput: the task has problems or fewer documents than parts, or a part exists already.
    """
    _check_shares(share, validation)
    if samples_file(folder) is None:
        raise InvalidInput(
            f"{one_line(folder)} {NO_SAMPLES}", hint="only a task with a samples file can be split"
        )
    checked = check_task(folder)
    checked.require_task(folder)
    outs = _part_folders(folder, parent, with_validation=validation > 0)
    documents = _documents(checked)
    if len(documents) < len(outs):
        raise InvalidInput(
            f"{one_line(folder)} has only {plural(len(documents), 'different document')}, "
            f"too few for {len(outs)} parts",
            hint=f"{len(outs)} parts need at least {len(outs)} different documents",
        )
    Random(f"split/{seed}").shuffle(documents)
    chosen = _shared_out(documents, share, validation)
    with contextlib.ExitStack() as unfinished:
        for part, out in outs.items():
            numbers = sorted(number for document in chosen[part] for number in document)
            rows = [checked.rows[number] for number in numbers]
            _write_part(folder, checked, unfinished.enter_context(new_folder(out)), part, rows)
    return Split(
        train=outs[TRAIN],
        test=outs[TEST],
        train_documents=len(chosen[TRAIN]),
        test_documents=len(chosen[TEST]),
        validation=outs.get(VALIDATION),
        validation_documents=len(chosen[VALIDATION]),
    )


def _check_shares(share: float, validation: float) -> None:
    if not 0 < share < 1:
        raise InvalidInput(f"expected a share above 0 and below 1, got {share}")
    if not 0 <= validation < 1 - share:
        raise InvalidInput(
            f"{share:g} of the documents for training and {validation:g} for validation leave none to test",
            hint="--train 0.7 --validation 0.1",
        )


def _part_folders(folder: Path, parent: Path | None, *, with_validation: bool) -> dict[str, Path]:
    """Return part → its folder, which must not exist yet."""
    whole = folder.resolve()
    parts = [part for part in PARTS if part != VALIDATION or with_validation]
    outs = {part: (parent or whole.parent) / f"{whole.name}-{part}" for part in parts}
    for out in outs.values():
        if not is_free(out) or out.exists():
            raise InvalidInput(
                f"{one_line(out)} exists already", hint="remove it, or name another --out"
            )
    return outs


def _documents(checked: CheckedTask) -> list[list[int]]:
    """Return the numbers of the rows of each document, in the order of the files' contents."""
    # Files that only drafts name are no part of the task.
    pages_by_file = {name: checked.pages[name] for row in checked.rows for name in row.files}
    contents = page_contents(page for pages in pages_by_file.values() for page in pages)
    keys: dict[str, list[str]] = {}
    for name, pages in pages_by_file.items():
        # "pixels" sorts behind every digest of a file, whose order the choice has always followed.
        keys[name] = [pages[0].sha256, *(f"pixels {contents[page]}" for page in pages)]
    keys_of_rows: list[list[str]] = []
    for row in checked.rows:
        row_keys: list[str] = []
        for name in row.files:
            row_keys += keys[name]
        keys_of_rows.append(row_keys)
    return clusters(keys_of_rows)


def _shared_out(
    documents: list[list[int]], share: float, validation: float
) -> dict[str, list[list[int]]]:
    """Cut the shuffled documents into parts; every part that was asked for gets at least one."""
    count = len(documents)
    for_validation = min(max(1, round(validation * count)), count - 2) if validation else 0
    for_train = min(max(1, round(share * count)), count - 1 - for_validation)
    rest = for_train + for_validation
    return {
        TRAIN: documents[:for_train],
        VALIDATION: documents[for_train:rest],
        TEST: documents[rest:],
    }


def _write_part(
    folder: Path, checked: CheckedTask, out: Path, part: str, rows: Sequence[SampleRow]
) -> None:
    documents = _documents_folder(folder, checked)
    names = {name: _own_name(checked, name) for row in rows for name in row.files}
    for name, own in names.items():
        target = out / (documents or "") / own
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(checked.pages[name][0].path.resolve(), target)
    if has_task_file(folder):
        write_atomically(out / TASK_FILE, _task_file(folder, part, documents))
    own_schema = TaskSchemas(folder, checked.spec.json_schema).own
    if isinstance(checked.spec.json_schema, str):
        target = out / checked.spec.json_schema
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy((folder / checked.spec.json_schema).resolve(), target)
    write_records(out, (_record(row, names, checked.spec, own_schema, part) for row in rows))


def _documents_folder(folder: Path, checked: CheckedTask) -> str | None:
    """Return the name that the folder of the pages has in a part; None where the part is that folder.

    The task file may name it in ways that lead back to the whole task, such as ``../task/pages``.
    """
    named = checked.spec.documents
    whole = folder.resolve()
    if named is None or not checked.root.is_relative_to(whole):
        # Pages that come with the package lie outside, and in the parts under the name that stands for them.
        return named
    return checked.root.relative_to(whole).as_posix()


def _own_name(checked: CheckedTask, name: str) -> str:
    """Return the name of a page file, as it stands in the folder: a line may have written it otherwise."""
    return checked.pages[name][0].path.relative_to(checked.root).as_posix()


def _record(
    row: SampleRow, names: Mapping[str, str], spec: TaskFile, own_schema: Json, part: str
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": row.id,
        "images": [names[name] for name in row.files],
        "question": row.question,
        "answers": list(row.references),
        "metadata": {**row.metadata, "split": part},
    }
    if row.answer_type != spec.answer_type:
        record["answer_type"] = row.answer_type
    if row.json_schema is not None and row.json_schema != own_schema:
        record["schema"] = row.json_schema
    return record


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _task_file(folder: Path, part: str, documents: str | None) -> str:
    """Return the text of the task file with the part in its name: two tasks of a run need two names."""
    document = read_task_document(folder)
    if documents is not None:
        document["documents"] = documents
    if "name" in document:
        document["name"] = f"{document['name']}-{part}"
    return tomlkit.dumps(document)
