"""Identifiers with valid check digits.

INN, KPP, ОГРН: orders of the Federal Tax Service (ММВ-7-6/435, ЯК-7-6/9). Account key: Bank of Russia
regulation 515 of 1997. IBAN and VAT numbers: ISO 13616, HMRC. 统一社会信用代码: GB 32100-2015.
身份证号码: GB 11643-1999.
"""

from __future__ import annotations

from datetime import date
from random import Random

_INN_10 = (2, 4, 10, 3, 5, 9, 4, 6, 8)
_INN_12_FIRST = (7, 2, 4, 10, 3, 5, 9, 4, 6, 8)
_INN_12_SECOND = (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)
_ACCOUNT = (7, 1, 3)
_USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def _digits(rng: Random, count: int) -> str:
    return "".join(str(rng.randrange(10)) for _ in range(count))


def inn_company(rng: Random, inspectorate: str) -> str:
    """Draw the INN of a legal entity: ten digits, the first four the tax ``inspectorate``."""
    head = inspectorate + _digits(rng, 5)
    return head + str(_weighted(head, _INN_10) % 11 % 10)


def inn_person(rng: Random, inspectorate: str) -> str:
    """Draw the INN of a person or sole trader: twelve digits."""
    head = inspectorate + _digits(rng, 6)
    head += str(_weighted(head, _INN_12_FIRST) % 11 % 10)
    return head + str(_weighted(head, _INN_12_SECOND) % 11 % 10)


def kpp(inspectorate: str) -> str:
    """Return the KPP of a company at its own address: inspectorate, reason 01, number 001."""
    return f"{inspectorate}01001"


def ogrn(rng: Random, region: str) -> str:
    """Draw the ОГРН of a legal entity: thirteen digits."""
    head = f"1{rng.randrange(2, 24):02d}{region}{_digits(rng, 7)}"
    return head + str(int(head) % 11 % 10)


def _account_sum(prefix: str, account: str) -> int:
    return sum(int(digit) * _ACCOUNT[n % 3] % 10 for n, digit in enumerate(prefix + account))


def _with_key(prefix: str, account: str) -> str:
    """Return ``account`` with the key (its ninth digit) that makes the sum end in zero."""
    for key in "0123456789":
        candidate = account[:8] + key + account[9:]
        if _account_sum(prefix, candidate) % 10 == 0:
            return candidate
    raise AssertionError("a key digit of weight 3 or 7 always exists")


def settlement_account(rng: Random, bic: str, balance: str = "40702") -> str:
    """Draw the settlement account (in roubles, 810) of a company at the bank with ``bic``."""
    return _with_key(bic[6:9], f"{balance}8100{_digits(rng, 11)}")


def correspondent_account(bic: str) -> str:
    """Return the correspondent account of the bank with ``bic`` at the Bank of Russia."""
    return _with_key("0" + bic[4:6], f"301018100{'0' * 8}{bic[6:9]}")


def iban(country: str, bban: str) -> str:
    """Return an IBAN with check digits, in groups of four."""
    numeric = "".join(str(int(character, 36)) for character in f"{bban}{country}00")
    whole = f"{country}{98 - int(numeric) % 97:02d}{bban}"
    return " ".join(whole[n : n + 4] for n in range(0, len(whole), 4))


def uk_vat(rng: Random) -> str:
    """Draw a UK VAT registration number with its modulus-97 check digits."""
    head = f"{rng.randrange(1, 10)}{_digits(rng, 6)}"
    check = 97 - _weighted(head, (8, 7, 6, 5, 4, 3, 2)) % 97
    return f"GB {head[:3]} {head[3:]} {check:02d}"


def us_ein(rng: Random) -> str:
    """Draw a US employer identification number (it has no check digit)."""
    return f"{rng.choice((20, 27, 36, 45, 47, 81, 84))}-{_digits(rng, 7)}"


def uscc(rng: Random, division: str) -> str:
    """Draw the 统一社会信用代码 of an enterprise registered in the administrative ``division``."""
    head = f"91{division}MA" + "".join(rng.choice(_USCC) for _ in range(7))
    total = sum(_USCC.index(sign) * 3**place for place, sign in enumerate(head))
    return head + _USCC[-total % 31]


def chinese_identity(rng: Random, division: str, birth: date, *, male: bool) -> str:
    """Draw the 身份证号码 of a person with its check character (GB 11643-1999)."""
    order = rng.randrange(10, 99) * 10 + rng.randrange(5) * 2 + (1 if male else 0)
    head = f"{division}{birth:%Y%m%d}{order:03d}"
    total = sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(head))
    return head + "10X98765432"[total % 11]
