"""Opens the shipped fonts: Latin, Cyrillic and simplified Chinese (README.md here has their licences)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InvalidInput, did_you_mean, missing_package

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FOLDER = Path(__file__).parent

FACES = {path.stem: path for path in sorted(FOLDER.glob("*.[ot]tf"))}
"""Face name (``serif-bold``) → font file."""

_UNITS = 1000


def font_path(face: str) -> Path:
    """Return the file of ``face``."""
    try:
        return FACES[face]
    except KeyError:
        raise InvalidInput(
            f"no font face is named {face!r}", hint=did_you_mean(face, FACES)
        ) from None


@lru_cache(maxsize=512)
def font(face: str, size: float) -> FreeTypeFont:
    """Open ``face`` at ``size`` pixels per em; cached, because opening a CJK font takes milliseconds."""
    try:
        from PIL import ImageFont
    except ImportError:
        raise missing_package("drawing documents", "pillow", "synth") from None
    return ImageFont.truetype(font_path(face), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=65536)
def _advance(face: str, character: str) -> float:
    """Return the advance width in ems, measured at a large size, so that pixel rounding does not show."""
    return font(face, _UNITS).getlength(character) / _UNITS


def advances(face: str, text: str, size: float) -> list[float]:
    """Return the advance width of each character of ``text``, in the unit of ``size``, without kerning."""
    return [_advance(face, character) * size for character in text]


def text_width(face: str, text: str, size: float) -> float:
    """Return the width of ``text`` at ``size``, in the unit of ``size``."""
    return sum(advances(face, text, size))


def bold(face: str) -> str:
    """Return the bold face of the same family, or ``face`` itself where the family has none."""
    name = face.partition("-")[0] if not face.startswith("zh-") else face
    return f"{name}-bold" if f"{name}-bold" in FACES else face
