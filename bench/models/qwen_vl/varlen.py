"""Attention over sequences of unequal length, packed behind each other: no padding, no masks.

A token of a tree of questions sees its document's prefix and its own branch. Both are contiguous runs of
keys, so its attention is that over two runs, computed apart and merged by their log-sum-exps; FlashInfer
calls this cascade attention (https://flashinfer.ai/2024/02/02/cascade-inference.html). Kernels that take
runs need no mask, and read a prefix once for all who share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch


class Segments(NamedTuple):
    """Sequence i: queries from ``ends[i]`` to ``ends[i + 1]`` see ``used[i]`` keys from ``starts[i]`` on."""

    ends: torch.Tensor
    """(sequences + 1,) int32: where queries end, beginning with 0."""
    starts: torch.Tensor
    """(sequences + 1,) int32: first keys, in any order; the last entry only has to be there."""
    used: torch.Tensor
    """(sequences,) int32, at least 1 each."""
    longest_query: int
    """Tokens of the longest sequence of queries, or more."""
    longest_key: int
    """The largest of ``used``, or more."""


class Seen(NamedTuple):
    """What queries saw of one run of keys."""

    values: torch.Tensor
    """(queries, query heads, size)."""
    logsumexp: torch.Tensor
    """(queries, query heads) float32, of the scaled scores: the weight of this run among others."""


class Kernel(Protocol):
    """A way to compute the attention of ``Segments``."""

    def __call__(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        segments: Segments,
        *,
        causal: bool,
        scale: float,
    ) -> Seen:
        """Attend; a key/value head serves as many consecutive query heads as there are for each.

        Args:
            queries: (queries, query heads, size).
            keys: (tokens, key/value heads, size).
            values: like ``keys``.
            segments: what sees what.
            causal: the last query of a sequence sees all its keys, the one before it all but the last.
            scale: factor of the scores.
        """
        ...


def plain(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    segments: Segments,
    *,
    causal: bool,
    scale: float,
) -> Seen:
    """``Kernel`` by the textbook, sequence by sequence in float32: what other kernels are judged by."""
    import torch

    seen_values = torch.empty(queries.shape, dtype=queries.dtype, device=queries.device)
    weights = torch.empty(queries.shape[:2], dtype=torch.float32, device=queries.device)
    ends, groups = segments.ends.tolist(), queries.shape[1] // keys.shape[1]
    runs = zip(ends, ends[1:], segments.starts.tolist(), segments.used.tolist(), strict=False)
    for first, last, start, used in runs:
        asking = queries[first:last].float().view(last - first, -1, groups, queries.shape[2])
        known, told = (part[start : start + used].float() for part in (keys, values))
        scores = torch.einsum("qhgd,khd->qhgk", asking, known) * scale
        if causal:
            count = last - first
            ahead = torch.ones(count, used, dtype=torch.bool, device=queries.device)
            scores.masked_fill_(ahead.triu(used - count + 1)[:, None, None], float("-inf"))
        seen = torch.einsum("qhgk,khd->qhgd", scores.softmax(-1), told)
        seen_values[first:last] = seen.flatten(1, 2).to(seen_values.dtype)
        weights[first:last] = scores.logsumexp(-1).flatten(1, 2)
    return Seen(seen_values, weights)


def merge(first: Seen, second: Seen) -> torch.Tensor:
    """What queries see of two runs together: (queries, query heads, size).

    Softmax over both runs gives each the share exp(logsumexp) of the sum, which for two is a sigmoid.
    """
    share = (first.logsumexp - second.logsumexp).sigmoid().unsqueeze(-1)
    both = second.values.float().lerp(first.values.float(), share)
    return both.to(first.values.dtype)
