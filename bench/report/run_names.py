"""What a report calls each of several runs: its name, or what tells it from the others of that name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench import formatting
from bench.report.records import nested, text
from bench.report.views import RunView
from bench.text import one_line

MOST_OPTIONS = 2
"""Options that stand in a name; runs that differ in more are named by the time at which they began."""
_NOT_CHOSEN = ("name", "backend", "options")
"""Keys of a model's specification that are not options of a command, or that may hold an address."""


def distinct_names(runs: Sequence[RunView]) -> dict[str, str]:
    """Id of a run → what the report calls it, another name for each.

    It is the name that a person gave, then the options in which runs of that name differ, then the time at
    which they began, and the id where nothing else tells two of them apart.
    """
    names: dict[str, str] = {}
    for name, count in Counter(run.name for run in runs).items():
        alike = [run for run in runs if run.name == name]
        if count == 1:
            names[alike[0].id] = name
            continue
        words = _told_apart(alike)
        # A name that all runs have says nothing.
        prefix = "" if count == len(runs) else f"{name}, "
        names |= {id_: id_ if each == id_ else f"{prefix}{each}" for id_, each in words.items()}
    return names


def keys_of_rows(models: Sequence[Sequence[str]], runs: Sequence[RunView]) -> list[dict[str, str]]:
    """For each of the ``runs``: its models → the keys of their rows, each key once in the whole report.

    Args:
        models: the models of each run.
        runs: as many runs.
    """
    counts = Counter(model for of_run in models for model in of_run)
    names = distinct_names(runs)
    taken: set[str] = set()
    keys: list[dict[str, str]] = []
    for of_run, run in zip(models, runs, strict=True):
        own: dict[str, str] = {}
        for model in of_run:
            key = model if counts[model] == 1 else f"{model} @ {names[run.id]}"
            while key in taken:
                key += "′"
            taken.add(key)
            own[model] = key
        keys.append(own)
    return keys


def _told_apart(runs: Sequence[RunView]) -> dict[str, str]:
    """Id → words that no other of the ``runs`` has; the id where there are none."""
    days = [formatting.moment(run.started[:10]) for run in runs]
    minutes = [formatting.moment(run.started[:16]) for run in runs]
    seconds = [formatting.moment(run.started[:19]) for run in runs]
    for words in (_options(runs), days, minutes, seconds):
        if all(words) and len(set(words)) == len(runs):
            return {run.id: each for run, each in zip(runs, words, strict=True)}
    return {run.id: run.id for run in runs}


def _options(runs: Sequence[RunView]) -> list[str]:
    """The options of each run that the others have not chosen alike; empty if they are too many to read."""
    chosen = [_chosen(run.record.get("spec")) for run in runs]
    keys = dict.fromkeys(key for options in chosen for key in options)
    differing = [key for key in keys if len({options.get(key) for options in chosen}) > 1]
    if len(differing) > MOST_OPTIONS:
        return []
    return [", ".join(options.get(key, f"no {key}") for key in differing) for options in chosen]


def _chosen(spec: Any) -> dict[str, str]:
    """Option → its value in words, of the settings of a run and of its models."""
    settings = nested(spec, "settings")
    options = _in_words(settings, "")
    models = nested(spec, "models")
    known = (
        [model for model in models if isinstance(model, Mapping)]
        if isinstance(models, list)
        else []
    )
    for model in known:
        owner = f"{text(model.get('name'))} " if len(known) > 1 else ""
        options |= _in_words({k: v for k, v in model.items() if k not in _NOT_CHOSEN}, owner)
    return options


def _in_words(values: Any, owner: str) -> dict[str, str]:
    if not isinstance(values, Mapping):
        return {}
    words = {}
    for key, value in values.items():
        name = f"{owner}{text(key).replace('_', ' ')}"
        if isinstance(value, bool):
            words[name] = name if value else f"no {name}"
        elif isinstance(value, int):
            words[name] = f"{name} {formatting.count(value)}"
        elif isinstance(value, float):
            words[name] = f"{name} {formatting.significant(value)}"
        elif isinstance(value, str):
            words[name] = f"{name} {one_line(value, 30)}"
        elif value is not None:
            words[name] = f"other {name}"
    return words
