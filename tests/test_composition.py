"""What a build says about settings that do nothing, and about suites of a dataset whose version is not named."""

from pathlib import Path

import pytest
import yaml

from plum_hub.api.composition import RecipeArguments, suites_sections
from plum_hub.errors import RecipeError, UsageError
from plum_hub.hubs.store import repo_folder
from plum_hub.recipe import Recipe
from tests.rehearsal import set_home


@pytest.mark.parametrize(
    ("suites", "settings", "words"),
    [
        ("me/weak@v1.0.0", ["suites.vote=true"], "suites.vote: no effect"),
        ("me/weak@v1.0.0", ["suites.vote=true", "suites.strengthen=3"], "suites.vote, suites.strengthen: no effect"),
        ("me/weak@v1.0.0", ["suites.strengthen=3"], "plum-hub strengthen me/weak@v1.0.0"),
        ("rows", ["suites.vote=true"], "no generator writes any"),
        ("me/weak@v1.0.0", ["suites.vote=false", "suites.strengthen=0", "suites.strength=true"], None),
        ("rows", ["suites.strengthen=3"], None),
        ("rows", ["suites.min_cases=5", "suites.max_cases=5"], "suites.min_cases: no effect"),  # the default is 5
        ("me/weak@v1.0.0", ["suites.responses=6", "suites.temperature=0"], "suites.responses, suites.temperature: no"),
        ("generate", ["suites.vote=true", "suites.strengthen=3"], None),
    ],
)
def test_settings_without_effect_are_named_in_one_line(
    tmp_path: Path, suites: str, settings: list[str], words: str | None
) -> None:
    model = f"scripted:{tmp_path / 'answers.jsonl'}"
    said: list[str] = []
    arguments = RecipeArguments(
        recipe=None, model=model, generator=model, instructions=None, suites=suites, hub="auto",
        settings=tuple(settings),
    )  # fmt: skip
    arguments.compose(tmp_path / "run", said.append)
    assert len(said) == (words is not None)
    assert (words or "") in "".join(said)
    assert "\n" not in "".join(said)


def composed(folder: Path, *settings: str, model: str = "transformers:tiny", **more: str) -> tuple[Recipe, str]:
    said: list[str] = []
    arguments = RecipeArguments(
        recipe=None, model=model, generator=more.get("generator"), instructions="starter", suites=None, hub="auto",
        settings=settings,
    )  # fmt: skip
    recipe, _ = arguments.compose(folder / "run", said.append)
    return recipe, "".join(said)


@pytest.mark.parametrize("setting", ["generator.concurrency=3", "generator.batch=true", "generator.timeout_seconds=9"])
def test_a_key_of_the_generator_names_none_and_refines_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    recipe, said = composed(tmp_path, setting)
    assert said.startswith("generator: openai:gpt-4.1-mini, because OPENAI_API_KEY is set")
    key, _, value = setting.removeprefix("generator.").partition("=")
    assert (recipe.generator.type, recipe.generator.model) == ("openai", "gpt-4.1-mini")
    assert recipe.generator.model_dump()[key] == yaml.safe_load(value)
    assert recipe.policy.type == "transformers"
    named, said = composed(tmp_path, "generator.batch_size=3", "generator=transformers:other")
    assert (named.generator.model, said) == ("other", "")


def test_a_key_of_the_generator_refines_the_policy_without_a_key_of_openai(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    recipe, said = composed(tmp_path, "generator.batch_size=3")
    assert said.startswith("generator: the policy itself")
    assert (recipe.generator.model, recipe.generator.model_dump()["batch_size"]) == ("tiny", 3)
    assert recipe.policy.model_dump()["batch_size"] != 3
    with pytest.raises(RecipeError, match=r"generator\.concurrency: a key of openai and tgi, and the generator is "):
        composed(tmp_path, "generator.concurrency=3")


def test_a_dataset_of_the_embedded_hub_needs_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_home(monkeypatch, tmp_path)
    assert suites_sections("local/weak", "auto")["suites"]["source"] == "rows"  # of the public Hub
    repo_folder(tmp_path / "home" / "hub", "dataset", "local/weak").mkdir(parents=True)
    for hub in ("auto", "embedded"):
        with pytest.raises(UsageError, match=r"name its version, as in  --suites local/weak@v1\.0\.0"):
            suites_sections("local/weak", hub)
    assert suites_sections("local/weak@v1.0.0", "auto")["suites"] == {"source": "local/weak@v1.0.0", "hub": "auto"}
    for text, hub in (("local/weak", "public"), ("local/weak:tests", "auto"), ("local/other", "auto")):
        assert suites_sections(text, hub)["suites"]["source"] == "rows"


def test_a_key_of_the_users_recipe_without_effect_is_named_and_none_of_a_shipped_one(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"policy: scripted:{tmp_path / 'answers.jsonl'}\nsuites: {{source: rows, min_cases: 2}}\n")
    for given, words in ((recipe, "suites.min_cases: no effect"), ("quickstart", "")):
        said: list[str] = []
        arguments = RecipeArguments(
            recipe=str(given), model="scripted:x", generator="scripted:x", instructions=None, suites="rows", hub="auto",
            settings=(),
        )  # fmt: skip
        arguments.compose(tmp_path / "run", said.append)
        assert "".join(said).partition(",")[0] == words


def test_tests_of_rows_are_not_put_to_other_tasks(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.jsonl", tmp_path / "other.jsonl"
    for path in (mine, other):
        path.write_text('{"task": "Write f.", "tests": ["assert f() == 1"]}\n')

    def source(suites: str, instructions: str) -> str:
        arguments = RecipeArguments(
            recipe=None, model="scripted:x", generator=None, instructions=instructions, suites=suites, hub="none",
            settings=(),
        )  # fmt: skip
        recipe, _ = arguments.compose(tmp_path / "run", lambda _: None)
        return f"{recipe.instructions.source} {recipe.suites.source}"

    for suites in (str(mine), f"{mine}:tests", str(tmp_path / "missing.jsonl")):
        with pytest.raises(UsageError, match="tests of rows belong to their own tasks"):
            source(suites, str(other))
    assert source(f"{mine}:tests", f"{mine}:task") == f"{mine}:task rows"
    assert source("rows", str(other)) == f"{other} rows"
    assert source("me/suites@v1.0.0", str(other)) == f"{other} me/suites@v1.0.0"  # of the same tasks, by their text
