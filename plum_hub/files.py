"""Files that other processes may hold, and writes that a kill cannot leave half done."""

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from plum_hub.errors import MachineError, RunError
from plum_hub.home import home
from plum_hub.redaction import without_own


@contextmanager
def reading(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading.

    Args:
        path: The file.

    Yields:
        The open file, in binary mode.

    Raises:
        RunError: The file cannot be read; the message names it.
    """
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise RunError(
            f"{path}: cannot be read ({error.strerror or error}); correct its permissions, or move it"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write within the block into an error that says what to do.

    Args:
        path: What the message names: the file or folder that the block writes to.

    Raises:
        RunError: The block raised an `OSError`, as on a full disk.
    """
    try:
        yield
    except OSError as error:
        other = ", or set PLUM_HUB_HOME to another folder," if path.is_relative_to(home()) else ""
        raise RunError(
            f"{path}: cannot be written ({error.strerror or error}); all rows made so far are kept: "
            f"correct that{other} and run the same command again"
        ) from error


def require_home() -> None:
    """Check that `$PLUM_HUB_HOME` can be written, before hours of work that end there.

    Raises:
        MachineError: It cannot.
    """
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MachineError(
            f"{folder} is not writable ({error.strerror or error}); set PLUM_HUB_HOME to a folder of yours"
        ) from error


def write_whole(path: Path, content: str | bytes | Iterable[str]) -> None:
    """Replace a file in one step, so that a reader, or a kill, sees the old content or the new one, never a part.

    Args:
        path: The file; its folder is made where it is missing.
        content: The content, or its parts, which are written one at a time. Text is encoded as UTF-8. Lone surrogates,
            which a model may generate, become `?`.

    Raises:
        RunError: The file cannot be written; the old content is still there.
    """
    parts = [content] if isinstance(content, str | bytes) else content
    data = (part if isinstance(part, bytes) else without_own(part).encode("utf-8", errors="replace") for part in parts)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{os.getpid()}.new")  # two processes may write it at the same time
        while not _put(data, new, path):
            pass
        for other in path.parent.glob(f"{glob.escape(path.name)}.*.new"):
            _remove_if_left(other)


def _put(data: Iterable[bytes], new: Path, path: Path) -> bool:
    """Write a file and rename it, locked, so that it can be told from one whose process was killed."""
    with new.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not new.exists():
            return False  # removed between the opening and the lock, as if it were left behind
        file.writelines(data)
        file.flush()
        new.replace(path)
    return True


def _remove_if_left(new: Path) -> None:
    """Remove the file of a write that a kill has cut short; nobody holds its lock."""
    with suppress(FileNotFoundError, BlockingIOError), new.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.unlink()


def replace_folder(new: Path, place: Path) -> None:
    """Put a complete folder in the place of another one. A kill leaves the old one, the new one or none, never a part.

    Args:
        new: The complete folder, which moves.
        place: Where it goes, on the same file system.

    Raises:
        OSError: The folder that contains them cannot be written.
    """
    old = place.with_name(f"{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def link_out(folder: Path) -> Path | None:
    """Find a link below a folder that leads out of it: whoever sent the folder would have other files read or written.

    Args:
        folder: The folder.

    Returns:
        The first such link; None if there is none.
    """
    top = folder.resolve()
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            if path.is_symlink() and not path.resolve().is_relative_to(top):
                return path
    return None


@contextmanager
def locked(path: Path, busy: Callable[[], Exception] | None) -> Iterator[int]:
    """Hold a lock file for the time of the block. The kernel releases it when the process ends, however it ends.

    Args:
        path: The lock file; it is made where it is missing, and stays.
        busy: Makes the error for when another process holds the lock. None waits for that process instead.

    Yields:
        The file descriptor. A process that inherits it holds the lock too, until it ends.

    Raises:
        OSError: The lock file cannot be opened.
    """
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if busy is None else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if busy is None:
                raise
            raise busy() from None
        yield file.fileno()


def is_locked(path: Path) -> bool:
    """Tell whether another process holds a lock file.

    Args:
        path: The lock file.

    Returns:
        True if it is held; False if it is free or does not exist. Two processes that only look do not see each other.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
