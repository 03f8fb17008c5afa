"""Attention over runs of keys, and decoding that reads its tokens a step late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from bench.errors import OutOfMemory  # noqa: E402
from bench.models.catalog import resolve  # noqa: E402
from bench.models.qwen_vl import QwenVL, cuda, selection, steps, vision  # noqa: E402
from bench.models.qwen_vl.cascade import CascadeCache  # noqa: E402
from bench.models.qwen_vl.engine import without_patches  # noqa: E402
from bench.models.qwen_vl.generation import Decoding, Prompted  # noqa: E402
from bench.models.qwen_vl.loading import CLASSES  # noqa: E402
from bench.models.qwen_vl.pixels import PagePixels  # noqa: E402
from bench.models.qwen_vl.prefix import Prefix, prefill  # noqa: E402
from bench.models.qwen_vl.questions import QuestionBranch, ask  # noqa: E402
from bench.models.qwen_vl.tree import TreeShape, use_tree_attention  # noqa: E402
from bench.models.qwen_vl.varlen import Seen, Segments, merge, plain  # noqa: E402
from bench.models.qwen_vl.vision import PageFeatures  # noqa: E402
from bench.schema import Generation, PageGroup  # noqa: E402
from tests.pretend_cuda import HAS_VARLEN  # noqa: E402
from tests.tiny_qwen import edit_json, make_document, make_group, one_thread  # noqa: E402
from workshop.tiny_checkpoint import write_tiny_checkpoint  # noqa: E402

CPU = torch.device("cpu")
FAMILY = tuple(CLASSES)

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "qwen2_vl")


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> list[PageGroup]:
    folder = tmp_path_factory.mktemp("pages")
    return [
        make_group(make_document(folder, "one", [(200, 300)]), ["What is the total?"]),
        make_group(make_document(folder, "two", [(120, 90), (90, 200)]), max_new_tokens=9),
        make_group(make_document(folder, "three", [(250, 250)]), max_new_tokens=30),
    ]


def load(folder: Path, **options: Any) -> QwenVL:
    model = QwenVL(resolve(str(folder), options={"engine": "cascade"} | options))
    model.load()
    return model


def texts(model: QwenVL, groups: Sequence[PageGroup]) -> list[tuple[str, int, float]]:
    outputs = model.generate(groups).outputs
    assert {output.error for output in outputs} == {None}
    return [(o.text, o.generated_tokens, pytest.approx(o.confidence, rel=1e-4)) for o in outputs]


def steps_of(model: QwenVL) -> steps.Steps:
    assert model._parts is not None
    found = model._parts.engine._steps  # type: ignore[attr-defined]
    assert isinstance(found, steps.Steps)
    return found


def numbers(*found: int) -> Any:
    return torch.tensor(found, dtype=torch.int32)


def packed(queries: int, keys: int) -> tuple[Any, Any, Any]:
    """Random queries of six heads, keys and values of two."""
    generator = torch.Generator().manual_seed(queries)
    return (
        torch.randn(queries, 6, 8, generator=generator),
        torch.randn(keys, 2, 8, generator=generator),
        torch.randn(keys, 2, 8, generator=generator),
    )


def test_a_run_is_seen_as_by_the_attention_of_torch() -> None:
    queries, keys, values = packed(7, 40)
    runs = Segments(numbers(0, 3, 7), numbers(30, 5, 0), numbers(9, 21), 4, 21)
    found = plain(queries, keys, values, runs, causal=False, scale=0.3)
    for asking, start, used in ((slice(0, 3), 30, 9), (slice(3, 7), 5, 21)):
        parts = (queries[asking], keys[start : start + used], values[start : start + used])
        expected = torch.nn.functional.scaled_dot_product_attention(
            *(part.transpose(0, 1).unsqueeze(0) for part in parts), scale=0.3, enable_gqa=True
        )
        torch.testing.assert_close(found.values[asking], expected[0].transpose(0, 1))


def test_two_runs_merged_are_the_attention_over_both() -> None:
    queries, keys, values = packed(5, 40)

    def over(start: int, used: int, *, causal: bool) -> Seen:
        run = Segments(numbers(0, 5), numbers(start, 0), numbers(used), 5, used)
        return plain(queries, keys, values, run, causal=causal, scale=0.3)

    prefix, branch = over(0, 30, causal=False), over(30, 10, causal=True)
    both = over(0, 40, causal=True)
    torch.testing.assert_close(merge(prefix, branch), both.values)
    torch.testing.assert_close(merge(branch, prefix), both.values)
    assert not torch.allclose(both.values, over(0, 40, causal=False).values)


def test_a_run_of_overwhelming_weight_is_all_that_is_seen() -> None:
    values, logsumexp = torch.ones(1, 1, 4), torch.full((1, 1), 900.0)
    found = merge(Seen(values, logsumexp), Seen(-values, -logsumexp))
    assert torch.equal(found, values)


def wrong_weight(*parts: Any, **settings: Any) -> Seen:
    seen = plain(*parts, **settings)
    return seen._replace(logsumexp=seen.logsumexp / 0.6931)


def reads_beyond(queries: Any, keys: Any, values: Any, segments: Segments, **settings: Any) -> Seen:
    more = segments._replace(used=segments.used + 1)
    return plain(queries, keys, values, more, **settings)


def is_not_there(*_: Any, **__: Any) -> Seen:
    raise ImportError("no module of this name")


@pytest.mark.parametrize("kernel", [wrong_weight, reads_beyond, is_not_there])
def test_a_kernel_that_does_otherwise_is_refused(kernel: Any) -> None:
    obstacle = cuda.trial(kernel, heads=2, groups=3, size=8, dtype=torch.float32, device=CPU)
    assert obstacle is not None
    assert obstacle.startswith("whole sequences: ")
    assert "\n" not in obstacle


def test_a_kernel_that_does_the_same_is_accepted() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert cuda.trial(plain, heads=2, groups=3, size=8, dtype=dtype, device=CPU) is None


def test_the_kernel_of_a_gpu_is_refused_without_one() -> None:
    for kernel in cuda.KERNELS.values():
        shape = {"heads": 2, "groups": 3, "size": 64}
        assert cuda.trial(kernel, **shape, dtype=torch.bfloat16, device=CPU) is not None


def test_the_first_kernel_that_agrees_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = TreeShape(layers=1, heads=2, groups=3, size=8, dtype=torch.float32, device=CPU)
    kernels = {"public": is_not_there, "other": wrong_weight, "older": plain, "last": plain}
    monkeypatch.setattr(selection, "KERNELS", kernels)
    assert selection.first_that_agrees(shape) == (plain, "older")
    monkeypatch.setattr(selection, "KERNELS", {"public": is_not_there, "other": wrong_weight})
    kernel, reason = selection.first_that_agrees(shape)
    assert kernel is None
    assert "no module of this name; whole sequences: " in reason


def test_memory_is_taken_once_for_flights_that_fit() -> None:
    shape = TreeShape(layers=2, heads=1, groups=1, size=4, dtype=torch.float32, device=CPU)
    cache = CascadeCache(shape, plain)
    assert cache.begin([1030, 10])
    before = cache.keys[0].data_ptr()
    assert not cache.begin([5, 5, 5])
    assert not cache.begin([1000, 1047]), "as much as there is, beside the place for nobody"
    assert cache.keys[0].data_ptr() == before
    assert cache.begin([1000, 1048])
    assert cache.scratch == 4095


def test_steps_run_one_too_many_at_most(
    checkpoint: Path, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(checkpoint)
    taken: list[int] = []
    advance = steps.Steps._advance
    monkeypatch.setattr(
        steps.Steps, "_advance", lambda self, grid: (taken.append(1), advance(self, grid))[1]
    )
    for group in groups:
        taken.clear()
        outputs = model.generate([group]).outputs
        longest = max(output.generated_tokens or 0 for output in outputs)
        late = longest < group.generation.max_new_tokens
        assert longest - 1 <= len(taken) <= longest - 1 + late


def test_what_was_computed_in_vain_stays_out_of_the_neighbours(
    checkpoint: Path, groups: list[PageGroup]
) -> None:
    """Answers of other limits lie side by side; the short ones' places go on until the long ones end."""
    long = groups[2]
    short = replace(long, generation=Generation(2), requests=long.requests[:2])
    short = replace(
        short, requests=tuple(replace(r, sample_id=f"short-{r.sample_id}") for r in short.requests)
    )
    model, tree = load(checkpoint), load(checkpoint, engine="tree")
    assert texts(model, [short, long]) == texts(tree, [short, long])
    assert texts(model, [long, short]) == texts(tree, [long, short])


class Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Notes every operation with the shapes of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, given: Any = (), named: Any = None
    ) -> Any:
        self.calls.append((str(function), str([sizes(one) for one in given])))
        return function(*given, **(named or {}))


def sizes(given: Any) -> Any:
    if isinstance(given, (list, tuple)):
        return [sizes(one) for one in given]
    return tuple(given.shape) if isinstance(given, torch.Tensor) else given


def unread(queries: Any, *_: Any, **__: Any) -> Seen:
    """A kernel that, unlike the textbook's, asks the host for no number."""
    return Seen(queries.clone(), queries.float().sum(-1))


@pytest.mark.parametrize("family", FAMILY)
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_a_step_is_the_same_work_each_time_and_waits_for_nothing(
    family: str, penalty: float, tmp_path: Path
) -> None:
    folder = write_tiny_checkpoint(tmp_path / family, family)
    inner = load(folder)._parts.loaded.model  # type: ignore[union-attr]
    decoding = Decoding(end_tokens=(1,), pad_token=0, repetition_penalty=penalty)
    taken = steps.Steps(inner, unread, decoding, None)
    taken.begin([300, 20])
    taken.cache.prefix([0, 1], [200, 9])
    branches = [QuestionBranch(row, number, [5], 9, 3) for row in (0, 1) for number in range(2)]
    for branch in branches:
        taken.cache.reserve(branch.document, branch.number, 3)
    with torch.inference_mode():
        placed, grid = taken._place(list(enumerate(branches)), 0)
        addresses = [part.data_ptr() for part in (grid.tokens, grid.branches, grid.chosen)]
        recorded = []
        for _ in range(5):
            with Recorder() as recorder:
                grid.step()
            recorded.append(recorder.calls)
        assert len(placed) == 4
        assert addresses == [p.data_ptr() for p in (grid.tokens, grid.branches, grid.chosen)]
    assert len(recorded[0]) > 50
    # Beyond its room a branch writes elsewhere, by the same operations.
    assert all(calls == recorded[0] for calls in recorded)
    waits = ("item", "_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique")
    assert not [call for call, _ in recorded[0] if any(wait in call for wait in waits)]


