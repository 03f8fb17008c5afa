"""From a task and a base model to an adapter. Everything is checked before a weight is loaded."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import OutOfMemory
from bench.formatting import byte_size, plural
from bench.measure import is_out_of_memory
from bench.models.architectures import read_folder
from bench.models.checkpoints import TUNING_FILE, weights_digest
from bench.models.qwen_vl.device import pick_device
from bench.models.qwen_vl.fit import stored_weight_bytes
from bench.models.qwen_vl.generation import read_decoding
from bench.models.qwen_vl.loading import LoadedModel, load_model, locate
from bench.models.qwen_vl.processing import Processor
from bench.models.qwen_vl.vision import flatten_patch_embedding
from bench.schema import ModelSpec
from bench.tuning import adapter_folder, memory
from bench.tuning.base_model import base_name, check_weights, trainable
from bench.tuning.examples import TrainingExample, end_token, read_examples
from bench.tuning.feeding import Feeder
from bench.tuning.lora import Lora, add_lora
from bench.tuning.packing import rows
from bench.tuning.parts import Parts, find_parts
from bench.tuning.trainer import Diverged, Listener, Subject
from bench.tuning.training import Ended, Schedule, train
from bench.tuning.validation import Validator, direction


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asked ``bench tune`` for."""

    model: ModelSpec
    task: str
    out: Path
    lora: Lora
    schedule: Schedule
    tests: tuple[str, ...] = ()
    """Further tasks whose documents must not be trained on."""
    validation_share: float = 0.1
    """The share of the training documents that validates, where there is no validation part."""
    check_memory: bool = True
    """Whether a training that is not expected to fit into memory is refused."""
    fresh: bool = False
    """Whether what an earlier training left in ``out`` is removed."""


class Tuned(NamedTuple):
    """A training that has ended."""

    out: Path
    ended: Ended
    metric: str
    """The metric of the validation score."""
    tests: tuple[str, ...]
    """The names of the test parts for ``bench run``, with which the adapter is compared."""


class _Work(NamedTuple):
    """Everything that is ready before the weights are loaded."""

    order: Order
    spec: ModelSpec
    folder: Path
    """The folder of the base's checkpoint."""
    processor: Processor
    parts: Parts
    rows: list[tuple[TrainingExample, ...]]
    validation: list[tuple[TrainingExample, ...]]
    """Rows of the validation part."""


def tune(order: Order, listener: Listener) -> Tuned:
    """Train an adapter, or go on with the training that the same order began.

    Raises:
        InvalidInput: the task has no training part, two parts share a page, the base cannot be trained, or
            ``out`` holds something else.
        EnvironmentProblem: weights or memory are missing.
        Diverged: the loss is no longer a finite number.
    """
    spec = trainable(order.model)
    schedule = order.schedule
    parts = find_parts(order.task, order.tests, order.validation_share, schedule.seed)
    if not parts.tests:
        listener.say(
            "note: no test part was found, so training may use documents that you want to test with"
        )
    folder = locate(spec)
    check_weights(folder, spec)
    processor = Processor(spec, folder)
    identity = _identity(order, spec, folder, parts, processor.details())
    if not _anew(order):
        # Refuse another training's folder now: reading documents and loading weights may take minutes.
        adapter_folder.former(order.out, identity)
    examples, validation = _examples(parts, spec, folder, processor)
    for note in _notes(parts, examples):
        listener.say(note)
    training_rows = rows(examples, schedule.batch_tokens, schedule.seed)
    validation_rows = rows(validation, schedule.batch_tokens, schedule.seed)
    work = _Work(order, spec, folder, processor, parts, training_rows, validation_rows)
    return _train(work, identity, listener)


