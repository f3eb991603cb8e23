"""Servers that call parameters by other names, or do not take them: what means the same is sent, all else is asked."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plum_hub.engines import OpenAIConfig
from plum_hub.engines.base import Completion
from plum_hub.errors import EngineError
from tests.engines.server import LoopbackServer
from tests.engines.test_openai import config, requests

Refusal = tuple[int, Any]


def unsupported(name: str, words: str = "is not supported with this model.", code: str = "parameter") -> Refusal:
    """As OpenAI says it."""
    message = f"Unsupported {code}: '{name}' {words}"
    return 400, {"error": {"message": message, "param": name, "code": f"unsupported_{code}"}}


def forbidden(name: str) -> Refusal:
    """As FastAPI says it."""
    return 422, {
        "detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}]
    }


TOKENS = unsupported("max_tokens", "is not supported with this model. Use 'max_completion_tokens' instead.")


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[LoopbackServer]:
    with LoopbackServer(folder=tmp_path) as server:
        yield server


def answered(server: LoopbackServer, top_p: float = 1.0, temperature: float = 1.0, **settings: Any) -> list[Completion]:
    sampling = replace(requests(1)[0].sampling, top_p=top_p, temperature=temperature)
    wanted = [replace(one, sampling=sampling) for one in requests(6)]
    with config(server, **settings).open() as engine:
        found = list(engine.generate(wanted))
    assert len({one.id for one in found}) == 6
    return found


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    ("unknown", "sent"),
    [
        ({"max_tokens": TOKENS}, {"max_completion_tokens": 8}),
        ({"max_tokens": (400, {"error": TOKENS[1]["error"]["message"]})}, {"max_completion_tokens": 8}),
        ({"seed": forbidden("seed")}, {"max_tokens": 8, "random_seed": 0}),
        (
            {"max_tokens": TOKENS, "top_p": unsupported("top_p"), "temperature": unsupported("temperature")},
            {"max_completion_tokens": 8},
        ),
    ],
)
def test_a_parameter_goes_by_the_name_that_the_server_takes_or_not_at_all_where_that_means_the_same(
    loopback: LoopbackServer, unknown: dict[str, Refusal], sent: dict[str, Any], batch: bool
) -> None:
    loopback.unknown = unknown
    settings: dict[str, Any] = {"batch": True, "batch_poll_seconds": 0.01} if batch else {}
    assert all(one.finish_reason == "length" for one in answered(loopback, **settings))
    assert len(loopback.taken) == 6
    for body in loopback.taken:
        assert not set(unknown) & set(body)
        assert set(sent) <= set(body)
        assert body.get("max_completion_tokens", body.get("max_tokens")) == 8
    if "random_seed" in sent:
        assert sorted(body["random_seed"] for body in loopback.taken) == list(range(6))


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("top_p", unsupported("top_p")),
        ("temperature", unsupported("temperature", "does not support 0.9. Only 1 is supported.", "value")),
        ("seed", forbidden("seed")),
    ],
)
def test_a_parameter_that_decides_about_the_text_is_left_out_by_its_key_only(
    loopback: LoopbackServer, name: str, refusal: Refusal
) -> None:
    loopback.unknown = {name: refusal, "random_seed": forbidden("random_seed")}
    with pytest.raises(EngineError, match=rf"does not take {name} as it is set .*generator\.omit=\[{name}\]"):
        answered(loopback, 0.9, 0.9)
    assert not loopback.taken
    assert len(answered(loopback, 0.9, 0.9, omit=(name,))) == 6
    assert all(name not in body for body in loopback.taken)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    "refusal",
    [
        unsupported("stop"),
        (400, {"error": "Argument not supported on this model: stop"}),
        (400, {"error": {"message": "Invalid 'stop': array too long. Expected at most 4.", "param": "stop"}}),
        (422, {"detail": [{"loc": ["body", "stop"], "msg": "List should have at most 4 items after validation"}]}),
    ],
)
def test_answers_end_at_their_stop_strings_where_the_server_takes_none(
    loopback: LoopbackServer, refusal: Refusal, batch: bool
) -> None:
    settings: dict[str, Any] = {"batch": True, "batch_poll_seconds": 0.01} if batch else {}
    whole = {one.id: one.text for one in answered(loopback)}
    words = whole["3"].split(" ")
    stops = (words[5], words[2], "a", "b", "c")
    wanted = [
        replace(one, sampling=replace(one.sampling, temperature=1.0, top_p=1.0, stop=stops)) for one in requests(6)
    ]
    loopback.unknown = {"stop": refusal}
    with config(loopback, **settings).open() as engine:
        found = {one.id: one for one in engine.generate(wanted)}
    assert {name: one.text for name, one in found.items()} == {
        name: text if name != "3" else text.partition(stops[1])[0] for name, text in whole.items()
    }
    assert {one.finish_reason for one in found.values()} == {"length", "stop"}
    assert (found["3"].finish_reason, found["3"].stop) == ("stop", stops[1])


def test_of_two_parameters_that_exclude_each_other_the_one_that_does_nothing_is_left_out(
    loopback: LoopbackServer,
) -> None:
    words = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    loopback.unknown = {"top_p": (400, {"error": {"message": words, "type": "invalid_request_error"}})}
    assert len(answered(loopback, temperature=0.5)) == 6
    assert all("top_p" not in body and body["temperature"] == 0.5 for body in loopback.taken)
    with pytest.raises(EngineError, match=r"change it \(--temperature of evaluate\), or begin a run with"):
        answered(loopback, 0.9, 0.5)


def test_what_is_left_out_is_part_of_row_ids() -> None:
    plain = OpenAIConfig(model="m").text_settings()
    assert "omit" not in plain
    assert OpenAIConfig(model="m", omit=("seed",)).text_settings() == {**plain, "omit": ["seed"]}


def test_a_limit_that_is_too_large_is_not_sent_by_another_name(loopback: LoopbackServer) -> None:
    error = {"message": "max_tokens is too large: 8. This model takes at most 4.", "param": "max_tokens"}
    loopback.unknown = {"max_tokens": (400, {"error": error})}
    with pytest.raises(EngineError, match="too large"):
        answered(loopback)
    assert not loopback.taken


def test_a_server_that_refuses_a_parameter_which_is_not_sent_is_not_asked_for_ever(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "answer", lambda *_: unsupported("top_p"))
    with pytest.raises(EngineError, match="does not take top_p"):
        answered(loopback, concurrency=1)
    assert sum(loopback.received.values()) == 3  # with it, without it, and harmless words
