"""Experiments as data: every shipped one is whole, pinned and buildable; layers, short forms and messages."""

import json
import os
import re
import subprocess
import sys
import termios
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from plum_hub.api.experiments import estimate_experiment, list_experiments, run_experiment
from plum_hub.cli import cli
from plum_hub.errors import RecipeError, RunError, UsageError
from plum_hub.experiments import shipped
from plum_hub.experiments.estimate import estimate
from plum_hub.experiments.folder import ExperimentFolder
from plum_hub.experiments.recipe import Experiment, compose, parse
from plum_hub.recipes.published import published
from plum_hub.records import Preference, Sample
from plum_hub.run import Run
from tests.rehearsal import addend, name, program, rows, task, write_rehearsal

NAMES = shipped.names()


def experiment(of: str, *settings: str) -> Experiment:
    return compose(shipped.text(of) or "", of, {}, settings)


@pytest.mark.parametrize("of", NAMES)
def test_every_shipped_experiment_is_whole(of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = experiment(of)
    assert parse(found.to_yaml(), "again") == found
    raw = yaml.safe_load(shipped.text(of) or "")
    if "extends" in raw:
        raw = {**raw, "data": {**yaml.safe_load(shipped.text(raw["extends"]) or "")["data"], **raw["data"]}}
    for section in ("policy", "instructions"):  # a revision is stated, or said to be sealed when a run begins
        revision = raw["data"][section]["revision"]
        assert revision is None or re.fullmatch(r"[0-9a-f]{40}", revision), section
    assert found.costs.parameters


def test_every_row_of_the_paper_has_its_experiment() -> None:
    for table in published().tables[1:]:
        for row in table.rows:
            assert row.recipe in NAMES
            found = experiment(row.recipe)
            assert (found.data.instructions.source, row.recipe.rpartition("/")[2]) == (row.data, row.policy)
            trained = {one.method for one in found.training.methods}
            assert trained == {*row.results} - {"baseline"}
            lcb = found.evaluation.benchmarks == ("livecodebench",)
            assert lcb == (table.id == "table4")
    for figure in published().figures:
        for recipe in figure.recipes:
            assert [one.rejected for one in experiment(recipe).training.methods] == [None, "non_executable"]
    named = {row.recipe for table in published().tables[1:] for row in table.rows}
    named |= {recipe for figure in published().figures for recipe in figure.recipes}
    assert {one for one in NAMES if one.startswith("paper/")} == named
    assert {row.policy for table in published().tables for row in table.rows} - {None} == {*shipped.policies()}


def test_the_papers_numbers_of_samples_are_in_the_recipes() -> None:
    for of in NAMES:
        filled = experiment(of).data.filled()
        evol = "evol" in filled.instructions.source
        assert (filled.suites.responses, filled.samples.per_instruction) == ((6, 50) if evol else (3, 20))


def write_gold(folder: Path) -> None:
    """Rows with tests of their own, as MBPP's."""
    lines = [
        {
            "task_id": 600 + number,
            "text": f"Write a Python function `{name(number)}` that gives the integer x plus {addend(number)}.",
            "code": f"def {name(number)}(x):\n    return x + {addend(number)}",
            "test_list": [f"assert {name(number)}({x}) == {x + addend(number)}" for x in (0, 5, -1)],
        }
        for number in range(3)
    ]
    (folder / "gold.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    answers = [
        {"contains": contains, "texts": [program(number, f"return x + {addend(number) + wrong}") for wrong in (0, 1)]}
        for number in range(3)
        for contains in (f"`{name(number)}`", f"{task(number)}\nassert ")  # the second is asked as at the test
    ]
    with (folder / "answers.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in answers)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rehearsal")
    write_rehearsal(folder, 3)
    write_gold(folder)
    return folder


def distinct() -> list[str]:
    """One experiment for each kind of data: those that differ in their policy alone are one when a script plays it."""
    kinds: dict[str, str] = {}
    for of in NAMES:
        found = experiment(of, "policy=scripted:x", "generator=scripted:x")
        kinds.setdefault(f"{found.data}, {found.training}", of)
    return [*kinds.values()]


@pytest.mark.parametrize("of", distinct())
def test_every_shipped_experiment_builds(of: str, rehearsal: Path) -> None:
    given = experiment(of).data.suites.source == "rows"
    script = f"scripted:{rehearsal / 'answers.jsonl'}"
    result = run_experiment(
        of, model=script, generator=script, hub="none", until="data", run=rehearsal / of.replace("/", "-"),
        instructions=str(rehearsal / ("gold.jsonl" if given else "tasks.jsonl")),
        settings={
            "instructions.near_duplicates": 1.0, "decontamination.benchmarks": [], "verdicts.mypy_codes": [],
            "samples.per_instruction": 6, "suites.responses": 4,
        },
    )  # fmt: skip
    rules = {one.rejected or "failing" for one in experiment(of).training.methods}
    assert {one.rejected for one in result.record.datasets} == rules
    for one in result.record.datasets:
        assert one.instructions >= 2
        assert one.chosen
        assert one.rejected_samples
        assert {row["kind"] for suite in rows(result.run / one.folder, "suites") for row in suite["cases"]} == {"call"}  # type: ignore[attr-defined]
    assert Run.open(result.run / "data").recipe.instructions.limit == (None if given else 1000)


def test_layers_and_short_forms() -> None:
    text = "extends: headline/generated\ntraining: {methods: [kto], settings: {epochs: 2}}\nrounds: 2"
    found = compose(
        text, "mine", {"data": {"policy": "transformers:tiny"}}, ["beta=0.2", "samples.seed=7", "held_out=0.5"]
    )
    assert (found.data.policy.type, found.data.policy.revision) == ("transformers", None)
    assert found.data.generator.model.endswith("1.5B-Instruct")
    assert (found.data.samples.seed, found.rounds, found.held_out) == (7, 2, 0.5)
    settings = found.training.settings_of(found.training.methods[0])
    assert (settings.epochs, settings.beta, settings.weights, settings.merge) == (2, 0.2, "lora", True)
    other = experiment("headline/given", "data.instructions.source=mine.jsonl")
    assert other.data.instructions.revision is None  # it was that of another source
    kept = experiment("headline/given", "instructions.limit=3")
    assert kept.data.instructions.revision == experiment("headline/given").data.instructions.revision


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.methods=[kto, kto]", "two methods have one name"),
        ("training.methods=[ppo]", "training.methods.0.method"),
        ("training.methods=[{method: kto, name: base}]", "cannot name a model"),
        ("epoch=2", "epoch: no such key"),
        ("training.settings.epoch=2", "epoch: no such key"),
        ("training.settings.desirable_weight=2", "for kto"),
        ("evaluation.benchmark=x", "evaluation.benchmark: no such key, evaluation.benchmarks perhaps; docs"),
        ("evaluation.benchmarks=mbpp", "evaluation.benchmarks: must be a list, as in  [mbpp]"),
        ("training.methods=kto", "training.methods: must be a list, as in  [kto]"),
        ("evaluation.benchmarks=[mmlu]", "evaluation.benchmarks.0"),
        ("release.model=one", "put {name} into it"),
        ("rounds=2", "rounds above 1 take one method"),
        ("samples.per_instruction=0", "samples.per_instruction"),
        ("method=kto", "method: no such key"),
        ("evaluation.since=soon", "evaluation.since: 'soon': write a date as 2024-08-01"),
        (
            "evaluation.until=20240801",
            "evaluation.until: must be text, and YAML reads a number: put it in double quotes",
        ),
        ("evaluation.until='20240801'", "evaluation.until: '20240801': write a date as 2024-08-01"),
        ("evaluation.since=2024-08-01 10:00:00", "write a date as 2024-08-01"),
        ("costs.teraflops=.inf", "costs.teraflops: Input should be a finite number"),
        ("samples.temperature=.nan", "samples.temperature: Input should be a finite number"),
        ("training.settings.memory_gb=.inf", "training.settings.memory_gb.float: Input should be a finite number"),
    ],
)
def test_what_is_wrong_is_named(setting: str, words: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(words)) as caught:
        experiment("headline/generated", setting)
    assert "\n" not in str(caught.value)


