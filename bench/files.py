"""Files that survive whatever happens while they are written: atomic files and append-only JSON Lines.

A torn last line (the process died while writing) is not an error: it is cut off when the file is next
appended to, and its work is redone. A bad line anywhere else is an error that names file and line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.errors import EnvironmentProblem, InvalidInput
from bench.text import one_line


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, as ``write_bytes_atomically`` does."""
    write_bytes_atomically(path, text.encode("utf-8", "backslashreplace"))


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` so that ``path`` holds either all of it or what it held before.

    Temporary file in the same folder, fsync, rename, fsync of the folder.

    Raises:
        EnvironmentProblem: the disk is full or the folder cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, 0o644)  # noqa: PTH101  mkstemp's 0600 would hide a run from its readers
            os.replace(name, path)  # noqa: PTH105  the descriptor's name is a str
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108
            raise
        _sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON, atomically."""
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=2, default=plain) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in ``path``.

    Raises:
        InvalidInput: the file is missing, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInput(f"{path} does not exist") from None
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{path}: cannot be read: {one_line(str(error), 120)}") from None


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the file system says into one line that a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise EnvironmentProblem(
                f"the disk is full: {path} could not be written; everything before it is kept",
                hint="free some space and run the same command again: it resumes",
            ) from None
        raise EnvironmentProblem(
            f"{path} cannot be written: {error.strerror or error}",
            hint="choose another folder: --out FOLDER (of a report: --output FOLDER)",
        ) from None


def append_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append ``records`` as JSON lines and wait until they are on the disk.

    A torn last line left by a dead process is cut off first. If the write fails half-way (a full disk),
    the file is cut back to what it was.
    """
    data = _lines(records)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: a buffer that could not be written would be tried again by truncate and by close.
        with path.open("a+b", buffering=0) as stream:
            size = _cut_torn_line(stream)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[stream.write(rest) :]
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(size)
                raise


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write ``records`` as JSON lines, atomically, in place of what ``path`` held."""
    write_bytes_atomically(path, _lines(records))


def _lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    lines = [
        json.dumps(r, ensure_ascii=False, default=plain, separators=(",", ":")) for r in records
    ]
    # Lone surrogates in a model's text are no UTF-8; the escaped form keeps them and stays JSON.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _cut_torn_line(stream: Any) -> int:
    """Truncate to the last newline; returns the length after that."""
    size: int = stream.seek(0, os.SEEK_END)
    end = size
    while end > 0:
        start = max(0, end - 65_536)
        stream.seek(start)
        newline = stream.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end != size:
        stream.truncate(end)
    stream.seek(end)
    return end


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSONL file, a torn last line left out; nothing where the file is missing.

    Raises:
        InvalidInput: a line other than the last is not a JSON object; the message names file and line.
    """
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            if not raw.endswith(b"\n"):
                return
            try:
                record = json.loads(raw)
            except ValueError as error:
                raise InvalidInput(
                    f"{path}:{number}: not a JSON line: {one_line(str(error), 100)}",
                    hint="the file was edited or the disk is damaged; what the line held is lost: remove it",
                ) from None
            if not isinstance(record, dict):
                raise InvalidInput(f"{path}:{number}: expected a JSON object")
            yield record


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def plain(value: Any) -> Any:
    """What JSON does not know: paths, and the schema's dataclasses."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
