"""Models that are PEFT adapters: which model they belong to, and where its parts are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plum_hub.engines import trust
from plum_hub.engines.base import in_a_line
from plum_hub.engines.names import COMMIT, located, on_hub
from plum_hub.engines.revision import exact_revision
from plum_hub.errors import EngineError
from plum_hub.patience import be_patient

if TYPE_CHECKING:
    from plum_hub.engines.base import LocalSettings

ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_WEIGHTS = {"adapter_model.safetensors", "adapter_model.bin"}
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where the parts of a model are.

    Attributes:
        weights: Folder or Hub repository of the weights; of an adapter, its base's.
        weights_revision: The commit of that repository, None for a folder.
        tokenizer: Folder or Hub repository of the tokenizer.
        tokenizer_revision: The commit of that repository, None for a folder.
        adapter: Local folder of the adapter, if the model is one.
    """

    weights: str
    weights_revision: str | None
    tokenizer: str
    tokenizer_revision: str | None
    adapter: Path | None = None

    @property
    def rank(self) -> int:
        """The highest rank of the adapter's matrices; 0 without one."""
        if self.adapter is None:
            return 0
        config = _read(self.adapter)
        return max([int(config.get("r") or 0), *map(int, (config.get("rank_pattern") or {}).values())])


def pinned_base(config: "LocalSettings") -> dict[str, str]:
    """Find the model that an adapter belongs to.

    Args:
        config: Settings whose model's revision is pinned.

    Returns:
        Values for `base` and `base_revision`; empty if the model is no adapter.

    Raises:
        EngineError: The base is missing, or is another model than the adapters were trained on.
    """
    folder = _adapter_folder(config.model, config.revision)
    if folder is None:
        return {}
    found = _read(folder)
    base = config.base or found.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise EngineError(
            f"{config.model}: its {ADAPTER_CONFIG} names no base model: name it with  --set policy.base=DIR"
        )
    expected = config.base_revision or _trained_revision(folder) or found.get("revision")
    if expected and on_hub(base) != bool(COMMIT.fullmatch(expected)):
        expected = None  # a folder's copy of a repository, or the other way round
    try:
        return {"base": base, "base_revision": exact_revision(base, expected)}
    except EngineError as error:
        raise EngineError(
            f"{config.model} holds adapters, and the model that they belong to cannot be used ({in_a_line(error)}): "
            "name its folder or repository with  --set policy.base=MODEL  or in adapter_config.json"
        ) from error


def source_of(config: "LocalSettings") -> ModelSource:
    """Locate the parts of a model.

    Args:
        config: Pinned settings.

    Returns:
        Their places.

    Raises:
        EngineError: An adapter on a Hub cannot be downloaded, or the weights of a folder are a pickle or a GGUF.
    """
    commit = config.revision if on_hub(config.model) else None
    if config.base is None:
        name = located(config.model)
        if commit is None:
            trust.check_weights(Path(name))
        return ModelSource(weights=name, weights_revision=commit, tokenizer=name, tokenizer_revision=commit)
    folder = Path(located(config.model)) if commit is None else _downloaded(config.model, commit)
    trust.check_weights(folder)
    base, base_commit = located(config.base), config.base_revision if on_hub(config.base) else None
    own = (folder / "tokenizer_config.json").is_file()
    return ModelSource(
        weights=base,
        weights_revision=base_commit,
        tokenizer=str(folder) if own else base,
        tokenizer_revision=None if own else base_commit,
        adapter=folder,
    )


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder holds adapters rather than a whole model.

    Args:
        folder: Any folder.

    Returns:
        True for adapters.
    """
    return _are_adapters({path.name for path in folder.glob("*") if path.is_file()})


def _are_adapters(files: set[str]) -> bool:
    """Tell adapters from a whole model by the files of a folder or repository. Some trainers write the base's
    `config.json` beside adapters, and some merge without removing the adapters' configuration: then the weights decide.
    """
    if ADAPTER_CONFIG not in files or "config.json" not in files:
        return ADAPTER_CONFIG in files
    weights = {name for name in files if name.endswith((".safetensors", ".bin")) and "/" not in name}
    return bool(weights & _ADAPTER_WEIGHTS) and not any(name.startswith(("model", "pytorch_model")) for name in weights)


def _adapter_folder(model: str, revision: str | None) -> Path | None:
    """Return a folder with the adapter's configuration; None if the model is no adapter."""
    if not on_hub(model):
        folder = Path(located(model))
        return folder if is_adapter(folder) else None
    from httpx2 import HTTPError  # what the Hub's client lets through when a connection fails
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    cached = {name: try_to_load_from_cache(model, name, revision=revision) for name in ("config.json", ADAPTER_CONFIG)}
    if isinstance(cached["config.json"], str) and not isinstance(cached[ADAPTER_CONFIG], str):
        return None
    be_patient()
    try:
        path = Path(hf_hub_download(model, ADAPTER_CONFIG, revision=revision))
    except (HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OSError):  # opening it says what is wrong
        return None
    try:
        listed = HfApi().model_info(model, revision=revision, timeout=20).siblings or []
        files = {file.rfilename for file in listed}
    except (HfHubHTTPError, HTTPError, OSError):  # OfflineModeIsEnabled, too, is one of these
        return path.parent if is_adapter(path.parent) else None
    return path.parent if _are_adapters(files) else None


def _downloaded(repo: str, commit: str) -> Path:
    from httpx2 import HTTPError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    be_patient()
    try:
        return Path(snapshot_download(repo, revision=commit, allow_patterns=_FILES))
    except (HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EngineError(
            f"{repo} at {commit} cannot be downloaded ({in_a_line(error)}): set HF_ENDPOINT to a Hub that has it"
        ) from error


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EngineError(f"{folder / ADAPTER_CONFIG}: cannot be read ({in_a_line(error)}); restore it") from error
    if not isinstance(found, dict):
        raise EngineError(f"{folder / ADAPTER_CONFIG}: is not an object; restore it")
    return found


def _trained_revision(folder: Path) -> str | None:
    """Return the revision of the base that the record of a training states."""
    try:
        found = json.loads((folder / "training.json").read_text(encoding="utf-8"))["model"]["revision"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None
