"""Everything about the engine that only a GPU can tell, in one bounded run.

``python benchmarks/gpu.py`` builds Qwen2-VL-2B and 7B at their real sizes with random weights (no download)
and measures, in at most ``--minutes``:

- ``rates``: matrix products, memory and transfer of the device, by which the paper limit is computed;
- ``kernels``: attention at head size 80 (vision) and 128 by every kernel of torch, and whether the kernel
  that the engine uses agrees with the textbook;
- ``reference``, ``engine``: questions/s of plain ``generate`` and of the engine at 744, 1,240 and 4,819
  visual tokens and 1, 4 and 10 questions a page, seconds by stage, peak memory beside the predicted one;
- ``agreement``: tokens equal to those of plain ``generate`` in bf16;
- ``steps``: one step of decoding, replayed as a CUDA graph and launched;
- ``ways``: runs of keys, tree under masks, no reuse, a padded row a question; and the same questions in four
  calls, as a run asks them, with the pages of each read ahead of it or not.

It writes ``gpu.json`` and ``gpu.md``, whose tables can go into docs/performance.md as they are. What fails is
recorded with its error, and the rest goes on, in a new process where the device needs one.
Random weights cost what trained ones do; their answers mean nothing. ``--device cpu --tiny`` runs the same
code at a tiny size, to try the program itself. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

NEEDED = {
    "torch": "torch",
    "transformers": "transformers",
    "safetensors": "safetensors",
    "numpy": "numpy",
    "PIL": "pillow",
    "jinja2": "jinja2",
    "psutil": "psutil",
    "pydantic": "pydantic",
}
"""Module → package: all that this program needs beside a checkout. The other packages of the project are
not needed, and the project need not be installed."""


def missing_packages() -> list[str]:
    """Packages of ``NEEDED`` that this Python does not have."""
    return [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]


if missing := missing_packages():
    sys.exit(
        f"gpu.py needs packages that this Python lacks: {', '.join(missing)}. Where there is a network, type "
        f"'pip download --only-binary :all: -d .whl {' '.join(missing)}'. Then type 'pip install --no-index "
        f"--find-links .whl --target .site {' '.join(missing)}' here and set PYTHONPATH=.site"
    )

from bench.errors import EnvironmentProblem  # noqa: E402
from bench.models.architectures import Architecture, Vision  # noqa: E402
from bench.models.qwen_vl.device import pick_device  # noqa: E402

PACKAGES = ("torch", "transformers", "docvlm-bench", "accelerate", "flash-attn", "numpy", "pillow")
DEVICE_SECTIONS = ("rates", "kernels")
MODELS = ["qwen2-vl-2b", "qwen2-vl-7b"]
MODEL_SECTIONS = ("reference", "engine", "agreement", "steps", "ways")

NAMES = frozenset({"what", "kernel", "tokens", "questions", "way", "prefix", "documents", "width"})
"""What tells rows of a section apart."""
NOT_RUN = "not run: out of time"


class Result(NamedTuple):
    """One section about one subject."""

    subject: str
    section: str
    rows: Sequence[dict[str, Any]] = ()
    seconds: float = 0.0
    error: str | None = None
    """What ended it before its end."""


def main(given: Sequence[str] | None = None) -> None:
    """Measure section by section, then write what was found."""
    options = arguments(given)
    if options.sections is not None:
        measure(options, options.subject, options.sections.split(","))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    start = time.time()
    options.deadline = start + 60 * options.minutes
    models = ["tiny"] if options.tiny else options.models
    results: list[Result] = []
    for subject, sections in [("device", DEVICE_SECTIONS), *((m, MODEL_SECTIONS) for m in models)]:
        results += supervise(options, subject, sections)
    found = about(options) | {"seconds": round(time.time() - start)}
    report = {"about": found, "results": [result._asdict() for result in results]}
    (options.out / "gpu.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    (options.out / "gpu.md").write_text(markdown(found, results), encoding="utf-8")
    show(f"wrote {options.out / 'gpu.json'} and {options.out / 'gpu.md'}")
    if not any(result.rows or result.error in {None, NOT_RUN} for result in results):
        sys.exit(f"nothing was measured: {results[0].error}")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and tiny pages")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument(
        "--out", type=Path, default=Path("gpu"), help="folder for gpu.json and gpu.md"
    )
    # How the program calls itself.
    parser.add_argument("--subject", help=argparse.SUPPRESS)
    parser.add_argument("--sections", help=argparse.SUPPRESS)
    parser.add_argument("--deadline", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def show(line: str) -> None:
    """Write a line at once, so that a long measurement is seen to run."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# --- processes -----------------------------------------------------------------------------------


def supervise(options: argparse.Namespace, subject: str, sections: Sequence[str]) -> list[Result]:
    """Results of all ``sections`` about ``subject``; a process that dies costs the row it was at."""
    found: list[Result] = []
    while len(found) < len(sections):
        waiting = sections[len(found) :]
        left = options.deadline - time.time()
        if left <= 0:
            return found + [Result(subject, name, error=NOT_RUN) for name in waiting]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "results.jsonl"
            ended = child(options, subject, waiting, file, left)
            lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        found += assembled(subject, waiting, [json.loads(line) for line in lines], ended)
    return found


