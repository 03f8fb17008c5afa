"""All that is particular to CUDA: one attention kernel, graphs, copies that nobody waits for.

Everything here has a counterpart without CUDA that the tests run: ``varlen.plain`` for the kernel, calling
a step for replaying it, an ordinary copy. What a machine cannot do is found out while the model is loaded
(``trial``, the first capture), answered another way, and on the record.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import EnvironmentProblem
from bench.models.qwen_vl.varlen import Kernel, Seen, Segments, plain
from bench.text import one_line

if TYPE_CHECKING:
    import torch


def flash(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    segments: Segments,
    *,
    causal: bool,
    scale: float,
) -> Seen:
    """FlashAttention as torch has it; a ``Kernel`` for fp16 and bf16. Needs torch 2.12.

    With one query a sequence it folds the query heads of a key/value head into queries, and splits long
    runs of keys among the device's multiprocessors.
    """
    from torch.nn.attention.varlen import AuxRequest, varlen_attn

    seen, logsumexp = varlen_attn(
        queries,
        keys,
        values,
        segments.ends,
        segments.starts,
        segments.longest_query,
        segments.longest_key,
        return_aux=AuxRequest(lse=True),
        scale=scale,
        window_size=(-1, 0) if causal else (-1, -1),
        enable_gqa=True,
        seqused_k=segments.used,
    )
    # The documentation says (queries, heads); the kernel gives (heads, queries), and ``trial`` watches it.
    return Seen(seen, logsumexp.transpose(0, 1))


def flash_operator(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    segments: Segments,
    *,
    causal: bool,
    scale: float,
) -> Seen:
    """The operator under ``varlen_attn``; a ``Kernel`` for torch before 2.12.

    It is older than the function (torch 2.5 has it with these arguments), but not public: whether it does
    the same in a given version is for ``trial`` to say.
    """
    import torch

    seen, logsumexp, *_ = torch.ops.aten._flash_attention_forward(
        queries,
        keys,
        values,
        segments.ends,
        segments.starts,
        segments.longest_query,
        segments.longest_key,
        0.0,
        causal,
        False,
        scale=scale,
        seqused_k=segments.used,
    )
    return Seen(seen, unpadded(logsumexp, segments, len(queries)))


def unpadded(logsumexp: torch.Tensor, segments: Segments, queries: int) -> torch.Tensor:
    """(queries, heads) from what a version of the operator gives; the host waits for nothing.

    Older versions (torch 2.6) pad every sequence to the longest query: (sequences, heads, longest query).
    Newer ones give (heads, queries).
    """
    import torch

    if logsumexp.dim() == 2:
        return logsumexp.transpose(0, 1)
    if segments.longest_query == 1:
        return logsumexp[:, :, 0]
    sequence = torch.repeat_interleave(segments.ends.diff(), output_size=queries)
    offset = torch.arange(queries, device=logsumexp.device) - segments.ends[sequence]
    return logsumexp[sequence, :, offset]


KERNELS: dict[str, Kernel] = {
    "FlashAttention over sequences of unequal length": flash,
    "FlashAttention over sequences of unequal length, by the operator": flash_operator,
}
"""As the record of a run calls them → kernels, in the order in which they are tried."""


def trial(
    kernel: Kernel, *, heads: int, groups: int, size: int, dtype: torch.dtype, device: torch.device
) -> str | None:
    """Why ``kernel`` cannot be used with ``heads`` key/value heads of this kind; None if it can.

    It has to agree with ``varlen.plain`` on every form that the engine asks for, and must not read what
    lies outside the segments: there are NaNs there.
    """
    import torch

    generator = torch.Generator().manual_seed(0)

    def draw(tokens: int, count: int) -> torch.Tensor:
        return torch.randn(tokens, count, size, generator=generator).to(device, dtype)

    def numbers(*values: int) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.int32, device=device)

    query_heads = heads * groups
    forms = {
        "whole sequences": (draw(86, query_heads), (0, 5, 85, 86), (0, 5, 85), (5, 80, 1), True),
        "pages": (draw(86, query_heads), (0, 5, 85, 86), (0, 5, 85), (5, 80, 1), False),
        "continued sequences": (
            draw(24, query_heads), (0, 3, 4, 24), (300, 10, 100), (7, 130, 33), True,
        ),
        "a shared prefix": (draw(24, query_heads), (0, 4, 24), (200, 3), (150, 190), False),
        "a step": (draw(3, query_heads), (0, 1, 2, 3), (300, 399, 10), (70, 1, 17), False),
        "a step with its prefix": (draw(2, 5 * query_heads), (0, 1, 2), (200, 3), (150, 190), False),
    }  # fmt: skip
    for name, (queries, ends, starts, used, causal) in forms.items():
        keys, values = draw(400, heads), draw(400, heads)
        outside = torch.ones(400, dtype=torch.bool, device=device)
        for start, count in zip(starts, used, strict=True):
            outside[start : start + count] = False
        keys[outside] = values[outside] = float("nan")
        longest = max(last - first for first, last in pairwise(ends))
        segments = Segments(numbers(*ends), numbers(*starts, 0), numbers(*used), longest, 256)
        expected = plain(queries, keys, values, segments, causal=causal, scale=size**-0.5)
        try:
            seen = kernel(queries, keys, values, segments, causal=causal, scale=size**-0.5)
            for got, want in zip(seen, expected, strict=True):
                torch.testing.assert_close(got.float(), want.float(), rtol=2e-2, atol=2e-2)
        except (RuntimeError, ImportError, TypeError, ValueError, AssertionError) as error:
            return f"{name}: {one_line(str(error), 160)}"
    return None


def fused_attention(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Inside, ``scaled_dot_product_attention`` takes a fused kernel on a GPU or fails.

    It must not fall back to a matrix of scores: at 19,276 patches one in bf16 takes 12 GB. Only where the
    GPU has no fused kernel for ``dtype`` (bf16 before compute capability 8.0) it may.
    """
    import torch

    if device.type != "cuda":
        return nullcontext()
    if dtype == torch.bfloat16 and not has_bf16_units(device):
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fused = [
        SDPBackend.FLASH_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION,
        SDPBackend.CUDNN_ATTENTION,
    ]
    only_fused: AbstractContextManager[None] = sdpa_kernel(fused)
    return only_fused


