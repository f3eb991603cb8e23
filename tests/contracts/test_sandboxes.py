"""What every sandbox promises (plum_hub/execution/base.py), held against every member."""

import os
import resource
import time
from collections.abc import Iterator
from typing import get_args

import pytest
from click import Choice

from plum_hub.cli.judge import judge
from plum_hub.errors import SandboxError
from plum_hub.execution import Call, Execution, Limits, Program, Statement, Stdio
from plum_hub.execution.base import Case, RealSandboxName, Sandbox, SandboxName
from plum_hub.execution.docker import DockerSandbox
from plum_hub.execution.judge import SANDBOXES
from plum_hub.execution.reserved import RESERVED

RESERVED_BUILTINS = {name.removeprefix("__plum_").removesuffix("__") for name in RESERVED} - {"import", "setitimer"}
_ADD = "def add(a, b):\n    return a + b\n"


@pytest.fixture(params=SANDBOXES.values(), ids=SANDBOXES, scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    sandbox: Sandbox = request.param()
    try:
        list(sandbox.run([program(_ADD)]))
    except SandboxError as error:
        pytest.skip(str(error))
    yield sandbox
    sandbox.close()


def test_every_room_knows_every_sandbox() -> None:
    assert tuple(SANDBOXES) == get_args(RealSandboxName)
    (option,) = (one for one in judge.params if one.name == "sandbox")
    assert isinstance(option.type, Choice)
    assert tuple(option.type.choices) == get_args(SandboxName)


def program(code: str, *cases: Case, entry_point: str | None = "add", limits: Limits | None = None) -> Program:
    return Program(id="p", code=code, entry_point=entry_point, cases=cases, limits=limits or Limits())


def cores() -> int:
    return len(os.sched_getaffinity(0))


def run(sandbox: Sandbox, code: str, *cases: Case, entry_point: str | None = "add") -> Execution:
    (execution,) = sandbox.run([program(code, *cases, entry_point=entry_point)])
    return execution


def outcomes(execution: Execution) -> list[str]:
    return [case.outcome for case in execution.cases]


def call(expression: str, expected: str, tolerance: float | None = None) -> Call:
    return Call(expression=expression, expected=expected, tolerance=tolerance)


def test_the_kernel_counts_ticks_and_so_kills_later_than_the_limit(sandbox: Sandbox) -> None:
    code = "import resource\ndef f():\n    return resource.getrlimit(resource.RLIMIT_CPU)[1]\n"
    (execution,) = sandbox.run([program(code, call("f()", "23"), entry_point="f", limits=Limits(cpu_seconds=40.0))])
    assert execution.status == "passed", execution.detail  # a quarter of the limit, twice, and a margin


def test_a_right_program_passes_every_kind_of_case(sandbox: Sandbox) -> None:
    execution = run(sandbox, _ADD, call("add(1, 2)", "3"), Statement(source="assert add('a', 'b') == 'ab'"))
    assert (execution.status, outcomes(execution), execution.detail) == ("passed", ["passed", "passed"], "")
    assert execution.cpu_seconds > 0
    assert execution.peak_memory_mb > 0
    script = run(sandbox, "print(int(input()) + 1)", Stdio(stdin="1\n", stdout="2"), entry_point=None)
    assert script.status == "passed"


def test_every_case_runs_and_keeps_its_place(sandbox: Sandbox) -> None:
    cases: list[Case] = [
        call("add(1, 2)", "4"),
        call("add(1, '')", "1"),
        call("add(1, 2)", "3"),
        Statement(source="assert add(1, 1) == 3"),
    ]
    execution = run(sandbox, _ADD, *cases)
    assert (execution.status, outcomes(execution)) == ("failed", ["wrong", "raised", "passed", "raised"])
    assert execution.cases[0].detail == "3"
    assert execution.cases[1].detail.startswith("TypeError: ")
    assert execution.detail == "3"


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("def add(:", "SyntaxError: "),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import numpy_of_nobody", "ModuleNotFoundError: "),
        ("sub = 1", "NameError: the program does not define 'add'"),
    ],
)
def test_a_module_that_does_not_load_is_not_executable(sandbox: Sandbox, code: str, detail: str) -> None:
    execution = run(sandbox, code, call("add(1, 2)", "3"))
    assert (execution.status, outcomes(execution)) == ("not_executable", ["not_run"])
    assert execution.detail.startswith(detail)


