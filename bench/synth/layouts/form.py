"""Filled forms: the printed form in a book face, the answers by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

from bench.synth.layouts.parts import signature
from bench.synth.sheet import BLUE_INK, Box, Color, Font, Sheet
from bench.synth.values.applicant import Applicant

_PEN: tuple[Color, ...] = (BLUE_INK, (20, 40, 120), (30, 30, 60))
_LEFT, _RIGHT, _WIDTH, _HEIGHT = 52.0, 543.0, 595.2, 841.92


class _Pen(NamedTuple):
    """Faces and inks of one form."""

    label: Font
    value: Font
    rng: Random


def _hand(rng: Random) -> Font:
    """A handwriting and an ink; the script face runs wider, so it is set smaller."""
    face, size = rng.choice((("hand", 17.0), ("script", 14.0)))
    return Font(face, size, rng.choice(_PEN))


def _written(
    sheet: Sheet,
    pen: _Pen,
    x: float,
    y: float,
    text: str,
    field: str | None,
    size: float | None = None,
) -> None:
    """``text`` by hand: a little off the line."""
    font = pen.value if size is None else pen.value.at(size)
    sheet.text(x + pen.rng.uniform(0, 3), y + pen.rng.uniform(-1.2, 0.6), text, font, field=field)


def _line(
    sheet: Sheet,
    pen: _Pen,
    y: float,
    label: str,
    value: str,
    field: str,
    x: float = _LEFT,
    right: float = _RIGHT,
) -> None:
    """A label, a rule to the right edge, the answer on it."""
    width = sheet.text(x, y, label, pen.label)
    sheet.line(x + width + 4, y + 2, right, y + 2, 0.5)
    _written(sheet, pen, x + width + 10, y, value, field)


def _boxes(sheet: Sheet, pen: _Pen, x: float, y: float, text: str, field: str) -> None:
    """One character a box."""
    side = 15.5
    for n, character in enumerate(text):
        sheet.rectangle(Box(x + n * side, y - 12, side, 16), width=0.6)
        width = pen.value.size * 0.42
        _written(sheet, pen, x + n * side + (side - width) / 2 - 1.5, y, character, None)
    sheet.fields[field] = text


def _choice(
    sheet: Sheet, pen: _Pen, x: float, y: float, options: Mapping[str, str], chosen: str, field: str
) -> float:
    """Square boxes with a cross in the chosen one; ``options`` maps values to printed labels."""
    for value, label in options.items():
        sheet.rectangle(Box(x, y - 8.5, 10, 10), width=0.7)
        if value == chosen:
            color = pen.value.color
            sheet.line(x + 1.2, y - 7.6, x + 9.2, y + 0.8, 1.3, color)
            sheet.line(x + 9, y - 8.2, x + 1, y + 0.6, 1.3, color)
            sheet.fields[field] = label
        x += 15 + sheet.text(x + 15, y, label, pen.label) + 16
    return x


def russian(person: Applicant, rng: Random, *, face: str = "serif") -> tuple[Sheet, ...]:
    """Анкета соискателя."""
    sheet = Sheet(_WIDTH, _HEIGHT)
    pen = _Pen(Font(face, 10.5), _hand(rng), rng)
    sheet.text(_RIGHT, 44, "Форма № К-1", Font(face, 8.5), align="right")
    sheet.text(_WIDTH / 2 - 40, 72, "АНКЕТА СОИСКАТЕЛЯ", Font(f"{face}-bold", 16), align="center")
    sheet.text(
        _WIDTH / 2 - 40, 88, "(заполняется от руки, разборчиво)", Font(face, 9), align="center"
    )
    sheet.rectangle(Box(_RIGHT - 86, 58, 86, 112), width=0.7)
    sheet.text(_RIGHT - 43, 112, "Место для", Font(face, 9), align="center")
    sheet.text(_RIGHT - 43, 124, "фотографии", Font(face, 9), align="center")
    y, stop = 122.0, _RIGHT - 100
    for label, value, field in (
        ("1. Фамилия", person.surname, "surname"),
        ("Имя", person.given, "given_name"),
        ("Отчество", person.patronymic, "patronymic"),
    ):
        _line(sheet, pen, y, label, value, field, right=stop)
        y += 27
    _line(sheet, pen, y, "2. Дата рождения", person.born, "birth_date", right=250)
    sheet.text(270, y, "Пол:", pen.label)
    _choice(
        sheet, pen, 300, y, {"m": "мужской", "f": "женский"}, "m" if person.male else "f", "sex"
    )
    y += 27
    for label, value, field in (
        ("3. Гражданство", "Российская Федерация", "citizenship"),
        ("4. Адрес регистрации", person.address, "address"),
    ):
        _line(sheet, pen, y, label, value, field)
        y += 27
    sheet.text(_LEFT, y, "5. Паспорт: серия", pen.label)
    _boxes(sheet, pen, _LEFT + 92, y, person.passport[:4], "passport_series")
    sheet.text(_LEFT + 168, y, "номер", pen.label)
    _boxes(sheet, pen, _LEFT + 204, y, person.passport[4:], "passport_number")
    _line(sheet, pen, y, "выдан", person.issued, "passport_issued", x=_LEFT + 312)
    y += 30
    sheet.text(_LEFT, y, "6. ИНН", pen.label)
    _boxes(sheet, pen, _LEFT + 48, y, person.tax_id, "inn")
    y += 29
    _line(sheet, pen, y, "7. Телефон", person.phone, "phone", right=285)
    _line(sheet, pen, y, "E-mail", person.email, "email", x=300)
    y += 29
    sheet.text(_LEFT, y, "8. Образование:", pen.label)
    _choice(sheet, pen, _LEFT + 88, y, {"s": "среднее", "p": "среднее профессиональное", "h": "высшее"},
            person.education, "education")  # fmt: skip
    y += 27
    for label, value, field in (
        ("9. Специальность", person.profession, "profession"),
        ("10. Желаемая должность", person.position, "position"),
        ("11. Желаемая заработная плата, руб.", person.salary, "salary"),
        ("12. Последнее место работы", person.employer, "employer"),
    ):
        _line(sheet, pen, y, label, value, field)
        y += 27
    y = _marital_ru(sheet, pen, person, y)
    consent = (
        "Достоверность указанных сведений подтверждаю. Даю согласие на обработку моих персональных данных в "
        "соответствии с Федеральным законом от 27.07.2006 № 152-ФЗ «О персональных данных»."
    )
    y += (
        sheet.paragraph(
            Box(_LEFT, y, _RIGHT - _LEFT, 40), consent, Font(face, 9.5), align="justify"
        )
        + 34
    )
    sheet.text(_LEFT, y, "Дата", pen.label)
    sheet.line(_LEFT + 28, y + 2, _LEFT + 150, y + 2)
    _written(sheet, pen, _LEFT + 36, y, person.signed, "signed_date")
    sheet.text(330, y, "Подпись", pen.label)
    sheet.line(378, y + 2, _RIGHT, y + 2)
    sheet.operations.append(signature(rng, 400, y, 80, 20, pen.value.color))
    return (sheet,)


def _marital_ru(sheet: Sheet, pen: _Pen, person: Applicant, y: float) -> float:
    sheet.text(_LEFT, y, "13. Готовность к командировкам:", pen.label)
    _choice(sheet, pen, _LEFT + 178, y, {"yes": "да", "no": "нет"}, person.travel, "travel")
    return y + 24


def english(person: Applicant, rng: Random, *, face: str = "humanist") -> tuple[Sheet, ...]:
    """An application for employment."""
    sheet = Sheet(_WIDTH, _HEIGHT)
    pen = _Pen(Font(face, 10), _hand(rng), rng)
    sheet.rectangle(Box(_LEFT, 46, _RIGHT - _LEFT, 34), color=None, fill=(38, 58, 84))
    sheet.text(
        _LEFT + 12, 69, "APPLICATION FOR EMPLOYMENT", Font(f"{face}-bold", 17, (255, 255, 255))
    )
    sheet.text(
        _LEFT,
        98,
        "Please complete in block letters or clear handwriting, using black or blue ink.",
        Font(face, 9),
    )
    y = 128.0

    def section(title: str, y: float) -> float:
        sheet.rectangle(Box(_LEFT, y - 12, _RIGHT - _LEFT, 17), color=None, fill=(226, 231, 238))
        sheet.text(_LEFT + 6, y, title, Font(f"{face}-bold", 10.5))
        return y + 28

    y = section("1. Personal details", y)
    _line(sheet, pen, y, "Last name", person.surname, "surname", right=290)
    _line(sheet, pen, y, "First name", person.given, "given_name", x=302)
    y += 28
    _line(sheet, pen, y, "Address", person.address, "address")
    y += 28
    _line(sheet, pen, y, "Telephone", person.phone, "phone", right=290)
    _line(sheet, pen, y, "Date of birth", person.born, "birth_date", x=302)
    y += 28
    _line(sheet, pen, y, "E-mail", person.email, "email")
    y = section("2. Position", y + 34)
    _line(sheet, pen, y, "Position applied for", person.position, "position")
    y += 28
    _line(sheet, pen, y, "Salary expected per year", person.salary, "salary", right=330)
    _line(sheet, pen, y, "Available from", person.available, "available_from", x=342)
    y += 28
    sheet.text(_LEFT, y, "Type of work wanted:", pen.label)
    _choice(
        sheet,
        pen,
        _LEFT + 118,
        y,
        {"full": "Full time", "part": "Part time", "temp": "Temporary"},
        person.hours,
        "work_type",
    )
    y += 28
    sheet.text(_LEFT, y, "Are you willing to travel?", pen.label)
    _choice(sheet, pen, _LEFT + 136, y, {"yes": "Yes", "no": "No"}, person.travel, "travel")
    y = section("3. Education and experience", y + 34)
    sheet.text(_LEFT, y, "Highest qualification:", pen.label)
    _choice(
        sheet,
        pen,
        _LEFT + 118,
        y,
        {"s": "Secondary", "p": "Diploma", "h": "University degree"},
        person.education,
        "education",
    )
    y += 28
    _line(sheet, pen, y, "Current or last employer", person.employer, "employer")
    y += 28
    _line(sheet, pen, y, "Job title", person.profession, "profession")
    y = section("4. Declaration", y + 34)
    text = (
        "I confirm that the information given in this form is complete and correct. I understand "
        "that a false statement may lead to the withdrawal of an offer of employment."
    )
    y += sheet.paragraph(Box(_LEFT, y - 10, _RIGHT - _LEFT, 40), text, Font(face, 9.5)) + 28
    sheet.text(_LEFT, y, "Signature", pen.label)
    sheet.line(_LEFT + 50, y + 2, 320, y + 2)
    sheet.operations.append(signature(rng, _LEFT + 70, y, 90, 22, pen.value.color))
    _line(sheet, pen, y, "Date", person.signed, "signed_date", x=344)
    return (sheet,)


def chinese(person: Applicant, rng: Random, *, face: str = "zh-song") -> tuple[Sheet, ...]:
    """入职登记表: a ruled table filled in by hand."""
    sheet = Sheet(_WIDTH, _HEIGHT)
    pen = _Pen(Font(face, 10.5), Font("zh-kai", 13, rng.choice(_PEN)), rng)
    sheet.text(_WIDTH / 2, 78, "员工入职登记表", Font("zh-sans-bold", 20), align="center")
    sheet.text(_LEFT, 104, "填表日期：", pen.label)
    _written(sheet, pen, _LEFT + 54, 104, person.signed, "signed_date")
    span, y = _RIGHT - _LEFT, 114.0
    photo = 88.0
    rows = (
        (("姓名", person.name, "name"), ("性别", "男" if person.male else "女", "sex")),
        (("出生日期", person.born, "birth_date"), ("民族", person.nation, "nation")),
        (("学历", person.degree, "education"), ("专业", person.profession, "profession")),
        (("身份证号码", person.tax_id, "id_number"),),
        (("联系电话", person.phone, "phone"), ("应聘职位", person.position, "position")),
        (("家庭住址", person.address, "address"),),
        (("原工作单位", person.employer, "employer"),),
        (("期望月薪", person.salary, "salary"), ("到岗日期", person.available, "available_from")),
        (
            ("紧急联系人", person.contact, "contact"),
            ("联系人电话", person.contact_phone, "contact_phone"),
        ),
    )
    top, label_width, height = y, 76.0, 34.0
    for number, cells in enumerate(rows):
        width = (span - photo if number < 4 else span) / len(cells)
        x = _LEFT
        for label, value, field in cells:
            sheet.rectangle(Box(x, y, width, height), width=0.7)
            sheet.line(x + label_width, y, x + label_width, y + height, 0.7)
            sheet.text(x + label_width / 2, y + height / 2 + 4, label, pen.label, align="center")
            _written(sheet, pen, x + label_width + 8, y + height / 2 + 5, value, field)
            x += width
        y += height
    sheet.rectangle(Box(_RIGHT - photo, top, photo, height * 4), width=0.7)
    sheet.text(_RIGHT - photo / 2, top + height * 2 + 4, "照片", pen.label, align="center")
    sheet.rectangle(Box(_LEFT, y, span, 128), width=0.7)
    sheet.text(_LEFT + 8, y + 20, "本人声明：", Font("zh-sans-bold", 10.5))
    text = "以上所填内容均真实有效，如有虚假，本人愿意承担由此产生的一切责任，并同意公司依据有关规定处理。"
    sheet.paragraph(Box(_LEFT + 8, y + 30, span - 16, 40), text, pen.label, leading=1.6)
    sheet.text(_LEFT + 250, y + 108, "本人签名：", pen.label)
    _written(sheet, pen, _LEFT + 310, y + 108, person.name, None, 17)
    sheet.rectangle(Box(_LEFT, top, span, y + 128 - top), width=1.3)
    return (sheet,)


FAMILIES: dict[str, Callable[..., tuple[Sheet, ...]]] = {
    "ru": russian,
    "en": english,
    "zh": chinese,
}
