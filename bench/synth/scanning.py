"""What a scanner or a phone does to a page: skew, blur, noise, uneven light, tinted paper, JPEG."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    Pixels = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    Generator = np.random.Generator

ScanStrength = Literal["clean", "light", "heavy", "photo"]
"""``clean`` leaves the page alone; ``photo`` lays it on a table under a hand-held camera."""

STRENGTHS: tuple[ScanStrength, ...] = get_args(ScanStrength)


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """How a page is scanned or photographed."""

    angle: float
    """Skew, degrees."""
    blur: float
    """Gaussian radius, pixels at 150 dpi."""
    noise: float
    """Standard deviation of the grain, grey levels."""
    light: float
    """Depth of the slow brightness change over the page, 0 to 1."""
    fade: float
    """How far black is lifted, grey levels."""
    tint: tuple[float, float, float]
    """Colour of the paper, 0 to 1 by channel."""
    specks: int
    """Dust grains on the glass."""
    quality: int
    """JPEG quality."""
    grey: bool
    """Scanned without colour."""
    perspective: float = 0.0
    """Displacement of the corners as a share of the width (photo only)."""


def draw_scan_settings(rng: Random, strength: ScanStrength) -> ScanSettings:
    """Draw settings at random; ``strength`` is not ``clean``."""
    heavy = strength == "heavy"
    warm = rng.uniform(0.0, 0.05 if heavy else 0.03)
    if strength == "photo":
        return ScanSettings(
            angle=rng.uniform(-2.5, 2.5),
            blur=rng.uniform(0.4, 0.8),
            noise=rng.uniform(2.5, 5),
            light=rng.uniform(0.14, 0.28),
            fade=14,
            tint=(1.0, 0.985 - warm / 2, 0.95 - warm),
            specks=0,
            quality=rng.randint(70, 84),
            grey=False,
            perspective=rng.uniform(0.012, 0.03),
        )
    return ScanSettings(
        angle=rng.choice((-1, 1)) * rng.uniform(0.25, 1.6 if heavy else 0.8),
        blur=rng.uniform(0.55, 0.95) if heavy else rng.uniform(0.25, 0.5),
        noise=rng.uniform(6, 11) if heavy else rng.uniform(2, 4.5),
        light=rng.uniform(0.08, 0.2) if heavy else rng.uniform(0.02, 0.07),
        fade=rng.uniform(25, 60) if heavy else rng.uniform(8, 25),
        tint=(1.0 - warm / 4, 0.995 - warm / 2, 0.985 - warm),
        specks=rng.randint(20, 70) if heavy else rng.randint(0, 12),
        quality=rng.randint(38, 55) if heavy else rng.randint(66, 80),
        grey=rng.random() < (0.35 if heavy else 0.15),
    )


def scan_page(image: Image.Image, scan: ScanSettings, seed: int, dpi: int = 150) -> bytes:
    """Return ``image`` as a scan, the bytes of a JPEG file; the same arguments give the same bytes."""
    import numpy as np
    from PIL import Image, ImageFilter

    noise = np.random.default_rng(seed)
    page = _turn(image, scan, noise)
    page = page.filter(ImageFilter.GaussianBlur(scan.blur * dpi / 150))
    pixels = np.asarray(page, dtype=np.float32)
    pixels = scan.fade + pixels * np.float32((255 - scan.fade) / 255)
    pixels *= np.array(scan.tint, dtype=np.float32)
    pixels *= _light(page.size, scan.light, noise)[:, :, None]
    grain = noise.standard_normal(pixels.shape[:2], dtype=np.float32) * np.float32(scan.noise)
    pixels += grain[:, :, None]
    _dust(pixels, scan.specks, noise)
    result = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if scan.grey:
        result = result.convert("L")
    buffer = io.BytesIO()
    result.save(buffer, "JPEG", quality=scan.quality, dpi=(dpi, dpi), optimize=True)
    return buffer.getvalue()


def _turn(image: Image.Image, scan: ScanSettings, noise: Generator) -> Image.Image:
    """Skew on the scanner's white lid, or lay the page on a table and tilt it."""
    from PIL import Image

    if not scan.perspective:
        return image.rotate(scan.angle, Image.Resampling.BICUBIC, fillcolor=(250, 250, 250))
    return _photograph(image, scan, noise)


