"""Protocols: EvalPlus' own words from its package, names on every score, and no comparison of two of them."""

import json
import sys
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from plum_hub.benchmarks import load
from plum_hub.engines.tokenizer import begun_answers
from plum_hub.engines.transformers import TransformersConfig
from plum_hub.engines.weights import is_whole
from plum_hub.evaluation.cards import eval_results, table
from plum_hub.evaluation.folder import EvaluationFolder
from plum_hub.evaluation.protocol import Protocol, own_protocol, problem_prompt, protocol_label
from plum_hub.prompts.evalplus import evalplus_installed, evalplus_rules
from plum_hub.statistics import smallest_gain
from tests.engines.tiny import make_tokenizer
from tests.rehearsal import plum_hub
from tests.test_evaluate import (
    DATA,
    FIRST,
    HUMANEVAL,
    asked,
    done,
    evaluate,
    fenced,
    half,
    model,
    problems,
    refused,
    right,
    values,
    write,
    wrong,
)
from tests.test_real_model import MODEL

with_evalplus = pytest.mark.skipif(not evalplus_installed(), reason="needs the package evalplus: scripts/setup dev")
with_plus = pytest.mark.skipif(not (DATA / "evalplus").is_dir(), reason="needs ../shared/data/evalplus")
pytestmark = pytest.mark.skipif(not HUMANEVAL.is_file(), reason="needs ../shared/data/humaneval")


@with_evalplus
def test_the_rules_are_those_of_the_package() -> None:
    from evalplus.provider.utility import EOS, extra_eos_for_direct_completion

    rules = evalplus_rules()
    assert rules.version == version("evalplus")
    assert rules.instruction.startswith("Please provide a self-contained Python script")
    assert rules.response.startswith("Below is a Python script")
    assert rules.server_form == ("\n```python\n", "\n```")
    assert rules.system == "You are a helpful assistant good at coding."
    assert rules.stop == tuple(EOS)
    assert rules.fence_stop == ("\n```\n",)
    assert rules.completion_stop["mbpp"] == tuple(extra_eos_for_direct_completion("mbpp"))
    assert rules.max_tokens == 768


@with_evalplus
def test_reading_the_rules_imports_nothing_heavy() -> None:
    code = (
        "import sys; from plum_hub.prompts.evalplus import evalplus_rules; evalplus_rules().prefilled('x');"
        "print([m for m in ('openai', 'anthropic', 'torch', 'transformers', 'datasets', 'evalplus.data')"
        " if m in sys.modules], [m for m in sys.modules if m.startswith('google.')])"
    )
    assert plum_hub([sys.executable, "-c", code]).stdout.strip() == "[] []"  # a package may declare an empty `google`


@with_evalplus
def test_another_version_of_the_package_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "evalplus").mkdir()
    for name in ("__init__", "codegen"):
        (tmp_path / "evalplus" / f"{name}.py").write_text("")
    model(tmp_path, half())
    ended = plum_hub(asked(tmp_path, "--protocol", "evalplus"), PYTHONPATH=str(tmp_path))
    assert ended.returncode == 2
    assert "evalplus==0.3.1" in ended.stderr.splitlines()[-1]


def own_text(tokenizer: Any, task: str) -> str:
    """The text that EvalPlus itself gives a local model."""
    from evalplus.provider.utility import make_raw_chat_prompt

    rules = evalplus_rules()
    return str(make_raw_chat_prompt(task.strip() + "\n", rules.instruction, rules.response, tokenizer))


