"""Opens pages in a process that may be ended: a page that breaks it, or never ends, is one failed page.

A page file comes from a stranger. Three kilobytes can ask a decoder for hours, for gigabytes, or for memory
that is not its own. So pages are counted, decoded and rendered, and text layers are read, by ``opener``
in a process of its own, which has a limit of memory and of time for every request. It is started when
the first page is opened, it loads neither torch nor pydantic, and it opens all following pages. Threads that
open pages at the same time have a process each.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import EnvironmentProblem, InvalidInput
from bench.formatting import byte_size, significant
from bench.parsing import MAX_JSON_BYTES, parse_json
from bench.schema import Document, Page
from bench.tasks.images import REPAIR
from bench.tasks.limits import PageLimits, check_page_size, option, page_limits
from bench.tasks.textlayer import TextWord
from bench.text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image

_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}
"""Ends that no page causes by itself: somebody else ended the process, and the page is opened again."""
_LOG = logging.getLogger(__name__)

_PIPE_BYTES = 2**20

CLOCK_FACTOR = 10
"""So many times the limit of processor time may pass by the clock."""
GRACE_SECONDS = 5
"""How much later the process is killed if no alarm has ended it: one that is stopped gets none."""

MOST_REFUSALS = 3
"""A file of which so many pages have passed a limit is not opened again."""
MOST_PAGE_TIMES = 10
"""The whole text of a document may take as long as so many pages."""

MOST_REFUSED_FILES = 10_000
"""Files that are remembered for it; a program that opens pages for weeks must not remember them all."""

_REFUSED: dict[tuple[str, tuple[int, ...], PageLimits], dict[str, InvalidInput]] = {}
"""By file: the requests that passed a limit, and what was said then."""


def page_sizes(path: Path, dpi: int) -> list[tuple[int, int]]:
    """Return width and height in pixels of every page of a PDF, as ``pdf.page_sizes`` does."""
    return _sizes(_ask("page_sizes", [str(path), dpi], path))


def frame_sizes(path: Path) -> list[tuple[int, int]]:
    """Return width and height of every page in an image file, as ``images.frame_sizes`` does."""
    return _sizes(_ask("frame_sizes", [str(path)], path))


def render(path: Path, index: int, dpi: int) -> Image:
    """Render a page of a PDF, as ``pdf.render`` does."""
    image: Image = _ask("render", [str(path), index, dpi], path)
    return image


def decode(path: Path, index: int, longest: int | None = None) -> Image:
    """Decode a page of an image file, as ``images.decode`` does."""
    image: Image = _ask("decode", [str(path), index, longest], path)
    return image


def perturbed(page: Page) -> Image:
    """Open a page, turn it, and perturb it, as its ``perturbation`` says."""
    image: Image = _ask("perturbed", [_fields(page)], page.path)
    return image


def text_layer(page: Page) -> list[TextWord] | None:
    """Return the words of a page, as ``textlayer.text_layer`` does; None for a perturbed page.

    A perturbation does not touch the text layer. Whoever read it would be spared the perturbation, and its
    words may no longer stand where they stood.
    """
    if page.dpi is None or page.perturbation is not None:
        return None
    words = _ask("text_layer", [_fields(page)], page.path)
    return None if words is None else [TextWord(*word) for word in words]


def document_text(document: Document) -> str | None:
    """Return all words of a document, as ``textlayer.document_text`` does, within the limits of ten pages."""
    if all(page.dpi is None for page in document.pages):
        return None
    pages = [_fields(page) for page in document.pages]
    text: str | None = _ask("document_text", [pages], document.pages[0].path, pages=len(pages))
    return text


def _sizes(pairs: list[list[int]]) -> list[tuple[int, int]]:
    return [(width, height) for width, height in pairs]


def _fields(page: Page) -> dict[str, Any]:
    return {**dataclasses.asdict(page), "path": str(page.path)}


def _ask(call: str, arguments: Sequence[Any], path: Path, *, pages: int = 1) -> Any:
    """Have ``call`` of ``opener`` answered; the process is replaced if it died.

    Raises:
        InvalidInput: the file is broken, or opening it passes a limit.
        EnvironmentProblem: the process cannot be started.
    """
    limits = page_limits()
    file = (str(path), _state(path), limits)
    refused = _REFUSED.get(file, {})
    key = json.dumps([call, arguments])
    # A page that took all its time must not take it again for each question, nor a file for each page.
    earlier = refused.get(key) or (_too_often(path) if len(refused) >= MOST_REFUSALS else None)
    if earlier is not None:
        raise InvalidInput(earlier.message, hint=earlier.hint)
    seconds = limits.seconds * min(pages, MOST_PAGE_TIMES)
    request = {
        "call": call,
        "arguments": arguments,
        # Paths are shown as the caller wrote them, which may be from its working directory.
        "folder": str(Path.cwd()),
        "seconds": seconds,
        "clock_factor": CLOCK_FACTOR,
    }
    patience = CLOCK_FACTOR * seconds + GRACE_SECONDS
    reply = _reply(json.dumps(request).encode() + b"\n", limits, patience)
    for note in reply.get("notes", ()) if isinstance(reply, dict) else ():
        _LOG.warning("%s", one_line(note, 300))
    if isinstance(reply, int):
        raise _remembered(file, key, _death(path, limits, reply))
    if "memory" in reply:
        raise _remembered(file, key, _too_much_memory(path, limits))
    return _content(reply, path)


def _remembered(
    file: tuple[str, tuple[int, ...], PageLimits], key: str, refusal: InvalidInput
) -> InvalidInput:
    """Keep that the request ``key`` about ``file`` passed a limit; returns ``refusal``."""
    if len(_REFUSED) >= MOST_REFUSED_FILES:
        _REFUSED.clear()
    _REFUSED.setdefault(file, {})[key] = refusal
    return refusal


def _reply(line: bytes, limits: PageLimits, patience: float) -> dict[str, Any] | int:
    """Return the reply to the request ``line``, or the exit status of a process that died of it."""
    status = 0
    for _ in range(2):
        opener = _POOL.take(limits)
        try:
            reply = opener.ask(line, patience)
        except BaseException:
            # The rest of a reply that nobody reads must not become the next one.
            opener.end()
            raise
        if reply is not None:
            if "memory" in reply:
                opener.end()
            else:
                _POOL.give(opener)
            return reply
        status = opener.end()
        if status not in _FROM_OUTSIDE:
            break
    return status


def _state(path: Path) -> tuple[int, ...]:
    """Return what differs when the file at ``path`` is replaced."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_ino, status.st_size, status.st_mtime_ns)


