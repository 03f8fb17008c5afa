"""Small copies of published data sets: their columns, types and quirks, with images made here."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
from PIL import Image


def png(colour: int, size: tuple[int, int] = (24, 16)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (colour, colour, colour)).save(buffer, "PNG")
    return buffer.getvalue()


def cell(colour: int) -> dict[str, Any]:
    return {"bytes": png(colour), "path": None}


STRING, STRINGS = datasets.Value("string"), datasets.List(datasets.Value("string"))
IMAGE, INT32, INT64 = datasets.Image(), datasets.Value("int32"), datasets.Value("int64")


def make(rows: list[dict[str, Any]], **features: Any) -> datasets.Dataset:
    columns = {name: [row.get(name) for row in rows] for name in features}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def docvqa() -> datasets.Dataset:
    rows = [
        {
            "questionId": str(49153 + n),
            "question": f"What is line {n}?",
            "question_types": ["handwritten", "form"] if n else None,
            "image": cell(n // 2),
            "docId": 14465,
            "ucsf_document_id": "pybv0228",
            "ucsf_document_page_no": str(80 + n // 2),
            "answers": ["University of California", "UC"] if n < 3 else None,
            "data_split": "val",
        }
        for n in range(5)
    ]
    return make(
        rows,
        questionId=STRING, question=STRING, question_types=STRINGS, image=IMAGE, docId=INT64,
        ucsf_document_id=STRING, ucsf_document_page_no=STRING, answers=STRINGS, data_split=STRING,
    )  # fmt: skip


def infographicvqa() -> datasets.Dataset:
    row = {
        "questionId": "98313",
        "question": "Which social platform has heavy female audience?",
        "answers": ["pinterest"],
        "answer_type": ["single span"],
        "image": cell(9),
        "image_url": "https://example.org/a.png",
        "operation/reasoning": ["none"],
        "ocr": json.dumps({"PAGE": []}),
        "data_split": "val",
    }
    return make(
        [row],
        questionId=STRING, question=STRING, answers=STRINGS, answer_type=STRINGS, image=IMAGE,
        image_url=STRING, **{"operation/reasoning": STRINGS}, ocr=STRING, data_split=STRING,
    )  # fmt: skip


def chartqa() -> datasets.Dataset:
    rows = [
        {"type": "human_test", "question": "How many?", "answer": "14", "image": cell(1)},
        {"type": "augmented_test", "question": "Which year?", "answer": "2014", "image": cell(1)},
    ]
    return make(rows, type=STRING, question=STRING, answer=STRING, image=IMAGE)


def textvqa() -> datasets.Dataset:
    row = {
        "image_id": "003a8ae2ef43b901",
        "question_id": 34602,
        "question": "what is the brand?",
        "question_tokens": ["what", "is", "the", "brand"],
        "image": cell(2),
        "image_width": 24,
        "image_height": 16,
        "answers": ["nokia"] * 9 + ["toshiba"],
        "image_classes": ["Phone"],
        "set_name": "val",
        "ocr_tokens": ["NOKIA"],
    }
    return make(
        [row],
        image_id=STRING, question_id=INT32, question=STRING, question_tokens=STRINGS, image=IMAGE,
        image_width=INT32, image_height=INT32, answers=STRINGS, image_classes=STRINGS,
        set_name=STRING, ocr_tokens=STRINGS,
    )  # fmt: skip


def mp_docvqa() -> datasets.Dataset:
    pages = {f"image_{n}": IMAGE for n in range(1, 21)}
    rows = [
        {
            "questionId": f"{n}",
            "question": f"What is on page {n}?",
            "doc_id": "nkbl0226",
            "page_ids": "['nkbl0226_p0', 'nkbl0226_p1', 'nkbl0226_p2']",
            "answers": "['0.28', \"it's 28 %\"]",
            "answer_page_idx": "1",
            "data_split": "val",
            **{f"image_{k}": cell(k) for k in (1, 2, 3)},
        }
        for n in range(2)
    ]
    return make(
        rows,
        questionId=STRING, question=STRING, doc_id=STRING, page_ids=STRING, answers=STRING,
        answer_page_idx=STRING, data_split=STRING, **pages,
    )  # fmt: skip


def ocrbench() -> datasets.Dataset:
    row = {
        "dataset": "IIIT5K",
        "question": "what is written in the image?",
        "question_type": "Regular Text Recognition",
        "answer": ["CENTRE"],
        "image": cell(3),
    }
    return make(
        [row], dataset=STRING, question=STRING, question_type=STRING, answer=STRINGS, image=IMAGE
    )


def ocrbench_v2() -> datasets.Dataset:
    row = {
        "id": 0,
        "dataset_name": "TextVQA",
        "question": "what?",
        "type": "APP agent en",
        "answers": ["dakota"],
        "image": cell(4),
        "eval": "None",
        "bbox": None,
        "bbox_list": None,
        "content": None,
    }
    return make(
        [row],
        id=INT32, dataset_name=STRING, question=STRING, type=STRING, answers=STRINGS, image=IMAGE,
        eval=STRING, bbox=datasets.List(INT32), bbox_list=datasets.List(datasets.List(INT32)),
        content=STRINGS,
    )  # fmt: skip


def mtvqa() -> datasets.Dataset:
    pairs = [
        {"question": "Что написано?", "answer": "«Хлеб»"},
        {"question": "Сколько стоит?", "answer": "12 руб."},
    ]
    row = {"image": cell(5), "qa_pairs": str(pairs), "lang": "RU", "id": "RU_1"}
    return make([row], image=IMAGE, qa_pairs=STRING, lang=STRING, id=STRING)


def cord_v2() -> datasets.Dataset:
    truth = {
        "gt_parse": {
            "menu": [{"nm": "Nasi Campur", "cnt": "1 x", "price": "75,000"}],
            "total": {"total_price": "75,000"},
        },
        "meta": {"version": "2.0.0"},
        "valid_line": [],
    }
    return make(
        [{"image": cell(6), "ground_truth": json.dumps(truth)}], image=IMAGE, ground_truth=STRING
    )


def sroie() -> datasets.Dataset:
    entities = {
        "company": "BOOK TA .K (TAMAN DAYA) SDN BHD",
        "date": "25/12/2018",
        "address": "NO.53 55,57 & 59",
        "total": "9.00",
    }
    row = {
        "key": "X00016469612",
        "image": cell(7),
        "image_size": {"width": 24, "height": 16},
        "entities": entities,
        "words": ["BOOK"],
        "bboxes": [[1, 2, 3, 4]],
    }
    return make(
        [row],
        key=STRING, image=IMAGE, image_size={"width": INT32, "height": INT32},
        entities=dict.fromkeys(entities, STRING), words=STRINGS,
        bboxes=datasets.List(datasets.List(INT64)),
    )  # fmt: skip


def mws_vision_bench() -> datasets.Dataset:
    row = {
        "id": "2580",
        "type": "key information extraction ru",
        "dataset_name": "business",
        "question": "Какой ИНН поставщика?",
        "answers": ["7707083893"],
        "image": cell(8),
    }
    return make(
        [row],
        id=STRING,
        type=STRING,
        dataset_name=STRING,
        question=STRING,
        answers=STRINGS,
        image=IMAGE,
    )


def cc_ocr_kie() -> datasets.Dataset:
    row = {
        "index": 0,
        "image": base64.b64encode(png(10)).decode(),
        "image_name": "SROIE_1.jpg",
        "question": "Return JSON with company, total.",
        "answer": json.dumps({"company": "ACME", "total": "9.00"}),
        "l2-category": "constrained_category",
        "split": "sroie2019_word_347",
    }
    return make(
        [row],
        index=INT64, image=STRING, image_name=STRING, question=STRING, answer=STRING,
        **{"l2-category": STRING}, split=STRING,
    )  # fmt: skip


FIXTURES: dict[str, Callable[[], datasets.Dataset]] = {
    "docvqa": docvqa,
    "infographicvqa": infographicvqa,
    "chartqa": chartqa,
    "textvqa": textvqa,
    "mp-docvqa": mp_docvqa,
    "ocrbench": ocrbench,
    "ocrbench-v2": ocrbench_v2,
    "mtvqa": mtvqa,
    "cord-v2": cord_v2,
    "sroie": sroie,
    "mws-vision-bench": mws_vision_bench,
    "cc-ocr-kie": cc_ocr_kie,
}
"""Task → a data set of its schema."""


def write_parquet(task: str, path: Path) -> Path:
    FIXTURES[task]().to_parquet(str(path))
    return path


def write_tsv(path: Path, rows: list[dict[str, Any]]) -> Path:
    """As VLMEvalKit writes its files: pandas' ``to_csv`` with tabs."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def docvqa_tsv() -> list[dict[str, Any]]:
    return [
        {
            "index": 0,
            "image": base64.b64encode(png(0)).decode(),
            "question": 'What is "it"?',
            "answer": str(["0.28", "it's\t28 %"]),
        },
        # VLMEvalKit names the row that holds the image where two rows share it.
        {"index": 1, "image": "0", "question": "And that?", "answer": "['UC']"},
    ]
