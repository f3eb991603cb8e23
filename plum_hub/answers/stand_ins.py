"""Stand-ins for what pytest and unittest give to tests, which run where neither can be imported.

`source_of` takes the definitions that a test needs out of this file, and the test carries them along. They are executed
in a namespace of their own, where no name is a program's, and import nothing but the standard library. Each fixture is
a generator, like the fixtures that users write. Each means what pytest's own means, or lacks the attribute: a use of
anything that `ATTRIBUTES` does not name is refused before a program runs.
"""

import ast
import contextlib
import functools
import importlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from plum_hub.answers.plain import CHECK_METHODS, TEMPLATES
from plum_hub.answers.source import loaded_names, stored_names, unparse

ATTRIBUTES: dict[str, frozenset[str]] = {
    **dict.fromkeys(("capsys", "capfd", "capsysbinary", "capfdbinary"), frozenset({"readouterr", "disabled"})),
    "monkeypatch": frozenset({
        "setattr", "delattr", "setitem", "delitem", "setenv", "delenv", "syspath_prepend", "chdir", "context", "undo",
    }),
    "tmp_path": frozenset(),
    "tmpdir": frozenset({
        "join", "mkdir", "write", "read", "ensure", "check", "exists", "listdir", "remove", "strpath", "basename",
        "dirname", "open",
    }),
    "tmp_path_factory": frozenset({"mktemp"}),
    "caplog": frozenset({"records", "text", "messages", "record_tuples", "clear", "set_level", "at_level", "handler"}),
    "recwarn": frozenset({"list", "pop", "clear"}),
    "record_property": frozenset(),
    "request": frozenset({
        "param", "addfinalizer", "getfixturevalue", "node", "fixturename", "function", "cls", "instance",
    }),
}  # fmt: skip
"""The fixtures that have a stand-in, with the attributes that tests may use; a path of `tmp_path` is a whole one."""
CASE_NAMES = frozenset({
    "id", "shortDescription", "addCleanup", "doCleanups", "enterContext", "subTest", "assertRaises",
    "assertRaisesRegex", "assertWarns", "assertWarnsRegex", "assertLogs", "assertNoLogs", "maxDiff", "longMessage",
    "failureException", "_testMethodName", "fail", *CHECK_METHODS - {"raises"},
})  # fmt: skip
"""What the stand-in of `unittest.TestCase` has."""
_ABSENT: Any = object()


