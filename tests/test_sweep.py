"""``--sweep``: variants of every model, one for each bound on a page, and their curve in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.errors import InvalidInput
from bench.models.catalog import resolve, resolve_all
from bench.runner.sweep import parse_sweep, swept
from bench.store import RunStore, find_runs


def bench(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return int(end.value.code or 0), out, err


def test_values_are_visual_tokens_in_any_order() -> None:
    assert parse_sweep("max_pixels=1024, 256,512") == (256, 512, 1024)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_pixels", "only max_pixels can be swept"),
        ("min_pixels=256", "only max_pixels can be swept"),
        ("max_pixels=", "'' is no number of visual tokens"),
        ("max_pixels=256,big", "'big' is no number"),
        ("max_pixels=3", "'3' is no number of visual tokens from 4 to 16,384"),
        ("max_pixels=16385", "'16385' is no number"),
        ("max_pixels=2.5", "'2.5' is no number"),
        ("max_pixels=256,0256", "named twice"),
        ("max_pixels=٢٥٦", "is no number"),
    ],
)
def test_invalid_values_are_one_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=r".") as error:
        parse_sweep(text)
    assert message in error.value.message.replace("0256", "256")
    assert "\n" not in error.value.message


def test_a_visual_token_has_the_size_that_the_model_gives_it() -> None:
    specs = swept(resolve_all(["qwen2-vl-2b", "qwen3-vl-2b", "ocr"]), (256, 512))
    assert {spec.name: spec.max_pixels for spec in specs} == {
        "qwen2-vl-2b@256": 256 * 28 * 28,
        "qwen2-vl-2b@512": 512 * 28 * 28,
        "qwen3-vl-2b@256": 256 * 32 * 32,
        "qwen3-vl-2b@512": 512 * 32 * 32,
        "ocr@256": 256 * 28 * 28,
        "ocr@512": 512 * 28 * 28,
    }


@pytest.mark.parametrize(
    ("model", "tokens", "message"),
    [
        ("ocr-fast", 256, "has a max_pixels of its own"),
        ("qwen3-vl-2b", 32, "below its min_pixels"),
        ("who/knows", 256, "how large a visual token of who/knows is"),
    ],
)
def test_what_cannot_be_swept_is_refused(model: str, tokens: int, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        swept([resolve(model)], (tokens,))


def test_a_prompt_for_a_model_holds_for_its_variants() -> None:
    from bench.prompts import _model_rank

    (spec,) = swept([resolve("qwen2-vl-2b-int4")], (256,))
    assert _model_rank("qwen2-vl-2b-int4", spec) > _model_rank("qwen2-vl", spec) > 0
    assert _model_rank("qwen2-vl-2b-int8", spec) == -1


def test_a_dry_run_names_the_variants_the_protocol_and_the_prompts(
    capfd: pytest.CaptureFixture[str],
) -> None:
    common = ("run", "-m", "qwen2-vl-2b", "-t", "receipts", "--sweep", "max_pixels=256,512")
    status, out, _ = bench(capfd, *common, "--dry-run")
    assert status == 0
    assert "qwen2-vl-2b@256" in out
    assert "protocol  native" in out
    assert "prompts   the tasks' own (72 questions)" in out
    prompt = Path("mine.txt")
    prompt.write_text("Read: {question}")
    _, out, _ = bench(capfd, *common, "--dry-run", "--protocol", "lmms-eval", "--prompts", prompt)
    assert "protocol  lmms-eval (lmms-eval, qwen2_vl)" in out
    assert "mine.txt (72 questions)" in out
    _, out, _ = bench(capfd, *common, "--dry-run", "--json")
    record = json.loads(out)
    assert record["protocol"]["name"] == "native"
    assert {entry["source"] for entry in record["prompts"]} == {"task"}


def test_a_sweep_and_a_table_of_runs_exclude_each_other(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path("user_config.csv").write_text("dataset;model_name\n")
    arguments = ("run", "--config", "user_config.csv", "--sweep", "max_pixels=256")
    status, _, err = bench(capfd, *arguments)
    assert (status, "--sweep and a user_config.csv exclude each other" in err) == (2, True)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    from bench.models.qwen_vl.tiny import write_tiny_checkpoint

    return write_tiny_checkpoint(tmp_path_factory.mktemp("sweep") / "tiny")


def test_a_sweep_of_a_real_checkpoint(
    tiny: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command: tuple[Any, ...] = (
        *("run", "-m", tiny, "-t", "receipts", "-n", 4, "--max-new-tokens", 4, "--device", "cpu"),
        *("--latency-samples", 2, "--sweep", "max_pixels=16,64", "--json"),
    )
    status, out, _ = bench(capfd, *command)
    assert status == 0
    (run,) = find_runs(tmp_path / "results")
    tokens = {name: visual_tokens(run, name) for name in run.model_names()}
    assert list(tokens) == ["tiny@16", "tiny@64"]
    assert max(tokens["tiny@16"]) <= 16 < max(tokens["tiny@64"]) <= 64
    assert {row["key"] for row in json.loads(out)["rows"]} == {"tiny@16", "tiny@64"}
    # Finished: the same command begins another run, with --resume it finds nothing to do.
    assert bench(capfd, *command, "--resume", run.path)[0] == 0
    assert len(find_runs(tmp_path / "results")) == 1


def visual_tokens(run: RunStore, model: str) -> list[int]:
    return [output.visual_tokens or 0 for output in run.outputs(model, "receipts").values()]
