"""The commands that run a training in a process of its own, or in several by torchrun, for GPUs and for CPUs alike."""

import sys
from collections.abc import Sequence

_TIED = (
    "import ctypes, signal; ctypes.CDLL(None).prctl(1, signal.SIGKILL); "  # 1: PR_SET_PDEATHSIG
    "from plum_hub.cli import main; main()"
)


def command(processes: int, arguments: Sequence[str]) -> list[str]:
    """Run `plum-hub` with these arguments in so many processes on this machine.

    Each computes gradients of its own batches and they are averaged (DDP). For FSDP, DeepSpeed or several machines put
    `accelerate launch --config_file FILE -m plum_hub` before the same arguments.
    """
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
        "-m", "plum_hub", *arguments,
    ]  # fmt: skip


def tied(arguments: Sequence[str]) -> list[str]:
    """Run `plum-hub` with these arguments in a process that does not outlive the one that starts it, so that nobody
    trains on in a folder that is taken up again."""
    return [sys.executable, "-c", _TIED, *arguments]
