"""A document with its questions and answers, as tokens; no pixel is read yet.

Prompts are those of ``bench run``: the same templates, the same tokens. The target of a question is its
first reference answer and the token that ends an answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from bench.errors import InvalidInput
from bench.models.qwen_vl.processing import Processor
from bench.runner.batches import page_groups
from bench.schema import Document, Json, ModelSpec, Task
from bench.text import one_line


class Branch(NamedTuple):
    """One question with the answer that is to be learnt."""

    sample_id: str
    question: list[int]
    """Tokens from the end of the pages to the beginning of the answer."""
    answer: list[int]
    """Tokens of the answer, the end token last."""

    @property
    def length(self) -> int:
        """Tokens behind the prefix."""
        return len(self.question) + len(self.answer)


class Example(NamedTuple):
    """A document and what is asked about it."""

    document: Document
    system: str | None
    prefix: int
    """Tokens of the pages and of what the template has around them."""
    patches: int
    """Of all pages, as the vision tower takes them."""
    branches: tuple[Branch, ...]

    @property
    def length(self) -> int:
        """Tokens of the prefix and of all branches."""
        return self.prefix + sum(branch.length for branch in self.branches)


def end_token(processor: Processor, end_tokens: Sequence[int]) -> int:
    """The token that ends an answer in training: the tokenizer's own, where decoding stops at it."""
    own = processor.tokenizer.eos_token_id
    return int(own if own in end_tokens else end_tokens[0])


def read_examples(
    task: Task, spec: ModelSpec, processor: Processor, end: int, context: int
) -> list[Example]:
    """Every document of ``task`` as an example.

    Args:
        task: its samples have references.
        spec: the model that is trained.
        processor: of the model.
        end: the token that ends an answer.
        context: tokens that the model was trained to hold.

    Raises:
        InvalidInput: a page that cannot be resized, or a prompt and answer longer than ``context``.
    """
    targets = {sample.id: _target(sample.references) for sample in task.samples}
    examples = []
    for group in page_groups(task, spec):
        pages = group.document.pages
        tokens = [processor.reader.tokens(page) for page in pages]
        prefix = processor.prefix_length(tokens, group.system)
        branches = tuple(
            Branch(
                request.sample_id,
                processor.suffix(request.prompt, len(pages), group.system),
                [*processor.tokens(targets[request.sample_id]), end],
            )
            for request in group.requests
        )
        longest = prefix + max(branch.length for branch in branches)
        if longest > context:
            raise InvalidInput(
                f"{one_line(group.document.id, 80)}: pages, question and answer take {longest} tokens, "
                f"more than the model's context of {context}",
                hint="--max-pixels 1003520, or take the document out",
            )
        patches = sum(tokens) * processor.images.merge_size**2
        examples.append(Example(group.document, group.system, prefix, patches, branches))
    return examples


def _target(references: Sequence[Json]) -> str:
    """The first reference as the text that a model should write."""
    first = references[0]
    return first if isinstance(first, str) else json.dumps(first, ensure_ascii=False)
