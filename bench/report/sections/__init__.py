"""Decides what a report says: one file for each section, and a table with their order.

A section is a function ``section(view)`` that returns a ``Section``, or None if it has nothing to say, and
one row in ``SECTIONS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from bench.errors import InvalidInput
from bench.measure import collector_paused
from bench.report.section import Section
from bench.report.views import ReportView

SectionMaker = Callable[[ReportView], Section | None]

SECTIONS: Mapping[str, str | SectionMaker] = {
    "summary": "bench.report.sections.summary:section",
    "leaderboard": "bench.report.sections.leaderboard:section",
    "tradeoff": "bench.report.sections.tradeoff:section",
    "resolution": "bench.report.sections.resolution:section",
    "tasks": "bench.report.sections.by_task:section",
    "slices": "bench.report.sections.slices:section",
    "robustness": "bench.report.sections.robustness:section",
    "objects": "bench.report.sections.objects:section",
    "published": "bench.report.sections.published:section",
    "mistakes": "bench.report.sections.mistakes:section",
    "edit-errors": "bench.report.sections.edit_errors:section",
    "classes": "bench.report.sections.page_classes:section",
    "extraction": "bench.report.sections.extraction:section",
    "checks": "bench.report.sections.checks:section",
    "cost": "bench.report.sections.cost:section",
    "review": "bench.report.sections.review:section",
    "cascade": "bench.report.sections.cascade:section",
    "speed": "bench.report.sections.speed:section",
    "memory": "bench.report.sections.memory:section",
    "compare": "bench.report.sections.pairs:section",
    "flips": "bench.report.sections.flips:section",
    "samples": "bench.report.sections.samples:section",
    "errors": "bench.report.sections.errors:section",
    "reproduce": "bench.report.sections.method:section",
}
"""Name → ``module:function``, or the function itself; the module is imported when its section is made."""

TERMINAL_SECTIONS: Mapping[str, str | SectionMaker] = {
    name: SECTIONS[name]
    for name in ("summary", "leaderboard", "resolution", "tasks", "robustness", "cost", "speed")
}
"""What a terminal shows; the other sections of a large run take seconds to make."""


@collector_paused()
def make_sections(
    view: ReportView, makers: Mapping[str, str | SectionMaker] = SECTIONS
) -> tuple[Section, ...]:
    """Make the sections of a report that have something to say.

    Args:
        view: the report's data.
        makers: as ``SECTIONS``; add a row to have a section of your own.

    Raises:
        InvalidInput: two sections have the same id.
    """
    made = [_resolved(maker)(view) for maker in makers.values()]
    sections = tuple(section for section in made if section is not None)
    ids = [section.id for section in sections]
    for section in sections:
        if ids.count(section.id) > 1:
            raise InvalidInput(
                f"two sections of the report have the id {section.id!r}",
                hint="give every section an id of its own",
            )
    return sections


def _resolved(maker: str | SectionMaker) -> SectionMaker:
    if callable(maker):
        return maker
    module, _, function = maker.partition(":")
    resolved: SectionMaker = getattr(import_module(module), function)
    return resolved
