"""VLMHyperBench data sets for tests, written from the documented formats."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

HEADER = "data_index;split;image_path;question;answer;doc_class;question_type;answer_bbox"
ROWS = (
    "1;test_clean;images/1.jpg;Напиши Серия и номер паспорта;4 505 679 944;passport;"
    "Серия и номер паспорта;[1420, 280, 1470, 750]",
    "1;test_clean;images/1.jpg;Напиши Фамилия;Иванов;passport;Фамилия;[780, 110, 1060, 170]",
    "2;test_clean;images/2.jpg;Напиши Фамилия;Петрова;passport;Фамилия;[780, 110, 1060, 170]",
    "3;test_clean;images/3.jpg;Напиши Продавец;ООО «Ромашка»;invoice;Продавец;[1, 2, 3, 4]",
    "3;test_clean;images/3.jpg;Напиши Дата счет-фактуры;;invoice;Дата счет-фактуры;",
)
"""Three documents, five rows; the last has no answer."""

COLLECTION = (
    "prompt;doc_class_question_type;cer",
    "Напиши Фамилия. Пример: Куликов.;passport Фамилия;0.0",
    "Запиши серию и номер. Пример: 4369 975136.;passport Серия и номер паспорта;0.0",
    "Напиши кто Продавец. Пример: ПАО «Лимончик»;invoice Продавец;0.25",
)


def write_lines(path: Path, lines: tuple[str, ...], encoding: str = "utf-8-sig") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def write_page(path: Path, shade: int = 200) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (60, 80), shade).save(path)


def make_vqa(folder: Path, rows: tuple[str, ...] = ROWS) -> Path:
    """``annotation.csv`` and ``images/``."""
    write_lines(folder / "annotation.csv", (HEADER, *rows))
    for number in (1, 2, 3):
        write_page(folder / "images" / f"{number}.jpg", 100 + number)
    return folder


def make_bundles(folder: Path) -> Path:
    """Two bundles: an invoice of two pages between other pages, and an agreement of three, shuffled."""
    fields = {
        "0": {"snils": [0], "invoice": [3, 1], "passport": [2]},
        "1": {"agreement": [2, 0, 1]},
    }
    for name, classes in fields.items():
        pages = [page for listed in classes.values() for page in listed]
        for page in pages:
            write_page(folder / "images" / name / f"{page}.jpg", 10 * int(name) + page)
        path = folder / "jsons" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"fields": classes}), encoding="utf-8")
    classes_json = {"agreement": 3, "snils": 4, "invoice": 5, "passport": 6}
    (folder / "classes.json").write_text(json.dumps(classes_json), encoding="utf-8")
    return folder
