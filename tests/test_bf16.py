"""Whether bf16 pays is measured, and a person who asks for it where it does not is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from bench.measure import bf16

ROOT = Path(__file__).resolve().parent.parent


def flags() -> set[str]:
    """What the processor says of itself; empty where the system does not show it."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.is_file() else ""
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return set(lines[0].partition(":")[2].split()) if lines else set()


def slowdown(**environment: str) -> float:
    """In a process of its own, whose matrix library may be kept from some of the processor's units."""
    code = "from bench.measure.bf16 import bf16_slowdown as s; print(s())"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return float(printed)


@pytest.mark.skipif(not flags() & {"avx512_bf16", "amx_bf16"}, reason="no units for bf16")
def test_bf16_pays_where_the_processor_has_units_for_it() -> None:
    assert slowdown() < 1


@pytest.mark.skipif("avx2" not in flags(), reason="not an x86 processor with AVX2")
def test_bf16_does_not_pay_on_a_processor_that_emulates_it() -> None:
    """As a processor with AVX2 alone."""
    assert slowdown(ONEDNN_MAX_CPU_ISA="AVX2") > 5


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
