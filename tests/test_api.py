"""The Python API: the functions of `plum_hub`, with real parts (scripted engine, sandbox, embedded Hub)."""

import ast
import dataclasses
import inspect
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import plum_hub
from plum_hub.cli import cli
from plum_hub.errors import HubError, RecipeError, RunError, TrainingError, UsageError
from plum_hub.publishing.repository import PublishOptions
from tests.engines.tiny import write_tiny_model
from tests.rehearsal import write_rehearsal
from tests.training import toy

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "docs" / "examples"
HUMANEVAL = ROOT.parent / "shared" / "data" / "humaneval" / "HumanEval.jsonl.gz"
SETTINGS = {
    "instructions.near_duplicates": 1.0, "samples.per_instruction": 6, "suites.responses": 4,
    "decontamination.benchmarks": [], "verdicts.mypy_codes": [],
}  # fmt: skip


class Recorder(plum_hub.Progress):
    """Keeps the stages that it is told of."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def begin(self, stage: str, total: int, done: int) -> None:  # noqa: ARG002
        self.stages.append(stage)


@dataclasses.dataclass(frozen=True)
class Built:
    """A build that was published to an embedded Hub."""

    arguments: dict[str, Any]
    result: plum_hub.BuildResult
    stages: list[str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("api")
    write_rehearsal(folder, tasks=3)
    arguments = {
        "model": f"scripted:{folder / 'answers.jsonl'}", "instructions": str(folder / "tasks.jsonl"),
        "settings": SETTINGS, "run": folder / "run", "hub": "embedded", "repo": "numbers",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLUM_HUB_HOME", str(folder / "home"))
        patch.setenv("HF_HOME", str(folder / "hf"))
        patch.delenv("OPENAI_API_KEY", raising=False)
        progress = Recorder()
        result = plum_hub.build_dataset(**arguments, progress=progress)
        yield Built(arguments, result, progress.stages)


def test_a_build_is_published_and_typed(built: Built) -> None:
    result = built.result
    assert result.run == built.arguments["run"]
    assert (result.status.rows["instructions"], result.status.rows["responses"]) == (3, 12)
    assert result.status.chosen + result.status.rejected == result.status.rows["preferences"] > 0
    assert (result.release.repo, result.release.tag, result.release.hub) == ("local/numbers", "v1.0.0", "embedded")
    assert {"instructions", "responses", "suites", "samples", "verdicts", "preferences", "release"} <= {*built.stages}
    assert json.loads(json.dumps(result.as_json()))["release"]["tag"] == "v1.0.0"
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.run = Path("elsewhere")  # type: ignore[misc]


def test_the_same_call_makes_nothing_new(built: Built, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [f"{key}={json.dumps(value)}" for key, value in SETTINGS.items()]  # the same settings, as lines
    again = plum_hub.build_dataset(**{**built.arguments, "settings": lines})
    assert again.release.commit == built.result.release.commit
    assert again.status == built.result.status
    assert capfd.readouterr() == ("", "")  # None is silent, and logged
    assert "preferences: " in (again.run / "logs" / "002.log").read_text()


def test_an_estimate_counts_what_is_owed(built: Built, tmp_path: Path) -> None:
    arguments = {key: built.arguments[key] for key in ("model", "instructions", "settings")}
    fresh = plum_hub.estimate_build(**arguments, run=tmp_path / "run")
    assert (fresh.steps[0].stage, fresh.steps[0].requests) == ("responses", 12)
    done = plum_hub.estimate_build(**arguments, run=built.result.run)
    assert [step.requests for step in done.steps] == [0, 0]
    assert not (tmp_path / "run").exists()


def test_a_recipe_may_be_an_object(built: Built, tmp_path: Path) -> None:
    recipe = plum_hub.Recipe.model_validate(
        {"policy": {"type": "scripted", "model": "a"}, "generator": {"type": "scripted", "model": "b"},
         "instructions": {"source": built.arguments["instructions"]}, "suites": {"responses": 5}}
    )  # fmt: skip
    estimate = plum_hub.estimate_build(recipe=recipe, run=tmp_path / "run")
    assert estimate.steps[0].requests == 3 * 5
    assert [step.engine for step in estimate.steps] == ["scripted:b", "scripted:a"]


def test_what_a_build_refuses(built: Built, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model given"):
        plum_hub.build_dataset(instructions="starter", run=tmp_path / "run")
    with pytest.raises(RunError, match=r"samples\.per_instruction: 6 -> 7"):
        plum_hub.build_dataset(**{**built.arguments, "settings": {**SETTINGS, "samples.per_instruction": 7}})
    with pytest.raises(RecipeError, match="no shipped recipe has this name"):
        plum_hub.build_dataset(model="scripted:a", recipe="nowhere")
    with pytest.raises(UsageError, match="--hub none publishes nothing"):
        plum_hub.build_dataset(**{**built.arguments, "hub": "none"})
    assert all(issubclass(one, plum_hub.PlumError) for one in (UsageError, RunError, RecipeError))


def test_a_run_is_pushed_loaded_and_verified(built: Built) -> None:
    released = plum_hub.push_dataset(built.result.run, repo="again", hub="embedded")
    assert (released.repo, released.tag) == ("local/again", "v1.0.0")
    rows = plum_hub.load("local/again", "kto", "v1.0.0", hub="embedded")
    assert sum(rows["label"]) == built.result.status.chosen
    report = plum_hub.verify("local/again@v1.0.0", hub="embedded", commit=released.commit)
    assert report.agrees
    assert report.differing == 0
    other = plum_hub.verify("local/again@v1.0.0", hub="embedded", commit="0" * 40, sample=1, seed=3)
    assert not other.agrees
    assert [one.check for one in other.findings.listed] == ["tag"]
    written = plum_hub.push_dataset(built.result.run, hub="none")
    assert (written.repo, Path(written.folder).is_dir()) == (None, True)


def test_what_publishing_and_verifying_refuse(built: Built) -> None:
    with pytest.raises(UsageError, match="not a name that a Hub accepts"):
        plum_hub.push_dataset(built.result.run, repo="a//b", hub="embedded")
    with pytest.raises(UsageError, match="not a name that git accepts"):
        PublishOptions(hub="embedded", tag="v1..0")
    with pytest.raises(HubError, match="unknown hub"):
        plum_hub.push_dataset(built.result.run, hub="nowhere")
    with pytest.raises(UsageError, match="write it as REPO@TAG"):
        plum_hub.verify("local/again")
    with pytest.raises(UsageError, match="--seed draws the samples"):
        plum_hub.verify("local/again@v1.0.0", seed=1)


def test_the_examples_of_estimates_are_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "home"))  # which remembers how fast engines were here
    whole = plum_hub.estimate_experiment("paper/table2/codeqwen1.5-7b-chat", instructions="starter")
    assert str((whole.tokens, whole.gpu_hours, whole.server_usd)) in str(plum_hub.estimate_experiment.__doc__)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    found = plum_hub.estimate_build(model="openai:gpt-4.1-mini", recipe="starter")
    assert str([(step.stage, step.requests, step.usd) for step in found.steps]) in str(plum_hub.estimate_build.__doc__)


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_programs_are_judged(tmp_path: Path) -> None:
    suites = write(
        tmp_path / "suites.jsonl", {"instruction_id": "i", "entry_point": "f", "cases": ["assert f(1) == 2"]}
    )
    programs = {"right": "def f(x):\n    return x + 1\n", "wrong": "def f(x):\n    return x\n", "none": None}
    samples = write(
        tmp_path / "samples.jsonl",
        *({"sample_id": name, "instruction_id": "i", "code": code} for name, code in programs.items()),
    )
    out = tmp_path / "verdicts.jsonl"
    result = plum_hub.judge(samples, suites=suites, out=out, workers=1)
    assert result.statuses == {"passed": 1, "failed": 1, "no_code": 1}
    assert (result.out, result.samples, result.judged_now) == (out, 3, 3)
    assert result.harness.limits.cpu_seconds == 5
    again = plum_hub.judge(str(samples), suites=str(suites), out=str(out))
    assert (again.judged_now, again.per_second, dict(again.statuses)) == (0, None, dict(result.statuses))
    with pytest.raises(UsageError, match="--cpu-limit -1"):
        plum_hub.judge(samples, suites=suites, out=out, cpu_limit=-1)


@pytest.mark.skipif(not HUMANEVAL.is_file(), reason="needs ../shared/data/humaneval")
def test_programs_are_scored(tmp_path: Path) -> None:
    solution = (
        "def has_close_elements(numbers, threshold):\n    n = sorted(numbers)\n"
        "    return any(b - a < threshold for a, b in zip(n, n[1:]))\n"
    )
    samples = write(
        tmp_path / "samples.jsonl", {"task_id": "HumanEval/0", "completion": solution, "solution": solution}
    )
    results = plum_hub.evaluate(
        samples=samples, benchmarks=["humaneval"], data=HUMANEVAL, run=tmp_path / "run", limit=1, partial=True
    )
    assert results.folder == tmp_path / "run"
    assert [(score.benchmark, score.metric, score.value) for score in results.scores][:1] == [
        ("humaneval", "pass@1", 1.0)
    ]
    assert (results.fresh_verdicts, (tmp_path / "run" / "scores.json").is_file()) == (1, True)
    answers = write(tmp_path / "answers.jsonl", {"texts": ["```python\npass\n```"]})
    estimate = plum_hub.estimate_evaluation(
        model=f"scripted:{answers}", benchmarks="humaneval", data=HUMANEVAL, run=tmp_path / "other", n=3, limit=2
    )
    assert (estimate.problems, estimate.requests) == ({"humaneval": 2}, 6)


def test_what_an_evaluation_refuses() -> None:
    with pytest.raises(UsageError, match="and not both"):
        plum_hub.evaluate()
    with pytest.raises(UsageError, match="--n with --temperature 0"):
        plum_hub.evaluate(model="scripted:a", n=2, temperature=0)
    with pytest.raises(UsageError, match="write a date as"):
        plum_hub.evaluate(model="scripted:a", since="yesterday")
    with pytest.raises(UsageError, match="--max-tokens 1"):
        plum_hub.evaluate(model="scripted:a", max_tokens=1)


@pytest.mark.filterwarnings("default")
def test_a_model_is_trained_and_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl")
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "home"))
    write_tiny_model(tmp_path / "tiny")
    source = toy.write(tmp_path / "rows.jsonl", toy.rows(prompts=6, each=4))
    arguments = {
        "source": source, "model": str(tmp_path / "tiny"), "out": tmp_path / "out",
        "settings": {"accumulation": 1, "lora_rank": 4, "precision": "fp32", "max_length": 128, "learning_rate": 1e-5},
    }  # fmt: skip
    found = plum_hub.preflight(**arguments)
    assert (found.preflight.same_prompt_rate, found.preflight.single_label_rate) == (0, 0)
    assert not (tmp_path / "out").exists()
    progress = Recorder()
    result = plum_hub.train(**arguments, progress=progress)
    assert (result.checkpoint, result.method, result.chosen, result.rejected) == (tmp_path / "out", "kto", 12, 12)
    assert result.steps == len(toy.metrics(tmp_path / "out")) > 0
    assert result.record.settings.learning_rate == 1e-5
    assert progress.stages == ["training"]
    assert plum_hub.train(**arguments).record == result.record  # it is finished
    released = plum_hub.push_model(result.checkpoint, repo="tiny-kto", hub="embedded")
    assert (released.repo, released.tag) == ("local/tiny-kto", "v1.0.0")
    assert plum_hub.verify("local/tiny-kto@v1.0.0", hub="embedded", kind="model").agrees
    with pytest.raises(TrainingError, match="there is no such key"):
        plum_hub.train(source, settings={"epoch": 2})
    with pytest.raises(TrainingError, match=r"no training\.json"):
        plum_hub.push_model(tmp_path / "tiny", hub="embedded")


def test_rounds_refuse_a_model_that_cannot_be_trained(built: Built, tmp_path: Path) -> None:
    arguments = {key: built.arguments[key] for key in ("model", "instructions", "settings")}
    with pytest.raises(UsageError, match="cannot be trained here"):
        plum_hub.run_rounds(**arguments, run=tmp_path / "rounds", hub="none")


COMMANDS: dict[str, Callable[..., Any]] = {
    "build-dataset": plum_hub.build_dataset,
    "push-dataset": plum_hub.push_dataset,
    "judge": plum_hub.judge,
    "evaluate": plum_hub.evaluate,
    "train": plum_hub.train,
    "push-model": plum_hub.push_model,
    "strengthen": plum_hub.strengthen,
    "verify": plum_hub.verify,
    "views": plum_hub.views,
}
SCREEN_ONLY = {"as_json", "quiet", "dry_run", "preflight"}
"""Options that are not arguments: they decide about the screen, or stand for functions of their own."""


def _words(parameter: click.Parameter) -> list[str]:
    return ["word"] if isinstance(parameter, click.Argument) else [parameter.opts[0], "word"]


@pytest.mark.parametrize("name", COMMANDS)
def test_arguments_are_the_options_of_the_command(name: str) -> None:
    command = cli.commands[name]
    parameters = inspect.signature(COMMANDS[name]).parameters.keys() - {"progress"} - SCREEN_ONLY
    options = [parameter for parameter in command.params if parameter.name not in SCREEN_ONLY]
    assert {option.name for option in options} == parameters
    needed = {option.name for option in options if option.required}
    words = [word for option in options if option.required for word in _words(option)]
    given = command.make_context(name, words, help_option_names=["-h", "--help"]).params  # as the group sets it
    for key in parameters:
        default = inspect.signature(COMMANDS[name]).parameters[key].default
        assert default == (inspect.Parameter.empty if key in needed else given[key]), key
    documented = inspect.getdoc(COMMANDS[name]) or ""
    everything = inspect.signature(COMMANDS[name]).parameters
    assert [key for key in everything if f"\n    {key}: " not in documented] == []
    assert all(f"\n{section}:\n" in documented for section in ("Args", "Returns", "Raises", "Example"))


def test_run_has_the_arguments_of_both_of_its_functions() -> None:
    functions = (plum_hub.run_rounds, plum_hub.run_experiment)
    parameters = {key for one in functions for key in inspect.signature(one).parameters} - {"progress"}
    options = {parameter.name for parameter in cli.commands["run"].params} - SCREEN_ONLY
    assert options - {"experiment", "listing"} == parameters
    for one in functions:
        documented = inspect.getdoc(one) or ""
        assert [key for key in inspect.signature(one).parameters if f"\n    {key}: " not in documented] == []
        assert all(f"\n{section}:\n" in documented for section in ("Args", "Returns", "Raises", "Example"))


def test_names_are_there_and_visible_to_type_checkers() -> None:
    tree = ast.parse(Path(plum_hub.__file__).read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        (node.module, alias.name)
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {name for _, name in typed} | {"__version__"} == {*plum_hub.__all__} <= {*dir(plum_hub)}
    for module, name in typed:
        assert getattr(plum_hub, name).__module__ == module, name  # the lazy import finds what type checkers see
    assert (Path(plum_hub.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        plum_hub.nothing  # noqa: B018


def test_importing_imports_nothing() -> None:
    code = "import sys, plum_hub\nprint([name for name in sys.modules if name.startswith(('plum_hub.', 'pydantic'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["build_dataset", "judge", "evaluate", "train", "push_model", "load", "verify"])
def test_a_function_imports_nothing_heavy_before_it_is_called(name: str) -> None:
    heavy = "torch transformers datasets vllm trl huggingface_hub pyarrow matplotlib rich click"
    code = f"import sys\nfrom plum_hub import {name}\nprint(sorted(set({heavy!r}.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


RUN_NOTEBOOK = """
import ast, json, sys
shown, namespace = [], {}
for source in json.load(open(sys.argv[1])):
    *body, last = ast.parse(source).body
    exec(compile(ast.Module(body, []), "cell", "exec"), namespace)
    shown.append(repr(eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)))