def test_what_ends_a_program_ends_its_cases(sandbox: Sandbox) -> None:
    code = "import os\ndef add(a, b):\n    return a + b if a else os.abort()"
    execution = run(sandbox, code, call("add(1, 2)", "3"), call("add(0, 2)", "2"), call("add(1, 2)", "3"))
    assert (execution.status, outcomes(execution)) == ("crashed", ["passed", "raised", "not_run"])
    assert execution.detail == "killed by SIGABRT"


def test_time_and_memory_over_their_limits_have_their_own_status(sandbox: Sandbox) -> None:
    limits = Limits(cpu_seconds=0.3, wall_seconds=2.0, memory_mb=128)
    programs = {
        "endless": "def add(a, b):\n    while a: pass\n    return b",
        "asleep": "import time\ndef add(a, b):\n    a and time.sleep(99)\n    return b",
        "greedy": "def add(a, b):\n    return len([b] * a * 10**9) or b",
    }
    cases = (call("add(0, 2)", "2"), call("add(1, 2)", "2"), call("add(0, 2)", "2"))
    done = sandbox.run(
        Program(id=name, code=code, entry_point="add", cases=cases, limits=limits) for name, code in programs.items()
    )
    assert {execution.id: (execution.status, outcomes(execution)) for execution in done} == {
        "endless": ("timed_out", ["passed", "timed_out", "not_run"]),
        "asleep": ("timed_out", ["passed", "timed_out", "not_run"]),
        "greedy": ("out_of_memory", ["passed", "raised", "not_run"]),
    }


@pytest.mark.parametrize("limits", [Limits(memory_mb=1 << 44), Limits(cpu_seconds=float("inf"))], ids=str)
@pytest.mark.parametrize("case", [call("add(1, 2)", "3"), Stdio(stdin="", stdout="")], ids=["module", "script"])
def test_a_limit_that_cannot_be_set_is_an_error_and_no_verdict(sandbox: Sandbox, limits: Limits, case: Case) -> None:
    with pytest.raises(SandboxError, match=r"'p'.*memory_mb.* cannot be set: too large"):
        list(sandbox.run([program(_ADD, case, limits=limits)]))
    assert run(sandbox, _ADD, call("add(1, 2)", "3")).status == "passed"


def test_time_is_for_all_cases_together(sandbox: Sandbox) -> None:
    spin = "    end = time.process_time() + a\n    while time.process_time() < end: pass\n    return b"
    code = f"import time\ndef add(a, b):\n{spin}"
    limits = Limits(cpu_seconds=1.0)
    (execution,) = sandbox.run([program(code, *[call("add(0.4, 1)", "1")] * 5, limits=limits)])
    assert execution.status == "timed_out"
    passed = outcomes(execution).count("passed")
    assert passed == 2 or (passed == 3 and execution.cpu_seconds > 1.2), (
        "where its core is shared it has half as much more"
    )
    assert outcomes(execution) == [*["passed"] * passed, "timed_out", *["not_run"] * (4 - passed)]


def test_values_compare_by_python_equality_with_the_tolerance(sandbox: Sandbox) -> None:
    cases = {
        call("add(0.1, 0.2)", "0.3"): "wrong",
        call("add(0.1, 0.2)", "0.3", 1e-9): "passed",
        call("[add(0.1, 0.2)]", "[0.3]", 1e-9): "passed",
        call("add(1, 0)", "1.0"): "passed",
        call("add(1, 0) == 1", "True"): "passed",
        call("(1,)", "[1]"): "wrong",
        call("float('nan')", "nan"): "passed",
        call("{float('nan'): 1}", "{nan: 1}"): "passed",
        call("{1, 2}", "{2, 1}"): "passed",
        call("None", "0"): "wrong",
        call("10 ** 400", "1.0", 1e-9): "wrong",
        call("add", "0"): "wrong",
        call("iter([])", "[]"): "wrong",
    }
    assert dict(zip(cases, outcomes(run(sandbox, _ADD, *cases)), strict=True)) == cases


