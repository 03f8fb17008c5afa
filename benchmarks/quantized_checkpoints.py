"""GPTQ-Int4, GPTQ-Int8 and AWQ checkpoints of a Qwen-VL, made on a CPU, loaded and asked.

``python benchmarks/quantized_checkpoints.py`` rounds the linear layers of a tiny random Qwen2-VL to integers
and writes them the way AutoGPTQ and AutoAWQ do; ``--model FOLDER`` takes a checkpoint of yours, ``--out
FOLDER`` keeps what was made. Beside each of them it writes the same numbers unpacked: a plain checkpoint that
holds exactly what the integers stand for. Both are then loaded by this project, read the same tokens and
answer the same questions, so that a difference between them is one of the loading or of the kernels, not of
the rounding. gptqmodel chooses a kernel by device; on a CPU its choice for 4 bits computes in bf16. So its
plain ``torch`` kernel is asked too, and the unpacked weights in bf16, to see what a difference bf16 makes.

Weights are rounded to the nearest (group by group), not calibrated: what is tested is the way from such files
to answers. A published checkpoint is better than what this makes of its weights.

Needs the packages of the ``gptq`` extra; docs/container.md says which versions fit together. Not a test.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from bench.models.catalog import resolve
from bench.models.checkpoints import weight_files
from bench.models.qwen_vl import QwenVL
from bench.models.qwen_vl.loading import load_model
from bench.models.qwen_vl.processing import Processor
from bench.paths import data_root
from bench.schema import Document, Generation, PageGroup, Request
from bench.tasks.pages import read_pages
from workshop.tiny_checkpoint import write_tiny_checkpoint

LINEAR = re.compile(r"layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)\.weight$")
"""The language model's linear layers, under the names of any release; the vision tower's are left out."""

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight neighbouring columns lies in which four bits of a word (AutoAWQ, ``gemm``)."""

QUESTIONS = ("What is the total?", "What is the date?", "Who is the seller?", "What is the number?")
PAGES = ("invoice-en-1.png", "receipt-en-1.png", "form-en-1.png")
PACKAGES = ("torch", "transformers", "accelerate", "gptqmodel", "optimum", "torchao", "numpy")


TOLERANCE = 0.25
"""Of the logits' standard deviation: fp16 inside a kernel stays far below, a wrong number far above."""


class Format(NamedTuple):
    """A way to write quantized weights."""

    name: str
    bits: int
    method: str


FORMATS = (Format("gptq-int4", 4, "gptq"), Format("gptq-int8", 8, "gptq"), Format("awq", 4, "awq"))


class Rounded(NamedTuple):
    """A linear layer as integers: ``scales[group] * (values - zeros[group])``."""

    values: torch.Tensor
    """(inputs, outputs), 0 to 2**bits - 1."""
    scales: torch.Tensor
    """(groups of inputs, outputs) fp16."""
    zeros: torch.Tensor
    """(groups of inputs, outputs)."""

    def exact(self) -> torch.Tensor:
        """(outputs, inputs) fp32: what the integers stand for."""
        size = len(self.values) // len(self.scales)
        scales = self.scales.float().repeat_interleave(size, dim=0)
        return (scales * (self.values - self.zeros.repeat_interleave(size, dim=0))).T.contiguous()


def main() -> int:
    """Make and ask every format; 1 where one does not load, or reads other numbers than were written."""
    options = arguments()
    torch.set_num_threads(options.threads)
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES))
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        source = options.model or write_tiny_checkpoint(out / "tiny")
        weights = {k: v for file in weight_files(source) for k, v in load_file(file).items()}
        results = [compare(form, source, weights, out, options) for form in FORMATS]
    return 0 if all(results) else 1


