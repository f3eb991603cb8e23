"""The folder that a program may write to, how it is emptied behind it, and the files without a name that a script reads
and prints to. Part of the inside of a jail.

pathlib is not used: the zygote imports this, and each module makes every fork dearer.
"""

import contextlib
import os

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


def _nameless_file() -> int:
    """A descriptor of a new file that has no name, to be read and written."""
    return os.open(FOLDERS[0], os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def script_files(stdin: bytes) -> tuple[int, int]:
    """What a script reads, and where it prints."""
    files = _nameless_file(), _nameless_file()
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
