"""``bench tune`` from a folder of documents to an adapter, as a person uses it; and what can go wrong."""

from __future__ import annotations

import json
import math
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.authoring.splitting import split_task
from bench.cli import cli
from bench.errors import InvalidInput, OutOfMemory
from bench.models.catalog import resolve
from bench.tuning.lora import Lora
from bench.tuning.trainer import Diverged, PackedTrainer, Watch
from bench.tuning.training import Schedule, _one_interrupt
from bench.tuning.tune import Order, Tuned, tune
from bench.tuning.validation import Validated
from tests.tiny_qwen import draw_page, one_thread
from workshop.tiny_checkpoint import write_tiny_checkpoint

ASKED = {
    "What is the total?": "17",
    "Кто продавец по этому счёту?": "ООО",
    "A, and when was it issued": "May 5",
}


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Iterator[None]:
    yield from one_thread()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("base") / "tiny", end_share=0.0)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A task of six pages with three questions each, not cut yet."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(6):
        draw_page(folder / f"p{number}.png", 84 + 28 * (number % 2), 84, number)
    rows = [
        {
            "id": f"{document}/{number}",
            "images": [f"p{document}.png"],
            "question": question,
            "answers": [answer],
            "metadata": {"field": f"f{number}"},
        }
        for document in range(6)
        for number, (question, answer) in enumerate(ASKED.items())
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def cut(mine: Path) -> Path:
    split_task(mine, 0.7, 0)
    return mine


class Heard:
    """A listener that remembers, and may do something at a step."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.losses: dict[int, float] = {}
        self.scores: dict[int, Validated] = {}
        self.at_step: dict[int, Any] = {}

    def say(self, text: str) -> None:
        self.said.append(text)

    def step(self, done: int, total: int, loss: float | None) -> None:
        if loss is not None:
            self.losses[done] = loss
            if done in self.at_step:
                self.at_step.pop(done)()

    def validated(self, step: int, found: Validated, *, best: bool) -> None:
        self.scores[step] = found


SCHEDULE = Schedule(learning_rate=1e-2, max_steps=30, batch_tokens=256, validate_every=10)


def order(base: Path, task: Path, out: Path, **changes: Any) -> Order:
    settings: dict[str, Any] = {"lora": Lora(), "schedule": SCHEDULE, "validation_share": 0.3}
    return Order(resolve(str(base)), str(task), out, **(settings | changes))


def run_bench(*arguments: object) -> tuple[int, str]:
    from click.testing import CliRunner

    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def record(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "tune.json").read_text())
    return found


def adapter_weights(out: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(out / "adapter_model.safetensors")
    return found


# The whole way


def test_a_model_learns_its_documents_and_the_comparison_says_so(
    base: Path, cut: Path, tmp_path: Path
) -> None:
    """From a tuned adapter to before and after, on the test part and on a task it was not trained on."""
    out = tmp_path / "adapters" / "mine"
    heard = Heard()
    schedule = SCHEDULE._replace(max_steps=80, validate_every=20)
    tuned = tune(order(base, cut, out, schedule=schedule), heard)
    assert heard.losses[80] < 0.1 * heard.losses[1]
    assert heard.scores[0].score < 0.3
    learnt = _answers(str(out), tmp_path / "mine-train")
    assert sum(a == b for a, b in zip(learnt, [*ASKED.values()] * 4, strict=True)) >= 10
    assert heard.scores[tuned.ended.best_step or 0].score > 0.8
    assert not (out / "checkpoints").exists()
    plan = r"Training on \d+ documents in \d+ rows, 80 steps; it needs about [\d.]+ MiB of memory \(.*\)"
    assert any(re.fullmatch(plan, line) for line in heard.said)
    found = record(out)
    assert found["status"] == "finished"
    assert found["best"]["step"] == tuned.ended.best_step
    assert len((out / "history.jsonl").read_text().splitlines()) == 80 + 5

    other = tmp_path / "other"
    shutil.copytree(tmp_path / "mine-test", other)
    draw_page(other / "p9.png", 100, 90, 99)
    row = {"id": "x", "images": ["p9.png"], "question": "A", "answers": ["zzz"]}
    (other / "samples.jsonl").write_text(json.dumps(row) + "\n")

    models = f"{base},{out}"
    tasks = f"{tmp_path / 'mine-test'},{other}"
    assert (
        run_bench("run", "-m", models, "-t", tasks, "--latency-samples", 0, "--no-report")[0] == 0
    )
    status, text = run_bench("compare", "tiny", "mine")
    assert status == 0
    assert "mine-test: it is the test part of the training task" in text
    assert "other: B was not trained on it" in text
    assert "field=f0" in text
    assert "gained" in text
    data = json.loads(run_bench("compare", "tiny", "mine", "--json")[1])[0]
    rows = {row["name"]: row for row in data["rows"]}
    assert rows["mine-test"]["second"] > rows["mine-test"]["first"] + 0.5
    assert rows["mine-test"]["trained"] == "test"
    assert rows["other"]["trained"] == "none"

    merged = tmp_path / "merged"
    assert run_bench("tune", "--merge", out, "--out", merged)[0] == 0
    assert not list(merged.glob("adapter*"))
    # In the precision that the merged weights are stored in. In another one, only they are rounded to it.
    assert _answers(str(merged), tmp_path / "mine-test", dtype="bf16") == _answers(
        str(out), tmp_path / "mine-test", dtype="bf16"
    )


def test_a_record_says_what_it_takes_to_train_it_again(
    base: Path, cut: Path, tmp_path: Path
) -> None:
    from bench.models.checkpoints import weights_digest
    from bench.tasks import load_task

    out = tmp_path / "out"
    schedule = SCHEDULE._replace(max_steps=1, seed=5)
    tune(order(base, cut, out, schedule=schedule, lora=Lora(rank=3)), Heard())
    found = record(out)
    assert found["base"]["digest"] == weights_digest(base)
    assert found["base"]["checkpoint"] == str(base)
    assert {"dtype", "quantization", "min_pixels", "max_pixels"} <= found["base"].keys()
    train, test = load_task(tmp_path / "mine-train"), load_task(tmp_path / "mine-test")
    validation = found["task"]["validation"]
    assert validation["held_out"]
    assert found["task"]["train"]["documents"] + validation["documents"] == len(train.documents)
    assert len(found["task"]["train"]["pages"]) == found["task"]["train"]["documents"]
    assert found["task"]["tests"][0] == {
        "name": "mine-test",
        "digest": test.digest,
        "documents": len(test.documents),
        "questions": len(test.samples),
    }
    assert found["lora"] == json.loads(json.dumps(Lora(rank=3)._asdict()))
    assert found["schedule"] == schedule._asdict()
    assert found["command"][0] == "bench"
    assert found["environment"]["packages"]["transformers"]
    assert found["trained_parameters"] == sum(t.numel() for t in adapter_weights(out).values())
    again = tmp_path / "again"
    tune(order(base, cut, again, schedule=schedule, lora=Lora(rank=3)), Heard())
    for name, tensor in adapter_weights(out).items():
        assert tensor.equal(adapter_weights(again)[name])


def _answers(model: str, task: Path, dtype: str = "auto") -> list[str]:
    from bench.models import make_model
    from bench.runner.batches import page_groups
    from bench.tasks import load_task

    spec = replace(resolve(model), dtype=dtype)
    backend = make_model(spec)
    backend.load()
    return [o.text for o in backend.generate(page_groups(load_task(task), spec)).outputs]


def test_the_command_line_tunes_and_draws(base: Path, cut: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["tune", "-m", base, "-t", cut, "--out", out, "--max-steps", 2, "--rank", 4]
    status, text = run_bench(*arguments, "--gradient-checkpointing", "--accumulate", 2)
    assert status == 0
    assert f"bench run --models {base},{out} --tasks {cut}-test" in text
    assert "bench compare tiny out" in text
    picture = (out / "curves.svg").read_text()
    assert picture.startswith("<svg xmlns")
    # Two losses of steps, and three validations in each panel.
    assert picture.count("<circle") == 2 + 3 + 3
    assert json.loads((out / "adapter_config.json").read_text())["r"] == 4
    with pytest.raises(InvalidInput, match="training has ended"):
        run_bench(*arguments, "--gradient-checkpointing", "--accumulate", 2)


def test_a_vision_tower_and_a_merger_learn_on_request(
    base: Path, cut: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    lora = Lora(rank=2, vision=True, merger=True, dropout=0.1)
    tune(order(base, cut, out, lora=lora, schedule=SCHEDULE._replace(max_steps=2)), Heard())
    moved = {name for name, t in adapter_weights(out).items() if "lora_B" in name and t.any()}
    for part in (".visual.blocks.", ".visual.merger.", ".language_model."):
        assert any(part in name for name in moved), part


def test_checkpointing_computes_layers_twice_to_the_same_adapter(
    base: Path, cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLAttention

    plain = Qwen2VLAttention.forward
    calls = 0

    def counted(self: Any, *arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += self.training
        return plain(self, *arguments, **keywords)

    monkeypatch.setattr(Qwen2VLAttention, "forward", counted)
    counts, weights = [], []
    for checkpointing in (False, True):
        calls, out = 0, tmp_path / str(checkpointing)
        schedule = SCHEDULE._replace(max_steps=2, patience=0, gradient_checkpointing=checkpointing)
        tune(order(base, cut, out, schedule=schedule), Heard())
        counts.append(calls)
        weights.append(adapter_weights(out))
    assert counts[1] == 2 * counts[0] > 0
    for name, tensor in weights[0].items():
        assert (weights[1][name] - tensor).abs().max() < 1e-6, name


def test_a_base_in_four_bits_is_trained(base: Path, cut: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    out = tmp_path / "out"
    spec = resolve(str(base), quantization="nf4")
    heard = Heard()
    schedule = SCHEDULE._replace(max_steps=12, validate_every=6)
    tune(Order(spec, str(cut), out, Lora(), schedule, validation_share=0.3), heard)
    assert heard.losses[12] < 0.7 * heard.losses[1]
    assert record(out)["loaded"]["quantization"] == "nf4"


def test_bf16_trains_with_an_adapter_in_float32(base: Path, cut: Path, tmp_path: Path) -> None:
    import torch

    out = tmp_path / "out"
    heard = Heard()
    spec = resolve(str(base), dtype="bf16")
    schedule = SCHEDULE._replace(max_steps=12, validate_every=6)
    tune(Order(spec, str(cut), out, Lora(), schedule, validation_share=0.3), heard)
    assert heard.losses[12] < 0.7 * heard.losses[1]
    assert {tensor.dtype for tensor in adapter_weights(out).values()} == {torch.float32}


# Interruption


def test_a_killed_training_goes_on_to_the_same_adapter(
    base: Path, cut: Path, tmp_path: Path
) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    schedule = SCHEDULE._replace(max_steps=8, validate_every=2)
    lora = Lora(dropout=0.1)
    tune(order(base, cut, unbroken, schedule=schedule, lora=lora), Heard())
    script = (
        "import sys, os; from tests.test_tuning import *\n"
        "torch = __import__('torch'); torch.set_num_threads(1)\n"
        "heard = Heard(); heard.at_step[5] = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "schedule = SCHEDULE._replace(max_steps=8, validate_every=2)\n"
        "tune(order(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), schedule=schedule,"
        " lora=Lora(dropout=0.1)), heard)\n"
    )
    root = Path(__file__).resolve().parent.parent
    died = subprocess.run(
        [sys.executable, "-c", script, str(base), str(cut), str(broken)],
        cwd=root,
        capture_output=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    assert record(broken)["status"] == "running"
    heard = Heard()
    tuned = tune(order(base, cut, broken, schedule=schedule, lora=lora), heard)
    assert "The training continues from step 4" in heard.said
    assert sorted(heard.losses) == [5, 6, 7, 8]
    assert tuned.ended.steps == 8
    assert record(broken)["resumptions"] == 1
    expected, found = adapter_weights(unbroken), adapter_weights(broken)
    assert record(broken)["best"] == pytest.approx(record(unbroken)["best"])
    for name, tensor in expected.items():
        assert (found[name] - tensor).abs().max() < 1e-6, name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_becomes_a_request_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    watch = Watch(tmp_path, Heard())
    with _one_interrupt(watch, Heard()):
        signal.raise_signal(number)
        assert watch.asked_to_stop
        assert signal.getsignal(number) is before


def test_ctrl_c_ends_after_the_step_and_resumes(base: Path, cut: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    heard = Heard()
    heard.at_step[3] = lambda: signal.raise_signal(signal.SIGINT)
    tuned = tune(order(base, cut, out), heard)
    assert tuned.ended.interrupted
    assert record(out)["status"] == "interrupted"
    assert max(heard.losses) in {3, 4}
    again = Heard()
    schedule = SCHEDULE._replace(patience=0)
    with pytest.raises(InvalidInput, match=r"which differs in schedule\.patience"):
        tune(order(base, cut, out, schedule=schedule), again)
    tune(order(base, cut, out), again)
    assert max(again.losses) == 30
    assert min(again.losses) == max(heard.losses) + 1


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    from bench.tuning.training import last_checkpoint

    for step, state in ((2, '{"global_step": 2}'), (10, '{"global_st')):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text(state)
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-2"
    assert not (tmp_path / "checkpoints" / "checkpoint-10").exists()


def test_the_attention_of_a_gpu_answers_in_a_validation(
    base: Path, cut: Path, tmp_path: Path
) -> None:
    """The cascade, which every GPU uses, has an attention that transformers cannot look up by its name."""
    schedule = SCHEDULE._replace(max_steps=1, validate_every=1)
    scores = []
    for engine in ("tree", "cascade"):
        heard = Heard()
        model = resolve(str(base), options={"engine": engine})
        tune(replace(order(base, cut, tmp_path / engine, schedule=schedule), model=model), heard)
        scores.append({step: found.score for step, found in heard.scores.items()})
    assert scores[0] == scores[1]
    assert scores[1].keys() == {0, 1}


def test_training_stops_early(base: Path, cut: Path, tmp_path: Path) -> None:
    """With a learning rate that moves nothing, no validation is better than the first."""
    schedule = SCHEDULE._replace(learning_rate=1e-30, validate_every=1, patience=2)
    tuned = tune(order(base, cut, tmp_path / "out", schedule=schedule), Heard())
    assert tuned.ended.stopped_early
    assert tuned.ended.steps == 3
    assert record(tmp_path / "out")["stopped_early"]


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_best(
    base: Path, cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    plain = PackedTrainer.compute_loss

    def broken(self: Any, *arguments: Any, **keywords: Any) -> Any:
        if self.state.global_step == 6:
            for parameter in self.model.parameters():
                parameter.data.fill_(math.nan)
        return plain(self, *arguments, **keywords)

    monkeypatch.setattr(PackedTrainer, "compute_loss", broken)
    schedule = SCHEDULE._replace(validate_every=2)
    with pytest.raises(Diverged, match=r"stopped after step 6.*keeps the adapter of step"):
        tune(order(base, cut, out, schedule=schedule), Heard())
    assert record(out)["status"] == "diverged"
    assert all(tensor.isfinite().all() for tensor in adapter_weights(out).values())
    with pytest.raises(InvalidInput, match=r"training has ended .diverged."):
        tune(order(base, cut, out, schedule=schedule), Heard())


def test_a_huge_learning_rate_ends_in_one_line(base: Path, cut: Path, tmp_path: Path) -> None:
    schedule = SCHEDULE._replace(learning_rate=1e30, warmup=0.0)
    with pytest.raises(Diverged) as caught:
        tune(order(base, cut, tmp_path / "out", schedule=schedule), Heard())
    assert caught.value.exit_code == 4
    assert "\n" not in caught.value.message


# Bad input


def test_a_task_without_a_training_part_is_refused(base: Path, mine: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no training part") as caught:
        tune(order(base, mine, tmp_path / "out"), Heard())
    assert caught.value.hint == f"bench data split {mine}"
    assert not (tmp_path / "out").exists()


def test_leakage_is_refused_with_the_files_named(base: Path, cut: Path, tmp_path: Path) -> None:
    test, train = tmp_path / "mine-test", tmp_path / "mine-train"
    seen = next(train.glob("*.png"))
    with Image.open(seen) as image:
        image.save(test / "scan.tiff")
    with (test / "samples.jsonl").open("a") as stream:
        row = {"id": "x", "images": ["scan.tiff"], "question": "A", "answers": ["b"]}
        stream.write(json.dumps(row) + "\n")
    with pytest.raises(InvalidInput) as caught:
        tune(order(base, cut, tmp_path / "out"), Heard())
    assert seen.name in caught.value.message
    assert "scan.tiff" in caught.value.message


def test_an_adapter_of_another_base_is_refused(base: Path, cut: Path, tmp_path: Path) -> None:
    from bench.models import make_model

    out = tmp_path / "out"
    tune(order(base, cut, out, schedule=SCHEDULE._replace(max_steps=1)), Heard())
    copy = tmp_path / "moved"
    shutil.copytree(base, copy)
    spec = resolve(str(out))
    make_model(spec_with(spec, copy)).load()
    other = write_tiny_checkpoint(tmp_path / "other", seed=1, end_share=0.0)
    with pytest.raises(InvalidInput) as caught:
        make_model(spec_with(spec, other)).load()
    assert str(other) in caught.value.message
    assert str(base) in caught.value.message


def spec_with(spec: Any, checkpoint: Path) -> Any:
    from dataclasses import replace

    return replace(spec, checkpoint=str(checkpoint))


def test_too_little_memory_is_said_before_anything_is_loaded(
    base: Path, cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.tuning.memory.free_bytes", lambda on_gpu: 3 * 2**20)
    with pytest.raises(OutOfMemory, match=r"would hold about [\d.]+ MiB, and 3.0 MiB are free"):
        tune(order(base, cut, tmp_path / "out"), Heard())
    # Nothing has begun: the settings that were named are welcome in the same folder.
    assert not (tmp_path / "out").exists()
    unchecked = order(
        base, cut, tmp_path / "out", check_memory=False, schedule=SCHEDULE._replace(max_steps=1)
    )
    assert isinstance(tune(unchecked, Heard()), Tuned)


def test_memory_that_runs_out_names_what_needs_less(
    base: Path, cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")

    monkeypatch.setattr(PackedTrainer, "compute_loss", full)
    with pytest.raises(OutOfMemory, match="ran out of memory") as caught:
        tune(order(base, cut, tmp_path / "out"), Heard())
    assert "--gradient-checkpointing" in str(caught.value.hint)
    assert record(tmp_path / "out")["status"] == "interrupted"


def test_what_cannot_be_trained_is_refused(base: Path, cut: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InvalidInput, match="only the Qwen-VL family"):
        tune(Order(resolve("ocr"), str(cut), out, Lora(), SCHEDULE), Heard())
    with pytest.raises(InvalidInput, match="fp16 overflows"):
        tune(Order(resolve(str(base), dtype="fp16"), str(cut), out, Lora(), SCHEDULE), Heard())
    with pytest.raises(InvalidInput, match="no layer of the language model is called 'q_porj'"):
        tune(order(base, cut, out, lora=Lora(modules=("q_porj",))), Heard())
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="is not an adapter of bench tune"):
        tune(order(base, cut, full), Heard())
