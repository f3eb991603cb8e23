"""The analysis of `scripts/label-truth`: from raw verdicts to precision and recall of the labels."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.rehearsal import plum_hub, rows

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "docs" / "results" / "label-truth"
UNSEEN = ROOT / "docs" / "results" / "label-truth-unseen"
EVALPLUS = ROOT.parent / "shared" / "data" / "evalplus"


def suite(problem: str, made_by: str = "best", **evidence: Any) -> dict[str, Any]:
    known = {"cases": 4, "self_consistent": 1, "voters": 1, "mutation_score": 1.0, "accepts_gold": True}
    return {
        "id": f"{made_by}-{problem}", "problem": problem, "made_by": made_by, "statement_coverage": 1.0,
        "branch_coverage": None, **known, **evidence,
    }  # fmt: skip


def sample(problem: str, number: int, status: str, *, gold: bool) -> dict[str, Any]:
    cases = {"passed": "1111", "failed": "1000"}.get(status, "")
    return {
        "id": f"{problem}-{number}", "problem": problem, "finish_reason": "stop", "form": f"{number}",
        "verdicts": {"best": [status, cases]}, "gold": gold,
    }  # fmt: skip


def written(folder: Path, suites: list[dict[str, Any]], samples: list[dict[str, Any]]) -> Path:
    for name, content in (("suites", suites), ("samples", samples)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in content))
    return folder


def tables(results: Path, unseen: Path | None = None) -> list[dict[tuple[str, str], list[str]]]:
    """Run the script; return its two tables, with the cells of each row by rule and part of the problems."""
    folders = ["--results", results, "--unseen", unseen or results / "none"]
    script = [sys.executable, ROOT / "scripts" / "label_truth.py", "table", *folders]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    found = []
    for part in done.stdout.split("\n\n"):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if "|" in line]
        if rows:
            found.append({(row[0], row[1]): row[2:] for row in rows[2:]})
    return found


def table(results: Path) -> dict[tuple[str, str], list[str]]:
    return tables(results)[0]


def of_both_halves(tmp_path: Path, **evidence: Any) -> Path:
    """60 problems: in each, three samples pass the suite, one wrongly; a right and a wrong sample fail it."""
    problems = [f"HumanEval/{number}" for number in range(60)]
    samples = [
        row
        for problem in problems
        for row in (
            *(sample(problem, number, "passed", gold=number > 0) for number in range(3)),
            sample(problem, 3, "failed", gold=True),
            sample(problem, 4, "failed", gold=False),
            sample(problem, 5, "syntax_error", gold=False),
        )
    ]
    weak = [suite(problem, **(evidence if number % 2 else {})) for number, problem in enumerate(problems)]
    return written(tmp_path, weak, samples)


def test_precision_and_recall_are_those_of_the_gold_tests(tmp_path: Path) -> None:
    found = table(of_both_halves(tmp_path))
    halves = [found["plum (the paper's)", letter] for letter in "AB"]
    assert sum(int(row[0]) for row in halves) == 60
    for row in halves:
        problems = int(row[0])
        assert row == [row[0], f"{3 * problems}", "66.7%", "66.7%", f"{2 * problems}", "50.0%", "33.3%"]
    assert found["view non-executable", "A"][5] == "100.0%"  # what does not execute is wrong


def test_weak_suites_are_left_out_and_counted_as_lost(tmp_path: Path) -> None:
    found = table(of_both_halves(tmp_path, mutation_score=0.4))
    halves = [found["mutation score >= 0.8", letter] for letter in "AB"]
    assert sum(int(row[0]) for row in halves) == 30
    assert sum(int(row[1]) for row in halves) == 90
    assert all(float(row[3].rstrip("%")) < 66.7 for row in halves)  # recall is of all right samples


def test_the_tuned_rule_keeps_most_at_the_goal(tmp_path: Path) -> None:
    """Samples of suites with two voters are all right; the others' chosen ones are wrong."""
    problems = [f"Mbpp/{number}" for number in range(300)]
    suites = [suite(problem, voters=2 - number % 2) for number, problem in enumerate(problems)]
    samples = [sample(one["problem"], 0, "passed", gold=one["voters"] == 2) for one in suites]
    found, gains = tables(written(tmp_path, suites, samples))
    (tuned,) = {rule for rule, _ in found if rule.startswith("tuned on A")}
    assert tuned == "tuned on A: voters >= 2"
    assert found[tuned, "B"][2] == "100.0%"
    precision, gain = gains[tuned, "both"]
    assert precision == "100.0% (100.0% to 100.0%)"
    points, low, high = (float(one) for one in gain.replace("(", "").replace(")", "").replace(" to", "").split())
    assert points == 50.0  # half of the problems have one voter
    assert 43 < low < 46 and 54 < high < 57  # 1.96 standard errors of a share of 300: 5.7 points
    assert gains["plum (the paper's)", "both"][1] == "+0.0 (+0.0 to +0.0)"


