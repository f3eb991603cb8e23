"""Split a suite's cases into what a jail receives and what the judge keeps."""

import contextlib
import functools
import hashlib
import json
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from plum_hub.execution import wire
from plum_hub.execution.base import Call, Case, Program, Reinterpretation, Statement, Stdio, Steps, Value
from plum_hub.execution.closeness import Closeness, accepts, parse_expected
from plum_hub.execution.conditions import MAX_HASHED, Condition
from plum_hub.execution.literals import MAX_CHARACTERS, largest_hashed
from plum_hub.execution.plain_literals import NotPlainError, parse_plain, plain_call
from plum_hub.execution.reserved import reserved
from plum_hub.execution.values import TooLargeValueError, UnsupportedValueError, encode

_TIMED = f"({reserved('setitimer')}(2, {{}}), {{}})[1]"
"""An expression with a CPU limit of its own: when it expires, a signal ends the process. A program that removes the
limit only gets the CPU time it has left, as without one.
"""
_PLAIN_CHARACTERS = 1 << 20
"""Cases that are longer together are not sent as plain calls: a jail would hold the arguments of all at once."""
_REFLEXIVE = ("equal", "near", "close", "as_list")
"""Comparisons that the expected value itself passes."""


Part: TypeAlias = tuple[int, Call | Value | Statement]
"""The index of a case, and what runs for it: itself, or one of its steps."""


@dataclass(frozen=True)
class Cases:
    """A program's cases as a jail receives them: never an expected value, never an expected output.

    Attributes:
        name: Digest of `text`; a jail that has received this name keeps `text`.
        text: A list of what runs, as JSON: `["call", expression]`; `["statement", source]`; `["step", source]` for a
            statement that decides nothing, before which no module is restored; or, for a call with plain arguments,
            `["plain", what is called, its own CPU limit or null, arguments]`, where `{"": [1, 2]}` is a tuple. That
            needs no compiler.
        statements: Number of statements.
    """

    name: str
    text: bytes
    statements: int
    passing_results: bytes | None
    """The results of a program that passes exactly; most passing programs are recognised by this comparison alone. None
    where the cases have no single such result.
    """
    parts: tuple[Part, ...]
    """What runs together in one process."""
    module_cases: tuple[int, ...]
    """Indices of the cases that run together in one process. Reinterpretations are in neither list."""
    scripts: tuple[int, ...]
    """Indices of the cases that run in a process each."""
    reinterpretations: Mapping[int, list[int]]
    """Indices of the reinterpretations of a case, by the index of that case."""


_CASES: OrderedDict[int, tuple[tuple[Case, ...], Cases]] = OrderedDict()
"""Cache by identity: the samples of a suite share its cases tuple, and comparing a thousand cases takes longer than
many programs run.
"""
_MAX_CACHED_SUITES = 1024


def cases_of(program: Program) -> Cases:
    """Return the program's cases as a jail receives them.

    Args:
        program: Its `cases` tuple is the key of a cache, by identity.

    Returns:
        The prepared cases.

    Raises:
        ValueError: An expected value is not a literal, or a reinterpretation does not refer to an earlier call or
            script.
    """
    cases = program.cases
    known = _CASES.get(id(cases))
    if known is not None and known[0] is cases:
        _CASES.move_to_end(id(cases))
        return known[1]
    parts = parts_of(cases)
    is_short = sum(len(part.expression) for _, part in parts if isinstance(part, Call | Value)) <= _PLAIN_CHARACTERS
    reinterpretations: defaultdict[int, list[int]] = defaultdict(list)
    for number, case in enumerate(cases):
        if isinstance(case, Reinterpretation) and not (
            0 <= case.case < number and isinstance(cases[case.case], Call | Stdio)
        ):
            raise ValueError(f"case {number} reinterprets case {case.case}, which is not an earlier call or script")
        if isinstance(case, Reinterpretation):
            reinterpretations[case.case].append(number)
    sent = [_sent(part, isinstance(cases[number], Steps), may_be_plain=is_short) for number, part in parts]
    text = f"[{','.join(sent)}]".encode()
    scripts = tuple(number for number, case in enumerate(cases) if isinstance(case, Stdio))
    module_cases = tuple(number for number, case in enumerate(cases) if not isinstance(case, Stdio | Reinterpretation))
    statements = sum(isinstance(part, Statement) for _, part in parts)
    name = hashlib.blake2b(text, digest_size=16).hexdigest()
    prepared = Cases(
        name, text, statements, _passing_results(cases, parts), parts, module_cases, scripts, reinterpretations
    )
    _CASES[id(cases)] = (cases, prepared)
    if len(_CASES) > _MAX_CACHED_SUITES:
        _CASES.popitem(last=False)
    return prepared


