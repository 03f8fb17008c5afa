"""Run directories for tests, made without any model but through ``bench.rundir.store``'s own functions.

``make_run`` writes a plausible run: models of different skill and speed, three tasks in three languages,
page previews, batches and single-stream latencies. Everything follows from the seed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.files import write_bytes_atomically, write_json
from bench.rundir.store import RunStore
from bench.schema import Document, Generation, ModelSpec, Output, Page, PromptTemplate, Sample, Task
from bench.tasks.loading import task_digest
from bench.tasks.previews import preview_path
from bench.text import utc_now

HOSTILE = (
    "</script><img src=x onerror=\"document.documentElement.dataset.pwned='1'\">",
    "\x1b[31mred\x1b[0m \x07bell \x00nul \x9b2J",
    "abc\u202egnp.exe \u2066isolated\u2069 \u200fmark",
    "<!--<script>alert(1)</script>",
    "{{ 7*7 }} {% raw %} ${7*7} `x`",
    '=HYPERLINK("http://example.org")',
    "line\u2028separator\u2029paragraph",
    "lone surrogate \ud800 end",
    "| a | b |\n|---|---|\n# heading @someone http://example.org",
)
"""Texts that broke somebody's report once."""


@dataclass(frozen=True)
class FixtureModel:
    """How a pretended model behaves."""

    name: str
    skill: float = 0.8
    """Probability of a right answer."""
    seconds: float = 0.5
    """Per question."""
    memory: int = 6 * 2**30
    error_rate: float = 0.0
    gpu: bool = True
    parameters: int | None = 2_208_985_600
    asked: float = 1.0
    """Share of the questions asked before the run broke off."""
    load_failure: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """Added to what model.json says was loaded."""
    wrap: str = ""
    """Put around right answers: ``Answer: {}`` is taken off when the answer is extracted."""
    watched: bool = False
    """Whether it was measured as finely as today's runs are: stages, first token, warm, energy, monitor."""
    misformat: float = 0.0
    """Share of the right answers that are written in another format."""


_OCR_DETAILS = {
    "engine": "rapidocr 3.4",
    "warnings": ["no reader for Cyrillic: Russian pages will be misread"],
}

MODELS = (
    FixtureModel("qwen2-vl-7b", 0.8, 0.84, 17 * 2**30, parameters=8_291_375_616, misformat=0.1),
    FixtureModel("qwen2-vl-2b", 0.62, 0.41, 6 * 2**30, error_rate=0.01, misformat=0.1),
    FixtureModel("qwen2-vl-2b-int4", 0.6, 0.48, 3 * 2**30, wrap="Answer: {}"),
    FixtureModel("ocr", 0.42, 0.22, 900 * 2**20, gpu=False, parameters=None, details=_OCR_DETAILS),
)

_FIELDS = {
    "ru": ("Итого к оплате?", "Номер счёта?", "ИНН продавца?", "Дата?"),
    "en": (
        "What is the total amount due?",
        "What is the invoice number?",
        "Who is the seller?",
        "Date?",
    ),
    "zh": ("价税合计是多少？", "发票号码是什么？", "销售方名称？", "开票日期？"),
}
_ANSWERS = {
    "ru": ("128 450,00", "№ 1045", "7707083893", "12 марта 2024 г."),
    "en": ("$1,284.50", "INV-20417", "Northwind Traders Ltd", "March 12, 2024"),
    "zh": ("¥12,845.00", "04403190", "深圳市腾讯计算机系统有限公司", "2024年03月12日"),
}
_FIELD_NAMES = ("total", "number", "seller", "date")


def make_tasks(
    documents: int = 6, questions: int = 4, languages: Sequence[str] = ("ru", "en", "zh")
) -> list[Task]:
    """A task a language: every document has one page and ``questions`` questions."""
    return [_task(language, documents, questions) for language in languages]


def _task(language: str, documents: int, questions: int) -> Task:
    found: dict[str, Document] = {}
    samples = []
    for d in range(documents):
        document_id = f"{language}-{d:02}"
        pages = tuple(
            Page(
                Path(f"/documents/{document_id}.png"),
                i,
                800,
                1130,
                hashlib.sha256(f"{document_id}".encode()).hexdigest(),
            )
            for i in range(2 if d == 1 else 1)
        )
        found[document_id] = Document(document_id, pages)
        for q in range(questions):
            reference = _reference(_ANSWERS[language][q % 4], d)
            samples.append(
                Sample(
                    f"{document_id}/q{q}",
                    document_id,
                    _FIELDS[language][q % 4],
                    (reference,),
                    "text",
                    {
                        "language": language,
                        "doc_type": "invoice" if d % 2 == 0 else "receipt",
                        "field": _FIELD_NAMES[q % 4],
                    },
                )
            )
    task = Task(
        name=f"invoices-{language}",
        version="1",
        title=f"Invoice fields, {language}",
        documents=found,
        samples=tuple(samples),
        metrics=("anls", "exact_match", "fuzzy_ratio"),
        prompt=PromptTemplate("{question}\nAnswer with the value only."),
        generation=Generation(64),
        source="synthetic",
        license="CC0-1.0",
    )
    return dataclasses.replace(task, digest=task_digest(task))