def compare(
    form: Format,
    source: Path,
    weights: Mapping[str, torch.Tensor],
    out: Path,
    options: argparse.Namespace,
) -> bool:
    """A few lines about a format; whether the plain kernel computes with the numbers that were written."""
    packed, plain = write(form, source, weights, out)
    expected = ask(plain, "fp32", options)
    print(
        f"{form.name}: {file_bytes(packed):,} bytes; unpacked in fp32 it answers {len(expected.texts)}"
    )
    asked = [("gptqmodel's choice", packed, options.dtype)]
    asked += [("plain kernel", with_kernel(packed, form), options.dtype)]
    asked += [("unpacked in bf16", plain, "bf16")]
    sound = True
    for name, folder, dtype in asked:
        found = ask(folder, dtype, options)
        gap = float((found.logits - expected.logits).abs().max() / expected.logits.std())
        same = int((found.logits.argmax(-1) == expected.logits.argmax(-1)).sum())
        equal = sum(a == b for a, b in zip(found.texts, expected.texts, strict=True))
        print(
            f"  {name} ({found.layers}, {found.dtype}): largest difference of a logit {gap:.3f} of their "
            f"standard deviation, most probable token equal at {same} of {len(found.logits)} places, "
            f"{equal} of {len(found.texts)} answers equal, {found.failed} failed",
            flush=True,
        )
        if folder != plain:
            sound = sound and found.failed == 0 and found.quantization == form.name
        if name == "plain kernel":
            sound = sound and gap < TOLERANCE
    return sound


def write(
    form: Format, source: Path, weights: Mapping[str, torch.Tensor], out: Path
) -> tuple[Path, Path]:
    """The quantized checkpoint and its unpacked twin, as folders."""
    size = group_size(weights)
    packed: dict[str, torch.Tensor] = {}
    plain: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        if not LINEAR.search(name):
            packed[name] = weight.half() if weight.is_floating_point() else weight
            plain[name] = packed[name].float() if weight.is_floating_point() else weight
            continue
        layer = rounded(weight.float(), form.bits, size, symmetric=form.method == "gptq")
        plain[name] = layer.exact()
        pack = pack_gptq if form.method == "gptq" else pack_awq
        stem = name.removesuffix("weight")
        packed |= {stem + part: tensor for part, tensor in pack(layer, form.bits).items()}
        if form.method == "gptq" and stem + "bias" not in weights:
            # The published GPTQ checkpoints have biases of zeros that the architecture does not know.
            packed[stem + "bias"] = torch.zeros(len(weight), dtype=torch.float16)
    folders = copy_of(source, out / form.name), copy_of(source, out / f"{form.name}-unpacked")
    for folder, tensors in zip(folders, (packed, plain), strict=True):
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    edit_config(folders[0], torch_dtype="float16", quantization_config=settings(form, size))
    edit_config(folders[1], torch_dtype="float32")
    return folders


