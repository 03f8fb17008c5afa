"""Rows of documents as the Trainer takes them: pages are read, and kept while there is room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.models.qwen_vl.pixels import PagePixels, read_ahead
from bench.schema import Page
from bench.tuning.examples import Example
from bench.tuning.packing import Packed, pack

if TYPE_CHECKING:
    from bench.models.qwen_vl.processing import Processor

KEPT_BYTES = 2**30
"""Of pages kept in memory between epochs; those beyond are read again each time."""


class Feeder:
    """Reads the pages of rows and packs them."""

    def __init__(self, model: Any, processor: Processor) -> None:
        """``model`` is asked for positions, ``processor`` for prompts."""
        self._model, self._processor = model, processor
        self._kept: dict[Page, PagePixels] = {}
        self._room = KEPT_BYTES

    def packed(self, row: Sequence[Example]) -> Packed:
        """The tensors of ``row``.

        Raises:
            InvalidInput: a page cannot be read.
        """
        missing = [
            page
            for page in dict.fromkeys(page for example in row for page in example.document.pages)
            if page not in self._kept
        ]
        read: dict[Page, PagePixels] = {}
        for page, found in zip(
            missing, read_ahead(self._processor.reader, [(page,) for page in missing]), strict=True
        ):
            if isinstance(found, Exception):
                raise found
            read[page] = found[0]
        self._keep(read)
        documents = []
        for example in row:
            pages = [
                read[page] if page in read else self._kept[page] for page in example.document.pages
            ]
            documents.append((self._processor.prefix(pages, example.system), example.branches))
        return pack(self._model, self._processor.reader, documents)

    def all(self, rows: Sequence[Sequence[Example]]) -> Iterator[Packed]:
        """Every row, one at a time."""
        return (self.packed(row) for row in rows)

    def collate(self, batch: Sequence[Sequence[Example]]) -> dict[str, Any]:
        """The single row of a batch, by field."""
        (row,) = batch
        return self.packed(row)._asdict()

    def _keep(self, read: dict[Page, PagePixels]) -> None:
        for page, pixels in read.items():
            size = pixels.patches.element_size() * pixels.patches.nelement()
            if size <= self._room:
                self._kept[page] = pixels
                self._room -= size
