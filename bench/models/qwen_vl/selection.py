"""Which engine answers, and how that reads in the record of a run."""

from __future__ import annotations

from typing import Any, NamedTuple

from bench.models.qwen_vl.cuda import KERNELS, Graphs, PageUploads, trial
from bench.models.qwen_vl.engine import TreeEngine
from bench.models.qwen_vl.generation import Decoding, Engine
from bench.models.qwen_vl.padded import PaddedEngine
from bench.models.qwen_vl.pixels import PageReader
from bench.models.qwen_vl.plan import limits
from bench.models.qwen_vl.reference import ReferenceEngine
from bench.models.qwen_vl.steps import Steps
from bench.models.qwen_vl.tree import Attention, TreeShape, tree_shape
from bench.models.qwen_vl.varlen import Kernel, plain
from bench.models.qwen_vl.vision import use_attention_by_page, use_packed_attention
from bench.schema import Json, ModelSpec


def select_engine(
    spec: ModelSpec,
    model: Any,
    reader: PageReader,
    decoding: Decoding,
    attention: Attention | None = None,
) -> tuple[Engine, dict[str, Json]]:
    """The engine that ``spec`` asks for, or the one that ``model`` allows, and what to record of it.

    With ``attention`` it replaces torch's own in a tree.
    """
    if spec.options.get("reference", False):
        return ReferenceEngine(model, reader, decoding), {
            "engine": "reference: plain generate of transformers, one question a call"
        }
    if model.device.type == "cuda":
        import torch

        # Streams, events and captures are those of the current device.
        torch.cuda.set_device(model.device)
        reader.uploads = PageUploads(model.device)
    obstacle = _obstacle(model)
    wanted = spec.options.get("engine")
    if wanted == "padded" or obstacle is not None:
        reason = "" if obstacle is None else f" ({obstacle})"
        return PaddedEngine(model, reader, decoding), {
            "engine": f"padded: one row a question, padded on the left{reason}"
        }
    allowed = limits(model.device, spec.options.get("cache_bytes"))
    details: dict[str, Json] = {"cache_bytes": allowed.cache_bytes}
    choice = _find_kernel(model, wanted)
    if choice.kernel is None:
        _split_vision(model)
        return TreeEngine(model, reader, decoding, allowed, attention=attention), details | {
            "engine": "tree: a document's prefix once, its questions packed behind it",
            "text_attention": f"sdpa over a tree of questions ({choice.reason})",
        }
    waits = _waits_in_a_step(model)
    graphs = _graphs(spec, model) if waits is None else None
    steps = Steps(model, choice.kernel, decoding, graphs)
    engine = TreeEngine(model, reader, decoding, allowed, steps)
    steps.prove()
    how = "CUDA graphs, one a shape"
    if graphs is None:
        how = "launched kernel by kernel" + ("" if waits is None else f" ({waits})")
    return engine, details | {
        "engine": "cascade: a document's prefix once, its questions as runs behind it",
        "text_attention": f"prefix and branch apart, merged ({choice.reason})",
        "vision_attention": _pack_vision(model, choice.kernel),
        "decoding_steps": how if steps.obstacle is None else f"no CUDA graphs: {steps.obstacle}",
    }


class KernelChoice(NamedTuple):
    """A kernel for runs of keys, or none."""

    kernel: Kernel | None
    reason: str
    """Which kernel it is, or why there is none."""


def _find_kernel(model: Any, wanted: str | None) -> KernelChoice:
    """The kernel for a cascade that the device of ``model`` has, if a cascade is ``wanted`` or nothing is."""
    if wanted == "tree":
        return KernelChoice(None, "as asked for")
    shape = tree_shape(model)
    if shape.device.type == "cuda":
        choice = first_that_agrees(shape)
        if choice.kernel is not None:
            return choice
        reason = choice.reason
    else:
        reason = f"no fused kernel for runs of keys on {shape.device.type}"
    return KernelChoice(plain if wanted == "cascade" else None, reason)


def first_that_agrees(shape: TreeShape) -> KernelChoice:
    """The first of ``KERNELS`` that passes its trial with heads of this ``shape``; else why none does."""
    _, heads, groups, size, dtype, device = shape
    obstacles = []
    for name, kernel in KERNELS.items():
        obstacle = trial(kernel, heads=heads, groups=groups, size=size, dtype=dtype, device=device)
        if obstacle is None:
            return KernelChoice(kernel, name)
        obstacles.append(obstacle)
    return KernelChoice(None, "; ".join(obstacles))


def _graphs(spec: ModelSpec, model: Any) -> Graphs | None:
    if model.device.type != "cuda" or spec.options.get("graphs") is False:
        return None
    return Graphs()


def _waits_in_a_step(model: Any) -> str | None:
    """What in ``model`` is known to wait for the device, so that its steps cannot be captured."""
    if any(type(module).__name__ == "Linear8bitLt" for module in model.modules()):
        return "INT8 layers of bitsandbytes wait for the device"
    return None


def _pack_vision(model: Any, kernel: Kernel) -> str:
    """Let the vision tower use ``kernel`` if it does not have one of its own; says what it uses."""
    chosen = str(model.model.visual.config._attn_implementation)
    if chosen != "sdpa":
        return chosen
    attention = model.model.visual.blocks[0].attn
    heads, size = attention.num_heads, attention.head_dim
    dtype, device = tree_shape(model)[4:]
    obstacle = trial(kernel, heads=heads, groups=1, size=size, dtype=dtype, device=device)
    if obstacle is not None:
        _split_vision(model)
        return f"sdpa, page by page ({obstacle})"
    use_packed_attention(model, kernel)
    return f"all pages of a call together ({heads} heads of {size})"


def _split_vision(model: Any) -> None:
    """Let the vision tower attend to the pages of a call one by one, without a wait in every layer."""
    on_gpu = model.device.type == "cuda"
    if on_gpu and model.model.visual.config._attn_implementation == "sdpa":
        use_attention_by_page(model)


def _obstacle(model: Any) -> str | None:
    """Why the language model cannot attend through a tree; None if it can."""
    config = model.config.get_text_config()
    if config._attn_implementation == "eager":
        return "eager attention was asked for"
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        return "the checkpoint uses sliding-window attention"
    if len(set((getattr(model, "hf_device_map", None) or {}).values())) > 1:
        return "the layers live on several devices"
    return None
