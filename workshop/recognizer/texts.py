"""What the lines say: strings of Russian, Ukrainian, Belarusian and English papers, and meaningless ones.

Without the latter the recogniser would guess words instead of reading letters. No text of ``bench.synth``
is used, so the bundled tasks are unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from faker import Faker

RUSSIAN = "АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдеёжзийклмнопрстуфхцчшщъыьэюя"
OTHER_CYRILLIC = "ҐґЄєІіЇїЎў"
LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~№₽€£¥«»“”„’–—…•·°±×§©®²³½µ"
CHARACTERS = DIGITS + MARKS + LATIN + RUSSIAN + OTHER_CYRILLIC
"""All signs of the recogniser but the space."""


def _listed(text: str) -> list[str]:
    """The parts of ``text`` between bars and ends of lines."""
    return [part for line in text.splitlines() for part in line.split("|")]


LABELS = _listed("""Счёт на оплату|Счет-фактура|Накладная|Товарная накладная|Акт выполненных работ
Поставщик|Покупатель|Грузоотправитель|Грузополучатель|Плательщик|Получатель|Заказчик|Исполнитель
Подрядчик|Арендатор|Арендодатель|Банк|Банк получателя|Адрес|Юридический адрес|Почтовый адрес|Телефон
Тел./факс|Эл. почта|Сайт|Основание|Назначение платежа|Итого|Всего к оплате|Итого без НДС
В том числе НДС|НДС 20%|Без налога (НДС)|Сумма НДС|Сумма|Цена|Кол-во|Количество|Ед. изм.|Единица
Наименование|Наименование товара|Артикул|Код|Дата|Срок оплаты|Срок поставки|Дата отгрузки
Оплатить до|Номер договора|Договор|Директор|Генеральный директор|Главный бухгалтер|Руководитель
Менеджер|Кассир|Подпись|М.П.|Страница|Лист|Приложение|ИНН|КПП|БИК|ОГРН|ОКПО|Р/с|К/с|Расчётный счёт
Корр. счёт|Сч. №|Паспорт|Кем выдан|Дата рождения|Место жительства|Фамилия|Имя|Отчество|Гражданство
Должность|Отдел|Заявление|Справка|Доверенность|Платёжное поручение|Вид оп.|Очер. плат.|Наз. пл.
Рез. поле|Сумма прописью|Поступ. в банк плат.|Списано со сч. плат.|Чек|Кассовый чек|Приход|Скидка
Сдача|Наличными|Картой|Смена|ФН|ФД|ФПД|СНО|Место расчётов|Спасибо за покупку!""")
GOODS = _listed("""бумага офисная|картридж лазерный|кабель силовой|лампа светодиодная
выключатель автоматический|кресло рабочее|стол письменный|шкаф архивный|папка-регистратор
ручка шариковая|бетон товарный|арматура стальная|труба профильная|доска обрезная|кирпич керамический
цемент|песок карьерный|краска водоэмульсионная|шпатлёвка финишная|клей плиточный|дверь входная
окно пластиковое|насос циркуляционный|задвижка чугунная|фильтр масляный|масло моторное|шина зимняя
аккумулятор|подшипник роликовый|болт с гайкой|шуруп|перчатки хлопчатобумажные|молоко пастеризованное
хлеб ржаной|сыр твёрдый|яйцо куриное|крупа гречневая|чай чёрный|кофе молотый|сахар-песок
вода питьевая|ноутбук|монитор|клавиатура|услуги связи|доставка груза|аренда помещения
техническое обслуживание|разработка сайта|консультационные услуги|монтажные работы|вывоз мусора
охрана объекта|перевод документов|обучение персонала|электроэнергия|щебень гранитный""")
CLAUSES = """Настоящий договор вступает в силу с момента его подписания обеими сторонами
Оплата производится в течение десяти банковских дней со дня получения счёта
В случае нарушения сроков поставки поставщик уплачивает неустойку в размере одной десятой процента
Все споры разрешаются путём переговоров, а при недостижении согласия — в арбитражном суде
Стороны освобождаются от ответственности, если неисполнение вызвано обстоятельствами непреодолимой силы
Вышеперечисленные услуги выполнены полностью и в срок. Заказчик претензий не имеет
Внимание! Оплата данного счёта означает согласие с условиями поставки товара
Товар отпускается по факту прихода денег на счёт, самовывозом, при наличии доверенности и паспорта
Гарантийный срок составляет двенадцать месяцев со дня передачи оборудования
Я, нижеподписавшийся, даю согласие на обработку моих персональных данных
Арендная плата вносится ежемесячно не позднее пятого числа путём безналичного перечисления
Уведомление направляется заказным письмом с уведомлением о вручении либо вручается под расписку
Цена договора является твёрдой и изменению не подлежит, за исключением случаев, указанных в пункте
Объём, качество и комплектность должны соответствовать требованиям технического задания
Этот экземпляр хранится у исполнителя, ещё один передаётся в бухгалтерию учреждения
Съёмщик обязуется возместить ущерб, причинённый имуществу, включая упущенную выгоду
Двадцать семь тысяч восемьсот шестьдесят девять рублей 40 копеек""".splitlines()
UKRAINIAN = _listed("""Рахунок на оплату|Постачальник|Покупець|Видаткова накладна|Усього з ПДВ
Призначення платежу|Товари й послуги|Код ЄДРПОУ|Директор підприємства|Гривень
Договір оренди приміщення|Підпис уповноваженої особи|Дійсний до|Її об'єкт|Рахунак-фактура|Пастаўшчык
Пакупнік|Усяго да аплаты|Дагавор паставы|Будаўнічыя матэрыялы|Ўзнагарода""")
ENGLISH = _listed("""Invoice|Total due|Bill to|Ship to|Purchase order|Date of issue|Due date|Quantity
Unit price|Description|Amount|Subtotal|Sales tax|Bank account|IBAN|SWIFT|VAT number|Payment terms
Signature|Page|Model|Serial number|Country of origin|Microsoft Windows|HP LaserJet Pro
Samsung Galaxy|USB Type-C|Intel Core i5|SSD NVMe|Wi-Fi|Bosch|Makita|Schneider Electric|LED""")
_MONTHS = _listed(
    "января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря"
)
_UNITS = _listed("шт.|шт|кг|г|л|м|м²|м³|уп.|компл.|пач.|т|ч|мес.|усл.|ед.|рул.|кор.|пар")
_LOOKALIKE = re.compile(r"(?<![\w@.-])[ABCEHKMOPTXYaceopxy]+(?![\w@-]|\.\w)")
_CYRILLIC_SHAPES = str.maketrans("ABCEHKMOPTXYaceopxy", "АВСЕНКМОРТХУасеорху")


class Texts:
    """Draws strings; the same seed gives the same strings."""

    def __init__(self, seed: int) -> None:
        """Make a stock of names, companies, addresses and prose, of which lines are cut."""
        self.rng = Random(seed)
        self.stock: dict[str, list[str]] = {}
        for locale, name in (("ru_RU", "ru"), ("uk_UA", "uk"), ("en_US", "en")):
            faker = Faker(locale)
            faker.seed_instance(seed)
            self.stock[f"{name} prose"] = [faker.text(200) for _ in range(300)]
            self.stock[f"{name} who"] = [
                draw()
                for draw in (faker.name, faker.company, faker.address, faker.job, faker.city)
                for _ in range(150)
            ]
        self.letters = "".join(self.stock["ru prose"] + CLAUSES).lower()
        self.kinds: tuple[tuple[float, Callable[[], str]], ...] = (
            (16, self._prose),
            (12, self._label),
            (13, self._labelled),
            (16, self._value),
            (12, self._who),
            (9, self._good),
            (10, self._invented),
            (7, self._signs),
            (7, self._ukrainian),
            (10, self._english),
        )

    def draw(self) -> str:
        """One line of 1 to about 60 characters."""
        while True:
            weights = [weight for weight, _ in self.kinds]
            [(_, kind)] = self.rng.choices(self.kinds, weights)
            text = self._cased(" ".join(kind().split()))
            if any("\u0400" <= sign <= "\u04ff" for sign in text):
                # Beside Cyrillic, "CO" of letters that both scripts have is Cyrillic: nobody could tell.
                text = _LOOKALIKE.sub(lambda m: m.group().translate(_CYRILLIC_SHAPES), text)
            text = "".join(sign for sign in text if sign == " " or sign in _KNOWN).strip()
            if text:
                return text

    def _cased(self, text: str) -> str:
        chance = self.rng.random()
        if chance < 0.12:
            return text.upper()
        return text.capitalize() if chance < 0.16 else text

    def _cut(self, text: str) -> str:
        """Some words of ``text``."""
        words = text.split()
        length = min(len(words), self.rng.choice((1, 1, 2, 2, 3, 3, 4, 5, 6, 7)))
        start = self.rng.randrange(len(words) - length + 1)
        return " ".join(words[start : start + length])

    def _prose(self) -> str:
        stock = CLAUSES if self.rng.random() < 0.5 else self.stock["ru prose"]
        return self._cut(self.rng.choice(stock))

    def _label(self) -> str:
        return self.rng.choice(LABELS) + self.rng.choice(("", ":", ":", " №", "*", ","))

    def _labelled(self) -> str:
        separator = self.rng.choice((" ", ": ", ": ", " № ", " - ", " — ", "/"))
        value = self._value() if self.rng.random() < 0.8 else self._who()
        return f"{self.rng.choice(LABELS)}{separator}{value}"

    def _digits(self, count: int) -> str:
        return "".join(self.rng.choice(DIGITS) for _ in range(count))

    def _amount(self) -> str:
        whole = self.rng.randrange(10 ** self.rng.randint(1, 7))
        grouped = f"{whole:,}".replace(",", self.rng.choice((" ", " ", "", ",", "'")))
        cents = self.rng.choice(
            ("", f",{self._digits(2)}", f",{self._digits(2)}", f".{self._digits(2)}")
        )
        units = ("", "", " ₽", " ₽", "₽", " руб.", " р.", " €", " USD", " руб. 00 коп.", "-00")
        sign = self.rng.choice(units)
        return self.rng.choice(("", "", "", "", "-", "$", "=", "≡")) + grouped + cents + sign

    def _date(self) -> str:
        day, month, year = (
            self.rng.randint(1, 31),
            self.rng.randint(1, 12),
            self.rng.randint(1950, 2035),
        )
        forms = (
            f"{day:02}.{month:02}.{year}",
            f"{day:02}.{month:02}.{year % 100:02}",
            f"{day} {_MONTHS[month - 1]} {year} г.",
            f"«{day:02}» {_MONTHS[month - 1]} {year} года",
            f'"{day}" {_MONTHS[month - 1]} {year}г.',
            f"{day:02}/{month:02}/{year}",
            f"{year}-{month:02}-{day:02}",
            f"{day:02}.{month:02}.{year} {self._digits(2)}:{self._digits(2)}",
        )
        return self.rng.choice(forms)

    def _value(self) -> str:
        kind = self.rng.randrange(12)
        if kind < 4:
            return self._amount()
        if kind < 6:
            return self._date()
        if kind < 9:
            return self._digits(self.rng.choice((1, 2, 3, 4, 6, 9, 10, 12, 13, 20)))
        forms = (
            f"+7 ({self._digits(3)}) {self._digits(3)}-{self._digits(2)}-{self._digits(2)}",
            f"{self._digits(3)}-{self._digits(3)}-{self._digits(3)} {self._digits(2)}",
            f"{self._digits(2)} {self._digits(2)} № {self._digits(6)}",
            f"№ {self._code()} от {self._date()}",
            f"{self._digits(1)} {self.rng.choice(_UNITS)} × {self._amount()} = {self._amount()}",
            f"{self.rng.randint(0, 100)} %",
            f"{self._digits(10)}/{self._digits(9)}",
            self._code(),
            f"{self._digits(2)}:{self._digits(2)}",
        )
        return self.rng.choice(forms)

    def _code(self) -> str:
        letters = self.rng.choice((LATIN[:26], RUSSIAN[:33], "ABCEHKX"))
        letter = "".join(self.rng.choice(letters) for _ in range(self.rng.randint(0, 3)))
        mark = self.rng.choice(("-", "/", "", "-", "."))
        return f"{letter}{mark}{self._digits(self.rng.randint(1, 6))}{mark}{self._digits(2)}"

    def _who(self) -> str:
        text = self.rng.choice(self.stock["ru who"])
        words = text.split()
        chance = self.rng.random()
        if chance < 0.2 and len(words) == 3:
            return f"{words[0]} {words[1][0]}.{self.rng.choice(('', ' '))}{words[2][0]}."
        if chance < 0.4:
            name = (
                self._cut(self.rng.choice(self.stock["ru prose"] + GOODS)).strip(".,").capitalize()
            )
            form = self.rng.choice(("ООО", "ООО", "АО", "ПАО", "ИП", "ЗАО", "ГБУ", "НПО", "ТД"))
            opening, closing = self.rng.choice(("«»", "«»", '""', "“”"))
            return f"{form} {opening}{name}{closing}"
        return text if len(text) < 45 else self._cut(text)

    def _good(self) -> str:
        name = self.rng.choice(GOODS)
        tail = self.rng.choice(
            (
                "",
                f", {self._digits(3)} {self.rng.choice(_UNITS)}",
                f" {self._digits(2)}×{self._digits(2)} мм",
                f" А4, {self._digits(2)} г/м²",
                f" {self.rng.choice(ENGLISH)}",
                f" {self._code()}",
                f" ({self._digits(1)} {self.rng.choice(_UNITS)})",
            )
        )
        return (name.capitalize() if self.rng.random() < 0.7 else name) + tail

    def _invented(self) -> str:
        """Words that do not exist: letters in Russian order or in none."""
        words = []
        for _ in range(self.rng.randint(1, 4)):
            length = self.rng.randint(1, 11)
            if self.rng.random() < 0.5:
                word = "".join(self.rng.choice(RUSSIAN[33:]) for _ in range(length))
            else:
                start = self.rng.randrange(len(self.letters) - 20)
                word = self.letters[start : start + length] + self.rng.choice(RUSSIAN[33:])
            chance = self.rng.random()
            words.append(
                word.upper() if chance < 0.3 else word.capitalize() if chance < 0.6 else word
            )
        return " ".join(words)

    def _signs(self) -> str:
        pool = self.rng.choice(
            (CHARACTERS, MARKS + DIGITS, DIGITS + RUSSIAN, LATIN + DIGITS, RUSSIAN)
        )
        signs = [self.rng.choice(pool) for _ in range(self.rng.randint(1, 14))]
        return "".join(sign + (" " if self.rng.random() < 0.1 else "") for sign in signs)

    def _ukrainian(self) -> str:
        stock = self.rng.choice((UKRAINIAN, self.stock["uk who"], self.stock["uk prose"]))
        text = self._cut(self.rng.choice(stock))
        if self.rng.random() < 0.2:
            text += self.rng.choice(OTHER_CYRILLIC) + self.rng.choice(OTHER_CYRILLIC)
        return text

    def _english(self) -> str:
        stock = self.rng.choice((ENGLISH, self.stock["en who"], self.stock["en prose"]))
        text = self._cut(self.rng.choice(stock))
        chance = self.rng.random()
        if chance < 0.15:
            host = self.rng.choice(("mail.ru", "yandex.ru", "example.com"))
            return f"{text.lower().replace(' ', '.')}@{host}"
        if chance < 0.2:
            return f"www.{text.lower().replace(' ', '-')}.{self.rng.choice(('ru', 'com', 'org'))}"
        return f"{text} {self._value()}" if chance < 0.4 else text


_KNOWN = frozenset(CHARACTERS)