def _too_often(path: Path) -> InvalidInput:
    return InvalidInput(
        f"page file {one_line(path, 160)}: {MOST_REFUSALS} of its pages have passed a limit already, so the "
        "others are not opened",
        hint="re-export the file",
    )


def _content(reply: dict[str, Any], path: Path) -> Any:
    if "error" in reply:
        raise InvalidInput(reply["error"], hint=reply["hint"])
    if "broken" in reply:
        name = one_line(path, 160)
        raise InvalidInput(
            f"page file {name} is broken: {one_line(reply['broken'], 120)}", hint=REPAIR
        )
    return reply["result"]


def _too_much_memory(path: Path, limits: PageLimits) -> InvalidInput:
    return InvalidInput(
        f"page file {one_line(path, 160)} needs more than {byte_size(limits.memory_bytes)} of memory to be "
        "opened",
        hint=f"re-export the file, or raise the limit: {option('gib')} N",
    )


def _death(path: Path, limits: PageLimits, status: int) -> InvalidInput:
    """The error for a page that ended its process with ``status``."""
    name = one_line(path, 160)
    if status == -signal.SIGALRM:
        seconds = significant(CLOCK_FACTOR * limits.seconds)
        return InvalidInput(
            f"page file {name} was not opened within {seconds} s by the clock",
            hint=f"see whether its disk answers, or raise the limit: {option('seconds')} N",
        )
    if status == -signal.SIGPROF:
        seconds = significant(limits.seconds)
        return InvalidInput(
            f"page file {name} takes more than {seconds} s of processor time to be opened",
            hint=f"re-export the file, or raise the limit: {option('seconds')} N",
        )
    if status in _FROM_OUTSIDE:
        return InvalidInput(
            f"page file {name} was not opened: the process that opens it was ended twice from outside "
            f"(status {status}), as systems do that run out of memory",
            hint="free some memory, and run the same command again with --retry-failed",
        )
    return InvalidInput(
        f"page file {name} ends the program that opens it (status {status}): it is broken, or it needs more "
        f"than {byte_size(limits.memory_bytes)} of memory",
        hint=f"re-export the file, or raise the limit: {option('gib')} N",
    )


