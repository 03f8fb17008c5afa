"""Two ways of asking the same model the same questions: which answers differ, and whether scores do.

A way is an engine, a batch size, a server or a quantization. Both ways are sides of a comparison, so pairs,
intervals and documents are those of ``bench.scoring.comparison``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bench import formatting
from bench.formatting import plural
from bench.schema import Output, TokenChoice
from bench.scoring.answers import Answer
from bench.scoring.comparison import Comparison, Pairing, Side, compare
from bench.stats import PairedDifference
from bench.text import clip, printable

Agreement = Literal["passed", "differs", "undecided"]
"""``passed``: no answer differs, or the score differs by less than the margin. ``differs``: the difference of
scores is beyond the noise and reaches the margin. ``undecided``: the questions do not tell."""

MARGIN = 0.01
"""Two ways of asking whose scores differ by less are taken for the same."""

AROUND = 12
"""Characters of an answer that are shown from the first differing one on, if its tokens are not known."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where two answers part."""

    place: int
    """Number of the token, or of the character where the tokens are not known, from 0."""
    are_tokens: bool
    first: str
    """The token there, or the characters from there on; empty if the answer ended."""
    second: str
    first_logprob: float | None = None
    """Log-probability of the first side's token, as that side saw it; None if it is not known."""
    second_logprob: float | None = None
    gap: float | None = None
    """By how much a side preferred its own token to the other side's, in log-probability: the smaller of
    the two sides' gaps. None if no side tells. A gap near 0 is a tie that rounding decides."""

    def sentence(self) -> str:
        """Where the answers part, in words."""
        kind = "token" if self.are_tokens else "character"
        both = f"{_quoted(self.first)} and {_quoted(self.second)}"
        said = f"first difference at {kind} {self.place + 1}: {both}"
        if self.first_logprob is not None and self.second_logprob is not None:
            probabilities = [math.exp(self.first_logprob), math.exp(self.second_logprob)]
            said += " (probabilities {:.3f} and {:.3f})".format(*probabilities)
        if self.gap is not None:
            said += f"; the gap of log-probabilities is {formatting.significant(self.gap)}"
        return said


@dataclass(frozen=True, slots=True)
class DifferingAnswer:
    """A question to which the two ways give different texts, or one way no answer."""

    task: str
    sample_id: str
    question: str
    pages: tuple[str, ...]
    """The files of the document, each once."""
    first: str
    """The text, or the error of a failure."""
    second: str
    first_score: float | None
    second_score: float | None
    divergence: Divergence

    @property
    def in_score(self) -> bool:
        """Whether the scores differ as well."""
        return self.first_score != self.second_score


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """One task."""

    task: str
    metric: str
    answers: int
    """Questions that both ways were asked, and at least one of them answered."""
    differing: int
    """Those with different texts."""
    differing_in_score: int
    difference: PairedDifference
    """Checked way minus the other, in the metric's own unit."""
    verdict: Agreement


@dataclass(frozen=True, slots=True)
class EngineCheck:
    """Everything that ``bench check`` prints."""

    checked: str
    against: str
    margin: float
    rows: tuple[AgreementRow, ...]
    differing: tuple[DifferingAnswer, ...]
    """Those that differ in score first."""
    unpaired: int
    """Questions without an output of one of the ways."""
    failed: tuple[int, int]
    """Questions that ended in an error, by side."""

    @property
    def verdict(self) -> Agreement:
        """The worst of the rows'."""
        verdicts = {row.verdict for row in self.rows}
        if "differs" in verdicts:
            return "differs"
        return "undecided" if "undecided" in verdicts else "passed"

    def sentence(self) -> str:
        """How many answers differ, how many of them in score, and by how many points the mean does."""
        answers = sum(row.answers for row in self.rows)
        differing = len(self.differing)
        if differing == 0 and answers == 1:
            return "the only answer is the same"
        if differing == 0:
            return f"all {plural(answers, 'answer')} are the same"
        in_score = sum(row.differing_in_score for row in self.rows)
        verb = "differs" if differing == 1 else "differ"
        said = f"{differing:,} of {plural(answers, 'answer')} {verb}, {in_score:,} of them in score"
        if len(self.rows) > 1:
            return said
        gap = self.rows[0].difference
        return f"{said}: {formatting.points_with_interval(gap.difference, gap.low, gap.high)}"


def check_agreement(checked: Side, against: Side, margin: float = MARGIN) -> EngineCheck:
    """Compare the answers of one way of asking with those of another.

    Args:
        checked: the way that is doubted.
        against: the way that is trusted.
        margin: a difference of mean scores that does not matter, in the unit of the headline metric.

    Raises:
        InvalidInput: the two ways share no answered question.
    """
    comparison = compare(checked, against)
    differing = [
        answer for pairing in comparison.pairings for answer in _differing(comparison, pairing)
    ]
    differing.sort(key=lambda answer: not answer.in_score)
    rows = [_row(pairing, comparison, differing, margin) for pairing in comparison.pairings]
    pairs = [
        pair
        for pairing in comparison.pairings
        for pair in zip(pairing.first, pairing.second, strict=True)
    ]
    return EngineCheck(
        checked=checked.model,
        against=against.model,
        margin=margin,
        rows=tuple(rows),
        differing=tuple(differing),
        unpaired=sum(comparison.unpaired.values()),
        failed=(
            sum(first.failed for first, _ in pairs),
            sum(second.failed for _, second in pairs),
        ),
    )


