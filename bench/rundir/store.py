"""Reads and writes the run directory, and is the only code that knows its files.

::

    results/<utc time>-<name>-<short id>/
      run.json                          spec, environment, command line; written after the samples
      <task>/samples.jsonl              questions, references, pages: scores do not need the data set
      <task>/texts.json                 the text of documents that have a text layer
      <task>/words.jsonl                where their words stand
      <model>/model.json                what was really loaded, the time to load it and of the first call
      <model>/failure.json              why the model could not be loaded or died; only if it did
      <model>/monitor.jsonl             clocks, heat, power, load of other processes; one line each second
      <model>/checks.jsonl              what bench check found out about the model; one line for each check
      <model>/<task>/outputs.jsonl      one line for each sample, appended and fsynced after every batch
      <model>/<task>/batches.jsonl      what was measured for each batch
      <model>/<task>/words.jsonl        what the model read on the pages, and where it stands
      <model>/<task>/latency.jsonl      the single-stream scenario, one question at a time
      <model>/<task>/done.json          commit marker of a task, last
      <model>/<task>/failures.jsonl     failed answers that were asked again (--retry-failed)
      <model>/done.json                 commit marker of a model
      <model>/….shard-N.json(l)         the same files of the N-th of several processes, until they are merged
      pages/…                           small previews of the pages, for the report
      scores/…, report.*                made from the rest; may be deleted at any time
      log.txt

``bench.files`` says how the files survive a crash.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.errors import EnvironmentProblem, InvalidInput, did_you_mean
from bench.files import (
    append_lines,
    read_lines,
    storage_errors,
    write_json,
    write_lines,
)
from bench.litter import unfinished_folder
from bench.parsing import read_json
from bench.rundir.checksums import as_stored, file_digest, is_intact
from bench.rundir.lock import is_locked
from bench.rundir.pushing import is_push_awaited
from bench.rundir.record import PART, RUN_FILE, check_entries, check_record
from bench.rundir.rows import (
    check_batch,
    check_latency,
    damaged,
    document_of,
    fingerprint,
    first_damage,
    object_if_any,
    output_of,
    output_record,
    perturbation_of,
    placed_texts,
    read_object,
    rounded,
    rows_about,
    sample_of,
    write_samples,
)
from bench.schema import (
    SCHEMA_VERSION,
    Document,
    Generation,
    ModelSpec,
    Output,
    PlacedText,
    PromptTemplate,
    Sample,
    StopReason,
    Task,
)
from bench.text import file_name, one_line, utc_now

SUMMARY_FILE = "scores/summary.json"
"""Written last by ``bench run``: a complete run without it was interrupted before its report."""


SAMPLES_DIGEST = "samples_sha256"
"""Key of a task in ``run.json``: the digest of its ``samples.jsonl``; older runs have none."""


class RunStore:
    """One run directory, opened for reading and for appending."""

    def __init__(self, path: Path, record: Mapping[str, Any], *, shard: int = 0) -> None:
        """Take a run that ``create`` has made or ``open`` has read."""
        self.path = path
        self.record = record
        # No two processes write to one file: all but the first append to files with a suffix of their own.
        self._suffix = f".shard-{shard}" if shard else ""
        self._texts: dict[str, dict[str, str]] = {}

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

        Args as ``making``.
        """
        with cls.making(results, name, record, tasks, texts) as store:
            return store

    @classmethod
    @contextlib.contextmanager
    def making(
        cls,
        results: Path,
        name: str,
        record: Mapping[str, Any],
        tasks: Sequence[Task],
        texts: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Iterator[RunStore]:
        """Give a run to write answers into. It is under ``results`` when the block ends, whole or not at all.

        Args:
            results: the folder of all runs.
            name: what a person calls the run.
            record: what ``run.json`` holds. The folder's name ends in the first characters of ``spec_id``.
            tasks: all tasks of the run, with their samples.
            texts: task → document id → the text of the document, where it is known.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        with storage_errors(results), unfinished_folder(results, "run") as place:
            path = place / f"{stamp}-{file_name(name)}-{record['spec_id'][:6]}"
            path.mkdir()
            for task in tasks:
                write_samples(path / task.name / "samples.jsonl", task)
                if known := (texts or {}).get(task.name):
                    write_json(path / task.name / "texts.json", known)
            full = {"schema_version": SCHEMA_VERSION, "id": path.name, **record}
            full["tasks"] = [
                {**entry, SAMPLES_DIGEST: file_digest(path / entry["name"] / "samples.jsonl")}
                for entry in record["tasks"]
            ]
            store = cls(path, full)
            yield store
            store._show_in(results)

    def _show_in(self, results: Path) -> None:
        """Write ``run.json`` and move the run to ``results``; two of one second get different numbers."""
        hidden, number = self.path, 1
        while True:
            name = hidden.name if number == 1 else f"{hidden.name}-{number}"
            self.record, self.path = {**self.record, "id": name}, results / name
            write_json(hidden / RUN_FILE, self.record)
            try:
                hidden.rename(self.path)
                return
            except OSError as error:
                if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                    raise
                number += 1

    @classmethod
    def open(cls, path: Path, *, shard: int = 0) -> RunStore:
        """Open an existing run directory.

        Args:
            path: the run directory.
            shard: number of this process among the several of a model; 0 for the first or only one.

        Raises:
            InvalidInput: the folder holds no run, the run is damaged, a newer version wrote it, or a name or
                a link in it leads elsewhere.
        """
        if not (path / RUN_FILE).is_file():
            raise InvalidInput(
                f"{path} is not a run directory: it has no {RUN_FILE}", hint="bench list runs"
            )
        record = check_record(path / RUN_FILE, read_json(path / RUN_FILE))
        store = cls(path, record, shard=shard)
        check_entries(path, [*store.folders(), path / "pages"])
        return store

    def check_there(self) -> None:
        """Refuse to write where the run directory was: a new one would hold answers without their questions.

        Raises:
            EnvironmentProblem: somebody has removed or moved it while the run was at work.
        """
        if not self.path.is_dir():
            raise EnvironmentProblem(
                f"{self.path} was removed or moved while the run was at work",
                hint="put it back and run the same command again, which goes on; or just run it again",
            )

    # What was asked for

    @property
    def id(self) -> str:
        """The name of the run, which is the name of its folder."""
        return str(self.record["id"])

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the command set, by the fields of ``RunSettings``; empty where ``run.json`` holds none."""
        settings: Mapping[str, Any] = self.record.get("spec", {}).get("settings", {})
        return settings

    def model_names(self) -> list[str]:
        """Return the names of the models, in the order of the command."""
        return [entry["spec"]["name"] for entry in self.record["models"]]

    def model_spec(self, model: str) -> ModelSpec:
        """Return what was asked for under the name of this model."""
        return ModelSpec(**self._model_entry(model)["spec"])

    def task_names(self) -> list[str]:
        """Return the names of the tasks, in the order of the command."""
        return [entry["name"] for entry in self.record["tasks"]]

    def clean_task_names(self) -> list[str]:
        """Return the names of the tasks whose pages are as they are, in the order of the command."""
        return [entry["name"] for entry in self.record["tasks"] if not entry.get("perturbation")]

    def task_record(self, task: str) -> Mapping[str, Any]:
        """Return what run.json says about the task: version, title, digest, metrics, prompt and the rest."""
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

    def folders(self) -> list[Path]:
        """Return every folder of the run that something is written to, but for ``pages``."""
        models = [self.model_folder(model) for model in self.model_names()]
        cells = [folder / task for folder in models for task in self.task_names()]
        scores = [self.path / "scores" / folder.name for folder in models]
        tasks = [self.path / task for task in self.task_names()]
        return [*tasks, *models, *cells, self.path / "scores", *scores]

    def model_folder(self, model: str) -> Path:
        """Return the folder of a model's files."""
        return self.path / str(self._model_entry(model)["folder"])

    def cell_folder(self, model: str, task: str) -> Path:
        """Return the folder of a model's files for one task."""
        return self.model_folder(model) / task

    def load_task(self, task: str, about: str | None = None) -> Task:
        """Load the task as it was when the run began, from the run directory alone.

        With ``about``, the id of a sample, only the questions about the same document are read.

        Raises:
            InvalidInput: the run has no such task, or some of its samples are missing.
        """
        entry = self.task_record(task)
        samples: list[Sample] = []
        documents: dict[str, Document] = {}
        path = self.path / task / "samples.jsonl"
        rows = read_lines(path) if about is None else rows_about(path, about)
        for number, row in enumerate(rows, 1):
            try:
                sample = sample_of(row)
                if sample.document_id not in documents:
                    documents[sample.document_id] = document_of(row)
            except (KeyError, TypeError, ValueError) as error:
                missing = isinstance(error, KeyError)
                what = f"it has no {error.args[0]}" if missing else str(error)
                raise damaged(f"{path}:{number}", one_line(what, 80)) from None
            samples.append(sample)
        if about is None and len(samples) != entry["samples"]:
            raise InvalidInput(
                f"{path} has {len(samples)} of {entry['samples']} samples",
                hint="copy the run directory again, all of it, or begin a new run with --fresh",
            )
        recorded = entry.get(SAMPLES_DIGEST)
        if recorded is not None and path.is_file() and file_digest(path) != recorded:
            raise InvalidInput(
                f"{path} was changed after the run began: its digest is not the one in {RUN_FILE}",
                hint="copy the run directory again, all of it, or begin a new run with --fresh",
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
            perturbation=perturbation_of(entry.get("perturbation")),
            clean_task=entry.get("clean_task", ""),
        )

    def document_texts(self, task: str) -> dict[str, str]:
        """Return document id → text of the document, for those documents of a task that have one."""
        # The file never changes, it can be large, and it is needed once for each model.
        if task not in self._texts:
            self._texts[task] = object_if_any(self.path / task / "texts.json") or {}
        return self._texts[task]

    def words(self, task: str) -> dict[str, list[list[PlacedText]]]:
        """Return key of a page → what its text layer, and every model that read it, says stands where."""
        rows = list(read_lines(self.path / task / "words.jsonl"))
        for model in self.model_names():
            rows += self._rows(model, task, "words")
        words: dict[str, list[list[PlacedText]]] = {}
        for row in rows:
            words.setdefault(str(row.get("page")), []).append(placed_texts(row.get("words")))
        return words

    def append_words(
        self, task: str, words: Mapping[str, Sequence[PlacedText]], model: str | None = None
    ) -> None:
        """Append what stands where on pages: as ``model`` read it, or as the text layer says."""
        records = [{"page": page, "words": rounded(texts)} for page, texts in words.items()]
        if model is not None:
            self._append(model, task, "words", records)
        else:
            self.check_there()
            append_lines(self.path / task / "words.jsonl", records)

    # What was measured

    def outputs(self, model: str, task: str, of: str | None = None) -> dict[str, Output]:
        """Return sample id → output; of two records of one sample, the last one counts.

        With ``of``, the id of a sample, only its answer is read.
        """
        containing = () if of is None else (as_stored(of),)
        return {output.sample_id: output for output in self._outputs(model, task, containing)}

    def answered(self, model: str, task: str) -> dict[str, StopReason]:
        """Return sample id → how its answer ended, without holding the answers in memory."""
        return {output.sample_id: output.stop_reason for output in self._outputs(model, task)}

    def _outputs(self, model: str, task: str, containing: Sequence[bytes] = ()) -> Iterator[Output]:
        """Yield the outputs one by one, as they stand in the files."""
        for row in self._rows(model, task, "outputs", containing):
            try:
                if not is_intact(row):
                    raise ValueError("the checksum does not fit the line")
                output = output_of(row)
            except (TypeError, ValueError) as error:
                place = first_damage(self.cell_folder(model, task))
                raise InvalidInput(
                    f"{place}: the line is damaged: {one_line(error, 80)}: {one_line(row, 80)}",
                    hint="copy the run directory again; or remove the line and resume the run, "
                    "which asks the question again",
                ) from None
            yield output

    def append_outputs(self, model: str, task: str, outputs: Sequence[Output]) -> None:
        """Append the outputs of a batch and wait until they are on the disk."""
        self._append(model, task, "outputs", map(output_record, outputs))

    def batches(self, model: str, task: str) -> list[dict[str, Any]]:
        """Return what was measured for each batch of the offline scenario."""
        return list(self.each_batch(model, task))

    def each_batch(self, model: str, task: str) -> Iterator[dict[str, Any]]:
        """Yield the same one by one: together, the batches of a large run name millions of questions."""
        return self._checked(model, task, "batches", check_batch)

    def append_batch(self, model: str, task: str, record: Mapping[str, Any]) -> None:
        """Append the measurements of one batch."""
        self._append(model, task, "batches", [record])

    def latencies(self, model: str, task: str) -> list[dict[str, Any]]:
        """Return the records of the single-stream scenario, one for each question, in the order asked."""
        return list(self._checked(model, task, "latency", check_latency))

    def append_latency(self, model: str, task: str, record: Mapping[str, Any]) -> None:
        """Append the measurements of one question of the single-stream scenario."""
        self._append(model, task, "latency", [record])

    def _checked(
        self, model: str, task: str, stem: str, check: Callable[[Mapping[str, Any]], None]
    ) -> Iterator[dict[str, Any]]:
        for row in self._rows(model, task, stem):
            try:
                check(row)
            except ValueError as error:
                path = self.cell_folder(model, task) / f"{stem}.jsonl"
                raise damaged(path, f"{error}: {one_line(row, 80)}") from None
            yield row

    def monitor(self, model: str) -> list[dict[str, Any]]:
        """Return what the devices did while the model was measured, from all of its processes."""
        folder = self.model_folder(model)
        paths = [folder / "monitor.jsonl", *sorted(folder.glob("monitor.shard-*.jsonl"))]
        return [row for path in paths for row in read_lines(path)]

    def append_monitor(self, model: str, samples: Sequence[Mapping[str, Any]]) -> None:
        """Append what the devices did during some seconds."""
        self.check_there()
        append_lines(self.model_folder(model) / f"monitor{self._suffix}.jsonl", samples)

    def _append(
        self, model: str, task: str, stem: str, records: Iterable[Mapping[str, Any]]
    ) -> None:
        self.check_there()
        append_lines(self.cell_folder(model, task) / f"{stem}{self._suffix}.jsonl", records)

    def _rows(
        self, model: str, task: str, stem: str, containing: Sequence[bytes] = ()
    ) -> Iterator[dict[str, Any]]:
        """Yield the records of a file and of its shards that are not merged yet."""
        folder = self.cell_folder(model, task)
        shards = sorted(folder.glob(f"{stem}.shard-*.jsonl"))
        # A process that is killed between the two steps of a merge leaves rows in both files.
        known: set[str] = set()
        for row in read_lines(folder / f"{stem}.jsonl", containing):
            if shards:
                known.add(fingerprint(row))
            yield row
        for shard in shards:
            for row in read_lines(shard, containing):
                if fingerprint(row) not in known:
                    yield row

    def merge_shards(self, model: str) -> None:
        """Merge what several processes wrote into one file of each kind; needs the lock of the run.

        Whenever this is killed, no row is lost and no row is doubled: rows that were copied already are not
        copied again.
        """
        folder = self.model_folder(model)
        for shard in sorted(folder.rglob("*.shard-*.jsonl")):
            whole = shard.with_name(shard.name.partition(".shard-")[0] + ".jsonl")
            known = {fingerprint(row) for row in read_lines(whole)}
            new_rows = (row for row in read_lines(shard) if fingerprint(row) not in known)
            append_lines(whole, new_rows)
            with storage_errors(shard):
                shard.unlink()
        parts = sorted(folder.glob("model.shard-*.json"))
        first = self.model_record(model)
        if parts and first is not None:
            others = [device for part in parts for device in read_object(part)["devices"]]
            write_json(folder / "model.json", {**first, "devices": first["devices"] + others})
        for part in parts:
            with storage_errors(part):
                part.unlink()

    def set_failures_aside(self, model: str) -> int:
        """Move the model's failed outputs to ``failures.jsonl``, so that their questions are asked again.

        Needs the lock of the run. Returns how many failed outputs there were.
        """
        total = 0
        for task in self.task_names():
            outputs = self.outputs(model, task).values()
            failed = [output for output in outputs if output.stop_reason == "error"]
            if not failed:
                continue
            total += len(failed)
            folder, now = self.cell_folder(model, task), utc_now()
            # The markers go first: if this is killed, the run is unfinished, and does not look complete.
            for marker in (self.path / SUMMARY_FILE, self.model_folder(model) / "done.json"):
                _remove(marker)
            _remove(folder / "done.json")
            records = ({**dataclasses.asdict(output), "set_aside": now} for output in failed)
            append_lines(folder / "failures.jsonl", records)
            failed_ids = {output.sample_id for output in failed}
            rows = read_lines(folder / "outputs.jsonl")
            kept = [row for row in rows if row["sample_id"] not in failed_ids]
            write_lines(folder / "outputs.jsonl", kept)
        return total

    def write_model(self, model: str, record: Mapping[str, Any]) -> None:
        """Write what was really loaded."""
        self.check_there()
        write_json(self.model_folder(model) / f"model{self._suffix}.json", record)

    def model_record(self, model: str) -> dict[str, Any] | None:
        """Return model.json, what was really loaded; None if no loading has succeeded yet.

        Raises:
            InvalidInput: the file is damaged.
        """
        path = self.model_folder(model) / "model.json"
        record = object_if_any(path)
        if record is not None and not isinstance(record.setdefault("details", {}), dict):
            raise damaged(path, "its details are not an object")
        return record

    def append_check(self, model: str, record: Mapping[str, Any]) -> None:
        """Append what a check of the way of asking found out."""
        append_lines(self.model_folder(model) / "checks.jsonl", [record])

    def checks(self, model: str) -> list[dict[str, Any]]:
        """Return what checks of the way of asking found out, the oldest first."""
        return list(read_lines(self.model_folder(model) / "checks.jsonl"))

    def mark_failed(self, model: str, record: Mapping[str, Any]) -> None:
        """Write why the model could not be loaded or died."""
        self.check_there()
        write_json(self.model_folder(model) / "failure.json", record)

    def failure(self, model: str) -> dict[str, Any] | None:
        """Return why the model could not be loaded or died; None if it did not."""
        return object_if_any(self.model_folder(model) / "failure.json")

    def is_done(self, model: str, task: str) -> bool:
        """Say whether the model has been asked every sample of the task."""
        return (self.cell_folder(model, task) / "done.json").is_file()

    def mark_done(self, model: str, task: str | None = None, **facts: Any) -> None:
        """Write the commit marker of one task of a model, or of the whole model."""
        self.check_there()
        folder = self.model_folder(model) if task is None else self.cell_folder(model, task)
        if task is None:
            # Scores that exist already were made of an unfinished run.
            _remove(self.path / SUMMARY_FILE)
            # Why an earlier try failed is of no use any more.
            _remove(folder / "failure.json")
        write_json(folder / "done.json", {**facts, "finished": utc_now()})

    def lost_answers(self, model: str) -> int:
        """Return how many questions of tasks that are marked as done have no answer on record."""
        lost = 0
        for entry in self.record["tasks"]:
            if self.is_done(model, entry["name"]) or self.is_model_done(model):
                asked = self._asked(model, entry)
                lost += max(0, asked - len(self.answered(model, entry["name"])))
        return lost

    def _asked(self, model: str, entry: Mapping[str, Any]) -> int:
        """How many questions of a task the model is asked: all, or those of a part, as its marker says."""
        marker = object_if_any(self.cell_folder(model, entry["name"]) / "done.json") or {}
        asked = marker.get("samples") if PART in self.record else None
        return asked if isinstance(asked, int) else int(entry["samples"])

    def reopen(self, model: str) -> int:
        """Take away the commit markers of a model whose answers were lost, so that they are asked for again.

        Needs the lock of the run. Returns how many answers were lost.
        """
        lost = self.lost_answers(model)
        if lost:
            _remove(self.path / SUMMARY_FILE)
            _remove(self.model_folder(model) / "done.json")
            for task in self.task_names():
                _remove(self.cell_folder(model, task) / "done.json")
        return lost

    def is_model_done(self, model: str) -> bool:
        """Say whether the model is done with all tasks and with the single-stream scenario."""
        return (self.model_folder(model) / "done.json").is_file()

    def is_complete(self) -> bool:
        """Say whether every model is done."""
        return all(self.is_model_done(model) for model in self.model_names())

    def is_concluded(self) -> bool:
        """Say whether the run is complete, and was scored, reported and pushed as its command says."""
        is_scored = (self.path / SUMMARY_FILE).is_file()
        return self.is_complete() and is_scored and not is_push_awaited(self.path)

    def state(self) -> str:
        """Return ``complete``, ``running`` (a process holds it) or ``unfinished`` (stopped or killed)."""
        if self.is_complete():
            return "complete"
        return "running" if is_locked(self.path) else "unfinished"


def _remove(path: Path) -> None:
    with storage_errors(path):
        path.unlink(missing_ok=True)
