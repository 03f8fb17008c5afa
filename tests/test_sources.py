"""Published data sets: every bundled description reads its data set, quirks and all, into a task."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from bench.errors import EnvironmentProblem, InvalidInput
from bench.schema import Task
from bench.tasks import (
    bundled_tasks,
    cache,
    dataset_spec,
    expand_tasks,
    find_task,
    load_task,
    public_tasks,
)
from bench.tasks.cache import cache_root
from bench.tasks.decoders import decode
from bench.tasks.rows import open_rows
from tests.source_fixtures import FIXTURES, docvqa_tsv, mp_docvqa, png, write_parquet, write_tsv

TOML = """
name = "own"
[dataset]
id = "owner/name"
split = "test"
[dataset.columns]
question = "question"
answers = "answer"
images = "image"
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


def load(task: str, path: Path) -> Task:
    return load_task(find_task(f"{task}={path}"))


def loaded(task: str, tmp_path: Path) -> Task:
    return load(task, write_parquet(task, tmp_path / "data.parquet"))


# Every data set


def test_every_public_task_has_a_fixture_of_its_schema() -> None:
    assert set(public_tasks()) == set(FIXTURES)


@pytest.mark.parametrize("task", FIXTURES)
def test_every_public_task_reads_parquet_of_its_schema(task: str, tmp_path: Path) -> None:
    found = loaded(task, tmp_path)
    assert found.name == task
    assert found.samples
    assert all(sample.question and sample.references for sample in found.samples)
    assert all(page.width == 24 for doc in found.documents.values() for page in doc.pages)


@pytest.mark.parametrize("task", FIXTURES)
def test_every_public_task_names_licence_source_and_prompt(task: str, tmp_path: Path) -> None:
    found = loaded(task, tmp_path)
    assert found.license
    assert "{question}" in found.prompt.template
    assert str(tmp_path / "data.parquet") in found.source


def test_all_means_only_tasks_that_need_no_download() -> None:
    assert not set(public_tasks()) & set(bundled_tasks())
    assert set(expand_tasks(["all"])) < set(bundled_tasks().values())


@pytest.mark.parametrize("task", FIXTURES)
def test_rows_are_those_that_datasets_reads(task: str, tmp_path: Path) -> None:
    path = write_parquet(task, tmp_path / "data.parquet")
    stream = datasets.load_dataset(
        "parquet", data_files={"rows": [str(path)]}, split="rows", streaming=True
    )
    expected = [row for batch in stream.with_format("arrow").iter(7) for row in batch.to_pylist()]
    found = dataset_spec(task)
    assert found is not None
    assert found[1].dataset is not None
    assert list(open_rows(path, found[1].dataset).rows) == expected


# Quirks


def test_docvqa_leaves_out_rows_without_answers_and_says_so(tmp_path: Path) -> None:
    task = loaded("docvqa", tmp_path)
    assert [sample.id for sample in task.samples] == ["49153", "49154", "49155"]
    assert "2 rows without answers left out" in task.source
    assert "5 rows where 5349 are documented" in task.source


def test_docvqa_keeps_an_image_once_and_makes_it_one_document(tmp_path: Path) -> None:
    task = loaded("docvqa", tmp_path)
    pages = list((find_task(f"docvqa={tmp_path / 'data.parquet'}") / "pages").iterdir())
    assert len(task.documents) == len(pages) == 2
    assert task.samples[0].document_id == task.samples[1].document_id


def test_docvqa_metadata_is_what_reports_slice_by(tmp_path: Path) -> None:
    first, second, _ = loaded("docvqa", tmp_path).samples
    assert "field" not in first.metadata
    assert second.metadata["field"] == "handwritten, form"
    assert second.metadata["document"] == "pybv0228"
    assert second.metadata["language"] == "en"


def test_a_slash_in_a_columns_name_is_part_of_the_name(tmp_path: Path) -> None:
    (sample,) = loaded("infographicvqa", tmp_path).samples
    assert sample.metadata["operation"] == "none"


