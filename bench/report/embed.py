"""What travels inside the HTML file: the samples as data islands, and page images, under a size limit.

Three tiers: an index of every sample (what filters need), the texts in chunks that are inflated on demand,
and page images. Over the limit images go first, then texts of samples that every model got right; the page
states what was left out.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.formatting import safe
from bench.metrics.metric import TooLarge, as_text
from bench.metrics.page_test_rules import run_tests
from bench.metrics.page_tests import PageTest, described, page_tests_of
from bench.report.field_marks import FieldJudge
from bench.report.mistakes import RULE_TEXTS, label
from bench.report.options import ReportOptions
from bench.report.samples import reference_texts
from bench.report.views import ReportView, SampleView
from bench.schema import Page
from bench.scoring.answers import Answer
from bench.scoring.levels import LEVELS
from bench.tasks.previews import preview_path

CHUNK = 2_000
"""Samples whose texts are inflated together."""

MAX_TEXT = 20_000
"""Characters of one text that are embedded; the run directory holds the rest."""

PLAIN_BYTES = 200_000
"""Below this, an island stays readable JSON; above, it is gzip in base64."""

LEVEL_CODES = {name: name[0] for name in LEVELS}
"""``right`` → ``r``: one letter a sample and model in the index."""

KIND_CODES = {name: chr(ord("a") + i) for i, name in enumerate(RULE_TEXTS)}
"""Class of a wrong answer → one letter a sample and model in the index; ``.`` where it has none."""

_TEXT_SHARE = 0.9
"""Of the room that the texts may take; the rest is for page images."""


@dataclass(frozen=True, slots=True)
class Island:
    """One ``<script>`` that holds data."""

    id: str
    type: str
    """``application/json``, or ``text/plain`` for base64 of gzip."""
    text: str


@dataclass(frozen=True, slots=True)
class Embedded:
    """All data inside the file, and what stayed outside."""

    islands: tuple[Island, ...]
    images: tuple[Island, ...]
    pages: int
    """Distinct pages of all samples."""
    missing: int
    """Pages that the run directory has no preview of."""
    samples: int
    texts: int
    """Samples whose texts are inside."""
    clipped: int
    """Texts that were cut at ``MAX_TEXT`` characters."""


NOTHING = Embedded((), (), 0, 0, 0, 0, 0)
"""What a page without a sample browser holds."""


def embed(view: ReportView, options: ReportOptions, base_bytes: int) -> Embedded:
    """Choose and encode what goes inside.

    Args:
        view: the report.
        options: which images, and the size limit.
        base_bytes: size of the page without any data.
    """
    limit = int(options.max_mb * 1e6)
    texts, clipped = _texts(view)
    pages = pages_by_interest(view, options)
    # The numbers of the images are not known yet; they change the index by a few bytes a page.
    fixed = base_bytes + _size([_island("index", _index(view, {}, 0))]) + 8 * len(_all_pages(view))
    chunks, kept = _chunks_within(view, texts, max(0, int((limit - fixed) * _TEXT_SHARE)))
    images, numbers, missing = _images(view, pages, limit - fixed - _size(chunks))
    islands = (_island("index", _index(view, numbers, len(chunks))), *chunks)
    return Embedded(
        islands, images, len(_all_pages(view)), missing, len(view.all_samples), kept, clipped
    )


_ESCAPED = re.compile("[<>&\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What would end a ``<script>`` or steer whoever looks at the source; JSON itself escapes the rest."""


