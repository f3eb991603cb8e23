"""`pull` as a library: a run folder made from a release, to go on from there.

The run takes its test suites from the release, as `--suites` does: with the same policy it has all its samples and
verdicts already, and with another one it samples anew. What the release left out before its suites is not in it.
"""

import shutil
from pathlib import Path

from plum_hub import recipe as recipes
from plum_hub.errors import HubError, RunError
from plum_hub.files import writing
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.stage import STAGE as DECONTAMINATION
from plum_hub.pipeline.preferences import run_preferences
from plum_hub.pipeline.published import as_published, published, release_folder
from plum_hub.pipeline.samples import STAGE as SAMPLES
from plum_hub.pipeline.verdicts import STAGE as VERDICTS
from plum_hub.recipe import SuitesConfig
from plum_hub.records import Drop, Instruction, Sample, TestSuite, Verdict
from plum_hub.release.manifest import MANIFEST, RECIPE, VerifiableManifest, read_manifest
from plum_hub.release.preferences import STAGE as PREFERENCES
from plum_hub.release.reading import config_files, read_rows, sample_of, verdict_of
from plum_hub.run import Run

_STAGES = (SAMPLES, VERDICTS, DECONTAMINATION, PREFERENCES)
"""What these left out is taken over, where its instruction is in the release."""


def pull(source: str, folder: Path, hub: str) -> Run:
    """Make the run folder, whole or not at all.

    Args:
        source: `REPO@TAG`.
        folder: a folder that is not there yet, or is empty.
        hub: as `--hub` takes it.

    Raises:
        HubError: the release cannot be had, or is none of plum-hub's.
        RecipeError: `source` is not written so.
        RunError: the folder holds something, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder}: is there already; name a new folder with --run DIR")
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
    """The release's own, with the release as the source of its suites."""
    if not (release / RECIPE).is_file() or not (release / MANIFEST).is_file():
        raise HubError(
            f"{config.source}: is no release of plum-hub, which has a recipe.yaml; name another with REPO@TAG"
        )
    made = recipes.parse(recipes.read(release / RECIPE), f"{config.source} recipe.yaml")
    suites = {"source": config.source, "revision": release.name, "hub": config.hub}
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
        for its, one in published(run.recipe.suites):
            if its.id not in seen:
                seen.add(its.id)
                instruction(its)
            suite(one)
    with as_published(source):
        lineage = read_manifest(release, VerifiableManifest).lineage
    with as_published(source), run.appending(Sample) as sample, run.appending(Verdict) as verdict:
        for row in read_rows(config_files(release, "samples")):
            sample(sample_of(row, lineage))
            verdict(verdict_of(row, lineage))
    with as_published(source), run.appending(Drop) as drop:
        for row in read_rows(config_files(release, "dropped")):
            if row["stage"] in _STAGES and row["instruction_id"] in seen:
                drop(Drop(**row))