def test_printed_text_compares_by_words_in_lines(sandbox: Sandbox) -> None:
    right, wrong = ["1 2\n3", "1  2 \n3\n\n"], ["1 2 3", "1\n2\n3", "", "1 2\n4"]
    texts = dict.fromkeys(right, "passed") | dict.fromkeys(wrong, "wrong")
    cases = [Stdio(stdin=text, stdout="1 2\n3\n") for text in texts]
    execution = run(sandbox, "print(open(0).read(), end='')", *cases, entry_point=None)
    assert dict(zip(texts, outcomes(execution), strict=True)) == texts


def test_a_script_runs_afresh_for_each_case(sandbox: Sandbox) -> None:
    code = "import os, sys\nif os.path.exists('seen'): sys.exit(1)\nopen('seen', 'w')\nprint(input())"
    execution = run(sandbox, code, *[Stdio(stdin="a", stdout="a")] * 2, entry_point=None)
    assert outcomes(execution) == ["passed", "passed"]


def test_programs_know_nothing_of_each_other(sandbox: Sandbox) -> None:
    code = "import math\ndef add(a, b):\n    before = math.pi\n    math.pi = 3\n    return before > 3"
    assert {execution.status for execution in sandbox.run([program(code, call("add(1, 2)", "True"))] * 8)} == {"passed"}


def test_the_same_programs_get_the_same_results_again(sandbox: Sandbox) -> None:
    code = "import random\ndef add(a, b):\n    return [random.random(), list({'x', 'y', 'z', 'v', 'w'})]"
    details = {execution.detail for execution in sandbox.run([program(code, call("add(1, 2)", "0"))] * 8)}
    assert len(details) == 1


def test_programs_are_taken_as_workers_become_free(sandbox: Sandbox) -> None:
    taken = 0

    def endless() -> Iterator[Program]:
        nonlocal taken
        while True:
            taken += 1
            yield program(_ADD, call("add(1, 2)", "3"))

    executions = sandbox.run(endless())
    for _ in range(10):
        assert next(executions).status == "passed"
    assert taken <= 10 + 18 * cores()
    executions.close()  # type: ignore[attr-defined]
    assert run(sandbox, _ADD, call("add(1, 2)", "3")).status == "passed"


def test_programs_that_are_slow_to_come_are_not_waited_for(sandbox: Sandbox) -> None:
    taken = 0

    def slowly() -> Iterator[Program]:
        nonlocal taken
        while True:
            time.sleep(0.2)
            taken += 1
            yield program(_ADD, call("add(1, 2)", "3"))

    executions = sandbox.run(slowly())
    assert next(executions).status == "passed"
    assert taken <= 2 * cores() + 1
    executions.close()  # type: ignore[attr-defined]


def test_each_program_has_one_end_in_whatever_order_suites_and_limits_are_mixed(sandbox: Sandbox) -> None:
    codes = {
        "passed": _ADD,
        "failed": "def add(a, b): return a * b",
        "timed_out": "def add(a, b):\n    while True: pass",
    }
    wanted = [("passed", "failed", "passed", "timed_out", "passed")[number % 5] for number in range(40)]
    programs = [
        Program(
            id=f"{number} {status}",
            code=codes[status],
            entry_point="add",
            cases=(call(f"add({number % 3}, 5)", str(number % 3 + 5)),),
            limits=Limits(cpu_seconds=0.2),
        )
        for number, status in enumerate(wanted)
    ]
    ends = [(execution.id, execution.id.split()[1], execution.status) for execution in sandbox.run(programs)]
    assert sorted(name for name, _, _ in ends) == sorted(one.id for one in programs)
    assert [end for end in ends if end[1] != end[2]] == []


