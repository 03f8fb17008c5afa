"""Which models can be named, and what a name means: catalog, hub ids, local folders, ``bench.toml``.

A name becomes a ``ModelSpec`` here and nowhere else. Nothing is downloaded and nothing is loaded.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Unpack

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import InvalidInput, did_you_mean
from bench.models.backends import (
    BACKENDS,
    ENDPOINT_BACKEND,
    HUB_BACKEND,
    check_options,
    make_model,
    traits_of,
)
from bench.models.chat_templates import check_template
from bench.models.checkpoints import (
    cached_snapshot,
    is_adapter,
    loading_backend,
    read_adapter,
    read_checkpoint,
)
from bench.models.price import Price
from bench.models.serving.choice import served_by
from bench.models.serving.engines import ENGINES
from bench.models.settings import (
    LOADED_QUANTIZED,
    Overrides,
    Quantization,
    check_followed,
    check_values,
)
from bench.parsing import read_toml
from bench.schema import Json, ModelSpec
from bench.storage import fetch_folder, is_address
from bench.text import file_name, one_line, shell_word

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ENDPOINT = re.compile(r"(?P<model>.+?)@(?P<url>https?://.+)")
_HOST_AND_PORT = re.compile(r"@[\w.-]+:\d+")
_WEIGHT_FILES = (".safetensors", ".bin", ".pt", ".gguf", ".json")
# Folders that many trainings and downloads call the same: their parent's name is put in front.
_GENERIC_FOLDER = re.compile(
    r"checkpoint-\d+|adapter|final|best|last|latest|model|output|[0-9a-f]{40}"
)


class CatalogEntry(BaseModel):
    """One row of ``catalog.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    backend: str
    """Key of ``BACKENDS``."""
    checkpoint: str | None = None
    """Hub id; None if the backend needs no weights."""
    quantization: Quantization | None = None
    architecture: str | None = None
    """Table of ``architectures.toml``; None if the backend needs no weights."""
    title: str = ""
    max_pixels: Annotated[int, Field(gt=0)] | None = None
    """Bound on a page's pixels that makes this row a variant; None leaves the backend's own."""
    license: str
    """SPDX identifier, or the licence's own name."""
    parameters: Annotated[int, Field(gt=0)] | None = None
    weight_bytes: Annotated[int, Field(gt=0)] | None = None
    """Memory of the weights alone, in 16 bits if they are not quantized."""
    weight_bytes_source: Literal["parameters", "packing"] | None = None
    """How ``weight_bytes`` was computed; the head of ``catalog.toml`` explains both."""
    size: str = ""
    """As its authors call it, where ``parameters`` is not known."""
    prompts: Mapping[str, str] = Field(default_factory=dict)
    """What is asked for (text, table, …) → the prompt that the authors document for it."""
    prompts_source: str = ""

    @field_validator("backend")
    @classmethod
    def _is_a_backend(cls, backend: str) -> str:
        if backend not in BACKENDS:
            raise ValueError(f"there is no backend {backend!r}; {did_you_mean(backend, BACKENDS)}")
        return backend

    def spec(self) -> ModelSpec:
        """The specification that this row stands for."""
        return ModelSpec(
            name=self.name,
            backend=self.backend,
            checkpoint=self.checkpoint,
            quantization=self.quantization,
            max_pixels=self.max_pixels,
        )


class UserModel(BaseModel):
    """One ``[models.NAME]`` table of a user's ``bench.toml``: a model under a name of one's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    """Whatever can be named on the command line; paths count from the folder of ``bench.toml``."""
    engine: str | None = None
    """The engine that serves it, a key of ``ENGINES``; None runs it in a process of this machine."""
    backend: str | None = None
    """Another backend than the one that would load the checkpoint."""
    revision: str | None = None
    quantization: Quantization | None = None
    adapter: str | None = None
    """Folder or hub id of a PEFT adapter."""
    dtype: str | None = None
    attention: str | None = None
    device: str | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    options: dict[str, Json] = Field(default_factory=dict)
    price: Price | None = None


class UserEndpoint(BaseModel):
    """A ``[models.NAME]`` table with ``base_url``: a model that a server answers for.

    Its further keys are the options of ``bench.models.openai.settings.EndpointSettings``.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    backend: Literal["openai"] = "openai"
    base_url: str
    checkpoint: str
    """The name under which the server serves the model."""
    min_pixels: Annotated[int, Field(gt=0)] | None = None
    max_pixels: Annotated[int, Field(gt=0)] | None = None
    price: Price | None = None

    def spec(self, name: str) -> ModelSpec:
        """The specification that this table stands for."""
        return ModelSpec(
            name,
            backend=self.backend,
            checkpoint=self.checkpoint,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            options={"base_url": self.base_url, **(self.model_extra or {})},
            price=None if self.price is None else self.price.record(),
        )


