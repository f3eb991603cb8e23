"""Programs that use pandas, where a judge lets them. Every one runs in a sandbox."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from plum_hub.answers.suite import ParsedSuite, parse_suite
from plum_hub.cli import cli
from plum_hub.errors import SandboxError, UsageError
from plum_hub.execution import Call, Judge, Limits, Program, Statement
from plum_hub.execution.base import Case, SandboxName
from plum_hub.execution.judge import refusals
from plum_hub.records import TestCase

pytest.importorskip("pandas")

_CODE = """import pandas as pd
import numpy as np
def f(x, **more): return pd.DataFrame(x, **more)
def g(x, **more): return pd.Series(x, **more)
"""
_TABLE = "f({'a': [1, 2], 'b': ['x', None]})"
_TOTALS = """def f(df):
    return df.groupby('k')['v'].sum().reset_index()
"""
_EXACT = "check_exact=True, check_names=False, check_index_type=False"
_SUITE = """```python
import pandas as pd
def f(df):
    return df.groupby("k")["v"].sum().reset_index()
```
```python
import pandas as pd
df = pd.DataFrame({"k": ["a", "b", "a"], "v": [1, 2, 3]})
expected = pd.DataFrame({"k": ["a", "b"], "v": [4, 2]})
pd.testing.assert_frame_equal(f(df), expected)
assert f(pd.DataFrame({"k": ["a"], "v": [7]})).equals(pd.DataFrame({"k": ["a"], "v": [7]}))
assert f(df)["v"].tolist() == [4, 2]
assert f(df).equals(pd.concat([expected]))
pd.testing.assert_frame_equal(f(df), pd.concat([expected, expected])[:2])
```
"""


@pytest.fixture(scope="module", params=["jail", "landlock"])
def pandas_judge(request: pytest.FixtureRequest) -> Iterator[Judge]:
    name: SandboxName = request.param
    if refusals()[name]:  # type: ignore[index]
        pytest.skip(f"this machine has no {name}")
    with Judge(workers=1, sandbox=name, pandas=True) as judge:
        yield judge


def _program(*cases: Case, code: str = _CODE) -> Program:
    return Program(id="p", code=code, entry_point="f", cases=cases, limits=Limits())


_OUTCOMES = {
    # the same values, however the constructor is written
    (_TABLE, "pd.DataFrame({'a': [1, 2], 'b': ['x', None]})"): "passed",
    (_TABLE, "pd.DataFrame([{'a': 1, 'b': 'x'}, {'a': 2}])"): "passed",
    (_TABLE, "pd.DataFrame([[1, 'x'], [2, None]], columns=['a', 'b'])"): "passed",
    (_TABLE, "pd.DataFrame(data={'b': ['x', np.nan], 'a': (1, 2)}, columns=['a', 'b'])"): "passed",
    ("f({'a': [1, None]})", "pd.DataFrame({'a': [1.0, np.nan]})"): "passed",
    ("f({})", "pd.DataFrame()"): "passed",
    ("f([], columns=['a'])", "pd.DataFrame(columns=['a'])"): "passed",
    ("f({'a': [1]}, index=['x'])", "pd.DataFrame({'a': 1}, index=['x'])"): "passed",
    ("g([1, None], dtype='Int64')", "pd.Series([1, pd.NA], dtype='Int64')"): "passed",
    ("g({'x': True, 'y': False})", "pd.Series([True, False], index=['x', 'y'])"): "passed",
    ("g([1, 2], name='n').rename_axis('i')", "pd.Series([1, 2], index=pd.Index([0, 1], name='i'), name='n')"): "passed",
    ("g(['b', 'a']).astype('category')", "pd.Series(['b', 'a'], dtype='category')"): "passed",
    ("g(np.array([1, 2], dtype='int32'))", "pd.Series([1, 2], dtype=np.int32)"): "passed",
    ("g(pd.date_range('2020-01-31', periods=1))", "pd.Series([pd.Timestamp('2020-01-31')])"): "passed",
    ("pd.to_datetime(['2020-01-31', None])", "pd.DatetimeIndex(['2020-01-31', pd.NaT])"): "passed",
    ("pd.Timestamp('2020-01-31 10:00', tz='UTC')", "pd.Timestamp('2020-01-31 10:00', tz='UTC')"): "passed",
    ("[pd.Timedelta(days=1), pd.NaT, pd.NA]", "[pd.Timedelta(hours=24), pd.NaT, pd.NA]"): "passed",
    ("f({'a': [1], 'b': [2]}).set_index([*'ab']).index", "pd.MultiIndex.from_tuples([(1, 2)], names=('a', 'b'))"):
        "passed",
    ("f({'a': [1, 2]}).loc[[1]].index", "pd.RangeIndex(1, 2)"): "passed",
    ("f({'a': [1, 2]})['a'].sum()", "3"): "passed",
    # values, dtypes, labels and kinds
    (_TABLE, "pd.DataFrame({'a': [1, 3], 'b': ['x', None]})"): "wrong",
    (_TABLE, "pd.DataFrame({'a': [1.0, 2.0], 'b': ['x', None]})"): "wrong",
    (_TABLE, "pd.DataFrame({'b': ['x', None], 'a': [1, 2]})"): "wrong",
    (_TABLE, "pd.DataFrame({'a': [1, 2], 'b': ['x', None]}, index=[1, 2])"): "wrong",
    ("g([1])", "pd.Series([1], name='n')"): "wrong",
    ("g([1])", "pd.DataFrame([1])"): "wrong",
    ("g([1])", "[1]"): "wrong",
    ("[1]", "pd.Series([1])"): "wrong",
    ("g([True])", "pd.Series([1])"): "wrong",
    ("pd.NaT", "pd.NA"): "wrong",
    ("pd.Timestamp('2020-01-31', tz='UTC')", "pd.Timestamp('2020-01-31')"): "wrong",
    ("f({'a': [1]}).columns.rename('c')", "pd.Index(['a'])"): "wrong",
    # the rules of pandas.testing
    ("g([0.1 + 0.2])", "pd.Series([0.3])"): "wrong",
    ("g([0.1 + 0.2])", "assert_series_equal(pd.Series([0.3]))"): "passed",
    ("g([0.1 + 0.2])", "assert_series_equal(pd.Series([0.3]), check_exact=True)"): "wrong",
    ("g([0.301])", "assert_series_equal(pd.Series([0.3]))"): "wrong",
    ("g([1])", "assert_series_equal(pd.Series([1.0]))"): "wrong",
    ("g([1])", "assert_series_equal(pd.Series([1.0]), check_dtype=False)"): "passed",
    ("g([1])", "assert_series_equal(pd.Series([1], name='n'), check_names=False)"): "passed",
    ("f({'b': [1], 'a': [3]})", "assert_frame_equal(pd.DataFrame({'a': [3], 'b': [1]}), check_like=True)"): "passed",
    ("f({'b': [1], 'a': [3]})", "assert_frame_equal(pd.DataFrame({'a': [3], 'b': [1]}))"): "wrong",
}  # fmt: skip


@pytest.mark.usefixtures("judge")
def test_values_come_out_and_are_compared(pandas_judge: Judge) -> None:
    cases = [Call(expression=call, expected=expected) for call, expected in _OUTCOMES]
    (execution,) = pandas_judge.run([_program(*cases)])
    found = dict(zip(_OUTCOMES, (case.outcome for case in execution.cases), strict=True))
    assert found == _OUTCOMES, [case.detail for case in execution.cases if case.outcome == "raised"]


_SOURCES = [
    "pd.DataFrame({'a': [[1, 2], [3]]})", "pd.DataFrame({1: [1], 'b': [None]})", "pd.DataFrame([1, 2])",
    "pd.DataFrame([{'a': 1}, {'a': 2, 'b': True}])", "pd.DataFrame([(1, 2.5), (3, 4)], columns=['x', 'y'])",
    "pd.DataFrame(np.array([[1.5, 2], [3, 4]]), columns=['x', 'y'])", "pd.DataFrame([[1, None], [2, 3]])",
    "pd.DataFrame({'a': pd.Series([1, 2]), 'b': 0})", "pd.DataFrame({'a': [1, 2]}, dtype=float)",
    "pd.DataFrame({'a': []})", "pd.DataFrame({'a': [1]}, index=pd.Index(['x'], name='i'))",
    "pd.DataFrame({'a': [1, 2]}, index=pd.MultiIndex.from_tuples([('x', 1), ('y', 2)]))",
    "pd.Series(dtype=float)", "pd.Series([], dtype='int64')", "pd.Series(5, index=[0, 1])", "pd.Series(range(3))",
    "pd.Series((1, 2.5))", "pd.Series('ab', index=[0])", "pd.Series([True, None])", "pd.Series([1, pd.NaT])",
    "pd.Series([1, pd.NA])", "pd.Series([1, 'a'])", "pd.Series([9223372036854775808])",
    "pd.Series([1180591620717411303424])", "pd.Series([1j, 2])",
    "pd.Series(np.array([1, 2.5]))", "pd.Series([1], index=[('a', 1)])", "pd.Series({('a', 1): 1})",
    "pd.DataFrame({('a', 1): [1]})", "pd.DataFrame([[1]], columns=[('a', 1)])", "pd.DataFrame([{('a', 1): 1}])",
    "pd.Series({})", "pd.Series([1.5, -np.inf])",
    "pd.Series([pd.Timestamp('2020-01-01'), pd.NaT])", "pd.Series([pd.Timedelta(days=1, hours=2)])",
    "pd.Series([pd.Timestamp('2020-01-01', tz='UTC')])", "pd.Series([1, 2], dtype='float32')",
    "pd.Series(['a', None], dtype='string')", "pd.Series([True, None], dtype='boolean')", "pd.Index([1, None])",
    "pd.Index([True, False])", "pd.Index(['a'], name='n')", "pd.Index([(1, 2), (3, 4)])", "pd.RangeIndex(3)",
    "pd.to_datetime(['2020-01-01 12:30', '2020-01-02 00:00'])", "pd.to_datetime('2020-01-01')",
    "pd.Timestamp('1066-10-14')", "pd.Timedelta(minutes=-5)",
]  # fmt: skip


@pytest.mark.usefixtures("judge")
def test_the_judge_makes_what_pandas_makes(pandas_judge: Judge) -> None:
    """Each source is evaluated by pandas in the sandbox, and by the judge without it."""
    cases = [Call(expression=source, expected=source) for source in _SOURCES]
    (execution,) = pandas_judge.run([_program(*cases)])
    found = zip(_SOURCES, execution.cases, strict=True)
    assert [(source, case.detail) for source, case in found if case.outcome != "passed"] == []


def _suite() -> ParsedSuite:
    suite = parse_suite(_SUITE, max_cases=9)
    assert isinstance(suite, ParsedSuite), suite
    return suite


def _case(case: TestCase) -> Case:
    if case.kind == "call":
        return Call(expression=str(case.call), expected=str(case.expected))
    return Statement(source=str(case.statement))


def test_assertions_of_pandas_become_calls_that_the_judge_compares() -> None:
    kinds = [(case.kind, case.expected) for case in _suite().cases]
    assert kinds == [
        ("call", "assert_frame_equal(pd.DataFrame({'k': ['a', 'b'], 'v': [4, 2]}))"),
        (
            "call",
            f"assert_frame_equal(pd.DataFrame({{'k': ['a'], 'v': [7]}}), {_EXACT})",
        ),
        ("call", "[4, 2]"),
        ("statement", None),
        ("statement", None),
    ]
    assert (_suite().cases[3].statement or "").endswith("{'k': ['a', 'b', 'a'], 'v': [1, 2, 3]})))\n")


_HOSTILE = {
    "always equal": "class Any:\n    def __eq__(self, other): return True\n    def equals(self, other): return True\n"
    "    def __getitem__(self, name): return self\n    def tolist(self): return self\ndef f(df): return Any()\n",
    "subclass": """import pandas as pd
