"""Attention in blocks beside torch's own, on a CPU in fp32.

``python benchmarks/attention.py`` prints milliseconds of processor time of one layer, the shortest of
several times, for the shapes of a vision tower, of prefixes, and of the questions about a page. Nothing here
is a test.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from bench.models.qwen_vl.allocator import keep_freed_memory
from bench.models.qwen_vl.blocks import attend
from bench.models.qwen_vl.tree import Attention, Heads, TreeCache, TreeShape, torchs_attention


class Case(NamedTuple):
    """The attention of one layer."""

    name: str
    heads: int
    shared: int
    """Key/value heads."""
    tokens: int
    size: int
    """Of a head."""
    causal: bool = False
    questions: int = 0
    """Questions of 64 tokens each about a prefix of ``tokens``; 0 for the attention of the prefix or page."""


CASES = (
    Case("tower, 4,032 patches, 4 heads of 64", 4, 4, 4032, 64),
    Case("tower, 1,024 patches, 4 heads of 64", 4, 4, 1024, 64),
    Case("prefix, 1,027 tokens, 8 heads of 64 that share 2", 8, 2, 1027, 64, causal=True),
    Case("prefix, 2,048 tokens, 6 heads of 128 that share 1", 6, 1, 2048, 128, causal=True),
    Case("10 questions of 64 tokens, 8 heads of 64 that share 2", 8, 2, 1027, 64, questions=10),
)
QUESTION_TOKENS = 64


def main() -> None:
    """Print one row a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--times", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    sys.stdout.write("| | torch's own | in blocks | ratio |\n|---|---|---|---|\n")
    for case in CASES:
        own, blocks = (
            milliseconds(work(case, attention), options.times)
            for attention in (torchs_attention, attend)
        )
        sys.stdout.write(f"| {case.name} | {own:.1f} | {blocks:.1f} | {own / blocks:.2f} |\n")
        sys.stdout.flush()


def work(case: Case, attention: Attention) -> Callable[[], object]:
    """The attention of ``case``, to be called."""
    query, key, value = (
        drawn(heads, case.tokens, case.size) for heads in (case.heads, case.shared, case.shared)
    )
    if not case.questions:
        return lambda: attention(
            query, key, value, is_causal=case.causal, enable_gqa=case.heads > case.shared
        )
    groups = case.heads // case.shared
    # The last layer of a prefix is left out, so there are two.
    shape = TreeShape(2, case.shared, groups, case.size, torch.float32, torch.device("cpu"))
    asked = [number for number in range(case.questions) for _ in range(QUESTION_TOKENS)]
    cache = TreeCache(shape, 1, case.tokens + len(asked), attention)
    cache.prefix([0], [case.tokens]).attend(0, Heads(query, key, value), case.size**-0.5)
    row = cache.branches([0] * len(asked), asked)
    new = (drawn(heads, len(asked), case.size) for heads in (case.heads, case.shared, case.shared))
    heads = Heads(*new)
    return lambda: row.attend(0, heads, case.size**-0.5)


def drawn(heads: int, tokens: int, size: int) -> torch.Tensor:
    """Numbers as they come from a projection: a token's heads beside each other."""
    return torch.randn(1, tokens, heads, size).transpose(1, 2)


def milliseconds(call: Callable[[], object], times: int) -> float:
    """The shortest processor time of ``call``."""
    taken = []
    with torch.inference_mode():
        for _ in range(times + 1):
            started = time.process_time()
            call()
            taken.append(time.process_time() - started)
    return 1000 * min(taken)


if __name__ == "__main__":
    main()
