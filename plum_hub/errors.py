"""All errors of plum-hub.

    PlumError                 exit code
    ├── UsageError                2   the command line, or the arguments of a call, cannot be carried out
    ├── RecipeError               3   a key of the recipe is unknown, missing or has an invalid value
    ├── RunError                  4   a run folder is damaged, sealed with another recipe or not writable; unknown id
    ├── InstructionsError         5   a source of instructions is missing, unreadable or lacks the column
    ├── EngineError               6   text could not be generated: unknown model, server down, key refused
    ├── SandboxError              7   programs could not be run: no isolation on this machine, or a worker broke
    ├── StaticCheckError          8   the static check itself broke
    ├── HubError                  9   publishing or loading failed: token refused, network down, conflict
    ├── MissingExtraError        10   an optional package is not installed
    ├── NothingToReleaseError    11   the run is complete, and no instruction has a chosen sample
    ├── BenchmarkError           12   a benchmark is missing, damaged or of another version, or its solutions fail here
    ├── TrainingError            13   a training: unusable rows or model, out of memory, or it diverged
    ├── VerificationError        14   a release is not what it says: a hash, id, label or tag does not match
    ├── BudgetError              15   a build has spent what it may; all rows are kept
    └── MachineError             16   this machine or its packages do not do: `plum-hub doctor` found a fault

A program that fails, crashes or hangs is a result, never an error. An error says that plum-hub could not do its work:
no row is made of it, and the work remains to be done (law 1). Each message names the input, the cause, and the command
or key that fixes it. The command line turns a `PlumError` into one line on stderr and its exit code, in one place; any
other exception keeps its traceback, because it is a bug. Click's own usage errors exit with 2, Ctrl-C with 130, a
closed pipe with 141.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar, Self

from plum_hub.redaction import redacted


def perhaps(given: str, known: Iterable[str]) -> str:
    """Say which name may be meant by one that there is not.

    Args:
        given: What was written.
        known: The names that there are.

    Returns:
        A part of a message, as `, humaneval perhaps`; "" if none is near.
    """
    near = get_close_matches(given, [*known], 1, 0.75)
    return f", {near[0]} perhaps" if near else ""


class PlumError(Exception):
    """Base class of all errors, with a message that is fit for the user and says what to do."""

    exit_code: ClassVar[int] = 1
    """The exit code of the command line."""

    def __str__(self) -> str:
        """Return the message in one line and without secrets, whatever a library or a server put into it."""
        return redacted(" ".join(super().__str__().splitlines()))


class UsageError(PlumError):
    """The command line, or the arguments of a call, cannot be carried out."""

    exit_code = 2


class RecipeError(PlumError):
    """A recipe has an unknown or missing key, or an invalid value."""

    exit_code = 3


class RunError(PlumError):
    """A run folder is damaged, not writable, or belongs to another recipe."""

    exit_code = 4


class InstructionsError(PlumError):
    """A source of instructions is missing, unreadable, or lacks the column."""

    exit_code = 5


class EngineError(PlumError):
    """An engine could not generate: the model is unknown, the server is down, or it refused the key."""

    exit_code = 6


class SandboxError(PlumError):
    """Programs could not be run: this machine cannot isolate them, or a worker broke.

    It never says anything about a program.
    """

    exit_code = 7


class StaticCheckError(PlumError):
    """The static check could not be carried out; this never says anything about a program."""

    exit_code = 8


class HubError(PlumError):
    """Publishing to or loading from a Hub failed."""

    exit_code = 9


class MissingExtraError(PlumError):
    """An optional package is not installed.

    Args:
        feature: What needs it, as the subject of a sentence.
        extra: The extra of plum-hub that installs it.
    """

    exit_code = 10

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs a package that is not installed: run  pip install 'plum-hub[{extra}]'")
        self._made_of = feature, extra

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        """Travel between processes: by default an exception is made anew of its message alone."""
        return type(self), self._made_of


class NothingToReleaseError(PlumError):
    """The run is complete, but no instruction has a chosen sample: there is nothing to publish."""

    exit_code = 11


class BenchmarkError(PlumError):
    """A benchmark is missing, damaged, of another version, or its own solutions fail on this machine."""

    exit_code = 12


class TrainingError(PlumError):
    """A training cannot start with these rows, this model or this machine, or it had to stop."""

    exit_code = 13


class VerificationError(PlumError):
    """A release was checked, and something in it does not match."""

    exit_code = 14


class BudgetError(PlumError):
    """A build has spent what it may. All rows are kept, and it continues under a higher limit."""

    exit_code = 15


class MachineError(PlumError):
    """Packages that do not fit together, or a machine that lacks what a build needs, as `plum-hub doctor` finds."""

    exit_code = 16
