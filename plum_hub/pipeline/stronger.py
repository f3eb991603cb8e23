"""Add cases to the suites of a release, judge its samples by them, and label them anew: the rows of its next version.

Nothing is generated. A sample keeps its id, which names the suite that it was drawn for; verdicts of suites that get no
case are taken over. The folder holds the release as it was, as a run of its own beside the new run, so that an
interrupted call goes on.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from shlex import quote

from plum_hub.errors import RunError, UsageError
from plum_hub.files import writing
from plum_hub.instructions.addresses import parse_release
from plum_hub.judging.cases import judge_of
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.extraction import extracted, extraction_of
from plum_hub.pipeline.published import release_folder
from plum_hub.pipeline.pull import pull
from plum_hub.pipeline.strengthening import strengthening_of
from plum_hub.pipeline.strengths import measuring
from plum_hub.pipeline.verdicts import judging
from plum_hub.progress import Progress
from plum_hub.records import Drop, Instruction, Sample, TestSuite, Verdict
from plum_hub.release.lineage import AddedCases
from plum_hub.release.manifest import VerifiableManifest, read_manifest
from plum_hub.release.preferences import STAGE as PREFERENCES
from plum_hub.release.record import last_release
from plum_hub.run import Run
from plum_hub.strength import SampledProgram, WeakSuite

STAGE = "strengthen"
"""Name of the stage, for progress."""
PARENT, STRONGER = "parent", "run"
"""Folders below the one that is named: the release as it was, and the new run."""
_BATCH = 64
"""Suites that are strengthened together, and lost together by a kill: seconds of work."""


def source_of(source: str, hub: str) -> tuple[str, str]:
    """Name the release that a run folder was published as last, and its Hub, or take a release as it is named.

    Args:
        source: `REPO@TAG` or a run folder.
        hub: Its Hub, as `--hub` takes it; `auto` is the one that a run was published on.

    Returns:
        `REPO@TAG`, and the Hub.

    Raises:
        UsageError: It is neither, or the run was not published.
    """
    if not Path(source).exists():
        return "@".join(parse_release(source, "run folder")), hub
    found = last_release(Run.open(Path(source)).folder)
    if found is None:
        raise UsageError(f"{source}: was not published; publish it first:  plum-hub push-dataset {quote(source)}")
    return f"{found.repo}@{found.tag}", found.hub_option if hub == "auto" else hub


def prepare_stronger(source: str, folder: Path, hub: str, most: int, by: str) -> tuple[Run, Run]:
    """Fetch a release, and open the run that is to follow it; or open both again.

    Args:
        source: The release, as `REPO@TAG`.
        folder: Folder for both.
        hub: The Hub, as `--hub` takes it.
        most: `suites.strengthen`.
        by: `suites.strengthen_by`.

    Returns:
        The release as a run, and the new run.

    Raises:
        HubError: The release cannot be downloaded, or was not published by plum-hub.
        RunError: The folder holds something else, or cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    began = (folder / PARENT / "recipe.yaml").exists()
    parent = Run.open(folder / PARENT) if began else pull(source, folder / PARENT, hub)
    suites = parent.recipe.suites
    is_measured = read_manifest(release_folder(suites), VerifiableManifest).counts.strength is not None
    changed = {"strengthen": most, "strengthen_by": by, "strength": is_measured}
    recipe = parent.recipe.model_copy(update={"suites": suites.model_copy(update=changed)})
    place = folder / STRONGER
    run = Run.open(place) if (place / "recipe.yaml").exists() else Run.create(place, recipe)
    if suites.source != source or run.recipe != recipe:
        raise RunError(
            f"{folder}: holds {suites.source} with suites.strengthen={run.recipe.suites.strengthen}, strengthen_by="
            f"{run.recipe.suites.strengthen_by}; name another folder with --run DIR"
        )
    return parent, run


def strengthen_run(parent: Run, run: Run, context: Context) -> AddedCases:
    """Add cases to the suites of a run, and judge its samples by them.

    Args:
        parent: The run as it was.
        run: The run that is to follow it, empty or interrupted.
        context: The new run, with the progress reporter.

    Returns:
        What was added.

    Raises:
        SandboxError: Programs cannot be run on this machine, or the sandbox failed.
        RunError: A file is damaged or cannot be written.
    """
    with run.lock():
        _copy(parent, run)
        before, after = list(parent.rows(TestSuite)), _strengthened(parent, run, context.progress)
        stronger = {old.id: new for old, new in zip(before, after, strict=True)}
        _copy_samples(parent, run, stronger)
        context.donor = parent
        with judging(context, sum(1 for _ in run.columns(Sample, "id"))):
            pass  # all samples are there
    return added_cases(parent, after)


