"""From a specification to weights on a device: files, dtype, attention, quantization, adapter.

Everything is loaded by transformers' own classes, from a local folder, from safetensors only. What
the load reports as missing or left over is an error: a model with random weights in it still answers.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import InvalidInput, require_package
from bench.formatting import plural
from bench.measure.bf16 import bf16_warning
from bench.models.checkpoints import (
    LocalCheckpoint,
    check_base,
    read_adapter,
    read_checkpoint,
    tuning_record,
)
from bench.models.qwen_vl.adapters import with_adapter
from bench.models.qwen_vl.configuration import read_configuration
from bench.models.qwen_vl.device import (
    part_offloaded,
    pick_attention,
    pick_device,
    pick_dtype,
    weights_by_device,
)
from bench.models.qwen_vl.download import fetch, offline
from bench.models.qwen_vl.failures import load_failure
from bench.models.qwen_vl.quantization import (
    agreed_quantization,
    bitsandbytes_config,
    name_exclusions,
    without_empty_biases,
)
from bench.models.qwen_vl.readable import readable
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
        require_package("the Qwen-VL backend", package, "hf")
    if spec.checkpoint is None:
        raise InvalidInput(f"model {spec.name!r} names no checkpoint")
    folder = fetch(spec.checkpoint, spec.revision, offline=offline(spec))
    model_type = read_checkpoint(folder).model_type
    if model_type not in CLASSES:
        # A hub id that was not here before is taken for this family until its files have come.
        raise InvalidInput(
            f"{spec.checkpoint} is of the type {model_type}, which another backend loads",
            hint="type the same command again; the files of the checkpoint are on this machine now",
        )
    return folder


def load_model(spec: ModelSpec, folder: Path) -> LoadedModel:
    """Load the weights in ``folder`` the way ``spec`` asks for.

    Raises:
        InvalidInput: the checkpoint or the adapter cannot be used as it is.
        EnvironmentProblem: an optional package or the device is missing.
        OutOfMemory: the weights do not fit on the device.
    """
    checkpoint = read_checkpoint(folder)
    quantization = agreed_quantization(spec, checkpoint)
    plan = plan_loading(spec, checkpoint)
    with readable(folder) as files:
        model = _from_pretrained(plan, files)
    details: dict[str, Json] = {"quantization": quantization}
    if spec.options.get("device_map") is not None:
        details["device_map"] = weights_by_device(spec, model)
        part_offloaded(model)
        # Where pages and tokens enter; each layer fetches its input from there or from the layer before.
        plan = plan._replace(device=model.device)
    merge = bool(spec.options.get("merge_adapter", quantization is None))
    return finish_loading(plan, model, details, merge_adapter=merge)


def _from_pretrained(plan: LoadingPlan, files: Path) -> Any:
    """The model whose files are in ``files``, which a person calls ``checkpoint.folder``."""
    import transformers

    spec, checkpoint, device, dtype, _ = plan
    config = read_configuration(checkpoint.folder, files)
    name_exclusions(getattr(config, "quantization_config", None), checkpoint.folder)
    # Untyped in transformers.
    no_generation: Any = transformers.GenerationConfig
    arguments: dict[str, Any] = {
        "config": config,
        "attn_implementation": pick_attention(spec, device, dtype),
        "device_map": spec.options.get("device_map") or {"": device},
        # generation_config.json is read by read_decoding; here it could only fail.
        "generation_config": no_generation(),
    }
    if checkpoint.quantization is None and spec.quantization is not None:
        arguments["quantization_config"] = bitsandbytes_config(spec.quantization, dtype)
    kind = getattr(transformers, CLASSES[checkpoint.model_type])
    model, report = from_pretrained(plan, kind, files, arguments)
    check_weights(checkpoint.folder, report)
    return model


# What loading has in common for all families


class LoadingPlan(NamedTuple):
    """What is decided before the weights are loaded, which may take minutes."""

    spec: ModelSpec
    checkpoint: LocalCheckpoint
    device: torch.device
    dtype: torch.dtype
    adapter: Path | None
    """The files of the adapter that ``spec`` names."""


def plan_loading(spec: ModelSpec, checkpoint: LocalCheckpoint) -> LoadingPlan:
    """Choose device and dtype, and fetch and check the adapter.

    Raises:
        InvalidInput: the adapter cannot be read, or it belongs to another checkpoint.
        EnvironmentProblem: the device or the adapter cannot be had.
    """
    device = pick_device(spec.device)
    dtype = pick_dtype(spec, checkpoint, device)
    if spec.adapter is None:
        return LoadingPlan(spec, checkpoint, device, dtype, None)
    adapter = fetch(spec.adapter, None, offline=offline(spec))
    read_adapter(adapter)
    check_base(adapter, checkpoint.folder, str(spec.checkpoint))
    return LoadingPlan(spec, checkpoint, device, dtype, adapter)


def from_pretrained(
    plan: LoadingPlan, kind: Any, files: Path, arguments: Mapping[str, Any]
) -> tuple[Any, Mapping[str, Any]]:
    """The model that ``kind``, a class of transformers, makes of ``files``, and its report of the weights.

    Nothing but safetensors of this machine is read. Weights of another shape are in the report.

    Raises:
        InvalidInput: the checkpoint cannot be used as it is.
        EnvironmentProblem: an optional package or the device is missing.
        OutOfMemory: the weights do not fit on the device.
    """
    try:
        with quiet_transformers():
            model, report = kind.from_pretrained(
                files,
                **arguments,
                dtype=plan.dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
            return model, report
    except Exception as error:
        # Raised below: while the error is handled, its traceback would keep the weights alive.
        failure = load_failure(plan.checkpoint.folder, error, plan.device)
    raise failure


def finish_loading(
    plan: LoadingPlan,
    model: Any,
    details: Mapping[str, Json],
    *,
    merge_adapter: bool = True,
    warnings: Sequence[str] = (),
) -> LoadedModel:
    """Put the adapter into ``model``, make it ready to answer, and record what was loaded.

    Args:
        plan: what was decided before.
        model: the weights of the checkpoint.
        details: what the family's own loader has to record besides.
        merge_adapter: whether the adapter is added to the weights.
        warnings: what a person should know of the weights.
    """
    import torch

    spec, checkpoint, device, dtype, adapter = plan
    if adapter is not None:
        with quiet_transformers():
            model = with_adapter(adapter, str(spec.checkpoint), model, merge=merge_adapter)
    model.eval().requires_grad_(False)
    if device.type == "cuda" and dtype == torch.float32:
        # By default torch computes convolutions, and not products, in TF32, which has ten bits of fraction.
        torch.backends.cudnn.allow_tf32 = False
    slow = bf16_warning() if device.type == "cpu" and dtype == torch.bfloat16 else None
    said = [*warnings, *([] if slow is None else [slow])]
    for warning in said:
        _LOG.warning(warning)
    record = tuning_record(adapter or checkpoint.folder)
    all_details: dict[str, Json] = {
        "checkpoint": spec.checkpoint,
        "revision": revision_of(checkpoint.folder) or spec.revision,
        "model_type": checkpoint.model_type,
        "architecture": type(model).__name__,
        "dtype": str(dtype).removeprefix("torch."),
        "attention": getattr(model.config, "_attn_implementation", None),
        "weight_bytes": model.get_memory_footprint(),
        **details,
    }
    if adapter is not None:
        all_details |= {"adapter": spec.adapter, "adapter_merged": merge_adapter}
    if record is not None:
        all_details["trained_on"] = record.get("task")
    if said:
        all_details["warnings"] = said
    return LoadedModel(model, device, all_details)


def check_weights(folder: Path, report: Mapping[str, Any]) -> None:
    """Refuse a model of which any weight is not the checkpoint's.

    Raises:
        InvalidInput: weights are missing, left over, or of another shape.
    """
    for kind, one, many in (
        ("missing_keys", "weight is missing", "weights are missing"),
        (
            "mismatched_keys",
            "weight has another shape than config.json says",
            "weights have another shape than config.json says",
        ),
        (
            "unexpected_keys",
            "weight has no place in the model",
            "weights have no place in the model",
        ),
    ):
        names = sorted(str(name) for name in report.get(kind) or ())
        if kind == "unexpected_keys":
            names = without_empty_biases(folder, names)
        if names:
            raise InvalidInput(
                f"{folder}: {plural(len(names), one, many)}; the first is {one_line(names[0], 80)}",
                hint="check that config.json belongs to these weights, or download them again",
            )
    if report.get("error_msgs"):
        raise InvalidInput(f"{folder} cannot be loaded: {one_line(str(report['error_msgs'][0]))}")


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


def revision_of(folder: Path) -> str | None:
    """The commit of the hub that ``folder`` is a snapshot of; None if it is another folder."""
    name = folder.name
    is_commit = len(name) == 40 and all(character in "0123456789abcdef" for character in name)
    return name if is_commit else None
