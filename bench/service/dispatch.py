"""What is asked next: takes the jobs that wait, gives them to the model in batches, and keeps the answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from bench.errors import BenchError, EnvironmentProblem
from bench.models.model import failed
from bench.schema import Output
from bench.service.intake import PageIntake
from bench.service.jobs import JobStore, ServiceJob
from bench.service.metrics import ServiceMetrics
from bench.service.model_process import CallResult, Loaded, ModelDied, ModelProcess
from bench.service.records import log

DEATHS = 2
"""A job that has ended the model's process so often has failed."""
LOADS_IN_A_ROW = 5
"""After so many failed starts of a model that was loaded before, the service gives up."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between them, doubled every time."""
STORING_PAUSE = 1.0
"""Seconds between attempts to store answers while the disk is full."""
GATHERING = 0.25
"""The share of the last call's time for which the clients that it answered are waited for. They come back
together, and a call without them would hold fewer questions, each of which would take longer."""
PATIENCE = 0.5
"""The share of that time after which nobody is waited for any more if nobody comes or is being received."""
LONGEST_GATHERING = 0.1
EXPIRY_SECONDS = 30.0
"""How often results that have expired are removed."""


@dataclass(slots=True)
class LiveJob:
    """A job that has not ended."""

    job: ServiceJob
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    written: str = ""
    """Its answer so far, if its client reads along."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether more of the answer is written, or it has ended."""

    def let_go(self) -> None:
        """Let those who wait for the answer go on."""
        self.ended.set()
        self.news.set()


