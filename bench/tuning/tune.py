"""From a task and a base model to an adapter: everything is checked before a weight is loaded."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import OutOfMemory
from bench.measure import is_out_of_memory
from bench.models.architectures import read_folder
from bench.models.checkpoints import TUNING_FILE, weights_digest
from bench.models.qwen_vl.fit import stored_weight_bytes
from bench.models.qwen_vl.generation import read_decoding
from bench.models.qwen_vl.loading import (
    LoadedModel,
    load_model,
    locate,
    pick_device,
)
from bench.models.qwen_vl.processing import Processor
from bench.models.qwen_vl.vision import flatten_patch_embedding
from bench.schema import ModelSpec
from bench.tuning import adapter_folder as record
from bench.tuning import memory
from bench.tuning.base_model import base_name, check_weights, trainable
from bench.tuning.examples import Example, end_token, read_examples
from bench.tuning.feeding import Feeder
from bench.tuning.lora import Lora, add_lora
from bench.tuning.packing import rows
from bench.tuning.parts import Parts, find_parts
from bench.tuning.training import Diverged, Ended, Listener, Schedule, Subject, train
from bench.tuning.validation import Validator, direction


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
    """What to call the test parts in ``bench run``, for the comparison to come."""


class _Work(NamedTuple):
    """Everything that is ready before the weights are loaded."""

    order: Order
    spec: ModelSpec
    folder: Path
    """Of the base's checkpoint."""
    processor: Processor
    parts: Parts
    rows: list[tuple[Example, ...]]
    validation: list[tuple[Example, ...]]
    """Rows of the validation part."""


def tune(order: Order, listener: Listener) -> Tuned:
    """Train an adapter; goes on where the same order was interrupted.

    Raises:
        InvalidInput: a task without a training part, leakage, a base that cannot be trained, or an
            ``out`` that holds something else.
        EnvironmentProblem: weights or memory are missing.
        Diverged: the loss is not a number any more.
    """
    spec = trainable(order.model)
    schedule = order.schedule
    parts = find_parts(order.task, order.tests, order.validation_share, schedule.seed)
    if not parts.tests:
        listener.say("note: no test part was found, so nothing says what must not be trained on")
    folder = locate(spec)
    check_weights(folder, spec)
    processor = Processor(spec, folder)
    identity = _identity(order, spec, folder, parts, processor.details())
    if not _anew(order):
        # Before documents are read and weights are loaded, which may take minutes.
        record.former(order.out, identity)
    examples, validation = _examples(parts, spec, folder, processor)
    for note in _notes(parts, examples):
        listener.say(note)
    work = _Work(
        order,
        spec,
        folder,
        processor,
        parts,
        rows(examples, schedule.batch_tokens, schedule.seed),
        rows(validation, schedule.batch_tokens, schedule.seed),
    )
    return _train(work, identity, listener)


def _train(work: _Work, identity: dict[str, Any], listener: Listener) -> Tuned:
    order, out = work.order, work.order.out
    room = _room(work)
    listener.say(
        f"{len(work.parts.train.documents)} documents in {len(work.rows)} rows, "
        f"{order.schedule.steps(len(work.rows))} steps; "
        f"about {memory.gib(room.expected.bytes)} of memory ({memory.parts(room.expected)})"
    )
    if order.check_memory:
        warning = memory.check_fits(room.setup, room.free, room.nf4, order.schedule.batch_tokens)
        if warning is not None:
            listener.say(f"warning: {warning}")
    started = time.monotonic()
    subject, loaded = _load(work)
    trained = sum(p.numel() for p in subject.model.parameters() if p.requires_grad)
    listener.say(f"{trained:,} numbers are trained on {loaded.device}")
    if _anew(order):
        record.clear(out)
    # Only now: what is refused until here may be ordered again with other settings.
    written = record.begin(
        out,
        identity,
        {
            "metric": work.parts.validation.metrics[0],
            "rows": len(work.rows),
            "trained_parameters": trained,
            "memory": {**room.expected._asdict(), "free": room.free},
            "loaded": dict(loaded.details),
        },
    )

    def conclude(status: str, **facts: Any) -> None:
        record.conclude(out, written, status, time.monotonic() - started, **facts)

    try:
        ended = train(subject, order.schedule, out, listener)
    except Diverged:
        conclude("diverged")
        raise
    except (RuntimeError, MemoryError) as error:
        conclude("interrupted")
        if not is_out_of_memory(error):
            raise
        raise _ran_out(room, order.schedule.batch_tokens) from None
    conclude(
        "interrupted" if ended.interrupted else "finished",
        steps=ended.steps,
        stopped_early=ended.stopped_early,
        best=_best(ended),
    )
    if not ended.interrupted:
        # Optimizer states; the adapter of the best of them is in ``out`` itself.
        shutil.rmtree(out / record.CHECKPOINTS)
    return Tuned(out, ended, work.parts.validation.metrics[0], work.parts.test_names)


