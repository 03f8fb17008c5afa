"""Markdown of untrusted text: escaping, and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bench.text import one_line

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&@$])")


def escape(text: str, limit: int = 200) -> str:
    """Untrusted text as one line of Markdown: no markup, no HTML, no mention, no table cell of its own."""
    # A blank after @ and a backslash before every mark: GitHub would turn them into people and links.
    line = _SPECIAL.sub(r"\\\1", one_line(text, limit))
    return line.replace("://", ":&#47;&#47;").replace("\\@", "&#64;").replace("\\<", "&lt;")


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[bool]) -> str:
    """A Markdown table; numbers to the right."""
    lines = [
        "| " + " | ".join(header) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def code(text: str, limit: int = 600) -> str:
    """Untrusted text as the inside of `code` on one line."""
    return one_line(text, limit).replace("`", "'").replace("|", "¦")
