"""A Hub is asked before hours of work whether it takes what they end in."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from plum_hub.errors import HubError
from plum_hub.hubs.embedded import EmbeddedHub
from plum_hub.hubs.store import read_token
from plum_hub.publishing.account import check_account
from plum_hub.publishing.repository import PublishOptions
from tests.rehearsal import command, plum_hub, write_rehearsal
from tests.test_doctor import answering


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


def checked(url: str, repo: str | None = None) -> str:
    said: list[str] = []
    check_account(PublishOptions(hub=url, repo=repo), said.append)
    return "".join(said)


def test_a_token_that_may_write_says_nothing_and_others_are_refused(
    hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_account(None, pytest.fail)
    monkeypatch.setenv("HF_TOKEN", str(hub.token))
    assert checked(hub.endpoint) == checked(hub.endpoint, "local/mine") == ""
    with pytest.raises(HubError, match=r"--repo lab/mine: the token of local may write to local only: name"):
        checked(hub.endpoint, "lab/mine")
    monkeypatch.setenv("HF_TOKEN", str(read_token(hub.root, "read")))
    with pytest.raises(HubError, match=r"the token of local may not write to http.*: set HF_TOKEN"):
        checked(hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="refuses the token"):
        checked(hub.endpoint)


def test_a_single_repository_may_be_all_that_a_token_may_write_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    scoped = [{"entity": {"type": "dataset", "name": "ada/one"}, "permissions": ["repo.write"]}]
    token = {"role": "fineGrained", "fineGrained": {"scoped": scoped}}
    who = {"type": "user", "name": "ada", "orgs": [], "auth": {"accessToken": token}}
    with answering({"/api/whoami-v2": (200, who)}) as url:
        assert checked(url, "ada/one") == ""
        with pytest.raises(HubError, match="may write to ada/one only"):
            checked(url, "ada/two")
    with answering({"/api/whoami-v2": (200, {"type": "user", "name": "ada", "orgs": []})}) as url:
        assert checked(url, "ada/two") == ""  # a Hub that does not say what a token may do


def test_a_hub_out_of_reach_is_a_remark_and_offline_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    said = checked(url)
    assert said.startswith(f"{url} cannot be reached")
    assert "the work begins all the same" in said
    with answering({"/api/whoami-v2": (503, {})}) as broken:
        assert "is broken at the moment" in checked(broken)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set, so nothing can be published on"):
        checked(url)


def test_a_build_asks_no_model_for_a_hub_that_refuses_the_token(tmp_path: Path, hub: EmbeddedHub) -> None:
    write_rehearsal(tmp_path)
    order = [one for one in command(tmp_path) if one not in ("--hub", "none", "embedded")]
    done = plum_hub([*order, "--hub", str(hub.endpoint)], HF_TOKEN="hf_wrong")
    assert done.returncode == 9, done.stderr
    assert "refuses the token" in done.stderr
    assert not (tmp_path / "run").exists()
    assert json.loads((tmp_path / "answers.jsonl").read_text().splitlines()[0])
