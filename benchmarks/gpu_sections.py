"""The sections of ``benchmarks/gpu.py``: what is measured on a GPU, and how."""

from __future__ import annotations

import gc
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise, takewhile, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont

from bench.models.architectures import Architecture, read_architecture
from bench.models.catalog import resolve
from bench.models.qwen_vl import QwenVL, fit, plan
from bench.models.qwen_vl.clock import Clock
from bench.models.qwen_vl.cuda import KERNELS, Graphs, trial
from bench.models.qwen_vl.generation import Completion, Decoding, Prompted, PromptedQuestion
from bench.models.qwen_vl.loading import LoadedModel
from bench.models.qwen_vl.processing import Processor
from bench.models.qwen_vl.prompting import Prompting
from bench.models.qwen_vl.questions import QuestionBranch
from bench.models.qwen_vl.selection import first_that_agrees
from bench.models.qwen_vl.steps import PAYS_AFTER, Steps
from bench.models.qwen_vl.tree import TreeShape, tree_shape, use_tree_attention
from bench.models.qwen_vl.varlen import Kernel, Segments, plain
from bench.schema import Document, Generation, PageGroup, Request
from bench.tasks.pages import read_pages
from workshop.tiny_checkpoint import write_tiny_checkpoint

VISION = {
    "depth": 32,
    "embed_dim": 1280,
    "mlp_ratio": 4,
    "num_heads": 16,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "in_chans": 3,
}
TEXT = {
    "num_hidden_layers": 28,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "initializer_range": 0.02,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
}
MODELS: dict[str, dict[str, Any]] = {
    # Qwen/Qwen2-VL-2B-Instruct
    "qwen2-vl-2b": {
        **TEXT,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
        "vision_config": VISION | {"hidden_size": 1536},
    },
    # Qwen/Qwen2-VL-7B-Instruct
    "qwen2-vl-7b": {
        **TEXT,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
        "vision_config": VISION | {"hidden_size": 3584},
    },
    # The tiny checkpoint as it is, to try this program itself.
    "tiny": {},
}
"""What config.json of the published checkpoints says, as far as size and work follow from it."""

WORDS = ("what", "is", "the", "total", "amount", "date", "number", "name", "of", "company", "page")
SEQUENCE = 45
"""Tokens of a question that the paper limit counts with."""
AROUND = 25
"""Tokens of text in a prefix that it counts with."""
ROWS = 256
"""Answers in flight that it counts with."""


class Scale(NamedTuple):
    """How large everything is."""

    page: tuple[int, int]
    """Width and height in pixels."""
    bounds: dict[int, int]
    """Visual tokens of a page → ``max_pixels``."""
    pages: dict[int, int]
    """Visual tokens → pages in a call."""
    questions: tuple[int, ...]
    """A page."""
    answer: int
    """Tokens of every answer."""
    grids: tuple[tuple[int, int], ...]
    """Documents and questions of each, for single steps."""
    matrix: int
    """Rows and columns of the matrices whose product tells the device's rate."""


REAL = Scale(
    page=(1700, 2200),
    bounds={744: 602_112, 1240: 1280 * 784, 4819: 16384 * 784},
    pages={744: 16, 1240: 12, 4819: 6},
    questions=(1, 4, 10),
    answer=10,
    grids=((1, 1), (8, 4), (16, 4), (64, 4)),
    matrix=8192,
)
TINY = Scale(
    page=(340, 440),
    bounds={12: 16 * 784, 30: 36 * 784},
    pages={12: 2, 30: 2},
    questions=(1, 2),
    answer=4,
    grids=((1, 1), (2, 2)),
    matrix=64,
)


class Rates(NamedTuple):
    """What a device does in a second at best."""

    products: float
    """Floating-point operations in matrix products."""
    attention: float
    """Floating-point operations in the vision tower's attention."""
    bytes: float
    """Read from its memory."""


PRACTICAL = Rates(600e12, 350e12, 4.3e12)
"""What an H200 was thought to do when the limit was computed on paper."""


