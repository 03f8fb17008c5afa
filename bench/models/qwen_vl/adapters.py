"""Puts a PEFT adapter into a loaded model: every one of its weights finds its place, or it is refused.

PEFT itself drops weights that it has no place for. So the modules that ``adapter_config.json`` asks for are
worked out here and compared with those in the adapter's file. What PEFT gets are exact names: no pattern of
an adapter's author is left in them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput, require_package
from bench.formatting import plural
from bench.measure import gpu_failure, is_out_of_memory
from bench.models.bounded import bounded
from bench.models.checkpoints import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_settings
from bench.models.qwen_vl.failures import out_of_memory, reason
from bench.models.qwen_vl.names import current_name, old_name
from bench.text import one_line

_PREFIX = "base_model.model."
_SHARED = (".tinylora_v.", ".unilora_theta_d.", "vblora_vector_bank")
_SHAPES = re.compile(
    r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[(.*?)\]\) from checkpoint, "
    r"the shape in current model is torch\.Size\(\[(.*?)\]\)"
)


def with_adapter(folder: Path, base: str, model: Any, *, merge: bool) -> Any:
    """``model`` with the adapter in ``folder``, which is added to the weights if ``merge`` is true.

    ``base`` is what a person calls the checkpoint of ``model``.

    Raises:
        InvalidInput: the adapter does not fit the model; the message says where.
        EnvironmentProblem: PEFT is not installed.
    """
    require_package("an adapter", "peft", "hf")
    from peft import PeftModel, set_peft_model_state_dict

    fit = _Fit(folder, base)
    config = _config(folder)
    weights = _weights(folder, model)
    _name_modules(fit, config, model, weights)
    failure: Exception
    try:
        # PEFT warns of what is checked below, and of what a person cannot change.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrapped = PeftModel(model, config)
            result = set_peft_model_state_dict(wrapped, weights.tensors)
            _check_places(fit, wrapped, result)
            return wrapped.merge_and_unload() if merge else wrapped.get_base_model()
    except InvalidInput:
        raise
    except Exception as error:
        # Raised below: while the error is handled, its traceback would keep the weights alive.
        if is_out_of_memory(error):
            failure = out_of_memory(error, f"putting the adapter {folder.name} into the model")
        else:
            failure = gpu_failure(error) or fit.refusal(_reason(error))
    raise failure


class _Weights(NamedTuple):
    """The tensors of an adapter's file."""

    tensors: dict[str, Any]
    """By the names that transformers has today, behind ``_PREFIX``."""
    old_names: bool
    """Whether the file has the names from before transformers 4.52."""


class _Fit(NamedTuple):
    """An adapter and a base, for the messages that say that they do not fit."""

    folder: Path
    base: str

    def refusal(self, reason: str) -> InvalidInput:
        return InvalidInput(
            f"the adapter {self.folder} does not fit {one_line(self.base, 120)}: {reason}",
            hint="use it with the checkpoint that it was trained on",
        )

    def refusal_of(self, names: Iterable[str], one: str, many: str) -> InvalidInput:
        """``names`` are the weights or modules that ``one`` or ``many`` says something of."""
        ordered = sorted(names)
        counted = plural(len(ordered), one, many)
        return self.refusal(f"{counted}; the first is {one_line(ordered[0], 120)}")


