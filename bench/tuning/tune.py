"""From a task and a base model to an adapter: everything is checked before a weight is loaded."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput, OutOfMemory, missing_package
from bench.models.architectures import read_folder
from bench.models.catalog import catalog
from bench.models.checkpoints import BUNDLED, TUNING_FILE, read_checkpoint, weights_digest
from bench.schema import ModelSpec
from bench.tuning.examples import Example, end_token, read_examples
from bench.tuning.lora import Lora
from bench.tuning.memory import Setup
from bench.tuning.parts import Parts, find_parts
from bench.tuning.training import CHECKPOINTS, HISTORY, Ended, Listener, Schedule


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asked for."""

    model: ModelSpec
    task: str
    out: Path
    lora: Lora
    schedule: Schedule
    tests: tuple[str, ...] = ()
    """Further tasks whose documents must not be trained on."""
    validation_share: float = 0.1
    """Of the training documents, where there is no validation part."""
    check_memory: bool = True
    fresh: bool = False
    """Remove what a former training left in ``out``."""


class Tuned(NamedTuple):
    """What came of it."""

    out: Path
    ended: Ended
    metric: str
    """The validation score's."""
    tests: tuple[str, ...]
    """Names of the test parts, for the comparison to come."""


def tune(order: Order, listener: Listener) -> Tuned:
    """Train an adapter; goes on where the same order was interrupted.

    Raises:
        InvalidInput: a task without a training part, leakage, a base that cannot be trained, or an
            ``out`` that holds something else.
        EnvironmentProblem: weights, packages or memory are missing.
        Diverged: the loss is not a number any more.
    """
    import importlib.util

    if importlib.util.find_spec("peft") is None:
        raise missing_package("bench tune", "peft", "hf")
    from bench.models.qwen_vl.generation import read_decoding
    from bench.models.qwen_vl.loading import locate
    from bench.models.qwen_vl.processing import Processor

    spec = _trainable(order.model)
    seed = order.schedule.seed
    parts = find_parts(order.task, order.tests, order.validation_share, seed)
    if not parts.tests:
        listener.say("note: no test part was found, so nothing says what must not be trained on")
    folder = locate(spec)
    _check_weights(folder, spec)
    processor = Processor(spec, folder)
    identity = _identity(order, spec, folder, parts, processor.details())
    facts = _begin(order, identity, parts)

    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    context = int(config.get_text_config().max_position_embeddings)
    end = end_token(processor, read_decoding(folder, config, processor.tokenizer).end_tokens)
    examples = read_examples(parts.train, spec, processor, end, context)
    validation = read_examples(parts.validation, spec, processor, end, context)
    for note in _notes(parts, examples):
        listener.say(note)
    return _train(
        _Work(order, spec, folder, processor, parts, examples, validation), facts, listener
    )


class _Work(NamedTuple):
    """Everything that is ready before the weights are loaded."""

    order: Order
    spec: ModelSpec
    folder: Path
    processor: Any
    parts: Parts
    examples: list[Example]
    validation: list[Example]


