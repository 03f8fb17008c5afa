"""The engine beside plain ``generate``, left-padded ``generate`` and padded rows, on the same questions.

``python benchmarks/engine.py`` writes a model of about 40 million random parameters and some pages of
text into a temporary folder, answers the same questions in each way, and prints one line a way: processor
time and wall time of the whole (reading pages included), how many times the processor time of plain
``generate`` contains it, and how many answers are token for token those of plain ``generate``. Random
weights cost what trained ones do; their answers mean nothing.

On a machine that does other work too, trust processor time. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont

from bench.models.catalog import resolve
from bench.models.qwen_vl import QwenVL
from bench.models.qwen_vl.clock import Clock
from bench.models.qwen_vl.generation import Completion, Prompted, read_decoding
from bench.models.qwen_vl.loading import locate
from bench.models.qwen_vl.prompting import Prompting
from bench.runner.batches import batched
from bench.schema import Document, Generation, PageGroup, Request
from bench.tasks.pages import read_pages
from workshop.tiny_checkpoint import write_tiny_checkpoint

WORDS = (
    "what is the total amount date number of name address company invoice page title table value",
    "shown year percent who signed letter to from department phone fax cost per unit column row",
)

Answers = dict[str, tuple[int, ...]]


class Way(NamedTuple):
    """One way to answer."""

    name: str
    batch: int
    """Questions a call."""
    options: dict[str, Any]
    generate: bool = False
    """Whether to call transformers' ``generate`` on padded rows instead of the engine."""


WAYS = (
    Way("generate, one question a call", 16, {"reference": True}),
    Way("generate, 8 padded rows", 8, {"reuse": False, "engine": "padded"}, generate=True),
    Way("padded rows, own loop", 8, {"engine": "padded"}),
    Way("engine, no page reuse", 16, {"reuse": False}),
    Way("engine, weights not packed", 16, {"packed": False}),
    Way("engine", 16, {}),
)


