"""Reads ``OmniDocBench.json`` of versions 1.5 and 1.6: a list of pages, each with its annotated blocks.

The keys are those of the data set's documentation (github.com/opendatalab/OmniDocBench, README)::

    [{"layout_dets": [{"category_type": "text_block", "order": 1, "ignore": false, "anno_id": 7, "text": "…"},
                      {"category_type": "table", "html": "…", "latex": "…"}],
      "page_info": {"image_path": "a.jpg", "page_attribute": {"language": "english", "layout": "…",
                                                              "data_source": "…", "subset": "v1.5"}},
      "extra": {"relation": [{"source_anno_id": 7, "target_anno_id": 8, "relation_type": "truncated"}]}}]
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.formatting import plural
from bench.metrics.page_blocks import CATEGORIES
from bench.parsing import MAX_TABLE_BYTES, Unreadable, read_json
from bench.schema import TRANSCRIBE
from bench.tasks.page_benchmarks.pages import BenchmarkPages
from bench.tasks.samples import SampleRow, SampleTable
from bench.text import one_line

ANNOTATION: Final = "OmniDocBench.json"

_LANGUAGES = {"english": "en", "en": "en", "simplified_chinese": "zh", "traditional_chinese": "zh"}
"""The data set's name of a language → its code; other names stay as they are."""
_ATTRIBUTES = {"data_source": "doc_type", "layout": "field", "subset": "split"}
"""Attribute of a page → the metadata key that reports know."""

Blocks = Sequence[Mapping[str, Any]]


def home(path: Path) -> Path | None:
    """Return the folder with the data if ``path`` is that folder or its annotation file."""
    folder = path.parent if path.name == ANNOTATION else path
    return folder if (folder / ANNOTATION).is_file() else None


def page_samples(folder: Path) -> BenchmarkPages:
    """Read one sample a page; its reference are the blocks that are compared, in reading order."""
    table = SampleTable(ANNOTATION)
    try:
        pages = read_json(folder / ANNOTATION, MAX_TABLE_BYTES)
    except Unreadable as error:
        table.add_problem(f"the file {error.reason}")
        return BenchmarkPages(table, ())
    if not isinstance(pages, list) or not pages:
        table.add_problem("expected a list of pages")
        return BenchmarkPages(table, ())
    left_out: Counter[str] = Counter()
    ids: set[str] = set()
    for number, page in enumerate(pages, 1):
        row = _row(folder, page, left_out)
        if isinstance(row, str):
            table.add_problem(f"page {number}: {row}")
        elif row.id in ids:
            table.add_problem(f"page {number}: {one_line(row.id, 80)} appears for the second time")
        else:
            ids.add(row.id)
            table.add_row(row)
    return BenchmarkPages(table, tuple(_facts(table.rows, left_out)))


def _facts(rows: Sequence[SampleRow], left_out: Counter[str]) -> Iterator[str]:
    # Only version 1.6 says which subset a page is of.
    version = "1.6" if any("split" in row.metadata for row in rows) else "1.5 or before"
    yield f"version {version}"
    for what, count in left_out.items():
        yield f"{plural(count, 'block')} {what} left out"


def _row(folder: Path, page: Any, left_out: Counter[str]) -> SampleRow | str:
    """Return the sample of one page, or what is wrong with the page."""
    info = page.get("page_info") if isinstance(page, dict) else None
    if not isinstance(info, dict) or not isinstance(info.get("image_path"), str):
        return "expected page_info with an image_path"
    image = info["image_path"]
    blocks = page.get("layout_dets")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        return "expected layout_dets, a list of blocks"
    attributes = info.get("page_attribute")
    attributes = attributes if isinstance(attributes, dict) else {}
    joined = _with_continuations([block for block in blocks if not block.get("ignore")], page)
    reference = {"blocks": list(_compared(_in_reading_order(joined), left_out))}
    metadata = _metadata(attributes)
    question = TRANSCRIBE["zh" if metadata.get("language") == "zh" else "en"]
    name = Path(image.replace("\\", "/")).stem
    file = _page_file(folder, image)
    return SampleRow(0, name, (file,), question, (reference,), "markdown", metadata)


def _page_file(folder: Path, image: str) -> str:
    """Return the path of the page from the folder: as it stands, in ``images``, or as a PDF in ``pdfs``."""
    name = image.replace("\\", "/")
    candidates = [name, f"images/{name}", f"pdfs/{Path(name).stem}.pdf"]
    # Path.is_file raises for names that are too long.
    there = (each for each in candidates if os.path.isfile(folder / each))  # noqa: PTH113
    return next(there, candidates[1])


def _metadata(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes that are texts, under the keys that reports know."""
    metadata = {
        _ATTRIBUTES.get(key, key): value
        for key, value in attributes.items()
        if isinstance(key, str) and isinstance(value, str) and value
    }
    language = metadata.get("language", "")
    return metadata | ({"language": _LANGUAGES.get(language, language)} if language else {})


def _with_continuations(blocks: Blocks, page: Mapping[str, Any]) -> Blocks:
    """Join texts that are one paragraph, cut by a column or a figure, into the first of them."""
    by_id = {_id(block): block for block in blocks}
    texts: dict[str, str] = {}
    continuations: set[str] = set()
    for paragraph in _cut_paragraphs(page):
        parts = _in_reading_order([by_id[each] for each in sorted(paragraph) if each in by_id])
        if not parts:
            continue
        first, *others = map(_id, parts)
        texts[first] = "".join(str(part.get("text") or "") for part in parts)
        continuations.update(others)
    kept = [block for block in blocks if _id(block) not in continuations]
    return [{**block, "text": texts.get(_id(block), block.get("text"))} for block in kept]


def _cut_paragraphs(page: Mapping[str, Any]) -> list[set[str]]:
    """The ids of the blocks of every paragraph that is cut, by the relations between two blocks."""
    extra = page.get("extra")
    relations = extra.get("relation") if isinstance(extra, dict) else None
    paragraphs: list[set[str]] = []
    for relation in relations if isinstance(relations, list) else []:
        if not isinstance(relation, dict) or relation.get("relation_type") != "truncated":
            continue
        ends = (relation.get("source_anno_id"), relation.get("target_anno_id"))
        if None in ends:
            continue
        joined = set(map(str, ends))
        apart = [paragraph for paragraph in paragraphs if not paragraph & joined]
        touching = [paragraph for paragraph in paragraphs if paragraph & joined]
        paragraphs = [*apart, joined.union(*touching)]
    return paragraphs


def _id(block: Mapping[str, Any]) -> str:
    return str(block.get("anno_id"))


def _in_reading_order(blocks: Blocks) -> Blocks:
    def place(block: Mapping[str, Any]) -> float:
        order = block.get("order")
        return float(order) if isinstance(order, int | float) else 0.0

    return sorted(blocks, key=place)


def _compared(blocks: Blocks, left_out: Counter[str]) -> Iterator[dict[str, str]]:
    """Yield the blocks that are compared; of the others, those that hold something are counted."""
    for block in blocks:
        category = block.get("category_type")
        if not isinstance(category, str) or category not in CATEGORIES:
            if isinstance(category, str) and "mask" in category:
                left_out["in masked regions"] += 1
            continue
        key = CATEGORIES[category][1]
        content = block.get(key)
        if isinstance(content, str) and content.strip():
            yield {"category": category, key: content}
        elif CATEGORIES[category][0] != "margin":
            left_out[f"of the category {category} without {key}"] += 1
