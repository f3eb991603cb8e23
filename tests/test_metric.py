"""The `evaluate` metric: the signature and the numbers of `code_eval`, and programs that cannot lie to it."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plum_hub.metrics.scoring import score
from plum_hub.passk import pass_at_k

PROGRAM = """
import json, socket, sys

def closed(*arguments):
    raise AssertionError(f"the metric asked the network: {arguments}")

connect = socket.socket.connect
socket.getaddrinfo = closed
socket.socket.connect = lambda self, to: connect(self, to) if to[0] == "127.0.0.1" else closed(to)
import evaluate
from plum_hub import metrics

metric = evaluate.load(metrics.path())
print(json.dumps(metric.compute(**json.load(sys.stdin))))
"""


def compute(folder: Path, **given: Any) -> Any:
    """What the metric gives, in a process of its own with no network and nothing allowed in its environment."""
    pytest.importorskip("evaluate")
    environment = {"HF_HOME": str(folder), "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", PROGRAM],
        input=json.dumps(given), capture_output=True, text=True, env=environment, check=False,
        cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_example_of_code_eval(tmp_path: Path) -> None:
    candidates = [["def add(a,b): return a*b", "def add(a, b): return a+b"]]
    scores, results = compute(tmp_path, references=["assert add(2,3)==5"], predictions=candidates, k=[1, 2])
    assert scores == {"pass@1": 0.5, "pass@2": 1.0}
    first, second = results["0"]
    assert second == [1, {"task_id": 0, "passed": True, "result": "passed", "completion_id": 1}]
    assert (first[0], first[1]["passed"]) == (0, False)
    assert first[1]["result"].startswith("failed: ")


def test_programs_that_cheat_pass_nothing() -> None:
    cheats = [
        "import os\nos._exit(0)",
        "raise SystemExit(0)",
        "import builtins\nbuiltins.AssertionError = type('A', (Exception,), {})\ndef f(x):\n    return 3",
        "import sys, os\nsys.settrace(lambda *_: None)\ndef f(x):\n    os._exit(0)",
        "def f(x):",
        "def f(x):\n    while True: pass",
    ]
    liar = "class E:\n    __eq__ = lambda *_: True\n    __ne__ = lambda *_: False\ndef f(x):\n    return E()"
    right = "def f(x):\n    return x + 1"
    references = ["import math\nassert f(1) == 2\nassert f(1) < math.inf", "x = f(1)\nassert x == 2"]
    given = [[*cheats, liar, right], [*cheats, "", right]]
    scores, results = score(given, references, [1, 8, 100], workers=2, timeout=0.5)
    assert scores == {"pass@1": 1 / 8, "pass@8": 1.0}
    for task in results.values():
        assert [entry["passed"] for _, entry in task] == [False] * 7 + [True]
        assert task[5][1]["result"] == "timed out"
        assert [position for position, _ in task] == list(range(8))


@pytest.mark.parametrize("library", ["numpy as lib", "pandas as lib"])
def test_programs_that_import_a_library_have_it(library: str) -> None:
    pytest.importorskip(library.partition(" ")[0])
    array = {"numpy as lib": "array", "pandas as lib": "Series"}[library]
    code = f"import {library}\ndef f(x):\n    return int(lib.{array}(x).sum())\n"
    assert score([[code]], ["assert f([1, 2]) == 3"], [1], workers=1)[0] == {"pass@1": 1.0}


def test_a_problem_without_programs_has_no_score() -> None:
    scores, results = score([["def f(x): return x"], []], ["assert f(1) == 1"] * 2, [1], workers=1)
    assert (scores, results[1]) == ({}, [])


NEVER_CHECKED = {
    "behind a yield": "def check():\n    yield\n    assert f(1) == 1\nlist(map(check, ()))\n",
    "bound again": "def f(x):\n    return x\nassert f(1) == 1\n",
}


@pytest.mark.parametrize("reference", NEVER_CHECKED.values(), ids=NEVER_CHECKED)
def test_a_reference_that_programs_pass_which_solve_nothing_is_no_verdict(reference: str) -> None:
    with pytest.raises(ValueError, match=r"references\[1\]"):
        score([["def f(x): return 1"]] * 2, ["assert f(1) == 1", reference], [1], workers=1)


def test_one_k_and_an_answer_without_a_program() -> None:
    scores, results = score([[None, "def f(x): return x"]], ["assert f(1) == 1"], 2, workers=1)
    assert scores == {"pass@2": 1.0}
    assert [entry["result"] for _, entry in results[0]] == ["failed: no code in the answer", "passed"]


def test_a_reference_that_is_no_python_is_no_verdict() -> None:
    with pytest.raises(ValueError, match=r"references\[0\] is not Python"):
        score([["def f(x): return 1"]], ["assert f(1) = 1"], [1])


@pytest.mark.parametrize("samples", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_all_choices(samples: int) -> None:
    for passed, k in itertools.product(range(samples + 1), range(1, samples + 1)):
        choices = list(itertools.combinations([True] * passed + [False] * (samples - passed), k))
        assert pass_at_k(samples, passed, k) == sum(map(any, choices)) / len(choices)


def test_pass_at_k_agrees_with_the_product_that_others_compute() -> None:
    numpy = pytest.importorskip("numpy")
    for samples, passed, k in [(200, 1, 100), (200, 37, 10), (1000, 3, 999), (20, 20, 1), (20, 0, 20)]:
        product = 1.0 - numpy.prod(1.0 - k / numpy.arange(samples - passed + 1, samples + 1))
        expected = 1.0 if samples - passed < k else product
        assert pass_at_k(samples, passed, k) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("samples", "passed", "k"), [(1, 0, 2), (1, 2, 1), (1, -1, 1), (1, 1, 0), (0, 0, 1)])
def test_pass_at_k_of_too_few_is_not_defined(samples: int, passed: int, k: int) -> None:
    with pytest.raises(ValueError, match="not defined"):
        pass_at_k(samples, passed, k)
