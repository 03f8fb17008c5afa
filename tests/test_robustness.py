"""``--perturb``: conditions, what a run records of them, and what the report says about the losses."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bench.authoring.contact_sheet import write_perturbed_pages
from bench.cli import main
from bench.errors import InvalidInput
from bench.gate.baseline import baseline_of
from bench.gate.comparable import obstacles
from bench.report import build, write_report
from bench.report.findings import ConditionChange, Robustness
from bench.report.show import show_sample
from bench.report.views import ReportView
from bench.rundir.store import RunStore
from bench.runner import RunPlan, RunSettings, execute, plan_run
from bench.runner.merge import merge
from bench.runner.perturb import conditions, perturbed_task, with_perturbed
from bench.runner.shards import Part
from bench.runner.spec import differences
from bench.schema import Document, ModelSpec, Output, Perturbation, Task
from bench.scoring.comparison import Side
from bench.scoring.evaluation import evaluate
from bench.scoring.frames import answers
from bench.tasks.guard import document_text, text_layer
from bench.tasks.loading import load_task
from bench.tasks.pages import open_page, read_pages
from tests.run_fixture import FixtureModel, make_run, make_tasks

TASK = make_tasks(documents=30, questions=4, languages=("en",))[0]
STRONG, WEAK = FixtureModel("strong", skill=1.0), FixtureModel("weak", skill=1.0)


# What a person may write


def test_a_kind_means_all_severities_and_all_means_the_kinds() -> None:
    assert [each.label for each in conditions(["blur", "scan:2", "fax:1-2"], 0)] == [
        *("blur-1", "blur-2", "blur-3", "scan-2", "fax-1", "fax-2")
    ]
    everything = conditions(["all"], 4)
    assert len(everything) == 24
    assert {each.seed for each in everything} == {4}
    assert {each.severity for each in conditions(["all:3"], 0)} == {3}


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (["blurr"], "no perturbation is called 'blurr'", "did you mean blur?"),
        (["Scan"], "no perturbation is called 'Scan'", "did you mean scan?"),
        ([":2"], "no perturbation is called ''", None),
        (["blur:0"], "expected a severity from 1 to 3", None),
        (["blur:4"], "got '4'", None),
        (["blur:3-1"], "got '3-1'", None),
        (["blur:1-"], "got '1-'", None),
        (["blur:"], "got ''", None),
        (["blur:٢"], "expected a severity", None),
        (["blur:" + "9" * 5000], "expected a severity", None),
        (["blur\x1b[31m"], "no perturbation is called", None),
        (["all", "blur:2"], "names blur at severity 2 twice", "name every condition once"),
    ],
)
def test_what_is_no_condition_is_refused_in_one_line(
    names: list[str], message: str, hint: str | None
) -> None:
    with pytest.raises(InvalidInput) as error:
        conditions(names, 0)
    assert message in error.value.message
    assert error.value.message.isprintable()
    assert len(error.value.message) < 250
    assert hint is None or error.value.hint == hint


def test_a_task_that_has_the_name_of_a_condition_is_refused() -> None:
    taken = replace(TASK, name=f"{TASK.name}@blur-1")
    plan = RunPlan("run", (ModelSpec("fake", "fake"),), (TASK, taken), RunSettings())
    with pytest.raises(InvalidInput, match="two tasks are called"):
        with_perturbed(plan, conditions(["blur:1"], 0))


# What a run is


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of six small pages with one question each."""
    home = tmp_path_factory.mktemp("pages") / "mine"
    home.mkdir()
    lines = []
    for number in range(6):
        name = f"d{number}.png"
        Image.new("RGB", (60 + number, 40), "white").save(home / name)
        lines.append({"id": f"q{number}", "images": [name], "question": "?", "answers": ["yes"]})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (home / "samples.jsonl").write_text(text, encoding="utf-8")
    return home


def planned(folder: Path, names: list[str], seed: int = 0, part: Part | None = None) -> RunPlan:
    spec = ModelSpec("fake", "fake", options={"default": "yes", "fail": ["q5"]})
    settings = RunSettings(latency_samples=50, warmup=False, batch_size=2)
    plan = plan_run([spec], [load_task(folder)], settings, part=part or Part())
    return with_perturbed(plan, conditions(names, seed)) if names else plan


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    plan = planned(folder, ["blur:2", "crop:1"], seed=3)
    return execute(plan, tmp_path_factory.mktemp("whole")).run


