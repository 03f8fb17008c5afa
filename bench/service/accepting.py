"""How a question is accepted: what the model can do, whether there is room, and then the disk."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import bench
from bench.errors import EnvironmentProblem, InvalidInput
from bench.models.backends import traits_of
from bench.runner.sweep import tokens_as_pixels
from bench.schema import ModelSpec
from bench.service.dispatch import Dispatcher
from bench.service.fetching import fetch
from bench.service.intake import PageIntake, data_url_content, storage_refusal, too_many_pages
from bench.service.jobs import PageQuestion, ServiceJob, new_job
from bench.service.metrics import ServiceMetrics
from bench.service.refusals import Refusal
from bench.service.requests import KEY_HEADER, Source
from bench.service.settings import ServiceSettings

SHOWN_DETAILS = ("dtype", "quantization", "attention", "context_tokens", "min_pixels", "max_pixels")
"""What of a loaded model's details a client may know. Others may hold a path."""


class Service:
    """What the routes of the application share."""

    def __init__(
        self,
        settings: ServiceSettings,
        spec: ModelSpec,
        dispatcher: Dispatcher,
        intake: PageIntake,
        metrics: ServiceMetrics,
    ) -> None:
        self.settings, self.spec, self.dispatcher = settings, spec, dispatcher
        self.intake, self.metrics = intake, metrics
        self.started = time.time()
        self.is_draining = False
        """Whether the service is about to stop, so that it accepts nothing more."""
        self._forgetting: set[asyncio.Task[bool]] = set()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Of the keys with which something is being accepted."""

    @property
    def model_name(self) -> str:
        """What clients call the model; of a folder, its own name and not the path."""
        name = self.spec.name
        return Path(name).name if Path(name).exists() or name.startswith((".", "/")) else name

    def check_room(self, key: str | None = None) -> None:
        """Refuse a question that could not be accepted, before its pages are read.

        One that was accepted with ``key`` before needs no room.

        Raises:
            Refusal: the model is not loaded yet, the service is about to stop, or the queue is full.
        """
        if key is not None and self.dispatcher.find_key(key) is not None:
            return
        if self.is_draining:
            raise Refusal(503, "stopping", "the service is about to stop", retry_after=10)
        if self.dispatcher.loaded is None:
            raise Refusal(503, "loading", "the model is not loaded yet", retry_after=5)
        if self.dispatcher.waiting >= self.settings.queue:
            raise Refusal(
                429,
                "queue_full",
                "the queue is full",
                retry_after=self.dispatcher.seconds_until_room(),
            )

    async def contents(self, pages: Sequence[Source | bytes]) -> list[bytes]:
        """The files themselves, of data URLs and of addresses too.

        Raises:
            Refusal: there are too many, or one is neither or cannot be had.
        """
        if len(pages) > self.settings.pages:
            raise too_many_pages(self.settings.pages)
        contents = []
        for number, page in enumerate(pages, 1):
            try:
                contents.append(await self._content(page))
            except Refusal as refusal:
                if len(pages) > 1:
                    refusal.message = f"image {number}: {refusal.message}"
                raise
        return contents

    async def _content(self, page: Source | bytes) -> bytes:
        if isinstance(page, bytes):
            return page
        # An address has "://", which no base64 has: data without their beginning are no address.
        if page.url[:5].lower() == "data:" or "://" not in page.url:
            return data_url_content(page.url, page.field)
        return await fetch(page.url, self.settings, page.field)

    async def accept(
        self,
        pages: Sequence[Source | bytes],
        prompt: str,
        *,
        max_new_tokens: int | None = None,
        visual_tokens: int | None = None,
        stop: tuple[str, ...] = (),
        system: str | None = None,
        labels: tuple[str, ...] = (),
        is_awaited: bool = True,
        key: str | None = None,
        is_read_along: bool = False,
    ) -> ServiceJob:
        """A job that is on the disk and will be answered; ``is_awaited`` is that of ``Dispatcher.accept``.

        The same question with the same ``key`` is the same job. With ``is_read_along``, its client reads the
        answer while it is written.

        Raises:
            Refusal: the model cannot do what is asked, a page cannot be read, or there is no room.
        """
        limit = self.settings.max_new_tokens if max_new_tokens is None else max_new_tokens
        if limit > self.settings.most_new_tokens:
            raise Refusal(
                422,
                "too_many_tokens",
                f"an answer may have at most {self.settings.most_new_tokens} tokens",
                field="max_new_tokens",
            )
        max_pixels = None if visual_tokens is None else self._pixels(visual_tokens)
        self.dispatcher.arriving += 1
        try:
            opened = await self.intake.take(await self.contents(pages))
            question = PageQuestion(opened, prompt, limit, stop, system, max_pixels, labels)
            # The second of two equal requests waits until the first one is stored, and then finds it.
            async with self._turn(key):
                job = new_job(question, key, is_read_along=is_read_along)
                return await self._kept(job, is_awaited)
        except EnvironmentProblem as error:
            raise storage_refusal(error) from None
        finally:
            self.dispatcher.arriving -= 1

    async def _kept(self, job: ServiceJob, is_awaited: bool) -> ServiceJob:
        """``job`` when it is on the disk, or the one that was accepted with its key before.

        The pages of ``job`` are let go if it is not accepted.
        """
        try:
            known = self._known(job)
            if known is None:
                # While the pages were read, others may have taken the last places.
                self.check_room()
                await self.dispatcher.accept(job, is_awaited=is_awaited)
                return job
        except BaseException:
            self.intake.release(job.question.pages)
            raise
        self.intake.release(job.question.pages)
        return known

    def _known(self, job: ServiceJob) -> ServiceJob | None:
        """The job that was accepted with the key of ``job``; None if there is none.

        Raises:
            Refusal: it asks something else.
        """
        known = None if job.key is None else self.dispatcher.find_key(job.key)
        if known is not None and known.question != job.question:
            message = "the Idempotency-Key belongs to another request"
            raise Refusal(422, "idempotency_key_reused", message, field=KEY_HEADER)
        return known

    def _turn(self, key: str | None) -> contextlib.AbstractAsyncContextManager[Any]:
        if key is None:
            return contextlib.nullcontext()
        return self._turns.setdefault(key, asyncio.Lock())

    def forget_soon(self, job_id: str) -> None:
        """Forget a job whose client has left, and whose answer therefore nobody will get."""
        task = asyncio.create_task(self.dispatcher.forget(job_id))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    def version(self) -> dict[str, Any]:
        """What answers: the program, the model, and where it computes."""
        loaded = self.dispatcher.loaded
        about: dict[str, Any] = {
            "version": bench.__version__,
            "model": self.model_name,
            "backend": self.spec.backend,
            "device": None,
        }
        if loaded is not None:
            about["device"] = loaded.info.device
            about["parameters"] = loaded.info.parameters
            about["load_seconds"] = loaded.seconds
            details = loaded.info.details
            about |= {name: details[name] for name in SHOWN_DETAILS if name in details}
        return about

    def _pixels(self, visual_tokens: int) -> int:
        """The bound of so many visual tokens on a page, in pixels."""
        traits = traits_of(self.spec)
        if not traits.visual_tokens or traits.runs_in != "process":
            raise Refusal(
                422,
                "visual_tokens_not_followed",
                "this model cannot be told how many visual tokens a page may have",
                field="visual_tokens",
            )
        try:
            return tokens_as_pixels(self.spec, visual_tokens)
        except InvalidInput:
            raise Refusal(
                422,
                "visual_tokens_not_followed",
                "this model cannot make a page so small",
                field="visual_tokens",
            ) from None
