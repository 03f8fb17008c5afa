"""The pretend GPU catches what it should, and on it every engine answers as on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.errors import EnvironmentProblem, OutOfMemory  # noqa: E402
from bench.measure import release_memory  # noqa: E402
from bench.models.catalog import resolve  # noqa: E402
from bench.models.checkpoints import read_checkpoint  # noqa: E402
from bench.models.model import ModelGone  # noqa: E402
from bench.models.qwen_vl import QwenVL, cuda  # noqa: E402
from bench.models.qwen_vl.device import pick_dtype  # noqa: E402
from bench.models.qwen_vl.loading import (  # noqa: E402
    CLASSES,
    LoadedModel,
    LoadingPlan,
    finish_loading,
    load_model,
)
from bench.models.qwen_vl.processing import Processor  # noqa: E402
from bench.models.qwen_vl.varlen import Segments  # noqa: E402
from bench.schema import Batch, ModelInfo, PageGroup  # noqa: E402
from tests.pretend_cuda import DEVICE, HAS_VARLEN, Gpu, GpuTensor, pretend_gpu, to_gpu  # noqa: E402
from tests.pretend_cuda import device as pretend  # noqa: E402
from tests.tiny_qwen import make_document, make_group, one_thread  # noqa: E402
from workshop.tiny_checkpoint import write_tiny_checkpoint  # noqa: E402

FAMILY = tuple(CLASSES)

ENGINES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {"engine": "cascade"}),
    "graphs off": ({"graphs": False}, {"engine": "cascade"}),
    "tree": ({"engine": "tree"}, {"engine": "tree"}),
    "padded": ({"engine": "padded"}, {"engine": "padded"}),
    "reference": ({"reference": True}, {"reference": True}),
}
"""Name → options on the GPU, and those of the same engine on the CPU."""

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)


@pytest.fixture(autouse=True)
def _captured_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls as small as these would hardly take enough steps in any shape."""
    monkeypatch.setattr("bench.models.qwen_vl.steps.PAYS_AFTER", 0)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    return {family: write_tiny_checkpoint(folder / family, family) for family in FAMILY}


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> list[PageGroup]:
    folder = tmp_path_factory.mktemp("pages")
    return [
        make_group(make_document(folder, "one", [(200, 280)]), max_new_tokens=8),
        make_group(make_document(folder, "two", [(300, 120), (90, 200)]), ["Total?", "Date?"]),
        make_group(make_document(folder, "three", [(90, 200)]), ["Who?"], max_new_tokens=5),
    ]


def on_cpu(folder: Path, dtype: str = "bf16", **options: Any) -> QwenVL:
    model = QwenVL(resolve(str(folder), dtype=dtype, device="cpu", options=options))
    model.load()
    return model


def on_gpu(folder: Path, dtype: str = "bf16", **options: Any) -> tuple[QwenVL, ModelInfo]:
    """A model whose weights were moved to the pretend GPU, and what it says of itself."""
    spec = resolve(str(folder), dtype=dtype, device="cpu", options=options)
    model, loaded = QwenVL(spec), load_model(spec, folder)
    moved = LoadedModel(to_gpu(loaded.model), DEVICE, loaded.details)
    return model, model.adopt(moved, Processor(spec, folder), folder)


def answers(batch: Batch) -> list[tuple[str, str | None]]:
    return [(output.text, output.error) for output in batch.outputs]


def expected(folder: Path, groups: Sequence[PageGroup], **options: Any) -> Any:
    found = answers(on_cpu(folder, **options).generate(groups))
    assert all(error is None for _, error in found)
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", FAMILY)
def test_every_engine_answers_as_on_the_cpu(
    family: str, engine: str, checkpoints: dict[str, Path], groups: list[PageGroup]
) -> None:
    here, there = ENGINES[engine]
    reference = expected(checkpoints[family], groups, **there)
    with pretend_gpu() as gpu:
        model, info = on_gpu(checkpoints[family], **here)
        assert answers(model.generate(groups)) == reference
        # Once more: with memory and graphs that are there already.
        assert answers(model.generate(groups)) == reference
    assert info.device == "cuda:0"
    if engine == "default":
        assert info.details["decoding_steps"] == "CUDA graphs, one a shape"
        assert str(info.details["vision_attention"]).startswith("all pages of a call together")
        assert gpu.replays > gpu.captures > 0
    else:
        assert gpu.captures == 0


