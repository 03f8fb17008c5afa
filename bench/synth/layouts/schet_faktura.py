"""Счёт-фактура: the form of Government decree 1137, annex 1, as of decree 534 of 2 April 2021."""

from __future__ import annotations

from random import Random

from bench.synth.layouts.parts import Table, draw_rows, row_height, russian_stamp, signature
from bench.synth.sheet import Box, Font, Sheet
from bench.synth.values.amounts import grouped, plain
from bench.synth.values.trade import Invoice, russian_date

_WIDTH, _HEIGHT = 841.92, 595.2
_MARGIN = 26.0

# Number of the column, width in points, alignment.
_COLUMNS = (
    ("1", 18, "c"), ("1а", 142, "l"), ("1б", 28, "c"), ("2", 24, "c"), ("2а", 36, "c"), ("3", 36, "r"),
    ("4", 50, "r"), ("5", 60, "r"), ("6", 46, "c"), ("7", 32, "c"), ("8", 54, "r"), ("9", 62, "r"),
    ("10", 28, "c"), ("10а", 38, "c"), ("11", 58, "c"), ("12", 20, "c"), ("12а", 24, "c"), ("13", 0, "c"),
)  # fmt: skip

_HEADS = {
    "1": "№ п/п",
    "1а": "Наименование товара (описание выполненных работ, оказанных услуг), имущественного права",
    "1б": "Код вида товара",
    "3": "Коли\u00adчество (объём)",
    "4": "Цена (тариф) за единицу измерения",
    "5": "Стоимость товаров (работ, услуг), имущественных прав без налога — всего",
    "6": "В том числе сумма акциза",
    "7": "Налого\u00adвая ставка",
    "8": "Сумма налога, предъяв\u00adляемая покупателю",
    "9": "Стоимость товаров (работ, услуг), имущественных прав с налогом — всего",
    "11": "Регистра\u00adционный номер декларации на товары или номер партии товара",
}
_PAIRS = (
    ("2", "Единица измерения", ("код", "условное обозна\u00adчение (нац.)")),
    ("10", "Страна происхождения товара", ("цифро\u00adвой код", "краткое наиме\u00adнование")),
    ("12", "Единица просле\u00adживаемости", ("код", "обозн.")),
)


def draw(invoice: Invoice, rng: Random, *, face: str = "sans") -> tuple[Sheet, ...]:
    """The form on one A4 page, landscape."""
    sheet = Sheet(_WIDTH, _HEIGHT)
    small = Font(face, 6)
    right = _WIDTH - _MARGIN
    for n, line in enumerate(
        (
            "Приложение № 1 к постановлению Правительства Российской Федерации от 26 декабря 2011 г. № 1137",
            "(в ред. постановления Правительства Российской Федерации от 2 апреля 2021 г. № 534)",
        )
    ):
        sheet.text(right, 22 + n * 7.5, line, small, align="right")
    y = _requisites(sheet, invoice, face)
    y = _goods(sheet, invoice, y + 8, face)
    _signatures(sheet, invoice, rng, y + 14, face)
    return (sheet,)


