"""How numbers and names are written for a person: GiB, seconds, three decimals, one dash for "not known".

Every renderer uses these, so that the terminal, the Markdown and the HTML never disagree in a digit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from bench.schema import Estimate, Output
from bench.text import printable

DASH = "–"
"""Written in the place of a value that was not measured."""

_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}")


def safe(text: str, *, newlines: bool = False) -> str:
    """``bench.text.printable``, quick for the text that needs no change (nearly all of it)."""
    return text if text.isprintable() else printable(text, newlines=newlines)


def score(value: float | None) -> str:
    """A score with three decimals."""
    return DASH if value is None else f"{value:.3f}"


def interval(estimate: Estimate | None) -> str:
    """The 95 % interval in brackets."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return DASH
    return f"[{estimate.low:.3f}, {estimate.high:.3f}]"


def signed(value: float | None) -> str:
    """A difference with its sign; the minus is the typographic one."""
    if value is None:
        return DASH
    text = f"{value:+.3f}"
    return "0.000" if text in {"+0.000", "-0.000"} else text.replace("-", "−")


def difference_interval(
    low: float | None, high: float | None, written: Callable[[float | None], str] = signed
) -> str:
    """The interval of a difference in brackets; an end that is only rounded to 0 does not read as 0."""
    ends = [written(low), written(high)]
    zero = written(0.0)
    if low is not None and low > 0 and ends[0] == zero:
        ends[0] = "> 0"
    if high is not None and high < 0 and ends[1] == zero:
        ends[1] = "< 0"
    return f"[{ends[0]}, {ends[1]}]"


def points(value: float | None) -> str:
    """A difference of scores in points (hundredths) with its sign."""
    if value is None:
        return DASH
    text = f"{100 * value:+.1f}"
    return "0.0" if text in {"+0.0", "-0.0"} else text.replace("-", "−")


def points_with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A difference in points with its interval: ``−0.1 points [−0.4, +0.1]``."""
    if low is None or high is None:
        return f"{points(value)} points, without an interval"
    return f"{points(value)} points {difference_interval(low, high, points)}"


def p_value(value: float | None) -> str:
    """A p-value with as many digits as it deserves; one below 5 % is never written as 0.050."""
    if value is None or value != value:
        return DASH
    if value < 0.001:
        return "< 0.001"
    text = f"{value:.3f}"
    return f"< {text}" if value < 0.05 and text == "0.050" else text


def p_equals(value: float | None) -> str:
    """``p = 0.006`` or ``p < 0.001``, for a sentence."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def significant(value: float | None, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits and no exponent."""
    if value is None:
        return DASH
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude < 0.001:
        # Nothing on the page is measured so finely that more zeros would say more.
        return "< 0.001"
    if magnitude >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    decimals = 0
    # Rounding may add a digit: 9.996 is 10.0 and not 10.00.
    rounded = float(f"{magnitude:.{digits - 1}e}")
    while decimals < 6 and rounded * 10**decimals < 10 ** (digits - 1):
        decimals += 1
    return f"{value:.{decimals}f}"


def percent(value: float | None) -> str:
    """A share as whole per cent; what is neither nothing nor all is not written as either."""
    if value is None:
        return DASH
    digits = f"{value:.0%}".removesuffix("%")
    if value > 0 and digits == "0":
        return "< 1 %"
    return "> 99 %" if value < 1 and digits == "100" else f"{digits} %"


def share(value: float | None) -> str:
    """A share in per cent with one decimal, where the difference between 98.6 % and 99.4 % counts."""
    if value is None:
        return DASH
    digits = f"{value:.1%}".removesuffix("%")
    if value > 0 and digits == "0.0":
        return "< 0.1 %"
    return "> 99.9 %" if value < 1 and digits == "100.0" else f"{digits} %"


def seconds(value: float | None) -> str:
    """Seconds, with the unit; minutes and hours where they are easier to read."""
    if value is None:
        return DASH
    if value >= 3599.5:
        hours, minutes = divmod(round(value / 60), 60)
        return f"{hours} h {minutes:02d} min"
    if value >= 119.5:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest:02d} s"
    return f"{significant(value)} s"


def gib(value: float | None) -> str:
    """Bytes as GiB, without the unit."""
    if value is None:
        return DASH
    return f"{value / 2**30:.1f}" if value >= 2**30 else f"{value / 2**30:.2f}"


def byte_size(value: float | None) -> str:
    """Bytes with the binary unit that suits them: 12.0 KiB, 3.5 MiB, 4.25 GiB."""
    if value is None:
        return DASH
    if value >= 2**30:
        return f"{value / 2**30:.2f} GiB"
    if value >= 2**20:
        return f"{value / 2**20:.1f} MiB"
    return f"{value / 2**10:.1f} KiB" if value >= 2**10 else plural(int(value), "byte")


def moment(value: str) -> str:
    """An ISO 8601 time in UTC, for reading."""
    return value.replace("T", " ").replace("Z", " UTC")


def count(value: float | None) -> str:
    """A whole number with thousands separated."""
    return DASH if value is None else f"{value:,.0f}"


def parameters(value: float | None) -> str:
    """The number of a model's parameters: 2.2 B, 85 M."""
    if value is None or value <= 0:
        return DASH
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f}"


def confidence(output: Output) -> str:
    """How probable the answer's tokens were; empty if the backend does not say."""
    if output.confidence is None:
        return ""
    least = output.min_confidence
    unsure = "" if least is None else f" (least sure token {least:.2f})"
    return f"confidence {output.confidence:.2f}{unsure}"


def plural(number: int, noun: str, many: str | None = None) -> str:
    """``3 questions``, ``1 question``."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def ended(text: str) -> str:
    """``text`` with the full stop that a sentence ends in."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def listed(names: Iterable[str], limit: int = 4) -> str:
    """``a, b and c``; a long list ends in how many more there are."""
    items = list(names)
    if len(items) > limit:
        return f"{', '.join(items[:limit])} and {len(items) - limit} more"
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def language_tag(text: str | None) -> str | None:
    """``text`` if it may stand in a ``lang`` attribute."""
    return text if text is not None and _LANGUAGE_TAG.fullmatch(text) else None
