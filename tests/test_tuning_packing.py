"""Packing: what a row shows a model is what the engine shows it, and its loss is that of its questions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from bench.models.qwen_vl.loading import load_model
from bench.models.qwen_vl.processing import Processor
from bench.models.qwen_vl.prompting import Prompting
from bench.runner.batches import page_groups
from bench.schema import Document, ModelSpec, Sample, Task
from bench.tuning.examples import ExampleBranch, TrainingExample, read_examples
from bench.tuning.feeding import Feeder
from bench.tuning.lora import Lora, add_lora, pattern, target_modules
from bench.tuning.packing import pack, question_losses, rows
from tests.tiny_qwen import make_document, one_thread
from workshop.tiny_checkpoint import write_tiny_checkpoint

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
ANSWERS = ("12", "ООО «Ромашка»", "", "a rather long answer of many tokens")


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Iterator[None]:
    yield from one_thread()


class Trained:
    """A tiny model with everything that packing needs."""

    def __init__(self, folder: Path, family: str) -> None:
        checkpoint = write_tiny_checkpoint(folder / "checkpoint", family)
        self.spec = ModelSpec(
            "tiny", "qwen_vl", str(checkpoint), dtype="fp32", attention="sdpa", device="cpu"
        )
        self.processor = Processor(self.spec, checkpoint)
        self.model = load_model(self.spec, checkpoint).model
        self.end = int(self.processor.tokenizer.eos_token_id)
        documents = [
            make_document(folder, "one", [(84, 112)]),
            make_document(folder, "two", [(112, 84), (140, 56)]),
            make_document(folder, "three", [(60, 60)]),
        ]
        self.task = _task(documents)
        self.examples = read_examples(self.task, self.spec, self.processor, self.end, 32768)
        self.feeder = Feeder(self.model, self.processor)

    def losses(self, row: tuple[TrainingExample, ...]) -> list[float]:
        """The loss of each question of ``row``, computed together."""
        import torch

        packed = self.feeder.packed(row)
        with torch.no_grad():
            logits = self.model(**packed.inputs(torch.float32), use_cache=False).logits
        return question_losses(logits, packed).tolist()

    def plain_loss(self, example: TrainingExample, branch: ExampleBranch) -> float:
        """The loss that transformers itself computes for one question, nothing packed."""
        import torch

        pages = [self.processor.reader.read(page) for page in example.document.pages]
        prefix = self.processor.prefix(pages, example.system)
        ids = torch.cat([prefix.ids, torch.tensor(branch.question + branch.answer)]).unsqueeze(0)
        labels = ids.clone()
        labels[:, : -len(branch.answer)] = -100
        with torch.no_grad():
            output = self.model(
                input_ids=ids,
                labels=labels,
                pixel_values=torch.cat(
                    [self.processor.reader.values(page, torch.device("cpu")) for page in pages]
                ),
                image_grid_thw=torch.tensor([(1, page.height, page.width) for page in pages]),
                mm_token_type_ids=(ids == self.model.config.image_token_id).int(),
            )
        return float(output.loss)


def _task(documents: list[Document]) -> Task:
    samples = tuple(
        Sample(f"{document.id}/{number}", document.id, f"What is field {number}?", (answer,))
        for document in documents
        for number, answer in enumerate(ANSWERS)
    )
    return Task("t", "1", "t", {d.id: d for d in documents}, samples, ("anls",))


@pytest.fixture(scope="module", params=FAMILIES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp(request.param), request.param)


def test_a_packed_row_has_the_losses_of_its_questions(trained: Trained) -> None:
    expected = [
        trained.plain_loss(example, branch)
        for example in trained.examples
        for branch in example.branches
    ]
    assert trained.losses(tuple(trained.examples)) == pytest.approx(expected, abs=1e-5)


def test_a_question_does_not_see_its_neighbours(trained: Trained) -> None:
    example = trained.examples[0]
    first = trained.losses((example,))[0]
    others = tuple(
        branch._replace(question=[*branch.question[:-3], 7, 8, 9], answer=[5, trained.end])
        for branch in example.branches[1:]
    )
    changed = example._replace(branches=(example.branches[0], *others))
    found = trained.losses((trained.examples[1], changed))
    assert found[len(ANSWERS)] == pytest.approx(first, abs=1e-5)


def test_gradients_are_those_of_the_questions(trained: Trained) -> None:
    import torch

    wrapped = add_lora(trained.model, Lora(rank=2), "base", None, 0)
    try:
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        together = _gradient(trained, wrapped, [tuple(trained.examples)])
        apart = _gradient(
            trained,
            wrapped,
            [(e._replace(branches=(b,)),) for e in trained.examples for b in e.branches],
        )
        assert apart.norm() > 0.1
        assert (together - apart).norm() < 1e-5 * apart.norm()
    finally:
        wrapped.unload()


def _gradient(trained: Trained, wrapped: Any, packs: list[tuple[TrainingExample, ...]]) -> Any:
    import torch

    wrapped.zero_grad()
    for row in packs:
        packed = trained.feeder.packed(row)
        logits = wrapped(**packed.inputs(torch.float32), use_cache=False).logits
        (question_losses(logits, packed).sum() / len(trained.task.samples)).backward()
    return torch.cat([p.grad.flatten() for p in wrapped.parameters() if p.grad is not None])


def test_prompts_are_those_of_a_run(trained: Trained) -> None:
    prompting = Prompting(trained.processor, 32768, reuse=True)
    asked = list(prompting.documents(page_groups(trained.task, trained.spec)))
    assert len(asked) == len(trained.examples)
    for prompted, example in zip(asked, trained.examples, strict=True):
        assert len(prompted.prefix.ids) == example.prefix
        assert [q.ids for q in prompted.questions] == [b.question for b in example.branches]
        assert [q.request.sample_id for q in prompted.questions] == [
            b.sample_id for b in example.branches
        ]


def test_positions_begin_anew_behind_the_prefix(trained: Trained) -> None:
    example = trained.examples[0]
    packed = trained.feeder.packed((example,))
    start = int(packed.positions[:, 0, : example.prefix].max()) + 1
    place = example.prefix
    for branch in example.branches:
        wanted = list(range(start, start + branch.length))
        for dimension in range(3):
            assert packed.positions[dimension, 0, place : place + branch.length].tolist() == wanted
        place += branch.length
    assert place == packed.ids.shape[1]


def test_only_answers_and_their_ends_are_learnt(trained: Trained) -> None:
    example = trained.examples[0]
    packed = trained.feeder.packed((example,))
    learnt: list[list[int]] = [[] for _ in example.branches]
    for question, target in zip(packed.question.tolist(), packed.targets.tolist(), strict=True):
        learnt[question].append(target)
    assert learnt == [branch.answer for branch in example.branches]
    assert all(answer[-1] == trained.end for answer in learnt)
    following = packed.ids[0, packed.places + 1].tolist()
    assert following == packed.targets.tolist()


def test_the_mask_is_a_tree(tmp_path: Path) -> None:
    trained = Trained(tmp_path, "qwen2_vl")
    prefix, page = trained.feeder.packed((trained.examples[0],)), trained.examples[0]
    mask = prefix.mask[0, 0]
    first, second = page.branches[0].length, page.branches[1].length
    begin = page.prefix + first
    assert mask[begin, : page.prefix].all()
    assert not mask[begin, page.prefix : begin].any()
    assert mask[begin + second - 1, begin : begin + second].all()
    assert not mask.triu(1).any()


def example(length: int, *branches: int) -> TrainingExample:
    made = tuple(ExampleBranch(str(i), [1] * (n - 1), [2]) for i, n in enumerate(branches))
    return TrainingExample(Document("d", ()), None, length, 4, made)


def test_rows_keep_within_their_tokens_and_lose_nothing() -> None:
    examples = [example(40, 10, 10), example(30, 5), example(90, 30, 30, 30), example(500, 10)]
    found = rows(examples, 130, seed=1)
    assert sum(len(e.branches) for row in found for e in row) == 7
    for row in found:
        total = sum(e.length for e in row)
        assert total <= 130 or (len(row) == 1 and len(row[0].branches) == 1)
    assert rows(examples, 130, seed=1) == found


def test_a_pattern_names_its_layers_and_no_others(trained: Trained) -> None:
    import re

    import torch

    linear = [n for n, m in trained.model.named_modules() if isinstance(m, torch.nn.Linear)]
    for lora in (Lora(), Lora(vision=True), Lora(merger=True), Lora(modules=("q_proj",))):
        wanted = target_modules(trained.model, lora)
        expression = pattern(wanted)
        assert [name for name in linear if re.fullmatch(expression, name)] == wanted
    language = target_modules(trained.model, Lora())
    assert len(language) == 7 * trained.model.config.get_text_config().num_hidden_layers
    assert all(".language_model." in name for name in language)
    with_vision = target_modules(trained.model, Lora(vision=True, merger=True))
    assert {name.split(".")[1] for name in with_vision} == {"language_model", "visual"}


def test_saving_an_adapter_asks_nobody_for_its_base(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", asked)
    wrapped = add_lora(trained.model, Lora(rank=2), "owner/base", None, 0)
    try:
        wrapped.save_pretrained(tmp_path, safe_serialization=True)
    finally:
        wrapped.unload()
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "owner/base"
    assert all("lora_" in name for name in load_file(tmp_path / "adapter_model.safetensors"))


def test_pack_takes_documents_in_order(trained: Trained) -> None:
    documents = []
    for one in trained.examples[:2]:
        pages = [trained.processor.reader.read(page) for page in one.document.pages]
        documents.append((trained.processor.prefix(pages, one.system), one.branches))
    packed = pack(trained.model, trained.processor.reader, documents)
    assert packed.ids.shape[1] == sum(one.length for one in trained.examples[:2])
    assert len(packed.pixels) == sum(one.patches for one in trained.examples[:2])
    assert packed.questions == 2 * len(ANSWERS)