def test_an_expected_value_that_is_no_literal_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="not a literal"):
        run(sandbox, _ADD, call("add(1, 2)", "add(2, 1)"))


def test_one_run_at_a_time(sandbox: Sandbox) -> None:
    executions = sandbox.run([program(_ADD)] * 3)
    next(executions)
    with pytest.raises(SandboxError, match="already running"):
        next(sandbox.run([program(_ADD)]))
    assert len(list(executions)) == 2


@pytest.mark.parametrize("member", SANDBOXES.values(), ids=SANDBOXES)
def test_closing_twice_is_closing_once(member: type[Sandbox]) -> None:
    sandbox = member()
    sandbox.close()
    sandbox.close()


def test_the_harness_version_names_the_interpreter(sandbox: Sandbox) -> None:
    assert "cpython-3." in sandbox.harness_version


SHADOWED = [*sorted(RESERVED_BUILTINS), "__import__", "print", "eval", "exec", "getattr", "dict", "int"]


@pytest.mark.parametrize("kind", ["value", "nothing it can call"])
def test_a_program_may_call_its_own_things_as_it_likes(sandbox: Sandbox, kind: str) -> None:
    """Nothing that we write into a case is looked up among the program's names."""
    names = "\n".join(f"{name} = {'lambda *_: 7' if kind == 'value' else repr('mine')}" for name in SHADOWED)
    cases: list[Case] = [
        Call(expression="f(3)", expected="{3: [True]}", cpu_seconds=1.0),
        Statement(source="assert f(1) != f(2)"),
        Statement(source="assert f(1) == f(2), 'they differ'"),
    ]
    execution = run(sandbox, f"{names}\ndef f(x):\n    return {{x: [True]}}\n", *cases, entry_point="f")
    assert outcomes(execution) == ["passed", "passed", "raised"], execution
    assert "they differ" in execution.detail


def test_a_value_too_large_to_be_carried_is_wrong_only_if_the_expected_one_is_far_smaller(sandbox: Sandbox) -> None:
    code = "def f():\n    return 'x' * 20_000_000\n"
    execution = run(sandbox, code, call("f()", repr("y" * 3_000_000)), entry_point="f")
    assert execution.status == "out_of_memory"
    assert "a value of more than 16000000 bytes, which is not carried out of the sandbox" in execution.detail
    assert "wrong" not in outcomes(execution)
    execution = run(sandbox, code, call("f()", "'x'"), call("f() is None", "False"), entry_point="f")
    assert (execution.status, outcomes(execution)) == ("failed", ["wrong", "passed"])


SHARING = {
    "a list in itself": "a = [1]; a.append(a)",
    "a list twice in itself": "a = [1]; a += [a, a]",
    "a dictionary in itself": "a = {}; a[1] = [a]",
    "a tuple around itself": "a = []; a.append((a, a))",
    "shared lists": "a = [1]\n    for _ in range(60): a = [a, a]",
    "shared tuples": "a = (1,)\n    for _ in range(60): a = (a, (a,), a)",
    "shared dictionaries": "a = {}\n    for _ in range(60): a = {1: a, 2: [a]}",
    "very deep": "a = []\n    for _ in range(5000): a = [a]",
}


@pytest.mark.parametrize("name", SHARING)
def test_values_that_share_or_hold_themselves_are_compared_as_python_does(name: str, sandbox: Sandbox) -> None:
    code = f"def f():\n    {SHARING[name]}\n    return a\n"
    execution = run(sandbox, code, call("f()", "[1, 2]"), call("1", "1"), entry_point="f")
    assert (execution.status, outcomes(execution)) == ("failed", ["wrong", "passed"])


def test_shared_values_are_equal_to_what_they_look_like(sandbox: Sandbox) -> None:
    code = "def f(n):\n    a = [1, {2: (3,)}]\n    for _ in range(n): a = [a, a]\n    return a\n"
    expected: list[object] = [1, {2: (3,)}]
    for _ in range(9):
        expected = [expected, expected]
    assert run(sandbox, code, call("f(9)", repr(expected)), entry_point="f").status == "passed"
    assert run(sandbox, code, call("f(8)", repr(expected)), entry_point="f").status == "failed"