def _requisites(sheet: Sheet, invoice: Invoice, face: str) -> float:
    """Lines (1) to (8); returns the y below them."""
    bold, text = f"{face}-bold", Font(face, 8.5)
    seller, buyer = invoice.seller, invoice.buyer
    day = russian_date(invoice.day)
    title = Font(bold, 12)
    x = sheet.flow(_MARGIN, 42, (
        ("СЧЕТ-ФАКТУРА № ", title, None), (invoice.number, title, "number"), (" от ", title, None),
        (day, title, "date"),
    ))  # fmt: skip
    sheet.text(x + 10, 42, "(1)", text)
    sheet.text(_MARGIN, 55, "ИСПРАВЛЕНИЕ № — от —", Font(face, 8.5))
    sheet.text(x + 10, 55, "(1а)", text)
    rows = (
        ("Продавец", ((seller.name, "seller_name"),), "2"),
        ("Адрес", ((seller.address, "seller_address"),), "2а"),
        (
            "ИНН/КПП продавца",
            ((seller.tax_id, "seller_inn"), ("/", None), (seller.kpp, "seller_kpp")),
            "2б",
        ),
        ("Грузоотправитель и его адрес", (("он же", None),), "3"),
        ("Грузополучатель и его адрес", ((f"{buyer.name}, {buyer.address}", "consignee"),), "4"),
        ("К платежно-расчетному документу", (("№ — от —", None),), "5"),
        (
            "Документ об отгрузке № п/п",
            ((f"1–{len(invoice.lines.rows)} № {invoice.number} от {day}", None),),
            "5а",
        ),
        ("Покупатель", ((buyer.name, "buyer_name"),), "6"),
        ("Адрес", ((buyer.address, "buyer_address"),), "6а"),
        (
            "ИНН/КПП покупателя",
            ((buyer.tax_id, "buyer_inn"), ("/", None), (buyer.kpp, "buyer_kpp")),
            "6б",
        ),
        ("Валюта: наименование, код", (("Российский рубль, 643", "currency"),), "7"),
        (
            "Идентификатор государственного контракта, договора (соглашения) (при наличии)",
            (("—", None),),
            "8",
        ),
    )
    y, end = 69.0, _WIDTH - _MARGIN - 26
    for label, values, number in rows:
        x = (
            _MARGIN
            + sheet.text(_MARGIN, y, label + (":" if "Валюта" not in label else ""), text)
            + 6
        )
        start = x
        for value, name in values:
            x += sheet.text(x, y, value, text, field=name)
        sheet.line(start - 2, y + 2, end, y + 2, 0.4)
        sheet.text(end + 6, y, f"({number})", text)
        y += 12.6
    return y - 6


def _widths() -> list[float]:
    widths = [float(width) for _, width, _ in _COLUMNS]
    widths[-1] = _WIDTH - 2 * _MARGIN - sum(widths)
    return widths


def _head(sheet: Sheet, y: float, face: str) -> float:
    """The two-level head and the row of column numbers."""
    names, widths = [name for name, _, _ in _COLUMNS], _widths()
    lefts = [_MARGIN + sum(widths[:n]) for n in range(len(widths))]
    font, upper, lower = Font(face, 6), 25.0, 33.0
    for name, text in _HEADS.items():
        n = names.index(name)
        box = Box(lefts[n], y, widths[n], upper + lower)
        sheet.rectangle(box)
        sheet.cell(box, text, font, align="center", padding=1.5)
    for name, text, parts in _PAIRS:
        n = names.index(name)
        box = Box(lefts[n], y, widths[n] + widths[n + 1], upper)
        sheet.rectangle(box)
        sheet.cell(box, text, font, align="center", padding=1)
        for offset, part in enumerate(parts):
            box = Box(lefts[n + offset], y + upper, widths[n + offset], lower)
            sheet.rectangle(box)
            sheet.cell(box, part, font, align="center", padding=1)
    n = names.index("13")
    box = Box(lefts[n], y, widths[n], upper + lower)
    sheet.rectangle(box)
    sheet.cell(box, "Кол-во, подлеж. просле\u00adжива\u00adемости", font, align="center", padding=1)
    table = Table(tuple(widths), "c" * len(widths), Font(face, 6.5), padding=1, row_height=10)
    return draw_rows(sheet, _MARGIN, y + upper + lower, table, [names])


