"""Decodes image files with Pillow: PNG, JPEG, WebP, BMP, GIF, AVIF, HEIC and every frame of a TIFF."""

from __future__ import annotations

import functools
import importlib.util
import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InvalidInput, install_command
from bench.tasks.limits import check_page_count, option, page_limits
from bench.tasks.truncation import seems_cut
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

_BEGINNINGS = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF8": "GIF",
    b"BM": "BMP",
}
"""First bytes of a file → the format that it is meant to have."""
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

REPAIR = "replace or re-export the file; bench data validate --deep names every such file"
SCALE_DOWN = "scale it down; a page needs no more than about 300 dpi"

_EXIF_ORIENTATION = 0x0112
_NEW_SUBFILE_TYPE, _REDUCED, _MASK = 254, 1, 4
_SUBFILE_TYPE, _OLD_REDUCED = 255, 2
_TIFF_WIDTH, _TIFF_HEIGHT, _PHOTOMETRIC, _SAMPLE_FORMAT = 256, 257, 262, 339
_STRIPS_AND_TILES = ((273, 279), (324, 325))
"""Tags of a TIFF with the places of its strips, or tiles, and with their lengths in bytes."""
_FRACTION_END = 1.01
_TURNS = {90: "ROTATE_270", 180: "ROTATE_180", 270: "ROTATE_90"}
"""Clockwise turn in degrees → Pillow's name for it, which counts the other way."""
_REDUCING_GAP = 2.0
"""Pillow first shrinks by whole numbers, to twice the size: a huge page is resized in tenths of a second."""
_FIRST_SIDEWAYS = 5
"""EXIF orientations from 5 to 8 turn the picture by 90°, so that width and height change places."""


def frame_sizes(path: Path) -> list[tuple[int, int]]:
    """Return width and height of every page in the file, after EXIF rotation.

    A page is decoded only if the file seems to end before it.
    """
    doubtful = []
    with _opened(path) as image:
        length = path.stat().st_size
        sizes: list[tuple[int, int]] = []
        # Counting the frames of a TIFF first would walk through all of them, however many there are.
        for _ in _page_frames(image):
            if image.format == "TIFF" and _pixels_end(image) > length:
                doubtful.append(len(sizes))
            sizes.append(_upright_size(image))
            check_page_count(path, len(sizes))
        if seems_cut(path, image.format) or (image.format == "PNG" and _is_damaged_png(path)):
            doubtful.append(len(sizes) - 1)
    for index in dict.fromkeys(doubtful):
        decode(path, index)
    return sizes


def decode(path: Path, index: int, longest: int | None = None) -> Image:
    """Decode page ``index`` of the file to RGB, upright, on white where it is transparent.

    A page whose longer side has more than ``longest`` pixels is shrunk to that.
    """
    from PIL import ImageOps

    with _clear_errors(path), _at_page(path, index) as image:
        # Orientation is read before the pixels, as the plan did, so that the sizes agree.
        upright = _orientation(image) == 1
        if longest is not None:
            # A JPEG can be decoded at a half, a quarter or an eighth of its size, in as much less time.
            image.draft(None, (longest, longest))
        image.load()
        # Pillow turns a TIFF upright while it loads it, and what it drops then is not to be applied again.
        if not upright and image.format != "TIFF":
            image = ImageOps.exif_transpose(image)
        return _within(_to_rgb(image, longest), longest)


def _within(image: Image, longest: int | None) -> Image:
    """Return ``image`` with a longer side of at most ``longest`` pixels."""
    if longest is None or max(image.size) <= longest:
        return image
    scale = longest / max(image.size)
    width, height = (max(1, int(scale * side)) for side in image.size)
    return image.resize((width, height), reducing_gap=_REDUCING_GAP)


def turned(image: Image, degrees: int) -> Image:
    """Return ``image`` turned clockwise by 0, 90, 180 or 270 degrees."""
    from PIL import Image as pillow

    return image.transpose(pillow.Transpose[_TURNS[degrees]]) if degrees else image


def reencoded(image: Image, quality: int) -> Image:
    """Write ``image`` as JPEG of ``quality`` (1 to 95) in memory and read it again."""
    from PIL import Image as pillow

    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    with pillow.open(buffer) as decoded:
        return decoded.convert("RGB")


class _Pages:
    """An open image file, and the numbers of those of its frames that are pages, as far as they are known."""

    def __init__(self, path: Path) -> None:
        self.image = _open(path)
        self._frames = _page_frames(self.image)
        self._numbers: list[int] = []

    def seek(self, index: int) -> bool:
        """Go to page ``index``; false if there is none."""
        missing = index + 1 - len(self._numbers)
        if missing > 0:
            self._numbers.extend(islice(self._frames, missing))
        if index >= len(self._numbers):
            return False
        self.image.seek(self._numbers[index])
        return True


_LAST: dict[tuple[str, int, int, int], _Pages] = {}
"""The file of several pages that was decoded last, by name, inode, size and time.

It stays open: whoever opens the file anew for each page walks through all frames before it."""


@contextmanager
def _at_page(path: Path, index: int) -> Iterator[Image]:
    """Open the file at page ``index``, or go on in it if it is open."""
    status = path.stat()
    key = (str(path.absolute()), status.st_ino, status.st_size, status.st_mtime_ns)
    pages = _LAST.pop(key, None) or _Pages(path)
    while _LAST:
        _LAST.popitem()[1].image.close()
    stays_open = False
    try:
        if not pages.seek(index):
            raise InvalidInput(
                f"page file {one_line(path, 160)} has no page {index + 1}", hint=REPAIR
            )
        yield pages.image
        stays_open = pages.image.format == "TIFF" and bool(
            getattr(pages.image, "is_animated", False)
        )
    finally:
        if stays_open:
            _LAST[key] = pages
        else:
            pages.image.close()


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """Open the image; whatever its decoder raises becomes one ``InvalidInput``."""
    with _clear_errors(path), _open(path) as image:
        yield image


