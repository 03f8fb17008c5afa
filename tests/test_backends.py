"""What a backend can do stands in one table: nobody compares its name, and nobody's wish is ignored."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.asking.protocols import apply
from bench.errors import InvalidInput
from bench.models import BACKENDS, check_options, make_model, traits_of, with_traits
from bench.models.backends import Backend, BackendTraits
from bench.models.catalog import resolve, resolve_all
from bench.models.settings import check_followed
from bench.runner import RunSettings, execute, plan_run
from bench.runner.predict import predict
from bench.runner.sweep import Sweep, swept
from bench.schema import Batch, ModelInfo, ModelSpec, Output, PageGroup
from bench.tasks import load_task

PACKAGE = Path(bench.__file__).parent
TABLE = PACKAGE / "models" / "backends.py"

MakeTask = Callable[..., Path]


def compared_names(path: Path) -> list[str]:
    """Names of backends that a comparison or a case of ``path`` holds."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Compare, ast.match_case)):
            constants = [inner for inner in ast.walk(node) if isinstance(inner, ast.Constant)]
            names += [str(c.value) for c in constants if c.value in BACKENDS]
    return names


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_nobody_compares_the_name_of_a_backend(path: Path) -> None:
    if path != TABLE:
        assert compared_names(path) == []


def test_a_comparison_is_found(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text('a = b == "ocr"\nc = d in {"qwen_vl", "z"}\ne = f("ocr")\n', encoding="utf-8")
    assert compared_names(source) == ["ocr", "qwen_vl"]


def test_the_table_is_read_without_its_backends() -> None:
    script = (
        "import sys, bench.models\n"
        "print([name for name in ('torch', 'numpy', 'PIL', 'pydantic', 'rapidfuzz') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", BACKENDS)
def test_a_row_names_a_class_and_fields_that_exist(name: str) -> None:
    row = BACKENDS[name]
    module, _, attribute = row.implementation.partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))
    assert row.traits.settings <= set(ModelSpec.__dataclass_fields__)


