"""The folder that a program may write to, how it is emptied behind it, and the files without a name that a script reads
and prints to. Part of the inside of a jail.

pathlib is not used: the zygote imports this, and each module makes every fork dearer.
"""

import contextlib
import errno
import os
import stat

FOLDERS = ("/tmp", "/dev/shm")  # in a jail one and the same


def cleaned(scratch: str, empty: tuple[int, int]) -> bool:
    """Empty a scratch folder, whatever a program did to it; False when something is left that cannot be seen (a file in
    a message that nobody has read), and then this jail is not used again."""
    if room(scratch) == empty:
        return True
    with contextlib.suppress(PermissionError):  # an ordinary user's zygote shares the folder with the program
        os.chmod(scratch, 0o1777)  # noqa: PTH101  pathlib would make every fork dearer; so below
    while entries := list(os.scandir(scratch)):
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _remove_folder(scratch, entry.path)
            else:
                os.unlink(entry)  # noqa: PTH108
    return room(scratch) == empty


def room(scratch: str) -> tuple[int, int]:
    """The blocks and files that a folder has room for."""
    found = os.statvfs(scratch)
    return found.f_bfree, found.f_ffree


def _remove_folder(scratch: str, path: str) -> None:
    """Remove a folder whose subfolders, first, move up beside it, so that no path and no recursion is ever deep."""
    os.chmod(path, 0o700)  # noqa: PTH101
    for entry in list(os.scandir(path)):
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry, 0o700)  # noqa: PTH101
            os.rename(entry, f"{scratch}/{os.urandom(8).hex()}")  # noqa: PTH104
        else:
            os.unlink(entry)  # noqa: PTH108
    os.rmdir(path)  # noqa: PTH106


def emptied(folder: str) -> bool:
    """Empty a folder on a file system that others use too, once nobody else writes to it. No link is followed, and no
    name is longer than one step, so what lies below may be deeper than a path can name. Always True."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    top = _identity(place)
    try:
        while True:
            below = _emptied_of_files(place)
            if not below and _identity(place) == top:
                return True
            place, above = _entered(below or "..", place), place
            os.close(above)
    finally:
        os.close(place)


def _identity(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino


def _emptied_of_files(handle: int) -> str:
    """Remove what can be removed from an open folder, and return the name of a folder in it that holds something."""
    below = ""
    for name in os.listdir(handle):
        try:
            _remove(name, handle)
        except PermissionError:
            os.fchmod(handle, 0o700)
            _remove(name, handle)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            below = name
    return below


def _remove(name: str, folder: int) -> None:
    """Remove a file or an empty folder."""
    if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
        os.rmdir(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)


def _entered(name: str, folder: int) -> int:
    """A handle of a folder that may resist."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=folder)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=folder)
        return os.open(name, flags, dir_fd=folder)


def nameless_file(folder: str) -> int:
    """A descriptor of a new file that has no name, to be read and written."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(folder, flags | os.O_TMPFILE, 0o600)
    except OSError:  # some file systems have no such files, as overlayfs for long
        name = f"{folder}/{os.urandom(8).hex()}"
        file = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600)
        os.unlink(name)  # noqa: PTH108
        return file


def script_files(stdin: bytes, folder: str) -> tuple[int, int]:
    """What a script reads, and where it prints."""
    files = nameless_file(folder), nameless_file(folder)
    view = memoryview(stdin)
    while view:
        view = view[os.write(files[0], view) :]
    os.lseek(files[0], 0, os.SEEK_SET)
    return files


def printed(files: tuple[int, ...], most: int) -> bytes:
    """What a script printed, a byte more than `most` at most."""
    if not files:
        return b""
    output = os.pread(files[1], most + 1, 0)
    for file in files:
        os.close(file)
    return output
