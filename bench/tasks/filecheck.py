"""Refuses archives, placeholders and decompression bombs before anything is unpacked into memory."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from bench.errors import InvalidInput, missing_package
from bench.text import one_line

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".xz", ".bz2", ".zst")
_LFS_POINTER = b"version https://git-lfs"

_MAX_COLUMN_BYTES = 16 * 2**30
_MAX_EXPANSION = 2000
"""A parquet column that unpacks to more than this many times its size is a decompression bomb."""
_SMALL_BYTES = 64 * 2**20
"""A column that unpacks to less than this is harmless, whatever its expansion."""


def check_data_file(path: Path) -> None:
    """Check one file of a data set by its name, its first bytes and, for parquet, its metadata.

    Raises:
        InvalidInput: the file is missing, empty, an archive, a Git LFS placeholder, or would unpack to
            far more than page images need.
    """
    shown = one_line(path)
    if path.suffix.lower() in _ARCHIVES:
        raise InvalidInput(
            f"{shown} is an archive, and archives are not opened",
            hint="unpack it and name the folder",
        )
    if not path.is_file():
        raise InvalidInput(f"{shown} does not exist")
    with path.open("rb") as stream:
        start = stream.read(len(_LFS_POINTER))
    if not start:
        raise InvalidInput(f"{shown} is empty (0 bytes)", hint="download it again")
    if start == _LFS_POINTER:
        raise InvalidInput(f"{shown} is a Git LFS placeholder, not the file", hint="git lfs pull")
    if path.suffix.lower() == ".parquet":
        _check_parquet(path)


def _check_parquet(path: Path) -> None:
    # pyarrow is installed with `datasets`, which is what a person is told to install.
    if importlib.util.find_spec("pyarrow") is None:
        raise missing_package("reading a data set", "datasets", "hf")
    import pyarrow
    from pyarrow import parquet

    try:
        metadata = parquet.ParquetFile(path).metadata
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidInput(
            f"{one_line(path)} is not a complete parquet file: {one_line(error, 120)}",
            hint="its download was cut off, or it is another kind of file; download it again",
        ) from None
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for index in range(group.num_columns):
            column = group.column(index)
            packed, unpacked = column.total_compressed_size, column.total_uncompressed_size
            if _is_bomb(packed, unpacked):
                raise InvalidInput(
                    f"{one_line(path)}: column {one_line(column.path_in_schema, 60)!r} unpacks "
                    f"from {packed:,} to {unpacked:,} bytes, more than any page image would",
                    hint="do not use this file",
                )


def _is_bomb(packed: int, unpacked: int) -> bool:
    if unpacked > _MAX_COLUMN_BYTES:
        return True
    return unpacked > _SMALL_BYTES and unpacked > _MAX_EXPANSION * max(1, packed)
