"""Turns run directories into a report: a terminal table, Markdown, one HTML file, CSV and JSON.

It computes everything from the run directory, and needs no model, no GPU and no data set.
"""

from bench.report.assemble import build
from bench.report.options import ReportOptions
from bench.report.section import Section
from bench.report.sections import SECTIONS, TERMINAL_SECTIONS, make_sections
from bench.report.show import show_sample
from bench.report.tables import report_json
from bench.report.terminal import terminal_summary
from bench.report.views import ReportView
from bench.report.write import FORMATS, write_report, write_view

__all__ = [
    "FORMATS",
    "SECTIONS",
    "TERMINAL_SECTIONS",
    "ReportOptions",
    "ReportView",
    "Section",
    "build",
    "make_sections",
    "report_json",
    "show_sample",
    "terminal_summary",
    "write_report",
    "write_view",
]
