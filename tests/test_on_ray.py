"""A model on a cluster, asked through a pretended Ray that runs actors in this process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bench.errors import EnvironmentProblem, InvalidInput, OutOfMemory
from bench.models.model import ModelGone
from bench.runner import on_ray
from bench.runner.batches import page_groups
from bench.runner.on_ray import (
    ANY,
    ATTEMPTS,
    RayModel,
    RemoteReader,
    cluster_address,
    connect,
    workers_on,
)
from bench.schema import ModelSpec, PageGroup
from bench.tasks.limits import DEFAULTS, VARIABLES, page_limits
from bench.tasks.loading import load_task
from tests.conftest import MakeTask


class RayError(Exception):
    """As Ray's: an actor or a node is gone."""


class RayTaskError(RayError):
    """As Ray's: what runs in an actor has raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Result:
    """What a call of an actor comes to."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value, self.error = value, error


class Handle:
    """An actor; ``calls`` are the names and arguments of what it was asked."""

    def __init__(self, ray: PretendedRay, made: Any) -> None:
        self.ray, self.made, self.calls = ray, made, []

    def __getattr__(self, name: str) -> Any:
        def remote(*arguments: Any) -> Result:
            self.calls.append((name, arguments))
            if self.ray.dead is not None:
                return Result(error=self.ray.dead)
            try:
                return Result(getattr(self.made, name)(*arguments))
            except Exception as error:
                return Result(error=RayTaskError(error))

        return SimpleNamespace(remote=remote)


class PretendedRay(ModuleType):
    """As much of Ray as ``on_ray`` asks."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        self.dead: Exception | None = None
        self.refuses: Exception | None = None
        self.aborted = 0
        """How often the client's server fails before a connection succeeds."""
        self.actors: list[Handle] = []
        self.gpus = 0
        self.asked: dict[str, Any] = {}

    def init(self, **settings: Any) -> None:
        if self.refuses is not None:
            raise self.refuses
        if self.aborted > 0:
            self.aborted -= 1
            raise ConnectionAbortedError(
                "Initialization failure from server:\nTraceback (most recent call last):\n"
                '  File "proxier.py", line 772, in Datapath\nRuntimeError: Starting the server failed.'
            )

    def shutdown(self) -> None:
        """Nothing to do."""

    def remote(self, actor: type) -> Any:
        def options(**asked: Any) -> Any:
            self.asked = asked

            def make(*arguments: Any) -> Handle:
                self.asked["arguments"] = arguments
                self.actors.append(Handle(self, actor(*arguments)))
                return self.actors[-1]

            return SimpleNamespace(remote=make)

        return SimpleNamespace(options=options)

    def wait(self, calls: list[Result], timeout: float) -> tuple[list[Result], list[Result]]:
        return calls, []

    def get(self, call: Result, timeout: float | None = None) -> Any:
        if call.error is not None:
            raise call.error
        return call.value

    def nodes(self) -> list[dict[str, bool]]:
        return [{"Alive": True}, {"Alive": False}, {"Alive": True}]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 8.0, "GPU": float(self.gpus)} if self.gpus else {"CPU": 8.0}


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> PretendedRay:
    pretended = PretendedRay()
    monkeypatch.setitem(sys.modules, "ray", pretended)
    for field, variable in VARIABLES.items():
        # A reader sets them for its node, which is this process here.
        monkeypatch.setenv(variable, str(getattr(DEFAULTS, field)))
    monkeypatch.setattr(on_ray, "require_package", lambda *_: None)
    return pretended


@pytest.fixture
def groups(make_task: MakeTask) -> Sequence[PageGroup]:
    return page_groups(load_task(make_task(documents=3, questions=2)))


def fake(**options: Any) -> ModelSpec:
    return ModelSpec("m", "fake", options=options)


def model(ray: PretendedRay, **options: Any) -> RayModel:
    made = RayModel(fake(**options), ANY, 0)
    made.load()
    return made


