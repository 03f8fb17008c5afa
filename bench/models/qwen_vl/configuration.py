"""A checkpoint's ``config.json`` as transformers' own configuration, checked before it is believed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.models.architectures import read_folder
from bench.models.checkpoints import read_checkpoint, stored_weights
from bench.models.qwen_vl.failures import reason
from bench.text import one_line

_USUAL_HEAD = 128
"""Size of an attention head that transformers' own sections fill."""
_MORE_THAN_STORED = 2
"""Times the stored numbers that a model may have: input and output embeddings may be stored once."""
_PACKED_IN_ONE = 16
"""The same where the weights are packed: a word of 32 bits holds at most 16 of them."""


def read_configuration(folder: Path, files: Path) -> Any:
    """What transformers makes of the ``config.json`` in ``files``.

    ``folder`` is what a person calls ``files``, which ``readable`` may have copied.

    Raises:
        InvalidInput: transformers cannot use it, or it describes a much larger model than the weights are.
    """
    import transformers

    path = folder / "config.json"
    _check_size(folder)
    try:
        config = transformers.AutoConfig.from_pretrained(
            files, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        said = reason(error).replace(str(files), str(folder))
        if (field := _FIELD.search(said)) is not None:
            said = f"transformers does not accept the value of {field[1]}"
        raise InvalidInput(
            f"{path} cannot be used: {said}",
            hint="copy config.json from where the checkpoint comes from",
        ) from None
    _check_positions(path, config.get_text_config())
    return config


# How its checks of types begin; what follows is written in the words of Python.
_FIELD = re.compile(r"Validation error for field '(\w+)'")


def _check_positions(path: Path, text: Any) -> None:
    """Refuse sections of the rotary embedding (time, height, width) that do not fill an attention head."""
    settings = getattr(text, "rope_parameters", None) or {}
    section = settings.get("mrope_section") if isinstance(settings, dict) else None
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    if section is None and head == _USUAL_HEAD:
        return
    numbers = [part for part in section if type(part) is int] if isinstance(section, list) else []
    if len(numbers) != 3 or min(numbers) < 0 or 2 * sum(numbers) != head or numbers != section:
        raise InvalidInput(
            f"{path}: mrope_section should be three whole numbers whose sum is {head // 2}, half of the size "
            f"of an attention head, but it is {one_line(repr(section), 60)}",
            hint="copy config.json from where the checkpoint comes from",
        )


def _check_size(folder: Path) -> None:
    """Refuse sizes that the weights do not have: memory for them would be reserved before that is seen."""
    described = read_folder(folder).architecture.parameters()
    stored = sum(weight.parameters for weight in stored_weights(folder))
    packed = read_checkpoint(folder).quantization is not None
    if described > stored * (_PACKED_IN_ONE if packed else _MORE_THAN_STORED):
        raise InvalidInput(
            f"{folder / 'config.json'} describes a model of {described} parameters, but the weight files "
            f"hold {stored} numbers",
            hint="check that config.json belongs to these weights, or download them again",
        )
