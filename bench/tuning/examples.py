"""Documents with their questions and answers as tokens; no pixel is read yet.

The prompts are those of ``bench run``, with the same templates and the same tokens. A model learns the first
reference answer of a question, and the token that ends an answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from bench.errors import InvalidInput
from bench.metrics.page_blocks import blocks_of, markdown_of
from bench.models.qwen_vl.processing import Processor
from bench.runner.batches import page_groups
from bench.schema import Document, ModelSpec, Sample, Task
from bench.text import one_line


class ExampleBranch(NamedTuple):
    """One question, with the answer that the model learns."""

    sample_id: str
    question: list[int]
    """The tokens from the end of the pages to the beginning of the answer."""
    answer: list[int]
    """The tokens of the answer; the end token is the last of them."""

    @property
    def length(self) -> int:
        """The number of tokens behind the prefix."""
        return len(self.question) + len(self.answer)


class TrainingExample(NamedTuple):
    """A document with everything that is asked about it."""

    document: Document
    system: str | None
    prefix: int
    """The number of tokens of the pages and of the template around them."""
    patches: int
    """The number of patches of all pages, which the vision tower reads."""
    branches: tuple[ExampleBranch, ...]

    @property
    def length(self) -> int:
        """The number of tokens of the prefix and of all branches."""
        return self.prefix + sum(branch.length for branch in self.branches)


def end_token(processor: Processor, end_tokens: Sequence[int]) -> int:
    """The token that ends an answer in training: the tokenizer's own, where decoding stops at that."""
    own = processor.tokenizer.eos_token_id
    return int(own if own in end_tokens else end_tokens[0])


def read_examples(
    task: Task, spec: ModelSpec, processor: Processor, end: int, context: int
) -> list[TrainingExample]:
    """Every document of ``task`` as an example.

    Args:
        task: a task whose samples have references.
        spec: the model that is trained.
        processor: the processor of that model.
        end: the token that ends an answer.
        context: the number of tokens that the model was made for.

    Raises:
        InvalidInput: a page cannot be resized, or a prompt and its answer are longer than ``context``.
    """
    targets = {sample.id: _target(sample) for sample in task.samples}
    examples = []
    for group in page_groups(task, spec):
        pages = group.document.pages
        tokens = [processor.reader.tokens(page) for page in pages]
        prefix = processor.prefix_length(tokens, group.system)
        branches = tuple(
            ExampleBranch(
                request.sample_id,
                processor.suffix(request.prompt, len(pages), group.system),
                [*processor.tokens(targets[request.sample_id]), end],
            )
            for request in group.requests
        )
        longest = prefix + max(branch.length for branch in branches)
        if longest > context:
            raise InvalidInput(
                f"document {one_line(group.document.id, 80)} is too long: its pages, a question and the "
                f"answer take {longest} tokens, and the model's context has {context}",
                hint="make the pages smaller (--max-pixels 1003520), or take the document out",
            )
        patches = sum(tokens) * processor.images.merge_size**2
        examples.append(TrainingExample(group.document, group.system, prefix, patches, branches))
    return examples


def _target(sample: Sample) -> str:
    """The first reference, as the text that the model should write."""
    first = sample.references[0]
    if sample.answer_type == "markdown" and blocks_of(first) is None:
        raise InvalidInput(
            f"sample {one_line(sample.id, 80)} has tests in place of a transcription, so nothing can be "
            "learned from it",
            hint="train on pages whose reference is Markdown or a list of blocks",
        )
    if sample.answer_type == "markdown":
        return markdown_of(first)
    return first if isinstance(first, str) else json.dumps(first, ensure_ascii=False)
