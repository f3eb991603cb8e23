"""What unmodified clients do with a Hub. Each function runs in a process of its own, with `HF_ENDPOINT` set."""

import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def refused(kind, status=None):
    try:
        yield
    except kind as error:
        assert status is None or error.response.status_code == status, error
    else:
        raise AssertionError(f"{kind.__name__} was not raised")


def commits():
    from huggingface_hub import CommitOperationAdd as Add
    from huggingface_hub import CommitOperationCopy as Copy
    from huggingface_hub import CommitOperationDelete as Delete
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    api, repo = HfApi(), "local/commits"

    def commit(*operations, **more):
        return api.create_commit(repo, operations, commit_message="change", repo_type="dataset", **more)

    def files(revision="main"):
        return set(api.list_repo_files(repo, repo_type="dataset", revision=revision)) - {".gitattributes"}

    api.create_repo(repo, repo_type="dataset")
    with refused(HfHubHTTPError, 409):
        api.create_repo(repo, repo_type="dataset")
    assert str(api.create_repo(repo, repo_type="dataset", exist_ok=True)).endswith("/datasets/local/commits")

    first = commit(Add("a.txt", b"a"), Add("d/b.txt", b"b"), Add("d/c.bin", b"\0\1"), Add('w "ö\\.txt', b"w"))
    assert files() == {"a.txt", "d/b.txt", "d/c.bin", 'w "ö\\.txt'}
    second = commit(Delete("d/"), Add("d/new.txt", b"n"), Copy("a.txt", "copy.txt"), parent_commit=first.oid)
    assert files() == {"a.txt", "d/new.txt", "copy.txt", 'w "ö\\.txt'}
    assert files(first.oid) == {"a.txt", "d/b.txt", "d/c.bin", 'w "ö\\.txt'}
    with refused(HfHubHTTPError, 412):
        commit(Add("late.txt", b""), parent_commit=first.oid)
    with refused(EntryNotFoundError):
        commit(Add("half.txt", b"x"), Delete("missing.txt"))
    assert "half.txt" not in files()
    assert commit(Add("a.txt", b"a")).oid == second.oid, "an unchanged file made a commit"


def refs_and_history():
    from huggingface_hub import CommitOperationAdd as Add
    from huggingface_hub import HfApi
    from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RevisionNotFoundError

    api, repo = HfApi(), "local/refs"

    def commit(name, **more):
        return api.create_commit(repo, [Add(name, b"x")], commit_message="change", repo_type="dataset", **more)

    def files(revision="main"):
        return set(api.list_repo_files(repo, repo_type="dataset", revision=revision)) - {".gitattributes"}

    api.create_repo(repo, repo_type="dataset")
    first, second = commit("a.txt"), commit("b.txt")
    api.create_tag(repo, tag="v1.0.0", tag_message="first", revision=first.oid, repo_type="dataset")
    api.create_tag(repo, tag="plain/tag", revision=first.oid[:9], repo_type="dataset")
    with refused(HfHubHTTPError, 409):
        api.create_tag(repo, tag="v1.0.0", revision=second.oid, repo_type="dataset")
    with refused(BadRequestError):
        api.create_tag(repo, tag="bad..name", repo_type="dataset")
    with refused(BadRequestError):
        commit("x", revision="v1.0.0")
    api.create_branch(repo, branch="side/branch", revision="v1.0.0", repo_type="dataset")
    third = commit("side.txt", revision="side/branch")
    refs = api.list_repo_refs(repo, repo_type="dataset")
    assert {tag.name: tag.target_commit for tag in refs.tags} == {"v1.0.0": first.oid, "plain/tag": first.oid}
    assert {it.name: it.target_commit for it in refs.branches} == {"main": second.oid, "side/branch": third.oid}
    assert files("side/branch") == files("v1.0.0") | {"side.txt"}
    assert api.repo_info(repo, revision="plain/tag", repo_type="dataset").sha == first.oid

    request = commit("pr.txt", create_pr=True)
    assert request.pr_revision == "refs/pr/1"
    assert "pr.txt" in files("refs/pr/1")
    assert "pr.txt" not in files()
    assert [
        it.ref for it in api.list_repo_refs(repo, repo_type="dataset", include_pull_requests=True).pull_requests
    ] == ["refs/pr/1"]

    history = api.list_repo_commits(repo, repo_type="dataset")
    assert [it.commit_id for it in history[:2]] == [second.oid, first.oid]
    assert history[0].authors == ["local"]
    api.super_squash_history(repo, repo_type="dataset", commit_message="squashed")
    assert [it.title for it in api.list_repo_commits(repo, repo_type="dataset")] == ["squashed"]
    assert files("v1.0.0") == files(first.oid), "squashing lost a tag's commits"
    api.delete_tag(repo, tag="plain/tag", repo_type="dataset")
    api.delete_branch(repo, branch="side/branch", repo_type="dataset")
    with refused(RevisionNotFoundError):
        files("side/branch")


