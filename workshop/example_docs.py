"""Draw the bundled documents and write the bundled tasks: ``python -m workshop.example_docs ROOT``.

The command writes ``ROOT/example_docs`` and ``ROOT/tasks``. ``example_docs.toml`` says which documents and
tasks there are. What is committed was made by this module; a test makes the tasks again and compares them.
"""

from __future__ import annotations

import io
import shutil
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import tomlkit

from bench.json_schemas.reading import read_schema_file
from bench.schema import SHORT_ANSWER, TRANSCRIBE, Json
from bench.synth.files import sample_line, write_pages, write_samples
from bench.synth.generated import DocumentQuestion, GeneratedDocument
from bench.synth.kinds import make
from bench.synth.raster import rasterise
from bench.synth.scanning import ScanStrength
from bench.synth.transcript import transcript
from workshop.references import describe, key_facts, typed_facts

if TYPE_CHECKING:
    from PIL import Image

SETTINGS: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
"""Content of ``example_docs.toml``."""

SCHEMAS = Path(__file__).with_name("schemas")
"""Holds the JSON Schemas of the bundled tasks, in a folder for each task."""


class ExampleRow(NamedTuple):
    """What is drawn for one bundled document."""

    stem: str
    """File name without suffix."""
    kind: str
    language: str
    seed: int
    layout: str | None = None
    scan: ScanStrength = "clean"
    dpi: int | None = None
    fax: bool = False
    """Whether the pages become the frames of a black-and-white TIFF."""
    samples: str = ""
    """What sample ids begin with; empty where it is the stem."""


EXAMPLES = tuple(ExampleRow(**row) for row in SETTINGS["documents"])


class ExampleDocument(NamedTuple):
    """A bundled document with how samples name its files."""

    row: ExampleRow
    drawn: GeneratedDocument
    files: dict[str, Json]


def draw_example(row: ExampleRow) -> GeneratedDocument:
    """Draw the values and sheets of a bundled document, before rendering."""
    return make(row.kind, row.language, Random(f"example/{row.seed}"), layout=row.layout)


def _files(row: ExampleRow) -> dict[str, Json]:
    if row.fax:
        return {"images": [f"{row.stem}.tiff"]}
    if row.kind == "contract":
        return {"document": f"{row.stem}.pdf"}
    suffix = "png" if row.scan == "clean" else "jpg"
    return {"images": [f"{row.stem}.{suffix}"]}


def write_example(row: ExampleRow, drawn: GeneratedDocument, folder: Path) -> None:
    """Render one bundled document into ``folder``."""
    dpi = row.dpi or drawn.dpi
    if row.fax:
        pages = [rasterise(sheet, dpi) for sheet in drawn.sheets]
        (folder / f"{row.stem}.tiff").write_bytes(_fax_tiff(pages, dpi))
    else:
        write_pages(drawn, folder, row.stem, row.scan, Random(f"scan/{row.seed}"), dpi)


def _fax_tiff(pages: Sequence[Image.Image], dpi: int) -> bytes:
    """Return ``pages`` as a black-and-white TIFF (CCITT group 4), as a fax server stores them."""
    first, *others = [
        page.convert("L").point(lambda grey: 255 if grey > 150 else 0).convert("1")
        for page in pages
    ]
    buffer = io.BytesIO()
    first.save(
        buffer, "TIFF", save_all=True, append_images=others, compression="group4", dpi=(dpi, dpi)
    )
    return buffer.getvalue()


def documents() -> list[ExampleDocument]:
    """Draw every bundled document, but render none."""
    return [ExampleDocument(row, draw_example(row), _files(row)) for row in EXAMPLES]


def task_lines(name: str, drawn: list[ExampleDocument]) -> list[dict[str, Json]]:
    """Return the samples of one bundled task."""
    task = SETTINGS["tasks"][name]
    chosen = [document for document in drawn if _is_asked(task, document.row)]
    return [line for turn, document in enumerate(chosen) for line in _lines(name, document, turn)]


def _is_asked(task: dict[str, Any], row: ExampleRow) -> bool:
    if "documents" in task:
        return row.stem in task["documents"]
    return row.kind in task["kinds"] and row.language in task.get("languages", [row.language])


def _lines(name: str, document: ExampleDocument, turn: int) -> list[dict[str, Json]]:
    task = SETTINGS["tasks"][name]
    row, drawn, files = document

    def line(part: str, field: str, text: str, answers: Sequence[Json]) -> dict[str, Json]:
        facts = {"doc_type": row.kind, "field": field, "language": row.language}
        return sample_line(f"{row.samples or row.stem}/{part}", files, text, answers, facts)

    if "schemas" in task:
        return [_data_line(name, document)]
    if task["answer_type"] == "json":
        return [line("fields", "all", extraction_question(drawn), [key_facts(drawn)])]
    if task["answer_type"] == "markdown":
        return [line("page", "page", TRANSCRIBE[row.language], [transcript(drawn.sheets)])]
    if task["answer_type"] == "description":
        question = SETTINGS["words"][row.language]["describe"]
        return [line("description", "description", question, describe(drawn))]
    return [
        line(question.field, question.field, question.text, question.answers)
        for question in _spread(drawn.questions, task["questions_per_document"], turn)
    ]


def _data_line(task: str, document: ExampleDocument) -> dict[str, Json]:
    """Return the line that asks for all that a schema describes; the schema makes the question."""
    row, drawn, files = document
    schemas = SETTINGS["tasks"][task]["schemas"]
    file = schemas[row.kind] if row.kind in schemas else schemas[row.language]
    schema = read_schema_file(SCHEMAS / task / file)
    facts = {"doc_type": row.kind, "field": "all", "language": row.language}
    stem = f"{row.samples or row.stem}/data"
    line = sample_line(stem, files, None, [typed_facts(drawn, schema)], facts)
    return line if file == _own_schema(task) else {**line, "schema": file}


