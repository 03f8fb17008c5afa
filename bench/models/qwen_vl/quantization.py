"""Quantized weights: which packages they take, and where the published checkpoints need a correction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InvalidInput, require_package
from bench.models.checkpoints import LocalCheckpoint, stored_weights, weight_files
from bench.models.qwen_vl.names import current_name
from bench.models.settings import LOADED_QUANTIZED
from bench.schema import ModelSpec
from bench.text import one_line

if TYPE_CHECKING:
    import torch

_NEEDED_BY = {
    "gptq-int4": (("gptqmodel", "gptq"), ("optimum", "gptq")),
    "gptq-int8": (("gptqmodel", "gptq"), ("optimum", "gptq")),
    "awq": (("gptqmodel", "gptq"),),
    "nf4": (("bitsandbytes", "nf4"),),
    "fp4": (("bitsandbytes", "nf4"),),
    "int8": (("bitsandbytes", "nf4"),),
}
"""Quantization → (package, extra) that loading it takes."""


def agreed_quantization(spec: ModelSpec, checkpoint: LocalCheckpoint) -> str | None:
    """What the weights are or will be quantized as, with its packages present."""
    wanted = spec.quantization
    if checkpoint.quantization is not None and wanted not in {None, checkpoint.quantization}:
        raise InvalidInput(
            f"{spec.checkpoint} is quantized as {checkpoint.quantization}, not as {wanted}",
            hint="name the checkpoint whose quantization you want",
        )
    if checkpoint.quantization is None and wanted not in {None, *LOADED_QUANTIZED}:
        raise InvalidInput(
            f"{spec.checkpoint} is not quantized, and it cannot be quantized as {wanted} while it is loaded",
            hint="--quantization nf4 or int8, or name a checkpoint that is quantized as you want",
        )
    quantization = checkpoint.quantization or wanted
    for package, extra in _NEEDED_BY.get(quantization or "", ()):
        require_package(f"a checkpoint in {quantization}", package, extra)
    return quantization


_SKIP_LISTS = {"awq": "modules_to_not_convert", "bitsandbytes": "llm_int8_skip_modules"}
"""``quant_method`` → key of the list of modules that the checkpoint leaves as they are."""
_PACKED = (".qweight", ".SCB", ".weight.absmax", ".weight.quant_map")
"""What the names of a packed module's weights end with."""
_PLAIN = frozenset({"F64", "F32", "F16", "BF16"})


def name_exclusions(settings: Any, folder: Path) -> None:
    """Replace the list of unquantized modules in a configuration by those that the weight files show.

    The lists are written in the names of many versions of transformers, which also matched them differently:
    from the start, from the end, or anywhere. A module that is wrongly taken for a packed one fails when it
    computes. What is packed in the files is certain.

    Raises:
        InvalidInput: nothing is packed.
    """
    if not isinstance(settings, dict):
        return
    skip_list = _SKIP_LISTS.get(str(settings.get("quant_method", "bitsandbytes")).lower())
    if skip_list is None:
        return
    packed, plain = set(), set()
    for weight in stored_weights(folder):
        mark = next((mark for mark in _PACKED if weight.name.endswith(mark)), None)
        if mark is not None:
            packed.add(current_name(weight.name.removesuffix(mark)))
        elif weight.name.endswith(".weight") and weight.dtype in _PLAIN:
            plain.add(current_name(weight.name.removesuffix(".weight")))
    if not packed:
        method = one_line(str(settings.get("quant_method", "bitsandbytes")), 40)
        raise InvalidInput(
            f"{folder / 'config.json'} says that {method} quantized the weights, but none of them is packed",
            hint="remove quantization_config from config.json, or download the weights that belong to it",
        )
    # An output head that shares the input embeddings is in no file.
    plain = (plain | {"lm_head"}) - packed
    settings[skip_list] = [re.escape(name) for name in sorted(plain)]


def bitsandbytes_config(quantization: str, dtype: torch.dtype) -> Any:
    """How transformers quantizes weights while it loads them; they compute in ``dtype``."""
    import transformers

    # Untyped in transformers.
    make: Any = transformers.BitsAndBytesConfig
    # As the published GPTQ and AWQ checkpoints do: only the language model's linear layers.
    skip = ["model.visual", "lm_head"]
    if quantization == "int8":
        return make(load_in_8bit=True, llm_int8_skip_modules=skip)
    return make(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=skip,
    )


def without_empty_biases(folder: Path, names: Sequence[str]) -> list[str]:
    """``names`` without the biases that are zero throughout.

    The published GPTQ checkpoints have a bias of zeros for every linear layer, also for those that the
    architecture gives none.
    """
    from safetensors import safe_open

    if not any(name.endswith(".bias") for name in names):
        return list(names)
    # transformers reports the names that it made of the file's; from "layers." on they are the same.
    wanted = {name[name.find("layers.") :]: name for name in names if name.endswith(".bias")}
    empty: set[str] = set()
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118
                name = wanted.get(key[key.find("layers.") :]) if "visual" not in key else None
                if name is not None and not file.get_tensor(key).any():
                    empty.add(name)
    return [name for name in names if name not in empty]
