"""Kills commands at random moments with SIGKILL or Ctrl-C, and types the same command again.

    python benchmarks/kills.py --cases 10 --seed 1

A case passes if the stopped command printed no traceback, if the same command then ends well or says what to
type, if it makes the files that a command makes which nobody has stopped, and if no temporary file is left.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.litter import TEMPORARY  # noqa: E402
from tests.hub_server import Hub, serve  # noqa: E402
from tests.run_fixture import FixtureModel, make_run, make_tasks  # noqa: E402
from tests.source_fixtures import chartqa  # noqa: E402

NANO = "qwen2-vl-nano"
PATIENCE = 600
"""Seconds after which a command counts as one that does not end."""


class Kind(NamedTuple):
    """A command that is stopped."""

    arguments: tuple[str, ...]
    """They name files from the folder in which the command is typed."""
    prepare: Callable[[Path], None]
    """Makes what the command reads."""
    varies: tuple[str, ...] = ()
    """Ends of names of files that hold a time, or how often a training went on."""
    hint: str = "--overwrite"
    """What the same command may say to type."""


def _nothing(folder: Path) -> None:
    pass


def _run(folder: Path) -> None:
    make_run(folder / "results", [FixtureModel("a"), FixtureModel("b")], make_tasks(20, 2, ["en"]))


def _data_set(folder: Path) -> None:
    data = folder / "repository" / "data"
    data.mkdir(parents=True)
    chartqa().to_parquet(str(data / "test-00000-of-00001.parquet"))
    card = (
        "configs:\n- config_name: default\n  data_files:\n  - split: test\n    path: data/test-*\n"
    )
    (folder / "repository" / "README.md").write_text(f"---\n{card}---\n")
    (folder / "charts").mkdir()
    (folder / "charts" / "task.toml").write_text(
        'name = "charts"\nlicense = "MIT"\n[dataset]\nid = "owner/charts"\nsplit = "test"\n'
        '[dataset.columns]\nquestion = "question"\nanswers = "answer"\nimages = "image"\n'
    )


def _documents(folder: Path) -> None:
    settings = ["--kind", "slip", "--lang", "en", "--layout", "card", "--scan", "clean", "-n", "16"]
    _bench(folder, "data", "synth", "cards", *settings)
    _bench(folder, "data", "split", "cards")


def _adapter(folder: Path) -> None:
    _documents(folder)
    _bench(folder, *KINDS["tune"].arguments)


TUNE = (
    *("tune", "-m", NANO, "-t", "cards", "--out", "tuned", "--rank", "4", "--batch-tokens", "512"),
    *("--max-steps", "4", "--validate-every", "2"),
)
KINDS = {
    "perturb": Kind(("data", "perturb", "slips", "--perturb", "scan,fax", "-n", "3"), _nothing),
    "synth": Kind(
        ("data", "synth", "drawn", "--kind", "slip", "--lang", "en"), _nothing, hint="--out"
    ),
    "predictions": Kind(("export", "predictions", "last", "--out", "release"), _run),
    "records": Kind(("export", "eee", "last", "--out", "store"), _run, (".json", ".jsonl")),
    "report": Kind(("report", "last", "--out", "page"), _run, (".html", ".md")),
    "pull": Kind(("pull", "--tasks", "charts"), _data_set, ("done.json",)),
    "local": Kind(
        ("run", "-m", "fake", "-t", "chartqa=repository/data", "--dry-run"),
        _data_set,
        ("done.json",),
    ),
    "tune": Kind(TUNE, _documents, ("tune.json", "history.jsonl", ".svg"), "--fresh"),
    "merge": Kind(("tune", "--merge", "tuned", "--out", "merged"), _adapter, hint="--out"),
}


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    complaint: str
    seconds: float


@contextmanager
def _started(folder: Path, arguments: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    # A session of its own: Ctrl-C reaches all processes of a command, and nobody else.
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "HF_HOME": str(folder / "hf"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process


def _bench(folder: Path, *arguments: str) -> Ended:
    began = time.monotonic()
    with _started(folder, arguments) as process:
        _, complaint = process.communicate(timeout=PATIENCE)
    return Ended(process.returncode, complaint, time.monotonic() - began)


def _stopped(folder: Path, arguments: tuple[str, ...], after: float, number: int) -> Ended:
    """Send the signal ``number`` to the processes of a command ``after`` so many seconds."""
    with _started(folder, arguments) as process:
        try:
            _, complaint = process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, number)
            _, complaint = process.communicate(timeout=PATIENCE)
    return Ended(process.returncode, complaint, after)


def _files(folder: Path, varies: tuple[str, ...]) -> dict[str, str]:
    """Name of every file → the digest of its content, where that does not vary."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith("hf/"):
            same = not name.endswith(varies) if varies else True
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if same else ""
    return found


