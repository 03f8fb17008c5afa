"""Write tiny checkpoints with random weights of many families that transformers loads.

With them, tests and the table of docs/families.md run the real processors, templates and models anywhere. All
share one tokenizer and one chat template. Their answers mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput, did_you_mean
from bench.files import write_bytes_atomically, write_json
from bench.models.qwen_vl.loading import quiet_transformers
from workshop.tiny_checkpoint import train_bpe

NAMED_TOKENS: dict[str, str] = {
    "image_token": "<image>",
    "video_token": "<video>",
    "boi_token": "<boi>",
    "eoi_token": "<eoi>",
    "audio_token": "<audio>",
    "boa_token": "<boa>",
    "eoa_token": "<eoa>",
    "image_break_token": "<image_break>",
    "image_end_token": "<image_end>",
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "image_start_token": "<image_start>",
    "slice_start_token": "<slice>",
    "slice_end_token": "</slice>",
    "image_id_start_token": "<image_id>",
    "image_id_end_token": "</image_id>",
}
"""Attribute of a tokenizer that some processor asks for → its token."""

_START, _END, _PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
_OTHER_TOKENS = (
    _START,
    _END,
    _PAD,
    "<fake_token_around_image>",
    "<end_of_utterance>",
    "<global-img>",
    "<imgpad>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)
_SENTENCES = (
    "What is the total amount of the invoice? What is the date? Who is the seller?",
    "system user assistant",
)
_MERGED_TOKENS = 300

TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% for part in message.content -%}
{%- if part.type == 'image' -%}IMAGE{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""

_TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
_TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
}
_MERGING_TOWER: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "out_hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
_CLIP_TOWER: dict[str, Any] = _TOWER | {"model_type": "clip_vision_model", "projection_dim": 32}
_PIXTRAL: dict[str, Any] = _TOWER | {"model_type": "pixtral", "head_dim": 16, "image_size": 112}
_MROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
_MIXED_LAYERS: dict[str, Any] = {
    "head_dim": 16,
    "rope_parameters": _MROPE | {"mrope_interleaved": True, "partial_rotary_factor": 0.5},
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "layer_types": ["linear_attention", "full_attention"],
}
_BY_AREA: dict[str, Any] = {
    "size": {"shortest_edge": 2 * 28 * 28, "longest_edge": 16 * 28 * 28},
    "patch_size": 14,
    "merge_size": 2,
}
_ONE_TILE: dict[str, Any] = {"size": {"height": 56, "width": 56}}
_CROPPED: dict[str, Any] = {
    "size": {"shortest_edge": 56},
    "crop_size": {"height": 56, "width": 56},
}
_LLAVA_PROCESSOR: dict[str, Any] = {
    "patch_size": 14,
    "vision_feature_select_strategy": "default",
    "num_additional_image_tokens": 1,
}
_BY_SIDE: dict[str, Any] = {"size": {"longest_edge": 112}}


class _Family(NamedTuple):
    """What a checkpoint of one type is made of."""

    config: Mapping[str, Any]
    """``config.json`` without its type. Names of tokens stand for their ids, and ``text_config`` lacks the
    vocabulary."""
    images: Mapping[str, Any]
    """``preprocessor_config.json``."""
    processor: Mapping[str, Any]
    """``processor_config.json``."""
    image: str = "<boi><image><eoi>"
    """What the chat template writes for a page."""


_IMAGE, _VIDEO = {"image_token_id": "<image>"}, {"video_token_id": "<video>"}
_VISION_MARKS = {"vision_start_token_id": "<boi>", "vision_end_token_id": "<eoi>"}


def _in_tiles(model_type: str, name: str) -> _Family:
    """Idefics3 or SmolVLM, which differ in their names alone."""
    return _Family(
        _IMAGE
        | {
            "scale_factor": 2,
            "text_config": _TEXT | {"model_type": "llama"},
            "vision_config": _TOWER | {"model_type": f"{model_type}_vision"},
        },
        _BY_SIDE
        | {
            "image_processor_type": f"{name}ImageProcessor",
            "max_image_size": {"longest_edge": 56},
        },
        {"processor_class": f"{name}Processor", "image_seq_len": 4},
    )


_FAMILIES: dict[str, _Family] = {
    "qwen3_5": _Family(
        _IMAGE
        | _VIDEO
        | _VISION_MARKS
        | {
            "text_config": _TEXT | _MIXED_LAYERS,
            "vision_config": _MERGING_TOWER | {"num_position_embeddings": 64},
        },
        _BY_AREA | {"image_processor_type": "Qwen2VLImageProcessor", "temporal_patch_size": 2},
        {"processor_class": "Qwen3VLProcessor"},
    ),
    "paddleocr_vl": _Family(
        _IMAGE
        | _VIDEO
        | _VISION_MARKS
        | {
            "text_config": _TEXT | {"head_dim": 8, "rope_parameters": _MROPE},
            "vision_config": _TOWER,
        },
        _BY_AREA | {"image_processor_type": "PaddleOCRVLImageProcessor", "temporal_patch_size": 1},
        {"processor_class": "PaddleOCRVLProcessor"},
    ),
    "glm_ocr": _Family(
        _IMAGE
        | _VIDEO
        | {
            "image_start_token_id": "<boi>",
            "image_end_token_id": "<eoi>",
            "text_config": _TEXT | {"head_dim": 8, "rope_parameters": _MROPE},
            "vision_config": _MERGING_TOWER,
        },
        _BY_AREA
        | {
            "size": {"shortest_edge": 4 * 28 * 28, "longest_edge": 32 * 28 * 28},
            "image_processor_type": "Glm46VImageProcessor",
            "temporal_patch_size": 2,
        },
        {"processor_class": "Glm46VProcessor"},
    ),
    "lighton_ocr": _Family(
        _IMAGE
        | {
            "text_config": _TEXT | {"model_type": "qwen3", "head_dim": 8},
            "vision_config": _PIXTRAL,
        },
        _BY_SIDE
        | {
            "image_processor_type": "PixtralImageProcessor",
            "patch_size": {"height": 28, "width": 28},
        },
        {"processor_class": "LightOnOcrProcessor", "patch_size": 14, "spatial_merge_size": 2},
    ),
    "granite_docling": _Family(
        _IMAGE
        | {
            "pad_token_id": _PAD,
            "text_config": _TEXT,
            "vision_config": _TOWER | {"out_hidden_size": 32, "scale_factor": 2},
        },
        _ONE_TILE | {"image_processor_type": "GraniteDoclingImageProcessor", "max_patches": 4},
        {"processor_class": "GraniteDoclingProcessor", "image_seq_len": 4},
    ),
    "internvl": _Family(
        {
            "image_token_id": "<IMG_CONTEXT>",
            "image_seq_length": 4,
            "downsample_ratio": 0.5,
            "text_config": _TEXT | {"model_type": "qwen2"},
            "vision_config": _TOWER
            | {"model_type": "internvl_vision", "image_size": [56, 56], "patch_size": [14, 14]},
        },
        _ONE_TILE
        | {
            "image_processor_type": "GotOcr2ImageProcessor",
            "crop_to_patches": True,
            "max_patches": 4,
        },
        {"processor_class": "InternVLProcessor", "image_seq_length": 4},
        image="<IMG_CONTEXT>",
    ),
    "idefics3": _in_tiles("idefics3", "Idefics3"),
    "smolvlm": _in_tiles("smolvlm", "SmolVLM"),
    "gemma3": _Family(
        {
            "image_token_index": "<image>",
            "boi_token_index": "<boi>",
            "eoi_token_index": "<eoi>",
            "mm_tokens_per_image": 4,
            "text_config": _TEXT | {"head_dim": 8},
            "vision_config": _TOWER | {"model_type": "siglip_vision_model"},
        },
        _ONE_TILE | {"image_processor_type": "Gemma3ImageProcessor"},
        {"processor_class": "Gemma3Processor", "image_seq_length": 4},
        image="<boi>",
    ),
    "gemma4": _Family(
        _IMAGE
        | _VIDEO
        | {
            "boi_token_id": "<boi>",
            "eoi_token_id": "<eoi>",
            "audio_config": None,
            "text_config": _TEXT
            | {
                "head_dim": 8,
                "global_head_dim": 8,
                "hidden_size_per_layer_input": 8,
                "vocab_size_per_layer_input": "vocabulary",
                "layer_types": ["sliding_attention", "full_attention"],
            },
            "vision_config": {
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "head_dim": 16,
                "patch_size": 4,
                "position_embedding_size": 512,
            },
        },
        {"image_processor_type": "Gemma4ImageProcessor", "patch_size": 4, "max_soft_tokens": 140},
        {"processor_class": "Gemma4Processor"},
    ),
    "minicpmv4_6": _Family(
        _IMAGE
        | _VIDEO
        | {
            "insert_layer_id": 0,
            "image_size": 56,
            "text_config": _TEXT | _MIXED_LAYERS | {"model_type": "qwen3_5_text"},
            "vision_config": _TOWER | {"insert_layer_id": 0},
        },
        {
            "image_processor_type": "MiniCPMV4_6ImageProcessor",
            "max_slice_nums": 4,
            "scale_resolution": 112,
            "patch_size": 14,
        },
        {"processor_class": "MiniCPMV4_6Processor"},
    ),
    "llava": _Family(
        {
            "image_token_index": "<image>",
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "default",
            "text_config": _TEXT | {"model_type": "llama"},
            "vision_config": _CLIP_TOWER,
        },
        _CROPPED | {"image_processor_type": "CLIPImageProcessor"},
        _LLAVA_PROCESSOR | {"processor_class": "LlavaProcessor"},
    ),
    "glm4v": _Family(
        _IMAGE
        | _VIDEO
        | {
            "image_start_token_id": "<boi>",
            "image_end_token_id": "<eoi>",
            "text_config": _TEXT | {"rope_parameters": _MROPE},
            "vision_config": _MERGING_TOWER,
        },
        _BY_AREA | {"image_processor_type": "Glm4vImageProcessor", "temporal_patch_size": 2},
        {"processor_class": "Glm4vProcessor"},
    ),
    "glm46v": _Family(
        _IMAGE
        | _VIDEO
        | {
            "image_start_token_id": "<boi>",
            "image_end_token_id": "<eoi>",
            "text_config": _TEXT | {"model_type": "glm4v_text", "rope_parameters": _MROPE},
            "vision_config": _MERGING_TOWER | {"model_type": "glm4v_vision"},
        },
        _BY_AREA | {"image_processor_type": "Glm46VImageProcessor", "temporal_patch_size": 2},
        {"processor_class": "Glm46VProcessor"},
    ),
    "qianfan_ocr": _Family(
        {
            "image_token_id": "<IMG_CONTEXT>",
            "image_seq_length": 4,
            "downsample_ratio": 0.5,
            "text_config": _TEXT | {"model_type": "qwen3", "head_dim": 8},
            "vision_config": _TOWER | {"image_size": [56, 56], "patch_size": [14, 14]},
        },
        _ONE_TILE
        | {
            "image_processor_type": "GotOcr2ImageProcessor",
            "crop_to_patches": True,
            "max_patches": 4,
        },
        {"processor_class": "QianfanOCRProcessor", "image_seq_length": 4},
        image="<image>",
    ),
    "llava_next": _Family(
        {
            "image_token_index": "<image>",
            "image_grid_pinpoints": [[56, 112], [112, 56], [112, 112]],
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "default",
            "text_config": _TEXT | {"model_type": "llama"},
            "vision_config": _CLIP_TOWER,
        },
        _CROPPED
        | {
            "image_processor_type": "LlavaNextImageProcessor",
            "image_grid_pinpoints": [[56, 112], [112, 56], [112, 112]],
        },
        _LLAVA_PROCESSOR | {"processor_class": "LlavaNextProcessor"},
    ),
    "llava_onevision": _Family(
        {
            "image_token_index": "<image>",
            "video_token_index": "<video>",
            "image_grid_pinpoints": [[56, 56], [56, 112], [112, 56], [112, 112]],
            "text_config": _TEXT | {"model_type": "qwen2"},
            "vision_config": _TOWER
            | {"model_type": "siglip_vision_model", "vision_use_head": False},
        },
        _ONE_TILE
        | {
            "image_processor_type": "LlavaOnevisionImageProcessor",
            "image_grid_pinpoints": [[56, 56], [56, 112], [112, 56], [112, 112]],
        },
        {"processor_class": "LlavaOnevisionProcessor", "num_image_tokens": 16},
    ),
    "vipllava": _Family(
        {
            "image_token_index": "<image>",
            "image_seq_length": 16,
            "vision_feature_layers": [-1, -2],
            "text_config": _TEXT | {"model_type": "llama"},
            "vision_config": _CLIP_TOWER,
        },
        _CROPPED | {"image_processor_type": "CLIPImageProcessor"},
        _LLAVA_PROCESSOR | {"processor_class": "LlavaProcessor"},
    ),
    "video_llama_3": _Family(
        _IMAGE
        | _VIDEO
        | {
            "text_config": _TEXT | {"model_type": "qwen2"},
            "vision_config": _TOWER | {"model_type": "video_llama_3_vision"},
        },
        _BY_AREA | {"image_processor_type": "VideoLlama3ImageProcessor"},
        {"processor_class": "VideoLlama3Processor"},
    ),
    "qwen3_vl_moe": _Family(
        _IMAGE
        | _VIDEO
        | _VISION_MARKS
        | {
            "text_config": _TEXT
            | {
                "head_dim": 16,
                "rope_parameters": _MROPE | {"mrope_section": [2, 3, 3]},
                "num_experts": 4,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 32,
            },
            "vision_config": _MERGING_TOWER
            | {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
        },
        _BY_AREA | {"image_processor_type": "Qwen2VLImageProcessor", "temporal_patch_size": 2},
        {"processor_class": "Qwen3VLProcessor"},
    ),
    "qwen3_5_moe": _Family(
        _IMAGE
        | _VIDEO
        | _VISION_MARKS
        | {
            "text_config": _TEXT
            | _MIXED_LAYERS
            | {
                "num_experts": 4,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 32,
                "shared_expert_intermediate_size": 32,
            },
            "vision_config": _MERGING_TOWER | {"num_position_embeddings": 64},
        },
        _BY_AREA | {"image_processor_type": "Qwen2VLImageProcessor", "temporal_patch_size": 2},
        {"processor_class": "Qwen3VLProcessor"},
    ),
    "aya_vision": _Family(
        {
            "image_token_index": "<image>",
            "text_config": _TEXT | {"model_type": "cohere2", "head_dim": 8},
            "vision_config": _TOWER
            | {"model_type": "siglip_vision_model", "vision_use_head": False},
        },
        _ONE_TILE
        | {
            "image_processor_type": "GotOcr2ImageProcessor",
            "crop_to_patches": True,
            "max_patches": 4,
        },
        {
            "processor_class": "AyaVisionProcessor",
            "patch_size": 14,
            "img_size": 56,
            "downsample_factor": 2,
            "image_token": "<image_break>",
            "img_patch_token": "<image>",
        },
        image="<image_break>",
    ),
    "mistral3": _Family(
        {
            "image_token_index": "<image>",
            "spatial_merge_size": 2,
            "text_config": _TEXT | {"model_type": "mistral", "head_dim": 8},
            "vision_config": _PIXTRAL,
        },
        _BY_SIDE
        | {
            "image_processor_type": "PixtralImageProcessor",
            "patch_size": {"height": 28, "width": 28},
        },
        {"processor_class": "PixtralProcessor", "patch_size": 14, "spatial_merge_size": 2},
    ),
}

FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
"""Values of ``model_type`` that ``write_tiny_family`` knows."""


def write_tiny_family(folder: Path, model_type: str, *, seed: int = 0) -> Path:
    """Write a checkpoint of less than 0.2 million parameters into ``folder`` and return the folder.

    Raises:
        InvalidInput: no tiny checkpoint of ``model_type`` is known.
    """
    if model_type not in _FAMILIES:
        raise InvalidInput(
            f"no tiny checkpoint has the type {model_type!r}",
            hint=did_you_mean(model_type, _FAMILIES),
        )
    family = _FAMILIES[model_type]
    folder.mkdir(parents=True, exist_ok=True)
    ids = _write_tokenizer(folder)
    write_json(folder / "config.json", _config(model_type, family, ids))
    normal = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    write_json(folder / "preprocessor_config.json", {**family.images, **normal})
    write_json(folder / "processor_config.json", dict(family.processor))
    template = TEMPLATE.replace("IMAGE", family.image)
    write_bytes_atomically(folder / "chat_template.jinja", template.encode())
    _write_weights(folder, seed)
    # Many checkpoints ask for sampling, which is not followed.
    ends = {"eos_token_id": ids[_END], "pad_token_id": ids[_PAD]}
    write_json(folder / "generation_config.json", {**ends, "do_sample": True, "temperature": 0.7})
    return folder


def _write_tokenizer(folder: Path) -> Mapping[str, int]:
    """Write the files of a byte-level BPE with the special tokens of every family; token → id."""
    from tokenizers import AddedToken, pre_tokenizers

    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = train_bpe(splitter, _SENTENCES, _MERGED_TOKENS)
    special = [*NAMED_TOKENS.values(), *_OTHER_TOKENS]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": _END,
        "pad_token": _PAD,
        "extra_special_tokens": NAMED_TOKENS,
        "model_max_length": 4096,
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", config)
    return tokenizer.get_vocab(with_added_tokens=True)


def _config(model_type: str, family: _Family, ids: Mapping[str, int]) -> dict[str, Any]:
    def numbered(values: Mapping[str, Any]) -> dict[str, Any]:
        """``values`` with the ids of the tokens that it names."""
        special = {**ids, "vocabulary": len(ids)}
        return {
            key: special.get(value, value) if isinstance(value, str) else value
            for key, value in values.items()
        }

    config = numbered(family.config)
    vocabulary = {
        "vocab_size": len(ids),
        "bos_token_id": ids[_PAD],
        "eos_token_id": ids[_END],
        "pad_token_id": ids[_PAD],
    }
    config["text_config"] = numbered(family.config["text_config"]) | vocabulary
    return {"model_type": model_type, **config}


def _write_weights(folder: Path, seed: int) -> None:
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    auto: Any = transformers.AutoModelForImageTextToText
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto.from_config(config, dtype=torch.float32)
        for name, tensor in model.named_parameters():
            if tensor.dim() > 1:
                # Wide enough that an answer depends on the page and the question.
                deviation = 0.3 if "embed" in name else tensor[0].numel() ** -0.5
                torch.nn.init.normal_(tensor, std=deviation)
    with quiet_transformers():
        model.save_pretrained(folder)
