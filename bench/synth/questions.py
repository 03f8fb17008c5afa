"""Questions over what a document shows, in its language, with the answers a fair reader accepts.

The first answer is what is printed. The others are the same value written otherwise: an amount without
its thousands separators or its currency, a date in another notation, quotation marks of another kind.
Another value, a rounded amount or a translated name are not accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from bench.synth.generated import Question
from bench.synth.values.amounts import grouped
from bench.synth.values.trade import (
    EN_MONTHS,
    RU_MONTHS,
    american_date,
    chinese_date,
    english_date,
    russian_date,
)

_RU_INVOICE = {
    "number": "Какой номер у {doc}?",
    "date": "Какая дата указана в {doc_in}?",
    "seller_name": "Как называется продавец?",
    "seller_inn": "Какой ИНН у продавца?",
    "seller_kpp": "Какой КПП у продавца?",
    "seller_address": "Какой адрес у продавца?",
    "buyer_name": "Как называется покупатель?",
    "buyer_inn": "Какой ИНН у покупателя?",
    "buyer_kpp": "Какой КПП у покупателя?",
    "currency": "Какая валюта указана в документе?",
    "total_net": "Какова общая стоимость без налога?",
    "total_tax": "Какова общая сумма НДС?",
    "total": "Какая сумма всего к оплате?",
    "tax_rate": "Какая указана налоговая ставка?",
    "director": "Кто указан руководителем организации?",
    "accountant": "Кто указан главным бухгалтером?",
    "item_1_name": "Какой товар или услуга стоит в таблице первой строкой?",
    "item_2_quantity": "Какое количество указано во второй строке таблицы?",
    "item_2_total": "Какая сумма указана во второй строке таблицы?",
    "bic": "Какой БИК банка получателя?",
    "account": "Какой расчётный счёт у получателя?",
    "bank_name": "Какой банк получателя?",
    "basis": "Какое основание указано в счёте?",
    "due_date": "До какой даты нужно оплатить счёт?",
    "total_words": "Как записана сумма прописью?",
    "item_count": "Сколько наименований в счёте?",
}

QUESTIONS: dict[tuple[str, str], dict[str, str]] = {
    ("schet-faktura", "ru"): {
        field: text.format(doc="счёта-фактуры", doc_in="счёте-фактуре")
        for field, text in _RU_INVOICE.items()
    }
    | {
        "item_2_total": "Какая стоимость с налогом указана во второй строке таблицы?",
        "item_1_price": "Какая цена за единицу у товара в первой строке?",
    },
    ("invoice", "ru"): {
        field: text.format(doc="счёта", doc_in="счёте")
        .replace("продавец", "поставщик")
        .replace("продавца", "поставщика")
        for field, text in _RU_INVOICE.items()
    },
    ("invoice", "en"): {
        "number": "What is the invoice number?",
        "date": "What is the invoice date?",
        "due_date": "What is the due date?",
        "po_number": "What is the purchase order number?",
        "seller_name": "Who issued the invoice?",
        "seller_tax_id": "What is the seller's {tax_id}?",
        "seller_email": "What is the seller's e-mail address?",
        "buyer_name": "Who is the invoice billed to?",
        "total_net": "What is the subtotal?",
        "total_tax": "How much tax is charged?",
        "total": "What is the total due?",
        "iban": "What is the IBAN?",
        "bic": "What is the BIC of the bank?",
        "account": "What is the bank account number?",
        "terms": "What are the payment terms?",
        "item_1_name": "What is the first item on the invoice?",
        "item_2_quantity": "What quantity of the second item was ordered?",
        "item_1_price": "What is the unit price of the first item?",
        "item_2_total": "What is the amount for the second item?",
        "signatory": "Who signed the invoice?",
    },
    ("invoice", "zh"): {
        "number": "发票号码是多少？",
        "invoice_code": "发票代码是多少？",
        "date": "开票日期是哪一天？",
        "buyer_name": "购买方名称是什么？",
        "buyer_tax_id": "购买方的纳税人识别号是多少？",
        "seller_name": "销售方名称是什么？",
        "seller_tax_id": "销售方的纳税人识别号是多少？",
        "seller_bank": "销售方的开户行是什么？",
        "total_net": "合计金额（不含税）是多少？",
        "total_tax": "合计税额是多少？",
        "total": "价税合计（小写）是多少？",
        "total_words": "价税合计的大写金额是什么？",
        "tax_rate": "税率是多少？",
        "item_1_name": "第一行的货物或服务名称是什么？",
        "item_1_price": "第一行的单价是多少？",
        "drawer": "开票人是谁？",
        "payee": "收款人是谁？",
    },
    ("receipt", "ru"): {
        "shop": "Как называется магазин?",
        "date": "Какая дата покупки указана в чеке?",
        "time": "В какое время пробит чек?",
        "tax_id": "Какой ИНН указан в чеке?",
        "cashier": "Как зовут кассира?",
        "total": "Какая итоговая сумма чека?",
        "tax": "Какая сумма НДС указана в чеке?",
        "change": "Сколько сдачи получил покупатель?",
        "card": "Какие последние цифры номера карты?",
        "item_1_name": "Какой товар указан в чеке первым?",
        "item_2_total": "Сколько заплатили за второй товар в чеке?",
        "fiscal_document": "Какой номер фискального документа (ФД)?",
        "number": "Какой номер чека?",
    },
    ("receipt", "en"): {
        "shop": "What is the name of the shop or restaurant?",
        "date": "What is the date on the receipt?",
        "time": "At what time was the receipt issued?",
        "tax_id": "What is the VAT number?",
        "total": "What is the total amount?",
        "tax": "How much VAT is included?",
        "cash": "How much cash was handed over?",
        "change": "How much change was given?",
        "card": "What are the last four digits of the card?",
        "cashier": "Who served the customer?",
        "item_1_name": "What is the first item on the receipt?",
        "item_2_total": "How much was charged for the second item?",
        "phone": "What is the telephone number?",
        "number": "What is the receipt number?",
    },
    ("receipt", "zh"): {
        "shop": "店名是什么？",
        "number": "单号是多少？",
        "date": "小票上的日期是哪一天？",
        "total": "应付的总金额是多少？",
        "cash": "顾客付了多少现金？",
        "change": "找零多少？",
        "method": "用什么方式付款？",
        "item_1_name": "第一项商品或菜品是什么？",
        "item_2_total": "第二项的金额是多少？",
        "address": "地址是什么？",
        "phone": "电话号码是多少？",
        "cashier": "收银员是谁？",
    },
    ("form", "ru"): {
        "surname": "Какая фамилия указана в анкете?",
        "given_name": "Какое имя указано в анкете?",
        "birth_date": "Какая дата рождения указана в анкете?",
        "sex": "Какой пол отмечен в анкете?",
        "passport_number": "Какой номер паспорта указан?",
        "inn": "Какой ИНН указан в анкете?",
        "phone": "Какой номер телефона указан?",
        "education": "Какое образование отмечено?",
        "position": "На какую должность претендует соискатель?",
        "salary": "Какая желаемая заработная плата указана?",
        "employer": "Какое последнее место работы указано?",
    },
    ("form", "en"): {
        "surname": "What is the applicant's last name?",
        "birth_date": "What is the applicant's date of birth?",
        "phone": "What is the applicant's telephone number?",
        "email": "What is the applicant's e-mail address?",
        "position": "Which position is applied for?",
        "salary": "What salary is expected?",
        "work_type": "Which type of work is ticked?",
        "education": "Which highest qualification is ticked?",
        "employer": "Who is the current or last employer?",
        "available_from": "From which date is the applicant available?",
    },
    ("form", "zh"): {
        "name": "姓名是什么？",
        "birth_date": "出生日期是哪一天？",
        "id_number": "身份证号码是多少？",
        "education": "学历是什么？",
        "profession": "专业是什么？",
        "position": "应聘职位是什么？",
        "phone": "联系电话是多少？",
        "employer": "原工作单位是哪里？",
        "salary": "期望月薪是多少？",
        "contact": "紧急联系人是谁？",
    },
    ("slip", "en"): {
        "company": "Which company issued the document?",
        "number": "What is the document number?",
        "date": "What is the date?",
        "due_date": "What is the due date?",
        "customer": "Who is the customer?",
        "account": "What is the account number?",
        "subtotal": "What is the subtotal?",
        "tax": "How much tax is charged?",
        "total": "What is the total?",
        "time": "What is the time?",
        "cash": "How much cash was handed over?",
        "change": "How much change was given?",
        "card": "What is the card number?",
        "surname": "What is the surname?",
        "given_name": "What is the first name?",
        "birth_date": "What is the date of birth?",
        "phone": "What is the phone number?",
        "id_number": "What is the ID number?",
        "city": "What is the city?",
    },
    ("slip", "ru"): {
        "company": "Какая организация выдала документ?",
        "number": "Какой номер у документа?",
        "date": "Какая дата указана?",
        "due_date": "До какой даты нужно оплатить?",
        "customer": "Кто покупатель?",
        "account": "Какой номер счёта?",
        "subtotal": "Какая сумма без НДС?",
        "tax": "Какая сумма НДС?",
        "total": "Какая итоговая сумма?",
        "time": "Какое время указано?",
        "cash": "Сколько получено наличными?",
        "change": "Какая сдача?",
        "card": "Какой номер карты?",
        "surname": "Какая фамилия?",
        "given_name": "Какое имя?",
        "birth_date": "Какая дата рождения?",
        "phone": "Какой номер телефона?",
        "id_number": "Какой номер паспорта?",
        "city": "Какой город?",
    },
    ("contract", "ru"): {
        "number": "Какой номер у договора?",
        "date": "Какой датой заключён договор?",
        "city": "В каком городе заключён договор?",
        "seller_name": "Как называется организация-поставщик?",
        "buyer_name": "Как называется организация-покупатель?",
        "total": "Какова общая стоимость товара по договору?",
        "total_tax": "Какая сумма НДС входит в стоимость товара?",
        "prepayment": "Какой размер предварительной оплаты в процентах?",
        "pay_days": "В течение какого срока производится окончательный расчёт?",
        "delivery_days": "В течение какого срока осуществляется поставка товара?",
        "delivery_address": "По какому адресу доставляется товар?",
        "claim_days": "В течение какого срока можно предъявить претензии по качеству?",
        "warranty": "Какой гарантийный срок на товар?",
        "penalty": "Какой процент неустойки за каждый день просрочки?",
        "until": "До какой даты действует договор?",
        "seller_inn": "Какой ИНН у поставщика?",
        "buyer_inn": "Какой ИНН у покупателя?",
        "buyer_account": "Какой расчётный счёт у покупателя?",
        "seller_bank": "В каком банке обслуживается поставщик?",
        "seller_phone": "Какой телефон у поставщика?",
        "item_1_name": "Какой товар стоит в спецификации первым?",
        "item_2_price": "Какая цена без НДС у второго товара спецификации?",
        "item_3_quantity": "Какое количество третьего товара в спецификации?",
        "total_net": "Какой итог без НДС в спецификации?",
    },
    ("contract", "en"): {
        "number": "What is the number of the agreement?",
        "date": "What is the date of the agreement?",
        "seller_name": "Who is the supplier?",
        "buyer_name": "Who is the customer?",
        "total": "What is the total price of the goods?",
        "prepayment": "What share of the price is paid in advance?",
        "pay_days": "Within how many days of delivery is the balance payable?",
        "delivery_days": "Within what time must the goods be delivered?",
        "warranty": "How long is the warranty?",
        "penalty": "What daily interest do late payments bear?",
        "until": "Until which date is the agreement in force?",
        "iban": "To which IBAN is the balance paid?",
        "item_1_name": "What is the first item of the schedule?",
        "item_2_total": "What is the amount for the second item of the schedule?",
    },
}
"""(kind, language) → field → question. A question is asked where the layout draws its field."""

_MONEY = re.compile(
    r"total(_net|_tax)?|item_\d+_(price|total)|cash|change|tax|subtotal|service|salary"
)
_DATES = frozenset({"date", "due_date", "until", "birth_date", "available_from"})
_NAMES = frozenset({"seller_name", "buyer_name", "employer", "shop"})


def ask(kind: str, language: str, fields: Mapping[str, str]) -> tuple[Question, ...]:
    """A question for every field that was drawn and that the kind's table knows."""
    asked = []
    for field, text in QUESTIONS[kind, language].items():
        value = fields.get(field)
        if value:
            if "{tax_id}" in text:
                text = text.format(
                    tax_id="VAT registration number" if value.startswith("GB") else "EIN"
                )
            asked.append(Question(field, text, accepted(field, value, language, fields)))
    return tuple(asked)


