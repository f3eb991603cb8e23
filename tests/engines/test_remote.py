"""What the engines behind a server do when the server is busy, down, or says no."""

import importlib.util
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from plum_hub.doctor import reach
from plum_hub.engines import OpenAIConfig, TgiConfig, parse_engine
from plum_hub.engines.base import Request, Sampling
from plum_hub.engines.pacing import wait_in
from plum_hub.errors import EngineError
from plum_hub.recipe import compose
from tests.engines.server import LoopbackServer

SAMPLING = Sampling(temperature=1.0, top_p=0.9, max_tokens=8)
Config = OpenAIConfig | TgiConfig


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


def _config(kind: str, server: LoopbackServer, attempts: int = 4, concurrency: int = 4) -> Config:
    quick = {"first_wait_seconds": 0.01, "attempts": attempts, "concurrency": concurrency}
    if kind == "openai":
        return OpenAIConfig(model="tiny", base_url=f"{server.url}/v1", **quick)  # type: ignore[arg-type]
    return TgiConfig(base_url=server.url, **quick)  # type: ignore[arg-type]


def _requests(count: int) -> list[Request]:
    return [
        Request(id=str(n), prompt=[{"role": "user", "content": f"task {n}"}], seed=n, sampling=SAMPLING)
        for n in range(count)
    ]


@pytest.mark.parametrize("kind", ["openai", "tgi"])
def test_a_busy_server_is_asked_again_and_no_answer_is_bought_twice(kind: str, loopback: LoopbackServer) -> None:
    loopback.faults.extend([429, 500, None, "disconnect", 503, None, 502, "disconnect"])
    with _config(kind, loopback).open() as engine:
        answers = list(engine.generate(_requests(12)))
    assert sorted(answer.id for answer in answers) == sorted(str(n) for n in range(12))
    assert len(loopback.answered) == 12
    assert set(loopback.answered.values()) == {1}
    assert sum(loopback.received.values()) == 12 + 6  # six faults, each met by one more try


@pytest.mark.parametrize("kind", ["openai", "tgi"])
def test_when_the_server_stays_down_the_answers_stand_and_the_error_says_what_to_do(
    kind: str, loopback: LoopbackServer
) -> None:
    loopback.faults.extend([None] * 3)
    loopback.always = 503
    with (
        _config(kind, loopback, attempts=2, concurrency=1).open() as engine,
        pytest.raises(EngineError, match="same command"),
    ):
        list(engine.generate(_requests(40)))
    assert len(loopback.answered) == 3
    assert sum(loopback.received.values()) == 3 + 2  # the fourth was tried twice, the other 36 never


def test_answers_before_a_failure_come_out(loopback: LoopbackServer) -> None:
    loopback.faults.extend([None] * 3)
    loopback.always = 500
    kept: list[str] = []
    with _config("openai", loopback, attempts=2, concurrency=1).open() as engine, pytest.raises(EngineError):
        kept.extend(answer.id for answer in engine.generate(_requests(10)))
    assert len(kept) == 3


def test_a_wrong_key_is_told_at_once_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUM_TEST_KEY", "guess")
    with LoopbackServer(key="right") as server:
        config = OpenAIConfig(model="tiny", base_url=f"{server.url}/v1", api_key_env="PLUM_TEST_KEY")
        with pytest.raises(EngineError, match="PLUM_TEST_KEY"):
            config.open()
        monkeypatch.setenv("PLUM_TEST_KEY", "right")
        with config.open() as engine:
            assert len(list(engine.generate(_requests(1)))) == 1
    assert "right" not in config.model_dump_json()
    assert "right" not in repr(engine.identity)


def test_openai_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLUM_TEST_KEY", raising=False)
    with pytest.raises(EngineError, match="set PLUM_TEST_KEY"):
        OpenAIConfig(model="gpt-4.1", api_key_env="PLUM_TEST_KEY").open()


def test_a_model_the_server_does_not_have_is_told_with_those_it_has(loopback: LoopbackServer) -> None:
    with pytest.raises(EngineError, match=r"no model 'large'.*tiny"):
        OpenAIConfig(model="large", base_url=f"{loopback.url}/v1").open()


