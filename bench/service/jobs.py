"""The accepted jobs and their results, in SQLite: a job is accepted when its row is on the disk.

A row says that a job waits or how it ended. That a job is being answered is known to the running service
only, so after a restart, whatever ended the last one, it waits again by itself.
"""

from __future__ import annotations

import asyncio
import json
import queue
import sqlite3
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench.errors import EnvironmentProblem
from bench.files import sync_files
from bench.rundir.rows import output_of
from bench.schema import Json, Output, Page
from bench.text import one_line

GATHERING_SECONDS = 0.02
"""How long a write that nobody waits for lets others join its transaction."""

JobStatus = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    question TEXT NOT NULL,
    created REAL NOT NULL,
    deaths INTEGER NOT NULL DEFAULT 0,
    finished REAL,
    output TEXT,
    seconds REAL,
    key TEXT
);
CREATE INDEX IF NOT EXISTS jobs_by_status ON jobs (status, number);
CREATE INDEX IF NOT EXISTS jobs_by_end ON jobs (finished) WHERE finished IS NOT NULL;
"""
_KEYS = "CREATE UNIQUE INDEX IF NOT EXISTS jobs_by_key ON jobs (key) WHERE key IS NOT NULL"


def fields_of(record: Any) -> dict[str, Any]:
    """The fields of a dataclass with slots. ``asdict`` would copy all that they hold as well."""
    return {name: getattr(record, name) for name in record.__slots__}


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """What a job asks the model."""

    pages: tuple[Page, ...]
    prompt: str
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    system: str | None = None
    max_pixels: int | None = None
    """Bound on each page; None leaves that of the model."""
    labels: tuple[str, ...] = ()
    """What the answer must be one of; empty if it may be anything."""

    def dump(self) -> dict[str, Json]:
        """As JSON; a page is known by its file's digest."""
        pages = [{**fields_of(page), "path": page.path.name} for page in self.pages]
        return {**fields_of(self), "pages": pages}

    @staticmethod
    def load(record: Mapping[str, Any], folder: Path) -> PageQuestion:
        """What ``dump`` wrote, with the files in ``folder``."""
        pages = tuple(Page(**{**page, "path": folder / page["path"]}) for page in record["pages"])
        stop, labels = tuple(record["stop"]), tuple(record["labels"])
        return PageQuestion(**{**record, "pages": pages, "stop": stop, "labels": labels})


@dataclass(frozen=True, slots=True)
class ServiceJob:
    """One accepted question, and what became of it."""

    id: str
    """Whoever knows it may fetch the result, so it cannot be guessed."""
    question: PageQuestion
    status: JobStatus = "IN_QUEUE"
    created: float = field(default_factory=time.time)
    """Seconds since 1970."""
    deaths: int = 0
    """How often the model's process died while it answered this job."""
    output: Output | None = None
    """None until the job has ended."""
    seconds: float | None = None
    """Of the call that answered it, with all other questions of that call."""
    key: str | None = None
    """What its client calls the request, so that it is accepted once however often it is sent."""
    is_read_along: bool = False
    """Whether its client reads the answer while it is written; nobody does so after a restart."""

    def ended(self, output: Output, seconds: float | None) -> ServiceJob:
        """The job with its answer, or with its failure."""
        status: JobStatus = "FAILED" if output.stop_reason == "error" else "COMPLETED"
        return replace(self, status=status, output=output, seconds=seconds)


def new_job(
    question: PageQuestion, key: str | None = None, *, is_read_along: bool = False
) -> ServiceJob:
    """A job that waits, with an id of its own."""
    return ServiceJob(uuid.uuid4().hex, question, key=key, is_read_along=is_read_along)


