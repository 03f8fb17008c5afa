"""What is measured of the devices: a pretended driver stands in for NVML."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bench.errors import EnvironmentProblem
from bench.measure import (
    EnergyMeter,
    MemoryMeter,
    Monitor,
    doctor,
    environment,
    gpus,
    is_device_lost,
    is_out_of_memory,
    memory_now,
)
from bench.measure.monitor import Gpu
from bench.measure.nvml import handles_in_use
from bench.runner.instruments import Instruments
from bench.runner.predict import default_model


class Nvml:
    """The part of NVML that is asked; what is set to an exception is raised."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        """As NVML raises where a device does not support a question."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {
            "nvmlDeviceGetClockInfo": {1: 1410, 2: 1593},
            "nvmlDeviceGetTemperature": 71,
            "nvmlDeviceGetPowerUsage": 312_500,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97, memory=40),
            "nvmlDeviceGetCurrentClocksEventReasons": 0x1 | 0x4 | 0x40,
            "nvmlDeviceGetComputeRunningProcesses": [process(os.getpid(), 8)],
            "nvmlDeviceGetTotalEnergyConsumption": 5_000,
        } | answers

    def __getattr__(self, name: str) -> Any:
        def answer(*arguments: Any) -> Any:
            given = self.answers.get(name, self.NVMLError("not supported"))
            if isinstance(given, Exception):
                raise given
            return given[arguments[1]] if isinstance(given, dict) else given

        return answer


def process(pid: int, gib: int | None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=None if gib is None else gib * 2**30)


def test_a_gpu_is_sampled_in_the_units_of_the_record() -> None:
    assert Gpu(Nvml(), "handle").sample() == {
        "sm_mhz": 1410,
        "memory_mhz": 1593,
        "celsius": 71,
        "watts": 312.5,
        "utilization": 0.97,
        "throttled": ["power cap", "heat, by the hardware"],
        "others": 0,
        "other_bytes": 0,
    }


def test_what_a_driver_does_not_say_is_none() -> None:
    silent = Nvml()
    silent.answers.clear()
    gpu = Gpu(silent, "handle")
    assert set(gpu.sample().values()) == {None}
    assert gpu.joules() is None


def test_older_drivers_know_the_reasons_by_another_name() -> None:
    older = Nvml(
        nvmlDeviceGetCurrentClocksEventReasons=Nvml.NVMLError("function not found"),
        nvmlDeviceGetCurrentClocksThrottleReasons=0x20,
    )
    assert Gpu(older, "handle").sample()["throttled"] == ["heat, by the driver"]


@pytest.mark.parametrize(
    ("running", "others", "held"),
    [
        ([(os.getpid(), 8), (1, 2), (2, 3)], 2, 5 * 2**30),
        ([(os.getpid(), 8), (1, None)], 1, None),
        # Another PID namespace: one of them is this process.
        ([(1, 2), (2, 3)], 1, None),
        ([(1, 2)], 0, None),
        ([], None, None),
    ],
)
def test_other_processes_on_a_gpu_are_counted(
    running: list[tuple[int, int | None]], others: int | None, held: int | None
) -> None:
    nvml = Nvml(nvmlDeviceGetComputeRunningProcesses=[process(*one) for one in running])
    found = Gpu(nvml, "handle").sample()
    assert (found["others"], found["other_bytes"]) == (others, held)


def test_a_monitor_writes_what_it_sampled_while_a_scenario_was_named() -> None:
    written: list[Any] = []
    enough = threading.Event()

    def write(samples: Any) -> None:
        written.extend(samples)
        enough.set()

    with Monitor(write, [Gpu(Nvml(), "handle")], interval=0.001) as monitor:
        monitor.scenario = "offline"
        assert enough.wait(30)
    assert len(written) >= 10
    assert {sample["scenario"] for sample in written} == {"offline"}
    assert written[0]["gpus"][0]["watts"] == 312.5
    assert written[0]["cpu"]["cores"] >= 1


def test_a_monitor_without_a_scenario_writes_nothing() -> None:
    written: list[Any] = []
    with Monitor(written.extend, interval=0.001):
        threading.Event().wait(0.05)
    assert written == []


