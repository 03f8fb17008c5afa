"""Draw the bundled documents and write the bundled tasks: ``python -m workshop.example_docs ROOT``.

The command writes ``ROOT/example_docs`` and ``ROOT/tasks``. What is committed there was made by this module, and
a test makes the tasks again and compares them.
"""

# ruff: noqa: E501  (prose and tables read better in long lines)
from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from bench.schema import Json
from bench.synth.files import sample_line, write_pages, write_samples
from bench.synth.generate import INSTRUCTIONS
from bench.synth.generated import DocumentQuestion, GeneratedDocument
from bench.synth.kinds import make
from bench.synth.raster import rasterise
from bench.synth.scanning import ScanStrength
from workshop.references import describe, key_facts

if TYPE_CHECKING:
    from PIL import Image


class ExampleRow(NamedTuple):
    """What is drawn for one bundled document."""

    stem: str
    """File name without suffix; also the stem of sample ids, except for ``1``."""
    kind: str
    language: str
    seed: int
    strength: ScanStrength = "clean"
    layout: str | None = None
    dpi: int | None = None
    fax: bool = False
    """Whether the pages become the frames of a black-and-white TIFF."""

    @property
    def name(self) -> str:
        """What sample ids begin with."""
        return "schet-faktura-1" if self.stem == "1" else self.stem


EXAMPLES = (
    ExampleRow("1", "schet-faktura", "ru", 23, layout="sans", dpi=300),
    ExampleRow("schet-faktura-2", "schet-faktura", "ru", 22, "heavy", "serif"),
    ExampleRow("schet-1", "invoice", "ru", 31, layout="classic"),
    ExampleRow("schet-2", "invoice", "ru", 42, "light", "qr"),
    ExampleRow("invoice-en-1", "invoice", "en", 51, layout="modern"),
    ExampleRow("invoice-en-2", "invoice", "en", 62, "light", "classic"),
    ExampleRow("invoice-en-3", "invoice", "en", 73, "heavy", "ledger"),
    ExampleRow("invoice-en-4", "invoice", "en", 84, layout="long", dpi=200, fax=True),
    ExampleRow("invoice-zh-1", "invoice", "zh", 96, layout="paper", dpi=200),
    ExampleRow("invoice-zh-2", "invoice", "zh", 108, layout="digital", dpi=200),
    ExampleRow("invoice-zh-3", "invoice", "zh", 113, "light", "paper", 200),
    ExampleRow("invoice-zh-4", "invoice", "zh", 124, "heavy", "digital", 200),
    ExampleRow("receipt-ru-1", "receipt", "ru", 121),
    ExampleRow("receipt-ru-2", "receipt", "ru", 132, "photo"),
    ExampleRow("receipt-en-1", "receipt", "en", 141),
    ExampleRow("receipt-en-2", "receipt", "en", 152, "photo"),
    ExampleRow("receipt-zh-1", "receipt", "zh", 161),
    ExampleRow("receipt-zh-2", "receipt", "zh", 172, "light"),
    ExampleRow("form-ru-1", "form", "ru", 181, "light"),
    ExampleRow("form-en-1", "form", "en", 192),
    ExampleRow("form-zh-1", "form", "zh", 203),
    ExampleRow("contract-ru", "contract", "ru", 211, layout="serif"),
    ExampleRow("slip-en-1", "slip", "en", 301, layout="lines"),
    ExampleRow("slip-en-2", "slip", "en", 302, layout="columns"),
    ExampleRow("slip-en-3", "slip", "en", 303, layout="ends"),
    ExampleRow("slip-en-4", "slip", "en", 304, layout="grid"),
    ExampleRow("slip-en-5", "slip", "en", 305, "light", "stacked"),
    ExampleRow("slip-en-6", "slip", "en", 306, layout="card"),
    ExampleRow("slip-ru-1", "slip", "ru", 311, layout="lines"),
    ExampleRow("slip-ru-2", "slip", "ru", 312, layout="columns"),
    ExampleRow("slip-ru-3", "slip", "ru", 313, layout="ends"),
    ExampleRow("slip-ru-4", "slip", "ru", 314, layout="grid"),
    ExampleRow("slip-ru-5", "slip", "ru", 315, "light", "stacked"),
    ExampleRow("slip-ru-6", "slip", "ru", 316, layout="card"),
)


@dataclass(frozen=True, slots=True)
class BundledTask:
    """A bundled task: which documents it asks about, what it asks, and what its file says."""

    title: str
    chosen: Callable[[ExampleRow], bool]
    instruction: str
    """What follows the question in the prompt; empty for none."""
    answer_type: str = "text"
    metrics: tuple[str, ...] = ("anls", "exact_match", "contains", "cer", "fuzzy_ratio")
    max_new_tokens: int = 64
    most: int = 9
    """Questions a document, at most."""


