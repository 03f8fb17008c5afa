"""Reads identifiers: ИНН, КПП, СНИЛС, VAT numbers and IBAN with their checksums, telephone numbers, the rest.

An identifier's value is its characters without the blanks that group them. Checksums tell what a number
is, so that its label may be missing. They never repair a number.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Final

from bench.metrics.folding import latin_capitals

_EXTENSION: Final = re.compile(
    r"(?:доб(?:авочный)?\.?|вн\.?|ext(?:ension)?\.?|x|#|转|轉|分机)\s*(\d{1,6})\Z"
)
_PHONE_LABEL: Final = re.compile(
    r"\A(?:тел(?:ефон)?(?:/факс)?|факс|моб|phone|tel(?:ephone)?|fax|mobile|电话|手机|传真)\s*[.:：]*\s*"
)
_PHONE_MARK: Final = re.compile(r"\+\d(?!.*[.,]\d\d\Z)|(?:\+?\d{1,3})?\s*\(\d{2,5}\)\s*\d")
_NUMBER_SIGN: Final = re.compile(
    r"\A(?:[^\W\d_][^\d:]{0,40}:\s*)?"
    r"(?:(?:invoice|receipt|order|bill|счет|рахунок|rechnung|facture|factuur|фактура|накладная|договор)"
    r"(?:s?-?nr|[\s-]*(?:no|number|numéro|nummer))?\b[\s.:]*)?"
    r"(?:№|#|n[o°ºr][.:]?\s*(?=\d)|n[o°ºr][.:]\s*(?=[^\W\d_]{1,6}[-/]?\d)|n[.:]?\s+(?=\d)|номер\s+|number\s+)?\s*",
    re.IGNORECASE,
)
_VAT_FORMS: Final = {
    "AT": r"U\d{8}", "BE": r"[01]\d{9}", "BG": r"\d{9,10}", "CY": r"\d{8}[A-Z]", "CZ": r"\d{8,10}",
    "DE": r"\d{9}", "DK": r"\d{8}", "EE": r"\d{9}", "EL": r"\d{9}", "ES": r"[A-Z\d]\d{7}[A-Z\d]",
    "FI": r"\d{8}", "FR": r"[A-Z\d]{2}\d{9}", "GB": r"(?:\d{9}|\d{12})", "HR": r"\d{11}", "HU": r"\d{8}",
    "IE": r"\d[A-Z\d+*]\d{5}[A-Z]{1,2}", "IT": r"\d{11}", "LT": r"(?:\d{9}|\d{12})", "LU": r"\d{8}",
    "LV": r"\d{11}", "MT": r"\d{8}", "NL": r"\d{9}B\d{2}", "PL": r"\d{10}", "PT": r"\d{9}",
    "RO": r"\d{2,10}", "SE": r"\d{12}", "SI": r"\d{8}", "SK": r"\d{10}",
}  # fmt: skip
_INN: Final = re.compile(r"\d{10}|\d{12}", re.ASCII)
_KPP: Final = re.compile(r"\d{4}[\dA-Z]{2}\d{3}", re.ASCII)
_SNILS: Final = re.compile(r"\d{11}", re.ASCII)
_IBAN: Final = re.compile(r"[A-Z]{2}\d{2}[A-Z\d]{11,30}", re.ASCII)
_BIK: Final = re.compile(r"[01]\d{8}", re.ASCII)
_OGRN: Final = re.compile(r"\d{13}|\d{15}", re.ASCII)
_LEI: Final = re.compile(r"[A-Z\d]{20}", re.ASCII)
_ISBN: Final = re.compile(r"\d{8,9}[\dX]|\d{13}", re.ASCII)
_VAT: Final = re.compile("|".join(f"{country}{form}" for country, form in _VAT_FORMS.items()))

_CHARACTERS: Final = re.compile(r"[\w./\s-]+")
"""Characters of an identifier that is no registered number, with its grouping."""
_WORD: Final = re.compile(r"[^\W\d_]+")

MIN_GROUPED: Final = 7
"""An identifier needs this many characters before blanks inside it count as grouping: "12 345" may be two
numbers."""

MIN_PUNCTUATED: Final = 11
"""A number needs this many digits before points and hyphens inside it count as grouping, too: 2024-001 is not
2024001."""


def is_inn(text: str) -> bool:
    """Whether ``text`` is ten or twelve digits with the control digits of a Russian taxpayer number."""
    from stdnum.ru import inn

    return _INN.fullmatch(text) is not None and bool(inn.is_valid(text))


def is_kpp(text: str) -> bool:
    """Whether ``text`` has the form of a Russian registration reason code; it carries no checksum."""
    return _KPP.fullmatch(text) is not None


def is_snils(text: str) -> bool:
    """Whether ``text`` is eleven digits with the control number of a Russian insurance account."""
    if not _SNILS.fullmatch(text):
        return False
    # Numbers up to 001-001-998 were given out without a control number.
    if int(text[:9]) <= 1_001_998:
        return True
    total = sum((9 - i) * int(digit) for i, digit in enumerate(text[:9]))
    return total % 101 % 100 == int(text[9:])


def is_iban(text: str) -> bool:
    """Whether ``text`` has the form of an IBAN and the remainder 1 by 97 (ISO 13616)."""
    if not _IBAN.fullmatch(text):
        return False
    rearranged = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in rearranged)) % 97 == 1


def is_bik(text: str) -> bool:
    """Whether ``text`` has the form of a Russian bank's code: nine digits that begin with 04, no checksum."""
    return _BIK.fullmatch(text) is not None


