"""The attention kernels of a GPU: what they ask for, computed by the textbook on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bench.models.qwen_vl.varlen import Segments, plain
from tests.pretend_cuda import tensors
from tests.pretend_cuda.device import asked_at, gpu

ATTENTION = {"aten::_flash_attention_forward", "torch_attn::_varlen_attn"}
"""The operator of older versions, and the one under ``torch.nn.attention.varlen.varlen_attn``."""

HALF = {torch.float16, torch.bfloat16}


def attention(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """FlashAttention over sequences of unequal length, with all its preconditions checked.

    Raises:
        RuntimeError: the kernel would refuse the call, or read what it must not.
    """
    name = function._schema.name
    names = [argument.name for argument in function._schema.arguments]
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    gpu().attention_calls[name] += 1
    older = name.startswith("aten")
    ends = given["cum_seq_q"] if older else given["cu_seq_q"]
    starts = given["cum_seq_k"] if older else given["cu_seq_k"]
    causal = bool(given.get("is_causal"))
    if given.get("window_size"):
        causal = causal or tuple(given["window_size"]) == (-1, 0)
    operands = {name: given[name] for name in ("query", "key", "value")}
    indexes = {"query ends": ends, "key starts": starts, "used keys": given["seqused_k"]}
    _check_operands(operands, indexes)
    longest = given["max_q"], given["max_k"]
    if not all(type(number) is int for number in longest):
        raise RuntimeError(f"the longest query and key are Python numbers, at {asked_at()}")
    q, k, v = (tensor.held for tensor in operands.values())
    numbers = [tensor.held for tensor in indexes.values()]
    padded = gpu().padded_logsumexp and older

    def work() -> tuple[torch.Tensor, torch.Tensor]:
        _check_bounds(q, k, *numbers, *longest)
        # A single query sees all its keys, whatever is asked for.
        runs = Segments(*numbers, *longest)
        seen = plain(q, k, v, runs, causal=causal and longest[0] > 1, scale=given["scale"])
        logsumexp = seen.logsumexp.t().contiguous()
        return seen.values, _padded(logsumexp, numbers[0], longest[0]) if padded else logsumexp

    values, logsumexp = tensors.computed(work, inputs=[q, k, v, *numbers])
    unused = tensors.GpuTensor(torch.zeros(2))
    result = (tensors.GpuTensor(values), tensors.GpuTensor(logsumexp), unused, unused, unused)
    return result if older else result[:3]


def _check_operands(operands: Mapping[str, Any], indexes: Mapping[str, Any]) -> None:
    if gpu().capability < (8, 0):
        raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")
    query, key, _ = operands.values()
    for name, tensor in {**operands, **indexes}.items():
        if not isinstance(tensor, tensors.GpuTensor):
            raise RuntimeError(f"{name} must be on CUDA, at {asked_at()}")
    dtypes = {tensor.dtype for tensor in operands.values()}
    if len(dtypes) > 1 or not dtypes <= HALF:
        raise RuntimeError(
            f"FlashAttention only support fp16 and bf16 data type, all the same, not {dtypes}, "
            f"at {asked_at()}"
        )
    if any(tensor.stride(-1) != 1 for tensor in operands.values()):
        raise RuntimeError(f"Input tensor must have contiguous last dimension, at {asked_at()}")
    for name, tensor in indexes.items():
        if tensor.dtype != torch.int32 or not tensor.is_contiguous():
            raise RuntimeError(f"{name} must be contiguous and of dtype int32, at {asked_at()}")
    ends, starts, used = indexes.values()
    if not len(ends) == len(starts) == len(used) + 1:
        raise RuntimeError(f"{len(ends)} ends, {len(starts)} starts, {len(used)} counts")
    if query.shape[-1] % 8 or query.shape[-1] > 256 or query.shape[1] % key.shape[1]:
        raise RuntimeError(f"no kernel for heads of {tuple(query.shape)} and {tuple(key.shape)}")


def _check_bounds(
    query: torch.Tensor,
    key: torch.Tensor,
    ends: torch.Tensor,
    starts: torch.Tensor,
    used: torch.Tensor,
    longest_query: int,
    longest_key: int,
) -> None:
    """What a kernel does not check: on a device the result would be wrong, or the context dead."""
    if int(ends.diff().max()) > longest_query or int(used.max()) > longest_key:
        raise RuntimeError(f"a sequence is longer than the call says: wrong, at {asked_at()}")
    beyond = int((starts[:-1] + used).max()) > len(key) or int(starts[:-1].min()) < 0
    if beyond or int(ends[-1]) > len(query):
        raise RuntimeError(f"CUDA error: an illegal memory access, at {asked_at()}")


def _padded(logsumexp: torch.Tensor, ends: torch.Tensor, longest: int) -> torch.Tensor:
    """(heads, queries) as (sequences, heads, longest query), with NaNs where there is no query."""
    counts = ends.diff().tolist()
    padded = torch.full((len(counts), len(logsumexp), longest), float("nan"))
    for number, (start, count) in enumerate(zip(ends.tolist(), counts, strict=False)):
        padded[number, :, :count] = logsumexp[:, start : start + count]
    return padded


def scaled_dot_product_attention(
    function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """torch's attention: tensors of one device, and a kernel that this GPU has.

    Raises:
        RuntimeError: devices are mixed, or every kernel that the GPU has was ruled out.
    """
    given = [x for x in [*args, *kwargs.values()] if isinstance(x, torch.Tensor)]
    if not all(isinstance(tensor, tensors.GpuTensor) for tensor in given):
        raise RuntimeError("Expected all tensors to be on the same device (attention)")
    if not _has_fused_kernel(given[0].dtype, grouped=bool(kwargs.get("enable_gqa"))):
        if not torch.backends.cuda.math_sdp_enabled():
            raise RuntimeError("No available kernel. Aborting execution.")
        gpu().score_matrices[asked_at()] += 1
    plain_args = [tensors.unwrapped(x) for x in args]
    plain_kwargs = {name: tensors.unwrapped(x) for name, x in kwargs.items()}
    held = [tensors.unwrapped(tensor) for tensor in given]

    def work() -> Any:
        # Which kernels are ruled out is a matter of the GPU's.
        with torch.nn.attention.sdpa_kernel(list(_KINDS)):
            return function(*plain_args, **plain_kwargs)

    return tensors.GpuTensor(tensors.computed(work, inputs=held))


_KINDS = {
    torch.nn.attention.SDPBackend.MATH: torch.backends.cuda.math_sdp_enabled,
    torch.nn.attention.SDPBackend.FLASH_ATTENTION: torch.backends.cuda.flash_sdp_enabled,
    torch.nn.attention.SDPBackend.EFFICIENT_ATTENTION: torch.backends.cuda.mem_efficient_sdp_enabled,
    torch.nn.attention.SDPBackend.CUDNN_ATTENTION: torch.backends.cuda.cudnn_sdp_enabled,
}
"""Kernels of torch's attention → whether they are allowed now."""


def _has_fused_kernel(dtype: torch.dtype, *, grouped: bool) -> bool:
    """Whether a fused kernel that is allowed now serves ``dtype`` on this GPU.

    ``grouped``: several query heads share a key/value head, which only FlashAttention takes as they are.
    """
    _, flash, efficient, cudnn = (allowed() for allowed in _KINDS.values())
    ampere = gpu().capability >= (8, 0)
    if ampere and dtype in HALF and (flash or (cudnn and not grouped)):
        return True
    return bool(efficient and not grouped and (ampere or dtype is not torch.bfloat16))
