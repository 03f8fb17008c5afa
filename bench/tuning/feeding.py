"""Reads the pages of rows for the Trainer, and keeps them in memory while there is room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.models.qwen_vl.pixels import PagePixels, read_ahead
from bench.schema import Page
from bench.tuning.examples import TrainingExample
from bench.tuning.packing import Packed, pack

if TYPE_CHECKING:
    from bench.models.qwen_vl.processing import Processor

KEPT_BYTES = 2**30
"""Bytes of pages that stay in memory between epochs; other pages are read again each time."""


class Feeder:
    """Reads the pages of rows and packs them."""

    def __init__(self, model: Any, processor: Processor) -> None:
        """Keep ``model``, which gives positions, and ``processor``, which gives prompts."""
        self._model, self._processor = model, processor
        self._kept: dict[Page, PagePixels] = {}
        self._room = KEPT_BYTES

    def packed(self, row: Sequence[TrainingExample]) -> Packed:
        """The tensors of ``row``.

        Raises:
            InvalidInput: a page cannot be read.
        """
        read = self._read(row)
        self._keep(read)
        # A page that was read may have found no room among those that are kept.
        known = {**self._kept, **read}
        documents = []
        for example in row:
            pages = [known[page] for page in example.document.pages]
            documents.append((self._processor.prefix(pages, example.system), example.branches))
        return pack(self._model, self._processor.reader, documents)

    def _read(self, row: Sequence[TrainingExample]) -> dict[Page, PagePixels]:
        """The pages of ``row`` that are not kept from before."""
        pages = dict.fromkeys(page for example in row for page in example.document.pages)
        missing = [page for page in pages if page not in self._kept]
        results = read_ahead(self._processor.reader, [(page,) for page in missing])
        read: dict[Page, PagePixels] = {}
        for page, result in zip(missing, results, strict=True):
            if isinstance(result, Exception):
                raise result
            read[page] = result[0]
        return read

    def all(self, rows: Sequence[Sequence[TrainingExample]]) -> Iterator[Packed]:
        """The tensors of every row, one row at a time."""
        return (self.packed(row) for row in rows)

    def collate(self, batch: Sequence[Sequence[TrainingExample]]) -> dict[str, Any]:
        """The tensors of the single row of a batch, by field."""
        (row,) = batch
        return self.packed(row)._asdict()

    def _keep(self, read: dict[Page, PagePixels]) -> None:
        for page, pixels in read.items():
            size = pixels.patches.element_size() * pixels.patches.nelement()
            if size <= self._room:
                self._kept[page] = pixels
                self._room -= size
