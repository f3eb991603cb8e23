"""Home folders: of what outlives a run (`$PLUM_HUB_HOME`), of the Hub's client, and of users, as `~` in paths."""

import os
from pathlib import Path

from plum_hub.errors import MachineError


def expanded(text: "str | os.PathLike[str]") -> Path:
    """Make a path of what a user wrote, with the home folder for `~`, which a shell leaves in `--run=~/x`.

    Args:
        text: A path, which may begin with `~` or `~USER`.

    Returns:
        The path; unchanged if there is no such user, where `Path.expanduser` raises.
    """
    return Path(os.path.expanduser(text))  # noqa: PTH111


def home() -> Path:
    """Return the folder. It may not exist yet.

    Raises:
        MachineError: It begins with the home folder of a user who has none.
    """
    return _of_variable(os.environ.get("PLUM_HUB_HOME") or "~/.cache/plum-hub", "PLUM_HUB_HOME")


def clients_home() -> Path:
    """Return the folder of the Hub's client (`huggingface_hub`): `$HF_HOME`, else in `$XDG_CACHE_HOME`.

    Raises:
        MachineError: It begins with the home folder of a user who has none.
    """
    given = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")  # noqa: PTH118
    return _of_variable(given, "HF_HOME")


def _of_variable(given: str, variable: str) -> Path:
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise MachineError(
            f"{given}: there is no such home folder; set {variable} to a folder that this user may write"
        ) from error