def test_what_the_server_calls_the_model_is_in_the_identity(loopback: LoopbackServer) -> None:
    with _config("openai", loopback).open() as engine:
        list(engine.generate(_requests(1)))
        assert engine.identity.model == "tiny-2026-11-01"


_LISTEN = """
import signal, sys, threading
from pydantic import TypeAdapter
from plum_hub.engines import EngineConfig
from plum_hub.engines.base import Request, Sampling
signal.signal(signal.SIGINT, signal.default_int_handler)  # though whoever runs the tests may ignore it
def interrupt_beside():
    if sys.stdin.readline():
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
threading.Thread(target=interrupt_beside, daemon=True).start()
sampling = Sampling(temperature=1.0, top_p=0.9, max_tokens=8)
requests = [Request(id=str(n), prompt=f"task {n}", seed=n, sampling=sampling) for n in range(9)]
with TypeAdapter(EngineConfig).validate_json(sys.argv[1]).open() as engine:
    for answer in engine.generate(requests):
        print(answer.id, flush=True)
"""


@pytest.mark.parametrize("ends_the_wait", [True, False])
@pytest.mark.parametrize("kind", ["openai", "tgi"])
def test_ctrl_c_waits_for_no_answer(kind: str, ends_the_wait: bool, loopback: LoopbackServer) -> None:
    """The server never answers again, and the settings would wait for it five minutes.

    A signal that comes just before the main thread begins to wait does not end its wait, as one that another thread
    receives.
    """
    loopback.faults.extend([None] * 3)
    loopback.always = "hang"
    command = [sys.executable, "-c", _LISTEN, _config(kind, loopback).model_dump_json()]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as listener:
        assert listener.stdout is not None
        answered = [listener.stdout.readline().strip() for _ in range(3)]
        assert loopback.hanging.wait(timeout=60)
        if ends_the_wait:
            listener.send_signal(signal.SIGINT)
        try:
            _, said = listener.communicate("" if ends_the_wait else "\n", timeout=60)
        finally:
            listener.kill()
    assert said.endswith("KeyboardInterrupt\n")
    assert listener.returncode == -signal.SIGINT
    assert len(set(answered) & {str(n) for n in range(9)}) == 3


def test_a_closed_iterator_leaves_no_request_to_wait_for(loopback: LoopbackServer) -> None:
    loopback.faults.append(None)
    loopback.always = "hang"
    with _config("openai", loopback, concurrency=2).open() as engine:
        answers = engine.generate(_requests(9))
        next(answers)
        assert loopback.hanging.wait(timeout=60)
        answers.close()  # type: ignore[attr-defined]  # it is a generator
    assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())


@pytest.mark.parametrize("kind", ["openai", "tgi"])
def test_an_address_where_nobody_answers(kind: str) -> None:
    with LoopbackServer() as server:
        config = _config(kind, server)
    with pytest.raises(EngineError, match="check base_url"):
        config.open()


def test_a_request_that_the_server_calls_wrong_is_not_asked_again(loopback: LoopbackServer) -> None:
    loopback.always = 400
    with _config("openai", loopback).open() as engine, pytest.raises(EngineError, match="on demand"):
        list(engine.generate(_requests(1)))
    assert set(loopback.received.values()) == {1}
    assert len(loopback.received) == 2  # it, and harmless words, to see whether it alone is wrong


