"""Scores a model's outputs: extracts answers, computes every metric, and names the kind of each mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bench.asking.protocols import AnswerMode
from bench.metrics import METRICS, score_failed
from bench.metrics.extract import extract, without_thoughts
from bench.metrics.lookup import FieldIndex
from bench.metrics.mistakes import Answered, classify
from bench.metrics.page_references import page_text
from bench.metrics.variants import score_question
from bench.schema import Output, Sample, Score, StopReason, Task

AVERAGE_OVER: Final = "average_over"


@dataclass(frozen=True, slots=True)
class Answer:
    """One sample with a model's output for it, and what that output scores."""

    sample: Sample
    output: Output | None
    """None if the model has not been asked yet (a run in progress, or one that was killed)."""
    extracted: str
    """What was compared with the references."""
    scores: Mapping[str, Score]
    """By metric name, computed on ``extracted``."""
    raw_headline: float | None
    """The task's headline metric on the raw text, before extraction."""
    mistake: str | None = None
    """A class of ``bench.metrics.mistakes``. None if the headline score is perfect, where there is
    none, and for descriptions, of which none is right or wrong."""

    @property
    def failed(self) -> bool:
        """Whether the model was asked and gave an error instead of an answer."""
        return self.output is not None and self.output.stop_reason == "error"

    @property
    def doubt(self) -> str | None:
        """Why the server did not see the pages as they were sent; None if nothing speaks for that."""
        served = None if self.output is None else self.output.served
        doubt = served.get("doubt") if isinstance(served, Mapping) else None
        return doubt if isinstance(doubt, str) and doubt else None


@dataclass(frozen=True, slots=True)
class Common:
    """What the models' answers to one task have in common, so that it is worked out once for all models."""

    fields: Mapping[str, FieldIndex]
    """Document id → the references of its questions that are texts."""
    scored: dict[tuple[str, str, StopReason], Answer] = field(default_factory=dict)
    """Sample id, text and end of an output → what it scores; a right answer is given by many models."""

    @classmethod
    def of(cls, task: Task) -> Common:
        """What is common to all answers to ``task``; none is scored yet."""
        return cls(fields_by_document(task))


def score_answers(
    task: Task,
    outputs: Mapping[str, Output],
    document_texts: Mapping[str, str],
    mode: AnswerMode = "extract",
    *,
    mistakes: bool = True,
    common: Common | None = None,
) -> tuple[Answer, ...]:
    """Score one model's outputs for ``task``, in the order of its samples.

    Args:
        task: the task, with the metrics to compute.
        outputs: sample id → output; a sample without one has not been asked yet.
        document_texts: document id → everything written on it, for the documents whose text is known.
        mode: what is scored of a text: the answer extracted from it (``extract``), the text without outer
            blanks (``strip``), or the text as it is (``raw``).
        mistakes: whether the kind of each mistake is found, which takes longer than all metrics together.
        common: what other models' answers to this task were scored with, by the same mode and for the same
            mistakes; None for the first model.
    """
    common = common or Common.of(task)
    answers = []
    for sample in task.samples:
        output = outputs.get(sample.id)
        key = (sample.id, output.text, output.stop_reason) if output is not None else None
        answer = common.scored.get(key) if key is not None else None
        if answer is not None:
            answers.append(replace(answer, output=output))
            continue
        answer = score_answer(task, sample, output, mode)
        if mistakes:
            answer = replace(answer, mistake=_mistake(task, answer, common.fields, document_texts))
        if key is not None:
            common.scored[key] = answer
        answers.append(answer)
    return tuple(_averaged_over_groups(answers))


