"""Receipts on a roll: a Russian кассовый чек (54-ФЗ), shop and café receipts in English and Chinese."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import NamedTuple

from bench.synth.fonts import bold, text_width
from bench.synth.layouts.codes import bar_code, qr_block
from bench.synth.sheet import Box, Color, Font, Sheet, wrap
from bench.synth.values.amounts import english_money, plain_money, quantity
from bench.synth.values.receipt import Receipt

_THERMAL: Color = (38, 38, 42)


class ReceiptStyle(NamedTuple):
    """What varies between the receipts of a language."""

    face: str
    width: float
    """Of the paper, points."""
    size: float


def draw_style(rng: Random, language: str) -> ReceiptStyle:
    """Draw a style at random: 80 mm or 58 mm paper, a till's faces."""
    wide = rng.random() < 0.6
    if language == "zh":
        return ReceiptStyle("zh-sans", 215.0 if wide else 175.0, 9.0 if wide else 8.0)
    face = rng.choice(("till", "mono", "till", "grotesque"))
    size = {"till": 8.8, "mono": 8.6, "grotesque": 9.5}[face]
    return ReceiptStyle(face, 218.0 if wide else 178.0, size if wide else size * 0.84)


class _Roll:
    """Writes from the top down; the sheet is cut to length at the end.

    Each method takes the values that stand on its line as keyword arguments: field → value.
    """

    def __init__(self, style: ReceiptStyle) -> None:
        self.sheet = Sheet(style.width, 2000)
        self.font = Font(style.face, style.size, _THERMAL)
        self.left, self.right = 12.0, style.width - 12
        self.y = 18.0

    def step(self, font: Font) -> float:
        """Move to the next line and return its baseline."""
        self.y += font.size * 1.34
        return self.y

    def _sized(self, large: float, strong: bool) -> Font:
        font = self.font._replace(face=bold(self.font.face)) if strong else self.font
        return font.at(self.font.size * large)

    def centre(self, text: str, *, large: float = 1.0, strong: bool = False, **fields: str) -> None:
        """Set a centred text, wrapped where it is long."""
        font = self._sized(large, strong)
        for line in wrap(text, font, self.right - self.left):
            self.sheet.text(self.sheet.width / 2, self.step(font), line, font, align="center")
        self.sheet.fields |= fields

    def write(self, text: str, **fields: str) -> None:
        """Set a text at the left, wrapped where it is long."""
        for line in wrap(text, self.font, self.right - self.left):
            self.sheet.text(self.left, self.step(self.font), line, self.font)
        self.sheet.fields |= fields

    def pair(
        self, label: str, value: str, *, large: float = 1.0, strong: bool = False, **fields: str
    ) -> None:
        """Set a label at the left, wrapped where it is long; its value at the right of its last line."""
        font = self._sized(large, strong)
        room = self.right - self.left - text_width(font.face, value, font.size) - 8
        for line in wrap(label, font, room):
            self.sheet.text(self.left, self.step(font), line, font)
        self.sheet.text(self.right, self.y, value, font, align="right")
        self.sheet.fields |= fields

    def rule(self, mark: str = "dash") -> None:
        """Draw a rule: ``dash``, ``solid``, or a row of the character ``mark``."""
        self.y += self.font.size * 0.62
        if mark == "dash":
            self.sheet.dashes(self.left, self.right, self.y, on=3, off=2, width=0.7)
        elif mark == "solid":
            self.sheet.line(self.left, self.y, self.right, self.y, 0.7, _THERMAL)
        else:
            width = text_width(self.font.face, mark, self.font.size)
            count = int((self.right - self.left) / width)
            self.y += self.font.size * 0.7
            self.sheet.text(self.left, self.y, mark * count, self.font)
        self.y += self.font.size * 0.25

    def gap(self, lines: float = 0.5) -> None:
        """Leave some lines blank."""
        self.y += self.font.size * lines

    def qr(self, rng: Random, side: float, modules: int) -> None:
        """Draw a code in the middle."""
        qr_block(rng, self.sheet, (self.sheet.width - side) / 2, self.y, side, modules)
        self.y += side

    def cut(self) -> tuple[Sheet, ...]:
        """Return the sheet, as long as what stands on it."""
        self.sheet.height = self.y + 26
        return (self.sheet,)


