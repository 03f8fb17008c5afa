"""Rows of a data set on disk, one at a time: parquet, ``save_to_disk``, image folder, VLMEvalKit TSV.

``datasets`` finds the files of a config and a split, and reads what it alone can read; images stay the
bytes they are stored in. Parquet and TSV are read here, a few rows at a time: ``datasets`` streams the one
through a queue that holds up to a gigabyte of pages, and the other in chunks of thousands of rows.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput, did_you_mean, missing_package
from bench.tasks.datasettable import DatasetTable
from bench.text import one_line

Row = Mapping[str, Any]

_BATCH_ROWS = 16
"""Rows in memory at a time: a row of a multi-page data set holds up to 20 page images."""
_READ_BYTES = 2**20
_MAX_CELL_BYTES = 256 * 2**20
_MAX_ROW_GROUP_BYTES = 16 * 2**30
_MAX_EXPANSION = 2000
"""Uncompressed over compressed size from which a parquet column counts as a decompression bomb."""
_SMALL_BYTES = 64 * 2**20
"""Below this, no expansion hurts."""
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".xz", ".bz2", ".zst")
_LFS_POINTER = b"version https://git-lfs"


class Source(NamedTuple):
    """A data set on this machine."""

    kind: str
    """``parquet``, ``imagefolder``, …: the builder's name, or ``save_to_disk`` or ``tsv``."""
    rows: Iterator[Row]
    root: Path
    """Image paths in rows must lie inside it."""


def open_rows(path: Path, table: DatasetTable) -> Source:
    """The rows of the data set at ``path``: a parquet or TSV file, or a folder of either kind.

    A folder may be a clone of the hub repository, a folder of parquet files, what ``save_to_disk`` wrote,
    or images with a ``metadata.jsonl``.

    Raises:
        InvalidInput: nothing that can be read lies there, or not the config and split of ``table``.
        EnvironmentProblem: the package ``datasets`` is not installed.
    """
    path = path.expanduser()
    if not path.exists():
        raise InvalidInput(f"{one_line(str(path))} does not exist")
    if path.is_file():
        _check_file(path)
        if path.suffix.lower() == ".tsv":
            return Source("tsv", _tsv_rows([path]), path.parent.resolve())
        if path.suffix.lower() != ".parquet":
            raise InvalidInput(
                f"{one_line(str(path))} is no data set that can be read",
                hint="a .parquet or .tsv file, or a folder of them, or one that save_to_disk wrote",
            )
        return Source("parquet", _guarded(path, _parquet_rows([path])), path.parent.resolve())
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        rows = _guarded(path, _saved_rows(_saved_split(path, table)))
        return Source("save_to_disk", rows, path.resolve())
    return _folder_rows(path, table)


def fingerprint(path: Path) -> str:
    """Hexadecimal; changes with the names, sizes and times of the files at ``path``."""
    path = path.expanduser().resolve()
    if not path.exists():
        raise InvalidInput(f"{one_line(str(path))} does not exist")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    seen = hashlib.sha256(str(path).encode())
    for file in files:
        facts = file.stat()
        seen.update(f"\0{file.relative_to(path)}\0{facts.st_size}\0{facts.st_mtime_ns}".encode())
    return seen.hexdigest()


