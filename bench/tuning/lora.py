"""Chooses the layers of a Qwen-VL that get an adapter, and adds it (LoRA, arXiv 2106.09685).

The weights of the base stay as they are, also where they are quantized (QLoRA, arXiv 2305.14314). The adapter
is in float32.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from bench.errors import InvalidInput, did_you_mean


class Lora(NamedTuple):
    """The shape of the adapter that is trained."""

    rank: int = 16
    alpha: int = 32
    """The update is scaled by alpha / rank."""
    dropout: float = 0.0
    """The dropout of the adapter's inputs in training. It takes half as much memory again for activations."""
    modules: tuple[str, ...] = ()
    """The last names of layers, such as ``q_proj``; empty for every linear layer of the chosen parts."""
    vision: bool = False
    """Whether the blocks of the vision tower get an adapter too."""
    merger: bool = False
    """Whether the layers between the tower and the language model get one too, with those of deepstack."""


_PARTS = {
    "language": re.compile(r"model\.language_model\.layers\.\d+\.(.+)"),
    "vision": re.compile(r"model\.visual\.blocks\.\d+\.(.+)"),
    "merger": re.compile(r"model\.visual\.(?:merger|deepstack_merger_list)\.(.+)"),
}


def target_modules(model: Any, lora: Lora) -> list[str]:
    """The names of the linear layers that ``lora`` adapts, in the model's order.

    Raises:
        InvalidInput: a name in ``lora.modules`` is not a layer of the chosen parts.
    """
    import torch

    parts = ["language", *(["vision"] if lora.vision else []), *(["merger"] if lora.merger else [])]
    names = []
    for name, module in model.named_modules():
        # The layers that bitsandbytes quantizes are linear layers too.
        is_linear = isinstance(module, torch.nn.Linear)
        if is_linear and any(_PARTS[part].fullmatch(name) for part in parts):
            names.append(name)
    last_names = {_last_name(name) for name in names}
    for wanted in lora.modules:
        if wanted not in last_names:
            raise InvalidInput(
                f"no layer of the {' and the '.join(_in_words(parts))} is called {wanted!r}",
                hint=did_you_mean(wanted, last_names),
            )
    return [name for name in names if not lora.modules or _last_name(name) in lora.modules]


def _last_name(layer: str) -> str:
    return layer.rpartition(".")[2]


def _in_words(parts: Iterable[str]) -> list[str]:
    words = {"language": "language model", "vision": "vision tower", "merger": "merger"}
    return [words[part] for part in parts]


def add_lora(model: Any, lora: Lora, base: str, revision: str | None, seed: int) -> Any:
    """Wrap ``model`` with a new adapter by PEFT; the adapter changes no answer yet.

    Args:
        model: a ``…ForConditionalGeneration`` whose own parameters are not trained.
        lora: the shape of the adapter.
        base: the name of the base checkpoint in the adapter's configuration.
        revision: the revision of ``base``.
        seed: decides the first weights of the adapter.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # bitsandbytes packs a layer's weights anew at its first answer, and then no gradient passes it.
            module.support_avx512bf16_for_cpu = False
    # PEFT would write the path of this machine's copy of the weights into the adapter.
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
        # PEFT 0.21 uses a name that transformers 5.23 says it will remove.
        warnings.filterwarnings(
            "ignore", message=".*is_gradient_checkpointing", category=FutureWarning
        )
        wrapped: Any = get_peft_model(model, config)
    # No embedding is adapted. To learn that, PEFT would ask the hub for the base at every checkpoint.
    wrapped.save_pretrained = partial(wrapped.save_pretrained, save_embedding_layers=False)
    return wrapped


def pattern(names: Sequence[str]) -> str:
    """A regular expression for exactly these layers of every block, for the adapter's configuration."""
    blocks: dict[str, dict[str, None]] = {}
    for name in names:
        stem, _, rest = re.sub(r"\.(layers|blocks)\.\d+\.", r".\1.#.", name).rpartition("#.")
        blocks.setdefault(re.escape(stem) + (r"\d+\." if stem else ""), {})[rest] = None
    return "|".join(
        f"{stem}(?:{'|'.join(re.escape(rest) for rest in rests)})" for stem, rests in blocks.items()
    )
