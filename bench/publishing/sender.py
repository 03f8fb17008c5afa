"""The process that hands entries to an experiment tracker: ``python -m bench.publishing.sender``.

It is started by ``bench.publishing.trackers``, which says why it is a process of its own. Standard output is
for one line, where the entries are; what the trackers print goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.text import error_line

PROJECT = "docvlm-bench"
"""Experiment or project of the entries, unless the tracker's own environment variable names another."""

REPORT = "report.html"


def to_mlflow(entries: Sequence[Mapping[str, Any]], report: Path) -> str:
    """Log to MLflow: to the server or the file of ``MLFLOW_TRACKING_URI``."""
    # MLflow would try for a quarter of an hour to reach a server that is away.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    import mlflow
    from mlflow.entities import Metric, Param

    # The client adds nothing of its own; mlflow.start_run would record the user, the host and the program.
    client = mlflow.MlflowClient()
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
    experiment = client.get_experiment_by_name(name)
    now = int(time.time() * 1000)
    place = client.create_experiment(name) if experiment is None else experiment.experiment_id
    for entry in entries:
        run = client.create_run(place, run_name=entry["name"], tags=dict(entry["tags"]))
        key, status = run.info.run_id, "FAILED"
        try:
            parameters = [Param(*each) for each in entry["parameters"].items()]
            metrics = [Metric(*each, now, 0) for each in entry["metrics"].items()]
            client.log_batch(key, metrics=metrics, params=parameters)
            client.log_artifact(key, str(report))
            status = "FINISHED"
        finally:
            client.set_terminated(key, status=status)
    return f"experiment {name} in {mlflow.get_tracking_uri()}"


def to_trackio(entries: Sequence[Mapping[str, Any]], report: Path) -> str:
    """Log to trackio: on this machine, or to the Space or server of its environment variables."""
    import trackio

    for entry in entries:
        config = {**entry["parameters"], **{f"tag.{k}": v for k, v in entry["tags"].items()}}
        trackio.init(
            project=PROJECT,
            name=entry["name"],
            config=config,
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        try:
            trackio.log(dict(entry["metrics"]))
            trackio.log_artifact(report, name=REPORT, type="report")
        finally:
            trackio.finish()
    return f"project {PROJECT}"


def to_wandb(entries: Sequence[Mapping[str, Any]], report: Path) -> str:
    """Log to Weights & Biases: to the account of ``WANDB_API_KEY``, or offline as ``WANDB_MODE`` says."""
    import wandb

    settings = wandb.Settings(
        init_timeout=60,
        console="off",
        # What wandb would find out by itself: the command line, the host, the checkout, its code.
        disable_git=True,
        save_code=False,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
    project = os.environ.get("WANDB_PROJECT") or PROJECT
    for entry in entries:
        run = wandb.init(
            project=project,
            name=entry["name"],
            config={**entry["parameters"], "tags": dict(entry["tags"])},
            settings=settings,
        )
        try:
            run.summary.update(dict(entry["metrics"]))
            run.log_artifact(str(report), name=f"report-{run.id}", type="report")
        finally:
            run.finish()
    return f"project {project}"


SENDERS: Mapping[str, Callable[[Sequence[Mapping[str, Any]], Path], str]] = {
    "mlflow": to_mlflow,
    "trackio": to_trackio,
    "wandb": to_wandb,
}


def main(tracker: str, order: Path) -> int:
    """Send the entries of ``order``; the exit status is 1 if the tracker does not take them."""
    content = json.loads(order.read_text(encoding="utf-8"))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            place = SENDERS[tracker](content["entries"], Path(content["report"]))
    except Exception as error:
        # Of whatever kind: a tracker's errors are its own, and the caller is told one line.
        sys.stderr.write(f"\n{error_line(error)}\n")
        return 1
    sys.stdout.write(f"{place}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
