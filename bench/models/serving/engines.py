"""The engines that can be started as a server, and how each of them is told what a model is to be like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from bench.models.serving.settings import ServingSettings
from bench.schema import ModelSpec

DTYPES: Mapping[str, str] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""Our names of number formats → those of the engines."""

QUANTIZED_AT_LOAD: Mapping[str, str] = {"nf4": "bitsandbytes"}
"""Quantizations that an engine makes while it loads a checkpoint. Those that a checkpoint comes with stand in
the checkpoint's configuration, where the engine finds them."""


@dataclass(frozen=True, slots=True)
class ServerEngine:
    """One row of ``ENGINES``; the flags are those of its command line."""

    package: str
    """The package that its interpreter must have; its variable is ``BENCH_<PACKAGE>_PYTHON``."""
    start: tuple[str, ...]
    """What follows the interpreter."""
    executable: tuple[str, ...] | None
    """The same with the engine's own program, where it has one."""
    checkpoint: tuple[str, ...]
    """What stands in front of the checkpoint's name."""
    served_name: str
    context: str
    gpu_share: str
    """The share of the GPU's memory that the server takes."""
    pixel_bounds: str
    """Takes JSON."""
    bounds_key: str | None
    """Key of the pixel bounds in this JSON; None where they are all of it."""
    prefix_caching: Mapping[bool, tuple[str, ...]]
    always: tuple[str, ...]
    """So that the server tells image tokens, cached tokens and its counters, and logs no single request."""
    prefix_counters: tuple[str, str] | None
    """Its counters of prompt tokens and of those that were in the prefix cache, in ``/metrics``."""


ENGINES: Mapping[str, ServerEngine] = {
    "vllm": ServerEngine(
        package="vllm",
        start=("-m", "vllm.entrypoints.cli.main", "serve"),
        executable=("vllm", "serve"),
        checkpoint=(),
        served_name="--served-model-name",
        context="--max-model-len",
        gpu_share="--gpu-memory-utilization",
        pixel_bounds="--mm-processor-kwargs",
        bounds_key=None,
        prefix_caching={True: ("--enable-prefix-caching",), False: ("--no-enable-prefix-caching",)},
        always=(
            "--enable-prompt-tokens-details",
            "--logprobs-mode",
            "raw_logprobs",
            "--disable-uvicorn-access-log",
        ),
        prefix_counters=("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"),
    ),
    "sglang": ServerEngine(
        package="sglang",
        start=("-m", "sglang.launch_server"),
        executable=None,
        checkpoint=("--model-path",),
        served_name="--served-model-name",
        context="--context-length",
        gpu_share="--mem-fraction-static",
        pixel_bounds="--mm-process-config",
        bounds_key="image",
        prefix_caching={True: (), False: ("--disable-radix-cache",)},
        always=("--enable-metrics", "--enable-cache-report"),
        prefix_counters=None,
    ),
}
"""Name of an engine, which is that of its backend → how it is started."""


def server_flags(
    spec: ModelSpec,
    settings: ServingSettings,
    bounds: Mapping[str, int],
    *,
    on_gpu: bool,
    port: int,
) -> list[str]:
    """What follows the engine's own words on the command line.

    Args:
        spec: the model.
        settings: its options.
        bounds: ``min_pixels`` and ``max_pixels``, where the model's image processor knows them.
        on_gpu: whether it runs on a GPU.
        port: on the loopback address.
    """
    engine = ENGINES[spec.backend]
    flags = [*engine.checkpoint, str(spec.checkpoint), engine.served_name, spec.name]
    flags += ["--host", "127.0.0.1", "--port", str(port)]
    flags += ["--dtype", dtype_flag(spec, on_gpu=on_gpu)]
    if spec.revision is not None:
        flags += ["--revision", spec.revision]
    if (method := QUANTIZED_AT_LOAD.get(spec.quantization or "")) is not None:
        flags += ["--quantization", method]
    if settings.context is not None:
        flags += [engine.context, str(settings.context)]
    if settings.gpu_share is not None:
        flags += [engine.gpu_share, str(settings.gpu_share)]
    if bounds:
        value = {engine.bounds_key: dict(bounds)} if engine.bounds_key else dict(bounds)
        flags += [engine.pixel_bounds, json.dumps(value)]
    return [
        *flags,
        *engine.prefix_caching[settings.prefix_caching],
        *engine.always,
        *settings.arguments,
    ]


def dtype_flag(spec: ModelSpec, *, on_gpu: bool) -> str:
    """The number format in the engine's words; ``auto`` is bf16 on a GPU and fp32 on a CPU, as everywhere."""
    if spec.dtype != "auto":
        return DTYPES[spec.dtype]
    if not on_gpu:
        return "float32"
    # Kernels of quantized checkpoints want the number format that the checkpoint names.
    return "auto" if spec.quantization is not None else "bfloat16"