def _photograph(image: Image.Image, scan: ScanSettings, noise: Generator) -> Image.Image:
    import numpy as np
    from PIL import Image, ImageFilter

    margin = int(min(image.size) * 0.1)
    size = (image.width + 2 * margin, image.height + 2 * margin)
    hue = noise.choice(np.array([[92, 72, 56], [70, 76, 84], [128, 112, 94], [58, 60, 58]]))
    rows = (
        noise.standard_normal((size[1] // 6 + 1, 1)) * 5
        + noise.standard_normal((size[1] // 6 + 1, size[0] // 60 + 1)) * 4
    )
    wood = np.clip(hue[None, None, :] + rows[:, :, None], 0, 255).astype(np.uint8)
    table = Image.fromarray(wood).resize(size, Image.Resampling.BICUBIC)
    shadow = Image.new("L", size, 0)
    # The light comes from above and a little from the left.
    shadow.paste(140, (margin + 5, margin + 8, margin + 5 + image.width, margin + 8 + image.height))
    table.paste((18, 16, 16), (0, 0), shadow.filter(ImageFilter.GaussianBlur(9)))
    table.paste(image, (margin, margin))
    table = table.rotate(scan.angle, Image.Resampling.BICUBIC, fillcolor=tuple(int(v) for v in hue))
    shift = scan.perspective * size[0]
    corners = []
    for right, low in ((False, False), (True, False), (True, True), (False, True)):
        inward_x, inward_y = noise.uniform(0, shift), noise.uniform(0, shift)
        x = size[0] - inward_x if right else inward_x
        y = size[1] - inward_y if low else inward_y
        corners.append((x, y))
    return table.transform(
        size, Image.Transform.PERSPECTIVE, _coefficients(corners, size), Image.Resampling.BICUBIC
    )


def _coefficients(corners: list[tuple[float, float]], size: tuple[int, int]) -> list[float]:
    """The eight numbers that map the output's corners to ``corners`` of the input."""
    import numpy as np

    targets = ((0, 0), (size[0], 0), size, (0, size[1]))
    rows, right = [], []
    for (u, v), (x, y) in zip(targets, corners, strict=True):
        rows.append([u, v, 1, 0, 0, 0, -x * u, -x * v])
        rows.append([0, 0, 0, u, v, 1, -y * u, -y * v])
        right += [x, y]
    solved = np.linalg.solve(np.array(rows, dtype=np.float64), np.array(right, dtype=np.float64))
    return [float(value) for value in solved]


def _light(size: tuple[int, int], depth: float, noise: Generator) -> Pixels:
    """Brightness factor a pixel: a slope across the page and a soft bright spot."""
    import numpy as np

    width, height = size
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    angle = noise.uniform(0, 2 * math.pi)
    slope = (x * math.cos(angle) + y * math.sin(angle) + 1.4) / 2.8
    cx, cy = noise.uniform(-0.4, 0.4, 2)
    spot = 1 - ((x - cx) ** 2 + (y - cy) ** 2) / 4
    field: Pixels = 1 - np.float32(depth) * (1 - 0.5 * slope - 0.5 * spot)
    return field


def _dust(pixels: Pixels, count: int, noise: Generator) -> None:
    height, width = pixels.shape[:2]
    for _ in range(count):
        x, y = int(noise.integers(0, width - 3)), int(noise.integers(0, height - 3))
        side = int(noise.integers(1, 3))
        pixels[y : y + side, x : x + side] *= 0.55
