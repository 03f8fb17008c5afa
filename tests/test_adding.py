"""What docs/adding.md promises: a stranger adds a thing in one file and one row, and it works at once.

Each test changes a copy of the checkout and asks one question through the command line. What a report section
takes is tested with the report.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import bench

ROOT = Path(bench.__file__).resolve().parent.parent
WEIGHTS_AND_FONTS = ("*.safetensors", "*.otf", "*.ttf")


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

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace text that a file has once."""
        text = (self.root / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        (self.root / name).write_text(text.replace(old, new), encoding="utf-8")
        self.touched.add(name)

    def ask(self, *arguments: str, model: str = "fake") -> None:
        """Ask one model one question; the arguments name the task."""
        self.bench(
            *["run", "--models", model, *arguments, "--limit", "1"],
            *["--latency-samples", "0", "--no-warmup", "--no-report", "--out", "runs"],
        )

    def run(self, model: str, task: str) -> dict[str, Any]:
        """Ask one model one question and score the answer."""
        self.ask("--tasks", task, model=model)
        (folder,) = Path("runs").iterdir()
        (outputs,) = folder.glob("*/*/outputs.jsonl")
        report = json.loads(self.bench("score", str(folder), "--json"))
        return {"answer": json.loads(outputs.read_text())["text"], "report": json.dumps(report)}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def documented(words: str) -> str:
    """The code in docs/adding.md whose first line has ``words``, with two blank lines before it."""
    text = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"^```python\n([^\n]*{re.escape(words)}.*?)^```", text, re.M | re.S)
    return f"\n\n{code}"


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


def test_a_perturbation_is_a_function_and_a_row(checkout: Checkout, make_task: Any) -> None:
    checkout.append("bench/tasks/perturbing/kinds.py", documented("def dim"))
    row = '    "dim": kinds.dim,'
    checkout.add_rows("bench/tasks/perturbing/__init__.py", {'    "crop": kinds.crop,': row})
    checkout.ask("--perturb", "dim:3", "--tasks", str(make_task()))
    (outputs,) = Path("runs").glob("*/*/mine@dim-3/outputs.jsonl")
    assert json.loads(outputs.read_text())["error"] is None
    assert checkout.touched == {
        "bench/tasks/perturbing/kinds.py",
        "bench/tasks/perturbing/__init__.py",
    }


def test_a_page_benchmark_is_a_file_a_folder_a_row_and_a_name(
    checkout: Checkout, tmp_path: Path
) -> None:
    rooms = "bench/tasks/page_benchmarks"
    checkout.write(f"{rooms}/plain_pages.py", documented("plain_pages.py"))
    checkout.write(
        "tasks/plain-pages/task.toml",
        'name = "plain-pages"\nanswer_type = "markdown"\nmetrics = ["parsing_text"]\n'
        '[local]\nlayout = "plain-pages"\nid = "acme/plain-pages"\n',
    )
    checkout.add_rows(
        f"{rooms}/__init__.py",
        {
            "from bench.tasks.page_benchmarks import olmocr_bench, omnidocbench": (
                "from bench.tasks.page_benchmarks import plain_pages"
            ),
            '    "olmocr-bench": (olmocr_bench.home, olmocr_bench.page_samples),': (
                '    "plain-pages": (plain_pages.home, plain_pages.page_samples),'
            ),
        },
    )
    checkout.replace("bench/tasks/taskfile.py", '"olmocr-bench"]', '"olmocr-bench", "plain-pages"]')
    copy = page(tmp_path / "copy" / "p.png").parent
    record = {"image": "p.png", "markdown": "# Invoice"}
    (copy / "pages.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    checkout.ask("--tasks", f"plain-pages={copy}")
    (scores,) = Path("runs").glob("*/scores/summary.json")
    assert "parsing_text" in scores.read_text(encoding="utf-8")
    assert checkout.touched == {
        f"{rooms}/plain_pages.py",
        f"{rooms}/__init__.py",
        "tasks/plain-pages/task.toml",
        "bench/tasks/taskfile.py",
    }


def test_the_documentation_names_the_files_that_are_touched() -> None:
    text = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    for name in (
        "bench/metrics/table.py",
        "bench/models/catalog.toml",
        "bench/models/backends.py",
        "bench/report/sections/__init__.py",
        "bench/tasks/perturbing/__init__.py",
        "bench/tasks/page_benchmarks/__init__.py",
        "bench/tasks/taskfile.py",
        "bench/cli/export.py",
    ):
        assert f"`{name}`" in text
        assert (ROOT / name).is_file()