def test_every_condition_is_a_task_with_the_same_questions(folder: Path) -> None:
    plan = planned(folder, ["blur:2", "scan:1-2"])
    assert [task.name for task in plan.tasks] == [
        *("mine", "mine@blur-2", "mine@scan-1", "mine@scan-2")
    ]
    clean = plan.tasks[0]
    for task in plan.tasks[1:]:
        assert task.samples == clean.samples
        assert (task.clean_task, task.digest) != ("mine", clean.digest)
        assert task.documents.keys() == clean.documents.keys()
        for document, page in ((d, p) for d in task.documents.values() for p in d.pages):
            original = clean.documents[document.id].pages[0]
            assert replace(page, perturbation=None) == original
            assert page.source_key == original.key != page.key


def test_kind_severity_and_seed_are_part_of_the_identity(folder: Path) -> None:
    plain, one, other = (
        planned(folder, names, seed).identity()
        for names, seed in (([], 0), (["blur:1"], 0), (["blur:1"], 7))
    )
    assert "perturb" not in json.dumps(plain)
    assert differences(plain, one) == ["tasks: mine → mine, mine@blur-1"]
    assert "tasks.1.perturbation.seed: 0 → 7" in differences(one, other)


def test_a_run_records_what_was_asked_of_what(finished: RunStore, folder: Path) -> None:
    record = finished.task_record("mine@blur-2")
    assert record["perturbation"] == {"kind": "blur", "severity": 2, "seed": 3}
    assert (record["clean_task"], finished.task_record("mine").get("perturbation")) == (
        "mine",
        None,
    )
    asked = planned(folder, ["blur:2", "crop:1"], seed=3).tasks[1]
    assert finished.load_task("mine@blur-2").documents == asked.documents
    assert finished.load_task("mine@blur-2").perturbation == asked.perturbation
    # The lines of clean pages are those of a run of an earlier version.
    assert "perturbation" not in (finished.path / "mine/samples.jsonl").read_text("utf-8")
    assert len(finished.outputs("fake", "mine@crop-1")) == 6


def test_latency_is_that_of_clean_pages(finished: RunStore) -> None:
    assert len(finished.latencies("fake", "mine")) == 6
    assert finished.latencies("fake", "mine@blur-2") == []


def test_the_same_command_goes_on_and_another_seed_begins_anew(
    finished: RunStore, folder: Path
) -> None:
    results = finished.path.parent
    same = execute(planned(folder, ["blur:2", "crop:1"], seed=3), results, retry_failed=True)
    assert same.run.path == finished.path
    with pytest.raises(InvalidInput, match=r"perturbation\.seed: 3 → 4"):
        execute(planned(folder, ["blur:2", "crop:1"], seed=4), results, resume=finished.path)


def test_parts_of_a_perturbed_run_are_merged(folder: Path, tmp_path: Path) -> None:
    parts = [
        execute(planned(folder, ["blur:2"], part=Part(number, 2)), tmp_path).run
        for number in (1, 2)
    ]
    whole = merge(parts, tmp_path)
    assert whole.task_record("mine@blur-2")["perturbation"]["kind"] == "blur"
    assert len(whole.outputs("fake", "mine@blur-2")) == 6
    assert evaluate(whole).perturbed.tasks.keys() == {"mine@blur-2"}


@pytest.mark.parametrize(
    "damage", [{"kind": "../../etc", "severity": 1, "seed": 0}, {"kind": "blur"}, "blur-1", 3]
)
def test_a_damaged_record_of_a_perturbation_is_one_line(
    finished: RunStore, tmp_path: Path, damage: object
) -> None:
    record = json.loads((finished.path / "run.json").read_text("utf-8"))
    record["tasks"][1]["perturbation"] = damage
    (tmp_path / "run.json").write_text(json.dumps(record), "utf-8")
    with pytest.raises(InvalidInput, match=r"run.json is damaged: .* perturbation") as error:
        RunStore.open(tmp_path)
    assert "\n" not in error.value.message


