"""Makes an adapter and its base one checkpoint, which is like any other.

The sum is computed in float32 and written in the precision of the base's files, so a merged checkpoint
differs from base and adapter by that rounding.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InvalidInput
from bench.litter import is_free, new_folder
from bench.models.checkpoints import TUNING_FILE, read_checkpoint, stored_weights
from bench.schema import ModelSpec
from bench.text import shell_word

if TYPE_CHECKING:
    import torch

_COMPANIONS = ("*.json", "*.jinja", "*.txt")
"""The files of the base's tokenizer, template, processor and configuration."""


def merge(spec: ModelSpec, out: Path) -> Path:
    """Write the adapter of ``spec``, merged into its base, to the new folder ``out``, and return the folder.

    Raises:
        InvalidInput: ``spec`` is no adapter, its base is quantized on disk, or ``out`` is not empty.
        OutOfMemory: the base does not fit into memory in float32.
    """
    if spec.adapter is None:
        raise InvalidInput(
            f"model {spec.name!r} is not an adapter, so there is nothing to merge",
            hint="name the folder of an adapter: bench tune --merge ADAPTER --out FOLDER",
        )
    if not is_free(out):
        raise InvalidInput(f"{out} already exists", hint="name another folder with --out")
    from bench.models.qwen_vl.loading import load_model, locate, quiet_transformers

    folder = locate(spec)
    quantization = read_checkpoint(folder).quantization
    if quantization is not None:
        raise InvalidInput(
            f"{spec.checkpoint} is quantized as {quantization}, so an adapter cannot be added to its weights",
            hint=f"use the adapter as it is: bench run --models {shell_word(spec.adapter)}",
        )
    plain = replace(
        spec,
        dtype="fp32",
        quantization=None,
        device="cpu",
        options={**spec.options, "merge_adapter": True},
    )
    model = load_model(plain, folder).model
    model.to(_stored_dtype(folder))
    with new_folder(out) as unfinished, quiet_transformers():
        model.save_pretrained(unfinished)
        for pattern in _COMPANIONS:
            for path in folder.glob(pattern):
                if not path.name.endswith(".index.json"):
                    shutil.copyfile(path, unfinished / path.name)
        record = Path(spec.adapter) / TUNING_FILE
        if record.is_file():
            shutil.copyfile(record, unfinished / TUNING_FILE)
    return out


def _stored_dtype(folder: Path) -> torch.dtype:
    """The precision of most weights in the files of ``folder``."""
    import torch

    names = Counter(weight.dtype for weight in stored_weights(folder))
    known = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
    return known.get(names.most_common(1)[0][0], torch.bfloat16)
