"""The service from start to end: one port, one model, one folder, until a signal comes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bench.errors import EnvironmentProblem, InvalidInput
from bench.files import storage_errors
from bench.models.backends import traits_of
from bench.rundir.lock import RunLock
from bench.schema import ModelSpec
from bench.service.accepting import Service
from bench.service.application import make_application
from bench.service.dispatch import Dispatcher
from bench.service.intake import PageIntake
from bench.service.jobs import JobStore
from bench.service.metrics import ServiceMetrics
from bench.service.model_process import ModelProcess
from bench.service.records import LogLines, log
from bench.service.settings import ServiceSettings
from bench.text import one_line

BACKLOG = 2048
"""Connections that wait to be taken."""
CLOSING_SECONDS = 5
"""How long the last replies may take to be sent."""
HEADER_BYTES = 2**16
"""The longest headers of a request, with its address."""


def serve(spec: ModelSpec, settings: ServiceSettings) -> None:
    """Answer questions until SIGTERM or SIGINT; then answer what was accepted, and stop.

    Raises:
        InvalidInput: the address cannot be used, another service uses the folder, or the model is wrong.
        EnvironmentProblem: the model cannot be loaded, or the folder cannot be written to.
    """
    _log_as_lines()
    with _listening(settings) as listener:
        with storage_errors(settings.data):
            settings.data.mkdir(parents=True, exist_ok=True)
        loop_factory = uvloop.new_event_loop
        with RunLock(settings.data), asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_serve(spec, settings, listener))


async def _serve(spec: ModelSpec, settings: ServiceSettings, listener: socket.socket) -> None:
    folder = settings.data.resolve()
    store = JobStore(folder)
    metrics = ServiceMetrics()
    intake = PageIntake(folder / "pages", settings.pages)
    process = ModelProcess(_with_token_details(spec), settings.call_seconds)
    dispatcher = Dispatcher(
        store,
        intake,
        process,
        metrics,
        batch_size=settings.batch_size,
        keep_seconds=settings.keep_seconds,
    )
    service = Service(settings, spec, dispatcher, intake, metrics)
    server = _Server(_configuration(service))
    # What is there now stays, and the garbage collector need not go through it again and again.
    gc.freeze()
    signals = _Signals(service, server)
    serving = asyncio.create_task(server.serve([listener]), name="serving")
    working = asyncio.create_task(_work(dispatcher), name="working")
    expiring = asyncio.create_task(dispatcher.expire(), name="expiring")
    draining = asyncio.create_task(signals.drain(), name="draining")
    host, port = listener.getsockname()[:2]
    log("listening", host=host, port=port, model=service.model_name, waiting=dispatcher.waiting)
    try:
        await asyncio.wait(
            {serving, working, expiring, draining}, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        service.is_draining = True
        dispatcher.release_waiting()
        server.should_exit = True
        await serving
        for task in (working, expiring, draining):
            task.cancel()
        ended = await asyncio.gather(working, expiring, draining, return_exceptions=True)
        await process.stop()
        await intake.tidied()
        store.close()
        log("stopped", waiting=dispatcher.waiting)
    for end in ended:
        if isinstance(end, Exception):
            raise end


async def _work(dispatcher: Dispatcher) -> None:
    await dispatcher.load()
    await dispatcher.work()


class _Server(uvicorn.Server):
    """Leaves the signals to the service, which answers what it has accepted before it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Signals:
    """Turns SIGTERM and SIGINT into an orderly end; a second one does not wait any more."""

    def __init__(self, service: Service, server: uvicorn.Server) -> None:
        self._service, self._server = service, server
        self._asked, self._urged = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._take)

    def _take(self) -> None:
        (self._urged if self._asked.is_set() else self._asked).set()
        if self._urged.is_set():
            self._server.force_exit = True

    async def drain(self) -> None:
        """Wait for a signal, and then until every accepted job is answered or the time for that is over."""
        await self._asked.wait()
        service = self._service
        service.is_draining = True
        log("draining", waiting=service.dispatcher.waiting)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(service.settings.drain_seconds):
                while not (service.dispatcher.is_idle or self._urged.is_set()):
                    await asyncio.sleep(0.05)


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection whose client sends headers without end, too slowly, or reads no reply."""

    header_seconds = 10.0
    reply_seconds = 60.0
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Go on waiting until the headers are complete."""
        if self._is_between_requests():
            self._expect()
        super().data_received(data)
        if not self._is_between_requests():
            self._forget()
            return
        self._header_bytes += len(data)
        if self._header_bytes > HEADER_BYTES:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Begin to wait until the client reads its reply."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """Stop waiting for that, but not for the end of the last reply."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._forget_reading()

    def on_response_complete(self) -> None:
        """Wait a bounded time until the end of the last reply is read."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection without requests, also if its last reply is not read."""
        super().timeout_keep_alive_handler()
        self._expect_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._forget()
        self._forget_reading()
        super().connection_lost(exc)

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect(self) -> None:
        if self._deadline is None:
            self._header_bytes = 0
            self._deadline = self.loop.call_later(self.header_seconds, self.transport.abort)

    def _expect_reading(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(self.reply_seconds, self.transport.abort)

    def _forget_reading(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _configuration(service: Service) -> uvicorn.Config:
    settings = service.settings
    bounded = type("_Bounded", (BoundedConnection,), {"header_seconds": settings.header_seconds})
    return uvicorn.Config(
        make_application(service),
        http=bounded,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Behind a proxy its headers say nothing that is used here.
        proxy_headers=False,
        limit_concurrency=settings.connections,
        timeout_graceful_shutdown=CLOSING_SECONDS,
        backlog=BACKLOG,
    )


@contextlib.contextmanager
def _listening(settings: ServiceSettings) -> Iterator[socket.socket]:
    """A socket on the address, taken before a model is loaded for minutes."""
    try:
        family, *_, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _no_address(settings, error) from None
    with contextlib.closing(listener):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise _no_address(settings, error) from None
        yield listener


def _no_address(settings: ServiceSettings, error: OSError) -> EnvironmentProblem | InvalidInput:
    where = f"{one_line(settings.host, 60)}, port {settings.port}"
    if error.errno == errno.EADDRINUSE:
        return EnvironmentProblem(
            f"another program listens on {where} already",
            hint=f"--port {settings.port + 1}, or --port 0 for a free one",
        )
    return InvalidInput(f"the service cannot listen on {where}: {error.strerror or error}")


def _with_token_details(spec: ModelSpec) -> ModelSpec:
    """``spec`` with the probabilities of tokens, where its backend can tell them."""
    if "token_details" not in traits_of(spec).options:
        return spec
    return replace(spec, options={"token_details": True, **spec.options})


def _log_as_lines() -> None:
    """Have the libraries' warnings in the form of the service's own log."""
    root = logging.getLogger()
    root.handlers = [LogLines(logging.WARNING)]
    # A client that sends what is no HTTP is not worth a line each time.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
