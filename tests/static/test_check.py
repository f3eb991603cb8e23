import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plum_hub.errors import StaticCheckError
from plum_hub.static import DROP_CODES, NOT_CHECKED, Finding, check, checker_version, known_codes
from tests.execution.conftest import descendants


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLUM_HUB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


BAD = "def f(x):\n    return missing\n"
OK = {
    "plain": "def f(x):\n    return x\n",
    "missing package": "import numpy as np\nimport nowhere.inside\nnp.zeros(3).sum(nowhere)\n",
    "types that clash": "x = []\nx.append(1)\nx = 'text'\nx.nothing()\n",
    "old annotation": "def f(x: int) -> (int, int):\n    return x, x\n",
    "odd escape": "import re\nre.match('\\d', '1')\n",
    "it says so in a string": "x = '# type: ignore'\nprint(x)\n",
}
STATIC = {
    "name": (BAD, "name-defined"),
    "too many arguments": ("def f(x):\n    return x\n\nf(1, 2)\n", "call-arg"),
    "used before": ("print(a)\na = 1\n", "used-before-def"),
    "format": ("print('%d %d' % (1,))\n", "str-format"),
    "ignored line": ("def f(x):\n    return missing  # type: ignore\n", "name-defined"),
    "ignored file": ("# mypy: ignore-errors\nprint(missing)\n", "name-defined"),
    "steered": (
        "# -*- coding: latin-1 -*-\n# mypy: disable-error-code='name-defined'\nprint(missing)\n",
        "name-defined",
    ),
}
SYNTAX = {
    "syntax": "def f(:\n",
    "indentation": "def f():\nreturn 1\n",
    "null byte": "a\0b",
    "surrogate": "x = '\ud800'\n",
    "brackets": "(" * 10_000 + ")" * 10_000,
    "parser's memory": "x = " + "-" * 100_000 + "1",
    "compiler's stack": "x = " + "+".join(["1"] * 50_000),
    "return outside": "return 1\n",
}


def test_every_program_gets_its_own_finding() -> None:
    sources = {**OK, **{key: source for key, (source, _) in STATIC.items()}, **SYNTAX}

    found = check(sources)

    assert found.keys() == sources.keys()
    assert {key: found[key] for key in OK} == {key: Finding("ok") for key in OK}
    assert {key: found[key].status for key in SYNTAX} == dict.fromkeys(SYNTAX, "syntax_error")
    assert {key: [error.code for error in found[key].errors] for key in STATIC} == {
        key: [code] for key, (_, code) in STATIC.items()
    }
    assert found["name"].errors[0].line == 2 and "missing" in found["name"].errors[0].message


def test_only_the_codes_asked_for_count() -> None:
    sources = {"a": BAD, "b": "x: int = 'text'\n", "c": "def f(:\n"}

    found = check(sources, codes=frozenset({"assignment"}))

    assert {key: finding.status for key, finding in found.items()} == {
        "a": "ok", "b": "static_error", "c": "syntax_error"
    }  # fmt: skip
    assert checker_version(frozenset({"assignment"})) != checker_version()


def test_a_program_that_breaks_mypy_stops_nobody_else() -> None:
    bomb = "x0 = (1, 'a')\n" + "".join(f"x{i} = (x{i - 1}, x{i - 1}, x{i - 1})\n" for i in range(1, 35)) + "x34 + x33\n"
    neighbours = {f"neighbour {number}": BAD for number in range(5)}

    found = check({**neighbours, "bomb": bomb})

    assert {found[key].status for key in neighbours} == {"static_error"}
    assert found["bomb"].status == "ok"
    assert [error.code for error in found["bomb"].errors] == [NOT_CHECKED]


def test_nothing_is_executed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    check({"a": f"open({str(mark)!r}, 'w').write('x')\n"})

    assert not mark.exists()


def test_without_codes_only_the_syntax_counts() -> None:
    found = check({"a": BAD, "b": "def f(:\n"}, codes=frozenset())

    assert {key: finding.status for key, finding in found.items()} == {"a": "ok", "b": "syntax_error"}


def test_the_known_codes_are_those_that_mypy_reports_unasked() -> None:
    known = known_codes()

    assert known > DROP_CODES | {"assignment", "syntax"}
    assert known.isdisjoint({"no-such-code", "name-defind", "redundant-expr"})  # the last must be switched on


LONG = {f"long {number}": "x = [" + "f(1), " * 100_000 + "]\n" for number in range(3)}


def test_a_compiler_that_is_killed_says_nothing_about_the_program() -> None:
    with _compilers_killed(times=1) as killed:
        found = check({**LONG, "bad": "def f(:\n"}, codes=frozenset())

    assert len(killed) == 1
    assert {key: finding.status for key, finding in found.items()} == {
        **dict.fromkeys(LONG, "ok"),
        "bad": "syntax_error",
    }


def test_a_compiler_that_is_killed_twice_at_a_program_is_our_error() -> None:
    with _compilers_killed(times=1000), pytest.raises(StaticCheckError, match=r"twice at program 'long 0'.*status -9"):
        check(LONG, codes=frozenset())


@contextmanager
def _compilers_killed(times: int) -> Iterator[set[int]]:
    """From a thread, kill the compilers that this process starts, as a machine without memory does."""
    killed: set[int] = set()
    over = threading.Event()

    def kill() -> None:
        while len(killed) < times and not over.wait(0.001):
            for pid in descendants(os.getpid()) - killed:
                if _is_compiler(pid) and len(killed) < times:
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def _is_compiler(pid: int) -> bool:
    try:
        return b"/static/child.py\0syntax\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_no_programs_need_no_mypy() -> None:
    assert check({}) == {}


def test_a_folder_that_cannot_be_written_is_our_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "file"))

    with pytest.raises(StaticCheckError, match="free some space"):
        check({"a": BAD})
