"""Currencies by code, number (ISO 4217), sign and name: names in the document's language come from CLDR.

A sign can stand for several currencies: ¥ is yuan and yen, kr is four crowns. ``$`` alone is the US dollar.
"""

from __future__ import annotations

import functools
import re
from typing import Final

_SIGNS: Final = {
    "RUB": "₽ руб рубль рубля рублей рубли rub rur р",
    "USD": "$ us$ usd dollar dollars доллар доллара долларов 美元 美金",
    "EUR": "€ eur euro euros евро 欧元",
    "GBP": "£ gbp фунт фунтов 英镑",
    "CNY": "¥ 元 圆 元整 圆整 元人民币 人民币 cny rmb cn¥ юань юаня юаней",
    "JPY": "¥ 円 日元 jpy yen иена иен",
    "HKD": "hk$ hkd 港元 港币",
    "CAD": "ca$ c$ cad",
    "AUD": "au$ a$ aud",
    "SGD": "s$ sgd",
    "TWD": "nt$ twd",
    "NZD": "nz$ nzd",
    "BRL": "r$ brl reais real",
    "MXN": "mx$ mxn",
    "INR": "₹ inr rs rupees",
    "KRW": "₩ krw 韩元 원",
    "KZT": "₸ kzt тенге тг",
    "UAH": "₴ uah грн гривен гривень",
    "BYN": "byn бел.руб br",
    "MYR": "rm myr",
    "IDR": "rp idr",
    "CHF": "chf fr sfr",
    "TRY": "₺ try tl",
    "PLN": "zł pln zl",
    "SEK": "kr sek kronor",
    "NOK": "kr nok kroner",
    "DKK": "kr dkk kroner",
    "ISK": "kr isk",
    "CZK": "kč czk kc",
    "HUF": "ft huf",
    "RON": "lei leu ron",
    "BGN": "лв bgn",
    "ILS": "₪ ils nis",
    "SAR": "sr sar ﷼ ر.س",
    "AED": "aed dhs dh د.إ",
    "THB": "฿ thb baht",
    "VND": "₫ vnd đ",
    "PHP": "₱ php",
    "NGN": "₦ ngn",
    "ZAR": "zar",
    "GEL": "₾ gel",
    "AMD": "֏ amd",
    "AZN": "₼ azn",
    "UZS": "uzs",
    "KGS": "kgs",
}
_NUMBER_CODES: Final = """
643=RUB 840=USD 978=EUR 826=GBP 156=CNY 392=JPY 398=KZT 933=BYN 980=UAH 756=CHF 949=TRY 985=PLN 356=INR
344=HKD 410=KRW 124=CAD 036=AUD 752=SEK 578=NOK 208=DKK 203=CZK 458=MYR 360=IDR 764=THB 702=SGD 986=BRL
682=SAR 784=AED 376=ILS 348=HUF 946=RON 975=BGN 484=MXN 704=VND 608=PHP 710=ZAR 051=AMD 981=GEL 944=AZN
860=UZS 417=KGS
"""
_NUMBERS: Final = dict(pair.split("=") for pair in _NUMBER_CODES.split())


def _codes_by_sign() -> dict[str, frozenset[str]]:
    codes: dict[str, set[str]] = {}
    for code, names in _SIGNS.items():
        for name in names.split():
            codes.setdefault(name, set()).add(code)
    return {name: frozenset(possible) for name, possible in codes.items()}


_BY_SIGN: Final = _codes_by_sign()


@functools.cache
def _names_in(language: str) -> dict[str, frozenset[str]]:
    """Names of the currencies above in ``language``, in all their plural forms → codes."""
    from babel import Locale, UnknownLocaleError

    try:
        locale = Locale.parse(language)
    except (UnknownLocaleError, ValueError):
        return {}
    names: dict[str, set[str]] = {}
    for code in _SIGNS:
        forms = locale.currencies.get(code, ""), *_plurals(locale, code)
        for name in filter(None, forms):
            names.setdefault(name.lower(), set()).add(code)
    return {name: frozenset(codes) for name, codes in names.items()}


def _plurals(locale: object, code: str) -> tuple[str, ...]:
    from babel.numbers import get_currency_name

    return tuple(get_currency_name(code, count, locale=str(locale)) for count in (1, 2, 5))


def currencies_named(name: str, language: str | None = None) -> frozenset[str]:
    """The ISO 4217 codes that a sign, code or name can stand for; none if it is no currency.

    Args:
        name: plain text.
        language: ISO 639-1 of the document; names in English and Russian are always known.
    """
    word = name.lower().strip(" .")
    codes = _BY_SIGN.get(word)
    if codes is not None:
        return codes
    if word in _NUMBERS:
        return frozenset({_NUMBERS[word]})
    if len(word) < 4:
        return frozenset()
    for each in dict.fromkeys((language, "en", "ru")):
        codes = _names_in(each).get(word) if each else None
        if codes is not None:
            return codes
    return frozenset()


def read_currency(text: str, *, language: str | None = None) -> frozenset[str] | None:
    """The currencies that all parts of ``text`` agree on: "Российский рубль, 643" is one."""
    possible: frozenset[str] | None = None
    for part in re.split(r"[,;()/]", text):
        if part.strip():
            codes = currencies_named(part, language)
            possible = codes if possible is None else possible & codes
    return possible or None
