"""Forms as in FUNSD: scanned, with answers beside or beneath their questions, in one or more columns."""

from __future__ import annotations

from random import Random

from bench.synth.sheet import Sheet
from workshop.papers.paper import Paper, fonts

FITTING = (0, 1, 2)
JUDGING = (3, 4, 5)

_PEOPLE = [
    "J. H. Lawson",
    "Mary Whitcomb",
    "R. T. Ellison",
    "George Patterson",
    "Karen O'Neil",
    "D. Ramirez",
    "Alice Tan",
]
_COMPANIES = [
    "Lorillard Research",
    "Walker & Dunn Inc.",
    "Harbor Supply Co.",
    "National Testing Labs",
    "Pine Street Media",
]
_CODES = ["A-1147", "88-204", "L8557-12", "R 19-4471", "7703", "OR7-03", "B123"]
_TEXTS = [
    "Marketing",
    "pilot test in two regions",
    "see attached memo",
    "Not determined.",
    "Ohio and Indiana",
    "Glossy stock",
    "Weekly",
    "None",
    "Yes",
    "King size, 85 mm",
    "Approved with changes",
    "two cartons",
    "New brand study",
]
_DATES = [
    "3/12/1987",
    "August 3 , 1994",
    "11-04-92",
    "June 14, 1988",
    "5/1/90",
    "Nov 8, 1991",
    "1/17/1989",
]
_MONEY = ["$12,500.00", "$ 840", "$1,200", "450.00", "$3,000,000"]
_PHONES = ["(212) 545-3129", "910-555-0142", "(336) 741 - 4500"]
_FIELDS = {
    "person": [
        "TO",
        "FROM",
        "Requested by",
        "Project Leader",
        "Submitted By",
        "Supervisor / Manager",
        "Contact",
        "ATTENTION",
        "Approved by",
        "Prepared By",
    ],
    "company": [
        "COMPANY",
        "Manufacturer",
        "Supplier",
        "Agency",
        "Test facility",
        "Client Name",
        "Firm",
        "Laboratory",
    ],
    "code": [
        "Sample No.",
        "Project Number",
        "CODE",
        "File #",
        "Job No.",
        "Authorization No",
        "Brand code",
        "Account",
        "Form #",
        "Control Number",
    ],
    "text": [
        "SUBJECT",
        "Division",
        "Objective",
        "Type of Package",
        "Remarks",
        "Frequency",
        "Method of Distribution",
        "Region",
        "Description of Material",
        "Circulation",
        "Purpose",
        "Size",
        "Comments",
        "State of Issue",
    ],
    "date": [
        "DATE",
        "Date Received",
        "Start Date",
        "Report Due",
        "Date of Issue",
        "DATE REPORTED",
        "Completion Date",
        "Effective",
    ],
    "money": ["Total Cost", "Estimated Cost", "Budget", "Unit Price", "Current balance", "Fee"],
    "phone": ["Phone", "FAX NUMBER", "TELEPHONE", "Fax", "Telephone No."],
}
_VALUES = {
    "person": _PEOPLE,
    "company": _COMPANIES,
    "code": _CODES,
    "text": _TEXTS,
    "date": _DATES,
    "money": _MONEY,
    "phone": _PHONES,
}
_QUESTIONS = (
    'What is the "{}"?',
    "What is the {}?",
    'What is written in the field "{}"?',
    "{}?",
    "What is the value of {}?",
    "What does the form say for {}?",
)


def make(rng: Random, layout: int) -> Paper:
    """A form; the layout chooses columns, colons, and whether answers stand beside or beneath."""
    sheet = Sheet(560, 720)
    paper = Paper(sheet)
    plain, strong = fonts(rng.choice(["office", "serif", "mono", "sans"]), rng.uniform(9, 11.5))
    written, _ = fonts(rng.choice(["mono", "till", "office", "serif"]), rng.uniform(9, 11.5))
    kinds = [kind for kind in _FIELDS for _ in range(rng.randint(1, 3))]
    rng.shuffle(kinds)
    pairs: list[tuple[str, str]] = []
    for kind in kinds:
        label = rng.choice(_FIELDS[kind])
        if label.casefold() in {used.casefold() for used, _ in pairs}:
            continue
        empty = rng.random() < 0.1
        pairs.append((label, "" if empty else rng.choice(_VALUES[kind])))
    sheet.text(
        280,
        40,
        rng.choice(
            [
                "SPECIAL EVENT REQUEST FORM",
                "TEST AUTHORIZATION",
                "FAX TRANSMISSION",
                "PROJECT BUDGET SUMMARY",
            ]
        ),
        strong.at(14),
        align="center",
    )
    y = 75.0
    columns = {0: 1, 1: 2, 2: 1, 3: 2, 4: 3, 5: 1}[layout]
    width = 480 / columns
    colon = {0: ":", 1: ":", 2: "", 3: "", 4: ":", 5: ":"}[layout]
    gap = rng.uniform(24, 34)
    for start in range(0, len(pairs), columns):
        for column, (label, value) in enumerate(pairs[start : start + columns]):
            x = 40 + column * width
            if layout in {2, 4}:
                sheet.text(x, y, label + colon, plain)
                sheet.text(x + rng.uniform(0, 10), y + 13, value, written)
                if rng.random() < 0.5:
                    sheet.line(x, y + 17, x + width - 20, y + 17)
            elif layout == 5:
                used = sheet.text(x, y, label + colon, strong)
                sheet.text(x + max(used + 10, 170), y, value, written)
                sheet.line(x + max(used + 8, 165), y + 3, 520, y + 3)
            else:
                used = sheet.text(x, y, label + colon, plain)
                sheet.text(x + used + rng.uniform(6, 30), y, value, written)
        y += gap + (12 if layout in {2, 4} else 0)
    sheet.text(40, y + 20, "Please complete all sections and return to the address above.", plain)
    sheet.height = y + 60
    for label, value in pairs:
        paper.ask("form", rng.choice(_QUESTIONS).format(label), value)
    return paper