@pytest.mark.parametrize("kernel", cuda.KERNELS.values(), ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("family", FAMILY)
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_nothing_behind_the_vision_tower_is_read_by_the_host(
    penalty: float, family: str, kernel: Any, tmp_path: Path
) -> None:
    """On tensors without content, with a GPU's kernel: whoever asked for a number would fail."""
    if kernel is cuda.flash and not HAS_VARLEN:
        pytest.skip("needs the attention function of torch 2.12")
    folder = write_tiny_checkpoint(tmp_path / family, family)
    config = transformers.AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        inner = transformers.AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    use_tree_attention(inner)
    decoding = Decoding(end_tokens=(1,), pad_token=0, repetition_penalty=penalty)
    taken = steps.Steps(inner, kernel, decoding, None)
    image = config.image_token_id
    prefixes = [Prefix(torch.tensor([5, *[image] * 4, 6]), (page(4, 4),))] * 2
    # Without the inner features of Qwen3-VL: transformers adds them by a mask, whose places are counted.
    tokens = torch.empty(4, config.get_text_config().hidden_size, device="meta")
    features = [[PageFeatures(tokens, ())]] * 2
    with torch.inference_mode():
        taken.begin([40, 40])
        starts = prefill(inner, taken.cache, 0, prefixes, features)
        branches = [QuestionBranch(row, 0, [7, 8], start, 5) for row, start in enumerate(starts)]
        for branch in branches:
            taken.cache.reserve(branch.document, branch.number, 7)
        logits = ask(inner, taken.cache, branches, 64)
        assert logits.shape == (2, config.get_text_config().vocab_size)
        _, grid = taken._place(list(enumerate(branches)), 0)
        grid.step()
    assert grid.chosen.is_meta
    with pytest.raises(NotImplementedError, match="meta"):
        grid.chosen.tolist()


def page(height: int, width: int) -> PagePixels:
    patches = torch.empty(0, 3, 196, dtype=torch.uint8)
    return PagePixels(patches, height, width, height * width // 4)


class Replays:
    """What ``cuda.Graphs`` does, without CUDA: run a step for warming up and capturing, then again."""

    def __init__(self) -> None:
        self.captured = 0
        self.replayed = 0

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        self.captured += 1
        for _ in range(3):
            step()

        def replay() -> None:
            self.replayed += 1
            step()

        return replay

    def drop(self) -> None:
        pass


class Refuses(Replays):
    """A device on which nothing can be captured."""

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        step()
        raise RuntimeError("operation not permitted\nwhen stream is capturing")


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_replayed_steps_answer_the_same_and_are_captured_once(
    penalty: float, groups: list[PageGroup], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    edit_json(folder / "generation_config.json", repetition_penalty=penalty)
    monkeypatch.setattr(steps, "PAYS_AFTER", 0)
    expected = texts(load(folder), groups)
    graphs = Replays()
    monkeypatch.setattr(selection, "_graphs", lambda *_: graphs)
    model = load(folder)
    assert texts(model, groups) == expected
    captured = graphs.captured
    assert captured > 1
    assert graphs.replayed > captured
    assert texts(model, groups) == expected
    assert graphs.captured == captured, "the shapes were known, and the memory was the same"


def test_what_cannot_be_captured_is_launched_and_on_the_record(
    checkpoint: Path, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = texts(load(checkpoint), groups)
    monkeypatch.setattr(selection, "_graphs", lambda *_: Refuses())
    model = QwenVL(resolve(str(checkpoint), options={"engine": "cascade"}))
    recorded = model.load().details["decoding_steps"]
    assert recorded == "no CUDA graphs: operation not permitted when stream is capturing"
    assert texts(model, groups) == expected


class Full(Replays):
    """A device whose memory does not always hold another capture."""

    full = False

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        if self.full:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().capture(step)


def test_a_capture_that_memory_does_not_hold_is_no_obstacle_to_others(
    checkpoint: Path, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "PAYS_AFTER", 0)
    expected = texts(load(checkpoint), groups)
    graphs = Full()
    monkeypatch.setattr(selection, "_graphs", lambda *_: graphs)
    model = load(checkpoint)
    graphs.full = True
    with pytest.raises(OutOfMemory):
        model.generate(groups)
    graphs.full = False
    assert texts(model, groups) == expected
    assert steps_of(model).obstacle is None
    assert graphs.replayed > 0


def test_a_shape_is_captured_when_enough_steps_were_launched_in_it(
    checkpoint: Path, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "PAYS_AFTER", 9)
    expected = texts(load(checkpoint), [groups[2]])
    graphs = Replays()
    monkeypatch.setattr(selection, "_graphs", lambda *_: graphs)
    model = load(checkpoint)
    assert graphs.captured == 1, "the proof"
    assert texts(model, [groups[2]]) == expected
    grids = steps_of(model)._grids.values()
    assert graphs.captured == sum(grid.captured for grid in grids) > 1, "in the midst of answers"
    assert all(grid.launched < 9 for grid in grids)
    assert graphs.replayed > 0


def test_no_call_that_is_timed_alone_holds_a_capture(
    checkpoint: Path, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "PAYS_AFTER", 1)
    alone = replace(groups[2], requests=groups[2].requests[:1])
    expected = texts(load(checkpoint), [alone])
    graphs = Replays()
    monkeypatch.setattr(selection, "_graphs", lambda *_: graphs)
    model = load(checkpoint)
    texts(model, groups)
    model.reset()
    captured, replayed = graphs.captured, graphs.replayed
    for _ in range(3):
        assert texts(model, [alone]) == expected
    assert graphs.captured == captured
    assert graphs.replayed > replayed, "the smallest shape was captured between the calls"
    model.expect([])
    for _ in range(2):
        texts(model, [replace(groups[2], generation=Generation(90))])
    assert graphs.captured > captured, "calls that are timed together may hold one"


@pytest.mark.parametrize(
    "message", ["CUDA out of memory. Tried to allocate 2 GiB", "CUDA error: out of memory"]
)
def test_a_capture_between_calls_that_memory_does_not_hold_is_left_out(
    message: str, checkpoint: Path, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    class IsFull(Replays):
        def capture(self, step: Callable[[], None]) -> Callable[[], None]:
            raise RuntimeError(message)

    monkeypatch.setattr(selection, "_graphs", lambda *_: Replays())
    model = load(checkpoint)
    expected = texts(model, groups[2:])
    monkeypatch.setattr(steps_of(model), "_graphs", IsFull())
    model.reset()
    assert texts(model, groups[2:]) == expected
    assert steps_of(model).obstacle is None


def test_memory_grows_by_doubling_within_what_is_planned() -> None:
    shape = TreeShape(layers=1, heads=1, groups=1, size=4, dtype=torch.float32, device=CPU)
    cache = CascadeCache(shape, plain)
    taken = [cache.begin([tokens], 5000) and cache.scratch for tokens in (10, 3000, 4900, 5000)]
    assert taken == [2047, 4095, 5000, False]
    assert cache.begin([6000], 5000), "a document may need more than is planned"
    assert cache.scratch == 6000


def test_shapes_beyond_the_limit_are_made_anew(
    checkpoint: Path, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = texts(load(checkpoint), groups)
    monkeypatch.setattr(steps, "GRIDS", 1)
    model = load(checkpoint)
    assert texts(model, groups) == expected
    assert len(steps_of(model)._grids) == 1


def test_shapes_are_few() -> None:
    rounded = {steps._power_of_two(count) for count in range(1, 257)}
    assert rounded == {1, 2, 4, 8, 16, 32, 64, 128, 256}


def test_a_failure_gives_the_memory_back(
    checkpoint: Path, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(checkpoint)
    expected = texts(model, groups)
    assert len(steps_of(model).cache.keys) > 0
    with monkeypatch.context() as patch:
        patch.setattr(steps.Steps, "decode", is_out_of_memory)
        with pytest.raises(OutOfMemory):
            model.generate(groups)
    assert steps_of(model).cache.keys == []
    assert texts(model, groups) == expected


def is_out_of_memory(*_: Any, **__: Any) -> None:
    raise MemoryError("not enough")


def test_patches_are_freed_when_a_page_has_become_features() -> None:
    patches = torch.zeros(8, 3, 196, dtype=torch.uint8)
    prefix = Prefix(torch.tensor([1]), (PagePixels(patches, 2, 4, 2),))
    (left,) = without_patches(Prompted(prefix, ())).prefix.pages
    assert left.patches.untyped_storage().nbytes() == 0
    assert left.patches.shape == (0, 3, 196)


class Elsewhere:
    """Page uploads to a device that is not there: bytes come back negated where nobody received them."""

    def send(self, patches: Any) -> Any:
        return ~patches

    def receive(self, patches: Any) -> Any:
        return ~patches


@pytest.mark.parametrize("engine", ["tree", "cascade", "padded"])
def test_pages_are_received_where_they_were_sent(
    engine: str, checkpoint: Path, groups: list[PageGroup]
) -> None:
    expected = texts(load(checkpoint, engine=engine), groups)
    model = load(checkpoint, engine=engine)
    assert model._parts is not None
    model._parts.processor.reader.uploads = Elsewhere()  # type: ignore[assignment]
    assert texts(model, groups) == expected


def test_the_vision_tower_attends_to_all_pages_of_a_call_at_once(
    checkpoint: Path, groups: list[PageGroup]
) -> None:
    model = load(checkpoint)
    assert model._parts is not None
    visual = model._parts.loaded.model.model.visual
    calls: list[int] = []

    def count(*parts: Any, **settings: Any) -> Seen:
        calls.append(len(parts[3].used))
        return plain(*parts, **settings)

    vision.use_packed_attention(model._parts.loaded.model, count)
    texts(model, groups)
    assert calls == [4] * len(visual.blocks)
