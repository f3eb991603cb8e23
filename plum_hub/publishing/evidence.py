"""The evidence about suites that a run has: the values of its columns in the release."""

from collections.abc import Set
from statistics import fmean
from typing import Any, TypeAlias

from plum_hub.errors import RunError
from plum_hub.pipeline.published import GENERATE
from plum_hub.pipeline.strengths import is_measured
from plum_hub.records import Sample, SuiteStrength, SuiteVote, TestSuite, Verdict
from plum_hub.release.schemas import Evidence
from plum_hub.run import Run
from plum_hub.strength import discrimination

_Rows: TypeAlias = dict[str, dict[str, Any]]
"""Values of the columns, by suite."""


def evidence_of(run: Run, contaminated: Set[str]) -> dict[Evidence, _Rows]:
    """Collect the evidence about the suites that are released.

    Args:
        run: The run.
        contaminated: Ids of the rows that are not released.

    Returns:
        For each kind of evidence that the run has, the values of its columns of `test_suites`, by suite.

    Raises:
        RunError: A file of the run is damaged, or a vote is missing.
    """
    suites = run.ids(TestSuite) - contaminated
    found: dict[Evidence, _Rows] = {"strength": _strengths(run, suites), "vote": _votes(run, suites)}
    if found["strength"]:
        found["discrimination"] = _discriminations(run, run.ids(Sample) - contaminated)
    return {name: rows for name, rows in found.items() if rows}


def _strengths(run: Run, suites: Set[str]) -> _Rows:
    """Return what was measured; nothing if no suite has a mutation score."""
    if not is_measured(run.recipe):
        return {}
    found = {
        strength.id: {
            "mutation_score": strength.mutation_score,
            "statement_coverage": strength.statement_coverage,
            "branch_coverage": strength.branch_coverage,
        }
        for strength in run.rows(SuiteStrength)
        if strength.id in suites
    }
    return found if any(row["mutation_score"] is not None for row in found.values()) else {}


def _discriminations(run: Run, samples: Set[str]) -> _Rows:
    """Return how well each suite tells the released samples apart; suites without samples are not there."""
    verdicts = (verdict for verdict in run.rows(Verdict) if verdict.sample_id in samples)
    return {
        one.suite_id: {"pass_rate": one.pass_rate, "dual_agreement": one.dual_agreement}
        for one in discrimination(verdicts)
    }


def _votes(run: Run, suites: Set[str]) -> _Rows:
    """Return how the references voted; nothing if the run does not generate its suites, for which there is no vote."""
    if not run.recipe.suites.vote or run.recipe.suites.source != GENERATE:
        return {}
    found = {
        name: {"voters": len(responses), "shares": shares, "agreement": fmean(shares)}
        for name, responses, shares in run.columns(SuiteVote, "id", "responses", "shares")
        if name in suites
    }
    if missing := sorted(suites - found.keys()):
        raise RunError(
            f"{run.path(SuiteVote)}: lacks the vote on suite {missing[0]}; hold it again:  "
            f"plum-hub build-dataset --recipe {run.folder}/recipe.yaml --run {run.folder}"
        )
    return found
