"""Filled forms: the printed form in a book face, the answers by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from bench.synth.layouts.stamps import signature
from bench.synth.sheet import BLUE_INK, Box, Color, Font, Sheet
from bench.synth.values.applicant import Applicant

_INKS: tuple[Color, ...] = (BLUE_INK, (20, 40, 120), (30, 30, 60))
_LEFT, _RIGHT, _WIDTH, _HEIGHT = 52.0, 543.0, 595.2, 841.92
_SPAN = _RIGHT - _LEFT

Rows = tuple[tuple[str, str, str], ...]
"""(label, answer, field)."""


def _hand(rng: Random) -> Font:
    """Draw a handwriting and an ink; the script face runs wider, so it is set smaller."""
    face, size = rng.choice((("hand", 17.0), ("script", 14.0)))
    return Font(face, size, rng.choice(_INKS))


class _Form:
    """A sheet that is filled in by hand."""

    def __init__(self, rng: Random, label: Font, hand: Font) -> None:
        self.sheet = Sheet(_WIDTH, _HEIGHT)
        self.rng = rng
        self.label = label
        self.hand = hand

    def print(self, x: float, y: float, text: str, **style: str) -> float:
        """Set a label; return its width."""
        return self.sheet.text(x, y, text, self.label, **style)

    def write(
        self, x: float, y: float, text: str, field: str | None = None, size: float | None = None
    ) -> None:
        """Write ``text`` by hand: a little off the line."""
        x, y = x + self.rng.uniform(0, 3), y + self.rng.uniform(-1.2, 0.6)
        self.sheet.text(x, y, text, self.hand.at(size or self.hand.size), field=field)

    def line(
        self, y: float, label: str, value: str, field: str, x: float = _LEFT, right: float = _RIGHT
    ) -> None:
        """Set a label, a rule to the right edge, and the answer on it."""
        end = x + self.print(x, y, label)
        self.sheet.line(end + 4, y + 2, right, y + 2)
        self.write(end + 10, y, value, field)

    def lines(self, y: float, step: float, rows: Rows, right: float = _RIGHT) -> float:
        """Set (label, answer, field) lines ``step`` points apart; return the y of the line after the last."""
        for label, value, field in rows:
            self.line(y, label, value, field, right=right)
            y += step
        return y

    def boxes(self, x: float, y: float, text: str, field: str) -> None:
        """Write one character a box."""
        side = 15.5
        inset = (side - self.hand.size * 0.42) / 2 - 1.5
        for number, character in enumerate(text):
            left = x + number * side
            self.sheet.rectangle(Box(left, y - 12, side, 16), width=0.6)
            self.write(left + inset, y, character)
        self.sheet.fields[field] = text

    def choice(
        self,
        y: float,
        question: str,
        x: float,
        options: Mapping[str, str],
        chosen: str,
        field: str,
        question_x: float = _LEFT,
    ) -> None:
        """Set a question and, from ``x`` on, square boxes with a cross in the chosen one.

        ``options`` maps values to printed labels.
        """
        self.print(question_x, y, question)
        for value, label in options.items():
            self.sheet.rectangle(Box(x, y - 8.5, 10, 10), width=0.7)
            if value == chosen:
                color = self.hand.color
                self.sheet.line(x + 1.2, y - 7.6, x + 9.2, y + 0.8, 1.3, color)
                self.sheet.line(x + 9, y - 8.2, x + 1, y + 0.6, 1.3, color)
                self.sheet.fields[field] = label
            x += 15 + self.print(x + 15, y, label) + 16

    def sign(self, x: float, y: float, width: float, height: float) -> None:
        self.sheet.stamp(signature(self.rng, x, y, width, height, self.hand.color))


def russian(person: Applicant, rng: Random) -> tuple[Sheet, ...]:
    """Draw an анкета соискателя."""
    face = "serif"
    form = _Form(rng, Font(face, 10.5), _hand(rng))
    sheet, small = form.sheet, Font(face, 9)
    _russian_title(sheet, small)
    names = (
        ("1. Фамилия", person.surname, "surname"),
        ("Имя", person.given, "given_name"),
        ("Отчество", person.patronymic, "patronymic"),
    )
    y = form.lines(122, 27, names, right=_RIGHT - 100)  # beside the photograph
    form.line(y, "2. Дата рождения", person.born, "birth_date", right=250)
    sexes = {"m": "мужской", "f": "женский"}
    form.choice(y, "Пол:", 300, sexes, "m" if person.male else "f", "sex", question_x=270)
    residence = (
        ("3. Гражданство", "Российская Федерация", "citizenship"),
        ("4. Адрес регистрации", person.address, "address"),
    )
    y = form.lines(y + 27, 27, residence)
    form.print(_LEFT, y, "5. Паспорт: серия")
    form.boxes(_LEFT + 92, y, person.passport[:4], "passport_series")
    form.print(_LEFT + 168, y, "номер")
    form.boxes(_LEFT + 204, y, person.passport[4:], "passport_number")
    form.line(y, "выдан", person.issued, "passport_issued", x=_LEFT + 312)
    y += 30
    form.print(_LEFT, y, "6. ИНН")
    form.boxes(_LEFT + 48, y, person.tax_id, "inn")
    y += 29
    form.line(y, "7. Телефон", person.phone, "phone", right=285)
    form.line(y, "E-mail", person.email, "email", x=300)
    y += 29
    schools = {"s": "среднее", "p": "среднее профессиональное", "h": "высшее"}
    form.choice(y, "8. Образование:", _LEFT + 88, schools, person.education, "education")
    work = (
        ("9. Специальность", person.profession, "profession"),
        ("10. Желаемая должность", person.position, "position"),
        ("11. Желаемая заработная плата, руб.", person.salary, "salary"),
        ("12. Последнее место работы", person.employer, "employer"),
    )
    y = form.lines(y + 27, 27, work)
    travel = {"yes": "да", "no": "нет"}
    form.choice(y, "13. Готовность к командировкам:", _LEFT + 178, travel, person.travel, "travel")
    y += 24
    consent = (
        "Достоверность указанных сведений подтверждаю. Даю согласие на обработку моих персональных данных в "
        "соответствии с Федеральным законом от 27.07.2006 № 152-ФЗ «О персональных данных»."
    )
    y += sheet.paragraph(Box(_LEFT, y, _SPAN, 40), consent, small.at(9.5), align="justify") + 34
    form.print(_LEFT, y, "Дата")
    sheet.line(_LEFT + 28, y + 2, _LEFT + 150, y + 2)
    form.write(_LEFT + 36, y, person.signed, "signed_date")
    form.print(330, y, "Подпись")
    sheet.line(378, y + 2, _RIGHT, y + 2)
    form.sign(400, y, 80, 20)
    return (sheet,)


def _russian_title(sheet: Sheet, small: Font) -> None:
    middle, photo = _WIDTH / 2 - 40, _RIGHT - 43
    sheet.text(_RIGHT, 44, "Форма № К-1", small.at(8.5), align="right")
    sheet.text(middle, 72, "АНКЕТА СОИСКАТЕЛЯ", Font(f"{small.face}-bold", 16), align="center")
    sheet.text(middle, 88, "(заполняется от руки, разборчиво)", small, align="center")
    sheet.rectangle(Box(photo - 43, 58, 86, 112), width=0.7)
    sheet.text(photo, 112, "Место для", small, align="center")
    sheet.text(photo, 124, "фотографии", small, align="center")


def english(person: Applicant, rng: Random) -> tuple[Sheet, ...]:
    """Draw an application for employment."""
    face = "humanist"
    form = _Form(rng, Font(face, 10), _hand(rng))
    sheet, strong = form.sheet, Font(f"{face}-bold", 10.5)

    def section(title: str, y: float) -> float:
        sheet.rectangle(Box(_LEFT, y - 12, _SPAN, 17), color=None, fill=(226, 231, 238))
        sheet.text(_LEFT + 6, y, title, strong)
        return y + 28

    sheet.rectangle(Box(_LEFT, 46, _SPAN, 34), color=None, fill=(38, 58, 84))
    white = Font(strong.face, 17, (255, 255, 255))
    sheet.text(_LEFT + 12, 69, "APPLICATION FOR EMPLOYMENT", white)
    advice = "Please complete in block letters or clear handwriting, using black or blue ink."
    sheet.text(_LEFT, 98, advice, Font(face, 9))
    y = section("1. Personal details", 128)
    form.line(y, "Last name", person.surname, "surname", right=290)
    form.line(y, "First name", person.given, "given_name", x=302)
    y += 28
    form.line(y, "Address", person.address, "address")
    y += 28
    form.line(y, "Telephone", person.phone, "phone", right=290)
    form.line(y, "Date of birth", person.born, "birth_date", x=302)
    y += 28
    form.line(y, "E-mail", person.email, "email")
    y = section("2. Position", y + 34)
    form.line(y, "Position applied for", person.position, "position")
    y += 28
    form.line(y, "Salary expected per year", person.salary, "salary", right=330)
    form.line(y, "Available from", person.available, "available_from", x=342)
    y += 28
    hours = {"full": "Full time", "part": "Part time", "temp": "Temporary"}
    form.choice(y, "Type of work wanted:", _LEFT + 118, hours, person.hours, "work_type")
    y += 28
    travel = {"yes": "Yes", "no": "No"}
    form.choice(y, "Are you willing to travel?", _LEFT + 136, travel, person.travel, "travel")
    y = section("3. Education and experience", y + 34)
    schools = {"s": "Secondary", "p": "Diploma", "h": "University degree"}
    form.choice(y, "Highest qualification:", _LEFT + 118, schools, person.education, "education")
    y += 28
    work = (
        ("Current or last employer", person.employer, "employer"),
        ("Job title", person.profession, "profession"),
    )
    y = section("4. Declaration", form.lines(y, 28, work) + 6)
    declaration = (
        "I confirm that the information given in this form is complete and correct. I understand "
        "that a false statement may lead to the withdrawal of an offer of employment."
    )
    y += sheet.paragraph(Box(_LEFT, y - 10, _SPAN, 40), declaration, Font(face, 9.5)) + 28
    form.print(_LEFT, y, "Signature")
    sheet.line(_LEFT + 50, y + 2, 320, y + 2)
    form.sign(_LEFT + 70, y, 90, 22)
    form.line(y, "Date", person.signed, "signed_date", x=344)
    return (sheet,)


def chinese(person: Applicant, rng: Random) -> tuple[Sheet, ...]:
    """Draw a 入职登记表: a ruled table filled in by hand."""
    form = _Form(rng, Font("zh-song", 10.5), Font("zh-kai", 13, rng.choice(_INKS)))
    sheet, strong = form.sheet, Font("zh-sans-bold", 10.5)
    sheet.text(_WIDTH / 2, 78, "员工入职登记表", strong.at(20), align="center")
    form.print(_LEFT, 104, "填表日期：")
    form.write(_LEFT + 54, 104, person.signed, "signed_date")
    rows = (
        (("姓名", person.name, "name"), ("性别", "男" if person.male else "女", "sex")),
        (("出生日期", person.born, "birth_date"), ("民族", person.nation, "nation")),
        (("学历", person.degree, "education"), ("专业", person.profession, "profession")),
        (("身份证号码", person.tax_id, "id_number"),),
        (("联系电话", person.phone, "phone"), ("应聘职位", person.position, "position")),
        (("家庭住址", person.address, "address"),),
        (("原工作单位", person.employer, "employer"),),
        (("期望月薪", person.salary, "salary"), ("到岗日期", person.available, "available_from")),
        (("紧急联系人", person.contact, "contact"), ("联系人电话", person.contact_phone, "contact_phone")),
    )  # fmt: skip
    top, height, label_width, photo_rows, photo_width = 114.0, 34.0, 76.0, 4, 88.0
    y = top
    for number, cells in enumerate(rows):
        width = (_SPAN - photo_width if number < photo_rows else _SPAN) / len(cells)
        x = _LEFT
        for label, value, field in cells:
            sheet.rectangle(Box(x, y, width, height), width=0.7)
            sheet.line(x + label_width, y, x + label_width, y + height, 0.7)
            form.print(x + label_width / 2, y + height / 2 + 4, label, align="center")
            form.write(x + label_width + 8, y + height / 2 + 5, value, field)
            x += width
        y += height
    photo = Box(_RIGHT - photo_width, top, photo_width, height * photo_rows)
    sheet.rectangle(photo, width=0.7)
    form.print(photo.x + photo.width / 2, top + photo.height / 2 + 4, "照片", align="center")
    sheet.rectangle(Box(_LEFT, y, _SPAN, 128), width=0.7)
    sheet.text(_LEFT + 8, y + 20, "本人声明：", strong)
    declaration = (
        "以上所填内容均真实有效，如有虚假，本人愿意承担由此产生的一切责任，"
        "并同意公司依据有关规定处理。"
    )
    box = Box(_LEFT + 8, y + 30, _SPAN - 16, 40)
    sheet.paragraph(box, declaration, form.label, leading=1.6)
    form.print(_LEFT + 250, y + 108, "本人签名：")
    form.write(_LEFT + 310, y + 108, person.name, size=17)
    sheet.rectangle(Box(_LEFT, top, _SPAN, y + 128 - top), width=1.3)
    return (sheet,)


LAYOUTS: dict[str, Callable[[Applicant, Random], tuple[Sheet, ...]]] = {
    "ru": russian,
    "en": english,
    "zh": chinese,
}
"""Language → how its form is drawn."""
