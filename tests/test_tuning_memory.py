"""The memory of a training: the formula beside what autograd keeps, and the flags that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import OutOfMemory
from bench.formatting import byte_size
from bench.models.architectures import read_folder
from bench.tuning.lora import Lora, add_lora
from bench.tuning.memory import (
    MemoryRow,
    Setup,
    adapter_parameters,
    check_fits,
    cures,
    estimate,
    fullest,
    layer_bytes,
)
from tests.test_tuning_packing import example
from tests.tiny_qwen import one_thread
from workshop.tiny_checkpoint import write_tiny_checkpoint

GIB = 2**30
TOKENS = 256


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Iterator[None]:
    yield from one_thread()


def wide_config(folder: Path, family: str, layers: int) -> Path:
    """A configuration wide enough for its layers to have the proportions of real ones; no weights."""
    write_tiny_checkpoint(folder, family)
    config = json.loads((folder / "config.json").read_text())
    text = config.get("text_config", config)
    text |= {
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_hidden_layers": layers,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    }
    if "head_dim" in text:
        text["head_dim"] = 32
    text["rope_scaling"]["mrope_section"] = [4, 6, 6]
    vision = config["vision_config"]
    vision["hidden_size" if "embed_dim" in vision else "out_hidden_size"] = 256
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def kept_bytes(folder: Path, lora: Lora, dtype: Any, *, checkpointing: bool = False) -> int:
    """Bytes of tensors that autograd keeps of a row, parameters left out."""
    import torch
    import transformers

    from bench.models.qwen_vl.loading import CLASSES

    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, CLASSES[config.model_type])(config).to(dtype)
    model.requires_grad_(False)
    wrapped = add_lora(model, lora, "base", None, 0).train()
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    ids = torch.full((1, TOKENS), 5)
    ids[0, 3:19] = config.image_token_id
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes: dict[int, int] = {}
    alive: list[Any] = []

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        # Alive, or the next tensor might take its address; with its history it would keep itself alive.
        kept = tensor.detach()
        alive.append(kept)
        return kept

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16),
    ):
        wrapped(
            input_ids=ids,
            position_ids=torch.arange(TOKENS).expand(3, 1, -1),
            attention_mask=torch.zeros(1, 1, TOKENS, TOKENS, dtype=dtype),
            pixel_values=torch.zeros(64, config.vision_config.patch_size**2 * 6, dtype=dtype),
            image_grid_thw=torch.tensor([(1, 8, 8)]),
            logits_to_keep=torch.tensor([TOKENS - 1]),
            use_cache=False,
        )
    return sum(size for address, size in sizes.items() if address not in own)


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_layer_keeps_what_the_formula_says(
    tmp_path: Path, family: str, dropout: float, precision: str
) -> None:
    import torch

    dtype = getattr(torch, precision)
    lora = Lora(dropout=dropout)
    shallow = wide_config(tmp_path / "two", family, 2)
    deep = wide_config(tmp_path / "four", family, 4)
    kept = (kept_bytes(deep, lora, dtype) - kept_bytes(shallow, lora, dtype)) / 2 / TOKENS
    setup = a_setup(shallow, number=dtype.itemsize, lora=lora)
    # Where dropout replaces an input that is kept anyway, autograd keeps less than is counted.
    assert kept == pytest.approx(layer_bytes(setup), rel=0.2 if dropout else 0.03)
    assert kept <= 1.03 * layer_bytes(setup)


def test_with_checkpointing_a_layer_keeps_its_input(tmp_path: Path) -> None:
    import torch

    shallow = wide_config(tmp_path / "two", "qwen2_vl", 2)
    deep = wide_config(tmp_path / "four", "qwen2_vl", 4)
    kept = [
        kept_bytes(folder, Lora(), torch.float32, checkpointing=True) for folder in (deep, shallow)
    ]
    assert (kept[0] - kept[1]) / 2 == TOKENS * 256 * 4


def test_an_adapter_has_the_numbers_that_are_counted(tmp_path: Path) -> None:
    import transformers

    folder = wide_config(tmp_path / "ck", "qwen2_vl", 2)
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.Qwen2VLForConditionalGeneration(config).requires_grad_(False)
    for lora in (Lora(rank=8), Lora(rank=8, vision=True, merger=True)):
        wrapped = add_lora(model, lora, "base", None, 0)
        found = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
        counted = adapter_parameters(read_folder(folder).architecture, lora)
        if lora.vision:
            assert found <= counted <= 1.5 * found
        else:
            assert counted == found
        model = wrapped.unload()


def a_setup(folder: Path, **changes: Any) -> Setup:
    setup = Setup(
        architecture=read_folder(folder).architecture,
        weights=10 * GIB,
        number=2,
        lora=Lora(),
        row=MemoryRow(4096, 8192, 200),
        checkpointing=False,
        on_gpu=True,
    )
    return replace(setup, **changes)


@pytest.fixture
def large(tmp_path: Path) -> Setup:
    """A model of the size of Qwen2-VL-2B."""
    folder = wide_config(tmp_path / "ck", "qwen2_vl", 28)
    setup = a_setup(folder, weights=4 * GIB)
    shape = setup.architecture._replace(
        hidden=1536, intermediate=8960, heads=12, kv_heads=2, head_size=128, vocabulary=151936
    )
    return replace(setup, architecture=shape)


def test_what_fits_is_not_spoken_of(large: Setup) -> None:
    assert check_fits(large, 80 * GIB, 2 * GIB, 4096) is None


def test_the_cheapest_flag_that_fits_is_named(large: Setup) -> None:
    with pytest.raises(OutOfMemory) as caught:
        check_fits(large, 12 * GIB, 2 * GIB, 4096)
    assert caught.value.hint == "it should fit with --gradient-checkpointing"
    assert "activations" in caught.value.message


@pytest.mark.parametrize("free", [4, 5, 6, 7, 9, 12])
def test_what_is_named_does_fit(large: Setup, free: int) -> None:
    words = cures(large, free * GIB, 2 * GIB, 4096).split()
    assert words[0] != "no", "nothing fits"
    row = large.row
    if "--batch-tokens" in words:
        share = int(words[words.index("--batch-tokens") + 1].rstrip(";")) / 4096
        row = MemoryRow(*(int(share * n) for n in row))
    changed = replace(
        large,
        checkpointing="--gradient-checkpointing" in words,
        weights=2 * GIB if "nf4" in words else large.weights,
        row=row,
    )
    assert estimate(changed).bytes <= free * GIB


def test_nothing_is_promised_where_nothing_fits(large: Setup) -> None:
    assert "smaller model" in cures(large, GIB, 2 * GIB, 4096)


def test_the_fullest_row_is_the_most_in_each_respect() -> None:
    rows = [(example(40, 10, 10),), (example(30, 5), example(30, 5), example(30, 5))]
    assert fullest(rows) == MemoryRow(105, 12, 3)


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "–"), (3 * 2**20, "3.0 MiB"), (2**30 - 1, "1024.0 MiB"), (5 * 2**29, "2.50 GiB")],
)
def test_memory_is_written_in_the_unit_that_fits(size: int | None, text: str) -> None:
    assert byte_size(size) == text