@pytest.mark.parametrize("answer", [[], None, 7, {"generated_text": "x"}, {"details": {}}, {"generated_text": 1}])
def test_tgi_in_another_form_is_an_error_and_no_traceback(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    monkeypatch.setattr(loopback, "answer", lambda *_: (200, answer))
    with _config("tgi", loopback).open() as engine, pytest.raises(EngineError, match="answered in another form"):
        list(engine.generate(_requests(1)))


def test_tgi_with_an_error_in_place_of_an_answer_is_asked_again(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, first = loopback.answer, [{"error": "overloaded"}]
    monkeypatch.setattr(loopback, "answer", lambda *given: (200, first.pop()) if first else answer(*given))
    with _config("tgi", loopback).open() as engine:
        assert [one.id for one in engine.generate(_requests(1))] == ["0"]


def test_tgi_with_another_model_than_the_one_named(loopback: LoopbackServer) -> None:
    with pytest.raises(EngineError, match="serves org/tiny, not org/large"):
        TgiConfig(base_url=loopback.url, model="org/large").open()


def test_tgi_pins_the_commit_and_notices_another(loopback: LoopbackServer) -> None:
    pinned = TgiConfig(base_url=loopback.url).pin()
    assert (pinned.model, pinned.revision) == ("org/tiny", "f" * 40)
    with pytest.raises(EngineError, match="has changed since this run began"):
        pinned.model_copy(update={"revision": "e" * 40}).open()


@pytest.mark.parametrize(
    ("header", "seconds"), [("3", 3.0), ("0.5", 0.5), (None, 0.0), ("Sun, 22 Nov 2026 10:00:00 GMT", 0.0)]
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert wait_in({} if header is None else {"retry-after": header}) == seconds


@pytest.mark.parametrize(
    ("said", "end"), [("eos_token", "stop"), ("stop_sequence", "stop"), ("length", "length"), ("halted", None)]
)
def test_the_ends_of_tgis_answers(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, said: str, end: str | None
) -> None:
    answer = {"generated_text": "x", "details": {"finish_reason": said, "generated_tokens": 1}}
    monkeypatch.setattr(loopback, "answer", lambda *_: (200, answer))
    with _config("tgi", loopback).open() as engine:
        if end is None:
            with pytest.raises(EngineError, match=r"answered in another form .*halted"):
                list(engine.generate(_requests(1)))
        else:
            assert [one.finish_reason for one in engine.generate(_requests(1))] == [end]


@pytest.mark.parametrize("kind", ["openai", "tgi"])
def test_a_server_that_answers_only_so_many_a_minute_is_not_down(kind: str, loopback: LoopbackServer) -> None:
    loopback.faults.extend([None, *[429] * 4, None, *[429] * 4])  # more than there are attempts, each time
    with _config(kind, loopback, attempts=2, concurrency=1).open() as engine:
        assert len(list(engine.generate(_requests(4)))) == 4


@pytest.mark.parametrize("kind", ["openai", "tgi"])
def test_the_settings_of_a_run_are_found_again_by_the_same_command(kind: str, loopback: LoopbackServer) -> None:
    given = f"openai:tiny@{loopback.url}/v1" if kind == "openai" else f"tgi:{loopback.url}"
    sealed = parse_engine(given).pin()
    for again in (given, f"{given}/"):
        recipe = compose(None, "options", {"policy": again, "generator": again}, [])
        found = recipe.adopting(recipe.model_copy(update={"policy": sealed, "generator": sealed}))
        assert (found.policy, found.generator) == (sealed, sealed)


@pytest.mark.parametrize("kind", ["openai", "tgi"])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "ALL_PROXY names a SOCKS proxy"),
        ("ALL_PROXY", "socks4://127.0.0.1:9", "ALL_PROXY names a proxy by socks4"),
        ("SSL_CERT_FILE", "/nonexistent/ca.pem", "SSL_CERT_FILE .*cannot be read"),
    ],
)
def test_an_environment_that_no_client_can_use_is_named(
    kind: str, name: str, value: str, words: str, loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "SOCKS" in words and importlib.util.find_spec("socksio"):
        pytest.skip("socksio is installed, so SOCKS proxies can be used")
    monkeypatch.setenv(name, value)
    with pytest.raises(EngineError, match=words):
        _config(kind, loopback).open()


@pytest.mark.parametrize("kind", ["openai", "tgi"])
def test_a_server_on_this_machine_is_behind_no_proxy(
    kind: str, loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with _config(kind, loopback).open() as engine:
        assert len(list(engine.generate(_requests(2)))) == 2
    where = f"openai:tiny@{loopback.url}/v1" if kind == "openai" else f"tgi:{loopback.url}"
    assert [one.state for one in reach.engine(*reach.servers([where]))] == ["ok"]
