"""Joins the parts of a run, which machines answered without knowing of each other, into one run directory.

Parts fit together if they are of one specification and one version of the program, if every part is there
once, and if each has answered its own questions and no others. Whatever does not fit is named in one line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.files import append_lines, read_lines, write_json
from bench.formatting import listed, plural
from bench.rundir.checksums import CHECKSUM, file_digest
from bench.rundir.listing import find_runs
from bench.rundir.lock import is_locked
from bench.rundir.record import MERGED, PART
from bench.rundir.store import SAMPLES_DIGEST, RunStore
from bench.runner.answering import sample_ids
from bench.runner.batches import batched, page_groups
from bench.runner.shards import DIVISION, Part, divide
from bench.runner.spec import differences, identity_digest
from bench.schema import Output, PageGroup, Task
from bench.text import one_line, utc_now

PARTS = "parts"
"""Key of ``run.json`` of a merged run: the parts that it was made of."""

_LOADED = ("checkpoint", "revision", "quantization", "adapter", "dtype", "attention")
"""Details of a loaded model on which an answer depends."""

Answers = Mapping[tuple[str, str], Mapping[str, Output]]
"""Model and task → sample id → answer, in the order in which a run in one piece asks."""


def merge(runs: Sequence[RunStore], results: Path, name: str | None = None) -> RunStore:
    """Join parts into a new run directory under ``results``, or find the one that they were joined into.

    Args:
        runs: the parts, in any order.
        results: the folder of the merged run.
        name: what it is called; None takes the name of the parts.

    Raises:
        InvalidInput: the parts do not fit together, one is missing, unfinished or damaged.
    """
    parts = _in_order(runs)
    for part in parts[1:]:
        _check_identity(parts[0], part)
    for part in parts:
        _check_finished(part)
    earlier = _merged_before(parts, results)
    if earlier is not None:
        return earlier
    tasks = {task: _same_task(parts, task) for task in parts[0].task_names()}
    answers: dict[tuple[str, str], dict[str, Output]] = {}
    for model in parts[0].model_names():
        _check_loaded(parts, model)
        answers |= _answers(parts, model, tasks)
    return _write(parts, tasks, answers, results, name)


def _in_order(runs: Sequence[RunStore]) -> list[RunStore]:
    """The parts by their numbers, if every number is there once."""
    by_number: dict[int, RunStore] = {}
    for run in runs:
        part = Part.of(run.record)
        if PART not in run.record:
            raise InvalidInput(
                f"{run.path} is a whole run, not a part of one",
                hint="name run directories that bench run --shard has made",
            )
        first = Part.of(runs[0].record)
        if part.total != first.total:
            raise InvalidInput(
                f"{run.path} is {part}, but {runs[0].path} is one of {plural(first.total, 'part')}",
                hint="name the parts of one division",
            )
        if part.number in by_number:
            raise InvalidInput(
                f"{part} is named twice: {by_number[part.number].path} and {run.path}",
                hint="leave out one of them",
            )
        if part.division != first.division:
            raise InvalidInput(
                f"{run.path} and {runs[0].path} were divided by different versions of the program",
                hint="run all parts with one version",
            )
        by_number[part.number] = run
    total = Part.of(runs[0].record).total
    missing = [number for number in range(1, total + 1) if number not in by_number]
    if missing:
        shown = listed([str(number) for number in missing], 8)
        raise InvalidInput(
            f"{'part' if len(missing) == 1 else 'parts'} {shown} of {total} "
            f"{'is' if len(missing) == 1 else 'are'} missing",
            hint=f"name all parts; the command of the others with --shard {missing[0]}/{total} makes one",
        )
    return [by_number[number] for number in sorted(by_number)]


def _check_identity(first: RunStore, part: RunStore) -> None:
    """Refuse a part of another specification, or one that another version of the program has made."""
    changed = differences(first.record.get("spec", {}), part.record.get("spec", {}))
    if changed:
        shown = "; ".join(changed[:4]) + ("; …" if len(changed) > 4 else "")
        raise InvalidInput(
            f"{part.path} was made with another specification than {first.path}: {shown}",
            hint="run this part again with the options of the others",
        )
    names = [(run.model_names(), run.task_names()) for run in (first, part)]
    if names[0] != names[1]:
        raise InvalidInput(
            f"{part.path} lists other models or tasks than {first.path}",
            hint="copy the run directory again, all of it",
        )
    versions = [_version(run) for run in (first, part)]
    if versions[0] != versions[1]:
        raise InvalidInput(
            f"{part.path} was made by {versions[1]}, but {first.path} by {versions[0]}",
            hint="run this part again with the version of the others, and with --fresh",
        )


def _version(run: RunStore) -> str:
    environment = _environment(run)
    git = environment.get("git")
    commit = git.get("commit") if isinstance(git, Mapping) else None
    version = f"docvlm-bench {one_line(environment.get('bench', 'of an unknown version'), 40)}"
    return f"{version} at commit {one_line(commit, 12)}" if commit else version


def _environment(run: RunStore) -> Mapping[str, Any]:
    environment = run.record.get("environment")
    return environment if isinstance(environment, Mapping) else {}


def _check_finished(run: RunStore) -> None:
    """Refuse a part that is still at work, that was stopped, or whose specification was edited."""
    if run.record.get("spec_id") != identity_digest(run.record.get("spec", {})):
        raise InvalidInput(
            f"{run.path}/run.json was changed after the run began: its spec is not the one of its spec_id",
            hint="copy the run directory again, all of it",
        )
    part = Part.of(run.record)
    if is_locked(run.path):
        raise InvalidInput(f"{part} is still at work in {run.path}", hint="wait until it ends")
    for model in run.model_names():
        if not run.is_model_done(model):
            raise InvalidInput(
                f"{part} is not finished: {model} is not done in {run.path}",
                hint="run the command of this part again; it asks what is missing",
            )


def _same_task(parts: Sequence[RunStore], name: str) -> Task:
    """A task of the run, if all parts have the same questions, references and metadata."""
    first = parts[0].load_task(name)
    for part in parts[1:]:
        # Where the pages lie may differ from machine to machine, and with it the bytes of the file.
        is_same = _entry(part, name) == _entry(parts[0], name)
        if part.load_task(name).samples != first.samples or not is_same:
            raise InvalidInput(
                f"{part.path} has other samples of {name} than {parts[0].path}",
                hint="run this part again with the task of the others",
            )
    return first


def _entry(run: RunStore, task: str) -> dict[str, Any]:
    return {**run.task_record(task), SAMPLES_DIGEST: None}


def _check_loaded(parts: Sequence[RunStore], model: str) -> None:
    """Refuse parts that asked in other batches, or of a model that was loaded otherwise."""
    first = _loaded(parts[0], model)
    for part in parts[1:]:
        changed = differences(first, _loaded(part, model))
        if changed:
            raise InvalidInput(
                f"{part.path} asked {model} otherwise than {parts[0].path}: {'; '.join(changed)}",
                hint="run all parts on machines of one kind, and with the same --batch-size",
            )


def _loaded(run: RunStore, model: str) -> dict[str, Any]:
    record = run.model_record(model) or {}
    details = record.get("details")
    known = details if isinstance(details, Mapping) else {}
    device = str(record.get("device", "")).partition(":")[0]
    loaded = {key: known.get(key) for key in _LOADED}
    return {"batch_size": record.get("batch_size"), "device": device, **loaded}


def _answers(
    parts: Sequence[RunStore], model: str, tasks: Mapping[str, Task]
) -> dict[tuple[str, str], dict[str, Output]]:
    """The answers of all parts, if each part has those of its own questions and no others."""
    size = _loaded(parts[0], model)["batch_size"]
    if not isinstance(size, int) or size < 1:
        raise InvalidInput(
            f"{parts[0].path} does not say in batches of what size {model} was asked",
            hint="run this part again with --fresh",
        )
    batches = {name: list(batched(page_groups(task), size)) for name, task in tasks.items()}
    shares = divide(batches, len(parts), parts[0].model_spec(model).max_pixels)
    answers: dict[tuple[str, str], dict[str, Output]] = {}
    for name, all_batches in batches.items():
        by_part = [part.outputs(model, name) for part in parts]
        order = [key for batch in all_batches for key in sample_ids(batch)]
        if Part.of(parts[0].record).division == DIVISION:
            owner = _owners([share[name] for share in shares], all_batches)
        else:
            owner = _owners_by_answers(by_part, order, f"{model} to {name}")
        given: dict[str, Output] = {}
        for number, (part, own) in enumerate(zip(parts, by_part, strict=True), 1):
            _check_answers(part, model, name, own.keys(), owner, number)
            _check_lines(part, model, name)
            given |= own
        answers[model, name] = {key: given[key] for key in order}
    return answers


def _owners(
    shares: Sequence[Sequence[int]], batches: Sequence[Sequence[PageGroup]]
) -> dict[str, int]:
    """Sample id → the number of the part whose question it is; ``shares`` are the batches of each part."""
    owner: dict[str, int] = {}
    for number, share in enumerate(shares, 1):
        for index in share:
            owner.update(dict.fromkeys(sample_ids(batches[index]), number))
    return owner


def _owners_by_answers(
    by_part: Sequence[Iterable[str]], asked: Sequence[str], what: str
) -> dict[str, int]:
    """As ``_owners``, of parts that an earlier version divided: a question is the part's that answered it."""
    owner: dict[str, int] = {}
    for number, given in enumerate(by_part, 1):
        for key in given:
            owner.setdefault(key, number)
    missing = [key for key in asked if key not in owner]
    if missing:
        raise InvalidInput(
            f"the parts lack {plural(len(missing), 'answer')} of {what}; the first is to "
            f"{one_line(missing[0], 60)!r}",
            hint="run the commands of the parts again, with the version that made them",
        )
    known = set(asked)
    return {key: number for key, number in owner.items() if key in known}


