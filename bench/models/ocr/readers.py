"""Readers: what turns a page into pieces of text with boxes.

- the text layer of a PDF, where it has one (exact, and nearly free);
- RapidOCR (https://github.com/RapidAI/RapidOCR, Apache-2.0): PP-OCR models on onnxruntime. Its wheel
  carries detection, and recognition for Chinese and Latin script; nothing is ever downloaded;
- RapidOCR with a recogniser of Cyrillic (``recognizers``);
- Tesseract (https://github.com/tesseract-ocr/tesseract), where the option ``reader`` names it: it read the
  bundled documents worse (docs/recogniser.md). It is called as a program; its TSV output is what is read.

``read_by_script`` chooses among those for a page image.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import math
import os
import shutil
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bench.errors import EnvironmentProblem, require_package
from bench.measure.cores import usable_cores
from bench.measure.tesseract import tesseract_languages
from bench.models.ocr.characters import as_cyrillic, cyrillic_share, one_script
from bench.models.ocr.recognizers import cyrillic_recognizer

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_SIDE = 3600
"""Pixels of an A4 page at 300 dpi: no reader needs more."""
RAPIDOCR_LONGEST_SIDE = 2400
"""Pixels: larger pages are scaled down to this before text is recognised."""
RAPIDOCR_DETECTION_SIDE = 1280
"""Pixels: text is looked for at this size, where most of the time goes, and recognised at the larger."""
TESSERACT_SHORTEST_LONG_SIDE = 1800
"""Pixels: smaller pages are scaled up to this, because Tesseract misreads letters under 20 pixels."""
TESSERACT_TIMEOUT = 120.0
"""Seconds that one page may take."""
POOR_DENSITY = 1.2
"""Below this, RapidOCR met a script that it does not know (Cyrillic gives 0.9, its own 1.6 and more)."""
LEAST_CYRILLIC = 0.1
"""Share of a page's letters: with fewer, the page is in another script."""

LEAST_CYRILLIC_OF_LINE = 0.6
"""Share of the letters of a line that is taken for Cyrillic."""


class Fragment(NamedTuple):
    """A word (Tesseract, text layer) or a run of words (RapidOCR) as it stands on the page."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float = 1.0
    """0 to 1."""

    @property
    def width(self) -> float:
        """Pixels."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """Vertical centre, pixels."""
        return (self.top + self.bottom) / 2


class Reading(NamedTuple):
    """What a reader saw on one page; coordinates in the page's own pixels."""

    fragments: tuple[Fragment, ...]
    slope: float = 0.0
    """Tangent of the angle by which lines fall to the right (positive: downwards)."""
    words: bool = True
    """Whether fragments are single words, which have yet to be joined."""

    @property
    def confidence(self) -> float:
        """Mean confidence over characters; 0 if nothing was read."""
        characters = sum(len(fragment.text) for fragment in self.fragments)
        if characters == 0:
            return 0.0
        total = sum(fragment.confidence * len(fragment.text) for fragment in self.fragments)
        return total / characters

    @property
    def text(self) -> str:
        """All that was read, without blanks between the fragments."""
        return "".join(fragment.text for fragment in self.fragments)

    @property
    def density(self) -> float:
        """Characters per line height of text: about 1 for Chinese, 1.5 to 2 for letters.

        Less means that the engine saw text and knew no letters for it: RapidOCR drops the Cyrillic
        letters, keeps digits and punctuation, and is confident of what is left.
        """
        wide = [fragment for fragment in self.fragments if fragment.width > 2 * fragment.height]
        length = sum(fragment.width / max(1.0, fragment.height) for fragment in wide)
        characters = sum(len(fragment.text.replace(" ", "")) for fragment in wide)
        return characters / length if length else 0.0


class Reader(Protocol):
    """An engine that reads page images."""

    name: str
    poor_confidence: float
    """Below this, what it read is probably not a script that it knows."""

    def read(self, image: Image) -> Reading:
        """Read one RGB page."""
        ...

    def details(self) -> Mapping[str, Any]:
        """Engine, version and languages, for the record."""
        ...


