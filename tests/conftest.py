"""Fixtures that several test files share. Tests drive the real program with the fake model."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from PIL import Image

# Tests run in a process for each core. Each of them may have one thread, or the threads wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples every time: a suite that fails by chance teaches people to run it twice.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


LONGEST_FIRST = (
    *("test_tuning_nano", "test_tuning", "test_engine", "test_pretend_cuda", "test_sources_hub"),
    *("test_runner", "test_devices", "test_openai", "test_checkpoint_files", "test_report_browser"),
    *("test_openai_faults", "test_hyperbench", "test_metrics", "test_pretraining", "test_adding"),
    *("test_service_process", "test_engine_steps", "test_cli", "test_sweep", "test_report"),
)
"""Files that take longest: begun last, one of them would keep the other processes waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; the order within a file stays."""
    order = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector what stays until the end.

    The tests and the libraries that they import are a million objects. The collector would look at them
    while they are made, and again for every model that is loaded or ends.
    """
    gc.disable()
    collected = yield
    gc.collect()
    gc.freeze()
    gc.enable()
    return collected


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing from the machine leaks in: no BENCH_ variable, no bench.toml, no hub, no terminal width."""
    for name in os.environ:
        if name.startswith(("BENCH_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)


MakeTask = Callable[..., Path]


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """A function that writes a task folder: pages, samples.jsonl and, if asked, a task.toml."""

    def make(
        rows: Sequence[dict[str, Any]] | None = None,
        *,
        name: str = "mine",
        documents: int = 3,
        questions: int = 4,
        toml: str | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for number in range(documents):
            size = (40 + 10 * number, 60)
            Image.new("L", size, 200).save(folder / f"p{number}.png")
        if rows is None:
            rows = [
                {
                    "id": f"d{d}/q{q}",
                    "images": [f"p{d}.png"],
                    "question": f"What is field {q}?",
                    "answers": [f"value {q}"],
                    "metadata": {"language": "en", "field": f"f{q}", "doc_type": "test"},
                }
                for d in range(documents)
                for q in range(questions)
            ]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / "samples.jsonl").write_text(lines, encoding="utf-8")
        if toml is not None:
            (folder / "task.toml").write_text(toml, encoding="utf-8")
        return folder

    return make


class CommandResult(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def bench(capfd: pytest.CaptureFixture[str]) -> Any:
    """A function that runs ``bench`` with arguments in this process."""

    from bench.cli import main

    def run(*arguments: object) -> CommandResult:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return CommandResult(int(end.value.code or 0), captured.out, captured.err)

    return run
