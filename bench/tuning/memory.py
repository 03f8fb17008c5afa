"""What training will hold in memory, before any weight is loaded.

    peak = context + weights + adapter + the most of a row: activations kept for the backward pass,
           the layer in work, logits of the answers' tokens, the mask, and the pages in the vision tower

What a layer keeps is counted per token, in numbers of the model's precision; ``h`` hidden size, ``q`` all
query heads, ``I`` inner size of the MLP, ``r`` rank:

    4h + 4q + 4I + 7r           norms' inputs and outputs, attention's operands, the gated MLP
    + 14 bytes x h              in 16 bits: the norms' float32 copies
    + 2 (5h + q + I)            with dropout: each adapter's own input and its mask

``tests/test_tuning_memory.py`` holds it against what autograd really keeps, on a CPU. On a GPU it is not
measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bench.errors import OutOfMemory
from bench.models.architectures import Architecture
from bench.models.qwen_vl.fit import CUDA_CONTEXT_BYTES, Activations
from bench.tuning.examples import Example
from bench.tuning.lora import Lora

FLOAT = 4
"""Bytes of a number in float32."""
TRAINED = 4 * FLOAT
"""Bytes of an adapter's number: itself, its gradient, and the two moments of AdamW."""


class Row(NamedTuple):
    """What the fullest row of a training holds; each the most of any row."""

    tokens: int
    patches: int
    """Of all pages."""
    targets: int
    """Tokens of answers."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that memory depends on."""

    architecture: Architecture
    weights: int
    """Bytes of the base as it is loaded."""
    number: int
    """Bytes of a number that is not quantized."""
    lora: Lora
    row: Row
    checkpointing: bool
    on_gpu: bool


class Estimate(NamedTuple):
    """Bytes by what holds them."""

    context: int
    """Of a process that uses CUDA."""
    weights: int
    adapter: int
    """With its gradients and the optimizer's state."""
    activations: int
    """Kept for the backward pass, and the layer in work."""
    logits: int
    vision: int

    @property
    def bytes(self) -> int:
        """At the fullest moment."""
        return (
            self.context
            + self.weights
            + self.adapter
            + self.activations
            + self.logits
            + self.vision
        )


def fullest(rows: Sequence[Sequence[Example]]) -> Row:
    """The most of ``rows`` in each respect."""
    return Row(
        max(sum(example.length for example in row) for row in rows),
        max(sum(example.patches for example in row) for row in rows),
        max(
            sum(len(branch.answer) for example in row for branch in example.branches)
            for row in rows
        ),
    )


def estimate(setup: Setup) -> Estimate:
    """What training as in ``setup`` holds."""
    shape, row, number = setup.architecture, setup.row, setup.number
    layer = row.tokens * layer_bytes(setup)
    if setup.checkpointing:
        kept = shape.layers * row.tokens * shape.hidden * number + layer
    else:
        kept = shape.layers * layer
    # The gradients of a layer on their way down; the mask as yes and no, and as scores.
    work = row.tokens * (2 * shape.hidden + 3 * shape.intermediate) * number
    mask = row.tokens**2 * (1 + number)
    tower = Activations(shape, number).vision(row.patches)
    if setup.lora.vision:
        size, inner = shape.vision.hidden, shape.vision.intermediate
        kept += shape.vision.layers * row.patches * (14 * size + 4 * inner) * number
    return Estimate(
        context=CUDA_CONTEXT_BYTES if setup.on_gpu else 0,
        weights=setup.weights,
        adapter=TRAINED * adapter_parameters(shape, setup.lora),
        activations=kept + work + mask,
        # Scores, their float32 copy, its softmax, and the gradients of both.
        logits=row.targets * shape.vocabulary * (2 * number + 3 * FLOAT),
        vision=tower,
    )


