"""Step 3, prefix: what all questions about a document share, through the language model once.

The prefix is everything before the question: system message, page features, the template's text around
them. Prefixes are not padded to each other's length; short ones share a packed row.

Positions are given explicitly, three for every token (mRoPE, arXiv 2409.12191, section 2.1). Left to
itself the model derives them from ``rope_deltas``, state that the last prefill left behind, which
silently breaks any other order of calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.models.qwen_vl.cuda import upload
from bench.models.qwen_vl.pixels import PagePixels
from bench.models.qwen_vl.vision import PageFeatures

if TYPE_CHECKING:
    import torch

    from bench.models.qwen_vl.tree import Cache


class Prefix(NamedTuple):
    """A document before any question."""

    ids: torch.Tensor
    """(tokens,): the image token stands once for every visual token."""
    pages: tuple[PagePixels, ...]


def prefill(
    model: Any,
    cache: Cache,
    first: int,
    prefixes: Sequence[Prefix],
    features: Sequence[Sequence[PageFeatures]],
) -> list[int]:
    """Fill the rows of ``cache`` from ``first`` on with ``prefixes``, in one packed row.

    Returns:
        The position that comes after each prefix, where its questions begin.
    """
    import torch

    ids = torch.cat([prefix.ids for prefix in prefixes])
    visual = ids == model.config.image_token_id
    positions = [rope_positions(model, prefix) for prefix in prefixes]
    pages = [page for document in features for page in document]
    embedded = model.get_input_embeddings()(upload(ids, model.device))
    # By number, not by mask: counting a mask's places would make the host wait for the device.
    places = upload(visual.nonzero().squeeze(1), model.device)
    embedded[places] = torch.cat([page.tokens for page in pages]).to(embedded.dtype)
    extra = {}
    if pages[0].deepstack:
        layers = zip(*(page.deepstack for page in pages), strict=True)
        extra = {
            "visual_pos_masks": upload(visual.unsqueeze(0), model.device),
            "deepstack_visual_embeds": [torch.cat(layer) for layer in layers],
        }
    documents = range(first, first + len(prefixes))
    # Nobody reads what the last layer makes of a prefix, but features can only be added to what is there.
    takes_features = len(pages[0].deepstack) >= len(model.model.language_model.layers)
    model.model.language_model(
        inputs_embeds=embedded.unsqueeze(0),
        position_ids=upload(torch.cat(positions, dim=1).unsqueeze(1), model.device),
        use_cache=False,
        wanted=None if takes_features else slice(0),
        row=cache.prefix(documents, [len(prefix.ids) for prefix in prefixes]),
        **extra,
    )
    return [int(position.max()) + 1 for position in positions]


def rope_positions(model: Any, prefix: Prefix) -> torch.Tensor:
    """(3, tokens): temporal, vertical and horizontal position of every token, computed on the CPU.

    A page at position t lies in (t, t + row, t + column); what follows it begins behind its longer side.
    """
    import torch

    ids = prefix.ids.unsqueeze(0)
    positions, _ = model.model.get_rope_index(
        input_ids=ids,
        mm_token_type_ids=(ids == model.config.image_token_id).int(),
        image_grid_thw=torch.tensor([(1, page.height, page.width) for page in prefix.pages]),
    )
    of_prefix: torch.Tensor = positions[:, 0]
    return of_prefix
