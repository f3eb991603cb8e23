"""Commands that train in one child process, or in several under torchrun, on GPUs and CPUs alike."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plum_hub.errors import TrainingError
from plum_hub.threads import shared_threads
from plum_hub.training.settings import TrainingSettings

_CHILD = (
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
"""torchrun that dies with its parent, and adds no traceback to the errors of its workers."""


def torchrun_command(processes: int, arguments: Sequence[str]) -> list[str]:
    """Return the equivalent torchrun command, as shown to the user.

    Each process computes gradients of its own batches, and they are averaged (DDP). For FSDP, DeepSpeed or several
    machines put `accelerate launch --config_file FILE -m plum_hub` before the same arguments.

    Args:
        processes: Number of processes on this machine.
        arguments: Arguments of `plum-hub`.

    Returns:
        The command, as `subprocess` takes it.
    """
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
        "-m", "plum_hub", *arguments,
    ]  # fmt: skip


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `plum-hub` in several processes under torchrun, and wait for them. Their stdout is discarded.

    No process outlives this one. Ctrl-C waits until all have ended, since the same command may be run again at once.

    Args:
        processes: Number of processes on this machine.
        arguments: Arguments of `plum-hub`.

    Returns:
        Exit code of torchrun: 0 if every process succeeded.
    """
    options = ["--standalone", "--nproc-per-node", str(processes), "--no-python"]
    command = [sys.executable, "-c", _TORCHRUN, *options, *child_command(arguments)]
    # Unless told otherwise, torchrun gives each of several processes one thread, however many cores there are.
    process = subprocess.Popen(
        command, start_new_session=True, env=os.environ | shared_threads(processes), stdout=subprocess.DEVNULL
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def child_command(arguments: Sequence[str]) -> list[str]:
    """Return a command that runs `plum-hub` in a process that the kernel kills with its parent.

    Otherwise an orphan could go on training in a folder that the next start resumes from.

    Args:
        arguments: Arguments of `plum-hub`.

    Returns:
        The command, as `subprocess` takes it.
    """
    return [sys.executable, "-c", _CHILD, *arguments]


@dataclass(frozen=True, kw_only=True)
class ChildTraining:
    """A training in a child process, to which all memory is free and which no earlier engine has changed."""

    name: str
    """Name of the training, for its error."""
    source: Path
    """The run to train on."""
    out: Path
    """The checkpoint folder."""
    settings: TrainingSettings
    processes: int = 1
    """Number of processes that train together."""
    quiet: bool = False
    """Show nothing but errors."""

    def run(self, environment: Mapping[str, str]) -> None:
        """Train, and wait for the end; progress and errors go to this process's stderr.

        Args:
            environment: Environment variables of the child.

        Raises:
            TrainingError: The training failed.
        """
        command = child_command(["train", str(self.source), "--out", str(self.out), "--json", *self._options()])
        if code := subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
            raise TrainingError(
                f"{self.name}: the training failed with exit code {code}; its error is above: fix that and run the "
                "same command again"
            )

    def _options(self) -> Iterator[str]:
        """Yield the options of `plum-hub train`."""
        for key, value in self.settings.model_dump(mode="json", exclude_unset=True).items():
            yield from ("--method", value) if key == "method" else ("--set", f"{key}={json.dumps(value)}")
        if self.processes > 1:
            yield from ("--launch", str(self.processes))
        if self.quiet:
            yield "--quiet"
