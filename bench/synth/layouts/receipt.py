"""Receipts on a roll: a Russian кассовый чек (54-ФЗ), shop and café receipts in English and Chinese."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import NamedTuple

from bench.synth.fonts import bold, text_width
from bench.synth.layouts.parts import bar_code, qr_block
from bench.synth.sheet import Box, Color, Font, Sheet, wrap
from bench.synth.values.amounts import grouped, plain
from bench.synth.values.till import Receipt

_THERMAL: Color = (38, 38, 42)


class Style(NamedTuple):
    """What varies inside a family."""

    face: str
    width: float
    """Of the paper, points."""
    size: float


def style(rng: Random, language: str) -> Style:
    """A style drawn at random: 80 mm or 58 mm paper, a till's faces."""
    wide = rng.random() < 0.6
    if language == "zh":
        return Style("zh-sans", 215.0 if wide else 175.0, 9.0 if wide else 8.0)
    face = rng.choice(("till", "mono", "till", "grotesque"))
    size = {"till": 8.8, "mono": 8.6, "grotesque": 9.5}[face]
    return Style(face, 218.0 if wide else 178.0, size if wide else size * 0.84)


class _Roll:
    """Writes from the top down; the sheet is cut to length at the end."""

    def __init__(self, st: Style) -> None:
        self.sheet = Sheet(st.width, 2000)
        self.font = Font(st.face, st.size, _THERMAL)
        self.strong = Font(bold(st.face), st.size, _THERMAL)
        self.left, self.right = 12.0, st.width - 12
        self.y = 18.0

    def _step(self, font: Font) -> float:
        self.y += font.size * 1.34
        return self.y

    def centre(
        self, text: str, *, large: float = 1.0, strong: bool = False, field: str | None = None
    ) -> None:
        font = (self.strong if strong else self.font).at(self.font.size * large)
        for line in wrap(text, font, self.right - self.left):
            self.sheet.text(
                self.sheet.width / 2, self._step(font), line, font, align="center", field=field
            )
        if field is not None:
            self.sheet.fields[field] = text

    def left_text(self, text: str, field: str | None = None) -> None:
        for line in wrap(text, self.font, self.right - self.left):
            self.sheet.text(self.left, self._step(self.font), line, self.font, field=field)
        if field is not None:
            self.sheet.fields[field] = text

    def pair(
        self,
        label: str,
        value: str,
        field: str | None = None,
        *,
        large: float = 1.0,
        strong: bool = False,
        label_field: str | None = None,
    ) -> None:
        """A label on the left, wrapped where it is long; its value on the right of its last line."""
        font = (self.strong if strong else self.font).at(self.font.size * large)
        room = self.right - self.left - text_width(font.face, value, font.size) - 8
        lines = wrap(label, font, room)
        for number, line in enumerate(lines):
            self._step(font)
            self.sheet.text(self.left, self.y, line, font, field=label_field)
            if number == len(lines) - 1:
                self.sheet.text(self.right, self.y, value, font, align="right", field=field)
        if label_field is not None:
            self.sheet.fields[label_field] = label

    def rule(self, style: str = "dash") -> None:
        self.y += self.font.size * 0.62
        if style == "dash":
            self.sheet.dashes(self.left, self.right, self.y, on=3, off=2, width=0.7)
        elif style == "solid":
            self.sheet.line(self.left, self.y, self.right, self.y, 0.7, _THERMAL)
        else:
            width = text_width(self.font.face, style, self.font.size)
            count = int((self.right - self.left) / width)
            self.y += self.font.size * 0.7
            self.sheet.text(self.left, self.y, style * count, self.font)
        self.y += self.font.size * 0.25

    def gap(self, lines: float = 0.5) -> None:
        self.y += self.font.size * lines

    def cut(self) -> tuple[Sheet, ...]:
        self.sheet.height = self.y + 26
        return (self.sheet,)


def _ru(value: Decimal) -> str:
    return grouped(value, group="", point=".")


