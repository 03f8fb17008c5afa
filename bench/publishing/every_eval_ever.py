"""A run in the form of Every Eval Ever 0.3: one JSON file for a model and a task, and one with its samples.

The form is that of ``eval.schema.json`` and ``instance_level_eval.schema.json``, version 0.3.0, of the
package every-eval-ever. Files lie at ``data/<collection>/<developer>/<model>/<uuid>.json`` and
``<uuid>_samples.jsonl``. The uuid follows from the run, so that one run never becomes two records.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.metrics import METRICS
from bench.publishing.described import (
    LIBRARY,
    address_of,
    full_prompts,
    harness_of,
    prompt_sources,
    protocol_of,
    published_id,
    restrictions,
    settings_of,
    source_of,
    versions_of,
)
from bench.report.facts import error_class
from bench.report.records import nested, number, text
from bench.report.rows import hardware
from bench.report.samples import raw_text
from bench.rundir.store import RunStore
from bench.schema import Estimate
from bench.scoring.answers import Answer
from bench.scoring.evaluation import Cell, Evaluation
from bench.scoring.levels import level
from bench.stats.means import CONFIDENCE
from bench.tasks.cache import hub_origin
from bench.text import file_name, one_line

VERSION = "0.3.0"

RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")
"""Who measured, seen from the model's developer, in the words of the form."""

UNKNOWN = "unknown"


class Evaluator(NamedTuple):
    """Who stands for the measurement."""

    organization: str
    relationship: str
    """One of ``RELATIONSHIPS``."""


class EvaluationRecord(NamedTuple):
    """The two files of one model on one task."""

    path: PurePosixPath
    """Of the aggregate, from the folder that holds ``data``."""
    aggregate: Mapping[str, Any]
    samples_path: PurePosixPath
    samples: str
    """JSON Lines."""


def evaluation_record(
    evaluation: Evaluation,
    model: str,
    task: str,
    *,
    references: bool,
    evaluator: Evaluator,
    model_id: str | None = None,
    now: float,
) -> EvaluationRecord:
    """The record of one model on one task.

    Args:
        evaluation: the scored run.
        model: one of its models.
        task: one of its tasks.
        references: whether the samples hold the references.
        evaluator: who stands for it.
        model_id: ``owner/name`` of the model; None for that of its checkpoint or adapter, where it has one.
        now: seconds since 1970, when the record is made.

    Raises:
        InvalidInput: no answer of the model could be scored.
    """
    run, cell = evaluation.run, evaluation.cells[model, task]
    identity = model_id or published_id(run, model) or f"{UNKNOWN}/{file_name(model)}"
    developer, _, name = identity.partition("/")
    folder = PurePosixPath("data", *map(_component, (task, developer, name)))
    key = _uuid(run, model, task)
    samples_path, moment = folder / f"{key}_samples.jsonl", f"{now:.3f}"
    evaluation_id = f"{file_name(task)}/{identity}/{moment}"
    names = {"schema_version": VERSION, "evaluation_id": evaluation_id}
    rows = list(_samples(run, cell, {**names, "model_id": identity}, references))
    # Without a letter that is not ASCII: some of them end a line, by the rules of some readers.
    samples = "".join(f"{json.dumps(_clean(row), allow_nan=False)}\n" for row in rows)
    aggregate = {
        **names,
        "retrieved_timestamp": moment,
        **_timestamp(text(run.record.get("started"))),
        "source_metadata": _source_metadata(run, evaluator),
        "eval_library": {
            "name": LIBRARY,
            "version": _asked_by(run),
            "additional_details": harness_of(run) | versions_of(run),
        },
        "model_info": _model_info(run, model, identity, developer),
        "evaluation_results": _results(run, cell),
        "detailed_evaluation_results": {
            "format": "jsonl",
            "file_path": str(samples_path),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(samples.encode()).hexdigest(),
            "total_rows": len(rows),
        },
    }
    return EvaluationRecord(folder / f"{key}.json", _clean(aggregate), samples_path, samples)


