"""Takes the answer that is compared out of what a model wrote, and records every step.

Models wrap answers: "Answer: 42", "Ответ: 42", "答案：42", a code fence, a sentence before a JSON object.
Extraction only removes such wrapping and never rewrites what it keeps. Raw text and extracted answer are both
scored, so that the effect of extraction is a number and not a belief.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from bench.metrics.metric import MAX_CHARACTERS
from bench.schema import AnswerType

MAX_OBJECT_STARTS = 200
"""Opening brackets that are tried before a text counts as holding no JSON. Each try may read the whole
text."""


class Extraction(NamedTuple):
    """The answer to compare, and how it was taken out of the text."""

    answer: str
    steps: tuple[str, ...]
    """Names of the steps that changed the text, in order; empty if the raw text is the answer."""


_MARKS: Final = ("**", "__")
_COLON: Final = r"(?:\*\*|__)?\s*[:：]\s*"
_PREFIXES: Final = (
    # English
    rf"(?:the\s+)?(?:final\s+|correct\s+|short\s+)?(?:answer|response|output|result)(?:\s+is)?{_COLON}",
    r"the\s+(?:final\s+|correct\s+)?answer\s+is\s+",
    rf"a{_COLON}(?<=\s)",
    # Russian
    rf"(?:(?:итоговый|правильный|краткий|окончательный)\s+)?ответ(?:\s+на\s+вопрос)?{_COLON}",
    r"(?:итоговый\s+|правильный\s+)?ответ\s*[—–-]\s+",
    rf"результат{_COLON}",
    # Chinese
    rf"(?:最终|最後|最后|正确|正確|参考|參考)?(?:答案|回答|结果|結果)\s*(?:是|为|為)?{_COLON}",
    r"(?:最终|最后|正确)?答案\s*(?:是|为|為)\s*",
    rf"答{_COLON}",
)
_PREFIX = re.compile("|".join(_PREFIXES), re.IGNORECASE)
_FENCE = re.compile(r"```[ \t]*([\w+-]*)[ \t]*\r?\n(.*?)(?:\r?\n)?[ \t]*```", re.DOTALL)
_OPEN_FENCE = re.compile(r"\A```[ \t]*[\w+-]*[ \t]*\r?\n(.*)\Z", re.DOTALL)
_EMPHASIS = re.compile(r"\A(\*\*|__)(?!\s)([^\n]+?)(?<!\s)\1\Z")
_SPECIAL_TOKENS = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id|end)\|>|</s>")


def extract(raw: str, answer_type: AnswerType = "text") -> Extraction:
    """Take the answer out of ``raw``.

    Args:
        raw: What the model wrote.
        answer_type: A ``text`` loses prefixes, fences and emphasis. A ``json`` answer is reduced to its first
            JSON object or list. A ``description`` is only stripped.

    Returns:
        The answer and the steps that changed something: ``cut`` (the text was longer than
        ``MAX_CHARACTERS``), ``strip``, ``special_tokens``, ``prefix``, ``code_fence``, ``emphasis``,
        ``first_json``.
    """
    answer = raw[:MAX_CHARACTERS]
    steps: list[str] = [] if len(answer) == len(raw) else ["cut"]
    for name, step in _STEPS[answer_type]:
        changed = step(answer)
        if changed != answer:
            steps.append(name)
            answer = changed
    return Extraction(answer, tuple(steps))


def _strip(text: str) -> str:
    return text.strip()


def _without_special_tokens(text: str) -> str:
    return _SPECIAL_TOKENS.sub("", text).strip()


def _without_prefix(text: str) -> str:
    mark = next((mark for mark in _MARKS if text.startswith(mark)), "")
    match = _PREFIX.match(text, len(mark))
    if match is None:
        return text
    rest = text[match.end() :]
    if mark and mark not in match[0]:
        # "**Answer:** 42" ends its emphasis behind the prefix, "**Answer: 42**" behind the answer.
        if rest.startswith(mark):
            rest = rest.removeprefix(mark).lstrip()
        elif rest.endswith(mark):
            rest = rest.removesuffix(mark)
        else:
            return text
    # A prefix with nothing behind it is itself the answer ("Result:" can be a line of a form).
    return rest or text


def _without_fence(text: str) -> str:
    if not text.startswith("```"):
        return text
    match = _FENCE.match(text)
    if match is not None:
        return match.group(2).strip() if match.end() == len(text) else text
    opened = _OPEN_FENCE.match(text)
    return opened.group(1).strip() if opened is not None else text


def _without_emphasis(text: str) -> str:
    match = _EMPHASIS.match(text)
    return match.group(2) if match is not None else text


def _first_json(text: str) -> str:
    """The first JSON object of ``text``, or its first list if it holds no object outside one."""
    decoder = json.JSONDecoder()
    for count, match in enumerate(re.finditer(r"[{\[]", text)):
        if count >= MAX_OBJECT_STARTS:
            break
        try:
            value, end = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        # "[1]" in a sentence is a footnote, not an answer; a list of objects is one.
        if isinstance(value, dict) or (value and not _is_footnote(text, match.start(), end)):
            return text[match.start() : end]
    return text


def _is_footnote(text: str, start: int, end: int) -> bool:
    # "[12]" or "[1,2]" between other words.
    return end - start <= 5 and bool(text[:start].strip() or text[end:].strip())


_STEPS: Final[dict[AnswerType, tuple[tuple[str, Callable[[str], str]], ...]]] = {
    "text": (
        ("strip", _strip),
        ("special_tokens", _without_special_tokens),
        ("prefix", _without_prefix),
        ("code_fence", _without_fence),
        ("emphasis", _without_emphasis),
    ),
    "json": (
        ("strip", _strip),
        ("special_tokens", _without_special_tokens),
        ("first_json", _first_json),
    ),
    "description": (("strip", _strip), ("special_tokens", _without_special_tokens)),
}
