"""The service: what is accepted is on the disk, is answered once, and is told in the words of the API."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

import httpx2

from bench.errors import EnvironmentProblem, InvalidInput
from bench.models.model import failed
from bench.schema import Output
from bench.service import dispatch, jobs
from bench.service.answers import chosen_label
from bench.service.jobs import JobStore, PageQuestion
from bench.service.model_process import ModelDied
from bench.service.refusals import without_paths
from bench.service.settings import service_settings
from tests.service_fixture import (
    PAGE,
    PAGE_URL,
    Running,
    Script,
    data_url,
    pdf,
    png,
    running,
    shouted,
)

Story = Callable[[Running], Awaitable[None]]


def tell(folder: Path, story: Story, script: Script | None = None, **settings: Any) -> None:
    """Have ``story`` happen to a running service."""

    async def whole() -> None:
        async with running(folder, script, **settings) as service:
            await story(service)

    asyncio.run(whole())


def test_a_question_is_answered_in_the_words_of_the_api(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        reply = await it.run(prompt="what is the total?")
        assert reply.status_code == 200
        told = reply.json()
        assert told["status"] == "COMPLETED"
        assert told["output"]["status"] == "success"
        assert told["output"]["data"]["text"] == "WHAT IS THE TOTAL?"
        assert told["output"]["data"]["visual_tokens"] == 12
        later = await it.client.get(f"/api/v1/status/{told['id']}")
        assert later.json() == told

    tell(tmp_path / "s", story)


def test_without_waiting_a_job_is_told_with_its_place(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        it.script.go_on.clear()
        first, second, third = [await it.run(wait=0, prompt=f"q{n}") for n in range(3)]
        assert [reply.status_code for reply in (first, second, third)] == [202, 202, 202]
        assert first.json()["position"] == 1
        await asyncio.sleep(0.05)
        address = f"/api/v1/status/{third.json()['id']}"
        asked = {job.id for job in it.script.calls[0]}
        state = (await it.client.get(address)).json()
        assert state["status"] == ("IN_PROGRESS" if state["id"] in asked else "IN_QUEUE")
        waiting = asyncio.create_task(it.client.get(address, params={"wait": 5}))
        await asyncio.sleep(0)
        it.script.go_on.set()
        assert (await waiting).json()["output"]["data"]["text"] == "Q2"

    tell(tmp_path / "s", story)


def test_the_same_page_asked_five_times_is_one_group_and_one_file(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        it.script.go_on.clear()
        other = data_url(png(color="black"))
        blocking = await it.run(wait=0, prompt="first")
        await asyncio.sleep(0.05)
        urls = [PAGE_URL, other, PAGE_URL, other, PAGE_URL, PAGE_URL, PAGE_URL]
        replies = [await it.run(wait=0, prompt=f"q{n}", image=url) for n, url in enumerate(urls)]
        files = list((tmp_path / "s" / "pages").iterdir())
        assert len(files) == 2
        it.script.go_on.set()
        for reply in [blocking, *replies]:
            await it.client.get(f"/api/v1/status/{reply.json()['id']}", params={"wait": 5})
        asked = [job.question.prompt for job in it.script.calls[1]]
        assert asked == ["q0", "q2", "q4", "q5", "q6", "q1", "q3"]
        await it.service.intake.tidied()
        assert list((tmp_path / "s" / "pages").iterdir()) == []

    tell(tmp_path / "s", story)


def test_a_restart_loses_no_job_and_answers_none_twice(tmp_path: Path) -> None:
    ids: list[str] = []

    async def before(it: Running) -> None:
        it.script.go_on.clear()
        for n in range(20):
            reply = await it.run(wait=0, prompt=f"q{n}", image=data_url(png(40 + n % 3)))
            ids.append(reply.json()["id"])
        # The service ends while the first call is under way.

    tell(tmp_path / "s", before)
    (tmp_path / "s" / "pages" / "left-behind").write_bytes(b"of a request that was not accepted")
    answered: list[str] = []
    kept = {path: path.stat().st_ino for path in (tmp_path / "s" / "pages").iterdir()}

    async def again(it: Running) -> None:
        # Files that an accepted job needs are not written anew: they are on the disk.
        assert (await it.run(wait=0, image=data_url(png(40)), prompt="again")).status_code == 202
        await it.service.intake.tidied()
        now = {path: path.stat().st_ino for path in (tmp_path / "s" / "pages").iterdir()}
        assert len(now) == 3
        assert now.items() <= kept.items()

    tell(tmp_path / "s", again, works=False)

    async def after(it: Running) -> None:
        for n, job_id in enumerate(ids):
            reply = await it.client.get(f"/api/v1/status/{job_id}", params={"wait": 5})
            assert reply.json()["output"]["data"]["text"] == f"Q{n}"
        while not it.service.dispatcher.is_idle:
            await asyncio.sleep(0.01)
        calls = [job for call in it.script.calls for job in call if job.question.prompt != "again"]
        answered.extend(job.id for job in calls)
        await it.service.intake.tidied()
        assert list((tmp_path / "s" / "pages").iterdir()) == []

    tell(tmp_path / "s", after)
    assert sorted(answered) == sorted(ids)

    async def third(it: Running) -> None:
        reply = await it.client.get(f"/api/v1/status/{ids[7]}")
        assert reply.json()["status"] == "COMPLETED"
        assert it.script.calls == []

    tell(tmp_path / "s", third)


def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        replies = [await it.run(wait=0) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [202, 202, 429]
        assert int(replies[2].headers["retry-after"]) >= 1
        assert replies[2].json()["error"]["code"] == "queue_full"

    tell(tmp_path / "s", story, works=False, queue=2)


async def run_as(it: Running, key: str, **fields: Any) -> httpx2.Response:
    """What ``run`` does, with an ``Idempotency-Key``."""
    body = {"image": PAGE_URL, "prompt": "what?", **fields}
    return await it.client.post("/api/v1/run", json=body, headers={"idempotency-key": key.encode()})


def test_the_same_request_with_the_same_key_is_one_job(tmp_path: Path) -> None:
    ids: set[str] = set()

    async def story(it: Running) -> None:
        waits = [0, 5, 0, 5]
        replies = await asyncio.gather(*(run_as(it, "k 1", wait=wait) for wait in waits))
        ids.update(reply.json()["id"] for reply in replies)
        assert len(ids) == 1
        reply = await run_as(it, "k 1", prompt="something else")
        assert reply.status_code == 422
        assert reply.json()["error"]["code"] == "idempotency_key_reused"
        assert (await run_as(it, "k 2")).json()["id"] not in ids
        for key in ("", "ключ", "k" * 256):
            assert (await run_as(it, key)).status_code == 400
        await it.service.intake.tidied()
        assert list((tmp_path / "s" / "pages").iterdir()) == []

    async def later(it: Running) -> None:
        again = await run_as(it, "k 1")
        assert again.json()["output"]["data"]["text"] == "WHAT?"
        assert {again.json()["id"]} == ids
        assert it.script.calls == []
        await it.client.delete(f"/api/v1/status/{again.json()['id']}")
        assert (await run_as(it, "k 1")).json()["id"] not in ids

    tell(tmp_path / "s", story)
    tell(tmp_path / "s", later)


def test_a_request_that_was_accepted_needs_no_room_when_it_comes_again(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        first = await run_as(it, "k", wait=0)
        assert (await run_as(it, "other", wait=0)).status_code == 429
        again = await run_as(it, "k", wait=0)
        assert again.json() == first.json()

    tell(tmp_path / "s", story, works=False, queue=1)


def test_jobs_of_a_version_without_keys_are_still_there(tmp_path: Path) -> None:
    store = jobs.JobStore(tmp_path)
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection:
        connection.execute("DROP INDEX jobs_by_key")
        connection.execute("ALTER TABLE jobs DROP COLUMN key")
        question = PageQuestion((), "old", 5)
        row = ("1", json.dumps(question.dump()))
        insert = "INSERT INTO jobs (id, status, question, created) VALUES (?, 'IN_QUEUE', ?, 0)"
        connection.execute(insert, row)
        connection.commit()
    store = jobs.JobStore(tmp_path)
    assert [job.question for job in store.waiting()] == [question]
    store.close()


def test_what_is_accepted_is_synced_once_and_before_its_client_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[list[str]] = []
    disk = threading.Event()

    def sync(folder: Path, files: Any) -> None:
        assert disk.wait(timeout=10)
        synced.append([file.name for file in files])

    monkeypatch.setattr(jobs, "sync_files", sync)

    async def story(it: Running) -> None:
        waiting = asyncio.create_task(it.run(prompt="first"))
        while not it.script.calls:
            await asyncio.sleep(0.01)
        # The model does not wait for the disk, but the client does.
        await asyncio.sleep(0.05)
        assert not waiting.done()
        it.script.go_on.clear()
        disk.set()
        assert (await waiting).json()["output"]["data"]["text"] == "FIRST"
        replies = [await it.run(wait=0, prompt=f"q{n}") for n in range(3)]
        assert [reply.status_code for reply in replies] == [202] * 3
        assert len(synced) == 2
        assert synced[0] == synced[1]
        it.script.go_on.set()

    tell(tmp_path / "s", story)


def test_a_page_that_cannot_be_synced_is_not_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(folder: Path, files: Any) -> None:
        raise EnvironmentProblem("the disk is full")

    monkeypatch.setattr(jobs, "sync_files", sync)

    async def story(it: Running) -> None:
        for wait in (0, 5):
            assert (await it.run(wait=wait)).status_code == 507
        await it.service.intake.tidied()
        assert list((tmp_path / "s" / "pages").iterdir()) == []
        assert it.service.dispatcher.waiting == 0

    tell(tmp_path / "s", story)


def test_a_full_call_does_not_wait_until_the_answers_before_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = asyncio.Event()
    real = JobStore.end

    async def end(self: JobStore, ended: Any) -> None:
        await disk.wait()
        await real(self, ended)

    monkeypatch.setattr(JobStore, "end", end)

    async def story(it: Running) -> None:
        it.script.go_on.clear()
        replies = [await it.run(wait=0, prompt=f"q{n}") for n in range(6)]
        it.script.go_on.set()
        await asyncio.sleep(0.1)
        # A third call would pile up answers in memory.
        assert [len(call) for call in it.script.calls] == [1, 2]
        states = [
            (await it.client.get(f"/api/v1/status/{reply.json()['id']}")).json()["status"]
            for reply in replies
        ]
        assert states == ["IN_PROGRESS"] * 3 + ["IN_QUEUE"] * 3
        disk.set()
        last = await it.client.get(f"/api/v1/status/{replies[5].json()['id']}", params={"wait": 5})
        assert last.json()["output"]["data"]["text"] == "Q5"

    tell(tmp_path / "s", story, batch_size=2)


def test_a_job_is_forgotten_with_its_page(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        address = f"/api/v1/status/{(await it.run(wait=0)).json()['id']}"
        assert (await it.client.delete(address)).status_code == 204
        assert (await it.client.get(address)).status_code == 404
        assert (await it.client.delete(address)).status_code == 404
        await it.service.intake.tidied()
        assert list((tmp_path / "s" / "pages").iterdir()) == []
        assert b"what is it" not in (tmp_path / "s" / "jobs.sqlite").read_bytes()

    tell(tmp_path / "s", story, works=False)


def test_a_job_that_is_forgotten_while_it_is_answered_stays_forgotten(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        it.script.go_on.clear()
        address = f"/api/v1/status/{(await it.run(wait=0)).json()['id']}"
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(it.client.get(address, params={"wait": 5}))
        await asyncio.sleep(0.01)
        assert (await it.client.delete(address)).status_code == 204
        assert (await waiting).status_code == 404
        it.script.go_on.set()
        assert (await it.run(prompt="next")).json()["output"]["data"]["text"] == "NEXT"
        assert (await it.client.get(address)).status_code == 404

    tell(tmp_path / "s", story)


def test_results_expire(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        address = f"/api/v1/status/{(await it.run()).json()['id']}"
        expiring = asyncio.create_task(it.service.dispatcher.expire())
        for _ in range(100):
            await asyncio.sleep(0.02)
            if (await it.client.get(address)).status_code == 404:
                break
        else:
            pytest.fail("the result did not expire")
        expiring.cancel()

    tell(tmp_path / "s", story, keep_seconds=0.05)


class Mortal(Script):
    """Dies of every call that holds a deadly question, or of each call as long as it is told to."""

    def __init__(self, *, blames: bool = True, deaths: int | None = None) -> None:
        super().__init__()
        self.blames, self.deaths = blames, deaths

    async def ask(self, jobs: Any, wrote: Any) -> Any:
        is_deadly = any("deadly" in job.question.prompt for job in jobs)
        if is_deadly and (self.deaths is None or self.deaths > 0):
            self.calls.append(list(jobs))
            self.deaths = None if self.deaths is None else self.deaths - 1
            raise ModelDied("its process was ended by signal 9", blames=self.blames)
        return await super().ask(jobs, wrote)


def test_a_job_that_ends_the_process_twice_has_failed_and_takes_no_other_with_it(
    tmp_path: Path,
) -> None:
    async def story(it: Running) -> None:
        replies = await asyncio.gather(*(it.run(prompt=text) for text in ("a", "deadly", "b")))
        told = [reply.json() for reply in replies]
        assert [each["status"] for each in told] == ["COMPLETED", "FAILED", "COMPLETED"]
        assert "ended twice" in told[1]["output"]["message"]
        assert it.script.starts == 3
        deadly = [
            call for call in it.script.calls if any("deadly" in j.question.prompt for j in call)
        ]
        assert len(deadly) == 2
        assert len(deadly[1]) == 1

    tell(tmp_path / "s", story, Mortal())


def test_a_model_that_is_gone_for_another_reason_fails_no_job(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        reply = await it.run(prompt="deadly")
        assert reply.json()["output"]["data"]["text"] == "DEADLY"
        assert it.script.starts == 4

    tell(tmp_path / "s", story, Mortal(blames=False, deaths=3))


def test_a_model_that_cannot_be_loaded_again_ends_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "LONGEST_PAUSE", 0.0)
    monkeypatch.setattr(dispatch, "FIRST_PAUSE", 0.0)

    async def whole() -> None:
        script = Mortal()
        async with running(tmp_path / "s", script, works=False) as it:
            reply = await it.run(prompt="deadly", wait=0)
            script.load_error = EnvironmentProblem("no device")
            with pytest.raises(EnvironmentProblem, match="cannot be loaded any more: no device"):
                await it.service.dispatcher.work()
            assert (await it.client.get("/ready")).status_code == 503
            state = await it.client.get(f"/api/v1/status/{reply.json()['id']}")
            assert state.json()["status"] == "IN_QUEUE"

    asyncio.run(whole())


def test_a_failure_names_no_path_of_the_machine(tmp_path: Path) -> None:
    error = InvalidInput("page file /data/service/pages/ab12 is broken: /usr/lib/x.so said no")
    script = Script(lambda job: failed(job.id, error))

    async def story(it: Running) -> None:
        told = (await it.run()).json()
        assert told["status"] == "FAILED"
        assert told["output"]["data"] is None
        assert "/" not in told["output"]["message"]
        assert "broken" in told["output"]["message"]

    tell(tmp_path / "s", story, script)


def test_paths_are_taken_out_of_messages() -> None:
    assert without_paths("see /etc/passwd: it 'is' 3/4 full") == "see (a file): it 'is' 3/4 full"
    assert without_paths("/a/b/c", {"/a/b/c": "image 1"}) == "image 1"


def test_several_pages_in_every_way(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        pages = [PAGE_URL, data_url(pdf(2), "application/pdf")]
        assert (await it.run(images=pages)).json()["output"]["data"]["pages"] == 3
        files = [("files", ("a.png", PAGE)), ("files", ("b.pdf", pdf(2)))]
        fields = {"prompt": "read", "max_new_tokens": "7", "wait": "5"}
        reply = await it.client.post("/api/v1/run", files=files, data=fields)
        assert reply.json()["output"]["data"]["pages"] == 3
        assert it.script.calls[-1][0].question.max_new_tokens == 7

    tell(tmp_path / "s", story)


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({}, 422, "exactly one"),
    ({"image": PAGE_URL, "images": [PAGE_URL]}, 422, "exactly one"),
    (
        {"image": PAGE_URL, "SECRET-KEY": 1},
        422,
        "there is no such field; the fields are prompt, max_new_tokens, visual_tokens, wait, image_url, "
        "image, images",
    ),
    ({"image": PAGE_URL, "prompt": " "}, 422, "prompt: the text must not be blank"),
    ({"image": PAGE_URL, "prompt": 5}, 422, "prompt: it must be a text"),
    ({"image": PAGE_URL, "wait": -1}, 422, "wait: the number must be at least 0"),
    ({"image": PAGE_URL, "wait": "5"}, 422, "wait: it must be a number"),
    (
        {"image": PAGE_URL, "max_new_tokens": 0},
        422,
        "max_new_tokens: the number must be at least 1",
    ),
    ({"image": PAGE_URL, "max_new_tokens": 9999}, 422, "at most 4096 tokens"),
    ({"image": PAGE_URL, "visual_tokens": 64}, 422, "cannot be told how many visual tokens"),
    ({"image": "SECRET"}, 422, "begin with data:image/png;base64,"),
    ({"images": [base64.b64encode(PAGE).decode()]}, 422, "begin with data:image/png;base64,"),
    ({"images": [PAGE_URL, "data:image/png;base64,"]}, 422, "image 2: an image is empty"),
    ({"images": [PAGE_URL, "https://a.example/SECRET"]}, 403, "image 2: this service fetches no"),
    ({"image_url": "SECRET.png"}, 422, "begin with data:image/png;base64,"),
    ({"image": "data:image/png;base64,SECRE"}, 422, "a multiple of four"),
    ({"image": "data:image/png;base64,SECRET!"}, 422, "not valid base64"),
    ({"image": "data:image/png,SECRET"}, 422, "data:image/png;base64"),
    ({"image": "data:image/png;base64,"}, 422, "0 bytes"),
    ({"image": data_url(b"SECRET")}, 422, "image 1 is not an image"),
    ({"image": data_url(PAGE[:20])}, 422, "image 1 is"),
    ({"images": []}, 422, "images: at least 1 must be given"),
    ({"images": [PAGE_URL] * 6}, 413, "at most 5 pages"),
    ({"image": data_url(pdf(6))}, 413, "at most 5 pages"),
    ({"image_url": "http://127.0.0.1/SECRET"}, 403, "fetches no pages"),
]


def test_what_is_not_valid_is_refused_without_an_echo(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        for body, status, words in REFUSED:
            reply = await it.client.post("/api/v1/run", json=body)
            assert (reply.status_code, body) == (status, body)
            error = reply.json()["error"]
            assert words in error["message"]
            assert "SECRET" not in reply.text
            assert str(tmp_path) not in reply.text
        for text in ("", "[", '"x"', "[" * 50_000, '{"image": 1e999}', '{"prompt": "\ud800"}'):
            content = text.encode("utf-8", "surrogatepass")
            headers = {"content-type": "application/json"}
            reply = await it.client.post("/api/v1/run", content=content, headers=headers)
            assert reply.status_code == 422
        reply = await it.client.post("/api/v1/run", content=b"x")
        assert reply.status_code == 415
        form = {"content-type": "multipart/form-data; boundary=x"}
        reply = await it.client.post("/api/v1/run", content=b"rubbish", headers=form)
        assert reply.status_code in {400, 422}
        for fields, words in (
            ({"evil": "SECRET"}, "there is no such field; the fields are files, prompt, "),
            ({"wait": "SECRET"}, "wait: it must be a number"),
            ({"prompt": ["SECRET", "SECRET"]}, "prompt comes twice"),
        ):
            reply = await it.client.post("/api/v1/run", files={"files": PAGE}, data=fields)
            assert reply.status_code == 422
            assert reply.json()["error"]["message"].startswith(words)
        reply = await it.client.post("/api/v1/run", files={"SECRET": PAGE})
        assert (reply.status_code, reply.json()["error"]["param"]) == (422, "files")
        assert "SECRET" not in reply.text
        assert (
            await it.client.get("/api/v1/status/x", params={"wait": "SECRET"})
        ).status_code == 422
        await it.service.intake.tidied()
        assert list((tmp_path / "s" / "pages").iterdir()) == []

    tell(tmp_path / "s", story, pages=5)


def test_base64_may_have_line_breaks(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        for text in (base64.encodebytes(PAGE).decode(), base64.b64encode(PAGE).decode() + "\r\n"):
            reply = await it.run(image="data:image/png;base64," + text)
            assert reply.status_code == 200

    tell(tmp_path / "s", story)


def test_a_longer_wait_is_shortened_to_what_the_service_allows(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        it.script.go_on.clear()
        for wait in (0.02, 301, 1e9):
            told = await it.run(wait=wait)
            assert told.status_code == 202
            address = f"/api/v1/status/{told.json()['id']}"
            assert (await it.client.get(address, params={"wait": wait})).status_code == 200
        it.script.go_on.set()

    tell(tmp_path / "s", story, most_wait_seconds=0.01)


def test_a_document_gets_the_label_that_the_model_names(tmp_path: Path) -> None:
    script = Script(lambda job: replace(shouted(job), text=" Invoice."))

    async def story(it: Running) -> None:
        body = {"image": PAGE_URL, "labels": ["receipt", "invoice"]}
        data = (await it.client.post("/api/v1/classify", json=body)).json()["output"]["data"]
        assert data["label"] == "invoice"
        assert 0 < data["probability"] < 1
        assert "receipt; invoice" in it.script.calls[0][0].question.prompt
        body = {"image": PAGE_URL, "labels": ["receipt", "letter"]}
        output = (await it.client.post("/api/v1/classify", json=body)).json()["output"]
        assert output["status"] == "error"
        assert output["message"] == "The model's answer is none of the labels."
        for labels, words in (
            ([], "labels: at least 2 must be given"),
            (["one"], "labels: at least 2 must be given"),
            (["One", "one."], "labels: there must be at least two different labels"),
            (["a", ""], "labels.1: the text must not be empty"),
            ("ab", "labels: it must be a list"),
        ):
            body = {"image": PAGE_URL, "labels": labels}
            reply = await it.client.post("/api/v1/classify", json=body)
            assert (reply.status_code, reply.json()["error"]["message"]) == (422, words)

    tell(tmp_path / "s", story, script)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Счёт-фактура.", "счет-фактура"),
        ("It is an invoice", "invoice"),
        ("an invoice copy", "invoice copy"),
        ("invoice or receipt", None),
        ("invoices", None),
        ("", None),
    ],
)
def test_the_label_that_an_answer_names(text: str, label: str | None) -> None:
    labels = ("invoice", "invoice copy", "receipt", "счет-фактура")
    if label == "счет-фактура":
        text = text.replace("ё", "е")
    choice = chosen_label(Output("", text, "stop"), labels)
    assert (choice and choice.label) == label
    assert choice is None or choice.probability is None


def test_the_service_tells_what_it_is_and_how_it_does(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        await it.run()
        assert (await it.client.get("/livez")).status_code == 200
        assert (await it.client.get("/ready")).status_code == 200
        version = (await it.client.get("/version")).json()
        assert version["device"] == "cpu"
        assert version["context_tokens"] == 512
        assert "secret" not in str(version)
        metrics = (await it.client.get("/metrics")).text
        assert 'bench_jobs_total{status="COMPLETED"} 1.0' in metrics
        assert 'bench_tokens_total{kind="visual"} 12.0' in metrics
        assert 'bench_model_memory_bytes{kind="rss"} 1000.0' in metrics
        assert 'path="/api/v1/run",status="200"' in metrics
        assert (await it.client.get("/nowhere/SECRET")).status_code == 404
        wrong = await it.client.put("/livez")
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
        for address in ("/livez", "/ready", "/metrics", "/v1/models"):
            assert (await it.client.head(address)).status_code == 200
        assert "SECRET" not in (await it.client.get("/metrics")).text

    tell(tmp_path / "s", story)


def test_the_description_of_the_api_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        root = await it.client.get("/")
        assert (root.status_code, root.headers["location"]) == (307, "/docs")
        assert root.text == "The API is described at /docs.\n"
        page = await it.client.get("/docs")
        assert page.status_code == 200
        assert "http" not in page.text.replace("httpx", "")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert (await it.client.get("/docs-files/swagger-ui-bundle.js")).status_code == 200
        schema = (await it.client.get("/openapi.json")).json()
        assert "/api/v1/run" in schema["paths"]

    tell(tmp_path / "s", story, api_key="k" * 16)


def test_only_the_key_opens_the_service(tmp_path: Path) -> None:
    key = "correct horse battery"

    async def story(it: Running) -> None:
        for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer ключ".encode()}):
            reply = await it.client.get("/version", headers=headers)
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"] == "Bearer"
        for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
            assert (await it.client.get("/version", headers=headers)).status_code == 200
        assert (await it.client.get("/livez")).status_code == 200
        assert (await it.client.get("/docs-files/../version")).status_code in {401, 404}

    tell(tmp_path / "s", story, api_key=key)


def test_a_browser_page_of_another_site_cannot_ask(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        get = it.client.get
        for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "", "[::2]"):
            assert (await get("/version", headers={"host": host})).status_code == 421
        for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:80", "[::1]:8000", "reader.lan"):
            assert (await get("/version", headers={"host": host})).status_code == 200
        for origin in ("http://evil.example", "null", "http://localhost:3000", "http://["):
            assert (await get("/version", headers={"origin": origin})).status_code == 403
        assert (await get("/version", headers={"origin": "http://localhost"})).status_code == 200

    tell(tmp_path / "s", story, allowed_hosts="reader.lan")


def test_requests_are_bounded_in_bytes(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        large = data_url(b"x" * 4000)
        reply = await it.run(image=large)
        assert reply.status_code == 413
        assert reply.headers["connection"] == "close"

        async def endless() -> Any:
            while True:
                yield b" " * 500

        headers = {"content-type": "application/json"}
        reply = await it.client.post("/api/v1/run", content=endless(), headers=headers)
        assert reply.status_code == 413
        reply = await it.client.post(
            "/api/v1/run", content=b"", headers={**headers, "content-length": str(10**9)}
        )
        assert reply.status_code == 413

    tell(tmp_path / "s", story, body_bytes=2000)


def test_too_much_at_once_is_refused(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> Any:
            yield b'{"image": '
            begun.set()
            await go_on.wait()
            yield json.dumps(PAGE_URL).encode() + b"}"

        headers = {"content-type": "application/json"}
        first = asyncio.create_task(it.client.post("/api/v1/run", content=slow(), headers=headers))
        await begun.wait()
        second = await it.run()
        assert second.status_code == 503
        assert second.headers["retry-after"] == "2"
        go_on.set()
        assert (await first).status_code == 200
        assert (await it.run()).status_code == 200

    tell(tmp_path / "s", story, body_bytes=60_000, receiving_bytes=60_100)


def test_a_slow_upload_ends(tmp_path: Path) -> None:
    async def story(it: Running) -> None:
        async def slow() -> Any:
            yield b"{"
            await asyncio.sleep(5)

        headers = {"content-type": "application/json"}
        reply = await it.client.post("/api/v1/run", content=slow(), headers=headers)
        assert reply.status_code == 408
        assert reply.headers["connection"] == "close"

    tell(tmp_path / "s", story, upload_seconds=0.1)


def test_a_full_disk_is_told_and_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_full = False
    real = JobStore._do

    async def do(self: JobStore, *write: Any, **urgency: Any) -> None:
        if is_full:
            raise EnvironmentProblem("the jobs cannot be stored: database or disk is full")
        await real(self, *write, **urgency)

    monkeypatch.setattr(JobStore, "_do", do)
    monkeypatch.setattr(dispatch, "STORING_PAUSE", 0.01)

    async def story(it: Running) -> None:
        nonlocal is_full
        it.script.go_on.clear()
        accepted = await it.run(wait=0, prompt="kept")
        await asyncio.sleep(0.05)
        is_full = True
        reply = await it.run()
        assert reply.status_code == 507
        assert "disk is full" in reply.json()["error"]["message"]
        it.script.go_on.set()
        await asyncio.sleep(0.05)
        is_full = False
        address = f"/api/v1/status/{accepted.json()['id']}"
        state = await it.client.get(address, params={"wait": 5})
        assert state.json()["output"]["data"]["text"] == "KEPT"

    tell(tmp_path / "s", story)


def test_a_database_that_is_full_says_so(tmp_path: Path) -> None:
    async def whole() -> None:
        store = JobStore(tmp_path)
        # SQLite itself plays the full disk here.
        store._writes.put(None)
        store._writer.join()
        store.close = lambda: None  # type: ignore[method-assign]
        real = store._connect

        def connect() -> sqlite3.Connection:
            connection = real()
            connection.execute("PRAGMA max_page_count = 1")
            return connection

        store._connect = connect  # type: ignore[method-assign]
        threading.Thread(target=store._write, daemon=True).start()
        insert = "INSERT INTO jobs (id, status, question, created) VALUES (?, 'IN_QUEUE', ?, 0)"
        with pytest.raises(EnvironmentProblem, match="database or disk is full"):
            await store._do(insert, [("1", "x" * 100_000)])
        store._writes.put(None)
        store._reading.close()

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "0.0.0.0"}, "needs a key"),
        ({"host": "::"}, "needs a key"),
        ({"host": "example.org"}, "needs a key"),
        ({"api_key": "short"}, "at least 16"),
        ({"port": 70_000}, "--port"),
        ({"queue": 0}, "--queue"),
    ],
)
def test_settings_that_are_not_safe_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        service_settings(**options)


def test_a_wrong_variable_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_SERVE_KEEP_SECONDS", "SECRET")
    with pytest.raises(InvalidInput) as caught:
        service_settings()
    assert caught.value.message == "BENCH_SERVE_KEEP_SECONDS: it must be a number"
    monkeypatch.setenv("BENCH_SERVE_KEEP_SECONDS", "5")
    assert service_settings().keep_seconds == 5