def test_a_text_layer_does_not_leak_into_a_perturbed_page() -> None:
    pages = read_pages(Path(__file__).parent.parent / "example_docs/contract-ru.pdf")[:1]
    task = replace(TASK, documents={"c": replace(TASK.documents["en-00"], id="c", pages=pages)})
    (document,) = perturbed_task(task, Perturbation("fax", 2, 0)).documents.values()
    (page,) = document.pages
    assert text_layer(pages[0])
    assert text_layer(page) is None
    # What is written on the page is still known: it tells what an answer has not from there.
    assert document_text(document)
    assert open_page(page).size == (page.width, page.height)
    assert open_page(page).getextrema() == ((0, 255),) * 3


# What the report says


def asked_of(seed: int = 0) -> list[Task]:
    chosen = conditions(["blur:1-2", "scan:3"], seed)
    return [TASK, *(perturbed_task(TASK, condition) for condition in chosen)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """Two perfect models. One loses 24 of 30 totals at blur 2; both lose a third of all at scan 3."""
    tasks = asked_of()
    run = make_run(tmp_path_factory.mktemp("made"), [STRONG, WEAK], tasks, previews=False)
    ids = [sample.id for sample in TASK.samples]
    totals = [s.id for s in TASK.samples if s.metadata["field"] == "total"]
    wrong = {("weak", 2): totals[:24], ("weak", 3): ids[::3], ("strong", 3): ids[::3]}
    for (model, number), lost in wrong.items():
        outputs = [Output(sample_id, "nonsense", "stop") for sample_id in lost]
        run.append_outputs(model, tasks[number].name, outputs)
    return run


@pytest.fixture(scope="module")
def view(run: RunStore) -> ReportView:
    return build([evaluate(run)])


def robustness_of(view: ReportView) -> Robustness:
    assert view.perturbed.robustness is not None
    return view.perturbed.robustness


def change_of(view: ReportView, row: str, kind: str, severity: int) -> ConditionChange:
    return next(
        change
        for change in robustness_of(view).changes
        if (change.row, change.kind, change.severity) == (row, kind, severity)
    )


def test_scores_and_ranks_are_those_of_clean_pages(run: RunStore, view: ReportView) -> None:
    evaluation = evaluate(run)
    assert {model: score.value for model, score in evaluation.overall.items()} == {
        "strong": 1.0,
        "weak": 1.0,
    }
    assert all(e.value == 1.0 for by in evaluation.slices["field"].values() for e in by.values())
    assert [row.rank for row in view.rows] == [1, 1]
    assert [task.key for task in view.tasks] == [TASK.name]
    assert view.load.questions == len(view.samples) == len(TASK.samples)
    assert len(view.all_samples) == 4 * len(TASK.samples)


def test_a_change_is_paired_by_question_and_clustered_by_document(view: ReportView) -> None:
    change = change_of(view, "weak", "blur", 2)
    assert change.change.difference == pytest.approx(-24 / 120)
    assert (change.clean, change.perturbed) == (pytest.approx(1.0), pytest.approx(96 / 120))
    assert (change.change.n, change.change.clusters) == (120, 30)
    assert change.is_loss
    assert change_of(view, "weak", "blur", 1).change.difference == 0
    assert not change_of(view, "weak", "blur", 1).is_loss
    assert not change_of(view, "strong", "blur", 2).is_loss


def test_the_field_that_breaks_is_named_with_its_severity(view: ReportView) -> None:
    breaks = {
        (each.row, each.field, each.kind): each.severity for each in robustness_of(view).fields
    }
    assert breaks["weak", "total", "blur"] == 2
    assert breaks["weak", "number", "blur"] is None
    assert breaks["strong", "total", "blur"] is None
    assert breaks["strong", "total", "scan"] == 3


def test_the_model_that_is_hit_hardest_is_told_only_beyond_the_noise(view: ReportView) -> None:
    first, second = robustness_of(view).means
    assert (first.row, second.row) == ("weak", "strong")
    # Under the three conditions, 0, 24 and 40 of 120 questions are lost, and 0, 0 and 40.
    assert first.change.difference == pytest.approx(-64 / 360)
    assert second.change.difference == pytest.approx(-40 / 360)
    assert second.behind is not None
    assert second.behind.difference == pytest.approx(-24 / 360)
    assert second.p_holm is not None
    assert second.p_holm < 0.05


def test_every_output_has_the_section(run: RunStore, tmp_path: Path) -> None:
    write_report([run], tmp_path, ["html", "md", "csv", "json"])
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "How robust" in page
    assert "perturbed digitally" in page
    assert f"{TASK.name}@blur-2" in page
    markdown = (tmp_path / "report.md").read_text("utf-8")
    assert "weak is hit harder than strong beyond the noise" in markdown
    assert "| total |" in markdown.replace("\\", "")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "samples.csv").read_text("utf-8-sig"))))
    kinds = {(row["task"], row["clean_task"], row["perturbation"], row["severity"]) for row in rows}
    assert (f"{TASK.name}@blur-2", TASK.name, "blur", "2") in kinds
    assert (TASK.name, "", "", "") in kinds
    table = (tmp_path / "tables/robustness-conditions.csv").read_text("utf-8-sig")
    assert len(table.splitlines()) == 1 + 6
    data = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert len(data["robustness"]["changes"]) == 6