def accepted(field: str, value: str, language: str, fields: Mapping[str, str]) -> tuple[str, ...]:
    """``value`` as printed, then the other ways to write the same."""
    others: list[str] = []
    if _MONEY.fullmatch(field):
        others = _amounts(value, language, fields.get("currency", ""))
    elif field in _DATES:
        others = _dates(value, language)
    elif field in _NAMES and "«" in value:
        others = _company_names(value)
    elif value.endswith("%"):
        others = [value.replace(" ", "") if " " in value else value[:-1] + " %"]
    elif field == "currency":
        others = value.split(", ")[:1]
    elif field == "city" and language == "ru":
        others = [f"г. {value}"]
    elif field == "warranty":
        others = [re.sub(r" \(.*?\)", "", value)]
    elif field == "pay_days" and language == "en":  # asked as "within how many days"
        others = [value.split()[0]]
    elif field.endswith("_name") and value.startswith("*"):
        others = [value.rpartition("*")[2]]
    elif field == "time" and value.count(":") == 2:
        others = [value.rpartition(":")[0]]
    return tuple(dict.fromkeys((value, *others)))


def _amounts(value: str, language: str, currency: str) -> list[str]:
    digits = re.sub(r"[^\d.,]", "", value)
    if language == "ru":
        number = Decimal(digits.replace(",", "."))
        places = 2 if "," in digits or "." in digits else 0
        point = "," if "," in digits or "." not in digits else "."
        bare = grouped(number, group="", point=point, places=places)
        spaced = grouped(number, group=" ", point=point, places=places)
        return [
            bare,
            bare.replace(",", "."),
            f"{value} руб.",
            f"{value} рублей",
            spaced,
            f"{bare} руб.",
        ]
    number = Decimal(digits.replace(",", ""))
    places = 2 if "." in digits else 0
    bare = grouped(number, group="", point=".", places=places)
    comma = grouped(number, group=",", point=".", places=places)
    if language == "zh":
        return [bare, comma, f"¥{bare}", f"{bare}元", f"¥{comma}"]
    sign = "$" if currency == "USD" or value.startswith("$") else "£"
    code = "USD" if sign == "$" else "GBP"
    return [comma, bare, f"{sign}{comma}", f"{sign}{bare}", f"{comma} {code}", f"{code} {comma}"]


