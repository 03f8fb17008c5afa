"""What a page is compared with: Markdown, the blocks of the page, or tests that a transcription passes."""

from __future__ import annotations

from bench.metrics.page_blocks import blocks_problem, markdown_of
from bench.metrics.page_tests import described, page_tests_of, problem_of_test
from bench.schema import Json


def page_problem(reference: Json) -> str | None:
    """Say what is wrong with the reference of a page; None if nothing is."""
    if isinstance(reference, str):
        return None
    if isinstance(reference, dict) and isinstance(reference.get("tests"), list):
        problems = map(problem_of_test, reference["tests"])
        return next((problem for problem in problems if problem is not None), None)
    return blocks_problem(reference)


def page_text(reference: Json) -> str:
    """Return the reference of a page as a person reads it: Markdown, or the tests one below the other."""
    tests = page_tests_of(reference)
    return markdown_of(reference) if tests is None else "\n".join(map(described, tests))
