"""The shape of a Qwen-VL model from its configuration alone: what memory and parameter counts follow from.

``architectures.toml`` holds the published configurations of the catalog's checkpoints, so that memory can
be planned before anything is downloaded; a local checkpoint's ``config.json`` is read by the same function.
Standard library only, no torch.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.models.checkpoints import read_json


class Vision(NamedTuple):
    """The vision tower."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    patch: int
    """Side of a patch in pixels."""
    frames: int
    """Frames of a patch; a page is repeated so often."""
    merge: int
    """Patches along a side that become one visual token."""
    channels: int
    out: int
    """Size of a visual token: the language model's hidden size."""
    positions: int
    """Learned position embeddings; only Qwen3-VL has some."""
    deepstack: int
    """Inner layers whose features go to the language model too; only Qwen3-VL has some."""

    @property
    def patch_values(self) -> int:
        """Numbers that one patch is, as the tower takes it."""
        return self.channels * self.frames * self.patch**2


class Linear(NamedTuple):
    """The weight of one linear layer."""

    rows: int
    columns: int

    @property
    def parameters(self) -> int:
        """How many numbers the weight holds; a bias is counted apart."""
        return self.rows * self.columns


class Architecture(NamedTuple):
    """A Qwen-VL model as its configuration describes it."""

    model_type: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    tied: bool
    """Whether input embeddings and output head are one matrix."""
    vision: Vision

    @property
    def factor(self) -> int:
        """Side of a visual token in pixels: 28, for Qwen3-VL 32."""
        return self.vision.patch * self.vision.merge

    @property
    def groups(self) -> int:
        """Query heads to a key/value head."""
        return self.heads // self.kv_heads

    def linears(self) -> tuple[Linear, ...]:
        """The language model's linear layers: those that a quantization packs."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        layer = (
            Linear(queries, self.hidden),
            Linear(keys, self.hidden),
            Linear(keys, self.hidden),
            Linear(self.hidden, queries),
            Linear(self.intermediate, self.hidden),
            Linear(self.intermediate, self.hidden),
            Linear(self.hidden, self.intermediate),
        )
        return layer * self.layers

    def parameters(self) -> int:
        """All of them, as transformers counts: shared embeddings once."""
        return sum(linear.parameters for linear in self.linears()) + self.unpacked()

    def unpacked(self) -> int:
        """Parameters outside ``linears``: embeddings, output head, biases, norms and the vision tower."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        # Qwen3 has norms of queries and keys where its forerunners have biases.
        attention = (
            2 * self.head_size
            if self.model_type == "qwen3_vl"
            else (self.heads + 2 * self.kv_heads) * self.head_size
        )
        norms = 2 * self.hidden
        return embeddings + self.layers * (attention + norms) + self.hidden + self._tower()

    def _tower(self) -> int:
        vision = self.vision
        size, inner, merged = vision.hidden, vision.intermediate, vision.hidden * vision.merge**2
        qwen2_5, qwen3 = self.model_type == "qwen2_5_vl", self.model_type == "qwen3_vl"
        # Qwen2.5-VL has norms without a bias and a gated MLP.
        norm = size if qwen2_5 else 2 * size
        mlp = 3 * size * inner + 2 * inner + size if qwen2_5 else 2 * size * inner + inner + size
        attention = 4 * size * size + 4 * size
        projection = merged * merged + merged + merged * vision.out + vision.out
        embedding = vision.patch_values * size + (size if qwen3 else 0)
        return (
            embedding
            + vision.positions * size
            + vision.layers * (2 * norm + attention + mlp)
            + norm
            + projection
            + vision.deepstack * (2 * merged + projection)
        )


class PixelBounds(NamedTuple):
    """Pixels of a page after resizing, as the checkpoint's own processor bounds them."""

    min_pixels: int
    max_pixels: int


TRANSFORMERS_BOUNDS = PixelBounds(56 * 56, 1280 * 28 * 28)
"""What transformers uses if a checkpoint's processor configuration says nothing."""


class Published(NamedTuple):
    """What a checkpoint's small files say."""

    architecture: Architecture
    bounds: PixelBounds


@functools.cache
def published() -> Mapping[str, Published]:
    """Every table of ``architectures.toml``, by name."""
    text = resources.files("bench.models").joinpath("architectures.toml").read_text("utf-8")
    return {
        name: Published(read_architecture(table, name), read_bounds(table["preprocessor"]))
        for name, table in tomllib.loads(text).items()
    }


def read_folder(folder: Path) -> Published:
    """What ``config.json`` and ``preprocessor_config.json`` in ``folder`` say.

    Raises:
        InvalidInput: a file cannot be read, or lacks what the shape follows from.
    """
    architecture = read_architecture(read_json(folder / "config.json"), str(folder))
    path = folder / "preprocessor_config.json"
    return Published(architecture, read_bounds(read_json(path) if path.is_file() else {}))


def read_architecture(config: Mapping[str, Any], where: str) -> Architecture:
    """The shape that ``config``, in the form of a ``config.json``, describes.

    Qwen2-VL and Qwen2.5-VL keep the language model's settings flat, Qwen3-VL under ``text_config``.

    Raises:
        InvalidInput: a setting is missing or no number.
    """
    text = config.get("text_config")
    text = {**config, **text} if isinstance(text, Mapping) else config
    vision = config.get("vision_config")
    try:
        if not isinstance(vision, Mapping):
            raise KeyError("vision_config")
        heads = int(text["num_attention_heads"])
        hidden = int(text["hidden_size"])
        return Architecture(
            model_type=str(config["model_type"]),
            layers=int(text["num_hidden_layers"]),
            hidden=hidden,
            intermediate=int(text["intermediate_size"]),
            heads=heads,
            kv_heads=int(text["num_key_value_heads"]),
            head_size=int(text.get("head_dim") or hidden // heads),
            vocabulary=int(text["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
            vision=_vision(vision),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{where}: the configuration lacks {error}") from None


def _vision(config: Mapping[str, Any]) -> Vision:
    # Qwen2-VL calls the tower's own size embed_dim, and hidden_size what the others call out_hidden_size.
    old = "embed_dim" in config
    hidden = int(config["embed_dim" if old else "hidden_size"])
    return Vision(
        layers=int(config["depth"]),
        hidden=hidden,
        intermediate=int(hidden * config["mlp_ratio"] if old else config["intermediate_size"]),
        heads=int(config["num_heads"]),
        patch=int(config["patch_size"]),
        frames=int(config.get("temporal_patch_size", 2)),
        merge=int(config.get("spatial_merge_size", 2)),
        channels=int(config.get("in_channels", config.get("in_chans", 3))),
        out=int(config["hidden_size" if old else "out_hidden_size"]),
        positions=int(config.get("num_position_embeddings", 0)),
        deepstack=len(config.get("deepstack_visual_indexes", ())),
    )


def read_bounds(settings: Mapping[str, Any]) -> PixelBounds:
    """The bounds in a ``preprocessor_config.json``, in whichever of its spellings."""
    nested = settings.get("size")
    size = nested if isinstance(nested, Mapping) else {}

    def first(*values: Any) -> int:
        return int(next(value for value in values if value is not None))

    default = TRANSFORMERS_BOUNDS
    return PixelBounds(
        first(
            settings.get("min_pixels"),
            size.get("shortest_edge"),
            size.get("min_pixels"),
            default.min_pixels,
        ),
        first(
            settings.get("max_pixels"),
            size.get("longest_edge"),
            size.get("max_pixels"),
            default.max_pixels,
        ),
    )