def _train(work: _Work, record: dict[str, Any], listener: Listener) -> Tuned:
    from bench.models.qwen_vl.loading import (
        LoadedModel,
        is_out_of_memory,
        load_model,
        pick_device,
    )
    from bench.models.qwen_vl.vision import flatten_patch_embedding
    from bench.tuning.feeding import Feeder
    from bench.tuning.lora import add_lora
    from bench.tuning.memory import cures, estimate, free_bytes, fullest, gib
    from bench.tuning.memory import parts as terms
    from bench.tuning.packing import rows
    from bench.tuning.record import conclude
    from bench.tuning.training import Diverged, train
    from bench.tuning.validation import Validator, direction

    order, schedule = work.order, work.order.schedule
    out = order.out
    device = pick_device(work.spec.device)
    train_rows = rows(work.examples, schedule.batch_tokens, schedule.seed)
    checked_rows = rows(work.validation, schedule.batch_tokens, schedule.seed)
    setup, nf4 = _setup(work, fullest(train_rows), on_gpu=device.type == "cuda")
    expected = estimate(setup)
    listener.say(
        f"{len(work.examples)} documents in {len(train_rows)} rows, "
        f"{schedule.steps(len(train_rows))} steps; "
        f"about {gib(expected.bytes)} of memory ({terms(expected)})"
    )
    free = free_bytes(on_gpu=device.type == "cuda")
    if order.check_memory:
        from bench.tuning.memory import check_fits

        warning = check_fits(setup, free, nf4, schedule.batch_tokens)
        if warning is not None:
            listener.say(f"warning: {warning}")
    started = time.monotonic()
    loaded = load_model(work.spec, work.folder)
    flatten_patch_embedding(loaded.model)
    wrapped = add_lora(
        loaded.model, order.lora, base_name(work.spec), work.spec.revision, schedule.seed
    )
    adapted = LoadedModel(wrapped.get_base_model(), loaded.device, loaded.details)
    feeder = Feeder(adapted.model, work.processor)
    validator = Validator(
        work.spec,
        work.folder,
        adapted,
        work.processor,
        work.parts.validation,
        lambda: feeder.all(checked_rows),
    )
    record |= {
        "memory": {**expected._asdict(), "free": free},
        "trained_parameters": sum(p.numel() for p in wrapped.parameters() if p.requires_grad),
        "rows": len(train_rows),
        "loaded": dict(loaded.details),
    }
    listener.say(f"{record['trained_parameters']:,} numbers are trained on {loaded.device}")
    try:
        ended = train(
            wrapped,
            train_rows,
            feeder,
            validator.validate,
            direction(work.parts.validation),
            schedule,
            out,
            listener,
        )
    except Diverged:
        conclude(out, record, "diverged", time.monotonic() - started)
        raise
    except (RuntimeError, MemoryError) as error:
        conclude(out, record, "interrupted", time.monotonic() - started)
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"out of memory after {gib(free)} were free; about {gib(expected.bytes)} were expected",
            hint=cures(setup, min(free, expected.bytes - 1), nf4, schedule.batch_tokens)
            + "; then --fresh",
        ) from None
    status = "interrupted" if ended.interrupted else "finished"
    conclude(
        out,
        record,
        status,
        time.monotonic() - started,
        steps=ended.steps,
        stopped_early=ended.stopped_early,
        best=_best(ended),
    )
    if not ended.interrupted:
        # Optimizer states; the adapter of the best of them is in ``out`` itself.
        shutil.rmtree(out / CHECKPOINTS)
    return Tuned(
        out,
        ended,
        work.parts.validation.metrics[0],
        tuple(task.name for task in work.parts.tests),
    )


def _best(ended: Ended) -> dict[str, Any] | None:
    for entry in ended.history:
        if entry["step"] == ended.best_step and "eval_score" in entry:
            return {
                "step": entry["step"],
                "score": entry["eval_score"],
                "loss": entry["eval_loss"],
            }
    return None


def _trainable(spec: ModelSpec) -> ModelSpec:
    """``spec`` as it is loaded for training.

    Raises:
        InvalidInput: it is no Qwen-VL, is an adapter, or is quantized in a way that cannot be trained.
    """
    if spec.backend != "qwen_vl":
        raise InvalidInput(
            f"model {spec.name!r} cannot be trained: only the Qwen-VL family can",
            hint="--model qwen2-vl-2b",
        )
    if spec.adapter is not None:
        raise InvalidInput(
            f"model {spec.name!r} is an adapter already",
            hint=f"merge it first: bench tune --merge {spec.adapter} --out merged",
        )
    if spec.dtype == "fp16":
        raise InvalidInput(
            "training in fp16 overflows", hint="--dtype bf16, or fp32 where a GPU has no bf16"
        )
    if spec.device.startswith("cuda:") and spec.device != "cuda:0":
        number = spec.device.partition(":")[2]
        raise InvalidInput(
            f"training uses the first GPU that it sees, not {spec.device}",
            hint=f"CUDA_VISIBLE_DEVICES={number} bench tune … --device cuda",
        )
    # Masks that keep questions apart are no business of flash_attention_2.
    return replace(spec, attention="sdpa")


