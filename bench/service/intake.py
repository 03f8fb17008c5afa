"""Pages on their way in: bytes become files, and files become pages that a model can be asked about.

A file is called after its digest, and it lies on the disk as long as a job that has not ended needs it. The
same file sent five times is written and opened once.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from bench.errors import BenchError, InvalidInput
from bench.files import write_bytes_atomically
from bench.formatting import plural
from bench.measure.cores import usable_cores
from bench.schema import Page
from bench.service.refusals import Refusal, without_paths
from bench.tasks.pages import read_pages


class PageIntake:
    """The page files of all jobs that have not ended."""

    def __init__(self, folder: Path, most_pages: int) -> None:
        """Keep the files in ``folder``, and accept at most ``most_pages`` for one request."""
        self._folder, self._most = folder, most_pages
        folder.mkdir(parents=True, exist_ok=True)
        self._users: dict[str, int] = {}
        """Digest of a file → how many requests and jobs need it."""
        self._unsynced: set[str] = set()
        """Digests of files that may not be on the disk yet."""
        self._unneeded: set[str] = set()
        """Digests of files that are to be removed."""
        self._leaving: set[str] = set()
        """Digests of those that are being removed."""
        self._tidying: asyncio.Task[None] | None = None
        self._opened: dict[str, asyncio.Task[tuple[Page, ...]]] = {}
        # Each opening has a process of its own, and more of them than cores would only wait for each other.
        self._at_once = asyncio.Semaphore(usable_cores())

    async def take(self, contents: Sequence[bytes]) -> tuple[Page, ...]:
        """The pages of all files, in their order; they stay until ``release``.

        Raises:
            Refusal: a file is no page, or there are too many pages.
            EnvironmentProblem: a file cannot be written.
        """
        digests = [hashlib.sha256(content).hexdigest() for content in contents]
        self._hold(digests)
        try:
            pages: list[Page] = []
            for number, (digest, content) in enumerate(zip(digests, contents, strict=True), 1):
                pages += await self._pages(digest, content, number)
                if len(pages) > self._most:
                    raise too_many_pages(self._most)
        except BaseException:
            self._drop(digests)
            raise
        # From here on the pages stand for their files.
        self._hold(page.sha256 for page in pages)
        self._drop(digests)
        return tuple(pages)

    def hold(self, pages: Iterable[Page]) -> None:
        """Keep the files of ``pages`` for one more job."""
        self._hold(page.sha256 for page in pages)

    def unsynced(self, pages: Iterable[Page]) -> list[Path]:
        """The files of ``pages`` that may not be on the disk yet."""
        digests = self._unsynced.intersection(page.sha256 for page in pages)
        return [self._folder / digest for digest in digests]

    def synced(self, files: Iterable[Path]) -> None:
        """Know that ``files`` are on the disk."""
        self._unsynced.difference_update(file.name for file in files)

    def release(self, pages: Iterable[Page]) -> None:
        """Remove the files of ``pages`` that nobody else needs."""
        self._drop(page.sha256 for page in pages)

    async def tidied(self) -> None:
        """Wait until the files that nobody needs are gone."""
        if self._tidying is not None:
            await asyncio.shield(self._tidying)

    def sweep(self) -> None:
        """Remove the files that nobody needs: what a killed service has left behind."""
        for path in self._folder.iterdir():
            if path.name not in self._users:
                path.unlink(missing_ok=True)

    async def _pages(self, digest: str, content: bytes, number: int) -> tuple[Page, ...]:
        task = self._opened.get(digest)
        if task is None:
            task = asyncio.create_task(self._open(digest, content))
            self._opened[digest] = task
        try:
            # A client that leaves must not take the file away from another one.
            return await asyncio.shield(task)
        except InvalidInput as error:
            path = str(self._folder / digest)
            message = without_paths(
                error.message, {f"page file {path}": f"image {number}", path: f"image {number}"}
            )
            raise Refusal(422, "unreadable_page", message, field="image") from None

    async def _open(self, digest: str, content: bytes) -> tuple[Page, ...]:
        path = self._folder / digest
        if digest in self._leaving:
            await self.tidied()
        self._unsynced.add(digest)
        async with self._at_once:
            return await asyncio.to_thread(_written, path, content)

    def _hold(self, digests: Iterable[str]) -> None:
        for digest in digests:
            self._users[digest] = self._users.get(digest, 0) + 1

    def _drop(self, digests: Iterable[str]) -> None:
        for digest in digests:
            self._users[digest] -= 1
            if self._users[digest] == 0:
                del self._users[digest]
                task = self._opened.pop(digest, None)
                if task is not None and not task.done():
                    # The thread goes on writing, so the file is removed when it has ended.
                    task.add_done_callback(partial(self._after_opening, digest))
                else:
                    self._remove(digest)

    def _after_opening(self, digest: str, _: asyncio.Task[tuple[Page, ...]]) -> None:
        self._remove(digest)

    def _remove(self, digest: str) -> None:
        self._unneeded.add(digest)
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.create_task(self._tidy())

    async def _tidy(self) -> None:
        """Remove files in a thread: while the disk is busy with others, it takes milliseconds."""
        while self._unneeded:
            self._leaving = self._unneeded - self._users.keys()
            self._unneeded = set()
            self._unsynced -= self._leaving
            await asyncio.to_thread(_removed, [self._folder / digest for digest in self._leaving])
            self._leaving = set()


def _removed(files: Iterable[Path]) -> None:
    for file in files:
        # What cannot be removed now is removed after the next start.
        with contextlib.suppress(OSError):
            file.unlink()


def _written(path: Path, content: bytes) -> tuple[Page, ...]:
    # A job that was accepted before a restart may need the file, which is on the disk already.
    if not path.exists():
        # It is synced together with the row of the first job that needs it.
        write_bytes_atomically(path, content, is_synced=False)
    return read_pages(path)


def data_url_content(url: str, field: str) -> bytes:
    """The bytes in a ``data:`` URL.

    Raises:
        Refusal: it is not one, or not in base64.
    """
    head, comma, payload = url.partition(",")
    if not comma or not head.lower().startswith("data:") or not head.lower().endswith(";base64"):
        raise Refusal(
            422,
            "invalid_data_url",
            "an image should begin with data:image/png;base64, and its data in base64 should follow",
            field=field,
        )
    try:
        # Programs such as base64 break the lines of what they write.
        content = base64.b64decode("".join(payload.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(
            422,
            "invalid_base64",
            "the data of an image is not valid base64: expected letters, digits, + and /, and = only to fill "
            "up to a multiple of four",
            field=field,
        ) from None
    if not content:
        raise Refusal(422, "empty_image", "an image is empty (0 bytes)", field=field)
    return content


def too_many_pages(most: int) -> Refusal:
    """The reply to a request with more than ``most`` pages."""
    return Refusal(413, "too_many_pages", f"a request may have at most {plural(most, 'page')}")


def storage_refusal(error: BenchError) -> Refusal:
    """The reply to a request that could not be stored."""
    return Refusal(
        507,
        "storage_full",
        f"the request was not accepted: {without_paths(error.message)}",
        retry_after=30,
    )
