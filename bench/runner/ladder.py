"""What happens when memory runs out: fewer documents, smaller chunks, fewer questions, smaller pages.

The rungs, each of which is tried until the batch fits or the rung has nothing left to give:

1. fewer documents: the batch is halved while it holds more than one;
2. smaller chunks: the model computes less at a time (``Model.economize``);
3. fewer questions: the one document that is left is asked about in halves, down to one question;
4. smaller pages, only where a run allows it (``--allow-downscale``): half as many pixels, up to
   ``HALVINGS`` times. Such an answer is marked with the bound on its pages.

Below the last rung the question is recorded as failed. The first three rungs change no answer beyond
rounding. Nothing goes up again: later batches start from the rung that fitted, and so does a resumed run,
which reads it from the record of the batches. What does not fit for one document is taken as not fitting
for every document with as many pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from bench.formatting import count
from bench.models.pixels import MIN_PIXELS
from bench.runner.batches import halves
from bench.schema import Batch, Document, Output, PageGroup

HALVINGS = 4
"""Down to a sixteenth of the pixels; on a smaller page nobody can read a line of text."""

Groups = Sequence[PageGroup]


class PageBounds(NamedTuple):
    """The pixels that the model makes of a page at least and at most; None if it does not say."""

    min_pixels: int | None = None
    max_pixels: int | None = None


class Step(NamedTuple):
    """One rung down."""

    batches: list[tuple[PageGroup, ...]]
    """What to ask next."""
    action: str
    """What is different now, in a few words for the person who waits."""


@dataclass(slots=True)
class Ladder:
    """How far down a model's process is."""

    batch_size: int
    """Questions that a call may hold."""
    allow_downscale: bool = False
    bounds: PageBounds = field(default_factory=PageBounds)
    chunks: int = 0
    """How often the chunks were made smaller."""
    ceiling: int | None = None
    """Pixels of one document, after resizing, that are known not to fit; None while all have fitted."""

    def record(self) -> dict[str, Any]:
        """The rung on which a batch was answered, for the record of that batch."""
        return {"batch_size": self.batch_size, "chunks": self.chunks, "ceiling": self.ceiling}

    def resume(self, records: Iterable[Mapping[str, Any]], economize: Callable[[], object]) -> None:
        """Step down to the lowest rung of ``records``, which are those of the batches before this process."""
        for rung in records:
            self.batch_size = min(self.batch_size, int(rung["batch_size"]))
            while self.chunks < int(rung["chunks"]):
                economize()
                self.chunks += 1
            if rung["ceiling"] is not None:
                self._fails_at(int(rung["ceiling"]))

    def down(self, groups: Groups, economize: Callable[[], str | None]) -> Step | None:
        """The next rung after ``groups``, as ``bounded`` gave them, did not fit; None below the last."""
        size = sum(len(group.requests) for group in groups)
        if len({group.document.id for group in groups}) > 1:
            return self._halved(groups, size)
        if (smaller := economize()) is not None:
            self.chunks += 1
            return Step([tuple(groups)], smaller)
        if size > 1:
            return self._halved(groups, size)
        (group,) = groups
        bounds = self._bounds_of(group.document) if self.allow_downscale else []
        lower = [bound for bound in bounds if group.max_pixels is None or bound < group.max_pixels]
        if not lower:
            return None
        smaller_pages = replace(group, max_pixels=lower[0])
        return Step([(smaller_pages,)], f"pages of {count(lower[0])} pixels")

    def bounded(self, groups: Groups) -> tuple[PageGroup, ...]:
        """``groups`` with a bound on the pages of each document that is known not to fit as it is."""
        return tuple(
            replace(group, max_pixels=self._bound(group.document))
            if group.max_pixels is None
            else group
            for group in groups
        )

    def held(self, groups: Groups) -> None:
        """Learn that ``groups``, as ``bounded`` or ``down`` returned them, did fit.

        Only now is it known that the pixels were too many: a question that fails at every resolution says
        nothing about other documents.
        """
        for group in groups:
            if group.max_pixels is not None:
                tried: list[int | None] = [self.bounds.max_pixels, *self._bounds_of(group.document)]
                last_that_failed = tried[tried.index(group.max_pixels) - 1]
                self._fails_at(group.document.pixels(last_that_failed))

    def _halved(self, groups: Groups, size: int) -> Step:
        self.batch_size = max(1, size // 2)
        return Step(halves(groups), f"batches of {self.batch_size}")

    def _fails_at(self, pixels: int) -> None:
        self.ceiling = pixels if self.ceiling is None else min(self.ceiling, pixels)

    def _bound(self, document: Document) -> int | None:
        """The largest bound under which the document may fit; the smallest bound where none may."""
        ceiling = self.ceiling
        if ceiling is None or document.pixels(self.bounds.max_pixels) < ceiling:
            return None
        bounds = self._bounds_of(document)
        fitting = (bound for bound in bounds if document.pixels(bound) < ceiling)
        return next(fitting, bounds[-1] if bounds else None)

    def _bounds_of(self, document: Document) -> list[int]:
        """The bounds that may be tried for a document, the largest first."""
        largest = max((page.width * page.height for page in document.pages), default=0)
        start = min(largest, self.bounds.max_pixels or largest)
        least = max(MIN_PIXELS, self.bounds.min_pixels or 0)
        halved = (start // 2**times for times in range(1, HALVINGS + 1))
        return [bound for bound in halved if bound >= least]


def marked(groups: Groups, batch: Batch) -> Batch:
    """``batch``, in which each answer about shrunk pages says how small they were."""
    bounds = {request.sample_id: group.max_pixels for group in groups for request in group.requests}

    def mark(output: Output) -> Output:
        bound = bounds[output.sample_id]
        if bound is None or output.stop_reason == "error":
            return output
        return replace(output, degraded=bound)

    return replace(batch, outputs=tuple(mark(output) for output in batch.outputs))
