"""The whole command that starts a server: what has the engine, its flags, and its environment."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench.errors import EnvironmentProblem, InvalidInput
from bench.formatting import plural
from bench.measure import gpus, visible_gpus
from bench.measure.engines import find_engine, how_to_install
from bench.models.serving.engines import ENGINES, dtype_flag, server_flags
from bench.models.serving.settings import ServingSettings, words
from bench.paths import hub_cache
from bench.schema import ModelSpec

_OF_THIS_ENVIRONMENT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONUNBUFFERED")
"""Variables that would lead another interpreter to the packages of this one."""

_CACHE_INSIDE = "/hub"
"""Where a container sees the hub cache of this machine."""


class Launch(NamedTuple):
    """What starts a server, and what ends what a kill does not end."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    cleanup: tuple[str, ...]
    dtype: str


def launch(
    spec: ModelSpec, settings: ServingSettings, bounds: Mapping[str, int], port: int
) -> Launch:
    """The command for the server of ``spec`` on ``port``.

    Raises:
        EnvironmentProblem: nothing that has the engine is known, or there is no program for containers.
    """
    on_gpu = runs_on_gpu(spec)
    flags = server_flags(spec, settings, bounds, on_gpu=on_gpu, port=port)
    environment = _environment(spec, settings)
    cleanup: list[str] = []
    if settings.image is not None:
        container, cleanup = _container(spec, settings, on_gpu=on_gpu)
        command = [*container, *flags]
    else:
        begin = starter(spec, settings)
        command = [*begin, *flags]
        folder = str(Path(begin[0]).parent)
        # Its environment's own programs come first: engines compile kernels with them.
        environment["PATH"] = os.pathsep.join([folder, environment.get("PATH", os.defpath)])
    return Launch(tuple(command), environment, tuple(cleanup), dtype_flag(spec, on_gpu=on_gpu))


def runs_on_gpu(spec: ModelSpec) -> bool:
    """Whether the server is to use a GPU: wherever there is one, unless the model is to run on the CPU."""
    return spec.device != "cpu" and visible_gpus() != [] and bool(gpus())


def _gpus_of(spec: ModelSpec) -> str | None:
    """The GPUs that the server may use, as ``CUDA_VISIBLE_DEVICES`` names them; None for all.

    Raises:
        EnvironmentProblem: the variable leaves fewer GPUs than the number of the one that was asked for.
    """
    number, visible = spec.device.partition(":")[2], visible_gpus()
    if visible is None:
        return number or None
    if not number:
        return ",".join(visible)
    if int(number) >= len(visible):
        raise EnvironmentProblem(
            f"model {spec.name}: device {spec.device} does not exist: CUDA_VISIBLE_DEVICES leaves "
            f"{plural(len(visible), 'GPU')}",
            hint="--device cuda:0",
        )
    return visible[int(number)]


def starter(spec: ModelSpec, settings: ServingSettings) -> list[str]:
    """What has the engine: the words in front of its flags, except for an image.

    Raises:
        EnvironmentProblem: nothing that has the engine is known.
    """
    if settings.command is not None:
        return words(spec.name, settings.command)
    engine = ENGINES[spec.backend]
    known = find_engine(engine.package, {"python": settings.python})
    if known is None or (not known.is_interpreter and engine.executable is None):
        raise EnvironmentProblem(
            f"model {spec.name}: no interpreter with {engine.package} is known",
            hint=how_to_install(engine.package),
        )
    if not Path(known.command[0]).is_file():
        raise EnvironmentProblem(
            f"model {spec.name}: there is no interpreter {known.command[0]}, which {known.where} names",
            hint=how_to_install(engine.package),
        )
    if known.is_interpreter:
        return [*known.command, *engine.start]
    assert engine.executable is not None
    return [*known.command, *engine.executable[1:]]


def _environment(spec: ModelSpec, settings: ServingSettings) -> dict[str, str]:
    environment = {
        key: value for key, value in os.environ.items() if key not in _OF_THIS_ENVIRONMENT
    }
    environment["PYTHONUNBUFFERED"] = "1"
    if (named := _gpus_of(spec)) is not None:
        environment["CUDA_VISIBLE_DEVICES"] = named
    if settings.offline:
        environment["HF_HUB_OFFLINE"] = "1"
    return environment | settings.environment


def _container(
    spec: ModelSpec, settings: ServingSettings, *, on_gpu: bool
) -> tuple[list[str], list[str]]:
    """What runs the image, and what removes the container: a kill of the first would leave it running."""
    program = shutil.which("docker") or shutil.which("podman")
    if program is None:
        raise EnvironmentProblem(
            f"model {spec.name}: a container image is named, but neither docker nor podman is installed"
        )
    if spec.checkpoint is None or settings.image is None:
        raise InvalidInput(f"model {spec.name}: an image needs a checkpoint")
    name = f"bench-{uuid.uuid4().hex[:12]}"
    command = [program, "run", "--rm", "--name", name, "--network", "host", "--ipc", "host"]
    if on_gpu:
        named = _gpus_of(spec)
        chosen = "all" if named is None else f"device={named}"
        # Without quotes of its own, docker takes what follows a comma for another setting.
        command += ["--gpus", f'"{chosen}"' if "," in chosen else chosen]
    if (cache := hub_cache()).is_dir():
        # The image's user is not known, and so neither is the home that its cache would lie in.
        command += [
            "--volume",
            f"{cache}:{_CACHE_INSIDE}",
            "--env",
            f"HF_HUB_CACHE={_CACHE_INSIDE}",
        ]
    if Path(spec.checkpoint).is_dir():
        command += ["--volume", f"{spec.checkpoint}:{spec.checkpoint}:ro"]
    offline = {"HF_HUB_OFFLINE": "1"} if settings.offline else {}
    for key, value in (offline | settings.environment).items():
        command += ["--env", f"{key}={value}"]
    return [*command, settings.image], [program, "rm", "--force", name]
