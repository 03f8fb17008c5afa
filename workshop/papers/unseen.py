"""Layouts that no rule was written with: a test of whether what was learnt on the other papers holds.

They were written once, before the baseline met them, and share only the drawing with the other papers.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import NamedTuple

from bench.synth.sheet import Box, Font, Sheet
from workshop.papers.paper import Paper, fonts, printable


def receipt(rng: Random, layout: int) -> Paper:
    """A till's receipt: a logo's word or "TAX INVOICE" above the company, postcode at the address's end."""
    sheet = Sheet(300, 700)
    paper = Paper(sheet)
    plain, strong = fonts(rng.choice(["till", "mono", "office"]), 9)
    y = 28.0

    def line(text: str, right: str = "", *, font: Font = plain, middle: bool = False) -> None:
        nonlocal y
        if middle:
            sheet.text(150, y, text, font, align="center")
        else:
            sheet.text(16, y, text, font)
        if right:
            sheet.text(282, y, right, font, align="right")
        y += 14

    word = rng.choice(["SUNWAY", "Pelangi", "ORCHARD", "Teguh", "RIMBA"])
    company = rng.choice(
        [
            f"{word.upper()} FOOD INDUSTRIES SDN BHD",
            f"Perniagaan {word}",
            f"{word} Garden Centre Ltd",
            f"KEDAI UBAT {word.upper()}",
            f"{word.upper()} MOTOR & TYRE (M) SDN. BHD.",
        ]
    )
    if layout % 3 == 0:
        line(word.upper(), font=Font(strong.face, 17), middle=True)
        y += 6
    elif layout % 3 == 1:
        line("TAX INVOICE", middle=True)
    line(company, font=strong, middle=True)
    line(f"(Company Reg. No: {rng.randint(100000, 999999)}-{rng.choice('AHTV')})", middle=True)
    address = [
        f"{rng.choice(['Ground Floor, ', 'G-', 'Unit ', 'Suite '])}{rng.randint(2, 88)}, "
        + rng.choice(["Wisma Merdeka", "Plaza Damas", "Medan Niaga"]),
        f"{rng.choice(['Jalan', 'Lebuh', 'Jln'])} {rng.choice(['Ampang', 'Raja Chulan', 'Bakti'])}",
        rng.choice(["Kuala Lumpur 50400", "Ipoh, Perak 30000", "George Town 10200", "Klang 41200"]),
    ]
    for part in address:
        line(part, middle=layout % 2 == 0)
    line(
        f"Tel: 03-{rng.randint(1000, 9999)} {rng.randint(1000, 9999)} Fax: 03-7{rng.randint(100000, 999999)}"
    )
    line(f"GST Reg. No : 000{rng.randint(10**8, 10**9 - 1)}")
    line("-" * 36)
    day = date(2017, 1, 4) + timedelta(days=rng.randrange(900))
    pattern = rng.choice(["%d/%m/%Y", "%d-%m-%Y", "%d %b %Y", "%Y/%m/%d", "%d.%m.%y", "%b %d, %Y"])
    shown = day.strftime(pattern)
    clock = f"{rng.randint(9, 21):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"
    number = f"{rng.choice(['CS', 'INV', 'R'])}{rng.randint(10000, 99999)}"
    if layout % 2:
        line(f"Inv No: {number}", shown)
        line("Counter: 02", clock)
    else:
        line("Bill No", f": {number}")
        line(rng.choice(["Date/Time", "Trans. Date", "Bill Date"]), f": {shown} {clock}")
    line("Served by", f": {rng.choice(['Aina', 'LIM', 'Kumar'])}")
    line("-" * 36)
    amounts = [rng.randint(150, 6000) for _ in range(rng.randint(2, 5))]
    goods = rng.sample(["MINERAL WATER", "ENGINE OIL", "PANADOL 10S", "ROTI CANAI", "POT 20CM"], 5)
    for name, amount in zip(goods, amounts, strict=False):
        line(f"955{rng.randint(10**9, 10**10 - 1)}")
        line(
            f" {name}  1 @ {amount / 100:.2f}",
            f"{amount / 100:.2f} {rng.choice(['S', 'Z', ''])}".strip(),
        )
    gross = sum(amounts)
    tax = round(gross * 6 / 106)
    rounded = 5 * round(gross / 5)
    line("-" * 36)
    line("Item Count", str(len(amounts)))
    line(rng.choice(["SUB-TOTAL", "TOTAL EXCLUDING GST"]), f"{(gross - tax) / 100:.2f}")
    line(rng.choice(["ADD GST 6%", "GST AMOUNT"]), f"{tax / 100:.2f}")
    if layout % 2:
        line("TOTAL (RM)", f"{gross / 100:.2f}")
        line("ROUNDING ADJ.", f"{(rounded - gross) / 100:.2f}")
        line(
            rng.choice(["ROUNDED TOTAL", "NETT TOTAL (RM)", "AMOUNT PAYABLE"]),
            f"{rounded / 100:.2f}",
        )
    else:
        rounded = gross
        line(
            rng.choice(["TOTAL (RM)", "Total Incl. GST 6%", "BILL TOTAL"]),
            f"{gross / 100:.2f}",
            font=strong,
        )
    paid = rounded + rng.choice([0, 500 - rounded % 500])
    line(rng.choice(["CASH", "CASH RECEIVED", "MASTERCARD"]), f"{paid / 100:.2f}")
    line(rng.choice(["CHANGE", "BALANCE"]), f"{(paid - rounded) / 100:.2f}")
    line("PLEASE COME AGAIN", middle=True)
    sheet.height = y + 20
    paper.ask("company", "What is the company name on the receipt?", company)
    paper.ask("address", "What is the address on the receipt?", " ".join(address))
    paper.ask("date", "What is the date on the receipt?", shown)
    paper.ask("total", "What is the total amount on the receipt?", f"{rounded / 100:.2f}")
    return paper


