"""Asks a model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, a proxy, a hosted API.

In the order of the data: ``settings`` (address, model and limits), ``jobs`` (in which order), ``messages`` (a
request becomes a body), ``client``, ``concurrency`` and ``streak`` (the body becomes a reply, or there is no
use in asking), ``completions`` (the reply becomes an output).
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.models.model import ModelGone, failed
from bench.models.openai.client import Client, Reply
from bench.models.openai.completions import output_of, token_choices
from bench.models.openai.jobs import Job, JobQueue, jobs_of
from bench.models.openai.messages import PageEncoder, SentPage, chat_request
from bench.models.openai.settings import EndpointSettings, endpoint_settings
from bench.models.reading_along import Reader, settled
from bench.schema import Batch, ModelInfo, ModelSpec, Output, PageGroup

if TYPE_CHECKING:
    import httpx2


GUIDED = (
    "the server made every answer conform to response_format, which changes answers; compare the scores only "
    "with those of models that were asked in the same way"
)
"""What a report says of structured outputs."""


MAYBE_WARM = (
    "the server cannot be told to forget a page, so its latencies on cold pages may be those on pages that "
    "it knew"
)
"""What a report says of a server that is not known to follow ``cache_salt``."""


class Endpoint:
    """Asks a server, many questions at a time."""

    def __init__(
        self,
        spec: ModelSpec,
        *,
        transport: httpx2.BaseTransport | None = None,
        ended: Callable[[], str | None] | None = None,
    ) -> None:
        """Ask nothing yet.

        Args:
            spec: the model.
            transport: stands in for the network in tests.
            ended: says why the server has ended, where that is known, and None while it has not.
        """
        self._spec = spec
        self._settings: EndpointSettings = endpoint_settings(spec)
        self._encoder = PageEncoder(spec, self._settings)
        self._transport, self._ended = transport, ended
        self._client: Client | None = None
        self._salt: str | None = None
        self._is_cold = False
        self._readers: Mapping[str, Reader] = {}

    def load(self) -> ModelInfo:
        """Find out what is served there; nothing is loaded on this machine."""
        spec, settings = self._spec, self._settings
        self._client = Client(settings, transport=self._transport, ended=self._ended)
        server = self._client.server(spec.checkpoint or "")
        # Of the servers, vLLM and SGLang tell their version, and vLLM knows ``cache_salt``.
        if server.version is not None:
            self._salt = uuid.uuid4().hex
        details = {
            "base_url": settings.base_url,
            "checkpoint": spec.checkpoint,
            "served_models": list(server.models[:20]),
            "server_version": server.version,
            "context": server.context,
            "concurrency": settings.concurrency,
            "image_format": settings.image_format,
            "min_pixels": spec.min_pixels,
            "max_pixels": spec.max_pixels,
            "visual_token_side": settings.visual_token_side,
            "response_format": settings.response_format,
            "extra_body": settings.extra_body,
            "confidence": "mean probability of the generated tokens, as the server reports them",
        }
        warnings = [GUIDED] if settings.response_format is not None else []
        if self._salt is None:
            warnings.append(MAYBE_WARM)
        if warnings:
            details["warnings"] = warnings
        return ModelInfo(backend="openai", details=details, device="server")

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        """Ask every request of ``groups``; what the server does not answer is that request's failure."""
        assert self._client is not None, "load comes first"
        total = sum(len(group.requests) for group in groups)
        # The queue alone holds the jobs: the pages of those that are done need no memory any more.
        queue = JobQueue(jobs_of(groups, self._encoder))
        if total > 1:
            outputs = self._ask_all(queue, min(self._settings.concurrency, total))
            return Batch(outputs, notes={"in_flight": self._client.limit.most()})
        job = queue.take()
        assert job is not None, "a batch has at least one request"
        output, reply = self._ask(job, alone=True)
        if reply is None:
            return Batch((output,))
        first = reply.first_token_seconds
        stages = {"answer": reply.seconds}
        if first is not None:
            stages = {"first_token": first, "decode": reply.seconds - first}
        not_asking = reply.lost_seconds + reply.waited_seconds
        return Batch((output,), stages, first, retry_seconds=not_asking)

    def close(self) -> None:
        """Close the connections; the end of the process does it as well."""
        if self._client is not None:
            self._client.close()

    def let_read_along(self, readers: Mapping[str, Reader]) -> None:
        """See ``bench.models.model.ReadAlong``: these answers come as streams."""
        self._readers = readers

    def expect(self, groups: Sequence[PageGroup]) -> None:
        """Nothing is read ahead: pages are encoded while others are being answered."""

    def economize(self) -> str | None:
        """The memory is the server's own affair."""
        return None

    def reset(self) -> None:
        """Have the server meet every page for the first time, where it can be told so."""
        self._is_cold = True
        if self._salt is not None:
            self._salt = uuid.uuid4().hex

    def _ask_all(self, queue: JobQueue, workers: int) -> tuple[Output, ...]:
        """The outputs of all jobs and their followers, in the order of their places."""
        outputs: dict[int, Output] = {}

        def work() -> None:
            while (job := queue.take()) is not None:
                try:
                    outputs[job.place], _ = self._ask(job, alone=False)
                except ModelGone:
                    queue.close()
                    raise
                finally:
                    queue.done(job)

        with ThreadPoolExecutor(workers, thread_name_prefix="endpoint") as pool:
            futures = [pool.submit(work) for _ in range(workers)]
            try:
                for future in futures:
                    future.result()
            except ModelGone as gone:
                wait(futures)
                answered = [output for output in outputs.values() if output.error is None]
                raise ModelGone(gone.message, hint=gone.hint, answered=answered) from None
            finally:
                # After Ctrl-C only the requests in flight are waited for.
                queue.close()
        return tuple(outputs[place] for place in sorted(outputs))

    def _ask(self, job: Job, *, alone: bool) -> tuple[Output, Reply | None]:
        """The output of a job, and the reply that it is made of; None where there was none."""
        assert self._client is not None
        reader = self._reader(job)
        try:
            pages = job.pages.sent()

            def body() -> dict[str, Any]:
                return chat_request(
                    self._spec,
                    self._settings,
                    job.group,
                    job.request,
                    pages,
                    stream=alone or reader is not None,
                    cache_salt=self._salt,
                )

            def again() -> dict[str, Any]:
                # An attempt that broke off may have left the pages in the server's prefix cache.
                if self._is_cold:
                    self.reset()
                return body()

            reply = self._client.complete(body(), again if alone else None, reader)
            self._is_cold = False
            output = output_of(
                reply, job.group, job.request, _visual_tokens(pages), self._spec.checkpoint
            )
            if self._settings.token_details:
                output = replace(output, tokens=token_choices(reply))
        except ModelGone:
            raise
        except Exception as error:
            # Whatever it is, it must not cost the other questions of this call their answers.
            if not isinstance(error, BenchError):
                traceback.print_exc()
            return failed(job.request.sample_id, error), None
        return output, reply

    def _reader(self, job: Job) -> Reader | None:
        """Who reads the answer to ``job`` along; it may be cut at a stop string later."""
        reader = self._readers.get(job.request.sample_id)
        stops = job.group.generation.stop
        return None if reader is None else lambda text: reader(settled(text, stops))


def _visual_tokens(pages: Sequence[SentPage]) -> int | None:
    """Of all pages; None if one is not known."""
    counts = [page.visual_tokens for page in pages if page.visual_tokens is not None]
    return sum(counts) if len(counts) == len(pages) else None
