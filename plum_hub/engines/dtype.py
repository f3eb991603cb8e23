"""Resolve `dtype: auto`: on a CPU the dtype it computes fastest in, on a GPU the model's own where the GPU has it."""

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
    """Resolve the dtype of an engine on this machine.

    Args:
        dtype: The setting; anything but `auto` is returned unchanged.
        model: A folder or a Hub repository, whose configuration names the model's own dtype.
        revision: The model's commit.
        keeps_float32: Whether the engine computes in float32 on a GPU where the weights are float32. vLLM does not.

    Returns:
        The dtype to compute in.
    """
    if dtype != "auto":
        return dtype
    if (half := gpu_half()) is None:
        return cpu_dtype()
    return for_gpu(_own(model, revision), half, keeps_float32=keeps_float32)


def for_gpu(own: str | None, half: Literal["bfloat16", "float16"], *, keeps_float32: bool) -> Dtype:
    """Resolve `auto` for a GPU.

    Args:
        own: The dtype of the model's weights, None where its configuration does not say.
        half: The wider of the 16-bit dtypes that the GPU computes in.
        keeps_float32: As in `resolved`.

    Returns:
        The dtype to compute in.
    """
    if own == "float32" and keeps_float32:
        return "float32"
    return "float16" if own == "float16" else half


def cpu_dtype() -> CpuDtype:
    """Return the dtype that this machine's CPU computes fastest in, under torch's environment variables."""
    return fast_dtype(this_cpu(), os.environ)


def gpu_half() -> Literal["bfloat16", "float16"] | None:
    """Return the 16-bit dtype that this machine's GPU computes in, or None without a GPU.

    CUDA is not initialised: a process that vLLM forks from this one could not use the GPU afterwards.
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
    """Choose the 16-bit dtype that all GPUs compute in.

    Args:
        capabilities: Compute capabilities, one a line, for example `8.0`.

    Returns:
        `bfloat16` from 8.0 on, else `float16`.
    """
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
