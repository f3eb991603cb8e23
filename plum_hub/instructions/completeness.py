"""Refuse a folder of which a part would be left out in silence."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from plum_hub.errors import InstructionsError
from plum_hub.instructions.file_kinds import is_supported

_BESIDE = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
"""Files that describe a dataset and hold none of its rows."""
_SHARD = re.compile(r"(?P<before>(?:.*[^0-9])?)(?P<number>[0-9]{3,})-of-(?P<total>[0-9]{3,})[^0-9].*")
"""Name of one of several files with the same kind of rows, as `train-00000-of-00003.parquet`."""


def data_files(folder: Path) -> list[Path]:
    """Find the files of a folder that may hold rows; hidden files and folders, such as `.cache`, do not.

    Args:
        folder: The folder.

    Returns:
        The files, in the order of their names.
    """
    names = (file for file in sorted(folder.rglob("*")) if is_supported(file.name) and file.name not in _BESIDE)
    return [file for file in names if not any(part.startswith((".", "__")) for part in file.relative_to(folder).parts)]


def check_complete(folder: Path, address: str, read: Sequence[Path], known: Collection[Path]) -> None:
    """Refuse a folder that has more rows than are read, unless its card says which files are data, or lacks some.

    Args:
        folder: The folder.
        address: What names it in a pattern of files: its path, or `hf://datasets/NAMESPACE/NAME`.
        read: The files that are read.
        known: The files of all splits.

    Raises:
        InstructionsError: A file would not be read, or one of a numbered series is not there.
    """
    if missing := _missing_shard(read):
        raise InstructionsError(
            f"{address}: {missing} is missing beside {read[0].relative_to(folder)}: fetch it too, or name the files "
            f"that are there with a pattern, as in  {_pattern(folder, address, read[0])}"
        )
    card = folder / "README.md"
    if card.is_file() and "configs:" in card.read_text(encoding="utf-8", errors="replace"):
        return
    places = set(map(os.path.abspath, known))
    unread = next((file for file in data_files(folder) if os.path.abspath(file) not in places), None)  # noqa: PTH100
    if unread and read:
        patterns = dict.fromkeys(
            _pattern(folder, address, file) for file in (unread, read[0]) if is_supported(file.name)
        )
        raise InstructionsError(
            f"{address}: {unread.relative_to(folder)} would not be read beside {read[0].relative_to(folder)}, since "
            f"`datasets` takes neither several formats nor files outside of splits: move it, or name the files to read "
            f"with a pattern, as in  {'  or  '.join(patterns)}"
        )


def _pattern(folder: Path, address: str, file: Path) -> str:
    return f"'{address}/{file.relative_to(folder).with_name('*' + file.suffix)}'"


def _missing_shard(files: Sequence[Path]) -> str | None:
    """Name a file that is not there, though the names of those that are read say so; numbers begin at 0 or 1."""
    for place in dict.fromkeys(file.parent for file in files):
        wanted = {_series(file) for file in files if file.parent == place} - {None}
        # A card may leave out some that are there on purpose.
        there = [_SHARD.fullmatch(file.name) for file in place.iterdir() if _series(file) in wanted]
        for before, total in sorted(filter(None, wanted)):
            numbers = {int(one["number"]) for one in there if one and one.group("before", "total") == (before, total)}
            first = 1 if int(total) in numbers else 0
            missing = next((number for number in range(first, first + int(total)) if number not in numbers), None)
            if missing is not None:
                return f"{before}{missing:0{len(total)}}-of-{total}"
    return None


def _series(file: Path) -> tuple[str, str] | None:
    """Return what the names of a series have in common, besides a hash that may be at their end."""
    found = _SHARD.fullmatch(file.name) if is_supported(file.name) else None
    return found and (found["before"], found["total"])
