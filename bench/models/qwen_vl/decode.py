"""Step 5, decode: the answers of all questions in flight, a token each a step, until none is open.

Greedy: the most probable token, after the checkpoint's repetition penalty. An answer that has ended
leaves at once, so that a step computes exactly the tokens that are still wanted; one reading of the
chosen tokens is the only time in a step that the host waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.models.qwen_vl.generation import Decoding
from bench.models.qwen_vl.questions import QuestionBranch, forward

if TYPE_CHECKING:
    import torch

    from bench.models.qwen_vl.tree import Cache


def decode(
    model: Any,
    cache: Cache,
    branches: Sequence[QuestionBranch],
    logits: torch.Tensor,
    prefixes: Sequence[torch.Tensor],
    decoding: Decoding,
) -> None:
    """Answer ``branches``: fill their ``ids``, ``probabilities`` and ``ended``.

    Args:
        model: the whole model.
        cache: holds the prefixes and prompts of ``branches``.
        branches: the questions, each with a limit of at least one token.
        logits: (branches, vocabulary), for the first tokens.
        prefixes: (tokens,) of each document, which count for the repetition penalty.
        decoding: end tokens and penalty.
    """
    live = list(branches)
    seen = seen_tokens(live, prefixes, logits) if decoding.repetition_penalty != 1.0 else None
    while True:
        logits = logits.float()
        if seen is not None:
            logits = penalized(logits, seen, decoding.repetition_penalty)
        tokens = _choose(live, logits, decoding)
        keep = [index for index, branch in enumerate(live) if branch.open]
        if not keep:
            return
        if seen is not None:
            seen[list(range(len(live))), tokens] = True
            seen = seen[keep]
        live = [live[index] for index in keep]
        hidden = forward(model, cache, live, [branch.ids[-1:] for branch in live])
        logits = model.lm_head(hidden)


def penalized(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """``logits`` with the tokens of ``seen`` made less likely (Keskar et al., 2019), as ``generate`` does.

    Both are (rows, vocabulary).
    """
    import torch

    lowered = torch.where(logits < 0, logits * penalty, logits / penalty)
    return torch.where(seen, lowered, logits)


def best_tokens(logits: torch.Tensor) -> torch.Tensor:
    """(2, rows): the best token of each row of ``logits`` (rows, vocabulary), and its probability.

    Together, so that they are read at once; a float64 holds any token number exactly.
    """
    import torch

    best, token = logits.max(dim=-1)
    probability = (best - logits.logsumexp(dim=-1)).exp()
    return torch.stack([token.double(), probability.double()])


def record(branch: QuestionBranch, token: int, probability: float, decoding: Decoding) -> None:
    """Append ``token`` to the answer of ``branch``."""
    branch.ids.append(token)
    branch.probabilities.append(probability)
    # An answer whose logits are not numbers is a failure; it need not be gone on with.
    branch.ended = token in decoding.end_tokens or probability != probability
    if branch.heard is not None and probability == probability:
        branch.heard(branch.ids)


def seen_tokens(
    branches: Sequence[QuestionBranch], prefixes: Sequence[torch.Tensor], logits: torch.Tensor
) -> torch.Tensor:
    """(branches, vocabulary): which tokens come before each answer, on the device of ``logits``."""
    import torch

    seen = torch.zeros(logits.shape, dtype=torch.bool)
    for row, branch in zip(seen, branches, strict=True):
        row[prefixes[branch.document]] = True
        row[list(branch.prompt)] = True
    return seen.to(logits.device)


def _choose(live: Sequence[QuestionBranch], logits: torch.Tensor, decoding: Decoding) -> list[int]:
    """Append the best token of ``logits`` (branches, vocabulary) to every answer; returns the tokens."""
    chosen, probabilities = best_tokens(logits).tolist()
    tokens = [int(number) for number in chosen]
    for branch, token, probability in zip(live, tokens, probabilities, strict=True):
        record(branch, token, probability, decoding)
    return tokens
