"""Folders on object storage: finished runs and adapters go there whole, and come back as they were.

A folder lies under an address such as ``s3://bucket/runs/NAME``, each file under its own name. Last of all
comes ``MANIFEST``, which names every file with its size and digest: without it, the folder is not there yet.
It makes copying cheap to repeat, and what comes back is checked against it.

fsspec speaks to the storage. Credentials are its own affair: environment, configuration files, roles.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bench.errors import EnvironmentProblem, InvalidInput, missing_package, require_package
from bench.files import storage_errors
from bench.litter import unfinished_folder
from bench.parsing import MAX_NAME, Unreadable, decoded, parse_json
from bench.paths import user_cache
from bench.text import file_name, one_line

MANIFEST = "manifest.docvlm-bench.json"
"""Last file of a folder: ``{"files": {name: {"bytes": …, "sha256": …}}}``."""
MAX_MANIFEST_BYTES = 64 * 2**20
MAX_FOLDER_BYTES = 256 * 2**30
"""Of one folder, more than any run or adapter has."""

_DRIVERS = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gs"),
    "gcs": ("gcsfs", "gs"),
    "az": ("adlfs", "az"),
    "abfs": ("adlfs", "az"),
    # For tests, and to try the functions of this module: see ``ends_with_process``.
    "memory": ("fsspec", "storage"),
}
"""Scheme of an address → the package of its driver, and the extra that installs it."""
_ADDRESS = re.compile(rf"({'|'.join(_DRIVERS)})://\S+")
# fsspec chains addresses, as in simplecache::s3://bucket; here only one is taken.
_URL = re.compile(r"(?:[\w.+-]+::)*[A-Za-z][A-Za-z0-9+.-]+:/")
_USER = re.compile(r"[^/]+://([^/]*@)")
_TRIAL = "trial.docvlm-bench.txt"
"""A file that shows whether an address can be written to."""
_BLOCK = 2**20

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What one call has copied."""

    files: int
    bytes: int
    unchanged: int
    """Files that were there already."""


def is_address(text: str) -> bool:
    """Whether ``text`` is the address of something on object storage."""
    return _ADDRESS.fullmatch(text) is not None


def is_url(text: str) -> bool:
    """Whether ``text`` begins as an address of any kind does, so that it means no path of this machine."""
    return _URL.match(text) is not None


def ends_with_process(address: str) -> bool:
    """Whether what is stored at ``address`` is lost when this process ends."""
    return address.startswith("memory://")


def check_address(address: str, *, ask: bool = True) -> None:
    """Refuse an address that nothing can be pushed to, before work is done whose results shall go there.

    Args:
        address: where folders will go.
        ask: whether the storage is asked. A small file is written there and removed again, because nothing
            else shows that a file may be written. Otherwise only the driver is looked for.

    Raises:
        InvalidInput: ``address`` is none.
        EnvironmentProblem: a driver is missing, or the storage refuses or fails.
    """
    system, root = _open(address)
    if not ask:
        return
    trial = f"{root}/{_TRIAL}"
    with _explained(address):
        system.pipe_file(trial, b"This file shows that the address can be written to.\n")
    # Who may write need not be allowed to remove.
    with contextlib.suppress(EnvironmentProblem), _explained(address):
        system.rm_file(trial)


