"""``bench pull`` against a hub on this machine: sizes first, resuming, gated sets, mirrors that are dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import REVISION, Hub, serve
from tests.source_fixtures import chartqa, png

TOML = """
name = "charts"
license = "MIT"
[dataset]
id = "owner/charts"
former_ids = ["former/charts"]
split = "test"
[dataset.columns]
question = "question"
answers = "answer"
images = "image"
"""
DATA = "data/test-00000-of-00001.parquet"
CARD = """---
license: cc-by-4.0
configs:
- config_name: default
  data_files:
  - split: test
    path: data/test-*
---
"""


class Place:
    """A hub, a task that names a data set of it, and an empty home."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.folder, self.hub = folder, hub
        self.repository = folder / "repository"
        (self.repository / "data").mkdir(parents=True)
        chartqa().to_parquet(str(self.repository / DATA))
        (self.repository / "README.md").write_text(CARD)
        # What the split does not need must not be downloaded.
        (self.repository / "data" / "train-00000-of-00001.parquet").write_bytes(png(1))
        hub.repositories["owner/charts"] = self.repository
        self.task = folder / "charts"
        self.task.mkdir()
        self.write_task(TOML)

    def write_task(self, toml: str) -> None:
        (self.task / "task.toml").write_text(toml)

    def bench(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.hub.requests.clear()
        return subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            env={
                **os.environ,
                "HF_HOME": str(self.folder / "hf"),
                "XDG_CACHE_HOME": str(self.folder / "cache"),
                "HF_ENDPOINT": self.hub.url,
                "HF_HUB_OFFLINE": "0",
                **environment,
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def pull(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.bench("pull", "--tasks", str(self.task), *arguments, **environment)

    def transfers(self) -> list[str]:
        return [r for r in self.hub.requests if r.startswith("GET /datasets/") and "parquet" in r]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with serve(Hub()) as hub:
        yield Place(tmp_path, hub)


def test_a_pulled_data_set_runs_without_a_network(place: Place) -> None:
    pulled = place.pull()
    assert pulled.returncode == 0, pulled.stderr
    assert place.transfers() == [f"GET /datasets/owner/charts/resolve/{REVISION}/{DATA}"]
    run = place.bench(
        "run", "-m", "fake", "-t", str(place.task), "--offline", "--no-report", "--json",
        HF_ENDPOINT="http://127.0.0.1:9",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert place.hub.requests == []
    record = json.loads(next(place.folder.glob("results/*/run.json")).read_text())
    assert record["tasks"][0]["samples"] == 2
    assert f"owner/charts, split test, revision {REVISION}" in record["tasks"][0]["source"]


def test_sizes_and_licences_are_printed_before_anything_is_fetched(place: Place) -> None:
    size = (place.repository / DATA).stat().st_size
    dry = place.pull("--dry-run", "--json")
    (row,) = json.loads(dry.stdout)
    assert row["bytes"] == size
    assert row["license"] == "MIT"
    assert row["note"] == (
        "the hub states the licence cc-by-4.0; the newest revision is taken, because none is pinned"
    )
    assert place.transfers() == []


def test_what_is_here_is_not_fetched_again(place: Place) -> None:
    place.pull()
    again = place.pull("--json")
    assert place.transfers() == []
    assert json.loads(again.stdout)[0]["bytes"] == 0


def test_a_pinned_data_set_that_is_here_needs_no_hub(place: Place) -> None:
    place.write_task(TOML.replace('split = "test"', f'split = "test"\nrevision = "{REVISION}"'))
    assert place.pull().returncode == 0
    again = place.pull(HF_ENDPOINT="http://127.0.0.1:9")
    assert again.returncode == 0, again.stderr
    assert "is already here" in again.stdout


def test_a_transfer_that_breaks_off_once_is_tried_again(place: Place) -> None:
    place.hub.break_after, place.hub.break_times = 300, 1
    assert place.pull().returncode == 0
    assert len(place.transfers()) == 2


def test_a_broken_pull_says_so_and_the_next_one_fetches_only_what_is_missing(place: Place) -> None:
    second = "data/test-00001-of-00002.parquet"
    chartqa().select([1]).to_parquet(str(place.repository / second))
    place.hub.break_after, place.hub.break_files = 300, second
    broken = place.pull()
    assert broken.returncode == 3
    assert "it resumes" in broken.stderr
    assert not list(place.folder.glob("cache/**/done.json"))
    place.hub.break_after = None
    assert place.pull().returncode == 0
    assert place.transfers() == [f"GET /datasets/owner/charts/resolve/{REVISION}/{second}"]


def test_a_data_set_that_moved_is_found_under_its_former_id(place: Place) -> None:
    place.hub.repositories = {"former/charts": place.repository}
    assert place.pull().returncode == 0
    assert place.transfers() == [f"GET /datasets/former/charts/resolve/{REVISION}/{DATA}"]


def test_a_data_set_of_image_files_and_a_metadata_file_is_pulled(place: Place) -> None:
    folder = place.folder / "images"
    folder.mkdir()
    (folder / "image_0.png").write_bytes(png(1))
    row = {"file_name": "image_0.png", "question": "Какой ИНН?", "answer": "7707083893"}
    (folder / "metadata.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
    place.hub.repositories["owner/charts"] = folder
    place.write_task(TOML.replace('split = "test"', 'split = "train"'))
    pulled = place.pull()
    assert pulled.returncode == 0, pulled.stderr
    assert "has 2 questions on 1 page image" in pulled.stderr


def test_a_gated_data_set_without_a_token_says_what_to_do(place: Place) -> None:
    place.hub.gated = {"owner/charts"}
    refused = place.pull()
    assert refused.returncode == 3
    assert "data set owner/charts is gated" in refused.stderr
    assert "HF_TOKEN=" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_gated_data_set_opens_with_the_right_token(place: Place) -> None:
    place.hub.gated = {"owner/charts"}
    assert place.pull(HF_TOKEN=place.hub.token).returncode == 0


def test_a_dead_mirror_is_named(place: Place) -> None:
    dead = place.pull(HF_ENDPOINT="http://127.0.0.1:9")
    assert dead.returncode == 3
    assert "http://127.0.0.1:9 does not answer" in dead.stderr
    assert "HF_ENDPOINT" in dead.stderr
    assert "Traceback" not in dead.stderr


def test_an_unknown_data_set_is_named(place: Place) -> None:
    place.hub.repositories = {}
    gone = place.pull()
    assert gone.returncode == 3
    assert "the hub has no data set owner/charts" in gone.stderr


def test_a_revision_that_is_gone_is_named(place: Place) -> None:
    place.write_task(TOML.replace('split = "test"', f'split = "test"\nrevision = "{"f" * 40}"'))
    gone = place.pull()
    assert gone.returncode == 3
    assert f"no data set owner/charts with revision {'f' * 40}" in gone.stderr


def test_a_split_that_is_gone_names_those_that_are_there(place: Place) -> None:
    place.write_task(TOML.replace('split = "test"', 'split = "validation"'))
    gone = place.pull()
    assert gone.returncode == 3
    assert "has no split 'validation' (its splits: test)" in gone.stderr


def test_pull_without_a_network_is_refused_at_once(place: Place) -> None:
    refused = place.pull(HF_HUB_OFFLINE="1")
    assert refused.returncode == 3
    assert "HF_HUB_OFFLINE forbids to ask it" in refused.stderr
    assert place.hub.requests == []


def test_tasks_and_models_that_need_no_download_say_so(place: Place) -> None:
    listed = place.bench("pull", "--tasks", "receipts", "--models", "fake", "--json", "--dry-run")
    assert [row["note"] for row in json.loads(listed.stdout)] == ["needs no download"] * 2
    assert place.hub.requests == []


def test_offline_names_the_command_that_fetches(place: Place) -> None:
    refused = place.bench("run", "-m", "fake", "-t", "docvqa", "--offline")
    assert refused.returncode == 3
    assert "bench pull --tasks docvqa" in refused.stderr
    assert place.hub.requests == []
