"""Attention in blocks sees what torch's own does, is used only where it pays, and changes no answer."""

from __future__ import annotations

import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.models.catalog import resolve  # noqa: E402
from bench.models.qwen_vl import QwenVL, allocator, blocks, products  # noqa: E402
from bench.models.qwen_vl.loading import CLASSES, load_model  # noqa: E402
from bench.models.qwen_vl.processing import Processor  # noqa: E402
from bench.models.qwen_vl.tree import Heads, TreeCache, TreeShape  # noqa: E402
from bench.models.qwen_vl.vision import PACKED  # noqa: E402
from tests.tiny_qwen import make_document, make_group, one_thread  # noqa: E402
from workshop.tiny_checkpoint import write_tiny_checkpoint  # noqa: E402

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)

torchs = torch.nn.functional.scaled_dot_product_attention

ROUNDING = 4e-5
"""How far two ways to sum may lie apart where scores spread by 3 to 4: torch's own is 6e-6 from float64."""


@pytest.fixture
def paying(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor on which oneDNN pays, and rows so short that tiny models are answered in blocks."""
    monkeypatch.setattr(products, "packed_speedup", lambda *_: 2.25)
    monkeypatch.setattr(blocks, "blocks_speedup", lambda: 1.625)
    monkeypatch.setattr(blocks, "FEWEST_SCORES", 1)
    monkeypatch.setattr(blocks, "FEWEST_ROWS", 1)
    torch.manual_seed(0)


def numbers(*shape: int) -> Any:
    """Numbers as they come from a tower: (1, heads, tokens, size), a token's heads beside each other."""
    batch, heads, tokens, size = shape
    return torch.randn(batch, tokens, heads, size).transpose(1, 2)


@pytest.mark.parametrize("size", [16, 64, 72, 80, 128])
@pytest.mark.parametrize(("heads", "shared"), [(2, 2), (6, 1), (8, 2)])
def test_a_sequence_sees_itself_as_torch_does(
    size: int, heads: int, shared: int, paying: None
) -> None:
    for tokens, causal in ((1, True), (70, False), (70, True), (461, False), (461, True)):
        query, key, value = (numbers(1, count, tokens, size) for count in (heads, shared, shared))
        expected = torchs(query, key, value, is_causal=causal, scale=0.3, enable_gqa=True)
        with torch.inference_mode():
            seen = blocks.attend(query, key, value, is_causal=causal, scale=0.3)
        torch.testing.assert_close(seen, expected, rtol=1e-4, atol=ROUNDING)


@pytest.mark.parametrize("groups", [1, 3])
def test_branches_see_their_prefix_and_themselves_as_torch_does(groups: int, paying: None) -> None:
    shape = TreeShape(2, 2, groups, 32, torch.float32, torch.device("cpu"))
    caches = [TreeCache(shape, 3, 1000, attention) for attention in (None, blocks.attend)]
    # The prompts of documents that ask unequally much; then answers, whose columns lie in turns.
    prompts = [(0, 0)] * 60 + [(0, 1)] * 130 + [(0, 2)] * 7 + [(2, 0)] * 90
    steps = [(0, 0), (0, 2), (2, 0)]
    rows = [prompts, steps, steps[1:], [(1, 0)] * 40, [*steps, (0, 1)]]
    with torch.inference_mode():
        lengths = (1, 300, 461)
        heads = drawn_heads(shape, sum(lengths))
        expected, seen = (
            cache.prefix((0, 1, 2), lengths).attend(0, heads, 0.3) for cache in caches
        )
        torch.testing.assert_close(seen, expected, rtol=1e-4, atol=ROUNDING)
        for row in rows:
            heads = drawn_heads(shape, len(row))
            documents, questions = zip(*row, strict=True)
            expected, seen = (
                cache.branches(documents, questions).attend(0, heads, 0.3) for cache in caches
            )
            torch.testing.assert_close(seen, expected, rtol=1e-4, atol=ROUNDING)


def drawn_heads(shape: TreeShape, tokens: int) -> Heads:
    """Queries, keys and values of a packed row."""
    return Heads(
        numbers(1, shape.heads * shape.groups, tokens, shape.size),
        numbers(1, shape.heads, tokens, shape.size),
        numbers(1, shape.heads, tokens, shape.size),
    )


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sharpness", [0.1, 2.0, 8.0])
def test_scores_of_any_size_are_as_precise_as_torchs(
    sharpness: float, causal: bool, paying: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    softmax = blocks._by_softmax
    again: list[int] = []

    def counted(rows: Any, keys: Any, values: Any, block_keys: blocks.BlockKeys) -> Any:
        again.append(block_keys.common)
        return softmax(rows, keys, values, block_keys)

    monkeypatch.setattr(blocks, "_by_softmax", counted)
    torch.manual_seed(0)
    query, key = (sharpness * numbers(1, 2, 700, 64) for _ in range(2))
    value = numbers(1, 2, 700, 64)
    exact = torchs(query.double(), key.double(), value.double(), is_causal=causal)
    with torch.inference_mode():
        seen = blocks.attend(query, key, value, is_causal=causal)
    deviation = (torchs(query, key, value, is_causal=causal) - exact).abs().max()
    assert (seen - exact).abs().max() < 2 * deviation + 4e-6
    # Where scores lie hundreds apart, no sample tells how large they are; a first block has none.
    assert any(again) == (sharpness == 8.0)


def test_one_key_far_above_all_others_is_seen(paying: None) -> None:
    query, key, value = (numbers(1, 1, 300, 16) for _ in range(3))
    key[:, :, 161] *= 1000
    with torch.inference_mode():
        seen = blocks.attend(query, key, value)
    torch.testing.assert_close(seen, torchs(query, key, value), rtol=1e-4, atol=ROUNDING)


def test_what_is_not_a_number_reaches_whoever_sees_it(
    paying: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, key, value = (numbers(1, 1, 300, 16) for _ in range(3))
    monkeypatch.setattr(blocks, "MOST_ROWS", 64)
    key[:, :, 200] = float("nan")
    before = torchs(*(part[:, :, :200] for part in (query, key, value)), is_causal=True)
    with torch.inference_mode():
        seen = blocks.attend(query, key, value, is_causal=True)
    torch.testing.assert_close(seen[:, :, :200], before, rtol=1e-4, atol=ROUNDING)
    assert seen[:, :, 200:].isnan().all()


def test_short_sequences_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "product", None)
    with torch.inference_mode():
        assert blocks.attend(*(numbers(1, 2, 20, 16) for _ in range(3))).shape == (1, 2, 20, 16)


def loaded(folder: Path, dtype: str = "fp32", **options: Any) -> tuple[QwenVL, Any]:
    """The backend, and what is recorded of its attention."""
    backend = QwenVL(resolve(str(folder), dtype=dtype, options=options))
    return backend, backend.load().details["attention_products"]


@pytest.mark.parametrize("family", CLASSES)
def test_answers_are_those_of_torchs_attention(
    family: str, paying: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny_checkpoint(tmp_path / family, family)
    plain, said = loaded(folder, packed=False)
    assert said == "torch's own (oneDNN is switched off by packed = false)"
    blocked, said = loaded(folder)
    assert said == (
        "oneDNN, in blocks of queries (1.6 times as fast as torch's own on this processor)"
    )
    used = []
    product = blocks.product
    monkeypatch.setattr(blocks, "product", lambda *given: used.append(given) or product(*given))
    # Several pages of unequal size in one call of the tower, and several windows of Qwen2.5-VL's.
    pages = make_document(tmp_path, "pages", [(300, 190), (64, 400)])
    group = make_group(pages, ["Who signed?", "What date?"], max_new_tokens=2)
    expected, found = (backend.generate([group]).outputs for backend in (plain, blocked))
    assert used, "the tower and the language model attend in blocks"
    for one, other in zip(expected, found, strict=True):
        assert one.error is other.error is None
        assert other.text == one.text
        assert other.confidence == pytest.approx(one.confidence, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "dtype", "speedup", "reason"),
    [
        ({"packed": False}, "fp32", 2.0, "oneDNN is switched off by packed = false"),
        ({"reference": True}, "fp32", 2.0, "the reference is plain transformers"),
        ({}, "bf16", 2.0, "oneDNN is used in fp32 only"),
        ({}, "fp32", None, "oneDNN is missing or failed its trial"),
        ({}, "fp32", 0.84, "in blocks it is 0.84 times as fast on this processor"),
    ],
)
def test_blocks_are_used_only_where_they_pay(
    options: dict[str, Any],
    dtype: str,
    speedup: float | None,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "blocks_speedup", lambda: speedup)
    backend, said = loaded(write_tiny_checkpoint(tmp_path / "tiny"), dtype, **options)
    assert said == f"torch's own ({reason})"
    assert backend._parts is not None
    tower = backend._parts.loaded.model.model.visual
    assert tower.config._attn_implementation == "sdpa"


def test_another_attention_that_was_asked_for_stays(paying: None, tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    eager = QwenVL(resolve(str(folder), dtype="fp32", attention="eager")).load()
    assert eager.details["attention_products"] == "torch's own (eager was asked for)"
    cascade, said = loaded(folder, engine="cascade")
    assert said == "torch's own (a cascade has its own)"
    assert cascade._parts is not None
    tower = cascade._parts.loaded.model.model.visual
    assert tower.config._attn_implementation == PACKED


def test_a_model_that_was_adopted_keeps_torchs_attention(paying: None, tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    spec = resolve(str(folder), dtype="fp32")
    model = load_model(spec, folder)
    info = QwenVL(spec).adopt(model, Processor(spec, folder), folder)
    assert "attention_products" not in info.details
    assert model.model.model.visual.config._attn_implementation == "sdpa"


def test_the_speedup_is_measured_once_and_an_attention_that_differs_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([0.0045, 0.002])
    monkeypatch.setattr(blocks, "seconds", lambda _: next(times))
    blocks._speedup.cache_clear()
    try:
        assert blocks.blocks_speedup() == pytest.approx(2.25)
        assert blocks.blocks_speedup() == pytest.approx(2.25)
        blocks._speedup.cache_clear()
        monkeypatch.setattr(blocks, "attend", lambda query, *_: torch.zeros_like(query))
        assert blocks.blocks_speedup() is None
    finally:
        blocks._speedup.cache_clear()


def test_freed_memory_is_kept_by_glibc_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = allocator.keep_freed_memory.__wrapped__
    assert kept() == (platform.libc_ver()[0] == "glibc")
    settings: list[tuple[int, int]] = []
    refusing = SimpleNamespace(mallopt=lambda *setting: settings.append(setting) or 0)
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    for library, calls in ((SimpleNamespace(), 0), (refusing, 2)):
        monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _, library=library: library)
        assert not kept()
        assert len(settings) == calls
