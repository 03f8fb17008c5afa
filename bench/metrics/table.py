"""The table of metrics, with one row for each.

A new metric is one pure function in the file of its family, one row here, its line in ``docs/metrics.md``
and its cases in ``tests/conformance``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from bench.errors import InvalidInput, did_you_mean
from bench.metrics import (
    anls,
    edit,
    entities,
    exact,
    extractbench,
    fields,
    kie,
    ocrbench,
    ordering,
    squad,
    structured,
    tables,
    values,
    vqa,
)
from bench.metrics.metric import (
    TOO_LARGE,
    FieldScoreFunction,
    Metric,
    MetricValue,
    QuestionFacts,
    ScoreFunction,
    TooLarge,
    as_json,
    as_text,
    text_metric,
)
from bench.metrics.page_rows import PAGE_ROWS
from bench.schema import AnswerType, Json
from bench.text import one_line

_TEXT: Final[frozenset[AnswerType]] = frozenset({"text", "description"})
_JSON: Final[frozenset[AnswerType]] = frozenset({"json"})
_ANY: Final[frozenset[AnswerType]] = frozenset({"text", "json", "description"})


def _without_knowledge(score: FieldScoreFunction) -> ScoreFunction:
    """``score`` of a question of which nothing is known but its references."""
    return lambda prediction, references: score(prediction, references, QuestionFacts())


_ROWS: Final = (
    Metric(
        name="exact_match",
        title="Exact match",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 if the answer equals a reference to the last character, else 0.",
        source="Hugging Face evaluate, exact_match, no options",
        variant="strict: case, punctuation and blanks count",
        answer_types=_TEXT,
        score=text_metric(exact.exact_match),
    ),
    Metric(
        name="contains",
        title="Contains",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 if a reference occurs in the answer, else 0.",
        source="own definition",
        variant="lower-cased, white space collapsed, substrings of words count",
        answer_types=_TEXT,
        score=text_metric(exact.contains),
    ),
    Metric(
        name="fuzzy_ratio",
        title="Fuzzy ratio",
        direction="higher",
        range=(0.0, 1.0),
        definition="Normalised indel similarity of answer and nearest reference.",
        source="rapidfuzz 3.14, fuzz.ratio / 100",
        variant="lower-cased, white space collapsed",
        answer_types=_TEXT,
        score=text_metric(edit.fuzzy_ratio),
    ),
    Metric(
        name="anls",
        title="ANLS",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 − edit distance / length to the nearest reference; below 0.5 it is 0.",
        source="RRC evaluation script (DocVQA, InfographicsVQA); Biten et al., ICCV 2019",
        variant="official: divides by the raw length, keeps exactly 0.5",
        answer_types=_TEXT,
        score=text_metric(anls.anls),
    ),
    Metric(
        name="anls_normalized",
        title="ANLS, normalised length",
        direction="higher",
        range=(0.0, 1.0),
        definition="ANLS that divides by the length after normalisation.",
        source="VLMEvalKit; anls_star 1.0.1 on options",
        variant="as anls, but outer and repeated blanks are free",
        answer_types=_TEXT,
        score=text_metric(anls.anls_normalized),
    ),
    Metric(
        name="anls_mp_docvqa",
        title="ANLS, MP-DocVQA",
        direction="higher",
        range=(0.0, 1.0),
        definition="ANLS of lower-cased, stripped text; an empty answer and the answer none are 0.",
        source="rubenpt91/MP-DocVQA-Framework, metrics.py @7939f52",
        variant="inner blanks are not collapsed",
        answer_types=_TEXT,
        score=text_metric(anls.anls_mp_docvqa),
    ),
    Metric(
        name="anls_dude",
        title="ANLS, DUDE",
        direction="higher",
        range=(0.0, 1.0),
        definition="ANLS by RRC rules; list answers are matched one to one and surplus is penalised.",
        source="Jordy-VL/DUDEeval, evaluate_submission.py @8bd6dea",
        variant="a reference that is a list makes it a list question",
        answer_types=_ANY,
        score=anls.dude_score,
    ),
    Metric(
        name="anls_star",
        title="ANLS*",
        direction="higher",
        range=(0.0, 1.0),
        definition="ANLS over JSON: lists matched best to best, missing and surplus leaves penalised.",
        source="anls_star 1.0.1; Peer et al., arXiv 2402.03848",
        variant="the package's values, ties included up to 120 list elements",
        answer_types=_ANY,
        score=structured.anls_star_score,
    ),
    Metric(
        name="cer",
        title="Character error rate",
        direction="lower",
        range=(0.0, math.inf),
        definition="Character edits over reference characters, of the whole corpus.",
        source="jiwer 4.0.0, default transforms",
        variant="ends stripped, case and inner blanks count; empty references unscored",
        answer_types=_TEXT,
        score=edit.cer,
    ),
    Metric(
        name="wer",
        title="Word error rate",
        direction="lower",
        range=(0.0, math.inf),
        definition="Word edits over reference words, of the whole corpus.",
        source="jiwer 4.0.0, default transforms",
        variant="words end at blanks; empty references unscored",
        answer_types=_TEXT,
        score=edit.wer,
    ),
    Metric(
        name="normalized_edit_distance",
        title="Normalised edit distance",
        direction="lower",
        range=(0.0, 1.0),
        definition="Edit distance over the longer length, mean over samples.",
        source="OmniDocBench, call_Edit_dist (edit_sample_avg)",
        variant="nothing normalised; two empty texts are 0",
        answer_types=_TEXT,
        score=text_metric(edit.normalized_edit_distance),
    ),
    Metric(
        name="kie_f1",
        title="Field F1",
        direction="higher",
        range=(0.0, 1.0),
        definition="Micro F1 over (dotted key, value) pairs of the whole corpus.",
        source="clovaai/donut, JSONParseEvaluator.cal_f1 @4cfcf97",
        variant="exact values, order-free, empty fields dropped",
        answer_types=_JSON,
        score=kie.kie_f1,
    ),
    Metric(
        name="kie_f1_ocrbench_v2",
        title="Field F1, OCRBench v2",
        direction="higher",
        range=(0.0, 1.0),
        definition="Share of keys, of answer and reference together, whose values are equal.",
        source="OCRBench v2, TEDS_metric.compute_f1_score",
        variant="flat objects, lower-cased, blanks removed, mean over documents",
        answer_types=_JSON,
        score=kie.kie_f1_ocrbench_v2,
    ),
    Metric(
        name="ted_accuracy",
        title="TED accuracy",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 − tree edit distance to the reference / distance of nothing to the reference.",
        source="clovaai/donut, JSONParseEvaluator.cal_acc @4cfcf97 (zss, nltk)",
        variant="line items are ordered; leaves cost their characters",
        answer_types=_JSON,
        score=tables.ted_accuracy_score,
    ),
    Metric(
        name="teds",
        title="TEDS",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 − tree edit distance / elements, over HTML tables with their text.",
        source="PubTabNet, src/metric.py @8ffde90; Zhong et al., ECCV 2020",
        variant="needs <html><body><table>; text of <th> is ignored",
        answer_types=frozenset({"text"}),
        score=tables.teds_score,
    ),
    Metric(
        name="teds_structure",
        title="TEDS, structure",
        direction="higher",
        range=(0.0, 1.0),
        definition="TEDS that compares rows, cells and spans, but not the text in cells.",
        source="PubTabNet, src/metric.py @8ffde90, structure_only",
        variant="as teds",
        answer_types=frozenset({"text"}),
        score=tables.teds_structure_score,
    ),
    Metric(
        name="entity_f1",
        title="Entity F1",
        direction="higher",
        range=(0.0, 1.0),
        definition="Micro F1 over entities of equal type and span, from token tags.",
        source="seqeval 1.2.2, f1_score, micro average",
        variant="default (conlleval) reading: an I without a B opens an entity",
        answer_types=_JSON,
        score=entities.entity_f1,
    ),
    Metric(
        name="relaxed_accuracy",
        title="Relaxed accuracy",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 if a number is within 5 % of the reference, or the texts are equal but for case.",
        source="google-research/pix2struct, relaxed_correctness; ChartQA, Masry et al., 2022",
        variant="nothing is stripped; a reference of 0 must be spelled alike",
        answer_types=_TEXT,
        score=text_metric(vqa.relaxed_accuracy),
    ),
    Metric(
        name="vqa_accuracy",
        title="VQA accuracy",
        direction="higher",
        range=(0.0, 1.0),
        definition="Mean of min(1, matches among the other annotators / 3), each annotator left out once.",
        source="mmf TextVQAAccuracyEvaluator (EvalAI rules), as in lmms-eval",
        variant="ten references; both sides normalised even if all ten agree",
        answer_types=_TEXT,
        score=text_metric(vqa.vqa_score),
    ),
    Metric(
        name="ocrbench",
        title="OCRBench",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 if a reference occurs in the answer, lower-cased, else 0.",
        source="Yuliang-Liu/MultimodalOCR, OCRBench/example.py @794c36d",
        variant="line breaks are blanks, full-width letters are folded; HME100k has its own rule",
        answer_types=_TEXT,
        score=text_metric(ocrbench.ocrbench),
    ),
    Metric(
        name="ocrbench_v2_vqa",
        title="OCRBench v2, VQA",
        direction="higher",
        range=(0.0, 1.0),
        definition="Containment for references under five words, else similarity of at least 0.5.",
        source="OCRBench v2, vqa_metric.vqa_evaluation @794c36d",
        variant="kinds that end in cn have the Chinese rule",
        answer_types=_TEXT,
        score=text_metric(ocrbench.ocrbench_v2_vqa),
    ),
    Metric(
        name="mtvqa",
        title="MTVQA",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 if a reference occurs in the answer, lower-cased and without full stops.",
        source="lmms-eval and VLMEvalKit, MTVQA",
        variant="full stops removed on both sides",
        answer_types=_TEXT,
        score=text_metric(ocrbench.mtvqa),
    ),
    Metric(
        name="squad_em",
        title="SQuAD exact match",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 if the answer equals a reference without case, punctuation and articles.",
        source="Hugging Face evaluate, squad (version 1.1)",
        variant="ASCII punctuation and English articles only",
        answer_types=_TEXT,
        score=text_metric(squad.squad_em),
    ),
    Metric(
        name="squad_f1",
        title="SQuAD F1",
        direction="higher",
        range=(0.0, 1.0),
        definition="F1 of the words that answer and nearest reference share.",
        source="Hugging Face evaluate, squad (version 1.1)",
        variant="two texts without words give 0",
        answer_types=_TEXT,
        score=text_metric(squad.squad_f1_score),
    ),
    Metric(
        name="char_f1",
        title="Character F1",
        direction="higher",
        range=(0.0, 1.0),
        definition="F1 of the characters that answer and nearest reference share.",
        source="own definition, for zh, ja and th",
        variant="NFKC, lower-cased, without blanks and punctuation",
        answer_types=_TEXT,
        score=text_metric(squad.char_f1),
    ),
    Metric(
        name="field_match",
        title="Equivalent in type",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 if the answer means the reference's date, amount, number or name, in any spelling.",
        source="own definition",
        variant="typed values must be equal; JSON: micro F1 over fields so compared",
        answer_types=_ANY,
        score=fields.field_match,
        score_field=fields.field_score,
    ),
    Metric(
        name="value_f1",
        title="Value F1",
        direction="higher",
        range=(0.0, 1.0),
        definition="Micro F1 over the single values of objects, each compared by its type.",
        source="own definition",
        variant='items of lists are matched optimally; null, "" and a missing key are no value',
        answer_types=_JSON,
        score=_without_knowledge(values.value_f1),
        score_field=values.value_f1,
    ),
    Metric(
        name="value_precision",
        title="Value precision",
        direction="higher",
        range=(0.0, 1.0),
        definition="Share of right values among those that the answers give.",
        source="own definition",
        variant="as value_f1",
        answer_types=_JSON,
        score=_without_knowledge(values.value_precision),
        score_field=values.value_precision,
    ),
    Metric(
        name="value_recall",
        title="Value recall",
        direction="higher",
        range=(0.0, 1.0),
        definition="Share of right values among those that the references have.",
        source="own definition",
        variant="as value_f1",
        answer_types=_JSON,
        score=_without_knowledge(values.value_recall),
        score_field=values.value_recall,
    ),
    Metric(
        name="null_accuracy",
        title="Nulls kept",
        direction="higher",
        range=(0.0, 1.0),
        definition="Of the fields that a document lacks, the share for which nothing is invented.",
        source="own definition",
        variant="fields of the schema and of the reference; surplus items and keys do not count",
        answer_types=_JSON,
        score=_without_knowledge(values.null_accuracy),
        score_field=values.null_accuracy,
    ),
    Metric(
        name="object_match",
        title="Whole object",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 if every value of the object is right and none is invented, else 0.",
        source="own definition",
        variant="as value_f1",
        answer_types=_JSON,
        score=_without_knowledge(values.object_match),
        score_field=values.object_match,
    ),
    Metric(
        name="schema_valid",
        title="Valid by schema",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 if the answer is a JSON object or list that conforms to the task's schema, else 0.",
        source="JSON Schema, draft 2020-12; jsonschema 4.26",
        variant="every field may be null; formats are not checked; without a schema any object is valid",
        answer_types=_JSON,
        score=_without_knowledge(values.schema_valid),
        score_field=values.schema_valid,
    ),
    Metric(
        name="extractbench_f1",
        title="Value F1, ExtractBench",
        direction="higher",
        range=(0.0, 1.0),
        definition="F1 over cells of equal text; rows of lists are paired with the fewest unequal cells.",
        source="run-llama/ExtractBench, unified_evidence_metric.py, value_f1 @3159e7e; arXiv 2607.29677",
        variant="case counts; null is a value; dates of some forms are equal; mean over documents",
        answer_types=_JSON,
        score=_without_knowledge(extractbench.extractbench_f1),
        score_field=extractbench.extractbench_f1,
    ),
    Metric(
        name="page_accuracy",
        title="Page accuracy",
        direction="higher",
        range=(0.0, 1.0),
        definition="Share of the pages of all bundles whose number (class or place) is right.",
        source="VLMHyperBench, RPOClassification and RPOSorting",
        variant="position by position; pages missing or too many are wrong",
        answer_types=_TEXT,
        score=ordering.page_accuracy,
    ),
    Metric(
        name="sequence_match",
        title="Whole sequence",
        direction="higher",
        range=(0.0, 1.0),
        definition="1 if the numbers of all pages of a bundle are right, else 0.",
        source="own definition",
        variant="2,1,3 and [2, 1, 3] and 213 are equal",
        answer_types=_TEXT,
        score=ordering.sequence_match,
    ),
    Metric(
        name="kendall_tau",
        title="Kendall's tau",
        direction="higher",
        range=(-1.0, 1.0),
        definition="Rank correlation of the answered order of pages and the right one.",
        source="Kendall, 1938; scipy.stats.kendalltau",
        variant="an answer that is no order of the pages is 0; one page is unscored",
        answer_types=_TEXT,
        score=ordering.kendall_tau,
    ),
    Metric(
        name="spearman_rho",
        title="Spearman's rho",
        direction="higher",
        range=(-1.0, 1.0),
        definition="Correlation of the pages' places in the answered order and in the right one.",
        source="Spearman, 1904; scipy.stats.spearmanr on places",
        variant="an answer that is no order of the pages is 0; one page is unscored",
        answer_types=_TEXT,
        score=ordering.spearman_rho,
    ),
    *PAGE_ROWS,
)


def _bounded(row: Metric) -> Metric:
    """``row`` whose score is best for an answer equal to all references, and never takes unbounded work."""
    highest = row.range[1] if row.direction == "higher" else row.range[0]

    def bounded(prediction: Json, references: Sequence[Json], facts: QuestionFacts) -> MetricValue:
        try:
            result = row.score_of(prediction, references, **facts._asdict())
        except (TooLarge, RecursionError):
            return TOO_LARGE
        if result.value is None or result.value == highest:
            return result
        # Some definitions give less to equal texts without words, or to "none": their data sets have no
        # such references.
        return result._replace(value=highest) if _equals_all(prediction, references) else result

    def score(prediction: Json, references: Sequence[Json]) -> MetricValue:
        return bounded(prediction, references, QuestionFacts())

    return replace(row, score=score, score_field=bounded)


def _equals_all(prediction: Json, references: Sequence[Json]) -> bool:
    """Whether the answer is each of the references, to the last character."""
    if not isinstance(prediction, str):
        return all(prediction == reference for reference in references)
    if all(isinstance(reference, str) for reference in references):
        text = as_text(prediction)
        return all(text == as_text(reference) for reference in references)
    try:
        value = as_json(prediction)
    except ValueError:
        return False
    return all(value == reference for reference in references)


METRICS: Final[Mapping[str, Metric]] = MappingProxyType({row.name: _bounded(row) for row in _ROWS})
"""Every per-sample metric by name."""


def get_metric(name: str) -> Metric:
    """The metric called ``name``.

    Raises:
        InvalidInput: there is none; the message offers the nearest names.
    """
    metric = METRICS.get(name)
    if metric is None:
        hint = did_you_mean(name, METRICS)
        if not hint.startswith("did"):
            hint = "bench list metrics"
        raise InvalidInput(f"there is no metric {one_line(name, 60)!r}", hint=hint)
    return metric


def score_failed(
    metric: Metric, references: Sequence[Json] = (), schema: Json = None
) -> MetricValue:
    """The value of a failed answer: the worst one, with the weight that an empty answer has.

    For a corpus rate every character or word of the reference is missing. A sample for which the metric is
    not defined stays without a value.
    """
    empty = metric.score_of("", references, schema=schema)
    if references and empty.value is None:
        return empty
    return MetricValue(0.0 if metric.direction == "higher" else 1.0, empty.weight)
