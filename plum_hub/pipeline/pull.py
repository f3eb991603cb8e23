"""`pull` as a library: turn a release back into a run folder, to continue from there.

The run takes its test suites from the release, as `--suites` does. With the same policy it has all samples and verdicts
already; with another policy it samples again. Rows that the release left out before its suites are not in it.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from plum_hub import layers
from plum_hub import recipe as recipes
from plum_hub.errors import HubError, RunError
from plum_hub.files import writing
from plum_hub.instructions.addresses import parse_release
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.stage import STAGE as DECONTAMINATION
from plum_hub.pipeline.preferences import run_preferences
from plum_hub.pipeline.published import published_suites, reading_release, release_folder
from plum_hub.pipeline.samples import STAGE as SAMPLES
from plum_hub.pipeline.shards import over_shards, shard_size
from plum_hub.pipeline.verdicts import STAGE as VERDICTS
from plum_hub.recipe import SuitesConfig
from plum_hub.records import Drop, Instruction, Sample, TestSuite, Verdict
from plum_hub.release.manifest import MANIFEST, RECIPE, VerifiableManifest, read_manifest
from plum_hub.release.reading import config_files, read_rows, sample_of, verdict_of
from plum_hub.run import Run

_STAGES = (SAMPLES, VERDICTS, DECONTAMINATION)
"""Stages whose drops are taken over, if their instruction is in the release; labels are made again."""
_PARTIAL = ".partial"
"""Ending of the folder of a run that is not complete yet."""
_OPEN_SHARDS = 16
"""Shards whose files are open at a time."""


def pull(source: str, folder: Path, hub: str) -> Run:
    """Make a run folder from a release, completely or not at all.

    Args:
        source: The release, as `REPO@TAG`.
        folder: A folder that does not exist or is empty.
        hub: The Hub, as `--hub` takes it.

    Returns:
        The run.

    Raises:
        HubError: The release cannot be downloaded, or was not published by plum-hub.
        UsageError: `source` is not of the form `REPO@TAG`.
        RunError: The folder is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(path.name != _PARTIAL for path in folder.iterdir())):
        raise RunError(f"{folder}: exists already; name a new folder with --run DIR")
    config = SuitesConfig(source="@".join(parse_release(source)), hub=hub)
    release = release_folder(config)
    inside = folder.exists()  # perhaps the current folder, or another file system, which is not replaced
    partial = folder / _PARTIAL if inside else folder.with_name(f"{folder.name}{_PARTIAL}")
    with writing(partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
    run = Run.create(partial, _recipe(config, release))
    run.makes_rows = False
    _fill(run, release)
    over_shards(Context(run=run), run_preferences)
    with writing(folder):
        if inside:
            for path in sorted(partial.iterdir(), key=lambda path: path.name == RECIPE):  # last: then it is a run
                path.replace(folder / path.name)
            partial.rmdir()
        else:
            partial.replace(folder)
    return Run.open(folder)


def _recipe(config: SuitesConfig, release: Path) -> recipes.Recipe:
    """Return the recipe of the release, with the release as the source of its suites."""
    if not (release / RECIPE).is_file() or not (release / MANIFEST).is_file():
        raise HubError(
            f"{config.source}: is not a release of plum-hub, which would have a recipe.yaml; name another "
            "one as REPO@TAG"
        )
    made = recipes.parse(layers.read(release / RECIPE), f"{config.source} recipe.yaml")
    # The suites were chosen before; a release has scores and shares, but not the records that a run keeps of them.
    chosen = {"strength": False, "min_strength": 0.0, "roles": False, "structured": False, "vote": False}
    suites = {"source": config.source, "revision": release.name, "hub": config.hub, **chosen}
    instructions = {"source": config.source, "revision": None, "limit": None}
    return made.model_copy(
        update={
            "suites": made.suites.model_copy(update=suites),
            "instructions": made.instructions.model_copy(update=instructions),
        }
    )


def _fill(run: Run, release: Path) -> None:
    source = run.recipe.suites.source
    with reading_release(source):
        lineage = read_manifest(release, VerifiableManifest).lineage
    if lineage.packages:
        run.record_environment(dict(lineage.packages))
    places = _fill_suites(run)
    with reading_release(source), _appending_by_shard(run, places, Sample, Verdict) as keep:
        for row in read_rows(config_files(release, "samples")):
            keep(sample_of(row, lineage))
            keep(verdict_of(row, lineage))
    with reading_release(source), _appending_by_shard(run, places, Drop) as keep:
        for row in read_rows(config_files(release, "dropped")):
            if row["stage"] in _STAGES and row["instruction_id"] in places:
                keep(Drop(**row))


def _fill_suites(run: Run) -> dict[str, int]:
    """Write instructions and suites, shard after shard; return the number of each instruction's shard."""
    size = None if run.recipe.budget.minutes is not None else shard_size(None)
    places: dict[str, int] = {}
    with _appending_by_shard(run, places, Instruction, TestSuite) as keep:
        for instruction, suite in published_suites(run.recipe.suites):
            if instruction.id not in places:
                places[instruction.id] = 0 if size is None else len(places) // size
                keep(instruction)
            keep(suite)
    return places


@contextmanager
def _appending_by_shard(
    run: Run, places: Mapping[str, int], *kinds: type[Any]
) -> Iterator[Callable[[Instruction | TestSuite | Sample | Verdict | Drop], None]]:
    """Open the files of some kinds of rows; yield a function that appends a row to the shard of its instruction.

    The rows of a release come almost in the order of the shards, so the files of few of them are open at a time.
    """
    files: dict[int, ExitStack] = {}
    appends: dict[tuple[int, type], Callable[[Any], None]] = {}

    def opened(number: int) -> None:
        if number not in files:
            if len(files) >= _OPEN_SHARDS:
                files.pop(next(iter(files))).close()  # the one that was opened first
            shard, files[number] = run.shard(number), ExitStack()
            for kind in kinds:
                appends[number, kind] = files[number].enter_context(shard.appending(kind))

    def keep(row: Instruction | TestSuite | Sample | Verdict | Drop) -> None:
        number = places[row.id if isinstance(row, Instruction) else row.instruction_id]
        opened(number)
        appends[number, type(row)](row)

    try:
        opened(0)  # files that exist say that their stage has begun, even without rows
        yield keep
    finally:
        for stack in files.values():
            stack.close()