def test_dates_are_read_as_yaml_writes_them() -> None:
    found = experiment(
        next(one for one in NAMES if "table4" in one), "evaluation.since=2023-09-01", "evaluation.until='2024-01-01'"
    )
    assert (found.evaluation.since, found.evaluation.until) == ("2023-09-01", "2024-01-01")
    assert parse(found.to_yaml(), "again") == found
    plain = compose(found.to_yaml().replace("'2023-09-01'", "2023-09-01"), "mine.yaml", {})
    assert plain == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extends: nobody", "there is no shipped experiment nobody"),
        ("extends: headline/given", "extend headline/generated"),
        ("data: 3", "is a mapping of recipe keys"),
        ("training: {methods: []}", "policy: this key is required"),
    ],
)
def test_a_file_that_is_wrong(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(words)):
        compose(text, "mine.yaml", {})


def test_the_list_names_tables() -> None:
    found = {one.name: one for one in list_experiments().experiments}
    assert tuple(found) == NAMES
    assert found["paper/table6/magicoder-ds-6.7b"].table == "table6"
    assert found["paper/figure3/magicoder-ds-6.7b"].table == "figure3"
    done = CliRunner().invoke(cli, ["run", "--list"], catch_exceptions=False)
    assert [line.split()[0] for line in done.output.splitlines()[1:]] == [*NAMES]


