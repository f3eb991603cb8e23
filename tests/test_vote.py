"""Suites of one instruction vote: what is kept, what is removed, and that nothing but the answers decides."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from plum_hub.answers.suite import ParsedSuite, parse_suite
from plum_hub.engines import parse_engine
from plum_hub.errors import RunError
from plum_hub.execution import Judge, Limits
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.status import summarise
from plum_hub.pipeline.strengthening import Strengthening
from plum_hub.pipeline.strengths import StrengthFilter
from plum_hub.pipeline.suites import elect
from plum_hub.pipeline.vote import VoteResult, vote, vote_all
from plum_hub.publishing.dataset import release
from plum_hub.recipe import Recipe, parse
from plum_hub.records import Drop, Response, SuiteVote, TestCase, TestSuite
from plum_hub.release.reading import config_files, read_rows
from plum_hub.run import Run
from plum_hub.statistics import distribution
from tests.rehearsal import KILLED, command, name, plum_hub, published, rows, write_rehearsal
from tests.releases import audit, reseal, rewrite

LIMITS = Limits(cpu_seconds=1)

RIGHT, ABSOLUTE, WRONG = "return a + b", "return b + a", "return a + abs(b)"
"""Bodies of an addition; the last is wrong for a negative second number."""
COUNTER = """class Counter:
    def __init__(self):
        self.total = 0

    def add(self, value):
        self.total {sign}= value
        return self.total
