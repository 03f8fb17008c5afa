"""The bundled documents and the bundled tasks over them: ``python -m workshop.example_docs ROOT``.

Writes ``ROOT/example_docs`` and ``ROOT/tasks``. What is committed there was made by this module, and a
test makes the tasks again to see that they still agree.
"""

# ruff: noqa: E501  (prose and tables read better in long lines)
from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from bench.schema import Json
from bench.synth.degrade import Strength, degrade, draw_scan
from bench.synth.files import fax_tiff, png, sample_line, write_pages, write_samples
from bench.synth.generate import INSTRUCTIONS
from bench.synth.generated import Question, Record
from bench.synth.kinds import make
from bench.synth.raster import rasterise


class Example(NamedTuple):
    """One bundled document."""

    stem: str
    """File name without suffix; also the stem of sample ids, except for ``1``."""
    kind: str
    language: str
    seed: int
    strength: Strength = "clean"
    layout: str | None = None
    dpi: int | None = None
    fax: bool = False
    """Two frames of a black-and-white TIFF."""

    @property
    def name(self) -> str:
        """What sample ids begin with."""
        return "schet-faktura-1" if self.stem == "1" else self.stem


EXAMPLES = (
    Example("1", "schet-faktura", "ru", 23, layout="sans", dpi=300),
    Example("schet-faktura-2", "schet-faktura", "ru", 22, "heavy", "serif"),
    Example("schet-1", "invoice", "ru", 31, layout="classic"),
    Example("schet-2", "invoice", "ru", 42, "light", "qr"),
    Example("invoice-en-1", "invoice", "en", 51, layout="modern"),
    Example("invoice-en-2", "invoice", "en", 62, "light", "classic"),
    Example("invoice-en-3", "invoice", "en", 73, "heavy", "ledger"),
    Example("invoice-en-4", "invoice", "en", 84, layout="long", dpi=200, fax=True),
    Example("invoice-zh-1", "invoice", "zh", 96, layout="paper", dpi=200),
    Example("invoice-zh-2", "invoice", "zh", 108, layout="digital", dpi=200),
    Example("invoice-zh-3", "invoice", "zh", 113, "light", "paper", 200),
    Example("invoice-zh-4", "invoice", "zh", 124, "heavy", "digital", 200),
    Example("receipt-ru-1", "receipt", "ru", 121),
    Example("receipt-ru-2", "receipt", "ru", 132, "photo"),
    Example("receipt-en-1", "receipt", "en", 141),
    Example("receipt-en-2", "receipt", "en", 152, "photo"),
    Example("receipt-zh-1", "receipt", "zh", 161),
    Example("receipt-zh-2", "receipt", "zh", 172, "light"),
    Example("form-ru-1", "form", "ru", 181, "light"),
    Example("form-en-1", "form", "en", 192),
    Example("form-zh-1", "form", "zh", 203),
    Example("contract-ru", "contract", "ru", 211, layout="serif"),
    Example("slip-en-1", "slip", "en", 301, layout="lines"),
    Example("slip-en-2", "slip", "en", 302, layout="columns"),
    Example("slip-en-3", "slip", "en", 303, layout="ends"),
    Example("slip-en-4", "slip", "en", 304, layout="grid"),
    Example("slip-en-5", "slip", "en", 305, "light", "stacked"),
    Example("slip-en-6", "slip", "en", 306, layout="card"),
    Example("slip-ru-1", "slip", "ru", 311, layout="lines"),
    Example("slip-ru-2", "slip", "ru", 312, layout="columns"),
    Example("slip-ru-3", "slip", "ru", 313, layout="ends"),
    Example("slip-ru-4", "slip", "ru", 314, layout="grid"),
    Example("slip-ru-5", "slip", "ru", 315, "light", "stacked"),
    Example("slip-ru-6", "slip", "ru", 316, layout="card"),
)