def main() -> None:
    """Print one table for each number of visual tokens and of questions a page."""
    options = arguments()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = write_checkpoint(folder / "model")
        for tokens in options.tokens:
            models = [
                (way, load(checkpoint, tokens * 784, options.dtype, way))
                for way in WAYS
                if chosen(way, options.ways)
            ]
            for questions in options.questions:
                pages = options.pages or max(2, 6 // questions)
                groups = make_groups(folder, pages, questions)
                show(f"\n{tokens} visual tokens, {questions} questions a page, {pages} pages")
                compare(models, groups)


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--questions", type=int, nargs="+", default=[1, 4, 10])
    parser.add_argument("--pages", type=int, help="6 at one question a page, else 2")
    parser.add_argument("--dtype", choices=["fp32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ways", nargs="+", help="beginnings of names; plain generate always runs")
    return parser.parse_args()


def chosen(way: Way, beginnings: Sequence[str] | None) -> bool:
    """Whether ``way`` was asked for."""
    return way is WAYS[0] or beginnings is None or way.name.startswith(tuple(beginnings))


def show(line: str) -> None:
    """Write a line at once, so that a long measurement is seen to run."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def compare(models: Sequence[tuple[Way, QwenVL]], groups: Sequence[PageGroup]) -> None:
    """Answer ``groups`` in every way, after a first short call each."""
    expected: Answers = {}
    baseline = 0.0
    for way, model in models:
        first = PageGroup(groups[0].document, groups[0].requests[:1], Generation(2))
        answer(way, model, [first])
        wall, processor = time.perf_counter(), time.process_time()
        found = answer(way, model, groups)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        expected, baseline = expected or found, baseline or processor
        equal = sum(found[name] == ids for name, ids in expected.items())
        show(
            f"{processor:8.2f} s processor {wall:8.2f} s wall {baseline / processor:6.2f} x "
            f"{equal:3d}/{len(expected)} equal  {way.name}"
        )


def answer(way: Way, model: QwenVL, groups: Sequence[PageGroup]) -> Answers:
    """The tokens of every answer, in calls of ``way.batch`` questions."""
    parts = model._parts
    assert parts is not None
    run: Callable[[Iterable[Prompted]], list[tuple[Any, Completion]]] = (
        (lambda documents: generate_padded(model, list(documents)))
        if way.generate
        else (lambda documents: parts.engine.answer(documents, Clock(torch.device("cpu"))))
    )
    found: Answers = {}
    for batch in batched(groups, way.batch):
        prompting = Prompting(parts.processor, parts.context, reuse=model._reuse)
        for question, one in run(prompting.documents(batch)):
            found[question.request.sample_id] = one.ids
    return found


def generate_padded(model: QwenVL, documents: Sequence[Prompted]) -> list[tuple[Any, Completion]]:
    """Rows padded on the left through ``generate`` of transformers, as peers batch."""
    parts = model._parts
    assert parts is not None
    inner, processor = parts.loaded.model, parts.processor
    decoding = read_decoding(locate(model._spec), processor.config, processor.tokenizer)
    rows = [(document, question) for document in documents for question in document.questions]
    longest = max(question.prompt_tokens for _, question in rows)
    ids = torch.full((len(rows), longest), decoding.pad_token)
    mask = torch.zeros_like(ids)
    for index, (document, question) in enumerate(rows):
        start = longest - question.prompt_tokens
        ids[index, start:] = torch.cat([document.prefix.ids, torch.tensor(question.ids)])
        mask[index, start:] = 1
    pages = [page for document, _ in rows for page in document.prefix.pages]
    output = inner.generate(
        input_ids=ids,
        attention_mask=mask,
        mm_token_type_ids=(ids == inner.config.image_token_id).int(),
        pixel_values=torch.cat([processor.reader.values(p, ids.device) for p in pages]),
        image_grid_thw=torch.tensor([(1, page.height, page.width) for page in pages]),
        max_new_tokens=max(question.limit for _, question in rows),
        do_sample=False,
        eos_token_id=list(decoding.end_tokens),
        pad_token_id=decoding.pad_token,
    )
    found = []
    for (_, question), row in zip(rows, output[:, longest:].tolist(), strict=True):
        end = next(
            (index + 1 for index, token in enumerate(row) if token in decoding.end_tokens), len(row)
        )
        found.append((question, Completion.of(row[:end], [0.0], ended=end < len(row))))
    return found


def load(checkpoint: Path, max_pixels: int, dtype: str, way: Way) -> QwenVL:
    """The checkpoint, loaded to answer in the given way."""
    model = QwenVL(
        resolve(str(checkpoint), max_pixels=max_pixels, dtype=dtype, options=way.options)
    )
    model.load()
    return model


def write_checkpoint(folder: Path, *, vocabulary: int = 4096, end_share: float = 0.08) -> Path:
    """A Qwen2-VL of about 40 million random parameters: 6 vision layers of 256, 8 text layers of 512.

    ``end_share`` of the vocabulary ends an answer: with 8 %, answers have about a dozen tokens.
    """
    import transformers

    write_tiny_checkpoint(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "vocab_size": vocabulary,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "initializer_range": 0.06,
        "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
    }
    config["vision_config"] |= {
        "depth": 6,
        "embed_dim": 256,
        "hidden_size": 512,
        "num_heads": 4,
        "mlp_ratio": 4,
        "initializer_range": 0.06,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(0)
    loaded = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.Qwen2VLForConditionalGeneration(loaded)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Sharp attention, or an answer would hardly depend on the page and the question.
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                weight.mul_(2.0)
    ends = random.Random(1).sample(range(vocabulary), round(end_share * vocabulary))
    settings = {"eos_token_id": [config["eos_token_id"], *ends], "pad_token_id": 0}
    model.generation_config = transformers.GenerationConfig(**settings)
    show(f"{sum(weight.numel() for weight in model.parameters()) / 1e6:.1f} million parameters")
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder


def make_groups(folder: Path, pages: int, questions: int) -> list[PageGroup]:
    """Pages of text, each with its questions."""
    chance = random.Random(questions)
    words = " ".join(WORDS).split()
    groups = []
    for number in range(pages):
        path = folder / f"page-{number}.png"
        if not path.is_file():
            draw_page(path, number)
        requests = tuple(
            Request(f"{number}-{index}", text, f"{text}\nAnswer using a single word or phrase.")
            for index in range(questions)
            for text in [
                " ".join(chance.choices(words, k=chance.randint(5, 16))).capitalize() + "?"
            ]
        )
        document = Document(str(number), read_pages(path))
        groups.append(PageGroup(document, requests, Generation(32)))
    return groups


def draw_page(path: Path, seed: int) -> None:
    """A page of about 1700 x 2200 pixels full of words."""
    chance = random.Random(seed)
    words = " ".join(WORDS).split()
    width, height = chance.randint(1560, 1820), chance.randint(2050, 2320)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=26)
    for top in range(100, height - 120, 40):
        line = " ".join(chance.choice((*words, str(chance.randint(1, 99999)))) for _ in range(13))
        draw.text((120, top), line, fill=(chance.randint(0, 80),) * 3, font=font)
    image.save(path)


if __name__ == "__main__":
    main()
