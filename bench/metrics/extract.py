"""Takes the answer that is compared out of what a model wrote, and records every step.

Models wrap answers: "Answer: 42", "Ответ: 42", "答案：42", a code fence, a sentence before a JSON object.
Extraction only removes such wrapping and never rewrites what it keeps. Raw text and extracted answer are both
scored, so that the effect of extraction is a number and not a belief.

What looks like wrapping can be the answer itself: a page may read "Output: 12V". The references say so, and
then nothing is taken away. Models that think before they answer write a draft first, in which no answer is
looked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from bench.metrics.folding import plain, same_text
from bench.metrics.metric import MAX_CHARACTERS, as_json, as_text
from bench.schema import AnswerType, Json

MAX_SPELLING = 2_000
"""Longer texts are accepted as they stand or not at all: their spelling is not compared."""

MAX_JSON_READ = 2_000_000
"""Characters that are read, over all opening brackets that are tried, before a text counts as holding no
JSON."""

MIN_JSON_READ = 1_000
"""What a try counts for at least, so that 2,000 brackets are tried at most."""


class Extraction(NamedTuple):
    """The answer to compare, and how it was taken out of the text."""

    answer: str
    steps: tuple[str, ...]
    """Names of the steps that changed the text, in order; empty if the raw text is the answer."""

    @property
    def thought(self) -> bool:
        """Whether the model wrote down what it thought before it answered."""
        return THOUGHT in self.steps or OPEN_THOUGHT in self.steps

    @property
    def unanswered(self) -> bool:
        """Whether the model was still thinking when its text ended, so that it gave no answer."""
        return OPEN_THOUGHT in self.steps


THOUGHT: Final = "thought"
"""The step that drops a block of thinking."""

OPEN_THOUGHT: Final = "open_thought"
"""The step that drops a block of thinking that never ends, and with it the whole text."""

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
_FENCE: Final = "```"
_FENCE_LANGUAGE = re.compile(r"[\w+-]*")
_EMPHASIS = re.compile(r"\A(\*\*|__)(?!\s)([^\n]+?)(?<!\s)\1\Z")
_SPECIAL_TOKENS = re.compile(
    r"<\|(?:im_end|im_start|endoftext|eot_id|end|return|begin_of_box|end_of_box)\|>|</s>"
)
_ANSWER_TAGS = re.compile(r"\A<(answer|final_answer)>(.*)</\1>\Z", re.DOTALL)
_THINK_NAMES: Final = r"(?:seed:)?think(?:ing)?|thoughts?|reasoning|analysis"
_OPENING: Final = "|".join((
    rf"<(?:{_THINK_NAMES})>",
    r"◁think▷|\[THINK\]|<\|begin_of_thought\|>",
    r"<\|channel\|>analysis<\|message\|>",
))  # fmt: skip
_CLOSING: Final = "|".join((
    rf"</(?:{_THINK_NAMES})>",
    r"◁/think▷|\[/THINK\]|<\|end_of_thought\|>",
    r"<\|channel\|>final<\|message\|>",
))  # fmt: skip
_THINK_MARK = re.compile(rf"(?P<open>{_OPENING})|(?P<close>{_CLOSING})", re.IGNORECASE)
_ONLY_TOKENS = re.compile(r"(?:\s|<\|[a-z_]{1,30}\|>)*+\Z")


def extract(
    raw: str, answer_type: AnswerType = "text", references: Sequence[Json] = ()
) -> Extraction:
    """Take the answer out of ``raw``.

    Args:
        raw: What the model wrote.
        answer_type: A ``text`` loses prefixes, fences and emphasis. A ``json`` answer is reduced to its first
            JSON object or list. A ``description`` is only stripped. ``markdown`` loses a fence
            around the page.
        references: Accepted answers. If one of them looks as if it were wrapped, then such a wrapping belongs
            to the answer and stays.

    Returns:
        The answer and the steps that changed something: ``thought`` or ``open_thought``, ``cut`` (the text
        was longer than ``MAX_CHARACTERS``), ``strip``, ``special_tokens``, ``answer_tags``, ``prefix``,
        ``code_fence``, ``emphasis``, ``first_json``.
    """
    texts = [as_text(reference) for reference in references]
    if _is_accepted(raw, texts):
        return _with_the_blanks_of(texts, raw, [])
    spoken = without_thoughts(raw)
    answer, steps = spoken.answer[:MAX_CHARACTERS], list(spoken.steps)
    if len(answer) < len(spoken.answer):
        steps.append("cut")
    if answer != raw and _is_accepted(answer, texts):
        return _with_the_blanks_of(texts, answer, steps)
    for name, step in _STEPS[answer_type]:
        changed = step(answer)
        if changed == answer or _belongs_to_the_answer(name, step, answer, changed, texts):
            continue
        steps.append(name)
        answer = changed
        if _is_accepted(answer, texts):
            break
    return Extraction(answer, tuple(steps))


def without_thoughts(raw: str) -> Extraction:
    """What stands behind the last block of thinking; nothing if a block never ends.

    A chat template may have opened the block, so that the text has the closing mark alone. An opening mark
    counts where a block can begin: at the start of the text, or behind the last block.
    """
    if not _THINK_MARK.search(raw) or _is_json(raw):
        return Extraction(raw, ())
    end = 0
    for mark in _THINK_MARK.finditer(raw):
        if mark["close"]:
            end = mark.end()
    rest = raw[end:]
    opening = _THINK_MARK.search(rest)
    if opening is not None and _ONLY_TOKENS.match(rest[: opening.start()]):
        return Extraction("", (OPEN_THOUGHT,))
    return Extraction(rest, (THOUGHT,)) if end > 0 else Extraction(raw, ())


def _is_json(text: str) -> bool:
    """Whether the whole text is a JSON object, whose strings may hold any mark."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(as_json(text), dict)
    except ValueError:
        return False


