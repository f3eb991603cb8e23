"""Stand-ins for pytest's fixtures of folders; see `stand_ins`."""

import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any


def tmp_path() -> Iterator[Any]:
    """Stand in for the fixture: an empty folder.

    Yields:
        The fixture.
    """
    yield pathlib.Path(tempfile.mkdtemp())


def tmp_path_factory() -> Iterator[Any]:
    """Stand in for the fixture: empty folders.

    Yields:
        The fixture.
    """
    base = pathlib.Path(tempfile.mkdtemp())

    class Factory:
        def mktemp(self, basename: str, numbered: bool = True) -> pathlib.Path:
            number = sum(one.name.startswith(basename) for one in base.iterdir())
            made = base / (f"{basename}{number}" if numbered else basename)
            made.mkdir()
            return made

    yield Factory()


class _LocalPath(os.PathLike[str]):
    """Stand in for the paths of `py.path`, which `tmpdir` is."""

    def __init__(self, path: Any) -> None:
        """Make a path.

        Args:
            path: What it names.
        """
        self.strpath: str = os.fspath(path)
        self.basename, self.dirname = os.path.split(self.strpath)[::-1]

    def __fspath__(self) -> str:
        """Return the path."""
        return self.strpath

    def __str__(self) -> str:
        """Return the path."""
        return self.strpath

    def __eq__(self, other: object) -> bool:
        """Compare with another path or text."""
        return isinstance(other, (str, os.PathLike)) and self.strpath == os.fspath(other)

    def __hash__(self) -> int:
        """Return a hash of the path."""
        return hash(self.strpath)

    def __truediv__(self, other: Any) -> Any:
        """Return a path below it."""
        return self.join(other)

    def join(self, *parts: Any) -> Any:
        """Return a path below it."""
        return _LocalPath(os.path.join(self.strpath, *map(str, parts)))  # noqa: PTH118  as py.path does

    def mkdir(self, *parts: Any) -> Any:
        """Make a folder below it."""
        made = self.join(*parts)
        pathlib.Path(made).mkdir()
        return made

    def ensure(self, *parts: Any, **settings: Any) -> Any:
        """Make a file or folder below it, unless it is there."""
        made = pathlib.Path(self.join(*parts))
        (made if settings.get("dir") else made.parent).mkdir(parents=True, exist_ok=True)
        if not settings.get("dir"):
            made.touch()
        return _LocalPath(made)

    def write(self, data: Any, mode: str = "w", ensure: bool = False) -> None:
        """Write the file."""
        if ensure:
            pathlib.Path(self).parent.mkdir(parents=True, exist_ok=True)
        with open(self, mode) as file:  # noqa: PTH123
            file.write(data if "b" in mode else str(data))

    def read(self, mode: str = "r") -> Any:
        """Read the file."""
        with open(self, mode) as file:  # noqa: PTH123
            return file.read()

    def open(self, mode: str = "r", encoding: str | None = None) -> Any:
        """Open the file."""
        return open(self, mode, encoding=encoding)  # noqa: PTH123

    def check(self, **kinds: Any) -> bool:
        """Tell whether there is such a file or folder."""
        path = pathlib.Path(self)
        known = {"file": path.is_file(), "dir": path.is_dir(), "exists": path.exists(), "link": path.is_symlink()}
        return all(known[kind] is bool(wanted) for kind, wanted in (kinds or {"exists": True}).items())

    def exists(self) -> bool:
        """Tell whether there is such a file or folder."""
        return self.check()

    def listdir(self) -> list[Any]:
        """Return the paths of what the folder holds."""
        return [self.join(name) for name in os.listdir(self.strpath)]  # noqa: PTH208

    def remove(self) -> None:
        """Remove the file."""
        pathlib.Path(self).unlink()


def tmpdir() -> Iterator[Any]:
    """Stand in for the fixture: an empty folder.

    Yields:
        The fixture.
    """
    yield _LocalPath(tempfile.mkdtemp())
