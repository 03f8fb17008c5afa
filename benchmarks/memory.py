"""Predicted memory beside measured memory: what each stage of the engine holds at its fullest moment.

``python benchmarks/memory.py`` writes models of about 40 million random parameters (Qwen2-VL, Qwen2.5-VL
and Qwen3-VL) and pages of text into a temporary folder, answers questions about them on the CPU, and prints
for each stage the bytes that torch's allocator had handed out at most, weights left out, beside those that
``bench.models.qwen_vl.fit`` predicts. A ratio above 1 means that more was predicted than was used.

The allocator reports every tensor, and the buffers of its kernels, to torch's profiler; what other libraries
allocate is not in it. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from engine import make_groups, show, write_checkpoint

from bench.models.architectures import read_folder
from bench.models.catalog import resolve
from bench.models.qwen_vl import QwenVL, engine, fit, flight, plan, questions, vision
from bench.schema import PageGroup
from workshop.tiny_checkpoint import write_tiny_checkpoint

STAGES = ("vision", "prefix", "questions", "decode")
FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


def main() -> None:
    """One table for each family, precision and number of visual tokens."""
    options = arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for family in options.families:
            checkpoint = write_model(folder / family, family)
            for dtype in options.dtypes:
                for tokens in options.tokens:
                    groups = make_groups(folder, options.pages, options.questions)
                    compare(checkpoint, dtype, tokens, groups)


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--dtypes", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--tokens", type=int, nargs="+", default=[1024])
    parser.add_argument("--questions", type=int, default=4)
    parser.add_argument("--pages", type=int, default=2)
    return parser.parse_args()


def write_model(folder: Path, family: str) -> Path:
    """About 40 million random parameters in the proportions of the published models."""
    if family == "qwen2_vl":
        return write_checkpoint(folder, vocabulary=8192)
    import transformers

    write_tiny_checkpoint(folder, family)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text = config.get("text_config", config)
    text |= {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "vocab_size": 8192,
    }
    text["rope_scaling"] |= {"mrope_section": [8, 12, 12]}
    if "head_dim" in text:
        text["head_dim"] = 64
    config["vision_config"] |= {
        "depth": 6,
        "hidden_size": 256,
        "out_hidden_size": 512,
        "num_heads": 4,
        "intermediate_size": 684 if family == "qwen2_5_vl" else 1024,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    loaded = transformers.AutoConfig.from_pretrained(folder)
    torch.manual_seed(0)
    model = getattr(transformers, config["architectures"][0])(loaded)
    show(f"{sum(weight.numel() for weight in model.parameters()) / 1e6:.1f} million parameters")
    transformers.utils.logging.disable_progress_bar()
    model.generation_config = transformers.GenerationConfig(eos_token_id=[1], pad_token_id=0)
    model.save_pretrained(folder)
    return folder


def compare(checkpoint: Path, dtype: str, tokens: int, groups: Sequence[PageGroup]) -> None:
    """Answer ``groups`` in one call, and print what was predicted beside what was held."""
    architecture, _ = read_folder(checkpoint)
    bound = tokens * architecture.factor**2
    model = QwenVL(resolve(str(checkpoint), max_pixels=bound, dtype=dtype, device="cpu"))
    model.load()
    with recorded() as (held, works):
        model.generate(groups)
    number = 4 if dtype == "fp32" else 2
    formula = fit.Activations(architecture, number)
    peak = formula.peak(works, plan.CPU_LIMITS)
    predicted = {
        "vision": peak.features + peak.vision,
        "prefix": peak.features + peak.cache + peak.prefix,
        "questions": peak.features + peak.cache + peak.questions,
        "decode": peak.features + peak.cache + peak.logits,
    }
    visual = sum(work.visual_tokens for work in works)
    show(
        f"\n{architecture.model_type} {dtype}, {len(works)} documents with {visual} visual tokens, "
        f"{sum(len(work.need.questions) for work in works)} questions in one call"
    )
    show("stage        predicted MiB   measured MiB   ratio")
    for stage in STAGES:
        share = predicted[stage] / held[stage]
        show(
            f"{stage:<12} {predicted[stage] / 2**20:13.1f} {held[stage] / 2**20:14.1f} {share:7.2f}"
        )
    share = peak.bytes / max(held.values())
    show(f"peak         {peak.bytes / 2**20:13.1f} {max(held.values()) / 2**20:14.1f} {share:7.2f}")


@contextmanager
def recorded() -> Iterator[tuple[dict[str, int], list[fit.Work]]]:
    """Bytes allocated at most in each stage, and the documents' needs; both are filled at the end."""
    held: dict[str, int] = {}
    works: list[fit.Work] = []
    places: list[tuple[Any, str, str]] = [
        (vision, "encode_pages", "vision"),
        (flight.prefix, "prefill", "prefix"),
        (questions, "ask", "questions"),
        (engine, "decode", "decode"),
    ]
    originals = [(place, name, getattr(place, name)) for place, name, _ in places]
    fly = engine.TreeEngine._fly

    def noted(self: Any, documents: Any, *rest: Any) -> Any:
        for item in documents:
            pages = tuple(page.tokens for page in item.document.prefix.pages)
            works.append(fit.Work(pages, item.need))
        return fly(self, documents, *rest)

    engine.TreeEngine._fly = noted
    for (place, name, original), (_, _, stage) in zip(originals, places, strict=True):
        setattr(place, name, marked(original, stage))
    try:
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        ) as profiler:
            yield held, works
    finally:
        engine.TreeEngine._fly = fly
        for place, name, original in originals:
            setattr(place, name, original)
    held |= peaks(profiler)


def marked(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
    """``function`` with its time in the profile under the name of ``stage``."""

    @functools.wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        with torch.profiler.record_function(f"stage {stage}"):
            return function(*arguments, **named)

    return wrapper


def peaks(profiler: Any) -> dict[str, int]:
    """The most that was allocated during each stage, what was alive before the profile left out."""
    events = profiler.profiler.kineto_results.events()
    spans = {stage: [] for stage in STAGES}
    for event in events:
        if event.name().startswith("stage "):
            start = event.start_ns()
            spans[event.name().removeprefix("stage ")].append((start, start + event.duration_ns()))
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    found = dict.fromkeys(STAGES, 0)
    total = 0
    for moment, bytes_ in changes:
        total += bytes_
        for stage, own in spans.items():
            if any(start <= moment <= end for start, end in own):
                found[stage] = max(found[stage], total)
    return found


if __name__ == "__main__":
    main()