@pytest.mark.parametrize("family", FAMILY)
def test_an_older_torch_has_runs_of_keys_packed_pages_and_graphs_too(
    family: str, checkpoints: dict[str, Path], groups: list[PageGroup]
) -> None:
    """torch 2.6 has only the operator, which pads its log-sum-exps."""
    reference = expected(checkpoints[family], groups, engine="cascade")
    with pretend_gpu((2, 6)) as gpu:
        model, info = on_gpu(checkpoints[family])
        assert answers(model.generate(groups)) == reference
        assert answers(model.generate(groups)) == reference
    assert str(info.details["engine"]).startswith("cascade")
    assert "by the operator" in str(info.details["text_attention"])
    assert str(info.details["vision_attention"]).startswith("all pages of a call together")
    assert info.details["decoding_steps"] == "CUDA graphs, one a shape"
    assert set(gpu.attention_calls) == {"aten::_flash_attention_forward"}
    assert gpu.replays > 0


def test_logsumexps_are_unpadded_without_a_wait() -> None:
    ends = torch.tensor([0, 3, 4, 9], dtype=torch.int32)
    packed = torch.randn(2, 9)
    padded = torch.full((3, 2, 6), float("nan"))
    for number, (start, end) in enumerate(((0, 3), (3, 4), (4, 9))):
        padded[number, :, : end - start] = packed[:, start:end]
    segments = Segments(ends, ends, ends.diff(), 6, 5)
    assert torch.equal(cuda.unpadded(packed, segments, 9), packed.t())
    assert torch.equal(cuda.unpadded(padded, segments, 9), packed.t())
    with pretend_gpu() as gpu:
        there = [tensor.to(DEVICE) for tensor in (padded, ends)]
        waits = gpu.waits.total()
        cuda.unpadded(there[0], Segments(there[1], there[1], there[1].diff(), 6, 5), 9)
        assert gpu.waits.total() == waits


def test_no_step_is_warmed_up_on_the_stream_that_captures(
    checkpoints: dict[str, Path], groups: list[PageGroup]
) -> None:
    with pretend_gpu() as gpu:
        model, _ = on_gpu(checkpoints["qwen2_vl"])
        model.generate(groups)
    assert gpu.warm_up_streams
    assert not gpu.warm_up_streams & gpu.capture_streams


# What the pretend GPU catches.


def numbers(*values: int) -> Any:
    return torch.tensor(values, device=DEVICE)


def test_tensors_of_two_devices_do_not_mix() -> None:
    with pretend_gpu(), pytest.raises(RuntimeError, match="two devices, cuda:0 and cpu"):
        torch.ones(3, device=DEVICE) + torch.ones(3)


