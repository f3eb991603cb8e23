"""Bad answers of a generator are counted drops: never an exception, never a suite."""

import json
import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plum_hub.answers.suite import ParsedSuite, Unusable, parse_suite
from plum_hub.execution import Judge, Limits
from plum_hub.pipeline.proof import run_proofs, unproved
from plum_hub.reasons import DROP_REASONS
from tests.rehearsal import command, plum_hub, rows, task

DOUBLE = "def f(x):\n    return 2 * x"
TESTS = "assert f(1) == 2\nassert f(2) == 4\nassert f(3) == 6"
CLOCK = """
import abc, copy, pickle, time
from datetime import date, datetime, timedelta, timezone
from enum import Enum
class Stamp(datetime):
    def __repr__(self):
        return "Stamp " + super().__repr__()
class Plain(datetime, metaclass=abc.ABCMeta):
    pass
class Day(datetime, Enum):
    FIRST = 2000, 1, 1
def use():
    now, one = datetime.now(), datetime(2000, 1, 2, 3)
    assert type(now) is type(one) is type(datetime.max) is type(one + timedelta(1)) is datetime
    assert all(isinstance(at, date) for at in (now, one, datetime.min, date.today()))
    assert repr(one) == "datetime.datetime(2000, 1, 2, 3, 0)" and str(one) == "2000-01-02 03:00:00"
    assert repr(Stamp(2000, 1, 2)) == "Stamp Stamp(2000, 1, 2, 0, 0)" and repr(Plain(2000, 1, 2))[:6] == "Plain("
    assert type(Stamp.now()) is Stamp and Day.FIRST.year == 2000
    assert str(datetime) == "<class 'datetime.datetime'>" and datetime.__name__ == "datetime"
    for at in (now, one, datetime.max, Stamp.now(), datetime.now(timezone.utc)):
        assert pickle.loads(pickle.dumps(at)) == copy.deepcopy(at) == at
        assert type(pickle.loads(pickle.dumps(at))) is type(at)
    assert pickle.dumps(one, 0).startswith(b"cdatetime\\ndatetime\\n")
    assert type(datetime.strptime("2000", "%Y")) is type(datetime.fromisoformat("2000-01-01")) is datetime
    assert type(one.astimezone(timezone.utc)) is type(datetime.combine(date.today(), one.time())) is datetime
    assert datetime.fromtimestamp(0, timezone.utc).year == 1970 and time.gmtime(0).tm_year == 1970
    assert time.strftime("%Y", time.gmtime(0)) == "1970" and time.ctime(0)[-4:] == "1970"
    assert abs(datetime.now().timestamp() - time.time()) < 60 and abs(time.time_ns() / 1e9 - time.time()) < 60
    assert abs(datetime.now(timezone.utc).timestamp() - time.time()) < 60
    assert abs(datetime.utcnow() - datetime.now(timezone.utc).replace(tzinfo=None)) < timedelta(minutes=1)
    assert date.today() - datetime.today().date() <= timedelta(1) and time.localtime().tm_year == now.year
    assert one.strftime("%d") == "02" and hash(one) == hash(copy.copy(one)) and not hasattr(now, "__dict__")
def f(x):
    use()
    return 2 * x
"""
_DRAWN = [random.Random(seed).randint(1, 10**6) for seed in (1, 2, 3)]


def answer(reference: str, tests: str = TESTS) -> str:
    return f"### Solution\n```python\n{reference}\n```\n### Tests\n```python\n{tests}\n```\n"