def _reference(answer: str, number: int) -> str:
    """The answer of the first document, changed for document ``number`` but of the same type."""
    if number == 0:
        return answer
    digit = re.search(r"[2-9]", answer)
    if digit is None:
        return f"{answer} ({number})"
    return f"{answer[: digit.start()]}{number}{answer[digit.end() :]}"


def make_run(
    results: Path,
    models: Sequence[FixtureModel] = MODELS,
    tasks: Sequence[Task] | None = None,
    *,
    name: str = "demo",
    seed: int = 7,
    hostile: bool = False,
    previews: bool = True,
    record: Mapping[str, Any] | None = None,
) -> RunStore:
    """A run directory under ``results``.

    Args:
        results: the folder of runs.
        models: how each pretended model behaves.
        tasks: what was asked; None: ``make_tasks()``.
        name: the run's name.
        seed: of every choice.
        hostile: answers, questions and errors hold ``HOSTILE`` texts and one of a megabyte.
        previews: draw page previews.
        record: replaces entries of run.json.
    """
    tasks = make_tasks() if tasks is None else tasks
    if hostile:
        tasks = [_hostile_task(task) for task in tasks]
    full = {**_run_record(name, models, tasks), **(record or {})}
    # What is written on the documents is known of the first task alone.
    texts = {tasks[0].name: {d: _page_text(tasks[0], d) for d in tasks[0].documents}}
    run = RunStore.create(results, name, full, tasks, texts)
    for model in models:
        _write_model(run, model, tasks, random.Random(f"{seed} {model.name}"), hostile)
    if previews:
        for task in tasks:
            for document in task.documents.values():
                for page in document.pages:
                    write_bytes_atomically(preview_path(run.path, page), _draw(page, document.id))
    return run


def _page_text(task: Task, document: str) -> str:
    own = (s for s in task.samples if s.document_id == document)
    return "\n".join(f"{s.question} {s.references[0]}" for s in own)


def _hostile_task(task: Task) -> Task:
    samples = []
    for i, sample in enumerate(task.samples):
        text = HOSTILE[i % len(HOSTILE)]
        samples.append(
            dataclasses.replace(
                sample,
                id=f"{sample.id}'\"<&>#{i}",
                question=f"{sample.question} {text}",
                references=(text, *sample.references),
                metadata={**sample.metadata, "field": text[:24]},
            )
        )
    return dataclasses.replace(task, samples=tuple(samples), title=f"{task.title} {HOSTILE[0]}")


def _run_record(name: str, models: Sequence[FixtureModel], tasks: Sequence[Task]) -> dict[str, Any]:
    gpu = any(model.gpu for model in models)
    return {
        "name": name,
        "spec_id": hashlib.sha256(name.encode()).hexdigest(),
        "started": "2026-03-12T09:30:00Z",
        "command": ["bench", "run", "--models", ",".join(m.name for m in models), "--tasks", "all"],
        "labels": {"purpose": "fixture"},
        "spec": {"settings": {"limit": None, "sample_ids": None, "batch_size": 8, "seed": 0}},
        "models": [
            {
                "folder": model.name,
                "spec": dataclasses.asdict(
                    ModelSpec(
                        model.name,
                        "qwen_vl" if model.gpu else "ocr",
                        f"Qwen/{model.name}" if model.gpu else None,
                        revision="895c3a49bc3fa70a340399125c650a463535e71c" if model.gpu else None,
                        quantization="gptq-int4" if "int4" in model.name else None,
                    )
                ),
            }
            for model in models
        ],
        "tasks": [
            {
                **{
                    key: getattr(task, key)
                    for key in (
                        "name",
                        "version",
                        "title",
                        "digest",
                        "source",
                        "license",
                        "citation",
                    )
                },
                "metrics": list(task.metrics),
                "prompt": dataclasses.asdict(task.prompt),
                "generation": dataclasses.asdict(task.generation),
                "samples": len(task.samples),
                "documents": len(task.documents),
                "pages": sum(len(d.pages) for d in task.documents.values()),
                **_perturbation(task),
            }
            for task in tasks
        ],
        "environment": {
            "bench": "0.1.0",
            "python": "3.11.9",
            "platform": "Linux-6.1-x86_64",
            "cpu": "AMD EPYC 9354",
            "cores": 16,
            "memory_bytes": 128 * 2**30,
            "gpus": [{"name": "NVIDIA L4", "memory_bytes": 23034 * 2**20, "driver": "550.90.07"}]
            if gpu
            else [],
            "cuda": "12.4" if gpu else None,
            "packages": {"torch": "2.6.0", "transformers": "5.0.0", "pillow": "11.1.0"},
            "git": {"commit": "3f2a9c1d7e5b4a6088f1c2d3e4f5a6b7c8d9e0f1", "dirty": False},
        },
    }


