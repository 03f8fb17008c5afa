"""Runs models over tasks: it plans the work, runs each model in a process of its own, and resumes."""

from bench.runner.execute import execute
from bench.runner.spec import RunPlan, RunSettings, plan_run

__all__ = ["RunPlan", "RunSettings", "execute", "plan_run"]
