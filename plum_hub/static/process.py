"""The checking process as its caller sees it (see `mypy_worker.py`), and the mypy cache that such processes share."""

import json
import platform
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

from plum_hub.errors import StaticCheckError
from plum_hub.home import home

_WORKER = Path(__file__).with_name("mypy_worker.py")


class CheckReply(NamedTuple):
    """What a checking process reports about one program.

    Attributes:
        number: The program's place in its batch.
        status: `checked`; `syntax` (it does not compile); `stopped` (mypy could not check it); `killed` (the check
            was killed twice at it from outside).
        errors: Code, line and message of each error, at most 50.
    """

    number: int
    status: Literal["checked", "syntax", "stopped", "killed"]
    errors: list[tuple[str, int, str]]


class ProcessEndedError(Exception):
    """The checking process died or broke the protocol; the message says how it ended."""


def mypy_arguments() -> list[str]:
    """Return mypy's command-line options that decide what it finds.

    Bodies without annotations are checked too, only mypy's own stubs are followed, and the user's settings are ignored.
    """
    return [
        "--config-file=", "--check-untyped-defs", "--ignore-missing-imports", "--follow-imports=skip",
        "--no-site-packages", "--soft-error-limit=-1",
    ]  # fmt: skip


class CheckingProcess:
    """A process that checks batches of programs; it is ready half a second after its start.

    Args:
        codes: mypy's error codes to report; with none, programs are only compiled.
        cache: mypy's cache folder (see `mypy_cache`), not needed without codes. An empty one is filled.
    """

    def __init__(self, codes: frozenset[str], cache: Path | None) -> None:
        command = [sys.executable, "-I", str(_WORKER)]
        if codes:
            command += [",".join(sorted(codes)), *mypy_arguments()]
            command += ["--output=json", "--sqlite-cache", "--cache-dir=."]
        self._complaints = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            command, cwd=cache, env={"PYTHONDONTWRITEBYTECODE": "1"}, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints, process_group=0,
        )  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def answers(self, sources: Sequence[str]) -> list[CheckReply]:
        """Check a batch.

        Args:
            sources: The programs.

        Returns:
            One reply a program, by its number.

        Raises:
            ProcessEndedError: The process did not finish the batch.
        """
        replies = {}
        try:
            self._stdin.write(json.dumps(sources) + "\n")
            self._stdin.flush()
            while reply := json.loads(self._stdout.readline()):
                replies[reply[0]] = CheckReply(*reply)
        except (OSError, ValueError) as error:
            raise ProcessEndedError(self._last_words()) from error
        return [replies[number] for number in sorted(replies)]

    def _last_words(self) -> str:
        self._process.kill()
        status = self._process.wait()
        self._complaints.seek(0)
        return f"status {status}: {self._complaints.read().strip()[-300:]}".removesuffix(": ")

    def close(self) -> None:
        """Kill the process; it has nothing to save."""
        self._process.kill()
        for stream in (self._stdin, self._stdout, self._complaints):
            with suppress(BrokenPipeError):  # input that it did not read
                stream.close()
        self._process.wait()


def mypy_cache() -> Path:
    """Return the folder with mypy's cache of the standard library, made on first use in some 3 s.

    Raises:
        StaticCheckError: mypy does not run.
        OSError: The folder cannot be written.
    """
    place = home() / "mypy" / f"{version('mypy')}-{platform.python_version()}-{zlib.crc32(sys.prefix.encode()):08x}"
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="plum-mypy-", dir=place.parent) as name:
        made = Path(name) / "cache"
        made.mkdir()
        process = CheckingProcess(frozenset({"name-defined"}), made)
        try:
            process.answers([])
            made.rename(place)
        except ProcessEndedError as error:
            raise does_not_run(error) from error
        except OSError:  # another run was first
            if not place.is_dir():
                raise
        finally:
            process.close()
    return place


def does_not_run(error: ProcessEndedError) -> StaticCheckError:
    """Return the user's error for a checking process that does not work on this machine.

    Args:
        error: How the process ended.
    """
    return StaticCheckError(
        f"the static check does not run here ({error}); free some memory, or disk, or reinstall mypy:  "
        "pip install --force-reinstall 'mypy>=1.15'"
    )
