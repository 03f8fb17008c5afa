"""Data sets of VLMHyperBench as they are: nothing in them is changed, renamed or copied.

https://github.com/VLMHyperBenchTeam/VLMHyperBench (formats read at commit ba79c53 and in
``dataset_iterator``, ``model_qwen2.5_vl_lora``)::

    <name>/annotation.csv + images/       one question a row, one field a question
    <name>/images/<id>/*.jpg              bundles of pages: which page is of which class (RPOClassification),
    <name>/jsons/<id>.json                and in which order the pages of one class go (RPOSorting)
    <name>/classes.json

``jsons/<id>.json`` holds ``{"fields": {class: [page, …]}}``: pages counted from 0 in the order of the file
names, written in reading order. A folder of bundles stands for the classification task, and
``<name>/RPOSorting`` (which need not exist) for the sorting task.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.tasks.csvfile import read_table
from bench.tasks.decoders import decode
from bench.tasks.images import IMAGE_SUFFIXES
from bench.tasks.problems import Problem
from bench.tasks.samples import Rows, SampleRow
from bench.tasks.taskfile import GenerationTable, PromptTable, TaskFile
from bench.text import one_line

ANNOTATION = "annotation.csv"
CLASSIFICATION = "RPOClassification"
SORTING = "RPOSorting"

PAGES_PREFIX = "Количество поданных страниц документов - {pages}."
"""What VLMHyperBench puts before every prompt about a bundle."""

_COLUMNS = (("image_path",), ("question",), ("answer",))
_METADATA = {
    "doc_class": "doc_type",
    "question_type": "field",
    "answer_bbox": "bbox",
}
"""Column → the metadata key that reports know; other columns keep their names."""

_FIELD_METRICS = ["anls", "exact_match", "field_match", "cer", "wer"]
_CLASSIFICATION_METRICS = ["page_accuracy", "sequence_match"]
_SORTING_METRICS = ["sequence_match", "page_accuracy", "kendall_tau", "spearman_rho"]
_MAX_JSON_BYTES = 16 * 2**20


class Foreign(NamedTuple):
    """A data set of another tool, read to its end."""

    root: Path
    """The folder that page paths count from."""
    file: str
    """Name of the file that problems of a row are told of."""
    spec: TaskFile
    """What stands in for a ``task.toml``."""
    rows: Rows


def is_dataset(path: Path) -> bool:
    """Whether ``path`` is a folder that ``read_dataset`` reads."""
    return (path / ANNOTATION).is_file() or _bundle_task(path) is not None


def read_dataset(path: Path) -> Foreign | None:
    """The data set at ``path``; None where no VLMHyperBench data set lies there."""
    if (path / ANNOTATION).is_file():
        spec = TaskFile(
            title=f"{path.resolve().name} (VLMHyperBench)",
            metrics=_FIELD_METRICS,
            # The questions are whole instructions, and are asked as they stand.
            prompt=PromptTable(template="{question}"),
            generation=GenerationTable(max_new_tokens=128),
        )
        return Foreign(path, ANNOTATION, spec, read_annotation(path / ANNOTATION))
    found = _bundle_task(path)
    if found is None:
        return None
    root, kind = found
    spec = TaskFile(
        name=root.resolve().name if kind == CLASSIFICATION else f"{root.resolve().name}-{kind}",
        title=f"{root.resolve().name}, {kind} (VLMHyperBench)",
        metrics=_CLASSIFICATION_METRICS if kind == CLASSIFICATION else _SORTING_METRICS,
        prompt=PromptTable(template="{question}"),
        generation=GenerationTable(max_new_tokens=128),
    )
    read = _classification_rows if kind == CLASSIFICATION else _sorting_rows
    return Foreign(root, "jsons", spec, read(root))


def read_annotation(path: Path) -> Rows:
    """``annotation.csv``: a sample a row, its id the row's number from 0, as in answers files."""
    read = Rows([], [], [], [])
    unanswered = 0
    records = read_table(path, read.problems, read.notes, _COLUMNS)
    for index, (line, cells) in enumerate(records):
        for column in ("image_path", "question"):
            if not str(cells.get(column, "")).strip():
                read.problems.append(Problem(path.name, line, f"{column} is empty"))
        if "image_path" not in cells or "question" not in cells:
            continue
        image = _image_name(path.parent, cells["image_path"])
        references = _references(cells.get("answer"))
        unanswered += references == ("",)
        read.files.append((line, image))
        read.rows.append(
            SampleRow(
                line, str(index), (image,), cells["question"], references, "text", _metadata(cells)
            )
        )
    if unanswered:
        count = f"{unanswered} rows have" if unanswered > 1 else "1 row has"
        note = f"{count} no answer: right is an empty answer, for a field that is not on the page"
        read.notes.append(Problem(path.name, 0, note))
    if not read.rows and not read.problems:
        read.problems.append(Problem(path.name, 0, "holds no rows"))
    return read


