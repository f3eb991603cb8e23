"""The evidence about suites that a run has: the values of its columns in the release."""

from collections.abc import Set
from statistics import fmean
from typing import Any, TypeAlias

from plum_hub.errors import RunError
from plum_hub.pipeline.published import GENERATE
from plum_hub.pipeline.roles import has_roles
from plum_hub.pipeline.strengths import is_measured
from plum_hub.records import Record, Sample, SuiteRoles, SuiteStrength, SuiteVote, TestSuite, Verdict
from plum_hub.release.schemas import Evidence
from plum_hub.remedies import finished
from plum_hub.run import Run
from plum_hub.strength import discrimination

_Rows: TypeAlias = dict[str, dict[str, Any]]
"""Values of the columns, by suite."""


def evidence_kinds(run: Run, contaminated: Set[str]) -> frozenset[Evidence]:
    """Find which kinds of evidence there are about the suites that are released.

    Args:
        run: The run.
        contaminated: Ids of the rows that are not released.

    Returns:
        The kinds. Where suites were measured and none has a mutation score, there is no strength.

    Raises:
        RunError: A file of the run is damaged.
    """
    found: set[Evidence] = set()
    for shard in run.shards:
        suites = shard.ids(TestSuite) - contaminated
        if _has_votes(run) and suites:
            found.add("vote")
        if has_roles(run.recipe) and suites:
            found.add("roles")
        if is_measured(run.recipe):
            scores = shard.columns(SuiteStrength, "id", "mutation_score")
            if any(score is not None and name in suites for name, score in scores):
                found |= {"strength", "discrimination"}
    return frozenset(found)


def evidence_of(run: Run, contaminated: Set[str]) -> _Rows:
    """Collect the evidence about the suites of a shard that are released.

    Args:
        run: The shard.
        contaminated: Ids of the rows that are not released.

    Returns:
        The values of the columns of `test_suites`, by suite.

    Raises:
        RunError: A file of the run is damaged, or lacks the vote on a suite or its roles.
    """
    suites = run.ids(TestSuite) - contaminated
    found: _Rows = {name: {} for name in suites}
    kinds = [_votes(run, suites), _roles(run, suites)]
    if is_measured(run.recipe):
        kinds += [_strengths(run, suites), _discriminations(run, run.ids(Sample) - contaminated)]
    for rows in kinds:
        for name in rows.keys() & found.keys():
            found[name] |= rows[name]
    return found


def _strengths(run: Run, suites: Set[str]) -> _Rows:
    """Return what was measured."""
    return {
        strength.id: {
            "mutation_score": strength.mutation_score,
            "statement_coverage": strength.statement_coverage,
            "branch_coverage": strength.branch_coverage,
        }
        for strength in run.rows(SuiteStrength)
        if strength.id in suites
    }


def _discriminations(run: Run, samples: Set[str]) -> _Rows:
    """Return how well each suite tells the released samples apart; suites without samples are not there."""
    verdicts = (verdict for verdict in run.rows(Verdict) if verdict.sample_id in samples)
    return {
        one.suite_id: {"pass_rate": one.pass_rate, "dual_agreement": one.dual_agreement}
        for one in discrimination(verdicts)
    }


def _has_votes(run: Run) -> bool:
    """Return whether the references vote; there is no vote on suites that the run does not generate."""
    return run.recipe.suites.vote and run.recipe.suites.source == GENERATE


def _votes(run: Run, suites: Set[str]) -> _Rows:
    """Return how the references voted, if they do."""
    if not _has_votes(run):
        return {}
    found = {
        name: {"voters": len(responses), "shares": shares, "agreement": fmean(shares)}
        for name, responses, shares in run.columns(SuiteVote, "id", "responses", "shares")
        if name in suites
    }
    return _complete(run, suites, found, SuiteVote, "lacks the vote on suite {}; hold it again")


def _roles(run: Run, suites: Set[str]) -> _Rows:
    """Return the roles of the cases; nothing if the recipe asks for none."""
    if not has_roles(run.recipe):
        return {}
    found = {name: {"roles": roles} for name, roles in run.columns(SuiteRoles, "id", "roles") if name in suites}
    return _complete(run, suites, found, SuiteRoles, "lacks the roles of suite {}; read them again")


def _complete(run: Run, suites: Set[str], found: _Rows, kind: type[Record], problem: str) -> _Rows:
    """Return what was found if every suite has a row."""
    if missing := sorted(suites - found.keys()):
        raise RunError(f"{run.path(kind)}: {problem.format(missing[0])}:  {finished(run.folder)}")
    return found
