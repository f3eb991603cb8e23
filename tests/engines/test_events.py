"""Answers that are streamed, or written in another way than asked for: each is paid for once."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from plum_hub.engines.base import Completion
from plum_hub.engines.events import is_stream, joined
from plum_hub.engines.remote import TryAgainError
from plum_hub.errors import EngineError
from tests.engines.server import LoopbackServer
from tests.engines.test_openai import answers, config


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


def streamed(answer: dict[str, Any], end: str = "\n\n") -> bytes:
    """An answer as events: a comment, words one by one, the end, usage."""
    (choice,) = answer["choices"]
    words = choice["message"]["content"].split(" ")
    deltas = [{"content": word if not n else f" {word}"} for n, word in enumerate(words)]
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"role": "assistant"}}]}]
    chunks += [{"model": answer["model"], "choices": [{"delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks += [{"choices": [{"delta": {}, "finish_reason": choice["finish_reason"]}]}]
    chunks += [{"choices": [], "usage": answer["usage"]}]
    events = [": PROCESSING", *(f"data: {json.dumps(chunk)}" for chunk in chunks), "data: [DONE]"]
    return "".join(f"{event}{end}" for event in events).encode()


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
def test_a_streamed_answer_is_kept_as_it_is(loopback: LoopbackServer, end: str) -> None:
    whole: dict[str, Completion] = answers(config(loopback), 3)
    loopback.written = lambda answer: streamed(answer, end)
    loopback.answered.clear()
    assert answers(config(loopback), 3) == whole
    assert set(loopback.answered.values()) == {1}


def test_a_stream_that_ends_too_soon_is_asked_for_again(loopback: LoopbackServer) -> None:
    loopback.written = lambda answer: b"\n\n".join(streamed(answer).split(b"\n\n")[:4])
    with pytest.raises(EngineError, match="2 tries; the last: the answer was broken off"):
        answers(config(loopback, attempts=2), 1)
    loopback.written = lambda answer: streamed(answer)[:-40]
    with pytest.raises(EngineError, match=r"2 tries; the last: the answer was broken off"):
        answers(config(loopback, attempts=2, concurrency=1), 1)


def test_what_is_a_stream_and_how_it_may_end() -> None:
    assert is_stream(b"\n: wait\n\ndata: {}")
    assert not is_stream(b' {"data": 1}')
    text = b'data: {"choices": [{"text": "a"}]}\n\ndata: {"choices": [{"text": "b", "finish_reason": "length"}]}\n\n'
    (choice,) = joined(text)["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("ab", "length")
    text = b'retry: 300\n\ndata: {"choices": [{"delta": {"content": [{"type": "text", "text": "a"}]}}]}\n\n'
    text += b"data: [DONE]\n\n"
    assert is_stream(text)
    assert joined(text)["choices"][0]["text"] == "a"
    with pytest.raises(TryAgainError, match=r"broken off \(lost\)"):
        joined(text.replace(b"[DONE]", b'{"error": {"message": "lost"}}'))
    assert joined(b'data: {"choices": []}\n\ndata: {"error": {"code": 502}}\n\n') == {"error": {"code": 502}}
    with pytest.raises(TryAgainError):
        joined(b'data: {"choices": [{"text": "a"}]}\n\n')
    for form in (b"data: 7", b'data: {"choices": [7]}', b'data: {"choices": [{"delta": {"content": [7]}}]}'):
        with pytest.raises(EngineError, match="another form"):
            joined(form + b'\n\ndata: {"choices": [{"finish_reason": "stop"}]}\n\n')


def test_an_answer_in_another_encoding_is_not_paid_for_again(loopback: LoopbackServer) -> None:
    def latin(answer: dict[str, Any]) -> bytes:
        answer["choices"][0]["message"]["content"] = "caf\u00e9 au lait"
        return json.dumps(answer, ensure_ascii=False).encode("latin-1")

    loopback.written = latin
    with pytest.raises(EngineError, match=r"not UTF-8 .*set the server"):
        answers(config(loopback, concurrency=1), 2)
    assert sum(loopback.answered.values()) == 1


def test_what_stood_in_place_of_an_answer_is_shown(loopback: LoopbackServer) -> None:
    loopback.written = lambda _: b"<html>please log in</html>"
    with pytest.raises(EngineError, match=r"2 tries; the last: the answer is not JSON \('<html>please log in"):
        answers(config(loopback, attempts=2), 1)
