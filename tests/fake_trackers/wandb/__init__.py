"""The part of wandb's interface (0.31) that results are logged with."""

from typing import Any

from recorded import record, record_file


def Settings(**settings: Any) -> dict[str, Any]:
    return settings


class _Summary:
    def update(self, metrics: dict[str, float]) -> None:
        record("metrics", values=metrics)


class _Run:
    id = "k7m"
    summary = _Summary()

    def log_artifact(self, artifact_or_path: str, *, name: str, type: str) -> None:
        record_file("report", artifact_or_path)

    def finish(self) -> None:
        record("end", status="FINISHED")


def init(*, project: str, name: str, config: dict[str, Any], settings: dict[str, Any]) -> _Run:
    assert settings["disable_git"] and settings["x_disable_meta"]
    values = dict(config)
    record("experiment", name=project)
    record("begin", name=name, tags=values.pop("tags"))
    record("parameters", values=values)
    return _Run()
