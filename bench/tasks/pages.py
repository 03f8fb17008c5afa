"""Page images: sizes read from headers, pixels decoded on demand, text layers of PDFs.

Files come from people and data sets, so every way in which one can be broken ends in one clear
``InvalidInput``. PDFs are rendered by pdfium, which is not thread-safe: calls into it take a lock.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.errors import InvalidInput
from bench.schema import Document, Page
from bench.text import one_line

if TYPE_CHECKING:
    import pypdfium2
    from PIL.Image import Image

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
PAGE_SUFFIXES = IMAGE_SUFFIXES | {".pdf"}
"""File types that can be a document."""

DEFAULT_DPI = 150
"""Resolution at which PDF pages are rendered: A4 becomes 1240 × 1754 pixels."""

MAX_PIXELS = 178_956_970
"""Pixels above which a page is refused: Pillow's own limit against decompression bombs."""

_PDFIUM = threading.Lock()
_REPAIR = "replace or re-export the file; bench data validate names every such file"


class TextWord(NamedTuple):
    """A word of a PDF's text layer with its box in pixels of the rendered page."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


def read_pages(path: Path, dpi: int = DEFAULT_DPI) -> tuple[Page, ...]:
    """Every page of one file, from its header alone: no pixel is decoded.

    Raises:
        InvalidInput: the file is missing, empty, not a page image or PDF, encrypted, or too large.
    """
    digest = _sha256(path)
    if path.suffix.lower() == ".pdf":
        sizes = _pdf_sizes(path, dpi)
        used_dpi: int | None = dpi
    else:
        sizes = _image_sizes(path)
        used_dpi = None
    for index, (width, height) in enumerate(sizes):
        _check_size(path, index, width, height)
    return tuple(
        Page(path.resolve(), index, width, height, digest, used_dpi)
        for index, (width, height) in enumerate(sizes)
    )


def open_page(page: Page) -> Image:
    """The page's pixels as RGB, upright, on white where the file is transparent.

    Raises:
        InvalidInput: the file cannot be decoded (truncated, broken, gone since it was planned).
    """
    if page.dpi is not None:
        return _render_pdf_page(page)
    from PIL import ImageOps

    with _image(page.path) as image:
        upright = _orientation(image) == 1
        image.seek(page.index)
        image.load()
        # The header's orientation is the one the plan was made with, so that sizes agree.
        turned = image if upright else ImageOps.exif_transpose(image)
        return _to_rgb(turned)


def reencoded(image: Image, quality: int) -> Image:
    """``image`` as it is after it was written as JPEG of ``quality`` (1 to 95) and read again."""
    import io

    from PIL import Image as pillow

    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    with pillow.open(buffer) as decoded:
        return decoded.convert("RGB")


def text_layer(page: Page) -> list[TextWord] | None:
    """The words of a PDF page's text layer; None for images and for scanned PDFs."""
    if page.dpi is None:
        return None
    scale = page.dpi / 72
    with _pdf(page.path) as document:
        sheet = document[page.index]
        _, height = sheet.get_size()
        text = sheet.get_textpage()
        words = [
            TextWord(word, x0 * scale, (height - y1) * scale, x1 * scale, (height - y0) * scale)
            for word, (x0, y0, x1, y1) in _words(text)
        ]
    return words or None


def document_text(document: Document) -> str | None:
    """All words of a document whose every page has a text layer; None for any other document."""
    pages = [text_layer(page) for page in document.pages]
    if not pages or any(words is None for words in pages):
        return None
    return "\n".join(" ".join(word.text for word in words or ()) for words in pages)


def _words(text: pypdfium2.PdfTextPage) -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """Words and their boxes (left, bottom, right, top; PDF points), split at white space."""
    word, box = "", (0.0, 0.0, 0.0, 0.0)
    for index in range(text.count_chars()):
        character = text.get_text_range(index, 1)
        if not character.strip():
            if word:
                yield word, box
            word = ""
            continue
        left, bottom, right, top = text.get_charbox(index, loose=True)
        # A jump to another line or far to the right ends a word even without a blank.
        if word and (abs(bottom - box[1]) > (top - bottom) or left - box[2] > (top - bottom)):
            yield word, box
            word = ""
        if word:
            box = (box[0], min(box[1], bottom), max(box[2], right), max(box[3], top))
        else:
            box = (left, bottom, right, top)
        word += character
    if word:
        yield word, box


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            if not stream.peek(1):
                raise InvalidInput(f"page file {_named(path)} is empty (0 bytes)", hint=_REPAIR)
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise InvalidInput(
            f"page file {_named(path)} does not exist", hint="check the path in the samples file"
        ) from None
    except OSError as error:
        raise InvalidInput(
            f"page file {_named(path)} cannot be read: {error.strerror}",
            hint="check the file's permissions",
        ) from None


