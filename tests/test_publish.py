"""Publishing as its user does it: to the embedded Hub, twice, killed on the way, refused; and taking suites back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plum_hub.errors import UsageError
from plum_hub.hubs.embedded import EmbeddedHub
from plum_hub.publishing.repository import PublishOptions
from tests.rehearsal import command, plum_hub, published, rows, set_home, unchecked, write_rehearsal

CLI = [sys.executable, "-m", "plum_hub"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home for the embedded Hub and the Hub's caches, without a token."""
    set_home(monkeypatch, tmp_path)
    write_rehearsal(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is complete and was never published."""
    folder = tmp_path_factory.mktemp("built")
    write_rehearsal(folder)
    done = plum_hub(command(folder, "-q"))
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def finished(built: Path, home: Path) -> Path:
    """A copy of it, beside a fresh Hub."""
    shutil.copytree(built, home / "run")
    (home / "built").symlink_to(built.parent)
    return home


def continued(home: Path, *options: str, hub: str = "embedded", run: str = "run") -> list[str]:
    """The command that built the copied run, now with a Hub: the recipe names the files where it was built."""
    return published((home / "built").resolve(), *options, hub=hub, run=str(home / run))


def without_instructions(arguments: list[str]) -> list[str]:
    at = arguments.index("--instructions")
    return arguments[:at] + arguments[at + 2 :]


def tags_of(home: Path, repo: str) -> list[str]:
    done = subprocess.run(
        ["git", "--git-dir", str(next((home / "home" / "hub").rglob(f"{repo}*.git"))), "tag"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def manifest_of(run: Path) -> dict[str, object]:
    stated: dict[str, object] = json.loads((run / "release" / "dataset" / "manifest.json").read_text())
    return stated


def test_the_same_content_is_one_version_and_other_content_the_next(finished: Path) -> None:
    first = plum_hub(continued(finished, "--json"))
    assert first.returncode == 0, first.stderr
    release = json.loads(first.stdout)["release"]
    assert (release["repo"], release["tag"]) == ("local/plum-tasks-answers", "v1.0.0")
    again = json.loads(plum_hub(continued(finished, "--json")).stdout)["release"]
    assert (again["tag"], again["commit"]) == ("v1.0.0", release["commit"])
    assert "previous" not in manifest_of(finished / "run")
    more = plum_hub(continued(finished, "--json", "--set", "samples.per_instruction=8", run="more"))
    assert json.loads(more.stdout)["release"]["tag"] == "v1.1.0"
    assert manifest_of(finished / "more")["previous"] == {"tag": "v1.0.0", "commit": release["commit"]}
    back = json.loads(plum_hub(continued(finished, "--json")).stdout)["release"]
    assert (back["tag"], back["commit"]) == ("v1.0.0", release["commit"])
    assert tags_of(finished, "plum-tasks-answers") == ["v1.0.0", "v1.1.0"]
    notes = (finished / "run" / "releases.jsonl").read_text().splitlines()
    assert len(notes) == 1


def test_load_dataset_gives_the_rows_of_the_run(finished: Path) -> None:
    release = json.loads(plum_hub(continued(finished, "--json", "--repo", "mine")).stdout)["release"]
    assert release["repo"] == "local/mine"
    code = (
        "import json, sys; from datasets import load_dataset\n"
        "kto = load_dataset(sys.argv[1], revision='v1.0.0', split='train')\n"
        "print(json.dumps({row['sample_id']: row['label'] for row in kto}))"
    )
    with EmbeddedHub(finished / "home" / "hub") as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.endpoint}
        done = subprocess.run(
            [sys.executable, "-c", code, "local/mine"], env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {row["sample_id"]: row["label"] for row in rows(finished / "run", "preferences")}


@pytest.mark.parametrize("relative", [False, True])
def test_no_path_of_this_machine_is_published(home: Path, monkeypatch: pytest.MonkeyPatch, relative: bool) -> None:
    arguments = command(home, "-q")
    if relative:
        monkeypatch.chdir(home.parent)
        arguments = [part.replace(str(home), home.name) for part in arguments]
    done = plum_hub(arguments)
    assert done.returncode == 0, done.stderr
    for path in (home / "run" / "release").rglob("*"):
        if path.is_file():
            assert home.name.encode() not in path.read_bytes(), path


def test_killed_while_it_publishes_it_ends_with_one_release(finished: Path) -> None:
    for wait in (0.3, 0.6, 0.9, 1.2, 1.5):
        process = subprocess.Popen(
            continued(finished, "-q"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = plum_hub(continued(finished, "--json"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["release"]["tag"] == "v1.0.0"
    assert tags_of(finished, "plum-tasks-answers") == ["v1.0.0"]


def test_published_suites_are_used_again(finished: Path) -> None:
    assert plum_hub(continued(finished, "-q", "--repo", "suites")).returncode == 0
    done = plum_hub(
        without_instructions(continued(finished, "--json", "--suites", "local/suites@v1.0.0", hub="none", run="reused"))
    )
    assert done.returncode == 0, done.stderr
    suites = {row["id"] for row in rows(finished / "run", "suites")}
    assert {row["id"] for row in rows(finished / "reused", "suites")} == suites
    assert not (finished / "reused" / "shards" / "00000" / "responses.jsonl").exists()
    manifest = json.loads((finished / "reused" / "release" / "dataset" / "manifest.json").read_text())
    assert manifest["lineage"]["suites_from"].startswith("local/suites@")
    assert manifest["lineage"]["generator"] == manifest_of(finished / "run")["lineage"]["generator"] is not None
    assert rows(finished / "reused", "preferences") == rows(finished / "run", "preferences")
    push = [sys.executable, "-m", "plum_hub", "push-dataset", str(finished / "reused"), "--hub", "none"]
    away = str(finished / "away")
    done = plum_hub(push, PLUM_HUB_HOME=away, HF_HOME=away, HF_HUB_OFFLINE="1")
    assert done.returncode == 9
    assert "the suites are those of local/suites@v1.0.0, whose manifest names the model that wrote them" in done.stderr


def test_a_limit_holds_for_published_suites_and_after_a_kill(finished: Path) -> None:
    assert plum_hub(continued(finished, "-q", "--repo", "suites")).returncode == 0
    arguments = without_instructions(
        continued(finished, "-q", "--suites", "local/suites@v1.0.0", hub="none", run="few")
    )
    arguments += ["--set", "instructions.limit=3", "--set", "samples.per_instruction=12"]
    done = plum_hub(arguments)
    assert done.returncode == 0, done.stderr
    wanted = rows(finished / "few", "instructions")
    assert len(wanted) == 3
    for path in (finished / "few" / "shards" / "00000").glob("*.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(lines[0] if path.name == "instructions.jsonl" else b"")
    assert plum_hub(arguments).returncode == 0
    assert rows(finished / "few", "instructions") == wanted
    other = [part.replace("@v1.0.0", "@v9.9.9") for part in arguments]
    assert plum_hub(other).returncode == 4  # another tag is another recipe


def test_a_hub_that_refuses_the_token(finished: Path) -> None:
    with EmbeddedHub(finished / "home" / "hub") as hub:
        done = plum_hub(continued(finished, "-q", hub=hub.endpoint), HF_TOKEN="hf_wrong")
    assert done.returncode == 9, done.stderr
    assert "Traceback" not in done.stderr
    assert "token" in done.stderr
    assert "hf_wrong" not in done.stderr
    assert rows(finished / "run", "preferences")


def test_a_hub_that_is_not_there(finished: Path) -> None:
    done = plum_hub(continued(finished, "-q", hub="http://127.0.0.1:9"), HF_TOKEN="hf_any")
    assert done.returncode == 9, done.stderr
    assert "127.0.0.1:9" in done.stderr
    assert rows(finished / "run", "preferences")
    assert plum_hub(continued(finished, "-q", hub="nonsense")).returncode == 9


def pushed(home: Path, *options: str) -> dict[str, str]:
    done = plum_hub([*CLI, "push-dataset", str(home / "run"), "--hub", "embedded", "--json", *options])
    assert done.returncode == 0, done.stderr
    release: dict[str, str] = json.loads(done.stdout)
    return release


def test_a_finished_run_is_published_by_itself_and_versioned_by_its_content(finished: Path) -> None:
    first = pushed(finished, "--repo", "mine")
    assert (first["repo"], first["tag"]) == ("local/mine", "v1.0.0")
    assert pushed(finished, "--repo", "mine")["commit"] == first["commit"]
    lines = finished / "run" / "shards" / "00000" / "dropped.jsonl"
    kept = lines.read_text()
    more = unchecked(kept.splitlines()[-1]).replace('"id":"', '"id":"0')
    lines.write_text(f"{kept}{more}\n")
    second = pushed(finished, "--repo", "mine")
    assert second["tag"] == "v1.1.0"
    assert manifest_of(finished / "run")["previous"] == {"tag": "v1.0.0", "commit": first["commit"]}
    again = pushed(finished, "--repo", "mine")
    assert (again["tag"], again["commit"]) == (second["tag"], second["commit"])
    lines.write_text(kept)
    assert pushed(finished, "--repo", "mine")["commit"] == first["commit"]
    assert pushed(finished, "--repo", "mine", "--tag", "v1.1.1")["tag"] == "v1.1.1"
    assert tags_of(finished, "mine") == ["v1.0.0", "v1.1.0", "v1.1.1"]
    taken = plum_hub(
        [*CLI, "push-dataset", str(finished / "run"), "--hub", "embedded", "--repo", "mine", "--tag", "v1.1.0"]
    )
    assert taken.returncode == 9
    assert "a tag never moves" in taken.stderr


def test_the_repository_of_a_run_is_named_once(finished: Path) -> None:
    """What follows a release means the same repository, and its publisher need not note its commit."""
    first = pushed(finished, "--repo", "mine")
    again = pushed(finished)
    assert (again["repo"], again["commit"]) == ("local/mine", first["commit"])
    card = plum_hub([*CLI, "card", str(finished / "run")])
    assert 'load_dataset("local/mine", "kto", split="train", revision="v1.0.0")' in card.stdout
    verified = plum_hub([*CLI, "verify", "local/mine@v1.0.0", "--hub", "embedded", "--sample", "1", "--json", "-q"])
    assert (verified.returncode, json.loads(verified.stdout)["notes"]) == (0, [])
    assert pushed(finished, "--repo", "other")["repo"] == "local/other"
    assert pushed(finished)["repo"] == "local/other"


def test_a_run_keeps_its_name_on_another_hub(finished: Path) -> None:
    with EmbeddedHub(finished / "elsewhere") as hub:
        assert pushed(finished, "--repo", "mine")["repo"] == "local/mine"
        done = plum_hub(
            [*CLI, "push-dataset", str(finished / "run"), "--hub", hub.endpoint, "--json"], HF_TOKEN=hub.token
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["repo"].endswith("/mine")


def test_other_facts_about_the_same_rows_are_a_patch(finished: Path) -> None:
    assert pushed(finished, "--repo", "mine")["tag"] == "v1.0.0"
    path = finished / "run" / "shards" / "00000" / "samples.jsonl"
    kept = path.read_text()
    path.write_text(
        unchecked(kept).replace('"engine":"', '"engine":"another ')
    )  # a fact of the card, no column of a config
    assert pushed(finished, "--repo", "mine")["tag"] == "v1.0.1"
    path.write_text(kept)
    assert pushed(finished, "--repo", "mine")["tag"] == "v1.0.0"


def test_a_pull_request_is_made_once_and_its_release_tagged_after_the_merge(finished: Path) -> None:
    proposed = pushed(finished, "--repo", "mine", "--create-pr")
    assert not proposed["tag"]
    assert proposed["url"].endswith("/discussions/1")
    assert pushed(finished, "--repo", "mine", "--create-pr")["commit"] == proposed["commit"]
    with EmbeddedHub(finished / "home" / "hub") as hub:
        client = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token}
        close = (
            "import huggingface_hub as hf; hf.change_discussion_status('local/mine', 1, 'closed', repo_type='dataset')"
        )
        assert plum_hub([sys.executable, "-c", close], **client).returncode == 0
    proposed = pushed(finished, "--repo", "mine", "--create-pr")
    assert proposed["url"].endswith("/discussions/2"), "a closed one is never merged"
    assert tags_of(finished, "mine") == []
    assert not (finished / "run" / "releases.jsonl").exists()
    repository = next((finished / "home" / "hub").rglob("mine*.git"))
    merge = ["git", "--git-dir", str(repository), "update-ref", "refs/heads/main", "refs/pr/2"]
    subprocess.run(merge, check=True)
    released = pushed(finished, "--repo", "mine")
    assert (released["tag"], released["commit"]) == ("v1.0.0", proposed["commit"])


def test_a_branch_is_made_and_main_stays(finished: Path) -> None:
    released = pushed(finished, "--repo", "mine", "--branch", "trial/one", "--private")
    repository = next((finished / "home" / "hub").rglob("mine*.git"))
    show = ["git", "--git-dir", str(repository), "rev-parse", "refs/heads/trial/one", "v1.0.0^{commit}"]
    heads = subprocess.run(show, capture_output=True, text=True, check=True).stdout.split()
    assert heads == [released["commit"]] * 2
    there = ["git", "--git-dir", str(repository), "ls-tree", "--name-only", "main"]
    assert subprocess.run(there, capture_output=True, text=True, check=True).stdout.split() == [".gitattributes"]
    push = [*CLI, "push-dataset", str(finished / "run"), "--hub", "embedded", "--repo", "mine"]
    for options, where in (
        ((), "main"),
        (("--branch", "dev"), "dev"),
        (("--branch", "dev", "--create-pr"), "a pull request for dev"),
    ):
        done = plum_hub([*push, *options])
        assert done.returncode == 0, done.stderr
        assert f"local/mine: this is published already, as v1.0.0; nothing was committed to {where}\n" in done.stderr
    branches = ["git", "--git-dir", str(repository), "branch", "--format", "%(refname:short)"]
    assert subprocess.run(branches, capture_output=True, text=True, check=True).stdout.split() == ["main", "trial/one"]


def test_a_second_push_says_that_nothing_is_new(finished: Path) -> None:
    push = [*CLI, "push-dataset", str(finished / "run"), "--hub", "embedded", "--repo", "mine"]
    first, second = plum_hub(push), plum_hub(push)
    assert "published already" not in first.stderr
    assert "local/mine: this is published already, as v1.0.0\n" in second.stderr
    assert first.stdout == second.stdout


def test_a_run_that_is_not_complete_is_not_published(finished: Path) -> None:
    path = finished / "run" / "shards" / "00000" / "verdicts.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    done = plum_hub([*CLI, "push-dataset", str(finished / "run"), "--hub", "embedded"])
    assert done.returncode == 4
    assert "is not complete" in done.stderr
    assert "plum-hub build-dataset --recipe" in done.stderr


@pytest.mark.parametrize("command", ["push-dataset", "build-dataset", "build-dataset --dry-run"])
def test_a_hub_that_wants_a_token_is_told_before_anything_is_done(home: Path, command: str) -> None:
    arguments = [str(home)] if command == "push-dataset" else published(home)[4:]
    done = plum_hub([*CLI, *command.split(), *arguments, "--hub", "public"])
    assert done.returncode == 9, done.stderr
    assert "https://huggingface.co wants a token and there is none; set HF_TOKEN" in done.stderr
    assert not (home / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tag", "main"), "--tag main: is a branch"),
        (("--tag", "dev", "--branch", "dev"), "--tag dev: is a branch"),
        (("--tag", "HEAD"), "--tag HEAD: a Hub takes this for a commit"),
        (("--tag", "a" * 40), f"--tag {'a' * 40}: a Hub takes this for a commit"),
        (("--tag", "refs/pr/1"), "--tag refs/pr/1: a Hub takes this for a commit"),
        (("--branch", "v1.2.0"), "--branch v1.2.0: is the name of a version"),
        (("--branch", "0" * 40), f"--branch {'0' * 40}: a Hub takes this for a commit"),
    ],
)
def test_a_name_that_would_hide_another_is_refused(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    done = plum_hub([*CLI, "push-dataset", str(tmp_path), "--hub", "embedded", *options])
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "write it as" in done.stderr


@pytest.mark.parametrize("option", [("--tag", "no name"), ("--branch", "a..b"), ("--repo", "a--b"), ("--hub", "ftp")])
def test_what_is_no_name_is_refused_before_anything_is_done(tmp_path: Path, option: tuple[str, str]) -> None:
    done = plum_hub([*CLI, "push-dataset", str(tmp_path), *option])
    assert done.returncode in (2, 9), done.stderr
    assert option[1] in done.stderr


@pytest.mark.parametrize("name", ["x.git", "local/x.git", "a--b/x", "a-/x", "x..y", "x-", "a/b/c", "x" * 97])
def test_what_is_no_name_of_a_repository_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a name that a Hub accepts"):
        PublishOptions(hub="embedded", repo=name)


@pytest.mark.parametrize("name", ["@", 'v"1', "v'1", "v`1", "a\\b", "a\udcff", "a.lock", "a@{1", "a/"], ids=ascii)
def test_what_is_no_name_of_a_version_or_branch_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a name that git accepts"):
        PublishOptions(hub="embedded", tag=name)
    with pytest.raises(UsageError, match="not a name that git accepts"):
        PublishOptions(hub="embedded", branch=name)


def test_unusual_names_are_taken() -> None:
    assert PublishOptions(hub="embedded", repo="local/x.github_1", tag="a@b/c", branch="entwürfe").tag == "a@b/c"
