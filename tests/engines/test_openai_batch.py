"""Requests by batch: every answer comes out once, nothing is paid twice, whatever happens to server and client."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from plum_hub.engines import OpenAIConfig
from plum_hub.engines.base import Completion, Request
from plum_hub.errors import EngineError
from tests.engines import server
from tests.engines.batches import BatchStore
from tests.engines.proxy import FaultProxy
from tests.engines.server import LoopbackServer
from tests.engines.test_openai import config, requests

BATCHES = "/v1/batches"


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[LoopbackServer]:
    with LoopbackServer(folder=tmp_path / "server") as server:
        yield server


@pytest.fixture
def proxy(loopback: LoopbackServer) -> Iterator[FaultProxy]:
    with FaultProxy(loopback.url) as proxy:
        yield proxy


def store(loopback: LoopbackServer) -> BatchStore:
    assert loopback.batches is not None
    return loopback.batches


def batched(server: LoopbackServer | FaultProxy, **settings: Any) -> OpenAIConfig:
    return config(server, batch=True, batch_poll_seconds=0.01, **settings)


def collected(
    settings: OpenAIConfig, folder: Path | None, wanted: list[Request], notes: list[str] | None = None
) -> dict[str, Completion]:
    with settings.open() as engine:
        engine.folder = folder
        if notes is not None:
            engine.on_note = notes.append
        found = list(engine.generate(wanted))
    assert len({one.id for one in found}) == len(found)
    return {one.id: one for one in found}


def once(loopback: LoopbackServer, count: int) -> bool:
    return len(loopback.answered) == count and set(loopback.answered.values()) == {1}


def test_a_batch_gives_the_answers_of_single_requests(loopback: LoopbackServer, tmp_path: Path) -> None:
    single = [replace(one, sampling=replace(one.sampling, stop=("w1",))) for one in requests(9)]
    single.append(replace(single[0], id="long", prompt=[{"role": "user", "content": "word " * (server.CONTEXT + 1)}]))
    single.append(replace(single[0], id="plain", prompt="def add(a, b):"))
    expected = collected(config(loopback), None, single)
    assert expected["long"].finish_reason == "refused"
    loopback.answered.clear()
    notes: list[str] = []
    found = collected(batched(loopback), tmp_path / "run", single, notes)
    assert found["long"].text in expected["long"].text  # the client adds the status
    assert found == expected | {"long": found["long"]}
    assert once(loopback, 11)
    assert sorted(batch["endpoint"] for batch in store(loopback).all()) == ["/v1/chat/completions", "/v1/completions"]
    assert any("within 24 hours" in note for note in notes)


def test_without_a_folder_it_works_and_without_requests_it_sends_nothing(loopback: LoopbackServer) -> None:
    assert len(collected(batched(loopback), None, requests(3))) == 3
    assert collected(batched(loopback), None, []) == {}
    assert len(store(loopback).all()) == 1


def test_what_an_expired_batch_left_is_sent_again_and_only_that(loopback: LoopbackServer, tmp_path: Path) -> None:
    store(loopback).fates.extend(["expire", "expire"])
    assert len(collected(batched(loopback), tmp_path / "run", requests(12))) == 12
    assert once(loopback, 12)
    assert [batch["request_counts"]["total"] for batch in store(loopback).all()] == [12, 6, 3]


def test_batches_that_always_expire_end_with_an_error(loopback: LoopbackServer, tmp_path: Path) -> None:
    store(loopback).fates.extend(["expire"] * 9)
    with pytest.raises(EngineError, match=r"2 batches without an answer .*expired.*generator\.batch"):
        collected(batched(loopback, attempts=2), tmp_path / "run", requests(8))
    store(loopback).fates.clear()
    assert len(collected(batched(loopback), tmp_path / "run", requests(8))) == 8
    assert once(loopback, 8)  # the six answers of the first start come from its batches


def test_a_cancelled_batch_gives_its_answers_and_an_error_and_the_next_start_sends_the_rest(
    loopback: LoopbackServer, tmp_path: Path
) -> None:
    store(loopback).fates.append("cancel")
    found = []
    with batched(loopback).open() as engine, pytest.raises(EngineError, match=r"was cancelled .*same command"):
        engine.folder = tmp_path / "run"
        found.extend(one.id for one in engine.generate(requests(10)))
    assert len(found) == 5
    rest = [one for one in requests(10) if one.id not in found]
    assert set(collected(batched(loopback), tmp_path / "run", rest)) == {one.id for one in rest}
    assert once(loopback, 10)


def test_a_batch_that_is_not_valid_is_an_error_with_the_servers_reason(
    loopback: LoopbackServer, tmp_path: Path
) -> None:
    store(loopback).fates.append("fail")
    with pytest.raises(EngineError, match="line 3 is not valid"):
        collected(batched(loopback), tmp_path / "run", requests(4))
    assert len(collected(batched(loopback), tmp_path / "run", requests(4))) == 4
    assert once(loopback, 4)


def test_an_account_with_a_small_queue_gets_smaller_batches_one_after_the_other(
    loopback: LoopbackServer, tmp_path: Path
) -> None:
    store(loopback).most = 3
    assert len(collected(batched(loopback), tmp_path / "run", requests(10))) == 10
    assert once(loopback, 10)
    made = [(batch["status"], batch["request_counts"]["total"]) for batch in store(loopback).all()]
    assert made == [("failed", 10), ("failed", 5), *[("completed", 2)] * 5]


def test_batches_become_smaller_however_few_attempts_there_are(loopback: LoopbackServer, tmp_path: Path) -> None:
    store(loopback).most = 1
    assert len(collected(batched(loopback, attempts=2), tmp_path / "run", requests(10))) == 10
    store(loopback).most = 0
    with pytest.raises(EngineError, match="batches without an answer to 1 requests"):
        collected(batched(loopback, attempts=2), tmp_path / "run", requests(11))


def test_batch_requests_bounds_a_batch(loopback: LoopbackServer, tmp_path: Path) -> None:
    assert len(collected(batched(loopback, batch_requests=4), tmp_path / "run", requests(10))) == 10
    assert [batch["request_counts"]["total"] for batch in store(loopback).all()] == [4, 4, 2]


@pytest.mark.parametrize("path", ["/v1/files", BATCHES, "batch_0000", "file-0001/content"])
@pytest.mark.parametrize(
    "fault", [(429, {"retry-after": "0"}), (500, {}), "reset", "reset_body", "truncated", "garbage"]
)
def test_faults_on_the_way_of_a_batch(
    loopback: LoopbackServer, proxy: FaultProxy, tmp_path: Path, path: str, fault: Any
) -> None:
    with batched(proxy).open() as engine:
        engine.folder = tmp_path / "run"
        proxy.faults = [(path, fault)]
        assert len(list(engine.generate(requests(4)))) == 4
    assert proxy.met == [fault]
    assert once(loopback, 4)


def test_a_batch_whose_making_was_not_confirmed_is_found_and_not_made_again(
    loopback: LoopbackServer, proxy: FaultProxy, tmp_path: Path
) -> None:
    with batched(proxy).open() as engine:
        engine.folder = tmp_path / "run"
        proxy.faults = [(BATCHES, "lost")]
        assert len(list(engine.generate(requests(4)))) == 4
    assert proxy.met == ["lost"]
    assert len(store(loopback).all()) == 1
    assert once(loopback, 4)


_START = """
import sys
from pathlib import Path
from plum_hub.engines import OpenAIConfig
from tests.engines.test_openai import requests
with OpenAIConfig.model_validate_json(sys.argv[1]).open() as engine:
    engine.folder = Path(sys.argv[2])
    engine.on_note = lambda note: print("note", note, flush=True)
    for answer in engine.generate(requests(10)):
        print("answer", answer.id, flush=True)
