"""Decodes image files with Pillow: PNG, JPEG, WebP, BMP, GIF, AVIF, HEIC and every frame of a TIFF."""

from __future__ import annotations

import functools
import importlib.util
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InvalidInput, install_command
from bench.tasks.limits import check_page_count, option, page_limits
from bench.text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif"}
    | {".jp2", ".j2k", ".avif", ".heic", ".heif", ".hif"}
)

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "HEIF")
"""Pillow's names of what a page may be, whatever the file is called. Left to itself, Pillow
would also try formats for which it starts other programs, such as Ghostscript for EPS."""

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

REPAIR = "replace or re-export the file; bench data validate names every such file"
SCALE_DOWN = "scale it down; a page needs no more than about 300 dpi"

_EXIF_ORIENTATION = 0x0112
_FIRST_SIDEWAYS = 5
"""EXIF orientations from 5 to 8 turn the picture by 90°, so that width and height change places."""


def frame_sizes(path: Path) -> list[tuple[int, int]]:
    """Return width and height of every page in the file, after EXIF rotation."""
    with _opened(path) as image:
        # A phone's MPO holds a second, reduced copy of the picture: it is one page.
        sizes: list[tuple[int, int]] = []
        # Counting the frames of a TIFF first would walk through all of them, however many there are.
        for index in count():
            try:
                image.seek(index)
            except EOFError:
                break
            check_page_count(path, index + 1)
            width, height = image.size
            sideways = _orientation(image) >= _FIRST_SIDEWAYS
            sizes.append((height, width) if sideways else (width, height))
            if image.format != "TIFF":
                break
        return sizes


def decode(path: Path, index: int) -> Image:
    """Decode frame ``index`` to RGB, upright, on white where it is transparent."""
    from PIL import ImageOps

    with _opened(path) as image:
        # Orientation is read before the pixels, as the plan did, so that the sizes agree.
        upright = _orientation(image) == 1
        image.seek(index)
        image.load()
        return _to_rgb(image if upright else ImageOps.exif_transpose(image))


def reencoded(image: Image, quality: int) -> Image:
    """Write ``image`` as JPEG of ``quality`` (1 to 95) in memory and read it again."""
    from PIL import Image as pillow

    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    with pillow.open(buffer) as decoded:
        return decoded.convert("RGB")


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """Open the image; whatever its decoder raises becomes one ``InvalidInput``."""
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    name = one_line(path, 160)
    try:
        with warnings.catch_warnings():
            # Pillow warns from half of its limit on; large pages are legitimate here.
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            with pillow.open(path, formats=_readable_formats()) as image:
                yield image
    except InvalidInput:
        raise
    except FileNotFoundError:
        raise InvalidInput(f"page file {name} does not exist", hint=REPAIR) from None
    except pillow.DecompressionBombError:
        raise InvalidInput(
            f"page {name} has more than {page_limits().pixels:,} pixels, the largest size accepted",
            hint=f"{SCALE_DOWN}, or raise the limit: {option('pixels')} N",
        ) from None
    except UnidentifiedImageError:
        raise _not_an_image(path) from None
    # Pillow's decoders raise these for broken files, by format.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"page file {name} is broken or truncated: {one_line(error, 120)}", hint=REPAIR
        ) from None


@functools.cache
def _readable_formats() -> tuple[str, ...]:
    """Return those of ``FORMATS`` that are installed; HEIC comes with an extra package."""
    from PIL import Image as pillow

    if importlib.util.find_spec("pillow_heif") is not None:
        import pillow_heif

        # Thumbnails and depth maps inside a photograph are no pages of it.
        pillow_heif.register_heif_opener(thumbnails=False, depth_images=False)
    pillow.init()
    return tuple(name for name in FORMATS if name in pillow.OPEN)


def _not_an_image(path: Path) -> InvalidInput:
    """Return the error for a file that no decoder takes; it names the decoder that is missing."""
    name = one_line(path, 160)
    with path.open("rb") as stream:
        start = stream.read(12)
    is_heic = start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS
    if is_heic and "HEIF" in _readable_formats():
        return InvalidInput(f"page file {name} is HEIC, but broken or truncated", hint=REPAIR)
    if is_heic:
        return InvalidInput(
            f"page file {name} is HEIC, which needs the package pillow-heif; to install it: "
            f"{install_command('heic')}"
        )
    return InvalidInput(
        f"page file {name} is not an image "
        "(expected PNG, JPEG, WebP, TIFF, BMP, GIF, JPEG 2000, AVIF, HEIC or PDF)",
        hint=REPAIR,
    )


def _orientation(image: Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 is upright."""
    # Pillow would decode a whole PNG to look for an EXIF block behind its pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    value = image.getexif().get(_EXIF_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image) -> Image:
    from PIL import Image as pillow

    if image.mode.startswith("I;16") or image.mode == "I":
        # These are 16-bit scans: convert() alone would clip everything above 255 to white.
        scaled = image.convert("I").point(lambda value: value * (1 / 256))
        return scaled.convert("L").convert("RGB")
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
