"""What the environment says about the network, and the Hubs that can be reached all the same."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from plum_hub.errors import HubError
from plum_hub.hubs.client import HubTarget, PublishRequest, fetch_repo, publish_repo, tags
from plum_hub.hubs.store import add_organisations
from plum_hub.loading import FetchedRelease
from plum_hub.network import offline_variable, on_loopback, proxy_fault
from plum_hub.progress import Progress
from plum_hub.publishing.repository import PublishOptions
from plum_hub.release.manifest import ModelManifest
from plum_hub.verification.model import verify_model
from plum_hub.verification.options import VerifyOptions
from tests.cards.golden_model import full_facts

ELSEWHERE = HubTarget("http://hub.invalid", "hf_x")


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({}, None),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
        ({"TRANSFORMERS_OFFLINE": "yes"}, "TRANSFORMERS_OFFLINE"),
        ({"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"}, None),
        ({"HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": "1"}, "TRANSFORMERS_OFFLINE"),
    ],
    ids=["neither", "ours", "transformers", "ours-is-off", "ours-is-empty"],
)
def test_the_variable_that_is_set_is_named(monkeypatch, environment, variable):
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert offline_variable() == variable


@pytest.mark.parametrize(
    ("name", "address", "says"),
    [
        (
            "ALL_PROXY",
            "socks5://127.0.0.1:9",
            r"ALL_PROXY names a SOCKS .* pip install socksio , or unset ALL",
        ),
        ("https_proxy", "socks5h://me:secret@127.0.0.1:9", r"https_proxy names a SOCKS proxy.*unset https_proxy"),
        ("all_proxy", "socks://127.0.0.1:9", "all_proxy names a proxy by socks://.* write http:// or socks5:// there"),
        ("HTTP_PROXY", "http://127.0.0.1:9", None),
        ("HTTPS_PROXY", "127.0.0.1:9", None),
        ("NO_PROXY", "socks5://x", None),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_before_anything_is_done(monkeypatch, name, address, says):
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setenv(name, address)
    options = {"hub": ELSEWHERE.endpoint, "repo": "me/x"}
    if says is None:
        assert proxy_fault() is None
        assert PublishOptions(**options).repo == "me/x"
        return
    for ask in (lambda: PublishOptions(**options), lambda: tags("me/x", ELSEWHERE)):
        with pytest.raises(HubError, match=rf"^http://hub\.invalid cannot be reached: {says}") as told:
            ask()
        assert "secret" not in str(told.value)


def test_a_client_in_this_process_tells_it_too(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    code = (
        "from huggingface_hub import HfApi; from plum_hub.patience import be_patient\n"
        "be_patient()\ntry: HfApi('http://127.0.0.1:9').model_info('a/b')\n"
        "except ConnectionError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("ALL_PROXY names a SOCKS proxy"), done.stderr


def test_the_embedded_hub_is_there_offline_and_behind_no_proxy(server, monkeypatch):
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    for name in ("ALL_PROXY", "all_proxy", "http_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    assert on_loopback({"https_proxy": "x", "No_Proxy": "y", "HF_HUB_OFFLINE": "1", "HOME": "/h"}) == {"HOME": "/h"}
    assert tags("local/none", server.target) == {}
    monkeypatch.delenv("ALL_PROXY")
    monkeypatch.delenv("all_proxy")
    monkeypatch.delenv("http_proxy")
    with pytest.raises(HubError, match="TRANSFORMERS_OFFLINE is set, and local/none at this very commit is not in"):
        fetch_repo("local/none", "a" * 40, HubTarget(server.endpoint, server.token))


def test_a_model_on_the_embedded_hub_may_name_a_dataset_of_the_public_one(server, tmp_path, monkeypatch):
    add_organisations(server.root, ["elsewhere"])
    for name in ("rows", "model"):
        (tmp_path / name).mkdir()
    (tmp_path / "rows" / "train.jsonl").write_text("{}\n")
    request = PublishRequest(folder=tmp_path / "rows", repo="elsewhere/rows", tag="v1.0.0", message="rows")
    commit = publish_repo(request, server.target).commit
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    request = replace(request, folder=tmp_path / "base", repo="elsewhere/base", kind="model")
    base = replace(full_facts().lineage.base, name="elsewhere/base", commit=publish_repo(request, server.target).commit)
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)  # what `public` means
    made = full_facts().lineage
    found = {}
    for repo in ("elsewhere/rows", "local/rows"):
        data = replace(made.data, repo=repo, tag="v1.0.0", commit=commit, revision=commit)
        manifest = ModelManifest(lineage=replace(made, data=data, base=base), files=())
        (tmp_path / "model" / "manifest.json").write_text(json.dumps(manifest.to_json()))
        release = FetchedRelease(
            repo="local/model", version=commit, commit=commit, folder=tmp_path / "model", hub="embedded", tags={},
            before=None, kind="model",
        )  # fmt: skip
        findings = verify_model(VerifyOptions(repo="local/model", version=commit), release, Progress()).findings
        found[repo] = {one.what for one in findings.listed if one.check == "data"}
        assert not [note for note in findings.notes if "elsewhere/base" in note]
    assert "elsewhere/rows@v1.0.0" not in found["elsewhere/rows"]
    assert found["local/rows"] == {"local/rows@v1.0.0"}, "only the embedded Hub has its own namespace"
