"""Workflows, the compose file and the Kubernetes files agree with their schemas and with the project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.service.settings import PREFIX, ServiceSettings
from tests.test_docker import stages

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COMPOSE = ROOT / "docker" / "compose.yaml"
KUBERNETES = ROOT / "deploy" / "kubernetes"
PORT = ServiceSettings.model_fields["port"].default


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("schema", "paths"),
    [("github-workflows", WORKFLOWS), ("compose-spec", [COMPOSE])],
    ids=["workflows", "compose"],
)
def test_files_agree_with_the_schema_of_those_who_read_them(schema: str, paths: list[Path]) -> None:
    assert paths
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def check(*command: str | Path) -> None:
    """Run a program of the environment, which finds nothing to complain of."""
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([scripts, os.environ["PATH"]])}
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_are_right_and_safe_as_far_as_can_be_known_without_running_them() -> None:
    """Keys, expressions, inputs of actions, shell lines; permissions, injection, pins, caches."""
    check("jactionlint", "--strict-exit", *WORKFLOWS)


def test_a_wrong_expression_and_a_wrong_shell_line_are_found(tmp_path: Path) -> None:
    """The two checks would pass in silence if a program of theirs were not there."""
    text = WORKFLOWS[0].read_text("utf-8")
    for right, wrong in (("matrix.target", "matrix.tarfet"), ("rm -rf", "rm -rf $HOME/*")):
        assert right in text
        (tmp_path / "wrong.yml").write_text(text.replace(right, wrong))
        with pytest.raises(AssertionError, match=r"tarfet|SC2086"):
            check("jactionlint", "--strict-exit", tmp_path / "wrong.yml")


def test_shell_scripts_of_the_images_are_right() -> None:
    check("shellcheck", *sorted((ROOT / "docker").glob("*.sh")))


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for job in read(path)["jobs"].values():
            yield from ((path.name, step) for step in job.get("steps", []))


def test_every_action_is_pinned_to_a_commit_whose_version_is_named() -> None:
    lines = [line for path in WORKFLOWS for line in path.read_text("utf-8").splitlines()]
    used = [line.partition("uses:")[2].strip() for line in lines if "uses:" in line]
    foreign = [use for use in used if not use.startswith("./")]
    assert foreign
    for use in foreign:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


def test_no_workflow_may_do_more_than_read_unless_a_job_says_so() -> None:
    for path in WORKFLOWS:
        assert read(path)["permissions"] == {"contents": "read"}, path.name


def test_no_expression_of_others_is_pasted_into_a_shell() -> None:
    """A branch or a title is text that anybody writes; a shell gets it as a variable."""
    for name, step in steps():
        assert "${{" not in step.get("run", ""), name


def test_what_workflows_call_is_there() -> None:
    text = "\n".join(path.read_text("utf-8") for path in WORKFLOWS)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    called = {name for line in re.findall(r"make ([\w ]+)", text) for name in line.split()}
    assert called >= {"lint", "types", "unit"}
    for target in called & {"lint", "types", "unit", "test"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for path in re.findall(r"(?<![\w/])(?:docker|\.github)/[\w./-]+(?![\w./@-])", text):
        assert (ROOT / path).exists(), path


def test_every_target_that_is_pushed_can_be_built() -> None:
    images = read(ROOT / ".github" / "workflows" / "images.yml")["jobs"]["image"]
    assert set(images["strategy"]["matrix"]["target"]) <= set(stages())
    for service in read(COMPOSE)["services"].values():
        if "build" in service:
            assert service["build"]["target"] in stages()
            assert (
                COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]
            ).exists()


def test_a_composed_service_is_reached_from_this_machine_alone() -> None:
    for service in read(COMPOSE)["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def kubernetes() -> list[dict[str, Any]]:
    return [read(path) for path in sorted(KUBERNETES.rglob("*.yaml"))]


def test_kustomizations_name_every_file_and_no_other() -> None:
    for path in KUBERNETES.rglob("kustomization.yaml"):
        made = read(path)
        named = [*made["resources"], *(patch["path"] for patch in made.get("patches", []))]
        for name in named:
            assert (path.parent / name).exists(), name
        files = {file.name for file in path.parent.glob("*.yaml")} - {path.name}
        assert files == {name for name in named if name.endswith(".yaml")}


def test_probes_settings_and_selectors_fit_the_service() -> None:
    whole = {made["kind"]: made for made in map(read, sorted((KUBERNETES / "base").glob("*.yaml")))}
    # The autoscaler's number would be undone by the next `kubectl apply`.
    assert "replicas" not in whole["StatefulSet"]["spec"]
    pod = whole["StatefulSet"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"http": PORT}
    probes = {
        name: container[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    assert probes == {"startup": "/ready", "readiness": "/ready", "liveness": "/livez"}
    names = {entry["name"] for entry in container["env"]} - {"HF_TOKEN"}
    assert {name.removeprefix(PREFIX).lower() for name in names} <= set(
        ServiceSettings.model_fields
    )
    labels = pod["metadata"]["labels"]
    assert whole["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert whole["Service"]["spec"]["selector"] == labels
    assert whole["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert whole["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    # The volumes that an image declares are those that are mounted.
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted >= {"/data", "/cache/hf", "/tmp"}
    drained = ServiceSettings.model_fields["drain_seconds"].default
    assert pod["spec"]["terminationGracePeriodSeconds"] > drained


def test_the_metric_that_replicas_follow_is_one_of_the_services() -> None:
    (scaler,) = (made for made in kubernetes() if made["kind"] == "HorizontalPodAutoscaler")
    (metric,) = scaler["spec"]["metrics"]
    text = (ROOT / "bench" / "service" / "metrics.py").read_text("utf-8")
    assert f'"{metric["pods"]["metric"]["name"]}"' in text


def test_terraform_variables_are_described_and_used() -> None:
    files = {
        path.name: path.read_text("utf-8") for path in (ROOT / "deploy" / "terraform").glob("*.tf")
    }
    blocks = re.findall(r'variable "(\w+)" \{(.*?)\n\}', files["variables.tf"], re.DOTALL)
    assert blocks
    used = "\n".join(text for name, text in files.items() if name != "variables.tf")
    for name, body in blocks:
        assert "description" in body, name
        assert f"var.{name}" in used, name
