"""The figures of a build, from its run or from its release."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from plum_hub.cards import StageCount
from plum_hub.engines import EngineConfig
from plum_hub.instructions.hub import KNOWN_DATASETS
from plum_hub.layers import read
from plum_hub.pipeline.published import GENERATE, reading_release
from plum_hub.pipeline.status import summarise
from plum_hub.pipeline.suites import self_consistency
from plum_hub.recipe import SamplesConfig, SuitesConfig, parse
from plum_hub.records import Instruction, SuiteVote, TestSuite, Verdict
from plum_hub.release.figures import pass_ratios
from plum_hub.release.lineage import InstructionSource, ModelProvenance, SelfConsistency
from plum_hub.release.manifest import MANIFEST, RECIPE, VerifiableManifest, read_manifest
from plum_hub.reports.content import BuildFacts, ReportedModel
from plum_hub.reports.sources import FoundFolder
from plum_hub.run import Run
from plum_hub.statistics import Distribution, distribution

_STAGES = ("instructions", "responses", "suites", "samples", "verdicts", "preferences")


def read_build(found: FoundFolder) -> BuildFacts:
    """Read the figures of a build or a release.

    Args:
        found: A folder of kind `build` or `release`.

    Returns:
        The figures; of a build that is not complete, those of the rows made so far.

    Raises:
        RunError: A file of the run is damaged.
        HubError: A file of the release is damaged.
    """
    if found.kind == "build":
        return _of_run(found)
    with reading_release(found.name):
        return _of_release(found)


def short_name(sources: Iterable[InstructionSource]) -> str:
    """Return the short name of a set of instructions.

    Args:
        sources: Where they come from.

    Returns:
        The name that the recipes use for the paper's sets; the names themselves for others.
    """
    known = {dataset.repo: name for name, dataset in KNOWN_DATASETS.items()}
    return ", ".join(dict.fromkeys(known.get(source.name, source.public_name) for source in sources))


def _of_run(found: FoundFolder) -> BuildFacts:
    run = Run.open(found.path)
    recipe, status = run.recipe, summarise(run)
    generated = recipe.suites.source == GENERATE
    sources = tuple(
        InstructionSource(name=name, revision=revision, license=terms)
        for name, revision, terms in dict.fromkeys(run.columns(Instruction, "source", "revision", "license"))
    )
    policy = _model("policy", recipe.policy, recipe.samples, status.engines["samples"])
    writers = [_model("generator", recipe.generator, recipe.suites, status.engines["responses"])] if generated else []
    passed, responses = self_consistency(status.rows["suites"], status.dropped.get("suites", {}))
    harnesses = dict.fromkeys(name for (name,) in run.columns(Verdict, "sandbox") if name)
    assert recipe.samples.per_instruction is not None  # a sealed recipe has every default filled in
    return BuildFacts(
        name=found.name,
        revision=f"sha256:{(found.path / 'recipe.sha256').read_text(encoding='ascii').strip()}",
        models=(policy, *writers),
        sources=sources,
        data=short_name(sources),
        suites_from=None if generated else recipe.suites.source,
        samples_per_suite=recipe.samples.per_instruction,
        rule=recipe.preferences.rule,
        negatives=recipe.preferences.rejected,
        harness=", ".join(harnesses),
        stages=_stages(status.rows, status.dropped, hidden=() if generated else ("responses",)),
        statuses=status.statuses,
        chosen=status.chosen,
        rejected=status.rejected,
        pass_ratios=_ratios(run),
        self_consistency=SelfConsistency(responses=responses, passed=passed) if generated and responses else None,
        evidence=_evidence(run, status.strength),
    )


def _of_release(found: FoundFolder) -> BuildFacts:
    manifest = read_manifest(found.path, VerifiableManifest)  # what every release has; the rest may be absent
    lineage, counts = manifest.lineage, manifest.counts
    stated = json.loads((found.path / MANIFEST).read_bytes())
    sources = tuple(InstructionSource(**source) for source in stated["lineage"].get("sources", ()))
    consistency = stated["lineage"].get("self_consistency")
    rule = parse(read(found.path / RECIPE), f"{found.name} {RECIPE}").preferences
    models = [("policy", lineage.policy), *([("generator", lineage.generator)] if lineage.generator else [])]
    rows = {
        "instructions": stated["lineage"].get("instructions", counts.rows.get("test_suites", 0)),
        "suites": counts.rows.get("test_suites", 0),
        "samples": counts.rows.get("samples", 0),
        "verdicts": sum(counts.statuses.values()),
        "preferences": counts.rows.get("kto", 0),
    }
    evidence = {
        "mutation score": counts.strength,
        "agreement of the voters": counts.agreement,
        "dual agreement": counts.dual_agreement,
    }
    return BuildFacts(
        name=found.name,
        revision=found.path.resolve().name,
        models=tuple(_provenance(role, model) for role, model in models),
        sources=sources,
        data=short_name(sources),
        suites_from=lineage.suites_from,
        samples_per_suite=lineage.samples_per_suite,
        rule=rule.rule,
        negatives=rule.rejected,
        harness=lineage.harness_version,
        stages=_stages(rows, counts.dropped, hidden=("responses",)),
        statuses=counts.statuses,
        chosen=counts.chosen,
        rejected=counts.rejected,
        pass_ratios=tuple(stated["counts"].get("pass_ratios", ())),
        self_consistency=SelfConsistency(**consistency) if consistency else None,
        evidence={name: summary for name, summary in evidence.items() if summary is not None},
    )


def _model(
    role: str, config: EngineConfig, settings: SuitesConfig | SamplesConfig, engines: Iterable[str]
) -> ReportedModel:
    return ReportedModel(
        role=role,
        name=config.public().model,
        revision=config.revision or "",
        engine=", ".join(engines) or config.type,
        sampling=_words(settings.temperature, settings.top_p, settings.max_tokens),
    )


def _provenance(role: str, model: ModelProvenance) -> ReportedModel:
    sampling = model.sampling
    return ReportedModel(
        role=role,
        name=model.name,
        revision=model.identity.revision,
        engine=f"{model.identity.engine} {model.identity.engine_version}".strip(),
        sampling=_words(sampling.temperature, sampling.top_p, sampling.max_tokens),
    )


def _words(temperature: float, top_p: float, max_tokens: int) -> str:
    sampler = "greedy" if temperature == 0 else f"temperature {temperature:g}, top-p {top_p:g}"
    return f"{sampler}, at most {max_tokens:,} tokens"


def _stages(
    rows: Mapping[str, int], dropped: Mapping[str, Mapping[str, int]], hidden: tuple[str, ...]
) -> tuple[StageCount, ...]:
    """Return every stage in the order of the build; stages that only leave rows out come before the last."""
    others = [stage for stage in dropped if stage not in _STAGES]
    names = [name for name in (*_STAGES[:-1], *others, _STAGES[-1]) if name not in hidden or dropped.get(name)]
    return tuple(StageCount(stage=name, kept=rows.get(name), dropped=dict(dropped.get(name, {}))) for name in names)


def _ratios(run: Run) -> tuple[int, ...]:
    counts: dict[str, Counter[bool]] = defaultdict(Counter)
    for suite, status in run.columns(Verdict, "suite_id", "status"):
        counts[suite][status == "passed"] += 1
    return pass_ratios((each[True], each.total()) for each in counts.values())


def _evidence(run: Run, strength: Distribution | None) -> dict[str, Distribution]:
    """Summarize what the run knows of its suites without gold tests."""
    kept = run.ids(TestSuite)
    shares = [sum(each) / len(each) for name, each in run.columns(SuiteVote, "id", "shares") if name in kept and each]
    agreement = distribution(shares)
    found = {"mutation score": strength, "agreement of the voters": agreement}
    return {name: summary for name, summary in found.items() if summary is not None}
