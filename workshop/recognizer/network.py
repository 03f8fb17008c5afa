"""The network of a recogniser: an ONNX graph of PP-OCR, computed by torch so that it can learn.

The graph is RapidOCR's own recogniser. Its last layer knows 18,710 signs; a smaller one takes its place.
Only the operators that this graph uses are known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

_LAST_WEIGHT = "linear_8.w_0"
_LAST_BIAS = "linear_8.b_0"
_LEAST_WEIGHTS = 65
"""Constants with fewer numbers than this (shapes, axes, factors) are not weights."""


class Network(nn.Module):
    """A graph whose weights are parameters, of which those above a cut learn."""

    def __init__(self, path: Path, characters: Sequence[str], cut: str) -> None:
        """Read the graph of RapidOCR's recogniser, to learn from the tensor ``cut`` on."""
        super().__init__()
        self.model = onnx.load(path)
        self.constants: dict[str, Tensor] = {}
        self.weights = nn.ParameterDict()
        for initializer in self.model.graph.initializer:
            value = torch.from_numpy(numpy_helper.to_array(initializer).copy())
            if value.is_floating_point() and value.numel() >= _LEAST_WEIGHTS:
                self.weights[_key(initializer.name)] = nn.Parameter(value.float())
            else:
                self.constants[initializer.name] = value
        self.characters = tuple(characters)
        self._replace_last_layer()
        nodes = [
            (node.op_type, tuple(node.input), node.output[0], _attributes(node))
            for node in self.model.graph.node
        ]
        assert nodes[-1][0] == "Softmax"
        self.result = nodes[-1][1][0]
        place = next(i for i, node in enumerate(nodes) if node[2] == cut)
        self.cut = cut
        self.nodes = _fused(nodes[place + 1 : -1])

    def _replace_last_layer(self) -> None:
        """Keep the columns of known signs; a new sign starts from a letter of like shape, or from nothing."""
        known = {sign: number for number, sign in enumerate(_signs(self.model))}
        weight = self.weights[_key(_LAST_WEIGHT)].detach()
        bias = self.weights[_key(_LAST_BIAS)].detach()
        wanted = output_signs(self.characters)
        new_weight = torch.randn(weight.shape[0], len(wanted)) * weight.std() * 0.2
        new_bias = torch.full((len(wanted),), float(bias.median()))
        for number, sign in enumerate(wanted):
            source = known.get(sign, known.get(_LIKE.get(sign, "")))
            if source is not None:
                factor = 1.0 if sign in known else 0.7
                new_weight[:, number] = factor * weight[:, source]
                new_bias[number] = bias[source]
        self.weights[_key(_LAST_WEIGHT)] = nn.Parameter(new_weight)
        self.weights[_key(_LAST_BIAS)] = nn.Parameter(new_bias)

    def weights_above(self, cut: str) -> list[nn.Parameter]:
        """The weights between the tensor ``cut``, which is not below this network's cut, and the logits."""
        outputs = [node[2] for node in self.nodes]
        start = 0 if cut == self.cut else outputs.index(cut) + 1
        used = {_key(name) for _, inputs, _, _ in self.nodes[start:] for name in inputs}
        return [weight for key, weight in self.weights.items() if key in used]

    def upper(self, seen: Tensor) -> Tensor:
        """Logits (n, width / 8, signs) from the tensor at the cut."""
        values: dict[str, Any] = {self.cut: seen, **self.constants}
        for key in self.weights:
            values[_name(key)] = self.weights[key]
        for operator, inputs, output, attributes in self.nodes:
            arguments = [values[name] for name in inputs]
            values[output] = OPERATORS[operator](arguments, attributes)
        logits: Tensor = values[self.result]
        return logits

    def save(self, path: Path, notes: dict[str, str]) -> None:
        """Write the network as ONNX; weights lie there as float16 and are computed with as float32."""
        graph = self.model.graph
        saved = onnx.ModelProto()
        saved.CopyFrom(self.model)
        casts = []
        kept = []
        for initializer in graph.initializer:
            key = _key(initializer.name)
            if key not in self.weights:
                kept.append(initializer)
                continue
            array = self.weights[key].detach().numpy()
            if array.size < 1024:
                kept.append(numpy_helper.from_array(array, initializer.name))
                continue
            half = f"{initializer.name}.half"
            kept.append(numpy_helper.from_array(array.astype(np.float16), half))
            casts.append(helper.make_node("Cast", [half], [initializer.name], to=1))
        nodes = [*casts, *graph.node]
        del saved.graph.initializer[:], saved.graph.node[:], saved.graph.value_info[:]
        saved.graph.initializer.extend(kept)
        saved.graph.node.extend(nodes)
        saved.graph.output[0].type.tensor_type.shape.dim[-1].ClearField("dim_value")
        saved.graph.output[0].type.tensor_type.shape.dim[-1].dim_value = len(
            output_signs(self.characters)
        )
        del saved.metadata_props[:]
        for name, text in {"character": "\n".join(self.characters), **notes}.items():
            saved.metadata_props.add(key=name, value=text)
        onnx.checker.check_model(saved)
        onnx.save(saved, path)


Node = tuple[str, tuple[str, ...], str, dict[str, Any]]


