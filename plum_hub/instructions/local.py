"""Find the rows on this machine: a file, files by a pattern, a folder of shards, or what `save_to_disk` wrote."""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import escape, glob
from pathlib import Path

from plum_hub.errors import InstructionsError
from plum_hub.instructions.completeness import check_complete, data_files
from plum_hub.instructions.file_kinds import FORMATS, is_supported
from plum_hub.instructions.hub import SplitFiles, loaded_rows, split_files
from plum_hub.instructions.tables import Row

_WILD = "*?["
_ADDRESS = re.compile("[a-z0-9]+:/", re.IGNORECASE)


@dataclass(frozen=True)
class LocalRows:
    """Rows on this machine.

    Attributes:
        path: The file, folder or pattern.
        found: The files that hold them.
    """

    path: Path
    found: SplitFiles

    @property
    def name(self) -> str:
        """Name of the file or folder, for rows and messages."""
        return self.path.name or self.path.resolve().name

    @cached_property
    def revision(self) -> str:
        """`sha256:` and the SHA-256 of the file's bytes; of several files, that of the digest and name of each.

        Raises:
            InstructionsError: A file cannot be read.
        """
        return f"sha256:{files_sha256(self.path, self.found.files)}"

    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[str, Row]]:
        """Iterate over the rows.

        Args:
            columns: Columns to read; see `read_rows`.

        Yields:
            Each row with where it is, as `FILE:NUMBER`.

        Raises:
            InstructionsError: A file cannot be read, or a row is invalid.
        """
        if not self.found.directly:
            for number, row in enumerate(loaded_rows(self.path, str(self.path), self.found.splits), start=1):
                yield f"{self.path}:{number}", row
            return
        yield from self.found.rows(columns)