def test_a_program_may_read_its_own_source(sandbox: Sandbox) -> None:
    code = "class A:\n    x = 1\n\ndef f(x):\n    return x + 1\n"
    test = "import inspect\nassert 'x + 1' in inspect.getsource(f)\nassert inspect.getsource(A).startswith('class A')"
    assert run(sandbox, code, Statement(source=test), entry_point="f").status == "passed"


def test_values_compare_as_python_compares_them(sandbox: Sandbox) -> None:
    code = "def f(value):\n    return value\n"
    pairs = {
        "f({1: 2}.keys())": "{1}",
        "f({1: 2}.items())": "{(1, 2)}",
        "f(__import__('collections').ChainMap({1: 2}, {3: 4}).keys())": "{1, 3}",
        "f(__import__('collections').ChainMap({1: 2}, {3: 4}).items())": "{(1, 2), (3, 4)}",
        "f(__import__('collections').UserDict({1: 2}).keys())": "{1}",
        "f(bytearray(b'a'))": "b'a'",
        "f(b'a')": "bytearray(b'a')",
        "f({1})": "{1: 2}.keys()",
        "f(list(range(1000000)))": "list(range(1000000))",
        f"f({'[' * 120}{']' * 120})": f"{'[' * 120}{']' * 120}",
    }
    assert run(sandbox, code, *(call(*pair) for pair in pairs.items()), entry_point="f").status == "passed"
    others = {"f({1: 2}.keys())": "[1]", "f({1: 2}.values())": "[2]", "f({1: 2}.items())": "{1: 2}"}
    wrong = run(sandbox, code, *(call(*pair) for pair in others.items()), entry_point="f")
    assert outcomes(wrong) == ["wrong"] * 3


def test_values_that_are_too_much_together_are_never_called_wrong(sandbox: Sandbox) -> None:
    code = "def f():\n    return 'x' * 15_000_000\n"
    execution = run(sandbox, code, *[call("f()", "'x'")] * 5, entry_point="f")
    assert outcomes(execution) == ["wrong"] * 4 + ["raised"]
    assert execution.status == "out_of_memory"
    assert "bytes together, which is not carried out of the sandbox" in execution.detail


_THREADS = """import threading, time
def f(n):
    out = []
    def work():
        time.sleep(0.1)
        out.append(1)
    threads = [threading.Thread(target=work) for _ in range(n)]
    for one in threads: one.start()
    for one in threads: one.join()
    return sum(out)
"""
_POOLS = """import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
def double(x): return 2 * x
def f():
    with multiprocessing.Pool() as pool, ThreadPoolExecutor(32) as threads, ProcessPoolExecutor() as processes:
        return [*pool.map(double, [1]), *threads.map(double, range(40)), *processes.map(double, [3])][-2:]
"""


def test_a_program_may_start_many_threads_and_choose_their_stacks(sandbox: Sandbox) -> None:
    assert run(sandbox, _THREADS, call("f(50)", "50"), entry_point="f").status == "passed"
    chosen = f"{_THREADS}threading.stack_size(16 << 20)\n"
    cases = [call("f(30)", "30"), call("threading.stack_size()", str(16 << 20))]
    assert run(sandbox, chosen, *cases, entry_point="f").status == "passed"


def test_pools_have_as_many_processes_on_every_machine(sandbox: Sandbox) -> None:
    execution = run(sandbox, _POOLS, call("f()", "[78, 6]"), call("os.cpu_count()", "2"), entry_point="f")
    assert execution.status == "passed", execution


def test_a_program_may_raise_its_stack_as_far_as_outside(sandbox: Sandbox) -> None:
    code = (
        "import resource\nsoft, hard = resource.getrlimit(resource.RLIMIT_STACK)\n"
        "resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))\ndef f(): return soft >> 20, hard\n"
    )
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    if isinstance(sandbox, DockerSandbox) or 0 < hard < 64 << 20:
        pytest.skip("the stack of this sandbox is limited otherwise")
    memory = (
        "import resource\ndef g():\n    try:\n        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n"
        "    except ValueError:\n        return 'the limit of all memory stays'\n"
    )
    cases = [call("f()", repr((64, hard))), call("g()", "'the limit of all memory stays'")]
    assert run(sandbox, code + memory, *cases, entry_point="f").status == "passed"


