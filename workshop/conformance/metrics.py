"""Checks the metrics against cases whose values come from running the reference implementations.

``python -m workshop.conformance.metrics DIR`` reads every ``*.json`` file of DIR. A file is a list of objects
with ``prediction``, ``references``, ``expected`` and, where it matters, ``tolerance``, ``schema``,
``language`` and options. The file's name says what is checked; ``{"__tuple__": […]}`` is a tuple, and null is
None or NaN. Every failed case is printed as one line, the last line is ``N passed, N failed``, and the exit
code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.errors import BenchError, InvalidInput
from bench.formatting import plural
from bench.json_schemas.reading import read_schema
from bench.metrics import anls, calibration, edit, entities, exact, ocrbench, squad, structured, vqa
from bench.metrics.metric import MetricValue
from bench.metrics.table import METRICS
from bench.schema import Json
from bench.text import one_line, printable
from workshop.conformance import pixels, statistics

Case = dict[str, Any]
Check = Callable[[Case], object]
"""From a case to the computed value, in the shape of ``expected``."""

DEFAULT_TOLERANCE: Final = 1e-9


class CaseFailure(NamedTuple):
    """A case that did not give what the reference implementation gives."""

    file: str
    case: str
    message: str


class CaseOutcome(NamedTuple):
    """How many cases of a directory passed, and which failed."""

    passed: int
    failed: int
    failures: tuple[CaseFailure, ...]
    """One for each failed case; a file that nothing can check is one failure for all its cases."""


def check_directory(directory: Path) -> CaseOutcome:
    """Check every case file of ``directory``.

    Raises:
        InvalidInput: there is no such directory, it holds no case file, or a file is malformed.
    """
    if not directory.is_dir():
        raise InvalidInput(f"no directory of cases at {directory}")
    files = sorted(directory.glob("*.json"))
    if not files:
        raise InvalidInput(f"no case files (*.json) in {directory}")
    # All files are read before the first is checked, so that a malformed one is told at once.
    cases_by_file = {path: read_cases(path) for path in files}
    passed = failed = 0
    failures: list[CaseFailure] = []
    for path, cases in cases_by_file.items():
        check = find_check(path.stem)
        if check is None:
            failed += len(cases)
            message = f"nothing checks {path.stem}: {plural(len(cases), 'case')}"
            failures.append(CaseFailure(path.name, "-", message))
            continue
        for case in cases:
            failure = check_case(path.stem, case, check)
            if failure is None:
                passed += 1
            else:
                failed += 1
                failures.append(failure)
    return CaseOutcome(passed, failed, tuple(failures))


def read_cases(path: Path) -> list[Case]:
    """The cases of one file.

    Raises:
        InvalidInput: it is not a JSON list of objects that each hold ``prediction`` and ``expected``.
    """
    try:
        cases = json.loads(path.read_text(encoding="utf-8"), object_hook=_tuples)
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: not a JSON file of cases: {one_line(str(error))}") from error
    if not isinstance(cases, list):
        raise InvalidInput(f"{path}: expected a list of cases, got {type(cases).__name__}")
    for number, case in enumerate(cases, start=1):
        missing = {"prediction", "expected"} - (case.keys() if isinstance(case, dict) else set())
        if missing:
            raise InvalidInput(f"{path}: case {number} lacks {' and '.join(sorted(missing))}")
        case.setdefault("id", f"{path.stem} #{number}")
        case.setdefault("references", None)
    return cases


def _tuples(value: dict[str, Json]) -> Json:
    return tuple(value["__tuple__"]) if value.keys() == {"__tuple__"} else value


def find_check(name: str) -> Check | None:
    """What checks the case file ``name``; None if nothing does."""
    if name in CHECKS:
        return CHECKS[name]
    if name in METRICS:
        return _through_table(name)
    return statistics.CONFORMANCE.get(name) or pixels.CONFORMANCE.get(name)


def check_case(name: str, case: Case, check: Check) -> CaseFailure | None:
    """None if the case gives what is expected, else why not."""
    tolerance = float(case.get("tolerance", DEFAULT_TOLERANCE))
    for key, compute in {"expected": check, **ALSO.get(name, {})}.items():
        if key not in case:
            continue
        try:
            got = compute(case)
        except (
            BenchError,
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            return _failure(name, case, f"raised {type(error).__name__}: {error}")
        if not agrees(case[key], got, tolerance):
            return _failure(name, case, f"{key} {case[key]!r}, got {got!r}")
    return None


def _failure(name: str, case: Case, message: str) -> CaseFailure:
    return CaseFailure(f"{name}.json", one_line(str(case["id"]), 60), one_line(message, 300))


def agrees(expected: object, got: object, tolerance: float) -> bool:
    """Whether ``got`` is ``expected`` up to ``tolerance``; None and NaN are the same nothing."""
    if isinstance(expected, dict):
        return isinstance(got, Mapping) and all(
            key in got and agrees(value, got[key], tolerance) for key, value in expected.items()
        )
    if isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple) or len(expected) != len(got):
            return False
        return all(agrees(e, g, tolerance) for e, g in zip(expected, got, strict=True))
    if _is_nothing(expected) or _is_nothing(got):
        return _is_nothing(expected) and _is_nothing(got)
    if isinstance(expected, str) or isinstance(got, str):
        return expected == got
    if isinstance(expected, int | float) and hasattr(got, "__float__"):
        return math.isclose(expected, float(got), rel_tol=0.0, abs_tol=tolerance)
    return expected == got


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _through_table(name: str) -> Check:
    def check(case: Case) -> float | None:
        metric = METRICS[name]
        references = case["references"]
        if case.get("level") == "corpus":
            pairs = zip(case["prediction"], references, strict=True)
            return _corpus(metric.score(p, [r]) for p, r in pairs)
        many = isinstance(references, list) and "text" in metric.answer_types
        accepted = references if many else [references]
        schema = read_schema(case["schema"], str(case["id"])) if "schema" in case else None
        language = case.get("language")
        return metric.score_of(case["prediction"], accepted, language=language, schema=schema).value

    return check


def _corpus(values: Iterator[MetricValue]) -> float | None:
    scored = [(v.value, v.weight) for v in values if v.value is not None]
    weight = sum(w for _, w in scored)
    return sum(v * w for v, w in scored) / weight if weight > 0 else None


def _texts(value: Json) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _corpus_error_rate(metric: str) -> Check:
    """Jiwer's rate over lists of predictions and references, in which empty references count as well."""

    def check(case: Case) -> float | None:
        pairs = zip(_texts(case["prediction"]), _texts(case["references"]), strict=True)
        count = edit.EDIT_METRICS[metric]
        counts = [count(prediction, reference) for prediction, reference in pairs]
        return edit.sum_edits(counts).rate if counts else None

    return check