def _train(work: _Work, identity: dict[str, Any], listener: Listener) -> Tuned:
    order, out = work.order, work.order.out
    room = _room(work)
    listener.say(_announcement(work, room))
    if order.check_memory:
        warning = memory.check_fits(room.setup, room.free, room.nf4, order.schedule.batch_tokens)
        if warning is not None:
            listener.say(f"warning: {warning}")
    started = time.monotonic()
    subject, loaded = _load(work)
    trainable_parameters = [p for p in subject.model.parameters() if p.requires_grad]
    trained = sum(parameter.numel() for parameter in trainable_parameters)
    listener.say(f"{plural(trained, 'parameter')} will be trained on {loaded.device}")
    if _anew(order):
        adapter_folder.clear(out)
    # Only now, so that a training that was refused may be ordered again with other settings.
    record = adapter_folder.begin(
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
        adapter_folder.conclude(out, record, status, time.monotonic() - started, **facts)

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
        # They hold optimizer states; the best adapter among them is in ``out`` itself.
        shutil.rmtree(out / adapter_folder.CHECKPOINTS)
    return Tuned(out, ended, work.parts.validation.metrics[0], work.parts.test_names)


def _announcement(work: _Work, room: _Room) -> str:
    """What is about to be trained, and the memory that it is expected to need."""
    documents = plural(len(work.parts.train.documents), "document")
    row_count = plural(len(work.rows), "row")
    steps = plural(work.order.schedule.steps(len(work.rows)), "step")
    size = byte_size(room.expected.bytes)
    return (
        f"Training on {documents} in {row_count}, {steps}; it needs about {size} of memory "
        f"({memory.parts(room.expected)})"
    )


def _load(work: _Work) -> tuple[Subject, LoadedModel]:
    """Load the base with a new adapter, and prepare what trains and validates it."""
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
) -> tuple[list[TrainingExample], list[TrainingExample]]:
    """The documents of the training and of the validation part."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    context = int(config.get_text_config().max_position_embeddings)
    end = end_token(processor, read_decoding(folder, config, processor.tokenizer).end_tokens)
    return (
        read_examples(parts.train, spec, processor, end, context),
        read_examples(parts.validation, spec, processor, end, context),
    )


def _notes(parts: Parts, examples: Sequence[TrainingExample]) -> list[str]:
    """What a person should know of the documents."""
    notes = []
    if parts.held_out:
        documents = plural(len(parts.validation.documents), "document")
        notes.append(
            f"The validation uses {documents} of {parts.train.name}, which the training does not see"
        )
    limit = parts.train.generation.max_new_tokens
    lengths = [len(branch.answer) for example in examples for branch in example.branches]
    too_long = sum(length > limit for length in lengths)
    if too_long:
        notes.append(
            f"note: the task allows {limit} tokens for an answer, and {plural(too_long, 'reference')} "
            f"{'is' if too_long == 1 else 'are'} longer; the model learns them whole, but bench run cuts "
            "its answers at that limit"
        )
    return notes


class _Room(NamedTuple):
    """The memory that a training needs, and the memory that is free."""

    setup: memory.Setup
    expected: memory.MemoryEstimate
    free: int
    """Free bytes before anything is loaded."""
    nf4: int
    """The bytes of the base's weights in NF4."""


def _room(work: _Work) -> _Room:
    spec = work.spec
    on_gpu = pick_device(spec.device).type == "cuda"
    architecture = read_folder(work.folder).architecture
    in_fp32 = spec.dtype == "fp32" or (spec.dtype == "auto" and not on_gpu)
    number = 4 if in_fp32 else 2

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
    """Memory ran out although the training was expected to fit; name options that need less."""
    enough = min(room.free, room.expected.bytes - 1)
    cure = memory.cures(room.setup, enough, room.nf4, batch_tokens)
    return OutOfMemory(
        f"training ran out of memory: {byte_size(room.free)} were free, and about "
        f"{byte_size(room.expected.bytes)} were expected to be needed",
        hint=f"{cure}; add --fresh, because other options are another training",
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
    """What must be equal for an interrupted training to go on."""
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
        "task": adapter_folder.task_record(parts),
        "lora": order.lora._asdict(),
        "schedule": order.schedule._asdict(),
        "validation_share": order.validation_share,
    }


def _anew(order: Order) -> bool:
    """Whether an earlier training in ``out`` is to be removed; nothing but a training ever is."""
    return order.fresh and (order.out / TUNING_FILE).is_file()
