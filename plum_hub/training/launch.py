"""The command that runs a training in several processes: torchrun, for GPUs and for CPUs alike."""

import sys
from collections.abc import Sequence


def command(processes: int, arguments: Sequence[str]) -> list[str]:
    """Run `plum-hub` with these arguments in so many processes on this machine.

    Each computes gradients of its own batches and they are averaged (DDP). For FSDP, DeepSpeed or several machines put
    `accelerate launch --config_file FILE -m plum_hub` before the same arguments.
    """
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
        "-m", "plum_hub", *arguments,
    ]  # fmt: skip