def layer_bytes(setup: Setup) -> int:
    """Bytes that a layer of the language model keeps for each token; see the module's docstring."""
    shape, lora, number = setup.architecture, setup.lora, setup.number
    hidden, inner, queries = shape.hidden, shape.intermediate, shape.heads * shape.head_size
    numbers = 4 * hidden + 4 * queries + 4 * inner + 7 * lora.rank
    narrow = 0
    if shape.model_type == "qwen3_vl":
        # Norms of queries and keys.
        numbers += queries + shape.kv_heads * shape.head_size
        narrow = 3 * (queries + shape.kv_heads * shape.head_size)
    if lora.dropout:
        numbers += 2 * (5 * hidden + queries + inner)
    return numbers * number + (14 * hidden + narrow if number < FLOAT else 0)


def adapter_parameters(shape: Architecture, lora: Lora) -> int:
    """Numbers of an adapter on all linear layers of the parts that ``lora`` chooses: an upper bound."""
    sides = sum(linear.rows + linear.columns for linear in shape.linears())
    vision = shape.vision
    if lora.vision:
        # At most three projections in a gated MLP; queries, keys and values are one layer.
        sides += vision.layers * (6 * vision.hidden + 3 * (vision.hidden + vision.intermediate))
    if lora.merger:
        merged = vision.hidden * vision.merge**2
        sides += (1 + vision.deepstack) * (3 * merged + vision.out)
    return lora.rank * sides


def check_fits(setup: Setup, free: int, nf4: int, batch_tokens: int) -> str | None:
    """Refuse a training that cannot fit; a sentence of warning where it is close.

    Args:
        setup: what is to be trained.
        free: bytes that are free now.
        nf4: bytes of the base's weights in NF4; those of ``setup`` where they are quantized already.
        batch_tokens: the option as it is.

    Raises:
        OutOfMemory: naming flags that would fit.
    """
    found = estimate(setup)
    if found.bytes <= 0.9 * free:
        return None
    cure = cures(setup, free, nf4, batch_tokens)
    message = (
        f"training would hold about {gib(found.bytes)}, and {gib(free)} are free ({parts(found)})"
    )
    if found.bytes > free:
        raise OutOfMemory(message, hint=cure)
    return f"{message}; it may just fit. If not: {cure}"


def cures(setup: Setup, free: int, nf4: int, batch_tokens: int) -> str:
    """Flags with which the training would fit into ``free`` bytes, the cheapest first."""
    changed = setup
    flags: list[str] = []
    for flag, better in (
        ("--gradient-checkpointing", replace(setup, checkpointing=True)),
        ("--dropout 0", replace(setup, lora=setup.lora._replace(dropout=0.0))),
        ("--quantization nf4", replace(setup, weights=min(nf4, setup.weights))),
    ):
        if better == setup:
            continue
        changed = replace(
            changed,
            checkpointing=changed.checkpointing or better.checkpointing,
            lora=changed.lora._replace(dropout=min(changed.lora.dropout, better.lora.dropout)),
            weights=min(changed.weights, better.weights),
        )
        flags.append(flag)
        if estimate(changed).bytes <= 0.9 * free:
            return "it should fit with " + " ".join(flags)
    smaller = batch_tokens
    while smaller > 512:
        smaller //= 2
        share = smaller / batch_tokens
        changed = replace(changed, row=Row(*(int(share * n) for n in setup.row)))
        if estimate(changed).bytes <= 0.9 * free:
            return (
                "it should fit with "
                + " ".join(
                    [*flags, f"--batch-tokens {smaller}", f"--accumulate {batch_tokens // smaller}"]
                )
                + "; a document larger than that also needs a smaller --max-pixels"
            )
    return "no setting of this model fits here; take a smaller model"


def parts(found: Estimate) -> str:
    """The terms of ``found`` in words, those of no weight left out."""
    named = {
        "weights": found.weights,
        "adapter and optimizer": found.adapter,
        "activations": found.activations,
        "logits": found.logits,
        "pages": found.vision,
    }
    return ", ".join(f"{name} {gib(size)}" for name, size in named.items() if size >= 2**20)


def gib(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def free_bytes(on_gpu: bool) -> int:
    """Bytes that are free on the device: the first GPU, or main memory."""
    if on_gpu:
        import torch

        free, _ = torch.cuda.mem_get_info()
        return free
    import psutil

    return int(psutil.virtual_memory().available)
