"""The kinds of perturbation: what each does to a page at severity 1, 2 and 3.

Severity 1 is just visible, and at severity 3 a person still reads the page with effort. Lengths are pixels
of an A4 page at 150 dpi (``pixels.scale``). The draws do not depend on the severity: a page that is turned
to the left at severity 1 is turned further to the left at severity 3.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from bench.tasks.images import reencoded
from bench.tasks.perturbing.pixels import (
    Area,
    Colour,
    Draws,
    by_tiles,
    plain,
    resized,
    scale,
    shaded,
    turned_corners,
    warped,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from bench.tasks.perturbing.pixels import Whole

LID: Colour = (226, 227, 224)
"""The lid of a scanner, which is seen where there is no paper."""

_FULL = 256
"""A factor of 1."""


def blur(image: Image, severity: int, draws: Draws) -> Image:
    """Out of focus: a Gaussian blur of about 0.9, 1.4 and 1.9 pixels.

    Source: Gaussian blur of ImageNet-C (Hendrycks and Dietterich, arXiv 1903.12261), whose severities 1 and 2
    are 1 and 2 pixels; from 3 pixels on, print of 10 points is lost.
    """
    return blurred(image, Fraction((2, 4, 6)[severity - 1], 4))


def rotate(image: Image, severity: int, draws: Draws) -> Image:
    """Askew on the glass: a turn by 0.5 to 1, 1.5 to 2.5 or 3 to 5 degrees to either side.

    Source: our own choice; tests of deskewing go further (ICDAR 2013 DISEC: to 15 degrees).
    """
    low, high = ((50, 100), (150, 250), (300, 500))[severity - 1]
    part = draws.between(0, 100)
    return skewed(image, draws.sign() * (low + (high - low) * part // 100))


def jpeg(image: Image, severity: int, draws: Draws) -> Image:
    """Saved as a small file: JPEG of quality 25, 15 and 7.

    Source: JPEG of ImageNet-C (arXiv 1903.12261), whose severities 1, 3 and 5 these are. The pixels depend
    on the version of libjpeg.
    """
    return coded(image, (25, 15, 7)[severity - 1])


def dpi(image: Image, severity: int, draws: Draws) -> Image:
    """Scanned at 100, 75 and 60 dpi, and enlarged to the size of the page again.

    The size stays the same, so that a model spends as many tokens on the page as before. Source: pixelate of
    ImageNet-C (arXiv 1903.12261) reduces to 60, 40 and 25 % of the side at severities 1, 3 and 5; at 25 %,
    print of 10 points is lost.
    """
    return resampled(image, (100, 75, 60)[severity - 1], (100, 75, 60)[severity - 1])


def noise(image: Image, severity: int, draws: Draws) -> Image:
    """Grain: grey noise with a standard deviation of 14, 28 and 46 levels.

    Source: Gaussian noise of ImageNet-C (arXiv 1903.12261), whose severities 1 to 3 are 20, 31 and 46 levels.
    """
    return grained(image, (14, 28, 46)[severity - 1], draws)


def contrast(image: Image, severity: int, draws: Draws) -> Image:
    """Faded print on grey paper: 60, 35 and 18 % of the contrast.

    Source: contrast of ImageNet-C (arXiv 1903.12261), which goes from 40 to 5 %; below 15 %, a person needs a
    better screen rather than more effort.
    """
    return faded(image, (600, 350, 180)[severity - 1], 205)


def shadow(image: Image, severity: int, draws: Draws) -> Image:
    """The shadow of a hand or a telephone, with a soft edge: 20, 40 and 65 % of the light are gone.

    Source: the illumination part of Real5-OmniDocBench (arXiv 2603.04205), by its description.
    """
    depth = (51, 102, 166)[severity - 1]
    return shadowed(image, depth, draws, start=draws.between(-25, 15), width=22)


def crop(image: Image, severity: int, draws: Draws) -> Image:
    """Pushed off the glass: 2, 4 and 7 % of the width and of the height are cut off at two sides.

    The size stays the same; the lid of the scanner is seen at the other two sides. A page with narrow margins
    loses text, which nobody can read any more. Source: our own choice; we know no published severities.
    """
    from PIL import Image as pillow

    share = (20, 40, 70)[severity - 1]
    place = [draws.sign() * round(Fraction(side * share, 1000)) for side in image.size]
    result = pillow.new("RGB", image.size, LID)
    result.paste(image, (place[0], place[1]))
    return result


# What kinds and mixtures are made of


def blurred(image: Image, radius: Fraction) -> Image:
    """Three box blurs, which come near to a Gaussian one of the standard deviation √((2r + 1)² − 1) / 2.

    ``radius`` is that of a box, in pixels of A4 at 150 dpi.
    """
    from PIL import ImageFilter

    # A quarter of a pixel is exact in every floating point number.
    exact = Fraction(round(4 * radius * scale(image)), 4)
    box = ImageFilter.BoxBlur(float(exact))
    halo = 3 * (int(exact) + 1)
    return by_tiles(image, lambda part, _: part.filter(box).filter(box).filter(box), halo=halo)


def skewed(image: Image, hundredths: int) -> Image:
    """Turned clockwise by hundredths of a degree about its middle, on the lid of a scanner."""
    return warped(image, turned_corners(image, hundredths), plain(LID))


def coded(image: Image, quality: int) -> Image:
    """Through JPEG of ``quality`` and back; in tiles, because JPEG knows no side above 65,500 pixels."""
    return by_tiles(image, lambda part, _: reencoded(part, quality))


def resampled(image: Image, across: int, down: int) -> Image:
    """Reduced to so many dots an inch in both directions, and enlarged again."""
    from PIL import Image as pillow

    small = resized(image, dots(image, across, down), pillow.Resampling.BOX)
    return resized(small, image.size, pillow.Resampling.BILINEAR)


def dots(image: Image, across: int, down: int) -> tuple[int, int]:
    """The size of a page, in dots, at so many dots an inch."""
    inch = 150 * scale(image)
    width, height = (
        max(1, round(Fraction(side * dots_an_inch) / inch))
        for side, dots_an_inch in zip(image.size, (across, down), strict=True)
    )
    return width, height


def grained(image: Image, deviation: int, draws: Draws) -> Image:
    """With grey noise of a standard deviation in levels. Its grains grow with the resolution of the page."""
    import numpy as np
    from PIL import Image as pillow

    cell = max(1, round(scale(image)))

    def change(part: Image, box: Area) -> Image:
        grain = _grain((-(-part.height // cell), -(-part.width // cell)), deviation, box, draws)
        grain = grain.repeat(cell, axis=0).repeat(cell, axis=1)[: part.height, : part.width]
        pixels = np.asarray(part).astype(np.int32) + grain[:, :, None]
        return pillow.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    return by_tiles(image, change)


def _grain(shape: tuple[int, int], deviation: int, box: Area, draws: Draws) -> NDArray[np.int32]:
    """Nearly normal whole numbers of the mean 0: sums of four bytes, whose standard deviation is 147.8."""
    import numpy as np

    count = shape[0] * shape[1]
    bytes_ = draws.of("grain", box.left, box.top).bytes(4 * count).reshape(4, *shape)
    sums = bytes_.astype(np.int32).sum(axis=0, dtype=np.int32) - 510
    factor = round(Fraction(deviation * 2560, 1478))
    grain: NDArray[np.int32] = (sums * np.int32(factor) + np.int32(128)) >> np.int32(8)
    return grain


def faded(image: Image, kept: int, paper: int) -> Image:
    """With ``kept`` thousandths of the contrast around the level ``paper``, which stays as it is."""
    table = [paper + (level - paper) * kept // 1000 for level in range(256)]
    return by_tiles(image, lambda part, _: part.point(table * 3))


def shadowed(image: Image, depth: int, draws: Draws, *, start: int, width: int) -> Image:
    """With a shadow over one side, in a direction that is drawn.

    Args:
        image: RGB.
        depth: what the shadow takes of the light, in 256ths.
        draws: for the direction.
        start: where the shadow begins, in per cent of the way from the middle of the page to its rim.
        width: of its soft edge, in per cent of that way.
    """
    import numpy as np

    across, down = _DIRECTIONS[draws.of("direction").between(0, len(_DIRECTIONS) - 1)]
    width_px, height_px = image.size
    reach = abs(across) * width_px + abs(down) * height_px
    edge = max(1, reach * width // 100)
    # Twice the distance from the middle, so that it is a whole number.
    offset = across * width_px + down * height_px + reach * start // 100

    def factors(x: Whole, y: Whole) -> Whole:
        along = 2 * (across * x + down * y) - offset
        step = np.clip(along * _FULL // edge, 0, _FULL)
        smooth = step * step * (3 * _FULL - 2 * step) // _FULL**2
        factor: Whole = _FULL - depth * smooth // _FULL
        return factor

    return shaded(image, factors)


_DIRECTIONS = tuple(
    (across * sign_x, down * sign_y)
    for across, down in ((12, 5), (4, 3), (1, 1), (3, 4), (5, 12))
    for sign_x in (1, -1)
    for sign_y in (1, -1)
)
"""Slanted directions, of which the light of a room comes from one."""
