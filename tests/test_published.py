"""Published scores beside a run's: which are found, what is tested, and what is said to differ."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.asking.protocols import apply
from bench.metrics import METRICS
from bench.report import build, make_sections
from bench.report.markdown import markdown
from bench.rundir.listing import find_runs
from bench.runner import RunSettings, execute, plan_run
from bench.schema import ModelSpec
from bench.scoring.evaluation import evaluate
from bench.scoring.published import (
    PublishedRow,
    checkpoint_scores,
    headline_scores,
    published_comparison,
    published_scores,
)
from bench.tasks import load_task
from tests.conftest import MakeTask

HUB_ID = "Qwen/Qwen2-VL-2B-Instruct"
DOCVQA = 'name = "docvqa"\ntitle = "DocVQA, validation"\nmetrics = ["anls", "anls_normalized"]\n'


def rows_of(
    make_task: MakeTask,
    tmp_path: Path,
    right: int,
    *,
    toml: str = DOCVQA,
    protocol: str = "native",
    **spec: Any,
) -> list[PublishedRow]:
    """A run over 40 documents of which the first ``right`` are answered."""
    lines = [
        {"id": str(i), "images": [f"p{i}.png"], "question": "Q?", "answers": ["value"]}
        for i in range(40)
    ]
    folder = make_task(lines, documents=40, name="docvqa", toml=toml)
    answers = {str(i): "value" for i in range(right)}
    model = ModelSpec("mine", "fake", HUB_ID, options={"answers": answers, "default": "no"})
    models, tasks, record = apply(protocol, [replace(model, **spec)], [load_task(folder)])
    plan = plan_run(models, tasks, RunSettings(latency_samples=0, protocol=record))
    return published_comparison(evaluate(execute(plan, tmp_path / "results").run))


def of_split(rows: list[PublishedRow], split: str) -> PublishedRow:
    return next(row for row in rows if row.split == split)


def test_the_headline_is_the_score_that_the_authors_print_first() -> None:
    headlines = headline_scores()
    assert headlines["Qwen/Qwen2-VL-2B-Instruct"]["docvqa"] == "90.1 (test)"
    assert headlines["Qwen/Qwen2-VL-2B-Instruct-GPTQ-Int4"] == {"docvqa": "87.21 (validation)"}
    # The source does not say which split it is.
    assert headlines["Qwen/Qwen2.5-VL-3B-Instruct"]["docvqa"] == "93.9"


@pytest.mark.parametrize("scores", published_scores(), ids=lambda s: f"{s.benchmark}-{s.split}")
def test_every_published_score_has_a_source_and_a_possible_value(scores: Any) -> None:
    assert scores.source
    # A benchmark of whole pages has a metric that is not computed here.
    assert scores.metric in METRICS or scores.benchmark.startswith(("omnidocbench", "olmocr"))
    assert all(0 < value <= scores.scale for value in scores.values.values())


def test_a_published_score_inside_our_interval_is_within(
    make_task: MakeTask, tmp_path: Path
) -> None:
    row = of_split(rows_of(make_task, tmp_path, 35), "validation")
    assert row.published == pytest.approx(0.8834)
    assert row.printed == "88.34"
    assert row.metric == "anls_normalized"
    assert row.verdict == "within"
    assert row.difference == pytest.approx(35 / 40 - 0.8834)


def test_a_published_score_outside_our_interval_is_told(
    make_task: MakeTask, tmp_path: Path
) -> None:
    assert of_split(rows_of(make_task, tmp_path, 10), "validation").verdict == "below"


def test_a_score_of_another_split_is_not_tested(make_task: MakeTask, tmp_path: Path) -> None:
    row = of_split(rows_of(make_task, tmp_path, 10), "test")
    assert row.verdict == "not tested"
    assert "Split: validation here, test there; the questions are other ones." in row.differences


def test_subset_protocol_prompt_and_tokens_are_named(make_task: MakeTask, tmp_path: Path) -> None:
    said = " ".join(of_split(rows_of(make_task, tmp_path, 35), "validation").differences)
    assert "Subset: 40 of 5,349 questions" in said
    assert "Protocol: native here, vlmevalkit there" in said
    assert "Prompt: another instruction" in said
    assert "Answers: up to 64 tokens here, up to 2048 there." in said


def test_under_the_same_protocol_only_its_own_differences_are_named(
    make_task: MakeTask, tmp_path: Path
) -> None:
    rows = rows_of(make_task, tmp_path, 35, protocol="vlmevalkit")
    said = " ".join(of_split(rows, "validation").differences)
    assert "Protocol:" not in said
    assert "VLMEvalKit always uses FlashAttention 2" in said


def test_a_model_with_an_adapter_is_another_model(make_task: MakeTask, tmp_path: Path) -> None:
    assert rows_of(make_task, tmp_path, 35, adapter="mine") == []


def test_a_local_copy_is_known_by_its_folder(make_task: MakeTask, tmp_path: Path) -> None:
    rows = rows_of(make_task, tmp_path, 35, checkpoint="/models/qwen2-vl-2b-instruct/")
    assert of_split(rows, "validation").checkpoint == HUB_ID


def test_an_unknown_model_and_an_unknown_task_have_no_rows(
    make_task: MakeTask, tmp_path: Path
) -> None:
    assert rows_of(make_task, tmp_path, 35, checkpoint="someone/else") == []
    (run,) = find_runs(tmp_path / "results")
    assert "Published and ours" not in markdown(make_sections(build([evaluate(run)])))


def test_a_task_of_another_name_has_no_rows(make_task: MakeTask, tmp_path: Path) -> None:
    assert rows_of(make_task, tmp_path, 35, toml='name = "docvqalike"') == []


def test_without_the_published_variant_the_headline_stands_in(
    make_task: MakeTask, tmp_path: Path
) -> None:
    rows = rows_of(make_task, tmp_path, 35, toml=DOCVQA.replace(', "anls_normalized"', ""))
    row = of_split(rows, "validation")
    assert row.metric == "anls"
    assert "Metric: anls here, anls_normalized there." in row.differences


def test_the_section_shows_scores_verdicts_differences_and_sources(
    make_task: MakeTask, tmp_path: Path
) -> None:
    rows_of(make_task, tmp_path, 35)
    (run,) = find_runs(tmp_path / "results")
    text = markdown(make_sections(build([evaluate(run)]))).partition("## Published and ours")[2]
    assert "0.883 (validation)" in text
    assert "within the noise" in text
    assert "not comparable" in text
    assert "Source: QwenLM/Qwen2-VL README" in text


def test_rows_are_plain_data(make_task: MakeTask, tmp_path: Path) -> None:
    from bench.report.tables import _plain

    rows = rows_of(make_task, tmp_path, 35)
    assert json.loads(json.dumps(rows, default=_plain))[0]["model"] == "mine"


def test_the_scores_of_a_checkpoint_are_found_by_hub_id_and_by_folder() -> None:
    scores = checkpoint_scores(HUB_ID)
    docvqa = [score for score in scores if score.scores.benchmark == "docvqa"]
    assert [(score.printed, score.scores.split) for score in docvqa] == [
        ("90.1", "test"),
        ("88.34", "validation"),
    ]
    assert checkpoint_scores("/models/qwen2-vl-2b-instruct/") == scores
    assert {score.checkpoint for score in scores} == {HUB_ID}


@pytest.mark.parametrize("checkpoint", [None, "", "someone/else"])
def test_a_checkpoint_of_which_nothing_is_published_has_no_scores(checkpoint: str | None) -> None:
    assert checkpoint_scores(checkpoint) == ()