def _open(path: Path) -> Image:
    from PIL import Image as pillow

    return pillow.open(path, formats=_readable_formats())


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into one ``InvalidInput``."""
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    name = one_line(path, 160)
    try:
        with warnings.catch_warnings():
            # Pillow warns from half of its limit on; large pages are legitimate here.
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            yield
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
    begun = next((kind for mark, kind in _BEGINNINGS.items() if start.startswith(mark)), None)
    if start[4:12] == b"ftypavif":
        begun = "AVIF"
    if begun is not None:
        return InvalidInput(
            f"page file {name} begins as {begun}, but it is broken or truncated", hint=REPAIR
        )
    return InvalidInput(
        f"page file {name} is not an image "
        "(expected PNG, JPEG, WebP, TIFF, BMP, GIF, JPEG 2000, AVIF, HEIC or PDF)",
        hint=REPAIR,
    )


def _page_frames(image: Image) -> Iterator[int]:
    """Seek every frame that is a page, and yield its number.

    Only a TIFF has several pages. A phone's MPO holds a second, reduced copy of the picture, and an
    animation is its first picture. Reduced copies and masks of a TIFF are no pages.
    """
    if image.format != "TIFF":
        yield 0
        return
    has_page = False
    for number in count():
        try:
            image.seek(number)
        except EOFError:
            break
        if not _is_copy(image):
            has_page = True
            yield number
    if not has_page:
        image.seek(0)
        yield 0


def _is_copy(image: Image) -> bool:
    """Say whether the frame of a TIFF is a reduced copy or a mask of another one."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    kind, old_kind = tags.get(_NEW_SUBFILE_TYPE), tags.get(_SUBFILE_TYPE)
    is_new_copy = isinstance(kind, int) and bool(kind & (_REDUCED | _MASK))
    return is_new_copy or old_kind == _OLD_REDUCED


def _is_damaged_png(path: Path) -> bool:
    """Say whether a checksum of a PNG is wrong, or its last part is missing."""
    with _open(path) as image:
        try:
            image.verify()
        # As for any broken file: what Pillow raises differs from part to part.
        except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError):
            return True
    return False


def _pixels_end(image: Image) -> int:
    """Return the place in a TIFF at which the last strip or tile of the current frame ends."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    ends = [0]
    for starts, lengths in _STRIPS_AND_TILES:
        pairs = zip(tags.get(starts, ()), tags.get(lengths, ()), strict=False)
        ends += [start + length for start, length in pairs]
    return max(ends)


def _upright_size(image: Image) -> tuple[int, int]:
    """Return width and height of the current frame after its orientation is applied."""
    width, height = image.size
    if image.format == "TIFF":
        # Some versions of Pillow swap the size of a TIFF when it is opened, others when it is loaded.
        tags = image.tag_v2  # type: ignore[attr-defined]
        width, height = int(tags[_TIFF_WIDTH]), int(tags[_TIFF_HEIGHT])
    sideways = _orientation(image) >= _FIRST_SIDEWAYS
    return (height, width) if sideways else (width, height)


def _orientation(image: Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 is upright."""
    # Pillow would decode a whole PNG to look for an EXIF block behind its pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    if image.format == "TIFF":
        value = image.tag_v2.get(_EXIF_ORIENTATION, 1)  # type: ignore[attr-defined]
    else:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image, longest: int | None) -> Image:
    from PIL import Image as pillow

    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        return _deep_grey(image).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        # Documents are printed on paper: black behind transparent text would hide it.
        white = pillow.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    plain = image if image.mode in {"RGB", "L"} else image.convert("RGB")
    # Shrunk first: a copy of the largest page takes half a gibibyte.
    return _within(plain, longest).convert("RGB")


def _deep_grey(image: Image) -> Image:
    """Scale grey levels of more than 8 bits to 8; what is no number becomes paper.

    A scanner may put 8, 10 or 12 bits into 16 or 32 without saying so. White is therefore the largest number
    of as many bits as the page uses, which is never more than twice its lightest grey: no page goes black.
    """
    import numpy as np
    from PIL import Image as pillow

    levels = np.asarray(image)
    if image.mode == "I" and _is_unsigned(image):
        levels = levels.view(np.uint32)
    levels = levels.astype(np.float32 if image.mode.startswith("I;16") else np.float64)
    known = levels[np.isfinite(levels)]
    low = min(0.0, float(known.min())) if known.size else 0.0
    high = float(known.max()) - low if known.size else 0.0
    # Fractions count from 0 to 1; some are a rounding error above.
    bits = 1 if high <= _FRACTION_END else math.ceil(math.log2(high + 1))
    white = float(2**bits - 1)
    scaled = np.nan_to_num(levels - low, nan=white, posinf=white, neginf=0.0) * (255 / white)
    grey = np.clip(scaled + 0.5, 0, 255).astype(np.uint8)
    if image.format == "TIFF" and _white_is_zero(image):
        grey = 255 - grey
    return pillow.fromarray(grey)


def _is_unsigned(image: Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    return image.format == "TIFF" and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1


def _white_is_zero(image: Image) -> bool:
    # Pillow minds this for 8 bits and fewer only.
    return bool(image.tag_v2.get(_PHOTOMETRIC) == 0)  # type: ignore[attr-defined]
