"""What a model's pages cost: from a price and from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.report.records import nested
from bench.report.rows import RowSource
from bench.report.views import ModelRow
from bench.schema import Output
from bench.scoring.prices import EVERY_MODEL, Tariff, rate_of

MILLION = 1e6
PAGES = 1000
"""Pages, or right answers, that a cost is given for."""


def priced(row: ModelRow, source: RowSource, prices: Mapping[str, Tariff]) -> ModelRow:
    """``row`` with its tariff and its cost, where a price is known and enough was measured.

    A price that names the model counts first, then the one that the run recorded, and last the one for
    every model; that one is the price of a machine, so it says nothing of a model on a server.
    """
    tariff = prices.get(row.key) or prices.get(row.name)
    if tariff is None:
        tariff = rate_of(_recorded_price(source))
    if tariff is None and row.traits.runs_in != "server":
        tariff = prices.get(EVERY_MODEL)
    if tariff is None:
        return row
    return replace(row, tariff=tariff, cost_per_1000_pages=_cost(tariff, row, source))


def in_one_currency(rows: Sequence[ModelRow]) -> list[ModelRow]:
    """The rows without the costs that are not in the currency of most: they cannot be compared."""
    currencies = [row.tariff.currency for row in rows if row.tariff is not None]
    if len(set(currencies)) < 2:
        return list(rows)
    usual = max(currencies, key=currencies.count)
    return [
        replace(row, cost_per_1000_pages=None)
        if row.tariff is not None and row.tariff.currency != usual
        else row
        for row in rows
    ]


def currency_of(rows: Sequence[ModelRow]) -> str:
    """The currency of the costs of ``rows``, which all have the same; empty if no row has a cost."""
    known = (
        row.tariff.currency
        for row in rows
        if row.tariff is not None and row.cost_per_1000_pages is not None
    )
    return next(known, "")


def why_no_cost(row: ModelRow, currency: str) -> str:
    """Why ``row`` has no cost among others in ``currency``."""
    if row.tariff is None:
        return "No price is known (--price)."
    if currency and row.tariff.currency != currency:
        return "The price is in another currency, so the costs cannot be compared."
    return "Too little was measured: no throughput, or no count of tokens."


def _recorded_price(source: RowSource) -> object:
    models = source.evaluation.run.record.get("models")
    for entry in models if isinstance(models, list) else []:
        if nested(entry, "spec", "name") == source.name:
            return nested(entry, "price")
    return None


def _cost(tariff: Tariff, row: ModelRow, source: RowSource) -> float | None:
    """Of ``PAGES`` distinct pages with as many questions each as here; None if too little was measured."""
    measured = row.facts.throughput
    if tariff.hour is not None:
        if measured is None or not measured.distinct_pages:
            return None
        return tariff.hour / 3600 * measured.seconds / measured.distinct_pages * PAGES
    if tariff.page is not None:
        given = distinct = None
        if measured is not None:
            given, distinct = measured.pages, measured.distinct_pages
        return tariff.page * PAGES * (given / distinct if given and distinct else 1)
    return _cost_of_tokens(tariff, source)


def _cost_of_tokens(tariff: Tariff, source: RowSource) -> float | None:
    read, written = tariff.tokens or (0.0, 0.0)
    total = 0.0
    pages: set[str] = set()
    for task in source.evaluation.tasks.values():
        for answer in source.evaluation.cells[source.name, task.name].answers:
            if answer.output is None or answer.failed:
                continue
            tokens = _tokens(answer.output)
            if tokens is None:
                return None
            total += (read * tokens[0] + written * tokens[1]) / MILLION
            pages.update(page.key for page in task.documents[answer.sample.document_id].pages)
    return total / len(pages) * PAGES if pages else None


def _tokens(output: Output) -> tuple[int, int] | None:
    if output.prompt_tokens is None or output.generated_tokens is None:
        return None
    return output.prompt_tokens, output.generated_tokens
