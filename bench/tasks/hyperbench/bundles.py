"""Reads bundles of pages: RPOClassification (the class of each page) and RPOSorting (their order).

``jsons/<id>.json`` holds ``{"fields": {class: [page, …]}}``. Pages are counted from 0 in the order of the
file names and listed in reading order. The folder of the bundles stands for the classification task, and
``<name>/RPOSorting``, which need not exist, for the sorting task.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.formatting import plural
from bench.parsing import Unreadable, read_json, whole_number
from bench.tasks.images import IMAGE_SUFFIXES
from bench.tasks.samples import SampleRow, SampleTable
from bench.text import one_line

CLASSIFICATION = "RPOClassification"
SORTING = "RPOSorting"

PAGES_PREFIX = "Количество поданных страниц документов - {pages}."
"""The sentence that VLMHyperBench puts before every prompt about a bundle."""

_CLASSIFY = """\
Определите класс каждой страницы, в том порядке, в котором страницы даны.
Классы:
{classes}
Ответьте только номерами классов через запятую, по одному на страницу."""
_SORT = """\
Это страницы одного документа, возможно, перепутанные. Расположите их по порядку.
Ответьте только номерами страниц через запятую; первая из поданных страниц имеет номер 1."""

_MAX_JSON_BYTES = 16 * 2**20
"""A larger file is no list of page numbers, and it would take the memory of the run."""

PageNumbers = tuple[int, ...]
"""The pages of one document in reading order, counted from 0 in the bundle."""


class BundleTask(NamedTuple):
    """A folder of bundles, and which of the two tasks is meant."""

    folder: Path
    kind: str
    """``CLASSIFICATION`` or ``SORTING``."""


class Bundle(NamedTuple):
    """Pages that were scanned together, of several documents."""

    id: str
    files: tuple[str, ...]
    """Pages, named from the folder of the data set, in the order of their names."""
    documents: Mapping[str, tuple[PageNumbers, ...]]
    """Class → the documents of that class."""
    metadata: Mapping[str, str]

    @property
    def json_name(self) -> str:
        """The file that problems of the bundle are in."""
        return f"jsons/{self.id}.json"


def bundle_task(path: Path) -> BundleTask | None:
    """Return the task that ``path`` names; None if it names no folder of bundles."""
    if _holds_bundles(path):
        return BundleTask(path, CLASSIFICATION)
    if path.name in {CLASSIFICATION, SORTING} and _holds_bundles(path.parent):
        return BundleTask(path.parent, path.name)
    return None


def _holds_bundles(path: Path) -> bool:
    return (path / "images").is_dir() and (path / "jsons").is_dir()


def classification_samples(folder: Path) -> SampleTable:
    """Read one sample a bundle: its answer is the number of the class of every page."""
    table = SampleTable("images")
    numbers = _class_numbers(folder, table)
    listed = "\n".join(f"{number} - {name}" for name, number in numbers.items())
    for bundle in _bundles(folder, table):
        try:
            classes = _page_classes(bundle, numbers)
        except InvalidInput as error:
            table.add_problem(error.message, file=bundle.json_name)
            continue
        reference = ",".join(str(numbers[name]) for name in classes)
        metadata = {**bundle.metadata, "field": "page classes"}
        instruction = _CLASSIFY.format(classes=listed)
        table.add_row(_sample(bundle.id, bundle.files, instruction, reference, metadata))
    return _not_empty(table)


def _page_classes(bundle: Bundle, numbers: Mapping[str, int]) -> list[str]:
    """Return the class of every page of the bundle, in the order of the pages."""
    classes: dict[int, str] = {}
    for name, documents in bundle.documents.items():
        if name not in numbers:
            raise InvalidInput(f"class {one_line(name, 60)!r} is not in classes.json")
        for pages in documents:
            classes.update(dict.fromkeys(pages, name))
    for page, file in enumerate(bundle.files):
        if page not in classes:
            raise InvalidInput(f"page {page} ({file}) has no class")
    return [classes[page] for page in range(len(bundle.files))]


def sorting_samples(folder: Path) -> SampleTable:
    """Read one sample for every document of two pages or more: its answer is the order of the pages.

    The pages are shown in the order of their file names.
    """
    table = SampleTable("images")
    for bundle in _bundles(folder, table):
        for name, documents in bundle.documents.items():
            for number, pages in enumerate(documents, 1):
                if len(pages) < 2:
                    continue
                suffix = f"/{number}" if len(documents) > 1 else ""
                shown = sorted(pages)
                reference = ",".join(str(shown.index(page) + 1) for page in pages)
                files = tuple(bundle.files[page] for page in shown)
                metadata = {**bundle.metadata, "doc_type": name, "field": "page order"}
                sample_id = f"{bundle.id}/{name}{suffix}"
                table.add_row(_sample(sample_id, files, _SORT, reference, metadata))
    return _not_empty(table)


def _sample(
    sample_id: str,
    files: tuple[str, ...],
    instruction: str,
    reference: str,
    metadata: Mapping[str, str],
) -> SampleRow:
    question = f"{PAGES_PREFIX.format(pages=len(files))}\n{instruction}"
    return SampleRow(0, sample_id, files, question, (reference,), "text", metadata)


def _not_empty(table: SampleTable) -> SampleTable:
    if not table.rows and not table.problems:
        table.add_problem("the folder contains no bundle that a question can be asked about")
    return table


# Files of the bundles


def _bundles(folder: Path, table: SampleTable) -> Iterator[Bundle]:
    """Yield every bundle that has a ``jsons/<id>.json``; VLMHyperBench leaves out the others, too."""
    without_json = 0
    for pages_folder, subset in _page_folders(folder / "images"):
        bundle_id = pages_folder.name if subset is None else f"{subset}/{pages_folder.name}"
        candidates = (f"jsons/{bundle_id}.json", f"jsons/{pages_folder.name}.json")
        json_name = next((name for name in candidates if (folder / name).is_file()), None)
        if json_name is None:
            without_json += 1
            continue
        files = tuple(path.relative_to(folder).as_posix() for path in _page_files(pages_folder))
        try:
            documents = _documents(_read_json(folder / json_name), len(files))
        except InvalidInput as error:
            table.add_problem(error.message, file=json_name)
            continue
        yield Bundle(bundle_id, files, documents, {} if subset is None else {"split": subset})
    if without_json:
        is_left_out = (
            "has no file in jsons and is" if without_json == 1 else "have no file in jsons and are"
        )
        table.add_note(f"{plural(without_json, 'bundle')} {is_left_out} left out")


def _page_folders(images: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the folders of pages with their subset: ``images/<id>`` or ``images/<subset>/<id>``."""
    for folder in _subfolders(images):
        if _page_files(folder):
            yield folder, None
            continue
        for inner in _subfolders(folder):
            yield inner, folder.name


