"""The checks of `verify` by name, how much each compared, and what did not agree."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

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

MEANINGS: dict[Check, str] = {
    "tag": "the version stands on the commit that is recorded of it, and its card is its own",
    "manifest": "manifest.json says what the release was made from",
    "files": "every file has the size and sha256 that the manifest names, and there is no other",
    "schemas": "every config has the columns that a release has, and can be read",
    "content": "the rows of every config have the digest that the manifest names",
    "recipe": "recipe.yaml can be read, and the manifest agrees with it",
    "ids": "every id is the digest of what its row was made from",
    "samples": "the program is the one in the answer, and no sample is missing",
    "views": "kto, dpo, sft and dropped are what samples and verdicts give under the recipe",
    "counts": "the manifest counts what is there",
    "suites": "the reference solution of each suite passes it",
    "verdicts": "each program that is judged once more comes to the same status, case by case",
}
"""Those of a dataset, in the order in which they are made."""

MODEL_MEANINGS: dict[Check, str] = {
    "tag": MEANINGS["tag"],
    "manifest": "manifest.json says what the model was made from, and training.json agrees",
    "files": MEANINGS["files"],
    "weights": "the weights can be read, and adapters name the base that was trained",
    "data": "the dataset stands on its commit, and its rows are the very ones that were trained on",
    "base": "the base wrote the dataset's samples, or did not, as the model says; a copy of it is the same",
}
"""Those of a model; its dataset has its own."""

LISTED = 1000
"""Disagreements of one check that are kept; of the others only their number is."""


@dataclass(frozen=True)
class Mismatch:
    """One thing that does not agree: what the release says of it, and what was found."""

    check: Check
    what: str
    published: str
    found: str


@dataclass
class Findings:
    """What came of the checks so far."""

    compared: Counter[Check] = field(default_factory=Counter)
    differing: Counter[Check] = field(default_factory=Counter)
    listed: list[Mismatch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the reader of the result must know."""

    @property
    def agree(self) -> bool:
        """Whether nothing differed."""
        return not self.differing

    def same(self, check: Check, what: str, published: object, found: object) -> None:
        """Compare two values, and count it."""
        self.compared[check] += 1
        if published != found:
            self._differ(Mismatch(check, what, shown(published), shown(found)))

    def wrong(self, check: Check, what: str, published: str, found: str) -> None:
        """Count a comparison that has already been made, and has failed."""
        self.compared[check] += 1
        self._differ(Mismatch(check, what, published, found))

    def note(self, text: str) -> None:
        """Tell something once."""
        if text not in self.notes:
            self.notes.append(text)

    def _differ(self, one: Mismatch) -> None:
        self.differing[one.check] += 1
        if self.differing[one.check] <= LISTED:
            self.listed.append(one)


def checks_as_json(findings: Findings, meanings: Mapping[Check, str]) -> dict[str, Any]:
    """Each check with what it means, for `--json`."""
    return {
        check: {"meaning": meaning, "compared": findings.compared[check], "differing": findings.differing[check]}
        for check, meaning in meanings.items()
    }


def shown(value: object) -> str:
    """A value in at most 200 characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


assert {*MEANINGS, *MODEL_MEANINGS} == set(get_args(Check))
