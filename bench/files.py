"""Writes files that survive whatever happens meanwhile: atomic files and append-only JSON Lines.

A torn last line (the process died while it wrote) is not an error: it is cut off when the file is next
appended to, and its work is done again. A bad line anywhere else is an error that names file and line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import EnvironmentProblem, InvalidInput
from bench.formatting import byte_size
from bench.parsing import MAX_LINE_BYTES, Unreadable, decoded, open_regular, parse_json
from bench.text import one_line, shell_word

MARKED_BYTES = 2**16
"""At each end of a file, where ``check_replaceable`` looks for what says which kind of file it is."""


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, as ``write_bytes_atomically`` does."""
    write_bytes_atomically(path, text.encode("utf-8", "backslashreplace"))


def write_bytes_atomically(path: Path, data: bytes, *, is_synced: bool = True) -> None:
    """Write ``data`` so that ``path`` holds either all of it or what it held before.

    A temporary file in the same folder, whose name holds this process, is written, fsynced and renamed;
    then the folder is fsynced. Without ``is_synced`` the caller does both later (``sync_files``).

    Raises:
        EnvironmentProblem: the disk is full, or the folder cannot be written to.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = open_temporary(path)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                if is_synced:
                    os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        if is_synced:
            _sync(path.parent)


def check_replaceable(path: Path, what: str, mark: str) -> None:
    """Refuse to replace a file that a person named for ``what`` if it is something else.

    A file that does not exist or is empty may be written.

    Args:
        path: what will be written.
        what: what the file should be, with its article.
        mark: a regular expression that is found near the beginning or the end of every such file.

    Raises:
        InvalidInput: the file is something else, no regular file, or cannot be read.
    """
    if not path.exists():
        return
    if not path.is_file():
        # A new file would take the place of a device or a pipe.
        raise InvalidInput(
            f"{one_line(path, 300)} is a folder, a pipe or a device, so it is not replaced",
            hint="name a file",
        )
    with open_regular(path) as stream:
        ends = stream.read(MARKED_BYTES)
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(len(ends), size - MARKED_BYTES))
        ends += stream.read(MARKED_BYTES)
    if ends and re.search(mark.encode(), ends, re.MULTILINE) is None:
        raise InvalidInput(
            f"{one_line(path, 300)} exists already and is not {what}, so it is not replaced",
            hint="choose another name, or move the file away first",
        )


def open_temporary(path: Path) -> tuple[int, Path]:
    """A new hidden file beside ``path``, open for writing: its descriptor and its name.

    The name holds this process, so that what a killed one has left is known as nobody's.
    Its mode follows the umask, as that of any file that a program writes; ``mkstemp`` would make it 0600,
    which hides a run from its readers. Where ``path`` exists already, what its owner keeps from others
    stays so.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        mode = path.stat().st_mode & 0o666 | 0o600
    except OSError:
        mode = 0o666
    return os.open(temporary, flags, mode), temporary


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON, atomically."""
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=2, default=plain) + "\n")


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an error of the file system into one line that a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise EnvironmentProblem(
                f"the disk is full: {path} could not be written; everything before it is kept",
                hint="free some space and run the same command again, and it resumes",
            ) from None
        is_forbidden = error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}
        see = f"see who may write there: ls -ld {shell_word(path.parent)}"
        raise EnvironmentProblem(
            f"{path} cannot be written: {error.strerror or error}",
            hint=see
            if is_forbidden
            else "choose another folder, in most commands with --out FOLDER",
        ) from None


def append_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append ``records`` as JSON lines and wait until they are on the disk.

    A torn last line of a dead process is cut off first. If the disk gets full half-way, the file is cut
    back to what it was.
    """
    data = _lines(records)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered, because truncate and close would try again to write a buffer that the disk refused.
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
    encode = json.JSONEncoder(ensure_ascii=False, default=plain, separators=(",", ":")).encode
    lines = [encode(record) for record in records]
    # A lone surrogate in a model's text is not valid UTF-8; its escaped form is, and stays JSON.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _cut_torn_line(stream: Any) -> int:
    """Truncate the file after its last newline and return its new length."""
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


def read_lines(path: Path, containing: Sequence[bytes] = ()) -> Iterator[dict[str, Any]]:
    """Yield the records of a JSONL file without a torn last line; none if the file does not exist.

    With ``containing``, only lines that hold one of these byte strings are parsed.

    Raises:
        InvalidInput: a line other than the last is not a JSON object, or is longer than any record; the
            error names file and line.
    """
    if not path.exists():
        return
    with open_regular(path) as stream:
        number = 0
        while raw := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                raise InvalidInput(
                    f"{path}:{number}: the line is longer than {byte_size(MAX_LINE_BYTES)}"
                )
            if not raw.endswith(b"\n"):
                return
            if containing and not any(part in raw for part in containing):
                continue
            try:
                record = parse_json(decoded(raw, path), path)
            except Unreadable as error:
                raise InvalidInput(
                    f"{path}:{number}: the line {error.reason}",
                    hint="the file was edited or the disk is damaged; remove the line, whose content is lost",
                ) from None
            if not isinstance(record, dict):
                raise InvalidInput(f"{path}:{number}: expected a JSON object on this line")
            yield record


def sync_files(folder: Path, paths: Iterable[Path]) -> None:
    """Wait until ``paths``, which lie in ``folder``, are on the disk; a file that is gone needs nothing.

    Raises:
        EnvironmentProblem: the disk is full or broken.
    """
    with storage_errors(folder):
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                _sync(path)
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def plain(value: Any) -> Any:
    """Convert what JSON does not know: paths, mappings, and the dataclasses of the schema."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
