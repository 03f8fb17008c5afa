"""Attention on a CPU, a block of queries at a time, with the products of oneDNN.

In fp32 torch's fused attention multiplies with MKL, whose products are slow on some processors. Here a block
of queries is multiplied with all keys that it sees, its scores become weights in place, and the weights are
multiplied with the values. A block has so few queries that its scores stay in the processor's cache, and
nothing larger is held, however long a page is.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

from bench.models.qwen_vl.allocator import keep_freed_memory
from bench.models.qwen_vl.products import MIN_SPEEDUP, obstacle, packed, product, seconds
from bench.models.qwen_vl.tree import Attention
from bench.schema import ModelSpec

NAME = "bench_blocks"
"""Name of the vision tower's attention among transformers' attention implementations."""

SCORES = 2**18
"""Scores of a block for each thread: 1 MiB, about what a core keeps near."""
LEAST_ROWS, MOST_ROWS = 64, 256
"""Queries of a block for each thread, whatever ``SCORES`` says. Fewer make a product slow."""
FEWEST_SCORES, FEWEST_ROWS = 2**18, 32
"""With less, for one key/value head, the calls cost what the products save, and so do the kernels that oneDNN
compiles for each number of tokens (0.5 ms): torch's own attention is used."""
PACKED_ROWS = 256
"""Queries for which it pays to pack keys and values that all of them see."""
TRIAL = (512, 1024, 64)
"""Queries, keys and head size of the attention that is timed: torch's own takes about 1.4 ms for it."""

_TORCH: Attention = torch.nn.functional.scaled_dot_product_attention


def blocks_speedup() -> float | None:
    """How many times as fast as torch's own attention ``attend`` is; None where it fails or differs."""
    return _speedup(torch.get_num_threads())


@functools.cache
def _speedup(threads: int) -> float | None:
    """Measured once for each number of ``threads`` that torch may use, which takes about 25 ms."""
    # Untyped in torch.
    onednn: Any = torch.backends.mkldnn
    if not onednn.is_available():
        return None
    queries, tokens, size = TRIAL
    chance = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(1, 1, rows, size, generator=chance) for rows in (queries, tokens, tokens)
    )
    with torch.inference_mode():
        try:
            seen = attend(query, key, value)
        except (AttributeError, RuntimeError):
            return None
        if not torch.allclose(seen, _TORCH(query, key, value), rtol=1e-4, atol=1e-5):
            return None
        torchs = seconds(lambda: _TORCH(query, key, value))
        return torchs / seconds(lambda: attend(query, key, value))


def choose_attention(spec: ModelSpec, model: Any) -> tuple[Attention | None, str]:
    """``attend`` where ``model`` may use it and it pays, else None; and what was decided."""
    reason = _obstacle(spec, model)
    if reason is not None:
        return None, f"torch's own ({reason})"
    # Before the trial: its products are as large as those that follow.
    keep_freed_memory()
    speedup = blocks_speedup()
    if speedup is None:
        return None, "torch's own (this torch has no oneDNN)"
    if speedup < MIN_SPEEDUP:
        return (
            None,
            f"torch's own (in blocks it is {speedup:.2g} times as fast on this processor)",
        )
    return (
        attend,
        f"oneDNN, in blocks of queries ({speedup:.2g} times as fast as torch's own on this processor)",
    )


def _obstacle(spec: ModelSpec, model: Any) -> str | None:
    """Why the attention of ``model`` stays as it is; None if it may be in blocks."""
    if spec.options.get("engine") == "cascade":
        return "a cascade has its own"
    chosen = model.config._attn_implementation
    return obstacle(spec, model) if chosen == "sdpa" else f"{chosen} was asked for"


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """What ``torch.nn.functional.scaled_dot_product_attention`` computes, for tensors in fp32 on a CPU.

    Args:
        query: (batch, query heads, queries, size).
        key: (batch, key/value heads, tokens, size).
        value: like ``key``.
        attn_mask: (batch, 1, queries, tokens), added to the scores.
        is_causal: query i sees the first i + 1 keys; there are as many of both.
        scale: factor of the scores; None is one over the square root of ``size``.
        enable_gqa: as for torch; here consecutive query heads share a key/value head in any case.
    """
    batch, heads, queries, size = query.shape
    shared, tokens = key.shape[1], key.shape[2]
    groups = heads // shared
    rows = groups * queries
    if rows < FEWEST_ROWS or rows * tokens < FEWEST_SCORES:
        return _TORCH(
            query,
            key,
            value,
            attn_mask,
            is_causal=is_causal,
            scale=scale,
            enable_gqa=enable_gqa,
        )
    factor = size**-0.5 if scale is None else scale
    # As the callers want it in the end: what all heads of a token saw lies together.
    seen = query.new_empty(batch, queries, heads, size).transpose(1, 2)
    for document in range(batch):
        mask = None if attn_mask is None else attn_mask[document, 0]
        for head in range(shared):
            own = slice(head * groups, (head + 1) * groups)
            _see(
                query[document, own],
                # oneDNN has no fast product for rows with gaps between them.
                key[document, head].contiguous(),
                value[document, head].contiguous(),
                seen[document, own],
                mask,
                is_causal=is_causal,
                factor=factor,
            )
    return seen


def use_in_tower(model: Any, attention: Attention) -> None:
    """Let the vision tower of ``model`` use ``attention``, page by page."""
    from transformers import AttentionInterface

    def attend_page(
        module: Any,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        attention_mask: torch.Tensor | None,
        *,
        scaling: float,
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        return attention(queries, keys, values, scale=scaling).transpose(1, 2), None

    AttentionInterface.register(NAME, attend_page)
    model.model.visual.config._attn_implementation = NAME


def _see(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    seen: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    is_causal: bool,
    factor: float,
) -> None:
    """Fill ``seen`` with what ``queries``, both (groups, queries, size), see of one head's ``keys``."""
    groups, count, size = queries.shape
    step = max(1, _block_rows(len(keys)) // groups)
    ahead = queries.new_full((step, step), float("-inf")).triu(1) if is_causal else None
    known, told = keys, values.t()
    if not is_causal and count >= PACKED_ROWS:
        known, told = packed(known), packed(told)
    for first in range(0, count, step):
        last = min(first + step, count)
        # A causal block sees no key behind its last query.
        tokens = last if is_causal else len(keys)
        rows = queries[:, first:last].reshape(-1, size) * factor
        scores = product(rows, known[:tokens] if is_causal else known)
        by_group = scores.view(groups, last - first, tokens)
        if ahead is not None:
            by_group[:, :, first:] += ahead[: last - first, : last - first]
        if mask is not None:
            by_group += mask[first:last]
        torch.softmax(scores, -1, out=scores)
        of_rows = product(scores, told[:, :tokens] if is_causal else told)
        seen[:, first:last] = of_rows.view(groups, last - first, size)


def _block_rows(tokens: int) -> int:
    """Rows of a block over ``tokens`` keys."""
    fitting = min(max(SCORES // tokens, LEAST_ROWS), MOST_ROWS)
    return fitting * torch.get_num_threads()
