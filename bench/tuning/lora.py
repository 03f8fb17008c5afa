"""Which layers of a Qwen-VL get an adapter, and the model with it (LoRA, arXiv 2106.09685).

The base's weights stay as they are, quantized ones too (QLoRA, arXiv 2305.14314); the adapter is in float32.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from bench.errors import InvalidInput, did_you_mean


class Lora(NamedTuple):
    """What is trained."""

    rank: int = 16
    alpha: int = 32
    """The update is scaled by alpha / rank."""
    dropout: float = 0.0
    """Of the adapter's inputs in training; it takes half as much memory again for activations."""
    modules: tuple[str, ...] = ()
    """Last names of layers, such as ``q_proj``; empty for every linear layer of the parts chosen."""
    vision: bool = False
    """Also the vision tower's blocks."""
    merger: bool = False
    """Also the layers between the tower and the language model, those of deepstack among them."""


_PARTS = {
    "language": re.compile(r"model\.language_model\.layers\.\d+\.(.+)"),
    "vision": re.compile(r"model\.visual\.blocks\.\d+\.(.+)"),
    "merger": re.compile(r"model\.visual\.(?:merger|deepstack_merger_list)\.(.+)"),
}


def target_modules(model: Any, lora: Lora) -> list[str]:
    """Names of the linear layers that ``lora`` adapts, in the model's order.

    Raises:
        InvalidInput: a name of ``lora.modules`` is no layer of the parts chosen.
    """
    import torch

    parts = ["language", *(["vision"] if lora.vision else []), *(["merger"] if lora.merger else [])]
    # Layers quantized by bitsandbytes are linear layers too.
    linear = [name for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    found = [name for name in linear if any(_PARTS[part].fullmatch(name) for part in parts)]
    last = {name.rpartition(".")[2] for name in found}
    for name in lora.modules:
        if name not in last:
            raise InvalidInput(
                f"no layer of the {' and the '.join(_names(parts))} is called {name!r}",
                hint=did_you_mean(name, last),
            )
    return [name for name in found if not lora.modules or name.rpartition(".")[2] in lora.modules]


def _names(parts: Iterable[str]) -> list[str]:
    words = {"language": "language model", "vision": "vision tower", "merger": "merger"}
    return [words[part] for part in parts]


def add_lora(model: Any, lora: Lora, base: str, revision: str | None, seed: int) -> Any:
    """``model`` wrapped by PEFT with a new adapter, which changes nothing yet.

    Args:
        model: a ``…ForConditionalGeneration`` whose own parameters do not train.
        lora: see there.
        base: what the adapter's configuration names as its base checkpoint.
        revision: of ``base``.
        seed: of the adapter's first weights.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # bitsandbytes repacks a layer at its first answer, and no gradient gets through what it packed.
            module.support_avx512bf16_for_cpu = False
    # On the model: how its weights were found here is no part of the adapter.
    model.name_or_path = base
    config = LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
        revision=revision,
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=pattern(target_modules(model, lora)),
    )
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        # PEFT 0.21 asks by a name that transformers 5.23 is about to retire.
        warnings.filterwarnings(
            "ignore", message=".*is_gradient_checkpointing", category=FutureWarning
        )
        wrapped: Any = get_peft_model(model, config)
    # No embedding is adapted; to find that out, PEFT would ask the hub for the base at every checkpoint.
    wrapped.save_pretrained = partial(wrapped.save_pretrained, save_embedding_layers=False)
    return wrapped


def pattern(names: Sequence[str]) -> str:
    """A regular expression for exactly these layers of every block: what the adapter's file records."""
    blocks: dict[str, dict[str, None]] = {}
    for name in names:
        stem, _, rest = re.sub(r"\.(layers|blocks)\.\d+\.", r".\1.#.", name).rpartition("#.")
        blocks.setdefault(re.escape(stem) + (r"\d+\." if stem else ""), {})[rest] = None
    return "|".join(
        f"{stem}(?:{'|'.join(re.escape(rest) for rest in rests)})" for stem, rests in blocks.items()
    )
