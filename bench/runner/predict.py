"""One question about some page images: what ``bench predict`` and ``run_predict.py`` both do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import EnvironmentProblem, InvalidInput
from bench.formatting import gib, plural, seconds
from bench.measure import Memory, MemoryMeter, free_gpu_memory
from bench.models import make_model
from bench.models.catalog import resolve
from bench.models.footprint import expected_memory
from bench.models.model import closing
from bench.paths import data_root
from bench.runner.instruments import measures_locally
from bench.runner.upright import upright_pages
from bench.schema import (
    Document,
    Generation,
    ModelInfo,
    ModelSpec,
    Output,
    Page,
    PageGroup,
    Request,
)
from bench.tasks.pages import read_pages
from bench.text import one_line

LARGE_MODEL = "qwen2-vl-7b"
SMALL_MODEL = "qwen2-vl-2b"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer to one question, and what it took."""

    question: str
    text: str
    model: ModelInfo
    pages: int
    turned_pages: int | None
    """Pages that were turned upright before the model saw them; None if none was to be turned."""
    output: Output
    """Token counts, stop reason and confidence."""
    load_seconds: float
    seconds: float
    """From page files to the answer's text; the model was loaded before and was not warmed up."""
    first_token_seconds: float | None
    """The part of ``seconds`` until the first token; None if the model has no tokens."""
    stages: Mapping[str, float]
    """The parts of ``seconds``, by stage."""
    memory: Memory | None
    """The peaks over loading and answering, in bytes; None if the model runs on another machine."""


def predict(
    images: Sequence[Path],
    question: str,
    model: ModelSpec,
    *,
    max_new_tokens: int = 256,
    upright: bool = False,
) -> Prediction:
    """Load ``model`` and ask it ``question`` about ``images`` (page images, TIFFs, PDFs), in order.

    With ``upright``, pages that lie sideways or upside down are turned first.

    Raises:
        InvalidInput: there is no page or no question, a file cannot be read, or the model gave no answer.
        EnvironmentProblem: weights, packages or the device are missing.
    """
    if not question.strip():
        raise InvalidInput("the question is empty", hint="--question 'Опиши документ.'")
    if max_new_tokens < 1:
        raise InvalidInput(f"max-new-tokens must be 1 or more, not {max_new_tokens}")
    for path in images:
        if not path.is_file():
            raise InvalidInput(
                f"there is no page file {one_line(path, 160)}",
                hint="name page images or PDFs that exist; write the question behind --question",
            )
    pages = tuple(page for path in images for page in read_pages(path))
    if not pages:
        raise InvalidInput("there is no page to ask about", hint="--image PAGE.png")
    if upright:
        pages = upright_pages(pages)
    backend = make_model(model)
    with MemoryMeter() as meter, closing(backend):
        start = time.perf_counter()
        info = backend.load()
        loaded = time.perf_counter()
        batch = backend.generate([_group(pages, question, max_new_tokens)])
        answered = time.perf_counter()
        memory = meter.reading() if measures_locally(model) else None
    output = batch.outputs[0]
    if output.error is not None:
        raise InvalidInput(f"{model.name} gave no answer: {output.error}")
    return Prediction(
        question=question,
        text=output.text,
        model=info,
        pages=len(pages),
        turned_pages=sum(page.turn != 0 for page in pages) if upright else None,
        output=output,
        load_seconds=loaded - start,
        seconds=answered - loaded,
        first_token_seconds=batch.first_token_seconds,
        stages=batch.stages,
        memory=memory,
    )


def default_model(device: str = "auto") -> str:
    """The larger Qwen2-VL where the GPU that ``device`` stands for has room for it, else the smaller one."""
    needed = expected_memory(resolve(LARGE_MODEL)) or 0
    return LARGE_MODEL if (free_gpu_memory(device) or 0) >= needed else SMALL_MODEL


def example_page() -> Path:
    """The page that is asked about where nobody names one; it lies in the checkout, or in the package.

    Raises:
        EnvironmentProblem: it is in neither place.
    """
    page = data_root() / "example_docs" / "1.png"
    if page.is_file():
        return page
    raise EnvironmentProblem("example_docs/1.png is missing", hint="name a page: --image PAGE.png")


def describe(prediction: Prediction) -> str:
    """What the prediction took, for a person: time, tokens and memory, without the answer itself."""
    lines = [_time(prediction), f"Load: {seconds(prediction.load_seconds)}"]
    output = prediction.output
    counts = {
        "prompt": output.prompt_tokens,
        "visual": output.visual_tokens,
        "generated": output.generated_tokens,
    }
    tokens = [f"{number} {kind}" for kind, number in counts.items() if number is not None]
    if tokens:
        cut = "; the answer is cut at the limit" if output.stop_reason == "length" else ""
        lines.append(f"Tokens: {', '.join(tokens)}{cut}")
    if output.confidence is not None:
        least = output.min_confidence
        unsure = "" if least is None else f", least sure token {least:.2f}"
        lines.append(f"Confidence: {output.confidence:.2f}{unsure}")
    if prediction.turned_pages is not None:
        of_all = f"{prediction.turned_pages} of {plural(prediction.pages, 'page')}"
        lines.append(f"Turned upright: {of_all}")
    if prediction.memory is not None:
        lines.append(_memory(prediction.memory))
    return "\n".join(lines)


def _time(prediction: Prediction) -> str:
    text = f"Time: {seconds(prediction.seconds)} for {plural(prediction.pages, 'page')}"
    if prediction.first_token_seconds is not None:
        text += f", first token after {seconds(prediction.first_token_seconds)}"
    stages = [f"{stage} {seconds(spent)}" for stage, spent in prediction.stages.items()]
    return f"{text} ({', '.join(stages)})" if stages else text


def _group(pages: tuple[Page, ...], question: str, max_new_tokens: int) -> PageGroup:
    return PageGroup(
        Document("pages", pages),
        (Request("question", question, question),),
        Generation(max_new_tokens=max_new_tokens),
    )


def _memory(memory: Memory) -> str:
    peaks = {
        "allocated": memory.peak_allocated,
        "reserved": memory.peak_reserved,
        "by the driver's count": memory.peak_process,
    }
    parts = [f"{gib(size)} GiB {kind}" for kind, size in peaks.items() if size is not None]
    if parts:
        return f"GPU memory, peak: {', '.join(parts)}"
    return f"Memory, peak: {gib(memory.peak_rss)} GiB in the process (no GPU was used)"