def _subfolders(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if path.is_dir()), key=_natural_order)


def _page_files(folder: Path) -> list[Path]:
    images = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(images, key=_natural_order)


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Return the sorting key by which page 10 comes after page 9."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [
        (0, int(part), "") if part[0] in "0123456789" else (1, 0, part.lower()) for part in parts
    ]


def _read_json(path: Path) -> Any:
    try:
        return read_json(path, _MAX_JSON_BYTES)
    except Unreadable as error:
        raise InvalidInput(f"the file {error.reason}", hint=error.hint) from None


def _documents(value: Any, page_count: int) -> dict[str, tuple[PageNumbers, ...]]:
    """Check the classes of a bundle; a class holds one list of pages, or a list for every document."""
    fields = value.get("fields", value) if isinstance(value, dict) else None
    if not isinstance(fields, dict) or not fields:
        raise InvalidInput('expected {"fields": {class: [page, …]}}')
    documents: dict[str, tuple[PageNumbers, ...]] = {}
    for name, listed in fields.items():
        is_nested = isinstance(listed, list) and bool(listed) and isinstance(listed[0], list)
        lists = listed if is_nested else [listed]
        if not all(_are_integers(pages) for pages in lists):
            raise InvalidInput(f"class {one_line(name, 60)!r}: expected a list of page numbers")
        documents[name] = tuple(tuple(pages) for pages in lists if pages)
    _check_pages(documents, page_count)
    return documents


def _check_pages(documents: Mapping[str, tuple[PageNumbers, ...]], page_count: int) -> None:
    listed: list[int] = []
    for documents_of_class in documents.values():
        for pages in documents_of_class:
            listed += pages
    seen: set[int] = set()
    for page in listed:
        if not 0 <= page < page_count:
            raise InvalidInput(
                f"there is no page {page} among {plural(page_count, 'page')}: "
                "pages are counted from 0"
            )
        if page in seen:
            raise InvalidInput(f"page {page} is listed twice")
        seen.add(page)


def _are_integers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


# classes.json


def _class_numbers(folder: Path, table: SampleTable) -> dict[str, int]:
    """Return class → its number in answers; problems are added to ``table``."""
    path = folder / "classes.json"
    if not path.is_file():
        table.add_problem("the file is missing, so the classes have no numbers", file=path.name)
        return {}
    try:
        return _numbered(_read_json(path))
    except InvalidInput as error:
        table.add_problem(error.message, file=path.name)
        return {}


def _numbered(value: Any) -> dict[str, int]:
    """Number the classes, from any of the shapes that ``classes.json`` comes in."""
    pairs: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, list):
        pairs = [(name, number) for number, name in enumerate(value, 1)]
    elif isinstance(value, dict):
        # Either {"passport": 6} or {"6": "passport"}.
        pairs = [(v, k) if str(k).isdecimal() else (k, v) for k, v in value.items()]
    numbered = [
        (name, numeral)
        for name, number in pairs
        if isinstance(name, str) and (numeral := whole_number(str(number))) is not None
    ]
    shared = len({number for _, number in numbered}) < len(numbered)
    if not pairs or len(numbered) < len(pairs) or shared:
        raise InvalidInput(
            'expected a list of class names, or {class: number}, or {"number": class}'
        )
    return dict(sorted(numbered, key=lambda pair: pair[1]))
