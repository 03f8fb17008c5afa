"""``benchmarks/gpu.py`` runs to its end wherever it can be run, and says what it could not measure."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.models.architectures import published, read_architecture  # noqa: E402
from tests.tiny_qwen import one_thread  # noqa: E402

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


@pytest.fixture
def sections(gpu: Any) -> Any:
    return importlib.import_module("gpu_sections")


def in_this_process(gpu: Any) -> Any:
    """In the place of ``gpu.child``."""

    def measure(
        options: argparse.Namespace, subject: str, names: Sequence[str], file: Path, left: float
    ) -> None:
        options.results = file
        gpu.measure(options, subject, names)

    return measure


def test_every_section_runs_without_a_gpu(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "child", in_this_process(gpu))
    gpu.main(["--device", "cpu", "--tiny", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    results = {result["section"]: result for result in report["results"]}
    assert set(results) == {*gpu.DEVICE_SECTIONS, *gpu.MODEL_SECTIONS}
    assert {result["error"] for result in results.values()} == {None}
    failed = {name: [r for r in result["rows"] if "error" in r] for name, result in results.items()}
    # A CPU has no such kernels; the rest goes on.
    assert {name for name, rows in failed.items() if rows} == {"kernels"}
    assert len(results["engine"]["rows"]) == 4
    for row in results["agreement"]["rows"]:
        assert row["equal answers"] == row["answers"] == 6
    tables = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert "| tiny | 12 | 2 | runs, steps replayed |" in tables
    assert "| tiny | 30 | 2 | four calls, pages read ahead |" in tables
    assert "No viable backend" in tables


def test_a_process_that_dies_costs_the_section_it_was_in(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies_in_engine(
        options: argparse.Namespace, subject: str, names: Sequence[str], file: Path, left: float
    ) -> str | None:
        lines: list[dict[str, Any]] = []
        for name in names:
            lines.append({"section": name, "row": {"what": "first", "error": "no such kernel"}})
            if name == "engine":
                break
            lines.append({"section": name, "seconds": 1.0, "error": None})
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return "the process ended with code -6" if "engine" in names else None

    monkeypatch.setattr(gpu, "child", dies_in_engine)
    gpu.main(["--device", "cpu", "--tiny", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    errors = {result["section"]: result["error"] for result in report["results"]}
    assert list(errors) == [*gpu.DEVICE_SECTIONS, *gpu.MODEL_SECTIONS]
    assert errors.pop("engine") == "the process ended with code -6"
    assert set(errors.values()) == {None}
    assert [len(result["rows"]) for result in report["results"]] == [1] * len(report["results"])


def test_what_there_is_no_time_for_is_said(gpu: Any, tmp_path: Path) -> None:
    gpu.main(["--device", "cpu", "--tiny", "--minutes", "0", "--out", str(tmp_path)])
    tables = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert tables.count("not run: out of time") == 7


def test_a_device_that_is_not_there_is_said_in_the_report(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "child", in_this_process(gpu))
    with pytest.raises(SystemExit, match="nothing was measured: the model is to run on cuda"):
        gpu.main(["--tiny", "--out", str(tmp_path)])
    assert "sees no GPU" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


def test_a_gpu_that_is_lost_on_the_way_costs_no_report(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_lost(_: str) -> None:
        raise RuntimeError("CUDA error: GPU is lost")

    monkeypatch.setattr(gpu, "supervise", lambda *_: [gpu.Result("device", "rates")])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", is_lost)
    gpu.main(["--tiny", "--out", str(tmp_path)])
    assert (tmp_path / "gpu.json").is_file()


@pytest.mark.parametrize(
    ("name", "tokens", "expected"),
    [
        ("qwen2-vl-2b", 744, 276),
        ("qwen2-vl-2b", 1240, 143),
        ("qwen2-vl-2b", 4819, 17),
        ("qwen2-vl-7b", 744, 127),
        ("qwen2-vl-7b", 1240, 74),
        ("qwen2-vl-7b", 4819, 12),
    ],
)
def test_the_limit_is_the_one_that_was_computed_on_paper(
    name: str, tokens: int, expected: float, sections: Any
) -> None:
    """At 4.16 questions a page, the mean of DocVQA's validation part."""
    shape = published()[name].architecture
    found = sections.limit(shape, tokens, 4.16, 10, sections.PRACTICAL)
    assert found == pytest.approx(expected, rel=0.03)


def test_the_models_have_the_published_shapes(sections: Any) -> None:
    for name in ("qwen2-vl-2b", "qwen2-vl-7b"):
        written = {"model_type": "qwen2_vl"} | sections.MODELS[name]
        assert read_architecture(written, name) == published()[name].architecture


def test_the_largest_models_can_be_made(sections: Any, tmp_path: Path) -> None:
    """Without their memory: the configuration is one that transformers takes."""
    import transformers

    from workshop.tiny_checkpoint import write_tiny_checkpoint

    folder = write_tiny_checkpoint(tmp_path / "tiny")
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for name in ("qwen2-vl-2b", "qwen2-vl-7b"):
        path = folder / "config.json"
        path.write_text(json.dumps(written | sections.MODELS[name]), encoding="utf-8")
        config = transformers.AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            model = transformers.AutoModelForImageTextToText.from_config(config)
        assert model.num_parameters() == published()[name].architecture.parameters()


def test_the_command_runs_as_a_program() -> None:
    import subprocess

    script = [sys.executable, str(BENCHMARKS / "gpu.py"), "--help"]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    assert "--minutes" in done.stdout
