"""From a specification to weights on a device: files, dtype, attention, quantization, adapter.

Everything is loaded by transformers' own classes, from a local folder, from safetensors only. What
the load reports as missing or left over is an error: a model with random weights in it still answers.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import EnvironmentProblem, InvalidInput, OutOfMemory, missing_package
from bench.measure.bf16 import bf16_warning
from bench.models.checkpoints import (
    LocalCheckpoint,
    check_base,
    read_adapter,
    read_checkpoint,
    tuning_record,
)
from bench.models.qwen_vl.download import fetch, offline
from bench.schema import Json, ModelSpec
from bench.text import one_line

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger(__name__)

CLASSES: dict[str, str] = {
    "qwen2_vl": "Qwen2VLForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
    "qwen3_vl": "Qwen3VLForConditionalGeneration",
}
"""``model_type`` → class of transformers. A table, so that no checkpoint can bring its own code."""

_NEEDED_BY = {
    "gptq-int4": (("gptqmodel", "gptq"), ("optimum", "gptq")),
    "gptq-int8": (("gptqmodel", "gptq"), ("optimum", "gptq")),
    "awq": (("gptqmodel", "gptq"),),
    "nf4": (("bitsandbytes", "nf4"),),
    "int8": (("bitsandbytes", "nf4"),),
}
"""Quantization → (package, extra) that loading it takes."""

# Adapters trained before transformers 4.52 name the modules as the hub's weight files still do.
_ADAPTER_RENAMES = {
    r"^model\.layers\.": "model.language_model.layers.",
    r"^visual\.": "model.visual.",
}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Weights on a device, and what was really done to get them there."""

    model: Any
    """The ``…ForConditionalGeneration`` object, in evaluation mode."""
    device: torch.device
    details: Mapping[str, Json]


def locate(spec: ModelSpec) -> Path:
    """The local folder of the checkpoint of ``spec``, downloaded where it is not here yet.

    Raises:
        EnvironmentProblem: the checkpoint or an optional package cannot be had.
    """
    for package in ("torch", "transformers", "accelerate"):
        _require(package, "the Qwen-VL backend", "hf")
    if spec.checkpoint is None:
        raise InvalidInput(f"model {spec.name!r} names no checkpoint")
    return fetch(spec.checkpoint, spec.revision, offline=offline(spec))


def load_model(spec: ModelSpec, folder: Path) -> LoadedModel:
    """Load the weights in ``folder`` the way ``spec`` asks for.

    Raises:
        InvalidInput: the checkpoint or the adapter cannot be used as it is.
        EnvironmentProblem: an optional package or the device is missing.
        OutOfMemory: the weights do not fit on the device.
    """
    import torch

    found = read_checkpoint(folder)
    quantization = _agreed_quantization(spec, found)
    device = pick_device(spec.device)
    dtype = _pick_dtype(spec, found, device)
    tuned = folder
    if spec.adapter is not None:
        tuned = fetch(spec.adapter, None, offline=offline(spec))
        # Before the weights: loading them may take minutes.
        check_base(tuned, folder, str(spec.checkpoint))
    model = _from_pretrained(spec, found, device, dtype)
    placement: dict[str, Json] = {}
    if spec.options.get("device_map") is not None:
        placement = {"device_map": _placement(spec, model)}
        # Where pages and tokens enter; each layer fetches its input from there or from the layer before.
        device = model.device
    adapter: dict[str, Json] = {}
    if spec.adapter is not None:
        model, adapter = _with_adapter(spec, tuned, model, quantization)
    model.eval().requires_grad_(False)
    warning = bf16_warning() if device.type == "cpu" and dtype == torch.bfloat16 else None
    if warning is not None:
        _LOG.warning(warning)
    details: dict[str, Json] = {
        "checkpoint": spec.checkpoint,
        "revision": folder.name if _is_commit(folder.name) else spec.revision,
        "model_type": found.model_type,
        "architecture": type(model).__name__,
        "dtype": str(dtype).removeprefix("torch."),
        "quantization": quantization,
        "attention": model.config._attn_implementation,
        "weight_bytes": model.get_memory_footprint(),
        **placement,
        **adapter,
        **_trained_on(tuned),
        **({} if warning is None else {"warnings": [warning]}),
    }
    return LoadedModel(model, device, details)


