"""What a training will hold in memory, computed before any weight is loaded.

    peak = context + weights + adapter + the most of a row: activations kept for the backward pass,
           the layer in work, logits of the answers' tokens, the mask, and the pages in the vision tower

What a layer keeps is counted for each token, in numbers of the model's precision. ``h`` is the hidden size,
``q`` the size of all query heads, ``I`` the inner size of the MLP, and ``r`` the rank:

    4h + 4q + 4I + 7r           norms' inputs and outputs, attention's operands, the gated MLP
    + 14 bytes x h              in 16 bits: the norms' float32 copies
    + 2 (5h + q + I)            with dropout: each adapter's own input and its mask

``tests/test_tuning_memory.py`` compares this with what autograd really keeps, on a CPU. On a GPU it has not
been measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from bench.errors import OutOfMemory
from bench.formatting import byte_size
from bench.measure import free_gpu_memory
from bench.models.architectures import Architecture
from bench.models.qwen_vl.fit import CUDA_CONTEXT_BYTES, Activations
from bench.tuning.examples import TrainingExample
from bench.tuning.lora import Lora

FLOAT = 4
"""The bytes of a number in float32."""
TRAINED = 4 * FLOAT
"""The bytes of a trained number: itself, its gradient, and the two moments of AdamW."""

SAFE_SHARE = 0.9
"""The share of the free memory that a training may be expected to fill: the allocator needs some of the rest,
and the formula leaves out small tensors."""
MIN_BATCH_TOKENS = 512
"""A shorter row seldom holds one page."""


class MemoryRow(NamedTuple):
    """What the fullest row of a training holds; each figure is the largest of any row."""

    tokens: int
    patches: int
    """Patches of all pages."""
    targets: int
    """Tokens of all answers."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that memory depends on."""

    architecture: Architecture
    weights: int
    """The bytes of the base model as it is loaded."""
    number: int
    """The bytes of a number that is not quantized."""
    lora: Lora
    row: MemoryRow
    checkpointing: bool
    on_gpu: bool


class MemoryEstimate(NamedTuple):
    """Bytes, by what they are needed for."""

    context: int
    """What CUDA itself takes in a process."""
    weights: int
    adapter: int
    """The adapter, its gradients and the optimizer's state."""
    activations: int
    """What is kept for the backward pass, and the layer that is being computed."""
    logits: int
    vision: int

    @property
    def bytes(self) -> int:
        """The sum, which is held at the fullest moment."""
        return (
            self.context
            + self.weights
            + self.adapter
            + self.activations
            + self.logits
            + self.vision
        )


def fullest(rows: Sequence[Sequence[TrainingExample]]) -> MemoryRow:
    """The largest figures of ``rows``, each by itself."""
    return MemoryRow(
        max(sum(example.length for example in row) for row in rows),
        max(sum(example.patches for example in row) for row in rows),
        max(
            sum(len(branch.answer) for example in row for branch in example.branches)
            for row in rows
        ),
    )


def estimate(setup: Setup) -> MemoryEstimate:
    """What a training as in ``setup`` holds."""
    shape, row, number = setup.architecture, setup.row, setup.number
    layer = row.tokens * layer_bytes(setup)
    if setup.checkpointing:
        kept = shape.layers * row.tokens * shape.hidden * number + layer
    else:
        kept = shape.layers * layer
    # The gradients of the layer that is being computed; the mask as booleans and as scores.
    work = row.tokens * (2 * shape.hidden + 3 * shape.intermediate) * number
    mask = row.tokens**2 * (1 + number)
    tower = Activations(shape, number).vision(row.patches)
    if setup.lora.vision:
        size, inner = shape.vision.hidden, shape.vision.intermediate
        kept += shape.vision.layers * row.patches * (14 * size + 4 * inner) * number
    return MemoryEstimate(
        context=CUDA_CONTEXT_BYTES if setup.on_gpu else 0,
        weights=setup.weights,
        adapter=TRAINED * adapter_parameters(shape, setup.lora),
        activations=kept + work + mask,
        # The scores, their float32 copy, its softmax, and the gradients of the last two.
        logits=row.targets * shape.vocabulary * (2 * number + 3 * FLOAT),
        vision=tower,
    )


