"""Prepare the material with EvalPlus' own code. Runs in the peers' environment and imports nothing of plum-hub.

    prepare.py DATA FOLDER

writes tasks as JSON lines, and truth.pickle with what EvalPlus needs to judge HumanEval by its base inputs.
"""

import contextlib
import io
import json
import os
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

_LONGEST = 4_000_000  # characters of a value's source: what our judge reads
_POLYNOMIAL = "(lambda xs, x: sum(c * x**i for i, c in enumerate(xs)))"


def _literal(value: Any) -> str:
    """Return Python source of a value; raise ValueError for anything but builtins, and for ints too long to print."""
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        inside = ", ".join(_literal(item) for item in value)
        if kind is tuple:
            return f"({inside},)" if len(value) == 1 else f"({inside})"
        if kind is list:
            return f"[{inside}]"
        return f"{{{inside}}}" if value and kind is set else f"{kind.__name__}([{inside}])"
    if kind is dict:
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    if kind is float and (value != value or value in (float("inf"), -float("inf"))):
        return f"float('{value}')"
    if value is None or kind in (bool, int, float, complex, str, bytes):
        return repr(value)
    raise ValueError(f"not a plain builtin: {kind.__name__}")


def _cases(problem: dict[str, Any], inputs: list[Any], outputs: list[Any]) -> Iterator[list[str]]:
    """Return calls and expected values as EvalPlus compares them, without those that have no literal or a huge one."""
    from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS, MBPP_OUTPUT_SET_EQ_TASKS

    name = problem["entry_point"]
    for given, output in zip(inputs, outputs, strict=True):
        with contextlib.suppress(ValueError, RecursionError):
            arguments = ", ".join(_literal(argument) for argument in given)
            call = f"{name}({arguments})"
            if name in MBPP_OUTPUT_NOT_NONE_TASKS:
                call = f"{call} is not None"
            elif name in MBPP_OUTPUT_SET_EQ_TASKS:
                call, output = f"set({call})", set(output)
            elif name == "find_zero":  # any root will do
                call, output = f"{_POLYNOMIAL}({arguments}, {call})", 0.0
            expected = _literal(output)
            if len(expected) <= _LONGEST:
                yield [call, expected]


def _prepared(problem: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a task's line, and what EvalPlus needs to judge it by its base inputs."""
    from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
    from evalplus.gen.util import trusted_exec

    base, plus = problem["base_input"], problem["plus_input"]
    with contextlib.redirect_stdout(io.StringIO()):
        outputs, times = trusted_exec(
            problem["prompt"] + problem["canonical_solution"],
            [*base, *plus],
            problem["entry_point"],
            record_time=True,
            output_not_none=problem["entry_point"] in MBPP_OUTPUT_NOT_NONE_TASKS,
        )
    split = len(base)
    task = {
        "id": problem["task_id"],
        "entry_point": problem["entry_point"],
        "prompt": problem["prompt"],
        "solution": problem["canonical_solution"],
        "test": problem.get("assertion", ""),
        "tolerance": problem["atol"] or 1e-6,  # as `untrusted_check` has it for floats
        "base": list(_cases(problem, base, outputs[:split])),
        "plus": list(_cases(problem, plus, outputs[split:])),
        "of": [split, len(plus)],
    }
    truth = {"inputs": base, "expected": outputs[:split], "times": times[:split], "atol": problem["atol"]}
    return json.dumps(task), {problem["task_id"]: truth | {"entry_point": problem["entry_point"]}}


def prepare(data: Path, folder: Path) -> None:
    """Compute expected values by running the canonical solutions in a process of their own."""
    os.environ["HUMANEVAL_OVERRIDE_PATH"] = str(data / "evalplus" / "HumanEvalPlus.jsonl.gz")
    os.environ["MBPP_OVERRIDE_PATH"] = str(data / "evalplus" / "MbppPlus.jsonl.gz")
    from evalplus.data import get_human_eval_plus, get_mbpp_plus

    with ProcessPoolExecutor() as pool:
        for name, problems in (("humaneval", get_human_eval_plus()), ("mbpp", get_mbpp_plus())):
            done = list(pool.map(_prepared, problems.values()))
            (folder / f"{name}.jsonl").write_text("".join(line + "\n" for line, _ in done))
            if name == "humaneval":
                truth = {key: value for _, one in done for key, value in one.items()}
                (folder / "truth.pickle").write_bytes(pickle.dumps(truth))


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
