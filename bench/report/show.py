"""One sample in the terminal: question, references, every model's answer, what differs, the scores."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import unified_diff

from rapidfuzz.distance import Levenshtein

from bench import formatting
from bench.errors import InvalidInput, did_you_mean
from bench.metrics import METRICS
from bench.metrics.metric import TooLarge, as_text
from bench.metrics.page_test_rules import run_tests
from bench.metrics.page_tests import PageTest, described, page_tests_of
from bench.report.mistakes import RULE_TEXTS, label
from bench.report.samples import extracted_text, question_in_short, reference_texts
from bench.schema import Sample, Task
from bench.scoring.answers import Answer
from bench.scoring.evaluation import Evaluation
from bench.scoring.leaves import answer_leaves, is_structured
from bench.scoring.levels import LEVELS, level
from bench.text import clip, one_line, printable

MAX_TEXT = 4_000
"""Characters of an answer that are shown; a megabyte scrolls everything else away."""

_WRONG = {"partly", "wrong", "failed"}
"""Levels of an answer that is not right."""

MAX_VALUES = 40
"""Wrong values of an object that are listed."""
MAX_LINES = 24
"""Lines of one text that are shown: a whole page would scroll the others away."""

MAX_DIFF = 2_000
"""Characters that are compared letter by letter."""

MAX_LINES_READ = 50_000
"""Characters that are compared line by line."""


MARKS = ", ".join(f"{glyph} {word}" for glyph, word, _ in LEVELS.values()) + "."
"""What the marks in a list of questions mean."""


def marked_questions(evaluation: Evaluation, *, only_wrong: bool = False) -> list[dict[str, str]]:
    """All questions of a run, each with one mark for each model's answer.

    Args:
        evaluation: the scored run.
        only_wrong: leave out what every model answered right, or has not been asked.
    """
    rows = []
    for name, task in evaluation.tasks.items():
        cells = [evaluation.cells[model, name] for model in evaluation.models]
        for number, sample in enumerate(task.samples):
            levels = [level(cell.answers[number], cell.headline) for cell in cells]
            if only_wrong and not _WRONG.intersection(levels):
                continue
            marks = "".join(LEVELS[each][0] for each in levels)
            # A question about perturbed pages has the id of the one about clean pages.
            shown = sample.id if task.perturbation is None else f"{name}/{sample.id}"
            rows.append({"sample": shown, "marks": marks, "question": question_in_short(sample)})
    return rows


def show_sample(evaluation: Evaluation, sample_id: str, only: str | None = None) -> str:
    """The terminal view of one sample.

    Args:
        evaluation: the scored run.
        sample_id: the sample's id, or ``task/id`` where two tasks have a sample of that id.
        only: the model whose answer is shown; None shows all models'.

    Raises:
        InvalidInput: no such sample, or several.
    """
    task, sample = _find(evaluation, sample_id)
    document = task.documents[sample.document_id]
    pages = ", ".join(
        f"{p.path.name}{f' page {p.index + 1}' if p.index else ''}" for p in document.pages
    )
    metadata = "  ".join(f"{k}: {one_line(str(v), 60)}" for k, v in sample.metadata.items())
    lines = [
        f"{one_line(task.name)}/{one_line(sample.id)}",
        f"document  {one_line(sample.document_id)} ({one_line(pages, 300)})",
        *([f"about     {metadata}"] if metadata else []),
        "",
        f"question  {_indented(sample.question)}",
        *(
            f"{'expected' if i == 0 else 'or':<10}{_indented(text)}"
            for i, text in enumerate(reference_texts(sample))
        ),
    ]
    for model in evaluation.models if only is None else (only,):
        cell = evaluation.cells[model, task.name]
        answer = next(a for a in cell.answers if a.sample.id == sample.id)
        lines += ["", *_answer(model, answer, cell.headline)]
    return "\n".join(lines) + "\n"


def _find(evaluation: Evaluation, wanted: str) -> tuple[Task, Sample]:
    matches = [
        (task, sample)
        for task in evaluation.tasks.values()
        for sample in task.samples
        if wanted in (sample.id, f"{task.name}/{sample.id}")
    ]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        ids = [sample.id for task in evaluation.tasks.values() for sample in task.samples]
        known = ids if len(ids) <= 2000 else [i for i in ids if i[:2].lower() == wanted[:2].lower()]
        raise InvalidInput(
            f"run {evaluation.run.id} has no sample {one_line(wanted, 80)!r}",
            hint=did_you_mean(wanted, (one_line(i, 80) for i in known)),
        )
    # An id that is itself "task/id" of another task's sample is told apart by its own task's name.
    exact = [item for item in matches if wanted == f"{item[0].name}/{item[1].id}"]
    if len(exact) == 1:
        return exact[0]
    on_clean_pages = [item for item in matches if item[0].perturbation is None]
    if len(on_clean_pages) == 1:
        return on_clean_pages[0]
    names = " or ".join(f"{task.name}/{one_line(sample.id, 60)}" for task, sample in matches[:3])
    raise InvalidInput(
        f"{len(matches)} tasks have a sample {one_line(wanted, 80)!r}", hint=f"use {names}"
    )


def _answer(model: str, answer: Answer, headline: str) -> list[str]:
    glyph, word, _ = LEVELS[level(answer, headline)]
    lines = [f"{glyph} {one_line(model)}: {word}"]
    output = answer.output
    if output is None:
        return lines
    if answer.mistake is not None and answer.mistake != word:
        rule = RULE_TEXTS.get(answer.mistake, "")
        lines.append(f"  kind      {label(answer.mistake)}{f' ({rule})' if rule else ''}")
    if output.error is not None:
        return [*lines, f"  error     {_indented(output.error)}"]
    lines.append(f"  raw       {_indented(output.text)}")
    if answer.extracted != output.text:
        lines.append(f"  compared  {_indented(answer.extracted)}")
    references = reference_texts(answer.sample)
    compared = extracted_text(answer)
    tests = page_tests_of(answer.sample.references[0]) if answer.sample.references else None
    if is_structured(answer):
        lines += _values(answer)
    elif tests is not None:
        lines += _tests(compared, tests)
    elif references and compared not in references:
        is_page = answer.sample.answer_type == "markdown"
        lines += _line_diff(compared, references[0]) if is_page else _diff(compared, references)
    scores = [
        f"{name} {formatting.score(score.value)}{_arrow(name)}"
        for name, score in answer.scores.items()
    ]
    lines.append(f"  scores    {'  '.join(scores)}")
    counts = [
        formatting.plural(output.generated_tokens, "token")
        if output.generated_tokens is not None
        else "",
        "cut at the token limit" if output.stop_reason == "length" else "",
        formatting.confidence(output),
        f"memory ran out: page shrunk to {formatting.count(output.degraded)} pixels"
        if output.degraded is not None
        else "",
    ]
    if any(counts):
        lines.append(f"  output    {', '.join(filter(None, counts))}")
    if doubt := answer.doubt:
        lines.append(f"  doubt     {_indented(doubt)}")
    return lines


def _values(answer: Answer) -> list[str]:
    """The values that are not right, a line each."""
    wrong = [leaf for leaf in answer_leaves(answer) if leaf.outcome not in {"right", "empty"}]
    lines = []
    for number, leaf in enumerate(wrong[:MAX_VALUES]):
        given = "nothing" if leaf.given is None else one_line(repr(leaf.given), 80)
        expected = "nothing" if leaf.expected is None else one_line(repr(leaf.expected), 80)
        name = "values" if number == 0 else ""
        lines.append(
            f"  {name:<10}{leaf.outcome:<9} {one_line(leaf.path, 60)}: {given}, expected {expected}"
        )
    if len(wrong) > MAX_VALUES:
        lines.append(f"{'':12}and {len(wrong) - MAX_VALUES:,} more")
    return lines


def _arrow(metric: str) -> str:
    return "" if metric not in METRICS else "↑" if METRICS[metric].direction == "higher" else "↓"


def _indented(text: str) -> str:
    cut = printable(clip(text, MAX_TEXT), newlines=True)
    if len(text) > MAX_TEXT:
        cut += f" ({len(text):,} characters)"
    lines = cut.split("\n")
    if len(lines) > MAX_LINES:
        more = formatting.plural(len(lines) - MAX_LINES + 1, "more line")
        lines = [*lines[: MAX_LINES - 1], f"… ({more}; the report shows all)"]
    return "\n            ".join(lines)


def _tests(answer: str, tests: Sequence[PageTest]) -> list[str]:
    """The tests of a page that the answer does not pass."""
    try:
        results = run_tests(as_text(answer), tests)
    except TooLarge:
        return []
    failed = [described(result.test) for result in results if result.passed is False]
    return [f"  failed    {_indented(text)}" for text in failed]


def _line_diff(answer: str, reference: str) -> list[str]:
    """The lines that only one of two texts has: ``-`` before a missing one, ``+`` before a surplus one."""
    wanted, own = (text[:MAX_LINES_READ].splitlines() for text in (reference, answer))
    changes = list(unified_diff(wanted, own, lineterm="", n=0))[2:]
    lines = [line for line in changes if not line.startswith("@@") and line[1:].strip()]
    return [f"  diff      {_indented(chr(10).join(lines))}"] if lines else []


def _diff(answer: str, references: list[str]) -> list[str]:
    """Letter by letter against the nearest reference: ``[-missing-]`` and ``{+surplus+}``."""
    answer = answer[:MAX_DIFF]
    nearest = min((r[:MAX_DIFF] for r in references), key=lambda r: Levenshtein.distance(r, answer))
    parts = []
    for step in Levenshtein.opcodes(nearest, answer):
        missing = nearest[step.src_start : step.src_end]
        surplus = answer[step.dest_start : step.dest_end]
        if step.tag == "equal":
            parts.append(missing)
        else:
            parts.append(
                (f"[-{missing}-]" if missing else "") + (f"{{+{surplus}+}}" if surplus else "")
            )
    return [f"  diff      {_indented(''.join(parts))}"]
