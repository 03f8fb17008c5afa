"""Making untrusted text safe to show and untrusted names safe to use as file names.

Answers of models, questions and file names come from outside: they may hold terminal escape
sequences, right-to-left overrides, or a megabyte of one letter.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

# Bidirectional controls reorder the text around them: a table cell could rewrite its neighbours.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSAFE_FILE_CHARACTERS = re.compile(r"[^\w.+=@-]+")
_RESERVED_NAMES = frozenset({"con", "prn", "aux", "nul"})


def printable(text: str, *, newlines: bool = False) -> str:
    r"""``text`` with every character that steers a terminal or reorders a line made visible.

    Control, surrogate, unassigned and bidirectional characters become ``\xNN`` or ``\uNNNN``. Newlines
    and tabs stay as they are when ``newlines`` is true, and turn into a blank otherwise.
    """
    out: list[str] = []
    for character in text:
        if character in "\n\t":
            out.append(character if newlines else " ")
        elif character in _BIDI or unicodedata.category(character) in {
            "Cc",
            "Cs",
            "Cn",
            "Zl",
            "Zp",
        }:
            code = ord(character)
            escape = f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
            out.append(escape if code <= 0xFFFF else f"\\U{code:08x}")
        else:
            out.append(character)
    return "".join(out)


def clip(text: str, limit: int) -> str:
    """The first ``limit`` characters of ``text``, the last of them an ellipsis if it was cut."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


def one_line(text: str, limit: int = 200) -> str:
    """``text`` as it may stand in a message: one line, printable, at most ``limit`` characters."""
    # Cut before the characters are looked at: a megabyte need not be walked to show its start.
    return clip(printable(" ".join(text[: limit * 4].split())), limit)


def file_name(name: str) -> str:
    """``name`` as a single safe path component (letters of any script stay).

    Different names may give the same component; whoever needs uniqueness checks for it.
    """
    safe = (
        _UNSAFE_FILE_CHARACTERS.sub("-", unicodedata.normalize("NFC", name)).strip(".-")
        or "unnamed"
    )
    if safe.split(".")[0].lower() in _RESERVED_NAMES:
        safe = f"_{safe}"
    while len(safe.encode()) > 120:
        safe = safe[:-1]
    return safe


def csv_cell(text: str) -> str:
    """``text`` as a CSV cell that no spreadsheet takes for a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def utc_now() -> str:
    """The present moment in UTC, ISO 8601 with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