def russian(receipt: Receipt, rng: Random, st: Style) -> tuple[Sheet, ...]:
    """Кассовый чек with its fiscal numbers and code."""
    roll = _Roll(st)
    roll.centre(receipt.shop, large=1.25, strong=True, field="shop")
    roll.centre(receipt.company, field="company")
    for line in receipt.address:
        roll.centre(line)
    roll.pair("ИНН", receipt.tax_id, "tax_id")
    roll.pair("КАССОВЫЙ ЧЕК", "ПРИХОД", strong=True)
    roll.pair(f"Смена № {rng.randrange(20, 900)}", f"Чек № {receipt.number}")
    roll.sheet.fields["number"] = receipt.number
    roll.pair("Кассир", receipt.cashier, "cashier")
    moment = f"{receipt.moment:%d.%m.%Y %H:%M}"
    roll.pair("Дата", moment)
    roll.sheet.fields |= {"date": f"{receipt.moment:%d.%m.%Y}", "time": f"{receipt.moment:%H:%M}"}
    roll.rule()
    for n, item in enumerate(receipt.items, start=1):
        roll.left_text(f"{n}. {item.name}")
        roll.sheet.fields[f"item_{n}_name"] = item.name
        roll.pair(f"   {plain(item.quantity)} x {_ru(item.price)}", f"={_ru(item.total)}")
        roll.sheet.fields[f"item_{n}_total"] = _ru(item.total)
    roll.rule()
    roll.pair("ИТОГ", f"={_ru(receipt.total)}", large=1.45, strong=True)
    roll.sheet.fields["total"] = _ru(receipt.total)
    if receipt.card is not None:
        roll.pair("БЕЗНАЛИЧНЫМИ", f"={_ru(receipt.total)}")
        roll.pair("Карта", f"**** {receipt.card}")
        roll.sheet.fields["card"] = receipt.card
    else:
        roll.pair("НАЛИЧНЫМИ", f"={_ru(receipt.cash)}")
        roll.pair("СДАЧА", f"={_ru(receipt.cash - receipt.total)}")
        roll.sheet.fields |= {
            "cash": _ru(receipt.cash),
            "change": _ru(receipt.cash - receipt.total),
        }
    roll.pair("СУММА НДС 10%", f"={_ru(receipt.tax)}")
    roll.sheet.fields["tax"] = _ru(receipt.tax)
    roll.rule()
    roll.pair("СНО", "ОСН")
    roll.pair("Сайт ФНС", "www.nalog.gov.ru")
    for label, digits in (("ЗН ККТ", 14), ("РН ККТ", 16), ("ФН №", 16)):
        roll.pair(label, str(rng.randrange(10 ** (digits - 1), 10**digits)))
    document, sign = str(rng.randrange(1000, 99999)), str(rng.randrange(10**8, 10**10))
    roll.pair("ФД №", document, "fiscal_document")
    roll.pair("ФП", sign, "fiscal_sign")
    roll.gap(1)
    side = min(96.0, st.width * 0.45)
    qr_block(rng, roll.sheet, (st.width - side) / 2, roll.y, side, 29)
    roll.y += side + 4
    roll.centre("СПАСИБО ЗА ПОКУПКУ!")
    return roll.cut()


def english(receipt: Receipt, rng: Random, st: Style) -> tuple[Sheet, ...]:
    """A British shop or café receipt."""
    roll = _Roll(st)
    mark = rng.choice(("dash", "solid", "*", "="))
    mark = mark if st.face != "grotesque" else "dash"
    roll.centre(receipt.shop, large=1.5, strong=True, field="shop")
    for line in receipt.address:
        roll.centre(line)
    roll.centre(f"Tel {receipt.phone}")
    roll.sheet.fields["phone"] = receipt.phone
    roll.centre(f"VAT No. {receipt.tax_id}")
    roll.sheet.fields["tax_id"] = receipt.tax_id
    roll.rule(mark)
    roll.pair(f"{receipt.moment:%d/%m/%Y}", f"{receipt.moment:%H:%M}")
    roll.sheet.fields |= {"date": f"{receipt.moment:%d/%m/%Y}", "time": f"{receipt.moment:%H:%M}"}
    served = receipt.cashier.split()[-1] if receipt.diner else receipt.cashier
    roll.pair(
        f"Receipt {receipt.number}",
        f"Table {receipt.table}" if receipt.diner else f"Till {receipt.register}",
    )
    roll.sheet.fields["number"] = receipt.number
    roll.left_text(f"{'Your server' if receipt.diner else 'Served by'}: {served}")
    roll.sheet.fields["cashier"] = served
    roll.rule(mark)
    for n, item in enumerate(receipt.items, start=1):
        name = f"{plain(item.quantity)} x {item.name}" if item.quantity != 1 else item.name
        roll.pair(name, grouped(item.total, group=",", point="."), f"item_{n}_total")
        roll.sheet.fields[f"item_{n}_name"] = item.name
    roll.rule(mark)
    if receipt.service:
        roll.pair("Subtotal", grouped(receipt.subtotal, group=",", point="."), "subtotal")
        roll.pair("Service 12.5%", grouped(receipt.service, group=",", point="."), "service")
    roll.pair("TOTAL", f"£{receipt.total}", "total", large=1.35, strong=True)
    if receipt.card is not None:
        roll.pair("Card payment", f"£{receipt.total}")
        roll.pair("Visa debit", f"**** **** **** {receipt.card}")
        roll.sheet.fields["card"] = receipt.card
        roll.pair("Auth code", f"{rng.randrange(10**5, 10**6)}", "auth_code")
    else:
        roll.pair("Cash", f"£{receipt.cash:.2f}", "cash")
        roll.pair("Change", f"£{receipt.cash - receipt.total}", "change")
    roll.gap()
    roll.pair("VAT 20% included", f"£{receipt.tax}", "tax")
    roll.gap()
    roll.centre("Thank you for your visit" if receipt.diner else "Thank you for shopping with us")
    roll.centre("Please keep this receipt")
    roll.gap(1)
    if rng.random() < 0.5:
        bar_code(rng, roll.sheet, Box(30, roll.y, st.width - 60, 26))
        roll.y += 26
        roll.centre(f"{rng.randrange(10**11, 10**12)}")
    else:
        side = st.width * 0.36
        qr_block(rng, roll.sheet, (st.width - side) / 2, roll.y, side, 25)
        roll.y += side
    return roll.cut()