@dataclass(frozen=True, slots=True)
class Bundled:
    """One bundled task: which questions it asks of which documents, and what its file says."""

    title: str
    chosen: Callable[[Example], bool]
    instruction: str
    """What follows the question in the prompt; empty for none."""
    answer_type: str = "text"
    metrics: tuple[str, ...] = ("anls", "exact_match", "contains", "cer", "fuzzy_ratio")
    max_new_tokens: int = 64
    most: int = 9
    """Questions a document, at most."""


def _of(kind: str | None, language: str | None) -> Callable[[Example], bool]:
    return lambda example: kind in (None, example.kind) and language in (None, example.language)


_ANY_SHORT = "Отвечайте кратко, только ответ. / Answer briefly, with the answer only. / 请简短回答，只给出答案。"
_STRUCTURED = frozenset({"1", "schet-2", "invoice-en-1", "invoice-en-2", "invoice-zh-2", "invoice-zh-3", "receipt-ru-1",
                         "receipt-en-1", "receipt-zh-1", "form-en-1"})  # fmt: skip
_DESCRIBED = frozenset({"1", "schet-1", "form-ru-1", "contract-ru", "invoice-en-1", "receipt-en-1", "form-en-1",
                        "invoice-zh-1", "receipt-zh-1"})  # fmt: skip

