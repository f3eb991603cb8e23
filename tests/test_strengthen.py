"""Cases that are added to suites: found by mutants, agreed by all references, proved again, and the same anywhere."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plum_hub.answers.surroundings import is_steady
from plum_hub.errors import RecipeError
from plum_hub.execution import Judge, Limits
from plum_hub.execution.closeness import parse_expected
from plum_hub.execution.comparisons import agrees
from plum_hub.pipeline.strengthening import Strengthening
from plum_hub.recipe import Recipe, parse
from plum_hub.records import TestCase, TestSuite
from plum_hub.strength import SampledProgram, WeakSuite, measure, strengthen
from plum_hub.strength.choice import separators
from plum_hub.strength.variations import variations
from tests import rehearsal
from tests.rehearsal import KILLED, addend, command, name, plum_hub, program, task, write_rehearsal
from tests.strength.measuring import as_cases

LIMITS = Limits(cpu_seconds=1)
CLAMP = """def clamp(x, low, high):
    if x < low:
        return low
    if x > high:
        return high
    return x
"""
BELOW = ("clamp(5, 0, 10)", "5"), ("clamp(-1, 0, 10)", "0")
"""Cases that miss `x > high`."""

GRADE = """def grade(x):
    if x > 100:
        return 'a'
    if x < -50:
        return 'b'
    return 'c' if x == 7 else 'd'
