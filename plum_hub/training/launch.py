"""The commands that run a training in a process of its own, or in several by torchrun, for GPUs and for CPUs alike."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from plum_hub.threads import shared_threads

_TIED = (
    "import ctypes, signal; ctypes.CDLL(None).prctl(1, signal.SIGKILL); "  # 1: PR_SET_PDEATHSIG
    "from plum_hub.cli import main; main()"
)
_TORCHRUN = """
import ctypes, signal, sys
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
try:
    main()
except (SignalException, ChildFailedError):
    sys.exit(1)
"""
"""torchrun, which does not outlive the process that started it, and adds no traceback to what its own have said."""


def command(processes: int, arguments: Sequence[str]) -> list[str]:
    """Run `plum-hub` with these arguments in so many processes on this machine.

    Each computes gradients of its own batches and they are averaged (DDP). For FSDP, DeepSpeed or several machines put
    `accelerate launch --config_file FILE -m plum_hub` before the same arguments.
    """
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
        "-m", "plum_hub", *arguments,
    ]  # fmt: skip


def attended(processes: int, arguments: Sequence[str]) -> int:
    """Run what `command` shows to its end, and return its exit code; its stdout is discarded.

    None of its processes outlives this one, and Ctrl-C waits until they have ended, since the same command may be given
    again right after."""
    options = ["--standalone", "--nproc-per-node", str(processes), "--no-python"]
    launcher = [sys.executable, "-c", _TORCHRUN, *options, *tied(arguments)]
    # torchrun would give each of several processes one thread, however many cores there are.
    process = subprocess.Popen(
        launcher, start_new_session=True, env=os.environ | shared_threads(processes), stdout=subprocess.DEVNULL
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def tied(arguments: Sequence[str]) -> list[str]:
    """Run `plum-hub` with these arguments in a process that does not outlive the one that starts it, so that nobody
    trains on in a folder that is taken up again."""
    return [sys.executable, "-c", _TIED, *arguments]
