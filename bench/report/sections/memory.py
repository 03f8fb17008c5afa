"""Memory as a distribution over pages, and which GPUs are large enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import formatting
from bench.drawing.plots import Strip, Strips
from bench.report.findings import GpuFit
from bench.report.section import (
    DOCUMENTS,
    Block,
    Column,
    DataCell,
    Plot,
    Row,
    Section,
    Table,
    Text,
    model_cell,
)
from bench.report.views import ModelRow, ReportView

GIB = 2.0**30

SAFE_SPARE = 0.1
"""Share of a GPU's memory that stays free where it is called safe. The formula knows neither the pages that
are read ahead nor what the allocator cannot use again."""

_WORDS = {"peak_process": "GPU (NVML)", "peak_reserved": "GPU (reserved)"}
_WORDS |= {"peak_allocated": "GPU (allocated)", "peak_rss": "RSS"}


def section(view: ReportView) -> Section | None:
    """The measured peaks page by page, and the predicted ones GPU by GPU; None if there is neither."""
    rows = [
        row
        for row in view.rows
        if row.facts.memory is not None and len(row.facts.memory.by_page) > 1
    ]
    if not rows and not view.gpu_fits:
        return None
    blocks: list[Block] = []
    if rows:
        blocks += [_plot(view, rows), _quantiles(rows)]
    if view.gpu_fits:
        blocks += [*(Text((words,)) for words in _safe(view)), _gpus(view)]
    return Section("memory", "Memory, page by page", tuple(blocks), "Memory", DOCUMENTS)


def _quantiles(rows: Sequence[ModelRow]) -> Table:
    columns = (
        Column("model", "Model", header=True),
        Column("kind", "Measured as"),
        Column("pages", "Pages", "count"),
        Column("p50", "Half of the pages, GiB at most", "gib", short="p50 GiB"),
        Column("p95", "95 % of the pages, GiB at most", "gib", short="p95 GiB"),
        Column("most", "All pages, GiB at most", "gib", short="max GiB"),
    )
    lines = []
    for row in rows:
        memory = row.facts.memory
        assert memory is not None
        # A peak that was measured, never one between two: memory comes in steps.
        half, most_pages = np.quantile(memory.by_page, [0.5, 0.95], method="higher")
        cells = {
            "model": model_cell(row.key),
            "kind": DataCell(_WORDS[memory.kind], mark="muted"),
            "pages": DataCell(len(memory.by_page), mark="muted"),
            "p50": DataCell(float(half)),
            "p95": DataCell(float(most_pages)),
            "most": DataCell(memory.by_page[-1]),
        }
        lines.append(Row(cells, model=row.key))
    caption = (
        "The peak of the batch that each page was in. A page shares its batch with others, so a smaller "
        "batch needs less."
    )
    return Table("pages", columns, tuple(lines), caption)


def _plot(view: ReportView, rows: Sequence[ModelRow]) -> Plot:
    index = {row.key: number for number, row in enumerate(view.rows)}
    strips = []
    for row in rows:
        memory = row.facts.memory
        assert memory is not None
        gib = tuple(peak / GIB for peak in memory.by_page)
        middle, high = np.quantile(gib, [0.5, 0.95], method="higher")
        quantiles = {"p50": float(middle), "p95": float(high)}
        strips.append(Strip(index[row.key], row.key, gib, quantiles))
    title = "Peak memory of the batch of every page"
    caption = "Every dot is a page: the peak of its batch. The strong line is the median."
    return Plot("pages-plot", Strips(tuple(strips), title, "GiB"), caption)


# Which GPUs are large enough


def _safe(view: ReportView) -> list[str]:
    """The smallest GPU that is safe for each model."""
    said = []
    for key, fits in view.gpu_fits.items():
        safe = [fit for fit in fits if _is_safe(fit)]
        if not safe:
            said.append(f"{key}: none of these GPUs is safe.")
            continue
        smallest = min(safe, key=lambda fit: fit.memory)
        said.append(
            f"{key}: {smallest.name} is the smallest safe GPU, with {formatting.gib(smallest.peak)} GiB "
            f"predicted and {formatting.percent(smallest.spare)} of its memory to spare"
            f"{_measured(view, key)}."
        )
    return said


def _measured(view: ReportView, key: str) -> str:
    """What was measured beside the prediction; a larger GPU lets a model hold more."""
    measured = next((row.facts.memory for row in view.rows if row.key == key), None)
    if measured is None or measured.kind != "peak_process":
        return ""
    return f" ({formatting.gib(measured.bytes)} GiB were measured in this run)"


def _is_safe(fit: GpuFit) -> bool:
    return fit.fits and fit.spare >= SAFE_SPARE


def _gpus(view: ReportView) -> Table:
    gpus = {fit.name: fit.memory for fits in view.gpu_fits.values() for fit in fits}
    columns = (
        Column("model", "Model", header=True),
        *(
            Column(f"gpu:{name}", f"{name}, {formatting.gib(size)} GiB")
            for name, size in gpus.items()
        ),
    )
    rows = []
    for key, fits in view.gpu_fits.items():
        cells = {"model": model_cell(key)}
        cells |= {f"gpu:{fit.name}": _fit_cell(fit) for fit in fits}
        rows.append(Row(cells, model=key))
    caption = (
        "Predicted by the formula of bench plan for the largest pages of this run, in batches of 64 "
        "questions or of as many as fit. Safe means that "
        f"{formatting.percent(SAFE_SPARE)} of the memory stays free, and tight that it fits with less. The "
        "number is the predicted peak in GiB, with the CUDA context."
    )
    return Table("gpus", columns, tuple(rows), caption)


def _fit_cell(fit: GpuFit) -> DataCell:
    peak = formatting.gib(fit.peak)
    if not fit.fits:
        return DataCell(f"no ({peak})", mark="muted")
    smaller = f", {fit.batch_size} a call" if fit.batch_size < 64 else ""
    return DataCell(f"{'safe' if _is_safe(fit) else 'tight'} ({peak}{smaller})")
