"""The evidence about suites in a release: what follows from its rows is recomputed, and other values are possible."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import get_args

from plum_hub.pipeline.published import GENERATE
from plum_hub.pipeline.roles import has_roles
from plum_hub.recipe import Recipe
from plum_hub.records import CaseRole, by_role
from plum_hub.release.manifest import RowCounts
from plum_hub.release.schemas import SUMMARIZED, Evidence
from plum_hub.statistics import distribution
from plum_hub.strength import SuiteDiscrimination
from plum_hub.verification.findings import Findings
from plum_hub.verification.rows import Row


@dataclass
class EvidenceCheck:
    """Checks the evidence suite by suite, and collects the values that the manifest summarizes."""

    recipe: Recipe
    findings: Findings
    shares: dict[Evidence, list[float]] = field(default_factory=lambda: {name: [] for name in SUMMARIZED})
    """The values of each summarized column."""
    roles: Counter[str] = field(default_factory=Counter)
    """Cases by role."""

    def check(self, row: Row, discrimination: SuiteDiscrimination | None) -> None:
        """Check the columns of `test_suites` that the release has for the evidence.

        Args:
            row: A row of `test_suites`, in the schema that the manifest states.
            discrimination: What its samples in the release say about the suite; None if it has none.
        """
        checks: dict[Evidence, Callable[[Row, str], None]] = {
            "strength": self._check_strength,
            "discrimination": partial(self._check_discrimination, discrimination),
            "vote": self._check_vote,
        }
        for name, column in SUMMARIZED.items():
            if column in row:
                checks[name](row, f"suite {row['suite_id']}")
                # Others have been reported; NaN has no place in a histogram.
                self.shares[name] += [row[column]] if _is_share(row[column]) else []
        if "roles" in row:
            self._check_roles(row, f"suite {row['suite_id']}")

    def check_counts(self, counts: RowCounts) -> None:
        """Compare the summaries with the manifest.

        Args:
            counts: The counts in the manifest.
        """
        summaries = {
            "strength": counts.strength,
            "discrimination": counts.dual_agreement,
            "vote": counts.agreement,
        }
        for name in SUMMARIZED:
            if name in counts.evidence:
                what = f"distribution of {SUMMARIZED[name]}"
                self.findings.compare("counts", what, summaries[name], distribution(self.shares[name]))
        if counts.roles is not None:
            self.findings.compare("counts", "cases by role", dict(counts.roles), by_role(self.roles))

    def _check_strength(self, row: Row, what: str) -> None:
        compare, least = self.findings.compare, self.recipe.suites.min_strength
        shares = [row[name] for name in ("mutation_score", "statement_coverage", "branch_coverage")]
        compare("counts", f"{what}, its cases", row["case_count"], len(row["cases"]))
        compare("counts", f"{what}, shares from 0 to 1", True, all(one is None or _is_share(one) for one in shares))
        if (score := row["mutation_score"]) is not None:
            compare("recipe", f"{what}, at least as strong as suites.min_strength {least:g}", True, score >= least)

    def _check_discrimination(self, found: SuiteDiscrimination | None, row: Row, what: str) -> None:
        compare = self.findings.compare
        compare("counts", f"{what}, its pass rate", row["pass_rate"], found and found.pass_rate)
        compare("counts", f"{what}, its dual agreement", row["dual_agreement"], found and found.dual_agreement)

    def _check_vote(self, row: Row, what: str) -> None:
        compare, settings = self.findings.compare, self.recipe.suites
        voters, shares = row["voters"], row["shares"]
        voted = settings.vote and settings.source == GENERATE
        most = (settings.responses or 0) if voted else 0
        compare("recipe", f"{what}, from 1 to {most} voters under the recipe", True, 1 <= voters <= most)
        compare("counts", f"{what}, shares of its voters", len(shares), len(row["cases"]))
        possible = bool(shares) and all(_is_majority(one, voters) for one in shares)
        compare("counts", f"{what}, shares over 1/2 of its {voters} voters", True, possible)
        if possible:
            compare("counts", f"{what}, its agreement", row["agreement"], fmean(shares))

    def _check_roles(self, row: Row, what: str) -> None:
        compare, roles = self.findings.compare, row["roles"]
        compare("recipe", f"{what}, roles that the recipe asks for", True, has_roles(self.recipe))
        compare("counts", f"{what}, roles of its cases", len(roles), len(row["cases"]))
        known = all(role in get_args(CaseRole) for role in roles)
        compare("counts", f"{what}, roles that there are", True, known)
        self.roles.update(role for role in roles if role is not None)


def _is_share(value: float | None) -> bool:
    return value is not None and 0 <= value <= 1


def _is_majority(share: float | None, voters: int) -> bool:
    """Tell whether a share is that of a whole number of voters, over 1/2 and up to 1."""
    return share is not None and voters > 0 and 0.5 < share <= 1 and round(share * voters) / voters == share