def has_bf16_units(device: torch.device) -> bool:
    """Whether the GPU ``device`` computes in bf16 itself: compute capability 8.0 and above."""
    import torch

    return torch.cuda.get_device_capability(device) >= (8, 0)


def serves_grouped_queries(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a fused kernel takes query heads that share a key/value head as they are.

    On a GPU only FlashAttention does, which is for 16 bits and compute capability 8.0 and above. Elsewhere
    torch would write down a matrix of scores: 1.1 GB in fp32 for a prefix of 4,819 tokens and 12 heads.
    """
    import torch

    if device.type != "cuda":
        return True
    return dtype in {torch.float16, torch.bfloat16} and has_bf16_units(device)


class Graphs:
    """Captures steps, so that replaying one launches all its kernels at once."""

    def __init__(self) -> None:
        """For the current device."""
        import torch

        # One pool for all graphs: nothing in it outlives a replay, and no two replays run at a time.
        self._pool = torch.cuda.graph_pool_handle()

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """What does the same as ``step``, at the same addresses, without Python.

        ``step`` is run three times, and must neither wait for the device nor change shape.

        Raises:
            RuntimeError: something in ``step`` cannot be captured.
            EnvironmentProblem: it cannot, and torch cannot use the device's memory any more.
        """
        import torch

        # Untyped in torch.
        new_stream: Any = torch.cuda.Stream
        # Outside the capture first: libraries take their workspaces at a kernel's first call. On a stream
        # of its own: torch 2.13 does not bear it on the one that captures (pytorch#193402).
        warm = new_stream()
        warm.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm):
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(warm)
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # Threads that read pages allocate memory meanwhile, which by default breaks a capture.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                step()
        except BaseException:
            # A capture that fails may leave its own stream the current one.
            torch.cuda.set_stream(current)
            self._mend()
            raise
        return graph.replay

    def drop(self) -> None:
        """Wait until no graph runs, so that all may go; what is captured later shares other memory.

        The pool of graphs that have gone cannot be used again (torch 2.10 and 2.11, pytorch#175276).
        """
        import torch

        torch.cuda.synchronize()
        self._pool = torch.cuda.graph_pool_handle()

    def _mend(self) -> None:
        """Bring the allocator out of a capture that has failed.

        Before 2.12, torch forgets to (pytorch#180395): the allocator then refuses to give memory back,
        which everything that copes with too little memory relies on.

        Raises:
            EnvironmentProblem: the allocator still refuses.
        """
        import torch

        for name in ("_cuda_endAllocateToPool", "_cuda_endAllocateCurrentStreamToPool"):
            end = getattr(torch._C, name, None)
            if end is not None:
                # It refuses where torch has done so itself.
                with suppress(RuntimeError):
                    end(torch.cuda.current_device(), self._pool)
                break
        self._pool = torch.cuda.graph_pool_handle()
        try:
            torch.cuda.empty_cache()
        except RuntimeError as error:
            raise EnvironmentProblem(
                "a step of decoding could not be captured as a CUDA graph, after which torch "
                f"{torch.__version__} cannot manage the GPU's memory: {one_line(str(error), 120)}",
                hint="set graphs = false in the model's options (bench.toml), or install torch 2.12 or newer",
            ) from error


class Sent(NamedTuple):
    """Numbers on their way to the host."""

    numbers: torch.Tensor
    arrived: torch.cuda.Event | None

    def read(self) -> list[list[float]]:
        """The numbers as rows, once they have arrived; later work of the device is not waited for."""
        if self.arrived is not None:
            self.arrived.synchronize()
        rows: list[list[float]] = self.numbers.tolist()
        return rows


def send(numbers: torch.Tensor) -> Sent:
    """Copy ``numbers`` (2-D), as they will be when the device gets there, to the host."""
    import torch

    if numbers.device.type != "cuda":
        return Sent(numbers.clone(), None)
    host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
    host.copy_(numbers, non_blocking=True)
    # Untyped in torch.
    new_event: Any = torch.cuda.Event
    arrived = new_event()
    arrived.record()
    return Sent(host, arrived)


def upload(numbers: torch.Tensor, device: torch.device) -> torch.Tensor:
    """``numbers`` on ``device``; the host does not wait for the copy."""
    if device.type != "cuda":
        return numbers.to(device)
    return numbers.pin_memory().to(device, non_blocking=True)


class PageUploads:
    """Pages go to the device on a stream of their own, while it computes others.

    Called from the threads that read pages, so that nobody waits for the copy into pinned memory either.
    """

    def __init__(self, device: torch.device) -> None:
        import torch

        # Untyped in torch.
        new_stream: Any = torch.cuda.Stream
        self._device, self._stream = device, new_stream(device)

    def send(self, patches: torch.Tensor) -> torch.Tensor:
        """``patches`` on the device, not to be used before ``receive``."""
        import torch

        with torch.cuda.stream(self._stream):
            return patches.pin_memory().to(self._device, non_blocking=True)

    def receive(self, patches: torch.Tensor) -> torch.Tensor:
        """``patches``, to be used by what is asked of the device from now on."""
        import torch

        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        # Made on the other stream, whose allocator would give the memory away too early.
        patches.record_stream(current)
        return patches
