"""From a chat completion to an output: text, counts, confidence, and what the server says beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.formatting import plural
from bench.models.model import cut_at
from bench.models.openai.client import EndpointError, Reply
from bench.schema import Output, PageGroup, Request, StopReason, TokenChoice

STOP_REASONS: Mapping[str, StopReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
}
"""The servers' words for why an answer ended → ours."""


MOST_CHARACTERS = 1_000
"""Characters of a token, at most; the longest ones of known vocabularies have 128 or 256."""


def output_of(
    reply: Reply,
    group: PageGroup,
    request: Request,
    expected_visual_tokens: int | None,
    served: str | None = None,
) -> Output:
    """The output that ``reply`` holds; ``served`` is the model that was asked for.

    Raises:
        EndpointError: it holds no answer: no choice, no text, or an end that is not an answer's.
    """
    choice = _first_choice(reply.body)
    finish = choice.get("finish_reason")
    if not isinstance(finish, str) or finish not in STOP_REASONS:
        raise EndpointError(
            f"the endpoint ended the answer with finish_reason {str(finish)[:40]!r}"
        )
    text = _text(choice.get("message"))
    most = MOST_CHARACTERS * group.generation.max_new_tokens
    if len(text) > most:
        raise EndpointError(
            f"the endpoint's answer has {len(text):,} characters, too many for the "
            f"{plural(group.generation.max_new_tokens, 'token')} that it may have"
        )
    text, cut = cut_at(text, group.generation.stop)
    usage = _mapping(reply.body.get("usage"))
    prompt_details = _mapping(usage.get("prompt_tokens_details"))
    prompt_tokens = _count(usage.get("prompt_tokens"))
    visual_tokens = _count(_mapping(prompt_details.get("multimodal_tokens")).get("image"))
    probabilities = _probabilities(choice.get("logprobs"))
    mean = sum(probabilities) / len(probabilities) if probabilities else None
    fingerprint = reply.body.get("system_fingerprint")
    facts: dict[str, Any] = {
        "finish_reason": finish,
        "cached_tokens": _count(prompt_details.get("cached_tokens")),
        "system_fingerprint": fingerprint if isinstance(fingerprint, str) else None,
        "model": _other_model(reply.body.get("model"), served),
        "attempts": reply.attempts,
        "seconds": reply.seconds,
        "lost_seconds": reply.lost_seconds,
        "waited_seconds": reply.waited_seconds,
        "server_seconds": reply.server_seconds,
        "doubt": _doubt(expected_visual_tokens, visual_tokens, prompt_tokens),
    }
    return Output(
        sample_id=request.sample_id,
        text=text,
        stop_reason="stop" if cut else STOP_REASONS[finish],
        prompt_tokens=prompt_tokens,
        visual_tokens=visual_tokens,
        generated_tokens=_count(usage.get("completion_tokens")),
        confidence=mean,
        min_confidence=min(probabilities, default=None),
        served={name: fact for name, fact in facts.items() if fact is not None},
    )


def _doubt(expected: int | None, told: int | None, prompt_tokens: int | None) -> str | None:
    """Why the model did not see the pages as they were sent; None if nothing speaks for it."""
    if expected is None or expected == 0:
        return None
    if told is not None and told != expected:
        return f"the model saw {told} visual tokens, but {expected} were sent"
    if told is None and prompt_tokens is not None and prompt_tokens < expected:
        return f"the model read {prompt_tokens} tokens in all, but the pages alone have {expected}"
    return None


def _other_model(answered: Any, asked: str | None) -> str | None:
    """The model that answered, where it is called otherwise: a proxy may fall back to another one."""
    return answered if isinstance(answered, str) and asked not in {None, answered} else None


def _first_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, Mapping) and choice.get("index", 0) == 0:
            return choice
    raise EndpointError("the endpoint's answer contains no choice")


def _text(message: Any) -> str:
    content = _mapping(message).get("content")
    if isinstance(content, list):
        parts = (_mapping(part).get("text") for part in content)
        content = "".join(part for part in parts if isinstance(part, str))
    if content is None:
        return ""
    if not isinstance(content, str):
        raise EndpointError("the endpoint's answer contains no text")
    return content


def _probabilities(logprobs: Any) -> Sequence[float]:
    """The probability of every token of the answer; empty if one of them is not known."""
    tokens = _mapping(logprobs).get("content")
    if not isinstance(tokens, list) or not tokens:
        return ()
    probabilities: list[float] = []
    for token in tokens:
        logprob = _mapping(token).get("logprob")
        # Not a number is unequal to itself; ``math.isnan`` would fail at a huge whole number.
        if not isinstance(logprob, int | float) or logprob != logprob:
            return ()
        # A rounding error of the server may put it a little above 0.
        probabilities.append(math.exp(max(-1000.0, min(0.0, logprob))))
    return probabilities


def token_choices(reply: Reply) -> tuple[TokenChoice, ...] | None:
    """The tokens of the answer with their runners-up; None if the server does not tell all of them."""
    tokens = _mapping(_first_choice(reply.body).get("logprobs")).get("content")
    if not isinstance(tokens, list) or not tokens:
        return None
    choices: list[TokenChoice] = []
    for token in map(_mapping, tokens):
        chosen = _name_and_logprob(token)
        if chosen is None:
            return None
        top = token.get("top_logprobs")
        named = [_name_and_logprob(_mapping(each)) for each in top] if isinstance(top, list) else []
        others = [each for each in named if each is not None and each[0] != chosen[0]]
        runner_up = max(others, key=lambda each: each[1], default=(None, None))
        choices.append(TokenChoice(*chosen, *runner_up))
    return tuple(choices)


def _name_and_logprob(token: Mapping[str, Any]) -> tuple[str, float] | None:
    """What a token spells, and its log-probability within what a probability can have; None if unknown."""
    name, logprob = token.get("token"), token.get("logprob")
    if not isinstance(name, str) or not isinstance(logprob, int | float) or logprob != logprob:
        return None
    return name[:80], float(max(-1000.0, min(0.0, logprob)))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 2**53 else None