def test_a_full_disk_ends_the_monitor_and_not_the_run() -> None:
    tried = threading.Event()

    def write(samples: Any) -> None:
        tried.set()
        raise EnvironmentProblem("the disk is full")

    with Monitor(write, interval=0.001) as monitor:
        monitor.scenario = "offline"
        assert tried.wait(30)


@pytest.mark.parametrize("error", [NotImplementedError("no current frequency"), OSError("denied")])
def test_a_processor_that_does_not_say_its_clock_is_watched_all_the_same(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr("psutil.cpu_freq", refuse)
    found = Monitor(print).sample()["cpu"]
    assert found["mhz"] is None
    assert found["cores"] >= 1


def test_beside_other_processes_of_the_run_foreign_load_is_not_known() -> None:
    assert Monitor(print, alone=False).sample()["cpu"]["other_cores"] is None


def test_the_gpus_of_a_model_are_those_it_holds_memory_on_by_their_names() -> None:
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        device_count=lambda: 3,
        memory_reserved=lambda index: (0, 2**30, 2**30)[index],
        get_device_properties=lambda index: SimpleNamespace(uuid=f"uuid-{index}"),
    )
    torch = SimpleNamespace(cuda=cuda)
    nvml = Nvml()
    asked: list[str] = []

    def by_name(name: str) -> str:
        asked.append(name)
        # The second is an instance of a divided GPU, which has a name of another kind.
        if name == "GPU-uuid-2":
            raise nvml.NVMLError("not found")
        return name

    nvml.nvmlDeviceGetHandleByUUID = by_name  # type: ignore[attr-defined]
    assert handles_in_use(nvml, torch) == ["GPU-uuid-1", "MIG-uuid-2"]
    assert asked == ["GPU-uuid-1", "GPU-uuid-2", "MIG-uuid-2"]
    assert handles_in_use(None, torch) == handles_in_use(nvml, None) == []


def test_only_the_gpus_of_the_model_are_asked_for_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine has up to sixteen GPUs, and each question to the driver takes a while."""
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        device_count=lambda: 2,
        memory_reserved=lambda index: (0, 2**30)[index],
        memory_allocated=lambda index: 2**20,
        get_device_properties=lambda index: SimpleNamespace(uuid=f"uuid-{index}"),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    nvml = driver_of(monkeypatch, nvmlDeviceGetCount=16)
    asked: list[str] = []

    def running(handle: str) -> list[SimpleNamespace]:
        asked.append(handle)
        return [SimpleNamespace(pid=os.getpid(), usedGpuMemory=3 * 2**30)]

    nvml.nvmlDeviceGetHandleByUUID = lambda name: name  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetComputeRunningProcesses = running  # type: ignore[attr-defined]
    assert memory_now()["process"] == 3 * 2**30
    assert asked == ["GPU-uuid-1"]


def driver_of(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> Nvml:
    """Put a driver with these answers in the place of the machine's own."""
    nvml = Nvml(nvmlInit=None, nvmlShutdown=None, **answers)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return nvml


ONE_GPU = {"nvmlDeviceGetCount": 1, "nvmlDeviceGetHandleByIndex": "handle"}


