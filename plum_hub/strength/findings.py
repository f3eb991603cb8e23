"""What mutants and marks have shown about a suite, and the record that it makes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from plum_hub.records import SuiteStrength, TestSuite
from plum_hub.strength.coverage import Probes
from plum_hub.strength.mutation import Mutant


@dataclass(frozen=True, kw_only=True)
class SuiteFindings:
    """What was found out about one suite. Without a reference that passes, nothing.

    Attributes:
        mutants: The mutants of its reference.
        not_loaded: Numbers of those that do not load. They are not counted.
        survivors: Numbers of those that pass the suite.
        alike: Survivors that give the same value as the reference wherever it gives one.
        probes: The places of the reference that are counted.
        reached: Numbers of the places that the suite runs.
    """

    mutants: Sequence[Mutant] = ()
    not_loaded: Collection[int] = ()
    survivors: Collection[int] = ()
    alike: Collection[int] = ()
    probes: Probes = field(default_factory=Probes)
    reached: Collection[int] = ()

    def record(self, suite: TestSuite, sandbox: str) -> SuiteStrength:
        """Make the record of a suite's strength.

        Args:
            suite: The suite.
            sandbox: Version of the sandbox.

        Returns:
            The record.
        """
        loaded = len(self.mutants) - len(self.not_loaded)
        equivalent = sum(map(self._is_equivalent, self.survivors))
        killed, countable = loaded - len(self.survivors), loaded - equivalent
        covered = [place in self.reached for place in range(len(self.probes.places))]
        return SuiteStrength(
            id=suite.id,
            instruction_id=suite.instruction_id,
            cases=len(suite.cases),
            mutants=loaded,
            killed=killed,
            equivalent=equivalent,
            mutation_score=killed / countable if countable else None,
            statements=self.probes.statements,
            statements_covered=sum(covered[: self.probes.statements]),
            statement_coverage=_share(covered[: self.probes.statements]),
            branches=len(self.probes.branches),
            branches_covered=sum(covered[place] for place in self.probes.branches),
            branch_coverage=_share([covered[place] for place in self.probes.branches]),
            sandbox=sandbox,
        )

    def _is_equivalent(self, number: int) -> bool:
        """Return whether a mutant is presumed to do the same as the reference.

        A fault in a statement that the suite does not run is no such case: there is no evidence.
        """
        place = self.probes.statement_at(self.mutants[number].line)
        return (place is None or place in self.reached) and number in self.alike


def _share(covered: list[bool]) -> float | None:
    return sum(covered) / len(covered) if covered else None
