"""Keeps published data sets as task folders in the cache of this machine.

::

    $XDG_CACHE_HOME/docvlm-bench/tasks/<task>/<revision>-<columns>/
      pages/<sha256>.png      every image once, whoever asks about it
      task.toml               a copy, so that the folder is a task like any other
      samples.jsonl           written after the pages, all of it or nothing
      done.json               commit marker, last: where the rows came from, what was left out

Rows are read one by one, and their pages are written and forgotten: memory does not grow with the data set.
A folder without ``done.json`` was interrupted and is made again; pages that exist are not written twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from bench.errors import InvalidInput
from bench.files import open_temporary, storage_errors, write_atomically, write_json
from bench.formatting import plural
from bench.litter import remove_litter
from bench.parsing import MAX_TOML_BYTES, parse_toml, read_json_object, read_text
from bench.paths import user_cache
from bench.tasks.cells import Row, image_bytes, image_suffix
from bench.tasks.datasettable import DatasetTable
from bench.tasks.mapping import Mapper, is_vlmevalkit, vlmevalkit_table
from bench.tasks.rows import DatasetRows, fingerprint, md5, open_rows
from bench.tasks.samples import SAMPLES
from bench.tasks.taskfile import TASK_FILE, TaskFile
from bench.text import file_name, one_line, utc_now

MARKER = "done.json"
PAGES = "pages"

_LOCAL = "local-"
"""Begins the name of a folder that was made from files on this machine, not from the hub."""

Progress = Callable[[int], None]
"""Called with the number of rows read so far."""


class HubFiles(NamedTuple):
    """The downloaded files of a hub repository."""

    folder: Path
    hub_id: str
    revision: str
    """The commit, 40 hexadecimal digits."""


class CachedTask(NamedTuple):
    """A complete data set in the cache."""

    folder: Path
    facts: Mapping[str, Any]
    """The content of ``done.json``."""


class HubOrigin(NamedTuple):
    """Where the samples of a published data set come from."""

    hub_id: str
    config: str | None
    split: str
    revision: str
    """The commit, 40 hexadecimal digits."""
    remarks: tuple[str, ...]
    """How the rows differ from what is published, in words; empty if they do not."""


def cache_root() -> Path:
    """Return the folder that holds the data sets: ``docvlm-bench/tasks`` in the user's cache."""
    return user_cache() / "tasks"


def find_made(name: str, spec: TaskFile) -> CachedTask | None:
    """Return the complete copy of the task's data that ``bench pull`` made; None if there is none.

    Without a pinned revision it is the copy that was pulled last.
    """
    revision = _table(spec).revision
    pattern = _folder(name, revision[:12] if revision else "*", spec)
    complete = [
        CachedTask(folder, read_json_object(folder / MARKER))
        for folder in pattern.parent.glob(pattern.name)
        if (folder / MARKER).is_file() and not folder.name.startswith(_LOCAL)
    ]
    return max(complete, key=lambda task: str(task.facts.get("finished")), default=None)


def make_from_hub(
    name: str, folder: Path, spec: TaskFile, files: HubFiles, progress: Progress | None = None
) -> CachedTask:
    """Make the task's data from downloaded files, once for each revision.

    ``folder`` holds the task file.

    Raises:
        InvalidInput: a row is not what the task's ``[dataset]`` says.
        EnvironmentProblem: the cache cannot be written.
    """
    table = _table(spec)
    out = _folder(name, files.revision[:12], spec)
    if (out / MARKER).is_file():
        return _refreshed(folder, out)
    origin = {"hub_id": files.hub_id, "revision": files.revision}
    return _make(folder, spec, open_rows(files.folder, table), out, origin, progress)


def make_from_path(
    name: str, folder: Path, spec: TaskFile, path: Path, progress: Progress | None = None
) -> CachedTask:
    """Make the task's data from files at ``path`` on this machine, once for each state of the files.

    Raises:
        InvalidInput: nothing readable lies there, or a row is not what ``[dataset]`` says.
        EnvironmentProblem: the cache cannot be written.
    """
    table = _table(spec)
    out = _folder(name, f"{_LOCAL}{fingerprint(path)[:12]}", spec)
    if (out / MARKER).is_file():
        return _refreshed(folder, out)
    source = open_rows(path, table)
    origin: dict[str, Any] = {"path": str(path.expanduser().resolve())}
    if source.kind == "tsv" and path.is_file() and table.tsv_md5 is not None:
        origin["is_published_tsv"] = md5(path) == table.tsv_md5
    return _make(folder, spec, source, out, origin, progress)


def provenance(folder: Path) -> str:
    """Say in one line where the samples of a cached task come from; empty for any other task."""
    if not (folder / MARKER).is_file():
        return ""
    facts = read_json_object(folder / MARKER)
    parts = [str(facts.get("hub_id") or facts.get("path") or "")]
    parts += [f"{key} {facts[key]}" for key in ("config", "split", "revision") if facts.get(key)]
    parts += [
        f"{plural(count, 'row')} {why} left out" for why, count in facts.get("left_out", {}).items()
    ]
    if facts.get("is_published_tsv") is False:
        parts.append("not the file that VLMEvalKit publishes (MD5 differs)")
    if facts.get("expected_rows") not in (None, facts.get("rows")):
        parts.append(f"{facts.get('rows')} rows where {facts['expected_rows']} are documented")
    return ", ".join(one_line(part, 300) for part in parts)


