"""The two ways in which ``bench check`` asks a model: the one that is checked, and one that is trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.cli.check_options import CheckOptions
from bench.cli.model_options import ModelOptions, resolve_models
from bench.cli.option_types import OneName
from bench.errors import InvalidInput
from bench.text import one_line

if TYPE_CHECKING:
    from bench.models.backends import BackendTraits
    from bench.schema import ModelSpec

REFERENCE = "reference"
"""Word for plain ``generate`` of transformers, one question at a time."""
ONE_BY_ONE = "one-by-one"
"""Word for the same model, asked one question at a time."""
PADDED_ROWS = 8
"""Questions that are padded together in a check of a plain ``generate``, where nobody names a number."""


class Way(NamedTuple):
    """A model and how it is asked."""

    spec: ModelSpec
    batch_size: int | None
    how: str
    """In words."""


def two_ways(options: CheckOptions) -> tuple[Way, Way]:
    """The way that is checked, and the one that it is compared with."""
    spec = _resolved(options.model, options, engine=options.engine)
    if options.concurrency is not None:
        if not _on_server(spec):
            raise InvalidInput(
                f"--concurrency is for a model that a server runs, and {one_line(spec.name, 60)} is none",
                hint="--batch-size N sets how many questions are asked at once",
            )
        spec = _with(spec, concurrency=options.concurrency)
    batch_size = options.batch_size or None
    if options.against in (REFERENCE, ONE_BY_ONE) and _traits(spec).plain_generate:
        return _padded_and_alone(spec, batch_size or PADDED_ROWS)
    checked = Way(spec, batch_size, _how(spec, batch_size))
    word, _, name = options.against.partition(":")
    if word == REFERENCE:
        name = name or _local_name(spec, options)
        return checked, _reference(name, spec, options)
    if options.against == ONE_BY_ONE:
        return checked, _one_by_one(spec)
    other = _resolved(OneName().convert(options.against, None, None), options)
    return checked, Way(other, batch_size, _how(other, batch_size))


def _how(spec: ModelSpec, batch_size: int | None) -> str:
    if _on_server(spec):
        concurrency = spec.options.get("concurrency")
        return (
            "many requests at a time" if concurrency is None else f"up to {concurrency} at a time"
        )
    return "in batches" if batch_size is None else f"in batches of {batch_size}"


def _padded_and_alone(spec: ModelSpec, rows: int) -> tuple[Way, Way]:
    """Plain ``generate`` with questions padded together, whether that was checked or not, and without."""
    if rows == 1:
        raise InvalidInput(
            "a batch of one question has nothing to be checked",
            hint="--batch-size N sets how many questions are padded together",
        )
    padded = _with(spec, unchecked_rows=rows)
    return Way(padded, rows, f"in padded batches of {rows}"), _one_by_one(spec)


def _one_by_one(spec: ModelSpec) -> Way:
    single = replace(spec, name=f"{spec.name}-{ONE_BY_ONE}")
    if _on_server(spec):
        return Way(_with(single, concurrency=1), None, "one request at a time")
    return Way(single, 1, "one question at a time")


def _reference(name: str, checked: ModelSpec, options: CheckOptions) -> Way:
    spec = _resolved(name, options)
    traits = _traits(spec)
    if "reference" not in traits.options and not traits.plain_generate:
        raise InvalidInput(
            f"{one_line(spec.name, 60)} is not answered by transformers, so it has no plain generate",
            hint=f"--against {ONE_BY_ONE}, or --against and the name of another model",
        )
    if not traits.plain_generate:
        spec = _with(spec, reference=True)
    plain = replace(
        spec,
        name=f"{spec.name}-{REFERENCE}",
        # Both ways see the same pages.
        min_pixels=checked.min_pixels or spec.min_pixels,
        max_pixels=checked.max_pixels or spec.max_pixels,
    )
    return Way(plain, 1, "plain generate of transformers, one question at a time")


def _local_name(spec: ModelSpec, options: CheckOptions) -> str:
    """The name under which this machine has the model: of a served model, that of its checkpoint."""
    if options.engine is not None or not _on_server(spec) or spec.checkpoint is None:
        return options.model
    from bench.models.catalog import entry_of

    entry = entry_of(spec.checkpoint, spec.quantization)
    return spec.checkpoint if entry is None else entry.name


def _resolved(name: str, options: CheckOptions, *, engine: str | None = None) -> ModelSpec:
    """The model that ``name`` means, behind a server of ``engine``, with the options that hold there."""
    try:
        (bare,) = resolve_models([name], ModelOptions(), served_by=engine)
        elsewhere = replace(options, dtype=None, device=None, offline=False)
        fitting = elsewhere if _traits(bare).runs_in == "server" else options
        (spec,) = resolve_models([name], fitting, served_by=engine)
    except InvalidInput as error:
        if name == options.model or options.against != REFERENCE:
            raise
        raise InvalidInput(
            f"the reference of {one_line(options.model, 80)} is not known on this machine: {error.message}",
            hint="--against reference:NAME, where NAME is the same model in bench list models, or a folder",
        ) from None
    return _with(spec, token_details=True) if "token_details" in _traits(spec).options else spec


def _with(spec: ModelSpec, **more: Any) -> ModelSpec:
    return replace(spec, options={**spec.options, **more})


def _traits(spec: ModelSpec) -> BackendTraits:
    from bench.models.backends import traits_of

    return traits_of(spec)


def _on_server(spec: ModelSpec) -> bool:
    return _traits(spec).runs_in != "process"
