"""Keys and values of the documents in flight as contiguous runs, and the attention over them.

Each document has a stretch of one long row of tokens; each of its questions has, with all the tokens that
its answer may have, a stretch behind the prefix:

    PPPPPPPPPP aaaaa···· bbb···· cccc···· PPPPPPPPPPPPPP aaaa···· bbbbb····  x

What a token sees is two runs of keys, prefix and own branch, so there are no masks (see ``varlen``). The
row stays where it is from flight to flight, and a step finds everything in it by numbers that lie on the
device: so a step can be captured once and replayed (see ``steps``). The last place, ``x``, takes what
nobody will read.

``tree`` is the same for devices without a kernel for runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, NamedTuple

from bench.models.qwen_vl.cuda import upload
from bench.models.qwen_vl.tree import Heads, TreeShape
from bench.models.qwen_vl.varlen import Kernel, Segments, merge

if TYPE_CHECKING:
    import torch


PIECE = 2048
"""Tokens that memory holds at least. It grows by doubling, so that a flight a little larger than the last
finds room in it, and what was captured at its addresses stays of use."""


class Run(NamedTuple):
    """Tokens of a prefix or a branch in the row."""

    start: int
    length: int
    """Tokens that are there."""
    room: int
    """Tokens that there may be."""


class CascadeCache:
    """The row, and who has which stretch of it."""

    def __init__(self, shape: TreeShape, kernel: Kernel) -> None:
        self.shape, self.kernel = shape, kernel
        self.keys: list[torch.Tensor] = []
        """One tensor for each layer: (tokens, key/value heads, size)."""
        self.values: list[torch.Tensor] = []
        self._stretches: list[tuple[int, int]] = []
        self._prefixes: list[int] = []
        self._branches: dict[tuple[int, int], Run] = {}
        self._free: list[int] = []

    @property
    def scratch(self) -> int:
        """The place for what nobody will read."""
        return len(self.keys[0]) - 1

    def begin(self, columns: Sequence[int], most: int | None = None) -> bool:
        """Give each document of a new flight as many tokens; says whether the memory is another one.

        ``most`` bounds the tokens that are taken beyond what this flight needs.
        """
        import torch

        starts = [0, *accumulate(columns)]
        self._stretches = list(zip(starts, columns, strict=False))
        self._prefixes = [0] * len(columns)
        self.forget_branches()
        if self.keys and starts[-1] < len(self.keys[0]):
            return False
        self.release()
        tokens = starts[-1] + 1
        doubled = max(PIECE, 1 << (tokens - 1).bit_length())
        if most is not None:
            doubled = max(tokens, min(doubled, most + 1))
        size = (doubled, self.shape.heads, self.shape.size)
        for stored in (self.keys, self.values):
            stored += [
                torch.zeros(size, dtype=self.shape.dtype, device=self.shape.device)
                for _ in range(self.shape.layers)
            ]
        return True

    def release(self) -> None:
        """Free the memory; the next flight takes new memory."""
        self.keys, self.values = [], []

    def prefix(self, documents: Sequence[int], lengths: Sequence[int]) -> PrefixRun:
        """A packed row of whole prefixes: ``lengths[i]`` tokens of document ``documents[i]``."""
        places: list[int] = []
        for document, length in zip(documents, lengths, strict=True):
            start, _ = self._stretches[document]
            self._prefixes[document] = length
            self._free[document] = start + length
            places += range(start, start + length)
        return PrefixRun(self, self._index(places), self._segments(lengths))

    def reserve(self, document: int, question: int, columns: int) -> None:
        """Give a question behind its document's prefix ``columns`` tokens, its answer included."""
        self._branches[document, question] = Run(self._free[document], 0, columns)
        self._free[document] += columns

    def branches(self, documents: Sequence[int], questions: Sequence[int]) -> BranchRun:
        """A packed row of further tokens: token i continues ``questions[i]`` of ``documents[i]``.

        Tokens of one question are neighbours, and so are those of one document.
        """
        asked = [
            (key, len(list(run))) for key, run in groupby(zip(documents, questions, strict=True))
        ]
        places: list[int] = []
        for key, count in asked:
            run = self._branches[key]
            places += range(run.start + run.length, run.start + run.length + count)
            self._branches[key] = run._replace(length=run.length + count)
        runs = [self._branches[key] for key, _ in asked]
        together = [(document, len(list(run))) for document, run in groupby(documents)]
        prefixes = [self.prefix_run(document) for document, _ in together]
        return BranchRun(
            self,
            self._index(places),
            own=self._segments([count for _, count in asked], runs),
            shared=self._segments([count for _, count in together], prefixes),
        )

    def prefix_run(self, document: int) -> Run:
        """Where the prefix of ``document`` lies."""
        length = self._prefixes[document]
        return Run(self._stretches[document][0], length, length)

    def branch_run(self, document: int, question: int) -> Run:
        """Where a question lies, as far as ``branches`` has got with it."""
        return self._branches[document, question]

    def forget_branches(self, *, wipe: bool = False) -> None:
        """Free what lies behind the prefixes. Nothing need be wiped: kernels read their runs only."""
        del wipe
        self._branches = {}
        self._free = [
            start + length
            for (start, _), length in zip(self._stretches, self._prefixes, strict=True)
        ]

    def _index(self, places: Sequence[int]) -> torch.Tensor:
        import torch

        return upload(torch.tensor(places), self.shape.device)

    def _segments(self, lengths: Sequence[int], runs: Sequence[Run] = ()) -> Segments:
        """``lengths`` queries each, which see ``runs``, or themselves where there are none."""
        import torch

        ends = [0, *accumulate(lengths)]
        starts = [run.start for run in runs] or ends[:-1]
        used = [run.length for run in runs] or list(lengths)
        numbers = torch.tensor([ends, [*starts, 0], [*used, 0]], dtype=torch.int32)
        # One copy to the device for all three.
        on_device = upload(numbers, self.shape.device)
        return Segments(on_device[0], on_device[1], on_device[2, :-1], max(lengths), max(used))


class PrefixRun:
    """Whole prefixes, each causal over itself."""

    def __init__(self, cache: CascadeCache, places: torch.Tensor, segments: Segments) -> None:
        self._cache, self._places, self._segments = cache, places, segments

    def attend(self, layer: int, heads: Heads, scale: float) -> torch.Tensor:
        """See ``tree.TreeRow``."""
        queries, keys, values = (part[0].transpose(0, 1) for part in heads)
        self._cache.keys[layer][self._places] = keys
        self._cache.values[layer][self._places] = values
        if layer == self._cache.shape.layers - 1:
            return queries.unsqueeze(0)
        seen = self._cache.kernel(queries, keys, values, self._segments, causal=True, scale=scale)
        return seen.values.unsqueeze(0)


class BranchRun:
    """Tokens of questions, behind the prefixes of their documents."""

    def __init__(
        self, cache: CascadeCache, places: torch.Tensor, *, own: Segments, shared: Segments
    ) -> None:
        self._cache, self._places, self._own, self._shared = cache, places, own, shared

    def attend(self, layer: int, heads: Heads, scale: float) -> torch.Tensor:
        """See ``tree.TreeRow``."""
        queries, keys, values = (part[0].transpose(0, 1) for part in heads)
        stored = self._cache.keys[layer], self._cache.values[layer]
        stored[0][self._places] = keys
        stored[1][self._places] = values
        kernel = self._cache.kernel
        own = kernel(queries, *stored, self._own, causal=True, scale=scale)
        shared = kernel(queries, *stored, self._shared, causal=False, scale=scale)
        return merge(shared, own).unsqueeze(0)
