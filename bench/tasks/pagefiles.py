"""Finds the file of a page that a table names, as people and other systems write names of files.

A page lies in the folder of its task. It may be a link, if the link leads to another place of the folder or
into the store that the folder's own system keeps beside it: the blobs of a hub snapshot, the objects of
git-annex, the cache of DVC.
"""

from __future__ import annotations

import errno
import functools
import itertools
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

from bench.errors import InvalidInput, did_you_mean
from bench.text import one_line

_Key = Callable[[str], str]
"""Makes names equal that mean the same file."""

_STORES = (Path(".git", "annex", "objects"), Path(".dvc", "cache"))
"""Folders of a repository into which its links may lead."""
_MAX_NAMES = 100_000
"""Names of a folder that are compared with a name that was not found."""
_MAX_SUGGESTED = 10_000
"""The same where the nearest name is looked for, which takes far longer."""


def page_path(root: Path, name: str, *, suggest: bool = True) -> Path:
    r"""Return the absolute path of a page file; the file itself may be a link.

    A name that is not there as it stands is tried without blanks at its ends, with ``\`` as ``/``, with
    ``%20`` and its like decoded, in another Unicode form, with other capitals, and by its look alone.

    Args:
        root: the folder that names count from, resolved.
        name: as the samples write it.
        suggest: look for the nearest name if there is no such file, which takes a moment in a large folder.

    Raises:
        InvalidInput: the path leaves ``root``, directly or through a link, or no file has such a name.
    """
    path = _inside(root, name)
    if os.path.exists(path):  # noqa: PTH110  Path.exists raises for names that are too long
        return path
    if os.path.islink(path):  # noqa: PTH114
        raise InvalidInput(
            f"page file {one_line(path, 160)} is a link to a file that is not there",
            hint="download the file: git annex get, git lfs pull or bench pull",
        )
    for spelling in _spellings(name):
        known = _find(root, spelling)
        if known is not None:
            return _inside(root, known.as_posix())
    if "://" in name:
        raise InvalidInput(
            f"page {one_line(name, 160)} is an address; download it, and name the file"
        )
    raise InvalidInput(
        f"page file {one_line(path, 160)} does not exist", hint=_nearest(path) if suggest else None
    )


def is_inside(root: Path, path: Path) -> bool:
    """Say whether what ``path`` leads to belongs to the folder ``root``, which is resolved."""
    target = path.resolve()
    return target.is_relative_to(root) or any(
        target.is_relative_to(store) for store in _stores(root)
    )


def _stores(root: Path) -> Iterator[Path]:
    """Yield the folders outside ``root`` in which its own system keeps the contents of its files."""
    for folder in (root, *root.parents):
        if folder.parent.name == "snapshots":
            # A hub's cache: <repository>/snapshots/<commit>/… are links into <repository>/blobs.
            yield folder.parent.parent / "blobs"
        for store in _STORES:
            if (folder / store).is_dir():
                yield (folder / store).resolve()


def _inside(root: Path, name: str) -> Path:
    path = Path(os.path.normpath(root / name))
    try:
        belongs = path.is_relative_to(root) and is_inside(root, path)
    except (OSError, ValueError, RuntimeError) as error:
        # A name that is too long as it stands may be short enough when %D0 and its like are decoded.
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            return path
        # A name with a zero byte, or links in a circle.
        raise InvalidInput(f"the page path {one_line(name, 80)!r} is no path of a file") from None
    if not belongs:
        raise InvalidInput(f"the page path {one_line(name, 80)!r} leaves the folder {root}")
    return path


def _spellings(name: str) -> list[str]:
    """Return what may be meant by ``name``, the most literal first."""
    bare = name.strip()
    slashes = bare.replace("\\", "/")
    return list(dict.fromkeys([name, bare, slashes, unquote(bare), unquote(slashes)]))


def _find(root: Path, name: str) -> Path | None:
    """Return the path below ``root`` that ``name`` means, whatever its Unicode form and its capitals."""
    below = Path()
    for part in Path(name).parts:
        step = _match(root / below, part)
        if step is None:
            return None
        below /= step
    return below


def _match(folder: Path, part: str) -> str | None:
    """Return the one name in ``folder`` that is ``part`` but for Unicode form, capitals or look."""
    if part in {"..", os.sep} or os.path.lexists(folder / part):
        return part
    try:
        changed = folder.stat().st_mtime_ns
    except OSError:
        return None
    for key, names in _index(folder, changed).items():
        same = names.get(key(part), [])
        if same:
            return same[0] if len(same) == 1 else None
    return None


@functools.lru_cache(maxsize=16)
def _index(folder: Path, changed: int) -> Mapping[_Key, Mapping[str, Sequence[str]]]:
    """Return, for each key, the names in ``folder`` that it makes equal.

    ``changed``: when the folder was changed. A table may spell each of its names differently.
    """
    index: dict[_Key, dict[str, list[str]]] = {}
    names = list(_names(folder, _MAX_NAMES))
    for key in (_composed, _without_case, _as_it_looks):
        by_key = index.setdefault(key, {})
        for name in names:
            by_key.setdefault(key(name), []).append(name)
    return index


def _names(folder: Path, most: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in itertools.islice(entries, most):
                yield entry.name
    except OSError:
        return


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _without_case(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def _as_it_looks(name: str) -> str:
    """Return what a person sees of ``name``: wide letters as plain ones, single blanks, nothing invisible."""
    plain = unicodedata.normalize("NFKC", unquote(name).casefold())
    visible = [letter for letter in plain if not _is_invisible(letter)]
    return " ".join("".join(visible).split())


def _is_invisible(letter: str) -> bool:
    return unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f"


def _nearest(path: Path) -> str:
    """Return a hint that offers the nearest names of the folder in which ``path`` should be."""
    # A whole path of another computer, as C:\\scans\\p.png, may still end with the name.
    path = path.with_name(PureWindowsPath(path.name).name or path.name)
    folder = path.parent
    while not folder.is_dir():
        folder, path = folder.parent, folder
    hint = did_you_mean(path.name, [one_line(name, 80) for name in _names(folder, _MAX_SUGGESTED)])
    return hint if hint.startswith("did") else "check the path in the samples file"
