"""A vote over several suites of one instruction: each reference is run against the cases of all, and the majority wins.

It is the dual execution agreement of CodeT (arXiv 2207.10397) with one voter a suite, and self-consistency (arXiv
2203.11171) over values instead of answers: a wrong expected value passes its own reference, which was written by the
same model in the same answer, but seldom those of other answers.

Who votes: suites of scripts vote with one another, and so do suites of one function or class. Where the names differ,
the signatures must take as many arguments, and the cases are renamed. The largest group of such suites decides.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from plum_hub.answers.ballot import Voter, largest_ballot, renamed, source_of
from plum_hub.answers.source import parse
from plum_hub.answers.suite import ParsedSuite, Unusable, find_problem
from plum_hub.execution import Execution, Judge, Limits, Program
from plum_hub.execution.base import CaseResult
from plum_hub.judging.cases import program
from plum_hub.records import TestCase

_NOT_RUN = CaseResult(outcome="not_run")
_SHOWN = 120
"""Characters of a call or value that a message quotes."""


@dataclass(frozen=True)
class VoteResult:
    """What a vote came to. Suites are named by their positions among those given.

    Attributes:
        voters: The suites that voted, in ascending order; one alone if no other is comparable with it.
        base: The suite whose reference and starter code are taken; None if the voters disagree.
        suite: The merged suite, not yet proved; None if the voters disagree.
        shares: For each case of `suite`, the share of the voters' references that pass it, over 1/2 and up to 1.
        origins: For each case of `suite`, the suite that it comes from.
        disagreement: If the voters disagree, the first call that they disagree about and its values, in one line.
    """

    voters: tuple[int, ...]
    base: int | None = None
    suite: ParsedSuite | None = None
    shares: tuple[float, ...] = ()
    origins: tuple[int, ...] = ()
    disagreement: str = ""


@dataclass(frozen=True)
class _Motion:
    """One case and the results of all references on it, by position; its author passes it."""

    author: int
    case: TestCase
    key: tuple[str, ...]
    results: Mapping[int, CaseResult]

    @property
    def supporters(self) -> frozenset[int]:
        return frozenset(place for place, result in self.results.items() if result.outcome == "passed")

    @property
    def share(self) -> float:
        return len(self.supporters) / len(self.results)

    @property
    def has_majority(self) -> bool:
        return 2 * len(self.supporters) > len(self.results)


def vote(
    suites: Sequence[ParsedSuite], judge: Judge, limits: Limits, *, min_cases: int = 3, max_cases: int | None = None
) -> VoteResult:
    """Merge the suites of one instruction by a vote of their references.

    Args:
        suites: At least one suite; each must pass its own cases, as `proof.run_proofs` shows.
        judge: Runs the references.
        limits: Limits of one reference on the cases of one suite.
        min_cases: Fewest cases of a merged suite.
        max_cases: Most cases of a merged suite; None for no limit.

    Returns:
        The merged suite, still to be proved, or the disagreement.

    Raises:
        SandboxError: Programs cannot be run on this machine.
    """
    return vote_all([suites], judge, limits, min_cases=min_cases, max_cases=max_cases)[0]


def vote_all(
    groups: Sequence[Sequence[ParsedSuite]],
    judge: Judge,
    limits: Limits,
    *,
    min_cases: int = 3,
    max_cases: int | None = None,
) -> list[VoteResult]:
    """Hold the votes of several instructions with one call of the judge.

    A case is kept if more than half of the voters' references pass it; of two voters, both. A reference that was
    stopped before a case does not pass it. The base is the suite whose reference passes most of the kept cases, the
    earliest of equals. Kept cases that it fails are removed. Its own come first; of cases with the same call, only the
    first stays.

    Args:
        groups: For each instruction, its suites, as in `vote`; may be empty.
        judge: Runs the references.
        limits: Limits of one reference on the cases of one suite.
        min_cases: Fewest cases of a merged suite.
        max_cases: Most cases of a merged suite; None for no limit.

    Returns:
        One result for each group; without voters for an empty one.

    Raises:
        SandboxError: Programs cannot be run on this machine.
    """
    ballots = [largest_ballot(suites) for suites in groups]
    programs = (one for number, ballot in enumerate(ballots) for one in _programs(number, ballot, limits))
    executions = {execution.id: execution for execution in judge.run(programs)}
    return [_count(number, ballot, executions, min_cases, max_cases) for number, ballot in enumerate(ballots)]


def _programs(number: int, ballot: Sequence[Voter[ParsedSuite]], limits: Limits) -> Iterator[Program]:
    """Yield each reference with the cases of each other suite: in runs of their own, a slow case hides few others."""
    for voter in ballot:
        own = voter.suite
        for author in ballot:
            if author is not voter:
                cases = tuple(renamed(case, author.suite.entry_point, own.entry_point) for case in author.suite.cases)
                yield program(_name(number, voter, author), own.reference, own.entry_point, cases, limits)


def _name(number: int, voter: Voter[ParsedSuite], author: Voter[ParsedSuite]) -> str:
    return f"{number}:{voter.place}:{author.place}"


def _key(case: TestCase) -> tuple[str, ...]:
    """Return what two cases have in common that run the same call, whatever value they expect."""
    if case.kind == "stdio":
        return case.kind, (case.stdin or "").rstrip()
    tree = parse(source_of(case))
    return case.kind, source_of(case) if tree is None else ast.unparse(tree)


def _motions(
    number: int, ballot: Sequence[Voter[ParsedSuite]], executions: Mapping[str, Execution]
) -> Iterator[_Motion]:
    """Yield every case with its results, in the order of the suites. Keys are under the first suite's entry point."""
    for author in ballot:
        for index, case in enumerate(author.suite.cases):
            results = {
                voter.place: CaseResult(outcome="passed")
                if voter is author
                else _result(executions[_name(number, voter, author)], index)
                for voter in ballot
            }
            key = _key(renamed(case, author.suite.entry_point, ballot[0].suite.entry_point))
            yield _Motion(author.place, case, key, results)


