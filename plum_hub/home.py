"""The folder for everything that outlives a run: `$PLUM_HUB_HOME`, by default `~/.cache/plum-hub`."""

import os
from pathlib import Path

from plum_hub.errors import MachineError


def home() -> Path:
    """Return the folder. It may not exist yet.

    Raises:
        MachineError: It begins with the home folder of a user who has none.
    """
    given = os.environ.get("PLUM_HUB_HOME") or "~/.cache/plum-hub"
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise MachineError(
            f"{given}: there is no such home folder; set PLUM_HUB_HOME to a folder that this user may write"
        ) from error