class RapidOcrReader:
    """PP-OCR detection and recognition from RapidOCR's own wheel: Chinese and Latin script."""

    name = "rapidocr"
    poor_confidence = 0.92
    """With a recogniser of Cyrillic, Chinese gives 0.75 to 0.88, Russian 0.94 to 0.98."""

    def __init__(
        self, recognizer: Path | None = None, languages: Sequence[str] = ("zh", "en")
    ) -> None:
        """Load the models; ``recognizer`` is another recognition model (ONNX), for other ``languages``.

        Raises:
            EnvironmentProblem: a package or a model file is missing.
        """
        for package in ("onnxruntime", "rapidocr"):
            require_package("the model 'ocr'", package, "ocr")
        import rapidocr

        folder = Path(rapidocr.__file__).parent / "models"
        # Every model is named by its path: without one, RapidOCR fetches what it misses.
        self.models = {
            "Det.model_path": _only_model(folder, "*_det_*.onnx"),
            "Rec.model_path": recognizer or _only_model(folder, "*_rec_*.onnx"),
            "Cls.model_path": _only_model(folder, "*_cls_*.onnx"),
        }
        for path in self.models.values():
            if not path.is_file():
                raise EnvironmentProblem(
                    f"the OCR model file {path} does not exist",
                    hint="pip install --force-reinstall --no-deps rapidocr",
                )
        self.languages = list(languages)
        # RapidOCR's classifier of upside-down lines knows Chinese and Latin script, and turns Cyrillic lines.
        self.turns_lines = recognizer is None
        self.threads = usable_cores()
        self.engine = rapidocr.RapidOCR(
            params={
                **{key: str(path) for key, path in self.models.items()},
                "Global.log_level": "critical",
                "Global.max_side_len": RAPIDOCR_LONGEST_SIDE,
                "Det.limit_type": "max",
                "Det.limit_side_len": RAPIDOCR_DETECTION_SIDE,
                "EngineConfig.onnxruntime.intra_op_num_threads": self.threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def read(self, image: Image) -> Reading:
        """Read one RGB page."""
        import numpy as np

        # RapidOCR takes arrays in OpenCV's order, BGR.
        pixels = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
        reading = self._read(pixels, self.turns_lines)
        if self.turns_lines or not reading.fragments or reading.confidence >= self.poor_confidence:
            return reading
        turned = self._read(pixels, True)
        return turned if turned.confidence > reading.confidence else reading

    def _read(self, pixels: Any, turns_lines: bool) -> Reading:
        """Read one page; lines that look upside down are turned if ``turns_lines``."""
        result: Any = self.engine(pixels, use_cls=turns_lines)
        if result.txts is None:
            return Reading((), words=False)
        fragments = []
        slopes = []
        for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
            xs = [float(x) for x, _ in corners]
            ys = [float(y) for _, y in corners]
            width, fall = xs[1] - xs[0], ys[1] - ys[0]
            if width > 4 * abs(fall):
                slopes.append((fall / width, width))
            # The box of the middle line: a tilted quadrilateral's bounding box would overlap its neighbours.
            height = (ys[3] - ys[0] + ys[2] - ys[1]) / 2
            middle = sum(ys) / 4
            half = max(height, 1.0) / 2
            line = one_script(text)
            line = as_cyrillic(line) if _is_cyrillic(line) else line
            fragments.append(
                Fragment(line, min(xs), middle - half, max(xs), middle + half, float(score))
            )
        return Reading(tuple(fragments), _weighted_median(slopes), words=False)

    def details(self) -> Mapping[str, Any]:
        """Engine, version, model files and threads."""
        return {
            "engine": "rapidocr",
            "version": importlib.metadata.version("rapidocr"),
            "onnxruntime": importlib.metadata.version("onnxruntime"),
            "models": [path.name for path in self.models.values()],
            "languages": self.languages,
            "threads": self.threads,
        }


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
        scaled, scale = _for_tesseract(image)
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
                timeout=TESSERACT_TIMEOUT,
                env=environment,
                check=True,
            )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentProblem(
                f"tesseract did not finish a page within {TESSERACT_TIMEOUT:.0f} s"
            ) from error
        except (OSError, subprocess.CalledProcessError) as error:
            detail = getattr(error, "stderr", None) or str(error).encode()
            last = detail.decode(errors="replace").strip().splitlines()[-1:]
            raise EnvironmentProblem(f"tesseract failed: {''.join(last)}") from error
        return done.stdout.decode(errors="replace")


def cyrillic_reader() -> RapidOcrReader:
    """RapidOCR with its own recogniser of Cyrillic where that was fetched, else with the one in the box.

    Raises:
        EnvironmentProblem: a package of RapidOCR is missing.
    """
    return RapidOcrReader(cyrillic_recognizer(), ("ru", "uk", "be", "en"))


@cache
def glancing_engines() -> tuple[Any, ...]:
    """RapidOCR with each recogniser that is here, for ``orientation.glance``: Chinese and Latin first.

    Raises:
        EnvironmentProblem: a package of RapidOCR is missing.
    """
    return RapidOcrReader().engine, cyrillic_reader().engine


def read_by_script(image: Image, is_cyrillic: bool, general: Reader, cyrillic: Reader) -> Reading:
    """Read one RGB page with the reader of its script.

    ``is_cyrillic`` is a guess, from the question; where the reader for it is visibly of no use, the other
    one reads too.
    """
    if is_cyrillic:
        reading = cyrillic.read(image)
        is_sure = reading.confidence >= cyrillic.poor_confidence
        if is_sure and cyrillic_share(reading.text) >= LEAST_CYRILLIC:
            return reading
        other = general.read(image)
        is_better = not is_sure and other.confidence > reading.confidence
        if other.density > POOR_DENSITY and (
            is_better or cyrillic_share(reading.text) < LEAST_CYRILLIC
        ):
            return other
        return reading
    reading = general.read(image)
    if reading.fragments and reading.density < POOR_DENSITY:
        other = cyrillic.read(image)
        if other.confidence > cyrillic.poor_confidence and other.density > reading.density:
            return other
    return reading


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
        if _is_cyrillic("".join(word.text for word in words)):
            words = [word._replace(text=as_cyrillic(word.text)) for word in words]
        fragments.extend(words)
        first, last = words[0], words[-1]
        run = last.left - first.left
        # Descenders move the bottom of a word, capitals its top: only long lines tell an angle.
        if len(words) > 3 and run > 15 * (first.bottom - first.top):
            slopes.append(((last.bottom - first.bottom + last.top - first.top) / 2 / run, run))
    return Reading(tuple(fragments), _weighted_median(slopes))


def _is_cyrillic(line: str) -> bool:
    """A Russian line may hold some Latin words, a Latin one few Cyrillic letters."""
    return cyrillic_share(line) >= LEAST_CYRILLIC_OF_LINE


def _for_tesseract(image: Image) -> tuple[Image, float]:
    """A page in grey, as large as Tesseract reads well, and the factor by which it was scaled."""
    longest = max(image.size)
    scale = min(1.0, LONGEST_SIDE / longest)
    if longest < TESSERACT_SHORTEST_LONG_SIDE:
        scale = TESSERACT_SHORTEST_LONG_SIDE / longest
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


def _weighted_median(slopes: Sequence[tuple[float, float]]) -> float:
    """Median slope, each weighted by its width; 0 where too few lines tell, or they tell nonsense."""
    if len(slopes) < 3:
        return 0.0
    repeated = [slope for slope, weight in slopes for _ in range(1 + int(weight // 100))]
    slope = statistics.median(repeated)
    return slope if 0.004 < abs(slope) < math.tan(math.radians(20)) else 0.0


def _only_model(folder: Path, pattern: str) -> Path:
    """The first file of ``folder`` that matches, or a path that names what is missing."""
    return next(iter(sorted(folder.glob(pattern))), folder / pattern)
