"""What this machine has for the harness, and the command that installs or repairs what it lacks.

Nothing heavy is imported: packages are looked up by their metadata, and GPUs are asked through the driver.
Only where the driver sees a GPU, another process asks torch whether it can use it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import bench
from bench.errors import EnvironmentProblem, install_command
from bench.formatting import gib, listed, plural
from bench.measure.engines import KnownEngine, engine_version, find_engine, how_to_install
from bench.measure.environment import gpus, visible_gpus
from bench.measure.tesseract import tesseract_languages
from bench.paths import hub_cache
from bench.rundir.lock import HOLDER_FILE, has_flock
from bench.text import one_line

State = Literal["ok", "note", "missing"]

MIN_DISK_BYTES = 2**30
"""A run with page previews and a report takes less than this, unless it has many thousands of pages."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    """``ok``; ``note``: the harness works, but cannot do one thing; ``missing``: repair this first."""
    found: str
    """What is there, in a sentence or a version."""
    cure: str | None = None
    """What to type, if something can be done about it."""


def examine(results: Path, engines: Mapping[str, Mapping[str, Any]] | None = None) -> list[Check]:
    """Make every check, in the order in which a person needs the things.

    Args:
        results: the folder that runs would be written to.
        engines: the tables ``[engines.NAME]`` of a ``bench.toml``.
    """
    parts: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _gpu,
        _torch,
        _quantization,
        lambda: _disk(results),
        _hub,
        _readers,
        lambda: _engines(engines or {}),
        _synth,
    )
    return [check for part in parts for check in part()]


def _python() -> Iterator[Check]:
    yield Check("Python", "ok", ".".join(map(str, sys.version_info[:3])))


def _gpu() -> Iterator[Check]:
    seen, visible = gpus(), visible_gpus()
    slow = "so models with weights run slowly on the CPU"
    if not seen:
        cure = "install the NVIDIA driver, or start the container with --gpus all"
        yield Check("GPU", "note", f"no GPU is visible, {slow}", cure)
    elif visible == []:
        message = f"CUDA_VISIBLE_DEVICES leaves no GPU of this machine, {slow}"
        yield Check("GPU", "note", message, "unset CUDA_VISIBLE_DEVICES")
        return
    for number, gpu in enumerate(seen):
        name = "GPU" if len(seen) == 1 else f"GPU {number}"
        yield Check(name, "ok", _described(gpu))
        free, total = gpu.get("free_bytes"), gpu.get("memory_bytes")
        if free is not None and total is not None and free < total / 2:
            taken = "other processes hold more than half of its memory"
            yield Check(f"{name} memory", "note", taken, "nvidia-smi")
    if len(seen) > 1 and visible is None:
        yield _several(seen)
    elif seen and visible is not None:
        numbers = ",".join(map(str, range(len(visible))))
        chosen = one_line(",".join(visible), 60)
        left = f"CUDA_VISIBLE_DEVICES={chosen} leaves {plural(len(visible), 'GPU')}"
        yield Check("GPUs", "ok", f"{left}; in bench run: --devices {numbers}")


def _described(gpu: Mapping[str, Any]) -> str:
    """A GPU in words; what the driver does not say is left out."""
    parts = [str(gpu["name"])]
    if "free_bytes" in gpu and "memory_bytes" in gpu:
        parts.append(f"{gib(gpu['free_bytes'])} of {gib(gpu['memory_bytes'])} GiB free")
    if "driver" in gpu:
        parts.append(f"driver {gpu['driver']}")
    return ", ".join(parts)


def _several(seen: list[dict[str, Any]]) -> Check:
    numbers = ",".join(map(str, range(len(seen))))
    use = f"{plural(len(seen), 'GPU')}; bench run --devices {numbers} divides the questions among them"
    if len({(gpu["name"], gpu.get("memory_bytes")) for gpu in seen}) > 1:
        slowest = "they differ, so the run takes as long as the slowest needs"
        return Check("GPUs", "note", f"{use}; {slowest}")
    return Check("GPUs", "ok", use)


def _torch() -> Iterator[Check]:
    version = _version("torch")
    if version is None:
        message = "not installed, so only the models ocr and fake can run"
        yield Check("torch", "note", message, install_command("hf"))
        return
    # The local part of the version names the build: +cpu, +cu124; without one it is the default CUDA build.
    build = version.partition("+")[2] or "default build"
    seen = gpus() if visible_gpus() != [] else []
    if seen and build == "cpu":
        cure = "pip install --force-reinstall torch"
        yield Check("torch", "missing", f"{version} was built without GPU support", cure)
    elif seen and (obstacle := _torch_obstacle()) is not None:
        message = f"{version} ({build}) cannot use the GPU that the driver sees: {obstacle}"
        cure = f"{sys.executable} -c 'import torch; torch.zeros(1, device=\"cuda\")' shows all of the error"
        yield Check("torch", "missing", message, cure)
    else:
        yield Check("torch", "ok", f"{version} ({build})")
    if seen and _release(version) < (2, 12):
        message = (
            f"torch {version} may lack the fast attention kernel; model.json of each run says whether "
            "it was used"
        )
        yield Check("attention over runs", "note", message, "install torch 2.12 or newer")
    yield _transformers()


_TORCH_SECONDS = 90
"""Importing torch and starting CUDA takes a few seconds, and a minute on a slow network disk."""
_TRY_GPU = "import torch; torch.zeros(1, device='cuda').add_(1).item()"


def _torch_obstacle() -> str | None:
    """Why torch cannot compute on the GPU, in its own words; None if it can."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRY_GPU],
            capture_output=True,
            text=True,
            timeout=_TORCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it did not answer within {_TORCH_SECONDS} seconds"
    except OSError as error:
        return one_line(str(error))
    if done.returncode == 0:
        return None
    last = done.stderr.strip().rpartition("\n")[2]
    return one_line(last) or f"the process ended with status {done.returncode}"


