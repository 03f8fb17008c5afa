"""How much memory a Qwen-VL needs: a formula from its configuration, without weights, torch or a device.

    peak = context + weights + the most of what one of these stages holds

    vision     features + patches of a call x (pixels + tower)
    prefix     features + keys and values + tokens of a row x language model
    questions  features + keys and values + tokens of a row x (language model + mask)
    decode     features + keys and values + questions in flight x logits

Each term counts the tensors that are alive together at the stage's fullest moment, in the code of this
package and in the transformers code that it calls; docs/performance.md has them one by one, and how far
they are from what was measured (``benchmarks/memory.py``). What is planned is what ``plan`` does: the
columns, the flights and the rows are computed by the engine's own functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.models.architectures import Architecture, Linear
from bench.models.checkpoints import StoredWeight, stored_weights
from bench.models.qwen_vl.plan import Limits, Need, columns, flights

CUDA_CONTEXT_BYTES = 600 * 2**20
"""Memory of a process that has used CUDA: driver, kernels, the matrix library's workspace. Not measured."""

FLOAT = 4
"""Bytes of a number in float32: pixels, rotary embedding and the choice of tokens are computed in it."""
OWNER_BYTES = 4
"""Bytes of the note in the cache that says which question a column belongs to."""

GROUP = 128
"""Weights that share a scale in the GPTQ and AWQ checkpoints of the family."""
NF4_BLOCK, NF4_NESTED = 64, 256
"""Weights that share a scale, and scales that share one (double quantization of bitsandbytes)."""
NF4_TABLES = FLOAT * (1 + 16 + 256)
"""Bytes that each packed weight has besides: an offset and the code books of both quantizations."""

_PACKED = (
    "q_proj.weight",
    "k_proj.weight",
    "v_proj.weight",
    "o_proj.weight",
    "gate_proj.weight",
    "up_proj.weight",
    "down_proj.weight",
)


class Weights(NamedTuple):
    """A model's parameters, by what a quantization does to them."""

    linears: tuple[Linear, ...]
    """The language model's linear layers."""
    others: int
    """Parameters that keep their 16 or 32 bits."""

    def bytes(self, quantization: str | None, number: int) -> int:
        """Memory of the loaded weights.

        Args:
            quantization: as in ``ModelSpec.quantization``.
            number: bytes of a number that is not quantized.
        """
        packed = sum(_packed(linear, quantization, number) for linear in self.linears)
        return packed + self.others * number


def _packed(linear: Linear, quantization: str | None, number: int) -> int:
    count = linear.parameters
    if quantization in {"nf4", "fp4"}:
        scales = math.ceil(count / NF4_BLOCK)
        return math.ceil(count / 2) + scales + FLOAT * math.ceil(scales / NF4_NESTED) + NF4_TABLES
    if quantization == "int8":
        return count + FLOAT * linear.rows
    if quantization in {"gptq-int4", "awq", "gptq-int8"}:
        bits = 8 if quantization == "gptq-int8" else 4
        groups = linear.rows * math.ceil(linear.columns / GROUP)
        return (count + groups) * bits // 8 + 2 * groups
    return count * number


def weights_of(architecture: Architecture) -> Weights:
    """The parameters that a configuration asks for."""
    return Weights(architecture.linears(), architecture.unpacked())


def stored_weight_bytes(
    folder: Path, architecture: Architecture, quantization: str | None, number: int
) -> int:
    """Memory of the weights in ``folder`` once they are loaded, from the headers of its files.

    A checkpoint that is quantized on disk is taken as it is stored.

    Raises:
        InvalidInput: the files are incomplete or damaged.
    """
    stored = [w for w in stored_weights(folder) if not _copy_of_embeddings(w, architecture)]
    if any(weight.dtype.startswith(("I", "U")) for weight in stored):
        return sum(weight.bytes for weight in stored)
    linears = [Linear(*w.shape) for w in stored if _is_packed(w)]
    others = sum(weight.parameters for weight in stored if not _is_packed(weight))
    return Weights(tuple(linears), others).bytes(quantization, number)


def adapter_bytes(folder: Path) -> int:
    """Memory of an adapter that stays beside the weights; PEFT holds it in float32."""
    return FLOAT * sum(weight.parameters for weight in stored_weights(folder))


def _is_packed(weight: StoredWeight) -> bool:
    return weight.name.endswith(_PACKED) and "visual" not in weight.name and len(weight.shape) == 2


def _copy_of_embeddings(weight: StoredWeight, architecture: Architecture) -> bool:
    return architecture.tied and weight.name.endswith("lm_head.weight")


class Work(NamedTuple):
    """What a document asks of a model."""

    pages: tuple[int, ...]
    """Visual tokens of each page."""
    need: Need

    @property
    def visual_tokens(self) -> int:
        """Visual tokens of all pages together."""
        return sum(self.pages)


class Peak(NamedTuple):
    """Bytes at the fullest moment of answering a batch, the weights apart."""

    vision: int
    """Activations of the vision tower on its fullest call."""
    prefix: int
    """Activations of the language model on its fullest row of prefixes."""
    questions: int
    """Activations and mask of the fullest row of questions."""
    logits: int
    """Scores over the vocabulary, while the first tokens are chosen."""
    features: int
    """Pages after the vision tower, until their prefix is filled."""
    cache: int
    """Keys and values in flight."""
    documents: int
    """Documents in the fullest flight."""
    pages: int
    """Pages in the fullest flight."""

    @property
    def bytes(self) -> int:
        """Bytes at the fullest stage."""
        return self.features + max(
            self.vision, self.cache + max(self.prefix, self.questions, self.logits)
        )


