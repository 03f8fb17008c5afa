"""Questions and answers in many languages, for the tests of encodings: language → encodings, rows."""

from __future__ import annotations

ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "de": (
        "cp1252 iso8859_15 cp850 mac_roman cp1250",
        (
            "Wie heißt die Firma?;Müller Straße",
            "Wie hoch ist die Summe (für alle Größen)?;4711,00 €",
            "Wer ist der Käufer?;Bäckerei Schröder",
            "Fälligkeit?;12. März 2024",
        ),
    ),
    "fr": (
        "cp1252 iso8859_15 cp850 mac_roman",
        (
            "Quel est le nom de la société émettrice ?;Société générale",
            "À qui est adressée la facture ?;Hôtel Élysée à Besançon",
            "Quelle est la date d’échéance ?;3 février 2024",
            "Montant à régler ?;1 250,00 €",
        ),
    ),
    "it": (
        "cp1252 cp850 mac_roman",
        (
            "Qual è la società?;Caffè Perù S.r.l.",
            "Qual è l'importo totale?;€ 15,00",
            "Quantità?;più di 10",
            "Qual è la città?;Forlì",
        ),
    ),
    "es": (
        "cp1252 cp850 mac_roman",
        (
            "¿Cuál es el número?;Compañía Española",
            "¿Qué día?;miércoles, 3 de enero",
            "¿Quién es el señor?;Núñez",
            "¿Cuál es la dirección?;Calle Ávila",
        ),
    ),
    "pt": (
        "cp1252 cp850 mac_roman",
        (
            "Qual é o número?;Construção Ltda.",
            "Qual é a data de emissão?;3 de março",
            "Endereço?;São João",
            "Razão social?;Comércio de Pães",
        ),
    ),
    "nl": (
        "cp1252 cp850",
        (
            "Wat is de naam van de cliënt?;Café Zoë",
            "Welke coördinaten?;België",
            "Wat is het totaal?;€ 12,00",
        ),
    ),
    "sv": (
        "cp1252 cp850 mac_roman",
        (
            "Vad är företagets namn?;Åkerlunds Måleri",
            "Hur mycket är det?;tjugo öre",
            "Förfallodag?;3 mars",
            "Säljare?;Björk & Söner",
        ),
    ),
    "da": (
        "cp1252 cp850",
        (
            "Hvad er beløbet?;Sørensen & Ågård",
            "Køber?;Næstved",
            "Hvornår?;på lørdag",
        ),
    ),
    "nb": (
        "cp1252 cp850",
        (
            "Hva er beløpet?;Bærum Rørservice",
            "Kjøper?;Ålesund",
            "Når?;lørdag før tolv",
        ),
    ),
    "fi": (
        "cp1252 cp850",
        (
            "Mikä on päivämäärä?;Hämeenlinna",
            "Kuka on myyjä?;Järvinen Öljy",
            "Yhteensä?;kymmenen",
        ),
    ),
    "is": (
        "cp1252",
        (
            "Hver er fjárhæðin?;Þórður Guðmundsson",
            "Dagsetning?;þriðjudagur",
            "Hvað er númerið?;Reykjavík",
        ),
    ),
    "el": (
        "cp1253 iso8859_7 cp737",
        (
            "Ποιος είναι ο πωλητής;Εταιρεία Τροφίμων",
            "Ημερομηνία;3 Μαρτίου",
            "Σύνολο;12,00 €",
        ),
    ),
    "he": (
        "cp1255 iso8859_8 cp862",
        (
            "מה הסכום?;חברת ישראל",
            "מי הקונה?;משה כהן",
            "תאריך?;שלישי",
        ),
    ),
    "ar": (
        "cp1256 iso8859_6",
        (
            "ما هو المبلغ؟;شركة النور",
            "من هو البائع؟;أحمد محمد",
            "ما هو التاريخ؟;الثلاثاء",
        ),
    ),
    "uk": (
        "cp1251 koi8_u iso8859_5 mac_cyrillic",
        (
            "Яка сума до сплати?;ТОВ Їжак",
            "Хто покупець?;Київська міська рада",
            "Яка дата?;3 січня",
        ),
    ),
    "ru": (
        "cp1251 koi8_r iso8859_5 cp866 mac_cyrillic",
        (
            "Какая сумма?;ООО Ромашка",
            "Кто продавец?;Иванов Пётр",
            "Дата?;3 января",
            "Адрес?;г. Москва, ул. Ленина",
        ),
    ),
    "bg": (
        "cp1251 cp866",
        (
            "Каква е сумата?;Търговия ООД",
            "Кой е купувачът?;Георги Димитров",
            "Дата?;трети март",
        ),
    ),
    "sr": (
        "cp1251 iso8859_5",
        (
            "Колики је износ?;Предузеће Љубичица",
            "Ко је купац?;Ђорђе Јовић",
        ),
    ),
    "pl": (
        "cp1250 iso8859_2 cp852",
        (
            "Jaka jest łączna kwota?;Spółka Żółw",
            "Kto jest nabywcą?;Łukasz Wiśniewski",
            "Data sprzedaży?;piąty października",
            "Miejscowość?;Łódź",
        ),
    ),
    "cs": (
        "cp1250 iso8859_2 cp852 mac_latin2",
        (
            "Jaká je částka?;Škoda Plzeň",
            "Kdo je kupující?;Jiří Dvořák",
            "Datum splatnosti?;třetího března",
        ),
    ),
    "sk": (
        "cp1250 iso8859_2",
        (
            "Aká je suma?;Ľubomír Šťastný",
            "Kto je kupujúci?;Žilina",
            "Dátum splatnosti?;piaty máj",
        ),
    ),
    "hu": (
        "cp1250 iso8859_2 cp852",
        (
            "Mennyi az összeg?;Kőszegi Művek",
            "Ki a vevő?;Szűcs Ágnes",
            "Fizetési határidő?;február",
        ),
    ),
    "ro": (
        "cp1250 iso8859_2",
        (
            "Care este suma totală?;Întreprinderea Română",
            "Cine este cumpărătorul?;Ştefan",
            "Data?;luni dimineaţă",
        ),
    ),
    "hr": (
        "cp1250 iso8859_2",
        (
            "Koliki je iznos?;Tvornica Čokolade",
            "Tko je kupac?;Đuro Šimić",
            "Datum dospijeća?;četvrtak",
        ),
    ),
    "sl": (
        "cp1250",
        (
            "Kakšen je znesek?;Podjetje Želva",
            "Kdo je kupec?;Črt Šuštar",
        ),
    ),
    "tr": (
        "cp1254 cp857 mac_turkish",
        (
            "Toplam tutar nedir?;Işık Gıda Şirketi",
            "Alıcı kim?;Doğan Çelik",
            "Tarih?;üç şubat",
            "Şehir?;İzmir",
        ),
    ),
    "lt": (
        "cp1257 iso8859_13",
        (
            "Kokia suma?;Įmonė Žalgiris",
            "Kas yra pirkėjas?;Ąžuolas",
            "Data?;trečiadienis",
        ),
    ),
    "lv": (
        "cp1257",
        (
            "Kāda ir summa?;Rīgas uzņēmums",
            "Kas ir pircējs?;Jānis Bērziņš",
            "Datums?;piektā decembrī",
        ),
    ),
    "et": (
        "cp1257 cp1252",
        (
            "Mis on summa?;Põhjala Õlu",
            "Kes on müüja?;Jüri Mägi",
        ),
    ),
    "vi": (
        "cp1258",
        ("Số tiền là bao nhiêu?;Công ty Hà Nội",),
    ),
    "th": (
        "cp874",
        (
            "ยอดรวมเท่าไร;บริษัท กรุงเทพ",
            "วันที่;มกราคม",
        ),
    ),
    "ja": (
        "cp932 euc_jp",
        (
            "合計金額はいくらですか？;株式会社山田商店",
            "日付は？;三月三日",
        ),
    ),
    "zh": (
        "gb18030",
        (
            "总金额是多少？;北京有限公司",
            "日期？;三月三日",
            "卖方是谁？;王小明",
        ),
    ),
    "zh_Hant": (
        "cp950",
        (
            "總金額是多少？;臺北有限公司",
            "日期？;三月三日",
        ),
    ),
    "ko": (
        "cp949",
        (
            "총 금액은 얼마입니까?;한국 주식회사",
            "날짜는?;삼월",
        ),
    ),
}
