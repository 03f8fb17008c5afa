"""``bench tune`` on the command line: what it refuses at once, and what a person sees meanwhile."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import cli
from bench.cli.progress import TuneProgress
from bench.errors import EnvironmentProblem, InvalidInput
from bench.models.checkpoints import check_base, weights_digest
from bench.tuning.adapter_folder import begin, conclude
from bench.tuning.training import Ended
from bench.tuning.tune import Tuned
from bench.tuning.validation import Validated


def tune(*arguments: object) -> None:
    CliRunner().invoke(cli, ["tune", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "t"), "the option --model is missing"),
        (("--model", "qwen2-vl-2b"), "the option --task is missing"),
        (("-m", "qwen2-vl-2b", "-t", "t", "--resume", "--fresh"), "--fresh begins a new one"),
        (("-m", "qwen2-vl-2b", "-t", "t", "--resume"), "contains no training to continue"),
        (("-m", "qwen2-vl-2b", "-t", "nowhere"), "no task and no folder is called 'nowhere'"),
        (("-m", "qwen2-vl-2b-int4", "-t", "t", "--quantization", "nf4"), "is already quantized"),
        (("-m", "ocr", "-t", "t"), "only the Qwen-VL family can"),
        (("-m", "qwen2-vl-2b", "-t", "t", "--device", "cuda:1"), "the first GPU that it sees"),
        (("--merge", "qwen2-vl-2b"), "is not an adapter, so there is nothing to merge"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        tune(*arguments, "--out", tmp_path / "out")
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["torch", "transformers", "accelerate", "peft"])
def test_a_missing_package_is_said_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == package else find(name)
    )
    with pytest.raises(EnvironmentProblem, match=f"needs the package {package}") as caught:
        tune("-m", "qwen2-vl-2b", "-t", "t", "--out", tmp_path / "out")
    assert "[hf]" in str(caught.value.hint)


def test_what_is_typed_after_a_stop_does_not_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = Ended(3, 10, None, interrupted=True, stopped_early=False, history=[])
    monkeypatch.setattr(
        "bench.tuning.tune.tune", lambda order, listener: Tuned(order.out, stopped, "anls", ())
    )
    arguments = ["tune", "-m", "qwen2-vl-2b", "-t", "my task", "--fresh", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 130
    again = f"bench tune -m qwen2-vl-2b -t 'my task' --out {tmp_path}"
    assert (
        result.stderr.splitlines()[-1] == f"The training was stopped. To continue it, type: {again}"
    )


def test_progress_elsewhere_than_on_a_terminal_is_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    entry = {"step": 0, "eval_loss": 2.0, "eval_score": 0.25, "eval_merit": 0.25}
    (tmp_path / "history.jsonl").write_text(json.dumps(entry) + "\n")
    with TuneProgress(tmp_path) as progress:
        progress.step(100, 400, None)
        progress.validated(100, Validated(2.0, 0.25), best=True)
        for done in range(101, 401):
            now += 4.0
            progress.step(done, 400, 1.5)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "step 100: validation loss 2.000, score 0.250, the best so far"
    assert lines[1] == "step 101/400, loss 1.500, about 19 min 56 s left"
    assert lines[-1] == "step 400/400, loss 1.500, about 0 s left"
    assert len(lines) == pytest.approx(100, abs=3)
    assert (tmp_path / "curves.svg").is_file()


IDENTITY = {"base": {"digest": "a"}, "lora": {"rank": 8, "modules": ("q_proj",)}, "share": 0.1}


def test_a_record_goes_on_only_with_what_it_began_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    record = begin(out, IDENTITY, {"metric": "anls"})
    conclude(out, record, "interrupted", 2.5)
    again = begin(out, IDENTITY, {"metric": "anls"})
    assert (again["resumptions"], again["seconds"], again["status"]) == (1, 2.5, "running")
    other = IDENTITY | {"lora": {"rank": 9, "modules": ()}, "share": 0.2}
    with pytest.raises(InvalidInput, match=r"differs in lora\.rank, lora\.modules, share"):
        begin(out, other, {})
    conclude(out, again, "finished", 1.0)
    with pytest.raises(InvalidInput, match=r"training has ended \(finished\)"):
        begin(out, IDENTITY, {})
    assert json.loads((out / "tune.json").read_text())["seconds"] == 3.5


def test_a_base_is_known_by_its_weights(tmp_path: Path) -> None:
    def checkpoint(name: str, weights: bytes) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(weights)
        return folder

    base, copy = checkpoint("base", b"weights"), checkpoint("copy", b"weights")
    other = checkpoint("other", b"wEights")
    # As the hub's cache has it: a link from a file that is named by its content.
    (tmp_path / "blobs").mkdir()
    weights = (copy / "model.safetensors").read_bytes()
    blob = tmp_path / "blobs" / hashlib.sha256(weights).hexdigest()
    (copy / "model.safetensors").rename(blob)
    (copy / "model.safetensors").symlink_to(blob)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    check_base(adapter, other, "other")
    record = {"base": {"checkpoint": "org/base", "digest": weights_digest(base)}}
    (adapter / "tune.json").write_text(json.dumps(record))
    check_base(adapter, base, "base")
    check_base(adapter, copy, "copy")
    with pytest.raises(InvalidInput, match=r"trained on org/base .*, not on org/other "):
        check_base(adapter, other, "org/other")
