"""Peak memory of reading a published data set of 1,000 and of 40,000 rows into the cache.

Each size runs in a process of its own. Run: ``python benchmarks/dataset_memory.py``. It writes about 1 GB to
a temporary folder. Rows are DocVQA's: four questions an image, the image's bytes repeated in every row.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROWS = (1_000, 10_000, 40_000)
IMAGE_BYTES = 24_000


def write_parquet(path: Path, rows: int) -> None:
    """DocVQA's columns; random bytes behind a PNG header, so that nothing compresses."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        {
            "questionId": pa.string(),
            "question": pa.string(),
            "question_types": pa.list_(pa.string()),
            "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            "ucsf_document_id": pa.string(),
            "ucsf_document_page_no": pa.string(),
            "answers": pa.list_(pa.string()),
            "data_split": pa.string(),
        }
    )
    with parquet.ParquetWriter(path, schema, compression="none") as writer:
        for start in range(0, rows, 100):
            batch = [_row(number) for number in range(start, min(rows, start + 100))]
            writer.write_table(pa.Table.from_pylist(batch, schema))


def _row(number: int) -> dict[str, object]:
    import random

    image = random.Random(number // 4).randbytes(IMAGE_BYTES)
    return {
        "questionId": str(number),
        "question": f"What is printed in field {number} of this page?",
        "question_types": ["form"],
        "image": {"bytes": b"\x89PNG\r\n\x1a\n" + image, "path": None},
        "ucsf_document_id": f"doc{number // 4}",
        "ucsf_document_page_no": "1",
        "answers": ["one", "two"],
        "data_split": "val",
    }


def measure(path: Path) -> None:
    """In a process of its own: read ``path`` and print the peaks of its memory, in MiB."""
    from bench.tasks import find_task

    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    find_task(f"docvqa={path}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{peak_before / 1024:.0f} {peak / 1024:.0f}")


def main() -> None:
    """Measure every size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        measure(arguments.measure)
        return
    print("rows    MiB at start   MiB at peak")
    with tempfile.TemporaryDirectory() as folder:
        for rows in ROWS:
            path = Path(folder) / f"{rows}.parquet"
            write_parquet(path, rows)
            done = subprocess.run(
                [sys.executable, __file__, "--measure", str(path)],
                env={**os.environ, "XDG_CACHE_HOME": f"{folder}/cache{rows}"},
                capture_output=True,
                text=True,
                check=True,
            )
            before, peak = done.stdout.split()
            print(f"{rows:6}  {before:>12}  {peak:>12}")
            path.unlink()


if __name__ == "__main__":
    main()
