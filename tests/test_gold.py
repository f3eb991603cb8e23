"""`views --gold`: labels of weak suites are compared with what better tests say of the same samples."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import plum_hub as api
from plum_hub import benchmarks
from plum_hub.answers.entry import with_alias
from plum_hub.errors import RunError, UsageError
from plum_hub.instructions.sources import InstructionsConfig
from plum_hub.pipeline.gold_tests import GoldTests, gold_of_benchmark, gold_of_rows, interface_of
from plum_hub.pipeline.gold_verdicts import judge_gold
from plum_hub.progress import Progress
from plum_hub.records import Instruction
from plum_hub.run import Run
from plum_hub.statistics import ratio_interval
from tests.benchmarks.cut import DATA, humaneval_plus, mbpp_plus, needs_data
from tests.rehearsal import plum_hub, rows

TASKS, SAMPLES = 6, 30


def text(number: int) -> str:
    return f"Write a Python function add_{number}(x) that returns x plus {number}, for every integer."


def write(path: Path, content: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


def build(folder: Path, given: list[dict[str, Any]], answers: list[dict[str, Any]]) -> Run:
    """Build a run on tests of its rows, with a scripted policy."""
    tasks, policy = write(folder / "tasks.jsonl", given), write(folder / "policy.jsonl", answers)
    done = plum_hub([
        sys.executable, "-m", "plum_hub", "build-dataset", "--model", f"scripted:{policy}", "--suites", str(tasks),
        "--run", str(folder / "run"), "--hub", "none", "-q", "--set", f"samples.per_instruction={SAMPLES}",
        "--set", "verdicts.mypy_codes=[]", "--set", "decontamination.benchmarks=[]",
        "--set", "instructions.near_duplicates=1.0",
    ], PLUM_HUB_HOME=str(folder / "home"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Run.open(folder / "run")


def better(number: int, *, name: str, **other: Any) -> dict[str, Any]:
    code = f"def {name}(x):\n    return x + {number}\n"
    tests = [f"assert {name}({x}) == {x + number}" for x in (2, 0, -7)]
    return {"text": text(number), "code": code, "test_list": tests, **other}


GOLD = [
    better(1, name="plus_one", text=f"  {text(1).upper()}\n"),  # other case and white space, another name
    better(2, name="add_2", text="Another wording of the second task.", task_id="task/2"),
    # The third is not there. The reference of the fourth fails its own tests, the fifth asks for a class.
    better(4, name="add_4", code="def add_4(x):\n    return x - 4\n"),
    {
        "text": text(5), "code": "class Adder:\n    def add(self, x):\n        return x + 5\n",
        "test_list": ["assert Adder().add(2) == 7", "assert Adder().add(0) == 5"],
    },
    better(6, name="add_6", test_list=[]),
]  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each suite has one case, which a constant passes by chance."""
    folder = tmp_path_factory.mktemp("gold")
    numbers = range(1, TASKS + 1)
    given = [
        {**better(n, name=f"add_{n}"), "test_list": [f"assert add_{n}(2) == {n + 2}"], "task_id": f"task/{n}"}
        for n in numbers
    ]
    returned = {n: (f"x + {n}", f"{n + 2}", f"x + {n + 90}") for n in numbers}
    answers = [
        {
            "contains": f"add_{n}(",
            "texts": [f"```python\ndef add_{n}(x):\n    return {one}\n```" for one in returned[n]],
        }
        for n in numbers
    ]
    run = build(folder, given, answers)
    assert len(list(run.rows(Instruction))) == TASKS
    write(folder / "gold.jsonl", GOLD)
    return folder


def bodies(built: Path, number: int) -> tuple[int, int, int]:
    """Count the samples of a task that are right, that pass its one case by chance, and that are wrong."""
    codes = [str(row["code"]) for row in rows(built / "run", "samples") if f"add_{number}(" in str(row["code"])]
    ends = [code.strip().rpartition("return ")[2] for code in codes]
    found = ends.count(f"x + {number}"), ends.count(f"{number + 2}"), ends.count(f"x + {number + 90}")
    assert sum(found) == SAMPLES
    assert all(found)
    return found


def test_labels_are_compared_with_the_verdicts_of_better_tests(built: Path) -> None:
    counts = [bodies(built, number) for number in range(1, TASKS + 1)]
    result = api.views(built / "run", rule="plum", gold=built / "gold.jsonl")
    view = result.views["plum"]
    assert view.chosen == sum(right + chance for right, chance, _ in counts)
    assert view.rejected == sum(wrong for _, _, wrong in counts)
    assert result.as_json()["gold"] == {
        "instructions": 6, "unknown": 1, "unknown_samples": SAMPLES, "samples": 2 * SAMPLES,
        "judged_now": 6,  # three programs of each task, however often they were sampled
        "left_out": {"reference_failed": 1, "other_interface": 1, "no_tests": 1},
        "file": str(built / "run" / "gold.jsonl"),
    }  # fmt: skip
    (right, chance, wrong), (right_2, chance_2, wrong_2) = counts[:2]  # the others have no gold verdict
    assert view.truth is not None
    chosen, rejected = view.truth[True], view.truth[False]
    assert chosen.right == chosen.relevant == right + right_2
    assert chosen.labelled == right + right_2 + chance + chance_2
    assert chosen.interval == ratio_interval([(right, right + chance), (right_2, right_2 + chance_2)])
    assert rejected.right == rejected.labelled == wrong + wrong_2
    assert rejected.relevant == wrong + wrong_2 + chance + chance_2  # those that pass by chance should be rejected
    assert rejected.interval == pytest.approx((0.3424, 1.0), abs=1e-4)  # Wilson's of 2 of 2
    assert rejected.recall == (wrong + wrong_2) / (wrong + wrong_2 + chance + chance_2)