def limit(shape: Architecture, tokens: int, questions: int, answer: int, rates: Rates) -> float:
    """Questions/s at most, where a page of ``tokens`` visual tokens has ``questions`` questions.

    A page goes through the vision tower and its prefix through the language model once; every question is
    ``SEQUENCE`` tokens; a step of ``ROWS`` answers reads the weights once and every page's keys and values
    once. In bf16.
    """
    vision = shape.vision
    patches = tokens * vision.merge**2
    layer = 4 * vision.hidden**2 + 2 * vision.hidden * vision.intermediate
    merged = vision.hidden * vision.merge**2
    tower = 2 * patches * vision.layers * layer + 2 * tokens * merged * (merged + vision.out)
    tower_attention = 4 * patches**2 * vision.hidden * vision.layers
    weights = sum(linear.parameters for linear in shape.linears())
    prefix = tokens + AROUND
    prefix_attention = 2 * prefix**2 * shape.heads * shape.head_size * shape.layers
    page = (tower + 2 * weights * prefix) / rates.products
    page += (tower_attention + prefix_attention) / rates.attention
    head = shape.vocabulary * shape.hidden
    question = (2 * weights * SEQUENCE + 2 * head) / rates.products
    column = 4 * shape.layers * shape.kv_heads * shape.head_size
    step = (2 * (weights + head) + ROWS / questions * prefix * column) / rates.bytes
    return questions / (page + questions * (question + answer * step / ROWS))


Row = dict[str, Any]
"""What was measured, by name."""


class Measuring:
    """Where rows of results go, and how much time is left for more."""

    def __init__(
        self,
        device: torch.device,
        scale: Scale,
        folder: Path,
        deadline: float,
        keep: Callable[[Row], None],
    ) -> None:
        """``deadline`` is in seconds of ``time.time``; ``keep`` takes every row that is over."""
        self.device, self.scale, self.folder, self.deadline = device, scale, folder, deadline
        self.keep = keep
        self.dtype = torch.bfloat16 if device.type == "cuda" else torch.float32

    @contextmanager
    def row(self, **given: Any) -> Iterator[Row]:
        """A row of results with what it is about: what goes wrong is recorded in it, the rest goes on."""
        if time.time() > self.deadline:
            raise OutOfTime
        found = dict(given)
        try:
            yield found
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0]
            found["error"] = f"{type(error).__name__}: {first[:200]}"
        self.keep(found)
        if self.device.type == "cuda":
            # An error of the device itself comes up again here, and ends the section.
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], Any], repeat: int = 5) -> float:
        """Of one ``work``, after two in vain."""
        for _ in range(2):
            work()
        self.synchronize()
        start = time.perf_counter()
        for _ in range(repeat):
            work()
        self.synchronize()
        return (time.perf_counter() - start) / repeat


class OutOfTime(BaseException):
    """The deadline has passed; what is left is not measured."""


# --- the device, without a model -----------------------------------------------------------------


def rates(measuring: Measuring) -> None:
    """Matrix products and memory."""
    size, device, dtype = measuring.scale.matrix, measuring.device, measuring.dtype
    with measuring.row(what="product of two square matrices", shape=[size, size]) as row:
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        row["seconds"] = measuring.seconds(lambda: left @ right)
        row["per second"] = 2 * size**3 / row["seconds"]
    with measuring.row(what="bytes read and written by a copy", shape=[size, size]) as row:
        here = torch.empty(8 * size * size, dtype=torch.uint8, device=device)
        there = torch.empty_like(here)
        row["seconds"] = measuring.seconds(lambda: there.copy_(here))
        row["per second"] = 2 * here.numel() / row["seconds"]
    with measuring.row(what="bytes from pinned memory", shape=[size, size]) as row:
        pinned = torch.empty(size * size, dtype=torch.uint8, pin_memory=device.type == "cuda")
        row["seconds"] = measuring.seconds(lambda: pinned.to(device, non_blocking=True))
        row["per second"] = pinned.numel() / row["seconds"]