"""
TWICE_ADDED = "counter = Counter()\ncounter.add({0})\nassert counter.add({0}) == {1}"


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(1) as opened:
        yield opened


def answer(body: str, tests: str, called: str = "add", parameters: str = "a, b") -> str:
    """An answer with a function."""
    return written(f"def {called}({parameters}):\n    {body}", tests)


def written(solution: str, tests: str) -> str:
    return f"### Solution\n```python\n{solution}\n```\n\n### Tests\n```python\n{tests}\n```\n"


def script(body: str, pairs: dict[str, str]) -> str:
    """An answer with a program for standard input."""
    examples = "\n".join(f"Input:\n```\n{given}\n```\nOutput:\n```\n{printed}\n```" for given, printed in pairs.items())
    return f"### Solution\n```python\n{body}\n```\n\n### Tests\n{examples}\n"


def sums(*pairs: tuple[int, int, int], called: str = "add") -> str:
    return "\n".join(f"assert {called}({a}, {b}) == {total}" for a, b, total in pairs)


def suite(text: str) -> ParsedSuite:
    parsed = parse_suite(text, min_cases=1, max_cases=99)
    assert isinstance(parsed, ParsedSuite), parsed
    return parsed


def short(result: VoteResult) -> list[str]:
    assert result.suite is not None, result.disagreement
    return [
        f"{case.call} -> {case.expected}" if case.kind == "call" else case.statement or f"{case.stdin} -> {case.stdout}"
        for case in result.suite.cases
    ]


def held(judge: Judge, *texts: str, min_cases: int = 2, max_cases: int | None = None) -> VoteResult:
    return vote(list(map(suite, texts)), judge, LIMITS, min_cases=min_cases, max_cases=max_cases)


def test_of_two_right_references_and_a_wrong_one_the_right_ones_win(judge: Judge) -> None:
    result = held(
        judge,
        answer(WRONG, sums((1, 2, 3), (5, -1, 6), (0, 4, 4))),
        answer(RIGHT, sums((2, 2, 4), (3, -1, 2), (1, 2, 3))),
        answer(ABSOLUTE, sums((0, 0, 0), (-1, -2, -3), (7, 1, 8))),
    )
    assert (result.voters, result.base) == ((0, 1, 2), 1)  # 0 passes fewer of the kept cases, 2 as many as 1
    assert result.suite is not None
    assert "return a + b" in result.suite.reference
    assert short(result) == [
        "add(2, 2) -> 4", "add(3, -1) -> 2", "add(1, 2) -> 3",  # the base's own; its add(1, 2) is also the first's
        "add(0, 4) -> 4", "add(0, 0) -> 0", "add(-1, -2) -> -3", "add(7, 1) -> 8",
    ]  # fmt: skip
    assert result.shares == (1.0, pytest.approx(2 / 3), 1.0, 1.0, 1.0, pytest.approx(2 / 3), 1.0)
    assert result.origins == (1, 1, 1, 0, 2, 2, 2)
    assert result.disagreement == ""


def test_half_of_the_references_is_not_enough(judge: Judge) -> None:
    """Of four voters two pass a case with a negative number: no majority for it, nor for what the others expect."""
    result = held(
        judge,
        answer(RIGHT, sums((1, 1, 2), (4, -1, 3))),
        answer(ABSOLUTE, sums((1, 2, 3), (4, -2, 2))),
        answer(WRONG, sums((1, 3, 4), (4, -1, 5))),
        answer(WRONG, sums((1, 4, 5), (4, -2, 6))),
    )
    assert short(result) == [f"add(1, {b}) -> {1 + b}" for b in (1, 2, 3, 4)]
    assert result.shares == (1.0,) * 4


def test_two_voters_must_agree(judge: Judge) -> None:
    tests = (sums((1, 2, 3), (2, 2, 4), (4, -1, 3)), sums((1, 5, 6), (4, -1, 5)))
    result = held(judge, answer(RIGHT, tests[0]), answer(WRONG, tests[1]))
    assert short(result) == ["add(1, 2) -> 3", "add(2, 2) -> 4", "add(1, 5) -> 6"]
    assert result.shares == (1.0, 1.0, 1.0)
    assert result.base == 0


def test_functions_of_different_names_vote_under_the_name_of_the_base(judge: Judge) -> None:
    recursive = "return total_of(a, b - 1) + 1 if b > 0 else total_of(a, b + 1) - 1 if b < 0 else a"
    statement = "value = total_of(2, 2)\nassert 3 < value < 5"
    result = held(
        judge,
        answer(WRONG, sums((1, 1, 2), (4, -1, 5))),
        answer(recursive, sums((1, 2, 3), (3, -2, 1), called="total_of") + "\n" + statement, "total_of"),
        answer(RIGHT, sums((5, -5, 0), (1, 2, 3), called="plus"), "plus", "x, y").replace("a + b", "x + y"),
    )
    assert result.base == 1
    assert result.suite is not None
    assert result.suite.entry_point == "total_of"
    assert "def total_of(a, b)" in result.suite.starter_code
    calls = short(result)
    assert calls[:2] == ["total_of(1, 2) -> 3", "total_of(3, -2) -> 1"]
    assert calls[-2:] == ["total_of(1, 1) -> 2", "total_of(5, -5) -> 0"]
    assert "assert 3 < total_of(2, 2) < 5" in map(str.strip, calls)


@pytest.mark.parametrize(
    "stranger",
    [
        answer("return a + b + c", "assert plus(1, 2, 3) == 6\nassert plus(1, 1, 1) == 3", "plus", "a, b, c"),
        answer("return sum(numbers)", "assert plus(1, 2) == 3\nassert plus(1, 1) == 2", "plus", "*numbers"),
        answer("return a + b", "assert plus(add := 1, 2) == 3\nassert add == 1 and plus(1, 1) == 2", "plus"),
        answer("return a + b", "assert (lambda add: plus(add, 2))(1) == 3\nassert plus(1, 1) == 2", "plus"),
        written(COUNTER.format(sign="+"), TWICE_ADDED.format(1, 2) + "\n" + TWICE_ADDED.format(2, 4)),
        script("print(sum(map(int, input().split())))", {"1 2": "3", "1 1": "2"}),
    ],
    ids=["arguments", "any number", "bound name", "parameter", "class", "script"],
)
def test_what_cannot_be_compared_does_not_vote(judge: Judge, stranger: str) -> None:
    mine = answer(RIGHT, sums((1, 2, 3), (3, -1, 2)))
    assert held(judge, stranger, mine, mine, min_cases=1).voters == (1, 2)


def test_suites_that_use_other_things_of_their_reference_do_not_vote(judge: Judge) -> None:
    """Its starter code would not announce what the cases of the other need."""
    class_ = "class Pair:\n    def __init__(self, a, b):\n        self.a, self.b = a, b\n\n\n"
    with_class = written(
        f"{class_}def add(pair):\n    return pair.a + pair.b",
        "assert add(Pair(1, 2)) == 3\nassert add(Pair(1, 1)) == 2",
    )
    without = answer("return pair[0] + pair[1]", "assert add((1, 2)) == 3\nassert add((1, 1)) == 2", parameters="pair")
    assert held(judge, without, with_class, with_class).voters == (1, 2)


def test_contradicting_expectations_do_not_both_survive(judge: Judge) -> None:
    """Two references round one way and one another way; a value and a tolerance around it are one call, too."""
    rounded = "return round(a / b)"
    result = held(
        judge,
        answer("return (a + b - 1) // b", "assert div(7, 3) == 3\nassert div(8, 2) == 4", "div"),
        answer(rounded, "assert div(7, 3) == 2\nassert abs(div(8, 2) - 4.5) <= 1\nassert div(9, 3) == 3", "div"),
        answer(rounded, "assert div(7,  3) == 2\nassert div(8, 2) == 4\nassert div(6, 3) == 2", "div"),
    )
    assert result.base == 1
    assert short(result) == ["div(7, 3) -> 2", "div(8, 2) -> 4.5", "div(9, 3) -> 3", "div(6, 3) -> 2"]


def test_one_call_in_two_spellings_is_one_case(judge: Judge) -> None:
    """Cases of other callers need not come from `ast.unparse`."""
    one = suite(answer(RIGHT, sums((1, 2, 3), (3, -1, 2))))
    spelled = tuple(TestCase(kind="call", call=f"add( {a},{b} )", expected=str(a + b)) for a, b in ((1, 2), (3, 3)))
    result = vote([one, replace(one, cases=spelled)], judge, LIMITS, min_cases=1)
    assert short(result) == ["add(1, 2) -> 3", "add(3, -1) -> 2", "add( 3,3 ) -> 6"]


def test_kept_cases_that_the_base_fails_are_removed(judge: Judge) -> None:
    """Each of three references is wrong in one place, where the two others outvote it."""
    result = held(
        judge,
        *(
            answer(f"return a + b if a != {place} else -1", sums(*((a, 1, a + 1) for a in range(1, 4) if a != place)))
            for place in (1, 2, 3)
        ),
    )
    assert result.base == 0
    assert short(result) == ["add(2, 1) -> 3", "add(3, 1) -> 4"]
    assert result.shares == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_classes_vote(judge: Judge) -> None:
    tests = [TWICE_ADDED.format(one, 2 * one) for one in (1, 2, 3)]
    right = COUNTER.format(sign="+")
    wrong = written(COUNTER.format(sign="-"), "\n".join(TWICE_ADDED.format(one, -2 * one) for one in (1, 2)))
    other = written(right.replace("Counter", "Tally"), "\n".join(tests[1:]).replace("Counter", "Tally"))
    result = held(judge, wrong, written(right, "\n".join(tests[:2])), other)
    assert (result.base, result.voters) == (1, (0, 1, 2))
    assert len(short(result)) == 3
    assert all("Counter()" in one and "Tally" not in one for one in short(result))


def test_scripts_vote_among_themselves(judge: Judge) -> None:
    right, wrong = "print(sum(map(int, input().split())))", "print(sum(map(abs, map(int, input().split()))))"
    result = held(
        judge,
        script(wrong, {"1 2": "3", "3 -1": "4"}),
        script(right, {"1 2": "3", "5 -1": "4"}),
        script(right, {"2 2": "4", "0 -1": "-1"}),
        answer(RIGHT, sums((1, 2, 3), (2, 2, 4))),
    )
    assert (result.voters, result.base) == ((0, 1, 2), 1)
    assert [one.split() for one in short(result)] == [
        ["1", "2", "->", "3"], ["5", "-1", "->", "4"], ["2", "2", "->", "4"], ["0", "-1", "->", "-1"],
    ]  # fmt: skip


def test_who_all_disagree_have_no_suite(judge: Judge) -> None:
    result = held(
        judge,
        answer("return a + b", sums((1, 1, 2), (2, 3, 5))),
        answer("return a - b", sums((1, 1, 0), (2, 3, -1))),
        answer("return a * b", sums((1, 1, 1), (2, 3, 6))),
    )
    assert (result.suite, result.base, result.shares, result.voters) == (None, None, (), (0, 1, 2))
    assert result.disagreement == "add(1, 1) is 2 for 1 of 3 references, 0 and 1 for others"


def test_a_majority_for_one_value_alone_is_a_disagreement(judge: Judge) -> None:
    """What is left would be passed by a function that returns a constant."""
    result = held(
        judge,
        answer("return a + b", sums((1, 2, 3), (2, 1, 3), (4, -1, 3), (9, 0, 9))),
        answer("return a + b if b else 0", sums((0, 3, 3), (1, 0, 0))),
    )
    assert result.suite is None
    assert result.disagreement == "add(9, 0) is 9 for 1 of 2 references, 0 for others"


def test_a_reference_that_does_not_end_does_not_pass(judge: Judge) -> None:
    endless = "while b < 0:\n        pass\n    return a + b"
    result = held(judge, answer(endless, sums((1, 2, 3), (2, 2, 4))), answer(RIGHT, sums((4, 1, 5), (3, -1, 2))))
    assert short(result) == ["add(1, 2) -> 3", "add(2, 2) -> 4", "add(4, 1) -> 5"]


def test_no_more_cases_than_allowed(judge: Judge) -> None:
    texts = [answer(RIGHT, sums(*((a, b, a + b) for b in range(3)))) for a in range(3)]
    assert len(short(held(judge, *texts))) == 9
    assert short(held(judge, *texts, max_cases=4)) == short(held(judge, *texts))[:4]


def test_a_suite_alone_stays_as_it_is(judge: Judge) -> None:
    alone = suite(answer(RIGHT, sums((1, 2, 3), (2, 2, 4), (3, -1, 2))))
    result = vote([alone], judge, LIMITS)
    assert (result.suite, result.shares, result.voters, result.base) == (alone, (1.0,) * 3, (0,), 0)


def test_groups_vote_together_and_by_themselves(judge: Judge) -> None:
    def group(number: int) -> list[ParsedSuite]:
        called = f"add{number}"
        tests = (sums((number, b, number + b), (b, 9, b + 9), called=called) for b in (1, 2, 3))
        return [suite(answer(RIGHT, one, called)) for one in tests]

    groups: list[Sequence[ParsedSuite]] = [group(1), [], group(2)]
    together = vote_all(groups, judge, LIMITS)
    assert together[1] == VoteResult(())
    assert together[0] == vote(group(1), judge, LIMITS)
    assert together[2] == vote(group(2), judge, LIMITS)


# The stage


def response(index: int, text: str) -> Response:
    return Response(
        id=f"r{index}",
        instruction_id="i",
        index=index,
        seed=0,
        prompt_digest="",
        text=text,
        finish_reason="stop",
        prompt_tokens=0,
        completion_tokens=0,
    )


def elected(judge: Judge, tmp_path: Path, *texts: str, least: float = 0) -> list[TestSuite | SuiteVote | Drop]:
    (tmp_path / "answers.jsonl").write_text('{"texts": ["hello"]}\n')
    engine = parse_engine(f"scripted:{tmp_path / 'answers.jsonl'}")
    settings = f"{{min_cases: 2, responses: {len(texts)}, min_strength: {least}}}"
    recipe = parse(f"policy: {{type: scripted, model: {engine.model}}}\nsuites: {settings}", "test")
    group = [response(index, text) for index, text in enumerate(texts)]
    return list(elect([group[::-1]], Strengthening(recipe, judge), StrengthFilter(recipe, judge if least else None)))


def test_each_response_gets_its_row(judge: Judge, tmp_path: Path) -> None:
    found = elected(
        judge,
        tmp_path,
        "I cannot do that.",
        answer(WRONG, sums((1, 2, 3), (5, -1, 6))),
        answer(RIGHT, sums((2, 2, 4), (3, -1, 2))),
        answer(ABSOLUTE, sums((0, 0, 0), (-1, -2, -3))),
        script("print(sum(map(int, input().split())))", {"1 2": "3", "1 1": "2"}),
        answer(RIGHT, sums((2, 2, 5), (3, -1, 2))),
    )
    drops = {row.id: row for row in found if isinstance(row, Drop)}
    assert {name: drop.reason for name, drop in drops.items()} == {
        "r0": "refused", "r1": "merged", "r3": "merged", "r4": "spare_suite", "r5": "reference_failed",
    }  # fmt: skip
    assert drops["r1"].detail == "1 of 2 cases went into the suite of response r2"
    ballot, kept = (row for row in found if not isinstance(row, Drop))
    assert isinstance(ballot, SuiteVote)  # before its suite
    assert isinstance(kept, TestSuite)
    assert kept.response_id == "r2"
    assert ballot.id == kept.id
    assert ballot.responses == ["r1", "r2", "r3"]
    assert len(ballot.shares) == len(kept.cases) == 5


def test_disagreement_is_told_with_the_call(judge: Judge, tmp_path: Path) -> None:
    found = elected(
        judge, tmp_path, answer(RIGHT, sums((1, 1, 2), (2, 3, 5))), answer("return a * b", sums((1, 1, 1), (2, 3, 6)))
    )
    assert [row.reason for row in found if isinstance(row, Drop)] == ["disagreement"] * 2
    assert {row.detail for row in found if isinstance(row, Drop)} == {
        "add(1, 1) is 2 for 1 of 2 references, 1 for others"
    }


@pytest.mark.parametrize("least", [0, 1])
def test_a_merged_suite_may_be_too_weak(judge: Judge, tmp_path: Path, least: int) -> None:
    """No case goes through `if a > 100`: the mutants of that branch pass."""
    body = "if a > 100:\n        return a - b + 1\n    return a + b"
    texts = (answer(body, sums((1, 1, 2), (2, 3, 5))), answer(body, sums((4, 5, 9), (0, 3, 3))))
    found = elected(judge, tmp_path, *texts, least=least)
    reasons = {row.id: row.reason for row in found if isinstance(row, Drop)}
    assert reasons == ({"r0": "weak", "r1": "merged"} if least else {"r1": "merged"})
    assert len(found) - len(reasons) == (0 if least else 2)
    assert next(row for row in found if isinstance(row, Drop)).detail.startswith("mutation score 0.") or not least


def test_a_merged_suite_that_a_stub_passes_is_not_kept(judge: Judge, tmp_path: Path) -> None:
    """Each suite has one case that a stub fails, and the references agree about the others alone."""
    found = elected(
        judge,
        tmp_path,
        answer("return a or b", "assert same(1, 0) == 1\nassert same(2, 0) == 2\nassert same(0, 7) == 7", "same"),
        answer("return a or -b", "assert same(3, 0) == 3\nassert same(4, 0) == 4\nassert same(0, 8) == -8", "same"),
    )
    assert [row.reason for row in found if isinstance(row, Drop)] == ["merge_failed"] * 2
    assert len(found) == 2
    assert isinstance(found[0], Drop)
    assert found[0].detail == "stub_passed: a stub that returns its argument passes every case"


# A whole build

TASKS = 3


def reply(number: int, body: str, arguments: Sequence[int], wrong: int | None = None) -> str:
    """An answer to a task of the rehearsal; it is wrong about one argument, and its tests with it."""
    function, plus = name(number), (number or 10)
    lines = "\n".join(f"assert {function}({one}) == {one + plus if one != wrong else -99}" for one in arguments)
    return answer(body, lines, function, "x")


def write_votes(folder: Path) -> None:
    """Each task has three responses that differ in their tests, and one of them is wrong about 7."""
    write_rehearsal(folder, TASKS)
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    for number in range(TASKS):
        plus = number or 10
        answers[2 * number]["texts"] = [
            reply(number, f"return x + {plus}", (1, 2, 7)),
            reply(number, f"return {plus} + x", (3, 4, 7)),
            reply(number, f"return x + {plus} if x != 7 else -99", (5, 6, 7), wrong=7),
        ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))


def voting(folder: Path, run: str = "run") -> list[str]:
    return command(
        folder, "-q", "--set", "suites.vote=true", "--set", "suites.responses=6", "--set", "suites.seed=3",
        "--set", "samples.per_instruction=4", run=run,
    )  # fmt: skip


VOTED = ("suites", "votes", "dropped")


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voted")
    write_votes(folder)
    done = plum_hub(voting(folder), PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_whole_build_with_a_vote(voted: Path) -> None:
    run = voted / "run"
    suites, votes = rows(run, "suites"), rows(run, "votes")
    assert len(suites) == TASKS
    assert [row["id"] for row in votes] == [row["id"] for row in suites]
    texts = {row["id"]: str(row["text"]) for row in rows(run, "responses")}
    for one, ballot in zip(suites, votes, strict=True):
        assert len(ballot["shares"]) == len(one["cases"])  # type: ignore[arg-type]
        assert len(ballot["responses"]) == 6  # type: ignore[arg-type]
        right = sum("-99" not in texts[name] for name in ballot["responses"])  # type: ignore[attr-defined]
        sevens = [case["expected"] for case in one["cases"] if "(7)" in case["call"]]  # type: ignore[attr-defined]
        if right == 3:
            assert sevens == []
        else:
            assert (sevens == ["-99"]) == (right < 3)
    decided = Counter(row["reason"] for row in rows(run, "dropped") if row["stage"] == "suites")
    assert decided == {"merged": 5 * TASKS}
    summary = summarise(Run.open(run))
    assert summary.self_consistency == 1.0
    assert summary.wanted["suites"] == 6 * TASKS
    assert list(Run.open(run).columns(SuiteVote, "id", "responses", "shares")) == [
        (row["id"], row["responses"], row["shares"]) for row in votes
    ]


def test_another_hash_seed_and_folder_give_the_same(voted: Path, tmp_path: Path) -> None:
    write_votes(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": "2"}
    done = subprocess.run(voting(tmp_path), cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for kind in (*VOTED, "preferences"):
        assert rows(tmp_path / "run", kind) == rows(voted / "run", kind), kind


@pytest.mark.parametrize("after", [1, 8, 12], ids=["a suite", "a drop", "a batch"])
def test_killed_and_started_again_the_result_is_the_same(voted: Path, tmp_path: Path, after: int) -> None:
    """The batches are of two instructions, with six responses each."""
    run = shutil.copytree(voted / "run", tmp_path / "run")
    for kind in (*VOTED, "samples", "verdicts", "preferences"):
        (run / "shards" / "00000" / f"{kind}.jsonl").unlink()
    start = [sys.executable, "-c", KILLED, str(run)]
    assert subprocess.run([*start, str(after)], check=False).returncode == -signal.SIGKILL
    assert sum(len(rows(run, kind)) for kind in ("suites", "dropped")) == after
    assert subprocess.run([*start, "-1"], check=False).returncode == 0
    for kind in ("suites", "votes"):
        assert rows(run, kind) == rows(voted / "run", kind)
    decided = [row for row in rows(voted / "run", "dropped") if row["stage"] == "suites"]
    assert rows(run, "dropped") == decided


@pytest.mark.parametrize("kind", ["votes", "suites"])
def test_a_row_that_is_lost_is_made_again(voted: Path, tmp_path: Path, kind: str) -> None:
    run = shutil.copytree(voted / "run", tmp_path / "run")
    path = run / "shards" / "00000" / f"{kind}.jsonl"
    whole = path.read_text().splitlines(keepends=True)
    path.write_text("".join(whole[:1] + whole[2:]))
    assert subprocess.run([sys.executable, "-c", KILLED, str(run), "-1"], check=False).returncode == 0
    assert sorted(path.read_text().splitlines(keepends=True)) == sorted(whole)
    assert rows(run, "dropped") == rows(voted / "run", "dropped")


def test_without_the_key_nothing_votes(tmp_path: Path) -> None:
    write_votes(tmp_path)
    arguments = [part for part in voting(tmp_path) if part != "suites.vote=true"]
    index = arguments.index("suites.responses=6")
    del arguments[index - 2]  # the --set of the key
    done = plum_hub(arguments)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "run" / "shards" / "00000" / "votes.jsonl").exists()
    decided = Counter(row["reason"] for row in rows(tmp_path / "run", "dropped") if row["stage"] == "suites")
    assert decided == {"spare_suite": 5 * TASKS}
    assert Recipe.model_fields["suites"].default.vote is False
    tree = tmp_path / "run" / "release" / "dataset"
    manifest = json.loads((tree / "manifest.json").read_text())
    assert "agreement" not in manifest["counts"]
    assert not {"voters", "shares", "agreement"} & set(manifest["columns"]["test_suites"])
    assert "voters" not in (tree / "README.md").read_text()
    assert not (tree / "figures" / "agreements.svg").exists()
    assert audit(tree) == {}


# Releases


@pytest.fixture
def tree(voted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(voted / "run" / "release" / "dataset", tmp_path / "tree"))


def test_a_release_has_the_votes_and_verifies(voted: Path, tree: Path) -> None:
    suites = list(read_rows(config_files(tree, "test_suites")))
    votes = {row["id"]: row for row in rows(voted / "run", "votes")}
    assert len(suites) == TASKS
    for row in suites:
        assert row["voters"] == 6
        assert row["shares"] == votes[row["suite_id"]]["shares"]
        assert row["agreement"] == fmean(row["shares"])
    assert min(row["agreement"] for row in suites) < 1
    manifest = json.loads((tree / "manifest.json").read_text())
    summary = distribution([row["agreement"] for row in suites])
    assert summary is not None
    assert manifest["counts"]["agreement"] == json.loads(json.dumps(asdict(summary)))
    assert manifest["columns"]["test_suites"]["shares"] == "list<float64>"
    card = (tree / "README.md").read_text()
    assert f"Of {TASKS} suites the mean is {summary.mean:.3f}, and the quartiles are " in card
    assert "![Suites by the agreement of their voters](figures/agreements.svg)" in card
    assert (tree / "figures" / "agreements.svg").is_file()
    assert audit(tree) == {}


@pytest.mark.parametrize(
    ("column", "value", "check", "what"),
    [
        ("agreement", 1.0, "counts", "its agreement"),
        ("agreement", float("nan"), "counts", "its agreement"),
        ("agreement", None, "schemas", "agreement"),
        ("every share", 1.0, "counts", "distribution of agreement"),
        ("first share", 0.5, "counts", "shares over 1/2 of its 6 voters"),
        ("first share", 0.9, "counts", "shares over 1/2 of its 6 voters"),
        ("first share", 7 / 6, "counts", "shares over 1/2 of its 6 voters"),
        ("first share", float("nan"), "counts", "shares over 1/2 of its 6 voters"),
        ("first share", None, "counts", "shares over 1/2 of its 6 voters"),
        ("shares", [1.0], "counts", "shares of its voters"),
        ("shares", [], "counts", "shares over 1/2 of its 6 voters"),
        ("shares", None, "schemas", "shares"),
        ("voters", 5, "counts", "shares over 1/2 of its 5 voters"),
        ("voters", 12, "recipe", "from 1 to 6 voters under the recipe"),
        ("voters", 0, "recipe", "from 1 to 6 voters under the recipe"),
        ("voters", None, "schemas", "voters"),
    ],
)
def test_verify_sees_forged_votes(tree: Path, column: str, value: Any, check: str, what: str) -> None:
    def forge(suites: list[dict[str, Any]]) -> None:
        row = next(row for row in suites if row["agreement"] < 1)
        if column == "every share":
            row.update(shares=[value] * len(row["shares"]), agreement=value)
        elif column == "first share":
            row["shares"][0] = value
        else:
            row[column] = value

    rewrite(tree, "test_suites", forge)
    reseal(tree)
    found = audit(tree)
    assert any(what in one for one in found[check]), found


def test_votes_without_their_columns_are_no_release(tree: Path) -> None:
    reseal(tree, lambda manifest: manifest["counts"].pop("agreement"))
    assert any("test_suites" in one for one in audit(tree)["schemas"])


def test_verify_sees_votes_that_the_recipe_has_not(tree: Path) -> None:
    recipe = (tree / "recipe.yaml").read_text()
    assert "  vote: true\n" in recipe
    (tree / "recipe.yaml").write_text(recipe.replace("  vote: true\n", "  vote: false\n"))
    reseal(tree)
    assert any("from 1 to 0 voters under the recipe" in one for one in audit(tree)["recipe"])


def test_a_run_that_has_lost_a_vote_is_not_released(voted: Path, tmp_path: Path) -> None:
    run = shutil.copytree(voted / "run", tmp_path / "run")
    path = run / "shards" / "00000" / "votes.jsonl"
    lost, *others = path.read_text().splitlines(keepends=True)
    path.write_text("".join(others))
    with pytest.raises(RunError, match=f"lacks the vote on suite {json.loads(lost)['id']}; hold it again"):
        release(Context(run=Run.open(run)), None)


def test_suites_of_a_release_and_pulled_runs_have_no_votes(voted: Path, tmp_path: Path) -> None:
    """A release has shares, but not the responses that voted."""
    home = {"PLUM_HUB_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf")}
    run = shutil.copytree(voted / "run", tmp_path / "run")
    cli = [sys.executable, "-m", "plum_hub"]
    done = plum_hub([*cli, "push-dataset", str(run), "--repo", "voted"], **home)
    assert done.returncode == 0, done.stderr
    again = published(
        voted, "-q", "--suites", "local/voted@v1.0.0", "--repo", "again", "--set", "suites.vote=true",
        run=str(tmp_path / "again"),
    )  # fmt: skip
    del again[again.index("--instructions") : again.index("--instructions") + 2]
    done = plum_hub(again, **home)
    assert done.returncode == 0, done.stderr
    done = plum_hub([*cli, "pull", "local/voted@v1.0.0", "--run", str(tmp_path / "pulled")], **home)
    assert done.returncode == 0, done.stderr
    done = plum_hub([*cli, "push-dataset", str(tmp_path / "pulled"), "--repo", "pulled"], **home)
    assert done.returncode == 0, done.stderr
    assert Run.open(tmp_path / "pulled").recipe.suites.vote is False
    for each in ("again", "pulled"):
        tree = tmp_path / each / "release" / "dataset"
        suites = list(read_rows(config_files(tree, "test_suites")))
        assert {row["suite_id"] for row in suites} == {row["id"] for row in rows(run, "suites")}
        assert not {"voters", "shares", "agreement"} & set(suites[0])
        assert audit(tree) == {}
