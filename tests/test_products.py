"""Packed weights give the answers of plain ones, are used only where they pay, and hold no second copy."""

from __future__ import annotations

import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.measure import collector_paused  # noqa: E402
from bench.models.catalog import resolve  # noqa: E402
from bench.models.qwen_vl import QwenVL, products, vision  # noqa: E402
from bench.models.qwen_vl.loading import CLASSES, load_model  # noqa: E402
from bench.models.qwen_vl.processing import Processor  # noqa: E402
from tests.tiny_qwen import edit_json, make_document, make_group, one_thread  # noqa: E402
from workshop.tiny_checkpoint import write_tiny_checkpoint  # noqa: E402

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


@pytest.fixture
def paying(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor on which packed weights pay."""
    monkeypatch.setattr(products, "packed_speedup", lambda *_: 2.25)
    torch.manual_seed(0)


def loaded(folder: Path, dtype: str = "fp32", **options: Any) -> tuple[QwenVL, Any, Any]:
    """The backend, its model, and what is recorded of its products."""
    backend = QwenVL(resolve(str(folder), dtype=dtype, options=options))
    info = backend.load()
    assert backend._parts is not None
    return backend, backend._parts.loaded.model, info.details["products"]


def count(model: Any, kind: type) -> int:
    """How many modules of exactly this kind there are."""
    return sum(type(module) is kind for module in model.modules())


def is_plain(module: Any) -> bool:
    return type(module) is torch.nn.Linear


@needs_onednn
@pytest.mark.parametrize("family", CLASSES)
def test_packed_weights_give_the_products_and_answers_of_plain_ones(
    family: str, paying: None, tmp_path: Path
) -> None:
    folder = write_tiny_checkpoint(tmp_path / family, family)
    plain, plain_model, _ = loaded(folder, packed=False)
    packed, packed_model, said = loaded(folder)
    assert said == "oneDNN, packed weights (2.2 times as fast as torch's own on this processor)"
    assert packed_model.num_parameters() == plain_model.num_parameters()
    compared = 0
    for name, layer in packed_model.named_modules():
        if type(layer) is products.PackedLinear:
            before = plain_model.get_submodule(name)
            assert layer.weight.shape == before.weight.shape
            assert (layer.weight.dtype, layer.weight.device.type) == (torch.float32, "cpu")
            if ".mlp." not in name or "merger" in name:
                check_same(layer, before, before.in_features)
            compared += 1
        elif name.endswith(".mlp") and "merger" not in name:
            # With the activation, which the first of its products computes.
            first = next(layer.children())
            assert first.then != products.NOTHING
            check_same(layer, plain_model.get_submodule(name), first.weight.shape[1])
    assert compared == count(plain_model, torch.nn.Linear) - 1, "all but the head"
    assert isinstance(packed_model.model.visual.patch_embed.proj, products.PackedPatches)

    pages = make_document(tmp_path, "pages", [(120, 90), (64, 200)])
    # Few tokens: with random weights a long answer meets a tie, which the last bits decide.
    group = make_group(pages, ["Who signed?", "What date?"], max_new_tokens=2)
    for one, other in zip(*(b.generate([group]).outputs for b in (plain, packed)), strict=True):
        assert one.error is other.error is None
        assert other.text == one.text
        assert other.confidence == pytest.approx(one.confidence, rel=1e-4)


@needs_onednn
def test_an_mlp_whose_weights_are_shared_keeps_its_activation(paying: None, tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    spec = resolve(str(folder), dtype="fp32")
    model = load_model(spec, folder).model
    first, second = (layer.mlp for layer in model.model.language_model.layers[:2])
    second.gate_proj.weight = first.gate_proj.weight
    rows = torch.randn(3, first.gate_proj.in_features)
    with torch.inference_mode():
        expected = second(rows)
        products.pack_products(spec, model)
        torch.testing.assert_close(second(rows), expected, rtol=1e-5, atol=1e-5)


def check_same(layer: Any, plain: Any, inputs: int) -> None:
    """Assert that ``layer`` computes what ``plain`` does."""
    rows = torch.randn(2, 3, inputs)
    with torch.inference_mode():
        torch.testing.assert_close(layer(rows), plain(rows), rtol=1e-5, atol=1e-5)


@needs_onednn
@pytest.mark.parametrize("tied", [True, False])
def test_a_head_that_shares_the_embeddings_keeps_sharing_them(
    tied: bool, paying: None, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_tiny_checkpoint(tmp_path / "tiny")
    path = folder / "model.safetensors"
    weights = load_file(path)
    if not tied:
        edit_json(folder / "config.json", tie_word_embeddings=False)
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
        save_file(weights, path, metadata={"format": "pt"})
    _, model, _ = loaded(folder)
    shared = model.lm_head.weight is model.get_input_embeddings().weight
    assert (shared, type(model.lm_head) is torch.nn.Linear) == (tied, tied)


@needs_onednn
def test_plain_weights_and_their_file_are_given_back(paying: None, tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    spec = resolve(str(folder), dtype="fp32")
    model = load_model(spec, folder).model
    gone = [weakref.ref(module.weight) for module in model.modules() if is_plain(module)]
    convolution = weakref.ref(model.model.visual.patch_embed.proj)
    # None of them waits for the garbage collector.
    with collector_paused():
        assert vision.flatten_patch_embedding(model)
        products.pack_products(spec, model)
        assert convolution() is None
        # The head stays, with the weight of the embeddings.
        assert [weight() is None for weight in gone] == [True] * (len(gone) - 1) + [False]
    if sys.platform == "linux":
        assert str(folder) not in Path("/proc/self/maps").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "dtype", "speedup", "reason"),
    [
        ({"packed": False}, "fp32", 2.0, "oneDNN is switched off by packed = false"),
        ({"reference": True}, "fp32", 2.0, "the reference is plain transformers"),
        ({}, "bf16", 2.0, "oneDNN is used in fp32 only"),
        ({}, "fp32", None, "oneDNN is missing or failed its trial"),
        ({}, "fp32", 1.04, "with packed weights they are 1 times as fast on this processor"),
    ],
)
def test_weights_are_packed_only_where_it_pays(
    options: dict[str, Any],
    dtype: str,
    speedup: float | None,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products, "packed_speedup", lambda *_: speedup)
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    _, model, said = loaded(folder, dtype, **options)
    assert said == f"torch's own ({reason})"
    assert count(model, products.PackedLinear) == 0


def test_an_adapter_that_stays_beside_the_weights_keeps_them_plain(paying: None) -> None:
    class WithAdapter(torch.nn.Module):
        dtype, device, config = torch.float32, torch.device("cpu"), None

        def __init__(self) -> None:
            super().__init__()
            self.base_layer = torch.nn.Linear(8, 8)

    model = WithAdapter()
    spec = resolve("qwen2-vl-nano")
    assert "an adapter lies beside the weights" in products.pack_products(spec, model)
    assert type(model.base_layer) is torch.nn.Linear


def test_a_model_that_was_adopted_is_never_packed(paying: None, tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    spec = resolve(str(folder), dtype="fp32")
    model = load_model(spec, folder)
    info = QwenVL(spec).adopt(model, Processor(spec, folder), folder)
    assert "products" not in info.details
    assert count(model.model, products.PackedLinear) == 0


@needs_onednn
def test_a_small_model_is_timed_with_a_layer_of_its_own_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    monkeypatch.setattr(products, "packed_speedup", lambda *size: sizes.append(size))
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    _, model, _ = loaded(folder)
    text = model.config.get_text_config()
    assert sizes == [(text.hidden_size, text.intermediate_size)]
    monkeypatch.setattr(text, "hidden_size", 4096)
    products.pack_products(resolve(str(folder), dtype="fp32"), model)
    assert sizes[1] == (products.INPUTS, text.intermediate_size)


@needs_onednn
def test_the_speedup_is_measured_once_and_a_product_that_differs_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([0.0045, 0.002])
    monkeypatch.setattr(products, "seconds", lambda _: next(times))
    products.packed_speedup.cache_clear()
    try:
        assert products.packed_speedup(512, 1024) == pytest.approx(2.25)
        assert products.packed_speedup(512, 1024) == pytest.approx(2.25)
        products.packed_speedup.cache_clear()
        monkeypatch.setattr(products, "product", lambda *_: torch.zeros(1))
        assert products.packed_speedup(512, 1024) is None
    finally:
        products.packed_speedup.cache_clear()
