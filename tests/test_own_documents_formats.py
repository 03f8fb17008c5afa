"""Every kind of file and table that people have, from the folder to the scores, with the ``ocr`` model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw, ImageFont

from bench.cli import cli

WORDS = "TOTAL 4711"


def page() -> Image.Image:
    image = Image.new("RGB", (420, 120), "white")
    ImageDraw.Draw(image).text((20, 30), WORDS, "black", ImageFont.load_default(48))
    return image


def exif_rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    page().transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)


def pdf(path: Path) -> None:
    """Two pages, each an image: a scanned PDF without a text layer."""
    page().save(path, save_all=True, append_images=[Image.new("RGB", (420, 120), "white")])


def multi_page_tiff(path: Path) -> None:
    page().convert("1").save(path, save_all=True, append_images=[Image.new("1", (420, 120), 1)])


FORMATS: dict[str, Callable[[Path], None]] = {
    "plain.png": lambda path: page().save(path),
    "gray16.png": lambda path: (
        page().convert("L").convert("I;16").point(lambda v: v * 257).save(path)
    ),
    "cmyk.jpg": lambda path: page().convert("CMYK").save(path, quality=95),
    "turned.jpg": exif_rotated,
    "photo.webp": lambda path: page().save(path, quality=95),
    "fax.tiff": multi_page_tiff,
    "scan.pdf": pdf,
    "clear.png": lambda path: page().convert("RGBA").save(path),
}


def rows() -> list[dict[str, str]]:
    return [
        {"id": name, "image": name, "question": "What number follows TOTAL?", "answer": "4711"}
        for name in FORMATS
    ]


def jsonl(folder: Path) -> None:
    lines = [
        {"id": r["id"], "images": [r["image"]], "question": r["question"], "answers": [r["answer"]]}
        for r in rows()
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def table(delimiter: str, encoding: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        lines = [[*rows()[0], "поле"], *([*row.values(), "сумма по счёту"] for row in rows())]
        text = "\r\n".join(delimiter.join(line) for line in lines)
        (folder / "samples.csv").write_bytes(text.encode(encoding))

    return write


SAMPLES: dict[str, Callable[[Path], None]] = {
    "jsonl": jsonl,
    "comma": table(",", "utf-8"),
    "semicolon-with-BOM": table(";", "utf-8-sig"),
    "tab": table("\t", "utf-8"),
    "Windows-1251": table(";", "cp1251"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run over a task for each of ``SAMPLES``, so that the model is loaded once."""
    folder = tmp_path_factory.mktemp("documents")
    for samples, write_samples in SAMPLES.items():
        task = folder / samples
        task.mkdir()
        for name, write in FORMATS.items():
            write(task / name)
        write_samples(task)
    tasks = ",".join(str(folder / samples) for samples in SAMPLES)
    results = folder / "results"
    arguments = ["--out", str(results), "--no-report", "--latency-samples", "0"]
    result = CliRunner().invoke(cli, ["run", "-m", "ocr", "-t", tasks, *arguments])
    assert result.exit_code == 0, result.output
    (made,) = results.iterdir()
    return made


@pytest.mark.parametrize("samples", SAMPLES)
def test_a_folder_of_every_page_format_runs_to_the_end(samples: str, run: Path) -> None:
    outputs = (run / "ocr" / samples / "outputs.jsonl").read_text().splitlines()
    answers = {row["sample_id"]: row["text"] for row in map(json.loads, outputs)}
    assert answers == dict.fromkeys(FORMATS, "4711")