def kernels(measuring: Measuring) -> None:
    """Attention as the engine asks for it, by every kernel that torch has."""
    device, dtype = measuring.device, measuring.dtype
    for name, heads, groups, size in (("vision", 16, 1, 80), ("2B", 2, 6, 128), ("7B", 4, 7, 128)):
        for kernel in KERNELS.values():
            with measuring.row(what=f"{kernel.__name__}, {name}", kernel="varlen") as row:
                shape = {"heads": heads, "groups": groups, "size": size}
                obstacle = trial(kernel, **shape, dtype=dtype, device=device)
                row["agrees with the textbook"] = obstacle is None
                row["obstacle"] = obstacle
    for tokens in measuring.scale.bounds:
        _pages(measuring, 4 * tokens)
    for tokens in measuring.scale.bounds:
        _prefixes(measuring, tokens)
    for tokens in measuring.scale.bounds:
        _shared(measuring, tokens)


def _draw(measuring: Measuring, *size: int) -> torch.Tensor:
    return torch.randn(size, device=measuring.device, dtype=measuring.dtype)


def _backends() -> dict[str, Any]:
    from torch.nn.attention import SDPBackend

    return {
        "sdpa flash": SDPBackend.FLASH_ATTENTION,
        "sdpa efficient": SDPBackend.EFFICIENT_ATTENTION,
        "sdpa cuDNN": SDPBackend.CUDNN_ATTENTION,
    }


def _runs(measuring: Measuring, ends: Sequence[int], used: Sequence[int], step: int) -> Segments:
    """Runs of ``used`` keys, each of which begins ``step`` after the one before."""

    def numbers(found: Sequence[int]) -> torch.Tensor:
        return torch.tensor(found, dtype=torch.int32, device=measuring.device)

    starts = [step * index for index in range(len(used) + 1)]
    longest = max(last - first for first, last in pairwise(ends))
    return Segments(numbers(ends), numbers(starts), numbers(used), longest, max(used))


def _attention(
    measuring: Measuring, what: str, tokens: int, kernel: str, work: Callable[[], Any], flops: float
) -> None:
    with measuring.row(what=what, tokens=tokens, kernel=kernel) as row, torch.inference_mode():
        row["ms"] = 1e3 * measuring.seconds(work)
        row["TFLOP/s"] = flops / row["ms"] / 1e9


def _sdpa(backend: Any, *parts: Any, **settings: Any) -> Callable[[], torch.Tensor]:
    def work() -> torch.Tensor:
        with torch.nn.attention.sdpa_kernel(backend):
            return torch.nn.functional.scaled_dot_product_attention(*parts, **settings)

    return work


def _varlen(
    measuring: Measuring, parts: Sequence[torch.Tensor], run: Segments, *, causal: bool
) -> Callable[[], Any]:
    """Attention over ``run`` by the kernel of ``KERNELS`` that agrees here with heads like these.

    The kernel is looked for in the first call, which is not timed. There is none: that call raises
    RuntimeError with the reasons.
    """
    queries, keys, values = parts
    heads, size = keys.shape[1:]
    groups = queries.shape[1] // heads
    shape = TreeShape(1, heads, groups, size, measuring.dtype, measuring.device)
    agreed: list[Kernel] = []

    def work() -> Any:
        if not agreed:
            choice = first_that_agrees(shape)
            if choice.kernel is None:
                raise RuntimeError(choice.reason)
            agreed.append(choice.kernel)
        return agreed[0](queries, keys, values, run, causal=causal, scale=size**-0.5)

    return work


def _pages(measuring: Measuring, patches: int) -> None:
    """A page in the vision tower: 16 heads of 80."""
    flops = 4.0 * patches**2 * 16 * 80
    parts = [_draw(measuring, 1, 16, patches, 80) for _ in range(3)]
    for name, backend in _backends().items():
        _attention(measuring, "page, 16 heads of 80", patches, name, _sdpa(backend, *parts), flops)
    packed = [part[0].transpose(0, 1).contiguous() for part in parts]
    run = _runs(measuring, [0, patches], [patches], patches)
    work = _varlen(measuring, packed, run, causal=False)
    _attention(measuring, "page, 16 heads of 80", patches, "varlen", work, flops)