def _own_schema(task: str) -> str:
    """Return the schema that a task's file names; its samples name the others."""
    files: dict[str, str] = SETTINGS["tasks"][task]["schemas"]
    return next(iter(files.values()))


def _spread(
    questions: tuple[DocumentQuestion, ...], most: int, turn: int
) -> list[DocumentQuestion]:
    """Choose at most ``most`` questions: those that are always asked, then others by turns."""
    always = SETTINGS["always_asked"]
    fixed = [question.field for question in questions if question.field in always]
    others = [question.field for question in questions if question.field not in always]
    room = min(max(0, most - len(fixed)), len(others))
    picked = [others[(turn + n * len(others) // room) % len(others)] for n in range(room)]
    return [question for question in questions if question.field in {*fixed, *picked}]


def extraction_question(drawn: GeneratedDocument) -> str:
    """Ask for the keys of the document's key facts, each with its meaning."""
    words = SETTINGS["words"][drawn.language]
    facts = key_facts(drawn)
    goods = facts.get("items") or [{}]
    item_keys = ", ".join(goods[0])
    named = [f"{key} ({words['keys'][key].format(item_keys=item_keys)})" for key in facts]
    separator = "、" if drawn.language == "zh" else ", "
    question: str = words["extract"].format(keys=separator.join(named))
    return question


_RULE_OF_DATA = """\
# The schema makes the question. Texts are as they are printed, amounts are numbers, and dates are written as
# YYYY-MM-DD. null stands where the document does not show a field.
"""

_RULE = """\
# The first answer of a sample is what is printed on the page. The others are the same value written
# otherwise, as a fair reader would accept it: an amount without thousands separators or with its currency,
# a date in another notation, other quotation marks. No other value, no rounding, no translation.
"""


_PAGE_RULE = """\
# The reference of a page is what was drawn, without stamps and signatures: texts and tables, line by line. Of
# texts that stand side by side, the left one comes first.
"""


def task_file(name: str) -> str:
    """Return the ``task.toml`` of one bundled task."""
    task = SETTINGS["tasks"][name]
    if "schemas" in task:
        return _RULE_OF_DATA + tomlkit.dumps(
            {**_facts(task, name), "schema": _own_schema(name), "named_only": True}
        )
    instructions = {**SHORT_ANSWER, "any": SETTINGS["words"]["any"]}
    instruction = f"\n{instructions[task['instruction']]}" if "instruction" in task else ""
    content = {
        **_facts(task, name),
        "answer_type": task["answer_type"],
        "metrics": task["metrics"],
        "prompt": {"template": f"{{question}}{instruction}"},
        "generation": {"max_new_tokens": task["max_new_tokens"]},
    }
    if task["answer_type"] != "markdown":
        return _RULE + tomlkit.dumps(content)
    # The answers are a hundred times as long as those of the other tasks.
    tables = ("prompt", "generation")
    head = {key: value for key, value in content.items() if key not in tables}
    return _PAGE_RULE + tomlkit.dumps(
        {**head, "named_only": True, **{key: content[key] for key in tables}}
    )


def _facts(task: dict[str, Any], name: str) -> dict[str, str]:
    """Return what every task file begins with."""
    return {
        "name": name,
        "version": "1",
        "title": task["title"],
        "license": "CC0-1.0",
        "source": "Synthetic documents: python -m workshop.example_docs",
        "documents": "example_docs",
    }


def write_examples(root: Path) -> None:
    """Write ``example_docs`` and ``tasks`` under ``root``; files of the same name are replaced."""
    folder = root / "example_docs"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = documents()
    for document in drawn:
        write_example(document.row, document.drawn, folder)
    (folder / "README.md").write_text(_README + _listing(drawn), encoding="utf-8", newline="\n")
    for name in SETTINGS["tasks"]:
        home = root / "tasks" / name
        home.mkdir(parents=True, exist_ok=True)
        for schema in SETTINGS["tasks"][name].get("schemas", {}).values():
            shutil.copyfile(SCHEMAS / name / schema, home / schema)
        write_samples(home / "samples.jsonl", task_lines(name, drawn))
        (home / "task.toml").write_text(task_file(name), encoding="utf-8", newline="\n")


_README = """\
# Example documents

These are synthetic documents in Russian, English and Chinese. The companies, people, account and tax numbers
are made up; any likeness to real ones is chance. Check digits are valid, so that programs accept them. You
may use the documents for anything: [CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/).

`python -m workshop.example_docs .` makes them, and the questions in `tasks/`. `bench data synth` draws more
of the same kinds ([docs/example_docs.md](../docs/example_docs.md)).

"""

_LOOKS = {
    "clean": "clean",
    "light": "scanned well",
    "heavy": "scanned badly",
    "photo": "photographed",
}


def _listing(drawn: list[ExampleDocument]) -> str:
    lines = ["| File | Kind | Language | Look | Pages |", "|---|---|---|---|---|"]
    for row, document, files in drawn:
        name = files.get("document") or files["images"][0]
        look = "black-and-white fax" if row.fax else _LOOKS[row.scan]
        pages = len(document.sheets)
        lines.append(f"| `{name}` | {row.kind} | {row.language} | {look} | {pages} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("Name one folder to write into: python -m workshop.example_docs ROOT")
    write_examples(Path(sys.argv[1]))