def _calibration(case: Case) -> dict[str, float | None]:
    confidences, correct = case["prediction"], case["references"]
    count = case.get("n_bins", calibration.DEFAULT_BINS)
    bins = calibration.reliability_bins(confidences, correct, bins=count)
    squares = sum(each.gap**2 * each.samples for each in bins)
    return {
        "ece_l1": calibration.ece(confidences, correct, bins=count),
        "ce_l2": math.sqrt(squares / len(confidences)) if bins else None,
        "mce_max": max((each.gap for each in bins), default=None),
        "brier": calibration.brier(confidences, correct),
    }


def _dude(case: Case) -> float:
    kind = case.get("answer_type", "extractive")
    return anls.anls_dude(_texts(case["prediction"]), _texts(case["references"]), answer_type=kind)


def _entities(case: Case) -> dict[str, float]:
    predictions, references = case["prediction"], case["references"]
    default = entities.entity_agreement(predictions, references)
    strict = entities.entity_agreement(predictions, references, strict=True)
    return {
        "f1_default": default.f1 or 0.0,
        "f1_strict_IOB2": strict.f1 or 0.0,
        "precision_default": default.hits / default.predicted if default.predicted > 0 else 0.0,
        "recall_default": default.hits / default.expected if default.expected > 0 else 0.0,
    }


def _exact_match(case: Case) -> float | None:
    pairs = list(zip(_texts(case["prediction"]), _texts(case["references"]), strict=True))
    options = case.get("options") or {}
    hits = [exact.exact_match(p, _texts(r), **options) for p, r in pairs]
    return sum(hits) / len(hits) if hits else None


def _mp_docvqa(case: Case) -> dict[str, float]:
    answer, references = case["prediction"], _texts(case["references"])
    kind = case.get("answer_type", "string")
    return {
        "anls": anls.anls_mp_docvqa(answer, references, answer_type=kind),
        "accuracy": _accuracy_mp_docvqa(answer, references, kind),
    }