@pytest.mark.parametrize("benchmarks", [["mbpp", "mbpp+"], ["mbpp+", "mbpp"]], ids="+".join)
def test_the_order_of_benchmarks_does_not_change_what_is_asked(rehearsal: Path, benchmarks: list[str]) -> None:
    found = estimate_experiment(
        "paper/table2/starcoder2-7b", instructions=str(rehearsal / "tasks.jsonl"),
        settings={"evaluation.benchmarks": benchmarks},
    )  # fmt: skip
    assert next(work.requests for work in found.works if work.phase == "evaluation") == 2 * 974


def test_a_dry_run_counts_the_samples_of_every_round(rehearsal: Path) -> None:
    once, thrice = (
        estimate_experiment(
            "headline/generated", instructions=str(rehearsal / "tasks.jsonl"), rounds=rounds,
            settings={
                "training.methods": ["kto"], "held_out": 0.25, "samples.per_instruction": 20,
                "instructions.near_duplicates": 1.0,
            },
        )
        for rounds in (1, 3)
    )  # fmt: skip
    (samples,) = (work for work in once.works if work.work == "samples")
    kto = next(work for work in once.works if work.work == "kto")
    named = {work.work: work for work in thrice.works}
    for number in (1, 2, 3):
        assert named[f"samples, round {number}"].requests == samples.requests * 0.75
        assert named[f"kto, round {number}"].requests == kto.requests * 0.75
    assert named["samples, held out, 4 models"].requests == samples.requests
    sampled = [work.completion_tokens for name, work in named.items() if name.startswith("samples")]
    assert sum(sampled) == pytest.approx(samples.completion_tokens * 3.25, abs=4)


def test_a_plan_rests_on_the_samples_and_labels_that_there_are(rehearsal: Path, tmp_path: Path) -> None:
    """Once the samples were made, it planned with usual lengths and shares again."""
    script = f"scripted:{rehearsal / 'answers.jsonl'}"
    settings = {
        "instructions.near_duplicates": 1.0, "decontamination.benchmarks": [], "verdicts.mypy_codes": [],
        "samples.per_instruction": 6, "suites.responses": 4, "training.methods": ["sft", "dpo", "kto"],
    }  # fmt: skip
    built = run_experiment(
        "headline/generated", model=script, generator=script, hub="none", until="data", run=tmp_path,
        instructions=str(rehearsal / "tasks.jsonl"), settings=settings,
    )  # fmt: skip
    run = Run.open(built.run / "data")
    samples, labels = [*run.rows(Sample)], [*run.rows(Preference)]
    tokens = sum(one.completion_tokens for one in samples) / len(samples)
    chosen, rejected = (Counter(one.suite_id for one in labels if one.label is label) for label in (True, False))
    rows = {
        "sft": chosen.total(), "kto": len(labels), "dpo": sum(min(chosen[suite], rejected[suite]) for suite in chosen),
    }  # fmt: skip
    assert 0 < rows["dpo"] < rows["kto"]
    plan = experiment("headline/generated", "samples.per_instruction=6", "training.methods=[sft,dpo,kto]")
    found = estimate(plan, "x", run, "training")
    works = {work.work: work for work in found.works}
    assert works["samples"].requests == 0
    for method, count in rows.items():
        assert works[method].requests == count
        assert works[method].completion_tokens == round(count * (1 + (method == "dpo")) * tokens)
    assert f"{chosen.total() / len(samples):.0%} of the samples are chosen, as those that there are" in "".join(
        found.assumptions
    )


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_no_figure_of_a_plan_is_cut_off(rehearsal: Path, tmp_path: Path, columns: int) -> None:
    """On a terminal of 80 columns it said `3,246,0…`."""
    arguments = ["run", "paper/table5/starcoder2-7b", "--dry-run", "--run", str(tmp_path / "run")]
    arguments += ["--instructions", str(rehearsal / "tasks.jsonl"), "--set", "instructions.near_duplicates=1.0"]
    plan = json.loads(CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False).stdout)
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    shown = b""
    with subprocess.Popen([sys.executable, "-m", "plum_hub", *arguments], stdout=theirs, env=environment):
        os.close(theirs)
        with suppress(OSError):  # at its end
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= columns
    for work in plan["works"]:
        for key in ("requests", "prompt_tokens", "completion_tokens"):
            assert re.search(rf"(?<![\d,]){work[key]:,}(?![\d,])", text), (work["work"], key)


