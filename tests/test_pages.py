"""Page files of every kind a person may have, and every way one can be broken."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from bench.errors import InvalidInput
from bench.tasks.pages import open_page, read_pages
from bench.tasks.textlayer import text_layer

RED = (255, 0, 0)


def only(path: Path) -> tuple[int, int]:
    (page,) = read_pages(path)
    assert open_page(page).size == (page.width, page.height)
    return page.width, page.height


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff", "gif"])
def test_every_common_format_is_one_rgb_page(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"page.{suffix}"
    Image.new("RGB", (30, 20), RED).save(path)
    assert only(path) == (30, 20)
    assert open_page(read_pages(path)[0]).mode == "RGB"


def test_each_tiff_frame_is_a_page_of_its_own_size(tmp_path: Path) -> None:
    path = tmp_path / "two.tiff"
    Image.new("L", (30, 20), 0).save(
        path, save_all=True, append_images=[Image.new("L", (10, 50), 255)]
    )
    first, second = read_pages(path)
    assert (first.width, first.height, second.width, second.height) == (30, 20, 10, 50)
    assert open_page(first).getpixel((0, 0)) == (0, 0, 0)
    assert open_page(second).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_rotation_is_applied_to_size_and_pixels(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (30, 20), RED).save(path, exif=exif)
    assert only(path) == ((30, 20) if orientation == 3 else (20, 30))


def test_sixteen_bit_gray_is_scaled_not_clipped(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    Image.new("I;16", (4, 4), 0x8000).save(path)
    assert open_page(read_pages(path)[0]).getpixel((0, 0)) == (128, 128, 128)


def test_transparency_is_laid_on_white_paper(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(path)
    assert open_page(read_pages(path)[0]).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("mode", "colour"), [("CMYK", (0, 255, 255, 0)), ("1", 0), ("P", 0)])
def test_print_and_fax_modes_become_rgb(tmp_path: Path, mode: str, colour: object) -> None:
    path = tmp_path / "page.tiff"
    Image.new(mode, (4, 4), colour).save(path)  # type: ignore[arg-type]
    assert open_page(read_pages(path)[0]).mode == "RGB"


def make_pdf(path: Path, text: str = "Total 12", size: tuple[int, int] = (200, 100)) -> None:
    from reportlab.pdfgen import canvas

    sheet = canvas.Canvas(str(path), pagesize=size)
    sheet.drawString(20, 50, text)
    sheet.showPage()
    sheet.save()


def test_a_pdf_page_is_rendered_at_the_stated_resolution(tmp_path: Path) -> None:
    path = tmp_path / "page.pdf"
    make_pdf(path)
    (page,) = read_pages(path, dpi=144)
    assert (page.width, page.height, page.dpi) == (400, 200, 144)
    assert open_page(page).size == (400, 200)


def test_the_text_layer_gives_words_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "page.pdf"
    make_pdf(path)
    (page,) = read_pages(path, dpi=72)
    words = text_layer(page)
    assert words is not None
    assert [word.text for word in words] == ["Total", "12"]
    assert words[0].left == pytest.approx(20, abs=2)
    # 50 points from the bottom of a sheet of 100: the base line lies in the middle.
    assert words[0].top < 50 < words[0].bottom


def test_an_image_has_no_text_layer(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    Image.new("L", (4, 4)).save(path)
    assert text_layer(read_pages(path)[0]) is None


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size; its pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


BROKEN = {
    "empty.png": (b"", "is empty"),
    "text.png": (b"hello", "is not an image"),
    "zero.png": (png(0, 0), "broken or truncated|0×0|not an image"),
    "bomb.png": (png(50_000, 50_000), "pixels"),
    "broken.pdf": (b"%PDF-1.4 nothing", "broken or not a PDF"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_page_that_cannot_be_one_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, says = BROKEN[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=says) as caught:
        read_pages(path)
    assert "\n" not in caught.value.message
    assert name in caught.value.message


def test_a_missing_page_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.png does not exist"):
        read_pages(tmp_path / "gone.png")


def saved_noise(path: Path) -> bytes:
    """The bytes of a page that no compression makes small, saved as the suffix says."""
    noise = Image.effect_noise((200, 200), 50)
    options = {"compression": "tiff_lzw"} if path.suffix == ".tif" else {}
    (noise if path.suffix == ".gif" else noise.convert("RGB")).save(path, **options)
    return path.read_bytes()


@pytest.mark.parametrize(
    "suffix", ["png", "jpg", "webp", "gif", "bmp", "jp2", "j2k", "tif", "avif"]
)
def test_a_page_file_without_its_end_is_named_before_any_page_is_opened(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"page.{suffix}"
    data = saved_noise(path)
    (page,) = read_pages(path)
    half = data[: len(data) // 2]
    path.write_bytes(half)
    with pytest.raises(InvalidInput, match=rf"page\.{suffix} .*broken or truncated"):
        read_pages(path)
    with pytest.raises(InvalidInput, match="truncated"):
        open_page(page)
    # What stands behind the end of a whole file is not looked at.
    for more in (b"x" * 10_000, bytes(10_000)):
        path.write_bytes(data + more)
        assert (read_pages(path)[0].width, open_page(page).size) == (200, (200, 200))


@pytest.mark.parametrize("suffix", ["png", "jp2", "tif"])
def test_a_page_file_whose_second_half_never_came_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"page.{suffix}"
    data = saved_noise(path)
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    with pytest.raises(InvalidInput, match=rf"page\.{suffix} .*broken"):
        read_pages(path)


def test_a_page_of_a_scan_that_ends_early_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    first, second = (Image.effect_noise((90, 90), 50) for _ in "ab")
    first.save(path, save_all=True, append_images=[second])
    assert len(read_pages(path)) == 2
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InvalidInput, match=r"scan\.tif is broken or truncated"):
        read_pages(path)


def test_an_encrypted_pdf_says_that_it_needs_a_password(tmp_path: Path) -> None:
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen import canvas

    path = tmp_path / "locked.pdf"
    sheet = canvas.Canvas(str(path), encrypt=StandardEncryption("secret", canPrint=0))
    sheet.drawString(20, 50, "hidden")
    sheet.save()
    with pytest.raises(InvalidInput, match="password"):
        read_pages(path)


def test_a_page_starts_no_other_program(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\n")
    with pytest.raises(InvalidInput, match="is not an image"):
        read_pages(path)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to a pipe"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        target = path if kind == "pipe" else tmp_path / "pipe"
        os.mkfifo(target)
        if kind != "pipe":
            path.symlink_to(target)
    with pytest.raises(InvalidInput, match="not a regular file"):
        read_pages(path)
