"""Comparison of the rows of two releases, all rows of some instructions at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from plum_hub.release.schemas import CONFIGS, Config
from plum_hub.verification.causes import Cause
from plum_hub.verification.rows import Part, Row

Match: TypeAlias = Literal["id", "answer", "number"]
"""How a sample was matched: by its id; by the same answer to the same instruction; or only by its number, in which case
the answer differs."""

KEYS: dict[Config, tuple[str, ...]] = {
    "kto": ("sample_id",),
    "dpo": ("chosen_sample_id", "rejected_sample_id"),
    "sft": ("sample_id",),
    "samples": ("sample_id",),
    "test_suites": ("suite_id",),
    "dropped": ("stage", "id"),
}
"""Columns that identify a row of each config."""
_MEASURED = {"cpu_seconds", "peak_memory_mb", "output", "verdict_id"}
"""Columns that differ between two runs of the same program, and are not compared."""
_DERIVED = {"pass_rate", "dual_agreement"}
"""Columns of a suite that follow from its samples, which are compared themselves."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row that is in only one of the releases, or differs between them."""

    id: str
    instruction_id: str
    why: str
    """The reason for its absence in the other release, or the columns that differ."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A sample that is chosen in one release and rejected in the other."""

    instruction_id: str
    old_sample_id: str
    new_sample_id: str
    match: Match
    old_label: bool
    new_label: bool
    old_status: str
    new_status: str
    why: tuple[str, ...]
    """Everything that differs between the two verdicts, or `unexplained`."""


@dataclass
class ConfigChanges:
    """The differences between the rows of a config."""

    old: int = 0
    """Rows in the old release."""
    new: int = 0
    """Rows in the new release."""
    added: list[Change] = field(default_factory=list)
    removed: list[Change] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)


