"""Step 2, vision: from patches to the features that stand for a page in the prompt.

Small pages share a call, large ones get one each: beyond a few thousand patches a call is already as
efficient as it gets, and what it holds in memory grows with the pages in it. Pages of one call do not
see each other; each of them is a sequence of its own in the tower's attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.models.qwen_vl.clock import Clock
from bench.models.qwen_vl.cuda import fused_attention
from bench.models.qwen_vl.pixels import PagePixels, PageReader
from bench.models.qwen_vl.varlen import Kernel, Segments

if TYPE_CHECKING:
    import torch

PACKED = "bench_flash"
"""Name of the packed attention among transformers' attention implementations. To one with ``flash`` in its
name the tower gives the pages' bounds; for others it reads them on the host, in every layer."""


class PageFeatures(NamedTuple):
    """What the vision tower made of one page."""

    tokens: torch.Tensor
    """(visual tokens, hidden size of the language model)."""
    deepstack: tuple[torch.Tensor, ...]
    """Qwen3-VL only: features of inner layers of the tower, each shaped like ``tokens``. They are added
    to the hidden states after the first layers of the language model, one by one (arXiv 2406.04334)."""


def encode_pages(
    model: Any, reader: PageReader, pages: Sequence[PagePixels], clock: Clock
) -> list[PageFeatures]:
    """The features of ``pages``, all of them in one call of the vision tower."""
    import torch

    device = model.device
    values = torch.cat([reader.values(page, device) for page in pages])
    clock.lap("transfer")
    grid = torch.tensor([(1, page.height, page.width) for page in pages], device=device)
    with fused_attention(device, model.dtype):
        output = model.model.get_image_features(values, grid, return_dict=True)
    clock.lap("vision")
    layers = getattr(output, "deepstack_features", None) or ()
    return [
        PageFeatures(tokens, tuple(layer[index] for layer in layers))
        for index, tokens in enumerate(output.pooler_output)
    ]


def use_packed_attention(model: Any, kernel: Kernel) -> None:
    """Let the vision tower of ``model`` attend to all pages, or windows, of a call in one ``kernel``."""
    from transformers import AttentionInterface

    def attend(
        module: Any,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        attention_mask: torch.Tensor | None,
        *,
        scaling: float,
        cu_seq_lens_q: torch.Tensor,
        max_length_q: int,
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        lengths = cu_seq_lens_q[1:] - cu_seq_lens_q[:-1]
        pages = Segments(cu_seq_lens_q, cu_seq_lens_q, lengths, max_length_q, max_length_q)
        q, k, v = (part[0].transpose(0, 1) for part in (queries, keys, values))
        return kernel(q, k, v, pages, causal=False, scale=scaling).values.unsqueeze(0), None

    AttentionInterface.register(PACKED, attend)
    # Not ``set_attn_implementation``: it takes any name with ``flash`` in it for a package to import.
    model.model.visual.config._attn_implementation = PACKED


BY_PAGE = "bench_flash_by_page"
"""Name of the attention of ``use_attention_by_page``; see ``PACKED``."""


def use_attention_by_page(model: Any) -> None:
    """Let the vision tower of ``model`` use torch's attention on each page, or window, of a call.

    transformers does the same, but reads the pages' bounds on the host three times in every layer, and each
    time the host waits for the GPU.
    """
    import torch
    from transformers import AttentionInterface

    bounds = _BoundsOnHost()

    def attend(
        module: Any,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        attention_mask: torch.Tensor | None,
        *,
        scaling: float,
        cu_seq_lens_q: torch.Tensor,
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        lengths = bounds.lengths(cu_seq_lens_q)
        parts = (torch.split(part, lengths, dim=2) for part in (queries, keys, values))
        seen = [
            torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scaling)
            for q, k, v in zip(*parts, strict=True)
        ]
        return torch.cat(seen, dim=2).transpose(1, 2), None

    AttentionInterface.register(BY_PAGE, attend)
    model.model.visual.config._attn_implementation = BY_PAGE


class _BoundsOnHost:
    """Reads the bounds of the pages, and of the windows of a tower that has some, once in a call."""

    def __init__(self) -> None:
        self._read: list[tuple[torch.Tensor, list[int]]] = []

    def lengths(self, ends: torch.Tensor) -> list[int]:
        """Patches of each page or window; ``ends`` is the same tensor in every layer of a call."""
        for known, lengths in self._read:
            if known is ends:
                return lengths
        lengths = ends.diff().tolist()
        self._read = [*self._read[-1:], (ends, lengths)]
        return lengths


def flatten_patch_embedding(model: Any) -> bool:
    """Make the patch embedding a matrix product; says whether there was something to do.

    A convolution whose stride is its kernel is one, and the general convolution is several times slower
    (6x on a CPU; pytorch#174051 for CUDA). The products are summed in another order, which changes the
    last bits of the result, as every other batch shape does.
    """
    import torch

    from bench.models.qwen_vl.products import FlatConvolution

    embedding = model.model.visual.patch_embed
    convolution = embedding.proj
    if type(convolution) is not torch.nn.Conv3d or convolution.stride != convolution.kernel_size:
        return False

    embedding.proj = FlatConvolution(convolution)
    return True
