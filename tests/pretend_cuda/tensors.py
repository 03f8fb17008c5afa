"""Tensors of the pretend GPU, and what happens when an operation meets one.

``GpuTensor`` wraps a tensor in main memory. Every operation of torch passes through ``run``, which checks
what CUDA would, computes on the wrapped tensors, and wraps what belongs on the device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from tests.pretend_cuda import kernels
from tests.pretend_cuda.device import asked_at, gpu

DEVICE = torch.device("cuda:0")

COPIES = {"aten::_to_copy", "aten::to"}
INDEXED = {
    "aten::index",
    "aten::index_put",
    "aten::index_put_",
    "aten::_index_put_impl_",
    "aten::_unsafe_index",
}
WAITS = {
    "aten::_local_scalar_dense",
    "aten::_unique2",
    "aten::allclose",
    "aten::argwhere",
    "aten::bincount",
    "aten::equal",
    "aten::is_nonzero",
    "aten::item",
    "aten::masked_select",
    "aten::nonzero",
    "aten::repeat_interleave",
    "aten::unique_consecutive",
    "aten::unique_dim",
}
"""Operations whose result, or the size of whose result, the host has to wait for."""
NO_SCALARS = {"aten::addmm", "aten::bmm", "aten::cat", "aten::linear", "aten::mm", "aten::stack"}
"""Operations that do not even take a CPU tensor of a single number beside tensors of a GPU."""


class GpuTensor(torch.Tensor):
    """A tensor that says ``cuda:0``; ``held`` holds its numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> GpuTensor:
        # On "meta", since a torch without CUDA cannot make a wrapper that is on "cuda".
        wrapper: GpuTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device="meta",
        )
        wrapper.held = held
        stream = gpu().current
        wrapper.made_on, wrapper.made_at = stream.number, stream.clock  # type: ignore[attr-defined]
        return wrapper

    def __init__(self, held: torch.Tensor) -> None:
        pass

    def __repr__(self, **_: Any) -> str:
        return f"GpuTensor({tuple(self.shape)}, {self.dtype})"

    def record_stream(self, stream: Any) -> None:
        """Accepted: memory is never given away too early here."""

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return run(function, args, kwargs or {})

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in _ATTRIBUTES:
            return _ATTRIBUTES[function]
        if function is torch.Tensor.__setitem__ and isinstance(args[2], (bool, int, float)):
            # torch would make a CPU tensor of the number and copy it, where CUDA fills.
            number = torch.tensor(args[2], dtype=args[0].dtype)
            args = (args[0], args[1], GpuTensor(number))
        if function is torch.Tensor.tolist:
            gpu().wait("tolist")
            return args[0].held.tolist()
        if function is torch.Tensor.numpy:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if function is torch.nn.functional.scaled_dot_product_attention:
            return kernels.scaled_dot_product_attention(function, args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **kwargs)


_ATTRIBUTES: dict[Any, Any] = {
    torch.Tensor.device.__get__: DEVICE,  # type: ignore[attr-defined]
    torch.Tensor.is_cuda.__get__: True,  # type: ignore[attr-defined]
    torch.Tensor.is_cpu.__get__: False,  # type: ignore[attr-defined]
    torch.Tensor.is_meta.__get__: False,  # type: ignore[attr-defined]
    torch.Tensor.get_device: 0,
}
"""What a tensor says of itself → the value."""


