"""The openai engine before a server that is overloaded, broken, slow or wrong: every answer once, or a clear error."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from plum_hub.engines import OpenAIConfig, TgiConfig, parse_engine
from plum_hub.engines.base import Completion, Request, Sampling
from plum_hub.engines.openai_wire import completion_of
from plum_hub.engines.prices import list_prices
from plum_hub.errors import EngineError
from tests.engines.proxy import CHAT, Fault, FaultProxy
from tests.engines.server import LoopbackServer

SAMPLING = Sampling(temperature=1.0, top_p=0.9, max_tokens=8)


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def proxy(loopback: LoopbackServer) -> Iterator[FaultProxy]:
    with FaultProxy(loopback.url) as proxy:
        yield proxy


def config(server: LoopbackServer | FaultProxy, **settings: Any) -> OpenAIConfig:
    quick = {"first_wait_seconds": 0.01, "attempts": 4, "concurrency": 4}
    return OpenAIConfig(model="tiny", base_url=f"{server.url}/v1", **{**quick, **settings})


def requests(count: int) -> list[Request]:
    return [
        Request(id=str(n), prompt=[{"role": "user", "content": f"task {n}"}], seed=n, sampling=SAMPLING)
        for n in range(count)
    ]


def answers(settings: OpenAIConfig, count: int) -> dict[str, Completion]:
    with settings.open() as engine:
        return {answer.id: answer for answer in engine.generate(requests(count))}


def test_every_fault_of_the_way_is_survived_and_each_request_answered_once(
    loopback: LoopbackServer, proxy: FaultProxy
) -> None:
    undisturbed = answers(config(loopback), 24)
    loopback.answered.clear()
    in_a_second = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    faults: list[Fault] = [
        (429, {"retry-after": "0.1"}), (429, {"retry-after": in_a_second}), (500, {}), (503, {}), "reset",
        "reset_body", "truncated", "garbage",
    ]  # fmt: skip
    proxy.faults = [(CHAT, fault) for fault in faults]
    assert answers(config(proxy, attempts=9), 24) == undisturbed
    assert proxy.met == faults
    assert len(loopback.answered) == 24
    assert set(loopback.answered.values()) == {1}


@pytest.mark.parametrize("unit", ["seconds", "date"])
def test_nothing_is_sent_while_the_server_wants_a_pause(proxy: FaultProxy, unit: str) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=3)
    after = "1.5" if unit == "seconds" else format_datetime(moment, usegmt=True)
    proxy.faults = [(CHAT, (429, {"retry-after": after}))]
    began = time.monotonic()
    assert len(answers(config(proxy, concurrency=1), 3)) == 3
    assert time.monotonic() - began >= 1.5
    assert unit == "seconds" or datetime.now(UTC) >= moment.replace(microsecond=0)


def test_a_pause_of_a_year_is_cut(proxy: FaultProxy) -> None:
    proxy.faults = [(CHAT, (503, {"retry-after": "31536000"}))]
    assert len(answers(config(proxy, max_retry_after_seconds=0.1), 3)) == 3


def test_an_answer_that_drips_is_asked_again_after_the_time_of_one_try(
    loopback: LoopbackServer, proxy: FaultProxy
) -> None:
    undisturbed = answers(config(loopback), 2)
    proxy.faults = [(CHAT, "drip")]
    assert answers(config(proxy, timeout_seconds=3.0, attempts=9), 2) == undisturbed
    assert proxy.met == ["drip"]


def test_an_answer_that_drips_for_ever_ends_at_the_deadline(proxy: FaultProxy) -> None:
    proxy.down = "drip"
    began = time.monotonic()
    with pytest.raises(EngineError, match=r"deadline_seconds = 2, .*did not arrive in time.*same command"):
        answers(config(proxy, deadline_seconds=2.0), 2)
    assert time.monotonic() - began < 60  # not the 300 s of timeout_seconds


def test_the_deadline_counts_waits_and_all_tries(proxy: FaultProxy) -> None:
    proxy.down = (503, {"retry-after": "100"})
    began = time.monotonic()
    with pytest.raises(EngineError, match="deadline_seconds = 2, 1 tries; the last: status 503"):
        answers(config(proxy, deadline_seconds=2.0), 2)
    assert time.monotonic() - began < 60


def test_tgi_answers_that_drip_or_are_cut_off_are_asked_again(proxy: FaultProxy) -> None:
    proxy.faults = [("/generate", "drip"), ("/generate", "truncated"), ("/generate", "reset_body")]
    settings = TgiConfig(base_url=proxy.url, first_wait_seconds=0.01, timeout_seconds=3.0, concurrency=2)
    with settings.open() as engine:
        assert len(list(engine.generate(requests(6)))) == 6
    assert len(proxy.met) == 3


class Narrow(LoopbackServer):
    """Answers at most three requests at once, and refuses the others."""

    def __init__(self) -> None:
        super().__init__()
        self.busy, self.most_waiting, self.refused = 0, 3, 0
        self._gate = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[bool]:
        with self._gate:
            free = self.busy < self.most_waiting
            self.busy += free
            self.refused += not free
        try:
            if free:
                time.sleep(0.01)
            yield free
        finally:
            with self._gate:
                self.busy -= free


def test_requests_in_flight_follow_what_the_server_can_take(monkeypatch: pytest.MonkeyPatch) -> None:
    with Narrow() as server:
        handler = server._http.RequestHandlerClass
        generate = handler._generation  # type: ignore[attr-defined]

        def limited(self: Any, body: dict[str, Any]) -> None:
            with server.place() as free:
                if free:
                    generate(self, body)
                else:
                    self._send(429, {"error": {"message": "too many at once"}})

        monkeypatch.setattr(handler, "_generation", limited)
        found = answers(config(server, concurrency=32, attempts=30), 300)
    assert len(found) == 300
    assert set(server.answered.values()) == {1}
    assert server.refused < 300  # 32 at once, each time, would be refused thousands of times


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"choices": []}, "no choices"),
        ({"choices": [7]}, "another form"),
        ([], "no choices"),
        ({"choices": [{"message": {"content": {"a": 1}}}]}, "another form"),
        ({"error": {"message": "model is being loaded", "code": 400}}, "model is being loaded"),
        ({"object": "error", "message": "no such setting", "code": 400}, r"\(no such setting\): change the setting"),
    ],
)
def test_what_is_no_answer_is_an_error_and_no_traceback(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, body: object, message: str
) -> None:
    monkeypatch.setattr(loopback, "answer", lambda *_: (200, body))
    with pytest.raises(EngineError, match=message):
        answers(config(loopback), 1)


@pytest.mark.parametrize(
    "broken",
    [
        {"finish_reason": "error"},
        {"finish_reason": "abort"},
        {"finish_reason": None, "error": {"message": "lost"}},
        {"of the answer": {"error": {"message": "upstream died", "code": 502}}},
    ],
)
def test_an_answer_that_the_server_broke_off_is_asked_for_again(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any]
) -> None:
    answer, asked = loopback.answer, Counter[str]()

    def first_broken_off(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, whole = answer(path, body)
        asked[json.dumps(body)] += 1
        if asked[json.dumps(body)] == 1:
            whole |= broken.get("of the answer", {})
            whole["choices"][0] |= {"message": {"content": "half of it"}, **broken}
        return status, whole

    monkeypatch.setattr(loopback, "answer", first_broken_off)
    found = answers(config(loopback), 3)
    assert len(found) == 3
    assert all(one.text != "half of it" for one in found.values())
    assert set(asked.values()) == {2}


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is {} tokens. However, you requested 408 tokens (400 in the messages).",
        "'max_tokens' or 'max_completion_tokens' is too large: 8. This model's maximum context length is {} tokens.",
    ],
)
def test_a_limit_of_answers_above_the_context_is_a_setting_and_no_long_prompt(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    context = SAMPLING.max_tokens + 1
    monkeypatch.setattr(
        loopback, "answer", lambda *_: (400, {"error": {"message": message.replace("{}", str(context))}})
    )
    (one,) = answers(config(loopback), 1).values()
    assert one.finish_reason == "refused"
    context -= 1
    with pytest.raises(EngineError, match=r"context length is 8 .*change the setting that it names"):
        answers(config(loopback), 1)


@pytest.mark.parametrize(("status", "code"), [(402, None), (429, "insufficient_quota")])
def test_an_account_without_credit_is_told_at_once_and_what_to_do(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, status: int, code: str | None
) -> None:
    asked = []
    body = {"error": {"message": "You exceeded your balance", "code": code}}
    monkeypatch.setattr(loopback, "answer", lambda *_: (asked.append(1), (status, body))[1])
    with pytest.raises(EngineError, match=r"no credit left for the key in OPENAI_API_KEY \(.*add some"):
        answers(config(loopback), 1)
    assert len(asked) == 1


def test_contents_in_parts_refusals_and_odd_counts_are_read(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = {"prompt_tokens": "5", "completion_tokens": -3, "prompt_tokens_details": {"cached_tokens": True}}
    for message, text, reason in (
        ({"content": [{"type": "text", "text": "x = "}, {"type": "text", "text": "1"}]}, "x = 1", "stop"),
        ({"content": None, "refusal": "I cannot help"}, "I cannot help", "refused"),
    ):
        body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
        monkeypatch.setattr(loopback, "answer", lambda *_, body=body: (200, body))
        (one,) = answers(config(loopback), 1).values()
        assert (one.text, one.finish_reason) == (text, reason)
        assert (one.prompt_tokens, one.completion_tokens, one.cached_tokens) == (0, 0, 0)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (["x = ", "1"], "x = 1"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "so"}]}, {"type": "text", "text": "x"}], "x"),
    ],
)
@pytest.mark.parametrize("usage", [None, [1], "none", {"prompt_tokens_details": [1]}, {}])
def test_no_form_of_content_or_usage_loses_an_answer_that_was_paid_for(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, content: Any, text: str, usage: object
) -> None:
    body = {"model": ["m"], "usage": usage, "choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    monkeypatch.setattr(loopback, "answer", lambda *_: (200, body))
    with config(loopback).open() as engine:
        (one,) = engine.generate(requests(1))
        assert (one.text, one.finish_reason) == (text, "stop")
        assert engine.identity.model == "tiny"


def test_no_more_of_a_prompt_is_cached_than_there_is(loopback: LoopbackServer) -> None:
    loopback.cached_share = 9
    (answer,) = answers(config(loopback), 1).values()
    assert answer.cached_tokens == answer.prompt_tokens


@pytest.mark.parametrize("nothing", [{"choices": []}, {"id": "x", "choices": None, "usage": {"prompt_tokens": 3}}])
@pytest.mark.parametrize("whim", [True, False])
def test_an_answer_without_choices_is_asked_for_once_more_and_then_concerns_its_prompt_alone(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, nothing: dict[str, Any], whim: bool
) -> None:
    answer, asked = loopback.answer, Counter[str]()

    def at_times_none(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        asked[text := json.dumps(body)] += 1
        return (200, nothing) if "task 1" in text and (asked[text] == 1 or not whim) else answer(path, body)

    monkeypatch.setattr(loopback, "answer", at_times_none)
    found = answers(config(loopback), 3)
    assert [found[name].finish_reason for name in "02"] == ["length"] * 2
    assert max(asked.values()) == 2
    assert found["1"].finish_reason == ("length" if whim else "refused")
    if not whim:
        assert found["1"].text == "the answer has no choices"
        assert (found["1"].prompt_tokens, found["1"].completion_tokens) == (6, 8)  # of the harmless question


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(EngineError, match=r"http://\[::1/v1: is no address"):
        OpenAIConfig(model="m", base_url="http://[::1/v1")
    for kind in (OpenAIConfig, TgiConfig):
        for wrong in ("http://h:port", "http://[::1]:x", "http://h:99999/v1", "http://h/v1\n"):
            with pytest.raises(EngineError, match=f"{re.escape(repr(wrong)[1:-1])}: is no address"):
                kind(model="m", base_url=wrong)


@pytest.mark.parametrize("name", ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID"])
def test_what_goes_into_a_header_is_read_like_a_key(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "org-1\r\n")
    assert len(answers(config(loopback), 1)) == 1
    monkeypatch.setenv(name, "\u201corg-1\u201d")
    with pytest.raises(EngineError, match=f"{name} holds a character that no key has"):
        config(loopback).open()


def test_a_page_instead_of_the_list_of_models_is_an_error_and_no_traceback(proxy: FaultProxy) -> None:
    proxy.faults = [("/models", "garbage")]
    with pytest.raises(EngineError, match="check base_url"):
        config(proxy).open()
    proxy.faults = [("/models", "truncated")]
    with pytest.raises(EngineError, match="check base_url"):
        config(proxy).open()


def test_tokens_in_the_servers_cache_are_counted(loopback: LoopbackServer) -> None:
    loopback.cached_share = 0.5
    (answer,) = answers(config(loopback), 1).values()
    assert answer.cached_tokens == answer.prompt_tokens // 2 > 0


def test_prices() -> None:
    listed = OpenAIConfig(model="gpt-4.1-mini").usd_per_million_tokens()
    assert listed is not None
    assert listed.cost(1_000_000, 1_000_000) == listed.input + listed.output
    assert listed.cost(1_000_000, 0, cached=1_000_000) == listed.cached_input < listed.input
    batch = OpenAIConfig(model="gpt-4.1-mini", batch=True).usd_per_million_tokens()
    assert batch == tuple(price / 2 for price in listed)
    own = OpenAIConfig(model="m", usd_per_million_input=2, usd_per_million_output=8)
    assert own.usd_per_million_tokens() == (2, 8, 2)  # no discount that nobody named
    cheaper = own.model_copy(update={"usd_per_million_cached_input": 0.5})
    assert cheaper.usd_per_million_tokens() == (2, 8, 0.5)
    assert OpenAIConfig(model="gpt-9").usd_per_million_tokens() is None
    assert OpenAIConfig(model="gpt-4.1-mini", base_url="http://localhost/v1").usd_per_million_tokens() is None
    by_name = OpenAIConfig(model="gpt-4.1-mini", base_url="https://api.openai.com/v1/")
    assert by_name.usd_per_million_tokens() == listed


def test_settings_of_an_older_run_are_todays() -> None:
    old = {"type": "openai", "model": "m", "revision": None, "base_url": None, "concurrency": 32, "attempts": 8}
    old |= {"timeout_seconds": 300.0, "first_wait_seconds": 0.5, "api_key_env": "OPENAI_API_KEY", "chat": True}
    assert OpenAIConfig.model_validate_json(json.dumps(old)) == OpenAIConfig(model="m")
    assert OpenAIConfig(model="m").text_settings() == {"chat": True, "server": None}
    assert OpenAIConfig(model="m", batch=True).text_settings() == {"chat": True, "server": None}


def ended(reason: object, **settings: Any) -> Completion:
    """The answer of a server that ends every answer so."""
    with LoopbackServer() as loopback:
        loopback.finish_reason = reason
        (one,) = answers(config(loopback, attempts=2, **settings), 1).values()
    return one


@pytest.mark.parametrize(
    ("end", "reasons"),
    [
        ("stop", ["stop", "eos", "EOS_TOKEN", "end", "end_turn", "stop_sequence", "tool_calls", "COMPLETE", "", None]),
        ("length", ["length", "max_tokens", "MAX_TOKENS", "model_length", "model_context_window_exceeded"]),
        ("refused", ["content_filter", "content_filter: RECITATION", "sensitive", "SAFETY", "refusal"]),
        ("refused", ["function_call_filter: MALFORMED_FUNCTION_CALL", "malformed_function_call"]),
    ],
)
def test_the_ends_of_an_answer_in_the_words_of_every_provider(end: str, reasons: list[str | None]) -> None:
    assert [ended(reason).finish_reason for reason in reasons] == [end] * len(reasons)


@pytest.mark.parametrize(
    "reason", ["error", "abort", "network_error", "insufficient_system_resource", "timeout", "Cancelled"]
)
def test_an_outage_amid_an_answer_is_never_the_end_of_one(reason: str) -> None:
    with pytest.raises(EngineError, match=rf"2 tries; the last: the answer was broken off \({reason}\)"):
        ended(reason)


def test_an_unknown_end_of_an_answer_is_named_with_the_key_that_says_what_it_means() -> None:
    with pytest.raises(EngineError, match=r"finish_reason 'halted'.*unknown: .*generator\.finish_reasons\.halted=stop"):
        ended("halted")
    with pytest.raises(EngineError, match=r"another form \(the finish_reason is \{'type': 'stop'\}\)"):
        ended({"type": "stop"})
    assert ended("halted", finish_reasons={"halted": "length"}).finish_reason == "length"
    assert ended("eos", finish_reasons={"halted": "length"}).finish_reason == "stop"
    with pytest.raises(EngineError, match=r"--set generator\.finish_reasons\.halted=stop  \(or length"):
        ended("halted: by the operator")
    assert ended("halted: by the operator", finish_reasons={"halted": "length"}).finish_reason == "length"


def test_a_choice_without_a_message_is_no_empty_answer(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for choice in ({"finish_reason": "stop"}, {"finish_reason": "stop", "message": None}):
        monkeypatch.setattr(loopback, "answer", lambda *_, choice=choice: (200, {"choices": [choice]}))
        with pytest.raises(EngineError, match=r"another form \(a choice without a message\)"):
            answers(config(loopback), 1)


def test_the_server_that_the_environment_names_is_the_settings_own(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopbackServer() as other:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{loopback.url}/v1")
        named = OpenAIConfig(model="tiny")
        sealed = named.pin()
        assert sealed.base_url == f"{loopback.url}/v1"
        assert named.text_settings() == sealed.text_settings()
        assert OpenAIConfig(model="gpt-4.1-mini").usd_per_million_tokens() is None  # no price of OpenAI's
        assert named.adopting(sealed) == sealed
        assert len(list(named.open().generate(requests(2)))) == 2
        monkeypatch.setenv("OPENAI_BASE_URL", f"{other.url}/v1")
        assert named.adopting(sealed) != sealed  # which a run refuses
        assert list(sealed.open().generate(requests(1)))
        assert sum(other.answered.values()) == 0
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert OpenAIConfig(model="gpt-4.1-mini").text_settings() == {"chat": True, "server": None}


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 5150}, (100, 5050)),  # reasoning apart
        ({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}, (100, 50)),
        ({"prompt_tokens": 10.0, "completion_tokens": 5.0}, (10, 5)),
        ({"prompt_tokens": 10, "completion_tokens": float("inf"), "total_tokens": True}, (10, 0)),
        (None, (0, 0)),
    ],
)
@pytest.mark.parametrize("reason", ["stop", "content_filter"])
def test_every_generated_token_is_counted(usage: object, tokens: tuple[int, int], reason: str) -> None:
    choice = {"message": {"content": "hello"}, "finish_reason": reason}
    (request,) = requests(1)
    read = completion_of(request, {"choices": [choice], "usage": usage}, "a server", {})
    assert (read.prompt_tokens, read.completion_tokens) == tokens


def test_one_price_refines_the_list_and_is_none_alone() -> None:
    listed = list_prices()["gpt-4.1-mini"]
    assert OpenAIConfig(model="gpt-4.1-mini", usd_per_million_input=99.0).usd_per_million_tokens() == (
        99.0, listed.output, 99.0,
    )  # fmt: skip
    assert OpenAIConfig(model="gpt-4.1-mini", usd_per_million_output=9.0).usd_per_million_tokens() == (
        listed.input, 9.0, listed.cached_input,
    )  # fmt: skip
    mine = OpenAIConfig(model="mine", base_url="http://127.0.0.1:1/v1", usd_per_million_input=99.0)
    assert mine.usd_per_million_tokens() is None


@pytest.mark.parametrize(
    ("text", "model", "url"),
    [
        ("openai:m@http://h:1/v1", "m", "http://h:1/v1"),
        ("openai:@cf/meta/llama@https://h/v1", "@cf/meta/llama", "https://h/v1"),
        ("openai:claude@2024", "claude@2024", None),
        ("openai:@cf/meta/llama", "@cf/meta/llama", None),
    ],
)
def test_a_name_may_have_an_at_of_its_own(text: str, model: str, url: str | None) -> None:
    made = parse_engine(text)
    assert isinstance(made, OpenAIConfig)
    assert (made.model, made.base_url) == (model, url)


@pytest.mark.parametrize("text", ["openai:m@localhost:8000/v1", "openai:m@h/v1", "tgi:localhost:8080"])
def test_an_address_without_its_scheme_is_told_what_it_lacks(text: str) -> None:
    with pytest.raises(EngineError, match="http://"):
        parse_engine(text)
