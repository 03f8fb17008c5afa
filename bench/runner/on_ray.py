"""A model in an actor of a Ray cluster, asked by a process of this machine as if it were here.

The run directory stays on this machine: each of the model's processes (``bench.runner.worker``) keeps its
questions, and sends them, batch by batch and with the files of their pages, to an actor of its own. The actor
loads the model once. When its node dies, the process says that the model is gone, and its parent starts it
again from the run directory, with another actor. So Ray decides where a model runs, and nothing else is
different: batches, retries, failures and records are those of a run on one machine.

Ray's processes exchange Python objects (pickle), and so does this module with the actors. Whoever can reach a
Ray cluster can run code on it, whatever this program does; it belongs into a network of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import BenchError, EnvironmentProblem, InvalidInput, OutOfMemory, require_package
from bench.measure import MemoryMeter, environment, is_device_lost
from bench.models import make_model, traits_of
from bench.models.model import Model, ModelGone, closing
from bench.parsing import read_bytes
from bench.runner.devices import Device
from bench.schema import Batch, ModelInfo, ModelSpec, PageGroup
from bench.tasks.limits import MAX_FILE_BYTES, PageLimits, page_limits, set_page_limits
from bench.text import one_line

ADDRESS, GPUS = "BENCH_RAY_ADDRESS", "BENCH_RAY_GPUS"
"""Variables of a model's process: the cluster, and how many GPUs its actor has."""
ANY = "auto"
"""The cluster of this machine, or the one that the variable ``RAY_ADDRESS`` names."""
MISMATCH = "Version mismatch:"
"""With which Ray begins its error where the cluster has another Python or Ray."""
START_SECONDS = 30.0
"""Between two words about an actor that waits for a place."""
ATTEMPTS = 3
"""To connect through Ray's client: its proxy on the head starts a server for each client, which may fail."""


class ActorProblem(NamedTuple):
    """What went wrong in an actor, in words: classes of errors may be unknown on this side."""

    kind: str
    """``memory``, ``lost``, ``gone``, ``refused``, or the name of the error's class."""
    message: str
    hint: str | None = None


# ---- on the nodes --------------------------------------------------------------------------------


class RemoteReader:
    """Holds a model on a node, and the files of the pages that are being asked about."""

    def __init__(self, spec: ModelSpec, limits: PageLimits) -> None:
        # They are kept in the environment, which another machine does not share.
        set_page_limits(**limits._asdict())
        self._model: Model = make_model(spec)
        self._folder = Path(tempfile.mkdtemp(prefix="docvlm-bench-"))
        self._meter = MemoryMeter()

    def version(self) -> dict[str, Any]:
        """What runs here, to be compared with what runs there."""
        here = environment()
        return {name: here[name] for name in ("bench", "python", "git")}

    def load(self) -> ModelInfo | ActorProblem:
        """Load the model, and say on what."""
        with _told() as told:
            self._meter.__enter__()
            info = self._model.load()
            details = {**info.details, "node": environment()}
            return dataclasses.replace(info, details=details)
        return told[0]

    def generate(
        self, groups: Sequence[PageGroup], files: Mapping[str, bytes], keep: Sequence[str]
    ) -> Batch | ActorProblem:
        """Answer ``groups``. Their pages are in ``files`` or came earlier, and stay if named in ``keep``."""
        with _told() as told:
            self._receive(files, keep)
            self._meter.restart()
            batch = self._model.generate(self._here(groups))
            return dataclasses.replace(batch, memory=self._meter.reading()._asdict())
        return told[0]

    def expect(
        self, groups: Sequence[PageGroup], files: Mapping[str, bytes], keep: Sequence[str]
    ) -> None:
        """Hand on what comes next; a page that cannot be read is a failure of the call that asks about it."""
        with _told():
            self._receive(files, keep)
            self._model.expect(self._here(groups))

    def economize(self) -> str | None:
        """As the model does."""
        return self._model.economize()

    def reset(self) -> None:
        """As the model does."""
        self._model.reset()

    def end(self) -> None:
        """Give back what the model holds beside memory, and remove the pages."""
        with closing(self._model):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _receive(self, files: Mapping[str, bytes], keep: Sequence[str]) -> None:
        for name, data in files.items():
            (self._folder / name).write_bytes(data)
        for path in self._folder.iterdir():
            if path.name not in keep:
                path.unlink()

    def _here(self, groups: Sequence[PageGroup]) -> list[PageGroup]:
        """The same groups with the paths that their pages have on this node."""
        moved = []
        for group in groups:
            pages = tuple(
                dataclasses.replace(page, path=self._folder / _file_name(page.sha256, page.path))
                for page in group.document.pages
            )
            document = dataclasses.replace(group.document, pages=pages)
            moved.append(dataclasses.replace(group, document=document))
        return moved


