"""Tells an answer while it is written: to whoever reads along, as far as it cannot change any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bench.models.model import cut_at

PAUSE_SECONDS = 0.05
"""The text of an answer is made so often at most: making it takes time that the model waits."""

Reader = Callable[[str], None]
"""Is told the text of one answer so far."""


class ReadingAlong:
    """One answer that is written, and its reader."""

    def __init__(
        self, reader: Reader, text_of: Callable[[Sequence[int]], str], stops: Sequence[str]
    ) -> None:
        """``text_of`` spells tokens; ``stops`` are strings at which the answer will be cut."""
        self._reader, self._text_of, self._stops = reader, text_of, stops
        self._due = 0.0

    def __call__(self, ids: Sequence[int]) -> None:
        """Tell what ``ids``, the tokens so far, spell."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + PAUSE_SECONDS
            self._reader(settled(self._text_of(ids), self._stops))


def settled(text: str, stops: Sequence[str]) -> str:
    """The beginning of ``text`` that stays whatever follows: without half a letter and half a stop string."""
    text, _ = cut_at(text, stops)
    text = text.rstrip("\ufffd")
    beginnings = {stop[:length] for stop in stops for length in range(1, len(stop))}
    open_ends = [beginning for beginning in beginnings if text.endswith(beginning)]
    return text[: len(text) - max(map(len, open_ends), default=0)]
