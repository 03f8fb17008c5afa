from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InvalidInput
from bench.models.pixels import MAX_PIXELS, MIN_PIXELS, smart_resize, visual_tokens
from workshop.conformance.pixels import resized

CASES = json.loads(
    (Path(__file__).parent / "conformance" / "smart_resize.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_sizes_and_tokens_are_those_of_the_reference(case: dict[str, Any]) -> None:
    assert resized(case) == case["expected"]


@given(st.integers(15, 5000), st.integers(15, 5000))
def test_a_page_resizes_as_the_image_processor_resizes_it(height: int, width: int) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as theirs

    if max(height, width) <= 200 * min(height, width):
        expected = theirs(height, width, 28, MIN_PIXELS, MAX_PIXELS)
        assert smart_resize(height, width) == expected


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([28, 32]))
def test_a_resized_page_is_a_multiple_of_the_factor(height: int, width: int, factor: int) -> None:
    if max(height, width) <= 200 * min(height, width):
        size = smart_resize(height, width, factor=factor)
        assert size.height % factor == 0
        assert size.width % factor == 0
        assert min(size) >= factor


def test_tokens_are_counted_in_the_models_own_factor() -> None:
    assert visual_tokens(320, 640, factor=32, min_pixels=65_536, max_pixels=16_777_216) == 10 * 20


@pytest.mark.parametrize(("height", "width"), [(1, 201), (4020, 20)])
def test_a_page_200_times_longer_than_wide_is_refused(height: int, width: int) -> None:
    with pytest.raises(InvalidInput, match="200 times"):
        smart_resize(height, width)


def test_a_page_without_pixels_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no content"):
        smart_resize(0, 100)
