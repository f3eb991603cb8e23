"""What a model is called: a Hub repository by its name, a folder or file of this machine by its path."""

import re
from pathlib import Path

REPO = re.compile(r"[\w.-]+(/[\w.-]+)?")
COMMIT = re.compile(r"[0-9a-f]{40}")


def on_hub(model: str) -> bool:
    """Whether the name is that of a Hub repository rather than a folder here."""
    return not Path(model).expanduser().is_dir()


def located(model: str) -> str:
    """What a library opens: the folder with its `~` filled in, or the repository's name."""
    return model if on_hub(model) else str(Path(model).expanduser())


def published(model: str, revision: str | None) -> str:
    """The name to publish: a repository's own; of a folder or file its last part, since where it lies is nobody's
    business. A path such as `a/b` looks like a repository; its revision tells, and without one this machine does."""
    path = Path(model).expanduser()
    local = (revision or "").startswith("sha256:") or not (COMMIT.fullmatch(revision or "") or not path.exists())
    return path.resolve().name if local or not REPO.fullmatch(model) else model
