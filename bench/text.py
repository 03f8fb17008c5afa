"""Makes untrusted text safe to show, and untrusted names safe to use as file names.

Answers of models, questions and file names come from outside. They may hold terminal escape sequences,
right-to-left overrides, or a megabyte of one letter.
"""

from __future__ import annotations

import re
import shlex
import traceback
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

# Bidirectional controls reorder the text around them: a table cell could rewrite its neighbours.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Unicode categories: control, surrogate, unassigned, line separator, paragraph separator.
_INVISIBLE = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})
_UNSAFE_FILE_CHARACTERS = re.compile(r"[^\w.+=@-]+")
# A name and a password before the host of an address; a password may hold an @ itself.
_USER_INFO = re.compile(r"://[^/\s?#'\"<>]*@")
_RESERVED_NAMES = frozenset({"con", "prn", "aux", "nul"})


def printable(text: str, *, newlines: bool = False) -> str:
    r"""Return ``text`` with every character visible that steers a terminal or reorders a line.

    Control, surrogate, unassigned and bidirectional characters become ``\xNN`` or ``\uNNNN``. Newlines
    and tabs stay as they are if ``newlines`` is true, and become spaces otherwise.
    """
    # Nearly every text is: none of its characters is one of those below.
    if text.isprintable():
        return text
    shown: list[str] = []
    for character in text:
        if character in "\n\t":
            shown.append(character if newlines else " ")
        elif character in _BIDI or unicodedata.category(character) in _INVISIBLE:
            shown.append(_escaped(character))
        else:
            shown.append(character)
    return "".join(shown)


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def clip(text: str, limit: int) -> str:
    """Cut ``text`` to ``limit`` characters; an ellipsis stands in place of the last one if it was cut."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


def without_user_info(text: str) -> str:
    """``text`` with the user name and password of every address in it replaced by ``***``."""
    return _USER_INFO.sub("://***@", text) if "://" in text else text


def one_line(value: object, limit: int = 200) -> str:
    """Return a text, a path or an error as it may stand in a message.

    The result is one line of at most ``limit`` printable characters, without passwords of addresses.
    """
    # Before it is cut: half a password is still a secret.
    text = without_user_info(str(value))
    # The text is cut before its characters are examined: nobody needs a megabyte to see its start.
    return clip(printable(" ".join(text[: limit * 4].split())), limit)


def shell_word(value: object) -> str:
    """Return a name or a path as one word of a command that a person copies into a shell."""
    return shlex.quote(printable(str(value)))


def error_line(error: BaseException) -> str:
    """Return ``ErrorClass: message`` in one line; an error without a message says where it was raised."""
    said = one_line(str(error), 500)
    return f"{type(error).__name__}: {said or f'raised in {stumbled(error)}'}"


def stumbled(error: BaseException) -> str:
    """Where ``error`` was raised, for an error that says nothing itself: ``function (package/file.py)``."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "an unknown place"
    place = Path(frames[-1].filename)
    return f"{frames[-1].name} ({place.parent.name}/{place.name})"


def file_name(name: str) -> str:
    """Turn ``name`` into one safe path component; letters of any script stay.

    Two different names may give the same component. A caller that needs unique names checks for it.
    """
    composed = unicodedata.normalize("NFC", name)
    safe = _UNSAFE_FILE_CHARACTERS.sub("-", composed).strip(".-") or "unnamed"
    if safe.split(".")[0].lower() in _RESERVED_NAMES:
        safe = f"_{safe}"
    # File systems bound the bytes of a name, usually to 255; suffixes are still to be added.
    while len(safe.encode()) > 120:
        safe = safe[:-1]
    return safe


def csv_cell(text: str) -> str:
    """Return ``text`` as a CSV cell that no spreadsheet takes for a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def utc_now() -> str:
    """Return the present moment in UTC, in ISO 8601 with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
