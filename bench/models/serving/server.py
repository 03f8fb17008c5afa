"""A model behind a server that is started for it, asked as any endpoint is asked, and ended with it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.errors import InvalidInput
from bench.measure import processes_memory
from bench.models.backends import ENDPOINT_BACKEND
from bench.models.footprint import local_folder, published_shape
from bench.models.model import ModelGone
from bench.models.openai import Endpoint
from bench.models.openai.settings import endpoint_settings
from bench.models.reading_along import Reader
from bench.models.serving.counters import Counters
from bench.models.serving.engines import ENGINES, QUANTIZED_AT_LOAD
from bench.models.serving.launch import Launch, launch, runs_on_gpu, starter
from bench.models.serving.process import ServerProcess, free_port
from bench.models.serving.settings import split_options
from bench.paths import BUNDLED
from bench.schema import Batch, Json, ModelInfo, ModelSpec, PageGroup


class ManagedServer:
    """A model behind a server that is started for it."""

    def __init__(self, spec: ModelSpec) -> None:
        if spec.checkpoint is None:
            raise InvalidInput(
                f"model {spec.name}: {spec.backend} serves a checkpoint, and none is named"
            )
        if spec.quantization == "int8":
            raise InvalidInput(
                f"model {spec.name}: {spec.backend} cannot quantize a checkpoint to int8 while it loads it",
                hint=f"it can make {' or '.join(QUANTIZED_AT_LOAD)}, or load a checkpoint that is quantized",
            )
        self._spec = spec
        self._settings, self._asking = split_options(spec)
        # An option of the endpoint that cannot be used is refused now, not after the server has started.
        endpoint_settings(self._endpoint_spec(free_port()))
        if self._settings.image is None:
            starter(spec, self._settings)
        self._server: ServerProcess | None = None
        self._endpoint: Endpoint | None = None
        self._counters: Counters | None = None

    def load(self) -> ModelInfo:
        """Start the server, wait until it is ready, and find out what it serves."""
        spec = self._spec
        port = free_port()
        command = launch(_findable(spec), self._settings, self._bounds(), port)
        started = time.perf_counter()
        self._server = ServerProcess(
            spec.backend, command.words, command.environment, port, command.cleanup
        )
        self._server.wait_until_ready(self._settings.start_seconds)
        start_seconds = time.perf_counter() - started
        self._endpoint = Endpoint(self._endpoint_spec(port), ended=self._server.ended)
        info = self._endpoint.load()
        self._counters = Counters(port, ENGINES[spec.backend].prefix_counters)
        return replace(
            info,
            backend=spec.backend,
            device=_device(spec),
            details={**info.details, **self._details(command, start_seconds)},
        )

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        """Ask every request of ``groups``, and look at the server's counters and its memory behind them.

        Raises:
            ModelGone: the server has ended; another process of the model starts it again.
        """
        assert self._endpoint is not None, "load comes first"
        assert self._server is not None
        assert self._counters is not None
        try:
            batch = self._endpoint.generate(groups)
        except ModelGone as gone:
            reason = self._server.ended() or gone.message
            raise ModelGone(reason, answered=gone.answered, restarts=True) from None
        if len(batch.outputs) == 1:
            # Nothing may stand between single questions, whose latency is measured.
            return batch
        notes = {**batch.notes, **self._counters.since_last()}
        return replace(batch, notes=notes, memory=processes_memory(self._server.processes()))

    def let_read_along(self, readers: Mapping[str, Reader]) -> None:
        """See ``bench.models.model.ReadAlong``."""
        assert self._endpoint is not None
        self._endpoint.let_read_along(readers)

    def close(self) -> None:
        """End the server with everything that it has started."""
        if self._endpoint is not None:
            self._endpoint.close()
        if self._server is not None:
            self._server.stop()

    def expect(self, groups: Sequence[PageGroup]) -> None:
        """Nothing is read ahead."""

    def economize(self) -> str | None:
        """The server has taken its memory when it started."""
        return None

    def reset(self) -> None:
        """Have the server meet every page for the first time."""
        if self._endpoint is not None:
            self._endpoint.reset()

    def _bounds(self) -> Mapping[str, int]:
        """The pixel bounds of the pages, where the shape of the model is known."""
        shape = published_shape(self._spec)
        if shape is None:
            return {}
        low, high = self._spec.min_pixels, self._spec.max_pixels
        return {
            "min_pixels": shape.bounds.min_pixels if low is None else low,
            "max_pixels": shape.bounds.max_pixels if high is None else high,
        }

    def _endpoint_spec(self, port: int) -> ModelSpec:
        """How the server is asked: the page sizes are ours, and those that the server would make."""
        options: dict[str, Json] = {"base_url": f"http://127.0.0.1:{port}/v1", **self._asking}
        shape = published_shape(self._spec)
        if shape is not None:
            options.setdefault("visual_token_side", shape.architecture.factor)
        bounds = self._bounds()
        return ModelSpec(
            self._spec.name,
            ENDPOINT_BACKEND,
            self._spec.name,
            min_pixels=bounds.get("min_pixels", self._spec.min_pixels),
            max_pixels=bounds.get("max_pixels", self._spec.max_pixels),
            options=options,
        )

    def _details(self, command: Launch, start_seconds: float) -> dict[str, Json]:
        assert self._server is not None
        spec = self._spec
        return {
            "checkpoint": spec.checkpoint,
            "revision": spec.revision,
            "dtype": command.dtype,
            "quantization": spec.quantization,
            "server_command": shlex.join(command.words),
            "server_start_seconds": start_seconds,
            "server_memory": processes_memory(self._server.processes()),
            "prefix_caching": self._settings.prefix_caching,
        }


def _findable(spec: ModelSpec) -> ModelSpec:
    """``spec`` with a checkpoint that the engine can find: a hub id, or a folder."""
    if not (spec.checkpoint or "").startswith(BUNDLED):
        return spec
    return replace(spec, checkpoint=str(local_folder(spec)))


def _device(spec: ModelSpec) -> str:
    if not runs_on_gpu(spec):
        return "cpu"
    return spec.device if spec.device.startswith("cuda:") else "cuda:0"