def repos_and_rights():
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    api, anonymous, stranger = HfApi(), HfApi(token=False), HfApi(token="hf_wrong")
    assert api.whoami()["name"] == "local"
    with refused(HfHubHTTPError, 401):
        stranger.whoami()
    api.create_repo("local/secret", repo_type="model", private=True)
    api.create_repo("local/open", repo_type="model")
    assert api.model_info("local/secret").private
    for action in (anonymous.model_info, anonymous.list_repo_files, anonymous.delete_repo):
        with refused(RepositoryNotFoundError, 401):
            action("local/secret")
    with refused(RepositoryNotFoundError, 404):
        api.model_info("local/nothing")
    with refused(HfHubHTTPError, 401):
        stranger.model_info("local/open")
    assert anonymous.model_info("local/open").sha
    operations = [CommitOperationAdd("a.txt", b"a")]
    for outsider in (anonymous, stranger):
        with refused(HfHubHTTPError, 401):
            outsider.create_commit("local/open", operations, commit_message="no")
    with refused(HfHubHTTPError, 403):
        api.create_repo("someone/else")
    reader = HfApi(token=os.environ["READ_TOKEN"])
    assert reader.whoami()["auth"]["accessToken"]["role"] == "read"
    assert reader.model_info("local/secret").private
    for action in (
        lambda: reader.create_commit("local/open", operations, commit_message="no"),
        lambda: reader.create_tag("local/open", tag="v1"),
        lambda: reader.create_repo("local/new"),
        lambda: reader.delete_repo("local/open"),
    ):
        with refused(HfHubHTTPError, 403):
            action()
    assert {it.id for it in anonymous.list_models(author="local")} == {"local/open"}
    assert {it.id for it in api.list_models(author="local")} == {"local/open", "local/secret"}
    api.update_repo_settings("local/secret", private=False)
    api.move_repo("local/secret", "local/moved")
    assert anonymous.model_info("local/moved").id == "local/moved"
    assert not api.repo_exists("local/secret")
    with refused(HfHubHTTPError, 409):
        api.move_repo("local/moved", "local/open")
    api.delete_repo("local/moved")
    assert not api.repo_exists("local/moved")
    assert not api.file_exists("local/open", "nothing.txt")
    assert not api.revision_exists("local/open", "nothing")


