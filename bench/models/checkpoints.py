"""What a local checkpoint or adapter folder holds, read without torch and without opening weights.

Only safetensors are accepted: a pickle can run code when it is opened.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import EnvironmentProblem, InvalidInput
from bench.formatting import plural
from bench.models.backends import backend_of
from bench.models.bounded import bounded
from bench.parsing import (
    BYTE_ORDER_MARKS,
    MAX_NAME,
    decoded,
    open_regular,
    parse_json,
    read_json_object,
)
from bench.paths import BUNDLED, hub_cache
from bench.text import one_line

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
TUNING_FILE = "tune.json"
"""Beside an adapter: what it was trained on, and how."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
# A Trainer leaves these beside good weights; they hold no model.
_NO_WEIGHTS = frozenset({"training_args.bin", "optimizer.pt", "scheduler.pt"})
_DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_LFS_POINTER = b"version https://git-lfs"
_MAX_HEADER = 100_000_000
"""Bytes of a safetensors header that safetensors itself accepts."""


class LocalCheckpoint(NamedTuple):
    """A folder with a model's configuration and its weights."""

    folder: Path
    model_type: str
    backend: str
    quantization: str | None
    """In the words of ``ModelSpec.quantization``; None if the weights are not quantized."""
    bytes_per_parameter: int
    """Bytes of one weight in the files; it says nothing if the weights are quantized."""
    weight_bytes: int
    """Size of the weight files."""


class LocalAdapter(NamedTuple):
    """A folder that PEFT has written."""

    folder: Path
    base: str
    """Hub id or folder of the checkpoint that the adapter was trained on."""


def is_adapter(folder: Path) -> bool:
    """Whether ``folder`` is a PEFT adapter."""
    return (folder / ADAPTER_CONFIG).is_file()


def read_checkpoint(folder: Path) -> LocalCheckpoint:
    """What ``folder`` holds.

    Raises:
        InvalidInput: no configuration, an architecture that no backend knows, or no usable weights.
    """
    if not (folder / "config.json").is_file():
        raise InvalidInput(
            f"{folder} is not a checkpoint folder: it has no config.json",
            hint="name the folder that save_pretrained or a hub download wrote",
        )
    backend = loading_backend(folder)
    config = read_json(folder / "config.json")
    for key in ("dtype", "torch_dtype"):
        check_type(folder / "config.json", config, key, str)
    return LocalCheckpoint(
        folder=folder,
        model_type=str(config.get("model_type")),
        backend=backend,
        quantization=_quantization(folder, config),
        bytes_per_parameter=_DTYPE_BYTES.get(str(_dtype(config)), 2),
        weight_bytes=sum(path.stat().st_size for path in weight_files(folder)),
    )


def loading_backend(folder: Path) -> str:
    """The backend that loads the checkpoint in ``folder``, by its ``config.json``.

    Raises:
        InvalidInput: none does.
    """
    path = folder / "config.json"
    config = read_json(path)
    check_type(path, config, "model_type", str)
    model_type = str(config.get("model_type"))
    backend = backend_of(model_type)
    if backend is None:
        raise _not_loadable(folder, config, model_type)
    return backend


def _not_loadable(folder: Path, config: Mapping[str, Any], model_type: str) -> InvalidInput:
    """The error for a checkpoint whose type no backend loads."""
    kind = one_line(model_type, 60)
    server = "let a server run it, and name the model there: MODEL@http://localhost:8000/v1"
    if config.get("auto_map"):
        return InvalidInput(
            f"{folder}: a model of the type {kind!r} needs code that comes with the checkpoint (auto_map in "
            "config.json), and such code is never run here",
            hint=server,
        )
    reads_images = any("vision" in key or "image" in key for key in config)
    architectures = config.get("architectures")
    names = architectures if isinstance(architectures, list) else []
    if not reads_images and any(str(name).endswith("ForCausalLM") for name in names):
        return InvalidInput(
            f"{folder}: a model of the type {kind!r} reads text only, no page images",
            hint="name a model of images and text; bench list models shows some",
        )
    version = transformers_version()
    if version is None:
        return InvalidInput(
            f"{folder}: whether a model of the type {kind!r} can be loaded is not known without transformers",
            hint="pip install 'docvlm-bench[hf]'",
        )
    return InvalidInput(
        f"{folder}: transformers {version} knows no model of images and text of the type {kind!r}",
        hint=server,
    )


