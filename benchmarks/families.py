"""Try every type that the installed transformers knows, and write the table of docs/families.md.

``python -m benchmarks.families`` makes a tiny checkpoint with random weights of each type that
``workshop.tiny_families`` can write, loads it through the real backend, asks questions about small pages one
by one and in padded rows, and replaces the part of the page between two marks. Of the other types it says
what can be read in transformers itself.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import BenchError, EnvironmentProblem
from bench.files import write_atomically
from bench.formatting import plural
from bench.models import make_model
from bench.models.backends import BACKENDS
from bench.models.catalog import resolve
from bench.models.transformers import AnyVisionModel
from bench.models.transformers.known import loadable_types
from bench.schema import Document, Generation, PageGroup, Request
from bench.tasks.pages import read_pages
from workshop.tiny_families import FAMILIES, write_tiny_family

PAGE = Path(__file__).parent.parent / "docs" / "families.md"
BEGIN, END = "<!-- begin: python -m benchmarks.families -->", "<!-- end -->"
QUESTIONS = ("What is the total?", "Seller?", "Which date is printed at the top of the page?")
SIZES = (((160, 110),), ((90, 130),), ((120, 80), (80, 120)))
"""Width and height of the pages of each document."""
ROWS = 4


class Tried(NamedTuple):
    """What became of one tiny checkpoint."""

    model_type: str
    loads: bool
    answers: bool
    padded_equal: bool | None
    """None if nothing was answered."""
    unit: str
    """What of a page ``max_pixels`` bounds."""
    note: str


def main() -> None:
    """Write the table into ``docs/families.md``, or print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--print", action="store_true", help="print the table and change no file")
    options = parser.parse_args()
    text = table()
    if options.print:
        print(text)
        return
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    write_atomically(PAGE, f"{before}{BEGIN}\n{text}\n{END}{after}")


def table() -> str:
    """The table, and sentences about the types that were not tried."""
    with tempfile.TemporaryDirectory() as folder:
        groups = _groups(Path(folder))
        tried = [_try(Path(folder) / name, name, groups) for name in FAMILIES]
    versions = ", ".join(f"{name} {version(name)}" for name in ("transformers", "torch", "pillow"))
    vision = (
        f"torchvision {version('torchvision')}" if find_spec("torchvision") else "no torchvision"
    )
    lines = [
        f"Tried with {versions} and {vision}, on a CPU in fp32, {ROWS} rows in a batch.",
        "",
        "| Type | Loads | Answers | Padded rows answer alike | `--max-pixels` bounds the | Note |",
        "|---|---|---|---|---|---|",
        *(_row(one) for one in tried),
        "",
        *_untried({one.model_type for one in tried}),
    ]
    return "\n".join(lines)


def _try(folder: Path, model_type: str, groups: Sequence[PageGroup]) -> Tried:
    """Load a tiny checkpoint of the type, and ask it."""
    write_tiny_family(folder, model_type)
    try:
        model = make_model(resolve(str(folder)))
        info = model.load()
    except BenchError as error:
        needs = f"needs {_package(error.message)}"
        note = needs if isinstance(error, EnvironmentProblem) else error.message
        return Tried(model_type, False, False, None, "–", note)
    assert isinstance(model, AnyVisionModel)
    bounds = str(info.details["pixel_bounds"])
    unit = bounds.partition(":")[0] if ":" in bounds else "–"
    try:
        check = model.check_batches(groups, ROWS)
    except Exception as error:
        return Tried(model_type, True, False, None, unit, f"{type(error).__name__}: {error}"[:120])
    failed = [output.error for output in check.single.outputs if output.error is not None]
    note = "" if check.passed else plural(len(check.differing), "answer differs", "answers differ")
    return Tried(model_type, True, not failed, check.passed, unit, failed[0] if failed else note)


def _package(message: str) -> str:
    """The package that an error asks for."""
    _, found, rest = message.partition("needs the package ")
    return rest.partition(",")[0] if found else message


def _row(one: Tried) -> str:
    equal = "–" if one.padded_equal is None else _word(one.padded_equal)
    cells = (one.model_type, _word(one.loads), _word(one.answers), equal, one.unit, one.note)
    return "| `" + cells[0] + "` | " + " | ".join(cells[1:]) + " |"


def _word(yes: bool) -> str:
    return "yes" if yes else "no"


def _untried(tried: set[str]) -> list[str]:
    """What transformers itself says of the types without a tiny checkpoint."""
    own = {name for backend in BACKENDS.values() for name in backend.model_types}
    left = sorted(loadable_types() - tried - own)
    images = _image_processors()
    torchvision = [name for name in left if "pil" not in images.get(name, {"pil": None})]
    others = [name for name in left if name not in torchvision]
    return [
        f"Not tried, and their pages need torchvision ({len(torchvision)}): {_names(torchvision)}.",
        "",
        f"Not tried ({len(others)}): {_names(others)}.",
        "",
        f"With an engine of their own: {_names(sorted(own))}.",
    ]


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _image_processors() -> Mapping[str, Mapping[str, Any]]:
    """Type → its image processors by backend, where transformers lists them."""
    from transformers.models.auto import image_processing_auto

    listed: Any = image_processing_auto
    names: Mapping[str, Any] = listed.IMAGE_PROCESSOR_MAPPING_NAMES
    return {name: value for name, value in names.items() if isinstance(value, dict)}


def _groups(folder: Path) -> list[PageGroup]:
    """Small documents of noise, with questions."""
    from PIL import Image

    groups = []
    for number, sizes in enumerate(SIZES):
        pages = []
        for index, size in enumerate(sizes):
            path = folder / f"{number}-{index}.png"
            Image.effect_noise(size, 80).convert("RGB").save(path)
            pages += read_pages(path)
        requests = tuple(Request(f"{number}-{q}", q, q) for q in QUESTIONS)
        groups.append(PageGroup(Document(str(number), tuple(pages)), requests, Generation(12)))
    return groups


if __name__ == "__main__":
    main()
