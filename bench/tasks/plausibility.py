"""Tells text from meaningless codes: what a PDF font without a right ToUnicode table gives for its letters.

The table of letter pairs was counted over the names of languages, countries, scripts, currencies, months and
days in Unicode's CLDR, in 32 languages of Latin and 9 of Cyrillic script: the most frequent pairs that make
up 93 % of each script. Every one of the languages keeps to them for 0.86 to 0.96 of its pairs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise

LEAST_PAIRS = 40
"""Letter pairs without which no judgement is made: names and numbers alone keep to no language."""
LEAST_SHARE = 0.68
"""Smallest share of frequent pairs in text. Letters that are shifted or exchanged reach 0.3 to 0.5."""
MOST_BROKEN = 0.2
"""Largest share of characters that are no writing."""
MOST_ACCENTED = 0.5
"""Largest share of accented Latin letters; Vietnamese has a third, Cyrillic taken for Latin-1 nearly all."""

_LATIN = (
    "a:abcdfghijklmnoprstuvwyz b:aeiloru c:aehioru d:aeiosuz e:acdegiklmnoprstuvz f:aior g:aehioru "
    "h:aeiotu i:abcdegijklmnoprstuvz j:aeiosu k:aehiorsuy l:adegilostu m:abeiou n:acdegiknostuy "
    "o:abcdegiklmnoprstuv p:aeioru q:u r:abdegikmnorstu s:acehiklopstuyz t:aehiorsu u:abdegiklmnprstz "
    "v:aei w:aei y:a z:aei"
)
_CYRILLIC = (
    "а:абвгдезиклмнопрстуфхчшяј б:авеилорсуі в:аеинорсыі г:авеилоруі д:аежиносуы е:авгдзиклмнопрстуцчшяј "
    "ж:аин з:аеиосуі и:абвгдезиклмнопрстцчшяј к:авеилморстуі л:абгдеиклостуыьі м:абеиосуыі "
    "н:авгдеикностуцчыьяі о:абвгдзиклмнпрстч п:аеиорсуі р:абвгдеиклмностуыэі с:авеиклмопрстуыьі "
    "т:авеинорсыіү у:абвгдежзклмнпрстучы ф:аиору х:аиоі ц:аеику ч:аеикно ш:авеикт ы:икня ь:екся э:лнр я:лн "
    "і:вдиклнрстя ј:аесу ү:кс"
)
_FREQUENT = frozenset(
    letter + follower
    for row in f"{_LATIN} {_CYRILLIC}".split()
    for letter, _, followers in [row.partition(":")]
    for follower in followers
)
_LETTERS = re.compile("[a-z]+|[\u0400-\u04ff]+")
_BROKEN_CATEGORIES = frozenset({"Cc", "Cn", "Co", "Cs"})
"""Control characters, unassigned and private code points, halves of pairs."""
_SOFT_HYPHEN = "\x02"
"""pdfium's sign for a hyphen at the end of a line."""
_SYMBOLS_OF_CODES = frozenset("\\^`{|}~\ufffd")
"""Signs that papers hardly use, and that stand beside the letters in code tables."""


def is_meaningless(words: Sequence[str]) -> bool:
    """Say whether ``words`` are codes that nobody can read rather than text in some language."""
    return (
        _broken_share(words) > MOST_BROKEN
        or _accented_share(words) > MOST_ACCENTED
        or frequent_pairs(words) < LEAST_SHARE
    )


def frequent_pairs(words: Sequence[str]) -> float:
    """Return the share of letter pairs that are frequent in their script; 1 where too few pairs tell."""
    pairs = [pair for word in words for pair in _pairs(word)]
    if len(pairs) < LEAST_PAIRS:
        return 1.0
    frequent = sum(pair in _FREQUENT for pair in pairs)
    return frequent / len(pairs)


def _pairs(word: str) -> Iterator[str]:
    plain = unicodedata.normalize("NFD", word.lower())
    letters = "".join(character for character in plain if not unicodedata.combining(character))
    for run in _LETTERS.findall(letters):
        for first, second in pairwise(run):
            yield first + second


def _broken_share(words: Sequence[str]) -> float:
    characters = [character for word in words for character in word if character != _SOFT_HYPHEN]
    broken = sum(
        character in _SYMBOLS_OF_CODES or unicodedata.category(character) in _BROKEN_CATEGORIES
        for character in characters
    )
    return broken / len(characters) if characters else 0.0


def _accented_share(words: Sequence[str]) -> float:
    text = unicodedata.normalize("NFC", "".join(words))
    latin = [letter for letter in text if letter.isalpha() and letter < "\u0250"]
    accented = sum("\u00c0" <= letter <= "\u00ff" for letter in latin)
    # A word or two in capitals with accents is no sign of anything.
    return accented / len(latin) if len(latin) >= LEAST_PAIRS else 0.0
