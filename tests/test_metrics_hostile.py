"""Hostile strings cost every metric, and whatever else reads an answer, a bounded amount of work."""

import os
import resource
import subprocess
import sys

WORK = """
import resource
from bench.metrics import METRICS
from bench.metrics.extract import extract, without_thoughts
from bench.metrics.mistakes import Answered, classify

STRINGS = {
    "dots": "." * 32_000 + "a", "marks": "\\u0301" * 100_000, "brackets": "(" * 100_000,
    "digits": "1" * 100_000, "figures": "1 " * 50_000, "thoughts": "<think>" * 14_000,
    "lines": "\\n" * 50_000 + "a", "fences": "```\\n" * 25_000, "braces": "{" * 100_000,
    "blanks": " " * 100_000 + "a",
}
PAGES = {
    "dollars": "$a" * 20_000, "formulas": "\\\\[" * 20_000, "brackets": "\\\\(" * 20_000,
    "images": "![" * 20_000, "tables": "<table><tr><td>" * 3_000,
    "pipes": "|" + "a|" * 20_000 + "\\n|-|", "emphasis": "*_" * 20_000,
    "lines": "a\\n\\n" * 20_000,
}
TESTS = {"tests": [
    {"type": "order", "before": "a" * 60 + "b", "after": "c" * 60, "max_diffs": 3},
    {"type": "table", "cell": "a", "left_heading": "b", "up": "c"},
] * 20}
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 400 * 2**20,) * 2)
for name, text in STRINGS.items():
    print(name, flush=True)
    for metric in METRICS.values():
        if "text" in metric.answer_types:
            metric.score(text, ["abc"])
            metric.score(text, [text[:-1] + "b"])
    without_thoughts(text)
    extract(text, "text", ["abc"])
    extract(text, "json", ["abc"])
    classify(Answered(text, ["abc"], document_text=text))
for name, text in PAGES.items():
    print(name, flush=True)
    METRICS["parsing_score"].score(text, [text[: len(text) // 2]])
    METRICS["olmocr_bench"].score(text, [TESTS])
print("done")
"""


def _limit_processor_time() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


def test_hostile_strings_are_bounded_in_time_and_memory():
    run = subprocess.run(
        [sys.executable, "-c", WORK],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=_limit_processor_time,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("done\n")
