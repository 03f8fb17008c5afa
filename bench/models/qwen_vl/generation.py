"""From rows of tokens and patches to answers: vision tower, prefill, greedy decoding.

The loop is our own, over the model's public ``forward``, for three reasons: the Instruct checkpoints'
generation configuration samples, which ``generate`` would follow; the stages can be timed apart; and
every position is given explicitly. Left to itself the model derives positions from ``rope_deltas``,
state that the last prefill left behind, which silently breaks any other order of calls.

Rows are padded on the left. In fp32 a batch answers exactly as its rows would alone, up to ties of two
logits within rounding error.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import InvalidInput
from bench.models.checkpoints import read_json
from bench.models.qwen_vl.processing import PageImages, Row
from bench.schema import Json

if TYPE_CHECKING:
    import torch

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
        }


class Answer(NamedTuple):
    """What the model wrote for one row."""

    ids: tuple[int, ...]
    """Generated tokens, the end token included where there is one."""
    ended: bool
    """Whether the model ended the answer itself."""
    confidence: float
    """Mean probability of ``ids``; not a number where the logits were not finite."""


class Clock:
    """Seconds by stage, with the device's queue drained before every reading."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last = time.perf_counter()
        self.stages = {"preprocess": 0.0, "prefill": 0.0, "decode": 0.0}

    def lap(self, stage: str) -> None:
        """Count the time since the last lap for ``stage``."""
        import torch

        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.stages[stage] += now - self._last
        self._last = now


def read_decoding(folder: Path, config: Any, tokenizer: Any) -> Decoding:
    """The part of the checkpoint's ``generation_config.json`` that greedy decoding follows.

    Raises:
        InvalidInput: nothing says which token ends an answer.
    """
    path = folder / "generation_config.json"
    settings = read_json(path) if path.is_file() else {}
    text_config = config.get_text_config()
    ends: list[int] = []
    for candidate in (
        settings.get("eos_token_id"),
        text_config.eos_token_id,
        tokenizer.eos_token_id,
    ):
        if not ends and candidate is not None:
            ends = list(candidate) if isinstance(candidate, (list, tuple)) else [candidate]
    if not ends:
        raise InvalidInput(
            f"{folder} does not say which token ends an answer",
            hint="copy generation_config.json from the base checkpoint",
        )
    pads = (settings.get("pad_token_id"), tokenizer.pad_token_id, ends[0])
    return Decoding(
        end_tokens=tuple(int(end) for end in ends),
        pad_token=int(next(pad for pad in pads if pad is not None)),
        repetition_penalty=float(settings.get("repetition_penalty") or 1.0),
        ignored={k: v for k, v in settings.items() if k not in _APPLIED | _NOT_DECODING},
    )


def answer_rows(model: Any, rows: Sequence[Row], decoding: Decoding, clock: Clock) -> list[Answer]:
    """The model's answers to ``rows``, decoded together.

    The pages of a document go through the vision tower once, however many of ``rows`` ask about them.
    """
    import torch
    from transformers import DynamicCache

    device = model.device
    with torch.inference_mode():
        prompt = _pad(model, rows, decoding, device)
        cache = DynamicCache(config=model.config.get_text_config())
        logits = model(
            input_ids=prompt.ids,
            attention_mask=prompt.mask,
            position_ids=prompt.positions,
            mm_encoder_outputs={"image": _encode_pages(model, rows, device)},
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        state = _Greedy(rows, prompt, decoding)
        token = state.choose(logits[:, -1])
        clock.lap("prefill")
        mask, position = prompt.mask, prompt.positions[:, :, -1:]
        while not state.done:
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            position = position + 1
            logits = model(
                input_ids=token,
                attention_mask=mask,
                position_ids=position,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits
            token = state.choose(logits[:, -1])
        return state.answers()


class _Prompt(NamedTuple):
    ids: torch.Tensor
    """(rows, longest prompt), padded on the left."""
    mask: torch.Tensor
    """(rows, longest prompt), 0 over padding."""
    positions: torch.Tensor
    """(3, rows, longest prompt): temporal, vertical and horizontal position of every token."""


def _pad(model: Any, rows: Sequence[Row], decoding: Decoding, device: torch.device) -> _Prompt:
    import torch

    longest = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), longest), decoding.pad_token)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    positions = torch.zeros(3, len(rows), longest, dtype=torch.long)
    for index, row in enumerate(rows):
        start = longest - len(row.ids)
        ids[index, start:] = row.ids
        mask[index, start:] = 1
        positions[:, index, start:] = _positions(model, row)
    # The prompt ends in text, where the three positions are equal: the last one is the next one's base.
    return _Prompt(ids.to(device), mask.to(device), positions.to(device))


