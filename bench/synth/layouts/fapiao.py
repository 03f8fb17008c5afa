"""增值税发票: the paper special invoice (专用发票) and the fully digital one (数电票).

Look of the forms: State Taxation Administration announcements 2014 no. 43 (paper) and 2021 no. 10 ff.
(digital). Labels are printed brown, values are typed over them.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random

from bench.synth.layouts.parts import chinese_oval_stamp, circle, qr_block
from bench.synth.sheet import BLACK, Box, Color, Font, Sheet
from bench.synth.values.amounts import chinese_capitals, grouped, plain
from bench.synth.values.parties import person
from bench.synth.values.trade import Invoice, chinese_date

BROWN: Color = (156, 82, 40)
_INK_BLUE: Color = (30, 34, 96)


def _money(value: Decimal) -> str:
    return grouped(value, group="", point=".")


def _vertical(sheet: Sheet, box: Box, text: str, font: Font) -> None:
    """``text`` one character under another, centred in ``box``."""
    step = min(font.size * 1.4, (box.height - 4) / len(text))
    y = box.y + (box.height - step * len(text)) / 2 + step / 2 + font.size * 0.36
    for character in text:
        sheet.text(box.x + box.width / 2, y, character, font, align="center")
        y += step


def _label(sheet: Sheet, x: float, y: float, text: str, width: float, font: Font) -> None:
    """``text`` spread over ``width`` points, as forms justify their labels; a colon follows."""
    characters = list(text)
    own = len(characters) * font.size
    gap = (width - own) / max(1, len(characters) - 1)
    # A justified label is one text to a reader, so characters that are not spread stay together.
    if gap < 0.5:
        sheet.text(x, y, text + "：", font)
        return
    for character in characters:
        sheet.text(x, y, character, font)
        x += font.size + gap
    sheet.text(x - gap, y, "：", font)


def _goods_name(name: str, code: str) -> tuple[str, str]:
    """(``*category*name``, model)."""
    category, _, model = code.partition("|")
    return f"*{category}*{name}", model


_PAPER_HEADS = (
    ("货物或应税劳务、服务名称", 158.0), ("规格型号", 74.0), ("单位", 36.0), ("数量", 52.0), ("单价", 72.0),
    ("金额", 88.0), ("税率", 40.0), ("税额", 0.0),
)  # fmt: skip


def paper(invoice: Invoice, rng: Random, *, value_face: str = "zh-song") -> tuple[Sheet, ...]:
    """增值税专用发票, 241 × 140 mm, third copy."""
    sheet = Sheet(683.0, 397.0)
    label, value = Font("zh-kai", 10, BROWN), Font(value_face, 9.5, rng.choice((BLACK, _INK_BLUE)))
    left, right, top = 34.0, 652.0, 92.0
    _paper_title(sheet, invoice, rng, label, value)
    sheet.rectangle(Box(left, top, right - left, 276), width=1.1, color=BROWN)
    _paper_party(sheet, invoice, Box(left, top, right - left, 62), "购买方", label, value)
    _cipher(sheet, rng, Box(left + 388, top, right - left - 388, 62), label)
    y = _paper_goods(sheet, invoice, Box(left, top + 62, right - left, 126), label, value)
    sheet.rectangle(Box(left, y, right - left, 24), color=BROWN, width=0.7)
    sheet.line(left + 158, y, left + 158, y + 24, 0.7, BROWN)
    sheet.text(left + 79, y + 16, "价税合计（大写）", label, align="center")
    sheet.operations.append(circle(left + 176, y + 12, 6, 0.8, BLACK))
    for a, b in ((-4.2, 4.2), (4.2, -4.2)):
        sheet.line(left + 176 - 4.2, y + 12 + a, left + 176 + 4.2, y + 12 + b, 0.8, BLACK)
    sheet.text(
        left + 190,
        y + 16,
        chinese_capitals(invoice.lines.gross),
        value.at(10.5),
        field="total_words",
    )
    sheet.text(left + 430, y + 16, "（小写）", label)
    sheet.text(left + 478, y + 16, f"¥{_money(invoice.lines.gross)}", value.at(10.5), field="total")
    y += 24
    _paper_party(sheet, invoice, Box(left, y, right - left, 64), "销售方", label, value)
    sheet.line(left + 388, y, left + 388, y + 64, 0.7, BROWN)
    sheet.line(left + 406, y, left + 406, y + 64, 0.7, BROWN)
    _vertical(sheet, Box(left + 388, y, 18, 64), "备注", label)
    _paper_foot(sheet, invoice, rng, y + 82, label, value)
    _vertical(sheet, Box(right + 4, top + 20, 16, 220), "第三联发票联购买方记账凭证", label.at(8.5))
    seal = chinese_oval_stamp(
        rng, right - 96 + rng.uniform(-20, 20), y + 36, invoice.seller.name, invoice.seller.tax_id
    )
    sheet.operations.append(seal)
    return (sheet,)


def _paper_title(sheet: Sheet, invoice: Invoice, rng: Random, label: Font, value: Font) -> None:
    province = invoice.seller.city.removesuffix("市")
    municipal = {"北京", "上海"}
    home = {
        "广州": "广东",
        "深圳": "深圳",
        "杭州": "浙江",
        "成都": "四川",
        "南京": "江苏",
        "武汉": "湖北",
        "苏州": "江苏",
    }
    province = province if province in municipal else home[province]
    title = f"{province}增值税专用发票"
    digits = Font("sans", 14, (40, 60, 120))
    sheet.text(52, 42, invoice.extra, digits, field="invoice_code")
    middle = 341.0
    width = sheet.text(middle, 46, title, Font("zh-song", 21, BROWN), align="center")
    for n in range(2):
        sheet.line(
            middle - width / 2 - 8, 54 + n * 2.6, middle + width / 2 + 8, 54 + n * 2.6, 0.8, BROWN
        )
    sheet.text(middle, 70, "发票联", Font("zh-song", 11, BROWN), align="center")
    sheet.text(494, 44, "№", Font("serif", 19, BROWN))
    sheet.text(517, 44, invoice.number, Font("sans", 16, (40, 60, 120)), field="number")
    sheet.text(652, 36, invoice.extra, Font("sans", 7), align="right")
    sheet.text(652, 45, invoice.number, Font("sans", 7), align="right")
    sheet.text(52, 84, "机器编号：", label.at(8.5))
    sheet.text(96, 84, f"{rng.randrange(10**11, 10**12)}", value.at(8.5))
    sheet.text(500, 84, "开票日期：", label)
    sheet.text(552, 84, chinese_date(invoice.day), value, field="date")


def _paper_party(
    sheet: Sheet, invoice: Invoice, box: Box, role: str, label: Font, value: Font
) -> None:
    company = invoice.buyer if role == "购买方" else invoice.seller
    name = "buyer" if role == "购买方" else "seller"
    sheet.rectangle(box, width=0.7, color=BROWN)
    sheet.line(box.x + 18, box.y, box.x + 18, box.y + box.height, 0.7, BROWN)
    _vertical(sheet, Box(box.x, box.y, 18, box.height), role, label)
    step = box.height / 4
    rows = (("名称", company.name, f"{name}_name"), ("纳税人识别号", company.tax_id, f"{name}_tax_id"),
            ("地址、电话", f"{company.address} {company.phone}", f"{name}_address"),
            ("开户行及账号", f"{company.bank.name} {company.bank.account}", f"{name}_bank"))  # fmt: skip
    for n, (text, printed, field) in enumerate(rows):
        y = box.y + step * n + step / 2 + 3.4
        _label(sheet, box.x + 22, y, text, 58, label.at(9.2))
        size = value.size
        while len(printed) * size > 0 and _wide(printed, value.at(size)) > 288:
            size -= 0.25
        sheet.text(box.x + 94, y, printed, value.at(size), field=field)
    sheet.fields |= {f"{name}_address": company.address, f"{name}_bank": company.bank.name}


def _wide(text: str, font: Font) -> float:
    from bench.synth.fonts import text_width

    return text_width(font.face, text, font.size)


def _cipher(sheet: Sheet, rng: Random, box: Box, label: Font) -> None:
    """密码区: four lines of cipher."""
    sheet.line(box.x, box.y, box.x, box.y + box.height, 0.7, BROWN)
    sheet.line(box.x + 18, box.y, box.x + 18, box.y + box.height, 0.7, BROWN)
    _vertical(sheet, Box(box.x, box.y, 18, box.height), "密码区", label)
    for n in range(4):
        line = "".join(rng.choice("0123456789+-*/<>") for _ in range(27))
        sheet.text(box.x + 24, box.y + 14 + n * 13.5, line, Font("mono", 11.5, BLACK))


def _paper_goods(sheet: Sheet, invoice: Invoice, box: Box, label: Font, value: Font) -> float:
    """Heads, rows and sums; the rows have no rules between them."""
    widths = [width for _, width in _PAPER_HEADS]
    widths[-1] = box.width - sum(widths)
    x = box.x
    for n, ((text, _), width) in enumerate(zip(_PAPER_HEADS, widths, strict=True)):
        sheet.text(x + width / 2, box.y + 13, text, label.at(9.2), align="center")
        if n:
            sheet.line(x, box.y, x, box.y + box.height, 0.7, BROWN)
        x += width
    rate = f"{int(invoice.tax_rate * 100)}%"
    y, right = box.y + 29, [box.x + sum(widths[: n + 1]) - 4 for n in range(len(widths))]
    for number, row in enumerate(invoice.lines.rows, start=1):
        name, model = _goods_name(row.good.name, row.good.code)
        font = value.at(9)
        sheet.cell(Box(box.x, y - 8.1, widths[0], 13), name, font, field=f"item_{number}_name")
        if model:
            sheet.cell(Box(right[0] + 4, y - 8.1, widths[1], 13), model, font, padding=3)
        sheet.text(right[1] + 4 + widths[2] / 2, y, row.good.unit, font, align="center")
        for column, text, field in (
            (3, plain(row.quantity), "quantity"),
            (4, _money(row.price), "price"),
            (5, _money(row.net), "total"),
            (6, rate, None),
            (7, _money(row.tax), "tax"),
        ):
            sheet.text(
                right[column],
                y,
                text,
                font,
                align="right",
                field=field and f"item_{number}_{field}",
            )
        y += 13.5
    sheet.fields["tax_rate"] = rate
    y = box.y + box.height
    sheet.text(box.x + widths[0] / 2, y - 6, "合 计", label, align="center")
    sheet.text(
        right[5], y - 6, f"¥{_money(invoice.lines.net)}", value, align="right", field="total_net"
    )
    sheet.text(
        right[7], y - 6, f"¥{_money(invoice.lines.tax)}", value, align="right", field="total_tax"
    )
    return y


def _paper_foot(
    sheet: Sheet, invoice: Invoice, rng: Random, y: float, label: Font, value: Font
) -> None:
    names = [person(rng, "zh").full for _ in range(3)]
    for x, role, name, field in zip((60, 210, 350), ("收款人：", "复核：", "开票人："), names,
                                    ("payee", "reviewer", "drawer"), strict=True):  # fmt: skip
        width = sheet.text(x, y, role, label)
        sheet.text(x + width + 4, y, name, value, field=field)
    sheet.text(500, y, "销售方：（章）", label)


def digital(invoice: Invoice, rng: Random, *, value_face: str = "zh-song") -> tuple[Sheet, ...]:
    """电子发票（普通发票 or 增值税专用发票）: the form without a paper original."""
    sheet = Sheet(610.0, 396.0)
    special = rng.random() < 0.5
    label, value = Font("zh-song", 9, BROWN), Font(value_face, 9, BLACK)
    left, right = 20.0, 590.0
    qr_block(rng, sheet, 28, 22, 50, 25)
    title = f"电子发票（{'增值税专用发票' if special else '普通发票'}）"
    width = sheet.text(305, 46, title, Font("zh-song", 17, BROWN), align="center")
    for n in range(2):
        sheet.line(305 - width / 2 - 12, 55 + n * 3, 305 + width / 2 + 12, 55 + n * 3, 0.8, BROWN)
    seal = chinese_oval_stamp(
        rng, 305, 54, "全国统一发票监制章", "国家税务总局", 42, title="税务局"
    )
    sheet.operations.append(seal)
    number = f"{invoice.day.year % 100}{invoice.seller.tax_id[2:4]}2000000{invoice.number}"
    number = number + "0" * (20 - len(number))
    sheet.text(446, 40, "发票号码：", label)
    sheet.text(492, 40, number, value, field="number")
    sheet.text(446, 58, "开票日期：", label)
    sheet.text(492, 58, chinese_date(invoice.day), value, field="date")
    top = 82.0
    sheet.rectangle(Box(left, top, right - left, 268), width=0.9, color=BROWN)
    half = (right - left) / 2
    for n, (role, company, name) in enumerate(
        (("购买方信息", invoice.buyer, "buyer"), ("销售方信息", invoice.seller, "seller"))
    ):
        x = left + n * half
        sheet.rectangle(Box(x, top, half, 58), width=0.7, color=BROWN)
        sheet.line(x + 18, top, x + 18, top + 58, 0.7, BROWN)
        _vertical(sheet, Box(x, top, 18, 58), role, label.at(8.2))
        sheet.text(x + 24, top + 18, "名称：", label)
        sheet.text(x + 52, top + 18, company.name, value, field=f"{name}_name")
        sheet.text(x + 24, top + 46, "统一社会信用代码/纳税人识别号：", label.at(7.6))
        sheet.text(x + 144, top + 46, company.tax_id, value.at(8.6), field=f"{name}_tax_id")
    y = _digital_goods(sheet, invoice, Box(left, top + 58, right - left, 132), label, value)
    sheet.rectangle(Box(left, y, right - left, 24), width=0.7, color=BROWN)
    sheet.line(left + 130, y, left + 130, y + 24, 0.7, BROWN)
    sheet.text(left + 65, y + 16, "价税合计（大写）", label, align="center")
    sheet.text(
        left + 146, y + 16, chinese_capitals(invoice.lines.gross), value.at(10), field="total_words"
    )
    sheet.text(left + 396, y + 16, "（小写）", label)
    sheet.text(left + 436, y + 16, f"¥{_money(invoice.lines.gross)}", value.at(10), field="total")
    y += 24
    sheet.line(left + 18, y, left + 18, top + 268, 0.7, BROWN)
    _vertical(sheet, Box(left, y, 18, top + 268 - y), "备注", label)
    bank = f"销方开户银行：{invoice.seller.bank.name}；银行账号：{invoice.seller.bank.account}"
    sheet.text(left + 24, y + 14, bank, value.at(8))
    sheet.fields["seller_bank"] = invoice.seller.bank.name
    sheet.fields["seller_account"] = invoice.seller.bank.account
    drawer = person(rng, "zh").full
    x = 60 + sheet.text(60, 372, "开票人：", label)
    sheet.text(x + 2, 372, drawer, value, field="drawer")
    return (sheet,)


_DIGITAL_HEADS = (
    ("项目名称", 146.0), ("规格型号", 72.0), ("单位", 40.0), ("数量", 52.0), ("单价", 68.0), ("金额", 80.0),
    ("税率/征收率", 52.0), ("税额", 60.0),
)  # fmt: skip


def _digital_goods(sheet: Sheet, invoice: Invoice, box: Box, label: Font, value: Font) -> float:
    x, lefts = box.x, []
    for text, width in _DIGITAL_HEADS:
        sheet.text(x + width / 2, box.y + 13, text, label.at(8.4), align="center")
        lefts.append(x)
        x += width
    rate = f"{int(invoice.tax_rate * 100)}%"
    y = box.y + 30
    widths = [width for _, width in _DIGITAL_HEADS]
    for number, row in enumerate(invoice.lines.rows, start=1):
        name, model = _goods_name(row.good.name, row.good.code)
        sheet.cell(
            Box(lefts[0], y - 8.2, widths[0], 13), name, value.at(8.6), field=f"item_{number}_name"
        )
        if model:
            sheet.cell(Box(lefts[1], y - 8.2, widths[1], 13), model, value.at(8.6))
        sheet.text(lefts[2] + widths[2] / 2, y, row.good.unit, value.at(8.6), align="center")
        for column, text, field in (
            (3, plain(row.quantity), "quantity"),
            (4, _money(row.price), "price"),
            (5, _money(row.net), "total"),
            (6, rate, None),
            (7, _money(row.tax), "tax"),
        ):
            edge = lefts[column] + widths[column] - 4
            sheet.text(
                edge,
                y,
                text,
                value.at(8.6),
                align="right",
                field=field and f"item_{number}_{field}",
            )
        y += 14
    sheet.fields["tax_rate"] = rate
    y = box.y + box.height
    sheet.text(lefts[0] + widths[0] / 2, y - 6, "合 计", label, align="center")
    sheet.text(
        lefts[5] + widths[5] - 4,
        y - 6,
        f"¥{_money(invoice.lines.net)}",
        value,
        align="right",
        field="total_net",
    )
    sheet.text(
        lefts[7] + widths[7] - 4,
        y - 6,
        f"¥{_money(invoice.lines.tax)}",
        value,
        align="right",
        field="total_tax",
    )
    return y


FAMILIES = {"paper": paper, "digital": digital}