def files_sha256(path: Path, files: Sequence[Path]) -> str:
    """Compute one digest of files.

    Args:
        path: The only file itself, or what stands for the files: a folder or pattern.
        files: The files, in order.

    Returns:
        The SHA-256 of the file's bytes; of several files, that of the digest and name of each.

    Raises:
        InstructionsError: A file cannot be read.
    """
    if tuple(files) == (path,):
        return _sha256(path)
    whole = hashlib.sha256()
    for file in files:
        name = file.relative_to(path) if path.is_dir() else file.name
        whole.update(f"{_sha256(file)}  {name}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()


def exists(path: Path) -> bool:
    """Tell whether something is at a path.

    Args:
        path: A path.

    Returns:
        False also where no name can be, as for a whole text, and where nothing may be looked for: `Path.exists` raises.
    """
    return os.path.exists(path)  # noqa: PTH110


def is_local(path: Path) -> bool:
    """Tell whether something is at a path.

    Args:
        path: A path, or a pattern such as `data/*.jsonl`.

    Returns:
        False also for a pattern that no file matches.
    """
    return exists(path) or (is_pattern(path) and bool(_matches(path)))


def is_pattern(path: Path) -> bool:
    """Tell whether a path stands for several files.

    Args:
        path: A path.

    Returns:
        True if it has `*`, `?` or `[`, and is no name of a file itself.
    """
    return any(sign in str(path) for sign in _WILD) and not exists(path)


def find_local(path: Path, splits: Sequence[str] | None = None) -> LocalRows:
    """Find the files that hold the rows at a path.

    Of a folder `datasets` determines which files belong to a split; a file with rows that is in no split is an error.

    Args:
        path: A file; a pattern such as `data/*.jsonl`, whose files are read in the order of their names; a folder of
            data files; or a folder of `save_to_disk`.
        splits: Splits of a folder that has several, in order; None is `train`, or the only one.

    Returns:
        The rows.

    Raises:
        InstructionsError: There is nothing, or nothing that can be read.
    """
    if is_pattern(path):
        files = [file for file in _matches(path) if is_supported(file.name)]
        if not files:
            raise InstructionsError(f"{path} matches no file that can be read: {FORMATS}")
        return LocalRows(path, _direct(files))
    if not exists(path):
        raise InstructionsError(f"{path} does not exist{_if_address(path)}")
    if path.is_dir():
        return _of_folder(path.resolve(), splits)  # `datasets` names files by their whole paths
    if not is_supported(path.name):
        raise InstructionsError(f"{path}: unknown kind of file: rename or convert it to {FORMATS}")
    return LocalRows(path, _direct([path]))


def find_part(folder: Path, part: str, name: str) -> LocalRows:
    """Find the files that hold the rows of a part of a downloaded dataset.

    Args:
        folder: The dataset's files.
        part: A file, folder or pattern in it.
        name: The whole address, for messages.

    Returns:
        The rows.

    Raises:
        InstructionsError: There is nothing, or nothing that can be read.
    """
    if not is_local(folder / part):
        raise InstructionsError(f"{name} does not exist: fix the path behind the dataset's name")
    return find_local(folder / part)


def _if_address(path: Path) -> str:
    """Say what mends a path that is none."""
    if _ADDRESS.match(str(path)):
        return " here, and an address is not read: fetch the file with  hf download  or  curl -fLO  and give its path"
    return ": fix the path"


def _direct(files: Sequence[Path], splits: Sequence[str] = ()) -> SplitFiles:
    return SplitFiles(splits=tuple(splits), files=tuple(files), known=frozenset(files), directly=True)


def _matches(path: Path) -> list[Path]:
    """Find the files of a pattern as a shell does: no hidden ones, and a `**` inside a name is a `*`."""
    place = next(parent for parent in path.parents if exists(parent))  # its own name may have signs of a pattern
    found = glob(f"{escape(str(place))}/{path.relative_to(place)}", recursive=True)  # noqa: PTH207 - takes more patterns
    return sorted(file for name in found if (file := Path(name)).is_file())


def _of_folder(path: Path, splits: Sequence[str] | None) -> LocalRows:
    if (path / "recipe.yaml").is_file():
        raise InstructionsError(
            f"{path} is a run folder: name one of its files, such as {path}/shards/00000/samples.jsonl"
        )
    if (path / "config.json").is_file() or (path / "adapter_config.json").is_file():
        raise InstructionsError(f"{path} holds a model, and no rows: give a file or folder with {FORMATS}")
    if (path / "dataset_dict.json").is_file():
        return _of_saved_splits(path, splits)
    if (path / "state.json").is_file() and (path / "dataset_info.json").is_file():
        return LocalRows(path, _direct(_saved_files(path)))
    if not data_files(path):
        raise InstructionsError(f"{path} is a folder without data files: give one with {FORMATS}")
    found = split_files(path, str(path), splits)
    check_complete(path, str(path), found.files, found.known)
    return LocalRows(path, found)


def _of_saved_splits(path: Path, splits: Sequence[str] | None) -> LocalRows:
    try:
        names = json.loads((path / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
        known = [name for name in names if isinstance(name, str) and "/" not in name and name not in (".", "..")]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InstructionsError(f"{path}/dataset_dict.json does not name splits: save the dataset again") from error
    wanted = tuple(splits) if splits else (known[0],) if len(known) == 1 else ("train",)
    if missing := next((name for name in wanted if name not in known), None):
        raise InstructionsError(
            f"{path} has no split `{missing}`, only {', '.join(known) or 'none'}: name the folder of one, as in  "
            f"{path}/{known[0] if known else 'train'}"
        )
    return LocalRows(path, _direct([file for name in wanted for file in _saved_files(path / name)], wanted))


def _saved_files(folder: Path) -> list[Path]:
    """Return the files of a dataset that `save_to_disk` wrote, in their order."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        names = [str(one["filename"]) for one in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InstructionsError(f"{folder}/state.json does not name its data files: save the dataset again") from error
    if wrong := next((name for name in names if "/" in name or not (folder / name).is_file()), None):
        raise InstructionsError(f"{folder / wrong}: this file of a saved dataset is missing: save the dataset again")
    return [folder / name for name in names]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InstructionsError(f"{path} cannot be read ({error.strerror}): fix its permissions") from error
