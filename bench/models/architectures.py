"""The shape of a Qwen-VL model from its configuration alone: what memory and parameter counts follow from.

``architectures.toml`` holds the published configurations of the catalog's checkpoints, so that memory can
be planned before anything is downloaded; a local checkpoint's ``config.json`` is read by the same function.
Standard library only, no torch.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.models.checkpoints import check_type, read_json
from bench.text import one_line

SHAPED_TYPES = frozenset({"qwen2_vl", "qwen2_5_vl", "qwen3_vl"})
"""Values of ``model_type`` whose shape the functions below read from a configuration."""


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
        name: Published(read_architecture(table, name), read_bounds(table["preprocessor"], name))
        for name, table in tomllib.loads(text).items()
    }


def read_folder(folder: Path) -> Published:
    """What ``config.json`` and ``preprocessor_config.json`` in ``folder`` say.

    Raises:
        InvalidInput: a file cannot be read, or lacks what the shape follows from.
    """
    path = folder / "config.json"
    architecture = read_architecture(read_json(path), str(path))
    path = folder / "preprocessor_config.json"
    return Published(
        architecture, read_bounds(read_preprocessor(path) if path.is_file() else {}, path)
    )


def read_preprocessor(path: Path) -> Mapping[str, Any]:
    """The ``preprocessor_config.json`` in ``path``, the types of its values checked.

    Raises:
        InvalidInput: the file cannot be read, or a value is not usable.
    """
    settings = read_json(path)
    for key in ("patch_size", "merge_size", "temporal_patch_size"):
        if settings.get(key) is not None:
            _whole(settings, key, str(path), most=_MOST["patch_size"])
    for key in ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb"):
        check_type(path, settings, key, bool)
    check_type(path, settings, "rescale_factor", int, float)
    check_type(path, settings, "size", dict)
    for key in ("image_mean", "image_std"):
        check_type(path, settings, key, list, null=key not in settings)
        values = settings.get(key)
        numbers = [value for value in values or () if type(value) in {int, float}]
        usable = all(math.isfinite(number) for number in numbers)
        usable = usable and (key == "image_mean" or 0 not in numbers)
        if values is not None and (len(values) != 3 or len(numbers) != 3 or not usable):
            raise InvalidInput(
                f"{path}: {key} should be three numbers, one a colour, but it is {one_line(values, 60)}",
                hint="copy it from the base checkpoint",
            )
    return settings


def read_architecture(config: Mapping[str, Any], where: str) -> Architecture:
    """The shape that ``config``, in the form of a ``config.json``, describes.

    Qwen2-VL and Qwen2.5-VL keep the language model's settings flat, Qwen3-VL under ``text_config``.

    Raises:
        InvalidInput: a setting is missing or no number.
    """
    text = config.get("text_config")
    text = {**config, **text} if isinstance(text, Mapping) else config
    vision = config.get("vision_config")
    if not isinstance(vision, Mapping):
        raise InvalidInput(f"{where}: vision_config should be an object")

    def number(key: str) -> int:
        return _whole(text, key, where)

    heads, hidden, kv_heads = (
        number("num_attention_heads"),
        number("hidden_size"),
        number("num_key_value_heads"),
    )
    if heads % kv_heads:
        raise InvalidInput(
            f"{where}: num_attention_heads ({heads}) should be a multiple of num_key_value_heads ({kv_heads})"
        )
    return Architecture(
        model_type=str(config.get("model_type")),
        layers=number("num_hidden_layers"),
        hidden=hidden,
        intermediate=number("intermediate_size"),
        heads=heads,
        kv_heads=kv_heads,
        head_size=number("head_dim") if text.get("head_dim") else max(1, hidden // heads),
        vocabulary=number("vocab_size"),
        tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        vision=_vision(vision, f"{where}: vision_config"),
    )


_MOST: Mapping[str, int] = {
    "num_hidden_layers": 1000,
    "depth": 1000,
    "patch_size": 1024,
    "spatial_merge_size": 64,
    "temporal_patch_size": 64,
    "in_channels": 64,
    "in_chans": 64,
    "vocab_size": 10**8,
}
"""The largest value of a setting that is believed; ten times that of any model, or more."""
_MOST_OF_OTHERS = 10**6


def _whole(
    config: Mapping[str, Any], key: str, where: str, *, least: int = 1, most: int | None = None
) -> int:
    """The whole number ``key`` of ``config``, within bounds.

    Raises:
        InvalidInput: it is missing, something else, or out of bounds; ``where`` begins the message.
    """
    value = config.get(key)
    most = _MOST.get(key, _MOST_OF_OTHERS) if most is None else most
    if value is None:
        raise InvalidInput(
            f"{where} lacks {key}", hint="copy the file from where the checkpoint comes from"
        )
    if type(value) is not int or not least <= value <= most:
        raise InvalidInput(
            f"{where}: {key} should be a whole number from {least} to {most}, "
            f"but it is {one_line(repr(value), 60)}",
            hint="copy the file from where the checkpoint comes from",
        )
    return value


def _vision(config: Mapping[str, Any], where: str) -> Vision:
    # Qwen2-VL calls the tower's own size embed_dim, and hidden_size what the others call out_hidden_size.
    old = "embed_dim" in config
    # What transformers assumes where a configuration says nothing.
    config = {"temporal_patch_size": 2, "spatial_merge_size": 2, **config}
    channels = "in_channels" if "in_channels" in config else "in_chans"
    layers = config.get("deepstack_visual_indexes") or ()
    if not isinstance(layers, (list, tuple)) or any(type(layer) is not int for layer in layers):
        raise InvalidInput(f"{where}: deepstack_visual_indexes should be a list of whole numbers")
    ratio: Any = config.get("mlp_ratio")
    if old and (type(ratio) not in {int, float} or not 0 < ratio <= 1000):
        raise InvalidInput(
            f"{where}: mlp_ratio should be a number above 0, but it is {one_line(repr(ratio), 60)}"
        )

    def number(key: str, least: int = 1) -> int:
        return _whole(config, key, where, least=least)

    hidden, heads = number("embed_dim" if old else "hidden_size"), number("num_heads")
    if hidden % heads:
        raise InvalidInput(
            f"{where}: num_heads ({heads}) should divide the tower's size ({hidden})",
            hint="copy the file from where the checkpoint comes from",
        )
    return Vision(
        layers=number("depth"),
        hidden=hidden,
        intermediate=int(hidden * ratio) if old else number("intermediate_size"),
        heads=heads,
        patch=number("patch_size"),
        frames=number("temporal_patch_size"),
        merge=number("spatial_merge_size"),
        channels=number(channels) if channels in config else 3,
        out=number("hidden_size" if old else "out_hidden_size"),
        positions=number("num_position_embeddings", 0)
        if "num_position_embeddings" in config
        else 0,
        deepstack=len(layers),
    )


def read_bounds(
    settings: Mapping[str, Any], where: Path | str = "preprocessor_config.json"
) -> PixelBounds:
    """The bounds in the ``preprocessor_config.json`` that ``where`` names, in whichever of its spellings.

    Raises:
        InvalidInput: a bound is no whole number.
    """
    nested = settings.get("size")
    size = nested if isinstance(nested, Mapping) else {}

    def first(default: int, *places: tuple[Mapping[str, Any], str]) -> int:
        for values, key in places:
            if values.get(key) is not None:
                return _whole(values, key, str(where), most=10**12)
        return default

    low = first(
        TRANSFORMERS_BOUNDS.min_pixels,
        (settings, "min_pixels"),
        (size, "shortest_edge"),
        (size, "min_pixels"),
    )
    high = first(
        TRANSFORMERS_BOUNDS.max_pixels,
        (settings, "max_pixels"),
        (size, "longest_edge"),
        (size, "max_pixels"),
    )
    return PixelBounds(low, high)