def _transformers() -> Check:
    version = _version("transformers")
    if version is None:
        return Check("transformers", "missing", "not installed", install_command("hf"))
    if int(version.split(".")[0]) < 5:
        cure = "pip install --upgrade 'transformers>=5'"
        return Check(
            "transformers", "missing", f"{version}, but version 5 or newer is needed", cure
        )
    without = "" if _version("torchvision") else "; no torchvision, which some families need"
    return Check("transformers", "ok", version + without)


def _quantization() -> Iterator[Check]:
    torch = _version("torch")
    if torch is None:
        return
    # The packages of the extra do not install beside an older torch.
    gptq = install_command("gptq") if _release(torch) >= (2, 8) else _GPTQ_IMAGE
    for package, what, cure in (
        ("bitsandbytes", "NF4 and INT8 at load time", install_command("nf4")),
        ("gptqmodel", "GPTQ and AWQ checkpoints", gptq),
        ("peft", "LoRA adapters", install_command("hf")),
    ):
        version = _version(package)
        if version is None:
            yield Check(package, "note", f"not installed, so this cannot be used: {what}", cure)
        elif package == "gptqmodel" and (conflict := _gptq_conflict()) is not None:
            yield conflict
        else:
            yield Check(package, "ok", f"{version} ({what})")


_GPTQ_IMAGE = "docker build --target gptq -f docker/Dockerfile-cu124 ."


def _gptq_conflict() -> Check | None:
    """Why the installed gptqmodel does not work with the other packages; None if it should work.

    What each version asks for was read from its metadata; see docs/container.md, "Why these versions".
    """
    versions = {name: _version(name) for name in ("gptqmodel", "optimum", "torch", "transformers")}
    release = {name: _release(version) for name, version in versions.items()}
    gptqmodel, library = release["gptqmodel"], release["transformers"]
    here = f"gptqmodel {versions['gptqmodel']}"
    cure = install_command("gptq")
    if gptqmodel < (7, 0) and library >= (5, 0):
        message = f"{here} cannot be imported with transformers {versions['transformers']}"
        return Check("gptqmodel", "missing", message, cure)
    if release["gptqmodel"] >= (7, 7) and release["torch"] < (2, 14, 1):
        message = f"{here} needs torch 2.14.1 or newer, but torch {versions['torch']} is installed"
        return Check("gptqmodel", "missing", message, "pip install 'gptqmodel<7.7'")
    if release["gptqmodel"] >= (7, 0) and release["torch"] < (2, 8):
        message = f"{here} needs torch 2.8 or newer, but torch {versions['torch']} is installed"
        return Check("gptqmodel", "missing", message, _GPTQ_IMAGE)
    if versions["optimum"] is None:
        message = f"{here} loads AWQ checkpoints; GPTQ checkpoints also need optimum"
        return Check("gptqmodel", "note", message, cure)
    if release["optimum"] < (2, 3):
        message = (
            f"{here}: GPTQ checkpoints were tested with optimum 2.3, but optimum "
            f"{versions['optimum']} is installed"
        )
        return Check("gptqmodel", "note", message, cure)
    return None


def _release(version: str | None) -> tuple[int, ...]:
    """The numbers of a version: (2, 13, 0) of 2.13.0+cpu; () where there is none."""
    numbers = re.match(r"\d+(?:\.\d+)*", version or "")
    return tuple(map(int, numbers[0].split("."))) if numbers is not None else ()