def _fused(nodes: list[Node]) -> list[Node]:
    """``nodes`` with the five that write out a GELU (divide, erf, add, multiply twice) as one: faster."""
    fused: list[Node] = []
    for node in nodes:
        names = [previous[0] for previous in fused[-4:]]
        if node[0] == "Mul" and names == ["Div", "Erf", "Add", "Mul"]:
            division = fused[-4]
            del fused[-4:]
            fused.append(("Gelu", division[1][:1], node[2], {}))
        else:
            fused.append(node)
    return fused


def output_signs(characters: Sequence[str]) -> list[str]:
    """The signs of a recogniser's outputs in RapidOCR's order: nothing (blank), characters, the space."""
    return ["blank", *characters, " "]


def _signs(model: onnx.ModelProto) -> list[str]:
    [text] = [entry.value for entry in model.metadata_props if entry.key == "character"]
    return output_signs(text.splitlines())


_LIKE = dict(
    zip(
        "АВЕКМНОРСТУХЗЁІЇаеорсухёіїпитгьбЯИЙийз",
        "ABEKMHOPCTYX3ËIÏaeopcyxëiïnumrb6RNŇuŭ3",
        strict=True,
    )
)
"""Cyrillic letter → a sign of like shape that RapidOCR's recogniser knows."""


def _key(name: str) -> str:
    return name.replace(".", "|")


def _name(key: str) -> str:
    return key.replace("|", ".")


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}


def _same(pixels: Tensor, attributes: dict[str, Any], fill: float) -> Tensor:
    """Pad below and to the right for a kernel of 2 × 2 (SAME_UPPER)."""
    if attributes.get("auto_pad") != b"SAME_UPPER":
        return pixels
    assert attributes["kernel_shape"] == [2, 2] and attributes["strides"] == [1, 1]
    return functional.pad(pixels, (0, 1, 0, 1), value=fill)


def _convolution(arguments: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    pixels = _same(arguments[0], attributes, 0.0)
    pads = attributes.get("pads", [0, 0, 0, 0])
    assert pads[:2] == pads[2:]
    bias = arguments[2] if len(arguments) > 2 else None
    return functional.conv2d(
        pixels,
        arguments[1],
        bias,
        attributes["strides"],
        pads[:2],
        attributes["dilations"],
        attributes["group"],
    )


def _slice(arguments: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    value, starts, ends = arguments[:3]
    axes = arguments[3].tolist() if len(arguments) > 3 else range(len(starts))
    for axis, start, end in zip(axes, starts.tolist(), ends.tolist(), strict=True):
        size = value.shape[axis]
        start, end = (min(size, point + size if point < 0 else point) for point in (start, end))
        value = value.narrow(axis, start, end - start)
    return value


def _reshape(arguments: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    value, shape = arguments
    sizes = [value.shape[i] if size == 0 else size for i, size in enumerate(shape.tolist())]
    return value.reshape(sizes)


def _squeeze(arguments: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    value = arguments[0]
    for axis in sorted(attributes["axes"], reverse=True):
        value = value.squeeze(axis)
    return value


def _unsqueeze(arguments: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    value = arguments[0]
    for axis in sorted(attributes["axes"]):
        value = value.unsqueeze(axis)
    return value


def _normalized(arguments: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    value, scale, shift, mean, variance = arguments
    epsilon = attributes.get("epsilon", 1e-5)
    # The statistics of its first training stay.
    return functional.batch_norm(value, mean.detach(), variance.detach(), scale, shift, eps=epsilon)


def _max_pool(arguments: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    pixels = _same(arguments[0], attributes, float("-inf"))
    return functional.max_pool2d(pixels, attributes["kernel_shape"], attributes["strides"])


def _average_pool(arguments: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    assert not any(attributes.get("pads", [0]))
    return functional.avg_pool2d(arguments[0], attributes["kernel_shape"], attributes["strides"])


Operator = Callable[[list[Tensor], dict[str, Any]], Tensor]
OPERATORS: dict[str, Operator] = {
    "Add": lambda a, _: a[0] + a[1],
    "AveragePool": _average_pool,
    "BatchNormalization": _normalized,
    "Concat": lambda a, k: torch.cat(a, k["axis"]),
    "Conv": _convolution,
    "Div": lambda a, _: a[0] / a[1],
    "Erf": lambda a, _: torch.erf(a[0]),
    "Gelu": lambda a, _: functional.gelu(a[0]),
    "HardSigmoid": lambda a, k: (a[0] * k["alpha"] + k["beta"]).clamp(0, 1),
    "Identity": lambda a, _: a[0],
    "MatMul": lambda a, _: a[0] @ a[1],
    "MaxPool": _max_pool,
    "Mul": lambda a, _: a[0] * a[1],
    "Pow": lambda a, _: a[0] ** a[1],
    "ReduceMean": lambda a, k: a[0].mean(k["axes"], bool(k.get("keepdims", 1))),
    "Relu": lambda a, _: torch.relu(a[0]),
    "Reshape": _reshape,
    "Shape": lambda a, _: torch.tensor(a[0].shape),
    "Sigmoid": lambda a, _: torch.sigmoid(a[0]),
    "Slice": _slice,
    "Softmax": lambda a, k: torch.softmax(a[0], k["axis"]),
    "Sqrt": lambda a, _: torch.sqrt(a[0]),
    "Squeeze": _squeeze,
    "Sub": lambda a, _: a[0] - a[1],
    "Transpose": lambda a, k: a[0].permute(k["perm"]),
    "Unsqueeze": _unsqueeze,
}
"""What each operator of the graph computes from its inputs and attributes."""
