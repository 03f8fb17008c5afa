"""The memory formula: exact for weights and for the cache, and planned without torch or weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import InvalidInput
from bench.models.architectures import published, read_architecture, read_folder
from bench.models.catalog import catalog, resolve
from bench.models.checkpoints import stored_weights
from bench.models.qwen_vl import fit, plan
from tests.tiny_qwen import one_thread
from workshop.tiny_checkpoint import write_tiny_checkpoint

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
GIB = 2**30


@pytest.fixture(autouse=True)
def single_thread() -> Iterator[None]:
    yield from one_thread()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("fit")
    return {name: write_tiny_checkpoint(folder / name, name) for name in FAMILIES}


@pytest.mark.parametrize("name", [n for n, row in catalog().items() if row.architecture])
def test_published_shapes_give_the_parameters_and_bytes_of_the_catalog(name: str) -> None:
    row = catalog()[name]
    weights = fit.weights_of(published()[row.architecture or ""].architecture)
    assert sum(w.parameters for w in weights.linears) + weights.others == row.parameters
    tables = len(weights.linears) * fit.NF4_TABLES if row.quantization == "nf4" else 0
    # The catalog leaves out the code books, and rounds the scales of scales as one sum.
    slack = fit.FLOAT * len(weights.linears) if tables else 0
    assert abs(weights.bytes(row.quantization, 2) - tables - (row.weight_bytes or 0)) <= slack


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("dtype", "quantization", "number"),
    [("fp32", None, 4), ("bf16", None, 2), ("bf16", "nf4", 2), ("bf16", "int8", 2)],
)
def test_weights_take_exactly_what_is_planned(
    checkpoints: dict[str, Path], family: str, dtype: str, quantization: str | None, number: int
) -> None:
    from bench.models.qwen_vl.loading import load_model

    folder = checkpoints[family]
    architecture = read_folder(folder).architecture
    spec = replace(resolve(str(folder)), dtype=dtype, quantization=quantization, device="cpu")
    held = loaded_bytes(load_model(spec, folder).model)
    assert fit.stored_weight_bytes(folder, architecture, quantization, number) == held
    assert fit.weights_of(architecture).bytes(quantization, number) == held


def loaded_bytes(model: Any) -> int:
    """Bytes of all parameters, and of what bitsandbytes keeps beside the packed ones."""
    held = 0
    for parameter in model.parameters():
        held += parameter.numel() * parameter.element_size()
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            tensors = [state.absmax, state.code, state.offset, state.state2.absmax]
            held += sum(t.numel() * t.element_size() for t in [*tensors, state.state2.code])
        scales = getattr(parameter, "SCB", None)
        if scales is not None:
            held += scales.numel() * scales.element_size()
    return held


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_cache_takes_exactly_what_is_planned(
    checkpoints: dict[str, Path], family: str, dtype: str
) -> None:
    from bench.models.qwen_vl.loading import load_model
    from bench.models.qwen_vl.tree import TreeCache, tree_shape

    spec = replace(resolve(str(checkpoints[family])), dtype=dtype, device="cpu")
    model = load_model(spec, checkpoints[family]).model
    cache = TreeCache(tree_shape(model), 3, 77)
    held = sum(t.numel() * t.element_size() for t in [*cache.keys, *cache.values, cache.owner])
    number = 4 if dtype == "fp32" else 2
    planned = fit.Activations(read_folder(checkpoints[family]).architecture, number)
    assert planned.cache(3, 77) == held
    assert planned.column == tree_shape(model).bytes_per_column


def test_keys_and_values_of_a_token_are_those_of_the_published_models() -> None:
    columns = {
        name: fit.Activations(published()[name].architecture, 2).column
        for name in ("qwen2-vl-2b", "qwen2-vl-7b")
    }
    assert columns == {"qwen2-vl-2b": 28_672, "qwen2-vl-7b": 57_344}


def test_a_larger_page_a_longer_answer_and_a_larger_batch_never_take_less() -> None:
    planned = fit.Activations(published()["qwen2-vl-2b"].architecture, 2)
    limits = plan.cuda_limits(8 * GIB)

    def work(tokens: int, answer: int) -> fit.Work:
        return fit.Work((tokens,), plan.Need(tokens + 32, (20 + answer,) * 4))

    peaks = [planned.peak([work(tokens, 16)], limits).bytes for tokens in (256, 1024, 4096, 16384)]
    assert peaks == sorted(peaks)
    assert len(set(peaks)) == len(peaks)
    one, many = (planned.peak([work(1024, 16)] * n, limits) for n in (1, 16))
    assert one.bytes < many.bytes
    assert (one.documents, many.documents) == (1, 16)
    assert planned.peak([work(1024, 4000)], limits).cache > one.cache


def test_the_flight_is_the_engines_own() -> None:
    planned = fit.Activations(published()["qwen2-vl-2b"].architecture, 2)
    document = fit.Work((1000,), plan.Need(1032, (40, 40)))
    # Room for exactly three documents of 1,112 columns.
    limits = plan.cuda_limits(0)._replace(cache_bytes=3 * 1112 * planned.column)
    assert planned.peak([document] * 10, limits).documents == 3
    assert planned.peak([document] * 10, limits).cache == planned.cache(3, 1112)


def test_smaller_rows_end_somewhere() -> None:
    limits = plan.cuda_limits(GIB)
    rungs = [limits]
    while (lower := plan.smaller(rungs[-1])) is not None:
        assert all(after <= before for after, before in zip(lower, rungs[-1], strict=True))
        rungs.append(lower)
    assert rungs[-1].question_tokens <= plan.LEAST_ROW
    assert len(rungs) == 4


def test_planning_memory_needs_no_torch() -> None:
    script = (
        "import sys, bench.models.qwen_vl.fit, bench.models.catalog as c,"
        "bench.models.footprint as f;f.published_shape(c.resolve('qwen2-vl-7b-int4'));"
        "print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_configuration_that_lacks_its_shape_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="num_attention_heads"):
        read_architecture({"model_type": "qwen2_vl", "vision_config": {}}, "config.json")


def test_a_damaged_weight_file_is_one_line(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    names = {weight.name for weight in stored_weights(checkpoints["qwen3_vl"])}
    assert "model.language_model.layers.0.self_attn.q_proj.weight" in names
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(InvalidInput, match=r"model\.safetensors is not a safetensors file"):
        stored_weights(tmp_path)
