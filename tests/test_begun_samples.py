"""`samples.prompt: evalplus`: the policy is asked as at the test, and is trained on what it was asked and answered."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from plum_hub.answers.code import EXTRACTION
from plum_hub.engines.base import Completion
from plum_hub.engines.openai import OpenAIConfig
from plum_hub.engines.transformers import TransformersConfig
from plum_hub.engines.weights import is_whole
from plum_hub.errors import EngineError
from plum_hub.pipeline.asked import prompts_of
from plum_hub.pipeline.extraction import program_of
from plum_hub.pipeline.pull import pull
from plum_hub.pipeline.rule_views import labelled_rows
from plum_hub.pipeline.samples import policy_requests
from plum_hub.prompts.evalplus import evalplus_installed, evalplus_rules
from plum_hub.records import Instruction, Preference, Sample, TestSuite, Verdict
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.views import kto_rows
from plum_hub.run import Run
from plum_hub.training.data import read_data
from plum_hub.training.run import prepare
from tests import rehearsal
from tests.engines.tiny import make_model
from tests.rehearsal import plum_hub
from tests.test_real_model import MODEL
from tests.training import toy
from tests.training.test_training import wanted

pytestmark = pytest.mark.skipif(not evalplus_installed(), reason="needs the package evalplus: scripts/setup dev")
EVALPLUS = ("--set", "samples.prompt=evalplus")
FENCE = "\n```\n"


def build(folder: Path, *options: str) -> Path:
    """A build over three tasks, whose policy goes on after the fence where it may."""
    rehearsal.write_rehearsal(folder, 3)
    with (folder / "answers.jsonl").open("a") as file:
        for number in range(3):
            right, wrong = (
                f"def {rehearsal.name(number)}(x: int) -> int:\n\treturn x + {plus}"
                for plus in (rehearsal.addend(number), rehearsal.addend(number) + 1)
            )
            trial = f"\n\n# Test it\nassert {rehearsal.name(number)}(1) == 0"
            texts = [right + FENCE + "That is all.", wrong + trial, wrong + trial, right + "\n```"]
            row = {"contains": f'"""\n{rehearsal.task(number)}\nassert {rehearsal.name(number)}(', "texts": texts}
            file.write(json.dumps(row) + "\n")
    ended = plum_hub(rehearsal.command(folder, *EVALPLUS, *options))
    assert ended.returncode == 0, ended.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("begun"))


def test_answers_end_with_their_code_block_are_judged_without_trials_and_prompts_are_text(built: Path) -> None:
    run = Run.open(built)
    samples = list(run.rows(Sample))
    assert len(samples) == 18
    ends = {row.text.partition("return")[2].lstrip(" x+0123456789") for row in samples}
    assert ends == {FENCE, "\n```"} | {f"\n\n# Test it\nassert {rehearsal.name(n)}(1) == 0" for n in range(3)}
    assert all("That is all" not in row.text and "assert" not in (row.code or "") for row in samples)
    assert {row.status for row in run.rows(Verdict)} == {"passed", "failed"}  # no trial of its own stops a program
    assert all(row.code is not None and row.code.startswith("def ") and "```" not in row.code for row in samples)
    rows = read_data(str(built), "kto", "none").rows
    assert {row["label"] for row in rows} == {True, False}
    for row in rows:
        assert row["prompt"].endswith(f"{evalplus_rules().response}\n```python\n")
        assert evalplus_rules().instruction in row["prompt"]
        assert isinstance(row["completion"], str)


def test_a_function_that_breaks_off_does_not_become_a_shorter_one_that_is_wrong() -> None:
    suite = TestSuite(
        id="s", instruction_id="i", response_id="r", entry_point="f", starter_code="", reference="", cases=()
    )
    cut = "def f(x):\n    y = x + 1\n    return (y"
    assert program_of(cut, suite, f"{EXTRACTION}, examples removed") == f"{cut}\n"
    trial = "def f(x):\n    return x\n\nassert f(1) =="
    assert program_of(trial, suite, f"{EXTRACTION}, examples removed") == "def f(x):\n    return x\n"


def test_a_policy_that_cannot_go_on_with_an_answer_is_refused_before_anything_runs(tmp_path: Path) -> None:
    rehearsal.write_rehearsal(tmp_path, 1)
    order = rehearsal.command(tmp_path, *EVALPLUS, "--generator", f"scripted:{tmp_path / 'answers.jsonl'}")
    ended = plum_hub([*order, "--set", "policy.chat_template=false"])
    assert ended.returncode == 6
    assert "samples.prompt=auto" in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()
    with pytest.raises(EngineError, match=r"m is on a server.* samples\.prompt=auto"):
        OpenAIConfig(model="m", base_url="http://127.0.0.1:9/v1").begun_answer(
            [{"role": "assistant", "content": "So:"}]
        )