def russian(receipt: Receipt, rng: Random, style: ReceiptStyle) -> tuple[Sheet, ...]:
    """Draw a кассовый чек with its fiscal numbers and code."""
    roll, money = _Roll(style), plain_money
    roll.centre(receipt.shop, large=1.25, strong=True, shop=receipt.shop)
    roll.centre(receipt.company, company=receipt.company)
    for line in receipt.address:
        roll.centre(line)
    roll.pair("ИНН", receipt.tax_id, tax_id=receipt.tax_id)
    roll.pair("КАССОВЫЙ ЧЕК", "ПРИХОД", strong=True)
    shift = f"Смена № {rng.randrange(20, 900)}"
    roll.pair(shift, f"Чек № {receipt.number}", number=receipt.number)
    roll.pair("Кассир", receipt.cashier, cashier=receipt.cashier)
    day, time = f"{receipt.moment:%d.%m.%Y}", f"{receipt.moment:%H:%M}"
    roll.pair("Дата", f"{day} {time}", date=day, time=time)
    roll.rule()
    for number, item in enumerate(receipt.items, start=1):
        roll.write(f"{number}. {item.name}")
        total = money(item.total)
        roll.pair(f"   {quantity(item.quantity)} x {money(item.price)}", f"={total}")
        roll.sheet.fields |= {f"item_{number}_name": item.name, f"item_{number}_total": total}
    roll.rule()
    total = money(receipt.total)
    roll.pair("ИТОГ", f"={total}", large=1.45, strong=True, total=total)
    if receipt.card is not None:
        roll.pair("БЕЗНАЛИЧНЫМИ", f"={total}")
        roll.pair("Карта", f"**** {receipt.card}", card=receipt.card)
    else:
        cash, change = money(receipt.cash), money(receipt.change)
        roll.pair("НАЛИЧНЫМИ", f"={cash}", cash=cash)
        roll.pair("СДАЧА", f"={change}", change=change)
    tax = money(receipt.tax)
    roll.pair("СУММА НДС 10%", f"={tax}", tax=tax)
    roll.rule()
    roll.pair("СНО", "ОСН")
    roll.pair("Сайт ФНС", "www.nalog.gov.ru")
    for label, digits in (("ЗН ККТ", 14), ("РН ККТ", 16), ("ФН №", 16)):
        roll.pair(label, str(rng.randrange(10 ** (digits - 1), 10**digits)))
    document, sign = str(rng.randrange(1000, 99999)), str(rng.randrange(10**8, 10**10))
    roll.pair("ФД №", document, fiscal_document=document)
    roll.pair("ФП", sign, fiscal_sign=sign)
    roll.gap(1)
    roll.qr(rng, min(96.0, style.width * 0.45), 29)
    roll.y += 4
    roll.centre("СПАСИБО ЗА ПОКУПКУ!")
    return roll.cut()


def english(receipt: Receipt, rng: Random, style: ReceiptStyle) -> tuple[Sheet, ...]:
    """Draw a British shop or café receipt."""
    roll, diner = _Roll(style), receipt.diner
    mark = rng.choice(("dash", "solid", "*", "="))
    if style.face == "grotesque":
        mark = "dash"
    roll.centre(receipt.shop, large=1.5, strong=True, shop=receipt.shop)
    for line in receipt.address:
        roll.centre(line)
    roll.centre(f"Tel {receipt.phone}", phone=receipt.phone)
    roll.centre(f"VAT No. {receipt.tax_id}", tax_id=receipt.tax_id)
    roll.rule(mark)
    day, time = f"{receipt.moment:%d/%m/%Y}", f"{receipt.moment:%H:%M}"
    roll.pair(day, time, date=day, time=time)
    place = f"Table {receipt.table}" if diner else f"Till {receipt.register}"
    roll.pair(f"Receipt {receipt.number}", place, number=receipt.number)
    served = receipt.cashier.split()[-1] if diner else receipt.cashier
    roll.write(f"{'Your server' if diner else 'Served by'}: {served}", cashier=served)
    roll.rule(mark)
    for number, item in enumerate(receipt.items, start=1):
        name = f"{quantity(item.quantity)} x {item.name}" if item.quantity != 1 else item.name
        total = english_money(item.total)
        roll.pair(name, total)
        roll.sheet.fields |= {f"item_{number}_name": item.name, f"item_{number}_total": total}
    roll.rule(mark)
    if receipt.service:
        subtotal, service = english_money(receipt.subtotal), english_money(receipt.service)
        roll.pair("Subtotal", subtotal, subtotal=subtotal)
        roll.pair("Service 12.5%", service, service=service)
    total = f"£{receipt.total}"
    roll.pair("TOTAL", total, large=1.35, strong=True, total=total)
    if receipt.card is not None:
        roll.pair("Card payment", total)
        roll.pair("Visa debit", f"**** **** **** {receipt.card}", card=receipt.card)
        code = f"{rng.randrange(10**5, 10**6)}"
        roll.pair("Auth code", code, auth_code=code)
    else:
        cash, change = f"£{receipt.cash:.2f}", f"£{receipt.change}"
        roll.pair("Cash", cash, cash=cash)
        roll.pair("Change", change, change=change)
    roll.gap()
    roll.pair("VAT 20% included", f"£{receipt.tax}", tax=f"£{receipt.tax}")
    roll.gap()
    roll.centre("Thank you for your visit" if diner else "Thank you for shopping with us")
    roll.centre("Please keep this receipt")
    roll.gap(1)
    if rng.random() < 0.5:
        bar_code(rng, roll.sheet, Box(30, roll.y, style.width - 60, 26))
        roll.y += 26
        roll.centre(f"{rng.randrange(10**11, 10**12)}")
    else:
        roll.qr(rng, style.width * 0.36, 25)
    return roll.cut()


