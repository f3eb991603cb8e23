"""The exact version of a model: the commit of a Hub repository, or the SHA-256 of a local folder's files."""

import hashlib
from pathlib import Path

from plum_hub.engines.base import in_a_line
from plum_hub.engines.names import COMMIT, REPO
from plum_hub.errors import EngineError
from plum_hub.files import reading
from plum_hub.patience import be_patient

NOTE = "plum-weights.json"
"""File in a model's folder that describes its weights; it changes nothing (see `weights.py`)."""

_DECISIVE = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model", "*.txt", "*.py")
"""Files of a model folder that can change what it generates."""
_WAYS_OUT = "give the folder of a model, set HF_ENDPOINT to a Hub that can be reached, or run scripts/fetch-model"

_GGUF = "; a GGUF can be served by llama.cpp or the like, and asked as  openai:NAME@URL"


def exact_revision(model: str, revision: str | None) -> str:
    """Resolve a model to its exact revision.

    A commit is returned as it is, without network. A branch or tag is looked up on the Hub, or in its local cache
    when no Hub answers.

    Args:
        model: A local folder or a Hub repository.
        revision: What is expected or asked for; None for the main branch.

    Returns:
        `sha256:…` for a local folder, else a commit.

    Raises:
        EngineError: The model or revision does not exist, or the folder is not the one that `revision` names.
        RunError: A file of the folder cannot be read.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if revision and not revision.startswith("sha256:"):
            raise EngineError(
                f"{model} is a folder, and folders have no revisions such as {revision}: name it without one, or name "
                "the Hub repository from where no folder has its name"
            )
        return checked(model, f"sha256:{folder_sha256(folder)}", revision)
    if folder.is_file():
        raise EngineError(
            f"{model} is a file: name the folder that holds a model's config.json and its weights as safetensors"
            f"{_GGUF if folder.suffix.lower() == '.gguf' else ''}"
        )
    if not REPO.fullmatch(model):
        raise EngineError(f"{model}: there is no such folder, and it is not a Hub repository's name: {_WAYS_OUT}")
    if revision and COMMIT.fullmatch(revision):
        return revision
    return _commit(model, revision)


def check_there(repo: str, commit: str) -> None:
    """Check that a commit is in the local cache or on the Hub. Libraries that load it retry for half a minute first.

    Args:
        repo: A model repository.
        commit: 40 hexadecimal digits.

    Raises:
        EngineError: It is in neither place.
    """
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(repo, "config.json", revision=commit), str):
        _commit(repo, commit)


def checked(model: str, found: str, expected: str | None) -> str:
    """Compare a revision with the pinned one.

    Args:
        model: For the message.
        found: The revision that is there now.
        expected: The pinned revision; None or empty if none was pinned.

    Returns:
        `found`.

    Raises:
        EngineError: Another revision was pinned.
    """
    if expected and expected != found:
        raise EngineError(
            f"{model} has changed since this run began (pinned {expected}, found {found}): "
            "restore the old files, or start a new run"
        )
    return found


def folder_sha256(folder: Path) -> str:
    """Digest a model folder: names and contents of the files that decide what it generates.

    Args:
        folder: A folder with a `config.json`, or with the `adapter_config.json` of adapters.

    Returns:
        SHA-256, in hexadecimal.

    Raises:
        EngineError: There is neither, so the folder does not hold a model.
        RunError: A file cannot be read.
    """
    if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        gguf = _GGUF if any(folder.glob("*.gguf")) else ""
        raise EngineError(f"{folder}: there is no config.json, so this is not the folder of a model: {_WAYS_OUT}{gguf}")
    files = sorted({path for pattern in _DECISIVE for path in folder.glob(pattern) if path.name != NOTE})
    whole = hashlib.sha256()
    for path in files:
        with reading(path) as file:
            whole.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n".encode())
    return whole.hexdigest()


def _commit(repo: str, revision: str | None) -> str:
    from httpx2 import HTTPError  # what the Hub's client lets through when a connection fails
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    be_patient()
    try:
        commit = HfApi().model_info(repo, revision=revision, timeout=20).sha
    except GatedRepoError as error:
        raise EngineError(f"{repo} is gated: accept its terms on its page, then log in with  hf auth login") from error
    except RepositoryNotFoundError as error:
        raise EngineError(f"the Hub has no model {repo}, or not for you: check the name, or  hf auth login") from error
    except RevisionNotFoundError as error:
        raise EngineError(f"{repo} has no revision {revision}: name a branch, tag or commit it has") from error
    except (HTTPError, HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        try:
            return Path(snapshot_download(repo, revision=revision, local_files_only=True)).name
        except (LocalEntryNotFoundError, OSError):
            if _status(error) == 401:
                raise EngineError(
                    f"{repo}: the Hub refuses the token ({in_a_line(error)}), and no copy is cached: log in with  "
                    "hf auth login, or unset HF_TOKEN"
                ) from error
            raise EngineError(
                f"{repo}: no such folder, no Hub answers ({in_a_line(error)}) and none is cached: {_WAYS_OUT}"
            ) from error
    if commit is None:
        raise EngineError(f"{repo}: the Hub names no commit of it: name one as  {repo}@COMMIT, or the folder of a copy")
    return str(commit)


def _status(error: Exception) -> int | None:
    """Return the status with which a Hub answered; None where there was no answer."""
    return getattr(getattr(error, "response", None), "status_code", None)
