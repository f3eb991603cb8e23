"""Large files by their sha256, outside git: git keeps a pointer of three lines in their place.

An object arrives in scratch, is checked, flushed to disk and only then renamed to its name: what is there is whole.
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
"""A blob outside these sizes is no pointer, and need not be read to know it."""


@dataclass(frozen=True)
class Pointer:
    """A large file: its sha256 and its size in bytes."""

    sha256: str
    size: int

    def to_bytes(self) -> bytes:
        """What git keeps in its place."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @staticmethod
    def parse(content: bytes) -> "Pointer | None":
        """The pointer that a blob is, or None."""
        match = _POINTER.fullmatch(content)
        return Pointer(match[1].decode(), int(match[2])) if match else None


class Objects:
    """The store of large files below `folder`; `scratch` is a folder on the same disk for what is still arriving."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.scratch = scratch

    def path(self, sha256: str) -> Path:
        """Where the object is, or would be."""
        return self.folder / sha256[:2] / sha256[2:4] / sha256

    def size(self, sha256: str) -> int | None:
        """The object's size in bytes; None where it was never stored."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def receive(self, pointer: Pointer) -> "Arrival":
        """Begin to store an object whose bytes arrive piece by piece."""
        return Arrival(self, pointer)

    def part_path(self, pointer: Pointer, upload: str, number: int) -> Path:
        """Where one part of a multipart upload waits for the others."""
        return self.scratch / f"part-{upload}-{pointer.sha256}-{number:05d}"

    def join(self, pointer: Pointer, parts: Iterable[Path]) -> None:
        """Store an object from its parts, in order, and remove them.

        Raises:
            Refusal: a part is missing, or the whole is not what its sha256 and size say; the parts stay.
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
    """An object on its way in: `write` its bytes, then `keep` it; leaving the `with` block without that forgets it."""

    def __init__(self, objects: Objects, pointer: Pointer) -> None:
        self._objects, self._pointer = objects, pointer
        self._digest = hashlib.sha256()
        self._path = objects.scratch / f"object-{secrets.token_hex(8)}"
        self._file: IO[bytes] = self._path.open("xb")

    def write(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            Refusal: they are more than there should be.
        """
        if self._file.tell() + len(piece) > self._pointer.size:
            raise refusals.too_large(self._pointer.size)
        self._digest.update(piece)
        self._file.write(piece)

    def keep(self) -> None:
        """Check the object and give it its name.

        Raises:
            Refusal: it is not what its sha256 and size say.
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
    """Make a rename in `folder` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that a reader, or a kill at any moment, finds the old content or the new one, never a mixture."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, opened with its mode
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    flush_folder(path.parent)
