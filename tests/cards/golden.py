"""The facts behind the golden cards. Run as a module to write the cards anew."""

from dataclasses import replace
from pathlib import Path

from plum_hub.cards import DatasetFacts, dataset_card
from plum_hub.engines.base import EngineIdentity
from plum_hub.release.lineage import AddedCases, ContaminationReport, InstructionSource, ModelProvenance
from plum_hub.release.manifest import ReleaseCounts
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.statistics import Distribution
from tests.release.rows import lineage

FOLDER = Path(__file__).resolve().parents[1] / "golden"


def full_facts() -> DatasetFacts:
    """Every section there is."""
    made = lineage()
    generator = ModelProvenance(
        identity=EngineIdentity(engine="openai", engine_version="3.54.0", model="some-api-model", revision=""),
        sampling=replace(made.policy.sampling, temperature=0.2),
    )
    return DatasetFacts(
        rule=PreferencesConfig(),
        repo="local/plum-mixed-policy-0.5b",
        tag="v1.0.0",
        pretty_name="PLUM: mixed instructions, policy-0.5B",
        lineage=replace(
            made,
            generator=generator,
            added_cases=AddedCases(suites=100, strengthened=34, cases=53),
            decontamination=replace(
                made.decontamination,
                compared=(
                    ContaminationReport(
                        benchmark="humaneval",
                        revision="sha256:" + "f" * 64,
                        tasks=164,
                        tests_run=True,
                        instructions=104,
                        samples=2_040,
                        found={"instruction": 2, "text": 1, "solution": 4, "behaviour": 3},
                    ),
                    ContaminationReport(
                        benchmark="mbpp+",
                        revision="sha256:" + "0" * 64,
                        tasks=378,
                        tests_run=False,
                        instructions=104,
                        samples=2_040,
                        found={"instruction": 0, "text": 0, "solution": 0, "behaviour": 0},
                    ),
                ),
            ),
            sources=(
                InstructionSource(name="some/oss", revision="a" * 40, license="mit"),
                InstructionSource(name="some/evol", revision="c" * 40, license="CC BY-NC-SA 4.0"),
            ),
        ),
        counts=ReleaseCounts(
            conversational=True,
            rows={"kto": 1_230, "dpo": 400, "sft": 800, "samples": 2_000, "test_suites": 100, "dropped": 808},
            statuses={"crashed": 50, "failed": 700, "no_code": 100, "passed": 900, "timed_out": 250},
            chosen=800,
            rejected=430,
            dropped={
                "decontamination": {"benchmark_instruction": 2, "benchmark_solution": 4},
                "instructions": {"near_duplicate": 30, "not_python": 8},
                "suites": {"weak": 12},
                "preferences": {"crashed": 50, "no_chosen_sample": 400, "no_code": 100, "truncated": 220},
            },
            pass_ratios=(22, 5, 6, 8, 9, 12, 11, 7, 8, 12),
            strength=Distribution(98, 0.8125, (0.7, 0.85, 1.0), (0, 0, 0, 0, 2, 5, 9, 14, 24, 44)),
            dual_agreement=Distribution(100, 0.575, (0.4, 0.55, 0.8), (0, 1, 5, 18, 22, 14, 12, 10, 9, 9)),
            agreement=Distribution(100, 0.925, (0.85, 0.95, 1.0), (0, 0, 0, 0, 0, 2, 8, 11, 14, 65)),
            roles={"typical": 210, "edge": 130, "large": 61, "invalid": 24, "unspecified": 75},
        ),
    )


def minimal_facts() -> DatasetFacts:
    """A plain-text policy from a folder, all answers right, suites of another release, a source without licence."""
    made = lineage()
    identity = EngineIdentity(
        engine="transformers", engine_version="5.19.0", model="/secret/weights", revision="sha256:" + "d" * 64
    )
    return DatasetFacts(
        rule=PreferencesConfig(),
        repo="local/plum-tasks-weights",
        tag="v1.0.0",
        pretty_name="PLUM: tasks, weights",
        lineage=replace(
            made,
            sources=(InstructionSource(name="/secret/tasks.jsonl", revision="sha256:" + "e" * 64, license=None),),
            policy=ModelProvenance(identity=identity, sampling=made.policy.sampling),
            generator=None,
            suites_from="local/plum-other@v1.2.0",
            self_consistency=None,
        ),
        counts=ReleaseCounts(
            conversational=False,
            rows={"kto": 4, "sft": 4, "samples": 4, "test_suites": 1},
            statuses={"passed": 4},
            chosen=4,
            rejected=0,
            dropped={},
            pass_ratios=(0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
        ),
    )


CARDS = {"dataset_card_full.md": full_facts, "dataset_card_minimal.md": minimal_facts}

if __name__ == "__main__":
    for name, facts in CARDS.items():
        (FOLDER / name).write_text(dataset_card(facts()), encoding="utf-8")
