"""A score that would take more work than its bound allows is unscored, and says so."""

import json

import pytest

from bench.metrics import METRICS
from bench.metrics.metric import TOO_LARGE
from bench.schema import Document, Output, Sample, Task
from bench.scoring.answers import score_answers
from bench.scoring.levels import level


@pytest.mark.parametrize("name", ["anls_star", "ted_accuracy", "field_match"])
def test_what_is_too_large_is_unscored_and_says_so(name):
    answer, reference = ({"a": [f"{c}{i}" for i in range(9_000)]} for c in "xy")
    sample = Sample("s", "d", "?", (reference,), "json")
    task = Task("t", "1", "t", {"d": Document("d", ())}, (sample,), (name,))
    scored = score_answers(task, {"s": Output("s", json.dumps(answer), "stop")}, {})[0]
    assert METRICS[name].score(answer, [reference]) == TOO_LARGE
    assert scored.scores[name].too_large
    assert scored.mistake is None
    assert level(scored, name) == "unscored"
