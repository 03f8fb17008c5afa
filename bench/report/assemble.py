"""From evaluations to the view: rows, tasks, comparisons, slices and samples of one or several runs."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import bench
from bench import formatting
from bench.metrics import METRICS
from bench.report.mistakes import extraction_views, mistake_views
from bench.report.ranking import Scored, compare_all, pareto, ranks
from bench.report.records import nested, number, text
from bench.report.rows import RowSource, hardware, model_row, sentences
from bench.report.sweep import sweep_views
from bench.report.verdict import judge, warn
from bench.report.views import (
    Front,
    Load,
    ModelRow,
    Pair,
    ReportOptions,
    ReportView,
    RunView,
    SampleView,
    SliceValue,
    TaskView,
)
from bench.schema import Estimate, Page, Sample
from bench.scoring.answers import Answer
from bench.scoring.evaluation import Evaluation, document_key
from bench.scoring.levels import goodness, higher_is_better, level
from bench.scoring.published import PublishedRow, published_comparison
from bench.text import utc_now


def build(evaluations: Sequence[Evaluation], options: ReportOptions | None = None) -> ReportView:
    """Join ``evaluations`` into one view.

    Args:
        evaluations: of one run or more; rows of several runs stand in one leaderboard.
        options: the title is used here, the rest by the renderers.
    """
    options = options or ReportOptions()
    runs = tuple(_run_view(evaluation) for evaluation in evaluations)
    names = _TaskNames.of(evaluations)
    tasks = _task_views(evaluations, names)
    sources = _sources(evaluations, runs)
    overall_name, higher, comparable = _score_name(tasks)
    rows = [
        model_row(source, names.of_run(source.evaluation), comparable=comparable)
        for source in sources
    ]
    samples, scored = _join_samples(sources, names, tasks)
    rows, pairs = _ranked(rows, scored, higher)
    order = [next(i for i, s in enumerate(sources) if s.key == row.key) for row in rows]
    samples = tuple(_reorder(sample, order) for sample in samples)
    same_tasks = len({frozenset(row.tasks) for row in rows}) <= 1 and _same_questions(samples)
    return ReportView(
        title=options.title or " + ".join(dict.fromkeys(run.name for run in runs)) or "Report",
        generated=utc_now(),
        bench_version=bench.__version__,
        verdict=judge(rows, pairs, overall_name),
        caveats=tuple(warn(rows, runs, same_tasks=same_tasks)),
        runs=runs,
        tasks=tasks,
        rows=tuple(rows),
        score_name=overall_name,
        higher_is_better=higher,
        pairs=tuple(pairs),
        slices=_slices(sources, rows),
        mistakes=mistake_views(rows),
        extraction=extraction_views(rows, tasks),
        load=_load(samples),
        fronts=_fronts(rows, higher),
        sweeps=sweep_views(sources, rows),
        published=_published(sources, rows, names),
        samples=samples,
        previews=tuple(run.path for run in runs),
    )


@dataclass(frozen=True, slots=True)
class _TaskNames:
    """Which tasks of which runs are the same one."""

    keys: Mapping[tuple[int, str], str]
    """(position of the run, name of the task) → key."""
    index: Mapping[str, int]
    """Key → position in the report."""
    position: Mapping[str, int]
    """Path of a run → its position."""

    @classmethod
    def of(cls, evaluations: Sequence[Evaluation]) -> _TaskNames:
        """Same name, version and digest: the same task."""
        versions: dict[str, set[tuple[str, str]]] = {}
        for evaluation in evaluations:
            for name, task in evaluation.tasks.items():
                versions.setdefault(name, set()).add((task.version, task.digest))
        keys = {
            (i, name): name
            if len(versions[name]) == 1
            else f"{name} ({task.digest[:6] or task.version})"
            for i, evaluation in enumerate(evaluations)
            for name, task in evaluation.tasks.items()
        }
        index = {key: i for i, key in enumerate(dict.fromkeys(keys.values()))}
        return cls(keys, index, {str(e.run.path): i for i, e in enumerate(evaluations)})

    def of_run(self, evaluation: Evaluation) -> dict[str, str]:
        """Task name → key, of this evaluation."""
        return {name: self.key(evaluation, name) for name in evaluation.tasks}

    def key(self, evaluation: Evaluation, name: str) -> str:
        """The key of a task of this evaluation."""
        return self.keys[self.position[str(evaluation.run.path)], name]


def _run_view(evaluation: Evaluation) -> RunView:
    run = evaluation.run
    record = run.record
    environment = record.get("environment")
    git = nested(environment, "git")
    command = record.get("command")
    arguments = [str(part) for part in command] if isinstance(command, list) else []
    labels = record.get("labels")
    protocol = text(nested(record, "protocol", "name"))
    return RunView(
        id=run.id,
        name=text(record.get("name")) or run.id,
        path=str(run.path),
        started=text(record.get("started")),
        state=run.state(),
        command=shlex.join(arguments),
        labels={str(k): str(v) for k, v in labels.items()} if isinstance(labels, Mapping) else {},
        hardware=hardware(environment, "cuda" if nested(environment, "gpus") else "cpu"),
        software=_software(environment),
        record_version=text(nested(environment, "bench")),
        commit=text(nested(git, "commit")),
        dirty=bool(nested(git, "dirty")),
        protocol="" if protocol == "native" else protocol,
        protocol_title=text(nested(record, "protocol", "title")),
        deviations=sentences(nested(record, "protocol", "deviations")),
        differences=sentences(nested(record, "protocol", "differences")),
        warnings=sentences(record.get("warnings")),
        record={k: v for k, v in record.items() if k not in {"tasks"}},
    )


def _software(environment: Any) -> str:
    parts = []
    for label, key in (("docvlm-bench", "bench"), ("Python", "python"), ("CUDA", "cuda")):
        if value := text(nested(environment, key)):
            parts.append(f"{label} {value}")
    gpus = nested(environment, "gpus")
    if isinstance(gpus, list) and gpus and (driver := text(nested(gpus[0], "driver"))):
        parts.append(f"driver {driver}")
    packages = nested(environment, "packages")
    if isinstance(packages, Mapping):
        parts += [f"{name} {version}" for name, version in packages.items() if version]
    return ", ".join(parts)


def _sources(evaluations: Sequence[Evaluation], runs: Sequence[RunView]) -> list[RowSource]:
    counts = Counter(model for evaluation in evaluations for model in evaluation.models)
    sources: list[RowSource] = []
    taken: set[str] = set()
    for evaluation, run in zip(evaluations, runs, strict=True):
        for model in evaluation.models:
            key = model if counts[model] == 1 else f"{model} @ {_short(run, runs)}"
            while key in taken:
                key += "′"
            taken.add(key)
            sources.append(RowSource(key, model, evaluation, run))
    return sources


def _short(run: RunView, runs: Sequence[RunView]) -> str:
    """The run's name where it tells the runs apart, its id otherwise."""
    return run.name if sum(other.name == run.name for other in runs) == 1 else run.id


