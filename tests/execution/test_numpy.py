"""Programs that use numpy, where a judge lets them."""

from collections.abc import Iterator

import pytest

from plum_hub.execution import Call, Judge, Limits, Program, Statement
from plum_hub.execution.base import Case

numpy = pytest.importorskip("numpy")

_CODE = "import numpy as np\ndef f(x): return np.array(x) * 2\ndef g(x): return np.mean(x)\n"


@pytest.fixture(scope="module")
def numpy_judge() -> Iterator[Judge]:
    with Judge(workers=1, numpy=True) as judge:
        yield judge


def _program(*cases: Case, code: str = _CODE) -> Program:
    return Program(id="p", code=code, entry_point="f", cases=cases, limits=Limits())


@pytest.mark.usefixtures("judge")
def test_arrays_and_scalars_come_out_and_are_compared(numpy_judge: Judge) -> None:
    cases = {
        Call(expression="f([1, 2])", expected="np.array([2, 4])"): "passed",
        Call(expression="f([[1], [2]])", expected="array([[2], [4]], dtype=int64)"): "passed",
        Call(expression="f([0.1])", expected="np.array([0.3])", tolerance=0.2): "passed",
        Call(expression="f([1, 2])", expected="np.array([2, 5])"): "wrong",
        Call(expression="f([1, 2])", expected="np.array([[2, 4]])"): "wrong",
        Call(expression="f([1, 2])", expected="[2, 4]"): "wrong",
        Call(expression="g([1, 2])", expected="1.5"): "passed",
        Call(expression="g([1, 2])", expected="np.float64(1.5)"): "passed",
        Call(expression="f([1]).sum()", expected="2"): "passed",
        Call(expression="(f([1]) == 2).all()", expected="True"): "passed",
    }
    (execution,) = numpy_judge.run([_program(*cases)])
    assert dict(zip(cases, (case.outcome for case in execution.cases), strict=True)) == cases


EQUAL = {
    "np.array([5])": ["[5]", "5", "[[5]]", "[6]", "[5, 5]"],
    "np.array([5, 6])": ["[5, 6]", "5"],
    "np.array([[5.0]])": ["[5]", "(5,)"],
    "np.int64(3)": ["3", "[3]", "(3,)", "[4]", "[3, 3]", "3.0"],
    "[np.int64(3), 4]": ["[3, 4]", "[[3], 4]", "[[3], 5]"],
    "(np.float64(0.5),)": ["(0.5,)", "([0.5],)", "[0.5]"],
    "np.float32(0.1)": ["0.1", "[0.1]", "np.float32(0.1)", "0.10000000149011612", "0.10001", "'0.1'", "None"],
    "np.float32(16777216)": ["16777217", "16777219"],
    "np.float16(0.1)": ["0.1", "0.1001"],
    "(np.float32(0.1),)": ["(0.1,)", "([0.1],)"],
    "{'a': np.float32(0.1)}": ["{'a': 0.1}", "{'a': 0.2}"],
    "{np.float32(0.1)}": ["{0.1}", "{0.5}"],
    "np.array([0.1], dtype=np.float32)": ["[0.1]", "[0.2]"],
    "0.1": ["np.float32(0.1)"],
    "{np.int64(1): np.bool_(True)}": ["{1: True}"],
    "[5]": ["np.array([5])", "np.array([6])"],
    "np.array([])": ["[]", "0"],
}


@pytest.mark.usefixtures("judge")
@pytest.mark.parametrize("value", EQUAL)
def test_an_array_of_one_element_equals_what_numpy_finds_equal(value: str, numpy_judge: Judge) -> None:
    cases = [Call(expression="f()", expected=expected) for expected in EQUAL[value]]
    code = f"import numpy as np\ndef f(): return {value}\n"
    (execution,) = numpy_judge.run([_program(*cases, code=code)])
    for expected, result in zip(EQUAL[value], execution.cases, strict=True):
        try:
            holds = bool(eval(f"{value} == {expected}", {"np": numpy}))
        except (ValueError, DeprecationWarning):  # the truth of several elements, or of none
            holds = False
        assert (result.outcome == "passed") is holds, expected


@pytest.mark.usefixtures("judge")
def test_statements_may_use_it_too(numpy_judge: Judge) -> None:
    statement = Statement(source="import numpy as np\nassert np.allclose(f([1, 2]), [2, 4])")
    (execution,) = numpy_judge.run([_program(statement)])
    assert execution.status == "passed"


def test_without_it_a_program_that_imports_it_does_not_load(judge: Judge) -> None:
    (execution,) = judge.run([_program(Call(expression="f([1])", expected="array([2])"))])
    assert (execution.status, execution.detail) == ("not_executable", "ModuleNotFoundError: No module named 'numpy'")


def test_the_version_is_part_of_the_harness(judge: Judge, numpy_judge: Judge) -> None:
    assert "numpy" in numpy_judge.harness_version
    assert "numpy" not in judge.harness_version
