"""Keys and values of the documents in flight, and the attention over them.

Every document has one row; its questions branch off behind its prefix, in the same row:

    document 0   PPPPPPPPPP aaaaa bbb cccc a b c a c a
    document 1   PPPPPPPPPPPPPP aaaa bbbbb a b a b

``P`` is the prefix, ``aaaaa`` a question's tokens, a single ``a`` a token of its answer. A token sees the
prefix and, up to itself, its own branch. So the prefix lies in memory once and is read once a step for
all questions about it; whole rows are never copied, a new token is written into the next free column.

What is computed is packed differently: all tokens of a step, of whatever document, lie in one row of
(1, tokens, hidden size) without padding. Only here, inside the attention, are they sorted back to their
documents. transformers calls ``attend`` through its public ``AttentionInterface``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bench.models.qwen_vl.cuda import serves_grouped_queries, upload
from bench.models.qwen_vl.last_layer import trim_last_layer

if TYPE_CHECKING:
    import torch

ATTENTION = "bench_tree"
"""Name of ``attend`` among transformers' attention implementations."""

_PREFIX, _FREE, _NOBODY = -1, -2, -3
"""Owners of a column beside the questions, which count from 0; nobody is the owner of no column."""


class TreeShape(NamedTuple):
    """What a model's keys and values look like."""

    layers: int
    heads: int
    """Key/value heads; several query heads share one of them (grouped-query attention)."""
    groups: int
    """Query heads to a key/value head."""
    size: int
    """Numbers in a key or value of one head."""
    dtype: torch.dtype
    device: torch.device

    @property
    def bytes_per_column(self) -> int:
        """Bytes of the keys and values of one token in all layers."""
        return 2 * self.layers * self.heads * self.size * self.dtype.itemsize


class TreeRow(Protocol):
    """A packed row of tokens on its way through the language model."""

    def attend(self, layer: int, heads: Heads, scale: float) -> torch.Tensor:
        """Store the row's keys and values, and return what its queries see: (1, tokens, heads, size).

        Of a prefix nobody reads what the queries of the last layer see, so it may be anything.
        """
        ...


class Cache(Protocol):
    """The memory of a flight: a prefix and branches for each document."""

    def prefix(self, documents: Sequence[int], lengths: Sequence[int]) -> TreeRow:
        """A packed row of whole prefixes: ``lengths[i]`` tokens of document ``documents[i]``."""
        ...

    def reserve(self, document: int, question: int, columns: int) -> None:
        """Tell how many tokens a question will have, its answer included, before ``branches``."""
        ...

    def branches(self, documents: Sequence[int], questions: Sequence[int]) -> TreeRow:
        """A packed row of further tokens: token i continues ``questions[i]`` of ``documents[i]``."""
        ...

    def forget_branches(self, *, wipe: bool = False) -> None:
        """Free what lies behind the prefixes; ``wipe`` it where it holds what is not a number."""
        ...


class Attention(Protocol):
    """Computes what ``torch.nn.functional.scaled_dot_product_attention`` does."""

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        visible: Visible | None = None,
        *,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        """Attend; consecutive query heads share a key/value head.

        Args:
            query: (batch, query heads, queries, size).
            key: (batch, key/value heads, tokens, size).
            value: like ``key``.
            visible: what the queries see, for branches; without it they see all keys. What a slot without
                a token gets may be anything.
            is_causal: query i sees the first i + 1 keys; there are as many of both.
            scale: factor of the scores; None is one over the square root of ``size``.
            enable_gqa: whether there are more query heads than key/value heads, where nothing is ``visible``.
        """
        ...


class Heads(NamedTuple):
    """One layer's projections of a packed row."""

    queries: torch.Tensor
    """(1, query heads, tokens, size)."""
    keys: torch.Tensor
    """(1, key/value heads, tokens, size)."""
    values: torch.Tensor
    """(1, key/value heads, tokens, size)."""


