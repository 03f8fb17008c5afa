"""Identifiers with valid check digits.

INN, KPP, ОГРН: orders of the Federal Tax Service (ММВ-7-6/435, ЯК-7-6/9). Account key: Bank of Russia
regulation 515 of 1997. IBAN and VAT numbers: ISO 13616, HMRC. 统一社会信用代码: GB 32100-2015.
"""

from __future__ import annotations

from random import Random

_INN_10 = (2, 4, 10, 3, 5, 9, 4, 6, 8)
_INN_12_FIRST = (7, 2, 4, 10, 3, 5, 9, 4, 6, 8)
_INN_12_SECOND = (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)
_ACCOUNT = (7, 1, 3)
_USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS = tuple(pow(3, n, 31) for n in range(17))


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def _digits(rng: Random, count: int) -> str:
    return "".join(str(rng.randrange(10)) for _ in range(count))


def inn_company(rng: Random, inspectorate: str) -> str:
    """INN of a legal entity: ten digits, the first four the tax ``inspectorate``."""
    head = inspectorate + _digits(rng, 5)
    return head + str(_weighted(head, _INN_10) % 11 % 10)


def inn_person(rng: Random, inspectorate: str) -> str:
    """INN of a person or sole trader: twelve digits."""
    head = inspectorate + _digits(rng, 6)
    head += str(_weighted(head, _INN_12_FIRST) % 11 % 10)
    return head + str(_weighted(head, _INN_12_SECOND) % 11 % 10)


def is_inn(text: str) -> bool:
    """Whether ``text`` is an INN with right check digits."""
    if not text.isdigit():
        return False
    if len(text) == 10:
        return int(text[9]) == _weighted(text[:9], _INN_10) % 11 % 10
    return (
        len(text) == 12
        and int(text[10]) == _weighted(text[:10], _INN_12_FIRST) % 11 % 10
        and int(text[11]) == _weighted(text[:11], _INN_12_SECOND) % 11 % 10
    )


def kpp(inspectorate: str) -> str:
    """KPP of a company at its own address: inspectorate, reason 01, number 001."""
    return f"{inspectorate}01001"


def ogrn(rng: Random, region: str) -> str:
    """ОГРН of a legal entity: thirteen digits."""
    head = f"1{rng.randrange(2, 24):02d}{region}{_digits(rng, 7)}"
    return head + str(int(head) % 11 % 10)


def is_ogrn(text: str) -> bool:
    """Whether ``text`` is a thirteen-digit ОГРН with a right check digit."""
    return len(text) == 13 and text.isdigit() and int(text[12]) == int(text[:12]) % 11 % 10


def _account_sum(prefix: str, account: str) -> int:
    return sum(int(digit) * _ACCOUNT[n % 3] % 10 for n, digit in enumerate(prefix + account))


def is_account(account: str, bic: str, *, correspondent: bool = False) -> bool:
    """Whether the key of a Russian ``account`` fits the bank's ``bic``."""
    prefix = "0" + bic[4:6] if correspondent else bic[6:9]
    return len(account) == 20 and account.isdigit() and _account_sum(prefix, account) % 10 == 0


def _with_key(prefix: str, account: str) -> str:
    """``account`` with the key (its ninth digit) that makes the sum end in zero."""
    for key in "0123456789":
        candidate = account[:8] + key + account[9:]
        if _account_sum(prefix, candidate) % 10 == 0:
            return candidate
    raise AssertionError("a key digit of weight 3 or 7 always exists")


def settlement_account(rng: Random, bic: str, balance: str = "40702") -> str:
    """Settlement account (роубли, 810) of a company at the bank with ``bic``."""
    return _with_key(bic[6:9], f"{balance}8100{_digits(rng, 11)}")


def correspondent_account(bic: str) -> str:
    """Correspondent account of the bank with ``bic`` at the Bank of Russia."""
    return _with_key("0" + bic[4:6], f"301018100{'0' * 8}{bic[6:9]}")


def iban(country: str, bban: str) -> str:
    """IBAN with check digits, in groups of four."""
    numeric = "".join(str(int(character, 36)) for character in f"{bban}{country}00")
    whole = f"{country}{98 - int(numeric) % 97:02d}{bban}"
    return " ".join(whole[n : n + 4] for n in range(0, len(whole), 4))


def is_iban(text: str) -> bool:
    """Whether the check digits of an IBAN are right."""
    compact = text.replace(" ", "")
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def uk_vat(rng: Random) -> str:
    """UK VAT registration number with its modulus-97 check digits."""
    head = f"{rng.randrange(1, 10)}{_digits(rng, 6)}"
    check = 97 - _weighted(head, (8, 7, 6, 5, 4, 3, 2)) % 97
    return f"GB {head[:3]} {head[3:]} {check:02d}"


def is_uk_vat(text: str) -> bool:
    """Whether a UK VAT number's check digits are right."""
    digits = text.removeprefix("GB").replace(" ", "")
    return (
        len(digits) == 9
        and (_weighted(digits[:7], (8, 7, 6, 5, 4, 3, 2)) + int(digits[7:])) % 97 == 0
    )


def us_ein(rng: Random) -> str:
    """US employer identification number (it has no check digit)."""
    return f"{rng.choice((20, 27, 36, 45, 47, 81, 84))}-{_digits(rng, 7)}"


def uscc(rng: Random, division: str) -> str:
    """统一社会信用代码 of an enterprise registered in the administrative ``division``."""
    head = f"91{division}MA" + "".join(rng.choice(_USCC) for _ in range(7))
    return head + _uscc_check(head)


def _uscc_check(head: str) -> str:
    total = sum(_USCC.index(c) * w for c, w in zip(head, _USCC_WEIGHTS, strict=True))
    return _USCC[(31 - total % 31) % 31]


def is_uscc(text: str) -> bool:
    """Whether ``text`` is a 统一社会信用代码 with a right check character."""
    return len(text) == 18 and set(text) <= set(_USCC) and text[17] == _uscc_check(text[:17])