UserTable = UserModel | UserEndpoint
"""A model of a user's ``bench.toml``."""

_Row = TypeVar("_Row", bound=BaseModel)


@functools.cache
def catalog() -> Mapping[str, CatalogEntry]:
    """Every row of ``catalog.toml``, by name, in the file's order."""
    text = resources.files("bench.models").joinpath("catalog.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["models"]
    return {
        name: _validated(CatalogEntry, {"name": name, **row}, name) for name, row in rows.items()
    }


def entry_of(checkpoint: str, quantization: str | None) -> CatalogEntry | None:
    """The catalog's row for a hub id and a quantization."""
    for entry in catalog().values():
        same = (entry.checkpoint or "").lower() == checkpoint.lower()
        if same and entry.quantization == quantization:
            return entry
    return None


def resolve(
    name: str, *, bench_toml: Path | None = None, **overrides: Unpack[Overrides]
) -> ModelSpec:
    """The model that ``name`` means.

    ``name`` is, in this order: a row of ``bench_toml``, a row of the catalog, ``MODEL@http://host:port/v1``,
    a local checkpoint or PEFT adapter folder, the address of one on object storage, a hub id of the catalog
    or its last part, or any other hub id ``org/name``.
    Case matters only for folders and unknown hub ids.

    Raises:
        InvalidInput: nothing has that name, a folder cannot be used, an override has no valid value, or
            the model's backend cannot follow it.
    """
    check_values(overrides)
    spec = _find(name, bench_toml)
    check_followed([spec], overrides)
    return _with_overrides(spec, overrides)


def resolve_all(
    names: Iterable[str],
    *,
    bench_toml: Path | None = None,
    engine: str | None = None,
    **overrides: Unpack[Overrides],
) -> tuple[ModelSpec, ...]:
    """``resolve`` for several names; specifications that would share a name get different ones.

    With ``engine``, a key of ``ENGINES``, servers answer for all of them.

    Raises:
        InvalidInput: as ``resolve``, or the same model is named twice.
    """
    check_values(overrides)
    bases = [_find(name, bench_toml) for name in names]
    if engine is not None:
        bases = [served_by(engine, base, bench_toml) for base in bases]
    # All at once: the message names every model that cannot follow, and says what the others can do.
    check_followed(bases, overrides)
    specs = [_with_overrides(base, overrides) for base in bases]
    for index, spec in enumerate(specs):
        if spec in specs[:index]:
            raise InvalidInput(f"model {spec.name!r} is named twice", hint="name every model once")
    taken = Counter(spec.name.lower() for spec in specs)
    return tuple(_distinct(spec) if taken[spec.name.lower()] > 1 else spec for spec in specs)


def has_guessed_backend(spec: ModelSpec) -> bool:
    """Whether the backend of ``spec`` is only assumed, because nothing of its hub id is on this machine."""
    hub_id = spec.checkpoint or ""
    known = hub_id.lower() in _by_hub_name() or traits_of(spec).needs_network
    return bool(_HUB_ID.fullmatch(hub_id)) and not known and cached_snapshot(hub_id) is None


def user_models(bench_toml: Path) -> Mapping[str, UserTable]:
    """The ``[models.NAME]`` tables of ``bench_toml``; its other tables are not looked at.

    Raises:
        InvalidInput: the file cannot be read, or a table is not valid.
    """
    content = read_toml(bench_toml)
    tables = content.get("models", {})
    if not isinstance(tables, dict) or not all(
        isinstance(table, dict) for table in tables.values()
    ):
        raise InvalidInput(
            f"{bench_toml}: the key models should hold tables, for example [models.my-name]"
        )
    for name in tables:
        if file_name(name) != name:
            raise InvalidInput(
                f"{bench_toml}: {one_line(name, 60)!r} cannot be a model's name: expected "
                "letters, digits and _ . + - = @, with no . or - at an end",
                hint=f"call it {file_name(name)!r}",
            )
    rows: dict[str, UserTable] = {}
    for name, table in tables.items():
        where = f"{bench_toml}: [models.{name}]"
        if "base_url" in table or ("backend" in table and "model" not in table):
            rows[name] = _validated(UserEndpoint, table, where)
        else:
            rows[name] = _validated(UserModel, table, where)
    return rows


def _find(name: str, bench_toml: Path | None) -> ModelSpec:
    users = user_models(bench_toml) if bench_toml is not None else {}
    if bench_toml is not None and name in users:
        return _from_user(name, users[name], bench_toml)
    if (entry := catalog().get(name.strip().lower())) is not None:
        return entry.spec()
    if (endpoint := _ENDPOINT.fullmatch(name.strip())) is not None:
        return _from_address(endpoint["model"], endpoint["url"])
    if (folder := _folder(name)) is not None:
        return _from_folder(folder)
    if is_address(name):
        return _from_folder(fetch_folder(name))
    if (entry := _by_hub_name().get(name.strip().lower())) is not None:
        return entry.spec()
    if _HUB_ID.fullmatch(name) and not name.endswith(_WEIGHT_FILES):
        backend = _downloaded_backend(name) or HUB_BACKEND
        return ModelSpec(file_name(name.partition("/")[2]), backend=backend, checkpoint=name)
    raise _unknown(name, users)


def _downloaded_backend(hub_id: str) -> str | None:
    """The backend of a hub id whose files are on this machine already; None if they are not.

    Raises:
        InvalidInput: no backend can load them.
    """
    snapshot = cached_snapshot(hub_id)
    if snapshot is None or not (snapshot / "config.json").is_file():
        return None
    return loading_backend(snapshot)


def _folder(name: str) -> Path | None:
    """The folder that ``name`` is the path of, absolute; None if there is none."""
    try:
        path = Path(name).expanduser()
        return path.resolve() if name.strip() and path.is_dir() else None
    except (OSError, RuntimeError):  # a name too long for a path, or the home of an unknown user
        return None


def _unknown(name: str, users: Iterable[str]) -> InvalidInput:
    shown = one_line(name, 80)
    if "://" in name or _HOST_AND_PORT.search(name):
        return InvalidInput(
            f"{shown} is not the address of a model that a server runs",
            hint="name the served model and its address: MODEL@http://localhost:8000/v1",
        )
    if name.endswith(_WEIGHT_FILES):
        return InvalidInput(f"{shown} is a file, but a model is named by its folder")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        return InvalidInput(
            f"there is no folder {shown}", hint="bench list models shows the names that are known"
        )
    known = {*users, *catalog(), *(hub.rpartition("/")[2] for hub in _hub_ids())}
    hint = did_you_mean(name, known)
    if not hint.startswith("did"):
        hint = "bench list models shows the names; a checkpoint folder or a hub id (org/name) is a name too"
    return InvalidInput(f"there is no model {shown!r}", hint=hint)


def _from_address(served: str, base_url: str) -> ModelSpec:
    """The model that ``MODEL@http://host:port/v1`` names."""
    host = base_url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    name = file_name(f"{served.rstrip('/').rpartition('/')[2]}@{host}")
    spec = ModelSpec(name, ENDPOINT_BACKEND, served, options={"base_url": base_url})
    make_model(spec)
    return spec


def _from_user(name: str, row: UserTable, bench_toml: Path) -> ModelSpec:
    if isinstance(row, UserEndpoint):
        spec = row.spec(name)
        make_model(spec)
        return spec
    folder = bench_toml.parent
    # A row may not build on another row: chains of rows hide what is really loaded.
    base = _find(_from_here(row.model, folder), None)
    table = f"{bench_toml}: [models.{name}]"
    if row.engine is not None and row.backend is not None:
        raise InvalidInput(
            f"{table}: engine and backend both say what runs the model",
            hint="leave out one of them",
        )
    if row.engine is not None:
        try:
            base = served_by(row.engine, base, bench_toml)
        except InvalidInput as error:
            raise InvalidInput(f"{table}: {error.message}", hint=error.hint) from None
    elif row.backend is not None:
        base = replace(base, backend=_other_backend(row.backend, base, table))
    base = replace(base, name=name)
    adapter = None if row.adapter is None else _from_here(row.adapter, folder)
    overrides = Overrides(
        revision=row.revision,
        quantization=row.quantization,
        adapter=adapter,
        dtype=row.dtype,
        attention=row.attention,
        device=row.device,
        min_pixels=row.min_pixels,
        max_pixels=row.max_pixels,
        options=row.options,
    )
    check_values(overrides)
    check_followed([base], overrides, table=table)
    price = None if row.price is None else row.price.record()
    spec = replace(_with_overrides(base, overrides), price=price)
    check_options(spec)
    return spec


def _other_backend(wanted: str, base: ModelSpec, where: str) -> str:
    """``wanted`` for the checkpoint of ``base``; ``where`` names the table.

    Raises:
        InvalidInput: there is no such backend, or it loads no checkpoints.
    """
    if wanted not in BACKENDS:
        raise InvalidInput(
            f"{where}: there is no backend {one_line(wanted, 40)!r}",
            hint=did_you_mean(wanted, BACKENDS),
        )
    row = BACKENDS[wanted]
    if base.checkpoint is None or not (row.model_types or row.known_types):
        raise InvalidInput(
            f"{where}: the backend {wanted} loads no checkpoint",
            hint=f'engine = "{wanted}"' if wanted in ENGINES else "remove backend from the table",
        )
    return wanted


def _from_here(name: str, folder: Path) -> str:
    """``name`` as an absolute path if ``folder`` holds such a folder, else as it is."""
    if name.startswith("~"):
        return str(_folder(name) or name)
    return str(_folder(str(folder / name)) or name)


def _from_folder(folder: Path) -> ModelSpec:
    name = folder.name
    if _GENERIC_FOLDER.fullmatch(name) and folder.parent.name:
        name = f"{folder.parent.name}-{name}"
    name = file_name(name)
    if not is_adapter(folder):
        checkpoint = read_checkpoint(folder)
        check_template(folder)
        return ModelSpec(
            name,
            backend=checkpoint.backend,
            checkpoint=str(folder),
            quantization=checkpoint.quantization,
        )
    base = read_adapter(folder).base
    named = _from_here(base, folder)
    base_folder = None if named.strip().lower() in catalog() else _folder(named)
    if base_folder is not None and base_folder != folder and is_adapter(base_folder):
        raise InvalidInput(
            f"{folder} is an adapter for {base_folder}, which is an adapter itself",
            hint=f"merge the first one: bench tune --merge {shell_word(base_folder)} --out FOLDER",
        )
    if base_folder == folder or not _is_model(named):
        raise InvalidInput(
            f"{folder} is an adapter for {one_line(base, 80)!r}, which is neither a folder nor a hub id",
            hint="put the base checkpoint there, or correct base_model_name_or_path in adapter_config.json",
        )
    return replace(_find(named, None), name=name, adapter=str(folder))


def _is_model(name: str) -> bool:
    lower = name.lower()
    known = lower in catalog() or lower in _by_hub_name()
    return known or _folder(name) is not None or bool(_HUB_ID.fullmatch(name))


def _with_overrides(spec: ModelSpec, overrides: Overrides) -> ModelSpec:
    given: dict[str, Any] = {key: value for key, value in overrides.items() if value is not None}
    options = dict(given.pop("options", {}))
    # A backend without weights never asks the hub.
    if given.pop("offline", False) and spec.checkpoint is not None:
        options["offline"] = True
    if spec.quantization not in {None, given.get("quantization", spec.quantization)}:
        raise InvalidInput(
            f"model {spec.name!r} is already quantized as {spec.quantization}, "
            f"so it cannot be loaded as {given['quantization']}",
            hint="name the unquantized checkpoint",
        )
    changed = replace(spec, **given, options={**spec.options, **options})
    low, high = changed.min_pixels, changed.max_pixels
    if low is not None and high is not None and low > high:
        raise InvalidInput(f"min_pixels ({low}) should not be above max_pixels ({high})")
    return changed


def _distinct(spec: ModelSpec) -> ModelSpec:
    """``spec`` under a name that also tells where its weights come from."""
    origin = "\n".join((spec.checkpoint or "", spec.adapter or "", repr(spec.options)))
    return replace(spec, name=f"{spec.name}-{sha256(origin.encode()).hexdigest()[:6]}")


def _hub_ids() -> Sequence[str]:
    return [entry.checkpoint for entry in catalog().values() if entry.checkpoint is not None]


@functools.cache
def _by_hub_name() -> Mapping[str, CatalogEntry]:
    """Hub id and its last part, in lower case → row; a row quantized at load has no hub id of its own."""
    rows: dict[str, CatalogEntry] = {}
    for entry in catalog().values():
        if entry.checkpoint is not None and entry.quantization not in LOADED_QUANTIZED:
            hub_id = entry.checkpoint.lower()
            rows[hub_id] = rows[hub_id.rpartition("/")[2]] = entry
    return rows


def _validated(model: type[_Row], row: Mapping[str, Any], where: str) -> _Row:
    """``row`` as ``model``; the first problem becomes one line."""
    try:
        return model.model_validate(row)
    except ValidationError as error:
        # A key that is missing may be there under a wrong name, which is named instead.
        problem = min(error.errors(include_url=False), key=lambda fault: fault["type"] == "missing")
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            is_outer = len(problem["loc"]) == 1
            hint = did_you_mean(place, model.model_fields) if is_outer else None
            raise InvalidInput(
                f"{where}: unknown key {one_line(place, 60)!r}", hint=hint
            ) from error
        if problem["type"] == "missing":
            raise InvalidInput(f"{where}: the key {one_line(place, 60)!r} is missing") from error
        # pydantic writes "Input should be …" about a value and "Value error, …" before our own sentences.
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "model_type":
            reason = "Input should be a table"
        if reason.startswith("Input should"):
            expected = reason.removeprefix("Input ").partition(", unable")[0]
            reason = f"{expected}, not {problem['input']!r}"
            message = f"{where}: {one_line(place, 60)} {reason}"
        else:
            message = f"{where}: {one_line(place, 60)}: {reason}"
        raise InvalidInput(one_line(message, 300)) from error
