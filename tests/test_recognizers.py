"""Recognisers of Cyrillic: the one in the box, RapidOCR's own from a server here, and which is used."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

import bench.synth.fonts
from bench.cli import main
from bench.errors import EnvironmentProblem
from bench.models.ocr import Ocr, recognizers
from bench.models.ocr.rapid_ocr import RapidOcrReader
from bench.models.ocr.readers import cyrillic_reader, read_by_script
from bench.models.ocr.reading import Fragment, Reading
from bench.models.ocr.recognizers import (
    BUNDLED,
    ListedModel,
    cyrillic_recognizer,
    fetch,
    fetched_recognizer,
    listed_recognizer,
    recognizers_folder,
)
from bench.schema import ModelSpec

FONTS = Path(bench.synth.fonts.__file__).parent
LINES = (
    "Счёт на оплату № 417 от 14 марта 2024 г.",
    "Поставщик: ООО «Ветер», ИНН 7712345678",
    "Всего к оплате: 1 980,72 ₽",
    "г. Щёлково, ул. Объездная, д. 5, эт. 3",
    "Schneider Electric: mail@example.ru",
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def in_the_box() -> RapidOcrReader:
    return RapidOcrReader(BUNDLED)


def page(font: str, *lines: str) -> Image.Image:
    image = Image.new("RGB", (1000, 40 + 60 * len(lines)), "white")
    pen = ImageDraw.Draw(image)
    face = ImageFont.truetype(FONTS / font, 30)
    for number, line in enumerate(lines):
        pen.text((40, 20 + 60 * number), line, fill="black", font=face)
    return image


def texts(reading: Reading) -> list[str]:
    return [fragment.text for fragment in sorted(reading.fragments, key=lambda f: f.top)]


@pytest.mark.parametrize("font", ["grotesque.ttf", "grotesque-bold.ttf"])
def test_the_recogniser_in_the_box_reads_russian_and_english(
    in_the_box: RapidOcrReader, font: str
) -> None:
    assert texts(in_the_box.read(page(font, *LINES))) == list(LINES)


def test_the_recogniser_in_the_box_is_small() -> None:
    assert BUNDLED.stat().st_size <= 8_000_000


@pytest.mark.parametrize(
    ("read", "meant"),
    [
        ("Cчёт", "Счёт"),  # The first letter is Latin.
        ("cуммa и НДС", "сумма и НДС"),
        ("Роst Аpple", "Post Apple"),
        ("ООО «Bетep»", "ООО «Ветер»"),
        ("Wi-Fi роутер", "Wi-Fi роутер"),
        ("Windows и Яhoo", "Windows и Яhoo"),  # No script has all of its letters.
    ],
)
def test_a_word_has_letters_of_one_script(
    in_the_box: RapidOcrReader, monkeypatch: pytest.MonkeyPatch, read: str, meant: str
) -> None:
    class Result:
        txts = (read,)
        scores = (0.9,)
        boxes = (((0, 0), (90, 0), (90, 20), (0, 20)),)

    monkeypatch.setattr(in_the_box, "engine", lambda *_, **__: Result())
    assert texts(in_the_box.read(Image.new("RGB", (100, 30)))) == [meant]


class Scripted:
    """A reader that says one line, ``width`` pixels wide."""

    name = "scripted"
    poor_confidence = 0.9

    def __init__(self, text: str, width: float, confidence: float) -> None:
        self.fragment = Fragment(text, 0, 0, width, 20, confidence)
        self.reads = 0

    def read(self, image: Image.Image) -> Reading:
        self.reads += 1
        return Reading((self.fragment,), words=False)

    def details(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("is_cyrillic", "general", "cyrillic", "chosen", "reads"),
    [
        # A page in the script of its question is read once.
        (True, ("120:", 300, 0.9), ("Всего к оплате: 120", 300, 0.95), "Всего к оплате: 120", 1),
        (False, ("Total due: 120.00", 200, 0.95), ("Тоtаl", 200, 0.5), "Total due: 120.00", 1),
        # A question in Russian about an English page, and about a Chinese one.
        (True, ("Total due: 120", 150, 0.95), ("Total bue: 120", 150, 0.95), "Total due: 120", 2),
        (True, ("发票号码二四三一", 120, 0.95), ("Ж Ш 8", 170, 0.4), "发票号码二四三一", 2),
        # A question in English about a Russian page.
        (False, ("120:", 300, 0.9), ("Всего к оплате: 120", 300, 0.95), "Всего к оплате: 120", 2),
        # Neither reader knows the script: the one of the question's script stays.
        (False, ("- -", 300, 0.6), ("Ж", 300, 0.3), "- -", 2),
    ],
)
def test_a_page_is_read_by_the_reader_of_its_script(
    is_cyrillic: bool,
    general: tuple[str, float, float],
    cyrillic: tuple[str, float, float],
    chosen: str,
    reads: int,
) -> None:
    both = Scripted(*general), Scripted(*cyrillic)
    reading = read_by_script(Image.new("RGB", (9, 9)), is_cyrillic, *both)
    assert texts(reading) == [chosen]
    assert sum(reader.reads for reader in both) == reads


def test_without_tesseract_the_record_names_the_recogniser_of_cyrillic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    info = Ocr(ModelSpec("ocr", "ocr")).load()
    engines: Any = info.details["engines"]
    assert [engine["engine"] for engine in engines] == ["rapidocr", "rapidocr"]
    assert BUNDLED.name in engines[1]["models"]
    assert "ru" in engines[1]["languages"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server on this machine, and the folder that it shows."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()
        thread.join()


@pytest.fixture
def listed(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> ListedModel:
    """A model that RapidOCR seems to list, on the server."""
    address, folder = server
    shutil.copyfile(BUNDLED, folder / "cyrillic.onnx")
    digest = hashlib.sha256(BUNDLED.read_bytes()).hexdigest()
    model = ListedModel(f"{address}/cyrillic.onnx", digest)
    monkeypatch.setattr(recognizers, "listed_recognizer", lambda: model)
    return model


def test_rapidocr_lists_a_recogniser_of_cyrillic() -> None:
    model = listed_recognizer()
    assert model.name.startswith("cyrillic_") and model.name.endswith(".onnx")
    assert len(bytes.fromhex(model.sha256)) == 32


def pull(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What ``bench pull --models ocr`` prints where it succeeds."""
    with pytest.raises(SystemExit) as end:
        main(["pull", "--models", "ocr", *arguments])
    assert not end.value.code
    return capfd.readouterr().out


