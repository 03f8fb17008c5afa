"""Reads the words that documents are made of, from TOML and CSV files.

Each file is read once, when it is first needed. A seed draws from lists by position. So every document
changes if a list gets shorter or longer, or changes its order.
"""

from __future__ import annotations

import csv
import io
import tomllib
from functools import lru_cache
from importlib import resources
from typing import Any


@lru_cache(maxsize=32)
def read_table(name: str) -> dict[str, Any]:
    """Return the content of the TOML file ``name`` (without suffix); callers must not change it."""
    return tomllib.loads(_text(f"{name}.toml"))


@lru_cache(maxsize=8)
def read_rows(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of the CSV file ``name`` (without suffix), each as column → cell."""
    return tuple(csv.DictReader(io.StringIO(_text(f"{name}.csv"))))


def _text(file: str) -> str:
    return resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