@contextlib.contextmanager
def _told() -> Iterator[list[ActorProblem]]:
    """Turn an error of the block into words, the only element of the list."""
    told: list[ActorProblem] = []
    try:
        yield told
    except OutOfMemory as error:
        told.append(ActorProblem("memory", error.message, error.hint))
    except ModelGone as error:
        told.append(ActorProblem("gone", error.message, error.hint))
    except BenchError as error:
        told.append(ActorProblem("refused", error.message, error.hint))
    except Exception as error:
        kind = "lost" if is_device_lost(error) else type(error).__name__
        told.append(ActorProblem(kind, str(error)))


# ---- on this machine -----------------------------------------------------------------------------


class RayModel:
    """The model of a process whose actor is on a cluster."""

    def __init__(self, spec: ModelSpec, address: str, gpus: int) -> None:
        """Connect to the cluster at ``address`` and ask for an actor with so many GPUs."""
        self._ray = connect(address)
        self._expected: tuple[str, ...] = ()
        self._sent: set[str] = set()
        actor = self._ray.remote(RemoteReader).options(num_gpus=gpus, num_cpus=1, max_restarts=0)
        with self._cluster_errors():
            self._actor = actor.remote(spec, page_limits())

    def load(self) -> ModelInfo:
        """Wait for a place, compare the programs, and load the model there.

        Raises:
            EnvironmentProblem: the node lacks this program or has another version of it, or cannot load.
        """
        version = self._ask("version", waiting="waits for a place on the cluster")
        _check_version(version)
        info: ModelInfo = self._ask("load", waiting="loads its model")
        return info

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        """Answer ``groups`` on the cluster."""
        names = _files(groups)
        keep = (*names, *self._expected)
        files = self._to_send(groups)
        self._sent = set(keep)
        batch: Batch = self._ask("generate", list(groups), files, keep)
        return batch

    def expect(self, groups: Sequence[PageGroup]) -> None:
        """Send the pages of the next call while this one is computed."""
        if not groups:
            return
        self._expected = tuple(_files(groups))
        try:
            files = self._to_send(groups)
        except (BenchError, OSError):
            # The call that asks about the page will say so.
            self._expected = ()
            return
        self._sent |= set(self._expected)
        # Where the actor is gone, the call that asks about the pages will say so.
        with contextlib.suppress(ModelGone), self._cluster_errors():
            self._actor.expect.remote(list(groups), files, tuple(self._sent))

    def economize(self) -> str | None:
        """As the model on the cluster does."""
        done: str | None = self._ask("economize")
        return done

    def reset(self) -> None:
        """As the model on the cluster does."""
        self._ask("reset")

    def close(self) -> None:
        """End the actor. It ends with this process in any case."""
        with contextlib.suppress(Exception):
            self._ray.get(self._actor.end.remote(), timeout=10)
        with contextlib.suppress(Exception):
            self._ray.shutdown()

    def _to_send(self, groups: Sequence[PageGroup]) -> dict[str, bytes]:
        """The files of pages that the actor does not have."""
        return {
            name: read_bytes(path, MAX_FILE_BYTES)
            for name, path in _files(groups).items()
            if name not in self._sent
        }

    def _ask(self, method: str, *arguments: Any, waiting: str = "") -> Any:
        """What a method of the actor returns; what goes wrong there goes wrong here."""
        with self._cluster_errors():
            call = getattr(self._actor, method).remote(*arguments)
            result = self._wait(call, waiting)
        if isinstance(result, ActorProblem):
            _raise(result)
        return result

    @contextlib.contextmanager
    def _cluster_errors(self) -> Iterator[None]:
        """Say in this program's errors what the cluster cannot do for the block."""
        try:
            yield
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ImportError):
                raise _node_without_program(error.cause) from None
            raise
        except ImportError as error:
            # Through the client, it is not wrapped.
            raise _node_without_program(error) from None
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            said = one_line(str(error).replace("\n", " "), 240)
            raise ModelGone(f"the model's actor is gone: {said}", restarts=True) from None

    def _wait(self, call: Any, waiting: str) -> Any:
        while waiting:
            ready, _ = self._ray.wait([call], timeout=START_SECONDS)
            if ready:
                break
            print(f"the actor still {waiting}", flush=True)  # noqa: T201  into the run's log
        return self._ray.get(call)


def cluster_address(executor: str) -> str:
    """The address that ``--executor`` names: ``ray``, or ``ray://HOST:PORT``.

    Raises:
        InvalidInput: it is neither.
    """
    if executor == "ray":
        return ANY
    if re.fullmatch(r"ray://[\w.:\[\]-]+", executor):
        return executor
    raise InvalidInput(
        f"--executor: {one_line(executor, 60)!r} is no cluster",
        hint="--executor ray, or ray://HOST:10001",
    )


