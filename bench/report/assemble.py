"""From evaluations to the view: rows, tasks, comparisons, slices and samples of one or several runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import bench
from bench.measure import collector_paused
from bench.metrics import METRICS
from bench.report.boards import rank, score_name
from bench.report.caveats import warn
from bench.report.checks import check_caveats, check_views
from bench.report.cost import in_one_currency, priced
from bench.report.findings import Board, Caveat, GpuFit
from bench.report.joining import in_order, join_samples
from bench.report.mistakes import extraction_views, mistake_views
from bench.report.options import ReportOptions
from bench.report.ranking import Scored, pareto
from bench.report.records import at
from bench.report.robustness import robustness
from bench.report.rows import RowSource, model_row
from bench.report.run_names import keys_of_rows
from bench.report.runs import run_views
from bench.report.sweep import sweep_views
from bench.report.verdict import judge
from bench.report.views import (
    COSTS,
    AskedPrompt,
    Front,
    Load,
    ModelRow,
    PerturbedView,
    ReportView,
    RunView,
    SampleView,
    SliceValue,
    TaskView,
)
from bench.schema import MENDED, Estimate, Task
from bench.scoring.evaluation import Evaluation
from bench.scoring.levels import higher_is_better
from bench.scoring.published import PublishedRow, published_comparison
from bench.text import utc_now


@collector_paused()
def build(evaluations: Sequence[Evaluation], options: ReportOptions | None = None) -> ReportView:
    """Join ``evaluations`` into one view.

    Args:
        evaluations: of one run or more; rows of several runs stand in one leaderboard.
        options: the title is used here, the rest by the renderers.
    """
    options = options or ReportOptions()
    runs = run_views(evaluation.run for evaluation in evaluations)
    keys = _task_keys(evaluations)
    # Scores and ranks are those of clean pages; what perturbed pages change is looked at beside them.
    clean = [evaluation.clean for evaluation in evaluations]
    tasks = _task_views(clean, keys)
    sources = _sources(clean, runs, keys)
    overall_name, higher, comparable = score_name(tasks)
    samples, scored = join_samples(sources, tasks)
    on_perturbed = _sources([evaluation.perturbed for evaluation in evaluations], runs, keys)
    perturbed = _perturbed_view(on_perturbed, tasks, (samples, scored), comparable=comparable)
    rows = []
    for i, source in enumerate(sources):
        own = (sample for sample in samples if sample.answers[i] is not None)
        levels = Counter(sample.levels[i] for sample in own)
        row = model_row(source, levels, comparable=comparable)
        rows.append(priced(row, source, options.prices))
    ranking = rank(in_one_currency(rows), scored, samples, tasks, higher=higher)
    names = {board.score_name for board in ranking.boards} or {overall_name}
    rows = ranking.rows
    order = [next(i for i, s in enumerate(sources) if s.key == row.key) for row in rows]
    samples = in_order(samples, order)
    checks = check_views(sources)
    return ReportView(
        title=options.title or " + ".join(dict.fromkeys(run.name for run in runs)) or "Report",
        generated=utc_now(),
        repeated=options.repeated,
        bench_version=bench.__version__,
        verdict=judge(rows, ranking),
        caveats=(*warn(rows, runs, ranking.boards), *_mended(tasks), *check_caveats(checks)),
        runs=runs,
        tasks=tasks,
        rows=tuple(rows),
        score_name=names.pop() if len(names) == 1 else "mean score over the tasks of each board",
        higher_is_better=higher,
        boards=ranking.boards,
        pairs=ranking.pairs,
        slices=_slices(sources, rows),
        mistakes=mistake_views(rows),
        extraction=extraction_views(rows, tasks),
        load=_load(samples),
        fronts=_fronts(rows, ranking.boards, higher),
        sweeps=sweep_views(sources, rows),
        published=_published(sources, rows),
        checks=checks,
        gpu_fits=_gpu_fits(sources, options),
        samples=samples,
        perturbed=replace(perturbed, samples=in_order(perturbed.samples, order)),
        previews=tuple(run.path for run in runs),
    )


def _gpu_fits(
    sources: Sequence[RowSource], options: ReportOptions
) -> dict[str, tuple[GpuFit, ...]]:
    return {
        source.key: options.gpu_fits[source.run.id, source.name]
        for source in sources
        if (source.run.id, source.name) in options.gpu_fits
    }


def _perturbed_view(
    sources: Sequence[RowSource],
    tasks: Sequence[TaskView],
    clean: tuple[Sequence[SampleView], Scored],
    *,
    comparable: bool,
) -> PerturbedView:
    """What the rows were asked about perturbed pages, beside the ``clean`` samples of ``tasks``."""
    own = _task_views([s.evaluation for s in sources], [s.task_keys for s in sources])
    samples, scored = join_samples(sources, (*tasks, *own))
    changes = robustness(
        [source.key for source in sources],
        clean,
        (samples, scored),
        (*tasks, *own),
        comparable=comparable,
    )
    return PerturbedView(own, samples, changes)


def _mended(tasks: Sequence[TaskView]) -> list[Caveat]:
    """That somebody changed the references of a task after it was made."""
    return [
        Caveat(
            "scope",
            f"References of {task.key} were mended (version {task.version}), so its scores do not compare "
            "with those of other versions.",
        )
        for task in tasks
        if MENDED in task.version
    ]


def _task_keys(evaluations: Sequence[Evaluation]) -> list[dict[str, str]]:
    """Of every evaluation: name of the task → key. Tasks of one name, version and digest are the same one."""
    versions: dict[str, set[tuple[str, str]]] = {}
    for evaluation in evaluations:
        for name, task in evaluation.tasks.items():
            versions.setdefault(name, set()).add((task.version, task.digest))

    def key(name: str, task: Task) -> str:
        return name if len(versions[name]) == 1 else f"{name} ({task.digest[:6] or task.version})"

    return [
        {name: key(name, task) for name, task in evaluation.tasks.items()}
        for evaluation in evaluations
    ]


def _sources(
    evaluations: Sequence[Evaluation], runs: Sequence[RunView], keys: Sequence[Mapping[str, str]]
) -> list[RowSource]:
    row_keys = keys_of_rows([evaluation.models for evaluation in evaluations], runs)
    return [
        RowSource(key, model, evaluation, run, task_keys)
        for evaluation, run, task_keys, own in zip(evaluations, runs, keys, row_keys, strict=True)
        for model, key in own.items()
    ]


def _task_views(
    evaluations: Sequence[Evaluation], keys: Sequence[Mapping[str, str]]
) -> tuple[TaskView, ...]:
    views: dict[str, TaskView] = {}
    for evaluation, task_keys in zip(evaluations, keys, strict=True):
        for name, task in evaluation.tasks.items():
            key = task_keys[name]
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
                prompts=_asked_prompts(evaluation.run.record.get("prompts"), name),
                system=task.prompt.system,
                max_new_tokens=task.generation.max_new_tokens,
                stop=task.generation.stop,
                languages=tuple(name for name, _ in languages.most_common() if name),
                texts_known=bool(evaluation.run.document_texts(name)),
                perturbation=task.perturbation,
                clean_task=task_keys.get(task.clean_task, task.clean_task),
            )
    return tuple(views.values())


def _asked_prompts(record: object, task: str) -> tuple[AskedPrompt, ...]:
    """The prompts of a run's ``record`` that a task's questions were asked with instead of its own."""
    entries = (
        [entry for entry in record if isinstance(entry, dict)] if isinstance(record, list) else []
    )
    models: dict[tuple[str, str, int], list[str]] = {}
    for entry in entries:
        if entry.get("task") == task and entry.get("source") != "task":
            count = entry.get("questions")
            questions = count if isinstance(count, int) else 0
            prompt = (str(entry.get("text")), str(entry.get("source")), questions)
            models.setdefault(prompt, []).append(str(entry.get("model")))
    return tuple(
        AskedPrompt(text, source, tuple(names), questions)
        for (text, source, questions), names in models.items()
    )


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


def _published(sources: Sequence[RowSource], rows: Sequence[ModelRow]) -> tuple[PublishedRow, ...]:
    """Published scores in the order of the leaderboard, under the report's names of models and tasks."""
    lines: list[PublishedRow] = []
    by_key = {source.key: source for source in sources}
    known = {id(source.evaluation): published_comparison(source.evaluation) for source in sources}
    for row in rows:
        source = by_key[row.key]
        lines += [
            replace(line, model=row.key, task=source.task_keys[line.task])
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


def _fronts(rows: Sequence[ModelRow], boards: Sequence[Board], higher: bool) -> dict[str, Front]:
    by_key = {row.key: row for row in rows}
    fronts = {}
    for cost, path in COSTS.items():
        keys: list[str] = []
        for board in boards:
            scores = {
                key: (score.value if higher else -score.value)
                for key in board.keys
                if (score := by_key[key].score) is not None and score.value is not None
            }
            costs = {key: at(by_key[key], path) for key in board.keys}
            known = {key: value for key, value in costs.items() if value is not None}
            keys += pareto(known, scores)
        fronts[cost] = Front(cost, tuple(keys))
    return fronts
