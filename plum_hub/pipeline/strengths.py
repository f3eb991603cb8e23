"""The strength of suites in stage `suites`: measured if the recipe asks for it, before any sample is paid for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from plum_hub.execution import Judge
from plum_hub.judging.cases import limits_of
from plum_hub.recipe import Recipe
from plum_hub.records import SuiteStrength, TestSuite
from plum_hub.run import Run
from plum_hub.statistics import Distribution, distribution
from plum_hub.strength import measure

WEAK = "weak"
"""Reason of a self-consistent suite that is left out because its mutation score is below `suites.min_strength`."""


@dataclass
class StrengthFilter:
    """Measures suites and tells which are too weak. Without a judge it does neither."""

    recipe: Recipe
    judge: Judge | None = None
    append: Callable[[SuiteStrength], None] = lambda _: None
    known: dict[str, SuiteStrength] = field(default_factory=dict)
    """What was measured, by the id of the suite."""

    def measure(self, suites: Sequence[TestSuite]) -> None:
        """Measure suites that were not measured before, and keep the records.

        Args:
            suites: The suites.

        Raises:
            SandboxError: Programs cannot be run on this machine.
        """
        if self.judge is None:
            return
        pending = {suite.id: suite for suite in suites if suite.id not in self.known}
        for strength in measure(pending.values(), self.judge, limits_of(self.recipe.verdicts)):
            self.known[strength.id] = strength
            self.append(strength)

    def weakness(self, suite: TestSuite) -> str | None:
        """Tell why a suite is too weak.

        Args:
            suite: A suite that was measured.

        Returns:
            The evidence, in one line; None if the suite is kept. A suite with nothing to count is kept.
        """
        strength, least = self.known.get(suite.id), self.recipe.suites.min_strength
        if strength is None or strength.mutation_score is None or strength.mutation_score >= least:
            return None
        countable = strength.mutants - strength.equivalent
        return (
            f"mutation score {strength.mutation_score:.2f} ({strength.killed} of {countable} mutants fail), "
            f"below suites.min_strength {least:g}"
        )


@contextmanager
def measuring(run: Run, judge: Judge) -> Iterator[StrengthFilter]:
    """Open the records of strength of a run, if its recipe asks for them.

    Args:
        run: The run.
        judge: Runs the programs.

    Yields:
        The filter, which knows what was measured before.

    Raises:
        RunError: The file of records is damaged, or cannot be written.
    """
    if not is_measured(run.recipe):
        yield StrengthFilter(run.recipe)
        return
    known = {strength.id: strength for strength in run.rows(SuiteStrength)}
    with run.appending(SuiteStrength) as append:
        yield StrengthFilter(run.recipe, judge, append, known)


def is_measured(recipe: Recipe) -> bool:
    """Tell whether a recipe has its suites measured: a least strength cannot be held without.

    Args:
        recipe: The recipe.

    Returns:
        True if it has.
    """
    return recipe.suites.strength or recipe.suites.min_strength > 0


def strength_of(run: Run) -> Distribution | None:
    """Summarize the mutation scores of the suites of a run.

    Args:
        run: The run.

    Returns:
        Their distribution; None if no suite that was kept has a score.

    Raises:
        RunError: A file of the run is damaged.
    """
    if not is_measured(run.recipe):
        return None
    kept = run.ids(TestSuite)
    scores = run.columns(SuiteStrength, "id", "mutation_score")
    return distribution([score for name, score in scores if name in kept and score is not None])
