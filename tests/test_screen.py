"""The bars of a build on a real terminal: one display from its first stage to its last, and the cursor back at the end,
however it ends."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.rehearsal import command, write_rehearsal

HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"


class Terminal:
    """A pseudo-terminal that a build has as its stderr."""

    def __init__(self, arguments: list[str]) -> None:
        self._master, slave = os.openpty()
        self.seen = b""
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=slave, env=environment)
        os.close(slave)

    def read_until(self, words: bytes) -> None:
        while words not in self.seen:
            assert self._read(), self.seen.decode()

    def read_to_the_end(self) -> tuple[int, bytes]:
        """The exit status, and what came on stdout."""
        while self._read():
            pass
        os.close(self._master)
        out, _ = self.process.communicate()
        return self.process.returncode, out

    def _read(self) -> bool:
        try:
            more = os.read(self._master, 65536)
        except OSError:  # how Linux says that nobody has the other end open
            more = b""
        self.seen += more
        return bool(more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rehearsal(tmp_path, tasks=3)
    return tmp_path


def test_one_display_for_all_stages_and_the_cursor_comes_back(folder: Path) -> None:
    terminal = Terminal(command(folder, "--json"))
    code, out = terminal.read_to_the_end()
    assert code == 0, terminal.seen.decode()
    assert terminal.seen.count(HIDE) == terminal.seen.count(SHOW) == 1
    last = terminal.seen[terminal.seen.rfind(b"instructions") :]
    for stage in (b"responses", b"suites", b"samples", b"verdicts", b"preferences"):
        assert stage in last  # finished bars stay
    assert json.loads(out)["rows"]["instructions"] == 3  # the result is on stdout, not among the bars


def test_ctrl_c_gives_the_cursor_back(folder: Path) -> None:
    terminal = Terminal(command(folder, "--set", "policy.delay_seconds=0.5"))
    terminal.read_until(b"samples")
    terminal.process.send_signal(signal.SIGINT)
    code, _ = terminal.read_to_the_end()
    assert code == 130, terminal.seen.decode()
    assert terminal.seen.count(HIDE) == terminal.seen.count(SHOW) == 1
    assert terminal.seen.rfind(SHOW) < terminal.seen.rfind(b"rows made so far are kept")


def test_an_error_gives_the_cursor_back(folder: Path) -> None:
    answers = folder / "answers.jsonl"
    answers.write_text("".join(answers.read_text().splitlines(keepends=True)[:-2]))
    terminal = Terminal(command(folder))
    code, _ = terminal.read_to_the_end()
    assert code == 6, terminal.seen.decode()
    assert terminal.seen.count(HIDE) == terminal.seen.count(SHOW) == 1