def command(built: Path, *options: str) -> list[str]:
    gold = str(built / "gold.jsonl")
    return [sys.executable, "-m", "plum_hub", "views", str(built / "run"), "--gold", gold, "-q", *options]


def test_a_second_call_judges_nothing(built: Path) -> None:
    before = api.views(built / "run", rule="plum", gold=built / "gold.jsonl")
    kept = (built / "run" / "gold.jsonl").read_bytes()
    done = plum_hub(command(built, "--json"), PLUM_HUB_HOME=str(built / "home"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["gold"]["judged_now"] == 0
    assert found["views"]["plum"] == json.loads(json.dumps(before.as_json()))["views"]["plum"]
    assert (built / "run" / "gold.jsonl").read_bytes() == kept


def test_the_table_says_what_was_compared(built: Path) -> None:
    done = plum_hub(command(built), PLUM_HUB_HOME=str(built / "home"), COLUMNS="160")
    assert done.returncode == 0, done.stderr
    right, chance, _ = (sum(pair) for pair in zip(bodies(built, 1), bodies(built, 2), strict=True))
    assert f"{right} of {right + chance}, {right / (right + chance):.1%}" in done.stdout
    assert f"{2 * SAMPLES} samples of 2 of 6 instructions; " in done.stdout
    assert f"1 instructions, {SAMPLES} samples" in done.stdout
    assert "1 reference_failed" in done.stdout


def test_changed_tests_are_judged_again(built: Path, tmp_path: Path) -> None:
    api.views(built / "run", rule="plum", gold=built / "gold.jsonl")
    changed = better(1, name="plus_one", test_list=["assert plus_one(2) == 3", "assert plus_one(9) == 10"])
    result = api.views(built / "run", rule="plum", gold=write(tmp_path / "other.jsonl", [changed]))
    assert result.gold is not None
    assert (result.gold.judged_now, result.gold.unknown) == (3, 5)


def test_the_file_can_be_damaged(built: Path, tmp_path: Path) -> None:
    run = Run.open(built / "run")
    (tmp_path / "gold.jsonl").write_text('{"id": "a", "status": "passed"}\n{"id": 1\n')
    with pytest.raises(RunError, match=r"gold\.jsonl:2: is damaged; delete this line"):
        judge_gold(run, GoldTests(suites={}, unusable={}), tmp_path / "gold.jsonl", Progress())


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("broken.jsonl", '{"text": "a"}\n{"text": ', r"broken\.jsonl"),
        ("empty.jsonl", "", "has no task of"),
        ("other.jsonl", json.dumps(better(77, name="add_77")) + "\n", "has no task of"),
        ("columns.jsonl", '{"unknown": 1}\n', "has no known task column"),
        ("failing.jsonl", json.dumps(GOLD[2]) + "\n", r"judge no sample of the run \(1 reference_failed\)"),
        ("missing.jsonl", None, "there is no such file"),
    ],
    ids=["broken", "empty", "other", "columns", "failing", "missing"],
)
def test_tests_that_cannot_be_used_are_an_error_of_one_line(
    built: Path, tmp_path: Path, name: str, content: str | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=problem) as caught:
        api.views(built / "run", gold=tmp_path / name)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("--gold ")


