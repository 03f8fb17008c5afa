"""Which documents train, which validate, which must not be seen: told apart by what pages show."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from bench.authoring.splitting import split_task
from bench.errors import InvalidInput
from bench.models.catalog import resolve
from bench.schema import Task
from bench.tasks import load_task
from bench.tasks.contents import clusters, page_contents
from bench.tuning import base_model
from bench.tuning.parts import find_parts
from tests.tiny_qwen import draw_page


def write_task(folder: Path, pages: dict[str, str | None]) -> Path:
    """A task with one question about each of ``pages`` (file → part), drawn by its number in the name."""
    folder.mkdir(exist_ok=True)
    rows = []
    for name, part in pages.items():
        number = int("".join(filter(str.isdigit, name)))
        draw_page(folder / name, 60 + number, 60, number)
        metadata = {"split": part} if part is not None else {}
        rows.append(
            {"id": name, "images": [name], "question": "q", "answers": ["a"], "metadata": metadata}
        )
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def files(task: Task) -> set[str]:
    return {page.path.name for document in task.documents.values() for page in document.pages}


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    return write_task(tmp_path / "ten", {f"p{number}.png": None for number in range(10)})


def test_a_task_is_cut_into_three(ten: Path) -> None:
    parts = split_task(ten, 0.6, 0, validation=0.2)
    assert parts.validation is not None
    assert (parts.train_documents, parts.validation_documents, parts.test_documents) == (6, 2, 2)
    tasks = [load_task(folder) for folder in (parts.train, parts.validation, parts.test)]
    seen = [files(task) for task in tasks]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 10
    assert {s.metadata["split"] for s in tasks[1].samples} == {"validation"}
    assert not (ten.parent / "ten-valid").exists()


def test_shares_that_leave_no_test_are_refused(ten: Path) -> None:
    with pytest.raises(InvalidInput, match="leave none to test"):
        split_task(ten, 0.8, 0, validation=0.2)


def test_pages_saved_again_stay_together_when_a_task_is_cut(ten: Path) -> None:
    rows = (ten / "samples.jsonl").read_text().splitlines()
    for number in range(10):
        with Image.open(ten / f"p{number}.png") as image:
            image.save(ten / f"copy{number}.bmp")
        row = json.loads(rows[number])
        rows.append(json.dumps(row | {"id": f"c{number}", "images": [f"copy{number}.bmp"]}))
    (ten / "samples.jsonl").write_text("\n".join(rows) + "\n")
    parts = split_task(ten, 0.5, 3)
    for folder in (parts.train, parts.test):
        names = files(load_task(folder))
        assert {name.replace("copy", "p").replace("bmp", "png") for name in names} == {
            name for name in names if name.endswith("png")
        }
    assert parts.train_documents == parts.test_documents == 5


def test_the_parts_beside_a_task_are_found_by_either_name(ten: Path) -> None:
    parts = split_task(ten, 0.6, 0, validation=0.2)
    for name in (ten, parts.train):
        found = find_parts(str(name), (), 0.1, 0)
        assert found.name == "ten"
        assert found.train.name == "ten-train"
        assert found.validation.name == "ten-validation"
        assert not found.held_out
        assert [task.name for task in found.tests] == ["ten-test"]
        assert found.test_names == (f"{ten}-test",)


def test_parts_may_stand_in_the_metadata(tmp_path: Path) -> None:
    pages = {"p1.png": "train", "p2.png": "Train", "p3.png": "val", "p4.png": "test"}
    found = find_parts(str(write_task(tmp_path / "one", {**pages, "p5.png": None})), (), 0.1, 0)
    assert files(found.train) == {"p1.png", "p2.png"}
    assert files(found.validation) == {"p3.png"}
    assert files(found.tests[0]) == {"p4.png"}
    assert (found.name, found.train.name) == ("one", "one-train")
    # The folder would run with its training part.
    assert found.test_names == ()


def test_some_training_documents_are_held_out(ten: Path) -> None:
    split_task(ten, 0.8, 0)
    found = find_parts(str(ten), (), 0.25, 0)
    assert found.held_out
    assert (len(found.train.documents), len(found.validation.documents)) == (6, 2)
    assert not files(found.train) & files(found.validation)
    again, other = (find_parts(str(ten), (), 0.25, seed) for seed in (0, 1))
    assert files(again.validation) == files(found.validation)
    assert files(other.validation) != files(found.validation)
    assert found.train.digest != load_task(ten.parent / "ten-train").digest


def test_equal_pages_are_held_out_together(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "twins", {f"p{n}.png": "train" for n in range(4)})
    rows = (folder / "samples.jsonl").read_text().splitlines()
    for number in range(4):
        shutil.copy(folder / f"p{number}.png", folder / f"again{number}.png")
        row = json.loads(rows[number]) | {"id": f"a{number}", "images": [f"again{number}.png"]}
        rows.append(json.dumps(row))
    (folder / "samples.jsonl").write_text("\n".join(rows) + "\n")
    held = files(find_parts(str(folder), (), 0.25, 0).validation)
    assert len(held) == 2
    assert {name.removeprefix("again").removeprefix("p") for name in held} == {
        next(iter(held)).removeprefix("again").removeprefix("p")
    }


def test_one_training_document_leaves_none_to_validate(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "one", {"p1.png": "train", "p2.png": "test"})
    with pytest.raises(InvalidInput, match="has one document only") as caught:
        find_parts(str(folder), (), 0.1, 0)
    assert "--validation" in str(caught.value.hint)


@pytest.mark.parametrize(("part", "word"), [("validation", "validation"), ("test", "test")])
def test_a_page_in_two_parts_is_refused(tmp_path: Path, part: str, word: str) -> None:
    pages: dict[str, str | None] = {"p1.png": "train", "p2.png": "train", "p3.png": "test"}
    # Drawn by their numbers, p2 and q2 show the same; TIFF and PNG hold it in other bytes.
    folder = write_task(tmp_path / "leaky", pages | {"p4.png": "validation", "q2.tiff": part})
    with pytest.raises(InvalidInput) as caught:
        find_parts(str(folder), (), 0.1, 0)
    assert f"the training part and the {word} part share pages in 1 file: " in caught.value.message
    assert "p2.png" in caught.value.message
    assert "q2.tiff" in caught.value.message


def test_further_tasks_are_kept_out(ten: Path, tmp_path: Path) -> None:
    split_task(ten, 0.8, 0)
    seen = sorted(files(load_task(tmp_path / "ten-train")))[0]
    apart = write_task(tmp_path / "apart", {"p99.png": None})
    found = find_parts(str(ten), (str(apart),), 0.2, 0)
    assert [task.name for task in found.tests] == ["ten-test", "apart"]
    assert found.test_names == (f"{ten}-test", str(apart))
    other = write_task(tmp_path / "other", {seen: None})
    with pytest.raises(InvalidInput, match="training part and the test part share pages"):
        find_parts(str(ten), (str(other),), 0.2, 0)


def test_a_task_that_is_not_cut_is_refused(ten: Path) -> None:
    with pytest.raises(InvalidInput, match="has no training part") as caught:
        find_parts(str(ten), (), 0.1, 0)
    assert caught.value.hint == f"bench data split {ten}"


def test_a_page_is_known_by_its_pixels(tmp_path: Path) -> None:
    from bench.tasks.pages import read_pages

    draw_page(tmp_path / "a.png", 60, 60, 1)
    with Image.open(tmp_path / "a.png") as image:
        image.save(tmp_path / "b.tiff")
        image.crop((0, 0, 60, 59)).save(tmp_path / "c.png")
    broken = tmp_path / "d.png"
    shutil.copy(tmp_path / "a.png", broken)
    pages = [read_pages(tmp_path / name)[0] for name in ("a.png", "b.tiff", "c.png", "d.png")]
    # A page that is cut off from the beginning is refused.
    broken.write_bytes(broken.read_bytes()[:-40])
    found = [page_contents(pages)[page] for page in pages]
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_clusters_join_through_others() -> None:
    assert clusters([["d"], ["a", "c"], ["b"], ["c", "d"]]) == [[0, 1, 3], [2]]
    assert clusters([]) == []


def test_a_gpu_without_bf16_trains_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers may be computed in fp16 there, but gradients overflow."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(base_model, "pick_device", lambda _: torch.device("cuda:0"))
    chosen = {}
    for capability in ((7, 5), (8, 0)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        chosen[capability] = [
            base_model.trainable(resolve("qwen2-vl-2b", dtype=dtype)).dtype
            for dtype in ("auto", "bf16")
        ]
    assert chosen == {(7, 5): ["fp32", "bf16"], (8, 0): ["auto", "bf16"]}


@pytest.mark.parametrize(("left", "named"), [(None, "1"), ("4,GPU-77", "GPU-77"), ("4", "1")])
def test_another_gpu_is_named_as_the_variable_names_it(
    left: str | None, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if left is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", left)
    with pytest.raises(InvalidInput, match="uses the first GPU") as raised:
        base_model.trainable(resolve("qwen2-vl-2b", device="cuda:1"))
    assert str(raised.value.hint).startswith(f"CUDA_VISIBLE_DEVICES={named} bench tune")
