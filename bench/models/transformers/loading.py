"""From a specification to weights on a device, by ``AutoModelForImageTextToText`` and safetensors alone.

A checkpoint's own code is never run: what the installed transformers does not know is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.models.bounded import bounded
from bench.models.checkpoints import read_checkpoint, stored_weights
from bench.models.qwen_vl.device import pick_attention
from bench.models.qwen_vl.failures import reason
from bench.models.qwen_vl.loading import (
    LoadedModel,
    LoadingPlan,
    check_weights,
    finish_loading,
    from_pretrained,
    plan_loading,
    quiet_transformers,
)
from bench.schema import ModelSpec
from bench.text import one_line

_MORE_THAN_STORED = 2
"""Times the stored numbers that a model may have: input and output embeddings may be stored once."""
_COPY = "copy config.json from where the checkpoint comes from"


def read_config(folder: Path, files: Path) -> Any:
    """What transformers makes of the ``config.json`` in ``files``, which a person calls ``folder``.

    Raises:
        InvalidInput: transformers cannot use it, or it describes a much larger model than the weights are.
    """
    import transformers

    path = folder / "config.json"
    try:
        config = transformers.AutoConfig.from_pretrained(
            files, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        said = reason(error).replace(str(files), str(folder))
        raise InvalidInput(f"{path} cannot be used: {one_line(said, 200)}", hint=_COPY) from None
    _check_size(path, config)
    return config


def load_weights(spec: ModelSpec, folder: Path, files: Path, config: Any) -> LoadedModel:
    """Load the weights in ``files`` the way ``spec`` asks for.

    Raises:
        InvalidInput: the checkpoint or the adapter cannot be used as it is.
        EnvironmentProblem: an optional package or the device is missing.
        OutOfMemory: the weights do not fit on the device.
    """
    plan = plan_loading(spec, read_checkpoint(folder))
    model, unused = _from_pretrained(plan, files, config)
    return finish_loading(plan, model, {"quantization": None}, warnings=unused)


def _from_pretrained(plan: LoadingPlan, files: Path, config: Any) -> tuple[Any, list[str]]:
    """The model, and what should be known about weights that it did not use."""
    import transformers

    spec, checkpoint, device, dtype, _ = plan
    folder = checkpoint.folder
    if checkpoint.quantization is not None:
        raise InvalidInput(
            f"{folder} is quantized as {checkpoint.quantization}; of the type {checkpoint.model_type}, only "
            "weights that are not quantized are loaded here",
            hint="name the checkpoint that it was made from, or let a server run this one: "
            "MODEL@http://localhost:8000/v1",
        )
    arguments: dict[str, Any] = {
        "config": config,
        "device_map": {"": device},
        "trust_remote_code": False,
    }
    # Not every type has every kernel; without a wish, transformers takes the best that this one has.
    if spec.attention != "auto":
        arguments["attn_implementation"] = pick_attention(spec, device, dtype)
    kind: Any = transformers.AutoModelForImageTextToText
    model, report = from_pretrained(plan, kind, files, arguments)
    check_weights(folder, {**report, "unexpected_keys": ()})
    unused = sorted(str(name) for name in report.get("unexpected_keys") or ())
    if not unused:
        return model, []
    return model, [
        f"{len(unused)} of the checkpoint's weights are not used by {type(model).__name__} of transformers "
        f"{transformers.__version__}; the first is {one_line(unused[0], 80)}"
    ]


def _check_size(path: Path, config: Any) -> None:
    """Refuse sizes that the weights do not have: memory for them would be reserved before that is seen."""
    import torch
    import transformers

    auto: Any = transformers.AutoModelForImageTextToText
    with bounded(f"the model that {path} describes", hint=_COPY):
        try:
            # On this device, tensors have a shape and no memory.
            with torch.device("meta"), quiet_transformers():
                described = auto.from_config(config, trust_remote_code=False).num_parameters()
        except (MemoryError, RecursionError):
            raise
        except Exception as error:
            raise InvalidInput(
                f"{path} cannot be used: no model can be built from it; {reason(error)}", hint=_COPY
            ) from None
    stored = sum(weight.parameters for weight in stored_weights(path.parent))
    if described > stored * _MORE_THAN_STORED:
        raise InvalidInput(
            f"{path} describes a model of {described} parameters, but the weight files hold {stored} numbers",
            hint="check that config.json belongs to these weights, or download them again",
        )
