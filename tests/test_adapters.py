"""Adapters of other people: every weight finds its place, or one line says why not; none is dropped."""

from __future__ import annotations

import gc
import json
import re
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from bench.errors import InvalidInput  # noqa: E402
from bench.models import bounded, checkpoints  # noqa: E402
from bench.models.catalog import resolve  # noqa: E402
from bench.models.qwen_vl import QwenVL, loading, names  # noqa: E402
from tests.tiny_qwen import edit_json, one_thread  # noqa: E402
from workshop.tiny_checkpoint import write_tiny_checkpoint  # noqa: E402

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)

EVERYWHERE = r"^(?!.*patch_embed).*\.(q_proj|down_proj|qkv|fc1|mlp\.0|embed_tokens)$|^lm_head$"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("base") / "tiny")


def train(folder: Path, base: Path, **settings: Any) -> Path:
    """An adapter with random weights, as PEFT saves it."""
    import transformers
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(1)
        model = transformers.Qwen2VLForConditionalGeneration.from_pretrained(base)
        settings = {"r": 4, "lora_alpha": 64, "init_lora_weights": False, **settings}
        wrapped = get_peft_model(model, LoraConfig(**settings))
        with torch.no_grad():
            for name, tensor in wrapped.named_parameters():
                if "modules_to_save" in name:
                    tensor.add_(torch.randn_like(tensor))
        wrapped.save_pretrained(folder)
    return folder


def old(name: str) -> str:
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def rename_weights(adapter: Path, rename: Callable[[str], str | None]) -> None:
    """Rename the weights of ``adapter``; those that become None are left out."""
    from safetensors.torch import load_file, save_file

    path = adapter / "adapter_model.safetensors"
    stored = load_file(path)
    pairs = ((rename(name), tensor) for name, tensor in stored.items())
    save_file({name: tensor for name, tensor in pairs if name is not None}, path)


def difference(adapter: Path, base: Path) -> Mapping[str, Any]:
    """What the adapter adds to each weight of the base."""
    adapted = loading.load_model(resolve(str(adapter)), base).model.state_dict()
    plain = loading.load_model(resolve(str(base)), base).model.state_dict()
    changes = {name: adapted[name] - plain[name] for name in plain}
    return {name: change for name, change in changes.items() if change.any()}


@pytest.mark.parametrize(
    ("settings", "former"),
    [
        ({"target_modules": EVERYWHERE}, {}),
        (
            {"target_modules": r"model\.(language_model|visual)\..*\.(q_proj|qkv)"},
            {"target_modules": r"(model|visual)\..*\.(q_proj|qkv)"},
        ),
        (
            {
                "target_modules": [
                    "model.language_model.layers.1.mlp.down_proj",
                    "model.visual.merger.mlp.0",
                ]
            },
            {"target_modules": ["model.layers.1.mlp.down_proj", "visual.merger.mlp.0"]},
        ),
        (
            {
                "target_modules": ["q_proj"],
                "modules_to_save": ["embed_tokens", "model.language_model.norm"],
            },
            {"modules_to_save": ["embed_tokens", "model.norm"]},
        ),
        (
            {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
            {},
        ),
        (
            {
                "target_modules": ["q_proj", "v_proj"],
                "rank_pattern": {r"^model.language_model.layers.0.self_attn.q_proj": 2},
                "alpha_pattern": {r"layers.1.*v_proj": 3},
            },
            {"rank_pattern": {r"^model.layers.0.self_attn.q_proj": 2}},
        ),
        ({"target_modules": ["lm_head", "q_proj"], "use_dora": True}, {}),
        (
            {
                "target_modules": ["q_proj"],
                "use_rslora": True,
                "trainable_token_indices": {"embed_tokens": [1, 5]},
            },
            {},
        ),
    ],
    ids=[
        "pattern",
        "anchored",
        "full names",
        "whole modules",
        "some layers",
        "ranks",
        "head",
        "new tokens",
    ],
)
def test_an_adapter_with_old_names_changes_the_same_weights(
    settings: dict[str, Any], former: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    adapter = train(tmp_path / "adapter", base, **settings)
    before = difference(adapter, base)
    assert before
    rename_weights(adapter, old)
    edit_json(adapter / "adapter_config.json", **former)
    after = difference(adapter, base)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def refusal(adapter: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        QwenVL(resolve(str(adapter))).load()
    assert "\n" not in caught.value.message
    return caught.value.message


def test_weights_that_the_configuration_does_not_name_are_refused(
    base: Path, tmp_path: Path
) -> None:
    adapter = train(tmp_path / "adapter", base, target_modules=EVERYWHERE)
    edit_json(adapter / "adapter_config.json", target_modules=["q_proj", "down_proj"])
    message = refusal(adapter)
    assert "have weights in adapter_model.safetensors, but adapter_config.json does not" in message
    assert "the first is lm_head" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda name: None if "layers.1" in name else name, "2 modules are named in .* no weights"),
        (lambda name: None if "layers.1.self_attn.q_proj.lora_B" in name else name, "missing from"),
        (lambda name: name.replace("layers.1", "layers.5"), "2 modules of the adapter are not in"),
        (lambda name: name.replace("lora_B", "lora_C"), "no place in the model"),
        (lambda name: name.replace(".lora_", ".other_"), "no place in the model"),
    ],
)
def test_a_refusal_names_the_true_cause(
    change: Callable[[str], str | None], reason: str, base: Path, tmp_path: Path
) -> None:
    adapter = train(tmp_path / "adapter", base, target_modules=["q_proj", "v_proj"])
    rename_weights(adapter, change)
    message = refusal(adapter)
    assert f"the adapter {adapter} does not fit {base}" in message
    assert re.search(reason, message), message


