"""How large a model is: its memory, what is still to be downloaded, and its shape, before it is loaded."""

from __future__ import annotations

from pathlib import Path

from bench.models.architectures import SHAPED_TYPES, Published, published, read_folder
from bench.models.backends import traits_of
from bench.models.catalog import catalog, entry_of
from bench.models.checkpoints import cached_snapshot, read_checkpoint, read_json
from bench.models.settings import LOADED_QUANTIZED
from bench.schema import ModelSpec

MEMORY_MARGIN_BYTES = 2 * 1024**3
"""Added to the weights: CUDA context, the vision tower's activations on one large page, and the keys
and values of a small batch. An estimate, not a measurement; it grows with pages and batch size."""


def expected_memory(spec: ModelSpec) -> int | None:
    """Bytes of device memory that the model will need: weights and ``MEMORY_MARGIN_BYTES``.

    None if it is not known: for a hub id outside the catalog, a backend without weights, or a server, which
    takes a share of the device's memory when it starts.
    """
    weights = expected_weights(spec) if traits_of(spec).runs_in == "process" else None
    return None if weights is None else weights + MEMORY_MARGIN_BYTES


def download_size(spec: ModelSpec) -> int | None:
    """Bytes still to be downloaded before the model can be loaded: 0 if its files are here.

    None if it is not known, for a hub id outside the catalog.
    """
    if spec.checkpoint is None or is_local(spec):
        return 0
    # A checkpoint that is quantized while it is loaded is downloaded in full.
    loaded_as_stored = None if spec.quantization in LOADED_QUANTIZED else spec.quantization
    entry = entry_of(spec.checkpoint, loaded_as_stored)
    return None if entry is None else entry.weight_bytes


def is_local(spec: ModelSpec) -> bool:
    """Whether the model's weights are on this machine (or it needs none here)."""
    if spec.checkpoint is None or not _held_here(spec):
        return True
    if Path(spec.checkpoint).is_dir():
        return True
    snapshot = cached_snapshot(spec.checkpoint, spec.revision)
    return snapshot is not None and any(snapshot.glob("*.safetensors"))


def published_shape(spec: ModelSpec) -> Published | None:
    """The model's shape and its checkpoint's pixel bounds, from files or the catalog.

    None if it is not known: for a hub id outside the catalog that is not on this machine, a family whose
    shape nothing here computes, or a backend without weights.

    Raises:
        InvalidInput: a local configuration cannot be read.
    """
    if spec.checkpoint is None:
        return None
    if (folder := local_folder(spec)) is not None:
        # Of other families, nothing here knows how the shape follows from the configuration.
        model_type = read_json(folder / "config.json").get("model_type")
        return read_folder(folder) if model_type in SHAPED_TYPES else None
    hub_id = spec.checkpoint.lower()
    for row in catalog().values():
        if row.architecture is not None and (row.checkpoint or "").lower() == hub_id:
            return published()[row.architecture]
    return None


def local_folder(spec: ModelSpec) -> Path | None:
    """The folder that holds the checkpoint's configuration on this machine, if there is one."""
    if spec.checkpoint is None or not _held_here(spec):
        return None
    folder = Path(spec.checkpoint)
    if folder.is_dir():
        return folder
    snapshot = cached_snapshot(spec.checkpoint, spec.revision)
    return snapshot if snapshot is not None and (snapshot / "config.json").is_file() else None


def expected_weights(spec: ModelSpec) -> int | None:
    """Bytes of the weights as ``spec`` has them loaded; None if it is not known, or the model has none."""
    if spec.checkpoint is None or not _held_here(spec):
        return None
    # Weights that are not quantized take four bytes each in fp32, which auto means on a CPU, else two.
    in_fp32 = spec.dtype == "fp32" or (spec.dtype == "auto" and spec.device == "cpu")
    bytes_each = 4 if in_fp32 else 2
    folder = Path(spec.checkpoint)
    if folder.is_dir():
        stored = read_checkpoint(folder)
        if spec.quantization is not None:
            # Quantized while loading: an upper bound, because the file says nothing of the packing.
            return stored.weight_bytes
        return stored.weight_bytes * bytes_each // stored.bytes_per_parameter
    entry = entry_of(spec.checkpoint, spec.quantization)
    if entry is None or entry.weight_bytes is None:
        return None
    if spec.quantization is not None:
        return entry.weight_bytes
    # The catalog counts 16 bits a weight.
    return entry.weight_bytes * bytes_each // 2


def _held_here(spec: ModelSpec) -> bool:
    """Whether this machine's memory holds weights of the model."""
    return traits_of(spec).memory is not None