def assembled(
    subject: str, sections: Sequence[str], lines: Sequence[dict[str, Any]], ended: str | None
) -> list[Result]:
    """What a process wrote, by section; the one that it died in is over as well."""
    found: list[Result] = []
    for section in sections:
        own = [line for line in lines if line["section"] == section]
        rows = [line["row"] for line in own if "row" in line]
        over = [line for line in own if "seconds" in line]
        if over:
            found.append(Result(subject, section, rows, over[0]["seconds"], over[0]["error"]))
        else:
            return [*found, Result(subject, section, rows, error=ended or "ended early")]
    return found


def child(
    options: argparse.Namespace, subject: str, sections: Sequence[str], file: Path, left: float
) -> str | None:
    """Measure ``sections`` in a process; how it ended where it did not end well."""
    command = [sys.executable, __file__, "--device", options.device, "--subject", subject]
    command += ["--sections", ",".join(sections), "--results", str(file)]
    command += ["--deadline", str(options.deadline), *(["--tiny"] if options.tiny else [])]
    try:
        # A little more than is left: a process that keeps the deadline itself loses nothing.
        done = subprocess.run(command, check=False, timeout=left + 15)
    except subprocess.TimeoutExpired:
        return "stopped: out of time"
    return f"the process ended with code {done.returncode}" if done.returncode else None


