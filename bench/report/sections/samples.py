"""Every answer, with filters: an interactive list of HTML alone."""

from __future__ import annotations

from bench.report.section import PAGE, Browser, Section
from bench.report.views import ReportView


def section(view: ReportView) -> Section:
    """The sample browser."""
    return Section("samples", "Every answer", (Browser(),), "Samples", PAGE)
