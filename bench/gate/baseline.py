"""What is kept of a run for later gates: scores by question, digests, figures and the environment.

A baseline is a small JSON file that a person commits. It holds no question, no answer and no page, only their
digests, so the run directory is not needed any more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

import bench
from bench.errors import InvalidInput, first_problem
from bench.files import write_atomically
from bench.parsing import read_json_object
from bench.report.facts import measure
from bench.report.records import nested, text
from bench.report.rows import hardware
from bench.rundir.store import RunStore
from bench.schema import Json, Sample, Task
from bench.scoring.answers import Answer
from bench.scoring.comparison import Side
from bench.scoring.evaluation import Cell, document_key
from bench.scoring.levels import level
from bench.text import one_line, shell_word, utc_now

FORMAT = "docvlm-bench baseline"
VERSION = 2
"""Raised when an older program would misread a newer file."""
MARK = f'"{FORMAT}"'
"""In every baseline, also in one that is damaged."""
READABLE = (1, VERSION)
"""Version 1 does not say which answers are right."""

COSTS = {
    "latency": "p95 latency",
    "throughput": "seconds per question",
    "memory": "peak memory",
}
"""Figure → what it is, in words; of each, less is better."""

_Count = Annotated[int, Field(ge=0)]
_Cost = Annotated[FiniteFloat, Field(gt=0)]


class _Part(BaseModel):
    """One part of a baseline; unknown keys are refused, because they would be believed to matter."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Figures(_Part):
    """What one run measured of a model."""

    run: str
    hardware: str
    """The device in words; empty for a model that a server runs."""
    costs: dict[str, _Cost]
    """By the names of ``COSTS``: seconds, seconds and bytes."""
    conditions: dict[str, str]
    """By the names of ``COSTS``: what must be equal for two figures to be of the same thing."""


class BaselineQuestion(_Part):
    """One question: its score, and digests of everything that is not kept."""

    model: str
    task: str
    id: str
    document: str
    """Digest of the document's pages."""
    question: str
    """Digest of question, references and pages."""
    answer: str | None
    """Digest of the text that the model gave; None if the question was not asked."""
    score: FiniteFloat | None
    weight: Annotated[FiniteFloat, Field(ge=0)]
    failed: bool
    field: str | None
    right: bool | None = None
    """Whether the answer is right, right in another format, or a text that is partly right; None if the file
    does not say."""


class BaselineTask(_Part):
    """How one model was asked the questions of one task, and how its answers were scored."""

    model: str
    name: str
    version: str
    metric: str
    asked_by: dict[str, str]
    """What decides an answer besides the question: prompt, system message, limit, stops, protocol."""


class BaselineModel(_Part):
    """One model."""

    name: str
    spec: dict[str, Any]
    """What was asked for; it is shown and not compared, because it is what changes."""
    figures: tuple[Figures, ...]
    """Of the run, and of its repetitions."""


class Baseline(_Part):
    """All that a gate needs to know of a run."""

    run: str
    written: str
    bench: str
    """Version of the program that computed the scores."""
    environment: dict[str, Any]
    models: tuple[BaselineModel, ...]
    tasks: tuple[BaselineTask, ...]
    questions: tuple[BaselineQuestion, ...]

    def of(self, model: str, task: str) -> dict[str, BaselineQuestion]:
        """The questions of one model and task, by id."""
        return {
            each.id: each for each in self.questions if (each.model, each.task) == (model, task)
        }

    def tasks_of(self, model: str) -> dict[str, BaselineTask]:
        """The tasks of one model, by name."""
        return {each.name: each for each in self.tasks if each.model == model}

    def model(self, name: str) -> BaselineModel:
        """The model of this name."""
        return next(each for each in self.models if each.name == name)


# From a run