class _MonkeyPatch:
    """Stand in for the object of the fixture `monkeypatch`."""

    def __init__(self) -> None:
        """Begin with nothing changed."""
        self._undo: list[Callable[[], object]] = []

    @classmethod
    @contextlib.contextmanager
    def context(cls) -> Iterator[Any]:
        """Undo at the end of a block what is changed in it."""
        inner = cls()
        try:
            yield inner
        finally:
            inner.undo()

    def setattr(self, target: Any, name: Any, value: Any = _ABSENT, raising: bool = True) -> None:
        """Set an attribute, named by object and name or by a dotted path."""
        if value is _ABSENT:
            if not isinstance(target, str):
                raise TypeError("use setattr(target, name, value) or setattr(target, value) with a dotted string")
            value, (target, name) = name, self._found(target)
        if not isinstance(name, str):
            raise TypeError("use setattr(target, name, value) with name being a string")
        if raising and not hasattr(target, name):
            raise AttributeError(f"{target!r} has no attribute {name!r}")
        self._keep(target, name)
        setattr(target, name, value)

    def delattr(self, target: Any, name: Any = _ABSENT, raising: bool = True) -> None:
        """Delete an attribute."""
        if name is _ABSENT:
            target, name = self._found(target)
        if hasattr(target, name):
            self._keep(target, name)
            delattr(target, name)
        elif raising:
            raise AttributeError(name)

    def setitem(self, mapping: Any, key: Any, value: Any) -> None:
        """Set an item."""
        old = mapping.get(key, _ABSENT)
        mapping[key] = value
        self._undo.append(lambda: mapping.pop(key, None) if old is _ABSENT else mapping.update({key: old}))

    def delitem(self, mapping: Any, key: Any, raising: bool = True) -> None:
        """Delete an item."""
        if key in mapping:
            old = mapping[key]
            del mapping[key]
            self._undo.append(lambda: mapping.update({key: old}))
        elif raising:
            raise KeyError(key)

    def setenv(self, name: str, value: Any, prepend: str | None = None) -> None:
        """Set a variable of the environment."""
        text = str(value) + prepend + os.environ[name] if prepend and name in os.environ else str(value)
        self.setitem(os.environ, name, text)

    def delenv(self, name: str, raising: bool = True) -> None:
        """Delete a variable of the environment."""
        self.delitem(os.environ, name, raising)

    def syspath_prepend(self, path: Any) -> None:
        """Search a folder for modules first."""
        old = sys.path[:]
        sys.path.insert(0, str(path))
        importlib.invalidate_caches()
        self._undo.append(functools.partial(sys.path.__setitem__, slice(None), old))

    def chdir(self, path: Any) -> None:
        """Change the working folder."""
        self._undo.append(functools.partial(os.chdir, pathlib.Path.cwd()))
        os.chdir(path)

    def undo(self) -> None:
        """Undo every change, the latest first."""
        while self._undo:
            self._undo.pop()()

    def _found(self, path: str) -> tuple[Any, str]:
        """Return the object and attribute of a dotted path."""
        parent, _, name = path.rpartition(".")
        if not parent:
            raise TypeError(f"must be absolute import path string, not {path!r}")
        first, *others = parent.split(".")
        found, reached = importlib.import_module(first), first
        for part in others:
            reached = f"{reached}.{part}"
            if not hasattr(found, part):
                importlib.import_module(reached)
            found = getattr(found, part)
        return found, name

    def _keep(self, target: Any, name: str) -> None:
        held = getattr(target, "__dict__", None)
        slot = getattr(type(target), name, None)
        if held is None or (hasattr(slot, "__set__") and not isinstance(target, type)):
            old = getattr(target, name, _ABSENT)
        else:
            old = held.get(name, _ABSENT)
        self._undo.append(lambda: delattr(target, name) if old is _ABSENT else setattr(target, name, old))


def monkeypatch() -> Iterator[Any]:
    """Stand in for the fixture.

    Yields:
        The fixture.
    """
    made = _MonkeyPatch()
    yield made
    made.undo()


def source_of(names: Iterable[str]) -> str:
    """Write the stand-ins that a test uses, with what they use themselves.

    Args:
        names: Their names.

    Returns:
        Python source, without annotations and docstrings.
    """
    pending, found = list(names), dict[str, ast.stmt]()
    while pending:
        node = _definitions().get(name := pending.pop())
        if name not in found and node is not None:
            found[name] = node
            pending += sorted(loaded_names(node))
    kept = [node for node in dict.fromkeys(_definitions().values()) if node in found.values()]
    return unparse(kept)


@functools.cache
def _definitions() -> dict[str, ast.stmt]:
    """Return what the files of stand-ins define and import, by name."""
    found: dict[str, ast.stmt] = {}
    for file in ("stand_ins.py", "stand_in_output.py", "stand_in_paths.py", "stand_in_checks.py"):
        tree = _Bare().visit(ast.parse(pathlib.Path(__file__).with_name(file).read_text(encoding="utf-8")))
        found |= {name: node for node in tree.body for name in stored_names(node)}
    case = found["_CheckingCase"]
    assert isinstance(case, ast.ClassDef)
    case.body += _assertions()
    return found


def _assertions() -> list[ast.stmt]:
    """Write the assertions of unittest that are an expression as methods."""
    import inspect
    import unittest

    source = []
    for name, template in TEMPLATES.items():
        count = 1 if "{1}" not in template else 2
        names = list(inspect.signature(getattr(unittest.TestCase, name, lambda: None)).parameters)[1 : count + 1]
        names = names if len(names) == count else ["first", "second"][:count]  # an old name, such as assertEquals
        test = template.format(*names)
        source.append(f"def {name}(self, {', '.join(names)}, msg=None, **_):\n    assert {test}, msg")
    return ast.parse("\n".join(source)).body


class _Bare(ast.NodeTransformer):
    """Remove annotations and docstrings."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        return node.value and ast.Assign(targets=[node.target], value=node.value)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
        return self._without_docstring(node)

    def _without_docstring(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)
