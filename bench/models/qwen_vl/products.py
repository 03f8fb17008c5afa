"""Linear layers whose weights lie in memory as this processor's products read them.

In fp32 torch gives a product to MKL, which takes the weight as it is. oneDNN can arrange a weight once in
blocks that its kernels read in order (torch's ``mkldnn`` operators, which torch.compile uses for frozen
weights). On some processors its products are then more than twice as fast, on others no faster, so a product
is timed. The sums are in fp32 as before, but in another order, which changes the last bits of a result.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from bench.schema import ModelSpec

MIN_SPEEDUP = 1.15
"""Below that, packing is not worth a result with other last bits."""
ROWS, INPUTS, OUTPUTS = 128, 512, 1024
"""The largest product that is timed: MKL takes about 1 ms for it. A smaller model is timed with a layer of
its own size, because narrow layers gain nothing."""
_TIMES = 9
"""What is compared is timed this often and the shortest time counts: other processes may slow one down."""
_TYPICAL_ROWS = 200
"""Rows that oneDNN chooses its blocks for; a weight that is packed for them serves any number."""


class Then(NamedTuple):
    """What a product does with its results before it stores them, in the words of torch's operator."""

    name: str = "none"
    algorithm: str = ""


NOTHING = Then()


class Fused(NamedTuple):
    """An activation as a ``Then``: activation(x) = then(factor x) / factor."""

    then: Then
    factor: float = 1.0


_FUSED = {
    "SiLUActivation": Fused(Then("swish")),
    "QuickGELUActivation": Fused(Then("swish"), 1.702),
    "GELUTanh": Fused(Then("gelu", "tanh")),
}
"""Class of an activation in transformers → how the product before it computes it."""
_MLPS = (
    ("fc1", "act", "fc2"),
    ("linear_fc1", "act_fn", "linear_fc2"),
    ("gate_proj", "act_fn", "down_proj"),
)
"""Names in an MLP: the layer before the activation, the activation, the layer behind it."""


@functools.cache
def packed_speedup(inputs: int, outputs: int) -> float | None:
    """How many times as fast a product is with a packed weight; None where oneDNN cannot be had or fails.

    It is measured once in a process for each size of the weight, which takes at most 15 ms.
    """
    # Untyped in torch.
    onednn: Any = torch.backends.mkldnn
    if not onednn.is_available():
        return None
    chance = torch.Generator().manual_seed(0)
    rows, weight = (torch.randn(count, inputs, generator=chance) for count in (ROWS, outputs))
    with torch.inference_mode():
        try:
            arranged = packed(weight)
            computed = product(rows, arranged)
        except (AttributeError, RuntimeError):
            return None
        plain = torch.nn.functional.linear(rows, weight)
        if not torch.allclose(computed, plain, rtol=1e-4, atol=1e-3):
            return None
        plain_seconds = seconds(lambda: torch.nn.functional.linear(rows, weight))
        return plain_seconds / seconds(lambda: product(rows, arranged))


def pack_products(spec: ModelSpec, model: Any) -> str:
    """Pack the weights of ``model``, which is ready to answer, where it pays; says what was done or why not.

    Each weight is freed as soon as it is packed, so the model needs the memory of one more layer for a
    moment. Weights that are stored in fp32 lie in a mapped file; it stays mapped until all are packed.
    The model cannot be trained, saved or moved to another device afterwards.
    """
    reason = obstacle(spec, model)
    if reason is not None:
        return f"torch's own ({reason})"
    text = model.config.get_text_config()
    speedup = packed_speedup(min(INPUTS, text.hidden_size), min(OUTPUTS, text.intermediate_size))
    if speedup is None:
        return "torch's own (oneDNN is missing or failed its trial)"
    if speedup < MIN_SPEEDUP:
        return f"torch's own (with packed weights they are {speedup:.2g} times as fast on this processor)"
    holders = _holders(model)
    for module in list(model.modules()):
        _fuse_activation(module, holders)
    _pack(model)
    return f"oneDNN, packed weights ({speedup:.2g} times as fast as torch's own on this processor)"


