"""A run that was damaged at random places is continued to the scores of an unbroken one, or refused."""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from bench.errors import InvalidInput
from bench.files import write_lines
from bench.rundir.store import RunStore
from bench.runner import RunPlan, RunSettings, execute, plan_run
from bench.runner.shards import Shard
from bench.runner.worker import Worker
from bench.schema import ModelSpec
from bench.scoring.evaluation import evaluate, write_scores
from bench.tasks import load_task

CELL = Path("b", "mine")
DEAD = 4_194_304
"""The number of a process that cannot be: it is above the largest one."""


def cut(run: Path, chance: random.Random) -> None:
    """Cut off the end of a file, as a power failure does."""
    path = chance.choice(sorted((run / CELL).glob("*.jsonl")))
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size + 1)])


def flip(run: Path, chance: random.Random) -> None:
    """Change a bit of an answer or of a question."""
    path = chance.choice([run / CELL / "outputs.jsonl", run / "mine" / "samples.jsonl"])
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def unmark(run: Path, chance: random.Random) -> None:
    """Remove a marker, or what can be made again."""
    names = [
        "done.json",
        "mine/done.json",
        "model.json",
        "mine/batches.jsonl",
        "mine/latency.jsonl",
    ]
    (run / "b" / chance.choice(names)).unlink(missing_ok=True)


def divide(run: Path, chance: random.Random) -> None:
    """Leave some answers in the file of a second process, one of them in both, as a killed merge does."""
    lines = (run / CELL / "outputs.jsonl").read_bytes().splitlines(keepends=True)
    place = chance.randrange(1, len(lines))
    (run / CELL / "outputs.jsonl").write_bytes(b"".join(lines[:place]))
    (run / CELL / "outputs.shard-1.jsonl").write_bytes(b"".join(lines[place - 1 :]))


def set_aside(run: Path, chance: random.Random) -> None:
    """Stop between the two steps of ``--retry-failed``: a failure is in both files."""
    lines = (run / CELL / "outputs.jsonl").read_bytes().splitlines(keepends=True)
    (run / CELL / "failures.jsonl").write_bytes(chance.choice(lines))


def lose(run: Path, chance: random.Random) -> None:
    """Remove a model's folder, or that of one task of it."""
    shutil.rmtree(run / chance.choice([CELL, Path("b"), Path("scores")]), ignore_errors=True)


def litter(run: Path, chance: random.Random) -> None:
    """Leave a file that a killed process has not finished."""
    folder = chance.choice([run, run / "b", run / "mine"])
    (folder / f".outputs.jsonl.{DEAD}-abcdefgh").write_bytes(b'{"half')


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    *(cut, flip, unmark, divide, set_aside, lose, litter),
)


class Unbroken(NamedTuple):
    """A run that nothing happened to."""

    plan: RunPlan
    path: Path
    scores: dict[str, bytes]


def scores_of(run: RunStore) -> dict[str, bytes]:
    write_scores(evaluate(run, reuse=False))
    folder = run.path / "scores"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jsonl")}


def in_this_process(run: RunStore, name: str, *_: Any) -> int:
    """Run a model as its own process does."""
    shard = Shard(0, 1, "", "2026-01-01T00:00:00Z", None)
    return Worker(RunStore.open(run.path), name, io.StringIO(), shard).work()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    folder = tmp_path_factory.mktemp("unbroken")
    (folder / "mine").mkdir()
    rows = []
    for document in range(3):
        Image.new("L", (40 + document, 60), 200).save(folder / "mine" / f"{document}.png")
        rows += [
            {
                "id": f"{document}/{number}",
                "images": [f"{document}.png"],
                "question": f"What is field {number}?",
                "answers": [f"value {document}/{number}"],
            }
            for number in range(3)
        ]
    write_lines(folder / "mine" / "samples.jsonl", rows)
    specs = [
        ModelSpec("a", "fake", options={"default": "value"}),
        ModelSpec("b", "fake", options={"default": "value {sample_id}", "fail": ["1/1"]}),
    ]
    settings = RunSettings(batch_size=2, latency_samples=2)
    plan = plan_run(specs, [load_task(folder / "mine")], settings)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(execute.__globals__, "run_model", in_this_process)
        run = execute(plan, folder / "results").run
    return Unbroken(plan, run.path, scores_of(run))


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_run_is_continued_to_the_same_scores_or_refused(
    seed: int, unbroken: Unbroken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(execute.__globals__, "run_model", in_this_process)
    chance = random.Random(seed)
    run = tmp_path / "results" / unbroken.path.name
    shutil.copytree(unbroken.path, run)
    (run / "b" / "done.json").unlink()
    damages = chance.sample(DAMAGES, chance.choice([1, 1, 2]))
    for damage in damages:
        if (run / CELL / "outputs.jsonl").is_file():
            damage(run, chance)
    try:
        outcome = execute(unbroken.plan, run.parent)
        found = scores_of(outcome.run)
    except InvalidInput as error:
        # Nothing but a changed bit is no honest run any more.
        assert flip in damages, error
        return
    assert outcome.failed_models == ()
    assert outcome.run.is_complete()
    assert found == unbroken.scores
    assert not list(run.rglob(".*"))
    if flip not in damages:
        assert outcome.run.path == run
