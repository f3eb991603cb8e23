"""`pull` as a library: turn a release back into a run folder, to continue from there.

The run takes its test suites from the release, as `--suites` does. With the same policy it has all samples and verdicts
already; with another policy it samples again. Rows that the release left out before its suites are not in it.
"""

import shutil
from pathlib import Path

from plum_hub import recipe as recipes
from plum_hub.errors import HubError, RunError
from plum_hub.files import writing
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.stage import STAGE as DECONTAMINATION
from plum_hub.pipeline.preferences import run_preferences
from plum_hub.pipeline.published import published_suites, reading_release, release_folder
from plum_hub.pipeline.samples import STAGE as SAMPLES
from plum_hub.pipeline.verdicts import STAGE as VERDICTS
from plum_hub.recipe import SuitesConfig
from plum_hub.records import Drop, Instruction, Sample, TestSuite, Verdict
from plum_hub.release.manifest import MANIFEST, RECIPE, VerifiableManifest, read_manifest
from plum_hub.release.preferences import STAGE as PREFERENCES
from plum_hub.release.reading import config_files, read_rows, sample_of, verdict_of
from plum_hub.run import Run

_STAGES = (SAMPLES, VERDICTS, DECONTAMINATION, PREFERENCES)
"""Stages whose drops are taken over, if their instruction is in the release."""


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
        RecipeError: `source` is not of the form `REPO@TAG`.
        RunError: The folder is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder}: exists already; name a new folder with --run DIR")
    config = SuitesConfig(source=source, hub=hub)
    release = release_folder(config)
    partial = folder.with_name(f"{folder.name}.partial")
    with writing(partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
    run = Run.create(partial, _recipe(config, release))
    _fill(run, release)
    run_preferences(Context(run=run))
    with writing(folder):
        partial.replace(folder)
    return Run.open(folder)


def _recipe(config: SuitesConfig, release: Path) -> recipes.Recipe:
    """Return the recipe of the release, with the release as the source of its suites."""
    if not (release / RECIPE).is_file() or not (release / MANIFEST).is_file():
        raise HubError(
            f"{config.source}: is not a release of plum-hub, which would have a recipe.yaml; name another "
            "one as REPO@TAG"
        )
    made = recipes.parse(recipes.read(release / RECIPE), f"{config.source} recipe.yaml")
    # The suites were chosen before; a release has scores and shares, but not the records that a run keeps of them.
    chosen = {"strength": False, "min_strength": 0.0, "vote": False}
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
    with run.appending(Instruction) as instruction, run.appending(TestSuite) as suite:
        seen: set[str] = set()
        for its, one in published_suites(run.recipe.suites):
            if its.id not in seen:
                seen.add(its.id)
                instruction(its)
            suite(one)
    with reading_release(source):
        lineage = read_manifest(release, VerifiableManifest).lineage
    with reading_release(source), run.appending(Sample) as sample, run.appending(Verdict) as verdict:
        for row in read_rows(config_files(release, "samples")):
            sample(sample_of(row, lineage))
            verdict(verdict_of(row, lineage))
    with reading_release(source), run.appending(Drop) as drop:
        for row in read_rows(config_files(release, "dropped")):
            if row["stage"] in _STAGES and row["instruction_id"] in seen:
                drop(Drop(**row))