def pick_device(wanted: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` stands for on this machine.

    Raises:
        EnvironmentProblem: the GPU that was asked for is not there.
    """
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(wanted)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise EnvironmentProblem(
                f"device {wanted} was asked for, but torch {torch.__version__} sees no GPU",
                hint="bench doctor says why; or use --device cpu",
            )
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise EnvironmentProblem(
                f"device {wanted} does not exist: torch sees {count} GPU(s)", hint="--device cuda:0"
            )
        device = torch.device("cuda", device.index or 0)
    return device


def has_bf16_units(device: torch.device) -> bool:
    """Whether the GPU ``device`` computes in bf16 itself: compute capability 8.0 and above."""
    import torch

    return torch.cuda.get_device_capability(device) >= (8, 0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` means that memory ran out, on a GPU or on the CPU."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU allocator has no error class of its own.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate" in str(error)


def out_of_memory(error: BaseException, doing: str) -> OutOfMemory:
    """One line for a memory error, with the allocator's figures where it gives some."""
    return OutOfMemory(
        f"out of memory while {doing}: {one_line(str(error), 160)}",
        hint="try a smaller --batch-size or --max-pixels, or a quantized model (-int4, -nf4)",
    )


def _require(package: str, feature: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise missing_package(feature, package, extra)


def _agreed_quantization(spec: ModelSpec, found: LocalCheckpoint) -> str | None:
    """What the weights are or will be quantized as, with its packages present."""
    wanted = spec.quantization
    if found.quantization is not None and wanted not in {None, found.quantization}:
        raise InvalidInput(
            f"{spec.checkpoint} is quantized as {found.quantization}, not as {wanted}",
            hint="name the checkpoint whose quantization you want",
        )
    if found.quantization is None and wanted not in {None, "nf4", "int8"}:
        raise InvalidInput(
            f"{spec.checkpoint} is not quantized; {wanted} cannot be made while loading",
            hint="nf4 and int8 can",
        )
    quantization = found.quantization or wanted
    for package, extra in _NEEDED_BY.get(quantization or "", ()):
        _require(package, f"a checkpoint in {quantization}", extra)
    return quantization


def _pick_dtype(spec: ModelSpec, found: LocalCheckpoint, device: torch.device) -> torch.dtype:
    import torch

    if spec.dtype != "auto":
        return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[spec.dtype]
    if (found.quantization or "").startswith(("gptq", "awq")):
        # The kernels of both are written for fp16, and so are the checkpoints.
        return torch.float16
    if device.type != "cuda":
        return torch.float32
    # Older GPUs have no units for bf16: products are emulated, and no fused attention takes it.
    return torch.bfloat16 if has_bf16_units(device) else torch.float16


def _pick_attention(spec: ModelSpec, device: torch.device, dtype: torch.dtype) -> str:
    import torch

    usable = (
        device.type == "cuda"
        and dtype in {torch.bfloat16, torch.float16}
        and importlib.util.find_spec("flash_attn") is not None
    )
    if spec.attention == "flash_attention_2" and not usable:
        raise EnvironmentProblem(
            "flash_attention_2 needs a GPU, bf16 or fp16, and the package flash-attn",
            hint="--attention sdpa",
        )
    if spec.attention != "auto":
        return spec.attention
    return "flash_attention_2" if usable else "sdpa"


def _from_pretrained(
    spec: ModelSpec, found: LocalCheckpoint, device: torch.device, dtype: torch.dtype
) -> Any:
    import transformers
    from safetensors import SafetensorError

    config = transformers.AutoConfig.from_pretrained(found.folder, trust_remote_code=False)
    _rename_exclusions(config)
    arguments: dict[str, Any] = {
        "config": config,
        "dtype": dtype,
        "attn_implementation": _pick_attention(spec, device, dtype),
        "device_map": spec.options.get("device_map") or {"": device},
        "use_safetensors": True,
        "local_files_only": True,
        "output_loading_info": True,
    }
    if found.quantization is None and spec.quantization is not None:
        arguments["quantization_config"] = _bitsandbytes_config(spec.quantization, dtype)
    failure: Exception | None = None
    try:
        with quiet_transformers():
            loader = getattr(transformers, CLASSES[found.model_type])
            model, report = loader.from_pretrained(found.folder, **arguments)
    except (SafetensorError, OSError, RuntimeError, ValueError, ImportError) as error:
        # Raised below: while the error is handled, its traceback would keep the weights alive.
        failure = error.with_traceback(None)
    if failure is not None:
        raise _load_failure(found.folder, failure, device)
    _check_report(found.folder, report)
    return model


def _placement(spec: ModelSpec, model: Any) -> dict[str, int]:
    """Bytes of the weights on each device, by accelerate's map of ``model``.

    Raises:
        OutOfMemory: accelerate left some to main memory or the disk, beside GPUs.
    """
    import torch

    # One device alone leaves no map.
    places = {str(place) for place in getattr(model, "hf_device_map", {}).values()}
    if torch.cuda.is_available() and places & {"cpu", "disk"}:
        raise OutOfMemory(
            f"the GPUs together do not hold {spec.checkpoint}: accelerate would keep some of its layers in "
            "main memory and copy them for every token",
            hint="use more GPUs or a quantized model (-int4, -nf4)",
        )
    held: dict[str, int] = {}
    for parameter in model.parameters():
        name = str(parameter.device)
        held[name] = held.get(name, 0) + parameter.nbytes
    return held


def _rename_exclusions(config: Any) -> None:
    """Let quantized checkpoints leave out the vision tower where transformers 5 keeps it.

    Their configurations say ``visual``; the module is called ``model.visual`` today, and a name is
    matched from its start.
    """
    settings = getattr(config, "quantization_config", None)
    if not isinstance(settings, dict):
        return
    for key in ("modules_to_not_convert", "llm_int8_skip_modules"):
        names = settings.get(key)
        if names and "visual" in names:
            settings[key] = [*names, "model.visual"]


def _bitsandbytes_config(quantization: str, dtype: torch.dtype) -> Any:
    import transformers

    # Untyped in transformers.
    make: Any = transformers.BitsAndBytesConfig
    # As the published GPTQ and AWQ checkpoints do: only the language model's linear layers.
    skip = ["model.visual", "lm_head"]
    if quantization == "int8":
        return make(load_in_8bit=True, llm_int8_skip_modules=skip)
    return make(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=skip,
    )


def _load_failure(folder: Path, error: Exception, device: torch.device) -> Exception:
    """``error`` of ``from_pretrained`` in the words of this program."""
    if is_out_of_memory(error):
        return out_of_memory(error, f"loading {folder.name} onto {device}")
    if isinstance(error, ImportError):
        return EnvironmentProblem(
            f"{folder} cannot be loaded: {one_line(str(error))}",
            hint="bench doctor says which of the installed versions do not fit together",
        )
    return InvalidInput(
        f"{folder} cannot be loaded: {one_line(str(error))}",
        hint="check that config.json belongs to these weights, or download the checkpoint again",
    )


def _check_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Refuse a model of which any weight is not the checkpoint's.

    Raises:
        InvalidInput: weights are missing, left over, or of another shape.
    """
    for kind, word in (
        ("missing_keys", "are missing"),
        ("mismatched_keys", "have another shape than config.json says"),
        ("unexpected_keys", "have no place in the model"),
    ):
        names = sorted(str(name) for name in report.get(kind) or ())
        if kind == "unexpected_keys":
            names = _without_empty_biases(folder, names)
        if names:
            raise InvalidInput(
                f"{folder}: {len(names)} weights {word}, the first is {one_line(names[0], 80)}",
                hint="check that config.json belongs to these weights, or download them again",
            )
    if report.get("error_msgs"):
        raise InvalidInput(f"{folder} cannot be loaded: {one_line(str(report['error_msgs'][0]))}")


def _without_empty_biases(folder: Path, names: Sequence[str]) -> list[str]:
    """``names`` without the biases that are zero throughout.

    The published GPTQ checkpoints have a bias of zeros for every linear layer, also for those that the
    architecture gives none.
    """
    from safetensors import safe_open

    if not any(name.endswith(".bias") for name in names):
        return list(names)
    # transformers reports the names that it made of the file's; from "layers." on they are the same.
    wanted = {name[name.find("layers.") :]: name for name in names if name.endswith(".bias")}
    empty: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118
                name = wanted.get(key[key.find("layers.") :]) if "visual" not in key else None
                if name is not None and not file.get_tensor(key).any():
                    empty.add(name)
    return [name for name in names if name not in empty]


def _trained_on(folder: Path) -> dict[str, Json]:
    """The task that ``bench tune`` says it trained what lies in ``folder`` on."""
    record = tuning_record(folder)
    return {} if record is None else {"trained_on": record.get("task")}


def _with_adapter(
    spec: ModelSpec, folder: Path, model: Any, quantization: str | None
) -> tuple[Any, dict[str, Json]]:
    """``model`` with the adapter in ``folder``, merged into the weights where they allow it."""
    _require("peft", "an adapter", "hf")
    from peft import PeftModel

    read_adapter(folder)
    merge = bool(spec.options.get("merge_adapter", quantization is None))
    try:
        with quiet_transformers(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            wrapped = PeftModel.from_pretrained(
                model, str(folder), is_trainable=False, key_mapping=_ADAPTER_RENAMES
            )
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise InvalidInput(
            f"the adapter {folder} does not fit {spec.checkpoint}: {one_line(str(error))}",
            hint="use it with the checkpoint that it was trained on",
        ) from None
    # PEFT only warns when weights that the adapter's configuration promises are not in its file.
    if any("missing adapter keys" in str(warning.message) for warning in caught):
        raise InvalidInput(
            f"the adapter {folder} does not fit {spec.checkpoint}: some of its weights are missing",
            hint="use it with the checkpoint and the library versions that it was trained with",
        )
    if not hasattr(wrapped.base_model, "merge_and_unload"):
        raise InvalidInput(
            f"the adapter {folder} is of a type that does not live in the weights",
            hint="LoRA and its relatives can be used",
        )
    adapted = wrapped.merge_and_unload() if merge else wrapped.get_base_model()
    return adapted, {"adapter": spec.adapter, "adapter_merged": merge}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no advice from transformers inside: the runner has its own bars.

    What gptqmodel prints goes to standard error: standard output is for answers.
    """
    import transformers

    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _is_commit(name: str) -> bool:
    return len(name) == 40 and all(character in "0123456789abcdef" for character in name)