def test_no_answer_is_planned_longer_than_it_may_be(rehearsal: Path) -> None:
    found = estimate_experiment(
        "headline/generated", instructions=str(rehearsal / "tasks.jsonl"), method="sft",
        settings={"samples.max_tokens": 20, "suites.max_tokens": 30, "evaluation.max_tokens": 16},
    )  # fmt: skip
    most = {"responses": 30, "samples": 20, "sft": 20}
    for work in found.works:
        assert work.completion_tokens == work.requests * most.get(work.work, 16)


def test_a_dry_run_ends_where_the_run_would(rehearsal: Path, tmp_path: Path) -> None:
    given = {"instructions": str(rehearsal / "tasks.jsonl"), "method": "kto"}
    phases = [
        {work.phase for work in estimate_experiment("headline/generated", until=until, **given).works}
        for until in ("data", "training", "evaluation", "release")
    ]
    every = {"data", "training", "evaluation"}
    assert phases == [{"data"}, {"data", "training"}, every, every]
    arguments = {"rounds": 2, "held_out": 0.4, "run": tmp_path / "run", **given}
    begun = experiment("headline/generated", "training.methods=[kto]", "rounds=2", "held_out=0.4")
    ExperimentFolder(tmp_path / "run").seal(begun, begun.data)
    assert estimate_experiment("headline/generated", **arguments).works
    with pytest.raises(RunError, match=r"held_out: 0\.4 -> 0\.3"):
        estimate_experiment("headline/generated", **{**arguments, "held_out": 0.3})
    with pytest.raises(UsageError, match=r"--until data: with 2 rounds .* end with --until training"):
        estimate_experiment("headline/generated", until="data", **arguments)


@pytest.mark.parametrize(
    ("before", "after", "free"), [(1, 2, False), (2, 1, False), (2, 3, True), (3, 2, True)], ids=str
)
def test_rounds_are_free_as_long_as_there_are_several(tmp_path: Path, before: int, after: int, free: bool) -> None:
    """Another number began a second experiment in the same folder."""
    begun, again = (
        experiment("headline/generated", "training.methods=[kto]", f"rounds={rounds}") for rounds in (before, after)
    )
    folder = ExperimentFolder(tmp_path)
    folder.seal(begun, begun.data)
    if free:
        folder.check(again)
        return
    with pytest.raises(RunError, match=f"other keys .rounds: {before} -> {after}.;"):
        folder.check(again)


def test_a_dry_run_counts_tokens_hours_and_money(
    rehearsal: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path))
    found = estimate_experiment(
        "paper/table6/magicoder-ds-6.7b", instructions=str(rehearsal / "tasks.jsonl"), run=tmp_path / "run",
        settings={"costs.usd_per_gpu_hour": 2.0, "costs.tokens_per_second": 1000, "instructions.near_duplicates": 1.0},
    )  # fmt: skip
    assert (found.instructions, [work.work for work in found.works[:4]]) == (3, ["responses", "samples", "dpo", "kto"])
    responses, samples, dpo, kto = found.works[:4]
    assert (responses.requests, samples.requests) == (9, 40)  # two suites of three expected
    assert responses.usd == pytest.approx(
        (responses.prompt_tokens * 10 + responses.completion_tokens * 30) / 1e6, abs=1e-4
    )
    assert samples.gpu_hours == pytest.approx(samples.completion_tokens / 1000 / 3600, abs=1e-3)
    assert (dpo.requests, kto.requests) == (18, 36)
    assert found.works[4].requests == 3 * (164 + 378)
    assert found.gpu_usd == pytest.approx(2 * (found.gpu_hours or 0), abs=0.01)
    assert found.server_usd == round(responses.usd or 0, 2)
    assert not (tmp_path / "run").exists()
    arguments = ["run", "paper/table2/starcoder2-7b", "--dry-run", "--instructions", str(rehearsal / "tasks.jsonl")]
    shown = CliRunner().invoke(cli, arguments, catch_exceptions=False).output
    assert "set costs.usd_per_gpu_hour" in shown
    assert "gpt-4-1106-preview" in shown
