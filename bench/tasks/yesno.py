"""Reads yes and no in the cells of tables, as people write them and as spreadsheets save them."""

from __future__ import annotations

_YES = """
true yes y x 1 ✓ ✔ wahr ja j vrai oui o verdadero sí si vero sì verdadeiro sim waar sant sann sand tosi kyllä
prawda tak pravda ano áno da igaz igen adevărat doğru evet истина да істина правда так αληθες αληθής ναι
真 是 はい 참 예
"""
_NO = """
false no n 0 - – falsch nein faux non falso não niet onwaar nee falskt nej usann nei falsk epätosi ei
fałsz nie nepravda ne hamis nem fals nu yanlış yanliş hayır hayir ложь нет хибність неправда ні ψευδες ψευδής
όχι 假 否 いいえ 거짓 아니요
"""
YES_WORDS = frozenset(_YES.casefold().split())
"""Words for yes, with what Excel saves for TRUE in each of its languages."""
NO_WORDS = frozenset(_NO.casefold().split())
"""Words for no, with what Excel saves for FALSE."""


def yes_or_no(cell: str) -> bool | None:
    """Say whether ``cell`` means yes; an empty cell means no. None if it is neither yes nor no."""
    word = cell.strip().casefold()
    if word in YES_WORDS:
        return True
    return False if not word or word in NO_WORDS else None