class Activations(NamedTuple):
    """What a model holds besides its weights while it computes."""

    architecture: Architecture
    number: int
    """Bytes of a number: 2 in bf16 and fp16, 4 in fp32."""

    @property
    def column(self) -> int:
        """Bytes of the keys and values of one token in all layers."""
        shape = self.architecture
        return 2 * shape.layers * shape.kv_heads * shape.head_size * self.number

    def cache(self, documents: int, columns: int) -> int:
        """Bytes of a flight's keys and values, and of the notes whose they are (``tree.TreeCache``)."""
        return documents * columns * (self.column + OWNER_BYTES)

    def features(self, visual_tokens: int) -> int:
        """Bytes of pages after the vision tower, the inner layers' features of Qwen3-VL among them."""
        vision = self.architecture.vision
        return visual_tokens * vision.out * (1 + vision.deepstack) * self.number

    def vision(self, patches: int) -> int:
        """Bytes while the vision tower computes ``patches`` patches in one call.

        The patches' values stay, in float32 and in the model's numbers, and so do the two tables of the
        rotary embedding. In the fullest moment of a layer there are besides, in sizes of the tower: its
        input and its norm (2), and either the MLP's inner values three times, or queries, keys and values
        (3) while the rotary embedding turns them in float32 (4 of that, and in 16 bits 2 more for copies).
        """
        vision = self.architecture.vision
        wide = FLOAT if self.number < FLOAT else 0
        pixels = vision.patch_values * (FLOAT + (self.number if wide else 0))
        attention = 5 * self.number * vision.hidden + 4 * FLOAT * vision.hidden
        attention += 2 * wide * vision.hidden
        mlp = (2 * vision.hidden + 3 * vision.intermediate) * self.number
        tables = 2 * FLOAT * vision.hidden // vision.heads
        return patches * (pixels + tables + max(attention, mlp))

    def prefix(self, tokens: int) -> int:
        """Bytes while the language model computes a row of prefixes of ``tokens`` tokens together.

        The inner layers' features of Qwen3-VL are copied into one row first.
        """
        vision = self.architecture.vision
        return self.row(tokens) + tokens * vision.out * vision.deepstack * self.number

    def row(self, tokens: int) -> int:
        """Bytes while the language model computes a row of ``tokens`` tokens.

        Four times the hidden state (embeddings, a layer's input, its middle and the norm of that) and
        three times the MLP's inner values (gate, up, their product).
        """
        shape = self.architecture
        return tokens * (4 * shape.hidden + 3 * shape.intermediate) * self.number

    def mask(self, tokens: int, columns: int) -> int:
        """Bytes of a row's mask: ``tokens`` places of every query head of a group, over ``columns``."""
        return tokens * columns * self.architecture.groups * self.number

    def logits(self, questions: int) -> int:
        """Bytes while the tokens of ``questions`` answers are chosen.

        The scores, in float32 with the copies that a repetition penalty makes of them (4), and two bytes
        for what is a token's sign and whether it was seen.
        """
        return questions * self.architecture.vocabulary * (self.number + 4 * FLOAT + 2)

    def peak(self, batch: Sequence[Work], limits: Limits) -> Peak:
        """The fullest moment of answering ``batch`` in one call of the engine."""
        budget = max(1, limits.cache_bytes // self.column)
        return max(
            (self._flight(flight, limits, budget) for flight in _flights(batch, budget)),
            key=lambda peak: peak.bytes,
        )

    def _flight(self, flight: Sequence[Work], limits: Limits, budget: int) -> Peak:
        merged = self.architecture.vision.merge**2
        most_columns = max(columns(work.need, budget) for work in flight)
        patches = [merged * tokens for work in flight for tokens in work.pages]
        prefixes = [work.need.prefix for work in flight]
        # Inside the attention every document has as many places as the one that is asked most.
        asked = max(min(sum(w.need.questions), most_columns - w.need.prefix) for w in flight)
        row = min(len(flight) * asked, limits.question_tokens)
        # Documents are encoded until a call is full, so features may be of some more than are in flight.
        ahead = max(max(work.visual_tokens for work in flight), limits.vision_patches // merged)
        return Peak(
            vision=self.vision(_row(patches, limits.vision_patches)),
            prefix=self.prefix(_row(prefixes, limits.prefix_tokens)),
            questions=self.row(row) + self.mask(row, most_columns),
            logits=self.logits(sum(len(work.need.questions) for work in flight)),
            features=self.features(sum(work.visual_tokens for work in flight) + ahead),
            cache=self.cache(len(flight), most_columns),
            documents=len(flight),
            pages=sum(len(work.pages) for work in flight),
        )


def _row(sizes: Sequence[int], limit: int) -> int:
    """The most of ``sizes`` that come together: a single one as it is, several up to ``limit``."""
    return max(max(sizes, default=0), min(sum(sizes), limit))


def _flights(batch: Sequence[Work], budget: int) -> Iterator[list[Work]]:
    return flights(batch, lambda work: work.need, budget)
