"""Test modules mean what pytest makes of them: each is run by pytest and by the judge, with three programs."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from plum_hub.answers.checks import read_tests
from plum_hub.execution import Judge, Limits
from plum_hub.judging.cases import program

MODULES = dict(
    block.split("\n", 1) for block in (Path(__file__).parent / "suites_truth.txt").read_text().split("=== ")[1:]
)
RIGHT = """
import logging, os, sys, time, warnings

class Box:
    size = 2
    def __init__(self, size=None):
        if size is not None:
            self.size = size
    def area(self):
        return self.size ** 2

def add(a, b):
    if a is None:
        raise ValueError("no number")
    return a + b

def twice(n):
    return add(n, n)

def greet(name):
    print(f"Hello, {name}!")
    print("warned", file=sys.stderr)

def save(path, text):
    with open(path, "w") as file:
        file.write(text)

def load(path):
    with open(path) as file:
        return file.read()

def env():
    return os.environ.get("MODE", "none")

def clock():
    return time.time()

def old():
    warnings.warn("use new", DeprecationWarning, stacklevel=2)
    return 1

def log(n):
    logging.getLogger("app").warning("got %d", n)
    logging.getLogger("app").info("done")

def ask():
    return int(input("n? ")) + 1

class Money:
    def __init__(self, amount):
        self.amount = amount
    def __eq__(self, other):
        return self.amount == getattr(other, "amount", other)
    def __lt__(self, other):
        return self.amount < getattr(other, "amount", other)
    def __contains__(self, coin):
        return coin < self.amount
    def is_rich(self):
        return self.amount > 100
    def spend(self, n):
        if n > self.amount:
            raise PoorError(f"only {self.amount}")
        self.amount -= n
        return self.amount

class PoorError(Exception):
    pass

calls = []

def count():
    calls.append(1)
    return len(calls)

def tally(seen={"n": 0}):
    seen["n"] += 1
    return seen["n"]

def gather(item, into=[]):
    into.append(item)
    return into

def ordered(items):
    items.sort()
    return items

def numbers(n):
    yield from range(n)

def is_even(n):
    return n % 2 == 0

def nan():
    return float("nan")

def apply(function, value):
    return function(value)

class Names(list):
    pass

def names():
    return Names(["Ann", "Bob"])
"""
WRONG = """
class Box:
    size = 1
    def __init__(self, size=None):
        self.size = 3
    def area(self):
        return 0

def add(a, b): return -1
def twice(n): return -1
def greet(name): print("Hello")
def save(path, text): pass
def load(path): return ""
def env(): return "?"
def clock(): return -1
def old(): return 2
def log(n): pass
def ask(): return 0
class Money:
    def __init__(self, amount): self.amount = -5
    def __lt__(self, other): return False
    def __contains__(self, coin): return False
    def is_rich(self): return 7 > self.amount + 99
    def spend(self, n): return -1
class PoorError(Exception): ...
def count(): return -1
def tally(): return -1
def gather(item): return -1
def ordered(items): return [*items]
def numbers(n): return iter([-1])
def is_even(n): return n % 3 == 0
def nan(): return -1
def apply(function, value): return -1
def names(): return []
"""
RAISES = WRONG.replace("return -1", "raise RuntimeError('no number')").replace("pass", "raise KeyError('use new')")
PROGRAMS = {"right": RIGHT, "wrong": WRONG, "raises": RAISES}
_START = "from solution import *\nimport solution\n"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What pytest makes of each module and program, by `PROGRAM MODULE`."""
    found: dict[str, str] = {}
    for word, code in PROGRAMS.items():
        folder = tmp_path_factory.mktemp(word)
        (folder / "solution.py").write_text(code)
        for number, source in enumerate(MODULES.values()):
            (folder / f"test_{number:03}.py").write_text(_START + source)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", "."]
        command.append("--continue-on-collection-errors")  # a module that does not load fails
        subprocess.run([*command, "--junitxml=out.xml"], cwd=folder, stdout=subprocess.DEVNULL, check=False)
        names = list(MODULES)
        for case in ET.parse(folder / "out.xml").iter("testcase"):
            name = names[int((case.get("classname") or case.get("name") or "").split(".")[0].removeprefix("test_"))]
            failed = case.find("failure") is not None or case.find("error") is not None
            found[f"{word} {name}"] = "failed" if failed else found.get(f"{word} {name}", "passed")
    return found


@pytest.fixture(scope="module")
def ours() -> dict[str, str]:
    """What the judge makes of them."""
    limits = Limits()
    programs = [
        program(f"{word} {name}", code, "add", read_tests(source), limits)
        for name, source in MODULES.items()
        for word, code in PROGRAMS.items()
    ]
    with Judge(1) as judge:
        return {done.id: f"{done.status} {done.detail}".strip() for done in judge.run(programs)}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_means_what_pytest_makes_of_it(name: str, theirs: dict[str, str], ours: dict[str, str]) -> None:
    for word in PROGRAMS:
        key = f"{word} {name}"
        assert ours[key].split()[0] == theirs[key], (key, ours[key])
