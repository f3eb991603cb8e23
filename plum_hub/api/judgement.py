"""`judge`: any programs against any test suites, without a run folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from plum_hub.api.settings import StrPath
from plum_hub.errors import UsageError
from plum_hub.execution.base import SandboxName
from plum_hub.home import expanded
from plum_hub.judging.drops import DropCount
from plum_hub.judging.verdict_file import Harness, JudgeOptions, judge_file
from plum_hub.progress import LoggedProgress, Progress
from plum_hub.recipe import VerdictsConfig
from plum_hub.refusal import first_refusal


@dataclass(frozen=True, kw_only=True)
class JudgeResult:
    """A complete file of verdicts."""

    out: Path
    """The file, one verdict a line."""
    statuses: Mapping[str, int]
    """Number of programs with each status (`passed`, `failed`, `timed_out`, ...), the most frequent first."""
    judged_now: int
    """Programs that this call judged; the file already had the verdicts of the others."""
    seconds: float
    """Time that this call spent judging."""
    harness: Harness
    """Versions of the sandbox and the static check, and the limits."""
    dropped: DropCount
    """Samples that were not judged, because their suites are refused: they cannot be read, or could fail no program."""

    @property
    def samples(self) -> int:
        """Number of programs with a verdict."""
        return sum(self.statuses.values())

    @property
    def per_second(self) -> float | None:
        """Programs judged per second by this call; None if it judged none."""
        return round(self.judged_now / self.seconds, 1) if self.judged_now else None

    def as_json(self) -> dict[str, object]:
        """Return the result as JSON values."""
        return {
            "out": str(self.out),
            "samples": self.samples,
            "statuses": dict(self.statuses),
            "judged_now": self.judged_now,
            "seconds": round(self.seconds, 3),
            "per_second": self.per_second,
            "dropped": self.dropped.as_json(),
            "harness": asdict(self.harness),
        }


def judge(
    samples: StrPath,
    *,
    suites: StrPath,
    out: StrPath,
    workers: int | None = None,
    cpu_limit: float | None = None,
    wall_limit: float | None = None,
    memory_limit: int | None = None,
    mypy: bool = False,
    sandbox: SandboxName = "auto",
    numpy: bool = False,
    pandas: bool = False,
    progress: Progress | None = None,
) -> JudgeResult:
    """Judge programs by test suites, in isolation.

    Verdicts are appended to `out` as they become known; the same call resumes an interrupted one. A suite that cannot
    be read, or could fail no program, is refused: its samples are named in a file beside `out` with reason, file and
    line, and the others are judged.

    Args:
        samples: A JSON lines, JSON, CSV, Parquet or Arrow file, or a folder of them, with the columns `sample_id`,
            `instruction_id` and `code` (a program, or null).
        suites: A file of the same kinds with `instruction_id`, `cases` and, except for scripts, `entry_point`.
        out: The .jsonl file that the verdicts are written to.
        workers: Programs that run at a time. Default: one on each core.
        cpu_limit: CPU time of a program, in seconds. Default: 5.
        wall_limit: Wall time of a program, in seconds. Default: 60, or 12 times `cpu_limit` if that is more.
        memory_limit: Address space of a program, in MB. Default: 1024.
        mypy: Whether to reject programs that mypy finds broken before they run, as a build does.
        sandbox: `jail`, `landlock` or `docker`; `auto` takes the first that this machine supports.
        numpy: Whether programs may import numpy.
        pandas: Whether programs may import pandas, and numpy with it.
        progress: Receives the number of judged programs.

    Returns:
        The number of programs with each status, and how they were judged.

    Raises:
        UsageError: A file cannot be read, no sample has a suite that can be used, or a limit is invalid.
        RunError: `out` holds something else or cannot be written.
        SandboxError: Programs cannot be isolated on this machine, or the sandbox broke.
        StaticCheckError: mypy broke.

    Example:
        >>> result = plum_hub.judge("samples.jsonl", suites="suites.jsonl", out="verdicts.jsonl")
        >>> result.statuses
        {'passed': 812, 'failed': 171, 'timed_out': 17}
    """
    limits = {"cpu_seconds": cpu_limit, "wall_seconds": wall_limit, "memory_mb": memory_limit}
    options = JudgeOptions(
        samples=expanded(samples), suites=expanded(suites), out=expanded(out), workers=workers,
        settings=_verdicts_config(limits, mypy=mypy), sandbox=sandbox, numpy=numpy, pandas=pandas,
    )  # fmt: skip
    count = judge_file(options, progress or LoggedProgress())
    return JudgeResult(
        out=options.out, statuses=dict(count.statuses.most_common()), judged_now=count.fresh, seconds=count.seconds,
        harness=count.harness, dropped=count.dropped,
    )  # fmt: skip


_OPTIONS = {"cpu_seconds": "cpu-limit", "wall_seconds": "wall-limit", "memory_mb": "memory-limit"}


def _verdicts_config(limits: Mapping[str, float | None], *, mypy: bool) -> VerdictsConfig:
    chosen: dict[str, Any] = {key: value for key, value in limits.items() if value is not None}
    if "wall_seconds" not in chosen and "cpu_seconds" in chosen:
        chosen["wall_seconds"] = max(60.0, 12 * chosen["cpu_seconds"])
    if not mypy:
        chosen["mypy_codes"] = ()
    try:
        return VerdictsConfig(**chosen)
    except ValidationError as error:
        refusal = first_refusal(error)
        option = next(option for key, option in _OPTIONS.items() if key in refusal.path)
        raise UsageError(f"--{option} {refusal.value}: {refusal.problem.lower()}") from error