def _check_weights(folder: Path, spec: ModelSpec) -> None:
    from bench.models.checkpoints import read_json

    quantization = read_checkpoint(folder).quantization
    if quantization not in {None, "nf4", "int8"}:
        raise InvalidInput(
            f"{spec.checkpoint} is quantized as {quantization}, which cannot be trained",
            hint="name the unquantized checkpoint, with --quantization nf4",
        )
    config = read_json(folder / "config.json")
    text = config.get("text_config")
    settings = {**config, **text} if isinstance(text, dict) else config
    if settings.get("use_sliding_window"):
        raise InvalidInput(
            f"{spec.checkpoint} uses sliding-window attention, which packed rows do not have"
        )


def base_name(spec: ModelSpec) -> str:
    """What an adapter calls its base: a hub id, a folder, or the catalog's name of a bundled model."""
    checkpoint = str(spec.checkpoint)
    if checkpoint.startswith(BUNDLED):
        for name, entry in catalog().items():
            if entry.checkpoint == checkpoint and entry.quantization is None:
                return name
    return checkpoint


def _identity(
    order: Order, spec: ModelSpec, folder: Path, parts: Parts, input_side: dict[str, Any]
) -> dict[str, Any]:
    """What must be equal for a training to go on."""
    from bench.tuning.record import task_record

    return {
        "base": {
            "model": spec.name,
            "checkpoint": base_name(spec),
            "revision": spec.revision
            or (folder.name if folder.parent.name == "snapshots" else None),
            "digest": weights_digest(folder),
            "quantization": spec.quantization,
            "dtype": spec.dtype,
            "min_pixels": input_side["min_pixels"],
            "max_pixels": input_side["max_pixels"],
        },
        "task": task_record(parts),
        "lora": order.lora._asdict(),
        "schedule": order.schedule._asdict(),
        "validation_share": order.validation_share,
    }


def _begin(order: Order, identity: dict[str, Any], parts: Parts) -> dict[str, Any]:
    from bench.tuning.record import begin

    out = order.out
    if order.fresh and (out / TUNING_FILE).is_file():
        # Only what bench tune writes; a folder that holds something else is refused below.
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
        for name in (
            TUNING_FILE,
            HISTORY,
            "curves.svg",
            "adapter_config.json",
            "adapter_model.safetensors",
        ):
            (out / name).unlink(missing_ok=True)
    return begin(out, identity, {"metric": parts.validation.metrics[0]})


def _notes(parts: Parts, examples: list[Example]) -> list[str]:
    limit = parts.train.generation.max_new_tokens
    long = sum(len(b.answer) > limit for example in examples for b in example.branches)
    notes = []
    if parts.held_out:
        count = len(parts.validation.documents)
        notes.append(f"{count} documents of {parts.train.name} validate and are not trained on")
    if long:
        notes.append(
            f"note: {long} answers are longer than the {limit} tokens that the task allows; "
            "they are learnt, and cut when they are written"
        )
    return notes


def _setup(work: _Work, row: Any, *, on_gpu: bool) -> tuple[Setup, int]:
    """What memory depends on, and the bytes of the weights in NF4."""
    from bench.models.qwen_vl.fit import stored_weight_bytes

    spec = work.spec
    architecture = read_folder(work.folder).architecture
    wide = spec.dtype == "fp32" or (spec.dtype == "auto" and not on_gpu)
    number = 4 if wide else 2

    def weights(quantization: str | None) -> int:
        return stored_weight_bytes(work.folder, architecture, quantization, number)

    setup = Setup(
        architecture=architecture,
        weights=weights(spec.quantization),
        number=number,
        lora=work.order.lora,
        row=row,
        checkpointing=work.order.schedule.gradient_checkpointing,
        on_gpu=on_gpu,
    )
    return setup, weights("nf4")
