"""The folder for everything that outlives a run: `$PLUM_HUB_HOME`, by default `~/.cache/plum-hub`."""

import os
from pathlib import Path

from plum_hub.errors import MachineError


def home() -> Path:
    """Return the folder. It may not exist yet.

    Raises:
        MachineError: It begins with the home folder of a user who has none.
    """
    return _expanded(os.environ.get("PLUM_HUB_HOME") or "~/.cache/plum-hub", "PLUM_HUB_HOME")


def clients_home() -> Path:
    """Return the folder of the Hub's client (`huggingface_hub`): `$HF_HOME`, else in `$XDG_CACHE_HOME`.

    Raises:
        MachineError: It begins with the home folder of a user who has none.
    """
    given = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")  # noqa: PTH118
    return _expanded(given, "HF_HOME")


def _expanded(given: str, variable: str) -> Path:
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise MachineError(
            f"{given}: there is no such home folder; set {variable} to a folder that this user may write"
        ) from error
