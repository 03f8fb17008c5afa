"""Pages, questions and the reference answers of plain transformers, for the tests of the Qwen-VL backend."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from bench.schema import Document, Generation, PageGroup, Request
from bench.tasks.pages import open_page, read_pages

QUESTIONS = (
    "What is the total?",
    "Кто продавец и какая сумма к оплате по этому счёту?",
    "发票号码是什么？",
    "A",
)


def one_thread() -> Iterator[None]:
    """Body of a fixture: a model this small is slowed down by a second thread, and by waiting for it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draw_page(path: Path, width: int, height: int, seed: int) -> Path:
    """A page of coloured strokes, different for every seed."""
    rng = random.Random(seed)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        ends = [
            rng.randrange(width),
            rng.randrange(height),
            rng.randrange(width),
            rng.randrange(height),
        ]
        draw.line(ends, fill=tuple(rng.randrange(256) for _ in range(3)), width=9)
    image.save(path)
    return path


def make_document(folder: Path, name: str, sizes: Sequence[tuple[int, int]]) -> Document:
    """A document with one page for each (width, height)."""
    pages = [
        page
        for index, (width, height) in enumerate(sizes)
        for page in read_pages(
            draw_page(folder / f"{name}-{index}.png", width, height, hash_free_seed(name, index))
        )
    ]
    return Document(name, tuple(pages))


def hash_free_seed(name: str, index: int) -> int:
    """A number for a page that is the same in every process."""
    return sum(name.encode()) * 100 + index


def make_group(
    document: Document,
    questions: Sequence[str] = QUESTIONS,
    *,
    max_new_tokens: int = 24,
    stop: tuple[str, ...] = (),
    system: str | None = None,
) -> PageGroup:
    """Every question about the document."""
    requests = tuple(
        Request(f"{document.id}-{index}", question, question)
        for index, question in enumerate(questions)
    )
    return PageGroup(document, requests, Generation(max_new_tokens, stop), system)


def edit_json(path: Path, **changes: Any) -> None:
    """Set keys of the object in ``path``; a value of None removes the key."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content.update(changes)
    kept = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")


class Plain:
    """The checkpoint under plain transformers: one question at a time, through ``generate``."""

    def __init__(self, folder: Path, architecture: str) -> None:
        import torch
        import transformers

        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.images = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
        template = json.loads((folder / "chat_template.json").read_text(encoding="utf-8"))
        self.template = template["chat_template"]
        self.model = getattr(transformers, architecture).from_pretrained(
            folder, dtype=torch.float32
        )

    def answer(self, group: PageGroup, request: Request) -> tuple[str, list[float]]:
        """The answer's text and the probabilities of its tokens."""
        import torch

        content = [{"type": "image"}] * len(group.document.pages)
        messages = [
            {"role": "user", "content": [*content, {"type": "text", "text": request.prompt}]}
        ]
        text = self.tokenizer.apply_chat_template(
            messages, chat_template=self.template, tokenize=False, add_generation_prompt=True
        )
        pixels = self.images(
            images=[open_page(page) for page in group.document.pages], return_tensors="pt"
        )
        image_token = self.model.config.image_token_id
        ids: list[int] = []
        counts = iter((pixels["image_grid_thw"].prod(dim=1) // self.images.merge_size**2).tolist())
        for token in self.tokenizer(text)["input_ids"]:
            ids += [token] * (next(counts) if token == image_token else 1)
        tokens = torch.tensor([ids])
        output = self.model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            mm_token_type_ids=(tokens == image_token).int(),
            pixel_values=pixels["pixel_values"],
            image_grid_thw=pixels["image_grid_thw"],
            max_new_tokens=group.generation.max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            output_scores=True,
            return_dict_in_generate=True,
        )
        generated = output.sequences[0, len(ids) :]
        chances = [
            float(scores[0].softmax(-1)[token])
            for scores, token in zip(output.scores, generated, strict=True)
        ]
        text = self.tokenizer.decode(
            generated, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text, chances
