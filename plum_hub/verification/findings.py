"""The checks of `verify`: their names, how many comparisons each made, and what did not agree."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypedDict, get_args

Check: TypeAlias = Literal[
    "tag",
    "manifest",
    "files",
    "schemas",
    "content",
    "recipe",
    "ids",
    "samples",
    "views",
    "counts",
    "suites",
    "verdicts",
    "weights",
    "data",
    "base",
]
"""Name of a check."""

MEANINGS: dict[Check, str] = {
    "tag": "the version points to the commit on record, and its card is for this version",
    "manifest": "manifest.json says what the release was made from",
    "files": "every file has the size and sha256 in the manifest, and there is no other file",
    "schemas": "every config has the columns of a release, and can be read",
    "content": "the rows of every config have the digest in the manifest",
    "recipe": "recipe.yaml can be read, and the manifest agrees with it",
    "ids": "every id is the digest of what its row was made from",
    "samples": "every program is the one in its answer, and no sample is missing",
    "views": "kto, dpo, sft and dropped follow from samples and verdicts under the recipe",
    "counts": "the manifest's counts are those of the rows, and it names the source and licence of each",
    "suites": "the reference solution of each suite passes it",
    "verdicts": "each program that is judged again gets the same status, case by case",
}
"""What each check of a dataset establishes, in the order in which they run."""

MODEL_MEANINGS: dict[Check, str] = {
    "tag": MEANINGS["tag"],
    "manifest": "manifest.json says what the model was made from, and training.json agrees",
    "files": MEANINGS["files"],
    "weights": "the weights can be read, and adapters name the base that was trained",
    "data": "the dataset's tag points to the recorded commit, and its rows are those that were trained on",
    "base": "the base sampled the dataset, or did not, as the model says; a copy of it is identical",
}
"""What each check of a model establishes; its dataset has checks of its own."""

_LISTED = 1000
"""Disagreements of one check that are listed; further ones are only counted."""


@dataclass(frozen=True)
class Mismatch:
    """One comparison that failed."""

    check: Check
    what: str
    """What was compared."""
    published: str
    """What the release states."""
    found: str
    """What was found here."""


@dataclass
class Findings:
    """The results of the checks so far."""

    compared: Counter[Check] = field(default_factory=Counter)
    """Comparisons that were made."""
    differing: Counter[Check] = field(default_factory=Counter)
    """Comparisons that failed."""
    listed: list[Mismatch] = field(default_factory=list)
    """The failures, up to 1000 of each check."""
    notes: list[str] = field(default_factory=list)
    """Limits of the checks that the reader of the result must know."""

    @property
    def agree(self) -> bool:
        """Whether nothing differed."""
        return not self.differing

    def compare(self, check: Check, what: str, published: object, found: object) -> None:
        """Compare two values.

        Args:
            check: The check that this belongs to.
            what: What is compared.
            published: What the release states.
            found: What was found here.
        """
        self.compared[check] += 1
        if published != found:
            self._record(Mismatch(check, what, shown(published), shown(found)))

    def fail(self, check: Check, what: str, published: str, found: str) -> None:
        """Record a failed comparison.

        Args:
            check: The check that this belongs to.
            what: What was compared.
            published: What the release states.
            found: What was found here.
        """
        self.compared[check] += 1
        self._record(Mismatch(check, what, published, found))

    def note(self, text: str) -> None:
        """Add a note, unless there is the same already.

        Args:
            text: The note.
        """
        if text not in self.notes:
            self.notes.append(text)

    def _record(self, mismatch: Mismatch) -> None:
        self.differing[mismatch.check] += 1
        if self.differing[mismatch.check] <= _LISTED:
            self.listed.append(mismatch)


class CheckSummary(TypedDict):
    """One check in the output of `--json`."""

    meaning: str
    """What it establishes."""
    compared: int
    """Comparisons that were made."""
    differing: int
    """Comparisons that failed."""


def summarize_checks(findings: Findings, meanings: Mapping[Check, str]) -> dict[Check, CheckSummary]:
    """Summarize the checks for `--json`.

    Args:
        findings: The results of the checks.
        meanings: The checks, each with what it establishes.

    Returns:
        A summary of each check.
    """
    return {
        check: {"meaning": meaning, "compared": findings.compared[check], "differing": findings.differing[check]}
        for check, meaning in meanings.items()
    }


def shown(value: object) -> str:
    """Format a value for the report.

    Args:
        value: Any value; strings are kept, anything else is shown as its `repr`.

    Returns:
        At most 200 characters.
    """
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


assert {*MEANINGS, *MODEL_MEANINGS} == set(get_args(Check))
