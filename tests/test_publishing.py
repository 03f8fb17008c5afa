"""``bench export``: files for the Hub, for Every Eval Ever, and predictions that score the same again."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import bench as package
from bench.errors import EnvironmentProblem, InvalidInput
from bench.publishing.described import public_name, settings_of, unique_names
from bench.publishing.hub_results import BenchmarkTask, entry_task, hub_result, read_benchmark
from bench.publishing.licences import may_be_shared
from bench.rundir.store import RunStore
from bench.schema import Output, Task
from bench.scoring.evaluation import evaluate
from bench.tasks.cache import hub_origin
from bench.tasks.hub import download_file
from tests.hub_server import Hub, serve
from tests.run_fixture import HOSTILE, FixtureModel, make_run, make_tasks

SCHEMAS = Path(__file__).parent / "schemas"
REVISION = "0123456789abcdef0123456789abcdef01234567"
SOURCE = f"acme/Invoices, config en, split test, revision {REVISION}"
MODEL = FixtureModel("qwen2-vl-2b", 0.7)
QUANTIZED = FixtureModel("qwen2-vl-2b-int4", 0.6, error_rate=0.2)
EVAL_YAML = """
name: Invoices
tasks:
  - {id: invoices_en, config: en, split: test}
  - {id: invoices_ru, config: ru, split: test}
  - {id: invoices_en_validation, config: en, split: validation}
"""


def hub_tasks(source: str = SOURCE, **changes: Any) -> list[Task]:
    """One small task whose questions come from a data set of the Hub."""
    [task] = make_tasks(documents=3, questions=2, languages=("en",))
    return [dataclasses.replace(task, source=source, **changes)]


def run_of(
    results: Path, models: Sequence[FixtureModel] = (MODEL,), tasks: Any = None, **settings: Any
) -> RunStore:
    tasks = hub_tasks() if tasks is None else tasks
    record = {"spec": {"settings": {"limit": None, "batch_size": 8, "seed": 0, **settings}}}
    return make_run(results, models, tasks, previews=False, record=record)


@pytest.fixture
def eval_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "eval.yaml"
    path.write_text(EVAL_YAML, encoding="utf-8")
    return path


@functools.cache
def validator(name: str) -> jsonschema.protocols.Validator:
    schema = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    return jsonschema.Draft7Validator(schema)


def strictly(text: str) -> Any:
    """``text`` as JSON; NaN and Infinity are no JSON."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


# The Hub


