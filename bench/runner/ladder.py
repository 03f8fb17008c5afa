"""What happens when memory runs out: fewer documents, smaller chunks, fewer questions, smaller pages.

The rungs, each tried until it holds or has nothing left:

1. fewer documents: the batch is halved while it holds more than one;
2. smaller chunks: the model computes less at a time (``Model.economize``);
3. fewer questions: what is left, one document, is asked in halves, down to one question;
4. smaller pages, only where a run allows it (``--allow-downscale``): half as many pixels, up to
   ``HALVINGS`` times. Such an answer is marked with the bound that it was given under.

Below is a failure of that question. The first three change no answer beyond rounding. Nobody climbs up
again: later batches start from the rung that held, and so does a resumed run, which reads it from the
record of the batches; what is known of one document's pixels holds for every document with as many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from bench.models.pixels import MIN_PIXELS
from bench.runner.batches import halves
from bench.schema import Batch, Document, Output, PageGroup

HALVINGS = 4
"""Down to a sixteenth of the pixels; less is hardly a page."""

Groups = Sequence[PageGroup]


class Bounds(NamedTuple):
    """Pixels of a page as the model bounds them; None where it does not say."""

    min_pixels: int | None = None
    max_pixels: int | None = None


class Step(NamedTuple):
    """One rung down."""

    batches: list[tuple[PageGroup, ...]]
    """What to ask next."""
    action: str
    """What is different now, in a few words."""


@dataclass(slots=True)
class Ladder:
    """How far down a model's process is."""

    batch_size: int
    """Questions that a call may hold."""
    allow_downscale: bool = False
    bounds: Bounds = field(default_factory=Bounds)
    chunks: int = 0
    """How often the chunks were made smaller."""
    ceiling: int | None = None
    """Pixels of one document, after resizing, that are known not to fit; None: all have fitted."""

    def record(self) -> dict[str, Any]:
        """What the record of a batch says of the rung that it was answered on."""
        return {"batch_size": self.batch_size, "chunks": self.chunks, "ceiling": self.ceiling}

    def resume(self, records: Iterable[Mapping[str, Any]], economize: Callable[[], object]) -> None:
        """Step down to the lowest rung of ``records``: those of the batches before this process."""
        for found in records:
            self.batch_size = min(self.batch_size, int(found["batch_size"]))
            while self.chunks < int(found["chunks"]):
                economize()
                self.chunks += 1
            if found["ceiling"] is not None:
                self._fails_at(int(found["ceiling"]))

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
        lower = [b for b in bounds if group.max_pixels is None or b < group.max_pixels]
        if not lower:
            return None
        return Step([(replace(group, max_pixels=lower[0]),)], f"pages of {lower[0]:,} pixels")

    def bounded(self, groups: Groups) -> tuple[PageGroup, ...]:
        """``groups`` with a bound on each document that is known not to fit as it is."""
        return tuple(
            replace(group, max_pixels=self._bound(group.document))
            if group.max_pixels is None
            else group
            for group in groups
        )

    def held(self, groups: Groups) -> None:
        """Learn from ``groups``, as ``bounded`` or ``down`` gave them, that they did fit.

        Only now is it known that the pixels were what did not fit: a question that fails at every
        resolution says nothing of other documents.
        """
        for group in groups:
            if group.max_pixels is not None:
                bounds: list[int | None] = [self.bounds.max_pixels]
                bounds += self._bounds_of(group.document)
                above = bounds[bounds.index(group.max_pixels) - 1]
                self._fails_at(_seen(group.document, above))

    def _halved(self, groups: Groups, size: int) -> Step:
        self.batch_size = max(1, size // 2)
        return Step(halves(groups), f"batches of {self.batch_size}")

    def _fails_at(self, pixels: int) -> None:
        self.ceiling = pixels if self.ceiling is None else min(self.ceiling, pixels)

    def _bound(self, document: Document) -> int | None:
        """The largest bound under which the document may fit; the least where none may."""
        if self.ceiling is None or _seen(document, self.bounds.max_pixels) < self.ceiling:
            return None
        bounds = self._bounds_of(document)
        fitting = (bound for bound in bounds if _seen(document, bound) < (self.ceiling or 0))
        return next(fitting, bounds[-1] if bounds else None)

    def _bounds_of(self, document: Document) -> list[int]:
        """The bounds that may be tried for a document, the largest first."""
        largest = max((page.width * page.height for page in document.pages), default=0)
        start = min(largest, self.bounds.max_pixels or largest)
        least = max(MIN_PIXELS, self.bounds.min_pixels or 0)
        halved = (start // 2**times for times in range(1, HALVINGS + 1))
        return [bound for bound in halved if bound >= least]


def _seen(document: Document, bound: int | None) -> int:
    """Pixels of the document's pages, none larger than ``bound``."""
    areas = (page.width * page.height for page in document.pages)
    return sum(area if bound is None else min(area, bound) for area in areas)


def marked(groups: Groups, batch: Batch) -> Batch:
    """``batch`` with the answers marked that were given about shrunk pages."""
    bounds = {request.sample_id: group.max_pixels for group in groups for request in group.requests}

    def mark(output: Output) -> Output:
        bound = bounds[output.sample_id]
        if bound is None or output.stop_reason == "error":
            return output
        return replace(output, degraded=bound)

    return replace(batch, outputs=tuple(mark(output) for output in batch.outputs))