def _uuid(run: RunStore, model: str, task: str) -> uuid.UUID:
    """A uuid of version 4 by its form, which every export of this run gives again."""
    named = json.dumps([run.id, _spec_id(run), model, task])
    return uuid.UUID(bytes=hashlib.sha256(named.encode()).digest()[:16], version=4)


def _spec_id(run: RunStore) -> str:
    return one_line(text(run.record.get("spec_id")), 100)


def _timestamp(moment: str) -> dict[str, str]:
    """When the run began, if ``moment`` is an ISO 8601 time."""
    try:
        began = datetime.fromisoformat(moment).astimezone(UTC)
    except (ValueError, OverflowError):
        return {}
    return {"evaluation_timestamp": began.isoformat()}


def _source_metadata(run: RunStore, evaluator: Evaluator) -> dict[str, Any]:
    return {
        "source_name": LIBRARY,
        "source_type": "evaluation_run",
        "source_organization_name": one_line(evaluator.organization),
        "evaluator_relationship": evaluator.relationship,
        "additional_details": {"run": one_line(run.id), "run_identity": _spec_id(run)},
    }


def _model_info(run: RunStore, model: str, identity: str, developer: str) -> dict[str, Any]:
    record = run.model_record(model)
    traits = nested(record, "traits") or nested(record, "details", "traits")
    is_ours = nested(traits, "runs_in") in ("process", "own server")
    settings = settings_of(run, model)
    has_weights = published_id(run, model) is not None
    device = text(nested(record, "device"))
    machine = hardware(run.record.get("environment"), device) if device and is_ours else ""
    info: dict[str, Any] = {
        "name": one_line(model),
        "id": identity,
        "developer": developer,
        "additional_details": {
            # Who runs a server that somebody has named by its address is not known.
            "deployment_type": "self_deployed" if is_ours else UNKNOWN,
            "model_availability": "open_weights" if is_ours and has_weights else UNKNOWN,
            **settings,
            **({"hardware": one_line(machine)} if machine else {}),
        },
    }
    server = nested(record, "details", "server_version")
    if server is not None:
        info["inference_engine"] = {"name": settings["backend"], "version": one_line(server, 60)}
    elif is_ours:
        name = f"{LIBRARY} {settings['backend']}"
        info["inference_engine"] = {"name": name, "version": _asked_by(run)}
    return info


def _asked_by(run: RunStore) -> str:
    """The version of this program that asked the questions."""
    return harness_of(run).get("asked_by", UNKNOWN)


def _results(run: RunStore, cell: Cell) -> list[dict[str, Any]]:
    """A result for every metric that has a value."""
    results = [
        _result(run, cell, metric, estimate)
        for metric, estimate in cell.estimates.items()
        if number(estimate.value) is not None
    ]
    if not results:
        model, task = one_line(cell.model, 60), one_line(cell.task.name, 60)
        raise InvalidInput(f"no answer of {model} to {task} was scored")
    return results


def _result(run: RunStore, cell: Cell, metric: str, estimate: Estimate) -> dict[str, Any]:
    task = cell.task
    sources = prompt_sources(run, cell.model, task) or ["task"]
    arguments: dict[str, Any] = {"max_tokens": task.generation.max_new_tokens}
    if sources == ["task"]:
        arguments["prompt_template"] = task.prompt.template
    return {
        "evaluation_result_id": _result_id(cell, metric),
        "evaluation_name": task.name,
        "source_data": _source_data(cell),
        "metric_config": _metric_config(metric),
        "score_details": _score_details(run, cell, estimate),
        "generation_config": {
            "generation_args": arguments,
            "additional_details": {
                "protocol": protocol_of(run),
                "prompts_from": ", ".join(sources),
                "stop": json.dumps(task.generation.stop),
            },
        },
    }


def _result_id(cell: Cell, metric: str) -> str:
    return f"{cell.task.name}/{metric}"


def _source_data(cell: Cell) -> dict[str, Any]:
    task = cell.task
    details = {
        "task_version": one_line(task.version),
        "task_digest": one_line(task.digest),
        "license": one_line(task.license) or "not stated",
    }
    common = {"dataset_name": one_line(task.title or task.name), "additional_details": details}
    origin = hub_origin(task.source)
    if origin is not None:
        details |= {"config": origin.config or "default", "revision": origin.revision}
        return {
            **common,
            "source_type": "hf_dataset",
            "hf_repo": origin.hub_id,
            "hf_split": origin.split,
            "samples_number": cell.asked,
        }
    address = address_of(task)
    if address is not None:
        return {**common, "source_type": "url", "url": [address]}
    details["source"] = source_of(task) or "not stated"
    return {**common, "source_type": "other"}


