"""Reads the TSV files of VLMEvalKit: UTF-8, a header, base64 images, cells quoted where they must be."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.errors import InvalidInput
from bench.tasks.cells import MAX_CELL_BYTES, Row
from bench.text import one_line


def tsv_rows(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the rows of all files, in order; an empty cell is None.

    Raises:
        InvalidInput: a file is not TSV, or a row has another number of cells than the header.
    """
    for path in paths:
        yield from _file_rows(path)


def _file_rows(path: Path) -> Iterator[Row]:
    limit = csv.field_size_limit(MAX_CELL_BYTES)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t", strict=True)
            if reader.fieldnames is None or len(reader.fieldnames) < 2:
                raise InvalidInput(
                    f"{one_line(path)}: expected a header with columns separated by tabs"
                )
            for row in reader:
                if None in row or any(value is None for value in row.values()):
                    raise InvalidInput(
                        f"{one_line(path)}:{reader.line_num}: expected "
                        f"{len(reader.fieldnames)} cells, as in the header; is the file complete?"
                    )
                yield {key: value if value != "" else None for key, value in row.items()}
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{one_line(path)} cannot be read as TSV: {one_line(error, 120)}"
        ) from None
    finally:
        csv.field_size_limit(limit)
