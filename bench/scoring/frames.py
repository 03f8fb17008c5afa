"""A run as pandas data frames, for a notebook.

::

    from bench.scoring.frames import answers
    frame = answers("results/20261121T044135Z-demo-d53fe8")
    frame[frame.task == "invoices-ru"].groupby(["model", "field"]).anls.mean()
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.rundir.store import RunStore
from bench.schema import Task
from bench.scoring.answers import Answer
from bench.scoring.evaluation import document_keys, evaluate

if TYPE_CHECKING:
    import pandas as pd


_MEASURED = (
    "prompt_tokens",
    "visual_tokens",
    "generated_tokens",
    "confidence",
    "min_confidence",
)
"""Columns that are fields of ``bench.schema.Output``."""


def answers(run: Path | str) -> pd.DataFrame:
    """One row for each model and question.

    The columns are ``model``, ``task``, ``sample_id``, ``document`` (equal for equal page contents, the
    cluster of every interval), ``question``, ``reference`` (the first), ``text`` (raw), ``answer``
    (extracted), ``stop_reason``, ``error``, ``mistake``, token counts, ``confidence`` (mean token
    probability) and ``min_confidence``, one column per metric, the sample's metadata, and of perturbed pages
    ``clean_task``, ``perturbation`` and ``severity``.

    Raises:
        InvalidInput: ``run`` is no run directory, or a damaged one.
    """
    import pandas as pd

    evaluation = evaluate(RunStore.open(Path(run)))
    rows: list[dict[str, Any]] = []
    for (model, task), cell in evaluation.cells.items():
        for answer, document in zip(cell.answers, document_keys(cell), strict=True):
            columns = {**_columns(answer, document), **_condition(cell.task)}
            rows.append({"model": model, "task": task, **columns})
    return pd.DataFrame(rows)


def _condition(task: Task) -> dict[str, Any]:
    """What was done to the pages; all None if they are as they are."""
    done = task.perturbation
    return {
        "clean_task": task.clean_task or None,
        "perturbation": None if done is None else done.kind,
        "severity": None if done is None else done.severity,
    }


def _columns(answer: Answer, document: str) -> dict[str, Any]:
    sample, output = answer.sample, answer.output
    return {
        "sample_id": sample.id,
        "document": document,
        "question": sample.question,
        "reference": sample.references[0],
        "text": None if output is None else output.text,
        "answer": answer.extracted,
        "stop_reason": None if output is None else output.stop_reason,
        "error": None if output is None else output.error,
        "mistake": answer.mistake,
        # A question that was not asked yet has no output, and so None in all of these.
        **{column: getattr(output, column, None) for column in _MEASURED},
        **{name: score.value for name, score in answer.scores.items()},
        **sample.metadata,
    }


def batches(run: Path | str) -> pd.DataFrame:
    """One row for each batch of the offline scenario: seconds, stages, tokens, peak memory in bytes."""
    return _records(run, RunStore.batches)


def latencies(run: Path | str) -> pd.DataFrame:
    """One row for each question of the single-stream scenario: seconds, first token, stages, warm or cold."""
    return _records(run, RunStore.latencies)


def _records(
    run: Path | str, read: Callable[[RunStore, str, str], list[dict[str, Any]]]
) -> pd.DataFrame:
    import pandas as pd

    store = RunStore.open(Path(run))
    rows: list[dict[str, Any]] = []
    for model in store.model_names():
        for task in store.task_names():
            records = read(store, model, task)
            rows += [{"model": model, "task": task, **record} for record in records]
    return pd.json_normalize(rows)