class PackedLinear(torch.nn.Module):
    """Computes what a ``torch.nn.Linear`` with this weight and bias does, and the activation behind it."""

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, then: Then = NOTHING
    ) -> None:
        super().__init__()
        # It has the shape, dtype and device of the plain weight, which transformers reads.
        self.weight = torch.nn.Parameter(packed(weight.detach()), requires_grad=False)
        self.bias, self.then = bias, then

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(…, inputs) → (…, outputs)."""
        return product(rows, self.weight, self.bias, self.then)


class FlatConvolution(torch.nn.Module):
    """The patch embedding as one product (``vision.flatten_patch_embedding``)."""

    def __init__(self, convolution: torch.nn.Conv3d) -> None:
        super().__init__()
        # The same parameters under the same names: nothing is copied, a state dict stays one.
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """(patches, channels, temporal, height, width) → (patches, features)."""
        return torch.nn.functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)


class PackedPatches(PackedLinear):
    """Computes what a ``FlatConvolution`` with this weight and bias does."""

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, then: Then = NOTHING
    ) -> None:
        super().__init__(weight.flatten(1), bias, then)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(patches, channels, temporal, height, width) → (patches, features)."""
        return super().forward(rows.flatten(1))


def obstacle(spec: ModelSpec, model: Any) -> str | None:
    """Why the products of ``model`` stay as they are; None if they may be oneDNN's."""
    if spec.options.get("reference", False):
        return "the reference is plain transformers"
    if spec.options.get("packed") is False:
        return "oneDNN is switched off by packed = false"
    if model.device.type != "cpu":
        return "oneDNN is for a CPU"
    if any(weight.is_meta for weight in model.parameters()):
        return "parts of the model lie elsewhere"
    if getattr(model.config, "quantization_config", None) is not None:
        return "the model is quantized"
    if model.dtype != torch.float32:
        return "oneDNN is used in fp32 only"
    if any(hasattr(module, "base_layer") for module in model.modules()):
        return "an adapter lies beside the weights"
    return None


def _fuse_activation(mlp: Any, holders: Mapping[int, int]) -> None:
    """Let the product before the activation of ``mlp``, if it is one, compute it before it stores results."""
    for names in _MLPS:
        layers: list[Any] = [getattr(mlp, name, None) for name in names]
        before, activation, behind = layers
        fused = _FUSED.get(type(activation).__name__)
        if fused is None or not all(_is_packable(layer, holders) for layer in (before, behind)):
            continue
        setattr(mlp, names[1], torch.nn.Identity())
        before.then = fused.then
        if fused.factor != 1.0:
            # Copies: weights that were stored in fp32 lie in a file.
            for parameter in before.parameters():
                parameter.data = parameter * fused.factor
            behind.weight.data = behind.weight / fused.factor


def _pack(model: Any) -> None:
    holders = _holders(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            packed_layer = _packed_class(child, holders)
            if packed_layer is not None:
                then = getattr(child, "then", NOTHING)
                setattr(module, name, packed_layer(child.weight, child.bias, then))
    _leave_files(model)


def _leave_files(model: Any) -> None:
    """Copy the weights that are not packed, one by one.

    Those that were stored in fp32 lie in the mapped file, and one of them would keep all of it mapped.
    """
    for weight in model.parameters():
        if not weight.is_mkldnn:
            weight.data = weight.data.clone()


def _holders(model: Any) -> Mapping[int, int]:
    """Address of a weight → how many modules have it."""
    return Counter(
        weight.data_ptr() for _, weight in model.named_parameters(remove_duplicate=False)
    )


def _packed_class(module: Any, holders: Mapping[int, int]) -> type[PackedLinear] | None:
    """What ``module`` becomes; None if it stays."""
    if type(module) is FlatConvolution:
        return PackedPatches
    return PackedLinear if _is_packable(module, holders) else None


def _is_packable(module: Any, holders: Mapping[int, int]) -> bool:
    # Not ``isinstance``: other kinds of layers inherit from it.
    if type(module) is not torch.nn.Linear or module.weight.dtype != torch.float32:
        return False
    # A weight that is shared, as with the embeddings, would be in memory twice.
    return holders[module.weight.data_ptr()] == 1


def packed(weight: torch.Tensor) -> torch.Tensor:
    """``weight`` (outputs, inputs) as ``product`` reads it fastest."""
    arranged: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _TYPICAL_ROWS)
    return arranged


def product(
    rows: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    then: Then = NOTHING,
) -> torch.Tensor:
    """``torch.nn.functional.linear`` by oneDNN, with a ``weight`` that is packed or has no gaps."""
    computed: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
        rows, weight, bias, then.name, [], then.algorithm
    )
    return computed


def seconds(work: Callable[[], object]) -> float:
    """The shortest time that ``work`` took."""
    best = float("inf")
    # The first call, which prepares a kernel, is among them and is never the fastest.
    for _ in range(_TIMES + 1):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best