print(json.dumps(shown))
"""


def test_the_notebook_runs_and_shows_what_it_says(tmp_path: Path) -> None:
    notebook = json.loads((EXAMPLES / "quickstart.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert sum(len(cell["source"]) for cell in cells) <= 16
    shutil.copy(EXAMPLES / "answers.jsonl", tmp_path)
    sources = tmp_path / "cells.json"
    sources.write_text(json.dumps(["".join(cell["source"]) for cell in cells]))
    environment = {**toy.environment(HF_HUB_OFFLINE="0"), "PLUM_HUB_HOME": str(tmp_path / "home")}
    environment |= {"HF_HOME": str(tmp_path / "hf")}
    for name in ("OPENAI_API_KEY", "HF_TOKEN"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", RUN_NOTEBOOK, str(sources)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        "".join(output["data"]["text/plain"]) for cell in cells for output in cell["outputs"]
    ]


def every_error(kind: type[plum_hub.PlumError] = plum_hub.PlumError) -> Iterator[type[plum_hub.PlumError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from every_error(one)


def test_every_error_travels_between_processes() -> None:
    import plum_hub.errors

    kinds = [kind for kind in every_error() if kind.__module__ == "plum_hub.errors"]
    assert len(kinds) > 15
    for kind in kinds:
        words = ["what happened"] if kind.__init__ is plum_hub.PlumError.__init__ else ["what", "extra"]
        error = kind(*words)
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.exit_code) == (kind, str(error), kind.exit_code)
