"""Receipts as in SROIE: company, address over several lines, tax summary, cash and change, rounding."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from bench.synth.sheet import Sheet
from workshop.papers.paper import Paper, fonts

FITTING = (0, 1, 2)
JUDGING = (3, 4, 5)

_WORDS = [
    "MAJU",
    "JAYA",
    "BERKAT",
    "SINAR",
    "INDAH",
    "PERDANA",
    "KURNIA",
    "HARUM",
    "GEMILANG",
    "SENTOSA",
    "LESTARI",
    "WARISAN",
    "BINTANG",
]
_TRADES = [
    "HARDWARE",
    "BOOK STORE",
    "RESTAURANT",
    "ENTERPRISE",
    "TRADING",
    "MINI MARKET",
    "STATIONERY",
    "PHARMACY",
    "KITCHEN",
    "BAKERY",
]
_FORMS = ["SDN BHD", "SDN. BHD.", "", "(M) SDN BHD", "S/B", "& SONS", "LTD", "Ltd."]
_STREETS = ["JALAN", "JLN", "LORONG", "PERSIARAN"]
_PLACES = ["TAMAN DAYA", "BANDAR BARU", "SEKSYEN 13", "TAMAN SRI MUDA", "PUSAT BANDAR", "DESA AMAN"]
_TOWNS = [
    "81100 JOHOR BAHRU",
    "40150 SHAH ALAM",
    "43000 KAJANG, SELANGOR",
    "50450 KUALA LUMPUR",
    "47800 PETALING JAYA",
]
_UK = [
    ("High Street", "York", "YO1 7HU"),
    ("Mill Lane", "Leeds", "LS1 4AP"),
    ("Quay Road", "Leith", "EH6 6QQ"),
]
_GOODS = [
    "KF MODELLING CLAY",
    "A4 PAPER 80GSM",
    "NASI LEMAK",
    "TEH TARIK",
    "CHICKEN RICE",
    "LED BULB 9W",
    "PVC TAPE",
    "MILK 1L",
    "BREAD",
    "GLOVES M",
    "BALL PEN BLUE",
    "WATER 500ML",
]
_TOTAL_LABELS = (
    (
        "TOTAL",
        "Total Sales (Inclusive of GST)",
        "Total Amount:",
        "GRAND TOTAL",
        "Total RM",
        "NET TOTAL",
    ),
    (
        "Total (Incl. GST)",
        "ROUNDED TOTAL (RM):",
        "TOTAL AMT",
        "Amount Due",
        "Total Payable:",
        "Total Inclusive GST :",
    ),
)


def make(rng: Random, layout: int) -> Paper:
    """A receipt; the layout chooses the order of its parts and its labels."""
    sheet = Sheet(290, 900)
    paper = Paper(sheet)
    plain, strong = fonts(rng.choice(["till", "mono", "sans", "office"]), rng.uniform(8.5, 10.5))
    y = 30.0
    centred = layout in {0, 1, 4, 5}

    def line(text: str, *, bold: bool = False, centre: bool = False) -> None:
        nonlocal y
        font = strong if bold else plain
        if centre:
            sheet.text(145, y, text, font, align="center")
        else:
            sheet.text(18, y, text, font)
        y += font.size * 1.55

    def money(label: str, amount: float | str, currency: str = "") -> None:
        nonlocal y
        text = amount if isinstance(amount, str) else f"{amount:,.2f}"
        sheet.text(18, y, label, plain)
        sheet.text(270, y, currency + text, plain, align="right")
        y += plain.size * 1.55

    company, address = _head(rng, layout)
    day = date(2016, 1, 1) + timedelta(days=rng.randrange(1100))
    shown_day = _day(rng, day, layout)
    clock = f"{rng.randint(8, 21):02}:{rng.randint(0, 59):02}"
    if layout in {1, 4}:
        line(
            rng.choice(["tan woon yann", "*** COPY ***", "WELCOME", "TAX INVOICE"]), centre=centred
        )
    line(company, bold=True, centre=centred)
    if rng.random() < 0.7:
        line(f"({rng.randint(100000, 999999)}-{rng.choice('KMWXPD')})", centre=centred)
    for part in address:
        line(part, centre=centred)
    if rng.random() < 0.8:
        phone = f"0{rng.randint(3, 9)}-{rng.randint(2000000, 9999999)}"
        line(
            f"{rng.choice(['TEL', 'Tel No', 'Phone'])} : {phone}",
            centre=centred,
        )
    if rng.random() < 0.6:
        line(
            f"GST {rng.choice(['ID', 'No', 'REG NO'])}: 00{rng.randint(10**9, 10**10 - 1)}",
            centre=centred,
        )
    y += 6
    if layout != 1:
        line(rng.choice(["TAX INVOICE", "INVOICE", "CASH BILL", "RECEIPT"]), centre=True)
    date_line = rng.choice(
        [
            f"Date : {shown_day}",
            f"DATE: {shown_day} {clock}",
            f"{shown_day} {clock}",
            f"Date {shown_day}   Time {clock}",
        ]
    )
    if layout in {0, 3, 4}:
        line(date_line)
    line(
        rng.choice(
            [
                f"Doc No.: TD0{rng.randint(10**6, 10**7)}",
                f"Bill# {rng.randint(100, 99999)}",
                f"Receipt No: {rng.randint(1000, 99999)}",
            ]
        )
    )
    if rng.random() < 0.7:
        line(f"Cashier: {rng.choice(['USER', 'Ana', 'SITI', 'MANAGER', 'Tom'])}")
    y += 4
    lines = [
        (rng.choice(_GOODS), rng.randint(1, 5), rng.randint(100, 4000) / 100)
        for _ in range(rng.randint(1, 6))
    ]
    if layout in {0, 3, 5}:
        line(rng.choice(["Description    Qty   Price   Amount", "ITEM          QTY     TOTAL(RM)"]))
    for name, count, price in lines:
        if layout in {2, 3}:
            line(name)
            money(f"{count} x {price:.2f}", count * price)
        else:
            money(f"{name} x{count}" if count > 1 else name, count * price)
    gross = sum(count * price for _, count, price in lines)
    net = round(gross / 1.06, 2)
    total = round(gross * 20) / 20
    has_tax = rng.random() < 0.75
    y += 4
    if has_tax:
        money(
            rng.choice(
                ["Sub Total", "Total (Excl. GST)", "SUBTOTAL", "Total Sales (Excluding GST)"]
            ),
            net,
        )
        money(rng.choice(["GST 6%", "Total GST", "GST @6%", "Tax"]), gross - net)
    if rng.random() < 0.6:
        money(
            rng.choice(["Rounding", "Round Off", "Rounding Adj", "Rounding Adjustment"]),
            total - gross,
        )
    else:
        total = round(gross, 2)
    label = rng.choice(_TOTAL_LABELS[layout >= 3])
    money(label, total, rng.choice(["", "", "RM", "RM ", "$"]))
    paid = rng.choice([total, total + 5 - total % 5, total + 50 - total % 50])
    money(rng.choice(["CASH", "Cash", "Payment", "Tendered", "VISA CARD"]), paid)
    if rng.random() < 0.9:
        money(rng.choice(["CHANGE", "Change", "Change Due"]), paid - total)
    if has_tax and rng.random() < 0.75:
        y += 5
        line("GST Summary", centre=True)
        line(
            "Tax Code   %    Amount(RM)   Tax(RM)"
            if rng.random() < 0.5
            else "GST Summary   Amount   Tax"
        )
        sheet.text(18, y, rng.choice(["SR", "SR @ 6%", "S"]), plain)
        sheet.text(150, y, f"{net:.2f}", plain)
        money("", gross - net)
        if rng.random() < 0.5:
            sheet.text(18, y, "Total", plain)
            sheet.text(150, y, f"{net:.2f}", plain)
            money("", gross - net)
    if layout in {1, 2, 5}:
        line(date_line, centre=centred)
    line("Goods sold are not returnable. Thank you", centre=True)
    sheet.height = y + 30
    paper.ask(
        "company",
        rng.choice(
            [
                "What is the name of the company that issued this receipt?",
                "What is the store name?",
                "Which company issued the receipt?",
            ]
        ),
        company,
    )
    paper.ask(
        "address",
        rng.choice(["What is the address of the company?", "What is the address of the store?"]),
        " ".join(address),
    )
    paper.ask("date", "What is the date of this receipt?", shown_day)
    paper.ask(
        "total", rng.choice(["What is the total amount?", "What is the total?"]), f"{total:,.2f}"
    )
    return paper


def _head(rng: Random, layout: int) -> tuple[str, list[str]]:
    name = " ".join(
        [*rng.sample(_WORDS, rng.randint(1, 2)), rng.choice(_TRADES), rng.choice(_FORMS)]
    ).strip()
    if layout in {2, 5} and rng.random() < 0.5:
        street, town, code = rng.choice(_UK)
        lines = [f"{rng.randint(1, 200)} {street}, {town}", code]
        return name.title().replace("Sdn Bhd", "").strip(), lines
    lines = [
        rng.choice(
            [
                f"NO.{rng.randint(1, 99)}, ",
                f"LOT {rng.randint(1, 999)}, ",
                f"No {rng.randint(1, 99)}G & {rng.randint(1, 99)}, ",
            ]
        )
        + f"{rng.choice(_STREETS)} {rng.choice(['PERMAI', 'TEMBAGA', 'SAGU', 'BESAR', 'KLANG'])} "
        + f"{rng.randint(1, 40)}/{rng.randint(1, 9)},"
    ]
    if rng.random() < 0.8:
        lines.append(rng.choice(_PLACES) + ",")
    lines.append(rng.choice(_TOWNS) + rng.choice([".", "", ", JOHOR"]))
    return name, lines


def _day(rng: Random, day: date, layout: int) -> str:
    if layout < 3:
        return day.strftime(rng.choice(["%d/%m/%Y", "%d-%m-%Y", "%d/%m/%y", "%d-%b-%Y"]))
    return day.strftime(
        rng.choice(
            ["%d/%m/%Y", "%d-%m-%y", "%Y-%m-%d", "%d %b %Y", "%d.%m.%Y", "%d/%b/%Y", "%d %B %Y"]
        )
    ).upper()