def large_files_and_downloads():
    from huggingface_hub import (
        CommitOperationAdd,
        CommitOperationCopy,
        HfApi,
        HfFileSystem,
        hf_hub_download,
        snapshot_download,
    )

    api, repo = HfApi(), "local/large"
    content = os.urandom(2_500_001)  # three parts
    small = b"0123456789" * 100
    api.create_repo(repo, repo_type="dataset")
    many = [CommitOperationAdd(f"many/{number:04d}.txt", b"%d" % number) for number in range(1100)]
    files = [
        CommitOperationAdd("big.bin", content),
        CommitOperationAdd("one.bin", b"\0" * 10),
        CommitOperationAdd("s.txt", small),
    ]
    commit = api.create_commit(repo, [*files, *many], commit_message="large", repo_type="dataset").oid
    assert len(list(api.list_repo_tree(repo, "many", repo_type="dataset"))) == 1100, "pages were lost"
    info = {
        it.path: it
        for it in api.get_paths_info(repo, ["big.bin", "s.txt", "many", "gone"], repo_type="dataset", expand=True)
    }
    assert set(info) == {"big.bin", "s.txt", "many"}
    assert info["big.bin"].lfs.size == info["big.bin"].size == len(content)
    assert info["s.txt"].lfs is None
    assert info["s.txt"].last_commit.oid == commit
    copy = [CommitOperationCopy("big.bin", "copy.bin")]
    api.create_commit(repo, copy, commit_message="copy", repo_type="dataset")
    for name in ("big.bin", "copy.bin"):
        assert Path(hf_hub_download(repo, name, repo_type="dataset")).read_bytes() == content
    folder = Path(snapshot_download(repo, repo_type="dataset", revision=commit, ignore_patterns="many/0*"))
    assert folder.name == commit
    assert (folder / "many" / "1099.txt").read_text() == "1099"
    assert (folder / "big.bin").read_bytes() == content
    with HfFileSystem().open(f"datasets/{repo}@{commit}/big.bin", block_size=1000) as file:
        file.seek(1_999_990)
        assert file.read(20) == content[1_999_990:2_000_010]
    with tempfile.TemporaryDirectory() as folder:
        url = f"{os.environ['HF_ENDPOINT']}/datasets/{repo}"
        subprocess.run(["git", "clone", "--quiet", url, folder], check=True)
        subprocess.run(["git", "-C", folder, "fsck", "--strict"], check=True, capture_output=True)
        head = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD~1"], check=True, capture_output=True, text=True)
        assert head.stdout.strip() == commit
        assert (Path(folder) / "big.bin").read_text().startswith("version https://git-lfs.github.com/spec/v1\n")
        assert (Path(folder) / "s.txt").read_bytes() == small


def datasets_library():
    import datasets
    from huggingface_hub import CommitOperationAdd, DatasetCard, HfApi

    datasets.config.USE_PARQUET_EXPORT = False
    api, repo = HfApi(), "local/data"
    with tempfile.TemporaryDirectory() as folder:
        for config, rows in {"kto": ["a", "b"], "dpo": ["c"]}.items():
            datasets.Dataset.from_dict({"text": rows}).to_parquet(f"{folder}/{config}.parquet")
        card = "---\nlicense: mit\nconfigs:\n- config_name: kto\n  default: true\n  data_files: kto/*.parquet\n"
        card += "- config_name: dpo\n  data_files: dpo/*.parquet\n---\n# Data\n"
        DatasetCard(card).validate()
        api.create_repo(repo, repo_type="dataset")
        operations = [CommitOperationAdd("README.md", card.encode())]
        operations += [CommitOperationAdd(f"{it}/train.parquet", f"{folder}/{it}.parquet") for it in ("kto", "dpo")]
        api.create_commit(repo, operations, commit_message="v1", repo_type="dataset")
    api.create_tag(repo, tag="v1.0.0", repo_type="dataset")
    assert datasets.load_dataset(repo, "kto", revision="v1.0.0")["train"]["text"][:] == ["a", "b"]
    assert datasets.load_dataset(repo, "dpo", revision="v1.0.0")["train"]["text"][:] == ["c"]
    assert [row["text"] for row in datasets.load_dataset(repo, streaming=True, split="train")] == ["a", "b"]
    assert api.dataset_info(repo).card_data.license == "mit"

    for rows in (["x"], ["y", "z"]):
        datasets.Dataset.from_dict({"text": rows}).push_to_hub("local/pushed", "extra", private=True)
    assert datasets.load_dataset("local/pushed", "extra", split="train")["text"][:] == ["y", "z"]
    datasets.Dataset.from_dict({"n": [1]}).push_to_hub("local/pushed", revision="side/work")
    assert datasets.load_dataset("local/pushed", revision="side/work", split="train")["n"][:] == [1]