UNREAD: Mapping[str, tuple[str, str]] = {
    "empty": ("", "no_reference"),
    "white space": ("\n \n\t", "no_reference"),
    "prose": ("First think about doubling.\nThen double it, and test it well.", "no_reference"),
    "refusal": ("I'm sorry, I cannot write this.", "refused"),
    "JavaScript": ("```javascript\nfunction f(x) { return 2*x; }\n```\n```js\nassert(f(1) === 2);\n```", "not_python"),
    "JavaScript without a fence": ("function f(x) {\n  return 2 * x;\n}\nassert(f(1) === 2);", "no_reference"),
    "Java": ("```java\npublic class Main { static int f(int x) { return 2*x; } }\n```", "not_python"),
    "Java, untagged": ("```\npublic class Main { static int f(int x) { return 2*x; } }\n```", "not_python"),
    "JSON, cut": ('{"solution": "def f(x):\\n    return 2*x", "tests": ["assert f(1) == 2", "ass', "no_reference"),
    "JSON": (json.dumps({"solution": DOUBLE, "tests": TESTS}), "no_entry_point"),
    "cut in the tests": (answer(DOUBLE).split("assert f(2)")[0] + "assert f(", "too_few_cases"),
    "no asserts": (answer(DOUBLE, "f(1)\nf(2)\nf(3)"), "too_few_cases"),
    "print": (answer(DOUBLE, "print(f(1))\nprint(f(2) == 4)\nprint(f(3))"), "too_few_cases"),
    "only the module of the solution": (answer(DOUBLE, TESTS.replace("f(", "solution.f(")), "no_entry_point"),
    "nested": (answer("def f(x):\n    return " + "(" * 3000 + "x" + ")" * 3000), "syntax_error"),
    "null byte": (answer("def f(x):\n    return '\0'"), "syntax_error"),
    "half a character": (answer("def f(x):\n    return 2 * x  # \ud800"), "syntax_error"),
    "bytes": ("\x00\x01\x02" * 300, "no_reference"),
    "network": (
        answer("import socket\ndef f(h):\n    return socket.create_connection((h, 80))"),
        "nondeterministic: socket.create_connection",
    ),
    "network, other names": (
        answer("from urllib import request as r\ndef f(x):\n    return r.urlopen(x)"),
        "nondeterministic: urllib.request.urlopen",
    ),
    "network in the tests": (
        answer(DOUBLE, "import socket\nassert f(1) == socket.socket()\nassert f(2) == 4\nassert f(3) == 6"),
        "nondeterministic: socket.socket",
    ),
    "a file of the machine": (
        answer("def f(x):\n    return x * len(open('/etc/hostname').read())"),
        "nondeterministic: the file /etc/hostname",
    ),
    "locale": (
        answer("import locale\ndef f(x):\n    locale.setlocale(locale.LC_ALL, '')\n    return 2 * x"),
        "nondeterministic: locale.setlocale",
    ),
    "memory address": (
        answer(DOUBLE, "assert str(f) == '<function f at 0x7f00deadbeef>'\n" + TESTS),
        "nondeterministic: a memory address",
    ),
    "recursion depth": (
        answer(DOUBLE, f"{TESTS}\nwith pytest.raises(RecursionError):\n    f(10 ** 5)"),
        "nondeterministic: the recursion depth",
    ),
}

