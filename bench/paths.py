"""Where the package's own data lies, and how its paths are written down."""

from __future__ import annotations

from pathlib import Path

BUNDLED = "bundled:"
"""Before the name of what comes with the package: the same on every machine."""


def data_root() -> Path:
    """The folder of ``tasks/`` and ``example_docs/``: inside an installed wheel, or the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_data"
    return installed if installed.is_dir() else package.parent


def portable(path: Path) -> str:
    """``path`` as text that means the same file on another machine where the package carries it."""
    root = data_root()
    for folder in ("example_docs", "tasks"):
        if path.is_relative_to(root / folder):
            return BUNDLED + path.relative_to(root).as_posix()
    return str(path)


def from_portable(text: str) -> Path:
    """The path that ``portable`` wrote."""
    if text.startswith(BUNDLED):
        return data_root() / text.removeprefix(BUNDLED)
    return Path(text)
