"""Lets libraries read small files that begin with a byte-order mark, as some editors write them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.models.checkpoints import has_mark
from bench.parsing import read_text

_SMALL_FILES = ("*.json", "*.jinja", "merges.txt")


@contextmanager
def readable(folder: Path) -> Iterator[Path]:
    """``folder``, or a temporary one whose small files have no mark and whose other files are links to it."""
    marked = {path for pattern in _SMALL_FILES for path in folder.glob(pattern) if has_mark(path)}
    if not marked:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="bench-checkpoint-") as made:
        for path in folder.iterdir():
            copy = Path(made) / path.name
            if path in marked:
                copy.write_text(read_text(path), encoding="utf-8")
            else:
                copy.symlink_to(path.resolve())
        yield Path(made)
