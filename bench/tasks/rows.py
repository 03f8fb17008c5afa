"""Reads the rows of a data set on disk, a few at a time.

A data set is a parquet file, a folder that ``save_to_disk`` wrote, images with a ``metadata.jsonl``, or a TSV
file of VLMEvalKit. The package ``datasets`` finds the files of a config and a split, and reads what it alone
can read. Images stay the bytes that they are stored in. Parquet and TSV are read here: ``datasets`` streams
parquet through a queue that holds up to a gigabyte of pages, and TSV in chunks of thousands of rows.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput, did_you_mean, missing_package
from bench.tasks.cells import MAX_CELL_BYTES, Row
from bench.tasks.datasettable import DatasetTable
from bench.tasks.filecheck import check_data_file
from bench.text import one_line

_BATCH_ROWS = 16
"""Rows in memory at a time: a row of a multi-page data set holds up to 20 page images."""
_READ_BYTES = 2**20


class DatasetRows(NamedTuple):
    """The rows of a data set on this machine."""

    kind: str
    """``parquet``, ``tsv``, ``save_to_disk``, or the name of the builder that ``datasets`` uses."""
    rows: Iterator[Row]
    root: Path
    """Image paths in rows must lie inside this folder."""


def open_rows(path: Path, table: DatasetTable) -> DatasetRows:
    """Open the data set at ``path``: a parquet or TSV file, or a folder of either kind.

    A folder may be a clone of the hub repository, a folder of parquet files, what ``save_to_disk`` wrote,
    or images with a ``metadata.jsonl``.

    Raises:
        InvalidInput: nothing that can be read lies there, or not the config and split of ``table``.
        EnvironmentProblem: the package ``datasets`` is not installed.
    """
    path = path.expanduser()
    if not path.exists():
        raise InvalidInput(f"{one_line(path)} does not exist")
    if path.is_file():
        return _file_rows(path)
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        rows = _arrow_rows(_saved_split(path, table))
        return DatasetRows("save_to_disk", _guarded(path, rows), path.resolve())
    return _folder_rows(path, table)


def _file_rows(path: Path) -> DatasetRows:
    check_data_file(path)
    root = path.parent.resolve()
    if path.suffix.lower() == ".tsv":
        return DatasetRows("tsv", _tsv_rows([path]), root)
    if path.suffix.lower() == ".parquet":
        return DatasetRows("parquet", _guarded(path, _parquet_rows([path])), root)
    raise InvalidInput(
        f"{one_line(path)} is not a data set that can be read",
        hint="name a .parquet or .tsv file, a folder of them, or a folder that save_to_disk wrote",
    )


def fingerprint(path: Path) -> str:
    """Return a digest that changes with the names, sizes and times of the files at ``path``."""
    path = path.expanduser().resolve()
    if not path.exists():
        raise InvalidInput(f"{one_line(path)} does not exist")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    digest = hashlib.sha256(str(path).encode())
    for file in files:
        facts = file.stat()
        digest.update(f"\0{file.relative_to(path)}\0{facts.st_size}\0{facts.st_mtime_ns}".encode())
    return digest.hexdigest()


def md5(path: Path) -> str:
    """Return the hexadecimal MD5 of a file, which is what VLMEvalKit publishes for its files."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


# Folders


def _folder_rows(path: Path, table: DatasetTable) -> DatasetRows:
    tsv_files = sorted(path.glob("*.tsv"))
    if tsv_files and not any(path.rglob("*.parquet")):
        for file in tsv_files:
            check_data_file(file)
        return DatasetRows("tsv", _tsv_rows(tsv_files), path.resolve())
    if not any(p.is_file() and not p.name.startswith(".") for p in path.rglob("*")):
        raise InvalidInput(f"{one_line(path)} is empty")
    builder, split = _builder(path, table)
    files = [Path(name) for name in builder.config.data_files[split]]
    for file in files:
        check_data_file(file)
    if files and all(file.suffix.lower() == ".tsv" for file in files):
        return DatasetRows("tsv", _tsv_rows(files), path.resolve())
    if builder.name == "parquet":
        return DatasetRows("parquet", _guarded(path, _parquet_rows(files)), _image_root(path))
    stream = builder.as_streaming_dataset(split=split)
    return DatasetRows(builder.name, _guarded(path, _arrow_rows(stream)), _image_root(path))


