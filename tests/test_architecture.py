"""The structure holds: imports go down, nothing heavy is loaded early, docs and version agree."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench
from bench.cli.reference import reference

ROOT = Path(bench.__file__).resolve().parent.parent
PACKAGE = ROOT / "bench"

FLOORS: dict[str, int] = {
    "schema": 0,
    "errors": 0,
    "text": 0,
    "paths": 0,
    "files": 0,
    "litter": 0,
    "parsing": 0,
    "formatting": 0,
    "storage": 0,
    "json_schemas": 1,
    "tasks": 1,
    "metrics": 1,
    "stats": 1,
    "rundir": 1,
    "measure": 1,
    "drawing": 1,
    "client": 1,
    "synth": 1,
    "models": 2,
    "asking": 2,
    "authoring": 3,
    "runner": 3,
    "tuning": 3,
    "scoring": 3,
    "report": 4,
    "gate": 4,
    "publishing": 4,
    "service": 4,
    "cli": 5,
}
"""Room of ``bench`` → floor. A room may import rooms of its own floor and of those below."""

FORBIDDEN = {
    "metrics": {"models", "rundir", "tasks", "runner"},
    "models": {"metrics", "rundir", "runner", "scoring"},
    "stats": {"metrics", "models", "rundir", "tasks"},
    "report": {"models", "runner"},
    "publishing": {"models", "runner"},
    "scoring": {"models", "runner"},
}
"""What a room must not know although the floors would allow it."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def nodes(path: Path) -> Iterator[ast.AST]:
    """Every node of the module, those inside functions too."""
    return ast.walk(tree(path))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms: set[str] = set()
    for node in nodes(path):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = [node.module]
        rooms |= {name.split(".")[1] for name in names if name.startswith("bench.")}
    return rooms


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_go_down(path: Path) -> None:
    own = room(path)
    if own in {"__init__", "__main__"}:
        return
    assert own in FLOORS, f"{own} has no floor yet"
    for other in imported_rooms(path):
        assert FLOORS[other] <= FLOORS[own], f"{own} must not import {other}"
        assert other not in FORBIDDEN.get(own, set()), f"{own} must not know {other}"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def import_graph() -> dict[str, set[str]]:
    """Module → modules of ``bench`` that it names in any import, wherever in the file that stands."""
    known = {module_name(path) for path in modules()}
    graph: dict[str, set[str]] = {}
    for path in modules():
        imported: set[str] = set()
        for node in nodes(path):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                # ``from bench.report import html`` names a module, ``from bench.report import build`` none.
                members = {f"{node.module}.{alias.name}" for alias in node.names}
                imported |= (members & known) or {node.module}
        graph[module_name(path)] = (imported & known) - {module_name(path)}
    return graph


def test_no_import_runs_in_a_circle() -> None:
    try:
        graphlib.TopologicalSorter(import_graph()).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_no_room_depends_on_itself_through_another() -> None:
    rooms: dict[str, set[str]] = {}
    for path in modules():
        if room(path) not in {"__init__", "__main__"}:
            rooms.setdefault(room(path), set()).update(imported_rooms(path) - {room(path)})
    try:
        graphlib.TopologicalSorter(rooms).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


LONGEST_MODULE = 600
LONGEST_FUNCTION = 60
"""Lines that a reader can still hold in the head; what is longer is split along its data."""


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in nodes(path):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_no_two_public_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for path in modules():
        for node in nodes(path):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module_name(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_every_room_says_what_it_is_for() -> None:
    rooms = [path for path in modules() if path.name == "__init__.py"]
    assert [module_name(path) for path in rooms if not ast.get_docstring(tree(path))] == []


def test_no_local_name_says_only_that_something_was_found() -> None:
    places = set()
    for path in modules():
        for function in functions(path):
            for node in ast.walk(function):
                is_target = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
                name = node.id if is_target else node.arg if isinstance(node, ast.arg) else None
                if name == "found":
                    places.add(f"{module_name(path)}:{node.lineno}")
    assert places == set()


def test_modules_and_functions_are_short_enough_to_read() -> None:
    too_long = []
    for path in modules():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_MODULE:
            too_long.append(f"{module_name(path)} has {lines} lines")
        for function in functions(path):
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > LONGEST_FUNCTION:
                too_long.append(f"{module_name(path)}.{function.name} has {lines} lines")
    assert too_long == []


TORCH_ROOMS = (
    "bench/models/qwen_vl/",
    "bench/models/transformers/",
    "bench/tuning/",
    "bench/measure/",
)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_torch_is_imported_only_where_it_lives(path: Path) -> None:
    if str(path.relative_to(ROOT)).startswith(TORCH_ROOMS):
        return
    for node in nodes(path):
        if isinstance(node, ast.Import):
            assert not {a.name.split(".")[0] for a in node.names} & {"torch", "transformers"}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.module.split(".")[0] not in {"torch", "transformers"}


def test_nothing_in_the_package_imports_the_workshop() -> None:
    for path in modules():
        for node in nodes(path):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            outside = {name.split(".")[0] for name in names} & {"workshop", "tests", "benchmarks"}
            assert not outside, f"{path.relative_to(ROOT)} must not import {', '.join(outside)}"


def test_the_wheel_holds_the_package_and_nothing_of_the_workshop() -> None:
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(ROOT))
    paths = {file.distribution_path for file in builder.recurse_included_files()}
    assert {Path(path).parts[0] for path in paths} == {"bench"}
    for needed in (
        "bench/synth/data/goods.csv",
        "bench/synth/data/questions.toml",
        "bench/synth/fonts/sans.ttf",
        "bench/models/bundled/qwen2-vl-nano/model.safetensors",
        "bench/_data/tasks/slips/task.toml",
        "bench/_data/example_docs/1.png",
    ):
        assert needed in paths


def test_the_command_line_answers_without_anything_heavy() -> None:
    script = (
        "import sys, bench.cli\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pandas', 'scipy', 'numpy', 'PIL', 'pydantic',"
        " 'reportlab', 'faker', 'rapidfuzz', 'jinja2', 'onnxruntime'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name", ["bench.metrics", "bench.report", "bench.scoring.evaluation", "bench.stats"]
)
def test_scores_and_reports_need_no_torch(name: str) -> None:
    script = f"import sys, {name}; print('torch' in sys.modules or 'transformers' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_the_command_line_page_is_the_command_line() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == reference(), "run: make docs"


def test_the_changelog_names_the_version() -> None:
    versions = re.findall(
        r"^## \[?([\w.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M
    )
    assert bench.__version__ in versions


def test_pickle_eval_and_remote_code_are_never_used() -> None:
    for path in modules():
        for node in nodes(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}, path
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {a.name for a in node.names} | {getattr(node, "module", None)}
                assert "pickle" not in names, path


def test_every_extra_that_an_error_tells_to_install_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named: set[str] = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                extra = node.args[2] if len(node.args) > 2 else None
                if node.func.id in {"missing_package", "require_package"} and isinstance(
                    extra, ast.Constant
                ):
                    named.add(extra.value)
    assert {"endpoint", "hf", "ocr"} <= named <= project["optional-dependencies"].keys()