def _task_views(evaluations: Sequence[Evaluation], names: _TaskNames) -> tuple[TaskView, ...]:
    views: dict[str, TaskView] = {}
    for evaluation in evaluations:
        for name, task in evaluation.tasks.items():
            key = names.key(evaluation, name)
            if key in views:
                continue
            headline = task.metrics[0]
            languages = Counter(s.metadata.get("language") for s in task.samples)
            views[key] = TaskView(
                key=key,
                name=name,
                version=task.version,
                title=task.title or name,
                digest=task.digest,
                headline=headline,
                headline_title=METRICS[headline].title if headline in METRICS else headline,
                higher_is_better=higher_is_better(headline),
                metrics=task.metrics,
                source=task.source,
                license=task.license,
                citation=task.citation,
                samples=len(task.samples),
                documents=len(task.documents),
                pages=sum(len(document.pages) for document in task.documents.values()),
                prompt=task.prompt.template,
                system=task.prompt.system,
                max_new_tokens=task.generation.max_new_tokens,
                stop=task.generation.stop,
                languages=tuple(name for name, _ in languages.most_common() if name),
                texts_known=bool(evaluation.run.document_texts(name)),
            )
    return tuple(views.values())


def _score_name(tasks: Sequence[TaskView]) -> tuple[str, bool, bool]:
    """What the leading column is, its direction, and whether there is one at all."""
    titles = dict.fromkeys(task.headline_title for task in tasks)
    if len(tasks) == 1:
        return tasks[0].headline_title, tasks[0].higher_is_better, True
    accuracies = all(
        task.headline in METRICS and METRICS[task.headline].direction == "higher" for task in tasks
    )
    only = next(iter(titles), "score") if len(titles) == 1 else "score"
    return f"mean {only} over {formatting.plural(len(tasks), 'task')}", True, accuracies