def _positions(model: Any, row: Row) -> torch.Tensor:
    """(3, tokens): the multimodal rotary positions of one prompt, computed on the CPU."""
    ids = row.ids.unsqueeze(0)
    positions, _ = model.model.get_rope_index(
        input_ids=ids,
        mm_token_type_ids=(ids == model.config.image_token_id).int(),
        image_grid_thw=row.images.grid,
    )
    found: torch.Tensor = positions[:, 0]
    return found


def _encode_pages(model: Any, rows: Sequence[Row], device: torch.device) -> Any:
    """What the vision tower makes of the pages of every row, in the rows' order.

    Each document is encoded alone, so that its features do not depend on the rest of the batch.
    """
    encoded: dict[int, Any] = {}
    for row in rows:
        if id(row.images) not in encoded:
            encoded[id(row.images)] = _features(model, row.images, device)
    features = [encoded[id(row.images)] for row in rows]
    joined = type(features[0])(pooler_output=_chain(one.pooler_output for one in features))
    # Qwen3-VL also hands features of inner layers to the language model (DeepStack), layer by layer.
    if getattr(features[0], "deepstack_features", None) is not None:
        layers = zip(*(one.deepstack_features for one in features), strict=True)
        joined.deepstack_features = [_chain(layer) for layer in layers]
    return joined


def _chain(pages: Iterable[Sequence[torch.Tensor]]) -> tuple[torch.Tensor, ...]:
    """The page features of several documents as those of one."""
    return tuple(itertools.chain.from_iterable(pages))


def _features(model: Any, images: PageImages, device: torch.device) -> Any:
    return model.model.get_image_features(
        images.patches.to(device), images.grid.to(device), return_dict=True
    )


class _Greedy:
    """The growing answers of a batch, and which of them are finished."""

    def __init__(self, rows: Sequence[Row], prompt: _Prompt, decoding: Decoding) -> None:
        self._decoding = decoding
        self._limits = [row.group.generation.max_new_tokens for row in rows]
        self._ids: list[list[int]] = [[] for _ in rows]
        self._ended = [False] * len(rows)
        self._probabilities: list[list[float]] = [[] for _ in rows]
        self._prompt = prompt
        self._seen: torch.Tensor | None = None

    @property
    def done(self) -> bool:
        return not any(self._open(index) for index in range(len(self._ids)))

    def choose(self, logits: torch.Tensor) -> torch.Tensor:
        """Append the best token of ``logits`` (rows, vocabulary) to every unfinished answer.

        Returns:
            (rows, 1): the tokens to go on with; the padding token for finished answers.
        """
        import torch

        logits = self._penalized(logits.float())
        best, token = logits.max(dim=-1)
        probability = (best - logits.logsumexp(dim=-1)).exp()
        chosen, probabilities = token.tolist(), probability.tolist()
        for index, (number, value) in enumerate(zip(chosen, probabilities, strict=True)):
            if not self._open(index):
                chosen[index] = self._decoding.pad_token
                continue
            self._ids[index].append(number)
            self._probabilities[index].append(value)
            self._ended[index] = number in self._decoding.end_tokens
        return torch.tensor(chosen, device=logits.device).unsqueeze(1)

    def answers(self) -> list[Answer]:
        return [
            Answer(tuple(ids), ended, sum(values) / len(values))
            for ids, ended, values in zip(self._ids, self._ended, self._probabilities, strict=True)
        ]

    def _open(self, index: int) -> bool:
        return not self._ended[index] and len(self._ids[index]) < self._limits[index]

    def _penalized(self, logits: torch.Tensor) -> torch.Tensor:
        """``logits`` with tokens that were seen before made less likely (Keskar et al., 2019).

        Padding does not count as seen: its token is an end token in this family, and a padded row
        would find it harder to stop than the same row alone.
        """
        import torch

        penalty = self._decoding.repetition_penalty
        if penalty == 1.0:
            return logits
        if self._seen is None:
            seen = torch.zeros(logits.shape, dtype=torch.int32, device=logits.device)
            seen.scatter_add_(1, self._prompt.ids, self._prompt.mask.int())
            self._seen = seen > 0
        for index, ids in enumerate(self._ids):
            if ids:
                self._seen[index, ids[-1]] = True
        lowered = torch.where(logits < 0, logits * penalty, logits / penalty)
        return torch.where(self._seen, lowered, logits)
