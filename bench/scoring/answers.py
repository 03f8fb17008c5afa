"""Scores a model's outputs: extracts answers, computes every metric, and names the kind of each mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.metrics import METRICS, score_failed
from bench.metrics.extract import extract, without_thoughts
from bench.metrics.lookup import FieldIndex
from bench.metrics.metric import MetricValue
from bench.metrics.mistakes import Answered, classify
from bench.metrics.page_references import page_text
from bench.metrics.variants import score_question
from bench.schema import Output, Sample, StopReason, Task

if TYPE_CHECKING:
    from bench.asking.protocols import AnswerMode

AVERAGE_OVER: Final = "average_over"

PART_ANSWERS: Final = 1_000
"""Answers of a part, which take a tenth of a second; a document is never divided."""


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


class Said(NamedTuple):
    """What of an output decides its scores."""

    text: str
    stop_reason: StopReason


def held_once(extracted: str, output: Output | None) -> str:
    """``extracted``, as the object of ``output`` if the texts are equal: memory holds a text once."""
    return output.text if output is not None and output.text == extracted else extracted


class OutputScores(NamedTuple):
    """What an output scores, without the output and its sample: the last four fields of an ``Answer``."""

    extracted: str
    scores: Mapping[str, MetricValue]
    raw_headline: float | None
    mistake: str | None = None


def said_in(output: Output | None) -> Said | None:
    """What of ``output`` decides its scores; None if there is no output."""
    return None if output is None else Said(output.text, output.stop_reason)


def score_answer(
    task: Task, sample: Sample, output: Output | None, mode: AnswerMode = "extract"
) -> Answer:
    """Compute all metrics of ``task`` for one output; the kind of mistake is left open."""
    return Answer(sample, output, *_scored(task, sample, said_in(output), mode))


class ScoringPart(NamedTuple):
    """Documents of a task with what several models said about them, to be scored together."""

    task: Task
    """The task with the samples about these documents, one document after the other."""
    said: Sequence[Sequence[Said | None]]
    """For each sample: what each model said; None where it has not been asked yet."""
    document_texts: Mapping[str, str]
    """Document id → everything written on it, for the documents whose text is known."""
    mode: AnswerMode
    """What is scored of a text: the answer extracted from it (``extract``), the text without outer blanks
    (``strip``), or the text as it is (``raw``)."""
    mistakes: bool
    """Whether the kind of each mistake is found, which takes longer than all metrics together."""


def score_part(part: ScoringPart) -> list[list[OutputScores]]:
    """Score a part: for each of its samples, what each model said.

    The answers of all models to a question follow one another: what is worked out about its references is
    still remembered then, and equal answers are scored once.
    """
    task = part.task
    scored_samples = []
    rows = zip(task.samples, part.said, strict=True)
    for document, of_document in groupby(rows, key=lambda row: row[0].document_id):
        questions = list(of_document)
        fields = field_index([sample for sample, _ in questions])
        document_text = part.document_texts.get(document)
        for sample, said_by_models in questions:
            known: dict[Said | None, OutputScores] = {}
            for said in dict.fromkeys(said_by_models):
                scored = _scored(task, sample, said, part.mode)
                if part.mistakes:
                    mistake = _mistake(task, sample, said, scored, fields, document_text)
                    scored = scored._replace(mistake=mistake)
                known[said] = scored
            scored_samples.append([known[said] for said in said_by_models])
    return scored_samples


def _scored(task: Task, sample: Sample, said: Said | None, mode: AnswerMode) -> OutputScores:
    """All metrics of ``task`` for one output; the kind of mistake is left open."""
    if said is None:
        return OutputScores("", dict.fromkeys(task.metrics, MetricValue(None)), None)
    headline = task.metrics[0]
    if said.stop_reason == "error":
        worst = {
            name: score_failed(METRICS[name], sample.references, sample.json_schema)
            for name in task.metrics
        }
        return OutputScores("", worst, worst[headline].value)
    extracted = _answer_of(said.text, sample, mode)
    scores = {name: _score(name, extracted, sample) for name in task.metrics}
    raw = scores[headline].value
    if said.text != extracted:
        raw = _score(headline, said.text, sample).value
    return OutputScores(extracted, scores, raw)


def _score(name: str, text: str, sample: Sample) -> MetricValue:
    return score_question(name, text, sample.references, sample.metadata, sample.json_schema)


def score_models(
    task: Task,
    outputs: Sequence[Mapping[str, Output]],
    document_texts: Mapping[str, str],
    mode: AnswerMode = "extract",
    *,
    mistakes: bool = True,
    score: Callable[[Iterable[ScoringPart]], Iterable[list[list[OutputScores]]]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[tuple[Answer, ...]]:
    """Score the outputs of several models for ``task``, those of each model in the order of its samples.

    Args:
        task: the task, with the metrics to compute.
        outputs: of each model: sample id → output; a sample without one has not been asked yet.
        document_texts: document id → everything written on it, for the documents whose text is known.
        mode: what is scored of a text; see ``ScoringPart``.
        mistakes: whether the kind of each mistake is found, which takes longer than all metrics together.
        score: what scores the parts, each as ``score_part`` does; None scores them in this process.
        progress: is called with the number of answers that were scored since the last call.
    """
    parts = list(_cut(task, max(1, PART_ANSWERS // max(1, len(outputs)))))
    to_score = (_part(task, places, outputs, document_texts, mode, mistakes) for places in parts)
    scored_parts = score(to_score) if score is not None else map(score_part, to_score)
    # Most answers score the same as others, and share the mapping: it is larger than the rest of an answer.
    shared: dict[tuple[MetricValue, ...], Mapping[str, MetricValue]] = {}
    answers: list[list[Answer]] = [[] for _ in task.samples]
    for places, of_part in zip(parts, scored_parts, strict=True):
        for place, of_sample in zip(places, of_part, strict=True):
            sample = task.samples[place]
            for of_model, scored in zip(outputs, of_sample, strict=True):
                extracted, scores, raw_headline, mistake = scored
                scores = shared.setdefault(tuple(scores.values()), scores)
                output = of_model.get(sample.id)
                text = held_once(extracted, output)
                answers[place].append(Answer(sample, output, text, scores, raw_headline, mistake))
        if progress is not None:
            progress(len(places) * len(outputs))
    return [
        tuple(_averaged_over_groups([of_sample[model] for of_sample in answers]))
        for model in range(len(outputs))
    ]


def _cut(task: Task, questions: int) -> Iterator[list[int]]:
    """Places of the samples of each part, document by document: at least so many, but for the last part."""
    of_document: dict[str, list[int]] = {}
    for place, sample in enumerate(task.samples):
        of_document.setdefault(sample.document_id, []).append(place)
    part: list[int] = []
    for places in of_document.values():
        part += places
        if len(part) >= questions:
            yield part
            part = []
    if part:
        yield part


def _part(
    task: Task,
    places: Sequence[int],
    outputs: Sequence[Mapping[str, Output]],
    document_texts: Mapping[str, str],
    mode: AnswerMode,
    mistakes: bool,
) -> ScoringPart:
    samples = tuple(task.samples[place] for place in places)
    said = [[said_in(of_model.get(sample.id)) for of_model in outputs] for sample in samples]
    documents = {sample.document_id for sample in samples}
    texts = {key: document_texts[key] for key in documents if key in document_texts}
    return ScoringPart(replace(task, samples=samples, documents={}), said, texts, mode, mistakes)


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


def _stop_reason(said: Said | None, extracted: str) -> StopReason:
    if said is None:
        return "error"
    # Thinking that never ends is cut, even where the model itself ended it.
    is_cut = not extracted and without_thoughts(said.text).unanswered
    return "length" if is_cut else said.stop_reason


def _mistake(
    task: Task,
    sample: Sample,
    said: Said | None,
    scored: OutputScores,
    fields: FieldIndex,
    document_text: str | None,
) -> str | None:
    headline = task.metrics[0]
    value = scored.scores[headline].value
    is_page = sample.answer_type == "markdown"
    perfect = 1.0 if METRICS[headline].direction == "higher" else 0.0
    if value is None or value == perfect or sample.answer_type == "description":
        return None
    return classify(
        Answered(
            answer=scored.extracted,
            references=[page_text(r) for r in sample.references] if is_page else sample.references,
            answer_type=sample.answer_type,
            stop_reason=_stop_reason(said, scored.extracted),
            field=sample.metadata.get("field"),
            language=sample.metadata.get("language"),
            other_fields=fields,
            own=sample.id,
            document_text=document_text,
        )
    )
