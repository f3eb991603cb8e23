"""`views --gold`: what better tests say of a run's samples, from whatever names these tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plum_hub import benchmarks
from plum_hub.api.composition import suites_sections
from plum_hub.errors import InstructionsError, UsageError
from plum_hub.instructions.addresses import LocalAddress, parse_source
from plum_hub.instructions.local import find_local, is_local
from plum_hub.instructions.sources import InstructionsConfig
from plum_hub.pipeline.gold import read_gold
from plum_hub.pipeline.gold_tests import GoldTests, gold_of_benchmark, gold_of_rows
from plum_hub.pipeline.gold_verdicts import GoldReport, judge_gold
from plum_hub.pipeline.published import ROWS
from plum_hub.progress import Progress
from plum_hub.records import Instruction
from plum_hub.run import Run

_BENCHMARKS = tuple(name for name in benchmarks.NAMES if name != "livecodebench")
"""Benchmarks whose tests call a function, as the suites of a run do."""


@dataclass(frozen=True, kw_only=True)
class GoldVerdicts:
    """Whether samples pass better tests."""

    passes: Mapping[str, bool] = field(repr=False)
    """By the sample's id."""
    report: GoldReport | None
    """What was judged; None if the verdicts were given."""


def gold_verdicts(run: Run, gold: str, data: Path | None, file: Path, progress: Progress) -> GoldVerdicts:
    """Read gold verdicts, or judge the samples of a run by better tests.

    Args:
        run: The run.
        gold: A file of verdicts, the name of a benchmark, or a source whose rows have tests.
        data: Where the benchmark is.
        file: Keeps the verdicts that are made.
        progress: Is told about each verdict.

    Returns:
        The verdicts.

    Raises:
        UsageError: The source is none of these, cannot be read, or has no tests for the run's instructions.
        BenchmarkError: The benchmark is unavailable, or of another version.
        RunError: The file of verdicts is damaged or cannot be written.
        SandboxError: Programs cannot be run on this machine.
    """
    file_of_verdicts = _verdicts(gold)
    if file_of_verdicts is not None:
        return GoldVerdicts(passes=read_gold(file_of_verdicts), report=None)
    tests = _tests(run, gold, data)
    if not tests.suites and not tests.unusable:
        raise UsageError(
            f"--gold {gold}: has no task of {run.folder}: neither the text of an instruction nor the id of its row; "
            "name the source that the instructions are from"
        )
    report = judge_gold(run, tests, file, progress)
    if not report.verdicts:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.left_out.items()) or "they have no samples"
        raise UsageError(f"--gold {gold}: its tests judge no sample of the run ({reasons}); name other tests")
    return GoldVerdicts(passes=report.verdicts, report=report)


def _verdicts(gold: str) -> Path | None:
    """Return the file that a source is if its rows are verdicts, which name a sample."""
    if gold in benchmarks.NAMES:
        return None
    try:
        found = parse_source(gold)
        if not isinstance(found, LocalAddress):
            return None
        if not is_local(found.path):
            raise UsageError(
                f"--gold {gold}: there is no such file; name one, a Hub dataset, or {', '.join(_BENCHMARKS)}"
            )
        _, row = next(find_local(found.path).rows(), ("", {}))
    except InstructionsError as error:
        raise UsageError(f"--gold {error}") from error
    return found.path if "sample_id" in row else None


def _tests(run: Run, gold: str, data: Path | None) -> GoldTests:
    instructions = run.rows(Instruction)
    if gold in benchmarks.NAMES:
        if gold not in _BENCHMARKS:
            raise UsageError(f"--gold {gold}: its tests are for whole contest programs; name {', '.join(_BENCHMARKS)}")
        return gold_of_benchmark(benchmarks.load(gold, source=data), instructions)
    sections = suites_sections(gold, "auto")
    if sections["suites"]["source"] != ROWS or "instructions" not in sections:
        raise UsageError(
            f"--gold {gold}: is neither a file nor a Hub dataset whose rows have tests, as FILE[:COLUMN] or "
            f"NAMESPACE/NAME[:COLUMN], nor a benchmark: {', '.join(_BENCHMARKS)}"
        )
    try:
        config = InstructionsConfig(**sections["instructions"])
        return gold_of_rows(config, sections["suites"].get("column"), instructions)
    except InstructionsError as error:
        raise UsageError(f"--gold {gold}: {error}") from error
