"""The model that was trained: where it lies on this machine, and what the world calls it."""

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
from plum_hub.publishing.model_checkpoint import TrainedCheckpoint
from plum_hub.publishing.repository import releases
from plum_hub.release.model_lineage import BaseModelRef
from plum_hub.release.model_tree import ADAPTER_CONFIG
from plum_hub.training.checkpoint import CHECKPOINT

_PLAIN = "the publisher's own"
"""How a note begins whose weights are those of the repository."""


@dataclass(frozen=True)
class ResolvedBase:
    """The base of a checkpoint."""

    model: str | None
    """What opens it here: a folder or a Hub repository; None where the folder is gone."""
    commit: str | None
    """Of that repository."""
    facts: BaseModelRef

    def folder(self) -> Path:
        """A folder with its weights and configuration.

        Raises:
            TrainingError: it cannot be had.
        """
        if self.commit is None and self.model is not None:
            return Path(self.model)
        from httpx2 import HTTPError  # what the Hub's client lets through when a connection fails
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            patterns = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
            return Path(snapshot_download(str(self.model), revision=self.commit, allow_patterns=patterns))
        except (HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OSError) as error:
            raise TrainingError(
                f"{self.model} at {self.commit} cannot be had ({in_a_line(error)}), and the adapters belong to it: say "
                "where it lies with --base DIR"
            ) from error

    def file(self, name: str) -> Path | None:
        """One of its files, on this machine; None where it has none or cannot be reached."""
        if self.model is None:
            return None
        if self.commit is None:
            path = Path(self.model) / name
            return path if path.is_file() else None
        from httpx2 import HTTPError  # what the Hub's client lets through when a connection fails
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError

        try:
            return Path(hf_hub_download(self.model, name, revision=self.commit))
        except (HfHubHTTPError, HTTPError, OSError):
            return None


def base_of(trained: TrainedCheckpoint, given: str | None, licence: str | None) -> ResolvedBase:
    """The base of a checkpoint.

    Args:
        trained: the checkpoint.
        given: where it lies, by the user's own word; None for where it lay when it was trained.
        licence: its licence, by the user's own word; None for what it states itself.

    Raises:
        TrainingError: an adapter's base is gone, or is another one.
    """
    said = trained.facts["model"]
    model = given or _where(trained) or str(said["name"])
    folder = Path(model).expanduser()
    on_hub = COMMIT.fullmatch(said["revision"]) is not None
    commit = said["revision"] if on_hub else None
    plain = BaseModelRef(name=said["name"], commit=commit, revision=said["revision"], weights=None, license=None)
    if folder.is_dir() and on_hub:
        base = ResolvedBase(str(folder), None, plain)
    elif on_hub:
        base = ResolvedBase(said["name"], commit, plain)
    elif folder.is_dir() and _is_revision(folder, said["revision"]):
        base = ResolvedBase(str(folder), None, _named(folder, plain))
    elif trained.form == "adapter" or given:
        raise TrainingError(
            f"{model}: is not the folder of the model that was trained ({said['name']}, {said['revision']}): say where "
            "that lies with --base DIR"
        )
    else:
        base = ResolvedBase(None, None, plain)
    terms = licence or base.facts.license or _stated_licence(base.file("README.md"))
    return replace(base, facts=replace(base.facts, license=terms))


def _where(trained: TrainedCheckpoint) -> str | None:
    """What PEFT wrote down when the adapters were made."""
    path = trained.folder / ADAPTER_CONFIG
    if not path.is_file():
        return None
    try:
        found = object_of(path.read_bytes()).get("base_model_name_or_path")
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}); bring the file back, or train anew") from error
    return found if isinstance(found, str) else None


def _is_revision(folder: Path, revision: str) -> bool:
    try:
        return f"sha256:{folder_sha256(folder)}" == revision
    except EngineError:  # it holds no model
        return False


def _named(folder: Path, plain: BaseModelRef) -> BaseModelRef:
    """A model in a folder by the name of the repository that it stands for, where it does for one."""
    note = _read(folder / NOTE)
    weights = str(note.get("weights", _PLAIN))
    named = replace(plain, weights=None if weights.startswith(_PLAIN) else weights)
    if "model" in note:
        commits = {one.repo: one.revision for one in SIZES.values()}
        return replace(named, name=note["model"], commit=commits.get(note["model"]))
    for checkpoint in (folder, folder.parent, folder.parent / CHECKPOINT):  # the last: a round's model lies beside it
        for row in releases(checkpoint):
            if row.get("model") == plain.revision:
                return replace(plain, name=row["repo"], commit=row["commit"], license=row["license"])
    return named


def _stated_licence(card: Path | None) -> str | None:
    """What a card's front matter says."""
    try:
        stated = texts(read(card.read_text(encoding="utf-8")).get("license")) if card else []
    except (FrontMatterError, OSError, UnicodeDecodeError):
        return None
    return stated[0] if stated else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return object_of(path.read_bytes())
    except (OSError, ValueError):
        return {}
