"""How many CUDA graphs a run would capture, counted without a GPU and without a model.

Usage: ``python benchmarks/captures.py [--memory 40] [--max-pixels 1003520] [--batch-size 64]``

The engine's own planning, cache and steps (``plan``, ``cascade``, ``steps``) run as in a run over all bundled
tasks, then over single questions as in the single-stream scenario, then over 400 documents whose pages and
numbers of questions are spread like DocVQA's. Nothing is computed: an answer's length is drawn at random with
a fixed seed, and a capture is counted where one would be made. Qwen2-VL-2B's key and value sizes are used.

A capture takes some 200 ms and empties torch's cache of free memory, so that few of them, and none within a
call that is timed alone, is what this looks for.
"""

from __future__ import annotations

import argparse
import random
import types
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.models.pixels import smart_resize
from bench.models.qwen_vl import plan
from bench.models.qwen_vl import steps as stepping
from bench.models.qwen_vl.generation import Decoding
from bench.models.qwen_vl.questions import QuestionBranch
from bench.runner.batches import batched, latency_questions, page_groups
from bench.schema import Document, Generation, Page, PageGroup, Request
from bench.tasks.finding import expand_tasks
from bench.tasks.loading import load_task

BYTES_PER_TOKEN = 28_672
"""Of keys and values: Qwen2-VL-2B in 16 bits."""
PIXELS_PER_TOKEN = 28 * 28
LATENCY_SAMPLES = 32


@dataclass(slots=True)
class PlannedBranch(QuestionBranch):
    """A question whose answer's length is known before."""

    length: int = 1


class CountedGraphs:
    """Counts captures; what it returns does nothing."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """Count one."""
        self._counts["captures"] += 1
        return lambda: self._counts.update(replayed=1)

    def drop(self) -> None:
        """Count that all of them go."""
        self._counts["times all were dropped"] += 1


def smallest_model() -> Any:
    """What ``steps`` asks of a model, with keys and values of a single number a token."""
    named = types.SimpleNamespace
    sizes = named(num_key_value_heads=1, num_attention_heads=1, num_hidden_layers=1, head_dim=1)
    weight = named(weight=torch.zeros(1, dtype=torch.float16))
    return named(
        device=torch.device("cpu"),
        config=named(get_text_config=lambda: sizes),
        get_input_embeddings=lambda: weight,
    )


class PlannedSteps(stepping.Steps):
    """Steps that compute nothing: an answer ends after the tokens drawn for it."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        kernel: Any = None
        graphs: Any = CountedGraphs(counts)
        super().__init__(smallest_model(), kernel, Decoding((0,), 0), graphs)

    def _advance(self, grid: stepping.Grid) -> None:
        self._counts["launched"] += 1

    def _read(self, sent: Any, placed: stepping.Placed) -> None:
        for _, branch in placed:
            assert isinstance(branch, PlannedBranch)
            if branch.open:
                token = 0 if len(branch.ids) + 1 >= branch.length else 5
                stepping.record(branch, token, 0.5, self._decoding)


