"""What asking a model costs: a rate by the hour, by the page or by the token, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import InvalidInput
from bench.text import one_line

EVERY_MODEL = "all"
"""Name in a table of prices that stands for every model on a machine of one's own."""

MOST = 1e9
"""Largest amount that a price may be."""

EXPECTED = "1.20/h, 0.002/page, or 0.15/0.60 (for a million tokens read and written)"
"""What a price looks like."""

_AMOUNT = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
_HOUR_OR_PAGE = re.compile(rf"{_AMOUNT} ?([A-Z]{{3}})?/(h|hour|page)")
_TOKENS = re.compile(rf"{_AMOUNT}/{_AMOUNT} ?([A-Z]{{3}})?")


@dataclass(frozen=True, slots=True)
class Tariff:
    """What asking a model costs, in exactly one of three ways."""

    hour: float | None = None
    """For one hour of the machine that the model runs on, busy all the time."""
    page: float | None = None
    """For one page each time that it is given to the model."""
    tokens: tuple[float, float] | None = None
    """For a million tokens read, and for a million tokens written."""
    currency: str = "USD"
    """ISO 4217."""

    @property
    def words(self) -> str:
        """The rate as a person would say it."""
        if self.hour is not None:
            return f"{_written(self.hour)} {self.currency} an hour"
        if self.page is not None:
            return f"{_written(self.page)} {self.currency} a page"
        read, written = map(_written, self.tokens or (0.0, 0.0))
        return f"{read} and {written} {self.currency} for a million tokens read and written"


def _written(amount: float) -> str:
    """An amount with all its decimals, of which a price has at most nine."""
    return f"{amount:.9f}".rstrip("0").rstrip(".")


def parse_rate(text: str) -> Tariff:
    """The rate that ``1.20/h``, ``0.002EUR/page`` or ``0.15/0.60`` stands for.

    Raises:
        InvalidInput: it stands for none.
    """
    if match := _HOUR_OR_PAGE.fullmatch(text.strip()):
        amount, currency = float(match[1]), match[2] or "USD"
        if match[3] == "page":
            return Tariff(page=amount, currency=currency)
        return Tariff(hour=amount, currency=currency)
    if match := _TOKENS.fullmatch(text.strip()):
        return Tariff(tokens=(float(match[1]), float(match[2])), currency=match[3] or "USD")
    raise InvalidInput(f"{one_line(text, 60)!r} is not a price", hint=f"write {EXPECTED}")


def rate_of(record: Any) -> Tariff | None:
    """The rate that a record of ``run.json`` holds under ``price``; None if it holds none that is known."""
    if not isinstance(record, Mapping):
        return None
    currency = record.get("currency", "USD")
    known = {key: _amount(record.get(key)) for key in ("hour", "page", "input", "output")}
    if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
        return None
    read, written = known["input"], known["output"]
    if known["hour"] is not None:
        return Tariff(hour=known["hour"], currency=currency)
    if known["page"] is not None:
        return Tariff(page=known["page"], currency=currency)
    if read is not None and written is not None:
        return Tariff(tokens=(read, written), currency=currency)
    return None


def _rate_of_table(value: Any) -> Tariff | None:
    """The rate that a person wrote as a table; None if a key is misspelled, or if there are several rates."""
    if not isinstance(value, Mapping):
        return None
    ways = ({"hour"}, {"page"}, {"input", "output"})
    return rate_of(value) if value.keys() - {"currency"} in ways else None


def _amount(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        return None
    return float(value)


def parse_prices(texts: Sequence[str], where: str) -> dict[str, Tariff]:
    """Prices by model, of ``NAME=1.20/h``, or of ``1.20/h`` for every model on a machine of one's own.

    Args:
        texts: one for each price.
        where: the option, for the message.

    Raises:
        InvalidInput: one is not a price, or a model has two.
    """
    prices: dict[str, Tariff] = {}
    for text in texts:
        name, equals, price = text.rpartition("=")
        key = name.strip() if equals else EVERY_MODEL
        try:
            rate = parse_rate(price)
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error.message}", hint=error.hint) from None
        if not key or key in prices:
            raise InvalidInput(
                f"{where}: two prices for {_shown(key)}" if key else f"{where}: no model before =",
                hint=f"{where} NAME=1.20/h",
            )
        prices[key] = rate
    return prices


def _shown(model: str) -> str:
    return "every model" if model == EVERY_MODEL else repr(one_line(model, 60))


def price_table(table: Any, where: str) -> dict[str, Tariff]:
    """Prices by model, of the table ``[prices]`` of a ``bench.toml``.

    Raises:
        InvalidInput: it is no table, or a value is neither a text such as "1.20/h" nor a table such as
            {hour = 1.20}.
    """
    if not isinstance(table, Mapping):
        raise InvalidInput(f"{where}: prices should be a table", hint="write [prices]")
    prices = {}
    for name, value in table.items():
        try:
            rate = parse_rate(value) if isinstance(value, str) else _rate_of_table(value)
        except InvalidInput:
            rate = None
        if rate is None:
            raise InvalidInput(
                f"{where}: [prices] {one_line(str(name), 60)} should be a price, not "
                f"{one_line(repr(value), 60)}",
                hint='write a text such as "1.20/h" or "0.15/0.60", or a table such as { hour = 1.20 }',
            )
        prices[str(name)] = rate
    return prices
