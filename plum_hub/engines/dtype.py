"""What `dtype: auto` stands for here: on a CPU what it computes fast in, on a GPU the model's own where it has that."""

import os
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

from plum_hub.engines.cpu import CpuDtype, fast_dtype, this_cpu
from plum_hub.engines.names import located, on_hub
from plum_hub.threads import prepare_threads

Dtype: TypeAlias = Literal["bfloat16", "float16", "float32"]
DtypeOrAuto: TypeAlias = Literal["auto", "bfloat16", "float16", "float32"]


def resolved(dtype: DtypeOrAuto, model: str, revision: str | None, *, keeps_float32: bool) -> Dtype:
    """The numbers that an engine computes in on this machine.

    Args:
        dtype: what was asked for; anything but `auto` is returned as it is.
        model: a folder or a Hub repository, whose configuration says which numbers are its own.
        revision: the model's commit.
        keeps_float32: whether the engine computes in float32 on a GPU where the model's weights are float32. vLLM
            does not.
    """
    if dtype != "auto":
        return dtype
    if (half := gpu_half()) is None:
        return cpu_dtype()
    return for_gpu(_own(model, revision), half, keeps_float32=keeps_float32)


def for_gpu(own: str | None, half: Literal["bfloat16", "float16"], *, keeps_float32: bool) -> Dtype:
    """What `auto` stands for on a GPU.

    Args:
        own: the numbers of the model's weights, None where it does not say.
        half: the wider of the 16-bit types that the GPU computes in.
        keeps_float32: as `resolved`.
    """
    if own == "float32" and keeps_float32:
        return "float32"
    return "float16" if own == "float16" else half


def cpu_dtype() -> CpuDtype:
    """The numbers that this machine's CPU computes fastest in, as torch may use it."""
    return fast_dtype(this_cpu(), os.environ)


def gpu_half() -> Literal["bfloat16", "float16"] | None:
    """The 16-bit type that this machine's GPU computes in; None where there is no GPU.

    CUDA is not initialised by asking: a process that vLLM forks from this one could not use the GPU then.
    """
    if find_spec("torch") is None:
        return None
    prepare_threads()
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    import torch

    if not torch.cuda.is_available():
        return None
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
        return half_of(told)
    return "bfloat16"


def half_of(capabilities: str) -> Literal["bfloat16", "float16"]:
    """The 16-bit type that all GPUs compute in, whose compute capabilities are given one a line, as `8.0`."""
    return "bfloat16" if min(float(line) for line in capabilities.split()) >= 8 else "float16"


def _own(model: str, revision: str | None) -> str | None:
    if find_spec("transformers") is None:
        return None  # and so does opening it say what is missing
    from transformers import PretrainedConfig

    commit = {"revision": revision} if on_hub(model) else {}
    try:
        found: dict[str, Any] = PretrainedConfig.get_config_dict(located(model), **commit)[0]
    except (OSError, ValueError):
        return None  # opening the engine says what is wrong
    text = found.get("text_config") or {}
    own = found.get("dtype") or found.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype")
    return None if own is None else str(own).removeprefix("torch.")
