"""The README cannot drift: every command's real help, every recipe key and every exit code are in it."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from plum_hub import recipe
from plum_hub.cli import cli
from plum_hub.cli.help import SectionedGroup

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


@pytest.mark.parametrize("width", [80, 100])
def test_no_summary_of_a_command_is_cut_off(width: int) -> None:
    done = CliRunner().invoke(cli, ["--help"], prog_name="plum-hub", terminal_width=width)
    lines = done.output.splitlines()
    assert not [line for line in lines if line.endswith("...")]
    for name, command in cli.commands.items():
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert line.endswith(command.short_help or ""), line
        assert command.short_help is not None, name


def test_every_command_is_in_exactly_one_group() -> None:
    assert isinstance(cli, SectionedGroup)
    grouped = [name for names in cli.sections.values() for name in names]
    assert sorted(grouped) == sorted(cli.commands)
    assert {"Build", "Judge and evaluate", "Train", "Publish", "Check", "Hub"} <= {*cli.sections}


@pytest.mark.parametrize("command", ["build-dataset", "evaluate", "train", "judge", "run", "push-model", "verify"])
def test_long_commands_have_their_options_under_headings(command: str) -> None:
    shown = help_of((command,))
    headings = re.findall(r"^([A-Z][a-z ]+):$", shown, re.MULTILINE)
    assert len(headings) > 2, headings
    assert "Options" not in headings  # every option has its heading
    for option in cli.commands[command].params:
        if isinstance(option, click.Option):
            name = re.escape(", ".join(option.opts))
            assert len(re.findall(rf"^  {name}(?:  | [A-Z\[]| / |$)", shown, re.MULTILINE)) == 1, option.name
