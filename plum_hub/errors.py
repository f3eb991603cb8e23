"""Every error of plum-hub on one page.

    PlumError                 exit code
    ├── UsageError                2   a command line that cannot be carried out as it stands
    ├── RecipeError               3   a key of the recipe is unknown, missing or has a wrong value
    ├── RunError                  4   a run folder: damaged, sealed with another recipe, not writable, no such id
    ├── InstructionsError         5   a source of instructions: missing, unreadable, without the column
    ├── EngineError               6   text could not be generated: unknown model, server down, key refused
    ├── SandboxError              7   programs could not be run: no isolation on this machine, worker broken
    ├── StaticCheckError          8   the static check itself broke
    ├── HubError                  9   publishing or loading: token refused, network down, conflict
    ├── MissingExtraError        10   an optional package is not installed
    ├── NothingToReleaseError    11   the run came to its end, and no instruction has a chosen sample
    ├── BenchmarkError           12   a benchmark: missing, damaged, another version, its own solutions do not run
    ├── TrainingError            13   a training: rows or model that cannot be trained on, no memory, it diverged
    └── VerificationError        14   a release is not what it says: a hash, id, label or tag does not agree

A program that fails, crashes or hangs is a result, never an error; an error says that *we* could not do the work, so
no row is made of it and the work stays owed (law 1). Each message ends with the command or the key that mends it.
The command line turns a `PlumError` into one line on stderr and its exit code, once, at its door; anything else keeps
its traceback, because it is our bug. Click's own usage errors exit with 2, Ctrl-C with 130, a closed pipe with 141.
"""

from typing import ClassVar


class PlumError(Exception):
    """What every error of plum-hub is: a message fit for the user, ending with what to do."""

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        """The message in one line, whatever a library or a user's own text brought into it."""
        return " ".join(super().__str__().splitlines())


class UsageError(PlumError):
    """The command line cannot be carried out as it stands."""

    exit_code = 2


class RecipeError(PlumError):
    """A recipe's key is unknown or missing, or its value is not allowed."""

    exit_code = 3


class RunError(PlumError):
    """A run folder is damaged, not writable, or belongs to another recipe."""

    exit_code = 4


class InstructionsError(PlumError):
    """A source of instructions is missing, unreadable, or lacks the column asked for."""

    exit_code = 5


class EngineError(PlumError):
    """An engine could not generate: the model is unknown, the server is down, or it refused the key."""

    exit_code = 6


class SandboxError(PlumError):
    """Programs could not be run: isolation is not to be had, or a worker broke. Never says anything about a program."""

    exit_code = 7


class StaticCheckError(PlumError):
    """The static check could not be carried out. Never says anything about a program."""

    exit_code = 8


class HubError(PlumError):
    """Publishing to or loading from a Hub did not succeed."""

    exit_code = 9


class MissingExtraError(PlumError):
    """An optional package is not installed. Carries the `pip install` line."""

    exit_code = 10

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs a package that is not installed: run  pip install 'plum-hub[{extra}]'")


class NothingToReleaseError(PlumError):
    """The run is complete, but no instruction has a chosen sample: there is nothing to publish."""

    exit_code = 11


class BenchmarkError(PlumError):
    """A benchmark's content cannot be had, or is not what this version of it has."""

    exit_code = 12


class TrainingError(PlumError):
    """A training cannot begin with these rows, this model or this machine, or it had to stop."""

    exit_code = 13


class VerificationError(PlumError):
    """A release was checked, and something about it does not agree."""

    exit_code = 14
