"""Recognises the encoding of a text that is not Unicode, or says between which ones it cannot decide.

Before Unicode every script had encodings of its own, and the same byte is a letter in all of them: ``é`` of a
French table is ``й`` to a Russian program. A reading is judged by its letters. Each of them follows and is
followed by letters with the frequencies of a language, which come from CLDR's names of languages, countries,
currencies, months and days (through babel): some 30,000 characters for each language. A reading with two
alphabets in one word is never right.

charset-normalizer, which is made for pages of text, names a wrong encoding for most tables of a few lines.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

_WESTERN = ("de", "fr", "it", "es", "pt", "nl", "sv", "da", "nb", "fi", "is", "ca", "et")
_CENTRAL = ("pl", "cs", "sk", "hu", "ro", "hr", "sl", "sq", "de")
_BALTIC = ("lt", "lv", "et", "fi", "de", "sv")
_CYRILLIC = ("ru", "uk", "be", "bg", "sr", "mk")
_TURKISH = ("tr", "de")


class Encoding(NamedTuple):
    """An encoding that a table may be in."""

    name: str
    """As Python and ``encoding`` of a task file name it."""
    title: str
    languages: tuple[str, ...]
    """Languages whose letters it was made for, as babel names them."""
    rarity: float = 0.0
    """Natural logarithm of how much rarer it is than the encodings of Windows, which Excel writes."""


_ISO, _DOS, _MACINTOSH = -1.0, -3.0, -6.0

ENCODINGS: Final = (
    Encoding("cp1252", "Windows-1252, Western European", _WESTERN),
    Encoding("cp1250", "Windows-1250, Central European", _CENTRAL),
    Encoding("cp1251", "Windows-1251, Cyrillic", _CYRILLIC),
    Encoding("cp1253", "Windows-1253, Greek", ("el",)),
    Encoding("cp1254", "Windows-1254, Turkish", _TURKISH),
    Encoding("cp1255", "Windows-1255, Hebrew", ("he",)),
    Encoding("cp1256", "Windows-1256, Arabic", ("ar", "fa")),
    Encoding("cp1257", "Windows-1257, Baltic", _BALTIC),
    Encoding("cp1258", "Windows-1258, Vietnamese", ("vi",)),
    Encoding("cp874", "Windows-874, Thai", ("th",)),
    Encoding("cp932", "Shift JIS, Japanese", ("ja",)),
    Encoding("gb18030", "GB 18030, simplified Chinese", ("zh",)),
    Encoding("cp950", "Big5, traditional Chinese", ("zh_Hant",)),
    Encoding("cp949", "UHC, Korean", ("ko",)),
    Encoding("iso8859_15", "ISO 8859-15, Western European", _WESTERN, _ISO),
    Encoding("iso8859_2", "ISO 8859-2, Central European", _CENTRAL, _ISO),
    Encoding("iso8859_5", "ISO 8859-5, Cyrillic", _CYRILLIC, _ISO),
    Encoding("iso8859_6", "ISO 8859-6, Arabic", ("ar",), _ISO),
    Encoding("iso8859_7", "ISO 8859-7, Greek", ("el",), _ISO),
    Encoding("iso8859_8", "ISO 8859-8, Hebrew", ("he",), _ISO),
    Encoding("iso8859_9", "ISO 8859-9, Turkish", _TURKISH, _ISO),
    Encoding("iso8859_13", "ISO 8859-13, Baltic", _BALTIC, _ISO),
    Encoding("koi8_r", "KOI8-R, Russian", ("ru", "bg"), _ISO),
    Encoding("koi8_u", "KOI8-U, Ukrainian", ("uk", "ru", "be"), _ISO),
    Encoding("euc_jp", "EUC, Japanese", ("ja",), _ISO),
    Encoding("cp866", "DOS 866, Cyrillic", _CYRILLIC, _DOS),
    Encoding("cp855", "DOS 855, Cyrillic", _CYRILLIC, _DOS),
    Encoding("cp850", "DOS 850, Western European", _WESTERN, _DOS),
    Encoding("cp858", "DOS 858, Western European", _WESTERN, _DOS),
    Encoding("cp437", "DOS 437, Western European", _WESTERN, _DOS),
    Encoding("cp852", "DOS 852, Central European", _CENTRAL, _DOS),
    Encoding("cp737", "DOS 737, Greek", ("el",), _DOS),
    Encoding("cp869", "DOS 869, Greek", ("el",), _DOS),
    Encoding("cp857", "DOS 857, Turkish", _TURKISH, _DOS),
    Encoding("cp862", "DOS 862, Hebrew", ("he",), _DOS),
    Encoding("cp775", "DOS 775, Baltic", _BALTIC, _DOS),
    Encoding("cp865", "DOS 865, Nordic", ("da", "nb"), _DOS),
    Encoding("mac_roman", "Macintosh, Western European", _WESTERN, _MACINTOSH),
    Encoding("mac_latin2", "Macintosh, Central European", _CENTRAL, _MACINTOSH),
    Encoding("mac_cyrillic", "Macintosh, Cyrillic", _CYRILLIC, _MACINTOSH),
    Encoding("mac_greek", "Macintosh, Greek", ("el",), _MACINTOSH),
    Encoding("mac_turkish", "Macintosh, Turkish", ("tr",), _MACINTOSH),
    Encoding("mac_iceland", "Macintosh, Icelandic", ("is",), _MACINTOSH),
)
"""Encodings that are tried. Where several give the same text, the first one names it."""

_WORD = re.compile(r"[^ \r\n,;\t\"'()\[\]{}<>/\\|:!?.]+")
_ASCII_WORD = re.compile(r"[A-Za-z]{2,}")
_CEDILLAS = str.maketrans("ȘșȚț", "ŞşŢţ")
_TWO_BYTES = frozenset({"ja", "ko", "zh", "zh_Hant"})
_MAX_WORDS = 3000
"""Different words that are judged: more of them do not make a judgement surer."""
_MAX_ASCII_WORDS = 300
_ALPHABETS = ("LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI")

_QUOTES = frozenset("«»„“”‘’‚¿¡\u00a0\u200f\u200e、。「」（），：；？！《》・،؛؟")
_APART = _QUOTES | frozenset("–—…€£¥§°№•½¼¾´×±％￥")
_BEHIND_A_WORD = frozenset("–—…®©™ªº²³°")
_INSIDE_A_WORD = frozenset("’‘、。「」（），：；？！《》・")
_SIGN_APART = math.log(1e-2)
_COMMON_SIGN, _SELDOM_SIGN, _RARE_SIGN = math.log(3e-3), math.log(1e-4), math.log(1e-6)
_UNKNOWN_LETTER = math.log(2e-6)
_CHANGE_OF_CASE = math.log(1e-3)
"""A capital behind a small letter, as readings in the wrong Cyrillic encoding have them."""

_MOST_BY_LANGUAGE = 8.0
"""Natural logarithm of how much the words without foreign letters may favour one language over another:
a German table may well name a Polish firm."""

_CHANGE_OF_LANGUAGE = math.log(0.003)
"""A word of another language than the rest of the table."""

MARGIN = 5.0
"""Natural logarithm of how much likelier the best reading must be than the next one."""
_USUAL = -6.0
"""Mean log-probability of a byte beyond ASCII of a table whose language is known well."""
FLOOR = -9.5
"""Mean log-probability of a byte beyond ASCII below which no reading is believed."""


class DecodedText(NamedTuple):
    """The text of some bytes in one encoding, and how much it looks like a language."""

    encoding: Encoding
    text: str
    likelihood: float
    """Natural logarithm of the probability of its letters and signs beyond ASCII."""
    mean: float
    """The same for one byte beyond ASCII."""

    @property
    def is_two_bytes(self) -> bool:
        """Say whether the encoding writes a character beyond ASCII as two bytes."""
        return self.encoding.languages[0] in _TWO_BYTES


class Guess(NamedTuple):
    """What ``guess_encoding`` found."""

    reading: DecodedText | None
    """None if no reading is likely enough, or two of them are."""
    candidates: tuple[DecodedText, ...] = ()
    """Likely readings with different texts, the likeliest first; empty if there are none."""


def is_text_encoding(name: str) -> bool:
    """Say whether Python knows an encoding of texts by this name."""
    try:
        # Codecs such as base64 are no encodings of texts, and decode() refuses them.
        "a".encode(name)
    except (LookupError, ValueError):
        return False
    return True


def guess_encoding(raw: bytes) -> Guess:
    """Find the encoding of ``raw``, which is neither UTF-8 nor UTF-16."""
    by_language = _language_evidence(raw)
    best_by_text: dict[str, DecodedText] = {}
    for encoding in ENCODINGS:
        reading = _read(raw, encoding, by_language)
        if reading is not None:
            # Encodings that agree on every byte of the file are no question.
            best_by_text.setdefault(reading.text, reading)
    ranked = sorted(best_by_text.values(), key=lambda reading: -reading.likelihood)
    if not ranked:
        return Guess(None)
    best, *others = ranked
    # The odder the best reading is, the further behind all others must be. One word alone proves little.
    margin = MARGIN + 4 * max(0.0, _USUAL - best.mean)
    if len(set(_foreign_words(best.text))) == 1:
        margin += MARGIN
    near = [reading for reading in others if best.likelihood - reading.likelihood < margin]
    if near or best.mean < FLOOR:
        return Guess(None, tuple(ranked[:4]))
    return Guess(best, (best,))


def language_likelihoods(words: Iterable[str]) -> dict[str, float]:
    """Return, for each language, the log-probability of all pairs of letters in ``words``."""
    known = {**_models(), "en": _english()}
    texts = list(words)
    return {
        language: sum(model.all_pairs(word) for word in texts) for language, model in known.items()
    }


def _read(raw: bytes, encoding: Encoding, by_language: Mapping[str, float]) -> DecodedText | None:
    """Decode ``raw`` and judge it; None if the bytes cannot be a text in this encoding.

    ``by_language``: how well each language fits the words without foreign letters.
    """
    try:
        text = raw.decode(encoding.name)
    except UnicodeDecodeError:
        return None
    if not _only_text(text):
        return None
    words = [unicodedata.normalize("NFC", word) for word in _foreign_words(text)]
    if any(_mixes_alphabets(word) for word in words):
        return None
    by_word = [
        {language: _models()[language].likelihood(word) for language in encoding.languages}
        for word in words
    ]
    likelihoods = []
    for language in encoding.languages:
        # A word may be in another language than the table: names of firms and of people are.
        own = sum(max(fits[language], max(fits.values()) + _CHANGE_OF_LANGUAGE) for fits in by_word)
        likelihoods.append((own + by_language[language] + encoding.rarity, own))
    likelihood, own = max(likelihoods)
    return DecodedText(encoding, text, likelihood, own / max(1, _foreign_bytes(words, encoding)))


def _foreign_bytes(words: Iterable[str], encoding: Encoding) -> int:
    """Return how many bytes the characters beyond ASCII take."""
    foreign = [character for word in words for character in word if not character.isascii()]
    width = 2 if encoding.languages[0] in _TWO_BYTES else 1
    return width * len(foreign)


def _language_evidence(raw: bytes) -> dict[str, float]:
    """Say for each language how well it fits the plain words of the table, 0 for the best one.

    Half of the words may be English, whatever the language: names of columns and of files are.
    """
    text = raw.decode("ascii", "replace")
    counted = dict.fromkeys(match[0].lower() for match in _ASCII_WORD.finditer(text))
    words = list(counted)[:_MAX_ASCII_WORDS]
    english = [_english().all_pairs(word) for word in words]
    evidence = {}
    for language, model in _models().items():
        total = 0.0
        for word, in_english in zip(words, english, strict=True):
            own = model.all_pairs(word)
            high, low = max(own, in_english), min(own, in_english)
            total += high + math.log1p(math.exp(low - high))
        evidence[language] = total
    best = max(evidence.values())
    return {language: max(-_MOST_BY_LANGUAGE, total - best) for language, total in evidence.items()}


def _only_text(text: str) -> bool:
    """Say whether every character is one that people write: no control, no private or unassigned code."""
    foreign = {character for character in text if not character.isascii()}
    categories = {unicodedata.category(character) for character in foreign}
    return not categories & {"Cc", "Cn", "Co", "Cs"}


def _foreign_words(text: str) -> Iterator[str]:
    """Yield the different words that are not plain ASCII."""
    words = dict.fromkeys(match[0] for match in _WORD.finditer(text) if not match[0].isascii())
    for number, word in enumerate(words):
        if number == _MAX_WORDS:
            return
        yield word


def _mixes_alphabets(word: str) -> bool:
    """Say whether letters of two alphabets touch; a hyphen or a digit between them parts the word."""
    for run in _runs(word):
        alphabets = {_alphabet(letter) for letter in run}
        if len(alphabets - {""}) > 1:
            return True
    return False


def _runs(word: str) -> list[str]:
    """Return the parts of ``word`` that consist of letters and their marks."""
    parted = "".join(character if _is_letter(character) else " " for character in word)
    return parted.split()


@functools.cache
def _alphabet(letter: str) -> str:
    name = unicodedata.name(letter, "").removeprefix("COMBINING ")
    return next((alphabet for alphabet in _ALPHABETS if name.startswith(alphabet)), "")


class _Model:
    """Frequencies of letters and of pairs of letters in the words of one language."""

    def __init__(self, words: Iterable[str]) -> None:
        self.letters: Counter[str] = Counter()
        self.followers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for word in words:
            framed = f" {_small(word)} "
            for first, second in pairwise(framed):
                self.letters[second] += 1
                self.followers[first][second] += 1
        self.total = self.letters.total()
        self.known = {first: followers.total() for first, followers in self.followers.items()}

    def likelihood(self, word: str) -> float:
        """Return the log-probability of the pairs in ``word`` that have a character beyond ASCII."""
        framed = f" {word} "
        total = 0.0
        for place in range(1, len(framed) - 1):
            before, character, after = framed[place - 1], framed[place], framed[place + 1]
            if character.isascii():
                continue
            if not _is_letter(character):
                total += _sign(before, character, after)
                continue
            total += self._pair(before, character)
            # Of two such letters the second one judges the pair.
            if after.isascii():
                total += self._pair(character, after) - self._alone(after)
            if before.islower() and character.isupper():
                total += _CHANGE_OF_CASE
        return total

    def all_pairs(self, word: str) -> float:
        """Return the log-probability of all pairs of letters in ``word``."""
        framed = f" {word} "
        return sum(self._pair(first, second) for first, second in pairwise(framed))

    def _pair(self, first: str, second: str) -> float:
        first, second = _small(first), _small(second)
        first = first if _is_letter(first) else " "
        second = second if _is_letter(second) else " "
        alone = math.exp(self._alone(second))
        # Witten-Bell: a letter with few known followers trusts the single letter more.
        followers = self.followers.get(first)
        if not followers:
            return math.log(alone)
        kinds, known = len(followers), self.known[first]
        return math.log((followers[second] + kinds * alone) / (known + kinds))

    def _alone(self, letter: str) -> float:
        count = self.letters.get(_small(letter), 0)
        return math.log(count / self.total) if count else _UNKNOWN_LETTER


def _small(text: str) -> str:
    """Return ``text`` in lower case, with as many characters as it had."""
    return text.replace("İ", "i").lower()


def _is_letter(character: str) -> bool:
    """Say whether ``character`` is a letter or a mark that belongs to one."""
    return (character.isalpha() and character not in "ªº") or unicodedata.category(
        character
    ) == "Mn"


def _sign(before: str, sign: str, after: str) -> float:
    """Return the log-probability of a sign between its neighbours."""
    beside = [_is_letter(before), _is_letter(after)]
    if all(beside):
        if sign in _INSIDE_A_WORD:
            return _COMMON_SIGN
        return _SELDOM_SIGN if sign in "–—" else _RARE_SIGN
    if not any(beside):
        return _SIGN_APART if sign in _APART else _RARE_SIGN
    if sign in _QUOTES or sign == "°":
        return _COMMON_SIGN
    if sign in _BEHIND_A_WORD and not _is_letter(after):
        return _SELDOM_SIGN
    return _RARE_SIGN


@functools.cache
def _english() -> _Model:
    return _Model(_words("en"))


@functools.cache
def _models() -> Mapping[str, _Model]:
    languages = {language for encoding in ENCODINGS for language in encoding.languages}
    return {language: _Model(_words(language)) for language in languages}


def _words(language: str) -> Iterator[str]:
    """Yield the words of a language that CLDR's names of things consist of."""
    # Imported when first needed: most tables are UTF-8.
    from babel import Locale

    locale = Locale.parse(language)
    names = [
        *locale.languages.values(),
        *locale.territories.values(),
        *locale.currencies.values(),
        *locale.scripts.values(),
    ]
    for calendar in (locale.months, locale.days):
        for forms in calendar.values():
            for values in forms.values():
                names += values.values()
    for name in names:
        if language == "ro":
            # Only Unicode tells the comma below from the cedilla, which all older encodings have.
            name = name.translate(_CEDILLAS)
        yield from _WORD.findall(name)
