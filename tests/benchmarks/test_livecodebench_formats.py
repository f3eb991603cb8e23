"""LiveCodeBench's files of generations and results: read, written, and read by its own rules."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.livecodebench.formats import GradedSample, read_outputs, write_results
from plum_hub.benchmarks.livecodebench.prompts import build_prompt, fenced_code, prompt_digests
from plum_hub.benchmarks.setup import prepend_setup
from plum_hub.errors import RunError, UsageError
from plum_hub.execution.base import CaseResult

TAGS = {"title": "T", "platform": "atcoder", "contest": "c", "date": "2025-01-15T00:00:00", "difficulty": "easy"}
PASSED, WRONG = CaseResult(outcome="passed"), CaseResult(outcome="wrong", detail="4")
SLOW, RAISED = CaseResult(outcome="timed_out", detail="over"), CaseResult(outcome="raised", detail="ValueError: x")
UNTRIED = CaseResult(outcome="not_run")


def problem(name: str, starter_code: str = "") -> Problem:
    return Problem(
        id=name, text=f"Question {name}", kind="instruction", entry_point=None, starter_code=starter_code,
        suites={}, cpu_seconds=6.0, tags=TAGS,
    )  # fmt: skip


def sample(*cases: CaseResult) -> GradedSample:
    return GradedSample(answer="```python\nprint(1)\n```", program="print(1)", cases=cases)


def written(folder: Path, graded: dict[str, list[GradedSample]]) -> tuple[Any, Any, Any]:
    write_results(folder, "Scenario.codegeneration_2_0.2", [problem(name) for name in graded], graded)
    names = ("", "_eval", "_eval_all")
    outputs, metrics, every = (
        json.loads((folder / f"Scenario.codegeneration_2_0.2{name}.json").read_text()) for name in names
    )
    return outputs, metrics, every


def test_results_are_written_as_livecodebench_writes_them(tmp_path: Path) -> None:
    graded = {"a": [sample(PASSED, PASSED), sample(PASSED, WRONG, UNTRIED)], "b": [sample(SLOW, UNTRIED), sample()]}
    outputs, (scores, results, metadata), every = written(tmp_path, graded)

    assert set(outputs[0]) == {
        "question_title", "question_content", "platform", "question_id", "contest_id", "contest_date", "starter_code",
        "difficulty", "output_list", "code_list",
    }  # fmt: skip
    assert [one["graded_list"] for one in every] == [[True, False], [False, False]]
    assert [one["pass@1"] for one in every] == [0.5, 0.0]
    assert scores == {"pass@1": 0.25, "detail": {"pass@1": {"0": 0.5, "1": 0.0}}}
    assert results == {"0": [[True, True], [True, -2]], "1": [[-3], [-4]]}
    assert [json.loads(text).get("error_code") for text in metadata[0] + metadata[1]] == [None, -2, -3, -4]
    assert [one["metadata"] for one in every] == metadata


def test_pass_at_k_is_there_for_each_k_that_has_samples(tmp_path: Path) -> None:
    _, (scores, _, _), _ = written(tmp_path, {"a": [sample(PASSED)] + [sample(RAISED)] * 9})

    assert scores["pass@1"] == pytest.approx(0.1)
    assert scores["pass@5"] == pytest.approx(0.5)
    assert scores["pass@10"] == 1.0
    assert "pass@20" not in scores


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    written(tmp_path, {"a": [sample(PASSED), sample(WRONG)], "b": [sample(SLOW), sample(PASSED)]})

    plain = read_outputs(tmp_path / "Scenario.codegeneration_2_0.2.json")
    graded = read_outputs(tmp_path / "Scenario.codegeneration_2_0.2_eval_all.json")
    assert [one.question_id for one in plain] == ["a", "b"]
    assert plain[0].programs == ("print(1)", "print(1)")
    assert plain[0].graded is None
    assert [one.graded for one in graded] == [(True, False), (False, True)]


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    with pytest.raises(RunError, match="cannot be written"):
        write_results(tmp_path / "none", "x", [problem("a")], {"a": [sample(PASSED)]})


def test_the_shortest_file_that_custom_evaluations_have_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.json.gz"
    path.write_bytes(gzip.compress(json.dumps([{"question_id": "a", "code_list": ["x", ""]}]).encode()))

    (output,) = read_outputs(path)
    assert (output.programs, output.answers) == (("x", ""), ("", ""))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[", "not JSON in UTF-8, or is truncated"),
        ('[{"question_id": "a", "code_list": ["é"]}]'.encode("latin1"), "not JSON in UTF-8"),
        ("[" * 200_000, "not JSON in UTF-8, or is truncated"),
        ("{}", "not a JSON array"),
        ('[["print(1)"]]', "element 1: is not an object, and programs are not judged by position"),
        ('[{"code_list": []}]', "element 1: question_id must be a string"),
        ('[{"question_id": true, "code_list": []}]', "question_id must be a string"),
        ('[{"question_id": "a", "output_list": ["x"]}]', "element 1: has no code_list: add the programs"),
        ('[{"question_id": "a", "code_list": [null]}]', 'code_list must be a list of strings: write "" for'),
        ('[{"question_id": "a", "code_list": ["x"], "output_list": []}]', "different lengths"),
        ('[{"question_id": "a", "code_list": ["x"], "output_list": [1]}]', "output_list must be a list of strings"),
        ('[{"question_id": "a", "code_list": ["x"], "graded_list": []}]', "different lengths"),
        ('[{"question_id": "a", "code_list": ["x"], "graded_list": [1]}]', "graded_list a list of true and false"),
        ('[{"question_id": "a", "code_list": []}, {"question_id": "a", "code_list": []}]', "element 2: .* duplicate"),
    ],
)
def test_damaged_generations_are_named(tmp_path: Path, content: str | bytes, reason: str) -> None:
    path = tmp_path / "outputs.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(UsageError, match=reason) as caught:
        read_outputs(path)
    assert str(path) in str(caught.value)


def test_generations_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_outputs(tmp_path / "none.json")


def test_prompts_are_livecodebenchs_to_the_letter() -> None:
    starter = "class Solution:\n    def f(self, a: int) -> int:\n        "
    system, user = build_prompt(problem("a", starter), "chat")

    assert system["content"].startswith("You are an expert Python programmer. ")
    assert user["content"] == (
        "### Question:\nQuestion a\n\n### Format: You will use the following starter code to write the solution to the "
        f"problem and enclose your code within delimiters.\n```python\n{starter}\n```\n\n"
        "### Answer: (use the provided format with backticks)\n\n"
    )
    _, qwen = build_prompt(problem("a"), "qwen")
    assert qwen["content"].startswith("\nYou will be given a question ")
    assert qwen["content"].endswith("\n```python\n# YOUR CODE HERE\n```\n\n")
    base = build_prompt(problem("a"), "base")
    assert isinstance(base, str)
    assert base.endswith("### Question\nQuestion a\n\n### Answer\n\n")
    assert (
        len({prompt_digests(problem("a", code), kind) for code in ("", starter) for kind in ("chat", "qwen", "base")})
        == 6
    )


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("Here:\n```python\na = 1\nb = 2\n```\nDone.", "a = 1\nb = 2"),
        ("```\nfirst\n```\nor\n```python\nlast\n```", "last"),
        ("```python\nnever closed", ""),
        ("print(1)", ""),
        ("", ""),
    ],
)
def test_programs_are_found_as_livecodebench_finds_them(answer: str, program: str) -> None:
    assert fenced_code(answer) == program


FUTURE = "from __future__ import annotations"


@pytest.mark.parametrize(
    ("code", "begins", "holds"),
    [
        ("print(1)\n", "import sys\n", "print(1)\n"),
        (f"{FUTURE}\nx: Nothing = 1\n", FUTURE, "x: Nothing = 1"),
        (f'"""Text\nin lines."""\n{FUTURE}; y = "é"\n', FUTURE, 'pass; y = "é"'),
        ("from __future__ import (\n    annotations,\n    division,\n)\nx: Nothing = 1", FUTURE, "x: Nothing = 1"),
        ("text = 'from __future__ import x'\n", "import sys\n", "text = "),
        ("def (", "import sys\n", "def ("),
    ],
)
def test_setup_stands_before_a_program_that_it_does_not_break(code: str, begins: str, holds: str) -> None:
    whole = prepend_setup("import sys\n", code)

    assert whole.startswith(begins)
    assert holds in whole
    assert "import sys\n" in whole
    assert whole.count("annotations") == code.count("annotations")
    if code != "def (":
        exec(compile(whole, "program", "exec", dont_inherit=True), {})  # our own text


def test_without_setup_a_program_stays_as_it_is() -> None:
    assert prepend_setup("", f"{FUTURE}\n") == f"{FUTURE}\n"
