"""What a person may say about a model, on the command line or in ``bench.toml``, and whether it can be done.

Whoever names a model says it in ``Overrides``. A value that no model could have is refused, and so is a
setting that this model's backend does not follow: a setting that changes nothing would be believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict, get_args

from bench.errors import InvalidInput, did_you_mean
from bench.formatting import listed
from bench.models.backends import traits_of
from bench.schema import Json, ModelSpec
from bench.text import one_line

Quantization = Literal["gptq-int4", "gptq-int8", "awq", "nf4", "int8"]
"""``gptq-*`` and ``awq`` come with a checkpoint; ``nf4`` and ``int8`` are applied when one is loaded."""

LOADED_QUANTIZED = frozenset({"nf4", "int8"})
"""Quantizations that are made of an unquantized checkpoint while it is loaded."""


class Overrides(TypedDict, total=False):
    """What may be said about a model beside its name; None leaves a setting as it is."""

    revision: str | None
    quantization: str | None
    adapter: str | None
    dtype: str | None
    attention: str | None
    device: str | None
    min_pixels: int | None
    max_pixels: int | None
    offline: bool | None
    """Never ask the hub: use what is on this machine."""
    options: Mapping[str, Json] | None
    """Merged into ``ModelSpec.options``."""


_CHOICES: dict[str, tuple[str, ...]] = {
    "dtype": ("auto", "bf16", "fp16", "fp32"),
    "attention": ("auto", "sdpa", "flash_attention_2", "eager"),
    "quantization": get_args(Quantization),
}
# torch takes no leading zero, and keeps the number in one byte.
_DEVICE = re.compile(r"auto|cpu|cuda(:(0|[1-9][0-9]?))?")

_MISSING: dict[str, str] = {
    "revision": "choice of revisions",
    "quantization": "choice of quantizations",
    "adapter": "place for an adapter",
    "dtype": "choice of number formats",
    "attention": "choice of attention kernels",
    "device": "choice of devices",
    "min_pixels": "lower bound on the pixels of a page",
    "max_pixels": "upper bound on the pixels of a page",
    "offline": "way to answer without the network",
    "reuse": "page reuse that could be switched off",
    "reference": "reference engine",
}
"""Setting, or option that has a flag → what a backend that does not follow it lacks."""

_FLAGS = {"reuse": "--no-reuse"}
"""Flags that are not called like their setting."""


def check_values(overrides: Mapping[str, Any]) -> None:
    """Refuse values that no model can have.

    Raises:
        InvalidInput: naming the setting, the value, and what it should be.
    """
    for key, choices in _CHOICES.items():
        value = overrides.get(key)
        if value is not None and value not in choices:
            raise InvalidInput(
                f"{key} {one_line(str(value), 40)!r} does not exist",
                hint=did_you_mean(str(value), choices),
            )
    device = overrides.get("device")
    if device is not None and not _DEVICE.fullmatch(device):
        raise InvalidInput(f"device {one_line(device, 40)!r} should be auto, cpu, cuda or cuda:N")
    for key in ("min_pixels", "max_pixels"):
        pixels = overrides.get(key)
        if pixels is not None and pixels < 1:
            raise InvalidInput(f"{key} should be a number of pixels above 0, but it is {pixels}")


def check_followed(
    specs: Sequence[ModelSpec],
    overrides: Mapping[str, Any],
    *,
    table: str | None = None,
    flags: Mapping[str, str] | None = None,
) -> None:
    """Refuse a setting that the backend of any of ``specs`` does not follow.

    Args:
        specs: the models that ``overrides`` are meant for, as they are without them.
        overrides: ``Overrides`` as they were given.
        table: the table of a configuration file that says it, as in ``bench.toml: [models.mine]``; None for
            the command line.
        flags: how the command line calls a setting, where that is not ``--`` and its name.

    Raises:
        InvalidInput: naming the setting, every model that cannot follow it, and what to type instead.
    """
    known_flags = {**_FLAGS, **(flags or {})}
    for key in _asked_for(overrides):
        unable = [spec for spec in specs if not _follows(spec, key, overrides)]
        if not unable:
            continue
        if table is None:
            said = known_flags.get(key, "--" + key.replace("_", "-"))
            hint = _advice(key, said, unable, specs)
            raise InvalidInput(_refusal(unable, said, key), hint=hint)
        raise InvalidInput(
            f"{table}: {_refusal(unable, key, key)}", hint=f"remove {key} from the table"
        )


def _asked_for(overrides: Mapping[str, Any]) -> Iterable[str]:
    """The settings and options that somebody gave, ``options`` by their own names.

    ``auto`` asks for nothing. Options without a flag are left to ``check_options``.
    """
    for key, value in overrides.items():
        if key in _MISSING and value not in {None, "auto", False}:
            yield key
    for key, value in (overrides.get("options") or {}).items():
        if key in _MISSING and value is not None:
            yield key


def _follows(spec: ModelSpec, key: str, overrides: Mapping[str, Any]) -> bool:
    traits = traits_of(spec)
    if key == "offline":
        # A model without a checkpoint asks no hub, so it keeps this promise anyway.
        return not traits.needs_network
    # A backend in a process of this machine runs on its processor without being asked to.
    if key == "device" and overrides["device"] == "cpu" and traits.runs_in == "process":
        return True
    return key in traits.settings or key in traits.options


def _refusal(unable: Sequence[ModelSpec], said: str, key: str) -> str:
    names = listed(repr(one_line(spec.name, 60)) for spec in unable)
    if len(unable) == 1:
        return f"the model {names} cannot follow {said}: its backend has no {_MISSING[key]}"
    return f"the models {names} cannot follow {said}: their backends have no {_MISSING[key]}"


def _advice(key: str, said: str, unable: Sequence[ModelSpec], specs: Sequence[ModelSpec]) -> str:
    if len(unable) == len(specs):
        return f"leave out {said}"
    those = "it" if len(unable) == 1 else "them"
    setting = key if key in Overrides.__annotations__ else f"options.{key}"
    return (
        f"run {those} separately without {said}, or set {setting} for one of the other models alone, in a "
        "table [models.NAME] of bench.toml"
    )
