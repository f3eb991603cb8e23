"""What unmodified clients do with a Hub. Each function runs in a process of its own, with `HF_ENDPOINT` set."""

import os
import subprocess
import sys
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
    api.create_tag("local/pushed", tag="v1", repo_type="dataset")
    streamed = datasets.load_dataset("local/pushed", "extra", revision="v1", split="train", streaming=True)
    assert [row["text"] for row in streamed] == ["y", "z"]
    asked = datasets.Dataset.from_dict({"n": [2]}).push_to_hub("local/pushed", "asked", create_pr=True)
    assert set(datasets.get_dataset_config_names("local/pushed", revision=asked.pr_revision)) == {"asked", "extra"}
    assert datasets.get_dataset_config_names("local/pushed") == ["extra"]


def discussions():
    from huggingface_hub import CommitOperationAdd as Add
    from huggingface_hub import HfApi
    from huggingface_hub.errors import BadRequestError, HfHubHTTPError

    api, repo = HfApi(), "local/talk"

    def commit(name, content=b"x", **more):
        return api.create_commit(repo, [Add(name, content)], commit_message=f"{name} is new", **more)

    api.create_repo(repo)
    commit("a.txt", b"one\n")
    talk = api.create_discussion(repo, "Is it good?", description="I **wonder**.")
    assert (talk.num, talk.status, talk.is_pull_request, talk.events[0].content) == (1, "open", False, "I **wonder**.")
    said = api.comment_discussion(repo, 1, "It is.")
    assert api.edit_discussion_comment(repo, 1, said.id, "It is not.").content == "It is not."
    assert api.rename_discussion(repo, 1, "Was it good?").new_title == "Was it good?"
    assert api.change_discussion_status(repo, 1, "closed", comment="done").new_status == "closed"
    assert api.hide_discussion_comment(repo, 1, said.id).hidden
    talk = api.get_discussion_details(repo, 1)
    assert (talk.title, talk.status) == ("Was it good?", "closed")
    assert [it.type for it in talk.events] == ["comment", "comment", "title-change", "comment", "status-change"]

    draft = api.create_pull_request(repo, "Later")
    assert (draft.num, draft.status, draft.git_reference) == (2, "draft", "refs/pr/2")
    with refused(BadRequestError):
        api.merge_pull_request(repo, 2)
    commit("b.txt", b"b", revision="refs/pr/2")
    api.change_discussion_status(repo, 2, "open")
    one = commit("c.txt", b"c", create_pr=True, commit_description="why")
    other = commit("a.txt", b"other\n", create_pr=True)
    assert (one.pr_num, other.pr_num) == (3, 4)
    details = api.get_discussion_details(repo, 3)
    assert (details.title, details.target_branch, details.conflicting_files) == ("c.txt is new", "refs/heads/main", [])
    assert "+++ b/c.txt" in details.diff
    assert [it.oid for it in details.events if it.type == "commit"] == [one.oid]
    head = commit("a.txt", b"two\n").oid
    for number in (2, 3):
        api.merge_pull_request(repo, number, comment="thanks")
    merged = api.list_repo_commits(repo)
    assert [it.title for it in merged[:2]] == ["c.txt is new (#3)", "Later (#2)"]
    assert merged[2].commit_id == head
    assert {"b.txt", "c.txt"} <= set(api.list_repo_files(repo))
    assert api.get_discussion_details(repo, 3).merge_commit_oid == merged[0].commit_id
    with refused(HfHubHTTPError, 409):
        api.merge_pull_request(repo, 4)
    assert api.get_discussion_details(repo, 4).conflicting_files == ["a.txt"]
    pulls = {"discussion_type": "pull_request"}
    assert [it.num for it in api.get_repo_discussions(repo, **pulls)] == [4, 3, 2]
    assert [it.num for it in api.get_repo_discussions(repo, **pulls, discussion_status="open")] == [4]
    with refused(HfHubHTTPError, 401):
        HfApi(token=False).comment_discussion(repo, 1, "hello")


def transformers_and_peft():
    import torch
    from huggingface_hub import HfApi
    from peft import LoraConfig, PeftModel, get_peft_model
    from tokenizers import Tokenizer, models
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    api, sizes = HfApi(), {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    config = LlamaConfig(vocab_size=16, num_attention_heads=2, num_key_value_heads=2, **sizes)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0, "plum": 1}, unk_token="[UNK]"))
    )
    weights = []
    for tag in ("v1.0.0", "v2.0.0"):
        model = LlamaForCausalLM(config)
        model.push_to_hub("local/tiny", private=True)
        tokenizer.push_to_hub("local/tiny")
        api.create_tag("local/tiny", tag=tag)
        weights.append(model.lm_head.weight)
    for tag, weight in zip(("v1.0.0", "v2.0.0"), weights, strict=True):
        assert torch.equal(AutoModelForCausalLM.from_pretrained("local/tiny", revision=tag).lm_head.weight, weight)
    assert AutoTokenizer.from_pretrained("local/tiny", revision="v1.0.0")("plum")["input_ids"] == [1]

    base = AutoModelForCausalLM.from_pretrained("local/tiny", revision="v1.0.0")
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    adapted.push_to_hub("local/adapter")
    api.create_tag("local/adapter", tag="v1.0.0")
    again = AutoModelForCausalLM.from_pretrained("local/tiny", revision="v1.0.0")
    again = PeftModel.from_pretrained(again, "local/adapter", revision="v1.0.0")
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(again(ids).logits, adapted(ids).logits)
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(api.list_repo_files("local/adapter"))


def hf_command():
    def hf(*arguments):
        command = [str(Path(sys.executable).with_name("hf")), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    repo = "local/by-command"
    assert "local" in hf("auth", "whoami")
    hf("repos", "create", repo, "--type", "dataset", "--private")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "d").mkdir()
        (Path(folder) / "README.md").write_text("---\nlicense: mit\n---\n# By command\n")
        (Path(folder) / "d" / "rows.parquet").write_bytes(os.urandom(3000))
        hf("upload", repo, folder, "--type", "dataset", "--commit-message", "by command")
        hf("repos", "tag", "create", repo, "v1.0.0", "--type", "dataset")
        assert "v1.0.0" in hf("repos", "tag", "list", repo, "--type", "dataset")
        back = f"{folder}/back"
        hf("download", repo, "--type", "dataset", "--revision", "v1.0.0", "--local-dir", back)
        for name in ("README.md", "d/rows.parquet"):
            assert (Path(back) / name).read_bytes() == (Path(folder) / name).read_bytes()
    assert repo in hf("datasets", "ls", "--author", "local", "--format", "json")
    assert '"private": true' in hf("datasets", "info", repo, "--format", "json")
    hf("repos", "delete", repo, "--type", "dataset", "--yes")
    assert repo not in hf("datasets", "ls", "--author", "local", "--format", "json")