def json_text(value: Any) -> str:
    """JSON of the same value that may stand in a ``<script>``."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _island(name: str, value: Any) -> Island:
    text = json_text(value)
    if len(text) <= PLAIN_BYTES:
        return Island(name, "application/json", text)
    # mtime 0: the same run gives the same bytes.
    packed = gzip.compress(text.encode("utf-8", "backslashreplace"), 9, mtime=0)
    return Island(name, "text/plain", base64.b64encode(packed).decode("ascii"))


def _size(islands: Sequence[Island]) -> int:
    """Bytes in the page, tags included."""
    return sum(len(island.text.encode("utf-8", "replace")) + 80 for island in islands)


def _clip(text: str, counter: list[int]) -> tuple[str, int]:
    """The text as it is, cut if it is too long, and then its whole length (else 0)."""
    if len(text) <= MAX_TEXT:
        return text, 0
    counter[0] += 1
    return text[:MAX_TEXT], len(text)


def _texts(view: ReportView) -> tuple[list[Any], int]:
    """Per sample: question, references, what models said, places, and marks of fields or tests of a page."""
    clipped = [0]
    judge = FieldJudge()
    rows: list[Any] = []
    for sample in view.all_samples:
        task = view.all_tasks[sample.task]
        metrics = task.metrics
        shown = reference_texts(sample.sample)[:50]
        references = [_clip(text, clipped)[0] for text in shown]
        answers = [
            _answer(answer, metrics, seconds, clipped)
            for answer, seconds in zip(sample.answers, sample.latency, strict=True)
        ]
        places = [[p.page, *(round(edge, 4) for edge in p[1:])] for p in sample.places]
        row: list[Any] = [_clip(sample.sample.question, clipped)[0], references, answers, places]
        if sample.sample.answer_type == "json":
            row.append(_field_marks(sample, task.headline, judge))
        elif tests := _page_tests(sample):
            row.extend([None, tests])
        rows.append(row)
    return rows, clipped[0]


def _page_tests(sample: SampleView) -> list[Any]:
    """Per test of a page what it says, and per model whether it is passed (0 or 1); None if not known."""
    tests = [page_tests_of(reference) for reference in sample.sample.references[:1]]
    if not tests or tests[0] is None:
        return []
    columns = [_passed(answer, tests[0]) for answer in sample.answers]
    return [
        [safe(described(test)), [column[number] for column in columns]]
        for number, test in enumerate(tests[0])
    ]


def _passed(answer: Answer | None, tests: Sequence[PageTest]) -> list[int | None]:
    if answer is None or answer.output is None or answer.failed:
        return [None] * len(tests)
    try:
        results = run_tests(as_text(answer.extracted), tests)
    except TooLarge:
        return [None] * len(tests)
    return [None if result.passed is None else int(result.passed) for result in results]


def _answer(
    answer: Answer | None, metrics: Sequence[str], seconds: float | None, clipped: list[int]
) -> Any:
    """What was said of a sample, or 0 if nothing was.

    ``[text, extracted or 0 where equal, scores, tokens, seconds, stop, error, length if cut, mean and
    smallest probability of a token, max_pixels that memory forced, why a server did not see the pages]``
    """
    if answer is None or answer.output is None:
        return 0
    output = answer.output
    text, length = _clip(output.text, clipped)
    extracted: Any = 0
    if answer.extracted != output.text and not answer.failed:
        extracted = _clip(answer.extracted, clipped)[0]
    scores = [answer.scores[name].value for name in metrics]
    return [
        text,
        extracted,
        [None if s is None else round(s, 4) for s in scores],
        output.generated_tokens,
        None if seconds is None else round(seconds, 4),
        output.stop_reason,
        0 if output.error is None else output.error[:MAX_TEXT],
        length,
        None if output.confidence is None else round(output.confidence, 4),
        None if output.min_confidence is None else round(output.min_confidence, 4),
        output.degraded,
        None if answer.doubt is None else safe(answer.doubt[:MAX_TEXT]),
    ]


def _field_marks(sample: SampleView, headline: str, judge: FieldJudge) -> list[Any]:
    """Per model the unequal fields that the headline metric accepts, or None."""
    language = sample.sample.metadata.get("language")
    marks: list[Any] = []
    for answer in sample.answers:
        given = None
        if answer is not None and answer.output is not None and not answer.failed:
            given = judge.marks(
                headline,
                answer.extracted,
                sample.sample.references,
                language,
                sample.sample.json_schema,
            )
        marks.append(given)
    return marks


def _chunks_within(
    view: ReportView, texts: Sequence[Any], room: int
) -> tuple[tuple[Island, ...], int]:
    """Chunks that fit into ``room`` bytes; texts of samples that all got right are left out first."""
    chunks = _chunks(texts)
    size = _size(chunks)
    kept = len(texts)
    order: list[int] = []
    while size > room and kept > 0:
        order = order or _by_interest(view.all_samples)
        kept = int(kept * min(0.9, room / size * 0.95))
        inside = set(order[:kept])
        chunks = _chunks([text if i in inside else 0 for i, text in enumerate(texts)])
        size = _size(chunks)
    return chunks, kept


def _chunks(texts: Sequence[Any]) -> tuple[Island, ...]:
    parts = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    return tuple(_island(f"texts-{i}", part) for i, part in enumerate(parts))


def _by_interest(samples: Sequence[SampleView]) -> list[int]:
    """Samples that somebody got wrong first; the rest in an order that is random but always the same."""

    def rank(i: int) -> tuple[int, bytes]:
        bad = sum(level in ("wrong", "failed") for level in samples[i].levels)
        digest = hashlib.sha256(samples[i].sample.id.encode("utf-8", "replace")).digest()
        return -bad, digest

    return sorted(range(len(samples)), key=rank)


def _all_pages(view: ReportView) -> dict[str, Page]:
    return {page.key: page for sample in view.all_samples for page in sample.pages}


def pages_by_interest(view: ReportView, options: ReportOptions) -> list[Page]:
    """Pages in the order in which they are worth their bytes."""
    if options.images == "none" or options.images == 0:
        return []
    wanted: dict[str, Page] = {}
    samples = view.all_samples
    for i in _by_interest(samples):
        sample = samples[i]
        bad = any(level in ("wrong", "failed") for level in sample.levels)
        if options.images == "failures" and not bad:
            continue
        for page in sample.pages:
            wanted.setdefault(page.key, page)
    pages = list(wanted.values())
    return pages[: options.images] if isinstance(options.images, int) else pages


def _images(
    view: ReportView, pages: Sequence[Page], room: int
) -> tuple[tuple[Island, ...], dict[str, int], int]:
    """Images that fit, their numbers by page, and how many pages have no preview at all."""
    islands: list[Island] = []
    numbers: dict[str, int] = {}
    missing = 0
    for page in pages:
        path = _preview(view, page)
        if path is None:
            missing += 1
            continue
        size = path.stat().st_size * 4 // 3 + 100
        if size > room:
            continue
        room -= size
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        numbers[page.key] = len(islands)
        islands.append(Island(f"image-{len(islands)}", "text/plain", data))
    return tuple(islands), numbers, missing


def _preview(view: ReportView, page: Page) -> Path | None:
    paths = (preview_path(Path(folder), page) for folder in view.previews)
    return next((path for path in paths if path.is_file()), None)


def _index(view: ReportView, numbers: dict[str, int], chunks: int) -> dict[str, Any]:
    """What filters, sorting and the list need of every sample, in columns."""
    documents: dict[str, int] = {}
    document_rows: list[Any] = []
    places: list[int] = []
    rows = range(len(view.rows))
    for sample in view.all_samples:
        name = f"{sample.task}/{sample.sample.document_id}"
        if name not in documents:
            documents[name] = len(document_rows)
            document_rows.append([safe(sample.sample.document_id), _page_rows(sample, numbers)])
        places.append(documents[name])

    def metadata(key: str) -> list[Any]:
        return _packed(
            [safe(str(each.sample.metadata.get(key) or "")) for each in view.all_samples]
        )

    return {
        "tasks": [
            {
                "key": safe(task.key),
                "title": safe(task.title),
                "metrics": list(task.metrics),
                "higher": task.higher_is_better,
                "prompt": safe(task.prompt, newlines=True),
                "system": None if task.system is None else safe(task.system, newlines=True),
                **({"perturbed": True} if task.perturbation is not None else {}),
            }
            for task in view.all_tasks
        ],
        "models": [safe(row.key) for row in view.rows],
        "ids": [safe(sample.sample.id) for sample in view.all_samples],
        "task": [sample.task for sample in view.all_samples],
        "doc": places,
        "documents": document_rows,
        "language": metadata("language"),
        "doc_type": metadata("doc_type"),
        "field": metadata("field"),
        "levels": ["".join(LEVEL_CODES[each.levels[i]] for each in view.all_samples) for i in rows],
        "kinds": ["".join(_kind_code(each.answers[i]) for each in view.all_samples) for i in rows],
        "kind_names": {
            KIND_CODES[name]: [name, label(name), rule] for name, rule in RULE_TEXTS.items()
        },
        "heads": [_headline_column(view, i) for i in rows],
        "chunk": CHUNK,
        "chunks": chunks,
        "clip": MAX_TEXT,
    }


def _packed(values: Sequence[str]) -> list[Any]:
    """A column of few different values: the values once, and a number a row."""
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return [list(numbers), [numbers[value] for value in values]]


def _kind_code(answer: Answer | None) -> str:
    if answer is None or answer.output is None or answer.mistake is None:
        return "."
    return KIND_CODES.get(answer.mistake, ".")


def _headline_column(view: ReportView, row: int) -> list[float | None]:
    values: list[float | None] = []
    for sample in view.all_samples:
        answer = sample.answers[row]
        value = None
        if answer is not None and answer.output is not None:
            value = answer.scores[view.all_tasks[sample.task].headline].value
        values.append(None if value is None else round(value, 4))
    return values


def _page_name(page: Page) -> str:
    """The file, its page where it has several, and what was done to it."""
    number = f" · {page.index + 1}" if page.index else ""
    done = page.perturbation
    words = "" if done is None else f" · digitally perturbed: {done.kind}, severity {done.severity}"
    return safe(page.path.name) + number + safe(words)


def _page_rows(sample: SampleView, numbers: dict[str, int]) -> list[Any]:
    """``[number of the image or −1, file name, preview beside the report]`` of every page."""
    return [
        [
            numbers.get(page.key, -1),
            _page_name(page),
            f"pages/{preview_path(Path(), page).name}",
        ]
        for page in sample.pages
    ]
