"""The workshop of the recogniser: lines, and the network that torch and onnxruntime compute alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import ImageFont

from bench.synth.fonts import FACES
from workshop.recognizer import lines as drawing
from workshop.recognizer.fonts import Face
from workshop.recognizer.lines import Lines
from workshop.recognizer.network import Network, output_signs
from workshop.recognizer.texts import CHARACTERS, Texts
from workshop.recognizer.train import BASE, CUTS, LineBatch, loss_of


@pytest.fixture(autouse=True)
def _one_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shipped face, whatever this machine has."""
    face = Face(FACES["serif"], frozenset(CHARACTERS), 1.0)
    monkeypatch.setattr(drawing, "faces", lambda held_out: (face,))


def test_lines_are_as_high_as_rapidocr_feeds_them_and_the_seed_decides_them() -> None:
    first, again, other = (Lines(seed, scanned=1.0) for seed in (7, 7, 8))
    a, b, c = ([source.draw() for _ in range(12)] for source in (first, again, other))
    assert all(line.pixels.shape[0] == drawing.HEIGHT and line.pixels.shape[2] == 3 for line in a)
    assert [line.text for line in a] == [line.text for line in b] != [line.text for line in c]
    assert all(np.array_equal(x.pixels, y.pixels) for x, y in zip(a, b, strict=True))


def test_texts_hold_no_sign_that_the_recogniser_lacks_and_each_that_it_has() -> None:
    texts = Texts(3)
    seen = set("".join(texts.draw() for _ in range(6000)))
    assert seen == {*CHARACTERS, " "}


def test_a_clean_line_shows_its_text() -> None:
    line = Lines(5, scanned=0.0).draw()
    assert ImageFont.truetype(FACES["serif"], 20).getlength(line.text) > 0
    assert np.ptp(line.pixels) > 60


def test_torch_computes_what_onnxruntime_does_and_the_written_file_too(tmp_path: Path) -> None:
    cut = CUTS["stage"]
    onnx.utils.extract_model(BASE, tmp_path / "lower.onnx", ["x"], [cut])
    pixels = np.random.default_rng(1).normal(0, 0.5, (2, 3, 48, 160)).astype(np.float32)
    [seen] = onnxruntime.InferenceSession(tmp_path / "lower.onnx").run([cut], {"x": pixels})
    network = Network(BASE, CHARACTERS, cut)
    with torch.no_grad():
        computed = network.upper(torch.from_numpy(seen)).softmax(-1).numpy()
    assert computed.shape == (2, 20, len(output_signs(CHARACTERS)))
    network.save(tmp_path / "new.onnx", {})
    [written] = onnxruntime.InferenceSession(tmp_path / "new.onnx").run(None, {"x": pixels})
    # The file holds the weights in half precision.
    assert np.abs(computed - written).max() < 0.02


def test_a_new_last_layer_keeps_the_signs_that_both_have() -> None:
    network = Network(BASE, CHARACTERS, CUTS["neck"])
    old = {sign: number for number, sign in enumerate(_old_signs())}
    weight = network.weights["linear_8|w_0"]
    base = onnx.numpy_helper.to_array(
        next(i for i in network.model.graph.initializer if i.name == "linear_8.w_0")
    )
    for number, sign in enumerate(output_signs(CHARACTERS)):
        if sign in old:
            assert np.array_equal(weight[:, number].detach().numpy(), base[:, old[sign]])


def _old_signs() -> list[str]:
    entries = {entry.key: entry.value for entry in onnx.load(BASE).metadata_props}
    return output_signs(entries["character"].splitlines())


def test_learning_changes_what_is_above_the_cut_alone() -> None:
    network = Network(BASE, CHARACTERS, CUTS["neck"])
    rng = np.random.default_rng(2)
    seen = rng.normal(0, 1, (2, 384, 1, 20)).astype(np.float16)
    loss_of(network, LineBatch(seen, np.array([12, 13, 14]), np.array([1, 2]))).backward()
    learning = {id(weight) for weight in network.weights_above(CUTS["neck"])}
    assert learning
    for weight in network.weights.values():
        assert weight.grad is None or id(weight) in learning
