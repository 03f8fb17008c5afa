"""Make the shipped fonts from their originals (``bench/synth/fonts/README.md`` names them).

Run ``python -m workshop.font_subset ORIGINALS`` when the fonts change. It needs fonttools and writes into
``bench/synth/fonts``. The fonts lose their hinting, because pages are drawn at 300 dpi and above, or reduced
from there. They lose their names, because several originals reserve theirs for unmodified copies (OFL,
clause 3).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from bench.synth.fonts import FOLDER


class Original(NamedTuple):
    """One shipped font file and where its outlines come from."""

    file: str
    """Name of the shipped file."""
    sources: tuple[str, ...]
    """Paths under the originals' folder; several are merged (a web font comes in slices)."""
    charset: str
    """``latin`` (with Cyrillic), ``gb2312`` or ``level1``."""
    number: int = 0
    """Font inside a collection."""


ORIGINALS = (
    Original("sans.ttf", ("liberation2/LiberationSans-Regular.ttf",), "latin"),
    Original("sans-bold.ttf", ("liberation2/LiberationSans-Bold.ttf",), "latin"),
    Original("serif.ttf", ("liberation2/LiberationSerif-Regular.ttf",), "latin"),
    Original("serif-bold.ttf", ("liberation2/LiberationSerif-Bold.ttf",), "latin"),
    Original("mono.ttf", ("liberation2/LiberationMono-Regular.ttf",), "latin"),
    Original("mono-bold.ttf", ("liberation2/LiberationMono-Bold.ttf",), "latin"),
    Original("till.ttf", ("pt-mono-latin-400.woff", "pt-mono-cyrillic-400.woff"), "latin"),
    Original("humanist.ttf", ("pt-sans-latin-400.woff", "pt-sans-cyrillic-400.woff"), "latin"),
    Original("humanist-bold.ttf", ("pt-sans-latin-700.woff", "pt-sans-cyrillic-700.woff"), "latin"),
    Original("office.ttf", ("crosextra/Carlito-Regular.ttf",), "latin"),
    Original("office-bold.ttf", ("crosextra/Carlito-Bold.ttf",), "latin"),
    Original("grotesque.ttf", ("roboto/unhinted/RobotoTTF/Roboto-Regular.ttf",), "latin"),
    Original("grotesque-bold.ttf", ("roboto/unhinted/RobotoTTF/Roboto-Bold.ttf",), "latin"),
    Original("hand.ttf", ("caveat-latin-500.woff", "caveat-cyrillic-500.woff"), "latin"),
    Original(
        "script.ttf", ("marck-script-latin-400.woff", "marck-script-cyrillic-400.woff"), "latin"
    ),
    Original("zh-sans.otf", ("noto/NotoSansCJK-Regular.ttc",), "gb2312", 2),
    Original("zh-sans-bold.otf", ("noto/NotoSansCJK-Bold.ttc",), "level1", 2),
    Original("zh-song.otf", ("noto/NotoSerifCJK-Regular.ttc",), "level1", 2),
    Original("zh-kai.ttf", ("lxgw-wenkai/LXGWWenKai-Regular.ttf",), "level1"),
)

_PUNCTUATION = "–—‘’“”„•…′″€₽№™−×÷≤≥≈■□▪▲►▼●○✓✔☐☑☒"
_CHINESE_PUNCTUATION = (
    "、。〈〉《》「」『』【】〔〕！＂＃％＆（）＊＋，－．／"
    "０１２３４５６７８９：；＝？＠￥～○●◇◆□■△※→⊗"
)
# Characters beyond the first level that names, goods, places and the capital numerals need.
_EXTRA = (
    "亓仝佘佟倩冼圳坂奚妍婧婷媛嫣岑岚嵇嵘扈昊昝昱晁晏晖栾楠"
    "泓淼滕滢漕煜玮珞珺琪瑜瑾璇璐睿瞿窦缪翊胥臧芮茜萬蔺裘褚覃谌逯邝邬邰邸郜鄢鑫钰闫闵阙阚韬馨"
)


def _characters(charset: str) -> str:
    """The characters a charset stands for."""
    latin = "".join(map(chr, (*range(0x20, 0x7F), *range(0xA0, 0x100)))) + _PUNCTUATION
    if charset == "latin":
        return latin + "".join(map(chr, range(0x400, 0x460)))
    last_row = {"gb2312": 88, "level1": 56}[charset]
    cells = (
        bytes((row + 0xA0, cell + 0xA0)) for row in range(16, last_row) for cell in range(1, 95)
    )
    hanzi = "".join(cell.decode("gb2312", "ignore") for cell in cells)
    return latin + _CHINESE_PUNCTUATION + _EXTRA + hanzi


def _subset(original: Original, folder: Path, out: Path) -> None:
    """Write the shipped file of ``original``."""
    from fontTools import merge, subset  # type: ignore[import-untyped]

    options = subset.Options()
    options.hinting = False
    options.layout_features = []
    options.font_number = original.number
    options.name_IDs = [1, 2]
    options.notdef_outline = True
    options.glyph_names = False
    parts = []
    for source in original.sources:
        font = subset.load_font(str(folder / source), options)
        subsetter = subset.Subsetter(options)
        subsetter.populate(text=_characters(original.charset))
        subsetter.subset(font)
        font.flavor = None
        parts.append(font)
    font = parts[0]
    if len(parts) > 1:
        names = []
        for number, part in enumerate(parts):
            names.append(str(out / f".part-{number}.ttf"))
            part.save(names[-1])
        font = merge.Merger().merge(names)
        for name in names:
            Path(name).unlink()
    for record in list(font["name"].names):
        font["name"].removeNames(nameID=record.nameID)
    full = f"Bench {Path(original.file).stem.title()}"
    for number, text in ((1, full), (2, "Regular"), (4, full), (6, full.replace(" ", ""))):
        font["name"].setName(text, number, 3, 1, 0x409)
    if "CFF " in font:
        font["CFF "].cff.fontNames = [full.replace(" ", "")]
    font["head"].created = font["head"].modified = 3_786_912_000  # 2024-01-01, from 1904
    font.recalcTimestamp = False
    font.save(out / original.file)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("Name the folder of the original fonts: python -m workshop.font_subset ORIGINALS")
    for row in ORIGINALS:
        _subset(row, Path(sys.argv[1]), FOLDER)