def layer_bytes(setup: Setup) -> int:
    """The bytes that a layer of the language model keeps for each token; see the module's docstring."""
    shape, lora, number = setup.architecture, setup.lora, setup.number
    hidden, inner, queries = shape.hidden, shape.intermediate, shape.heads * shape.head_size
    numbers = 4 * hidden + 4 * queries + 4 * inner + 7 * lora.rank
    narrow = 0
    if shape.model_type == "qwen3_vl":
        # This family also normalises queries and keys.
        numbers += queries + shape.kv_heads * shape.head_size
        narrow = 3 * (queries + shape.kv_heads * shape.head_size)
    if lora.dropout:
        numbers += 2 * (5 * hidden + queries + inner)
    return numbers * number + (14 * hidden + narrow if number < FLOAT else 0)


def adapter_parameters(shape: Architecture, lora: Lora) -> int:
    """An upper bound on the numbers of an adapter on all linear layers of the parts that ``lora`` names."""
    sides = sum(linear.rows + linear.columns for linear in shape.linears())
    vision = shape.vision
    if lora.vision:
        # A gated MLP has at most three projections, and one layer makes queries, keys and values.
        sides += vision.layers * (6 * vision.hidden + 3 * (vision.hidden + vision.intermediate))
    if lora.merger:
        merged = vision.hidden * vision.merge**2
        sides += (1 + vision.deepstack) * (3 * merged + vision.out)
    return lora.rank * sides


def check_fits(setup: Setup, free: int, nf4: int, batch_tokens: int) -> str | None:
    """Refuse a training that cannot fit, and return a warning where it may not.

    Args:
        setup: what is to be trained.
        free: the bytes that are free now.
        nf4: the bytes of the base's weights in NF4.
        batch_tokens: the value of the option.

    Raises:
        OutOfMemory: it cannot fit; the hint names options with which it would.
    """
    expected = estimate(setup)
    if expected.bytes <= SAFE_SHARE * free:
        return None
    cure = cures(setup, free, nf4, batch_tokens)
    message = (
        f"training would hold about {byte_size(expected.bytes)}, and {byte_size(free)} are free "
        f"({parts(expected)})"
    )
    if expected.bytes > free:
        raise OutOfMemory(message, hint=cure)
    return f"{message}; it may just fit. If it does not: {cure}"


def cures(setup: Setup, free: int, nf4: int, batch_tokens: int) -> str:
    """Options with which the training would fit into ``free`` bytes; those that cost least come first."""
    changed = setup
    options: list[str] = []
    for option, better in _savings(setup, nf4):
        changed = replace(changed, **better)
        options.append(option)
        if _fits(changed, free):
            return f"it should fit with {' '.join(options)}"
    smaller = batch_tokens
    while smaller > MIN_BATCH_TOKENS:
        smaller //= 2
        share = smaller / batch_tokens
        shorter_row = MemoryRow(*(int(share * size) for size in setup.row))
        if _fits(replace(changed, row=shorter_row), free):
            options += [f"--batch-tokens {smaller}", f"--accumulate {batch_tokens // smaller}"]
            return (
                f"it should fit with {' '.join(options)}; a document with more tokens than that also needs "
                "a smaller --max-pixels"
            )
    return "no setting makes this model fit here; use a smaller model"


def _savings(setup: Setup, nf4: int) -> list[tuple[str, dict[str, Any]]]:
    """Options that would save memory here, each with the fields of ``setup`` that it changes."""
    savings: list[tuple[str, dict[str, Any]]] = []
    if not setup.checkpointing:
        savings.append(("--gradient-checkpointing", {"checkpointing": True}))
    if setup.lora.dropout:
        savings.append(("--dropout 0", {"lora": setup.lora._replace(dropout=0.0)}))
    if nf4 < setup.weights:
        savings.append(("--quantization nf4", {"weights": nf4}))
    return savings


def _fits(setup: Setup, free: int) -> bool:
    return estimate(setup).bytes <= SAFE_SHARE * free


def parts(expected: MemoryEstimate) -> str:
    """The parts of ``expected`` in words; those below a mebibyte are left out."""
    named = {
        "weights": expected.weights,
        "adapter and optimizer": expected.adapter,
        "activations": expected.activations,
        "logits": expected.logits,
        "pages": expected.vision,
    }
    return ", ".join(f"{name} {byte_size(size)}" for name, size in named.items() if size >= 2**20)


def free_bytes(on_gpu: bool) -> int:
    """The bytes that are free on the first GPU, or in main memory."""
    if on_gpu:
        return free_gpu_memory() or 0
    import psutil

    return int(psutil.virtual_memory().available)
