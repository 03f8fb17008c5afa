"""lmms-eval's own Qwen2-VL loop beside the engine: same weights, pages, questions and pixel bounds.

``python benchmarks/beside_lmms_eval.py --python VENV/bin/python``, where VENV is an environment of its own
with lmms-eval 0.7.3, qwen-vl-utils, decord, and torch and transformers of this one's versions. lmms-eval is
not changed. It re-encodes every page as JPEG of quality 85, so the engine does that too (``jpeg_quality``),
or the two would see other pixels. lmms-eval takes the tokenizer's one end token; the checkpoint has no other.

Times are of answering alone: loading and imports are left out on both sides.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NEW_TOKENS = 12


def main() -> None:
    """Make the work, let both do it, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", help="interpreter of the environment that has lmms-eval")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--questions", type=int, default=4)
    parser.add_argument("--pages", type=int, default=2)
    parser.add_argument("--theirs", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.theirs is not None:
        answer_by_lmms_eval(options.theirs)
        return
    if options.python is None:
        parser.error("--python is needed")
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name), options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Both programs over the same work."""
    import torch
    from engine import make_groups, show, write_checkpoint

    from bench.models.catalog import resolve
    from bench.models.qwen_vl import QwenVL
    from bench.schema import Generation, PageGroup

    torch.set_num_threads(1)
    checkpoint = write_checkpoint(folder / "model", vocabulary=520, end_share=0.0)
    groups = [
        PageGroup(group.document, group.requests, Generation(NEW_TOKENS))
        for group in make_groups(folder, options.pages, options.questions)
    ]
    max_pixels = options.tokens * 784
    work = {
        "max_pixels": max_pixels,
        "items": [
            {"page": str(group.document.pages[0].path), "prompt": request.prompt}
            for group in groups
            for request in group.requests
        ],
    }
    (folder / "work.json").write_text(json.dumps(work), encoding="utf-8")
    subprocess.run([options.python, __file__, "--theirs", str(folder)], check=True)
    theirs = json.loads((folder / "theirs.json").read_text(encoding="utf-8"))
    settings = {"jpeg_quality": 85}
    model = QwenVL(resolve(str(checkpoint), max_pixels=max_pixels, options=settings))
    model.load()
    model.generate([PageGroup(groups[0].document, groups[0].requests[:1], Generation(2))])
    wall, processor = time.perf_counter(), time.process_time()
    texts = [output.text.strip() for output in model.generate(groups).outputs]
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    equal = sum(text == other.strip() for text, other in zip(texts, theirs["texts"], strict=True))
    show(
        f"{options.tokens} visual tokens, {options.questions} questions a page, {options.pages} pages\n"
        f"{theirs['processor']:8.2f} s processor {theirs['wall']:8.2f} s wall  lmms-eval, batch 1\n"
        f"{processor:8.2f} s processor {wall:8.2f} s wall  engine\n"
        f"{theirs['processor'] / processor:8.2f} x, {equal}/{len(texts)} answers equal"
    )


def answer_by_lmms_eval(folder: Path) -> None:
    """Runs in the other environment: nothing of this project is imported."""
    import torch

    # A torchvision built for another torch has no compiled operators; they are declared, never called.
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms(Tensor d, Tensor s, float t)", "qnms(Tensor d, Tensor s, float t)"):
        library.define(f"{operator} -> Tensor")
    from lmms_eval.api.instance import Instance
    from lmms_eval.models.simple.qwen2_vl import Qwen2_VL
    from PIL import Image

    torch.set_num_threads(1)
    work = json.loads((folder / "work.json").read_text(encoding="utf-8"))
    items = work["items"]
    model = Qwen2_VL(
        pretrained=str(folder / "model"),
        device="cpu",
        device_map="cpu",
        batch_size=1,
        max_pixels=work["max_pixels"],
    )
    model.task_dict["pages"] = {"test": items}

    def instances(count: int) -> list[Any]:
        return [
            Instance(
                request_type="generate_until",
                arguments=(
                    item["prompt"],
                    {"max_new_tokens": NEW_TOKENS},
                    lambda item: [Image.open(item["page"]).convert("RGB")],
                    index,
                    "pages",
                    "test",
                ),
                idx=0,
                metadata={"task": "pages", "doc_id": index, "repeats": 1},
            )
            for index, item in enumerate(items[:count])
        ]

    model.generate_until(instances(1))
    wall, processor = time.perf_counter(), time.process_time()
    texts = model.generate_until(instances(len(items)))
    record = {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "texts": [getattr(text, "text", text) for text in texts],
    }
    (folder / "theirs.json").write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
