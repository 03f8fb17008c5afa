"""Reads whole numbers that are spelled in English and Russian words, as payment orders spell amounts."""

from __future__ import annotations

import re
from typing import Final

_SMALL: Final = {
    0: "zero ноль",
    1: "one a один одна одно",
    2: "two два две",
    3: "three три",
    4: "four четыре",
    5: "five пять",
    6: "six шесть",
    7: "seven семь",
    8: "eight восемь",
    9: "nine девять",
    10: "ten десять",
    11: "eleven одиннадцать",
    12: "twelve двенадцать",
    13: "thirteen тринадцать",
    14: "fourteen четырнадцать",
    15: "fifteen пятнадцать",
    16: "sixteen шестнадцать",
    17: "seventeen семнадцать",
    18: "eighteen восемнадцать",
    19: "nineteen девятнадцать",
    20: "twenty двадцать",
    30: "thirty тридцать",
    40: "forty fourty сорок",
    50: "fifty пятьдесят",
    60: "sixty шестьдесят",
    70: "seventy семьдесят",
    80: "eighty восемьдесят",
    90: "ninety девяносто",
    100: "сто",
    200: "двести",
    300: "триста",
    400: "четыреста",
    500: "пятьсот",
    600: "шестьсот",
    700: "семьсот",
    800: "восемьсот",
    900: "девятьсот",
}
_LARGE: Final = {
    1_000: "thousand тысяча тысячи тысяч",
    1_000_000: "million миллион миллиона миллионов",
    1_000_000_000: "billion миллиард миллиарда миллиардов",
}
_VALUES: Final = {word: value for value, words in _SMALL.items() for word in words.split()}
_SCALES: Final = {word: value for value, words in _LARGE.items() for word in words.split()}


def read_words(text: str) -> int | None:
    """The number that words spell; None if a word is none, or if they stand in no order that counts.

    Args:
        text: in lower case, without ё.
    """
    total = section = 0
    last = 10**12
    room = 1_000
    said = False
    for word in re.split(r"[\s-]+", text.strip()):
        if word == "and":
            continue
        if word == "hundred":
            if not 1 <= section <= 9:
                return None
            section, room = section * 100, 100
        elif word in _SCALES:
            scale = _SCALES[word]
            # Scales fall: "a thousand million" is no amount on a form.
            if scale >= last:
                return None
            total, section, room, last = total + (section or 1) * scale, 0, 1_000, scale
        else:
            value = _VALUES.get(word)
            if value is None or value >= room:
                return None
            section += value
            room = 100 if value >= 100 else 10 if value >= 20 else 1
        said = True
    return total + section if said else None
