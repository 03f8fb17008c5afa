"""What ``bench run --dry-run`` prints: the work, the memory it will ask for, what must be downloaded."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import formatting
from bench.asking.prompts import prompts_record
from bench.asking.protocols import NATIVE
from bench.cli.tables import table
from bench.formatting import byte_size, plural
from bench.measure import gpus, visible_gpus
from bench.models.footprint import download_size, expected_memory, expected_weights
from bench.runner import RunPlan
from bench.runner.batches import batched, default_batch_size, page_groups
from bench.runner.devices import Device
from bench.runner.shards import divide
from bench.runner.sweep import page_bound
from bench.schema import ModelSpec, Task
from bench.text import clip, one_line, printable

MAX_PROMPT = 4_000
"""Characters of a prompt that are shown."""


def describe_json(
    plan: RunPlan, devices: Sequence[Device] = (), push_to: str | None = None
) -> dict[str, Any]:
    """The plan as data: bytes, pixels and counts; null where something cannot be told.

    ``devices`` are those of ``--devices``, which share every model's questions. ``push_to`` is where the
    finished run will be pushed.
    """
    return {
        "spec_id": plan.spec_id(),
        "models": [_model_facts(plan, spec, devices) for spec in plan.models],
        "tasks": [_task_facts(task) for task in plan.tasks],
        "questions": sum(len(task.samples) for task in plan.tasks) * len(plan.models),
        "protocol": plan.settings.protocol or {"name": NATIVE},
        "prompts": prompts_record(plan.settings.prompts, plan.models, plan.tasks),
        "devices": [device.name for device in devices],
        "push_to": push_to,
        "gpus": gpus(),
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
    }


def _model_facts(plan: RunPlan, spec: ModelSpec, devices: Sequence[Device]) -> dict[str, Any]:
    bound = page_bound(spec)
    return {
        "name": spec.name,
        "backend": spec.backend,
        "checkpoint": spec.checkpoint,
        "max_pixels": None if bound is None else bound.pixels,
        "max_visual_tokens": None if bound is None else bound.visual_tokens,
        "expected_memory_bytes": expected_memory(spec),
        "download_bytes": download_size(spec),
        "device_map": spec.options.get("device_map"),
        "questions_by_device": _questions_by_device(plan, spec, devices) if devices else None,
    }


def _task_facts(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "questions": len(task.samples),
        "documents": len(task.documents),
        "pages": sum(len(document.pages) for document in task.documents.values()),
        "largest_document_pixels": max(group.document.pixels() for group in page_groups(task)),
    }


def _questions_by_device(plan: RunPlan, spec: ModelSpec, devices: Sequence[Device]) -> list[int]:
    """Questions of each device, divided as the runner does."""
    documents = {task.name: page_groups(task) for task in plan.tasks}
    everything = [group for groups in documents.values() for group in groups]
    weights = expected_weights(replace(spec, device=devices[0].name)) or 0
    size = plan.settings.batch_size or default_batch_size(devices[0].name, everything, weights)
    batches = {name: list(batched(groups, size)) for name, groups in documents.items()}
    counts = []
    for share in divide(batches, len(devices), spec.max_pixels):
        groups = [
            group
            for task, numbers in share.items()
            for number in numbers
            for group in batches[task][number]
        ]
        counts.append(sum(len(group.requests) for group in groups))
    return counts


def describe(plan: RunPlan, devices: Sequence[Device] = (), push_to: str | None = None) -> str:
    """The plan for a person's eyes; the arguments are those of ``describe_json``."""
    facts = describe_json(plan, devices, push_to)
    native = facts["protocol"]["name"] == NATIVE
    lines = [
        f"This run would ask {plural(facts['questions'], 'question')} in all. "
        "A dry run loads and writes nothing.",
        "",
        f"protocol  {_protocol(facts['protocol'])}",
        f"prompts   {_prompts(facts['prompts'], native=native)}",
    ]
    if devices:
        names = ", ".join(facts["devices"])
        lines.append(f"devices   {names}: each process loads the whole model")
    if push_to is not None:
        lines.append(f"push to   {one_line(push_to, 1000)}, when the run is finished")
    lines += ["", table([_task_row(task) for task in facts["tasks"]])]
    lines += ["", table([_model_row(model) for model in facts["models"]])]
    lines += [*_placement(facts["models"]), "", *_memory(facts, devices)]
    for task in plan.tasks:
        lines += _prompt_by_schema(plan, task)
    return "\n".join(lines)