def test_the_release_of_such_a_run_is_verified(built: Path, tmp_path: Path) -> None:
    """Its prompts cannot be made again without the chat template, and that is said."""
    hub = {"PLUM_HUB_HOME": str(tmp_path / "home")}
    pushed = plum_hub(
        [sys.executable, "-m", "plum_hub", "push-dataset", str(built), "--hub", "embedded", "--repo",
         "begun", "--json"], **hub,
    )  # fmt: skip
    assert pushed.returncode == 0, pushed.stderr
    release = json.loads(pushed.stdout)
    name = f"{release['repo']}@{release['tag']}"
    checked = plum_hub([sys.executable, "-m", "plum_hub", "verify", name, "--hub", "embedded"], **hub)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "chat template applied" in checked.stdout + checked.stderr


def test_a_run_made_from_such_a_release_needs_no_tokenizer(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy may have been a folder of another machine."""
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "home"))
    order = [sys.executable, "-m", "plum_hub", "push-dataset", str(built), "--hub", "embedded", "--repo", "begun"]
    pushed = plum_hub([*order, "--json"])
    release = json.loads(pushed.stdout)
    pulled = pull(f"{release['repo']}@{release['tag']}", tmp_path / "pulled", "embedded")
    gone = TransformersConfig(model="a-folder-elsewhere", revision=f"sha256:{'0' * 64}")
    run = Run.create(tmp_path / "run", pulled.recipe.model_copy(update={"policy": gone}))
    shutil.copytree(pulled.folder / "shards", run.folder / "shards", dirs_exist_ok=True)
    expected = {row.sample_id: row.prompt for row in Run.open(built).rows(Preference)}
    labelled = {row.sample_id: row.prompt for row in labelled_rows(run, PreferencesConfig())}
    assert labelled == expected
    assert expected
    with pytest.raises(EngineError, match="no such folder here"):
        prompts_of(run, {suite.id: () for suite in run.rows(TestSuite)})(next(run.rows(TestSuite)).id)


@pytest.mark.model
@pytest.mark.skipif(not is_whole(MODEL), reason="the 0.5B model is not here: scripts/fetch-model 0.5b")
def test_the_tokens_that_are_trained_on_are_those_that_were_asked_and_answered(built: Path, tmp_path: Path) -> None:
    """With the tokenizer of the real model, by TRL's own tokenisation, for a policy of its kind and random weights.

    One answer ended at the stop string, one by itself after the fence, and one by itself before it.
    """
    from evalplus.provider.utility import make_raw_chat_prompt
    from transformers import AutoTokenizer

    from plum_hub.training.base import placeholder_model
    from plum_hub.training.trainer import TrainingJob, make_trainer, trl_config

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    policy = tmp_path / "policy"
    make_model(tokenizer, 32, 2048).save_pretrained(policy)
    tokenizer.save_pretrained(policy)
    run = Run.open(built)
    recipe = run.recipe.model_copy(update={"policy": TransformersConfig(model=str(policy), dtype="float32").pin()})
    instructions, rules = {row.id: row for row in run.rows(Instruction)}, evalplus_rules()
    kept: list[Preference] = []
    expected: dict[tuple[int, ...], list[int]] = {}
    for suite, ending in zip(run.rows(TestSuite), [FENCE, "\n```", ""], strict=True):
        (request, *_) = policy_requests(recipe, instructions[suite.instruction_id], suite)
        (case, *_) = suite.cases
        task = f'"""\n{instructions[suite.instruction_id].text}\nassert {case.call} == {case.expected}\n"""\n'
        asked = tokenizer.encode(make_raw_chat_prompt(task, rules.instruction, rules.response, tokenizer))
        assert tokenizer(request.prompt)["input_ids"] == asked  # as the engines tokenise a text
        program = f"{suite.starter_code.rstrip()}\n    return x + 1  # über\n\n\nLATER = 'naïve'"
        text, stop = (program, FENCE) if ending == FENCE else (program + ending, "")
        completion = Completion(
            id=request.id, text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, stop=stop
        )
        sample = request.keep(completion, "transformers")
        assert isinstance(sample, Sample)
        assert sample.code == program.partition("\n\n\nLATER")[0] + "\n"  # the answer keeps what is not needed
        row = Preference(
            id="1", instruction_id=suite.instruction_id, suite_id=suite.id, sample_id=sample.id, verdict_id="1",
            prompt=request.prompt, completion=sample.text, label=True,
        )  # fmt: skip
        kept += [row, replace(row, sample_id=f"{sample.id}, rejected", label=False)]
        answered = tokenizer(program + ending, add_special_tokens=False)["input_ids"]
        expected[tuple(asked)] = [*answered, tokenizer.convert_tokens_to_ids("<|im_end|>")]
    source = toy.write(tmp_path / "rows.jsonl", [dict(row) for row in kto_rows(kept)])
    ready = prepare(wanted(source, policy, tmp_path / "out", "max_length=1024", "batch_size=2"))
    job = TrainingJob(ready.request.settings, ready.plan, ready.rows, ready.weights, tmp_path / "steps")
    models = [placeholder_model(ready.tokenizer) for _ in range(2)]
    seen = make_trainer(job, trl_config(job, gpu=False), models, ready.tokenizer).train_dataset
    assert {tuple(row["prompt_ids"]) for row in seen} == set(expected)
    assert all(row["completion_ids"] == expected[tuple(row["prompt_ids"])] for row in seen)
