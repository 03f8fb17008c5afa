"""What can be known of the images without building them: their files agree with one another."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import pty
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from bench.models.ocr.recognizers import BUNDLED
from bench.service.settings import PREFIX, service_settings
from workshop.hashes import HASHED, WITHOUT

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "docker" / "Dockerfile-cu124"
IMAGES = {"cu124": "cu124", "gptq": "gptq", "serve": "cu124", "cpu": "cpu"}
"""Target → the list of packages that it holds."""
LISTS = sorted(set(IMAGES.values()))
EXTRAS = ("hf", "endpoint", "nf4", "ocr", "serve", "synth", "tables")
INSTRUCTIONS = {
    *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN"),
    *("USER", "VOLUME", "WORKDIR"),
}


@dataclass
class Stage:
    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [arguments for name, arguments in self.steps if name == instruction]

    def environment(self) -> dict[str, str]:
        pairs = [pair for arguments in self.all("ENV") for pair in arguments.split()]
        return dict(pair.split("=", 1) for pair in pairs)


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of every instruction, continuation lines joined, comments left out."""
    found: list[tuple[str, str]] = []
    pending = ""
    for line in DOCKERFILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if pending and not line.strip():
            raise AssertionError(f"a blank line continues {pending!r}")
        if line.endswith("\\"):
            pending += line[:-1].strip() + " "
            continue
        whole = (pending + line.strip()).strip()
        pending = ""
        if whole:
            name, _, arguments = whole.partition(" ")
            found.append((name, arguments.strip()))
    assert not pending, f"the file ends within {pending!r}"
    return found


def stages() -> dict[str, Stage]:
    found: dict[str, Stage] = {}
    current: Stage | None = None
    for name, arguments in instructions():
        if name == "FROM":
            base, name = arguments.split(" AS ")
            current = found[name] = Stage(name, base)
        elif current is not None:
            current.steps.append((name, arguments))
    return found


def image(target: str) -> Stage:
    """What a target is built of: its own steps, after those of the stages that it starts from."""
    known = stages()
    stage = known[target]
    steps = stage.steps
    while stage.base in known:
        stage = known[stage.base]
        steps = stage.steps + steps
    return Stage(target, stage.base, steps)


def pins(path: Path) -> dict[str, str]:
    """Canonical name → version of every ``name==version`` line."""
    lines = [line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    pairs = [line.split("==") for line in lines if line]
    return {canonicalize_name(name): version for name, version in pairs}


def list_pins(name: str) -> dict[str, str]:
    return pins(ROOT / "docker" / f"requirements-{name}.txt")


def copied_from_the_repository() -> list[str]:
    sources: list[str] = []
    for stage in stages().values():
        for arguments in stage.all("COPY"):
            if not arguments.startswith("--from="):
                sources += arguments.split()[:-1]
    return sources


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps ``path`` out; the last line that matches decides."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern, outcome = line.removeprefix("!"), not line.startswith("!")
        pattern = pattern.removeprefix("**/")
        parts = Path(path).parts
        deep = line.startswith("**/")
        names = parts if deep else ("/".join(parts[: i + 1]) for i in range(len(parts)))
        if any(fnmatch.fnmatch(name, pattern) for name in names):
            verdict = outcome
    return verdict


def test_every_instruction_is_one_that_docker_knows() -> None:
    assert {name for name, _ in instructions()} <= INSTRUCTIONS


def test_no_line_has_anything_behind_its_continuation_mark() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert not re.search(r"\\[ \t]+$", text, re.MULTILINE)


def test_the_default_target_is_the_cuda_12_4_image_and_the_others_are_there() -> None:
    names = list(stages())
    assert names[-1] == "cu124"
    assert set(IMAGES) <= set(names)


def test_every_stage_and_mount_starts_from_an_earlier_stage_or_an_image() -> None:
    known: set[str] = set()
    for stage in stages().values():
        assert stage.base in known or re.match(r"\$\{(CUDA_|UBUNTU_)", stage.base)
        text = " ".join(arguments for _, arguments in stage.steps)
        assert set(re.findall(r"\bfrom=([\w-]+)", text)) <= known
        known.add(stage.name)


def test_base_images_are_ubuntu_22_04_with_the_cuda_that_torch_was_built_for() -> None:
    arguments = dict(a.split("=", 1) for name, a in instructions() if name == "ARG" and "=" in a)
    assert arguments["UBUNTU_IMAGE"] == "ubuntu:22.04"
    for image, variable in (("cu124", "CUDA_IMAGE"), ("gptq", "CUDA_GPTQ_IMAGE")):
        cuda = list_pins(image)["nvidia-cuda-runtime-cu12"].rsplit(".", 1)[0]
        assert re.fullmatch(
            rf"nvidia/cuda:{re.escape(cuda)}\.\d+-\w+-ubuntu22\.04", arguments[variable]
        )


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_ends_without_root_and_can_start_under_any_uid(target: str) -> None:
    stage = image(target)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage.all("USER")[-1])
    # Without a line in /etc/passwd, these are what names the user and a writable home.
    assert {"HOME", "USER", "LOGNAME"} <= stage.environment().keys()


