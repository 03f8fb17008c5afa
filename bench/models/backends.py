"""The backends: what turns a page group into outputs, and what each of them can do.

The rest of the harness asks this table what a backend can do and never compares a backend's name. A new
backend is one file and one row here. Modules are named, not imported: torch is loaded only in the process
that runs a torch model, and reading a trait loads nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bench.errors import InvalidInput, did_you_mean

if TYPE_CHECKING:
    from bench.models.model import Model
    from bench.schema import Json, ModelInfo, ModelSpec

Place = Literal["process", "server", "own server"]
"""Where a model computes: in a process of this machine that the harness starts, behind a server that somebody
else runs, or behind a server of this machine that the harness starts."""

MemoryKind = Literal["gpu", "process"]
"""The memory that holds a model: of the GPU that it runs on, or the main memory of its process."""


@dataclass(frozen=True, slots=True)
class BackendTraits:
    """What a backend can do, and what can be measured of it."""

    settings: frozenset[str] = frozenset()
    """Fields of ``ModelSpec`` that the backend follows. Asking for another one is refused, never ignored."""
    options: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    """Keys of ``ModelSpec.options`` that it reads, each with the types that a value may have."""
    runs_in: Place = "process"
    memory: MemoryKind | None = "process"
    """``gpu`` where the model can run on one; None if this machine's memory does not hold the model."""
    needs_network: bool = False
    """Whether answering a question asks another machine. Downloading a checkpoint does not count."""
    trainable: bool = False
    """Whether ``bench tune`` can train an adapter for it."""
    visual_tokens: bool = False
    """Whether a page becomes visual tokens, whose number the bounds on a page's pixels decide."""
    token_counts: bool = False
    """Whether outputs say how many tokens were read and written."""
    first_token_times: bool = False
    """Whether a batch says when the first token of an answer was there."""
    plain_generate: bool = False
    """Whether its usual way is plain ``generate`` of transformers, which pads questions together only after
    a check (option ``unchecked_rows``)."""


class ExtraDownload(NamedTuple):
    """A file that a backend can do without, and that ``bench pull`` fetches for it."""

    source: str
    """Its address."""
    license: str
    note: str
    """What it is, in a few words."""
    is_here: bool
    fetch: Callable[[], Path]
    """Downloads it, and names the folder it lies in."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One row of ``BACKENDS``."""

    implementation: str
    """``module:Class``; the class follows ``bench.models.model.Model``."""
    traits: BackendTraits
    model_types: tuple[str, ...] = ()
    """Values of ``model_type`` in a checkpoint's ``config.json`` that the backend can load."""
    known_types: str | None = None
    """``module:function``; the function gives further values of ``model_type``, which depend on a package's
    version. Asked only about types that no backend lists."""
    extra_download: str | None = None
    """``module:function``; the function gives the ``ExtraDownload`` that makes the backend better."""


# bench.models.openai.settings says what they do.
_ASKING: Mapping[str, tuple[type, ...]] = {
    "concurrency": (int,),
    "requests_per_minute": (int, float),
    "timeout": (int, float),
    "attempts": (int,),
    "image_format": (str,),
    "jpeg_quality": (int,),
    "visual_token_side": (int,),
    "logprobs": (bool,),
    "token_details": (bool,),
    "token_limit": (str,),
    "response_format": (dict,),
    "extra_body": (dict,),
}
"""Options of every backend that asks a server."""

_SERVING = BackendTraits(
    settings=frozenset({"revision", "quantization", "dtype", "device", "min_pixels", "max_pixels"}),
    # bench.models.serving.settings says what they do.
    options={
        "python": (str,),
        "command": (str,),
        "image": (str,),
        "arguments": (list,),
        "environment": (dict,),
        "start_seconds": (int, float),
        "context": (int,),
        "gpu_share": (int, float),
        "prefix_caching": (bool,),
        "offline": (bool,),
        **_ASKING,
    },
    runs_in="own server",
    memory="gpu",
    visual_tokens=True,
    token_counts=True,
    first_token_times=True,
)
"""Of an engine that is started as a server."""

