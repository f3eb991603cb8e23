"""Resolve `dtype: auto`: on a CPU the dtype it computes fastest in, on a GPU the model's own where the GPU has it."""

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

from plum_hub.engines.cpu import CpuDtype, fast_dtype, this_cpu
from plum_hub.engines.names import located, on_hub
from plum_hub.threads import prepare_threads

Dtype: TypeAlias = Literal["bfloat16", "float16", "float32"]
_ANY_DTYPE = (None, "compressed-tensors")
"""How weights may be quantised for vLLM to compute in float32; its other kernels take 16-bit numbers only."""
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
    config = _config(model, revision)
    if (half := gpu_half()) is None:
        in_half = not keeps_float32 and quantization_method(config) not in _ANY_DTYPE
        return "bfloat16" if in_half else cpu_dtype()
    return for_gpu(_own(config), half, keeps_float32=keeps_float32)


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


def gpus() -> list[str]:
    """List the GPUs that this process may use, without initialising CUDA.

    Returns:
        Names as CUDA_VISIBLE_DEVICES has them; empty without a GPU.
    """
    if gpu_half() is None:
        return []
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]


def half_of(capabilities: str) -> Literal["bfloat16", "float16"]:
    """Choose the 16-bit dtype that all GPUs compute in.

    Args:
        capabilities: Compute capabilities, one a line, for example `8.0`.

    Returns:
        `bfloat16` from 8.0 on, else `float16`.
    """
    return "bfloat16" if min(float(line) for line in capabilities.split()) >= 8 else "float16"


def quantized(model: str, revision: str | None) -> str | None:
    """Tell how a model's weights are quantised.

    Args:
        model: A folder or a Hub repository.
        revision: The model's commit.

    Returns:
        The method that its configuration names, such as `awq`; None for weights that are not quantised.
    """
    return quantization_method(_config(model, revision))


def quantization_method(config: Mapping[str, Any]) -> str | None:
    """Tell how a model's weights are quantised.

    Args:
        config: The model's `config.json`.

    Returns:
        As `quantized`.
    """
    found = config.get("quantization_config") or config.get("compression_config")
    method = found.get("quant_method") if isinstance(found, Mapping) else None
    return None if method is None else str(method).lower()


def _config(model: str, revision: str | None) -> dict[str, Any]:
    """Return a model's `config.json`; empty where it cannot be read, and opening the engine says what is wrong."""
    if find_spec("transformers") is None:
        return {}
    from transformers import PretrainedConfig

    commit = {"revision": revision} if on_hub(model) else {}
    try:
        found: dict[str, Any] = PretrainedConfig.get_config_dict(located(model), **commit)[0]
    except (OSError, ValueError):
        return {}
    return found


def _own(found: Mapping[str, Any]) -> str | None:
    text = found.get("text_config") or {}
    own = found.get("dtype") or found.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype")
    return None if own is None else str(own).removeprefix("torch.")
