"""Whether an engine computes in the numbers that this machine is fast in, told in one line where it does not."""

from plum_hub.engines import EngineConfig
from plum_hub.engines.base import LocalSettings
from plum_hub.engines.cpu import CpuDtype, this_cpu
from plum_hub.engines.dtype import cpu_dtype, gpu_half
from plum_hub.engines.vllm import VllmConfig


def told_numbers(config: EngineConfig, anew: str, *, resumed: bool) -> str | None:
    """What the user should know before a sealed engine answers, or None where there is nothing to say.

    The numbers that a run was sealed with stay, so that its rows are of one kind, whatever machine goes on with it.

    Args:
        config: the engine as it was sealed.
        anew: the options that begin again with another dtype; `{dtype}` in it stands for that dtype.
        resumed: whether there are rows already, which may have been made elsewhere.
    """
    if not isinstance(config, LocalSettings) or gpu_half() is not None:
        return None
    return compared(config, cpu_dtype(), anew, resumed=resumed)


def compared(config: LocalSettings, fast: CpuDtype, anew: str, *, resumed: bool) -> str | None:
    """As `told_numbers`, for a CPU that is fast in `fast`."""
    name, cpu, anew = config.public().model, this_cpu().described(), anew.format(dtype=fast)
    if config.dtype == "auto":
        meant = "the model's own" if isinstance(config, VllmConfig) else f"what the CPU is fast in, here {fast}"
        return (
            f"{name}: an earlier version began this with dtype auto, which was {meant}, and goes on so; rows made on "
            f"another CPU may be of another kind; to begin anew in {fast}:  {anew}"
        )
    if config.dtype == fast or (fast == "bfloat16" and not resumed):
        return None
    slow = "computes it slowly" if fast == "float32" else "would be faster"
    return (
        f"{name}: computes in {config.dtype}, as this was begun, so that all rows are of one kind; this CPU, {cpu}, "
        f"{slow}{'' if fast == 'float32' else ' in ' + fast}; to begin anew in {fast}:  {anew}"
    )