def _builder(path: Path, table: DatasetTable) -> tuple[Any, str]:
    """Return the builder that ``datasets`` chooses for a folder, and the split to read."""
    datasets = _datasets()
    from datasets.data_files import EmptyDatasetError

    try:
        with _quiet():
            builder = _folder_builder(datasets, path, table.config)
    except (OSError, ValueError, EmptyDatasetError) as error:
        raise InvalidInput(
            f"{one_line(path)} cannot be read as a data set: {one_line(error, 160)}",
            hint="name a clone of the hub repository, a folder of parquet files, or of one .tsv",
        ) from None
    splits = [str(name) for name in builder.config.data_files or {}]
    if table.split in splits:
        return builder, table.split
    if len(splits) == 1:
        # A folder of files in no particular order is what somebody downloaded of the split.
        return builder, splits[0]
    raise InvalidInput(
        f"{one_line(path)} has no split {table.split!r}",
        hint=did_you_mean(table.split, splits) if splits else "the folder contains no data files",
    )


def _folder_builder(datasets: Any, path: Path, config: str | None) -> Any:
    try:
        return datasets.load_dataset_builder(str(path), config)
    except ValueError as error:
        # A bare folder of the right files does not know the name of the config.
        if config is None or "BuilderConfig" not in str(error):
            raise
        return datasets.load_dataset_builder(str(path))


def _image_root(path: Path) -> Path:
    """Return the folder that images may lie in; in the hub's cache, files are links into ``blobs``."""
    path = path.resolve()
    repository = path.parent.parent
    if path.parent.name == "snapshots" and (repository / "blobs").is_dir():
        return repository
    return path


def _saved_split(path: Path, table: DatasetTable) -> Any:
    datasets = _datasets()
    try:
        saved = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(
            f"{one_line(path)} cannot be read as a save_to_disk folder: {one_line(error, 160)}"
        ) from None
    if not isinstance(saved, dict):
        return saved
    if table.split in saved:
        return saved[table.split]
    if len(saved) == 1:
        return next(iter(saved.values()))
    raise InvalidInput(
        f"{one_line(path)} has no split {table.split!r}",
        hint=did_you_mean(table.split, saved),
    )


# Streams


def _tsv_rows(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the rows of VLMEvalKit's files; an empty cell is None.

    They are UTF-8 with a header, base64 images, and cells that are quoted where they must be.
    """
    for path in paths:
        yield from _rows_of_tsv(path)


def _rows_of_tsv(path: Path) -> Iterator[Row]:
    limit = csv.field_size_limit(MAX_CELL_BYTES)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t", strict=True)
            if reader.fieldnames is None or len(reader.fieldnames) < 2:
                raise InvalidInput(
                    f"{one_line(path)}: expected a header with columns separated by tabs"
                )
            names = list(reader.fieldnames)
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise InvalidInput(
                    f"{one_line(path)}: the header names column {one_line(twice, 40)!r} twice"
                )
            for row in reader:
                if None in row or any(value is None for value in row.values()):
                    raise InvalidInput(
                        f"{one_line(path)}:{reader.line_num}: expected "
                        f"{len(reader.fieldnames)} cells, as in the header; is the file complete?"
                    )
                yield {key: value if value != "" else None for key, value in row.items()}
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{one_line(path)} is not UTF-8: byte 0x{error.object[error.start]:02x} is no character of it",
            hint="download the file again, or save it as UTF-8",
        ) from None
    except csv.Error as error:
        raise InvalidInput(
            f"{one_line(path)} cannot be read as TSV: {one_line(error, 120)}"
        ) from None
    finally:
        csv.field_size_limit(limit)


def _parquet_rows(paths: Sequence[Path]) -> Iterator[Row]:
    from pyarrow import parquet

    for path in paths:
        # One thread reads, and nothing ahead: arrow's scanner, which `datasets` streams through, fills a
        # queue of up to a gigabyte with pages while the ones before are being written.
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                yield from _rows_of(batch)


def _arrow_rows(stream: Any) -> Iterator[Row]:
    # As arrow, images stay {"bytes": …, "path": …}; decoding them would cost time and change nothing.
    for batch in stream.with_format("arrow").iter(batch_size=_BATCH_ROWS):
        yield from _rows_of(batch)


def _rows_of(batch: Any) -> Iterator[Row]:
    """Yield the rows of an arrow batch one by one, so that only one row is in memory as Python objects."""
    for index in range(batch.num_rows):
        yield batch.slice(index, 1).to_pylist()[0]


def _guarded(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """Yield ``rows``; what ``datasets`` and arrow raise becomes one error that names the place."""
    _datasets()
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
            f"{one_line(path)} cannot be read from row {number} on: {one_line(error, 160)}",
            hint="the file is damaged or its download was cut off; download it again",
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