def test_a_model_on_a_cluster_answers_as_it_does_here(
    ray: PretendedRay, groups: Sequence[PageGroup]
) -> None:
    remote = RayModel(fake(default="{sample_id}"), ANY, 2)
    info = remote.load()
    assert info.details["node"]["cores"]
    assert (ray.asked["num_gpus"], ray.asked["max_restarts"]) == (2, 0)
    batch = remote.generate(groups)
    assert [output.text for output in batch.outputs] == [
        request.sample_id for group in groups for request in group.requests
    ]
    assert batch.memory["peak_rss"] > 0
    remote.close()
    assert ray.actors[0].calls[-1][0] == "end"


def test_files_of_pages_are_sent_once_and_removed_when_they_are_over(
    ray: PretendedRay, groups: Sequence[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    here = RemoteReader._here

    def looking(self: RemoteReader, asked: Sequence[PageGroup]) -> list[PageGroup]:
        moved = here(self, asked)
        seen[:] = [page.path for group in moved for page in group.document.pages]
        assert all(path.exists() for path in seen)
        return moved

    monkeypatch.setattr(RemoteReader, "_here", looking)
    remote = model(ray)
    (reader,) = ray.actors
    first, second, third = ([group] for group in groups)
    remote.expect(second)
    remote.generate(first)
    remote.expect(third)
    remote.generate(second)
    remote.expect([])
    remote.generate(second)
    sent = [len(arguments[1]) for name, arguments in reader.calls if name in {"expect", "generate"}]
    assert sent == [1, 1, 1, 0, 0]
    original = second[0].document.pages[0]
    assert seen[0] != original.path
    assert seen[0].read_bytes() == original.path.read_bytes()
    # The first page is gone; the second is being asked about, the third was expected.
    assert len(list(seen[0].parent.iterdir())) == 2
    remote.close()
    assert not seen[0].parent.exists()


def test_the_bounds_on_pages_hold_on_the_nodes(
    ray: PretendedRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLES["seconds"], "3")
    model(ray)
    assert ray.asked["arguments"][1].seconds == 3
    monkeypatch.setenv(VARIABLES["seconds"], "60")
    RemoteReader(*ray.asked["arguments"])
    assert page_limits().seconds == 3


def test_what_goes_wrong_there_goes_wrong_here(
    ray: PretendedRay, groups: Sequence[PageGroup]
) -> None:
    with pytest.raises(OutOfMemory):
        model(ray, capacity=1).generate(groups)
    with pytest.raises(Exception, match="scripted failure of") as failure:
        model(ray, refuse=["q"]).generate(groups)
    assert not isinstance(failure.value, (EnvironmentProblem, InvalidInput))
    with pytest.raises(EnvironmentProblem, match="no weights") as refused:
        model(ray, load_error="no weights")
    assert not isinstance(refused.value, ModelGone)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RayError("The actor died\nunexpectedly."), "The actor died unexpectedly"),
        # A client that has lost its head.
        (ConnectionError("Client is shutting down."), "Client is shutting down"),
    ],
    ids=["actor", "head"],
)
def test_an_actor_that_is_gone_lets_another_go_on(
    error: Exception, said: str, ray: PretendedRay, groups: Sequence[PageGroup]
) -> None:
    remote = model(ray)
    ray.dead = error
    with pytest.raises(ModelGone, match=f"the model's actor is gone: {said}") as gone:
        remote.generate(groups)
    assert gone.value.restarts


def test_a_page_that_cannot_be_read_is_the_failure_of_its_own_call(
    ray: PretendedRay, groups: Sequence[PageGroup]
) -> None:
    remote = model(ray)
    groups[1].document.pages[0].path.unlink()
    remote.expect([groups[1]])
    assert remote.generate([groups[0]]).outputs
    with pytest.raises(Exception, match=groups[1].document.pages[0].path.name):
        remote.generate([groups[1]])


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"bench": "0.0.9", "python": "3.11.1", "git": None}, "has docvlm-bench 0.0.9"),
        ({"git": {"commit": "abc", "dirty": False}}, "has commit abc"),
    ],
)
def test_a_node_with_another_version_is_refused(
    ray: PretendedRay, monkeypatch: pytest.MonkeyPatch, there: dict[str, Any], words: str
) -> None:
    own = RemoteReader.version
    monkeypatch.setattr(RemoteReader, "version", lambda self: {**own(self), **there})
    with pytest.raises(EnvironmentProblem, match=words):
        model(ray)


