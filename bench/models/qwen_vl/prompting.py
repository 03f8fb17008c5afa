"""From groups to prompts: which pages are read, which requests can be asked, what is settled already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.errors import InvalidInput
from bench.models.model import failed
from bench.models.qwen_vl.generation import Prompted, PromptedQuestion
from bench.models.qwen_vl.pixels import PagePixels, ReadRequest
from bench.models.qwen_vl.processing import Processor
from bench.models.reading_along import Reader, ReadingAlong
from bench.schema import Output, PageGroup, Request


class _Asked(NamedTuple):
    """One request, and its place among the outputs of the call."""

    place: int
    request: Request
    group: PageGroup


class Prompting:
    """One call's way from groups to prompted documents."""

    def __init__(
        self,
        processor: Processor,
        context: int,
        *,
        reuse: bool,
        readers: Mapping[str, Reader] | None = None,
    ) -> None:
        """Prepare a call.

        Args:
            processor: of the model.
            context: tokens that the model holds.
            reuse: whether requests on the same pages share them; otherwise each brings its pages anew.
            readers: who reads along, by the sample.
        """
        self._processor, self._context, self._reuse = processor, context, reuse
        self._readers = readers or {}
        self.settled: dict[int, Output] = {}
        """Place → output of each request that the model is not asked; complete after ``documents``."""

    def documents(self, groups: Sequence[PageGroup]) -> Iterator[Prompted]:
        """The documents of ``groups`` with what is asked about them, read ahead in worker threads.

        A request that cannot be asked is put into ``settled`` instead.
        """
        gathered = self._gather(groups)
        pages_of = self._processor.queue.read([self._read_request(asked) for asked in gathered])
        for asked, pages in zip(gathered, pages_of, strict=True):
            if isinstance(pages, InvalidInput):
                self.settled |= {one.place: failed(one.request.sample_id, pages) for one in asked}
                continue
            prefix = self._processor.prefix(pages, asked[0].group.system)
            questions = [self._question(one, pages, len(prefix.ids)) for one in asked]
            kept = tuple(question for question in questions if question is not None)
            if kept:
                yield Prompted(prefix, kept)

    def expect(self, groups: Sequence[PageGroup]) -> None:
        """Let the worker threads go on with ``groups`` behind the next ``documents``."""
        self._processor.queue.expect([self._read_request(asked) for asked in self._gather(groups)])

    def _read_request(self, asked: Sequence[_Asked]) -> ReadRequest:
        group = asked[0].group
        return ReadRequest(self._processor.reader_at(group.max_pixels), group.document.pages)

    def _gather(self, groups: Sequence[PageGroup]) -> list[list[_Asked]]:
        """Requests by what they share: pages, their bound and system message, not group.

        A plan may give one document's questions in several groups.
        """
        gathered: dict[tuple[object, ...], list[_Asked]] = {}
        place = 0
        for group in groups:
            for request in group.requests:
                alone = -1 if self._reuse else place
                shared = (group.document.pages, group.max_pixels, group.system, alone)
                gathered.setdefault(shared, []).append(_Asked(place, request, group))
                place += 1
        return list(gathered.values())

    def _question(
        self, asked: _Asked, pages: Sequence[PagePixels], prefix: int
    ) -> PromptedQuestion | None:
        """``asked`` behind ``prefix`` tokens; None if it is settled."""
        place, request, group = asked
        ids = self._processor.suffix(request.prompt, len(pages), group.system)
        visual = sum(page.tokens for page in pages)
        prompt, limit = prefix + len(ids), group.generation.max_new_tokens
        if prompt + limit > self._context:
            problem = InvalidInput(
                f"the prompt has {prompt} tokens ({visual} of them visual) and the answer may have {limit}, "
                f"which is more than the model's context of {self._context}; lower --max-pixels"
            )
            self.settled[place] = failed(request.sample_id, problem)
            return None
        if limit < 1:
            self.settled[place] = Output(request.sample_id, "", "length", prompt, visual, 0)
            return None
        reader, heard = self._readers.get(request.sample_id), None
        if reader is not None:
            heard = ReadingAlong(reader, self._processor.text, group.generation.stop)
        return PromptedQuestion(place, request, group, ids, prompt, visual, heard)
