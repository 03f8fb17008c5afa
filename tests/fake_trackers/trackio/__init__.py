"""The part of trackio's interface (0.43) that results are logged with."""

from typing import Any

from recorded import record, record_file


def init(
    *,
    project: str,
    name: str,
    config: dict[str, Any],
    embed: bool,
    auto_log_gpu: bool,
    auto_log_cpu: bool,
) -> None:
    tags = {key[4:]: value for key, value in config.items() if key.startswith("tag.")}
    values = {key: value for key, value in config.items() if not key.startswith("tag.")}
    record("experiment", name=project)
    record("begin", name=name, tags=tags)
    record("parameters", values=values)


def log(metrics: dict[str, float]) -> None:
    record("metrics", values=metrics)


def log_artifact(artifact_or_path: Any, *, name: str, type: str) -> None:
    record_file("report", artifact_or_path)


def finish() -> None:
    record("end", status="FINISHED")
