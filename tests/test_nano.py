"""The model in the box: complete, small, of the architecture that it says, and able to read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from bench.files import read_lines
from bench.models.catalog import catalog, resolve
from bench.models.checkpoints import cached_snapshot, read_checkpoint
from bench.models.footprint import download_size, is_local
from bench.runner import RunSettings, execute, plan_run
from bench.scoring.evaluation import evaluate
from bench.tasks import find_task, load_task
from workshop.nano import checkpoint

FOLDER = cached_snapshot("bundled:qwen2-vl-nano") or Path()


def test_its_settings_are_those_that_training_writes(tmp_path: Path) -> None:
    checkpoint.write_settings(tmp_path)
    for written in tmp_path.iterdir():
        assert (FOLDER / written.name).read_text("utf-8") == written.read_text("utf-8")


def test_it_is_a_small_qwen2_vl_in_half_precision() -> None:
    assert read_checkpoint(FOLDER).backend == "qwen_vl"
    with safe_open(FOLDER / "model.safetensors", "pt") as weights:
        tensors = [weights.get_tensor(name) for name in weights.keys()]  # noqa: SIM118
    assert {str(tensor.dtype) for tensor in tensors} == {"torch.float16"}
    parameters = sum(tensor.numel() for tensor in tensors)
    assert parameters == catalog()["qwen2-vl-nano"].parameters
    assert 5_000_000 < parameters < 12_000_000
    assert (FOLDER / "model.safetensors").stat().st_size < 20 * 2**20


@pytest.mark.parametrize("name", ["qwen2-vl-nano", "qwen2-vl-nano-nf4"])
def test_it_needs_no_download(name: str) -> None:
    assert is_local(resolve(name))
    assert download_size(resolve(name)) == 0


def test_a_run_over_the_bundled_slips_gives_the_score_of_its_card(tmp_path: Path) -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    (stated,) = re.findall(r"^\| `slips`[^|]*\|[^|]*\|[^|]*\| (0\.\d{3}) \|", card, re.MULTILINE)
    task = load_task(find_task("slips"))
    plan = plan_run([resolve("qwen2-vl-nano")], [task], RunSettings(latency_samples=0), name="nano")
    cell = evaluate(execute(plan, tmp_path).run).cells["qwen2-vl-nano", "slips"]
    assert not any(answer.failed for answer in cell.answers)
    # Another processor's arithmetic may turn an answer or two of the 79.
    assert cell.estimates["anls"].value == pytest.approx(float(stated), abs=0.026)


def test_its_documents_tell_the_same_numbers_and_those_of_the_log() -> None:
    root = Path(__file__).parent.parent
    told = (root / "docs" / "nano.md").read_text(encoding="utf-8")
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    stated = re.findall(r"\| (0\.\d{3}) \| (\[0\.\d{3}, 0\.\d{3}\]) \|", card)
    assert len(stated) == 4
    for value, interval in stated:
        assert f"| {value} {interval} |" in told

    if not hasattr(torch.optim, "Muon"):
        pytest.skip("training the nano needs a newer torch than the package does")
    from workshop.nano.train import Settings

    training = root / "workshop" / "nano"
    told = (training / "README.md").read_text(encoding="utf-8")
    log = {line["step"]: line for line in read_lines(training / "training.jsonl")}
    assert max(log) == Settings().steps
    for step in (500, 1500, 3000, 4400):
        (row,) = re.findall(rf"^\| {step:,} \|.*$", told, re.MULTILINE)
        *_, read, answered, _ = (cell.strip() for cell in row.split("|"))
        lines = [line for number, line in log.items() if step - 100 < number <= step]
        for cell, keys in (
            (read, ("text.seen", "parts.seen", "pages.seen")),
            (answered, ("parts.right", "pages.right")),
        ):
            for shown, key in zip(cell.split(", "), keys, strict=True):
                values = [line[key] for line in lines if key in line]
                expected = f"{sum(values) / len(values):.2f}" if values else "–"
                assert shown == expected, (step, key)
