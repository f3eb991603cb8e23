import subprocess
import sys
import typing
from collections.abc import Iterable

import pytest
from pydantic import ValidationError

from plum_hub.records import Drop, Preference, Sample, Status, Verdict
from plum_hub.release.preferences import PreferencesConfig, Rejected, preferences
from tests.release.rows import CHAT, judged, sample, verdict


def made(rows: Iterable[tuple[Sample, Verdict]], config: PreferencesConfig | None = None) -> list[Preference | Drop]:
    rows = list(rows)
    verdicts = {row.sample_id: row for _, row in rows}
    return list(preferences([row for row, _ in rows], verdicts, lambda _: CHAT, config or PreferencesConfig()))


def test_the_papers_rule_over_every_status() -> None:
    rejected = {"failed", "timed_out"}
    for status in typing.get_args(Status):
        expected = True if status == "passed" else False if status in rejected else None
        assert PreferencesConfig().label(status) is expected, status


def test_the_ablation_rejects_what_does_not_execute() -> None:
    every = typing.get_args(Status)
    ablation = PreferencesConfig(rejected="non_executable")
    rejected = {status for status in every if ablation.label(status) is False}
    assert rejected == {"not_executable", "static_error", "syntax_error"}
    assert [status for status in every if ablation.label(status)] == ["passed"]
    rows = made(judged(["passed", "failed", "timed_out", "not_executable", "syntax_error", "no_code"]), ablation)
    assert [row.label for row in rows if isinstance(row, Preference)] == [True, False, False]
    assert [row.reason for row in rows if isinstance(row, Drop)] == ["failed", "timed_out", "no_code"]


def test_rejecting_both_adds_what_does_not_execute_to_what_fails() -> None:
    rows = judged(["passed", "failed", "not_executable", "static_error", "no_code"])
    kept = [row for row in made(rows, PreferencesConfig(rejected="both")) if isinstance(row, Preference)]
    assert [row.label for row in kept] == [True, False, False, False]


def test_every_rule_keeps_the_same_chosen_samples_under_ids_of_its_own() -> None:
    rows = judged(["passed", "passed", "failed", "not_executable"])
    rules = [made(rows, PreferencesConfig(rejected=rule)) for rule in typing.get_args(Rejected)]
    kept = [[row for row in rule if isinstance(row, Preference)] for rule in rules]
    assert [[row.sample_id for row in rule if row.label] for rule in kept] == [["s1-0", "s1-1"]] * 3
    assert len({row.id for rule in kept for row in rule}) == sum(len(rule) for rule in kept)


@pytest.mark.parametrize(("former", "rejected"), [(True, "both"), (False, "failing")])
def test_recipes_of_earlier_releases_keep_their_meaning(former: bool, rejected: Rejected) -> None:
    assert PreferencesConfig.model_validate({"non_executable": former, "seed": 3}) == PreferencesConfig(
        rejected=rejected, seed=3
    )
    with pytest.raises(ValidationError):
        PreferencesConfig.model_validate({"non_executable": "perhaps"})


def test_each_sample_becomes_one_row_and_the_unlabelled_are_dropped_under_their_status() -> None:
    rows = made(judged(["passed", "failed", "timed_out", "crashed", "no_code"]))
    assert [row.label for row in rows if isinstance(row, Preference)] == [True, False, False]
    drops = [row for row in rows if isinstance(row, Drop)]
    assert [(row.id, row.stage, row.reason) for row in drops] == [
        ("s1-3", "preferences", "crashed"),
        ("s1-4", "preferences", "no_code"),
    ]
    assert drops[0].detail == "case 1"


def test_a_preference_carries_the_whole_answer_and_the_ids_behind_it() -> None:
    [(answer, what_happened)] = judged(["passed"])
    [row] = made([(answer, what_happened)])
    assert isinstance(row, Preference)
    assert (row.prompt, row.completion) == (CHAT, answer.text)
    assert (row.sample_id, row.verdict_id, row.suite_id) == (answer.id, what_happened.id, answer.suite_id)


def test_without_a_chosen_sample_the_labelled_ones_are_dropped_too() -> None:
    assert [row.reason for row in made(judged(["failed", "timed_out", "crashed"])) if isinstance(row, Drop)] == [
        "no_chosen_sample",
        "no_chosen_sample",
        "crashed",
    ]


def test_a_truncated_answer_is_dropped_and_counts_as_no_chosen_one() -> None:
    cut, whole = sample("cut", finish_reason="length"), sample("whole")
    rows = [(cut, verdict(cut, "passed")), (whole, verdict(whole, "failed"))]
    assert [row.reason for row in made(rows) if isinstance(row, Drop)] == ["truncated", "no_chosen_sample"]
    kept = made(rows, PreferencesConfig(keep_truncated=True))
    assert [row.label for row in kept if isinstance(row, Preference)] == [True, False]


def test_ids_follow_from_sample_and_verdict_and_nothing_else() -> None:
    rows = judged(["passed", "failed"])
    first = {row.id for row in made(rows)}
    assert {row.id for row in made(reversed(rows), PreferencesConfig(keep_truncated=True))} == first
    other = [(answer, verdict(sample(f"again-{answer.id}"), row.status)) for answer, row in rows]
    by_sample = {answer.id: row for answer, row in other}
    again = preferences([answer for answer, _ in rows], by_sample, lambda _: CHAT, PreferencesConfig())
    assert not first & {row.id for row in again}


def test_a_sample_without_a_verdict_is_never_labelled() -> None:
    with pytest.raises(KeyError):
        list(preferences([sample("alone")], {}, lambda _: CHAT, PreferencesConfig()))


def test_labels_and_views_are_had_without_any_heavy_library() -> None:
    code = (
        "import sys, plum_hub.release.tree, plum_hub.release.views, plum_hub.release.preferences, plum_hub.cards\n"
        "print(sorted({'pyarrow', 'datasets', 'torch', 'jinja2', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_making_preferences_twice_changes_nothing() -> None:
    rows = judged(["passed", "failed", "crashed"])
    before = repr(rows)
    assert made(rows) == made(rows)
    assert repr(rows) == before