def _prefixes(measuring: Measuring, tokens: int) -> None:
    """A prefix of the 2B model: 12 query heads on 2 of 128, causal."""
    flops = 2.0 * tokens**2 * 12 * 128
    queries = _draw(measuring, 1, 12, tokens, 128)
    keys, values = (_draw(measuring, 1, 2, tokens, 128) for _ in range(2))
    what = "prefix, 12 heads on 2 of 128"
    for name, backend in _backends().items():
        work = _sdpa(backend, queries, keys, values, is_causal=True, enable_gqa=True)
        _attention(measuring, what, tokens, name, work, flops)
    packed = [part[0].transpose(0, 1).contiguous() for part in (queries, keys, values)]
    run = _runs(measuring, [0, tokens], [tokens], tokens)
    work = _varlen(measuring, packed, run, causal=True)
    _attention(measuring, what, tokens, "varlen", work, flops)


def _shared(measuring: Measuring, tokens: int, documents: int = 16, width: int = 4) -> None:
    """A step's look at 16 prefixes, of four answers each, in the 2B model."""
    flops = 4.0 * documents * width * 12 * 128 * tokens
    what = "step over 16 prefixes, 4 answers each"
    folded = _draw(measuring, documents, 2, 6 * width, 128)
    keys, values = (_draw(measuring, documents, 2, tokens, 128) for _ in range(2))
    visible = torch.zeros(documents, 1, 6 * width, tokens, device=measuring.device)
    mask = visible.to(measuring.dtype)
    for name, backend in _backends().items():
        work = _sdpa(backend, folded, keys, values, attn_mask=mask)
        _attention(measuring, f"{what}, masked", tokens, name, work, flops)
    queries = _draw(measuring, documents, 12 * width, 128)
    row = [_draw(measuring, documents * tokens, 2, 128) for _ in range(2)]
    run = _runs(measuring, list(range(documents + 1)), [tokens] * documents, tokens)
    work = _varlen(measuring, [queries, *row], run, causal=False)
    _attention(measuring, what, tokens, "varlen", work, flops)


# --- a model -------------------------------------------------------------------------------------