@pytest.mark.parametrize("target", IMAGES)
def test_the_hub_cache_is_a_volume_that_every_user_may_write_to(target: str) -> None:
    stage = image(target)
    cache = stage.environment()["HF_HOME"]
    assert any(f'"{cache}"' in volumes for volumes in stage.all("VOLUME"))
    assert cache in (ROOT / "docker" / "runtime.sh").read_text(encoding="utf-8")


def test_compiled_kernels_of_the_gptq_image_are_kept_in_a_volume() -> None:
    stage = image("gptq")
    folder = stage.environment()["GPTQMODEL_TORCH_EXTENSIONS_DIR"]
    assert f'"{folder}"' in stage.all("VOLUME")[-1]
    assert any(run.endswith(folder) for run in stage.all("RUN"))


def test_all_images_have_the_same_settings_but_for_those_of_gptqmodel_and_of_the_service() -> None:
    plain = image("cu124").environment()
    for target in IMAGES:
        own = image(target).environment().items()
        assert plain == {k: v for k, v in own if not k.startswith(("GPTQMODEL_", "BENCH_SERVE_"))}
    assert plain["PYTHONUNBUFFERED"] == "1"
    assert plain["TOKENIZERS_PARALLELISM"] == "false"


@pytest.mark.parametrize("target", IMAGES)
def test_dependencies_come_before_the_source(target: str) -> None:
    steps = [f"{name} {arguments}" for name, arguments in image(target).steps]
    stage = f"dependencies-{IMAGES[target]}"
    dependencies = steps.index(f"COPY --from={stage} /opt/venv /opt/venv")
    source = next(i for i, step in enumerate(steps) if "/wheels/*.whl" in step)
    assert dependencies < source
    assert "bench" not in " ".join(stages()[stage].all("COPY"))


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_starts_the_command_line_without_the_base_images_banner(target: str) -> None:
    stage = image(target)
    assert stage.all("ENTRYPOINT") == ['["/usr/bin/tini", "--", "sh", "/usr/local/bin/start.sh"]']
    serves = "BENCH_SERVE_DATA" in stage.environment()
    assert len(stage.all("CMD")) == serves
    assert "COPY run_predict.py ./" in [f"{name} {rest}" for name, rest in stage.steps]


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_says_what_it_is(target: str) -> None:
    label = " ".join(image(target).all("LABEL"))
    for key in ("title", "description", "licenses", "revision"):
        assert f"org.opencontainers.image.{key}=" in label


@pytest.mark.parametrize("target", ["serve", "cpu"])
def test_an_image_of_the_service_keeps_its_jobs_and_can_be_asked_whether_it_lives(
    target: str,
) -> None:
    stage = image(target)
    settings = service_settings(host="127.0.0.1")
    assert stage.all("EXPOSE") == [str(settings.port)]
    assert f"127.0.0.1:{settings.port}/livez" in stage.all("HEALTHCHECK")[0]
    folder = stage.environment()["BENCH_SERVE_DATA"]
    assert f'["{folder}"]' in stage.all("VOLUME")
    assert any(run.endswith(folder) for run in stage.all("RUN"))
    given = {name for name in stage.environment() if name.startswith(PREFIX)}
    assert {name.removeprefix(PREFIX).lower() for name in given} <= set(type(settings).model_fields)
    # Without a key in the environment, such a container ends with one line.
    assert stage.environment()["BENCH_SERVE_HOST"] == "0.0.0.0"
    assert not any("API_KEY" in name for name in stage.environment())
    assert stage.all("CMD") == ['["bench", "serve", "--model", "qwen2-vl-nano"]']


def test_what_is_copied_exists_and_enters_the_build() -> None:
    sources = copied_from_the_repository()
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "results/a/run.json",
        "adapters/mine/adapter_model.safetensors",
        "model.safetensors",
        "bench/models/model.safetensors",
        "bench/__pycache__/store.cpython-311.pyc",
        ".env",
        "bench/.env",
        "docker/.env.local",
    ],
)
def test_weights_results_and_secrets_never_enter_the_build(path: str) -> None:
    assert ignored(path)


def test_the_bundled_model_enters_the_build_whole() -> None:
    folder = ROOT / "bench" / "models" / "bundled"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    for path in files:
        assert not ignored(path.relative_to(ROOT).as_posix()), path