def test_textvqa_keeps_all_ten_answers_and_an_integer_id(tmp_path: Path) -> None:
    (sample,) = loaded("textvqa", tmp_path).samples
    assert sample.id == "34602"
    assert sample.references == ("nokia",) * 9 + ("toshiba",)


def test_mp_docvqa_reads_python_literals_and_drops_padding(tmp_path: Path) -> None:
    task = loaded("mp-docvqa", tmp_path)
    assert task.samples[0].references == ("0.28", "it's 28 %")
    (document,) = task.documents.values()
    assert len(document.pages) == 3
    assert [page.path.read_bytes() for page in document.pages] == [png(1), png(2), png(3)]


def test_mtvqa_asks_every_question_of_a_row(tmp_path: Path) -> None:
    task = loaded("mtvqa", tmp_path)
    assert [sample.id for sample in task.samples] == ["RU_1/0", "RU_1/1"]
    assert task.samples[0].references == ("«Хлеб»",)
    assert len(task.documents) == 1


def test_cord_takes_gt_parse_out_of_the_json_string(tmp_path: Path) -> None:
    (sample,) = loaded("cord-v2", tmp_path).samples
    (reference,) = sample.references
    assert reference["total"] == {"total_price": "75,000"}
    assert sample.answer_type == "json"


def test_sroie_takes_the_fields_of_a_struct(tmp_path: Path) -> None:
    (sample,) = loaded("sroie", tmp_path).samples
    assert sample.references[0]["date"] == "25/12/2018"


def test_cc_ocr_reads_base64_images(tmp_path: Path) -> None:
    task = loaded("cc-ocr-kie", tmp_path)
    (page,) = next(iter(task.documents.values())).pages
    assert page.path.read_bytes() == png(10)


def test_an_id_that_stands_twice_becomes_two(tmp_path: Path) -> None:
    twice = datasets.concatenate_datasets([FIXTURES["mws-vision-bench"]()] * 2)
    twice.to_parquet(str(tmp_path / "twice.parquet"))
    task = load("mws-vision-bench", tmp_path / "twice.parquet")
    assert [sample.id for sample in task.samples] == ["2580", "2580#2"]


# Places and formats


def test_a_save_to_disk_folder_is_read(tmp_path: Path) -> None:
    FIXTURES["docvqa"]().save_to_disk(str(tmp_path / "saved"))
    assert len(load("docvqa", tmp_path / "saved").samples) == 3


def test_a_saved_dict_of_splits_gives_the_tasks_split(tmp_path: Path) -> None:
    both = datasets.DatasetDict(
        {"test": FIXTURES["docvqa"]().select([4]), "validation": FIXTURES["docvqa"]()}
    )
    both.save_to_disk(str(tmp_path / "saved"))
    assert len(load("docvqa", tmp_path / "saved").samples) == 3


def test_a_saved_dict_without_the_split_names_those_it_has(tmp_path: Path) -> None:
    names = {"validatoin": FIXTURES["docvqa"](), "test": FIXTURES["docvqa"]()}
    datasets.DatasetDict(names).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(InvalidInput, match="no split 'validation'") as caught:
        load("docvqa", tmp_path / "saved")
    assert caught.value.hint == "did you mean validatoin?"