class Subject:
    """A model with random weights, and the ways to ask it."""

    def __init__(self, name: str, measuring: Measuring) -> None:
        import transformers

        self.name, self.measuring = name, measuring
        self.folder = write_tiny_checkpoint(measuring.folder / name)
        path = self.folder / "config.json"
        written = json.loads(path.read_text(encoding="utf-8"))
        written |= MODELS[name]
        path.write_text(json.dumps(written), encoding="utf-8")
        self.architecture = read_architecture(written, name)
        config = transformers.AutoConfig.from_pretrained(self.folder)
        torch.manual_seed(0)
        with torch.device(measuring.device):
            self.model = transformers.AutoModelForImageTextToText.from_config(
                config, dtype=measuring.dtype, attn_implementation="sdpa"
            )
        with torch.no_grad():
            for parameter, weight in self.model.named_parameters():
                # Sharper attention, or an answer would hardly depend on the page and the question.
                if parameter.endswith(("q_proj.weight", "k_proj.weight")):
                    weight.mul_(2.0)
        self.model.eval().requires_grad_(False)
        self._convolution = self.model.model.visual.patch_embed.proj

    def asked(self, tokens: int, **options: Any) -> QwenVL:
        """The model as a backend would have loaded it; ``max_pixels`` gives pages of ``tokens`` tokens."""
        self.as_loaded()
        name = {torch.bfloat16: "bf16", torch.float32: "fp32"}[self.measuring.dtype]
        spec = resolve(
            str(self.folder),
            max_pixels=self.measuring.scale.bounds[tokens],
            dtype=name,
            device=str(self.measuring.device),
            options=options,
        )
        backend = QwenVL(spec)
        loaded = LoadedModel(self.model, self.measuring.device, {"dtype": name})
        info = backend.adopt(loaded, Processor(spec, self.folder), self.folder)
        self.details = dict(info.details)
        return backend

    def as_loaded(self) -> None:
        """Undo what an engine does to a model."""
        if self.measuring.device.type == "cuda":
            # The engine before holds keys and values until it is found to be garbage.
            gc.collect()
        self.model.model.language_model.set_attn_implementation("sdpa")
        self.model.model.visual.config._attn_implementation = "sdpa"
        self.model.model.visual.patch_embed.proj = self._convolution

    def groups(self, tokens: int, questions: int, pages: int | None = None) -> list[PageGroup]:
        """Pages with so many questions each."""
        scale, found = self.measuring.scale, []
        for number in range(pages or scale.pages[tokens]):
            path = self.measuring.folder / f"page-{number}.png"
            if not path.is_file():
                draw_page(path, number, scale.page)
            requests = tuple(
                Request(f"{number}-{index}", text, text)
                for index in range(questions)
                for text in [question(100 * number + index)]
            )
            document = Document(str(number), read_pages(path))
            found.append(PageGroup(document, requests, Generation(scale.answer)))
        return found

    @property
    def cascade(self) -> dict[str, Any]:
        """Options for the engine that a GPU gets; elsewhere it has to be asked for."""
        return {} if self.measuring.device.type == "cuda" else {"engine": "cascade"}


def question(seed: int) -> str:
    """About as long as the questions of document benchmarks."""
    chance = random.Random(seed)
    return " ".join(chance.choices(WORDS, k=chance.randint(8, 14))).capitalize() + "?"


def draw_page(path: Path, seed: int, size: tuple[int, int]) -> None:
    """A page full of numbers."""
    chance = random.Random(seed)
    image = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=26)
    for top in range(100, size[1] - 120, 40):
        line = " ".join(str(chance.randint(1, 99999)) for _ in range(16))
        draw.text((120, top), line, fill="black", font=font)
    image.save(path)


def answer(subject: Subject, backend: QwenVL, groups: Sequence[PageGroup], row: Row) -> None:
    """Answer ``groups`` in one call, after once in vain, and record how long and how much it took."""
    device = subject.measuring.device
    backend.generate(groups)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    subject.measuring.synchronize()
    start = time.perf_counter()
    batch = backend.generate(groups)
    row["seconds"] = time.perf_counter() - start
    failed = [output.error for output in batch.outputs if output.error is not None]
    if failed:
        raise RuntimeError(f"{len(failed)} answers failed, the first: {failed[0]}")
    row["questions/s"] = len(batch.outputs) / row["seconds"]
    row["visual tokens"] = max(output.visual_tokens or 0 for output in batch.outputs)
    row["stages"] = dict(batch.stages)
    if device.type == "cuda":
        row["peak GB"] = torch.cuda.max_memory_allocated(device) / 1e9


def predicted(subject: Subject, backend: QwenVL, groups: Sequence[PageGroup]) -> float:
    """Bytes that ``fit`` expects weights and engine to hold at most."""
    assert backend._parts is not None
    engine: Any = backend._parts.engine
    works = [
        fit.Work(
            tuple(page.tokens for page in one.prefix.pages),
            plan.Need(len(one.prefix.ids), tuple(len(q.ids) + q.limit for q in one.questions)),
        )
        for one in prompted(backend, groups)
    ]
    number = subject.measuring.dtype.itemsize
    peak = fit.Activations(subject.architecture, number).peak(works, engine._limits)
    weights = fit.weights_of(subject.architecture).bytes(None, number)
    return weights + peak.bytes


def prompted(backend: QwenVL, groups: Sequence[PageGroup]) -> list[Prompted]:
    """What an engine is given."""
    assert backend._parts is not None
    prompting = Prompting(backend._parts.processor, backend._parts.context, reuse=True)
    return list(prompting.documents(groups))