def _join_samples(
    sources: Sequence[RowSource], names: _TaskNames, tasks: Sequence[TaskView]
) -> tuple[tuple[SampleView, ...], Scored]:
    """Every sample of every task once, with all models' answers beside each other."""
    order: dict[tuple[int, str], tuple[Sample, tuple[Page, ...], str]] = {}
    answers: list[dict[tuple[int, str], Answer]] = []
    latency: list[dict[tuple[int, str], float]] = []
    for source in sources:
        own: dict[tuple[int, str], Answer] = {}
        timed: dict[tuple[int, str], float] = {}
        for name, task in source.evaluation.tasks.items():
            position = names.index[names.key(source.evaluation, name)]
            for given in source.evaluation.cells[source.name, name].answers:
                key = (position, given.sample.id)
                own[key] = given
                if key not in order:
                    document = task.documents[given.sample.document_id]
                    cluster = document_key(task, given.sample.document_id)
                    order[key] = (given.sample, document.pages, cluster)
            for record in source.evaluation.run.latencies(source.name, name):
                seconds = number(record.get("seconds"))
                if seconds is not None:
                    timed[position, str(record.get("sample_id"))] = seconds
        answers.append(own)
        latency.append(timed)
    keys = sorted(order, key=lambda key: key[0])
    values = np.full((len(sources), len(keys)), np.nan)
    weights = np.ones(len(keys))
    samples = []
    for column, key in enumerate(keys):
        headline = tasks[key[0]].headline
        by_row = tuple(own.get(key) for own in answers)
        for i, answer in enumerate(by_row):
            if answer is not None and answer.output is not None:
                score = answer.scores[headline]
                weights[column] = score.weight
                if score.value is not None:
                    values[i, column] = goodness(score.value, headline)
        sample, pages, _ = order[key]
        levels = tuple(level(answer, headline) for answer in by_row)
        seconds_by_row = tuple(timed.get(key) for timed in latency)
        samples.append(SampleView(key[0], sample, pages, by_row, levels, seconds_by_row))
    positions = np.array([key[0] for key in keys], dtype=np.intp)
    clusters = [order[key][2] for key in keys]
    return tuple(samples), Scored(values, weights, positions, clusters)


def _reorder(sample: SampleView, order: Sequence[int]) -> SampleView:
    return SampleView(
        sample.task,
        sample.sample,
        sample.pages,
        tuple(sample.answers[i] for i in order),
        tuple(sample.levels[i] for i in order),
        tuple(sample.latency[i] for i in order),
    )


def _same_questions(samples: Sequence[SampleView]) -> bool:
    return all(None not in sample.answers for sample in samples)


def _ranked(
    rows: Sequence[ModelRow], scored: Scored, higher: bool
) -> tuple[list[ModelRow], list[Pair]]:
    """Rows in the order of the leaderboard, with ranks, and all pairs of ranked rows."""

    def sort_key(i: int) -> tuple[bool, bool, float, int]:
        row = rows[i]
        value = row.score.value if row.score is not None else None
        rankable = row.state == "complete" and value is not None
        goodness_ = 0.0 if value is None else (value if higher else -value)
        return (not rankable, row.state == "failed", -goodness_, i)

    order = sorted(range(len(rows)), key=sort_key)
    best = [i for i in order if not sort_key(i)[0]]
    part = scored._replace(values=scored.values[best])
    keys = [rows[i].key for i in best]
    pairs = compare_all(keys, part)
    rank = ranks(keys, pairs)
    shared = Counter(rank.values())
    return [
        replace(rows[i], rank=rank[rows[i].key], tied=shared[rank[rows[i].key]] > 1)
        if rows[i].key in rank
        else rows[i]
        for i in order
    ], pairs


def _slices(sources: Sequence[RowSource], rows: Sequence[ModelRow]) -> tuple[SliceValue, ...]:
    """The evaluations' slices side by side; rows that are not finished have none."""
    finished = {row.key for row in rows if row.state == "complete"}
    joined: dict[tuple[str, str], dict[str, Estimate]] = {}
    for source in sources:
        if source.key not in finished:
            continue
        for key, by_value in source.evaluation.slices.items():
            for value, by_model in by_value.items():
                if source.name in by_model:
                    joined.setdefault((key, value), {})[source.key] = by_model[source.name]
    return tuple(
        SliceValue(key, value, estimates, max(e.n + e.unscored for e in estimates.values()))
        for (key, value), estimates in joined.items()
    )


def _published(
    sources: Sequence[RowSource], rows: Sequence[ModelRow], names: _TaskNames
) -> tuple[PublishedRow, ...]:
    """Published scores in the order of the leaderboard, under the report's names of models and tasks."""
    lines: list[PublishedRow] = []
    by_key = {source.key: source for source in sources}
    known = {id(source.evaluation): published_comparison(source.evaluation) for source in sources}
    for row in rows:
        source = by_key[row.key]
        lines += [
            replace(line, model=row.key, task=names.key(source.evaluation, line.task))
            for line in known[id(source.evaluation)]
            if line.model == source.name
        ]
    return tuple(lines)


def _load(samples: Sequence[SampleView]) -> Load:
    pages = {page.key for sample in samples for page in sample.pages}
    documents = {
        tuple(page.key for page in sample.pages) or (sample.sample.document_id,)
        for sample in samples
    }
    return Load(len(samples), len(documents), len(pages))


def _fronts(rows: Sequence[ModelRow], higher: bool) -> dict[str, Front]:
    ranked = [row for row in rows if row.ranked]
    scores = {
        row.key: (row.score.value if higher else -row.score.value)
        for row in ranked
        if row.score is not None and row.score.value is not None
    }
    latency = {row.key: row.facts.latency.p50 for row in ranked if row.facts.latency is not None}
    memory = {
        row.key: float(row.facts.memory.bytes) for row in ranked if row.facts.memory is not None
    }
    return {
        cost: Front(cost, tuple(pareto(values, scores)))
        for cost, values in (("latency", latency), ("memory", memory))
    }