"""
ORDINARY = ("grade(1)", "'d'"), ("grade(60)", "'d'")


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(1) as opened:
        yield opened


def suite(reference: str, *cases: TestCase | tuple[str, str], response: str = "answer") -> TestSuite:
    """A suite of the first function of a reference."""
    made = as_cases(cases)
    entry_point = reference.split("def ")[1].split("(", maxsplit=1)[0] if "def " in reference else ""
    return TestSuite(
        id=f"suite of {entry_point}", instruction_id="task", response_id=response, entry_point=entry_point,
        starter_code=f"def {entry_point}(*given):\n    pass\n", reference=reference, cases=made,
    )  # fmt: skip


def added(judge: Judge, weak: TestSuite, *rivals: TestSuite, most: int = 5) -> list[TestCase]:
    (found,) = strengthen([WeakSuite(weak, rivals)], judge, LIMITS, most)
    return list(found)


def arguments(case: TestCase) -> list[int]:
    return [int(one) for one in str(case.call).split("(")[1].rstrip(")").split(",")]


# Variations


def calls(*cases: TestCase | tuple[str, str], reference: str = "def f(x):\n    return x\n") -> set[str]:
    return {one.call for one in variations(suite(reference, *cases), most=1000)}


def test_variations_keep_types_and_take_values_from_elsewhere() -> None:
    found = calls(("f([1, 2], 'ab')", "1"), ("f([7], 'z')", "1"), reference="def f(x, y):\n    return x == 40\n")
    assert {
        "f([2], 'ab')", "f([2, 1], 'ab')", "f([1, 1, 2], 'ab')", "f([], 'ab')", "f([7, 2], 'ab')", "f([40, 2], 'ab')",
        "f([41, 2], 'ab')", "f([10, 2], 'ab')", "f([1, 2], 'z')", "f([1, 2], 'abab')", "f([1, 2], '')", "f([7], 'ab')",
    } <= found  # fmt: skip
    assert all(one.startswith("f([") and one.endswith("')") for one in found)
    nested = calls(("f({'a': [(1, -2.5)]}, k={3})", "1"))
    assert {
        "f({}, k={3})", "f({'a': []}, k={3})", "f({'a': [(2, -2.5)]}, k={3})", "f({'a': [(1, -1.5)]}, k={3})",
        "f({'a': [(1, -2.5)]}, k={4})", "f({'a': [(1, -2.5)]}, k=set())", "f({'aa': [(1, -2.5)]}, k={3})",
    } <= nested  # fmt: skip


def test_variations_are_large_and_of_other_characters_too() -> None:
    found = [one.call for one in variations(suite("def f(x, y):\n    return x\n", ("f(7, 'a b')", "1")))]
    assert {"f(100000007, 'a b')", "f(10000000000000007, 'a b')"} == set(found[-2:])  # last: they may not end
    assert {"f(7, 'a b\\ta b')", "f(7, 'a b\\n')", "f(7, 'A B')", "f(7, 'a b7')", "f(7, 'a bé')"} <= set(found)


def test_only_arguments_of_the_entry_point_are_varied() -> None:
    assert all(one.endswith(", 2)") and one.startswith("round(f(") for one in calls(("round(f(2.5), 2)", "1")))
    methods = calls(("f([1]).get(7)[0]", "1"))
    assert {"f([2]).get(7)[0]", "f([1]).get(8)[0]"} <= methods
    assert all(one.endswith("[0]") for one in methods)
    assert calls(("g(1)", "1")) == calls(("f(y)", "1")) == set()


def test_a_statement_is_varied_only_if_it_compares_the_value_alone() -> None:
    def statement(source: str) -> set[str]:
        return calls(TestCase(kind="statement", statement=source))

    assert "f(2)" in statement("assert f(1) == g(1)\n")
    assert statement("assert 0 < f(1) < 5\n") == statement("assert set(f(1)) == g(1)\n") == set()
    assert statement("y = 1\nassert f(1) == y\n") == statement("assert f(1) != g(1)\n") == set()


def test_variations_are_new_and_no_more_than_asked_for() -> None:
    weak = suite(CLAMP, *BELOW)
    found = [one.call for one in variations(weak, most=30)]
    assert len(found) == len(set(found)) == 30
    assert not {call for call, _ in BELOW} & set(found)
    assert variations(suite("x = 1\n", TestCase(kind="stdio", stdin="1", stdout="2"))) == []


# Cases


def test_a_branch_that_the_suite_misses_gets_a_case(judge: Judge) -> None:
    weak = suite(CLAMP, *BELOW)
    (case,) = added(judge, weak, most=1)
    x, low, high = arguments(case)
    assert x > high
    assert (case.kind, case.expected, case.tolerance) == ("call", str(low if x < low else high), None)
    stronger = suite(CLAMP, *weak.cases, *added(judge, weak))
    before, after = measure([weak, stronger], judge, LIMITS)
    assert before.branch_coverage == 0.75
    assert after.branch_coverage == after.mutation_score == 1.0


def test_each_case_kills_a_mutant_that_nothing_killed_before(judge: Judge) -> None:
    weak = suite(GRADE, *ORDINARY)
    found = added(judge, weak)
    assert 3 <= len(found) <= 5
    assert added(judge, weak, most=2) == found[:2]
    longer = [suite(GRADE, *weak.cases, *found[:count]) for count in range(len(found) + 1)]
    killed = [one.killed for one in measure(longer, judge, LIMITS, most=60)]
    assert killed == sorted(set(killed))
    assert added(judge, longer[-1]) == []


def test_a_strong_suite_stays_as_it_is(judge: Judge) -> None:
    assert added(judge, suite("def f(x):\n    return x\n", ("f(1)", "1"), ("f(None)", "None"))) == []


def test_all_inputs_come_after_those_that_kill_mutants(judge: Judge) -> None:
    weak = suite(CLAMP, *BELOW)
    few, (many,) = added(judge, weak), strengthen([WeakSuite(weak)], judge, LIMITS, 30, all_inputs=True)
    assert list(many[: len(few)]) == few
    assert len(many) == len({case.call for case in many}) == 30
    strong = suite("def f(x):\n    return x\n", ("f(1)", "1"), ("f(None)", "None"))
    assert added(judge, strong) == []
    (many,) = strengthen([WeakSuite(strong)], judge, LIMITS, 3, all_inputs=True)
    assert [(case.call, case.expected) for case in many][:2] == [("f(2)", "2"), ("f(0)", "0")]
    (none,) = strengthen(
        [WeakSuite(suite("def f(x):\n    return 7\n", *strong.cases))], judge, LIMITS, 3, all_inputs=True
    )
    assert none == ()  # its reference fails it


def sampled(*bodies: str) -> list[SampledProgram]:
    """Programs that pass both cases of `STRONG`."""
    return [SampledProgram(f"def f(x):\n    {body}\n", (True, True)) for body in bodies]


STRONG = ("f(1)", "1"), ("f(None)", "None")
"""Cases that all mutants of `return x` fail."""
RIGHT, WRONG = "return x", "return x if x in (1, None) else 0"
LATE = "while x not in (1, None): pass\n    return x"


@pytest.mark.parametrize(
    ("bodies", "count"),
    [
        ((RIGHT, WRONG), 1),
        ((RIGHT, "return x + 0 if x else x"), 0),
        ((RIGHT,), 0),
        ((RIGHT, LATE), 0),  # what does not end shows nothing here
        ((RIGHT, WRONG, "return x if x != 2 else 3"), 2),
        (tuple(f"return x if x in (1, None) else {one}" for one in ("'a'", "'b'")), 0),  # both fail wherever one does
    ],
)
def test_a_case_that_tells_samples_apart_is_added(judge: Judge, bodies: tuple[str, ...], count: int) -> None:
    weak = WeakSuite(suite("def f(x):\n    return x\n", *STRONG), samples=sampled(*bodies))
    (found,) = strengthen([weak], judge, LIMITS, 5)
    assert len(found) == count
    assert all(case.call == f"f({case.expected})" for case in found)
    assert strengthen([weak], judge, LIMITS, 1) == [found[:1]]


def test_cases_that_kill_mutants_come_before_those_that_tell_samples_apart(judge: Judge) -> None:
    weak = suite(CLAMP, *BELOW)
    killing, same = added(judge, weak), CLAMP.replace("return x", "return x if x != 6 else 7")
    samples = [SampledProgram(code, (True, True)) for code in (CLAMP, same)]
    (found,) = strengthen([WeakSuite(weak, samples=samples)], judge, LIMITS, 5)
    assert list(found[: len(killing)]) == killing
    assert [case.call for case in found[len(killing) :]] == ["clamp(6, 0, 10)"]


def test_pairs_that_passed_everything_are_separated_first() -> None:
    passing, failing = SampledProgram("", (True, True)), SampledProgram("", (True, False))
    programs: list[tuple[SampledProgram, tuple[bool | None, ...]]] = [
        (passing, (True, True, True, None)), (passing, (True, False, True, False)),
        (failing, (True, True, True, True)), (failing, (False, True, True, None)), (failing, (False, True, True, True)),
    ]  # fmt: skip
    assert separators(programs, [], 5) == [1, 0]
    assert separators(programs, [], 1) == [1]
    assert separators(programs, [1], 5) == [0]
    assert separators(programs[1:3], [], 5) == separators([], [], 5) == []


def test_inputs_on_which_references_disagree_are_not_used(judge: Judge) -> None:
    """All pass the cases of the suite; one is wrong about 7, and one about what is above 100."""
    weak = suite(GRADE, *ORDINARY)
    wrong = [suite(GRADE.replace(*fault), *ORDINARY, response=fault[0]) for fault in (("'c'", "'d'"), ("'a'", "'x'"))]
    alone, beside_one, beside_both = (added(judge, weak, *wrong[:count]) for count in range(3))
    assert {case.expected for case in alone} >= {"'a'", "'b'", "'c'"}
    assert {case.expected for case in beside_one} >= {"'a'", "'b'"}
    assert "grade(7)" not in {case.call for case in beside_one}
    assert {"'b'"} <= {case.expected for case in beside_both} <= {"'b'", "'d'"}


def test_a_reference_with_another_name_has_a_voice_and_one_that_cannot_be_compared_has_none(judge: Judge) -> None:
    weak = suite(GRADE, *ORDINARY)
    wrong = GRADE.replace("'c'", "'d'").replace("grade", "mark")
    renamed = suite(wrong, *((call.replace("grade", "mark"), value) for call, value in ORDINARY))
    found = added(judge, weak, renamed)
    assert {case.expected for case in found} >= {"'a'", "'b'"}
    assert all("grade(" in str(case.call) and case.call != "grade(7)" for case in found)
    stranger = suite("def mark(x, y):\n    return x\n", ("mark(1, 2)", "1"))
    assert added(judge, weak, stranger) == added(judge, weak)


@pytest.mark.parametrize(
    "rival",
    [
        "def clamp(x, low, high):\n    while x > high:\n        pass\n    return max(x, low)\n",
        "def clamp(x, low, high):\n    assert x <= high\n    return max(x, low)\n",
        "def clamp(x, low, high):\n    if x > high:\n        import os\n        os._exit(0)\n    return max(x, low)\n",
        "def clamp(x, low, high):\n    return max(x, low) if x <= high else iter(())\n",
        "def clamp(x, low, high):\n    return max(x, low) if x <= high else [0] * 10**11\n",
        "raise SystemExit\ndef clamp(x, low, high):\n    pass\n",
        "def clamp(x, low, high):\n    return max(x, low) if x <= high else float('nan')\n",
    ],
    ids=["endless", "raises", "exits", "no literal", "memory", "does not load", "nan"],
)
def test_a_reference_without_a_value_adds_nothing_there(judge: Judge, rival: str) -> None:
    """As the reference itself, and beside another one."""
    weak, other = suite(CLAMP, *BELOW), suite(rival, *BELOW, response="other")
    for found in (added(judge, weak, other), added(judge, other)):
        assert all(max(x, low) <= high for x, low, high in map(arguments, found))


@pytest.mark.parametrize(
    "body", ["return x + time.time()", "return random.random()", "return id(x)", "return datetime.now().year + x"]
)
def test_a_reference_that_reads_a_clock_or_chance_adds_nothing(judge: Judge, body: str) -> None:
    reference = (
        f"import random, time\nfrom datetime import datetime\ndef f(x):\n    if x > 5:\n        {body}\n    return x\n"
    )
    assert added(judge, suite(reference, ("f(1)", "1"), ("f(2)", "2"))) == []
    steady = suite(reference.replace(body, "return -x"), ("f(1)", "1"), ("f(2)", "2"))
    assert added(judge, steady)
    assert added(judge, steady, suite(reference, ("f(1)", "1"))) == []


@pytest.mark.parametrize(
    ("body", "steady"),
    [
        ("return x.choice() + x.time()", True),  # methods of an argument, whatever their names
        ("return sorted({x, 1})", True),
        ("return os.environ['HOME']", False),
        ("return random.gauss(0, x)", False),
        ("return os.getcwd()", False),
    ],
)
def test_what_makes_a_reference_unsteady(body: str, steady: bool) -> None:
    assert is_steady(f"import os, random\ndef f(x):\n    {body}\n") is steady


def test_a_value_of_json_has_no_tuples(judge: Judge) -> None:
    """The reference may return them where its row's tests, kept as JSON, have lists."""
    reference = "def f(x):\n    if len(x) > 1:\n        return (1, sum(x) / 3)\n    return (1, 0.0)\n"
    origin = [TestCase(kind="call", call=f"f([{one}])", expected="as_lists([1, 0.0])") for one in (1.5, 7.5)]
    found = added(judge, suite(reference, *origin))
    assert found
    for case in found:
        wanted = parse_expected(str(case.expected)).expected
        for value in (wanted, tuple(wanted), [wanted[0], wanted[1] * (1 + 1e-9)]):
            assert agrees(value, parse_expected(str(case.expected)), case.tolerance, "equal")