class _Opener:
    """One process that opens pages."""

    def __init__(self, limits: PageLimits) -> None:
        self.limits = limits
        self._is_overdue = False
        package = Path(__file__).resolve().parent.parent.parent
        search = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            self._process = subprocess.Popen(
                # -P keeps modules of the working directory out.
                [sys.executable, "-P", "-m", "bench.tasks.opener"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pipesize=_PIPE_BYTES,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
            )
        except OSError as error:
            raise EnvironmentProblem(
                f"the process that opens pages cannot be started: {error.strerror}",
                hint="run the same command again when fewer processes run",
            ) from None

    def ask(self, line: bytes, patience: float) -> dict[str, Any] | None:
        """Return the reply to a request; None if the process died, or gave none in ``patience`` seconds."""
        watch = threading.Timer(patience, self._give_up)
        watch.daemon = True
        watch.start()
        try:
            return self._answer(line)
        finally:
            watch.cancel()

    def _give_up(self) -> None:
        """Kill the process, which ends the wait for its reply."""
        self._is_overdue = True
        self._process.kill()

    def _answer(self, line: bytes) -> dict[str, Any] | None:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(line)
            stdin.flush()
        except BrokenPipeError:
            return None
        head = stdout.readline(MAX_JSON_BYTES)
        if not head.endswith(b"\n"):
            return None
        reply: dict[str, Any] = parse_json(head.decode("utf-8"), "the reply")
        if "size" in reply:
            image = self._image(reply)
            return None if image is None else {**reply, "result": image}
        return reply

    def _image(self, reply: dict[str, Any]) -> Image | None:
        """Read the pixels that follow a reply; None if the process died meanwhile."""
        from PIL import Image

        (width, height), rows = reply["size"], reply["rows"]
        check_page_size("a page", width, height)
        image = Image.new("RGB", (width, height)) if rows < height else None
        for top in range(0, height, rows):
            size = (width, min(rows, height - top))
            data = self._read(3 * size[0] * size[1])
            if data is None:
                return None
            strip = Image.frombytes("RGB", size, data)
            if image is None:
                return strip
            image.paste(strip, (0, top))
        return image

    def _read(self, length: int) -> bytearray | None:
        stdout = self._process.stdout
        assert isinstance(stdout, BufferedReader)
        data = bytearray(length)
        view = memoryview(data)
        while view:
            # read() would gather pieces and join them: a second copy of every page.
            received = stdout.readinto(view)
            if not received:
                return None
            view = view[received:]
        return data

    def end(self) -> int:
        """End the process and return its exit status: a negative signal, SIGALRM where it was late."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue
        try:
            status = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        return -signal.SIGALRM if self._is_overdue else status


class _Idle(NamedTuple):
    """A process that waits, and the process that started it: after a fork it belongs to the parent."""

    owner: int
    opener: _Opener


class _Pool:
    """The processes that wait for the next page."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []

    def take(self, limits: PageLimits) -> _Opener:
        """Return a process with these limits that nobody uses."""
        with self._lock:
            for number, idle in enumerate(self._idle):
                if idle.owner == os.getpid() and idle.opener.limits == limits:
                    return self._idle.pop(number).opener
        return _Opener(limits)

    def give(self, opener: _Opener) -> None:
        """Keep ``opener`` for the next page, and end those that waited longest where there are too many.

        A process that waits long may have limits that no page is opened with any more.
        """
        with self._lock:
            self._idle.append(_Idle(os.getpid(), opener))
            surplus = self._idle[: -(os.cpu_count() or 1)]
            del self._idle[: len(surplus)]
        _end_own(surplus)

    def end(self) -> None:
        """End the processes that wait."""
        with self._lock:
            waiting = self._idle.copy()
            self._idle.clear()
        _end_own(waiting)


def _end_own(waiting: Sequence[_Idle]) -> None:
    for idle in waiting:
        if idle.owner == os.getpid():
            idle.opener.end()


_POOL = _Pool()
atexit.register(_POOL.end)