def _check_answers(
    run: RunStore,
    model: str,
    task: str,
    given: Iterable[str],
    owner: Mapping[str, int],
    number: int,
) -> None:
    """Refuse a part that answers another part's question or lacks one of its own.

    ``owner`` says of each question whose it is.
    """
    part, given = Part.of(run.record), set(given)
    strange = next((key for key in sorted(given) if owner.get(key) != number), None)
    if strange is not None:
        whose = f"of part {owner[strange]}" if strange in owner else "of no part"
        raise InvalidInput(
            f"{part} has an answer of {model} to {one_line(strange, 60)!r} of {task}, a question {whose} "
            f"({run.path})",
            hint="copy the run directory again, or run this part again with --fresh",
        )
    own = [key for key, each in owner.items() if each == number]
    missing = [key for key in own if key not in given]
    if missing:
        raise InvalidInput(
            f"{part} lacks {plural(len(missing), 'answer')} of {model} to {task}, of {len(own)}; the first "
            f"is to {one_line(missing[0], 60)!r} ({run.path})",
            hint="run the command of this part again; it asks what is missing",
        )


def _check_lines(run: RunStore, model: str, task: str) -> None:
    """Refuse lines that were edited; reading has compared the checksums of those that have one."""
    path = run.cell_folder(model, task) / "outputs.jsonl"
    seen: set[str] = set()
    for number, row in enumerate(read_lines(path), 1):
        if CHECKSUM not in row:
            raise InvalidInput(
                f"{path}:{number}: the line was edited: it has no checksum",
                hint="copy the run directory again; or remove the line and run the part's command again",
            )
        if row["sample_id"] in seen:
            raise InvalidInput(
                f"{path}:{number}: {one_line(row['sample_id'], 60)!r} has a second answer",
                hint="remove one of the two lines",
            )
        seen.add(row["sample_id"])


