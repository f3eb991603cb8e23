"""Compute the outputs of a benchmark's own solutions in the sandbox, cached in `$PLUM_HUB_HOME/benchmarks`.

The cache has one file per content. Its name depends on everything that decides the outputs: the expressions, the
solutions, the sandbox harness, this module, and the modules that write and read values. A damaged file is computed
again.
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
"""Limits of a benchmark's own solution, which is trusted to terminate."""
_CLOCK = Value(expression=f"{reserved('import')}('time').process_time()")
_FINGERPRINT = (
    f"(lambda given: {reserved('import')}('hashlib').sha256(given.encode()).hexdigest() "
    f"if {reserved('isinstance')}(given, {reserved('str')}) "
    f"else ({reserved('isinstance')}(given, {reserved('list')}), {reserved('hash')}({reserved('tuple')}(given))))({{}})"
)
"""Fingerprint of a string, or of a list of numbers; equal lists have equal fingerprints. A program cannot profit from
forging it, because it has never seen the correct one.
"""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A benchmark's own solution with the expressions to evaluate.

    Attributes:
        id: Unique name of the solution and suite.
        code: The source.
        entry_point: The function that the expressions call.
        expressions: Expressions over the program's names.
    """

    id: str
    code: str
    entry_point: str
    expressions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ReferenceOutputs:
    """The outputs of one solution.

    Attributes:
        calls: Each expression with its value as a literal. If the value is too long to leave the sandbox, both are
            replaced by those of its fingerprint.
        seconds: CPU time of each call.
    """

    calls: tuple[tuple[str, str], ...]
    seconds: tuple[float, ...]


def reference_outputs(name: str, references: Sequence[Reference]) -> Mapping[str, ReferenceOutputs]:
    """Compute the outputs of solutions, or read them from the cache.

    Args:
        name: The name of the benchmark.
        references: The solutions, with unique ids.

    Returns:
        The outputs by the id of the solution.

    Raises:
        BenchmarkError: A solution does not terminate, or returns a value without a literal form.
        SandboxError: Programs cannot run here.
    """
    with Judge() as judge:
        code = [Path(str(module.__file__)).read_text() for module in (literals, values, sys.modules[__name__])]
        key = digest([vars(reference) for reference in references], judge.harness_version, code)
        path = home() / "benchmarks" / f"{name}-{key}.json.gz"
        outputs = _read_cache(path)
        if outputs is None:
            outputs = _compute(name, judge, references)
            _write_cache(path, outputs)
        return outputs


def _compute(name: str, judge: Judge, references: Sequence[Reference]) -> dict[str, ReferenceOutputs]:
    reference_by_id = {reference.id: reference for reference in references}
    first = {execution.id: execution for execution in judge.run(map(_program, references))}
    retried = [
        _with_fingerprints(reference_by_id[id_], execution)
        for id_, execution in first.items()
        if execution.status == "failed"
    ]
    reference_by_id.update((reference.id, reference) for reference in retried)
    executions = first | {execution.id: execution for execution in judge.run(map(_program, retried))}
    return {id_: _outputs(name, reference, executions[id_]) for id_, reference in reference_by_id.items()}


def _program(reference: Reference) -> Program:
    cases = (_CLOCK, *(case for text in reference.expressions for case in (Value(expression=text), _CLOCK)))
    return Program(id=reference.id, code=reference.code, entry_point=reference.entry_point, cases=cases, limits=LIMITS)


def _with_fingerprints(reference: Reference, execution: Execution) -> Reference:
    pairs = zip(reference.expressions, execution.cases[1::2], strict=True)
    texts = tuple(_FINGERPRINT.format(text) if case.outcome == "wrong" else text for text, case in pairs)
    return replace(reference, expressions=texts)


def _outputs(name: str, reference: Reference, execution: Execution) -> ReferenceOutputs:
    if execution.status != "passed":
        raise BenchmarkError(
            f"{name}: its own solution of {reference.id} does not pass here ({execution.status}: {execution.detail}): "
            "retry on a machine with more memory"
        )
    texts = [str(case.value) for case in execution.cases]
    clock = [float(text) for text in texts[::2]]
    return ReferenceOutputs(
        calls=tuple(zip(reference.expressions, texts[1::2], strict=True)),
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


def _write_cache(path: Path, outputs: Mapping[str, ReferenceOutputs]) -> None:
    rows = {name: [output.calls, output.seconds] for name, output in outputs.items()}
    write_whole(path, gzip.compress(json.dumps(rows, separators=(",", ":")).encode(), compresslevel=3))
