"""Write out each test of a module: its definition, what is made before it, its call, and what comes after."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from copy import copy, deepcopy
from dataclasses import dataclass

from plum_hub.answers.carried import LOOKUPS
from plum_hub.answers.class_state import state_of
from plum_hub.answers.fixtures import STAND_INS, Fixture, Shared, Wiring, awaited, parameters_of, read_fixtures
from plum_hub.answers.marks import ExpectedFailure, Marks, assigned_marks, is_marking, read_marks
from plum_hub.answers.parameters import Loop, Variant, parametrized_fixture, variants
from plum_hub.answers.plain import CHECK_METHODS, called_name
from plum_hub.answers.source import (
    DefinitionNode,
    FunctionNode,
    loaded_names,
    mentioned_names,
    stored_names,
    substitute,
)
from plum_hub.answers.stand_ins import CASE_NAMES
from plum_hub.execution.literals import syntax_tree

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_OTHER = re.compile(
    r"(\w+\.)?(pytest|unittest)\.|mark\.|fixture\b|staticmethod|classmethod|skip|expectedFailure|parametrize"
)
_SETUPS, _TEARDOWNS = ("setUp", "asyncSetUp", "setup_method", "setup"), ("asyncTearDown", "tearDown", "teardown_method")
_CLASS_SETUPS, _CLASS_TEARDOWNS = ("setup_class", "setUpClass"), ("tearDownClass", "teardown_class")
MODULE_STEPS = ""
"""The name under which tests share the set-up of their module."""


@dataclass(frozen=True)
class TestRun:
    """One test, ready to run."""

    body: list[ast.stmt]
    needs: tuple[str, ...] = ()
    """Names of what it shares with other tests."""


class Runs:
    """The tests of one module.

    Attributes:
        shared: What tests share, by name.
    """

    def __init__(self, statements: Sequence[ast.stmt]) -> None:
        """Read what the tests may use.

        Args:
            statements: The statements of the module.

        Raises:
            ValueError: They need an unsupported feature; the message names it.
        """
        self.shared: dict[str, Shared] = {}
        self.fixtures = read_fixtures(statements, "")
        self.classes = {node.name: node for node in statements if isinstance(node, ast.ClassDef)}
        self._functions = {node.name: node for node in statements if isinstance(node, FunctionNode)}
        self._marks = assigned_marks(statements)
        self._states: dict[str, frozenset[str]] = {}
        bound = Counter(name for node in statements for name in stored_names(node))
        self._tables = {
            name: node.value
            for node in statements
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            for name in stored_names(node)
            if bound[name] == 1
        }
        before, after = (
            [_module_step(self._functions[name]) for name in names if name in self._functions]
            for names in (("setUpModule", "setup_module"), ("tearDownModule", "teardown_module"))
        )
        if before or after:
            self.shared[MODULE_STEPS] = Shared(before, after)

    def of_function(self, node: _Function, entry_point: str) -> list[TestRun]:
        """Write out the tests of a function.

        Args:
            node: The function.
            entry_point: The name that the program must define; "" if unknown.

        Returns:
            The tests; none if they are skipped, or may fail.

        Raises:
            ValueError: They need an unsupported feature; the message names it.
        """
        if len(parameters_of(node, 0)) == 1 and not node.name.startswith("test"):
            if not entry_point:
                argument = parameters_of(node, 0)[0]
                raise ValueError(
                    f"nothing calls {node.name}({argument}), and no entry_point names its argument: add it"
                )
            return [TestRun([bare(node), *ast.parse(f"{node.name}({entry_point})").body], self._always())]
        found: list[TestRun] = []
        for variant, marks in self._variants(node, 0, node.decorator_list, self.fixtures):
            wiring = Wiring(self.fixtures, variant, node.name, self.shared)
            self._add_steps(wiring, ("setup_function", "teardown_function"))
            wiring.automatic("")
            self._use(wiring, marks, node)
            given = wiring.arguments(node, 0, injected=_is_injected(node))
            is_simple = not wiring.setup and not wiring.teardown and marks.failure is None
            call = awaited(node, f"{node.name if is_simple else 'test'}({given})")
            body = [bare(node), *_called(call, wiring, marks.failure, "test", node.name, is_simple=is_simple)]
            found.append(self._run(body, variant.loops, wiring))
        return found

    def of_class(self, node: ast.ClassDef, outer: tuple[ast.ClassDef, ...] = ()) -> list[TestRun]:
        """Write out the tests of a class, and of those inside it.

        Args:
            node: The class.
            outer: The classes around it, the outermost first.

        Returns:
            The tests; none if they are skipped, or may fail.

        Raises:
            ValueError: They need an unsupported feature; the message names it.
        """
        family = self.family(node)
        known = {item.name: item for one in reversed(family) for item in _methods(one)}
        fixtures = self.fixtures | read_fixtures(list(known.values()), "case.")
        given = [*node.decorator_list, *(mark for one in family for mark in assigned_marks(one.body))]
        given += [mark for one in reversed(outer) for mark in (*one.decorator_list, *assigned_marks(one.body))]
        kind = ".".join(one.name for one in (*outer, node))
        is_unit = self.is_unit(node)
        if is_unit:
            _refuse_unknown_methods(family, [one.function for one in fixtures.values()])
        if names := state_of(family):
            self._states[kind] = names
        found: list[TestRun] = []
        tests = frozenset(self.test_names(node))
        for name in self.test_names(node):
            method = known[name]
            own = family if outer else _with_one_test(family, name, tests)
            skip = 0 if any(ast.unparse(one) == "staticmethod" for one in method.decorator_list) else 1
            for variant, marks in self._variants(method, skip, [*method.decorator_list, *given], fixtures):
                wiring = Wiring(fixtures, variant, f"{kind}.{name}", self.shared)
                defined = [bare(one) for one in (*reversed(own[1:]), (outer or own)[0])]
                body = self._case(wiring, marks, defined, skip, known, is_unit=is_unit)
                found.append(self._run([*defined, *body], variant.loops, wiring))
        for inner in node.body:
            if isinstance(inner, ast.ClassDef) and inner.name.startswith("Test") and not is_unit:
                found += self.of_class(inner, (*outer, node))
        return found

    def _case(
        self,
        wiring: Wiring,
        marks: Marks,
        defined: Sequence[ast.stmt],
        skip: int,
        known: Mapping[str, _Function],
        *,
        is_unit: bool,
    ) -> list[ast.stmt]:
        """Return the statements that run one method of a class, behind the class and its bases."""
        kind, _, name = wiring.name.rpartition(".")
        method = known[name]
        before, each, after, last = (
            [known[one] for one in names if one in known]
            for names in (_CLASS_SETUPS, _SETUPS, _TEARDOWNS, _CLASS_TEARDOWNS)
        )
        if kind in self._states:
            self._keep_state(wiring, kind, before, last)
        else:
            wiring.setup += [_class_step(one) for one in before]
            wiring.teardown += [_class_step(one) for one in reversed(last)]
        wiring.setup.append("case = kind()")
        bases = [base for one in defined if isinstance(one, ast.ClassDef) for base in one.bases]
        if is_unit and any(ast.unparse(base).startswith(f"{STAND_INS}['_C") for base in bases):
            wiring.setup.append(f"case._testMethodName = {name!r}")
            wiring.teardown.append("case.doCleanups()")
        wiring.automatic("")
        if not is_unit:
            self._around(wiring, each, after, name)
        wiring.automatic("case.")
        self._use(wiring, marks, method)
        given = wiring.arguments(method, skip, injected=_is_injected(method))
        if is_unit:
            self._around(wiring, each, after, name)
        is_simple = len(wiring.setup) == 1 and not wiring.teardown and marks.failure is None
        call = awaited(method, f"{f'{kind}()' if is_simple else 'case'}.{name}({given})")
        return _called(call, wiring, marks.failure, "kind", kind, is_simple=is_simple)

    def _keep_state(self, wiring: Wiring, kind: str, before: Sequence[_Function], last: Sequence[_Function]) -> None:
        """Give a class, which is defined again for each test, what the tests before have left in it."""
        names, state = self._states[kind], f"__state_{kind.replace('.', '_')}__"
        ends = [_class_step(one).replace("kind", kind) for one in reversed(last)]
        self.shared.setdefault(state, Shared([f"{state} = {{}}"], ends))
        wiring.needs.append(state)
        wiring.setup += [f"if not {state}: {_class_step(one)}" for one in before]
        wiring.setup.append(f"[__builtins__['setattr'](kind, *item) for item in {state}.items()]")
        kept = ", ".join(map(repr, sorted({*names, "__module__"})))
        wiring.teardown.append(
            f"{state}.update({{name: kind.__dict__[name] for name in ({kept}) if name in kind.__dict__}})"
        )

    def _around(self, wiring: Wiring, each: Sequence[_Function], after: Sequence[_Function], name: str) -> None:
        wiring.setup += [_step(one, name) for one in each]
        wiring.teardown += [_step(one, name) for one in reversed(after)]

    def is_unit(self, node: ast.ClassDef) -> bool:
        """Tell whether a class is one of unittest.

        Args:
            node: The class.

        Returns:
            Whether it extends `TestCase`.
        """
        return any(ast.unparse(base).endswith("TestCase") for one in self.family(node) for base in one.bases)

    def family(self, node: ast.ClassDef) -> list[ast.ClassDef]:
        """Find a class and its bases in the module.

        Args:
            node: The class.

        Returns:
            The classes, the nearest first.
        """
        bases = [self.classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in self.classes]
        return [node, *(ancestor for base in bases if base is not node for ancestor in self.family(base))]

    def test_names(self, node: ast.ClassDef) -> list[str]:
        """Find the tests of a class.

        Args:
            node: The class.

        Returns:
            The names of the methods that a runner would call.
        """
        items = [item for one in reversed(self.family(node)) for item in one.body if isinstance(item, FunctionNode)]
        names = [item.name for item in items]
        is_plain = node.name.startswith("Test") and "__init__" not in names
        if not (is_plain or self.is_unit(node)) or _is_no_test(self.family(node)):
            return []
        found = list(dict.fromkeys(name for name in names if name.startswith("test")))
        if self.is_unit(node):
            found.sort()  # as unittest runs them
        return found or [name for name in ("runTest",) if name in names and self.is_unit(node)]

    def _variants(
        self, function: _Function, skip: int, marks: Sequence[ast.expr], fixtures: Mapping[str, Fixture]
    ) -> Iterator[tuple[Variant, Marks]]:
        """Yield the tests that parameters make of one function, with their marks, without those that show nothing."""
        asked = [*parameters_of(function, skip), *read_marks([*marks, *self._marks]).fixtures]
        asked += [name for name, fixture in fixtures.items() if fixture.is_automatic]
        found = variants([*marks, *self._marks], self._tables)
        for name in _closure(asked, fixtures):
            if (params := fixtures[name].settings.get("params")) is not None:
                found = [
                    variant
                    for before in found
                    for variant in (
                        [before]
                        if name in dict(before.indirect) or name in dict(before.arguments)
                        else parametrized_fixture(name, params, before, self._tables)
                    )
                ]
        for variant in found:
            effect = read_marks([*variant.marks, *marks, *self._marks])
            if not effect.is_skipped and not (effect.failure and effect.failure.shows_nothing):
                yield variant, effect

    def _use(self, wiring: Wiring, marks: Marks, node: _Function) -> None:
        for name in marks.fixtures:
            try:
                wiring.value(name)
            except KeyError as error:
                raise ValueError(
                    f"line {node.lineno}: usefixtures asks for {name!r}, which the tests do not define: remove it"
                ) from error

    def _add_steps(self, wiring: Wiring, names: Sequence[str]) -> None:
        for name, steps in zip(names, (wiring.setup, wiring.teardown), strict=True):
            if name in self._functions:
                steps.append(_step_of(self._functions[name], "test" if self._functions[name].args.args else ""))

    def _always(self) -> tuple[str, ...]:
        return (MODULE_STEPS,) if MODULE_STEPS in self.shared else ()

    def _run(self, body: list[ast.stmt], loops: Sequence[Loop], wiring: Wiring) -> TestRun:
        for loop in loops:
            node = syntax_tree(f"for {loop.target} in {loop.table}:\n    pass").body[0]
            assert isinstance(node, ast.For)
            node.body = body
            body = [node]
        return TestRun(body, (*self._always(), *wiring.needs))


def _with_one_test(family: Sequence[ast.ClassDef], name: str, tests: Set[str]) -> list[ast.ClassDef]:
    """Return a class and its bases without the tests that one of them does not name, so that it is as long as itself.

    Args:
        family: The class and its bases.
        name: The test.
        tests: All tests of the class.
    """
    left, pending = set(tests - {name}), [node for one in family for node in one.body]
    others = [node for node in pending if getattr(node, "name", "") in left]
    pending = [node for node in pending if getattr(node, "name", "") not in left]
    while pending and left:
        names = mentioned_names(pending.pop())
        found = left if names & LOOKUPS else left & names
        pending += [node for node in others if getattr(node, "name", "") in found]
        left -= found
    kept = []
    for one in family:
        kept.append(copy(one))
        kept[-1].body = [node for node in one.body if getattr(node, "name", "") not in left]
    return kept


def _methods(node: ast.ClassDef) -> list[_Function]:
    """Return the methods of a class, with decorators in which names of its body have their values."""
    values: dict[str, ast.expr] = {}
    others: set[str] = set()
    found: list[_Function] = []
    for item in node.body:
        match item:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                method = copy(item)
                method.decorator_list = [substitute(one, values) for one in item.decorator_list]
                for mark in method.decorator_list:
                    names = sorted(loaded_names(mark) & (others - values.keys()) - stored_names(ast.Expr(mark)))
                    if isinstance(mark, ast.Call) and called_name(mark.func) in ("parametrize", "fixture") and names:
                        raise ValueError(f"line {mark.lineno}: {names[0]} is of the class: define it before the class")
                found.append(method)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                values[name] = substitute(value, values)
            case _:  # it may change them
                changed = loaded_names(item) | stored_names(item)
                values = {name: value for name, value in values.items() if name not in changed}
        others |= stored_names(item)
    return found


def _is_no_test(family: Sequence[ast.ClassDef]) -> bool:
    """Tell whether a class, or the nearest base that says anything, is marked as no test."""
    for item in (item for one in family for item in one.body):
        match item:
            case ast.Assign(targets=[ast.Name(id="__test__")], value=ast.Constant(value=value)):
                return not value
    return False


def bare(node: ast.stmt) -> ast.stmt:
    """Remove marks and fixture decorators from a definition, and unittest's base class.

    Args:
        node: The definition.

    Returns:
        A copy. A class that uses methods of `TestCase` which are no assertions gets those of a stand-in.
    """
    if not isinstance(node, DefinitionNode):
        return node
    plain = deepcopy(node)
    plain.decorator_list = [
        item
        for item in node.decorator_list
        if not _OTHER.match(ast.unparse(item)) or re.match("staticmethod|classmethod", ast.unparse(item))
    ]
    if not isinstance(plain, ast.ClassDef):
        plain.body = [_super_call(item) for item in plain.body]
        return plain
    used = {item.attr for item in ast.walk(plain) if isinstance(item, ast.Attribute)}
    kind = "_CheckingCase" if used & (CHECK_METHODS | {"fail"}) else "_Case"
    stand_in = ast.parse(f"{STAND_INS}[{kind!r}]", mode="eval").body
    used |= {"__str__"} & loaded_names(plain)
    is_unit = any(ast.unparse(base).endswith("TestCase") for base in plain.bases)
    plain.bases = [base for base in plain.bases if not ast.unparse(base).endswith("TestCase")]
    plain.bases += [stand_in] if is_unit and used & CASE_NAMES else []
    plain.body = [bare(item) for item in plain.body if not is_marking(item)] or [ast.Pass()]
    return plain


def _super_call(node: ast.stmt) -> ast.stmt:
    """Return a call of a base's set-up or tear-down that does nothing where the base was unittest's."""
    steps = (*_SETUPS, *_TEARDOWNS, *_CLASS_SETUPS, *_CLASS_TEARDOWNS)
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name))) if (
            name in steps
        ):
            return ast.parse(f"__builtins__['getattr'](super(), {name!r}, lambda: None)()").body[0]
    return node


def _called(
    call: str, wiring: Wiring, failure: ExpectedFailure | None, parameter: str, given: str, *, is_simple: bool
) -> list[ast.stmt]:
    """Return the call of a test, within a function that makes and ends what the test uses if there is anything."""
    if is_simple:
        return syntax_tree(call).body
    steps = "\n".join([*wiring.setup, call, *reversed(wiring.teardown)])
    if failure is not None and wiring.teardown:
        after = "\n".join(f"    {line}" for line in reversed(wiring.teardown))
        setup = "\n".join(f"    {line}" for line in [*wiring.setup, call])
        steps = f"try:\n{setup}\nfinally:\n{after}"
    run = "\n".join(f"    {line}" for line in steps.split("\n"))
    source = f"def __run__({parameter}):\n{run}\n"
    if failure is None:
        return syntax_tree(f"{source}__run__({given})").body
    else_ = "\nelse:\n    assert False, 'it does not fail, as it should'" if failure.strict else ""
    return syntax_tree(f"{source}try:\n    __run__({given})\nexcept {failure.error}:\n    pass{else_}").body


def _closure(asked: Sequence[str], fixtures: Mapping[str, Fixture]) -> list[str]:
    """Return the fixtures that some ask for, directly or not."""
    found: list[str] = []
    pending = list(asked)
    while pending:
        name = pending.pop(0)
        if name in fixtures and name not in found:
            found.append(name)
            pending += parameters_of(fixtures[name].function, 1 if fixtures[name].owner else 0)
    return found


def _is_injected(node: _Function) -> bool:
    """Tell whether decorators that are no marks may give a test arguments, as those of `unittest.mock` do."""
    return any(not _OTHER.match(ast.unparse(item)) for item in node.decorator_list)


def _module_step(function: _Function) -> str:
    """Return a call of the set-up or tear-down of a module."""
    if any(one.arg in loaded_names(function) for one in function.args.args):
        raise ValueError(f"line {function.lineno}: {function.name} uses its module: use a global variable instead")
    return _step_of(function, "None" if function.args.args else "")


def _step_of(function: _Function, given: str) -> str:
    return awaited(function, f"{function.name}({given})")


def _step(method: _Function, test: str) -> str:
    """Return a call of a set-up or tear-down method; pytest passes the test to those that take a parameter."""
    return awaited(method, f"case.{method.name}({f'case.{test}' if len(method.args.args) > 1 else ''})")


def _class_step(method: _Function) -> str:
    """Return a call of the set-up or tear-down of a class, which pytest gives the class if it takes a parameter."""
    is_bound = any(ast.unparse(item) == "classmethod" for item in method.decorator_list)
    return f"kind.{method.name}({'kind' if method.args.args[1 if is_bound else 0 :] else ''})"


def _refuse_unknown_methods(family: Sequence[ast.ClassDef], fixtures: Sequence[ast.stmt]) -> None:
    """Refuse what a test uses of `TestCase` and its stand-in does not have."""
    if any(not isinstance(base, ast.Name | ast.Attribute) for one in family for base in one.bases):
        return
    named = {one.name for one in family} | {"TestCase", "IsolatedAsyncioTestCase"}
    if any(ast.unparse(base).rpartition(".")[2] not in named for one in family for base in one.bases):
        return  # a base of which nothing is known
    nodes = [item for one in (*family, *fixtures) for item in ast.walk(one)]
    own = {item.name for item in nodes if isinstance(item, DefinitionNode)}
    own |= {name for one in family for item in one.body for name in stored_names(item)}
    own |= {item.attr for item in nodes if isinstance(item, ast.Attribute) and not isinstance(item.ctx, ast.Load)}
    for item in nodes:
        match item:
            case ast.Attribute(value=ast.Name(id="self" | "cls" as owner), attr=name, ctx=ast.Load()) if (
                name not in own | CASE_NAMES
                and not name.startswith("__")
                and "setattr" not in str(loaded_names(family[0]))
            ):
                raise ValueError(f"line {item.lineno}: {owner}.{name} is not supported in tests: write it as an assert")