def clone(tmp_path: Path) -> Path:
    """A hub repository with two configs and a card, as git or snapshot_download leave it."""
    folder = tmp_path / "DocVQA"
    for config in ("DocVQA", "InfographicVQA"):
        (folder / config).mkdir(parents=True)
        write_parquet(config.lower(), folder / config / "validation-00000-of-00001.parquet")
    lines = ["---", "configs:"]
    for config in ("DocVQA", "InfographicVQA"):
        lines += [f"- config_name: {config}", "  data_files:", "  - split: validation"]
        lines += [f"    path: {config}/validation-*"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return folder


@pytest.mark.parametrize(("task", "count"), [("docvqa", 3), ("infographicvqa", 1)])
def test_a_clone_of_the_hub_repository_gives_the_tasks_config(
    tmp_path: Path, task: str, count: int
) -> None:
    assert len(load(task, clone(tmp_path)).samples) == count


def test_a_bare_folder_with_the_parquet_files_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    write_parquet("docvqa", folder / "validation-00000-of-00002.parquet")
    write_parquet("docvqa", folder / "validation-00001-of-00002.parquet")
    task = load("docvqa", folder)
    assert len(task.samples) == 6
    assert task.samples[3].id == "49153#2"


def test_images_beside_a_metadata_file_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "image_0.png").write_bytes(png(1))
    rows = [
        {
            "file_name": "image_0.png",
            "id": n,
            "type": "t",
            "dataset_name": "d",
            "question": "Q?",
            "answers": ["a"],
        }
        for n in range(2)
    ]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = load("mws-vision-bench", folder)
    assert [sample.id for sample in task.samples] == ["0", "1"]
    assert len(task.documents) == 1


def test_image_paths_inside_parquet_may_not_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(1))
    folder = tmp_path / "data"
    folder.mkdir()
    image = [{"bytes": None, "path": str(tmp_path / "secret.png")}]
    table = pa.table({"type": ["t"], "question": ["q"], "answer": ["a"], "image": image})
    parquet.write_table(table, folder / "a.parquet")
    with pytest.raises(InvalidInput, match=r"row 0: image path .* leaves the data set's folder"):
        load("chartqa", folder / "a.parquet")


# VLMEvalKit's TSV


def test_a_vlmevalkit_tsv_is_read_whatever_the_hubs_columns_are_called(tmp_path: Path) -> None:
    task = load("docvqa", write_tsv(tmp_path / "DocVQA_VAL.tsv", docvqa_tsv()))
    assert [sample.id for sample in task.samples] == ["0", "1"]
    assert task.samples[0].references == ("0.28", "it's\t28 %")
    assert task.samples[0].question == 'What is "it"?'


def test_a_tsv_row_may_name_the_row_that_holds_its_image(tmp_path: Path) -> None:
    task = load("docvqa", write_tsv(tmp_path / "DocVQA_VAL.tsv", docvqa_tsv()))
    assert len(task.documents) == 1


def test_a_tsv_row_without_answers_still_lends_its_image(tmp_path: Path) -> None:
    rows = docvqa_tsv()
    rows[0]["answer"] = ""
    (sample,) = load("docvqa", write_tsv(tmp_path / "a.tsv", rows)).samples
    assert sample.id == "1"


def test_a_tsv_row_that_names_no_row_is_refused(tmp_path: Path) -> None:
    rows = docvqa_tsv()
    rows[1]["image"] = "7"
    with pytest.raises(InvalidInput, match="row 1: image names row '7'"):
        load("docvqa", write_tsv(tmp_path / "a.tsv", rows))


def test_another_file_than_the_published_tsv_is_said(tmp_path: Path) -> None:
    task = load("docvqa", write_tsv(tmp_path / "DocVQA_VAL.tsv", docvqa_tsv()))
    assert "not the file that VLMEvalKit publishes (MD5 differs)" in task.source


def test_a_tsv_that_was_cut_off_names_the_line(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "a.tsv", docvqa_tsv())
    path.write_text(path.read_text()[:-10].rpartition("\t")[0])
    with pytest.raises(InvalidInput, match=r"a\.tsv:\d+: expected 4 cells"):
        load("docvqa", path)


def test_a_tsv_with_several_images_a_row_keeps_their_order(tmp_path: Path) -> None:
    rows = docvqa_tsv()[:1]
    rows[0]["image"] = str([base64.b64encode(png(n)).decode() for n in (1, 2)])
    (document,) = load("docvqa", write_tsv(tmp_path / "a.tsv", rows)).documents.values()
    assert [page.path.read_bytes() for page in document.pages] == [png(1), png(2)]


# The cache