def parts_of(cases: tuple[Case, ...]) -> tuple[Part, ...]:
    """List what runs for the cases in one process.

    Args:
        cases: The cases.

    Returns:
        Calls, values and statements in order, those of `Steps` among them, each with the index of its case.
    """
    return tuple(
        (number, part)
        for number, case in enumerate(cases)
        for part in (case.steps if isinstance(case, Steps) else (case,))
        if isinstance(part, Call | Value | Statement)
    )


def _sent(part: Call | Value | Statement, is_step: bool, *, may_be_plain: bool) -> str:
    """Return an item of `Cases.text`."""
    if isinstance(part, Statement):
        return json.dumps(("step" if is_step else "statement", part.source))
    if isinstance(part, Value):
        return _call(part.expression, None, may_be_plain=may_be_plain)
    expected(part.expected)
    return _call(part.expression, part.cpu_seconds, may_be_plain=may_be_plain)


def _call(expression: str, cpu_seconds: float | None, *, may_be_plain: bool) -> str:
    """Return an item of `Cases.text`."""
    if may_be_plain:
        with contextlib.suppress(NotPlainError):
            name, arguments = plain_call(expression)
            return f'["plain",{json.dumps(name)},{json.dumps(cpu_seconds)},{arguments}]'
    return json.dumps(("call", _TIMED.format(cpu_seconds, expression) if cpu_seconds else expression))


@functools.lru_cache(maxsize=4096)
def expected(source: str) -> tuple[Any, int]:
    """Parse an expected value.

    Args:
        source: A literal or a closeness (`closeness.parse_expected`).

    Returns:
        The value, and the size of the largest set or dictionary that a correct answer can contain.
    """
    if len(source) <= MAX_CHARACTERS:
        with contextlib.suppress(NotPlainError):
            return parse_plain(source), 0
    value = parse_expected(source, conditions=True)
    if isinstance(value, Condition):
        return value, MAX_HASHED
    return value, largest_hashed(value.expected if isinstance(value, Closeness) else value)


def _passing_results(cases: tuple[Case, ...], parts: tuple[Part, ...]) -> bytes | None:
    """Return the results of a program that gives every call exactly its expected value.

    None where the cases have no single such result.
    """
    frames = [wire.FRAME.pack(wire.COMPILED, 0), wire.FRAME.pack(wire.LOADED, 0)]
    if not all(isinstance(case, Call | Reinterpretation | Steps) for case in cases):
        return None
    for case in (*(case for case in cases if isinstance(case, Reinterpretation)), *(part for _, part in parts)):
        if isinstance(case, Value | Statement) or case.comparison not in _REFLEXIVE:
            return None
        if isinstance(case, Reinterpretation):
            continue
        try:
            value = expected(case.expected)[0]
            if isinstance(value, Closeness):
                if not accepts(value, value.expected):
                    return None
                value = value.expected
            text = encode(value)
        except (UnsupportedValueError, TooLargeValueError):
            return None
        frames.append(wire.framed(wire.VALUE, text))
    return b"".join(frames)