def test_a_score_becomes_a_file_for_the_hub(bench: Any, eval_yaml: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path / "results", [MODEL, QUANTIZED])
    out = tmp_path / "repository"
    told = ("--source-url", "https://example.org/answers", "--source-user", "acme")
    models = f"{MODEL.name},{QUANTIZED.name}"
    command = ("export", "hf", run.path, "--model", models, "--eval-yaml", eval_yaml, "-o", out)
    ended = bench(*command, *told)
    assert ended.status == 0, ended.err
    folder = out / ".eval_results"
    assert {path.name for path in folder.iterdir()} == {
        "invoices-en-qwen2-vl-2b.yaml",
        "invoices-en-qwen2-vl-2b-int4.yaml",
    }
    [entry] = yaml.safe_load((folder / "invoices-en-qwen2-vl-2b-int4.yaml").read_text("utf-8"))
    assert entry["dataset"] == {
        "id": "acme/Invoices",
        "task_id": "invoices_en",
        "revision": REVISION,
    }
    estimate = evaluate(run).cells[QUANTIZED.name, "invoices-en"].estimates["anls"]
    assert entry["value"] == pytest.approx(estimate.value, abs=1e-6)
    assert entry["date"] == "2026-03-12"
    assert entry["source"] == {"url": "https://example.org/answers", "user": "acme"}
    for said in ("6 questions on 3 documents", "95 % interval", "gptq-int4", "the task's own"):
        assert said in entry["notes"]
    assert "1 question ended in an error, which counts as wrong." in entry["notes"]
    # What exists is not written over without a word.
    again = bench(*command)
    assert again.status == 2 and "exists already" in again.err and "--overwrite" in again.err
    percent = bench(*command, "--overwrite", "--percent", "--metric", "exact_match")
    assert percent.status == 0
    [entry] = yaml.safe_load((folder / "invoices-en-qwen2-vl-2b.yaml").read_text("utf-8"))
    assert entry["value"] > 1 and "exact_match" in entry["notes"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limit": 6}, "only some of the questions were asked (--limit)"),
        ({"sample_ids": ["en-00/q0"]}, "only some of the questions were asked (--sample-ids)"),
        ({"only": {"doc_type": ["invoice"]}}, "only some of the questions were asked"),
        ({"perturb": ["blur"]}, "the pages or questions were changed (perturb)"),
        ({"a_later_setting": 3}, "(a_later_setting)"),
    ],
)
def test_a_score_of_something_else_is_refused(
    bench: Any, eval_yaml: Path, tmp_path: Path, change: Mapping[str, Any], said: str
) -> None:
    run = run_of(tmp_path / "results", **change)
    ended = bench("export", "hf", run.path, "-m", MODEL.name, "--eval-yaml", eval_yaml, "-o", "out")
    assert ended.status == 2 and said in ended.err, ended.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("tasks", "model", "said"),
    [
        (hub_tasks("https://example.org"), MODEL, "do not come from a data set of the Hub"),
        (hub_tasks("acme/Invoices, split test"), MODEL, "do not come from a data set of the Hub"),
        (hub_tasks(version="1+mended.2"), MODEL, "references of the task were mended"),
        (hub_tasks(), FixtureModel("m", asked=0.5), "3 of 6 questions have been asked"),
        (hub_tasks(SOURCE.replace("test", "train")), MODEL, "has no task with the questions"),
        (hub_tasks(SOURCE.replace("config en", "config zh")), MODEL, "has no task with the quest"),
    ],
)
def test_a_run_that_is_no_measurement_of_the_benchmark_is_refused(
    bench: Any, eval_yaml: Path, tmp_path: Path, tasks: list[Task], model: FixtureModel, said: str
) -> None:
    run = run_of(tmp_path / "results", [model], tasks)
    ended = bench("export", "hf", run.path, "-m", model.name, "--eval-yaml", eval_yaml, "-o", "out")
    assert ended.status == 2 and said in ended.err, ended.err


