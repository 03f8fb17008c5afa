"""Fuzzes what the harness reads from outside: pages, checkpoints, adapters, tasks, options, runs, baselines.

    python benchmarks/fuzz.py --cases 2000 --seed 1

Every case is made from a seed, so a failure can be made again with ``--seed``. A case passes if it is read,
or if it ends in one error line of the harness. A traceback is a failure, and so are more than ``--slowest``
seconds.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.errors import BenchError, InvalidInput  # noqa: E402
from bench.files import read_lines, write_json  # noqa: E402
from bench.gate.baseline import content_digest  # noqa: E402
from bench.models.catalog import user_models  # noqa: E402
from bench.models.checkpoints import read_adapter, read_checkpoint, stored_weights  # noqa: E402
from bench.rundir.listing import find_runs  # noqa: E402
from bench.storage import MANIFEST, push_folder  # noqa: E402
from bench.tasks.guard import text_layer  # noqa: E402
from bench.tasks.loading import check_task  # noqa: E402
from bench.tasks.pages import open_page, read_pages  # noqa: E402
from bench.tasks.taskfile import check_task_file  # noqa: E402
from tests.damage import (  # noqa: E402
    FOR_PROGRAMMERS,
    Ended,
    call,
    damage,
    replace_somewhere,
    unguarded_run,
    verbs_that_read,
    write_odd_adapter,
)

EXAMPLES = ROOT / "example_docs"
CHECKPOINT = ROOT / "bench" / "models" / "bundled" / "qwen2-vl-nano"
TASK = b"""\
name = "fuzz"
version = "1"
title = "A task"
answer_type = "text"
metrics = ["anls", "exact_match"]

[prompt]
template = "{question}"

[generation]
max_new_tokens = 32
stop = ["\\n"]
"""
MODELS = b"""\
[run]
models = ["a"]
limit = 3

[models.a]
model = "qwen2-vl-2b"
dtype = "fp32"
max_pixels = 100352
"""
UNCLEAR = re.compile(f"\n|\x1b|{FOR_PROGRAMMERS.pattern}")
SAMPLES = b"""\
{"id": "1", "images": ["page.png"], "question": "Total?", "answers": ["4711.00"], "metadata": {"a": "b"}}
{"id": "2", "images": ["page.png"], "question": "Date?", "answer": "1 May", "answer_type": "text"}
"""
RULES = b"""\
margin = 0.02
must_pass = ["en-00/q0"]

[tasks]
invoices-en = 0.03

[fields]
total = 0.01

