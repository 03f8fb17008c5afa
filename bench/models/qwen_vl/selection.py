"""Which engine answers, and how that reads in the record of a run."""

from __future__ import annotations

from typing import Any

from bench.models.qwen_vl.engine import TreeEngine
from bench.models.qwen_vl.generation import Decoding, Engine
from bench.models.qwen_vl.padded import PaddedEngine
from bench.models.qwen_vl.pixels import PageReader
from bench.models.qwen_vl.plan import limits
from bench.models.qwen_vl.reference import ReferenceEngine
from bench.schema import Json, ModelSpec


def select_engine(
    spec: ModelSpec, model: Any, reader: PageReader, decoding: Decoding
) -> tuple[Engine, dict[str, Json]]:
    """The engine that ``spec`` asks for, or the one that ``model`` allows, and what to record of it."""
    if spec.options.get("reference", False):
        return ReferenceEngine(model, reader, decoding), {
            "engine": "reference: plain generate of transformers, one question a call"
        }
    obstacle = _obstacle(model)
    if spec.options.get("engine", "tree") == "padded" or obstacle is not None:
        reason = "" if obstacle is None else f" ({obstacle})"
        return PaddedEngine(model, reader, decoding), {
            "engine": f"padded: one row a question, padded on the left{reason}"
        }
    allowed = limits(model.device, spec.options.get("cache_bytes"))
    return TreeEngine(model, reader, decoding, allowed), {
        "engine": "tree: a document's prefix once, its questions packed behind it",
        "cache_bytes": allowed.cache_bytes,
        "text_attention": "sdpa over a tree of questions",
    }


def _obstacle(model: Any) -> str | None:
    """Why the language model cannot attend through a tree; None where it can."""
    config = model.config.get_text_config()
    if config._attn_implementation == "eager":
        return "eager attention was asked for"
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        return "the checkpoint uses sliding-window attention"
    if len(set((getattr(model, "hf_device_map", None) or {}).values())) > 1:
        return "the layers live on several devices"
    return None
