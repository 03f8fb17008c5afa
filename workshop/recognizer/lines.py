"""Pictures of lines as RapidOCR cuts them out of a page, clean or with the defects of scans."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from workshop.recognizer.fonts import Face, faces
from workshop.recognizer.texts import Texts

HEIGHT = 48
"""Pixels: what RapidOCR scales every line to."""
Pixels = np.ndarray[Any, np.dtype[Any]]


class Line(NamedTuple):
    """A picture of a line (height, width, BGR) and what it says."""

    pixels: Pixels
    text: str


class Lines:
    """Draws lines; the same seed and the same fonts give the same lines."""

    def __init__(self, seed: int, *, held_out: bool = False, scanned: float = 0.7) -> None:
        """``held_out``: set in the unseen families; ``scanned``: share of lines with defects."""
        self.rng = Random(seed)
        self.noise = np.random.default_rng(seed)
        self.texts = Texts(seed)
        self.faces = faces(held_out)
        self.weights = [face.weight for face in self.faces]
        self.scanned = scanned

    def draw(self) -> Line:
        """One line, as high as RapidOCR's recogniser sees it."""
        text = self.texts.draw()
        face = self._face(text)
        text = "".join(sign for sign in text if sign == " " or sign in face.signs).strip()
        if not text:
            return self.draw()
        pixels = self._set(text, face.path)
        if self.rng.random() < self.scanned:
            pixels = self._scanned(pixels)
        width = max(8, math.ceil(HEIGHT * pixels.shape[1] / pixels.shape[0]))
        return Line(cv2.resize(pixels, (width, HEIGHT)), text)

    def _face(self, text: str) -> Face:
        for _ in range(12):
            [face] = self.rng.choices(self.faces, self.weights)
            if face.signs.issuperset(text.replace(" ", "")):
                break
        return face

    def _set(self, text: str, path: Path) -> Pixels:
        rng = self.rng
        # Small print at 100 dpi is 10 pixels high, a title at 300 dpi 70.
        size = round(math.exp(rng.uniform(math.log(11), math.log(60))))
        font = _font(path, size)
        tracking = rng.choice((0, 0, 0, 0, rng.uniform(0, 0.12))) * size
        left, top, right, bottom = font.getbbox(text)
        if rng.random() < 0.5:
            # The detector's box follows the line, not its letters.
            top, bottom = font.getbbox("Ёру")[1], font.getbbox("Ёру")[3]
            own = font.getbbox(text)
            top, bottom = min(top, own[1]), max(bottom, own[3])
        margins = [round(size * rng.uniform(0.02, 0.28)) for _ in range(4)]
        extra = round(tracking * len(text))
        width = round(right - left) + extra + margins[0] + margins[2]
        height = max(6, round(bottom - top) + margins[1] + margins[3])
        paper, ink = self._colours()
        image = Image.new("RGB", (max(8, width), height), paper)
        draw = ImageDraw.Draw(image)
        x, y = margins[0] - left, margins[1] - top
        if tracking:
            for sign in text:
                draw.text((x, y), sign, ink, font)
                x += font.getlength(sign) + tracking
        else:
            draw.text((x, y), text, ink, font)
        self._neighbours(draw, image.size, ink, font)
        return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])

    def _colours(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        rng = self.rng
        light = rng.choice((255, 255, 255, rng.randint(190, 255)))
        paper = tuple(max(0, light - rng.choice((0, 0, 0, rng.randint(0, 40)))) for _ in range(3))
        dark = rng.choice((0, 0, rng.randint(0, 110)))
        ink = tuple(min(255, dark + rng.choice((0, 0, 0, rng.randint(0, 60)))) for _ in range(3))
        pair = (ink, paper) if rng.random() < 0.05 else (paper, ink)
        return pair  # type: ignore[return-value]

    def _neighbours(
        self, draw: ImageDraw.ImageDraw, size: tuple[int, int], ink: Any, font: Any
    ) -> None:
        """Rules of a table, and what reaches into the box from the lines above and below."""
        rng, (width, height) = self.rng, size
        stroke = max(1, height // 30)
        if rng.random() < 0.12:
            y = height - 1 - rng.randint(0, stroke)
            draw.line((0, y, width, y), ink, stroke)
        if rng.random() < 0.06:
            draw.line((0, 0, width, 0), ink, stroke)
        if rng.random() < 0.06:
            x = rng.choice((0, width - 1))
            draw.line((x, 0, x, height), ink, stroke)
        if rng.random() < 0.08:
            bottom = font.getbbox("рцщ,")[3]
            draw.text((rng.randint(0, width // 2), 2 - bottom), "рцдщ, у", ink, font)
        if rng.random() < 0.08:
            top = font.getbbox("Б")[1]
            draw.text((rng.randint(0, width // 2), height - 2 - top), "Бав Нд", ink, font)

    def _scanned(self, pixels: Pixels) -> Pixels:
        rng = self.rng
        height = pixels.shape[0]
        if rng.random() < 0.5:
            pixels = self._bent(pixels)
        if rng.random() < 0.25:
            kernel = np.ones(rng.choice(((2, 2), (1, 2), (2, 1))), np.uint8)
            thick = height > 26 or rng.random() < 0.5
            pixels = cv2.erode(pixels, kernel) if thick and rng.random() < 0.6 else pixels
            pixels = cv2.dilate(pixels, kernel) if height > 40 and rng.random() < 0.3 else pixels
        if rng.random() < 0.35 and height > 20:
            # Scanned at a lower resolution, then enlarged.
            small = rng.uniform(14, 26) / height
            if small < 1:
                way = rng.choice((cv2.INTER_AREA, cv2.INTER_LINEAR))
                pixels = cv2.resize(pixels, None, fx=small, fy=small, interpolation=way)
                height = pixels.shape[0]
        if rng.random() < 0.5:
            sigma = rng.uniform(0.2, 0.035 * height + 0.3)
            pixels = cv2.GaussianBlur(pixels, (0, 0), sigma)
        if rng.random() < 0.45:
            pixels = self._grained(pixels)
        if rng.random() < 0.12:
            pixels = self._binarised(pixels)
        if rng.random() < 0.45:
            quality = rng.randint(18, 85)
            _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
            pixels = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
        if rng.random() < 0.3:
            pixels = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[:, :, None], 3, 2)
        return pixels

    def _bent(self, pixels: Pixels) -> Pixels:
        """Turned by a degree or two, sheared and stretched."""
        rng = self.rng
        height, width = pixels.shape[:2]
        stretch = rng.uniform(0.78, 1.3)
        slope = rng.uniform(-0.25, 0.25) * height / max(width, 2 * height)
        shear = rng.choice((0.0, rng.uniform(-0.15, 0.15)))
        matrix = np.array(
            [[stretch, shear, max(0.0, -shear * height)], [slope, 1.0, max(0.0, -slope * width)]]
        )
        new_size = (
            max(8, round(width * stretch + abs(shear) * height)),
            round(height + abs(slope) * width),
        )
        paper = tuple(int(value) for value in np.median(pixels.reshape(-1, 3), axis=0))
        return cv2.warpAffine(
            pixels, matrix, new_size, borderMode=cv2.BORDER_CONSTANT, borderValue=paper
        )

    def _grained(self, pixels: Pixels) -> Pixels:
        """Uneven light, and grain."""
        height, width = pixels.shape[:2]
        shade = np.linspace(self.rng.uniform(0.75, 1.05), self.rng.uniform(0.75, 1.05), width)
        grain: Pixels = self.noise.normal(0, self.rng.uniform(2, 22), (height, width, 1))
        if self.rng.random() < 0.3:
            grain = cv2.GaussianBlur(grain, (0, 0), 0.8)[:, :, None] * 1.6
        changed = pixels * shade[None, :, None] + grain
        return np.clip(changed, 0, 255).astype(np.uint8)

    def _binarised(self, pixels: Pixels) -> Pixels:
        grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
        level, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)
        black = (grey > level + self.rng.uniform(-25, 25)).astype(np.uint8) * 255
        return np.repeat(black[:, :, None], 3, 2)


@lru_cache(maxsize=600)
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