def is_ogrn(text: str) -> bool:
    """Whether ``text`` is a Russian state registration number with its control digit (python-stdnum)."""
    from stdnum.ru import ogrn

    return _OGRN.fullmatch(text) is not None and bool(ogrn.is_valid(text))


def is_isbn(text: str) -> bool:
    """Whether ``text`` is an ISBN of ten or thirteen characters with its control digit (python-stdnum)."""
    from stdnum import isbn

    # The nine characters of an older number lack the leading 0.
    return _ISBN.fullmatch(text) is not None and bool(isbn.is_valid(text))


def is_lei(text: str) -> bool:
    """Whether ``text`` is a legal entity identifier with its control digits (ISO 17442, python-stdnum)."""
    from stdnum import lei

    return _LEI.fullmatch(text) is not None and bool(lei.is_valid(text))


def is_vat(text: str) -> bool:
    """Whether ``text`` has the form of a European VAT number; German and Italian ones by checksum, too."""
    if _VAT.fullmatch(text) is None:
        return False
    from stdnum import luhn
    from stdnum.iso7064 import mod_11_10

    checksum = {"DE": mod_11_10, "IT": luhn}.get(text[:2])
    return checksum is None or bool(checksum.is_valid(text[2:]))


_REGISTERED: Final[tuple[tuple[str, str, Callable[[str], bool]], ...]] = (
    ("iban", r"IBAN", is_iban),
    (
        "vat",
        r"(?:VAT(?:\s*(?:NO|ID|NUMBER|REG(?:ISTRATION)?))*|UST\.?-?\s?ID(?:\.?-?NR)?"
        r"|BTW(?:[- ]?(?:NR|NUMMER))?|N?\s?TVA(?: INTRACOMMUNAUTAIRE)?|P(?:ARTITA)?\.?\s?IVA|NIP|НДС)",
        is_vat,
    ),
    ("inn", r"(?:ИНН|INN)", is_inn),
    ("snils", r"(?:СНИЛС|SNILS)", is_snils),
    ("kpp", r"(?:КПП|KPP)", is_kpp),
    ("bik", r"(?:БИК|BIK)", is_bik),
    ("ogrn", r"(?:ОГРН(?:ИП)?|OGRN)", is_ogrn),
    ("isbn", r"ISBN(?:-1[03])?", is_isbn),
    ("lei", r"LEI", is_lei),
)
_LABELS: Final = {
    # A label ends where letters end, or where a country's code begins: "USt-ID DE…", "IVAIT…".
    kind: re.compile(rf"\A{label}(?:(?![^\W\d_])|(?=[A-Z]{{2}}\d))[.:№\s]*", re.IGNORECASE)
    for kind, label, _ in _REGISTERED
}
_ANY_LABEL: Final = re.compile("|".join(f"(?:{label.pattern})" for label in _LABELS.values()), re.I)
_BLANK: Final = re.compile(r"\s")
_DIGIT: Final = re.compile(r"\d")
_PUNCTUATION: Final = {
    "snils": re.compile(r"[\s-]"),
    "vat": re.compile(r"[\s.-]"),
    "isbn": re.compile(r"[\s-]"),
}
"""What groups the characters of a kind, where that is more than blanks."""
_GROUPING: Final = frozenset({_BLANK, *_PUNCTUATION.values()})
_ANY_GROUPING: Final = re.compile(r"[\s.-]")
_BARE_NUMBER: Final = re.compile(r"[A-Z\d+*]+")
"""What a registered number of any kind consists of, without its label and its grouping."""

UNCHECKED: Final = frozenset({"kpp", "bik"})
"""Kinds without a checksum: nine digits are one only where the field or a label says so."""

REGISTERED: Final = tuple(kind for kind, _, _ in _REGISTERED)
"""Kinds that ``read_registered`` knows, the most telling first."""


def has_label(text: str, kind: str) -> bool:
    """Whether ``text`` begins with the name of a registered ``kind``."""
    return _LABELS[kind].match(text) is not None


