"""The training of the bundled model: its forward pass, its packing, its lessons, its slices."""

from __future__ import annotations

import math
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from bench.errors import InvalidInput
from bench.files import read_lines
from tests.tiny_qwen import one_thread
from workshop.nano import checkpoint, lessons
from workshop.nano.batches import CHARACTERS, IGNORED, Batcher, TrainingBatch
from workshop.nano.muon import Muon, orthogonalised
from workshop.nano.network import Learner, inputs
from workshop.nano.train import LessonDataset, Settings, Trainer
from workshop.nano.vocabulary import train_tokenizer
from workshop.tiny_checkpoint import SPECIAL_TOKENS

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    yield from one_thread()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nano")
    checkpoint.write_settings(path)
    return path


@pytest.fixture(scope="module")
def learner(folder: Path) -> Learner:
    return Learner(checkpoint.new_model(folder, seed=0))


def batch(seed: int, *, count: int = 2, turns: int = 3) -> TrainingBatch:
    rng = Random(seed)
    pages = [lessons.page(rng, (9, 3), 2, turns) for _ in range(count)]
    return Batcher(train_tokenizer()).batch("parts", pages, rng)


def pixel_values(patches: torch.Tensor) -> torch.Tensor:
    """The patches as the processor lays them out: every page twice, as a film of two pictures."""
    flat = patches.reshape(-1, 3, 1, 14, 14)
    return flat.expand(-1, 3, 2, 14, 14).reshape(-1, 1176)


def test_the_vision_pass_is_that_of_transformers(learner: Learner) -> None:
    made = inputs(learner.model, batch(1), CPU)
    with torch.no_grad():
        ours = learner.encode_pages(made["patches"], made["angles"])
        tower: Any = learner.model.model.visual
        grid = torch.tensor([[1, 6, 18]] * 2)
        theirs = tower(pixel_values(made["patches"]), grid_thw=grid).pooler_output
    assert torch.allclose(ours.flatten(0, 1), theirs, atol=1e-5)


def test_a_packed_answer_has_the_logits_of_the_question_asked_alone(learner: Learner) -> None:
    drawn = batch(2, count=1)
    made = inputs(learner.model, drawn, CPU)
    page = learner.model.config.image_token_id
    with torch.no_grad():
        visual = learner.encode_pages(made["patches"], made["angles"])
        parts = (made[name] for name in ("ids", "positions", "mask", "targets"))
        logits, _ = learner.answer_logits(visual, *parts, made["start"])
        done = 0
        for number in range(1, int(drawn.segments.max()) + 1):
            kept = (drawn.segments[0] == 0) | (drawn.segments[0] == number)
            ids = made["ids"][:, torch.from_numpy(kept)]
            alone: Any = learner.model(
                input_ids=ids,
                pixel_values=pixel_values(made["patches"]),
                image_grid_thw=torch.tensor([[1, 6, 18]]),
                mm_token_type_ids=(ids == page).long(),
            )
            learned = drawn.targets[0, kept] != IGNORED
            expected = alone.logits[0, torch.from_numpy(learned)]
            assert torch.allclose(logits[done : done + len(expected)], expected, atol=1e-4)
            done += len(expected)
    assert done == len(logits) > 0


def test_the_tokenizer_writes_digits_and_cyrillic_letters_one_by_one() -> None:
    tokenizer = train_tokenizer()
    cyrillic = lessons.LETTERS["ru"]
    for character in lessons.DIGITS + cyrillic + cyrillic.upper() + "№":
        assert len(tokenizer.encode(character).ids) == 1, character
    assert len(tokenizer.encode("2024").ids) == 4
    for text in ("Итого: 1 250,00 ₽", "ABC-12/7 «Вектор» 票", "  two\n\nlines "):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == sorted(
        tokenizer.token_to_id(token) for token in SPECIAL_TOKENS
    )


def test_lessons_follow_from_the_seed_and_ask_what_is_drawn() -> None:
    first, second = (lessons.page(Random(7), (12, 10), None, 7) for _ in range(2))
    assert first.turns == second.turns
    assert np.array_equal(np.asarray(first.image), np.asarray(second.image))
    drawn = "".join(glyph.character for glyph in first.glyphs)
    for _, answer in first.turns:
        assert set("".join(answer.split())) <= set(drawn)
    assert not set(lessons.HELD_OUT) & set(lessons.TAUGHT_LAYOUTS)


