"""A GPTQ-Int4 checkpoint of a Qwen-VL, made with gptqmodel and calibrated on a task.

``python benchmarks/gptq.py --model qwen2-vl-nano --task my-set-train --out nano-int4`` shows the model the
task's questions with their pages, as ``bench run`` asks them, each with its first reference answer behind it,
and lets gptqmodel round the language model's linear layers so that what they make of these changes least
(Frantar et al., 2022). The folder is a model: ``bench run --models qwen2-vl-nano,nano-int4``.

Calibrate on pages that nothing is tested on. Needs the packages of the ``gptq`` extra; docs/container.md says
which versions fit together. docs/nano.md has a result. Not a test.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

# Its loader asks for two workers, and its default on up to three processors is one.
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")

from gptqmodel import GPTQModel, QuantizeConfig
from gptqmodel.models.definitions.base_qwen2_vl import BaseQwen2VLGPTQ

from bench.models.catalog import resolve
from bench.models.footprint import local_folder
from bench.models.qwen_vl.processing import Processor
from bench.schema import ModelSpec, Task
from bench.tasks import load_task
from bench.tuning.examples import read_examples

CPU = torch.device("cpu")

SETTINGS = (
    "chat_template.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
"""What a checkpoint needs beside weights and configuration, and gptqmodel does not write."""


def main() -> None:
    """Quantize, and write the folder."""
    options = arguments()
    spec = resolve(options.model)
    folder = local_folder(spec)
    if folder is None:
        sys.exit(f"{options.model}: expected a checkpoint on this machine")
    examples = list(
        calibration(spec, folder, load_task(Path(options.task)), options.questions, options.seed)
    )
    # Its own way to inputs wants torchvision and a conversation with images; these inputs are ready.
    BaseQwen2VLGPTQ.require_load_processor = False
    BaseQwen2VLGPTQ.prepare_dataset = prepared  # type: ignore[method-assign]
    config = QuantizeConfig(bits=options.bits, group_size=options.group, desc_act=False)
    model = GPTQModel.load(str(folder), config, dtype=torch.float32, device="cpu")
    model.quantize(examples)
    model.save(str(options.out))
    for name in SETTINGS:
        if (folder / name).is_file() and not (options.out / name).exists():
            shutil.copyfile(folder / name, options.out / name)
    sys.stdout.write(f"{options.out}: calibrated on {len(examples)} questions\n")


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="qwen2-vl-nano", help="name or folder of a checkpoint")
    parser.add_argument("--task", required=True, help="folder of the task to calibrate on")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--questions", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0, help="of which questions are taken")
    parser.add_argument("--bits", type=int, default=4, choices=(4, 8))
    parser.add_argument("--group", type=int, default=128, help="weights that share a scale")
    return parser.parse_args()


def calibration(
    spec: ModelSpec, folder: Path, task: Task, questions: int, seed: int
) -> Iterator[dict[str, torch.Tensor]]:
    """The model's inputs for ``questions`` of ``task``, answers included, in an order drawn by ``seed``."""
    processor = Processor(spec, folder)
    end = int(processor.tokenizer.eos_token_id)
    examples = read_examples(task, spec, processor, end, context=1 << 20)
    asked = [(example, branch) for example in examples for branch in example.branches]
    random.Random(seed).shuffle(asked)
    for example, branch in asked[:questions]:
        pages = [processor.reader.read(page) for page in example.document.pages]
        prefix = processor.prefix(pages, example.system).ids
        ids = torch.cat([prefix, torch.tensor([*branch.question, *branch.answer])])[None]
        yield {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == processor.image_token_id).int(),
            "pixel_values": torch.cat([processor.reader.values(page, CPU) for page in pages]),
            "image_grid_thw": torch.tensor([(1, page.height, page.width) for page in pages]),
        }


def prepared(_model: Any, calibration_dataset: Sequence[Any], **_: Any) -> Sequence[Any]:
    """In place of gptqmodel's own preparation."""
    return calibration_dataset


if __name__ == "__main__":
    main()
