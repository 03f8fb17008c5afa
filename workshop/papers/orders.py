"""Russian payment orders (form 0401060): captions stand beneath their blocks."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from bench.synth.sheet import Box, Sheet
from bench.synth.values.identifiers import inn_company, kpp, settlement_account
from workshop.papers.paper import Paper, fonts

FITTING = (0, 1)
JUDGING = (2, 3)

_NAMES = [
    "Северный ветер",
    "Лесной двор",
    "Вектор",
    "ТехноСтрой",
    "Альфа Трейд",
    "Дом книги",
    "Рубин",
    "Заря",
    "Логистик Центр",
    "Медный всадник",
]
_FORMS = ["ООО", "АО", "ПАО", "ЗАО", "Общество с ограниченной ответственностью"]
_PEOPLE = ["ИП Кузнецова Мария Петровна", "ИП Орлов Сергей Иванович"]
_BANKS = [
    'ПАО "СИНИЙ БАНК" Г. КАЗАНЬ',
    'АО "ВЫМЫСЕЛБАНК" Г. МОСКВА',
    "ФИЛИАЛ № 7 БАНКА ПРИМЕР (ПАО) Г. САМАРА",
    'ООО КБ "ОРИОН" Г. ТУЛА',
]
_PURPOSES = [
    "Оплата по счету № {n} от {d} за пиломатериалы. Без НДС.",
    "Оплата по договору № {n} от {d} за услуги связи. В том числе НДС 20%.",
    "Предоплата за канцтовары по сч. {n} от {d}, НДС не облагается",
    "Аренда помещения за март по договору {n} от {d}. Сумма без налога (НДС).",
]
_INSPECTORATES = ["7725", "7713", "7841", "6671", "5406", "1655", "6315"]


def _company(rng: Random) -> str:
    if rng.random() < 0.12:
        return rng.choice(_PEOPLE)
    name = rng.choice(_NAMES)
    opening, closing = rng.choice([('"', '"'), ("«", "»")])
    return f"{rng.choice(_FORMS)} {opening}{name}{closing}"


def _bank(rng: Random) -> tuple[str, str, str]:
    bic = f"04{rng.randint(10, 99)}{rng.randint(10, 99)}{rng.randint(100, 999)}"
    return rng.choice(_BANKS), bic, f"30101810{rng.randint(10**8, 10**9 - 1)}{bic[-3:]}"


def make(rng: Random, layout: int) -> Paper:
    """A payment order; layouts differ in the place of columns, of captions and of the fields on top."""
    sheet = Sheet(595, 560)
    paper = Paper(sheet)
    plain, strong = fonts(rng.choice(["sans", "serif", "office"]), rng.uniform(8.5, 10.5))
    small = plain.at(plain.size - (1.2 if layout in {1, 3} else 0))
    left, middle, right = 40.0, rng.choice([310.0, 335.0, 350.0]), 560.0
    value_x = middle + rng.uniform(52, 66)
    payer, payee = _company(rng), _company(rng)
    inns = [inn_company(rng, rng.choice(_INSPECTORATES)) for _ in range(2)]
    kpps = [kpp(inn[:4]) for inn in inns]
    banks = [_bank(rng), _bank(rng)]
    accounts = [settlement_account(rng, bank[1]) for bank in banks]
    day = date(2018, 1, 1) + timedelta(days=rng.randrange(2000))
    number = str(rng.randint(1, 2999))
    amount = _amount(rng, layout)
    purpose = rng.choice(_PURPOSES).format(
        n=rng.randint(1, 300), d=(day - timedelta(days=4)).strftime("%d.%m.%Y")
    )

    y = 40.0
    if layout in {1, 2}:
        for x, caption in ((left, "Поступ. в банк плат."), (170, "Списано со сч. плат.")):
            sheet.text(x, y, day.strftime("%d.%m.%Y"), plain)
            sheet.line(x - 4, y + 3, x + 100, y + 3)
            sheet.text(x, y + 12, caption, small)
        sheet.text(500, y, "0401060", plain)
        y += 32
    title = (
        rng.choice(["ПЛАТЕЖНОЕ ПОРУЧЕНИЕ №", "ПЛАТЁЖНОЕ ПОРУЧЕНИЕ N", "Платежное поручение №"])
        if layout != 0
        else "ПЛАТЕЖНОЕ ПОРУЧЕНИЕ №"
    )
    sheet.text(left, y, f"{title} {number}", strong.at(plain.size + 2))
    shown_day = day.strftime("%d.%m.%Y")
    for x, text, caption in (
        (320, shown_day, "Дата"),
        (430, rng.choice(["электронно", "срочно", ""]), "Вид платежа"),
    ):
        sheet.text(x + 35, y, text, plain, align="center")
        sheet.line(x, y + 4, x + 80, y + 4)
        sheet.text(x + 38, y + 15, caption, small, align="center")
    y += 40
    sheet.text(left, y, "Сумма", small)
    sheet.text(left, y + 12, "прописью", small)
    sheet.text(left + 62, y, _words(rng), plain)
    y += 26
    sheet.line(left, y, right, y)

    def block(
        text: str,
        caption: str,
        height: float,
        pairs: list[tuple[str, str]],
        taxes: tuple[str, str] | None,
    ) -> None:
        nonlocal y
        top = y
        row = top + 13
        if taxes is not None:
            sheet.text(left + 2, row, f"ИНН {taxes[0]}", plain)
            sheet.text(left + 150, row, f"КПП {taxes[1]}", plain)
            if layout != 3:
                sheet.line(left, row + 4, middle, row + 4)
            row += 17
        for part in _wrapped(text, int((middle - left) / plain.size / 0.56)):
            sheet.text(left + 2, row, part, plain)
            row += plain.size * 1.25
        sheet.text(left + 2, top + height - 4, caption, small)
        side = top + 13
        for label, value in pairs:
            sheet.text(middle + 6, side, label, small)
            sheet.text(value_x, side, value, plain)
            side += 15
        sheet.rectangle(Box(left, top, middle - left, height))
        sheet.rectangle(Box(middle, top, right - middle, height))
        y = top + height

    tall = rng.uniform(68, 88)
    short = rng.uniform(40, 52)
    sc = "Сч. №" if layout != 2 else "Сч. N"
    block(
        payer,
        "Плательщик",
        tall,
        [("Сумма", amount), ("", ""), (sc, accounts[0])],
        (inns[0], kpps[0]),
    )
    block(banks[0][0], "Банк плательщика", short, [("БИК", banks[0][1]), (sc, banks[0][2])], None)
    block(banks[1][0], "Банк получателя", short, [("БИК", banks[1][1]), (sc, banks[1][2])], None)
    block(
        payee,
        "Получатель",
        tall + 14,
        [(sc, accounts[1]), ("Вид оп.", "01"), ("Наз. пл.", ""), ("Код", "0")],
        (inns[1], kpps[1]),
    )
    sheet.text(value_x + 60, y - 60 + 13, "Срок плат.", small)
    sheet.text(value_x + 60, y - 45 + 13, "Очер. плат.   5", small)
    y += 16
    for part in _wrapped(purpose, 62 if layout != 3 else 95):
        sheet.text(left + 2, y, part, plain)
        y += plain.size * 1.25
    y += rng.uniform(14, 30)
    sheet.text(left + 2, y, "Назначение платежа", small)
    sheet.line(left, y + 4, right, y + 4)
    sheet.text(280, y + 18, "Подписи", small)
    sheet.text(420, y + 18, "Отметки банка", small)
    sheet.text(170, y + 50, "М.П.", small)

    paper.ask("number", "Какой номер платёжного поручения?", number)
    paper.ask(
        "date",
        rng.choice(["Какая дата платёжного поручения?", "Дата платежного поручения?"]),
        shown_day,
    )
    paper.ask(
        "amount",
        rng.choice(["Какая сумма платежа?", "Назовите сумму платёжного поручения"]),
        amount,
    )
    paper.ask("payer", rng.choice(["Кто плательщик?", "Укажите плательщика"]), payer)
    paper.ask("payee", rng.choice(["Кто получатель?", "Кто получатель платежа?"]), payee)
    paper.ask("payer_inn", "Какой ИНН плательщика?", inns[0])
    paper.ask("payee_inn", rng.choice(["Какой ИНН получателя?", "ИНН получателя"]), inns[1])
    paper.ask("payer_kpp", "Какой КПП плательщика?", kpps[0])
    paper.ask("payee_kpp", "Какой КПП получателя?", kpps[1])
    paper.ask("payee_bic", "Какой БИК банка получателя?", banks[1][1])
    paper.ask("payer_bic", "Какой БИК банка плательщика?", banks[0][1])
    paper.ask("payer_account", "Какой расчётный счёт плательщика?", accounts[0])
    paper.ask("payee_account", "Какой счёт получателя?", accounts[1])
    paper.ask("payee_bank", "Какой банк получателя?", banks[1][0])
    paper.ask("payer_bank", "Назовите банк плательщика", banks[0][0])
    paper.ask(
        "purpose", rng.choice(["Каково назначение платежа?", "Укажите назначение платежа"]), purpose
    )
    return paper


def _amount(rng: Random, layout: int) -> str:
    whole, rest = rng.randint(100, 999999), rng.randint(0, 99)
    if rng.random() < 0.15:
        return f"{whole}="
    if layout in {0, 1}:
        return rng.choice([f"{whole}-{rest:02}", f"{whole}.{rest:02}"])
    return rng.choice(
        [
            f"{whole}-{rest:02}",
            f"{whole:,}-{rest:02}".replace(",", " "),
            f"{whole}=00",
            f"{whole:,}.{rest:02}".replace(",", " "),
        ]
    )


def _words(rng: Random) -> str:
    return rng.choice(
        [
            "Двенадцать тысяч четыреста рублей 50 копеек",
            "Сто десять тысяч рублей 00 копеек",
            "Пять тысяч двести пятьдесят рублей 90 копеек",
        ]
    )


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