def _prompt_by_schema(plan: RunPlan, task: Task) -> list[str]:
    """How the first document of a task is asked for what a JSON Schema describes; nothing without one."""
    rules = plan.settings.prompts
    requests = (r for group in page_groups(task, plan.models[0], rules) for r in group.requests)
    prompt = next((request.prompt for request in requests if request.json_schema is not None), None)
    if prompt is None:
        return []
    shown = printable(clip(prompt, MAX_PROMPT), newlines=True)
    return ["", f"{task.name} asks by a JSON Schema:", shown]


def _task_row(task: Mapping[str, Any]) -> dict[str, str]:
    return {
        "task": task["name"],
        "questions": formatting.count(task["questions"]),
        "documents": formatting.count(task["documents"]),
        "pages": formatting.count(task["pages"]),
        "largest document, pixels": formatting.count(task["largest_document_pixels"]),
    }


def _model_row(model: Mapping[str, Any]) -> dict[str, str]:
    memory, download = model["expected_memory_bytes"], model["download_bytes"]
    return {
        "model": model["name"],
        "memory (estimate)": byte_size(memory) if memory is not None else _no_memory(model),
        "to download": "unknown"
        if download is None
        else byte_size(download)
        if download
        else "nothing",
        "max. pixels a page": formatting.count(model["max_pixels"]),
        "max. visual tokens": formatting.count(model["max_visual_tokens"]),
        "checkpoint": model["checkpoint"] or formatting.DASH,
    }


def _no_memory(model: Mapping[str, Any]) -> str:
    """Why there is no figure for a model's memory."""
    return "no weights" if model["checkpoint"] is None else "unknown"


def _placement(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which models do not run as one process on one device."""
    lines = []
    for model in models:
        if model["questions_by_device"] is not None:
            counts = " + ".join(f"{count:,}" for count in model["questions_by_device"])
            lines.append(f"{model['name']}: the devices get {counts} questions")
        if model["device_map"] is not None:
            lines.append(
                f"{model['name']}: its layers are spread over all GPUs, and it answers in padded batches"
            )
    return ["", *lines] if lines else []


def _memory(facts: Mapping[str, Any], devices: Sequence[Device]) -> list[str]:
    """What the GPUs have free, and which models are not expected to fit."""
    seen = facts["gpus"]
    visible = visible_gpus()
    if not seen or visible == []:
        return ["No GPU was found, so models with weights would run on the CPU."]
    lines = [
        f"{gpu['name']}: {byte_size(gpu.get('free_bytes'))} of {byte_size(gpu.get('memory_bytes'))} are free"
        for gpu in seen
    ]
    if any(device.name == "cpu" for device in devices):
        return lines
    # A driver that does not say how much is free must not make every model seem too large.
    free = [gpu.get("free_bytes", float("inf")) for gpu in seen]
    entries = [device.environment["CUDA_VISIBLE_DEVICES"] for device in devices] or visible or []
    # A batch system may name GPUs by other words than these; then any of them may be meant.
    used = [
        room
        for number, (gpu, room) in enumerate(zip(seen, free, strict=True))
        if _names(entries, number, gpu)
    ]
    used = used or free
    one_gpu = min(used) if devices else max(used)
    for model in facts["models"]:
        room = one_gpu if model["device_map"] is None else sum(used)
        if (model["expected_memory_bytes"] or 0) > room:
            lines.append(
                f"{model['name']} will probably not fit. A smaller --visual-tokens or an Int4 variant needs "
                "less memory."
            )
    return lines


def _names(entries: Sequence[str], number: int, gpu: Mapping[str, Any]) -> bool:
    """Whether entries of ``CUDA_VISIBLE_DEVICES`` name a GPU: by its number, or by the start of its UUID."""
    uuid = str(gpu.get("uuid", ""))
    return any(entry == str(number) or (entry and uuid.startswith(entry)) for entry in entries)


def _protocol(record: Mapping[str, Any]) -> str:
    title = record.get("title")
    return one_line(f"{record['name']} ({title})" if title else str(record["name"]))


def _prompts(record: Sequence[Mapping[str, Any]], *, native: bool) -> str:
    """Where the prompts come from, and how many questions are asked with them."""
    counts: Counter[str] = Counter()
    for entry in record:
        counts[str(entry["source"])] += entry["questions"]
    named = {"task": "the tasks' own" if native else "the protocol, or the tasks' own"}
    return "; ".join(
        f"{one_line(named.get(source, source), 80)} ({plural(count, 'question')})"
        for source, count in counts.most_common()
    )