def chinese(receipt: Receipt, rng: Random, st: Style) -> tuple[Sheet, ...]:
    """超市小票 or 结账单."""
    roll = _Roll(st)
    roll.centre(receipt.shop, large=1.55, strong=True, field="shop")
    roll.centre("结账单" if receipt.diner else "购物小票", large=1.1)
    roll.left_text(f"单号：{receipt.moment:%Y%m%d}{receipt.number}")
    roll.sheet.fields["number"] = f"{receipt.moment:%Y%m%d}{receipt.number}"
    if receipt.diner:
        roll.pair(f"桌号：{receipt.table}", f"人数：{rng.randrange(1, 9)}")
    else:
        roll.pair(f"收银机：{receipt.register}", f"收银员：{receipt.cashier}")
        roll.sheet.fields["cashier"] = receipt.cashier
    roll.left_text(f"时间：{receipt.moment:%Y-%m-%d %H:%M:%S}")
    roll.sheet.fields |= {
        "date": f"{receipt.moment:%Y-%m-%d}",
        "time": f"{receipt.moment:%H:%M:%S}",
    }
    roll.rule()
    _chinese_items(roll, receipt)
    roll.rule()
    count = sum((item.quantity for item in receipt.items), Decimal(0))
    roll.pair("数量合计", plain(count), "item_count")
    roll.pair(
        "应付金额" if receipt.diner else "合计金额",
        f"¥{receipt.total}",
        "total",
        large=1.25,
        strong=True,
    )
    if receipt.card is not None:
        method = rng.choice(("微信支付", "支付宝", "银联卡"))
        roll.pair(method, f"¥{receipt.total}", label_field="method")
    else:
        roll.pair("现金", f"¥{receipt.cash:.2f}", "cash", label_field="method")
        roll.pair("找零", f"¥{receipt.cash - receipt.total}", "change")
    roll.rule()
    roll.left_text(f"地址：{receipt.address[0]}")
    roll.sheet.fields["address"] = receipt.address[0]
    roll.left_text(f"电话：{receipt.phone}")
    roll.sheet.fields["phone"] = receipt.phone
    roll.gap()
    side = st.width * 0.36
    qr_block(rng, roll.sheet, (st.width - side) / 2, roll.y + 4, side, 25)
    roll.y += side + 6
    roll.centre("扫码开具电子发票")
    roll.centre("谢谢惠顾，欢迎再次光临！")
    return roll.cut()


def _chinese_items(roll: _Roll, receipt: Receipt) -> None:
    """A head and, a line each: name, quantity, price, amount."""
    span = roll.right - roll.left
    stops = (roll.left, roll.left + span * 0.58, roll.left + span * 0.79, roll.right)
    y = roll._step(roll.font)
    for n, text in enumerate(("品名", "数量", "单价", "金额")):
        roll.sheet.text(stops[n], y, text, roll.font, align="right" if n else "left")
    roll.rule()
    for number, item in enumerate(receipt.items, start=1):
        lines = wrap(item.name, roll.font, span * 0.46)
        for line in lines:
            y = roll._step(roll.font)
            roll.sheet.text(stops[0], y, line, roll.font)
        roll.sheet.fields[f"item_{number}_name"] = item.name
        roll.sheet.text(
            stops[1],
            y,
            plain(item.quantity),
            roll.font,
            align="right",
            field=f"item_{number}_quantity",
        )
        roll.sheet.text(
            stops[2], y, f"{item.price}", roll.font, align="right", field=f"item_{number}_price"
        )
        roll.sheet.text(
            stops[3], y, f"{item.total}", roll.font, align="right", field=f"item_{number}_total"
        )


FAMILIES: dict[str, Callable[[Receipt, Random, Style], tuple[Sheet, ...]]] = {
    "ru": russian,
    "en": english,
    "zh": chinese,
}