@pytest.mark.parametrize(
    ("answers", "facts"),
    [
        # A GPU that shares the main memory has no figure for it.
        ({**ONE_GPU, "nvmlDeviceGetName": "GB10"}, {"name": "GB10"}),
        (ONE_GPU, {"name": "GPU without a name"}),
        # A GPU that may not be touched keeps its number.
        ({"nvmlDeviceGetCount": 1}, {"name": "GPU without a name"}),
        (
            {
                **ONE_GPU,
                "nvmlDeviceGetName": "H100",
                "nvmlDeviceGetUUID": "GPU-77aa",
                "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=80, free=79),
                "nvmlSystemGetDriverVersion": "570.1",
            },
            {
                "name": "H100",
                "uuid": "GPU-77aa",
                "memory_bytes": 80,
                "free_bytes": 79,
                "driver": "570.1",
            },
        ),
    ],
)
def test_what_the_driver_does_not_say_of_a_gpu_is_left_out(
    answers: dict[str, Any], facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver_of(monkeypatch, **answers)
    assert gpus() == [facts]


def test_a_driver_that_answers_nothing_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    driver_of(monkeypatch, nvmlDeviceGetCount=2).answers.pop("nvmlShutdown")
    monkeypatch.setattr(doctor, "_torch_obstacle", lambda: None)
    assert [check.state for check in doctor._gpu()] == ["ok", "ok", "ok"]
    assert list(doctor._torch())
    assert default_model() == "qwen2-vl-2b"
    record = environment()
    assert len(record["gpus"]) == 2
    assert record["cuda"] is None
    with MemoryMeter(interval=0.001) as meter:
        threading.Event().wait(0.02)
        assert meter.reading().peak_process is None
    assert memory_now()["process"] is None


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("", "CUDA_VISIBLE_DEVICES leaves no GPU of this machine"),
        ("1,1", "CUDA_VISIBLE_DEVICES leaves no GPU of this machine"),
        ("1", "CUDA_VISIBLE_DEVICES=1 leaves 1 GPU; in bench run: --devices 0"),
        (None, "2 GPUs; bench run --devices 0,1 divides"),
    ],
)
def test_the_doctor_obeys_the_choice_of_gpus(
    chosen: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    monkeypatch.setattr(doctor, "gpus", lambda: [{"name": "H100"}, {"name": "H100"}])
    monkeypatch.setattr(doctor, "_torch_obstacle", lambda: "No CUDA GPUs are available")
    monkeypatch.setattr(doctor, "_version", {"torch": "2.13.0", "transformers": "5.23.0"}.get)
    *_, last = doctor._gpu()
    assert last.found.startswith(said)
    # What a person has hidden is no fault of torch.
    (torch,) = [check for check in doctor._torch() if check.name == "torch"]
    assert torch.state == ("ok" if "no GPU" in said else "missing")


def test_the_doctor_says_when_torch_cannot_use_the_gpu_that_the_driver_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "gpus", lambda: [{"name": "H100"}])
    monkeypatch.setattr(doctor, "_version", {"torch": "2.13.0", "transformers": "5.23.0"}.get)
    obstacle = "RuntimeError: The NVIDIA driver on your system is too old"
    script = f"import sys; sys.stderr.write('Traceback\\n  line\\n{obstacle}\\n'); sys.exit(1)"
    monkeypatch.setattr(doctor, "_TRY_GPU", script)
    check = next(check for check in doctor._torch() if check.name == "torch")
    assert check.state == "missing"
    assert check.found.endswith(f"cannot use the GPU that the driver sees: {obstacle}")
    monkeypatch.setattr(doctor, "_TRY_GPU", "pass")
    assert next(check for check in doctor._torch() if check.name == "torch").state == "ok"


def test_the_doctor_finds_the_fonts_of_the_package() -> None:
    if importlib.util.find_spec("reportlab") is None or importlib.util.find_spec("faker") is None:
        pytest.skip("needs the packages of the synth extra")
    assert [check.state for check in doctor._synth()] == ["ok"]


class OutOfMemoryError(RuntimeError):
    """As torch calls its own."""


