"""The same verdicts under other labelling rules: `plum-hub views`, and the keys of `preferences` in a build."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

import plum_hub as api
from plum_hub.errors import RecipeError, UsageError
from plum_hub.pipeline.rule_views import RULES
from plum_hub.records import CaseOutcome, Drop, Preference, Sample, Status, Verdict
from plum_hub.release.preferences import PreferencesConfig, preferences
from plum_hub.release.views import pairs
from tests.rehearsal import addend, name, plum_hub, published, rows, task, write_rehearsal


def sample(number: int, code: str) -> Sample:
    return Sample(
        id=f"s{number}", instruction_id="i", suite_id="u", index=number, seed=0, prompt_digest="", text=code, code=code,
        finish_reason="stop", prompt_tokens=1, completion_tokens=1,
    )  # fmt: skip


def verdict(number: int, status: Status, passed: int, cases: int = 4) -> Verdict:
    outcomes = ["passed"] * passed + ["wrong"] * (cases - passed)
    return Verdict(
        id=f"v{number}", sample_id=f"s{number}", suite_id="u", instruction_id="i", status=status, detail="", output="",
        cases=tuple(CaseOutcome(outcome=outcome, detail="", judged="outside") for outcome in outcomes),  # type: ignore[arg-type]
        cpu_seconds=0.0, peak_memory_mb=0.0,
    )  # fmt: skip


PROGRAMS: list[tuple[str, Status, int]] = [
    ("def f(x):\n    return x + 1\n", "passed", 4),
    ("def f(x):\n    'Add one.'\n    return x + 1  # the same\n", "passed", 4),
    ("def f(x):\n    return 1 + x\n", "passed", 4),
    ("def f(x):\n    return x + 2\n", "failed", 3),
    ("def f(x):\n    return x\n", "failed", 1),
    ("def f(x):\n    return 0\n", "timed_out", 0),
    ("def f(:\n", "syntax_error", 0),
]


def labelled(config: PreferencesConfig) -> tuple[dict[str, bool], Counter[str]]:
    samples = [sample(number, code) for number, (code, _, _) in enumerate(PROGRAMS)]
    verdicts = {f"s{number}": verdict(number, *rest) for number, (_, *rest) in enumerate(PROGRAMS)}  # type: ignore[arg-type]
    found = list(preferences(samples, verdicts, lambda _: "p", config))
    kept = {row.sample_id: row.label for row in found if isinstance(row, Preference)}
    return kept, Counter(row.reason for row in found if isinstance(row, Drop))


@pytest.mark.parametrize(
    ("config", "chosen", "rejected", "reasons"),
    [
        (PreferencesConfig(), "012", "345", {"syntax_error": 1}),
        (PreferencesConfig(max_passed=0.5), "012", "45", {"passed_share": 1, "syntax_error": 1}),
        (PreferencesConfig(min_passed=0.5), "012", "3", {"passed_share": 2, "syntax_error": 1}),
        (PreferencesConfig(deduplicate=True), "02", "345", {"duplicate": 1, "syntax_error": 1}),
        (PreferencesConfig(min_repeats=2), "01", "345", {"not_repeated": 1, "syntax_error": 1}),
        (
            PreferencesConfig(min_repeats=2, deduplicate=True),
            "0",
            "345",
            {"not_repeated": 1, "duplicate": 1, "syntax_error": 1},
        ),
        (PreferencesConfig(min_repeats=3), "", "", {"not_repeated": 3, "no_chosen_sample": 3, "syntax_error": 1}),
        (PreferencesConfig(min_pass_rate=0.5, max_pass_rate=0.5), "012", "345", {"syntax_error": 1}),
        (PreferencesConfig(max_pass_rate=0.4), "", "", {"pass_rate": 6, "syntax_error": 1}),
        (PreferencesConfig(rejected="both", max_passed=0.0), "012", "56", {"passed_share": 2}),
    ],
    ids=str,
)
def test_a_rule_selects_within_the_suite(
    config: PreferencesConfig, chosen: str, rejected: str, reasons: dict[str, int]
) -> None:
    kept, dropped = labelled(config)
    assert sorted(name for name, label in kept.items() if label) == [f"s{number}" for number in chosen]
    assert sorted(name for name, label in kept.items() if not label) == [f"s{number}" for number in rejected]
    assert dropped == reasons


def test_a_cap_draws_by_its_seed_and_takes_both_labels() -> None:
    drawn = set()
    for seed in range(8):
        kept, dropped = labelled(PreferencesConfig(max_per_label=1, seed=seed))
        assert sorted(kept.values()) == [False, True]
        assert dropped["over_cap"] == 4
        drawn.add(tuple(kept))
    assert len(drawn) > 1


def test_the_paper_s_rule_keeps_its_name_and_every_other_has_one_of_its_own() -> None:
    assert PreferencesConfig().rule == PreferencesConfig(seed=5, pairs="closest").rule == "plum"
    names = [config.rule for name, config in RULES.items() if name != "closest-pairs"]
    assert len(set(names)) == len(names)
    assert PreferencesConfig(max_per_label=2).rule != PreferencesConfig(max_per_label=2, seed=1).rule


def test_the_closest_pairs_are_the_most_similar() -> None:
    rows_ = [
        Preference(
            id=str(number), instruction_id="i", suite_id="u", sample_id=f"s{number}", verdict_id="", prompt="p",
            completion=text, label=label,
        )
        for number, (text, label) in enumerate([("aaaa", True), ("bbbb", True), ("bbbc", False), ("aaac", False)])
    ]  # fmt: skip
    found = {(one.completion, other.completion) for one, other in pairs(rows_, PreferencesConfig(pairs="closest"))}
    assert found == {("aaaa", "aaac"), ("bbbb", "bbbc")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views")
    write_rehearsal(folder)
    arguments = [*published(folder, "--json"), "--set", "preferences.deduplicate=true"]
    done = plum_hub(arguments, PLUM_HUB_HOME=str(folder / "home"))
    assert done.returncode == 0, done.stderr
    (folder / "result.json").write_text(done.stdout)
    return folder


def test_a_release_under_another_rule_verifies(built: Path) -> None:
    release = json.loads((built / "result.json").read_text())["release"]
    assert "duplicate" in {row["reason"] for row in rows(built / "run", "dropped")}
    command = [sys.executable, "-m", "plum_hub", "verify", f"{release['repo']}@{release['tag']}", "-q"]
    done = plum_hub(command, PLUM_HUB_HOME=str(built / "home"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_views_of_a_run_and_of_its_release_are_the_same(built: Path) -> None:
    release = json.loads((built / "result.json").read_text())["release"]
    command = [sys.executable, "-m", "plum_hub", "views", "--json"]
    answers = [
        plum_hub([*command, source], PLUM_HUB_HOME=str(built / "home"))
        for source in (str(built / "run"), f"{release['repo']}@{release['tag']}")
    ]
    assert [done.returncode for done in answers] == [0, 0], answers[1].stderr
    found, again = (json.loads(done.stdout)["views"] for done in answers)
    assert found == again
    assert set(found) == set(RULES)
    published_rows = rows(built / "run", "preferences")
    assert found["deduplicated"]["chosen"] == sum(bool(row["label"]) for row in published_rows)
    assert found["plum"]["rejected"] > found["deduplicated"]["rejected"]


def test_the_rows_of_a_view_are_written_for_training(built: Path, tmp_path: Path) -> None:
    result = api.views(built / "run", rule="margin", out=tmp_path / "margin", settings={"max_per_label": 1})
    (view,) = result.views.values()
    lines = [json.loads(line) for line in (tmp_path / "margin" / "kto.jsonl").read_text().splitlines()]
    assert Counter(line["label"] for line in lines) == {True: view.chosen, False: view.rejected}
    assert len((tmp_path / "margin" / "dpo.jsonl").read_text().splitlines()) == view.pairs
    assert len((tmp_path / "margin" / "sft.jsonl").read_text().splitlines()) == view.chosen


def judged_by(built: Path, folder: Path, suites: list[dict[str, object]]) -> Path:
    (folder / "gold.jsonl").write_text("".join(json.dumps(suite) + "\n" for suite in suites))
    samples = built / "run" / "shards" / "00000" / "samples.jsonl"
    api.judge(samples, suites=folder / "gold.jsonl", out=folder / "verdicts.jsonl")
    return folder / "verdicts.jsonl"


def test_labels_are_compared_with_better_tests(built: Path, tmp_path: Path) -> None:
    """The gold tests are the run's own, but for one instruction, whose samples all fail them."""
    suites = [
        {name: suite[name] for name in ("instruction_id", "entry_point", "cases")}
        for suite in rows(built / "run", "suites")
    ]
    labels = Counter((row["instruction_id"], row["label"]) for row in rows(built / "run", "preferences"))
    other = next(suite for suite in suites if labels[suite["instruction_id"], True])
    other["cases"] = [{"call": f"{other['entry_point']}()", "expected": "'nothing else'"}]
    gold = judged_by(built, tmp_path, suites)
    view = api.views(built / "run", rule="deduplicated", gold=gold).views["deduplicated"]
    assert view.truth is not None
    chosen, rejected = view.truth[True], view.truth[False]
    assert (chosen.labelled, rejected.labelled) == (view.chosen, view.rejected)
    assert chosen.right == view.chosen - labels[other["instruction_id"], True]
    assert rejected.right == view.rejected
    assert chosen.interval is not None
    assert chosen.interval[0] < chosen.right / view.chosen < chosen.interval[1]
    passing = [row["sample_id"] for row in map(json.loads, gold.read_text().splitlines()) if row["status"] == "passed"]
    assert chosen.relevant == len(passing) >= chosen.right
    done = plum_hub(
        [sys.executable, "-m", "plum_hub", "views", str(built / "run"), "--gold", str(gold)],
        PLUM_HUB_HOME=str(built / "home"),
    )
    assert f"{chosen.right:,} of {chosen.labelled:,}" in done.stdout, done.stderr