def _row(
    pairing: Pairing,
    comparison: Comparison,
    differing: Sequence[DifferingAnswer],
    margin: float,
) -> AgreementRow:
    own = [answer for answer in differing if answer.task == pairing.task]
    (row,) = (row for row in comparison.rows if row.name == pairing.task)
    # A comparison is second minus first; here the first side is the one that is doubted.
    difference = _turned(row.difference)
    pairs = zip(pairing.first, pairing.second, strict=True)
    answers = sum(not (first.failed and second.failed) for first, second in pairs)
    return AgreementRow(
        task=pairing.task,
        metric=pairing.metric,
        answers=answers,
        differing=len(own),
        differing_in_score=sum(answer.in_score for answer in own),
        difference=difference,
        verdict=_verdict(difference, len(own), margin) if answers else "undecided",
    )


def _turned(gap: PairedDifference) -> PairedDifference:
    values = asdict(gap)
    values["difference"] = None if gap.difference is None else -gap.difference
    values["low"] = None if gap.high is None else -gap.high
    values["high"] = None if gap.low is None else -gap.low
    return PairedDifference(**values)


def _verdict(gap: PairedDifference, differing: int, margin: float) -> Agreement:
    if differing == 0:
        return "passed"
    if gap.difference is None or gap.low is None or gap.high is None:
        return "undecided"
    if -margin <= gap.low and gap.high <= margin:
        return "passed"
    is_beyond_noise = gap.low > 0 or gap.high < 0
    return "differs" if is_beyond_noise and abs(gap.difference) >= margin else "undecided"


def _differing(comparison: Comparison, pairing: Pairing) -> list[DifferingAnswer]:
    documents = comparison.first.evaluation.tasks[pairing.task].documents
    answers: list[DifferingAnswer] = []
    for first, second in zip(pairing.first, pairing.second, strict=True):
        divergence = divergence_of(first.output, second.output)
        if divergence is None:
            continue
        pages = documents[first.sample.document_id].pages
        answers.append(
            DifferingAnswer(
                task=pairing.task,
                sample_id=first.sample.id,
                question=first.sample.question,
                pages=tuple(dict.fromkeys(str(page.path) for page in pages)),
                first=_said(first),
                second=_said(second),
                first_score=first.scores[pairing.metric].value,
                second_score=second.scores[pairing.metric].value,
                divergence=divergence,
            )
        )
    return answers


def _said(answer: Answer) -> str:
    assert answer.output is not None
    return answer.output.error or "" if answer.failed else answer.output.text


def divergence_of(first: Output | None, second: Output | None) -> Divergence | None:
    """Where two outputs part; None if they are the same answer, or both are failures."""
    if first is None or second is None:
        return None
    failed = (first.stop_reason == "error", second.stop_reason == "error")
    if all(failed) or (not any(failed) and first.text == second.text):
        return None
    if any(failed):
        return Divergence(0, False, first.text[:AROUND], second.text[:AROUND])
    if first.tokens and second.tokens:
        parting = _first_differing_token(first.tokens, second.tokens)
        if parting is not None:
            return parting
    place = _first_difference(first.text, second.text)
    return Divergence(
        place, False, first.text[place : place + AROUND], second.text[place : place + AROUND]
    )


def _first_differing_token(
    first: Sequence[TokenChoice], second: Sequence[TokenChoice]
) -> Divergence | None:
    place = _first_difference([token.text for token in first], [token.text for token in second])
    one = first[place] if place < len(first) else None
    other = second[place] if place < len(second) else None
    if one is None and other is None:
        # The tokens are the same, and the texts differ in what is made of them.
        return None
    gaps = [_gap(one, other), _gap(other, one)]
    return Divergence(
        place=place,
        are_tokens=True,
        first=one.text if one else "",
        second=other.text if other else "",
        first_logprob=one.logprob if one else None,
        second_logprob=other.logprob if other else None,
        gap=min((gap for gap in gaps if gap is not None), default=None),
    )


def _gap(own: TokenChoice | None, other: TokenChoice | None) -> float | None:
    """By how much a side preferred ``own`` to the token of the other side; None if it does not tell."""
    if own is None or other is None or own.runner_up_logprob is None:
        return None
    return own.logprob - own.runner_up_logprob if own.runner_up == other.text else None


def _quoted(text: str) -> str:
    return repr(clip(printable(text), 40)) if text else "the end"


def _first_difference(first: Sequence[str], second: Sequence[str]) -> int:
    """The first place at which two sequences are not the same; the length of the shorter if it is a start."""
    pairs = enumerate(zip(first, second, strict=False))
    length = min(len(first), len(second))
    return next((place for place, (one, other) in pairs if one != other), length)


def as_json(check: EngineCheck) -> dict[str, Any]:
    """The check as plain data."""
    return {
        "checked": check.checked,
        "against": check.against,
        "margin": check.margin,
        "verdict": check.verdict,
        "sentence": check.sentence(),
        "rows": [asdict(row) for row in check.rows],
        "differing": [_answer_record(answer) for answer in check.differing],
        "unpaired": check.unpaired,
        "failed": list(check.failed),
    }


def _answer_record(answer: DifferingAnswer) -> dict[str, Any]:
    record = asdict(answer)
    record["divergence"]["sentence"] = answer.divergence.sentence()
    return record
