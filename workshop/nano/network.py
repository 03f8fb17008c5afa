"""The forward pass of training: the arithmetic of Qwen2-VL over whole batches of pages of one size.

The modules are those of transformers, so the weights fit its checkpoints by construction. The pass is written
out here, because the one of transformers takes pages one after the other, and with pages this small it leaves
most of a processor idle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workshop.nano.batches import CLASSES, IGNORED, SLOTS, TrainingBatch

if TYPE_CHECKING:
    from transformers import Qwen2VLForConditionalGeneration


EMPTY_WEIGHT = 0.1
"""Weight of a part of a cell without a character: most parts have none, and they teach little."""


class Losses(NamedTuple):
    """The losses and hit rates of a batch, each a mean."""

    characters: Tensor
    """Cross entropy of the characters in the parts of the cells, empty parts at ``EMPTY_WEIGHT``; nats."""
    seen: Tensor
    """Share of the characters that the auxiliary head recognises."""
    answers: Tensor | None = None
    """Cross entropy of the answers' tokens, nats; None where nothing is asked."""
    right: Tensor | None = None
    """Share of the answers' tokens that are the most probable ones."""


class Learner(nn.Module):
    """The model with an auxiliary head, which says which characters a visual token covers.

    The head gives every visual token something to learn from the first step on, long before the answers do.
    It is thrown away at the end.
    """

    def __init__(self, model: Qwen2VLForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        hidden = model.config.get_text_config().hidden_size
        self.auxiliary = nn.Linear(hidden, SLOTS[0] * SLOTS[1] * CLASSES)

    def forward(
        self,
        patches: Tensor,
        angles: Tensor,
        ids: Tensor,
        positions: Tensor,
        mask: Tensor,
        targets: Tensor,
        slots: Tensor,
        start: int,
    ) -> Losses:
        """Return the losses of a batch.

        ``angles`` are (N, head / 2), ``mask`` (B, 1, T, T), ``start`` the place of the first visual token;
        for the others see ``TrainingBatch``.
        """
        visual = self.encode_pages(patches, angles)
        guesses = self.auxiliary(visual).float().view(-1, CLASSES)
        wanted = slots.reshape(-1)
        inked = wanted > 0
        each = F.cross_entropy(guesses, wanted, ignore_index=IGNORED, reduction="none")
        weight = torch.where(inked, 1.0, torch.where(wanted == 0, EMPTY_WEIGHT, 0.0))
        characters = (each * weight).sum() / weight.sum()
        seen = ((guesses.argmax(-1) == wanted) & inked).sum() / inked.sum().clamp(min=1)
        if not (targets != IGNORED).any():
            return Losses(characters, seen)
        logits, kept = self.answer_logits(visual, ids, positions, mask, targets, start)
        right = (logits.argmax(-1) == kept).float().mean()
        return Losses(characters, seen, F.cross_entropy(logits, kept), right)

    def encode_pages(self, patches: Tensor, angles: Tensor) -> Tensor:
        """(B, N, 588) → (B, N / 4, hidden): the vision tower."""
        tower: Any = self.model.model.visual
        kernel = tower.patch_embed.proj.weight
        # A page is a film of two equal pictures: the two halves of the kernel meet the same pixels.
        x = F.linear(patches, (kernel[:, :, 0] + kernel[:, :, 1]).flatten(1))
        batch, count, width = x.shape
        cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)
        for block in tower.blocks:
            heads = block.attn.num_heads
            qkv = block.attn.qkv(block.norm1(x)).view(batch, count, 3, heads, -1)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            out = _attend(_rotate(q, cos, sin), _rotate(k, cos, sin), v)
            x = x + block.attn.proj(out.transpose(1, 2).reshape(batch, count, width))
            x = x + block.mlp(block.norm2(x))
        merged = tower.merger.ln_q(x).view(batch, count // 4, 4 * width)
        return tower.merger.mlp(merged)  # type: ignore[no-any-return]

    def answer_logits(
        self,
        visual: Tensor,
        ids: Tensor,
        positions: Tensor,
        mask: Tensor,
        targets: Tensor,
        start: int,
    ) -> tuple[Tensor, Tensor]:
        """Logits where an answer is learned, (answer tokens, vocabulary), and their targets."""
        language: Any = self.model.model.language_model
        x = language.embed_tokens(ids)
        end = start + visual.shape[1]
        x = torch.cat([x[:, :start], visual.to(x.dtype), x[:, end:]], dim=1)
        cos, sin = self._rotation(positions)
        batch, length, width = x.shape
        for layer in language.layers:
            attention = layer.self_attn
            y = layer.input_layernorm(x)
            q, k, v = (
                project(y).view(batch, length, -1, attention.head_dim).transpose(1, 2)
                for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
            groups = q.shape[1] // k.shape[1]
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
            out = _attend(q, k, v, mask)
            x = x + attention.o_proj(out.transpose(1, 2).reshape(batch, length, width))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        learned = targets != IGNORED
        hidden = language.norm(x[learned])
        return F.linear(hidden, language.embed_tokens.weight).float(), targets[learned]

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(3, B, T) → cosines and sines, (B, 1, T, head)."""
        language: Any = self.model.model.language_model
        angles = positions[..., None].float() * language.rotary_emb.inv_freq
        sections = self.model.config.get_text_config().rope_parameters["mrope_section"]
        parts = angles.split(sections, dim=-1)
        chosen = torch.cat([part[axis] for axis, part in enumerate(parts)], dim=-1)
        both = torch.cat([chosen, chosen], dim=-1)[:, None]
        return both.cos(), both.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding; ``x`` (…, T, head)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat([-second, first], dim=-1) * sin.to(x.dtype)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of (B, heads, T, head) with the scores written out.

    Pages are small, so the scores fit, and on a CPU this is faster than the fused kernel, whose backward
    pass is slow there (see README.md beside this file).
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    # Autocast would take the softmax to fp32 and the scores through memory twice.
    with torch.autocast(q.device.type, enabled=False):
        shares = torch.softmax(scores, dim=-1)
    return shares @ v


def vision_angles(model: Any, cells: tuple[int, int]) -> Tensor:
    """(N, head / 2) for a page of ``cells`` (columns, rows): by row in the first half, then by column."""
    columns, rows = cells
    config = model.config.vision_config
    axis = config.embed_dim // config.num_heads // 2
    frequencies = 1.0 / (10000 ** (torch.arange(0, axis, 2).float() / axis))
    y, x = torch.meshgrid(torch.arange(2 * rows), torch.arange(2 * columns), indexing="ij")
    ordered = [
        grid.view(rows, 2, columns, 2).permute(0, 2, 1, 3).reshape(-1, 1).float() for grid in (y, x)
    ]
    return torch.cat([grid * frequencies for grid in ordered], dim=-1)


def inputs(model: Any, batch: TrainingBatch, device: torch.device) -> dict[str, Any]:
    """The arguments of ``Learner.forward`` on ``device``."""
    segments = torch.from_numpy(batch.segments).to(device)
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    visible = (segments[:, None, :] == 0) | (segments[:, None, :] == segments[:, :, None])
    tensors = {
        name: torch.from_numpy(getattr(batch, name)).to(device)
        for name in ("patches", "ids", "positions", "targets", "slots")
    }
    page = model.config.image_token_id
    start = int((batch.ids[0] == page).argmax())
    angles = vision_angles(model, batch.cells).to(device)
    return tensors | {"mask": (visible & causal)[:, None], "angles": angles, "start": start}
