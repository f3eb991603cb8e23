"""Rows whose own tests go wrong (`suites.source: rows`) are counted drops, and no reason is without a meaning."""

import ast
import importlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from plum_hub.answers import suite
from plum_hub.instructions.duplicates import Duplicate
from plum_hub.pipeline import own_tests, proof
from plum_hub.pipeline.decontamination.matching import Measure
from plum_hub.pipeline.own_tests import UnusableTests, suites_of
from plum_hub.reasons import DROP_REASONS, meaning_of
from plum_hub.records import Status
from tests.rehearsal import plum_hub, rows
from tests.test_own_tests import build

PACKAGE = Path(own_tests.__file__).parents[1]
DOUBLE = "def double(n):\n    return 2 * n\n"
GOOD = ["assert double(2) == 4", "assert double(0) == 0"]
MODULE = "def check(candidate):\n    candidate(1)\n    candidate(2)\n"

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no Python": ({"code": DOUBLE, "test_list": ["assert double(2 == 4"]}, "unreadable_tests"),
    "another function": ({"code": DOUBLE, "test_list": ["assert triple(2) == 6"]}, "no_entry_point"),
    "another function than named": (
        {"code": DOUBLE, "entry_point": "double", "test": "assert triple(2) == 6"},
        "no_entry_point",
    ),
    "no tests": ({"code": DOUBLE, "test_list": []}, "no_tests"),
    "null": ({"code": DOUBLE, "test_list": None}, "no_tests"),
    "int": ({"code": DOUBLE, "tests": 7}, "unreadable_tests"),
    "zero": ({"code": DOUBLE, "tests": 0}, "unreadable_tests"),
    "dict": ({"code": DOUBLE, "tests": {"a": 1}}, "unreadable_tests"),
    "mixed": ({"code": DOUBLE, "test_list": [*GOOD, 3, None]}, "unreadable_tests"),
    "inputs of another type": ({"code": DOUBLE, "inputs": 3, "outputs": ["4"]}, "unreadable_tests"),
    "solution of another type": ({"code": 5, "test_list": GOOD}, ""),
    "check without asserts": ({"code": DOUBLE, "test": MODULE, "entry_point": "double"}, "unreadable_tests"),
    "null byte": ({"code": DOUBLE, "test_list": [*GOOD, "assert double(1) == '\0'"]}, "unreadable_tests"),
    "half a character": ({"code": DOUBLE, "test_list": ["assert double('\ud800') == 1"]}, "unreadable_tests"),
    "network": (
        {"code": "import socket\ndef double(n):\n    return socket.gethostbyname(n)\n", "test_list": GOOD},
        "nondeterministic",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_goes_wrong_says_why(name: str) -> None:
    row, reason = BAD[name]
    found = suites_of(row, None)
    assert (found.reason if isinstance(found, UnusableTests) else "") == reason, found
    if isinstance(found, UnusableTests):
        assert "\n" not in found.detail


def test_many_cases_and_large_inputs_are_read() -> None:
    many = {"code": DOUBLE, "inputs": [[n] for n in range(10_000)], "outputs": [2 * n for n in range(10_000)]}
    found = suites_of({**many, "fn_name": "double"}, None)
    assert isinstance(found, list)
    assert len(found[0].cases) == 10_000
    large = {"code": "print(len(input()))\n", "inputs": ["x" * 5_000_000, "y"], "outputs": ["5000000\n", "1\n"]}
    found = suites_of(large, None)
    assert isinstance(found, list)
    assert len(found[0].cases[0].stdin or "") == 5_000_000


def written(folder: Path, tasks: list[dict[str, Any]]) -> None:
    lines = [json.dumps({"text": f"Write a Python function for case {n}: {one}", **row}) for n, (one, row) in enumerate(
        (f"{row.get('about', n)}", row) for n, row in enumerate(tasks)
    )]  # fmt: skip
    (folder / "tasks.jsonl").write_text("\n".join([*lines, lines[0]]) + "\n")
    (folder / "policy.jsonl").write_text(json.dumps({"contains": "", "texts": [f"```python\n{DOUBLE}```"]}) + "\n")


def test_a_build_counts_bad_rows_and_keeps_the_good_one(tmp_path: Path) -> None:
    """5 MB of standard input and 10,000 cases run; what is wrong is dropped, and a repeated row is a duplicate."""
    good = {"code": DOUBLE, "test_list": GOOD}
    bad = [row for row, reason in BAD.values() if reason and "\ud800" not in str(row)]
    large = {"code": "print(len(input()))\n", "inputs": ["x" * 5_000_000, "y"], "outputs": ["5000000\n", "1\n"]}
    wrong = {"code": DOUBLE, "test_list": ["assert double(2) == 5", "assert double(0) == 0"]}
    chance = {"code": "import os\ndef double(n):\n    return os.urandom(8)\n", "test_list": GOOD}
    tasks = [good, wrong, chance, large, *bad]
    written(tmp_path, tasks)
    options = ["--set", "samples.per_instruction=1", "--hub", "none", "-q"]
    done = plum_hub(build(tmp_path, *options), PLUM_HUB_HOME=str(tmp_path / "home"))
    assert "Traceback" not in done.stderr
    suites = rows(tmp_path / "run", "suites")
    assert [one["entry_point"] for one in suites] == ["double", ""]
    dropped = rows(tmp_path / "run", "dropped")
    reasons = Counter(str(row["reason"]) for row in dropped if row["stage"] == "suites")
    assert sum(reasons.values()) + len(suites) == len(tasks)
    assert reasons["reference_failed"] == 1
    assert reasons["nondeterministic"] == 2
    assert [row["reason"] for row in dropped if row["stage"] == "instructions"] == ["exact_duplicate"]


def test_a_file_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path) -> None:
    written(tmp_path, [{"code": DOUBLE, "test_list": GOOD}])
    with (tmp_path / "tasks.jsonl").open("ab") as file:
        file.write(b'{"text": "Write f \xff\xfe", "test_list": ["assert f(1) == 2"]}\n')
    done = plum_hub(build(tmp_path, "--hub", "none", "-q"), PLUM_HUB_HOME=str(tmp_path / "home"))
    assert done.returncode not in (0, 1)
    assert "tasks.jsonl" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# The table of reasons


def emitted() -> Iterator[str]:
    """Yield every reason that the code can emit: what `reason=` and the classes of drops are given, and the types."""
    yield from (*get_args(suite.Reason), *get_args(own_tests.Reason), *get_args(proof.ProofReason), *get_args(Status))
    yield from get_args(Duplicate.__annotations__["kind"])
    yield from (f"benchmark_{measure}" for measure in get_args(Measure))
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        if "engines" not in path.parts and ("Drop(" in text or "reason=" in text or "UnreadableTurnsError(" in text):
            module = ".".join(["plum_hub", *path.relative_to(PACKAGE).with_suffix("").parts])
            yield from _given(ast.parse(text), module)


def _given(tree: ast.Module, module: str) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Drop" | "ParsedTask"), keywords=keywords):
                values = [one.value for one in keywords if one.arg == "reason"]
            case ast.Call(func=ast.Name(id="_drop" | "_left_out"), args=[_, *values]):
                pass
            case ast.Call(func=ast.Name(id="UnreadableTurnsError"), args=values):
                pass
            case ast.FunctionDef(name="_unfit" | "_reason"):
                values = [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value]
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="reasons"))], value=value):
                values = [value]
            case ast.Assign(targets=[ast.Tuple(elts=[*_, ast.Name(id="reason")])], value=ast.Tuple(elts=[*_, value])):
                values = [value]
            case _:
                continue
        for value in values:
            for part in () if isinstance(value, ast.JoinedStr) else ast.walk(value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.isidentifier():
                    yield part.value
                elif isinstance(part, ast.Name) and part.id.isupper():
                    yield getattr(importlib.import_module(module), part.id)


def test_every_reason_has_a_meaning() -> None:
    meanings = {reason for stage in DROP_REASONS.values() for reason in stage}
    found = set(emitted())
    assert found - meanings == {"passed"}  # a verdict, but no reason of a drop
    assert meanings - found == set()  # no reason that nothing emits
    assert {"spare_suite", "over_budget", "unreadable_turns", "not_first_turn", "of_benchmark_instruction"} <= found


def test_a_reason_of_another_version_has_no_meaning() -> None:
    assert meaning_of("suites", "flaky")
    assert meaning_of("suites", "no such reason") == meaning_of("no such stage", "flaky") == ""