def baseline_of(sides: Sequence[Side], repeats: Sequence[Side] = ()) -> Baseline:
    """What a gate needs to know of the models of one run.

    Args:
        sides: models of one run, scored with the kinds of their mistakes.
        repeats: models of further runs, whose figures are kept beside those of the same name.
    """
    evaluation = sides[0].evaluation
    run = evaluation.run
    models = []
    for side in sides:
        again = [each for each in repeats if each.model == side.model]
        figures = tuple(_figures(each) for each in (side, *again))
        models.append(
            BaselineModel(name=side.model, spec=_plain(_spec(run, side.model)), figures=figures)
        )
    return Baseline(
        run=run.id,
        written=utc_now(),
        bench=bench.__version__,
        environment=_plain(_environment(run)),
        models=tuple(models),
        tasks=tuple(_task(run, side.model, cell) for side in sides for cell in _cells(side)),
        questions=tuple(
            question for side in sides for cell in _cells(side) for question in _questions(cell)
        ),
    )


def _cells(side: Side) -> list[Cell]:
    return [side.evaluation.cells[side.model, task] for task in side.evaluation.tasks]


def _plain(value: Any) -> Any:
    """``value`` as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))


def _spec(run: RunStore, model: str) -> Mapping[str, Json]:
    entry = next(each for each in run.record["models"] if each["spec"]["name"] == model)
    # Not the options: the file may be public, and they hold addresses and whatever a request needs.
    kept = {key: value for key, value in entry["spec"].items() if key != "options"}
    return {key: value for key, value in kept.items() if value not in (None, "auto")}


def _environment(run: RunStore) -> Mapping[str, Any]:
    environment = run.record.get("environment")
    kept = ("bench", "python", "platform", "cpu", "cores", "gpus", "cuda", "packages")
    if not isinstance(environment, Mapping):
        return {}
    return {key: environment[key] for key in kept if environment.get(key)}


def _task(run: RunStore, model: str, cell: Cell) -> BaselineTask:
    task = cell.task
    collected = run.record.get("prompts")
    prompts = [
        text(nested(entry, "sha256"))
        for entry in (collected if isinstance(collected, list) else [])
        if nested(entry, "model") == model and nested(entry, "task") == task.name
    ]
    asked_by = {
        "prompt": digest(task.prompt.template),
        "system message": digest(task.prompt.system),
        "limit of new tokens": str(task.generation.max_new_tokens),
        "stop strings": digest(list(task.generation.stop)),
        "prompt collection": ", ".join(sorted(prompts)),
        "protocol": text(nested(run.record, "protocol", "name")) or "native",
    }
    if (perturbation := task.perturbation) is not None:
        asked_by["perturbation"] = f"{perturbation.label}, seed {perturbation.seed}"
    return BaselineTask(
        model=model,
        name=task.name,
        version=task.version,
        metric=cell.headline,
        asked_by=asked_by,
    )


def _questions(cell: Cell) -> list[BaselineQuestion]:
    return [_question(cell, answer) for answer in cell.answers]


def _question(cell: Cell, answer: Answer) -> BaselineQuestion:
    score, output = answer.scores[cell.headline], answer.output
    return BaselineQuestion(
        model=cell.model,
        task=cell.task.name,
        id=answer.sample.id,
        document=digest(document_key(cell.task, answer.sample.document_id)),
        question=digest(_asked(cell.task, answer.sample)),
        answer=None if output is None else digest([output.text, output.stop_reason == "error"]),
        score=None if score.value is None else float(score.value),
        weight=float(score.weight),
        failed=answer.failed,
        field=answer.sample.metadata.get("field"),
        right=level(answer, cell.headline) in ("right", "equivalent", "partly"),
    )


def _asked(task: Task, sample: Sample) -> list[Json]:
    pages = [page.key for page in task.documents[sample.document_id].pages]
    return [sample.question, list(sample.references), sample.answer_type, pages]


def digest(value: Json) -> str:
    """The first 16 hexadecimal digits of the sha256 of a JSON value."""
    return content_digest(value)[:16]


def content_digest(value: Json) -> str:
    """The sha256 of a JSON value, hexadecimal."""
    compact = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(compact.encode("utf-8", "surrogatepass")).hexdigest()


def _figures(side: Side) -> Figures:
    run, model = side.evaluation.run, side.model
    record = run.model_record(model)
    tasks = side.evaluation.clean.tasks
    latencies = [row for task in tasks for row in run.latencies(model, task)]
    batches = [row for task in tasks for row in run.batches(model, task)]
    facts = measure(record, batches, latencies, ())
    device = text(nested(record, "device"))
    on_server = nested(record, "details", "traits", "runs_in") == "server"
    costs: dict[str, float | None] = {
        "latency": facts.latency.p95 if facts.latency is not None else None,
        "throughput": facts.throughput.seconds / facts.throughput.questions
        if facts.throughput is not None and facts.throughput.questions
        else None,
        "memory": float(facts.memory.bytes) if facts.memory is not None and not on_server else None,
    }
    asked = sorted(text(row.get("sample_id")) for row in latencies)
    largest = facts.throughput.largest_batch if facts.throughput is not None else None
    conditions = {
        "latency": f"single questions {digest(asked)}",
        "throughput": f"batches of up to {largest} questions",
        "memory": facts.memory.kind if facts.memory is not None else "",
    }
    return Figures(
        run=run.id,
        hardware="" if on_server else hardware(run.record.get("environment"), device or "cpu"),
        costs={name: value for name, value in costs.items() if value is not None and value > 0},
        conditions=conditions,
    )


# The file


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write ``baseline``, atomically; every question is one line, so that a change of it can be reviewed."""
    content = baseline.model_dump(mode="json")
    head = {"format": FORMAT, "version": VERSION, "sha256": content_digest(content), **content}
    questions = head.pop("questions")
    lines = [f"{json.dumps(key)}: {_line(value)}" for key, value in head.items()]
    listed = ",\n".join(_line(question) for question in questions)
    lines.append(f'"questions": [\n{listed}\n]')
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def read_baseline(path: Path) -> Baseline:
    """Read a baseline that ``write_baseline`` wrote.

    Raises:
        InvalidInput: the file is no baseline, a newer program wrote it, or it was changed.
    """
    content = read_json_object(path)
    if content.pop("format", None) != FORMAT:
        raise InvalidInput(
            f"{path} is not a baseline of this program",
            hint="name a run by its folder or its id, or write a baseline into a new file: bench gate RUN "
            "--write-baseline gate/baseline.json",
        )
    version = content.pop("version", None)
    if version not in READABLE:
        raise InvalidInput(
            f"{path} has version {one_line(version, 20)} of the format, and this program reads "
            f"version {VERSION} and older ones",
            hint="use the version of the program that wrote it, or write it again: "
            f"bench gate RUN --write-baseline {shell_word(path)}",
        )
    recorded = content.pop("sha256", None)
    if recorded != content_digest(content):
        raise InvalidInput(
            f"{path} was changed after it was written: its digest does not fit its content",
            hint="restore the file from your repository, or write it again: "
            f"bench gate RUN --write-baseline {shell_word(path)}",
        )
    try:
        # From text, so that a list is read as the tuple that it was.
        baseline = Baseline.model_validate_json(json.dumps(content))
    except ValidationError as error:
        place, problem = first_problem(error)
        raise InvalidInput(
            f"{path} is damaged: {place}: {problem}",
            hint=f"write it again: bench gate RUN --write-baseline {shell_word(path)}",
        ) from None
    _check_names(path, baseline)
    return baseline


def _check_names(path: Path, baseline: Baseline) -> None:
    """Refuse a baseline whose questions name a model or a task that it lacks, or in which one comes twice."""
    models = {model.name for model in baseline.models}
    tasks = {(task.model, task.name) for task in baseline.tasks}
    keys = [(each.model, each.task, each.id) for each in baseline.questions]
    known = all(model in models and (model, task) in tasks for model, task, _ in keys)
    if not (models and tasks and keys and known) or len(set(keys)) < len(keys):
        raise InvalidInput(
            f"{path} is damaged: its models, tasks and questions do not fit together",
            hint=f"write it again: bench gate RUN --write-baseline {shell_word(path)}",
        )