def test_lessons_ask_for_goods_that_are_on_the_page_only() -> None:
    asked = 0
    for seed in range(300):
        lesson = lessons.page(Random(seed), (14, 13), None, 99)
        drawn = "".join(glyph.character for glyph in lesson.glyphs)
        for question, _ in lesson.turns:
            if found := re.match(r"(?:How much is|Сколько стоит) (.+)\?", question):
                asked += 1
                assert "".join(found[1].split()) in drawn, question
    assert asked > 5


def test_every_character_of_a_lesson_lies_on_ink() -> None:
    lesson = lessons.text(Random(3), (10, 3))
    grey = np.asarray(lesson.image.convert("L"), np.float32)
    paper = np.median(grey)
    letters = [glyph for glyph in lesson.glyphs if glyph.character.isalnum()]
    inked = 0
    for glyph in letters:
        x, y = int(glyph.x), int(glyph.y)
        around = grey[max(0, y - 5) : y + 6, max(0, x - 4) : x + 5]
        inked += bool((abs(around - paper) > 60).any())
    assert letters
    assert inked == len(letters)
    assert set("abcxyzабвэюя0129") <= set(CHARACTERS)


SETTINGS = Settings(
    steps=4, cooldown=1, cells=24, rate=1e-3, weight_decay=0.0, auxiliary_weight=0.5, seed=3
)


def test_training_in_slices_is_training_in_one_go(tmp_path: Path) -> None:
    whole = Trainer(tmp_path / "whole", SETTINGS)
    whole.run(minutes=10, workers=0, log_every=2)
    # A slice of no minutes is one step long.
    for _ in range(4):
        sliced = Trainer(tmp_path / "sliced", SETTINGS)
        sliced.run(minutes=0, workers=0, log_every=2)
    assert whole.step == sliced.step == 4
    for name, value in whole.learner.state_dict().items():
        assert torch.allclose(value, sliced.learner.state_dict()[name], atol=1e-5), name
    logs = [list(read_lines(tmp_path / name / "training.jsonl")) for name in ("whole", "sliced")]
    for one, other in zip(*logs, strict=True):
        assert one.pop("seconds") <= other.pop("seconds") + 1
        assert one == pytest.approx(other, abs=2e-4)
    assert [line["step"] for line in logs[0]] == [2, 4]


def test_a_training_goes_on_with_its_own_settings_only(tmp_path: Path) -> None:
    Trainer(tmp_path, SETTINGS).save()
    assert Trainer(tmp_path, SETTINGS._replace(steps=9, cooldown=3)).step == 0
    with pytest.raises(InvalidInput, match=r"begun with --weight-decay 0\.0, not 0\.1"):
        Trainer(tmp_path, SETTINGS._replace(weight_decay=0.1))


def test_a_signal_ends_a_slice_behind_the_step_in_hand(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, SETTINGS)
    learn, handler = trainer.learn, signal.getsignal(signal.SIGTERM)

    def interrupted(drawn: TrainingBatch) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return learn(drawn)

    trainer.learn = interrupted  # type: ignore[method-assign]
    trainer.run(minutes=10, workers=0)
    assert (trainer.step, Trainer(tmp_path, SETTINGS).step) == (1, 1)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_gradient_that_is_no_number_touches_no_weight(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, SETTINGS)
    drawn = LessonDataset(SETTINGS)[0]
    before = {name: value.clone() for name, value in trainer.learner.state_dict().items()}
    with pytest.raises(FloatingPointError, match="step 0"):
        trainer.learn(drawn._replace(patches=drawn.patches * math.nan))
    assert trainer.step == 0
    for name, value in trainer.learner.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_muon_in_bf16_is_the_muon_of_torch() -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = [(24, 40), (40, 24), (16, 16)]
    ours = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    theirs = [torch.nn.Parameter(matrix.detach().clone()) for matrix in ours]
    settings = {"lr": 0.02, "weight_decay": 0.1}
    optimiser = Muon(ours, **settings, dtype=torch.bfloat16)
    reference = torch.optim.Muon(theirs, **settings, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        optimiser.step()
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("shape", [(32, 64), (64, 32)])
def test_muon_in_fp32_moves_every_singular_value_near_to_one(shape: tuple[int, int]) -> None:
    update = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    values = torch.linalg.svdvals(orthogonalised(update, torch.float32))
    assert values.min() > 0.5 and values.max() < 1.5


def test_a_few_steps_lower_the_loss(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, SETTINGS._replace(steps=40))
    drawn = LessonDataset(SETTINGS)[0]
    losses = [trainer.learn(drawn)["characters"] for _ in range(30)]
    assert losses[-1] < 0.8 * losses[0]