def reference(subject: Subject) -> None:
    """Plain ``generate``, one question a call; the patch embedding a convolution, as it is loaded."""
    for tokens in subject.measuring.scale.bounds:
        with subject.measuring.row(tokens=tokens) as row:
            backend = subject.asked(tokens, reference=True)
            answer(subject, backend, subject.groups(tokens, 1, 2), row)


def engine(subject: Subject) -> None:
    """The engine as a GPU gets it, by visual tokens and questions a page."""
    for tokens in subject.measuring.scale.bounds:
        for questions in subject.measuring.scale.questions:
            with subject.measuring.row(tokens=tokens, questions=questions) as row:
                groups = subject.groups(tokens, questions)
                backend = subject.asked(tokens, **subject.cascade)
                row["details"] = subject.details
                row["architecture"] = subject.architecture
                row["answer"] = subject.measuring.scale.answer
                row["predicted GB"] = predicted(subject, backend, groups) / 1e9
                answer(subject, backend, groups, row)


WAYS: dict[str, dict[str, Any]] = {
    "runs, steps replayed": {"engine": "cascade"},
    "runs, steps launched": {"engine": "cascade", "graphs": False},
    "tree under masks": {"engine": "tree"},
    "no page reuse": {"reuse": False},
    "a padded row a question": {"engine": "padded"},
}


def ways(subject: Subject) -> None:
    """The same questions, several a page, in every way that the engine knows."""
    questions = subject.measuring.scale.questions[1]
    for tokens in subject.measuring.scale.bounds:
        for name, options in WAYS.items():
            with subject.measuring.row(tokens=tokens, questions=questions, way=name) as row:
                groups = subject.groups(tokens, questions)
                answer(subject, subject.asked(tokens, **options), groups, row)
                row["details"] = subject.details
        for ahead in (True, False):
            name = "four calls, pages read ahead" if ahead else "four calls, pages read in each"
            with subject.measuring.row(tokens=tokens, questions=questions, way=name) as row:
                groups = subject.groups(tokens, questions)
                _in_calls(subject, subject.asked(tokens, **subject.cascade), groups, row, ahead)


