"""Whether identifiers on generated documents have right check digits, told independently of the generator."""

from __future__ import annotations

_USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def is_ogrn(text: str) -> bool:
    """Whether ``text`` is a thirteen-digit ОГРН with a right check digit."""
    return len(text) == 13 and text.isdigit() and int(text[12]) == int(text[:12]) % 11 % 10


def is_account(account: str, bic: str, *, correspondent: bool = False) -> bool:
    """Whether the key of a Russian ``account`` fits the bank's ``bic`` (Bank of Russia, 515 of 1997)."""
    prefix = "0" + bic[4:6] if correspondent else bic[6:9]
    weights = (7, 1, 3) * 8
    total = sum(int(d) * w % 10 for d, w in zip(prefix + account, weights, strict=False))
    return len(account) == 20 and account.isdigit() and total % 10 == 0


def is_uscc(text: str) -> bool:
    """Whether ``text`` is a 统一社会信用代码 with a right check character (GB 32100-2015)."""
    if len(text) != 18 or not set(text) <= set(_USCC):
        return False
    total = sum(_USCC.index(c) * 3**n for n, c in enumerate(text[:17]))
    return _USCC.index(text[17]) == -total % 31


def is_chinese_identity(text: str) -> bool:
    """Whether ``text`` is a 身份证号码 with a right check character (GB 11643-1999)."""
    values = [10 if character == "X" else int(character) for character in text]
    return len(values) == 18 and sum(v * 2 ** (17 - n) for n, v in enumerate(values)) % 11 == 1


def is_uk_vat(text: str) -> bool:
    """Whether the check digits of a British VAT number are right (modulus 97)."""
    digits = text.removeprefix("GB").replace(" ", "")
    total = sum(int(d) * w for d, w in zip(digits, (8, 7, 6, 5, 4, 3, 2), strict=False))
    return len(digits) == 9 and (total + int(digits[7:])) % 97 == 0
