"""Containment scores of the OCR benchmarks: OCRBench, OCRBench v2 (VQA) and MTVQA.

Sources: Yuliang-Liu/MultimodalOCR ``OCRBench/example.py`` and ``OCRBench_v2/eval_scripts/vqa_metric.py``
@794c36d; MTVQA as lmms-eval and VLMEvalKit score it. lmms-eval @75571cf also folds full-width letters in
OCRBench, which models write for Chinese signs; that never costs a right answer, and is done here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.metrics.edit import edit_ratio
from bench.metrics.widths import half_width

_FORMULA_SET = "HME100k"
_FORMULAS = "Handwritten Mathematical Expression Recognition"
"""The kind of question of the formula set, which VLMEvalKit's file names instead of the set."""


def ocrbench(prediction: str, references: Sequence[str], *, dataset: str = "") -> float:
    """1 if a reference occurs in the prediction, lower-cased, stripped, line breaks as blanks.

    Args:
        prediction: The answer.
        references: Accepted answers; an empty one occurs in everything.
        dataset: With ``HME100k`` (formulas), case is kept and all blanks are dropped instead.
    """
    prediction = half_width(prediction)
    references = [half_width(reference) for reference in references]
    if dataset == _FORMULA_SET:
        return float(any(_squeezed(reference) in _squeezed(prediction) for reference in references))
    answer = _lowered(prediction)
    return float(any(_lowered(reference) in answer for reference in references))


def ocrbench_v2_vqa(prediction: str, references: Sequence[str], *, language: str = "en") -> float:
    """Containment for references of fewer than five words, else similarity of at least 0.5.

    Args:
        prediction: The answer.
        references: Accepted answers, of which the best counts.
        language: With ``cn``, blanks are dropped, and a reference is short if it has fewer than four parts
            between commas.
    """
    chinese = language == "cn"
    answer = _lowered(prediction, squeeze=chinese)
    accepted = [_lowered(reference, squeeze=chinese) for reference in references]
    return max(_v2_similarity(answer, reference, chinese) for reference in accepted)


def _v2_similarity(answer: str, reference: str, chinese: bool) -> float:
    is_short = len(reference.split(",")) < 4 if chinese else len(reference.split()) < 5
    if is_short:
        return float(reference in answer)
    similarity = 1 - edit_ratio(answer, reference)
    return similarity if similarity >= 0.5 else 0.0


def ocrbench_of(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """The options of ``ocrbench`` for a question of the data set, by its metadata."""
    is_formula = metadata.get("doc_type") == _FORMULA_SET or metadata.get("field") == _FORMULAS
    return {"dataset": _FORMULA_SET} if is_formula else {}


def ocrbench_v2_of(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """The options of ``ocrbench_v2_vqa`` for a question, whose kind ends in its language."""
    return {"language": "cn"} if metadata.get("field", "").endswith(" cn") else {}


def mtvqa(prediction: str, references: Sequence[str]) -> float:
    """1 if a reference occurs in the prediction, both lower-cased, stripped and without full stops.

    ByteDance's own script removes full stops from the prediction only, so that ``3.14`` never matches.
    """
    answer = _without_stops(prediction)
    return float(any(_without_stops(reference) in answer for reference in references))


def _without_stops(text: str) -> str:
    return text.strip().lower().replace(".", "")


def _lowered(text: str, *, squeeze: bool = False) -> str:
    plain = text.lower().strip().replace("\n", " ")
    return plain.replace(" ", "") if squeeze else plain


def _squeezed(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")