def read_answers(path: Path) -> dict[str, str]:
    """An answers file, ``id;model_answer`` or ``sample_id;model_answer``: answer by sample id.

    Raises:
        InvalidInput: the file cannot be read, or an id stands twice.
    """
    if not path.is_file():
        raise InvalidInput(f"answers file {one_line(str(path))} does not exist")
    problems: list[Problem] = []
    answers: dict[str, str] = {}
    needed = (("id", "sample_id"), ("model_answer",))
    for line, cells in read_table(path, problems, [], needed):
        sample_id = str(cells.get("id", cells.get("sample_id", ""))).strip()
        if not sample_id or sample_id in answers:
            why = f"{sample_id!r} stands twice" if sample_id else "is empty"
            problems.append(Problem(path.name, line, f"id {why}"))
            continue
        answers[sample_id] = unguarded(str(cells.get("model_answer", "")))
    if problems:
        raise InvalidInput(str(problems[0]._replace(file=str(path))))
    return answers


def unguarded(cell: str) -> str:
    """``cell`` without the apostrophe that keeps a spreadsheet from taking it for a formula."""
    return cell[1:] if re.match(r"'[=+\-@\t\r]", cell) else cell


def _image_name(root: Path, name: str) -> str:
    """``name`` as a path that counts from ``root``; Windows separators are read as such."""
    name = name.strip().replace("\\", "/")
    if not (root / name).is_file() and (root / "images" / name).is_file():
        return f"images/{name}"
    return name


def _references(answer: Any) -> tuple[str, ...]:
    """One reference, or several written as a Python list, which the first data sets had."""
    if answer is None:
        return ("",)
    try:
        value = decode("literal-or-string", answer)
    except InvalidInput:
        # An answer may well begin with a bracket.
        return (str(answer),)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return tuple(value)
    return (str(answer),)


def _metadata(cells: Mapping[str, Any]) -> dict[str, str]:
    asked = {"image_path", "question", "answer"}
    return {
        _METADATA.get(name, name): str(value) for name, value in cells.items() if name not in asked
    }


# Bundles of pages


class _Bundle(NamedTuple):
    id: str
    files: tuple[str, ...]
    """Pages, counting from the data set's folder, in the order of their names."""
    classes: Mapping[str, tuple[tuple[int, ...], ...]]
    """Class → its documents, each the numbers of its pages (from 0) in reading order."""
    metadata: Mapping[str, str]


def _bundle_task(path: Path) -> tuple[Path, str] | None:
    """Folder and kind of the bundle task that ``path`` names."""
    if (path / "images").is_dir() and (path / "jsons").is_dir():
        return path, CLASSIFICATION
    root = path.parent
    if path.name in {CLASSIFICATION, SORTING} and (root / "images").is_dir():
        return (root, path.name) if (root / "jsons").is_dir() else None
    return None


def _classification_rows(root: Path) -> Rows:
    read = Rows([], [], [], [])
    numbers = _class_numbers(root, read.problems)
    for bundle in _bundles(root, read):
        classes = {page: name for name, many in bundle.classes.items() for d in many for page in d}
        unknown = next((name for name in bundle.classes if name not in numbers), None)
        if unknown is not None:
            message = f"class {one_line(unknown, 60)!r} is not in classes.json"
            read.problems.append(Problem(_json_name(bundle), 0, message))
            continue
        if len(classes) < len(bundle.files):
            missing = next(i for i in range(len(bundle.files)) if i not in classes)
            message = f"page {missing} ({bundle.files[missing]}) has no class"
            read.problems.append(Problem(_json_name(bundle), 0, message))
            continue
        reference = ",".join(str(numbers[classes[i]]) for i in range(len(bundle.files)))
        listed = "\n".join(f"{number} - {name}" for name, number in numbers.items())
        instruction = (
            "Определите класс каждой страницы, в том порядке, в котором страницы даны.\n"
            f"Классы:\n{listed}\n"
            "Ответьте только номерами классов через запятую, по одному на страницу."
        )
        metadata = {**bundle.metadata, "field": "page classes"}
        _add(read, bundle.id, bundle.files, instruction, reference, metadata)
    return _not_empty(read)


def _sorting_rows(root: Path) -> Rows:
    read = Rows([], [], [], [])
    instruction = (
        "Это страницы одного документа, возможно, перепутанные. Расположите их по порядку.\n"
        "Ответьте только номерами страниц через запятую; первая из поданных страниц имеет номер 1."
    )
    for bundle in _bundles(root, read):
        for name, documents in bundle.classes.items():
            for number, pages in enumerate(documents):
                if len(pages) < 2:
                    continue
                shown = sorted(pages)
                reference = ",".join(str(shown.index(page) + 1) for page in pages)
                suffix = f"/{number + 1}" if len(documents) > 1 else ""
                metadata = {**bundle.metadata, "doc_type": name, "field": "page order"}
                files = tuple(bundle.files[page] for page in shown)
                _add(read, f"{bundle.id}/{name}{suffix}", files, instruction, reference, metadata)
    return _not_empty(read)


