"""Turn lessons into arrays: the questions of a page are packed behind it and do not see one another.

A sequence is ``prefix | question answer | question answer | …``. Every question continues the prefix: its
positions begin where the prefix ends, and its tokens attend to the prefix and to themselves. So a page is
encoded once for all its questions, and each is learned as if it stood alone, which is how it will be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from workshop.nano.lessons import CELL, DIGITS, LETTERS, Lesson
from workshop.tiny_checkpoint import IMAGE_MEAN, IMAGE_STD

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IGNORED = -100
SLOTS = (4, 2)
"""Parts of a cell, across and down: at most one character has its middle in one of them."""
CHARACTERS = "".join(
    (
        DIGITS,
        *(case for letters in LETTERS.values() for case in (letters, letters.upper())),
        ".,-/:№#()%+*$£&«»\"'?!=;@_",
    )
)
_CLASS = {character: number for number, character in enumerate(CHARACTERS, start=1)}
CLASSES = len(CHARACTERS) + 2
"""Nothing, each of the characters, any other one."""


LessonKind = Literal["text", "parts", "pages"]
"""Of lessons: unconnected text, excerpts of slips, whole slips."""
KINDS: tuple[LessonKind, ...] = get_args(LessonKind)


class TrainingBatch(NamedTuple):
    """Pages of one size with their questions.

    B pages of N patches and V = N / 4 visual tokens each, T tokens a sequence.
    """

    kind: LessonKind
    patches: NDArray[np.float32]
    """(B, N, 588): pixels of each patch by channel, row and column; the four of a cell are neighbours."""
    cells: tuple[int, int]
    """Columns, rows."""
    ids: NDArray[np.int64]
    """(B, T)"""
    positions: NDArray[np.int64]
    """(3, B, T): time, height, width."""
    segments: NDArray[np.int64]
    """(B, T): 0 in the prefix, 1 … in a question, -1 in padding."""
    targets: NDArray[np.int64]
    """(B, T): the next token where it belongs to an answer, else ``IGNORED``."""
    slots: NDArray[np.int64]
    """(B, V, 8): class of the character in each part of a cell, ``IGNORED`` where two meet."""


class Batcher:
    """Turns lessons into batches of arrays."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    @cached_property
    def _parts(self) -> tuple[list[int], list[int], int, int]:
        """The tokens before a page and behind it, the token of a page, and the token that ends an answer."""
        opening = (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\n<|vision_start|>"
        )
        (page,) = self._ids("<|image_pad|>")
        (end,) = self._ids("<|im_end|>")
        return self._ids(opening), self._ids("<|vision_end|>"), page, end

    def batch(self, kind: LessonKind, lessons: Sequence[Lesson], rng: Random) -> TrainingBatch:
        """Pack ``lessons``, whose pictures have one size, into one batch."""
        columns, rows = (side // CELL for side in lessons[0].image.size)
        patches = np.stack([_patches(lesson, rng) for lesson in lessons])
        slots = np.stack([_slots(lesson, columns, rows) for lesson in lessons])
        sequences = [self._sequence(lesson, columns, rows) for lesson in lessons]
        length = -(-max(len(ids) for ids, *_ in sequences) // 16) * 16
        count = len(lessons)
        ids = np.zeros((count, length), np.int64)
        positions = np.zeros((3, count, length), np.int64)
        segments = np.full((count, length), -1, np.int64)
        targets = np.full((count, length), IGNORED, np.int64)
        for row, (tokens, places, parts, wanted) in enumerate(sequences):
            size = len(tokens)
            ids[row, :size], positions[:, row, :size] = tokens, places
            segments[row, :size], targets[row, :size] = parts, wanted
        return TrainingBatch(
            kind, patches, (columns, rows), ids, positions, segments, targets, slots
        )

    def _sequence(
        self, lesson: Lesson, columns: int, rows: int
    ) -> tuple[list[int], NDArray[np.int64], list[int], list[int]]:
        opening, closing, page, end = self._parts
        start = len(opening)
        visual = columns * rows
        tokens = [*opening, *[page] * visual, *closing]
        places = np.empty((3, len(tokens)), np.int64)
        places[:, :start] = np.arange(start)
        places[0, start : start + visual] = start
        places[1, start : start + visual] = start + np.repeat(np.arange(rows), columns)
        places[2, start : start + visual] = start + np.tile(np.arange(columns), rows)
        after = start + max(columns, rows)
        places[:, start + visual :] = after + np.arange(len(closing))
        after += len(closing)
        parts = [0] * len(tokens)
        wanted = [IGNORED] * len(tokens)
        pieces = [places]
        for number, (question, answer) in enumerate(lesson.turns, start=1):
            asked = self._ids(f"{question}<|im_end|>\n<|im_start|>assistant\n")
            said = [*self._ids(answer), end]
            branch = asked + said
            tokens += branch
            parts += [number] * len(branch)
            wanted += [IGNORED] * (len(asked) - 1) + said + [IGNORED]
            pieces.append(np.tile(after + np.arange(len(branch)), (3, 1)))
        return tokens, np.concatenate(pieces, axis=1), parts, wanted


def _patches(lesson: Lesson, rng: Random) -> NDArray[np.float32]:
    """Return (patches, 588), normalised as the processor does; some pages get the grain of a scan."""
    pixels = np.asarray(lesson.image, np.float32) / 255
    if rng.random() < 0.3:
        noise = np.random.default_rng(rng.getrandbits(32))
        grain = noise.standard_normal(pixels.shape[:2], np.float32)[..., None]
        pixels = np.clip(pixels * rng.uniform(0.8, 1.05) + grain * rng.uniform(0, 0.05), 0, 1)
    mean, std = (np.array(values, np.float32) for values in (IMAGE_MEAN, IMAGE_STD))
    pixels = (pixels - mean) / std
    height, width, _ = pixels.shape
    blocks = pixels.reshape(height // 28, 2, 14, width // 28, 2, 14, 3)
    # cell row, cell column, patch row, patch column, channel, pixel row, pixel column
    return blocks.transpose(0, 3, 1, 4, 6, 2, 5).reshape(-1, 588).astype(np.float32)


def _slots(lesson: Lesson, columns: int, rows: int) -> NDArray[np.int64]:
    across, down = SLOTS
    slots = np.zeros((rows, columns, down, across), np.int64)
    for glyph in lesson.glyphs:
        x, y = int(glyph.x * across / CELL), int(glyph.y * down / CELL)
        if not (0 <= x < columns * across and 0 <= y < rows * down):
            continue
        place = (y // down, x // across, y % down, x % across)
        other = len(CHARACTERS) + 1
        slots[place] = IGNORED if slots[place] else _CLASS.get(glyph.character, other)
    return slots.reshape(rows * columns, down * across)
