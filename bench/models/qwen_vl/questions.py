"""Step 4, questions: all of them packed behind their documents' prefixes, to their first tokens.

A question is everything after the pages: its text, the template's end of the user's turn, the beginning
of the assistant's. It sees its document's prefix and itself, not its neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.models.qwen_vl.cuda import upload
from bench.models.qwen_vl.generation import Completion

if TYPE_CHECKING:
    import torch

    from bench.models.qwen_vl.tree import Cache


@dataclass(slots=True)
class QuestionBranch:
    """One question and its growing answer."""

    document: int
    """Its document's row in the cache."""
    number: int
    """Among the questions in the cache that belong to its document."""
    prompt: Sequence[int]
    """The question's tokens."""
    position: int
    """Position of the next token; text has the same one in all three dimensions of mRoPE."""
    limit: int
    """Tokens that the answer may have."""
    heard: Callable[[Sequence[int]], None] | None = None
    """See ``PromptedQuestion``."""
    ids: list[int] = field(default_factory=list)
    """The answer's tokens so far."""
    probabilities: list[float] = field(default_factory=list)
    """The probability of each of ``ids``."""
    ended: bool = False
    """Whether the model has ended the answer itself."""

    @property
    def open(self) -> bool:
        """Whether the answer goes on."""
        return not self.ended and len(self.ids) < self.limit

    @property
    def answer(self) -> Completion:
        """The answer as it stands, of at least one token."""
        return Completion.of(self.ids, self.probabilities, ended=self.ended)


def ask(
    model: Any, cache: Cache, branches: Sequence[QuestionBranch], row_tokens: int
) -> torch.Tensor:
    """Run the prompts of ``branches``, ordered by document, in rows of at most ``row_tokens`` tokens.

    Returns:
        (branches, vocabulary): the logits of each answer's first token.
    """
    import torch

    logits = []
    for pack in packs(branches, row_tokens):
        prompts = [branch.prompt for branch in pack]
        # A prompt too long for a row is alone in its pack, and goes in pieces.
        while len(prompts[0]) > row_tokens:
            forward(model, cache, pack, [prompts[0][:row_tokens]])
            prompts = [prompts[0][row_tokens:]]
        logits.append(model.lm_head(forward(model, cache, pack, prompts)))
    return torch.cat(logits)


def forward(
    model: Any, cache: Cache, branches: Sequence[QuestionBranch], tokens: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Let each branch go on by its ``tokens``, all of them in one packed row.

    Returns:
        (branches, hidden size): what the language model makes of the last token of each.
    """
    import torch

    documents: list[int] = []
    numbers: list[int] = []
    positions: list[int] = []
    ids: list[int] = []
    for branch, new in zip(branches, tokens, strict=True):
        documents += [branch.document] * len(new)
        numbers += [branch.number] * len(new)
        positions += range(branch.position, branch.position + len(new))
        ids += new
        branch.position += len(new)
    index = upload(torch.tensor([ids, positions]), model.device)
    last = torch.tensor([len(new) for new in tokens]).cumsum(0) - 1
    hidden: torch.Tensor = model.model.language_model(
        inputs_embeds=model.get_input_embeddings()(index[0]).unsqueeze(0),
        position_ids=index[1].expand(3, 1, -1),
        use_cache=False,
        wanted=upload(last, model.device),
        row=cache.branches(documents, numbers),
    ).last_hidden_state
    return hidden[0]


def packs(branches: Sequence[QuestionBranch], tokens: int) -> Iterator[Sequence[QuestionBranch]]:
    """``branches`` in order, as many to a row as keep its attention within ``tokens`` places.

    Inside the attention every document of a row gets as many places as the one that asks most.
    """
    start = 0
    counts: Counter[int] = Counter()
    for index, branch in enumerate(branches):
        counts[branch.document] += len(branch.prompt)
        documents = branch.document - branches[start].document + 1
        if index > start and documents * max(counts.values()) > tokens:
            yield branches[start:index]
            start, counts = index, Counter({branch.document: len(branch.prompt)})
    if start < len(branches):
        yield branches[start:]
