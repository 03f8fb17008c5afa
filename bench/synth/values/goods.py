"""Goods and services that are really sold (``data/goods.csv`` and ``data/till.csv``).

Prices are ranges in the language's currency (RUB, GBP or USD, CNY): per unit without tax on an invoice,
with tax at a till.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from bench.synth.data import read_rows

_QUANTITIES = {
    "few": "1 2 3 4 5",
    "some": "2 4 5 6 8 10 12 15",
    "many": "10 20 24 30 40 50 60 100 120",
    "bulk": "25 50 75.5 100 150 200 250 320.5 500",
    "hours": "4 8 12 16 20 24 36 40",
}
"""Names that a row may give instead of its quantities."""


class Good(NamedTuple):
    """Something an invoice can list."""

    name: str
    unit: str
    low: float
    high: float
    """Price range."""
    quantities: tuple[str, ...]
    code: str
    """ОКЕИ code of the unit (ru), article number (en), tax category (zh)."""
    model: str
    """Empty where the language's invoices name none."""


class TillGood(NamedTuple):
    """Something a till prints."""

    name: str
    low: float
    high: float


@lru_cache(maxsize=4)
def goods(language: str) -> dict[str, tuple[Good, ...]]:
    """Line of business → its goods."""
    trades: dict[str, list[Good]] = {}
    for row in read_rows("goods"):
        if row["language"] == language:
            quantities = _QUANTITIES.get(row["quantities"], row["quantities"]).split()
            trades.setdefault(row["trade"], []).append(
                Good(row["name"], row["unit"], float(row["low"]), float(row["high"]),
                     tuple(quantities), row["code"], row["model"])
            )  # fmt: skip
    return {trade: tuple(rows) for trade, rows in trades.items()}


@lru_cache(maxsize=8)
def till_goods(language: str, place: str) -> tuple[TillGood, ...]:
    """What a ``place`` (``shop`` or ``diner``) sells."""
    return tuple(
        TillGood(row["name"], float(row["low"]), float(row["high"]))
        for row in read_rows("till")
        if (row["language"], row["place"]) == (language, place)
    )
