"""A checksum in each line of answers, so that a flipped bit is noticed before it changes a score."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.files import plain

CHECKSUM = "crc32"
"""The last key of a line; a line of an older version has none and is taken as it is."""

_encode = json.JSONEncoder(ensure_ascii=False, default=plain, separators=(",", ":")).encode


def with_checksum(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``record`` with the CRC-32 of its JSON text as the last key."""
    return {**record, CHECKSUM: _crc32(record)}


def is_intact(row: dict[str, Any]) -> bool:
    """Take the checksum out of ``row``, and say whether it fits the rest; True if there is none."""
    checksum = row.pop(CHECKSUM, None)
    return checksum is None or bool(checksum == _crc32(row))


def as_stored(text: str) -> bytes:
    """Return ``text`` as it stands in a line of a run directory, with its quotation marks."""
    return _encode(text).encode("utf-8", "backslashreplace")


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _crc32(record: Mapping[str, Any]) -> str:
    data = _encode(record).encode("utf-8", "backslashreplace")
    return f"{zlib.crc32(data):08x}"