class _Side:
    """The rows of some instructions in one release, by their ids."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.samples = {row["sample_id"]: row for row in part["samples"]}
        self.suites = {row["suite_id"]: row for row in part["test_suites"]}
        self.responses = {row["response_id"] for row in part["test_suites"]}
        self.instructions = {row["instruction_id"] for row in part["test_suites"]}
        self.numbers = {(row["suite_id"], row["index"]) for row in part["samples"]}
        self.labels = {row["sample_id"]: bool(row["label"]) for row in part["kto"]}
        self.reasons = {row["id"]: row["reason"] for row in part["dropped"]}


@dataclass
class ReleaseMatcher:
    """Compares two releases part by part."""

    causes: set[Cause]
    """How the releases differ in what they were made with."""
    configs: dict[Config, ConfigChanges] = field(default_factory=lambda: {name: ConfigChanges() for name in CONFIGS})
    flips: list[Flip] = field(default_factory=list)

    def add(self, old: Part, new: Part) -> None:
        """Compare all rows of some instructions.

        Args:
            old: The rows in the old release.
            new: The rows of the same instructions in the new release.
        """
        before, after = _Side(old), _Side(new)
        for config in CONFIGS:
            self._rows(config, before, after)
        for one, other, match in _pairs(before, after):
            labels = before.labels.get(one["sample_id"]), after.labels.get(other["sample_id"])
            if labels[0] is not None and labels[1] is not None and labels[0] != labels[1]:
                self.flips.append(
                    Flip(
                        instruction_id=one["instruction_id"],
                        old_sample_id=one["sample_id"],
                        new_sample_id=other["sample_id"],
                        match=match,
                        old_label=labels[0],
                        new_label=labels[1],
                        old_status=one["status"],
                        new_status=other["status"],
                        why=self._why_flipped(one, other, before, after),
                    )
                )

    def _rows(self, config: Config, before: _Side, after: _Side) -> None:
        changes = self.configs[config]
        old, new = _by_key(config, before), _by_key(config, after)
        changes.old += len(before.part[config])
        changes.new += len(after.part[config])
        for key, row in new.items():
            if key not in old:
                changes.added.append(_change(key, row, self._why_alone(config, row, before, after)))
            elif columns := _differing(row, old[key]):
                changes.changed.append(_change(key, row, ", ".join(columns)))
        for key, row in old.items():
            if key not in new:
                changes.removed.append(_change(key, row, self._why_alone(config, row, after, before)))

    def _why_alone(self, config: Config, row: Row, other: _Side, mine: _Side) -> str:
        """Return why a row of `mine` has no counterpart in `other`."""
        if config == "dropped":
            return f"{row['stage']}: {row['reason']}"
        if config == "test_suites":
            return self._why_no_suite(row, other)
        names = [row[name] for name in KEYS[config]]
        if config == "samples":
            return self._why_no_sample(row, other)
        alone = [name for name in names if name not in other.labels]
        if not alone:
            same = all(other.labels[name] == mine.labels.get(name) for name in names)
            return "pairing" if same else "label"
        name = alone[0]
        if name in other.samples:
            return f"left out: {other.reasons.get(name, 'unexplained')}"
        return self._why_no_sample(mine.samples.get(name, row), other)

    def _why_no_suite(self, row: Row, other: _Side) -> str:
        for name in (row["suite_id"], row["response_id"]):
            if name in other.reasons:
                return f"left out: {other.reasons[name]}"
        if row["instruction_id"] not in other.instructions:
            return "instruction"
        return self._why_other_cases(same_response=row["response_id"] in other.responses) or "suite"

    def _why_other_cases(self, *, same_response: bool) -> Cause | None:
        """Return what explains that an instruction has another suite."""
        if same_response and "strengthening" in self.causes:
            return "strengthening"
        return "generator" if "generator" in self.causes else None

    def _why_no_sample(self, row: Row, other: _Side) -> str:
        if row["sample_id"] in other.reasons:
            return f"left out: {other.reasons[row['sample_id']]}"
        if row["instruction_id"] not in other.instructions:
            return "instruction"
        suite = row.get("suite_id")
        if suite not in other.suites:
            return "suite"
        if (suite, row["index"]) not in other.numbers:
            return "number of samples"
        return "policy" if "policy" in self.causes else "unexplained"

    def _why_flipped(self, one: Row, other: Row, before: _Side, after: _Side) -> tuple[str, ...]:
        """Return everything that differs between two runs, and may explain their different verdicts."""
        why: list[str] = []
        suites = before.suites.get(one["suite_id"]), after.suites.get(other["suite_id"])
        if suites[0] is None or suites[1] is None or suites[0]["cases"] != suites[1]["cases"]:
            same = None not in suites and len({suite["response_id"] for suite in suites if suite}) == 1
            cause = self._why_other_cases(same_response=same)
            why += ["suite", *([cause] if cause else [])]
        if one["code"] != other["code"]:
            why.append("policy" if "policy" in self.causes else "answer")
        why += [cause for cause in ("harness", "limits") if cause in self.causes]
        return tuple(why) or ("unexplained",)


def _pairs(before: _Side, after: _Side) -> Iterator[tuple[Row, Row, Match]]:
    """Match samples of two releases, each at most once, by the strongest key that they share."""
    keys: dict[Match, Callable[[Row], object]] = {
        "id": lambda row: row["sample_id"],
        "answer": lambda row: (row["instruction_id"], row["text"]),
        "number": lambda row: (row["instruction_id"], row["index"]),
    }
    old, new = list(before.samples.values()), list(after.samples.values())
    for match, key in keys.items():
        waiting: dict[object, list[Row]] = {}
        for row in reversed(new):
            waiting.setdefault(key(row), []).append(row)
        alone = []
        for row in old:
            if found := waiting.get(key(row)):
                yield row, found.pop(), match
            else:
                alone.append(row)
        left = {id(row) for rows in waiting.values() for row in rows}
        old, new = alone, [row for row in new if id(row) in left]


def _by_key(config: Config, side: _Side) -> dict[str, Row]:
    return {" ".join(str(row[name]) for name in KEYS[config]): row for row in side.part[config]}


def _differing(row: Row, other: Row) -> list[str]:
    """Return the columns of both rows in which they differ."""
    return sorted(name for name in (row.keys() & other.keys()) - _MEASURED - _DERIVED if row[name] != other[name])


def _change(key: str, row: Mapping[str, str], why: str) -> Change:
    return Change(key, row["instruction_id"], why)


def reasons(changes: Iterable[Change]) -> dict[str, int]:
    """Count changes by their reason.

    Args:
        changes: The changes.

    Returns:
        The number of each reason, the most frequent first.
    """
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.why] = counts.get(change.why, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