def test_floats_have_a_tolerance_and_the_form_of_the_case_that_they_come_from(judge: Judge) -> None:
    """Another order of additions gives other last digits."""
    reference = "def f(x):\n    if len(x) > 1:\n        return sum(x) / 3\n    return 0.0\n"
    for expected, tolerance in (("0.0", None), ("approx(0.0, rel=0.01)", None), ("0.0", 0.5)):
        origin = [
            TestCase(kind="call", call=f"f([{one}])", expected=expected, tolerance=tolerance) for one in (1.5, 7.7)
        ]
        found = added(judge, suite(reference, *origin))
        assert any(str(case.expected).removeprefix("approx(")[:3] != "0.0" for case in found)
        for case in found:
            wanted = parse_expected(str(case.expected))
            assert type(wanted) is (float if "approx" not in expected else type(parse_expected(expected)))
            value = wanted if isinstance(wanted, float) else wanted.expected
            assert agrees(value * (1 + 1e-9), wanted, case.tolerance, "equal")
            assert (case.tolerance or 0) >= (tolerance or 0)
            if tolerance is None and value:
                assert not agrees(value * 1.1, wanted, case.tolerance, "equal")


@pytest.mark.parametrize(
    "value",
    [
        "{x, 0.5}",
        "float('inf')",
        "[float('nan')]",
        "object()",
        "str(object())",
        "'a' * 5000",
        "[x * 1e9, 0.5]",
        "(x * 1e6, {'a': 0.0})",
    ],
)
def test_values_that_no_case_can_hold_are_not_used(judge: Judge, value: str) -> None:
    """Nor are floats so far apart in size that the tolerance of the one hides the other."""
    reference = f"def f(x):\n    return {value} if x > 5 else x\n"
    assert all(arguments(case)[0] <= 5 for case in added(judge, suite(reference, ("f(1)", "1"), ("f(2)", "2"))))


