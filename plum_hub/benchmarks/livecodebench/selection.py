"""Select problems of LiveCodeBench."""

import re
from dataclasses import dataclass
from datetime import date, datetime

from plum_hub.benchmarks.livecodebench.files import SHARDS, Row
from plum_hub.errors import BenchmarkError

PLATFORMS = ("atcoder", "codeforces", "leetcode")
DIFFICULTIES = ("easy", "medium", "hard")
"""Difficulties in the order in which results are shown."""


@dataclass(frozen=True, kw_only=True)
class ContestSelection:
    """A selection of problems by release, date, platform and difficulty.

    Raises:
        BenchmarkError: The selection is invalid.
    """

    release: str = f"release_v{max(SHARDS)}"
    """`release_v6`: all problems up to that release; `v6`: those that it added; `v4_v6`: those that the three added."""
    start: date | None = None
    """Date of the first contests."""
    end: date | None = None
    """Date of the last contests. As in LiveCodeBench, a contest with a time of day on that date is excluded."""
    platforms: tuple[str, ...] = PLATFORMS
    difficulties: tuple[str, ...] = DIFFICULTIES

    def __post_init__(self) -> None:
        for name, chosen, known in self._choices:
            if not chosen or not set(chosen) <= set(known):
                raise BenchmarkError(f"LiveCodeBench has no {name} {', '.join(chosen)!r}: give {', '.join(known)}")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise BenchmarkError(f"no contest is between {self.start} and {self.end}: swap the two dates")
        _ = self.releases

    @property
    def releases(self) -> range:
        """Numbers of the selected releases.

        Raises:
            BenchmarkError: The release is unknown.
        """
        match = re.fullmatch(r"(?:release_v(\d)|v(\d)|v(\d)_v(\d))", self.release)
        if match:
            upto, only, first, last = (int(group or 0) for group in match.groups())
            releases = range(first or only or 1, (upto or only or last) + 1)
            if releases and releases[-1] in SHARDS:
                return releases
        latest = max(SHARDS)
        raise BenchmarkError(
            f"LiveCodeBench has no release {self.release!r}: give one from release_v1 to release_v{latest}, v1 to "
            f"v{latest} for what one added, or two, as v4_v{latest}, for what they and those between added"
        )

    def includes(self, row: Row, contest: datetime) -> bool:
        """Return whether a problem is selected by platform, difficulty and date.

        Args:
            row: The row of the problem.
            contest: Date of its contest.

        Returns:
            True if it is selected; the release is not checked.
        """
        return (
            row["platform"] in self.platforms
            and row["difficulty"] in self.difficulties
            and (self.start is None or _midnight(self.start) <= contest)
            and (self.end is None or contest <= _midnight(self.end))
        )

    @property
    def _choices(self) -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
        return ("platform", self.platforms, PLATFORMS), ("difficulty", self.difficulties, DIFFICULTIES)

    def __str__(self) -> str:
        days = [f"{self.start or ''}..{self.end or ''}"] if self.start or self.end else []
        return " ".join(
            [self.release, *days, *(",".join(some) for _, some, known in self._choices if set(some) != set(known))]
        )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)
