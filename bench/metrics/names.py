"""Makes equal what only the writing of a name or an address sets apart: initials, legal forms, abbreviations.

What is left out on one side (a legal form, a house number) makes two names; so does another form: ООО is not
ЗАО. The abbreviations of addresses are read in address fields only, where "St" is a street.
"""

from __future__ import annotations

import functools
import re
from typing import Final

_FORMS: Final = {
    "общество с ограниченной ответственностью": "ооо",
    "публичное акционерное общество": "пао",
    "непубличное акционерное общество": "нао",
    "открытое акционерное общество": "оао",
    "закрытое акционерное общество": "зао",
    "акционерное общество": "ао",
    "индивидуальный предприниматель": "ип",
    "товариство з обмеженою відповідальністю": "тов",
    "товарищество с ограниченной ответственностью": "тоо",
    "государственное унитарное предприятие": "гуп",
    "муниципальное унитарное предприятие": "муп",
    "автономная некоммерческая организация": "ано",
    "gesellschaft mit beschränkter haftung": "gmbh",
    "aktiengesellschaft": "ag",
    "kommanditgesellschaft": "kg",
    "limited liability company": "llc",
    "public limited company": "plc",
    "private limited": "pvt ltd",
    "société à responsabilité limitée": "sarl",
    "société anonyme": "sa",
    "société par actions simplifiée": "sas",
    "spółka z ograniczoną odpowiedzialnością": "sp zoo",
    "sp z o o": "sp zoo",
    "sp z oo": "sp zoo",
    "spółka akcyjna": "sa",
    "società a responsabilità limitata": "srl",
    "società per azioni": "spa",
    "sociedad limitada": "sl",
    "sociedad anónima": "sa",
    "sociedade anônima": "sa",
    "besloten vennootschap": "bv",
    "naamloze vennootschap": "nv",
    "sendirian berhad": "sdn bhd",
    "berhad": "bhd",
    "limited": "ltd",
    "limitada": "ltda",
    "incorporated": "inc",
    "corporation": "corp",
    "company": "co",
    "private": "pvt",
    "pte": "pte",
}
_FORM_PATTERN: Final = re.compile(
    r"(?<!\S)(?:" + "|".join(sorted(map(re.escape, _FORMS), key=len, reverse=True)) + r")(?!\S)"
)
_MOVABLE: Final = frozenset(
    [
        "ооо",
        "пао",
        "нао",
        "оао",
        "зао",
        "ао",
        "ип",
        "тов",
        "тоо",
        "гуп",
        "муп",
        "ано",
        "ltd",
        "llc",
        "plc",
        "inc",
        "corp",
        "gmbh",
        "ag",
        "kg",
    ]
)
"""Forms that stand before a name or behind it, also in brackets."""
_AND: Final = frozenset({"and", "und", "et", "en", "y", "и", "та"})

_ADDRESS_WORDS: Final = {
    "улица": "ул", "г": "", "город": "", "гор": "", "місто": "", "м": "", "дом": "д",
    "квартира": "кв", "корпус": "корп", "к": "корп",
    "строение": "стр", "офис": "оф", "проспект": "пр-кт", "пр-т": "пр-кт", "просп": "пр-кт", "пр": "пр-кт",
    "переулок": "пер", "площадь": "пл", "набережная": "наб", "область": "обл", "район": "р-н",
    "шоссе": "ш", "бульвар": "б-р", "бул": "б-р", "республика": "респ", "поселок": "пос", "п": "пос",
    "село": "с", "деревня": "дер", "микрорайон": "мкр", "мкрн": "мкр", "этаж": "эт", "помещение": "пом",
    "комната": "ком", "проезд": "пр-д", "индекс": "",
    "street": "st", "str": "st", "road": "rd", "avenue": "ave", "av": "ave", "boulevard": "blvd",
    "drive": "dr",
    "lane": "ln", "apartment": "apt", "suite": "ste", "floor": "fl", "building": "bldg", "square": "sq",
    "number": "no", "nr": "no", "jalan": "jln", "jl": "jln", "highway": "hwy", "court": "ct", "place": "pl",
    "straße": "st", "strasse": "st", "platz": "pl", "rue": "r", "calle": "c", "c/": "c", "via": "v",
}  # fmt: skip
"""Word → its short form. The word for a city says nothing: Moscow is a city with and without it."""
_HOUSE: Final = "д"
_STREET_END: Final = re.compile(r"(?<=\w{3})(?:straße|strasse|str)\Z")

_INITIALS: Final = re.compile(r"(?<!\w)(?:[^\W\d_]\.\s*){2,}|(?<!\w)[^\W\d_](?:\.[^\W\d_])+(?!\w)")
_BETWEEN: Final = re.compile(r"(?<=\d)[.,](?=\d)|[\s.,;\"]+|(?<!\d):|:(?!\d)")
_BRACKETS: Final = re.compile(r"\(([^()]*[^\W\d_][^()]*)\)")
_LETTER: Final = re.compile(r"[^\W\d_]")
_BEHIND_A_NUMBER_SIGN: Final = re.compile(r"(?<=no)(?=\d)|(?<=№)(?=\d)")


@functools.lru_cache(maxsize=2048)
def name_words(text: str) -> tuple[str, ...] | None:
    """The words of a name or address: without full stops, commas, outer marks, and blanks between initials.

    Args:
        text: plain, in lower case, with е for ё.

    Returns:
        The words; None if ``text`` has no letter, so that its marks belong to a number.
    """
    if not _LETTER.search(text):
        return None
    joined = _INITIALS.sub(_without_stops, text)
    unbracketed = _BRACKETS.sub(r" ( \1 ) ", joined)
    # A mark between two digits belongs to them: 1.5 is not 1 5.
    spaced = _BETWEEN.sub(
        lambda mark: mark[0] if mark[0] in {".", ","} and _inside(mark) else " ", unbracketed
    )
    parted = _BEHIND_A_NUMBER_SIGN.sub(" ", spaced)
    words = " ".join(parted.split())
    return tuple(_FORM_PATTERN.sub(lambda form: _FORMS[form[0]], words).split())


def _without_stops(initials: re.Match[str]) -> str:
    letters = re.sub(r"[.\s]", "", initials[0])
    return f"{letters} " if initials[0][-1:].isspace() or initials[0].endswith(".") else letters


def _inside(mark: re.Match[str]) -> bool:
    text, start, end = mark.string, mark.start(), mark.end()
    return start > 0 and end < len(text) and text[start - 1].isdigit() and text[end].isdigit()


def company_words(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A company's name and its legal forms, apart: a form stands before the name or behind it."""
    forms = [word for word in words if word in _MOVABLE]
    name = [("&" if word in _AND else word) for word in words if word not in _MOVABLE]
    return tuple(word for word in name if word not in {"(", ")"}), tuple(sorted(forms))


def address_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words of an address, with one spelling for each kind of street, house and place.

    The words for a city and for a house number go: "г. Тверь, ул. Мира, д. 5" is "Тверь, ул. Мира, 5".
    """
    short: list[str] = []
    for word in words:
        if word[0].isdigit() and short[-1:] == [_HOUSE]:
            short.pop()
        ending = _STREET_END.search(word)
        if ending is not None:
            short.append(f"{word[: ending.start()]}st")
        elif word not in {"(", ")"}:
            short.append(_ADDRESS_WORDS.get(word, word))
    return tuple(word for word in short if word)
