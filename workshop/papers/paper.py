"""What every generated paper consists of."""

from __future__ import annotations

import io
import unicodedata
from dataclasses import dataclass, field
from random import Random

from bench.synth.fonts import bold
from bench.synth.pdf import write_pdf
from bench.synth.raster import rasterise
from bench.synth.scanning import draw_scan_settings, scan_page
from bench.synth.sheet import Font, Sheet


@dataclass(slots=True)
class Paper:
    """One drawn page and the questions about it."""

    sheet: Sheet
    questions: list[tuple[str, str, str]] = field(default_factory=list)
    """Field, question, right answer."""
    pdf: bool = False
    """Written as a PDF with a text layer; otherwise as a picture."""

    def ask(self, name: str, question: str, answer: str) -> None:
        """Add a question, unless the page does not show its answer."""
        if answer:
            self.questions.append((name, question, answer))

    def content(self, rng: Random) -> tuple[str, bytes]:
        """The ending of the file's name, and its bytes."""
        if self.pdf:
            return "pdf", write_pdf([self.sheet], "paper")
        image = rasterise(self.sheet, 150)
        if rng.random() < 0.5:
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            return "png", buffer.getvalue()
        settings = draw_scan_settings(rng, "light")
        return "jpg", scan_page(image, settings, rng.getrandbits(32), 150)


def fonts(face: str, size: float) -> tuple[Font, Font]:
    """The plain and the bold font of a paper."""
    return Font(face, size), Font(bold(face), size)


def printable(text: str) -> str:
    """``text`` in the letters that the shipped fonts have: Latin ones beyond Latin-1 lose their marks."""
    kept = []
    for character in text.replace("ł", "l").replace("Ł", "L"):
        is_common = (
            ord(character) < 0x100 or character in "№«»–—€œ" or "а" <= character.lower() <= "ё"
        )
        kept.append(character if is_common else unicodedata.normalize("NFD", character)[0])
    return "".join(kept)
