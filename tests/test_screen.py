"""The bars of a build on a real terminal: one display from its first stage to its last, and the cursor back at the end,
however it ends."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plum_hub.cli.reporters import Bars
from plum_hub.cli.screen import facts, table
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


NAMES = ("stage", "engine", "requests", "why")
ROWS = [
    ("responses", "vllm:./models/[v2]/a-long-name-of-a-model", "1,200", "because of [/this] and that"),
    ("x", "", "1", ""),
]


def on_terminal(columns: int, code: str) -> str:
    """What Python code prints on a terminal of so many columns."""
    master, slave = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    subprocess.run([sys.executable, "-c", code], stdout=slave, env=environment, check=True)
    os.close(slave)
    seen = os.read(master, 65536).decode()
    os.close(master)
    return re.sub(r"\x1b\[[0-9;]*m", "", seen).replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [30, 40, 80, 120])
def test_a_table_fits_its_terminal_and_loses_nothing(columns: int) -> None:
    code = f"from plum_hub.cli.screen import table; table({NAMES!r}, {ROWS!r}, right=['requests'])"
    seen = on_terminal(columns, code)
    assert max(map(len, seen.splitlines())) <= columns
    together = re.sub(r"\s", "", seen)
    for cell in (cell for row in ROWS for cell in row):
        assert re.sub(r"\s", "", cell) in together
    assert ("\n  engine" in seen) is (columns < 80)  # row by row where the columns do not fit


@pytest.mark.parametrize("columns", [30, 80])
def test_a_long_value_is_never_cut_off(columns: int) -> None:
    commit = "0123456789" * 4
    seen = on_terminal(columns, f"from plum_hub.cli.screen import facts; facts([('release', 'me/x, commit {commit}')])")
    assert commit in re.sub(r"\s", "", seen)


def test_a_pipe_gets_whole_lines_without_spaces_at_their_ends(capsys: pytest.CaptureFixture[str]) -> None:
    command = "run  pip install 'plum-hub[eval]' " * 20
    facts([("extra", command), ("python", "3.11")])
    table(NAMES, ROWS, right=["requests"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"extra   {command}".rstrip()
    assert lines[2].split() == [*NAMES]
    assert lines[3].endswith("  because of [/this] and that")
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_bar_shows_a_folder_with_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    bars.begin("responses", 3, 0)
    with bars.waiting("loading ./[v2]/[/x]"):
        bars._bars.console.print(bars._bars.get_renderable())
    bars.close()
    assert "loading ./[v2]/[/x]" in " ".join(capsys.readouterr().err.split())
