"""What a run's release was made from, as the run records it: facts for the card and the manifest."""

import json
from collections.abc import Iterable
from pathlib import Path

from plum_hub.engines import EngineConfig
from plum_hub.engines.base import EngineIdentity
from plum_hub.engines.revision import NOTE
from plum_hub.errors import HubError
from plum_hub.judging.cases import limits_of
from plum_hub.pipeline.base import sampling_of
from plum_hub.pipeline.decontamination.stage import decontamination_of, removed_ids
from plum_hub.pipeline.published import GENERATE, ROWS, reading_release, release_folder
from plum_hub.pipeline.strengthening import added_to
from plum_hub.pipeline.suites import STAGE as SUITES
from plum_hub.pipeline.suites import self_consistency
from plum_hub.publishing.row_versions import row_versions
from plum_hub.recipe import SamplesConfig, SuitesConfig
from plum_hub.records import Instruction, Response, Sample, TestSuite
from plum_hub.release.lineage import AddedCases, InstructionSource, Lineage, ModelProvenance, SelfConsistency
from plum_hub.release.manifest import MANIFEST, VerifiableManifest, read_manifest
from plum_hub.run import Run


def lineage_of(run: Run) -> Lineage:
    """Collect the lineage of the release that the run would make now.

    Args:
        run: The run.

    Returns:
        Sources, models, settings and versions.

    Raises:
        RunError: The rows do not prove which versions made them.
        HubError: The release that the suites were taken from cannot be read.
    """
    recipe = run.recipe
    origins = dict.fromkeys(run.columns(Instruction, "source", "revision", "license"))
    generated = recipe.suites.source == GENERATE
    versions = row_versions(run)
    assert recipe.samples.per_instruction is not None  # a sealed recipe has every default filled in
    policy_engines = (engine for (engine,) in run.columns(Sample, "engine"))
    generator_engines = (engine for (engine,) in run.columns(Response, "engine"))
    return Lineage(
        sources=tuple(
            InstructionSource(name=name, revision=revision, license=terms) for name, revision, terms in origins
        ),
        instructions=sum(1 for _ in run.columns(Instruction, "id")),
        policy=_model(recipe.policy, recipe.samples, policy_engines),
        samples_per_suite=recipe.samples.per_instruction,
        generator=_model(recipe.generator, recipe.suites, generator_engines) if generated else _earlier(recipe.suites),
        suites_from=None if generated else recipe.suites.source,
        self_consistency=_self_consistency(run) if generated else None,
        added_cases=_added_cases(run),
        harness_version=versions.sandbox,
        checker_version=versions.static_check,
        extraction=versions.extraction,
        limits=limits_of(recipe.verdicts),
        prompts=versions.prompts,
        packages=versions.packages,
        decontamination=decontamination_of(run),
    )


def _earlier(suites: SuitesConfig) -> ModelProvenance | None:
    """Return the generator that the release states from which the suites were taken, if there is one."""
    if suites.source == ROWS:
        return None
    try:
        folder = release_folder(suites)
    except HubError as error:
        raise HubError(
            f"the suites are those of {suites.source}, whose manifest names the model that wrote them, but cannot be "
            f"read: {error}"
        ) from error
    if not (folder / MANIFEST).is_file():
        return None
    with reading_release(suites.source):
        return read_manifest(folder, VerifiableManifest).lineage.generator


def _model(config: EngineConfig, settings: SuitesConfig | SamplesConfig, engines: Iterable[str]) -> ModelProvenance:
    """Describe the model that wrote a stage's rows; the engine's version comes from the rows."""
    names = sorted({name.partition(" ")[2] for name in engines})
    return ModelProvenance(
        identity=EngineIdentity(
            engine=config.type,
            engine_version=", ".join(names),
            model=config.public().model,
            revision=config.revision or "",
        ),
        sampling=sampling_of(settings),
        weights=_weights(config.model),
        dtype=config.fixed_dtype,
    )


def _weights(model: str) -> str | None:
    """Read the note on a folder's weights that `scripts/fetch-model` leaves."""
    try:
        note = json.loads((Path(model).expanduser() / NOTE).read_text(encoding="utf-8"))
        return str(note["weights"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _self_consistency(run: Run) -> SelfConsistency:
    """Count the suites whose own reference solution passes them."""
    reasons = {reason: count for (stage, reason), count in run.drop_reasons().items() if stage == SUITES}
    passed, responses = self_consistency(sum(1 for _ in run.columns(TestSuite, "id")), reasons)
    return SelfConsistency(responses=responses, passed=passed)


def _added_cases(run: Run) -> AddedCases | None:
    """Sum up the cases that were added to the suites that are released."""
    added = added_to(run)
    if added is None:
        return None
    removed = removed_ids(run)
    return AddedCases.of(count for name, count in added.items() if name not in removed)