def score_answer(
    task: Task, sample: Sample, output: Output | None, mode: AnswerMode = "extract"
) -> Answer:
    """Compute all metrics of ``task`` for one output; the kind of mistake is left open."""
    headline = task.metrics[0]
    if output is None:
        nothing = {name: Score(sample.id, name, None) for name in task.metrics}
        return Answer(sample, None, "", nothing, None)
    if output.stop_reason == "error":
        worst = {
            name: Score(sample.id, name, *score_failed(METRICS[name], sample.references))
            for name in task.metrics
        }
        return Answer(sample, output, "", worst, worst[headline].value)
    extracted = _answer_of(output.text, sample, mode)
    scores = {}
    for name in task.metrics:
        value, weight = score_question(name, extracted, sample.references, sample.metadata)
        scores[name] = Score(sample.id, name, value, weight, extracted)
    raw = scores[headline].value
    if output.text != extracted:
        raw = score_question(headline, output.text, sample.references, sample.metadata).value
    return Answer(sample, output, extracted, scores, raw)


def _averaged_over_groups(answers: Sequence[Answer]) -> list[Answer]:
    """Give every group of questions the same weight in all, where the task says over what it is averaged.

    The metadata ``average_over`` of a question names the entry that is its group, as ``field``.
    """
    totals: dict[tuple[str, str | None], float] = {}
    for answer in answers:
        for name, score in answer.scores.items():
            if score.value is not None:
                key = name, _group(answer.sample)
                totals[key] = totals.get(key, 0.0) + score.weight
    weighted = []
    for answer in answers:
        group = _group(answer.sample)
        if group is not None:
            scores = {
                name: replace(score, weight=score.weight / (totals.get((name, group)) or 1.0))
                for name, score in answer.scores.items()
            }
            answer = replace(answer, scores=scores)
        weighted.append(answer)
    return weighted


def _group(sample: Sample) -> str | None:
    over = sample.metadata.get(AVERAGE_OVER)
    return None if over is None else str(sample.metadata.get(over, ""))


def _answer_of(text: str, sample: Sample, mode: AnswerMode) -> str:
    # A structured answer is always looked for in the text, whatever a protocol says.
    if mode == "extract" or sample.answer_type != "text":
        return extract(text, sample.answer_type, sample.references).answer
    if text in sample.references:
        return text
    # No protocol of a benchmark scores what a model thought before it answered.
    spoken = without_thoughts(text)
    return spoken.answer.strip() if mode == "strip" or spoken.steps else spoken.answer


def fields_by_document(task: Task) -> dict[str, FieldIndex]:
    """Document id → the references of its questions that are texts."""
    by_document: dict[str, dict[str, list[str]]] = {}
    for sample in task.samples:
        texts = [reference for reference in sample.references if isinstance(reference, str)]
        by_document.setdefault(sample.document_id, {})[sample.id] = texts
    languages = {s.document_id: s.metadata.get("language") for s in task.samples}
    return {
        document: FieldIndex(references, languages[document])
        for document, references in by_document.items()
    }


def _stop_reason(answer: Answer) -> StopReason:
    if answer.output is None:
        return "error"
    # Thinking that never ends is cut, even where the model itself ended it.
    is_cut = not answer.extracted and without_thoughts(answer.output.text).unanswered
    return "length" if is_cut else answer.output.stop_reason


def _mistake(
    task: Task,
    answer: Answer,
    references: Mapping[str, FieldIndex],
    document_texts: Mapping[str, str],
) -> str | None:
    sample, headline = answer.sample, task.metrics[0]
    value = answer.scores[headline].value
    is_page = sample.answer_type == "markdown"
    perfect = 1.0 if METRICS[headline].direction == "higher" else 0.0
    if value is None or value == perfect or sample.answer_type == "description":
        return None
    return classify(
        Answered(
            answer=answer.extracted,
            references=[page_text(r) for r in sample.references] if is_page else sample.references,
            answer_type=sample.answer_type,
            stop_reason=_stop_reason(answer),
            field=sample.metadata.get("field"),
            language=sample.metadata.get("language"),
            other_fields=references[sample.document_id],
            own=sample.id,
            document_text=document_texts.get(sample.document_id),
        )
    )
