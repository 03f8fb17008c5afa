"""Attention on a CPU, a block of queries at a time, with the products of oneDNN.

In fp32 torch's fused attention multiplies with MKL, whose products are slow on some processors. Here a block
of queries is multiplied with the keys that all of its queries see, the weights of the softmax are made within
that product, and they are multiplied with the values. Nothing larger than a block's weights is held, however
long a page is.

**Weights within the product.** oneDNN cannot end a product with an exponential, but with a sigmoid it can:
sigmoid(x) = exp(x) / (1 + exp(x)), and where x is -17 or less, 1 + exp(x) is 1 in fp32. So the scores of a
query are shifted to there, which the division by the sum of its weights takes away again. How far is guessed
from its scores for some of the keys. The largest of these is shifted to ``SHIFT``, which leaves room for
larger ones. Whether all have fitted is seen from the sum: if it is at most exp(-17), so is each weight. A
block with a larger sum is computed again with torch's softmax.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from bench.models.qwen_vl.allocator import keep_freed_memory
from bench.models.qwen_vl.products import MIN_SPEEDUP, Then, obstacle, product, seconds
from bench.models.qwen_vl.tree import Attention, Visible, torchs_attention
from bench.schema import ModelSpec

NAME = "bench_blocks"
"""Name of the vision tower's attention among transformers' attention implementations."""

SCORES = 2**20
"""Scores of a block for each thread: 4 MiB."""
LEAST_ROWS, MOST_ROWS = 64, 512
"""Queries of a block for each thread, whatever ``SCORES`` says. Fewer make a product slow."""
FEWEST_SCORES, FEWEST_ROWS = 2**18, 32
"""With less, for one key/value head, the calls cost what the products save, and so do the kernels that oneDNN
compiles for each number of tokens (0.5 ms): torch's own attention is used."""
SAMPLED_KEYS = 64
"""Keys, or up to twice as many, from which a row's shift is guessed."""
NEAR_KEYS = 64
"""Keys of branches are taken in multiples of so many."""
SHIFT = -47.0
"""Where the largest sampled score of a row is shifted to."""
MOST_SUM = math.exp(-17.0)
"""What the weights of a row may come to. They come to exp(``SHIFT``) at least; weights below exp(-87), which
are 0 in fp32, do not count beside that."""
SIGMOID = Then("sigmoid")
TRIAL = (512, 1024, 64)
"""Queries, keys and head size of the attention that is timed: torch's own takes about 1.4 ms for it."""


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
        if not torch.allclose(seen, torchs_attention(query, key, value), rtol=1e-4, atol=1e-5):
            return None
        torchs = seconds(lambda: torchs_attention(query, key, value))
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
        return None, "torch's own (oneDNN is missing or failed its trial)"
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
    visible: Visible | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """See ``Attention``; for tensors in fp32 on a CPU."""
    batch, heads, queries, size = query.shape
    shared, tokens = key.shape[1], key.shape[2]
    groups = heads // shared
    rows = groups * queries
    if rows < FEWEST_ROWS or rows * tokens < FEWEST_SCORES:
        return torchs_attention(
            query, key, value, visible, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
        )
    factor = size**-0.5 if scale is None else scale
    # As the callers want it in the end: what all heads of a token saw lies together.
    seen = query.new_empty(batch, queries, heads, size).transpose(1, 2)
    for row in range(batch):
        count = queries
        keys_of = _causal_keys if is_causal else _all_keys(tokens)
        if visible is not None:
            count, keys_of = len(visible.reaches[row]), _branch_keys(visible, row)
        for head in range(shared):
            own = slice(head * groups, (head + 1) * groups)
            # oneDNN has no fast product for rows with gaps between them.
            keys, values = key[row, head].contiguous(), value[row, head].contiguous()
            _attend_head(
                query[row, own, :count] * factor, keys, values, seen[row, own, :count], keys_of
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


class BlockKeys(NamedTuple):
    """The keys that a block of queries sees."""

    common: int
    """All see so many keys at the beginning."""
    near: slice
    """Further keys, which some of them see."""
    hidden: torch.Tensor | None
    """(queries, keys of ``near``): which of these a query does not see; None without further keys."""


KeysOf = Callable[[int, int], BlockKeys]
"""Numbers of the first query and of the one behind the last → what the queries between them see."""


def _all_keys(tokens: int) -> KeysOf:
    block_keys = BlockKeys(tokens, slice(0), None)
    return lambda first, last: block_keys


def _causal_keys(first: int, last: int) -> BlockKeys:
    """Query i sees the first i + 1 keys."""
    ahead = torch.ones(last - first, last - first, dtype=torch.bool).triu(1)
    return BlockKeys(first, slice(first, last), ahead)


def _branch_keys(visible: Visible, row: int) -> KeysOf:
    """What the tokens of the document ``row`` see."""
    reaches, prefix, columns = visible.reaches[row], visible.prefixes[row], visible.columns[row]

    def keys_of(first: int, last: int) -> BlockKeys:
        block = reaches[first:last]
        start, stop = min(reach.start for reach in block), max(reach.stop for reach in block)
        # In steps, because oneDNN compiles a kernel for each number of keys (0.5 ms).
        width = math.ceil((stop - start) / NEAR_KEYS) * NEAR_KEYS
        stop = min(start + width, visible.length)
        near = slice(max(prefix, stop - width), stop)
        return BlockKeys(prefix, near, ~columns[first:last, near])

    return keys_of


def _attend_head(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    seen: torch.Tensor,
    keys_of: KeysOf,
) -> None:
    """Fill ``seen`` with what scaled ``queries`` see of one head's ``keys``.

    Queries and ``seen`` are (groups, queries, size), keys and values (tokens, size).
    """
    groups, count, size = queries.shape
    # The product with this last column adds a number of a row's own to its scores.
    known = torch.cat([keys, keys.new_ones(len(keys), 1)], -1)
    step = max(1, _block_rows(len(keys)) // groups)
    for first in range(0, count, step):
        last = min(first + step, count)
        rows = queries[:, first:last].reshape(-1, size)
        block_keys = keys_of(first, last)
        of_rows = _by_sigmoid(rows, known, values, block_keys)
        if of_rows is None:
            of_rows = _by_softmax(rows, keys, values, block_keys)
        seen[:, first:last] = of_rows.view(groups, -1, size)


def _by_sigmoid(
    rows: torch.Tensor, known: torch.Tensor, values: torch.Tensor, block_keys: BlockKeys
) -> torch.Tensor | None:
    """What ``rows`` see, both (groups x queries, size); None if it cannot be told in this way.

    That is so if there are no common keys to sample, or if a score is too far above those of the sample.
    ``known`` is (tokens, size + 1), its last column ones.
    """
    common, near, hidden = block_keys
    if common == 0:
        return None
    sample = known[: common : max(1, common // SAMPLED_KEYS), :-1]
    shifts = SHIFT - (rows @ sample.t()).amax(-1, keepdim=True)
    shifted = torch.cat([rows, shifts], 1)
    weights = product(shifted, known[:common], None, SIGMOID)
    sums = weights.sum(-1, keepdim=True)
    seen = product(weights, values[:common].t())
    if hidden is not None:
        weights = product(shifted, known[near], None, SIGMOID)
        weights.view(-1, *hidden.shape).masked_fill_(hidden, 0.0)
        sums += weights.sum(-1, keepdim=True)
        seen += product(weights, values[near].t())
    return None if bool((sums > MOST_SUM).any()) else seen.div_(sums)


def _by_softmax(
    rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, block_keys: BlockKeys
) -> torch.Tensor:
    """What ``rows`` see, both (groups x queries, size), by torch's own attention."""
    common, near, hidden = block_keys
    mask = None
    if hidden is not None:
        keys, values = (torch.cat([part[:common], part[near]]) for part in (keys, values))
        of_group = torch.cat([hidden.new_ones(len(hidden), common), ~hidden], 1)
        mask = of_group.repeat(len(rows) // len(hidden), 1)
    query, key, value = (part[None, None] for part in (rows, keys, values))
    torchs = torch.nn.functional.scaled_dot_product_attention
    return torchs(query, key, value, attn_mask=mask, scale=1.0)[0, 0]


def _block_rows(tokens: int) -> int:
    """Rows of a block over ``tokens`` keys."""
    fitting = min(max(SCORES // tokens, LEAST_ROWS), MOST_ROWS)
    return fitting * torch.get_num_threads()
