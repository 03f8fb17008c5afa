"""Perturbations: equal pixels everywhere, graded severities, and pages that are no ordinary pages."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bench.runner.perturb import perturbed_document
from bench.schema import Document, Page, Perturbation
from bench.tasks.pages import open_page, read_pages
from bench.tasks.perturbing import KINDS, MIXTURES, PERTURBATIONS, SEVERITIES, kinds, perturbed
from bench.tasks.perturbing.pixels import TILE, Draws

SEED = 20_261_128


def page(width: int = 160, height: int = 120) -> Image.Image:
    """A page of integers alone: no font and no filter, whose pixels could differ."""
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    for top in range(12, height - 12, 9):
        pen.rectangle((12, top, width - 12 - top % 40, top + 3), fill=(top, 30, 90))
    return image


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean distance of two pictures in levels."""
    pixels = [np.asarray(image).astype(np.int32) for image in (one, other)]
    return float(np.abs(pixels[0] - pixels[1]).mean())


def uncoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave JPEG out: its pixels depend on the version of libjpeg."""
    monkeypatch.setattr(kinds, "reencoded", lambda image, quality: image)


DIGESTS = {
    "blur": "e6ff13d2a0b8b322",
    "rotate": "28e964613a5afa20",
    "jpeg": "0cb7d586164d0f84",
    "dpi": "05c54000ce92e905",
    "noise": "6f10ce55736e03e3",
    "contrast": "5a30f0ac98cad88e",
    "shadow": "2b77e602104e7656",
    "crop": "05bed60846264389",
    "scan": "5d6d4bf4d6c0b692",
    "photo": "edca612f15794e77",
    "fax": "0e08c27fad30f274",
}
"""sha256 of the pixels of ``page()`` at severity 3, before JPEG. They are the same on every platform. Whoever
changes a kind on purpose raises ``bench.tasks.perturbing.VERSION`` and writes them anew."""


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_equal_seeds_give_equal_pixels_on_every_platform(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uncoded(monkeypatch)
    image = perturbed(page(), Perturbation(kind, 3, SEED))
    assert hashlib.sha256(image.tobytes()).hexdigest()[:16] == DIGESTS[kind]


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_a_higher_severity_changes_more_and_keeps_the_size(kind: str) -> None:
    # On lines at equal distances, a longer way may end on the next line.
    slope = Image.linear_gradient("L").convert("RGB").rotate(30)
    clean = slope if kind in ("rotate", "crop") else page(320, 200)
    changes = []
    for severity in SEVERITIES:
        image = perturbed(clean, Perturbation(kind, severity, SEED))
        assert (image.size, image.mode) == (clean.size, "RGB")
        changes.append(difference(clean, image))
    assert 0 < changes[0] < changes[1] < changes[2]


def test_what_is_left_to_chance_follows_the_seed_alone() -> None:
    for kind in ("rotate", "noise", "shadow", "crop", *MIXTURES):
        seeds = [0, 1, 2, 3, 4, 0]
        drawn = [perturbed(page(), Perturbation(kind, 2, seed)).tobytes() for seed in seeds]
        assert drawn[0] == drawn[-1], kind
        assert len(set(drawn)) > 1, kind


def test_the_picture_that_is_given_stays_as_it_is() -> None:
    clean = page()
    before = clean.tobytes()
    for kind in PERTURBATIONS:
        perturbed(clean, Perturbation(kind, 3, SEED))
    assert clean.tobytes() == before


def test_a_page_has_no_seam_where_its_tiles_meet() -> None:
    wide = page(TILE + 200, 80)
    image = kinds.blurred(wide, Fraction(3, 2))
    around = wide.crop((TILE - 100, 0, TILE + 100, 80))
    inner = (40, 0, 160, 80)
    alone = kinds.blurred(around, Fraction(3, 2)).crop(inner)
    assert image.crop((TILE - 60, 0, TILE + 60, 80)).tobytes() == alone.tobytes()


def test_a_turn_moves_a_mark_as_far_as_it_says() -> None:
    image = Image.new("RGB", (401, 401), "white")
    image.putpixel((380, 200), (0, 0, 0))
    turned = np.asarray(kinds.skewed(image, 500).convert("L"))[150:250, 330:400]
    row, column = np.unravel_index(turned.argmin(), turned.shape)
    # 180 pixels to the right of the middle, after 5 degrees clockwise: 15.7 down and 0.7 to the left.
    assert (abs(row + 150 - 215.7) <= 1, abs(column + 330 - 379.3) <= 1) == (True, True)


def test_random_numbers_are_those_of_pcg64_and_its_seed_sequence() -> None:
    draws = Draws(7, "rotate")
    assert [draws.between(0, 999) for _ in range(4)] == RANDOM
    assert Draws(7, "rotate").of("a").between(0, 10**9) != Draws(7, "rotate").of("b").between(
        0, 10**9
    )


RANDOM = [697, 796, 748, 106]

ODD_PAGES = {
    "one pixel": Image.new("RGB", (1, 1), "white"),
    "one line": Image.new("L", (3000, 1), 255),
    "16 bits": Image.fromarray((np.arange(60 * 80, dtype=np.uint16) * 9).reshape(60, 80)),
    "transparent": Image.new("RGBA", (80, 60), (0, 0, 0, 0)),
    "CMYK": Image.new("CMYK", (80, 60), (0, 0, 0, 0)),
    "20,000 pixels wide": Image.new("L", (20_000, 40), 255),
}


@pytest.mark.parametrize("name", ODD_PAGES)
def test_a_page_that_is_no_ordinary_page_is_perturbed_like_any_other(
    name: str, tmp_path: Path
) -> None:
    odd = ODD_PAGES[name]
    path = tmp_path / ("page.tif" if odd.mode == "CMYK" else "page.png")
    odd.save(path)
    (own,) = read_pages(path)
    for kind in ("rotate", "scan", "photo", "fax") if odd.width > 3000 else PERTURBATIONS:
        document = Document("odd", (own,))
        (changed,) = perturbed_document(document, Perturbation(kind, 3, 0)).pages
        assert open_page(changed).size == odd.size, kind


def test_a_white_page_stays_light_where_it_was_transparent(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    ODD_PAGES["transparent"].save(path)
    (own,) = read_pages(path)
    (changed,) = perturbed_document(Document("d", (own,)), Perturbation("blur", 1, 0)).pages
    assert open_page(changed).getextrema() == ((255, 255),) * 3


def test_a_page_is_turned_before_it_is_perturbed(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    page().save(path)
    (own,) = read_pages(path)
    (changed,) = perturbed_document(
        Document("d", (own.turned(90),)), Perturbation("crop", 3, 0)
    ).pages
    expected = perturbed(page().transpose(Image.Transpose.ROTATE_270), changed_by(changed))
    assert open_page(changed).tobytes() == expected.tobytes()


def changed_by(changed: Page) -> Perturbation:
    assert changed.perturbation is not None
    return changed.perturbation


def test_the_seed_of_a_page_comes_from_run_document_and_number_whatever_the_order() -> None:
    pages = tuple(Page(Path("/x.png"), i, 10, 10, "0" * 64) for i in range(3))
    condition = Perturbation("blur", 1, 7)
    seeds = [changed_by(p).seed for p in perturbed_document(Document("a", pages), condition).pages]
    assert len(set(seeds)) == 3
    # Neither the kind nor the severity changes it, so that severities differ in strength alone.
    other = perturbed_document(Document("a", pages[:2]), Perturbation("scan", 3, 7)).pages
    assert [changed_by(p).seed for p in other] == seeds[:2]
    (elsewhere,) = perturbed_document(Document("b", pages[:1]), condition).pages
    (again,) = perturbed_document(Document("a", pages[:1]), Perturbation("blur", 1, 8)).pages
    assert len({seeds[0], changed_by(elsewhere).seed, changed_by(again).seed}) == 3
    assert seeds == SEEDS


SEEDS = [3031401928, 3454978643, 1969129743]


def test_every_kind_says_what_it_does_and_where_its_strengths_come_from() -> None:
    assert not KINDS.keys() & MIXTURES.keys()
    for kind, change in PERTURBATIONS.items():
        assert "Source:" in (change.__doc__ or ""), kind
