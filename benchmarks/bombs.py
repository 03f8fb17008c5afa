"""What pages that ask for too much cost: the table in ``docs/hard_use.md``.

    python benchmarks/bombs.py --page-seconds 8

Every file is made here, opened as a run opens it, and its first page is decoded and its text read. The last
lines are for honest long files, whose time must grow with the number of their pages.
"""

from __future__ import annotations

import argparse
import functools
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.errors import InvalidInput  # noqa: E402
from bench.formatting import byte_size  # noqa: E402
from bench.tasks import guard, images, textlayer  # noqa: E402
from bench.tasks.limits import set_page_limits  # noqa: E402
from bench.tasks.pages import open_page, read_pages  # noqa: E402
from tests.bombs import BOMBS, many_frames, many_pages  # noqa: E402


def main() -> None:
    """Print a line for every file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page-seconds", type=float, default=8.0, help="limit of processor time")
    set_page_limits(seconds=parser.parse_args().page_seconds, pages=5_000)
    with tempfile.TemporaryDirectory(prefix="bench-bombs-") as made:
        folder = Path(made)
        for name, content in BOMBS.items():
            path = folder / name
            path.write_bytes(content())
            bomb(path)
        long_files(folder)
    # The pages' process is a child of this one, and its largest size stands there.
    guard._POOL.end()
    for who, whose in (
        ("this process", resource.RUSAGE_SELF),
        ("the process that opens pages", resource.RUSAGE_CHILDREN),
    ):
        peak = resource.getrusage(whose).ru_maxrss * 1024
        print(f"{who} took at most {byte_size(peak)} of memory")


def bomb(path: Path) -> None:
    """Open ``path``, and print how that ended and after how long."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    try:
        page = read_pages(path)[0]
        open_page(page)
        guard.text_layer(page)
        end = "opened"
    except InvalidInput as error:
        end = error.message.replace(f"{path}", path.name)
    wall = time.perf_counter() - start
    guard._POOL.end()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = byte_size(path.stat().st_size)
    print(
        f"{path.name:14} {size:>9} {processor:6.1f} s processor {wall:6.1f} s clock  {end}",
        flush=True,
    )


def long_files(folder: Path) -> None:
    """Print the processor time for all pages of files of 500 to 4,000 pages, one page at a time."""
    for count in (500, 1_000, 2_000, 4_000):
        tiff, pdf = folder / f"{count}.tif", folder / f"{count}.pdf"
        tiff.write_bytes(many_frames(count))
        pdf.write_bytes(many_pages(count))
        pages = read_pages(pdf)
        timed(f"{count} pages of a TIFF", functools.partial(images.decode, tiff), range(count))
        timed(f"{count} text layers of a PDF", textlayer.text_layer, pages)


def timed(label: str, read: Callable[[Any], object], pages: Sequence[Any]) -> None:
    """Read each of ``pages`` and print the processor time."""
    start = time.process_time()
    for page in pages:
        read(page)
    print(f"{label:30} {time.process_time() - start:6.2f} s processor", flush=True)


if __name__ == "__main__":
    main()
