"""The recipe: layers, messages, sealing, what of it is published."""

import json
from pathlib import Path

import pytest
import yaml

from plum_hub import recipe as recipes
from plum_hub import recipes as shipped
from plum_hub.errors import RecipeError
from plum_hub.pipeline.build import default_folder
from plum_hub.pipeline.samples import policy_requests
from plum_hub.pipeline.suites import generator_requests
from plum_hub.recipe import Recipe, compose, differences, key_paths, parse
from plum_hub.records import Instruction, TestCase, TestSuite

ENGINE = {"type": "openai", "model": "m"}
BASE = {"policy": ENGINE, "generator": ENGINE}


def test_later_layers_win() -> None:
    text = "samples: {per_instruction: 5, temperature: 0.5}\ninstructions: {source: starter, limit: 9}"
    made = compose(text, "file", {**BASE, "instructions": {"source": "mine.jsonl"}}, ["samples.temperature=0.25"])
    assert (made.samples.per_instruction, made.samples.temperature) == (5, 0.25)
    assert (made.instructions.source, made.instructions.limit) == ("mine.jsonl", 9)


def test_a_named_engine_replaces_the_files_engine_whole() -> None:
    text = "policy: {type: vllm, model: old, max_num_seqs: 3}\ngenerator: {type: vllm, model: old}"
    made = compose(text, "file", {"policy": ENGINE}, [])
    assert (made.policy.type, made.policy.model) == ("openai", "m")
    assert made.generator.model == "old"


