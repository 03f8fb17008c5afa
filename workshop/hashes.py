"""Writes the hashed lists of packages: for every pinned file, what the package index says its digest is.

    pip install uv
    python -m workshop.hashes

People edit ``requirements.lock`` and the lists in ``docker/``, which hold names and versions. From each of
them comes a list with the digests of all files of every release, which is what installations use. torch is
left out where its build for processors is meant: an index may have another build of the same version.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HASHED = {
    "requirements.lock": "requirements-hashed.lock",
    "docker/requirements-build.txt": "docker/requirements-build-hashed.txt",
    "docker/requirements-cpu.txt": "docker/requirements-cpu-hashed.txt",
    "docker/requirements-cu124.txt": "docker/requirements-cu124-hashed.txt",
    "docker/requirements-gptq.txt": "docker/requirements-gptq-hashed.txt",
}
"""List of names and versions → list with digests."""
WITHOUT = {"requirements.lock": ("torch",), "docker/requirements-cpu.txt": ("torch",)}
"""Packages that the hashed list leaves out."""
_HEAD = "# Made by `python -m workshop.hashes` from {name}; do not edit.\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write every hashed list anew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--uv", default=shutil.which("uv"), help="the program uv")
    chosen = parser.parse_args(arguments)
    if chosen.uv is None:
        print("error: the program uv is not here; install it: pip install uv", file=sys.stderr)
        return 3
    for name, hashed in HASHED.items():
        lines = hashed_lines(chosen.uv, ROOT / name, WITHOUT.get(name, ()))
        (ROOT / hashed).write_text(_HEAD.format(name=name) + lines, encoding="utf-8")
        print(f"{hashed} is written")
    return 0


def hashed_lines(uv: str, pinned: Path, without: Sequence[str]) -> str:
    """The requirements of ``pinned`` with their digests; the packages ``without`` are left out."""
    command = [uv, "pip", "compile", str(pinned), "--no-deps", "--generate-hashes", "--quiet"]
    # Names and digests alone: which index they came from is not recorded.
    command += ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    command += ["--python-version", "3.11"]
    for package in without:
        command += ["--no-emit-package", package]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


if __name__ == "__main__":
    sys.exit(main())