def _fault(kind: Kind, folder: Path, whole: dict[str, str], stopped: Ended) -> str:
    """What is wrong after a command was stopped; empty if nothing is."""
    # Before the first module of the program is imported, a traceback is Python's own.
    if "Traceback" in stopped.complaint and f"{ROOT}/bench/" in stopped.complaint:
        return f"a traceback: {stopped.complaint}"
    again = _bench(folder, *kind.arguments)
    if again.status == 2 and kind.hint in again.complaint:
        if kind.hint == "--overwrite":
            again = _bench(folder, *kind.arguments, kind.hint)
        else:
            # The command was done when it was stopped.
            again = again._replace(status=0)
    if again.status != 0 or "Traceback" in again.complaint:
        return f"the same command ended with {again.status}: {again.complaint}"
    litter = [path.name for path in folder.rglob("*") if TEMPORARY.fullmatch(path.name)]
    if litter:
        return f"temporary files are left: {litter}"
    found = _files(folder, kind.varies)
    if found != whole:
        return f"other files: {sorted(set(found.items()) ^ set(whole.items()))[:6]}"
    return ""


def attack(name: str, cases: range) -> int:
    """Stop the command ``name`` as often as there are cases, print what became of it, and count faults."""
    kind = KINDS[name]
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="bench-kills-") as place:
        prepared = Path(place) / "prepared"
        prepared.mkdir()
        kind.prepare(prepared)
        # One folder for all cases, because a copy of a data set is called after the place of its files.
        folder = Path(place) / "case"
        shutil.copytree(prepared, folder)
        unbroken = _bench(folder, *kind.arguments)
        assert unbroken.status == 0, unbroken.complaint
        whole = _files(folder, kind.varies)
        for seed in cases:
            draw = random.Random(seed)
            shutil.rmtree(folder)
            shutil.copytree(prepared, folder)
            number = draw.choice([signal.SIGKILL, signal.SIGINT])
            stopped = _stopped(folder, kind.arguments, draw.random() * unbroken.seconds, number)
            fault = _fault(kind, folder, whole, stopped)
            counts[f"{number.name} {'fault' if fault else 'passed'}"] += 1
            if fault:
                print(f"--- {name}, seed {seed}, {number.name}: {fault}", flush=True)
    said = ", ".join(f"{what} {count}" for what, count in sorted(counts.items()))
    print(f"{name:12} {said}; a whole command takes {unbroken.seconds:.1f} s", flush=True)
    return sum(count for what, count in counts.items() if what.endswith("fault"))


def main() -> int:
    """Attack every kind of command, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10, help="cases of each kind")
    parser.add_argument("--seed", type=int, default=1, help="number of the first case")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind")
    options = parser.parse_args()
    hub = Hub()
    with serve(hub), tempfile.TemporaryDirectory(prefix="bench-kills-hub-") as place:
        _data_set(Path(place))
        hub.repositories["owner/charts"] = Path(place) / "repository"
        os.environ["HF_ENDPOINT"] = hub.url
        cases = range(options.seed, options.seed + options.cases)
        faults = sum(attack(name, cases) for name in options.kind or KINDS)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
