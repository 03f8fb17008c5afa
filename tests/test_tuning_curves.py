"""The picture of a training: what is in it, for whoever looks and for whoever cannot."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench.tuning.curves import WIDTH, draw_curves, running_mean, write_curves

HISTORY = [
    {"step": 0, "eval_loss": 4.0, "eval_score": 0.1, "eval_merit": 0.1},
    {"step": 1, "loss": 3.5},
    {"step": 2, "loss": 2.0},
    {"step": 2, "eval_loss": 2.1, "eval_score": 0.6, "eval_merit": 0.6},
    {"step": 3, "loss": None},
    {"step": 3, "eval_loss": 2.4, "eval_score": 0.5, "eval_merit": 0.5},
]


def drawing(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def places(line: ElementTree.Element) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in str(line.get("points")).split())
    return [(float(x), float(y)) for x, y in pairs]


def write_history(folder: Path, history: list[dict[str, float | None]]) -> None:
    (folder / "history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history))


def test_a_training_is_drawn_with_losses_score_and_the_step_that_was_kept(tmp_path: Path) -> None:
    write_history(tmp_path, HISTORY)
    path = write_curves(tmp_path)
    assert path == tmp_path / "curves.svg"
    picture = drawing(path.read_text())
    training, loss, score = picture.findall(".//{*}polyline")
    assert [len(places(line)) for line in (training, loss, score)] == [2, 3, 3]
    # The validation has one colour in both panels, and is not of the training's.
    assert training.get("class") != loss.get("class") == score.get("class")
    # A lower loss is lower, a higher score higher; y grows downwards.
    assert places(loss)[0][1] < places(loss)[1][1]
    assert places(score)[0][1] > places(score)[1][1]
    (kept,) = picture.findall(".//{*}line[@class='kept']")
    assert float(str(kept.get("x1"))) == places(score)[1][0]
    texts = [text.text for text in picture.findall(".//{*}text")]
    assert {"loss", "score of the validation part", "kept: step 2"} <= set(texts)
    described = str(picture.findtext("{*}desc"))
    assert "loss, training: 3.5 at step 1, 2 at step 2" in described
    assert "score of the validation part, validation: 0.1 at step 0, 0.5 at step 3" in described


def test_no_validation_no_picture(tmp_path: Path) -> None:
    assert write_curves(tmp_path) is None
    write_history(tmp_path, HISTORY[1:3])
    assert write_curves(tmp_path) is None
    assert draw_curves({"loss": {"training": []}, "score": {}}, title="x") == ""


def test_nothing_is_kept_before_the_first_step(tmp_path: Path) -> None:
    write_history(tmp_path, HISTORY[:1])
    path = write_curves(tmp_path)
    assert path is not None
    assert not drawing(path.read_text()).findall(".//{*}line[@class='kept']")


def test_everything_lies_inside_the_picture() -> None:
    wild = [(step, (-1) ** step * 10.0**step) for step in range(8)]
    picture = drawing(draw_curves({"p": {"a": wild}, "q": {"b": [(7, 3.0)]}}, title="t", kept=7))
    height = float(str(picture.get("height")))
    for line in picture.findall(".//{*}polyline"):
        for x, y in places(line):
            assert 0 <= x <= WIDTH
            assert 0 <= y <= height


def test_what_was_done_again_counts_as_it_was_done_last() -> None:
    """A training that was broken off begins again at its last checkpoint, and logs steps a second time."""
    twice = [(1, 5.0), (2, 4.0), (3, 9.0), (2, 4.0), (3, 3.0)]
    once = [(1, 5.0), (2, 4.0), (3, 3.0)]
    assert draw_curves({"p": {"a": twice}}, title="t") == draw_curves({"p": {"a": once}}, title="t")


def test_a_long_series_has_its_running_mean_over_it() -> None:
    rng = random.Random(0)
    noisy = [(step, 1.0 + rng.uniform(-0.5, 0.5)) for step in range(3000)]
    mean = running_mean(noisy)
    assert [step for step, _ in mean] == [step for step, _ in noisy]
    assert all(value == pytest.approx(1.0, abs=0.15) for _, value in mean)
    picture = drawing(draw_curves({"p": {"a": noisy}}, title="t"))
    faint, line = picture.findall(".//{*}polyline")
    assert "faint" in str(faint.get("class"))
    assert len(places(faint)) <= 1000
    heights = [[y for _, y in places(drawn)] for drawn in (faint, line)]
    assert max(heights[1]) - min(heights[1]) < 0.2 * (max(heights[0]) - min(heights[0]))
    assert not picture.findall(".//{*}circle")


def test_names_are_text_whatever_is_in_them() -> None:
    name = "<script>alert(1)</script>&"
    picture = drawing(draw_curves({name: {name: [(0, 1.0)], "b": [(0, 2.0)]}}, title=name))
    assert not picture.findall(".//{*}script")
    assert [text.text for text in picture.findall(".//{*}text")].count(name) == 3


def test_both_schemes_have_every_colour() -> None:
    lines = {str(number): [(0, 1.0), (1, 2.0)] for number in range(8)}
    text = draw_curves({"p": lines}, title="t")
    light, _, dark = text.partition("prefers-color-scheme: dark")
    used = {str(line.get("class")).split()[1] for line in drawing(text).findall(".//{*}polyline")}
    assert len(used) == 6
    for name in used:
        assert f"circle.{name} " in light
        assert f"circle.{name} " in dark
