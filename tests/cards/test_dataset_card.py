"""The card against the golden ones; `python -m tests.cards.golden` writes these anew after a change that is meant."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from plum_hub.cards import dataset_card
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.release.schemas import CONFIGS
from tests.cards.golden import CARDS, FOLDER, full_facts, minimal_facts


@pytest.mark.parametrize("name", CARDS)
def test_the_card_is_the_golden_one(name: str) -> None:
    assert dataset_card(CARDS[name]()) == (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CARDS)
def test_the_front_matter_is_what_the_hub_reads(name: str) -> None:
    from huggingface_hub import DatasetCard

    facts = CARDS[name]()
    data = DatasetCard(dataset_card(facts)).data.to_dict()
    assert {entry["config_name"] for entry in data["configs"]} == set(facts.counts.rows)
    assert [entry["config_name"] for entry in data["configs"] if entry.get("default")] == ["kto"]
    assert data["task_categories"] == ["text-generation"]
    assert "language" not in data, "nothing tells which it is"


def test_the_full_card_inherits_the_strictest_licence_and_names_the_policy() -> None:
    from huggingface_hub import DatasetCard

    data = DatasetCard(dataset_card(full_facts())).data.to_dict()
    assert data["license"] == "cc-by-nc-sa-4.0"
    assert data["size_categories"] == ["1K<n<10K"]
    assert data["base_model"] == ["some/policy-0.5B"]


def test_a_model_in_a_folder_is_no_base_model_of_the_hub() -> None:
    from huggingface_hub import DatasetCard

    card = dataset_card(minimal_facts())
    assert "base_model" not in DatasetCard(card).data.to_dict()
    assert "/secret" not in card


@pytest.mark.parametrize("name", CARDS)
def test_no_section_is_empty_and_nothing_is_left_to_fill_in(name: str) -> None:
    card = dataset_card(CARDS[name]())
    sections = re.split(r"^#+ .*$", re.sub(r"```.*?```", "code", card, flags=re.DOTALL), flags=re.MULTILINE)[1:]
    with_parent = [part for part, after in zip(sections, [*sections[1:], "end"], strict=True) if not part.strip()]
    assert len(with_parent) == 1, "only `Columns` opens with a subsection"
    for placeholder in ("More Information Needed", "None", "TODO", "{{", "{%", "Undefined"):
        assert placeholder not in card
    assert "\n\n\n" not in card


@pytest.mark.parametrize("name", CARDS)
def test_tables_are_whole(name: str) -> None:
    lines = dataset_card(CARDS[name]()).splitlines()
    for above, line in pairwise(lines):
        if line.startswith("|") and above.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", above)), line


def test_each_config_present_is_loaded_at_the_tag() -> None:
    full, minimal = dataset_card(full_facts()), dataset_card(minimal_facts())
    for config in CONFIGS:
        line = f'"{config}", split="train", revision="v1.0.0")'
        assert line in full
        assert (line in minimal) is (config in minimal_facts().counts.rows)


def test_the_rates_of_the_paper_stand_beside_those_of_the_run_only() -> None:
    assert "62.50 %" in dataset_card(full_facts())
    assert "63.76" in dataset_card(full_facts())
    assert "63.76" not in dataset_card(minimal_facts())


def test_the_verifying_code_finds_an_edited_file(tmp_path: Path) -> None:
    from plum_hub.release.tree import write_tree
    from tests.release.rows import contents

    write_tree(tmp_path, contents())
    [code] = [
        code for code in re.findall(r"```python\n(.*?)```", dataset_card(full_facts()), re.DOTALL) if "sha256" in code
    ]
    check = re.sub(r"snapshot_download\(.*\)\)\n", "given)\n", code)
    exec(check, {"given": tmp_path})
    (tmp_path / "README.md").write_text("edited")
    with pytest.raises(AssertionError, match=r"README\.md"):
        exec(check, {"given": tmp_path})


def test_the_card_says_what_is_rejected() -> None:
    facts = full_facts()
    facts = replace(facts, counts=replace(facts.counts, statuses={**facts.counts.statuses, "syntax_error": 10}))
    refused = "does not load, or is refused by Python's compiler or mypy, is *rejected*"
    for rejected, failing, syntax_error, says in (
        ("failing", "rejected", "no label", "one that fails or exceeds its CPU time is *rejected*."),
        ("non_executable", "no label", "rejected", f"one that {refused}; one that fails is left out"),
        ("both", "rejected", "rejected", f"one that fails or exceeds its CPU time, or {refused}."),
    ):
        card = dataset_card(replace(facts, rule=PreferencesConfig.model_validate({"rejected": rejected})))
        assert says in card
        for status, label in (("failed", failing), ("syntax_error", syntax_error)):
            [row] = [line for line in card.splitlines() if line.startswith(f"| `{status}` |")]
            assert row.endswith(f"| {label} |"), (rejected, status, row)


def test_the_card_says_whose_tests_they_are() -> None:
    facts = full_facts()
    for suites_from, says in (
        (None, "For each instruction a model wrote test cases"),
        ("rows", "The instructions' source has tests of its own"),
        ("me/suites@v1.0.0", "Instructions and test suites are those of\n`me/suites@v1.0.0`"),
    ):
        generator = facts.lineage.generator if suites_from is None else None
        card = dataset_card(
            replace(facts, lineage=replace(facts.lineage, generator=generator, suites_from=suites_from))
        )
        assert says in card
        wrote = [
            line
            for line in card.splitlines()
            if re.search(r"model wrote test|written by a model\.|wrote the tests", line)
        ]
        assert bool(wrote) is (suites_from is None), wrote


CHANGED_RULES: dict[str, object] = {
    "keep_truncated": True, "rejected": "both", "min_passed": 0.25, "max_passed": 0.75, "min_pass_rate": 0.125,
    "max_pass_rate": 0.875, "min_repeats": 2, "deduplicate": True, "max_per_label": 3, "pairs": "closest", "seed": 7,
}  # fmt: skip


@pytest.mark.parametrize("key", PreferencesConfig.model_fields)
def test_each_key_of_the_rule_that_was_changed_is_said(key: str) -> None:
    facts, value = full_facts(), CHANGED_RULES[key]
    assert "The rule differs from the paper's" not in dataset_card(facts)
    card = dataset_card(replace(facts, rule=PreferencesConfig.model_validate({key: value})))
    [line] = [line for line in card.splitlines() if line.startswith(f"- `{key}`: ")]
    assert value is True or str(value) in line
    assert "{}" not in card
    assert "\n\n\n" not in card


def test_the_card_keeps_who_wrote_the_tests_and_what_an_earlier_version_left_out() -> None:
    facts = full_facts()
    taken = replace(facts.lineage, suites_from=f"{facts.repo}@v0.9.0", self_consistency=None)
    later = dataset_card(replace(facts, lineage=taken))
    assert f"those of\nan earlier version of this dataset, `{facts.repo}@v0.9.0`" in later
    assert "generator of the tests | policy" in later
    assert "- The tests were written by a model. A chosen" in later
    assert "models that wrote the tests and the answers, and of the dataset" in later
    assert f"before the suites were published is stated by `{facts.repo}@v0.9.0` (config `dropped`)" in later
    unknown = dataset_card(replace(facts, lineage=replace(taken, generator=None)))
    assert "- The tests are those of an earlier version of this dataset." in unknown
    assert "generator of the tests" not in unknown
    for card in (dataset_card(facts), dataset_card(minimal_facts())):
        assert "earlier version" not in card
    assert "before the suites were published" not in dataset_card(facts)


def test_a_policy_that_wrote_the_tests_of_an_earlier_release_is_told_by_its_weights() -> None:
    facts = full_facts()
    policy = facts.lineage.policy
    same = replace(policy, identity=replace(policy.identity, engine_version="0.1"))
    said = "- The policy wrote its own tests"
    assert said not in dataset_card(facts)
    assert said in dataset_card(replace(facts, lineage=replace(facts.lineage, generator=same)))


def test_mypy_is_named_only_where_it_decided() -> None:
    assert "static checks by `mypy-" in dataset_card(full_facts())
    card = dataset_card(replace(full_facts(), mypy=False))
    assert "static checks by" not in card
    assert "programs were compiled, and not checked by mypy (`verdicts.mypy_codes` is empty)" in card


@pytest.mark.parametrize("rejected", ["failing", "non_executable", "both"])
def test_the_columns_say_nothing_that_a_rule_contradicts(rejected: str) -> None:
    facts = replace(full_facts(), rule=PreferencesConfig.model_validate({"rejected": rejected}))
    for column in ("label", "rejected", "response_id", "reference"):
        [row] = [line for line in dataset_card(facts).splitlines() if line.startswith(f"| `{column}` |")][:1]
        assert "failed or timed out" not in row
        assert "generator's own" not in row
