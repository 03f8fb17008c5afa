"""Do the tests hold with the exact packages of a container image? Needs Linux, but no Docker and no GPU.

    python benchmarks/container_check.py install cu124 ENVIRONMENT    # the image's pinned packages: 6 GB
    python benchmarks/container_check.py check ENVIRONMENT            # the tests of what runs on the GPU

``install`` makes a virtual environment from ``docker/requirements-IMAGE.txt`` as the Dockerfile does, with
the test tools of ``requirements.lock`` beside them. torch comes as its CUDA build; the pretend GPU of
``tests/pretend_cuda`` stands in for the device. ``check`` runs the test files below in it and prints a row
for docs/container.md. It exits with the status of pytest.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

IMAGES = ("cu124", "gptq")

TOOLS = (
    *("pytest", "pytest-timeout", "hypothesis", "pluggy", "iniconfig", "sortedcontainers"),
    *("hatchling", "editables", "pathspec", "trove-classifiers"),
)
"""Packages of ``requirements.lock`` that no image holds: the tests' own, and what installs a checkout."""

FILES = (
    "test_pretend_cuda.py",
    "test_captures.py",
    "test_engine.py",
    "test_engine_parts.py",
    "test_engine_steps.py",
    "test_qwen_vl.py",
    "test_qwen_vl_loading.py",
    "test_quantized.py",
    "test_device_map.py",
    "test_devices.py",
    "test_bf16.py",
    "test_fit.py",
    "test_ladder.py",
    "test_measure.py",
    "test_pixels.py",
    "test_nano.py",
    "test_run_predict.py",
)
"""The tests of loading, of the engine, of devices and of memory, and the two commands' first minute."""

SOURCE_ONLY = ("defuser", "device-smi", "gptqmodel", "logbar", "pypcre", "tokenicer")
"""Packages of the gptq image that have no wheel, as in the Dockerfile."""


def install(image: str, environment: Path) -> None:
    """Make ``environment`` with the packages that ``image`` holds, and the tools that tests need."""
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    pip = [
        str(python),
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "--no-deps",
    ]
    sources = [f"--no-binary={name}" for name in SOURCE_ONLY] if image == "gptq" else []
    requirements = ROOT / "docker" / f"requirements-{image}.txt"
    subprocess.run([*pip, "--only-binary=:all:", *sources, "-r", str(requirements)], check=True)
    subprocess.run([*pip, *_pinned_tools()], check=True)
    subprocess.run([*pip, "--no-build-isolation", "-e", str(ROOT)], check=True)


def check(environment: Path) -> int:
    """Run the test files in ``environment``, print a row of the table, and return pytest's exit status."""
    python = str(environment / "bin" / "python")
    start = time.monotonic()
    tests = [str(ROOT / "tests" / name) for name in FILES]
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    minutes = (time.monotonic() - start) / 60
    print(done.stdout)
    summary = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "no output"
    counts = re.sub(r" in .*", "", summary).strip("= ")
    print(f"| {time.strftime('%Y-%m-%d')} | {_versions(python)} | {counts} | {minutes:.1f} min |")
    return done.returncode


def _pinned_tools() -> list[str]:
    """The tools with the versions of ``requirements.lock``, as pip takes them."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.strip() for line in lines if "==" in line and not line.startswith("#")]
    return [pin for pin in pins if pin.partition("==")[0] in TOOLS]


def _versions(python: str) -> str:
    """Python, torch and transformers of an environment, in words."""
    program = (
        "import platform, torch, transformers; "
        "print(f'CPython {platform.python_version()}, torch {torch.__version__}, "
        "transformers {transformers.__version__}')"
    )
    return subprocess.run(
        [python, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("install", help="make the environment of an image")
    making.add_argument("image", choices=IMAGES)
    making.add_argument("environment", type=Path)
    checking = verbs.add_parser("check", help="run the tests in an environment")
    checking.add_argument("environment", type=Path)
    options = parser.parse_args()
    if options.verb == "install":
        install(options.image, options.environment)
    else:
        sys.exit(check(options.environment))


if __name__ == "__main__":
    main()
