"""Answers questions without a GPU and without weights: it reads the page, then matches labels.

This baseline shows whether documents need a vision-language model at all. The data go this way:

- reading (page → pieces of text with boxes): ``readers`` chooses among ``rapid_ocr`` (with ``recognizers``)
  and ``tesseract``, and ``orientation`` sees which way up a page lies;
- layout: ``layout`` (pieces of text → cells and rows), ``document`` (cells, and the labels in them);
- tables: ``fields`` (what people ask for and documents print), ``words`` (words of kinds of papers),
  ``values`` (what a date or an amount looks like);
- candidates: ``labels`` and ``matching`` (labels and the values around them), ``repeated`` (labels that a
  question repeats), ``payment_order``, ``receipt`` and ``letterhead`` (what a kind of paper says without a
  label), ``table`` (goods), ``prose`` (running text);
- answers: ``questions`` (what is asked for), ``finding`` (all candidates → the best one), ``answer``.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.errors import InvalidInput, did_you_mean
from bench.models.backends import check_options
from bench.models.model import failed
from bench.models.ocr.answer import answer
from bench.models.ocr.document import OcrDocument
from bench.models.ocr.layout import lay_out
from bench.models.ocr.orientation import glance, text_layer_reading
from bench.models.ocr.rapid_ocr import RapidOcrReader
from bench.models.ocr.readers import cyrillic_reader, glancing_engines, read_by_script
from bench.models.ocr.reading import LONGEST_SIDE, Reader, Reading
from bench.models.ocr.tesseract import TesseractReader
from bench.schema import (
    Batch,
    Document,
    ModelInfo,
    ModelSpec,
    Output,
    Page,
    PageGroup,
    PlacedText,
    Request,
)
from bench.tasks.images import turned

if TYPE_CHECKING:
    from PIL.Image import Image

READERS = ("auto", "rapidocr", "tesseract", "text-layer")
_CACHED_DOCUMENTS = 64
"""Documents whose reading is kept: their questions may come in several calls."""
_REDUCING_GAP = 2.0
"""Pillow first shrinks by whole numbers, to twice the size: a huge page is resized in tenths of a second."""
_STAGES = ("preprocess", "read", "match")
_CYRILLIC = re.compile("[\u0400-\u04ff]")


class Ocr:
    """The backend ``ocr``. Options: ``reader`` (one of ``READERS``); ``max_pixels`` as for any model."""

    def __init__(self, spec: ModelSpec) -> None:
        """Keep ``spec``.

        Raises:
            InvalidInput: an option is unknown or its value is.
        """
        check_options(spec)
        self.backend = spec.backend
        self.forced = str(spec.options.get("reader", "auto"))
        if self.forced not in READERS:
            raise InvalidInput(
                f"the option reader of the model {spec.name!r} cannot be {self.forced!r}",
                hint=did_you_mean(self.forced, READERS),
            )
        self.max_pixels = spec.max_pixels
        self.readers: dict[str, Reader] = {}
        self.read_documents: OrderedDict[tuple[bool | str, ...], OcrDocument] = OrderedDict()
        self.stages: dict[str, float] = dict.fromkeys(_STAGES, 0.0)
        self.turned_pages: dict[str, int] = {}
        """Key of a page → degrees by which it was turned clockwise, over the last call."""
        self.words: dict[str, list[PlacedText]] = {}
        """Key of a page → what was read on it and where it stands, over the last call."""

    def load(self) -> ModelInfo:
        """Start the engines that are there.

        Raises:
            EnvironmentProblem: an engine that was asked for is missing, or there is none at all.
        """
        if self.forced in {"auto", "rapidocr"}:
            self.readers["rapidocr"] = RapidOcrReader()
            self.readers["cyrillic"] = cyrillic_reader()
        if self.forced == "tesseract":
            self.readers["tesseract"] = TesseractReader()
        return ModelInfo(
            backend=self.backend,
            details={
                "reader": self.forced,
                "max_pixels": self.max_pixels,
                "engines": [dict(reader.details()) for reader in self.readers.values()],
            },
        )

    def reset(self) -> None:
        """Forget the pages that were read."""
        self.read_documents.clear()

    def expect(self, groups: Sequence[PageGroup]) -> None:
        """Do nothing: the OCR engines use every core already, so reading ahead would gain no time."""

    def economize(self) -> str | None:
        """Return None: pages are read one after the other, so there is nothing to make smaller."""
        return None

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        """Answer every request; a document that cannot be read fails only its own requests."""
        self.turned_pages = {}
        self.words = {}
        self.stages = dict.fromkeys(_STAGES, 0.0)
        outputs = [
            self._output(group.document, request) for group in groups for request in group.requests
        ]
        notes = {"turned_pages": dict(self.turned_pages)} if self.turned_pages else {}
        return Batch(tuple(outputs), dict(self.stages), notes=notes, words=dict(self.words))

    def _output(self, document: Document, request: Request) -> Output:
        try:
            is_cyrillic = bool(_CYRILLIC.search(request.question))
            read_document = self._read_document(document, is_cyrillic)
            started = time.perf_counter()
            ocr_answer = answer(read_document, request.question, request.json_schema)
            self.stages["match"] += time.perf_counter() - started
        except Exception as error:  # the one place that turns a failure into a record
            return failed(request.sample_id, error)
        return Output(request.sample_id, ocr_answer.text, "stop", confidence=ocr_answer.confidence)

    def _read_document(self, document: Document, cyrillic: bool) -> OcrDocument:
        key: tuple[bool | str, ...] = (cyrillic, *(page.key for page in document.pages))
        if key not in self.read_documents:
            readings = [self._read(page, cyrillic) for page in document.pages]
            started = time.perf_counter()
            layouts = [lay_out(reading, number) for number, reading in enumerate(readings)]
            self.read_documents[key] = OcrDocument(layouts)
            self.stages["match"] += time.perf_counter() - started
            while len(self.read_documents) > _CACHED_DOCUMENTS:
                self.read_documents.popitem(last=False)
        self.read_documents.move_to_end(key)
        return self.read_documents[key]

    def _read(self, page: Page, cyrillic: bool) -> Reading:
        """Read one page, from its text layer where that is allowed and there is one."""
        from bench.tasks.pages import open_page

        started = time.perf_counter()
        if self.forced in {"auto", "text-layer"}:
            reading = text_layer_reading(page)
            if reading is not None or self.forced == "text-layer":
                self.stages["read"] += time.perf_counter() - started
                # Where the words of a text layer stand is known without this model.
                return reading if reading is not None else Reading(())
        image = self._upright(page, self._shrunk(open_page(page, LONGEST_SIDE)))
        opened = time.perf_counter()
        self.stages["preprocess"] += opened - started
        reading = self._read_image(image, cyrillic)
        self.stages["read"] += time.perf_counter() - opened
        turn = self.turned_pages.get(page.key, 0)
        self.words[page.key] = _placed(reading, image.width, image.height, turn)
        return reading

    def _upright(self, page: Page, image: Image) -> Image:
        """The page as it is read, turned where its lines say so; the turn is recorded."""
        readers = self.readers.values()
        engines = [one.engine for one in readers if isinstance(one, RapidOcrReader)]
        turn = glance(image, engines or glancing_engines()).turn
        if turn:
            self.turned_pages[page.key] = turn
        return turned(image, turn)

    def _shrunk(self, image: Image) -> Image:
        """The page with at most ``max_pixels``; fewer are read faster, and small print is lost.

        No reader takes more than ``LONGEST_SIDE``, and copies of a larger page would fill the memory.
        """
        scale = min(1.0, LONGEST_SIDE / max(image.size))
        if self.max_pixels is not None:
            scale = min(scale, math.sqrt(self.max_pixels / (image.width * image.height)))
        if scale == 1.0:
            return image
        size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
        return image.resize(size, reducing_gap=_REDUCING_GAP)

    def _read_image(self, image: Image, is_cyrillic: bool) -> Reading:
        """Read with the engine for the question's script, or the other one where that is no use."""
        if self.forced == "tesseract":
            return self.readers["tesseract"].read(image)
        return read_by_script(
            image, is_cyrillic, self.readers["rapidocr"], self.readers["cyrillic"]
        )


def _placed(reading: Reading, width: int, height: int, turn: int) -> list[PlacedText]:
    """The fragments of a reading on the page as it was before it was turned."""
    placed = []
    for fragment in reading.fragments:
        across = [_share(edge, width) for edge in (fragment.left, fragment.right)]
        down = [_share(edge, height) for edge in (fragment.top, fragment.bottom)]
        word = PlacedText(fragment.text, across[0], down[0], across[1], down[1])
        placed.append(word.turned_back(turn))
    return placed


def _share(edge: float, whole: int) -> float:
    return min(1.0, max(0.0, edge / whole))
