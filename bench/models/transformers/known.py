"""Which types of checkpoints the installed transformers can load as a model of images and text.

Read from its source without importing it: the import takes seconds and brings torch, and a checkpoint that
cannot be loaded should be refused before a process is started for it.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

_TABLES = Path("models", "auto", "modeling_auto.py")
_IMAGES_AND_TEXT = "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES"
"""The table of ``AutoModelForImageTextToText``."""


@functools.cache
def loadable_types() -> frozenset[str]:
    """Values of ``model_type`` that ``AutoModelForImageTextToText`` maps; empty without transformers."""
    package = importlib.util.find_spec("transformers")
    if package is None or package.origin is None:
        return frozenset()
    source = Path(package.origin).parent / _TABLES
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if _IMAGES_AND_TEXT in names:
                return frozenset(_keys(node.value))
    return frozenset()


def _keys(table: ast.expr) -> set[str]:
    """The first words of the pairs in ``OrderedDict([(key, value), …])``, or the keys of a dict."""
    keys: set[str] = set()
    for node in ast.walk(table):
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.Tuple) and node.elts:
            parts = [node.elts[0]]
        elif isinstance(node, ast.Dict):
            parts = list(node.keys)
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                keys.add(part.value)
    return keys