class JobStore:
    """The database. Writes are gathered: all that wait for the disk share one transaction."""

    def __init__(self, folder: Path) -> None:
        """Open ``jobs.sqlite`` in ``folder``, or make it.

        Raises:
            EnvironmentProblem: it cannot be opened or written.
        """
        self._pages = folder / "pages"
        self._path = folder / "jobs.sqlite"
        try:
            self._reading = self._connect()
            self._reading.executescript(_SCHEMA)
            columns = self._reading.execute("SELECT name FROM pragma_table_info('jobs')").fetchall()
            if ("key",) not in columns:
                # Jobs that an earlier version has accepted.
                self._reading.execute("ALTER TABLE jobs ADD COLUMN key TEXT")
            self._reading.execute(_KEYS)
        except sqlite3.Error as error:
            raise _problem(error) from None
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._urgent = threading.Event()
        """Whether one of the writes is waited for."""
        self._writer = threading.Thread(target=self._write, name="jobs", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Finish what is to be written, and close the database."""
        self._writes.put(None)
        self._urgent.set()
        self._writer.join()
        self._reading.close()

    async def add(
        self, job: ServiceJob, files: Sequence[Path] = (), *, is_urgent: bool = True
    ) -> None:
        """Accept a job; it is on the disk when this returns.

        Args:
            job: the job.
            files: those of its pages that must be on the disk as well.
            is_urgent: whether somebody waits for nothing else.

        Raises:
            EnvironmentProblem: it could not be written, for example because the disk is full.
        """
        question = json.dumps(job.question.dump(), ensure_ascii=False)
        row = (job.id, job.status, question, job.created, job.key)
        statement = "INSERT INTO jobs (id, status, question, created, key) VALUES (?, ?, ?, ?, ?)"
        await self._do(statement, [row], files, is_urgent=is_urgent)

    async def end(self, jobs: Sequence[ServiceJob]) -> None:
        """Keep how jobs ended. A job that was forgotten meanwhile, or has ended before, stays as it is."""
        now = time.time()
        rows = [
            (job.status, now, dump_output(job.output), job.seconds, job.id)
            for job in jobs
            if job.output is not None
        ]
        await self._do(
            "UPDATE jobs SET status = ?, finished = ?, output = ?, seconds = ? "
            "WHERE id = ? AND status = 'IN_QUEUE'",
            rows,
        )

    async def died(self, jobs: Sequence[ServiceJob]) -> None:
        """Keep how often the model's process died of each job."""
        rows = [(job.deaths, job.id) for job in jobs]
        await self._do("UPDATE jobs SET deaths = ? WHERE id = ?", rows)

    async def forget(self, job_id: str) -> None:
        """Remove a job and its result."""
        await self._do("DELETE FROM jobs WHERE id = ?", [(job_id,)])

    async def expire(self, before: float) -> None:
        """Remove the jobs that had ended ``before`` that moment, in seconds since 1970."""
        await self._do("DELETE FROM jobs WHERE finished < ?", [(before,)])

    def find(self, job_id: str) -> ServiceJob | None:
        """The job with this id; None if there is none, or none any more."""
        rows = self._select("id = ?", (job_id,))
        return rows[0] if rows else None

    def find_key(self, key: str) -> ServiceJob | None:
        """The job whose request the client calls so; None if there is none, or none any more."""
        rows = self._select("key = ?", (key,))
        return rows[0] if rows else None

    def waiting(self) -> list[ServiceJob]:
        """The jobs that have not ended, in the order in which they were accepted."""
        return self._select("status = 'IN_QUEUE' ORDER BY number", ())

    def _select(self, condition: str, values: tuple[Any, ...]) -> list[ServiceJob]:
        columns = "id, question, status, created, deaths, output, seconds, key"
        try:
            rows = self._reading.execute(f"SELECT {columns} FROM jobs WHERE {condition}", values)
            return [self._job(*row) for row in rows]
        except sqlite3.Error as error:
            raise _problem(error) from None

    def _job(
        self,
        job_id: str,
        question: str,
        status: JobStatus,
        created: float,
        deaths: int,
        output: str | None,
        seconds: float | None,
        key: str | None,
    ) -> ServiceJob:
        asked = PageQuestion.load(json.loads(question), self._pages)
        answer = None if output is None else output_of(json.loads(output))
        return ServiceJob(job_id, asked, status, created, deaths, answer, seconds, key)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit waits for the disk, so that a job that was accepted outlives a power failure as well.
        connection.execute("PRAGMA synchronous = FULL")
        # What is forgotten leaves no trace in the file.
        connection.execute("PRAGMA secure_delete = ON")
        return connection

    async def _do(
        self,
        statement: str,
        rows: Sequence[tuple[Any, ...]],
        files: Sequence[Path] = (),
        *,
        is_urgent: bool = True,
    ) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writes.put(_Write(statement, rows, files, done))
        if is_urgent:
            self._urgent.set()
        await done

    def _write(self) -> None:
        """Carry out what was put into the queue, until None comes."""
        connection = self._connect()
        is_open = True
        while is_open:
            writes = [self._writes.get()]
            self._urgent.wait(GATHERING_SECONDS)
            self._urgent.clear()
            while not self._writes.empty():
                writes.append(self._writes.get())
            is_open = None not in writes
            due = [write for write in writes if write is not None]
            error = self._carry_out(connection, due)
            if due:
                loop = due[0].done.get_loop()
                loop.call_soon_threadsafe(_settle, [write.done for write in due], error)
        connection.close()

    def _carry_out(
        self, connection: sqlite3.Connection, writes: Sequence[_Write]
    ) -> EnvironmentProblem | None:
        """Carry out all of ``writes`` or none of them; returns what went wrong."""
        files = dict.fromkeys(file for write in writes for file in write.files)
        try:
            if files:
                sync_files(self._pages, files)
            _commit(connection, writes)
        except EnvironmentProblem as error:
            return error
        except sqlite3.Error as error:
            return _problem(error)
        return None


def dump_output(output: Output) -> str:
    """``output`` as JSON, which ``bench.rundir.rows.output_of`` reads."""
    return json.dumps(fields_of(output), default=fields_of)


@dataclass(frozen=True, slots=True)
class _Write:
    statement: str
    rows: Sequence[tuple[Any, ...]]
    files: Sequence[Path]
    """What must be on the disk before the rows are."""
    done: asyncio.Future[None]


def _commit(connection: sqlite3.Connection, writes: Sequence[_Write]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for write in writes:
            connection.executemany(write.statement, write.rows)
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _settle(writes: Sequence[asyncio.Future[None]], error: EnvironmentProblem | None) -> None:
    for done in writes:
        if done.cancelled():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)


def _problem(error: sqlite3.Error) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"the jobs cannot be stored: {one_line(str(error), 120)}",
        hint="free some space in the folder of --data",
    )
