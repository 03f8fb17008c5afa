"""``bench plan --models``: what fits, predicted without a GPU, weights or torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.errors import InvalidInput
from bench.models.architectures import read_folder
from bench.models.catalog import resolve
from bench.models.qwen_vl.fit import CUDA_CONTEXT_BYTES, stored_weight_bytes
from bench.runner.forecast import forecast, stand_in
from bench.schema import Generation, PageGroup
from workshop.tiny_checkpoint import write_tiny_checkpoint

GIB = 2**30


def pages(width: int, height: int, documents: int = 64) -> list[PageGroup]:
    return stand_in("t", width, height, "What is the total?", Generation(32), documents)


def plan(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["plan", *map(str, arguments)])
    out, err = capfd.readouterr()
    return int(end.value.code or 0), out, err


def planned(capfd: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    status, out, err = plan(capfd, *arguments, "--json")
    assert (status, err) == (0, "")
    found: list[dict[str, Any]] = json.loads(out)["fit"]
    return found


def test_what_fits_depends_on_the_memory(capfd: pytest.CaptureFixture[str]) -> None:
    models = "qwen2-vl-2b,qwen2-vl-7b,qwen2-vl-7b-nf4,qwen2-vl-72b"
    common = ("--models", models, "--tasks", "docvqa", "--page-size", "1700x2200")
    fits = {
        gib: [one["fits"] for one in planned(capfd, *common, "--memory", gib)]
        for gib in (8, 24, 192)
    }
    assert fits == {
        8: [True, False, True, False],
        24: [True, True, True, False],
        192: [True, True, True, True],
    }


def test_the_peak_is_its_parts(capfd: pytest.CaptureFixture[str]) -> None:
    (one,) = planned(
        capfd, *("--models", "qwen2-vl-2b", "--tasks", "docvqa", "--memory", 24),
        *("--page-size", "1700x2200", "--max-pixels", 1280 * 784),
    )  # fmt: skip
    stages = one["stages"]
    fullest = max(
        stages["vision"],
        stages["cache"] + max(stages["prefix"], stages["questions"], stages["logits"]),
    )
    assert one["peak_bytes"] == (
        one["context_bytes"] + one["weight_bytes"] + stages["features"] + fullest
    )
    assert one["weight_bytes"] == 4_417_971_200
    assert one["column_bytes"] == 28_672
    assert one["largest_page_tokens"] == 1240
    assert (one["documents"], one["pages"], one["batch_size"]) == (64, 64, 64)


@pytest.mark.parametrize("name", ["qwen2-vl-7b-nf4", "qwen3-vl-4b"])
def test_the_largest_max_pixels_fits_and_a_token_more_does_not(name: str) -> None:
    spec, groups = resolve(name), pages(4000, 5600, documents=2)
    memory = 10 * GIB
    largest = forecast(spec, groups, memory=memory, batch_size=1).largest_max_pixels
    assert largest is not None
    area = 1024 if name.startswith("qwen3") else 784
    assert largest % area == 0
    at = forecast(replace(spec, max_pixels=largest), groups, memory=memory, batch_size=1)
    above = replace(spec, max_pixels=largest + area)
    assert at.fits
    assert not forecast(above, groups, memory=memory, batch_size=1).fits


def test_less_memory_means_fewer_documents_and_fewer_questions_a_call() -> None:
    groups = pages(1700, 2200)

    def at(gib: float, **options: int) -> tuple[int, int]:
        spec = replace(resolve("qwen2-vl-2b"), options=options)
        found = forecast(spec, groups, memory=int(gib * GIB), batch_size=64)
        assert found.fits
        return found.batch_size, found.documents

    # Half of what is free is for keys and values, and decides how many documents are in flight.
    assert [at(gib)[0] for gib in (24, 8, 5.7)] == [64, 64, 64]
    documents = [at(gib)[1] for gib in (24, 8, 5.7)]
    assert documents == sorted(set(documents), reverse=True)
    # Where a person says that it is more than there is, batches are halved as the runner would.
    assert at(8, cache_bytes=32 * GIB)[0] < 64


def test_a_local_checkpoint_is_planned_from_its_own_files(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", "qwen3_vl")
    groups = pages(900, 1200, documents=3)
    found = forecast(resolve(str(folder)), groups, memory=GIB, batch_size=64)
    shape = read_folder(folder).architecture
    assert found.weight_bytes == stored_weight_bytes(folder, shape, None, 2)
    assert found.max_pixels == found.largest_max_pixels == 65_536
    # Of the 64 visual tokens of 32 x 32 that the bound allows, 6 x 9 have the page's shape.
    assert found.largest_page_tokens == 54
    assert found.peak_bytes > CUDA_CONTEXT_BYTES + found.weight_bytes


def test_own_documents_are_measured_by_their_pages(
    capfd: pytest.CaptureFixture[str],
) -> None:
    common = ("--models", "qwen2-vl-2b", "--tasks", "receipts", "--memory", 24)
    (own,) = planned(capfd, *common)
    (small,) = planned(capfd, *common, "--page-size", "280x280")
    assert small["largest_page_tokens"] == 100
    assert own["largest_page_tokens"] > 100
    assert own["peak_bytes"] > small["peak_bytes"]


def test_both_questions_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = plan(
        capfd, "-m", "qwen2-vl-2b", "-t", "receipts", "--memory", 8, "--difference", 0.1
    )
    assert status == 0
    assert "predicted peak" in out
    assert "documents needed" in out
    _, fit_only, _ = plan(capfd, "-m", "qwen2-vl-2b", "-t", "receipts", "--memory", 8)
    assert "documents needed" not in fit_only


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "qwen2-vl-2b", "-t", "docvqa", "--memory", 8], "the size of its pages is not known"),
        (["-m", "ocr", "-t", "receipts", "--memory", 8], "has no weights"),
        (["-m", "who/knows", "-t", "receipts", "--memory", 8], "layers of who/knows are not known"),
        (["-m", "qwen2-vl-2b", "-t", "receipts", "--memory", 0], "above 0 and at most 10000, got '0'"),
        (["-m", "qwen2-vl-2b", "-t", "docvqa", "--page-size", "big"], "expected pixels as 1700x2200"),
        (["-m", "qwen2-vl-2b", "-t", "docvqa", "--page-size", "0x9"], "expected pixels as 1700x2200"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    capfd: pytest.CaptureFixture[str], arguments: list[object], message: str
) -> None:
    status, out, err = plan(capfd, *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) <= 2


def test_without_a_gpu_the_memory_must_be_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.measure.gpus", list)
    status, _, err = plan(capfd, "-m", "qwen2-vl-2b", "-t", "receipts")
    assert (status, "how much memory to plan for" in err) == (2, True)


def test_a_model_without_a_checkpoint_cannot_be_planned() -> None:
    with pytest.raises(InvalidInput, match="no weights"):
        forecast(resolve("fake"), pages(10, 10), memory=GIB, batch_size=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"options": {"device_map": "auto"}}, "spread over several GPUs"),
        ({"options": {"reference": True}}, "plain generate"),
        ({"options": {"reuse": False}}, "encodes a page for every question"),
        ({"options": {"engine": "padded"}}, "padded rows"),
        ({"attention": "eager"}, "padded rows"),
    ],
)
def test_what_the_formula_does_not_describe_is_refused_with_the_weights(
    settings: dict[str, Any], message: str
) -> None:
    spec = resolve("qwen2-vl-72b", **settings)
    with pytest.raises(InvalidInput, match=rf"{message}.*weights alone take 136\.\d GiB"):
        forecast(spec, pages(10, 10), memory=GIB, batch_size=1)


def test_planning_loads_no_torch() -> None:
    script = (
        "import sys; from bench.cli import cli;"
        "cli.main(['plan', '-m', 'qwen2-vl-7b', '-t', 'docvqa', '--memory', '24', '--page-size',"
        " '1700x2200'], standalone_mode=False);"
        "print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"
