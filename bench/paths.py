"""Locates the data of the package, and writes its paths so that they hold on every machine."""

from __future__ import annotations

import functools
import os
from pathlib import Path

BUNDLED = "bundled:"
"""Begins the path of a file that comes with the package: such a path is the same on every machine."""


@functools.cache
def data_root() -> Path:
    """Return the folder of ``tasks/`` and ``example_docs/``: in the installed wheel, or the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_data"
    return installed if installed.is_dir() else package.parent


def portable(path: Path) -> str:
    """Write ``path`` as text; a file that comes with the package gets a name that holds on every machine."""
    root = data_root()
    for folder in ("example_docs", "tasks"):
        if path.is_relative_to(root / folder):
            return BUNDLED + path.relative_to(root).as_posix()
    return str(path)


def from_portable(text: str) -> Path:
    """Return the path that ``portable`` wrote."""
    if text.startswith(BUNDLED):
        return data_root() / text.removeprefix(BUNDLED)
    return Path(text)


def hub_cache() -> Path:
    """The folder in which huggingface_hub keeps downloads, by the same environment variables."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    home = os.environ.get("HF_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"
    )
    return Path(home).expanduser() / "hub"


def user_cache() -> Path:
    """The folder of this program in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "docvlm-bench"
