"""More cases for the suites of stage `suites`, where the recipe asks for them (`suites.strengthen`)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from plum_hub.execution import Judge
from plum_hub.judging.cases import limits_of
from plum_hub.pipeline.proof import run_proofs, unproved
from plum_hub.progress import Progress
from plum_hub.recipe import Recipe
from plum_hub.records import SuiteAddition, TestCase, TestSuite
from plum_hub.run import Run
from plum_hub.strength import WeakSuite, strengthen


@dataclass
class Strengthening:
    """Adds cases to suites, and counts them.

    Attributes:
        recipe: Says how many cases are added to a suite at most, and has the limits.
        judge: Runs the programs.
        append: Keeps the record of a suite that got cases.
        cases: Cases that were added so far.
        suites: Suites that got some.
    """

    recipe: Recipe
    judge: Judge
    append: Callable[[SuiteAddition], None] = lambda _: None
    cases: int = 0
    suites: int = 0

    def apply(self, weak: Sequence[WeakSuite]) -> list[TestSuite]:
        """Add cases to suites, and prove the suites again.

        Args:
            weak: The suites, and those beside them.

        Returns:
            The suites in the same order, each with its new cases behind its own; as it was if there are none, or if it
            is not proved with them.

        Raises:
            SandboxError: Programs cannot be run on this machine.
        """
        most = self.recipe.suites.strengthen
        if not most or not weak:
            return [one.suite for one in weak]
        limits = limits_of(self.recipe.verdicts)
        all_inputs = self.recipe.suites.strengthen_by == "inputs"
        added = strengthen(weak, self.judge, limits, most, all_inputs=all_inputs)
        stronger = [_with_cases(one.suite, cases) for one, cases in zip(weak, added, strict=True)]
        executions = run_proofs({str(n): one for n, one in enumerate(stronger) if added[n]}, self.judge, limits)
        found = []
        for number, (one, suite) in enumerate(zip(weak, stronger, strict=True)):
            is_proved = added[number] and unproved(str(number), executions, suite)[0] is None
            self.cases += len(added[number]) if is_proved else 0
            self.suites += bool(is_proved)
            if is_proved:
                self.append(SuiteAddition(id=suite.id, instruction_id=suite.instruction_id, cases=len(added[number])))
            found.append(suite if is_proved else one.suite)
        return found

    def report(self, progress: Progress) -> None:
        """Say how many cases were added.

        Args:
            progress: Shows the message.
        """
        if self.recipe.suites.strengthen:
            progress.say(f"suites.strengthen: {self.cases} cases added to {self.suites} suites")


@contextmanager
def strengthening_of(run: Run, judge: Judge) -> Iterator[Strengthening]:
    """Open the records of the cases that are added in a run, if its recipe asks for any.

    Args:
        run: The run.
        judge: Runs the programs.

    Yields:
        What adds the cases.

    Raises:
        RunError: The file of records cannot be written.
    """
    if not run.recipe.suites.strengthen:
        yield Strengthening(run.recipe, judge)
        return
    with run.appending(SuiteAddition) as append:
        yield Strengthening(run.recipe, judge, append)


def added_to(run: Run) -> dict[str, int] | None:
    """Count the cases that were added to the suites of a run.

    Args:
        run: The run, or a shard of it.

    Returns:
        How many each suite got, by its id; None if its recipe asks for none, or nothing was recorded.

    Raises:
        RunError: A file of the run is damaged.
    """
    if not run.recipe.suites.strengthen or not run.has(SuiteAddition):
        return None
    counts = dict(run.columns(SuiteAddition, "id", "cases"))
    return {name: counts.get(name, 0) for name in run.ids(TestSuite)}


def _with_cases(suite: TestSuite, added: tuple[TestCase, ...]) -> TestSuite:
    longer = replace(suite, cases=(*suite.cases, *added))
    return TestSuite.of(suite.instruction_id, longer, response_id=suite.response_id)