def test_the_same_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet("docvqa", tmp_path / "data.parquet")
    first = find_task(f"docvqa={path}")
    monkeypatch.setattr(cache, "open_rows", None)
    assert find_task(f"docvqa={path}") == first


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write_parquet("docvqa", tmp_path / "data.parquet")
    assert len(load("docvqa", path).samples) == 3
    FIXTURES["docvqa"]().select([0]).to_parquet(str(path))
    assert len(load("docvqa", path).samples) == 1


def test_what_was_interrupted_is_made_again(tmp_path: Path) -> None:
    path = write_parquet("docvqa", tmp_path / "data.parquet")
    folder = find_task(f"docvqa={path}")
    (folder / "done.json").unlink()
    (folder / "samples.jsonl").write_text('{"id": "half')
    assert len(load("docvqa", path).samples) == 3


def test_a_row_that_is_wrong_leaves_no_task_behind(tmp_path: Path) -> None:
    wrong = FIXTURES["mp-docvqa"]().map(
        lambda row, n: {"answers": "['a'" if n else "['a']"}, with_indices=True
    )
    wrong.to_parquet(str(tmp_path / "wrong.parquet"))
    with pytest.raises(InvalidInput, match=r"row 1: column 'answers': expected a Python literal"):
        load("mp-docvqa", tmp_path / "wrong.parquet")
    assert not list(cache_root().rglob("done.json"))
    assert not list(cache_root().rglob("samples.jsonl"))


def test_pages_are_named_by_their_content(tmp_path: Path) -> None:
    folder = find_task(f"chartqa={write_parquet('chartqa', tmp_path / 'a.parquet')}")
    (page,) = (folder / "pages").iterdir()
    assert page.name == hashlib.sha256(png(1)).hexdigest()[:24] + ".png"


def test_two_copies_of_the_data_are_the_same_task(tmp_path: Path) -> None:
    first = loaded("docvqa", tmp_path)
    FIXTURES["docvqa"]().save_to_disk(str(tmp_path / "saved"))
    assert load("docvqa", tmp_path / "saved").digest == first.digest


# Bad input


def test_a_task_without_its_data_says_how_to_get_them() -> None:
    with pytest.raises(
        EnvironmentProblem, match="data of task docvqa are not on this machine"
    ) as caught:
        find_task("docvqa")
    assert "bench pull --tasks docvqa" in (caught.value.hint or "")


def test_data_for_a_task_that_has_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="NAME=PATH does not apply"):
        find_task(f"receipts={tmp_path}")


