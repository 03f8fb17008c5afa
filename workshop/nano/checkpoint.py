"""The folder of a nano checkpoint: the same files and key names as the hub's Qwen2-VL checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bench.files import write_json
from workshop.nano.vocabulary import train_tokenizer
from workshop.tiny_checkpoint import IMAGE_MEAN, IMAGE_STD, TEMPLATE, write_tokenizer

if TYPE_CHECKING:
    from transformers import Qwen2VLForConditionalGeneration

MIN_PIXELS = 4 * 28 * 28
MAX_PIXELS = 16 * 16 * 28 * 28
"""Bounds of a page, pixels: a little more than the largest page of the training (14 x 13 cells)."""

TEXT: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 640,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    # The family's own base is 1e6, made for long contexts; the width of a page would lie in frequencies
    # that do not turn within a dozen columns.
    "rope_theta": 20.0,
    "hidden_act": "silu",
    "initializer_range": 0.02,
}
VISION: dict[str, Any] = {
    "depth": 4,
    "embed_dim": 192,
    "hidden_size": 256,
    "num_heads": 4,
    "mlp_ratio": 3,
    "in_chans": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}


def write_settings(folder: Path) -> None:
    """Write everything but the weights into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = write_tokenizer(folder, train_tokenizer(), max_length=8192)
    end, pad = ids["<|im_end|>"], ids["<|endoftext|>"]
    write_json(folder / "config.json", TEXT | {
        "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl",
        "vocab_size": len(ids), "bos_token_id": pad, "eos_token_id": end,
        "image_token_id": ids["<|image_pad|>"], "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"], "vision_end_token_id": ids["<|vision_end|>"],
        "torch_dtype": "float16", "tie_word_embeddings": True,
        "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]}, "vision_config": VISION,
    })  # fmt: skip
    write_json(folder / "preprocessor_config.json", {
        "min_pixels": MIN_PIXELS, "max_pixels": MAX_PIXELS, "patch_size": 14, "temporal_patch_size": 2,
        "merge_size": 2, "image_mean": IMAGE_MEAN, "image_std": IMAGE_STD,
        "image_processor_type": "Qwen2VLImageProcessor",
    })  # fmt: skip
    write_json(
        folder / "generation_config.json",
        {"bos_token_id": pad, "pad_token_id": pad, "eos_token_id": [end, pad]},
    )
    write_json(folder / "chat_template.json", {"chat_template": TEMPLATE})


def new_model(folder: Path, seed: int) -> Qwen2VLForConditionalGeneration:
    """Return a model with the settings in ``folder`` and fresh weights, in fp32."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = transformers.Qwen2VLForConditionalGeneration(config)
    return cast("Qwen2VLForConditionalGeneration", model.float())
