"""Checkpoints of other families than Qwen-VL, answered by plain ``generate``."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.errors import EnvironmentProblem, InvalidInput, OutOfMemory  # noqa: E402
from bench.models import make_model  # noqa: E402
from bench.models.catalog import resolve  # noqa: E402
from bench.models.transformers import AnyVisionModel  # noqa: E402
from bench.models.transformers.checks import checked_rows, record_check  # noqa: E402
from bench.models.transformers.known import loadable_types  # noqa: E402
from bench.schema import ModelInfo, ModelSpec, Output, PageGroup  # noqa: E402
from tests.tiny_qwen import edit_json, make_document, make_group, one_thread  # noqa: E402
from workshop.tiny_families import write_tiny_family  # noqa: E402

FAMILIES = (
    "qwen3_5",
    "paddleocr_vl",
    "glm_ocr",
    "lighton_ocr",
    "granite_docling",
    "internvl",
    "idefics3",
    "gemma3",
    "gemma4",
    "minicpmv4_6",
    "llava",
)
"""Of the types in ``workshop.tiny_families`` those that need no package beside the extra hf."""

QUESTIONS = ("What is the total?", "Seller?")

pytestmark = [
    # Said by libraries among themselves.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
]

_threads = pytest.fixture(scope="module", autouse=True)(one_thread)


class Loaded:
    """A tiny checkpoint, and what loading it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec: ModelSpec = resolve(str(folder))
        self.model: AnyVisionModel = loaded_model(self.spec)[0]
        self.info: ModelInfo = loaded_model(self.spec)[1]


