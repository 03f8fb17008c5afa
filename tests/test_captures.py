"""CUDA graphs are few over a whole run, and none is made in a call that is timed alone."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch")

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "captures.py"


@pytest.fixture(scope="module")
def counts() -> dict[str, Counter[str]]:
    spec = importlib.util.spec_from_file_location("captures", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["captures"] = module
    spec.loader.exec_module(module)
    found: dict[str, Counter[str]] = module.counted(40e9, 1280 * 28 * 28, 64)
    return found


def test_captures_are_few(counts: dict[str, Counter[str]]) -> None:
    assert counts["all bundled tasks"]["captures"] <= 20
    assert counts["400 documents"]["captures"] <= 20


def test_most_steps_are_replayed(counts: dict[str, Counter[str]]) -> None:
    documents = counts["400 documents"]
    assert documents["replayed"] > documents["launched"]


def test_no_single_question_holds_a_capture(counts: dict[str, Counter[str]]) -> None:
    alone = counts["single questions"]
    assert alone["calls"] == 64
    assert alone["calls with a capture"] == 0
    assert alone["replayed"] > alone["launched"]
