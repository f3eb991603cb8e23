"""The house rules of ARCHITECTURE.md: who may import whom, how large things may grow, what names are forbidden."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "plum_hub"

FILE_LINES, FUNCTION_LINES, PARAMETERS, COMMAND_STATEMENTS = 400, 50, 6, 12
LARGEST_ROOM = 0.18  # of the package's lines
FORBIDDEN_NAMES = {"utils", "helpers", "manager", "common"}

# A room may import rooms of a lower number, and itself.
LEVELS = {
    "__main__": 14, "cli": 13, "api": 12, "experiments": 11, "reports": 11, "rounds": 10, "verification": 10,
    "publishing": 9, "evaluation": 8, "training": 8, "clusters": 8, "pipeline": 7, "metrics": 7,
    "strength": 6, "judging": 5, "run": 5,
    "recipe": 4, "recipes": 4, "benchmarks": 4, "cards": 4, "doctor": 4, "answers": 3, "release": 3, "loading": 3,
    "slug": 3, "layers": 3, "remedies": 3,
    "instructions": 2, "attacks": 2, "columns": 2, "column_store": 2, "file_record": 2, "lines": 1, "spool": 1,
    "engines": 1, "execution": 1, "static": 1, "hubs": 1, "prompts": 1, "progress": 0, "environment": 0, "passk": 0,
    "statistics": 0, "records": 0, "reasons": 0, "files": 0, "errors": -2, "redaction": -3, "home": -1, "network": -1,
    "threads": 0, "plain_yaml": 0, "refusal": 0, "patience": 0, "__init__": 0,
}  # fmt: skip
# Imported late, when it is first used.
NEIGHBOURS = {("__init__", room) for room in ("api", "loading", "progress", "recipe")}
# The rooms below the recipe know only their own small tuples.
WITHOUT_RECORDS = {"engines", "execution", "static", "hubs", "prompts"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    mine = room(path)
    for name in imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] != "plum_hub" or len(parts) < 2:
            continue
        other = parts[1] if parts[1] in LEVELS else "__init__"
        allowed = other == mine or LEVELS[other] < LEVELS[mine] or (mine, other) in NEIGHBOURS
        assert allowed, f"{mine} must not import {other} ({name})"
        assert not (other == "records" and mine in WITHOUT_RECORDS), f"{mine} must not know records"


def docstring_lines(tree: ast.AST) -> int:
    """Count the lines of all docstrings, those of attributes included: the budgets are for code."""
    return sum(
        node.end_lineno - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if node.end_lineno is not None
    )


def public_functions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield public functions and methods, without those documented elsewhere: commands (their help), overrides
    (the base class), setters (their property) and the visitors of `ast`."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith(("_", "visit_")):
            decorators = [ast.unparse(one) for one in node.decorator_list]
            if not any(
                "command(" in one or "group(" in one or one == "override" or ".setter" in one for one in decorators
            ):
                yield node


def raises(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function itself raises an error, rather than passing one on."""
    nodes: list[ast.AST] = [*function.body]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            nodes += ast.iter_child_nodes(node)
    return False


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_functions_document_arguments_results_and_errors(path: Path) -> None:
    for function in public_functions(ast.parse(path.read_text())):
        doc = ast.get_docstring(function) or ""
        assert doc, function.name
        sections = set(re.findall(r"^(Args|Returns|Yields|Raises):$", doc, re.MULTILINE))
        arguments = function.args
        names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        for name in names:
            if name not in ("self", "cls") and not name.startswith("_"):
                assert re.search(rf"^ +{name}: \S", doc, re.MULTILINE), f"{function.name}: {name}"
        result = "None" if function.returns is None else ast.unparse(function.returns)
        is_property = any("property" in ast.unparse(one) for one in function.decorator_list)
        if result not in ("None", "Never", "NoReturn", "Iterator[None]") and not is_property:
            assert sections & {"Returns", "Yields"} or doc.startswith(("Return ", "Yield ")), function.name
        if raises(function):
            assert "Raises" in sections, function.name


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_budgets(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") - docstring_lines(tree) <= FILE_LINES
    assert not FORBIDDEN_NAMES & set(path.relative_to(PACKAGE).with_suffix("").parts)
    for function in functions(tree):
        assert function.end_lineno is not None
        assert function.end_lineno - function.lineno - docstring_lines(function) < FUNCTION_LINES, function.name
        arguments = function.args
        count = len([*arguments.posonlyargs, *arguments.args])
        if room(path) != "api" or function.name.startswith("_"):  # the API's keywords are the options of the commands
            count += len(arguments.kwonlyargs)
        count -= bool(arguments.args and arguments.args[0].arg in ("self", "cls"))
        assert count <= PARAMETERS, function.name


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.name)
def test_commands_are_thin(path: Path) -> None:
    for function in functions(ast.parse(path.read_text())):
        if any("command" in ast.unparse(decorator) for decorator in function.decorator_list):
            assert len(function.body) - 1 <= COMMAND_STATEMENTS, function.name  # the docstring is the help


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_room_holds_everything() -> None:
    lines: dict[str, int] = {}
    for path in modules():
        lines[room(path)] = lines.get(room(path), 0) + path.read_text().count("\n")
    assert max(lines.values()) <= LARGEST_ROOM * sum(lines.values()), lines


def test_click_and_rich_stay_in_cli() -> None:
    for path in modules():
        if room(path) != "cli":
            roots = {name.split(".")[0] for name in imports(ast.parse(path.read_text()))}
            assert not roots & {"click", "rich"}, path


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom plum_hub.cli import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = 'torch transformers datasets vllm pydantic trl huggingface_hub pyarrow numpy rich'.split()\n"
        "print('HEAVY', sorted(set(heavy) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("HEAVY []\n")
    assert "build-dataset" in done.stdout


def test_no_machine_paths_or_registries() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    bad = ["/" + "work/", "/" + "root/", "pypi" + ".org", "python" + "hosted"]
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".jinja", ".jsonl", ""}:
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not [word for word in bad if word in text], name