def _of(kind: str, language: str | None) -> Callable[[ExampleRow], bool]:
    return lambda row: row.kind == kind and language in (None, row.language)


_ANY_SHORT = "Отвечайте кратко, только ответ. / Answer briefly, with the answer only. / 请简短回答，只给出答案。"
_STRUCTURED = frozenset({"1", "schet-2", "invoice-en-1", "invoice-en-2", "invoice-zh-2", "invoice-zh-3", "receipt-ru-1",
                         "receipt-en-1", "receipt-zh-1", "form-en-1"})  # fmt: skip
_DESCRIBED = frozenset({"1", "schet-1", "form-ru-1", "contract-ru", "invoice-en-1", "receipt-en-1", "form-en-1",
                        "invoice-zh-1", "receipt-zh-1"})  # fmt: skip

TASKS: Mapping[str, BundledTask] = {
    "invoices-ru": BundledTask(
        "Invoice fields, Russian",
        lambda row: row.language == "ru" and row.kind in ("invoice", "schet-faktura"), INSTRUCTIONS["ru"],
    ),
    "invoices-en": BundledTask("Invoice fields, English", _of("invoice", "en"), INSTRUCTIONS["en"]),
    "invoices-zh": BundledTask("Invoice fields, Chinese", _of("invoice", "zh"), INSTRUCTIONS["zh"]),
    "receipts": BundledTask("Receipt fields in Russian, English and Chinese", _of("receipt", None), _ANY_SHORT, most=6),
    "forms": BundledTask("Forms filled in by hand, in Russian, English and Chinese", _of("form", None), _ANY_SHORT, most=6),
    "contract-ru": BundledTask(
        "A three-page contract with a text layer, Russian", _of("contract", "ru"), INSTRUCTIONS["ru"], most=16
    ),
    "slips": BundledTask("Small slips in Russian and English, for small models", _of("slip", None), ""),
    "extraction": BundledTask(
        "Structured extraction to JSON, three languages", lambda row: row.stem in _STRUCTURED, "", "json",
        ("anls_star", "kie_f1"), 1024,
    ),
    "description": BundledTask(
        "Describing a document, three languages", lambda row: row.stem in _DESCRIBED, "", "description",
        ("fuzzy_ratio", "anls"), 512,
    ),
}  # fmt: skip

_ALWAYS = frozenset({"number", "total", "seller_inn", "shop", "surname", "name", "until"})
"""Fields asked of every document that has them."""

_DESCRIBE = {"ru": "Опиши документ.", "en": "Describe the document.", "zh": "请描述这份文件。"}

_EXTRACT = {
    "ru": "Извлеките данные из документа и верните только JSON-объект с ключами: {keys}. Значения запишите так, как они "
          "напечатаны.",
    "en": "Extract the data from the document and return only a JSON object with the keys: {keys}. Write the values as "
          "they are printed.",
    "zh": "请从文件中提取数据，只返回一个JSON对象，键为：{keys}。各值按文件上的写法填写。",
}  # fmt: skip

_KEY_MEANINGS = {
    "ru": {
        "number": "номер", "date": "дата", "seller_name": "продавец", "seller_inn": "ИНН продавца",
        "buyer_name": "покупатель", "buyer_inn": "ИНН покупателя", "total_net": "всего без налога",
        "total_tax": "сумма НДС", "total": "итоговая сумма", "shop": "магазин",
        "items": "позиции: список объектов с ключами {item_keys}",
    },
    "en": {
        "number": "invoice number", "date": "date", "due_date": "due date", "seller_name": "seller",
        "buyer_name": "buyer", "total_net": "subtotal", "total_tax": "tax", "total": "total", "shop": "shop",
        "surname": "last name", "given_name": "first name", "birth_date": "date of birth", "phone": "telephone",
        "email": "e-mail", "position": "position applied for", "items": "list of objects with the keys {item_keys}",
    },
    "zh": {
        "number": "发票号码", "date": "日期", "seller_name": "销售方名称", "seller_tax_id": "销售方税号",
        "buyer_name": "购买方名称", "buyer_tax_id": "购买方税号", "total_net": "合计金额", "total_tax": "合计税额",
        "total": "总金额", "shop": "店名", "items": "明细，对象列表，键为{item_keys}",
    },
}  # fmt: skip
"""What the keys of an extraction mean, in the language of the question."""


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
    suffix = "png" if row.strength == "clean" else "jpg"
    return {"images": [f"{row.stem}.{suffix}"]}


def write_example(row: ExampleRow, drawn: GeneratedDocument, folder: Path) -> None:
    """Render one bundled document into ``folder``."""
    dpi = row.dpi or drawn.dpi
    if row.fax:
        pages = [rasterise(sheet, dpi) for sheet in drawn.sheets]
        (folder / f"{row.stem}.tiff").write_bytes(_fax_tiff(pages, dpi))
    else:
        write_pages(drawn, folder, row.stem, row.strength, Random(f"scan/{row.seed}"), dpi)