class Dispatcher:
    """All jobs that have not ended, and the one model that answers them."""

    def __init__(
        self,
        store: JobStore,
        intake: PageIntake,
        process: ModelProcess,
        metrics: ServiceMetrics,
        *,
        batch_size: int | None,
        keep_seconds: float,
    ) -> None:
        self._store, self._intake, self._process, self._metrics = store, intake, process, metrics
        self._batch_size, self._keep_seconds = batch_size, keep_seconds
        self._live: dict[str, LiveJob] = {}
        """Jobs in the order in which they were accepted."""
        self._asked: set[str] = set()
        """Those of them that the model is answering, or whose answers are being stored."""
        self._keeping: asyncio.Task[None] | None = None
        """Stores the answers of the last call."""
        self.arriving = 0
        """Questions whose pages are being read."""
        self._arrived = asyncio.Event()
        self._call_seconds = 0.0
        """What the last call took, with the way to the process and back."""
        self._call_questions = 0
        self.loaded: Loaded | None = None
        """What was loaded last; None before the model was loaded for the first time."""
        self.is_ready = False
        """Whether a model is loaded now."""
        for job in store.waiting():
            intake.hold(job.question.pages)
            self._live[job.id] = LiveJob(job)
        intake.sweep()
        metrics.watch_queue(lambda: self.waiting, lambda: len(self._asked))

    @property
    def waiting(self) -> int:
        """How many jobs wait for the model."""
        return len(self._live) - len(self._asked)

    @property
    def is_idle(self) -> bool:
        """Whether every accepted job has ended."""
        return not self._live

    def find(self, job_id: str) -> ServiceJob | None:
        """The job with this id, with its state; None if there is none."""
        live = self._live.get(job_id)
        if live is None:
            return self._store.find(job_id)
        return replace(live.job, status="IN_PROGRESS") if job_id in self._asked else live.job

    def find_key(self, key: str) -> ServiceJob | None:
        """The job that was accepted with ``key``, as it was then; None if there is none."""
        return self._store.find_key(key)

    def position(self, job_id: str) -> int:
        """Which one a job that waits is among those that wait, from 1."""
        position = 0
        for name in self._live:
            position += name not in self._asked
            if name == job_id:
                break
        return position

    def seconds_until_room(self) -> int:
        """How long it takes, probably, until another job may be accepted."""
        if self._call_questions == 0:
            return 5
        seconds = self.waiting * self._call_seconds / self._call_questions
        # Half of the queue, so that the clients which are sent away find room when they come back.
        return max(1, min(60, round(seconds / 2)))

    async def accept(self, job: ServiceJob, *, is_awaited: bool) -> None:
        """Take a job whose pages are held; it is on the disk when this returns.

        Args:
            job: the job.
            is_awaited: whether its client waits for the answer. Then the model need not wait for the disk:
                nothing is told of the job before it is stored.

        Raises:
            EnvironmentProblem: it cannot be stored.
        """
        if is_awaited:
            self._enter(job)
        files = self._intake.unsynced(job.question.pages)
        try:
            await self._store.add(job, files, is_urgent=not is_awaited)
        except BaseException:
            self._live.pop(job.id, None)
            self._asked.discard(job.id)
            raise
        self._intake.synced(files)
        if not is_awaited:
            self._enter(job)

    def _enter(self, job: ServiceJob) -> None:
        self._live[job.id] = LiveJob(job)
        self._arrived.set()

    async def result(self, job_id: str, seconds: float | None) -> ServiceJob | None:
        """The job when it has ended, or as it is after ``seconds``; None if there is none.

        With ``seconds`` of None it is waited for as long as the service runs.
        """
        live = self._live.get(job_id)
        if live is not None and seconds != 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await live.ended.wait()
            if live.job.output is not None:
                # What has just ended need not be read from the disk.
                return live.job
        return self.find(job_id)

    async def written(self, job_id: str, seconds: float) -> str | None:
        """The answer so far, as soon as more of it is written or it has ended; None after ``seconds``."""
        live = self._live.get(job_id)
        if live is None:
            # It has ended. Whoever waits for that learns it next.
            await asyncio.sleep(0)
            return ""
        try:
            async with asyncio.timeout(seconds):
                await live.news.wait()
        except TimeoutError:
            return None
        live.news.clear()
        return live.written

    async def forget(self, job_id: str) -> bool:
        """Remove a job with its pages and its result; false if there is none."""
        if self.find(job_id) is None:
            return False
        await self._store.forget(job_id)
        live = self._live.get(job_id)
        if live is not None:
            self._let_go(live)
        return True

    def release_waiting(self) -> None:
        """Let every request that waits for an answer go on, because none will come any more."""
        for live in self._live.values():
            live.let_go()

    async def expire(self) -> None:
        """Remove results whose time is over, again and again."""
        while True:
            await asyncio.sleep(min(EXPIRY_SECONDS, self._keep_seconds))
            try:
                await self._store.expire(time.time() - self._keep_seconds)
            except EnvironmentProblem as error:
                log("storage_problem", message=error.message)

    async def load(self) -> Loaded:
        """Load the model for the first time.

        Raises:
            InvalidInput, EnvironmentProblem: it cannot be loaded.
        """
        self.loaded = await self._process.start()
        self.is_ready = True
        log("model_loaded", seconds=self.loaded.seconds, device=self.loaded.info.device)
        return self.loaded

    async def work(self) -> None:
        """Answer jobs until cancelled.

        Raises:
            EnvironmentProblem: the model died and cannot be loaded any more. The jobs stay accepted.
        """
        expected = 0
        try:
            while True:
                if not self.waiting:
                    self._arrived.clear()
                    await self._arrived.wait()
                await self._gather(expected)
                batch = self._next_batch()
                if batch:
                    await self._answer(batch)
                # Those that wait already, and those whose clients may come back.
                expected = min(self.waiting + len(batch), self._most_questions)
        finally:
            if self._keeping is not None:
                self._keeping.cancel()

    async def _gather(self, expected: int) -> None:
        """Wait a little until ``expected`` questions wait, as long as some of them come."""
        window = min(GATHERING * self._call_seconds, LONGEST_GATHERING)
        clock = asyncio.get_running_loop().time
        until = clock() + window
        while self.waiting < expected and clock() < until:
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(min(clock() + PATIENCE * window, until)):
                    await self._arrived.wait()
            except TimeoutError:
                if self.arriving == 0:
                    return

    @property
    def _most_questions(self) -> int:
        """Of one call."""
        assert self.loaded is not None
        return self._batch_size or self.loaded.batch_size

    def _next_batch(self) -> list[LiveJob]:
        """The job that waits longest, and as many others as one call may hold: first those on its pages."""
        size = self._most_questions
        waiting = [live for name, live in self._live.items() if name not in self._asked]
        if not waiting:
            return []
        first = waiting[0]
        if first.job.deaths > 0:
            # The process died in a call with this job, and another one shall not die with it again.
            return [first]
        trusted = [live for live in waiting if live.job.deaths == 0]
        chosen: dict[str, LiveJob] = {}
        by_pages: dict[object, list[LiveJob]] = {}
        for live in trusted:
            by_pages.setdefault(live.job.question.pages, []).append(live)
        for live in trusted:
            for same in by_pages[live.job.question.pages]:
                if len(chosen) == size:
                    return list(chosen.values())
                chosen[same.job.id] = same
        return list(chosen.values())

    async def _answer(self, batch: Sequence[LiveJob]) -> None:
        """Ask the model once, and keep what becomes of the jobs."""
        self._asked.update(live.job.id for live in batch)
        started = time.perf_counter()
        try:
            answered = await self._process.ask([live.job for live in batch], self._wrote)
        except ModelDied as death:
            await self._after_death(batch, death)
            return
        self._call_seconds = time.perf_counter() - started
        self._call_questions = len(batch)
        missing = "RuntimeError: the model returned no answer"
        ended = []
        for live in batch:
            output = answered.outputs.get(live.job.id)
            output = output or Output(live.job.id, "", "error", error=missing)
            ended.append(live.job.ended(output, answered.seconds))
        if self._keeping is not None:
            # With a full disk, the model is not asked on and on.
            await self._keeping
        self._keeping = asyncio.create_task(self._keep(batch, ended, answered))
        if self.waiting < self._most_questions:
            # The clients of these answers may come back with what makes the next call full.
            await self._keeping

    def _wrote(self, job_id: str, text: str) -> None:
        live = self._live.get(job_id)
        if live is not None:
            live.written = text
            live.news.set()

    async def _keep(
        self, batch: Sequence[LiveJob], ended: Sequence[ServiceJob], answered: CallResult | None
    ) -> None:
        await self._persist(lambda: self._store.end(ended))
        for live, job in zip(batch, ended, strict=True):
            live.job = job
            # A job that was forgotten meanwhile has been let go already.
            if job.id in self._live:
                self._let_go(live)
        self._metrics.ended(ended, answered)

    async def _persist(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write until it succeeds: with a full disk the answers wait for room."""
        while True:
            try:
                await write()
            except EnvironmentProblem as error:
                log("storage_problem", message=error.message)
                await asyncio.sleep(STORING_PAUSE)
            else:
                return

    async def _after_death(self, batch: Sequence[LiveJob], death: ModelDied) -> None:
        """Give up the job that has ended the process twice, put the others back, and start again."""
        self.is_ready = False
        log(
            "model_died",
            message=death.message,
            jobs=len(batch),
            said=list(self._process.last_lines),
        )
        self._metrics.died()
        if death.blames:
            for live in batch:
                live.job = replace(live.job, deaths=live.job.deaths + 1)
            guilty = [live for live in batch if live.job.deaths >= DEATHS]
            others = [live.job for live in batch if live.job.deaths < DEATHS]
            await self._persist(lambda: self._store.died(others))
            error = RuntimeError("the model's process ended twice while it answered this question")
            ended = [live.job.ended(failed(live.job.id, error), None) for live in guilty]
            if ended:
                await self._keep(guilty, ended, None)
        self._asked.difference_update(live.job.id for live in batch)
        await self._revive()

    async def _revive(self) -> None:
        pause = FIRST_PAUSE
        for attempt in range(1, LOADS_IN_A_ROW + 1):
            try:
                await self.load()
            except BenchError as error:
                log("model_not_loaded", message=error.message, attempt=attempt)
                if attempt == LOADS_IN_A_ROW:
                    raise EnvironmentProblem(
                        f"the model was lost and cannot be loaded any more: {error.message}",
                        hint="the accepted jobs are kept; start the service again",
                    ) from None
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                return

    def _let_go(self, live: LiveJob) -> None:
        """Forget a job that has ended or that nobody wants any more, and tell those who wait for it."""
        del self._live[live.job.id]
        self._asked.discard(live.job.id)
        self._intake.release(live.job.question.pages)
        live.let_go()