"""


def _killed(settings: OpenAIConfig, folder: Path, after: str) -> list[str]:
    """Start, kill -9 after a line that begins so, and return the ids of the answers."""
    command = [sys.executable, "-c", _START, settings.model_dump_json(), str(folder)]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.split())
            if line.startswith(after):
                break
        process.kill()
    return [words[1] for words in lines if words[0] == "answer"]


def test_a_killed_start_is_followed_by_one_that_waits_for_the_same_batch(
    loopback: LoopbackServer, tmp_path: Path
) -> None:
    store(loopback).looks = 1_000_000
    assert _killed(batched(loopback), tmp_path / "run", "note batch") == []
    store(loopback).looks = 1
    found = _killed(batched(loopback), tmp_path / "run", "answer")
    rest = [one for one in requests(10) if one.id not in found]
    assert 0 < len(rest) < 10
    notes: list[str] = []
    assert set(collected(batched(loopback), tmp_path / "run", rest, notes)) == {one.id for one in rest}
    assert notes == [f"batch batch_0000: picked up again, for {len(rest)} answers"]
    assert len(store(loopback).all()) == 1
    assert once(loopback, 10)


def test_a_kill_while_a_batch_is_being_made(loopback: LoopbackServer, proxy: FaultProxy, tmp_path: Path) -> None:
    proxy.faults = [(f"POST {BATCHES}", "held")]
    command = [sys.executable, "-c", _START, batched(proxy).model_dump_json(), str(tmp_path / "run")]
    with subprocess.Popen(command) as process:
        assert proxy.holding.wait(timeout=120)
        process.kill()
    assert len(store(loopback).all()) == 1
    assert len(collected(batched(proxy), tmp_path / "run", requests(10))) == 10
    assert len(store(loopback).all()) == 1
    assert once(loopback, 10)


def test_a_file_of_answers_that_came_without_its_end_is_read_again(
    loopback: LoopbackServer, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.faults = [("/content", "short")]
    assert len(collected(batched(proxy), tmp_path / "run", requests(4))) == 4
    assert proxy.met == ["short"]
    assert once(loopback, 4)


@pytest.mark.parametrize("fate", ["lose", "cut"])
def test_a_line_that_is_missing_for_good_withholds_no_other(
    loopback: LoopbackServer, tmp_path: Path, fate: str
) -> None:
    store(loopback).fates.append(fate)
    settings, folder = batched(loopback, attempts=2, first_wait_seconds=0.01), tmp_path / "run"
    wanted, kept = requests(4), dict[str, Completion]()
    for _ in range(2):
        with settings.open() as engine:
            engine.folder = folder
            with pytest.raises(EngineError, match=r"counts 4 answers, and 3 can be read in its files \(file-\S+\)"):
                for one in engine.generate([one for one in wanted if one.id not in kept]):
                    kept[one.id] = one
        assert len(kept) == 3
    assert once(loopback, 4)  # nothing was paid for again
    (record,) = folder.glob("*.json")
    record.unlink()
    assert len(collected(settings, folder, [one for one in wanted if one.id not in kept])) == 1


@pytest.mark.parametrize("made", [True, False])
def test_a_kill_between_the_record_and_the_batch(loopback: LoopbackServer, tmp_path: Path, made: bool) -> None:
    """The record has a token and no id: the batch is looked for, and made only where there is none."""
    store(loopback).looks = 1_000_000
    assert _killed(batched(loopback), tmp_path / "run", "note batch") == []
    store(loopback).looks = 1
    (record,) = (tmp_path / "run").iterdir()
    record.write_text(json.dumps(json.loads(record.read_text()) | {"batch": ""}))
    if not made:
        (store(loopback).folder / "batch_0000").unlink()
    assert len(collected(batched(loopback), tmp_path / "run", requests(10))) == 10
    assert len(store(loopback).all()) == 1
    assert once(loopback, 10)
    assert len(list((tmp_path / "run").iterdir())) == 1


def test_a_call_takes_its_part_of_a_batch_and_the_next_call_the_rest(loopback: LoopbackServer, tmp_path: Path) -> None:
    store(loopback).looks = 1_000_000
    assert _killed(batched(loopback), tmp_path / "run", "note batch") == []
    store(loopback).looks = 1
    wanted = requests(10)
    for part in (wanted[:3], wanted[3:]):
        assert set(collected(batched(loopback), tmp_path / "run", part)) == {one.id for one in part}
    assert once(loopback, 10)


def test_another_thread_can_end_the_wait(loopback: LoopbackServer, tmp_path: Path) -> None:
    store(loopback).looks = 1_000_000
    with batched(loopback).open() as engine:
        engine.folder, engine.halt = tmp_path / "run", Event()
        engine.on_note = lambda _: engine.halt.set() if engine.halt else None
        assert list(engine.generate(requests(3))) == []


def test_a_server_without_batches_is_told_by_the_key_to_unset() -> None:
    with LoopbackServer() as plain, pytest.raises(EngineError, match=r"no Batch API.*unset generator\.batch"):
        batched(plain).pin()


def test_a_batch_that_the_server_has_forgotten_names_its_record(loopback: LoopbackServer, tmp_path: Path) -> None:
    store(loopback).looks = 1_000_000
    assert _killed(batched(loopback), tmp_path / "run", "note batch") == []
    (store(loopback).folder / "batch_0000").unlink()
    with pytest.raises(EngineError, match=r"does not know the batch batch_0000 .*delete .*/run/.*\.json"):
        collected(batched(loopback), tmp_path / "run", requests(10))


def test_a_damaged_record_is_named(loopback: LoopbackServer, tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text('{"token": ')
    with pytest.raises(EngineError, match=r"1\.json: not the record of a batch"):
        collected(batched(loopback), tmp_path, requests(1))


def test_a_server_that_goes_down_keeps_the_batch(loopback: LoopbackServer, proxy: FaultProxy, tmp_path: Path) -> None:
    with batched(proxy, attempts=3).open() as engine:
        engine.folder = tmp_path / "run"
        proxy.faults = [("batch_0000", "reset")] * 3
        with pytest.raises(EngineError, match=r"3 tries.*same command"):
            list(engine.generate(requests(4)))
        assert Counter(one.finish_reason for one in engine.generate(requests(4))) == {"length": 4}
    assert once(loopback, 4)


SCHEMA: dict[str, Any] = {
    "type": "object", "properties": {"ready": {"type": "boolean"}},
    "required": ["ready"], "additionalProperties": False,
}  # fmt: skip


@pytest.mark.parametrize("by_batch", [False, True])
def test_a_schema_goes_to_the_server_and_a_refusal_names_the_key(
    loopback: LoopbackServer, tmp_path: Path, by_batch: bool
) -> None:
    settings = batched(loopback) if by_batch else config(loopback)
    wanted = [*requests(2), *(replace(one, id=f"by schema {one.id}", schema=SCHEMA) for one in requests(3))]
    found = collected(settings, tmp_path, wanted)
    assert len(found) == 5
    for name, answer in found.items():
        if name.startswith("by schema"):
            assert json.loads(answer.text)["ready"] in (True, False)
    assert sum("response_format" in body for body in loopback.received) == 3
    loopback.schemas = "refused"
    message = r"refused a request for an answer by a JSON schema \(.*response_format is not supported\): "
    with pytest.raises(EngineError, match=f"{message}set suites.structured=false, or change the setting"):
        collected(settings, tmp_path / "later", wanted[2:])
    assert len(collected(settings, tmp_path / "free", wanted[:2])) == 2


def test_the_server_is_asked_once_whether_it_takes_a_schema(loopback: LoopbackServer) -> None:
    for settings in (config(loopback), batched(loopback)):
        loopback.received.clear()
        assert settings.schema_problem() is None
        (body,) = map(json.loads, loopback.received)
        assert body["max_tokens"] == 16
        assert body["response_format"]["json_schema"]["strict"] is True
    loopback.schemas = "refused"
    assert "response_format is not supported" in str(config(loopback).schema_problem())
    loopback.schemas = "ignored"
    assert str(config(loopback).schema_problem()).endswith("ignores the JSON schema that answers should follow")
    loopback.always = 503
    with pytest.raises(EngineError, match="when it is up again"):
        config(loopback).schema_problem()