RUN: Mapping[str, tuple[str, str, str]] = {
    # what is judged by the sandbox alone
    "loop in the reference": ("def f(x):\n    while True: pass", TESTS, "reference_failed: timed_out"),
    "loop in a case": (DOUBLE, f"{TESTS}\nxs = [f(4)]\nwhile xs:\n    pass\nassert xs == [8]", "reference_failed"),
    "os._exit": ("import os\ndef f(x):\n    os._exit(0)", TESTS, "reference_failed: crashed"),
    "sys.exit": ("import sys\ndef f(x):\n    sys.exit(0)", TESTS, "reference_failed: failed"),
    "exit while loading": (f"{DOUBLE}\nraise SystemExit(0)", TESTS, "reference_failed: not_executable"),
    "kill every process": ("import os\ndef f(x):\n    os.kill(-1, 9)\n    return 2 * x", TESTS, "reference_failed"),
    "kill the parent": (
        "import os\ndef f(x):\n    os.kill(os.getppid(), 9)\n    return 2 * x", TESTS, "nondeterministic: os.getppid",
    ),
    "ctypes": ("import ctypes\ndef f(x):\n    return 2 * x", TESTS, "missing_module: _ctypes is hidden"),
    "patched builtins": (
        (
            "import builtins\nbuiltins.isinstance = lambda *a: True\n"
            "class Same:\n    def __eq__(self, o): return True\n    def __hash__(self): return 0\n"
            "def f(x):\n    return Same()"
        ),
        TESTS,
        "reference_failed",
    ),
    "forged output": (
        "import os\ndef f(x):\n    os.write(1, b'{\"status\": \"passed\"}')\n    os._exit(0)",
        TESTS,
        "reference_failed",
    ),
    "fills the disk": ("def f(x):\n    open('big', 'wb').write(bytes(1 << 29))", TESTS, "reference_failed: crashed"),
    "memory": ("def f(x):\n    return [0] * (1 << 32)", TESTS, "reference_failed: out_of_memory"),
    "socket by another way": ("def f(x):\n    return __import__('socket').socket()", TESTS, "reference_failed"),
    "numpy": ("import numpy as np\ndef f(x):\n    return int(np.int64(x) * 2)", TESTS, "missing_module: numpy"),
    "pandas": ("def f(x):\n    import pandas\n    return 2 * x", TESTS, "missing_module: pandas is not"),
    # what another run shows
    "random numbers": (
        "import random\ndef f(x):\n    return random.choice([2 * x, 2 * x, 2 * x, 1])", TESTS,
        "nondeterministic: random.choice",
    ),
    "the machine's random numbers": (
        "from secrets import randbelow\ndef f(x):\n    return 2 * x + randbelow(2)", TESTS,
        "nondeterministic: secrets.randbelow",
    ),
    "order of a set": (
        "def f(s):\n    return ''.join(set(s))",
        "assert f('abcde') == 'dcaeb'\nassert f('a') == 'a'\nassert f('') == ''",
        "nondeterministic: the order of a set",
    ),
    "hash": (
        "def f(s):\n    return hash(s) % 1000 + 1", "assert f('x') == 5\nassert f(2) == 3\nassert f(3) == 4",
        "nondeterministic: hash",
    ),
    "id": (
        "def f(s):\n    return id(s)", "assert f('x') == 139623412501312\nassert f(2) == 3\nassert f(3) == 4",
        "nondeterministic: id",
    ),
    "time zone": (
        "from datetime import datetime\ndef f(s):\n    return datetime.fromtimestamp(s).hour",
        "assert f(0) == 0\nassert f(3600) == 1\nassert f(7200) == 2",
        "nondeterministic: datetime.datetime.fromtimestamp",
    ),
    "date": (
        "import datetime as d\ndef f(year):\n    return d.date.today().year < year",
        "assert f(9999) is True\nassert f(1) is False\nassert f(d.date.today().year + 1) is True",
        "",
    ),
    "year": (
        "import datetime as d\nTHEN = THIS_YEAR\ndef f(x):\n    return 2 * x * (d.date.today().year == THEN)", TESTS,
        "nondeterministic: datetime.date.today",
    ),
    "environment": (
        "import os\ndef f(x):\n    return os.environ.get('MODE', 'x') * x",
        "assert f(1) == 'x'\nassert f(2) == 'xx'\nassert f(0) == ''",
        "nondeterministic: os.environ.get",
    ),
    "machine": (
        "import platform\ndef f(x):\n    return platform.system() * x",
        "assert f(1) == 'Linux'\nassert f(2) == 'LinuxLinux'\nassert f(0) == ''",
        "nondeterministic: platform.system",
    ),
    "recursion limit": (
        "import sys\ndef f(x):\n    return sys.getrecursionlimit() + x",
        "assert f(0) == 1000\nassert f(1) == 1001\nassert f(2) == 1002",
        "nondeterministic: sys.getrecursionlimit",
    ),
    "thread": (
        "import threading\ndef f(x):\n    return threading.get_ident()",
        "assert f(0) == 1\nassert f(1) == 2\nassert f(2) == 3",
        "nondeterministic: threading.get_ident",
    ),
    # what is kept, since it is the same everywhere
    "import of the solution": (DOUBLE, f"from solution import f\n{TESTS}", ""),
    "Chinese": (f"# 两倍\n{DOUBLE}", f"# 测试\n{TESTS}", ""),
    "seeded": (
        "import random\ndef f(seed):\n    random.seed(seed)\n    return random.randint(1, 10 ** 6)",
        "\n".join(f"assert f({seed}) == {value}" for seed, value in enumerate(_DRAWN, 1)),
        "",
    ),
    "a property of random numbers": (
        "import random\ndef f(n):\n    return [random.random() for _ in range(n)]",
        "assert len(f(0)) == 0\nassert len(f(2)) == 2\nassert len(f(3)) == 3",
        "",
    ),
    "a time that no test reads": (
        (
            "from datetime import datetime\nimport time\ndef f(x):\n    start, now = time.time(), datetime.now()\n"
            "    assert isinstance(now, datetime) and now > datetime(2000, 1, 1)\n"
            "    assert time.time() >= start\n    return 2 * x"
        ),
        TESTS,
        "",
    ),
    "a clock whose values are used in every way": (CLOCK, TESTS, ""),
    "a clock that the tests read too": (
        (
            "from datetime import datetime, date\nimport time\ndef f(x=None):\n"
            "    return datetime.now().year if x is None else isinstance(x, datetime) and x <= datetime.now()"
        ),
        (
            "def test_year():\n    from datetime import datetime\n    assert f() == datetime.now().year\n"
            "def test_seconds():\n    import time\n    assert f() == time.localtime().tm_year\n"
            "def test_type():\n    import datetime as dt\n    assert f(dt.datetime(2000, 1, 1)) is True\n"
            "def test_future():\n    import datetime as d\n"
            "    assert not f(d.datetime.now() + d.timedelta(days=30)) and f(d.datetime.now())"
        ),
        "",
    ),
    "a machine that the tests ask too": (
        "from platform import system\ndef f(x):\n    return system() * x",
        "import platform\nassert f(1) == platform.system()\nassert f(2) == 2 * platform.system()\nassert f(0) == ''",
        "",
    ),
    "the age of a file": (
        (
            "import os, time\ndef f(x):\n    open('a', 'w').close()\n"
            "    return 2 * x * (abs(time.time() - os.path.getmtime('a')) < 3600)"
        ),
        TESTS,
        "",
    ),
    "a signal to itself": (
        (
            "import os, signal\nseen = []\ndef f(x):\n    signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))\n"
            "    os.kill(os.getpid(), signal.SIGUSR1)\n    return 2 * x * bool(seen)"
        ),
        TESTS,
        "",
    ),
    "as many threads as cores": (
        (
            "import os\nfrom concurrent.futures import ThreadPoolExecutor\ndef f(x):\n"
            "    with ThreadPoolExecutor(os.cpu_count()) as pool:\n        return sum(pool.map(int, [x] * 200)) // 100"
        ),
        TESTS,
        "",
    ),
    "a docstring that is used": (
        (
            '"""Two."""\nfrom __future__ import annotations\nimport time\nstart = time.time()\n'
            "def f(x):\n    return 2 * x * (__doc__ == 'Two.')"
        ),
        TESTS,
        "",
    ),
    "sorted set": (
        "def f(s):\n    return sorted(set(s))",
        "assert f('ba') == ['a', 'b']\nassert f('aa') == ['a']\nassert f('') == []",
        "",
    ),
    "threads that are joined": (
        (
            "import threading\ndef f(x):\n    out = []\n    one = threading.Thread(target=lambda: out.append(2 * x))\n"
            "    one.start()\n    one.join()\n    return out[0]"
        ),
        TESTS,
        "",
    ),
    "a file of its own": (
        "def f(x):\n    open('out', 'w').write(str(2 * x))\n    return int(open('out').read())", TESTS, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_an_answer_without_a_usable_suite_says_why(name: str) -> None:
    text, expected = UNREAD[name]
    found = parse_suite(text)
    assert isinstance(found, Unusable)
    assert f"{found.reason}: {found.detail}".startswith(expected)
    assert "\n" not in found.detail
    assert found.reason in DROP_REASONS["suites"]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """What the proof says of each of `RUN`: reason and detail, or an empty text."""
    suites = {}
    for name, (reference, tests, _) in RUN.items():
        suite = parse_suite(answer(reference.replace("THIS_YEAR", str(datetime.now(UTC).year)), tests))
        assert isinstance(suite, ParsedSuite), (name, suite)
        suites[name] = suite
    with Judge(1) as judge:
        executions = run_proofs(suites, judge, Limits(cpu_seconds=1.0))
    found = {name: unproved(name, executions, suite) for name, suite in suites.items()}
    return {name: f"{reason}: {detail}" if reason else "" for name, (reason, detail) in found.items()}


@pytest.mark.parametrize("name", RUN)
def test_the_proof_keeps_only_what_the_program_alone_decides(name: str, outcomes: Mapping[str, str]) -> None:
    expected = RUN[name][2]
    assert outcomes[name].startswith(expected)
    assert bool(outcomes[name]) == bool(expected)
    assert "\n" not in outcomes[name]


def test_a_build_counts_bad_answers_and_keeps_none(tmp_path: Path) -> None:
    texts = [text for name, (text, _) in UNREAD.items() if name != "half a character"]
    texts += [answer(RUN[name][0], RUN[name][1]) for name in ("os._exit", "numpy", "order of a set")]
    (tmp_path / "tasks.jsonl").write_text(json.dumps({"instruction": task(1)}) + "\n")
    (tmp_path / "answers.jsonl").write_text(json.dumps({"contains": "", "texts": texts}) + "\n")
    done = plum_hub(command(tmp_path, "-q", "--set", "suites.responses=40"))
    assert "Traceback" not in done.stderr
    assert rows(tmp_path / "run", "suites") == []
    reasons = Counter(str(row["reason"]) for row in rows(tmp_path / "run", "dropped") if row["stage"] == "suites")
    assert sum(reasons.values()) == 40
    assert reasons.keys() <= DROP_REASONS["suites"].keys()
    assert {"no_reference", "not_python", "nondeterministic", "too_few_cases"} <= reasons.keys()


def test_an_empty_class_of_the_starter_code_is_not_the_reference() -> None:
    """In whatever order the sections come, the class of the solution is."""
    counter = (
        "class Counter:\n    def __init__(self):\n        self.n = 0\n    def add(self, k):\n        return self.n + k"
    )
    tests = "\n".join(f"assert Counter().add({n}) == {n}" for n in (1, 2, 3))
    for body in ("pass", "...", '"""Counts."""'):
        starter = f"### Starter code\n```python\nclass Counter:\n    {body}\n```\n"
        solution, _, rest = answer(counter, tests).partition("### Tests")
        for text in (starter + solution, solution + starter, f"{starter}```python\n{counter}\n```\n"):
            found = parse_suite(f"{text}### Tests{rest}")
            assert isinstance(found, ParsedSuite)
            assert found.reference == f"{counter}\n"
            assert "def add(self, k):\n        pass" in found.starter_code


def test_many_assertions_are_read_in_time_that_grows_with_their_number() -> None:
    """Each case once: with every pair of cases, this would take minutes."""
    tests = "\n".join(f"assert f({n}) == {2 * n}" for n in range(150))
    found = parse_suite(answer(DOUBLE, tests))
    assert isinstance(found, ParsedSuite)
    assert len(found.cases) == 5