def push_folder(
    folder: Path,
    address: str,
    *,
    replace: bool = False,
    known_by: str | None = None,
    progress: Progress | None = None,
) -> Copied:
    """Copy ``folder`` to ``address``. Hidden files, links and what is no file stay behind.

    Args:
        folder: what is copied.
        address: where its files go.
        replace: whether another folder may be at ``address``: it is overwritten.
        known_by: a file of the folder that never changes. A folder at ``address`` that has the same file is
            an earlier state of this one, and is overwritten as well.
        progress: told of the bytes that are done.

    Raises:
        InvalidInput: ``address`` is none, or another folder is there.
        EnvironmentProblem: a driver is missing, or the storage refuses or fails.
    """
    system, root = _open(address)
    own = _described(folder)
    with _explained(address):
        there = _read_manifest(system, root, address)
    is_earlier = there is not None and _is_same_file(known_by, own, there)
    if there is not None and there != own and not (replace or is_earlier):
        raise InvalidInput(
            f"another folder is at {one_line(address, 120)}",
            hint="choose another address, or overwrite it: --replace",
        )
    total, done, copied = sum(entry["bytes"] for entry in own.values()), 0, 0
    unchanged = {name for name, entry in own.items() if (there or {}).get(name) == entry}
    with _explained(address):
        if there is not None and there != own:
            # From here on until its end, the folder is not whole.
            system.rm_file(f"{root}/{MANIFEST}")
        for name, entry in own.items():
            if name not in unchanged:
                system.put_file(str(folder / name), f"{root}/{name}")
                copied += entry["bytes"]
            done += entry["bytes"]
            if progress is not None:
                progress(done, total)
        if there != own:
            for name in sorted(set(there or {}) - set(own)):
                system.rm_file(f"{root}/{name}")
            system.pipe_file(f"{root}/{MANIFEST}", json.dumps({"files": own}, indent=1).encode())
    return Copied(len(own) - len(unchanged), copied, len(unchanged))


def _is_same_file(
    name: str | None, own: Mapping[str, Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]]
) -> bool:
    return name is not None and name in own and own[name] == there.get(name)


def fetch_folder(address: str, *, progress: Progress | None = None) -> Path:
    """A copy on this machine of the folder at ``address``; a copy that is still right is not fetched again.

    Raises:
        InvalidInput: ``address`` is none, no whole folder is there, or a file differs from its digest.
        EnvironmentProblem: a driver is missing, the storage refuses or fails, or the disk is full.
    """
    system, root = _open(address)
    with _explained(address):
        files = _read_manifest(system, root, address)
    if files is None:
        raise InvalidInput(
            f"no folder is at {one_line(address, 120)}: it has no {MANIFEST}",
            hint="bench push RUN ADDRESS puts a run there",
        )
    state = hashlib.sha256(json.dumps([address, files], sort_keys=True).encode()).hexdigest()
    copy = user_cache() / "folders" / state[:16] / file_name(PurePosixPath(root).name)
    if copy.is_dir():
        return copy
    with storage_errors(copy), unfinished_folder(copy.parent, copy.name[:40]) as part:
        _fetch(system, root, address, files, part, progress)
        try:
            part.rename(copy)
        except OSError:
            # Another process may have been quicker; its copy is the same.
            if not copy.is_dir():
                raise
    return copy


def _fetch(
    system: Any,
    root: str,
    address: str,
    files: Mapping[str, Mapping[str, Any]],
    folder: Path,
    progress: Progress | None,
) -> None:
    total, done = sum(entry["bytes"] for entry in files.values()), 0
    for name, entry in files.items():
        target = folder / name
        digest = hashlib.sha256()
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as stream:
                for block in _blocks(system, f"{root}/{name}", address, entry["bytes"]):
                    digest.update(block)
                    stream.write(block)
        if digest.hexdigest() != entry["sha256"]:
            raise InvalidInput(
                f"{one_line(address, 120)}: {one_line(name, 80)} is not the file that was pushed",
                hint="push the folder again",
            )
        done += entry["bytes"]
        if progress is not None:
            progress(done, total)


def _blocks(system: Any, source: str, address: str, length: int) -> Iterator[bytes]:
    """The bytes of a file, one more than ``length`` at most: a longer file has another digest."""
    left = length + 1
    with _explained(address), system.open(source, "rb") as stream:
        while left > 0 and (block := stream.read(min(_BLOCK, left))):
            yield block
            left -= len(block)


