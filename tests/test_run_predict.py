from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import run_predict
from bench.cli import main
from bench.errors import EnvironmentProblem, InvalidInput
from bench.models.catalog import resolve
from bench.models.fake import Fake
from bench.runner.predict import default_model, describe, predict
from bench.schema import ModelSpec

SCRIPT = Path(__file__).resolve().parent.parent / "run_predict.py"
FAKE = ModelSpec("fake", "fake", options={"default": "the answer"})


@pytest.fixture
def page(tmp_path: Path) -> Path:
    Image.new("RGB", (120, 160), "white").save(tmp_path / "page.png")
    return tmp_path / "page.png"


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONUTF8": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_a_prediction_carries_answer_time_and_memory(page: Path) -> None:
    found = predict([page], "What is this?", FAKE)
    assert (found.text, found.pages, found.question) == ("the answer", 1, "What is this?")
    assert found.seconds >= 0
    assert found.memory is not None
    assert found.memory.peak_rss > 0


def test_several_images_are_pages_of_one_document(page: Path) -> None:
    assert predict([page, page], "What is this?", FAKE).pages == 2


def test_what_a_prediction_took_can_be_printed(page: Path) -> None:
    text = describe(predict([page], "What is this?", FAKE))
    assert text.startswith("Time: ")
    assert "in the process (no GPU was used)" in text
    assert "first token" not in text


def test_how_sure_the_model_was_and_its_first_token_can_be_printed(page: Path) -> None:
    found = predict([page], "What is this?", FAKE)
    output = replace(found.output, confidence=0.912, min_confidence=0.4)
    text = describe(replace(found, output=output, first_token_seconds=0.25))
    assert "first token after 0.250 s" in text
    assert "Confidence: 0.91, least sure token 0.40" in text


def test_the_memory_of_this_machine_is_not_shown_for_a_model_on_another(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runner.predict.measures_locally", lambda spec: False)
    prediction = predict([page], "What is this?", FAKE)
    assert prediction.memory is None
    assert "emory" not in describe(prediction)


def test_a_question_must_say_something(page: Path) -> None:
    with pytest.raises(InvalidInput, match="question is empty"):
        predict([page], " \n", FAKE)


def test_a_missing_page_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.png"):
        predict([tmp_path / "gone.png"], "What is this?", FAKE)


def test_an_answer_that_failed_is_an_error(page: Path) -> None:
    with pytest.raises(InvalidInput, match="gave no answer"):
        predict([page], "What is this?", ModelSpec("fake", "fake", options={"fail": ["question"]}))


def test_a_model_that_does_not_load_is_an_environment_problem(page: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be downloaded"):
        predict([page], "What is this?", resolve("qwen2-vl-2b"))


def test_the_larger_model_is_asked_only_where_a_gpu_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for free, name in (
        (80 * 2**30, "qwen2-vl-7b"),
        (8 * 2**30, "qwen2-vl-2b"),
        (None, "qwen2-vl-2b"),
    ):
        monkeypatch.setattr("bench.runner.predict.free_gpu_memory", lambda _, free=free: free)
        assert default_model() == name


def test_the_default_model_is_chosen_by_the_gpu_that_will_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A driver may see GPUs that torch does not, or in another order."""
    torch = pytest.importorskip("torch")
    assert default_model() == "qwen2-vl-2b", "torch sees no GPU here"
    free = [8 * 2**30, 80 * 2**30]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (free[number], 80 * 2**30))
    devices = {
        "auto": "2b",
        "cuda": "2b",
        "cuda:0": "2b",
        "cuda:1": "7b",
        "cuda:2": "2b",
        "cpu": "2b",
    }
    assert {device: default_model(device)[-2:] for device in devices} == devices
    # No names of devices: that is said where the model is resolved.
    assert {default_model(name)[-2:] for name in ("gpu", "cuda:-1", "cuda:99999999999")} == {"2b"}

    def is_lost(_: int) -> None:
        raise RuntimeError("CUDA error: GPU is lost")

    monkeypatch.setattr(torch.cuda, "mem_get_info", is_lost)
    assert default_model("cuda:1") == "qwen2-vl-2b"


def test_a_lost_gpu_is_one_line_with_what_to_type(
    page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (page.parent / "bench.toml").write_text(
        '[models.sick]\nmodel = "fake"\noptions = { lose = ["question"] }\n', encoding="utf-8"
    )
    monkeypatch.chdir(page.parent)
    asked = ["--model", "sick", "--image", str(page), "--question", "What?"]
    monkeypatch.setattr(sys, "argv", ["run_predict.py", *asked])
    assert run_predict.main() == 3
    of_the_script = capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(page), "-q", "What?", "-m", "sick"])
    assert ended.value.code == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert (
        error
        == "error: the GPU cannot be used: CUDA error: an illegal memory access was encountered"
    )
    assert "bench doctor" in hint
    assert error in of_the_script


def test_memory_that_runs_out_while_a_model_is_loaded_is_one_line(
    page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(_: Any) -> None:
        raise RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`")

    monkeypatch.setattr(Fake, "load", is_full)
    monkeypatch.setattr(sys, "argv", ["run_predict.py", "--model", "fake", "--image", str(page)])
    assert run_predict.main() == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: memory ran out: CUDA error: out of memory"
    assert "quantized" in hint


def test_the_script_answers_from_a_checkpoint_folder(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from workshop.tiny_checkpoint import write_tiny_checkpoint

    folder = write_tiny_checkpoint(tmp_path / "tiny")
    done = run(
        *("--model", str(folder), "--image", str(page), "--max-new-tokens", "5"), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Question: Опиши документ." in done.stdout
    for word in ("Answer: ", "Time: ", "Load: ", "Tokens: ", "Memory, peak: "):
        assert word in done.stdout


def test_the_script_without_weights_says_the_way_out_in_a_line(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    # A port that nothing listens on stands for a machine without a network.
    done = run(
        "--image", str(page), cwd=tmp_path, HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert done.returncode == 3
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: the weights of Qwen/Qwen2-VL-")
    assert hint.startswith("try: ")
    assert "ocr" in hint


def test_the_script_runs_from_any_folder_without_being_installed(tmp_path: Path) -> None:
    done = run("--model", "qwen2-vl-7", "--image", "x.png", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: there is no model 'qwen2-vl-7'",
        "try: did you mean qwen2-vl-7b or qwen2-vl-72b or qwen2.5-vl-7b?",
    ]


def test_a_row_of_bench_toml_can_be_asked(page: Path, tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(
        '[models.script]\nmodel = "fake"\noptions = { default = "\\u001b[31mred" }\n',
        encoding="utf-8",
    )
    done = run("--model", "script", "--image", str(page), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert r"Answer: \x1b[31mred" in done.stdout
