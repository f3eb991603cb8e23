"""Where plum-hub keeps what outlives a run: `$PLUM_HUB_HOME`, by default `~/.cache/plum-hub`."""

import os
from pathlib import Path


def home() -> Path:
    """The folder; not made by asking for it."""
    return Path(os.environ.get("PLUM_HUB_HOME") or "~/.cache/plum-hub").expanduser()