def _goods(sheet: Sheet, invoice: Invoice, y: float, face: str) -> float:
    """The table of goods with its totals."""
    widths = _widths()
    y = _head(sheet, y, face)
    rate = f"{int(invoice.tax_rate * 100)}%"

    def money(value: object) -> str:
        return grouped(value, group=" ", point=",")  # type: ignore[arg-type]

    rows = [
        (str(n), row.good.name, "—", row.good.code, row.good.unit, plain(row.quantity, ","), money(row.price),
         money(row.net), "без акциза", rate, money(row.tax), money(row.gross), "—", "—", "—", "—", "—", "—")
        for n, row in enumerate(invoice.lines.rows, start=1)
    ]  # fmt: skip
    fields = {
        (0, 1): "item_1_name",
        (0, 5): "item_1_quantity",
        (0, 6): "item_1_price",
        (0, 11): "item_1_total",
        (0, 9): "tax_rate",
    }
    for n in range(len(rows)):
        fields.setdefault((n, 1), f"item_{n + 1}_name")
        fields.setdefault((n, 11), f"item_{n + 1}_total")
    aligns = "".join(align for _, _, align in _COLUMNS)
    table = Table(tuple(widths), aligns, Font(face, 7.2), padding=2, row_height=14, fields=fields)
    y = draw_rows(sheet, _MARGIN, y, table, rows)
    totals = (
        ("Всего к оплате (9)", sum(widths[:7]), "left", None),
        (money(invoice.lines.net), widths[7], "right", "total_net"),
        ("X", widths[8] + widths[9], "center", None),
        (money(invoice.lines.tax), widths[10], "right", "total_tax"),
        (money(invoice.lines.gross), widths[11], "right", "total"),
    )
    x, height = _MARGIN, row_height(table, ("",) * len(widths)) + 1
    for text, width, align, name in totals:
        box = Box(x, y, width, height)
        sheet.rectangle(box)
        font = Font(f"{face}-bold", 7.2)
        sheet.cell(box, text, font, align=align, padding=2, field=name)
        x += width
    return y + height


def _signatures(sheet: Sheet, invoice: Invoice, rng: Random, y: float, face: str) -> None:
    """Who signs, with pen and seal."""
    text, note = Font(face, 7.5), Font(face, 5.5)
    seller = invoice.seller
    half = _WIDTH / 2 + 4
    people = (
        (
            _MARGIN,
            ("Руководитель организации", "или иное уполномоченное лицо"),
            seller.director.short,
            "director",
        ),
        (
            half,
            ("Главный бухгалтер", "или иное уполномоченное лицо"),
            seller.accountant.short,
            "accountant",
        ),
    )
    for x, label, name, field in people:
        sheet.text(x, y, label[0], text)
        sheet.text(x, y + 9, label[1], text)
        _line_with_note(sheet, x + 122, y + 9, 88, "(подпись)", note)
        _line_with_note(sheet, x + 222, y + 9, 140, "(ф.и.о.)", note)
        sheet.text(x + 292, y + 7, name, text, align="center", field=field)
        sheet.operations.append(signature(rng, x + 132, y + 7, 62, 15))
    y += 34
    sheet.text(_MARGIN, y, "Индивидуальный предприниматель", text)
    sheet.text(_MARGIN, y + 9, "или иное уполномоченное лицо", text)
    _line_with_note(sheet, _MARGIN + 122, y + 9, 88, "(подпись)", note)
    _line_with_note(sheet, _MARGIN + 222, y + 9, 140, "(ф.и.о.)", note)
    _line_with_note(
        sheet,
        half,
        y + 9,
        _WIDTH - _MARGIN - half,
        "(реквизиты свидетельства о государственной регистрации индивидуального предпринимателя)",
        note,
    )
    stamp_y = min(y + 30, _HEIGHT - 60)
    sheet.operations.append(
        russian_stamp(
            rng,
            _MARGIN + 300 + rng.uniform(0, 60),
            stamp_y,
            seller.name,
            seller.city,
            seller.ogrn,
            50,
        )
    )


def _line_with_note(sheet: Sheet, x: float, y: float, width: float, note: str, font: Font) -> None:
    sheet.line(x, y + 1.5, x + width, y + 1.5, 0.4)
    sheet.text(x + width / 2, y + 8, note, font, align="center")
