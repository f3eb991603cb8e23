"""The scratch folder of programs, and the unnamed files that a script reads from and prints to.

Part of the inside of a jail. pathlib is not used: the zygote imports this module, and every imported module makes forks
slower.
"""

import contextlib
import errno
import os
import stat

FOLDERS = ("/tmp", "/dev/shm")  # the same folder in a jail


def cleaned(scratch: str, empty: tuple[int, int]) -> bool:
    """Empty a scratch folder, whatever a program did to it.

    Args:
        scratch: The folder, the root of a file system of its own.
        empty: Its `room` when empty.

    Returns:
        False if something invisible is left (such as a file in an unread message); the jail must then not be reused.
    """
    # An ordinary user's zygote shares the folder with the program, which may have changed its mode and nothing else.
    with contextlib.suppress(PermissionError):
        os.chmod(scratch, 0o1777)  # noqa: PTH101  pathlib makes forks slower; also below
    if room(scratch) == empty:
        return True
    while entries := list(os.scandir(scratch)):
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _remove_folder(scratch, entry.path)
            else:
                os.unlink(entry)  # noqa: PTH108
    return room(scratch) == empty


def room(scratch: str) -> tuple[int, int]:
    """Measure the free space of a file system.

    Args:
        scratch: Its root folder.

    Returns:
        Free blocks and free inodes.
    """
    found = os.statvfs(scratch)
    return found.f_bfree, found.f_ffree


def _remove_folder(scratch: str, path: str) -> None:
    """Remove a folder after moving its subfolders up beside it, so that neither a path nor a recursion is ever deep."""
    os.chmod(path, 0o700)  # noqa: PTH101
    for entry in list(os.scandir(path)):
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry, 0o700)  # noqa: PTH101
            os.rename(entry, f"{scratch}/{os.urandom(8).hex()}")  # noqa: PTH104
        else:
            os.unlink(entry)  # noqa: PTH108
    os.rmdir(path)  # noqa: PTH106


def emptied(folder: str) -> bool:
    """Empty a folder on a shared file system, once nothing else writes to it.

    No link is followed and every name is one step long, so the tree may be deeper than a path can name.

    Args:
        folder: The folder, which remains.

    Returns:
        True.
    """
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
    """Remove what can be removed from an open folder; return the name of a folder in it that is not empty."""
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
    """Open a folder, after changing its mode if necessary."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=folder)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=folder)
        return os.open(name, flags, dir_fd=folder)


def nameless_file(folder: str) -> int:
    """Create a file without a name, for reading and writing.

    Args:
        folder: On the file system that holds it.

    Returns:
        Its file descriptor.
    """
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(folder, flags | os.O_TMPFILE, 0o600)
    except OSError:  # not supported by some file systems, such as older overlayfs
        name = f"{folder}/{os.urandom(8).hex()}"
        file = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600)
        os.unlink(name)  # noqa: PTH108
        return file


def script_files(stdin: bytes, folder: str) -> tuple[int, int]:
    """Create the input and output of a script.

    Args:
        stdin: What it reads.
        folder: On the file system that holds the files.

    Returns:
        File descriptors of its input and output.
    """
    files = nameless_file(folder), nameless_file(folder)
    view = memoryview(stdin)
    while view:
        view = view[os.write(files[0], view) :]
    os.lseek(files[0], 0, os.SEEK_SET)
    return files


def printed(files: tuple[int, ...], most: int) -> bytes:
    """Read what a script printed, and close its files.

    Args:
        files: What `script_files` returned; empty where the program was no script.
        most: Limit in bytes.

    Returns:
        At most one byte more than `most`, so that the excess is noticed.
    """
    if not files:
        return b""
    output = os.pread(files[1], most + 1, 0)
    for file in files:
        os.close(file)
    return output
