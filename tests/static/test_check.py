import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plum_hub.errors import StaticCheckError
from plum_hub.static import (
    DROP_CODES,
    NOT_CHECKED,
    Checker,
    CheckResult,
    StaticError,
    check,
    checker_version,
    known_codes,
)
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
SHAPE = """class Shape:
    def clone(self):
        return {}
    @classmethod
    def of(cls, size):
        return {}

class Circle(Shape):
    def __init__(self, size):
        self.size = size
"""
ENUMERATION = """{}
class Named({}):
    def __init__(self, label: str, size: int) -> None:
        self.size = size

class Planet(Named):
    EARTH = "earth", 3
    MARS = "mars", 4

{}
"""
OK |= {
    "a member by its value": ENUMERATION.format("from enum import Enum", "Enum", "Planet(('mars', 4))"),
    "a member of a module's": ENUMERATION.format("import enum", "enum.Enum", "Planet(Planet.MARS)"),
    "a member by another name": ENUMERATION.format("from enum import Enum as E", "E", "Planet(('mars', 4))"),
    "of all names": ENUMERATION.format("from enum import *", "Enum", "Planet(('mars', 4))"),
    "an enumeration from a base": ENUMERATION.format("from enum import Enum", "Enum", "Named('Moon', 'A B')"),
    "type of itself": SHAPE.format("type(self)(self.size)", "None"),
    "its class": SHAPE.format("self.__class__(self.size)", "None"),
    "a class method": SHAPE.format("None", "cls(size)"),
    "a mixin": "class Named:\n    def __init__(self, name):\n        super().__init__(name)\n",
    "quoted annotations": "def f(x: 'Node', *y: 'List[Node]') -> 'Optional[Node]':\n    return x\nz: 'Node' = f(1)\n",
    "a variable's annotation": "def f(x):\n    y: Node = x\n    return y\n",
    "late annotations": "from __future__ import annotations\ndef f(x: Node) -> A[B]:\n    return x\nz: Node = f(1)\n",
    "quoted within": "from typing import List\ndef f(x: List['Node']) -> None:\n    return None\n",
}
STATIC = {
    "no enumeration": (ENUMERATION.format("Enum = object", "Enum", "Planet(('mars', 4))"), "call-arg"),
    "beside an enumeration": (
        ENUMERATION.format("from enum import Enum", "Enum", "def f(x): return Planet(x)\nf(1, 2)"),
        "call-arg",
    ),
    "arguments of a known class": (SHAPE.format("Circle(1, 2)", "None"), "call-arg"),
    "arguments within": (SHAPE.format("type(self)(Circle(1, 2))", "None"), "call-arg"),
    "an annotation": ("def f(x: Node):\n    return x\n", "name-defined"),
    "an attribute's annotation": ("class A:\n    x: Node = None\n", "name-defined"),
    "a class in a function": ("def f():\n    class A:\n        x: Node = None\n    return A\n", "name-defined"),
    "another's annotation": ("def f(x):\n    x.y: Node = 1\n    return x\n", "name-defined"),
    "beside an annotation": ("def f(x: 'Node'): return missing\n", "name-defined"),
    "another future": ("from __future__ import division\ndef f(x: Node):\n    return x\n", "name-defined"),
    "a default": ("def f(x: 'Node' = missing):\n    return x\n", "name-defined"),
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
    assert {key: found[key] for key in OK} == {key: CheckResult("ok") for key in OK}
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


BREAKS_MYPY = {
    "types that double": "x0 = (1, 'a')\n" + "".join(f"x{i} = (x{i - 1}, x{i - 1}, x{i - 1})\n" for i in range(1, 35)),
    "constant": "from typing import Final\nA: Final = 2\nB: Final = A ** 100000 ** 3\n",
    "deep": "x = " + "not " * 900 + "1\n",
    "line": "x = [" + "missing, " * 300_000 + "]\n",
    "no parent": "from .. import x\n",
}


def test_a_program_that_breaks_mypy_stops_nobody_else() -> None:
    neighbours = {f"neighbour {number}": BAD for number in range(20)}
    order = [*list(neighbours)[:10], *BREAKS_MYPY, *list(neighbours)[10:]]

    with Checker(workers=1) as checker:
        found = checker.check({key: {**neighbours, **BREAKS_MYPY}[key] for key in order})

    assert list(found) == order
    assert {found[key].status for key in neighbours} == {"static_error"}
    assert {key: found[key].status for key in BREAKS_MYPY} == dict.fromkeys(BREAKS_MYPY, "ok")
    assert {error.code for key in BREAKS_MYPY for error in found[key].errors} == {NOT_CHECKED}
    assert all(found[key].errors for key in BREAKS_MYPY)


SILENCERS = {
    "in a string": '"""\n# mypy: ignore-errors\n"""\nprint(missing)\n',
    "after other line ends": "x = '\x0c \x1c \u2028'\nprint(missing)  # type: ignore\n",
    "old line ends": "x = 1\rprint(missing)  # type: ignore\rprint(x)\r",
    "form feed": "\x0cdef f():\n\x0c    return missing  # type: ignore\n",
    "whole file": "# type: ignore\nprint(missing)\n",
    "no space": "print(missing)  #type:ignore[name-defined]\n",
    "unreachable": "import sys\nprint(missing)\nassert sys.platform == 'none'\n",
    "no check": "from typing import no_type_check\nprint(missing)\n@no_type_check\ndef f(): return 1\n",
    "own builtins": "class int: pass\nclass str: pass\nprint(missing)\n",
    "many": "print(missing)\n" * 100,
}


def test_a_program_cannot_silence_mypy() -> None:
    found = check(SILENCERS)

    assert {key: finding.errors[0].code for key, finding in found.items()} == dict.fromkeys(SILENCERS, "name-defined")
    assert len(found["many"].errors) == 50


def test_no_program_meets_another() -> None:
    curious = (
        "import _plum_sample_0, _plum_sample_1\nfrom _plum_sample_2 import f\nf(1, 2, 3)\n_plum_sample_0.f(1, 2)\n"
    )
    meddler = "import builtins\nbuiltins.missing = 1\nclass list: pass\nbuiltins.print = None\ndel builtins.len\n"
    sources = {"meddler": meddler, "curious": curious, "own": "def f(x):\n    return list(x)\n\nf(1, 2)\n", "bad": BAD}

    with Checker(workers=1) as checker:
        together = [checker.check(sources) for _ in range(2)]
        alone = [checker.check({key: source}) for key, source in reversed(sources.items())]

    assert together[0] == together[1] == {key: finding for found in reversed(alone) for key, finding in found.items()}
    assert together[0] == {
        "meddler": CheckResult("ok"),
        "curious": CheckResult("ok"),
        "own": CheckResult("static_error", (StaticError("call-arg", 4, 'Too many arguments for "f"'),)),
        "bad": CheckResult("static_error", (StaticError("name-defined", 2, 'Name "missing" is not defined'),)),
    }


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


def test_a_kill_from_outside_says_nothing_about_the_program() -> None:
    with _killing(_forks, times=1) as killed:
        found = check({**LONG, "bad": "def f(:\n"}, codes=frozenset())

    assert len(killed) == 1
    assert {key: finding.status for key, finding in found.items()} == {
        **dict.fromkeys(LONG, "ok"),
        "bad": "syntax_error",
    }


def test_killed_twice_at_a_program_is_our_error() -> None:
    with (
        _killing(_forks, times=1000),
        pytest.raises(StaticCheckError, match=r"twice at program 'long 0'.*the compiler .*status -9"),
    ):
        check(LONG, codes=frozenset())


def test_a_process_that_is_gone_is_replaced() -> None:
    with Checker(workers=1) as checker:
        before = descendants(os.getpid())
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        found = checker.check({"a": BAD})

        assert before and before.isdisjoint(descendants(os.getpid()))
        assert found["a"].status == "static_error"
    assert not descendants(os.getpid())


@contextmanager
def _killing(victims: Callable[[], set[int]], times: int) -> Iterator[set[int]]:
    """From a thread, kill these processes as they come up, as a machine without memory does."""
    killed: set[int] = set()
    over = threading.Event()

    def kill() -> None:
        while len(killed) < times and not over.wait(0.001):
            for pid in victims() - killed:
                if len(killed) < times:
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def _forks() -> set[int]:
    """The processes that check: the children of those that this one started."""
    checking = descendants(os.getpid())
    return {pid for pid in checking if _parent(pid) in checking}


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def test_no_programs_need_no_mypy() -> None:
    assert check({}) == {}


def test_a_folder_that_cannot_be_written_is_our_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "file"))

    with pytest.raises(StaticCheckError, match=r"Not a directory: .*; set PLUM_HUB_HOME to another folder"):
        check({"a": BAD})
