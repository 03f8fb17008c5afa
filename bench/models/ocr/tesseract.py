"""Reads pages with the program Tesseract (https://github.com/tesseract-ocr/tesseract), by its TSV output."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import EnvironmentProblem
from bench.measure.tesseract import tesseract_languages
from bench.models.ocr.characters import as_cyrillic, is_cyrillic
from bench.models.ocr.reading import LONGEST_SIDE, Fragment, Reading, page_slope

if TYPE_CHECKING:
    from PIL.Image import Image

_SHORTEST_LONG_SIDE = 1800
"""Pixels: smaller pages are scaled up to this, because Tesseract misreads letters under 20 pixels."""
_TIMEOUT = 120.0
"""Seconds that one page may take."""


class TesseractReader:
    """The ``tesseract`` program with the installed ones of the wanted language packs."""

    name = "tesseract"
    poor_confidence = 0.7
    """Chinese gives 0.4 to 0.6, Russian 0.9."""

    def __init__(self, wanted: Sequence[str] = ("rus", "eng")) -> None:
        """Find the program and its packs.

        Raises:
            EnvironmentProblem: the program is not there, does not run, or has none of the packs.
        """
        program = shutil.which("tesseract")
        if program is None:
            raise EnvironmentProblem(
                "the reader 'tesseract' needs the program tesseract, which is not on the PATH",
                hint="apt-get install tesseract-ocr tesseract-ocr-rus",
            )
        self.program = program
        self.version = self._run("--version").splitlines()[0].removeprefix("tesseract").strip()
        self.installed = tesseract_languages(self._run("--list-langs"))
        self.languages = [language for language in wanted if language in self.installed]
        if not self.languages:
            raise EnvironmentProblem(
                f"tesseract has none of the language packs {', '.join(wanted)}",
                hint="apt-get install tesseract-ocr-rus",
            )

    def read(self, image: Image) -> Reading:
        """Read one RGB page."""
        scaled, scale = _scaled(image)
        # psm 11 takes text wherever it stands; the layout is found afterwards, as for all readers.
        languages = "+".join(self.languages)
        tsv = self._run(
            "stdin",
            "stdout",
            "-l",
            languages,
            "--psm",
            "11",
            "tsv",
            data=_ppm(_without_rules(scaled)),
        )
        return parse_tesseract_tsv(tsv, scale)

    def details(self) -> Mapping[str, Any]:
        """Engine, version and languages."""
        return {"engine": "tesseract", "version": self.version, "languages": self.languages}

    def _run(self, *arguments: str, data: bytes | None = None) -> str:
        # One thread: Tesseract's own threads cost more than they bring on few cores.
        environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
        try:
            done = subprocess.run(
                [self.program, *arguments],
                input=data,
                capture_output=True,
                timeout=_TIMEOUT,
                env=environment,
                check=True,
            )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentProblem(
                f"tesseract did not finish a page within {_TIMEOUT:.0f} s"
            ) from error
        except (OSError, subprocess.CalledProcessError) as error:
            detail = getattr(error, "stderr", None) or str(error).encode()
            last = detail.decode(errors="replace").strip().splitlines()[-1:]
            raise EnvironmentProblem(f"tesseract failed: {''.join(last)}") from error
        return done.stdout.decode(errors="replace")


def parse_tesseract_tsv(tsv: str, scale: float = 1.0) -> Reading:
    """The words of Tesseract's TSV output, in pixels of the page before it was scaled by ``scale``.

    Columns: level, page, block, paragraph, line, word, left, top, width, height, confidence (0 to 100,
    -1 for boxes without text), text. Level 5 is a word.
    """
    lines: dict[tuple[str, ...], list[Fragment]] = {}
    for line in tsv.splitlines():
        columns = line.split("\t")
        if len(columns) != 12 or columns[0] != "5" or not columns[11].strip():
            continue
        left, top, width, height, confidence = (float(column) for column in columns[6:11])
        # Rules and specks come back as words of confidence under 30.
        if confidence < 30 and not any(character.isalnum() for character in columns[11]):
            continue
        box = (left / scale, top / scale, (left + width) / scale, (top + height) / scale)
        fragment = Fragment(columns[11].strip(), *box, max(0.0, confidence) / 100)
        lines.setdefault(tuple(columns[1:5]), []).append(fragment)
    slopes = []
    fragments: list[Fragment] = []
    for words in lines.values():
        # With two languages at once, Tesseract takes "ООО" and "АО" for Latin letters of the same shape.
        if is_cyrillic("".join(word.text for word in words)):
            words = [word._replace(text=as_cyrillic(word.text)) for word in words]
        fragments.extend(words)
        first, last = words[0], words[-1]
        run = last.left - first.left
        # Descenders move the bottom of a word, capitals its top: only long lines tell an angle.
        if len(words) > 3 and run > 15 * (first.bottom - first.top):
            slopes.append(((last.bottom - first.bottom + last.top - first.top) / 2 / run, run))
    return Reading(tuple(fragments), page_slope(slopes))


def _scaled(image: Image) -> tuple[Image, float]:
    """A page in grey, as large as Tesseract reads well, and the factor by which it was scaled."""
    longest = max(image.size)
    scale = min(1.0, LONGEST_SIDE / longest)
    if longest < _SHORTEST_LONG_SIDE:
        scale = _SHORTEST_LONG_SIDE / longest
    grey = image.convert("L")
    if scale != 1.0:
        grey = grey.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        )
    return grey, scale


def _ppm(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PPM")
    return buffer.getvalue()


def _without_rules(image: Image) -> Image:
    """A grey page without its long straight lines: Tesseract reads table rules as letters."""
    import cv2
    import numpy as np
    from PIL import Image as images

    pixels = np.asarray(image).copy()
    dark = cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)[1]
    # Longer than the capitals of a title are tall, shorter than a table of a few rows.
    length = max(pixels.shape) // 20
    for shape in ((length, 1), (1, length)):
        kernel = cv2.getStructuringElement(cv2.MORPH_RECT, shape)
        rules = cv2.morphologyEx(dark, cv2.MORPH_OPEN, kernel)
        pixels[cv2.dilate(rules, np.ones((3, 3), np.uint8)) > 0] = 255
    return images.fromarray(pixels)