class TreeCache:
    """The rows of a flight."""

    def __init__(
        self, shape: TreeShape, documents: int, columns: int, attention: Attention | None = None
    ) -> None:
        """Reserve ``columns`` tokens for each of ``documents``; without ``attention`` it is torch's own."""
        import torch

        self.shape = shape
        self.attention = attention or torchs_attention
        size = (documents, shape.heads, columns, shape.size)
        # Zeros, because what was in memory before may not be a number; see ``forget_branches``.
        self.keys = [
            torch.zeros(size, dtype=shape.dtype, device=shape.device) for _ in range(shape.layers)
        ]
        self.values = [torch.zeros_like(keys) for keys in self.keys]
        self.owner = torch.full((documents, columns), _FREE, dtype=torch.int32, device=shape.device)
        """(documents, columns): the question that a column belongs to."""
        self.prefixes = [0] * documents
        """The columns of each document's prefix."""
        self.starts: dict[tuple[int, int], int] = {}
        """(document, question) → the first column of its branch."""
        self._used = [0] * documents

    def prefix(self, documents: Sequence[int], lengths: Sequence[int]) -> PrefixRow:
        """A packed row of whole prefixes: ``lengths[i]`` tokens of document ``documents[i]``."""
        for document, length in zip(documents, lengths, strict=True):
            self._used[document] = self.prefixes[document] = length
            self.owner[document, :length] = _PREFIX
        return PrefixRow(self, tuple(documents), tuple(lengths))

    def reserve(self, document: int, question: int, columns: int) -> None:
        """Nothing to do: tokens take the next free column when they come."""

    def branches(self, documents: Sequence[int], questions: Sequence[int]) -> BranchRow:
        """A packed row of further tokens: token i continues ``questions[i]`` of ``documents[i]``.

        Tokens of one document are in the order in which they see each other.
        """
        import torch

        counts = Counter(documents)
        first, last = min(counts), max(counts) + 1
        reaches: list[list[Reach]] = [[] for _ in range(first, last)]
        slots, columns = [], []
        for document, question in zip(documents, questions, strict=True):
            own = reaches[document - first]
            column = self._used[document]
            start = self.starts.setdefault((document, question), column)
            slots.append(len(own))
            columns.append(column)
            own.append(Reach(start, column + 1))
            self._used[document] += 1
        index = upload(torch.tensor([documents, slots, columns, questions]), self.shape.device)
        self.owner[index[0], index[2]] = index[3].int()
        return BranchRow(self, first, reaches, index)

    def forget_branches(self, *, wipe: bool = False) -> None:
        """Free the columns behind the prefixes; ``wipe`` them where they hold what is not a number.

        A masked column still meets its weight of 0, and 0 times NaN is NaN.
        """
        self._used = list(self.prefixes)
        self.starts = {}
        self.owner[self.owner >= 0] = _FREE
        if wipe:
            free = (self.owner == _FREE)[:, None, :, None]
            for stored in (*self.keys, *self.values):
                stored.masked_fill_(free, 0)


class PrefixRow:
    """Whole prefixes, each causal over itself; nothing was in their documents' rows before."""

    def __init__(
        self, cache: TreeCache, documents: tuple[int, ...], lengths: tuple[int, ...]
    ) -> None:
        self._cache, self._documents, self._lengths = cache, documents, lengths

    def attend(self, layer: int, heads: Heads, scale: float) -> torch.Tensor:
        """See ``TreeRow``. No mask, so that the fused causal kernels can run."""
        import torch

        shape = self._cache.shape
        parts = [torch.split(part, list(self._lengths), dim=2) for part in heads]
        for document, length, keys, values in zip(
            self._documents, self._lengths, *parts[1:], strict=True
        ):
            self._cache.keys[layer][document, :, :length] = keys[0]
            self._cache.values[layer][document, :, :length] = values[0]
        if layer == shape.layers - 1:
            return heads.queries.transpose(1, 2)
        seen = []
        grouped = serves_grouped_queries(shape.dtype, shape.device)
        for queries, keys, values in zip(*parts, strict=True):
            if not grouped:
                keys, values = (
                    part.repeat_interleave(shape.groups, dim=1) for part in (keys, values)
                )
            seen.append(
                self._cache.attention(
                    queries,
                    keys,
                    values,
                    is_causal=True,
                    scale=scale,
                    enable_gqa=grouped and shape.groups > 1,
                )
            )
        return torch.cat(seen, dim=2).transpose(1, 2)


class Reach(NamedTuple):
    """Columns between which a token's own branch lies, up to itself; other branches may lie among them."""

    start: int
    stop: int


