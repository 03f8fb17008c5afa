"""Write a tiny Qwen-VL checkpoint with random weights, in the form of those on the hub.

With it, tests and benchmarks run the real loading and generating code anywhere. It has the same files, key
names and special tokens as the hub's Instruct checkpoints, a chat template, a processor configuration, and a
generation configuration that asks for sampling. Its answers mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InvalidInput, did_you_mean
from bench.files import write_bytes_atomically, write_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
"""By channel, as every Qwen2-VL processor has them (Radford et al., 2021, CLIP)."""

TEMPLATE = """\
{%- if messages[0].role != 'system' -%}
<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}
<|vision_start|><|image_pad|><|vision_end|>
{%- else -%}
{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""

_SENTENCES = (
    "Answer the question using a single word or phrase.",
    "What is the total amount of the invoice? What is the date? Who is the seller?",
    "You are a helpful assistant. system user assistant",
    "Опиши документ. Какая сумма к оплате? Назовите продавца и покупателя. ИНН КПП",
    "发票号码是什么？ 合计金额是多少？",
)
_MERGED_TOKENS = 512
"""Size of the vocabulary without the special tokens: all bytes and some merges."""

_TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "hidden_act": "silu",
    "initializer_range": 0.2,
}
_QWEN2_VISION: dict[str, Any] = {
    "depth": 2,
    "embed_dim": 32,
    "hidden_size": 64,
    "num_heads": 2,
    "mlp_ratio": 2,
    "in_chans": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
_QWEN2_5_VISION: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "out_hidden_size": 64,
    "intermediate_size": 64,
    "num_heads": 2,
    "in_chans": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": [1],
}
_QWEN3_VISION: dict[str, Any] = {
    "depth": 3,
    "hidden_size": 32,
    "out_hidden_size": 64,
    "intermediate_size": 64,
    "num_heads": 2,
    "in_channels": 3,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "num_position_embeddings": 64,
    "deepstack_visual_indexes": [0, 1],
}
_MROPE = {"mrope_section": [2, 3, 3]}

_ARCHITECTURES: dict[str, str] = {
    "qwen2_vl": "Qwen2VLForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
    "qwen3_vl": "Qwen3VLForConditionalGeneration",
}


def write_tiny_checkpoint(
    folder: Path, model_type: str = "qwen2_vl", *, seed: int = 0, end_share: float = 0.05
) -> Path:
    """Write a checkpoint of about 0.2 million parameters into ``folder`` and return the folder.

    ``end_share`` is the part of the vocabulary that ends an answer. Random weights would hardly ever choose
    the two real end tokens, and tests of batches need answers of different lengths.

    Raises:
        InvalidInput: ``model_type`` is not a member of the family.
    """
    if model_type not in _ARCHITECTURES:
        raise InvalidInput(
            f"no tiny checkpoint has the type {model_type!r}",
            hint=did_you_mean(model_type, _ARCHITECTURES),
        )
    folder.mkdir(parents=True, exist_ok=True)
    ids = _write_tokenizer(folder)
    config = _config(model_type, ids)
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessor_config.json", _preprocessor(model_type))
    write_json(folder / "generation_config.json", _generation_config(ids, seed, end_share))
    write_json(folder / "chat_template.json", {"chat_template": TEMPLATE})
    _write_weights(folder, model_type, seed)
    return folder


def _write_tokenizer(folder: Path) -> Mapping[str, int]:
    """Train a byte-level BPE on a few sentences, write its two files, and return token → id."""
    from tokenizers import pre_tokenizers

    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = train_bpe(splitter, _SENTENCES, _MERGED_TOKENS)
    return write_tokenizer(folder, tokenizer, max_length=32768)


def train_bpe(splitter: Any, sentences: Iterable[str], merged_tokens: int) -> Tokenizer:
    """Train a byte-level BPE with Qwen's special tokens.

    Args:
        splitter: a pre-tokenizer, which says where no token goes on.
        sentences: what the merges are learned from.
        merged_tokens: size of the vocabulary without the special tokens.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=merged_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    return tokenizer


def write_tokenizer(folder: Path, tokenizer: Tokenizer, max_length: int) -> Mapping[str, int]:
    """Write the two files of ``tokenizer`` into ``folder`` and return token → id."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": list(SPECIAL_TOKENS),
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", config)
    return tokenizer.get_vocab(with_added_tokens=True)


def _config(model_type: str, ids: Mapping[str, int]) -> dict[str, Any]:
    common: dict[str, Any] = {
        "architectures": [_ARCHITECTURES[model_type]],
        "model_type": model_type,
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "torch_dtype": "bfloat16",
        # The small members of the family share input and output embeddings.
        "tie_word_embeddings": True,
    }
    text: dict[str, Any] = _TEXT | {
        "vocab_size": len(ids),
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
    }
    if model_type == "qwen3_vl":
        rope = {"rope_type": "default", "mrope_interleaved": True} | _MROPE
        text |= {"rope_scaling": rope, "head_dim": 16, "model_type": "qwen3_vl_text"}
        vision: dict[str, Any] = _QWEN3_VISION | {"model_type": "qwen3_vl"}
        return common | {"text_config": text, "vision_config": vision}
    # Qwen2-VL and Qwen2.5-VL keep the text settings flat beside the vision settings.
    vision = _QWEN2_VISION if model_type == "qwen2_vl" else _QWEN2_5_VISION
    return common | text | {"rope_scaling": {"type": "mrope"} | _MROPE, "vision_config": vision}


def _preprocessor(model_type: str) -> dict[str, Any]:
    clip = {
        "image_mean": IMAGE_MEAN,
        "image_std": IMAGE_STD,
    }
    common = {"temporal_patch_size": 2, "merge_size": 2}
    if model_type == "qwen3_vl":
        return common | {
            "size": {"shortest_edge": 4096, "longest_edge": 65536},
            "patch_size": 16,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "image_processor_type": "Qwen2VLImageProcessorFast",
        }
    return (
        common
        | clip
        | {
            "min_pixels": 3136,
            "max_pixels": 50176,
            "patch_size": 14,
            "image_processor_type": "Qwen2VLImageProcessor",
        }
    )


def _generation_config(ids: Mapping[str, int], seed: int, end_share: float) -> dict[str, Any]:
    import random

    ordinary = [number for token, number in sorted(ids.items()) if token not in SPECIAL_TOKENS]
    ends = random.Random(seed).sample(ordinary, round(end_share * len(ids)))
    return {
        "bos_token_id": ids["<|endoftext|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"], *sorted(ends)],
        "do_sample": True,
        "repetition_penalty": 1.0,
        "temperature": 0.01,
        "top_p": 0.001,
        "top_k": 1,
    }


def _write_weights(folder: Path, model_type: str, seed: int) -> None:
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, _ARCHITECTURES[model_type])(config)
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                # Sharp attention, or an answer would hardly depend on the page and the question.
                if name.endswith(("q_proj.weight", "k_proj.weight", "qkv.weight")):
                    tensor.mul_(2.0)
    write_weights(folder, model, torch.bfloat16)


def write_weights(folder: Path, model: Any, dtype: Any) -> None:
    """Write the weights of a model whose output embeddings are its input embeddings, as ``dtype``."""
    from safetensors.torch import save

    weights = {
        _hub_key(name, model.config.model_type): tensor.to(dtype).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    write_bytes_atomically(folder / "model.safetensors", save(weights, metadata={"format": "pt"}))


def _hub_key(name: str, model_type: str) -> str:
    """Return a parameter's name in the hub's files, which are older than transformers' present layout."""
    if model_type == "qwen3_vl":
        return name
    return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
