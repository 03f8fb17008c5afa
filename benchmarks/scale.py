"""What the commands on a large run take: ``python benchmarks/scale.py [QUESTIONS]``.

Makes a run of QUESTIONS questions and 4 models without any model, and gives processor seconds and the peak of
memory of ``bench score``, ``report`` (without pages), ``show`` and ``compare``, each in a process of its own.
Run it with another version of the package on PYTHONPATH and the two can be compared.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.environ.get("PYTHONPATH", str(Path(__file__).resolve().parent.parent)))


def main(questions: int) -> None:
    """Print a line for each command."""
    from tests.run_fixture import MODELS, make_run, make_tasks

    # A run that nobody keeps need not wait for the disk.
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), MODELS, make_tasks(questions // 12, 4), previews=False)
        path = str(run.path)
        first, second = (f"{path}:{model.name}" for model in MODELS[:2])
        commands = (
            ["score", path],
            ["report", path, "--images", "none"],
            ["show", path, "invoices-zh/zh-100/q2"],
            ["compare", first, second],
        )
        for command in commands:
            seconds, peak = measure(command, Path(folder))
            print(
                f"{questions:>7,} {command[0]:8} {seconds:7.1f} s {peak / 1e6:7.0f} MB", flush=True
            )


def measure(command: list[str], folder: Path) -> tuple[float, int]:
    """Processor seconds of a command, and its largest resident memory in bytes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *command], stdout=subprocess.DEVNULL, cwd=folder
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"bench {' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
