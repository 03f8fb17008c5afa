from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.errors import (  # noqa: E402
    BenchError,
    EnvironmentProblem,
    InvalidInput,
    OutOfMemory,
    install_command,
)
from bench.models.catalog import resolve  # noqa: E402
from bench.models.qwen_vl import QwenVL, download, failures, loading  # noqa: E402
from bench.schema import ModelSpec, Output  # noqa: E402
from tests.tiny_qwen import edit_json, make_document, make_group, one_thread  # noqa: E402
from workshop.tiny_checkpoint import write_tiny_checkpoint  # noqa: E402

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_tiny_checkpoint(tmp_path / "tiny")


def rewrite_weights(folder: Path, change: Any) -> None:
    """Replace the weights by ``change(weights)``."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def write_adapter(folder: Path, base: Path, family: str = "qwen2_vl") -> Path:
    """A LoRA adapter with random weights, as PEFT saves it."""
    import transformers
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(1)
        architecture = getattr(transformers, loading.CLASSES[family])
        model = architecture.from_pretrained(base, dtype=torch.float32)
        config = LoraConfig(
            r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], init_lora_weights=False
        )
        get_peft_model(model, config).save_pretrained(folder)
    return folder


def load(spec: ModelSpec) -> loading.LoadedModel:
    return loading.load_model(spec, loading.locate(spec))


def answers(spec: ModelSpec, folder: Path) -> tuple[Output, ...]:
    model = QwenVL(spec)
    model.load()
    return model.generate([make_group(make_document(folder, "page", [(200, 300)]))]).outputs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda weights: {k: v for k, v in weights.items() if "layers.1.mlp.up_proj" not in k},
            "1 weight is missing",
        ),
        (
            lambda weights: weights | {"visual.extra.weight": torch.zeros(3)},
            "has no place in the model",
        ),
        (
            lambda weights: weights | {"model.norm.weight": torch.zeros(65)},
            "(ha(s|ve) another shape|cannot be loaded)",
        ),
    ],
    ids=["missing", "left over", "mismatched"],
)
def test_weights_that_are_not_all_the_checkpoints_are_refused(
    change: Any, message: str, checkpoint: Path
) -> None:
    rewrite_weights(checkpoint, change)
    with pytest.raises(InvalidInput, match=message):
        QwenVL(resolve(str(checkpoint))).load()


def with_extra_bias(value: float) -> Any:
    def change(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        (weight,) = (v for k, v in weights.items() if k.endswith("layers.0.mlp.down_proj.weight"))
        (name,) = (k for k in weights if k.endswith("layers.0.mlp.down_proj.weight"))
        bias = torch.full((weight.shape[0],), value, dtype=weight.dtype)
        return {**weights, name.removesuffix("weight") + "bias": bias}

    return change


def test_a_bias_of_zeros_that_the_architecture_lacks_is_passed_over(checkpoint: Path) -> None:
    rewrite_weights(checkpoint, with_extra_bias(0.0))
    assert load(resolve(str(checkpoint))).model is not None


def test_a_bias_that_the_architecture_lacks_is_refused_unless_it_is_zero(checkpoint: Path) -> None:
    rewrite_weights(checkpoint, with_extra_bias(0.5))
    with pytest.raises(InvalidInput, match=r"down_proj\.bias"):
        load(resolve(str(checkpoint)))


def test_an_output_head_that_shares_the_input_embeddings_is_not_missing(checkpoint: Path) -> None:
    loaded = load(resolve(str(checkpoint))).model
    assert loaded.lm_head.weight is loaded.model.language_model.embed_tokens.weight


def test_a_truncated_weight_file_is_one_clear_line(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InvalidInput, match="cannot be loaded") as caught:
        QwenVL(resolve(str(checkpoint))).load()
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("tokenizer.json", "tokenizer"),
        ("preprocessor_config.json", "preprocessor_config.json"),
        ("chat_template.json", "chat template"),
    ],
)
def test_a_missing_part_of_a_checkpoint_is_named(file: str, message: str, checkpoint: Path) -> None:
    (checkpoint / file).unlink()
    with pytest.raises(InvalidInput, match=message):
        QwenVL(resolve(str(checkpoint))).load()


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ messages[0].content[-1].text }}", "does not place every page image"),
        ("{{ raise_exception('no images') }}", "fails: no images"),
        ("{% for %}", "fails"),
    ],
)
def test_a_template_that_cannot_show_pages_is_refused(
    template: str, message: str, checkpoint: Path
) -> None:
    edit_json(checkpoint / "chat_template.json", chat_template=template)
    with pytest.raises(InvalidInput, match=message):
        QwenVL(resolve(str(checkpoint))).load()


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_checkpoint_is_quantized_while_it_is_loaded(
    quantization: str, checkpoint: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    spec = resolve(str(checkpoint), quantization=quantization)
    loaded = load(spec)
    kinds = {type(module).__name__ for module in loaded.model.model.language_model.layers.modules()}
    assert {"nf4": "Linear4bit", "int8": "Linear8bitLt"}[quantization] in kinds
    assert type(loaded.model.model.visual.blocks[0].mlp.fc1).__name__ == "Linear"
    assert loaded.details["quantization"] == quantization
    assert loaded.details["weight_bytes"] < 600_000 < 735_328
    assert [o.error for o in answers(spec, tmp_path)] == [None] * 4


@pytest.mark.parametrize(
    ("settings", "package", "extra"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptqmodel", "gptq"),
        ({"quant_method": "awq", "bits": 4}, "gptqmodel", "gptq"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes", "nf4"),
    ],
)
def test_a_missing_package_for_quantized_weights_names_the_extra(
    settings: dict[str, Any],
    package: str,
    extra: str,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found(name)
    )
    edit_json(checkpoint / "config.json", quantization_config=settings)
    with pytest.raises(EnvironmentProblem, match=package) as caught:
        QwenVL(resolve(str(checkpoint))).load()
    assert caught.value.hint == install_command(extra)


def test_quantized_weights_cannot_be_loaded_as_something_else(checkpoint: Path) -> None:
    spec = ModelSpec("tiny", "qwen_vl", str(checkpoint), quantization="gptq-int4")
    with pytest.raises(InvalidInput, match="is not quantized"):
        QwenVL(spec).load()


@pytest.mark.parametrize("merge", [True, False])
def test_an_adapter_folder_loads_onto_its_base_and_changes_answers(
    merge: bool, checkpoint: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    adapter = write_adapter(tmp_path / "adapter", checkpoint)
    spec = resolve(str(adapter), options={"merge_adapter": merge})
    assert spec.checkpoint == str(checkpoint)
    details = load(spec).details
    assert (details["adapter"], details["adapter_merged"]) == (str(adapter), merge)
    adapted, plain = answers(spec, tmp_path), answers(resolve(str(checkpoint)), tmp_path)
    assert [o.error for o in adapted] == [None] * 4
    assert [o.text for o in adapted] != [o.text for o in plain]


@pytest.mark.parametrize("family", loading.CLASSES)
def test_a_merged_adapter_answers_as_an_unmerged_one(family: str, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    base = write_tiny_checkpoint(tmp_path / family, family)
    adapter = str(write_adapter(tmp_path / "adapter", base, family))
    merged = answers(resolve(adapter), tmp_path)
    unmerged = answers(resolve(adapter, options={"merge_adapter": False}), tmp_path)
    assert [o.text for o in merged] == [o.text for o in unmerged]
    assert [o.text for o in merged] != [o.text for o in answers(resolve(str(base)), tmp_path)]


def test_an_adapter_with_the_older_module_names_loads_the_same(
    checkpoint: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    from safetensors.torch import load_file, save_file

    adapter = write_adapter(tmp_path / "adapter", checkpoint)
    expected = [o.text for o in answers(resolve(str(adapter)), tmp_path)]
    path = adapter / "adapter_model.safetensors"
    older = {k.replace("model.language_model.", "model."): v for k, v in load_file(path).items()}
    save_file(older, path)
    assert [o.text for o in answers(resolve(str(adapter)), tmp_path)] == expected


def test_an_adapter_whose_weights_do_not_fit_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from safetensors.torch import load_file, save_file

    adapter = write_adapter(tmp_path / "adapter", checkpoint)
    path = adapter / "adapter_model.safetensors"
    save_file({k.replace("layers.0", "layers.7"): v for k, v in load_file(path).items()}, path)
    with pytest.raises(InvalidInput, match="does not fit"):
        QwenVL(resolve(str(adapter))).load()


def test_an_adapter_stays_unmerged_on_quantized_weights(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    pytest.importorskip("bitsandbytes")
    adapter = write_adapter(tmp_path / "adapter", checkpoint)
    details = load(resolve(str(adapter), quantization="nf4")).details
    assert details["adapter_merged"] is False


def test_weights_that_are_not_here_are_one_line_with_a_way_out() -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be downloaded") as caught:
        QwenVL(resolve("qwen2-vl-2b")).load()
    assert "\n" not in caught.value.message
    assert "ocr" in (caught.value.hint or "")


def unreachable_hub(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A hub that may be asked, but every question ends in ``error``."""

    def refuse(*args: object, **kwargs: object) -> object:
        raise error

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", refuse)