class PlannedRun:
    """Calls of an engine that only plans."""

    def __init__(self, memory_bytes: float, max_pixels: int) -> None:
        self.counts: Counter[str] = Counter()
        self._budget = int(plan.CUDA_SHARE * memory_bytes) // BYTES_PER_TOKEN
        self._max_pixels = max_pixels
        self._draw = random.Random(0)
        self.steps = PlannedSteps(self.counts)
        self.steps.prove()

    def call(self, groups: Sequence[PageGroup]) -> None:
        """One call of the runner."""
        needs = [self._need(group) for group in groups]
        for flight in plan.flights(needs, lambda need: need, self._budget):
            self._fly(flight, {id(need): group for need, group in zip(needs, groups, strict=True)})

    def _fly(self, flight: Sequence[plan.Need], groups: dict[int, PageGroup]) -> None:
        columns = [plan.columns(need, self._budget) for need in flight]
        self.steps.begin(columns, self._budget)
        self.steps.cache.prefix(range(len(flight)), [need.prefix for need in flight])
        turns = [plan.turns(need, self._budget) for need in flight]
        for turn in range(max(map(len, turns))):
            branches = []
            for row, need in enumerate(flight):
                if turn < len(turns[row]):
                    limit = groups[id(need)].generation.max_new_tokens
                    for number, tokens in enumerate(need.questions[turns[row][turn]]):
                        self.steps.cache.reserve(row, number, tokens)
                        prompt = [1] * (tokens - limit)
                        branch = PlannedBranch(row, number, prompt, need.prefix, limit)
                        branch.length = self._answer_tokens(limit)
                        branches.append(branch)
            for branch in branches:
                tokens = len(branch.prompt)
                self.steps.cache.branches([branch.document] * tokens, [branch.number] * tokens)
            self.counts["decodes"] += 1
            self.counts["questions"] += len(branches)
            self.steps.decode(branches, torch.zeros(len(branches), 4), [])
            self.steps.cache.forget_branches()

    def _answer_tokens(self, limit: int) -> int:
        """Few for a question about a field, more for free text."""
        least, mean = (2, 7) if limit <= 64 else (40, 80)
        return min(limit, least + int(self._draw.expovariate(1 / mean)))

    def _need(self, group: PageGroup) -> plan.Need:
        limit = group.generation.max_new_tokens
        visual = sum(self._visual_tokens(page) for page in group.document.pages)
        questions = tuple(30 + self._draw.randint(0, 20) + limit for _ in group.requests)
        return plan.Need(25 + visual, questions)

    def _visual_tokens(self, page: Page) -> int:
        height, width = smart_resize(page.height, page.width, max_pixels=self._max_pixels)
        return height * width // PIXELS_PER_TOKEN


def docvqa_like(count: int) -> list[PageGroup]:
    """Documents of one page each, the largest first, with 1 to 16 questions."""
    draw = random.Random(0)
    groups = []
    for number in range(count):
        width = draw.choice([1240, 1700, 1700, 1654, 2550, 1275, 2200])
        height = int(width * draw.choice([1.294, 1.414, 1.29, 0.77]))
        page = Page(path=Path("page.png"), index=0, width=width, height=height, sha256=str(number))
        asked = 1 + min(15, int(draw.expovariate(1 / 3.2)))
        requests = tuple(Request(f"{number}-{index}", "q", "q") for index in range(asked))
        groups.append(PageGroup(Document(str(number), (page,)), requests, Generation(32)))
    return sorted(groups, key=lambda group: -_area(group))


def _area(group: PageGroup) -> int:
    return sum(page.width * page.height for page in group.document.pages)


def counted(memory_bytes: float, max_pixels: int, batch_size: int) -> dict[str, Counter[str]]:
    """Scenario → what was counted in it."""
    bundled = {task.name: page_groups(task) for task in map(load_task, expand_tasks(["all"]))}
    run = PlannedRun(memory_bytes, max_pixels)
    rows: dict[str, Counter[str]] = {}
    for groups in bundled.values():
        for batch in batched(groups, batch_size):
            run.call(batch)
    rows["all bundled tasks"] = Counter(run.counts)
    run.counts.clear()
    holding = calls = 0
    for _, group in latency_questions(bundled, LATENCY_SAMPLES):
        run.steps.rest()
        for _ in ("cold", "warm"):
            before = run.counts["captures"]
            run.call([group])
            holding += run.counts["captures"] > before
            calls += 1
    run.counts.update({"calls": calls, "calls with a capture": holding})
    rows["single questions"] = Counter(run.counts)
    other = PlannedRun(memory_bytes, max_pixels)
    for batch in batched(docvqa_like(400), batch_size):
        other.call(batch)
    rows["400 documents"] = other.counts
    return rows


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--memory", type=float, default=40, help="free GB on the GPU")
    parser.add_argument("--max-pixels", type=int, default=1280 * PIXELS_PER_TOKEN)
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args()
    rows = counted(options.memory * 1e9, options.max_pixels, options.batch_size)
    for name, counts in rows.items():
        print(f"{name}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
