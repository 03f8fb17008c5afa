"""Typefaces that lines are set in: packages of Debian, and the faces that ``bench.synth`` ships.

    apt-get install --no-install-recommends PACKAGES

Families of ``HELD_OUT`` are never shown in training; the error rates of the card are measured on them.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from fontTools.ttLib import TTFont, TTLibError  # type: ignore[import-untyped]

from bench.synth.fonts import FACES
from workshop.recognizer.texts import RUSSIAN

PACKAGES = """fonts-anonymous-pro fonts-b612 fonts-cantarell fonts-clear-sans fonts-cmu
fonts-comfortaa fonts-crosextra-carlito fonts-croscore fonts-dejavu
fonts-dejavu-extra fonts-ebgaramond fonts-fantasque-sans fonts-firacode
fonts-freefont-ttf fonts-go fonts-hack fonts-inter fonts-jetbrains-mono fonts-jura
fonts-liberation2 fonts-linuxlibertine fonts-manrope fonts-mononoki fonts-noto-core
fonts-noto-mono fonts-oldstandard fonts-open-sans fonts-paratype fonts-play
fonts-roboto-slab fonts-roboto-unhinted fonts-sil-andika fonts-sil-charis
fonts-sil-doulos fonts-sil-gentiumplus fonts-stix fonts-unifont fonts-urw-base35
fonts-vollkorn fonts-yanone-kaffeesatz fonts-3270"""
"""Of Debian 12; together 45 families with Cyrillic."""
ROOT = Path("/usr/share/fonts")
OFFICE = (
    *("liberation", "arimo", "tinos", "cousine", "carlito", "pt", "roboto-", "nimbus"),
    *("freesans", "freeserif", "freemono", "dejavusans", "dejavuserif", "opensans"),
)
"""Files whose names begin so are what most Russian papers look like; they are drawn more often."""
HELD_OUT = (
    *("notosans", "notoserif", "notomono", "jetbrainsmono", "linlibertine", "charissil"),
    *("play-", "c059"),
)
"""Files whose names begin so are unseen: three families each with and without serifs, two monospaced."""
UNWANTED = (
    "unifont",
    "z003",
    "lobster",
    "notosansdisplay",
    "notoserifdisplay",
    "stixmath",
    "texgyre",
)
_SHIPPED_SELDOM = ("hand", "script")


class Face(NamedTuple):
    """A font file, and the signs it has."""

    path: Path
    signs: frozenset[str]
    weight: float


@lru_cache
def faces(held_out: bool) -> tuple[Face, ...]:
    """Every installed face with all Russian letters, of the training families or of the others."""
    found = []
    for path in sorted(ROOT.rglob("*.[ot]tf")):
        name = path.name.lower()
        if name.startswith(UNWANTED) or name.startswith(HELD_OUT) != held_out:
            continue
        signs = _signs(path)
        if signs.issuperset(RUSSIAN):
            found.append((path, signs, 3.0 if name.startswith(OFFICE) else 1.0))
    if not held_out:
        for name, path in FACES.items():
            if not name.startswith("zh-"):
                found.append((path, _signs(path), 1.0 if name in _SHIPPED_SELDOM else 4.0))
    # A family with twenty weights is not seen more often than one with four.
    families: dict[str, int] = {}
    for path, _, _ in found:
        families[_family(path)] = families.get(_family(path), 0) + 1
    return tuple(
        Face(path, signs, weight / families[_family(path)] ** 0.7) for path, signs, weight in found
    )


def _family(path: Path) -> str:
    return path.stem.partition("-")[0].lower()


def _signs(path: Path) -> frozenset[str]:
    try:
        with TTFont(path, fontNumber=0, lazy=True) as font:
            return frozenset(map(chr, font.getBestCmap() or {}))
    except (TTLibError, OSError, KeyError):
        return frozenset()
