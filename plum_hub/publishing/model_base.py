"""The base model of a checkpoint: where it is on this machine, and its public name."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plum_hub.engines.base import in_a_line
from plum_hub.engines.names import COMMIT
from plum_hub.engines.revision import NOTE, folder_sha256
from plum_hub.engines.weights import SIZES
from plum_hub.errors import EngineError, TrainingError
from plum_hub.hubs.front_matter import FrontMatterError, read, texts
from plum_hub.lines import object_of
from plum_hub.patience import be_patient
from plum_hub.publishing.model_checkpoint import TrainedCheckpoint
from plum_hub.release.model_lineage import BaseModelRef
from plum_hub.release.model_tree import ADAPTER_CONFIG
from plum_hub.release.record import read_releases
from plum_hub.training.checkpoint import CHECKPOINT

_PLAIN = "the publisher's own"
"""How the note on weights begins if they are unchanged from the repository."""


@dataclass(frozen=True)
class ResolvedBase:
    """The base model of a checkpoint, located."""

    model: str | None
    """Local folder or Hub repository; None where the folder no longer exists."""
    commit: str | None
    """Commit of the repository; None for a folder."""
    facts: BaseModelRef
    """Public name, revision and licence."""

    def folder(self) -> Path:
        """Download the model if it is on a Hub.

        Returns:
            Local folder with its weights and configuration.

        Raises:
            TrainingError: It cannot be downloaded.
        """
        if self.commit is None and self.model is not None:
            return Path(self.model)
        from httpx2 import HTTPError  # raised by huggingface_hub when a connection fails
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        be_patient()
        try:
            patterns = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
            return Path(snapshot_download(str(self.model), revision=self.commit, allow_patterns=patterns))
        except (HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OSError) as error:
            raise TrainingError(
                f"{self.model} at {self.commit} cannot be downloaded ({in_a_line(error)}), and the adapters need it: "
                "name a local copy with --base DIR"
            ) from error

    def file(self, name: str) -> Path | None:
        """Download one of the model's files if it is on a Hub.

        Args:
            name: Path within the model.

        Returns:
            Local file; None where the model has no such file or cannot be reached.
        """
        if self.model is None:
            return None
        if self.commit is None:
            path = Path(self.model) / name
            return path if path.is_file() else None
        from httpx2 import HTTPError  # raised by huggingface_hub when a connection fails
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError

        be_patient()
        try:
            return Path(hf_hub_download(self.model, name, revision=self.commit))
        except (HfHubHTTPError, HTTPError, OSError):
            return None


def resolve_base(trained: TrainedCheckpoint, given: str | None, licence: str | None) -> ResolvedBase:
    """Locate the base model of a checkpoint, and find its public name.

    Args:
        trained: The checkpoint.
        given: Its folder, from the user; None for where it was when the training started.
        licence: Its licence, from the user; None for the one that its card states.

    Returns:
        The base model. A folder that no longer exists is allowed for whole weights, which do not need it.

    Raises:
        TrainingError: The base of an adapter is missing, or `given` is another model.
    """
    base_model = trained.record.model
    model = given or _trained_from(trained) or base_model.name
    folder = Path(model).expanduser()
    on_hub = COMMIT.fullmatch(base_model.revision) is not None
    commit = base_model.revision if on_hub else None
    plain = BaseModelRef(name=base_model.name, commit=commit, revision=base_model.revision, weights=None, license=None)
    if folder.is_dir() and on_hub:
        base = ResolvedBase(str(folder), None, plain)
    elif on_hub:
        base = ResolvedBase(base_model.name, commit, plain)
    elif folder.is_dir() and _is_revision(folder, base_model.revision):
        base = ResolvedBase(str(folder), None, _public_name(folder, plain))
    elif trained.form == "adapter" or given:
        raise TrainingError(
            f"{model}: is not the folder of the model that was trained ({base_model.name}, {base_model.revision}): "
            "name that folder with --base DIR"
        )
    else:
        base = ResolvedBase(None, None, plain)
    terms = licence or base.facts.license or _stated_licence(base.file("README.md"))
    return replace(base, facts=replace(base.facts, license=terms))


def _trained_from(trained: TrainedCheckpoint) -> str | None:
    """Read where the base model was when PEFT made the adapters."""
    path = trained.folder / ADAPTER_CONFIG
    if not path.is_file():
        return None
    try:
        found = object_of(path.read_bytes()).get("base_model_name_or_path")
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}); restore the file, or train again") from error
    return found if isinstance(found, str) else None


def _is_revision(folder: Path, revision: str) -> bool:
    try:
        return f"sha256:{folder_sha256(folder)}" == revision
    except EngineError:  # the folder holds no model
        return False


def _public_name(folder: Path, plain: BaseModelRef) -> BaseModelRef:
    """Name a model in a folder by the repository that it came from or was published to, if known."""
    note = _read(folder / NOTE)
    weights = str(note.get("weights", _PLAIN))
    named = replace(plain, weights=None if weights.startswith(_PLAIN) else weights)
    if "model" in note:
        commits = {known.repo: known.revision for known in SIZES.values()}
        return replace(named, name=note["model"], commit=commits.get(note["model"]))
    for checkpoint in (
        folder,
        folder.parent,
        folder.parent / CHECKPOINT,
    ):  # the last one: a round keeps its model next to its checkpoint
        for release in read_releases(checkpoint):
            if release.model == plain.revision:
                return replace(plain, name=release.repo, commit=release.commit, license=release.license)
    return named


def _stated_licence(card: Path | None) -> str | None:
    """Read the licence from a card's front matter."""
    try:
        stated = texts(read(card.read_text(encoding="utf-8")).get("license")) if card else []
    except (FrontMatterError, OSError, UnicodeDecodeError):
        return None
    return stated[0] if stated else None


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where it is missing or invalid."""
    try:
        return object_of(path.read_bytes())
    except (OSError, ValueError):
        return {}