def added_cases(parent: Run, suites: list[TestSuite]) -> AddedCases:
    """Count the cases that suites have more.

    Args:
        parent: The run as it was.
        suites: Its suites with their new cases, in the same order.

    Returns:
        The counts.
    """
    pairs = zip(parent.rows(TestSuite), suites, strict=True)
    return AddedCases.of(len(new.cases) - len(old.cases) for old, new in pairs)


def try_strengthening(source: str, folder: Path, hub: str, most: int, by: str) -> AddedCases:
    """Find out what would be added to the suites of a release (`--dry-run`).

    Args:
        source: The release, as `REPO@TAG`.
        folder: An empty folder.
        hub: The Hub, as `--hub` takes it.
        most: `suites.strengthen`.
        by: `suites.strengthen_by`.

    Returns:
        The counts.

    Raises:
        PlumError: As `prepare_stronger` and `strengthen_run`.
    """
    parent, run = prepare_stronger(source, folder, hub, most, by)
    return added_cases(parent, _strengthened(parent, run, Progress()))


def _copy(parent: Run, run: Run) -> None:
    """Take over the instructions, what was left out before labels, and the versions of the packages that made them."""
    for versions in parent.environments():
        run.record_environment(versions)
    known, dropped = run.ids(Instruction), {(row.stage, row.id) for row in run.rows(Drop)}
    with run.appending(Instruction) as append, run.appending(Drop) as drop:
        for row in parent.rows(Instruction):
            if row.id not in known:
                append(row)
        for left_out in parent.rows(Drop):
            if left_out.stage != PREFERENCES and (left_out.stage, left_out.id) not in dropped:
                drop(left_out)


def _strengthened(parent: Run, run: Run, progress: Progress) -> list[TestSuite]:
    """Add cases to the suites that are not in the run yet; return all, in the parent's order."""
    settings, made = run.recipe.verdicts, list(run.rows(TestSuite))
    weak = islice(_weak_suites(parent, by_samples=run.recipe.suites.strengthen_by == "samples"), len(made), None)
    progress.begin(STAGE, sum(1 for _ in parent.columns(TestSuite, "id")), len(made))
    with (
        judge_of(settings) as judge,
        measuring(run, judge) as strengths,
        run.appending(TestSuite) as append,
        strengthening_of(run, judge) as strengthening,
    ):
        while batch := list(islice(weak, _BATCH)):
            stronger = strengthening.apply(batch)
            strengths.measure(stronger)
            for suite in stronger:
                append(suite)
                made.append(suite)
                progress.advance()
        strengthening.report(progress)
    progress.end()
    return made


def _weak_suites(parent: Run, *, by_samples: bool) -> Iterator[WeakSuite]:
    """Yield the suites of a run, with their samples if these decide which cases are added."""
    for shard in parent.shards:
        programs = sampled_programs(shard) if by_samples else {}
        for suite in shard.rows(TestSuite):
            yield WeakSuite(suite, samples=programs.get(suite.id, ()))


def sampled_programs(shard: Run) -> dict[str, list[SampledProgram]]:
    """Find the distinct programs that ran to the end of each suite.

    Args:
        shard: A shard of a run, with all of its verdicts.

    Returns:
        The programs, by the suite's id.

    Raises:
        RunError: A file of the run is damaged.
    """
    suites = {suite.id: suite for suite in shard.rows(TestSuite)}
    passed = {
        verdict.sample_id: tuple(case.outcome == "passed" for case in verdict.cases)
        for verdict in shard.rows(Verdict)
        if verdict.status in ("passed", "failed")
    }
    found: dict[str, dict[str, SampledProgram]] = {}
    for sample in shard.rows(Sample):
        code = extracted(sample, suites[sample.suite_id], extraction_of(shard.recipe)).code
        if sample.id in passed and code is not None:
            found.setdefault(sample.suite_id, {}).setdefault(code, SampledProgram(code, passed[sample.id]))
    return {name: list(programs.values()) for name, programs in found.items()}


def _copy_samples(parent: Run, run: Run, stronger: dict[str, TestSuite]) -> None:
    """Take over the samples, each under the suite with its new cases."""
    known = run.ids(Sample)
    with run.appending(Sample) as append:
        for sample in parent.rows(Sample):
            if sample.id not in known:
                suite = stronger[sample.suite_id]
                append(extracted(replace(sample, suite_id=suite.id), suite, extraction_of(run.recipe)))
