"""What a jail is told of a suite's cases, and what of them stays with the judge."""

import functools
import hashlib
import json
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plum_hub.execution import wire
from plum_hub.execution.base import Call, Case, Program, Reinterpretation, Statement, Stdio, Value
from plum_hub.execution.closeness import Closeness, accepts, parse_expected
from plum_hub.execution.literals import largest_hashed
from plum_hub.execution.reserved import reserved
from plum_hub.execution.values import TooLargeValueError, UnsupportedValueError, encode

_TIMED = f"({reserved('setitimer')}(2, {{}}), {{}})[1]"
"""An expression with a limit of CPU time of its own: behind it a signal ends the process. Who takes the limit away has
all that is left to the program, as without."""
_REFLEXIVE = ("equal", "near", "close", "as_list")
"""Comparisons that the expected value itself passes."""


@dataclass(frozen=True)
class Cases:
    """What a jail is told of a program's cases: never an expected value, never what should be printed. A jail that has
    met `name` keeps `text`."""

    name: str
    text: bytes
    statements: int
    passing_results: bytes | None
    """See `_right`: most programs that pass are seen to at a glance."""
    module_cases: tuple[int, ...]
    """The numbers of the cases that all run in one process, and of those (`scripts`) with one each. Other readings are
    among neither."""
    scripts: tuple[int, ...]
    reinterpretations: Mapping[int, list[int]]
    """The numbers of the other readings of a case, by its number."""


_CASES: OrderedDict[int, tuple[tuple[Case, ...], Cases]] = OrderedDict()
"""By identity: the samples of a suite share its cases, and to compare a thousand takes longer than many programs."""
_MAX_CACHED_SUITES = 1024


def cases_of(program: Program) -> Cases:
    """The program's cases as a jail is told them.

    Raises:
        ValueError: an expected value is not a literal, or what is to be read again is no earlier call or script.
    """
    cases = program.cases
    known = _CASES.get(id(cases))
    if known is not None and known[0] is cases:
        _CASES.move_to_end(id(cases))
        return known[1]
    sent: list[tuple[str, str]] = []
    reinterpretations: defaultdict[int, list[int]] = defaultdict(list)
    for number, case in enumerate(cases):
        if isinstance(case, Reinterpretation) and not (
            0 <= case.case < number and isinstance(cases[case.case], Call | Stdio)
        ):
            raise ValueError(f"case {number} reads case {case.case} again, which is no earlier call or script")
        if isinstance(case, Reinterpretation):
            reinterpretations[case.case].append(number)
        elif isinstance(case, Call):
            expected(case.expected)
            timed = _TIMED.format(case.cpu_seconds, case.expression) if case.cpu_seconds else case.expression
            sent.append(("call", timed))
        elif isinstance(case, Value):
            sent.append(("call", case.expression))
        elif isinstance(case, Statement):
            sent.append(("statement", case.source))
    text = json.dumps(sent).encode()
    scripts = tuple(number for number, case in enumerate(cases) if isinstance(case, Stdio))
    module_cases = tuple(number for number, case in enumerate(cases) if not isinstance(case, Stdio | Reinterpretation))
    statements = sum(kind == "statement" for kind, _ in sent)
    name = hashlib.blake2b(text, digest_size=16).hexdigest()
    prepared = Cases(name, text, statements, _passing_results(cases), module_cases, scripts, reinterpretations)
    _CASES[id(cases)] = (cases, prepared)
    if len(_CASES) > _MAX_CACHED_SUITES:
        _CASES.popitem(last=False)
    return prepared


@functools.lru_cache(maxsize=4096)
def expected(source: str) -> tuple[Any, int]:
    """An expected value, and how large a set or dictionary in a right answer can be."""
    value = parse_expected(source)
    return value, largest_hashed(value.expected if isinstance(value, Closeness) else value)


def _passing_results(cases: tuple[Case, ...]) -> bytes | None:
    """The results of a program that gives every call its value, to the letter; None where there are other cases."""
    frames = [wire.FRAME.pack(wire.COMPILED, 0), wire.FRAME.pack(wire.LOADED, 0)]
    for case in cases:
        if not isinstance(case, Call | Reinterpretation) or case.comparison not in _REFLEXIVE:
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