@functools.lru_cache(maxsize=8192)
def read_registered(text: str) -> Mapping[str, str]:
    """The bare number that ``text`` is, for each registered kind (``iban``, ``vat``, ``inn``) that fits.

    A kind is missing if the form is wrong, or the checksum where the kind has one.
    """
    if not _DIGIT.search(text):
        return {}
    is_labelled = text[0].isalpha() and _ANY_LABEL.match(text) is not None
    ungrouped_by_any = latin_capitals(_ANY_GROUPING.sub("", text))
    if not is_labelled and not _BARE_NUMBER.fullmatch(ungrouped_by_any):
        return {}
    ungrouped = {mark: latin_capitals(mark.sub("", text)) for mark in _GROUPING}
    numbers = {}
    for kind, _, is_valid in _REGISTERED:
        mark = _PUNCTUATION.get(kind, _BLANK)
        compact = ungrouped[mark]
        if is_labelled:
            compact = latin_capitals(mark.sub("", _LABELS[kind].sub("", text)))
        if is_valid(compact):
            numbers[kind] = compact
    return numbers


def looks_like_phone(text: str) -> bool:
    """Whether ``text`` bears a mark of a telephone number: a label, a +, a code in brackets."""
    lowered = text.lower().strip()
    if _PHONE_LABEL.match(lowered):
        return True
    return _PHONE_MARK.match(lowered) is not None and len(re.sub(r"\D", "", lowered)) >= 10


def read_phone(text: str) -> str | None:
    """A telephone number as digits, with + and country code where it is known, and ``x`` extension.

    A Russian 8 before ten digits is +7. Any 7 to 15 digits in groups are read, so the caller must know that
    the text is a telephone number.
    """
    bare = _PHONE_LABEL.sub("", text.lower().strip())
    extension = _EXTENSION.search(bare)
    if extension is not None:
        bare = bare[: extension.start()].rstrip(" ,;(")
    if not re.fullmatch(r"\+?[\d\s().\-/]+", bare, re.ASCII):
        return None
    digits = re.sub(r"\D", "", bare)
    if not 7 <= len(digits) <= 15:
        return None
    suffix = f"x{extension[1]}" if extension is not None else ""
    if bare.startswith("+"):
        return f"+{digits}{suffix}"
    if len(digits) == 11 and digits[0] == "8":
        return f"+7{digits[1:]}{suffix}"
    return f"+{digits[2:]}{suffix}" if digits.startswith("00") else f"{digits}{suffix}"


_COUNTRY_CODES: Final = {
    "de": ("49", "43", "41"), "fr": ("33", "32", "41"), "nl": ("31", "32"), "en": ("44", "61", "64", "27"),
    "uk": ("380",), "tr": ("90",), "sv": ("46",), "fi": ("358",), "ro": ("40",), "bg": ("359",),
    "hr": ("385",), "sr": ("381",), "sl": ("386",), "sk": ("421",), "id": ("62",), "ms": ("60",),
    "ja": ("81",), "ko": ("82",), "th": ("66",), "vi": ("84",), "he": ("972",), "hi": ("91",),
    "ar": ("966", "971"),
}  # fmt: skip
"""Language → codes of countries that speak it and write a 0 before a number without its country code."""


def same_phone(a: str, b: str, language: str | None = None) -> bool:
    """Whether two numbers are the same; a missing country code (7, 1 or 86) contradicts nothing.

    Where the language is known, neither does the code of a country that writes a 0 instead of it.
    """
    if a == b:
        return True
    with_code, without = (a, b) if a.startswith("+") else (b, a)
    if not with_code.startswith("+") or without.startswith("+"):
        return False
    if without.startswith("0"):
        codes = _COUNTRY_CODES.get(language or "", ())
        return any(with_code == f"+{code}{without[1:]}" for code in codes)
    lengths = {"+7": 10, "+1": 10, "+86": 11}
    national = len(without.partition("x")[0])
    return with_code == f"+{without}" or any(
        with_code == f"{code}{without}" and national == length for code, length in lengths.items()
    )


def read_identifier(text: str) -> str | None:
    """The characters of an identifier without grouping and number sign; None if it may be plain text.

    An identifier holds a digit, and has either no blank or at least ``MIN_GROUPED`` characters. Points and
    hyphens are part of it, unless it has ``MIN_PUNCTUATED`` digits or more.
    """
    # "45 05 № 679944": the sign stands between a series and its number.
    bare = _NUMBER_SIGN.sub("", text, count=1).replace("№", " ")
    if not _DIGIT.search(bare) or not _CHARACTERS.fullmatch(bare):
        return None
    compact = _BLANK.sub("", bare)
    words = _WORD.findall(bare)
    # The blanks of "12 Main St" part words, and so 1 2 Main St is another address.
    has_words = any(len(word) > 4 or (len(word) > 2 and not word.isupper()) for word in words)
    if compact != bare and (len(compact) < MIN_GROUPED or has_words):
        return None
    digits = _ANY_GROUPING.sub("", bare)
    if digits.isdecimal() and len(digits) >= MIN_PUNCTUATED:
        return digits
    return latin_capitals(compact)
