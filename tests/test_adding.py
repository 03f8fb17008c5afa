"""What docs/adding.md promises: a stranger adds a thing in one file and one row, and it works at once.

Each test changes a copy of the checkout and asks one question through the command line. What a report section
takes is tested with the report.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import bench

ROOT = Path(bench.__file__).resolve().parent.parent
WEIGHTS_AND_FONTS = ("*.safetensors", "*.otf", "*.ttf", "__pycache__")


class Checkout:
    """A copy of the repository that somebody changes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.touched: set[str] = set()
        for folder in ("bench", "tasks"):
            ignored = shutil.ignore_patterns(*WEIGHTS_AND_FONTS)
            shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
        (root / "example_docs").symlink_to(ROOT / "example_docs")

    def write(self, name: str, text: str) -> None:
        """Add a file."""
        path = self.root / name
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.touched.add(name)

    def add_rows(self, name: str, rows: dict[str, str]) -> None:
        """Add text to an existing file: existing line → what to write after it."""
        text = (self.root / name).read_text(encoding="utf-8")
        for line, row in rows.items():
            assert text.count(f"\n{line}\n") == 1, line
            text = text.replace(f"\n{line}\n", f"\n{line}\n{row}\n")
        (self.root / name).write_text(text, encoding="utf-8")
        self.touched.add(name)

    def append(self, name: str, text: str) -> None:
        """Add text to the end of an existing file."""
        with (self.root / name).open("a", encoding="utf-8") as stream:
            stream.write(text)
        self.touched.add(name)

    def bench(self, *arguments: str) -> str:
        """Run the command line of this copy; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            env={**os.environ, "PYTHONPATH": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, model: str, task: str) -> dict[str, Any]:
        """Ask one model one question and score the answer."""
        self.bench(
            *["run", "--models", model, "--tasks", task, "--limit", "1"],
            *["--latency-samples", "0", "--no-warmup", "--no-report", "--out", "runs"],
        )
        (folder,) = Path("runs").iterdir()
        (outputs,) = folder.glob("*/*/outputs.jsonl")
        report = json.loads(self.bench("score", str(folder), "--json"))
        return {"answer": json.loads(outputs.read_text())["text"], "report": json.dumps(report)}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def page(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (40, 60), 200).save(path)
    return path


MODEL = '\n[models.{name}]\nbackend = "{backend}"\nlicense = "cc0-1.0"\n'
SAMPLE = {"id": "1", "images": ["page.png"], "question": "Total?", "answers": ["TOTAL?"]}


def test_a_task_is_one_folder(checkout: Checkout) -> None:
    checkout.write("tasks/waybills/samples.jsonl", json.dumps(SAMPLE) + "\n")
    checkout.write("tasks/waybills/task.toml", 'metrics = ["exact_match"]\n')
    page(checkout.root / "tasks/waybills/page.png")
    assert "waybills" in checkout.bench("list", "tasks")
    assert "exact_match" in checkout.run("fake", "waybills")["report"]
    assert {Path(name).parent for name in checkout.touched} == {Path("tasks/waybills")}


def test_a_metric_is_a_function_and_a_row(checkout: Checkout, make_task: Any) -> None:
    checkout.write(
        "bench/metrics/shouting.py",
        '"""Scores answers in capitals."""\n\n\n'
        "def shouted(answer: str, references: list[str]) -> float:\n"
        '    """Return 1 if the answer is a reference in capitals."""\n'
        "    return float(answer in [reference.upper() for reference in references])\n",
    )
    checkout.add_rows(
        "bench/metrics/table.py",
        {
            "from __future__ import annotations": ("from bench.metrics.shouting import shouted"),
            "_ROWS: Final = (": (
                '    Metric(name="shouted", title="Shouted", direction="higher", range=(0.0, 1.0),\n'
                '        definition="1 if the answer is a reference in capitals.",\n'
                '        source="own definition", variant="no blanks are removed",\n'
                "        answer_types=_TEXT, score=text_metric(shouted)),"
            ),
        },
    )
    task = make_task([{**SAMPLE, "images": ["p0.png"]}], toml='metrics = ["shouted"]\n')
    assert "shouted" in checkout.bench("list", "metrics")
    assert "shouted" in checkout.run("fake", str(task))["report"]
    assert checkout.touched == {"bench/metrics/shouting.py", "bench/metrics/table.py"}


def test_a_model_is_a_row_of_the_catalog(checkout: Checkout, make_task: Any) -> None:
    checkout.append("bench/models/catalog.toml", MODEL.format(name="pocket", backend="fake"))
    assert "pocket" in checkout.bench("list", "models")
    assert checkout.run("pocket", str(make_task()))["answer"] == ""
    assert checkout.touched == {"bench/models/catalog.toml"}


def test_a_model_of_ones_own_is_a_table_of_bench_toml(checkout: Checkout, make_task: Any) -> None:
    table = '[models.small]\nmodel = "fake"\noptions = { default = "from a table" }\n'
    Path("bench.toml").write_text(table, encoding="utf-8")
    assert checkout.run("small", str(make_task()))["answer"] == "from a table"
    assert checkout.touched == set()


BACKEND = '''\
"""Answers every question in capitals."""

from bench.schema import Batch, ModelInfo, Output


class Shout:
    """A backend as small as it can be."""

    def __init__(self, spec):
        self.spec = spec

    def load(self):
        return ModelInfo(backend="shout", details={})

    def generate(self, groups):
        requests = [request for group in groups for request in group.requests]
        return Batch(tuple(Output(r.sample_id, r.question.upper(), "stop") for r in requests))

    def expect(self, groups): ...

    def economize(self): ...

    def reset(self): ...
'''


def test_a_backend_is_one_file_and_a_row(checkout: Checkout, make_task: Any) -> None:
    checkout.write("bench/models/shout.py", BACKEND)
    row = '    "shout": Backend("bench.models.shout:Shout", BackendTraits()),'
    checkout.add_rows("bench/models/backends.py", {"BACKENDS: dict[str, Backend] = {": row})
    assert checkout.touched == {"bench/models/shout.py", "bench/models/backends.py"}
    # A model that uses the backend is another row, as for every model.
    checkout.append("bench/models/catalog.toml", MODEL.format(name="loud", backend="shout"))
    task = make_task([{**SAMPLE, "images": ["p0.png"]}])
    assert checkout.run("loud", str(task))["answer"] == "TOTAL?"


def test_the_documentation_names_the_files_that_are_touched() -> None:
    text = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    for name in (
        "bench/metrics/table.py",
        "bench/models/catalog.toml",
        "bench/models/backends.py",
        "bench/report/sections/__init__.py",
    ):
        assert f"`{name}`" in text
        assert (ROOT / name).is_file()
