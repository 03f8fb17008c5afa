"""Reads pages with RapidOCR (https://github.com/RapidAI/RapidOCR, Apache-2.0): PP-OCR models on onnxruntime.

Its wheel carries detection, and recognition for Chinese and Latin script; nothing is ever downloaded.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import EnvironmentProblem, require_package
from bench.measure.cores import usable_cores
from bench.models.ocr.characters import as_cyrillic, is_cyrillic, one_script
from bench.models.ocr.reading import Fragment, Reading, page_slope

if TYPE_CHECKING:
    from PIL.Image import Image

_LONGEST_SIDE = 2400
"""Pixels: larger pages are scaled down to this before text is recognised."""
_DETECTION_SIDE = 1280
"""Pixels: text is looked for at this size, where most of the time goes, and recognised at the larger."""


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
                "Global.max_side_len": _LONGEST_SIDE,
                "Det.limit_type": "max",
                "Det.limit_side_len": _DETECTION_SIDE,
                "EngineConfig.onnxruntime.intra_op_num_threads": self.threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def read(self, image: Image) -> Reading:
        """Read one RGB page."""
        pixels = as_bgr(image)
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
            line = as_cyrillic(line) if is_cyrillic(line) else line
            fragments.append(
                Fragment(line, min(xs), middle - half, max(xs), middle + half, float(score))
            )
        return Reading(tuple(fragments), page_slope(slopes), words=False)

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


def as_bgr(image: Image) -> Any:
    """An RGB image as RapidOCR takes it: an array in OpenCV's order, BGR."""
    import numpy as np

    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def _only_model(folder: Path, pattern: str) -> Path:
    """The first file of ``folder`` that matches, or a path that names what is missing."""
    return next(iter(sorted(folder.glob(pattern))), folder / pattern)
