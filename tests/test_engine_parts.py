"""The engine's stages alone: pixels, positions, patch embedding, tree, plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.errors import InvalidInput  # noqa: E402
from bench.models.catalog import resolve  # noqa: E402
from bench.models.qwen_vl import plan, prefix, questions, vision  # noqa: E402
from bench.models.qwen_vl.loading import CLASSES, load_model  # noqa: E402
from bench.models.qwen_vl.pixels import (  # noqa: E402
    WORKERS,
    PagePixels,
    PageQueue,
    PageReader,
    ReadRequest,
    read_ahead,
)
from bench.models.qwen_vl.processing import Processor  # noqa: E402
from bench.models.qwen_vl.questions import QuestionBranch  # noqa: E402
from bench.models.qwen_vl.tree import Heads, TreeCache, TreeShape  # noqa: E402
from bench.schema import Page  # noqa: E402
from bench.tasks.pages import open_page  # noqa: E402
from tests.tiny_qwen import edit_json, make_document, one_thread  # noqa: E402
from workshop.tiny_checkpoint import write_tiny_checkpoint  # noqa: E402

FAMILY = tuple(CLASSES)
CPU = torch.device("cpu")

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)


class Checkpoint:
    """A tiny checkpoint with its processor and model."""

    def __init__(self, folder: Path) -> None:
        spec = resolve(str(folder))
        self.spec, self.folder = spec, folder
        self.processor = Processor(spec, folder)
        self.model = load_model(spec, folder).model


@pytest.fixture(scope="module", params=FAMILY)
def tiny(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Checkpoint]:
    folder = tmp_path_factory.mktemp("tiny") / request.param
    yield Checkpoint(write_tiny_checkpoint(folder, request.param))


SIZES = [(200, 300), (90, 400), (61, 83), (1, 200), (200, 1), (13, 500), (640, 480), (28, 28)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_pixel_values_are_the_processors_bit_for_bit(
    size: tuple[int, int], tiny: Checkpoint, tmp_path: Path
) -> None:
    page = make_document(tmp_path, "page", [size]).pages[0]
    found = tiny.processor.reader.read(page)
    expected = tiny.processor.images(images=[open_page(page)], return_tensors="pt")
    assert found.patches.dtype == torch.uint8
    assert torch.equal(tiny.processor.reader.values(found, CPU), expected["pixel_values"])
    assert [1, found.height, found.width] == expected["image_grid_thw"][0].tolist()


def test_a_processor_that_does_not_normalize_is_followed_too(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    edit_json(folder / "preprocessor_config.json", do_normalize=False)
    processor = Processor(resolve(str(folder)), folder)
    page = make_document(tmp_path, "page", [(200, 300)]).pages[0]
    found = processor.reader.values(processor.reader.read(page), CPU)
    expected = processor.images(images=[open_page(page)], return_tensors="pt")["pixel_values"]
    assert torch.equal(found, expected)
    assert float(found.min()) >= 0


def test_pages_read_ahead_come_in_order_and_bad_ones_as_errors(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    made = [
        make_document(tmp_path, f"page{number}", [(60 + 30 * number, 90)] * (1 + number % 3))
        for number in range(12)
    ]
    made[5].pages[1].path.write_bytes(b"not an image")
    found = list(read_ahead(tiny.processor.reader, [document.pages for document in made]))
    assert [isinstance(pages, InvalidInput) for pages in found] == [n == 5 for n in range(12)]
    for document, pages in zip(made, found, strict=True):
        if not isinstance(pages, InvalidInput):
            expected = [tiny.processor.reader.read(page) for page in document.pages]
            assert all(
                torch.equal(a.patches, b.patches) for a, b in zip(pages, expected, strict=True)
            )


class Watched:
    """A reader that says which pages it was asked for, and has no memory for some."""

    def __init__(self, reader: PageReader) -> None:
        self.reader = reader
        self.pages: list[Page] = []
        self.too_large: set[Page] = set()

    def read(self, page: Page) -> PagePixels:
        self.pages.append(page)
        if page in self.too_large:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.reader.read(page)


def watched(tiny: Checkpoint, folder: Path, count: int) -> tuple[Watched, list[ReadRequest]]:
    """A reader, and ``count`` documents of one page that are wanted of it."""
    reader = Watched(tiny.processor.reader)
    made = [make_document(folder, f"page{number}", [(60, 90)]) for number in range(count)]
    return reader, [ReadRequest(reader, document.pages) for document in made]  # type: ignore[arg-type]


def test_what_is_expected_is_read_behind_the_last_pages_and_once(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    reader, wanted = watched(tiny, tmp_path, 4 * WORKERS + 3)
    first, second, third = wanted[:2], wanted[2:-1], wanted[-1:]
    queue = PageQueue()
    queue.expect(second)
    assert len(list(queue.read(first))) == 2
    # Two pages for each thread are on their way, no more.
    assert [begun.request for begun in queue._begun] == second[: 2 * WORKERS]
    queue.expect(third)
    assert len(list(queue.read(second))) == len(second)
    assert [begun.request for begun in queue._begun] == third
    assert len(list(queue.read(third))) == 1
    assert sorted(reader.pages, key=str) == sorted((one.pages[0] for one in wanted), key=str)


def test_what_was_expected_in_vain_is_dropped(tiny: Checkpoint, tmp_path: Path) -> None:
    _, wanted = watched(tiny, tmp_path, 4)
    queue = PageQueue()
    queue.expect(wanted[1:])
    list(queue.read(wanted[:1]))
    # As when memory ran out, and half of a call comes in its place.
    queue.expect(())
    (found,) = queue.read([wanted[3]])
    expected = tiny.processor.reader.read(wanted[3].pages[0])
    assert not isinstance(found, InvalidInput)
    assert torch.equal(found[0].patches, expected.patches)
    assert not queue._begun
    queue.expect(wanted)
    list(queue.read(wanted[:1]))
    queue.forget()
    assert not queue._begun
    assert list(queue.read([])) == []


def test_a_page_that_there_was_no_memory_for_is_read_again_in_its_turn(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    reader, (first, second) = watched(tiny, tmp_path, 2)
    queue = PageQueue()
    queue.expect([second])
    reader.too_large = {*second.pages}
    list(queue.read([first]))
    assert queue._begun[0].pages[0].exception(timeout=60) is not None
    reader.too_large = set()
    ((page,),) = queue.read([second])
    assert torch.equal(page.patches, tiny.processor.reader.read(second.pages[0]).patches)
    reader.too_large = {*second.pages}
    with pytest.raises(torch.OutOfMemoryError):
        list(queue.read([second]))


def test_ids_and_positions_are_those_of_the_whole_prompt(tiny: Checkpoint, tmp_path: Path) -> None:
    document = make_document(tmp_path, "pages", [(200, 300), (120, 90), (60, 200)])
    pages = [tiny.processor.reader.read(page) for page in document.pages]
    before = tiny.processor.prefix(pages, None)
    behind = tiny.processor.suffix("What is the total?", 3, None)
    content = [{"type": "image"}] * 3 + [{"type": "text", "text": "What is the total?"}]
    text = tiny.processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}],
        chat_template=tiny.processor.template,
        tokenize=False,
        add_generation_prompt=True,
    )
    for page in pages:
        text = text.replace("<|image_pad|>", "<|page|>" * page.tokens, 1)
    whole = tiny.processor.tokenizer(text.replace("<|page|>", "<|image_pad|>"))["input_ids"]
    assert [*before.ids.tolist(), *behind] == whole
    ids = torch.tensor([whole])
    expected, _ = tiny.model.model.get_rope_index(
        input_ids=ids,
        mm_token_type_ids=(ids == tiny.processor.image_token_id).int(),
        image_grid_thw=torch.tensor([(1, page.height, page.width) for page in pages]),
    )
    positions = prefix.rope_positions(tiny.model, before)
    rest = positions.max() + 1 + torch.arange(len(behind))
    assert torch.equal(torch.cat([positions, rest.expand(3, -1)], dim=1), expected[:, 0])


def test_a_template_that_glues_text_to_the_question_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    template = (
        "{% for part in messages[0].content %}{% if part.type == 'image' %}"
        "<|vision_start|><|image_pad|><|vision_end|> {% else %}{{ part.text }}{% endif %}"
        "{% endfor %}"
    )
    edit_json(folder / "chat_template.json", chat_template=template)
    with pytest.raises(InvalidInput, match="both share a token"):
        Processor(resolve(str(folder)), folder)


def test_a_flat_patch_embedding_embeds_the_same(tiny: Checkpoint) -> None:
    embedding = tiny.model.model.visual.patch_embed
    size = embedding.proj.weight[0].numel()
    patches = torch.rand(40, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before = embedding(patches)
        names = set(tiny.model.state_dict())
        assert vision.flatten_patch_embedding(tiny.model)
        assert not vision.flatten_patch_embedding(tiny.model), "once is enough"
        torch.testing.assert_close(embedding(patches), before)
    assert set(tiny.model.state_dict()) == names


def test_what_is_small_goes_together_and_what_is_large_alone() -> None:
    assert plan.packs([4, 16, 400, 8, 4], 20) == [slice(0, 2), slice(2, 3), slice(3, 5)]
    assert plan.packs([5, 5, 9, 2, 2, 2], 10) == [slice(0, 2), slice(2, 3), slice(3, 6)]
    assert plan.packs([5, 5], -7) == [slice(0, 1), slice(1, 2)]
    assert plan.packs([], 20) == []


def test_questions_share_a_row_while_its_attention_stays_small() -> None:
    lengths = [(0, 4), (0, 4), (1, 2), (1, 2), (2, 9), (3, 1)]
    branches = [QuestionBranch(document, 0, [1] * length, 0, 1) for document, length in lengths]
    rows = [[len(b.prompt) for b in pack] for pack in questions.packs(branches, 16)]
    # Two documents of 8 and 4 tokens take 2 x 8 places; a third would make it 3 x 9.
    assert rows == [[4, 4, 2, 2], [9], [1]]


def dense(queries: Any, keys: Any, values: Any, visible: Any) -> Any:
    """Attention by the textbook, (heads, tokens, size) each; ``visible`` is (tokens, keys)."""
    scores = (queries @ keys.transpose(1, 2)) * 0.25
    return scores.masked_fill(~visible, float("-inf")).softmax(-1) @ values


def heads(shape: TreeShape, tokens: int, seed: int) -> Heads:
    generator = torch.Generator().manual_seed(seed)

    def rand(count: int) -> Any:
        return torch.randn(1, count, tokens, shape.size, generator=generator)

    return Heads(rand(shape.heads * shape.groups), rand(shape.heads), rand(shape.heads))


def test_a_token_sees_its_prefix_and_its_own_branch_only() -> None:
    shape = TreeShape(layers=1, heads=2, groups=3, size=8, dtype=torch.float32, device=CPU)
    cache = TreeCache(shape, 2, 20)
    # Document 0: prefix 4, questions a (2 tokens) and b (1); document 1: prefix 6, question a (1).
    first = heads(shape, 10, 0)
    cache.prefix([0, 1], [4, 6]).attend(0, first, 0.25)
    second = heads(shape, 4, 1)
    cache.branches([0, 0, 0, 1], [0, 0, 1, 0]).attend(0, second, 0.25)
    third = heads(shape, 3, 2)
    found = cache.branches([0, 0, 1], [1, 0, 0]).attend(0, third, 0.25)
    owners = [
        ("p0", range(4)),
        ("p1", range(4, 10)),
        ("0a", (10, 11)),
        ("0b", (12,)),
        ("1a", (13,)),
    ]
    owner = {column: name for name, columns in owners for column in columns}
    sees = [{"p0", "0b"}, {"p0", "0a"}, {"p1", "1a"}]
    visible = torch.tensor(
        [
            [owner[column] in names for column in range(14)] + [token == new for new in range(3)]
            for token, names in enumerate(sees)
        ]
    )
    keys, values = (
        torch.cat(parts, dim=2)[0].repeat_interleave(3, dim=0)
        for parts in (
            (first.keys, second.keys, third.keys),
            (first.values, second.values, third.values),
        )
    )
    expected = dense(third.queries[0], keys, values, visible).transpose(0, 1)
    torch.testing.assert_close(found[0], expected)


def test_forgotten_branches_leave_the_prefix() -> None:
    shape = TreeShape(layers=1, heads=1, groups=1, size=4, dtype=torch.float32, device=CPU)
    cache = TreeCache(shape, 1, 8)
    cache.prefix([0], [3]).attend(0, heads(shape, 3, 0), 0.25)
    asked = heads(shape, 5, 1)
    before = cache.branches([0] * 5, [0] * 5).attend(0, asked, 0.25)
    cache.forget_branches()
    assert torch.equal(cache.branches([0] * 5, [0] * 5).attend(0, asked, 0.25), before)


def test_questions_are_cut_into_turns_of_at_least_one() -> None:
    need = plan.Need(10, (5, 5, 30, 4, 4))
    assert plan.turns(need, 22) == [slice(0, 2), slice(2, 3), slice(3, 5)]
    assert plan.turns(need, 3) == [slice(n, n + 1) for n in range(5)]
    many = plan.Need(10, (plan.TURN_COLUMNS // 2,) * 3)
    assert plan.turns(many, 10**9) == [slice(0, 2), slice(2, 3)]
    assert plan.columns(need, 22) == 10 + 30


def test_a_flight_holds_what_fits_and_at_least_one_document() -> None:
    needs = [plan.Need(60, (40,)), plan.Need(10, (10,)), plan.Need(30, (20,)), plan.Need(400, (1,))]
    planned = plan.flights(needs, lambda need: need, 200)
    assert [[need.prefix for need in flight] for flight in planned] == [[60, 10], [30], [400]]


def test_the_budget_of_a_cpu_can_be_set() -> None:
    assert plan.limits(CPU, None).cache_bytes == plan.CPU_BYTES
    assert plan.limits(CPU, 12345).cache_bytes == 12345


def test_bytes_of_a_column_are_those_of_the_published_model() -> None:
    # Qwen2-VL-2B: 28 layers, 2 key/value heads of 128 numbers, bf16.
    shape = TreeShape(layers=28, heads=2, groups=6, size=128, dtype=torch.bfloat16, device=CPU)
    assert shape.bytes_per_column == 28_672


def test_a_reader_without_a_table_gives_the_same_values(tiny: Checkpoint, tmp_path: Path) -> None:
    page = make_document(tmp_path, "page", [(200, 300)]).pages[0]
    plain = PageReader(tiny.processor.images, table=False)
    by_table = tiny.processor.reader.values(tiny.processor.reader.read(page), CPU)
    assert torch.equal(plain.values(plain.read(page), CPU), by_table)