class Any(pd.DataFrame):
    __class__ = pd.DataFrame
    values = property(lambda self: None)
    def to_dict(self, *_, **__): return {}
    def items(self): return iter(())
    def equals(self, other): return True
    def __eq__(self, other): return True
def f(df): return Any({'k': ['a'], 'v': [0]})
""",
    "pandas replaced": """import pandas as pd
pd.DataFrame.equals = lambda *_, **__: True
pd.DataFrame.__eq__ = lambda *_, **__: True
pd.testing.assert_frame_equal = lambda *_, **__: None
pd._testing.assert_frame_equal = lambda *_, **__: None
pd._testing.asserters.assert_series_equal = lambda *_, **__: None
pd._testing.asserters.assert_index_equal = lambda *_, **__: None
def f(df): return pd.DataFrame({'k': ['a', 'b'], 'v': [0, 0]})
""",
    "code replaced": """import inspect
import pandas as pd
def nothing(*_, **__): return True
def none(*_, **__): return None
pd.core.generic.NDFrame.equals.__code__ = nothing.__code__
for check in (pd.testing.assert_frame_equal, pd._testing.asserters.assert_series_equal):
    inspect.unwrap(check).__code__ = none.__code__
def f(df): return pd.DataFrame({'k': ['a', 'b'], 'v': [0, 0]})
""",
    "encoder misled": """import pandas as pd
