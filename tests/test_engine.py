"""The engine answers as plain ``generate`` does, token for token, whatever its settings.

Two logits within rounding error of each other may change places: a difference counts as one only where
the reference's two best logits at the first differing token are at least ``TIE`` apart.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.errors import InvalidInput  # noqa: E402
from bench.models.catalog import resolve  # noqa: E402
from bench.models.qwen_vl import QwenVL  # noqa: E402
from bench.models.qwen_vl.clock import Clock  # noqa: E402
from bench.models.qwen_vl.generation import Completion, Prompted  # noqa: E402
from bench.models.qwen_vl.loading import CLASSES  # noqa: E402
from bench.models.qwen_vl.prompting import Prompting  # noqa: E402
from bench.schema import Generation, Output, PageGroup, TokenChoice  # noqa: E402
from tests.tiny_qwen import edit_json, make_document, make_group, one_thread  # noqa: E402
from workshop.tiny_checkpoint import write_tiny_checkpoint  # noqa: E402

FAMILY = tuple(CLASSES)
TIE = 1e-3
"""Difference of the reference's two best logits, in fp32."""

_one_thread = pytest.fixture(scope="module", autouse=True)(one_thread)


@pytest.fixture(scope="module", params=FAMILY)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / request.param, request.param)


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "qwen2_vl")


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> list[PageGroup]:
    """1, 4 and 10 questions; 1, 2 and 5 pages; sizes from a stamp to what the bounds allow."""
    folder = tmp_path_factory.mktemp("pages")
    words = ["total", "date", "seller", "Кто продавец?", "发票号码", "name of the buyer", "x" * 40]
    ten = [
        f"What is the {word} {number}?" for number, word in zip(range(10), words * 2, strict=False)
    ]
    pages = [(200, 300), (120, 90), (300, 200), (60, 60), (250, 250)]
    return [
        make_group(make_document(folder, "one", [(200, 300)]), ["What is the total?"]),
        make_group(make_document(folder, "four", [(300, 120), (180, 260)]), max_new_tokens=9),
        make_group(make_document(folder, "ten", [(90, 400)]), ten, max_new_tokens=16),
        make_group(make_document(folder, "five", pages)),
    ]


def load(folder: Path, **options: Any) -> QwenVL:
    model = QwenVL(resolve(str(folder), options=options))
    model.load()
    return model


def documents(model: QwenVL, groups: Sequence[PageGroup]) -> list[Prompted]:
    assert model._parts is not None
    prompting = Prompting(model._parts.processor, model._parts.context, reuse=model._reuse)
    prompted = list(prompting.documents(groups))
    assert prompting.settled == {}
    return prompted


def answers(model: QwenVL, prompted: Sequence[Prompted]) -> dict[str, Completion]:
    assert model._parts is not None
    found = model._parts.engine.answer(prompted, Clock(torch.device("cpu")))
    return {question.request.sample_id: answer for question, answer in found}


def gap(model: QwenVL, document: Prompted, ids: Sequence[int]) -> float:
    """Difference of the two best logits behind the prompt ``ids``, by one plain forward call."""
    assert model._parts is not None
    inner, reader = model._parts.loaded.model, model._parts.processor.reader
    tokens = torch.tensor([ids])
    pages = document.prefix.pages
    logits = inner(
        input_ids=tokens,
        mm_token_type_ids=(tokens == inner.config.image_token_id).int(),
        pixel_values=torch.cat([reader.values(page, torch.device("cpu")) for page in pages]),
        image_grid_thw=torch.tensor([(1, page.height, page.width) for page in pages]),
    ).logits[0, -1]
    best = logits.topk(2).values
    return float(best[0] - best[1])


class Reference:
    """Plain ``generate``, asked once for each question."""

    def __init__(self, folder: Path) -> None:
        self.model = load(folder, reference=True)
        self._answers: dict[str, Completion] = {}

    def answers(self, prompted: Sequence[Prompted]) -> dict[str, Completion]:
        names = [q.request.sample_id for document in prompted for q in document.questions]
        if not set(names) <= set(self._answers):
            self._answers |= answers(self.model, prompted)
        return {name: self._answers[name] for name in names}


def compare(reference: Reference, model: QwenVL, groups: Sequence[PageGroup]) -> None:
    """Assert equal tokens, up to ties, which are counted and printed."""
    asked = documents(reference.model, groups)
    expected = reference.answers(asked)
    found = answers(model, documents(model, groups))
    assert set(found) == set(expected)
    ties = 0
    for document in asked:
        for question in document.questions:
            name = question.request.sample_id
            want, got = expected[name].ids, found[name].ids
            if want == got:
                assert expected[name].ended == found[name].ended
                assert expected[name].confidence == pytest.approx(found[name].confidence, rel=1e-3)
                least = expected[name].min_confidence
                assert least == pytest.approx(found[name].min_confidence, rel=1e-3)
                continue
            pairs = zip(want, got, strict=False)
            same = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
            prompt = [*document.prefix.ids.tolist(), *question.ids, *want[:same]]
            distance = gap(reference.model, document, prompt)
            assert distance < TIE, f"{name} differs at token {same}, {distance} apart"
            ties += 1
    sys.stdout.write(f"{len(expected)} questions, {ties} ties\n")


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> Reference:
    return Reference(checkpoint)


