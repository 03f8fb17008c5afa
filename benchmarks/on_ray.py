"""Is a run on a Ray cluster the run on one machine, whatever dies? And what do more workers bring?

    pip install 'docvlm-bench[ray]'
    python benchmarks/on_ray.py --nano     # about ten minutes on two cores

Starts a cluster of several nodes on this machine (``ray.cluster_utils``). Then, with two scripted models: a
run without the cluster; on it; on it while a node is killed; on it while the driver is killed (SIGKILL to
every process of it) and its command repeated. All of this by ``--executor ray`` and by ``--executor
ray://...``, through Ray's client. The scores of all have to be equal byte by byte. Last, the time of a model
that sleeps with 1, 2 and 4 workers, and with ``--nano`` of the bundled model, too. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import signal
import socket
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
BOTH = ("--models", "sleepy,other", "--tasks", "slips,receipts", *QUICK)
WORKERS = (1, 2, 4)


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


def survives(cluster: Any, folder: Path, executor: str) -> list[str]:
    """What becomes of runs with this ``--executor`` that are and are not disturbed, in a few words each."""
    kind = kind_of(executor)
    on_ray = (*BOTH, "--executor", executor, "--workers", "3")
    spare = cluster.add_node(num_cpus=1)
    undisturbed, node, driver = (folder / f"{name}-{kind}" for name in ("ray", "node", "driver"))
    finished(bench(folder, *on_ray, "--out", undisturbed.name))
    process = bench(folder, *on_ray, "--out", node.name)
    wait_for(node, 30)
    cluster.remove_node(spare, allow_graceful=False)
    finished(process)
    process = bench(folder, *on_ray, "--out", driver.name)
    wait_for(driver, 60)
    end_group(process)
    kept = answered(driver)
    finished(bench(folder, *on_ray, "--out", driver.name))
    log = "".join(path.read_text("utf-8") for path in node.glob("*/log.txt"))
    lost = log.count("ModelGone: the model's actor is gone")
    return [
        equality(folder, undisturbed),
        f"{equality(folder, node)} (actors lost: {lost})",
        f"{equality(folder, driver)} ({kept} answers kept)",
    ]


def kind_of(executor: str) -> str:
    """In the names of folders: how the cluster is reached."""
    return "client" if "://" in executor else "direct"


def equality(folder: Path, results: Path) -> str:
    """Whether the scores of a run equal those without a cluster."""
    return "equal" if is_equal(scores(folder / "plain"), scores(results)) else "**not equal**"


def scales(folder: Path, model: str, executor: str) -> list[str]:
    """Seconds of the slowest worker with each number of workers."""
    seconds = []
    for count in WORKERS:
        out = f"{model}-{count}-{kind_of(executor)}"
        options = ("--models", model, "--tasks", "slips", "--executor", executor)
        finished(bench(folder, *options, "--workers", str(count), *QUICK, "--out", out))
        seconds.append(f"{offline_seconds(folder / out):.1f}")
    return seconds


def print_row(*cells: str) -> None:
    """Print a line of a table in Markdown."""
    print(f"| {' | '.join(cells)} |", flush=True)


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
    port = free_port()
    head = {"num_cpus": 2, "ray_client_server_port": port}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        os.environ["RAY_ADDRESS"] = cluster.address
        cluster.add_node(num_cpus=2)
        measure(cluster, folder, f"ray://127.0.0.1:{port}", nano=chosen.nano)
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def measure(cluster: Any, folder: Path, client: str, *, nano: bool) -> None:
    """Print the tables."""
    from bench.formatting import plural

    finished(bench(folder, *BOTH, "--out", "plain"))
    columns = [survives(cluster, folder, executor) for executor in ("ray", client)]
    print_row("scores beside those without a cluster", "`--executor ray`", "`--executor ray://`")
    print_row(*["---"] * 3)
    undisturbed, node, driver = zip(*columns, strict=True)
    print_row("undisturbed", *undisturbed)
    print_row("a node killed in mid-run", *node)
    print_row("the driver killed (SIGKILL), then the same command", *driver)
    cluster.add_node(num_cpus=1)
    print()
    print_row("seconds in batches of the slowest worker", *(plural(n, "worker") for n in WORKERS))
    print_row(*["---"] * (1 + len(WORKERS)))
    print_row("a model that sleeps 0.1 s a question", *scales(folder, "sleepy", "ray"))
    print_row("the same through the client", *scales(folder, "sleepy", client))
    if nano:
        print_row("the bundled model", *scales(folder, "qwen2-vl-nano", "ray"))


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
