"""A file of verdicts on any programs and suites, without a run folder: the library behind `plum-hub judge`.

The file has one JSON object per line, in the order in which the verdicts became known:

    id                              digest of sample, code, suite and harness: equal inputs, equal id
    sample_id, instruction_id       as in the samples
    status                          passed, failed, timed_out, ... (ARCHITECTURE.md, chapter 4)
    cases                           {outcome, detail, judged} of each case, in the suite's order
    detail, output                  the first failure; the end of what the program printed
    cpu_seconds, peak_memory_mb     null for a program that did not run
    harness                         versions of sandbox and static check, and the limits
    row_crc32                       checksum of the row (`plum_hub.lines`)

Samples whose suite is refused have no verdict; they are named in a file beside it (`drops`).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from plum_hub.errors import RunError, UsageError
from plum_hub.execution import Judge, Limits
from plum_hub.execution.base import SandboxName
from plum_hub.files import locked, writing
from plum_hub.instructions.file_kinds import file_kind
from plum_hub.judging.cases import limits_of
from plum_hub.judging.drops import DropCount, check_drops, path_of, write_drops
from plum_hub.judging.inputs import SubmittedProgram, SubmittedSuite, SubmittedSuites, read_programs, read_suites
from plum_hub.judging.stream import Judgement, Submission, judge_submissions
from plum_hub.judging.stubs import refused_by_stubs
from plum_hub.lines import Row, appending, object_of, whole_lines
from plum_hub.progress import Progress
from plum_hub.recipe import VerdictsConfig
from plum_hub.records import digest
from plum_hub.spool import Spool
from plum_hub.static import checker_version

_ROW_START = b'{"id":"'
"""How a row begins. An incomplete line that begins otherwise was not written by plum-hub and is not removed."""
_FOREIGN = "{where}: not a verdict of plum-hub judge: name another file with --out (this one was not changed)"


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """What to judge, by which suites and settings, and where the verdicts go."""

    samples: Path
    """File of the programs."""
    suites: Path
    """File of the suites."""
    out: Path
    """File of the verdicts."""
    settings: VerdictsConfig
    """Limits and static check."""
    workers: int | None = None
    """Programs that run at the same time; one per core if None."""
    sandbox: SandboxName = "auto"
    numpy: bool = False
    """Whether programs may use numpy."""
    pandas: bool = False
    """Whether programs may use pandas, and numpy with it."""


@dataclass(frozen=True)
class Harness:
    """Everything beside program and suite that decides a verdict."""

    sandbox: str
    """Version of the sandbox."""
    static_check: str
    """Version of the static check."""
    limits: Limits
    """What a program may use."""


@dataclass
class VerdictCount:
    """What the file of verdicts holds, and what this call added."""

    harness: Harness
    """Versions and limits that every verdict in the file was made with."""
    dropped: DropCount
    """Samples that have no verdict, because their suites are refused."""
    statuses: Counter[str] = field(default_factory=Counter)
    """Verdicts with each status."""
    fresh: int = 0
    """Verdicts that this call made."""
    seconds: float = 0.0
    """Time that judging took."""

    @property
    def per_second(self) -> float | None:
        """Programs per second of this call; None if it judged none."""
        return round(self.fresh / self.seconds, 1) if self.fresh else None


def judge_file(options: JudgeOptions, progress: Progress) -> VerdictCount:
    """Judge every sample that has no verdict in the file. Each verdict is appended as soon as it is known.

    Args:
        options: What to judge, how, and where to.
        progress: Is told about each verdict.

    Returns:
        The content of the file.

    Raises:
        UsageError: The samples or the suites cannot be read, no sample has a suite that is not refused, or the output
            is one of these files.
        RunError: The file holds something else, is being written by another process, or cannot be written.
        SandboxError: Programs cannot be run on this machine, or the sandbox failed. This makes no verdict.
        StaticCheckError: mypy cannot be run, or failed.
    """
    _check_output(options)
    has = {"numpy": options.numpy or options.pandas, "pandas": options.pandas}
    suites = read_suites(options.suites, {name for name, given in has.items() if given})
    used, digests, unjudged = _sorted(options.samples, suites)
    limits, codes = limits_of(options.settings), frozenset(options.settings.mypy_codes)
    with (
        Judge(options.workers, sandbox=options.sandbox, numpy=options.numpy, pandas=options.pandas) as judge,
        _locked(options.out),
    ):
        harness = Harness(judge.harness_version, checker_version(codes), limits)
        if _refuse_by_stubs(suites, used, judge, limits, progress):
            _, digests, unjudged = _sorted(options.samples, suites)
        count = VerdictCount(harness, write_drops(options.out, unjudged, suites.refused))
        expected = {_verdict_id(content, harness) for content in digests}
        done = _done(options, expected, count)
        pending: dict[str, SubmittedProgram] = {}
        progress.begin("judge", len(expected), len(done))
        with appending(options.out) as append:
            began = time.monotonic()
            submissions = _submissions(
                options.samples, suites, lambda content: _verdict_id(content, harness), done, pending
            )
            for judgement in judge_submissions(submissions, judge, limits, codes):
                append(_row(pending.pop(judgement.id), judgement, harness))
                count.statuses[judgement.status] += 1
                count.fresh += 1
                progress.advance()
            count.seconds = time.monotonic() - began
        progress.end()
    return count


def _check_output(options: JudgeOptions) -> None:
    if options.out.exists() and not options.out.is_file():
        raise UsageError(f"--out {options.out} is not a regular file, which a later call could resume: name one")
    for source in (options.samples, options.suites):
        for written in (options.out, path_of(options.out)):
            if written.exists() and source.exists() and written.samefile(source):
                raise UsageError(f"--out {options.out} would change the input file {source}: name another")
    kind = file_kind(options.out.name)
    if kind.compression or kind.format in ("csv", "tsv", "parquet", "arrow", "feather"):
        raise UsageError(f"--out {options.out}: verdicts are written as JSON lines: name a .jsonl file")
    for source in (options.samples, options.suites):
        if source.is_dir() and source.resolve() in options.out.resolve().parents:
            raise UsageError(f"--out {options.out} is inside the folder {source}, all of which is read: name another")
    check_drops(options.out)


def _refuse_by_stubs(suites: SubmittedSuites, used: set[str], judge: Judge, limits: Limits, progress: Progress) -> bool:
    """Refuse the suites by which programs that solve nothing pass; return whether there are any."""
    with progress.waiting("programs that solve nothing to fail the suites"):
        found = refused_by_stubs((suites.usable[name] for name in used), judge, limits)
    refused = {name: one for name in sorted(used) if (one := found.get(suites.usable[name].id))}
    for name, one in refused.items():
        suites.refused[name] = replace(one, detail=f"{suites.usable.pop(name).where}: {one.detail}")
    return bool(refused)


def _sorted(samples: Path, suites: SubmittedSuites) -> tuple[set[str], list[str], Spool]:
    """Return the instructions of the programs that can be judged, their digests, and the names of the other ones."""
    used: set[str] = set()
    digests: list[str] = []
    unjudged = Spool()
    for one in read_programs(samples, suites):
        if one.instruction_id in suites.refused:
            unjudged.append((one.sample_id, one.instruction_id))
        else:
            used.add(one.instruction_id)
            digests.append(_content_digest(one, suites.usable))
    if not digests:
        detail = suites.refused[unjudged[0][1]].detail
        raise UsageError(f"no sample of {samples} has a suite that can be used: {detail}")
    return used, digests, unjudged


def _content_digest(program: SubmittedProgram, suites: dict[str, SubmittedSuite]) -> str:
    return digest(program.sample_id, program.instruction_id, program.code, suites[program.instruction_id].id)


def _verdict_id(content: str, harness: Harness) -> str:
    return digest(content, asdict(harness))


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the file of verdicts for this process."""
    busy = RunError(f"{out}: another plum-hub process is writing to it; wait for it, or name another file")
    with ExitStack() as held:
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(out, lambda: busy))
        yield


