"""Hub ids of other families: their type is learned before the run, and what was downloaded is found again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.hub_server import Hub, serve
from workshop.tiny_families import write_tiny_family

SCRIPT = """
import json
from bench.cli.model_options import ModelOptions, resolve_model
from bench.models.catalog import has_guessed_backend, resolve
from bench.models.footprint import is_local
from bench.models.qwen_vl.download import fetch

def asked(name):
    return resolve_model(name, ModelOptions(), may_ask_hub=True)

facts = {"guessed": has_guessed_backend(resolve("owner/tiny"))}
facts["not asked"] = resolve_model("owner/tiny", ModelOptions()).backend
facts["asked"] = asked("owner/tiny").backend
facts["gone"] = asked("owner/gone").backend
facts["here before"] = is_local(asked("owner/tiny"))
folder = fetch("owner/tiny", None, offline=False)
facts["here"] = is_local(resolve("owner/tiny"))
facts["offline"] = fetch("owner/tiny", None, offline=True) == folder
print(json.dumps(facts))
"""


def test_a_hub_id_is_learned_before_it_is_downloaded_and_found_afterwards(tmp_path: Path) -> None:
    repository = write_tiny_family(tmp_path / "repository", "llava")
    with serve(Hub({"owner/tiny": repository})) as hub:
        # The address of the hub is read when its library is imported.
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={
                **os.environ,
                "HF_HOME": str(tmp_path / "hf"),
                "HF_ENDPOINT": hub.url,
                "HF_HUB_OFFLINE": "0",
            },
            capture_output=True,
            text=True,
            check=True,
        )
    assert json.loads(done.stdout) == {
        "guessed": True,
        "not asked": "qwen_vl",
        "asked": "transformers",
        # Said when it is loaded.
        "gone": "qwen_vl",
        "here before": False,
        "here": True,
        "offline": True,
    }
    weights = [request for request in hub.requests if "safetensors" in request]
    assert len(weights) == 2  # its head, then itself
