"""Whether bf16 pays is measured, and a person who asks for it where it does not is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from bench.measure import bf16  # noqa: E402


def test_the_factor_compares_two_products_and_is_measured_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed: list[torch.dtype] = []

    def seconds(dtype: torch.dtype) -> float:
        timed.append(dtype)
        return 0.036 if dtype == torch.bfloat16 else 0.0003

    monkeypatch.setattr(bf16, "_seconds", seconds)
    bf16.bf16_slowdown.cache_clear()
    try:
        assert bf16.bf16_slowdown() == pytest.approx(120)
        assert not bf16.bf16_pays()
        assert len(timed) == 2
    finally:
        bf16.bf16_slowdown.cache_clear()


@pytest.fixture
def emulating(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bf16, "bf16_slowdown", lambda: 108.4)


def test_the_warning_names_the_factor_and_what_to_type(
    emulating: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    warning = bf16.bf16_warning()
    assert warning is not None
    assert "108 times as long" in warning
    assert "--dtype fp32" in warning
    monkeypatch.setattr(bf16, "bf16_slowdown", lambda: 0.25)
    assert bf16.bf16_warning() is None


def test_only_who_asks_for_bf16_is_warned(
    emulating: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("transformers")
    from bench.models.catalog import resolve
    from bench.models.qwen_vl.loading import load_model
    from workshop.tiny_checkpoint import write_tiny_checkpoint

    folder = write_tiny_checkpoint(tmp_path / "tiny")

    def warnings(dtype: str) -> Any:
        return load_model(resolve(str(folder), dtype=dtype), folder).details.get("warnings")

    assert warnings("auto") is None
    assert warnings("fp32") is None
    assert not caplog.messages
    (warning,) = warnings("bf16")
    assert "108 times" in warning
    assert caplog.messages == [warning]
