"""Find what a user names: a run, a release, a training, an evaluation, or a folder that holds some of them."""

import os
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
    """For the reader: the last part of what the user named, and the path within it, with `�` for what is not UTF-8."""
    path: Path
    kind: FolderKind


@dataclass(frozen=True)
class UnreadFolder:
    """A folder that could not be searched."""

    name: str
    """For the reader, as in `FoundFolder`."""
    why: str


def find(source: str, hub: str) -> list[FoundFolder | UnreadFolder]:
    """Find everything that can be reported in a folder or a published dataset.

    Args:
        source: A folder, or `REPO@TAG`.
        hub: Where `REPO@TAG` is, as for `plum_hub.load`.

    Returns:
        What was found, the named folder first, then its subfolders by name, with those that cannot be read.

    Raises:
        UsageError: It is neither a folder nor `REPO@TAG`.
        RunError: The folder holds nothing that can be reported, or cannot be read.
        HubError: The dataset cannot be downloaded.
    """
    root = Path(source)
    try:
        is_folder, is_there = root.is_dir(), root.exists()
    except OSError as error:
        raise _unreadable(source, error.strerror or str(error)) from error
    if is_folder:
        found = list(_walk(root, _readable(root.resolve().name), _DEPTH))
        if not any(isinstance(one, FoundFolder) for one in found):
            for unread in (one for one in found if isinstance(one, UnreadFolder)):
                raise _unreadable(source, f"{unread.name}: {unread.why}")
            raise RunError(
                f"{source}: holds no run, training or evaluation; name the folder that --run or --out of  plum-hub "
                "build-dataset, train  or  evaluate  wrote"
            )
        return found
    if is_there:
        raise UsageError(f"{source}: is a file; name a run's folder, as in  plum-hub report runs/starter")
    repo, tag = parse_release(source, "folder")
    return [FoundFolder(f"{repo}@{tag}", fetch_pinned(repo, tag, hub).folder, "release")]


def _walk(folder: Path, name: str, depth: int) -> Iterator[FoundFolder | UnreadFolder]:
    try:
        if not folder.is_dir():
            return
        kind, inside = _kind(folder), sorted(folder.iterdir())
    except OSError as error:  # as of  lost+found
        yield UnreadFolder(name, error.strerror or str(error))
        return
    if kind is not None:
        yield FoundFolder(name, folder, kind)
    if depth and kind != "release":
        for inner in inside:
            if not inner.name.startswith(".") and inner.name not in _WITHIN:
                yield from _walk(inner, f"{name}/{_readable(inner.name)}", depth - 1)


def _unreadable(source: str, why: str) -> RunError:
    return RunError(f"{source}: cannot be read ({why}); correct its permissions")


def _readable(name: str) -> str:
    """Return the name of a file as text that can be written and drawn: names may be any bytes."""
    return os.fsencode(name).decode("utf-8", errors="replace")


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
