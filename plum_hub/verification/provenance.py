"""What the rows of a release were made with: its recipe, and the harness that its manifest names."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path

from plum_hub import layers
from plum_hub import recipe as recipes
from plum_hub.engines import EngineConfig
from plum_hub.engines.base import Sampling
from plum_hub.errors import RecipeError
from plum_hub.judging.cases import limits_of
from plum_hub.pipeline.base import engine_inputs, sampling_of, seed_of
from plum_hub.pipeline.extraction import extraction_of
from plum_hub.pipeline.published import GENERATE, ROWS
from plum_hub.pipeline.verdicts import harness_of
from plum_hub.prompts import prompt_digest
from plum_hub.recipe import Recipe
from plum_hub.records import Sample, TestSuite, digest, digests_with, suite_digest
from plum_hub.release.lineage import ModelProvenance, RowsLineage
from plum_hub.release.manifest import RECIPE
from plum_hub.verification.findings import Findings

_PRIVATE = (
    "{role}: the address of its server is part of the ids of {rows} and is not published, so these are not recomputed"
)
_PROMPT = (
    "the prompt {name} has changed since the release (digest {published} there, {here} here): the prompts of the views "
    "are only compared with one another"
)

_BEGUN = "the prompts have the policy's chat template applied, and are only compared with one another"
_EXTRACTION = (
    "programs were extracted from answers by version {published} of the rules, and this is version {here}: the "
    "published programs are judged, but not compared with the answers"
)


@dataclass(frozen=True)
class Provenance:
    """The recipe and the lineage of a release, and what can be recomputed from them."""

    recipe: Recipe
    lineage: RowsLineage

    @cached_property
    def verdict_id(self) -> Callable[[str, str], str]:
        """Computes the id of a verdict from those of sample and suite."""
        lineage = self.lineage
        return digests_with(
            harness_of(self.recipe, lineage.harness_version, lineage.checker_version, lineage.extraction)
        )

    @cached_property
    def _policy(self) -> list[object] | None:
        """What identifies the policy in the id of a sample; None if that is not published."""
        return None if _is_private(self.recipe.policy) else engine_inputs(self.recipe.policy)

    @cached_property
    def same_extraction(self) -> bool:
        """Whether programs were extracted from answers by the rules of this version."""
        return self.lineage.extraction == extraction_of(self.recipe)

    @property
    def template(self) -> str:
        """Name of the prompt that the policy was given."""
        return f"solve_{self.recipe.samples.prompt}"

    @cached_property
    def same_prompt(self) -> bool:
        """Whether that prompt is the same in this version, and can be made without the policy's chat template."""
        return self.lineage.prompts.get(self.template) == prompt_digest(self.template)

    def origins(self, suite: TestSuite) -> list[str]:
        """List the suites that the samples of a suite may have been drawn for.

        Args:
            suite: The suite.

        Returns:
            Its id; where cases were added to published suites, then the ids of the suites with fewer of its cases.
        """
        settings = self.recipe.suites
        if not settings.strengthen or settings.source in (GENERATE, ROWS):
            return [suite.id]
        shorter = (replace(suite, cases=suite.cases[:count]) for count in range(len(suite.cases) - 1, 0, -1))
        return [suite.id, *(suite_digest(one.instruction_id, one) for one in shorter)]

    def origin(self, suite: TestSuite, sample: Sample) -> str:
        """Find the suite that a sample was drawn for, by its seed.

        Args:
            suite: The sample's suite.
            sample: The sample.

        Returns:
            The id of a suite of `origins`; that of the suite itself if none gives the sample's seed.
        """
        fitting = (name for name in self.origins(suite) if self.seed(name, sample.index) == sample.seed)
        return next(fitting, suite.id)

    def seed(self, origin: str, index: int) -> int:
        """Return the sampling seed of a sample.

        Args:
            origin: Id of the suite that it was drawn for.
            index: The number of the sample within the suite.

        Returns:
            The seed.
        """
        return seed_of(self.recipe.samples.seed, origin, index)

    def sample_id(self, suite: TestSuite, origin: str, index: int) -> str | None:
        """Recompute the id of a sample.

        Args:
            suite: The sample's suite.
            origin: Id of the suite that it was drawn for.
            index: The number of the sample within the suite.

        Returns:
            The id, or None if it depends on something that is not published.
        """
        settings = self.recipe.samples
        if self._policy is None:
            return None
        sampling = [settings.temperature, settings.top_p, settings.max_tokens]
        prompt = self.lineage.prompts.get(self.template)
        return digest(suite.instruction_id, origin, prompt, self._policy, sampling, self.seed(origin, index), index)

    def response_ids(self, instruction_id: str) -> set[str] | None:
        """Recompute the ids of all responses that the generator was asked for.

        Args:
            instruction_id: The instruction of the responses.

        Returns:
            The ids, or None if they depend on something that is not published, or the suites were not generated.
        """
        settings = self.recipe.suites
        if settings.source != GENERATE or _is_private(self.recipe.generator) or settings.responses is None:
            return None
        sampling = [settings.temperature, settings.top_p, settings.max_tokens]
        prompt, made = self.lineage.prompts.get("suite"), engine_inputs(self.recipe.generator)
        seeds = [(seed_of(settings.seed, instruction_id, index), index) for index in range(settings.responses)]
        return {digest(instruction_id, prompt, made, sampling, seed, index) for seed, index in seeds}


