"""The part of MLflow's interface (3.17) that results are logged with."""

from types import SimpleNamespace
from typing import Any

from recorded import record, record_file


def get_tracking_uri() -> str:
    return "sqlite:///mlflow.db"


class MlflowClient:
    def get_experiment_by_name(self, name: str) -> None:
        record("experiment", name=name)

    def create_experiment(self, name: str) -> str:
        return "7"

    def create_run(self, experiment_id: str, *, run_name: str, tags: dict[str, str]) -> Any:
        record("begin", name=run_name, tags=tags)
        return SimpleNamespace(info=SimpleNamespace(run_id=run_name))

    def log_batch(self, run_id: str, *, metrics: list[Any], params: list[Any]) -> None:
        record("parameters", values={each.key: each.value for each in params})
        record("metrics", values={each.key: each.value for each in metrics})

    def log_artifact(self, run_id: str, local_path: str) -> None:
        record_file("report", local_path)

    def set_terminated(self, run_id: str, *, status: str) -> None:
        record("end", status=status)