def _metric_config(metric: str) -> dict[str, Any]:
    known = METRICS.get(metric)
    if known is None:
        # A run of a newer version; its bounds are not known here.
        return {"metric_id": metric, "lower_is_better": False}
    low, high = known.range
    return {
        "evaluation_description": known.definition,
        "metric_id": metric,
        "metric_name": known.title,
        "metric_unit": "proportion",
        "lower_is_better": known.direction == "lower",
        "score_type": "continuous",
        "min_score": low,
        "max_score": "Infinity" if number(high) is None else high,
        "additional_details": {"variant": known.variant, "source": known.source},
    }


def _score_details(run: RunStore, cell: Cell, estimate: Estimate) -> dict[str, Any]:
    details: dict[str, Any] = {
        "score": estimate.value,
        "details": {
            "documents": str(estimate.clusters),
            "failed_and_counted_as_worst": str(estimate.failed),
            "unscored": str(estimate.unscored),
        },
    }
    if limits := restrictions(run, cell):
        details["details"]["restrictions"] = "; ".join(limits)
    low, high = number(estimate.low), number(estimate.high)
    if low is not None and high is not None:
        details["uncertainty"] = {
            "confidence_interval": {
                "lower": low,
                "upper": high,
                "confidence_level": CONFIDENCE,
                "method": "t interval on the log-odds scale, clustered by document (jackknife)",
            },
            "num_samples": estimate.n,
        }
    return details


def _samples(
    run: RunStore, cell: Cell, names: Mapping[str, str], references: bool
) -> Iterator[dict[str, Any]]:
    """A row for each answer and metric: the form has one score in a row."""
    prompts = full_prompts(run, cell.model, cell.task)
    for answer in cell.answers:
        if answer.output is None:
            continue
        shared = _sample(cell, answer, prompts[answer.sample.id], references)
        for metric, scored in answer.scores.items():
            value = number(scored.value)
            if value is None:
                continue
            is_correct = level(answer, metric) == "right"
            yield {
                **names,
                "evaluation_name": cell.task.name,
                "evaluation_result_id": _result_id(cell, metric),
                **shared,
                "evaluation": {"score": value, "is_correct": is_correct},
            }


def _sample(cell: Cell, answer: Answer, prompt: str, references: bool) -> dict[str, Any]:
    """What all rows about one answer have in common."""
    sample, output = answer.sample, answer.output
    assert output is not None
    accepted = [raw_text(reference) for reference in sample.references] if references else []
    hashed = json.dumps([sample.question, [raw_text(each) for each in sample.references]])
    pages = [page.key for page in cell.task.documents[sample.document_id].pages]
    row: dict[str, Any] = {
        "sample_id": sample.id,
        "sample_hash": hashlib.sha256(hashed.encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": sample.question, "formatted": prompt, "reference": accepted},
        "output": {"raw": [output.text]},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": answer.extracted,
                "extraction_method": LIBRARY,
                "is_terminal": True,
            }
        ],
        "metadata": {**sample.metadata, "pages": " ".join(pages)},
    }
    if output.prompt_tokens is not None and output.generated_tokens is not None:
        row["token_usage"] = {
            "input_tokens": output.prompt_tokens,
            "output_tokens": output.generated_tokens,
            "total_tokens": output.prompt_tokens + output.generated_tokens,
        }
    if answer.failed:
        row["error"] = error_class(output.error)
    return row


def _clean(value: Any) -> Any:
    """``value`` with a mark in place of each half of a character, which no reader of the form takes."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_clean(key): _clean(each) for key, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list | tuple) else value


def _component(name: str) -> str:
    """``name`` as a folder of the data store, which keeps the name ``data`` for itself."""
    safe = file_name(name)
    return f"_{safe}" if safe == "data" else safe
