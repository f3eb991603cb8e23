"""A build that asks for roles keeps each case's role: in the run, its tables, the release and the card."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from plum_hub.errors import RunError
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.show import look_up
from plum_hub.pipeline.status import summarise
from plum_hub.prompts import prompt_digest
from plum_hub.publishing.dataset import release
from plum_hub.records import TestSuite
from plum_hub.release.reading import config_files, read_rows
from plum_hub.run import Run
from tests.rehearsal import KILLED, addend, command, name, plum_hub, rows, suite_answer, task, write_rehearsal
from tests.releases import audit, reseal, rewrite

TASKS = 3
ROLES = ["typical", "edge", "unspecified", "invalid"]


def write_roles(folder: Path) -> None:
    """Each suite has a case of each of `ROLES`; the answer to the first task raises another error than wanted."""
    write_rehearsal(folder, TASKS)
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    for number in range(TASKS):
        function, plus = name(number), addend(number)
        tests = (
            f"assert {function}(1) == {plus + 1}  # typical\nassert {function}(0) == {plus}  # edge\n"
            f"assert {function}(7) == {plus + 7}  # whatever\n"
            f"with pytest.raises(TypeError):  # invalid\n    {function}('no number')\n"
        )
        starter, _, _ = suite_answer(number, f"{plus} + x").partition("### Tests")
        answers[2 * number]["texts"] = [f"{starter}### Tests\n```python\n{tests}```\n"]
        body = f"x + {plus}" if number else f"int(x) + {plus}"
        answers[2 * number + 1]["texts"] = [f"```python\ndef {function}(x):\n    return {body}\n```\n"]
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))


def roles(folder: Path, *options: str, run: str = "run") -> list[str]:
    return command(
        folder, "-q", "--set", "suites.roles=true", "--set", "suites.responses=1", "--set", "samples.temperature=0",
        "--set", "samples.per_instruction=1", *options, run=run,
    )  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("roles")
    write_roles(folder)
    done = plum_hub(roles(folder))
    assert done.returncode == 0, done.stderr
    return folder


def test_each_case_has_its_role_and_an_error_that_is_wanted_is_judged(built: Path) -> None:
    run = built / "run"
    suites, found = rows(run, "suites"), rows(run, "roles")
    assert [row["id"] for row in found] == [row["id"] for row in suites]
    assert [row["roles"] for row in found] == [ROLES] * TASKS
    assert {str(row["prompt_digest"]) for row in rows(run, "responses")} == {prompt_digest("suite_roles")}
    kinds = [[case["kind"] for case in row["cases"]] for row in suites]  # type: ignore[attr-defined]
    assert kinds == [["call", "call", "call", "statement"]] * TASKS
    outcomes = {
        str(row["instruction_id"]): [case["outcome"] for case in row["cases"]]  # type: ignore[attr-defined]
        for row in rows(run, "verdicts")
    }
    first = next(str(row["id"]) for row in rows(run, "instructions") if row["text"] == task(0))
    assert outcomes.pop(first) == ["passed", "passed", "passed", "raised"]
    assert list(outcomes.values()) == [["passed"] * 4] * (TASKS - 1)


def test_status_and_show_have_the_roles(built: Path) -> None:
    run = Run.open(built / "run")
    counts = {"typical": TASKS, "edge": TASKS, "invalid": TASKS, "unspecified": TASKS}
    assert summarise(run).roles == counts
    cli = [sys.executable, "-m", "plum_hub"]
    assert json.loads(plum_hub([*cli, "status", str(run.folder), "--json"]).stdout)["roles"] == counts
    said = plum_hub([*cli, "status", str(run.folder)], COLUMNS="200").stdout
    assert f"{TASKS} typical, {TASKS} edge, {TASKS} invalid, {TASKS} unspecified" in said
    suite = next(run.rows(TestSuite))
    assert look_up(run, suite.id).as_json()["roles"] == ROLES
    said = plum_hub([*cli, "show", str(run.folder), suite.id], COLUMNS="200").stdout
    assert f"{suite.cases[1].call} == {suite.cases[1].expected}  # edge" in said


def test_lost_roles_are_read_again_and_a_release_needs_them(built: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(built / "run", tmp_path / "run"))
    path = run / "shards" / "00000" / "roles.jsonl"
    whole = path.read_bytes()
    _, *others = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(others)[:-9])  # one is lost, and one torn
    with pytest.raises(RunError, match=r"lacks the roles of suite .*; read them again:  plum-hub build-dataset"):
        release(Context(run=Run.open(run)), None)
    assert subprocess.run([sys.executable, "-c", KILLED, str(run), "-1"], check=False).returncode == 0
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_roles_follow_the_cases_through_a_vote_and_added_ones_have_none(tmp_path: Path) -> None:
    write_roles(tmp_path)
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    function, plus = name(0), addend(0)
    starter, _, _ = suite_answer(0, f"x + {plus} if x < 60 else x + 9 - -1").partition("### Tests")
    answers[0]["texts"] = [
        f"{starter}### Tests\n```python\n# {role} cases\n"
        + "".join(f"assert {function}({one}) == {one + plus}\n" for one in (first, first + 1, first + 2))
        + "```\n"
        for role, first in (("Edge", 10), ("Typical", 20))
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    (tmp_path / "tasks.jsonl").write_text(json.dumps({"instruction": task(0)}) + "\n")
    more = ["suites.vote=true", "suites.responses=6", "suites.strengthen=2", "suites.strengthen_by=inputs"]
    done = plum_hub(roles(tmp_path, *[part for one in more for part in ("--set", one)]))
    assert "Traceback" not in done.stderr
    (suite,), (found,) = rows(tmp_path / "run", "suites"), rows(tmp_path / "run", "roles")
    cases: Any = suite["cases"]
    assert len(cases) == 8
    wanted = {**dict.fromkeys((10, 11, 12), "edge"), **dict.fromkeys((20, 21, 22), "typical")}
    arguments = [case["call"].removeprefix(f"{function}(").rstrip(")") for case in cases]
    assert found["roles"] == [
        wanted.get(int(one), "unspecified") if one.lstrip("-").isdigit() else "unspecified" for one in arguments
    ]
    assert Counter(found["roles"]) == {"edge": 3, "typical": 3, "unspecified": 2}  # type: ignore[arg-type]


def test_without_the_key_there_are_none(tmp_path: Path) -> None:
    write_roles(tmp_path)
    arguments = [part for part in roles(tmp_path) if part != "suites.roles=true"]
    del arguments[arguments.index("suites.responses=1") - 2]
    done = plum_hub(arguments)
    assert done.returncode == 0, done.stderr
    run = Run.open(tmp_path / "run")
    assert not (run.folder / "shards" / "00000" / "roles.jsonl").exists()
    assert {str(row["prompt_digest"]) for row in rows(run.folder, "responses")} == {prompt_digest("suite")}
    assert summarise(run).roles is None
    tree = run.folder / "release" / "dataset"
    manifest = json.loads((tree / "manifest.json").read_text())
    assert "roles" not in manifest["counts"]
    assert "roles" not in manifest["columns"]["test_suites"]
    assert "Roles of the cases" not in (tree / "README.md").read_text()


@pytest.fixture
def tree(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built / "run" / "release" / "dataset", tmp_path / "tree"))


def test_a_release_has_the_roles_and_verifies(tree: Path) -> None:
    assert [row["roles"] for row in read_rows(config_files(tree, "test_suites"))] == [ROLES] * TASKS
    manifest = json.loads((tree / "manifest.json").read_text())
    assert manifest["counts"]["roles"] == dict.fromkeys(ROLES, TASKS)
    assert manifest["columns"]["test_suites"]["roles"] == "list<string>"
    assert f"| `edge` | {TASKS} | 25.00 % |" in (tree / "README.md").read_text()
    assert audit(tree) == {}


@pytest.mark.parametrize(
    ("forged", "check", "what"),
    [
        ([*ROLES, "edge"], "counts", "roles of its cases"),
        (["typical", "edge", "edge", "invalid"], "counts", "cases by role"),
        (["typical", "edge", "best", "invalid"], "counts", "roles that there are"),
        (["typical", "edge", None, "invalid"], "counts", "roles that there are"),
        (None, "schemas", "roles"),
    ],
)
def test_verify_sees_forged_roles(tree: Path, forged: Any, check: str, what: str) -> None:
    rewrite(tree, "test_suites", lambda suites: suites[0].update(roles=forged))
    reseal(tree)
    found = audit(tree)
    assert any(what in one for one in found[check]), found


def test_verify_sees_roles_that_the_recipe_did_not_ask_for(tree: Path) -> None:
    recipe = (tree / "recipe.yaml").read_text()
    (tree / "recipe.yaml").write_text(recipe.replace("  roles: true\n", "  roles: false\n"))
    reseal(tree)
    assert any("roles that the recipe asks for" in one for one in audit(tree)["recipe"])
