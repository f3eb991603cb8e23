"""The facts behind the golden cards of models. Run as a module to write the cards anew."""

from dataclasses import replace
from typing import Any

from plum_hub.cards import ModelFacts, ModelResults, model_card
from plum_hub.release.model_lineage import BaseModelRef, ModelLineage, TrainedOn
from tests.cards.golden import FOLDER


def training(method: str = "kto", weights: str = "lora") -> dict[str, Any]:
    """What `training.json` says, as far as a card does."""
    return {
        "settings": {
            "method": method, "weights": "auto", "lora_rank": 16, "lora_alpha": 32, "learning_rate": None, "epochs": 2,
            "batch_size": 4, "accumulation": 8, "max_length": 1024, "group_by_length": False, "beta": 0.1,
            "desirable_weight": None, "undesirable_weight": None, "max_kl": 100.0, "merge": True, "report_to": [],
            "checkpoint_every": 25, "memory_gb": None, "reference": "auto", "seed": 0,
        },
        "decided": {
            "weights": weights, "precision": "bf16", "gradient_checkpointing": False, "reference": "live",
            "learning_rate": 1e-5,
        },
        "class_weights": {"desirable": 1.0, "undesirable": 1.25},
        "data": {"written_by": {"name": "other/policy", "revision": "9" * 40}},
        "processes": 1,
        "rows": {
            "read": 1230, "left_out": {"longer than 1024 tokens": 30}, "kept": 1200, "chosen": 780, "rejected": 420,
            "instructions": 96, "longest": 1019,
            "epochs": [{"rows": 1188, "left_out": {"no row of the other label left to stand beside it": 12}}],
        },
        "steps": 75,
        "versions": {"python": "3.11.7", "torch": "2.13.0", "trl": "1.16.0"},
    }  # fmt: skip


def full_facts() -> ModelFacts:
    """An adapter for published weights that were dequantised, on a release, measured beside its base."""
    preflight = {"pairs": 2400, "same_prompt_rate": 0.0, "batches": 600, "single_label_rate": 0.0}
    lineage = ModelLineage(
        form="adapter",
        method="kto",
        base=BaseModelRef(
            name="some/policy-0.5B",
            commit="b" * 40,
            revision="sha256:" + "d" * 64,
            weights="dequantised from Q4_K_M GGUF",
            license="apache-2.0",
        ),
        data=TrainedOn(
            name="starter-policy", revision="sha256:" + "a" * 64, rows=1230, sha256="e" * 64,
            repo="local/plum-starter-policy", tag="v1.1.0", commit="c" * 40, licenses=("mit", "cc-by-nc-4.0"),
            config="kto",
        ),
        on_policy=True,
    )  # fmt: skip
    score = "| HumanEval+ | plus | 164 | pass@1 | 47.0 ± 3.9 | the same | greedy |\n"
    head = "| benchmark | tests | problems | metric | official | strict | on these terms |\n"
    head += "|---|---|---:|---|---:|---:|---|\n"
    gain = {
        "benchmark": "humaneval+", "suite": "plus", "reading": "official", "part": "", "problems": 164, "first": 0.47,
        "second": 0.488, "gain": 0.018, "relative": 0.039, "only_first": 4, "only_second": 7, "p_value": 0.549,
        "low": -0.018, "high": 0.061, "smallest": 0.066,
    }  # fmt: skip
    index = [
        {
            "name": "policy-0.5B-plum-kto",
            "results": [
                {
                    "task": {"type": "text-generation"},
                    "dataset": {"type": "evalplus/humanevalplus", "name": "HumanEval+ (plus tests)"},
                    "metrics": [{"type": "pass@1", "value": 48.8, "name": "pass@1", "verified": False}],
                }
            ],
        }
    ]
    return ModelFacts(
        repo="local/policy-0.5B-plum-kto",
        tag="v1.0.0",
        lineage=lineage,
        training=training() | {"preflight": preflight},
        curves=("report/loss.png", "report/rewards.png"),
        results=ModelResults(
            merged=True,
            table=head + score.replace("47.0", "48.8"),
            base_table=head + score,
            gains=(gain,),
            notes=("judged by two harnesses: jail 1 and jail 2",),
            index=index,
        ),
    )


def minimal_facts() -> ModelFacts:
    """All weights of a model in a folder, trained by SFT on a file; nothing measured."""
    facts = full_facts()
    lineage = replace(
        facts.lineage,
        form="full",
        method="sft",
        base=BaseModelRef(name="tiny", commit=None, revision="sha256:" + "d" * 64, weights=None, license=None),
        data=replace(
            facts.lineage.data, name="rows.jsonl", repo=None, tag=None, commit=None, licenses=(None,), config=None
        ),
        on_policy=None,
    )  # fmt: skip
    more = {"data": {"written_by": None}}
    return replace(
        facts, lineage=lineage, training=training("sft", "full") | more, curves=(), results=None, tag="v2.0.1"
    )


CARDS = {"model_card_full.md": full_facts, "model_card_minimal.md": minimal_facts}

if __name__ == "__main__":
    for name, facts in CARDS.items():
        (FOLDER / name).write_text(model_card(facts()), encoding="utf-8")
