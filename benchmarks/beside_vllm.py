"""The engine beside vLLM, on a CPU: same pixels, prompts, numbers, and one thread.

    python benchmarks/vllm_check.py install ENVIRONMENT     # a virtual environment with vLLM: 3.5 GB
    python benchmarks/beside_vllm.py ENVIRONMENT            # some fifteen minutes

The work is the task ``slips`` for the bundled model, and pages of 1,024 visual tokens with 1, 4 and 10
questions for a model of 41 million random parameters. Pages are scaled here before either side sees them.
vLLM runs as it is shipped, and tuned: with blocks of 32 tokens in its prefix cache instead of 128, so that
shorter pages are found in it. Each side answers everything ``--rounds`` times in a process of its own. A
pixel of each page has another colour in each round, so that no cache of an earlier round helps. The sides
take ``--turns``, because a shared machine is now faster and now slower, and the fastest turn counts. The
first round and the fastest of the others are printed in processor seconds, which a busy machine changes
least. The answers of the last round are compared as texts. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

WAYS: dict[str, dict[str, Any]] = {
    "vLLM as shipped": {},
    "vLLM, blocks of 32 tokens": {"block_size": 32},
}
"""Way → what is passed to vLLM besides precision, length and eager mode."""

SLIP, LARGE = 256 * 784, 1024 * 784
"""Pixels of the largest page of the two kinds of work: 256 and 1,024 visual tokens."""

_VLLM_PROGRAM = """
import json, sys, time
from vllm import LLM, SamplingParams

work = json.load(open(sys.argv[1], encoding="utf-8"))
started = time.process_time()
model = LLM(
    model=work["checkpoint"], dtype="float32", enforce_eager=True, max_model_len=2048,
    limit_mm_per_prompt={"image": 1, "video": 0}, seed=0, **work["options"],
)
loaded = time.process_time() - started
sampling = []
for question in work["questions"]:
    sampling.append(SamplingParams(temperature=0, max_tokens=question["limit"]))
seconds, answers = [], []
for pages in work["rounds"]:
    messages = []
    for question in work["questions"]:
        image = {"type": "image_url", "image_url": {"url": pages[question["page"]]}}
        text = {"type": "text", "text": question["prompt"]}
        content = [{"role": "user", "content": [image, text]}]
        if question["system"]:
            content.insert(0, {"role": "system", "content": question["system"]})
        messages.append(content)
    started = time.process_time()
    outputs = model.chat(messages, sampling, use_tqdm=False)
    seconds.append(time.process_time() - started)
    answers = [output.outputs[0].text for output in outputs]
json.dump({"loaded": loaded, "seconds": seconds, "answers": answers}, open(sys.argv[2], "w"))
"""


class Measured(NamedTuple):
    """What one side did."""

    name: str
    seconds: list[float]
    """Processor seconds of each round."""
    answers: list[str]


def main(arguments: Sequence[str]) -> None:
    """Measure both kinds of work, and print a table of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--questions", type=int, nargs="*", default=[1, 4, 10])
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure(options, folder, "the bundled model, slips", slips(folder, options.rounds))
        for questions in options.questions:
            title = f"41 million parameters, 1,024 visual tokens, {questions} questions a page"
            measure(options, folder, title, large_pages(folder, questions, options.rounds))


class Work(NamedTuple):
    """A checkpoint, and the documents with their questions."""

    checkpoint: Path
    rounds: Sequence[Sequence[Any]]
    """For each round the documents with their questions; only the pages' files differ."""
    batch: int
    """Questions in one call of the engine."""
    max_pixels: int
    """Bound of a page; a checkpoint's own may be lower."""


def slips(folder: Path, rounds: int) -> Work:
    """The bundled task ``slips``, on pages that are as large as the bundled model sees them."""
    from bench.models.catalog import resolve
    from bench.models.footprint import local_folder
    from bench.runner.batches import default_batch_size, page_groups
    from bench.tasks import find_task, load_task

    groups = page_groups(load_task(find_task("slips")))
    checkpoint = local_folder(resolve("qwen2-vl-nano"))
    assert checkpoint is not None
    batch = default_batch_size("cpu", groups)
    return Work(checkpoint, scaled(folder / "slips", groups, SLIP, rounds), batch, SLIP)