class Call:
    """One operation with what it was given."""

    def __init__(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.name: str = function._schema.name
        names = [argument.name for argument in function._schema.arguments]
        self.given = dict(zip(names, args, strict=False)) | dict(kwargs)
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        self.on_gpu = [tensor for tensor in tensors if isinstance(tensor, GpuTensor)]
        self.on_cpu = [tensor for tensor in tensors if not isinstance(tensor, GpuTensor)]
        if self.on_gpu and any(tensor.is_meta for tensor in self.on_cpu):
            raise AssertionError(f"{self.name}: a tensor lost its pretend device at {asked_at()}")

    @property
    def at(self) -> str:
        """For error messages."""
        return f"({self.name} at {asked_at()})"


def run(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Carry out one operation as the pretend GPU would.

    Raises:
        RuntimeError: CUDA would not allow it, or would compute something else.
    """
    if function._schema.name in kernels.ATTENTION:
        _check_streams(Call(function, args, kwargs))
        return kernels.attention(function, args, kwargs)
    call = Call(function, args, kwargs)
    device = call.given.get("device")
    on_gpu = bool(call.on_gpu) if device is None else torch.device(device).type == "cuda"
    if not on_gpu and not call.on_gpu:
        # Memory in main memory is never pinned here: that would take a real driver.
        return function(*args, **{k: v for k, v in kwargs.items() if k != "pin_memory"})
    _check_streams(call)
    _check_waits(call)
    _check_devices(call)
    return _copied(call) if call.name in COPIES else compute(call, on_gpu=on_gpu)


def _check_streams(call: Call) -> None:
    """Refuse what another stream made and the current one has not waited for."""
    stream = gpu().current
    stream.clock += 1
    if stream.number and not gpu().capturing:
        gpu().warm_up_streams.add(stream.number)
    for tensor in call.on_gpu:
        made_on, made_at = tensor.made_on, tensor.made_at  # type: ignore[attr-defined]
        if made_on not in {stream.number, 0} and stream.waited.get(made_on, -1) < made_at:
            raise RuntimeError(
                f"stream {stream.number} uses what stream {made_on} made without waiting for it {call.at}"
            )


def _check_waits(call: Call) -> None:
    if call.name not in WAITS or not call.on_gpu:
        return
    if call.name == "aten::repeat_interleave":
        repeats = call.given.get("repeats")
        if call.given.get("output_size") is not None or not isinstance(repeats, torch.Tensor):
            return
    gpu().wait(call.name)


def _check_devices(call: Call) -> None:
    if call.name in INDEXED:
        _check_index(call)
    elif call.name == "aten::copy_":
        target, source = call.given["self"], call.given["src"]
        crosses = isinstance(target, GpuTensor) != isinstance(source, GpuTensor)
        if crosses and not call.given.get("non_blocking"):
            gpu().wait("a copy between devices")
    elif (
        call.on_gpu
        and call.name not in COPIES
        and any(tensor.dim() > 0 or call.name in NO_SCALARS for tensor in call.on_cpu)
    ):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu! {call.at}"
        )


def _check_index(call: Call) -> None:
    indexed_on_gpu = isinstance(call.given.get("self"), GpuTensor)
    for index in call.given.get("indices") or ():
        if not isinstance(index, torch.Tensor):
            continue
        if isinstance(index, GpuTensor) and not indexed_on_gpu:
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor (cpu) "
                + call.at
            )
        if indexed_on_gpu and not isinstance(index, GpuTensor):
            gpu().wait("an index that is copied to the device")
        if indexed_on_gpu and index.dtype in {torch.bool, torch.uint8}:
            gpu().wait("an index by a mask, whose places are counted")
    values = call.given.get("values")
    if isinstance(values, torch.Tensor) and isinstance(values, GpuTensor) != indexed_on_gpu:
        if values.dim() > 0:
            raise RuntimeError(f"Expected all tensors to be on the same device {call.at}")
        gpu().wait("a number that is copied to the device")


def _copied(call: Call) -> Any:
    """``to`` another device or dtype."""
    source, other, device = call.given["self"], call.given.get("other"), call.given.get("device")
    if device is not None:
        goes_to_gpu = torch.device(device).type == "cuda"
    else:
        goes_to_gpu = isinstance(source if other is None else other, GpuTensor)
    comes_from_gpu = isinstance(source, GpuTensor)
    if not call.given.get("non_blocking"):
        if comes_from_gpu and not goes_to_gpu:
            gpu().wait("a copy to the host")
        if goes_to_gpu and not comes_from_gpu:
            gpu().forbid_in_capture("a blocking copy to the device")
    dtype = call.given.get("dtype") or (source if other is None else other).dtype
    same = comes_from_gpu == goes_to_gpu and dtype == source.dtype
    if same and call.name == "aten::to" and not call.given.get("copy"):
        return source
    held = source.held if comes_from_gpu else source
    target = computed(lambda: held.to(dtype=dtype, copy=True), inputs=[held])
    return GpuTensor(target) if goes_to_gpu else target


def compute(call: Call, *, on_gpu: bool) -> Any:
    """Carry out ``call`` in main memory; new tensors are wrapped where they belong ``on_gpu``."""
    wrappers = {id(tensor.held): tensor for tensor in call.on_gpu}
    args, kwargs = tree_map(unwrapped, (tuple(call.args), dict(call.kwargs)))
    inputs = [tensor.held for tensor in call.on_gpu]
    result = computed(lambda: call.function(*args, **kwargs), inputs=inputs, record=on_gpu)

    def wrapped(output: Any) -> Any:
        if not isinstance(output, torch.Tensor) or isinstance(output, GpuTensor):
            return output
        if id(output) in wrappers:
            return wrappers[id(output)]
        given = any(output is tensor for tensor in call.on_cpu)
        return GpuTensor(output) if on_gpu and not given else output

    wrapped_result = tree_map(wrapped, result)
    arguments = call.function._schema.arguments
    alias = arguments[0].alias_info if arguments else None
    in_place = alias is not None and alias.is_write and call.name.endswith("_")
    return call.args[0] if in_place and call.args else wrapped_result


def unwrapped(given: Any) -> Any:
    """``given``, as the CPU's kernels take it."""
    if isinstance(given, GpuTensor):
        return given.held
    on_cuda = isinstance(given, torch.device) and given.type == "cuda"
    return torch.device("cpu") if on_cuda else given


def computed(
    work: Callable[[], Any], *, inputs: Sequence[torch.Tensor], record: bool = True
) -> Any:
    """The result of ``work`` over plain tensors; while a graph is captured it is recorded.

    A replay does ``work`` again and writes what is new in its result to where the capture left it.
    """
    with torch._C._DisableTorchDispatch():
        result = work()
    if record and gpu().capturing:
        outputs = _new_tensors(result, inputs)
        recording = gpu().recording
        assert recording is not None

        def again() -> None:
            repeated = _new_tensors(work(), inputs)
            for output, value in zip(outputs, repeated, strict=True):
                output.copy_(value)

        recording.append(again)
    return result


def _new_tensors(result: Any, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Tensors of ``result`` that are not, and do not look into, one of ``inputs``."""
    known = {tensor.untyped_storage().data_ptr() for tensor in inputs}
    tensors = [x for x in tree_flatten(result)[0] if isinstance(x, torch.Tensor)]
    return [x for x in tensors if x.untyped_storage().data_ptr() not in known]


class Dispatch(TorchDispatchMode):  # type: ignore[misc]
    """Sends operations to ``run`` that no ``GpuTensor`` takes part in, such as ``zeros(device="cuda")``."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return run(function, args, kwargs or {})


class Making(TorchFunctionMode):  # type: ignore[misc]
    """``torch.tensor`` of Python numbers, which never reaches ``run``."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function not in {torch.tensor, torch.as_tensor} or not args:
            return function(*args, **kwargs)
        device, data = kwargs.get("device"), args[0]
        if isinstance(data, (list, tuple)) and any(isinstance(x, GpuTensor) for x in data):
            gpu().wait("torch.tensor of numbers that lie on the device")
            data = [x.held.item() if isinstance(x, GpuTensor) else x for x in data]
        if isinstance(data, GpuTensor):
            return data
        if device is None or torch.device(device).type != "cuda":
            return function(data, *args[1:], **kwargs)
        del kwargs["device"]
        gpu().wait("torch.tensor with device=cuda, a blocking copy")
        return GpuTensor(function(data, *args[1:], **kwargs))


@contextlib.contextmanager
def intercepted() -> Iterator[None]:
    """Operations of this thread go through ``run`` inside."""
    with Making(), Dispatch():
        yield


def to_gpu(model: Any) -> Any:
    """``model``, its parameters and buffers moved to the pretend GPU."""
    with torch.no_grad():
        for module in model.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    moved = GpuTensor(parameter.detach())
                    module._parameters[name] = torch.nn.Parameter(moved, requires_grad=False)
            for name, buffer in list(module._buffers.items()):
                if buffer is not None:
                    module._buffers[name] = GpuTensor(buffer)
    return model