def _is_accepted(answer: str, references: Sequence[str]) -> bool:
    """Whether ``answer`` is a reference but for its spelling."""
    if not references or len(answer) > MAX_SPELLING:
        return answer in references
    folded = plain(answer)
    short = [reference for reference in references if len(reference) <= MAX_SPELLING]
    return any(same_text(folded, plain(reference)) for reference in short)


def _with_the_blanks_of(references: Sequence[str], answer: str, steps: list[str]) -> Extraction:
    """An accepted answer without outer blanks, unless a reference has them too."""
    bare = answer.strip()
    if bare == answer or answer in references:
        return Extraction(answer, tuple(steps))
    return Extraction(bare, (*steps, "strip"))


def _belongs_to_the_answer(
    name: str, step: Callable[[str], str], answer: str, changed: str, references: Sequence[str]
) -> bool:
    """Whether what ``step`` would take away is also part of a reference."""
    if name not in _KEPT_IF_EXPECTED:
        return False
    taken = plain(answer[: len(answer) - len(changed)] if answer.endswith(changed) else "")
    for reference in references:
        if step(reference) == reference:
            continue
        # "Answer: Output: 12V" loses "Answer:", although the page reads "Output: 12V".
        if not taken or plain(reference).casefold().startswith(taken.casefold()):
            return True
    return False


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
    if not text.startswith(_FENCE):
        return text
    first_line, line_break, rest = text.removeprefix(_FENCE).partition("\n")
    if not line_break or _FENCE_LANGUAGE.fullmatch(first_line.strip()) is None:
        return text
    content, fence, behind = rest.partition(_FENCE)
    # More text behind the fence: the fence is a part of the answer.
    return text if fence and behind else content.strip()


def _without_emphasis(text: str) -> str:
    match = _EMPHASIS.match(text)
    return match.group(2) if match is not None else text


def _without_answer_tags(text: str) -> str:
    match = _ANSWER_TAGS.match(text)
    return match.group(2).strip() if match is not None else text


def _first_json(text: str) -> str:
    """The first JSON object of ``text``, or its first list if it holds no object outside one."""
    if text.startswith('"') and text.endswith('"') and _is_json_string(text):
        return text
    decoder = json.JSONDecoder()
    left = MAX_JSON_READ
    for match in re.finditer(r"[{\[]", text):
        if left <= 0:
            break
        try:
            value, end = decoder.raw_decode(text, match.start())
        except json.JSONDecodeError as error:
            left -= MIN_JSON_READ + error.pos - match.start()
            continue
        except (ValueError, RecursionError):
            # Numbers of thousands of digits, or thousands of brackets: neither is an answer.
            left -= MAX_JSON_READ // 20
            continue
        # "[1]" in a sentence is a footnote, not an answer; a list of objects is one.
        if isinstance(value, dict) or (value and not _is_footnote(text, match.start(), end)):
            return text[match.start() : end]
    return text


def _is_json_string(text: str) -> bool:
    try:
        return isinstance(json.loads(text), str)
    except (ValueError, RecursionError):
        return False


def _is_footnote(text: str, start: int, end: int) -> bool:
    # "[12]" or "[1,2]" between other words.
    return end - start <= 5 and bool(text[:start].strip() or text[end:].strip())


_KEPT_IF_EXPECTED: Final = frozenset({"special_tokens", "prefix", "code_fence", "emphasis"})

_STEPS: Final[dict[AnswerType, tuple[tuple[str, Callable[[str], str]], ...]]] = {
    "text": (
        ("strip", _strip),
        ("special_tokens", _without_special_tokens),
        ("answer_tags", _without_answer_tags),
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
    "markdown": (
        ("strip", _strip),
        ("special_tokens", _without_special_tokens),
        ("code_fence", _without_fence),
    ),
}
