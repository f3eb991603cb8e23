"""The command line: thin commands over the Python API, and the one place where errors become exit codes.

Command modules import nothing heavy at module level, so that `plum-hub --help` answers in under 0.3 s.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import NoReturn

import click

from plum_hub import __version__
from plum_hub.cli.build_dataset import build_dataset
from plum_hub.cli.card import card
from plum_hub.cli.completion import completion
from plum_hub.cli.diff import diff
from plum_hub.cli.doctor import doctor
from plum_hub.cli.evaluate import compare, evaluate
from plum_hub.cli.help import SectionedGroup
from plum_hub.cli.hf_extension import hf_extension
from plum_hub.cli.hub import hub
from plum_hub.cli.judge import judge
from plum_hub.cli.pull import pull
from plum_hub.cli.push_dataset import push_dataset
from plum_hub.cli.push_model import push_model
from plum_hub.cli.report import report
from plum_hub.cli.run import run
from plum_hub.cli.show import show
from plum_hub.cli.status import status
from plum_hub.cli.strengthen import strengthen
from plum_hub.cli.train import train
from plum_hub.cli.verify import verify
from plum_hub.cli.views import views
from plum_hub.errors import MachineError, PlumError, UsageError
from plum_hub.threads import prepare_threads


@click.group(
    cls=SectionedGroup,
    subcommand_metavar="COMMAND [ARGS]",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="plum-hub")
def cli() -> None:
    """Build, judge, train on and publish code-preference datasets and models on the Hugging Face Hub.

    \b
    Start here:
      plum-hub build-dataset --model Qwen/CodeQwen1.5-7B-Chat
    """


cli.add_sections(
    {
        "Build": (build_dataset, status, show, views, pull, strengthen),
        "Judge and evaluate": (judge, evaluate, compare, report),
        "Train": (train, run),
        "Publish": (card, push_dataset, push_model),
        "Check": (verify, diff, doctor),
        "Hub": (hub, hf_extension),
        "Shell": (completion,),
    }
)


def main() -> None:
    """Run the command line, and exit with a code of `plum_hub.errors`."""
    prepare_threads()  # before anything loads torch
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None where it is closed
            stream.reconfigure(errors="backslashreplace")  # a terminal may not have every character of a row
    try:
        cli.main(prog_name="plum-hub", standalone_mode=False)
    except click.ClickException as error:
        _end(error.exit_code, error.show)
    except (click.Abort, KeyboardInterrupt):
        _fail(130, "\nplum-hub: stopped; all rows made so far are kept: run the same command again to resume")
    except PlumError as error:
        _fail(error.exit_code, f"plum-hub: {error}")
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # whatever asked for a file of that name, a user gave it
            _fail(UsageError.exit_code, f"plum-hub: {str(error.filename)[:60]}...: too long for a path: fix it")
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = error.filename or "the output, or for temporary files in $TMPDIR"
        _silence(1)  # what is left of the output would fail once more at the end
        _fail(
            MachineError.exit_code,
            f"plum-hub: no space is left for {where}: free some, and run the same command again",
        )
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "start new thread" not in str(error):
            raise
        _fail(
            MachineError.exit_code,
            f"plum-hub: this process is refused more threads or memory ({error or 'MemoryError'}); all rows are "
            "kept: raise the limits of this shell or job (ulimit -v, ulimit -u), and run the same command again",
        )
    except SystemExit as ending:
        # Click and rich both exit with 1 when the reader of our output is gone, as in `plum-hub show ... | head`; none
        # of our own errors comes this way. 141 is what a shell reports for its own tools.
        sys.exit(128 + signal.SIGPIPE if ending.code == 1 else ending.code)


def _fail(code: int, message: str) -> NoReturn:
    _end(code, lambda: click.echo(message, err=True))


def _end(code: int, say: Callable[[], None]) -> NoReturn:
    """Say why the command ends; where nobody can be told, as on a full or closed stderr, the exit code alone tells."""
    try:
        say()
    except OSError:
        _silence(2)
    sys.exit(code)


def _silence(descriptor: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