def _merged_before(parts: Sequence[RunStore], results: Path) -> RunStore | None:
    """The run that these parts were joined into, perhaps by a command that was killed before it scored."""
    wanted = _parts_record(parts)
    for run in find_runs(results):
        if run.record.get(PARTS) == wanted and run.is_complete():
            return run
    return None


def _parts_record(parts: Sequence[RunStore]) -> list[dict[str, Any]]:
    """What ``run.json`` of the whole says of its parts, with a digest of the answers of each."""
    record = []
    for part in parts:
        files = sorted(part.path.glob("*/*/outputs.jsonl"))
        digests = "".join(file_digest(path) for path in files)
        answers = hashlib.sha256(digests.encode()).hexdigest()
        record.append({"id": part.id, "started": part.record.get("started"), "answers": answers})
    return record


def _write(
    parts: Sequence[RunStore],
    tasks: Mapping[str, Task],
    answers: Answers,
    results: Path,
    name: str | None,
) -> RunStore:
    """A new run directory with all that the parts hold; it is a run when all of it is there."""
    first = parts[0]
    called = name or str(first.record.get("name", "run"))
    texts = {task: first.document_texts(task) for task in tasks}
    record = _merged_record(parts, called)
    with RunStore.making(results, called, record, list(tasks.values()), texts) as run:
        _fill(run, parts, tasks, answers)
    return run