def test_the_nano_answers_from_the_wheel_that_an_image_installs(tmp_path: Path) -> None:
    """The wheel is built from what .dockerignore lets through, and loaded from where it is unpacked."""
    source = tmp_path / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", *{name.split("/")[0] for name in copied_from_the_repository()}],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if not ignored(name) and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=source, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert "bench/models/bundled/cyrillic-lines/recognizer.onnx" in archive.namelist()
        archive.extractall(tmp_path / "installed")
    script = (
        "import bench, pathlib, safetensors\n"
        "folder = pathlib.Path(bench.__file__).parent / 'models/bundled/qwen2-vl-nano'\n"
        "with safetensors.safe_open(folder / 'model.safetensors', 'np') as weights:\n"
        "    print(folder.is_dir(), len(list(weights.keys())) > 50)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "True"]


def test_no_weights_are_fetched_and_no_foreign_code_is_trusted() -> None:
    text = " ".join(f"{name} {arguments}" for name, arguments in instructions())
    assert not re.search(r"snapshot_download|hf download|huggingface-cli|git-lfs|\.bin\b", text)
    assert "trust_remote_code" not in text
    assert "ADD" not in {name for name, _ in instructions()}


def test_package_lists_are_removed_where_they_were_fetched() -> None:
    script = (ROOT / "docker" / "runtime.sh").read_text(encoding="utf-8")
    runs = [run for stage in stages().values() for run in stage.all("RUN")]
    for text in [script, *(run for run in runs if "apt-get" in run)]:
        assert "--no-install-recommends" in text
        assert "rm -rf /var/lib/apt/lists/*" in text


def test_an_image_reads_russian_without_tesseract_and_the_docs_say_how_to_add_it() -> None:
    assert "tesseract" not in (ROOT / "docker" / "runtime.sh").read_text(encoding="utf-8")
    assert BUNDLED.is_file()
    assert "tesseract-ocr-rus" in (ROOT / "docs" / "container.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", ["runtime.sh", "start.sh"])
def test_the_scripts_of_both_images_are_sound_shell(script: str) -> None:
    subprocess.run(["sh", "-n", ROOT / "docker" / script], check=True, timeout=20)


@pytest.fixture
def container(tmp_path: Path) -> dict[str, str]:
    """The environment of a container whose ``bench`` says what it was asked, and where it is from."""
    program = tmp_path / "bin" / "bench"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "bench $* from ${PYTHONPATH:-the package}"\n')
    program.chmod(0o755)
    (tmp_path / "workspace").mkdir()
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "BENCH_WORKSPACE": str(tmp_path / "workspace"),
    }


def start(container: dict[str, str], *command: str, **given: Any) -> str:
    script = ["sh", str(ROOT / "docker" / "start.sh"), *command]
    done = subprocess.run(
        script, env=container, check=True, timeout=20, text=True, stdout=subprocess.PIPE, **given
    )
    return done.stdout


def test_a_container_runs_a_command_and_without_one_checks_the_machine(
    container: dict[str, str],
) -> None:
    nothing = {"stdin": subprocess.DEVNULL}
    assert start(container, **nothing) == "bench doctor from the package\n"
    assert start(container, "bench", "list", "models") == "bench list models from the package\n"


def test_a_mounted_checkout_is_what_both_commands_run(container: dict[str, str]) -> None:
    workspace = Path(container["BENCH_WORKSPACE"])
    (workspace / "bench").mkdir()
    (workspace / "bench" / "__init__.py").touch()
    assert start(container, "bench", "run") == f"bench run from {workspace}\n"


def test_at_a_terminal_a_container_greets_in_two_lines_and_opens_a_shell(
    container: dict[str, str],
) -> None:
    terminal, ours = pty.openpty()
    script = ["sh", str(ROOT / "docker" / "start.sh")]
    process = subprocess.Popen(
        script, env={**container, "PS1": "", "TERM": "dumb"}, stdin=ours, stdout=ours, stderr=ours
    )
    os.close(ours)
    os.write(terminal, b"echo shell-$((40 + 2)); exit\n")
    said = b""
    # A terminal whose last user has gone answers with an error rather than with an end of file.
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            said += part
    os.close(terminal)
    assert process.wait(timeout=20) == 0
    lines = [line for line in said.decode().splitlines() if line.startswith(("Type", "Mount"))]
    assert len(lines) == 2
    assert "shell-42" in said.decode()