def measure(options: argparse.Namespace, subject: str, sections: Sequence[str]) -> None:
    """Measure ``sections`` one after the other, and append each to the results as soon as it is over."""
    import gpu_sections as found
    import torch

    scale = found.TINY if options.tiny else found.REAL

    def write(**line: Any) -> None:
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"section": section} | line) + "\n")

    try:
        device = pick_device(options.device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
    except (EnvironmentProblem, RuntimeError) as caught:
        for section in sections:
            write(section=section, seconds=0.0, error=f"{caught}"[:400])
        return

    with tempfile.TemporaryDirectory() as name:
        section = sections[0]
        measuring = found.Measuring(
            device, scale, Path(name), options.deadline, lambda row: write(row=row)
        )
        about: Any = measuring if subject == "device" else found.Subject(subject, measuring)
        table: Any = found.DEVICE if subject == "device" else found.MODEL
        for section in sections:
            show(f"{subject}: {section}")
            start, error = time.time(), None
            try:
                table[section](about)
            except found.OutOfTime:
                error = "not finished: out of time"
            except Exception as caught:
                error = f"{type(caught).__name__}: {caught}"[:400]
            write(seconds=time.time() - start, error=error)
            if device.type == "cuda":
                # After some errors a process can no longer use the device; the next one can.
                torch.cuda.synchronize(device)


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Versions and device."""
    import torch

    found: dict[str, Any] = {"python": platform.python_version(), "minutes": options.minutes}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["device"] = platform.processor() or platform.machine()
    if options.device.startswith("cuda") and torch.cuda.is_available():
        found["cuda"], found["cudnn"] = torch.version.cuda, torch.backends.cudnn.version()
        # A GPU that was lost on the way must not cost what was measured before.
        with contextlib.suppress(RuntimeError, AssertionError):
            shape = torch.cuda.get_device_properties(options.device)
            found["device"] = f"{shape.name}, {shape.total_memory / 1e9:.0f} GB"
    return found


# --- tables --------------------------------------------------------------------------------------


def markdown(about: dict[str, Any], results: Sequence[Result]) -> str:
    """All tables, and at the end whatever did not work."""
    parts = [", ".join(f"{name} {value}" for name, value in about.items())]
    parts += [rate_table(results), kernel_table(results), throughput_table(results)]
    parts += [stage_table(results), step_table(results), way_table(results)]
    parts += [agreement_table(results), miss_table(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def rows_of(results: Sequence[Result], section: str) -> list[tuple[str, dict[str, Any]]]:
    """(subject, row) of every row of ``section`` that was measured."""
    return [
        (result.subject, row)
        for result in results
        if result.section == section
        for row in result.rows
        if "error" not in row
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table, or nothing where there are no rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(text(cell) for cell in line) + " |" for line in lines)


def text(cell: Any) -> str:
    """Three digits of a number, nothing for what is not there."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell).replace("|", "/")


def rate_table(results: Sequence[Result]) -> str:
    """What the device does at best."""
    found = [(row["what"], row["per second"] / 1e12) for _, row in rows_of(results, "rates")]
    return table(["device", "10^12 a second"], found)


def kernel_table(results: Sequence[Result]) -> str:
    """Attention by kernel, and which kernels cannot do it."""
    found = [
        (row["what"], row["tokens"], row["kernel"], row["ms"], row["TFLOP/s"])
        for _, row in rows_of(results, "kernels")
        if "ms" in row
    ]
    trials = [
        (row["what"], row["agrees with the textbook"], row["obstacle"])
        for _, row in rows_of(results, "kernels")
        if "obstacle" in row
    ]
    return "\n\n".join(
        part
        for part in (
            table(["kernel", "agrees with the textbook", "because"], trials),
            table(["attention", "tokens", "kernel", "ms", "TFLOP/s"], found),
        )
        if part
    )


def throughput_table(results: Sequence[Result]) -> str:
    """Questions/s beside the reference's and the paper limit's."""
    references = {
        (subject, row["tokens"]): row["questions/s"]
        for subject, row in rows_of(results, "reference")
    }
    found = []
    for subject, row in rows_of(results, "engine"):
        base = references.get((subject, row["tokens"]))
        practical, measured = limits_of(results, row)
        found.append(
            (
                subject,
                row["tokens"],
                row["questions"],
                base,
                row["questions/s"],
                row["questions/s"] / base if base else None,
                practical,
                row["questions/s"] / practical,
                row["questions/s"] / measured if measured else None,
                row.get("peak GB"),
                row["predicted GB"],
            )
        )
    head = ["model", "visual tokens", "questions a page", "`generate`, questions/s"]
    head += ["engine, questions/s", "ratio", "paper limit, questions/s", "share of it"]
    head += ["share of the limit by this device's rates", "peak GB", "predicted GB"]
    return table(head, found)


def limits_of(results: Sequence[Result], row: dict[str, Any]) -> tuple[float, float | None]:
    """Questions/s that paper allows: by the rates thought of, and by those measured here."""
    import gpu_sections as sections

    *shape, vision = row["architecture"]
    architecture = Architecture(*shape, Vision(*vision))
    work = (architecture, row["tokens"], row["questions"], row["answer"])
    rates = {row["what"]: row["per second"] for _, row in rows_of(results, "rates")}
    attention = [
        found["TFLOP/s"] * 1e12
        for _, found in rows_of(results, "kernels")
        if found.get("what", "").startswith("page") and found["tokens"] == 4 * row["tokens"]
    ]
    products = rates.get("product of two square matrices")
    copied = rates.get("bytes read and written by a copy")
    here = None
    if products and copied and attention:
        measured = sections.Rates(products, max(attention), copied)
        here = sections.limit(*work, measured)
    return sections.limit(*work, sections.PRACTICAL), here


def stage_table(results: Sequence[Result]) -> str:
    """Milliseconds of each stage, a page and a question."""
    rows = rows_of(results, "engine")
    stages = list(dict.fromkeys(stage for _, row in rows for stage in row["stages"]))
    found = []
    for subject, row in rows:
        asked = row["questions/s"] * row["seconds"]
        times = [1e3 * row["stages"].get(stage, 0.0) / asked for stage in stages]
        found.append((subject, row["tokens"], row["questions"], *times))
    return table(
        ["model", "visual tokens", "questions a page", *(f"{s}, ms a question" for s in stages)],
        found,
    )


def step_table(results: Sequence[Result]) -> str:
    """A step replayed beside the same step launched."""
    found: dict[tuple[Any, ...], dict[bool, float]] = {}
    for subject, row in rows_of(results, "steps"):
        key = (subject, row["prefix"], row["documents"], row["width"])
        found.setdefault(key, {})[row["replayed"]] = row["ms"]
    return table(
        ["model", "prefix", "documents", "answers each", "replayed, ms", "launched, ms"],
        [(*key, times.get(True), times.get(False)) for key, times in found.items()],
    )


def way_table(results: Sequence[Result]) -> str:
    """Questions/s and decoding of every way."""
    found = []
    for subject, row in rows_of(results, "ways"):
        decoding = row["stages"].get("decode", 0.0)
        head = (subject, row["tokens"], row["questions"], row["way"])
        found.append((*head, row["questions/s"], 1e3 * decoding, row.get("peak GB")))
    head = ["model", "visual tokens", "questions a page", "way", "questions/s", "decoding, ms"]
    return table([*head, "peak GB"], found)


def agreement_table(results: Sequence[Result]) -> str:
    """Answers equal to those of plain ``generate``."""
    found = []
    for subject, row in rows_of(results, "agreement"):
        gaps = row["logit gaps at the first other token"]
        equal = f"{row['equal answers']} of {row['answers']}"
        widest = max(gaps) if gaps else None
        found.append((subject, row["way"], equal, row["tokens before the first other one"], widest))
    head = ["model", "way", "equal answers", "tokens before the first other one"]
    return table([*head, "widest logit gap there"], found)


def miss_table(results: Sequence[Result]) -> str:
    """What did not work, or was not got to; rows with the same error together."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for result in results:
        if result.error is not None:
            found.setdefault((result.subject, result.section, result.error), [])
        for row in result.rows:
            if "error" in row:
                what = " ".join(str(v) for k, v in row.items() if k in NAMES)
                found.setdefault((result.subject, result.section, row["error"]), []).append(what)
    return table(
        ["subject", "section", "what went wrong", "where"],
        [(*key, "; ".join(places)) for key, places in found.items()],
    )


if __name__ == "__main__":
    main()
