"""How many documents are in flight at once, and how many of a document's questions.

    bytes of a flight = documents x columns x bytes of a column
    columns           = the most that any of its documents needs: its prefix, and its questions together
                        with as many tokens as their answers may have
    bytes of a column = 2 (key, value) x layers x key/value heads x head size x bytes of a number

Questions that exceed a document's columns are asked in turns over the same prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")

CPU_BYTES = 2 * 2**30
"""Bytes of keys and values in flight on a CPU; more documents at once hardly make a CPU faster."""
CUDA_SHARE = 0.5
"""Share of the memory free after loading that keys and values may take. The rest is for pixels, activations
and logits."""
TURN_COLUMNS = 4096
"""The most columns that one document's questions and answers take at a time. 500 questions about a page are
asked in turns."""


class Limits(NamedTuple):
    """What is computed together, at most."""

    cache_bytes: int
    """Bytes of the keys and values in flight."""
    vision_patches: int
    """Patches in a call of the vision tower that holds more than one page."""
    prefix_tokens: int
    """Tokens in a row that holds more than one prefix."""
    question_tokens: int
    """Tokens in a row that holds more than one question."""


class Need(NamedTuple):
    """Columns that a document takes."""

    prefix: int
    questions: tuple[int, ...]
    """Tokens of each question and of its longest possible answer."""


CPU_LIMITS = Limits(CPU_BYTES, vision_patches=1024, prefix_tokens=512, question_tokens=512)
_CUDA_ROWS = {"vision_patches": 8192, "prefix_tokens": 2048, "question_tokens": 1024}
"""Not measured: meant to fill the device's matrix units once."""
LEAST_ROW = 128
"""Question tokens below which smaller rows no longer save memory worth naming."""


def limits(device: torch.device, cache_bytes: int | None) -> Limits:
    """The limits on ``device``; ``cache_bytes`` overrides what is read from the device."""
    own = CPU_LIMITS
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        # What the allocator holds and does not use is free for the cache as well.
        own = cuda_limits(free + unused)
    return own if not cache_bytes else own._replace(cache_bytes=cache_bytes)


def cuda_limits(free: int) -> Limits:
    """The limits on a GPU that has ``free`` bytes after loading."""
    return Limits(max(1, int(CUDA_SHARE * free)), **_CUDA_ROWS)


def smaller(limits: Limits) -> Limits | None:
    """Half of everything; None if the rows are as short as they are worth cutting."""
    if limits.question_tokens <= LEAST_ROW:
        return None
    return Limits(*(max(1, number // 2) for number in limits))


def packs(sizes: Sequence[int], most: int) -> list[slice]:
    """Consecutive things, as many together as come to at most ``most``, at least one."""
    cut = []
    start = total = 0
    for index, size in enumerate(sizes):
        if index > start and total + size > most:
            cut.append(slice(start, index))
            start, total = index, 0
        total += size
    if start < len(sizes):
        cut.append(slice(start, len(sizes)))
    return cut


def turns(need: Need, budget: int) -> list[slice]:
    """The questions of a document that has ``budget`` columns, cut into turns."""
    return packs(need.questions, min(TURN_COLUMNS, budget - need.prefix))


def columns(need: Need, budget: int) -> int:
    """Columns that a document takes, its questions cut into turns by ``budget`` columns."""
    return need.prefix + max(sum(need.questions[turn]) for turn in turns(need, budget))


def flights(
    items: Iterable[Item], need: Callable[[Item], Need], budget: int
) -> Iterator[list[Item]]:
    """``items`` in order, as many to a flight as fit ``budget`` columns together, at least one."""
    flight: list[Item] = []
    longest = 0
    for item in items:
        taken = columns(need(item), budget)
        if flight and (len(flight) + 1) * max(longest, taken) > budget:
            yield flight
            flight, longest = [], 0
        flight.append(item)
        longest = max(longest, taken)
    if flight:
        yield flight
