"""What a paired difference says, in one sentence that a person can pass on."""

from __future__ import annotations

from bench import formatting
from bench.stats import CONFIDENCE, PairedDifference

ALPHA = 1 - CONFIDENCE
"""A difference counts where its p is below this."""


def conclusion(
    gap: PairedDifference,
    first: str,
    second: str,
    *,
    higher_is_better: bool = True,
    p: float | None = None,
    scope: str = "",
) -> str:
    """Who is better and by how much; or how large a difference can still be.

    Args:
        gap: second minus first, in the metric's own unit.
        first: what the first side is called.
        second: what the second side is called.
        higher_is_better: whether a higher score is better.
        p: the p-value that counts, if it was adjusted for several comparisons; None takes the difference's.
        scope: words behind the number of documents, such as "of 3 tasks".
    """
    p = gap.p if p is None else p
    documents = " ".join(filter(None, (formatting.plural(gap.clusters, "document"), scope)))
    if gap.difference is None:
        return f"Nothing can be said: no question was scored for both {first} and {second}."
    if gap.low is None or gap.high is None or p is None:
        return (
            f"No difference can be told from one document: {second} − {first} is "
            f"{formatting.signed(gap.difference)} there."
        )
    if gap.differing == 0:
        return f"{first} and {second} score the same on all {documents}."
    if p >= ALPHA:
        most = formatting.score(max(abs(gap.low), abs(gap.high)))
        return (
            f"No difference can be told: it is at most ±{most} over {documents} "
            f"(95 % confidence, {formatting.p_equals(p)})."
        )
    second_is_better = (gap.difference > 0) == higher_is_better
    ends = (gap.low, gap.high) if gap.difference > 0 else (-gap.high, -gap.low)
    interval = formatting.difference_interval(*ends, formatting.score)
    return (
        f"{second if second_is_better else first} is better by "
        f"{formatting.score(abs(gap.difference))} {interval} over {documents} "
        f"({formatting.p_equals(p)})."
    )