def _load(work: _Work) -> tuple[Subject, LoadedModel]:
    """The base with a new adapter, and what trains and validates it."""
    loaded = load_model(work.spec, work.folder)
    flatten_patch_embedding(loaded.model)
    wrapped = add_lora(
        loaded.model,
        work.order.lora,
        base_name(work.spec),
        work.spec.revision,
        work.order.schedule.seed,
    )
    adapted = LoadedModel(wrapped.get_base_model(), loaded.device, loaded.details)
    feeder = Feeder(adapted.model, work.processor)
    validator = Validator(
        work.spec,
        work.folder,
        adapted,
        work.processor,
        work.parts.validation,
        lambda: feeder.all(work.validation),
    )
    task = work.parts.validation
    return Subject(wrapped, work.rows, feeder, validator.validate, direction(task)), loaded


def _examples(
    parts: Parts, spec: ModelSpec, folder: Path, processor: Processor
) -> tuple[list[Example], list[Example]]:
    """The documents of the training and of the validation part."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    context = int(config.get_text_config().max_position_embeddings)
    end = end_token(processor, read_decoding(folder, config, processor.tokenizer).end_tokens)
    return (
        read_examples(parts.train, spec, processor, end, context),
        read_examples(parts.validation, spec, processor, end, context),
    )


def _notes(parts: Parts, examples: Sequence[Example]) -> list[str]:
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


class _Room(NamedTuple):
    """What a training will hold, and what there is."""

    setup: memory.Setup
    expected: memory.Estimate
    free: int
    """Bytes, before anything is loaded."""
    nf4: int
    """Bytes of the base's weights in NF4."""


def _room(work: _Work) -> _Room:
    spec = work.spec
    on_gpu = pick_device(spec.device).type == "cuda"
    architecture = read_folder(work.folder).architecture
    wide = spec.dtype == "fp32" or (spec.dtype == "auto" and not on_gpu)
    number = 4 if wide else 2

    def weights(quantization: str | None) -> int:
        return stored_weight_bytes(work.folder, architecture, quantization, number)

    setup = memory.Setup(
        architecture=architecture,
        weights=weights(spec.quantization),
        number=number,
        lora=work.order.lora,
        row=memory.fullest(work.rows),
        checkpointing=work.order.schedule.gradient_checkpointing,
        on_gpu=on_gpu,
    )
    return _Room(setup, memory.estimate(setup), memory.free_bytes(on_gpu), weights("nf4"))


def _ran_out(room: _Room, batch_tokens: int) -> OutOfMemory:
    """Memory ran out although it was expected to do: the flags that need less than was expected."""
    enough = min(room.free, room.expected.bytes - 1)
    return OutOfMemory(
        f"out of memory after {memory.gib(room.free)} were free; "
        f"about {memory.gib(room.expected.bytes)} were expected",
        hint=memory.cures(room.setup, enough, room.nf4, batch_tokens) + "; then --fresh",
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


def _identity(
    order: Order, spec: ModelSpec, folder: Path, parts: Parts, input_side: dict[str, Any]
) -> dict[str, Any]:
    """What must be equal for a training to go on."""
    commit = folder.name if folder.parent.name == "snapshots" else None
    return {
        "base": {
            "model": spec.name,
            "checkpoint": base_name(spec),
            "revision": spec.revision or commit,
            "digest": weights_digest(folder),
            "quantization": spec.quantization,
            "dtype": spec.dtype,
            "min_pixels": input_side["min_pixels"],
            "max_pixels": input_side["max_pixels"],
        },
        "task": record.task_record(parts),
        "lora": order.lora._asdict(),
        "schedule": order.schedule._asdict(),
        "validation_share": order.validation_share,
    }


def _anew(order: Order) -> bool:
    """Whether a former training in ``out`` is to be removed; nothing else ever is."""
    return order.fresh and (order.out / TUNING_FILE).is_file()
