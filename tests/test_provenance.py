"""What made a row is recorded with the row: a release says that, whatever has changed since on the machine it is
published from; and what no record vouches for is not published."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet  # noqa: TID253

from plum_hub.answers.code import EXTRACTION
from plum_hub.environment import installed_versions
from plum_hub.errors import HubError
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.verdicts import harness_of
from plum_hub.publishing.dataset import release
from plum_hub.publishing.repository import PublishOptions
from plum_hub.recipe import Recipe
from plum_hub.records import digest
from plum_hub.run import Run
from tests.rehearsal import command, plum_hub, rows, write_rehearsal
from tests.releases import Releases, publish, reseal

Row = dict[str, Any]
OTHER = {"sandbox": "jail-0-cpython-3.9.0", "static_check": "mypy-1.0/python-3.9.0/00000000"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that is complete and was never published."""
    folder = tmp_path_factory.mktemp("built")
    write_rehearsal(folder, tasks=3)
    done = plum_hub(command(folder, "-q"))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Releases:
    """A copy of it, beside a fresh Hub."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return Releases(tmp_path, {})


def pushed(home: Releases) -> Row:
    done = home.plum_hub("push-dataset", str(home.folder / "run"), "--hub", "embedded", "--repo", "mine", "--json")
    assert done.returncode == 0, done.stderr
    found: Row = json.loads(done.stdout)
    return found


def lineage(home: Releases) -> Row:
    found: Row = json.loads((home.tree() / "manifest.json").read_text())["lineage"]
    return found


def rewrite_rows(home: Releases, kind: str, change: Callable[[Row], object]) -> None:
    path = home.folder / "run" / "shards" / "00000" / f"{kind}.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for row in found:
        del row["row_crc32"]
        change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in found))


def judged_by(recipe: Recipe, row: Row, sandbox: str, static_check: str, extraction: str = EXTRACTION) -> None:
    """Make a verdict one of another harness, and no preference of it."""
    harness = harness_of(recipe, sandbox, static_check, extraction)
    row.update(id=digest(row["sample_id"], row["suite_id"], harness), sandbox=sandbox, static_check=static_check)


def test_rows_record_what_made_them_and_the_release_repeats_it(home: Releases) -> None:
    pushed(home)
    [verdict, *_] = rows(home.folder / "run", "verdicts")
    assert (lineage(home)["harness_version"], lineage(home)["checker_version"]) == (
        verdict["sandbox"],
        verdict["static_check"],
    )
    assert lineage(home)["extraction"] == EXTRACTION
    assert lineage(home)["packages"] == installed_versions()


def test_a_run_that_was_judged_under_other_versions_is_published_as_what_it_is(home: Releases) -> None:
    recipe = Run.open(home.folder / "run").recipe
    rewrite_rows(home, "verdicts", lambda row: judged_by(recipe, row, **OTHER))
    names = {row["sample_id"]: row["id"] for row in rows(home.folder / "run", "verdicts")}

    def renamed(row: Row) -> None:
        row.update(verdict_id=names[row["sample_id"]])
        row.update(id=digest(row["sample_id"], row["verdict_id"], recipe.preferences.rule))

    rewrite_rows(home, "preferences", renamed)
    (home.folder / "run" / "environments.jsonl").write_text('{"python":"3.9.0"}\n{"python":"3.9.1","vllm":"0.1"}\n')
    pushed(home)
    assert lineage(home)["harness_version"] == OTHER["sandbox"]
    assert lineage(home)["checker_version"] == OTHER["static_check"]
    assert lineage(home)["packages"] == {"python": "3.9.0, 3.9.1", "vllm": "0.1"}
    done = home.plum_hub("verify", "local/mine@v1.0.0", "--json", "-q")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["harness"]["published"]["sandbox"] == OTHER["sandbox"]


def test_a_run_of_before_is_vouched_for_by_its_ids(home: Releases) -> None:
    run = Run.open(home.folder / "run")
    [now, *_] = rows(run.folder, "verdicts")

    def as_before(row: Row) -> None:
        judged_by(run.recipe, row, now["sandbox"], now["static_check"], extraction="")
        del row["sandbox"], row["static_check"]

    rewrite_rows(home, "verdicts", as_before)
    rewrite_rows(home, "samples", lambda row: row.pop("extraction"))
    (run.folder / "environments.jsonl").unlink()
    pushed(home)
    assert (lineage(home)["harness_version"], lineage(home)["packages"]) == (now["sandbox"], {})


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("verdicts", lambda row: row.update(OTHER)),
        ("verdicts", lambda row: row.update(sandbox="", static_check="", id=row["id"][::-1])),
        ("samples", lambda row: row.update(extraction="1")),
        ("samples", lambda row: row["index"] or row.update(prompt_digest="another")),
        ("responses", lambda row: row["index"] or row.update(prompt_digest="another")),
    ],
    ids=["another sandbox", "ids of nothing", "another extraction", "two prompts", "two prompts of suites"],
)
def test_what_nothing_vouches_for_is_not_published(home: Releases, kind: str, change: Callable[[Row], object]) -> None:
    rewrite_rows(home, kind, change)
    done = home.plum_hub("push-dataset", str(home.folder / "run"), "--hub", "embedded", "--repo", "mine")
    assert done.returncode == 4, done.stderr
    assert "--carry-over" in done.stderr
    assert not (home.folder / "run" / "releases.jsonl").exists()


@pytest.mark.parametrize("kind", ["verdicts", "samples", "samples, in a time"])
def test_a_build_goes_on_with_no_other_harness_and_the_command_it_names_judges_anew(
    built: Path, home: Releases, kind: str
) -> None:
    recipe = Run.open(home.folder / "run").recipe
    if kind == "verdicts":
        rewrite_rows(home, kind, lambda row: judged_by(recipe, row, **OTHER))
    else:
        (home.folder / "run" / "shards" / "00000" / "verdicts.jsonl").unlink()
        rewrite_rows(home, "samples", lambda row: row.update(extraction="1", code="raise SystemExit"))
    run = str(home.folder / "run")
    done = plum_hub(command(built, "-q", run=run))
    assert done.returncode == 4, done.stderr
    assert "verdicts of two versions are never mixed" in done.stderr
    assert done.stderr.endswith(f"--carry-over {run}\n")
    done = plum_hub(command(built, "-q", "--benchmark-data", str(built), run=run))
    assert done.stderr.endswith(f"--carry-over {run} --benchmark-data {built}\n")
    more = ("--set", "budget.minutes=60") if "time" in kind else ()
    again = plum_hub(command(built, "-q", "--carry-over", run, *more, run=str(home.folder / "again")))
    assert again.returncode == 0, again.stderr
    assert {row["extraction"] for row in rows(home.folder / "again", "samples")} == {EXTRACTION}
    assert "passed" in {row["status"] for row in rows(home.folder / "again", "verdicts")}


def test_the_same_rows_in_other_bytes_are_the_same_version(home: Releases) -> None:
    pushed(home)
    tree = home.tree()
    mine = {path.relative_to(tree): path.read_bytes() for path in tree.rglob("*.parquet")}
    for path in tree.rglob("*.parquet"):  # as another version of pyarrow might write them
        parquet.write_table(parquet.read_table(path), path, compression="snappy", row_group_size=7)
    reseal(tree)
    shutil.rmtree(home.folder / "home" / "hub")
    commit = publish(home, tree, "local/mine")
    published = {path.relative_to(tree): path.read_bytes() for path in tree.rglob("*.parquet")}
    assert published != mine
    again = pushed(home)
    assert (again["tag"], again["commit"]) == ("v1.0.0", commit)
    assert {path.relative_to(tree): path.read_bytes() for path in tree.rglob("*.parquet")} == published
    done = home.plum_hub("verify", "local/mine@v1.0.0", "--json", "-q")
    assert done.returncode == 0, done.stdout


def test_who_is_second_is_told_to_run_the_same_command_again(home: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(Run.open(home.folder / "run"))
    with home.hub() as hub:
        monkeypatch.setenv("HF_TOKEN", hub.token)
        options = PublishOptions(hub=hub.endpoint, repo="mine")
        with options.open("mine", "dataset") as repository:
            first = release(context, options)  # after the repository was opened, before it publishes
            first_tree = Path(first.folder)
            (first_tree / "README.md").write_text("---\nlicense: mit\n---\nAnother's.\n")
            with pytest.raises(
                HubError, match=r"somebody else published v1\.0\.0 meanwhile.*run the same command again"
            ):
                repository.publish(lambda _: _Written(first_tree), "{}".format, context.progress)
        assert release(context, options).tag == "v1.0.0"


class _Written:
    """A tree that is there already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def manifest(self) -> Row:
        found: Row = json.loads((self.folder / "manifest.json").read_text())
        return found

    def under(self, _tag: str, _there: object) -> Row:
        return self.manifest