def _result(execution: Execution, index: int) -> CaseResult:
    if index < len(execution.cases):
        result = execution.cases[index]
        return result if result.outcome != "not_run" or result.detail else replace(result, detail=execution.detail)
    return replace(_NOT_RUN, detail=execution.detail)


def _count(
    number: int,
    ballot: Sequence[Voter[ParsedSuite]],
    executions: Mapping[str, Execution],
    min_cases: int,
    max_cases: int | None,
) -> VoteResult:
    voters = tuple(voter.place for voter in ballot)
    if not ballot:
        return VoteResult(voters)
    motions = list(_motions(number, ballot, executions))
    carried = [motion for motion in motions if motion.has_majority]
    base = max(ballot, key=lambda voter: len({_claim(one) for one in carried if voter.place in one.supporters}))
    merged = _merged(carried, base.place)[:max_cases]
    names = {voter.place: voter.suite.entry_point for voter in ballot}
    cases = tuple(renamed(one.case, names[one.author], base.suite.entry_point) for one in merged)
    problem = find_problem(cases, min_cases)
    if problem is not None:
        return VoteResult(voters, disagreement=_disagreement(motions, problem))
    return VoteResult(
        voters,
        base=base.place,
        suite=replace(base.suite, cases=cases),
        shares=tuple(one.share for one in merged),
        origins=tuple(one.author for one in merged),
    )


def _claim(motion: _Motion) -> tuple[object, ...]:
    """Return what makes two cases one: the call and what it should give."""
    return motion.key, motion.case.expected, motion.case.tolerance, motion.case.stdout


def _merged(carried: Sequence[_Motion], base: int) -> list[_Motion]:
    """Return the cases that the base passes: its own first, and the first of those with the same call."""
    passed = [one for one in carried if base in one.supporters]
    distinct: dict[tuple[str, ...], _Motion] = {}
    for motion in sorted(passed, key=lambda one: one.author != base):  # stable
        distinct.setdefault(motion.key, motion)
    return list(distinct.values())


def _disagreement(motions: Sequence[_Motion], problem: Unusable) -> str:
    """Describe the first case without a majority, or else the first that a reference fails."""
    contested = [one for one in motions if one.share < 1]
    first = next((one for one in contested if not one.has_majority), contested[0] if contested else None)
    if first is None:
        return f"{problem.reason}: {problem.detail}"
    case, voted = first.case, len(first.results)
    wants = case.expected if case.kind == "call" else case.stdout if case.kind == "stdio" else "true"
    asked = repr(case.stdin) if case.kind == "stdio" else " ".join(source_of(case).split())
    others = dict.fromkeys(
        _shown(one.detail or one.outcome) for one in first.results.values() if one.outcome != "passed"
    )
    return (
        f"{_shown(asked)} is {_shown(str(wants))} for {len(first.supporters)} of {voted} references, "
        f"{' and '.join(others)} for others"
    )


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."
