"""The short forms of the command line, and the scripted engine's file."""

import json
from pathlib import Path

import pytest

from plum_hub.engines import OpenAIConfig, ScriptedConfig, TgiConfig, TransformersConfig, VllmConfig, parse_engine
from plum_hub.engines.base import EngineSettings, Request, Sampling
from plum_hub.errors import EngineError


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("vllm:Qwen/x", VllmConfig(model="Qwen/x")),
        ("vllm:Qwen/x@v2", VllmConfig(model="Qwen/x", revision="v2")),
        ("transformers:/models/x", TransformersConfig(model="/models/x")),
        ("openai:gpt-4.1", OpenAIConfig(model="gpt-4.1")),
        ("openai:q@http://localhost:8000/v1", OpenAIConfig(model="q", base_url="http://localhost:8000/v1")),
        ("tgi:http://localhost:8080", TgiConfig(base_url="http://localhost:8080")),
        ("scripted:answers.jsonl", ScriptedConfig(model="answers.jsonl")),
    ],
)
def test_short_forms(text: str, config: EngineSettings) -> None:
    assert parse_engine(text) == config


@pytest.mark.parametrize("text", ["gpt:4", "vllm:", ""])
def test_a_form_that_means_nothing_is_answered_with_those_that_do(text: str) -> None:
    with pytest.raises(EngineError, match="scripted:FILE"):
        parse_engine(text)


def test_a_folder_with_an_at_sign_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model@home"
    folder.mkdir()
    assert parse_engine(f"vllm:{folder}") == VllmConfig(model=str(folder))


@pytest.mark.parametrize(
    "text",
    [
        "openai:q@http://user:hunter2@localhost:8000/v1",
        "openai:q@https://hunter2@localhost/v1",
        "openai:q@user:hunter2@localhost/v1",
        "tgi:http://user:hunter2@localhost:8080",
    ],
)
def test_a_secret_in_an_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(EngineError, match="name it with api_key_env") as caught:
        parse_engine(text)
    assert "hunter2" not in str(caught.value)


def test_an_address_may_have_an_at_sign_in_its_path() -> None:
    assert OpenAIConfig(model="q", base_url="http://localhost/@me/v1").base_url == "http://localhost/@me/v1"


@pytest.mark.parametrize(
    ("config", "public"),
    [
        (OpenAIConfig(model="q", base_url="http://10.0.0.7/v1"), OpenAIConfig(model="q")),
        (OpenAIConfig(model="a/b/c:free", base_url="http://10.0.0.7/v1"), OpenAIConfig(model="a/b/c:free")),
        (OpenAIConfig(model="/models/q.gguf", base_url="http://10.0.0.7/v1"), OpenAIConfig(model="q.gguf")),
        (TgiConfig(base_url="http://10.0.0.7"), TgiConfig(base_url="")),
        (TgiConfig(base_url="http://10.0.0.7", model="org/m", revision="f"), TgiConfig(model="org/m", revision="f")),
    ],
)
def test_where_a_server_is_stays_private(config: EngineSettings, public: EngineSettings) -> None:
    assert config.public() == public


def test_tgi_without_an_address_is_told_to_name_one() -> None:
    with pytest.raises(EngineError, match="base_url is missing"):
        TgiConfig().open()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (VllmConfig(model="m"), VllmConfig(model="m", max_num_seqs=4), True),
        (VllmConfig(model="m"), VllmConfig(model="m", data_parallel=8), True),
        (VllmConfig(model="m"), VllmConfig(model="m", dtype="float32"), False),
        (TransformersConfig(model="m"), TransformersConfig(model="m", batch_size=4), True),
        (TransformersConfig(model="m"), TransformersConfig(model="m", dtype="float32"), False),
        (VllmConfig(model="m"), VllmConfig(model="m", quantization="fp8"), False),
        (TransformersConfig(model="m"), TransformersConfig(model="m", quantization="4bit"), False),
        (OpenAIConfig(model="m"), OpenAIConfig(model="m", concurrency=4), True),
        (OpenAIConfig(model="m"), OpenAIConfig(model="m", chat=False), False),
        (OpenAIConfig(model="m"), OpenAIConfig(model="m", base_url="http://localhost/v1"), False),
        (TgiConfig(base_url="http://one"), TgiConfig(base_url="http://other"), True),
        (ScriptedConfig(model="m"), ScriptedConfig(model="m", chat_template=False, delay_seconds=1), True),
    ],
)
def test_what_decides_about_the_text(one: EngineSettings, other: EngineSettings, same: bool) -> None:
    assert (one.text_settings() == other.text_settings()) is same


def _script(path: Path, *rows: object) -> ScriptedConfig:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ScriptedConfig(model=str(path))


def _ask(config: ScriptedConfig, prompt: str, seed: int = 0, temperature: float = 1.0, max_tokens: int = 9) -> str:
    sampling = Sampling(temperature=temperature, top_p=1.0, max_tokens=max_tokens)
    with config.open() as engine:
        (answer,) = engine.generate([Request(id="x", prompt=prompt, seed=seed, sampling=sampling)])
    return answer.text


def test_the_first_row_in_the_prompt_answers(tmp_path: Path) -> None:
    config = _script(tmp_path / "a.jsonl", {"contains": "sort", "texts": ["a", "b"]}, {"texts": ["else"]})
    assert [_ask(config, "please sort", seed) for seed in range(3)] == ["a", "b", "a"]
    assert _ask(config, "please sort", seed=1, temperature=0) == "a"
    assert _ask(config, "please add") == "else"


def test_no_row_for_a_prompt_is_an_error(tmp_path: Path) -> None:
    config = _script(tmp_path / "a.jsonl", {"contains": "sort", "texts": ["a"]})
    with pytest.raises(EngineError, match="no row for the prompt 'please add'"):
        _ask(config, "please add")


def test_a_changed_file_is_not_the_pinned_one(tmp_path: Path) -> None:
    pinned = _script(tmp_path / "a.jsonl", {"texts": ["a"]}).pin()
    _script(tmp_path / "a.jsonl", {"texts": ["b"]})
    with pytest.raises(EngineError, match="has changed since this run began"):
        pinned.open()


@pytest.mark.parametrize("row", [{"texts": []}, {"text": ["a"]}, ["a"]])
def test_a_row_of_another_form_is_named_by_its_line(tmp_path: Path, row: object) -> None:
    with pytest.raises(EngineError, match=r"a\.jsonl:2: "):
        _script(tmp_path / "a.jsonl", {"texts": ["a"]}, row).open()


def test_what_editors_add_to_a_file_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"contains": "sort", "texts": ["a"]}\r\n\r\n{"texts": ["else"]}\r\n\r\n')
    assert _ask(ScriptedConfig(model=str(path)), "please add") == "else"
    path.write_text('{"texts": ["a"]}\n\n{"text": ["a"]}\n')
    with pytest.raises(EngineError, match=r"a\.jsonl:3: "):
        ScriptedConfig(model=str(path)).open()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="scripted:FILE"):
        ScriptedConfig(model=str(tmp_path / "none.jsonl")).pin()
