"""``--sweep``: variants of every model, one for each bound on a page, and their curve in the report."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cli import main
from bench.errors import InvalidInput
from bench.models.catalog import resolve, resolve_all
from bench.report import build, write_report
from bench.report.findings import SweepPoint, SweepView
from bench.report.sweep import answers, cost
from bench.report.views import Pair
from bench.rundir.listing import find_runs
from bench.rundir.store import RunStore
from bench.runner.sweep import Sweep, parse_sweep, swept
from bench.schema import Estimate, ModelSpec
from bench.scoring.evaluation import evaluate
from bench.stats import PairedDifference
from tests.run_fixture import FixtureModel, make_run


def bench(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return int(end.value.code or 0), out, err


def tokens(*bounds: int) -> Sweep:
    return Sweep("visual_tokens", bounds)


def test_values_may_come_in_any_order_and_in_either_unit() -> None:
    tokens = Sweep("visual_tokens", (256, 512, 1024))
    assert parse_sweep("visual_tokens=1024, 256,512") == tokens
    assert parse_sweep("visual-tokens=256,512,1024") == tokens
    assert parse_sweep("max_pixels=401408,200704") == Sweep("max_pixels", (200_704, 401_408))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("visual_tokens", "--sweep visual_tokens: expected NAME=VALUES"),
        ("min_pixels=256", "only visual_tokens and max_pixels can be swept"),
        ("visual_tokens=", "'' is not a number of visual tokens"),
        ("visual_tokens=256,big", "'big' is not a number"),
        ("visual_tokens=3", "'3' is not a number of visual tokens from 4 to 16,384"),
        ("visual_tokens=16385", "'16385' is not a number"),
        ("visual_tokens=2.5", "'2.5' is not a number"),
        ("visual_tokens=256,0256", "named twice"),
        ("visual_tokens=٢٥٦", "is not a number"),
        ("max_pixels=256,512", "'256' is not a number of pixels from 3,136 to 16,777,216"),
    ],
)
def test_invalid_values_are_one_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=r".") as error:
        parse_sweep(text)
    assert message in error.value.message.replace("0256", "256")
    assert "\n" not in error.value.message


def test_a_bound_in_pixels_that_is_meant_in_tokens_is_told_what_to_type() -> None:
    with pytest.raises(InvalidInput) as error:
        parse_sweep("max_pixels=256,512")
    assert error.value.hint == "--sweep visual_tokens=256,512, if you mean visual tokens"


def test_a_row_has_the_same_name_in_either_unit() -> None:
    models = resolve_all(["qwen2-vl-2b", "qwen3-vl-2b"])
    qwen2 = swept(models[:1], parse_sweep("visual_tokens=256,1280"))
    assert qwen2 == swept(models[:1], parse_sweep("max_pixels=200704,1003520"))
    qwen3 = swept(models[1:], parse_sweep("visual_tokens=256"))
    assert qwen3 == swept(models[1:], parse_sweep("max_pixels=262144"))


def test_a_bound_between_two_tokens_keeps_its_pixels() -> None:
    (spec,) = swept([resolve("qwen2-vl-2b")], parse_sweep("max_pixels=201000"))
    assert (spec.name, spec.max_pixels) == ("qwen2-vl-2b@256", 201_000)


def test_a_visual_token_has_the_size_that_the_model_gives_it() -> None:
    specs = swept(resolve_all(["qwen2-vl-2b", "qwen3-vl-2b", "ocr"]), tokens(256, 512))
    assert {spec.name: spec.max_pixels for spec in specs} == {
        "qwen2-vl-2b@256": 256 * 28 * 28,
        "qwen2-vl-2b@512": 512 * 28 * 28,
        "qwen3-vl-2b@256": 256 * 32 * 32,
        "qwen3-vl-2b@512": 512 * 32 * 32,
        "ocr@256": 256 * 28 * 28,
        "ocr@512": 512 * 28 * 28,
    }


@pytest.mark.parametrize(
    ("model", "bound", "message"),
    [
        ("ocr-fast", 256, "already has a bound"),
        ("qwen3-vl-2b", 32, "enlarges every page to"),
        ("who/knows", 256, "the size of a visual token of who/knows is not known"),
    ],
)
def test_what_cannot_be_swept_is_refused(model: str, bound: int, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        swept([resolve(model)], tokens(bound))


def test_a_prompt_for_a_model_holds_for_its_variants() -> None:
    from bench.asking.prompts import _model_rank

    (spec,) = swept([resolve("qwen2-vl-2b-int4")], tokens(256))
    assert _model_rank("qwen2-vl-2b-int4", spec) > _model_rank("qwen2-vl", spec) > 0
    assert _model_rank("qwen2-vl-2b-int8", spec) == -1


def test_a_dry_run_names_the_variants_the_protocol_and_the_prompts(
    capfd: pytest.CaptureFixture[str],
) -> None:
    common = ("run", "-m", "qwen2-vl-2b", "-t", "receipts", "--sweep", "visual_tokens=256,512")
    status, out, _ = bench(capfd, *common, "--dry-run")
    assert status == 0
    assert "qwen2-vl-2b@256" in out
    assert "max. pixels a page  max. visual tokens" in out
    assert "200,704                 256" in out
    assert "protocol  native" in out
    assert "prompts   the tasks' own (72 questions)" in out
    prompt = Path("mine.txt")
    prompt.write_text("Read: {question}")
    _, out, _ = bench(capfd, *common, "--dry-run", "--protocol", "lmms-eval", "--prompts", prompt)
    assert "protocol  lmms-eval (lmms-eval, qwen2_vl)" in out
    assert "mine.txt (72 questions)" in out
    _, out, _ = bench(capfd, *common, "--dry-run", "--json")
    record = json.loads(out)
    bounds = [(model["max_pixels"], model["max_visual_tokens"]) for model in record["models"]]
    assert bounds == [(200_704, 256), (401_408, 512)]
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
    from workshop.tiny_checkpoint import write_tiny_checkpoint

    return write_tiny_checkpoint(tmp_path_factory.mktemp("sweep") / "tiny")


def test_a_sweep_of_a_real_checkpoint(
    tiny: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command: tuple[Any, ...] = (
        *("run", "-m", tiny, "-t", "receipts", "-n", 4, "--max-new-tokens", 4, "--device", "cpu"),
        *("--latency-samples", 2, "--sweep", "visual_tokens=16,64", "--json"),
    )
    status, out, _ = bench(capfd, *command)
    assert status == 0
    (run,) = find_runs(tmp_path / "results")
    counts = {name: visual_tokens(run, name) for name in run.model_names()}
    assert list(counts) == ["tiny@16", "tiny@64"]
    assert max(counts["tiny@16"]) <= 16 < max(counts["tiny@64"]) <= 64
    assert {row["key"] for row in json.loads(out)["rows"]} == {"tiny@16", "tiny@64"}
    # Finished: the same command begins another run, with --resume it finds nothing to do.
    assert bench(capfd, *command, "--resume", run.path)[0] == 0
    assert len(find_runs(tmp_path / "results")) == 1


def visual_tokens(run: RunStore, model: str) -> list[int]:
    return [output.visual_tokens or 0 for output in run.outputs(model, "receipts").values()]


# The curve


TOKENS = (256, 512, 1024)


def swept_run(results: Path, tokens: tuple[int, ...] = TOKENS, **spec: Any) -> RunStore:
    """A pretended run of one model under several bounds, and of one model without."""
    models = [
        *(
            # Pages of more than 512 tokens bring nothing more.
            FixtureModel(f"qwen2-vl-2b@{count}", 0.4 + min(count, 512) / 4096, count / 1000)
            for count in tokens
        ),
        FixtureModel("qwen2-vl-7b", 0.8),
    ]
    made = [
        ModelSpec("qwen2-vl-7b", "qwen_vl", "Qwen/Qwen2-VL-7B-Instruct")
        if model.name == "qwen2-vl-7b"
        else ModelSpec(
            model.name,
            "qwen_vl",
            "Qwen/Qwen2-VL-2B-Instruct",
            max_pixels=int(model.name.split("@")[1]) * 784,
            **spec,
        )
        for model in models
    ]
    record = [{"folder": one.name, "spec": asdict(one)} for one in made]
    return make_run(results, models, record={"models": record}, previews=False)


def test_rows_that_differ_in_their_bound_alone_are_one_curve(tmp_path: Path) -> None:
    view = build([evaluate(swept_run(tmp_path))])
    (sweep,) = view.sweeps
    assert sweep.name == "qwen2-vl-2b"
    assert [point.max_pixels for point in sweep.points] == [count * 784 for count in TOKENS]
    for point in sweep.points:
        row = view.row(point.row)
        assert row.score is not None
        assert (point.score, point.latency) == (
            row.score,
            row.facts.latency and row.facts.latency.p50,
        )
        assert point.visual_tokens is not None
    title, values = cost(view.sweeps) or ("", {})
    assert title == "latency, p50 seconds"
    assert set(values) == {point.row for point in sweep.points}


def test_the_curve_is_drawn_with_its_table(tmp_path: Path) -> None:
    run = swept_run(tmp_path)
    written = {path.suffix: path.read_text() for path in write_report([run], tmp_path / "out")}
    page = written[".html"]
    section = page[page.index('<section id="sweep"') :]
    section = section[: section.index("</section>")]
    assert '<a href="#sweep">Resolution</a>' in page
    # A drawing for wide and one for narrow screens, each with a line above and one below.
    assert section.count('class="curve"') == 4
    assert section.count("</tr>") == 1 + len(TOKENS)
    assert "1,024" in section
    # One model has one colour, whichever its bound.
    assert len(set(re.findall(r'class="mark (m\d)', section))) == 1
    part = written[".md"].partition("## What resolution changes")[2].partition("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| qwen2-vl-2b&#64;")]
    assert [row.split("|")[2].strip() for row in rows] == ["256", "512", "1,024"]
    # Every interval is in the table too.
    assert all("\\[0." in row for row in rows)


def test_one_bound_is_no_curve(tmp_path: Path) -> None:
    view = build([evaluate(swept_run(tmp_path / "a", (256,)))])
    assert view.sweeps == ()
    out = write_report([swept_run(tmp_path / "b", (256,))], tmp_path / "out", ("html", "md"))
    assert all("What resolution changes" not in path.read_text() for path in out)


def test_variants_of_other_settings_are_other_curves(tmp_path: Path) -> None:
    runs = [swept_run(tmp_path / "a"), swept_run(tmp_path / "b", quantization="nf4")]
    view = build([evaluate(run) for run in runs])
    assert sorted(len(sweep.points) for sweep in view.sweeps) == [3, 3]


def sentences(run: RunStore) -> list[str]:
    view = build([evaluate(run)])
    return answers(view, view.sweeps[0])


def test_a_sweep_says_which_bound_suffices_and_what_a_larger_one_takes(tmp_path: Path) -> None:
    first, *rest = sentences(swept_run(tmp_path))
    assert re.fullmatch(r"qwen2-vl-2b: (256|512) visual tokens suffice within the noise\.", first)
    (larger,) = (line for line in rest if line.startswith("1,024 changes"))
    pattern = r"1,024 changes the score by .0\.\d+ \[.*\].* and takes [\d.]+ times as long\."
    assert re.fullmatch(pattern, larger)
    # The pretended backend says the same number of tokens whatever the bound.
    assert "256 and 512 gave the same pages: none is larger than the smaller bound." in rest


def test_the_largest_bound_may_not_be_enough() -> None:
    view = build_view(("m@256", "m@512"), p=0.001)
    assert answers(view, view.sweeps[0]) == [
        "m: 512 visual tokens, the largest bound, scores higher than all smaller ones beyond the noise; a "
        "larger one may score higher still.",
        "256 and 512 gave the same pages: none is larger than the smaller bound.",
    ]


def test_pairs_of_other_models_do_not_hide_what_a_sweep_found() -> None:
    # The pair's own p counts, not the one that was adjusted for every pair of the report.
    view = build_view(("m@256", "m@512"), p=0.001, p_holm=0.5)
    assert "512 visual tokens, the largest bound" in answers(view, view.sweeps[0])[0]


def test_an_interval_without_zero_names_the_adjusted_p_that_leaves_it_in_doubt() -> None:
    view = build_view(("m@256", "m@512", "m@1024"), p=0.03)
    first, second, _third, *_ = answers(view, view.sweeps[0])
    assert first == "m: 256 visual tokens suffice within the noise."
    assert second == (
        "512 changes the score by +0.200 [+0.100, +0.300] "
        "(p = 0.090, adjusted for the comparisons of the sweep)."
    )


def build_view(names: Sequence[str], *, p: float, p_holm: float | None = None) -> Any:
    """As little of a report as ``answers`` reads: bounds of which every larger one is 0.2 better."""
    points = tuple(
        SweepPoint(
            name,
            784 * int(name.split("@")[1]),
            None,
            Estimate(0.5, 0, 1, 9, 9, 0),
            None,
            None,
            None,
        )
        for name in names
    )
    gap = PairedDifference(0.2, 0.1, 0.3, p, 9, 9, differing=9)
    return SimpleNamespace(
        sweeps=(SweepView("m", points),),
        pairs=tuple(
            Pair(larger, smaller, gap, p if p_holm is None else p_holm, 9, 0)
            for smaller, larger in combinations(names, 2)
        ),
        rows=[SimpleNamespace(key=name) for name in names],
        samples=[],
    )