_FORK = """import os, sys
def f(n, how):
    pid = os.fork()
    if pid == 0:
        file = open("seen", "w")
        file.write("written")
        if how == "returns":
            return 7
        if how == "raises":
            raise KeyError(n)
        sys.exit(n)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, open("seen").read()
"""
_FORKED_SCRIPTS = {
    "exits": ("sys.exit(3)", "3"),
    "exits with words": ("sys.exit('no')", "1"),
    "raises": ("1 / 0", "1"),
    "ends": ("print('child')", "child\n0"),
}


def test_what_a_program_forks_ends_as_outside_and_brings_no_results(sandbox: Sandbox) -> None:
    ends = {"f(3, 'exits')": 3, "f('words', 'exits')": 1, "f(0, 'returns')": 0, "f(0, 'raises')": 1}
    seen = {how: repr((status, "written")) for how, status in ends.items()}
    execution = run(sandbox, _FORK, *(call(how, value) for how, value in seen.items()), entry_point="f")
    assert execution.status == "passed", execution
    seen["f(0, 'returns')"] = repr((1, "written"))  # the child goes on with the assertion, which fails there
    statements = [Statement(source=f"assert {how} == {value}") for how, value in seen.items()]
    execution = run(sandbox, _FORK, *statements, entry_point="f")
    assert execution.status == "passed", execution
    forks = "import os, sys\npid = os.fork()\nif pid == 0: sys.exit(3)\nseen = os.wait()[1] >> 8\n"
    assert run(sandbox, forks, call("seen", "3"), entry_point="seen").status == "passed"


@pytest.mark.parametrize("name", _FORKED_SCRIPTS)
def test_what_a_script_forks_ends_as_outside(sandbox: Sandbox, name: str) -> None:
    does, printed = _FORKED_SCRIPTS[name]
    code = f"import os, sys\nif os.fork() == 0:\n    {does}\nelse:\n    print(os.wait()[1] >> 8)"
    execution = run(sandbox, code, Stdio(stdin="", stdout=printed), entry_point=None)
    assert execution.status == "passed", execution


_TRACES = """import traceback  # \f no line ends here
def f():
    try:
        return 1 / 0  # quoted
    except ZeroDivisionError:
        return traceback.format_exc()
"""
_QUOTED = r"'return 1 / 0  # quoted\n' in f()"


@pytest.mark.parametrize("before", [0, 400])
def test_tracebacks_quote_the_program_however_many_are_judged(sandbox: Sandbox, before: int) -> None:
    others = (program(f"def add(a, b):\n    return a + b + {n}", call("add(0, 0)", str(n))) for n in range(before))
    script = f"{_TRACES}print({_QUOTED})"
    traced = [
        Program(id="call", code=_TRACES, entry_point="f", cases=(call(_QUOTED, "True"),), limits=Limits()),
        Program(id="script", code=script, entry_point=None, cases=(Stdio(stdin="", stdout="True"),), limits=Limits()),
    ]
    found = {one.id: one for one in sandbox.run([*others, *traced])}
    assert {found[name].status for name in ("call", "script")} == {"passed"}, found


def test_what_a_script_may_print_is_counted_in_bytes(sandbox: Sandbox) -> None:
    text = "€" * 900_000
    execution = run(sandbox, "print('€' * 900_000)", Stdio(stdin="", stdout=text), entry_point=None)
    assert execution.status == "passed", execution.detail[:100]


def test_a_program_that_kills_itself_has_crashed(sandbox: Sandbox) -> None:
    code = "import os\ndef f(): os.kill(os.getpid(), 9)\n"
    execution = run(sandbox, code, call("f()", "None"), entry_point="f")
    assert (execution.status, execution.detail) == ("crashed", "killed by SIGKILL")