class _Words(NamedTuple):
    invoice: str
    number: str
    date: str
    due: str
    net: str
    vat: str
    gross: str
    head: str
    seller: str
    buyer: str
    vat_number: str


_LANGUAGES = {
    "en": _Words(
        "SALES INVOICE",
        "Document no.",
        "Invoice date",
        "Due by",
        "Net amount",
        "VAT",
        "Total to pay",
        "Description;Qty;Unit;Amount",
        "Hollis & Marsh Ltd;4 Dock Road;Hull HU1 2AB",
        "Greyfriars School;2 Abbey Walk;York YO1 8NN",
        "VAT Reg. No. GB 123 4567 82",
    ),
    "de": _Words(
        "Rechnung",
        "Rechnungs-Nr.",
        "Rechnungsdatum",
        "Zahlbar bis",
        "Nettosumme",
        "MwSt.",
        "Rechnungsbetrag",
        "Leistung;Menge;Einzelpreis;Gesamt",
        "Brandt Elektrotechnik GmbH;Hafenstr. 12;20457 Hamburg",
        "Weber & Sohn KG;Am Markt 3;04109 Leipzig",
        "USt-IdNr.: DE136695976",
    ),
    "fr": _Words(
        "FACTURE",
        "Facture n°",
        "Date de facturation",
        "Échéance",
        "Total HT",
        "TVA",
        "Total TTC",
        "Désignation;Qté;P.U. HT;Montant HT",
        "Atelier Moreau SARL;8 rue des Lilas;69003 Lyon",
        "Librairie Durand;15 place Carnot;21000 Dijon",
        "N° TVA : FR83404833048",
    ),
    "nl": _Words(
        "Factuur",
        "Factuurnr.",
        "Factuurdatum",
        "Vervaldatum",
        "Totaal excl. btw",
        "BTW",
        "Te betalen",
        "Omschrijving;Aantal;Prijs;Bedrag",
        "De Wit Installaties B.V.;Kade 7;3011 AB Rotterdam",
        "Bakkerij Visser;Dorpsstraat 9;1011 CD Amsterdam",
        "BTW-nr: NL123456782B90",
    ),
    "es": _Words(
        "FACTURA",
        "Nº de factura",
        "Fecha de emisión",
        "Vencimiento",
        "Base imponible",
        "IVA",
        "Total factura",
        "Concepto;Cant.;Precio;Importe",
        "Suministros Ortega S.L.;Calle Mayor 21;28013 Madrid",
        "Hotel Miramar S.A.;Paseo del Mar 4;46011 Valencia",
        "NIF: B58378431",
    ),
    "it": _Words(
        "FATTURA",
        "Fattura n.",
        "Data fattura",
        "Scadenza",
        "Imponibile",
        "IVA",
        "Totale fattura",
        "Descrizione;Q.tà;Prezzo;Importo",
        "Officina Ricci S.r.l.;Via Roma 15;40121 Bologna",
        "Trattoria da Marco;Corso Italia 30;20122 Milano",
        "P.IVA: 00743110157",
    ),
    "pl": _Words(
        "FAKTURA VAT",
        "Nr faktury",
        "Data wystawienia",
        "Termin płatności",
        "Wartość netto",
        "VAT",
        "Do zapłaty",
        "Nazwa;Ilość;Cena;Wartość",
        "Kowalski Handel Sp. z o.o.;ul. Lipowa 8;00-950 Warszawa",
        "Sklep Nowak;ul. Długa 2;31-146 Kraków",
        "NIP: 8567346215",
    ),
}


