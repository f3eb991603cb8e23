"""Names of models: a Hub repository by its name, a folder or file on this machine by its path."""

import re
from pathlib import Path

REPO = re.compile(r"(?!.*(?:--|\.\.|\.git\Z))(?:\w(?:[\w.-]*\w)?/)?\w(?:[\w.-]{0,94}\w)?", re.ASCII)
"""Names that huggingface_hub's `validate_repo_id` accepts; all others are paths."""
COMMIT = re.compile(r"[0-9a-f]{40}")


def on_hub(model: str) -> bool:
    """Tell whether a model is named by a Hub repository.

    Args:
        model: As in the settings.

    Returns:
        False if there is a folder of this name here.
    """
    return not Path(model).expanduser().is_dir()


def located(model: str) -> str:
    """Return what a library opens.

    Args:
        model: As in the settings.

    Returns:
        The folder with `~` expanded, or the repository's name.
    """
    return model if on_hub(model) else str(Path(model).expanduser())


def published(model: str, revision: str | None) -> str:
    """Return the name to publish for a model. Of a folder or file that is its last part: its path is private.

    Args:
        model: As in the settings. A path such as `a/b` looks like a repository.
        revision: Tells the two apart: `sha256:…` for local files, a commit for a repository. Without one, this
            machine's files decide.

    Returns:
        A repository's name, or the last part of a path.
    """
    path = Path(model).expanduser()
    local = (revision or "").startswith("sha256:") or not (COMMIT.fullmatch(revision or "") or not path.exists())
    return path.resolve().name if local or not REPO.fullmatch(model) else model


def unloadable() -> tuple[type[Exception], ...]:
    """List what is raised for a model whose files are missing, damaged, or contradict each other.

    Returns:
        Exceptions of transformers, vLLM and the libraries below them.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    return (
        OSError, ValueError, LookupError, ImportError, RuntimeError, TypeError, AttributeError, AssertionError,
        SafetensorError, StrictDataclassError,
    )  # fmt: skip
