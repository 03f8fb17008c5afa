"""Backends: what turns a page group into outputs. A new backend is one file and one row here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from bench.errors import InvalidInput, did_you_mean

if TYPE_CHECKING:
    from bench.models.model import Model
    from bench.schema import ModelSpec

# Modules are named, not imported: torch is loaded only in the process that runs a torch model.
BACKENDS: dict[str, str] = {
    "qwen_vl": "bench.models.qwen_vl:QwenVL",
    "ocr": "bench.models.ocr:Ocr",
    "openai": "bench.models.openai:Endpoint",
    "fake": "bench.models.fake:Fake",
}
"""Backend name → ``module:Class``."""


def make_model(spec: ModelSpec) -> Model:
    """The model that ``spec`` describes, not loaded yet.

    Raises:
        InvalidInput: the backend is unknown.
    """
    if spec.backend not in BACKENDS:
        raise InvalidInput(
            f"model {spec.name!r} names the backend {spec.backend!r}, which does not exist",
            hint=did_you_mean(spec.backend, BACKENDS),
        )
    module, _, attribute = BACKENDS[spec.backend].partition(":")
    model: Model = getattr(importlib.import_module(module), attribute)(spec)
    return model
