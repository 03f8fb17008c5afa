"""A baseline that needs no GPU and no weights: OCR, then label matching.

It answers what a person asks before renting a GPU: does this need a vision-language model at all?
The data goes ``readers`` (page → fragments) → ``layout`` (fragments → cells and rows) → ``matching``
(labels and their values; ``fields`` and ``values`` are its tables) → ``answer``.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Sequence

from bench.errors import EnvironmentProblem, InvalidInput, did_you_mean
from bench.models.ocr.answer import answer
from bench.models.ocr.layout import Layout, lay_out
from bench.models.ocr.matching import Sheet
from bench.models.ocr.readers import (
    RapidOcrReader,
    Reader,
    Reading,
    TesseractReader,
    text_layer_reading,
)
from bench.schema import Batch, Document, ModelInfo, ModelSpec, Output, Page, PageGroup, Request

READERS = ("auto", "rapidocr", "tesseract", "text-layer")
_CACHED_SHEETS = 64
_CACHED_PAGES = 256
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_NO_CYRILLIC = (
    "no reader for Cyrillic: RapidOCR's models know Chinese and Latin script only, so Russian pages will be "
    "misread (install tesseract with its language pack rus)"
)


class Ocr:
    """The backend ``ocr``. Options: ``reader`` (one of ``READERS``)."""

    def __init__(self, spec: ModelSpec) -> None:
        """Keep ``spec``.

        Raises:
            InvalidInput: an option is unknown or its value is.
        """
        unknown = set(spec.options) - {"reader"}
        if unknown:
            name = min(unknown)
            raise InvalidInput(
                f"the model {spec.name!r} has no option {name!r}",
                hint=did_you_mean(name, ["reader"]),
            )
        self.forced = str(spec.options.get("reader", "auto"))
        if self.forced not in READERS:
            raise InvalidInput(
                f"the option reader of the model {spec.name!r} cannot be {self.forced!r}",
                hint=did_you_mean(self.forced, READERS),
            )
        self.readers: dict[str, Reader] = {}
        self.pages: OrderedDict[tuple[str, int, str], Layout] = OrderedDict()
        self.sheets: OrderedDict[tuple[tuple[str, int, str], ...], Sheet] = OrderedDict()
        self.stages: dict[str, float] = {}

    def load(self) -> ModelInfo:
        """Start the engines that are there.

        Raises:
            EnvironmentProblem: an engine that was asked for is missing, or there is none at all.
        """
        warnings: list[str] = []
        if self.forced in {"auto", "rapidocr"}:
            self.readers["rapidocr"] = RapidOcrReader()
        if self.forced == "tesseract":
            self.readers["tesseract"] = TesseractReader()
        elif self.forced == "auto":
            try:
                self.readers["tesseract"] = TesseractReader()
            except EnvironmentProblem as problem:
                warnings.append(problem.message)
        if not self._reads_cyrillic() and self.forced != "text-layer":
            warnings.append(_NO_CYRILLIC)
        return ModelInfo(
            backend="ocr",
            details={
                "reader": self.forced,
                "engines": [dict(reader.details()) for reader in self.readers.values()],
                "warnings": warnings,
            },
        )

    def _reads_cyrillic(self) -> bool:
        reader = self.readers.get("tesseract")
        return isinstance(reader, TesseractReader) and "rus" in reader.languages

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        """Answer every request; a document that cannot be read fails its own requests only."""
        self.stages = {"preprocess": 0.0, "read": 0.0, "match": 0.0}
        outputs = [
            self._output(group.document, request) for group in groups for request in group.requests
        ]
        return Batch(tuple(outputs), dict(self.stages))

    def _output(self, document: Document, request: Request) -> Output:
        try:
            sheet = self._sheet(document, bool(_CYRILLIC.search(request.question)))
            started = time.perf_counter()
            found = answer(sheet, request.question)
            self.stages["match"] += time.perf_counter() - started
        except Exception as error:  # the one place that turns a failure into a record
            return Output(request.sample_id, "", "error", error=f"{type(error).__name__}: {error}")
        return Output(request.sample_id, found.text, "stop", confidence=found.confidence)

    def _sheet(self, document: Document, cyrillic: bool) -> Sheet:
        engine = "tesseract" if cyrillic and self._reads_cyrillic() else "rapidocr"
        if self.forced != "auto":
            engine = self.forced
        key = tuple((page.sha256, page.index, engine) for page in document.pages)
        if key not in self.sheets:
            layouts = [
                self._layout(page, number, engine) for number, page in enumerate(document.pages)
            ]
            started = time.perf_counter()
            self.sheets[key] = Sheet(layouts)
            self.stages["match"] += time.perf_counter() - started
            while len(self.sheets) > _CACHED_SHEETS:
                self.sheets.popitem(last=False)
        self.sheets.move_to_end(key)
        return self.sheets[key]

    def _layout(self, page: Page, number: int, engine: str) -> Layout:
        return lay_out(self._read(page, engine), number)

    def _read(self, page: Page, engine: str) -> Reading:
        from bench.tasks.pages import open_page

        started = time.perf_counter()
        if self.forced in {"auto", "text-layer"}:
            reading = text_layer_reading(page)
            if reading is not None or self.forced == "text-layer":
                self.stages["read"] += time.perf_counter() - started
                return reading if reading is not None else Reading(())
        image = open_page(page)
        opened = time.perf_counter()
        self.stages["preprocess"] += opened - started
        reading = self.readers[engine].read(image)
        self.stages["read"] += time.perf_counter() - opened
        return reading