def test_a_missing_whole_module_is_named(base: Path, tmp_path: Path) -> None:
    adapter = train(
        tmp_path / "adapter", base, target_modules=["q_proj"], modules_to_save=["embed_tokens"]
    )
    rename_weights(adapter, lambda name: None if "embed_tokens" in name else name)
    assert "lacks the weight base_model.model.model.language_model.embed_tokens" in refusal(adapter)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"r": 3},
            r"has the shape \[4, 64\], but adapter_config.json and the model ask for \[3, 64\]",
        ),
        ({"r": 10**9}, "the rank r should be at most 64, .* but it is 1000000000"),
        ({"rank_pattern": {"q_proj": 10**9}}, "the rank q_proj should be at most 64"),
        ({"r": "4"}, r"r should be a whole number, but it is a text \(4\)"),
        ({"r": [4]}, "r should be a whole number, but it is a list"),
        (
            {"target_modules": {"a": 1}},
            "target_modules should be a text or a list, but it is an obj",
        ),
        ({"target_modules": [["q_proj"]]}, "an entry of target_modules should be a text"),
        ({"target_modules": "(q_proj"}, "target_modules is not a regular expression"),
        ({"modules_to_save": ["elsewhere"]}, "the model has no module elsewhere"),
        ({"peft_type": "EVIL"}, "adapters of the peft_type EVIL cannot be put into weights"),
        ({"peft_type": "PROMPT_TUNING"}, "adapters of the peft_type PROMPT_TUNING cannot be"),
        ({"task_type": "EVIL"}, "Invalid task type"),
        ({"bias": "evil"}, "adapter_config.json|bias"),
        ({"layer_replication": [[0, 10**9]]}, "does not fit"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_line(
    changes: dict[str, Any], reason: str, base: Path, tmp_path: Path
) -> None:
    adapter = train(tmp_path / "adapter", base, target_modules=["q_proj", "v_proj"])
    edit_json(adapter / "adapter_config.json", **changes)
    message = refusal(adapter)
    assert re.search(reason, message), message
    assert str(adapter) in message


ENDLESS = "(([a-z_.0-9]+)+)+!"


@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": ENDLESS},
        {"exclude_modules": ENDLESS},
        {"rank_pattern": {ENDLESS: 4}},
    ],
    ids=["target_modules", "exclude_modules", "rank_pattern"],
)
def test_a_pattern_that_never_ends_is_refused_when_the_run_is_planned(
    changes: dict[str, Any], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.3)
    adapter = train(tmp_path / "adapter", base, target_modules=["q_proj"])
    edit_json(adapter / "adapter_config.json", **changes)
    with pytest.raises(InvalidInput, match=r"a pattern of .* did not end within 0.3 seconds"):
        resolve(str(adapter))


def test_a_pattern_that_never_ends_only_on_the_models_names_is_refused_while_loading(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.3)
    adapter = train(tmp_path / "adapter", base, target_modules=["q_proj"])
    edit_json(
        adapter / "adapter_config.json",
        target_modules=r"model\.visual\." + ENDLESS + r"|.*q_proj",
    )
    assert "did not end within 0.3 seconds" in refusal(adapter)


@pytest.mark.parametrize("itself", [".", "adapter", ""])
def test_an_adapter_of_itself_is_refused(
    itself: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    adapter = train(tmp_path / "adapter", base, target_modules=["q_proj"])
    named = itself or str(adapter)
    edit_json(adapter / "adapter_config.json", base_model_name_or_path=named)
    with pytest.raises(InvalidInput, match="neither a folder nor a hub id"):
        resolve(str(adapter))


def test_an_adapter_of_an_adapter_is_refused(base: Path, tmp_path: Path) -> None:
    first = train(tmp_path / "first", base, target_modules=["q_proj"])
    second = train(tmp_path / "second", base, target_modules=["q_proj"])
    edit_json(second / "adapter_config.json", base_model_name_or_path=str(first))
    with pytest.raises(InvalidInput, match="which is an adapter itself"):
        resolve(str(second))


def test_the_old_names_are_those_of_every_module(base: Path) -> None:
    model = loading.load_model(resolve(str(base)), base).model
    modules = [
        name for name, _ in model.named_modules() if name.count(".") > 1 or name == "lm_head"
    ]
    assert len(modules) > 20
    assert [names.current_name(names.old_name(name)) for name in modules] == modules
    assert "model.norm" in {names.old_name(name) for name in modules}


def test_the_settings_of_an_adapter_may_begin_with_a_mark_of_their_encoding(
    base: Path, tmp_path: Path
) -> None:
    adapter = train(tmp_path / "adapter", base, target_modules=["q_proj"])
    path = adapter / "adapter_config.json"
    path.write_text("\ufeff" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8-sig"))["r"] == 4
    assert checkpoints.adapter_settings(adapter)["r"] == 4
    assert difference(adapter, base)


def test_a_bound_is_not_lost_where_the_collector_calls_back() -> None:
    def dawdle(phase: str, _info: dict[str, int]) -> None:
        until = time.process_time() + 0.2
        while phase == "start" and time.process_time() < until:
            pass

    end = time.process_time() + 2
    gc.callbacks.append(dawdle)
    try:
        with (
            pytest.raises(InvalidInput, match="did not end within"),
            bounded.bounded("the pattern", hint="", seconds=0.05),
        ):
            while time.process_time() < end:
                cycle: list[object] = []
                cycle.append(cycle)
    finally:
        gc.callbacks.remove(dawdle)
    assert gc.isenabled()
