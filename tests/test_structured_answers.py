"""Structured answers: compared value by value, loaded, run, reported, and hostile ones bounded."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.authoring.annotate import annotate
from bench.authoring.audit import audit
from bench.authoring.splitting import split_task
from bench.authoring.starter import start_task
from bench.errors import InvalidInput
from bench.json_schemas.reading import read_schema
from bench.metrics import METRICS
from bench.metrics.grounding import PageText, spellings
from bench.metrics.leaves import leaves
from bench.metrics.metric import TOO_LARGE
from bench.models.openai.messages import chat_request
from bench.models.openai.settings import endpoint_settings
from bench.report import build, write_report
from bench.report.samples import question_in_short
from bench.report.show import show_sample
from bench.schema import Document, ModelSpec, Output, PageGroup, Request
from bench.scoring.evaluation import evaluate
from bench.scoring.levels import PERFECT
from bench.tasks import check_task, load_task
from tests.run_fixture import FixtureModel, make_run

FORM = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "description": "invoice number"},
        "total": {"type": "number"},
        "discount": {"type": "number"},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "amount": {"type": "number"}},
            },
        },
    },
    "required": ["number"],
}
SCHEMA = read_schema(FORM, "form")
REFERENCE = {
    "number": "A-1",
    "total": 30.5,
    "discount": None,
    "lines": [{"name": "Pen", "amount": 10}, {"name": "Ink", "amount": 20.5}],
}
HOSTILE_KEYS = ["__proto__", "../x", "a|b", "=1+1", "\x1b[2J", "<img src=x>", "constructor"]


def score(name: str, answer: object, reference: object = REFERENCE) -> Any:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return METRICS[name].score_of(text, [reference], schema=SCHEMA, language="en")


# Values


def test_each_value_has_a_path_and_an_outcome() -> None:
    answer = {
        "number": "A-2",
        "total": "30.50",
        "discount": 1,
        "lines": [{"name": "Ink"}],
        "x": {"y": 1},
    }
    compared = leaves(answer, REFERENCE, schema=SCHEMA) or ()
    assert [(leaf.path, leaf.outcome, leaf.paired) for leaf in compared] == [
        ("number", "wrong", True),
        ("total", "right", True),
        ("discount", "invented", True),
        ("lines[].name", "missing", False),
        ("lines[].amount", "missing", False),
        ("lines[].name", "right", True),
        ("lines[].amount", "missing", True),
        ("*", "invented", False),
    ]


small_items = st.lists(
    st.fixed_dictionaries({}, optional={key: st.sampled_from(["1", "2"]) for key in "abc"}),
    max_size=4,
)


@settings(deadline=None, max_examples=150)
@given(small_items, small_items)
def test_lists_are_matched_as_well_as_any_pairing_could(
    wanted: list[Any], given_items: list[Any]
) -> None:
    compared = leaves({"l": given_items}, {"l": wanted}) or ()
    right = sum(leaf.outcome == "right" for leaf in compared)
    first, second = ([item for item in side if item] for side in (wanted, given_items))
    shorter, longer = sorted((first, second), key=len)
    best = max(
        sum(len(one.items() & other.items()) for one, other in zip(shorter, order, strict=False))
        for order in itertools.permutations(longer)
    )
    assert right == best


@settings(deadline=None, max_examples=100)
@given(small_items, small_items)
def test_the_values_of_both_sides_are_counted_whatever_the_pairing(
    wanted: list[Any], given_items: list[Any]
) -> None:
    compared = leaves({"l": given_items}, {"l": wanted}) or ()
    assert sum(leaf.expected is not None for leaf in compared) == sum(map(len, wanted))
    assert sum(leaf.given is not None for leaf in compared) == sum(map(len, given_items))


def test_weighted_scores_of_documents_add_up_to_those_of_all_values() -> None:
    answers = [REFERENCE, {"number": "A-1"}, {"discount": 5}]
    values = [score("value_f1", answer) for answer in answers]
    total = sum(v.value * v.weight for v in values) / sum(v.weight for v in values)
    assert total == pytest.approx(2 * (6 + 1 + 0) / ((6 + 6) + (1 + 6) + (1 + 6)))


# Hostile answers


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps({"lines": [{"name": str(n)} for n in range(100_000)]}),
        json.dumps({"lines": [1] * 100_000, "number": "A-1"}),
        json.dumps({"number": "9" * 10**7}),
        '{"number": ' * 50_000,
        '{"number": 1e999, "total": NaN, "discount": -Infinity}',
        json.dumps(dict.fromkeys(map(str, range(60_000)), 1)),
        json.dumps({key: {key: [key, {key: 1}]} for key in HOSTILE_KEYS}),
        "[" * 60 + "]" * 60,
    ],
    ids=["objects", "numbers", "text", "depth", "infinite", "keys", "names", "lists"],
)
def test_hostile_answers_cost_little_and_score_nothing(answer: str) -> None:
    for name in ("value_f1", "value_recall", "object_match", "schema_valid", "extractbench_f1"):
        value = score(name, answer)
        assert value == TOO_LARGE or value.value < PERFECT


def test_unlike_items_beyond_the_bound_are_too_large() -> None:
    unlike = {"l": [{"a": f"x{n} y"} for n in range(600)]}
    assert (
        METRICS["value_f1"].score(unlike, [{"l": [{"a": f"z{n} y"} for n in range(600)]}])
        == TOO_LARGE
    )
    assert METRICS["value_f1"].score(unlike, [{"l": unlike["l"][::-1]}]).value == 1.0


def test_items_that_hold_thousands_of_values_each_are_too_large() -> None:
    one, other = ({"l": [{"a": list(range(n, n + 9_000, 2))}, {"a": [n]}]} for n in (0, 1))
    assert METRICS["value_f1"].score(one, [other]) == TOO_LARGE


# Grounding


@pytest.mark.parametrize(
    ("value", "page"),
    [
        (1234.5, "Total 1 234,50 €"),
        (1234.5, "Total $1,234.50"),
        (1000, "1.000,00"),
        ("2024-04-05", "vom 5. April 2024"),
        ("2024-04-05", "от 05.04.2024 г."),
        ("2024-04-05", "2024年4月5日"),
        ("ООО «Ромашка»", "продавец: ооо Ромашка"),
        (True, "nothing"),
    ],
)
def test_a_value_is_on_the_page_in_any_spelling(value: object, page: str) -> None:
    assert PageText(page).may_hold(value, "de" if "April" in page else "ru")


@pytest.mark.parametrize("value", [77.5, "2023-04-05", "Lotus", float("inf"), 1e300])
def test_another_value_is_not_on_the_page(value: object) -> None:
    assert not PageText("от 05.04.2024 ООО Ромашка 1 234,50").may_hold(value, "ru")
    assert spellings(value, "no language")


# Tasks


def rows(**more: object) -> list[dict[str, Any]]:
    return [
        {
            "id": f"d{n}",
            "images": [f"p{n}.png"],
            "answers": [{**REFERENCE, "number": f"A-{n}"}],
            "metadata": {"language": "en", "doc_type": "invoice"},
            **more,
        }
        for n in range(3)
    ]


@pytest.fixture
def own_task(make_task: Any) -> Path:
    folder: Path = make_task(rows(), toml='schema = "form.schema.json"\n')
    (folder / "form.schema.json").write_text(json.dumps(FORM))
    return folder


def test_a_question_that_a_schema_makes_is_listed_by_its_fields(own_task: Path) -> None:
    (sample, *_) = load_task(own_task).samples
    assert question_in_short(sample).startswith("JSON with number, ")
    own = replace(sample, question="What is on the form?")
    assert question_in_short(own) == "What is on the form?"


def test_a_schema_makes_the_question_the_metrics_and_the_bound(own_task: Path) -> None:
    task = load_task(own_task)
    assert task.metrics[0] == "value_f1"
    assert task.generation.max_new_tokens == 2048
    assert '"number": text (invoice number)' in task.samples[0].question
    assert task.samples[0].json_schema == SCHEMA
    # The digest knows the schema, and the schema of a sample may be its own.
    lines = rows(schema={"type": "object", "properties": {"number": {"type": "string"}}})
    changed = [{**line, "answers": [{"number": "1"}]} for line in lines]
    (own_task / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
    other = load_task(own_task)
    assert other.digest != task.digest
    assert list(other.samples[0].json_schema["properties"]) == ["number"]


def test_an_own_question_is_asked_as_it_is(own_task: Path) -> None:
    (own_task / "task.toml").write_text('schema = "form.schema.json"\nquestion = "Read it."\n')
    assert {sample.question for sample in load_task(own_task).samples} == {"Read it."}


@pytest.mark.parametrize(
    ("toml", "line", "reason"),
    [
        ('schema = "none.json"', {}, "none.json does not exist"),
        ('schema = "../x.json"', {}, "leaves the task folder"),
        ('schema = "form.schema.json"\nanswer_type = "text"', {}, "a task with a schema has"),
        ('schema = {type = "object", properties = {a = {"$ref" = "http://x"}}}', {}, "leads outside"),
        ("", {"schema": 5, "question": "?"}, "schema should name a file, or be a JSON Schema"),
        ("", {"schema": "form.schema.json", "answer_type": "text"}, "a text answer has no schema"),
        (
            'schema = "form.schema.json"',
            {"answers": [{"number": 5}]},
            "an answer does not conform to the schema at $.number: 5 is not of type 'string', 'null'",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_schema_is_said_before_a_run(
    own_task: Path, toml: str, line: dict[str, Any], reason: str
) -> None:
    (own_task / "task.toml").write_text(f"{toml}\n")
    lines = [{**row, **line} for row in rows()]
    (own_task / "samples.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert any(reason in str(problem) for problem in check_task(own_task).problems)


def test_a_column_called_schema_stays_metadata(tmp_path: Path, make_task: Any) -> None:
    folder = make_task()
    (folder / "samples.jsonl").unlink()
    (folder / "samples.csv").write_text(
        "id,image,question,answer,schema\n1,p0.png,What?,x,public\n"
    )
    sample = load_task(folder).samples[0]
    assert (sample.metadata["schema"], sample.json_schema) == ("public", None)


def test_a_csv_needs_no_column_for_the_question_that_a_schema_makes(own_task: Path) -> None:
    (own_task / "samples.jsonl").unlink()
    cell = json.dumps(REFERENCE).replace('"', '""')
    (own_task / "samples.csv").write_text(f'id,image,answer,language\n1,p0.png,"{cell}",ru\n')
    sample = load_task(own_task).samples[0]
    assert sample.references == (REFERENCE,)
    assert '"number": текст' in sample.question


def test_split_parts_keep_the_schema(own_task: Path, tmp_path: Path) -> None:
    split = split_task(own_task, 0.5, 1, tmp_path / "parts")
    for part in (split.train, split.test):
        assert load_task(part).samples[0].json_schema == SCHEMA


def test_a_folder_of_scans_becomes_a_task_with_a_schema(own_task: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    (own_task / "p0.png").rename(scans / "p0.png")
    started = start_task(scans, language="en", schema=own_task / "form.schema.json")
    assert started.questions == 1
    answer = json.dumps(REFERENCE)
    annotate(scans, ModelSpec("fake", "fake", options={"default": f"Here: {answer}"}))
    lines = [json.loads(line) for line in (scans / "samples.jsonl").read_text().splitlines()]
    assert [(line["id"], line["answers"]) for line in lines] == [("p0/data", [REFERENCE])]
    with pytest.raises(InvalidInput, match=r"has a task\.toml already"):
        start_task(scans, schema=own_task / "form.schema.json")


def test_an_audit_names_the_values_that_the_text_layer_lacks(make_task: Any) -> None:
    pdf = Path(__file__).parent.parent / "example_docs" / "contract-ru.pdf"
    line = {**rows()[0], "answers": [{"number": "201-П/2023", "total": 77}]}
    del line["images"]
    folder = make_task([{**line, "document": "c.pdf"}], toml='schema = "f.json"\n')
    (folder / "f.json").write_text(json.dumps(FORM))
    (folder / "c.pdf").write_bytes(pdf.read_bytes())
    findings = [finding for finding in audit(load_task(folder)) if finding.kind == "not-on-page"]
    assert [finding.message for finding in findings] == ["1 value of the answer: total 77"]


# Runs and reports


@pytest.fixture
def run(own_task: Path, tmp_path: Path) -> Any:
    models = (FixtureModel("good", asked=0.0), FixtureModel("bad", asked=0.0))
    task = load_task(own_task)
    run = make_run(tmp_path / "results", models, [task], previews=False)
    odd = {key: [HOSTILE_KEYS[4], {key: {key: 1}}] for key in HOSTILE_KEYS}
    hostile = json.dumps({**odd, "discount": 3})
    texts = {
        "good": [json.dumps(s.references[0]) for s in task.samples],
        "bad": [hostile, "no", "{}"],
    }
    for model, answers in texts.items():
        outputs = [
            Output(s.id, text, "stop") for s, text in zip(task.samples, answers, strict=True)
        ]
        run.append_outputs(model, task.name, outputs)
        run.mark_done(model, task.name)
        run.mark_done(model)
    return run


def test_a_run_keeps_the_schema_and_is_scored_by_fields(run: Any) -> None:
    evaluation = evaluate(run)
    cells = {model: evaluation.cells[model, "mine"] for model in run.model_names()}
    assert evaluation.tasks["mine"].samples[0].json_schema == SCHEMA
    estimates = cells["good"].estimates
    assert [estimates[name].value for name in ("value_f1", "object_match", "schema_valid")] == [
        1,
        1,
        1,
    ]
    assert cells["bad"].estimates["null_accuracy"].value == pytest.approx(1 / 3)
    fields = evaluation.slices["field"]
    # No key that only an answer has is a field.
    assert set(fields) == {"number", "total", "discount", "lines[].name", "lines[].amount"}
    assert fields["lines[].amount"]["good"].value == 1.0
    assert fields["lines[].amount"]["good"].clusters == 3
    assert fields["discount"]["bad"].value == 0.0


def test_hostile_keys_reach_no_file_unguarded(run: Any, tmp_path: Path) -> None:
    evaluation = evaluate(run)
    paths = write_report([run], tmp_path / "out", ("html", "md", "csv"))
    tables = {path.name: path.read_text("utf-8-sig") for path in paths if path.suffix == ".csv"}
    own = next(text for name, text in tables.items() if name.startswith("objects"))
    assert "invented" in own.splitlines()[0].lower()
    html = next(path for path in paths if path.suffix == ".html").read_text("utf-8")
    assert "<img src=x>" not in html
    for text in (*tables.values(), html):
        assert "\x1b" not in text
    shown = show_sample(evaluation, "d0")
    assert "\x1b" not in shown
    assert "invented  discount: 3, expected nothing" in shown
    assert build([evaluation]).tasks[0].headline == "value_f1"


def test_a_schema_that_was_changed_in_a_run_is_refused_if_it_is_unsafe(run: Any) -> None:
    path = run.path / "mine" / "samples.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"description":"invoice number"', '"pattern":"(a+)+$"'))
    assert path.read_text() != text
    with pytest.raises(InvalidInput, match="could be matched in more ways"):
        run.load_task("mine")


def test_an_endpoint_sends_the_schema_only_on_request() -> None:
    group = PageGroup(Document("d", ()), ())
    bodies = []
    for form in (None, {"type": "json_schema"}, {"type": "json_object"}):
        options = {"base_url": "http://localhost:1/v1"} | (
            {"response_format": form} if form else {}
        )
        spec = ModelSpec("m", "openai", checkpoint="m", options=options)
        for schema in (SCHEMA, None):
            request = Request("s", "?", "?", schema)
            settings_of_spec = endpoint_settings(spec)
            body = chat_request(
                spec, settings_of_spec, group, request, [], stream=False, cache_salt=None
            )
            bodies.append(body.get("response_format"))
    sent = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    assert bodies == [None, None, sent, None, {"type": "json_object"}, {"type": "json_object"}]
