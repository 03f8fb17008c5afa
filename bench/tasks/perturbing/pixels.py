"""Integer arithmetic on pixels: the same page, severity and seed give equal pixels on every platform.

Random numbers are the raw output of PCG64, which NumPy promises not to change. Where a filter of Pillow is
used, its weights are exact. A page is worked on in tiles, so that the largest page needs little more
memory than its copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image, Resampling

    Whole = NDArray[np.int64]

Colour = tuple[int, int, int]
Point = tuple[Fraction, Fraction]

TILE = 512
"""Pixels of a tile's side: a multiple of the blocks of JPEG, and small enough for the processor's cache."""

A4_SIDE = 1240
"""Pixels of the short side of an A4 page at 150 dpi."""

_ONE = 1 << 24
"""The number 1 in the fixed point of projections."""


class Area(NamedTuple):
    """A rectangle of pixels; right and bottom lie outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top


class Draws:
    """Random numbers of one page for one purpose."""

    def __init__(self, seed: int, *purpose: int | str) -> None:
        """Begin the numbers of ``purpose``; different purposes have independent numbers."""
        import numpy as np

        self._seed, self._purpose = seed, purpose
        letters = "/".join(map(str, purpose)).encode()
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, *letters]))

    def of(self, *purpose: int | str) -> Draws:
        """The numbers for a part of the purpose, whatever was drawn before."""
        return Draws(self._seed, *self._purpose, *purpose)

    def between(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return low + int(self._bits.random_raw()) % (high - low + 1)

    def sign(self) -> int:
        """1 or −1."""
        return 1 - 2 * self.between(0, 1)

    def bytes(self, count: int) -> NDArray[np.uint8]:
        """``count`` numbers from 0 to 255."""
        import numpy as np

        words = self._bits.random_raw(-(-count // 8))
        return np.asarray(words).astype("<u8").view(np.uint8)[:count]


def scale(image: Image) -> Fraction:
    """How many times as long a length is here as on an A4 page at 150 dpi.

    The resolution of an image is not known. A page that is smaller than A4 at 150 dpi counts as a small
    piece of paper at that resolution, and a larger one as A4 at a higher resolution.
    """
    return max(Fraction(1), Fraction(min(image.size), A4_SIDE))


def tiles(size: tuple[int, int]) -> Iterator[Area]:
    """The tiles that cover a picture of ``size``."""
    width, height = size
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            yield Area(left, top, min(width, left + TILE), min(height, top + TILE))


def by_tiles(image: Image, change: Callable[[Image, Area], Image], *, halo: int = 0) -> Image:
    """``image`` with every tile changed.

    Args:
        image: RGB.
        change: is given a part of the image and where it lies, and returns a part of the same size.
        halo: pixels around a tile that ``change`` needs to see.
    """
    from PIL import Image as pillow

    result = pillow.new("RGB", image.size)
    for tile in tiles(image.size):
        seen = Area(
            max(0, tile.left - halo),
            max(0, tile.top - halo),
            min(image.width, tile.right + halo),
            min(image.height, tile.bottom + halo),
        )
        changed = change(image.crop(seen), seen)
        left, top = tile.left - seen.left, tile.top - seen.top
        inner = Area(left, top, left + tile.size[0], top + tile.size[1])
        result.paste(changed.crop(inner), tile[:2])
    return result


def resized(image: Image, size: tuple[int, int], filter_: Resampling) -> Image:
    """``image`` in another size: first across and then down, an order in which versions of Pillow differ."""
    return image.resize((size[0], image.height), filter_).resize(size, filter_)


def turned_corners(image: Image, hundredths: int) -> list[Point]:
    """What of ``image`` lies in its corners after a clockwise turn by hundredths of a degree."""
    # The tangent of half a small angle is half the angle; with it, sine and cosine are fractions.
    tangent = Fraction(hundredths * 87_266_463, 10**12)
    cosine = (1 - tangent**2) / (1 + tangent**2)
    sine = 2 * tangent / (1 + tangent**2)
    middle_x, middle_y = Fraction(image.width, 2), Fraction(image.height, 2)
    corners = []
    for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        across, down = x * middle_x, y * middle_y
        corners.append(
            (middle_x + cosine * across + sine * down, middle_y - sine * across + cosine * down)
        )
    return corners


def warped(image: Image, corners: Sequence[Point], ground: Callable[[Area], Image]) -> Image:
    """``image`` in perspective, on a ground.

    Args:
        image: RGB.
        corners: what of ``image`` lies in the upper left, upper right, lower right and lower left corner of
            the result; points outside are allowed.
        ground: draws the part of the ground that lies in a box of the result.
    """
    from PIL import Image as pillow

    matrix = _projection(image.size, corners)
    result = pillow.new("RGB", image.size)
    for tile in tiles(image.size):
        result.paste(_warped_tile(image, tile, matrix, ground), tile[:2])
    return result


def _projection(size: tuple[int, int], corners: Sequence[Point]) -> list[int]:
    """The nine numbers of the projection that maps the corners of the result to ``corners``, fixed point.

    Source: P. Heckbert, Fundamentals of Texture Mapping and Image Warping, 1989, section 2.2.3.
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    sum_x, sum_y = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    dx1, dx2, dy1, dy2 = x1 - x2, x3 - x2, y1 - y2, y3 - y2
    area = dx1 * dy2 - dx2 * dy1
    g = (sum_x * dy2 - dx2 * sum_y) / area
    h = (dx1 * sum_y - sum_x * dy1) / area
    across = [x1 - x0 + g * x1, y1 - y0 + g * y1, g]
    down = [x3 - x0 + h * x3, y3 - y0 + h * y3, h]
    start = [x0, y0, Fraction(1)]
    width, height = size
    rows = zip(across, down, start, strict=True)
    return [round(part * _ONE) for a, d, s in rows for part in (a / width, d / height, s)]


def _warped_tile(
    image: Image, tile: Area, matrix: Sequence[int], ground: Callable[[Area], Image]
) -> Image:
    import numpy as np
    from PIL import Image as pillow
    from PIL import ImageChops

    x, y = _sources(image.size, tile, matrix)
    column, row = x >> 8, y >> 8
    region = Area(int(column.min()), int(row.min()), int(column.max()) + 2, int(row.max()) + 2)
    pixels = _packed(image, region)
    wide = region.size[0]
    at = (row - region.top) * wide + (column - region.left)
    right, below = (x & 255).astype(np.uint32), (y & 255).astype(np.uint32)
    upper = _mixed(pixels[at], pixels[at + 1], right)
    lower = _mixed(pixels[at + wide], pixels[at + wide + 1], right)
    mixed = _mixed(upper, lower, below).astype("<u4").tobytes()
    # What is outside counts as black and transparent, so the colours are already weighted by the alpha.
    page = pillow.frombytes("RGBX", tile.size, mixed).convert("RGB")
    outside = pillow.frombytes("RGBA", tile.size, mixed).getchannel("A").point(lambda a: 255 - a)
    around = ImageChops.multiply(ground(tile), pillow.merge("RGB", [outside] * 3))
    return ImageChops.add(page, around)


def _sources(size: tuple[int, int], tile: Area, matrix: Sequence[int]) -> tuple[Whole, Whole]:
    """Where the pixels of a tile come from, in 256ths of a pixel; at most just outside the picture."""
    import numpy as np

    # Middles of pixels lie at halves, so everything is doubled.
    x = 2 * np.arange(tile.left, tile.right, dtype=np.int64)[None, :] + 1
    y = 2 * np.arange(tile.top, tile.bottom, dtype=np.int64)[:, None] + 1
    across, down, depth = (matrix[i] * x + matrix[i + 1] * y + 2 * matrix[i + 2] for i in (0, 3, 6))
    width, height = size
    sources = []
    for numerator, side in ((across, width), (down, height)):
        place = numerator * 256 // depth - 128
        sources.append(np.clip(place, -512, (side + 1) * 256))
    return sources[0], sources[1]


def _packed(image: Image, region: Area) -> NDArray[np.uint32]:
    """The pixels of a region as numbers of four bytes: colour, and 255 for what lies inside the picture."""
    import numpy as np
    from PIL import Image as pillow

    inside = Area(
        min(image.width, max(0, region.left)),
        min(image.height, max(0, region.top)),
        max(0, min(image.width, region.right)),
        max(0, min(image.height, region.bottom)),
    )
    canvas = pillow.new("RGBA", region.size, (0, 0, 0, 0))
    if inside.left < inside.right and inside.top < inside.bottom:
        part = image.crop(inside).convert("RGBA")
        canvas.paste(part, (inside.left - region.left, inside.top - region.top))
    return np.frombuffer(canvas.tobytes(), "<u4").astype(np.uint32)


def _mixed(
    first: NDArray[np.uint32], second: NDArray[np.uint32], weight: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Bytes between those of ``first`` (weight 0) and of ``second`` (weight 256), two at a time."""
    import numpy as np

    pair = np.uint32(0x00FF00FF)
    rest = np.uint32(256) - weight
    low = ((first & pair) * rest + (second & pair) * weight) >> np.uint32(8) & pair
    high = ((first >> np.uint32(8)) & pair) * rest + ((second >> np.uint32(8)) & pair) * weight
    mixed: NDArray[np.uint32] = low | (high & ~pair)
    return mixed


def plain(colour: Colour) -> Callable[[Area], Image]:
    """A ground of one colour."""
    from PIL import Image as pillow

    return lambda box: pillow.new("RGB", box.size, colour)


def shaded(image: Image, factors: Callable[[Whole, Whole], Any]) -> Image:
    """``image`` with every pixel multiplied.

    Args:
        image: RGB.
        factors: from the columns and the rows of pixels to factors in 256ths: whole numbers from 0 to 256.
    """
    import numpy as np
    from PIL import Image as pillow

    def change(part: Image, box: Area) -> Image:
        x = np.arange(box.left, box.right, dtype=np.int64)[None, :]
        y = np.arange(box.top, box.bottom, dtype=np.int64)[:, None]
        factor = factors(x, y).astype(np.uint32)[:, :, None]
        pixels = np.asarray(part).astype(np.uint32) * factor >> np.uint32(8)
        return pillow.fromarray(pixels.astype(np.uint8))

    return by_tiles(image, change)