def _fill(
    run: RunStore, parts: Sequence[RunStore], tasks: Mapping[str, Task], answers: Answers
) -> None:
    """Write the answers of all parts into ``run``, with what was measured."""
    first = parts[0]
    for model in first.model_names():
        write_json(run.model_folder(model) / "model.json", first.model_record(model))
        for part in parts:
            run.append_monitor(model, part.monitor(model))
        for task in tasks:
            outputs = list(answers[model, task].values())
            run.append_outputs(model, task, outputs)
            for part in parts:
                _copy_rows(part, run, model, task)
            failed = sum(output.stop_reason == "error" for output in outputs)
            run.mark_done(model, task, samples=len(outputs), failed=failed)
        run.mark_done(model)


def _copy_rows(part: RunStore, run: RunStore, model: str, task: str) -> None:
    """Append what a part measured, and the failures that it asked again."""
    for file in ("batches.jsonl", "latency.jsonl", "failures.jsonl"):
        source = part.cell_folder(model, task) / file
        if source.is_file():
            append_lines(run.cell_folder(model, task) / file, read_lines(source))


def _merged_record(parts: Sequence[RunStore], name: str) -> dict[str, Any]:
    """``run.json`` of the whole: that of the first part, with where the parts came from."""
    first = parts[0].record
    own = {"id", PART, "schema_version"}
    record = {key: value for key, value in first.items() if key not in own}
    record["name"] = name
    record[MERGED] = utc_now()
    record["started"] = min(str(part.record.get("started", "")) for part in parts)
    record["command"] = _without_shard(first.get("command"))
    warnings = first.get("warnings")
    known = warnings if isinstance(warnings, list) else []
    record["warnings"] = [*known, *_other_machines(parts)]
    record[PARTS] = _parts_record(parts)
    return record


def _without_shard(command: Any) -> list[str]:
    """The command of a part as that of the whole run."""
    words = [str(word) for word in command] if isinstance(command, list) else []
    kept: list[str] = []
    for number, word in enumerate(words):
        follows = number > 0 and words[number - 1] == "--shard"
        if not follows and word != "--shard" and not word.startswith("--shard="):
            kept.append(word)
    return kept


def _other_machines(parts: Sequence[RunStore]) -> list[str]:
    """What a report says where the parts did not run under the same conditions."""
    environments = [_environment(part) for part in parts]
    said = []
    machines = dict.fromkeys(_machine(environment) for environment in environments)
    if len(machines) > 1:
        said.append(
            f"The {len(parts)} parts of the run were answered on different hardware "
            f"({listed(list(machines), 4)}); its speed is a mean of them"
        )
    packages = [environment.get("packages") for environment in environments]
    if any(each != packages[0] for each in packages):
        said.append("The parts of the run were answered with different versions of libraries")
    return said


def _machine(environment: Mapping[str, Any]) -> str:
    gpus = environment.get("gpus")
    listed_gpus = gpus if isinstance(gpus, list) else []
    names = [str(gpu.get("name")) for gpu in listed_gpus if isinstance(gpu, Mapping)]
    return one_line(", ".join(names) or environment.get("cpu") or "an unknown machine", 80)
