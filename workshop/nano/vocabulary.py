"""The tokenizer: byte-level BPE as Qwen2's, with its special tokens, small because the model is.

Digits stand alone, every Cyrillic letter is one token, and merges come mostly from questions: a small
model reads a value letter by letter more easily than in pieces.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.schema import SHORT_ANSWER
from bench.synth.questions import question_texts
from workshop.nano.lessons import LETTERS, READ, READ_LINE
from workshop.tiny_checkpoint import train_bpe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MERGED_TOKENS = 600
"""Size of the vocabulary without the special tokens."""

_SPLIT = r"\p{N}|[^\r\n\p{L}\p{N}]?\p{L}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""Qwen2's pre-tokenizer, without the English contractions."""
_CAPITALS = LETTERS["ru"].upper()
_WHOLE = LETTERS["ru"] + _CAPITALS + "№«»—"
"""Characters of several bytes that are one token each."""


def train_tokenizer() -> Tokenizer:
    """Train the tokenizer; it is always the same one."""
    from tokenizers import Regex, pre_tokenizers

    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return train_bpe(splitter, _corpus(), MERGED_TOKENS)


def _corpus() -> Iterator[str]:
    # The two bytes of a letter must be merged before anything longer is: by sheer number.
    for letter in _WHOLE:
        for _ in range(400):
            yield letter
    # Capitals once more: so the shipped tokenizer was made.
    for letter in _CAPITALS:
        for _ in range(400):
            yield letter
    for letter in string.punctuation:
        yield letter
    boilerplate = ("You are a helpful assistant.", "system\n", "user\n", "assistant\n")
    for sentence in (SHORT_ANSWER["ru"], SHORT_ANSWER["en"], *boilerplate):
        for _ in range(60):
            yield sentence
    for language in ("en", "ru"):
        questions = question_texts("slip", language).values()
        for question in (*questions, READ[language], READ_LINE[language]):
            for _ in range(20):
                yield question