def test_a_seeded_mix_up_in_the_engine_is_caught(
    checkpoints: dict[str, Path], groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers that are never uploaded."""
    monkeypatch.setattr("bench.models.qwen_vl.prefix.upload", lambda numbers, _: numbers)
    with pretend_gpu():
        model, _ = on_gpu(checkpoints["qwen2_vl"])
        with pytest.raises(RuntimeError, match="cuda:0 and cpu"):
            model.generate(groups)


WAITS: dict[str, Callable[[Any], Any]] = {
    "reading a number": lambda tensor: int(tensor[0]),
    "reading a list": lambda tensor: tensor.tolist(),
    "a condition": lambda tensor: bool(tensor.sum() > 0),
    "an index by a mask": lambda tensor: tensor[tensor > 1],
    "counting": lambda tensor: tensor.nonzero(),
    "counting values": lambda tensor: tensor.bincount(),
    "comparing": lambda tensor: torch.allclose(tensor, tensor),
    "copying to the host": lambda tensor: tensor.cpu(),
    "a number from the host": lambda tensor: torch.tensor([1], device=DEVICE),
    "an index from the host": lambda tensor: tensor[torch.tensor([0])],
}


@pytest.mark.parametrize("what", WAITS)
def test_a_hidden_wait_is_counted_and_breaks_a_capture(what: str) -> None:
    with pretend_gpu() as gpu:
        tensor = numbers(1, 2, 3)
        before = gpu.waits.total()
        WAITS[what](tensor)
        assert gpu.waits.total() == before + 1
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
            cuda.Graphs().capture(lambda: WAITS[what](tensor))


def test_an_event_cannot_be_waited_for_in_a_capture() -> None:
    def send_and_wait() -> None:
        cuda.send(torch.ones(1, 2, device=DEVICE)).read()

    with pretend_gpu() as gpu:
        send_and_wait()
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
            cuda.Graphs().capture(send_and_wait)
        assert gpu.captures == 0


def test_a_seeded_wait_in_a_step_keeps_it_from_being_captured(
    checkpoints: dict[str, Path], groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.models.qwen_vl import steps

    best = steps.best_tokens

    def waiting(logits: Any) -> Any:
        return best(logits if float(logits.max()) < 1e9 else logits.clamp(max=1e9))

    reference = expected(checkpoints["qwen2_vl"], groups, engine="cascade")
    monkeypatch.setattr(steps, "best_tokens", waiting)
    with pretend_gpu() as gpu:
        model, info = on_gpu(checkpoints["qwen2_vl"])
        recorded = str(info.details["decoding_steps"])
        assert recorded.startswith("no CUDA graphs: CUDA error: operation not permitted")
        assert answers(model.generate(groups)) == reference
    assert gpu.captures == 0


def test_a_replayed_graph_does_what_was_captured_and_not_what_python_says_later() -> None:
    with pretend_gpu():
        total, step = torch.zeros(2, device=DEVICE), 1.0

        def advance() -> None:
            total.add_(torch.ones(2, device=DEVICE) * step)

        replay = cuda.Graphs().capture(advance)
        captured = total.held.tolist()
        step = 100.0
        replay()
        assert total.held.tolist() == [value + 1.0 for value in captured]


KERNEL = cuda.flash if HAS_VARLEN else cuda.flash_operator
"""The attention kernel of the torch that is installed."""


def kernel_call(**changes: Any) -> Any:
    """One call of the attention kernel: two sequences of queries over 20 keys."""
    dtype = changes.get("dtype", torch.bfloat16)
    index = changes.get("index", torch.int32)
    ends = torch.tensor([0, 3, 5], dtype=index, device=DEVICE)
    starts = torch.tensor([0, 8, 0], dtype=index, device=DEVICE)
    used = torch.tensor(changes.get("used", [6, 9]), dtype=index, device=DEVICE)
    queries, keys = torch.randn(5, 4, 16), torch.randn(20, 2, 16)
    if changes.get("on_gpu", True):
        queries = queries.to(DEVICE)
    return KERNEL(
        queries.to(dtype),
        keys.to(DEVICE, dtype),
        keys.to(DEVICE, changes.get("values", dtype)),
        Segments(ends, starts, used, 3, 12),
        causal=True,
        scale=0.25,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": torch.float32}, "only support fp16 and bf16"),
        ({"values": torch.float16}, "only support fp16 and bf16 data type, all the same"),
        ({"index": torch.int64}, "dtype int32"),
        ({"used": [6, 13]}, "longer than the call says"),
        ({"used": [6, 12]}, None),
        ({"on_gpu": False}, "query must be on CUDA"),
    ],
)
def test_the_kernels_preconditions_are_checked(
    changes: dict[str, Any], message: str | None
) -> None:
    with pretend_gpu():
        if message is None:
            kernel_call(**changes)
        else:
            with pytest.raises(RuntimeError, match=message):
                kernel_call(**changes)


def test_keys_beyond_the_memory_are_an_illegal_access() -> None:
    with pretend_gpu():
        queries = torch.randn(1, 2, 8).to(DEVICE, torch.float16)
        ends, starts, used = (
            torch.tensor(values, dtype=torch.int32, device=DEVICE)
            for values in ([0, 1], [3, 0], [2])
        )
        runs = Segments(ends, starts, used, 1, 2)
        with pytest.raises(RuntimeError, match="an illegal memory access"):
            KERNEL(queries, queries, queries, runs, causal=False, scale=1.0)


def test_what_another_stream_made_has_to_be_waited_for() -> None:
    with pretend_gpu():
        uploads = cuda.PageUploads(DEVICE)
        sent = uploads.send(torch.ones(3))
        assert isinstance(sent, GpuTensor)
        with pytest.raises(RuntimeError, match="without waiting"):
            sent + 1
        assert (uploads.receive(sent) + 1).tolist() == [2, 2, 2]


def test_a_failed_capture_breaks_the_allocator_of_older_versions() -> None:
    def capture_and_read(gpu: Gpu) -> None:
        tensor = torch.ones(3, device=DEVICE)
        with torch.cuda.graph(torch.cuda.CUDAGraph(), pool=torch.cuda.graph_pool_handle()):
            tensor.tolist()

    for version, breaks in (((2, 11), True), ((2, 12), False)):
        with pretend_gpu(version) as gpu:
            with pytest.raises(RuntimeError, match="capturing"):
                capture_and_read(gpu)
            if breaks:
                with pytest.raises(RuntimeError, match="INTERNAL ASSERT"):
                    torch.cuda.empty_cache()
            else:
                torch.cuda.empty_cache()


def test_nothing_of_the_pretend_gpu_stays_behind() -> None:
    before = (torch.cuda.is_available, torch.Tensor.to, torch.cuda.Stream)
    with pretend_gpu():
        assert torch.cuda.is_available()
    assert (torch.cuda.is_available, torch.Tensor.to, torch.cuda.Stream) == before
    assert not torch.cuda.is_available()


# Graphs: captured in the midst of answers, memory that is taken anew, captures that fail.


def test_answers_move_into_a_graph_while_they_are_written(
    checkpoints: dict[str, Path], groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.models.qwen_vl.steps.PAYS_AFTER", 3)
    reference = expected(checkpoints["qwen3_vl"], groups, engine="cascade")
    with pretend_gpu() as gpu:
        model, _ = on_gpu(checkpoints["qwen3_vl"])
        proof = gpu.captures
        assert answers(model.generate(groups)) == reference
        assert gpu.captures > proof
        assert gpu.replays > 1


@pytest.mark.parametrize("version", [(2, 6), (2, 10), (2, 11), (2, 13)])
def test_graphs_survive_that_the_memory_grows(
    version: tuple[int, int],
    checkpoints: dict[str, Path],
    groups: list[PageGroup],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those captured before are dropped, and with them, in torch 2.10 and 2.11, their pool."""
    monkeypatch.setattr("bench.models.qwen_vl.cascade.PIECE", 64)
    reference = [expected(checkpoints["qwen2_vl"], [group], engine="cascade") for group in groups]
    with pretend_gpu(version) as gpu:
        model, info = on_gpu(checkpoints["qwen2_vl"])
        assert info.details["decoding_steps"] == "CUDA graphs, one a shape"
        for group, answer in zip(groups[::-1], reference[::-1], strict=True):
            batch = model.generate([group])
            assert answers(batch) == answer
            assert batch.notes == {}
        assert gpu.replays > 0
        assert len(gpu.used_pools) > 1


def test_a_handle_whose_graphs_have_gone_cannot_be_used_again() -> None:
    """What the pretend GPU is to catch: without a new handle the test above would fail."""
    with pretend_gpu((2, 10)):
        total, graphs = torch.zeros(2, device=DEVICE), cuda.Graphs()
        replay = graphs.capture(lambda: total.add_(1))
        del replay
        with pytest.raises(RuntimeError, match="use_count > 0"):
            graphs.capture(lambda: total.add_(1))
        graphs.drop()
        graphs.capture(lambda: total.add_(1))


class RefusesLater(cuda.Graphs):
    """Captures the first step, and none after it."""

    captured = 0

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        self.captured += 1
        if self.captured > 1:
            return super().capture(lambda: (step(), torch.ones(1, device=DEVICE).tolist()))
        return super().capture(step)


@pytest.mark.parametrize("version", [(2, 6), (2, 11), (2, 13)])
def test_what_is_refused_later_is_launched_and_in_the_record_of_the_batch(
    version: tuple[int, int],
    checkpoints: dict[str, Path],
    groups: list[PageGroup],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = expected(checkpoints["qwen2_vl"], groups, engine="cascade")
    monkeypatch.setattr("bench.models.qwen_vl.selection.Graphs", RefusesLater)
    with pretend_gpu(version) as gpu:
        model, info = on_gpu(checkpoints["qwen2_vl"])
        assert info.details["decoding_steps"] == "CUDA graphs, one a shape"
        batch = model.generate(groups)
        assert answers(batch) == reference
        refused = str(batch.notes["decoding_steps"])
        assert refused.startswith("no CUDA graphs since then: CUDA error: operation not permitted")
        # The ladder can still give memory back.
        assert not gpu.broken_pools
        model._free_memory()
        assert answers(model.generate(groups)) == reference


class IsFull(cuda.Graphs):
    """Memory runs out within the second capture."""

    captured = 0

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        self.captured += 1
        if self.captured != 2:
            return super().capture(step)

        def overflow() -> None:
            if torch.cuda.current_stream() is pretend.gpu().capture_stream:
                raise torch.OutOfMemoryError("CUDA out of memory")

        return super().capture(overflow)


@pytest.mark.parametrize("version", [(2, 6), (2, 13)])
def test_the_ladder_works_after_memory_ran_out_within_a_capture(
    version: tuple[int, int],
    checkpoints: dict[str, Path],
    groups: list[PageGroup],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = expected(checkpoints["qwen2_vl"], groups, engine="cascade")
    monkeypatch.setattr("bench.models.qwen_vl.selection.Graphs", IsFull)
    with pretend_gpu(version) as gpu:
        model, _ = on_gpu(checkpoints["qwen2_vl"])
        with pytest.raises(OutOfMemory):
            model.generate(groups)
        release_memory()
        assert model.economize() is not None
        batch = model.generate(groups)
        assert answers(batch) == reference
        assert batch.notes == {}, "no obstacle to graphs"
        assert gpu.replays > 0


def test_an_allocator_that_cannot_be_mended_ends_with_what_to_type(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.models.qwen_vl import steps

    best = steps.best_tokens
    monkeypatch.setattr(steps, "best_tokens", lambda logits: (logits.tolist(), best(logits))[1])
    with pretend_gpu((2, 6)), monkeypatch.context() as patch:
        patch.setattr(torch._C, "_cuda_endAllocateToPool", lambda *_: None)
        with pytest.raises(EnvironmentProblem, match="cannot manage the GPU's memory") as raised:
            on_gpu(checkpoints["qwen2_vl"])
    assert "graphs = false" in str(raised.value.hint)


def test_an_allocator_that_breaks_in_mid_run_costs_the_process_and_no_answer(
    checkpoints: dict[str, Path], groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.models.qwen_vl.selection.Graphs", RefusesLater)
    with pretend_gpu((2, 6)), monkeypatch.context() as patch:
        model, _ = on_gpu(checkpoints["qwen2_vl"])
        patch.setattr(torch._C, "_cuda_endAllocateToPool", lambda *_: None)
        with pytest.raises(ModelGone, match="cannot manage the GPU's memory") as raised:
            model.generate(groups)
    assert raised.value.restarts
    assert "graphs = false" in str(raised.value.hint)


class Linear8bitLt(torch.nn.Linear):  # type: ignore[misc]
    """Named as the INT8 layer of bitsandbytes, which waits for the device."""

    def forward(self, values: Any) -> Any:
        float(values.abs().max())
        return super().forward(values)


def test_int8_layers_of_bitsandbytes_are_not_captured(
    checkpoints: dict[str, Path], groups: list[PageGroup]
) -> None:
    folder = checkpoints["qwen2_vl"]
    reference = expected(folder, groups, engine="cascade")
    spec = resolve(str(folder), dtype="bf16", device="cpu")
    with pretend_gpu((2, 6)) as gpu:
        model, loaded = QwenVL(spec), load_model(spec, folder)
        for module in loaded.model.model.language_model.modules():
            if type(module) is torch.nn.Linear:
                module.__class__ = Linear8bitLt
        moved = LoadedModel(to_gpu(loaded.model), DEVICE, loaded.details)
        info = model.adopt(moved, Processor(spec, folder), folder)
        assert info.details["decoding_steps"] == (
            "launched kernel by kernel (INT8 layers of bitsandbytes wait for the device)"
        )
        assert answers(model.generate(groups)) == reference
    assert gpu.captures == 0
    assert not gpu.broken_pools


# GPUs that are older than bf16.


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 0), "float16"), ((7, 5), "float16"), ((8, 0), "bfloat16")]
)
def test_the_dtype_is_one_that_the_gpu_computes_in(
    capability: tuple[int, int], dtype: str, checkpoints: dict[str, Path]
) -> None:
    folder = checkpoints["qwen2_vl"]
    spec, checkpoint = resolve(str(folder)), read_checkpoint(folder)
    with pretend_gpu(capability=capability):
        assert str(pick_dtype(spec, checkpoint, DEVICE)) == f"torch.{dtype}"
    assert pick_dtype(spec, checkpoint, torch.device("cpu")) == torch.float32


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_a_gpu_without_bf16_units_answers_in_what_it_has_and_in_what_was_asked_for(
    dtype: str, checkpoints: dict[str, Path], groups: list[PageGroup]
) -> None:
    """A T4 has no FlashAttention, and no fused attention for bf16."""
    reference = expected(checkpoints["qwen2_vl"], groups, dtype=dtype, engine="tree")
    with pretend_gpu(capability=(7, 5)):
        model, info = on_gpu(checkpoints["qwen2_vl"], dtype=dtype)
        given = answers(model.generate(groups))
    equal = sum(mine == theirs for mine, theirs in zip(given, reference, strict=True))
    # Random weights leave ties, and the CPU's kernel of torch 2.6 breaks one of them otherwise in bf16.
    assert equal >= len(reference) - (dtype == "bf16")
    assert "only supports Ampere" in str(info.details["text_attention"])


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), "fp16"), ((8, 0), "fp32")])
def test_no_matrix_of_scores_is_written_down_where_flash_attention_is_missing(
    capability: tuple[int, int],
    dtype: str,
    checkpoints: dict[str, Path],
    groups: list[PageGroup],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pretend_gpu(capability=capability) as gpu:
        model, info = on_gpu(checkpoints["qwen2_vl"], dtype=dtype)
        assert str(info.details["engine"]).startswith("tree")
        model.generate(groups)
        assert not gpu.score_matrices
        monkeypatch.setattr("bench.models.qwen_vl.tree.serves_grouped_queries", lambda *_: True)
        model.generate(groups)
        assert gpu.score_matrices, "the pretend GPU tells the difference"


@pytest.mark.parametrize("family", FAMILY)
def test_no_layer_of_a_tower_waits_where_flash_attention_is_missing(
    family: str, checkpoints: dict[str, Path], groups: list[PageGroup]
) -> None:
    reference = expected(checkpoints[family], groups, dtype="fp32", engine="tree")
    with pretend_gpu() as gpu:
        model, _ = on_gpu(checkpoints[family], dtype="fp32")
        gpu.waits.clear()
        assert answers(model.generate(groups)) == reference
    (calls,) = [n for what, n in gpu.waits.items() if "copy at bench/models/qwen_vl/vision" in what]
    in_the_model = [n for what, n in gpu.waits.items() if "tolist at transformers/models" in what]
    assert max(in_the_model) == calls


@pytest.mark.parametrize(("dtype", "rounded"), [("fp32", False), ("bf16", True)])
def test_convolutions_in_fp32_are_not_rounded_to_tf32(
    dtype: str,
    rounded: bool,
    checkpoints: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine's patch embedding is a product, the reference's a convolution."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    folder = checkpoints["qwen2_vl"]
    checkpoint = read_checkpoint(folder)
    number = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    plan = LoadingPlan(resolve(str(folder), dtype=dtype), checkpoint, DEVICE, number, None)
    finish_loading(plan, load_model(resolve(str(folder), device="cpu"), folder).model, {})
    assert torch.backends.cudnn.allow_tf32 is rounded


def test_fused_attention_rules_out_a_matrix_of_scores_where_there_is_a_fused_kernel() -> None:
    with pretend_gpu(capability=(7, 5)):
        heads = torch.randn(1, 2, 4, 16).to(DEVICE)
        attend = torch.nn.functional.scaled_dot_product_attention
        half, brain = heads.half(), heads.bfloat16()
        with cuda.fused_attention(DEVICE, torch.float16):
            attend(half, half, half)
            with pytest.raises(RuntimeError, match="No available kernel"):
                attend(brain, brain, brain)
        with cuda.fused_attention(DEVICE, torch.bfloat16):
            attend(brain, brain, brain)


def test_an_overflow_in_fp16_is_one_failure_that_says_what_to_type(
    checkpoints: dict[str, Path], groups: list[PageGroup]
) -> None:
    with pretend_gpu(capability=(7, 5)):
        model, _ = on_gpu(checkpoints["qwen2_vl"], dtype="fp16")
        assert model._parts is not None
        norm = model._parts.loaded.model.model.language_model.norm
        norm.weight.held.fill_(60000.0)
        errors = {output.error for output in model.generate(groups).outputs}
    (error,) = errors
    assert error is not None
    assert "not finite in float16" in error
    assert "--dtype fp32" in error
