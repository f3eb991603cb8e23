"""The folder for everything that outlives a run: `$PLUM_HUB_HOME`, by default `~/.cache/plum-hub`."""

import os
from pathlib import Path


def home() -> Path:
    """Return the folder. It may not exist yet."""
    return Path(os.environ.get("PLUM_HUB_HOME") or "~/.cache/plum-hub").expanduser()