def _image_sizes(path: Path) -> list[tuple[int, int]]:
    with _image(path) as image:
        sizes = []
        frames = int(getattr(image, "n_frames", 1)) if image.format in {"TIFF", "MPO"} else 1
        # A phone's MPO holds a second, reduced copy of the picture: it is one page.
        frames = 1 if image.format == "MPO" else frames
        for index in range(frames):
            image.seek(index)
            width, height = image.size
            sizes.append((height, width) if _orientation(image) >= 5 else (width, height))
        return sizes


@contextmanager
def _image(path: Path) -> Iterator[Image]:
    """The opened image; whatever decoding raises becomes one ``InvalidInput``."""
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns from half of MAX_PIXELS on; large pages are legitimate here.
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            with pillow.open(path) as image:
                yield image
    except InvalidInput:
        raise
    except FileNotFoundError:
        raise InvalidInput(f"page file {_named(path)} does not exist", hint=_REPAIR) from None
    except pillow.DecompressionBombError:
        raise InvalidInput(
            f"page {_named(path)} has more than {MAX_PIXELS:,} pixels, the largest size accepted",
            hint="scale it down; a page needs no more than about 300 dpi",
        ) from None
    except UnidentifiedImageError:
        raise InvalidInput(
            f"page file {_named(path)} is not an image (expected PNG, JPEG, WebP, TIFF, BMP or PDF)",
            hint=_REPAIR,
        ) from None
    # Pillow's decoders raise these for broken files, by format.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"page file {_named(path)} is broken or truncated: {one_line(str(error), 120)}",
            hint=_REPAIR,
        ) from None


def _orientation(image: Image) -> int:
    """EXIF orientation, 1 to 8. A PNG is not decoded for an EXIF block behind its pixels."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    value = image.getexif().get(0x0112, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image) -> Image:
    from PIL import Image as pillow

    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit scans: convert() would clip everything above 255 to white.
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.mode == "F":
        low, high = (float(bound) for bound in image.getextrema())  # type: ignore[arg-type]
        scale = 255 / ((high - low) or 1.0)
        return image.point(lambda v: v * scale - low * scale).convert("L").convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        # Documents are printed on paper: black behind transparent text would hide it.
        white = pillow.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert("RGB")


@contextmanager
def _pdf(path: Path) -> Iterator[pypdfium2.PdfDocument]:
    """The opened PDF, with pdfium's lock held; its failures become one ``InvalidInput``."""
    import pypdfium2

    with _PDFIUM:
        try:
            document = pypdfium2.PdfDocument(path)
        except FileNotFoundError:
            raise InvalidInput(f"page file {_named(path)} does not exist", hint=_REPAIR) from None
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise InvalidInput(
                    f"PDF {_named(path)} is encrypted and needs a password",
                    hint="save a copy without a password",
                ) from None
            raise InvalidInput(
                f"PDF {_named(path)} is broken or not a PDF: {one_line(str(error), 120)}",
                hint=_REPAIR,
            ) from None
        try:
            yield document
        except pypdfium2.PdfiumError as error:
            raise InvalidInput(
                f"PDF {_named(path)} has a broken page: {one_line(str(error), 120)}", hint=_REPAIR
            ) from None
        finally:
            document.close()


def _pdf_sizes(path: Path, dpi: int) -> list[tuple[int, int]]:
    with _pdf(path) as document:
        count = len(document)
        if count == 0:
            raise InvalidInput(f"PDF {_named(path)} has no pages", hint=_REPAIR)
        points = [document.get_page_size(index) for index in range(count)]
    return [(_pixels(width, dpi), _pixels(height, dpi)) for width, height in points]


def _pixels(points: float, dpi: int) -> int:
    """Pixels of a length in points, rounded up as pdfium's renderer does."""
    import math

    return math.ceil(points * dpi / 72)


def _render_pdf_page(page: Page) -> Image:
    if page.dpi is None:
        raise ValueError("only pages of a PDF are rendered")
    with _pdf(page.path) as document:
        bitmap = document[page.index].render(scale=page.dpi / 72, rev_byteorder=True)
        image: Image = bitmap.to_pil()
        return image.convert("RGB")


def _check_size(path: Path, index: int, width: int, height: int) -> None:
    where = f"page {index + 1} of {_named(path)}" if index else f"page {_named(path)}"
    if width < 1 or height < 1:
        raise InvalidInput(f"{where} is {width}×{height} pixels: nothing to read", hint=_REPAIR)
    if width * height > MAX_PIXELS:
        raise InvalidInput(
            f"{where} is {width}×{height} pixels, more than the {MAX_PIXELS:,} that are accepted",
            hint="scale it down; a page needs no more than about 300 dpi",
        )


def _named(path: Path) -> str:
    return one_line(str(path), 160)