def rounded(weight: torch.Tensor, bits: int, size: int, *, symmetric: bool) -> Rounded:
    """``weight`` (outputs, inputs) to the nearest of 2**bits steps between the ends of each group."""
    groups = weight.T.reshape(-1, size, weight.shape[0])
    top = 2**bits - 1
    if symmetric:
        scales = (groups.abs().amax(dim=1) / (top // 2)).clamp(min=1e-5).half()
        zeros = torch.full(scales.shape, (top + 1) // 2)
    else:
        low, high = groups.amin(dim=1).clamp(max=0), groups.amax(dim=1).clamp(min=0)
        scales = ((high - low) / top).clamp(min=1e-5).half()
        zeros = (-low / scales.float()).round().clamp(0, top).long()
    values = (groups / scales.float().unsqueeze(1)).round().long() + zeros.unsqueeze(1)
    return Rounded(values.clamp(0, top).flatten(0, 1), scales, zeros)


def pack_gptq(layer: Rounded, bits: int) -> dict[str, torch.Tensor]:
    """The tensors of one layer as AutoGPTQ writes them: zeros are stored less 1, words run down a column."""
    inputs = len(layer.values)
    size = inputs // len(layer.scales)
    return {
        "qweight": words(layer.values.T, bits).T,
        "qzeros": words(layer.zeros - 1, bits),
        "scales": layer.scales,
        "g_idx": torch.arange(inputs, dtype=torch.int32) // size,
    }


def pack_awq(layer: Rounded, bits: int) -> dict[str, torch.Tensor]:
    """The tensors of one layer as AutoAWQ writes them: words run along a row, in ``AWQ_ORDER``."""

    def ordered(values: torch.Tensor) -> torch.Tensor:
        return words(values.unflatten(-1, (-1, 8))[..., AWQ_ORDER].flatten(-2), bits)

    return {
        "qweight": ordered(layer.values),
        "qzeros": ordered(layer.zeros),
        "scales": layer.scales,
    }


def words(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Numbers below 2**bits packed along the last dimension into int32, the first in the lowest bits."""
    split = values.unflatten(-1, (-1, 32 // bits))
    whole = (split << (bits * torch.arange(32 // bits))).sum(dim=-1)
    # As signed words: what is 2**31 or more wraps around.
    return torch.where(whole >= 2**31, whole - 2**32, whole).int()


def settings(form: Format, size: int) -> dict[str, Any]:
    """The ``quantization_config`` that the published Qwen2-VL checkpoints have."""
    common = {"bits": form.bits, "group_size": size, "quant_method": form.method}
    if form.method == "awq":
        return common | {
            "version": "gemm",
            "zero_point": True,
            "modules_to_not_convert": ["visual"],
        }
    return common | {"sym": True, "desc_act": False, "true_sequential": True, "damp_percent": 0.01}


def group_size(weights: Mapping[str, torch.Tensor]) -> int:
    """128, or less where a layer has no multiple of it as inputs."""
    inputs = {weight.shape[1] for name, weight in weights.items() if LINEAR.search(name)}
    if not inputs:
        sys.exit("error: the checkpoint has no linear layers under names that are known here")
    return next(size for size in (128, 64, 32, 16) if all(count % size == 0 for count in inputs))


def copy_of(source: Path, folder: Path) -> Path:
    """``folder`` with the small files of ``source``, and none of its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and ".safetensors" not in path.name:
            shutil.copy(path, folder)
    return folder


def edit_config(folder: Path, **changes: Any) -> None:
    """Set keys of a checkpoint's config.json."""
    path = folder / "config.json"
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    # The older spelling is the published checkpoints'; both at once could contradict each other.
    content.pop("dtype", None)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


class Asked(NamedTuple):
    """What a checkpoint was loaded as, and what it computes."""

    layers: str
    """Classes of the language model's linear layers."""
    dtype: str
    quantization: str | None
    logits: torch.Tensor
    """(tokens, vocabulary) after a fixed row of tokens."""
    texts: list[str]
    """Answers about the example pages."""
    failed: int


def ask(folder: Path, dtype: str, options: argparse.Namespace) -> Asked:
    """Load the checkpoint in ``folder`` as this project does, and use it."""
    spec = resolve(str(folder), device=options.device, dtype=dtype)
    loaded = load_model(spec, folder)
    ids = torch.arange(64, device=loaded.device).unsqueeze(0)
    with torch.inference_mode():
        logits = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    layers = loaded.model.model.language_model.layers.named_modules()
    kinds = sorted({type(module).__name__ for name, module in layers if name.endswith("_proj")})
    model = QwenVL(spec)
    model.adopt(loaded, Processor(spec, folder), folder)
    groups = []
    for name in PAGES:
        document = Document(name, tuple(read_pages(data_root() / "example_docs" / name)))
        requests = tuple(Request(f"{name}/{q}", q, q) for q in QUESTIONS)
        groups.append(PageGroup(document, requests, Generation(options.tokens)))
    outputs = model.generate(groups).outputs
    return Asked(
        "/".join(kinds),
        str(loaded.details["dtype"]),
        loaded.details["quantization"],
        logits.float().cpu(),
        [output.text for output in outputs],
        sum(output.error is not None for output in outputs),
    )


def with_kernel(folder: Path, form: Format) -> Path:
    """``folder`` again, with gptqmodel's plain kernel asked for."""
    again = Path(
        shutil.copytree(folder, folder.with_name(f"{folder.name}-plain"), dirs_exist_ok=True)
    )
    content = json.loads((again / "config.json").read_text(encoding="utf-8"))
    backend = "torch" if form.method == "gptq" else "torch_awq"
    edit_config(again, quantization_config=content["quantization_config"] | {"backend": backend})
    return again


def file_bytes(folder: Path) -> int:
    """Bytes of a checkpoint's weight files."""
    return sum(path.stat().st_size for path in weight_files(folder))


def version(package: str) -> str:
    """The installed version; ``none`` where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--model", type=Path, help="folder of a Qwen-VL checkpoint; a tiny random one"
    )
    parser.add_argument("--out", type=Path, help="folder that keeps what is made")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--dtype", default="fp32", choices=["auto", "bf16", "fp16", "fp32"])
    parser.add_argument("--tokens", type=int, default=24, help="longest answer")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
