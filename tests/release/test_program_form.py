"""Two programs have one form exactly if their syntax trees are the same without comments and docstrings."""

import ast
import gzip
import json
import warnings
from itertools import combinations
from pathlib import Path

import pytest

from plum_hub.release.program_form import program_form

MBPP = Path(__file__).resolve().parents[3] / "shared/data/mbpp/mbpp.jsonl.gz"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1\n", "x   =  1  # one\n\n"),
        ("def f():\n    'What it does.'\n    return (1)\n", "def f():\n  return 1\n"),
        ("'A module.'\nx = 1", "x = 1"),
        ("class A:\n    'Only this.'\n", "class A: pass"),
        ("async def f():\n    'd'\n    await x\n", "async def f(): await x"),
        ("x = 'a' 'b'", "x = 'ab'"),
        ("x = 0x10", "x = 16"),
    ],
)
def test_layout_comments_and_docstrings_do_not_count(one: str, other: str) -> None:
    assert program_form(one) == program_form(other)


def test_everything_else_does() -> None:
    programs = (
        "1", "True", "1.0", "-0.0", "0.0", "1j", "z='1'", "z=b'1'", "z=u'1'", "None", "...", "[]", "[[]]", "z='['",
        "z='None'", "x", "z='x'", "def f(a, *, b): 0", "def f(a, b): 0", "def f(a, *, b=None): 0",
        "def f(a, *, b=0, c): 0", "def f(a, *, b, c=0): 0", "def f(a, b, /): 0", "def f(a) -> int: 0",
        "async def f(a): 0", "def f(a): global a; 0", "def f(a): nonlocal b; 0", "x = y", "x: y", "x += y", "x == y",
        "x != y", "x < y < z", "x < (y < z)", "f'{a}'", "f'{a!r}'", "f'{a!r:>{w}}'", "f'a'", "import a",
        "import a as b", "from a import b", "from . import a", "from .. import a", "x[1]", "x[1:]", "x[:1]", "x[::1]",
        "del x", "lambda: 0", "yield x", "yield from x", "[x for x in y]", "{x for x in y}", "[x async for x in y]",
        "if x: pass", "while x: pass", "if x: 'doc'", "def f():\n 0\n 'late'", "def f():\n 0", "not python (",
        "not python )", "\ud800", "",
    )  # fmt: skip
    assert len({program_form(one) for one in programs}) == len(programs)


def test_what_is_nested_too_deeply_is_compared_as_text() -> None:
    deep = "(" * 250 + "x" + ")" * 250
    assert program_form(deep) != program_form(f"{deep}  # a comment")
    sums = "+".join("x" * 3_000)
    assert program_form(sums) == program_form(sums) != program_form(f"{sums}+x")


def _tree(code: str) -> str:
    with warnings.catch_warnings(action="ignore"):
        tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


@pytest.mark.skipif(not MBPP.is_file(), reason="needs ../shared/data/mbpp")
def test_real_programs_have_one_form_exactly_if_they_have_one_tree() -> None:
    with gzip.open(MBPP, "rt", encoding="utf-8") as file:
        programs = [json.loads(line)["code"] for line in file]
    forms, trees = [*map(program_form, programs)], [*map(_tree, programs)]
    assert len(set(forms)) == len(set(trees)) < len(programs)
    for (form, tree), (other_form, other_tree) in combinations(zip(forms, trees, strict=True), 2):
        assert (form == other_form) == (tree == other_tree)
