"""Task folders: what is accepted, and what each mistake in them says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.errors import InvalidInput
from bench.metrics import METRICS
from bench.parsing import MAX_VALUE_DEPTH
from bench.paths import data_root
from bench.tasks import bundled_tasks, check_task, expand_tasks, find_task, load_task
from tests.conftest import MakeTask

ROW = {"id": "a", "images": ["p0.png"], "question": "How much?", "answers": ["12"]}


def test_a_bare_folder_with_a_samples_file_is_a_task_with_defaults(make_task: MakeTask) -> None:
    task = load_task(make_task())
    assert task.name == "mine"
    assert task.metrics[0] == "anls"
    assert task.prompt.render("How much?").startswith("How much?\nAnswer the question")
    assert len(task.samples) == 12
    assert len(task.documents) == 3


def test_a_task_file_names_prompt_metrics_and_decoding(make_task: MakeTask) -> None:
    toml = """
    name = "invoices"
    version = "2"
    metrics = ["exact_match", "anls"]
    [prompt]
    template = "Q: {question} A:"
    system = "Be brief."
    [generation]
    max_new_tokens = 7
    stop = ["\\n"]
    """
    task = load_task(make_task(toml=toml))
    assert (task.name, task.version, task.metrics) == ("invoices", "2", ("exact_match", "anls"))
    assert task.prompt.render("why {x}?") == "Q: why {x}? A:"
    assert task.prompt.system == "Be brief."
    assert (task.generation.max_new_tokens, task.generation.stop) == (7, ("\n",))


def test_questions_of_the_same_pages_share_one_document(make_task: MakeTask) -> None:
    rows = [{**ROW, "id": str(i), "images": ["p0.png", "p1.png"]} for i in range(3)]
    task = load_task(make_task(rows))
    assert list(task.documents) == ["p0.png+p1.png"]
    assert len(task.documents["p0.png+p1.png"].pages) == 2


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_csv_beside_the_pages_is_a_samples_file(
    make_task: MakeTask, delimiter: str, encoding: str
) -> None:
    folder = make_task([ROW])
    (folder / "samples.jsonl").unlink()
    lines = [
        ["id", "image", "question", "answer", "field"],
        ["1", "p0.png", "Сколько?", "12:30", "time"],
    ]
    text = "\n".join(delimiter.join(line) for line in lines)
    (folder / "samples.csv").write_text(text, encoding=encoding)
    (sample,) = load_task(folder).samples
    assert sample.references == ("12:30",)
    assert sample.question == "Сколько?"
    assert sample.metadata == {"field": "time"}


def test_json_answers_stay_objects(make_task: MakeTask) -> None:
    rows = [{**ROW, "answers": [{"total": "12", "items": [1, 2]}]}]
    task = load_task(make_task(rows, toml='answer_type = "json"'))
    assert task.samples[0].references == ({"total": "12", "items": [1, 2]},)
    assert task.metrics[0] == "anls_star"
    assert task.prompt.render("List them") == "List them"


@pytest.mark.parametrize("as_text", [False, True], ids=["value", "text"])
@pytest.mark.parametrize("shape", ["[{}]", '{{"a": {}}}'], ids=["lists", "objects"])
def test_the_answer_that_a_metric_cannot_follow_is_refused(
    make_task: MakeTask, shape: str, as_text: bool
) -> None:
    folder = make_task([ROW], toml='answer_type = "json"')

    def task_with(depth: int) -> Path:
        text = "1"
        for _ in range(depth):
            text = shape.format(text)
        row = {**ROW, "answers": [text if as_text else json.loads(text)]}
        (folder / "samples.jsonl").write_text(json.dumps(row))
        return folder

    (sample,) = load_task(task_with(MAX_VALUE_DEPTH)).samples
    right = json.dumps(sample.references[0])
    assert METRICS["anls_star"].score_of(right, sample.references).value == 1.0
    for depth in (MAX_VALUE_DEPTH + 1, 90, 101, 150) if as_text else (MAX_VALUE_DEPTH + 1, 90):
        with pytest.raises(
            InvalidInput, match="an answer nests lists and objects more than"
        ) as caught:
            load_task(task_with(depth))
        assert len(caught.value.message.splitlines()) <= 2


def test_a_number_that_no_metric_reads_is_refused_in_the_text_of_an_answer(
    make_task: MakeTask,
) -> None:
    rows = [{**ROW, "answers": ['{"a": ' + "9" * 400 + "}"]}]
    with pytest.raises(InvalidInput, match="holds a number of more than 300 digits"):
        load_task(make_task(rows, toml='answer_type = "json"'))


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no question": ({"question": None}, "question is missing"),
    "empty question": ({"question": " "}, "question must be a non-empty string"),
    "no answers": ({"answers": None}, "answers are missing"),
    "empty answers": ({"answers": []}, "answers must be a non-empty list"),
    "null answer": ({"answers": ["12", None]}, "answers must not hold null"),
    "answer that is a number": ({"answers": [750]}, "answers must be strings"),
    "no page": ({"images": None}, "expected either images or document, got neither"),
    "two kinds of page": ({"document": "x.pdf"}, "got images and document"),
    "empty pages": ({"images": []}, "must name at least one file"),
    "a page outside": ({"images": ["../secret.png"]}, "leaves the folder"),
    "an absolute page": ({"images": ["/etc/passwd"]}, "leaves the folder"),
    "a missing page": ({"images": ["nowhere.png"]}, "does not exist"),
    "an unknown key": ({"anwsers": ["1"]}, "there is no key 'anwsers'; did you mean answers"),
    "an empty id": ({"id": ""}, "id must be a non-empty string"),
    "nested metadata": ({"metadata": {"a": {}}}, "metadata.a must be a plain value"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_line_names_file_line_and_cause(make_task: MakeTask, mistake: str) -> None:
    change, says = MISTAKES[mistake]
    folder = make_task([{**ROW, "id": "first"}, {**ROW, **change}])
    with pytest.raises(InvalidInput) as caught:
        load_task(folder)
    assert says in caught.value.message
    assert "samples.jsonl:2:" in caught.value.message
    assert caught.value.hint == f"bench data validate {folder}"


def test_a_duplicate_id_names_the_first_line(make_task: MakeTask) -> None:
    with pytest.raises(InvalidInput, match=r"samples.jsonl:2: line 1 already has the id 'a'"):
        load_task(make_task([ROW, ROW]))


def test_all_problems_are_reported_in_one_pass(make_task: MakeTask) -> None:
    folder = make_task(
        [{**ROW, "id": str(i), **change} for i, (change, _) in enumerate(MISTAKES.values())]
    )
    checked = check_task(folder)
    assert checked.task is None
    assert {problem.line for problem in checked.problems} == set(range(1, len(MISTAKES) + 1))


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("metricz = []", "there is no key 'metricz'; did you mean metrics?"),
        ('[prompt]\ntemplat = "x"', "there is no key 'prompt.templat'; did you mean template?"),
        ('[prompt]\ntemplate = "x"', "must contain {question} exactly once"),
        ("[generation]\nmax_new_tokens = 0", "generation.max_new_tokens"),
        ("name = ", "not valid TOML"),
        ('metrics = ["anl"]', "there is no metric 'anl'; did you mean anls"),
        ('documents = "../elsewhere"', "leaves the task folder"),
        ('documents = "nowhere"', "does not exist"),
    ],
)
def test_a_mistake_in_the_task_file_names_the_key(
    make_task: MakeTask, toml: str, says: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_task(make_task([ROW], toml=toml))
    assert says in caught.value.message
    assert "task.toml" in caught.value.message


def test_a_page_reached_through_a_link_out_of_the_folder_is_refused(
    make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task([{**ROW, "images": ["link.png"]}])
    (tmp_path / "outside.png").write_bytes((folder / "p0.png").read_bytes())
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(InvalidInput, match="leaves the folder"):
        load_task(folder)


def test_a_broken_page_can_be_kept_as_a_failure(make_task: MakeTask) -> None:
    folder = make_task([ROW])
    whole = (folder / "p0.png").read_bytes()
    for content, says in ((b"not an image", "not an image"), (whole[:-30], "truncated")):
        (folder / "p0.png").write_bytes(content)
        with pytest.raises(InvalidInput, match=says):
            load_task(folder)
        task = load_task(folder, allow_unreadable=True)
        assert task.documents["p0.png"].pages[0].width == 0


@pytest.mark.parametrize("line", ["{", "[1]", "\x00", '"text"', "{}" * 2])
def test_a_line_that_is_no_object_is_named(make_task: MakeTask, line: str) -> None:
    folder = make_task([ROW])
    with (folder / "samples.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(InvalidInput, match=r"samples.jsonl:2:"):
        load_task(folder)


def test_the_digest_changes_with_whatever_an_answer_depends_on(make_task: MakeTask) -> None:
    first = load_task(make_task([ROW], name="one")).digest
    same = load_task(make_task([ROW], name="two", toml='name = "one"')).digest
    asked = load_task(
        make_task([{**ROW, "question": "Why?"}], name="three", toml='name = "one"')
    ).digest
    page = make_task([ROW], name="four", toml='name = "one"')
    (page / "p0.png").write_bytes((page / "p1.png").read_bytes())
    assert first == same
    assert len({first, asked, load_task(page).digest}) == 3


def test_a_task_keeps_the_digest_that_earlier_runs_recorded() -> None:
    (path,) = (data_root() / "results" / "example").rglob("run.json")
    for recorded in json.loads(path.read_text(encoding="utf-8"))["tasks"]:
        task = load_task(find_task(recorded["name"]))
        if task.version == recorded["version"]:
            assert task.digest == recorded["digest"]


def test_an_unknown_task_offers_the_nearest_name() -> None:
    name = next(iter(bundled_tasks()))
    with pytest.raises(InvalidInput) as caught:
        find_task(name[:-1])
    assert name in (caught.value.hint or "")


def test_a_folder_without_samples_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has no samples.jsonl"):
        find_task(str(tmp_path))


def test_all_means_every_bundled_task_once_but_those_that_are_named_only() -> None:
    data = {"invoice-data-en", "invoice-data-ru", "invoice-data-zh", "receipt-data"}
    named_only = {*data, "pages-markdown"}
    others = [folder for name, folder in bundled_tasks().items() if name not in named_only]
    assert expand_tasks(["all", "all"]) == others
    assert {expand_tasks([name])[0].name for name in named_only} == named_only


def test_every_bundled_task_loads_and_says_what_its_questions_are_about() -> None:
    tasks = [load_task(folder) for folder in bundled_tasks().values()]
    samples = [sample for task in tasks for sample in task.samples]
    assert len(samples) >= 80
    assert {"ru", "en", "zh"} <= {sample.metadata["language"] for sample in samples}
    for sample in samples:
        assert {"doc_type", "field", "language"} <= sample.metadata.keys()


def test_json_lines_of_a_samples_file_may_hold_any_unicode(make_task: MakeTask) -> None:
    folder = make_task([{**ROW, "question": "Σ\u2028\u202e?", "answers": ["\u0000x"]}])
    (sample,) = load_task(folder).samples
    assert sample.question == "Σ\u2028\u202e?"
    assert json.loads((folder / "samples.jsonl").read_text(encoding="utf-8"))["answers"] == [
        "\u0000x"
    ]


def test_a_sample_that_no_metric_of_the_task_can_score_is_a_problem_before_the_run(
    tmp_path: Path,
) -> None:
    Image.new("RGB", (40, 40), "white").save(tmp_path / "p.png")
    lines = [
        {"id": "1", "images": ["p.png"], "question": "q", "answers": ["a"]},
        {
            "id": "2",
            "images": ["p.png"],
            "question": "q",
            "answers": [{"a": 1}],
            "answer_type": "json",
        },
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "samples.jsonl").write_text(text, encoding="utf-8")
    # A task that names no metrics gets such as fit all its samples.
    assert load_task(tmp_path).metrics[0] == "anls_star"
    (tmp_path / "task.toml").write_text('metrics = ["anls"]\n')
    checked = check_task(tmp_path)
    assert checked.task is None
    (problem,) = checked.problems
    assert problem.line == 2
    assert "answer_type is json, which the metric anls" in problem.message
