"""Mixtures: several changes one after the other, as one device makes them.

They are made by computation and look like the real thing. They are not the real thing: nobody printed and
captured a page.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from bench.tasks.perturbing.kinds import (
    blurred,
    coded,
    dots,
    faded,
    grained,
    shadowed,
    skewed,
)
from bench.tasks.perturbing.pixels import Area, Draws, Point, by_tiles, resized, scale, warped

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

FAX_DPI = ((204, 196), (204, 98), (204, 98))
"""Dots an inch across and down: ``fine`` and twice ``standard`` of ITU-T T.4."""


def scan(image: Image, severity: int, draws: Draws) -> Image:
    """An office scanner: slightly askew and soft, faded, unevenly lit, with grain, dust and streaks, as JPEG.

    Severity 1 is a good scanner, 2 a worn one, and 3 a worn one that is set to grey and the smallest file.
    Source: DocCreator (Journet et al., J. Imaging 3(4), 2017) and Genalog have such parts; the strengths were
    chosen by eye.
    """
    level = severity - 1
    askew = draws.sign() * draws.between(70, 100) * (35, 90, 160)[level] // 100
    image = skewed(image, askew)
    image = blurred(image, Fraction((1, 3, 4)[level], 4))
    image = faded(image, (900, 800, 640)[level], (250, 244, 236)[level])
    image = shadowed(image, (10, 34, 62)[level], draws, start=30, width=90)
    image = _dusty(image, (4, 40, 110)[level], draws)
    if severity > 1:
        image = _streaked(image, severity - 1, draws)
    if severity == 3:
        image = image.convert("L").convert("RGB")
    image = grained(image, (3, 7, 12)[level], draws)
    return coded(image, (60, 35, 18)[level])


def photo(image: Image, severity: int, draws: Draws) -> Image:
    """A telephone's picture of the page on a table: in perspective and warm light, soft, with grain, as JPEG.

    From severity 2 on, the shadow of a hand lies on it. Source: Real5-OmniDocBench (arXiv 2603.04205)
    captures pages under such conditions (warp, light, skew); the strengths were chosen by eye.
    """
    level = severity - 1
    image = warped(image, _held(image, (8, 18, 30)[level], draws), _table(draws))
    image = _warm(image, (3, 7, 12)[level])
    image = shadowed(image, (36, 80, 120)[level], draws, start=-10, width=70)
    image = shadowed(image, (0, 40, 90)[level], draws.of("hand"), start=20, width=16)
    image = blurred(image, Fraction((1, 2, 4)[level], 4))
    image = grained(image, (4, 8, 13)[level], draws)
    return coded(image, (70, 45, 25)[level])


def fax(image: Image, severity: int, draws: Draws) -> Image:
    """A fax: black and white, 204 dots an inch across and 196 or 98 down, with specks and broken lines.

    Source: ITU-T Recommendation T.4 (fine and standard resolution); the disturbances were chosen by eye.
    """
    from PIL import Image as pillow

    level = severity - 1
    image = skewed(image, draws.sign() * (20, 50, 90)[level])
    across, down = FAX_DPI[level]
    size = dots(image, across, down)
    grey = resized(image.convert("L"), size, pillow.Resampling.BILINEAR)
    # A fax reads grey print unevenly, which leaves ragged letters.
    ragged = grained(grey.convert("RGB"), (10, 26, 40)[level], draws)
    black = ragged.convert("L").point([0] * 150 + [255] * 106)
    _disturb(black, (2, 12, 34)[level], draws)
    return resized(black.convert("RGB"), image.size, pillow.Resampling.BOX)


def _dusty(image: Image, grains: int, draws: Draws) -> Image:
    """With ``grains`` of dust on an A4 page."""
    from PIL import ImageDraw

    result = image.copy()
    pen = ImageDraw.Draw(result)
    dust = draws.of("dust")
    unit = scale(image)
    area = Fraction(image.width * image.height) / (unit * unit * 1240 * 1754)
    for _ in range(round(grains * area)):
        x, y = dust.between(0, image.width - 1), dust.between(0, image.height - 1)
        wide, high = (round(unit * dust.between(0, 2)) for _ in range(2))
        level = dust.between(40, 150)
        pen.rectangle((x, y, x + wide, y + high), fill=(level, level, level))
    return result


def _streaked(image: Image, count: int, draws: Draws) -> Image:
    """With lines down the page, as a speck on the sensor of a feeder draws them."""
    from PIL import ImageDraw

    result = image.copy()
    pen = ImageDraw.Draw(result)
    streaks = draws.of("streak")
    for _ in range(count):
        x = streaks.between(0, image.width - 1)
        level = streaks.between(150, 205)
        wide = max(0, round(scale(image)) - 1)
        pen.rectangle((x, 0, x + wide, image.height), fill=(level, level, level + 4))
    return result


def _held(image: Image, tilt: int, draws: Draws) -> list[Point]:
    """What a hand-held camera sees in its corners: more than the page, tilted by thousandths of a side."""
    held = draws.of("hand-held")
    width, height = image.size
    lean = held.sign() * held.between(50, 100) * tilt // 100
    corners = []
    for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        away_x = 45 + held.between(0, 100) * tilt // 60
        away_y = 40 + held.between(0, 100) * tilt // 60
        across = Fraction((x + 1) * 500 + x * away_x, 1000) * width
        down = Fraction((y + 1) * 500 + y * away_y, 1000) * height
        corners.append(
            (across + Fraction(lean * y, 1000) * height, down - Fraction(lean * x, 1000) * width)
        )
    return corners


_WOODS = ((104, 78, 58), (74, 78, 84), (132, 112, 90), (60, 56, 54))
"""Colours of tables."""

_GRAIN = 256
"""Pixels of the piece of wood that a table is made of."""


def _table(draws: Draws) -> Callable[[Area], Image]:
    """A wooden table; its grain runs across."""
    import numpy as np
    from PIL import Image as pillow
    from PIL import ImageFilter

    wood = draws.of("table")
    colour = _WOODS[wood.between(0, len(_WOODS) - 1)]
    rough = pillow.frombytes("L", (_GRAIN, _GRAIN), wood.bytes(_GRAIN**2).tobytes())
    smooth = rough.filter(ImageFilter.BoxBlur((24, 0.5))).filter(ImageFilter.BoxBlur((24, 0.5)))
    grain = np.asarray(smooth).astype(np.int32) - 127

    def draw(box: Area) -> Image:
        # Mirrored at its edges, so that no seam is seen.
        column = np.abs(np.arange(box.left, box.right) // 3 % (2 * _GRAIN) - _GRAIN)
        row = np.abs(np.arange(box.top, box.bottom) // 2 % (2 * _GRAIN) - _GRAIN)
        part = grain[np.minimum(row, _GRAIN - 1)[:, None], np.minimum(column, _GRAIN - 1)[None, :]]
        levels = np.array(colour, np.int32) + part[:, :, None]
        return pillow.fromarray(np.clip(levels, 0, 255).astype(np.uint8))

    return draw


def _warm(image: Image, warmth: int) -> Image:
    """In the light of a lamp: less green and much less blue, in hundredths of ``warmth`` levels at white."""
    tables = [
        [level * (255 - share * warmth // 2) // 255 for level in range(256)] for share in (0, 1, 4)
    ]
    return by_tiles(image, lambda part, _: part.point(tables[0] + tables[1] + tables[2]))


def _disturb(image: Image, strength: int, draws: Draws) -> None:
    """Draw specks, and lines that were lost on the way, into a page of black and white."""
    from PIL import ImageDraw

    pen = ImageDraw.Draw(image)
    noise = draws.of("line")
    area = Fraction(image.width * image.height, 1_000_000)
    for _ in range(round(strength * 12 * area)):
        x, y = noise.between(0, image.width - 1), noise.between(0, image.height - 1)
        pen.rectangle((x, y, x + noise.between(0, 1), y), fill=255 * noise.between(0, 1))
    for _ in range(round(Fraction(strength * image.height, 4000))):
        x, y = noise.between(0, image.width - 1), noise.between(0, image.height - 1)
        length = noise.between(image.width // 20, image.width // 3 + 1)
        pen.line((x, y, x + length, y), fill=255 * noise.between(0, 1))
