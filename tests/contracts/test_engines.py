"""What every engine promises (plum_hub/engines/base.py), asked of every engine, each with real parts."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from plum_hub.engines import EngineConfig, OpenAIConfig, ScriptedConfig, TgiConfig, TransformersConfig, VllmConfig
from plum_hub.engines.base import Completion, Engine, Request, Sampling
from plum_hub.errors import EngineError
from tests.engines import server, tiny

PROVIDERS = ("scripted", "openai", "tgi", "transformers", "vllm", "vllm x2")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch, transformers and vllm warn about themselves

SAMPLED = Sampling(temperature=1.0, top_p=0.9, max_tokens=12)
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=12)


@dataclass
class Opened:
    """An engine, the configuration that opened it, and a prompt longer than its context."""

    config: EngineConfig
    engine: Engine
    too_long: str


def _config(provider: str, folder: Path, url: str, chat: bool = True) -> tuple[EngineConfig, str]:
    """The provider's configuration, of a chat model or a base model, and a prompt too long for it."""
    if provider == "scripted":
        script = folder / "answers.jsonl"
        rows = [{"contains": "alpha", "texts": ["one two three", "four five six"]}]
        rows.append({"texts": [" ".join(f"word{n}{which}" for n in range(30)) for which in "abcdefgh"]})
        script.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return ScriptedConfig(model=str(script), context_words=200, chat_template=chat), "word " * 300
    if provider == "openai":
        config = OpenAIConfig(model="tiny", base_url=f"{url}/v1", first_wait_seconds=0.01, chat=chat)
        return config, "word " * (server.CONTEXT + 1)
    if provider == "tgi":
        return TgiConfig(base_url=url, first_wait_seconds=0.01), "word " * (server.CONTEXT + 1)
    if find_spec(provider.partition(" ")[0]) is None:
        pytest.skip(f"{provider} is not installed")
    model = str(folder / "tiny")
    tiny.write_tiny_model(folder / "tiny", chat)
    if provider == "transformers":
        return TransformersConfig(model=model, batch_size=4), "word " * tiny.CONTEXT
    replicas = 2 if provider == "vllm x2" else 1
    return VllmConfig(model=model, cpu_kv_cache_gb=0.1, data_parallel=replicas), "word " * tiny.CONTEXT


@pytest.fixture(scope="module", params=PROVIDERS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with server.LoopbackServer() as loopback:
        config, too_long = _config(request.param, tmp_path_factory.mktemp("engine"), loopback.url)
        with config.open() as engine:
            yield Opened(config, engine, too_long)


def _requests(count: int, sampling: Sampling = SAMPLED) -> list[Request]:
    prompts = [f"Write a function number {number}, at most {'very ' * number} short." for number in range(count)]
    return [
        Request(id=f"r{number}", prompt=[{"role": "user", "content": prompt}], seed=1000 + number, sampling=sampling)
        for number, prompt in enumerate(prompts)
    ]


def _answers(engine: Engine, requests: list[Request]) -> dict[str, Completion]:
    completions = list(engine.generate(requests))
    assert len({completion.id for completion in completions}) == len(completions)
    return {completion.id: completion for completion in completions}


def test_every_request_is_answered_exactly_once(opened: Opened) -> None:
    requests = _requests(11)
    completions = list(opened.engine.generate(requests))
    assert sorted(completion.id for completion in completions) == sorted(request.id for request in requests)
    assert all(completion.finish_reason in ("stop", "length") for completion in completions)
    assert all(completion.prompt_tokens > 0 and completion.completion_tokens > 0 for completion in completions)


@pytest.mark.parametrize("sampling", [SAMPLED, GREEDY])
def test_tokens_are_told_while_answers_are_under_way_each_once(
    opened: Opened, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(opened.engine, "on_tokens", told.append)
    answers = opened.engine.generate(_requests(5, sampling))
    first = next(answers)
    early = sum(told)
    completions = [first, *answers]
    if not opened.engine.counts_tokens:
        assert told == []
        return
    assert len(told) > 3  # step by step
    assert early >= first.completion_tokens
    assert sum(told) == sum(completion.completion_tokens for completion in completions)


def test_no_request_no_answer(opened: Opened) -> None:
    assert list(opened.engine.generate([])) == []


def test_max_tokens_bounds_the_answer_and_says_so(opened: Opened) -> None:
    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=1)
    for completion in opened.engine.generate(_requests(3, sampling)):
        assert completion.completion_tokens == 1
        assert completion.finish_reason == "length" or completion.text == ""  # a first token that ends the turn


def test_a_stop_string_ends_the_answer_and_is_not_in_it(opened: Opened) -> None:
    (whole,) = opened.engine.generate(_requests(1, GREEDY))
    stop = whole.text[4:7]
    assert stop
    (cut,) = opened.engine.generate(_requests(1, Sampling(temperature=0.0, top_p=1.0, max_tokens=12, stop=(stop,))))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"


def test_a_prompt_longer_than_the_context_is_refused_and_the_others_answered(opened: Opened) -> None:
    requests = _requests(3)
    long = Request(id="long", prompt=[{"role": "user", "content": opened.too_long}], seed=1, sampling=SAMPLED)
    answers = _answers(opened.engine, [requests[0], long, *requests[1:]])
    assert answers.pop("long").finish_reason == "refused"
    assert {answer.finish_reason for answer in answers.values()} <= {"stop", "length"}
    assert set(answers) == {"r0", "r1", "r2"}


def test_more_prompt_than_fits_one_step(opened: Opened) -> None:
    """Prompts that are long together are cut up inside vLLM; each still gets its one answer."""
    requests = [
        Request(id=f"r{number}", prompt=f"{number}:" + " a" * 150, seed=number, sampling=SAMPLED)
        for number in range(48)
    ]
    assert set(_answers(opened.engine, requests)) == {request.id for request in requests}


def test_plain_text_is_continued(opened: Opened) -> None:
    (completion,) = opened.engine.generate([Request(id="plain", prompt="def add(a, b):", seed=3, sampling=SAMPLED)])
    assert completion.id == "plain"
    assert completion.completion_tokens > 0


def test_the_same_requests_give_the_same_texts(opened: Opened) -> None:
    assert _answers(opened.engine, _requests(6)) == _answers(opened.engine, _requests(6))


def test_the_seed_decides_the_text(opened: Opened) -> None:
    prompt = [{"role": "user", "content": "Write anything."}]
    requests = [Request(id=str(seed), prompt=prompt, seed=seed, sampling=SAMPLED) for seed in range(8)]
    assert len({completion.text for completion in opened.engine.generate(requests)}) > 1


def test_a_schema_holds_the_answer_or_is_refused_before_anything_is_generated(opened: Opened) -> None:
    choices = ["yes", "no", "perhaps"]
    schema = {
        "type": "object", "properties": {"choice": {"type": "string", "enum": choices}, "sure": {"type": "boolean"}},
        "required": ["choice", "sure"], "additionalProperties": False,
    }  # fmt: skip
    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=64)
    requests = [replace(request, schema=schema) for request in _requests(6, sampling)]
    if not opened.engine.takes_schema:
        assert opened.config.schema_problem() is not None
        with pytest.raises(EngineError, match=r"set suites\.structured=false"):
            next(iter(opened.engine.generate([*_requests(1), *requests])))
        return
    answers = _answers(opened.engine, requests)
    for completion in answers.values():
        assert completion.finish_reason == "stop"
        answer = json.loads(completion.text)
        assert list(answer) == ["choice", "sure"]
        assert answer["choice"] in choices
        assert answer["sure"] in (True, False)
    assert len({completion.text for completion in answers.values()}) > 1  # each has its own seed
    if not isinstance(opened.config, VllmConfig):  # which would load the model again
        assert opened.config.schema_problem() is None


