"""GPTQ and AWQ: how such checkpoints are written, recognised and refused; how they answer, with gptqmodel.

The packages of the ``gptq`` extra do not share an environment with every torch, so most of this runs
without them. What ``benchmarks/quantized_checkpoints.py`` found with them is in docs/container.md.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench import errors  # noqa: E402
from bench.errors import EnvironmentProblem, InvalidInput, install_command  # noqa: E402
from bench.measure import doctor  # noqa: E402
from bench.models.catalog import resolve  # noqa: E402
from bench.models.checkpoints import read_checkpoint  # noqa: E402
from bench.models.qwen_vl import QwenVL, failures  # noqa: E402
from bench.models.qwen_vl.names import current_name  # noqa: E402
from bench.models.qwen_vl.quantization import name_exclusions  # noqa: E402
from bench.text import error_line  # noqa: E402
from tests.tiny_qwen import edit_json, make_document, make_group, one_thread  # noqa: E402
from workshop.tiny_checkpoint import write_tiny_checkpoint  # noqa: E402

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "quantized_checkpoints.py"

with_gptqmodel = pytest.mark.skipif(
    importlib.util.find_spec("gptqmodel") is None, reason="needs the packages of the gptq extra"
)
without_gptqmodel = pytest.mark.skipif(
    importlib.util.find_spec("gptqmodel") is not None, reason="says what happens without gptqmodel"
)


@pytest.fixture(scope="module")
def script() -> Any:
    """The script that makes quantized checkpoints, as a module."""
    spec = importlib.util.spec_from_file_location("quantized_checkpoints", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(script: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny checkpoint in every format, and its unpacked twins."""
    from safetensors.torch import load_file

    folder = tmp_path_factory.mktemp("quantized")
    source = write_tiny_checkpoint(folder / "tiny")
    for form in script.FORMATS:
        script.write(form, source, load_file(source / "model.safetensors"), folder)
    return folder


@pytest.mark.parametrize("name", ["gptq-int4", "gptq-int8", "awq"])
def test_a_quantized_checkpoint_is_recognised_by_its_configuration(name: str, made: Path) -> None:
    assert read_checkpoint(made / name).quantization == name
    assert resolve(str(made / name)).quantization == name
    assert read_checkpoint(made / f"{name}-unpacked").quantization is None


@without_gptqmodel
@pytest.mark.parametrize("name", ["gptq-int4", "gptq-int8", "awq"])
def test_without_its_packages_a_quantized_checkpoint_is_one_line_with_the_command(
    name: str, made: Path
) -> None:
    with pytest.raises(
        EnvironmentProblem, match=f"a checkpoint in {name} needs the package gptqmodel"
    ) as e:
        QwenVL(resolve(str(made / name))).load()
    assert e.value.hint == install_command("gptq")
    assert "\n" not in e.value.message