def read_provenance(folder: Path, lineage: RowsLineage, findings: Findings) -> Provenance | None:
    """Read the recipe of a release, and compare it with the manifest.

    Args:
        folder: The release's folder.
        lineage: The lineage in its manifest.
        findings: Receives the results.

    Returns:
        The provenance, or None if the recipe cannot be read.
    """
    try:
        recipe = recipes.parse(layers.read(folder / RECIPE), RECIPE)
    except RecipeError as error:
        findings.fail("recipe", RECIPE, "a recipe", str(error))
        return None
    if recipe.samples.prompt == "auto" or recipe.samples.per_instruction is None:
        findings.fail("recipe", f"{RECIPE}, samples", "values for prompt and per_instruction", "not filled in")
        return None
    provenance = Provenance(recipe, lineage)
    for key, published, expected in _statements(recipe, lineage):
        findings.compare("recipe", f"manifest, {key}", published, expected)
    if recipe.samples.prompt == "evalplus":
        findings.note(_BEGUN)
    elif not provenance.same_prompt:
        here = prompt_digest(provenance.template)
        published = lineage.prompts.get(provenance.template)
        findings.note(_PROMPT.format(name=provenance.template, published=published, here=here))
    if not provenance.same_extraction:
        findings.note(_EXTRACTION.format(published=lineage.extraction or "1", here=extraction_of(recipe)))
    if _is_private(recipe.policy):
        findings.note(_PRIVATE.format(role="policy", rows="samples"))
    if recipe.suites.source == GENERATE and _is_private(recipe.generator):
        findings.note(_PRIVATE.format(role="generator", rows="its responses"))
    if recipe.suites.source not in (GENERATE, ROWS):
        findings.note(f"the suites are those of {recipe.suites.source}: verify that release too")
    return provenance


def note_versions(lineage: RowsLineage, sandbox: str, static_check: str, findings: Findings) -> None:
    """Note the versions of the judge that differ from this machine's, since they may explain different verdicts.

    Args:
        lineage: The release's lineage.
        sandbox: Version of the sandbox on this machine.
        static_check: Version of the static check on this machine.
        findings: Receives the notes.
    """
    here = {"plum-hub": metadata.version("plum-hub"), "sandbox": sandbox, "static check": static_check}
    published = {
        "plum-hub": lineage.packages.get("plum-hub"),
        "sandbox": lineage.harness_version,
        "static check": lineage.checker_version,
    }
    for name, version in here.items():
        if published[name] not in (None, version):
            findings.note(f"{name}: the release was made with {published[name]}, and is judged here with {version}")


def _is_private(config: EngineConfig) -> bool:
    """Tell whether the ids of an engine's rows depend on something that is not published."""
    return "server" in config.text_settings()


def _statements(recipe: Recipe, lineage: RowsLineage) -> Iterator[tuple[str, object, object]]:
    """Yield what a manifest states and what it must state under the recipe, each under its key."""
    generated = recipe.suites.source == GENERATE
    yield "limits", asdict(lineage.limits), asdict(limits_of(recipe.verdicts))
    yield "samples_per_suite", lineage.samples_per_suite, recipe.samples.per_instruction
    yield "suites_from", lineage.suites_from, None if generated else recipe.suites.source
    yield from _model_statements("policy", lineage.policy, recipe.policy, sampling_of(recipe.samples))
    if generated:
        yield from _model_statements("generator", lineage.generator, recipe.generator, sampling_of(recipe.suites))
    authors = [("policy", lineage.policy, recipe.policy)]
    if generated and lineage.generator:
        authors.append(("generator", lineage.generator, recipe.generator))
    for role, author, config in authors:
        if author.dtype is not None:  # earlier versions did not record it
            yield f"{role}.dtype", author.dtype, config.fixed_dtype


def _model_statements(
    role: str, author: ModelProvenance | None, config: EngineConfig, sampling: Sampling
) -> Iterator[tuple[str, object, object]]:
    identity = None if author is None else author.identity
    yield f"{role}.identity.engine", identity and identity.engine, config.type
    yield f"{role}.identity.model", identity and identity.model, config.model
    yield f"{role}.identity.revision", identity and identity.revision, config.revision or ""
    yield f"{role}.sampling", author and asdict(author.sampling), asdict(sampling)