class Visible:
    """What tokens of branches see: their document's prefix, and their own branch up to themselves."""

    def __init__(
        self, cache: TreeCache, first: int, reaches: Sequence[Sequence[Reach]], index: torch.Tensor
    ) -> None:
        """``reaches`` and ``index`` are those of a ``BranchRow`` from document ``first`` on.

        It holds true until the next tokens are stored in ``cache``.
        """
        last = first + len(reaches)
        self.reaches = reaches
        """For each document those of its tokens, in the order of their slots."""
        self.prefixes = cache.prefixes[first:last]
        """The columns of each document that all its tokens see."""
        self.width = max(map(len, reaches))
        """Slots of a document."""
        self.length = max(max((0, *(reach.stop for reach in own))) for own in reaches)
        """Columns in use."""
        self.rows = slice(first, last)
        """The documents' rows of the cache."""
        self._cache, self._index = cache, index

    @cached_property
    def columns(self) -> torch.Tensor:
        """(documents, slots, columns): whether the token in a slot sees a column.

        Slots without a token see the prefix, because a softmax over nothing is not a number.
        """
        import torch

        document, slot, column, question = self._index
        row = document - self.rows.start
        size = (len(self.reaches), self.width)
        asking = torch.full(size, _NOBODY, dtype=torch.int32, device=question.device)
        asking[row, slot] = question.int()
        newest = torch.zeros(size, dtype=torch.long, device=question.device)
        newest[row, slot] = column
        owner = self._cache.owner[self.rows, None, : self.length]
        earlier = torch.arange(self.length, device=question.device) <= newest.unsqueeze(2)
        return (owner == _PREFIX) | ((owner == asking.unsqueeze(2)) & earlier)

    @cached_property
    def mask(self) -> torch.Tensor:
        """What to add to the scores of folded queries: (documents, 1, groups x slots, columns), 0 or -inf."""
        import torch

        shape = self._cache.shape
        scores = torch.zeros(self.columns.shape, dtype=shape.dtype, device=shape.device)
        scores.masked_fill_(~self.columns, float("-inf"))
        return scores.repeat(1, shape.groups, 1).unsqueeze(1)


class BranchRow:
    """Tokens of questions or answers, behind the prefixes of their documents."""

    def __init__(
        self, cache: TreeCache, first: int, reaches: Sequence[Sequence[Reach]], index: torch.Tensor
    ) -> None:
        """``index`` holds (document, slot, column, question) of every token: (4, tokens).

        ``reaches`` are those of the documents from ``first`` on, each with its tokens.
        """
        self._cache, self._visible = cache, Visible(cache, first, reaches, index)
        self._document, self._slot, self._column = index[0], index[1], index[2]
        self._row = index[0] - first

    def attend(self, layer: int, heads: Heads, scale: float) -> torch.Tensor:
        """See ``TreeRow``."""
        cache, visible = self._cache, self._visible
        for stored, new in ((cache.keys[layer], heads.keys), (cache.values[layer], heads.values)):
            stored[self._document, :, self._column] = new[0].transpose(0, 1)
        packed = heads.queries[0].transpose(0, 1)
        by_document = packed.new_zeros(len(visible.reaches), visible.width, *packed.shape[1:])
        by_document[self._row, self._slot] = packed
        seen = cache.attention(
            by_document.transpose(1, 2),
            cache.keys[layer][visible.rows, :, : visible.length],
            cache.values[layer][visible.rows, :, : visible.length],
            visible,
            scale=scale,
        )
        return seen.transpose(1, 2)[self._row, self._slot].unsqueeze(0)


def torchs_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    visible: Visible | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """See ``Attention``.

    The query heads of branches that share a key/value head become further queries of that head, so that
    keys and values are not repeated: (documents, key/value heads, groups x slots, size).
    """
    import torch

    torchs = torch.nn.functional.scaled_dot_product_attention
    if visible is None:
        return torchs(query, key, value, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa)
    documents, heads, _, size = key.shape
    folded = query.reshape(documents, heads, -1, size)
    return torchs(folded, key, value, attn_mask=visible.mask, scale=scale).reshape(query.shape)


def attend(
    module: Any,
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    row: TreeRow,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """The attention of one layer, as transformers calls it; ``row`` came with the forward call."""
    return row.attend(module.layer_idx, Heads(queries, keys, values), scaling).contiguous(), None


def use_tree_attention(model: Any) -> None:
    """Let the language model of ``model`` call ``attend``, and its last layer compute what is read of it.

    The vision tower keeps its own attention.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, attend)
    model.model.language_model.set_attn_implementation(ATTENTION)
    trim_last_layer(model)


def tree_shape(model: Any) -> TreeShape:
    """The ``TreeShape`` of a model's keys and values."""
    config = model.config.get_text_config()
    heads = config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return TreeShape(
        layers=config.num_hidden_layers,
        heads=heads,
        groups=config.num_attention_heads // heads,
        size=size,
        dtype=model.get_input_embeddings().weight.dtype,
        device=model.device,
    )
