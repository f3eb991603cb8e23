"""Which of the cases that could be added to a suite are added: those that show what no case shows yet."""

from collections import Counter, defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import TypeAlias

Outcomes: TypeAlias = tuple[bool | None, ...]
"""Whether a program passes each case; None where that is not known."""


@dataclass(frozen=True)
class SampledProgram:
    """A program that the policy wrote.

    Attributes:
        code: Python source.
        passed: Whether it passes each case of the suite.
    """

    code: str
    passed: tuple[bool, ...]


def killers(kills: Sequence[Set[int]], most: int) -> list[int]:
    """Choose the case that kills most mutants, the earliest of equals, again and again.

    Args:
        kills: For each case, the mutants that fail it.
        most: Largest number of cases.

    Returns:
        The places of the cases, each of which kills a mutant that none before it kills.
    """
    left, found = [set(one) for one in kills], list[int]()
    while len(found) < most and any(left):
        best = max(range(len(left)), key=lambda place: len(left[place]))
        found.append(best)
        left = [killed - kills[best] for killed in left]
    return found


def separators(programs: Sequence[tuple[SampledProgram, Outcomes]], chosen: Sequence[int], most: int) -> list[int]:
    """Choose the case that tells most pairs of programs apart which pass the same cases so far, again and again.

    Pairs of programs that pass every case so far come first, since the case changes the label of one of them; then all
    other pairs. Of equal cases the earliest is chosen.

    Args:
        programs: Programs of the policy, each with its outcomes on the cases that could be added.
        chosen: The places of cases that are added anyway.
        most: Largest number of further cases.

    Returns:
        The places of further cases, each of which tells programs apart that none before it does.
    """
    so_far: list[Outcomes] = [(*one.passed, *(outcomes[place] for place in chosen)) for one, outcomes in programs]
    columns = list(zip(*(outcomes for _, outcomes in programs), strict=True))
    found: list[int] = []
    while columns and len(found) < most:
        scores = [_separated(so_far, column) for column in columns]
        best = max(range(len(scores)), key=scores.__getitem__)
        if not any(scores[best]):
            break
        found.append(best)
        so_far = [(*passed, outcome) for passed, outcome in zip(so_far, columns[best], strict=True)]
    return found


def _separated(so_far: Sequence[Outcomes], column: Outcomes) -> tuple[int, int]:
    """Count the pairs that a case tells apart: of programs that pass every case so far, and of others."""
    groups: dict[Outcomes, Counter[bool | None]] = defaultdict(Counter)
    for passed, outcome in zip(so_far, column, strict=True):
        groups[passed][outcome] += 1
    pairs = {passed: counts[True] * counts[False] for passed, counts in groups.items()}
    return (
        sum(count for passed, count in pairs.items() if all(passed)),
        sum(count for passed, count in pairs.items() if not all(passed)),
    )
