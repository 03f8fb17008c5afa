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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report.browser_data import sample_columns, sample_texts
from bench.report.options import MAX_TEXT, ReportOptions
from bench.report.views import ReportView, SampleView
from bench.schema import Page
from bench.tasks.previews import preview_path

CHUNK = 2_000
"""Samples whose texts are inflated together."""

PLAIN_BYTES = 200_000
"""Below this, an island stays readable JSON; above, it is gzip in base64."""

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
    texts, clipped = sample_texts(view)
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


def _index(view: ReportView, numbers: Mapping[str, int], chunks: int) -> dict[str, Any]:
    """What filters, sorting and the list need of every sample, and how the texts are divided."""
    return sample_columns(view, numbers) | {"chunk": CHUNK, "chunks": chunks, "clip": MAX_TEXT}
