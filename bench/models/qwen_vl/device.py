"""Where the weights go: the device, the number format and the attention kernels that fit it."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from bench.errors import EnvironmentProblem, OutOfMemory
from bench.formatting import plural
from bench.models.checkpoints import LocalCheckpoint
from bench.models.qwen_vl.cuda import has_bf16_units
from bench.schema import ModelSpec

if TYPE_CHECKING:
    import torch


def pick_device(wanted: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` stands for on this machine.

    Raises:
        EnvironmentProblem: the GPU that was asked for is not there.
    """
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(wanted)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise EnvironmentProblem(
                f"the model is to run on {wanted}, but torch {torch.__version__} sees no GPU",
                hint="bench doctor says why; --device cpu needs none",
            )
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise EnvironmentProblem(
                f"device {wanted} does not exist: torch sees {plural(count, 'GPU')}",
                hint="--device cuda:0",
            )
        device = torch.device("cuda", device.index or 0)
    return device


def pick_dtype(spec: ModelSpec, checkpoint: LocalCheckpoint, device: torch.device) -> torch.dtype:
    """The number format that ``spec`` asks for, or the one that suits weights and device best."""
    import torch

    if spec.dtype != "auto":
        return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[spec.dtype]
    if (checkpoint.quantization or "").startswith(("gptq", "awq")):
        # The kernels of both are written for fp16, and so are the checkpoints.
        return torch.float16
    # A CPU answers in fp32, in which the engine gives the tokens of plain generate (docs/performance.md).
    if device.type != "cuda":
        return torch.float32
    # Older GPUs have no units for bf16: products are emulated, and no fused attention takes it.
    return torch.bfloat16 if has_bf16_units(device) else torch.float16


def pick_attention(spec: ModelSpec, device: torch.device, dtype: torch.dtype) -> str:
    """The attention kernels that ``spec`` asks for, or the fastest that can be used here.

    Raises:
        EnvironmentProblem: FlashAttention 2 was asked for and cannot be used.
    """
    import torch

    usable = (
        device.type == "cuda"
        and dtype in {torch.bfloat16, torch.float16}
        and importlib.util.find_spec("flash_attn") is not None
    )
    if spec.attention == "flash_attention_2" and not usable:
        raise EnvironmentProblem(
            "flash_attention_2 needs a GPU, the number format bf16 or fp16, and the package flash-attn",
            hint="--attention sdpa",
        )
    if spec.attention != "auto":
        return spec.attention
    return "flash_attention_2" if usable else "sdpa"


def part_offloaded(model: Any) -> None:
    """Let each layer that accelerate fetches from main memory or the disk know only its own tied weights.

    accelerate finds tied weights by their address, in a table that all layers share. Where a tied weight was
    freed, another one may lie at its address, and would be taken for it.
    """
    for module in model.modules():
        outer: Any = getattr(module, "_hf_hook", None)
        for hook in getattr(outer, "hooks", (outer,)):
            if getattr(hook, "offload", False):
                hook.tied_params_map = {}


def weights_by_device(spec: ModelSpec, model: Any) -> dict[str, int]:
    """Bytes of the weights on each device, by accelerate's map of ``model``.

    Raises:
        OutOfMemory: accelerate left some to main memory or the disk, beside GPUs.
    """
    import torch

    # One device alone leaves no map.
    places = {str(place) for place in getattr(model, "hf_device_map", {}).values()}
    if torch.cuda.is_available() and places & {"cpu", "disk"}:
        raise OutOfMemory(
            f"the GPUs together do not hold {spec.checkpoint}: accelerate would keep some of its layers in "
            "main memory and copy them to a GPU for every token",
            hint="use more GPUs or a quantized model (-int4, -nf4)",
        )
    held: dict[str, int] = {}
    for parameter in model.parameters():
        name = str(parameter.device)
        held[name] = held.get(name, 0) + parameter.nbytes
    return held
