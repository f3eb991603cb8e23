"""Find what a user names: a run, a release, a training, an evaluation, or a folder that holds some of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from plum_hub.errors import RunError, UsageError
from plum_hub.instructions.addresses import parse_release
from plum_hub.loading import fetch_pinned
from plum_hub.release.manifest import MANIFEST
from plum_hub.training.checkpoint import MERGED, RECORD, STEPS

FolderKind: TypeAlias = Literal["build", "release", "training", "rounds", "evaluation", "label-truth"]
"""What a folder holds."""

_DEPTH = 5
"""Levels of folders below the named one that are searched: rounds of an experiment lie four deep."""
_WITHIN = {"shards", "release", "logs", "batches", "report", "held-out", "tensorboard", MERGED, STEPS}
"""Folders that belong to what holds them."""


@dataclass(frozen=True)
class FoundFolder:
    """One part of a report."""

    name: str
    """For the reader: the last part of what the user named, and the path within it."""
    path: Path
    kind: FolderKind


def find(source: str, hub: str) -> list[FoundFolder]:
    """Find everything that can be reported in a folder or a published dataset.

    Args:
        source: A folder, or `REPO@TAG`.
        hub: Where `REPO@TAG` is, as for `plum_hub.load`.

    Returns:
        What was found, the named folder first, then its subfolders by name.

    Raises:
        UsageError: It is neither a folder nor `REPO@TAG`.
        RunError: The folder holds nothing that can be reported.
        HubError: The dataset cannot be downloaded.
    """
    root = Path(source)
    if root.is_dir():
        found = list(_walk(root, root.resolve().name, _DEPTH))
        if not found:
            raise RunError(
                f"{source}: holds no run, training or evaluation; name the folder that --run or --out of  plum-hub "
                "build-dataset, train  or  evaluate  wrote"
            )
        return found
    if root.exists():
        raise UsageError(f"{source}: is a file; name a run's folder, as in  plum-hub report runs/starter")
    repo, tag = parse_release(source, "folder")
    return [FoundFolder(f"{repo}@{tag}", fetch_pinned(repo, tag, hub).folder, "release")]


def _walk(folder: Path, name: str, depth: int) -> Iterator[FoundFolder]:
    kind = _kind(folder)
    if kind is not None:
        yield FoundFolder(name, folder, kind)
    if depth and kind != "release":
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and not inner.name.startswith(".") and inner.name not in _WITHIN:
                yield from _walk(inner, f"{name}/{inner.name}", depth - 1)


def _kind(folder: Path) -> FolderKind | None:
    def has(*names: str) -> bool:
        return all((folder / name).exists() for name in names)

    if has("recipe.yaml", "shards"):
        return "build"
    if has(MANIFEST, "test_suites"):
        return "release"
    if has(RECORD):
        return "training"
    if has("rounds.jsonl"):
        return "rounds"
    if has("scores.json"):
        return "evaluation"
    return "label-truth" if has("samples.jsonl", "suites.jsonl") else None
