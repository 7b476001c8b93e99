"""Devices and precisions: where networks compute, and in which arithmetic."""

from __future__ import annotations

import ctypes
import functools
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from udacity_gym.errors import OptionError

Precision: TypeAlias = Literal["float32", "bfloat16"]
"""Arithmetic of a network. With "bfloat16", convolutions and matrix products compute in bfloat16, everything
else in float32, see https://docs.pytorch.org/docs/stable/amp.html. Weights are always float32."""

AUTO = "auto"
"""Name of the best device: CUDA if there is one, else Apple's MPS, else the CPU."""

DEVICE_TYPES = ("cpu", "cuda", "mps", "meta")
"""Types of devices that networks compute on; "meta" computes shapes only."""

KEPT_MEMORY = 1 << 30
"""Bytes of freed memory that a process keeps after `keep_freed_memory`."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""

_CPU_INFO = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def find_device(name: str | torch.device = AUTO) -> torch.device:
    """Find a device by its name.

    Args:
        name: "auto" (see `AUTO`), "cpu", "cuda", "cuda:1", "mps" or a torch device.

    Raises:
        OptionError: The name is unknown, or this machine or this build of torch has no such device.
    """
    if name == AUTO:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = check_device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        why = "torch finds no GPU" if torch.version.cuda else "this build of torch is for CPUs only"
        raise OptionError(f"device={str(name)!r} is not available: {why} (torch {torch.__version__})")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise OptionError(f"device={str(name)!r} is not available: there are {count}, numbered from 0")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise OptionError(
            "device='mps' is not available: it needs a Mac with Apple's GPU, torch and macOS 14"
        )
    return device


def check_device(name: str | torch.device) -> torch.device:
    """Check the name of a device, whether or not this machine has it; "auto" becomes "cpu".

    Raises:
        OptionError: The name is unknown.
    """
    try:
        device = torch.device("cpu" if name == AUTO else name)
    except (RuntimeError, TypeError, ValueError):
        device = None
    if device is None or device.type not in DEVICE_TYPES:
        raise OptionError(f"device={name!r} is unknown; choose one of auto, cpu, cuda, cuda:1, mps")
    return device


def check_precision(device: torch.device, precision: Precision) -> None:
    """Check that a device can compute in a precision.

    Raises:
        OptionError: It can't.
    """
    if precision not in ("float32", "bfloat16"):
        raise OptionError(f"precision={precision!r} is unknown; choose one of float32, bfloat16")
    if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise OptionError(
            f"precision='bfloat16' is not available on {torch.cuda.get_device_name(device)}; take float32"
        )


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """A context in which networks compute in a precision. Enter it in every thread that computes."""
    if precision == "float32":
        return nullcontext()
    kind = "cpu" if device.type == "meta" else device.type
    return torch.autocast(kind, torch.bfloat16)


def describe_device(device: torch.device) -> str:
    """The device with its model, such as "cuda (NVIDIA H200)"."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({_processor()})"
    return str(device)


def has_fast_bfloat16() -> bool:
    """Whether this machine's CPU has instructions for bfloat16, which make training quicker.

    It looks for AVX-512 BF16, AMX or the bfloat16 extension of Arm in Linux's list of the processor's
    features. Elsewhere the answer is False.
    """
    return bool(_BFLOAT16_FLAGS & set(_cpu_info().get("flags", _cpu_info().get("features", "")).split()))


def quickest_precision(device: torch.device) -> Precision:
    """The precision in which a device trains quickest."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and has_fast_bfloat16() else "float32"


def _processor() -> str:
    return _cpu_info().get("model name") or platform.processor() or platform.machine()


def _cpu_info() -> dict[str, str]:
    """Linux's description of the first processor, names in lower case; {} elsewhere."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


@contextmanager
def forked_random_state(device: torch.device) -> Iterator[None]:
    """Give the block torch's random generators; the caller's state comes back afterwards."""
    on_mps = device.type == "mps"
    state = torch.mps.get_rng_state() if on_mps else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            if state is not None:
                torch.mps.set_rng_state(state)


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Run torch with this number of threads within the block; None changes nothing."""
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, up to `KEPT_MEMORY`, for its next allocations.

    Each step of a training on a CPU allocates and frees the same activations. By default, glibc gives them
    back to the system and gets them anew, page by page, which is a sixth of the step.

    Returns:
        Whether the C library has this setting; glibc has it, others don't.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    # Setting one threshold ends the automatic growth of both, so the other one gets what it would grow to.
    return bool(mallopt(_M_TRIM_THRESHOLD, KEPT_MEMORY) and mallopt(_M_MMAP_THRESHOLD, 32 << 20))