def connect(address: str) -> Any:
    """The module ``ray``, connected to the cluster at ``address``.

    Raises:
        EnvironmentProblem: Ray is not installed, no cluster answers there, or it has another version of
            Python or of Ray.
    """
    require_package("--executor ray", "ray", "ray")
    if address != ANY:
        # Ray's client is an extra of Ray, which brings this package.
        require_package("--executor ray://", "grpc", "ray")
    ray = import_module("ray")
    # Ray counts its use and tells its makers unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    where = (
        "no Ray cluster answers here"
        if address == ANY
        else f"{one_line(address, 80)} is no Ray cluster"
    )
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with warnings.catch_warnings():
                # What Ray warns of as well as saying it in an error.
                warnings.simplefilter("ignore")
                ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=False,
                )
        except ConnectionAbortedError as error:
            if attempt == ATTEMPTS:
                raise _no_cluster(where, error) from None
        except Exception as error:
            # The connection fails with errors of several libraries, which have no common class.
            raise _no_cluster(where, error) from None
        else:
            break
    return ray


def _no_cluster(where: str, error: Exception) -> EnvironmentProblem:
    text = str(error).strip() or type(error).__name__
    if text.startswith(MISMATCH):
        return EnvironmentProblem(
            f"the Ray cluster has other versions: {one_line(text.removeprefix(MISMATCH), 200)}",
            hint="install the Python and the Ray of the cluster on this machine",
        )
    # The client says what happened on the head as a traceback, whose last line is the cause.
    said = text.splitlines()[-1] if "Traceback" in text else text
    return EnvironmentProblem(
        f"{where}: {one_line(said, 200)}",
        hint="ray start --head starts one; --executor ray://HOST:10001 names another one",
    )


def _node_without_program(error: ImportError) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"a node of the cluster cannot run this program: {one_line(str(error), 160)}",
        hint="install the same docvlm-bench, with the same extras, on every node",
    )


def workers_on(address: str, specs: Sequence[ModelSpec], wanted: int | None) -> tuple[Device, ...]:
    """A device for each actor of a model: as many as ``wanted``, else one a GPU, or one a node without GPUs.

    Raises:
        InvalidInput: a model runs on a server, which needs no cluster.
        EnvironmentProblem: as ``connect``.
    """
    for spec in specs:
        if traits_of(spec).runs_in == "server":
            raise InvalidInput(
                f"a server answers for {spec.name!r}, so a cluster has nothing to do for it",
                hint="leave out --executor, or the model",
            )
    ray = connect(address)
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        available = int(ray.cluster_resources().get("GPU", 0))
    finally:
        ray.shutdown()
    on_gpus = available > 0 and any(
        traits_of(spec).memory == "gpu" and spec.device != "cpu" for spec in specs
    )
    count = wanted or (available if on_gpus else len(nodes))
    settings = {ADDRESS: address, GPUS: str(int(on_gpus))}
    return tuple(Device(f"ray-{number}", settings) for number in range(count))


def is_on_cluster() -> bool:
    """Whether the model of this process is on a cluster."""
    return ADDRESS in os.environ


def model_for_process(spec: ModelSpec) -> Model:
    """The model of this process: here, or on the cluster that its environment names."""
    if not is_on_cluster():
        return make_model(spec)
    return RayModel(spec, os.environ[ADDRESS], int(os.environ[GPUS]))


def _files(groups: Sequence[PageGroup]) -> dict[str, Path]:
    """Name of each page's file on a node → its path here; equal files have one name."""
    pages = (page for group in groups for page in group.document.pages)
    return {_file_name(page.sha256, page.path): page.path for page in pages}


def _file_name(sha256: str, path: Path) -> str:
    # The end of a name is kept for readers that go by it.
    return f"{sha256}{path.suffix.lower()}"


def _check_version(there: Mapping[str, Any]) -> None:
    here = environment()
    for name, words in (("bench", "docvlm-bench"), ("git", "commit")):
        own, other = _commit(here[name]), _commit(there[name])
        if own != other:
            raise EnvironmentProblem(
                f"a node of the cluster has {words} {other[:12]}, and this machine {own[:12]}",
                hint="install the same version on every node",
            )


def _commit(state: Any) -> str:
    """A version, or the commit of a checkout; an installed package has none."""
    return str(state.get("commit", "")) if isinstance(state, Mapping) else str(state or "none")


def _raise(problem: ActorProblem) -> None:
    """Raise what went wrong in an actor, as this program would have raised it here."""
    kind, message, hint = problem
    if kind == "memory":
        raise OutOfMemory(message, hint=hint)
    if kind in {"lost", "gone"}:
        raise ModelGone(message, hint=hint, restarts=True)
    if kind == "refused":
        raise EnvironmentProblem(message, hint=hint)
    # The record of a failed answer begins with the name of the error's class.
    raise type(kind, (Exception,), {})(message)
