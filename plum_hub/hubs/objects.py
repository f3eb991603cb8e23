"""Large files by their SHA-256, outside git, where a pointer of three lines takes their place.

An object arrives in scratch, is checked and flushed to disk, and only then renamed to its name: what exists is whole.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from plum_hub.hubs import refusals

_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d+)\n")
POINTER_SIZES = range(100, 200)
"""A blob of another size cannot be a pointer, so it need not be read."""


@dataclass(frozen=True)
class Pointer:
    """A large file: its SHA-256 and its size in bytes."""

    sha256: str
    size: int

    def to_bytes(self) -> bytes:
        """Return the pointer file that git stores."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @staticmethod
    def parse(content: bytes) -> "Pointer | None":
        """Parse a pointer file.

        Args:
            content: A blob.

        Returns:
            The pointer; None if the blob is not one.
        """
        match = _POINTER.fullmatch(content)
        return Pointer(match[1].decode(), int(match[2])) if match else None


class Objects:
    """The store of large files.

    Args:
        folder: Where they lie.
        scratch: A folder on the same disk, for files that are still arriving.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.scratch = scratch

    def path(self, sha256: str) -> Path:
        """Return the path of an object, whether it exists or not.

        Args:
            sha256: Its SHA-256.

        Returns:
            The path.
        """
        return self.folder / sha256[:2] / sha256[2:4] / sha256

    def size(self, sha256: str) -> int | None:
        """Return the size of an object.

        Args:
            sha256: Its SHA-256.

        Returns:
            Bytes; None where it is not stored.
        """
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def receive(self, pointer: Pointer) -> "Arrival":
        """Start storing an object that arrives piece by piece.

        Args:
            pointer: What the object has to be.

        Returns:
            A context manager that takes the pieces.
        """
        return Arrival(self, pointer)

    def part_path(self, pointer: Pointer, upload: str, number: int) -> Path:
        """Return where a part of a multipart upload waits for the others.

        Args:
            pointer: The whole object.
            upload: The id of the upload.
            number: The part, from 1.

        Returns:
            A path in scratch.
        """
        return self.scratch / f"part-{upload}-{pointer.sha256}-{number:05d}"

    def join(self, pointer: Pointer, parts: Iterable[Path]) -> None:
        """Store an object from its parts, and remove them.

        Args:
            pointer: What the object has to be.
            parts: Their paths, in order.

        Raises:
            Refusal: A part is missing, or the whole does not match its SHA-256 and size; the parts stay.
        """
        parts = list(parts)
        with self.receive(pointer) as arrival:
            for part in parts:
                try:
                    with part.open("rb") as file:
                        while piece := file.read(1 << 20):
                            arrival.write(piece)
                except FileNotFoundError:
                    raise refusals.malformed(f"part {part.name.rpartition('-')[2]} was not uploaded") from None
            arrival.keep()
        for part in parts:
            part.unlink(missing_ok=True)


class Arrival:
    """An object that is arriving: `write` its bytes, then `keep` it. Leaving the `with` block earlier discards it.

    Args:
        objects: The store.
        pointer: What the object has to be.
    """

    def __init__(self, objects: Objects, pointer: Pointer) -> None:
        self._objects, self._pointer = objects, pointer
        self._digest = hashlib.sha256()
        self._path = objects.scratch / f"object-{secrets.token_hex(8)}"
        self._file: IO[bytes] = self._path.open("xb")

    def write(self, piece: bytes) -> None:
        """Take the next bytes.

        Args:
            piece: The bytes.

        Raises:
            Refusal: They exceed the declared size.
        """
        if self._file.tell() + len(piece) > self._pointer.size:
            raise refusals.too_large(self._pointer.size)
        self._digest.update(piece)
        self._file.write(piece)

    def keep(self) -> None:
        """Check the object and give it its name.

        Raises:
            Refusal: It does not match its SHA-256 and size.
        """
        if (self._file.tell(), self._digest.hexdigest()) != (self._pointer.size, self._pointer.sha256):
            raise refusals.malformed(f"the uploaded bytes are not sha256 {self._pointer.sha256}; nothing was stored")
        self._file.flush()
        os.fsync(self._file.fileno())
        target = self._objects.path(self._pointer.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(target)
        flush_folder(target.parent)

    def __enter__(self) -> "Arrival":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Make a rename in a folder survive a power failure.

    Args:
        folder: The folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file in one step, durably: a reader, or a kill at any moment, finds the old content or the new one.

    Args:
        path: The file.
        content: Its new content.
        mode: Its permissions.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, opened with its mode
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    flush_folder(path.parent)