def _money(cents: int, language: str) -> str:
    text = f"{cents / 100:,.2f}"
    if language in {"de", "nl", "es", "it"}:
        return text.translate(str.maketrans(",.", ".,"))
    return text.replace(",", " ").replace(".", ",") if language in {"fr", "pl"} else text


def invoice(rng: Random, layout: int) -> Paper:
    """A vendor's invoice: no label for the sender, VAT table, totals in a box, IBAN in the foot."""
    language = list(_LANGUAGES)[rng.randrange(len(_LANGUAGES))]
    words = _LANGUAGES[language]
    sheet = Sheet(595, 842)
    paper = Paper(sheet, pdf=True)
    plain, strong = fonts(rng.choice(["sans", "serif", "office"]), 9)

    def put(x: float, y: float, text: str, font: Font = plain, *, right: bool = False) -> None:
        sheet.text(x, y, printable(text), font, align="right" if right else "left")

    seller, buyer = words.seller.split(";"), words.buyer.split(";")
    number = rng.choice(["{}/{}", "RE{}-{}", "{}{}"]).format(
        rng.randint(2021, 2025), rng.randint(100, 9999)
    )
    day = date(2023, 1, 9) + timedelta(days=rng.randrange(800))
    pattern = {"en": "%d %B %Y", "nl": "%d-%m-%Y", "de": "%d.%m.%Y", "pl": "%Y-%m-%d"}.get(
        language, "%d/%m/%Y"
    )
    shown, due = day.strftime(pattern), (day + timedelta(days=30)).strftime(pattern)
    if layout % 2:
        put(550, 52, seller[0], Font(strong.face, 15), right=True)
        put(550, 68, " · ".join(seller[1:]), right=True)
    else:
        put(45, 52, seller[0], Font(strong.face, 14))
        for index, part in enumerate(seller[1:]):
            put(45, 68 + 12 * index, part)
    for index, part in enumerate(buyer):
        put(45, 140 + 13 * index, part)
    facts = [(words.number, number), (words.date, shown), (words.due, due)]
    if layout % 3 == 0:
        for index, (label, value) in enumerate(facts):
            put(350, 140 + 14 * index, label)
            put(550, 140 + 14 * index, value, right=True)
    elif layout % 3 == 1:
        for index, (label, value) in enumerate(facts):
            put(45 + 170 * index, 225, label, Font(plain.face, 7))
            put(45 + 170 * index, 237, value, strong)
    else:
        for index, (label, value) in enumerate(facts):
            put(350, 140 + 14 * index, f"{label}: {value}")
    put(45, 205, words.invoice, Font(strong.face, 16))
    columns = (45, 330, 420, 550)
    for index, (x, text) in enumerate(zip(columns, words.head.split(";"), strict=True)):
        put(x, 280, text, strong, right=index > 0)
    sheet.line(45, 285, 550, 285)
    net, y = 0, 300
    for item in range(rng.randint(1, 5)):
        count, price = rng.randint(1, 9), rng.randint(500, 90000)
        net += count * price
        cells = [
            f"Art. {4711 + item} XL",
            str(count),
            _money(price, language),
            _money(count * price, language),
        ]
        for index, (x, text) in enumerate(zip(columns, cells, strict=True)):
            put(x, y, text, right=index > 0)
        y += 15
    rate = {"en": 20, "de": 19, "fr": 20, "nl": 21, "es": 21, "it": 22, "pl": 23}[language]
    vat = round(net * rate / 100)
    y += 20
    if layout % 2:
        for x, text in zip((200, 280, 370), (f"{words.vat} %", words.net, words.vat), strict=True):
            put(x, y, text, Font(plain.face, 7), right=True)
        for x, text in zip(
            (200, 280, 370),
            (f"{rate} %", _money(net, language), _money(vat, language)),
            strict=True,
        ):
            put(x, y + 11, text, Font(plain.face, 7), right=True)
        y += 30
    sheet.rectangle(Box(370, y - 12, 185, 50))
    currency = " £" if language == "en" else (" zł" if language == "pl" else " €")
    for label, cents in (
        (words.net, net),
        (f"{words.vat} {rate} %", vat),
        (words.gross, net + vat),
    ):
        font = strong if label == words.gross else plain
        put(375, y, label, font)
        put(550, y, _money(cents, language) + (currency if layout % 3 else ""), font, right=True)
        y += 16
    iban = {"en": "GB82 WEST 1234 5698 7654 32", "nl": "NL91 ABNA 0417 1643 00"}.get(
        language, "DE89 3704 0044 0532 0130 00"
    )
    sheet.line(45, 785, 550, 785)
    for x, text in ((45, seller[0]), (210, f"IBAN {iban}"), (410, words.vat_number)):
        put(x, 798, text, Font(plain.face, 7))
    vat_number = (
        words.vat_number.replace("VAT Reg. No. ", "").split(":")[-1].replace("N° TVA", "").strip()
    )
    for name, question, answer in (
        ("number", "What is the invoice number?", number),
        ("date", "What is the invoice date?", shown),
        ("due", "When is the invoice due?", due),
        ("seller", "Who issued the invoice?", seller[0]),
        ("buyer", "Who is the invoice addressed to?", buyer[0]),
        ("net", "What is the net amount?", _money(net, language)),
        ("vat", "What is the VAT amount?", _money(vat, language)),
        ("total", "What is the total amount including VAT?", _money(net + vat, language)),
        ("iban", "What is the IBAN?", iban),
        ("vat_id", "What is the VAT number of the seller?", vat_number),
    ):
        paper.ask(name, question, printable(answer))
    return paper