def _done(options: JudgeOptions, expected: set[str], count: VerdictCount) -> set[str]:
    """Return the ids in the file, all of which must be expected, and count their statuses."""
    done: set[str] = set()
    size = 0
    for number, line in whole_lines(options.out):
        where = f"{options.out}:{number}"
        size += len(line)
        try:
            row = object_of(line)
            name, sample, status, harness = (row[key] for key in ("id", "sample_id", "status", "harness"))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if number > 1 and done:
                raise RunError(
                    f"{where}: is damaged: delete this line and run the same command again to judge its program again"
                ) from error
            raise RunError(_FOREIGN.format(where=where)) from error
        if name not in expected:
            raise RunError(
                f"{where}: was made {_difference(sample, harness, count.harness)}, and such verdicts are never mixed: "
                "name another file with --out, or delete this one to judge again"
            )
        if name not in done:
            count.statuses[status] += 1
        done.add(name)
    with options.out.open("rb") as file:
        file.seek(size)
        rest = file.read(len(_ROW_START))
    if not _ROW_START.startswith(rest):
        raise RunError(_FOREIGN.format(where=options.out))
    return done


def _difference(sample: object, before: object, harness: Harness) -> str:
    """Explain why this call would not make a verdict that is in the file."""
    now: Row = asdict(harness)
    if before == now or not isinstance(before, dict):
        return f"of sample {sample!r}, which has changed or been removed since, or its suite has"
    old, new = ({**one, **one.get("limits", {}), "limits": None} for one in (before, now))
    return "with " + ", ".join(f"{key} {old.get(key)}, not {new[key]}" for key in new if old.get(key) != new[key])


def _submissions(
    samples: Path,
    suites: SubmittedSuites,
    id_of: Callable[[str], str],
    done: set[str],
    pending: dict[str, SubmittedProgram],
) -> Iterator[Submission]:
    """Yield the programs without a verdict, one at a time. Each is in `pending` until it has one."""
    for one in read_programs(samples, suites):
        if one.instruction_id in suites.refused:
            continue
        suite = suites.usable[one.instruction_id]
        name = id_of(_content_digest(one, suites.usable))
        if name not in done:
            pending[name] = one
            yield Submission(
                id=name, code=one.code, suite_id=suite.id, entry_point=suite.entry_point, cases=suite.cases
            )


def _row(program: SubmittedProgram, judgement: Judgement, harness: Harness) -> Row:
    return {
        "id": judgement.id,
        "sample_id": program.sample_id,
        "instruction_id": program.instruction_id,
        "status": judgement.status,
        "cases": [asdict(case) for case in judgement.cases],
        "detail": judgement.detail,
        "output": judgement.output,
        "cpu_seconds": judgement.cpu_seconds,
        "peak_memory_mb": judgement.peak_memory_mb,
        "harness": asdict(harness),
    }