class AcceleratorError(RuntimeError):
    """As torch calls an error of the device."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("anything"), True),
        (AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA driver error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        # As cuDNN 9 calls it, which both images have.
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `c`"), True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True),
        # On a part of a divided GPU the allocator may not ask the driver for its figures.
        (RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "CUDACachingAllocator"'), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (AcceleratorError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("CUDA out of memory"), False),
    ],
)
def test_a_lack_of_memory_is_recognised_by_its_class_or_its_words(
    error: Exception, expected: bool
) -> None:
    assert is_out_of_memory(error) is expected


class Cuda(SimpleNamespace):
    """torch with two GPUs of which ``used`` hold memory; a small computation on the last raises ``error``."""

    def __init__(self, error: Exception | None, used: Sequence[int] = (0,)) -> None:
        cuda = SimpleNamespace(
            is_available=lambda: True,
            device_count=lambda: 2,
            current_device=lambda: 0,
            memory_reserved=lambda index: 100 * (index in used),
        )
        super().__init__(cuda=cuda)
        self.error, self.sick = error, f"cuda:{max(used, default=0)}"
        self.device = ""

    def zeros(self, *_: Any, device: str) -> Cuda:
        self.device = device
        return self

    def add_(self, number: int) -> Cuda:
        return self

    def item(self) -> float:
        if self.error is not None and self.device == self.sick:
            raise self.error
        return 1.0


ILLEGAL = AcceleratorError("CUDA error: an illegal memory access was encountered")
NOT_BEGUN = RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate`")


def test_a_library_that_cannot_begin_lacks_memory_where_the_gpu_computes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")
    for then, lacks_memory in ((None, True), (full, True), (ILLEGAL, False)):
        monkeypatch.setitem(sys.modules, "torch", Cuda(then))
        assert is_out_of_memory(NOT_BEGUN) is lacks_memory
        assert is_device_lost(NOT_BEGUN) is not lacks_memory


@pytest.mark.parametrize("used", [(0, 1), (1,), ()])
def test_every_gpu_that_holds_memory_is_tried(
    used: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", Cuda(ILLEGAL, used))
    assert is_device_lost(ILLEGAL)


def test_a_gpu_that_is_only_full_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", Cuda(OutOfMemoryError("CUDA out of memory")))
    assert not is_device_lost(AcceleratorError("CUDA error: invalid argument"))


@pytest.mark.parametrize(
    ("error", "then", "expected"),
    [
        (ILLEGAL, ILLEGAL, True),
        (RuntimeError("CUDA error: device-side assert triggered"), ILLEGAL, True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), ILLEGAL, True),
        (RuntimeError("Triton Error [CUDA]: unspecified launch failure"), ILLEGAL, True),
        # An error of one call only: the GPU goes on.
        (AcceleratorError("CUDA error: invalid argument"), None, False),
        (AcceleratorError("CUDA error: out of memory"), ILLEGAL, False),
        (ValueError("CUDA error"), ILLEGAL, False),
        (RuntimeError("a page is torn"), ILLEGAL, False),
    ],
)
def test_a_gpu_is_lost_where_it_computes_nothing_more(
    error: Exception, then: Exception | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", Cuda(then))
    assert is_device_lost(error) is expected


def test_nothing_is_measured_here_of_a_model_that_runs_elsewhere() -> None:
    def fail(samples: Any) -> None:
        raise AssertionError(samples)

    with Instruments(fail, local=False, alone=True) as instruments:
        assert instruments.after_load() == {}
        instruments.begin()
        instruments.scenario("offline")
        instruments.begin_task()
        assert instruments.batch(5) == {}


def test_the_energy_of_several_gpus_is_their_sum_or_unknown() -> None:
    silent = Nvml(nvmlDeviceGetTotalEnergyConsumption=Nvml.NVMLError("not supported"))
    two = [Gpu(Nvml(), "first"), Gpu(Nvml(), "second")]
    assert Monitor(print, two).joules() == 10.0
    assert Monitor(print, [*two, Gpu(silent, "third")]).joules() is None
    assert Monitor(print).joules() is None


class Counter:
    """Time and energy that a test moves on: 50 W."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def joules(self) -> float:
        return 50 * self.seconds


def test_energy_is_given_for_windows_of_ten_seconds_at_least() -> None:
    counter = Counter()
    meter = EnergyMeter(counter.joules, now=lambda: counter.seconds)
    given = []
    for _ in range(7):
        counter.seconds += 4
        given.append(meter.count(8))
    window = {"joules": 600.0, "seconds": 12.0, "questions": 24}
    # The last four seconds are no window.
    assert given == [None, None, window, None, None, window, None]


def test_energy_before_a_restart_is_not_counted() -> None:
    counter = Counter()
    meter = EnergyMeter(counter.joules, now=lambda: counter.seconds)
    counter.seconds += 500
    meter.restart()
    counter.seconds += 10
    assert meter.count(4) == {"joules": 500.0, "seconds": 10.0, "questions": 4}


def test_without_a_counter_there_is_no_energy() -> None:
    counter = Counter()
    meter = EnergyMeter(lambda: None, now=lambda: counter.seconds)
    counter.seconds += 100
    assert meter.count(4) is None


def test_memory_is_read_without_a_gpu() -> None:
    with MemoryMeter() as meter:
        reading = meter.reading()
    assert reading.peak_rss > 2**20
    now = memory_now()["rss"]
    assert now is not None
    assert reading.peak_rss >= now * 0.9