[ratios]
failures = 1.5
"""
ODD_NAMES = (
    "../x",
    "/etc/passwd",
    "a/../../x",
    ".hidden",
    "a\\b",
    "a//b",
    "",
    "x" * 300,
    "a\n",
    "\x00",
)
PIECES = (
    b"[" * 5_000,
    b"{" * 5_000,
    b"9" * 6_000,
    b"0x" + b"f" * 6_000,
    b".a" * 3_000,
    b'"a":1,"a":2,',
    b"\xff\xfe\x00",
    "²٣".encode(),
    b"nan",
    b"-Infinity",
    b"1979-05-27",
    b"\x1b[31m",
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e999",
    b'"',
    b"\n",
)


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Change some bytes, put in or repeat a piece, or cut the end off."""
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4, 16])):
        place = draw.randrange(len(changed) + 1)
        match draw.randrange(5):
            case 0:
                changed[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                changed[place:place] = draw.choice(PIECES)
            case 2:
                end = place + draw.randrange(1, 200)
                changed[place:end] = draw.choice(PIECES)
            case 3:
                changed[place:place] = changed[place : place + draw.randrange(1, 500)]
            case 4:
                del changed[place : place + draw.randrange(1, 500)]
    if draw.random() < 0.1:
        del changed[draw.randrange(len(changed) + 1) :]
    return bytes(changed)


def page(folder: Path, draw: random.Random) -> None:
    """A damaged example page: counted, decoded, and its text layer read."""
    sources = [path for path in sorted(EXAMPLES.iterdir()) if path.suffix not in {".md", ".txt"}]
    source = draw.choice(sources)
    path = folder / f"page{draw.choice(['.png', '.pdf', '.tif', source.suffix])}"
    path.write_bytes(damaged(source.read_bytes(), draw))
    for each in read_pages(path)[:3]:
        open_page(each)
        text_layer(each)


def checkpoint(folder: Path, draw: random.Random) -> None:
    """A checkpoint folder with damaged JSON."""
    names = ("config.json", "generation_config.json", "preprocessor_config.json")
    config = json.loads((CHECKPOINT / "config.json").read_text(encoding="utf-8"))
    index = {"weight_map": {"a": "model.safetensors"}, "metadata": {}}
    adapter = {"base_model_name_or_path": "base", "r": 8, "target_modules": ["q_proj"]}
    contents = dict.fromkeys(names, config) | {
        "model.safetensors.index.json": index,
        "adapter_config.json": adapter,
    }
    weights = (CHECKPOINT / "model.safetensors").read_bytes()[:4_000]
    for name in ("model.safetensors", "adapter_model.safetensors"):
        (folder / name).write_bytes(damaged(weights, draw))
    for name, content in contents.items():
        if draw.random() < 0.8:
            (folder / name).write_bytes(damaged(json.dumps(content).encode(), draw))
    problems = []
    for read in (read_checkpoint, read_adapter, stored_weights):
        try:
            read(folder)
        except BenchError as error:
            problems.append(error)
    if problems:
        raise problems[0]


def adapter(folder: Path, draw: random.Random) -> None:
    """A LoRA adapter with values of other types, odd patterns, or damaged bytes."""
    write_odd_adapter(folder, draw)
    for path in folder.iterdir():
        if draw.random() < 0.3:
            path.write_bytes(damaged(path.read_bytes(), draw))
    read_adapter(folder)


@functools.cache
def whole_run() -> Path:
    """A run that is copied and damaged again and again."""
    folder = tempfile.mkdtemp(prefix="bench-fuzz-run-")
    return unguarded_run(Path(folder)).path


def run(folder: Path, draw: random.Random) -> None:
    """A run directory, one or two of whose files are damaged, and a verb that reads it."""
    path = folder / "results" / "run"
    shutil.copytree(whole_run(), path)
    for _ in range(draw.choice([1, 1, 2])):
        damage(draw.choice(sorted(path.rglob("*.json*"))), draw)
    check_end(call(*draw.choice(verbs_that_read(path))))


def check_end(ended: Ended, *statuses: int) -> None:
    """Raise what a verb has complained of; other exit statuses than 0, 2 and ``statuses`` are faults."""
    if FOR_PROGRAMMERS.search(ended.complaint) or ended.status not in {0, 2, *statuses}:
        raise RuntimeError(f"exit status {ended.status}: {ended.complaint}")
    if ended.status == 2:
        said = [line for line in ended.complaint.splitlines() if line.startswith("error:")]
        raise InvalidInput("".join(said) or f"no line: {ended.complaint}\n")


UNFINISHED = """\
[models.a]
model = "fake"
options = { default = "value {sample_id}", fail = ["1"] }

[models.b]
model = "fake"
options = { default = "value" }
"""


@functools.cache
def unfinished_run() -> Path:
    """A folder with a task, a configuration, and a run of them that was stopped before it was done."""
    folder = Path(tempfile.mkdtemp(prefix="bench-fuzz-unfinished-"))
    write_own_task(folder)
    ended = call(*run_command(folder))
    assert ended.status == 0, ended.complaint
    (path,) = (folder / "results").iterdir()
    # The other model is done, and this one has some of its answers.
    for done in path.glob("b/**/done.json"):
        done.unlink()
    outputs = path / "b" / "mine" / "outputs.jsonl"
    outputs.write_bytes(b"".join(outputs.read_bytes().splitlines(keepends=True)[:2]))
    shutil.rmtree(path / "scores")
    return folder


def write_own_task(folder: Path) -> None:
    """Write a task of six questions about one page, and a configuration with two models."""
    (folder / "mine").mkdir()
    (folder / "mine" / "page.png").write_bytes((EXAMPLES / "form-en-1.png").read_bytes())
    rows = [{**json.loads(SAMPLES.splitlines()[0]), "id": f"{number}"} for number in range(6)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "mine" / "samples.jsonl").write_text(lines)
    (folder / "bench.toml").write_text(UNFINISHED)


def run_command(folder: Path, *more: str) -> list[str]:
    """The arguments of ``bench`` that begin or continue the run in ``folder``."""
    return [
        *["run", "--config", str(folder / "bench.toml"), "--models", "a,b"],
        *["--tasks", str(folder / "mine"), "--out", str(folder / "results"), "--no-report"],
        *["--batch-size", "2", "--latency-samples", "1", *more],
    ]


def resume(folder: Path, draw: random.Random) -> None:
    """An unfinished run, one or two of whose files are damaged, and the command that continues it."""
    work = folder / "work"
    shutil.copytree(unfinished_run(), work)
    (path,) = (work / "results").iterdir()
    for _ in range(draw.choice([1, 1, 2])):
        damage(draw.choice(sorted(path.rglob("*.json*"))), draw)
    more = draw.choice([[], ["--resume", str(path)], ["--retry-failed"], ["--fresh"]])
    ended = call(*run_command(work, *more))
    check_end(ended, 3)
    check_that_all_was_asked(work / "results", ended.status)


def check_that_all_was_asked(results: Path, status: int) -> None:
    """A command that ends well has left a run with an answer to every question."""
    are_whole = [
        all(
            len(each.answered(model, "mine")) == len(each.load_task("mine").samples)
            for model in each.model_names()
        )
        for each in find_runs(results)
    ]
    if status == 0 and not any(are_whole):
        raise RuntimeError("exit status 0, but answers are missing")


@functools.cache
def baseline_text() -> str:
    """A baseline of ``whole_run``, without its digest."""
    path = whole_run().with_suffix(".baseline.json")
    assert call("gate", f"{whole_run()}:a", "--write-baseline", str(path)).status == 0
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["sha256"]
    return json.dumps(content)


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """A baseline with the digest that fits it, as whoever forges one would write it."""
    body = {key: value for key, value in content.items() if key not in ("format", "version")}
    try:
        return {**content, "sha256": content_digest(body)}
    except ValueError:
        return content


def baseline(folder: Path, draw: random.Random) -> None:
    """A baseline with other values at any depth, or damaged bytes, and a damaged file of rules."""
    content = json.loads(baseline_text())
    for _ in range(draw.choice([0, 1, 1, 2])):
        replace_somewhere(content, draw)
    data = json.dumps(sealed(content)).encode()
    (folder / "b.json").write_bytes(damaged(data, draw) if draw.random() < 0.2 else data)
    rules = damaged(RULES, draw) if draw.random() < 0.2 else RULES
    (folder / "gate.toml").write_bytes(rules)
    more = draw.choice([[], ["--rules", str(folder / "gate.toml")], ["--ratio", "memory=1.1"]])
    kept = ["--markdown", str(folder / "g.md"), "--junit", str(folder / "g.xml")]
    shown = draw.choice([kept, ["--json"]])
    check_end(call("gate", str(folder / "b.json"), f"{whole_run()}:a", *more, *shown), 5, 6, 7)


def export(folder: Path, draw: random.Random) -> None:
    """A damaged run that is exported, or whose scores become a baseline."""
    path = folder / "results" / "run"
    shutil.copytree(whole_run(), path)
    damage(draw.choice(sorted(path.rglob("*.json*"))), draw)
    out = ["--out", str(folder / "out")]
    verbs = [
        ["export", "predictions", str(path), *out, "--pages", "--references"],
        ["export", "predictions", str(path), *out, "--format", "csv"],
        ["export", "eee", str(path), *out],
        ["export", "hf", str(path), "--model", "a", *out],
        ["gate", f"{path}:a", "--write-baseline", str(folder / "b.json")],
        ["gate", f"{path}:a", f"{whole_run()}:a", "--must-pass", "en-00/q0"],
    ]
    check_end(call(*draw.choice(verbs)), 5, 6, 7)


def check(folder: Path, draw: random.Random) -> None:
    """A run whose record of ``bench check`` is damaged, and its report."""
    path = folder / "results" / "run"
    shutil.copytree(whole_run(), path)
    record = {
        **{"when": "2026-01-01T00:00:00Z", "runs": ["x", "y"], "how": ["in batches", "alone"]},
        **{"checked": "a", "against": "b", "verdict": "differs", "sentence": "one differs"},
        **{"margin": 0.01, "rows": [{"task": "invoices-en", "answers": 3}]},
        "differing": [{"task": "t", "sample_id": "1", "first": "x", "second": "y",
                       "divergence": {"sentence": "at the first token"}}],
    }  # fmt: skip
    write_json(path / "a" / "checks.json", record)
    damage(path / "a" / "checks.json", draw)
    if (path / "a" / "checks.json").is_file():
        data = (path / "a" / "checks.json").read_bytes().replace(b"\n", b"") + b"\n"
        (path / "a" / "checks.jsonl").write_bytes(data)
    check_end(call("report", str(path), "--format", "html,md,csv,json"))


@functools.cache
def parts() -> Path:
    """A folder with a task, and with a run of it in two parts."""
    folder = Path(tempfile.mkdtemp(prefix="bench-fuzz-parts-"))
    write_own_task(folder)
    for number in "12":
        ended = call(*run_command(folder, "--shard", f"{number}/2"))
        assert ended.status == 0, ended.complaint
    return folder


def part(folder: Path, draw: random.Random) -> None:
    """Two parts of a run, one or two of whose files are damaged, and the command that joins them."""
    results = folder / "results"
    shutil.copytree(parts() / "results", results)
    for _ in range(draw.choice([1, 1, 2])):
        damage(draw.choice(sorted(results.rglob("*.json*"))), draw)
    check_end(call("merge", *map(str, sorted(results.iterdir())), "--no-report"), 4)


def manifest(folder: Path, draw: random.Random) -> None:
    """A folder on object storage whose manifest or files are damaged, and the command that reads it."""
    system, address = fsspec.filesystem("memory"), "memory://bucket/run"
    system.store.clear()
    push_folder(whole_run(), address)
    name = draw.choice([MANIFEST, MANIFEST, MANIFEST, "run.json"])
    place = f"/bucket/run/{name}"
    data = system.cat_file(place)
    if name == MANIFEST and draw.random() < 0.7:
        content = json.loads(data)
        replace_somewhere(content, draw)
        if draw.random() < 0.3:
            files = content.get("files")
            if isinstance(files, dict) and files:
                files[draw.choice(ODD_NAMES)] = files[draw.choice(list(files))]
        data = json.dumps(content).encode()
    else:
        data = damaged(data, draw)
    system.pipe_file(place, data)
    os.environ["XDG_CACHE_HOME"] = str(folder / "home" / "cache")
    try:
        check_end(call("report", address, "--out", str(folder / "report" / "a.csv")))
    finally:
        # Whatever the manifest says, nothing is written elsewhere.
        assert {path.name for path in folder.iterdir()} <= {"home", "report"}
        assert {path.name for path in folder.glob("home/*")} <= {"cache"}


def decisions(folder: Path, draw: random.Random) -> None:
    """Decisions on findings, with other values at any depth or damaged bytes."""
    write_own_task(folder)
    rows = [
        {"key": "a", "decision": "accept", "kind": "duplicate", "ids": ["0"], "message": "x"},
        {"key": "b", "decision": "mend", "answers": {"1": ["5"], "2": None}, "ids": ["1", "2"]},
    ]
    for _ in range(draw.choice([1, 1, 2])):
        replace_somewhere(draw.choice(rows), draw)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = folder / "findings.jsonl"
    path.write_bytes(damaged(data, draw) if draw.random() < 0.2 else data)
    check_end(call("data", "audit", str(folder / "mine"), "--apply", str(path)))
    check_task(folder / "mine").require_task(folder / "mine")


def task(folder: Path, draw: random.Random) -> None:
    """A task folder with a damaged task file and damaged samples."""
    (folder / "page.png").write_bytes((EXAMPLES / "form-en-1.png").read_bytes())
    (folder / "task.toml").write_bytes(damaged(TASK, draw) if draw.random() < 0.6 else TASK)
    (folder / "samples.jsonl").write_bytes(damaged(SAMPLES, draw))
    check_task_file(folder / "task.toml")
    check_task(folder)


def configuration(folder: Path, draw: random.Random) -> None:
    """A damaged ``bench.toml``."""
    path = folder / "bench.toml"
    path.write_bytes(damaged(MODELS, draw))
    user_models(path)


def records(folder: Path, draw: random.Random) -> None:
    """Damaged JSON lines of a run directory."""
    path = folder / "outputs.jsonl"
    path.write_bytes(damaged(SAMPLES, draw))
    list(read_lines(path))


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    "page": page,
    "checkpoint": checkpoint,
    "adapter": adapter,
    "task": task,
    "configuration": configuration,
    "records": records,
    "run": run,
    "resume": resume,
    "baseline": baseline,
    "export": export,
    "check": check,
    "part": part,
    "manifest": manifest,
    "decisions": decisions,
}


