"""Scores a model's outputs: extracts answers, computes every metric, and names the kind of each mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bench.asking.protocols import AnswerMode
from bench.metrics import METRICS, score_failed
from bench.metrics.extract import extract, without_thoughts
from bench.metrics.lookup import FieldIndex
from bench.metrics.metric import MetricValue
from bench.metrics.mistakes import Answered, classify
from bench.metrics.variants import score_question
from bench.schema import Output, Sample, StopReason, Task

AVERAGE_OVER: Final = "average_over"


@dataclass(frozen=True, slots=True)
class Answer:
    """One sample with a model's output for it, and what that output scores."""

    sample: Sample
    output: Output | None
    """None if the model has not been asked yet (a run in progress, or one that was killed)."""
    extracted: str
    """What was compared with the references."""
    scores: Mapping[str, MetricValue]
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


def score_answers(
    task: Task,
    outputs: Mapping[str, Output],
    document_texts: Mapping[str, str],
    mode: AnswerMode = "extract",
    *,
    mistakes: bool = True,
) -> tuple[Answer, ...]:
    """Score one model's outputs for ``task``, in the order of its samples; see ``score_models``."""
    (answers,) = score_models(task, [outputs], document_texts, mode, mistakes=mistakes)
    return answers


def score_models(
    task: Task,
    outputs: Sequence[Mapping[str, Output]],
    document_texts: Mapping[str, str],
    mode: AnswerMode = "extract",
    *,
    mistakes: bool = True,
) -> list[tuple[Answer, ...]]:
    """Score the outputs of several models for ``task``, those of each model in the order of its samples.

    The answers of all models to a question follow one another: what is worked out about its references is
    still remembered then, and equal answers are scored once.

    Args:
        task: the task, with the metrics to compute.
        outputs: of each model: sample id → output; a sample without one has not been asked yet.
        document_texts: document id → everything written on it, for the documents whose text is known.
        mode: what is scored of a text: the answer extracted from it (``extract``), the text without outer
            blanks (``strip``), or the text as it is (``raw``).
        mistakes: whether the kind of each mistake is found, which takes longer than all metrics together.
    """
    places: dict[str, list[int]] = {}
    for place, sample in enumerate(task.samples):
        places.setdefault(sample.document_id, []).append(place)
    # Most answers score the same as others, and share the mapping: it is larger than the rest of an answer.
    shared: dict[tuple[MetricValue, ...], Mapping[str, MetricValue]] = {}
    scored: list[list[Answer]] = [[] for _ in task.samples]
    for document, of_document in places.items():
        fields = field_index([task.samples[place] for place in of_document])
        text = document_texts.get(document)
        for place in of_document:
            sample = task.samples[place]
            known: dict[tuple[str, StopReason] | None, Answer] = {}
            for of_model in outputs:
                output = of_model.get(sample.id)
                said = None if output is None else (output.text, output.stop_reason)
                if said not in known:
                    answer = score_answer(task, sample, output, mode)
                    mistake = _mistake(task, answer, fields, text) if mistakes else None
                    scores = shared.setdefault(tuple(answer.scores.values()), answer.scores)
                    known[said] = replace(answer, scores=scores, mistake=mistake)
                answer = known[said]
                is_own = answer.output is output
                scored[place].append(answer if is_own else replace(answer, output=output))
    return [
        tuple(_averaged_over_groups([of_sample[model] for of_sample in scored]))
        for model in range(len(outputs))
    ]


def score_answer(
    task: Task, sample: Sample, output: Output | None, mode: AnswerMode = "extract"
) -> Answer:
    """Compute all metrics of ``task`` for one output; the kind of mistake is left open."""
    headline = task.metrics[0]
    if output is None:
        nothing = dict.fromkeys(task.metrics, MetricValue(None))
        return Answer(sample, None, "", nothing, None)
    if output.stop_reason == "error":
        worst = {name: score_failed(METRICS[name], sample.references) for name in task.metrics}
        return Answer(sample, output, "", worst, worst[headline].value)
    extracted = _answer_of(output.text, sample, mode)
    scores = {
        name: score_question(name, extracted, sample.references, sample.metadata)
        for name in task.metrics
    }
    raw = scores[headline].value
    if output.text != extracted:
        raw = score_question(headline, output.text, sample.references, sample.metadata).value
    return Answer(sample, output, extracted, scores, raw)


def _averaged_over_groups(answers: Sequence[Answer]) -> Sequence[Answer]:
    """Give every group of questions the same weight in all, where the task says over what it is averaged.

    The metadata ``average_over`` of a question names the entry that is its group, as ``field``.
    """
    if not any(AVERAGE_OVER in answer.sample.metadata for answer in answers):
        return answers
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
                name: score._replace(weight=score.weight / (totals.get((name, group)) or 1.0))
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


def field_index(samples: Sequence[Sample]) -> FieldIndex:
    """The references of all questions about one document that are texts."""
    references = {
        sample.id: [text for text in sample.references if isinstance(text, str)]
        for sample in samples
    }
    return FieldIndex(references, samples[-1].metadata.get("language"))


def _stop_reason(answer: Answer) -> StopReason:
    if answer.output is None:
        return "error"
    # Thinking that never ends is cut, even where the model itself ended it.
    is_cut = not answer.extracted and without_thoughts(answer.output.text).unanswered
    return "length" if is_cut else answer.output.stop_reason


def _mistake(
    task: Task,
    answer: Answer,
    fields: FieldIndex,
    document_text: str | None,
) -> str | None:
    sample, headline = answer.sample, task.metrics[0]
    value = answer.scores[headline].value
    perfect = 1.0 if METRICS[headline].direction == "higher" else 0.0
    if value is None or value == perfect or sample.answer_type == "description":
        return None
    return classify(
        Answered(
            answer=answer.extracted,
            references=sample.references,
            answer_type=sample.answer_type,
            stop_reason=_stop_reason(answer),
            field=sample.metadata.get("field"),
            language=sample.metadata.get("language"),
            other_fields=fields,
            own=sample.id,
            document_text=document_text,
        )
    )
