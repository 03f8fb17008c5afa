"""A pretend NVIDIA GPU: what CUDA forbids is forbidden, on a machine without one.

Inside ``pretend_gpu()``, ``torch.cuda`` shows one GPU. Tensors on it say ``cuda:0`` and hold their numbers in
main memory, so every answer is a real one, computed by the CPU's kernels. What a GPU would refuse, or would
do wrongly without a word, raises an error:

- an operation over tensors of two devices (``tensors``);
- a wait for the device while a graph is being captured, such as reading a number or indexing by a mask;
- a call of the attention kernel that breaks one of its preconditions: dtype, device, strides, bounds
  (``kernels``), or a GPU too old for it;
- a tensor that another stream made, used before its stream was waited for (``runtime``);
- a memory pool of graphs that is used again after its last graph has gone, and the allocator's broken state
  after a failed capture, in the versions of torch that have these faults.

A captured graph replays the operations that were recorded, on the same memory: a number that Python computed
during the capture stays what it was, as on a device. What took the host's time is counted in ``Gpu.waits``.

Not pretended: speed, memory that runs out, the arithmetic of a GPU's own kernels, several GPUs.
"""

from tests.pretend_cuda.runtime import HAS_VARLEN, Gpu, pretend_gpu
from tests.pretend_cuda.tensors import DEVICE, GpuTensor, to_gpu

__all__ = ["DEVICE", "HAS_VARLEN", "Gpu", "GpuTensor", "pretend_gpu", "to_gpu"]
