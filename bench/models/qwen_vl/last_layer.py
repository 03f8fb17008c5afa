"""The last layer of the language model, for the tokens that somebody reads.

Of a prefix only the keys and values are wanted, and of a question only what its last token leads to. The
last layer is the one after whose attention nothing else depends on the other tokens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def trim_last_layer(model: Any) -> None:
    """Let the last layer of ``model`` take ``wanted``, which is given to its language model.

    ``wanted`` selects the tokens of the packed row that go on behind the layer's attention: their numbers,
    or ``slice(0)`` for none. Without it all do, as in training.
    """
    layer = model.model.language_model.layers[-1]
    layer.forward = partial(_forward, layer)


def _forward(
    layer: Any,
    hidden_states: torch.Tensor,
    *,
    wanted: torch.Tensor | slice | None = None,
    **further: Any,
) -> torch.Tensor:
    """(1, tokens, hidden size) → (1, wanted tokens, hidden size); the layers of all families are alike."""
    if wanted is None:
        everything: torch.Tensor = type(layer).forward(layer, hidden_states, **further)
        return everything
    normed = layer.input_layernorm(hidden_states)
    attended, _ = layer.self_attn(hidden_states=normed, **further)
    kept: torch.Tensor = (hidden_states + attended)[:, wanted]
    if kept.shape[1] == 0:
        # The MLP would have nothing to do.
        return kept
    transformed: torch.Tensor = layer.mlp(layer.post_attention_layernorm(kept))
    return kept + transformed
