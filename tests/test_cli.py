"""The command line as a person meets it: what it prints, what it refuses, how it exits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.cli import VERBS
from bench.errors import InvalidInput
from bench.rundir.store import RunStore
from tests.conftest import MakeTask

TOML = """
[models.good]
model = "fake"
options = { answers = { "What is field 0?" = "value 0", "What is field 1?" = "value 1" } }
[models.bad]
model = "fake"
options = { default = "value 9", fail = ["d0/q0"] }
[models.dead]
model = "fake"
options = { load_error = "no weights here" }
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that asks for ``finished`` leaves its results for the others."""
    return tmp_path_factory.mktemp("kept") / "results"


@pytest.fixture
def finished(bench: Any, make_task: MakeTask, tmp_path: Path, kept: Path) -> Path:
    """A run of two models on one task, in the working directory: made once, and copied for every test."""
    (tmp_path / "bench.toml").write_text(TOML)
    task, results = make_task(), tmp_path / "results"
    if kept.exists():
        shutil.copytree(kept, results)
    else:
        assert bench("run", "-m", "good,bad", "-t", task, "--no-report").status == 0
        shutil.copytree(results, kept)
    (path,) = results.iterdir()
    return path


def test_no_arguments_print_the_verbs_and_examples(bench: Any) -> None:
    result = bench()
    assert result.status == 0
    assert all(f"  {verb} " in result.out for verb in VERBS)
    assert "bench run --models" in result.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(bench: Any, verb: str) -> None:
    result = bench(verb, "--help")
    assert result.status == 0
    assert result.out.startswith(f"Usage: bench {verb}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rnu"], "did you mean run"),
        (["run"], "Missing option '-m' / '--models'"),
        (["run", "-m", "ocrr", "-t", "all"], "did you mean ocr"),
        (["run", "-m", "ocr qwen2-vl-2b", "-t", "all"], "did you mean ocr,qwen2-vl-2b? Commas"),
        (["run", "-m", "Qwen2-VL-2B-Instrct"], "did you mean"),
        (["run", "-m", "fake", "-t", "nowhere"], "no task and no folder is called 'nowhere'"),
        (["run", "-m", "fake", "--batch-size", "0"], "expected auto or a number"),
        (["run", "-m", "fake", "--label", "novalue"], "expected key=value"),
        (["run", "-m", "fake", "--config", "gone.toml"], "gone.toml does not exist"),
        (["score", "nothing"], "no run is called 'nothing'"),
        (["report", "nothing"], "no run is called"),
        (["show", "nothing", "x"], "no run is called"),
        (["compare", "one", "two"], "neither a run nor a model"),
        (["data", "validate", "nowhere"], "no task and no folder"),
        (["list", "everything"], "is not one of"),
    ],
)
def test_what_is_typed_wrongly_gets_one_line_and_status_2(
    bench: Any, arguments: list[str], says: str
) -> None:
    result = bench(*arguments)
    assert result.status == 2
    assert says in result.err
    assert result.err.startswith("error: ")
    assert len(result.err.strip().splitlines()) <= 2
    assert "Traceback" not in result.err


def test_a_run_writes_a_leaderboard_and_a_run_directory(bench: Any, finished: Path) -> None:
    assert RunStore.open(finished).state() == "complete"
    assert (finished / "scores" / "summary.json").is_file()


def test_json_is_the_only_thing_on_standard_output(
    bench: Any, make_task: MakeTask, tmp_path: Path
) -> None:
    (tmp_path / "bench.toml").write_text(TOML)
    result = bench("run", "-m", "good", "-t", make_task(), "--no-report", "--json")
    assert result.status == 0
    assert json.loads(result.out)


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    bench: Any, make_task: MakeTask, tmp_path: Path
) -> None:
    result = bench("run", "-m", "qwen2-vl-2b,ocr", "-t", make_task(), "--dry-run")
    assert result.status == 0
    assert "24 questions in all" in result.out
    assert "Qwen/Qwen2-VL-2B-Instruct" in result.out
    assert not (tmp_path / "results").exists()


def test_a_model_that_fails_beside_others_exits_4_and_alone_exits_3(
    bench: Any, make_task: MakeTask, tmp_path: Path
) -> None:
    (tmp_path / "bench.toml").write_text(TOML)
    folder = make_task()
    mixed = bench("run", "-m", "good,dead", "-t", folder, "--no-report")
    assert mixed.status == 4
    assert "no weights here" in mixed.err
    alone = bench("run", "-m", "dead", "-t", folder)
    assert alone.status == 3
    assert "dead: no weights here" in alone.out
    assert "Afterwards the same bench run asks what is missing" in alone.out
    # Neither a table of dashes nor a report that shows nothing.
    assert "Score" not in alone.out
    assert "--open" not in alone.out


def test_too_many_failed_answers_exit_4(bench: Any, make_task: MakeTask, tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(TOML)
    folder = make_task()
    arguments = ("run", "-m", "bad", "-t", folder, "--no-report", "--fresh")
    assert bench(*arguments, "--max-errors", "0.5").status == 0
    assert bench(*arguments, "--max-errors", "0.01").status == 4


def test_limit_and_sample_ids_choose_questions(
    bench: Any, make_task: MakeTask, tmp_path: Path
) -> None:
    (tmp_path / "bench.toml").write_text(TOML)
    (tmp_path / "ids.txt").write_text("d1/q1\nd2/q3\n")
    bench("run", "-m", "good", "-t", make_task(), "--no-report", "--sample-ids", "ids.txt")
    (path,) = (tmp_path / "results").iterdir()
    assert set(RunStore.open(path).outputs("good", "mine")) == {"d1/q1", "d2/q3"}


def test_the_config_file_gives_defaults_and_a_flag_beats_it(
    bench: Any, make_task: MakeTask, tmp_path: Path
) -> None:
    (tmp_path / "bench.toml").write_text('[run]\nlimit = 2\nmodels = ["fake"]\nno-report = true\n')
    folder = make_task()
    bench("run", "-t", folder, "--name", "two")
    bench("run", "-t", folder, "--name", "five", "--limit", "5")
    counts = {
        RunStore.open(p).record["name"]: len(RunStore.open(p).outputs("fake", "mine"))
        for p in (tmp_path / "results").iterdir()
    }
    assert counts == {"two": 2, "five": 5}


def test_an_environment_variable_sets_an_option(
    bench: Any, make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_RUN_LIMIT", "3")
    bench("run", "-m", "fake", "-t", make_task(), "--no-report")
    (path,) = (tmp_path / "results").iterdir()
    assert len(RunStore.open(path).outputs("fake", "mine")) == 3


def test_an_unknown_key_of_the_config_is_refused(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text("[run]\nlimt = 2\n")
    result = bench("run", "-m", "fake")
    assert result.status == 2
    assert "did you mean limit" in result.err


def test_an_unwritable_results_folder_is_refused(bench: Any, make_task: MakeTask) -> None:
    # Not even root may make a folder there.
    result = bench("run", "-m", "fake", "-t", make_task(), "--out", "/proc/results")
    assert result.status == 3
    assert "--out" in result.err
    assert "Traceback" not in result.err


def test_a_results_folder_that_is_a_file_is_refused(
    bench: Any, make_task: MakeTask, tmp_path: Path
) -> None:
    (tmp_path / "results").write_text("")
    result = bench("run", "-m", "fake", "-t", make_task())
    assert result.status == 2
    assert "results" in result.err


def test_scores_can_be_made_again_with_other_metrics(bench: Any, finished: Path) -> None:
    assert bench("score", finished, "--metrics", "exact_match,cer").status == 0
    summary = json.loads((finished / "scores" / "summary.json").read_text(encoding="utf-8"))
    assert {cell["headline"] for cell in summary["cells"]} == {"exact_match"}


@pytest.mark.parametrize(
    ("metric", "says"), [("anl", "did you mean"), ("kie_f1", "--metrics exact_match")]
)
def test_a_metric_that_is_unknown_or_does_not_fit_is_refused(
    bench: Any, finished: Path, metric: str, says: str
) -> None:
    before = (finished / "scores" / "summary.json").read_bytes()
    result = bench("score", finished, "--metrics", metric)
    assert result.status == 2
    assert says in result.err
    assert (finished / "scores" / "summary.json").read_bytes() == before


def predictions(path: Path, ids: list[str]) -> Path:
    path.write_text("".join(json.dumps({"id": i, "prediction": "value 0"}) + "\n" for i in ids))
    return path


ALL = [f"d{d}/q{q}" for d in range(3) for q in range(4)]


def test_answers_made_elsewhere_are_scored_as_a_run(
    bench: Any, make_task: MakeTask, tmp_path: Path
) -> None:
    folder = make_task()
    result = bench("score", predictions(tmp_path / "gpt.jsonl", ALL), "--task", folder)
    assert result.status == 0
    (path,) = (tmp_path / "results").iterdir()
    assert RunStore.open(path).model_names() == ["gpt"]
    assert "gpt" in result.out


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (ALL[:-1], "1 of the 12 questions of mine have no answer; the first is 'd2/q3'"),
        ([*ALL, "d0/q0"], "gpt.jsonl:13: question 'd0/q0' already has an answer in line 1"),
        ([*ALL, "d0/q00"], "did you mean d0/q0"),
    ],
)
def test_a_file_of_answers_with_wrong_ids_is_refused_and_nothing_is_written(
    bench: Any, make_task: MakeTask, tmp_path: Path, ids: list[str], says: str
) -> None:
    folder = make_task()
    result = bench("score", predictions(tmp_path / "gpt.jsonl", ids), "--task", folder)
    assert result.status == 2
    assert says in result.err
    assert not (tmp_path / "results").exists()


def test_a_table_where_lines_of_json_are_expected_is_told_the_form(
    bench: Any, tmp_path: Path
) -> None:
    (tmp_path / "gpt.csv").write_text("id;answer\r\n1;x\r\n")
    result = bench("score", "gpt.csv", "--task", "slips")
    assert result.status == 2
    assert """try:   write every line as {"id": "…", "text": "…"}""" in result.err


def test_a_file_of_answers_needs_a_task(bench: Any, tmp_path: Path) -> None:
    result = bench("score", predictions(tmp_path / "gpt.jsonl", ALL))
    assert (result.status, "--task" in result.err) == (2, True)


def test_two_models_of_one_run_are_compared_question_by_question(
    bench: Any, finished: Path
) -> None:
    result = bench("compare", "bad", "good")
    assert result.status == 0
    first, *_ = result.out.splitlines()
    assert first == (
        "No difference can be told: it is at most ±0.737 over 3 documents (95 % confidence, p = 0.471)."
    )
    assert "mine  anls" in result.out
    assert "gained mine/d0/q0" in result.out
    as_json = json.loads(bench("compare", f"{finished}:bad", f"{finished}:good", "--json").out)
    (row,) = as_json[0]["rows"]
    assert as_json[0]["conclusion"] == first
    assert row["difference"]["difference"] == pytest.approx(row["second"] - row["first"])


def test_an_unknown_model_is_told_where_it_was_looked_for(bench: Any, finished: Path) -> None:
    newest = bench("compare", "bad", "goood").err
    assert f"neither a model of the newest run, {finished.name}, nor a run in" in newest
    assert "RUN:MODEL names a model of another run" in newest
    named = bench("compare", "bad", "goood", "--run", finished.name).err
    assert f"neither a model of {finished.name} nor a run in" in named


def test_a_comparison_can_be_broken_down(bench: Any, finished: Path) -> None:
    result = bench("compare", "bad", "good", "--by", "field")
    assert "mine · field=f0" in result.out


def test_runs_without_a_common_question_are_not_compared(
    bench: Any, finished: Path, make_task: MakeTask
) -> None:
    other = make_task(name="other")
    bench("run", "-m", "good", "-t", other, "--no-report", "--name", "second")
    result = bench("compare", finished, "second")
    assert result.status == 2
    assert "share no question: the first was asked mine, and the second other" in result.err


def test_runs_that_asked_other_questions_of_a_task_are_told_so(bench: Any, finished: Path) -> None:
    for name, asked in (("early", "d0/q0"), ("late", "d1/q1")):
        bench(
            "run", "-m", "good", "-t", "mine", "--sample-ids", asked, "--no-report", "--name", name
        )
    result = bench("compare", "early", "late")
    assert "of mine they were asked different questions" in result.err


def test_a_plan_says_how_many_documents_are_needed(
    bench: Any, finished: Path, tmp_path: Path
) -> None:
    result = bench(
        "plan", "--task", tmp_path / "mine", "--difference", "0.05", "--discordance", "0.1"
    )
    assert result.status == 0
    assert "documents needed" in result.out
    (found,) = json.loads(bench("plan", "--task", tmp_path / "mine", "--json").out)["comparisons"]
    rows = found["rows"]
    needed = [row["documents needed"] for row in rows]
    assert needed == sorted(needed)


def test_a_sample_is_shown_with_every_answer(bench: Any, finished: Path) -> None:
    result = bench("show", finished, "d1/q0")
    assert result.status == 0
    assert "What is field 0?" in result.out
    assert "good" in result.out
    assert "bad" in result.out


def test_questions_are_listed_with_a_mark_for_every_answer(bench: Any, finished: Path) -> None:
    result = bench("show", "last")
    assert "d0/q0" in result.out
    assert "Marks, in this order: good, bad. ✓ right" in result.err
    wrong = bench("show", "last", "--wrong").out
    assert wrong.splitlines()[1].split()[:2] == ["d0/q0", "✓!"]
    assert bench("show", "last", "--wrong", "--model", "good").out.count("✗") == len(
        [line for line in result.out.splitlines()[1:] if line.split()[1].startswith("✗")]
    )
    one = bench("show", "last", "d0/q0", "--model", "bad").out
    assert "! bad: failed" in one
    assert "good" not in one


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("d0/q0", "--wrong"), "--wrong lists questions"), (("--model", "god"), "did you mean good")],
)
def test_questions_that_cannot_be_listed(
    bench: Any, finished: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = bench("show", "last", *arguments)
    assert (result.status, says in result.err) == (2, True)


def test_hostile_text_does_not_reach_the_terminal(
    bench: Any, make_task: MakeTask, tmp_path: Path
) -> None:
    evil = "\x1b[31m\u202e</script>\x07"
    toml = f'[models.evil]\nmodel = "fake"\noptions = {{ default = {json.dumps(evil)} }}\n'
    (tmp_path / "bench.toml").write_text(toml)
    bench("run", "-m", "evil", "-t", make_task(), "--no-report")
    result = bench("show", "last", "d0/q0")
    assert "\x1b[31m" not in result.out
    assert "\u202e" not in result.out
    assert "\\x1b" in result.out


def test_validation_names_every_problem_and_exits_2(bench: Any, make_task: MakeTask) -> None:
    rows = [{"id": "a", "images": ["gone.png"], "question": "", "answers": []}]
    result = bench("data", "validate", make_task(rows))
    assert result.status == 2
    assert len(result.out.strip().splitlines()) == 3


def test_validation_of_a_sound_folder_says_so(bench: Any, make_task: MakeTask) -> None:
    result = bench("data", "validate", make_task(), "--deep")
    assert result.status == 0
    assert "No problem was found" in result.out


@pytest.mark.parametrize("kind", ["models", "tasks", "metrics", "runs"])
def test_lists_are_tables_and_json(bench: Any, finished: Path, kind: str) -> None:
    assert bench("list", kind).out.strip()
    assert json.loads(bench("list", kind, "--json").out)


def test_the_doctor_names_a_cure_for_everything_that_is_missing(bench: Any) -> None:
    result = bench("doctor", "--json")
    checks = json.loads(result.out)
    assert {"Python", "torch", "results", "hub cache", "RapidOCR"} <= {
        check["name"] for check in checks
    }
    assert all(check["cure"] for check in checks if check["state"] == "missing")
    assert result.status == (3 if any(check["state"] == "missing" for check in checks) else 0)


@pytest.mark.parametrize(
    ("flag", "option"), [("--no-reuse", {"reuse": False}), ("--reference", {"reference": True})]
)
def test_the_engine_is_chosen_for_qwen_models_and_refused_for_others(
    flag: str, option: dict[str, bool]
) -> None:
    from bench.cli.planning import models_to_run
    from bench.cli.run import run_command
    from bench.cli.run_options import RunOptions

    context = run_command.make_context("run", ["-m", "qwen2-vl-2b", flag])
    options = RunOptions(**context.params)
    (qwen,) = models_to_run(options.models, options)
    assert dict(qwen.options) == option
    with pytest.raises(InvalidInput, match=f"the model 'ocr' cannot follow {flag}"):
        models_to_run(["qwen2-vl-2b", "ocr"], options)


def test_documents_are_drawn_into_a_folder_named_after_them_or_into_the_one_named(
    bench: Any, tmp_path: Path
) -> None:
    arguments = ("data", "synth", "--kind", "receipt", "--lang", "en,zh", "-n", "2", "--seed", "7")
    result = bench(*arguments)
    assert result.status == 0
    assert result.out.startswith("synth-receipt-en-zh-7: ")
    assert bench(*arguments, "--out", "elsewhere").status == 0
    drawn = tmp_path / "synth-receipt-en-zh-7" / "samples.jsonl"
    assert drawn.read_bytes() == (tmp_path / "elsewhere" / "samples.jsonl").read_bytes()


@pytest.mark.parametrize(("columns", "whole"), [(40, False), (80, False), (400, True)])
def test_a_wide_terminal_shows_whole_cells(
    bench: Any, monkeypatch: pytest.MonkeyPatch, columns: int, whole: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = bench("list", "metrics").out
    rows = json.loads(bench("list", "metrics", "--json").out)
    definitions = [row["definition"] for row in rows]
    longest = max(definitions, key=len)
    assert len(longest) > 60
    assert (longest in out) == whole
    # What does not fit into the line is folded, never cut.
    assert "…" not in out
    dense = "".join(out.split())
    for row in rows:
        cells = (" ".join(cell) if isinstance(cell, list) else cell for cell in row.values())
        assert all("".join(cell.split()) in dense for cell in cells)
    if not whole:
        assert max(map(len, out.splitlines())) <= columns


def test_tables_are_named_by_their_files(bench: Any, finished: Path, tmp_path: Path) -> None:
    lines = bench("report", finished, "--format", "csv", "-o", "a.csv").out.splitlines()
    assert lines[-2:] == ["Table    a.csv", "Table    a-samples.csv"]
    assert (tmp_path / "a.csv").is_file()


# Options: one record, the same words in every verb, groups and whole sentences in the help


def help_of(bench: Any, *verbs: str) -> str:
    text: str = bench(*verbs, "--help").out
    return text


def commands() -> list[tuple[str, ...]]:
    """Every command that takes options, as it is typed."""
    from click import Context, Group

    from bench.cli import cli

    typed: list[tuple[str, ...]] = []
    for verb in VERBS:
        command = cli.get_command(Context(cli), verb)
        typed += (
            [(verb, name) for name in command.commands] if isinstance(command, Group) else [(verb,)]
        )
    return typed


def command_of(typed: tuple[str, ...]) -> Any:
    from click import Context, Group

    from bench.cli import cli

    command: Any = cli.get_command(Context(cli), typed[0])
    return command.commands[typed[1]] if isinstance(command, Group) else command


def test_the_options_of_run_are_one_typed_record() -> None:
    from bench.cli.run import run_command
    from bench.cli.run_options import RunOptions

    arguments = ["-m", "fake", "--visual-tokens", "256", "--label", "a=b", "--batch-size", "4"]
    options = RunOptions(**run_command.make_context("run", arguments).params)
    assert options.models == ("fake",)
    assert options.tasks == ("all",)
    assert (options.visual_tokens, options.max_pixels) == (256, None)
    assert (options.labels, options.batch_size) == ((("a", "b"),), 4)
    with pytest.raises(AttributeError):
        options.limit = 3  # type: ignore[misc]


@pytest.mark.parametrize("typed", commands(), ids=" ".join)
def test_a_name_of_a_model_or_task_has_both_spellings(typed: tuple[str, ...]) -> None:
    spellings = {spelling for parameter in command_of(typed).params for spelling in parameter.opts}
    for one, several in (("--model", "--models"), ("--task", "--tasks")):
        assert (one in spellings) == (several in spellings)


@pytest.mark.parametrize("typed", commands(), ids=" ".join)
def test_every_option_is_explained_in_whole_sentences(typed: tuple[str, ...]) -> None:
    for parameter in command_of(typed).params:
        if parameter.param_type_name != "option":
            continue
        text = parameter.help.partition("  [default")[0].strip()
        assert text.endswith("."), parameter.name
        assert len(text.split()) >= 3, parameter.name
        assert not text.startswith(("Of ", "As in")), parameter.name


def test_the_help_shows_one_spelling_and_the_other_is_accepted(
    bench: Any, make_task: MakeTask, finished: Path
) -> None:
    text = help_of(bench, "run")
    assert "--models" in text
    assert "--model " not in text
    folder = make_task(name="other")
    both = ("run", "--model", "good", "--task", folder, "--dry-run")
    assert bench(*both).out == bench("run", "--models", "good", "--tasks", folder, "--dry-run").out
    assert bench("pull", "--model", "ocr", "--dry-run").status == 0


def test_one_model_is_asked_for_where_a_verb_takes_one(bench: Any) -> None:
    result = bench("predict", "--models", "ocr,fake")
    assert result.status == 2
    assert "expected one name, got 2: ocr, fake" in result.err


def test_the_help_of_run_has_groups(bench: Any) -> None:
    lines = help_of(bench, "run").splitlines()
    titles = [line.rstrip(":") for line in lines if line.endswith(":") and line[0] != " "]
    assert titles == ["What to run", "Pages", "Engine", "Measuring", "Run directory", "Output"]
    assert lines[-1].strip().startswith("-h, --help")
    for verb, title in (("tune", "Training:"), ("plan", "Comparison:")):
        assert title in help_of(bench, verb)


def test_no_line_of_help_is_cut(bench: Any) -> None:
    text = help_of(bench, "data")
    assert "..." not in text.replace("[ARGS]...", "")
    listing = " ".join(text.partition("Commands:")[2].split())
    assert (
        "Split a task by document into NAME-train for tuning and NAME-test for measuring."
        in listing
    )


@pytest.mark.parametrize("name", ["BENCH_RUN_OUT", "BENCH_RUN_RESULTS"])
def test_a_variable_may_have_any_spelling_of_its_option(
    bench: Any, make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("BENCH_RUN_TASK", str(make_task()))
    assert bench("run", "-m", "fake", "--no-report").status == 0
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


def test_a_flag_beats_a_variable_beats_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.cli.run import run_command

    def limit(*arguments: str) -> int:
        context = run_command.make_context(
            "run", ["-m", "fake", *arguments], auto_envvar_prefix="BENCH_RUN"
        )
        return int(context.params["limit"])

    (tmp_path / "bench.toml").write_text("[run]\nlimit = 2\n")
    assert limit() == 2
    monkeypatch.setenv("BENCH_RUN_LIMIT", "3")
    assert limit() == 3
    assert limit("--limit", "4") == 4


@pytest.mark.parametrize("verb", ["run", "score", "report", "compare"])
def test_a_seed_that_changed_nothing_is_gone(bench: Any, verb: str) -> None:
    assert "--seed" not in help_of(bench, verb)


def test_a_seed_in_the_file_is_explained(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text("[run]\nseed = 0\n")
    result = bench("run", "-m", "fake")
    assert result.status == 2
    assert "delete the line, because it changed nothing in a run" in result.err


def test_a_bound_means_the_same_in_both_units(bench: Any, make_task: MakeTask) -> None:
    folder = make_task()
    models = "qwen2-vl-2b,qwen3-vl-2b"

    def bounds(*arguments: str) -> list[int]:
        out = bench("run", "-m", models, "-t", folder, "--dry-run", "--json", *arguments).out
        return [model["max_pixels"] for model in json.loads(out)["models"]]

    assert bounds("--visual-tokens", "1280") == [1280 * 28 * 28, 1280 * 32 * 32]
    assert bounds("--max-pixels", "1003520") == [1_003_520, 1_003_520]
    shown = bench("run", "-m", models, "-t", folder, "--dry-run", "--visual-tokens", "1280").out
    assert all(number in shown for number in ("1,003,520", "1,310,720", "1,280"))


def test_of_two_units_the_flag_beats_the_file(
    bench: Any, make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench.toml").write_text("[run]\nmax_pixels = 1003520\n")
    folder = make_task()

    def bound(*arguments: str) -> int:
        out = bench("run", "-m", "qwen2-vl-2b", "-t", folder, "--dry-run", "--json", *arguments).out
        return int(json.loads(out)["models"][0]["max_pixels"])

    assert bound() == 1_003_520
    assert bound("--visual-tokens", "256") == 200_704
    monkeypatch.setenv("BENCH_RUN_VISUAL_TOKENS", "512")
    assert bound() == 401_408
    assert bound("--max-pixels", "200704") == 200_704


@pytest.mark.parametrize("verb", ["run", "plan", "tune", "predict"])
def test_every_verb_with_pages_has_both_units(bench: Any, verb: str) -> None:
    text = help_of(bench, verb)
    assert "--visual-tokens N" in text
    assert "--max-pixels PIXELS" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--max-pixels", "256"], "if you mean visual tokens, type --visual-tokens 256"),
        (["--max-pixels", "many"], "expected a number of pixels"),
        (["--visual-tokens", "3"], "expected a whole number from 4 to 16384, got '3'"),
        (["--visual-tokens", "256", "--max-pixels", "200704"], "the same limit, in two units"),
        (["--visual-tokens", "256", "--sweep", "visual_tokens=256"], "already has a bound"),
    ],
)
def test_a_bound_in_the_wrong_unit_is_refused_in_one_line(
    bench: Any, make_task: MakeTask, arguments: list[str], says: str
) -> None:
    result = bench("run", "-m", "qwen2-vl-2b", "-t", make_task(), "--dry-run", *arguments)
    assert result.status == 2
    assert says in result.err
    assert len(result.err.splitlines()) <= 2


def test_a_report_is_written_where_out_says(bench: Any, finished: Path, tmp_path: Path) -> None:
    assert bench("report", finished, "--out", tmp_path / "here", "--format", "md").status == 0
    assert (tmp_path / "here" / "report.md").is_file()
    assert not (finished / "report.md").exists()
    assert bench("report", finished, "--output", "there", "--format", "md").status == 0
    assert (tmp_path / "there" / "report.md").is_file()


@pytest.mark.parametrize("spelling", ["--results", "--runs"])
def test_the_folder_of_runs_is_named_for_a_report(
    bench: Any, finished: Path, tmp_path: Path, spelling: str
) -> None:
    results = finished.parent.rename(tmp_path / "moved")
    arguments = ("report", "last", spelling, results, "-o", "x.md")
    assert bench(*arguments).status == 0
    assert (tmp_path / "x.md").is_file()


@pytest.mark.parametrize("spelling", ["--results", "--runs", "--out"])
def test_the_folder_of_runs_is_named_where_it_is_only_looked_up(
    bench: Any, finished: Path, tmp_path: Path, spelling: str
) -> None:
    results = finished.parent.rename(tmp_path / "moved")
    for command in (
        ("score", "last"),
        ("show", "last"),
        ("list", "runs"),
        ("compare", "good", "bad"),
    ):
        assert bench(*command, spelling, results).status == 0


def test_a_file_of_a_kind_that_no_report_has_is_refused(
    bench: Any, finished: Path, tmp_path: Path
) -> None:
    result = bench("report", finished, "-o", "x.pdf")
    assert result.status == 2
    assert "cannot be written as .pdf" in result.err
    assert ".html, .md, .csv, .json" in result.err
    assert not (tmp_path / "x.pdf").exists()
    # A folder that exists may have any name, and so may one whose end is no kind of file.
    (tmp_path / "of.pdf").mkdir()
    assert bench("report", finished, "-o", "of.pdf", "--format", "md").status == 0
    assert bench("report", finished, "-o", "2026.11", "--format", "md").status == 0
    assert (tmp_path / "2026.11" / "report.md").is_file()


def test_a_report_replaces_only_a_report_and_names_its_file(
    bench: Any, finished: Path, tmp_path: Path
) -> None:
    for name in ("x.md", "x.html", "x.json", "x.csv"):
        path = tmp_path / name
        path.write_text("format,mine\n", encoding="utf-8")
        result = bench("report", finished, "-o", name)
        assert (result.status, "is not a report of this format" in result.err) == (2, True)
        assert path.read_text(encoding="utf-8") == "format,mine\n"
        path.unlink()
        for _ in range(2):
            result = bench("report", finished, "-o", name, "--images", "none")
            assert (result.status, f"   {name}\n" in result.out) == (0, True)
    (tmp_path / "x-samples.csv").write_text("mine", encoding="utf-8")
    assert bench("report", finished, "-o", "x.csv").status == 2


def test_the_models_of_bench_toml_are_listed_first(bench: Any, tmp_path: Path) -> None:
    toml = tmp_path / "bench.toml"
    toml.write_text(
        '[models.mine]\nmodel = "qwen2-vl-2b"\n[models.ocr-fast]\nmodel = "ocr"\n'
        '[models.gone]\nmodel = "no-such-model"\n[models.far]\nmodel = "s3://bucket/adapter"\n',
        encoding="utf-8",
    )
    result = bench("list", "models", "--json")
    rows = json.loads(result.out)
    names = [row["name"] for row in rows]
    assert names[:4] == ["mine", "ocr-fast", "gone", "far"]
    assert names.count("ocr-fast") == 1 and "qwen2-vl-2b" in names
    assert rows[0]["license"] == "apache-2.0" and rows[3]["checkpoint"] == "s3://bucket/adapter"
    assert all(row.keys() == rows[0].keys() for row in rows)
    assert "warning: gone: there is no model 'no-such-model'" in result.err
    toml.write_text("[models", encoding="utf-8")
    result = bench("list", "models")
    assert (result.status, "not valid TOML" in result.err) == (0, True)
    assert "qwen2-vl-2b" in result.out


def test_a_table_for_a_program_has_one_line_a_row_and_no_colour(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    out = bench("list", "metrics").out
    rows = json.loads(bench("list", "metrics", "--json").out)
    assert len(out.splitlines()) == 1 + len(rows)
    assert "\x1b" not in out


def test_the_kinds_of_documents_in_the_help_are_those_that_are_drawn(bench: Any) -> None:
    from bench.synth.kinds import KINDS

    text = " ".join(help_of(bench, "data", "synth").split())
    assert all(kind in text for kind in KINDS)


def test_a_group_without_a_command_prints_its_help(bench: Any) -> None:
    result = bench("data")
    assert (result.status, result.err) == (0, "")
    assert "annotate" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "0"], "expected a whole number of at least 1, got '0'"),
        (["--limit", "x"], "expected a whole number of at least 1, got 'x'"),
        (["--max-errors", "2"], "expected a number from 0 to 1, got '2'"),
        (["--dtype", "fp64"], "expected auto, bf16, fp16 or fp32, got 'fp64'"),
    ],
)
def test_a_wrong_value_is_answered_with_what_is_expected(
    bench: Any, arguments: list[str], message: str
) -> None:
    result = bench("run", "-m", "ocr", *arguments)
    assert result.status == 2
    assert message in result.err


def test_a_wrong_value_says_where_it_stands(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench.toml").write_text('[run]\nlimit = "x"\n')
    assert "got 'x' in [run] of bench.toml" in bench("run", "-m", "ocr").err
    (tmp_path / "bench.toml").unlink()
    monkeypatch.setenv("BENCH_RUN_DRY_RUN", "maybe")
    message = "expected true or false, got 'maybe' in the environment variable BENCH_RUN_DRY_RUN"
    assert message in bench("run", "-m", "ocr").err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("json = 3", "json should be true or false, not 3"),
        ("latency-samples = true", "latency-samples should be text, a number or a list, not True"),
        ("out = {a = 1}", "out should be text, a number or a list"),
    ],
)
def test_a_value_of_the_wrong_kind_in_the_file_is_one_line(
    bench: Any, tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "bench.toml").write_text(f"[run]\n{line}\n")
    result = bench("run", "-m", "ocr")
    assert result.status == 2
    assert message in result.err


@pytest.mark.parametrize(("pixels", "offers"), [("0", False), ("300", True)])
def test_visual_tokens_are_offered_only_where_they_are_valid(
    bench: Any, pixels: str, offers: bool
) -> None:
    result = bench("run", "-m", "ocr", "--max-pixels", pixels)
    assert ("--visual-tokens" in result.err) is offers


@pytest.mark.parametrize("flag", ["--task", "--model"])
def test_a_run_is_not_scored_with_options_of_a_file(bench: Any, finished: Path, flag: str) -> None:
    result = bench("score", finished, flag, "x")
    assert result.status == 2
    assert f"leave out {flag}" in result.err


def test_a_report_names_every_run_once(bench: Any, finished: Path) -> None:
    result = bench("report", "last", finished)
    assert result.status == 2
    assert "is named twice" in result.err


def test_documents_are_drawn_into_one_folder(bench: Any, tmp_path: Path) -> None:
    result = bench("data", "synth", "a", "--out", "b", "--kind", "slip")
    assert result.status == 2
    assert not list(tmp_path.iterdir())


def test_a_question_in_the_place_of_a_page_gets_a_hint(bench: Any) -> None:
    result = bench("predict", "-m", "fake", "What is the total?")
    assert result.status == 2
    assert "--question" in result.err


def test_a_model_without_answers_is_not_compared(
    bench: Any, make_task: MakeTask, tmp_path: Path
) -> None:
    (tmp_path / "bench.toml").write_text(TOML)
    assert bench("run", "-m", "good,dead", "-t", make_task(), "--no-report").status == 4
    assert ":dead has no answers" in bench("compare", "good", "dead").err


@pytest.mark.parametrize("columns", [40, 80])
def test_a_summary_is_no_wider_than_the_terminal(
    bench: Any, finished: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = bench("score", finished).out
    # Commands and paths stay in one line, so that they can be copied.
    lines = [line for line in text.splitlines() if str(finished.name) not in line]
    assert max(map(len, lines)) <= columns


def test_no_color_means_no_colour(
    bench: Any, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in bench("score", finished).out
    assert "\x1b[3" not in bench("nonsense").err


@pytest.mark.parametrize(
    "name", ["a@ftp://localhost:9/v1", "a@localhost:9", "@http://localhost:9/v1"]
)
def test_an_address_that_is_none_is_explained(bench: Any, name: str) -> None:
    result = bench("run", "-m", name)
    assert result.status == 2
    assert "MODEL@http://localhost:8000/v1" in result.err


def test_what_a_server_runs_is_neither_planned_nor_pulled(bench: Any) -> None:
    served = "Qwen/Qwen2-VL-2B-Instruct@http://127.0.0.1:9/v1"
    plan = bench("plan", "-m", served, "-t", "slips", "--memory", 8)
    assert plan.status == 2
    assert "runs on a server" in plan.err
    pull = bench("pull", "-m", served)
    assert pull.status == 0
    assert "needs no download" in pull.out


def test_a_run_that_a_broken_page_stops_names_the_option_that_allows_it(
    bench: Any, make_task: MakeTask
) -> None:
    folder = make_task(documents=2)
    (folder / "p0.png").write_bytes(b"no picture")
    result = bench("run", "-m", "ocr", "-t", folder)
    assert result.status == 2
    assert "or add --allow-unreadable: these questions then count as failed" in result.err
    (folder / "samples.jsonl").write_text("{")
    assert "--allow" not in bench("run", "-m", "ocr", "-t", folder).err


def test_a_run_of_other_options_is_not_resumed_and_the_difference_is_readable(
    bench: Any, finished: Path, tmp_path: Path
) -> None:
    result = bench("run", "-m", "good", "-t", tmp_path / "mine", "--resume", "last")
    assert result.status == 2
    assert "models: good, bad → good" in result.err