_FORM_FIELDS = [
    ("SUBJECT", "Revised sampling schedule"),
    ("TO", "R. H. Caldwell"),
    ("FROM", "Marta Engels"),
    ("Name of Applicant", "Stephen J. Orr"),
    ("BRAND", "Northern Lights 100's"),
    ("Sample No.", "5106-B"),
    ("Date Submitted", "March 4, 1988"),
    ("Project Leader", "D. Whitfield"),
    ("Requested By", "K. Osterman"),
    ("Type of Packaging", "Soft pack, foil lined"),
    ("MARKETING AREA", "Tri-State and Ohio Valley"),
    ("Account Number", "7730-114"),
    ("Phone", "(336) 741-5580"),
    ("Quantity Ordered", "2,400 cartons"),
]
_LONG_FIELDS = [
    (
        "Comments",
        ["Retailers report slow movement in the", "second week; displays were moved twice."],
    ),
    (
        "Purpose of Study",
        ["To compare the ignition behaviour of the", "two papers at reduced draw pressure."],
    ),
    ("DISTRIBUTION", ["All division managers, region two,", "and chain accounts in Ohio"]),
]


def form(rng: Random, layout: int) -> Paper:
    """An office form of the last century: captions without a colon, above, beneath or left; long values."""
    sheet = Sheet(595, 700)
    paper = Paper(sheet)
    plain, strong = fonts(rng.choice(["sans", "serif", "mono"]), 10)
    small = Font(plain.face, 8)
    sheet.text(
        297,
        50,
        rng.choice(["RESEARCH REQUEST", "FIELD REPORT", "SPECIAL ORDER"]),
        strong.at(14),
        align="center",
    )
    chosen = rng.sample(_FORM_FIELDS, 8)
    y = 100.0
    for index in range(0, 8, 2):
        for (label, value), x in zip(chosen[index : index + 2], (50, 310), strict=True):
            place = layout % 4
            if place == 0:
                sheet.text(x, y, label, small)
                sheet.text(x, y + 15, value, plain)
            elif place == 1:
                sheet.text(x, y, value, plain)
                sheet.line(x, y + 3, x + 220, y + 3)
                sheet.text(x, y + 14, label, small)
            elif place == 2:
                sheet.text(x, y, label, strong)
                sheet.text(x + 125, y, value, plain)
            else:
                sheet.rectangle(Box(x - 5, y - 12, 240, 32))
                sheet.text(x, y - 2, label, small)
                sheet.text(x + 20, y + 14, value, plain)
        y += 45
    for label, value in chosen:
        paper.ask(
            "short",
            rng.choice(["What is the {}?", 'What is written under "{}"?']).format(label.lower()),
            value,
        )
    label, lines = rng.choice(_LONG_FIELDS)
    sheet.text(50, y, label, strong)
    if layout % 2:
        for index, text in enumerate(lines):
            sheet.text(200, y + 14 * index, text, plain)
    else:
        for index, text in enumerate(lines):
            sheet.text(50, y + 16 + 14 * index, text, plain)
    paper.ask("long", f"What is the {label.lower()}?", " ".join(lines))
    sheet.text(50, 660, "Form 118 Rev. 6/84", small)
    return paper