@pytest.mark.parametrize(
    ("gold", "problem"),
    [
        ("livecodebench", "whole contest programs"),
        ("rows", "is neither a file nor a Hub dataset"),
        ("me/data@v1.0.0", "is neither a file nor a Hub dataset"),
    ],
)
def test_sources_without_tests_are_refused(built: Path, gold: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        api.views(built / "run", gold=gold)


@pytest.mark.parametrize("gold", [None, "gold.jsonl"])
def test_the_data_of_a_benchmark_is_refused_without_one(built: Path, gold: str | None) -> None:
    with pytest.raises(UsageError, match=r"--benchmark-data .*: is for a benchmark; name it with --gold"):
        api.views(built / "run", gold=gold and built / gold, benchmark_data=built)


def instruction(content: str, row: str) -> Instruction:
    return Instruction(id=f"{row}: {content[:9]}", text=content, source="s", revision="r", row=row)


def test_an_id_counts_if_one_row_has_it_and_it_is_no_number(tmp_path: Path) -> None:
    wanted = [instruction("One text of a task.", name) for name in ("a/1", "a/2", "3")]
    given = [better(n, name="f", task_id=name) for n, name in enumerate(("a/1", "a/2", "a/2", "3"), 1)]
    config = InstructionsConfig(source=str(write(tmp_path / "rows.jsonl", given)))
    assert set(gold_of_rows(config, None, wanted).suites) == {wanted[0].id}


def test_a_text_counts_before_an_id(tmp_path: Path) -> None:
    given = [better(1, name="by_id", task_id="a/1"), better(2, name="by_text", task_id="a/2")]
    config = InstructionsConfig(source=str(write(tmp_path / "rows.jsonl", given)))
    found = gold_of_rows(config, None, [one := instruction(text(2), "a/1")])
    assert [suite.entry_point for suite in found.suites[one.id]] == ["by_text"]


def test_of_rows_with_one_text_the_first_that_can_be_used_counts(tmp_path: Path) -> None:
    given = [
        {"text": text(2), "code": "public class A { }", "test_list": ["assertEquals(4, A.add(2));"]},
        better(2, name="python"), better(2, name="again"),
    ]  # fmt: skip
    config = InstructionsConfig(source=str(write(tmp_path / "rows.jsonl", given)))
    found = gold_of_rows(config, None, [one := instruction(text(2), "a/1")])
    assert not found.unusable
    assert [suite.entry_point for suite in found.suites[one.id]] == ["python"]


def test_the_interface_of_what_is_tested() -> None:
    code = "def f(x):\n    return x\n\nclass C:\n    def a(self):\n        pass\n    def _b(self):\n        pass\n"
    assert interface_of("f", code) == ("function", frozenset())
    assert interface_of("C", code) == ("class", frozenset({"a"}))
    assert interface_of("", code) == ("script", frozenset())


def test_a_second_name() -> None:
    assert with_alias("def f(): pass", "f", "g") == "def f(): pass\n\ng = f\n"
    for code, old, new in ((None, "f", "g"), ("def f(): pass", "f", "f"), ("def g(): pass", "f", "g")):
        assert with_alias(code, old, new) == code


@needs_data
def test_problems_of_benchmarks_are_found(tmp_path: Path) -> None:
    plus, mbpp = humaneval_plus(tmp_path), mbpp_plus(tmp_path)
    prompts = {problem.id: problem.text for problem in (*plus.problems(), *mbpp.problems())}
    sentence = prompts["Mbpp/2"].strip().strip('"').strip()
    fenced = instruction(f"Write this Python function:\n\n```python\n{prompts['HumanEval/0'].strip()}\n```", "x")
    words = "Check if in given list of numbers, are any two numbers closer to each other than given threshold."
    docstring, by_id = instruction(words, "y"), instruction("Something else.", "HumanEval/2")
    none, whole, worded = (
        instruction(one, row) for one, row in (("Nothing of it.", "2"), (sentence, "z"), (sentence.split("\n")[0], "w"))
    )
    found = gold_of_benchmark(plus, [fenced, docstring, by_id, none]).suites
    problems = {name: one.problem.id for name, (one,) in found.items() if one.problem is not None}
    assert problems == {fenced.id: "HumanEval/0", docstring.id: "HumanEval/0", by_id.id: "HumanEval/2"}
    assert [len(suite.parts) for (suite,) in found.values()] == [2, 2, 2]
    assert set(gold_of_benchmark(mbpp, [whole, worded, none]).suites) == {whole.id, worded.id}


@needs_data
def test_a_short_problem_is_found_without_its_examples() -> None:
    mbpp = benchmarks.load("mbpp", source=DATA)
    short = instruction("Write a function to swap two numbers.", "w")
    assert set(gold_of_benchmark(mbpp, [short]).suites) == {short.id}


@needs_data
def test_samples_are_judged_by_the_tests_of_a_benchmark(tmp_path: Path) -> None:
    """The run calls the function otherwise. Some samples are right, some pass the run's case alone, some nothing."""
    plus = humaneval_plus(tmp_path)
    (problem,) = (one for one in plus.problems() if one.id == "HumanEval/2")
    task = f"Write this Python function as its docstring says:\n\n```python\n{problem.text.strip()}\n```"
    code = "def fraction(number):\n    return number % 1.0\n"
    given = [{"instruction": task, "code": code, "test_list": ["assert fraction(3.5) == 0.5"]}]
    returned = ("number % 1.0", "0.5", "number")
    answers = [f"```python\ndef fraction(number):\n    return {body}\n```" for body in returned]
    run = build(tmp_path, given, [{"contains": "docstring", "texts": answers}])
    tests = gold_of_benchmark(plus, run.rows(Instruction))
    reports = [judge_gold(run, tests, tmp_path / "gold.jsonl", Progress()) for _ in range(2)]
    assert [(one.judged_now, one.unknown, dict(one.left_out)) for one in reports] == [(3, 0, {}), (0, 0, {})]
    assert reports[0].verdicts == reports[1].verdicts
    right = {str(row["id"]) for row in rows(tmp_path / "run", "samples") if "% 1.0" in str(row["code"])}
    assert {name for name, passed in reports[0].verdicts.items() if passed} == right
    assert len(reports[0].verdicts) == SAMPLES