@pytest.mark.parametrize("image", [*LISTS, "build"])
def test_every_requirement_is_pinned_exactly(image: str) -> None:
    text = (ROOT / "docker" / f"requirements-{image}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line


@pytest.mark.parametrize("name", HASHED)
def test_every_pin_has_digests_in_the_list_that_is_installed(name: str) -> None:
    text = (ROOT / HASHED[name]).read_text(encoding="utf-8")
    assert "://" not in text
    entries = text.replace("\\\n", " ").splitlines()
    hashed = {}
    for line in entries:
        if line.startswith("#"):
            continue
        requirement, *digests = line.split()
        package, version = requirement.split("==")
        hashed[canonicalize_name(package)] = version
        assert digests, requirement
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", digest) for digest in digests)
    pinned = pins(ROOT / name)
    for package in WITHOUT.get(name, ()):
        pinned.pop(package)
    assert hashed == pinned, "make the hashed lists anew: python -m workshop.hashes"


def test_what_is_installed_is_installed_by_digest() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--no-deps --require-hashes -r requirements-hashed.lock" in makefile
    runs = [run for stage in stages().values() for run in stage.all("RUN")]
    installing = [run for run in runs if re.search(r"pip (sync|install).*requirements", run)]
    assert len(installing) == len(LISTS) + 1
    assert all("--require-hashes" in run for run in installing)


@pytest.mark.parametrize("name", LISTS)
def test_the_pins_satisfy_what_the_project_asks_for(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra]
    installed = list_pins(name)
    for line in wanted:
        requirement = Requirement(line)
        version = installed[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{line}, but {version} is pinned"


@pytest.mark.parametrize("name", LISTS)
def test_an_image_holds_what_the_tests_ran_with_but_for_its_named_differences(name: str) -> None:
    lock = pins(ROOT / "requirements.lock")
    installed = list_pins(name)
    named = pins(ROOT / "docker" / f"requirements-{name}.in")
    assert named.items() <= installed.items()
    differing = {k for k in lock.keys() & installed.keys() if lock[k] != installed[k]}
    assert differing <= named.keys(), "docs/container.md says how the files are made anew"


def test_torch_is_the_cuda_12_4_build_in_the_default_image() -> None:
    installed = list_pins("cu124")
    assert installed["torch"].startswith("2.6.")
    assert installed["nvidia-cublas-cu12"].startswith("12.4.")
    assert Version(installed["transformers"]).major == 5


def test_the_gptq_image_has_what_transformers_asks_for() -> None:
    installed = list_pins("gptq")
    assert Version(installed["gptqmodel"]) >= Version("7.0.0")
    assert Version(installed["optimum"]) >= Version("2.3.0")
    # gptqmodel 7.7 wants a torch whose wheels are CUDA 13 builds.
    assert Version(installed["gptqmodel"]) < Version("7.7")


def test_only_packages_that_have_no_wheel_are_built_from_source() -> None:
    [run] = [r for r in stages()["dependencies-gptq"].all("RUN") if "pip sync" in r]
    assert "--only-binary :all:" in run
    assert set(re.findall(r"--no-binary (\S+)", run)) <= list_pins("gptq").keys()
    [run] = [r for r in stages()["dependencies-cu124"].all("RUN") if "pip sync" in r]
    assert "--no-binary" not in run


def test_nothing_is_compiled_for_the_processor_of_the_machine_that_builds() -> None:
    assert stages()["dependencies-gptq"].environment()["PYPCRE_DISABLE_NATIVE_FLAGS"] == "1"


def test_the_backend_that_builds_the_wheel_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    installed = pins(ROOT / "docker" / "requirements-build.txt")
    for line in project["build-system"]["requires"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(installed[canonicalize_name(requirement.name)])
    assert "UV_BUILD_CONSTRAINT" in stages()["python"].environment()


def test_the_python_of_the_image_is_one_that_the_project_supports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [version] = [a for a in stages()["python"].all("ARG") if a.startswith("PYTHON_VERSION=")]
    requirement = Requirement(f"python{project['requires-python']}")
    assert requirement.specifier.contains(version.partition("=")[2])


def test_the_page_about_the_container_names_every_target_and_volume() -> None:
    page = (ROOT / "docs" / "container.md").read_text(encoding="utf-8")
    targets = [f"--target {target}" for target in IMAGES if target != "cu124"]
    for word in (*targets, "/cache/hf", "/cache/kernels", "/data", "docker/Dockerfile-cu124"):
        assert word in page
    for name in LISTS:
        for package in ("torch", "transformers"):
            assert list_pins(name)[package] in page


def test_the_torch_of_the_cpu_image_is_the_one_that_the_tests_ran_with() -> None:
    (version,) = (a for a in stages()["dependencies-cpu"].all("ARG") if a.startswith("TORCH"))
    assert version.partition("=")[2] == list_pins("cpu")["torch"]