def test_unseen_problems_are_judged_by_rules_that_were_tuned_without_them(tmp_path: Path) -> None:
    """Problems of one voter are right among the unseen ones, and wrong among those that rules are tuned on."""
    folders = [tmp_path / "seen", tmp_path / "unseen"]
    for folder, right_voters in zip(folders, (2, 1), strict=True):
        folder.mkdir()
        suites = [suite(f"Mbpp/{number}", voters=2 - number % 2) for number in range(300)]
        samples = [sample(one["problem"], 0, "passed", gold=one["voters"] == right_voters) for one in suites]
        written(folder, suites, samples)
    found, gains = tables(*folders)
    assert found["tuned on A: voters >= 2", "B"][2] == "100.0%"
    assert found["tuned on A: voters >= 2", "unseen"][2] == "0.0%"
    assert found["plum (the paper's)", "unseen"][:3] == ["300", "300", "50.0%"]
    assert gains["plum (the paper's)", "both"][0] == gains["plum (the paper's)", "unseen"][0]


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="no raw verdicts in docs/results/label-truth")
def test_the_published_table_is_that_of_the_published_verdicts() -> None:
    page = (ROOT / "docs" / "explanation" / "label-truth.md").read_text()
    shown = {line.strip() for line in page.splitlines() if line.startswith("|")}
    for found in tables(PUBLISHED, UNSEEN):
        assert len(found) > 15
        for (rule, half), cells in found.items():
            assert f"| {rule} | {half} | {' | '.join(cells)} |" in shown


ADD = """### Starter code
```python
def add(x: int, y: int) -> int:
    pass
```

### Solution
```python
def add(x: int, y: int) -> int:
    return x + y
```

### Tests
```python
assert add(2, 2) == 4
assert add(0, 0) == 0
assert add(7, 7) == 14
```
"""


@pytest.mark.skipif(not EVALPLUS.is_dir(), reason="needs ../shared/data/evalplus")
def test_raw_verdicts_are_those_of_each_suite_and_of_the_gold_tests(tmp_path: Path) -> None:
    """A suite that adds numbers to themselves kills all mutants and lets doubling pass; further inputs do not."""
    with gzip.open(EVALPLUS / "HumanEvalPlus.jsonl.gz", "rt") as lines:
        problem = next(row for row in map(json.loads, lines) if row["task_id"] == "HumanEval/53")
    task = f"Write this Python function as its docstring says:\n\n```python\n{problem['prompt'].strip()}\n```"
    bodies = ["return x + y", "return x * 2", "return 1"]
    answers = [f"```python\ndef add(x: int, y: int) -> int:\n    {body}\n```" for body in bodies]
    script = [{"contains": f"Task:\n{task}", "texts": [ADD]}, {"contains": task, "texts": answers}]
    for name, content in (("answers", script), ("instructions", [{"instruction": task}])):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in content))
    settings = ["suites.responses=1", "samples.per_instruction=6", "decontamination.benchmarks=[]"]
    built = plum_hub(
        [
            sys.executable, "-m", "plum_hub", "build-dataset", "--model", f"scripted:{tmp_path / 'answers.jsonl'}",
            "--instructions", str(tmp_path / "instructions.jsonl"), "--run", str(tmp_path / "truth" / "part-1" / "run"),
            "--hub", "none", *(word for one in settings for word in ("--set", one)),
        ]
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    script_path = ROOT / "scripts" / "label_truth.py"
    places = [str(tmp_path / "truth"), "--data", str(EVALPLUS), "--results", str(tmp_path)]
    subprocess.run([sys.executable, script_path, "gold", *places], check=True)
    found = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    texts = {str(row["id"]): str(row["text"]) for row in rows(tmp_path / "truth" / "part-1" / "run", "samples")}
    by_body = {texts[row["id"]].split("    ")[1].partition("\n")[0]: row for row in found}
    judged = [by_body[body] for body in bodies]
    right, weak = [True, False, False], [True, True, False]
    assert [row["gold"] for row in judged] == right
    assert {name: [row["verdicts"][name][0] == "passed" for row in judged] for name in judged[0]["verdicts"]} == {
        "best": weak, "vote": weak, "best+5": weak, "best+60": right, "vote+60": right, "best+5 by samples": right,
    }  # fmt: skip
    assert len({row["form"] for row in judged}) == len(bodies)
    suites = [json.loads(line) for line in (tmp_path / "suites.jsonl").read_text().splitlines()]
    assert {one["made_by"] for one in suites} == judged[0]["verdicts"].keys()
    assert all(one["accepts_gold"] for one in suites)