@pytest.mark.parametrize(
    ("name", "override", "said", "lacks"),
    [
        ("fake", {"max_pixels": 9000}, "--max-pixels", "upper bound"),
        ("fake", {"min_pixels": 9000}, "--min-pixels", "lower bound"),
        ("ocr", {"min_pixels": 9000}, "--min-pixels", "lower bound"),
        ("ocr", {"dtype": "bf16"}, "--dtype", "number formats"),
        ("ocr", {"attention": "sdpa"}, "--attention", "attention kernels"),
        ("ocr", {"quantization": "nf4"}, "--quantization", "quantizations"),
        ("fake", {"device": "cuda"}, "--device", "devices"),
        ("ocr", {"device": "cuda:1"}, "--device", "devices"),
        ("ocr", {"options": {"reuse": False}}, "--no-reuse", "page reuse"),
        ("fake", {"options": {"reference": True}}, "--reference", "reference engine"),
    ],
)
def test_an_option_that_a_model_cannot_follow_is_refused(
    name: str, override: Any, said: str, lacks: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve(name, **override)
    assert f"the model '{name}' cannot follow {said}" in caught.value.message
    assert lacks in caught.value.message
    assert caught.value.hint == f"leave out {said}"
    assert "\n" not in caught.value.message


def test_models_that_cannot_follow_are_named_beside_those_that_can() -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_all(["qwen2-vl-2b", "ocr", "fake"], min_pixels=9000)
    assert "the models 'ocr' and 'fake' cannot follow --min-pixels" in caught.value.message
    assert "run them separately without --min-pixels" in str(caught.value.hint)
    assert "set min_pixels for one of the other models" in str(caught.value.hint)
    assert "[models.NAME]" in str(caught.value.hint)
    with pytest.raises(InvalidInput) as caught:
        resolve_all(["qwen2-vl-2b", "ocr"], options={"reuse": False})
    assert "run it separately without --no-reuse, or set options.reuse" in str(caught.value.hint)


@pytest.mark.parametrize(
    "override",
    [
        {"device": "cpu"},
        {"device": "auto"},
        {"dtype": "auto"},
        {"attention": "auto"},
        {"offline": True},
    ],
)
@pytest.mark.parametrize("name", ["ocr", "fake"])
def test_what_asks_for_nothing_else_is_not_refused(name: str, override: Any) -> None:
    assert resolve(name, **override).backend == name


def test_the_baseline_follows_an_upper_bound() -> None:
    assert resolve("ocr", max_pixels=500_000).max_pixels == 500_000


def test_a_table_of_bench_toml_is_checked_by_the_same_rule(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text('[models.mine]\nmodel = "ocr"\nmin_pixels = 3136\n', encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        resolve("mine", bench_toml=path)
    assert caught.value.message.startswith(f"{path}: [models.mine]: the model 'mine' cannot follow")
    assert caught.value.hint == "remove min_pixels from the table"
    path.write_text('[models.mine]\nmodel = "ocr"\noptions = { lang = "ru" }\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match="has no option 'lang'"):
        resolve("mine", bench_toml=path)
    path.write_text(
        '[models.mine]\nmodel = "ocr"\noptions = { reference = true }\n', encoding="utf-8"
    )
    with pytest.raises(InvalidInput, match="cannot follow reference"):
        resolve("mine", bench_toml=path)


def test_a_sweep_of_a_model_without_a_bound_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'fake' cannot follow --sweep"):
        swept(resolve_all(["ocr", "fake"]), Sweep("visual_tokens", (256, 512)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "red"}, "has no option 'colour'"),
        ({"delay": "long"}, "delay should be a number, but it is 'long'"),
        ({"capacity": True}, "capacity should be a whole number, but it is True"),
    ],
)
def test_options_are_known_and_of_their_type(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_options(ModelSpec("m", "fake", options=options))
    assert message in caught.value.message


class Echo:
    """A backend from outside the package: it answers with the question, as a distant server might."""

    def __init__(self, spec: ModelSpec) -> None:
        check_options(spec)
        self.spec = spec

    def load(self) -> ModelInfo:
        return ModelInfo(self.spec.backend, {})

    def generate(self, groups: Sequence[PageGroup]) -> Batch:
        requests = [request for group in groups for request in group.requests]
        return Batch(tuple(Output(one.sample_id, one.question, "stop") for one in requests))

    def expect(self, groups: Sequence[PageGroup]) -> None:
        del groups

    def economize(self) -> str | None:
        return None

    def reset(self) -> None:
        pass


def test_a_backend_is_one_class_and_one_row(
    monkeypatch: pytest.MonkeyPatch, make_task: MakeTask
) -> None:
    traits = BackendTraits(
        options={"url": (str,)}, runs_in="server", memory=None, needs_network=True
    )
    monkeypatch.setitem(BACKENDS, "echo", Backend(f"{__name__}:Echo", traits))
    spec = ModelSpec("far", "echo", options={"url": "x"})
    task = load_task(make_task())
    page = next(iter(task.documents.values())).pages[0].path
    prediction = predict([page], "What is this?", spec)
    assert prediction.text == "What is this?"
    record = with_traits(prediction.model, spec).details["traits"]
    assert (record["runs_in"], record["memory"], record["needs_network"]) == ("server", None, True)
    # This machine's processor is none of its business: even --device cpu would change nothing.
    with pytest.raises(InvalidInput, match="'far' cannot follow --device"):
        check_followed([spec], {"device": "cpu"})
    with pytest.raises(InvalidInput, match="has no way to answer without the network"):
        check_followed([spec], {"offline": True})


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(InvalidInput, match="which does not exist") as caught:
        make_model(ModelSpec("m", "orc"))
    assert "ocr" in str(caught.value.hint)


def test_the_record_says_which_traits_took_effect(tmp_path: Path, make_task: MakeTask) -> None:
    spec = ModelSpec("fake", "fake", options={"default": "x"})
    plan = plan_run([spec], [load_task(make_task())], RunSettings(latency_samples=0, warmup=False))
    outcome = execute(plan, tmp_path / "results")
    traits = (outcome.run.model_record("fake") or {})["details"]["traits"]
    assert traits["memory"] == "process"
    assert traits["runs_in"] == "process"
    assert traits["first_token_times"] is False
    assert traits["settings"] == []


def test_weights_lie_where_the_device_is() -> None:
    spec = resolve("qwen2-vl-2b")
    places = {
        device: with_traits(ModelInfo("qwen_vl", {}, device=device), spec).details["traits"][
            "memory"
        ]
        for device in ("cuda:0", "cpu")
    }
    assert places == {"cuda:0": "gpu", "cpu": "process"}


def test_a_protocol_bounds_only_models_with_visual_tokens(make_task: MakeTask) -> None:
    models = [resolve("qwen2-vl-2b"), resolve("ocr")]
    applied = apply("vlmhyperbench", models, [load_task(make_task())])
    assert [spec.max_pixels for spec in applied.models] == [1_204_224, None]
    assert [traits_of(spec).visual_tokens for spec in models] == [True, False]