def md5(path: Path) -> str:
    """Hexadecimal MD5 of a file: what VLMEvalKit publishes for its files."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


# Folders


def _folder_rows(path: Path, table: DatasetTable) -> Source:
    tables = sorted(path.glob("*.tsv"))
    if tables and not any(path.rglob("*.parquet")):
        for file in tables:
            _check_file(file)
        return Source("tsv", _tsv_rows(tables), path.resolve())
    if not any(p.is_file() and not p.name.startswith(".") for p in path.rglob("*")):
        raise InvalidInput(f"{one_line(str(path))} is empty")
    builder, split = _builder(path, table)
    files = [Path(name) for name in builder.config.data_files[split]]
    for file in files:
        _check_file(file)
    if files and all(file.suffix.lower() == ".tsv" for file in files):
        return Source("tsv", _tsv_rows(files), path.resolve())
    if builder.name == "parquet":
        return Source("parquet", _guarded(path, _parquet_rows(files)), _image_root(path))
    stream = builder.as_streaming_dataset(split=split)
    return Source(builder.name, _guarded(path, _arrow_rows(stream)), _image_root(path))


def _builder(path: Path, table: DatasetTable) -> tuple[Any, str]:
    """The builder that ``datasets`` finds for a folder, and the split to read."""
    datasets = _datasets()
    from datasets.data_files import EmptyDatasetError

    where = one_line(str(path))
    try:
        with _quiet():
            try:
                builder = datasets.load_dataset_builder(str(path), table.config)
            except ValueError as error:
                # A bare folder of the right files does not know the config's name.
                if table.config is None or "BuilderConfig" not in str(error):
                    raise
                builder = datasets.load_dataset_builder(str(path))
    except (OSError, ValueError, EmptyDatasetError) as error:
        raise InvalidInput(
            f"{where} cannot be read as a data set: {one_line(str(error), 160)}",
            hint="a clone of the hub repository, a folder of parquet files, or of one .tsv",
        ) from None
    splits = [str(name) for name in builder.config.data_files or {}]
    if table.split in splits:
        return builder, table.split
    if len(splits) == 1:
        # A folder that holds one file in no particular order is what somebody downloaded of the split.
        return builder, splits[0]
    raise InvalidInput(
        f"{where} has no split {table.split!r}",
        hint=did_you_mean(table.split, splits) if splits else "it holds no data files",
    )


def _image_root(path: Path) -> Path:
    """The folder that images may lie in; in the hub's cache, files are links into ``blobs``."""
    path = path.resolve()
    repository = path.parent.parent
    if path.parent.name == "snapshots" and (repository / "blobs").is_dir():
        return repository
    return path


def _saved_split(path: Path, table: DatasetTable) -> Any:
    datasets = _datasets()
    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(
            f"{one_line(str(path))} cannot be read as a save_to_disk folder: "
            f"{one_line(str(error), 160)}"
        ) from None
    if not isinstance(loaded, dict):
        return loaded
    if table.split in loaded:
        return loaded[table.split]
    if len(loaded) == 1:
        return next(iter(loaded.values()))
    raise InvalidInput(
        f"{one_line(str(path))} has no split {table.split!r}",
        hint=did_you_mean(table.split, loaded),
    )


# Streams


def _parquet_rows(paths: Sequence[Path]) -> Iterator[Row]:
    from pyarrow import parquet

    for path in paths:
        # One thread, nothing ahead: arrow's scanner, which `datasets` streams through, fills a queue of
        # up to a gigabyte with pages while the ones before are being written.
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                for index in range(batch.num_rows):
                    yield batch.slice(index, 1).to_pylist()[0]


def _saved_rows(saved: Any) -> Iterator[Row]:
    yield from _arrow_rows(saved)


def _arrow_rows(stream: Any) -> Iterator[Row]:
    # As arrow, images stay {"bytes": …, "path": …}; decoding them would cost time and change nothing.
    for batch in stream.with_format("arrow").iter(batch_size=_BATCH_ROWS):
        for index in range(batch.num_rows):
            yield batch.slice(index, 1).to_pylist()[0]


def _guarded(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """``rows``, with what ``datasets`` and arrow raise turned into one error that names the place."""
    from datasets.exceptions import DatasetsError
    from pyarrow import ArrowException

    number = 0
    try:
        with _quiet():
            for row in rows:
                yield row
                number += 1
    except (ArrowException, DatasetsError, OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"{one_line(str(path))} cannot be read from row {number} on: "
            f"{one_line(str(error), 160)}",
            hint="the file is damaged or its download was cut off; get it again",
        ) from None


def _datasets() -> Any:
    if importlib.util.find_spec("datasets") is None:
        raise missing_package("reading a data set", "datasets", "hf")
    import datasets

    return datasets


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep ``datasets`` from writing what is reported here anyway."""
    logging = _datasets().utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


# TSV


def _tsv_rows(paths: list[Path]) -> Iterator[Row]:
    """Rows of VLMEvalKit's TSV files: UTF-8, header, base64 images, cells quoted where they must be."""
    for path in paths:
        yield from _tsv_file(path)


def _tsv_file(path: Path) -> Iterator[Row]:
    limit = csv.field_size_limit(_MAX_CELL_BYTES)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t", strict=True)
            if reader.fieldnames is None or len(reader.fieldnames) < 2:
                raise InvalidInput(
                    f"{one_line(str(path))}: expected a header with columns separated by tabs"
                )
            for row in reader:
                if None in row or any(value is None for value in row.values()):
                    raise InvalidInput(
                        f"{one_line(str(path))}:{reader.line_num}: expected "
                        f"{len(reader.fieldnames)} cells, as in the header; is the file complete?"
                    )
                yield {key: value if value != "" else None for key, value in row.items()}
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{one_line(str(path))} cannot be read as TSV: {one_line(str(error), 120)}"
        ) from None
    finally:
        csv.field_size_limit(limit)