def test_pull_fetches_rapidocr_s_recogniser_and_it_is_used(
    listed: ListedModel,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert cyrillic_recognizer() == BUNDLED
    assert f"ocr is ready in {recognizers_folder()}" in pull(capfd)
    assert cyrillic_recognizer() == recognizers_folder() / "cyrillic.onnx"
    assert "cyrillic.onnx" in cyrillic_reader().details()["models"]
    assert "is already here" in pull(capfd, "--dry-run")


def test_what_a_model_can_do_without_is_fetched_last(
    listed: ListedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["pull", "--models", "ocr,fake", "--dry-run", "--json"])
    rows = json.loads(capfd.readouterr().out)
    assert [row["name"] for row in rows] == ["fake", "ocr"]


def test_a_dry_run_of_pull_fetches_nothing(
    listed: ListedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "RapidOCR's recogniser of Cyrillic" in " ".join(pull(capfd, "--dry-run").split())
    assert cyrillic_recognizer() == BUNDLED


def test_a_file_with_another_digest_is_refused_and_not_kept(
    listed: ListedModel, server: tuple[str, Path]
) -> None:
    (server[1] / "cyrillic.onnx").write_bytes(b"something else")
    with pytest.raises(EnvironmentProblem, match="is not the file that RapidOCR lists") as caught:
        fetch(listed)
    assert listed.sha256 in caught.value.message
    assert list(recognizers_folder().iterdir()) == []
    assert fetched_recognizer() is None


def test_a_fetched_file_that_was_damaged_is_not_used(listed: ListedModel) -> None:
    path = fetch(listed) / listed.name
    path.write_bytes(path.read_bytes()[:1000])
    assert cyrillic_recognizer() == BUNDLED
    fetch(listed)
    assert cyrillic_recognizer() == path


def test_without_a_network_pull_says_what_is_used_instead(listed: ListedModel) -> None:
    gone = listed._replace(url=listed.url.replace("cyrillic.onnx", "gone.onnx"))
    with pytest.raises(EnvironmentProblem, match="cannot be downloaded") as caught:
        fetch(gone)
    assert "404" in caught.value.message
    assert "the recogniser in the box reads Cyrillic" in (caught.value.hint or "")
    assert list(recognizers_folder().iterdir()) == []
