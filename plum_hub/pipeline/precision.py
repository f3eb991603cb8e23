"""A message for when an engine computes in a dtype that is slow on this machine."""

from plum_hub.engines import EngineConfig
from plum_hub.engines.base import LocalSettings
from plum_hub.engines.cpu import CpuDtype, this_cpu
from plum_hub.engines.dtype import cpu_dtype, gpu_half
from plum_hub.engines.vllm import VllmConfig


def dtype_note(config: EngineConfig, restart: str, *, resumed: bool) -> str | None:
    """Describe what the user should know about the dtype before a sealed engine runs.

    A run keeps the dtype it was sealed with on every machine, so that its rows are alike.

    Args:
        config: The sealed configuration of the engine.
        restart: Options that start again with another dtype, in which `{dtype}` stands for it.
        resumed: Whether there are rows already, which may have been made on another machine.

    Returns:
        One line, or None if there is nothing to say.
    """
    if not isinstance(config, LocalSettings) or gpu_half() is not None:
        return None
    return dtype_note_on(config, cpu_dtype(), restart, resumed=resumed)


def dtype_note_on(config: LocalSettings, fast: CpuDtype, restart: str, *, resumed: bool) -> str | None:
    """Describe the dtype on a given CPU, as `dtype_note` does on this one.

    Args:
        config: The sealed configuration of the engine.
        fast: The dtype that the CPU is fast in.
        restart: Options that start again with another dtype, in which `{dtype}` stands for it.
        resumed: Whether there are rows already, which may have been made on another machine.

    Returns:
        One line, or None if there is nothing to say.
    """
    name, cpu, restart = config.public().model, this_cpu().described(), restart.format(dtype=fast)
    if config.dtype == "auto":
        meant = "the model's own" if isinstance(config, VllmConfig) else f"what the CPU is fast in, here {fast}"
        return (
            f"{name}: an earlier version began this with dtype auto, which meant {meant}, and it continues so; rows "
            f"made on another CPU may differ; to start again in {fast}:  {restart}"
        )
    if config.dtype == fast or (fast == "bfloat16" and not resumed):
        return None
    slow = "computes it slowly" if fast == "float32" else "would be faster"
    return (
        f"{name}: computes in {config.dtype}, as when this run began, so that all rows are alike; this CPU, {cpu}, "
        f"{slow}{'' if fast == 'float32' else ' in ' + fast}; to start again in {fast}:  {restart}"
    )
