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
from bench.scoring.evaluation import document_key, evaluate

if TYPE_CHECKING:
    import pandas as pd


def answers(run: Path | str) -> pd.DataFrame:
    """One row per model and question.

    Columns: ``model``, ``task``, ``sample_id``, ``document`` (equal for equal page contents; the cluster of
    every interval), ``question``, ``reference`` (the first), ``text`` (raw), ``answer`` (extracted),
    ``stop_reason``, ``error``, ``mistake``, token counts, ``confidence`` (mean token probability) and
    ``min_confidence``, one column per metric, and the sample's metadata.

    Raises:
        InvalidInput: ``run`` is no run directory, or a damaged one.
    """
    import pandas as pd

    evaluation = evaluate(RunStore.open(Path(run)))
    rows: list[dict[str, Any]] = []
    for (model, task), cell in evaluation.cells.items():
        for answer in cell.answers:
            sample, output = answer.sample, answer.output
            rows.append(
                {
                    "model": model,
                    "task": task,
                    "sample_id": sample.id,
                    "document": document_key(cell.task, sample.document_id),
                    "question": sample.question,
                    "reference": sample.references[0],
                    "text": None if output is None else output.text,
                    "answer": answer.extracted,
                    "stop_reason": None if output is None else output.stop_reason,
                    "error": None if output is None else output.error,
                    "mistake": answer.mistake,
                    "prompt_tokens": None if output is None else output.prompt_tokens,
                    "visual_tokens": None if output is None else output.visual_tokens,
                    "generated_tokens": None if output is None else output.generated_tokens,
                    "confidence": None if output is None else output.confidence,
                    "min_confidence": None if output is None else output.min_confidence,
                    **{name: score.value for name, score in answer.scores.items()},
                    **sample.metadata,
                }
            )
    return pd.DataFrame(rows)


def batches(run: Path | str) -> pd.DataFrame:
    """One row per batch of the offline scenario: seconds, stages, tokens, peak memory (bytes)."""
    return _records(run, RunStore.batches)


def latencies(run: Path | str) -> pd.DataFrame:
    """One row per question of the single-stream scenario: seconds, first token, stages; warm beside cold."""
    return _records(run, RunStore.latencies)


def _records(
    run: Path | str, read: Callable[[RunStore, str, str], list[dict[str, Any]]]
) -> pd.DataFrame:
    import pandas as pd

    store = RunStore.open(Path(run))
    rows = [
        {"model": model, "task": task, **record}
        for model in store.model_names()
        for task in store.task_names()
        for record in read(store, model, task)
    ]
    return pd.json_normalize(rows)
