"""Reading records of a run leniently: what an older run did not write, or wrote otherwise, is None."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def nested(record: Any, *keys: str) -> Any:
    """The value under a path of keys; None if any of them is missing."""
    for key in keys:
        if not isinstance(record, Mapping):
            return None
        record = record.get(key)
    return record


def number(value: Any) -> float | None:
    """``value`` if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def text(value: Any) -> str:
    """``value`` as text; the empty string if there is none."""
    return "" if value is None else str(value)


def at(value: Any, path: str) -> Any:
    """What stands at a path of attributes and keys, as ``latency.p50``; None if there is nothing."""
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return None if value == "" else value
