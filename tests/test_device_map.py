"""A model whose layers live in several places, as far as that can be seen without GPUs.

accelerate's hooks fetch each layer's input to where the layer is; here the places are main memory and the
disk, between which the same hooks work. That hidden states go from one GPU to another was not tested.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.errors import InvalidInput, OutOfMemory  # noqa: E402
from bench.models.catalog import resolve  # noqa: E402
from bench.models.qwen_vl import QwenVL  # noqa: E402
from bench.models.qwen_vl.device import weights_by_device  # noqa: E402
from bench.schema import Json, ModelInfo, Output  # noqa: E402
from tests.tiny_qwen import make_document, make_group, one_thread  # noqa: E402
from workshop.tiny_checkpoint import write_tiny_checkpoint  # noqa: E402

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)

PLACES = {
    "model.visual": "cpu",
    "model.language_model.embed_tokens": "cpu",
    "model.language_model.layers.0": "cpu",
    "model.language_model.layers.1": "disk",
    "model.language_model.norm": "disk",
    "model.language_model.rotary_emb": "cpu",
    "lm_head": "cpu",
}


@pytest.fixture(params=["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_tiny_checkpoint(tmp_path / "tiny", request.param)


def answers(
    checkpoint: Path, folder: Path, options: dict[str, Json]
) -> tuple[ModelInfo, tuple[Output, ...]]:
    model = QwenVL(resolve(str(checkpoint), options=options))
    info = model.load()
    groups = [
        make_group(make_document(folder, name, sizes), max_new_tokens=8)
        for name, sizes in (("a", [(200, 300)]), ("b", [(150, 100), (260, 180)]))
    ]
    return info, model.generate(groups).outputs


def spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """What accelerate would choose on a machine that holds only a part of the model."""
    from transformers.integrations import accelerate

    monkeypatch.setattr(accelerate, "infer_auto_device_map", lambda *_, **__: dict(PLACES))


@pytest.mark.parametrize("options", [{}, {"reference": True}], ids=["padded", "reference"])
def test_a_model_in_several_places_gives_the_answers_of_one_in_one_place(
    options: dict[str, Json], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected = answers(checkpoint, tmp_path, {"engine": "padded", **options})
    spread(monkeypatch)
    info, found = answers(checkpoint, tmp_path, {"device_map": "auto", **options})
    assert [o.error for o in found] == [None] * 8
    assert [o.text for o in found] == [o.text for o in expected]
    placed = info.details["device_map"]
    assert isinstance(placed, dict)
    assert placed.keys() == {"cpu", "meta"}
    assert all(count > 0 for count in placed.values())
    if not options:
        assert "parts of the model lie elsewhere" in str(info.details["products"])
        assert "padded" in str(info.details["engine"])
        assert "several devices" in str(info.details["engine"])


def test_a_model_that_one_device_holds_keeps_the_tree(checkpoint: Path, tmp_path: Path) -> None:
    info, found = answers(checkpoint, tmp_path, {"device_map": "auto"})
    assert str(info.details["engine"]).startswith("tree")
    assert list(info.details["device_map"]) == ["cpu"]
    assert [o.text for o in found] == [o.text for o in answers(checkpoint, tmp_path, {})[1]]


def test_layers_left_in_main_memory_beside_gpus_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spilled:
        hf_device_map = {"model.visual": 0, "lm_head": "cpu"}  # noqa: RUF012  as accelerate sets it

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    spec = resolve(str(write_tiny_checkpoint(tmp_path / "tiny")))
    with pytest.raises(OutOfMemory, match="the GPUs together do not hold"):
        weights_by_device(spec, Spilled())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"options": {"device_map": "sequential"}},
            "device_map should be auto, but it is 'sequential'",
        ),
        ({"options": {"device_map": True}}, "device_map should be a word"),
        ({"options": {"device_map": "auto"}, "device": "cpu"}, "device cpu is a single one"),
        ({"options": {"device_map": "auto"}, "device": "cuda:1"}, "device cuda:1 is a single one"),
    ],
)
def test_a_device_map_that_cannot_be_is_refused_before_loading(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    spec = resolve(str(write_tiny_checkpoint(tmp_path / "tiny")), **settings)
    with pytest.raises(InvalidInput, match=message):
        QwenVL(spec)


def test_a_layer_on_the_disk_takes_no_tied_weight_that_lay_at_the_address_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread(monkeypatch)
    model = QwenVL(
        resolve(str(write_tiny_checkpoint(tmp_path / "tiny")), options={"device_map": "auto"})
    )
    model.load()
    assert model._parts is not None
    outer = [getattr(m, "_hf_hook", None) for m in model._parts.loaded.model.modules()]
    hooks = [hook for each in outer for hook in getattr(each, "hooks", (each,))]
    offloaded = [hook for hook in hooks if getattr(hook, "offload", False)]
    assert offloaded
    # The addresses that accelerate has noted are those of weights that have gone meanwhile.
    assert not any(hook.tied_params_map for hook in offloaded)
