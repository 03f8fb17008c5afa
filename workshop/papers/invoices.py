"""Invoices of European vendors with a text layer: seven languages, with and without tax tables."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

from bench.synth.sheet import Sheet
from bench.synth.values.identifiers import iban
from workshop.papers.paper import Paper, fonts, printable

FITTING = (0, 1, 2)
JUDGING = (3, 4, 5)

_WORDS: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("invoices.toml").read_text(encoding="utf-8")
)
_LOCALES = {
    "en": "en_GB",
    "de": "de_DE",
    "fr": "fr_FR",
    "nl": "nl_NL",
    "es": "es_ES",
    "it": "it_IT",
    "pl": "pl_PL",
}
_QUESTIONS = {
    "number": ("What is the invoice number?",),
    "date": ("What is the invoice date?", "What is the date of the invoice?"),
    "seller": (
        "Who is the seller?",
        "Which company issued this invoice?",
        "Who issued the invoice?",
    ),
    "buyer": ("Who is the buyer?", "Who is the invoice addressed to?", "Who is the customer?"),
    "total": (
        "What is the total amount?",
        "What is the total amount due?",
        "What is the invoice total including VAT?",
    ),
    "net": ("What is the net amount?", "What is the total without VAT?"),
    "vat": ("What is the VAT amount?", "How much VAT is charged?"),
    "vat_id": ("What is the seller's VAT number?", "What is the VAT ID of the seller?"),
}


_PARTY_PLACES = (
    (45.0, 45.0),
    (45.0, 330.0),
    (330.0, 45.0),
    (330.0, 45.0),
    (45.0, 330.0),
    (45.0, 330.0),
)
"""Layout → where the seller's and the buyer's blocks begin, points from the left."""


def make(rng: Random, layout: int) -> Paper:
    """An invoice; the layout chooses where parties, facts and sums stand, and half of the labels."""
    from babel.dates import format_date
    from faker import Faker

    language = rng.choice(sorted(_LOCALES))
    words = {key: values for key, values in _WORDS[language].items() if key != "ask"}
    fake = Faker(_LOCALES[language])
    fake.seed_instance(rng.getrandbits(32))

    def word(key: str) -> str:
        choices = words[key]
        half = choices[: max(1, len(choices) // 2)] if layout in FITTING else choices
        return printable(rng.choice(half))

    sheet = Sheet(595, 842)
    paper = Paper(sheet, pdf=True)
    plain, strong = fonts(
        rng.choice(["sans", "office", "humanist", "grotesque", "serif"]), rng.uniform(8, 10.5)
    )
    step = plain.size * 1.35
    day = date(2015, 1, 1) + timedelta(days=rng.randrange(3300))
    due = day + timedelta(days=rng.choice([10, 14, 30]))
    styles = [
        "dd.MM.yyyy",
        "dd/MM/yyyy",
        "d MMMM yyyy",
        "dd-MM-yyyy",
        "d. MMMM yyyy",
        "dd MMM yyyy",
        "yyyy-MM-dd",
    ]
    style = rng.choice(
        styles[:5]
        if language != "en"
        else ["dd/MM/yyyy", "d MMMM yyyy", "MMMM d, yyyy", "d MMM yyyy"]
    )
    shown_day, shown_due = (
        printable(format_date(one, style, locale=language)) for one in (day, due)
    )
    number = rng.choice(
        [
            f"{day.year}-{rng.randint(100, 99999):05}",
            f"RE{rng.randint(1000, 99999)}",
            f"{rng.randint(10**5, 10**9)}",
            f"F/{rng.randint(1, 300)}/{day.year}",
            f"INV-{rng.randint(1000, 9999)}",
        ]
    )
    seller, buyer = (printable(fake.company()) for _ in range(2))
    if rng.random() < 0.3:
        buyer = printable(fake.name())
    seller_lines, buyer_lines = (printable(fake.address()).split("\n")[:3] for _ in range(2))
    country = {"en": "GB"}.get(language, language.upper())
    vat_id = (
        country
        + "".join(rng.choice("0123456789") for _ in range(9))
        + ("B01" if language == "nl" else "")
    )
    account = iban(country, "".join(rng.choice("0123456789") for _ in range(18)))
    if rng.random() < 0.4:
        account = account.replace(" ", "")
    customer = str(rng.randint(1000, 999999))
    currency = "£" if language == "en" else "PLN" if language == "pl" else "€"

    def amount(value: float, mark: bool = True) -> str:
        text = f"{value:,.2f}"
        if language == "fr":
            text = text.replace(",", " ").replace(".", ",")
        elif language != "en":
            text = (
                text.replace(",", "~")
                .replace(".", ",")
                .replace("~", "." if language != "pl" else " ")
            )
        if not mark:
            return text
        return (
            f"{currency}{text}"
            if language == "en"
            else f"{text} {currency}"
            if language != "nl"
            else f"{currency} {text}"
        )

    marked = rng.random() < 0.7
    facts = [(word("number"), number), (word("date"), shown_day)]
    if rng.random() < 0.6:
        facts.append((word("due"), shown_due))
        paper.ask("due", "What is the due date?", shown_due)
    if rng.random() < 0.5:
        facts.append((word("customer"), customer))
        paper.ask("customer", "What is the customer number?", customer)
    if rng.random() < 0.3:
        facts.append((word("order"), str(rng.randint(10**5, 10**7))))
    rng.shuffle(facts)

    _parties(
        sheet,
        rng,
        layout,
        plain,
        strong,
        (seller, seller_lines),
        (buyer, buyer_lines),
        vat_id,
        word,
        fake,
    )
    y = _facts(sheet, rng, layout, plain, strong, facts, word("title"))
    y += 30
    names = [word("item") for _ in range(rng.randint(1, 5))]
    columns = [
        (45, word("description")),
        (330, word("quantity")),
        (420, word("price")),
        (550, word("amount")),
    ]
    for index, (x, text) in enumerate(columns):
        sheet.text(x, y, text, strong, align="left" if index == 0 else "right")
    sheet.line(45, y + 4, 550, y + 4)
    y += 18
    net: float = 0
    for name in names:
        count, price = rng.randint(1, 9), rng.randint(199, 99999) / 100
        net += count * price
        cells = (
            name,
            str(count),
            amount(price, False),
            amount(count * price, marked and layout % 2 == 0),
        )
        for index, ((x, _), text) in enumerate(zip(columns, cells, strict=True)):
            sheet.text(x, y, text, plain, align="left" if index == 0 else "right")
        y += step * 1.2
    rate = {"en": 20, "de": 19, "fr": 20, "nl": 21, "es": 21, "it": 22, "pl": 23}[language]
    tax = round(net * rate / 100, 2)
    y += 10
    sums = [(word("net"), net), (f"{word('vat')} {rate}%", tax), (word("total"), net + tax)]
    if layout in {2, 4} and rng.random() < 0.7:
        heads = (word("rate"), word("net"), word("vat"))
        for x, text in zip((300, 400, 500), heads, strict=True):
            sheet.text(x, y, text, strong, align="right")
        y += step
        for x, text in zip(
            (300, 400, 500), (f"{rate} %", amount(net, marked), amount(tax, marked)), strict=True
        ):
            sheet.text(x, y, text, plain, align="right")
        y += step * 1.6
        sums = sums[2:]
    x_label = rng.choice([300, 350, 400])
    for label, value in sums:
        font = strong if value == net + tax else plain
        sheet.text(x_label, y, label + (":" if layout in {1, 3} else ""), font)
        sheet.text(550, y, amount(value, marked), font, align="right")
        y += step * 1.2
    y += 20
    sheet.text(45, y, word("thanks"), plain)
    foot = [seller + ", " + ", ".join(seller_lines)]
    if rng.random() < 0.8:
        colon, bic = rng.choice([":", ""]), rng.choice(["COBADEFFXXX", "BNPAFRPP", "INGBNL2A"])
        foot.append(f"IBAN{colon} {account}  BIC: {bic}")
        paper.ask("iban", "What is the IBAN?", account)
    foot.append(f"{word('vat_id')}: {vat_id}")
    if layout in {0, 3, 5}:
        foot.insert(0, word("bank") + ": " + printable(fake.company()))
    for index, text in enumerate(foot):
        sheet.text(45, 790 + index * 11, text, plain.at(7.5))
    local = _WORDS[language]["ask"]
    answers = {
        "number": number,
        "date": shown_day,
        "seller": seller,
        "buyer": buyer,
        "total": amount(net + tax, False),
        "net": amount(net, False),
        "vat": amount(tax, False),
        "vat_id": vat_id,
    }
    for key, answer in answers.items():
        question = rng.choice(_QUESTIONS[key])
        if key in local and rng.random() < 0.35:
            question = local[key]
        paper.ask(key, question, answer)
    return paper


def _parties(
    sheet: Sheet,
    rng: Random,
    layout: int,
    plain: Any,
    strong: Any,
    seller: Any,
    buyer: Any,
    vat_id: str,
    word: Any,
    fake: Any,
) -> None:
    step = plain.size * 1.35
    seller_x, buyer_x = _PARTY_PLACES[layout]
    y = 50.0
    if layout in {3, 4}:
        sheet.text(seller_x, y, word("seller"), plain)
        y += step
    sheet.text(seller_x, y, seller[0], strong.at(plain.size + rng.choice([0, 3, 6])))
    y += step
    extra = [rng.choice(["Tel: ", "Tel. ", "T "]) + str(fake.phone_number())]
    if rng.random() < 0.4:
        extra.append("info@example.com")
    for text in (*seller[1], *extra):
        sheet.text(seller_x, y, text, plain)
        y += step
    y = y + 20 if seller_x == buyer_x else (50.0 if layout in {1, 4} else 130.0)
    if layout == 0 or layout == 2:
        small = plain.at(6.5)
        sheet.text(buyer_x, y, f"{seller[0]} - {' - '.join(seller[1])}", small)
        y += 14
    else:
        sheet.text(buyer_x, y, word("buyer") + rng.choice(["", ":"]), strong)
        y += step
    for text in (buyer[0], *buyer[1]):
        sheet.text(buyer_x, y, text, plain)
        y += step


def _facts(
    sheet: Sheet,
    rng: Random,
    layout: int,
    plain: Any,
    strong: Any,
    facts: list[tuple[str, str]],
    title: str,
) -> float:
    step = plain.size * 1.4
    y: float = 235
    sheet.text(45, y, title, strong.at(plain.size + 7))
    y += 24
    if layout in {2, 5}:
        for index, (label, value) in enumerate(facts):
            left = 45 + index * 105
            sheet.text(left, y, label, strong.at(plain.size - 1))
            sheet.text(left, y + step, value, plain)
        return float(y + 2 * step)
    x = 45.0 if layout in {0, 3} else 330.0
    if layout == 4:
        y = 175
    width = float(rng.choice([95, 120, 150]))
    for label, value in facts:
        if layout in {1, 4}:
            sheet.text(x, y, f"{label}: {value}", plain)
        else:
            sheet.text(x, y, label + rng.choice(["", ":", " :"]), plain)
            sheet.text(x + width, y, value, plain)
        y += step
    return float(max(y, 280.0))
