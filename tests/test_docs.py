"""The documentation cannot drift: it is made from the code where it can be, and checked against it elsewhere."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml
from click.testing import CliRunner

from plum_hub import recipe
from plum_hub.cli import cli
from plum_hub.cli.help import SectionedGroup

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
WRITTEN = [path for path in PAGES if path.parent.name != "reference"]
TOP = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")]


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(page: str) -> str:
    return (DOCS / "reference" / page).read_text(encoding="utf-8")


def commands(group: click.Group = cli, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield prefix, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*prefix, name))
        else:
            yield (*prefix, name), command


COMMANDS = dict(commands())


def shell_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of every plum-hub command in code blocks and code spans."""
    for block in re.findall(r"```(?:bash|text)?\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("plum-hub "):
                yield shlex.split(line, comments=True)
    for span in re.findall(r"`(plum-hub [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        yield span.split()


@pytest.mark.parametrize("page", sorted(reference().REFERENCE))
def test_the_reference_is_what_the_code_says(page: str) -> None:
    assert text_of(page) == reference().REFERENCE[page](), "scripts/docs writes it"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_is_in_the_reference(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, [*command, "--help"], prog_name="plum-hub", terminal_width=100)
    assert done.exit_code == 0
    assert done.output.strip() in text_of("commands.md")


def test_every_recipe_key_is_in_the_reference() -> None:
    page = text_of("recipe.md") + text_of("engines.md")
    assert [key for key in recipe.key_paths() if f"`{key}`" not in page] == []


def test_every_engine_key_is_in_the_reference() -> None:
    engines, page = recipe.engine_keys(), text_of("engines.md")
    assert set(engines) == {"vllm", "transformers", "openai", "tgi", "scripted"}
    for engine, keys in engines.items():
        section = page.partition(f"\n## {engine}\n")[2].partition("\n## ")[0]
        assert [key for key in keys if f"| `{key}` |" not in section] == []


@pytest.mark.parametrize(
    "page", ["recipe.md", "experiment.md", "engines.md", "training.md", "file-formats.md", "python-api.md"]
)
def test_every_key_has_a_meaning(page: str) -> None:
    assert re.findall(r"^\| `([^`]+)` \|.*\|  ?\|$", text_of(page), re.MULTILINE) == []


def test_every_error_and_its_code_is_in_the_reference() -> None:
    from plum_hub import errors

    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.PlumError) and kind is not errors.PlumError:
            assert re.search(rf"\| {kind.exit_code} \| `{kind.__name__}`", text_of("exit-codes.md")), kind


def test_every_public_name_is_in_the_reference() -> None:
    import plum_hub

    page = text_of("python-api.md")
    assert [name for name in plum_hub.__all__ if not name.startswith("__") and f"\n## {name}\n" not in page] == []


@pytest.mark.parametrize("path", [*TOP, *WRITTEN], ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_name_only_commands_and_options_that_exist(path: Path) -> None:
    for words in shell_lines(path.read_text(encoding="utf-8")):
        names = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
        command = next((key for key in (tuple(names[:2]), tuple(names[:1])) if key in COMMANDS), None)
        if names and words[1] == names[0]:
            assert command, f"{path.name}: {' '.join(words)}"
        known = {option for one in COMMANDS[command or ()].params for option in (*one.opts, *one.secondary_opts)}
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= known | {"--help", "--version"}, f"{path.name}: {' '.join(words)}"


@pytest.mark.parametrize("path", [*TOP, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, _ = link.partition("#")
        if target and "://" not in target:
            assert (path.parent / target).resolve().exists(), link


@pytest.mark.parametrize("path", [*TOP, *WRITTEN], ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_name_only_options_and_files_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    options = {option for one in COMMANDS.values() for param in one.params for option in param.opts}
    foreign = {"--cpu", "--cpus", "--repo-type", "--revision", "--check", "--serve", "--prepare", "--device", "--help"}
    foreign |= {"--no-deps", "--cap-add", "--security-opt", "--generation-config"}
    for script in ("chaos.py", "label_truth.py"):
        foreign |= {*re.findall(r'"(--[a-z]+)"', (ROOT / "scripts" / script).read_text(encoding="utf-8"))}
    assert {*re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)} <= options | foreign
    named = re.findall(r"(?<![\w/.*])(?:plum_hub|tests|scripts|docs)/[\w./-]*\w", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    "path", [TOP[0], *(path for path in WRITTEN if path.parent in (DOCS, DOCS / "guides"))], ids=lambda path: path.stem
)
def test_an_option_is_one_of_a_command_that_its_page_names(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    code = " ".join(re.findall(r"```.*?```|`[^`\n]*`|plum-hub [\w-]+", text, re.DOTALL))
    named = [one for names, one in COMMANDS.items() if re.search(rf"(?<![\w-]){' '.join(names)}(?![\w-])", code)]
    known = {option for one in named for param in one.params for option in param.opts}
    every = {option for one in COMMANDS.values() for param in one.params for option in param.opts}
    assert ({*re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)} & every) - known == set()


def test_examples_in_python_are_programs_that_mypy_accepts(tmp_path: Path) -> None:
    import inspect

    import plum_hub

    docs = [inspect.getdoc(getattr(plum_hub, name)) or "" for name in plum_hub.__all__]
    found = ["\n".join(["import plum_hub", *re.findall(r"^\s*>>> (.*)$", doc, re.MULTILINE)]) for doc in docs]
    pages = [TOP[0], *(path for path in WRITTEN if path.parent in (DOCS, DOCS / "guides"))]
    for page in pages:
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        found += [block for block in blocks if "plum_hub" in block]
    assert len(found) > 30
    for number, code in enumerate(found):
        (tmp_path / f"example_{number}.py").write_text(code)
    options = ["--follow-imports=silent", "--no-strict-optional", f"--cache-dir={tmp_path}"]
    command = [sys.executable, "-m", "mypy", *options, *map(str, sorted(tmp_path.glob("*.py")))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["list_experiments", "estimate_experiment", "estimate_build"])
def test_what_an_example_prints_is_true(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import doctest

    import plum_hub

    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder(recurse=False).find(
        getattr(plum_hub, name), name, module=False, globs={"plum_hub": plum_hub}
    )
    assert example.examples
    report: list[str] = []
    assert doctest.DocTestRunner().run(example, out=report.append).failed == 0, "".join(report)


def test_every_page_is_in_the_navigation() -> None:
    def pages(item: object) -> Iterator[str]:
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            for one in item:
                yield from pages(one)
        elif isinstance(item, dict):
            yield from pages(list(item.values()))

    configuration = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(pages(configuration["nav"])) == sorted(path.relative_to(DOCS).as_posix() for path in PAGES)


def test_the_front_door_is_short() -> None:
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in TOP}
    assert lines["README.md"] <= 150
    assert lines["ARCHITECTURE.md"] <= 200


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", f"--site-dir={tmp_path / 'site'}"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    loaded = re.findall(r'(?:src|href)="(https?://[^"]+)"[^>]*(?:rel="stylesheet"|></script>)', home)
    assert loaded == []  # nothing from elsewhere


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
    shown = CliRunner().invoke(cli, [command, "--help"], prog_name="plum-hub", terminal_width=100).output
    headings = re.findall(r"^([A-Z][a-z ]+):$", shown, re.MULTILINE)
    assert len(headings) > 2, headings
    assert "Options" not in headings  # every option has its heading
    for option in cli.commands[command].params:
        if isinstance(option, click.Option):
            name = re.escape(", ".join(option.opts))
            assert len(re.findall(rf"^  {name}(?:  | [A-Z\[]| / |$)", shown, re.MULTILINE)) == 1, option.name


def test_every_threat_names_a_test_that_exists() -> None:
    text = (DOCS / "explanation" / "threat-model.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| what it would do")]
    assert len(rows) > 25
    for row in rows:
        *_, threat, wall, named, _ = row.split("|")
        path, _, function = named.strip().strip("`").partition("::")
        assert threat.strip(), row
        assert wall.strip(), row
        code = (ROOT / path).read_text(encoding="utf-8")
        assert not function or f"\ndef {function}(" in code, f"{path} has no {function}"


def test_the_plan_at_scale_is_what_its_script_prints() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "at_scale.py"], capture_output=True, text=True, check=True
    )
    page = DOCS / "explanation" / "at-scale.md"
    assert f"\n{done.stdout}\n" in page.read_text(encoding="utf-8"), f"put the table of scripts/at_scale.py into {page}"
