"""Turn sheets into a PDF with a text layer, with reportlab.

The drawing operations are those that ``raster.py`` reads. Invariant mode gives the same bytes for the same
sheets. The writer embeds TrueType outlines only, so it cannot draw with the Chinese faces (CFF).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from bench.errors import missing_package
from bench.synth.fonts import font, font_path
from bench.synth.sheet import Color, Ink, Operation, Shape, Sheet, TextRun


def _unit(color: Color) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255


class _Writer:
    def __init__(self, canvas: Any, height: float) -> None:
        self.canvas = canvas
        self.height = height

    def draw(self, operation: Operation) -> None:
        if isinstance(operation, TextRun):
            self._text(operation)
        elif isinstance(operation, Shape):
            self._shape(operation)
        else:
            self._ink(operation)

    def _text(self, text: TextRun) -> None:
        _register(text.font.face)
        self.canvas.setFillColorRGB(*_unit(text.font.color))
        self.canvas.setFont(text.font.face, text.font.size)
        if not text.angle:
            self.canvas.drawString(text.x, self.height - text.y, text.text)
            return
        self.canvas.saveState()
        self.canvas.translate(text.x, self.height - text.y)
        self.canvas.rotate(text.angle)
        self.canvas.drawString(0, 0, text.text)
        self.canvas.restoreState()

    def _shape(self, shape: Shape) -> None:
        path = self.canvas.beginPath()
        path.moveTo(shape.points[0][0], self.height - shape.points[0][1])
        for x, y in shape.points[1:]:
            path.lineTo(x, self.height - y)
        if shape.closed:
            path.close()
        if shape.color is not None:
            self.canvas.setStrokeColorRGB(*_unit(shape.color))
            self.canvas.setLineWidth(max(0.1, shape.width))
        if shape.fill is not None:
            self.canvas.setFillColorRGB(*_unit(shape.fill))
        self.canvas.drawPath(
            path, stroke=int(shape.color is not None), fill=int(shape.fill is not None)
        )

    def _ink(self, ink: Ink) -> None:
        self.canvas.saveState()
        self.canvas.setFillAlpha(ink.opacity)
        self.canvas.setStrokeAlpha(ink.opacity)
        # Letters of a seal are pictures here: as text they would stand one by one in the text layer.
        for part in ink.operations:
            if isinstance(part, TextRun):
                self._picture(part)
            else:
                self._shape(part)
        self.canvas.restoreState()

    def _picture(self, text: TextRun) -> None:
        """Draw ``text`` as an image with transparency."""
        from PIL import Image, ImageDraw
        from reportlab.lib.utils import ImageReader

        scale = 8
        pixels = font(text.font.face, text.font.size * scale)
        left, top, right, bottom = (int(v) for v in pixels.getbbox(text.text, anchor="ls"))
        if right <= left or bottom <= top:
            return
        mask = Image.new("L", (right - left, bottom - top), 0)
        ImageDraw.Draw(mask).text((-left, -top), text.text, font=pixels, fill=255, anchor="ls")
        picture = Image.new("RGBA", mask.size, (*text.font.color, 0))
        picture.putalpha(mask)
        self.canvas.saveState()
        self.canvas.translate(text.x, self.height - text.y)
        self.canvas.rotate(text.angle)
        place = (left / scale, -bottom / scale, mask.width / scale, mask.height / scale)
        self.canvas.drawImage(ImageReader(picture), *place, mask="auto")
        self.canvas.restoreState()


def _register(face: str) -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    if face not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(face, str(font_path(face))))


def write_pdf(sheets: Sequence[Sheet], title: str) -> bytes:
    """Return a PDF 1.4 file with a page for each sheet."""
    try:
        from reportlab.pdfgen.canvas import Canvas
    except ImportError:
        raise missing_package("writing a PDF", "reportlab", "synth") from None
    buffer = io.BytesIO()
    canvas = Canvas(buffer, invariant=1, pageCompression=1)
    canvas.setTitle(title)
    for sheet in sheets:
        canvas.setPageSize((sheet.width, sheet.height))
        writer = _Writer(canvas, sheet.height)
        for operation in sheet.operations:
            writer.draw(operation)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()