def _config(folder: Path) -> Any:
    """PEFT's configuration of the adapter in ``folder``.

    Raises:
        InvalidInput: PEFT cannot use what the file says, or such adapters cannot be put into weights.
    """
    from peft import PeftConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

    path = folder / ADAPTER_CONFIG
    settings = dict(adapter_settings(folder))
    # PEFT ignores it in a file as well.
    settings.pop("runtime_config", None)
    kind = str(settings.get("peft_type", "LORA")).upper()
    tuners: Any = PEFT_TYPE_TO_TUNER_MAPPING
    tuner = tuners.get(kind)
    if kind not in PEFT_TYPE_TO_CONFIG_MAPPING or not hasattr(tuner, "merge_and_unload"):
        raise InvalidInput(
            f"{path}: adapters of the peft_type {one_line(kind, 40)} cannot be put into weights",
            hint="LoRA adapters and variants of LoRA can be used",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Untyped in PEFT.
            read: Any = PeftConfig.from_peft_type
            config = read(**{**settings, "peft_type": kind})
    except Exception as error:
        raise InvalidInput(f"{path} cannot be used: {_reason(error)}") from None
    config.inference_mode = True
    return config


def _weights(folder: Path, model: Any) -> _Weights:
    """What the adapter's file holds."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / ADAPTER_WEIGHTS
    try:
        stored = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidInput(
            f"{path} cannot be read: {one_line(str(error), 120)}", hint="copy the adapter again"
        ) from None
    bare = {name: name.removeprefix(_PREFIX) for name in stored}
    # Only this family's modules were called otherwise before.
    is_qwen = any(name == "model.visual" for name, _ in model.named_modules())
    current = {name: current_name(name) if is_qwen else name for name in bare.values()}
    return _Weights(
        {_PREFIX + current[bare[name]]: tensor for name, tensor in stored.items()},
        old_names=any(new != old for old, new in current.items()),
    )


def _name_modules(fit: _Fit, config: Any, model: Any, weights: _Weights) -> None:
    """Replace every pattern in ``config`` by the names of the modules that it means.

    Raises:
        InvalidInput: they are not the modules whose weights are in the adapter's file.
    """
    modules = [name for name, _ in model.named_modules() if name]
    patterns = f"the patterns in {fit.folder / ADAPTER_CONFIG}"
    with bounded(patterns, hint="write the names of the modules into target_modules"):
        try:
            if getattr(config, "modules_to_save", None):
                config.modules_to_save = _saved_modules(fit, config.modules_to_save, modules)
            if getattr(config, "target_modules", None):
                _name_targets(fit, config, model, modules, weights)
        except re.error as error:
            raise InvalidInput(
                f"{fit.folder / ADAPTER_CONFIG}: a pattern is not a regular expression: {error}"
            ) from None


def _saved_modules(fit: _Fit, names: Iterable[str], modules: Sequence[str]) -> list[str]:
    """The modules that the adapter replaces as a whole; PEFT takes each name for the end of a module's."""
    current = []
    for name in names:
        present = name if name in modules else current_name(name)
        if not any(module.endswith(present) for module in modules):
            raise fit.refusal(f"the model has no module {one_line(name, 80)} (modules_to_save)")
        current.append(present)
    return current


def _name_targets(
    fit: _Fit, config: Any, model: Any, modules: Sequence[str], weights: _Weights
) -> None:
    """Make ``config`` name the target modules one by one, each with its own rank and scale."""
    from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
    from peft.tuners.tuners_utils import _ExcludedModule, _maybe_include_all_linear_layers

    kind = config.peft_type
    _maybe_include_all_linear_layers(config, model)
    matches = PEFT_TYPE_TO_TUNER_MAPPING[kind]._check_target_module_exists
    trained = _trained_modules(weights.tensors, PEFT_TYPE_TO_PREFIX_MAPPING[kind])
    if unknown := trained - set(modules):
        raise fit.refusal_of(
            unknown,
            "module of the adapter is not in the model",
            "modules of the adapter are not in the model",
        )
    # Patterns were usually, but not always, written for the names that the file has.
    ways = [{m: m for m in modules}, {m: old_name(m) for m in modules}]
    if weights.old_names:
        ways.reverse()
    meant = []
    for names in ways:
        matching = {module: matches(config, name) for module, name in names.items()}
        meant.append(
            {m for m, match in matching.items() if match and not isinstance(match, _ExcludedModule)}
        )
    best = max((0, 1), key=lambda way: (meant[way] == trained, len(meant[way] & trained)))
    targets = meant[best]
    # Few kinds of adapters keep no weights under the names of modules.
    if trained and (stray := trained - targets):
        raise fit.refusal_of(
            stray,
            f"module has weights in {ADAPTER_WEIGHTS}, but {ADAPTER_CONFIG} does not name it",
            f"modules have weights in {ADAPTER_WEIGHTS}, but {ADAPTER_CONFIG} does not name them",
        )
    if trained and (lacking := targets - trained):
        raise fit.refusal_of(
            lacking,
            f"module is named in {ADAPTER_CONFIG}, but {ADAPTER_WEIGHTS} has no weights for it",
            f"modules are named in {ADAPTER_CONFIG}, but {ADAPTER_WEIGHTS} has no weights for them",
        )
    config.target_modules = targets
    for key in ("exclude_modules", "layers_to_transform", "layers_pattern"):
        if hasattr(config, key):
            setattr(config, key, None)
    if kind == "LORA":
        for key in ("rank_pattern", "alpha_pattern"):
            setattr(config, key, _by_module(getattr(config, key), ways[best], targets))


def _by_module(
    patterns: Mapping[str, Any] | None, names: Mapping[str, str], targets: Iterable[str]
) -> dict[str, Any]:
    """The values that ``patterns`` give to ``targets``, whose spelling ``names`` says, one by one."""
    from peft.utils.other import get_pattern_key

    values: dict[str, Any] = {}
    for module in sorted(targets):
        pattern = get_pattern_key(list(patterns or ()), names[module])
        if patterns and pattern in patterns:
            values[re.escape(module)] = patterns[pattern]
    return values


def _trained_modules(weights: Iterable[str], prefix: str) -> set[str]:
    """The modules of which the adapter's file holds weights; ``prefix`` begins the names of their parts."""
    modules = set()
    for name in weights:
        module, mark, _ = name.removeprefix(_PREFIX).partition(f".{prefix}")
        if mark:
            modules.add(module)
    return modules


def _check_places(fit: _Fit, wrapped: Any, result: Any) -> None:
    """Refuse an adapter of which PEFT left weights over, or would have needed more."""
    if result.unexpected_keys:
        raise fit.refusal_of(
            result.unexpected_keys,
            "weight of the adapter has no place in the model",
            "weights of the adapter have no place in the model",
        )
    # Of tied weights, such as new tokens of the embeddings and of the head, the file has one.
    parameters = dict(wrapped.named_parameters(remove_duplicate=False))
    missing = set(result.missing_keys)
    filled = {id(parameter) for name, parameter in parameters.items() if name not in missing}
    # PEFT lists the weights of the base too. A shared vector lies once in the file and in every layer here.
    lacking = [
        name
        for name in missing
        if ".default" in name
        and not any(part in name for part in _SHARED)
        and id(parameters.get(name)) not in filled
    ]
    if lacking:
        raise fit.refusal_of(
            lacking,
            f"weight is missing from {ADAPTER_WEIGHTS}",
            f"weights are missing from {ADAPTER_WEIGHTS}",
        )


def _reason(error: BaseException) -> str:
    """Why PEFT refused, without the names of Python's error classes."""
    if (shapes := _SHAPES.search(str(error))) is not None:
        name, stored, expected = shapes.groups()
        return (
            f"the weight {one_line(name.replace('.default', ''), 120)} has the shape [{stored}], "
            f"but {ADAPTER_CONFIG} and the model ask for [{expected}]"
        )
    if isinstance(error, KeyError):
        return f"{ADAPTER_WEIGHTS} lacks the weight {one_line(str(error.args[0]), 120)}"
    return reason(error)