def cache_checkpoint(checkpoint: Path, cache: Path, commit: str) -> None:
    """Move the checkpoint to where a download of some/model would lie."""
    repository = cache / "models--some--model"
    (repository / "snapshots").mkdir(parents=True)
    checkpoint.rename(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")


def hub_timeout() -> Exception:
    """What a silent hub ends in, in whichever HTTP library huggingface_hub uses."""
    from huggingface_hub.errors import HfHubHTTPError

    return download._transport_errors(HfHubHTTPError)[0]("timed out")


def test_a_silent_hub_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable_hub(monkeypatch, hub_timeout())
    with pytest.raises(EnvironmentProblem, match=r"the hub cannot be reached \(timed out\)"):
        QwenVL(resolve("some/model")).load()


def test_a_full_disk_is_not_taken_for_a_silent_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable_hub(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(EnvironmentProblem, match=r"downloaded: .*No space left"):
        QwenVL(resolve("some/model")).load()


def test_without_the_hub_an_earlier_download_serves(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_checkpoint(checkpoint, tmp_path / "hub", "0123456789" * 4)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    unreachable_hub(monkeypatch, hub_timeout())
    assert QwenVL(resolve("some/model")).load().details["revision"] == "0123456789" * 4


def test_offline_uses_what_the_hub_cache_holds(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789" * 4
    cache_checkpoint(checkpoint, tmp_path / "hub", commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    info = QwenVL(resolve("some/model", offline=True)).load()
    assert info.details["revision"] == commit


def test_an_adapter_field_with_a_hub_id_needs_the_hub(checkpoint: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="some/adapter"):
        QwenVL(resolve(str(checkpoint), adapter="some/adapter")).load()


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_a_gpu_that_is_not_there_is_named(device: str, checkpoint: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="sees no GPU"):
        QwenVL(resolve(str(checkpoint), device=device)).load()


def test_flash_attention_where_it_cannot_run_is_refused(checkpoint: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="flash-attn"):
        QwenVL(resolve(str(checkpoint), device="cpu", attention="flash_attention_2")).load()


def test_weights_beyond_memory_have_their_own_error() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory")
    found = failures.load_failure(Path("folder"), error, torch.device("cpu"))
    assert isinstance(found, OutOfMemory)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_a_dtype_that_is_asked_for_takes_effect_and_answers_on_a_cpu(
    dtype: str, checkpoint: Path, tmp_path: Path
) -> None:
    spec = resolve(str(checkpoint), dtype=dtype)
    loaded = load(spec)
    wanted = {"bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    assert loaded.details["dtype"] == str(wanted).removeprefix("torch.")
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {wanted}
    assert [output.error for output in answers(spec, tmp_path)] == [None] * 4


def test_a_checkpoint_cannot_bring_its_own_code(checkpoint: Path) -> None:
    (checkpoint / "evil.py").write_text("raise SystemExit('run')\n", encoding="utf-8")
    edit_json(
        checkpoint / "config.json",
        auto_map={"AutoConfig": "evil.Config", "AutoModelForImageTextToText": "evil.Model"},
    )
    edit_json(checkpoint / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", None]})
    loaded = load(resolve(str(checkpoint)))
    assert type(loaded.model).__module__.startswith("transformers.")


def test_an_error_for_people_is_a_bench_error(tmp_path: Path) -> None:
    with pytest.raises(BenchError):
        QwenVL(ModelSpec("nothing", "qwen_vl"))


def test_a_gpu_that_fails_while_weights_are_loaded_is_not_the_checkpoints_fault(
    tmp_path: Path,
) -> None:
    busy = "CUDA error: all CUDA-capable devices are busy or unavailable"
    error = RuntimeError(f"{busy}\nCUDA kernel errors might be asynchronously reported")
    failure = failures.load_failure(tmp_path, error, torch.device("cuda"))
    assert isinstance(failure, EnvironmentProblem)
    assert failure.message == f"the GPU cannot be used: {busy}"
    assert "config.json" not in str(failure.hint)
