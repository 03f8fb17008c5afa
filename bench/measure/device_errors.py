"""The errors by which a lack of memory shows, and those by which a GPU is lost to this process."""

from __future__ import annotations

from bench.measure.nvml import torch_with_cuda

_OUT_OF_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate",
)
"""Messages that mean "out of memory", of torch, the driver and CUDA's libraries."""

_OF_THE_DEVICE = (
    "CUDA error",
    "CUDA driver error",
    "cuDNN error",
    "device-side assert",
    "illegal memory access",
)
"""Messages that mean that a kernel failed. After most of these the process can do nothing more on the GPU."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError):
        return True
    # torch.OutOfMemoryError and torch.AcceleratorError are runtime errors; torch need not be loaded for this.
    if not isinstance(error, RuntimeError):
        return False
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def is_device_lost(error: BaseException) -> bool:
    """Whether ``error`` comes from a GPU on which this process can compute nothing more.

    After an illegal access, a failed assertion in a kernel, or the loss of the GPU, every further call fails
    with the same error, whatever it computes. Only a new process can go on.
    """
    if is_out_of_memory(error) or not isinstance(error, RuntimeError):
        return False
    of_the_device = type(error).__name__ == "AcceleratorError"
    of_the_device = of_the_device or any(words in str(error) for words in _OF_THE_DEVICE)
    return of_the_device and not _still_computes()


def _still_computes() -> bool:
    """Whether the GPU of this process carries a small computation out."""
    torch = torch_with_cuda()
    if torch is None:
        return False
    try:
        torch.zeros(1, device="cuda").add_(1).item()
    except RuntimeError:
        return False
    return True