def test_a_report_of_clean_pages_does_not_mention_perturbations(tmp_path: Path) -> None:
    run = make_run(tmp_path, [STRONG], [TASK], previews=False)
    assert build([evaluate(run)]).perturbed.robustness is None
    write_report([run], tmp_path / "out", ["md", "csv"])
    assert "How robust" not in (tmp_path / "out/report.md").read_text("utf-8")
    assert "perturbation" not in (tmp_path / "out/samples.csv").read_text("utf-8-sig")


def test_frames_name_the_condition_of_each_answer(run: RunStore) -> None:
    frame = answers(run.path)
    assert set(frame.perturbation.dropna()) == {"blur", "scan"}
    assert frame.document.nunique() == 30
    means = frame[frame.model == "weak"].groupby(["perturbation", "severity"]).anls.mean()
    assert means["blur", 2] == pytest.approx(0.8)


def test_a_question_is_shown_on_the_clean_page_unless_a_condition_is_named(run: RunStore) -> None:
    total = next(s.id for s in TASK.samples if s.metadata["field"] == "total")
    assert "✓ weak" in show_sample(evaluate(run), total)
    assert "✗ weak" in show_sample(evaluate(run), f"{TASK.name}@blur-2/{total}")


def test_a_gate_names_a_perturbation_that_differs(run: RunStore, tmp_path: Path) -> None:
    other = make_run(tmp_path, [STRONG], asked_of(seed=9), previews=False)
    sides = [Side(evaluate(each), "strong") for each in (run, other)]
    before, after = (baseline_of([side], []) for side in sides)
    reasons = obstacles(before, "strong", after, "strong")
    assert (
        f"task {TASK.name}@blur-1: another perturbation (blur-1, seed 0 → blur-1, seed 9)"
        in reasons
    )
    assert not any(reason.startswith(f"task {TASK.name}:") for reason in reasons)


# What a person looks at


def test_the_pictures_are_those_that_a_model_is_shown(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data", "perturb", str(folder), "--perturb", "crop:3,fax:2", "-n", "2"]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "-o", str(tmp_path)])
    assert not end.value.code
    assert capsys.readouterr().out.split() == [str(tmp_path / f"d{i}.png.jpg") for i in range(2)]
    task = planned(folder, ["crop:3"]).tasks[1]
    (page,) = task.documents["d0.png"].pages
    with Image.open(tmp_path / "d0.png@crop-3.png") as written:
        assert written.tobytes() == open_page(page).tobytes()
    # One file that has the name of a document of the task is perturbed alike.
    with pytest.raises(SystemExit):
        main(
            ["data", "perturb", str(folder / "d0.png"), "--perturb", "fax:2", "-o", f"{tmp_path}/f"]
        )
    alone, of_task = (tmp_path / at / "d0.png@fax-2.png" for at in ("f", "."))
    assert alone.read_bytes() == of_task.read_bytes()


def test_a_sheet_of_perturbed_pages_replaces_no_page(tmp_path: Path) -> None:
    page = tmp_path / "a.jpg"
    Image.new("RGB", (60, 40), "white").save(page)
    before = page.read_bytes()
    with pytest.raises(InvalidInput, match="a sheet would replace it"):
        write_perturbed_pages([Document("a", read_pages(page))], conditions(["fax:1"], 0), tmp_path)
    assert page.read_bytes() == before