SETTINGS: dict[str, dict[str, Any]] = {
    "together": {},
    "little memory": {"cache_bytes": 1},
    "two flights": {"cache_bytes": 400_000},
    "no reuse": {"reuse": False},
    "padded": {"engine": "padded"},
    "cascade": {"engine": "cascade"},
    "cascade, little memory": {"engine": "cascade", "cache_bytes": 1},
    "cascade, two flights": {"engine": "cascade", "cache_bytes": 400_000},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_tokens_are_those_of_plain_generate(
    setting: str, reference: Reference, checkpoint: Path, groups: list[PageGroup]
) -> None:
    compare(reference, load(checkpoint, **SETTINGS[setting]), groups)


@pytest.mark.parametrize("engine", ["tree", "cascade"])
def test_neither_order_nor_company_changes_an_answer(
    engine: str, reference: Reference, checkpoint: Path, groups: list[PageGroup]
) -> None:
    model = load(checkpoint, engine=engine)
    singles = [
        replace(group, requests=(request,)) for group in groups for request in group.requests
    ]
    random.Random(7).shuffle(singles)
    for size in (1, 2, 7):
        for start in range(0, len(singles), size):
            compare(reference, model, singles[start : start + size])


@pytest.mark.parametrize("engine", ["tree", "cascade"])
def test_only_the_last_token_of_a_question_passes_the_whole_of_the_last_layer(
    engine: str, checkpoint: Path, groups: list[PageGroup]
) -> None:
    model = load(checkpoint, engine=engine)
    assert model._parts is not None
    language_model = model._parts.loaded.model.model.language_model
    last = language_model.layers[-1].mlp
    passing: list[int] = []
    last.register_forward_hook(lambda _, given, output: passing.append(output.shape[1]))
    answers(model, documents(model, [replace(groups[2], generation=Generation(1))]))
    if "qwen3" in checkpoint.name:
        # Features of the tiny tower are added behind the last layer, too.
        passing.pop(0)
    assert passing == [len(groups[2].requests)]


@pytest.mark.parametrize("engine", ["tree", "cascade", "padded"])
def test_the_repetition_penalty_is_that_of_generate(
    engine: str, groups: list[PageGroup], tmp_path: Path
) -> None:
    folder = write_tiny_checkpoint(tmp_path / "penalised")
    edit_json(folder / "generation_config.json", repetition_penalty=1.3)
    compare(Reference(folder), load(folder, engine=engine), groups)


def test_the_reference_follows_no_sampling_settings(
    groups: list[PageGroup], tmp_path: Path
) -> None:
    tame = load(write_tiny_checkpoint(tmp_path / "tame"), reference=True)
    folder = write_tiny_checkpoint(tmp_path / "wild")
    edit_json(folder / "generation_config.json", temperature=9.0, top_p=1.0, top_k=400)
    wild = load(folder, reference=True)
    assert wild.generate(groups[:2]).outputs == tame.generate(groups[:2]).outputs


@pytest.mark.parametrize("engine", ["tree", "cascade", "padded"])
def test_positions_left_over_from_another_prefill_change_nothing(
    engine: str, checkpoint: Path, groups: list[PageGroup]
) -> None:
    model = load(checkpoint, engine=engine)
    before = model.generate(groups).outputs
    assert model._parts is not None
    inner = model._parts.loaded.model.model
    inner.rope_deltas = torch.full((12, 1), 777)
    assert model.generate(groups).outputs == before
    assert int(inner.rope_deltas[0]) == 777, "the engine should neither read nor write them"


def test_a_page_is_read_and_encoded_once_for_all_its_questions(
    qwen2: Path, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert encoded_pages(load(qwen2), groups, monkeypatch) == 1 + 2 + 1 + 5


def test_without_reuse_a_page_is_read_and_encoded_for_each_question(
    qwen2: Path, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert encoded_pages(load(qwen2, reuse=False), groups, monkeypatch) == 1 + 4 * 2 + 10 + 4 * 5


def encoded_pages(model: QwenVL, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch) -> int:
    """Pages that go through the vision tower while ``groups`` are answered."""
    assert model._parts is not None
    inner = model._parts.loaded.model.model
    pages: list[int] = []
    original = inner.get_image_features

    def count(values: Any, grid: Any, **settings: Any) -> Any:
        pages.append(len(grid))
        return original(values, grid, **settings)

    monkeypatch.setattr(inner, "get_image_features", count)
    assert {output.error for output in model.generate(groups).outputs} == {None}
    return sum(pages)


@pytest.mark.parametrize("reuse", [True, False])
def test_pages_of_the_call_after_the_next_are_read_while_that_one_computes(
    reuse: bool, qwen2: Path, tmp_path: Path
) -> None:
    model = load(qwen2, reuse=reuse)
    first, second = (
        make_group(make_document(tmp_path, name, [(200, 300)]), ["A", "date"], max_new_tokens=4)
        for name in ("first", "second")
    )
    expected = model.generate([second]).outputs
    model.expect([second])
    model.generate([first])
    assert model._parts is not None
    for begun in model._parts.processor.queue._begun:
        for page in begun.pages:
            page.result(timeout=60)
    (path,) = {page.path for page in second.document.pages}
    path.unlink()
    assert model.generate([second]).outputs == expected
    # Taken once; and nothing is kept for a question that should meet its page for the first time.
    assert {output.stop_reason for output in model.generate([second]).outputs} == {"error"}


def test_a_reset_forgets_pages_that_were_read_ahead(qwen2: Path, tmp_path: Path) -> None:
    model = load(qwen2)
    first, second = (
        make_group(make_document(tmp_path, name, [(200, 300)]), ["A"], max_new_tokens=1)
        for name in ("first", "second")
    )
    model.expect([second])
    model.generate([first])
    model.reset()
    second.document.pages[0].path.unlink()
    assert model.generate([second]).outputs[0].stop_reason == "error"


def test_what_was_chosen_is_on_the_record(qwen2: Path) -> None:
    def details(**options: Any) -> list[str]:
        info = QwenVL(resolve(str(qwen2), options=options)).load()
        return [
            info.details[key].replace(",", ":").split(":")[0] for key in ("engine", "page_reuse")
        ]

    assert details() == ["tree", "within a batch a page is opened"]
    assert details(engine="cascade") == ["cascade", "within a batch a page is opened"]
    assert details(engine="padded") == ["padded", "within a batch a page is opened"]
    assert details(reuse=False) == ["tree", "none"]
    assert details(reference=True) == ["reference", "none"]


def test_an_answer_can_say_which_tokens_it_consists_of(
    qwen2: Path, groups: list[PageGroup]
) -> None:
    def tokens(**options: Any) -> list[TokenChoice]:
        (output,) = load(qwen2, token_details=True, **options).generate(groups[:1]).outputs
        assert output.tokens is not None
        assert len(output.tokens) == output.generated_tokens
        probabilities = [math.exp(token.logprob) for token in output.tokens]
        assert sum(probabilities) / len(probabilities) == pytest.approx(output.confidence)
        return list(output.tokens)

    plain, tree = tokens(reference=True), tokens()
    assert [token.text for token in tree] == [token.text for token in plain]
    assert all(token.runner_up is None for token in tree)
    for token in plain:
        assert token.runner_up_logprob is not None
        assert token.runner_up_logprob <= token.logprob
    assert load(qwen2).generate(groups[:1]).outputs[0].tokens is None


def test_attention_that_cannot_be_a_tree_falls_back_to_padded_rows(
    qwen2: Path, groups: list[PageGroup]
) -> None:
    eager = QwenVL(resolve(str(qwen2), attention="eager"))
    assert "eager attention was asked for" in eager.load().details["engine"]
    compare(Reference(qwen2), eager, groups[:2])


def test_an_unknown_engine_is_refused(qwen2: Path) -> None:
    with pytest.raises(InvalidInput, match="tree, cascade or padded"):
        QwenVL(resolve(str(qwen2), options={"engine": "trees"}))


@pytest.mark.parametrize(
    ("option", "value"), [("reuse", "false"), ("reference", 1), ("cache_bytes", True)]
)
def test_an_option_of_another_kind_is_refused(option: str, value: object, qwen2: Path) -> None:
    with pytest.raises(InvalidInput, match=f"option {option} should be"):
        QwenVL(resolve(str(qwen2), options={option: value}))


@pytest.mark.parametrize("engine", ["tree", "cascade"])
def test_five_hundred_questions_about_a_page_are_asked_in_turns(
    engine: str, qwen2: Path, groups: list[PageGroup]
) -> None:
    model = load(qwen2, engine=engine)
    few = ["What is the total?", "date", "Кто продавец?", "发票号码"]
    group = make_group(groups[0].document, few * 125, max_new_tokens=6)
    outputs = model.generate([group]).outputs
    expected = load(qwen2, reference=True).generate([replace(group, requests=group.requests[:4])])
    assert [output.sample_id for output in outputs] == [r.sample_id for r in group.requests]
    assert [output.text for output in outputs] == [o.text for o in expected.outputs] * 125


@pytest.mark.parametrize("engine", ["tree", "cascade"])
def test_a_question_longer_than_a_row_goes_in_pieces(
    engine: str, reference: Reference, checkpoint: Path, groups: list[PageGroup]
) -> None:
    document = replace(groups[1].document, id="long")
    asked = ["What is the total?", "Кто продавец? " * 150, "date"]
    compare(reference, load(checkpoint, engine=engine), [make_group(document, asked)])


@pytest.mark.parametrize("engine", ["tree", "cascade", "padded"])
def test_documents_of_three_four_and_five_pages_of_extreme_shapes(
    engine: str, reference: Reference, checkpoint: Path, tmp_path: Path
) -> None:
    # The narrowest pages that the processor takes are 200 to 1.
    strange = [(1, 200), (200, 1), (10, 2000), (61, 83), (300, 200)]
    documents = [make_document(tmp_path, f"strange{count}", strange[:count]) for count in (3, 4, 5)]
    compare(
        reference,
        load(checkpoint, engine=engine),
        [make_group(document, ["What is the total?", "date"]) for document in documents],
    )


def test_a_document_without_questions_is_not_even_opened(
    qwen2: Path, groups: list[PageGroup], tmp_path: Path
) -> None:
    gone = make_document(tmp_path, "gone", [(100, 100)])
    gone.pages[0].path.unlink()
    model = load(qwen2)
    assert model.generate([make_group(gone, [])]).outputs == ()
    assert model.generate([]).outputs == ()
    mixed = model.generate([make_group(gone, []), groups[0]]).outputs
    assert mixed == model.generate(groups[:1]).outputs


@pytest.mark.parametrize(
    "options",
    [{}, {"engine": "cascade"}, {"engine": "padded"}, {"reference": True}],
    ids=str,
)
def test_an_answer_limit_of_nothing_gives_an_empty_answer(
    options: dict[str, Any], qwen2: Path, groups: list[PageGroup]
) -> None:
    output = (
        load(qwen2, **options)
        .generate([make_group(groups[0].document, ["What?"], max_new_tokens=0)])
        .outputs[0]
    )
    assert (output.text, output.stop_reason, output.generated_tokens) == ("", "length", 0)


def test_a_question_beyond_the_context_fails_alone(
    checkpoint: Path, groups: list[PageGroup]
) -> None:
    model = load(checkpoint)
    endless = make_group(groups[0].document, ["short", "x " * 40_000, "What is the total?"])
    outputs = model.generate([endless]).outputs
    assert [output.stop_reason == "error" for output in outputs] == [False, True, False]
    assert outputs[2].text == model.generate(groups[:1]).outputs[0].text


@pytest.mark.parametrize("engine", ["tree", "cascade", "padded"])
def test_what_is_not_a_number_stays_in_its_own_question(
    engine: str, qwen2: Path, groups: list[PageGroup]
) -> None:
    model = load(qwen2, engine=engine)
    document = groups[1].document
    asked = make_group(
        document, ["What is the date?", "发", "What is the total?"], max_new_tokens=2
    )
    before = model.generate([asked, groups[0]]).outputs
    poison(model, "发")
    after = model.generate([asked, groups[0]]).outputs
    assert "not finite in float32" in (after[1].error or "")
    sound = [0, 2, 3]
    assert texts([after[index] for index in sound]) == texts([before[index] for index in sound])


def poison(model: QwenVL, text: str) -> None:
    """Make the input embeddings of ``text`` something that is not a number."""
    assert model._parts is not None
    inner = model._parts.loaded.model
    embeddings = inner.get_input_embeddings()
    # The output head shares these weights; it keeps the sound ones.
    inner.lm_head.weight = torch.nn.Parameter(embeddings.weight.detach().clone(), False)
    for token in model._parts.processor.tokenizer.encode(text):
        embeddings.weight.data[token] = float("nan")


def test_equal_documents_with_other_system_messages_are_other_prefixes(
    qwen2: Path, groups: list[PageGroup]
) -> None:
    model = load(qwen2)
    plain, terse = (
        make_group(groups[0].document, system=system) for system in (None, "One word, in Russian.")
    )
    together = model.generate([plain, terse]).outputs
    alone = [*model.generate([plain]).outputs, *model.generate([terse]).outputs]
    assert texts(together) == texts(alone)
    assert texts(alone[:4]) != texts(alone[4:])


def texts(outputs: Sequence[Output]) -> list[str]:
    assert [output.error for output in outputs] == [None] * len(outputs)
    return [output.text for output in outputs]
