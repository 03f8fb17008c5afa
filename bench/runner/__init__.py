"""Running models over tasks: plan, one process per model, resume."""

from bench.runner.execute import execute
from bench.runner.spec import RunPlan, RunSettings, plan_run

__all__ = ["RunPlan", "RunSettings", "execute", "plan_run"]
