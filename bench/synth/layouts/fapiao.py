"""增值税发票: the paper special invoice (专用发票) and the fully digital one (数电票).

Look of the forms: State Taxation Administration announcements 2014 no. 43 (paper) and 2021 no. 10 ff.
(digital). Labels are printed brown, values are typed over them.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from bench.synth.data import read_table
from bench.synth.fonts import text_width
from bench.synth.layouts.codes import qr_block
from bench.synth.layouts.stamps import chinese_oval_stamp, circle
from bench.synth.sheet import BLACK, Box, Color, Font, Sheet
from bench.synth.values.amounts import chinese_capitals, percent, plain_money, quantity
from bench.synth.values.dates import chinese_date
from bench.synth.values.invoice import Invoice
from bench.synth.values.parties import person

BROWN: Color = (156, 82, 40)
_INK_BLUE: Color = (30, 34, 96)
_PRINTED_BLUE: Color = (40, 60, 120)


class _GoodsStyle(NamedTuple):
    """How the table of goods is set; sizes and distances in points."""

    form: str
    """Names the columns in ``data/fapiao.toml``."""
    head_size: float
    size: float
    first_row: float
    """From the top of the table to the baseline of the first row."""
    step: float
    rise: float
    """From a baseline to the top of its row."""
    model_padding: float
    rules: bool
    """Between columns."""


_PAPER_GOODS = _GoodsStyle("paper", 9.2, 9, 29, 13.5, 8.1, 3, rules=True)
_DIGITAL_GOODS = _GoodsStyle("digital", 8.4, 8.6, 30, 14, 8.2, 2, rules=False)


def paper(invoice: Invoice, rng: Random, face: str) -> tuple[Sheet, ...]:
    """Draw a 增值税专用发票, 241 × 140 mm, third copy; ``face`` is that of the values."""
    sheet = Sheet(683.0, 397.0)
    label, value = Font("zh-kai", 10, BROWN), Font(face, 9.5, rng.choice((BLACK, _INK_BLUE)))
    left, top, width = 34.0, 92.0, 618.0
    right, middle = left + width, left + 388
    _paper_title(sheet, invoice, rng, label, value)
    sheet.rectangle(Box(left, top, width, 276), width=1.1, color=BROWN)
    _paper_party(sheet, invoice, Box(left, top, width, 62), "购买方", label, value)
    _cipher(sheet, rng, Box(middle, top, right - middle, 62), label)
    _goods(sheet, invoice, Box(left, top + 62, width, 126), label, value, _PAPER_GOODS)
    y = top + 188
    sheet.rectangle(Box(left, y, width, 24), width=0.7, color=BROWN)
    sheet.line(left + 158, y, left + 158, y + 24, 0.7, BROWN)
    sheet.text(left + 79, y + 16, "价税合计（大写）", label, align="center")
    _crossed_circle(sheet, left + 176, y + 12)
    _total(sheet, invoice, left + 190, left + 430, left + 478, y + 16, label, value.at(10.5))
    y += 24
    _paper_party(sheet, invoice, Box(left, y, width, 64), "销售方", label, value)
    sheet.line(middle, y, middle, y + 64, 0.7, BROWN)
    _side_title(sheet, Box(middle, y, 18, 64), "备注", label)
    _paper_foot(sheet, rng, y + 82, label, value)
    copy = "第三联发票联购买方记账凭证"
    _vertical(sheet, Box(right + 4, top + 20, 16, 220), copy, label.at(8.5))
    seller, stamp_x = invoice.seller, right - 96 + rng.uniform(-20, 20)
    sheet.stamp(chinese_oval_stamp(rng, stamp_x, y + 36, seller.name, seller.tax_id))
    return (sheet,)


def _paper_title(sheet: Sheet, invoice: Invoice, rng: Random, label: Font, value: Font) -> None:
    province = read_table("fapiao")["provinces"][invoice.seller.city.removesuffix("市")]
    sheet.text(52, 42, invoice.code, Font("sans", 14, _PRINTED_BLUE), field="invoice_code")
    _title(sheet, 341, 46, f"{province}增值税专用发票", 21, rules=(54, 56.6), overhang=8)
    sheet.text(341, 70, "发票联", Font("zh-song", 11, BROWN), align="center")
    sheet.text(494, 44, "№", Font("serif", 19, BROWN))
    sheet.text(517, 44, invoice.number, Font("sans", 16, _PRINTED_BLUE), field="number")
    sheet.text(652, 36, invoice.code, Font("sans", 7), align="right")
    sheet.text(652, 45, invoice.number, Font("sans", 7), align="right")
    sheet.text(52, 84, "机器编号：", label.at(8.5))
    sheet.text(96, 84, f"{rng.randrange(10**11, 10**12)}", value.at(8.5))
    sheet.text(500, 84, "开票日期：", label)
    sheet.text(552, 84, chinese_date(invoice.day), value, field="date")


def _paper_party(
    sheet: Sheet, invoice: Invoice, box: Box, role: str, label: Font, value: Font
) -> None:
    sheet.rectangle(box, width=0.7, color=BROWN)
    _side_title(sheet, box, role, label)
    buys = role == "购买方"
    company, name = (invoice.buyer, "buyer") if buys else (invoice.seller, "seller")
    rows = (
        ("名称", company.name, "name"),
        ("纳税人识别号", company.tax_id, "tax_id"),
        ("地址、电话", f"{company.address} {company.phone}", ""),
        ("开户行及账号", f"{company.bank.name} {company.bank.account}", ""),
    )
    step = box.height / len(rows)
    for number, (text, printed, field) in enumerate(rows):
        y = box.y + step * number + step / 2 + 3.4
        _spread(sheet, box.x + 22, y, text, 58, label.at(9.2))
        font = value
        while text_width(font.face, printed, font.size) > 288:
            font = font.at(font.size - 0.25)
        sheet.text(box.x + 94, y, printed, font, field=f"{name}_{field}" if field else None)
    sheet.fields |= {f"{name}_address": company.address, f"{name}_bank": company.bank.name}


def _cipher(sheet: Sheet, rng: Random, box: Box, label: Font) -> None:
    """Draw the 密码区: four lines of cipher."""
    sheet.line(box.x, box.y, box.x, box.y + box.height, 0.7, BROWN)
    _side_title(sheet, box, "密码区", label)
    for row in range(4):
        line = "".join(rng.choice("0123456789+-*/<>") for _ in range(27))
        sheet.text(box.x + 24, box.y + 14 + row * 13.5, line, Font("mono", 11.5, BLACK))


def _crossed_circle(sheet: Sheet, x: float, y: float) -> None:
    """Draw the ⊗ before an amount, so that nothing can be written in front of it."""
    sheet.operations.append(circle(x, y, 6, 0.8, BLACK))
    arm = 4.2
    sheet.line(x - arm, y - arm, x + arm, y + arm, 0.8, BLACK)
    sheet.line(x - arm, y + arm, x + arm, y - arm, 0.8, BLACK)


def _paper_foot(sheet: Sheet, rng: Random, y: float, label: Font, value: Font) -> None:
    names = [person(rng, "zh").full for _ in range(3)]
    places = ((60, "收款人：", "payee"), (210, "复核：", "reviewer"), (350, "开票人：", "drawer"))
    for (x, role, field), name in zip(places, names, strict=True):
        width = sheet.text(x, y, role, label)
        sheet.text(x + width + 4, y, name, value, field=field)
    sheet.text(500, y, "销售方：（章）", label)


def digital(invoice: Invoice, rng: Random, face: str) -> tuple[Sheet, ...]:
    """Draw a 电子发票, ordinary or special: the form without a paper original."""
    sheet = Sheet(610.0, 396.0)
    special = rng.random() < 0.5
    label, value = Font("zh-song", 9, BROWN), Font(face, 9, BLACK)
    left, top, width = 20.0, 82.0, 570.0
    qr_block(rng, sheet, 28, 22, 50, 25)
    kind = "增值税专用发票" if special else "普通发票"
    _title(sheet, 305, 46, f"电子发票（{kind}）", 17, rules=(55, 58), overhang=12)
    authority, office = "全国统一发票监制章", "国家税务总局"
    sheet.stamp(chinese_oval_stamp(rng, 305, 54, authority, office, 42, title="税务局"))
    number = f"{invoice.day.year % 100}{invoice.seller.tax_id[2:4]}2000000{invoice.number}"
    sheet.text(446, 40, "发票号码：", label)
    sheet.text(492, 40, number.ljust(20, "0"), value, field="number")
    sheet.text(446, 58, "开票日期：", label)
    sheet.text(492, 58, chinese_date(invoice.day), value, field="date")
    sheet.rectangle(Box(left, top, width, 268), width=0.9, color=BROWN)
    for x, role, company, name in (
        (left, "购买方信息", invoice.buyer, "buyer"),
        (left + width / 2, "销售方信息", invoice.seller, "seller"),
    ):
        sheet.rectangle(Box(x, top, width / 2, 58), width=0.7, color=BROWN)
        _side_title(sheet, Box(x, top, 18, 58), role, label.at(8.2))
        sheet.text(x + 24, top + 18, "名称：", label)
        sheet.text(x + 52, top + 18, company.name, value, field=f"{name}_name")
        sheet.text(x + 24, top + 46, "统一社会信用代码/纳税人识别号：", label.at(7.6))
        sheet.text(x + 144, top + 46, company.tax_id, value.at(8.6), field=f"{name}_tax_id")
    _goods(sheet, invoice, Box(left, top + 58, width, 132), label, value, _DIGITAL_GOODS)
    y = top + 190
    sheet.rectangle(Box(left, y, width, 24), width=0.7, color=BROWN)
    sheet.line(left + 130, y, left + 130, y + 24, 0.7, BROWN)
    sheet.text(left + 65, y + 16, "价税合计（大写）", label, align="center")
    _total(sheet, invoice, left + 146, left + 396, left + 436, y + 16, label, value.at(10))
    y += 24
    _side_title(sheet, Box(left, y, 18, top + 268 - y), "备注", label)
    bank = invoice.seller.bank
    account = f"销方开户银行：{bank.name}；银行账号：{bank.account}"
    sheet.text(left + 24, y + 14, account, value.at(8))
    sheet.fields |= {"seller_bank": bank.name, "seller_account": bank.account}
    x = 62 + sheet.text(60, 372, "开票人：", label)
    sheet.text(x, 372, person(rng, "zh").full, value, field="drawer")
    return (sheet,)


def _goods(
    sheet: Sheet, invoice: Invoice, box: Box, label: Font, value: Font, style: _GoodsStyle
) -> None:
    """Draw heads, rows and sums; the last column takes the width that is left."""
    columns = read_table("fapiao")["columns"][style.form]
    widths = [column["width"] for column in columns[:-1]]
    widths.append(box.width - sum(widths))
    lefts = [box.x + sum(widths[:number]) for number in range(len(widths))]
    rights = [left + width - 4 for left, width in zip(lefts, widths, strict=True)]
    bottom = box.y + box.height
    for column, left, width in zip(columns, lefts, widths, strict=True):
        head = label.at(style.head_size)
        sheet.text(left + width / 2, box.y + 13, column["head"], head, align="center")
        if style.rules and left > box.x:
            sheet.line(left, box.y, left, bottom, 0.7, BROWN)
    font, rate = value.at(style.size), percent(invoice.tax_rate)
    y = box.y + style.first_row
    for number, row in enumerate(invoice.lines.rows, start=1):
        name, item = f"*{row.good.code}*{row.good.name}", f"item_{number}"
        sheet.cell(Box(lefts[0], y - style.rise, widths[0], 13), name, font, field=f"{item}_name")
        if row.good.model:
            model = Box(lefts[1], y - style.rise, widths[1], 13)
            sheet.cell(model, row.good.model, font, padding=style.model_padding)
        sheet.text(lefts[2] + widths[2] / 2, y, row.good.unit, font, align="center")
        for column, text, field in (
            (3, quantity(row.quantity), f"{item}_quantity"),
            (4, plain_money(row.price), f"{item}_price"),
            (5, plain_money(row.net), f"{item}_total"),
            (6, rate, None),
            (7, plain_money(row.tax), f"{item}_tax"),
        ):
            sheet.text(rights[column], y, text, font, align="right", field=field)
        y += style.step
    sheet.fields["tax_rate"] = rate
    sheet.text(lefts[0] + widths[0] / 2, bottom - 6, "合 计", label, align="center")
    net, tax = f"¥{plain_money(invoice.lines.net)}", f"¥{plain_money(invoice.lines.tax)}"
    sheet.text(rights[5], bottom - 6, net, value, align="right", field="total_net")
    sheet.text(rights[7], bottom - 6, tax, value, align="right", field="total_tax")


def _title(
    sheet: Sheet,
    x: float,
    y: float,
    text: str,
    size: float,
    rules: tuple[float, float],
    overhang: float,
) -> None:
    """Set the title, its middle at ``x``, over two rules that are wider by ``overhang`` on each side."""
    reach = sheet.text(x, y, text, Font("zh-song", size, BROWN), align="center") / 2 + overhang
    for rule in rules:
        sheet.line(x - reach, rule, x + reach, rule, 0.8, BROWN)


def _total(
    sheet: Sheet,
    invoice: Invoice,
    words_x: float,
    label_x: float,
    figures_x: float,
    y: float,
    label: Font,
    value: Font,
) -> None:
    """Set the total in capital numerals and in figures."""
    total = invoice.lines.gross
    sheet.text(words_x, y, chinese_capitals(total), value, field="total_words")
    sheet.text(label_x, y, "（小写）", label)
    sheet.text(figures_x, y, f"¥{plain_money(total)}", value, field="total")


def _side_title(sheet: Sheet, box: Box, text: str, font: Font) -> None:
    """Set ``text`` upright in a strip of 18 points at the left of ``box``, with a rule at its right."""
    sheet.line(box.x + 18, box.y, box.x + 18, box.y + box.height, 0.7, BROWN)
    _vertical(sheet, Box(box.x, box.y, 18, box.height), text, font)


def _vertical(sheet: Sheet, box: Box, text: str, font: Font) -> None:
    """Set ``text`` one character under another, centred in ``box``."""
    step = min(font.size * 1.4, (box.height - 4) / len(text))
    y = box.y + (box.height - step * len(text)) / 2 + step / 2 + font.size * 0.36
    for character in text:
        sheet.text(box.x + box.width / 2, y, character, font, align="center")
        y += step


def _spread(sheet: Sheet, x: float, y: float, text: str, width: float, font: Font) -> None:
    """Spread ``text`` over ``width`` points, as forms justify their labels; a colon follows."""
    gap = (width - len(text) * font.size) / max(1, len(text) - 1)
    # A justified label is one text to a reader, so characters that are not spread stay together.
    if gap < 0.5:
        sheet.text(x, y, text + "：", font)
        return
    for character in text:
        sheet.text(x, y, character, font)
        x += font.size + gap
    sheet.text(x - gap, y, "：", font)


LAYOUTS = {"paper": paper, "digital": digital}
