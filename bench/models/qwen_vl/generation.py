"""What every engine shares: how tokens are chosen, and what an answer is.

The Instruct checkpoints' generation configuration samples, which ``generate`` would follow; here
decoding is greedy, and what is not followed is on the record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from bench.errors import InvalidInput
from bench.models.checkpoints import check_type, read_json
from bench.models.qwen_vl.clock import Clock
from bench.models.qwen_vl.prefix import Prefix
from bench.schema import Json, PageGroup, Request

_APPLIED = frozenset({"eos_token_id", "pad_token_id", "repetition_penalty"})
_NOT_DECODING = frozenset({"bos_token_id", "transformers_version", "_from_model_config"})


@dataclass(frozen=True, slots=True)
class Decoding:
    """How tokens are chosen: always the most probable one, after the repetition penalty."""

    end_tokens: tuple[int, ...]
    pad_token: int
    repetition_penalty: float = 1.0
    """The checkpoint's own; 1 does nothing. It counts the prompt, as transformers does."""
    ignored: Mapping[str, Json] = field(default_factory=dict)
    """What the checkpoint's generation configuration says besides, sampling above all."""

    def details(self) -> dict[str, Json]:
        """What ``ModelInfo.details`` should say of the output side."""
        return {
            "decoding": "greedy",
            "repetition_penalty": self.repetition_penalty,
            "end_tokens": list(self.end_tokens),
            "generation_config_ignored": dict(self.ignored),
            "confidence": "mean probability of the generated tokens, the end token included",
            "min_confidence": "smallest probability of a generated token, the end token included",
        }


class PromptedQuestion(NamedTuple):
    """One request, ready for the model."""

    place: int
    """Among the outputs of the call."""
    request: Request
    group: PageGroup
    ids: list[int]
    """Tokens behind the prefix."""
    prompt_tokens: int
    """Prefix and question."""
    visual_tokens: int
    heard: Callable[[Sequence[int]], None] | None = None
    """Is told the tokens of the answer while they are written; None if nobody reads along."""

    @property
    def limit(self) -> int:
        """Tokens that the answer may have."""
        return self.group.generation.max_new_tokens


class Prompted(NamedTuple):
    """One document with its questions, ready for the model."""

    prefix: Prefix
    questions: tuple[PromptedQuestion, ...]
    """At least one question, each with a limit of at least one token."""


class Completion(NamedTuple):
    """What the model wrote for one row."""

    ids: tuple[int, ...]
    """Generated tokens, the end token included where there is one."""
    ended: bool
    """Whether the model ended the answer itself."""
    confidence: float
    """Mean probability of ``ids``; not a number where the logits were not finite."""
    min_confidence: float
    """Smallest probability of ``ids``."""
    probabilities: tuple[float, ...]
    """Of each of ``ids``."""
    runners_up: tuple[tuple[int, float], ...] = ()
    """For each of ``ids`` the most probable other token and its probability; empty if they are not known."""

    @classmethod
    def of(
        cls,
        ids: Sequence[int],
        probabilities: Sequence[float],
        *,
        ended: bool,
        runners_up: Sequence[tuple[int, float]] = (),
    ) -> Completion:
        """The answer of at least one token, whose ``probabilities`` are those of ``ids``."""
        mean = sum(probabilities) / len(probabilities)
        return cls(
            tuple(ids), ended, mean, min(probabilities), tuple(probabilities), tuple(runners_up)
        )


class Engine(Protocol):
    """A way from prompts to answers. All of them give the same ones."""

    def answer(
        self, documents: Iterable[Prompted], clock: Clock
    ) -> list[tuple[PromptedQuestion, Completion]]:
        """Answer every question of ``documents``, in any order."""
        ...

    def economize(self) -> str | None:
        """See ``bench.models.model.Model``."""
        ...

    def notes(self) -> Mapping[str, Json]:
        """What is done otherwise than was said when the engine was selected."""
        return {}

    def rest(self) -> None:
        """Do now what must not happen in a call that is timed alone, as the next ones are."""
        return

    def hurry(self) -> None:
        """The next calls are timed together: what makes them faster on the whole may happen in one."""
        return


def read_decoding(folder: Path, config: Any, tokenizer: Any) -> Decoding:
    """What the checkpoint in ``folder`` says of decoding, as far as greedy decoding follows it.

    Raises:
        InvalidInput: nothing says which token ends an answer, or a value is not usable.
    """
    path = folder / "generation_config.json"
    settings = read_json(path) if path.is_file() else {}
    vocabulary = int(config.get_text_config().vocab_size)
    ends = _end_tokens(folder, path, settings, tokenizer)
    # An identifier that no token has ends nothing.
    ends = [end for end in ends if 0 <= end < vocabulary]
    if not ends:
        raise InvalidInput(
            f"{folder} does not say which token ends an answer",
            hint="copy generation_config.json from the base checkpoint",
        )
    check_type(path, settings, "pad_token_id", int)
    check_type(path, settings, "repetition_penalty", int, float)
    penalty = float(settings.get("repetition_penalty") or 1.0)
    if not 0 < penalty < math.inf:
        raise InvalidInput(
            f"{path}: repetition_penalty should be a number above 0, but it is {penalty:g}",
            hint="copy generation_config.json from the base checkpoint",
        )
    pads = (settings.get("pad_token_id"), tokenizer.pad_token_id, ends[0])
    return Decoding(
        end_tokens=tuple(ends),
        pad_token=int(next(pad for pad in pads if pad is not None and 0 <= pad < vocabulary)),
        repetition_penalty=penalty,
        ignored={k: v for k, v in settings.items() if k not in _APPLIED | _NOT_DECODING},
    )


def _end_tokens(folder: Path, path: Path, settings: Mapping[str, Any], tokenizer: Any) -> list[int]:
    """The tokens that any of the checkpoint's files says end an answer, each once.

    No file names all of them reliably: a tuned checkpoint often keeps the base's generation configuration,
    and its tokenizer has the end of a turn alone.
    """
    written = read_json(folder / "config.json")
    check_type(folder / "config.json", written, "text_config", dict)
    sources = (
        (path, settings),
        (folder / "config.json", written),
        (folder / "config.json", written.get("text_config") or {}),
    )
    ends: list[int] = []
    for file, values in sources:
        check_type(file, values, "eos_token_id", int, list)
        value = values.get("eos_token_id")
        entries = value if isinstance(value, list) else [value]
        for entry in entries:
            check_type(file, {"an entry of eos_token_id": entry}, "an entry of eos_token_id", int)
        ends += [entry for entry in entries if entry is not None]
    if tokenizer.eos_token_id is not None:
        ends.append(int(tokenizer.eos_token_id))
    return list(dict.fromkeys(ends))