# Files that are not what they seem


def _check_file(path: Path) -> None:
    """Refuse archives, placeholders and bombs before anything is unpacked into memory."""
    where = one_line(str(path))
    if path.suffix.lower() in _ARCHIVES:
        raise InvalidInput(
            f"{where} is an archive, and archives are not opened", hint="unpack it, name the folder"
        )
    if not path.is_file():
        raise InvalidInput(f"{where} does not exist")
    with path.open("rb") as stream:
        start = stream.read(len(_LFS_POINTER))
    if not start:
        raise InvalidInput(f"{where} is empty (0 bytes)", hint="download it again")
    if start == _LFS_POINTER:
        raise InvalidInput(f"{where} is a Git LFS placeholder, not the file", hint="git lfs pull")
    if path.suffix.lower() == ".parquet":
        _check_parquet(path)


def _check_parquet(path: Path) -> None:
    _datasets()
    import pyarrow
    from pyarrow import parquet

    try:
        facts = parquet.ParquetFile(path).metadata
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidInput(
            f"{one_line(str(path))} is no complete parquet file: {one_line(str(error), 120)}",
            hint="its download was cut off or it is another kind of file; get it again",
        ) from None
    for number in range(facts.num_row_groups):
        group = facts.row_group(number)
        for index in range(group.num_columns):
            column = group.column(index)
            packed, plain = column.total_compressed_size, column.total_uncompressed_size
            if plain > _MAX_ROW_GROUP_BYTES or (
                plain > _SMALL_BYTES and plain > _MAX_EXPANSION * max(1, packed)
            ):
                raise InvalidInput(
                    f"{one_line(str(path))}: column {one_line(column.path_in_schema, 60)!r} unpacks "
                    f"from {packed:,} to {plain:,} bytes, more than any page image would",
                    hint="do not use this file",
                )


def image_bytes(value: Any, root: Path) -> bytes:
    """The bytes of an image cell: a struct of bytes and path, bytes, or base64 text.

    Raises:
        InvalidInput: no image, one that lies outside ``root``, or one that is too large.
    """
    if isinstance(value, Mapping):
        data, path = value.get("bytes"), value.get("path")
        if data is None and isinstance(path, str):
            return _image_file(path, root)
        value = data
    if isinstance(value, str):
        value = _from_base64(value)
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise InvalidInput(f"expected an image, got {type(value).__name__}")
    if not 0 < len(value) <= _MAX_CELL_BYTES:
        raise InvalidInput(
            f"expected an image of at most {_MAX_CELL_BYTES:,} bytes, got {len(value):,}"
        )
    return bytes(value)


def _image_file(name: str, root: Path) -> bytes:
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        # A data set from elsewhere could otherwise name any file of this machine.
        raise InvalidInput(f"image path {one_line(name, 80)!r} leaves the data set's folder")
    try:
        if path.stat().st_size > _MAX_CELL_BYTES:
            raise InvalidInput(
                f"image {one_line(name, 80)!r} is larger than {_MAX_CELL_BYTES:,} bytes"
            )
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"image {one_line(name, 80)!r}: {error.strerror}") from None


def _from_base64(text: str) -> bytes:
    import base64
    import binascii

    # Some writers put a data URL in front.
    head, comma, rest = text.partition(",")
    body = rest if comma and head.startswith("data:") else text
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"expected base64 of an image, got {one_line(text, 40)!r}") from None


IMAGE_TYPES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tiff"),
    (b"MM\0*", ".tiff"),
    (b"%PDF-", ".pdf"),
)
"""First bytes → suffix."""


def image_suffix(data: bytes) -> str:
    """The suffix that fits ``data``; ``.bin`` where it is no known image."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for start, suffix in IMAGE_TYPES if data.startswith(start)), ".bin")
