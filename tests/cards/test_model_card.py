"""A model's card against the golden ones; `python -m tests.cards.golden_model` writes these anew after a change that is
meant."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from plum_hub.cards import ModelFacts, model_card
from plum_hub.hubs import front_matter
from plum_hub.release.schemas import Method
from tests.cards.golden import FOLDER
from tests.cards.golden_model import CARDS, full_facts, minimal_facts, training


@pytest.mark.parametrize("name", CARDS)
def test_the_card_is_the_golden_one(name: str) -> None:
    assert model_card(CARDS[name]()) == (FOLDER / name).read_text(encoding="utf-8")


def other_forms() -> list[ModelFacts]:
    full = full_facts()
    return [
        replace(full, lineage=replace(full.lineage, form="merged", on_policy=False)),
        replace(minimal_facts(), lineage=replace(minimal_facts().lineage, form="adapter", method="dpo")),
    ]


@pytest.mark.parametrize("facts", [full_facts(), minimal_facts(), *other_forms()], ids=lambda facts: facts.lineage.form)
def test_every_card_is_whole(facts: ModelFacts) -> None:
    card = model_card(facts)
    sections = re.split(r"^#+ .*$", re.sub(r"```.*?```", "code", card, flags=re.DOTALL), flags=re.MULTILINE)[1:]
    assert all(section.strip() for section in sections)
    for placeholder in ("More Information Needed", "None", "TODO", "{{", "{%", "Undefined"):
        assert placeholder not in card
    assert "\n\n\n" not in card
    for above, line in pairwise(card.splitlines()):
        if line.startswith("|") and above.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", above)), line
    assert front_matter.problems(card, "model") == ([], [])


def test_the_front_matter_is_what_the_hub_reads() -> None:
    from huggingface_hub import ModelCard

    data = ModelCard(model_card(full_facts())).data
    assert (data.base_model, data.to_dict()["base_model_relation"]) == (["some/policy-0.5B"], "adapter")
    assert (data.library_name, data.pipeline_tag) == ("peft", "text-generation")
    assert data.datasets == ["local/plum-starter-policy"]
    assert data.license == "cc-by-nc-4.0"  # the strictest of base and data
    [result] = data.eval_results
    assert (result.dataset_type, result.metric_value) == ("evalplus/humanevalplus", 48.8)
    bare = ModelCard(model_card(minimal_facts())).data.to_dict()
    assert not {"base_model", "base_model_relation", "datasets", "model-index"} & bare.keys()
    assert (bare["library_name"], bare["license"]) == ("transformers", "other")


def test_what_a_reader_must_know_is_said() -> None:
    full, merged, plain = model_card(full_facts()), model_card(other_forms()[0]), model_card(minimal_facts())
    assert "dequantised from Q4_K_M" in full
    assert "The base itself generated these answers (on-policy)" in full
    assert "**Off-policy**" in merged
    assert "it is not known whether they are on-policy" in plain
    assert "This model was not evaluated" in plain
    for card, judged in ((full, True), (merged, True), (plain, False), (model_card(other_forms()[1]), False)):
        assert ("test suite" in card) == ("The labels come from test cases" in card) == judged
        assert "tests that a model wrote" not in card, "they may be the rows' own"
        assert ("The rows do not tell how these answers were judged" in card) != judged
    assert "| humaneval+ | plus | official | 164 | 47.0 | 48.8 | +1.8 | -1.8 to +6.1 | 0.549 | 7 : 4 | 6.6 |" in full


@pytest.mark.parametrize("method", ["kto", "dpo", "sft"])
def test_the_rows_of_the_method_are_loaded(method: Method) -> None:
    facts, trained = full_facts(), training(method)
    lineage = replace(facts.lineage, method=method, data=replace(facts.lineage.data, config=method))
    facts = replace(facts, lineage=lineage, training=trained)
    assert f'load_dataset("local/plum-starter-policy", "{method}", split="train"' in model_card(facts)
    other = replace(facts, lineage=replace(lineage, data=replace(lineage.data, config=None)))
    assert 'load_dataset("local/plum-starter-policy", split="train"' in model_card(other)
