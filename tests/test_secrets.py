"""Secrets stay out of everything that a build prints, logs or writes, though its server repeats them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from plum_hub import recipe as recipes
from plum_hub.engines import ScriptedConfig
from plum_hub.engines.openai import OpenAIConfig
from plum_hub.errors import EngineError, HubError, SandboxError
from plum_hub.execution import Call, Judge, Limits, Program
from plum_hub.lines import appending, object_of
from plum_hub.redaction import REMOVED, redacted, without_own
from plum_hub.run import Run
from tests.engines.server import LoopbackServer
from tests.rehearsal import command, plum_hub, rows, write_rehearsal

KEY, TOKEN, OTHER = (
    "planted-key-of-the-server-0123",
    "hf_PlantedTokenOfTheHub0123456789abcd",
    'planted aws, with "quotes"',
)
PLANTED = {"OPENAI_API_KEY": KEY, "HF_TOKEN": TOKEN, "AWS_SECRET_ACCESS_KEY": OTHER}


class Telltale(LoopbackServer):
    """A server that repeats the key in what it answers, and in how it refuses."""

    asked = 0
    refusing = False

    def answer(self, path: str, body: dict[str, object]) -> tuple[int, dict[str, object]]:
        type(self).asked += 1
        said = f"for {KEY} and Bearer {TOKEN}"
        if self.refusing:
            return 400, {"error": {"message": f"no such setting {said}", "code": "bad"}}
        if self.asked % 5 == 0:
            return 400, {"error": {"message": f"too long {said}", "code": "context_length_exceeded"}}
        status, answer = super().answer(path, body)
        answer["choices"][0]["message"]["content"] += f"\n<!-- {said} {OTHER} -->\n"
        return status, answer


def everything(folder: Path) -> bytes:
    """The content of all files, packed ones unpacked by their own readers as bytes of their columns."""
    import pyarrow.parquet as pq

    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.append(path.name.encode() + path.read_bytes())
            if path.suffix == ".parquet":
                found.append(json.dumps(pq.read_table(path).to_pylist(), default=str).encode())
    return b"\n".join(found)


def secrets_in(content: bytes) -> list[str]:
    return [one for one in PLANTED.values() for form in (one, json.dumps(one)[1:-1]) if form.encode() in content]


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    try:
        with Judge(workers=1) as judge:
            yield judge
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("judge")
def test_a_whole_build_by_a_server_that_repeats_its_key_keeps_no_secret(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=4)
    places = {"PLUM_HUB_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    with ScriptedConfig(model=str(tmp_path / "answers.jsonl")).open() as script, Telltale(KEY, script=script) as server:
        arguments = command(tmp_path, "--hub", "embedded", "--repo", "rows")
        arguments[arguments.index("--model") + 1] = f"openai:tiny@{server.url}/v1"
        del arguments[arguments.index("--hub") : arguments.index("--hub") + 2]
        arguments += ["--generator", f"openai:tiny@{server.url}/v1", "--set", "policy.concurrency=1"]
        done = plum_hub(arguments, **PLANTED, **places)
        assert done.returncode == 0, done.stderr
        shown = plum_hub([*arguments[:3], "status", str(tmp_path / "run"), "--json"], **PLANTED, **places)
        server.refusing = True
        arguments[arguments.index("--run") + 1] = str(tmp_path / "refused")
        refused = plum_hub(arguments, **PLANTED, **places)
        server.key = "another"
        wrong = plum_hub(arguments, **PLANTED, **places)
    assert (refused.returncode, wrong.returncode) == (6, 6)
    assert REMOVED in refused.stderr
    assert any(REMOVED in str(row) for row in rows(tmp_path / "run", "samples"))
    assert any(REMOVED in str(row) for row in rows(tmp_path / "run", "dropped"))
    output = "".join(one.stdout + one.stderr for one in (done, shown, refused, wrong)).encode()
    assert secrets_in(output) == []
    content = everything(tmp_path / "run") + everything(tmp_path / "refused") + everything(tmp_path / "home")
    assert b"rows" in content
    assert len(content) > 50_000
    assert secrets_in(content) == []


def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(json.dumps({"x": OTHER}))
    assert secrets_in(everything(tmp_path)) == [OTHER]


@pytest.mark.parametrize(
    "text",
    [f"Bearer {TOKEN}", "https://me:hunter2@host/x", "key sk-proj-abcdefghijklmnopqrstuvwx", "plum_" + "a" * 40],
)
def test_a_message_loses_what_looks_like_a_secret(text: str) -> None:
    said = str(HubError(f"no: {text}; run it again"))
    assert REMOVED in said
    assert text.split("@", maxsplit=1)[0][-10:] not in said


def test_a_key_is_a_secret_whatever_its_variable_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_OF_MINE", KEY)
    with LoopbackServer(key="another") as server:
        config = OpenAIConfig(model="tiny", base_url=f"{server.url}/v1", api_key_env="TOGETHER_OF_MINE")
        server.wrong_key = f"Incorrect API key provided: {KEY}"
        with pytest.raises(EngineError, match=r"Incorrect API key provided: \[secret\].*TOGETHER_OF_MINE") as caught:
            config.open()
    assert KEY not in str(caught.value)
    assert without_own(f"a row with {KEY}") == f"a row with {REMOVED}"


def test_ordinary_text_is_kept_to_the_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "short")
    monkeypatch.setenv("SOME_API_KEY", "0123456789abcdef")
    text = "short: tokens = sk_learn; user@host, https://host/a@b, hf_hub, 'Bearer x'"
    assert redacted(text) == without_own(text) == text
    with appending(tmp_path / "rows.jsonl") as append:
        append({"text": "sk-" + "a" * 30, "own": "0123456789abcdef"})
    assert object_of((tmp_path / "rows.jsonl").read_bytes()) == {"text": "sk-" + "a" * 30, "own": REMOVED}


def test_a_key_in_the_address_of_a_server_is_refused_and_not_shown() -> None:
    for url in (
        "http://me:hunter2hunter2@h/v1",
        "http://h/v1?api_key=hunter2hunter2",
        "http://h/v1?a=1&access_token=hunter2",
    ):
        with pytest.raises(EngineError, match="base_url holds") as caught:
            OpenAIConfig(model="m", base_url=url)
        assert "hunter2" not in str(caught.value)
    assert OpenAIConfig(model="m", base_url="http://h/v1?api-version=3").base_url


def test_programs_see_no_secret(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    code = "import os\ndef f():\n    return sorted(k for k in os.environ if 'KEY' in k or 'TOKEN' in k)\n"
    case = Call(expression="f()", expected="[]")
    (done,) = judge.run([Program(id="p", code=code, entry_point="f", cases=(case,), limits=Limits())])
    assert done.status == "passed"


def test_the_folder_of_a_run_is_writable_by_nobody_else(tmp_path: Path) -> None:
    policy = {"type": "scripted", "model": str(tmp_path / "answers.jsonl")}
    run = Run.create(tmp_path / "run", recipes.compose(None, "options", {"policy": policy}, []).filled())
    assert all(path.stat().st_mode & 0o022 == 0 for path in (run.folder, *run.folder.rglob("*")))