def own(tmp_path: Path, toml: str = TOML, **columns: Any) -> Path:
    """A data set of one row for a task of one's own; the task's folder."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "task.toml").write_text(toml)
    row = {"question": "Q?", "answer": "a", "image": png(1)} | columns
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "own.parquet")
    return folder


def test_a_missing_column_offers_the_nearest(tmp_path: Path) -> None:
    table = pa.table({"type": ["t"], "question": ["q"], "answers": ["a"], "image": [png(1)]})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InvalidInput, match="has no column 'answer'") as caught:
        load("chartqa", tmp_path / "a.parquet")
    assert caught.value.hint == "did you mean answers?"


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ("['a'", "expected a Python literal, got str"),
        ("__import__('os').getcwd()", "expected a Python literal"),
        ("[" * 200 + "]" * 200, "brackets at most 100 deep"),
        ("'" + "x" * 5_000_000 + "'", "at most 4,194,304 characters"),
        ("{}[0]", "expected a Python literal"),
    ],
)
def test_a_literal_that_is_not_a_literal_names_row_and_column(
    tmp_path: Path, answers: str, says: str
) -> None:
    wrong = mp_docvqa().select([0]).map(lambda _: {"answers": answers})
    wrong.to_parquet(str(tmp_path / "a.parquet"))
    with pytest.raises(InvalidInput, match=f"row 0: column 'answers': .*{says}"):
        load("mp-docvqa", tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "value"),
    [("list", "a"), ("json", "{"), ("json", 1), ("string", ["a"]), ("string", True)],
)
def test_a_decoder_refuses_what_it_does_not_read(name: Any, value: object) -> None:
    with pytest.raises(InvalidInput, match="expected"):
        decode(name, value)


def test_a_download_that_stopped_half_way_is_recognised(tmp_path: Path) -> None:
    path = write_parquet("docvqa", tmp_path / "data.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InvalidInput, match="is not a complete parquet file"):
        load("docvqa", path)


def test_a_git_lfs_placeholder_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n")
    with pytest.raises(InvalidInput, match="Git LFS placeholder") as caught:
        load("docvqa", path)
    assert caught.value.hint == "git lfs pull"


def test_a_damaged_column_chunk_is_one_clear_line(tmp_path: Path) -> None:
    path = write_parquet("docvqa", tmp_path / "data.parquet")
    content = bytearray(path.read_bytes())
    content[60:200] = b"\xff" * 140
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="cannot be read from row 0 on"):
        load("docvqa", path)


def test_a_parquet_that_unpacks_to_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    text = pa.array([b"\0" * 80_000_000], pa.large_binary())
    table = pa.table({"question": ["q"], "answer": ["a"], "type": ["t"], "image": text})
    # Statistics would hold copies of the text while it is written.
    options = {"use_dictionary": False, "write_statistics": False}
    parquet.write_table(table, path, compression="zstd", **options)
    assert path.stat().st_size < 100_000
    with pytest.raises(
        InvalidInput, match=r"column 'image' unpacks from [\d,]+ to 80,\d+,\d+ bytes"
    ):
        load("chartqa", path)


@pytest.mark.parametrize("name", ["data.zip", "data.tar", "data.tsv.gz"])
def test_an_archive_is_not_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4")
    with pytest.raises(InvalidInput, match="archives are not opened"):
        load("docvqa", tmp_path / name)


def test_a_folder_without_data_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="is empty"):
        load("docvqa", tmp_path / "empty")


def test_a_split_whose_answers_are_secret_is_refused(tmp_path: Path) -> None:
    FIXTURES["docvqa"]().select([3, 4]).to_parquet(str(tmp_path / "test.parquet"))
    with pytest.raises(InvalidInput, match="none of the 2 rows can be asked and scored") as caught:
        load("docvqa", tmp_path / "test.parquet")
    assert "validation" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('split = "test"', "the key 'dataset.split' is missing"),
        ('id = "owner/name"', "the key 'dataset.id' is missing"),
        ('question = "question"', "expected either columns.question or question"),
    ],
)
def test_a_dataset_table_without_what_it_needs_is_refused(
    tmp_path: Path, change: str, says: str
) -> None:
    folder = own(tmp_path, TOML.replace(change, ""))
    with pytest.raises(InvalidInput, match=says):
        find_task(str(folder))


def test_an_unknown_key_of_the_dataset_table_offers_the_nearest(tmp_path: Path) -> None:
    folder = own(tmp_path, TOML.replace('split = "test"', 'split = "test"\nrevison = "x"'))
    with pytest.raises(
        InvalidInput, match=r"there is no key 'dataset\.revison'; did you mean revision"
    ):
        find_task(str(folder))


def test_a_revision_is_a_whole_commit(tmp_path: Path) -> None:
    folder = own(tmp_path, TOML.replace('split = "test"', 'split = "test"\nrevision = "main"'))
    with pytest.raises(InvalidInput, match=r"dataset\.revision"):
        find_task(str(folder))


def test_a_full_disk_stops_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet("docvqa", tmp_path / "data.parquet")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        find_task(f"docvqa={path}")
    # Nothing that takes up space is left.
    assert not [file for file in cache_root().rglob("*") if file.is_file()]


def test_the_cached_folder_is_a_task_of_its_own(tmp_path: Path) -> None:
    folder = find_task(f"docvqa={write_parquet('docvqa', tmp_path / 'data.parquet')}")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert load_task(find_task(str(copy))).digest == load_task(folder).digest