def loaded_model(spec: ModelSpec) -> tuple[AnyVisionModel, ModelInfo]:
    model = make_model(spec)
    assert isinstance(model, AnyVisionModel)
    return model, model.load()


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> list[PageGroup]:
    folder = tmp_path_factory.mktemp("pages")
    documents = [
        make_document(folder, "wide", [(160, 110)]),
        make_document(folder, "two-pages", [(90, 130), (120, 80)]),
    ]
    return [make_group(document, QUESTIONS, max_new_tokens=6) for document in documents]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Type → the folder of its tiny checkpoint, written when it is first asked for."""
    folder = tmp_path_factory.mktemp("families")
    made: dict[str, Path] = {}

    def write(model_type: str) -> Path:
        if model_type not in made:
            made[model_type] = write_tiny_family(folder / model_type, model_type)
        return made[model_type]

    return write


@pytest.fixture(scope="module")
def llava(written: Any) -> Loaded:
    return Loaded(written("llava"))


@pytest.fixture
def copied(written: Any, tmp_path: Path) -> Any:
    """A copy of a tiny checkpoint, to be spoilt."""

    def copy(model_type: str = "llava") -> Path:
        return Path(shutil.copytree(written(model_type), tmp_path / model_type))

    return copy


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Results of batch checks belong to one test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield


def refusal(folder: Path | str, **overrides: Any) -> str:
    """What is said about a checkpoint that is named and loaded."""
    with pytest.raises((InvalidInput, EnvironmentProblem)) as caught:
        loaded_model(resolve(str(folder), **overrides))
    assert "\n" not in caught.value.message
    return f"{caught.value.message}; {caught.value.hint}"


def bare(output: Output) -> Output:
    return replace(output, confidence=None, min_confidence=None)


def test_the_types_are_those_that_transformers_maps() -> None:
    from transformers.models.auto import modeling_auto

    names: Any = modeling_auto
    assert loadable_types() == set(names.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_family_loads_and_answers_alike_alone_and_in_padded_rows(
    model_type: str, written: Any, groups: list[PageGroup]
) -> None:
    model, info = loaded_model(resolve(str(written(model_type))))
    assert info.details["model_type"] == model_type
    assert info.details["batch_size"] == 1
    assert info.parameters
    # In fp32, with a few buffers.
    assert 4 * info.parameters <= info.details["weight_bytes"] < 5 * info.parameters
    check = model.check_batches(groups, 3)
    assert check.passed
    alone, together = check.single.outputs, check.padded.outputs
    assert [bare(output) for output in together] == [bare(output) for output in alone]
    assert [o.confidence for o in together] == pytest.approx(
        [o.confidence for o in alone], rel=1e-3
    )
    for output in alone:
        assert output.error is None
        assert output.visual_tokens and output.prompt_tokens
        assert output.prompt_tokens > output.visual_tokens
        assert 0 < (output.min_confidence or 0) <= (output.confidence or 0) <= 1
    # The second document has two pages.
    assert alone[2].visual_tokens != alone[0].visual_tokens
    assert check.single.first_token_seconds


@pytest.mark.parametrize("model_type", ["llava", "lighton_ocr"])
def test_the_answers_are_those_of_plain_transformers(
    model_type: str, written: Any, groups: list[PageGroup]
) -> None:
    import transformers

    from bench.tasks.pages import open_page

    folder = written(model_type)
    model, _ = loaded_model(resolve(str(folder)))
    auto: Any = transformers
    processor = auto.AutoProcessor.from_pretrained(folder)
    plain = auto.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    outputs = iter(model.generate(groups).outputs)
    for group in groups:
        pages = [{"type": "image", "image": open_page(p)} for p in group.document.pages]
        for request in group.requests:
            content = [*pages, {"type": "text", "text": request.prompt}]
            batch = processor.apply_chat_template(
                [{"role": "user", "content": content}],
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                add_generation_prompt=True,
            )
            ids = plain.generate(**batch, max_new_tokens=6, do_sample=False)[0]
            answer = ids[batch["input_ids"].shape[1] :]
            output = next(outputs)
            assert output.text == processor.decode(answer, skip_special_tokens=True)
            assert output.generated_tokens == len(answer)


def test_the_bundled_model_answers_as_by_its_own_engine(
    groups: list[PageGroup], tmp_path: Path
) -> None:
    table = '[models.plain]\nmodel = "qwen2-vl-nano"\nbackend = "transformers"\n'
    (tmp_path / "bench.toml").write_text(table, encoding="utf-8")
    plain, _ = loaded_model(resolve("plain", bench_toml=tmp_path / "bench.toml"))
    own = make_model(resolve("qwen2-vl-nano"))
    own.load()
    expected, answers = own.generate(groups).outputs, plain.generate(groups).outputs
    assert [bare(output) for output in answers] == [bare(output) for output in expected]
    assert [o.confidence for o in answers] == pytest.approx(
        [o.confidence for o in expected], abs=1e-5
    )


@pytest.mark.parametrize(
    ("model_type", "max_pixels", "least_step"),
    [
        ("qwen3_5", 6 * 28 * 28, 1),
        ("glm_ocr", 6 * 28 * 28, 1),
        ("lighton_ocr", 84 * 84, 1),
        ("idefics3", 56 * 56, 56 * 56),
        ("internvl", 2 * 56 * 56, 56 * 56),
        ("granite_docling", 56 * 56, 56 * 56),
        ("minicpmv4_6", 112 * 112, 112 * 112),
        ("gemma4", 70 * 12 * 12, 12 * 12),
    ],
)
def test_a_bound_in_pixels_is_followed_in_the_familys_own_unit(
    model_type: str, max_pixels: int, least_step: int, written: Any, tmp_path: Path
) -> None:
    document = make_document(tmp_path, "page", [(300, 200)])
    own, bounded = (
        visual_tokens(resolve(str(written(model_type)), max_pixels=bound), document)
        for bound in (None, max_pixels)
    )
    assert bounded < own
    if model_type in {"qwen3_5", "glm_ocr"}:
        assert bounded * 28 * 28 <= max_pixels
    if least_step > 1:
        assert "smallest page" in refusal(written(model_type), max_pixels=least_step - 1)


def visual_tokens(spec: ModelSpec, document: Any) -> int:
    """Of one question about ``document``, by the processor alone."""
    from bench.models.transformers.loading import read_config
    from bench.models.transformers.processor import Asked, PageProcessor
    from bench.tasks.pages import open_page

    folder = Path(spec.checkpoint or "")
    processor = PageProcessor(spec, folder, folder, read_config(folder, folder))
    pages = [open_page(page) for page in document.pages]
    ids = processor.rows([Asked(pages, "?", None)])["input_ids"][0].tolist()
    return processor.visual_tokens(ids, len(pages)) or 0


def test_bounds_that_a_processor_does_not_have_are_refused(written: Any) -> None:
    assert "has no bound" in refusal(written("llava"), max_pixels=50_000)
    assert "has no bound" in refusal(written("gemma3"), min_pixels=50_000)
    assert "upper bound only" in refusal(written("lighton_ocr"), min_pixels=50_000)
    assert "is above max_pixels" in refusal(written("qwen3_5"), min_pixels=50_000)


def test_pages_become_smaller_where_memory_asks_for_it(
    written: Any, llava: Loaded, groups: list[PageGroup]
) -> None:
    model, _ = loaded_model(resolve(str(written("qwen3_5"))))
    smaller = [replace(group, max_pixels=4 * 28 * 28) for group in groups]
    for whole, shrunk in zip(
        model.generate(groups).outputs, model.generate(smaller).outputs, strict=True
    ):
        assert 0 < (shrunk.visual_tokens or 0) < (whole.visual_tokens or 0)
    with pytest.raises(OutOfMemory):
        llava.model.generate(smaller)


def test_running_out_of_memory_is_told_to_the_runner(
    llava: Loaded, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    from bench.models.transformers.generating import Generator

    monkeypatch.setattr(Generator, "answer", too_much)
    with pytest.raises(OutOfMemory) as caught:
        llava.model.generate(groups)
    assert "Tried to allocate 9 GiB" in caught.value.message


def test_a_page_that_cannot_be_read_fails_alone(
    llava: Loaded, groups: list[PageGroup], tmp_path: Path
) -> None:
    gone = make_document(tmp_path, "gone", [(60, 60)])
    gone.pages[0].path.unlink()
    outputs = llava.model.generate([make_group(gone, QUESTIONS), *groups]).outputs
    assert [output.error is None for output in outputs] == [False] * 2 + [True] * 4


def test_what_a_checkpoint_says_of_decoding_is_followed_except_for_sampling(
    copied: Any, groups: list[PageGroup]
) -> None:
    folder = copied("lighton_ocr")
    plain, _ = loaded_model(resolve(str(folder)))
    wild = {"temperature": 9.0, "num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 1}
    edit_json(folder / "generation_config.json", do_sample=True, **wild)
    sampling, info = loaded_model(resolve(str(folder)))
    texts = [output.text for output in plain.generate(groups).outputs]
    assert [output.text for output in sampling.generate(groups).outputs] == texts
    assert info.details["generation_config_ignored"] == {"do_sample": True, **wild}
    edit_json(folder / "generation_config.json", no_repeat_ngram_size=1, **dict.fromkeys(wild))
    strict, info = loaded_model(resolve(str(folder)))
    assert info.details["generation_config_followed"] == {"no_repeat_ngram_size": 1}
    assert [output.text for output in strict.generate(groups).outputs] != texts


def test_a_prompt_longer_than_the_context_fails_alone(
    llava: Loaded, groups: list[PageGroup]
) -> None:
    long = make_group(groups[0].document, ("Why? " * 2000, "Why?"), max_new_tokens=4)
    for rows in (1, 2):
        first, second = llava.model.generate_rows([long], rows).outputs
        assert "more than the model's context of 4096" in (first.error or "")
        assert second.error is None


def test_a_question_that_spells_a_control_token_gives_none(
    llava: Loaded, groups: list[PageGroup]
) -> None:
    spelled = make_group(groups[0].document, ("<image> <|im_end|>?",), max_new_tokens=4)
    (output,) = llava.model.generate([spelled]).outputs
    plain = make_group(groups[0].document, ("?",), max_new_tokens=4)
    (expected,) = llava.model.generate([plain]).outputs
    assert output.error is None
    assert output.visual_tokens == expected.visual_tokens
    assert (output.prompt_tokens or 0) > (expected.prompt_tokens or 0) + 10


def test_rows_are_padded_only_after_a_check_has_passed(
    llava: Loaded, groups: list[PageGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    answer = AnyVisionModel._answer

    def spy(self: Any, parts: Any, chunk: Any, clock: Any) -> Any:
        sizes.append(len(chunk))
        return answer(self, parts, chunk, clock)

    monkeypatch.setattr(AnyVisionModel, "_answer", spy)
    llava.model.generate(groups)
    assert sizes == [1, 1, 1, 1]
    check = llava.model.check_batches(groups, 3)
    wrong = replace(check.padded.outputs[0], text="another answer")
    failed = check._replace(
        padded=replace(check.padded, outputs=(wrong, *check.padded.outputs[1:]))
    )
    counts = {"rows": 3, "questions": 4}
    record_check(check.circumstances, **counts, differing=1, passed=failed.passed)
    assert [pair[1].text for pair in failed.differing] == ["another answer"]
    assert checked_rows(check.circumstances) == 1
    record_check(check.circumstances, **counts, differing=0, passed=check.passed)
    sizes.clear()
    llava.model.generate(groups)
    assert sizes == [3, 1]
    other = check.circumstances._replace(transformers="4.0")
    assert checked_rows(other) == 1


def test_a_batch_size_that_is_not_followed_is_warned_of(llava: Loaded) -> None:
    from bench.runner.worker import _unpadded

    assert "one by one" in (_unpadded(llava.spec, llava.info, 8) or "")
    assert _unpadded(llava.spec, llava.info, None) is None
    checked = replace(llava.info, details={**llava.info.details, "padded_rows": 8})
    assert _unpadded(llava.spec, checked, 8) is None
    warning = _unpadded(replace(llava.spec, dtype="bf16"), checked, 16) or ""
    assert "at most 8 at a time" in warning
    command = f"bench check {llava.folder} --against one-by-one --batch-size 16 --dtype bf16"
    assert command in warning


def test_what_was_not_followed_is_on_the_record(llava: Loaded) -> None:
    details = llava.info.details
    assert details["generation_config_ignored"] == {"do_sample": True, "temperature": 0.7}
    assert details["padded_batches"].startswith("none: ")
    assert details["pixel_bounds"] == "none that could be set"


def test_weights_that_are_left_over_are_named_and_missing_ones_refused(copied: Any) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied()
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "head.extra": torch.ones(2)}, folder / "model.safetensors")
    _, info = loaded_model(resolve(str(folder)))
    assert "1 of the checkpoint's weights are not used" in info.details["warnings"][0]
    weights.pop(sorted(weights)[0])
    save_file(weights, folder / "model.safetensors")
    assert "1 weight is missing" in refusal(folder)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "dots_ocr", "auto_map": {"AutoConfig": "a.B"}}, "needs code that comes"),
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, "reads text only"),
        ({"model_type": "not_yet"}, "knows no model of images and text"),
        ({"model_type": 7}, "model_type should be a text"),
    ],
)
def test_a_type_that_cannot_be_loaded_is_named(
    config: dict[str, Any], said: str, copied: Any
) -> None:
    folder = copied()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert said in refusal(folder)


def test_a_known_type_that_brings_code_runs_without_it(copied: Any) -> None:
    folder = copied()
    for name, key in (
        ("config.json", "AutoModelForImageTextToText"),
        ("preprocessor_config.json", "AutoImageProcessor"),
        ("processor_config.json", "AutoProcessor"),
        ("tokenizer_config.json", "AutoTokenizer"),
    ):
        edit_json(folder / name, auto_map={key: "evil.Evil"})
    (folder / "evil.py").write_text("raise SystemExit('the code was run')", encoding="utf-8")
    _, info = loaded_model(resolve(str(folder)))
    assert info.details["architecture"] == "LlavaForConditionalGeneration"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "preprocessor_config.json").unlink(), "has no preprocessor_config.json"),
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda f: edit_json(f / "preprocessor_config.json", size="big"), "no usable processor"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json"),
        (lambda f: (f / "chat_template.jinja").unlink(), "no chat template"),
        (lambda f: (f / "chat_template.jinja").write_text("{{ 1 / 0 }}"), "chat template"),
        (lambda f: (f / "chat_template.jinja").write_text("hello"), "chat template"),
        (lambda f: edit_json(f / "processor_config.json", processor_class="Nobody"), "Nobody"),
        (
            lambda f: edit_json(f / "processor_config.json", processor_class="AutoModel"),
            "AutoModel",
        ),
        (lambda f: edit_json(f / "processor_config.json", patch_size="wide"), "processor"),
        (lambda f: edit_json(f / "config.json", text_config=7), "config.json cannot be used"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "pickled ones"),
        (lambda f: (f / "model.safetensors").unlink(), "no weights"),
        (lambda f: (f / "model.safetensors").write_bytes(b"junk"), "safetensors"),
        (
            lambda f: edit_json(f / "config.json", quantization_config={"quant_method": "awq"}),
            "awq",
        ),
    ],
)
def test_a_spoilt_checkpoint_gets_one_clear_line(spoil: Any, said: str, copied: Any) -> None:
    folder = copied()
    spoil(folder)
    assert said in refusal(folder)


def test_a_configuration_larger_than_its_weights_reserves_no_memory(copied: Any) -> None:
    folder = copied()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    edit_json(folder / "config.json", text_config={**config["text_config"], "hidden_size": 2**16})
    assert "but the weight files hold" in refusal(folder)


def test_a_missing_package_is_named_with_the_extra_that_installs_it(written: Any) -> None:
    if importlib.util.find_spec("torchvision"):
        pytest.skip("torchvision is installed")
    said = refusal(written("mistral3"))
    assert "torchvision" in said and "docvlm-bench[torchvision]" in said


def test_an_adapter_is_put_on_the_checkpoint(
    written: Any, groups: list[PageGroup], tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    import transformers

    auto: Any = transformers.AutoModelForImageTextToText
    model = auto.from_pretrained(written("lighton_ocr"))
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    peft.get_peft_model(model, lora).save_pretrained(tmp_path / "adapter")
    edit_json(
        tmp_path / "adapter" / "adapter_config.json",
        base_model_name_or_path=str(written("lighton_ocr")),
    )
    plain, _ = loaded_model(resolve(str(written("lighton_ocr"))))
    tuned, info = loaded_model(resolve(str(tmp_path / "adapter")))
    assert info.details["adapter_merged"] is True
    assert [o.text for o in tuned.generate(groups).outputs] != [
        o.text for o in plain.generate(groups).outputs
    ]
    edit_json(
        tmp_path / "adapter" / "adapter_config.json",
        base_model_name_or_path=str(written("llava")),
    )
    assert "does not fit" in refusal(tmp_path / "adapter")


def test_what_cannot_be_planned_is_said_with_the_weights(written: Any, groups: Any) -> None:
    from bench.runner.forecast import forecast

    with pytest.raises(InvalidInput, match="its weights alone take"):
        forecast(resolve(str(written("llava"))), groups, memory=2**34, batch_size=4)
