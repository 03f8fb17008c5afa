"""Step 1, pixels: from page files to patches, in worker threads ahead of the compute.

A page leaves here as the bytes that Pillow's resizing gives, cut into patches, an eighth of what the
image processor would send. Normalizing waits for the device, where a table holds the processor's own
result for each of the 256 values of each channel: the values are the processor's, bit for bit.

The processor is transformers' PIL one. The torchvision one rounds 0.8 % of the values differently, so a
published number should say which was used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import InvalidInput
from bench.measure.cores import usable_cores
from bench.models.pixels import smart_resize
from bench.models.qwen_vl.cuda import PageUploads, upload
from bench.schema import Page
from bench.tasks.images import reencoded
from bench.tasks.pages import open_page

if TYPE_CHECKING:
    import torch

WORKERS = min(8, usable_cores())
"""Threads that read pages. Pillow and zlib let go of the interpreter, so threads suffice."""


class PagePixels(NamedTuple):
    """One page, as much of it as the vision tower sees."""

    patches: torch.Tensor
    """(patches, channels, height x width of a patch) bytes; four patches that become one token are
    neighbours. Or float32 (patches, channels x temporal x height x width), where the processor does
    something that the table cannot hold."""
    height: int
    width: int
    """Height and width of the page in patches."""
    tokens: int
    """Visual tokens that the page becomes."""


class PageReader:
    """The checkpoint's image processor, taken apart into what a thread does and what the device does."""

    def __init__(self, images: Any, *, table: bool = True, jpeg_quality: int | None = None) -> None:
        """Keep ``images``, a ``Qwen2VLImageProcessorPil``, and make its table unless told not to."""
        self.images = images
        self.jpeg_quality = jpeg_quality
        self.factor = int(images.patch_size * images.merge_size)
        """Side of a visual token in pixels."""
        self.table = _table(images) if table and _is_standard(images) else None
        """(channels, 256) float32: what the processor makes of a byte; None if it is not that simple."""
        self.uploads: PageUploads | None = None
        """How pages get to the device while it computes others; None if they wait in main memory."""

    def read(self, page: Page) -> PagePixels:
        """Open, resize and cut one page.

        Raises:
            InvalidInput: the page cannot be opened, or is too narrow to be resized.
        """
        # Refuses what cannot be resized; transformers' own error would name no page.
        smart_resize(page.height, page.width, factor=self.factor)
        image = open_page(page)
        if self.jpeg_quality is not None:
            image = reencoded(image, self.jpeg_quality)
        pixels = self._processed(image) if self.table is None else self._cut(image)
        if self.uploads is None:
            return pixels
        return pixels._replace(patches=self.uploads.send(pixels.patches))

    def tokens(self, page: Page) -> int:
        """Visual tokens that ``page`` becomes, from its size alone.

        Raises:
            InvalidInput: as ``read``, for a page that is too narrow.
        """
        smart_resize(page.height, page.width, factor=self.factor)
        height, width = self._size(page.height, page.width)
        return height * width // self.factor**2

    def values(self, page: PagePixels, device: torch.device) -> torch.Tensor:
        """The processor's ``pixel_values`` of ``page``: (patches, channels x temporal x area) float32."""
        import torch

        patches = self.uploads.receive(page.patches) if self.uploads else page.patches
        if self.table is None:
            return patches.to(device)
        table = upload(self.table, device)
        # One row of 256 a channel: channel c looks its bytes up from 256 x c on.
        start = 256 * torch.arange(len(table), device=device).view(1, -1, 1)
        values = table.flatten()[patches.to(device).int() + start]
        # A page is one frame, which the vision tower expects repeated (temporal_patch_size = 2).
        frames = self.images.temporal_patch_size
        return values.unsqueeze(2).expand(-1, -1, frames, -1).reshape(len(values), -1)

    def _cut(self, image: Any) -> PagePixels:
        import numpy as np
        import torch

        images = self.images
        height, width = self._size(image.height, image.width)
        resized = np.asarray(image.resize((width, height), resample=images.resample))
        side, merge = images.patch_size, images.merge_size
        rows, columns = height // side, width // side
        cut = resized.reshape(rows // merge, merge, side, columns // merge, merge, side, 3)
        # The patches that become one visual token side by side, and channels before pixels: the order in
        # which the vision tower takes them.
        ordered = np.ascontiguousarray(cut.transpose(0, 3, 1, 4, 6, 2, 5))
        patches = torch.from_numpy(ordered.reshape(rows * columns, 3, side * side))
        return PagePixels(patches, rows, columns, rows * columns // merge**2)

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a page after resizing."""
        from transformers.models.qwen2_vl import image_processing_pil_qwen2_vl as reference

        size: tuple[int, int] = reference.smart_resize(
            height,
            width,
            factor=self.factor,
            min_pixels=self.images.size["shortest_edge"],
            max_pixels=self.images.size["longest_edge"],
        )
        return size

    def _processed(self, image: Any) -> PagePixels:
        encoded = self.images(images=[image], return_tensors="pt")
        _, rows, columns = encoded["image_grid_thw"][0].tolist()
        tokens = rows * columns // self.images.merge_size**2
        return PagePixels(encoded["pixel_values"], rows, columns, tokens)


class ReadRequest(NamedTuple):
    """The pages of a document, and who reads them."""

    reader: PageReader
    pages: tuple[Page, ...]


class _Begun(NamedTuple):
    request: ReadRequest
    pages: list[Future[PagePixels]]


class PageQueue:
    """Pages on their way from files to patches, read by worker threads before they are needed.

    The threads also work between calls: while the last documents of a call are computed, they read the pages
    that are expected in the next one.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="pages")
        self._begun: deque[_Begun] = deque()
        """Documents that are being read, or were read and not taken yet, in order."""
        self._expected: Sequence[ReadRequest] = ()

    def read(
        self, documents: Sequence[ReadRequest]
    ) -> Iterator[tuple[PagePixels, ...] | InvalidInput]:
        """The pages of each document, in order; the error of its first bad page where it has one."""
        requests = [*documents, *self._expected]
        self._expected = ()
        self._keep(requests)
        waiting = iter(requests[len(self._begun) :])
        for _ in documents:
            self._begin(waiting)
            try:
                pages = self._taken(self._begun.popleft())
            except InvalidInput as error:
                yield error
            else:
                yield pages
        self._begin(waiting)

    def expect(self, documents: Sequence[ReadRequest]) -> None:
        """Read on with ``documents`` when all of the next ``read`` have been begun."""
        self._expected = documents

    def forget(self) -> None:
        """Drop the pages that were read, or are being read, and that nobody has taken."""
        self._expected = ()
        self._keep(())

    def _begin(self, waiting: Iterator[ReadRequest]) -> None:
        """Have two pages for each thread on their way, as far as so many are ``waiting``.

        One is being read, and one waits so that the thread can go on at once.
        """
        while sum(len(begun.pages) for begun in self._begun) < 2 * WORKERS:
            request = next(waiting, None)
            if request is None:
                return
            reading = [self._pool.submit(request.reader.read, page) for page in request.pages]
            self._begun.append(_Begun(request, reading))

    def _taken(self, begun: _Begun) -> tuple[PagePixels, ...]:
        """The pages of a document whose turn it is."""
        try:
            return tuple(page.result() for page in begun.pages)
        except (RuntimeError, MemoryError):
            # The call before this one may have left no memory for them; if there is none now either, the
            # error is raised here.
            return tuple(begun.request.reader.read(page) for page in begun.request.pages)

    def _keep(self, requests: Sequence[ReadRequest]) -> None:
        """Drop what was begun, from the first document on that is not the next one of ``requests``."""
        pairs = zip(self._begun, requests, strict=False)
        known = sum(1 for _ in takewhile(lambda pair: pair[0].request == pair[1], pairs))
        while len(self._begun) > known:
            for page in self._begun.pop().pages:
                page.cancel()


def read_ahead(
    reader: PageReader, documents: Sequence[tuple[Page, ...]]
) -> Iterator[tuple[PagePixels, ...] | InvalidInput]:
    """See ``PageQueue.read``, for documents that nobody expected."""
    return PageQueue().read([ReadRequest(reader, pages) for pages in documents])


def _is_standard(images: Any) -> bool:
    """Whether the processor does the usual three steps, after which a value depends on its byte alone."""
    return bool(images.do_resize and images.do_rescale and images.do_normalize)


def _table(images: Any) -> torch.Tensor:
    """(channels, 256): every byte through the processor's own rescaling and normalization."""
    import numpy as np
    import torch

    channels = len(images.image_mean)
    every = np.arange(256, dtype=np.uint8).reshape(1, 1, 256).repeat(channels, axis=0)
    values = images.normalize(
        images.rescale(every, images.rescale_factor), images.image_mean, images.image_std
    )
    return torch.from_numpy(np.asarray(values, dtype=np.float32).reshape(channels, 256))
