"""Published data sets as task folders in the cache of this machine.

::

    $XDG_CACHE_HOME/docvlm-bench/tasks/<task>/<revision>-<columns>/
      pages/<sha256>.png      every image once, whoever asks about it
      task.toml               a copy, so that the folder is a task like any other
      samples.jsonl           written in whole, after the pages
      done.json               commit marker, last: where the rows came from, what was left out

Rows are read, their pages written and forgotten one by one: memory does not grow with the data set. What
was interrupted before ``done.json`` is made again, and pages that are there are not written twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.files import read_json, storage_errors, write_atomically, write_json
from bench.tasks.datasettable import DatasetTable
from bench.tasks.mapping import Mapper, is_vlmevalkit, vlmevalkit_table
from bench.tasks.rows import Source, fingerprint, image_bytes, image_suffix, md5, open_rows
from bench.tasks.taskfile import TaskFile
from bench.text import file_name, one_line, utc_now

MARKER = "done.json"
SAMPLES = "samples.jsonl"
PAGES = "pages"

Progress = Callable[[int], None]
"""Called with the number of rows read so far."""


class HubFiles(NamedTuple):
    """Files of a hub repository, downloaded."""

    folder: Path
    hub_id: str
    revision: str
    """The commit, 40 hexadecimal digits."""


class Made(NamedTuple):
    """A data set in the cache."""

    folder: Path
    facts: Mapping[str, Any]
    """The content of ``done.json``."""


def cache_root() -> Path:
    """Where data sets are kept: ``docvlm-bench/tasks`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "docvlm-bench" / "tasks"


def find_made(name: str, spec: TaskFile) -> Made | None:
    """The complete copy of the task's data that ``bench pull`` made; None where there is none.

    Without a pinned revision it is the one that was pulled last.
    """
    table = _table(spec)
    ending = table.digest(spec.answer_type)[:12]
    pinned = table.revision[:12] if table.revision else "*"
    folders = (cache_root() / file_name(name)).glob(f"{pinned}-{ending}")
    made = [
        Made(folder, read_json(folder / MARKER))
        for folder in folders
        if (folder / MARKER).is_file() and not folder.name.startswith("local-")
    ]
    return max(made, key=lambda m: str(m.facts.get("finished")), default=None)


def make_from_hub(
    name: str, folder: Path, spec: TaskFile, files: HubFiles, progress: Progress | None = None
) -> Made:
    """The task's data from downloaded files; ``folder`` is the task's own. Made once a revision.

    Raises:
        InvalidInput: a row is not what the task's ``[dataset]`` says.
        EnvironmentProblem: the cache cannot be written.
    """
    table = _table(spec)
    key = f"{files.revision[:12]}-{table.digest(spec.answer_type)[:12]}"
    out = cache_root() / file_name(name) / key
    if (out / MARKER).is_file():
        return Made(refresh(folder, out), read_json(out / MARKER))
    origin = {"hub_id": files.hub_id, "revision": files.revision}
    return _make(folder, spec, open_rows(files.folder, table), out, origin, progress)


def make_from_path(
    name: str, folder: Path, spec: TaskFile, path: Path, progress: Progress | None = None
) -> Made:
    """The task's data from files at ``path`` on this machine; made once for each state of the files.

    Raises:
        InvalidInput: nothing readable lies there, or a row is not what ``[dataset]`` says.
        EnvironmentProblem: the cache cannot be written.
    """
    table = _table(spec)
    key = f"local-{fingerprint(path)[:12]}-{table.digest(spec.answer_type)[:12]}"
    out = cache_root() / file_name(name) / key
    if (out / MARKER).is_file():
        return Made(refresh(folder, out), read_json(out / MARKER))
    source = open_rows(path, table)
    origin: dict[str, Any] = {"path": str(path.expanduser().resolve())}
    if source.kind == "tsv" and path.is_file() and table.tsv_md5 is not None:
        origin["is_published_tsv"] = md5(path) == table.tsv_md5
    return _make(folder, spec, source, out, origin, progress)


def provenance(folder: Path) -> str:
    """Where the samples of a cached task come from, in one line; empty for any other task."""
    if not (folder / MARKER).is_file():
        return ""
    facts = read_json(folder / MARKER)
    parts = [str(facts.get("hub_id") or facts.get("path") or "")]
    parts += [f"{key} {facts[key]}" for key in ("config", "split", "revision") if facts.get(key)]
    parts += [f"{count} rows {why} left out" for why, count in facts.get("left_out", {}).items()]
    if facts.get("is_published_tsv") is False:
        parts.append("not the file that VLMEvalKit publishes (MD5 differs)")
    if facts.get("expected_rows") not in (None, facts.get("rows")):
        parts.append(f"{facts.get('rows')} rows where {facts['expected_rows']} are documented")
    return ", ".join(one_line(part, 300) for part in parts)


def _table(spec: TaskFile) -> DatasetTable:
    if spec.dataset is None:
        raise InvalidInput("the task has no [dataset]", hint="only published data sets have one")
    return spec.dataset


def refresh(folder: Path, out: Path) -> Path:
    """``out``, with the task file as it now is in ``folder``: its prompt or metrics may have changed."""
    text = (folder / "task.toml").read_text(encoding="utf-8-sig")
    target = out / "task.toml"
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        write_atomically(target, text)
    return out


def _make(
    folder: Path, spec: TaskFile, source: Source, out: Path, origin: Mapping[str, Any],
    progress: Progress | None,
) -> Made:  # fmt: skip
    table = _table(spec)
    first = next(source.rows, None)
    if first is None:
        raise InvalidInput(f"{one_line(str(source.root))} holds no rows")
    shares_images = source.kind == "tsv" and is_vlmevalkit(first, table)
    if shares_images:
        table = vlmevalkit_table(table, spec.answer_type)
    store = _PageStore(out / PAGES, source)
    mapper = Mapper(table, spec.answer_type, store.keep, shares_images=shares_images)
    with storage_errors(out):
        store.folder.mkdir(parents=True, exist_ok=True)
        samples = _write_samples(out, mapper, chain([first], source.rows), store, progress)
    if samples == 0:
        raise InvalidInput(
            f"none of the {mapper.rows} rows can be asked and scored: "
            + ", ".join(f"{count} {why}" for why, count in mapper.left_out.items()),
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
    # The marker vouches for pages that were written without waiting for the disk.
    os.sync()
    write_json(out / MARKER, facts)
    return Made(out, facts)


def _write_samples(
    out: Path, mapper: Mapper, rows: Iterator[Any], store: _PageStore, progress: Progress | None
) -> int:
    """Write ``samples.jsonl`` line by line; it gets its name when it is complete."""
    count = 0
    descriptor, temporary = tempfile.mkstemp(prefix=".samples.", dir=out)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            for row in rows:
                for sample in mapper.samples(row):
                    stream.write(json.dumps(sample, ensure_ascii=False) + "\n")
                    count += 1
                if progress is not None:
                    progress(mapper.rows)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(out / SAMPLES)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    return count


class _PageStore:
    """Pages by content: an image that a thousand rows repeat is one file."""

    def __init__(self, folder: Path, source: Source) -> None:
        self.folder, self.root = folder, source.root
        self.count = self.bytes = 0
        self._known: set[str] = set()

    def keep(self, cell: Any) -> str:
        """Store an image cell; its path relative to the task's folder."""
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
        temporary = path.with_name(f".{name}.{os.getpid()}")
        temporary.write_bytes(data)
        temporary.replace(path)
