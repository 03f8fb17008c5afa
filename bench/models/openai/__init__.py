"""Asks a model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, a proxy, a hosted API.

In the order of the data: ``settings`` (address, model and limits), ``jobs`` (in which order), ``messages`` (a
request becomes a body), ``client`` and ``concurrency`` (the body becomes a reply), ``completions`` (the reply
becomes an output).
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.models.model import failed
from bench.models.openai.client import Client, Reply
from bench.models.openai.completions import output_of, token_choices
from bench.models.openai.jobs import Job, JobQueue, jobs_of
from bench.models.openai.messages import PageEncoder, SentPage, chat_request
from bench.models.openai.settings import EndpointSettings, endpoint_settings
from bench.schema import Batch, ModelInfo, ModelSpec, Output, PageGroup

if TYPE_CHECKING:
    import httpx2


class Endpoint:
    """Asks a server, many questions at a time."""

    def __init__(self, spec: ModelSpec, *, transport: httpx2.BaseTransport | None = None) -> None:
        self._spec = spec
        self._settings: EndpointSettings = endpoint_settings(spec)
        self._encoder = PageEncoder(spec, self._settings)
        self._transport = transport
        self._client: Client | None = None
        self._salt: str | None = None

    def load(self) -> ModelInfo:
        """Find out what is served there; nothing is loaded on this machine."""
        spec, settings = self._spec, self._settings
        self._client = Client(settings, transport=self._transport)
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
            "extra_body": settings.extra_body,
            "confidence": "mean probability of the generated tokens, as the server reports them",
        }
        return ModelInfo(backend="openai", details=details, device="server")

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        """Ask every request of ``groups``; what the server does not answer is that request's failure."""
        assert self._client is not None, "load comes first"
        total = sum(len(group.requests) for group in groups)
        # The queue alone holds the jobs: the pages of those that are done need no memory any more.
        queue = JobQueue(jobs_of(groups, self._encoder))
        if total > 1:
            return Batch(tuple(self._ask_all(queue, min(self._settings.concurrency, total))))
        job = queue.take()
        assert job is not None, "a batch has at least one request"
        output, reply = self._ask(job, stream=True)
        if reply is None:
            return Batch((output,))
        first = reply.first_token_seconds
        stages = {"answer": reply.seconds}
        if first is not None:
            stages = {"first_token": first, "decode": reply.seconds - first}
        return Batch((output,), stages, first, retry_seconds=reply.lost_seconds)

    def close(self) -> None:
        """Close the connections; the end of the process does it as well."""
        if self._client is not None:
            self._client.close()

    def expect(self, groups: Sequence[PageGroup]) -> None:
        """Nothing is read ahead: pages are encoded while others are being answered."""

    def economize(self) -> str | None:
        """The memory is the server's own affair."""
        return None

    def reset(self) -> None:
        """Have the server meet every page for the first time, where it can be told so."""
        if self._salt is not None:
            self._salt = uuid.uuid4().hex

    def _ask_all(self, queue: JobQueue, workers: int) -> list[Output]:
        """The outputs of all jobs and their followers, in the order of their places."""
        outputs: dict[int, Output] = {}

        def work() -> None:
            while (job := queue.take()) is not None:
                try:
                    outputs[job.place], _ = self._ask(job, stream=False)
                finally:
                    queue.done(job)

        with ThreadPoolExecutor(workers, thread_name_prefix="endpoint") as pool:
            try:
                for future in [pool.submit(work) for _ in range(workers)]:
                    future.result()
            finally:
                # After Ctrl-C only the requests in flight are waited for.
                queue.close()
        return [outputs[place] for place in sorted(outputs)]

    def _ask(self, job: Job, *, stream: bool) -> tuple[Output, Reply | None]:
        assert self._client is not None
        try:
            pages = job.pages.sent()
            body = chat_request(
                self._spec,
                self._settings,
                job.group,
                job.request,
                pages,
                stream=stream,
                cache_salt=self._salt,
            )
            reply = self._client.complete(body)
            output = output_of(reply, job.group, job.request, _visual_tokens(pages))
            if self._settings.token_details:
                output = replace(output, tokens=token_choices(reply))
        except Exception as error:
            # Whatever it is, it must not cost the other questions of this call their answers.
            if not isinstance(error, BenchError):
                traceback.print_exc()
            return failed(job.request.sample_id, error), None
        return output, reply


def _visual_tokens(pages: Sequence[SentPage]) -> int | None:
    """Of all pages; None if one is not known."""
    counts = [page.visual_tokens for page in pages if page.visual_tokens is not None]
    return sum(counts) if len(counts) == len(pages) else None