def test_perturbed_pages_are_other_pages(bench: Any, eval_yaml: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path / "results")
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    record["tasks"][0]["perturbation"] = {"kind": "blur", "severity": 2, "seed": 0}
    (run.path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    command = ("export", "hf", run.path, "-m", MODEL.name, "--eval-yaml", eval_yaml, "-o", "out")
    ended = bench(*command)
    assert ended.status == 2 and "the pages were perturbed (blur, severity 2)" in ended.err
    # The other forms say so beside the score.
    assert bench("export", "eee", run.path, "-o", "eee").status == 0
    [(_, aggregate, _)] = records(Path("eee"))
    details = aggregate["evaluation_results"][0]["score_details"]["details"]
    assert details["restrictions"] == "the pages were perturbed (blur, severity 2)"


def test_answers_from_a_file_are_no_measurement(
    bench: Any, make_task: Callable[..., Path], tmp_path: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    lines = [{"sample_id": f"d{d}/q{q}", "text": "x"} for d in range(3) for q in range(4)]
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert bench("score", answers, "--task", make_task()).status == 0
    ended = bench("export", "hf", "last", "-m", "answers", "-o", "out")
    assert ended.status == 2 and "not on record" in ended.err


def test_the_hub_says_what_is_a_benchmark(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path / "results")
    command = ("export", "hf", run.path, "-m", MODEL.name, "-o", "out")
    offline = bench(*command)
    assert offline.status == 3 and "HF_HUB_OFFLINE" in offline.err
    assert "--eval-yaml FILE" in offline.err
    asked = []

    def without(hub_id: str, name: str) -> None:
        asked.append((hub_id, name))

    monkeypatch.setattr("bench.tasks.hub.download_file", without)
    unregistered = bench(*command)
    assert unregistered.status == 2
    assert "acme/Invoices is not registered as a benchmark of the Hub" in unregistered.err
    assert asked == [("acme/Invoices", "eval.yaml")]


def test_the_file_of_a_benchmark_comes_from_the_hub(
    eval_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    empty = tmp_path / "empty"
    empty.mkdir()
    repositories = {"acme/Invoices": eval_yaml.parent, "acme/Other": empty}
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serve(Hub(repositories)) as hub:
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        path = download_file("acme/Invoices", "eval.yaml")
        assert path is not None and read_benchmark(path)[0].id == "invoices_en"
        assert download_file("acme/Other", "eval.yaml") is None
        with pytest.raises(EnvironmentProblem, match="the hub has no data set acme/Gone"):
            download_file("acme/Gone", "eval.yaml")


def test_one_description_is_of_one_data_set(bench: Any, eval_yaml: Path, tmp_path: Path) -> None:
    other = dataclasses.replace(hub_tasks(SOURCE.replace("acme", "other"))[0], name="other")
    run = run_of(tmp_path / "results", tasks=[*hub_tasks(), other])
    command = ("export", "hf", run.path, "-m", MODEL.name, "--eval-yaml", eval_yaml, "-o", "out")
    ended = bench(*command)
    assert ended.status == 2 and "the tasks are of 2" in ended.err
    assert bench(*command, "--task", "other").status == 0


def test_a_task_of_a_benchmark_is_chosen_by_config_and_split() -> None:
    origin = hub_origin(SOURCE)
    assert origin is not None
    tasks = (BenchmarkTask("a", "en", "test"), BenchmarkTask("b", "en", "test"))
    with pytest.raises(InvalidInput, match="2 tasks of the benchmark"):
        entry_task(origin, tasks)
    assert entry_task(origin, tasks, "b").id == "b"
    with pytest.raises(InvalidInput, match="has no task 'c'"):
        entry_task(origin, tasks, "c")
    plain = origin._replace(config=None)
    assert entry_task(plain, (BenchmarkTask("d", "default", "test"),)).id == "d"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2",
        "tasks: 3",
        "tasks: [3, {id: 4, split: test}]",
        "tasks:\n - !!python/object/apply:os.system ['true']",
        "[" * 1_000,
        "tasks: [{id: 'a\\nb', split: test}]".replace("\\n", "\u2028"),
        "a: \x00",
    ],
)
def test_a_file_that_describes_no_benchmark_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "eval.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"eval\.yaml"):
        read_benchmark(path)


YAML = (
    "a: b",
    "a\nb: c",
    "!!python/object/apply:os.system ['x']",
    "&a *a",
    "%TAG ! x",
    "- - x",
    "---\n...",
    "nul\0 and bidi \u202e",
    "yes",
    "'\"`{}[]#|>@",
)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    return run_of(tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize("text", [*YAML, *HOSTILE])
def test_no_text_of_a_run_becomes_yaml(whole_run: RunStore, text: str) -> None:
    run = whole_run
    record = dict(run.record)
    record["protocol"] = {"name": text}
    record["started"] = text
    record["prompts"] = [{"model": MODEL.name, "task": "invoices-en", "source": text}]
    record["environment"] = {"bench": text, "git": {"commit": text, "dirty": True}}
    evaluation = evaluate(RunStore(run.path, record))
    benchmark = BenchmarkTask("invoices_en", "en", "test")
    result = hub_result(evaluation, MODEL.name, "invoices-en", benchmark)
    [entry] = yaml.safe_load(result.content)
    assert list(entry) == ["dataset", "value", "notes"]
    assert entry["notes"].isprintable()
    assert result.content.count("\n- ") == 0


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "https://user:secret@example.org/",
        "https:///x",
        "javascript:1",
        "https://a b",
        "x",
    ],
)
def test_an_address_that_cannot_be_shown_is_refused(
    bench: Any, eval_yaml: Path, tmp_path: Path, url: str
) -> None:
    command = ("export", "hf", "none", "-m", "m", "-o", "out", "--source-url", url)
    ended = bench(*command)
    assert ended.status == 2 and "is not an address" in ended.err
    assert "secret" not in ended.err


def test_a_source_needs_an_address(bench: Any) -> None:
    ended = bench("export", "hf", "none", "-m", "m", "-o", "out", "--source-name", "x")
    assert ended.status == 2 and "--source-url" in ended.err


# Every Eval Ever


def records(out: Path) -> list[tuple[Path, Any, list[Any]]]:
    """Path, aggregate and samples of every record below ``out``; all of them are valid."""
    found = []
    for path in sorted(out.rglob("*.json")):
        aggregate = strictly(path.read_text(encoding="utf-8"))
        validator("every_eval_ever_eval.schema.json").validate(aggregate)
        data = out / aggregate["detailed_evaluation_results"]["file_path"]
        content = data.read_bytes()
        detail = aggregate["detailed_evaluation_results"]
        assert hashlib.sha256(content).hexdigest() == detail["checksum"]
        rows = [strictly(line) for line in content.decode("utf-8").splitlines()]
        for row in rows:
            validator("every_eval_ever_instance.schema.json").validate(row)
            assert row["evaluation_id"] == aggregate["evaluation_id"]
            assert row["model_id"] == aggregate["model_info"]["id"]
        assert len(rows) == detail["total_rows"] > 0
        found.append((path.relative_to(out), aggregate, rows))
    return found