def large_pages(folder: Path, questions: int, rounds: int) -> Work:
    """Pages of text for a model with random weights."""
    from engine import make_groups, write_checkpoint

    from bench.runner.batches import default_batch_size

    checkpoint = folder / "model"
    if not checkpoint.is_dir():
        write_checkpoint(checkpoint)
    pages = folder / f"pages-{questions}"
    pages.mkdir()
    groups = make_groups(pages, max(2, 8 // questions), questions)
    batch = default_batch_size("cpu", groups)
    return Work(checkpoint, scaled(pages / "scaled", groups, LARGE, rounds), batch, LARGE)


def scaled(folder: Path, groups: Sequence[Any], max_pixels: int, rounds: int) -> list[list[Any]]:
    """For each round the same documents, with pages of whole patches, so that neither side scales them."""
    from dataclasses import replace

    from bench.models.pixels import smart_resize
    from bench.tasks.pages import open_page, read_pages

    folder.mkdir()
    by_round: list[list[Any]] = []
    for turn in range(rounds):
        documents = []
        for number, group in enumerate(groups):
            (page,) = group.document.pages
            image = open_page(page)
            size = smart_resize(image.height, image.width, max_pixels=max_pixels)
            image = image.resize((size.width, size.height))
            image.putpixel((0, 0), (turn, turn, turn))
            path = folder / f"{turn}-{number}.png"
            image.save(path)
            document = replace(group.document, pages=read_pages(path))
            documents.append(replace(group, document=document))
        by_round.append(documents)
    return by_round


def measure(options: argparse.Namespace, folder: Path, title: str, work: Work) -> None:
    """Let every side answer ``work``, and print a table."""
    turns: list[list[Measured]] = []
    for _ in range(options.turns):
        sides = [engine_apart(work)]
        for name, further in WAYS.items():
            sides.append(vllm(options.environment, folder, work, name, further))
        turns.append(sides)
    sides = [fastest(of_side) for of_side in zip(*turns, strict=True)]
    ours = sides[0]
    print(f"\n{title}: {len(ours.answers)} questions")
    print(
        "| | first round, s | q per processor s | best later round, s | q per processor s | equal |"
    )
    print("|---|---|---|---|---|---|")
    for side in sides:
        first, best = side.seconds
        equal = sum(one == other for one, other in zip(side.answers, ours.answers, strict=True))
        count = len(side.answers)
        print(
            f"| {side.name} | {first:.2f} | {count / first:.3g} | {best:.2f} | {count / best:.3g} "
            f"| {equal} of {count} |",
            flush=True,
        )


def fastest(turns: Sequence[Measured]) -> Measured:
    """The fastest first round and the fastest later one of a side, and its last answers."""
    first = min(turn.seconds[0] for turn in turns)
    later = min(min(turn.seconds[1:] or turn.seconds) for turn in turns)
    return Measured(turns[-1].name, [first, later], turns[-1].answers)


def engine_apart(work: Work) -> Measured:
    """The engine in a process of its own, which has compiled nothing before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(engine, work).result()


def engine(work: Work) -> Measured:
    """The engine in this process."""
    import torch

    from bench.models.catalog import resolve
    from bench.models.qwen_vl import QwenVL
    from bench.runner.batches import batched

    torch.set_num_threads(1)
    model = QwenVL(resolve(str(work.checkpoint), dtype="fp32", max_pixels=work.max_pixels))
    model.load()
    seconds: list[float] = []
    answers: dict[str, str] = {}
    for groups in work.rounds:
        model.reset()
        started = time.process_time()
        for batch in batched(groups, work.batch):
            for output in model.generate(batch).outputs:
                answers[output.sample_id] = output.text
        seconds.append(time.process_time() - started)
    ordered = [answers[r.sample_id] for group in work.rounds[-1] for r in group.requests]
    return Measured(f"engine, {work.batch} questions a call", seconds, ordered)


def vllm(
    environment: Path, folder: Path, work: Work, name: str, further: dict[str, Any]
) -> Measured:
    """Run vLLM in a process of its own environment; it is given all questions at once."""
    questions = []
    for number, group in enumerate(work.rounds[0]):
        for request in group.requests:
            limit = group.generation.max_new_tokens
            asked = {"prompt": request.prompt, "system": group.system, "limit": limit}
            questions.append({**asked, "page": number})
    given, taken = folder / "work.json", folder / "answers.json"
    record = {
        "checkpoint": str(work.checkpoint),
        "questions": questions,
        "rounds": [[_data_url(group) for group in groups] for groups in work.rounds],
        "options": {
            "mm_processor_kwargs": {"min_pixels": 3136, "max_pixels": work.max_pixels},
            **further,
        },
    }
    given.write_text(json.dumps(record), encoding="utf-8")
    settings = {
        "OMP_NUM_THREADS": "1",
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        # In one process, so that its processor time is all of it.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": "",
    }
    done = subprocess.run(
        [str(environment / "bin" / "python"), "-c", _VLLM_PROGRAM, str(given), str(taken)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"vLLM ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    result = json.loads(taken.read_text(encoding="utf-8"))
    return Measured(name, result["seconds"], result["answers"])


def _data_url(group: Any) -> str:
    data = base64.b64encode(group.document.pages[0].path.read_bytes()).decode("ascii")
    return f"data:image/png;base64,{data}"


if __name__ == "__main__":
    main(sys.argv[1:])
