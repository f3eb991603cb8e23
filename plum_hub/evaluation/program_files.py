"""Read programs that are files of their own, in a folder or zip archive as EvalPlus makes and publishes them.

FOLDER/HumanEval_0/0.py     the first program for HumanEval/0, whole
FOLDER/HumanEval_0/1.py     the second
"""

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from plum_hub.errors import UsageError
from plum_hub.instructions.file_kinds import DAMAGED

_TASK = re.compile(r"[A-Za-z]+_\d+")
"""The name of a problem's folder."""
_HIDDEN = re.compile(r"(?:.*/)?(?:\.|__)")
"""Paths such as `__MACOSX/HumanEval_0/._0.py`, which macOS packs beside the files."""
_NUMBER = re.compile(r"(\d+)")
_DAMAGED = (*DAMAGED, zipfile.BadZipFile, RuntimeError)
"""What `zipfile` raises for an archive that is damaged, encrypted, or packed in a way that it does not know."""


@dataclass(frozen=True)
class ProgramFile:
    """One program."""

    where: str
    """The file, for error messages."""
    problem: str
    """Id of its problem."""
    text: str


@dataclass(frozen=True)
class ProgramFiles:
    """The files of a folder or archive, by problem and number."""

    path: Path
    names: Sequence[PurePosixPath]
    """Their paths in it."""

    def programs(self, most: int) -> Iterator[ProgramFile]:
        """Read the programs.

        Args:
            most: Bytes of a file that are read.

        Yields:
            The programs.

        Raises:
            UsageError: A file cannot be read; the message names it.
        """
        for name, content in self._contents(most):
            where = f"{self.path / name}"
            try:
                text = content.decode()
            except UnicodeDecodeError as error:
                if error.start < most - 4:  # else a character is cut at the limit
                    raise UsageError(f"{where}: is not text in UTF-8 ({error.reason}): convert or remove it") from error
                text = content.decode(errors="replace")
            yield ProgramFile(where, name.parts[-2].replace("_", "/"), text)

    @property
    def files(self) -> list[Path]:
        """The files on this machine that hold the programs."""
        return [self.path] if self.path.is_file() else [self.path / name for name in self.names]

    def _contents(self, most: int) -> Iterator[tuple[PurePosixPath, bytes]]:
        where = self.path
        try:
            with zipfile.ZipFile(self.path) if self.path.is_file() else nullcontext() as packed:
                for name in self.names:
                    where = self.path / name
                    with packed.open(str(name)) if packed else where.open("rb") as file:
                        content = file.read(most)
                    yield name, content
        except (OSError, *_DAMAGED) as error:
            raise _unreadable(where, error) from error


def find_program_files(path: Path) -> ProgramFiles | None:
    """Find programs that are files of their own.

    Args:
        path: A folder or an archive. Between it and the folders of problems there may be one more.

    Returns:
        The files; None if the path is neither, or has none.

    Raises:
        UsageError: The archive cannot be read, or holds something else.
    """
    if path.is_dir():
        names = [PurePosixPath(file.relative_to(path)) for depth in ("*/*.py", "*/*/*.py") for file in path.glob(depth)]
        found = _of_problems(names)
        return ProgramFiles(path, found) if found else None
    if path.suffix.lower() != ".zip" or not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            found = _of_problems([PurePosixPath(name) for name in archive.namelist() if name.endswith(".py")])
    except (OSError, *_DAMAGED) as error:
        raise _unreadable(path, error) from error
    if not found:
        raise UsageError(
            f"{path}: holds no HumanEval_0/0.py or the like: unpack it, and give the folder, or the file with the rows"
        )
    return ProgramFiles(path, found)


def _of_problems(names: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """Select the files in folders of problems, and sort them, 2.py before 10.py."""
    found = [
        name
        for name in names
        if 2 <= len(name.parts) <= 3 and _TASK.fullmatch(name.parts[-2]) and not _HIDDEN.match(str(name))
    ]
    return sorted(found, key=_natural)


def _natural(name: PurePosixPath) -> tuple[list[tuple[int, str]], str]:
    """Return the key by which numbers in names are compared as numbers."""
    parts = _NUMBER.split(str(name))
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)], str(name)


def _unreadable(path: Path, error: Exception) -> UsageError:
    reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return UsageError(f"{path}: cannot be read ({reason}): make it readable, or leave it out")
