"""Is a run on a Ray cluster the run on one machine, whatever dies? And what do more workers bring?

    pip install 'docvlm-bench[ray]'
    python benchmarks/on_ray.py            # about five minutes on two cores

Starts a cluster of several nodes on this machine (``ray.cluster_utils``). Then, with two scripted models: a
run without the cluster; on it; on it while a node is killed; on it while the driver is killed (SIGKILL to
every process of it) and its command repeated. The scores of all have to be equal byte by byte. Last, the time
of a model that sleeps with 1, 2 and 4 workers, and with ``--nano`` of the bundled model with 1 and 2.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MODELS = """
[models.sleepy]
model = "fake"
options = { delay = 0.1, default = "the answer to {question}" }
[models.other]
model = "fake"
options = { delay = 0.05, default = "{sample_id}" }
"""
QUICK = ("--no-report", "--latency-samples", "0", "--batch-size", "4")


def bench(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start ``bench run`` in a group of its own."""
    command = [sys.executable, "-m", "bench", "run", "--config", str(folder / "bench.toml")]
    with (folder / "out.txt").open("ab") as out:
        return subprocess.Popen(
            [*command, *options], stdout=out, stderr=out, cwd=folder, start_new_session=True
        )


def finished(process: subprocess.Popen[bytes]) -> None:
    """Wait until it has ended well."""
    if process.wait() != 0:
        sys.exit(f"bench run ended with status {process.returncode}")


def answered(results: Path) -> int:
    """Answers that are stored in a folder of runs."""
    lines = 0
    for path in results.glob("*/*/*/outputs*.jsonl"):
        lines += path.read_bytes().count(b"\n")
    return lines


def wait_for(results: Path, answers: int) -> None:
    """Wait until so many answers are stored."""
    while answered(results) < answers:
        time.sleep(0.05)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill every process of a command, those in sessions of their own as well."""
    import psutil

    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.send_signal(signal.SIGKILL)
    process.wait()


def scores(results: Path) -> Path:
    """The scores of the only run in a folder."""
    (folder,) = results.glob("*/scores")
    return folder


def is_equal(one: Path, other: Path) -> bool:
    """Whether two folders of scores hold the same bytes."""
    names = sorted(path.relative_to(one) for path in one.rglob("*.jsonl"))
    same = names == sorted(path.relative_to(other) for path in other.rglob("*.jsonl"))
    return same and all(filecmp.cmp(one / name, other / name, shallow=False) for name in names)


def survives(cluster: Any, spare: Any, folder: Path) -> None:
    """Compare the scores of runs that were and were not disturbed."""
    both = ("--models", "sleepy,other", "--tasks", "slips,receipts", *QUICK)
    on_ray = (*both, "--executor", "ray", "--workers", "3")
    finished(bench(folder, *both, "--out", "plain"))
    finished(bench(folder, *on_ray, "--out", "ray"))
    process = bench(folder, *on_ray, "--out", "node")
    wait_for(folder / "node", 30)
    cluster.remove_node(spare, allow_graceful=False)
    finished(process)
    process = bench(folder, *on_ray, "--out", "driver")
    wait_for(folder / "driver", 60)
    end_group(process)
    kept = answered(folder / "driver")
    finished(bench(folder, *on_ray, "--out", "driver"))
    log = "".join(path.read_text("utf-8") for path in (folder / "node").glob("*/log.txt"))
    print("| run | scores equal to those without a cluster | |")
    print("|---|---|---|")
    for name, words in (
        ("ray", "undisturbed"),
        ("node", f"a node killed; actors that were lost: {log.count('is gone')}"),
        ("driver", f"the driver killed after {kept} of 230 answers, then the same command"),
    ):
        equal = is_equal(scores(folder / "plain"), scores(folder / name))
        print(f"| {words} | {'yes' if equal else 'NO'} | |")


def scales(folder: Path, model: str, task: str, workers: tuple[int, ...]) -> None:
    """Print the rate of a model with each number of workers."""
    for count in workers:
        out = f"{model}-{count}"
        options = ("--models", model, "--tasks", task, "--executor", "ray", "--workers", str(count))
        finished(bench(folder, *options, *QUICK, "--out", out))
        print(f"| {model}, {count} workers | {offline_seconds(folder / out):.1f} |")


def offline_seconds(results: Path) -> float:
    """From the first to the last answer of a run, by the times that its batches say they took."""
    import json

    by_shard: dict[int, float] = {}
    for path in results.glob("*/*/*/batches*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            batch = json.loads(line)
            shard = batch.get("shard", 0)
            by_shard[shard] = by_shard.get(shard, 0.0) + batch["seconds"]
    return max(by_shard.values())


def main() -> None:
    """Start a cluster, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nano", action="store_true", help="scale the bundled model, too")
    chosen = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    from ray.cluster_utils import Cluster

    folder = Path(tempfile.mkdtemp(prefix="on-ray-"))
    (folder / "bench.toml").write_text(MODELS, encoding="utf-8")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        os.environ["RAY_ADDRESS"] = cluster.address
        cluster.add_node(num_cpus=2)
        spare = cluster.add_node(num_cpus=1)
        survives(cluster, spare, folder)
        print("\n| | seconds of the slowest worker |\n|---|---|")
        scales(folder, "sleepy", "slips", (1, 2, 4))
        if chosen.nano:
            scales(folder, "qwen2-vl-nano", "slips", (1, 2))
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