def test_an_abandoned_call_leaves_the_engine_fit(opened: Opened) -> None:
    abandoned = opened.engine.generate(_requests(8))
    next(iter(abandoned))
    abandoned.close()  # type: ignore[attr-defined]  # every engine's iterator is a generator
    assert set(_answers(opened.engine, _requests(3))) == {"r0", "r1", "r2"}


def test_the_identity_says_what_wrote_the_text(opened: Opened) -> None:
    identity = opened.engine.identity
    assert identity.engine == opened.config.type
    assert identity.engine_version
    assert identity.model
    assert "/" not in identity.model.removeprefix("org/")  # never a path
    if opened.config.type != "openai":  # which knows names only
        assert identity.revision == opened.config.pin().revision


def test_a_pinned_configuration_survives_its_file(opened: Opened) -> None:
    pinned = opened.config.pin()
    assert TypeAdapter(EngineConfig).validate_json(pinned.model_dump_json()) == pinned
    assert pinned.pin() == pinned


def test_published_settings_name_no_place(opened: Opened, tmp_path_factory: pytest.TempPathFactory) -> None:
    public = opened.config.pin().public()
    assert TypeAdapter(EngineConfig).validate_json(public.model_dump_json()) == public
    assert str(tmp_path_factory.getbasetemp()) not in public.model_dump_json()
    assert "127.0.0.1" not in public.model_dump_json()
    assert "127.0.0.1" not in str(public.text_settings() | opened.config.text_settings())


def test_closing_twice_is_harmless(opened: Opened) -> None:
    """The engine of the module is closed; after it come tests that open their own."""
    opened.engine.close()
    opened.engine.close()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_base_model_refuses_a_conversation_and_continues_plain_text(provider: str, tmp_path: Path) -> None:
    with server.LoopbackServer() as loopback:
        loopback.chat_template = False
        config, _ = _config(provider, tmp_path, loopback.url, chat=False)
        with config.open() as engine:
            assert not engine.has_chat_template
            plain = Request(id="plain", prompt="def add(a, b):", seed=3, sampling=SAMPLED)
            with pytest.raises(EngineError, match=r"tiny|answers") as caught:
                list(engine.generate([plain, *_requests(1)]))
            assert str(caught.value).endswith(
                "has no chat template, and this prompt is a conversation: "
                "name a chat model, as with  --generator ENGINE:MODEL"
            )
            assert [answer.id for answer in engine.generate([plain])] == ["plain"]