def test_a_record_is_valid_and_says_what_was_measured(bench: Any, tmp_path: Path) -> None:
    run = run_of(tmp_path / "results", [MODEL, QUANTIZED])
    command = ("export", "eee", run.path, "-o", tmp_path / "store", "--organization", "Acme")
    assert bench(*command).status == 0
    [(path, aggregate, rows), _] = sorted(records(tmp_path / "store"), key=lambda r: len(str(r[0])))
    assert re.fullmatch(r"data/invoices-en/Qwen/qwen2-vl-2b/[0-9a-f-]{36}\.json", path.as_posix())
    assert aggregate["source_metadata"]["source_organization_name"] == "Acme"
    assert aggregate["eval_library"]["version"] == "0.1.0"
    versions = aggregate["eval_library"]["additional_details"]
    assert versions["scored_by"] == package.__version__ and versions["torch"] == "2.6.0"
    results = {each["evaluation_result_id"]: each for each in aggregate["evaluation_results"]}
    cell = evaluate(run).cells[MODEL.name, "invoices-en"]
    headline = results["invoices-en/anls"]
    assert headline["score_details"]["score"] == cell.estimates["anls"].value
    interval = headline["score_details"]["uncertainty"]["confidence_interval"]
    assert interval["lower"] == cell.estimates["anls"].low
    assert headline["source_data"]["hf_repo"] == "acme/Invoices"
    # The mean of the rows of a result is the result.
    scores = [
        row["evaluation"]["score"]
        for row in rows
        if row["evaluation_result_id"] == "invoices-en/anls"
    ]
    assert sum(scores) / len(scores) == pytest.approx(cell.estimates["anls"].value)
    assert rows[0]["input"]["formatted"].endswith("Answer with the value only.")
    # A second export of a run is the same record, and does not replace it silently.
    assert bench(*command).status == 2
    assert bench(*command, "--overwrite").status == 0
    assert len(list((tmp_path / "store").rglob("*.json"))) == 2


@pytest.mark.parametrize("name", ["../x", "/abs", "con", "n" * 300, "data", "a\0b", "\u202eevil"])
def test_no_name_leads_out_of_the_folder(bench: Any, tmp_path: Path, name: str) -> None:
    tasks = [dataclasses.replace(hub_tasks()[0], title=name)]
    run = run_of(tmp_path / "results", tasks=tasks)
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    record["models"][0]["spec"] |= {"name": name, "checkpoint": name, "adapter": name}
    record["id"] = name
    (run.path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    for form in ("eee", "predictions"):
        ended = bench("export", form, run.path, "-o", tmp_path / form)
        assert ended.status == 0, ended.err
    assert len(records(tmp_path / "eee")) == 1
    paths = {path for path in tmp_path.rglob("*") if path.is_file()}
    inside = (tmp_path / "eee", tmp_path / "predictions", run.path)
    assert all(any(path.is_relative_to(folder) for folder in inside) for path in paths)


def test_hostile_texts_stay_valid(bench: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "results", [MODEL], hub_tasks(), hostile=True, previews=False)
    sample = run.load_task("invoices-en").samples[0].id
    huge = Output(sample, "x" * 200_000 + "\ud800\u2028", "stop", confidence=0.5)
    run.append_outputs(MODEL.name, "invoices-en", [huge])
    for form in ("eee", "predictions"):
        ended = bench("export", form, run.path, "-o", tmp_path / form)
        assert ended.status == 0, ended.err
        assert "\x1b" not in ended.out + ended.err
    [(_, _, rows)] = records(tmp_path / "eee")
    assert len(rows[0]["output"]["raw"][0]) == 200_002
    [path] = (tmp_path / "predictions").rglob("*.jsonl")
    lines = path.read_bytes().decode("utf-8").split("\n")
    assert strictly(lines[0])["text"] == huge.text


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (("--model-id", "no slash"), "OWNER/NAME"),
        (("--model-id", "../../x"), "OWNER/NAME"),
        (("--model-id", "acme/x"), "--model-id names one model"),
        (("--model", "none"), "there is no model 'none'"),
        (("--task", "none"), "there is no task 'none'"),
    ],
)
def test_a_wrong_name_is_told(bench: Any, tmp_path: Path, extra: Any, said: str) -> None:
    run = run_of(tmp_path / "results", [MODEL, QUANTIZED])
    ended = bench("export", "eee", run.path, "-o", "out", *extra)
    assert ended.status == 2 and said in ended.err
    assert not Path("out").exists()