TASKS: Mapping[str, Bundled] = {
    "invoices-ru": Bundled(
        "Invoice fields, Russian",
        lambda e: e.language == "ru" and e.kind in ("invoice", "schet-faktura"), INSTRUCTIONS["ru"],
    ),
    "invoices-en": Bundled("Invoice fields, English", _of("invoice", "en"), INSTRUCTIONS["en"]),
    "invoices-zh": Bundled("Invoice fields, Chinese", _of("invoice", "zh"), INSTRUCTIONS["zh"]),
    "receipts": Bundled("Receipt fields in Russian, English and Chinese", _of("receipt", None), _ANY_SHORT, most=6),
    "forms": Bundled("Forms filled in by hand, in Russian, English and Chinese", _of("form", None), _ANY_SHORT, most=6),
    "contract-ru": Bundled(
        "A three-page contract with a text layer, Russian", _of("contract", "ru"), INSTRUCTIONS["ru"], most=16
    ),
    "slips": Bundled("Small slips in Russian and English, for small models", _of("slip", None), ""),
    "extraction": Bundled(
        "Structured extraction to JSON, three languages", lambda e: e.stem in _STRUCTURED, "", "json",
        ("anls_star", "kie_f1"), 1024,
    ),
    "description": Bundled(
        "Describing a document, three languages", lambda e: e.stem in _DESCRIBED, "", "description",
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


class Document(NamedTuple):
    """A bundled document with how samples name its files."""

    example: Example
    record: Record
    files: dict[str, Json]


def example_record(example: Example) -> Record:
    """The values and sheets of a bundled document, before rendering."""
    return make(
        example.kind, example.language, Random(f"example/{example.seed}"), layout=example.layout
    )


def example_files(example: Example, record: Record) -> dict[str, Json]:
    """How samples name the files of a bundled document."""
    if example.fax:
        return {"images": [f"{example.stem}.tiff"]}
    if example.kind == "contract":
        return {"document": f"{example.stem}.pdf"}
    suffix = "png" if example.strength == "clean" else "jpg"
    return {"images": [f"{example.stem}.{suffix}"]}


def write_example(example: Example, record: Record, folder: Path) -> None:
    """Render one bundled document into ``folder``."""
    rng = Random(f"scan/{example.seed}")
    dpi = example.dpi or record.dpi
    if example.fax:
        images = [rasterise(sheet, dpi) for sheet in record.sheets]
        (folder / f"{example.stem}.tiff").write_bytes(fax_tiff(images, dpi))
        return
    if example.kind != "contract" and len(record.sheets) == 1:
        image = rasterise(record.sheets[0], dpi)
        if example.strength == "clean":
            (folder / f"{example.stem}.png").write_bytes(png(image, dpi))
        else:
            scan = degrade(image, draw_scan(rng, example.strength), rng.getrandbits(32), dpi)
            (folder / f"{example.stem}.jpg").write_bytes(scan)
        return
    write_pages(record, folder, example.stem, example.strength, rng, dpi)


def documents() -> list[Document]:
    """Every bundled document, drawn but not rendered."""
    drawn = ((example, example_record(example)) for example in EXAMPLES)
    return [Document(example, record, example_files(example, record)) for example, record in drawn]


def _spread(questions: tuple[Question, ...], most: int, turn: int) -> list[Question]:
    """At most ``most`` questions: the fixed fields, then others by turns, in the table's order."""
    fixed = [q for q in questions if q.field in _ALWAYS]
    others = [q for q in questions if q.field not in _ALWAYS]
    room = min(max(0, most - len(fixed)), len(others))
    picked = [others[(turn + n * len(others) // room) % len(others)] for n in range(room)]
    chosen = {q.field for q in (*fixed, *picked)}
    return [q for q in questions if q.field in chosen]


def _lines(document: Document, task: Bundled, turn: int) -> list[dict[str, Json]]:
    example, record, files = document
    facts = {"doc_type": example.kind, "field": "", "language": example.language}
    if task.answer_type == "json":
        text = extraction_question(record)
        return [
            sample_line(
                f"{example.name}/fields", files, text, [record.structured], facts | {"field": "all"}
            )
        ]
    if task.answer_type == "description":
        text = _DESCRIBE[example.language]
        return [sample_line(f"{example.name}/description", files, text, record.descriptions,
                            facts | {"field": "description"})]  # fmt: skip
    return [
        sample_line(
            f"{example.name}/{q.field}", files, q.text, q.answers, facts | {"field": q.field}
        )
        for q in _spread(record.questions, task.most, turn)
    ]


def extraction_question(record: Record) -> str:
    """Asks for the keys of ``record.structured``, each with its meaning."""
    meanings = _KEY_MEANINGS[record.language]
    items = record.structured.get("items") or [{}]
    named = [
        f"{key} ({meanings[key].format(item_keys=', '.join(items[0]))})"
        for key in record.structured
    ]
    return _EXTRACT[record.language].format(
        keys=("、" if record.language == "zh" else ", ").join(named)
    )


def task_lines(name: str, drawn: list[Document]) -> list[dict[str, Json]]:
    """The samples of one bundled task."""
    task = TASKS[name]
    chosen = [document for document in drawn if task.chosen(document.example)]
    return [line for turn, document in enumerate(chosen) for line in _lines(document, task, turn)]


def task_file(name: str) -> str:
    """The ``task.toml`` of one bundled task."""
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
        write_example(document.example, document.record, folder)
    (folder / "README.md").write_text(_README + _listing(drawn), encoding="utf-8", newline="\n")
    for name in TASKS:
        home = root / "tasks" / name
        home.mkdir(parents=True, exist_ok=True)
        write_samples(home / "samples.jsonl", task_lines(name, drawn))
        (home / "task.toml").write_text(task_file(name), encoding="utf-8", newline="\n")


_README = """\
# Example documents

Synthetic documents in Russian, English and Chinese: nobody's data. Companies, people, account and tax numbers
are made up (check digits are valid, so that programs accept them); any likeness is chance. They may be used for
anything: [CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/).

Made, with the questions in `tasks/`, by `python -m workshop.example_docs .`; more of the same kind come from
`bench data synth`.

"""

_LOOKS = {
    "clean": "clean",
    "light": "scanned well",
    "heavy": "scanned badly",
    "photo": "photographed",
}


def _listing(drawn: list[Document]) -> str:
    rows = ["| File | Kind | Language | Look | Pages |", "|---|---|---|---|---|"]
    for example, record, files in drawn:
        name = files.get("document") or files["images"][0]
        look = "black-and-white fax" if example.fax else _LOOKS[example.strength]
        rows.append(
            f"| `{name}` | {example.kind} | {example.language} | {look} | {len(record.sheets)} |"
        )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    write_examples(Path(sys.argv[1]))
