"""What a benchmark's own solutions give, found out once in the sandbox and kept in `$PLUM_HUB_HOME/benchmarks`.

Kept is one file for each content, named by everything that decides it: the expressions, the solutions, the harness, and
the code here and where values are written and read.
A file that is damaged is made anew.
"""

import gzip
import itertools
import json
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from plum_hub.errors import BenchmarkError
from plum_hub.execution import Judge, Limits, Program, literals, values
from plum_hub.execution.base import Execution, Value
from plum_hub.execution.reserved import reserved
from plum_hub.files import write_whole
from plum_hub.home import home
from plum_hub.records import digest

LIMITS = Limits(cpu_seconds=120.0, wall_seconds=600.0, memory_mb=4096)
"""Of a benchmark's own solution, which is trusted to come to its end."""
_CLOCK = Value(expression=f"{reserved('import')}('time').process_time()")
_FINGERPRINT = (
    f"(lambda given: {reserved('import')}('hashlib').sha256(given.encode()).hexdigest() "
    f"if {reserved('isinstance')}(given, {reserved('str')}) "
    f"else ({reserved('isinstance')}(given, {reserved('list')}), {reserved('hash')}({reserved('tuple')}(given))))({{}})"
)
"""Of a text, or a list of numbers, which has the same fingerprint as every list that is equal to it. A program gains
nothing by forging it, as it has never met the right one."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A benchmark's own solution, and the expressions whose values are wanted."""

    id: str
    code: str
    entry_point: str
    expressions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ReferenceOutputs:
    """What one solution gave for each of its expressions: the expression and a literal. In place of a value that is too
    long to leave the sandbox, that is an expression for its fingerprint. `seconds` is the CPU time of each."""

    calls: tuple[tuple[str, str], ...]
    seconds: tuple[float, ...]


def reference_outputs(name: str, references: Sequence[Reference]) -> Mapping[str, ReferenceOutputs]:
    """What each solution gives, by its id.

    Raises:
        BenchmarkError: a solution does not come to its end, or gives what has no notation.
        SandboxError: programs cannot be run here.
    """
    with Judge() as judge:
        code = [Path(str(module.__file__)).read_text() for module in (literals, values, sys.modules[__name__])]
        key = digest([vars(one) for one in references], judge.harness_version, code)
        path = home() / "benchmarks" / f"{name}-{key}.json.gz"
        found = _read_cache(path)
        if found is None:
            found = _compute(name, judge, references)
            _write_cache(path, found)
        return found


def _compute(name: str, judge: Judge, references: Sequence[Reference]) -> dict[str, ReferenceOutputs]:
    asked = {one.id: one for one in references}
    first = {execution.id: execution for execution in judge.run(map(_program, references))}
    again = [_with_fingerprints(asked[id_], done) for id_, done in first.items() if done.status == "failed"]
    asked.update((one.id, one) for one in again)
    done = first | {execution.id: execution for execution in judge.run(map(_program, again))}
    return {id_: _outputs(name, one, done[id_]) for id_, one in asked.items()}


def _program(one: Reference) -> Program:
    cases = (_CLOCK, *(case for text in one.expressions for case in (Value(expression=text), _CLOCK)))
    return Program(id=one.id, code=one.code, entry_point=one.entry_point, cases=cases, limits=LIMITS)


def _with_fingerprints(one: Reference, done: Execution) -> Reference:
    pairs = zip(one.expressions, done.cases[1::2], strict=True)
    texts = tuple(_FINGERPRINT.format(text) if case.outcome == "wrong" else text for text, case in pairs)
    return replace(one, expressions=texts)


def _outputs(name: str, one: Reference, done: Execution) -> ReferenceOutputs:
    if done.status != "passed":
        raise BenchmarkError(
            f"{name}: its own solution of {one.id} does not run here ({done.status}: {done.detail}): "
            "try again on a machine with more memory"
        )
    given = [str(case.value) for case in done.cases]
    clock = [float(text) for text in given[::2]]
    return ReferenceOutputs(
        calls=tuple(zip(one.expressions, given[1::2], strict=True)),
        seconds=tuple(round(after - before, 3) for before, after in itertools.pairwise(clock)),
    )


def _read_cache(path: Path) -> dict[str, ReferenceOutputs] | None:
    try:
        rows = json.loads(gzip.decompress(path.read_bytes()))
        return {
            name: ReferenceOutputs(calls=tuple(map(tuple, calls)), seconds=tuple(seconds))
            for name, (calls, seconds) in rows.items()
        }
    except (OSError, EOFError, zlib.error, ValueError, TypeError, AttributeError):
        return None


def _write_cache(path: Path, found: Mapping[str, ReferenceOutputs]) -> None:
    rows = {name: [one.calls, one.seconds] for name, one in found.items()}
    write_whole(path, gzip.compress(json.dumps(rows, separators=(",", ":")).encode(), compresslevel=3))
