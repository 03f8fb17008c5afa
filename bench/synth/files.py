"""Documents as files: PNG, JPEG, TIFF and PDF, and the lines of ``samples.jsonl`` that point at them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from bench.schema import Json
from bench.synth.degrade import Strength, degrade, draw_scan
from bench.synth.generated import Record
from bench.synth.pdf import write_pdf
from bench.synth.raster import rasterise

if TYPE_CHECKING:
    from PIL import Image

_COLOURS = 48
"""Palette of a clean page: enough for smoothed text in a few inks."""


def png(image: Image.Image, dpi: int) -> bytes:
    """``image`` with a palette (or grey, where it has no colour), as small as it gets."""
    from PIL import Image

    extrema = image.convert("HSV").getextrema()[1]
    if isinstance(extrema, tuple) and extrema[1] < 12:
        small = image.convert("L").quantize(16)
    else:
        small = image.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True, dpi=(dpi, dpi))
    return buffer.getvalue()


def fax_tiff(images: Sequence[Image.Image], dpi: int) -> bytes:
    """``images`` as the frames of one black-and-white TIFF (CCITT group 4), as a fax server stores them."""
    frames = [
        image.convert("L").point(lambda value: 255 if value > 150 else 0).convert("1")
        for image in images
    ]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        "TIFF",
        save_all=True,
        append_images=frames[1:],
        compression="group4",
        dpi=(dpi, dpi),
    )
    return buffer.getvalue()


def write_pages(
    record: Record, folder: Path, stem: str, strength: Strength, rng: Random, dpi: int | None = None
) -> dict[str, Json]:
    """Write the pages of ``record`` and return how a samples line names them.

    A clean contract becomes one PDF with its text layer; everything else one image a page.
    """
    if record.kind == "contract" and strength == "clean":
        (folder / f"{stem}.pdf").write_bytes(write_pdf(record.sheets, stem))
        return {"document": f"{stem}.pdf"}
    dpi = dpi or record.dpi
    names = []
    for number, sheet in enumerate(record.sheets, start=1):
        name = stem if len(record.sheets) == 1 else f"{stem}-p{number}"
        image = rasterise(sheet, dpi)
        if strength == "clean":
            name, data = f"{name}.png", png(image, dpi)
        else:
            name, data = (
                f"{name}.jpg",
                degrade(image, draw_scan(rng, strength), rng.getrandbits(32), dpi),
            )
        (folder / name).write_bytes(data)
        names.append(name)
    return {"images": names}


def sample_line(
    identifier: str,
    files: Mapping[str, Json],
    question: str,
    answers: Sequence[Json],
    metadata: Mapping[str, str],
) -> dict[str, Json]:
    """One line of ``samples.jsonl``."""
    return {
        "id": identifier,
        **files,
        "question": question,
        "answers": list(answers),
        "metadata": dict(metadata),
    }


def write_samples(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines, UTF-8, letters of every script as they are."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8", newline="\n")