def test_samples_without_a_gold_verdict_do_not_count(built: Path, tmp_path: Path) -> None:
    known = next(row for row in rows(built / "run", "preferences") if row["label"])
    gold = tmp_path / "verdicts.jsonl"
    gold.write_text(json.dumps({"sample_id": known["sample_id"], "status": "failed"}) + "\n")
    truth = api.views(built / "run", rule="plum", gold=gold).views["plum"].truth
    assert truth is not None
    assert (truth[True].labelled, truth[True].right, truth[True].precision, truth[True].recall) == (1, 0, 0.0, None)
    assert (truth[False].labelled, truth[False].precision, truth[False].recall) == (0, None, 0.0)


def test_samples_of_a_release_are_judged_once_by_better_tests(built: Path, tmp_path: Path) -> None:
    """Of a release, which is no folder, the verdicts are beside the files that are written, or at home."""
    release = json.loads((built / "result.json").read_text())["release"]
    function = name(1)
    code = f"def {function}(x):\n    return x + {addend(1)}\n"
    tests = [f"assert {function}({x}) == {x + addend(1)}" for x in (4, 9)]
    gold = tmp_path / "gold.jsonl"
    gold.write_text(json.dumps({"instruction": task(1), "code": code, "test_list": tests}) + "\n")
    command = [
        sys.executable, "-m", "plum_hub", "views", f"{release['repo']}@{release['tag']}", "--gold", str(gold),
        "--rule", "plum", "--json", "-q",
    ]  # fmt: skip
    given: list[list[str]] = [[], [], ["--out", str(tmp_path / "out")]]
    answers = [plum_hub([*command, *more], PLUM_HUB_HOME=str(built / "home")) for more in given]
    assert [done.returncode for done in answers] == [0, 0, 0], answers[0].stderr
    first, second, beside = (json.loads(done.stdout) for done in answers)
    assert first["gold"]["judged_now"] == beside["gold"]["judged_now"] > second["gold"]["judged_now"] == 0
    assert Path(first["gold"]["file"]).parent == built / "home" / "gold"
    assert Path(beside["gold"]["file"]) == tmp_path / "out" / "gold.jsonl"
    assert first["views"] == second["views"] == beside["views"]
    truth = first["views"]["plum"]["truth"]
    assert truth["chosen"]["precision"] == truth["rejected"]["precision"] == 1.0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"sample_id": "s", "status": "passed"}', "no verdict on a sample of"),
        ('{"sample_id": "s"}', "needs a sample_id, and a status"),
        ('{"sample_id": "s", "status": "fine"}', "needs a sample_id, and a status"),
        ("{", "verdicts.jsonl"),
    ],
)
def test_gold_verdicts_that_cannot_be_read_say_so(built: Path, tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "verdicts.jsonl").write_text(text + "\n")
    with pytest.raises(UsageError, match=problem):
        api.views(built / "run", gold=tmp_path / "verdicts.jsonl")


def test_what_cannot_be_asked_says_so(built: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such rule"):
        api.views(built / "run", rule="plume")
    with pytest.raises(UsageError, match="name it with --rule"):
        api.views(built / "run", out=tmp_path)
    with pytest.raises(RecipeError, match="--set deduplicat: no such key, deduplicate perhaps"):
        api.views(built / "run", settings={"deduplicat": True})
    for setting in ("deduplicate", "seed=2024-13-45", "deduplicate="):
        with pytest.raises(RecipeError, match=f"--set '{setting}'"):
            api.views(built / "run", settings=[setting])
    with pytest.raises(UsageError, match="give a list of such texts, or a mapping"):
        api.views(built / "run", settings="deduplicate=true")
    with pytest.raises(RecipeError, match="max_passed"):
        api.views(built / "run", settings={"max_passed": 3})
    with pytest.raises(RecipeError, match=r"min_passed 0\.9 is more than max_passed 0\.1"):
        api.views(built / "run", settings={"max_passed": 0.1, "min_passed": 0.9})
    with pytest.raises(UsageError, match="neither a run folder that exists nor REPO@TAG"):
        api.views(tmp_path / "nothing")
