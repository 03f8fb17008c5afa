"""Several prompts for the same questions, as rows of one report: ``bench run --prompts A.txt,B.csv,task``.

A set of prompts is one of:

- a file, as ``bench.asking.prompts`` reads it;
- ``task``: the tasks' own prompts;
- ``own:NAME``: what a model's authors document for it under that name in the catalog, such as ``own:json``. A
  model without such a prompt is asked with the tasks' own.

With several sets, every model becomes one variant for each, called ``NAME@SET``. Variants are ordinary
models: they resume, compare and rank as all others do.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bench.asking.prompts import PromptRule, begins_name, read_prompts
from bench.errors import InvalidInput, did_you_mean
from bench.formatting import listed
from bench.models.catalog import CatalogEntry, catalog
from bench.schema import ModelSpec
from bench.text import file_name, one_line

TASK = "task"
OWN = "own:"


class PromptSet(NamedTuple):
    """The prompts of one source."""

    label: str
    """What a variant that is asked with them is called behind the ``@``."""
    rules: tuple[PromptRule, ...]


def read_prompt_set(source: str, models: Sequence[ModelSpec]) -> PromptSet:
    """The prompts that ``source`` means for ``models``.

    Raises:
        InvalidInput: the file cannot be used, or none of the models has a prompt of that name.
    """
    if source == TASK:
        return PromptSet(TASK, ())
    if source.startswith(OWN):
        return _own(source, models)
    path = Path(source)
    label = file_name(path.stem)
    # NAME@512 is a variant of a sweep.
    return PromptSet(f"prompt-{label}" if label.isdigit() else label, read_prompts(path))


def compared(
    models: Sequence[ModelSpec], sets: Sequence[PromptSet]
) -> tuple[tuple[ModelSpec, ...], tuple[PromptRule, ...]]:
    """One variant of every model for each of ``sets``, and the rules of all of them.

    Raises:
        InvalidInput: two sets have one label.
    """
    repeated = [label for label, count in Counter(one.label for one in sets).items() if count > 1]
    if repeated:
        raise InvalidInput(
            f"--prompts names two sources that are called {one_line(repeated[0], 40)!r}",
            hint="rename one of the files: their names tell the rows of the report apart",
        )
    variants = tuple(
        replace(spec, name=f"{spec.name}@{one.label}") for spec in models for one in sets
    )
    rules = tuple(replace(rule, variant=one.label) for one in sets for rule in one.rules)
    return variants, rules


def documented_prompts() -> tuple[CatalogEntry, ...]:
    """The rows of the catalog that have prompts of their own."""
    return tuple(entry for entry in catalog().values() if entry.prompts)


def _own(source: str, models: Sequence[ModelSpec]) -> PromptSet:
    """The documented prompts of the name behind ``own:``."""
    name = source.removeprefix(OWN)
    entries = documented_prompts()
    known = dict.fromkeys(key for entry in entries for key in entry.prompts)
    if name not in known:
        raise InvalidInput(
            f"--prompts {one_line(source, 40)}: no model of the catalog has a prompt of that name",
            hint=did_you_mean(name, known),
        )
    rules = tuple(_rule(entry, name) for entry in entries if name in entry.prompts)
    if not any(begins_name(rule.model, spec) for rule in rules for spec in models):
        able = listed(entry.name for entry in entries if name in entry.prompts)
        raise InvalidInput(
            f"--prompts {one_line(source, 40)}: none of the models has a documented prompt of that name",
            hint=f"these have one: {able}",
        )
    return PromptSet(f"own-{name}", rules)


def _rule(entry: CatalogEntry, name: str) -> PromptRule:
    text = entry.prompts[name]
    return PromptRule(
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        source=entry.prompts_source,
        # The checkpoint is what the prompt belongs to, under whichever name it is run.
        model=(entry.checkpoint or entry.name).rpartition("/")[2],
    )
