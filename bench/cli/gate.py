"""``bench gate``: has a run got worse than a baseline, beyond the noise and beyond a margin?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import echo_json
from bench.cli.commands import GroupedCommand, argument, choice, takes
from bench.cli.lookup import find_sides
from bench.cli.option_types import Label, text_list
from bench.cli.options import json_choice, output_choice, results_choice
from bench.errors import InvalidInput
from bench.text import one_line, shell_word

if TYPE_CHECKING:
    from bench.gate.baseline import Baseline
    from bench.gate.rules import Rules
    from bench.scoring.comparison import Side

accepted_choice = partial(choice, group="What is accepted")
compared_choice = partial(choice, group="What is compared")


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """What a person chose for ``bench gate``."""

    sides: tuple[str, ...] = argument(nargs=-1, required=True, metavar="[BASELINE] RUN")
    margin: float | None = accepted_choice(
        type=click.FloatRange(0, 1),
        metavar="SCORE",
        help="Accept a loss of a task's mean score up to this.  [default: 0.01]",
    )
    rules: Path | None = accepted_choice(
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Read margins by task and field, ratios and must_pass from this TOML file.",
    )
    ratios: tuple[tuple[str, str], ...] = accepted_choice(
        "--ratio",
        type=Label(),
        multiple=True,
        metavar="COST=R",
        help="Gate a cost as well, and accept at most R times the baseline's: latency (p95), throughput "
        "(seconds per question), memory (peak), failures. The option may be given several times.",
    )
    must_pass: str | None = accepted_choice(
        metavar="IDS",
        help="Fail if one of these questions is not answered right. IDS are separated by commas, or name a "
        "file with one id a line.",
    )
    undecided: str = accepted_choice(
        type=click.Choice(["tell", "pass", "fail"]),
        default="tell",
        help="Exit with 6 (tell), with 0 (pass) or with 5 (fail) if it cannot be told whether the run is "
        "worse.",
    )
    other_prompts: bool = compared_choice(
        help="Compare runs that were asked with different prompts. Use it if the prompt is what you changed."
    )
    repeats: tuple[str, ...] = compared_choice(
        "--repeat",
        multiple=True,
        metavar="RUN",
        help="Also take speed and memory from this further run of the same models and tasks. The option may "
        "be given several times.",
    )
    results: Path = results_choice(group="What is compared")
    write_baseline: Path | None = output_choice(
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write what later gates need to know of RUN into this JSON file. With a BASELINE, it is written "
        "only if the gate passes.",
    )
    markdown: Path | None = output_choice(
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write the result as Markdown, for a summary or a comment.",
    )
    junit: Path | None = output_choice(
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write the result as JUnit XML, a test case for each row.",
    )
    as_json: bool = json_choice()


@click.command("gate", cls=GroupedCommand)
@takes(GateOptions)
def gate_command(options: GateOptions) -> None:
    """Decide whether a run is worse than a baseline, beyond the noise and beyond a margin.

    BASELINE is a file from --write-baseline, a run, or RUN:MODEL. RUN is a run or RUN:MODEL. The exit status
    is 0 if the gate passes, 5 if the run has regressed, 6 if the documents or the repetitions are too few to
    tell, and 7 if the two cannot be compared. A pipeline fails on every status but 0, so on 6, too.

    \b
    bench gate last --write-baseline gate/baseline.json
    bench gate gate/baseline.json last --margin 0.02 --must-pass slip-en-1/total
    """  # noqa: D301  \b is click's mark for a paragraph that is not rewrapped
    from bench.gate.baseline import baseline_of

    if len(options.sides) > 2:
        raise InvalidInput(
            f"expected BASELINE and RUN, got {len(options.sides)} names",
            hint="name further runs of the same models with --repeat",
        )
    if Path(options.sides[-1]).is_file():
        name = shell_word(options.sides[-1])
        raise InvalidInput(
            f"the last name is the run, but {name} is a file", hint=f"bench gate {name} last"
        )
    if len(options.sides) == 1 and options.write_baseline is None:
        raise InvalidInput(
            "expected BASELINE and RUN, got one name",
            hint=f"bench gate BASELINE {shell_word(options.sides[0])}, or --write-baseline FILE to make a "
            "baseline",
        )
    _check_files(options)
    run = find_sides(options.sides[-1], None, options.results, mistakes=True)
    repeats = [side for name in options.repeats for side in find_sides(name, None, options.results)]
    _check_repeats(run, repeats)
    after = baseline_of(run, repeats)
    if len(options.sides) == 1:
        _write_baseline(options, after)
        return
    _gate(options, after)


def _check_files(options: GateOptions) -> None:
    """Refuse to replace files that are not what this verb writes, before anything is computed."""
    from bench.files import check_replaceable
    from bench.gate.baseline import MARK
    from bench.gate.outputs import JUNIT_SUITE, MARKER

    if options.write_baseline is not None:
        check_replaceable(options.write_baseline, "a baseline", MARK)
    if options.markdown is not None:
        check_replaceable(options.markdown, "the Markdown of a gate", MARKER)
    if options.junit is not None:
        check_replaceable(options.junit, "the JUnit XML of a gate", f'name="{JUNIT_SUITE}"')


def _gate(options: GateOptions, after: Baseline) -> None:
    from bench.files import write_atomically
    from bench.gate.outputs import as_json, gate_markdown, junit
    from bench.gate.rules import check_names
    from bench.gate.verdict import judge

    rules = _rules(options)
    before = _baseline(options)
    check_names(rules, before)
    pairs = _pairs(before, after)
    judged = {old for old, _ in pairs}
    missing = [each.name for each in before.models if each.name not in judged]
    if len(before.models) > 1 and _names_a_model(options.sides[-1], after):
        # RUN:MODEL says that the others are not meant.
        missing = []
    result = judge(before, after, pairs, rules, missing=missing)
    if options.markdown is not None:
        write_atomically(options.markdown, gate_markdown(result))
    if options.junit is not None:
        write_atomically(options.junit, junit(result))
    if options.as_json:
        echo_json(as_json(result))
    else:
        _print(result)
    if options.write_baseline is not None and result.outcome == "passed":
        _write_baseline(options, after)
    raise click.exceptions.Exit(result.exit_code)


def _print(result: Any) -> None:
    from bench.cli.tables import has_color, line_width
    from bench.gate.outputs import sections
    from bench.report import terminal_summary

    shown = terminal_summary(sections(result), line_width(), color=has_color())
    click.echo(shown.rstrip())


def _write_baseline(options: GateOptions, after: Baseline) -> None:
    from bench.gate.baseline import write_baseline

    assert options.write_baseline is not None
    unasked = [each.id for each in after.questions if each.answer is None]
    if unasked:
        of_all = f"{len(unasked):,} of {len(after.questions):,} questions"
        raise InvalidInput(
            f"{after.run} is incomplete: {of_all} have no answer",
            hint="finish the run with the command that began it",
        )
    write_baseline(options.write_baseline, after)
    click.echo(f"Baseline {options.write_baseline}", err=options.as_json)


def _rules(options: GateOptions) -> Rules:
    from bench.gate.rules import merged, ratio_of, read_rules

    file_rules: Mapping[str, Any] = {} if options.rules is None else read_rules(options.rules)
    ratios = {name: ratio_of(name, _number(text), "--ratio") for name, text in options.ratios}
    must_pass = () if options.must_pass is None else text_list(options.must_pass, "--must-pass")
    return merged(
        file_rules,
        must_pass,
        margin=options.margin,
        ratios=ratios,
        undecided=options.undecided,
        other_prompts=options.other_prompts,
    )


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _baseline(options: GateOptions) -> Baseline:
    from bench.gate.baseline import baseline_of, read_baseline

    name = options.sides[0]
    path = Path(name)
    if path.is_file() or path.suffix == ".json":
        return read_baseline(path)
    return baseline_of(find_sides(name, None, options.results, mistakes=True))


def _names_a_model(side: str, after: Baseline) -> bool:
    """Whether ``side`` is RUN:MODEL, or a model of a run."""
    return len(after.models) == 1 and side.rpartition(":")[2] == after.models[0].name


def _pairs(before: Baseline, after: Baseline) -> list[tuple[str, str]]:
    """The only models of both sides, or those of one name."""
    olds, news = [each.name for each in before.models], [each.name for each in after.models]
    if len(olds) == len(news) == 1:
        return [(olds[0], news[0])]
    pairs = [(name, name) for name in olds if name in news]
    if not pairs:
        raise InvalidInput(
            "the baseline and the run have no model of the same name",
            hint=f"name one model of the run: {one_line(after.run, 60)}:{one_line(news[0], 60)}",
        )
    return pairs


def _check_repeats(run: Sequence[Side], repeats: Sequence[Side]) -> None:
    """Refuse a repetition of another model, of other tasks, or of a run that is counted already."""
    known = {side.model for side in run}
    for side in repeats:
        name = one_line(side.label, 80)
        if side.model not in known:
            raise InvalidInput(
                f"--repeat {name}: the run has no model of this name",
                hint="name a further run of the same models",
            )
        evaluation = run[0].evaluation
        same_tasks = {task: each.digest for task, each in side.evaluation.tasks.items()} == {
            task: each.digest for task, each in evaluation.tasks.items()
        }
        if not same_tasks:
            raise InvalidInput(
                f"--repeat {name}: it asked other tasks than {one_line(evaluation.run.id, 80)}",
                hint="name a further run of the same tasks",
            )
    paths = [side.evaluation.run.path.resolve() for side in repeats]
    counted = [(path, side.model) for path, side in zip(paths, repeats, strict=True)]
    counted += [(side.evaluation.run.path.resolve(), side.model) for side in run]
    if len(set(counted)) < len(counted):
        raise InvalidInput(
            "--repeat names a run twice, or RUN itself",
            hint="a run that is counted twice is no second measurement",
        )