@pytest.mark.parametrize("source", ["generate", "rows"])
def test_a_build_has_no_samples_to_tell_apart(source: str) -> None:
    text = f"policy: {{type: scripted, model: x}}\nsuites: {{source: {source}, strengthen_by: samples}}\n"
    with pytest.raises(RecipeError, match=r"needs samples.* plum-hub strengthen RUN --by samples"):
        parse(text, "a recipe")


def test_suites_of_scripts_and_without_a_reference_get_nothing(judge: Judge) -> None:
    script = suite("print(max(0, int(input())))\n", TestCase(kind="stdio", stdin="1", stdout="1"))
    wrong = suite("def f(x):\n    return 9\n", ("f(1)", "1"))
    assert strengthen([WeakSuite(script), WeakSuite(wrong)], judge, LIMITS, 5) == [(), ()]


def recipe(folder: Path, most: int) -> Recipe:
    (folder / "answers.jsonl").write_text('{"texts": ["hello"]}\n')
    return parse(
        f"policy: {{type: scripted, model: {folder / 'answers.jsonl'}}}\nsuites: {{strengthen: {most}}}", "test"
    )


def test_a_suite_that_is_not_proved_with_its_new_cases_stays(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = suite(CLAMP, *BELOW)
    wrong = TestCase(kind="call", call="clamp(12, 0, 10)", expected="12")
    steps = Strengthening(recipe(tmp_path, 5), judge)
    (kept,) = steps.apply([WeakSuite(weak)])
    assert kept.cases[:2] == weak.cases
    assert len(kept.cases) == 2 + steps.cases > 2
    assert kept.id != weak.id
    assert steps.suites == 1
    assert Strengthening(recipe(tmp_path, 0), judge).apply([WeakSuite(weak)]) == [weak]
    monkeypatch.setattr("plum_hub.pipeline.strengthening.strengthen", lambda *_, **__: [(wrong,)])
    assert Strengthening(recipe(tmp_path, 5), judge).apply([WeakSuite(weak)]) == [weak]


# Builds

TASKS = 3
KINDS = ("suites", "strengths", "dropped", "preferences")
VOTED = (*KINDS, "votes")


def write_tasks(folder: Path, *, unsteady: bool = False) -> None:
    """Each task has three responses that miss `x > 100`; two have the branch, and one is wrong about 7 besides."""
    write_rehearsal(folder, TASKS)
    with (folder / "answers.jsonl").open("w") as file:
        for number in range(TASKS):
            function, plus = name(number), addend(number)
            begin = f"def {function}(x: int) -> int:\n    "
            bodies = [f"{'if' if one else 'while'} x > 100:\n        return 0\n    return x + {plus}" for one in (0, 1)]
            bodies.append(f"if x > 100 or x == 7:\n        return 0\n    return x + {plus}")
            if unsteady:
                bodies = [bodies[0].replace("return 0", "return hash(x) - hash(x)"), bodies[1]]
            texts = []
            for place, body in enumerate(bodies):
                tests = "".join(f"assert {function}({x}) == {x + plus}\n" for x in (0, 5, -1, 9)[: 4 - place % 2])
                solution = f"### Solution\n```python\n{begin}{body}\n```\n"
                texts.append(
                    f"### Starter code\n```python\n{begin}pass\n```\n\n{solution}\n### Tests\n```python\n{tests}```\n"
                )
            file.write(json.dumps({"contains": f"Task:\n{task(number)}", "texts": texts}) + "\n")
            answers = [program(number, body) for body in (f"return x + {plus}", bodies[1])]
            file.write(json.dumps({"contains": f"{task(number)}\n\nSolve", "texts": answers}) + "\n")


def strengthening(folder: Path, *options: str, run: str = "run") -> list[str]:
    return command(folder, "-q", *options, "--set", "suites.strength=true", "--set", "suites.seed=5", run=run)


STRENGTHEN = ("--set", "suites.strengthen=3")
WAYS = {"size": (), "vote": ("--set", "suites.vote=true"), "least": ("--set", "suites.min_strength=0.99")}


def rows(folder: Path, kind: str, run: str = "run") -> list[dict[str, Any]]:
    return rehearsal.rows(folder / run, kind)


@pytest.fixture(scope="module", params=WAYS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("built")
    write_tasks(folder)
    done = plum_hub(strengthening(folder, *STRENGTHEN, *WAYS[request.param]), PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    return request.param, folder


def test_a_build_keeps_suites_with_the_branch_and_measures_them(built: tuple[str, Path]) -> None:
    way, folder = built
    found, strengths = rows(folder, "suites"), {row["id"]: row for row in rows(folder, "strengths")}
    assert len(found) == TASKS
    for row in found:
        arguments_ = [int(case["call"].split("(")[1].rstrip(")")) for case in row["cases"]]
        assert max(arguments_) > 100
        assert 7 not in arguments_
        assert strengths[row["id"]]["branch_coverage"] == 1.0
        assert strengths[row["id"]]["cases"] == len(row["cases"])
    samples = {row["suite_id"] for row in rows(folder, "samples")}
    assert samples == {row["id"] for row in found}
    if way == "vote":
        shares = {row["id"]: row["shares"] for row in rows(folder, "votes")}
        assert [len(shares[row["id"]]) for row in found] == [len(row["cases"]) for row in found]
    done = plum_hub(strengthening(folder, *STRENGTHEN, *WAYS[way]))
    assert done.returncode == 0, done.stderr  # nothing is owed
    assert rows(folder, "suites") == found


def test_another_hash_seed_and_folder_give_the_same(built: tuple[str, Path], tmp_path: Path) -> None:
    way, folder = built
    write_tasks(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    arguments_ = strengthening(tmp_path, *STRENGTHEN, *WAYS[way])
    environment = {**os.environ, "PYTHONHASHSEED": "2"}
    done = subprocess.run(arguments_, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for kind in VOTED if way == "vote" else KINDS:
        assert rows(tmp_path, kind) == rows(folder, kind), kind


@pytest.mark.parametrize("after", [1, 2, 5])
def test_killed_and_started_again_the_result_is_the_same(built: tuple[str, Path], tmp_path: Path, after: int) -> None:
    """The batches are of two instructions, with four responses each."""
    way, folder = built
    run = shutil.copytree(folder / "run", tmp_path / "run")
    kinds = [kind for kind in (*VOTED, "samples", "verdicts") if (run / "shards/00000" / f"{kind}.jsonl").exists()]
    for kind in kinds:
        (run / "shards" / "00000" / f"{kind}.jsonl").unlink()
    start = [sys.executable, "-c", KILLED, str(run)]
    assert subprocess.run([*start, str(after)], check=False).returncode == -signal.SIGKILL
    assert subprocess.run([*start, "-1"], check=False).returncode == 0
    for kind in ("suites", *(["votes"] if way == "vote" else [])):
        assert sorted(map(json.dumps, rows(tmp_path, kind))) == sorted(map(json.dumps, rows(folder, kind)))
    decided = [row for row in rows(folder, "dropped") if row["stage"] == "suites"]
    assert sorted(map(json.dumps, rows(tmp_path, "dropped"))) == sorted(map(json.dumps, decided))


def test_responses_that_were_decided_before_a_kill_still_count(tmp_path: Path) -> None:
    """One reference of each task is unsteady, so nothing is added beside it, not even when it was left out before."""
    write_tasks(tmp_path, unsteady=True)
    plum_hub(strengthening(tmp_path, *STRENGTHEN, *WAYS["least"]))  # ends without a suite
    texts = {row["id"]: row["text"] for row in rows(tmp_path, "responses")}
    decided = rows(tmp_path, "dropped")
    assert {row["reason"] for row in decided} == {"weak"}
    assert len({"hash" in text for text in texts.values()}) == 2
    dropped = tmp_path / "run" / "shards" / "00000" / "dropped.jsonl"
    kept = [line for line in dropped.read_text().splitlines(keepends=True) if "hash" in texts[json.loads(line)["id"]]]
    assert 0 < len(kept) < len(decided)
    dropped.write_text("".join(kept))
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "run"), "-1"], check=False).returncode == 0
    assert rows(tmp_path, "suites") == []
    assert sorted(map(json.dumps, rows(tmp_path, "dropped"))) == sorted(map(json.dumps, decided))


def test_by_default_nothing_is_added(tmp_path: Path) -> None:
    write_tasks(tmp_path)
    assert Recipe.model_fields["suites"].default.strengthen == 0
    for run, options in (("run", ()), ("zero", ("--set", "suites.strengthen=0"))):
        assert plum_hub(strengthening(tmp_path, *options, run=run)).returncode == 0
    for kind in KINDS:
        assert rows(tmp_path, kind) == rows(tmp_path, kind, "zero")
    for row in rows(tmp_path, "suites"):
        assert [case["call"].split("(")[1] for case in row["cases"]] == ["0)", "5)", "-1)", "9)"]


def test_tests_of_the_rows_are_strengthened_too(tmp_path: Path) -> None:
    text = "Write a Python function `clamp(x, low, high)` that keeps x between low and high."
    tests = [f"assert {call} == {value}" for call, value in (*BELOW, ("clamp(-2, 0, 10)", "0"))]
    (tmp_path / "tasks.jsonl").write_text(json.dumps({"instruction": text, "test_list": tests, "code": CLAMP}) + "\n")
    (tmp_path / "answers.jsonl").write_text(
        json.dumps({"contains": "clamp", "texts": [f"```python\n{CLAMP}```"]}) + "\n"
    )
    done = plum_hub(strengthening(tmp_path, "--suites", "rows", *STRENGTHEN))
    assert done.returncode == 0, done.stderr
    (found,) = rows(tmp_path, "suites")
    assert len(found["cases"]) > 3
    assert rows(tmp_path, "strengths")[0]["branch_coverage"] == 1.0
