"""Whatever schemathesis makes of the service's own description gets a reply that the description allows.

``benchmarks/service.py fuzz`` sends many more requests, to a whole service.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("schemathesis", reason="needs the extra dev")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS as KNOWN_CHECKS
from schemathesis.checks import load_all_checks

from benchmarks.service import CHECKS
from tests.service_fixture import Listening, listening

FEW = settings(
    max_examples=5,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("service") / "s", wait_seconds=0.2) as it:
        yield it


def test_every_reply_is_one_that_the_description_allows(it: Listening) -> None:
    load_all_checks()
    checks = [KNOWN_CHECKS.get_one(name) for name in CHECKS]
    schema = schemathesis.openapi.from_url(f"{it.url}/openapi.json")
    sent: Counter[str] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        # Without a parameter, no request contradicts the description.
        takes_anything = operation.body or operation.query
        for mode in GenerationMode if takes_anything else [GenerationMode.POSITIVE]:

            @FEW
            @given(case=operation.as_strategy(generation_mode=mode))
            def probe(case: Any) -> None:
                case.call_and_validate(checks=checks)
                sent[case.operation.label] += 1

            probe()
    assert len(sent) >= 10
    for question in ("POST /api/v1/run", "POST /api/v1/classify", "POST /v1/chat/completions"):
        assert sent[question] == 10
