"""The workflows of docs/gate.md, run step by step; ``pip``, ``gh`` and ``curl`` only note their arguments."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import bench
from bench.cli import main
from tests.conftest import MakeTask

yaml = pytest.importorskip("yaml")

ROOT = Path(bench.__file__).resolve().parent.parent
RECORDER = """#!/bin/sh
printf '%s\\n' "$(basename "$0") $*" >> calls.txt
cat "$(basename "$0").out" 2>/dev/null || true
"""
TOML = """
[models.new]
model = "fake"
options = { default = "value 0", answers = { "What is field 1?" = "value 1" } }
"""
RULES = """
margin = 0.05
must_pass = ["d0/q1"]
[ratios]
failures = 1.0
"""


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(make_task: MakeTask, tmp_path: Path) -> Path:
    """A repository with documents, a model, rules and a baseline; the working directory."""
    make_task(name="documents", documents=3, questions=2)
    (tmp_path / "bench.toml").write_text(TOML)
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "gate.toml").write_text(RULES)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("pip", "gh", "curl"):
        (programs / name).write_text(RECORDER)
    (programs / "bench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bench "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    return tmp_path


def shell(script: str, folder: Path, **variables: str) -> int:
    """Run ``script`` as GitHub does, and return its status."""
    environment = {
        **os.environ,
        "PATH": f"{folder / 'programs'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, check=False, timeout=300).returncode


def calls(folder: Path) -> list[str]:
    path = folder / "calls.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_both_workflows_do_what_they_say(project: Path, capfd: Any) -> None:
    github, gitlab = (yaml.safe_load(block) for block in blocks("yaml"))
    job = github["jobs"]["gate"]
    variables = {**job["env"], "MODEL": "new", "GITHUB_REPOSITORY": "me/mine"}
    variables |= {"GITHUB_STEP_SUMMARY": str(project / "summary.md"), "PULL_REQUEST": "7"}
    steps = {step["name"]: step for step in job["steps"] if "run" in step}
    assert list(steps) == ["Install", "Ask", "Gate", "Summary", "Comment"]
    assert all("if" in steps[name] for name in ("Summary", "Comment"))

    # What does not exist yet: the baseline, made once of a first run.
    assert shell(steps["Install"]["run"] + "\n" + steps["Ask"]["run"], project, **variables) == 0
    with pytest.raises(SystemExit) as end:
        main(["gate", "last", "--write-baseline", "gate/baseline.json"])
    assert not end.value.code
    assert calls(project) == ["pip install docvlm-bench[ocr]"]

    # A pull request that changes nothing.
    gate, rest = steps["Gate"]["run"], ("Summary", "Comment")
    assert shell(gate, project, **variables) == 0
    for name in rest:
        assert shell(steps[name]["run"], project, **variables) == 0
    listed, written = calls(project)
    assert listed.startswith("gh api --paginate repos/me/mine/issues/7/comments --jq ")
    assert written == "gh api --method POST repos/me/mine/issues/7/comments --field body=@gate.md"
    assert "# Gate: passed" in (project / "summary.md").read_text(encoding="utf-8")

    # One that breaks a question; the comment is there by now.
    (project / "gate" / "gate.toml").write_text(RULES.replace("d0/q1", "d0/q0"))
    (run,) = (project / "results").iterdir()
    answers = run / "new" / "documents" / "outputs.jsonl"
    kept = answers.read_text(encoding="utf-8").splitlines()
    broken = '{"sample_id":"d0/q0","text":"no","stop_reason":"stop"}'
    answers.write_text("\n".join([*kept, broken, ""]), encoding="utf-8")
    (project / "gh.out").write_text("41\n42\n")
    assert shell(gate, project, **variables) == 5
    for name in rest:
        assert shell(steps[name]["run"], project, **variables) == 0
    assert calls(project)[1].startswith("gh api --method PATCH repos/me/mine/issues/comments/41 ")

    # GitLab: the same commands, and a note.
    script, after = gitlab["gate"]["script"], gitlab["gate"]["after_script"]
    assert script[1:] == [steps["Ask"]["run"], gate]
    assert ElementTree.parse(project / "gate.xml").getroot()[0].get("failures") == "2"
    api = {"CI_API_V4_URL": "https://x/api/v4", "CI_PROJECT_ID": "3", "CI_MERGE_REQUEST_IID": "4"}
    place = "https://x/api/v4/projects/3/merge_requests/4/notes"
    assert shell("\n".join(after), project, **api) == 0
    assert calls(project) == []
    for body, request in (
        ("hello", f"POST|{place}"),
        ("<!-- docvlm-bench gate -->", f"PUT|{place}/9"),
    ):
        (project / "curl.out").write_text(f'[{{"id": 9, "body": "{body}"}}]')
        assert shell("\n".join(after), project, GATE_TOKEN="secret", **api) == 0
        _, written = calls(project)
        method, address = request.split("|")
        assert f"--request {method} " in written
        assert written.endswith(f"--data-urlencode body@gate.md {address}")
    capfd.readouterr()


def test_the_rules_in_the_documentation_are_valid(tmp_path: Path) -> None:
    from bench.gate.rules import read_rules

    (block,) = blocks("toml")
    (tmp_path / "gate.toml").write_text(block)
    rules = read_rules(tmp_path / "gate.toml")
    assert rules["fields"] == {"total": 0.01}