def _described(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file of ``folder`` that is copied, by its name from there."""
    files = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or name == MANIFEST or path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            entry = {"bytes": path.stat().st_size, "sha256": digest}
            files[path.relative_to(folder).as_posix()] = entry
    return files


def _read_manifest(system: Any, root: str, address: str) -> dict[str, dict[str, Any]] | None:
    """What the folder at ``root`` says of its files; None if it says nothing.

    Raises:
        InvalidInput: the manifest is none that ``push_folder`` wrote.
    """
    where = f"{one_line(address, 120)}/{MANIFEST}"
    try:
        with system.open(f"{root}/{MANIFEST}", "rb") as stream:
            data = stream.read(MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError:
        return None
    try:
        if len(data) > MAX_MANIFEST_BYTES:
            raise ValueError("it is too large")
        content = parse_json(decoded(data, where), where)
        files = content.get("files") if isinstance(content, dict) else None
        if not isinstance(files, dict):
            raise ValueError("it does not list the files of the folder")
        sizes = [_checked(name, entry) for name, entry in files.items()]
        if sum(sizes) > MAX_FOLDER_BYTES:
            raise ValueError("the folder is too large")
    except ValueError as error:
        raise InvalidInput(
            f"{where} is damaged: {one_line(str(error), 120)}", hint="push the folder again"
        ) from None
    except Unreadable as error:
        raise InvalidInput(
            f"{where} is damaged: it {error.reason}", hint="push the folder again"
        ) from None
    return files


def _checked(name: str, entry: Any) -> int:
    """The size of a file whose name stays inside the folder."""
    if not all(_is_plain(part) for part in name.split("/")):
        raise ValueError(f"the name {name!r} leads out of the folder")
    size, digest = (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (0, "")
    is_digest = isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
    if type(size) is not int or size < 0 or not is_digest:
        raise ValueError(f"{name!r} has no size or no digest")
    return size


def _is_plain(part: str) -> bool:
    """Whether a file or a folder may have this name here: ``..`` and hidden names are others' tricks."""
    is_odd = part.startswith(".") or "\\" in part or not part.isprintable()
    return not is_odd and 0 < len(part.encode()) <= MAX_NAME


def _open(address: str) -> tuple[Any, str]:
    """The file system of ``address``, and the path in it."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise InvalidInput(
            f"{one_line(address, 80)} is no address of object storage",
            hint="s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER",
        )
    _check_path(address)
    require_package("object storage", "fsspec", "storage")
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(address, use_listings_cache=False)
    except ImportError:
        raise missing_package(f"{match[1]}://", *_DRIVERS[match[1]]) from None
    except ValueError as error:
        raise InvalidInput(f"{one_line(address, 120)}: {one_line(str(error), 160)}") from None
    if not root.strip("/"):
        raise InvalidInput(f"{one_line(address, 120)} names no folder")
    return system, root.rstrip("/")


def _check_path(address: str) -> None:
    """Refuse a path that means another folder than it says: object storage knows no folder above."""
    # A password may hold anything.
    _, _, path = _USER.sub("://", address, count=1).partition("://")
    if any(part in (".", "..") for part in path.split("/")) or "?" in path or "#" in path:
        raise InvalidInput(
            f"{one_line(address, 120)} holds . or .. as a folder, or a ? or a #",
            hint="write the whole path of the folder, and put settings of the storage into its own files",
        )


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    """Say in one line what a storage complains of."""
    try:
        yield
    except (EnvironmentProblem, InvalidInput):
        raise
    # Every driver has errors of its own, with no common class, and none of them is a fault of this program.
    except Exception as error:
        user = _USER.match(address)
        # A driver names the bucket alone, without the mark by which one_line finds a password.
        text = str(error) if user is None else str(error).replace(user[1], "***@")
        said = one_line(text, 200) or type(error).__name__
        raise EnvironmentProblem(
            f"{one_line(address, 120)}: the storage answers: {said}",
            hint="check the address and the credentials; what was copied stays",
        ) from None