def _add(
    read: Rows,
    sample_id: str,
    files: tuple[str, ...],
    instruction: str,
    reference: str,
    metadata: Mapping[str, str],
) -> None:
    question = f"{PAGES_PREFIX.format(pages=len(files))}\n{instruction}"
    read.files.extend((0, name) for name in files)
    read.rows.append(SampleRow(0, sample_id, files, question, (reference,), "text", metadata))


def _not_empty(read: Rows) -> Rows:
    if not read.rows and not read.problems:
        read.problems.append(Problem("images", 0, "holds no bundle that can be asked about"))
    return read


def _bundles(root: Path, read: Rows) -> Iterator[_Bundle]:
    """Every bundle that has a ``jsons/<id>.json``; as in VLMHyperBench, the others are passed over."""
    skipped = 0
    for folder, subset in _page_folders(root / "images"):
        bundle_id = folder.name if subset is None else f"{subset}/{folder.name}"
        names = [f"jsons/{bundle_id}.json", f"jsons/{folder.name}.json"]
        name = next((name for name in names if (root / name).is_file()), None)
        if name is None:
            skipped += 1
            continue
        files = tuple(p.relative_to(root).as_posix() for p in _page_files(folder))
        try:
            classes = _fields(_read_json(root / name), len(files))
        except InvalidInput as error:
            read.problems.append(Problem(name, 0, error.message))
            continue
        metadata = {} if subset is None else {"split": subset}
        yield _Bundle(bundle_id, files, classes, metadata)
    if skipped:
        note = f"{skipped} bundle{'s have' if skipped > 1 else ' has'} no file in jsons, left out"
        read.notes.append(Problem("images", 0, note))


def _page_folders(images: Path) -> Iterator[tuple[Path, str | None]]:
    """Folders of pages with the subset that they lie in (``images/<id>`` or ``images/<subset>/<id>``)."""
    for folder in sorted((p for p in images.iterdir() if p.is_dir()), key=_natural):
        if _page_files(folder):
            yield folder, None
        else:
            for inner in sorted((p for p in folder.iterdir() if p.is_dir()), key=_natural):
                yield inner, folder.name


def _page_files(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Page 10 comes after page 9."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in parts]


def _json_name(bundle: _Bundle) -> str:
    return f"jsons/{bundle.id}.json"


def _read_json(path: Path) -> Any:
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise InvalidInput("is larger than 16 MiB")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {one_line(str(error), 100)}") from None


def _fields(value: Any, pages: int) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Class → documents → pages; a class may hold one list of pages, or a list for every document."""
    fields = value.get("fields", value) if isinstance(value, dict) else None
    if not isinstance(fields, dict) or not fields:
        raise InvalidInput('expected {"fields": {class: [page, …]}}')
    found: dict[str, tuple[tuple[int, ...], ...]] = {}
    for name, listed in fields.items():
        nested = isinstance(listed, list) and bool(listed) and isinstance(listed[0], list)
        documents = listed if nested else [listed]
        if not all(_are_numbers(document) for document in documents):
            raise InvalidInput(f"class {one_line(name, 60)!r}: expected a list of page numbers")
        found[name] = tuple(tuple(document) for document in documents if document)
    used = [page for documents in found.values() for document in documents for page in document]
    wrong = next((page for page in used if not 0 <= page < pages), None)
    if wrong is not None:
        raise InvalidInput(f"page {wrong} of {pages}: pages are counted from 0")
    if len(set(used)) < len(used):
        raise InvalidInput(f"page {max(used, key=used.count)} stands twice")
    return found


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) for item in value
    )


def _class_numbers(root: Path, problems: list[Problem]) -> dict[str, int]:
    """Class → its number in answers, from any of the shapes that ``classes.json`` comes in."""
    path = root / "classes.json"
    if not path.is_file():
        problems.append(Problem("classes.json", 0, "is missing; the classes have no numbers"))
        return {}
    try:
        return _numbered(_read_json(path))
    except InvalidInput as error:
        problems.append(Problem("classes.json", 0, error.message))
        return {}


def _numbered(value: Any) -> dict[str, int]:
    pairs: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, list):
        pairs = [(name, number) for number, name in enumerate(value, 1)]
    elif isinstance(value, dict):
        # Either {"passport": 6} or {"6": "passport"}.
        pairs = [(v, k) if str(k).isdecimal() else (k, v) for k, v in value.items()]
    good = [
        (name, int(number))
        for name, number in pairs
        if isinstance(name, str) and str(number).isdecimal()
    ]
    if not pairs or len(good) < len(pairs) or len({number for _, number in good}) < len(good):
        raise InvalidInput(
            'expected a list of class names, or {class: number} or {"number": class}'
        )
    return dict(sorted(good, key=lambda pair: pair[1]))