def _in_calls(
    subject: Subject, backend: QwenVL, groups: Sequence[PageGroup], row: Row, ahead: bool
) -> None:
    """Answer ``groups`` in four calls, as a run does, after one of them in vain."""
    size = -(-len(groups) // 4)
    calls = [groups[start : start + size] for start in range(0, len(groups), size)]
    backend.generate(calls[0])
    subject.measuring.synchronize()
    stages: dict[str, float] = {}
    start = time.perf_counter()
    for call, following in zip_longest(calls, calls[1:], fillvalue=()):
        if ahead:
            backend.expect(following)
        for stage, seconds in backend.generate(call).stages.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    row["seconds"] = time.perf_counter() - start
    row["questions/s"] = sum(len(group.requests) for group in groups) / row["seconds"]
    row["stages"] = stages


def steps(subject: Subject) -> None:
    """One step of decoding, replayed and launched, behind prefixes that hold zeros."""
    measuring = subject.measuring
    for tokens in measuring.scale.bounds:
        for documents, width in measuring.scale.grids:
            for replayed in (True, False):
                given = {"prefix": tokens, "documents": documents, "width": width}
                with measuring.row(**given, replayed=replayed) as row, torch.inference_mode():
                    row["ms"] = 1e3 * _step(subject, tokens, documents, width, replayed=replayed)


def _step(subject: Subject, tokens: int, documents: int, width: int, *, replayed: bool) -> float:
    """Seconds of a step of ``documents`` x ``width`` answers."""
    device, room = subject.measuring.device, 64
    subject.as_loaded()
    use_tree_attention(subject.model)
    cuda = device.type == "cuda"
    graphs = Graphs() if replayed and cuda else None
    decoding = Decoding(end_tokens=(0,), pad_token=0)
    found = first_that_agrees(tree_shape(subject.model)) if cuda else None
    taken = Steps(subject.model, (found and found.kernel) or plain, decoding, graphs)
    taken.begin([tokens + width * room] * documents)
    taken.cache.prefix(range(documents), [tokens] * documents)
    branches = []
    for document in range(documents):
        for number in range(width):
            taken.cache.reserve(document, number, room)
            branches.append(QuestionBranch(document, number, [0], tokens, room))
    rows = list(enumerate(branches))
    _, grid = taken._place(rows, 0)
    # As if enough steps had been launched for a capture to pay, which the next time makes one.
    grid.launched = PAYS_AFTER
    _, grid = taken._place(rows, 0)
    if taken.obstacle is not None:
        raise RuntimeError(taken.obstacle)
    return subject.measuring.seconds(grid.step, repeat=20)


def agreement(subject: Subject) -> None:
    """Tokens that are those of plain ``generate``, and how near a choice the first other one was."""
    tokens = min(subject.measuring.scale.bounds)
    questions = subject.measuring.scale.questions[1]
    groups = subject.groups(tokens, questions, 3)
    expected = _answers(subject.asked(tokens, reference=True), groups)
    for name, options in (("runs", {"engine": "cascade"}), ("tree", {"engine": "tree"})):
        with subject.measuring.row(tokens=tokens, questions=questions, way=name) as row:
            found = _answers(subject.asked(tokens, **options), groups)
            equal = total = 0
            gaps = []
            subject.as_loaded()
            for key, (document, asked, want) in expected.items():
                got = found[key][2]
                pairs = zip(want.ids, got.ids, strict=False)
                same = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
                equal, total = equal + same, total + len(want.ids)
                if want.ids != got.ids:
                    ids = [*document.prefix.ids.tolist(), *asked.ids, *want.ids[:same]]
                    gaps.append(_gap(subject, tokens, document, ids))
            row["answers"] = len(expected)
            row["equal answers"] = len(expected) - len(gaps)
            row["tokens before the first other one"] = equal / total
            row["logit gaps at the first other token"] = sorted(gaps)


def _answers(
    backend: QwenVL, groups: Sequence[PageGroup]
) -> dict[str, tuple[Prompted, PromptedQuestion, Completion]]:
    assert backend._parts is not None
    documents = prompted(backend, groups)
    places = {q.request.sample_id: document for document in documents for q in document.questions}
    clock = Clock(backend._parts.loaded.device)
    answered = backend._parts.engine.answer(documents, clock)
    return {
        asked.request.sample_id: (places[asked.request.sample_id], asked, found)
        for asked, found in answered
    }


def _gap(subject: Subject, tokens: int, document: Prompted, ids: Sequence[int]) -> float:
    """Difference of the two best logits behind the prompt ``ids``, by one plain forward call."""
    backend = subject.asked(tokens, reference=True)
    assert backend._parts is not None
    device, pages = subject.measuring.device, document.prefix.pages
    prompt = torch.tensor([ids], device=device)
    with torch.inference_mode():
        logits = subject.model(
            input_ids=prompt,
            mm_token_type_ids=(prompt == subject.model.config.image_token_id).int(),
            pixel_values=torch.cat(
                [backend._parts.processor.reader.values(page, device) for page in pages]
            ),
            image_grid_thw=torch.tensor(
                [(1, page.height, page.width) for page in pages], device=device
            ),
            logits_to_keep=1,
        ).logits[0, -1]
    best = logits.float().topk(2).values
    return float(best[0] - best[1])


DEVICE: dict[str, Callable[[Measuring], None]] = {"rates": rates, "kernels": kernels}
"""Sections without a model."""
MODEL: dict[str, Callable[[Subject], None]] = {
    "reference": reference,
    "engine": engine,
    "agreement": agreement,
    "steps": steps,
    "ways": ways,
}
"""Sections about a model, what is wanted most first."""