def test_a_setting_reaches_into_an_engine() -> None:
    made = compose(None, "options", BASE, ["policy.concurrency=3"])
    assert made.policy.model_dump()["concurrency"] == 3
    with pytest.raises(RecipeError, match=r"policy\.concurency: no such key, policy\.concurrency perhaps"):
        compose(None, "options", BASE, ["policy.concurency=3"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a list", "mapping"),
        ("", "file: is empty; a recipe is a mapping"),
        ("samples:3", "file: has no keys; a recipe is a mapping: write one `KEY: VALUE` a line, with a space"),
        ("a: [", "not YAML"),
        ("samples:\n\tseed: 1", r"not YAML \(line 2, column 1: a tab; indent with spaces\)"),
        ("samples: seed: 1", "not YAML .line 1, column 14: a second `: ` in this line; put the text in quotes"),
        ("samples.seed: 1", r"samples\.seed: in a file .* below it: write  samples: {seed: VALUE}"),
        ("instruction: {limit: 3}", "instruction: no such key, instructions perhaps"),
        ("instructions: {limit: '1,000'}", "valid integer, as 10, with no comma, unit or word in it .it is '1,000'"),
        ("samples: {temperature: warm}", "valid number, as 0.5, with no comma"),
        ("samples: {per_instruction: 0}", "samples.per_instruction"),
        ("sample: {}", "sample: no such key"),
        (
            "samples: {per_instructions: 3}",
            r"samples.per_instructions: no such key, samples.per_instruction perhaps; docs",
        ),
        ("samples: {zzz: 3}", "samples.zzz: no such key; docs/reference/recipe.md lists the keys"),
        ("version: 2", "version"),
        ("samples: {seed: 1, seed: 2}", "the key 'seed' stands twice, the second time in line 1; leave one out"),
        ("samples: {seed: 1}\nsuites: {}\nsamples: {}", "the key 'samples' stands twice, the second time in line 3"),
        ("instructions: {splits: test}", r"instructions.splits: must be a list, as in  \[test\]"),
        ("suites: {min_cases: 6}", "suites"),
        (
            "instructions: {revision: 0123}",
            r"instructions.revision: must be text, and YAML reads a number: put it",
        ),
        (
            "instructions: {revision: 2024-01-01}",
            r"must be .* a date: .* with --set as in  '\"0123\"'",
        ),
        ("instructions: {splits: [on]}", r"instructions.splits.0: must be text, and YAML reads true or false: put it"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        compose(text, "file", BASE, [])


def test_quotes_make_a_text_of_digits() -> None:
    assert compose("samples: {}", "file", BASE, ['instructions.revision="0123"']).instructions.revision == "0123"


def test_an_engine_may_be_written_as_on_the_command_line() -> None:
    made = parse("policy: openai:m@http://localhost/v1\ngenerator: {concurrency: 3}", "file")
    assert (made.policy.type, made.policy.model) == ("openai", "m")
    assert (made.generator.model, made.generator.model_dump()["concurrency"]) == ("m", 3)
    for text, said in (
        ("{type: nope, model: m}", "policy: its `type` must be one of vllm, transformers, openai, tgi, scripted"),
        ("{model: m}", "policy: its `type` must be one of"),
        ("'scripted:'", "scripted:: the model is missing"),
    ):
        with pytest.raises(RecipeError, match=said):
            parse(f"policy: {text}", "file")


def test_the_generator_is_the_policy_where_nothing_else_is_said() -> None:
    made = compose(None, "options", {"policy": ENGINE}, ["policy.concurrency=3"])
    assert made.generator == made.policy
    assert compose(None, "options", BASE, ["policy.concurrency=3"]).generator != made.policy


def test_where_a_server_is_stays_private() -> None:
    engine = {**ENGINE, "base_url": "http://10.0.0.7:8000/v1"}
    assert "10.0.0.7" not in compose(None, "options", {"policy": engine}, []).public().to_yaml()


def test_where_a_hub_is_stays_private() -> None:
    suites = {"source": "me/plum@v1.0.0", "hub": "https://hub.intranet"}
    made = compose(None, "options", {"policy": ENGINE, "suites": suites}, [])
    assert made.suites.hub == "https://hub.intranet"
    assert made.public().suites.hub == "auto"
    embedded = compose(None, "options", {"policy": ENGINE, "suites": {**suites, "hub": "embedded"}}, [])
    assert embedded.public().suites.hub == "embedded"


def test_a_key_in_an_address_is_refused_and_not_shown() -> None:
    engine = {**ENGINE, "base_url": "http://me:hunter2@10.0.0.7/v1"}
    with pytest.raises(RecipeError, match="api_key_env") as caught:
        compose(None, "options", {"policy": engine}, [])
    assert "hunter2" not in str(caught.value)


def test_a_policy_is_needed() -> None:
    with pytest.raises(RecipeError, match="policy: this key is required"):
        parse("samples: {seed: 1}", "file")


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_recipes_are_whole(name: str) -> None:
    text = shipped.text(name)
    assert text is not None
    made = compose(text, name, BASE, []).filled()
    assert made.suites.responses == (6 if name == "evol-instruct-code" else 3)
    assert recipes.parse(made.to_yaml(), name) == made


def test_the_papers_numbers_fill_what_is_open() -> None:
    evol = compose(None, "options", {**BASE, "instructions": {"source": "evol-instruct-code"}}, []).filled()
    assert (evol.suites.responses, evol.samples.per_instruction) == (6, 50)
    chosen = compose(None, "options", BASE, ["samples.per_instruction=7"]).filled()
    assert (chosen.suites.responses, chosen.samples.per_instruction) == (3, 7)


def test_differences_name_the_keys() -> None:
    one = compose(None, "options", BASE, [])
    other = compose(None, "options", BASE, ["samples.seed=1", "policy.model=n"])
    assert differences(one, other) == ["policy.model: m -> n", "samples.seed: 0 -> 1"]


def test_a_run_of_before_a_section_came_to_be_is_found_again() -> None:
    made = compose(None, "options", BASE, []).filled()
    tree = yaml.safe_load(made.to_yaml())
    del tree["decontamination"]
    assert differences(parse(yaml.safe_dump(tree), "an older run"), made) == []


def test_a_published_recipe_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('{"texts": ["x"]}\n')
    (tmp_path / "tasks.jsonl").write_text('{"instruction": "Write a function that adds."}\n')
    engine = {"type": "scripted", "model": str(tmp_path / "answers.jsonl")}
    base = {"policy": engine, "generator": engine, "instructions": {"source": str(tmp_path / "tasks.jsonl")}}
    made = compose(None, "options", base, []).pinned("sha256:1")
    assert str(tmp_path) not in made.public().to_yaml()
    assert made.public().policy.revision == made.policy.revision


@pytest.mark.parametrize(
    ("source", "revision", "published"),
    [
        ("KodCode/KodCode-V1:question", "a" * 40, "KodCode/KodCode-V1:question"),
        ("bigcode/self-oss@main:instruction", "a" * 40, "bigcode/self-oss@main:instruction"),
        ("some/tasks@refs/pr/1", "a" * 40, "some/tasks@refs/pr/1"),
        ("me/plum-starter@v1.0.0", None, "me/plum-starter@v1.0.0"),
        ("hf://datasets/some/tasks/data/a.jsonl", "a" * 40, "hf://datasets/some/tasks/data/a.jsonl"),
        ("data/tasks.jsonl", "sha256:0123456789abcdef", "tasks.jsonl"),
        ("secret/tasks.jsonl:question", "sha256:0123456789abcdef", "tasks.jsonl:question"),
        ("/secret/tasks.jsonl", None, "tasks.jsonl"),
        ("~/secret/tasks.jsonl", None, "tasks.jsonl"),
        ("starter", "sha256:0123456789abcdef", "starter"),
    ],
)
def test_only_the_path_of_a_published_source_is_shortened(source: str, revision: str | None, published: str) -> None:
    made = compose(None, "options", {**BASE, "instructions": {"source": source, "revision": revision}}, [])
    assert made.public().instructions.source == published


@pytest.mark.parametrize(
    ("suites", "source", "folder"),
    [
        ("generate", "data/people.jsonl", "runs/people-m"),
        ("rows", "data/people.jsonl", "runs/people-m"),
        ("rows", "some/prices:tests", "runs/prices-m"),
        ("me/plum-prices@v1.0.0", "me/plum-prices@v1.0.0", "runs/prices-v1.0.0-m"),
    ],
)
def test_a_run_is_named_after_what_its_rows_are_made_of(suites: str, source: str, folder: str) -> None:
    base = {**BASE, "instructions": {"source": source}, "suites": {"source": suites}}
    assert default_folder(compose(None, "options", base, [])) == Path(folder)


def test_a_recipe_is_frozen() -> None:
    made: Recipe = compose(None, "options", BASE, [])
    with pytest.raises(ValueError, match="frozen"):
        made.samples.seed = 2  # type: ignore[misc]


def test_what_auto_stood_for_when_a_run_was_sealed_stays() -> None:
    mine = compose("{}", "file", BASE, [])
    sealed = compose("{}", "file", BASE, ["verdicts.sandbox=landlock"])
    assert mine.verdicts.sandbox == "auto"
    assert differences(sealed, mine.adopting(sealed)) == []
    other = compose("{}", "file", BASE, ["verdicts.sandbox=jail"])
    assert differences(sealed, other.adopting(sealed)) == ["verdicts.sandbox: landlock -> jail"]


# For every key of the two sections whose rows a model makes, another value than the default, and whose answers the key
# changes: rows that were made under one value are never taken for those of another (law 4).
ANSWERS_OF: dict[str, tuple[object, str]] = {
    "suites.source": ("rows", ""),
    "suites.column": ("tests", ""),
    "suites.revision": ("main", ""),
    "suites.hub": ("public", ""),
    "suites.responses": (5, ""),
    "suites.min_cases": (2, ""),
    "suites.max_cases": (6, ""),
    "suites.roles": (True, "generator"),
    "suites.structured": (True, "generator"),
    "suites.strength": (True, ""),
    "suites.min_strength": (0.5, ""),
    "suites.vote": (True, ""),
    "suites.strengthen": (5, ""),
    "suites.strengthen_by": ("inputs", ""),
    "suites.temperature": (0.1, "generator"),
    "suites.top_p": (0.5, "generator"),
    "suites.max_tokens": (99, "generator"),
    "suites.seed": (7, "generator"),
    "samples.per_instruction": (5, ""),
    "samples.temperature": (0.1, "policy"),
    "samples.top_p": (0.5, "policy"),
    "samples.max_tokens": (99, "policy"),
    "samples.seed": (7, "policy"),
    "samples.prompt": ("completion", "policy"),
}


def first_ids(*settings: str) -> dict[str, str]:
    """The ids of the first response and the first sample of a task under a recipe."""
    fixed = ("samples.prompt=chat", "suites.responses=3", "samples.per_instruction=3", *settings)
    recipe = compose(None, "options", {"policy": "scripted:x", "generator": "scripted:x"}, fixed)
    task = Instruction(id="i", text="Write a function that doubles a number.", source="starter", revision="", row="1")
    case = TestCase(kind="call", call="double(1)", expected="2")
    suite = TestSuite(
        id="s", instruction_id="i", response_id="r", entry_point="double", starter_code="", reference="", cases=(case,)
    )
    return {
        "generator": next(generator_requests(recipe, task)).id,
        "policy": next(policy_requests(recipe, task, suite)).id,
    }


def test_a_key_that_changes_what_a_model_is_asked_makes_new_rows_and_no_other_does() -> None:
    assert {key for key in key_paths() if key.startswith(("suites.", "samples."))} == set(ANSWERS_OF)
    usual = first_ids()
    for key, (value, whose) in ANSWERS_OF.items():
        changed = {name for name, one in first_ids(f"{key}={json.dumps(value)}").items() if one != usual[name]}
        assert changed == ({whose} if whose else set()), key


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("samples: {per_instruction: yes}", "samples.per_instruction: .*valid integer.*'true'"),
        ("samples: {temperature: on}", "samples.temperature: .*valid number.*'true'"),
        ("suites: {min_strength: false}", "suites.min_strength: .*valid number"),
        ("budget: {minutes: true}", "budget.minutes: .*valid number"),
        ("instructions: {limit: yes}", "instructions.limit: .*valid integer"),
        ("preferences: {max_per_label: yes}", "preferences.max_per_label: .*valid integer"),
        ("policy: {type: openai, model: m, concurrency: yes}", "policy.concurrency: .*valid integer"),
        ("decontamination: off", "decontamination: is a section"),
        ("samples: 3", "samples: is a section"),
    ],
)
def test_a_word_is_no_number_and_a_value_no_section(text: str, words: str) -> None:
    layers = {key: value for key, value in BASE.items() if not text.startswith(key)}
    with pytest.raises(RecipeError, match=words):
        compose(text, "file", layers, [])


def test_a_truth_value_is_one_where_one_is_wanted() -> None:
    made = compose("suites: {vote: yes, structured: true}\ninstructions: {python_only: off}", "file", BASE, [])
    assert (made.suites.vote, made.suites.structured, made.instructions.python_only) == (True, True, False)


def test_a_section_without_a_key_is_one_that_is_left_out() -> None:
    assert compose("samples:\n  # per_instruction: 3\nbudget:\n", "file", BASE, []) == compose(None, "", BASE, [])


@pytest.mark.parametrize("setting", ["samples.seed=", "samples.seed= ", "instructions.limit="])
def test_a_setting_without_a_value_is_refused(setting: str) -> None:
    with pytest.raises(RecipeError, match=r"has no value; give one, or  --set \S+=null"):
        compose(None, "options", BASE, [setting])


def test_a_key_that_stands_twice_in_a_setting_is_refused_as_in_a_file() -> None:
    with pytest.raises(RecipeError, match="leave one out"):
        compose(None, "options", BASE, ["samples={per_instruction: 3, per_instruction: 4}"])