# Predictions


def test_predictions_score_the_same_again(
    bench: Any, make_task: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_task(toml='name = "mine"\nlicense = "CC0-1.0"\n')
    answers = tmp_path / "model-a.jsonl"
    lines = [
        {"sample_id": f"d{d}/q{q}", "text": f"Answer: value {q if d else 9}", "confidence": 0.25}
        for d in range(3)
        for q in range(4)
    ]
    lines[5] |= {"text": "", "stop_reason": "error", "error": "OutOfMemory: /home/ivan/x"}
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert bench("score", answers, "--task", folder, "--results", "one").status == 0
    ended = bench("export", "predictions", "last", "--results", "one", "-o", "out", "--pages")
    assert ended.status == 0, ended.err
    again = Path("out/mine/model-a.jsonl")
    assert bench("score", again, "--task", folder, "--results", "two").status == 0
    [first], [second] = Path("one").glob("*"), Path("two").glob("*")
    scores = "scores/model-a/mine.jsonl"
    assert (first / scores).read_bytes() == (second / scores).read_bytes()
    assert "ivan" not in again.read_text(encoding="utf-8")
    assert '"error": "OutOfMemory"' in again.read_text(encoding="utf-8")
    manifest = strictly(Path("out/manifest.json").read_text(encoding="utf-8"))
    [file] = manifest["files"]
    assert file["sha256"] == hashlib.sha256(again.read_bytes()).hexdigest()
    assert len(manifest["pages"]) == 3 and str(tmp_path) not in json.dumps(manifest)
    copies = [
        hashlib.sha256(Path("out", page).read_bytes()).hexdigest() for page in manifest["pages"]
    ]
    pages = [hashlib.sha256(page.read_bytes()).hexdigest() for page in folder.glob("*.png")]
    assert sorted(copies) == sorted(pages)
    # Answers about perturbed pages are no answers about the clean ones.
    marked = '"perturbation": "blur-1", "text"'
    again.write_text(again.read_text(encoding="utf-8").replace('"text"', marked), encoding="utf-8")
    ended = bench("score", again, "--task", folder, "--results", "three")
    assert ended.status == 2 and "is about a perturbed page (blur-1)" in ended.err


def test_what_a_licence_forbids_stays_at_home(bench: Any, tmp_path: Path) -> None:
    run = run_of(tmp_path / "results", tasks=hub_tasks(license="internal"))
    command = ("export", "predictions", run.path, "--overwrite", "-o", "out")
    ended = bench(*command)
    assert ended.status == 0 and "left out: references of invoices-en" in ended.err
    [path] = Path("out").rglob("*.jsonl")
    assert '"references"' not in path.read_text(encoding="utf-8")
    pages = bench(*command, "--pages")
    assert pages.status == 2 and "internal" in pages.err
    assert bench(*command, "--references").status == 0
    assert '"references"' in path.read_text(encoding="utf-8")
    assert not list(Path("out").rglob("*.png"))


def test_a_page_that_is_not_the_one_that_was_asked_about_is_not_copied(
    bench: Any, make_task: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_task(toml='license = "MIT"\n', documents=2, questions=1)
    answers = tmp_path / "a.jsonl"
    lines = [json.dumps({"sample_id": f"d{d}/q0", "text": "x"}) + "\n" for d in range(2)]
    answers.write_text("".join(lines), encoding="utf-8")
    assert bench("score", answers, "--task", folder).status == 0
    (folder / "p0.png").write_bytes(b"a secret that the run directory names")
    ended = bench("export", "predictions", "last", "-o", "out", "--pages")
    assert ended.status == 0 and "left out: 1 page file" in ended.err
    assert len(list(Path("out/pages").iterdir())) == 1


def test_a_table_holds_no_formula(bench: Any, tmp_path: Path) -> None:
    run = run_of(tmp_path / "results")
    sample = run.load_task("invoices-en").samples[0].id
    run.append_outputs(MODEL.name, "invoices-en", [Output(sample, "=1+1\0", "stop")])
    ended = bench("export", "predictions", run.path, "-o", "out", "--format", "csv")
    assert ended.status == 0
    [path] = Path("out").rglob("*.csv")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6 and rows[0]["text"] == "'=1+1\ufffd"
    assert bench("export", "predictions", run.path, "-o", "x", "--format", "xml").status == 2


@pytest.mark.parametrize(
    ("license_", "may"),
    [
        ("CC0-1.0", True),
        ("CC-BY-4.0", True),
        ("cc-by-sa-4.0", True),
        ("MIT", True),
        (" Apache-2.0 ", True),
        ("CC-BY-NC-4.0", False),
        ("CC-BY-ND-4.0", False),
        ("Apache-2.0 (the hub copy); images: UCSF Industry Documents Library", False),
        ("not stated", False),
        ("internal", False),
        ("MIT or nothing", False),
        ("", False),
    ],
)
def test_only_a_plain_open_licence_lets_data_be_passed_on(license_: str, may: bool) -> None:
    assert may_be_shared(license_) is may


# What no export says


SECRET = "hunter2"


def test_no_secret_and_no_path_leaves_the_machine(
    bench: Any, eval_yaml: Path, tmp_path: Path
) -> None:
    options = {"base_url": f"http://me:{SECRET}@10.0.0.7/v1", "api_key_env": SECRET}
    details = {"base_url": f"http://me:{SECRET}@10.0.0.7", "server_command": f"x --key {SECRET}"}
    model = FixtureModel("m", 0.7, details=details)
    run = run_of(tmp_path / "results", [model])
    path = run.path / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    checkpoint = f"/home/ivan-{SECRET}/models/qwen"
    record["models"][0]["spec"] |= {"options": options, "checkpoint": checkpoint}
    record["command"] = ["bench", "run", "--key", SECRET]
    record["environment"]["variables"] = {"KEY": SECRET}
    path.write_text(json.dumps(record), encoding="utf-8")
    for form in ("hf", "eee", "predictions"):
        chosen = ("-m", "m", "--eval-yaml", eval_yaml) if form == "hf" else ()
        ended = bench("export", form, run.path, "-o", tmp_path / "out", *chosen)
        assert ended.status == 0, ended.err
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) == 5
    for path in written:
        content = path.read_text(encoding="utf-8")
        assert SECRET not in content and "10.0.0.7" not in content
        assert "base_url" in content or path.suffix == ".jsonl"
        assert str(tmp_path) not in content and "/documents/" not in content


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("Qwen/Qwen2-VL-2B-Instruct", "Qwen/Qwen2-VL-2B-Instruct"),
        ("/home/ivan/models/qwen", "qwen"),
        (r"C:\Users\ivan\qwen", "qwen"),
        ("../x", "x"),
        ("a/b/c", "c"),
        ("/", "unnamed"),
        ("..", "unnamed"),
    ],
)
def test_a_name_loses_the_folders_before_it(name: str, public: str) -> None:
    assert public_name(name) == public


def test_file_names_are_unique() -> None:
    chosen = unique_names(["a/b", "a-b", "A-B", "con"])
    assert chosen == {"a/b": "a-b", "a-b": "a-b-2", "A-B": "A-B-3", "con": "_con"}


def test_settings_are_those_that_took_effect(tmp_path: Path) -> None:
    run = run_of(tmp_path, [QUANTIZED])
    assert settings_of(run, QUANTIZED.name) == {
        "backend": "qwen_vl",
        "checkpoint": "Qwen/qwen2-vl-2b-int4",
        "revision": "895c3a49bc3fa70a340399125c650a463535e71c",
        "quantization": "gptq-int4",
        "dtype": "bf16",
        "attention": "sdpa",
        "max_pixels": "1204224",
    }


# The citation


def test_the_citation_is_valid_and_of_this_version() -> None:
    path = Path(package.__file__).resolve().parent.parent / "CITATION.cff"
    citation = yaml.safe_load(path.read_text(encoding="utf-8"))
    validator("citation_file_format_1.2.0.schema.json").validate(citation)
    assert citation["version"] == package.__version__