@with_gptqmodel
def test_quantized_checkpoints_load_and_compute_with_the_numbers_that_were_written(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", str(tmp_path), "--tokens", "8"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("plain kernel") == 3


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_rounding_is_within_half_a_step_of_every_weight(
    script: Any, bits: int, symmetric: bool
) -> None:
    weight = torch.randn(48, 64, generator=torch.Generator().manual_seed(0))
    layer = script.rounded(weight, bits, 32, symmetric=symmetric)
    step = layer.scales.float().repeat_interleave(32, dim=0).T
    # fp16 scales and a rounded zero each shift the grid a little.
    assert ((layer.exact() - weight).abs() <= 1.02 * step).all()
    assert ((layer.exact() - weight).abs() / step).median() < 0.3
    assert 0 <= int(layer.values.min()) <= int(layer.values.max()) <= 2**bits - 1


def unpacked(words: Any, bits: int) -> Any:
    """The numbers in int32 words, the lowest bits first: the reverse of ``words``."""
    shifts = bits * torch.arange(32 // bits)
    return ((words.long().unsqueeze(-1) >> shifts) & (2**bits - 1)).flatten(-2)


@pytest.mark.parametrize("bits", [4, 8])
def test_gptq_words_run_down_the_columns_and_zeros_are_stored_less_one(
    script: Any, bits: int
) -> None:
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(1))
    layer = script.rounded(weight, bits, 32, symmetric=True)
    packed = script.pack_gptq(layer, bits)
    assert packed["qweight"].shape == (64 * bits // 32, 32)
    assert torch.equal(unpacked(packed["qweight"].T, bits).T, layer.values)
    assert torch.equal(unpacked(packed["qzeros"], bits) + 1, layer.zeros)
    assert packed["g_idx"].tolist() == [0] * 32 + [1] * 32


def test_awq_words_run_along_the_rows_in_their_own_order(script: Any) -> None:
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(1))
    layer = script.rounded(weight, 4, 32, symmetric=False)
    packed = script.pack_awq(layer, 4)
    assert packed["qweight"].shape == (64, 32 // 8)
    first = unpacked(packed["qweight"], 4)[0, :8]
    assert first.tolist() == [int(layer.values[0, i]) for i in (0, 2, 4, 6, 1, 3, 5, 7)]


# What doctor says of versions


def check(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> doctor.Check:
    known = {"torch": "2.13.0", "transformers": "5.23.0", "optimum": "2.3.0", **versions}
    monkeypatch.setattr(doctor, "_version", known.get)
    (found,) = [c for c in doctor._quantization() if c.name == "gptqmodel"]
    return found


@pytest.mark.parametrize(
    ("versions", "state", "message"),
    [
        ({"gptqmodel": "2.2.0"}, "missing", "cannot be imported with transformers 5.23.0"),
        ({"gptqmodel": "7.7.1"}, "missing", "needs torch 2.14.1 or newer, but torch 2.13.0"),
        ({"gptqmodel": "7.5.0", "torch": "2.6.0+cu124"}, "missing", "needs torch 2.8 or newer"),
        ({"gptqmodel": "7.5.0", "optimum": None}, "note", "GPTQ checkpoints also need optimum"),
        ({"gptqmodel": "7.5.0", "optimum": "1.24.0"}, "note", "optimum 2.3, but optimum 1.24.0"),
    ],
)
def test_versions_that_do_not_fit_are_named_with_a_cure(
    versions: dict[str, str | None], state: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = check(monkeypatch, **versions)
    assert found.state == state
    assert message in found.found
    assert found.cure


def test_versions_that_fit_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(monkeypatch, gptqmodel="7.5.0", torch="2.10.0+cu128").state == "ok"
    assert check(monkeypatch, gptqmodel="7.6.2").state == "ok"


def test_without_gptqmodel_the_cure_depends_on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(monkeypatch).cure == install_command("gptq")
    assert "docker build" in str(check(monkeypatch, torch="2.6.0+cu124").cure)


@pytest.mark.parametrize(("version", "notes"), [("2.6.0+cu124", 1), ("2.12.0", 0), ("2.13.0", 0)])
def test_a_torch_older_than_the_engines_attention_is_noted_beside_a_gpu(
    version: str, notes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", {"torch": version, "transformers": "5.23.0"}.get)
    monkeypatch.setattr(doctor, "gpus", lambda: [gpu("A", 79)])
    monkeypatch.setattr(doctor, "_torch_obstacle", lambda: None)
    found = [check for check in doctor._torch() if check.name == "attention over runs"]
    assert [check.state for check in found] == ["note"] * notes
    monkeypatch.setattr(doctor, "gpus", list)
    assert "attention over runs" not in [check.name for check in doctor._torch()]


def gpu(name: str, free: int) -> dict[str, Any]:
    return {"name": name, "memory_bytes": 80 * 2**30, "free_bytes": free * 2**30, "driver": "1"}


def test_several_gpus_are_numbered_and_the_option_for_them_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "gpus", lambda: [gpu("A", 79), gpu("A", 10)])
    checks = list(doctor._gpu())
    assert [c.name for c in checks] == ["GPU 0", "GPU 1", "GPU 1 memory", "GPUs"]
    assert checks[-1].state == "ok"
    assert "--devices 0,1 " in checks[-1].found
    monkeypatch.setattr(doctor, "gpus", lambda: [gpu("A", 79), gpu("B", 79)])
    assert list(doctor._gpu())[-1].state == "note"
    monkeypatch.setattr(doctor, "gpus", lambda: [gpu("A", 79)])
    assert [c.name for c in doctor._gpu()] == ["GPU"]


# Commands that install


def test_the_command_that_installs_fits_how_bench_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "my checkout" / "bench"
    package.mkdir(parents=True)
    monkeypatch.setattr(errors, "__file__", str(package / "errors.py"))
    assert install_command("hf") == "pip install 'docvlm-bench[hf]'"
    (package.parent / "pyproject.toml").touch()
    assert re.fullmatch(r"pip install -e '/.*/my checkout\[hf\]'", install_command("hf"))
    monkeypatch.chdir(package.parent)
    assert install_command("hf") == "pip install -e '.[hf]'"


# Lists of modules that a checkpoint leaves unquantized

LEFT_OUT = (
    *("visual.blocks.0.attn", "visual.blocks.1.attn", "visual.blocks.0.mlp.fc1"),
    *("visual.blocks.1.mlp.fc1", "model.layers.1.mlp", "merger.mlp.2", "lm_head"),
)


def write_bitsandbytes(source: Path, folder: Path, quantization: str) -> Path:
    """A checkpoint that bitsandbytes quantized, but for the modules in ``LEFT_OUT``."""
    import transformers

    skip = [current_name(name.replace("merger", "visual.merger")) for name in LEFT_OUT]
    kind = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    if quantization == "int8":
        kind = {"load_in_8bit": True}
    model = transformers.Qwen2VLForConditionalGeneration.from_pretrained(
        source,
        quantization_config=transformers.BitsAndBytesConfig(**kind, llm_int8_skip_modules=skip),
        dtype=torch.float32,
    )
    model.save_pretrained(folder)
    for path in source.iterdir():
        if path.name not in {"config.json", "model.safetensors"}:
            shutil.copyfile(path, folder / path.name)
    return folder


@pytest.fixture(scope="module")
def bitsandbytes_made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoints of ``write_bitsandbytes`` by quantization."""
    pytest.importorskip("bitsandbytes")
    folder = tmp_path_factory.mktemp("bitsandbytes")
    source = write_tiny_checkpoint(folder / "tiny")
    return {kind: write_bitsandbytes(source, folder / kind, kind) for kind in ("nf4", "int8")}


def edit_quantization(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["quantization_config"].update(changes)
    path.write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    ("quantization", "spelling"),
    [
        ("nf4", list(LEFT_OUT)),
        ("int8", list(LEFT_OUT)),
        ("nf4", [current_name(name.replace("merger", "visual.merger")) for name in LEFT_OUT]),
        ("nf4", ["visual", "(a+)+$"]),
        ("int8", None),
    ],
    ids=["nf4, old names", "int8, old names", "today's names", "wrong names", "none"],
)
def test_single_modules_that_are_left_unquantized_load_and_answer(
    quantization: str,
    spelling: list[str] | None,
    bitsandbytes_made: dict[str, Path],
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(bitsandbytes_made[quantization], tmp_path / "packed")
    edit_quantization(folder, llm_int8_skip_modules=spelling)
    spec = resolve(str(folder))
    assert spec.quantization == quantization
    model = QwenVL(spec)
    model.load()
    assert model._parts is not None
    kinds = {name: type(m).__name__ for name, m in model._parts.loaded.model.named_modules()}
    assert kinds["model.language_model.layers.1.mlp.up_proj"] == "Linear"
    assert kinds["model.visual.merger.mlp.2"] == kinds["lm_head"] == "Linear"
    packed = {"nf4": "Linear4bit", "int8": "Linear8bitLt"}[quantization]
    assert kinds["model.language_model.layers.0.mlp.up_proj"] == packed
    assert kinds["model.visual.blocks.0.mlp.fc2"] == kinds["model.visual.merger.mlp.0"] == packed
    group = make_group(make_document(tmp_path, "page", [(200, 300)]))
    assert [output.error for output in model.generate([group]).outputs] == [None] * 4


def test_what_awq_leaves_unquantized_is_read_from_the_weights(script: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers.quantizers.quantizers_utils import should_convert_module

    source = write_tiny_checkpoint(tmp_path / "tiny")
    plain = load_file(source / "model.safetensors")
    (form,) = (form for form in script.FORMATS if form.method == "awq")
    script.write(form, source, plain, tmp_path)
    path = tmp_path / "awq" / "model.safetensors"
    weights = load_file(path)
    # One module of the language model that stays as it was.
    module = "model.layers.1.mlp.up_proj"
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith(module)}
    save_file({**weights, f"{module}.weight": plain[f"{module}.weight"]}, path)
    settings = {"quant_method": "awq", "modules_to_not_convert": ["visual", module]}
    name_exclusions(settings, tmp_path / "awq")
    skipped = settings["modules_to_not_convert"]
    assert not should_convert_module("model.language_model.layers.1.mlp.up_proj", skipped)
    assert not should_convert_module("model.visual.blocks.0.attn.qkv", skipped)
    assert not should_convert_module("lm_head", skipped)
    assert should_convert_module("model.language_model.layers.1.mlp.gate_proj", skipped)
    assert should_convert_module("model.language_model.layers.0.mlp.up_proj", skipped)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"quant_method": "evil"}, "quantized as evil, which cannot be loaded"),
        ({"quant_method": ["gptq"]}, "quant_method should be a text, but it is a list"),
        ({"quant_method": "gptq", "bits": "evil"}, "bits should be a whole number"),
        ({"quant_method": "gptq", "bits": 5}, "gptq-int5, which cannot be loaded"),
        ({"quant_method": ""}, "does not say how the weights are quantized"),
        ({}, "does not say how the weights are quantized"),
        ([4], "quantization_config should be an object, but it is a list"),
    ],
)
def test_a_quantization_that_is_not_known_is_refused_when_the_run_is_planned(
    settings: Any, reason: str, tmp_path: Path
) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    edit_json(folder / "config.json", quantization_config=settings)
    with pytest.raises(InvalidInput, match=reason) as caught:
        resolve(str(folder))
    assert str(folder) in caught.value.message


def test_weights_that_are_not_packed_as_the_configuration_says_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    settings = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    edit_json(folder / "config.json", quantization_config=settings)
    with pytest.raises(
        InvalidInput, match="says that bitsandbytes quantized the weights, but none"
    ):
        QwenVL(resolve(str(folder))).load()


def test_an_error_without_a_message_says_where_it_was_raised() -> None:
    try:
        raise AssertionError
    except AssertionError as error:
        said = error_line(error)
        assert said.startswith("AssertionError: raised in test_an_error_without_a_message")
        assert "test_quantized.py" in said
        assert "AssertionError" not in failures.reason(error)
