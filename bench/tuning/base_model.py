"""Which models can be trained, and what an adapter calls its base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.errors import InvalidInput
from bench.measure import visible_gpus
from bench.models.backends import traits_of
from bench.models.catalog import catalog
from bench.models.checkpoints import read_checkpoint, read_json
from bench.models.qwen_vl.cuda import has_bf16_units
from bench.models.qwen_vl.device import pick_device
from bench.paths import BUNDLED
from bench.schema import ModelSpec
from bench.text import shell_word


def trainable(spec: ModelSpec) -> ModelSpec:
    """``spec`` as it is loaded for training.

    Raises:
        InvalidInput: it is no Qwen-VL, it is an adapter, or its precision or device cannot train.
    """
    if not traits_of(spec).trainable:
        raise InvalidInput(
            f"model {spec.name!r} cannot be trained; only the Qwen-VL family can",
            hint="bench tune --model qwen2-vl-2b",
        )
    if spec.adapter is not None:
        raise InvalidInput(
            f"model {spec.name!r} is already an adapter",
            hint=f"merge it first: bench tune --merge {shell_word(spec.adapter)} --out merged",
        )
    if spec.dtype == "fp16":
        raise InvalidInput(
            "training in fp16 overflows", hint="use --dtype bf16, or fp32 where the GPU has no bf16"
        )
    if spec.device.startswith("cuda:") and spec.device != "cuda:0":
        number = int(spec.device.partition(":")[2])
        # The number counts the GPUs that are left already.
        left = dict(enumerate(visible_gpus() or ()))
        raise InvalidInput(
            f"training uses the first GPU that it sees, not {spec.device}",
            hint=f"CUDA_VISIBLE_DEVICES={left.get(number, number)} bench tune … --device cuda",
        )
    dtype = "fp32" if spec.dtype == "auto" and _has_only_fp16(spec) else spec.dtype
    # flash_attention_2 does not accept the masks that keep the questions of a row apart.
    return replace(spec, attention="sdpa", dtype=dtype)


def _has_only_fp16(spec: ModelSpec) -> bool:
    """Whether ``spec`` is for a GPU on which ``auto`` would be fp16."""
    device = pick_device(spec.device)
    return device.type == "cuda" and not has_bf16_units(device)


def check_weights(folder: Path, spec: ModelSpec) -> None:
    """Refuse the checkpoint in ``folder`` where it cannot be trained.

    Raises:
        InvalidInput: no gradient passes through its quantization, or it has sliding-window attention.
    """
    quantization = read_checkpoint(folder).quantization
    if quantization not in {None, "nf4", "fp4", "int8"}:
        raise InvalidInput(
            f"{spec.checkpoint} is quantized as {quantization}, which cannot be trained",
            hint="name the checkpoint that is not quantized, with --quantization nf4",
        )
    config = read_json(folder / "config.json")
    text = config.get("text_config")
    settings = {**config, **text} if isinstance(text, dict) else config
    if settings.get("use_sliding_window"):
        raise InvalidInput(
            f"{spec.checkpoint} uses sliding-window attention, and packed rows cannot be trained with it",
            hint="name another checkpoint; those of Qwen2-VL, Qwen2.5-VL and Qwen3-VL do not use it",
        )


def base_name(spec: ModelSpec) -> str:
    """What an adapter calls its base: a hub id, a folder, or the catalog's name of a bundled model."""
    checkpoint = str(spec.checkpoint)
    if checkpoint.startswith(BUNDLED):
        for name, entry in catalog().items():
            if entry.checkpoint == checkpoint and entry.quantization is None:
                return name
    return checkpoint