def main() -> int:
    """Run the cases of every kind and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=500, help="cases of each kind")
    parser.add_argument("--seed", type=int, default=1, help="number of the first case")
    parser.add_argument("--slowest", type=float, default=10.0, help="seconds that a case may take")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind")
    options = parser.parse_args()
    failures = 0
    for kind in options.kind or KINDS:
        results: Counter[str] = Counter()
        longest = 0.0
        for seed in range(options.seed, options.seed + options.cases):
            start = time.perf_counter()
            with tempfile.TemporaryDirectory(prefix="bench-fuzz-") as folder:
                try:
                    KINDS[kind](Path(folder), random.Random(seed))
                    results["read"] += 1
                except BenchError as error:
                    is_clear = not UNCLEAR.search(error.message)
                    results["one line" if is_clear else "unclear"] += 1
                    failures += not is_clear
                except Exception:
                    results["traceback"] += 1
                    failures += 1
                    print(f"--- {kind}, seed {seed}")
                    traceback.print_exc()
            seconds = time.perf_counter() - start
            longest = max(longest, seconds)
            if seconds > options.slowest:
                results["too slow"] += 1
                failures += 1
                print(f"--- {kind}, seed {seed}: {seconds:.1f} s")
        counts = ", ".join(f"{name} {number}" for name, number in sorted(results.items()))
        print(f"{kind:14} {counts}; slowest case {longest:.2f} s", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
