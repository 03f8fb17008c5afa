"""Blocks that look like QR codes and bar codes. They encode nothing."""

from __future__ import annotations

from random import Random

from bench.synth.sheet import INK, Box, Sheet


def qr_block(rng: Random, sheet: Sheet, x: float, y: float, side: float, modules: int = 29) -> None:
    """Draw a square that looks like a QR code: finder patterns and random modules."""
    unit = side / modules
    finders = ((0, 0), (modules - 7, 0), (0, modules - 7))

    def dark(column: int, row: int) -> bool:
        for left, top in finders:
            dx, dy = column - left, row - top
            if -1 <= dx <= 7 and -1 <= dy <= 7:
                ring = max(abs(dx - 3), abs(dy - 3))
                return ring in (0, 1, 3)
        if column == 6 or row == 6:
            return (column + row) % 2 == 0
        return rng.random() < 0.5

    for row in range(modules):
        start = None
        for column in range(modules + 1):
            on = column < modules and dark(column, row)
            if on and start is None:
                start = column
            elif not on and start is not None:
                sheet.rectangle(
                    Box(x + start * unit, y + row * unit, (column - start) * unit - 0.01, unit),
                    color=None,
                    fill=INK,
                )
                start = None


def bar_code(rng: Random, sheet: Sheet, box: Box) -> None:
    """Draw bars of random widths."""
    unit = box.width / 113
    x = box.x
    while x < box.x + box.width - 3 * unit:
        width = unit * rng.choice((1, 1, 2, 2, 3))
        sheet.rectangle(Box(x, box.y, width * 0.96, box.height), color=None, fill=INK)
        x += width + unit * rng.choice((1, 1, 2, 3))