def _fax_tiff(pages: Sequence[Image.Image], dpi: int) -> bytes:
    """Return ``pages`` as the frames of a black-and-white TIFF (CCITT group 4), as a fax server stores them."""
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


def _spread(
    questions: tuple[DocumentQuestion, ...], most: int, turn: int
) -> list[DocumentQuestion]:
    """Choose at most ``most`` questions: the fixed fields, then others by turns, in the given order."""
    fixed = [question.field for question in questions if question.field in _ALWAYS]
    others = [question.field for question in questions if question.field not in _ALWAYS]
    room = min(max(0, most - len(fixed)), len(others))
    picked = [others[(turn + n * len(others) // room) % len(others)] for n in range(room)]
    return [question for question in questions if question.field in {*fixed, *picked}]


def _lines(document: ExampleDocument, task: BundledTask, turn: int) -> list[dict[str, Json]]:
    row, drawn, files = document

    def line(name: str, field: str, text: str, answers: Sequence[Json]) -> dict[str, Json]:
        facts = {"doc_type": row.kind, "field": field, "language": row.language}
        return sample_line(f"{row.name}/{name}", files, text, answers, facts)

    if task.answer_type == "json":
        return [line("fields", "all", extraction_question(drawn), [key_facts(drawn)])]
    if task.answer_type == "description":
        return [line("description", "description", _DESCRIBE[row.language], describe(drawn))]
    return [
        line(question.field, question.field, question.text, question.answers)
        for question in _spread(drawn.questions, task.most, turn)
    ]


def extraction_question(drawn: GeneratedDocument) -> str:
    """Ask for the keys of the document's key facts, each with its meaning."""
    facts = key_facts(drawn)
    meanings = _KEY_MEANINGS[drawn.language]
    goods = facts.get("items") or [{}]
    item_keys = ", ".join(goods[0])
    named = [f"{key} ({meanings[key].format(item_keys=item_keys)})" for key in facts]
    separator = "、" if drawn.language == "zh" else ", "
    return _EXTRACT[drawn.language].format(keys=separator.join(named))


def task_lines(name: str, drawn: list[ExampleDocument]) -> list[dict[str, Json]]:
    """Return the samples of one bundled task."""
    task = TASKS[name]
    chosen = [document for document in drawn if task.chosen(document.row)]
    return [line for turn, document in enumerate(chosen) for line in _lines(document, task, turn)]


def task_file(name: str) -> str:
    """Return the ``task.toml`` of one bundled task."""
    task = TASKS[name]
    metrics = ", ".join(f'"{metric}"' for metric in task.metrics)
    template = "{question}" + (f"\\n{task.instruction}" if task.instruction else "")
    return (
        f"{_RULE}"
        f'name = "{name}"\nversion = "1"\ntitle = "{task.title}"\nlicense = "CC0-1.0"\n'
        f'source = "Synthetic documents: python -m workshop.example_docs"\ndocuments = "example_docs"\n'
        f'answer_type = "{task.answer_type}"\nmetrics = [{metrics}]\n\n'
        f'[prompt]\ntemplate = "{template}"\n\n[generation]\nmax_new_tokens = {task.max_new_tokens}\n'
    )


_RULE = """\
# The first answer of a sample is what is printed on the page. The others are the same value written
# otherwise, as a fair reader would accept it: an amount without thousands separators or with its currency,
# a date in another notation, other quotation marks. No other value, no rounding, no translation.
"""


def write_examples(root: Path) -> None:
    """Write ``example_docs`` and ``tasks`` under ``root``; files of the same name are replaced."""
    folder = root / "example_docs"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = documents()
    for document in drawn:
        write_example(document.row, document.drawn, folder)
    (folder / "README.md").write_text(_README + _listing(drawn), encoding="utf-8", newline="\n")
    for name in TASKS:
        home = root / "tasks" / name
        home.mkdir(parents=True, exist_ok=True)
        write_samples(home / "samples.jsonl", task_lines(name, drawn))
        (home / "task.toml").write_text(task_file(name), encoding="utf-8", newline="\n")


_README = """\
# Example documents

These are synthetic documents in Russian, English and Chinese. The companies, people, account and tax numbers are
made up; any likeness to real ones is chance. Check digits are valid, so that programs accept them. You may use the
documents for anything: [CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/).

`python -m workshop.example_docs .` makes them, and the questions in `tasks/`. `bench data synth` draws more of the
same kinds ([docs/example_docs.md](../docs/example_docs.md)).

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
        look = "black-and-white fax" if row.fax else _LOOKS[row.strength]
        pages = len(document.sheets)
        lines.append(f"| `{name}` | {row.kind} | {row.language} | {look} | {pages} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("Name one folder to write into: python -m workshop.example_docs ROOT")
    write_examples(Path(sys.argv[1]))