def _accuracy_mp_docvqa(prediction: str, references: Sequence[str], answer_type: str) -> float:
    """The framework's accuracy: equal after lower-casing and stripping, and "none" is wrong."""
    answer = prediction.lower().strip()
    if answer_type == "not-answerable":
        return float(not answer)
    accepted = {reference.lower().strip() for reference in references}
    return float(answer != "none" and answer in accepted)


def _normalized_edit_distance(case: Case) -> object:
    predictions, references = case["prediction"], case["references"]
    if case.get("level") != "corpus":
        return edit.normalized_edit_distance(predictions, _texts(references))
    return omnidocbench_averages(predictions, references)


def omnidocbench_averages(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
) -> dict[str, float | None]:
    """The three averages that OmniDocBench prints as edit distance; they are different numbers.

    Both arguments hold a list of text blocks for every page. Pairs of empty blocks are left out.
    """
    edits_of_pages, lengths_of_pages = [], []
    ratios = []
    for page_predictions, page_references in zip(predictions, references, strict=True):
        edits = length = 0
        for prediction, reference in zip(page_predictions, page_references, strict=True):
            if prediction or reference:
                edits += edit.levenshtein(prediction, reference)
                length += max(len(prediction), len(reference))
                ratios.append(edit.edit_ratio(prediction, reference))
        if length > 0:
            edits_of_pages.append(edits)
            lengths_of_pages.append(length)
    if not ratios:
        return {"ALL_page_avg": None, "edit_whole": None, "edit_sample_avg": None}
    pages = zip(edits_of_pages, lengths_of_pages, strict=True)
    return {
        "ALL_page_avg": sum(edits / length for edits, length in pages) / len(edits_of_pages),
        "edit_whole": sum(edits_of_pages) / sum(lengths_of_pages),
        "edit_sample_avg": sum(ratios) / len(ratios),
    }


def _ocrbench(case: Case) -> float:
    references = _texts(case["references"])
    return ocrbench.ocrbench(case["prediction"], references, dataset=case.get("dataset", ""))


def _ocrbench_v2_vqa(case: Case) -> float:
    named = (str(case.get(key, "")) for key in ("language", "lang", "dataset", "reference_impl"))
    chinese = any(n in {"cn", "zh"} or "cn_vqa" in n for n in named)
    language = "cn" if chinese else "en"
    references = [str(r) for r in _texts(case["references"])]
    return ocrbench.ocrbench_v2_vqa(str(case["prediction"]), references, language=language)


CHECKS: Final[Mapping[str, Check]] = {
    "anls": _through_table("anls"),
    "anls_disagreements": _through_table("anls"),
    "anls_star": lambda case: structured.anls_star(case["prediction"], case["references"]),
    "calibration": _calibration,
    "cer": _corpus_error_rate("cer"),
    "dude_anls": _dude,
    "entity_f1_seqeval": _entities,
    "exact_match": _exact_match,
    "mp_docvqa": _mp_docvqa,
    "normalized_edit_distance": _normalized_edit_distance,
    "ocrbench": _ocrbench,
    "ocrbench_v2_vqa": _ocrbench_v2_vqa,
    "squad_f1": lambda case: squad.squad_f1(case["prediction"], _texts(case["references"])),
    "vqa_normalize": lambda case: vqa.vqa_normalize(case["prediction"]),
    "wer": _corpus_error_rate("wer"),
}
"""Case files whose cases are not simply a row of the metric table, by file name."""

ALSO: Final[Mapping[str, Mapping[str, Check]]] = {
    "teds": {"expected_structure_only": _through_table("teds_structure")},
    "vqa_accuracy": {"normalized_prediction": lambda case: vqa.vqa_normalize(case["prediction"])},
}
"""Further expectations inside the cases of a file, by their key."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a directory and print what failed; the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m workshop.conformance.metrics", description=__doc__
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of case files")
    try:
        outcome = check_directory(parser.parse_args(arguments).directory)
    except BenchError as error:
        sys.stderr.write(f"error: {printable(error.message)}\n")
        return error.exit_code
    for failure in outcome.failures:
        sys.stdout.write(f"{failure.file} {failure.case}: {failure.message}\n")
    sys.stdout.write(f"{outcome.passed} passed, {outcome.failed} failed\n")
    return 1 if outcome.failed > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
