"""YAML that may come from anybody: plain data, or an error, in bounded time and memory."""

import subprocess
import sys
from datetime import date

import pytest
import yaml

from plum_hub import plain_yaml
from plum_hub import recipe as recipes
from plum_hub.errors import RecipeError
from plum_hub.hubs.front_matter import FrontMatterError, as_json, read
from tests.hubs.test_hostile import BOMB, MERGES


@pytest.mark.parametrize("text", [BOMB, MERGES, "a: &a [*a]", "a: &a {b: *a}", "x" * (plain_yaml.MOST_CHARACTERS + 1)])
def test_what_grows_without_bound_is_refused(text: str) -> None:
    with pytest.raises(plain_yaml.UnboundedYamlError):
        plain_yaml.load(text)
    with pytest.raises(RecipeError):
        recipes.compose(text, "recipe.yaml", {}, [])
    with pytest.raises(FrontMatterError):
        read(f"---\n{text}\n---\n")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['x']", "!!python/name:os.system", "!own x"])
def test_a_tag_makes_no_object(tag: str) -> None:
    with pytest.raises(yaml.YAMLError):
        plain_yaml.load(f"a: {tag}")


@pytest.mark.parametrize(
    "text", ["", "a: 1", "- &x {a: [1, 2.5, null, 2024-01-01]}\n- *x", "a: {<<: {b: 1}, c: 2}", "x", "[a, {b: c}]"]
)
def test_all_else_is_what_pyyaml_reads(text: str) -> None:
    """What it reads in a process of its own: a library of vLLM's changes its loaders."""
    pyyaml = [sys.executable, "-c", "import sys, yaml; print(repr(yaml.safe_load(sys.stdin.read())))"]
    read_there = subprocess.run(pyyaml, input=text, capture_output=True, text=True, check=True).stdout
    assert repr(plain_yaml.load(text)) == read_there.removesuffix("\n")


def test_dates_are_dates_whatever_other_libraries_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library of vLLM's has all loaders read them as texts."""
    text = yaml.SafeLoader.yaml_constructors["tag:yaml.org,2002:str"]
    monkeypatch.setitem(yaml.SafeLoader.yaml_constructors, "tag:yaml.org,2002:timestamp", text)
    assert plain_yaml.load("2024-01-01") == date(2024, 1, 1)


def test_what_json_lacks_becomes_text() -> None:
    assert as_json(plain_yaml.load("{1: .nan, 2024-01-01: [.inf, true, 3, null]}")) == {
        "1": "nan", "2024-01-01": ["inf", True, 3, None],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["a: 2024-13-01", "a: " + "9" * 5000, "[" * 5000, "{a: " * 3000, "a: 0b_"])
def test_a_value_that_is_none_is_no_yaml(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        plain_yaml.load(text)