BACKENDS: dict[str, Backend] = {
    "qwen_vl": Backend(
        "bench.models.qwen_vl:QwenVL",
        BackendTraits(
            settings=frozenset(
                {
                    "revision",
                    "quantization",
                    "adapter",
                    "dtype",
                    "attention",
                    "device",
                    "min_pixels",
                    "max_pixels",
                }
            ),
            # docs/performance.md ("Options of a model") says what they do.
            options={
                "offline": (bool,),
                "merge_adapter": (bool,),
                "reuse": (bool,),
                "reference": (bool,),
                "engine": (str,),
                "graphs": (bool,),
                "packed": (bool,),
                "jpeg_quality": (int,),
                "cache_bytes": (int,),
                "token_details": (bool,),
                "device_map": (str,),
            },
            memory="gpu",
            trainable=True,
            visual_tokens=True,
            token_counts=True,
            first_token_times=True,
        ),
        model_types=("qwen2_vl", "qwen2_5_vl", "qwen3_vl"),
    ),
    "transformers": Backend(
        "bench.models.transformers:AnyVisionModel",
        BackendTraits(
            settings=frozenset(
                {"revision", "adapter", "dtype", "attention", "device", "min_pixels", "max_pixels"}
            ),
            # docs/families.md says what they do.
            options={"offline": (bool,), "chat_template_kwargs": (dict,), "unchecked_rows": (int,)},
            memory="gpu",
            visual_tokens=True,
            token_counts=True,
            first_token_times=True,
            plain_generate=True,
        ),
        known_types="bench.models.transformers.known:loadable_types",
    ),
    "ocr": Backend(
        "bench.models.ocr:Ocr",
        BackendTraits(settings=frozenset({"max_pixels"}), options={"reader": (str,)}),
        extra_download="bench.models.ocr.recognizers:extra_download",
    ),
    "openai": Backend(
        "bench.models.openai:Endpoint",
        BackendTraits(
            # Pages are resized on this machine before they are sent.
            settings=frozenset({"min_pixels", "max_pixels"}),
            options={"base_url": (str,), "api_key_env": (str,), **_ASKING},
            runs_in="server",
            memory=None,
            needs_network=True,
            visual_tokens=True,
            token_counts=True,
            first_token_times=True,
        ),
    ),
    "vllm": Backend("bench.models.serving.server:ManagedServer", _SERVING),
    "sglang": Backend("bench.models.serving.server:ManagedServer", _SERVING),
    "fake": Backend(
        "bench.models.fake:Fake",
        BackendTraits(
            # The docstring of bench.models.fake says what they do.
            options={
                "answers": (dict,),
                "default": (str,),
                "fail": (list,),
                "refuse": (list,),
                "capacity": (int,),
                "memory": (int,),
                "chunks": (int,),
                "delay": (int, float),
                "load_error": (str,),
                "kill": (list,),
                "lose": (list,),
                "once": (str,),
                "exit": (int,),
            }
        ),
    ),
}
"""Name of a backend → where it is implemented and what it can do."""

ENDPOINT_BACKEND = "openai"
"""The backend of ``MODEL@http://host:port/v1``."""

HUB_BACKEND = "qwen_vl"
"""The backend of a hub id that is not in the catalog: what it holds is not known before it is downloaded."""


def make_model(spec: ModelSpec) -> Model:
    """The model that ``spec`` describes, not loaded yet.

    Raises:
        InvalidInput: the backend is unknown, or it cannot do what ``spec`` asks for.
    """
    module, _, attribute = _row(spec).implementation.partition(":")
    model: Model = getattr(importlib.import_module(module), attribute)(spec)
    return model


def backend_of(model_type: str) -> str | None:
    """The backend that loads checkpoints of ``model_type``; None if none does."""
    for name, backend in BACKENDS.items():
        if model_type in backend.model_types:
            return name
    for name, backend in BACKENDS.items():
        if backend.known_types is not None:
            module, _, attribute = backend.known_types.partition(":")
            if model_type in getattr(importlib.import_module(module), attribute)():
                return name
    return None


def traits_of(spec: ModelSpec) -> BackendTraits:
    """What the backend of ``spec`` can do.

    Raises:
        InvalidInput: the backend is unknown.
    """
    return _row(spec).traits


def extra_download_of(spec: ModelSpec) -> ExtraDownload | None:
    """What ``bench pull`` fetches for ``spec`` besides a checkpoint, or None.

    Raises:
        InvalidInput: the backend is unknown.
        EnvironmentProblem: a package of the backend is missing.
    """
    named = _row(spec).extra_download
    if named is None:
        return None
    module, _, attribute = named.partition(":")
    extra: ExtraDownload = getattr(importlib.import_module(module), attribute)()
    return extra


def with_traits(info: ModelInfo, spec: ModelSpec) -> ModelInfo:
    """``info`` with the traits that took effect, for the record of a run (``details["traits"]``).

    A report reads there why a figure does not apply: a model without token counts, say, has no tokens a
    second. ``memory`` says where the weights really lie: on a CPU they lie in the process's main memory.
    """
    traits = traits_of(spec)
    memory = traits.memory
    if memory == "gpu" and not info.device.startswith("cuda"):
        memory = "process"
    record: dict[str, Json] = {
        "runs_in": traits.runs_in,
        "memory": memory,
        "needs_network": traits.needs_network,
        "trainable": traits.trainable,
        "visual_tokens": traits.visual_tokens,
        "token_counts": traits.token_counts,
        "first_token_times": traits.first_token_times,
        "settings": sorted(traits.settings),
        "options": sorted(traits.options),
    }
    return replace(info, details={**info.details, "traits": record})


def check_options(spec: ModelSpec) -> None:
    """Refuse options that the backend of ``spec`` does not read, and values of a wrong type.

    Raises:
        InvalidInput: naming the option and what it takes.
    """
    known = traits_of(spec).options
    for name, value in spec.options.items():
        if name not in known:
            raise InvalidInput(
                f"model {spec.name!r}: the backend {spec.backend} has no option {name!r}",
                hint=did_you_mean(name, known) if known else "remove it",
            )
        # Not isinstance: true is an int in Python, and "false" would count as true.
        if value is not None and type(value) not in known[name]:
            raise InvalidInput(
                f"model {spec.name!r}: the option {name} should be {_type_name(known[name])}, "
                f"but it is {value!r}"
            )


_TYPE_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    list: "a list",
    dict: "a table",
}


def _type_name(types: tuple[type, ...]) -> str:
    """What a value of these types is called; the last one is the most general."""
    return _TYPE_NAMES[types[-1]]


def _row(spec: ModelSpec) -> Backend:
    if spec.backend not in BACKENDS:
        raise InvalidInput(
            f"model {spec.name!r} names the backend {spec.backend!r}, which does not exist",
            hint=did_you_mean(spec.backend, BACKENDS),
        )
    return BACKENDS[spec.backend]
