"""What an exported result says besides its scores, in words that are true on every machine.

An export is made to be read by others. So it names settings by a list, and everything that is not on the
list is left out: the values of a model's options, which may be addresses and keys, command lines, and paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath

import bench
from bench.asking.prompts import Chooser, from_record
from bench.errors import InvalidInput
from bench.formatting import count, plural
from bench.litter import remove_litter_beside
from bench.report.records import nested, text
from bench.report.records import number as number_in
from bench.rundir.record import PART
from bench.rundir.store import RunStore
from bench.schema import MENDED, Task
from bench.scoring.evaluation import Cell
from bench.text import file_name, one_line, without_user_info

LIBRARY = "docvlm-bench"

SETTINGS = (
    "checkpoint",
    "revision",
    "quantization",
    "adapter",
    "dtype",
    "attention",
    "min_pixels",
    "max_pixels",
)
"""Settings of a model that an export names: as they took effect, where the run recorded that."""

_NAMES = ("checkpoint", "adapter")
"""Those of them that may be the path of a folder."""

_PARTS = {
    "limit": "--limit",
    "sample_ids": "--sample-ids",
    "only": "a user_config.csv that chooses documents",
}
"""Settings that leave questions out → how they were given."""
_SAME_QUESTIONS = frozenset(
    {
        "batch_size",
        "warmup",
        "latency_samples",
        "seed",
        "max_new_tokens",
        "prompts",
        "protocol",
        "allow_downscale",
        "upright",
    }
)
"""Settings under which the questions and the pages are those of the task."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def hub_id(name: str | None) -> str | None:
    """``name`` if it can be an id of the Hub, ``owner/name``; None for a folder or anything else."""
    return name if name and _HUB_ID.fullmatch(name) and ".." not in name else None


def public_name(name: str) -> str:
    """``name`` without the folders that lead to it on this machine; an id of the Hub stays whole."""
    if hub_id(name) is None:
        name = PureWindowsPath(name).name.strip(".") or "unnamed"
    return one_line(name, 200)


def published_id(run: RunStore, model: str) -> str | None:
    """The id on the Hub of what was measured: of the adapter if there is one, else of the checkpoint."""
    spec = run.model_spec(model)
    return hub_id(spec.adapter or spec.checkpoint)


def settings_of(run: RunStore, model: str) -> dict[str, str]:
    """The backend of a model and its ``SETTINGS``, those that are set; of its options only the names."""
    spec, record = run.model_spec(model), run.model_record(model)
    settings = {"backend": text(nested(record, "backend")) or spec.backend}
    for key in SETTINGS:
        loaded = nested(record, "details", key)
        value = getattr(spec, key) if loaded is None else loaded
        if isinstance(value, str | int) and value not in ("", "auto"):
            settings[key] = public_name(str(value)) if key in _NAMES else one_line(value, 200)
    if spec.options:
        settings["options"] = one_line(", ".join(sorted(spec.options)))
    return settings


def harness_of(run: RunStore) -> dict[str, str]:
    """Which version of this program asked the questions, and which one computed the scores."""
    environment = run.record.get("environment")
    commit = text(nested(environment, "git", "commit"))
    if commit and nested(environment, "git", "dirty"):
        commit += " with changes"
    described = {
        "scored_by": bench.__version__,
        "asked_by": text(nested(environment, "bench")),
        "commit": commit,
        "python": text(nested(environment, "python")),
    }
    return {key: one_line(value, 100) for key, value in described.items() if value}


def versions_of(run: RunStore) -> dict[str, str]:
    """Package → version, of the packages that make an answer or a score."""
    packages = nested(run.record.get("environment"), "packages")
    if not isinstance(packages, Mapping):
        return {}
    return {one_line(name, 60): one_line(version, 60) for name, version in packages.items()}


def protocol_of(run: RunStore) -> str:
    """The name of the protocol that the run asked by."""
    return one_line(text(nested(run.record, "protocol", "name")) or "native", 60)


