"""Writes what a run has measured in the forms that other places take: the Hub, shared records, trackers.

``described`` says what every form says of a run besides its scores, and what none of them says: options of a
model, addresses, and paths of this machine. Each other module is one form. Nothing here is sent anywhere but
by ``trackers``, and only where a person asked for it.
"""

from collections.abc import Mapping

from bench.errors import require_package

TRACKERS: Mapping[str, str] = {
    "mlflow": "MLflow",
    "trackio": "trackio",
    "wandb": "Weights & Biases",
}
"""Package of an experiment tracker, which is also the extra that installs it → what it is called."""


def check_tracker(name: str) -> None:
    """Refuse a tracker whose package is missing, before anything is run for it.

    Raises:
        EnvironmentProblem: it is not installed; the error names the command that installs it.
    """
    require_package(f"--log-to {name}", name, name)
