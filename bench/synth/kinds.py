"""The kinds of documents: for each, how its values are drawn and laid out."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from bench.errors import InvalidInput, did_you_mean
from bench.synth.generated import GeneratedDocument, printed_fields
from bench.synth.layouts import (
    contract_en,
    contract_ru,
    fapiao,
    form,
    invoice_en,
    receipt,
    schet,
    schet_faktura,
    slip,
)
from bench.synth.questions import ask
from bench.synth.sheet import Sheet
from bench.synth.values import applicant, contract, invoice
from bench.synth.values import receipt as receipt_values
from bench.synth.values import slip as slip_values


def _document(
    kind: str, language: str, layout: str, sheets: tuple[Sheet, ...], dpi: int = 150
) -> GeneratedDocument:
    """Ask about the drawn pages: the answers are what was drawn, not what was meant to be."""
    questions = ask(kind, language, printed_fields(sheets))
    return GeneratedDocument(kind, language, layout, sheets, questions, dpi)


def _schet_faktura(rng: Random, language: str, layout: str | None) -> GeneratedDocument:
    face = layout or rng.choice(("sans", "serif", "sans"))
    sheets = schet_faktura.draw(invoice.russian_invoice(rng), rng, face=face)
    return _document("schet-faktura", language, face, sheets)


def _invoice(rng: Random, language: str, layout: str | None) -> GeneratedDocument:
    draw = {"ru": _schet, "en": _english_invoice, "zh": _fapiao}[language]
    return draw(rng, layout)


def _schet(rng: Random, layout: str | None) -> GeneratedDocument:
    layout = layout or rng.choice(("classic", "qr", "plain"))
    face = rng.choice(("sans", "sans", "office", "serif"))
    values = invoice.russian_invoice(rng)
    sheets = schet.draw(values, rng, face=face, qr=layout == "qr", notice=layout != "plain")
    return _document("invoice", "ru", layout, sheets)


def _english_invoice(rng: Random, layout: str | None) -> GeneratedDocument:
    layout = layout or rng.choice(("classic", "modern", "ledger") * 2 + ("long",))
    draw, faces = invoice_en.LAYOUTS[layout]
    values = invoice.english_invoice(rng, (24, 31) if layout == "long" else (3, 7))
    return _document("invoice", "en", layout, draw(values, rng, invoice_en.draw_style(rng, faces)))


def _fapiao(rng: Random, layout: str | None) -> GeneratedDocument:
    layout = layout or rng.choice(sorted(fapiao.LAYOUTS))
    values = invoice.chinese_invoice(rng)
    face = rng.choice(("zh-song", "zh-song", "zh-sans"))
    return _document("invoice", "zh", layout, fapiao.LAYOUTS[layout](values, rng, face), dpi=170)


def _receipt(rng: Random, language: str, layout: str | None) -> GeneratedDocument:
    style = receipt.draw_style(rng, language)
    sheets = receipt.LAYOUTS[language](receipt_values.receipt(rng, language), rng, style)
    layout = layout or f"{style.face}-{style.width:.0f}"
    return _document("receipt", language, layout, sheets, dpi=180)


def _form(rng: Random, language: str, layout: str | None) -> GeneratedDocument:
    sheets = form.LAYOUTS[language](applicant.applicant(rng, language), rng)
    return _document("form", language, layout or "standard", sheets)


def _contract(rng: Random, language: str, layout: str | None) -> GeneratedDocument:
    face = layout or rng.choice(("serif", "serif", "office"))
    draw = {"ru": contract_ru.draw, "en": contract_en.draw}[language]
    sheets = draw(contract.supply_contract(rng, language), rng, face=face)
    return _document("contract", language, face, sheets)


def _slip(rng: Random, language: str, layout: str | None) -> GeneratedDocument:
    layout = layout or rng.choice(sorted(slip.LAYOUTS))
    sheet = slip.LAYOUTS[layout](slip_values.slip(rng, language), rng, slip.draw_style(rng))
    return _document("slip", language, layout, (sheet,), dpi=slip.DPI)


class DocumentKind(NamedTuple):
    """A kind of document."""

    languages: tuple[str, ...]
    make: Callable[[Random, str, str | None], GeneratedDocument]
    """Takes the random generator, the language and the layout; None draws a layout."""


KINDS = {
    "schet-faktura": DocumentKind(("ru",), _schet_faktura),
    "invoice": DocumentKind(("ru", "en", "zh"), _invoice),
    "receipt": DocumentKind(("ru", "en", "zh"), _receipt),
    "form": DocumentKind(("ru", "en", "zh"), _form),
    "contract": DocumentKind(("ru", "en"), _contract),
    "slip": DocumentKind(("ru", "en"), _slip),
}
"""Name of a kind → its languages and its maker."""

LAYOUTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("schet-faktura", "ru"): ("sans", "serif"),
    ("invoice", "ru"): ("classic", "qr", "plain"),
    ("invoice", "en"): tuple(invoice_en.LAYOUTS),
    ("invoice", "zh"): tuple(fapiao.LAYOUTS),
    ("contract", "ru"): ("serif", "office"),
    ("contract", "en"): ("serif", "office"),
    ("slip", "ru"): tuple(slip.LAYOUTS),
    ("slip", "en"): tuple(slip.LAYOUTS),
}
"""(kind, language) → layouts that can be asked for; the others have one."""

LANGUAGES = ("ru", "en", "zh")


def find_kind(name: str) -> DocumentKind:
    """Return the kind of document called ``name``.

    Raises:
        InvalidInput: there is none; the hint offers the nearest names.
    """
    if name not in KINDS:
        raise InvalidInput(f"no kind of document is named {name!r}", hint=did_you_mean(name, KINDS))
    return KINDS[name]


def make(kind: str, language: str, rng: Random, *, layout: str | None = None) -> GeneratedDocument:
    """Draw one document at random.

    Args:
        kind: of ``KINDS``.
        language: of the kind's languages.
        rng: decides everything.
        layout: of ``LAYOUTS``; None draws one.

    Raises:
        InvalidInput: the kind is unknown, or does not exist in the language.
    """
    drawn = find_kind(kind)
    if language not in drawn.languages:
        raise InvalidInput(
            f"documents of kind {kind!r} are not drawn in {language!r}",
            hint=f"name one of its languages: {', '.join(drawn.languages)}",
        )
    return drawn.make(rng, language, layout)