def _perturbation(task: Task) -> dict[str, Any]:
    if task.perturbation is None:
        return {}
    return {"perturbation": dataclasses.asdict(task.perturbation), "clean_task": task.clean_task}


def _write_model(
    run: RunStore, model: FixtureModel, tasks: Sequence[Task], chance: random.Random, hostile: bool
) -> None:
    folder = run.model_folder(model.name)
    if model.load_failure is not None:
        write_json(
            folder / "failure.json",
            {
                "error": "EnvironmentProblem",
                "message": model.load_failure,
                "hint": "bench doctor",
                "when": utc_now(),
            },
        )
        return
    write_json(
        folder / "model.json",
        {
            "name": model.name,
            "backend": "qwen_vl" if model.gpu else "ocr",
            "device": "cuda" if model.gpu else "cpu",
            "parameters": model.parameters,
            "details": {
                **(
                    {
                        "dtype": "bf16",
                        "attention": "sdpa",
                        "max_pixels": 1204224,
                        "page_reuse": "a page is encoded once for its questions",
                    }
                    if model.gpu
                    else {}
                ),
                **model.details,
            },
            "load_seconds": 4.0 + model.memory / 2**30,
            "first_call_seconds": 3.1 * model.seconds,
            "memory_after_load": {"allocated": model.memory // 2, "rss": 2**31}
            if model.gpu
            else {"rss": model.memory // 2},
            "started": "2026-03-12T09:31:00Z",
        },
    )
    total = sum(len(task.samples) for task in tasks)
    left = round(total * model.asked)
    for number, task in enumerate(tasks):
        samples = task.samples[:left]
        left -= len(samples)
        _write_cell(run, model, task, samples, chance, hostile)
        if len(samples) == len(task.samples):
            run.mark_done(model.name, task.name)
        if model.asked == 1.0:
            for sample in task.samples[number :: max(1, len(task.samples) // 8)]:
                run.append_latency(model.name, task.name, _latency(model, sample, chance))
    if model.watched:
        run.append_monitor(model.name, monitor_samples())
    if model.asked == 1.0:
        run.mark_done(model.name)


def _latency(model: FixtureModel, sample: Sample, chance: random.Random) -> dict[str, Any]:
    seconds = model.seconds * chance.lognormvariate(0, 0.35)
    cold = {
        "sample_id": sample.id,
        "seconds": seconds,
        "stages": _stages(model, seconds),
        "generated_tokens": 9 if model.gpu else None,
        "pages": 1,
    }
    if not model.watched:
        return cold
    warm = 0.8 * seconds
    return cold | {
        "first_token_seconds": 0.7 * seconds,
        "failed": False,
        "warm": {
            "seconds": warm,
            "first_token_seconds": 0.7 * warm,
            "stages": _stages(model, warm),
            "generated_tokens": 9,
            "failed": False,
        },
    }


def _stages(model: FixtureModel, seconds: float) -> dict[str, float]:
    """Seconds by stage; of models that are not watched, by the names of older runs."""
    shares = {"read": 0.9, "match": 0.1}
    if model.gpu:
        shares = {"preprocess": 0.2, "prefill": 0.5, "decode": 0.3}
    if model.watched:
        shares = {"preprocess": 0.1, "transfer": 0.02, "vision": 0.35, "prefix": 0.15}
        shares |= {"suffix": 0.08, "decode": 0.28, "other": 0.02}
    return {name: share * seconds for name, share in shares.items()}


def monitor_samples(
    seconds: int = 30, throttled: int = 0, others: int = 0, other_cores: float = 0.2
) -> list[dict[str, Any]]:
    """What a monitor writes in so many seconds of one GPU."""
    return [
        {
            "scenario": "offline",
            "cpu": {"mhz": 3000.0 + second, "cores": 16, "other_cores": other_cores},
            "gpus": [
                {
                    "sm_mhz": 1980 - second,
                    "memory_mhz": 2619,
                    "celsius": 50 + second % 7,
                    "watts": 400.0 + second,
                    "utilization": 0.9,
                    "throttled": ["power cap"] if second < throttled else [],
                    "others": others,
                    "other_bytes": others * 2**30,
                }
            ],
        }
        for second in range(seconds)
    ]


def _write_cell(
    run: RunStore,
    model: FixtureModel,
    task: Task,
    samples: Sequence[Sample],
    chance: random.Random,
    hostile: bool,
) -> None:
    outputs = [_output(model, sample, chance, hostile, i) for i, sample in enumerate(samples)]
    for start in range(0, len(outputs), 8):
        batch = outputs[start : start + 8]
        run.append_outputs(model.name, task.name, batch)
        seconds = sum(model.seconds * chance.uniform(0.4, 0.7) for _ in batch)
        memory = {"peak_rss": 2**31 + model.memory // 8}
        if model.gpu:
            memory |= {
                "peak_allocated": int(model.memory * 0.8),
                "peak_reserved": int(model.memory * 0.9),
                "peak_process": model.memory + start * 2**20,
            }
        run.append_batch(
            model.name,
            task.name,
            {
                "samples": [o.sample_id for o in batch],
                "documents": 2,
                "pages": 2,
                "seconds": seconds,
                "stages": _stages(model, seconds),
                "prompt_tokens": 1300 * len(batch) if model.gpu else None,
                "visual_tokens": 1200 * len(batch) if model.gpu else None,
                "generated_tokens": 9 * len(batch) if model.gpu else None,
                "memory": memory,
                "batch_size": len(batch),
                **({"energy": _energy(batch)} if model.watched else {}),
            },
        )


def _energy(batch: Sequence[Output]) -> dict[str, float]:
    return {"joules": 25.0 * len(batch), "seconds": 12.0, "questions": len(batch)}


def _output(
    model: FixtureModel, sample: Sample, chance: random.Random, hostile: bool, index: int
) -> Output:
    if chance.random() < model.error_rate or (hostile and index == 3):
        return Output(
            sample.id, "", "error", error="OutOfMemory: 2.10 GiB asked for, 0.84 GiB free"
        )
    reference = str(sample.references[-1])
    # A document's luck is shared by its questions, and by models of the same family.
    hard = random.Random(f"{sample.document_id} {sample.question!a}").random()
    text = (
        reference if 0.5 * chance.random() + 0.5 * hard < model.skill else _spoil(reference, chance)
    )
    if text == reference and text and model.wrap:
        text = model.wrap.format(text)
    elif text == reference and random.Random(f"{sample.id} format").random() < model.misformat:
        text = _misformatted(text)
    if hostile and index % 3 == 0:
        text = HOSTILE[index // 3 % len(HOSTILE)]
    if hostile and index == 5:
        text = "A" * 1_000_000
    tokens = len(text) // 3 + 2 if model.gpu else None
    confidence = round(chance.uniform(0.6, 1.0), 4) if model.gpu else None
    return Output(
        sample.id,
        text,
        "length" if len(text) > 200 else "stop",
        prompt_tokens=1296 if model.gpu else None,
        visual_tokens=1204 if model.gpu else None,
        generated_tokens=tokens,
        confidence=confidence,
        min_confidence=None if confidence is None else round(confidence**4, 4),
    )


def _misformatted(text: str) -> str:
    """The same value, written so that no strict metric takes it for equal."""
    if text.isdigit():
        return " ".join(text)
    return re.sub(r"(?<=\d)[, ](?=\d{3})", "", text).replace(", ", " ").replace(" г.", "")


def _spoil(text: str, chance: random.Random) -> str:
    kind = chance.randrange(4)
    if kind == 0 and len(text) > 4:
        cut = chance.randrange(1, len(text) - 1)
        return text[:cut] + text[cut + 1 :]
    if kind == 1:
        misread = text.replace(",", ".").replace("0", "8", 1)
        return misread if misread != text else text[::-1]
    if kind == 2:
        return ""
    return "not on this page"


def _draw(page: Page, label: str) -> bytes:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (566, 800), "#fdfdfb")
    draw = ImageDraw.Draw(image)
    draw.text((40, 36), f"INVOICE {label} / {page.index + 1}", fill="#222222")
    for y in range(90, 740, 26):
        width = (
            90 + int(hashlib.sha256(f"{label}{y}{page.index}".encode()).hexdigest()[:4], 16) % 400
        )
        draw.rectangle((40, y, 40 + width, y + 9), fill="#c9ccd1")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70)
    return buffer.getvalue()
