"""What the fake trackers were told: a line of ``FAKE_TRACKER_LOG`` for each call."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


def record(call: str, **told: Any) -> None:
    """Keep a call. ``FAKE_TRACKER`` says how the tracker behaves: it may be away, or never answer."""
    # As the real ones, which would spoil what the command prints.
    print("* a tracker says something")  # noqa: T201
    behaviour = os.environ.get("FAKE_TRACKER")
    if behaviour == "silent":
        time.sleep(60)
    if behaviour == "away":
        raise ConnectionError("no answer from http://me:hunter2@tracker.example\nsecond line")
    with Path(os.environ["FAKE_TRACKER_LOG"]).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"call": call, **told}, default=str) + "\n")


def record_file(call: str, path: Any, **told: Any) -> None:
    """Keep a file that was handed over."""
    record(call, content=Path(path).read_text(encoding="utf-8"), **told)
