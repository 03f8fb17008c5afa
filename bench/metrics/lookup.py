"""Finds whose value an answer is: the question of a document that has the answer as its reference.

Comparing every answer with every reference of its document takes time that grows with the square of their
number. So the references are filed under what their values have in common, and only those are compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bench.metrics.dates import DateReading
from bench.metrics.fields import (
    MAX_TYPED,
    Quantity,
    context_of,
    field_equivalent,
    informed,
    readings,
)
from bench.metrics.folding import (
    has_special_digits,
    latin_capitals,
    plain,
    spelling_of_names,
    western_digits,
)
from bench.metrics.names import address_words, company_words, name_words

MAX_CANDIDATES: Final = 50
"""References with something in common that are compared with one answer."""

_LANGUAGES: Final = (None, "ru", "zh")
"""What the letters of an answer can say about a document whose language is not known."""


_MARKS: Final = re.compile(r"[\W_]+")

_MARKED_TYPES: Final = frozenset({"phone", "kpp", "bik"})
"""Types that are read if either of two texts bears their mark."""


class FieldIndex:
    """The references of all questions about one document, filed by their values."""

    def __init__(
        self, references: Mapping[str, Sequence[str]], language: str | None = None
    ) -> None:
        """File ``references`` (question → accepted answers) of a document in ``language``."""
        self._references = references
        self._language = language
        self._filed: dict[object, dict[tuple[str, str], None]] | None = None

    def owner(self, answer: str, besides: str | None = None) -> str | None:
        """The first question but ``besides`` whose reference ``answer`` means; None if there is none."""
        candidates: dict[tuple[str, str], None] = {}
        filed = self._file()
        for key in marks(answer, self._language):
            candidates.update(filed.get(key, {}))
        others = [candidate for candidate in candidates if candidate[0] != besides]
        for question, text in others[:MAX_CANDIDATES]:
            if field_equivalent(answer, [text], language=self._language).equivalent:
                return question
        return None

    def _file(self) -> dict[object, dict[tuple[str, str], None]]:
        if self._filed is None:
            self._filed = {}
            for question, texts in self._references.items():
                for text in filter(plain, texts):
                    for key in marks(text, self._language):
                        self._filed.setdefault(key, {})[question, text] = None
        return self._filed


def marks(text: str, language: str | None, field: str | None = None) -> set[object]:
    """Marks of which two texts share at least one if one can mean the other.

    Args:
        text: an answer or a reference.
        language: of the document.
        field: name of the field that both are values of; None if it is not known.
    """
    bare = western_digits(plain(text))
    name = spelling_of_names(bare)
    words = name_words(name) if len(name) <= MAX_TYPED else None
    keys: set[object] = {_squeezed(bare), _squeezed("".join(words or (name,)))}
    if words is not None and field is not None:
        keys |= {company_words(words), address_words(words)}
    if len(bare) > MAX_TYPED or has_special_digits(bare):
        return keys
    for each in (language,) if language else _LANGUAGES:
        known = informed(context_of(field, each), bare, bare)
        context = known._replace(expected=known.expected | _MARKED_TYPES)
        for kind, value in readings(bare, context).items():
            keys.update((kind, part) for part in _parts(kind, value))
    return keys


def _squeezed(text: str) -> str:
    return latin_capitals(_MARKS.sub("", text))


def _parts(kind: str, value: object) -> Iterator[object]:
    if isinstance(value, DateReading):
        yield from value.moments
        yield from ([value.order] if value.order else [])
    elif kind == "phone":
        # The last digits are there with a country code and without it.
        yield re.sub(r"\D", "", str(value).partition("x")[0])[-7:]
    elif isinstance(value, Quantity):
        yield from value.number.values
    elif kind == "currency" and isinstance(value, frozenset):
        yield from value
    elif kind in {"amount", "percentage"}:
        yield from getattr(value, "values", ())
        yield getattr(value, "numeral", "")
    else:
        yield value