def source_of(task: Task) -> str:
    """Where the questions of ``task`` come from; not where they lie on this machine."""
    first = task.source.partition(",")[0]
    # The source of a copy on this machine begins with its path.
    if Path(first).is_absolute() or PureWindowsPath(first).is_absolute():
        return "files on the machine of whoever ran it"
    return one_line(without_user_info(task.source), 500)


def address_of(task: Task) -> str | None:
    """The web address that ``task`` names as its source; None if it names none."""
    source = source_of(task)
    is_address = source.startswith(("https://", "http://")) and " " not in source
    return source if is_address else None


def full_prompts(run: RunStore, model: str, task: Task) -> dict[str, str]:
    """Sample id → the text that followed the pages, as the model got it.

    Raises:
        InvalidInput: the prompt collection in ``run.json`` is damaged.
    """
    try:
        rules = from_record(run.settings.get("prompts") or ())
    except TypeError as error:
        raise InvalidInput(
            f"{run.path} is damaged: its prompts cannot be read: {one_line(error, 100)}",
            hint="copy the run directory again, all of it",
        ) from None
    chooser = Chooser(rules, run.model_spec(model), task)
    return {sample.id: chooser.prompt(sample) for sample in task.samples}


def prompt_sources(run: RunStore, model: str, task: Task) -> list[str]:
    """Where the prompts of a model's questions come from: ``task``, or the name of a collection."""
    collected = run.record.get("prompts")
    sources = [
        one_line(nested(entry, "source"), 100)
        for entry in (collected if isinstance(collected, list) else [])
        if nested(entry, "model") == model and nested(entry, "task") == task.name
    ]
    return list(dict.fromkeys(sources))


def restrictions(run: RunStore, cell: Cell) -> list[str]:
    """Why a score is not one of the whole task as its authors made it; empty if it is."""
    reasons = []
    if PART in run.record:
        reasons.append("the run is a part of a run; join the parts with bench merge")
    if cell.asked < len(cell.answers):
        asked = f"{count(cell.asked)} of {plural(len(cell.answers), 'question')}"
        reasons.append(f"the run is not finished: {asked} have been asked")
    for setting, value in run.settings.items():
        if value in (None, False, "", (), [], {}) or setting in _SAME_QUESTIONS:
            continue
        if setting in _PARTS:
            reasons.append(f"only some of the questions were asked ({_PARTS[setting]})")
        else:
            reasons.append(f"the pages or questions were changed ({one_line(setting, 40)})")
    perturbation = run.task_record(cell.task.name).get("perturbation")
    if perturbation:
        kind = one_line(text(nested(perturbation, "kind")), 40)
        severity = number_in(nested(perturbation, "severity"))
        degree = "" if severity is None else f", severity {severity:g}"
        reasons.append(f"the pages were perturbed ({kind}{degree})")
    if MENDED in cell.task.version:
        reasons.append("references of the task were mended, so it is not the published benchmark")
    return reasons


def unique_names(names: Sequence[str]) -> dict[str, str]:
    """Name → a file name for it; no two are equal, also where capitals do not count."""
    taken: set[str] = set()
    chosen: dict[str, str] = {}
    for name in names:
        safe, number = file_name(name), 1
        candidate = safe
        while candidate.lower() in taken:
            number += 1
            candidate = f"{safe}-{number}"
        taken.add(candidate.lower())
        chosen[name] = candidate
    return chosen


def check_new(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse to write over files, and remove what a killed export has left beside them.

    Raises:
        InvalidInput: one of ``paths`` exists, and nobody has said that it may be replaced.
    """
    paths = list(paths)
    remove_litter_beside(paths)
    for path in paths:
        if (path.exists() or path.is_symlink()) and not overwrite:
            raise InvalidInput(
                f"{one_line(path, 300)} exists already",
                hint="choose another folder, or replace its files: --overwrite",
            )
