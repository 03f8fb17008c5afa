"""The names of the months in every common written language, from the Unicode CLDR by way of babel."""

from __future__ import annotations

import re
from functools import cache

from babel import Locale

from bench.models.ocr.characters import CHINESE

_LANGUAGES = (
    "en ru zh de fr nl es it pl pt uk tr cs sk sl hr hu ro bg el sv da nb fi et lv lt ca id ms"
)
"""The languages of business papers in Latin, Cyrillic and Greek script. Chinese months are figures."""


@cache
def month_pattern() -> str:
    """A regular expression for any month's name, inflected or abbreviated, longest first."""
    names: set[str] = set()
    for language in _LANGUAGES.split():
        months = Locale.parse(language).months
        for form in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                names.update(months[form][width].values())
    names.add("Sept")
    # Chinese, and locales without names of their own, count the months.
    plain = {name.rstrip(".").lower() for name in names if not re.search(rf"\d|{CHINESE}", name)}
    unaccented = {name.replace("ä", "ae").replace("é", "e").replace("û", "u") for name in plain}
    # Roman numerals stand for months in some locales, and would make months of initials.
    worded = {name for name in plain | unaccented if len(name) >= 3}
    longest_first = sorted(worded, key=lambda name: (-len(name), name))
    return "(?:" + "|".join(map(re.escape, longest_first)) + r")(?![^\W\d_])\.?"