pd.DataFrame.items = lambda self: iter(())
pd.Series.tolist = lambda self: [4, 2]
pd.Series.dtype = 'int64'
pd.DataFrame.columns = property(lambda self: [])
def f(df): return pd.DataFrame({'k': ['a', 'b'], 'v': [0, 0]})
""",
}


@pytest.mark.usefixtures("judge")
def test_the_right_program_passes_and_no_trick_does(pandas_judge: Judge) -> None:
    cases = tuple(map(_case, _suite().cases))
    codes = {"right": _TOTALS, "wrong": _TOTALS.replace("sum", "max"), **_HOSTILE}
    programs = [replace(_program(*cases, code=code), id=name) for name, code in codes.items()]
    statuses = {execution.id: execution for execution in pandas_judge.run(programs)}
    assert statuses["right"].status == "passed", statuses["right"]
    for name in codes.keys() - {"right", "encoder misled"}:
        outcomes = [case.outcome for case in statuses[name].cases]
        assert statuses[name].status == "failed", name
        assert name == "wrong" or "passed" not in outcomes[:2], (name, outcomes)
    assert statuses["subclass"].cases[0].detail == "not plain: Any"
    for name in ("pandas replaced", "code replaced"):
        assert "passed" not in [case.outcome for case in statuses[name].cases], statuses[name].cases
    assert [case.outcome for case in statuses["encoder misled"].cases[:2]] == ["wrong", "wrong"]


@pytest.mark.usefixtures("judge")
def test_limits_hold(pandas_judge: Judge) -> None:
    call = Call(expression="len(f(1))", expected="1")
    codes = {
        "out_of_memory": "import pandas as pd\ndef f(x): return [*pd.Series([0]).repeat(1 << 20)] * (1 << 10)",
        "failed": "import pandas as pd\ndef f(x): return pd.Series([0]).repeat(1 << 30)",
        "timed_out": "import pandas as pd\ndef f(x):\n    while True: pd.Series([0]) + 1",
        "passed": "import pandas as pd\ndef f(x): return pd.Series([0]).repeat(1 << 20)[:1]",
    }
    limits = Limits(cpu_seconds=1.0, memory_mb=512)
    programs = [replace(_program(call, code=code), id=name, limits=limits) for name, code in codes.items()]
    assert {execution.id: execution.status for execution in pandas_judge.run(programs)} == {
        name: name for name in codes
    }


@pytest.mark.usefixtures("judge")
def test_it_reads_text_and_hides_ctypes(pandas_judge: Judge) -> None:
    code = "import io, sys\nimport pandas as pd\ndef f(x): return pd.read_csv(io.StringIO(x))\n"
    code += "def h():\n    try:\n        import ctypes\n    except ImportError:\n        return True\n"
    cases = {
        "f('a,b\\n1,x\\n')": "pd.DataFrame({'a': [1], 'b': ['x']})",
        "f('a\\n1\\n').merge(f('a,c\\n1,2.5\\n'))": "pd.DataFrame({'a': [1], 'c': [2.5]})",
        "h()": "True",
    }
    calls = [Call(expression=call, expected=expected) for call, expected in cases.items()]
    (execution,) = pandas_judge.run([_program(*calls, code=code)])
    assert execution.status == "passed", execution


def test_without_it_a_program_that_imports_it_does_not_load(judge: Judge) -> None:
    (execution,) = judge.run([_program(Call(expression="f([1])", expected="pd.Series([2])"))])
    assert (execution.status, execution.detail) == ("not_executable", "ModuleNotFoundError: No module named 'pandas'")


def test_the_versions_are_part_of_the_harness(judge: Judge, pandas_judge: Judge) -> None:
    assert "-numpy-" in pandas_judge.harness_version and "-pandas-" in pandas_judge.harness_version
    assert "pandas" not in judge.harness_version


@pytest.mark.usefixtures("judge")
def test_a_file_of_suites_may_need_it(tmp_path: Path) -> None:
    tests = "import pandas as pd\nassert f(pd.DataFrame({'v': [1, 2]})).equals(pd.Series([2, 4], name='v'))\n"
    rows = {
        "suites": [{"instruction_id": "i", "entry_point": "f", "cases": tests}],
        "samples": [
            {"sample_id": name, "instruction_id": "i", "code": f"def f(df):\n    return df['v'] * {factor}\n"}
            for name, factor in {"right": 2, "wrong": 3}.items()
        ],
    }
    for name, lines in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["judge", str(tmp_path / "samples.jsonl"), "--suites", str(tmp_path / "suites.jsonl"), "--workers", "1"]
    out = tmp_path / "verdicts.jsonl"
    without = CliRunner().invoke(cli, [*arguments, "--out", str(out)])
    assert isinstance(without.exception, UsageError)  # every program would fail
    assert "suites.jsonl:1: it imports pandas, which programs do not have: judge with --pandas" in str(
        without.exception
    )
    assert not out.exists()
    result = CliRunner().invoke(cli, [*arguments, "--out", str(out), "--pandas"])
    assert result.exit_code == 0, result.output
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    assert {verdict["sample_id"]: verdict["status"] for verdict in verdicts} == {"right": "passed", "wrong": "failed"}


def test_docker_does_not_promise_it() -> None:
    with pytest.raises(SandboxError, match="the docker sandbox has no pandas"):
        Judge(sandbox="docker", pandas=True)
