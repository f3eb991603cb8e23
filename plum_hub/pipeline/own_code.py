"""The programs in a row that has tests of its own: its solutions, and the code that it shows."""

import ast
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from plum_hub.answers.code import extract_code
from plum_hub.answers.entry import missing_helpers
from plum_hub.answers.source import (
    DefinitionNode,
    definitions,
    futures_first,
    is_future,
    is_stub,
    missing_names,
    parse,
    unparse,
)
from plum_hub.answers.unimported import usual_imports, with_imports
from plum_hub.pipeline.own_pairs import decoded

REFERENCE_COLUMNS = (
    "canonical_solution", "reference_solution", "reference", "code", "solution", "solutions", "solution_code",
    "gold_standard_solution", "completion",
)  # fmt: skip
"""Names of columns with a reference solution. A `completion` is one where the whole text is a program: else it may be
anybody's answer."""
_PROMPTS = ("prompt", "code_prompt", "complete_prompt")
_PYTHON3 = 3  # CodeContests' number of the language


def solutions_of(row: Mapping[str, Any], entry_point: str) -> Iterator[str]:
    """Yield the row's own solutions that are Python and define the entry point, ready to run.

    Args:
        row: The row.
        entry_point: The name; "" for any program.

    Yields:
        The source of each.
    """
    for column in REFERENCE_COLUMNS:
        for text in _texts(decoded(row.get(column)) if column == "solutions" else row.get(column)):
            prompts = [given for name in _PROMPTS if (given := text_of(row.get(name)))]
            for code in (text, *(f"{given.rstrip()}\n{text}" for given in prompts)):
                is_whole = column == "completion" or _defines(parse(code), entry_point)
                program = code if is_whole else extract_code(code, entry_point or None)
                tree = parse(program or "")
                if program and tree is not None and tree.body and _defines(tree, entry_point):
                    yield _ready(row, program.replace("\r\n", "\n"), entry_point)
                    break


def _ready(row: Mapping[str, Any], code: str, entry_point: str) -> str:
    """Add the helpers of the prompt that a program lacks, and the imports that contest sites provide."""
    helpers = shown_helpers(row, code, entry_point)
    return with_usual_imports(futures_first(f"{helpers}\n{code}") if helpers else code)


def starter_of(row: Mapping[str, Any], given: str, entry_point: str) -> str:
    """Complete starter code.

    Args:
        row: The row.
        given: Its starter code.
        entry_point: The name that a program has to define.

    Returns:
        Code that parses and loads, where it lacked no more than bodies, usual imports and helpers of the prompt.
    """
    return _ready(row, completed(given), entry_point)


def shown_helpers(
    row: Mapping[str, Any], code: str, entry_point: str, used: Set[str] = frozenset(), *, tests_only: bool = False
) -> str:
    """Find functions and classes that a row's prompt defines, and that a program or its tests lack.

    Args:
        row: The row.
        code: The program.
        entry_point: The name that it has to define, which is no helper.
        used: Names that the tests use.
        tests_only: Leave out what only the program lacks.

    Returns:
        Their source; "" if there are none. What is only declared is none: it is for the program to define.
    """
    found = ""
    for name in _PROMPTS:
        tree = parse(completed(text_of(row.get(name))))
        if tree is not None and any(isinstance(node, DefinitionNode) for node in tree.body):
            shown = unparse(node for node in tree.body if not is_stub(node))
            found = found or missing_helpers(code, shown, entry_point, used, tests_only=tests_only)
    return found


def _defines(tree: ast.Module | None, entry_point: str) -> bool:
    if tree is None:
        return False
    if not entry_point:
        return bool(tree.body)
    found = definitions(tree).get(entry_point)
    return found is not None and not is_stub(found)


def has_solutions(row: Mapping[str, Any]) -> bool:
    """Tell whether a row has a solution, in whatever language.

    Args:
        row: The row.

    Returns:
        True if a column for solutions holds a text.
    """
    found = (decoded(row.get(column)) for column in REFERENCE_COLUMNS if column != "completion")
    return any(value.get("solution") if isinstance(value, Mapping) else _texts(value) for value in found)


def _texts(value: object) -> list[str]:
    """Return the texts of a column: one, a list, or CodeContests' solutions with their languages."""
    if isinstance(value, list) and value and all(isinstance(one, Mapping) and "solution" in one for one in value):
        value = {key: [one.get(key) for one in value] for key in ("language", "solution")}
    if isinstance(value, Mapping):
        languages, sources = value.get("language"), value.get("solution")
        if isinstance(languages, Sequence) and isinstance(sources, Sequence):
            pairs = zip(languages, sources, strict=False)
            return [text for language, text in pairs if language in (_PYTHON3, "PYTHON3") and isinstance(text, str)]
        return []
    if isinstance(value, str):
        return [value] if value.strip() else []
    return [one for one in value if isinstance(one, str) and one.strip()] if isinstance(value, Sequence) else []


def with_usual_imports(code: str) -> str:
    """Add the imports that contest sites provide, where a program uses a name that it does not define.

    Args:
        code: The program.

    Returns:
        The program; unchanged if it needs none, or is not Python.
    """
    tree = parse(code)
    imports = usual_imports(missing_names(tree)) if tree is not None else []
    if tree is None or not imports:
        return code
    if any(map(is_future, tree.body)):
        return with_imports(tree, imports)
    return unparse(imports) + "\n" + code


def completed(code: str) -> str:
    """Give a signature without a body one, as in `class Solution:\\n    def f(self):`.

    Args:
        code: Starter code.

    Returns:
        Code that parses, where that was all it lacked.
    """
    if not code.strip() or parse(code) is not None:
        return code
    last = code.rstrip().split("\n")[-1]
    indent = len(last) - len(last.lstrip())
    return f"{code.rstrip()}\n{' ' * (indent + 4)}pass\n"


def text_of(value: object) -> str:
    """Return the text of a cell.

    Args:
        value: The cell.

    Returns:
        The text, with line ends as in Python; "" for anything else.
    """
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""
