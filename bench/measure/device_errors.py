"""The errors by which a lack of memory shows, and those by which a GPU is lost to this process."""

from __future__ import annotations

from collections.abc import Iterable

from bench.errors import EnvironmentProblem, OutOfMemory
from bench.measure.nvml import torch_with_cuda
from bench.text import one_line

_OUT_OF_MEMORY = (
    # "CUDA out of memory", "CUDA driver error: out of memory", "Triton Error [CUDA]: out of memory".
    "out of memory",
    # CUDA's libraries: CUBLAS_STATUS_ALLOC_FAILED, and as cuDNN 9 calls it,
    # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED.
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    # Before torch's allocator reports a lack of memory, it asks the driver how much is free. On a part of a
    # divided GPU (MIG) it may not ask, and then torch reports only this failed check (pytorch#112377).
    "NVML_SUCCESS ==",
    # Main memory.
    "DefaultCPUAllocator: can't allocate",
    "std::bad_alloc",
)
"""Messages that mean "out of memory", of torch, the driver and CUDA's libraries."""

_NO_ROOM_OR_LOST = ("CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_NOT_INITIALIZED")
"""What CUDA's libraries say where they cannot begin: they found no memory, or the GPU is lost."""

_OF_THE_DEVICE = (
    "CUDA error",
    "CUDA driver error",
    "cuDNN error",
    "Triton Error",
    "device-side assert",
    "illegal memory access",
)
"""Messages that mean that a kernel failed. After most of these the process can do nothing more on the GPU."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` means that memory ran out, on a GPU or on the CPU."""
    if _says_out_of_memory(error):
        return True
    cannot_begin = isinstance(error, RuntimeError) and _any_in(_NO_ROOM_OR_LOST, error)
    return cannot_begin and _still_computes()


def _says_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    # torch.OutOfMemoryError and torch.AcceleratorError are runtime errors; torch need not be loaded for this.
    if not isinstance(error, RuntimeError):
        return False
    return type(error).__name__ == "OutOfMemoryError" or _any_in(_OUT_OF_MEMORY, error)


def _any_in(phrases: Iterable[str], error: BaseException) -> bool:
    said = str(error)
    return any(phrase in said for phrase in phrases)


def is_device_lost(error: BaseException) -> bool:
    """Whether ``error`` comes from a GPU on which this process can compute nothing more.

    After an illegal access, a failed assertion in a kernel, or the loss of the GPU, every further call fails
    with the same error, whatever it computes. Only a new process can go on.
    """
    if is_out_of_memory(error) or not isinstance(error, RuntimeError):
        return False
    of_the_device = type(error).__name__ == "AcceleratorError"
    return (of_the_device or _any_in(_OF_THE_DEVICE, error)) and not _still_computes()


def gpu_failure(error: BaseException) -> EnvironmentProblem | None:
    """``error`` for a person, where memory ran out or the GPU is lost; else None."""
    # torch adds advice for people who write kernels.
    said = one_line(str(error).partition("\n")[0])
    if is_out_of_memory(error):
        return OutOfMemory(
            f"memory ran out: {said}",
            hint="bench doctor shows what is free; a quantized model (-int4, -nf4) needs less",
        )
    if is_device_lost(error):
        return EnvironmentProblem(
            f"the GPU cannot be used: {said}",
            hint="bench doctor tries the GPU, and nvidia-smi shows who else uses it",
        )
    return None


def _still_computes() -> bool:
    """Whether every GPU on which this process holds memory carries a small computation out."""
    torch = torch_with_cuda()
    if torch is None:
        return False
    indices = range(torch.cuda.device_count())
    used = [index for index in indices if torch.cuda.memory_reserved(index) > 0]
    try:
        for index in used or [torch.cuda.current_device()]:
            torch.zeros(1, device=f"cuda:{index}").add_(1).item()
    except RuntimeError as error:
        # A GPU that is full can say so, and a smaller batch may fit.
        return _says_out_of_memory(error)
    return True
