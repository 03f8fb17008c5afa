"""Options that say how a model is loaded and how large its pages are, and the models with these options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from bench.cli.commands import choice
from bench.cli.config_file import bench_toml
from bench.cli.option_types import FEWEST_TOKENS, MOST_TOKENS, MaxPixels
from bench.errors import InvalidInput

if TYPE_CHECKING:
    from bench.schema import ModelSpec


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What the command line says about every model that it names; None leaves a model as it is."""

    dtype: str | None = None
    attention: str | None = None
    quantization: str | None = None
    device: str | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    visual_tokens: int | None = None
    """Bound on a page in visual tokens; each model's token size makes ``max_pixels`` of it."""
    offline: bool = False


pages_choice = partial(choice, group="Pages")
engine_choice = partial(choice, group="Engine")
dtype_choice = partial(
    engine_choice,
    type=click.Choice(["auto", "bf16", "fp16", "fp32"]),
    help="Compute in this number format. Without the option, auto takes bf16 on a GPU (fp16 on one without "
    "bf16, such as T4, V100 and RTX 20) and fp32 on a CPU.",
)
device_choice = partial(
    engine_choice,
    metavar="DEVICE",
    help="Run on this device: auto, cpu, cuda or cuda:N. Without the option, auto takes a GPU if there is "
    "one.",
)
offline_choice = partial(
    engine_choice, help="Use only what is on this machine, and never open a network connection."
)
server_choice = partial(engine_choice, type=click.Choice(["vllm", "sglang"]))
min_pixels_choice = partial(
    pages_choice,
    type=click.IntRange(1),
    metavar="PIXELS",
    help="Enlarge a page that has fewer pixels than this. Without the option, the model's own bound applies.",
)
max_pixels_choice = partial(
    pages_choice,
    type=MaxPixels(),
    metavar="PIXELS",
    help="Shrink a page that has more pixels than this. Without the option, the model's own bound applies.",
)
visual_tokens_choice = partial(
    pages_choice,
    type=click.IntRange(FEWEST_TOKENS, MOST_TOKENS),
    help="Shrink a page to at most N visual tokens. This is --max-pixels in other units: a token covers "
    "28x28 pixels, and 32x32 for Qwen3-VL.",
)


def resolve_models(
    names: Iterable[str],
    options: ModelOptions,
    config: Path | None = None,
    engine: Mapping[str, bool] | None = None,
    served_by: str | None = None,
    *,
    may_ask_hub: bool = False,
) -> tuple[ModelSpec, ...]:
    """The models that ``names`` mean, with what the command line says about them.

    Args:
        names: catalog names, hub ids, folders, or names of ``[models.NAME]`` tables.
        options: what holds for all of them.
        config: the file with those tables; None for ``bench.toml`` in the working directory.
        engine: options of the engine, such as ``reuse``; a model without such an engine is refused.
        served_by: the engine that answers for all of them as a server; None for the models' own backends.
        may_ask_hub: whether the hub may be asked of which type a hub id is that was never downloaded.

    Raises:
        InvalidInput: a name is unknown, or an option does not suit its model.
    """
    from bench.models.catalog import resolve_all

    options = _in_one_unit(options)
    names = tuple(names)
    if may_ask_hub and not options.offline:
        _learn_types(names, config or bench_toml())
    specs = resolve_all(
        names,
        bench_toml=config or bench_toml(),
        engine=served_by,
        dtype=options.dtype,
        attention=options.attention,
        quantization=options.quantization,
        device=options.device,
        min_pixels=options.min_pixels,
        max_pixels=options.max_pixels,
        offline=options.offline or None,
        options=engine or {},
    )
    if options.visual_tokens is None:
        return specs
    from bench.models.settings import check_followed
    from bench.runner.sweep import tokens_as_pixels

    bound = {"max_pixels": options.visual_tokens}
    check_followed(specs, bound, flags={"max_pixels": "--visual-tokens"})

    return tuple(
        replace(spec, max_pixels=tokens_as_pixels(spec, options.visual_tokens)) for spec in specs
    )


def _learn_types(names: Sequence[str], config: Path | None) -> None:
    """Download the small file that says of which type a hub id is, where nothing of it is here yet."""
    from bench.models.catalog import has_guessed_backend, resolve
    from bench.models.checkpoints import offline_by_environment
    from bench.models.qwen_vl.download import fetch_configuration

    if offline_by_environment():
        return
    for name in names:
        spec = resolve(name, bench_toml=config)
        if has_guessed_backend(spec) and spec.checkpoint is not None:
            fetch_configuration(spec.checkpoint, spec.revision)


def _in_one_unit(options: ModelOptions) -> ModelOptions:
    """``options`` with one bound on a page: of two, the flag beats the variable beats the file.

    Raises:
        InvalidInput: both bounds come from the same place.
    """
    if options.visual_tokens is None or options.max_pixels is None:
        return options
    sources = [
        ParameterSource.DEFAULT_MAP,
        ParameterSource.ENVIRONMENT,
        ParameterSource.COMMANDLINE,
    ]
    context = click.get_current_context()
    pixels, tokens = (
        sources.index(context.get_parameter_source(name) or ParameterSource.DEFAULT_MAP)
        for name in ("max_pixels", "visual_tokens")
    )
    if pixels == tokens:
        raise InvalidInput(
            "--visual-tokens and --max-pixels set the same limit, in two units",
            hint="leave out one of them",
        )
    if pixels > tokens:
        return replace(options, visual_tokens=None)
    return replace(options, max_pixels=None)


def resolve_model(name: str, options: ModelOptions, *, may_ask_hub: bool = False) -> ModelSpec:
    """The one model that ``name`` means, as ``resolve_models`` makes it."""
    (spec,) = resolve_models([name], options, may_ask_hub=may_ask_hub)
    return spec
