"""What a wait policy and a number of threads cost on this machine, as busy as it is.

Usage: ``python benchmarks/threads.py [--task slips] [--model qwen2-vl-nano] [--repeat 1]``

Each row is a process of its own that answers one bundled task with one model, after a first call for warming
up. Run it on a quiet machine and on a busy one; the load average is printed with each row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

SETTINGS: dict[str, dict[str, str]] = {
    "as OpenMP has it": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "a short spin": {"GOMP_SPINCOUNT": "1000"},
}
"""Name → environment of the process."""
OURS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def answer(model: str, task: str) -> None:
    """Answer ``task`` with ``model`` and print seconds as JSON."""
    from bench.models import make_model
    from bench.models.catalog import resolve
    from bench.runner.batches import batched, page_groups, singles
    from bench.tasks.finding import expand_tasks
    from bench.tasks.loading import load_task

    (folder,) = expand_tasks([task])
    groups = page_groups(load_task(folder))
    backend = make_model(resolve(model, device="cpu"))
    backend.load()
    backend.generate(singles(groups)[0])
    wall, processor = time.perf_counter(), time.process_time()
    for batch in batched(groups, 16):
        backend.generate(batch)
    print(
        json.dumps(
            {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        )
    )


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="qwen2-vl-nano")
    parser.add_argument("--task", default="slips")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        answer(options.model, options.task)
        return
    print("| threads | waiting | wall, s | processor, s | load average |")
    print("|---|---|---|---|---|")
    clean = {name: value for name, value in os.environ.items() if name not in OURS}
    for _ in range(options.repeat):
        for threads in dict.fromkeys((1, os.cpu_count() or 1)):
            for name, setting in SETTINGS.items():
                command = [sys.executable, __file__, "--answer", "--model", options.model]
                printed = subprocess.run(
                    [*command, "--task", options.task],
                    env={**clean, "OMP_NUM_THREADS": str(threads), **setting},
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                took = json.loads(printed.splitlines()[-1])
                row = f"| {threads} | {name} | {took['wall']:.2f} | {took['processor']:.2f} |"
                print(f"{row} {os.getloadavg()[0]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