@with_evalplus
@with_plus
@pytest.mark.parametrize("name", ["humaneval+", "mbpp+"])
@pytest.mark.parametrize("start", ["", "{{ bos_token }}"])
def test_a_local_model_gets_the_text_that_evalplus_gives_it(name: str, start: str, tmp_path: Path) -> None:
    """Also where the template writes a first token, which EvalPlus leaves although its engines add it again."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = make_tokenizer(["def f(): pass"], 300)
    tokenizer.chat_template = start + tokenizer.chat_template
    tokenizer.bos_token = "<|endoftext|>"
    if start:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", tokenizer.bos_token_id)]
        )
    tokenizer.save_pretrained(tmp_path)
    problems = [problem for _, problem in zip(range(3), load(name, source=DATA).problems(), strict=False)]
    protocol = Protocol(name="evalplus", prompt="prefilled")
    asked = [problem_prompt(name, problem, protocol) for problem in problems]
    conversations = [one.prompt for one in asked if not isinstance(one.prompt, str)]
    texts = begun_answers(TransformersConfig(model=str(tmp_path)), conversations, keep_start=asked[0].keep_start)
    assert texts == [own_text(tokenizer, problem.text) for problem in problems]
    assert texts[0].startswith("<|endoftext|>" if start else "<|im_start|>")
    assert {one.sampling.max_tokens for one in asked} == {768}


@with_evalplus
@with_plus
@pytest.mark.model
@pytest.mark.skipif(not is_whole(MODEL), reason="the 0.5B model is not here: scripts/fetch-model 0.5b")
def test_the_real_model_gets_the_tokens_that_evalplus_gives_it() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    for name in ("humaneval+", "mbpp+"):
        problem = next(load(name, source=DATA).problems())
        asked = problem_prompt(name, problem, Protocol(name="evalplus", prompt="prefilled"))
        assert not isinstance(asked.prompt, str)
        (text,) = begun_answers(TransformersConfig(model=str(MODEL)), [asked.prompt], keep_start=asked.keep_start)
        assert tokenizer(text)["input_ids"] == tokenizer.encode(own_text(tokenizer, problem.text))


@with_evalplus
@with_plus
def test_a_base_model_and_a_server_are_asked_as_evalplus_asks_them() -> None:
    problem = next(load("mbpp+", source=DATA).problems())
    base = problem_prompt("mbpp+", problem, Protocol(name="evalplus", prompt="completion"))
    assert base.prompt == problem.text.strip() + "\n"
    assert base.sampling.stop == (*evalplus_rules().stop, *evalplus_rules().completion_stop["mbpp"])
    server = problem_prompt("mbpp+", problem, Protocol(name="evalplus", prompt="chat"))
    assert not isinstance(server.prompt, str)
    assert [turn["role"] for turn in server.prompt] == ["system", "user"]
    assert server.prompt[1]["content"] == f"{evalplus_rules().instruction}\n```python\n{problem.text.strip()}\n```"
    assert server.sampling.stop == ()


@with_evalplus
def test_a_problem_in_words_is_put_as_a_docstring_as_in_evalplus_data() -> None:
    if not (DATA / "mbpp").is_dir():
        pytest.skip("needs ../shared/data/mbpp")
    problem = next(load("mbpp", source=DATA).problems())
    asked = problem_prompt("mbpp", problem, Protocol(name="evalplus", prompt="prefilled"))
    assert f'```\n"""\n{problem.text}\n"""\n```\n' in asked.prompt[0]["content"]  # type: ignore[index]


@with_evalplus
def test_every_score_names_its_protocol_and_two_are_not_compared(tmp_path: Path) -> None:
    model(tmp_path, half())
    named = f"evalplus {version('evalplus')}"
    first = done(asked(tmp_path, "--protocol", "evalplus"))
    assert values(first) == {"pass@1": 0.5}
    assert first["protocol"]["name"] == "evalplus"
    assert first["protocol"]["version"] == version("evalplus")
    assert {score["protocol"] for score in first["scores"]} == {named}
    run = tmp_path / "run"
    scores = [replace(score, of_problems=score.problems) for score in EvaluationFolder(run).scores().scores]
    (entry,) = yaml.safe_load(eval_results(scores)["humaneval.yaml"])
    assert f"protocol {named}" in entry["notes"]
    assert f"protocol {named}" in (run / "table.md").read_text()
    assert f"protocol {named}" in (run / "model-index.yaml").read_text()
    done(asked(tmp_path, "--protocol", "plum", run="own"))
    compare = [sys.executable, "-m", "plum_hub", "compare", str(run), str(tmp_path / "own")]
    refused(compare, 2, "humaneval", named, "plum 1", "--protocol plum")
    assert named in plum_hub([*compare[:-1], str(run)]).stdout


def test_the_default_is_that_of_the_leaderboards_where_its_package_is(tmp_path: Path) -> None:
    model(tmp_path, half())
    order = evaluate(tmp_path, "--model", f"scripted:{tmp_path / 'answers.jsonl'}", "--benchmarks", "humaneval")
    order = [one for one in order if one not in ("--protocol", "plum")]
    shown = plum_hub([*order, "--limit", "6", "--dry-run"])
    assert shown.returncode == 0, shown.stderr
    if evalplus_installed():
        assert f"evalplus {version('evalplus')}" in shown.stdout
        assert "plum-hub[eval]" not in shown.stdout
    else:
        assert "plum 1" in shown.stdout
        assert "pip install 'plum-hub[eval]'" in shown.stdout
        refused([*order, "--protocol", "evalplus"], 10, "plum-hub[eval]")


@with_evalplus
def test_an_evaluation_goes_on_under_the_protocol_that_it_began_with(tmp_path: Path) -> None:
    model(tmp_path, half())
    done(asked(tmp_path))
    order = [one for one in asked(tmp_path) if one not in ("--protocol", "plum")]
    again = plum_hub([*order, "--json"])
    found = json.loads(again.stdout)
    assert (found["protocol"]["name"], found["samples_now"]) == ("plum", 0)
    assert "--protocol evalplus" in again.stderr
    assert done(asked(tmp_path, "--protocol", "evalplus"))["samples_now"] == FIRST


def test_a_protocol_without_a_prompt_for_a_benchmark_is_refused(tmp_path: Path) -> None:
    model(tmp_path, half())
    refused(asked(tmp_path, "--protocol", "livecodebench"), 2, "humaneval")
    write(tmp_path / "samples.jsonl", [{"task_id": "HumanEval/0", "solution": "x = 1"}])
    refused(evaluate(tmp_path, "--samples", str(tmp_path / "samples.jsonl"), "--protocol", "plum"), 2, "--samples")


def test_scores_from_before_protocols_had_names_are_read_as_what_they_were(tmp_path: Path) -> None:
    model(tmp_path, half())
    done(asked(tmp_path))
    folder = EvaluationFolder(tmp_path / "run")
    before = json.loads((folder.path / "scores.json").read_text())
    for key in ("name", "version", "template"):
        del before["protocol"][key]
    for score in before["scores"]:
        del score["protocol"]
    (folder.path / "scores.json").write_text(json.dumps(before))
    read = folder.scores()
    assert protocol_label("humaneval", read.protocol) == "plum 1"
    assert protocol_label("livecodebench", read.protocol) == "livecodebench 1"
    assert "protocol" not in table(read.scores)
    assert asdict(read.scores[0])["protocol"] == ""
    done(asked(tmp_path, run="new"))
    compare = [sys.executable, "-m", "plum_hub", "compare", str(folder.path), str(tmp_path / "new")]
    assert "plum 1" in plum_hub(compare).stdout


OWN = "<!-- user -->\nSolve this, in `{{ entry_point }}`:\n{{ problem }}\n<!-- assistant -->\nSo:\n```python\n"


def test_a_prompt_of_ones_own_is_named_by_its_digest(tmp_path: Path) -> None:
    own = tmp_path / "own.md"
    own.write_text(OWN.partition("<!-- assistant")[0])
    model(tmp_path, half())
    order = [one for one in asked(tmp_path, "--prompt-file", str(own)) if one not in ("--protocol", "plum")]
    found = done(order)
    assert values(found) == {"pass@1": 0.5}
    (name,) = {score["protocol"] for score in found["scores"]}
    assert name == f"file:{own_protocol(own.read_text()).version}"
    assert found["protocol"]["template"] == own.read_text()
    done(asked(tmp_path, run="plum"))
    compare = [sys.executable, "-m", "plum_hub", "compare", str(tmp_path / "run"), str(tmp_path / "plum")]
    refused(compare, 2, name, "plum 1")
    refused([*order, "--prompt", "chat"], 2, "--prompt-file")
    refused([*order, "--protocol", "plum"], 2, "--prompt-file")
    for text, word in (("Solve it.", "{{ problem }}"), ("{{ problem }} {{ tests }}", "{{ tests }}"), (None, "own.md")):
        own.unlink() if text is None else own.write_text(text)
        refused(order, 2, "--prompt-file", word)


def test_an_answer_that_a_prompt_of_ones_own_begins_goes_on_in_its_block() -> None:
    problem = next(load("humaneval", source=HUMANEVAL).problems())
    asked = problem_prompt("humaneval", problem, own_protocol(OWN))
    assert asked.prompt == [
        {"role": "user", "content": f"Solve this, in `{problem.entry_point}`:\n{problem.text.strip()}"},
        {"role": "assistant", "content": "So:\n```python"},
    ]
    assert asked.sampling.stop == ("\n```\n",)
    assert asked.program("def f():\n    return 1", "f") == "def f():\n    return 1\n"


def test_the_smallest_gain_that_can_be_shown_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    model(tmp_path, half())
    order = [one for one in asked(tmp_path, "--dry-run", "--json") if one not in ("--limit", str(FIRST))]
    whole = json.loads(plum_hub(order).stdout)
    (gain,) = whole["smallest_gains"].values()
    assert gain == smallest_gain(164, 0.1)
    assert f"{100 * gain:.1f} points" in whole["notes"][0]
    several = json.loads(plum_hub([*order, "--n", "10"]).stdout)
    assert several["smallest_gains"]["humaneval"] < gain / 2
    few = json.loads(plum_hub(asked(tmp_path, "--limit", "3", "--dry-run", "--json")).stdout)
    assert few["smallest_gains"] == {"humaneval": None}
    assert "so few problems cannot show any gain" in few["notes"][0]


def test_a_greedy_sample_is_scored_beside_those_that_are_drawn(tmp_path: Path) -> None:
    answers = {one["entry_point"]: [fenced(right(one)), fenced(wrong(one))] for one in problems()}
    model(tmp_path, answers)
    found = done(asked(tmp_path, "--n", "4", "--temperature", "0.2", "--greedy"))
    assert values(found["greedy"]) == {"pass@1": 1.0}
    assert values(found)["pass@1"] < 1.0
    assert (found["samples_now"], found["greedy"]["samples_now"]) == (4 * FIRST, FIRST)
    assert found["greedy"]["run"] == str(tmp_path / "run" / "greedy")
    assert {score["temperature"] for score in found["scores"]} == {0.2}
    assert {score["temperature"] for score in found["greedy"]["scores"]} == {0.0}
    plan = plum_hub(asked(tmp_path, "--n", "5", "--temperature", "0.2", "--greedy", "--dry-run", "--json"))
    assert (json.loads(plan.stdout)["samples"], json.loads(plan.stdout)["requests"]) == (6 * FIRST, FIRST)
    refused(asked(tmp_path, "--greedy", run="none"), 2, "--greedy", "--n 10")
