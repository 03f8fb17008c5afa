"""Documents in one row: each page once, and behind it its questions and answers, which do not see each other.

    ids        PPPPPPPPP qqqqaaa qqaa qqqqqaaaa PPPPPPP qqqaa
    positions  0 …     p p …     p …  p …       0 …   r r …

A token sees the prefix of its document and, up to itself, its own branch; every branch begins at the
position behind the prefix. The engine computes the same when it answers (``models/qwen_vl/tree.py``), so a
model is trained on what it will see. Only the places that predict a token of an answer get logits.

The loss of a question is the mean over its answer's tokens, the loss of a row the mean over its questions:
a question counts the same however long its answer is, and whatever else is in its row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.models.qwen_vl.pixels import PageReader
from bench.models.qwen_vl.prefix import Prefix, rope_positions
from bench.tuning.examples import ExampleBranch, TrainingExample

if TYPE_CHECKING:
    import torch

_PREFIX = -1
"""The branch number of a prefix's tokens; questions count from 0."""


class Packed(NamedTuple):
    """Tensors of one row, on the CPU."""

    ids: torch.Tensor
    """(1, tokens)."""
    positions: torch.Tensor
    """(3, 1, tokens): temporal, vertical, horizontal (mRoPE, arXiv 2409.12191, section 2.1)."""
    mask: torch.Tensor
    """(1, 1, tokens, tokens) bool: whether the token of the row sees the token of the column."""
    pixels: torch.Tensor
    """(patches, values of a patch) float32, the pages in order."""
    grid: torch.Tensor
    """(pages, 3): frames, height and width in patches."""
    places: torch.Tensor
    """(targets,): the places whose next token is learnt."""
    targets: torch.Tensor
    """(targets,): those tokens."""
    question: torch.Tensor
    """(targets,): the question in the row that each belongs to."""
    questions: int

    def inputs(self, dtype: torch.dtype) -> dict[str, Any]:
        """Arguments of the forward call of a model that computes in ``dtype``."""
        import torch

        # With four dimensions transformers passes the mask on as it is. The mask holds scores to add, because
        # every layer would turn booleans into scores of its own and keep them for the backward pass.
        scores = torch.zeros(self.mask.shape, dtype=dtype, device=self.mask.device)
        scores.masked_fill_(~self.mask, float("-inf"))
        return {
            "input_ids": self.ids,
            "position_ids": self.positions,
            "attention_mask": scores,
            "pixel_values": self.pixels,
            "image_grid_thw": self.grid,
            "logits_to_keep": self.places,
        }


def rows(
    examples: Sequence[TrainingExample], tokens: int, seed: int
) -> list[tuple[TrainingExample, ...]]:
    """Put ``examples`` into rows of at most ``tokens`` tokens, in an order drawn by ``seed``.

    A document that is longer than a row is cut, and each piece repeats its prefix. A single question that is
    longer than a row is alone in one.
    """
    pieces = [piece for example in examples for piece in _cut(example, tokens)]
    Random(f"rows/{seed}").shuffle(pieces)
    filled: list[list[TrainingExample]] = []
    room = 0
    for piece in pieces:
        if not filled or piece.length > room:
            filled.append([])
            room = tokens
        filled[-1].append(piece)
        room -= piece.length
    return [tuple(row) for row in filled]


def _cut(example: TrainingExample, tokens: int) -> Iterator[TrainingExample]:
    waiting: list[ExampleBranch] = []
    length = example.prefix
    for branch in example.branches:
        if waiting and length + branch.length > tokens:
            yield example._replace(branches=tuple(waiting))
            waiting, length = [], example.prefix
        waiting.append(branch)
        length += branch.length
    yield example._replace(branches=tuple(waiting))


def pack(
    model: Any, reader: PageReader, documents: Sequence[tuple[Prefix, Sequence[ExampleBranch]]]
) -> Packed:
    """The tensors of a row that holds ``documents``."""
    import torch

    ids: list[torch.Tensor] = []
    positions: list[torch.Tensor] = []
    owners: list[tuple[int, int, int]] = []
    places: list[int] = []
    targets: list[int] = []
    question: list[int] = []
    length = questions = 0
    for number, (prefix, branches) in enumerate(documents):
        rope = rope_positions(model, prefix)
        ids.append(prefix.ids)
        positions.append(rope)
        owners.append((number, _PREFIX, len(prefix.ids)))
        length += len(prefix.ids)
        start = int(rope.max()) + 1
        for branch in branches:
            ids.append(torch.tensor(branch.question + branch.answer))
            # Text has the same position in all three dimensions.
            positions.append(torch.arange(start, start + branch.length).expand(3, -1))
            owners.append((number, questions, branch.length))
            first = length + len(branch.question) - 1
            places += range(first, first + len(branch.answer))
            targets += branch.answer
            question += [questions] * len(branch.answer)
            length += branch.length
            questions += 1
    pages = [page for prefix, _ in documents for page in prefix.pages]
    return Packed(
        ids=torch.cat(ids).unsqueeze(0),
        positions=torch.cat(positions, dim=1).unsqueeze(1),
        mask=_visible(owners),
        pixels=torch.cat([reader.values(page, torch.device("cpu")) for page in pages]),
        grid=torch.tensor([(1, page.height, page.width) for page in pages]),
        places=torch.tensor(places),
        targets=torch.tensor(targets),
        question=torch.tensor(question),
        questions=questions,
    )


def _visible(owners: Sequence[tuple[int, int, int]]) -> torch.Tensor:
    """The mask of ``Packed`` for consecutive stretches of tokens, each a (document, branch, length)."""
    import torch

    lengths = torch.tensor([length for _, _, length in owners])
    document = torch.tensor([number for number, _, _ in owners]).repeat_interleave(lengths)
    branch = torch.tensor([number for _, number, _ in owners]).repeat_interleave(lengths)
    same_branch = (branch == _PREFIX) | (branch == branch.unsqueeze(1))
    seen = (document == document.unsqueeze(1)) & same_branch
    return seen.tril().unsqueeze(0).unsqueeze(0)


def question_losses(logits: torch.Tensor, packed: Packed) -> torch.Tensor:
    """The mean cross-entropy of each question's answer, of shape (questions,).

    ``logits`` are those of ``packed.places``, of shape (1, targets, vocabulary).
    """
    import torch

    targets = packed.targets.to(logits.device)
    question = packed.question.to(logits.device)
    losses = torch.nn.functional.cross_entropy(logits[0].float(), targets, reduction="none")
    sums = losses.new_zeros(packed.questions).index_add(0, question, losses)
    return sums / torch.bincount(question, minlength=packed.questions)


def compute_dtype(model: Any) -> torch.dtype:
    """The precision in which the model computes; its adapter may have another one."""
    dtype: torch.dtype = model.get_input_embeddings().weight.dtype
    return dtype
