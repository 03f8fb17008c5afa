"""What a client is told of a job: the reply of the service's own API, and the label that an answer names."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

from bench.formatting import plural
from bench.schema import Output
from bench.service.jobs import ServiceJob
from bench.service.refusals import without_paths


def job_reply(job: ServiceJob, position: int | None = None) -> dict[str, Any]:
    """The reply about a job; ``position`` is its place in the queue while it waits."""
    reply: dict[str, Any] = {"id": job.id, "status": job.status}
    if position is not None:
        reply["position"] = position
    if job.output is not None:
        reply["output"] = _output(job, job.output)
    return reply


def failure_message(output: Output) -> str:
    """Why there is no answer, without any path of this machine."""
    return without_paths(output.error or "the model gave no answer")


def _output(job: ServiceJob, output: Output) -> dict[str, Any]:
    if output.stop_reason == "error":
        return {"status": "error", "message": failure_message(output), "data": None}
    data: dict[str, Any] = {
        "text": output.text,
        "stop_reason": output.stop_reason,
        "pages": len(job.question.pages),
        "prompt_tokens": output.prompt_tokens,
        "visual_tokens": output.visual_tokens,
        "generated_tokens": output.generated_tokens,
        "confidence": output.confidence,
        "min_confidence": output.min_confidence,
        "seconds": job.seconds,
    }
    message = "The answer is complete." if output.text.strip() else "The answer is empty."
    if output.stop_reason == "length":
        tokens = plural(job.question.max_new_tokens, "token")
        message = f"The answer was cut at {tokens}, which max_new_tokens allows."
    if not job.question.labels:
        return {"status": "success", "message": message, "data": data}
    choice = chosen_label(output, job.question.labels)
    if choice is None:
        message = "The model's answer is none of the labels."
        return {"status": "error", "message": message, "data": data}
    data |= {"label": choice.label, "probability": choice.probability}
    return {"status": "success", "message": "The answer is one of the labels.", "data": data}


class LabelChoice(NamedTuple):
    """The label that an answer names."""

    label: str
    probability: float | None
    """Of all answers that the model could have written, the probability of the one that it wrote: the product
    of the probabilities of its tokens, the end token included. None if the backend does not tell them."""


def chosen_label(output: Output, labels: Sequence[str]) -> LabelChoice | None:
    """The one of ``labels`` that the answer is, or the only one that stands in it; None if there is none."""
    answer = plain(output.text)
    named = [label for label in labels if plain(label) == answer]
    if not named:
        named = [label for label in labels if f" {plain(label)} " in f" {answer} "]
        # "invoice" stands in "invoice copy" as well: the longer label says more.
        named = [
            label
            for label in named
            if not any(
                f" {plain(label)} " in f" {plain(other)} " for other in named if other != label
            )
        ]
    if len(named) != 1:
        return None
    probability = None
    if output.tokens:
        probability = math.exp(sum(token.logprob for token in output.tokens))
    return LabelChoice(named[0], probability)


def plain(text: str) -> str:
    """The words of a label or an answer, in lower case and without punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(letter if letter.isalnum() else " " for letter in folded)
    return " ".join(kept.split())


def classification_prompt(labels: Sequence[str], prompt: str | None) -> str:
    """The question of which label a document has; ``prompt`` replaces its first sentence."""
    question = prompt or "What kind of document is this?"
    return f"{question}\nAnswer with one of these labels and nothing else: {'; '.join(labels)}."