def chinese(receipt: Receipt, rng: Random, style: ReceiptStyle) -> tuple[Sheet, ...]:
    """Draw a 超市小票 or 结账单."""
    roll, diner = _Roll(style), receipt.diner
    roll.centre(receipt.shop, large=1.55, strong=True, shop=receipt.shop)
    roll.centre("结账单" if diner else "购物小票", large=1.1)
    number = f"{receipt.moment:%Y%m%d}{receipt.number}"
    roll.write(f"单号：{number}", number=number)
    if diner:
        roll.pair(f"桌号：{receipt.table}", f"人数：{rng.randrange(1, 9)}")
    else:
        cashier = receipt.cashier
        roll.pair(f"收银机：{receipt.register}", f"收银员：{cashier}", cashier=cashier)
    day, time = f"{receipt.moment:%Y-%m-%d}", f"{receipt.moment:%H:%M:%S}"
    roll.write(f"时间：{day} {time}", date=day, time=time)
    roll.rule()
    _chinese_items(roll, receipt)
    roll.rule()
    count = quantity(sum((item.quantity for item in receipt.items), Decimal(0)))
    roll.pair("数量合计", count, item_count=count)
    total = f"¥{receipt.total}"
    label = "应付金额" if diner else "合计金额"
    roll.pair(label, total, large=1.25, strong=True, total=total)
    if receipt.card is not None:
        method = rng.choice(("微信支付", "支付宝", "银联卡"))
        roll.pair(method, total, method=method)
    else:
        cash, change = f"¥{receipt.cash:.2f}", f"¥{receipt.change}"
        roll.pair("现金", cash, method="现金", cash=cash)
        roll.pair("找零", change, change=change)
    roll.rule()
    roll.write(f"地址：{receipt.address[0]}", address=receipt.address[0])
    roll.write(f"电话：{receipt.phone}", phone=receipt.phone)
    roll.gap()
    roll.y += 4
    roll.qr(rng, style.width * 0.36, 25)
    roll.y += 2
    roll.centre("扫码开具电子发票")
    roll.centre("谢谢惠顾，欢迎再次光临！")
    return roll.cut()


def _chinese_items(roll: _Roll, receipt: Receipt) -> None:
    """Draw a head and, a line each: name, quantity, price, amount."""
    sheet, font, span = roll.sheet, roll.font, roll.right - roll.left
    stops = (roll.left + span * 0.58, roll.left + span * 0.79, roll.right)
    y = roll.step(font)
    sheet.text(roll.left, y, "品名", font)
    for stop, head in zip(stops, ("数量", "单价", "金额"), strict=True):
        sheet.text(stop, y, head, font, align="right")
    roll.rule()
    for number, item in enumerate(receipt.items, start=1):
        for line in wrap(item.name, font, span * 0.46):
            y = roll.step(font)
            sheet.text(roll.left, y, line, font)
        sheet.fields[f"item_{number}_name"] = item.name
        cells = (
            (quantity(item.quantity), "quantity"),
            (f"{item.price}", "price"),
            (f"{item.total}", "total"),
        )
        for stop, (text, field) in zip(stops, cells, strict=True):
            sheet.text(stop, y, text, font, align="right", field=f"item_{number}_{field}")


LAYOUTS: dict[str, Callable[[Receipt, Random, ReceiptStyle], tuple[Sheet, ...]]] = {
    "ru": russian,
    "en": english,
    "zh": chinese,
}
"""Language → how its receipts are drawn."""
