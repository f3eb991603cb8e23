"""What a server says instead of an answer, and who is meant by it: one prompt, a setting, the key, or everybody."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plum_hub.engines import OpenAIConfig, TgiConfig
from plum_hub.engines.base import Completion, Request, Sampling
from plum_hub.engines.server_errors import read_error
from plum_hub.errors import EngineError
from tests.engines.server import LoopbackServer

SAMPLING = Sampling(temperature=1.0, top_p=0.9, max_tokens=8)


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[LoopbackServer]:
    with LoopbackServer(folder=tmp_path) as server:
        yield server


def config(server: LoopbackServer, **settings: Any) -> OpenAIConfig:
    quick = {"first_wait_seconds": 0.01, "attempts": 2, "concurrency": 1, "batch_poll_seconds": 0.01}
    return OpenAIConfig(**{"model": "tiny", "base_url": f"{server.url}/v1", **quick, **settings})


def ask(settings: OpenAIConfig | TgiConfig, *prompts: str) -> dict[str, Completion]:
    wanted = [
        Request(id=prompt, prompt=[{"role": "user", "content": prompt}], seed=1, sampling=SAMPLING)
        for prompt in prompts
    ]
    with settings.open() as engine:
        return {answer.id: answer for answer in engine.generate(wanted)}


def refusing(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, status: int, body: object, word: str = ""
) -> None:
    """Every prompt with `word` meets this error; the others are answered."""
    answer: Callable[..., tuple[int, Any]] = loopback.answer
    monkeypatch.setattr(
        loopback,
        "answer",
        lambda path, asked: (status, body) if word in json.dumps(asked) else answer(path, asked),
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "too  many\nat once", "code": "x"}}, "too many at once"),
        ({"error": "no room", "error_type": "overloaded"}, "no room"),
        ([{"error": {"code": 400, "message": "no such key"}}], "no such key"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "not permitted"}]}, "body.seed: not permitted"),
        ({"message": {"detail": [{"loc": ["body", "seed"], "msg": "no"}]}, "object": "error"}, "body.seed: no"),
        ({"object": "error", "message": "it broke", "code": 500}, "it broke"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "it is full"}}}, "error (it is full)"),
        (b"<html><title>Bad</title><style>p {}</style><h1>502 Bad\nGateway</h1></html>", "502 Bad Gateway"),
        (b"upstream connect error", "upstream connect error"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
        ([], ""),
        (None, ""),
        ({"error": {"code": "strange"}}, '"code": "strange"'),
    ],
)
def test_the_words_of_an_error_are_found_in_any_body(body: object, message: str) -> None:
    said = read_error(400, body)
    assert message in said.message
    assert (message == "") == (said.message == "")
    assert read_error(400, body if isinstance(body, bytes) else json.dumps(body)) == said


OWN = [
    (400, {"error": {"message": "Content Exists Risk", "code": "invalid_request_error"}}),
    (400, {"error": {"message": "Invalid prompt: it was flagged", "code": "invalid_prompt"}}),
    (400, {"error": {"message": "no", "code": "data_inspection_failed"}}),
    (400, {"error": {"message": "Could not finish the message because max_tokens was reached", "code": None}}),
    (403, {"error": {"message": 'It requires moderation. Your input was flagged for "x"', "code": 403}}),
    (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 8"}),
    (400, [{"error": {"code": 400, "message": "The input token count (9) exceeds the number of tokens allowed (8)"}}]),
    (400, {"error": "the model is loaded with context length of only 4096 tokens"}),
    (200, {"error": {"code": 400, "message": "This endpoint's maximum context length is 4096 tokens."}}),
    (400, {"error": {"message": "we would rather not", "code": None}}),  # nobody knows these words
    (500, {"error": {"message": "Requested tokens (5000) exceed context window of 4096", "type": "internal_error"}}),
    (400, {"error": {"message": "prompt is too long: 9000 tokens > 8000 maximum"}}),
    (200, {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 40303}),
    (413, b"<html><h1>413 Request Entity Too Large</h1></html>"),
    (403, b""),
]


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(("status", "body"), OWN)
def test_a_prompt_that_a_server_refuses_is_left_out_with_its_words_and_the_others_answered(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, status: int, body: object, batch: bool
) -> None:
    if batch and isinstance(body, bytes):
        body = {"error": read_error(status, body).message}
    refusing(loopback, monkeypatch, status, body, word="trouble")
    found = ask(config(loopback, batch=batch), "trouble", "one", "two")
    assert [found[name].finish_reason for name in ("one", "two")] == ["length"] * 2
    assert found["trouble"].finish_reason == "refused"
    assert found["trouble"].text == read_error(status, body).words


def test_a_prompt_that_is_asked_alone_is_left_out_too(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(loopback, monkeypatch, 400, {"error": {"message": "we would rather not"}}, word="trouble")
    assert ask(config(loopback), "trouble")["trouble"].finish_reason == "refused"


def test_a_busy_server_is_not_taken_for_one_that_refuses_a_prompt(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(loopback, monkeypatch, 400, {"error": {"message": "we would rather not"}}, word="trouble")
    loopback.faults.extend([None, 503])
    with pytest.raises(EngineError, match="1 tries; the last: status 503: on demand"):
        ask(config(loopback, attempts=1), "trouble")


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, {"error": {"message": "temperature is 1 here"}}, r"\(temperature is 1 here\): change the setting"),
        (422, {"detail": [{"loc": ["body", "x"], "msg": "is wrong"}]}, r"\(body\.x: is wrong\): change the setting"),
        (422, b"", "without a reason .status 422.: look into the server's log"),
        (200, {"error": {"message": "it broke"}}, r"\(it broke\): change the setting"),
        (403, {"error": {"message": "Country not supported"}}, r"not allow this \(Country not supp.*OPENAI_API_KEY"),
        (400, {"error": {"message": "API key not valid"}}, r"refused the key \(API key not valid\).*OPENAI_API_KEY"),
        (403, {"error": "Invalid credentials"}, r"refused the key \(Invalid credentials\)"),
        (400, {"error": {"message": "Full", "code": "billing_hard_limit_reached"}}, r"no credit left .*\(Full\)"),
        (404, {"error": {"message": "The model `tiny` does not exist"}}, r"no model 'tiny' \(The model `tiny`"),
        (404, b"<html><h1>404 Not Found</h1></html>", r"no such page \(404 Not Found\): check base_url"),
        (500, {"error": {"message": "context window not allocated"}}, r"request \(context window not alloc"),
        (400, {"error": {"message": "model name too long"}}, r"\(model name too long\): change the setting"),
        (404, {"detail": "Not Found"}, r"no such page \(Not Found\): check base_url"),
    ],
)
def test_what_concerns_every_request_ends_the_call_in_the_servers_words(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, status: int, body: object, message: str, batch: bool
) -> None:
    if batch and isinstance(body, bytes):
        body = {"error": read_error(status, body).message}
    refusing(loopback, monkeypatch, status, body)
    with pytest.raises(EngineError, match=message):
        ask(config(loopback, batch=batch), "one", "two")


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (429, {"error": {"message": "Try again in 7h"}}, "status 429: Try again in 7h"),
        (500, {"error": {"message": "it needs more memory (5.6 GiB)"}}, r"status 500: it needs more memory \(5\.6 GiB"),
        (503, b"<h1>Loading</h1>", "status 503: Loading"),
        (200, {"error": "overloaded"}, "the last: overloaded"),
        (200, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, "the last: slow down"),
    ],
)
def test_the_words_of_a_busy_server_are_told_in_the_end(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, status: int, body: object, message: str
) -> None:
    refusing(loopback, monkeypatch, status, body)
    with pytest.raises(EngineError, match=rf"2 tries; .*{message}"):
        ask(config(loopback), "one")


def test_a_server_that_has_moved_says_where_to(loopback: LoopbackServer) -> None:
    loopback.moved = True
    with pytest.raises(EngineError, match=rf"old/v1 redirects to {loopback.url}/v1: put that address into base_url"):
        ask(config(loopback, base_url=f"{loopback.url}/old/v1"), "one")
    with pytest.raises(EngineError, match="redirects without an end: check base_url"):
        ask(config(loopback, base_url=f"{loopback.url}/circle/v1"), "one")


def test_a_key_is_read_without_its_line_break_and_no_other_character_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer(key="right") as server:
        monkeypatch.setenv("OPENAI_API_KEY", " right\r\n")
        assert ask(config(server), "one")["one"].text
        for wrong in ("\u201cright\u201d", "ri\nght", '"right"', "'right'", "Bearer right"):
            monkeypatch.setenv("OPENAI_API_KEY", wrong)
            with pytest.raises(EngineError, match="OPENAI_API_KEY holds a character that no key has"):
                config(server).open()


def tgi(server: LoopbackServer) -> TgiConfig:
    return TgiConfig(base_url=server.url, first_wait_seconds=0.01, attempts=2)


@pytest.mark.parametrize(
    ("status", "said", "message"),
    [
        (422, "`inputs` tokens + `max_new_tokens` must be <= 8. Given: 4 and 8", "must be <= 8.*change the setting"),
        (422, "`stop` supports up to 4 stop sequences. Given: 5 tokens", "supports up to 4.*change the setting"),
        (424, "CUDA out of memory", "the last: status 424: CUDA out of memory"),
    ],
)
def test_tgi_says_what_is_wrong_with_a_setting_and_what_broke(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, status: int, said: str, message: str
) -> None:
    refusing(loopback, monkeypatch, status, {"error": said, "error_type": "validation"})
    with pytest.raises(EngineError, match=message):
        ask(tgi(loopback), "one")


def test_tgi_is_asked_without_stop_strings_where_it_takes_four_and_the_answers_end_at_them(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = loopback.answer

    def four_at_most(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        count = len(body["parameters"]["stop"])
        said = {"error": f"Input validation error: `stop` supports up to 4 stop sequences. Given: {count}"}
        return (422, {**said, "error_type": "validation"}) if count > 4 else answer(path, body)

    monkeypatch.setattr(loopback, "answer", four_at_most)
    names = [str(number) for number in range(8)]
    whole = {name: one.text for name, one in ask(tgi(loopback), *names).items()}
    stops = (whole["3"].split(" ")[2], *"abcd")
    sampling = Sampling(temperature=1.0, top_p=0.9, max_tokens=8, stop=stops)
    wanted = [Request(id=name, prompt=[{"role": "user", "content": name}], seed=1, sampling=sampling) for name in names]
    with tgi(loopback).open() as engine:
        found = {one.id: one for one in engine.generate(wanted)}
    assert found.keys() == whole.keys()
    assert (found["3"].text, found["3"].stop) == (whole["3"].partition(stops[0])[0], stops[0])


@pytest.mark.parametrize("status", [200, 422])
def test_tgi_refuses_a_prompt_that_leaves_no_room(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    said = "`inputs` tokens + `max_new_tokens` must be <= 9. Given: 4 and 8"
    refusing(loopback, monkeypatch, status, {"error": said}, word="trouble")
    found = ask(tgi(loopback), "trouble", "one")
    assert (found["trouble"].finish_reason, found["one"].finish_reason) == ("refused", "length")


@pytest.mark.parametrize(
    ("page", "status", "message"),
    [
        ("/info", 401, r"/info wants a key \(status 401: on demand\).*openai:tgi@"),
        ("/info", 404, "/info does not answer as a TGI server of version 3"),
        ("/chat_tokenize", 404, "/chat_tokenize does not answer as a TGI server of version 3"),
        ("/chat_tokenize", 503, r"/chat_tokenize is busy \(status 503: on demand\)"),
    ],
)
def test_a_tgi_server_that_cannot_be_greeted_says_why(
    loopback: LoopbackServer, page: str, status: int, message: str
) -> None:
    loopback.pages[page], loopback.words = status, status != 404
    with pytest.raises(EngineError, match=message):
        tgi(loopback).open()


@pytest.mark.parametrize("status", [404, 422])
def test_a_model_of_tgi_without_a_template_is_no_server_of_another_kind(loopback: LoopbackServer, status: int) -> None:
    loopback.pages["/chat_tokenize"] = status
    with tgi(loopback).open() as engine:
        assert not engine.has_chat_template


def models(*names: str) -> list[dict[str, str]]:
    return [{"id": name, "object": "model"} for name in names]


@pytest.mark.parametrize(
    "listed",
    [
        (200, models("tiny", "large")),
        (200, models("large")),
        (200, {"data": models("tiny:latest")}),
        (200, {"models": [{"name": "models/tiny"}]}),
        (200, {"object": "list", "data": None}),
        (403, {"error": {"message": "Missing scopes: api.model.read"}}),
        (400, {"error": "bad"}),
        (404, {"detail": "Not Found"}),
        (503, {"error": "Loading"}),
    ],
)
@pytest.mark.parametrize("chat", [True, False])
def test_a_list_of_models_shuts_no_model_out_that_answers(
    loopback: LoopbackServer, listed: tuple[int, Any], chat: bool
) -> None:
    loopback.models = listed
    assert ask(config(loopback, chat=True), "one")["one"].text
    config(loopback, chat=chat).open()


def test_an_address_that_lacks_its_v1_is_told_before_a_run_is_made(loopback: LoopbackServer) -> None:
    with pytest.raises(EngineError, match=r"has no such page .*check base_url, .*mostly with /v1"):
        config(loopback, base_url=loopback.url).open()


def test_a_name_that_is_not_listed_is_tried_and_a_wrong_one_told_with_the_closest(loopback: LoopbackServer) -> None:
    loopback.models = (200, models(*(f"a{n}" for n in range(9)), "tiny-b", "tiny"))
    with pytest.raises(EngineError, match=r"has no model 'tinny': name one it has \(tiny, tiny-b, a"):
        config(loopback, model="tinny").open()
    config(loopback).open()
    assert sum(loopback.received.values()) == 1  # a listed one costs nothing


@pytest.mark.parametrize(
    ("status", "message"), [(401, "refused the key"), (403, "does not allow this"), (402, "no credit left")]
)
def test_a_key_that_may_not_ask_is_told_before_a_run_though_it_may_not_list_models_either(
    loopback: LoopbackServer, status: int, message: str
) -> None:
    loopback.models, loopback.always = (403, {"error": "no"}), status
    with pytest.raises(EngineError, match=message):
        config(loopback).open()
    loopback.always = 503
    config(loopback).open()
