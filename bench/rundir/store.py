"""The run directory: the one place where a run's facts live, and the only code that knows its files.

::

    results/<utc time>-<name>-<short id>/
      run.json                          spec, environment, command line; after the samples, atomically
      <task>/samples.jsonl              questions, references, pages; scores never need the data set
      <task>/texts.json                 what is written on documents that have a text layer
      <model>/model.json                what was really loaded, load and first-call time
      <model>/failure.json              why the model could not be loaded or died, where it did
      <model>/monitor.jsonl             clocks, heat, power, foreign load, a line a second
      <model>/<task>/outputs.jsonl      append-only, a whole line a sample, fsynced every batch
      <model>/<task>/batches.jsonl      what was measured per batch
      <model>/<task>/latency.jsonl      the single-stream scenario, one question at a time
      <model>/<task>/done.json          commit marker of a task, last
      <model>/<task>/failures.jsonl     failed answers that were asked again (--retry-failed)
      <model>/done.json                 commit marker of a model
      <model>/….shard-N.json(l)         what the N-th of several processes writes, until it is merged
      pages/…                           small previews of the pages, for the report
      scores/…, report.*                derived; may be deleted at any time
      log.txt

How its files survive a crash: ``bench.files``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput, did_you_mean
from bench.files import (
    append_lines,
    plain,
    read_json,
    read_lines,
    storage_errors,
    write_atomically,
    write_json,
    write_lines,
)
from bench.paths import from_portable, portable
from bench.rundir.lock import LOCK_FILE, is_locked
from bench.schema import (
    SCHEMA_VERSION,
    Document,
    Generation,
    ModelSpec,
    Output,
    Page,
    PromptTemplate,
    Sample,
    Task,
)
from bench.text import file_name, one_line, utc_now

RUN_FILE = "run.json"
SUMMARY_FILE = "scores/summary.json"
"""What ``bench run`` writes last: a complete run that lacks it was broken off before its report."""
RESERVED_NAMES = frozenset({"scores", "pages", "report", "assets", "log.txt", RUN_FILE, LOCK_FILE})
"""Names in a run directory that no task and no model may take."""


def _output_record(output: Output) -> dict[str, Any]:
    """One line of ``outputs.jsonl``; only an answer of a server has something to say in ``served``."""
    record = dataclasses.asdict(output)
    if output.served is None:
        del record["served"]
    return record


_RUN_KEYS = ("id", "models", "tasks")
"""What no ``run.json`` lacks."""


class RunStore:
    """One run directory, for reading and appending."""

    def __init__(self, path: Path, record: Mapping[str, Any], *, shard: int = 0) -> None:
        """Use ``create`` or ``open``."""
        self.path = path
        self.record = record
        self._suffix = f".shard-{shard}" if shard else ""
        """Of the files that this process appends to: no two processes write to one file."""

    @classmethod
    def create(
        cls,
        results: Path,
        name: str,
        record: Mapping[str, Any],
        tasks: Sequence[Task],
        texts: Mapping[str, Mapping[str, str]] | None = None,
    ) -> RunStore:
        """Make a new run directory under ``results`` and write what is known before any model runs.

        ``record["spec_id"]`` identifies the spec; its first characters end the folder's name. ``texts``
        holds, by task and document, what is written on documents where that is known.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        base = f"{stamp}-{file_name(name)}-{record['spec_id'][:6]}"
        with storage_errors(results):
            results.mkdir(parents=True, exist_ok=True)
            path = results / base
            attempt = 1
            while True:
                try:
                    path.mkdir()
                    break
                except FileExistsError:
                    attempt += 1
                    path = results / f"{base}-{attempt}"
        for task in tasks:
            write_samples(path / task.name / "samples.jsonl", task)
            if known := (texts or {}).get(task.name):
                write_json(path / task.name / "texts.json", known)
        full = {"schema_version": SCHEMA_VERSION, "id": path.name, **record}
        # Last: a folder with a run.json is a run whose samples are complete.
        write_json(path / RUN_FILE, full)
        return cls(path, full)

    @classmethod
    def open(cls, path: Path, *, shard: int = 0) -> RunStore:
        """An existing run directory; ``shard`` is the number of this process among a model's several.

        Raises:
            InvalidInput: no run is there, it is damaged, or a newer version of the harness wrote it.
        """
        if not (path / RUN_FILE).is_file():
            raise InvalidInput(
                f"{path} is no run directory (it has no {RUN_FILE})", hint="bench list runs"
            )
        record = read_json(path / RUN_FILE)
        version = record.get("schema_version") if isinstance(record, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise InvalidInput(
                f"{path / RUN_FILE}: schema version {version}; this program reads up to {SCHEMA_VERSION}",
                hint="pip install --upgrade docvlm-bench",
            )
        missing = [key for key in _RUN_KEYS if key not in record] if version else ["schema_version"]
        if missing:
            raise InvalidInput(
                f"{path / RUN_FILE} is damaged: it has no {', '.join(missing)}",
                hint="copy the run directory again, or run the same command to make a new one",
            )
        return cls(path, record, shard=shard)

    # What was asked for

    @property
    def id(self) -> str:
        """The run's name, which is its folder's."""
        return str(self.record["id"])

    def model_names(self) -> list[str]:
        """Models in the order asked for."""
        return [entry["spec"]["name"] for entry in self.record["models"]]

    def model_spec(self, model: str) -> ModelSpec:
        """What was asked for under this model's name."""
        return ModelSpec(**self._model_entry(model)["spec"])

    def task_names(self) -> list[str]:
        """Tasks in the order asked for."""
        return [entry["name"] for entry in self.record["tasks"]]

    def task_record(self, task: str) -> Mapping[str, Any]:
        """The task's row in run.json: version, title, digest, metrics, prompt, generation and the rest."""
        for entry in self.record["tasks"]:
            if entry["name"] == task:
                return dict(entry)
        raise InvalidInput(
            f"run {self.id} has no task {one_line(task, 60)!r}",
            hint=did_you_mean(task, self.task_names()),
        )

    def _model_entry(self, model: str) -> Mapping[str, Any]:
        for entry in self.record["models"]:
            if entry["spec"]["name"] == model:
                return dict(entry)
        raise InvalidInput(
            f"run {self.id} has no model {one_line(model, 60)!r}",
            hint=did_you_mean(model, self.model_names()),
        )

    def model_folder(self, model: str) -> Path:
        """The folder of a model's files."""
        return self.path / str(self._model_entry(model)["folder"])

    def cell_folder(self, model: str, task: str) -> Path:
        """The folder of a model's files for one task."""
        return self.model_folder(model) / task

    def load_task(self, task: str) -> Task:
        """The task as it was when the run began, from the run directory alone.

        Raises:
            InvalidInput: the run has no such task, or some of its samples are gone.
        """
        entry = self.task_record(task)
        samples: list[Sample] = []
        documents: dict[str, Document] = {}
        path = self.path / task / "samples.jsonl"
        for number, row in enumerate(read_lines(path), 1):
            try:
                sample = _sample(row)
                if sample.document_id not in documents:
                    documents[sample.document_id] = _document(row)
            except (KeyError, TypeError, ValueError) as error:
                raise InvalidInput(
                    f"{path}:{number} is damaged: {type(error).__name__}: {one_line(str(error), 80)}",
                    hint="copy the run directory again",
                ) from None
            samples.append(sample)
        if len(samples) != entry["samples"]:
            raise InvalidInput(
                f"{path} holds {len(samples)} of {entry['samples']} samples",
                hint="copy the run directory again, all of it",
            )
        return Task(
            name=task,
            version=entry["version"],
            title=entry["title"],
            documents=documents,
            samples=tuple(samples),
            metrics=tuple(entry["metrics"]),
            prompt=PromptTemplate(**entry["prompt"]),
            generation=Generation(
                entry["generation"]["max_new_tokens"], tuple(entry["generation"]["stop"])
            ),
            source=entry.get("source", ""),
            license=entry.get("license", ""),
            citation=entry.get("citation", ""),
            digest=entry["digest"],
        )

    def document_texts(self, task: str) -> dict[str, str]:
        """What is written on the documents of a task, by document id, where it is known."""
        path = self.path / task / "texts.json"
        return _object(path) if path.is_file() else {}

    # What was measured

    def outputs(self, model: str, task: str) -> dict[str, Output]:
        """Outputs by sample id; of two records of one sample, the last."""
        found: dict[str, Output] = {}
        path = self.cell_folder(model, task) / "outputs.jsonl"
        known = {f.name for f in dataclasses.fields(Output)}
        for row in self._rows(model, task, "outputs"):
            if not (isinstance(row.get("sample_id"), str) and isinstance(row.get("text"), str)):
                raise InvalidInput(
                    f"{path}: a line lacks sample_id or text: {one_line(str(row), 80)}"
                )
            values = {key: value for key, value in row.items() if key in known}
            values.setdefault("stop_reason", "stop")
            found[row["sample_id"]] = Output(**values)
        return found

    def append_outputs(self, model: str, task: str, outputs: Sequence[Output]) -> None:
        """Append a batch's outputs and wait for the disk."""
        self._append(model, task, "outputs", map(_output_record, outputs))

    def batches(self, model: str, task: str) -> list[dict[str, Any]]:
        """What was measured per batch of the offline scenario."""
        return self._rows(model, task, "batches")

    def append_batch(self, model: str, task: str, record: Mapping[str, Any]) -> None:
        """Append one batch's measurements."""
        self._append(model, task, "batches", [record])

    def latencies(self, model: str, task: str) -> list[dict[str, Any]]:
        """The single-stream scenario: one record a question, in the order asked."""
        return self._rows(model, task, "latency")

    def append_latency(self, model: str, task: str, record: Mapping[str, Any]) -> None:
        """Append one single-stream question's measurements."""
        self._append(model, task, "latency", [record])

    def monitor(self, model: str) -> list[dict[str, Any]]:
        """What the devices did while the model was measured, of all its processes."""
        folder = self.model_folder(model)
        paths = [folder / "monitor.jsonl", *sorted(folder.glob("monitor.shard-*.jsonl"))]
        return [row for path in paths for row in read_lines(path)]

    def append_monitor(self, model: str, samples: Sequence[Mapping[str, Any]]) -> None:
        """Append some seconds of what the devices did."""
        append_lines(self.model_folder(model) / f"monitor{self._suffix}.jsonl", samples)

    def _append(
        self, model: str, task: str, stem: str, records: Iterable[Mapping[str, Any]]
    ) -> None:
        append_lines(self.cell_folder(model, task) / f"{stem}{self._suffix}.jsonl", records)

    def _rows(self, model: str, task: str, stem: str) -> list[dict[str, Any]]:
        """The records of a file and of its shards that are not merged yet."""
        folder = self.cell_folder(model, task)
        rows = list(read_lines(folder / f"{stem}.jsonl"))
        shards = sorted(folder.glob(f"{stem}.shard-*.jsonl"))
        # A kill between a merge's two steps leaves rows in both files.
        known = {json.dumps(row, sort_keys=True) for row in rows} if shards else set()
        for shard in shards:
            rows += [r for r in read_lines(shard) if json.dumps(r, sort_keys=True) not in known]
        return rows

    def merge_shards(self, model: str) -> None:
        """Put what several processes wrote into one file of each kind; needs the run's lock.

        A kill at any moment loses nothing and doubles nothing: what was copied already is not copied again.
        """
        folder = self.model_folder(model)
        for shard in sorted(folder.rglob("*.shard-*.jsonl")):
            whole = shard.with_name(shard.name.partition(".shard-")[0] + ".jsonl")
            known = {json.dumps(row, sort_keys=True) for row in read_lines(whole)}
            fresh = (r for r in read_lines(shard) if json.dumps(r, sort_keys=True) not in known)
            append_lines(whole, fresh)
            with storage_errors(shard):
                shard.unlink()
        parts = sorted(folder.glob("model.shard-*.json"))
        first = self.model_record(model)
        if parts and first is not None:
            others = [device for part in parts for device in _object(part)["devices"]]
            write_json(folder / "model.json", {**first, "devices": first["devices"] + others})
        for part in parts:
            with storage_errors(part):
                part.unlink()

    def set_failures_aside(self, model: str) -> int:
        """Make the model's failed answers unasked again; how many there were. Needs the run's lock.

        They move to ``failures.jsonl``, beside the moment at which they were given up.
        """
        total = 0
        for task in self.task_names():
            failed = [o for o in self.outputs(model, task).values() if o.stop_reason == "error"]
            if not failed:
                continue
            total += len(failed)
            folder, now = self.cell_folder(model, task), utc_now()
            # First: a kill in between leaves a run that is unfinished, not one that lacks answers unseen.
            for marker in (self.path / SUMMARY_FILE, self.model_folder(model) / "done.json"):
                _remove(marker)
            _remove(folder / "done.json")
            records = ({**dataclasses.asdict(output), "set_aside": now} for output in failed)
            append_lines(folder / "failures.jsonl", records)
            ids = {output.sample_id for output in failed}
            kept = [r for r in read_lines(folder / "outputs.jsonl") if r["sample_id"] not in ids]
            write_lines(folder / "outputs.jsonl", kept)
        return total

    def write_model(self, model: str, record: Mapping[str, Any]) -> None:
        """Write what was really loaded."""
        write_json(self.model_folder(model) / f"model{self._suffix}.json", record)

    def model_record(self, model: str) -> dict[str, Any] | None:
        """model.json: what was really loaded; None where loading has not succeeded yet."""
        path = self.model_folder(model) / "model.json"
        return _object(path) if path.is_file() else None

    def failure(self, model: str) -> dict[str, Any] | None:
        """Why the model could not be loaded or died; None where it did not."""
        path = self.model_folder(model) / "failure.json"
        return _object(path) if path.is_file() else None

    def is_done(self, model: str, task: str) -> bool:
        """Whether every sample of the task has been asked of the model."""
        return (self.cell_folder(model, task) / "done.json").is_file()

    def mark_done(self, model: str, task: str | None = None, **facts: Any) -> None:
        """Write the commit marker of a model's task, or of the whole model."""
        folder = self.model_folder(model) if task is None else self.cell_folder(model, task)
        if task is None:
            # Scores that were made before are of an unfinished run.
            _remove(self.path / SUMMARY_FILE)
        write_json(folder / "done.json", {**facts, "finished": utc_now()})

    def is_model_done(self, model: str) -> bool:
        """Whether the model has nothing left to do: all tasks, and the single-stream scenario."""
        return (self.model_folder(model) / "done.json").is_file()

    def is_complete(self) -> bool:
        """Whether every model has nothing left to do."""
        return all(self.is_model_done(model) for model in self.model_names())

    def is_concluded(self) -> bool:
        """Whether it is complete, and was scored and reported as well."""
        return self.is_complete() and (self.path / SUMMARY_FILE).is_file()

    def state(self) -> str:
        """``complete``, ``running`` (a process holds it), or ``unfinished`` (stopped or killed)."""
        if self.is_complete():
            return "complete"
        return "running" if is_locked(self.path) else "unfinished"


def _remove(path: Path) -> None:
    with storage_errors(path):
        path.unlink(missing_ok=True)


def _object(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise InvalidInput(f"{path}: expected a JSON object", hint="copy the run directory again")
    return value


def _sample(row: Mapping[str, Any]) -> Sample:
    return Sample(
        row["id"],
        row["document_id"],
        row["question"],
        tuple(row["references"]),
        row["answer_type"],
        row["metadata"],
    )


def _document(row: Mapping[str, Any]) -> Document:
    pages = tuple(Page(**{**p, "path": from_portable(p["path"])}) for p in row["pages"])
    return Document(row["document_id"], pages)


def write_samples(path: Path, task: Task) -> None:
    """Write a task's samples with their pages, atomically."""
    lines = []
    for sample in task.samples:
        row = dataclasses.asdict(sample)
        row["pages"] = [
            {**dataclasses.asdict(page), "path": portable(page.path)}
            for page in task.documents[sample.document_id].pages
        ]
        lines.append(
            json.dumps(row, ensure_ascii=False, default=plain, separators=(",", ":")) + "\n"
        )
    write_atomically(path, "".join(lines))


def find_runs(results: Path) -> list[RunStore]:
    """Every run under ``results``, newest first; folders that are no runs are passed over."""
    if not results.is_dir():
        return []
    folders = sorted((p for p in results.iterdir() if (p / RUN_FILE).is_file()), reverse=True)
    runs = []
    for folder in folders:
        with contextlib.suppress(InvalidInput):
            runs.append(RunStore.open(folder))
    return sorted(runs, key=lambda run: str(run.record.get("started", "")), reverse=True)
