"""A score that would take more work than its bound allows is unscored, and says so."""

import json

import pytest

from bench.metrics import METRICS
from bench.metrics.metric import MAX_CHARACTERS, TOO_LARGE, as_json
from bench.metrics.squad import _characters
from bench.schema import Document, Output, Sample, Task
from bench.scoring.answers import score_models
from bench.scoring.levels import level


@pytest.mark.parametrize("name", ["anls_star", "ted_accuracy", "field_match"])
def test_what_is_too_large_is_unscored_and_says_so(name):
    answer, reference = ({"a": [f"{c}{i}" for i in range(9_000)]} for c in "xy")
    sample = Sample("s", "d", "?", (reference,), "json")
    task = Task("t", "1", "t", {"d": Document("d", ())}, (sample,), (name,))
    ((scored,),) = score_models(task, [{"s": Output("s", json.dumps(answer), "stop")}], {})
    assert METRICS[name].score(answer, [reference]) == TOO_LARGE
    assert scored.scores[name].too_large
    assert scored.mistake is None
    assert level(scored, name) == "unscored"


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ([[]] * 600, [[]] * 600),
        ([{}] * 600, [{}] * 600),
        ([[[]] * 50] * 50, [[[]] * 50] * 50),
        (
            [json.loads('{"a":' * 40 + "1" + "}" * 40)] * 100,
            [json.loads('{"a":' * 40 + "2" + "}" * 40)] * 100,
        ),
        (
            [json.loads("[" * 40 + "1" + "]" * 40)] * 20,
            [json.loads("[" * 40 + "2" + "]" * 40)] * 20,
        ),
        ([10**290 + n for n in range(400)], [10**290 - n for n in range(400)]),
    ],
    ids=[
        "empty lists",
        "empty objects",
        "lists of them",
        "deep objects",
        "deep lists",
        "long numbers",
    ],
)
def test_what_has_few_leaves_costs_as_much_as_it_is_compared(answer, reference):
    assert METRICS["anls_star"].score(answer, [reference]) == TOO_LARGE


def test_a_number_that_no_document_holds_is_no_json():
    with pytest.raises(ValueError, match="300 digits"):
        as_json('{"total": ' + "9" * 301 + "}")
    assert as_json('{"total": "' + "9" * 301 + '"}') == {"total": "9" * 301}


def test_a_character_that_stands_for_eighteen_is_cut_with_the_text():
    assert len(_characters("\ufdfa" * 100_000)) <= MAX_CHARACTERS
