"""Documents as files: PNG, JPEG and PDF, and the lines of ``samples.jsonl`` that point at them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from bench.schema import Json
from bench.synth.generated import GeneratedDocument
from bench.synth.pdf import write_pdf
from bench.synth.raster import rasterise
from bench.synth.scanning import ScanStrength, draw_scan_settings, scan_page

if TYPE_CHECKING:
    from PIL import Image

_COLORS = 48
"""Palette of a clean page: enough for smoothed text in a few inks."""


def png(image: Image.Image, dpi: int) -> bytes:
    """Return ``image`` as a small PNG file, with a palette, or grey where it has no colour."""
    from PIL import Image

    saturation = image.convert("HSV").getextrema()[1]
    if isinstance(saturation, tuple) and saturation[1] < 12:
        small = image.convert("L").quantize(16)
    else:
        small = image.quantize(_COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True, dpi=(dpi, dpi))
    return buffer.getvalue()


def write_page(
    image: Image.Image, folder: Path, stem: str, strength: ScanStrength, rng: Random, dpi: int
) -> str:
    """Write one page: a PNG where it is ``clean``, else a scan as JPEG; return the name of the file."""
    if strength == "clean":
        name, content = f"{stem}.png", png(image, dpi)
    else:
        settings = draw_scan_settings(rng, strength)
        name, content = f"{stem}.jpg", scan_page(image, settings, rng.getrandbits(32), dpi)
    (folder / name).write_bytes(content)
    return name


def write_pages(
    document: GeneratedDocument,
    folder: Path,
    stem: str,
    strength: ScanStrength,
    rng: Random,
    dpi: int | None = None,
) -> dict[str, Json]:
    """Write the pages of ``document`` and return how a line of ``samples.jsonl`` names them.

    A clean contract becomes one PDF with its text layer; everything else one image a page.
    """
    if document.kind == "contract" and strength == "clean":
        (folder / f"{stem}.pdf").write_bytes(write_pdf(document.sheets, stem))
        return {"document": f"{stem}.pdf"}
    dpi = dpi or document.dpi
    names = []
    for number, sheet in enumerate(document.sheets, start=1):
        page = stem if len(document.sheets) == 1 else f"{stem}-p{number}"
        names.append(write_page(rasterise(sheet, dpi), folder, page, strength, rng, dpi))
    return {"images": names}


def sample_line(
    identifier: str,
    files: Mapping[str, Json],
    question: str | None,
    answers: Sequence[Json],
    metadata: Mapping[str, str],
) -> dict[str, Json]:
    """Return one line of ``samples.jsonl``, without a question where the schema of the answers makes it."""
    return {
        "id": identifier,
        **files,
        **({} if question is None else {"question": question}),
        "answers": list(answers),
        "metadata": dict(metadata),
    }


def write_samples(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines, UTF-8, letters of every script as they are."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8", newline="\n")
