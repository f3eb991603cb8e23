"""The roles of the cases of suites, where the recipe asks for them (`suites.roles`, `suites.structured`).

They are read from the responses again once the suites are chosen, so that they follow a case through a vote and a kill.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from plum_hub.answers.ballot import renamed
from plum_hub.answers.suite import ParsedSuite, parse_suite
from plum_hub.pipeline.published import GENERATE
from plum_hub.recipe import Recipe
from plum_hub.records import UNSPECIFIED, CaseRole, Response, SuiteRoles, TestCase, TestSuite, by_role
from plum_hub.run import Run


def has_roles(recipe: Recipe) -> bool:
    """Tell whether a recipe asks for roles of cases: published suites and those of rows have none.

    Args:
        recipe: The recipe.

    Returns:
        True if it does.
    """
    return (recipe.suites.roles or recipe.suites.structured is True) and recipe.suites.source == GENERATE


def record_roles(run: Run) -> None:
    """Keep the roles of every suite that lacks them.

    Args:
        run: A run whose suites are chosen.

    Raises:
        RunError: A file of the run is damaged, or cannot be written.
    """
    if not has_roles(run.recipe):
        return
    known, settings = run.ids(SuiteRoles), run.recipe.suites
    pending = [suite for suite in run.rows(TestSuite) if suite.id not in known]
    wanted = {suite.instruction_id for suite in pending}
    responses: dict[str, list[Response]] = defaultdict(list)
    for response in run.rows(Response) if pending else ():
        if response.instruction_id in wanted:
            responses[response.instruction_id].append(response)
    with run.appending(SuiteRoles) as append:
        for suite in pending:
            # Its own response first: of two that name a role for the same case, that one counts.
            group = sorted(responses[suite.instruction_id], key=lambda one: (one.id != suite.response_id, one.index))
            parsed = (
                parse_suite(one.text, min_cases=settings.min_cases, max_cases=settings.max_cases)
                for one in (group if settings.vote else group[:1])
            )
            roles = case_roles(suite, [one for one in parsed if isinstance(one, ParsedSuite)])
            append(SuiteRoles(id=suite.id, instruction_id=suite.instruction_id, roles=[*roles]))


def case_roles(suite: TestSuite, parsed: Sequence[ParsedSuite]) -> list[CaseRole]:
    """Find the role of each case of a suite.

    Args:
        suite: The suite.
        parsed: The suites that its cases may come from, under their own names; the first that names a role counts.

    Returns:
        The roles, in the order of the cases.
    """
    stated: dict[TestCase, CaseRole] = {}
    for one in parsed:
        if bool(one.entry_point) == bool(suite.entry_point):  # scripts vote among themselves
            for case, role in one.roles.items():
                stated.setdefault(renamed(case, one.entry_point, suite.entry_point), role)
    return [stated.get(case, UNSPECIFIED) for case in suite.cases]


def count_roles(run: Run) -> dict[str, int] | None:
    """Count the cases of the suites of a run by their role.

    Args:
        run: The run.

    Returns:
        The counts, in the order of `CaseRole`; None if the recipe asks for no roles.

    Raises:
        RunError: A file of the run is damaged.
    """
    if not has_roles(run.recipe):
        return None
    kept = run.ids(TestSuite)
    rows = run.columns(SuiteRoles, "id", "roles")
    return by_role(Counter(role for name, roles in rows if name in kept for role in roles))


def roles_of(run: Run, suite_id: str) -> list[str] | None:
    """Look up the roles of the cases of a suite.

    Args:
        run: The run.
        suite_id: The suite.

    Returns:
        The roles, in the order of the cases; None if they are not recorded.

    Raises:
        RunError: A file of the run is damaged.
    """
    if not has_roles(run.recipe):
        return None
    return next((roles for name, roles in run.columns(SuiteRoles, "id", "roles") if name == suite_id), None)
