from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.errors import InvalidInput
from bench.models import BACKENDS
from bench.models import catalog as catalog_module
from bench.models.catalog import catalog, resolve, resolve_all, user_models
from bench.models.footprint import MEMORY_MARGIN_BYTES, download_size, expected_memory, is_local
from bench.text import file_name


def write_checkpoint(folder: Path, *, weights: int | None = 100, **config: Any) -> Path:
    """A folder that looks like a checkpoint from outside; ``weights`` are its bytes of weights."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps({"model_type": "qwen2_vl", "torch_dtype": "bfloat16"} | config), encoding="utf-8"
    )
    if weights is not None:
        header = struct.pack("<Q", 2) + b"{}"
        (folder / "model.safetensors").write_bytes(header.ljust(weights, b"\0"))
    return folder


def write_adapter(
    folder: Path, base: str | None, *, weights: str = "adapter_model.safetensors"
) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": base}), encoding="utf-8"
    )
    (folder / weights).write_bytes(struct.pack("<Q", 2) + b"{}")
    return folder


def write_toml(folder: Path, text: str) -> Path:
    path = folder / "bench.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(name: str, **arguments: Any) -> InvalidInput:
    """The error for ``name``, after a look at its form."""
    with pytest.raises(InvalidInput) as caught:
        resolve(name, **arguments)
    assert "\n" not in caught.value.message + (caught.value.hint or "")
    return caught.value


def test_every_row_can_be_named_in_any_case() -> None:
    for name, entry in catalog().items():
        assert resolve(name).name == resolve(name.upper()).name == name
        assert entry.backend in BACKENDS


def test_every_name_is_a_folder_name() -> None:
    assert [name for name in catalog() if file_name(name) != name] == []


def test_the_models_of_the_family_are_there() -> None:
    wanted = {
        *(
            f"qwen2-vl-{size}{form}"
            for size in ("2b", "7b")
            for form in ("", "-int4", "-int8", "-awq")
        ),
        *("qwen2-vl-2b-nf4", "qwen2-vl-7b-nf4", "qwen2-vl-72b", "qwen2-vl-72b-awq"),
        *(
            "qwen2.5-vl-3b",
            "qwen2.5-vl-7b",
            "qwen3-vl-2b",
            "qwen3-vl-4b",
            "qwen3-vl-8b",
            "ocr",
            "fake",
        ),
    }
    assert wanted <= set(catalog())


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("Qwen2-VL-2B-Instruct", "qwen2-vl-2b"),
        ("Qwen/Qwen2-VL-2B-Instruct", "qwen2-vl-2b"),
        ("qwen2-vl-2b-instruct-gptq-int4", "qwen2-vl-2b-int4"),
        ("Qwen/Qwen2-VL-72B-Instruct-AWQ", "qwen2-vl-72b-awq"),
        ("Qwen2.5-VL-3B-Instruct", "qwen2.5-vl-3b"),
    ],
)
def test_hub_names_are_accepted(name: str, row: str) -> None:
    assert resolve(name) == catalog()[row].spec()


def test_a_hub_id_outside_the_catalog_is_taken_as_it_is() -> None:
    spec = resolve("someone/My-Qwen2-VL")
    assert (spec.name, spec.checkpoint) == ("My-Qwen2-VL", "someone/My-Qwen2-VL")


def test_weights_in_16_bits_take_two_bytes_a_parameter() -> None:
    for entry in catalog().values():
        if entry.weight_bytes_source == "parameters":
            assert entry.parameters is not None
            assert entry.weight_bytes == 2 * entry.parameters


def test_quantized_weights_are_smaller_than_the_checkpoint_they_come_from() -> None:
    for entry in catalog().values():
        if entry.weight_bytes_source == "packing":
            assert entry.parameters is not None
            assert entry.weight_bytes is not None
            assert 0.25 < entry.weight_bytes / (2 * entry.parameters) < 0.75


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("qwen2-vl-7", "qwen2-vl-7b"),
        ("qwen2vl-2b", "qwen2-vl-2b"),
        ("Qwen2-VL-2B-Instruct-GPTQ-Int5", "Qwen2-VL-2B-Instruct-GPTQ-Int4"),
        ("orc", "ocr"),
    ],
)
def test_a_nearly_right_name_is_answered_with_the_right_one(name: str, suggestion: str) -> None:
    assert suggestion in (refusal(name).hint or "")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        "zzz",
        "./nowhere",
        "/nowhere/at/all",
        "~nobody-here/x",
        "a/b/c",
        "x" * 9000,
        "a\0b",
        "é\x1b[31m",
    ],
)
def test_a_name_that_means_nothing_is_one_clear_line(name: str) -> None:
    error = refusal(name)
    assert error.message.startswith("there is no ")
    assert "\x1b" not in error.message


def test_a_weight_file_is_not_a_model() -> None:
    assert "named by its folder" in refusal("models/model.safetensors").message


def test_a_checkpoint_folder_is_named_by_its_folder(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "my model (v2)")
    spec = resolve(str(folder))
    assert spec.name == "my-model-v2"
    assert (spec.backend, spec.checkpoint) == ("qwen_vl", str(folder))


def test_a_relative_path_becomes_absolute(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "mine")
    assert resolve("mine").checkpoint == str(tmp_path / "mine")


@pytest.mark.parametrize("generic", ["checkpoint-500", "final", "a" * 40])
def test_a_folder_name_that_says_nothing_gets_its_parents_in_front(
    generic: str, tmp_path: Path
) -> None:
    assert (
        resolve(str(write_checkpoint(tmp_path / "invoices" / generic))).name
        == f"invoices-{generic}"
    )


def test_a_local_folder_goes_before_the_hub_id_of_the_same_name(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "Qwen" / "Qwen2-VL-2B-Instruct")
    assert resolve("Qwen/Qwen2-VL-2B-Instruct").checkpoint == str(folder)


@pytest.mark.parametrize(
    ("settings", "quantization"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq-int4"),
        ({"quant_method": "gptq", "bits": 8}, "gptq-int8"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "nf4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
    ],
)
def test_a_folders_own_quantization_is_seen(
    settings: dict[str, Any], quantization: str, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "quantized", quantization_config=settings)
    assert resolve(str(folder)).quantization == quantization


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    error = refusal(str(write_checkpoint(tmp_path / "new", model_type="no_such_type")))
    assert "'no_such_type'" in error.message
    assert "@http" in (error.hint or "")


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    assert "no config.json" in refusal(str(tmp_path)).message


@pytest.mark.parametrize("content", ["", "[1]", "{", "\xff\xfe"])
def test_a_broken_configuration_is_refused(content: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "broken")
    (folder / "config.json").write_text(content, encoding="latin-1")
    assert "config.json" in refusal(str(folder)).message


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    assert "no weights" in refusal(str(write_checkpoint(tmp_path / "bare", weights=None))).message


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "consolidated.pt", "model.pth", "model.ckpt"]
)
def test_pickled_weights_are_refused_with_the_cure(name: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "pickled", weights=None)
    (folder / name).write_bytes(b"\x80\x04.")
    error = refusal(str(folder))
    assert name in error.message
    assert "safetensors" in (error.hint or "")


def test_what_a_trainer_leaves_behind_is_not_taken_for_weights(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "trained")
    (folder / "training_args.bin").write_bytes(b"\x80\x04.")
    assert resolve(str(folder)).name == "trained"


def test_missing_shards_are_counted_and_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "sharded", weights=None)
    shards = {f"w{i}": f"model-{i:05}-of-00003.safetensors" for i in (1, 2, 3)}
    index = {"weight_map": shards}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / shards["w1"]).write_bytes(b"weights")
    error = refusal(str(folder))
    assert (
        "lacks 2 of 3 weight files; the first is model-00002-of-00003.safetensors" in error.message
    )


def test_a_git_lfs_pointer_is_told_from_weights(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "cloned")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert refusal(str(folder)).hint == "run git lfs pull"


def test_an_empty_weight_file_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "empty")
    (folder / "model.safetensors").write_bytes(b"")
    assert "is empty" in refusal(str(folder)).message


def test_an_adapter_folder_means_its_base_with_the_adapter(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base")
    adapter = write_adapter(tmp_path / "invoices-lora", str(base))
    spec = resolve(str(adapter))
    assert (spec.name, spec.checkpoint, spec.adapter) == ("invoices-lora", str(base), str(adapter))


def test_an_adapters_base_may_be_a_hub_id(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "lora", "Qwen/Qwen2-VL-2B-Instruct")
    assert resolve(str(adapter)).checkpoint == "Qwen/Qwen2-VL-2B-Instruct"


def test_an_adapters_base_may_lie_beside_it(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base")
    adapter = write_adapter(tmp_path / "lora", "../base")
    assert resolve(str(adapter)).checkpoint == str(base)


def test_an_adapter_whose_base_is_gone_is_refused(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "lora", "/models/of/another/machine")
    assert "neither a folder nor a hub id" in refusal(str(adapter)).message


def test_an_adapter_that_names_no_base_is_refused(tmp_path: Path) -> None:
    error = refusal(str(write_adapter(tmp_path / "lora", None)))
    assert "does not say which checkpoint" in error.message


def test_a_pickled_adapter_is_refused(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "lora", "a/b", weights="adapter_model.bin")
    assert "it contains only pickled ones" in refusal(str(adapter)).message


def test_a_row_of_bench_toml_is_a_model(tmp_path: Path) -> None:
    path = write_toml(
        tmp_path,
        """
        [models.small]
        model = "qwen2-vl-2b"
        max_pixels = 602112
        attention = "sdpa"
        options = { merge_adapter = false }
        """,
    )
    spec = resolve("small", bench_toml=path)
    assert (spec.name, spec.checkpoint) == ("small", "Qwen/Qwen2-VL-2B-Instruct")
    assert (spec.max_pixels, spec.attention) == (602_112, "sdpa")
    assert dict(spec.options) == {"merge_adapter": False}


def test_paths_in_bench_toml_count_from_its_folder(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "elsewhere" / "base")
    adapter = write_adapter(tmp_path / "elsewhere" / "lora", str(base))
    path = write_toml(tmp_path / "elsewhere", '[models.mine]\nmodel = "base"\nadapter = "./lora"\n')
    spec = resolve("mine", bench_toml=path)
    assert (spec.checkpoint, spec.adapter) == (str(base), str(adapter))


def test_what_the_command_line_says_goes_before_bench_toml(tmp_path: Path) -> None:
    path = write_toml(tmp_path, '[models.small]\nmodel = "qwen2-vl-2b"\nmax_pixels = 602112\n')
    assert resolve("small", bench_toml=path, max_pixels=100_000).max_pixels == 100_000


def test_a_row_of_bench_toml_may_not_build_on_another(tmp_path: Path) -> None:
    path = write_toml(tmp_path, '[models.a]\nmodel = "ocr"\n[models.b]\nmodel = "a"\n')
    assert "there is no model 'a'" in refusal("b", bench_toml=path).message


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('[models.a]\nmodel = "ocr"\nmax_pixel = 3\n', "unknown key 'max_pixel'", "max_pixels"),
        ("[models.a]\nmax_pixels = 3\n", "the key 'model' is missing", None),
        ('[models.a]\nmodle = "ocr"\n', "unknown key 'modle'", "did you mean model?"),
        ('[models.a]\nmodel = "ocr"\nmax_pixels = "many"\n', "valid integer, not 'many'", None),
        ('[models."a/b"]\nmodel = "ocr"\n', "expected letters, digits", "'a-b'"),
        ('[models."f 2"]\nmodel = "ocr"\n', "expected letters, digits", "'f-2'"),
        ("models = 3\n", "should hold tables", None),
        ("[models.a\n", "is not valid TOML", None),
    ],
)
def test_a_mistake_in_bench_toml_is_named(
    text: str, message: str, hint: str | None, tmp_path: Path
) -> None:
    path = write_toml(tmp_path, text)
    with pytest.raises(InvalidInput) as caught:
        user_models(path)
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


def test_a_mistake_in_the_catalog_is_named() -> None:
    row = {"name": "x", "backend": "qwen_vl", "license": "x", "weigth_bytes": 3}
    with pytest.raises(InvalidInput) as caught:
        catalog_module._validated(catalog_module.CatalogEntry, row, "x")
    assert caught.value.hint is not None
    assert "weight_bytes" in caught.value.hint


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"dtype": "float16"}, "dtype 'float16' does not exist"),
        ({"attention": "flash"}, "attention 'flash' does not exist"),
        ({"quantization": "int3"}, "quantization 'int3' does not exist"),
        ({"device": "gpu"}, "device 'gpu' should be"),
        ({"device": "cuda:01"}, "device 'cuda:01' should be"),
        ({"device": "cuda:200"}, "device 'cuda:200' should be"),
        ({"max_pixels": 0}, "above 0"),
        ({"min_pixels": 10, "max_pixels": 9}, "should not be above"),
    ],
)
def test_an_override_that_is_not_valid_is_refused(override: dict[str, Any], message: str) -> None:
    assert message in refusal("qwen2-vl-2b", **override).message


def test_a_quantized_model_cannot_be_quantized_again() -> None:
    assert (
        "already quantized as gptq-int4" in refusal("qwen2-vl-2b-int4", quantization="nf4").message
    )


def test_an_override_of_none_changes_nothing() -> None:
    assert resolve("qwen2-vl-2b", device=None, max_pixels=None, offline=None) == resolve(
        "qwen2-vl-2b"
    )


def test_offline_concerns_only_models_with_weights() -> None:
    assert dict(resolve("qwen2-vl-2b", offline=True).options) == {"offline": True}
    assert dict(resolve("ocr", offline=True).options) == {}


def test_two_folders_of_one_name_get_different_names(tmp_path: Path) -> None:
    folders = [write_checkpoint(tmp_path / parent / "lora-merged") for parent in ("a", "b")]
    names = [spec.name for spec in resolve_all(map(str, folders))]
    assert len(set(names)) == 2
    assert all(name.startswith("lora-merged-") for name in names)


def test_the_same_model_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="named twice"):
        resolve_all(["qwen2-vl-2b", "Qwen2-VL-2B-Instruct"])


def test_memory_is_weights_and_a_margin() -> None:
    assert expected_memory(resolve("qwen2-vl-2b")) == 4_417_971_200 + MEMORY_MARGIN_BYTES
    assert expected_memory(resolve("ocr")) is None
    assert expected_memory(resolve("someone/unknown")) is None


def test_memory_in_fp32_counts_weights_twice() -> None:
    for override in ({"dtype": "fp32"}, {"device": "cpu"}):
        spec = resolve("qwen2-vl-2b", **override)  # type: ignore[arg-type]
        assert expected_memory(spec) == 2 * 4_417_971_200 + MEMORY_MARGIN_BYTES


def test_memory_of_a_folder_comes_from_its_files(tmp_path: Path) -> None:
    spec = resolve(str(write_checkpoint(tmp_path / "mine", weights=1000, torch_dtype="float32")))
    assert expected_memory(spec) == 500 + MEMORY_MARGIN_BYTES


def test_what_is_downloaded_is_the_checkpoint_before_it_is_quantized() -> None:
    assert download_size(resolve("qwen2-vl-7b-nf4")) == download_size(resolve("qwen2-vl-7b"))
    assert download_size(resolve("qwen2-vl-7b-int4")) == 6_922_265_600
    assert download_size(resolve("ocr")) == 0
    assert download_size(resolve("someone/unknown")) is None


def test_a_checkpoint_in_the_hub_cache_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    spec = resolve("qwen2-vl-2b")
    assert not is_local(spec)
    repository = tmp_path / "hf" / "hub" / "models--Qwen--Qwen2-VL-2B-Instruct"
    write_checkpoint(repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc\n", encoding="utf-8")
    assert is_local(spec)
    assert download_size(spec) == 0


def test_the_catalog_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from bench.models.catalog import resolve; resolve('qwen2-vl-7b');"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'pandas'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# What a model costs


@pytest.mark.parametrize(
    ("price", "record"),
    [
        ("{input = 0.15, output = 0.6}", {"input": 0.15, "output": 0.6, "currency": "USD"}),
        ("{hour = 2, currency = 'EUR'}", {"hour": 2.0, "currency": "EUR"}),
        ("{page = 0.001}", {"page": 0.001, "currency": "USD"}),
    ],
)
@pytest.mark.parametrize("kind", ["model = 'ocr'", "base_url = 'http://h/v1'\ncheckpoint = 'm'"])
def test_a_price_is_recorded_and_is_no_part_of_the_identity(
    kind: str, price: str, record: dict[str, Any], tmp_path: Path
) -> None:
    free = resolve("mine", bench_toml=write_toml(tmp_path, f"[models.mine]\n{kind}\n"))
    path = write_toml(tmp_path, f"[models.mine]\n{kind}\nprice = {price}\n")
    spec = resolve("mine", bench_toml=path)
    assert spec.price == record
    assert spec.identity() == free.identity()


@pytest.mark.parametrize(
    "price",
    [
        "{input = 0.15}",
        "{input = 0.15, output = 0.6, hour = 1}",
        "{}",
        "{hour = nan}",
        "{hour = -1}",
        "{hour = true}",
        "{hour = '1'}",
        "{houre = 1}",
        "{hour = 1, currency = 'dollars'}",
        "1.20",
    ],
)
def test_a_price_that_cannot_be_used_is_one_clear_line(price: str, tmp_path: Path) -> None:
    path = write_toml(tmp_path, f"[models.mine]\nmodel = 'ocr'\nprice = {price}\n")
    with pytest.raises(InvalidInput) as caught:
        user_models(path)
    assert "price" in caught.value.message
    assert "\n" not in caught.value.message
