"""Stand-ins for pytest's fixtures that capture what is printed; see `stand_ins`."""

import contextlib
import io
import os
import sys
import tempfile
from collections import namedtuple
from collections.abc import Iterator
from typing import Any


class _Captured:
    """What is written to `sys.stdout` and `sys.stderr`."""

    def __init__(self, binary: bool) -> None:
        """Begin to capture.

        Args:
            binary: Whether it is given as bytes.
        """
        self.binary = binary
        self.files = self._files()
        self.streams = [io.TextIOWrapper(file, "utf-8", newline="", write_through=True) for file in self.files]
        self.resume()

    def _files(self) -> list[Any]:
        return [io.BytesIO(), io.BytesIO()]

    def resume(self) -> None:
        """Capture from here on."""
        self.kept = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self.streams

    def suspend(self) -> None:
        """Capture no more."""
        sys.stdout, sys.stderr = self.kept

    def readouterr(self) -> Any:
        """Return what was written since this was last asked for."""
        parts = []
        for stream, file in zip(self.streams, self.files, strict=True):
            stream.flush()
            file.seek(0)
            parts.append(file.read())
            file.seek(0)
            file.truncate()
        CaptureResult = namedtuple("CaptureResult", ["out", "err"])
        return CaptureResult(*(part if self.binary else part.decode("utf-8", "replace") for part in parts))

    @contextlib.contextmanager
    def disabled(self) -> Iterator[None]:
        """Capture nothing in a block."""
        self.suspend()
        try:
            yield
        finally:
            self.resume()


class _CapturedFiles(_Captured):
    """What is written to the file descriptors 1 and 2 as well."""

    def _files(self) -> list[Any]:
        return [tempfile.TemporaryFile(buffering=0), tempfile.TemporaryFile(buffering=0)]

    def resume(self) -> None:
        """Capture from here on."""
        super().resume()
        for stream in self.kept:
            stream.flush()
        self.saved = [os.dup(1), os.dup(2)]
        for number, file in enumerate(self.files, start=1):
            os.dup2(file.fileno(), number)

    def suspend(self) -> None:
        """Capture no more."""
        super().suspend()
        for number, saved in enumerate(self.saved, start=1):
            os.dup2(saved, number)
            os.close(saved)


def capsys() -> Iterator[Any]:
    """Stand in for the fixture: what is written to `sys.stdout` and `sys.stderr`.

    Yields:
        The fixture.
    """
    made = _Captured(False)
    yield made
    made.suspend()


def capsysbinary() -> Iterator[Any]:
    """Stand in for the fixture: `capsys` with bytes.

    Yields:
        The fixture.
    """
    made = _Captured(True)
    yield made
    made.suspend()


def capfd() -> Iterator[Any]:
    """Stand in for the fixture: what is written to the file descriptors 1 and 2.

    Yields:
        The fixture.
    """
    made = _CapturedFiles(False)
    yield made
    made.suspend()


def capfdbinary() -> Iterator[Any]:
    """Stand in for the fixture: `capfd` with bytes.

    Yields:
        The fixture.
    """
    made = _CapturedFiles(True)
    yield made
    made.suspend()
