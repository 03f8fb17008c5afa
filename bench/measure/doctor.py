"""What this machine has for the harness, and the command that cures what it lacks.

Nothing heavy is imported: packages are looked up by their metadata, GPUs through the driver.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.errors import install_command
from bench.measure import gpus

GIB = 2**30

State = Literal["ok", "note", "missing"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    """``ok``; ``note``: works without, but something is not possible; ``missing``: mend it first."""
    found: str
    cure: str | None = None
    """What to type, where something can be done about it."""


def examine(results: Path) -> list[Check]:
    """Every check, in the order in which one needs the things.

    Args:
        results: the folder that runs would be written to.
    """
    parts: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _gpu,
        _torch,
        _quantization,
        lambda: _disk(results),
        _hub,
        _readers,
        _synth,
    )
    return [check for part in parts for check in part()]


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 11)
    yield Check(
        "Python", "ok" if fine else "missing", version, None if fine else "install Python 3.11"
    )


def _gpu() -> Iterator[Check]:
    found = gpus()
    if not found:
        cure = "install the NVIDIA driver, or start the container with --gpus all"
        yield Check("GPU", "note", "none seen: models with weights run on the CPU, slowly", cure)
    for number, gpu in enumerate(found):
        free, total = gpu["free_bytes"] / GIB, gpu["memory_bytes"] / GIB
        name = "GPU" if len(found) == 1 else f"GPU {number}"
        yield Check(
            name,
            "ok",
            f"{gpu['name']}, {free:.1f} of {total:.1f} GiB free, driver {gpu['driver']}",
        )
        if free < total / 2:
            yield Check(
                f"{name} memory", "note", "more than half is taken by other processes", "nvidia-smi"
            )
    if len(found) > 1:
        numbers = ",".join(map(str, range(len(found))))
        different = len({(gpu["name"], gpu["memory_bytes"]) for gpu in found}) > 1
        yield Check(
            "GPUs",
            "note" if different else "ok",
            f"{len(found)}: bench run --devices {numbers} divides the questions among them"
            + ("; they differ, and the slowest decides how long that takes" if different else ""),
        )


def _torch() -> Iterator[Check]:
    version = _version("torch")
    if version is None:
        cure = install_command("hf")
        yield Check("torch", "note", "not installed: only ocr and fake can run", cure)
        return
    # The local part of the version names the build: +cpu, +cu124; a plain one is the default CUDA build.
    build = version.partition("+")[2] or "default build"
    if gpus() and build == "cpu":
        cure = "pip install --force-reinstall torch"
        yield Check("torch", "missing", f"{version} cannot use the GPU that is here", cure)
    else:
        yield Check("torch", "ok", f"{version} ({build})")
    if gpus() and _release(version) < (2, 12):
        found = f"torch {version} has a kernel for it that may not do; each model's record says"
        yield Check("attention over runs", "note", found, "install torch 2.12 or newer")
    transformers = _version("transformers")
    if transformers is None:
        cure = install_command("hf")
        yield Check("transformers", "missing", "not installed", cure)
    elif int(transformers.split(".")[0]) < 5:
        cure = "pip install --upgrade 'transformers>=5'"
        yield Check(
            "transformers", "missing", f"{transformers}; version 5 or newer is needed", cure
        )
    else:
        yield Check("transformers", "ok", transformers)


def _quantization() -> Iterator[Check]:
    torch = _version("torch")
    if torch is None:
        return
    # Beside an older torch the packages of the extra cannot be had.
    gptq = install_command("gptq") if _release(torch) >= (2, 8) else _GPTQ_IMAGE
    for package, what, cure in (
        ("bitsandbytes", "NF4 and INT8 at load time", install_command("nf4")),
        ("gptqmodel", "GPTQ and AWQ checkpoints", gptq),
        ("peft", "LoRA adapters", install_command("hf")),
    ):
        version = _version(package)
        if version is None:
            yield Check(package, "note", f"not installed: no {what}", cure)
        elif package == "gptqmodel" and (conflict := _gptq_conflict()) is not None:
            yield conflict
        else:
            yield Check(package, "ok", f"{version} ({what})")


_GPTQ_IMAGE = "docker build --target gptq -f docker/Dockerfile-cu124 ."


def _gptq_conflict() -> Check | None:
    """Why gptqmodel, which is installed, does not work beside what else is; None where it should.

    What each version asks for was read from its metadata; docs/container.md, "Why these versions".
    """
    versions = {name: _version(name) for name in ("gptqmodel", "optimum", "torch", "transformers")}
    release = {name: _release(version) for name, version in versions.items()}
    found = f"gptqmodel {versions['gptqmodel']}"
    cure = install_command("gptq")
    if release["gptqmodel"] < (7, 0) and release["transformers"] >= (5, 0):
        with_ = f"transformers {versions['transformers']}"
        return Check("gptqmodel", "missing", f"{found} cannot be imported beside {with_}", cure)
    if release["gptqmodel"] >= (7, 7) and release["torch"] < (2, 14, 1):
        asks = f"{found} asks for torch 2.14.1 or newer, here is {versions['torch']}"
        return Check("gptqmodel", "missing", asks, "pip install 'gptqmodel<7.7'")
    if release["gptqmodel"] >= (7, 0) and release["torch"] < (2, 8):
        asks = f"{found} asks for torch 2.8 or newer, here is {versions['torch']}"
        return Check("gptqmodel", "missing", asks, _GPTQ_IMAGE)
    if versions["optimum"] is None:
        here = f"{found}: AWQ checkpoints load, GPTQ ones need optimum too"
        return Check("gptqmodel", "note", here, cure)
    if release["optimum"] < (2, 3):
        here = (
            f"{found}: GPTQ checkpoints were tested with optimum 2.3, here is {versions['optimum']}"
        )
        return Check("gptqmodel", "note", here, cure)
    return None


def _release(version: str | None) -> tuple[int, ...]:
    """The numbers of a version: (2, 13, 0) of 2.13.0+cpu; () where there is none."""
    found = re.match(r"\d+(?:\.\d+)*", version or "")
    return tuple(map(int, found[0].split("."))) if found is not None else ()


def _disk(results: Path) -> Iterator[Check]:
    folder = results
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if os.access(folder, os.W_OK):
        free = shutil.disk_usage(folder).free / GIB
        cure = None if free >= 1 else f"free some space on the disk of {folder.resolve()}"
        yield Check(
            "results", "ok" if free >= 1 else "missing", f"{results}: {free:.1f} GiB free", cure
        )
    else:
        yield Check(
            "results", "missing", f"{folder.resolve()} cannot be written", "bench run --out FOLDER"
        )


def _hub() -> Iterator[Check]:
    cache = Path(
        os.environ.get("HF_HUB_CACHE")
        or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub"
    )
    names = sorted(
        p.name.removeprefix("models--").replace("--", "/") for p in cache.glob("models--*")
    )
    offline = " (offline: HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    found = f"{cache}: {len(names)} model{'' if len(names) == 1 else 's'}{offline}"
    yield Check(
        "hub cache", "ok" if names else "note", found, None if names else "hf download MODEL"
    )


def _readers() -> Iterator[Check]:
    if importlib.util.find_spec("rapidocr") and importlib.util.find_spec("onnxruntime"):
        yield Check("RapidOCR", "ok", f"{_version('rapidocr')} (Chinese and English)")
    else:
        cure = install_command("ocr")
        yield Check("RapidOCR", "missing", "not installed: the ocr model cannot run", cure)
    binary = shutil.which("tesseract")
    if binary is None:
        cure = "apt-get install tesseract-ocr tesseract-ocr-rus"
        yield Check("Tesseract", "note", "not installed: ocr reads no Cyrillic", cure)
        return
    languages = _tesseract_languages(binary)
    if "rus" in languages:
        yield Check("Tesseract", "ok", f"languages {', '.join(languages)}")
    else:
        cure = "apt-get install tesseract-ocr-rus"
        yield Check("Tesseract", "note", f"has no Russian ({', '.join(languages)})", cure)


def _tesseract_languages(binary: str) -> list[str]:
    try:
        done = subprocess.run(
            [binary, "--list-langs"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines()[1:] if line.strip()]


def _synth() -> Iterator[Check]:
    packages = [name for name in ("faker", "reportlab") if importlib.util.find_spec(name) is None]
    fonts = list((Path(__file__).parent / "synth" / "fonts").glob("*.?tf"))
    if packages:
        cure = install_command("synth")
        yield Check("synthetic documents", "note", f"{' and '.join(packages)} not installed", cure)
    elif not fonts:
        yield Check(
            "synthetic documents",
            "missing",
            "the package's fonts are gone",
            "reinstall docvlm-bench",
        )
    else:
        yield Check("synthetic documents", "ok", f"{len(fonts)} fonts (Latin, Cyrillic, Chinese)")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