def _dates(value: str, language: str) -> list[str]:
    day = _day(value)
    if day is None:
        return []
    if language == "ru":
        long = russian_date(day, year_word="")
        return [long, f"{long} г.", f"{long} года", f"{day:%d.%m.%Y}"]
    if language == "zh":
        return [chinese_date(day), f"{day.year}年{day.month}月{day.day}日", day.isoformat()]
    return [english_date(day), american_date(day), day.isoformat()]


def _day(value: str) -> date | None:
    """The date that a printed ``value`` means; day before month, as the generator prints."""
    numbers = [int(number) for number in re.findall(r"\d+", value)]
    months = {name: n for names in (RU_MONTHS, EN_MONTHS) for n, name in enumerate(names, start=1)}
    month = next((n for name, n in months.items() if name in value), None)
    if month is not None and len(numbers) == 2:
        return date(numbers[1], month, numbers[0])
    if len(numbers) != 3:
        return None
    return date(*numbers) if numbers[0] > 31 else date(numbers[2], numbers[1], numbers[0])


def _company_names(value: str) -> list[str]:
    names = [value.replace("«", '"').replace("»", '"')]
    for long, short in (
        ("Общество с ограниченной ответственностью", "ООО"),
        ("Акционерное общество", "АО"),
    ):
        if value.startswith(long):
            names.append(value.replace(long, short))
            names.append(names[-1].replace("«", '"').replace("»", '"'))
    return names
