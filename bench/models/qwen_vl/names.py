"""What the modules of a Qwen-VL model are called: today, and before transformers 4.52.

The hub's weight files, old adapters, and the skip lists of quantized checkpoints have the old names.
"""

from __future__ import annotations

import re

_OLD_NAMES = (
    (re.compile(r"^model\.(?!language_model\.|visual\.)"), "model.language_model."),
    (re.compile(r"^visual(?=\.|$)"), "model.visual"),
)


def current_name(name: str) -> str:
    """The name that transformers has today for the module or weight ``name``."""
    for pattern, replacement in _OLD_NAMES:
        name = pattern.sub(replacement, name)
    return name


def old_name(name: str) -> str:
    """The name that a module had before transformers 4.52."""
    return name.replace("model.language_model.", "model.", 1).replace("model.visual", "visual", 1)
