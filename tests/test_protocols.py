"""Protocols: what each sets, what wins over it, and what a run says about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bench.asking.protocols import NATIVE, apply, get_protocol, protocols
from bench.errors import InvalidInput
from bench.metrics import METRICS
from bench.runner import RunSettings, execute, plan_run
from bench.runner.batches import page_groups
from bench.schema import ModelSpec, Task
from bench.scoring.evaluation import evaluate
from bench.tasks import load_task
from bench.tasks.images import reencoded
from tests.conftest import MakeTask

QWEN = ModelSpec("qwen2-vl-2b", "qwen_vl", "Qwen/Qwen2-VL-2B-Instruct")
FAKE = ModelSpec("fake", "fake", options={"default": "Answer: value 1\n\nBecause."})
DOCVQA = 'name = "docvqa"\nmetrics = ["anls", "exact_match"]\n'


@pytest.fixture
def docvqa(make_task: MakeTask) -> Task:
    return load_task(make_task(toml=DOCVQA, name="docvqa"))


@pytest.mark.parametrize("name", protocols())
def test_every_protocol_says_where_it_is_from(name: str) -> None:
    protocol = get_protocol(name)
    assert protocol.title
    assert protocol.source
    assert all(metric in METRICS for metric in protocol.headline)


def test_native_changes_nothing(docvqa: Task) -> None:
    made = apply(NATIVE, [QWEN], [docvqa])
    assert made == ((QWEN,), (docvqa,), None)


def test_an_unknown_protocol_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidInput) as caught:
        get_protocol("lmms_eval")
    assert "lmms-eval" in (caught.value.hint or "")


def test_vlmevalkit_enlarges_pages_and_asks_for_short_words(docvqa: Task) -> None:
    (model,), (task,), record = apply("vlmevalkit", [QWEN], [docvqa])
    assert (model.min_pixels, model.max_pixels) == (1280 * 28**2, 16384 * 28**2)
    assert task.prompt.render("Q") == (
        "Q\nPlease try to answer the question with short words or phrases if possible."
    )
    assert task.generation.max_new_tokens == 2048
    assert task.metrics == ("anls_normalized", "exact_match", "anls")
    assert record is not None
    assert record["answer"] == "raw"


def test_lmms_eval_shrinks_reencodes_and_cuts_at_a_blank_line(docvqa: Task) -> None:
    (model,), (task,), record = apply("lmms-eval", [QWEN], [docvqa])
    assert (model.min_pixels, model.max_pixels) == (4 * 28**2, 768 * 28**2)
    assert model.options["jpeg_quality"] == 85
    assert task.prompt.render("Q") == "Q\nAnswer the question using a single word or phrase."
    assert task.prompt.system == "You are a helpful assistant."
    assert (task.generation.max_new_tokens, task.generation.stop) == (32, ("\n\n",))
    assert task.metrics[0] == "anls"
    assert record is not None
    assert record["models"]["qwen2-vl-2b"]["jpeg_quality"] == 85


def test_lmms_eval_has_other_bounds_for_qwen_2_5() -> None:
    spec = ModelSpec("mine", "qwen_vl", "Qwen/Qwen2.5-VL-7B-Instruct")
    assert apply("lmms-eval", [spec], []).models[0].max_pixels == 1_605_632


def test_vlmhyperbench_leads_with_raw_error_rates(docvqa: Task) -> None:
    (model,), (task,), _ = apply("vlmhyperbench", [QWEN], [docvqa])
    assert (model.min_pixels, model.max_pixels) == (256 * 28**2, 1536 * 28**2)
    assert task.metrics[:2] == ("cer", "wer")
    assert task.prompt.render("Напиши Фамилия") == "Напиши Фамилия"


def test_models_without_pixel_bounds_are_left_alone(docvqa: Task) -> None:
    assert apply("lmms-eval", [FAKE], [docvqa]).models == (FAKE,)


def test_what_a_person_asks_for_wins_and_is_a_deviation(docvqa: Task) -> None:
    spec = replace(QWEN, max_pixels=501_760)
    made = apply("lmms-eval", [spec], [docvqa], max_new_tokens=8, collection="mine.csv")
    assert made.models[0].max_pixels == 501_760
    assert made.record is not None
    assert len(made.record["deviations"]) == 3
    assert "max_pixels is 501760; the protocol sets 602112" in made.record["deviations"][2]


def test_a_task_that_the_protocol_does_not_know_is_told(make_task: MakeTask) -> None:
    own = load_task(make_task())
    record = apply("lmms-eval", [FAKE], [own]).record
    assert record is not None
    assert record["deviations"] == [
        "It is not known how lmms-eval asks mine, so its general settings are used."
    ]


def test_a_protocol_that_asks_all_tasks_alike_knows_every_task(make_task: MakeTask) -> None:
    record = apply("vlmhyperbench", [FAKE], [load_task(make_task())]).record
    assert record is not None
    assert record["deviations"] == []


def test_tasks_with_different_bounds_are_to_be_run_apart(docvqa: Task) -> None:
    with pytest.raises(InvalidInput, match="docvqa and ocrbench differently"):
        apply("vlmevalkit", [QWEN], [docvqa, replace(docvqa, name="ocrbench")])


def test_structured_tasks_keep_their_own_prompt(make_task: MakeTask) -> None:
    rows = [{"id": "1", "images": ["p0.png"], "question": "All?", "answers": [{"a": "b"}]}]
    task = load_task(make_task(rows, toml='answer_type = "json"'))
    asked = apply("vlmevalkit", [FAKE], [task]).tasks[0]
    assert asked.prompt == task.prompt
    assert "anls_star" in asked.metrics


def test_another_protocol_is_another_task_by_digest(docvqa: Task) -> None:
    digests = {apply(name, [FAKE], [docvqa]).tasks[0].digest for name in protocols()}
    assert len(digests) == len(protocols())


def test_a_run_records_its_protocol_and_scores_by_it(docvqa: Task, tmp_path: Path) -> None:
    scored = {}
    for name in ("native", "lmms-eval", "vlmevalkit"):
        models, tasks, record = apply(name, [FAKE], [docvqa])
        plan = plan_run(models, tasks, RunSettings(protocol=record, latency_samples=0))
        run = execute(plan, tmp_path / name).run
        assert run.record["protocol"]["name"] == name
        scored[name] = evaluate(run).cells["fake", "docvqa"].answers[0].extracted
    assert scored["native"].startswith("value 1")
    assert scored["lmms-eval"] == "Answer: value 1\n\nBecause."
    assert scored["vlmevalkit"] == "Answer: value 1\n\nBecause."


def test_the_protocols_prompt_reaches_the_model(docvqa: Task) -> None:
    task = apply("vlmevalkit", [FAKE], [docvqa]).tasks[0]
    assert page_groups(task)[0].requests[0].prompt.endswith("phrases if possible.")


def test_reencoding_changes_pixels_but_not_the_size() -> None:
    image = Image.effect_noise((64, 48), 80).convert("RGB")
    again = reencoded(image, 85)
    assert again.size == image.size
    assert again.mode == "RGB"
    assert again.tobytes() != image.tobytes()
    assert again.tobytes() == reencoded(image, 85).tobytes()


def test_the_qwen_backend_reencodes_pages_where_it_is_asked_to(tmp_path: Path) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    from bench.models.qwen_vl.pixels import PageReader
    from bench.tasks.pages import read_pages

    Image.effect_noise((84, 56), 80).save(tmp_path / "p.png")
    page = read_pages(tmp_path / "p.png")[0]
    plain = PageReader(Qwen2VLImageProcessorPil()).read(page)
    detour = PageReader(Qwen2VLImageProcessorPil(), jpeg_quality=85).read(page)
    assert plain.patches.shape == detour.patches.shape
    assert not plain.patches.equal(detour.patches)


def test_the_page_about_protocols_names_each_with_its_numbers() -> None:
    page = (Path(__file__).parent.parent / "docs" / "protocols.md").read_text(encoding="utf-8")
    for name, protocol in protocols().items():
        assert f"`{name}`" in page
        if protocol.max_pixels is not None:
            assert str(protocol.max_pixels // 28**2) in page
            assert str(protocol.max_new_tokens) in page