def test_a_node_without_the_program_is_one_line(
    ray: PretendedRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(self: RemoteReader) -> None:
        raise ModuleNotFoundError("No module named 'bench'")

    monkeypatch.setattr(RemoteReader, "version", missing)
    with pytest.raises(EnvironmentProblem, match="No module named 'bench'") as failure:
        model(ray)
    assert "on every node" in (failure.value.hint or "")


def test_a_cluster_that_is_not_there_or_is_another_python_is_one_line(ray: PretendedRay) -> None:
    ray.refuses = RuntimeError("Version mismatch: The cluster was started with:\n  Python: 3.12.1")
    for address in (ANY, "ray://head:10001"):
        with pytest.raises(EnvironmentProblem, match=r"has other versions: .* Python: 3\.12\.1"):
            connect(address)
    ray.refuses = ConnectionError("ray client connection timeout")
    with pytest.raises(EnvironmentProblem, match="no Ray cluster answers here: ray client"):
        connect(ANY)
    with pytest.raises(EnvironmentProblem, match=r"ray://head:10001 is no Ray cluster"):
        connect("ray://head:10001")


def test_a_client_tries_again_where_its_server_on_the_head_does_not_start(
    ray: PretendedRay,
) -> None:
    ray.aborted = ATTEMPTS - 1
    connect("ray://head:10001")
    ray.aborted = ATTEMPTS
    with pytest.raises(EnvironmentProblem) as failure:
        connect("ray://head:10001")
    # The cause, and not the beginning of the traceback.
    assert failure.value.message.endswith("cluster: RuntimeError: Starting the server failed.")


def test_a_head_without_the_program_is_one_line(
    ray: PretendedRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client's actor is made on the head, whose error comes as it is."""

    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'bench'")

    monkeypatch.setattr(RemoteReader, "__init__", missing)
    with pytest.raises(
        EnvironmentProblem, match="cannot run this program: No module named 'bench'"
    ):
        model(ray)


def test_there_is_an_actor_for_each_gpu_or_for_each_node(ray: PretendedRay) -> None:
    qwen = ModelSpec("q", "qwen_vl", "Qwen/Qwen2-VL-2B-Instruct")
    assert [device.name for device in workers_on(ANY, [fake()], None)] == ["ray-0", "ray-1"]
    assert len(workers_on(ANY, [fake()], 5)) == 5
    ray.gpus = 4
    devices = workers_on(ANY, [qwen], None)
    assert len(devices) == 4
    assert devices[0].environment == {on_ray.ADDRESS: ANY, on_ray.GPUS: "1"}
    # A model that uses no GPU takes none.
    assert workers_on(ANY, [fake()], None)[0].environment[on_ray.GPUS] == "0"
    endpoint = ModelSpec("e", "openai", "e", options={"base_url": "http://localhost:1/v1"})
    with pytest.raises(InvalidInput, match="a server answers for 'e'"):
        workers_on(ANY, [endpoint], None)


def test_the_executor_is_named_by_its_address() -> None:
    assert cluster_address("ray") == ANY
    assert cluster_address("ray://head.example.org:10001") == "ray://head.example.org:10001"
    for wrong in ("slurm", "ray:", "ray://", "ray://a b", "http://head"):
        with pytest.raises(InvalidInput, match="is no cluster"):
            cluster_address(wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "2"], "counts actors of a cluster"),
        (["--executor", "ray", "--devices", "cpu,cpu"], "names devices of this machine"),
        (["--executor", "dask"], "'dask' is no cluster"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    bench: Any, options: list[str], words: str
) -> None:
    done = bench("run", "--models", "ocr", "--tasks", "slips", *options)
    assert done.status == 2
    assert words in done.err
