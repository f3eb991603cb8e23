"""The README cannot drift: every command's real help, every recipe key and every exit code are in it."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from plum_hub import recipe
from plum_hub.cli import cli

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def commands(group: click.Group = cli, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [prefix]
    for name, command in group.commands.items():
        found += commands(command, (*prefix, name)) if isinstance(command, click.Group) else [(*prefix, name)]
    return found


def help_of(command: tuple[str, ...]) -> str:
    done = CliRunner().invoke(cli, [*command, "--help"], prog_name="plum-hub", terminal_width=100)
    assert done.exit_code == 0
    return done.output.strip()


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_is_in_the_readme(command: tuple[str, ...]) -> None:
    assert help_of(command) in README, f"scripts/readme writes the help of {command} into README.md"


def test_every_recipe_key_is_in_the_readme() -> None:
    assert [key for key in recipe.key_paths() if f"`{key}`" not in README] == []


def test_every_engine_key_is_in_the_readme() -> None:
    engines = recipe.engine_keys()
    assert set(engines) == {"vllm", "transformers", "openai", "tgi", "scripted"}
    for engine, keys in engines.items():
        assert [key for key in keys if f"| {engine} | `{key}` |" not in README] == []


def test_the_readme_names_no_command_that_is_not_there() -> None:
    known = {command[0] for command in commands() if command}
    named = set(re.findall(r"plum-hub ([a-z][a-z-]+)", README)) - {"is"}
    assert named <= known, named - known


def test_every_error_and_its_code_is_in_the_readme() -> None:
    from plum_hub import errors

    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.PlumError) and kind is not errors.PlumError:
            assert re.search(rf"\| {kind.exit_code} \| `{kind.__name__}`", README), kind