_ORIGIN = re.compile(
    r"(?P<hub_id>[\w.-]+/[\w.-]+)(, config (?P<config>[^,]+))?, split (?P<split>[^,]+), "
    r"revision (?P<revision>[0-9a-f]{40})(, (?P<remarks>.+))?"
)


def hub_origin(source: str) -> HubOrigin | None:
    """Read what ``provenance`` has said of a data set of the hub; None for any other source of a task."""
    match = _ORIGIN.fullmatch(source)
    if match is None:
        return None
    remarks = tuple(match["remarks"].split(", ")) if match["remarks"] else ()
    return HubOrigin(match["hub_id"], match["config"], match["split"], match["revision"], remarks)


def _table(spec: TaskFile) -> DatasetTable:
    if spec.dataset is None:
        raise InvalidInput(
            "the task file has no [dataset] table",
            hint="bench list tasks shows the published data sets",
        )
    return spec.dataset


def _folder(name: str, revision: str, spec: TaskFile) -> Path:
    """Return the folder for the rows of one revision, as the task file reads them."""
    reading = _table(spec).digest(spec.answer_type)[:12]
    return cache_root() / file_name(name) / f"{revision}-{reading}"


def refresh(folder: Path, out: Path) -> Path:
    """Return ``out`` with the task file of ``folder``: its prompt or metrics may have changed."""
    text = read_text(folder / TASK_FILE, MAX_TOML_BYTES)
    target = out / TASK_FILE
    if not target.is_file() or read_text(target, MAX_TOML_BYTES) != text:
        write_atomically(target, text)
    schema = parse_toml(text, folder / TASK_FILE).get("schema")
    if isinstance(schema, str) and (folder / Path(schema).name).is_file():
        # The schema of the answers lies beside the task file.
        write_atomically(out / Path(schema).name, read_text(folder / Path(schema).name))
    return out


def _refreshed(folder: Path, out: Path) -> CachedTask:
    return CachedTask(refresh(folder, out), read_json_object(out / MARKER))


def _make(
    folder: Path,
    spec: TaskFile,
    source: DatasetRows,
    out: Path,
    origin: Mapping[str, Any],
    progress: Progress | None,
) -> CachedTask:
    """Write the pages, the samples and, last, the marker of a data set into ``out``."""
    table = _table(spec)
    first = next(source.rows, None)
    if first is None:
        raise InvalidInput(f"{one_line(source.root)} contains no rows")
    shares_images = source.kind == "tsv" and is_vlmevalkit(first)
    if shares_images:
        table = vlmevalkit_table(table, spec.answer_type, first)
    store = _PageStore(out / PAGES, source)
    mapper = Mapper(table, spec.answer_type, store.keep, shares_images=shares_images)
    with storage_errors(out):
        store.folder.mkdir(parents=True, exist_ok=True)
        remove_litter(out)
        try:
            samples = _write_samples(out, mapper, chain([first], source.rows), store, progress)
        except InvalidInput as error:
            message = f"{one_line(source.root)}, {error.message}"
            raise InvalidInput(message, hint=error.hint) from None
    if samples == 0:
        raise InvalidInput(
            f"none of the {mapper.rows} rows can be asked and scored: "
            + ", ".join(f"{plural(count, 'row')} {why}" for why, count in mapper.left_out.items()),
            hint="the answers of many test splits are not public; use the validation split",
        )
    refresh(folder, out)
    facts = {
        **origin,
        "config": table.config,
        "split": table.split,
        "kind": source.kind,
        "rows": mapper.rows,
        "expected_rows": table.rows,
        "samples": samples,
        "pages": store.count,
        "bytes": store.bytes,
        "left_out": dict(mapper.left_out),
        "finished": utc_now(),
    }
    # The marker promises that the pages are on the disk, and nobody has waited for that yet.
    os.sync()
    write_json(out / MARKER, facts)
    return CachedTask(out, facts)


def _write_samples(
    out: Path, mapper: Mapper, rows: Iterator[Row], store: _PageStore, progress: Progress | None
) -> int:
    """Write ``samples.jsonl`` line by line; it gets its name when it is complete."""
    count = 0
    with _replacing(out / SAMPLES) as stream:
        for row in rows:
            for sample in mapper.samples(row):
                line = json.dumps(sample, ensure_ascii=False) + "\n"
                stream.write(line.encode("utf-8", "backslashreplace"))
                count += 1
            if progress is not None:
                progress(mapper.rows)
        stream.flush()
        os.fsync(stream.fileno())
    return count


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write into that becomes ``path`` when the block ends, and nothing if it fails."""
    descriptor, temporary = open_temporary(path)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


class _PageStore:
    """Stores pages by content: an image that a thousand rows repeat is one file."""

    def __init__(self, folder: Path, source: DatasetRows) -> None:
        self.folder, self.root = folder, source.root
        self.count = self.bytes = 0
        self._known: set[str] = set()

    def keep(self, cell: Any) -> str:
        """Store an image cell and return its path, relative to the task's folder."""
        data = image_bytes(cell, self.root)
        name = f"{hashlib.sha256(data).hexdigest()[:24]}{image_suffix(data)}"
        if name not in self._known:
            self._write(name, data)
            self._known.add(name)
            self.count += 1
            self.bytes += len(data)
        return f"{PAGES}/{name}"

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        if path.is_file() and path.stat().st_size == len(data):
            return
        with _replacing(path) as stream:
            stream.write(data)