def _disk(results: Path) -> Iterator[Check]:
    folder = results
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        message = f"you may not write to {folder.resolve()}"
        yield Check("results", "missing", message, "bench run --out FOLDER")
        return
    free = shutil.disk_usage(folder).free
    message = f"{results}: {gib(free)} GiB free"
    if free >= MIN_DISK_BYTES:
        yield Check("results", "ok", message)
    else:
        cure = f"delete something on the disk of {folder.resolve()}"
        yield Check("results", "missing", message, cure)
    yield _lock(folder)


def _lock(folder: Path) -> Check:
    """Whether runs in ``folder`` can be kept apart by the file system itself."""
    try:
        if has_flock(folder):
            return Check("run lock", "ok", "flock works where the results go")
    except (OSError, EnvironmentProblem) as error:
        message = f"no file in {folder.resolve()} can be locked: {one_line(error, 120)}"
        return Check("run lock", "missing", message, "bench run --out FOLDER")
    message = (
        f"the file system of {folder.resolve()} has no flock, so a file ({HOLDER_FILE}) keeps a second "
        "command out of a run"
    )
    return Check("run lock", "note", message, "bench run --out FOLDER on another disk, to be safer")


def _hub() -> Iterator[Check]:
    cache = hub_cache()
    models = list(cache.glob("models--*"))
    message = f"{cache}: {plural(len(models), 'model')}"
    if os.environ.get("HF_HUB_OFFLINE"):
        message += "; HF_HUB_OFFLINE is set, so nothing is downloaded"
    if models:
        yield Check("hub cache", "ok", message)
    else:
        yield Check("hub cache", "note", message, "hf download MODEL")


def _readers() -> Iterator[Check]:
    if importlib.util.find_spec("rapidocr") and importlib.util.find_spec("onnxruntime"):
        yield Check("RapidOCR", "ok", f"{_version('rapidocr')} (Chinese, English and Russian)")
    else:
        message = "not installed, so the model ocr cannot run"
        yield Check("RapidOCR", "missing", message, install_command("ocr"))
    binary = shutil.which("tesseract")
    if binary is None:
        cure = "apt-get install tesseract-ocr tesseract-ocr-rus"
        yield Check(
            "Tesseract",
            "note",
            'not installed; only the option reader = "tesseract" of ocr needs it',
            cure,
        )
        return
    languages = _tesseract_languages(binary)
    if "rus" in languages:
        yield Check("Tesseract", "ok", f"languages {', '.join(languages)}")
    else:
        cure = "apt-get install tesseract-ocr-rus"
        message = f"installed without Russian ({', '.join(languages) or 'no language'})"
        yield Check("Tesseract", "note", message, cure)


def _tesseract_languages(binary: str) -> list[str]:
    try:
        done = subprocess.run(
            [binary, "--list-langs"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return tesseract_languages(done.stdout)


def _engines(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[Check]:
    """The engines that bench run --engine starts, each in an environment of its own; one is enough."""
    known = {package: find_engine(package, tables.get(package)) for package in _ENGINES}
    for package, name in _ENGINES.items():
        table, engine = tables.get(package, {}), known[package]
        if (other := table.get("image") or table.get("command")) is not None:
            yield Check(name, "ok", f"started by {one_line(str(other), 80)} ([engines.{package}])")
        elif engine is not None:
            yield _engine(package, name, engine)
    if not any(known.values()) and not any(tables.values()):
        package, name = next(iter(_ENGINES.items()))
        message = f"no interpreter with {name} is known, so bench run --engine cannot be used"
        yield Check(name, "note", message, how_to_install(package))


_ENGINES: Mapping[str, str] = {"vllm": "vLLM", "sglang": "SGLang"}
"""Package → name of the engine."""


def _engine(package: str, name: str, known: KnownEngine) -> Check:
    program = one_line(known.command[0], 120)
    try:
        version = engine_version(package, known)
    except LookupError as error:
        message = f"{program}, which {known.where} names, does not have it: {error}"
        return Check(name, "missing", message, how_to_install(package))
    return Check(name, "ok", f"{version} in {program} ({known.where})")


def _synth() -> Iterator[Check]:
    name = "synthetic documents"
    absent = [name for name in ("faker", "reportlab") if importlib.util.find_spec(name) is None]
    fonts = list((Path(bench.__file__).parent / "synth" / "fonts").glob("*.?tf"))
    if absent:
        yield Check(
            name,
            "note",
            f"packages not installed: {listed(absent)}",
            install_command("synth"),
        )
    elif not fonts:
        message = "the package's fonts are missing"
        yield Check(name, "missing", message, "pip install --force-reinstall docvlm-bench")
    else:
        yield Check(name, "ok", f"{plural(len(fonts), 'font')} (Latin, Cyrillic, Chinese)")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
