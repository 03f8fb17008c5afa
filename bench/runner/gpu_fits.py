"""Which common GPUs the models of a finished run would fit into, by the formula of ``bench plan``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.errors import InvalidInput
from bench.rundir.store import RunStore
from bench.runner.batches import GPU_BATCH, page_groups
from bench.runner.forecast import Forecast, forecast
from bench.schema import PageGroup, Task

GPUS: Mapping[str, int] = {
    "T4": 15_360,
    "RTX 3060": 12_288,
    "RTX 4060": 8_188,
    "L4": 23_034,
    "RTX 4090": 24_564,
    "A100 40 GB": 40_960,
    "L40S": 46_068,
    "H100": 81_559,
}
"""Name → MiB, as the driver reports them."""

LARGEST = 256
"""Documents that are looked at, those with the largest pages: the fullest call is among theirs."""


def gpu_forecasts(run: RunStore, tasks: Sequence[Task]) -> dict[str, dict[str, Forecast]]:
    """Model → name of the GPU → what it would hold there; a model without a formula is left out."""
    groups = [group for task in tasks if task.samples for group in page_groups(task)]
    largest = sorted(groups, key=_pixels, reverse=True)[:LARGEST]
    forecasts = {}
    for model in run.model_names():
        spec = run.model_spec(model)
        try:
            forecasts[model] = {
                name: forecast(spec, largest, memory=mib * 2**20, batch_size=GPU_BATCH)
                for name, mib in sorted(GPUS.items(), key=lambda item: item[1])
            }
        except (InvalidInput, OSError):
            # A model without weights here, of unknown shape, or answered by another engine has no formula.
            continue
    return forecasts


def _pixels(group: PageGroup) -> int:
    return group.document.pixels()