def transformers_version() -> str | None:
    """The version of the installed transformers, which is not imported for it; None without it."""
    try:
        return importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return None


def read_adapter(folder: Path) -> LocalAdapter:
    """What the adapter in ``folder`` was trained on.

    Raises:
        InvalidInput: its configuration names no base checkpoint, or its weights are missing or pickled.
    """
    base = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(base, str) or not base.strip():
        raise InvalidInput(
            f"{folder / ADAPTER_CONFIG} does not say which checkpoint the adapter belongs to",
            hint='write "base_model_name_or_path": "<hub id or folder>" into it',
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        present = "only pickled ones (adapter_model.bin)" if _pickles(folder) else "no weights"
        raise InvalidInput(
            f"{folder} should hold weights in adapter_model.safetensors, but it contains {present}",
            hint="save the adapter with a current PEFT: model.save_pretrained(FOLDER)",
        )
    _refuse_pointer(folder / ADAPTER_WEIGHTS)
    settings = adapter_settings(folder)
    _check_ranks(folder, settings)
    _check_patterns(folder, settings)
    return LocalAdapter(folder, base.strip())


_ADAPTER_KEYS: Mapping[str, tuple[type, ...]] = {
    "peft_type": (str,),
    "task_type": (str,),
    "r": (int,),
    "lora_alpha": (int, float),
    "lora_dropout": (int, float),
    "target_modules": (str, list),
    "exclude_modules": (str, list),
    "modules_to_save": (list,),
    "layers_to_transform": (int, list),
    "layers_pattern": (str, list),
    "rank_pattern": (dict,),
    "alpha_pattern": (dict,),
    "bias": (str,),
    "use_dora": (bool,),
    "use_rslora": (bool,),
    "fan_in_fan_out": (bool,),
}
"""Keys of an ``adapter_config.json`` that decide where its weights go, and what their values may be."""


def adapter_settings(folder: Path) -> Mapping[str, Any]:
    """The ``adapter_config.json`` in ``folder``, the types of its values checked.

    Raises:
        InvalidInput: the file cannot be read, or a value is of another type.
    """
    path = folder / ADAPTER_CONFIG
    settings = read_json(path)
    for key, types in _ADAPTER_KEYS.items():
        check_type(path, settings, key, *types)
    for key in ("target_modules", "exclude_modules", "modules_to_save", "layers_pattern"):
        value = settings.get(key)
        if isinstance(value, list):
            for entry in value:
                check_type(
                    path, {f"an entry of {key}": entry}, f"an entry of {key}", str, null=False
                )
    return settings


def _check_ranks(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a rank that no weight of the adapter can have; PEFT would reserve memory for it."""
    path = folder / ADAPTER_CONFIG
    rank_pattern = settings.get("rank_pattern")
    ranks: dict[str, Any] = dict(rank_pattern) if isinstance(rank_pattern, dict) else {}
    if settings.get("peft_type", "LORA") == "ADALORA":
        ranks = {}
    ranks["r"] = settings.get("r", 1)
    sizes = [size for weight in stored_weights(folder) for size in weight.shape]
    largest = max(sizes, default=1)
    for key, rank in ranks.items():
        check_type(path, ranks, key, int)
        if rank is not None and not 0 <= rank <= largest:
            raise InvalidInput(
                f"{path}: the rank {one_line(key, 60)} should be at most {largest}, the longest side of "
                f"the adapter's weights, but it is {one_line(str(rank), 40)}",
                hint="copy the adapter again, or write the rank that it was trained with",
            )


def _check_patterns(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a regular expression that is none, or that does not end on the names of the weights."""
    path = folder / ADAPTER_CONFIG
    patterns: list[tuple[str, str]] = []
    for key in (
        "target_modules",
        "exclude_modules",
        "layers_pattern",
        "rank_pattern",
        "alpha_pattern",
    ):
        value = settings.get(key)
        # A list of modules holds names; only the keys of the tables are patterns.
        if isinstance(value, str):
            patterns.append((key, value))
        elif isinstance(value, dict):
            patterns += [(key, pattern) for pattern in value]
    names = [weight.name.partition(".lora_")[0] for weight in stored_weights(folder)]
    hint = "write the names of the modules into target_modules"
    for key, pattern in patterns:
        with bounded(f"a pattern of {key} in {path}", hint=hint):
            try:
                compiled = re.compile(pattern)
                for name in names:
                    compiled.fullmatch(name.removeprefix("base_model.model."))
            except re.error as error:
                raise InvalidInput(
                    f"{path}: {key} is not a regular expression: {one_line(str(error), 80)}",
                    hint=hint,
                ) from None


_JSON_TYPES: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


def check_type(
    path: Path, values: Mapping[str, Any], key: str, *types: type, null: bool = True
) -> None:
    """Refuse a value of the JSON file ``path`` that has none of ``types``.

    A key that is absent is accepted, and so is null unless ``null`` is false.

    Raises:
        InvalidInput: naming the file, the key, what was expected and what came.
    """
    value = values.get(key)
    # Not isinstance: true is an int in Python.
    if (value is None and null) or type(value) in types:
        return
    expected = " or ".join(_JSON_TYPES[kind] for kind in types)
    came = _JSON_TYPES.get(type(value), "null")
    raise InvalidInput(
        f"{path}: {one_line(key, 60)} should be {expected}, but it is {came}"
        + ("" if isinstance(value, (list, dict)) else f" ({one_line(str(value), 40)})"),
        hint="copy the file from where the checkpoint or adapter comes from",
    )


def weights_digest(folder: Path) -> str:
    """What makes two checkpoints the same one, wherever they lie: sha256 over configuration and weights.

    Raises:
        InvalidInput: files are missing.
    """
    files = sorted([folder / "config.json", *weight_files(folder)])
    lines = "".join(f"{path.name} {_sha256(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def tuning_record(folder: Path) -> Mapping[str, Any] | None:
    """The ``tune.json`` that ``bench tune`` left beside an adapter or a merged checkpoint, or None."""
    path = folder / TUNING_FILE
    return read_json(path) if path.is_file() else None


def check_base(adapter: Path, base: Path, name: str) -> None:
    """Refuse an adapter whose record says that it was trained on other weights than those in ``base``.

    An adapter without a record is taken at its word. ``name`` is what a person calls the base.

    Raises:
        InvalidInput: naming both bases.
    """
    trained = (tuning_record(adapter) or {}).get("base")
    if not isinstance(trained, dict) or not isinstance(trained.get("digest"), str):
        return
    digest = weights_digest(base)
    if digest != trained["digest"]:
        raise InvalidInput(
            f"the adapter {adapter} was trained on {one_line(str(trained.get('checkpoint')), 120)} "
            f"(weights {trained['digest'][:12]}), not on {one_line(name, 120)} (weights {digest[:12]})",
            hint="use it with the checkpoint that it was trained on",
        )


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of the checkpoint in ``folder``, every shard present and not empty.

    Raises:
        InvalidInput: there are none, only pickled ones, or some shards are missing.
    """
    whole, index = folder / "model.safetensors", folder / WEIGHTS_INDEX
    # In this order transformers looks for them: beside a whole file, an index is not read.
    if whole.is_file():
        files: tuple[Path, ...] = (whole,)
    elif index.is_file():
        files = _shards(index)
    else:
        raise _no_weights(folder)
    for path in files:
        _refuse_pointer(path)
    return files


def _shards(index: Path) -> tuple[Path, ...]:
    """The files that the index of a checkpoint names, every one of them present."""
    folder, shards = index.parent, read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise InvalidInput(f"{index} lists no weights", hint="download the checkpoint again")
    for name, file in shards.items():
        is_name = isinstance(file, str) and 0 < len(file) <= MAX_NAME and "\0" not in file
        if not is_name or file != Path(file).name or file in {".", ".."}:
            raise InvalidInput(
                f"{index}: weight_map should name a file in its folder for {one_line(name, 80)}, "
                f"but it contains {one_line(str(file), 80)!r}",
                hint="download the checkpoint again",
            )
    files = tuple(folder / name for name in sorted(set(shards.values())))
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise InvalidInput(
            f"{folder} lacks {len(missing)} of {plural(len(files), 'weight file')}; "
            f"the first is {one_line(missing[0], 80)}",
            hint="download the checkpoint again",
        )
    return files


class StoredWeight(NamedTuple):
    """One tensor of a weight file."""

    name: str
    dtype: str
    """In the words of safetensors: ``F32``, ``BF16``, ``I32``, …"""
    shape: tuple[int, ...]
    bytes: int

    @property
    def parameters(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


def stored_weights(folder: Path) -> tuple[StoredWeight, ...]:
    """Every tensor of the checkpoint or adapter in ``folder``, from the files' headers alone.

    Raises:
        InvalidInput: a file is missing, or its header is damaged.
    """
    adapter = folder / ADAPTER_WEIGHTS
    files = (adapter,) if is_adapter(folder) else weight_files(folder)
    return tuple(weight for path in files for weight in _header(path))


def _header(path: Path) -> list[StoredWeight]:
    """https://github.com/huggingface/safetensors: eight bytes of length, then a JSON object."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _MAX_HEADER:
                raise ValueError(f"a header of {length} bytes")
            header = parse_json(decoded(file.read(length), path), path)
        if not isinstance(header, dict):
            raise ValueError("its header is not an object")
        return [
            StoredWeight(
                name,
                str(entry["dtype"]),
                tuple(int(size) for size in entry["shape"]),
                int(entry["data_offsets"][1]) - int(entry["data_offsets"][0]),
            )
            for name, entry in header.items()
            if name != "__metadata__"
        ]
    except InvalidInput:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise InvalidInput(
            f"{path} is not a safetensors file: its header does not describe tensors",
            hint="download the checkpoint again",
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{path} is not a safetensors file: {one_line(str(error), 80)}",
            hint="download the checkpoint again",
        ) from None


def read_json(path: Path) -> Mapping[str, Any]:
    """The object in the JSON file ``path``.

    Raises:
        InvalidInput: the file cannot be read or holds something else.
    """
    return read_json_object(path)


def has_mark(path: Path) -> bool:
    """Whether the file ``path`` begins with a byte-order mark."""
    with open_regular(path) as file:
        return file.read(3).startswith(tuple(BYTE_ORDER_MARKS))


def cached_snapshot(hub_id: str, revision: str | None = None) -> Path | None:
    """The files of ``hub_id`` on this machine, or None; weights may still be missing.

    They lie in the hub's cache, or in the package where the checkpoint comes with it.
    """
    if hub_id.startswith(BUNDLED):
        return Path(__file__).parent / "bundled" / hub_id.removeprefix(BUNDLED)
    repository = hub_cache() / ("models--" + hub_id.replace("/", "--"))
    reference = repository / "refs" / (revision or "main")
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    if not commit:
        return None
    snapshot = repository / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def offline_by_environment() -> bool:
    """Whether the environment forbids the hub (``HF_HUB_OFFLINE``, ``TRANSFORMERS_OFFLINE``)."""
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value.strip().upper() in {"1", "ON", "YES", "TRUE"} for value in values)


def weights_missing(hub_id: str, reason: str) -> EnvironmentProblem:
    """The error for a checkpoint that is neither here nor to be had."""
    return EnvironmentProblem(
        f"the weights of {hub_id} are not on this machine and cannot be downloaded: {reason}",
        hint=f"run `hf download {hub_id}` where there is a network, name a local checkpoint folder, "
        "or use the model ocr, which needs no weights",
    )


def _no_weights(folder: Path) -> InvalidInput:
    if pickles := _pickles(folder):
        return InvalidInput(
            f"{folder} should hold weights as safetensors, but it contains pickled ones ({pickles[0].name}), "
            "which can run code when they are opened",
            hint="convert them to safetensors: model.save_pretrained(FOLDER) with a current transformers",
        )
    if gguf := sorted(folder.glob("*.gguf")):
        return InvalidInput(
            f"{folder} should hold weights as safetensors, but it contains a GGUF file ({gguf[0].name})"
        )
    return InvalidInput(
        f"{folder} has a config.json but no weights (model.safetensors)",
        hint="download the checkpoint again, or name the folder that contains the weights",
    )


def _sha256(path: Path) -> str:
    # The hub's cache links large files from blobs that are named by their sha256.
    blob = path.resolve().name
    if path.is_symlink() and re.fullmatch("[0-9a-f]{64}", blob):
        return blob
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _pickles(folder: Path) -> list[Path]:
    """Files in ``folder`` that may hold pickled weights, in the order of their patterns."""
    pickles: list[Path] = []
    for pattern in _PICKLES:
        matching = sorted(folder.glob(pattern))
        pickles += [path for path in matching if path.name not in _NO_WEIGHTS]
    return pickles


def _refuse_pointer(path: Path) -> None:
    """Tell apart weights from the text that git leaves in their place without LFS."""
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if not start:
        raise InvalidInput(f"{path} is empty", hint="download the checkpoint again")
    if start == _LFS_POINTER:
        raise InvalidInput(f"{path} is a Git LFS pointer, not weights", hint="run git lfs pull")


QUANTIZATIONS = frozenset(
    {f"gptq-int{bits}" for bits in (2, 3, 4, 8)}
    | {"awq", "nf4", "fp4", "int8", "fp8", "mxfp4", "nvfp4", "compressed-tensors", "hqq", "torchao"}
    | {
        "auto-round",
        "aqlm",
        "quanto",
        "eetq",
        "fbgemm_fp8",
        "bitnet",
        "higgs",
        "quark",
        "vptq",
        "spqr",
    }
)
"""How transformers loads quantized weights. What is not here it would load as if they were not quantized."""


def _quantization(folder: Path, config: Mapping[str, Any]) -> str | None:
    """What ``config.json`` says the weights are quantized as."""
    path = folder / "config.json"
    check_type(path, config, "quantization_config", dict)
    settings = config.get("quantization_config")
    if settings is None:
        return None
    check_type(path, settings, "quant_method", str)
    check_type(path, settings, "bits", int)
    check_type(path, settings, "load_in_4bit", bool)
    check_type(path, settings, "load_in_8bit", bool)
    method = str(settings.get("quant_method") or "").lower()
    if method == "gptq":
        method = f"gptq-int{settings.get('bits', 4)}"
    elif method == "bitsandbytes" or settings.get("load_in_4bit") or settings.get("load_in_8bit"):
        check_type(path, settings, "bnb_4bit_quant_type", str)
        four_bits = str(settings.get("bnb_4bit_quant_type") or "nf4")
        method = four_bits if settings.get("load_in_4bit") else "int8"
    if not method:
        raise InvalidInput(
            f"{path}: quantization_config does not say how the weights are quantized (quant_method)",
            hint="copy config.json from where the checkpoint comes from",
        )
    if method not in QUANTIZATIONS:
        raise InvalidInput(
            f"{folder} is quantized as {one_line(method, 40)}, which cannot be loaded",
            hint="these can be: " + ", ".join(sorted(QUANTIZATIONS)),
        )
    return method


def _dtype(config: Mapping[str, Any]) -> object:
    text = config.get("text_config")
    inner = text if isinstance(text, dict) else {}
    for key in ("dtype", "torch_dtype"):
        for level in (config, inner):
            if level.get(key) is not None:
                return level[key]
    return None
