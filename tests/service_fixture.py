"""A service for tests: its application and queue in this process, with a script in the place of the model."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import queue
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import uvloop
from PIL import Image

from bench.models.catalog import resolve
from bench.schema import ModelInfo, Output, TokenChoice
from bench.service import serve
from bench.service.accepting import Service
from bench.service.application import make_application
from bench.service.dispatch import Dispatcher
from bench.service.intake import PageIntake
from bench.service.jobs import JobStore, ServiceJob
from bench.service.metrics import ServiceMetrics
from bench.service.model_process import CallResult, Loaded, Wrote
from bench.service.settings import service_settings

Answer = Callable[[ServiceJob], Output]


def shouted(job: ServiceJob) -> Output:
    """The question in capital letters, with a token for each letter."""
    text = job.question.prompt.upper()
    tokens = tuple(TokenChoice(letter, -0.5, "~", -1.5) for letter in [*text, "<end>"])
    return Output(job.id, text, "stop", 20, 12, len(tokens), 0.6, 0.6, tokens=tokens)


class Script:
    """Stands in for the model's process."""

    def __init__(self, answer: Answer = shouted) -> None:
        self.answer = answer
        self.calls: list[list[ServiceJob]] = []
        self.starts = 0
        self.load_error: Exception | None = None
        self.go_on = asyncio.Event()
        """Answers wait for it."""
        self.go_on.set()
        self.last_lines: list[str] = []

    async def start(self) -> Loaded:
        self.starts += 1
        if self.load_error is not None:
            raise self.load_error
        info = ModelInfo("fake", {"context_tokens": 512, "checkpoint": "/secret/place"})
        return Loaded(info, 0.1, 16)

    async def ask(self, jobs: Sequence[ServiceJob], wrote: Wrote) -> CallResult:
        self.calls.append(list(jobs))
        for job in jobs:
            if job.is_read_along:
                wrote(job.id, self.answer(job).text[:2])
        await self.go_on.wait()
        memory = {"peak_rss": 1000, "peak_allocated": None}
        return CallResult({job.id: self.answer(job) for job in jobs}, 0.01, memory)

    async def stop(self) -> None:
        pass


class Running:
    """What a test has in its hands."""

    def __init__(self, service: Service, script: Script, client: httpx2.AsyncClient) -> None:
        self.service, self.script, self.client = service, script, client

    async def run(self, **fields: Any) -> httpx2.Response:
        fields = {"image": PAGE_URL, **fields} if not PAGES & fields.keys() else fields
        return await self.client.post("/api/v1/run", json=fields)


PAGES = {"image", "images", "image_url"}


@contextlib.asynccontextmanager
async def running(
    folder: Path, script: Script | None = None, *, works: bool = True, **settings: Any
) -> AsyncIterator[Running]:
    """A service on ``folder``, with settings for it; without ``works`` nothing is answered."""
    chosen = service_settings(data=folder, **settings)
    script = script or Script()
    folder.mkdir(exist_ok=True)
    store = JobStore(folder)
    metrics = ServiceMetrics()
    intake = PageIntake(folder / "pages", chosen.pages)
    dispatcher = Dispatcher(
        store,
        intake,
        script,  # type: ignore[arg-type]
        metrics,
        batch_size=chosen.batch_size,
        keep_seconds=chosen.keep_seconds,
    )
    service = Service(chosen, resolve("fake"), dispatcher, intake, metrics)
    transport = httpx2.ASGITransport(make_application(service))
    working = None
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await dispatcher.load()
            if works:
                working = asyncio.create_task(dispatcher.work())
            yield Running(service, script, client)
    finally:
        if working is not None:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        store.close()


def png(width: int = 40, height: int = 30, color: str = "white") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def pdf(pages: int) -> bytes:
    buffer = io.BytesIO()
    sheets = [Image.new("RGB", (40, 30), "white") for _ in range(pages)]
    sheets[0].save(buffer, "PDF", save_all=True, append_images=sheets[1:])
    return buffer.getvalue()


def data_url(content: bytes, media: str = "image/png") -> str:
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


PAGE = png()
PAGE_URL = data_url(PAGE)


@contextlib.contextmanager
def listening(folder: Path, script: Script | None = None, **settings: Any) -> Iterator[Listening]:
    """The same behind a port of this machine, in a thread with a loop of its own."""
    begun: queue.SimpleQueue[Listening | BaseException] = queue.SimpleQueue()

    async def whole() -> None:
        async with running(folder, script, **settings) as it:
            server = serve._Server(serve._configuration(it.service))
            with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                begun.put(Listening(url, it, asyncio.get_running_loop(), server))
                await server.serve([listener])

    def thread() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(whole())
        except BaseException as error:
            begun.put(error)
            raise

    runner = threading.Thread(target=thread)
    runner.start()
    it = begun.get(timeout=60)
    assert isinstance(it, Listening), it
    try:
        yield it
    finally:
        it.server.should_exit = True
        it.loop.call_soon_threadsafe(it.service.dispatcher.release_waiting)
        runner.join(timeout=60)


class Listening:
    """A service behind a port, and what a test may do with it from another thread."""

    def __init__(self, url: str, it: Running, loop: asyncio.AbstractEventLoop, server: Any) -> None:
        self.url, self.loop, self.server = url, loop, server
        self.service, self.script = it.service, it.script

    def hold(self) -> None:
        """Let the model answer nothing."""
        self.loop.call_soon_threadsafe(self.script.go_on.clear)

    def go_on(self) -> None:
        self.loop.call_soon_threadsafe(self.script.go_on.set)
